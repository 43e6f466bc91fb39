"""Extended's account stream and rows, beyond the battery: what was recorded of it, and what may come."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from twinleg.core.orders import Side
from twinleg.core.trading import (
    IN_DOUBT,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    Incident,
    OrderSeen,
    PositionSeen,
)
from twinleg.core.venue import WireError
from twinleg.venues.extended import facts, wire
from twinleg.venues.extended.account import Bounded, ExtendedAccountFeed, Rows, balance_seen, ours
from venues.battery import START_MS
from venues.extended.trading_case import (
    BTC,
    ETH,
    KEYS,
    MARKETS,
    TRADING_CASE,
    ExtendedAccountServer,
    balance_row,
    encode,
    fill_row,
    ok,
    order_row,
    position_row,
    sample,
    trading,
)
from venues.trading_battery import OURS, AccountLine, a_balance, a_fill, a_position, an_order

NOW = START_MS


@pytest.fixture
def line() -> AccountLine:
    return AccountLine(TRADING_CASE).open()


@pytest.fixture
def server(line: AccountLine) -> ExtendedAccountServer:
    found = line.servers[0]
    assert isinstance(found, ExtendedAccountServer)
    return found


@pytest.fixture
def feed() -> ExtendedAccountFeed:
    (found,) = trading().account_feeds([])
    assert isinstance(found, ExtendedAccountFeed)
    return found


def rows() -> Rows:
    return Rows(MARKETS, Bounded(10))


def read(kind: str, row: dict[str, Any], by: Rows | None = None) -> Any:
    """A row as it comes over the wire."""
    raw = wire.decode_rows(encode([row]))[0]
    by = by or rows()
    match kind:
        case "order":
            return by.order(wire.decode_order(raw), NOW)
        case "fill":
            return by.fill(wire.decode_fill(raw), NOW)
        case "position":
            return by.position(wire.decode_position(raw), NOW)[1]
    return balance_seen(wire.decode_balance(raw), NOW)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("first", [0, 1])
def test_the_three_snapshots_come_in_any_order(feed: ExtendedAccountFeed, order: tuple[int, ...], first: int) -> None:
    parts = [("ORDER", {"orders": []}), ("POSITION", {"positions": []}), ("BALANCE", {"balance": sample("balance")})]
    feed.opened(NOW)
    kinds = []
    for seq, index in enumerate(order, start=first):
        type_, data = parts[index]
        frame = encode({"type": type_, "data": {"isSnapshot": True, **data}, "ts": NOW, "seq": seq})
        (event,) = feed.received(frame, 0, NOW)
        kinds.append(event.kind)
    assert sorted(kinds) == ["balance", "orders", "positions"]
    assert feed.timer(0, NOW + 60_000) == []
    assert feed.broken is None


def test_a_missing_snapshot_is_not_waited_for(feed: ExtendedAccountFeed) -> None:
    feed.opened(NOW)
    feed.received(encode({"type": "ORDER", "data": {"isSnapshot": True, "orders": []}, "seq": 1}), 0, NOW)
    feed.received(encode({"type": "POSITION", "data": {"isSnapshot": False, "positions": []}, "seq": 2}), 0, NOW)
    assert feed.timer(0, NOW + facts.SNAPSHOT_MS_MAX) == []
    (event,) = feed.timer(0, NOW + facts.SNAPSHOT_MS_MAX + 1)
    assert (event.kind, event.detail) == (IN_DOUBT, "no snapshot of BALANCE, POSITION")
    assert feed.timer(0, NOW + 60_000) == feed.closed("broken", 0, NOW) == [], "told once"


@pytest.mark.parametrize("seq", [2, 3, 10**18])
def test_a_connection_that_lost_its_first_frame_is_given_up(feed: ExtendedAccountFeed, seq: int) -> None:
    feed.opened(NOW)
    (event,) = feed.received(encode({"type": "ORDER", "data": {"isSnapshot": True, "orders": []}, "seq": seq}), 0, NOW)
    assert event == Incident("extended", IN_DOUBT, f"frame {seq} where 1 was due", NOW)
    assert feed.broken is not None
    assert feed.received(encode({"type": "ORDER", "data": {}, "seq": seq + 1}), 0, NOW) == []


def test_a_venue_that_counts_anew_is_not_believed(line: AccountLine, server: ExtendedAccountServer) -> None:
    server.seq = 0
    events = [event for _ in range(facts.REPEATS_MAX) for event in line.deliver(*server.order(an_order(BTC)))]
    assert [event.detail for event in events if isinstance(event, Incident)] == ["the venue counts anew"]
    assert line.broken


@pytest.mark.parametrize(
    "frame", [b"{}", b'{"seq":null}', b'{"seq":"4"}', b'{"seq":4.5}', b'{"error":{"code":401}}', b'{"type":"ORDER"}']
)
def test_a_frame_without_a_place_ends_the_connection(line: AccountLine, frame: bytes) -> None:
    (event,) = line.deliver(frame)
    assert isinstance(event, Incident)
    assert line.broken


@pytest.mark.parametrize(
    "data", [None, 17, [], {}, {"orders": None}, {"orders": 5}, {"trades": []}, {"isSnapshot": "yes", "orders": []}]
)
def test_a_frame_in_place_without_content_is_doubt(
    line: AccountLine, server: ExtendedAccountServer, data: object
) -> None:
    server.seq += 1
    events = line.deliver(encode({"type": "ORDER", "data": data, "seq": server.seq}))
    assert [event.kind for event in events if isinstance(event, Incident)] == [IN_DOUBT]
    assert not line.broken, "a new connection would say the same"


def test_one_bad_row_hides_no_other(line: AccountLine, server: ExtendedAccountServer) -> None:
    good, bad = fill_row(a_fill(BTC)), fill_row(a_fill(BTC, fill_id="5"), market="NEW-AND-UNLISTED")
    events = line.deliver(server.frame("TRADE", False, trades=[bad, good]))
    assert [type(event) for event in events] == [Incident, ExecutionSeen]
    assert "NEW-AND-UNLISTED" in events[0].detail  # type: ignore[union-attr]


def test_a_snapshot_with_a_bad_row_is_no_listing(line: AccountLine, server: ExtendedAccountServer) -> None:
    good, bad = order_row(an_order(BTC)), order_row(an_order(BTC), qty="-1")
    events = line.deliver(server.frame("ORDER", True, orders=[good, bad]))
    assert [type(event) for event in events] == [OrderSeen, Incident]


class TestOrders:
    @pytest.mark.parametrize(
        ("status", "resting"),
        [("NEW", True), ("PARTIALLY_FILLED", True), ("UNTRIGGERED", True), ("TRIGGERED", True), ("WHATEVER", True),
         ("UNKNOWN", True), ("FILLED", False), ("CANCELLED", False), ("REJECTED", False), ("EXPIRED", False)],
    )  # fmt: skip
    def test_statuses(self, status: str, resting: bool) -> None:
        seen = read("order", order_row(an_order(BTC), status=status))
        assert (seen.resting, seen.reason) == (resting, status)

    @pytest.mark.parametrize("reason", ["POST_ONLY_FAILED", "NEGATIVE_EQUITY", "NEWER_THAN_US"])
    def test_why_it_ended_is_told(self, reason: str) -> None:
        seen = read("order", order_row(an_order(BTC), status="REJECTED", statusReason=reason))
        assert seen.reason == f"REJECTED {reason}"
        assert read("order", order_row(an_order(BTC), statusReason="NONE")).reason == "NEW"

    @pytest.mark.parametrize(
        ("status", "fields", "filled"),
        [("NEW", {}, 0), ("FILLED", {}, 700), ("CANCELLED", {"cancelledQty": "0.00200"}, 500), ("UNTRIGGERED", {}, 0)],
    )
    def test_how_much_is_filled_is_inferred_only_where_it_is_certain(
        self, status: str, fields: dict[str, str], filled: int
    ) -> None:
        row = order_row(an_order(BTC), status=status, filledQty=None, cancelledQty=None) | fields
        assert read("order", row).filled_lots == filled

    @pytest.mark.parametrize("status", ["PARTIALLY_FILLED", "CANCELLED", "REJECTED", "EXPIRED", "WHATEVER"])
    def test_else_it_is_unknown(self, status: str) -> None:
        with pytest.raises(WireError, match="how much"):
            read("order", order_row(an_order(BTC), status=status, filledQty=None, cancelledQty=None))

    @pytest.mark.parametrize("filled", ["0.00701", "-0.00001", "x", "0.000001"])
    def test_an_impossible_fill_is_refused(self, filled: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            read("order", order_row(an_order(BTC), filledQty=filled))

    def test_a_trigger_order_of_others_has_no_price(self) -> None:
        seen = read("order", order_row(an_order(BTC, client_id=None), type="TPSL", price="0", qty="0", filledQty="0"))
        assert (seen.price_ticks, seen.size_lots, seen.client_id) == (None, 0, None)

    @pytest.mark.parametrize(
        "external_id",
        ["", "T7-long-0", "T000007-long-32", "T000007-LONG-0", "t000007-long-0", "T000007-long-0 ", "2870968471", "-",
         "T-5-long-0", "T99999999999-long-0", "T000007-long-\u0660", "x" * 5_000, "T" + "9" * 5_000 + "-long-0"],
    )  # fmt: skip
    def test_what_only_looks_like_ours_is_not(self, external_id: str) -> None:
        assert ours(external_id) is None

    def test_ours_is_ours(self) -> None:
        assert ours(OURS) == OURS

    @pytest.mark.parametrize(
        ("fields", "at_ms"), [({"updatedTime": NOW - 5}, NOW - 5), ({"updatedTime": NOW + 3_000}, NOW)]
    )
    def test_no_row_is_from_the_future(self, fields: dict[str, int], at_ms: int) -> None:
        assert read("order", order_row(an_order(BTC), **fields)).at_ms == at_ms

    def test_an_account_that_is_liquidated_is_an_incident(
        self, line: AccountLine, server: ExtendedAccountServer
    ) -> None:
        told = order_row(an_order(BTC, resting=False), status="CANCELLED", statusReason="ACCOUNT_LIQUIDATION")
        order, incident = line.deliver(server.frame("ORDER", False, orders=[told]))
        assert isinstance(order, OrderSeen)
        assert isinstance(incident, Incident)
        assert incident.kind == "liquidation"


class TestFills:
    def test_a_fill_may_name_its_order_by_the_venues_id_alone(self) -> None:
        by = rows()
        row = fill_row(a_fill(BTC)) | {"externalOrderId": None}
        assert read("fill", row, by).client_id is None
        read("order", order_row(an_order(BTC)), by)
        assert read("fill", row, by).client_id == OURS
        del row["externalOrderId"]
        assert read("fill", row, by).client_id == OURS

    def test_the_names_that_are_remembered_are_bounded(self) -> None:
        by = rows()
        for number in range(12):
            read("order", order_row(an_order(BTC, venue_order_id=str(number))), by)
        told = [
            fill_row(a_fill(BTC, venue_order_id=str(number))) | {"externalOrderId": None} for number in (0, 1, 2, 11)
        ]
        assert [read("fill", row, by).client_id for row in told] == [None, None, OURS, OURS]

    @pytest.mark.parametrize(("side", "ticks"), [(Side.BUY, 1002), (Side.SELL, 1001)])
    @pytest.mark.parametrize("type_", ["LIQUIDATION", "DELEVERAGE"])
    def test_what_is_forced_is_booked_at_the_worse_tick(self, side: Side, ticks: int, type_: str) -> None:
        row = fill_row(a_fill(BTC, side=side, client_id=None), price="1001.37", tradeType=type_)
        seen = read("fill", row)
        assert (seen.price_ticks, seen.forced) == (ticks, type_.lower())

    def test_a_kind_of_trade_nobody_knows(self) -> None:
        by = rows()
        assert read("fill", fill_row(a_fill(BTC), tradeType="RFQ"), by).forced is None, "an order of ours traded"
        assert read("fill", fill_row(a_fill(BTC, client_id=None), tradeType="SETTLEMENT"), by).forced == "settlement"
        assert by.unknown_words == 2

    @pytest.mark.parametrize("fields", [{"qty": "0"}, {"qty": "-1"}, {"price": "0"}, {"price": "-5"}, {"side": "LONG"},
                                        {"fee": "much"}, {"fee": None}, {"price": "1001.5"}, {"id": None}])  # fmt: skip
    def test_half_a_fill_is_none(self, fields: dict[str, Any]) -> None:
        with pytest.raises((ValueError, *wire.UNREADABLE)):
            read("fill", fill_row(a_fill(BTC), **fields))

    def test_ids_may_be_text(self) -> None:
        row = fill_row(a_fill(BTC), id="2103822896206974978", orderId="2103822896198586368")
        assert read("fill", row) == a_fill(BTC)


class TestPositions:
    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("first", ["old", "new"])
    def test_the_end_of_an_old_one_does_not_hide_the_new_one(
        self, line: AccountLine, server: ExtendedAccountServer, together: bool, first: str
    ) -> None:
        """A position that turns around ends, and another begins: in whatever order that is told, it is not flat."""
        rows = [position_row(a_position(BTC, 700), id=7, status="CLOSED"), position_row(a_position(BTC, -300), id=8)]
        rows = rows if first == "old" else rows[::-1]
        parts = [rows] if together else [[row] for row in rows]
        frames = [server.frame("POSITION", False, positions=part) for part in parts]
        told = [event.lots for event in line.deliver(*frames) if isinstance(event, PositionSeen)]
        assert told == ([0, -300] if first == "old" else [-300])
        closed = server.frame("POSITION", False, positions=[position_row(a_position(BTC, 0), id=8)])
        assert [event.lots for event in line.deliver(closed) if isinstance(event, PositionSeen)] == [0]

    def test_a_listing_with_both_shows_the_new_one(self) -> None:
        rows = [position_row(a_position(BTC, -300), id="8"), position_row(a_position(BTC, 700), id=7, status="CLOSED")]
        (snapshot,) = trading().positions(NOW).parse(ok(rows), NOW)
        assert isinstance(snapshot, AccountSnapshot)
        assert [row.lots for row in snapshot.rows if isinstance(row, PositionSeen)] == [-300]

    def test_a_closed_one_still_shows_its_size(self) -> None:
        row = position_row(a_position(BTC, 700), status="CLOSED", margin="0", unrealisedPnl="0")
        seen = read("position", row)
        assert (seen.lots, seen.entry_price, seen.unrealised_usd) == (0, None, 0.0)

    @pytest.mark.parametrize(
        "fields", [{"status": "OPENING"}, {"side": "BUY"}, {"size": "-1"}, {"market": "X"}, {"id": "x"}]
    )
    def test_what_is_unclear_is_not_a_position(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"."):
            read("position", position_row(a_position(BTC, 700), **fields))

    def test_prices_are_in_ticks(self) -> None:
        row = position_row(a_position(ETH, 700), openPrice="500.25", liquidationPrice="100")
        seen = read("position", row)
        assert (seen.entry_price, seen.liquidation_price) == (1000.5, 200.0)
        assert read("position", position_row(a_position(ETH, 700))).liquidation_price is None


class TestBalance:
    def test_maintenance_is_a_share_of_equity(self) -> None:
        seen = read("balance", sample("balance"))
        assert isinstance(seen, BalanceSeen)
        assert (seen.equity_usd, seen.available_usd, seen.initial_margin_usd) == (13512.345678, 12671.76, 840.585)
        assert seen.maintenance_margin_usd == pytest.approx(13512.345678 * 0.0312)

    def test_what_is_not_told_is_none(self) -> None:
        seen = read("balance", balance_row(a_balance(BTC), initialMargin=None, marginRatio=None))
        assert (seen.initial_margin_usd, seen.maintenance_margin_usd) == (None, None)

    @pytest.mark.parametrize("text", ["NaN", "", "Infinity", None])
    def test_no_equity_is_no_balance(self, text: str | None) -> None:
        with pytest.raises((ValueError, *wire.UNREADABLE)):
            read("balance", balance_row(a_balance(BTC), equity=text))

    def test_a_change_of_the_accounts_status_is_told_once(
        self, line: AccountLine, server: ExtendedAccountServer
    ) -> None:
        told: list[Any] = []
        for status in ("ACTIVE", "LIQUIDATION", "LIQUIDATION", "ACTIVE"):
            told += line.deliver(server.frame("BALANCE", False, balance=balance_row(a_balance(BTC), status=status)))
        assert [event.detail for event in told if isinstance(event, Incident)] == [
            "the account is LIQUIDATION",
            "the account is ACTIVE",
        ]
        assert len([event for event in told if isinstance(event, BalanceSeen)]) == 4


def test_one_ioc_fill_as_it_was_recorded(line: AccountLine, server: ExtendedAccountServer) -> None:
    """ORDER(FILLED), BALANCE, TRADE with all fills, POSITION, BALANCE; no NEW (673 of 673, December 2025)."""
    fills = [a_fill(BTC, fill_id=str(number), size_lots=350) for number in (1, 2)]
    frames = [
        *server.order(an_order(BTC, filled_lots=700, resting=False)),
        *server.balance(a_balance(BTC)),
        server.frame("TRADE", False, trades=[fill_row(fill) for fill in fills]),
        *server.position(a_position(BTC, 700)),
        *server.balance(a_balance(BTC)),
    ]
    events = line.deliver(*frames)
    kinds = [OrderSeen, BalanceSeen, ExecutionSeen, ExecutionSeen, PositionSeen, BalanceSeen]
    assert [type(event) for event in events] == kinds
    assert events[2:4] == fills


def test_vault_shares_are_no_news(line: AccountLine, server: ExtendedAccountServer) -> None:
    assert line.deliver(server.frame("SPOT_BALANCE", True, spotBalances=[sample("spot_balance")])) == []
    assert line.feeds[0].unknown_words == 0


def test_there_is_no_book_here(feed: ExtendedAccountFeed) -> None:
    assert feed.markets == ()
    with pytest.raises(KeyError):
        feed.resync(BTC.key)
    assert "X-Api-Key" in feed.headers
    assert str(KEYS.api_key) not in repr(feed.headers)


def test_snapshots_in_mid_stream_are_snapshots(line: AccountLine, server: ExtendedAccountServer) -> None:
    (event,) = line.deliver(server.frame("POSITION", True, positions=[position_row(a_position(BTC, 5))]))
    assert isinstance(event, AccountSnapshot)
    assert [row.lots for row in event.rows if isinstance(row, PositionSeen)] == [5]

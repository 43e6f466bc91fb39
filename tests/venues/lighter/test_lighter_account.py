"""Lighter's account, beyond the battery: what its listings and streams have that no other venue's have."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from twinleg.core.amounts import Grid
from twinleg.core.orders import Leg, Side, client_id, trade_id
from twinleg.core.trading import (
    IN_DOUBT,
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    FeesSeen,
    FundingPaid,
    Incident,
    LeverageSeen,
    OrderSeen,
    PositionSeen,
    TransactionSeen,
    number_of,
)
from twinleg.core.venue import WireError
from twinleg.venues.lighter import account, facts
from twinleg.venues.lighter.sign import Signer, public_key
from twinleg.venues.lighter.trading import LighterTrading
from venues.battery import START_MS
from venues.lighter.case import RECORDED, encode
from venues.lighter.trading_case import (
    ACCOUNT,
    KEY,
    MARKETS,
    ONE,
    TRADING_CASE,
    LighterAccountServer,
    fill_row,
    ok,
    order_row,
    position_row,
    refusal,
    trading,
)
from venues.lighter.trading_case import account as account_body
from venues.trading_battery import OURS, AccountLine, a_fill, a_position, an_order

HOUR_MS = 3_600_000
UNLISTED = 4_000


@pytest.fixture
def venue() -> LighterTrading:
    return trading()


def parsed(read: AccountRead, body: bytes) -> list[AccountEvent]:
    return read.parse(body, START_MS)


def snapshot(events: list[AccountEvent], kind: str) -> AccountSnapshot:
    (found,) = [event for event in events if isinstance(event, AccountSnapshot) and event.kind == kind]
    return found


def incidents(events: list[AccountEvent]) -> list[str]:
    return [event.kind for event in events if isinstance(event, Incident)]


class TestOrders:
    @pytest.mark.parametrize("status", ["in-progress", "pending", "open"])
    def test_these_may_still_fill(self, venue: LighterTrading, status: str) -> None:
        row = order_row(an_order(ONE), status=status)
        assert snapshot(parsed(venue.open_orders(START_MS), ok(orders=[row])), "orders").rows[0].resting  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        "status",
        [
            "filled", "canceled", "canceled-post-only", "canceled-reduce-only", "canceled-position-not-allowed",
            "canceled-margin-not-allowed", "canceled-too-much-slippage", "canceled-not-enough-liquidity",
            "canceled-self-trade", "canceled-expired", "canceled-oco", "canceled-child", "canceled-liquidation",
            "canceled-invalid-balance", "canceled-for-a-reason-to-come",
        ],
    )  # fmt: skip
    def test_these_are_over_and_say_how(self, venue: LighterTrading, status: str) -> None:
        read, _ = venue.order(OURS, ONE, START_MS)
        (seen,) = parsed(read, ok(orders=[order_row(an_order(ONE, filled_lots=3), status=status)]))
        assert isinstance(seen, OrderSeen)
        assert (seen.resting, seen.reason, seen.filled_lots) == (False, status, 3)

    def test_an_order_of_another_account_is_none_of_ours(self, venue: LighterTrading) -> None:
        row = order_row(an_order(ONE), owner_account_index=ACCOUNT + 1)
        assert snapshot(parsed(venue.open_orders(START_MS), ok(orders=[row])), "orders").rows == ()

    def test_only_the_order_asked_for_is_told(self, venue: LighterTrading) -> None:
        orders, fills = venue.order(OURS, ONE, START_MS)
        other = client_id(trade_id(8), Leg.SHORT, 1)
        assert parsed(orders, ok(orders=[order_row(an_order(ONE, client_id=other))])) == []
        assert parsed(fills, ok(trades=[fill_row(a_fill(ONE, client_id=other))])) == []

    def test_null_is_no_orders_but_nothing_is_no_answer(self, venue: LighterTrading) -> None:
        read = venue.open_orders(START_MS)
        assert snapshot(parsed(read, ok(orders=None)), "orders").rows == ()
        for body in (ok(), ok(orders=[], next_cursor="abc"), ok(orders=[{}]), ok(orders=[None])):
            with pytest.raises(WireError):
                parsed(read, body)

    def test_an_order_in_a_market_that_is_not_listed_is_told(self, venue: LighterTrading) -> None:
        rows = [order_row(an_order(ONE), market_index=UNLISTED), order_row(an_order(ONE))]
        events = parsed(venue.open_orders(START_MS), ok(orders=rows))
        assert len(snapshot(events, "orders").rows) == 1
        assert incidents(events) == ["unlisted_market"]

    def test_a_market_order_has_its_worst_price_or_none(self, venue: LighterTrading) -> None:
        read, _ = venue.order(OURS, ONE, START_MS)
        (seen,) = parsed(read, ok(orders=[order_row(an_order(ONE), price="0.0000000")]))
        assert isinstance(seen, OrderSeen)
        assert seen.price_ticks is None


class TestFills:
    def test_a_trade_of_others_is_left_out(self, venue: LighterTrading) -> None:
        for market in (int(ONE.native_id), UNLISTED):
            foreign = fill_row(a_fill(ONE), bid_account_id=1, ask_account_id=2, market_id=market)
            (listed,) = parsed(venue.fills(0, START_MS), ok(trades=[foreign]))
            assert isinstance(listed, AccountSnapshot)
            assert listed.rows == ()

    @pytest.mark.parametrize("trades", [{}, {"trades": None}, {"trades": []}])
    def test_no_trades_are_written_in_three_ways(self, venue: LighterTrading, trades: dict[str, None]) -> None:
        found = snapshot(parsed(venue.fills(5, START_MS), ok(**trades)), "fills")
        assert (found.rows, found.since_ms) == ((), 5)

    def test_the_same_trade_twice_is_one(self, venue: LighterTrading) -> None:
        row = fill_row(a_fill(ONE))
        assert snapshot(parsed(venue.fills(0, START_MS), ok(trades=[row, row])), "fills").rows == (a_fill(ONE),)

    def test_pages_in_a_wrong_order_prove_nothing(self, venue: LighterTrading) -> None:
        rows = [fill_row(a_fill(ONE, at_ms=START_MS - 5)), fill_row(a_fill(ONE))]
        with pytest.raises(WireError, match="sorted"):
            parsed(venue.fills(0, START_MS), ok(trades=rows))

    def test_pages_end(self, venue: LighterTrading) -> None:
        read: AccountRead | None = venue.fills(0, START_MS)
        body = ok(trades=[fill_row(a_fill(ONE))], next_cursor="again")
        for _ in range(facts.PAGES_MAX - 1):
            assert read is not None
            assert read.more is not None
            read = read.more(body)
        assert read is not None
        assert "cursor=again" in read.request.url
        assert read.more is not None
        assert read.more(body) is None
        assert snapshot(parsed(read, body), "fills").since_ms == START_MS + 1

    def test_the_same_millisecond_may_go_on_on_the_next_page(self, venue: LighterTrading) -> None:
        read = venue.fills(START_MS, START_MS)
        body = ok(trades=[fill_row(a_fill(ONE))], next_cursor="abc")
        assert snapshot(parsed(read, body), "fills").since_ms == START_MS + 1
        assert read.more is not None
        assert read.more(body) is not None

    def test_trading_with_oneself_is_two_executions(self, venue: LighterTrading) -> None:
        row = fill_row(a_fill(ONE), ask_account_id=ACCOUNT, bid_account_id=ACCOUNT)
        rows = snapshot(parsed(venue.fills(0, START_MS), ok(trades=[row])), "fills").rows
        assert [row.side for row in rows] == [Side.SELL, Side.BUY]  # type: ignore[union-attr]

    def test_a_maker_pays_the_makers_fee(self, venue: LighterTrading) -> None:
        """10 ETH at 2,000 USD: 20,000 USD of notional, 28 ticks of 1e-6 are 0.56 USD."""
        told = a_fill(ONE, price_ticks=2_000 * 10**7, size_lots=10 * 10**8, side=Side.SELL)
        row = fill_row(told, is_maker_ask=True, maker_fee=28, taker_fee=196)
        (seen,) = snapshot(parsed(venue.fills(0, START_MS), ok(trades=[row])), "fills").rows
        assert isinstance(seen, ExecutionSeen)
        assert seen.fee_micro_usd == 560_000

    @pytest.mark.parametrize(
        ("kind", "maker", "client_id", "forced"),
        [
            ("liquidation", False, None, "liquidation"),
            ("liquidation", True, None, None),  # somebody else's, whose order took ours
            ("liquidation", True, OURS, None),
            ("liquidation", False, OURS, "liquidation"),
            ("deleverage", True, None, "deleverage"),
            ("market-settlement", False, None, "market-settlement"),
            ("trade", False, None, None),
            ("gift", False, None, None),
        ],
    )
    def test_forced_is_what_was_done_to_us(
        self, venue: LighterTrading, kind: str, maker: bool, client_id: str | None, forced: str | None
    ) -> None:
        row = fill_row(a_fill(ONE, client_id=client_id), type=kind, is_maker_ask=not maker)  # we buy
        (seen,) = snapshot(parsed(venue.fills(0, START_MS), ok(trades=[row])), "fills").rows
        assert isinstance(seen, ExecutionSeen)
        assert seen.forced == forced


class TestAccount:
    def test_a_recorded_account_is_read(self) -> None:
        """The figures hold together: equity, its free part, the liquidation price."""
        body = RECORDED["GET /api/v1/account (open ETH position)"]
        (row,) = body["accounts"]
        eth = msgspec.structs.replace(ONE, price_grid=Grid(2), size_grid=Grid(4))
        venue = LighterTrading("http://x", "ws://x", Signer(row["index"], 304, {5: KEY}), {eth.key: eth})
        events = parsed(venue.positions(START_MS), encode(body))
        held = next(each for each in snapshot(events, "positions").rows if isinstance(each, PositionSeen) and each.lots)
        told = next(each for each in row["positions"] if each["symbol"] == "ETH")
        assert held.lots == told["sign"] * int(told["position"].replace(".", ""))
        assert held.entry_price == pytest.approx(float(told["avg_entry_price"]) * 100)
        assert held.liquidation_price == pytest.approx(float(told["liquidation_price"]) * 100)
        leverage = next(event for event in events if isinstance(event, LeverageSeen))
        assert leverage.leverage == pytest.approx(100 / float(told["initial_margin_fraction"]))
        (money,) = snapshot(parsed(venue.balance(START_MS), encode(body)), "balance").rows
        assert isinstance(money, BalanceSeen)
        assert money.equity_usd == float(row["total_asset_value"])
        used = float(told["position_value"]) * float(told["initial_margin_fraction"]) / 100
        assert money.initial_margin_usd == pytest.approx(used, rel=1e-3)

    def test_another_account_is_no_answer(self, venue: LighterTrading) -> None:
        for body in (account_body(index=5), ok(accounts=[]), ok(accounts=None), ok()):
            for read in (venue.positions(START_MS), venue.balance(START_MS)):
                with pytest.raises(WireError):
                    parsed(read, body)

    def test_null_positions_are_believed_without_profit_or_loss_only(self, venue: LighterTrading) -> None:
        read = venue.positions(START_MS)
        flat = account_body(positions=None, collateral="5.000000", total_asset_value="5.000000")
        assert snapshot(parsed(read, flat), "positions").rows == ()
        with pytest.raises(WireError, match="profit or loss"):
            parsed(read, account_body(positions=None))

    @pytest.mark.parametrize(
        "wrong",
        [{"sign": 0}, {"sign": 2}, {"position": "-1.0"}, {"position": ""}, {"position": "1e3"}, {"market_id": None}],
    )
    def test_a_position_that_is_not_clear_is_no_answer(self, venue: LighterTrading, wrong: dict[str, Any]) -> None:
        with pytest.raises(WireError):
            parsed(venue.positions(START_MS), account_body(positions=[position_row(a_position(ONE, 5), **wrong)]))

    def test_a_position_in_a_market_that_is_not_listed_is_told(self, venue: LighterTrading) -> None:
        rows = [
            position_row(a_position(ONE, 5), market_id=UNLISTED),
            position_row(a_position(ONE, 0), market_id=UNLISTED),
        ]
        events = parsed(venue.positions(START_MS), account_body(positions=rows))
        assert incidents(events) == ["unlisted_market"]

    def test_a_new_listing_is_known_at_once(self) -> None:
        markets = dict(MARKETS)
        venue = LighterTrading("http://x", "ws://x", trading()._signer, markets)
        body = account_body(positions=[position_row(a_position(ONE, 5), market_id=200)])
        assert incidents(parsed(venue.positions(START_MS), body)) == ["unlisted_market"]
        markets["lighter:NEW"] = msgspec.structs.replace(ONE, key="lighter:NEW", native_id="200")
        (held,) = snapshot(parsed(venue.positions(START_MS), body), "positions").rows
        assert isinstance(held, PositionSeen)
        assert held.market == "lighter:NEW"
        markets["lighter:NEW"] = msgspec.structs.replace(markets["lighter:NEW"], min_size_lots=77)
        assert venue._rows.market(200) is markets["lighter:NEW"]

    def test_fees_are_ticks_of_a_millionth(self, venue: LighterTrading) -> None:
        read = venue.fees(START_MS)
        body = ok(current_maker_fee_tick=28, current_taker_fee_tick=196, user_tier="premium")
        assert parsed(read, body) == [FeesSeen("lighter", None, 0.28, 1.96, START_MS)]
        with pytest.raises(WireError, match="no fees"):
            parsed(read, ok(current_maker_fee_tick=28))

    @pytest.mark.parametrize(
        ("change", "side", "rate"),
        [("-0.270787", "long", 1.2e-5), ("0.270787", "long", -1.2e-5), ("0.270787", "short", 1.2e-5)],
    )
    def test_funding_is_signed_by_who_received_it(
        self, venue: LighterTrading, change: str, side: str, rate: float
    ) -> None:
        row = {
            "timestamp": 1_778_702_403, "market_id": int(ONE.native_id), "funding_id": 9, "change": change,
            "rate": "0.000012", "position_size": "10.0", "position_side": side, "discount": "0",
        }  # fmt: skip
        (paid,) = parsed(venue.funding_paid(START_MS), ok(position_fundings=[row]))
        amount = 270_787 if change[0] != "-" else -270_787
        assert paid == FundingPaid("lighter", ONE.key, amount, rate, 1_778_702_400_000)
        in_ms = row | {"timestamp": 1_778_702_403_000}
        assert parsed(venue.funding_paid(START_MS), ok(position_fundings=[in_ms])) == [paid]
        for wrong in ({"timestamp": 5}, {"change": "much"}, {"change": ""}, {"rate": "7"}):
            with pytest.raises(WireError):
                parsed(venue.funding_paid(START_MS), ok(position_fundings=[row | wrong]))

    @pytest.mark.parametrize("nonce", [None, -1, 2**48, "5", 1.5])
    def test_only_a_number_is_a_nonce(self, venue: LighterTrading, nonce: object) -> None:
        request, parse = venue.next_number("5", START_MS)
        assert request.url.endswith(f"/api/v1/nextNonce?account_index={ACCOUNT}&api_key_index=5")
        assert parse(ok(nonce=722)) == 722
        with pytest.raises(WireError):
            parse(ok(nonce=nonce))

    def test_another_key_in_the_slot_is_told(self, venue: LighterTrading) -> None:
        read = venue.key_check("6", START_MS)
        ours = public_key(KEY)
        for text in (ours, f"0x{ours.upper()}"):
            keys = [{"api_key_index": 5, "public_key": "ab" * 40}, {"api_key_index": 6, "public_key": text}]
            assert parsed(read, ok(api_keys=keys)) == []
        for keys, there in (
            ([{"api_key_index": 5, "public_key": ours}], "has none"),
            ([{"api_key_index": 6, "public_key": "ab" * 40}], "has abab"),
            ([{"api_key_index": 6, "public_key": ""}], "has none"),
            (None, "has none"),
        ):
            (wrong,) = parsed(read, ok(api_keys=keys))
            assert isinstance(wrong, Incident)
            assert wrong.kind == "wrong_key"
            assert there in wrong.detail
            assert ours in wrong.detail


def tx(**fields: Any) -> dict[str, Any]:
    info = {
        "AccountIndex": ACCOUNT, "ApiKeyIndex": 5, "MarketIndex": int(ONE.native_id), "BaseAmount": 700,
        "ClientOrderIndex": number_of(OURS), "Price": 1_001, "IsAsk": 1, "Type": 0, "ReduceOnly": 1,
    }  # fmt: skip
    return {
        "code": 200, "hash": "ab" * 40, "type": 14, "info": json.dumps(info), "status": 0,
        "event_info": json.dumps({"ae": "not enough margin"}), "account_index": ACCOUNT, "nonce": 7, **fields,
    }  # fmt: skip


class TestTransactions:
    def test_an_order_that_failed_after_all_was_never_placed(self, venue: LighterTrading) -> None:
        (seen,) = parsed(venue.transaction("ab" * 40, START_MS), encode(tx()))
        assert isinstance(seen, OrderSeen)
        assert (seen.client_id, seen.market, seen.side, seen.size_lots) == (OURS, ONE.key, Side.SELL, 700)
        assert (seen.resting, seen.filled_lots, seen.price_ticks, seen.reduce_only) == (False, 0, 1_001, True)
        assert "not enough margin" in seen.reason
        (other,) = parsed(venue.transaction("", START_MS), encode(tx(event_info='{"ae":{"code":21739}}')))
        assert isinstance(other, OrderSeen)
        assert "21739" in other.reason

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": 1},
            {"status": 2},
            {"status": 3},
            {"status": 9},
            {"event_info": '{"ae":"21728: client order index already exists"}'},
            {"event_info": ""},
            {"event_info": "{}"},
            {"event_info": '{"ae":null}'},
            {"event_info": '{"ae":""}'},
            {"type": 15},
            {"type": 17},
        ],
    )
    def test_what_proves_nothing_says_nothing(self, venue: LighterTrading, fields: dict[str, Any]) -> None:
        assert parsed(venue.transaction("ab" * 40, START_MS), encode(tx(**fields))) == []

    @pytest.mark.parametrize(
        ("fields", "kind"),
        [
            ({"type": 26, "status": 2}, "liquidation"),
            ({"type": 23, "status": 2}, "deleverage"),
            ({"type": 8, "status": 2}, "key_changed"),
            ({"type": 20}, "transaction_failed"),
            ({"type": 16}, "transaction_failed"),
        ],
    )
    def test_what_happens_to_the_account_is_told(
        self, venue: LighterTrading, fields: dict[str, Any], kind: str
    ) -> None:
        assert incidents(parsed(venue.transaction("ab" * 40, START_MS), encode(tx(**fields)))) == [kind]

    @pytest.mark.parametrize(
        ("fields", "executed"),
        [
            ({"status": 1}, False),
            ({"status": 2}, True),
            ({"status": 3}, True),
            ({"status": 9}, False),
            ({}, True),  # failed at the sequencer
            ({"event_info": ""}, False),
            ({"event_info": '{"ae":"21104: invalid nonce"}'}, False),
            ({"event_info": '{"ae":"Invalid nonce"}'}, False),
        ],
    )
    def test_a_transaction_tells_whose_a_number_is(
        self, venue: LighterTrading, fields: dict[str, Any], executed: bool
    ) -> None:
        told = parsed(venue.transaction("ab" * 40, START_MS), encode(tx(api_key_index=5, **fields)))
        assert [one for one in told if isinstance(one, TransactionSeen)] == [
            TransactionSeen(
                venue="lighter", key="5", number=7, correlation="ab" * 40, client_id=OURS, executed=executed,
                at_ms=START_MS,
            )
        ]  # fmt: skip

    @pytest.mark.parametrize(("kind", "info"), [(15, {"Index": number_of(OURS)}), (17, {"Index": number_of(OURS)})])
    def test_cancels_and_changes_name_their_order(self, venue: LighterTrading, kind: int, info: dict[str, Any]) -> None:
        fields = {"type": kind, "status": 2, "info": json.dumps(info), "api_key_index": 5}
        (told,) = parsed(venue.transaction("", START_MS), encode(tx(**fields)))
        assert isinstance(told, TransactionSeen)
        assert told.client_id == OURS

    @pytest.mark.parametrize(
        "fields",
        [
            {"account_index": ACCOUNT + 1},
            {"api_key_index": None},
            {"nonce": None},
            {"type": 26},  # the venue's own
            {"type": 21},
        ],
    )
    def test_transactions_that_no_key_of_ours_signed_have_no_number(
        self, venue: LighterTrading, fields: dict[str, Any]
    ) -> None:
        told = parsed(venue.transaction("", START_MS), encode(tx(status=2, **({"api_key_index": 5} | fields))))
        assert [one for one in told if isinstance(one, TransactionSeen)] == []

    def test_an_unknown_transaction_is_no_answer(self, venue: LighterTrading) -> None:
        for body in (
            refusal(21500, "transaction not found"),
            encode(tx(info="{}")),
            encode(tx(event_info="what")),
            ok(),
        ):
            with pytest.raises(WireError):
                parsed(venue.transaction("ab" * 40, START_MS), body)


def frame(kind: str, how: str = "update", **content: Any) -> bytes:
    return LighterAccountServer.frame(kind, how, **content)


class TestStream:
    @pytest.fixture
    def line(self) -> AccountLine:
        return AccountLine(TRADING_CASE).open()

    @staticmethod
    def server(line: AccountLine) -> LighterAccountServer:
        server = line.servers[0]
        assert isinstance(server, LighterAccountServer)
        return server

    def test_every_topic_is_asked_for_with_one_token(self, line: AccountLine) -> None:
        tokens = self.server(line).tokens
        assert len(tokens) == 5
        assert len(set(tokens)) == 1
        assert tokens[0].startswith(f"{START_MS // 1_000 + 7 * 3_600}:{ACCOUNT}:5:")

    def test_a_new_token_asks_for_everything_anew(self, line: AccountLine) -> None:
        line.push(lambda server: server.fill(a_fill(ONE)))
        line.now_ms += 6 * HOUR_MS - 2_000
        before = len(line.events)
        line.wait(1)
        assert len(self.server(line).tokens) == 5
        line.wait(2)
        tokens = self.server(line).tokens
        assert len(tokens) == 10
        assert len(set(tokens)) == 2
        events = line.events[before:]
        assert snapshot(events, "orders").rows == snapshot(events, "positions").rows == ()
        assert incidents(events) == [IN_DOUBT]  # fills while not subscribed
        line.wait(60)
        assert len(self.server(line).tokens) == 10
        assert not line.broken

    def test_replayed_fills_are_told_once(self, line: AccountLine) -> None:
        rows = [fill_row(a_fill(ONE, fill_id=number)) for number in ("3", "1", "2")]
        first = line.deliver(frame("account_all_trades", "subscribed", trades={"0": rows}))
        assert [event.fill_id for event in first if isinstance(event, ExecutionSeen)] == ["1", "2", "3"]
        again = line.deliver(frame("account_all_trades", "subscribed", trades=rows))
        assert incidents(again) == [IN_DOUBT]
        assert len(again) == 1

    def test_fills_are_remembered_within_bounds(self, line: AccountLine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(facts, "FILLS_SEEN_MAX", 3)
        for number in range(1, 10):
            line.push(lambda server, number=number: server.fill(a_fill(ONE, fill_id=str(number))))  # type: ignore[misc]
        feed = line.feeds[0]
        assert isinstance(feed, account.LighterAccountFeed)
        assert len(feed._fills_seen) == 3
        assert line.push(lambda server: server.fill(a_fill(ONE, fill_id="9"))) == []

    def test_a_trade_of_others_in_our_stream_is_left_out(self, line: AccountLine) -> None:
        row = fill_row(a_fill(ONE), bid_account_id=1)
        assert line.deliver(frame("account_all_trades", trades={"0": [row]})) == []

    @pytest.mark.parametrize("kind", ["account_all_orders", "account_all_positions"])
    def test_a_start_without_content_claims_nothing(self, line: AccountLine, kind: str) -> None:
        for content in ({}, {kind.rpartition("_")[2]: None}):
            events = line.deliver(frame(kind, "subscribed", **content))
            assert incidents(events) == [IN_DOUBT]
            assert len(events) == 1
        assert not line.broken

    def test_no_trades_to_start_with_may_be_null(self, line: AccountLine) -> None:
        for content in ({}, {"trades": None}, {"trades": {}}, {"trades": {"0": None}}):
            assert line.deliver(frame("account_all_trades", **content)) == []

    def test_a_start_with_a_row_that_is_not_clear_is_no_listing(self, line: AccountLine) -> None:
        rows = [order_row(an_order(ONE)), order_row(an_order(ONE), filled_base_amount="many")]
        events = line.deliver(frame("account_all_orders", "subscribed", orders={"0": rows}))
        assert [type(event) for event in events] == [OrderSeen, Incident]
        assert incidents(events) == [IN_DOUBT]

    def test_frames_of_another_account_are_left_out(self, line: AccountLine) -> None:
        told = json.loads(frame("user_stats", stats={"portfolio_value": "1", "available_balance": "1"}))
        assert line.deliver(encode(told | {"channel": f"user_stats:{ACCOUNT + 1}"})) == []
        assert line.feeds[0].bad_frames == 1

    def test_a_failed_order_is_told_and_what_a_start_replays_is_no_news(self, line: AccountLine) -> None:
        rows = [tx(), tx(type=26, status=2)]
        assert incidents(line.deliver(frame("account_tx", txs=rows))) == ["liquidation"]
        started = line.deliver(frame("account_tx", "subscribed", txs=rows))
        assert [type(event) for event in started] == [OrderSeen]

    def test_whose_a_number_is_is_told_at_a_start_too(self, line: AccountLine) -> None:
        for how in ("update", "subscribed"):
            told = line.deliver(frame("account_tx", how, txs=[tx(status=2, api_key_index=5)]))
            assert [type(event) for event in told] == [TransactionSeen]

    def test_orders_cancelled_by_a_liquidation_raise_it(self, line: AccountLine) -> None:
        row = order_row(an_order(ONE), status="canceled-liquidation")
        assert incidents(line.deliver(frame("account_all_orders", orders={"0": [row]}))) == ["liquidation"]

    def test_the_balance_is_followed(self, line: AccountLine) -> None:
        (seen,) = line.push(lambda server: server.balance(BalanceSeen("lighter", 40.0, 39.0, None, None, 0)))
        assert seen == BalanceSeen("lighter", 40.0, 39.0, 1.0, None, START_MS)

    def test_a_refused_topic_is_asked_again_with_a_new_token(self, line: AccountLine) -> None:
        line.wait(61)
        error = {"error": {"code": 20001, "message": f"auth field is invalid: account_all_orders:{ACCOUNT}"}}
        assert incidents(line.deliver(encode(error))) == ["stream_refused"]
        line.wait(2)
        assert len(self.server(line).tokens) == 10  # with the token, everything
        assert len(set(self.server(line).tokens)) == 2

    def test_an_error_that_concerns_no_token_leaves_it_alone(self, line: AccountLine) -> None:
        line.wait(61)
        for error in ({"code": 30000, "message": "Invalid Json"}, {"code": 77777, "message": "news"}):
            assert incidents(line.deliver(encode({"error": error}))) == ["stream_refused"]
        line.wait(10)
        assert len(self.server(line).tokens) == 5

    def test_being_there_already_is_asked_for_anew(self, line: AccountLine) -> None:
        line.wait(61)
        error = {"error": {"code": 30003, "message": f"Already Subscribed to : account_all_orders:{ACCOUNT}"}}
        events = line.deliver(encode(error)) + line.wait(2)
        assert snapshot(events, "orders").rows == ()
        assert incidents(events) == []

    def test_too_much_asking_waits(self, line: AccountLine) -> None:
        line.wait(61)
        lost = {"error": {"code": 30003, "message": f"Already Subscribed to : account_all_orders:{ACCOUNT}"}}
        assert line.deliver(encode({"error": {"code": 30009, "message": "too many messages"}}), encode(lost)) == []
        assert line.deliver(encode({"error": {"code": 30002, "message": "Not Subscribed to : x"}})) == []
        line.wait(9)
        assert len(self.server(line).tokens) == 5
        line.wait(3)
        assert len(self.server(line).tokens) == 6
        assert not line.broken

    def test_a_planned_restart_ends_the_connection(self, line: AccountLine) -> None:
        line.deliver(encode({"type": "shutdown", "close_in_ms": 2_000}))
        events = line.wait(3)
        assert line.broken
        assert incidents(events) == [IN_DOUBT]
        assert line.feeds[0].closed("gone", line.now_ns, line.now_ms) == []  # told before

    def test_a_ping_is_answered(self, line: AccountLine) -> None:
        feed = line.feeds[0]
        feed.received(b'{"type":"ping"}', line.now_ns, line.now_ms)
        assert feed.outbox == [b'{"type":"pong"}']

    def test_there_is_no_book_to_resync(self, line: AccountLine) -> None:
        with pytest.raises(KeyError):
            line.feeds[0].resync(ONE.key)

    def test_a_clock_that_steps_back_renews_the_token(self, line: AccountLine) -> None:
        line.wait(61)
        line.now_ms -= 3 * HOUR_MS
        line.wait(3)
        assert len(set(self.server(line).tokens)) == 2

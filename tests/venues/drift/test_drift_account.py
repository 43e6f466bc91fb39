"""The account: the User account and records to events, names beyond a byte, and the node's stream."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import msgspec
import pytest

from twinleg.core.messages import Market
from twinleg.core.orders import Leg, Side, client_id, trade_id
from twinleg.core.trading import IN_DOUBT, ExecutionSeen, FundingPaid, Incident, OrderSeen, PositionSeen
from twinleg.core.venue import WireError
from twinleg.venues.drift import facts
from twinleg.venues.drift.account import DriftAccountFeed, Heard, Rows
from twinleg.venues.drift.chain import layout
from twinleg.venues.drift.chain.events import FundingPayment, Liquidation, OrderAction
from twinleg.venues.drift.chain.events import Side as Party
from twinleg.venues.drift.chain.keys import address
from twinleg.venues.drift.chain.money import balance_seen
from twinleg.venues.drift.chain.names import NAMES_MAX, Name, Names
from venues.battery import GARBAGE, START_MS, START_NS, listed
from venues.drift.case import CASE, DATA, SOL, USDC

OURS = client_id(trade_id(7), Leg.LONG, 0)
GOLDEN = json.loads(gzip.decompress((DATA / "svm_golden_velocity_202608.json.gz").read_bytes()))
STEPS = {step["label"]: step for step in GOLDEN["steps"]}
USER = address(GOLDEN["user"])
MARKET = msgspec.structs.replace(
    listed(CASE)["SOL-PERP"],
    price_grid=msgspec.structs.replace(listed(CASE)["SOL-PERP"].price_grid, decimals=3, step=1),
)
MARKETS: dict[str, Market] = {MARKET.key: MARKET}


def rows_of(names: Names | None = None) -> Rows:
    return Rows(facts.VELOCITY, USER, MARKETS, names or Names())


def user_after(label: str) -> layout.User:
    return layout.read_user(layout.VELOCITY, base64.b64decode(STEPS[label]["user_after_b64"]))


def a_name(byte: int, **fields: Any) -> Name:
    told = {"client_id": OURS, "market_index": 0, "byte": byte, "signature": "sig", "from_order_id": 0}
    return Name(**(told | {"void_after_ms": START_MS + 9_000} | fields))


def an_action(**fields: Any) -> OrderAction:
    ours = Party(USER, 12, layout.SHORT, 10**9, 10**8, 7_631_795)
    nobody = Party(None, None, None, None, None, None)
    told = OrderAction(START_MS // 1_000, 2, 6, 0, 1, 745, 10**8, 7_631_795, 2_672, None, ours, nobody, 76_340_755)
    return told._replace(**fields)


class TestNames:
    def test_a_label_is_free_and_stays_its_orders(self) -> None:
        names = Names()
        byte = names.byte_for(OURS, set(), START_MS)
        assert byte == Names().byte_for(OURS, set(), START_MS)
        assert names.byte_for(OURS, {byte}, START_MS) == byte % 255 + 1
        names.sent(a_name(byte))
        assert names.byte_for(OURS, {byte}, START_MS) == byte

    def test_all_labels_are_used_before_there_is_none(self) -> None:
        names, given = Names(), set()
        for number in range(255):
            one = client_id(trade_id(number), Leg.LONG, 0)
            given.add(names.byte_for(one, set(), START_MS))
            names.sent(a_name(names.byte_for(one, set(), START_MS), client_id=one, signature=one))
        assert given == set(range(1, 256))
        with pytest.raises(ValueError, match="in use"):
            names.byte_for("T000999-long-0", set(), START_MS)
        assert names.byte_for("T000999-long-0", set(), START_MS + 10_000), "what never came holds no label"

    def test_an_order_is_known_by_its_label_and_then_by_its_id(self) -> None:
        (order,) = user_after("post-only bid 1% below oracle").open_orders()
        names = Names()
        assert names.of_order(order) is None
        names.sent(a_name(7, from_order_id=2))
        assert names.of_order(order) is None, "older than ours"
        names.sent(a_name(7, signature="other"))
        assert names.of_order(order) == OURS
        assert names.of_order(order._replace(user_order_id=9)) == OURS
        assert names.of_order(order._replace(order_id=99)) is None
        assert (names.of_signature("other"), names.of_signature("sig")) == (OURS, None)
        names.ended(order.order_id)
        assert names.byte_for("T000008-long-0", set(range(1, 7)) | set(range(8, 256)), START_MS) == 7

    def test_they_are_bounded(self) -> None:
        names = Names()
        for number in range(NAMES_MAX + 5):
            names.sent(a_name(1, client_id=f"c{number}", signature=f"s{number}"))
        assert names.of_client("c4") is None
        assert names.of_signature("s4") is None
        assert names.of_client("c5") is not None


class TestRows:
    def test_an_open_order_is_read(self) -> None:
        names = Names()
        names.sent(a_name(7))
        (seen,) = rows_of(names).orders(user_after("post-only bid 1% below oracle"), START_MS)
        assert seen == OrderSeen(
            venue="drift", market=MARKET.key, client_id=OURS, venue_order_id="1", side=Side.BUY, size_lots=10,
            filled_lots=0, price_ticks=75_577, reduce_only=False, resting=True, reason="", at_ms=START_MS, name=OURS,
        )  # fmt: skip

    def test_a_position_is_read(self) -> None:
        (seen,) = rows_of().positions(user_after("keeper fill at +5 slots"), START_MS)
        assert (seen.market, seen.lots, seen.entry_price) == (MARKET.key, 10, pytest.approx(76_317.95))
        (slot, *_) = user_after("keeper fill at +5 slots").perp_positions
        short = slot._replace(base_asset_amount=-slot.base_asset_amount, quote_entry_amount=-slot.quote_entry_amount)
        assert rows_of().position(short, START_MS).lots == -10
        for wrong in (slot._replace(base_asset_amount=10**8 + 1), slot._replace(market_index=9)):
            with pytest.raises(ValueError, match=r"whole number|not listed"):
                rows_of().position(wrong, START_MS)

    def test_a_fill_is_exact_and_worse_for_us_between_ticks(self) -> None:
        rows = rows_of()
        rows.names.placed(OURS, 12)
        (sold,) = rows.record(an_action(), START_MS)
        assert sold == ExecutionSeen(
            venue="drift", market=MARKET.key, client_id=OURS, venue_order_id="12", fill_id="0/745", side=Side.SELL,
            price_ticks=76_317, size_lots=10, fee_micro_usd=2_672, forced=None, at_ms=START_MS // 1_000 * 1_000,
        )  # fmt: skip
        made = an_action(taker=an_action().maker, maker=an_action().taker._replace(direction=0), maker_fee=-190)
        (bought,) = rows.record(made, START_MS)
        assert isinstance(bought, ExecutionSeen)
        assert (bought.side, bought.price_ticks, bought.fee_micro_usd) == (Side.BUY, 76_318, -190)
        (forced,) = rows.record(an_action(explanation=5), START_MS)
        assert isinstance(forced, ExecutionSeen)
        assert forced.forced == "liquidation"

    def test_an_orders_end_is_told_with_what_filled(self) -> None:
        whole = an_action(taker=an_action().taker._replace(filled=10**9))
        _, filled = rows_of().record(whole, START_MS)
        (cancelled,) = rows_of().record(an_action(action=1, explanation=4), START_MS)
        (expired,) = rows_of().record(an_action(action=4), START_MS)
        told = [(one.filled_lots, one.size_lots, one.resting, one.reason) for one in (filled, cancelled, expired)]
        assert told == [
            (100, 100, False, "filled 6"), (10, 100, False, "cancelled 4"), (10, 100, False, "expired 6"),
        ]  # fmt: skip

    def test_funding_and_liquidation_are_told(self) -> None:
        hour_s = 1_786_204_800
        (paid,) = rows_of().record(FundingPayment(hour_s + 31, USER, 0, -1_234), START_MS)
        assert paid == FundingPaid("drift", MARKET.key, -1_234, None, hour_s * 1_000)
        (taken,) = rows_of().record(Liquidation(hour_s, 0, USER), START_MS)
        assert isinstance(taken, Incident)

    def test_what_is_others_or_no_perps_is_left_out(self) -> None:
        other = bytes(32)
        for record in (
            an_action(taker=an_action().taker._replace(user=other)), an_action(market_type=0), an_action(action=0),
            FundingPayment(5, other, 0, 1), Liquidation(5, 0, other),
        ):  # fmt: skip
            assert rows_of().record(record, START_MS) == []

    @pytest.mark.parametrize("fields", [{"base": 0}, {"base": 10**8 + 1}, {"quote": None}, {"fill_record_id": None},
                                        {"market_index": 9}, {"quote": 1}], ids=str)  # fmt: skip
    def test_a_fill_that_makes_no_sense_is_none(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"fill of nothing|whole number|not listed"):
            rows_of().record(an_action(**fields), START_MS)


def test_the_balance_is_money_profit_and_margins() -> None:
    perp = layout.read_perp_market(layout.DRIFT_V2, SOL)._replace(oracle_price=80_000_000)
    spot = layout.read_spot_market(layout.DRIFT_V2, USDC)._replace(deposit_interest=10**10)
    user = user_after("keeper fill at +5 slots")
    seen = balance_seen(user, {0: spot}, {0: perp}, START_MS)
    assert seen.equity_usd == pytest.approx(10_000 - 7.634467 + 8)
    assert seen.initial_margin_usd == pytest.approx(8 * perp.margin_initial / 10_000)
    assert seen.available_usd == pytest.approx(seen.equity_usd - 8 * perp.margin_initial / 10_000)
    for spots, perps in (({}, {0: perp}), ({0: spot}, {})):
        with pytest.raises(WireError, match="not asked for"):
            balance_seen(user, spots, perps, START_MS)


class Stream:
    """A feed and what a node would say to it."""

    def __init__(self) -> None:
        self.rows, self.heard = rows_of(), Heard()
        self.feed = DriftAccountFeed("ws://127.0.0.1:1/", self.rows, self.heard)
        self.now_ms, self.slot = START_MS, 438_024_299

    def say(self, frame: Any) -> list[Any]:
        payload = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        return self.feed.received(payload, START_NS, self.now_ms)

    def open(self) -> list[Any]:
        self.feed.opened(self.now_ms)
        asked = [json.loads(one) for one in self.feed.outbox]
        assert [one["method"] for one in asked] == ["accountSubscribe", "logsSubscribe", "slotSubscribe"]
        return [
            one for each in asked for one in self.say({"jsonrpc": "2.0", "result": 70 + each["id"], "id": each["id"]})
        ]

    def told(self, number: int, result: Any) -> list[Any]:
        params = {"result": result, "subscription": 70 + number}
        return self.say({"jsonrpc": "2.0", "method": "someNotification", "params": params})

    def account(self, label: str, slot: int | None = None) -> list[Any]:
        self.slot += 1
        value = {"data": [STEPS[label]["user_after_b64"], "base64"], "owner": "x", "lamports": 5}
        return self.told(1, {"context": {"slot": self.slot if slot is None else slot}, "value": value})

    def logs(self, label: str, signature: str = "sig", err: Any = None) -> list[Any]:
        value = {"signature": signature, "err": err, "logs": STEPS[label]["logs"]}
        return self.told(2, {"context": {"slot": self.slot}, "value": value})

    def wait(self, seconds: int, *, slots: bool = True) -> list[Any]:
        found = []
        for _ in range(seconds):
            self.now_ms += 1_000
            self.slot += 3
            if slots:
                self.told(3, {"slot": self.slot, "parent": self.slot - 1, "root": 5})
            found += self.feed.timer(START_NS, self.now_ms)
        return found


@pytest.fixture
def stream() -> Stream:
    stream = Stream()
    (began,) = stream.open()
    assert began.kind == IN_DOUBT
    return stream


class TestStream:
    def test_an_orders_life_is_followed(self, stream: Stream) -> None:
        stream.rows.names.sent(a_name(7))
        (placed,) = stream.account("post-only bid 1% below oracle")
        assert isinstance(placed, OrderSeen)
        assert (placed.client_id, placed.resting) == (OURS, True)
        assert stream.account("post-only bid 1% below oracle") == [], "no change"
        stream.account("cancel order_id 1")
        told = stream.logs("cancel order_id 1")
        assert [(one.client_id, one.resting) for one in told if isinstance(one, OrderSeen)] == [(OURS, False)]
        assert stream.wait(10) == []

    def test_a_fill_is_told_once_and_named_by_its_transaction(self, stream: Stream) -> None:
        stream.rows.names.sent(a_name(21))
        stream.logs("market long for keeper")
        told = stream.logs("keeper fill at +5 slots", "theirs")
        fills = [one for one in told if isinstance(one, ExecutionSeen)]
        assert [(one.client_id, one.size_lots, one.fill_id) for one in fills] == [(OURS, 10, "0/745")]
        again = stream.logs("keeper fill at +5 slots", "theirs")
        assert not [one for one in again if isinstance(one, ExecutionSeen)]
        assert stream.logs("keeper fill at +5 slots", err={"InstructionError": [1, {"Custom": 6}]}) == []
        positions = [one for one in stream.account("keeper fill at +5 slots") if isinstance(one, PositionSeen)]
        assert [one.lots for one in positions] == [10]

    def test_a_position_that_is_gone_is_flat(self, stream: Stream) -> None:
        stream.account("keeper fill at +5 slots")
        flat = [one for one in stream.account("cancel all") if isinstance(one, PositionSeen)]
        assert [(one.market, one.lots) for one in flat] == [(MARKET.key, 0)]

    def test_an_order_that_leaves_without_a_word_is_doubt(self, stream: Stream) -> None:
        stream.account("post-only bid 1% below oracle")
        stream.account("cancel all")
        assert stream.wait(3) == []
        (doubt,) = stream.wait(3)
        assert (doubt.kind, "order 1" in doubt.detail) == (IN_DOUBT, True)

    def test_an_older_account_is_no_news(self, stream: Stream) -> None:
        stream.account("post-only bid 1% below oracle")
        assert stream.account("cancel all", slot=5) == []
        assert stream.heard.account is not None
        assert len(stream.heard.account.open_orders()) == 1

    def test_slots_are_counted(self, stream: Stream) -> None:
        stream.wait(20)
        assert stream.heard.slots.slot_ms == pytest.approx(1_000 / 3)

    def test_a_silent_node_is_given_up(self, stream: Stream) -> None:
        assert stream.wait(10, slots=False) == []
        (doubt,) = stream.wait(1, slots=False)
        assert doubt.kind == IN_DOUBT
        assert stream.feed.broken is not None
        assert stream.account("cancel all") == []
        assert stream.feed.closed("gone", START_NS, START_MS) == []

    def test_a_node_that_never_answers_is_given_up(self) -> None:
        stream = Stream()
        stream.feed.opened(START_MS)
        stream.now_ms += 11_000
        assert [one.kind for one in stream.feed.timer(START_NS, stream.now_ms)] == [IN_DOUBT]

    def test_the_end_of_a_connection_is_doubt(self, stream: Stream) -> None:
        assert [one.kind for one in stream.feed.closed("gone", START_NS, START_MS)] == [IN_DOUBT]
        assert stream.feed.closed("again", START_NS, START_MS) == []
        assert [one.kind for one in stream.open()] == [IN_DOUBT]
        with pytest.raises(KeyError):
            stream.feed.resync("drift:SOL-PERP")

    @pytest.mark.parametrize("frame", GARBAGE, ids=range(len(GARBAGE)))
    def test_garbage_never_raises_and_is_never_a_fact(self, stream: Stream, frame: bytes) -> None:
        assert all(isinstance(one, Incident) for one in stream.say(frame))
        assert stream.feed.bad_frames + stream.feed.unknown_words == 1

    def test_half_a_frame_is_doubt(self, stream: Stream) -> None:
        for number, result in ((1, {"context": {"slot": 5}, "value": None}), (2, {"value": 5}), (3, {}), (1, [])):
            assert [one.kind for one in stream.told(number, result)] == [IN_DOUBT]
        assert stream.told(9, {}) == []

"""Orders in human units, what is refused before it is signed, and what a node's answers mean."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from twinleg.core.orders import Purpose, Side, TimeInForce
from twinleg.core.trading import SendVerdict
from twinleg.core.venue import WireError
from twinleg.venues.drift import facts
from twinleg.venues.drift.chain import instructions as ix
from twinleg.venues.drift.chain.instructions import OrderParams
from twinleg.venues.drift.orders import NewOrder, Steps, of_intent, outcome, params_of, self_test_outcome
from venues.battery import START_MS, listed
from venues.drift.case import CASE
from venues.trading_battery import an_intent

SOL = listed(CASE)["SOL-PERP"]
STEPS = Steps.of(SOL)
SIGNATURE = "5" * 88


def asked(profile: facts.Profile = facts.DRIFT_V2, *, taking: bool = False, **fields: Any) -> OrderParams:
    told = {"market_index": 0, "direction": "long", "order_type": "limit", "base_amount": "0.29", "price": "85.1"}
    return params_of(NewOrder(**(told | fields)), STEPS, profile, START_MS, taking=taking)


@pytest.mark.parametrize("amount", ["0.29", 0.29, Decimal("0.29"), "0.290000000"])
def test_amounts_are_exact(amount: Any) -> None:
    assert asked(base_amount=amount).base_asset_amount == 290_000_000
    assert asked(price=amount).price == 290_000


def test_every_float_of_two_decimals_is_exact() -> None:
    for cents in range(1, 10_000):
        assert asked(base_amount=cents / 100).base_asset_amount == cents * 10**7


def test_all_words_reach_the_program() -> None:
    told = asked(
        direction="short", order_type="trigger_limit", base_amount=2, price=80, user_order_id=9, post_only="slide",
        reduce_only=True, trigger_price="81.5", trigger_condition="below", max_ts=START_MS // 1_000 + 9,
    )  # fmt: skip
    assert told == OrderParams(
        ix.TRIGGER_LIMIT, 1, 1, 9, 2 * 10**9, 80_000_000, 0, reduce_only=True, post_only=ix.POST_ONLY_SLIDE,
        max_ts=START_MS // 1_000 + 9, trigger_price=81_500_000, trigger_condition=ix.BELOW,
    )  # fmt: skip
    auction = {"auction_duration": 20, "auction_start_price": "84", "auction_end_price": "85.5"}
    market = asked(order_type="market", price=None, **auction)
    assert (market.order_type, market.price, market.auction_duration) == (ix.MARKET, 0, 20)
    assert (market.auction_start_price, market.auction_end_price) == (84_000_000, 85_500_000)
    offsets = {"auction_duration": 20, "auction_start_price": "-0.05", "auction_end_price": "0.05"}
    oracle = asked(order_type="oracle", price=None, oracle_price_offset=0.05, **offsets)
    assert (oracle.auction_start_price, oracle.auction_end_price, oracle.oracle_price_offset) == (
        -50_000,
        50_000,
        50_000,
    )
    taking = asked(immediate_or_cancel=True, taking=True)
    assert taking.bit_flags == ix.IMMEDIATE_OR_CANCEL


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"base_amount": "0.295"}, "step"),
        ({"base_amount": "0.0000000001"}, "decimals"),
        ({"base_amount": "0"}, "least"),
        ({"base_amount": "-1"}, "least"),
        ({"base_amount": "many"}, "no number"),
        ({"base_amount": float("nan")}, "no number"),
        ({"base_amount": True}, "no number"),
        ({"base_amount": "1e30"}, "no number"),
        ({"base_amount": 10**11}, "room"),
        ({"price": "85.00005"}, "tick"),
        ({"price": "0"}, "above zero"),
        ({"price": None}, "a price or an oracle_price_offset"),
        ({"oracle_price_offset": 1}, "a price or an oracle_price_offset"),
        ({"user_order_id": 256}, "one byte"),
        ({"immediate_or_cancel": True}, "legal only in a place-and-take"),
        ({"order_type": "market", "post_only": "must"}, "post_only"),
        ({"order_type": "trigger_market", "price": None}, "trigger_price"),
        ({"trigger_price": 5}, "trigger_price"),
        ({"order_type": "trigger_limit", "trigger_price": 5}, "trigger_condition"),
        ({"order_type": "market", "auction_duration": 5}, "auction"),
        ({"order_type": "oracle"}, "oracle order has an auction"),
        ({"order_type": "market", "auction_duration": 181, "auction_start_price": 1, "auction_end_price": 2}, "slots"),
        ({"order_type": "market", "auction_duration": 9, "auction_start_price": 2, "auction_end_price": 1}, "wrong"),
        ({"max_ts": START_MS // 1_000}, "has passed"),
        ({"market_index": 70_000}, "market index"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_program_would_not_take_as_meant_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        asked(**fields)


def test_rounding_is_the_programs_when_asked_for() -> None:
    assert asked(base_amount="0.2999", rounds=True).base_asset_amount == 290_000_000
    assert asked(price="85.00005", rounds=True).price == 85_000_000
    assert asked(price="85.00005", direction="short", rounds=True).price == 85_000_100


def test_spot_orders_are_for_the_profile_that_has_them() -> None:
    assert asked(market_type="spot").market_type == 0
    with pytest.raises(ValueError, match="velocity has no spot orders"):
        asked(facts.VELOCITY, market_type="spot")
    with pytest.raises(ValueError, match="perps"):
        asked(market_type="spot", taking=True)
    with pytest.raises(ValueError, match="take and be post_only"):
        asked(post_only="try", taking=True)


def test_a_taker_is_an_auction_that_ends_at_its_limit() -> None:
    for side, decided, start in [(Side.BUY, 1000, 1000), (Side.BUY, 1005, 1001), (Side.SELL, 1000, 1001)]:
        intent = an_intent(SOL, side=side, limit_ticks=1001, decision_price_ticks=decided)
        told = of_intent(intent, SOL, 7, 400.0, START_MS)
        assert (told.order_type, told.price, told.auction_end_price) == (ix.MARKET, 100_100, 100_100)
        assert (told.auction_start_price, told.auction_duration) == (start * 100, 5)
        assert told.max_ts == START_MS // 1_000 + 5
    assert of_intent(an_intent(SOL), SOL, 7, 200.0, START_MS).auction_duration == 10
    assert of_intent(an_intent(SOL), SOL, 7, None, START_MS).auction_duration == facts.AUCTION_SLOTS_MIN


def test_a_resting_order_must_not_take() -> None:
    told = of_intent(an_intent(SOL, time_in_force=TimeInForce.POST_ONLY), SOL, 7, None, START_MS)
    assert (told.order_type, told.post_only, told.auction_duration) == (ix.LIMIT, ix.POST_ONLY_MUST, None)
    assert (told.base_asset_amount, told.price, told.user_order_id) == (7 * 10**7, 100_100, 7)


def test_an_intent_for_nothing_is_refused() -> None:
    wide = msgspec.structs.replace(SOL, min_size_lots=10)
    of_intent(an_intent(SOL, size_lots=9, reduce_only=True, purpose=Purpose.EXIT), wide, 7, None, START_MS)
    late = an_intent(SOL, deadline_ms=START_MS - 1)
    for intent in (late, an_intent(SOL, size_lots=9), an_intent(SOL, size_lots=0), an_intent(SOL, limit_ticks=0)):
        with pytest.raises(ValueError, match=r"due|least|positive"):
            of_intent(intent, wide, 7, None, START_MS)
    with pytest.raises(ValueError, match="with the facts of"):
        of_intent(an_intent(SOL, market="nobody:NOTHING"), SOL, 7, None, START_MS)
    reducing = of_intent(msgspec.structs.replace(late, purpose=Purpose.REPAIR), SOL, 7, None, START_MS)
    assert reducing.max_ts == START_MS // 1_000 + 5


def error(code: int, message: str = "no", err: Any = None) -> bytes:
    told = {"code": code, "message": message} | (
        {} if err is None else {"data": {"err": err, "logs": [], "accounts": None}}
    )
    return json.dumps({"jsonrpc": "2.0", "error": told, "id": 1}).encode()


PROGRAM_SAYS_NO = error(-32002, "Transaction simulation failed", {"InstructionError": [2, {"Custom": 6003}]})
YES = json.dumps({"jsonrpc": "2.0", "result": SIGNATURE, "id": 1}).encode()


def test_only_our_own_signature_is_a_yes() -> None:
    assert outcome(SIGNATURE, 200, YES).verdict is SendVerdict.ACCEPTED
    for cut in range(len(YES)):
        assert outcome(SIGNATURE, 200, YES[:cut]).verdict is SendVerdict.UNKNOWN
    assert outcome("4" * 88, 200, YES).verdict is SendVerdict.UNKNOWN
    for status in (None, 201, 400, 429, 500, 502):
        assert outcome(SIGNATURE, status, YES).verdict is SendVerdict.UNKNOWN


def test_what_the_simulation_refused_was_not_sent() -> None:
    told = outcome(SIGNATURE, 200, PROGRAM_SAYS_NO)
    assert (told.verdict, told.reason) == (SendVerdict.REJECTED, "program error 6003 insufficient collateral")
    for body in (
        error(-32002, "failed", "BlockhashNotFound"), error(-32003, "signature"), error(-32602, "bad"), error(-32700),
        error(-32002, "failed", {"InstructionError": [0, {"Custom": 101}]}),
    ):  # fmt: skip
        assert outcome(SIGNATURE, 200, body).verdict is SendVerdict.REJECTED
        assert outcome(SIGNATURE, 400, body).verdict is SendVerdict.REJECTED
        assert outcome(SIGNATURE, 500, body).verdict is SendVerdict.UNKNOWN
        assert outcome(SIGNATURE, 408, body).verdict is SendVerdict.UNKNOWN


def test_what_only_sounds_like_a_no_is_unknown() -> None:
    again = outcome(SIGNATURE, 200, error(-32002, "failed", "AlreadyProcessed"))
    assert (again.verdict, again.exists) == (SendVerdict.UNKNOWN, True)
    for body in (
        error(-32005, "behind"),
        error(-32603),
        error(-32002, "no data"),
        error(-32004),
        b"<html>",
        b"",
        b"[]",
    ):
        told = outcome(SIGNATURE, 200, body)
        assert told.verdict is SendVerdict.UNKNOWN
        assert told.reason
    assert outcome(SIGNATURE, 429, b"").retry_after_s


def test_a_disabled_program_is_told_from_a_live_one() -> None:
    def simulated(err: Any) -> bytes:
        value = {"err": err, "logs": [], "unitsConsumed": 5}
        return json.dumps([{"jsonrpc": "2.0", "result": {"context": {"slot": 5}, "value": value}, "id": 1}]).encode()

    assert self_test_outcome(simulated(None)) is None
    assert "disabled" in (self_test_outcome(simulated({"InstructionError": [2, {"Custom": 101}]})) or "")
    assert "AccountNotFound" in (self_test_outcome(simulated("AccountNotFound")) or "")
    for body in (b"", b"{}", b"[]", error(-32603)):
        with pytest.raises(WireError):
            self_test_outcome(body)

"""Lighter as a trading venue: which transaction each deed is, by which key, and what it may cost of the budget."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from twinleg.core.orders import Purpose
from twinleg.core.trading import Lane, Signed, number_of
from twinleg.venues.lighter import facts
from twinleg.venues.lighter.sign import OrderFields
from twinleg.venues.lighter.trading import LighterTrading
from venues.battery import START_MS
from venues.lighter.trading_case import ACCOUNT, ONE, trading
from venues.trading_battery import OURS, an_intent

LANE = Lane("6", 9)
MINUTE_MS = 60_000


@pytest.fixture
def venue() -> LighterTrading:
    return trading()


def sent(signed: Signed) -> dict[str, Any]:
    """The transaction: its type, and what it says beside the account's part."""
    form = parse_qs((signed.request.body or b"").decode())
    told = json.loads(form["tx_info"][0])
    assert (told.pop("AccountIndex"), told.pop("ApiKeyIndex"), told.pop("Nonce")) == (ACCOUNT, 6, 9)
    del told["Sig"], told["ExpiredAt"]
    return {"type": int(form["tx_type"][0]), **told}


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_keys_are_lanes_in_their_order(venue: LighterTrading) -> None:
    assert list(venue.lanes()) == ["5", "6"]


def test_what_takes_long_is_done_beforehand(venue: LighterTrading) -> None:
    assert venue._signer._client is None
    with ThreadPoolExecutor(1) as thread:
        thread.submit(venue.prepare, START_MS).result()
        client = venue._signer._client
        token = venue.open_orders(START_MS).request.headers["Authorization"]
        assert venue.fees(START_MS + 1).request.headers["Authorization"] is token
        signed = thread.submit(venue.sign, an_intent(ONE), ONE, LANE, START_MS).result()
    assert signed.lane == LANE
    assert client is not None
    assert venue._signer._client is client


def test_cancels_go_by_our_number_or_by_the_venues(venue: LighterTrading) -> None:
    base = {"type": 15, "MarketIndex": int(ONE.native_id), "L2TxAttributes": None}
    ours = venue.sign_cancel(OURS, "281476929510110", ONE, LANE, START_MS)
    assert (sent(ours), ours.client_id) == (base | {"Index": number_of(OURS)}, OURS)
    foreign = venue.sign_cancel("", "281476929510110", ONE, LANE, START_MS)
    assert (sent(foreign), foreign.client_id) == (base | {"Index": 281476929510110}, "")
    with pytest.raises(ValueError, match="invalid literal"):
        venue.sign_cancel("", None, ONE, LANE, START_MS)


def test_the_dead_mans_switch_has_its_times(venue: LighterTrading) -> None:
    base = {"type": 16, "L2TxAttributes": None}
    armed = venue.sign_dead_man_switch(START_MS + 5 * MINUTE_MS, LANE, START_MS)
    assert sent(armed) == base | {"TimeInForce": 1, "Time": START_MS + 5 * MINUTE_MS}
    assert sent(venue.sign_dead_man_switch(None, LANE, START_MS)) == base | {"TimeInForce": 2, "Time": 0}
    for ahead_ms in (5 * MINUTE_MS - 1, 0, -1, 15 * 24 * 60 * MINUTE_MS + 1):
        with pytest.raises(ValueError, match="scheduled cancel-all"):
            venue.sign_dead_man_switch(START_MS + ahead_ms, LANE, START_MS)
    assert venue.trading.dead_man_ms_min == 5 * MINUTE_MS


def test_all_orders_or_those_of_a_market_are_cancelled(venue: LighterTrading) -> None:
    market = msgspec.structs.replace(ONE, native_id="7")
    base = {"type": 16, "TimeInForce": 0, "Time": 0}
    assert sent(venue.sign_cancel_all(None, LANE, START_MS)) == base | {"L2TxAttributes": None}
    assert sent(venue.sign_cancel_all(market, LANE, START_MS)) == base | {"L2TxAttributes": {"5": 7}}


def test_an_order_is_changed_by_our_number(venue: LighterTrading) -> None:
    market = msgspec.structs.replace(ONE, size_grid=msgspec.structs.replace(ONE.size_grid, step=10))
    signed = venue.sign_modify(OURS, market, 70, 2_001, LANE)
    assert sent(signed) == {
        "type": 17, "MarketIndex": int(ONE.native_id), "Index": number_of(OURS), "BaseAmount": 700, "Price": 2_001,
        "TriggerPrice": 0, "L2TxAttributes": None,
    }  # fmt: skip
    assert not signed.request.reduces_risk
    for lots, ticks in ((0, 1), (1, 0), (2**48, 1), (1, 2**32)):
        with pytest.raises(ValueError, match="is not in 1"):
            venue.sign_modify(OURS, ONE, lots, ticks, LANE)


def test_leverage_is_cross_margin(venue: LighterTrading) -> None:
    signed = venue.sign_leverage(ONE, 4.0, LANE, START_MS)
    assert sent(signed) == {
        "type": 20, "MarketIndex": int(ONE.native_id), "InitialMarginFraction": 2_500, "MarginMode": 0,
        "L2TxAttributes": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="leverage 0"):
        venue.sign_leverage(ONE, 0.5, LANE, START_MS)


def test_what_changes_nothing_is_the_leverage_that_a_market_has(venue: LighterTrading) -> None:
    cancel = {"type": 15, "MarketIndex": int(ONE.native_id), "Index": number_of(OURS), "L2TxAttributes": None}
    assert sent(venue.sign_nothing(OURS, ONE, LANE, START_MS)) == cancel  # where none is known
    for percent, mode, told in (("5.00", 1, cancel), ("33.33", 0, 3_333), ("5.00", 0, 500)):
        row = {"market_id": int(ONE.native_id), "sign": 1, "position": "0.0", "initial_margin_fraction": percent}
        read_positions(venue, row | {"margin_mode": mode})
        signed = venue.sign_nothing(OURS, ONE, LANE, START_MS)
        leverage = {"type": 20, "MarketIndex": int(ONE.native_id), "MarginMode": 0, "L2TxAttributes": None}
        assert sent(signed) == (told if isinstance(told, dict) else leverage | {"InitialMarginFraction": told})
        assert signed.request.reduces_risk
    elsewhere = msgspec.structs.replace(ONE, native_id="99")
    assert sent(venue.sign_nothing(OURS, elsewhere, LANE, START_MS))["MarketIndex"] == int(ONE.native_id)


def test_a_leverage_that_was_asked_for_is_one_to_repeat(venue: LighterTrading) -> None:
    venue.sign_leverage(ONE, 4.0, LANE, START_MS)
    assert sent(venue.sign_nothing(OURS, ONE, LANE, START_MS))["InitialMarginFraction"] == 2_500


def read_positions(venue: LighterTrading, row: dict[str, Any]) -> None:
    money = {"collateral": "1", "available_balance": "1", "total_asset_value": "1"}
    body = {"code": 200, "accounts": [{"index": ACCOUNT, "positions": [row], **money}]}
    venue.positions(START_MS).parse(json.dumps(body).encode(), START_MS)


def test_native_orders_are_checked_too(venue: LighterTrading) -> None:
    order = OrderFields(
        market_index=0,
        client_order_index=5,
        base_amount=1,
        price=1,
        is_ask=False,
        order_type=facts.LIMIT,
        time_in_force=facts.GOOD_TILL_TIME,
        reduce_only=True,
        expiry_ms=START_MS + 10 * MINUTE_MS,
    )
    signed = venue.sign_order("mine", order, LANE, START_MS)
    assert (sent(signed)["OrderExpiry"], signed.client_id) == (order.expiry_ms, "mine")
    assert signed.request.reduces_risk
    with pytest.raises(ValueError, match="expiry"):
        venue.sign_order("mine", msgspec.structs.replace(order, expiry_ms=0), LANE, START_MS)


def test_callers_orders_are_named_by_their_number(venue: LighterTrading) -> None:
    assert sent(venue.sign_cancel("99", None, ONE, LANE, START_MS))["Index"] == 99
    assert sent(venue.sign_modify("99", ONE, 5, 7, LANE))["Index"] == 99
    named, _ = (read.request for read in venue.order("99", ONE, START_MS))
    assert query(named.url)["client_order_indexes"] == "99"
    with pytest.raises(ValueError, match="mine"):
        venue.order("mine", ONE, START_MS)


@pytest.mark.parametrize("purpose", Purpose)
def test_only_entries_have_no_part_in_the_reserve(venue: LighterTrading, purpose: Purpose) -> None:
    signed = venue.sign(an_intent(ONE, purpose=purpose), ONE, LANE, START_MS)
    assert signed.request.reduces_risk is (purpose is not Purpose.ENTER)


def test_private_reads_carry_a_token_and_public_ones_none(venue: LighterTrading) -> None:
    private = [
        venue.open_orders(START_MS),
        venue.fills(0, START_MS),
        venue.fees(START_MS),
        venue.funding_paid(START_MS),
    ]
    private += venue.order(OURS, ONE, START_MS)
    tokens = {read.request.headers["Authorization"] for read in private}
    assert len(tokens) == 1
    assert query(private[0].request.url) == {"account_index": str(ACCOUNT), "market_id": "255"}
    for read in (venue.positions(START_MS), venue.balance(START_MS), venue.transaction("ab", START_MS)):
        assert "Authorization" not in read.request.headers


def test_an_orders_fate_is_asked_for_by_its_number(venue: LighterTrading) -> None:
    named, traded = (read.request for read in venue.order(OURS, ONE, START_MS))
    assert query(named.url) == {"account_index": str(ACCOUNT), "client_order_indexes": str(number_of(OURS))}
    assert query(traded.url) == {
        "account_index": str(ACCOUNT), "market_id": ONE.native_id, "sort_by": "timestamp", "sort_dir": "desc",
        "limit": "100",
    }  # fmt: skip
    assert named.reduces_risk
    assert traded.reduces_risk
    assert query(venue.transaction("ab", START_MS).request.url) == {"by": "hash", "value": "ab"}

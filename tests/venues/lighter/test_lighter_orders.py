"""Intents into Lighter's fields, and every kind of answer to a submission."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinleg.core.amounts import Grid
from twinleg.core.messages import Market, MarketStatus
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce
from twinleg.core.trading import KEY_REFUSED, Lane, SendVerdict, Signed, number_of
from twinleg.venues.lighter import facts, orders
from twinleg.venues.lighter.sign import OrderFields, Transaction

NOW_MS = 1_795_000_000_000
MINUTE_MS = 60_000
LANE = Lane("5", 7)
HASH = "ab" * 40
ETH = Market(
    key="lighter:ETH",
    venue="lighter",
    symbol="ETH",
    native_id="0",
    base="ETH",
    quote="USDC",
    status=MarketStatus.OPEN,
    price_grid=Grid(2),
    size_grid=Grid(4),
    min_size_lots=50,
    min_notional_usd=10.0,
    maker_fee_bps=0.0,
    taker_fee_bps=0.0,
    taker_delay_ms=300,
    funding_interval_ms=3_600_000,
    max_leverage=50.0,
)
INTENT = Intent(
    trade_id="T000123",
    leg=Leg.SHORT,
    attempt=2,
    client_id="T000123-short-2",
    venue="lighter",
    market="lighter:ETH",
    side=Side.SELL,
    size_lots=1_000,
    limit_ticks=405_000,
    reduce_only=False,
    time_in_force=TimeInForce.IOC,
    purpose=Purpose.ENTER,
    deadline_ms=NOW_MS + 3_000,
    decision_price_ticks=405_100,
)
POST = msgspec.structs.replace(INTENT, time_in_force=TimeInForce.POST_ONLY)


def intent(base: Intent = INTENT, **changes: Any) -> Intent:
    return msgspec.structs.replace(base, **changes)


def test_an_ioc_is_a_limit_order_that_never_rests() -> None:
    assert orders.order_fields(INTENT, ETH, NOW_MS) == OrderFields(
        market_index=0,
        client_order_index=number_of("T000123-short-2"),
        base_amount=1_000,
        price=405_000,
        is_ask=True,
        order_type=facts.LIMIT,
        time_in_force=facts.IMMEDIATE_OR_CANCEL,
        expiry_ms=0,
    )


def test_a_post_only_order_ends_by_itself() -> None:
    """Not before the venue's least life, not before its own deadline."""
    fields = orders.order_fields(POST, ETH, NOW_MS)
    assert (fields.time_in_force, fields.expiry_ms) == (facts.POST_ONLY, NOW_MS + 10 * MINUTE_MS)
    later = orders.order_fields(intent(POST, deadline_ms=NOW_MS + 60 * MINUTE_MS), ETH, NOW_MS)
    assert later.expiry_ms == NOW_MS + 60 * MINUTE_MS


def test_sides_and_reduce_only_pass() -> None:
    fields = orders.order_fields(intent(side=Side.BUY, reduce_only=True), ETH, NOW_MS)
    assert (fields.is_ask, fields.reduce_only) == (False, True)


def test_a_coarse_grid_is_scaled_to_the_markets_decimals() -> None:
    market = msgspec.structs.replace(ETH, price_grid=Grid(2, 50), size_grid=Grid(4, 10))
    fields = orders.order_fields(intent(limit_ticks=8_100, size_lots=100), market, NOW_MS)
    assert (fields.price, fields.base_amount) == (405_000, 1_000)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limit_ticks": 2**32}, "price 4294967296 is not"),
        ({"limit_ticks": 0, "purpose": Purpose.EXIT}, "price 0 is not"),
        ({"limit_ticks": -5, "purpose": Purpose.EXIT}, "price -5 is not"),
        ({"size_lots": 2**48}, "size 281474976710656 is not"),
        ({"size_lots": 0, "purpose": Purpose.EXIT}, "size 0 is not"),
        ({"size_lots": -1, "purpose": Purpose.EXIT}, "size -1 is not"),
        ({"client_id": "hand-made"}, "unpack"),
        ({"deadline_ms": NOW_MS - 5}, "was due 5 ms ago"),
        ({"market": "lighter:BTC"}, "with the facts of lighter:ETH"),
        ({"venue": "extended"}, "at extended"),
        ({"deadline_ms": NOW_MS + 31 * 24 * 60 * MINUTE_MS, "time_in_force": TimeInForce.POST_ONLY}, "expiry must lie"),
        ({"size_lots": 49, "time_in_force": TimeInForce.POST_ONLY}, "49 lots are less than the least, 50"),
        ({"limit_ticks": 1_900, "size_lots": 50, "time_in_force": TimeInForce.POST_ONLY}, "0.10 USD are less"),
    ],
)
def test_what_the_venue_could_never_take_is_refused_before_it_is_signed(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        orders.order_fields(intent(**changes), ETH, NOW_MS)


def test_what_reduces_may_be_late() -> None:
    assert orders.order_fields(intent(deadline_ms=NOW_MS - 5, reduce_only=True), ETH, NOW_MS).reduce_only


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose is not Purpose.ENTER])
def test_minimums_are_for_entries(purpose: Purpose) -> None:
    assert orders.order_fields(intent(size_lots=1, purpose=purpose), ETH, NOW_MS).base_amount == 1


def test_other_venues_and_spot_markets_have_no_index() -> None:
    with pytest.raises(ValueError, match="no market of lighter"):
        orders.market_index(msgspec.structs.replace(ETH, venue="extended"))
    with pytest.raises(ValueError, match="no perpetual"):
        orders.order_fields(INTENT, msgspec.structs.replace(ETH, native_id="2048"), NOW_MS)


NATIVE = OrderFields(
    market_index=0, client_order_index=1, base_amount=1, price=1, is_ask=False, order_type=0, time_in_force=0
)
AHEAD_MS = NOW_MS + 10 * MINUTE_MS
KINDS: list[tuple[dict[str, int], str | None]] = [
    ({"order_type": facts.MARKET}, None),
    ({"order_type": facts.MARKET, "time_in_force": facts.GOOD_TILL_TIME, "expiry_ms": AHEAD_MS}, "time in force"),
    ({"order_type": facts.MARKET, "expiry_ms": AHEAD_MS}, "no expiry"),
    ({"order_type": facts.MARKET, "expiry_ms": -1}, "no expiry"),
    ({"order_type": facts.MARKET, "trigger_price": 1}, "trigger price 1"),
    ({"time_in_force": facts.GOOD_TILL_TIME, "expiry_ms": AHEAD_MS}, None),
    ({"time_in_force": facts.GOOD_TILL_TIME, "expiry_ms": NOW_MS + 5 * MINUTE_MS - 1}, "expiry must lie"),
    ({"time_in_force": facts.GOOD_TILL_TIME}, "expiry must lie"),
    ({"time_in_force": 3}, "time in force 3"),
    ({"order_type": facts.STOP_LOSS, "trigger_price": 1, "expiry_ms": AHEAD_MS}, None),
    ({"order_type": facts.STOP_LOSS, "trigger_price": 1}, "expiry must lie"),
    ({"order_type": facts.STOP_LOSS, "expiry_ms": AHEAD_MS}, "trigger price 0"),
    ({"order_type": facts.TAKE_PROFIT_LIMIT, "trigger_price": 2**32, "expiry_ms": AHEAD_MS}, "trigger price"),
    ({"order_type": facts.TAKE_PROFIT_LIMIT, "trigger_price": 1, "time_in_force": 2, "expiry_ms": AHEAD_MS}, None),
    ({"order_type": facts.TWAP, "time_in_force": facts.GOOD_TILL_TIME, "expiry_ms": AHEAD_MS}, None),
    ({"order_type": facts.TWAP}, "time in force"),
    ({"order_type": 7}, "time in force"),
    ({"client_order_index": 2**31}, "client order index"),
    ({"client_order_index": 0}, "client order index"),
    ({"market_index": 255}, "no perpetual"),
]


@pytest.mark.parametrize(("changes", "refusal"), KINDS)
def test_types_times_in_force_and_expiries_belong_together(changes: dict[str, int], refusal: str | None) -> None:
    order = msgspec.structs.replace(NATIVE, **changes)
    if refusal is None:
        assert orders.checked(order, NOW_MS) is order
        return
    with pytest.raises(ValueError, match=refusal):
        orders.checked(order, NOW_MS)


def test_leverage_becomes_the_venues_margin_fraction() -> None:
    assert [orders.margin_fraction(leverage, ETH) for leverage in (1, 3, 10, 50)] == [10_000, 3_333, 1_000, 200]
    for wrong in (0.5, 51, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"not in 1\.\.50"):
            orders.margin_fraction(wrong, ETH)


def signed() -> Signed:
    transaction = Transaction(facts.TX_CREATE_ORDER, '{"Price":1,"Sig":"a+b/c="}', HASH, NOW_MS + 599_000)
    return orders.submission(INTENT.client_id, transaction, LANE, "https://x/api/v1/sendTx", reduces_risk=True)


def test_a_submission_is_a_form_and_carries_no_secret() -> None:
    sent = signed()
    assert sent.request.body is not None
    assert parse_qs(sent.request.body.decode()) == {"tx_type": ["14"], "tx_info": ['{"Price":1,"Sig":"a+b/c="}']}
    assert sent.request.method == "POST"
    assert sent.request.reduces_risk
    assert "Authorization" not in sent.request.headers
    assert (sent.correlation, sent.lane, sent.void_after_ms) == (HASH, LANE, NOW_MS + 599_000 + 5_000)


def answer(code: int, message: str = "no", **more: Any) -> bytes:
    return json.dumps({"code": code, "message": message, **more}).encode()


ACCEPTED, REJECTED, UNKNOWN = SendVerdict.ACCEPTED, SendVerdict.REJECTED, SendVerdict.UNKNOWN
HTML = b"<html><body>Too Many Requests</body></html>"
OK = answer(200, '{"ratelimit": "didn\'t use volume quota"}', tx_hash=HASH, predicted_execution_time_ms=1)
REPLIES: list[tuple[int | None, bytes, SendVerdict, bool | None]] = [
    (200, OK, ACCEPTED, True),
    (200, answer(200, tx_hash=HASH.upper()), ACCEPTED, True),
    (200, answer(200, tx_hash=f"0x{HASH}"), ACCEPTED, True),
    (200, answer(200), UNKNOWN, None),
    (200, answer(200, tx_hash=None), UNKNOWN, None),
    (200, answer(200, tx_hash="cd" * 40), UNKNOWN, None),
    (200, answer(21739, "not enough margin to create the order"), REJECTED, False),
    (400, answer(21739, "not enough margin to create the order"), REJECTED, False),
    (400, answer(21600, "inactive order"), REJECTED, False),
    (400, answer(20001, "invalid param"), REJECTED, False),
    (400, answer(21120, "invalid signature"), REJECTED, False),
    (400, answer(62007, "maker only"), REJECTED, False),
    (400, answer(21104, "invalid nonce"), REJECTED, None),
    (200, answer(21104, "invalid nonce"), REJECTED, None),
    (400, answer(21728, "client order index exists"), UNKNOWN, None),
    (429, answer(23000, "Too Many Requests!"), REJECTED, False),
    (400, answer(23000, "Too Many Requests!"), REJECTED, False),
    (429, HTML, UNKNOWN, None),
    (429, answer(1015, "slow down"), UNKNOWN, None),
    (403, b"<html>blocked</html>", UNKNOWN, None),
    (403, answer(21109, "api key not found"), REJECTED, False),
    (400, answer(29500, "internal server error"), UNKNOWN, None),
    (400, answer(29501, "timeout"), UNKNOWN, None),
    (400, answer(77777, "news"), UNKNOWN, None),
    (400, answer(200, "fine"), UNKNOWN, None),
    (400, b"", UNKNOWN, None),
    (200, b"", UNKNOWN, None),
    (200, b"null", UNKNOWN, None),
    (200, b'{"message":"no code"}', UNKNOWN, None),
    (200, b'{"code":"200"}', UNKNOWN, None),
    (201, OK, UNKNOWN, None),
    (302, OK, UNKNOWN, None),
    (500, answer(21739), UNKNOWN, None),
    (500, OK, UNKNOWN, None),
    (502, b"<html>bad gateway</html>", UNKNOWN, None),
    (None, b"", UNKNOWN, None),
]


@pytest.mark.parametrize(("status", "body", "verdict", "spent"), REPLIES)
def test_every_reply_has_its_verdict(status: int | None, body: bytes, verdict: SendVerdict, spent: bool | None) -> None:
    outcome = orders.read_reply(signed(), status, body)
    assert (outcome.verdict, outcome.lane_spent) == (verdict, spent)
    assert outcome.venue_order_id is None
    assert outcome.reason


@pytest.mark.parametrize(("status", "body"), [(429, HTML), (429, answer(23000)), (400, answer(23000))])
def test_a_limit_says_when_to_come_back(status: int, body: bytes) -> None:
    assert orders.read_reply(signed(), status, body).retry_after_s == facts.RETRY_AFTER_S


def test_reasons_tell_the_code_and_what_it_usually_means() -> None:
    assert orders.read_reply(signed(), 400, answer(21120, "invalid signature")).reason == (
        "21120: invalid signature (wrong chain id, key or slot)"
    )


@given(st.integers(100, 599) | st.none(), st.binary(max_size=60))
def test_no_bytes_are_taken_for_a_verdict(status: int | None, body: bytes) -> None:
    assert orders.read_reply(signed(), status, body).verdict is UNKNOWN


@given(st.integers(-10, 10**6) | st.just(200))
def test_only_code_200_is_acceptance(code: int) -> None:
    assert (orders.read_reply(signed(), 200, answer(code, tx_hash=HASH)).verdict is ACCEPTED) == (code == 200)


@pytest.mark.parametrize("code", [21109, 21120, 21136])
def test_a_key_that_is_refused_is_an_incident(code: int) -> None:
    assert orders.read_reply(signed(), 400, answer(code, "no")).incident == KEY_REFUSED


def test_other_refusals_say_nothing_of_the_key() -> None:
    for code in (21104, 21739, 23000):
        assert orders.read_reply(signed(), 400, answer(code, "no")).incident is None


def test_a_number_that_exists_is_more_than_a_doubt() -> None:
    assert orders.read_reply(signed(), 400, answer(21728, "exists")).exists
    assert orders.read_reply(signed(), 500, answer(21728, "exists")).exists
    assert not orders.read_reply(signed(), None, b"").exists

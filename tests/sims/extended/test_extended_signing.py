"""The simulator's order hash is the SDK's, for any amounts: by default an order's external id is its hash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from extended_trader import BTC, BUY, SELL, Trader
from hypothesis import given
from hypothesis import strategies as st

from twinleg_sims.extended import signing
from twinleg_sims.extended.facts import ErrorCode
from twinleg_sims.extended.keys import admit
from twinleg_sims.extended.replies import RefusedError
from twinleg_sims.extended.requests import OrderBody, parse

TRADER = Trader()
MARKET = TRADER.client.world.market("extended", BTC)
MEMBER = admit(TRADER.client.world.seed, TRADER.account, "", {})

amounts = st.decimals("0.0000001", "1000", places=7)


rates = st.tuples(st.decimals("0", "0.01", places=6), st.none() | st.decimals("0", "0.001", places=5))


@given(st.sampled_from([BUY, SELL]), amounts, amounts, rates, st.integers(0, 2**32 - 1), st.integers(1, 10**9))
def test_any_order_has_the_sdk_s_hash(
    side: str, qty: Decimal, price: Decimal, fees: tuple[Decimal, Decimal | None], nonce: int, expiry_ms: int
) -> None:
    fee, builder = fees
    expires = datetime.fromtimestamp(1_790_000_000, UTC) + timedelta(milliseconds=expiry_ms)
    order = TRADER.order(
        str(qty), price, side, taker_fee=fee, builder_fee=builder, nonce=nonce, expire_time=expires
    )  # fmt: skip
    body = parse(order.model_dump_json(by_alias=True, exclude_none=True).encode(), OrderBody)
    signed = signing.terms(body, is_buy=side == BUY, qty=body.qty, price=body.price)
    assert signing.order_hash(MEMBER, MARKET, signed) == int(order.id)
    assert body.settlement is not None
    assert signing.check(MEMBER, MARKET, body.settlement, signed) == int(order.id)


def test_another_expiry_within_the_second_is_the_same_and_beyond_it_is_not() -> None:
    order = TRADER.order("0.001", 64_000, expire_time=datetime.fromtimestamp(1_790_000_000.2, UTC))
    body = parse(order.model_dump_json(by_alias=True, exclude_none=True).encode(), OrderBody)
    assert body.settlement is not None
    body.expiry_epoch_millis += 700
    signed = signing.terms(body, is_buy=True, qty=body.qty, price=body.price)
    assert signing.check(MEMBER, MARKET, body.settlement, signed) == int(order.id)
    body.expiry_epoch_millis += 200
    signed = signing.terms(body, is_buy=True, qty=body.qty, price=body.price)
    with pytest.raises(RefusedError) as refused:
        signing.check(MEMBER, MARKET, body.settlement, signed)
    assert refused.value.code is ErrorCode.INVALID_SIGNATURE

"""Whatever is sent to the private door, the answer is a success or a refusal with a code; and the money stays whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from extended_client import Client
from extended_trader import Trader
from hypothesis import given, settings
from hypothesis import strategies as st

from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.extended.facts import NO_LIMITS

CLIENT = Client()
CLIENT.core = ExtendedCore(CLIENT.world, CLIENT.faults, NO_LIMITS)
TRADER = Trader(CLIENT)
TAKE_PROFIT: dict[str, Any] = {
    "triggerPrice": "70000", "triggerPriceType": "MARK", "price": "69000", "priceType": "MARKET",
}  # fmt: skip

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["NaN", "-1", "0", "1e400", "0x", "-0x5", "1_0", "GTT", "IOC", "TPSL", "POSITION", "64000", "0.001"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
FIELDS = [
    "id", "market", "type", "side", "qty", "price", "reduceOnly", "postOnly", "timeInForce", "expiryEpochMillis", "fee",
    "nonce", "selfTradeProtectionLevel", "settlement", "cancelId", "trigger", "tpSlType", "takeProfit", "stopLoss",
    "builderFee", "rfqStartPrice",
]  # fmt: skip
PATHS = ["/order", "/order/rfq", "/order/massCancel", "/claim", "/deadmanswitch?countdownTime=3", "/nothing"]


def answered(trader: Trader, method: str, path: str, body: bytes) -> None:
    reply = trader.ask(method, path, body)
    assert reply.status == 200 or 400 <= reply.status < 500
    if reply.status != 200:
        error = json.loads(reply.body)
        assert error["status"] == "ERROR"
        assert isinstance(error["error"]["code"], int)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(FIELDS), json_values, min_size=1, max_size=3), st.booleans())
def test_a_spoiled_order_is_answered(changes: dict[str, Any], legs: bool) -> None:
    order = TRADER.order("0.001", TRADER.mark * 9 // 10).to_api_request_json(exclude_none=True)
    if legs:
        order["takeProfit"] = TAKE_PROFIT | {"settlement": order["settlement"]}
    answered(TRADER, "POST", "/order", json.dumps(order | changes).encode())


@settings(max_examples=100)
@given(
    st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]),
    st.sampled_from([*PATHS, "/leverage", "/order/7", "/orders/x", "/positions/history", "/trades?cursor=x&limit=0"]),
    st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()),
)
def test_any_request_is_answered(method: str, path: str, body: bytes) -> None:
    answered(TRADER, method, path, body)


@pytest.mark.parametrize("leverage", ["0", "-1", "NaN", "1e9", "0.001", "", "10.5"])
def test_leverages(leverage: str) -> None:
    reply = TRADER.ask("PATCH", "/leverage", {"market": "BTC-USD", "leverage": leverage})
    assert (reply.status == 200) == (leverage == "10.5")


def test_numbers_the_venue_reads_are_the_ones_it_signs() -> None:
    """The same price in other words has the same hash; the SDK's own words need not be repeated."""
    order = TRADER.order("0.00100", TRADER.mark * 9 // 10)
    assert TRADER.code(TRADER.post(order, qty="0.001", price=f"{order.price}.000000")) == 0

"""Whatever is sent to the private side is answered, and the account's books stay in order."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lighter_trader import Trader, trading

from twinleg_sims.protocol import Frame, HttpRequest

PATHS = (
    "nextNonce", "sendTx", "sendTxBatch", "tx", "accountTxs", "apikeys", "account", "accountsByL1Address",
    "accountLimits", "accountMetadata", "accountActiveOrders", "accountInactiveOrders", "accountOrders", "trades",
    "positionFunding", "liquidations", "pnl", "changeAccountTier", "tokens", "tokens/create", "tokens/revoke",
    "deposit/history", "withdraw/history", "transfer/history", "transferFeeInfo",
)  # fmt: skip
NAMES = (
    "account_index", "api_key_index", "by", "value", "limit", "cursor", "market_id", "ask_filter", "sort_by",
    "between_timestamps", "client_order_indexes", "tx_type", "tx_info", "tx_types", "tx_infos", "new_tier", "expiry",
    "name", "token_id", "from", "role", "order_index", "resolution", "end_timestamp", "index", "side",
)  # fmt: skip
texts = st.one_of(
    st.text(max_size=30),
    st.integers(-(10**25), 10**25).map(str),
    st.sampled_from(
        ["index", "700100", "hash", "timestamp", "0", "4", "255", "all", "premium", "[14]", '["{}"]', "1-2"]
    ),
)
numbers = st.one_of(st.integers(-3, 3), st.integers(-(2**70), 2**70), st.sampled_from([2**32, 2**48, 10**13]))
anything = st.one_of(numbers, st.text(max_size=8), st.none(), st.booleans(), st.lists(st.integers(0, 3), max_size=3))
FIELDS = (
    "AccountIndex", "ApiKeyIndex", "Nonce", "ExpiredAt", "Sig", "L2TxAttributes", "MarketIndex", "ClientOrderIndex",
    "BaseAmount", "Price", "IsAsk", "Type", "TimeInForce", "ReduceOnly", "TriggerPrice", "OrderExpiry", "Index", "Time",
    "InitialMarginFraction", "MarginMode", "GroupingType", "Orders", "PubKey", "L1Sig", "USDCAmount", "Direction",
)  # fmt: skip
attributes = st.dictionaries(st.integers(0, 9).map(str), numbers, max_size=5)


@pytest.fixture(scope="module")
def trader() -> Trader:
    desk = trading()
    desk.hold(1_000)
    desk.bench.open()
    return desk


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.sampled_from(PATHS), st.dictionaries(st.sampled_from(NAMES), texts, max_size=6), st.booleans(), st.booleans())
def test_any_request_is_answered(trader: Trader, path: str, fields: dict[str, str], posts: bool, token: bool) -> None:
    fields = {"account_index": str(trader.index)} | fields
    headers = {"authorization": trader.token} if token else {}
    body = "&".join(f"{name}={quote(value)}" for name, value in fields.items()).encode()
    asked = HttpRequest("POST" if posts else "GET", f"/api/v1/{path}", list(fields.items()), headers, body)
    reply = trader.bench.core.http(asked, trader.bench.world.now_ms)
    assert reply.status in (200, 400, 404, 405, 429)
    assert isinstance(json.loads(reply.body)["code"], int)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.sampled_from([8, 12, 13, 14, 14, 14, 15, 16, 17, 20, 28, 29]), st.data())
def test_any_transaction_is_answered(trader: Trader, tx_type: int, data: st.DataObject) -> None:
    order = trader.order(0, 200, trader.ticks("bid", 5_000))
    groups = st.lists(st.just(order), max_size=4)
    given_fields = {
        "Index": 7, "Time": 0, "InitialMarginFraction": 500, "MarginMode": 0, "GroupingType": 1, "Direction": 1,
        "Orders": data.draw(groups), "PubKey": "AA==", "L1Sig": "0x", "USDCAmount": 5,
        "L2TxAttributes": data.draw(st.one_of(st.none(), attributes)),
    }  # fmt: skip
    info: dict[str, Any] = trader.body(**order | given_fields)
    info |= data.draw(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=3))
    before = trader.venue_nonce()
    reply = trader.post("sendTx", tx_type=str(tx_type), tx_info=json.dumps(info))
    answer = json.loads(reply.body)
    trader.nonce = trader.venue_nonce()
    if answer["code"] == 200 and info["ApiKeyIndex"] == trader.key and tx_type != 8:
        assert trader.nonce == info["Nonce"] + 1
    else:
        assert trader.nonce == before
    trader.bench.run(310)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.sampled_from(["jsonapi/sendtx", "jsonapi/sendtxbatch", "subscribe"]),
    st.dictionaries(st.sampled_from(["id", "tx_type", "tx_info", "tx_types", "tx_infos", "x"]), anything, max_size=5),
    st.one_of(st.none(), texts),
)
def test_any_message_is_answered(trader: Trader, kind: str, data: dict[str, Any], text: str | None) -> None:
    trader.bench.payloads()
    message = {"type": kind, "data": data, "channel": f"account_all_orders/{text}", "auth": text}
    outs = trader.bench.core.ws_message(1, json.dumps(message).encode(), trader.bench.world.now_ms)
    trader.bench.run(20)
    told = [out for out in [*outs, *trader.bench.outs] if isinstance(out, Frame)]
    assert told
    for frame in told:
        json.loads(frame.payload)

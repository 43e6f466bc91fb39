"""The account channels' conversation, sends over the socket, and everything that can go wrong on the private side."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lighter_bench import Bench
from lighter_trader import CANCEL, ETH, IOC, POST_ONLY, STOP_LOSS, Trader, trading

from twinleg_sims.lighter.gate import Setup
from twinleg_sims.protocol import RESET, Close, HttpRequest

CHANNELS = (
    "account_all", "account_all_orders", "account_all_trades", "account_all_positions", "account_all_assets",
    "user_stats", "account_tx", "notification",
)  # fmt: skip


def sent(trader: Trader, client: int = 1, **data: Any) -> None:
    """A resting order over the socket."""
    order = trader.order(client, 200, trader.ticks("bid", 5_000))
    fields = {"id": f"my-{client}", "tx_type": 14, "tx_info": trader.body(**order)} | data
    trader.bench.say(type="jsonapi/sendtx", data=fields)


def closes(bench: Bench) -> list[int]:
    return [out.code for out in bench.outs if isinstance(out, Close)]


# Channels


def test_each_channel_opens_with_all_of_it() -> None:
    trader = trading()
    trader.hold(1_000)
    trader.accepted(1, 300, trader.ticks("bid", 5_000))
    trader.bench.run(320)
    trader.bench.open()
    trader.bench.frames()
    trader.watch(*CHANNELS)
    frames = {frame["type"].removeprefix("subscribed/"): frame for frame in trader.bench.frames()[: len(CHANNELS)]}
    assert tuple(frames) == CHANNELS
    assert all(frame["channel"] == f"{name}:{trader.index}" for name, frame in frames.items())
    assert [row["status"] for row in frames["account_all_orders"]["orders"]["0"]] == ["open"]
    assert sum(float(row["size"]) for row in frames["account_all_trades"]["trades"]["0"]) == pytest.approx(0.1)
    assert frames["account_all_positions"]["positions"]["0"]["position"] == "0.1000"
    collateral = trader.row()["collateral"]
    assert frames["account_all_assets"]["assets"]["3"]["margin_balance"] == collateral
    stats = frames["user_stats"]["stats"]
    assert (stats["collateral"], stats["cross_stats"]["collateral"]) == (collateral, collateral)
    used = float(stats["portfolio_value"]) - float(stats["available_balance"])
    assert float(stats["margin_usage"]) == pytest.approx(100 * used / float(stats["portfolio_value"]), abs=0.01)
    assert float(stats["leverage"]) == pytest.approx(0.1 * trader.market.mark_price / 100_000, abs=0.01)
    assert [row["status"] for row in frames["account_tx"]["txs"]] == [2, 2]
    everything = frames["account_all"]
    assert everything["account"] == trader.index
    assert everything["positions"] == frames["account_all_positions"]["positions"]


def test_a_market_s_channels_leave_the_others_out() -> None:
    trader = trading()
    trader.bench.open()
    for market in (0, 1):
        for name in ("account_orders", "account_market"):
            trader.bench.say(type="subscribe", channel=f"{name}/{market}/{trader.index}", auth=trader.token)
    trader.bench.run(20)
    trader.bench.frames()
    trader.accepted(1, 300, trader.ticks("ask", 500), TimeInForce=IOC)
    trader.bench.run(340)
    frames = trader.bench.frames()
    assert {frame["channel"] for frame in frames} == {
        f"account_{name}:0:{trader.index}" for name in ("orders", "market")
    }
    [market] = [frame for frame in frames if frame["type"] == "update/account_market"]
    assert (market["position"]["position"], market["orders"][0]["status"]) == ("0.0300", "filled")
    assert sum(float(row["size"]) for row in market["trades"]) == pytest.approx(0.03)


def test_positions_are_told_until_they_are_nothing() -> None:
    trader = trading()
    trader.watch("account_all_positions")
    trader.bench.frames()
    trader.hold(500)
    trader.hold(-500)
    rows = [frame["positions"]["0"] for frame in trader.told("update/account_all_positions")]
    assert [(row["position"], row["sign"]) for row in rows][-1][0] == "0.0000"
    assert rows[0]["position"] == "0.0500"
    assert trader.row()["positions"][0]["position"] == "0.0000", "flat rows stay listed"


def test_some_channels_want_a_token_and_all_want_a_true_one() -> None:
    trader = trading(setup=Setup())
    trader.bench.open()
    trader.bench.frames()
    for name in (*CHANNELS, "pool_data"):
        trader.bench.say(type="subscribe", channel=f"{name}/{trader.index}")
    trader.bench.run(20)
    frames = trader.bench.frames()
    opened = [frame["channel"].split(":")[0] for frame in frames if "type" in frame and frame["type"][:3] == "sub"]
    assert opened == ["account_all", "account_all_trades", "account_all_positions", "user_stats"]
    refused = {frame["error"]["message"] for frame in frames if "error" in frame}
    assert f"auth field is required: account_tx:{trader.index}" in refused
    for auth, channel in ((trader.token, "account_tx"), (trader.real_token, "pool_data"), (trader.real_token, "rfq")):
        trader.bench.say(type="subscribe", channel=f"{channel}/{trader.index}", auth=auth)
    trader.bench.say(type="subscribe", channel="account_all_orders/77", auth=trader.real_token)
    trader.bench.say(type="subscribe", channel=f"account_orders/99/{trader.index}", auth=trader.real_token)
    trader.bench.run(20)
    codes = [frame["error"]["code"] for frame in trader.bench.frames() if "error" in frame]
    assert codes == [20001, 30005, 30005, 30005, 30005]


def test_late_subscribers_share_the_channel() -> None:
    trader = trading()
    trader.watch("account_all_orders")
    trader.accepted(1, 200, trader.ticks("bid", 5_000))
    trader.bench.run(100)
    trader.watch("account_all_orders", connection=2)
    trader.bench.run(320)
    for connection in (1, 2):
        [frame] = trader.told("update/account_all_orders", connection)
        assert frame["orders"]["0"][0]["client_order_index"] == 1


# Over the socket


def test_a_send_is_answered_with_its_id() -> None:
    trader = trading()
    trader.bench.open()
    trader.bench.frames()
    sent(trader)
    sent(trader, tx_info=json.dumps(trader.body()))
    trader.bench.say(type="jsonapi/sendtx")
    [ack, refused, empty] = trader.bench.frames()
    assert (ack["type"], ack["id"], ack["code"]) == ("jsonapi/sendtx", "my-1", 200)
    assert ack["predicted_execution_time_ms"] == trader.bench.world.now_ms + 300
    assert (refused["id"], refused["error"]["code"]) == ("my-1", 21501)
    assert empty == {"error": {"code": 21501, "message": "invalid tx info"}}
    trader.bench.run(320)
    assert trader.tx(ack["tx_hash"])["status"] == 2


def test_a_batch_over_the_socket() -> None:
    trader = trading()
    trader.bench.open()
    trader.bench.frames()
    bodies = []
    for client in (1, 2):
        bodies.append(json.dumps(trader.body(**trader.order(client, 200, trader.ticks("bid", 5_000)))))
        trader.nonce += 1
    batch = {"id": 7, "tx_types": "[14,14]", "tx_infos": json.dumps(bodies)}
    for data in (batch, {"id": 8, "tx_types": "[14]", "tx_infos": json.dumps(bodies)}, {"id": 9}):
        trader.bench.say(type="jsonapi/sendtxbatch", data=data)
    [ack, uneven, empty] = trader.bench.frames()
    assert (ack["id"], ack["code"], len(ack["tx_hash"])) == (7, 200, 2)
    assert [uneven["error"]["code"], empty["error"]["code"]] == [21513, 21501]


def test_batches_are_bounded_and_of_one_key() -> None:
    trader = trading()

    def batch(keys: list[int], nonces: list[int], clients: list[int] | None = None) -> int:
        infos = []
        for number, (key, nonce) in enumerate(zip(keys, nonces, strict=True), 1):
            order = trader.order(clients[number - 1] if clients else 0, 200, trader.ticks("bid", 5_000))
            infos.append(json.dumps(trader.body(**order) | {"ApiKeyIndex": key, "Nonce": nonce}))
        reply = trader.post("sendTxBatch", tx_types=json.dumps([14] * len(keys)), tx_infos=json.dumps(infos))
        return int(json.loads(reply.body)["code"])

    assert batch([4] * 51, list(range(51))) == 21514
    assert batch([4, 5], [0, 1]) == 21121
    assert batch([4, 4], [0, 2]) == 21105
    assert batch([4, 4], [0, 1], [3, 3]) == 21728
    assert batch([], []) == 21513
    assert trader.venue_nonce() == 0
    assert batch([4] * 50, list(range(50))) == 200


def test_sends_do_not_count_as_messages() -> None:
    trader = trading()
    trader.bench.open()
    trader.bench.frames()
    for number in range(1, 260):
        sent(trader, number, tx_info=trader.body(**trader.order(number, 200, trader.ticks("bid", 5_000))))
        trader.nonce += 1
    assert {frame["code"] for frame in trader.bench.frames()} == {200}


# Faults


@pytest.mark.parametrize("kind", ["lost_ack", "error_ack", "late_ack"])
def test_a_lost_answer_leaves_a_live_order(kind: str) -> None:
    trader = trading()
    trader.bench.fault(f"lighter:{kind}")
    order = json.dumps(trader.body(**trader.order(1, 200, trader.ticks("bid", 5_000))))
    reply = trader.post("sendTx", tx_type="14", tx_info=order)
    assert {"lost_ack": reply.status == RESET, "error_ack": reply.status == 500, "late_ack": reply.delay_ms == 3_000}[
        kind
    ]
    trader.bench.run(320)
    assert trader.status(1) == "open"
    assert trader.venue_nonce() == 1


@pytest.mark.parametrize("kind", ["lost_request", "write_429", "refused_ack", "reject"])
def test_what_never_arrived_spends_nothing(kind: str) -> None:
    trader = trading()
    trader.bench.fault(f"lighter:{kind}")
    order = json.dumps(trader.body(**trader.order(1, 200, trader.ticks("bid", 5_000))))
    reply = trader.post("sendTx", tx_type="14", tx_info=order)
    answered = {"lost_request": RESET, "write_429": 429, "refused_ack": 200, "reject": 400}
    assert reply.status == answered[kind]
    if kind == "refused_ack":
        assert json.loads(reply.body)["code"] == 21506
    trader.bench.run(320)
    assert trader.venue_nonce() == 0


def test_a_late_request_arrives_after_its_read_back() -> None:
    trader = trading()
    trader.bench.fault("lighter:late_request:value=1000")
    order = json.dumps(trader.body(**trader.order(1, 200, trader.ticks("bid", 5_000))))
    assert trader.post("sendTx", tx_type="14", tx_info=order).status == RESET
    trader.bench.run(900)
    assert trader.get("accountOrders", account_index=trader.index, client_order_indexes=1)["orders"] == []
    trader.bench.run(600)
    assert trader.status(1) == "open"


@pytest.mark.parametrize(
    ("kind", "live", "told"),
    [
        ("lost_request", False, 0),
        ("late_request", True, 0),
        ("lost_ack", True, 0),
        ("error_ack", True, 1),
        ("late_ack", True, 1),
        ("write_429", False, 1),
        ("refused_ack", False, 1),
    ],
)
def test_the_same_over_the_socket(kind: str, live: bool, told: int) -> None:
    trader = trading()
    trader.bench.open()
    trader.bench.frames()
    trader.bench.fault(f"lighter:{kind}")
    sent(trader)
    assert closes(trader.bench) == ([1006] if kind in ("lost_request", "late_request", "lost_ack") else [])
    trader.bench.run(4_000)
    assert len(trader.bench.frames()) == told
    found = trader.get("accountOrders", account_index=trader.index, client_order_indexes=1)["orders"]
    assert bool(found) == live


def test_an_accepted_order_may_come_to_nothing() -> None:
    trader = trading()
    trader.bench.fault("lighter:ignored")
    never = trader.accepted(1, 200, trader.ticks("bid", 5_000))
    trader.bench.fault("lighter:engine_reject")
    rejected = trader.accepted(2, 200, trader.ticks("bid", 5_000))
    trader.bench.run(2_000)
    assert trader.tx(never)["status"] == 1
    assert trader.create(1, 200, trader.ticks("bid", 5_000))["code"] == 200, "nobody knows the one that came to nothing"
    assert trader.failure(rejected) == 21739
    assert trader.get("accountOrders", account_index=trader.index, client_order_indexes="1,2")["orders"] == []


@pytest.mark.parametrize(("value", "filled", "status"), [("all", "0.0200", "filled"), ("half", "0.0100", "canceled")])
def test_a_cancel_races_a_fill(value: str, filled: str, status: str) -> None:
    trader = trading()
    trader.accepted(1, 200, trader.ticks("bid", 5_000))
    trader.bench.run(320)
    trader.bench.fault(f"lighter:cancel_race:value={value}")
    cancel = trader.send(CANCEL, MarketIndex=ETH, Index=1)["tx_hash"]
    trader.bench.run(220)
    order = trader.found(1)
    assert (order["filled_base_amount"], order["status"]) == (filled, status)
    if value == "all":
        assert trader.failure(cancel) == 21600


def test_a_cancel_may_be_refused() -> None:
    trader = trading()
    trader.accepted(1, 200, trader.ticks("bid", 5_000))
    trader.bench.run(320)
    trader.bench.fault("lighter:cancel_refused")
    assert trader.send(CANCEL, MarketIndex=ETH, Index=1)["code"] == 21506
    trader.bench.run(320)
    assert trader.status(1) == "open"


def test_fills_come_twice_late_or_never() -> None:
    trader = trading()
    trader.watch("account_all_trades")
    trader.bench.frames()
    trader.bench.fault("lighter:duplicate_fill")
    trader.hold(100)
    first, second = trader.told("update/account_all_trades")
    assert first == second
    trader.bench.fault("lighter:late_fill:value=1000")
    trader.hold(100)
    assert trader.told("update/account_all_trades") == []
    trader.bench.run(1_000)
    assert len(trader.told("update/account_all_trades")) == 1
    trader.bench.fault("lighter:lost_event")
    trader.hold(100)
    trader.bench.run(3_000)
    assert trader.told("update/account_all_trades") == []
    assert trader.position() == 0.03


def test_the_account_falls_silent_and_the_book_does_not() -> None:
    trader = trading()
    trader.watch("account_all_orders", "user_stats")
    trader.bench.subscribe("order_book/0")
    trader.bench.run(100)
    trader.bench.frames()
    trader.bench.fault("lighter:account_silence:for_s=2")
    trader.hold(100)
    trader.bench.run(1_000)
    assert {frame["type"] for frame in trader.bench.frames()} == {"update/order_book"}


def test_reads_lag_when_told_to() -> None:
    trader = trading()
    trader.bench.fault("lighter:rest_lag:value=2000,for_s=1")
    trader.hold(100)
    assert trader.position() == 0
    trader.bench.run(2_000)
    assert trader.position() == 0.01


def test_a_trade_of_others_may_be_among_the_own() -> None:
    trader = trading()
    trader.hold(100)
    trader.bench.fault("lighter:foreign_trade")
    trader.bench.open()
    trader.bench.frames()
    trader.watch("account_all_trades")
    [frame] = trader.told("subscribed/account_all_trades")
    rows = [row for market in frame["trades"].values() for row in market]
    assert sum(trader.index in (row["ask_account_id"], row["bid_account_id"]) for row in rows) == len(rows) - 1


def test_subscriptions_meet_null_lists_and_false_refusals() -> None:
    trader = trading()
    trader.bench.open()
    trader.bench.frames()
    trader.bench.fault("lighter:null_lists:for_s=1")
    trader.watch("account_all_positions")
    [frame] = trader.told("subscribed/account_all_positions")
    assert frame["shares"] is None
    assert trader.get("accountActiveOrders", account_index=trader.index)["orders"] is None
    trader.bench.run(1_000)
    trader.bench.fault("lighter:already_subscribed")
    trader.watch("account_all_orders")
    [error] = [frame["error"] for frame in trader.bench.frames() if "error" in frame]
    assert error == {"code": 30003, "message": f"Already Subscribed to : account_all_orders:{trader.index}"}
    trader.bench.run(1_100)
    trader.watch("account_all_orders")
    assert len(trader.told("subscribed/account_all_orders")) == 1


def test_a_restart_is_announced() -> None:
    trader = trading()
    trader.bench.open()
    trader.bench.frames()
    trader.bench.fault("lighter:shutdown:value=500")
    trader.bench.run(400)
    assert trader.bench.frames() == [{"type": "shutdown", "close_in_ms": 500}]
    assert closes(trader.bench) == []
    trader.bench.run(200)
    assert 1001 in closes(trader.bench)


def test_tokens_keys_and_the_venue_itself_give_out() -> None:
    trader = trading()
    trader.bench.open()
    trader.bench.frames()
    trader.bench.fault("lighter:token_expired:for_s=1")
    path = "/api/v1/accountActiveOrders"
    assert trader.bench.get(path, account_index=trader.index, auth=trader.token).status == 400
    trader.watch("account_tx")
    assert [frame["error"]["code"] for frame in trader.bench.frames()] == [20001]
    trader.bench.run(1_100)
    trader.bench.fault("lighter:key_revoked:for_s=1")
    assert trader.create(1, 200, trader.ticks("bid", 5_000))["code"] == 21109
    trader.bench.run(1_100)
    trader.bench.fault("lighter:maintenance:for_s=1")
    reply = trader.bench.get(path, account_index=trader.index, auth=trader.token)
    assert (reply.status, json.loads(reply.body)["code"]) == (503, 29500)
    trader.bench.run(1_100)
    assert trader.accepted(1, 200, trader.ticks("bid", 5_000))


def test_somebody_else_uses_the_key() -> None:
    trader = trading()
    trader.bench.fault("lighter:nonce_taken")
    assert trader.create(1, 200, trader.ticks("bid", 5_000)) == {"code": 21104, "message": "invalid nonce"}
    assert trader.venue_nonce() == 1


def test_markets_halt_or_only_let_out() -> None:
    trader = trading()
    trader.hold(500)
    trader.bench.fault("lighter:halted:market=ETH,for_s=2")
    assert trader.create(1, 200, trader.ticks("bid", 5_000))["code"] == 21605
    [row] = trader.bench.body("/api/v1/orderBooks", market_id=ETH)["order_books"]
    assert row["status"] == "inactive"
    trader.bench.run(2_100)
    trader.bench.fault("lighter:reduce_only:market=ETH,for_s=2")
    details = trader.bench.body("/api/v1/orderBookDetails", market_id=ETH)["order_book_details"]
    assert details[0]["market_config"]["force_reduce_only"] is True
    assert trader.create(2, 200, trader.ticks("bid", 5_000))["code"] == 21740
    trader.hold(-500)
    assert trader.position() == 0


def test_a_liquidation_is_told_on_every_way() -> None:
    trader = trading()
    trader.hold(2_000)
    trader.accepted(5, 200, trader.ticks("bid", 9_000), TimeInForce=POST_ONLY)
    mark = trader.ticks("bid")
    stop = {"IsAsk": 1, "Type": STOP_LOSS, "TimeInForce": IOC, "TriggerPrice": mark - 40_000, "ReduceOnly": 1}
    trader.accepted(6, 2_000, mark - 50_000, **stop)
    trader.bench.run(320)
    trader.watch("account_all_trades", "account_all_positions", "notification", "account_all_orders")
    trader.bench.subscribe("trade/0")
    trader.bench.run(20)
    trader.bench.frames()
    trader.bench.fault("lighter:liquidate")
    trader.bench.run(300)
    frames: dict[str, list[dict[str, Any]]] = {}
    for frame in trader.bench.frames():
        frames.setdefault(frame["type"], []).append(frame)
    rows = [row for frame in frames["update/account_all_trades"] for row in frame["trades"]["0"]]
    assert {row["type"] for row in rows} == {"liquidation"}
    assert sum(float(row["size"]) for row in rows) == pytest.approx(0.2)
    assert frames["update/account_all_positions"][-1]["positions"]["0"]["position"] == "0.0000"
    assert frames["update/notification"][0]["notifs"][0]["kind"] == "liquidation"
    assert trader.status(5) == "canceled-liquidation"
    assert trader.status(6) in ("canceled-liquidation", "canceled-reduce-only")
    forced = [row for frame in frames["update/trade"] for row in frame["liquidation_trades"]]
    assert {row["trade_id"] for row in forced} == {row["trade_id"] for row in rows}
    listed = trader.get("liquidations", account_index=trader.index, limit=10)["liquidations"]
    assert {row["id"] for row in listed} == {row["trade_id"] for row in rows}


def test_deleveraging_takes_the_position_at_the_mark() -> None:
    trader = trading()
    trader.hold(-2_000)
    trader.watch("account_all_trades", "account_all_positions")
    trader.bench.frames()
    trader.bench.fault("lighter:deleverage")
    trader.bench.run(300)
    [frame] = trader.told("update/account_all_trades")
    [row] = frame["trades"]["0"]
    assert (row["type"], row["size"], row["bid_account_id"]) == ("deleverage", "0.2000", trader.index)
    assert row["ask_account_id"] != trader.index
    assert trader.position() == 0


def test_funding_may_turn() -> None:
    trader = trading(start_ms=1_795_197_600_000 - 130_000)
    trader.hold(2_000)
    trader.bench.fault("lighter:funding_flip:market=ETH")
    trader.bench.run(131_000, step_ms=500)
    [turned] = trader.get("positionFunding", account_index=trader.index, limit=1)["position_fundings"]
    straight = trader.market.funding.terms.rate([trader.market.premium_sample()])
    assert float(turned["rate"]) * straight < 0
    assert (float(turned["change"]) > 0) == (float(turned["rate"]) < 0)


def test_no_margin_ends_in_a_liquidation() -> None:
    """Nothing is injected: the account cannot hold its position any more."""
    trader = trading(equity_usd=400)
    trader.hold(20_000)
    trader.watch("account_all_trades")
    trader.bench.frames()
    trader.bench.venue.accounts.deposit(trader.engine, -350_000_000)
    trader.bench.run(2_000)
    rows = [row for frame in trader.told("update/account_all_trades") for row in frame["trades"]["0"]]
    assert {row["type"] for row in rows} <= {"liquidation", "deleverage"}
    assert trader.position() == 0
    assert float(trader.row()["collateral"]) >= 0


def test_requests_of_nobody_are_counted_on_their_address() -> None:
    bench = Bench()
    reply = bench.core.http(
        HttpRequest("POST", "/api/v1/sendTx", body=b"tx_type=14&tx_info=%7B%7D"), bench.world.now_ms
    )
    assert json.loads(reply.body)["code"] == 21501
    reply = bench.core.http(HttpRequest("POST", "/api/v1/sendTx", body=b"\xff"), bench.world.now_ms)
    assert reply.status == 400

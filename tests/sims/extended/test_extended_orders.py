"""What Extended's door refuses and by which code, and what becomes of what it lets in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from extended_client import START_MS, Client
from extended_trader import BTC, BUY, IOC, MARKET, SELL, Trader
from x10.models.order import (
    OrderPriceType,
    OrderTpslType,
    OrderTriggerDirection,
    OrderTriggerPriceType,
    OrderType,
    SelfTradeProtectionLevel,
)
from x10.signing.order_object import OrderConditionalTriggerParam, OrderTpslTriggerParam

from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.extended.facts import RPC_PATH, STANDARD, Conduct, snowflake
from twinleg_sims.protocol import HttpReply

MARK = OrderTriggerPriceType.MARK


@pytest.fixture(scope="module")
def trader() -> Trader:
    """For requests that change nothing."""
    return Trader()


def conditional(price: Decimal, execution: OrderPriceType = OrderPriceType.LIMIT) -> dict[str, Any]:
    trigger = OrderConditionalTriggerParam(
        trigger_price=price, trigger_price_type=MARK, direction=OrderTriggerDirection.UP,
        execution_price_type=execution,
    )  # fmt: skip
    return {"order_type": OrderType.CONDITIONAL, "trigger": trigger}


REFUSALS: dict[str, tuple[int, Callable[[Trader], HttpReply]]] = {
    "no such market": (1001, lambda t: t.post(t.order("0.001", t.mark), market="NO-USD")),
    "prelisted": (1002, lambda t: t.post(t.order("1", 1, market="FRESH-USD"))),
    "only reducing": (1014, lambda t: t.post(t.order("1000", "0.04", market="OLD-USD"))),  # type: ignore[arg-type]
    "rfq by the usual way": (1009, lambda t: t.post(t.order("0.01", 4_000, market="XAU-USD"))),
    "usual market by rfq": (1009, lambda t: t.post(t.order("0.001", t.mark), "/order/rfq")),
    "too small": (1120, lambda t: t.post(t.order("0.00009", t.mark))),
    "too fine a size": (1123, lambda t: t.post(t.order("0.001001", t.mark))),
    "too fine a price": (1125, lambda t: t.post(t.order("0.001", t.mark + Decimal("0.5")))),
    "too big": (1122, lambda t: t.post(t.order("300", t.mark))),
    "too big for a market order": (1122, lambda t: t.post(t.order("100", t.mark, **MARKET))),
    "no fee": (1128, lambda t: t.post(t.order("0.001", t.mark, taker_fee=Decimal("0.0002")))),
    "no price": (1130, lambda t: t.post(t.order("0.001", 0))),
    "a TWAP": (1132, lambda t: t.post(t.order("0.001", t.mark), type="TWAP")),
    "fill or kill": (1133, lambda t: t.post(t.order("0.001", t.mark), timeInForce="FOK")),
    "an odd side": (1133, lambda t: t.post(t.order("0.001", t.mark), side="LONG")),
    "no id": (1133, lambda t: t.post(t.order("0.001", t.mark), id="")),
    "no settlement": (1133, lambda t: t.post(t.order("0.001", t.mark), settlement=None)),
    "not a number": (1133, lambda t: t.post(t.order("0.001", t.mark), qty="NaN")),
    "an endless number": (1133, lambda t: t.post(t.order("0.001", t.mark), qty="1e999")),
    "no JSON": (1133, lambda t: t.ask("POST", "/order", b"{")),
    "no body": (1133, lambda t: t.ask("POST", "/order", b"")),
    "post-only at once": (1133, lambda t: t.post(t.order("0.001", t.mark, **IOC), postOnly=True)),
    "expired": (1135, lambda t: t.post(t.order("0.001", t.mark, expire_time=at(t, -1)))),
    "valid for too long": (1135, lambda t: t.post(t.order("0.001", t.mark, expire_time=at(t, 29 * 86_400)))),
    "nothing to reduce": (1137, lambda t: t.post(t.order("0.001", t.mark, reduce_only=True))),
    "a resting market order": (1139, lambda t: t.post(t.order("0.001", t.mark), type="MARKET")),
    "no money": (1140, lambda t: t.post(t.order("20", t.mark))),
    "far above": (1141, lambda t: t.post(t.order("0.001", t.mark * 106 // 100))),
    "far below": (1141, lambda t: t.post(t.order("0.001", t.mark * 94 // 100, SELL))),
    "a market order far above": (1141, lambda t: t.post(t.order("0.001", t.mark * 116 // 100, **MARKET))),
    "no trigger": (1143, lambda t: t.post(t.order("0.001", t.mark), type="CONDITIONAL")),
    "post-only on a trigger": (
        1144,
        lambda t: t.post(
            t.order("0.001", t.mark, **conditional(t.mark, OrderPriceType.MARKET)), postOnly=True, fee="0.00025"
        ),
    ),
    "a foreign key": (1100, lambda t: t.post(t.order("0.001", t.mark), settlement=settlement(t, starkKey="0x5"))),
    "a key of letters": (1100, lambda t: t.post(t.order("0.001", t.mark), settlement=settlement(t, starkKey="key"))),
    "a foreign vault": (
        1102,
        lambda t: t.post(t.order("0.001", t.mark), settlement=settlement(t, collateralPosition="1")),
    ),
    "a signature of zero": (1101, lambda t: t.post(t.order("0.001", t.mark), settlement=signed(t, r="0x0"))),
    "a huge signature": (1101, lambda t: t.post(t.order("0.001", t.mark), settlement=signed(t, s="0x" + "f" * 80))),
    "a wrong signature": (1101, lambda t: t.post(t.order("0.001", t.mark), settlement=signed(t, r="0x1234"))),
    "no size for exits": (1129, lambda t: t.post(tpsl(t, "0"), qty="0.001")),
    "no exits": (1131, lambda t: t.post(tpsl(t, "0"), takeProfit=None, stopLoss=None)),
    "exits the wrong way round": (1133, lambda t: t.post(tpsl(t, "0", turned=True))),
}  # fmt: skip


def at(trader: Trader, seconds: float) -> datetime:
    return datetime.fromtimestamp(trader.client.now_ms / 1000 + seconds, UTC)


def settlement(trader: Trader, **changes: str) -> dict[str, Any]:
    body = trader.order("0.001", trader.mark).to_api_request_json(exclude_none=True)
    return body["settlement"] | changes


def signed(trader: Trader, **changes: str) -> dict[str, Any]:
    whole = settlement(trader)
    return whole | {"signature": whole["signature"] | changes}


def tpsl(trader: Trader, qty: str, *, turned: bool = False) -> Any:
    high, low = trader.mark * 102 // 100, trader.mark * 98 // 100
    if turned:
        high, low = low, high
    legs = [
        OrderTpslTriggerParam(
            trigger_price=price, trigger_price_type=MARK, price=price * 95 // 100, price_type=OrderPriceType.MARKET
        )
        for price in (high, low)
    ]
    return trader.order(
        qty, 0, SELL, order_type=OrderType.TPSL, reduce_only=True, take_profit=legs[0], stop_loss=legs[1],
        tp_sl_type=OrderTpslType.POSITION if qty == "0" else OrderTpslType.ORDER,
    )  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_its_code_and_leaves_nothing(trader: Trader, name: str) -> None:
    code, post = REFUSALS[name]
    reply = post(trader)
    assert trader.code(reply) == code, reply.body
    assert 400 <= reply.status < 500
    assert trader.account.orders == {}


def test_the_price_step_of_a_coarser_market() -> None:

    trader = Trader(Client(assets=11))
    market = trader.client.world.market("extended", "BNB-USD")
    price = Decimal(market.listing.price_text(round(market.mark_price / market.listing.tick)))
    step = Decimal(1).scaleb(-market.listing.price_decimals)
    assert trader.code(trader.post(trader.order("1", price, market="BNB-USD"))) == 0
    assert trader.code(trader.post(trader.order("1", price + step, market="BNB-USD"))) == 1124


def test_an_rfq_market_has_its_own_way_in() -> None:
    trader = Trader()
    gold = trader.client.world.market("extended", "XAU-USD")
    price = Decimal(gold.listing.price_text(round(gold.mark_price * 1.02 / gold.listing.tick)))
    order = trader.order("0.01", price, market="XAU-USD", rfq_start_price=price, **MARKET)
    assert trader.code(trader.post(order, "/order/rfq")) == 0
    trader.client.run(500)
    assert trader.frames("ORDER")[0]["data"]["orders"][0]["market"] == "XAU-USD"


def test_a_conditional_order_waits_for_its_price() -> None:
    trader = Trader()
    above = trader.mark * 102 // 100
    number = trader.place("0.001", above, **conditional(above))
    trader.client.run(300)
    market = trader.client.world.market("extended", BTC)
    market.mark_price *= 1.03
    trader.client.core.accounts._check()
    trader.client.run(300)
    assert trader.statuses(number) == ["UNTRIGGERED", "FILLED"]
    assert trader.code(trader.post(trader.order("0.001", 0, **conditional(Decimal(0))))) in (1130, 1141, 1143)


def test_post_only_needs_only_the_maker_fee() -> None:
    trader = Trader(maker_bps=0.2)
    low = trader.mark * 9 // 10
    assert trader.code(trader.post(trader.order("0.001", low, post_only=True, taker_fee=Decimal("0.00001")))) == 1128
    assert trader.code(trader.post(trader.order("0.001", low, post_only=True, taker_fee=Decimal("0.00002")))) == 0


def test_reduce_only_against_a_position() -> None:
    trader = Trader()
    trader.take("0.01")
    mark = trader.mark
    assert trader.code(trader.post(trader.order("0.01", mark, BUY, reduce_only=True))) == 1138
    assert trader.code(trader.post(trader.order("0.011", mark, SELL, reduce_only=True))) == 1136
    assert trader.code(trader.post(trader.order("0.01", mark * 11 // 10, SELL, reduce_only=True))) == 0


def test_an_id_and_a_signed_order_are_used_once() -> None:
    trader = Trader()
    order, other = (trader.order("0.001", trader.mark * 9 // 10) for _ in range(2))
    assert trader.code(trader.post(order)) == 0
    assert trader.code(trader.post(order, id="another")) == 1134
    assert trader.code(trader.post(other, id=order.id)) == 1134
    assert trader.code(trader.post(other)) == 0


def test_at_most_200_open_orders_in_a_market() -> None:
    trader = Trader()
    trader.client.core.accounts.deposit(trader.account, 10**15)
    low = trader.mark * 9 // 10
    for _ in range(200):
        trader.place("0.0001", low)
    assert trader.code(trader.post(trader.order("0.0001", low))) == 1126


def test_ids_carry_their_time_and_are_known_late() -> None:
    trader = Trader()
    at_ms = trader.client.now_ms
    number = trader.place("0.001", trader.mark * 9 // 10)
    assert number == snowflake(at_ms, 0, 1)
    assert trader.ask("GET", f"/orders/{number}").status == 404
    trader.client.run(250, step_ms=10)
    assert trader.statuses(number) == ["NEW"]
    assert trader.ask("GET", f"/orders/{number}").status == 404, "reads lag the stream"
    trader.client.run(100, step_ms=10)
    assert trader.read(f"/orders/{number}")["status"] == "NEW"


def test_an_ioc_goes_straight_to_its_end_after_the_speed_bump() -> None:
    trader = Trader()
    number = trader.place("0.01", trader.mark * 101 // 100, **IOC)
    trader.client.run(190, step_ms=10)
    assert trader.frames() == []
    trader.client.run(20, step_ms=10)
    types = [frame["type"] for frame in trader.frames()]
    assert (types[0], sorted(types[1:3]), types[3:]) == ("ORDER", ["BALANCE", "TRADE"], ["POSITION", "BALANCE"])
    assert trader.statuses(number) == ["FILLED"]
    [order] = trader.frames("ORDER")[0]["data"]["orders"]
    [trades] = trader.frames("TRADE")
    total = sum(Decimal(trade["qty"]) * Decimal(trade["price"]) for trade in trades["data"]["trades"])
    assert Decimal(order["averagePrice"]) == pytest.approx(total / Decimal("0.01"))
    assert Decimal(order["payedFee"]) == sum(Decimal(trade["fee"]) for trade in trades["data"]["trades"])
    assert all(trade["isTaker"] for trade in trades["data"]["trades"])
    public = {row["i"] for row in trader.client.data(f"/info/markets/{BTC}/trades")}
    assert {trade["id"] for trade in trades["data"]["trades"]} <= public


def test_trade_and_balance_change_places_now_and_then() -> None:
    trader = Trader()
    for side in (BUY, SELL) * 8:
        trader.take("0.001", side)
    types = [frame["type"] for frame in trader.frames()]
    after_order = {tuple(types[n + 1 : n + 3]) for n, kind in enumerate(types) if kind == "ORDER"}
    assert after_order == {("TRADE", "BALANCE"), ("BALANCE", "TRADE")}


def test_openings_come_in_any_order() -> None:
    trader = Trader()
    orders = {tuple(frame["type"] for frame in trader.client.frames[trader.stream])}
    for _ in range(20):
        number = len(trader.client.frames) + 1
        trader.client.open("/account", trader.headers)
        frames = trader.client.frames[number]
        assert [frame["seq"] for frame in frames] == [1, 2, 3]
        assert all(frame["data"]["isSnapshot"] for frame in frames)
        orders.add(tuple(frame["type"] for frame in frames))
    assert len(orders) == 6


def test_a_closed_position_keeps_its_last_size() -> None:
    trader = Trader()
    trader.take("0.01")
    trader.take("0.01", SELL)
    opened, closed = (frame["data"]["positions"][0] for frame in trader.frames("POSITION"))
    assert (opened["status"], opened["size"], "adl" in opened) == ("OPENED", "0.01", True)
    assert (closed["status"], closed["size"], "adl" in closed) == ("CLOSED", "0.01", False)
    assert closed["margin"] == closed["unrealisedPnl"] == "0.000000"
    assert Decimal(opened["realisedPnl"]) < 0, "the opening fee is in it"
    assert opened["id"] == closed["id"]
    assert opened["createdAt"] == (opened["id"] >> 22) + 1_288_834_974_657


def test_balances_keep_coming_while_a_position_is_open() -> None:
    trader = Trader()
    trader.client.run(60_000, step_ms=1_000)
    assert trader.frames() == []
    trader.take("0.01")
    before = len(trader.frames("BALANCE"))
    trader.client.run(100_000, step_ms=1_000)
    assert len(trader.frames("BALANCE")) - before in (4, 5)


@pytest.mark.parametrize(("rejected", "status"), [(False, "CANCELLED"), (True, "REJECTED")])
def test_a_crossing_post_only_order_ends_as_chosen(rejected: bool, status: str) -> None:

    client = Client()
    client.core = ExtendedCore(client.world, client.faults, STANDARD, Conduct(post_only_rejected=rejected))
    trader = Trader(client)
    number = trader.place("0.001", trader.mark * 102 // 100, post_only=True)
    trader.client.run(300)
    assert trader.statuses(number) == [status]
    assert trader.read(f"/orders/{number}")["statusReason"] == "POST_ONLY_FAILED"


def test_a_resting_order_is_new_and_then_filled_by_the_world() -> None:
    trader = Trader()
    number = trader.place("0.01", trader.mark * 9995 // 10_000)
    for _ in range(600):
        trader.client.run(1_000, step_ms=250)
        if "FILLED" in trader.statuses(number):
            break
    assert trader.statuses(number)[0] == "NEW"
    assert trader.statuses(number)[-1] == "FILLED"
    assert {row["isTaker"] for f in trader.frames("TRADE") for row in f["data"]["trades"]} == {False}


@pytest.mark.parametrize(
    ("level", "taker"), [(SelfTradeProtectionLevel.ACCOUNT, "CANCELLED"), (SelfTradeProtectionLevel.DISABLED, "FILLED")]
)
def test_self_trade_protection_takes_the_taker(level: SelfTradeProtectionLevel, taker: str) -> None:
    trader = Trader()
    best = trader.client.world.market("extended", BTC).book.best("bid")
    assert best is not None
    resting = trader.place("0.001", best + 1, SELL, post_only=True)
    trader.client.run(10, step_ms=10)
    taking = trader.place("0.001", best + 1, self_trade_protection_level=level, **IOC)
    accounts = trader.client.core.accounts
    accounts.arrive(trader.account, list(trader.account.orders.values())[-1])  # before the world moves
    assert bool(trader.account.orders) == (taker == "CANCELLED"), "the resting one stays"
    trader.client.run(300)
    assert trader.statuses(taking) == [taker]
    assert trader.statuses(resting)[0] == "NEW"
    reason = trader.read(f"/orders/{taking}").get("statusReason")
    assert reason == ("SELF_TRADE_PROTECTION" if taker == "CANCELLED" else None)


def test_cancelling_by_both_ids_and_what_is_unknown() -> None:
    trader = Trader()
    low = trader.mark * 9 // 10
    one, two = trader.place("0.001", low), trader.place("0.001", low, order_external_id="two")
    trader.client.run(300)
    assert json.loads(trader.ask("DELETE", f"/order/{one}").body) == {"status": "OK"}
    assert json.loads(trader.ask("DELETE", "/order?externalId=two").body) == {"status": "OK"}
    assert trader.statuses(one) == ["NEW"], "it is asynchronous"
    trader.client.run(200)
    assert trader.statuses(one) == trader.statuses(two) == ["NEW", "CANCELLED"]
    assert json.loads(trader.ask("DELETE", f"/order/{one}").body) == {"status": "OK"}
    trader.client.run(200)
    assert trader.statuses(one) == ["NEW", "CANCELLED"]
    assert trader.ask("DELETE", "/order/77").status == trader.ask("DELETE", "/order?externalId=x").status == 404


@pytest.mark.parametrize("named", ["orderIds", "externalOrderIds", "markets", "cancelAll"])
def test_mass_cancel_takes_what_is_named(named: str) -> None:
    trader = Trader()
    low = trader.mark * 9 // 10
    one, two = (trader.place("0.001", low, order_external_id=name) for name in ("one", "two"))
    trader.client.run(300)
    body = {"orderIds": [one], "externalOrderIds": ["one"], "markets": [BTC], "cancelAll": True}
    assert trader.ask("POST", "/order/massCancel", {named: body[named]}).status == 200
    trader.client.run(200)
    assert trader.statuses(one)[-1] == "CANCELLED"
    assert trader.statuses(two)[-1] == ("CANCELLED" if named in ("markets", "cancelAll") else "NEW")
    assert trader.code(trader.ask("POST", "/order/massCancel", {})) == 1133


def test_the_dead_man_s_switch() -> None:
    trader = Trader()
    number = trader.place("0.001", trader.mark * 9 // 10)
    assert trader.ask("POST", "/deadmanswitch?countdownTime=10").body == b""
    trader.client.run(8_000)
    trader.ask("POST", "/deadmanswitch?countdownTime=10")
    trader.client.run(8_000)
    assert trader.statuses(number) == ["NEW"]
    trader.client.run(3_000)
    assert trader.statuses(number) == ["NEW", "CANCELLED"]
    number = trader.place("0.001", trader.mark * 9 // 10)
    trader.ask("POST", "/deadmanswitch?countdownTime=5")
    trader.ask("POST", "/deadmanswitch?countdownTime=0")
    trader.client.run(8_000)
    assert trader.statuses(number) == ["NEW"]
    assert trader.code(trader.ask("POST", "/deadmanswitch")) == 1133


def test_exits_wait_for_the_mark_and_one_takes_the_other_with_it() -> None:
    trader = Trader()
    trader.take("0.01")
    number = json.loads(trader.post(tpsl(trader, "0")).body)["data"]["id"]
    trader.client.run(300)
    market = trader.client.world.market("extended", BTC)
    market.mark_price *= 0.97
    trader.client.core.accounts._check()
    trader.client.run(300)
    rows = [row for f in trader.frames("ORDER") for row in f["data"]["orders"] if row["type"] == "TPSL"]
    last = {row["externalId"]: row for row in rows}
    assert sorted(row["status"] for row in last.values()) == ["CANCELLED", "FILLED"]
    assert trader.statuses(number) == ["UNTRIGGERED", "CANCELLED"]
    assert trader.read("/positions") == []


def test_cancelling_one_exit_cancels_both() -> None:
    trader = Trader()
    trader.take("0.01")
    number = json.loads(trader.post(tpsl(trader, "0")).body)["data"]["id"]
    trader.client.run(300)
    assert len(trader.read("/orders")) == 2
    trader.ask("DELETE", f"/order/{number}")
    trader.client.run(300)
    assert trader.read("/orders") == []


def test_the_v2_stream_wants_the_account_of_the_key() -> None:
    trader = Trader()
    number = len(trader.client.frames) + 1
    trader.client.open(RPC_PATH)
    for account, key in ((trader.account_id + 1, trader.api_key), (trader.account_id, "no"), (None, trader.api_key)):
        [reply] = trader.client.call("subscribe", number, scope="account", selector={"account": account}, apiKey=key)
        assert reply["error"]["code"] == -32001
    selector = {"account": str(trader.account_id)}
    ack, *opening = trader.client.call("subscribe", number, scope="account", selector=selector, apiKey=trader.api_key)
    assert ack["result"]["subscription"] == f"account.{trader.account_id}"
    assert [frame["seq"] for frame in opening] == [0, 1, 2]
    [ack] = trader.client.call("unsubscribe", number, scope="account", selector=selector, apiKey=trader.api_key)
    trader.take("0.001")
    assert len(trader.client.frames[number]) == 3 + 1 + 3 + 1


def test_leverage_is_the_account_s_and_needs_margin() -> None:
    trader = Trader(equity_usd=1_000)
    assert trader.ask("PATCH", "/leverage", {"market": BTC, "leverage": "50"}).status == 200
    trader.client.run(300)
    assert trader.read(f"/leverage?market={BTC}") == [{"market": BTC, "leverage": "50"}]
    trader.take("0.3")
    assert trader.code(trader.ask("PATCH", "/leverage", {"market": BTC, "leverage": "2"})) == 1052
    assert trader.account.initial_ppm == {BTC: 20_000}
    assert trader.code(trader.ask("PATCH", "/leverage", {"market": "NO-USD", "leverage": "2"})) == 1001
    [position] = trader.read("/positions")
    assert position["leverage"] == "50"


def test_funding_is_charged_on_the_hour_and_adds_up() -> None:
    trader = Trader(Client(start_ms=START_MS + 35 * 60_000))
    trader.take("0.5", SELL)
    before = Decimal(trader.read("/balance")["balance"])
    trader.client.run(90_000, step_ms=500)
    [payment] = trader.read("/funding/history")
    [rate] = trader.client.data(f"/info/{BTC}/funding?limit=1")
    assert (payment["side"], payment["size"], payment["fundingRate"]) == ("SHORT", "0.5", rate["f"])
    assert payment["paidTime"] == rate["T"]
    fee = Decimal(payment["fundingFee"])
    assert fee == pytest.approx(Decimal(payment["value"]) * Decimal(payment["fundingRate"]), abs=Decimal("1e-6"))
    assert Decimal(trader.read("/balance")["balance"]) == before + fee
    [position] = trader.read("/positions")
    assert payment["positionId"] == position["id"]
    fees = sum(Decimal(trade["fee"]) for trade in trader.read("/trades"))
    assert Decimal(position["realisedPnl"]) == fee - fees
    told = [frame["data"]["positions"][0]["realisedPnl"] for frame in trader.frames("POSITION")]
    assert told[-1] == position["realisedPnl"]
    assert trader.read(f"/funding/history?fromTime={payment['paidTime'] + 1}") == []


def test_accounts_of_a_wallet_are_relatives() -> None:
    one = Trader(wallet="0xabc", name="one")
    two = Trader(one.client, wallet="0xabc")
    other = Trader(one.client)
    assert [row["accountIndex"] for row in two.read("/accounts")] == [0, 1]
    assert len({t.read("/client/info")["id"] for t in (one, two, other)}) == 2
    assert one.account.kin == {two.account.id}
    again = Trader(wallet="0xabc", name="one")
    assert (again.api_key, again.signer.public_key) == (one.api_key, one.signer.public_key)


def test_what_is_not_simulated_says_so() -> None:
    trader = Trader()
    for method, path in (("POST", "/withdrawal"), ("GET", "/rewards/earned"), ("POST", "/transfer/onchain")):
        reply = trader.ask(method, path, {})
        assert (reply.status, "not simulated" in reply.body.decode()) == (404, True)

"""What can go wrong for a trader at Extended: each private fault, once."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from extended_trader import BTC, BUY, IOC, SELL, Trader

from twinleg_sims.faults import Faulty
from twinleg_sims.protocol import RESET, HttpReply, HttpRequest


def write(trader: Trader) -> tuple[HttpReply, int]:
    """Send an order that rests through the faults' shell; the reply, and how many orders the account has after it."""
    body = json.dumps(trader.order("0.001", trader.mark * 9 // 10).to_api_request_json(exclude_none=True)).encode()
    request = HttpRequest("POST", "/api/v1/user/order", [], trader.headers, body)
    reply = faulty(trader).http(request, trader.client.now_ms)
    return reply, len(trader.account.orders)


def faulty(trader: Trader) -> Faulty:
    return Faulty(trader.client.core, trader.client.faults)


@pytest.mark.parametrize(
    ("kind", "status", "orders"),
    [
        ("lost_request", RESET, 0),
        ("lost_ack", RESET, 1),
        ("late_ack", 200, 1),
        ("error_ack", 500, 1),
        ("write_429", 429, 0),
        ("http_500", 500, 0),
    ],
)
def test_a_write_s_answer_tells_nothing_sure(kind: str, status: int, orders: int) -> None:
    trader = Trader()
    trader.fault(kind)
    reply, placed = write(trader)
    assert (reply.status, placed) == (status, orders)
    assert (reply.delay_ms > 0) == (kind == "late_ack")


def test_a_request_arrives_after_its_connection_broke() -> None:
    trader = Trader()
    trader.fault("late_request", "1000")
    shell = faulty(trader)
    body = json.dumps(trader.order("0.001", trader.mark * 9 // 10).to_api_request_json(exclude_none=True)).encode()
    request = HttpRequest("POST", "/api/v1/user/order", [], trader.headers, body)
    assert shell.http(request, trader.client.now_ms).status == RESET
    trader.client.run(900)
    shell.advance(trader.client.now_ms)
    assert trader.account.orders == {}
    trader.client.run(200)
    shell.advance(trader.client.now_ms)
    assert len(trader.account.orders) == 1


def test_reads_are_no_writes() -> None:
    trader = Trader()
    trader.fault("lost_ack")
    request = HttpRequest("GET", "/api/v1/user/balance", [], trader.headers)
    assert faulty(trader).http(request, trader.client.now_ms).status == 200


def test_an_order_is_accepted_and_nothing_comes_of_it() -> None:
    trader = Trader()
    trader.fault("ignored")
    number = trader.place("0.001", trader.mark * 9 // 10)
    trader.client.run(10_000)
    assert trader.statuses(number) == []
    assert trader.ask("GET", f"/orders/{number}").status == 404


def test_an_order_is_accepted_and_then_rejected() -> None:
    trader = Trader()
    trader.fault("engine_reject")
    number = trader.place("0.001", trader.mark * 9 // 10)
    trader.client.run(500)
    assert trader.statuses(number) == ["REJECTED"]
    assert trader.read(f"/orders/{number}")["statusReason"] == "NOT_ENOUGH_FUNDS"


@pytest.mark.parametrize(
    ("value", "statuses"), [("all", ["NEW", "FILLED"]), ("half", ["NEW", "PARTIALLY_FILLED", "CANCELLED"])]
)
def test_a_fill_races_the_cancel(value: str, statuses: list[str]) -> None:
    trader = Trader()
    number = trader.place("0.001", trader.mark * 9 // 10)
    trader.client.run(300)
    trader.fault("cancel_race", value)
    trader.ask("DELETE", f"/order/{number}")
    trader.client.run(300)
    assert trader.statuses(number) == statuses
    assert len(trader.read("/positions")) == 1


def test_an_order_is_refused_for_want_of_margin() -> None:
    trader = Trader()
    trader.fault("reject")
    order = trader.order("0.001", trader.mark * 9 // 10)
    assert trader.code(trader.post(order)) == 1140
    assert trader.code(trader.post(order)) == 0, "the refused one leaves no trace"


@pytest.mark.parametrize(("percent", "filled"), [("0", "0.000"), ("30", "0.003")])
def test_an_ioc_trades_in_part(percent: str, filled: str) -> None:
    trader = Trader()
    trader.fault("partial_fill", percent)
    number = trader.take("0.01")
    assert trader.statuses(number) == ["CANCELLED"]
    order = trader.read(f"/orders/{number}")
    assert Decimal(order["filledQty"]) == Decimal(filled)
    assert Decimal(order["filledQty"]) + Decimal(order["cancelledQty"]) == Decimal(order["qty"])
    assert len(trader.frames("TRADE")) == (percent != "0")


def test_a_cancel_is_refused_and_the_order_lives() -> None:
    trader = Trader()
    number = trader.place("0.001", trader.mark * 9 // 10)
    trader.client.run(300)
    trader.fault("cancel_refused")
    assert trader.code(trader.ask("DELETE", f"/order/{number}")) == 1006
    trader.client.run(300)
    assert trader.statuses(number) == ["NEW"]
    assert trader.ask("DELETE", f"/order/{number}").status == 200


def test_a_fill_is_told_late() -> None:
    trader = Trader()
    trader.fault("late_fill", "3000")
    trader.take("0.001")
    assert len(trader.read("/trades")) >= 1
    assert trader.frames("TRADE") == []
    trader.client.run(3_000)
    assert len(trader.frames("TRADE")) == 1
    sequence = [frame["seq"] for frame in trader.client.frames[trader.stream]]
    assert sequence == list(range(1, len(sequence) + 1))


def test_a_fill_is_told_twice() -> None:
    trader = Trader()
    trader.fault("duplicate_fill")
    trader.take("0.001")
    first, second = trader.frames("TRADE")
    assert first["data"] == second["data"]
    assert second["seq"] == first["seq"] + 1
    trader.take("0.001")
    assert len(trader.frames("TRADE")) == 3


@pytest.mark.parametrize(("value", "gap"), [("gap", 1), ("silent", 0)])
def test_a_message_of_the_account_is_lost(value: str, gap: int) -> None:
    trader = Trader()
    trader.fault("lost_event", value)
    trader.place("0.001", trader.mark * 9 // 10)
    trader.client.run(500)
    frames = trader.client.frames[trader.stream]
    assert [frame["type"] for frame in frames[3:]] == ["BALANCE"], "the ORDER is missing"
    assert frames[3]["seq"] == 4 + gap


def test_the_account_stream_falls_silent_and_pings_go_on() -> None:
    trader = Trader()
    trader.fault("account_silence", for_s=30)
    trader.take("0.001")
    pings = len(trader.client.pings)
    trader.client.run(20_000)
    assert trader.frames() == []
    assert len(trader.client.pings) > pings
    assert len(trader.read("/positions")) == 1
    trader.client.run(20_000)
    assert {frame["type"] for frame in trader.frames()} == {"BALANCE"}


def test_reads_are_stale_while_the_stream_is_not() -> None:
    trader = Trader()
    trader.fault("rest_lag", "5000", for_s=60)
    number = trader.take("0.001")
    trader.client.run(4_000)
    assert trader.statuses(number) == ["FILLED"]
    assert trader.read("/positions") == []
    trader.client.run(2_000)
    assert len(trader.read("/positions")) == 1


@pytest.mark.parametrize(
    ("kind", "trade", "exit_"), [("liquidate", "LIQUIDATION", "LIQUIDATION"), ("deleverage", "DELEVERAGE", "ADL")]
)
def test_the_venue_takes_the_position(kind: str, trade: str, exit_: str) -> None:
    trader = Trader()
    trader.take("0.01")
    number = trader.place("0.001", trader.mark * 9 // 10)
    trader.client.run(300)
    trader.fault(kind)
    trader.client.run(1_000)
    assert trader.read("/positions") == []
    [stay] = trader.read("/positions/history")
    assert stay["exitType"] == exit_
    assert len(trader.read(f"/trades?type={trade}")) >= 1
    assert trader.statuses(number)[-1] == ("CANCELLED" if kind == "liquidate" else "NEW")
    assert trader.frames("POSITION")[-1]["data"]["positions"][0]["status"] == "CLOSED"


def test_a_halted_market_and_one_that_only_reduces() -> None:
    trader = Trader()
    trader.take("0.01")
    trader.fault("halted", for_s=10)
    assert trader.code(trader.post(trader.order("0.001", trader.mark))) == 1002
    trader.client.run(10_000)
    trader.fault("reduce_only")
    assert trader.code(trader.post(trader.order("0.001", trader.mark))) == 1014
    trader.take("0.01", SELL, reduce_only=True)
    assert trader.read("/positions") == []


def test_an_order_under_way_meets_a_halt() -> None:
    trader = Trader()
    number = trader.place("0.001", trader.mark * 101 // 100, BUY, **IOC)
    trader.fault("halted")
    trader.client.run(500)
    assert trader.statuses(number) == ["REJECTED"]
    assert trader.read(f"/orders/{number}")["statusReason"] == "TRADING_OFF_MODE"


@pytest.mark.parametrize(("kind", "status", "code"), [("key_revoked", 401, 401), ("maintenance", 400, 1010)])
def test_nobody_comes_in(kind: str, status: int, code: int) -> None:
    trader = Trader()
    trader.fault(kind)
    reply = trader.ask("GET", "/balance")
    assert (reply.status, trader.code(reply)) == (status, code)
    assert trader.client.open("/account", trader.headers) is not None
    assert trader.client.data(f"/info/markets/{BTC}/stats")

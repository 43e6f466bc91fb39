"""The door and the sequencer in virtual time: what is refused, what waits how long, what fails with its nonce spent."""

from __future__ import annotations

from typing import Any

import pytest
from lighter_trader import (
    CANCEL,
    CANCEL_ALL,
    ETH,
    GROUP,
    GTT,
    IOC,
    LEVERAGE,
    MARKET,
    MODIFY,
    POST_ONLY,
    STOP_LOSS,
    TAKE_PROFIT,
    Trader,
    trading,
)

from twinleg_sims.lighter.gate import Setup

HOUR_MS = 3_600_000


def test_a_taker_waits_300_ms_and_a_maker_200() -> None:
    trader = trading()
    trader.watch("account_all_orders")
    trader.bench.frames()
    taker = trader.accepted(1, 200, trader.ticks("ask", 1_000), TimeInForce=IOC)
    maker = trader.accepted(2, 200, trader.ticks("bid", 9_000), TimeInForce=POST_ONLY)
    trader.bench.run(199, step_ms=1)
    assert trader.told("update/account_all_orders") == []
    trader.bench.run(1)
    [frame] = trader.told("update/account_all_orders")
    assert [(row["client_order_index"], row["status"]) for row in frame["orders"]["0"]] == [(2, "open")]
    assert (trader.tx(maker)["status"], trader.tx(taker)["status"]) == (2, 1)
    trader.bench.run(99, step_ms=1)
    assert trader.told("update/account_all_orders") == []
    trader.bench.run(1)
    [frame] = trader.told("update/account_all_orders")
    assert [(row["client_order_index"], row["status"]) for row in frame["orders"]["0"]] == [(1, "filled")]


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (21602, {"MarketIndex": 77}),
        (21618, {"MarketIndex": 2049}),
        (21605, {"MarketIndex": 241}),
        (21701, {"BaseAmount": 0}),
        (21701, {"BaseAmount": 1 << 48}),
        (21702, {"Price": 0}),
        (21702, {"Price": 1 << 32}),
        (21703, {"IsAsk": 2}),
        (21704, {"Type": 9}),
        (21710, {"Type": 6}),
        (21705, {"TimeInForce": 3}),
        (21705, {"Type": MARKET}),
        (21706, {"BaseAmount": 1}),
        (21711, {"OrderExpiry": 0}),
        (21711, {"TimeInForce": IOC, "OrderExpiry": 1_795_197_600_000}),
        (21711, {"OrderExpiry": 1_795_197_000_001}),
        (21727, {"ClientOrderIndex": -1}),
        (21727, {"ClientOrderIndex": 1 << 48}),
        (21729, {"TriggerPrice": 5}),
        (21729, {"Type": STOP_LOSS, "TimeInForce": IOC}),
        (21733, {"Price": 400_000}),
        (21734, {"Price": 7_000_000}),
        (21735, {"Type": STOP_LOSS, "TimeInForce": IOC, "TriggerPrice": 100_000}),
        (21740, {"ReduceOnly": 2}),
        (21104, {"Nonce": 1}),
        (21109, {"ApiKeyIndex": 9}),
        (21110, {"ApiKeyIndex": 255}),
        (21100, {"AccountIndex": 5}),
        (21120, {"Sig": ""}),
        (21501, {"ExpiredAt": 1_795_197_000_000}),
        (21501, {"Price": "many"}),
    ],
)
def test_the_door_refuses_with_the_venue_s_code_and_keeps_the_nonce(code: int, fields: dict[str, Any]) -> None:
    trader = trading()
    order = trader.order(7, 200, trader.ticks("bid", 1_000)) | fields
    assert trader.send(14, **order)["code"] == code
    assert trader.venue_nonce() == 0
    trader.bench.run(400)
    assert trader.get("accountActiveOrders", account_index=trader.index)["orders"] == []
    assert trader.accepted(7, 200, trader.ticks("bid", 1_000))


def test_unknown_types_and_money_moves_are_refused_clearly() -> None:
    trader = trading()
    assert trader.send(99)["code"] == 21505
    money = {"FromAccountIndex": trader.index, "AssetIndex": 3, "RouteType": 0, "Amount": 5}
    assert trader.send(13, **money) == {
        "code": 21515,
        "message": "transaction is not allowed: transfers and withdrawals are not simulated",
    }
    assert trader.send(29, MarketIndex=ETH, USDCAmount=5, Direction=1)["code"] == 21614


def test_what_fails_at_the_sequencer_has_spent_its_nonce_and_shows_no_order() -> None:
    trader = trading(equity_usd=1_000)
    trader.watch("account_all_orders", "account_tx")
    trader.bench.frames()
    greedy = trader.accepted(1, 90_000, trader.ticks("ask", 1_000), TimeInForce=IOC)
    idle = trader.accepted(2, 200, trader.ticks("bid", 100), IsAsk=1, ReduceOnly=1, TimeInForce=IOC)
    trader.bench.run(320)
    assert (trader.failure(greedy), trader.failure(idle)) == (21739, 21732)
    assert trader.venue_nonce() == 2
    assert trader.get("accountOrders", account_index=trader.index, client_order_indexes="1,2")["orders"] == []
    assert trader.get("accountInactiveOrders", account_index=trader.index, limit=10)["orders"] == []
    frames = trader.bench.frames()
    assert {frame["type"] for frame in frames} == {"update/account_tx"}
    fates = [(row["nonce"], row["status"]) for frame in frames for row in frame["txs"]]
    assert fates == [(0, 1), (1, 1), (0, 0), (1, 0)]


def test_a_maker_without_margin_is_refused_at_the_door() -> None:
    trader = trading(equity_usd=1_000)
    assert trader.create(1, 90_000, trader.ticks("bid", 100), TimeInForce=POST_ONLY)["code"] == 21739
    assert trader.create(1, 90_000, trader.ticks("bid", 100))["code"] == 21739
    assert trader.venue_nonce() == 0


def test_a_cancel_may_overtake_its_order() -> None:
    trader = trading()
    trader.accepted(1, 200, trader.ticks("bid", 5_000))
    early = trader.send(CANCEL, MarketIndex=ETH, Index=1)["tx_hash"]
    trader.bench.run(320)
    assert trader.failure(early) == 21600
    assert trader.status(1) == "open"
    late = trader.send(CANCEL, MarketIndex=ETH, Index=trader.found(1)["order_index"])["tx_hash"]
    trader.bench.run(220)
    assert (trader.tx(late)["status"], trader.status(1)) == (2, "canceled")
    assert trader.send(CANCEL, MarketIndex=ETH, Index=1)["code"] == 21600
    assert trader.send(CANCEL, MarketIndex=ETH, Index=12345)["code"] == 21600
    assert trader.venue_nonce() == 3


def test_client_indexes_are_unique_while_the_order_lives() -> None:
    trader = trading()
    trader.accepted(5, 200, trader.ticks("bid", 5_000))
    assert trader.create(5, 200, trader.ticks("bid", 6_000))["code"] == 21728
    trader.bench.run(320)
    assert trader.create(5, 200, trader.ticks("bid", 6_000), MarketIndex=ETH)["code"] == 21728
    trader.send(CANCEL, MarketIndex=ETH, Index=5)
    trader.bench.run(220)
    assert trader.accepted(5, 200, trader.ticks("bid", 6_000))


def test_skipped_nonces_must_only_grow() -> None:
    trader = trading()
    price = trader.ticks("bid", 5_000)
    trader.nonce = 1_000
    assert trader.accepted(1, 200, price, L2TxAttributes={"4": 1})
    trader.nonce = 1_000
    assert trader.create(2, 200, price, L2TxAttributes={"4": 1})["code"] == 21104
    trader.nonce = 5_000
    assert trader.create(2, 200, price)["code"] == 21104
    assert trader.accepted(2, 200, price, L2TxAttributes={"4": 1})
    assert trader.venue_nonce() == 5_001


def test_cancel_all_now_and_of_one_market() -> None:
    trader = trading()
    other = trader.bench.world.market("lighter", "BTC")
    best = other.book.best("bid")
    assert best is not None
    trader.accepted(1, 200, trader.ticks("bid", 5_000))
    trader.accepted(2, 20, best - 50_000, MarketIndex=1)
    trader.bench.run(320)
    trader.send(CANCEL_ALL, TimeInForce=0, Time=0, L2TxAttributes={"5": 1})
    trader.bench.run(220)
    assert (trader.status(1), trader.status(2)) == ("open", "canceled")
    trader.send(CANCEL_ALL, TimeInForce=0, Time=0)
    trader.bench.run(220)
    assert trader.status(1) == "canceled"
    for wrong, code in (({"TimeInForce": 3, "Time": 0}, 21713), ({"TimeInForce": 0, "Time": 5}, 21714)):
        assert trader.send(CANCEL_ALL, **wrong)["code"] == code


def test_the_dead_man_s_switch_is_set_extended_and_disarmed() -> None:
    trader = trading()
    start_ms = trader.bench.world.now_ms
    trader.accepted(1, 200, trader.ticks("bid", 40_000))
    assert trader.send(CANCEL_ALL, TimeInForce=1, Time=start_ms + 299_999)["code"] == 21714
    trader.send(CANCEL_ALL, TimeInForce=1, Time=start_ms + 310_000)
    trader.bench.run(1_000)
    assert trader.row()["cancel_all_time"] == start_ms + 310_000
    trader.bench.run(200_000, step_ms=1_000)
    trader.send(CANCEL_ALL, TimeInForce=1, Time=start_ms + 600_000)
    trader.bench.run(150_000, step_ms=1_000)
    assert trader.status(1) == "open", "extended in time"
    trader.bench.run(250_000, step_ms=1_000)
    assert trader.status(1) == "canceled"
    trader.accepted(2, 200, trader.ticks("bid", 40_000))
    trader.send(CANCEL_ALL, TimeInForce=1, Time=trader.bench.world.now_ms + 310_000)
    trader.bench.run(1_000)
    trader.send(CANCEL_ALL, TimeInForce=2, Time=0)
    trader.bench.run(400_000, step_ms=1_000)
    assert trader.status(2) == "open", "disarmed"
    assert trader.row()["cancel_all_time"] == 0


def test_modify_keeps_the_index_and_counts_versions() -> None:
    trader = trading()
    trader.accepted(1, 300, trader.ticks("bid", 5_000))
    trader.bench.run(320)
    before = trader.found(1)
    change = {"MarketIndex": ETH, "Index": 1, "BaseAmount": 200, "Price": trader.ticks("bid", 5_000), "TriggerPrice": 0}
    trader.send(MODIFY, **change)
    trader.bench.run(320)
    after = trader.found(1)
    assert after["order_index"] == before["order_index"]
    assert (after["order_version"], after["initial_base_amount"]) == (1, "0.0200")
    assert trader.send(MODIFY, **change, L2TxAttributes={"8": 3})["code"] == 21743
    assert trader.send(MODIFY, **change | {"BaseAmount": 1})["code"] == 21706
    assert trader.send(MODIFY, **change | {"TriggerPrice": 1})["code"] == 21729
    assert trader.send(MODIFY, **change | {"Index": 99})["code"] == 21600
    crossing = {"BaseAmount": 0, "Price": trader.ticks("ask", 500)}
    trader.send(MODIFY, **change | crossing, L2TxAttributes={"8": 1})
    trader.bench.run(320)
    assert (trader.status(1), trader.found(1)["filled_base_amount"]) == ("filled", "0.0200")
    [trade, *_] = trader.get("trades", account_index=trader.index, sort_by="timestamp", limit=10)["trades"]
    assert (trade["bid_id"], trade["bid_order_version"]) == (before["order_index"], 2)


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        (0, "canceled-self-trade", "filled"),
        (1, "open", "canceled-self-trade"),
        (2, "canceled-self-trade", "canceled-self-trade"),
    ],
)
def test_self_trades_are_prevented_as_asked(mode: int, maker: str, taker: str) -> None:
    trader = trading()
    trader.accepted(1, 200, trader.ticks("bid", 5), TimeInForce=POST_ONLY)
    trader.accepted(2, 1_000_000, trader.ticks("bid", 5_000), IsAsk=1, TimeInForce=IOC, L2TxAttributes={"6": mode})
    trader.bench.run(320)
    assert (trader.status(1), trader.status(2)) == (maker, taker)


def test_triggers_fire_on_the_mark_and_one_of_a_pair_cancels_the_other() -> None:
    trader = trading()
    trader.hold(500)
    expiry = trader.bench.world.now_ms + HOUR_MS
    mark = round(trader.market.mark_price / trader.market.listing.tick)
    stop = trader.order(1, 500, mark - 20_000, IsAsk=1, Type=STOP_LOSS, TimeInForce=IOC, ReduceOnly=1)
    goal = trader.order(2, 500, mark - 20_000, IsAsk=1, Type=TAKE_PROFIT, TimeInForce=IOC, ReduceOnly=1)
    pair = [stop | {"TriggerPrice": mark - 15_000}, goal | {"TriggerPrice": mark - 10_000}]
    grouped = trader.send(GROUP, GroupingType=2, Orders=[leg | {"OrderExpiry": expiry} for leg in pair])
    assert grouped["code"] == 200, grouped
    trader.watch("account_tx")
    trader.bench.run(220)
    assert [row["status"] for frame in trader.told("update/account_tx") for row in frame["txs"]] == [2], "once"
    trader.bench.run(600)
    assert (trader.status(1), trader.status(2)) == ("canceled-oco", "filled"), "the mark is above the goal already"
    assert trader.position() == 0


def test_a_filled_parent_brings_its_children() -> None:
    trader = trading()
    expiry = trader.bench.world.now_ms + HOUR_MS
    price = trader.ticks("ask", 2_000)
    parent = trader.order(1, 500, price, TimeInForce=IOC)
    child = {"IsAsk": 1, "TimeInForce": IOC, "ReduceOnly": 1, "OrderExpiry": expiry}
    stop = trader.order(2, 0, price - 60_000, Type=STOP_LOSS, TriggerPrice=price - 50_000, **child)
    goal = trader.order(3, 0, price + 40_000, Type=TAKE_PROFIT, TriggerPrice=price + 50_000, **child)
    assert trader.send(GROUP, GroupingType=3, Orders=[parent, stop, goal])["code"] == 200
    assert trader.create(3, 500, trader.ticks("bid", 100))["code"] == 21728, "known before it lives"
    trader.bench.run(700)
    assert (trader.status(1), trader.status(2), trader.status(3)) == ("filled", "pending", "pending")
    assert trader.found(2)["initial_base_amount"] == "0.0500"
    assert trader.found(2)["parent_order_index"] == trader.found(1)["order_index"]


@pytest.mark.parametrize(
    ("code", "kind", "change"),
    [
        (21741, 7, {}),
        (21742, 3, {}),
        (21704, 1, {"Type": 0, "TriggerPrice": 0, "TimeInForce": GTT}),
        (21740, 1, {"ReduceOnly": 0}),
        (21743, 1, {"IsAsk": 0}),
        (21743, 1, {"BaseAmount": 500}),
        (21727, 1, {"ClientOrderIndex": 1}),
        (21602, 1, {"MarketIndex": 1}),
    ],
)
def test_groups_that_do_not_fit_are_refused(code: int, kind: int, change: dict[str, Any]) -> None:
    trader = trading()
    expiry, price = trader.bench.world.now_ms + HOUR_MS, trader.ticks("ask", 2_000)
    parent = trader.order(1, 500, price, OrderExpiry=expiry)
    child = trader.order(
        2, 0, price - 60_000, IsAsk=1, Type=STOP_LOSS, TimeInForce=IOC, ReduceOnly=1, TriggerPrice=price - 50_000
    )
    assert (
        trader.send(GROUP, GroupingType=kind, Orders=[parent, child | {"OrderExpiry": expiry} | change])["code"] == code
    )
    assert trader.venue_nonce() == 0


def test_leverage_needs_cover_for_what_is_held() -> None:
    trader = trading(equity_usd=1_000)
    trader.hold(6_000)
    refused = trader.send(LEVERAGE, MarketIndex=ETH, InitialMarginFraction=10_000, MarginMode=0)
    trader.bench.run(220)
    assert trader.failure(refused["tx_hash"]) == 21508
    done = trader.send(LEVERAGE, MarketIndex=ETH, InitialMarginFraction=200, MarginMode=0)
    trader.bench.run(220)
    assert trader.tx(done["tx_hash"])["status"] == 2
    assert [row["initial_margin_fraction"] for row in trader.row()["positions"]] == ["2.00"]
    for fraction, mode, code in ((100, 0, 21113), (10_001, 0, 21113), (500, 1, 21613)):
        refused = trader.send(LEVERAGE, MarketIndex=ETH, InitialMarginFraction=fraction, MarginMode=mode)
        assert refused["code"] == code


def test_orders_that_wait_for_a_price_are_few_in_a_market() -> None:
    trader = trading()
    mark = trader.ticks("bid")
    stop = {"IsAsk": 1, "Type": STOP_LOSS, "TimeInForce": IOC, "TriggerPrice": mark - 40_000}
    for number in range(1, 17):
        trader.accepted(number, 100, mark - 50_000, **stop)
    assert trader.create(17, 100, mark - 50_000, **stop)["code"] == 21720


def test_market_orders_say_why_they_stopped() -> None:
    trader = trading()
    trader.accepted(1, 9_000, trader.ticks("ask"), Type=MARKET, TimeInForce=IOC)
    trader.accepted(2, 9_000, trader.ticks("ask"), TimeInForce=IOC)
    trader.bench.run(320)
    assert {trader.status(1), trader.status(2)} <= {"canceled-too-much-slippage", "canceled"}
    assert trader.status(1) == "canceled-too-much-slippage"


def test_signatures_are_verified_when_asked_for() -> None:
    honest = trading(setup=Setup(signatures="all"), signs=True)
    assert honest.accepted(1, 200, honest.ticks("bid", 5_000))
    forger = Trader(honest.bench)
    assert forger.create(1, 200, forger.ticks("bid", 5_000))["code"] == 21120
    sampled = trading(setup=Setup(signatures="sample"))
    codes = [sampled.create(0, 200, sampled.ticks("bid", 5_000))["code"] for _ in range(20)]
    assert codes.count(21120) == 2, "the first and the seventeenth are looked at"

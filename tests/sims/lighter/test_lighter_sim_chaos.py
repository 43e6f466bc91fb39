"""A busy account in a storm of seeded faults: the venue never breaks, and its books add up all the while."""

from __future__ import annotations

import json
from random import Random

import pytest
from lighter_trader import (
    CANCEL,
    CANCEL_ALL,
    ETH,
    GROUP,
    GTT,
    IOC,
    LEVERAGE,
    LIMIT,
    MARKET,
    MODIFY,
    POST_ONLY,
    STOP_LOSS,
    TAKE_PROFIT,
    Trader,
    trading,
)

from twinleg_sims.fault_kinds import KINDS
from twinleg_sims.protocol import HttpReply

CHANNELS = ("account_all", "account_all_orders", "account_all_trades", "account_all_positions", "account_tx")
HOUR_MS = 3_600_000


def act(trader: Trader, dice: Random, client: int) -> HttpReply:
    """One random transaction; whether it is accepted is the venue's affair."""
    mark = round(trader.market.mark_price / trader.market.listing.tick)
    lots, sells = dice.randrange(50, 4_000), dice.randrange(2)
    expiry = trader.bench.world.now_ms + HOUR_MS
    near = mark + dice.randrange(-300, 300)
    stop = {"IsAsk": 1 - sells, "TimeInForce": IOC, "ReduceOnly": 1, "OrderExpiry": expiry}
    old = dice.randrange(1, client + 1)
    options = [
        (14, trader.order(client, lots, near, IsAsk=sells, TimeInForce=dice.choice([GTT, POST_ONLY]))),
        (14, trader.order(client, lots, mark + (-900 if sells else 900), IsAsk=sells, TimeInForce=IOC)),
        (14, trader.order(client, lots, near, IsAsk=sells, TimeInForce=IOC, ReduceOnly=1)),
        (14, trader.order(client, lots, mark - 2_000, IsAsk=1, Type=MARKET, TimeInForce=IOC)),
        (CANCEL, {"MarketIndex": ETH, "Index": old}),
        (MODIFY, {"MarketIndex": ETH, "Index": old, "BaseAmount": lots, "Price": near, "TriggerPrice": 0}),
        (CANCEL_ALL, {"TimeInForce": 0, "Time": 0}),
        (LEVERAGE, {"MarketIndex": ETH, "InitialMarginFraction": dice.choice([200, 500, 2_000]), "MarginMode": 0}),
        (
            GROUP,
            {
                "GroupingType": 3,
                "Orders": [
                    trader.order(client, lots, near, IsAsk=sells, Type=LIMIT, OrderExpiry=expiry),
                    trader.order(0, 0, mark - 100, Type=STOP_LOSS, TriggerPrice=mark - 40, **stop),
                    trader.order(0, 0, mark + 100, Type=TAKE_PROFIT, TriggerPrice=mark + 40, **stop),
                ],
            },
        ),
    ]
    tx_type, fields = dice.choice(options)
    return trader.post("sendTx", tx_type=str(tx_type), tx_info=json.dumps(trader.body(**fields)))


@pytest.mark.parametrize("seed", range(4))
def test_books_add_up_in_a_storm(seed: int) -> None:
    trader, dice = trading(equity_usd=3_000), Random(seed)
    bench = trader.bench
    user = bench.venue._private.users.find(trader.index)
    account = user.engine
    bench.faults.add_seeded(seed, {"lighter": ["ETH", "BTC"]}, bench.world.now_ms, 400, KINDS)
    for kind in KINDS:
        bench.fault(f"lighter:{kind}:at_s={dice.uniform(0, 120):.1f},for_s={dice.uniform(0.2, 4):.1f}")
    bench.open()
    trader.watch(*CHANNELS)
    accepted = 0
    for client in range(1, 200):
        accepted += act(trader, dice, client).status == 200
        bench.run(dice.randrange(0, 1_200), step_ms=60)
        bench.outs.clear()
        trader.nonce = user.keys[trader.key].nonce
        stays = [*user.live.positions.values(), *user.live.closed]
        earned = sum(stay.realised_micro for stay in stays)
        assert account.balance_micro == account.deposited_micro + account.insured_micro + earned
        for order in account.orders.values():
            assert order.open_lots >= 0
    assert accepted > 40
    bench.faults.clear("lighter")
    bench.run(7_000)
    reads = ("accountActiveOrders", "accountInactiveOrders", "positionFunding", "liquidations")
    for path in reads:
        assert trader.get(path, account_index=trader.index, limit=100)["code"] == 200
    rows = user.trades.values()
    size = sum(float(r["size"]) * (1 if r["bid_account_id"] == trader.index else -1) for r in rows)
    assert trader.position() == pytest.approx(size, abs=1e-9)

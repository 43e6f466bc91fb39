"""A small trade for tests: lots of different worth on its two markets, so that no test passes by confusing them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from twinleg.core.amounts import Grid
from twinleg.core.effects import Effect, Persist, Place
from twinleg.core.hedge import Quote, Quotes, step
from twinleg.core.orders import Event, Filled, Intent, Leg, LegPlan, OrderDone, Started, TradePlan
from twinleg.core.records import JournalRecord
from twinleg.core.trade import Trade, apply

LONG_PLAN = LegPlan(
    venue="one",
    market="one:ETH",
    price_grid=Grid(decimals=2),
    size_grid=Grid(decimals=4),
    lots_per_common_lot=3,
    limit_ticks=200_400,
    decision_ticks=200_000,
)
SHORT_PLAN = LegPlan(
    venue="two",
    market="two:ETH-USD",
    price_grid=Grid(decimals=1, step=5),
    size_grid=Grid(decimals=3),
    lots_per_common_lot=2,
    limit_ticks=4_000,
    decision_ticks=4_010,
)
PLAN = TradePlan(
    trade_id="t1",
    asset="ETH",
    long=LONG_PLAN,
    short=SHORT_PLAN,
    common_lots=4,
    unhedged_ms_max=3_000,
    unhedged_notional_max_micro_usd=10**12,
    attempt_ms=1_000,
    bounds_bps=(10, 50, 200),
)
QUOTES: Quotes = {Leg.LONG: Quote(199_990, 200_010), Leg.SHORT: Quote(4_009, 4_011)}


def plan(**changes: Any) -> TradePlan:
    return msgspec.structs.replace(PLAN, **changes)


class Story:
    """A trade and all that its steps asked for, in order."""

    def __init__(self, trade: Trade | None = None) -> None:
        self.trade = trade or Trade(PLAN)
        self.at_ms = 0
        self.effects: list[Effect] = []
        self.last: tuple[Effect, ...] = ()

    def tell(self, event: Event, quotes: Quotes | None = QUOTES) -> tuple[Effect, ...]:
        self.trade, self.last = step(self.trade, event, quotes)
        self.effects += self.last
        return self.last

    def start(self) -> Story:
        self.tell(Started(self.trade.plan.trade_id, self.at_ms))
        return self

    def fills(self, order: str, *sizes: int, price_ticks: int = 4_000, fee: int = 7) -> Story:
        """One fill after the other on an order; ids go on from what it has."""
        for size in sizes:
            known = next(one for one in self.trade.orders if one.intent.client_id == order).fill_ids
            self.tell(Filled(order, f"f{len(known)}", price_ticks, size, fee, self.at_ms))
        return self

    def ends(self, order: str, filled_lots: int, reason: str = "ioc") -> Story:
        self.tell(OrderDone(order, reason, filled_lots, self.at_ms))
        return self

    def takes(self, order: str, *sizes: int, price_ticks: int = 4_000) -> Story:
        """The order's fills, then its end."""
        return self.fills(order, *sizes, price_ticks=price_ticks).ends(order, sum(sizes))

    def later(self, by_ms: int) -> Story:
        self.at_ms += by_ms
        return self

    @property
    def placed(self) -> list[Intent]:
        return [effect.intent for effect in self.effects if isinstance(effect, Place)]

    @property
    def records(self) -> list[JournalRecord]:
        return [effect.record for effect in self.effects if isinstance(effect, Persist)]


def folded(trade_plan: TradePlan, records: Iterable[JournalRecord]) -> Trade:
    """The trade that a restart makes of its records."""
    trade = Trade(trade_plan)
    for record in records:
        trade = apply(trade, record)
    return trade


def hedged() -> Story:
    """4 common lots on each leg."""
    return Story().start().takes("t1-long-0", 12, price_ticks=200_000).takes("t1-short-0", 8)

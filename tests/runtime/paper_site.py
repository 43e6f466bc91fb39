"""Two markets with books, and a paper venue over them."""

from __future__ import annotations

from typing import Any

import msgspec

from trade_samples import PLAN
from twinleg.core.book import Book
from twinleg.core.ledger import Ledger
from twinleg.core.messages import Level, Market, MarketStatus
from twinleg.core.orders import Filled, Intent, Leg, OrderEvent, Purpose, TimeInForce, client_id
from twinleg.runtime.paper import PaperVenue

DELAY_MS = 300
LONG = PLAN.long.market


def market(leg: Leg, **changes: Any) -> Market:
    leg_plan = PLAN.leg(leg)
    facts = Market(
        key=leg_plan.market,
        venue=leg_plan.venue,
        symbol="ETH",
        native_id="0",
        base="ETH",
        quote="USDC",
        status=MarketStatus.OPEN,
        price_grid=leg_plan.price_grid,
        size_grid=leg_plan.size_grid,
        min_size_lots=2,
        min_notional_usd=0.5,
        maker_fee_bps=0.0,
        taker_fee_bps=2.5,
        taker_delay_ms=DELAY_MS,
        funding_interval_ms=3_600_000,
    )
    return msgspec.structs.replace(facts, **changes)


class Site:
    """Both markets with their books, and a paper venue over them."""

    def __init__(self, ledger: Ledger | None = None, **changes: Any) -> None:
        self.markets = {PLAN.leg(leg).market: market(leg, **changes) for leg in Leg}
        self.books = {key: Book(key) for key in self.markets}
        self.show(LONG, bids=[(199_900, 20)], asks=[(200_000, 5), (200_100, 10)])
        self.show(PLAN.short.market, bids=[(4_010, 20)], asks=[(4_011, 20)])
        self.venue = PaperVenue(self.markets, self.books, ledger or Ledger())

    def show(self, key: str, bids: list[Level], asks: list[Level]) -> None:
        self.books[key].snapshot(bids, asks, 0, 0)

    def takes(self, one: Intent, at_ms: int = 0) -> list[OrderEvent]:
        """All events of one order, submitted at `at_ms`."""
        self.venue.submit(one, at_ms)
        return self.venue.due(at_ms + DELAY_MS)


def intent(attempt: int = 0, leg: Leg = Leg.LONG, **changes: Any) -> Intent:
    leg_plan = PLAN.leg(leg)
    one = Intent(
        trade_id="t1",
        leg=leg,
        attempt=attempt,
        client_id=client_id("t1", leg, attempt),
        venue=leg_plan.venue,
        market=leg_plan.market,
        side=leg.entry_side,
        size_lots=12,
        limit_ticks=200_100,
        reduce_only=False,
        time_in_force=TimeInForce.IOC,
        purpose=Purpose.ENTER,
        deadline_ms=3_000,
        decision_price_ticks=200_000,
    )
    return msgspec.structs.replace(one, **changes)


def fills(events: list[OrderEvent]) -> list[tuple[int, int]]:
    return [(event.price_ticks, event.size_lots) for event in events if isinstance(event, Filled)]


def fees(events: list[OrderEvent]) -> list[int]:
    return [event.fee_micro_usd for event in events if isinstance(event, Filled)]

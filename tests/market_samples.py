"""Two small venues for tests: the same asset with other ticks, lots and multipliers, books to fill and break.

"one:1000PEPE" counts in thousands, so that no test passes by confusing units, lots or prices of the two legs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from twinleg.core.amounts import Grid
from twinleg.core.funding import HOUR_MS
from twinleg.core.messages import (
    BookSnapshot,
    FundingPredicted,
    FundingSettled,
    FundingSource,
    Level,
    Market,
    MarketEvent,
    MarketStatus,
    Stats,
)
from twinleg.core.pairs import Limits, MarketState, Pair

NOW_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS + 10 * 60_000
"""Ten minutes past a full hour."""
NOW_NS = 500_000_000_000

LIMITS = Limits(book_ready_cooldown_ms=0)

ONE = Market(
    key="one:1000PEPE",
    venue="one",
    symbol="1000PEPE",
    native_id="7",
    base="1000PEPE",
    quote="USDC",
    status=MarketStatus.OPEN,
    price_grid=Grid(6),  # 0.01 USD per thousand = 10,000 ticks
    size_grid=Grid(0),  # a lot is a thousand
    min_size_lots=1,
    min_notional_usd=10.0,
    maker_fee_bps=0.0,
    taker_fee_bps=0.0,
    taker_delay_ms=300,
    funding_interval_ms=HOUR_MS,
)
TWO = Market(
    key="two:PEPE-USD",
    venue="two",
    symbol="PEPE-USD",
    native_id="PEPE-USD",
    base="PEPE",
    quote="USDC",
    status=MarketStatus.OPEN,
    price_grid=Grid(10, 5),  # 0.00001 USD = 20,000 ticks
    size_grid=Grid(0, 500),
    min_size_lots=4,
    maker_fee_bps=0.0,
    taker_fee_bps=2.5,
    taker_delay_ms=100,
    funding_interval_ms=HOUR_MS,
)
BOOK_ONE = ([(9_998, 50_000), (9_990, 200_000)], [(10_000, 50_000), (10_008, 200_000)])
BOOK_TWO = ([(20_060, 200_000), (20_040, 400_000)], [(20_064, 200_000), (20_080, 400_000)])


def market(facts: Market, /, **changes: Any) -> Market:
    return msgspec.structs.replace(facts, **changes)


def limits(**changes: Any) -> Limits:
    return msgspec.structs.replace(LIMITS, **changes)


def predicted(key: str, rate: float, source: FundingSource, settles_at_ms: int | None = None) -> FundingPredicted:
    due_ms = (NOW_MS // HOUR_MS + 1) * HOUR_MS if settles_at_ms is None else settles_at_ms
    return FundingPredicted(key, rate, due_ms, source, NOW_MS)


def settled(key: str, rate: float, at_ms: int, *, price: float | None = None, stamp_late_ms: int = 0) -> FundingSettled:
    source = FundingSource.HISTORY if price is None else FundingSource.STREAM
    return FundingSettled(key, rate, 1.0, price, at_ms + stamp_late_ms, source)


def snapshot(
    key: str, levels: tuple[list[Level], list[Level]], at_ms: int = NOW_MS, at_ns: int = NOW_NS
) -> BookSnapshot:
    return BookSnapshot(key, levels[0], levels[1], at_ms, at_ns)


def funding_told(key: str, rates: list[float], now_ms: int = NOW_MS) -> list[MarketEvent]:
    """The settled `rates`, the last one at the latest full hour, and both readings of a prediction equal to it."""
    latest_ms = now_ms // HOUR_MS * HOUR_MS
    past: list[MarketEvent] = [
        settled(key, rate, latest_ms - age * HOUR_MS) for age, rate in zip(range(len(rates))[::-1], rates, strict=True)
    ]
    due_ms = latest_ms + HOUR_MS
    return [
        *past,
        *(predicted(key, rates[-1], source, due_ms) for source in (FundingSource.STREAM, FundingSource.REST)),
    ]


def state(
    facts: Market, levels: tuple[list[Level], list[Level]], rates: list[float], index_price: float | None
) -> MarketState:
    """A market in good order: book, agreed funding, index price."""
    made = MarketState(facts)
    made.book.snapshot(*levels, NOW_MS, NOW_NS)
    for event in funding_told(facts.key, rates):
        if isinstance(event, FundingSettled):
            made.funding.settled(event)
        elif isinstance(event, FundingPredicted):
            made.funding.predicted(event)
    made.funding.recheck()
    made.index_price, made.stats_ns = index_price, NOW_NS
    return made


LONG_RATES = [-2e-5 + 1e-6 * (hour % 3) for hour in range(24)]
SHORT_RATES = [3e-5 + 1e-6 * (hour % 4) for hour in range(24)]


def pair(pair_limits: Limits = LIMITS, *, sampled: bool = True, one: Market = ONE, two: Market = TWO) -> Pair:
    """Long a thousand-PEPE market, short a single-PEPE one some 30 bps above it: viable with the limits given."""
    made = Pair(state(one, BOOK_ONE, LONG_RATES, 0.01), state(two, BOOK_TWO, SHORT_RATES, 0.00001), pair_limits)
    if sampled:
        for number in range(300):
            made.basis_bps.append(0.5 * (number % 2))
    made.settle_estimates()
    return made


def told(one: Market = ONE, two: Market = TWO, now_ms: int = NOW_MS, now_ns: int = NOW_NS) -> list[MarketEvent]:
    """The same pair as events, listings left out: books, index prices, funding."""
    return [
        snapshot(one.key, BOOK_ONE, now_ms, now_ns),
        snapshot(two.key, BOOK_TWO, now_ms, now_ns),
        Stats(one.key, 0.01, 0.01, None, now_ms, now_ns),
        Stats(two.key, 0.00001, 0.00001, None, now_ms, now_ns),
        *funding_told(one.key, LONG_RATES, now_ms),
        *funding_told(two.key, SHORT_RATES, now_ms),
    ]

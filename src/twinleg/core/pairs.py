"""What we know of a market, two of which make a pair: the long leg on one venue, the short leg on another.

`Limits` are the operator's numbers; `gates` says why a pair's data may not be acted on right now.
"""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction
from itertools import pairwise
from statistics import median, pstdev

import msgspec

from twinleg.core.amounts import common_lot
from twinleg.core.assets import asset_of, deviation_bps
from twinleg.core.book import Book
from twinleg.core.entry import Entry
from twinleg.core.funding import FundingView, UnitState, differentials, half_life_hours
from twinleg.core.messages import Market, MarketStatus, Refusal

SAMPLES = 600
"""Basis samples kept per pair: ten minutes at one a second."""
SAMPLES_MIN = 30
"""Enough to know how much the basis moves in a second."""
TARGET_SAMPLES_MIN = 300
"""Enough to know where it tends to: a median of the last moments is only where it is, and no place to come back to."""
STATS_AGE_MS_MAX = 120_000
PRICE_INDEX_BPS_MAX = 1_000.0
"""A book further than this from its market's own index is misread (an old tick or multiplier), or is no market."""
SIZE_GRID_USD = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000)
NS_PER_MS = 1_000_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's limits, already scaled by conservative mode. Names are the settings' own, see docs/SETTINGS.md."""

    book_age_ms_max: int = 2_000
    book_skew_ms_max: int = 1_000
    clock_offset_ms_max: int = 500
    book_ready_cooldown_ms: int = 2_000
    index_deviation_bps_max: float = 100.0
    horizon_hours: float = 8.0
    min_viable_spread_bps: float = 1.0
    min_execution_spread_bps: float = 5.0
    aggressive_execution_spread_bps: float = 10.0
    max_slippage_bps: float = 50.0
    max_impact_score: float = 75.0
    min_depth_score: float = 30.0
    liquidity_buffer: float = 0.8
    max_balance_to_liquidity: float = 1.0
    balance_share_per_trade: float = 0.3
    leverage: float = 3.0
    min_order_size_usd: float = 10.0
    max_order_size_usd: float = 500.0
    max_position_size_usd: float = 500.0
    max_total_exposure_usd: float = 2_000.0
    unhedged_notional_max_usd: float = 250.0
    venue_share_max: float = 0.6
    max_concurrent_trades: int = 5
    min_account_balance_usd: float = 100.0
    min_required_available_usd: float = 20.0


class Prepared(msgspec.Struct, frozen=True):
    """The slow terms of one pair, which its books do not change."""

    fees_one_way_bps: float
    """Both legs taking."""
    carry_bps: float
    latency_haircut_bps: float
    assumed: tuple[str, ...]
    takers: Entry
    """How the pair enters when both legs take."""

    @property
    def fixed_bps(self) -> float:
        return self.carry_bps - 2 * self.fees_one_way_bps - self.latency_haircut_bps


class MarketState:
    """One market as we see it now: facts, book, funding, reference prices. Changed only by the engine's events."""

    __slots__ = (
        "ask",
        "asset",
        "bid",
        "book",
        "funding",
        "index_price",
        "mark_price",
        "market",
        "price_unit",
        "size_unit",
        "stats_ns",
    )

    def __init__(self, market: Market) -> None:
        self.market = market
        self.asset = asset_of(market.base)
        self.book = Book(market.key)
        self.funding = FundingView(market.funding_interval_ms)
        self.bid: float | None = None
        self.ask: float | None = None
        """Best prices per single unit of the asset in quote currency (estimates), None while the book is unusable."""
        self.mark_price: float | None = None
        self.index_price: float | None = None
        self.stats_ns: int | None = None
        self.price_unit = float(market.price_grid.unit / self.asset.multiplier)
        """Quote currency per tick for one single unit of the asset (an estimate's factor)."""
        self.size_unit = market.size_grid.unit * self.asset.multiplier
        """Single units of the asset per lot, exact."""

    def touch(self) -> bool:
        """Take over the best prices, to be called after every change of the book. True when one of them changed."""
        book, bid, ask = self.book, self.bid, self.ask
        if book.ready and book.bid_prices and book.ask_prices:
            self.bid, self.ask = book.bid_prices[-1] * self.price_unit, book.ask_prices[0] * self.price_unit
        else:
            self.bid = self.ask = None
        return self.bid != bid or self.ask != ask

    def refresh(self, market: Market) -> None:
        """New facts of the same market. A changed grid makes its book unreadable until the next snapshot, a changed
        settlement interval makes its funding unknown until it is read again."""
        if (market.price_grid, market.size_grid) != (self.market.price_grid, self.market.size_grid):
            self.book.lose("the venue changed the market's tick or lot")
            self.price_unit = float(market.price_grid.unit / self.asset.multiplier)
            self.size_unit = market.size_grid.unit * self.asset.multiplier
            self.touch()
        if market.funding_interval_ms != self.market.funding_interval_ms:
            self.funding = FundingView(market.funding_interval_ms)
        self.market = market


class Pair:
    """Long `long`, short `short`: one direction of one asset between two venues. Sizes are in common lots."""

    __slots__ = (
        "alive_since_ms",
        "asset",
        "basis_bps",
        "basis_target_bps",
        "common_lot",
        "half_life",
        "key",
        "least_order",
        "limits",
        "long",
        "long_lots",
        "long_rest_bps",
        "prepared",
        "short",
        "short_lots",
        "short_rest_bps",
        "sigma_bps",
        "sizes",
        "steady_bps",
    )  # fmt: skip

    def __init__(self, long: MarketState, short: MarketState, limits: Limits) -> None:
        assert long.asset.name == short.asset.name, "a pair is one asset"
        assert long.market.venue != short.market.venue, "a pair spans two venues"
        self.long, self.short, self.limits = long, short, limits
        self.asset = long.asset.name
        self.key = f"{long.market.key}>{short.market.key}"
        self.basis_bps: deque[float] = deque(maxlen=SAMPLES)
        self.basis_target_bps: float | None = None
        self.sigma_bps: float | None = None
        self.half_life: float | None = None
        self.prepared: Prepared | None = None
        """The terms of the edge that the books do not change, set by edge.prepare; None = cannot be known now."""
        self.steady_bps: float | None = None
        """Their sum, both legs taking, for edge.screen."""
        self.long_rest_bps = self.short_rest_bps = -math.inf
        """What the maker fee of a leg that rests saves; -inf where it may not."""
        self.sizes: tuple[int, ...] = ()
        self.least_order = 1
        """The smallest size in common lots that both venues take as an order."""
        self.alive_since_ms: int | None = None
        self.align()

    def align(self) -> None:
        """Find the smallest size that both venues can trade, after a change of either market's lot."""
        self.common_lot: Fraction = common_lot(self.long.size_unit, self.short.size_unit)
        self.long_lots = int(self.common_lot / self.long.size_unit)
        self.short_lots = int(self.common_lot / self.short.size_unit)

    @property
    def mid_price(self) -> float:
        """Mean of both mids per single unit of the asset (an estimate)."""
        return (self.long.book.mid_ticks * self.long.price_unit + self.short.book.mid_ticks * self.short.price_unit) / 2

    def mid_basis_bps(self) -> float:
        """Short venue's mid above the long venue's, in bps: what convergence to zero would pay us."""
        long_mid = self.long.book.mid_ticks * self.long.price_unit
        short_mid = self.short.book.mid_ticks * self.short.price_unit
        return (short_mid - long_mid) / ((short_mid + long_mid) / 2) * 10_000

    def sample(self) -> None:
        """Note the present basis, once a second, while both books are usable."""
        if _usable(self.long.book) and _usable(self.short.book):
            self.basis_bps.append(self.mid_basis_bps())

    def settle_estimates(self) -> None:
        """Refit the slow estimates: where the basis tends to, how much it moves in a second, how fast carry decays."""
        if len(self.basis_bps) >= SAMPLES_MIN:
            self.sigma_bps = pstdev([b - a for a, b in pairwise(self.basis_bps)])
        if len(self.basis_bps) >= TARGET_SAMPLES_MIN:
            self.basis_target_bps = median(self.basis_bps)
        self.half_life = half_life_hours(differentials(self.long.funding, self.short.funding))


def _usable(book: Book) -> bool:
    return book.ready and book.two_sided and not book.crossed


def gates(pair: Pair, now_ns: int, clock_offsets_ms: dict[str, int]) -> list[Refusal]:
    """Why this pair's data may not be acted on now. Empty = both legs are known, fresh, and the same thing."""
    limits = pair.limits
    refusals = [one for leg in (pair.long, pair.short) for one in _leg_gates(leg, now_ns, clock_offsets_ms, limits)]
    refusals += _thing_gates(pair, limits)
    if pair.long.book.ready and pair.short.book.ready:
        skew_ms = abs(pair.long.book.received_ns - pair.short.book.received_ns) / NS_PER_MS
        if skew_ms > limits.book_skew_ms_max:
            refusals.append(
                Refusal("book_skew", "the two books are of different moments", skew_ms, limits.book_skew_ms_max)
            )
    return refusals


def _leg_gates(leg: MarketState, now_ns: int, clock_offsets_ms: dict[str, int], limits: Limits) -> list[Refusal]:
    venue, found = leg.market.venue, []
    if leg.market.status is not MarketStatus.OPEN:
        found.append(Refusal("market_status", f"{leg.market.key} is {leg.market.status.value}"))
    found += _book_gates(leg.book, now_ns, limits)
    if leg.funding.check.state is not UnitState.AGREED:
        code = "funding_unit" if leg.funding.check.state is UnitState.DISAGREED else "funding_unchecked"
        found.append(Refusal(code, f"{leg.market.key}: {leg.funding.check.detail}"))
    if leg.market.taker_fee_bps is None:
        found.append(Refusal("fee_unknown", f"{leg.market.key} has no fee tier"))
    offset_ms = clock_offsets_ms.get(venue)
    if offset_ms is not None and abs(offset_ms) > limits.clock_offset_ms_max:
        found.append(Refusal("clock_offset", f"our clock and {venue}'s differ", offset_ms, limits.clock_offset_ms_max))
    if leg.stats_ns is not None and (now_ns - leg.stats_ns) / NS_PER_MS > STATS_AGE_MS_MAX:
        age_ms = (now_ns - leg.stats_ns) / NS_PER_MS
        found.append(Refusal("stats_stale", f"{leg.market.key}: no index price lately", age_ms, STATS_AGE_MS_MAX))
    return found


def _book_gates(book: Book, now_ns: int, limits: Limits) -> list[Refusal]:
    if not book.ready:
        return [Refusal("book_lost", f"{book.market}: {book.lost_reason}")]
    found = []
    age_ms = (now_ns - book.received_ns) / NS_PER_MS
    if age_ms > limits.book_age_ms_max:
        found.append(Refusal("book_stale", f"{book.market} has not spoken", age_ms, limits.book_age_ms_max))
    ready_ms = (now_ns - book.ready_since_ns) / NS_PER_MS
    if ready_ms < limits.book_ready_cooldown_ms:
        found.append(
            Refusal("book_fresh", f"{book.market} is only just ready", ready_ms, limits.book_ready_cooldown_ms)
        )
    if not book.two_sided:
        found.append(Refusal("book_one_sided", f"{book.market} has an empty side"))
    elif book.crossed:
        found.append(
            Refusal("book_crossed", f"{book.market}: bid {book.bid_prices[-1]} >= ask {book.ask_prices[0]} ticks")
        )
    return found


def _thing_gates(pair: Pair, limits: Limits) -> list[Refusal]:
    long, short = pair.long, pair.short
    if not long.index_price or not short.index_price:
        return [
            Refusal(
                "index_missing", f"{pair.asset}: no index price on one venue, so nothing proves it is the same thing"
            )
        ]
    found = []
    apart_bps = deviation_bps(long.index_price, long.asset.multiplier, short.index_price, short.asset.multiplier)
    if apart_bps > limits.index_deviation_bps_max:
        found.append(
            Refusal("not_same_thing", f"{pair.asset}: index prices differ", apart_bps, limits.index_deviation_bps_max)
        )
    for leg, index_price in ((long, long.index_price), (short, short.index_price)):
        if not _usable(leg.book):
            continue
        away_bps = deviation_bps(leg.book.mid_ticks * leg.price_unit, 1, index_price, leg.asset.multiplier)
        if away_bps > PRICE_INDEX_BPS_MAX:
            detail = f"{leg.market.key}: the book is far from its own index price"
            found.append(Refusal("price_implausible", detail, away_bps, PRICE_INDEX_BPS_MAX))
    if long.market.quote != short.market.quote:
        detail = f"{long.market.quote} against {short.market.quote}: no observed ratio between the two"
        found.append(Refusal("quote_currency", detail))
    return found

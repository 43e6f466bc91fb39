"""Is there enough to trade on both legs, to get in and to get out again? Estimates, hence floats.

Impact of N = how far the VWAP of taking N lies from the mid, in bps. `LIQUIDITY_BUFFER` counts only
part of what is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from twinleg.core.book import Book
from twinleg.core.messages import Refusal
from twinleg.core.pairs import MarketState, Pair

IMPACT_FULL_BPS = 20.0
"""An impact of this many bps scores 100: about the yearly funding of a quiet market in one click."""
DEPTH_BANDS_BPS = (5, 10, 25)
DEPTH_FULL_TIMES = 10.0
"""Depth within 10 bps of this many times the size scores 100."""


class SideView(msgspec.Struct, frozen=True, gc=False):
    """One side of one leg at the chosen size. Depths are in USD within 5, 10 and 25 bps of the mid."""

    spread_bps: float
    depth_usd: tuple[float, float, float]
    impact_bps: float | None
    """None = the side is thinner than the size."""


def sweep(book: Book, lots: Sequence[int], *, asks: bool, buffer: float) -> list[float | None]:
    """VWAP in ticks for each of the ascending sizes, in one pass; None where the side is too thin.

    Counting only `buffer` of each shown level gives the same VWAP as taking size / buffer from all of it.
    """
    wanted = [-int(-size // buffer) for size in lots]
    vwaps: list[float | None] = []
    taken = cost = 0
    levels = book.levels(asks=asks)
    price = shown = 0
    for size in wanted:
        while taken + shown < size:
            taken += shown
            cost += shown * price
            level = next(levels, None)
            if level is None:
                return vwaps + [None] * (len(wanted) - len(vwaps))
            price, shown = level
        vwaps.append((cost + (size - taken) * price) / size)
    return vwaps


def side_view(leg: MarketState, lots: int, *, asks: bool, buffer: float) -> SideView:
    """Spread, depth bands and impact of `lots` on one side. The book must be two-sided."""
    book, mid = leg.book, leg.book.mid_ticks
    per_lot_usd = mid * leg.price_unit * float(leg.size_unit)
    bands = []
    for band_bps in DEPTH_BANDS_BPS:
        worst = mid * (1 + band_bps / 10_000) if asks else mid * (1 - band_bps / 10_000)
        bands.append(book.depth_lots(int(worst) if asks else -int(-worst // 1), asks=asks) * per_lot_usd * buffer)
    vwap = sweep(book, (lots,), asks=asks, buffer=buffer)[0]
    return SideView(
        spread_bps=(book.ask_prices[0] - book.bid_prices[-1]) / mid * 10_000,
        depth_usd=(bands[0], bands[1], bands[2]),
        impact_bps=None if vwap is None else abs(vwap - mid) / mid * 10_000,
    )


def impact_score(impact_bps: float | None) -> float:
    """0 (free) to 100 (unbearable): 100 x impact / IMPACT_FULL_BPS, capped; too thin a side scores 100."""
    return 100.0 if impact_bps is None else min(100.0, 100.0 * impact_bps / IMPACT_FULL_BPS)


def depth_score(depth10_usd: float, notional_usd: float) -> float:
    """0 (nothing there) to 100: depth within 10 bps over DEPTH_FULL_TIMES the size, capped."""
    return min(100.0, 100.0 * depth10_usd / (DEPTH_FULL_TIMES * notional_usd)) if notional_usd > 0 else 0.0


class Liquidity(msgspec.Struct, frozen=True):
    """Both legs at one size, entry and exit sides: the worst of the four decides."""

    long_entry: SideView
    long_exit: SideView
    short_entry: SideView
    short_exit: SideView
    impact_score: float
    depth_score: float

    @property
    def thinnest_depth10_usd(self) -> float:
        return min(side.depth_usd[1] for side in (self.long_entry, self.long_exit, self.short_entry, self.short_exit))


def validate(pair: Pair, common_lots: int) -> tuple[Liquidity, list[Refusal]]:
    """Measure both legs at `common_lots` on the entry and the exit side, and say what is not good enough."""
    limits = pair.limits
    long_lots, short_lots, buffer = common_lots * pair.long_lots, common_lots * pair.short_lots, limits.liquidity_buffer
    sides = (
        side_view(pair.long, long_lots, asks=True, buffer=buffer),
        side_view(pair.long, long_lots, asks=False, buffer=buffer),
        side_view(pair.short, short_lots, asks=False, buffer=buffer),
        side_view(pair.short, short_lots, asks=True, buffer=buffer),
    )
    notional_usd = common_lots * float(pair.common_lot) * pair.mid_price
    view = Liquidity(
        *sides,
        impact_score=max(impact_score(side.impact_bps) for side in sides),
        depth_score=min(depth_score(side.depth_usd[1], notional_usd) for side in sides),
    )
    refusals = []
    if view.impact_score > limits.max_impact_score:
        refusals.append(Refusal("impact", "the size moves a book too far", view.impact_score, limits.max_impact_score))
    if view.depth_score < limits.min_depth_score:
        refusals.append(Refusal("depth", "a book is too thin for the size", view.depth_score, limits.min_depth_score))
    return view, refusals

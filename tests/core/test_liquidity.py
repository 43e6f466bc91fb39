"""Depth, impact and the one-pass sweep against slow walks in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_samples import BOOK_ONE, BOOK_TWO, LONG_RATES, ONE, limits, pair, state
from soak import examples
from twinleg.core.book import Book
from twinleg.core.liquidity import depth_score, impact_score, side_view, sweep, validate
from twinleg.core.messages import Level

LEVELS = st.lists(
    st.tuples(st.integers(900, 1_100), st.integers(1, 10_000)), max_size=15, unique_by=lambda level: level[0]
)
BUFFERS = st.sampled_from([1.0, 0.8, 0.5, 0.9, 0.33])


def book_of(levels: list[Level]) -> Book:
    book = Book("v:X")
    book.snapshot(levels, levels, 1, 1)
    return book


def scaled_walk(levels: list[Level], size: Fraction, buffer: Fraction) -> Fraction | None:
    """VWAP of `size` when only `buffer` of each level is there; `levels` best first."""
    left, cost = size, Fraction(0)
    for price, shown in levels:
        taken = min(left, shown * buffer)
        cost += taken * price
        left -= taken
    return None if left else cost / size


@settings(max_examples=examples(200))
@given(LEVELS, st.lists(st.integers(1, 40_000), min_size=1, max_size=8), st.booleans(), BUFFERS)
def test_the_sweep_is_a_walk_of_scaled_levels(levels: list[Level], sizes: list[int], asks: bool, buffer: float) -> None:
    book = book_of(levels)
    best_first = list(book.levels(asks=asks))
    share = Fraction(buffer)
    sizes = sorted(sizes)
    for size, vwap in zip(sizes, sweep(book, sizes, asks=asks, buffer=buffer), strict=True):
        continuous = scaled_walk(best_first, Fraction(size), share)
        if vwap is None:
            assert continuous is None
            continue
        assert continuous is not None
        whole = ceil(size / share)
        assert vwap == pytest.approx(float(scaled_walk(best_first, Fraction(whole), Fraction(1)) or 0))
        assert abs(vwap - continuous) <= Fraction(200, whole) + Fraction(1, 10**9), "whole lots cost no more than one"


@settings(max_examples=examples(60))
@given(LEVELS, st.integers(1, 40_000), st.booleans())
def test_a_sweep_of_everything_shown_is_the_books_own_walk(levels: list[Level], size: int, asks: bool) -> None:
    book = book_of(levels)
    walk = book.walk(size, asks=asks)
    assert sweep(book, [size], asks=asks, buffer=1.0) == [None if walk is None else walk.vwap_ticks]


def test_a_side_is_measured_in_dollars_of_the_asset() -> None:
    """50,000 lots of a thousand at 0.009998 are 499.9 USD; the next level lies 9 bps from the mid of 0.009999."""
    leg = state(ONE, BOOK_ONE, LONG_RATES, 0.01)
    entry = side_view(leg, 10_000, asks=True, buffer=1.0)
    assert entry.spread_bps == pytest.approx(2 / 9_999 * 10_000)
    assert entry.impact_bps == pytest.approx(1 / 9_999 * 10_000)
    assert entry.depth_usd == pytest.approx((499.95, 2_499.75, 2_499.75))
    assert side_view(leg, 10_000, asks=False, buffer=0.5).depth_usd == pytest.approx((249.975, 1249.875, 1249.875))
    assert side_view(leg, 250_001, asks=True, buffer=1.0).impact_bps is None


@settings(max_examples=examples(100))
@given(LEVELS, LEVELS)
def test_depth_bands_hold_exactly_what_lies_within_them(bids: list[Level], asks: list[Level]) -> None:
    if not (bids and asks):
        return
    leg = state(ONE, BOOK_ONE, LONG_RATES, 0.01)
    leg.book.snapshot([(price - 200, lots) for price, lots in bids], [(price + 10, lots) for price, lots in asks], 1, 1)
    mid = Fraction(leg.book.bid_prices[-1] + leg.book.ask_prices[0], 2)
    for is_asks in (True, False):
        depths = side_view(leg, 1, asks=is_asks, buffer=1.0).depth_usd
        for band_bps, depth in zip((5, 10, 25), depths, strict=True):
            inside = [n for price, n in leg.book.levels(asks=is_asks) if abs(price - mid) <= mid * band_bps / 10_000]
            assert depth == pytest.approx(float(sum(inside) * mid / 10**6))


def test_scores_run_from_nothing_to_a_hundred() -> None:
    assert [impact_score(bps) for bps in (0.0, 5.0, 20.0, 500.0, None)] == [0.0, 25.0, 100.0, 100.0, 100.0]
    assert [depth_score(depth, 100.0) for depth in (0.0, 100.0, 500.0, 1_000.0, 9_000.0)] == [0, 10, 50, 100, 100]
    assert depth_score(1_000.0, 0.0) == 0.0


def test_the_worst_of_four_sides_decides() -> None:
    view, refusals = validate(pair(), 1_000)
    assert refusals == []
    sides = (view.long_entry, view.long_exit, view.short_entry, view.short_exit)
    assert view.impact_score == max(impact_score(side.impact_bps) for side in sides)
    assert view.thinnest_depth10_usd == min(side.depth_usd[1] for side in sides)


@pytest.mark.parametrize("broken", ["long_asks", "long_bids", "short_asks", "short_bids"])
def test_one_thin_side_refuses_whichever_it_is(broken: str) -> None:
    made = pair()
    leg, bids, asks = (made.long, *BOOK_ONE) if broken.startswith("long") else (made.short, *BOOK_TWO)
    thin = [(bids[0][0], 10)] if broken.endswith("bids") else [(asks[0][0], 10)]
    leg.book.snapshot(thin if broken.endswith("bids") else bids, thin if broken.endswith("asks") else asks, 1, 1)
    codes = {refusal.code: refusal for refusal in validate(made, 1_000)[1]}
    assert set(codes) == {"impact", "depth"}
    assert (codes["impact"].value, codes["impact"].limit) == (100.0, made.limits.max_impact_score)


def test_limits_of_liquidity_refuse_with_their_numbers() -> None:
    (impact,) = validate(pair(limits(max_impact_score=1.0)), 1_000)[1]
    assert (impact.code, impact.limit) == ("impact", 1.0)
    assert impact.value is not None
    assert impact.value > 1
    (depth,) = validate(pair(limits(min_depth_score=99.0)), 20_000)[1]
    assert (depth.code, depth.limit) == ("depth", 99.0)
    assert depth.value is not None
    assert depth.value < 99

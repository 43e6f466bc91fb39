"""Pairs: common lots over multipliers, estimates of the basis, and every reason why data may not be acted on."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from statistics import median, pstdev

import pytest

from market_samples import BOOK_ONE, NOW_MS, NOW_NS, ONE, TWO, limits, market, pair, predicted
from twinleg.core.amounts import Grid
from twinleg.core.funding import HOUR_MS
from twinleg.core.messages import FundingSource, MarketStatus, Refusal
from twinleg.core.pairs import (
    NS_PER_MS,
    SAMPLES,
    SAMPLES_MIN,
    STATS_AGE_MS_MAX,
    TARGET_SAMPLES_MIN,
    MarketState,
    Pair,
    gates,
)


def test_a_thousand_pepe_against_single_pepe_has_one_common_lot() -> None:
    made = pair()
    assert made.common_lot == 1_000, "PEPE, not thousands of them"
    assert (made.long_lots, made.short_lots) == (1, 2)
    assert made.long_lots * made.long.size_unit == made.short_lots * made.short.size_unit == made.common_lot
    assert made.mid_price == pytest.approx((0.009999 / 1_000 + 20_062 * 5e-10) / 2)
    assert made.mid_basis_bps() == pytest.approx((1.0031 - 0.9999) / 1.0015 * 10_000)


@pytest.mark.parametrize(
    ("one", "other", "lot", "lots"),
    [("0.1", "0.25", "0.5", (5, 2)), ("0.001", "0.001", "0.001", (1, 1)), ("10", "0.5", "10", (1, 20))],
)
def test_common_lots_are_whole_on_both_sides(one: str, other: str, lot: str, lots: tuple[int, int]) -> None:
    long = MarketState(market(ONE, base="PEPE", size_grid=Grid.of(one)))
    short = MarketState(market(TWO, size_grid=Grid.of(other)))
    made = Pair(long, short, limits())
    assert made.common_lot == Fraction(lot)
    assert (made.long_lots, made.short_lots) == lots


def test_a_pair_is_one_asset_on_two_venues() -> None:
    with pytest.raises(AssertionError):
        Pair(MarketState(ONE), MarketState(market(TWO, base="DOGE")), limits())
    with pytest.raises(AssertionError):
        Pair(MarketState(ONE), MarketState(market(TWO, venue="one")), limits())


def test_the_other_direction_has_the_opposite_basis() -> None:
    made = pair()
    back = Pair(made.short, made.long, limits())
    assert back.mid_basis_bps() == pytest.approx(-made.mid_basis_bps())
    assert (back.long_lots, back.short_lots, back.common_lot) == (2, 1, 1_000)


def test_new_facts_with_another_grid_lose_the_book_and_the_units() -> None:
    made = pair()
    made.long.refresh(market(ONE, size_grid=Grid(1), price_grid=Grid(7)))
    assert not made.long.book.ready
    made.align()
    assert made.long.size_unit == 100
    assert made.long.price_unit == pytest.approx(1e-10)
    assert (made.common_lot, made.long_lots, made.short_lots) == (500, 5, 1)


def test_new_facts_with_the_same_grid_keep_the_book() -> None:
    made = pair()
    made.long.refresh(market(ONE, status=MarketStatus.REDUCE_ONLY))
    assert made.long.book.ready
    assert made.long.funding.rate_per_hour is not None
    assert made.long.market.status is MarketStatus.REDUCE_ONLY


def test_another_settlement_interval_makes_funding_unknown_until_it_is_read_again() -> None:
    made = pair()
    made.long.refresh(market(ONE, funding_interval_ms=8 * HOUR_MS))
    assert made.long.funding.interval_ms == 8 * HOUR_MS
    assert made.long.funding.rate_per_hour is None
    assert "funding_unchecked" in codes(gates(made, NOW_NS, {}))


# -- slow estimates ---------------------------------------------------------------------------------------------------


def test_the_basis_is_sampled_only_while_both_books_are_usable() -> None:
    made = pair(sampled=False)
    made.sample()
    assert list(made.basis_bps) == [made.mid_basis_bps()]
    made.short.book.snapshot([(20_070, 1)], [(20_060, 1)], 1, 1)
    made.sample()
    made.short.book.snapshot([], [(20_060, 1)], 1, 1)
    made.sample()
    made.short.book.snapshot([(20_050, 1)], [(20_060, 1)], 1, 1)
    made.short.book.lose("a gap")
    made.sample()
    assert len(made.basis_bps) == 1


def test_estimates_wait_for_enough_samples_and_are_robust() -> None:
    made = pair(sampled=False)
    samples = [float(number % 3) for number in range(SAMPLES_MIN - 2)] + [1_000.0]
    made.basis_bps.extend(samples)
    made.settle_estimates()
    assert (made.basis_target_bps, made.sigma_bps) == (None, None)
    made.basis_bps.append(2.0)
    made.settle_estimates()
    assert made.basis_target_bps is None, "half a minute is no place to come back to"
    steps = [b - a for a, b in zip([*samples, 2.0], [*samples[1:], 2.0], strict=False)]
    assert made.sigma_bps == pytest.approx(pstdev(steps[: len(samples)]))
    made.basis_bps.extend([1.0, 500.0, 1.0] * ((TARGET_SAMPLES_MIN - SAMPLES_MIN) // 3))
    made.settle_estimates()
    assert made.basis_target_bps == median(made.basis_bps) == 1.0
    made.basis_bps.extend([7.0] * SAMPLES)
    made.settle_estimates()
    assert (len(made.basis_bps), made.basis_target_bps, made.sigma_bps) == (SAMPLES, 7.0, 0.0)


# -- gates ------------------------------------------------------------------------------------------------------------


def codes(refusals: list[Refusal]) -> list[str]:
    return [refusal.code for refusal in refusals]


def test_a_pair_in_good_order_passes() -> None:
    assert gates(pair(), NOW_NS, {"one": 3, "two": -3}) == []


def halt(made: Pair) -> None:
    made.short.refresh(market(TWO, status=MarketStatus.CLOSED))


def unknown_status(made: Pair) -> None:
    made.long.refresh(market(ONE, status=MarketStatus.UNKNOWN))


def reduce_only(made: Pair) -> None:
    made.long.refresh(market(ONE, status=MarketStatus.REDUCE_ONLY))


def lose(made: Pair) -> None:
    made.long.book.lose("a gap of 3")


def empty_side(made: Pair) -> None:
    made.short.book.snapshot([], [(20_064, 1)], NOW_MS, NOW_NS)


def cross(made: Pair) -> None:
    made.long.book.snapshot([(10_000, 1)], [(10_000, 1)], NOW_MS, NOW_NS)


def unit(made: Pair) -> None:
    made.long.funding.predicted(predicted(ONE.key, 4e-3, FundingSource.STREAM))
    made.long.funding.recheck()


def unchecked(made: Pair) -> None:
    made.short.funding.rest = None
    made.short.funding.recheck()


def no_fee(made: Pair) -> None:
    made.short.refresh(market(TWO, taker_fee_bps=None))


def no_index(made: Pair) -> None:
    made.short.index_price = None


def zero_index(made: Pair) -> None:
    made.long.index_price = made.short.index_price = 0.0


def other_thing(made: Pair) -> None:
    made.short.index_price = 0.0000103


def other_multiplier(made: Pair) -> None:
    made.short.index_price = 0.01
    made.short.book.snapshot([(20_060_000, 10)], [(20_064_000, 10)], NOW_MS, NOW_NS)


def old_tick(made: Pair) -> None:
    """The venue's tick became a tenth, and the feed goes on with the old one."""
    made.long.refresh(market(ONE, price_grid=Grid(7)))
    made.long.book.snapshot(*BOOK_ONE, NOW_MS, NOW_NS)


def other_quote(made: Pair) -> None:
    made.short.refresh(market(TWO, quote="USDT"))


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (halt, "market_status", "two:PEPE-USD is closed"),
        (unknown_status, "market_status", "one:1000PEPE is unknown"),
        (reduce_only, "market_status", "reduce_only"),
        (lose, "book_lost", "a gap of 3"),
        (empty_side, "book_one_sided", "two:PEPE-USD"),
        (cross, "book_crossed", "bid 10000 >= ask 10000"),
        (unit, "funding_unit", "prediction and settlement differ"),
        (unchecked, "funding_unchecked", "waiting for rest"),
        (no_fee, "fee_unknown", "two:PEPE-USD"),
        (no_index, "index_missing", "PEPE"),
        (zero_index, "index_missing", "PEPE"),
        (other_thing, "not_same_thing", "PEPE"),
        (other_multiplier, "not_same_thing", "PEPE"),
        (old_tick, "price_implausible", "one:1000PEPE"),
        (other_quote, "quote_currency", "USDC against USDT"),
    ],
)
def test_each_fault_of_the_data_refuses_alone(spoil: Callable[[Pair], None], code: str, said: str) -> None:
    made = pair()
    spoil(made)
    (refusal,) = gates(made, NOW_NS, {})
    assert refusal.code == code
    assert said in refusal.detail


@pytest.mark.parametrize("leg", ["long", "short"])
def test_an_old_book_refuses_with_its_age(leg: str) -> None:
    made = pair(limits(book_age_ms_max=800))
    book = getattr(made, leg).book
    book.received_ns = NOW_NS - 800 * NS_PER_MS
    assert gates(made, NOW_NS, {}) == []
    book.received_ns -= NS_PER_MS
    (refusal,) = gates(made, NOW_NS, {})
    assert (refusal.code, refusal.value, refusal.limit) == ("book_stale", 801, 800)


def test_books_of_different_moments_refuse() -> None:
    made = pair(limits(book_skew_ms_max=1_000))
    made.long.book.received_ns = NOW_NS - 1_000 * NS_PER_MS
    assert gates(made, NOW_NS, {}) == []
    made.long.book.received_ns -= NS_PER_MS
    (refusal,) = gates(made, NOW_NS, {})
    assert (refusal.code, refusal.value, refusal.limit) == ("book_skew", 1_001, 1_000)


def test_a_book_that_just_came_back_waits() -> None:
    made = pair(limits(book_ready_cooldown_ms=2_000))
    made.long.book.ready_since_ns = NOW_NS - 1_999 * NS_PER_MS
    made.short.book.ready_since_ns = NOW_NS - 2_000 * NS_PER_MS
    (refusal,) = gates(made, NOW_NS, {})
    assert (refusal.code, refusal.value, refusal.limit) == ("book_fresh", 1_999, 2_000)
    made.long.book.lose("a gap")
    made.long.book.snapshot(*BOOK_ONE, NOW_MS, NOW_NS)
    assert gates(made, NOW_NS, {})[0].value == 0


@pytest.mark.parametrize("offset_ms", [501, -501, 30_000])
def test_a_clock_that_is_off_refuses(offset_ms: int) -> None:
    (refusal,) = gates(pair(), NOW_NS, {"two": offset_ms, "one": 500})
    assert (refusal.code, refusal.value, refusal.limit) == ("clock_offset", offset_ms, 500)


def test_an_old_index_price_proves_nothing() -> None:
    made = pair()
    made.short.stats_ns = NOW_NS - (STATS_AGE_MS_MAX + 1) * NS_PER_MS
    (refusal,) = gates(made, NOW_NS, {})
    assert (refusal.code, refusal.limit) == ("stats_stale", STATS_AGE_MS_MAX)


def test_a_deviation_within_the_limit_is_the_same_thing_and_the_number_is_told_beyond_it() -> None:
    made = pair(limits(index_deviation_bps_max=100))
    made.short.index_price = 0.00001009
    assert gates(made, NOW_NS, {}) == []
    made.short.index_price = 0.0000102
    (refusal,) = gates(made, NOW_NS, {})
    assert refusal.value == pytest.approx(198.02, abs=0.01)
    assert refusal.limit == 100


def test_all_reasons_are_told_at_once() -> None:
    made = pair()
    for spoil in (halt, lose, no_index, unchecked):
        spoil(made)
    assert codes(gates(made, NOW_NS, {"one": 9_000})) == [
        "book_lost",
        "clock_offset",
        "market_status",
        "funding_unchecked",
        "index_missing",
    ]

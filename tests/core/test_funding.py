"""Funding: calendar, carry against a plain list of settlements, and the unit self-check."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_samples import NOW_MS, predicted, settled
from soak import examples
from twinleg.core.funding import (
    HALF_LIFE_HOURS_MAX,
    HALF_LIFE_HOURS_MIN,
    HISTORY_LIMIT,
    HISTORY_POINTS_MIN,
    HOUR_MS,
    FundingView,
    UnitState,
    carry_fraction,
    check_unit,
    differentials,
    disagree,
    half_life_hours,
    settlement_instant,
    venue_disagreement,
    venue_trouble,
)
from twinleg.core.messages import FundingSource

KEY = "v:X"
STREAM, REST = FundingSource.STREAM, FundingSource.REST


def series(seed: int, *, level: float, persistence: float = 0.9, noise: float = 2e-6, hours: int = 72) -> list[float]:
    """An AR(1) of hourly rates about `level`: what venues' histories look like."""
    dice, away, rates = random.Random(seed), 0.0, []
    for _ in range(hours):
        away = persistence * away + dice.gauss(0, noise)
        rates.append(level + away)
    return rates


@settings(max_examples=examples(200))
@given(
    rate=st.floats(-1e-3, 1e-3),
    long=st.booleans(),
    interval_hours=st.sampled_from([1, 2, 4, 8]),
    minutes=st.integers(0, 600),
    horizon_hours=st.floats(0, 72),
    half_life=st.one_of(st.none(), st.floats(1, 72)),
)
def test_carry_is_the_sum_over_the_settlements_inside_the_horizon(
    rate: float, long: bool, interval_hours: int, minutes: int, horizon_hours: float, half_life: float | None
) -> None:
    interval_ms = interval_hours * HOUR_MS
    now_ms = NOW_MS + minutes * 60_000
    view = FundingView(interval_ms)
    first_ms = (now_ms // interval_ms + 1) * interval_ms
    view.predicted(predicted(KEY, rate, STREAM, first_ms))
    instants = [first_ms + number * interval_ms for number in range(100)]
    inside = [at_ms for at_ms in instants if now_ms < at_ms <= now_ms + horizon_hours * HOUR_MS]
    paid_by_longs = [
        rate * interval_hours * (1 if half_life is None else 2 ** -((at_ms - now_ms) / HOUR_MS / half_life))
        for at_ms in inside
    ]
    carry = carry_fraction(view, long=long, now_ms=now_ms, horizon_hours=horizon_hours, half_life=half_life)
    assert carry == pytest.approx(-sum(paid_by_longs) if long else sum(paid_by_longs), abs=1e-15)


def test_what_is_closed_before_the_next_settlement_earns_nothing() -> None:
    view = FundingView(8 * HOUR_MS)
    view.predicted(predicted(KEY, 1e-4, STREAM, NOW_MS + 90 * 60_000))
    assert carry_fraction(view, long=False, now_ms=NOW_MS, horizon_hours=1.4, half_life=None) == 0
    for horizon_hours in (1.5, 1.6):
        paid = carry_fraction(view, long=False, now_ms=NOW_MS, horizon_hours=horizon_hours, half_life=None)
        assert paid == pytest.approx(8e-4), "an eight-hour payment comes whole at its instant"


def test_an_unknown_rate_gives_no_carry_rather_than_none_at_all() -> None:
    assert carry_fraction(FundingView(HOUR_MS), long=True, now_ms=NOW_MS, horizon_hours=8, half_life=None) is None


def test_the_stream_speaks_before_rest_and_neither_is_a_settlement() -> None:
    view = FundingView(HOUR_MS)
    assert view.rate_per_hour is None
    view.settled(settled(KEY, 5e-5, NOW_MS - HOUR_MS))
    assert view.rate_per_hour is None, "what was paid is not what will be paid"
    view.predicted(predicted(KEY, 2e-5, REST))
    assert view.rate_per_hour == 2e-5
    view.predicted(predicted(KEY, 3e-5, STREAM))
    assert view.rate_per_hour == 3e-5


def test_the_next_settlement_is_the_announced_one_while_it_lies_ahead() -> None:
    view = FundingView(HOUR_MS)
    assert view.next_settlement_ms(NOW_MS) == (NOW_MS // HOUR_MS + 1) * HOUR_MS
    view.predicted(predicted(KEY, 0.0, REST, NOW_MS + 7_000))
    assert view.next_settlement_ms(NOW_MS) == NOW_MS + 7_000
    view.predicted(predicted(KEY, 0.0, STREAM, NOW_MS + 5_000))
    assert view.next_settlement_ms(NOW_MS) == NOW_MS + 5_000
    assert view.next_settlement_ms(NOW_MS + 5_000) == NOW_MS + 7_000
    later_ms = NOW_MS + 8_000
    assert view.next_settlement_ms(later_ms) == (later_ms // HOUR_MS + 1) * HOUR_MS
    on_the_hour_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    assert view.next_settlement_ms(on_the_hour_ms) == on_the_hour_ms + HOUR_MS


def test_one_settlement_stamped_twice_is_one() -> None:
    view = FundingView(HOUR_MS)
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    assert view.settled(settled(KEY, 1e-5, hour_ms, stamp_late_ms=1_020))
    assert not view.settled(settled(KEY, 1.1e-5, hour_ms))
    assert [one.rate_per_hour for one in view.settlements.values()] == [1e-5]
    assert settlement_instant(hour_ms + 59_000, HOUR_MS) == hour_ms


@settings(max_examples=examples(100))
@given(st.lists(st.integers(0, 40), max_size=80), st.data())
def test_settlements_stay_in_order_however_they_arrive(hours: list[int], data: st.DataObject) -> None:
    view = FundingView(HOUR_MS)
    start_ms = NOW_MS // HOUR_MS * HOUR_MS
    for hour in hours:
        late_ms = data.draw(st.integers(0, 50_000))
        known = start_ms + hour * HOUR_MS in view.settlements
        assert view.settled(settled(KEY, hour * 1e-6, start_ms + hour * HOUR_MS, stamp_late_ms=late_ms)) is not known
    assert list(view.settlements) == [start_ms + hour * HOUR_MS for hour in sorted(set(hours))]


def test_history_is_bounded_and_the_oldest_goes_first() -> None:
    view = FundingView(HOUR_MS)
    start_ms = NOW_MS // HOUR_MS * HOUR_MS
    for hour in range(HISTORY_LIMIT + 5):
        view.settled(settled(KEY, 1e-6, start_ms + hour * HOUR_MS))
    view.settled(settled(KEY, 1e-6, start_ms - HOUR_MS))
    assert len(view.settlements) == HISTORY_LIMIT
    assert next(iter(view.settlements)) == start_ms + 5 * HOUR_MS


def test_the_error_of_a_prediction_is_kept_when_it_was_for_that_settlement() -> None:
    view = FundingView(HOUR_MS)
    hour_ms = (NOW_MS // HOUR_MS + 1) * HOUR_MS
    view.predicted(predicted(KEY, 3e-5, STREAM, hour_ms))
    view.settled(settled(KEY, 1e-5, hour_ms - HOUR_MS))
    assert view.settle_error is None
    view.settled(settled(KEY, 3.2e-5, hour_ms, stamp_late_ms=1_000))
    assert view.settle_error == pytest.approx(2e-6)


# -- the unit self-check ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("level", [1.25e-5, -4e-5, 1e-4])
@pytest.mark.parametrize("factor", [100.0, 8.0, 0.01])
def test_a_wrong_unit_is_caught_whoever_has_it(seed: int, level: float, factor: float) -> None:
    history = series(seed, level=level, noise=1e-6)
    right = history[-1]
    for stream, rest, past in (
        (right * factor, right, history),
        (right, right * factor, history),
        (right * factor, right * factor, history),
        (right, right, [rate * factor for rate in history]),
    ):
        check = check_unit(stream, rest, past)
        assert check.state is UnitState.DISAGREED, check


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("level", [0.0, 1.25e-5, -4e-5, 1e-4])
def test_ordinary_drift_is_no_wrong_unit(seed: int, level: float) -> None:
    rates = series(seed, level=level, noise=3e-6, hours=73)
    check = check_unit(rates[-1], rates[-1] + 3e-7, rates[:-1])
    assert check.state is UnitState.AGREED, check


def test_rates_within_the_printed_step_agree_whatever_their_ratio_or_sign() -> None:
    assert check_unit(1e-7, -8e-7, [5e-7, 0.0]).state is UnitState.AGREED
    assert check_unit(0.0, 0.0, [0.0]).state is UnitState.AGREED


def test_opposite_signs_beyond_noise_disagree() -> None:
    assert check_unit(2e-5, -2e-5, [2e-5] * 5).state is UnitState.DISAGREED
    assert check_unit(-2e-5, -2e-5, [2e-5] * 5).state is UnitState.DISAGREED


@pytest.mark.parametrize(
    ("stream", "rest", "history", "missing"),
    [
        (None, 1e-5, [1e-5], "stream"),
        (1e-5, None, [1e-5], "rest"),
        (1e-5, 1e-5, [], "history"),
        (None, None, [], "stream, rest, history"),
        (0.0, None, [0.0], "rest"),
    ],
)
def test_a_missing_reading_is_waited_for(
    stream: float | None, rest: float | None, history: list[float], missing: str
) -> None:
    check = check_unit(stream, rest, history)
    assert (check.state, check.detail) == (UnitState.UNCHECKED, f"waiting for {missing}")


@settings(max_examples=examples(200))
@given(st.floats(-1e-3, 1e-3), st.floats(-1e-3, 1e-3), st.floats(0, 1e-4))
def test_disagreement_is_mutual_and_changes_sign_with_nothing(one: float, other: float, noise: float) -> None:
    verdict = disagree(one, other, noise)
    assert verdict == disagree(other, one, noise) == disagree(-one, -other, noise)
    if verdict:
        assert abs(one - other) > noise
        assert not disagree(one, other, 1.0)


def test_a_whole_venue_in_another_unit_is_named() -> None:
    right = [(1e-5 * number, 1.1e-5 * number) for number in range(1, 12)]
    assert venue_disagreement(right, "REST") is None
    trouble = venue_disagreement([(stream * 8, rest) for stream, rest in right], "REST")
    assert trouble is not None
    assert "7.27 times" in trouble
    assert venue_disagreement([(stream, rest * 100) for stream, rest in right], "REST") is not None
    assert venue_disagreement([(1e-4, 1e-5)] * 2, "REST") is None, "two markets say nothing about a venue"
    assert venue_disagreement([(1e-7, 1e-4)] * 9, "REST") is None, "next to zero there is no ratio"


def test_rest_is_compared_with_what_the_stream_said_when_it_was_read() -> None:
    """Five minutes later the stream has moved to the other side of zero, which says nothing about units."""
    for stream_first in (True, False):
        view = FundingView(HOUR_MS)
        for hour in range(24):
            view.settled(settled(KEY, -3e-5 if hour % 2 else 3e-5, hour * HOUR_MS))
        then, rest = predicted(KEY, 3e-5, STREAM), predicted(KEY, 2.5e-5, REST)
        for event in (then, rest) if stream_first else (rest, then):
            view.predicted(event)
        view.predicted(predicted(KEY, -3e-5, STREAM))
        assert view.recheck().state is UnitState.AGREED
        view.predicted(predicted(KEY, 2.5e-4, REST))
        assert view.recheck().state is UnitState.DISAGREED


def test_a_stream_that_goes_on_to_the_next_settlement_keeps_its_last_word_on_the_one_before() -> None:
    view = FundingView(HOUR_MS)
    hour_ms = (NOW_MS // HOUR_MS + 1) * HOUR_MS
    view.predicted(predicted(KEY, 1e-5, STREAM, hour_ms))
    view.predicted(predicted(KEY, 2e-5, STREAM, hour_ms))
    view.predicted(predicted(KEY, 9e-5, STREAM, hour_ms + HOUR_MS))
    view.settled(settled(KEY, 2.1e-5, hour_ms, stamp_late_ms=1_000))
    assert view.settle_error == pytest.approx(1e-6)


def test_a_unit_that_every_lively_market_hides_shows_over_the_venue() -> None:
    """Stream and REST share the mistake, and each market has had an hour as wild as that."""
    views = []
    for number in range(5):
        view = FundingView(HOUR_MS)
        for hour in range(72):
            view.settled(settled(KEY, 1.6e-4 if hour == 60 else 1e-5 * (1 + number), hour * HOUR_MS))
        for source in (STREAM, REST):
            view.predicted(predicted(KEY, 8e-5 * (1 + number), source))
        assert view.recheck().state is UnitState.AGREED
        views.append(view)
    trouble = venue_trouble(views)
    assert trouble is not None
    assert "8 times the settled ones over 5 markets" in trouble
    for number, view in enumerate(views):
        for source in (STREAM, REST):
            view.predicted(predicted(KEY, 1.1e-5 * (1 + number), source))
    assert venue_trouble(views) is None


# -- how fast a differential dies away --------------------------------------------------------------------------------


@pytest.mark.parametrize("half_life", [2.0, 6.0, 20.0])
def test_the_half_life_of_a_synthetic_series_is_found(half_life: float) -> None:
    persistence = 0.5 ** (1 / half_life)
    found = half_life_hours(series(3, level=0.0, persistence=persistence, hours=20_000))
    assert found == pytest.approx(half_life, rel=0.15)


def test_a_decaying_series_has_its_exact_half_life() -> None:
    assert half_life_hours([2 ** -(hour / 5) for hour in range(40)]) == pytest.approx(5)


def test_half_lives_stay_within_their_bounds() -> None:
    assert half_life_hours([1e-5] * 20) == HALF_LIFE_HOURS_MAX
    assert half_life_hours([0.0] * 20) == HALF_LIFE_HOURS_MAX
    assert half_life_hours([1e-5 * (-1) ** hour for hour in range(20)]) == HALF_LIFE_HOURS_MIN
    assert half_life_hours([float(hour) for hour in range(1, 30)]) == HALF_LIFE_HOURS_MAX, "a growing one"
    assert half_life_hours([0.0] * 10 + [1e-5]) == HALF_LIFE_HOURS_MAX
    assert half_life_hours([1e-5] * (HISTORY_POINTS_MIN - 1)) is None


@settings(max_examples=examples(200))
@given(st.lists(st.floats(-1e-3, 1e-3), max_size=60))
def test_half_lives_are_always_sane(rates: list[float]) -> None:
    found = half_life_hours(rates)
    if len(rates) < HISTORY_POINTS_MIN:
        assert found is None
    else:
        assert found is not None
        assert HALF_LIFE_HOURS_MIN <= found <= HALF_LIFE_HOURS_MAX
        assert math.isfinite(found)


def test_differentials_pair_the_instants_both_settled() -> None:
    long, short = FundingView(HOUR_MS), FundingView(HOUR_MS)
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    for age, rate in ((5, 1e-5), (3, 2e-5), (1, 3e-5)):
        long.settled(settled(KEY, rate, hour_ms - age * HOUR_MS))
    for age, rate in ((3, 5e-5), (2, 9e-5), (1, 4e-5)):
        short.settled(settled(KEY, rate, hour_ms - age * HOUR_MS, stamp_late_ms=900))
    assert differentials(long, short) == pytest.approx([3e-5, 1e-5])
    assert differentials(short, long) == pytest.approx([-3e-5, -1e-5])


# -- how old an estimate may be ---------------------------------------------------------------------------------------


def test_the_age_of_an_estimate_is_that_of_its_youngest_reading() -> None:
    view = FundingView(HOUR_MS)
    view.predicted(predicted(KEY, 1e-5, FundingSource.REST))
    view.predicted(predicted(KEY, 1e-5, FundingSource.STREAM))
    assert view.age_ms(NOW_MS + 60_000) == 60_000

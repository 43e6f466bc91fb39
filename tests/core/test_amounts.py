"""Ticks, lots and money against exact decimals."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soak import examples
from twinleg.core.amounts import DIGITS_MAX, MEMO_LIMIT, AmountError, Grid, Memo, common_lot, micro_usd, sizes_of

GRIDS = st.builds(Grid, decimals=st.integers(0, 12), step=st.sampled_from([1, 1, 1, 2, 5, 10, 25, 1000, 7]))
STEPS = st.integers(-(10**15), 10**15)
FRACTIONS = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**12)
LOTS = st.fractions(min_value=Fraction(1, 10**9), max_value=10**6, max_denominator=10**9).filter(lambda one: one > 0)
PLAIN = st.from_regex(r"\A-?[0-9]{1,12}(\.[0-9]{0,14})?\Z")


def unit_of(grid: Grid) -> Decimal:
    return Decimal(grid.step).scaleb(-grid.decimals)


@settings(max_examples=examples(200))
@given(GRIDS, STEPS)
def test_text_and_parse_are_inverse(grid: Grid, steps: int) -> None:
    text = grid.text(steps)
    assert grid.parse(text) == steps
    assert Decimal(text) == steps * unit_of(grid)
    assert len(text.partition(".")[2]) == grid.decimals


@settings(max_examples=examples(400))
@given(GRIDS, PLAIN)
def test_parse_is_exact_or_refuses(grid: Grid, text: str) -> None:
    with localcontext(prec=60):
        steps = Decimal(text) / unit_of(grid)
        for read in (grid.parse, sizes_of(grid)):
            if steps == steps.to_integral_value() and (steps >= 0 or read == grid.parse):
                assert read(text) == int(steps)
            else:
                with pytest.raises(AmountError):
                    read(text)


NO_DECIMALS = [
    *("", "-", ".", "-.", "+1", "--1", "1-", " 1", "1 ", "1\n", "1e3", "1E3", "NaN", "inf", "-Infinity", "0x10"),
    *("1_000", "1,5", "1.2.3", "1.2.0", "1.-2", "1.5e1", "1.00e2", "\u0661", "\u00b2", "1.\u0660\u0660", "9" * 41),
]


@pytest.mark.parametrize("text", NO_DECIMALS)
def test_what_is_no_plain_decimal_is_refused_on_every_grid(text: str) -> None:
    for grid in (Grid(0), Grid(2), Grid(6), Grid(1, 5)):
        for read in (grid.parse, sizes_of(grid)):
            with pytest.raises(AmountError):
                read(text)


@settings(max_examples=examples(300))
@given(st.text(max_size=8))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        Grid(2).parse(text)
    except AmountError:
        return
    assert Decimal(text) == Decimal(text).quantize(Decimal("0.01"))


def test_an_endless_number_is_refused_with_a_short_message() -> None:
    with pytest.raises(AmountError) as refused:
        Grid(2).parse("1" * 100_000)
    assert len(str(refused.value)) < 200
    assert Grid(0).parse("1" * DIGITS_MAX) == int("1" * DIGITS_MAX)


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("0.01", Grid(2)),
        ("0.010", Grid(2)),
        ("0.5", Grid(1, 5)),
        ("10", Grid(0, 10)),
        ("1", Grid(0)),
        ("1.0", Grid(0)),
        ("0.00025", Grid(5, 25)),
    ],
)
def test_a_grid_is_made_of_its_step(text: str, grid: Grid) -> None:
    assert Grid.of(text) == grid
    assert grid.unit == Fraction(text)


@pytest.mark.parametrize("text", ["", "0", "0.000", "-1", "1e-5", "abc", ".", "1.2.3"])
def test_a_step_must_be_a_positive_decimal(text: str) -> None:
    with pytest.raises(AmountError):
        Grid.of(text)


@settings(max_examples=examples(200))
@given(GRIDS, FRACTIONS)
def test_floor_and_ceil_round_to_the_grid_in_their_direction(grid: Grid, value: Fraction) -> None:
    assert grid.floor(value) == floor(value / grid.unit)
    assert grid.ceil(value) == ceil(value / grid.unit)
    assert grid.floor(value) * grid.unit <= value <= grid.ceil(value) * grid.unit


def test_a_memo_gives_what_its_grid_parses_and_forgets_all_at_its_limit() -> None:
    grid = Grid(2)
    memo = Memo(grid, least=1)
    for number in range(1, MEMO_LIMIT * 2 + 10):
        text = grid.text(number)
        assert memo[text] == number
        assert memo[text] == number
        assert len(memo) <= MEMO_LIMIT
    assert len(memo) < MEMO_LIMIT


@pytest.mark.parametrize(("least", "text"), [(1, "0"), (1, "0.00"), (1, "-1"), (0, "-0.01"), (1, ""), (0, "")])
def test_a_memo_refuses_less_than_its_least_and_does_not_remember_it(least: int, text: str) -> None:
    memo = Memo(Grid(2), least)
    for _ in range(2):
        with pytest.raises(AmountError):
            memo[text]
    assert not memo


@settings(max_examples=examples(200))
@given(FRACTIONS)
def test_micro_dollars_round_half_away_from_zero(value: Fraction) -> None:
    rounded = micro_usd(value)
    assert abs(rounded - value * 10**6) <= Fraction(1, 2)
    assert micro_usd(-value) == -rounded


@settings(max_examples=examples(100))
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=9))
def test_micro_dollars_agree_with_decimal(value: Decimal) -> None:
    with localcontext(prec=60):
        wanted = int(value.scaleb(6).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    assert micro_usd(Fraction(value)) == wanted


@settings(max_examples=examples(200))
@given(LOTS, LOTS)
def test_the_common_lot_is_the_least_multiple_of_both(one: Fraction, other: Fraction) -> None:
    lot = common_lot(one, other)
    ones, others = lot / one, lot / other
    assert ones.denominator == others.denominator == 1
    # m x one = n x other in lowest terms: n and m have no common factor, so nothing smaller is a multiple of both.
    assert Fraction(ones.numerator, others.numerator).numerator == ones.numerator
    assert common_lot(other, one) == lot


@pytest.mark.parametrize(
    ("one", "other", "lot"),
    [("0.1", "0.25", "0.5"), ("1000", "10", "1000"), ("0.0001", "0.001", "0.001"), ("0.3", "0.2", "0.6")],
)
def test_common_lots_of_real_markets(one: str, other: str, lot: str) -> None:
    assert common_lot(Fraction(one), Fraction(other)) == Fraction(lot)

"""Ticks, lots and money: exact integers made from the wire's text. The only place that rounds.

A price is a whole number of ticks, a size a whole number of lots, money a whole number of micro-dollars (1e-6 of the
quote currency). What a tick or a lot is worth is the market's `Grid`. Text that does not lie on the grid is refused,
never rounded: it means that we misunderstand the market.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import lcm

import msgspec

MEMO_LIMIT = 2048
"""Texts per market, hundreds of markets: at about 200 bytes each this bounds a memo to 0.4 MB."""
DIGITS_MAX = 40
MICRO = 1_000_000


class AmountError(ValueError):
    """Wire text that is not an exact amount on its grid: not a plain decimal, off the step, or absurdly long."""


class Grid(msgspec.Struct, frozen=True):
    """The step of a price or a size: `step` units of 10**-decimals. A step of 0.5 is Grid(decimals=1, step=5)."""

    decimals: int
    step: int = 1

    @classmethod
    def of(cls, step_text: str) -> Grid:
        """The grid whose step is `step_text`, such as "0.01", "0.5", "10" or "1". Raises AmountError."""
        whole, _, fraction = step_text.partition(".")
        fraction = fraction.rstrip("0")
        step = _digits(whole + fraction, step_text)
        if step == 0:
            raise AmountError(f"a step of zero: {step_text!r}")
        return cls(decimals=len(fraction), step=step)

    @property
    def unit(self) -> Fraction:
        """What one step is worth, exactly."""
        return Fraction(self.step, 10**self.decimals)

    def parse(self, text: str) -> int:
        """Wire text to a signed whole number of steps. Raises AmountError; never rounds."""
        whole, _, fraction = text.partition(".")
        if not (whole.removeprefix("-") or fraction):
            raise AmountError(f"no digits, which is not zero: {text!r}")
        excess = len(fraction) - self.decimals
        if excess > 0:
            if fraction[self.decimals :].strip("0"):
                raise AmountError(f"{text!r} has more than {self.decimals} decimals")
            fraction = fraction[: self.decimals]
        elif excess < 0:
            fraction += "0" * -excess
        units = -_digits(whole[1:] + fraction, text) if whole[:1] == "-" else _digits(whole + fraction, text)
        if self.step == 1:
            return units
        steps, rest = divmod(units, self.step)
        if rest:
            raise AmountError(f"{text!r} is not a multiple of {self.text(1)}")
        return steps

    def text(self, steps: int) -> str:
        """The decimal text of `steps`, with exactly `decimals` digits after the point."""
        units = abs(steps) * self.step
        sign = "-" if steps < 0 else ""
        if self.decimals == 0:
            return f"{sign}{units}"
        whole, fraction = divmod(units, 10**self.decimals)
        return f"{sign}{whole}.{fraction:0{self.decimals}d}"

    def floor(self, value: Fraction) -> int:
        """The largest whole number of steps not above `value`."""
        return int(value * 10**self.decimals // self.step)

    def ceil(self, value: Fraction) -> int:
        """The smallest whole number of steps not below `value`."""
        return -self.floor(-value)


class Memo(dict[str, int]):
    """Wire text -> steps of one grid, remembered, since books repeat their prices. Starts anew at MEMO_LIMIT texts.

    `least` is the smallest number of steps that makes sense (1 for a price, 0 for a size); less raises AmountError.
    """

    __slots__ = ("_grid", "_least")

    def __init__(self, grid: Grid, least: int | None = None) -> None:
        self._grid = grid
        self._least = least

    def __missing__(self, text: str) -> int:
        steps = self._grid.parse(text)
        if self._least is not None and steps < self._least:
            raise AmountError(f"{text[:60]!r} is less than {self._grid.text(self._least)}")
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[text] = steps
        return steps


def sizes_of(grid: Grid) -> Callable[[str], int]:
    """A reader of sizes: wire text to a whole number of steps, zero or more. It raises AmountError, and never rounds.

    `Grid.parse` with a short way for plain decimals and without a memory: sizes, unlike prices, seldom repeat.
    """
    scales: tuple[int, ...] = ()
    if grid.step == 1:
        scales = tuple(10 ** (grid.decimals - places) for places in range(grid.decimals + 1))
    places_end, whole_max = len(scales), DIGITS_MAX - grid.decimals

    def read(text: str) -> int:
        whole, _, fraction = text.partition(".")
        digits, places = whole + fraction, len(fraction)
        if places < places_end and len(whole) <= whole_max and digits.isdecimal() and digits.isascii():
            return int(digits) * scales[places]
        steps = grid.parse(text)
        if steps < 0:
            raise AmountError(f"a size below zero: {text[:60]!r}")
        return steps

    return read


def micro_usd(value: Fraction) -> int:
    """An exact amount of quote currency to whole micro-dollars, half away from zero (so that signs mirror)."""
    scaled = abs(value) * MICRO
    rounded = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return rounded if value >= 0 else -rounded


def common_lot(one: Fraction, other: Fraction) -> Fraction:
    """The smallest size that is a whole number of both lots: their least common multiple."""
    multiple = lcm(one.numerator * other.denominator, other.numerator * one.denominator)
    return Fraction(multiple, one.denominator * other.denominator)


def _digits(text: str, shown: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > DIGITS_MAX:
        raise AmountError(f"not a plain decimal: {shown[:60]!r}")
    return int(text)

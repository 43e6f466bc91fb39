"""Figures as text: short, signed where the sign matters, never with more certainty than they have. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

UNKNOWN = "-"
"""A figure we do not have. Never a zero."""

MS_PER_S = 1_000
HOURS_PER_YEAR = 24 * 365


def plain(text: str) -> str:
    """Text from a venue without control characters, so that it can neither move a cursor nor start a line."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def bps(value: float | None) -> str:
    """Basis points with a sign: "+12.3"."""
    return UNKNOWN if value is None else _signed(value, 1)


def usd(value: float | None) -> str:
    """Money with a sign and as many decimals as a small amount needs: "+1,234.56", "-0.0042"."""
    if value is None:
        return UNKNOWN
    return _signed(value, 2 if abs(value) >= 1 or value == 0 else 4)


def size(value: float | None) -> str:
    """An amount of money without sign, in whole dollars from 100 on: "12,500", "24.90", "0"."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:,.2f}"


def percent(fraction: float | None) -> str:
    """A fraction as signed per cent: "+14.2%"; without decimals from 1,000% on."""
    if fraction is None:
        return UNKNOWN
    value = fraction * 100
    return _signed(value, 1 if abs(value) < 1_000 else 0) + "%"


def rate(per_hour: float | None, hours: float = 1.0) -> str:
    """A funding rate over some hours as signed per cent with four decimals, the venues' own precision: "+0.0013%"."""
    return UNKNOWN if per_hour is None else _signed(per_hour * hours * 100, 4) + "%"


def hours(value: float | None, never: str = "never") -> str:
    """A number of hours: "0", "3.2h", "2.1d", and beyond a year only that: ">1y"."""
    if value is None:
        return never
    if value == 0:
        return "0"
    if value > HOURS_PER_YEAR:
        return ">1y"
    return f"{value:.1f}h" if value < 48 else f"{value / 24:.1f}d"


def span(ms: float | None) -> str:
    """A length of time in its two largest parts: "0.4s", "12s", "3m05s", "1h03m", "2d04h"."""
    if ms is None:
        return UNKNOWN
    seconds = ms / MS_PER_S
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, name, part, part_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            return f"{whole // unit}{name}{whole % unit // part:02d}{part_name}"
    return f"{whole}s"


def clock(at_ms: int) -> str:
    """A moment as UTC time of day: "18:05:09"."""
    return datetime.fromtimestamp(at_ms / MS_PER_S, UTC).strftime("%H:%M:%S")


def moment(at_ms: int) -> str:
    """A moment in full, UTC to the millisecond: "2026-11-20T18:05:09.120Z"."""
    return datetime.fromtimestamp(at_ms / MS_PER_S, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+,.{decimals}f}"
    return text[1:] if not text.strip("+-0.,") else text

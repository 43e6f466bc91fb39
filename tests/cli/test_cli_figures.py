"""Figures as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinleg.cli.figures import bps, clock, hours, moment, percent, plain, rate, size, span, usd

FINITE = st.floats(min_value=-1e9, max_value=1e9)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (bps(12.34), "+12.3"),
        (bps(-0.04), "0.0"),
        (bps(None), "-"),
        (usd(1234.567), "+1,234.57"),
        (usd(-0.0042), "-0.0042"),
        (usd(0.0), "0.00"),
        (usd(None), "-"),
        (size(12_500.4), "12,500"),
        (size(24.9), "24.90"),
        (size(0.0), "0"),
        (size(None), "-"),
        (percent(0.142), "+14.2%"),
        (percent(-12.3), "-1,230%"),
        (percent(None), "-"),
        (rate(0.0000125), "+0.0013%"),
        (rate(0.0000125, 8), "+0.0100%"),
        (rate(None), "-"),
        (hours(None), "never"),
        (hours(0.0), "0"),
        (hours(3.21), "3.2h"),
        (hours(60), "2.5d"),
        (hours(1e18), ">1y"),
        (span(None), "-"),
        (span(400), "0.4s"),
        (span(12_900), "12s"),
        (span(185_000), "3m05s"),
        (span(3_780_000), "1h03m"),
        (span(187_200_000), "2d04h"),
        (clock(1_795_198_800_120), "18:20:00"),
        (moment(1_795_198_800_120), "2026-11-20T18:20:00.120Z"),
    ],
)
def test_text(text: str, wanted: str) -> None:
    assert text == wanted


@given(FINITE)
def test_no_figure_of_nothing_has_a_sign(value: float) -> None:
    for text in (bps(value), usd(value), percent(value), rate(value)):
        assert text.strip("+-") in (text, text[1:])
        if not text.strip("+-0.,%"):
            assert text[0] == "0"


@given(FINITE)
def test_money_is_told_within_half_its_last_digit(value: float) -> None:
    decimals = 2 if abs(value) >= 1 else 4
    assert float(usd(value).replace(",", "")) == pytest.approx(value, abs=0.5 * 10**-decimals + 1e-6)


@given(st.text())
def test_plain_text_has_no_control_characters(text: str) -> None:
    assert len(plain(text)) == len(text)
    assert plain(text).isprintable()

"""Venue symbols to assets, and the proof by index price."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_samples import ONE, TWO, market
from soak import examples
from twinleg.core.assets import Asset, asset_of, common_assets, deviation_bps


@pytest.mark.parametrize(
    ("base", "name", "multiplier"),
    [
        ("BTC", "BTC", 1),
        ("btc", "BTC", 1),
        ("1000PEPE", "PEPE", 1_000),
        ("10000SATS", "SATS", 10_000),
        ("1000000MOG", "MOG", 1_000_000),
        ("kPEPE", "PEPE", 1_000),
        ("1KPEPE", "PEPE", 1_000),
        ("1MBONK", "BONK", 1_000_000),
        ("10KBONK", "BONK", 10_000),
        ("KAS", "KAS", 1),
        ("KPEPE", "KPEPE", 1),
        ("MKR", "MKR", 1),
        ("1INCH", "1INCH", 1),
        ("1KX", "1KX", 1),
        ("100X", "100X", 1),
        ("0G", "0G", 1),
        ("2Z", "2Z", 1),
        ("4", "4", 1),
        ("1000", "1000", 1),
        ("S", "S", 1),
        ("k", "K", 1),
        ("EUR_24_5", "EUR_24_5", 1),
        ("XAUT.X", "XAUT.X", 1),
        ("\u5e01\u5b89", "\u5e01\u5b89", 1),
        ("", "", 1),
    ],
)
def test_symbols_and_what_they_count(base: str, name: str, multiplier: int) -> None:
    assert asset_of(base) == Asset(name, multiplier)


@settings(max_examples=examples(200))
@given(st.text(max_size=12))
def test_every_symbol_is_some_asset(base: str) -> None:
    assert asset_of(base).multiplier >= 1


@settings(max_examples=examples(100))
@given(st.floats(1e-9, 1e6), st.floats(1e-9, 1e6), st.sampled_from([1, 1_000, 10**6]), st.sampled_from([1, 1_000]))
def test_deviation_is_that_of_single_units_over_their_mean(one: float, other: float, m: int, n: int) -> None:
    a, b = Fraction(one) / m, Fraction(other) / n
    wanted = float(abs(a - b) / (a + b) * 20_000)
    assert deviation_bps(one, m, other, n) == pytest.approx(wanted, abs=1e-6)
    assert deviation_bps(one, m, other, n) == pytest.approx(deviation_bps(other, n, one, m))


def test_a_thousand_at_a_thousand_times_the_price_is_the_same_thing() -> None:
    assert deviation_bps(0.01, 1_000, 0.00001, 1) == pytest.approx(0, abs=1e-6)
    assert deviation_bps(0.01, 1, 0.00001, 1) > 19_900


def test_common_assets_need_two_venues_and_nothing_excluded() -> None:
    own = market(ONE, key="one:kPEPE", base="kPEPE")
    lonely = market(ONE, key="one:BTC", base="BTC")
    rfq = market(TWO, key="two:BTC-USD", base="BTC", excluded="RFQ")
    assert common_assets([ONE, own, lonely, rfq]) == {}
    assert common_assets([ONE, own, TWO, lonely, rfq]) == {"PEPE": [ONE, own, TWO]}

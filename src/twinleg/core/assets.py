"""One name for one thing: venue symbols -> assets, with the unit multiplier the venue put into its symbol.

Venues write a thousand PEPE as "1000PEPE", "kPEPE" or "1KPEPE". A symbol alone proves nothing: a pair is trusted only
while both venues' index prices, after the multiplier, agree.
"""

from __future__ import annotations

import re

import msgspec

from twinleg.core.messages import Market

_MULTIPLIED = re.compile(
    r"(?:(?P<number>10{3,9})|(?P<count>[0-9]{1,3})(?P<unit>[KM])(?=[A-Z]{2,})|(?P<kilo>k)(?=[A-Z]))(?P<base>[A-Za-z].*)"
)
_UNIT = {"K": 1_000, "M": 1_000_000}


class Asset(msgspec.Struct, frozen=True):
    """`multiplier` units of `name` make one unit of what the venue lists."""

    name: str
    multiplier: int


def asset_of(base: str) -> Asset:
    """The asset behind a venue's base symbol: "1000PEPE", "kPEPE" -> PEPE x 1000, "1MBONK" -> BONK x 1,000,000.

    "1INCH" is no multiple: a count needs K or M, a bare number needs at least three zeros.
    """
    found = _MULTIPLIED.fullmatch(base)
    if found is None:
        return Asset(base.upper(), 1)
    if found["number"]:
        multiplier = int(found["number"])
    elif found["count"]:
        multiplier = int(found["count"]) * _UNIT[found["unit"]]
    else:
        multiplier = 1_000
    return Asset(found["base"].upper(), multiplier)


def deviation_bps(one: float, one_multiplier: int, other: float, other_multiplier: int) -> float:
    """How far two venues' index prices of one asset lie apart, in bps of their mean, per single unit (an estimate)."""
    a, b = one / one_multiplier, other / other_multiplier
    return abs(a - b) / ((a + b) / 2) * 10_000


def common_assets(markets: list[Market]) -> dict[str, list[Market]]:
    """Tradeable-by-default markets grouped by asset; only assets that at least two venues list."""
    grouped: dict[str, list[Market]] = {}
    for market in markets:
        if market.excluded is None:
            grouped.setdefault(asset_of(market.base).name, []).append(market)
    return {asset: found for asset, found in grouped.items() if len({market.venue for market in found}) > 1}

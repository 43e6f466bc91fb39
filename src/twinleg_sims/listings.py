"""What exists: the assets of the world, and how each venue lists them (symbols, grids, limits, fees, oddities).

Names, sizes and prices are plausible, not anyone's record. Fees and delays: the venues' public base tiers, 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10, sqrt
from typing import Literal

Kind = Literal["perp", "spot", "binary_options"]
State = Literal["active", "inactive", "reduce_only", "prelisted"]

LIGHTER = "lighter"
EXTENDED = "extended"
VENUES = (LIGHTER, EXTENDED)
DRIFT = "drift"
"""A chain of its own, served apart: the world lists nothing there, its oracles follow the world's index prices."""

YEAR_MS = 365.25 * 86_400_000
COMMON_VOLATILITY = 0.45
"""Of the move all assets share, per square root of a year."""


@dataclass(frozen=True, slots=True)
class Asset:
    """Something with a price in USD. `tier` 0 (most liquid) to 3; `beta` is its share in the common move."""

    name: str
    start_price: float
    tier: int
    beta: float
    own_volatility: float
    """Idiosyncratic, per square root of a year."""

    def move(self, elapsed_ms: float, common: float, own: float) -> float:
        """The log return over a time, of two standard normal draws: the one all assets share and the asset's own."""
        return sqrt(elapsed_ms / YEAR_MS) * (self.beta * COMMON_VOLATILITY * common + self.own_volatility * own)


@dataclass(frozen=True, slots=True)
class Listing:
    """One market of one venue. A tick is `tick_step` * 10**-price_decimals, a lot `lot_step` * 10**-size_decimals."""

    venue: str
    symbol: str
    market_id: int
    asset: Asset
    multiplier: int
    """How many of the asset one unit of this market is: 1000 for "1000PEPE"."""
    price_decimals: int
    tick_step: int
    size_decimals: int
    lot_step: int
    min_lots: int
    min_notional_usd: int
    max_leverage: int
    kind: Kind = "perp"
    state: State = "active"
    rfq: bool = False
    trading_hours: str = ""

    @property
    def tick(self) -> float:
        return float(self.tick_step / 10**self.price_decimals)

    @property
    def lot(self) -> float:
        return float(self.lot_step / 10**self.size_decimals)

    def price_text(self, ticks: int) -> str:
        """Exactly `price_decimals` digits after the point."""
        return _fixed(ticks * self.tick_step, self.price_decimals)

    def size_text(self, lots: int) -> str:
        """Exactly `size_decimals` digits after the point."""
        return _fixed(lots * self.lot_step, self.size_decimals)


@dataclass(frozen=True, slots=True)
class VenueTerms:
    """A venue's public base tier: fees in basis points, and how long an outside order waits before matching."""

    taker_fee_bps: float
    maker_fee_bps: float
    taker_delay_ms: int
    maker_delay_ms: int
    """Also for cancels."""


TERMS = {
    LIGHTER: VenueTerms(taker_fee_bps=0.0, maker_fee_bps=0.0, taker_delay_ms=300, maker_delay_ms=200),
    EXTENDED: VenueTerms(taker_fee_bps=2.5, maker_fee_bps=0.0, taker_delay_ms=200, maker_delay_ms=0),
}

_TABLE = """
BTC 64350 0 1.0 0.10|ETH 2361 0 1.15 0.25|SOL 148.2 0 1.3 0.40|HYPE 31.4 1 1.3 0.70|PEPE 0.00000812 1 1.6 0.80
BONK 0.0000143 2 1.6 0.90|FLOKI 0.0000624 2 1.5 0.90|AI 0.1182 3 1.3 0.90|XRP 2.214 0 1.0 0.45|DOGE 0.1523 1 1.3 0.50
BNB 612.4 1 0.8 0.30|ADA 0.4311 1 1.2 0.45|AVAX 18.62 1 1.3 0.50|LINK 13.91 1 1.2 0.50|SUI 1.983 1 1.4 0.60
LTC 84.12 1 0.9 0.40|TRX 0.2712 1 0.5 0.30|DOT 3.214 2 1.2 0.45|NEAR 2.104 2 1.3 0.60|APT 3.912 2 1.3 0.55
ARB 0.3121 2 1.4 0.60|OP 0.5214 2 1.4 0.60|TIA 1.412 2 1.5 0.75|WIF 0.6123 2 1.7 0.90|SEI 0.1812 2 1.4 0.70
INJ 9.812 2 1.4 0.65|AAVE 212.4 1 1.2 0.55|UNI 6.312 1 1.2 0.55|CRV 0.5312 2 1.3 0.70|ENA 0.4212 1 1.5 0.85
ONDO 0.7812 2 1.2 0.65|JUP 0.4112 2 1.4 0.75|WLD 0.9123 2 1.5 0.80|TAO 361.2 2 1.3 0.75|RENDER 3.512 2 1.4 0.70
FIL 2.214 2 1.2 0.55|ATOM 3.812 2 1.1 0.50|ETC 16.12 2 1.1 0.45|BCH 481.2 1 0.9 0.45|ZEC 412.3 1 0.8 1.10
PENDLE 3.112 3 1.4 0.80|LDO 0.8812 3 1.4 0.70|EIGEN 1.112 3 1.5 0.90|STRK 0.1212 3 1.4 0.80|ZK 0.0512 3 1.4 0.90
ZRO 1.812 3 1.3 0.85|W 0.0712 3 1.5 0.90|PYTH 0.1123 3 1.4 0.85|KAITO 1.212 3 1.4 1.10|VIRTUAL 1.312 3 1.6 1.10
FARTCOIN 0.8123 2 1.8 1.30|MNT 1.112 3 0.9 0.55|SPX 1.012 3 1.7 1.20|MORPHO 1.412 3 1.2 0.80|IP 4.112 3 1.2 1.10
S 0.3012 3 1.3 0.80|BERA 1.912 3 1.3 0.95|GMX 13.12 3 1.2 0.65|DYDX 0.5123 3 1.3 0.70|TON 2.912 2 0.9 0.45
"""

_MULTIPLIERS = {"PEPE": ("1000PEPE", "1000PEPE"), "BONK": ("1000BONK", "kBONK"), "FLOKI": ("1000FLOKI", "FLOKI")}
"""Base symbol at Lighter and at Extended."""

_NAMESAKE = Asset("AI (another)", 2.35, 3, 1.1, 0.80)
"""Extended's "AI" is not Lighter's: their index prices are nothing like each other."""

_ALONE = {"ZRO": LIGHTER, "MNT": EXTENDED, "GMX": LIGHTER, "DYDX": EXTENDED}
"""Listed on one venue only. In small worlds the odd markets below provide such cases."""

_LEVERAGE = (50, 25, 20, 10)

ASSETS_MAX = 200


def first_assets(count: int) -> list[Asset]:
    """The first `count` assets of the table, then invented small ones. Raises ValueError outside 1..ASSETS_MAX."""
    if not 1 <= count <= ASSETS_MAX:
        raise ValueError(f"a world has 1 to {ASSETS_MAX} assets, not {count}")
    known = [_asset(text) for text in _TABLE.replace("\n", "|").split("|") if text]
    invented = [
        Asset(f"ALT{n}", round(10 ** ((n * 37 % 50) / 12.5 - 2), 6), 3, 1.3, 0.9)
        for n in range(len(known) + 1, count + 1)
    ]
    return (known + invented)[:count]


def listings(world_assets: list[Asset], *, odd: bool = True) -> list[Listing]:
    """Every market of both venues: the common ones, then (`odd`) those a careful client leaves out."""
    rows: list[Listing] = []
    for position, asset in enumerate(world_assets):
        lighter_symbol, extended_symbol = _MULTIPLIERS.get(asset.name, (asset.name, asset.name))
        alone = _ALONE.get(asset.name)
        if alone != EXTENDED:
            rows.append(_lighter(asset, lighter_symbol, {"ETH": 0, "BTC": 1}.get(asset.name, position)))
        if alone != LIGHTER:
            traded = _NAMESAKE if asset.name == "AI" else asset
            rows.append(_extended(traded, extended_symbol, position))
    return rows + _left_out(world_assets[0]) if odd else rows


def _left_out(first: Asset) -> list[Listing]:
    usdc = Asset("USDC", 1.0, 3, 0.0, 0.001)
    lit, spx, euro = (
        Asset("LIT", 2.512, 3, 1.2, 0.7),
        Asset("SPX500", 6612.0, 3, 0.1, 0.15),
        Asset("EUR", 1.1612, 3, 0.0, 0.07),
    )
    gold, fresh, old = (
        Asset("XAU", 4081.0, 3, 0.1, 0.2),
        Asset("FRESH", 0.912, 3, 1.2, 1.0),
        Asset("OLD", 0.0412, 3, 1.2, 0.9),
    )
    yes = Asset("BTCUP", 0.52, 3, 0.5, 0.5)
    return [
        _lighter(lit, "LIT/USDC", 2049, kind="spot"),
        _lighter(usdc, "USDC/USDT", 2050, kind="spot"),
        _lighter(yes, f"{first.name}-UP-2026", 240, kind="binary_options"),
        _lighter(old, "OLD", 241, state="inactive"),
        _lighter(spx, "SPX500", 242, trading_hours="09:30-16:00"),
        _extended(gold, "XAU", 9001, rfq=True),
        _extended(fresh, "FRESH", 9002, state="prelisted"),
        _extended(old, "OLD", 9003, state="reduce_only"),
        _extended(euro, "EUR", 9004, trading_hours="WEEKDAYS"),
        _extended(spx, "SPX500m", 9005, trading_hours="REGULAR"),
    ]


def _asset(text: str) -> Asset:
    name, price, tier, beta, own = text.split()
    return Asset(name, float(price), int(tier), float(beta), float(own))


def _multiplier(symbol: str) -> int:
    return 1000 if symbol.startswith(("1000", "kBONK")) else 1


def _lighter(
    asset: Asset, symbol: str, market_id: int, *, kind: Kind = "perp", state: State = "active", trading_hours: str = ""
) -> Listing:
    """Lighter's grids are whole powers of ten; about five significant digits, lots worth some tens of cents."""
    multiplier = _multiplier(symbol)
    magnitude = floor(log10(asset.start_price * multiplier))
    size_decimals = max(0, magnitude + 1)
    lot_usd = asset.start_price * multiplier / 10**size_decimals
    return Listing(
        venue=LIGHTER, symbol=symbol, market_id=market_id, asset=asset, multiplier=multiplier,
        price_decimals=max(0, 5 - magnitude), tick_step=1, size_decimals=size_decimals, lot_step=1,
        min_lots=_round_number(10 / lot_usd), min_notional_usd=10, max_leverage=_LEVERAGE[asset.tier],
        kind=kind, state=state, trading_hours=trading_hours,
    )  # fmt: skip


def _extended(
    asset: Asset, symbol: str, market_id: int, *, state: State = "active", rfq: bool = False, trading_hours: str = ""
) -> Listing:
    """Extended's grids are coarser, and not always powers of ten: prices near 50..500 step by 5 of the last digit."""
    multiplier = _multiplier(symbol)
    magnitude = floor(log10(asset.start_price * multiplier))
    size_decimals = max(0, magnitude + 1 if magnitude >= 4 else magnitude)
    lot_step = 10 if magnitude <= -3 else 1
    lot_usd = asset.start_price * multiplier * lot_step / 10**size_decimals
    return Listing(
        venue=EXTENDED, symbol=f"{symbol}-USD", market_id=market_id, asset=asset, multiplier=multiplier,
        price_decimals=max(0, 4 - magnitude), tick_step=5 if asset.name in ("BNB", "AAVE") else 1,
        size_decimals=size_decimals, lot_step=lot_step, min_lots=_round_number(6 / lot_usd), min_notional_usd=0,
        max_leverage=_LEVERAGE[asset.tier], state=state, rfq=rfq, trading_hours=trading_hours,
    )  # fmt: skip


def _round_number(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... not below `least`."""
    power: int = 10 ** max(0, floor(log10(max(1.0, least))))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= ceil(least))


def _fixed(units: int, decimals: int) -> str:
    if decimals == 0:
        return str(units)
    whole, fraction = divmod(units, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}"

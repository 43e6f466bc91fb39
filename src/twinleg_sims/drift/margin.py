"""What a user's collateral must cover."""

from __future__ import annotations

from dataclasses import dataclass

from twinleg_sims.drift import positions
from twinleg_sims.drift.call import Call
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import BASE, MARGIN, OPEN_ORDER_QUOTE, PRICE

_WEIGHT = 10**4
_IMF = 10**6


@dataclass(frozen=True, slots=True)
class Margin:
    """QUOTE units."""

    collateral: int
    required: int

    @property
    def enough(self) -> bool:
        return self.collateral >= self.required


def of(call: Call, user: Record, *, initial: bool = True) -> Margin:
    """Every position and order at its worst. Raises ProgramError when a market or oracle is not given."""
    quote_market = call.spot_market(0)
    quote_price = call.price(quote_market).price
    low, high = quote_price, quote_price
    if initial:
        average = quote_market["last_oracle_price_twap_5min"] or quote_price
        low, high = min(quote_price, average), max(quote_price, average)
    tokens = positions.balance(user, quote_market)
    collateral = tokens * (low if tokens >= 0 else high) // PRICE
    required = 0
    for position in positions.used_positions(user):
        market = call.perp_market(position["market_index"])
        price = call.price(market).price
        collateral += _profit(market, position, price, low if initial else quote_price, initial=initial)
        required += _required(market, position, price, high if initial else quote_price, initial=initial)
    return Margin(collateral, required)


def ratio(market: Record, base: int, *, initial: bool) -> int:
    """MARGIN units; more for large positions where the market says so."""
    least = market["margin_ratio_initial" if initial else "margin_ratio_maintenance"]
    factor = market.get("imf_factor", 0) if initial else 0
    if not factor:
        return least
    root = int((abs(base) * 10 // BASE * BASE + 1) ** 0.5)
    return max(least, least * 8 // 10 + factor * root * MARGIN // (_IMF * 100_000))


def _profit(market: Record, position: Record, price: int, quote_price: int, *, initial: bool) -> int:
    """What is not settled: losses in full, profits by their weight."""
    base = position["base_asset_amount"]
    side = "cumulative_funding_rate_long" if base > 0 else "cumulative_funding_rate_short"
    funding = -(market[side] - position["last_cumulative_funding_rate"]) * base // (BASE * 1000) if base else 0
    profit = base * price // BASE + position["quote_asset_amount"] + funding
    if profit > 0:
        weight = market[f"unrealized_pnl_{'initial' if initial else 'maintenance'}_asset_weight"]
        return profit * quote_price // PRICE * weight // _WEIGHT
    return profit * quote_price // PRICE


def _required(market: Record, position: Record, price: int, quote_price: int, *, initial: bool) -> int:
    base = position["base_asset_amount"]
    bids, asks = base + position["open_bids"], base + position["open_asks"]
    worst = bids if abs(bids) >= abs(asks) else asks
    value = abs(worst) * price // BASE * quote_price // PRICE
    needed = value * ratio(market, worst, initial=initial) // MARGIN
    return needed + position["open_orders"] * OPEN_ORDER_QUOTE

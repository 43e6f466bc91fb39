"""Positions that were opened by hand, as a trade of ours: the plan they would have had. Pure."""

from __future__ import annotations

from fractions import Fraction

from twinleg.core.amounts import DIGITS_MAX
from twinleg.core.orders import Adopt, Holding, Leg, LegPlan, TradePlan
from twinleg.core.pairs import MarketState, Pair
from twinleg.core.planning import Budgets


class AdoptionError(ValueError):
    """What was said of the positions makes no trade; the message says what to change."""


def adoption(
    trade_id: str, pair: Pair, size: str, prices: tuple[str, str], budgets: Budgets
) -> tuple[TradePlan, Holding, Holding]:
    """The plan and what (long leg, short leg) hold. `size` is in single units of the asset, on both legs; `prices` are
    what was paid, as each venue lists it, rounded to its ticks. Raises AdoptionError.
    """
    units = exact(size, "size")
    paid = exact(prices[0], "long price"), exact(prices[1], "short price")
    common_lots = -(-units // pair.common_lot)
    if units < pair.common_lot:
        raise AdoptionError(f"{size} {pair.asset} is less than the {float(pair.common_lot):g} that both venues take")
    long = Holding(_lots(pair.long, units), _ticks(pair.long, paid[0]))
    short = Holding(_lots(pair.short, units), _ticks(pair.short, paid[1]))
    widest, attempts = int(budgets.flatten_slippage_bps_max), max(1, budgets.max_retry_attempts)
    plan = TradePlan(
        trade_id=trade_id,
        asset=pair.asset,
        long=_leg(pair, Leg.LONG, long),
        short=_leg(pair, Leg.SHORT, short),
        common_lots=common_lots,
        unhedged_ms_max=budgets.unhedged_ms_max,
        unhedged_notional_max_micro_usd=int(budgets.unhedged_notional_max_usd * 1_000_000),
        attempt_ms=budgets.unhedged_ms_max,
        bounds_bps=tuple(widest * (number + 1) // attempts for number in range(attempts)),
    )
    return plan, long, short


def adopted(plan: TradePlan, holdings: tuple[Holding, Holding], reason: str, at_ms: int) -> Adopt:
    """The event that makes the trade hold them."""
    long, short = holdings
    return Adopt(trade_id=plan.trade_id, long=long, short=short, reason=reason, at_ms=at_ms)


def exact(text: str, what: str) -> Fraction:
    """A plain positive decimal as people write it. Raises AdoptionError."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= DIGITS_MAX) or int(digits) == 0:
        raise AdoptionError(f"{what}: {text[:60]!r} is no positive decimal number")
    return Fraction(int(digits), 10 ** len(fraction))


def _lots(state: MarketState, units: Fraction) -> int:
    lots = units / state.size_unit
    if lots.denominator != 1:
        raise AdoptionError(f"{state.market.key} trades in multiples of {float(state.size_unit):g} {state.asset.name}")
    return lots.numerator


def _ticks(state: MarketState, price: Fraction) -> int:
    ticks = round(price / state.market.price_grid.unit)
    if ticks <= 0:
        raise AdoptionError(f"a price below {state.market.price_grid.text(1)} at {state.market.key}")
    return ticks


def _leg(pair: Pair, leg: Leg, holding: Holding) -> LegPlan:
    state, lots = (pair.long, pair.long_lots) if leg is Leg.LONG else (pair.short, pair.short_lots)
    return LegPlan(
        venue=state.market.venue,
        market=state.market.key,
        price_grid=state.market.price_grid,
        size_grid=state.market.size_grid,
        lots_per_common_lot=lots,
        limit_ticks=holding.price_ticks,
        decision_ticks=holding.price_ticks,
        taker_fee_bps=state.market.taker_fee_bps or 0.0,
    )

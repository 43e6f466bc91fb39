"""From leave to a plan: all that a trade may do, written down before its first order. Pure."""

from __future__ import annotations

from typing import Protocol

from twinleg.core.guard import Approved
from twinleg.core.orders import Leg, LegPlan, TradePlan
from twinleg.core.pairs import Pair


class Budgets(Protocol):
    """The numbers of settings that a plan needs."""

    unhedged_ms_max: int
    unhedged_notional_max_usd: float
    flatten_slippage_bps_max: float
    max_retry_attempts: int


def plan_trade(trade_id: str, approved: Approved, pair: Pair, budgets: Budgets) -> TradePlan:
    """The plan of an approved trade: sizes and prices as approved, bounds that widen evenly to the flatten slippage."""
    widest = int(budgets.flatten_slippage_bps_max)
    attempts = max(1, budgets.max_retry_attempts)
    return TradePlan(
        trade_id=trade_id,
        asset=pair.asset,
        long=_leg(pair, approved, Leg.LONG),
        short=_leg(pair, approved, Leg.SHORT),
        common_lots=approved.common_lots,
        unhedged_ms_max=budgets.unhedged_ms_max,
        unhedged_notional_max_micro_usd=int(budgets.unhedged_notional_max_usd * 1_000_000),
        attempt_ms=budgets.unhedged_ms_max,
        bounds_bps=tuple(widest * (number + 1) // attempts for number in range(attempts)),
        edge_bps=approved.opportunity.net_bps,
    )


def _leg(pair: Pair, approved: Approved, leg: Leg) -> LegPlan:
    long = leg is Leg.LONG
    state, lots = (pair.long, pair.long_lots) if long else (pair.short, pair.short_lots)
    long_ticks, short_ticks = approved.opportunity.decision_ticks
    return LegPlan(
        venue=state.market.venue,
        market=state.market.key,
        price_grid=state.market.price_grid,
        size_grid=state.market.size_grid,
        lots_per_common_lot=lots,
        limit_ticks=approved.long_limit_ticks if long else approved.short_limit_ticks,
        decision_ticks=round(long_ticks if long else short_ticks),
        taker_fee_bps=state.market.taker_fee_bps or 0.0,
    )

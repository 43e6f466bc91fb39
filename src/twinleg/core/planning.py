"""From leave to a plan: all that a trade may do, written down before its first order. Pure."""

from __future__ import annotations

from typing import Protocol

from twinleg.core.entry import Mode
from twinleg.core.guard import Approved
from twinleg.core.orders import Leg, LegPlan, TradePlan
from twinleg.core.pairs import Pair

DOUBT_MS = 45_000
"""The longest proof that an order never came (Extended's: its bytes expire 5 s after the deadline, its lists lag by up
to 15 s, and clocks differ), and half as much again."""


class Budgets(Protocol):
    """The numbers of settings that a plan needs."""

    order_timeout_seconds: float
    unhedged_ms_max: int
    unhedged_notional_max_usd: float
    flatten_slippage_bps_max: float
    max_retry_attempts: int


def plan_trade(trade_id: str, approved: Approved, pair: Pair, budgets: Budgets) -> TradePlan:
    """The plan of an approved trade: sizes and prices as approved, bounds that widen evenly to the flatten slippage.

    Where a leg goes first, the plan counts in lots that both venues take as an order, so that every hedge of what
    filled is one; what fills beyond whole ones is dust until more fills.
    """
    found = approved.opportunity
    lots_each = 1 if found.first is None else found.least_order_common_lots
    assert approved.common_lots % lots_each == 0, "approved in sizes that can be hedged"
    widest = int(budgets.flatten_slippage_bps_max)
    attempts = max(1, budgets.max_retry_attempts)
    return TradePlan(
        trade_id=trade_id,
        asset=pair.asset,
        long=_leg(pair, approved, Leg.LONG, lots_each),
        short=_leg(pair, approved, Leg.SHORT, lots_each),
        common_lots=approved.common_lots // lots_each,
        unhedged_ms_max=budgets.unhedged_ms_max,
        unhedged_notional_max_micro_usd=int(budgets.unhedged_notional_max_usd * 1_000_000),
        attempt_ms=budgets.unhedged_ms_max,
        doubt_ms=DOUBT_MS,
        bounds_bps=tuple(widest * (number + 1) // attempts for number in range(attempts)),
        first=found.first,
        rest_ms=int(budgets.order_timeout_seconds * 1_000) if found.mode is Mode.MAKER_FIRST else 0,
        edge_bps=found.net_bps,
    )


def terms_of(approved: Approved, common_lots: int) -> dict[str, float]:
    """What a trade of that size is opened for, by name (estimates)."""
    terms, share = approved.opportunity.terms, common_lots / approved.common_lots
    named = {name: float(getattr(terms, name)) for name in terms.__struct_fields__}
    return named | {
        "net_bps": terms.net_bps,
        "notional_usd": approved.notional_usd * share,
        "expected_usd": approved.expected_usd * share,
    }


def _leg(pair: Pair, approved: Approved, leg: Leg, lots_each: int) -> LegPlan:
    long = leg is Leg.LONG
    state, lots = (pair.long, pair.long_lots) if long else (pair.short, pair.short_lots)
    long_ticks, short_ticks = approved.opportunity.decision_ticks
    return LegPlan(
        venue=state.market.venue,
        market=state.market.key,
        price_grid=state.market.price_grid,
        size_grid=state.market.size_grid,
        lots_per_common_lot=lots * lots_each,
        limit_ticks=approved.long_limit_ticks if long else approved.short_limit_ticks,
        decision_ticks=round(long_ticks if long else short_ticks),
        taker_fee_bps=state.market.taker_fee_bps or 0.0,
    )

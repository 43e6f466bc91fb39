"""An entry got ready before its edge is there: what is armed, how long it would do, and what it is sent as. Pure.

    edge within REACH_BPS of MIN_EXECUTION   armed: the plan of that moment, smaller and within tighter bounds
    the guard approves                       taken up as it is, when it lies within what was approved; else voided

Tighter, since the price that brings the missing edge takes as much off the bound that it may be sent with.
"""

from __future__ import annotations

import msgspec

from twinleg.core.edge import BPS, Opportunity
from twinleg.core.effects import Place
from twinleg.core.entry import Mode
from twinleg.core.guard import Approved
from twinleg.core.hedge import step
from twinleg.core.orders import Leg, LegPlan, Started, State, TradePlan
from twinleg.core.pairs import Limits, Pair
from twinleg.core.records import Armed, StateChanged
from twinleg.core.trade import Trade

REACH_BPS = 0.75
"""A book that moves as a whole brings half of it as edge (edge.CONVERGENCE_SHARE), and takes all of it off the bound:
from further away nothing that is armed would still fit."""
SIZE_PERCENT = 98
"""Of what is approved at arming: sizes are approved in USD, and prices move."""
BOUND_SHARE = 3
"""One in so many parts of the way from the price to the approved bound."""


def in_reach(found: Opportunity, limits: Limits, reach_bps: float = REACH_BPS) -> bool:
    """Only a little edge is missing, and both legs would go at once."""
    only_edge = all(refusal.code == "edge" for refusal in found.refusals)
    return (
        only_edge
        and found.mode is Mode.SIMULTANEOUS
        and found.net_bps >= max(limits.min_execution_spread_bps - reach_bps, limits.min_viable_spread_bps)
    )


def arm(plan: TradePlan, least_common_lots: int, at_ms: int, deadline_ms: int) -> Armed:
    """The record of an armed entry: its orders are the machine's own, in what is planned and approved for now."""
    plan = msgspec.structs.replace(
        plan,
        common_lots=max(least_common_lots, plan.common_lots * SIZE_PERCENT // 100),
        long=_tighter(plan.long),
        short=_tighter(plan.short),
    )
    _, effects = step(Trade(plan), Started(plan.trade_id, at_ms))
    long, short = (effect.intent for effect in effects if isinstance(effect, Place))
    intents = (
        msgspec.structs.replace(long, deadline_ms=deadline_ms),
        msgspec.structs.replace(short, deadline_ms=deadline_ms),
    )
    return Armed(plan=plan, intents=intents, at_ms=at_ms)


def _tighter(leg: LegPlan) -> LegPlan:
    room = leg.limit_ticks - leg.decision_ticks
    part = room // BOUND_SHARE if room >= 0 else -(-room // BOUND_SHARE)
    return msgspec.structs.replace(leg, limit_ticks=leg.decision_ticks + part)


def astray(armed: Armed, found: Opportunity, limits: Limits) -> str | None:
    """Why it would not do any more if the edge came now, None while it would."""
    if not in_reach(found, limits, 2 * REACH_BPS):
        return "out of reach"
    spare = max(limits.min_execution_spread_bps - limits.min_viable_spread_bps, 0.0) / 2
    share = min(spare, limits.max_slippage_bps) / BPS
    long_ticks, short_ticks = found.decision_ticks
    if armed.plan.long.limit_ticks > long_ticks * (1 + share) or armed.plan.short.limit_ticks < short_ticks * (
        1 - share
    ):
        return "beyond the bounds"
    return _unmarketable(armed.plan, found)


def wrong_guess(armed: Armed, leave: Approved, pair: Pair) -> str | None:
    """Why what is armed must not be sent by this leave, None when it may."""
    plan, found = armed.plan, leave.opportunity
    if (plan.long.market, plan.short.market) != (found.long_market, found.short_market):
        return "another pair"
    if found.mode is not Mode.SIMULTANEOUS:
        return "mode"
    if any(_changed(plan, pair, leg) for leg in Leg):
        return "facts"
    if not found.least_common_lots <= plan.common_lots <= leave.common_lots:
        return "size"
    if plan.long.limit_ticks > leave.long_limit_ticks or plan.short.limit_ticks < leave.short_limit_ticks:
        return "beyond the bounds"
    return _unmarketable(plan, found)


def _changed(plan: TradePlan, pair: Pair, leg: Leg) -> bool:
    state, lots = (pair.long, pair.long_lots) if leg is Leg.LONG else (pair.short, pair.short_lots)
    one, market = plan.leg(leg), state.market
    return (one.price_grid, one.size_grid, one.lots_per_common_lot) != (market.price_grid, market.size_grid, lots)


def _unmarketable(plan: TradePlan, found: Opportunity) -> str | None:
    long_ticks, short_ticks = found.decision_ticks
    reached = plan.long.limit_ticks >= long_ticks and plan.short.limit_ticks <= short_ticks
    return None if reached else "the price went away"


def taken_up(armed: Armed, plan: TradePlan) -> TradePlan:
    """`plan`, made of the leave to send, with the sizes and bounds that are armed."""
    return msgspec.structs.replace(
        plan,
        common_lots=armed.plan.common_lots,
        long=msgspec.structs.replace(plan.long, limit_ticks=armed.plan.long.limit_ticks),
        short=msgspec.structs.replace(plan.short, limit_ticks=armed.plan.short.limit_ticks),
    )


def entering(plan: TradePlan, at_ms: int) -> StateChanged:
    """Where a trade stands that was taken up: as core.trade.fired has it."""
    return StateChanged(
        trade_id=plan.trade_id,
        state=State.ENTERING,
        attempts_spent=0,
        due_ms=at_ms + plan.unhedged_ms_max,
        exit_reason=None,
        because="started, as armed",
        at_ms=at_ms,
    )

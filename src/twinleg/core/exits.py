"""When to leave a trade. Pure: the pair as it is now and the trade's own figures in, a reason out.

What it cost to get in is sunk, and getting out costs the same whenever it is done: a trade is held while the coming
horizon is expected to pay, and left when it is not, when it has earned what it was opened for, or when it loses too
much. With age it must earn its keep. core.switching leaves a trade for a better one; an entry that rests is called off
once its hedge costs too much.
"""

from __future__ import annotations

import msgspec

from twinleg.core.edge import BPS, CONVERGENCE_SHARE
from twinleg.core.funding import HOUR_MS
from twinleg.core.messages import MarketStatus
from twinleg.core.orders import ExitWish, Leg, State
from twinleg.core.pairs import MarketState, Pair
from twinleg.core.trade import Trade

AGE_HORIZONS = 3
"""Horizons after which a trade has not been what it was opened for, and must earn its keep to go on."""


class Standing(msgspec.Struct, frozen=True):
    """A hedged trade as it stands. Money in USD (estimates); `exit_usd` is what closing at today's prices leaves."""

    notional_usd: float
    exit_usd: float
    expected_usd: float


def further_bps(pair: Pair) -> float | None:
    """What holding over the coming horizon is expected to pay: carry, and part of the way to the usual basis."""
    if pair.prepared is None:
        return None
    if pair.basis_target_bps is None or not (pair.long.book.two_sided and pair.short.book.two_sided):
        return pair.prepared.carry_bps
    return pair.prepared.carry_bps + CONVERGENCE_SHARE * (pair.mid_basis_bps() - pair.basis_target_bps)


def exit_wish(pair: Pair, standing: Standing | None, *, stop_loss_bps: float, held_ms: int = 0) -> ExitWish | None:
    """Why to close this trade now, or None. A reason that needs figures is silent while they are unknown.

    Leaving because it pays is patient; stopping a loss or leaving a market that closes is not. `held_ms` is the time
    since its legs matched: after AGE_HORIZONS horizons MIN_VIABLE is the least that the coming one must pay.

    Without a `standing` the exit side cannot take the trade: leaving would only spend the attempts it has.
    """
    for leg in (pair.long, pair.short):
        if leg.market.status is MarketStatus.REDUCE_ONLY:
            return ExitWish(f"{leg.market.key} is reduce-only")
    if standing is None:
        return None
    made_bps = standing.exit_usd / standing.notional_usd * BPS
    if made_bps <= -stop_loss_bps:
        return ExitWish(f"stop-loss: {made_bps:.1f} bps against a limit of {-stop_loss_bps:.1f}")
    if standing.exit_usd >= max(standing.expected_usd, 0.0) and standing.exit_usd > 0:
        said = f"target: {standing.exit_usd:.4f} USD made of {standing.expected_usd:.4f} expected"
        return ExitWish(said, patient=True)
    ahead_bps = further_bps(pair)
    if ahead_bps is not None and ahead_bps < 0:
        carry_bps = pair.prepared.carry_bps if pair.prepared is not None else 0.0
        word = "funding flip" if carry_bps < 0 else "edge decay"
        return ExitWish(f"{word}: holding on is worth {ahead_bps:.1f} bps", patient=True)
    horizons = held_ms / (pair.limits.horizon_hours * HOUR_MS)
    if horizons > AGE_HORIZONS and (ahead_bps is None or ahead_bps < pair.limits.min_viable_spread_bps):
        ahead = "nobody knows what" if ahead_bps is None else f"{ahead_bps:.1f} bps is all that"
        return ExitWish(f"age: held for {horizons:.1f} horizons, and {ahead} holding on pays", patient=True)
    return None


def rest_wish(pair: Pair, trade: Trade) -> ExitWish | None:
    """Why to call off an entry that rests and has not filled, or None: its hedge could no longer be had as planned.

    What has filled is in its hedge's hands: the rest then lives out its time.
    """
    plan, first = trade.plan, trade.plan.first
    if trade.state is not State.ENTERING or first is None or not plan.rest_ms or trade.held(first):
        return None
    second = first.other
    for leg, state in ((Leg.LONG, pair.long), (Leg.SHORT, pair.short)):
        if state.market.status is not MarketStatus.OPEN:
            return ExitWish(f"entry called off: {state.market.key} is {state.market.status.value}")
        if leg is second and not _within(state, second, plan.leg(second).limit_ticks):
            return ExitWish(f"entry called off: {state.market.key} shows nothing within the hedge's limit")
    return None


def _within(state: MarketState, leg: Leg, limit_ticks: int) -> bool:
    """Whether the book shows the price that an entry of `leg` meets, and it is no worse than the limit."""
    if not (state.book.ready and state.book.two_sided):
        return False
    touch = state.book.ask_prices[0] if leg is Leg.LONG else state.book.bid_prices[-1]
    return leg.entry_side.sign * (limit_ticks - touch) >= 0

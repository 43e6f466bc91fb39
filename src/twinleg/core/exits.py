"""When to leave a hedged trade. Pure: the pair as it is now and the trade's own figures in, a reason out.

What it cost to get in is sunk, and getting out costs the same whenever it is done: a trade is held while the coming
horizon is expected to pay, and left when it is not, when it has earned what it was opened for, or when it loses too
much.
"""

from __future__ import annotations

import msgspec

from twinleg.core.edge import BPS, CONVERGENCE_SHARE
from twinleg.core.messages import MarketStatus
from twinleg.core.orders import ExitWish
from twinleg.core.pairs import Pair


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


def exit_wish(pair: Pair, standing: Standing | None, *, stop_loss_bps: float) -> ExitWish | None:
    """Why to close this trade now, or None. A reason that needs figures is silent while they are unknown.

    Leaving because it pays is patient; stopping a loss or leaving a market that closes is not.

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
    return None

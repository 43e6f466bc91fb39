"""When a trade should make room for a better one: slots and margin are used up, and what they earn could be more.

Both are compared over the same horizon, per margin: what the other trade is worth after every cost, in and out, against
what this one is still expected to earn (core.exits.further_bps). Leaving costs a second time what it would have cost
anyway, and estimates move: the gain must be SWITCH_TIMES the cost of leaving, the other must have been there for a
while, and so must this one. Only room that this trade alone takes away counts: the guard is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from twinleg.core.edge import BPS, Opportunity
from twinleg.core.exits import Standing, further_bps
from twinleg.core.funding import HOUR_MS
from twinleg.core.guard import Approved, Exposure, approve
from twinleg.core.liquidity import sweep
from twinleg.core.messages import Refusal
from twinleg.core.orders import ExitWish
from twinleg.core.pairs import Limits, Pair

SWITCH_TIMES = 2.0
"""The gain over the cost of leaving at which a switch is worth its risk: once for the cost, once against to and fro."""
ALIVE_MS_MIN = 60_000
"""How long the other must have been viable."""
HELD_MS_MIN = HOUR_MS
"""How long a trade is left in peace after its legs matched."""
WANTED_MAX = 10
"""Opportunities looked at, the most money first."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A hedged trade that could be left. `lots` are what its (long leg, short leg) hold."""

    trade_id: str
    pair: Pair
    standing: Standing
    lots: tuple[int, int]
    held_ms: int


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard goes by now: exposure with all trades, and standing reasons against any entry."""

    exposure: Exposure
    blocked: tuple[Refusal, ...] = ()


class Switch(msgspec.Struct, frozen=True):
    """Leave `trade_id` for `pair`. Until it has been entered, nothing else should take the room."""

    trade_id: str
    pair: str
    gain_usd: float
    """Over the horizon, the cost of leaving taken off (an estimate)."""
    wish: ExitWish


def switch_wish(held: Sequence[Held], wanted: Sequence[tuple[Pair, Opportunity]], room: Room) -> Switch | None:
    """The switch that gains most, or None. `wanted` are opportunities without refusals of their own, best first.

    Ask while no trade is leaving: the room that becomes free might do.
    """
    best: Switch | None = None
    for pair, opportunity in wanted[:WANTED_MAX]:
        since_ms = opportunity.alive_since_ms
        if since_ms is None or opportunity.decided_ms - since_ms < ALIVE_MS_MIN:
            continue
        if isinstance(approve(opportunity, room.exposure, pair.limits, room.blocked), Approved):
            return None
        for one in held:
            found = _switch(one, pair, opportunity, room) if one.held_ms >= HELD_MS_MIN else None
            if found is not None and (best is None or found.gain_usd > best.gain_usd):
                best = found
    return best


def _switch(one: Held, pair: Pair, opportunity: Opportunity, room: Room) -> Switch | None:
    ahead_bps, leaving_bps = further_bps(one.pair), cost_of_leaving_bps(one.pair, one.lots)
    if one.pair.key == pair.key or ahead_bps is None or leaving_bps is None:
        return None
    leave = approve(opportunity, without(room.exposure, one), pair.limits, room.blocked)
    if not isinstance(leave, Approved):
        return None
    notional_usd = one.standing.notional_usd
    share = min(1.0, _margin_usd(notional_usd, one.pair.limits) / _margin_usd(leave.notional_usd, pair.limits))
    other_usd, stays_usd = leave.expected_usd * share, notional_usd * ahead_bps / BPS
    leaving_usd = notional_usd * max(leaving_bps, 0.0) / BPS
    if other_usd - stays_usd <= SWITCH_TIMES * leaving_usd:
        return None
    said = f"switch to {pair.key}: {other_usd:.4f} USD there, {stays_usd:.4f} here, {leaving_usd:.4f} to leave"
    return Switch(one.trade_id, pair.key, other_usd - stays_usd - leaving_usd, ExitWish(said, patient=True))


def cost_of_leaving_bps(pair: Pair, lots: tuple[int, int]) -> float | None:
    """Fees and impact of closing (long leg, short leg) against the mids; None where a book or a fee is unknown."""
    if pair.prepared is None or not all(leg.book.ready and leg.book.two_sided for leg in (pair.long, pair.short)):
        return None
    sold = sweep(pair.long.book, (lots[0],), asks=False, buffer=1.0)[0]
    bought = sweep(pair.short.book, (lots[1],), asks=True, buffer=1.0)[0]
    if sold is None or bought is None:
        return None
    impact = (pair.long.book.mid_ticks - sold) * pair.long.price_unit
    impact += (bought - pair.short.book.mid_ticks) * pair.short.price_unit
    return impact / pair.mid_price * BPS + pair.prepared.fees_one_way_bps


def without(exposure: Exposure, one: Held) -> Exposure:
    """What would be at risk if that trade were closed."""
    usd, leverage = one.standing.notional_usd, one.pair.limits.leverage
    venues = {leg.market.venue for leg in (one.pair.long, one.pair.short)}

    def changed(by_venue: dict[str, float], change_usd: float) -> dict[str, float]:
        return {venue: value + (change_usd if venue in venues else 0.0) for venue, value in by_venue.items()}

    return msgspec.structs.replace(
        exposure,
        gross_usd=max(0.0, exposure.gross_usd - 2 * usd),
        by_venue_usd={venue: max(0.0, value) for venue, value in changed(exposure.by_venue_usd, -usd).items()},
        available_usd=changed(exposure.available_usd, usd / leverage),
        open_assets=exposure.open_assets - {one.pair.asset},
        open_trades=exposure.open_trades - 1,
    )


def _margin_usd(notional_usd: float, limits: Limits) -> float:
    return 2 * notional_usd / limits.leverage

"""How a trade enters: both legs at once, or one first and its partner hedging what filled.

    all-taker edge at or above AGGRESSIVE   both take: at once, or the slow venue first where the other is fast
    below, and a leg may rest               it rests post-only at its own touch for the maker fee; its partner takes
    below, and none may                     both take

Which leg rests: the one whose resting saves more bps against taking at once (its spread and impact, and taker minus
maker fee); the long one when both save the same. Only a leg whose partner fills fast may rest: a hedge must not wait.
"""

from __future__ import annotations

import math
from enum import Enum

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Leg

FAST_FILL_MS = 1_000
"""A venue that takes longer from an order's arrival to its fills is slow: nothing may wait for it unhedged."""


class Mode(Enum):
    """Which leg goes first, and whether it takes."""

    SIMULTANEOUS = "simultaneous"
    SLOW_FIRST = "slow_first"
    """Both take; the slow venue's leg goes first, the other hedges what filled."""
    MAKER_FIRST = "maker_first"
    """One leg rests post-only, the other hedges what filled."""


class Entry(msgspec.Struct, frozen=True):
    """The mode and the leg that goes first, None when both go at once."""

    mode: Mode
    first: Leg | None


class Role(Enum):
    """What an order does to a book, which decides its fee."""

    MAKER = "maker"
    TAKER = "taker"


class LegFees(msgspec.Struct, frozen=True):
    """What one leg pays in the role it enters with, and for leaving, which always takes. In bps of the notional."""

    role: Role
    in_bps: float
    out_bps: float


AT_ONCE = Entry(Mode.SIMULTANEOUS, None)
RESTING = {leg: Entry(Mode.MAKER_FIRST, leg) for leg in Leg}
SLOW = {leg: Entry(Mode.SLOW_FIRST, leg) for leg in Leg}


def both_take(long: Market, short: Market) -> Entry:
    """How two takers enter: at once, unless one venue alone is slow, whose fill then comes first."""
    if is_fast(long) is is_fast(short):
        return AT_ONCE
    return SLOW[Leg.SHORT if is_fast(long) else Leg.LONG]


def rest_saves_bps(market: Market, partner: Market) -> float:
    """What the maker fee saves against the taker fee (negative when it is dearer); -inf when the leg may not rest."""
    if not market.post_only or market.maker_fee_bps is None or market.taker_fee_bps is None or not is_fast(partner):
        return -math.inf
    return market.taker_fee_bps - market.maker_fee_bps


def leg_fees(market: Market, role: Role) -> LegFees:
    """The fees of a leg that enters in `role`. They must be known."""
    entry_bps = market.taker_fee_bps if role is Role.TAKER else market.maker_fee_bps
    assert entry_bps is not None, "a leg enters in no role whose fee is unknown"
    assert market.taker_fee_bps is not None, "refused as missing before"
    return LegFees(role, entry_bps, market.taker_fee_bps)


def is_fast(market: Market) -> bool:
    return market.taker_delay_ms <= FAST_FILL_MS

"""What closes a position: which order, at which bound, under which name. Pure.

    position read --> reference (touch, else the venue's mark, else its entry) --> bound, wider step by step --> intent

Flatten needs no journal, so its orders are named apart from every trade's: the last numbers that trades could have are
kept for it, and the token of the account's lease, which grows with every process that takes it, says which of them.
"""

from __future__ import annotations

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce, client_id, trade_id, trade_number
from twinleg.core.trading import ATTEMPTS_MAX, TRADE_NUMBER_MAX, PositionSeen

BPS = 10_000
NUMBERS = 1 << 20
FIRST_NUMBER = TRADE_NUMBER_MAX + 1 - NUMBERS
"""From here on trade numbers are flatten's; no journal may number its trades so far."""
NUMBERS_PER_LEASE = 16
ORDERS_PER_LEASE = NUMBERS_PER_LEASE * len(Leg) * ATTEMPTS_MAX
"""Orders that one process may send; the names come round again after NUMBERS / NUMBERS_PER_LEASE = 65,536 leases."""


class Reference(msgspec.Struct, frozen=True):
    """The price, in ticks, that bounds are measured from, and what it is."""

    ticks: int
    what: str


class OutOfNamesError(RuntimeError):
    """This process has sent as many flattening orders as it has names for: the next one has new ones."""


def name_of(token: int, count: int) -> tuple[str, Leg, int]:
    """Trade, leg and attempt that name the order `count` of the process with that lease. Raises OutOfNamesError."""
    if not 0 <= count < ORDERS_PER_LEASE:
        raise OutOfNamesError(f"{ORDERS_PER_LEASE} flattening orders were sent: start again for more")
    rest, attempt = divmod(count, ATTEMPTS_MAX)
    number, leg_index = divmod(rest, len(Leg))
    block = token * NUMBERS_PER_LEASE % NUMBERS
    return trade_id(FIRST_NUMBER + block + number), list(Leg)[leg_index], attempt


def is_flattening(order: str) -> bool:
    """Whether a client id names an order of flatten's."""
    return trade_number(order.partition("-")[0]) >= FIRST_NUMBER


def closing_side(lots: int) -> Side:
    """The side that takes a signed position away."""
    return Side.SELL if lots > 0 else Side.BUY


def reference(position: PositionSeen, market: Market, touch_ticks: int | None) -> Reference | None:
    """The best known price to measure from, None when nothing is known."""
    if touch_ticks is not None and touch_ticks > 0:
        return Reference(touch_ticks, "touch")
    if position.entry_price is None or round(position.entry_price) <= 0:
        return None
    if position.unrealised_usd is not None and position.lots:
        unit = float(market.price_grid.unit * market.size_grid.unit)
        mark = round(position.entry_price + position.unrealised_usd / (position.lots * unit))
        if mark > 0:
            return Reference(mark, "mark")
    return Reference(round(position.entry_price), "entry")


def bound_bps(step: int, steps: int, widest_bps: int) -> int:
    """How far beyond the reference step `step` (from 0) may go; the last of `steps` and all after it go farthest."""
    return widest_bps * min(step + 1, steps) // steps


def bound_ticks(side: Side, reference_ticks: int, bps: int) -> int:
    """The worst price of an order that goes so far beyond the reference: never beyond it by rounding."""
    if side is Side.BUY:
        return reference_ticks * (BPS + bps) // BPS
    return max(1, -(-reference_ticks * (BPS - bps) // BPS))


def closing_intent(
    position: PositionSeen, name: tuple[str, Leg, int], limit_ticks: int, reference_ticks: int, deadline_ms: int
) -> Intent:
    """The reduce-only order that closes all of it, as far as the limit lets it."""
    trade, leg, attempt = name
    return Intent(
        trade_id=trade,
        leg=leg,
        attempt=attempt,
        client_id=client_id(trade, leg, attempt),
        venue=position.venue,
        market=position.market,
        side=closing_side(position.lots),
        size_lots=abs(position.lots),
        limit_ticks=limit_ticks,
        reduce_only=True,
        time_in_force=TimeInForce.IOC,
        purpose=Purpose.FLATTEN,
        deadline_ms=deadline_ms,
        decision_price_ticks=reference_ticks,
    )

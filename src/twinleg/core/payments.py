"""Funding as a venue has paid it, booked to the trades that it was paid for. Pure.

A venue pays by market and account, not by trade, and by its own view of who held what at the instant: fills that
reached us late make no difference to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from twinleg.core.funding import HOUR_MS, settlement_instant
from twinleg.core.ledger import Ledger, TradeAccount
from twinleg.core.orders import Leg
from twinleg.core.records import FundingBooked
from twinleg.core.trading import FundingPaid

LATE_MS = 2 * HOUR_MS
"""A payment is looked for so long after its instant, or after its trade was closed."""


def bookings(ledger: Ledger, paid: FundingPaid, interval_ms: int, price: float, at_ms: int) -> list[FundingBooked]:
    """What one payment means for the trades that had its market open at its instant, by the lots they held then.

    The parts add up to the payment. Empty when it is booked already, or is none of ours. `price` is an estimate that is
    only kept.
    """
    instant_ms = settlement_instant(paid.settled_at_ms, interval_ms)
    there = [
        (account, leg)
        for account, leg in _legs(ledger)
        if account.trade.plan.leg(leg).market == paid.market and _open_at(account, instant_ms)
    ]
    if not there or any(instant_ms in account.leg(leg).settlements for account, leg in there):
        return []
    lots = [account.leg(leg).held_at(instant_ms) for account, leg in there]
    if not any(lots):
        lots = [1] * len(lots)
    return [
        FundingBooked(
            trade_id=account.trade.plan.trade_id,
            leg=leg,
            market=paid.market,
            rate_per_hour=paid.rate_per_hour or 0.0,
            interval_hours=interval_ms / HOUR_MS,
            price=price,
            amount_micro_usd=amount,
            settled_at_ms=instant_ms,
            at_ms=at_ms,
        )
        for (account, leg), amount in zip(there, _parts(paid.amount_micro_usd, lots), strict=True)
    ]


def owed(ledger: Ledger, venue: str, interval_ms: int, now_ms: int) -> bool:
    """Whether a trade held something there at the last instant, and the payment for it has not been booked."""
    instant_ms = settlement_instant(now_ms, interval_ms)
    return now_ms - instant_ms < LATE_MS and any(
        account.leg(leg).held_at(instant_ms) and instant_ms not in account.leg(leg).settlements
        for account, leg in _legs(ledger)
        if account.trade.plan.leg(leg).venue == venue
    )


def _legs(ledger: Ledger) -> Iterable[tuple[TradeAccount, Leg]]:
    return ((account, leg) for account in ledger.trades.values() for leg in Leg)


def _open_at(account: TradeAccount, instant_ms: int) -> bool:
    return account.planned_at_ms <= instant_ms and (account.closed_at_ms is None or account.closed_at_ms >= instant_ms)


def _parts(amount: int, weights: list[int]) -> list[int]:
    """Whole micro-dollars by weight; the last takes what rounding leaves."""
    total, parts = sum(weights), [amount * weight // sum(weights) for weight in weights]
    assert total > 0
    return [*parts[:-1], amount - sum(parts[:-1])]

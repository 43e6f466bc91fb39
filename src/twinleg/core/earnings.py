"""When, where and by what money was made: the journal's money cut into pieces that add up to the ledger's, exactly.

What is still held counts at what it cost: its fees, funding and slippage are booked, its price has moved by nothing
beyond that. So a piece never changes once it is booked, and no price from outside is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from twinleg.core.ledger import Ledger, LegAccount
from twinleg.core.orders import Leg, LegPlan
from twinleg.core.records import FillSeen, ForceSeen, FundingBooked, JournalRecord, Resolved


class Money(msgspec.Struct, frozen=True):
    """Micro-dollars: price + slippage + funding - fees = net, exactly. A negative slippage is a cost."""

    realised_micro_usd: int = 0
    """Price and slippage together, against the average entry price."""
    slippage_micro_usd: int = 0
    funding_micro_usd: int = 0
    fees_micro_usd: int = 0
    volume_micro_usd: int = 0
    """Notional traded, both ways."""

    @property
    def price_micro_usd(self) -> int:
        return self.realised_micro_usd - self.slippage_micro_usd

    @property
    def net_micro_usd(self) -> int:
        return self.realised_micro_usd + self.funding_micro_usd - self.fees_micro_usd

    def __add__(self, other: Money) -> Money:
        return Money(*(a + b for a, b in zip(_parts(self), _parts(other), strict=True)))

    def __sub__(self, other: Money) -> Money:
        return Money(*(a - b for a, b in zip(_parts(self), _parts(other), strict=True)))


class Piece(NamedTuple):
    """What one record booked on one leg. `at_ms` is when it happened: of a settlement, its instant."""

    at_ms: int
    trade_id: str
    asset: str
    venue: str
    money: Money


def pieces(records: Iterable[JournalRecord], ledger: Ledger) -> Iterator[Piece]:
    """Fold the records into `ledger`, and give what each of them booked. Raises LedgerError."""
    for record in records:
        if not isinstance(record, FillSeen | ForceSeen | FundingBooked | Resolved):
            ledger.apply(record)
            continue
        known = ledger.trades.get(record.trade_id)
        before = {leg: _at_cost(known.leg(leg), leg, known.trade.plan.leg(leg)) for leg in Leg} if known else {}
        account = ledger.apply(record)
        assert account is not None, "these records are of a trade"
        plan = account.trade.plan
        for leg in Leg:
            booked = _at_cost(account.leg(leg), leg, plan.leg(leg)) - before[leg]
            if booked != Money():
                yield Piece(_happened_ms(record), plan.trade_id, plan.asset, plan.leg(leg).venue, booked)


def _at_cost(account: LegAccount, leg: Leg, plan: LegPlan) -> Money:
    made = account.pnl(leg, plan, None)
    return Money(
        realised_micro_usd=made.realised_micro_usd,
        slippage_micro_usd=made.slippage_micro_usd,
        funding_micro_usd=made.funding_micro_usd,
        fees_micro_usd=made.fees_micro_usd,
        volume_micro_usd=made.volume_micro_usd,
    )


def _happened_ms(record: FillSeen | ForceSeen | FundingBooked | Resolved) -> int:
    match record:
        case FillSeen(fill=fill):
            return fill.at_ms
        case FundingBooked(settled_at_ms=settled_at_ms):
            return settled_at_ms
        case ForceSeen(forced=forced):
            return forced.at_ms
        case Resolved(at_ms=at_ms):
            return at_ms


def _parts(money: Money) -> tuple[int, int, int, int, int]:
    return (
        money.realised_micro_usd,
        money.slippage_micro_usd,
        money.funding_micro_usd,
        money.fees_micro_usd,
        money.volume_micro_usd,
    )

"""Asks every venue at start and every few seconds what it has, and stands in the way of entries until that is clear.

    positions, orders, fills --read through the gates--> core.reconcile.compare --> findings --> refusals, in `blocked`
                                                                                      |--> what a trade must hear
                                                                                      |--> orders read back, cancelled

Only entries are ever stopped: whatever is ambiguous, what reduces goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from twinleg.core.flattening import is_flattening
from twinleg.core.ledger import Ledger
from twinleg.core.messages import Market, Refusal
from twinleg.core.orders import PositionRead, trade_number
from twinleg.core.reconcile import (
    SHOWN_ONLY,
    Finding,
    Kind,
    Listing,
    Patience,
    compare,
    net_deltas_usd,
    position_reads,
    refusals,
    refused_markets,
)
from twinleg.core.trading import IN_DOUBT, AccountRead, AccountSnapshot, Incident
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.gate import VenueGate
from twinleg.runtime.known import LAG_MS
from twinleg.runtime.ports import Clock

LOG = logging.getLogger("twinleg.reconcile")

HISTORY_MS = 3_600_000
"""How far back the first listing of fills reaches, or to the plan of the oldest trade with an order open."""
OVERLAP_MS = 2 * LAG_MS
"""How far later listings of fills reach back before the last: what the venue listed late is not missed."""
POLL_S = 0.25
QUERIES_MAX = 10
"""Orders read back or cancelled per venue and round; the others have their turn in the next."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Three listings per venue and round come out of its request budget: `every_ms` is to be chosen by that."""

    grace_ms: int
    every_ms: int
    stale_ms: int
    net_delta_max_usd: float


class Sight(NamedTuple):
    """What the engine knows of the markets, by key."""

    facts: Mapping[str, Market]
    price: Callable[[str], float | None]
    """In quote currency per unit that the venue lists (an estimate), None when unknown."""


class Reconciler:
    """All venues of one process against its ledger. `run` asks on and on; `findings` and `blocked` are the outcome."""

    def __init__(
        self,
        ledger: Ledger,
        gates: Mapping[str, VenueGate],
        clock: Clock,
        terms: Terms,
        sight: Sight,
        tell: Callable[[PositionRead], None],
    ) -> None:
        """`tell` takes what a trade's machine must hear. The gates are told of every order that the ledger has."""
        self._ledger, self._gates, self._clock = ledger, gates, clock
        self._terms, self._sight, self._tell = terms, sight, tell
        self.findings: tuple[Finding, ...] = ()
        self.positions: dict[str, int] = {}
        """Signed lots by market as the venues last showed them, external ones included."""
        self.highest_number = 0
        """The highest number of a trade that any order was named after, in the venues' lists."""
        self._complete_ms: dict[str, int] = {}
        self._hurried = False
        for account in ledger.trades.values():
            for order in account.trade.orders:
                if order.intent.venue in gates:
                    gates[order.intent.venue].expect(order.intent, over=order.settled)

    # -- what stands in the way of entries ----------------------------------------------------------------------------

    def blocked(self, now_ms: int) -> tuple[Refusal, ...]:
        """Why nothing may be opened at all."""
        found = [*refusals(self.findings)]
        for venue, gate in self._gates.items():
            seen_ms = self._complete_ms.get(venue)
            if seen_ms is None:
                found.append(Refusal("reconcile_pending", f"{venue} has not been compared with the ledger yet"))
            elif now_ms - seen_ms > self._terms.stale_ms:
                detail = f"{venue} was last compared with the ledger that many ms ago"
                found.append(Refusal("reconcile_stale", detail, float(now_ms - seen_ms), float(self._terms.stale_ms)))
            for key, numbers in gate.foreign.items():
                detail = f"key {key} of {venue} is used by another process: that many numbers are gone"
                found.append(Refusal("foreign_key", detail, float(numbers), 0.0))
        return tuple(found)

    def refused_markets(self) -> dict[str, Refusal]:
        """Why nothing may be opened in a market, by market."""
        return refused_markets(self.findings)

    def refused_assets(self) -> dict[str, Refusal]:
        """Why nothing may be opened in an asset, by asset: its net delta over all venues, or that it is unknown."""
        prices = {key: price for key in self.positions if (price := self._sight.price(key)) is not None}
        limit, found = self._terms.net_delta_max_usd, {}
        for asset, delta in net_deltas_usd(self.positions, self._sight.facts, prices).items():
            if delta is None:
                found[asset] = Refusal(
                    "net_delta", f"what {asset} is held for is unknown: a price is missing", None, limit
                )
            elif abs(delta) > limit:
                found[asset] = Refusal("net_delta", f"net position in {asset}, in USD", delta, limit)
        return found

    # -- asking --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Compare for ever, `every_ms` after the comparison before. Raises what our own code raises."""
        while True:
            self._hurried = False
            await self.compare()
            due_ns = self._clock.mono_ns() + self._terms.every_ms * 1_000_000
            while not self._hurried and self._clock.mono_ns() < due_ns:
                await self._clock.sleep(POLL_S)

    def hurry(self) -> None:
        """Something may have been missed: do not wait for the next round."""
        self._hurried = True

    @property
    def complete(self) -> bool:
        """Every venue has been compared with the ledger since the start."""
        return self._complete_ms.keys() >= self._gates.keys()

    async def compare(self) -> None:
        """One round: every venue at once, then what they say against the ledger."""
        listings = await asyncio.gather(*(self._listing(gate) for gate in self._gates.values()))
        now_ms = self._clock.wall_ms()
        patience = Patience(self._terms.grace_ms, LAG_MS)
        known = {(one.kind, one.subject) for one in self.findings if one.lasting}
        self.findings = compare(self._ledger, listings, self.findings, patience, now_ms)
        for listing in listings:
            self._note_numbers(listing)
            if listing.complete:
                self._complete_ms[listing.venue] = listing.at_ms
            if listing.positions is not None:
                self._note_positions(listing)
        for one in self.findings:
            if one.lasting and one.kind not in SHOWN_ONLY and (one.kind, one.subject) not in known:
                LOG.critical("%s: %s", one.kind.value, one.detail)
        self._act(now_ms)

    def _act(self, now_ms: int) -> None:
        """What may be done without deciding anything: trades hear what venues show, open fates are read back, and
        orders that are over but listed as open are cancelled."""
        for event in position_reads(self._ledger, self.findings, now_ms):
            self._tell(event)
        for venue, gate in self._gates.items():
            lasting = [one for one in self.findings if one.venue == venue and one.lasting]
            known = [one for one in lasting if gate.knows(one.subject)]
            for one in [one for one in known if one.kind is Kind.FATE_OPEN][:QUERIES_MAX]:
                gate.query(one.subject, now_ms)
            for one in [one for one in known if one.kind is Kind.CONTRADICTED][:QUERIES_MAX]:
                gate.cancel(one.subject, now_ms)

    async def _listing(self, gate: VenueGate) -> Listing:
        at_ms, venue = self._clock.wall_ms(), gate.venue
        trouble: list[str] = []
        fills_since_ms = self._fills_since_ms(venue.name, at_ms)
        fills = await _snapshot(gate, "fills", venue.fills(fills_since_ms, at_ms), trouble)
        if fills is not None and fills.since_ms is not None and fills.since_ms > fills_since_ms:
            trouble.append(f"fills: complete only from {fills.since_ms} on, asked for from {fills_since_ms} on")
            fills = None
        orders = await _snapshot(gate, "orders", venue.open_orders(self._clock.wall_ms()), trouble)
        positions = await _snapshot(gate, "positions", venue.positions(self._clock.wall_ms()), trouble)
        return Listing(
            venue=venue.name,
            fills=None if fills is None else fills.rows,  # type: ignore[arg-type]
            orders=None if orders is None else orders.rows,  # type: ignore[arg-type]
            positions=None if positions is None else positions.rows,  # type: ignore[arg-type]
            trouble=tuple(trouble),
            at_ms=at_ms,
        )

    def _fills_since_ms(self, venue: str, now_ms: int) -> int:
        """From before the last complete listing; every open order's fills are asked for in any case."""
        seen_ms = self._complete_ms.get(venue)
        since_ms = now_ms - HISTORY_MS if seen_ms is None else seen_ms - OVERLAP_MS
        planned_ms = [account.planned_at_ms for account in self._ledger.open_trades() if account.trade.unsettled]
        return min([since_ms, *planned_ms])

    def _note_numbers(self, listing: Listing) -> None:
        named = [row.client_id for row in listing.orders or ()] + [row.client_id for row in listing.fills or ()]
        trades = [client_id.partition("-")[0] for client_id in named if client_id and not is_flattening(client_id)]
        self.highest_number = max([self.highest_number, *map(trade_number, trades)])

    def _note_positions(self, listing: Listing) -> None:
        of_venue = {row.market: row.lots for row in listing.positions or ()}
        others = {key: lots for key, lots in self.positions.items() if key.partition(":")[0] != listing.venue}
        self.positions = others | {key: lots for key, lots in of_venue.items() if lots}


async def _snapshot(gate: VenueGate, kind: str, read: AccountRead, trouble: list[str]) -> AccountSnapshot | None:
    """The listing of that kind, or None and why."""
    events = await gate.read(read)
    if isinstance(events, Unread):
        trouble.append(f"{kind}: {events.reason}")
        return None
    found = [one for one in events if isinstance(one, AccountSnapshot) and one.kind == kind]
    doubts = [one.detail for one in events if isinstance(one, Incident) and one.kind == IN_DOUBT]
    if doubts or not found:
        trouble.append(f"{kind}: {'; '.join(doubts) or 'the answer holds no listing'}")
        return None
    return found[-1]

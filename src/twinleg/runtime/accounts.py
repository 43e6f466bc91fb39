"""Our accounts at the venues: their gates, their private streams, what they hold, and what stands in entries' way.

private streams, listings -> gates -+- order events ----------> desk
                                    +- everything else -------> here: balances, fees, leverage, forced deals
every few seconds: the venues' lists against the ledger (reconcile), balances, the dead man's switch
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec

from twinleg.core.board import Board
from twinleg.core.funding import HOUR_MS
from twinleg.core.messages import FeedHealth, MarketEvent, Refusal, StreamState
from twinleg.core.orders import Leg, PositionForced
from twinleg.core.pairs import Pair
from twinleg.core.payments import bookings, owed
from twinleg.core.reconcile import Kind
from twinleg.core.trading import (
    IN_DOUBT,
    AccountEvent,
    BalanceSeen,
    ExecutionSeen,
    FeesSeen,
    FundingPaid,
    Incident,
    LeverageSeen,
    TradingVenue,
)
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.books import Books
from twinleg.runtime.dead_man import DeadMan
from twinleg.runtime.desk import Desk
from twinleg.runtime.gate import VenueGate
from twinleg.runtime.leverage import LeverageRead, Leverages
from twinleg.runtime.reconcile import Reconciler, Sight, Terms
from twinleg.runtime.streams import Doors, StreamRunner

LOG = logging.getLogger("twinleg.accounts")

INCIDENT_MS = 60_000
"""For this long after a venue's incident, nothing is opened there."""
BALANCE_MISSED_MAX = 3
"""A balance older than this many of its intervals is not known."""
FEES_EVERY_MS = 3_600_000
FEES_RETRY_MS = 5_000
ENTRY_REQUESTS = 4
"""An entry's order, and what it takes to settle a doubt about it."""
FORCED_KEPT = 10_000
"""Forced deals remembered: more than any listing shows."""
PAID_AFTER_MS, PAID_RETRY_MS, PAID_MAX = 10_000, 30_000, 1_000
"""Payments are asked for this long after their instant, again after that long, and so many are kept until booked."""
UPKEEP_S = 1.0
WAIT_S = 0.05
NUMBERS_SINCE_MS = 1_767_225_600_000
"""2026-01-01: a new journal begins at the tens of seconds since then, so that it does not name orders
as an earlier journal did. At one in ten seconds, armed ones included, the numbers last to the end of 2030."""
NUMBER_EVERY_MS = 10_000
OLDER_JOURNAL = (
    "the venues know orders of a later trade than this journal's next: it is an older copy, and orders' names would "
    "come again. Put the newest journal back, or `twinleg flatten` and begin a new one in another TWINLEG_DATA_DIR"
)
FINAL_S = 5.0
"""At the end, so long for the last words to the venues."""


class Fence(Protocol):
    """The right to trade one account; see runtime.lease.Lease."""

    def lost(self) -> str | None:
        """Why this process must not send any more."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """How the accounts are kept."""

    balance_every_ms: int
    reconcile: Terms
    leverage_of: Callable[[str], float]
    """Wanted, by asset."""


class Post(NamedTuple):
    """One account: its gate, the streams that tell of it, and the right to trade it."""

    gate: VenueGate
    runners: list[StreamRunner]
    fence: Fence


class Accounts:
    """See the head of this file. Made by wiring, which gives it the desk afterwards."""

    def __init__(self, board: Board, books: Books, doors: Doors, upkeep: Upkeep, leverage_read: LeverageRead) -> None:
        self._board, self._books, self._doors, self._upkeep = board, books, doors, upkeep
        self._ledger = books.ledger
        self._leverage_read = leverage_read
        self.posts: dict[str, Post] = {}
        self.balances: dict[str, BalanceSeen] = {}
        self._balance_ms: dict[str, int] = {}
        """When each was last told, by our clock."""
        self._paid: deque[FundingPaid] = deque(maxlen=PAID_MAX)
        """Told, and not looked at yet."""
        self.incidents: deque[Incident] = deque(maxlen=100)
        self._forced_ids: dict[str, None] = {}
        self.dead_men: dict[str, DeadMan] = {}
        self._fees_due_ms: dict[str, int] = {}
        self._fees_known: set[str] = set()
        self._down: dict[str, str] = {}

    def take(
        self, gate: VenueGate, fence: Fence, runner_for: Callable[[Any, Callable[..., None]], StreamRunner]
    ) -> None:
        """One more account. `runner_for` makes the runner of a private stream with that sink."""
        venue = gate.venue
        sink = partial(self._from_stream, gate)
        runners = [runner_for(feed, sink) for feed in venue.account_feeds(list(self._board.facts.values()))]
        self._down[venue.name] = "not connected yet"
        self.posts[venue.name] = Post(gate, runners, fence)

    def begin(self, desk: Desk) -> None:
        """All accounts are there, and the desk that trades on them."""
        self._desk, clock = desk, self._doors.clock
        sight = Sight(self._board.facts, self._board.reference_price)
        self.gates = {venue: post.gate for venue, post in self.posts.items()}
        self.reconciler = Reconciler(self._ledger, self.gates, clock, self._upkeep.reconcile, sight, desk.hear)
        self.leverages = Leverages(self.gates, clock, self._upkeep.leverage_of, self._leverage_read)
        self.dead_men = {
            venue: DeadMan(gate, clock, partial(self._others, venue)) for venue, gate in self.gates.items()
        }

    # -- what stands in the way of entries ----------------------------------------------------------------------------

    def blocked(self, now_ms: int) -> tuple[Refusal, ...]:
        """Why nothing may be opened at all."""
        found = [*self.reconciler.blocked(now_ms)]
        if self._ledger.first_number == 1 and not self._ledger.planned:
            found.append(Refusal("numbering", "where this journal's numbering begins is not settled yet"))
        elif self.reconciler.highest_number >= self._ledger.next_number:
            found.append(Refusal("numbering", OLDER_JOURNAL, self.reconciler.highest_number, self._ledger.next_number))
        for venue, post in self.posts.items():
            found += self._blocked_at(venue, post, now_ms)
        return tuple(found)

    def _blocked_at(self, venue: str, post: Post, now_ms: int) -> list[Refusal]:
        found = []
        if (lost := post.fence.lost()) is not None:
            found.append(Refusal("lease", lost))
        if venue in self._down:
            found.append(Refusal("account_stream", f"{venue}'s account stream: {self._down[venue]}"))
        age_max_ms = BALANCE_MISSED_MAX * self._upkeep.balance_every_ms
        told_ms = self._balance_ms.get(venue)
        if told_ms is None:
            found.append(Refusal("balance_unknown", f"{venue} has not told the account's balance yet"))
        elif now_ms - told_ms > age_max_ms:
            found.append(Refusal("balance_stale", f"{venue}'s balance is old", now_ms - told_ms, age_max_ms))
        if venue not in self._fees_known:
            found.append(Refusal("fees_unknown", f"{venue} has not told the account's fees yet"))
        recent = [one for one in self.incidents if one.venue == venue and now_ms - one.at_ms < INCIDENT_MS]
        if recent:
            found.append(Refusal("incident", f"{venue}: {recent[-1].kind}: {recent[-1].detail}"))
        return found

    def against(self, pair: Pair) -> tuple[Refusal, ...]:
        """Why nothing may be opened in this pair. A leverage that is not set yet is being set from here on."""
        markets = self.reconciler.refused_markets()
        legs = [leg.market for leg in (pair.long, pair.short)]
        found = [markets[leg.key] for leg in legs if leg.key in markets]
        found += [one for asset, one in self.reconciler.refused_assets().items() if asset == pair.asset]
        found += [one for leg in legs if (one := self._unable(leg.venue)) is not None]
        if not found:
            found += [one for leg in legs if (one := self.leverages.against(leg, pair.asset)) is not None]
        return tuple(found)

    def _unable(self, venue: str) -> Refusal | None:
        """Why an entry there could not be seen through: nobody signs, or its orders would wait for the budget."""
        post = self.posts.get(venue)
        if post is None:
            return Refusal("no_keys", f"there are no keys for {venue}")
        if not post.gate.has_room(ENTRY_REQUESTS):
            return Refusal("request_budget", f"{venue}'s request budget has no room for an entry", None, ENTRY_REQUESTS)
        return None

    def external(self) -> dict[str, int]:
        """Signed lots by market that no trade of ours explains, as the venues last showed."""
        shown, ours = self.reconciler.positions, self._ledger.positions()
        lots = {market: shown.get(market, 0) - ours.get(market, 0) for market in shown}
        return {market: held for market, held in lots.items() if held}

    def _others(self, venue: str) -> str | None:
        """Whose orders a cancel of everything would hit."""
        if not self.reconciler.complete:
            return "the venue's orders are not known yet"
        external = [one for one in self.reconciler.findings if one.venue == venue and one.kind is Kind.EXTERNAL_ORDER]
        return f"{len(external)} orders on the account are not ours" if external else None

    # -- what the venues tell -----------------------------------------------------------------------------------------

    def _from_stream(self, gate: VenueGate, events: Sequence[MarketEvent | AccountEvent]) -> None:
        """The sink of a private stream."""
        told: list[AccountEvent] = []
        for event in events:
            if isinstance(event, FeedHealth):
                self._health(event)
            else:
                told.append(event)  # type: ignore[arg-type]  # a private stream tells nothing else
        if told:
            gate.account(told)

    def _health(self, event: FeedHealth) -> None:
        self._board.apply(event)
        if event.state is StreamState.LIVE:
            self._down.pop(event.venue, None)
            self._catch_up(event.venue)
        elif event.state is not StreamState.DEGRADED:
            self._down[event.venue] = f"{event.state.value} {event.reason}".rstrip()

    def heard(self, event: AccountEvent) -> None:
        """What a gate hears that is not of our orders."""
        match event:
            case BalanceSeen():
                self.balances[event.venue] = event
                self._balance_ms[event.venue] = self._doors.clock.wall_ms()
            case FeesSeen():
                self._board.charge(event)
                self._fees_known.add(event.venue)
            case LeverageSeen():
                self.leverages.note(event)
            case FundingPaid():
                self._paid.append(event)
            case Incident(kind=kind, venue=venue) if kind == IN_DOUBT:
                self._catch_up(venue)
            case Incident():
                LOG.critical("%s: %s: %s", event.venue, event.kind, event.detail)
                self.incidents.append(event)
            case ExecutionSeen(forced=str()):
                self._forced(event)

    def _catch_up(self, venue: str) -> None:
        """Something may have been missed there: read back what is open, and compare everything."""
        self.reconciler.hurry()
        now_ms = self._doors.clock.wall_ms()
        for account in self._ledger.open_trades():
            for order in account.trade.unsettled:
                if order.intent.venue == venue and self.gates[venue].knows(order.intent.client_id):
                    self.gates[venue].query(order.intent.client_id, now_ms)

    def _forced(self, seen: ExecutionSeen) -> None:
        """The venue reduced a position without us: the trade that alone holds it must know at once. Told again with
        every reading of the fills."""
        if seen.fill_id in self._forced_ids:
            return
        self._forced_ids[seen.fill_id] = None
        if len(self._forced_ids) > FORCED_KEPT:
            del self._forced_ids[next(iter(self._forced_ids))]
        LOG.critical("%s: %s of %d lots of %s", seen.venue, seen.forced, seen.size_lots, seen.market)
        self.reconciler.hurry()
        if any(seen.fill_id in one.trade.force_ids for one in self._ledger.trades.values()):
            return  # listings tell it again
        there = [one.trade.plan for one in self._ledger.open_trades() if one.planned_at_ms <= seen.at_ms]
        legs = [(plan.trade_id, leg) for plan in there for leg in Leg if plan.leg(leg).market == seen.market]
        if len(legs) != 1:
            return
        trade_id, leg = legs[0]
        forced = PositionForced(
            trade_id=trade_id,
            leg=leg,
            force_id=seen.fill_id,
            price_ticks=seen.price_ticks,
            size_lots=seen.size_lots,
            fee_micro_usd=seen.fee_micro_usd,
            reason=seen.forced or "forced",
            at_ms=self._doors.clock.wall_ms(),
        )
        self._desk.hear(forced)

    # -- for ever -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the accounts. Raises what our own code raises."""
        async with asyncio.TaskGroup() as group:
            for venue, post in self.posts.items():
                group.create_task(self._run_at(venue, post))
            await self._until(lambda: bool(self._board.facts))
            group.create_task(self.reconciler.run())
            group.create_task(self._begin_numbering())

    async def _run_at(self, venue: str, post: Post) -> None:
        """One account, from the moment on that its venue has listed its markets: nothing private is read without."""
        await self._until(lambda: any(market.venue == venue for market in self._board.facts.values()))
        await post.gate.warm()
        async with asyncio.TaskGroup() as group:
            for runner in post.runners:
                group.create_task(runner.run())
            group.create_task(self._keep(venue, post.gate))
            group.create_task(self.dead_men[venue].run())

    async def _until(self, come: Callable[[], bool]) -> None:
        while not come():
            await self._doors.clock.sleep(WAIT_S)

    async def _keep(self, venue: str, gate: VenueGate) -> None:
        """Balance and fees, read now and again."""
        clock, due_ms, paid_due_ms = self._doors.clock, 0, 0
        while True:
            if self.leverages.failure is not None:
                raise self.leverages.failure
            now_ms = clock.wall_ms()
            if now_ms >= due_ms:
                await gate.read(gate.venue.balance(now_ms))
                due_ms = now_ms + self._upkeep.balance_every_ms
            if now_ms >= self._fees_due_ms.get(venue, 0):
                await self._ask_fees(venue, gate.venue, gate)
            if now_ms >= paid_due_ms and owed(self._ledger, venue, HOUR_MS, now_ms - PAID_AFTER_MS):
                await gate.read(gate.venue.funding_paid(now_ms))
                paid_due_ms = now_ms + PAID_RETRY_MS
            await self._book_paid()
            await clock.sleep(UPKEEP_S)

    async def _book_paid(self) -> None:
        """What the venues paid, to the trades it was paid for."""
        while self._paid:
            paid = self._paid.popleft()
            market = self._board.facts.get(paid.market)
            if market is not None:
                price = self._board.reference_price(paid.market) or 0.0
                interval_ms, now_ms = market.funding_interval_ms, self._doors.clock.wall_ms()
                await self._books.persist(*bookings(self._ledger, paid, interval_ms, price, now_ms))

    async def _ask_fees(self, venue: str, trader: TradingVenue, gate: VenueGate) -> None:
        now_ms = self._doors.clock.wall_ms()
        read = trader.fees(now_ms)
        answer = None if read is None else await gate.read(read)
        if read is None:
            self._fees_known.add(venue)
        self._fees_due_ms[venue] = now_ms + (FEES_RETRY_MS if isinstance(answer, Unread) else FEES_EVERY_MS)

    async def _begin_numbering(self) -> None:
        """A journal without trades begins above every number that the venues know of."""
        await self._until(lambda: self.reconciler.complete)
        if self._ledger.planned or self._ledger.first_number > 1:
            return
        first = (self._doors.clock.wall_ms() - NUMBERS_SINCE_MS) // NUMBER_EVERY_MS
        await self._desk.number_from(max(first, self.reconciler.highest_number + 1, 2))

    async def close(self) -> None:
        """Let go of the switches and the accounts, in bounded time, whatever fails."""
        self.leverages.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(FINAL_S):
                await asyncio.gather(*(one.disarm() for one in self.dead_men.values()), return_exceptions=True)
        for post in self.posts.values():
            await post.gate.close()
            post.fence.release()

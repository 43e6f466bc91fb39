"""The spine: every market event comes in here, and this is the way it takes.

    1. the board changes                           core/board.py, core/book.py
    2. the pairs it moved are judged               core/edge.py
    3. the guard gives leave, or says why not      core/guard.py
    4. the desk plans, writes, sends               runtime/desk.py, core/hedge.py, runtime/journal.py

Everything here runs on the event loop's thread, in the call that brought the event. Nothing waits.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from twinleg.core.board import VANISHED, Board
from twinleg.core.book import Book
from twinleg.core.edge import Opportunity
from twinleg.core.guard import Approved, approve
from twinleg.core.messages import BookDelta, FundingSettled, MarketEvent, MarketStatus, Refusal
from twinleg.core.move import Quote, Quotes
from twinleg.core.orders import Leg, TradePlan
from twinleg.core.pairs import NS_PER_MS, Pair
from twinleg.core.planning import Budgets
from twinleg.runtime.arming import Arming
from twinleg.runtime.desk import Desk
from twinleg.runtime.leaving import Leaving
from twinleg.runtime.ports import Clock
from twinleg.runtime.purse import Purse

LOG = logging.getLogger("twinleg.engine")

BEAT_S = 0.05
BEATS_PER_SECOND = 20
LATENCIES_KEPT = 4_096
CROSSED_MS_MAX = 2_000
"""A book that stays crossed for longer than this is wrong, not busy: its snapshot is asked for again."""
SPEECHLESS_MS_MAX = 30_000
RESYNC_EVERY_MS = 60_000
ENTRY_EVERY_MS = 5_000
"""An asset is not tried again sooner: an entry that nothing came of would be made over and over."""
ASKED_ANYWAY = frozenset({"edge", "basis_history"})
"""What does not stand in the way of a trade that the operator asks for."""


class Tally(msgspec.Struct):
    """Counts since the start."""

    events: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    best_edge_bps: float | None = None
    latencies_ns: deque[int] = msgspec.field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))


class Obstacles(Protocol):
    """What stands in the way of entries on real accounts."""

    def blocked(self, now_ms: int) -> tuple[Refusal, ...]:
        """Why nothing may be opened at all."""
        ...

    def against(self, pair: Pair) -> tuple[Refusal, ...]:
        """Why nothing may be opened in this pair. Sees to what can be put right."""
        ...


class Conduct(NamedTuple):
    """How it trades, by the settings."""

    budgets: Budgets
    stop_loss_bps: float
    auto: bool = True
    """Trades are opened without being asked for."""


class Engine:
    """Watches, ranks, and trades within the limits. `on_market` is the sink of every feed and reader."""

    def __init__(
        self,
        board: Board,
        desk: Desk,
        purse: Purse,
        clock: Clock,
        conduct: Conduct,
        obstacles: Obstacles | None = None,
    ) -> None:
        """`obstacles` are those of real accounts, none on paper."""
        self.board, self.desk, self.purse = board, desk, purse
        self.clock = clock
        self.conduct = conduct
        self._leaving = Leaving(board, desk, purse, conduct.stop_loss_bps)
        self._entered_ms: dict[str, int] = {}
        self._obstacles = obstacles
        live = obstacles is not None and conduct.auto
        self.arming = Arming(desk, conduct.budgets, self._wanted, self.unfit) if live else None
        """Entries got ready ahead, where orders have a way to go."""
        self.tally = Tally()
        self.resync: Callable[[str], None] = lambda _market: None
        """Asks the market's venue for a fresh snapshot; set by wiring."""
        self.stopping: str | None = None
        self._resynced_ms: dict[str, int] = {}
        self._crossed_since_ms: dict[str, int] = {}

    # -- a tick's way -------------------------------------------------------------------------------------------------

    def on_market(self, events: list[MarketEvent]) -> None:
        """The way of a tick, from the venue's words to a trade."""
        board = self.board
        self.tally.events += len(events)
        for event in events:
            moved = board.apply(event)
            if moved:
                self._judge(moved, event)
            elif type(event) is FundingSettled and self._obstacles is None:  # real accounts hear what they were paid
                price = event.price or board.reference_price(event.market)
                self.desk.settled(event, price, self.clock.wall_ms())

    def _judge(self, moved: Sequence[Pair], event: MarketEvent) -> None:
        """The pairs that may stand differently after this event."""
        now_ms, now_ns = self.clock.wall_ms(), self.clock.mono_ns()
        for pair in moved:
            opportunity = self.board.look(pair, now_ms, now_ns)
            if opportunity is not None and not opportunity.refusals:
                self._enter(pair, opportunity, now_ms)
            elif self.arming is not None:
                self.arming.watch(pair, opportunity, now_ms)
        if type(event) is BookDelta:
            self.tally.latencies_ns.append(self.clock.mono_ns() - event.received_ns)

    def _enter(self, pair: Pair, opportunity: Opportunity, now_ms: int) -> tuple[Refusal, ...]:
        """Open a trade, or say why not."""
        leave = self._leave(pair, opportunity)
        if not isinstance(leave, Approved):
            return leave
        if self._open(leave, pair, now_ms) is not None:
            self._entered_ms[pair.asset] = now_ms
        return ()

    def _open(self, leave: Approved, pair: Pair, now_ms: int) -> str | None:
        """As it is armed, else the ordinary way."""
        fired = None if self.arming is None else self.arming.fire(leave, pair, now_ms)
        return fired or self.desk.open(leave, pair, self.conduct.budgets, now_ms)

    def _leave(self, pair: Pair, opportunity: Opportunity) -> Approved | tuple[Refusal, ...]:
        """Leave to open a trade by ourselves."""
        if not self.conduct.auto:
            return (Refusal("auto_off", "AUTO_EXECUTION_ENABLED is off: trades are opened on request alone"),)
        now_ms = opportunity.decided_ms
        leave = self._leaving.against(pair, now_ms) or self._approve(pair, opportunity)
        since_ms = now_ms - self._entered_ms.get(pair.asset, now_ms - ENTRY_EVERY_MS)
        if isinstance(leave, Approved) and since_ms < ENTRY_EVERY_MS:
            return (Refusal("cooldown", f"a trade in {pair.asset} was tried that long ago", since_ms, ENTRY_EVERY_MS),)
        return leave

    def _wanted(self, pair: Pair, opportunity: Opportunity) -> Approved | tuple[Refusal, ...]:
        """What it could be opened as if its edge were there, for getting ready. Nothing is sent by this."""
        return self._leave(pair, msgspec.structs.replace(opportunity, refusals=()))

    def _approve(self, pair: Pair, opportunity: Opportunity) -> Approved | tuple[Refusal, ...]:
        exposure = self.purse.exposure(self.desk.ledger, opportunity.decided_ms)
        leave = approve(opportunity, exposure, pair.limits, self.blocked)
        if isinstance(leave, Approved) and self._obstacles is not None:
            return self._obstacles.against(pair) or leave
        return leave

    @property
    def blocked(self) -> tuple[Refusal, ...]:
        """Why no trade at all may be opened now."""
        stopping = () if self.stopping is None else (Refusal("stopping", self.stopping),)
        obstacles = () if self._obstacles is None else self._obstacles.blocked(self.clock.wall_ms())
        return (*self.desk.blocked, *obstacles, *stopping)

    # -- on request ---------------------------------------------------------------------------------------------------

    def propose(self, pair_key: str, usd: float) -> Approved | tuple[Refusal, ...]:
        """A trade by hand of `usd` a leg: every limit holds and all data must be good; what it earns is not asked."""
        pair = self.board.pairs.get(pair_key)
        if pair is None:
            return (Refusal("unknown_pair", f"{pair_key} is no pair that is watched"),)
        found = self.board.weigh(pair, usd, self.clock.wall_ms(), self.clock.mono_ns())
        if not isinstance(found, Opportunity):
            return found
        standing = tuple(one for one in found.refusals if one.code not in ASKED_ANYWAY)
        return self._approve(pair, msgspec.structs.replace(found, refusals=standing))

    def open(self, approved: Approved, pair: Pair) -> str | None:
        """Open it; the trade's id, or None while the journal fails."""
        if self.arming is not None:
            self.arming.void("a trade by hand")
        return self.desk.open(approved, pair, self.conduct.budgets, self.clock.wall_ms())

    # -- the passing of time ------------------------------------------------------------------------------------------

    async def beat(self) -> None:
        """Time passes, for ever: clocks and fills twenty times a second, a full round over the pairs every second."""
        beats = 0
        while True:
            now_ms, now_ns = self.clock.wall_ms(), self.clock.mono_ns()
            self.desk.on_time(now_ms)
            self._leaving.every_beat(now_ms)
            if self.arming is not None:
                self.arming.every_beat(now_ms, lambda: bool(self.blocked))
            self.board.review(now_ms, now_ns, part=BEATS_PER_SECOND)
            if beats % BEATS_PER_SECOND == 0:
                self._second(now_ms, now_ns)
            beats += 1
            await self.clock.sleep(BEAT_S)

    def _second(self, now_ms: int, now_ns: int) -> None:
        for opportunity in self.board.ranking():
            self._note(opportunity, now_ms)
        self._leaving.every_second(now_ms, self.blocked)
        self._mend_books(now_ms, now_ns)

    def _note(self, opportunity: Opportunity, now_ms: int) -> None:
        """Count it, and give what is executable its chance even when its books are quiet."""
        tally, pair = self.tally, self.board.pairs[opportunity.pair]
        if opportunity.net_bps < pair.limits.min_viable_spread_bps:
            return
        if tally.best_edge_bps is None or opportunity.net_bps > tally.best_edge_bps:
            tally.best_edge_bps = opportunity.net_bps
        refused = self._enter(pair, opportunity, now_ms)
        tally.refused.update({refusal.code for refusal in refused})

    def _mend_books(self, now_ms: int, now_ns: int) -> None:
        """Ask again for books that a fresh snapshot may mend, each at most once a minute."""
        for key, book in self.board.books.items():
            if not (self.board.pairs_of.get(key) and self._wants_snapshot(key, book, now_ms, now_ns)):
                continue
            if now_ms - self._resynced_ms.get(key, 0) >= RESYNC_EVERY_MS:
                self._resynced_ms[key] = now_ms
                LOG.warning("%s: asking for a fresh book", key)
                self.resync(key)

    def _wants_snapshot(self, key: str, book: Book, now_ms: int, now_ns: int) -> bool:
        """Crossed for long, silent for long, or of a market that vanished and is back while its feed just went on."""
        if not (book.ready and book.crossed):
            self._crossed_since_ms.pop(key, None)
        if not book.ready:
            return book.lost_reason == VANISHED and self.board.markets[key].market.status is MarketStatus.OPEN
        if book.crossed and now_ms - self._crossed_since_ms.setdefault(key, now_ms) >= CROSSED_MS_MAX:
            return True
        return (now_ns - book.received_ns) // NS_PER_MS >= SPEECHLESS_MS_MAX

    # -- what the desk asks -------------------------------------------------------------------------------------------

    def quotes(self, plan: TradePlan) -> Quotes:
        """The touch of both legs as far as known, for bounds of orders that reduce."""
        found = {}
        for leg in Leg:
            book = self.board.books.get(plan.leg(leg).market)
            if book is not None and book.ready:
                bid = book.bid_prices[-1] if book.bid_prices else None
                ask = book.ask_prices[0] if book.ask_prices else None
                found[leg] = Quote(bid, ask)
        return found

    def unfit(self, plan: TradePlan) -> str | None:
        """Checked again right before an entry leaves: why its books may not be acted on any more."""
        pair = self.board.pairs.get(f"{plan.long.market}>{plan.short.market}")
        if pair is None:
            return "its markets are no longer paired"
        reasons = self.board.gates(pair, self.clock.mono_ns())
        return f"{reasons[0].code}: {reasons[0].detail}" if reasons else None

    async def stop(self, reason: str, grace_s: float) -> None:
        """No entries from now on; what is entering or leaving is finished or unwound within the grace time."""
        self.stopping = reason
        if self.arming is not None:
            self.arming.void("stopping")
        self.desk.call_back()
        if not await self.desk.settle(grace_s):
            LOG.warning("trades were still moving after %.0f s; a restart goes on with them", grace_s)

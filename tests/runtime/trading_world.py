"""An engine with everything real behind it but the markets: its clock moves when told, its books are what a test says.

Real: board, purse, desk, paper venue, SQLite journal. Simulated: the clock, and the events that venues would send.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from simulated import SimClock, settle

from market_samples import BOOK_ONE, BOOK_TWO, LIMITS, LONG_RATES, ONE, SHORT_RATES, TWO, funding_told, snapshot
from twinleg.core.board import Board
from twinleg.core.ledger import TradeAccount
from twinleg.core.messages import Level, Market, MarketsListed, Stats
from twinleg.core.orders import Leg, State
from twinleg.core.pairs import Limits
from twinleg.runtime.books import Books, read_ledger
from twinleg.runtime.desk import Desk
from twinleg.runtime.engine import Conduct, Engine
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.paper import PaperVenue
from twinleg.runtime.ports import JournalError, Record
from twinleg.runtime.purse import Purse

BEAT_MS = 50
FORTH = f"{ONE.key}>{TWO.key}"


class Numbers(msgspec.Struct, frozen=True):
    """The budgets of a plan."""

    unhedged_ms_max: int = 3_000
    unhedged_notional_max_usd: float = 10_000.0
    flatten_slippage_bps_max: float = 200.0
    max_retry_attempts: int = 3
    order_timeout_seconds: float = 300.0


class BreakableJournal:
    """The real journal, which refuses while `fault` is set, as a full disk makes it, and waits while `fast` is not."""

    def __init__(self, real: SqliteJournal) -> None:
        self.real = real
        self.fault: str | None = None
        self.fast = asyncio.Event()
        self.fast.set()

    def append(self, at_ms: int, kind: str, trade_id: str, payload: bytes) -> int:
        if self.fault is not None:
            raise JournalError(self.fault)
        return self.real.append(at_ms, kind, trade_id, payload)

    async def durable(self, sequence: int) -> None:
        if self.fault is not None:
            raise JournalError(self.fault)
        await self.fast.wait()
        await self.real.durable(sequence)

    def records(self) -> Iterator[Record]:
        return self.real.records()

    async def close(self) -> None:
        await self.real.close()


class World:
    """One process. `live` moves time in beats, with fresh books before each; `levels` are what the venues show."""

    def __init__(self, clock: SimClock, journal: SqliteJournal, limits: Limits) -> None:
        self.clock = clock
        self.journal = BreakableJournal(journal)
        takers = msgspec.structs.replace(limits, aggressive_execution_spread_bps=limits.min_execution_spread_bps)
        self.board = Board(lambda asset: takers, lambda asset, one, other: True)
        ledger = read_ledger(self.journal)
        self.purse = Purse(self.board, {"one": 1_000.0, "two": 1_000.0}, limits.leverage)
        self.paper = PaperVenue(self.board.facts, self.board.books, ledger)
        self.desk = Desk(
            Books(self.journal, ledger, clock),
            self.paper,
            clock,
            lambda plan: self.engine.quotes(plan),
            lambda plan: self.engine.unfit(plan),
        )
        self.engine = Engine(self.board, self.desk, self.purse, clock, Conduct(Numbers(), 500.0))
        self.levels: dict[str, tuple[list[Level], list[Level]]] = {ONE.key: BOOK_ONE, TWO.key: BOOK_TWO}
        self.silent: set[str] = set()

    def lists(self, *markets: Market) -> None:
        for market in markets:
            self.engine.on_market([MarketsListed(market.venue, (market,), self.clock.wall_ms())])

    def tells(self, *, watched: bool = True) -> None:
        """Both markets in good order; with `watched` their basis has been seen for five minutes, near zero."""
        self.lists(ONE, TWO)
        now_ms, now_ns = self.clock.wall_ms(), self.clock.mono_ns()
        events = [*funding_told(ONE.key, LONG_RATES, now_ms), *funding_told(TWO.key, SHORT_RATES, now_ms)]
        self.engine.on_market([*events, Stats(ONE.key, 0.01, 0.01, None, now_ms, now_ns)])
        self.engine.on_market([Stats(TWO.key, 0.00001, 0.00001, None, now_ms, now_ns)])
        if watched:
            for pair in self.board.pairs.values():
                pair.basis_bps.extend(0.5 * (number % 2) for number in range(300))

    def shows(self) -> None:
        """A fresh snapshot of every market that is not silent."""
        now_ms, now_ns = self.clock.wall_ms(), self.clock.mono_ns()
        fresh = [snapshot(key, levels, now_ms, now_ns) for key, levels in self.levels.items() if key not in self.silent]
        self.engine.on_market(list(fresh))

    async def live(self, seconds: float, *, beat: bool = False) -> None:
        """Let time pass; `beat` rings the desk's clocks where no engine does."""
        for _ in range(round(seconds * 1_000 / BEAT_MS)):
            self.shows()
            if beat:
                self.desk.on_time(self.clock.wall_ms())
            await self.clock.advance(BEAT_MS / 1_000)
            await self.quiet()

    async def quiet(self) -> None:
        """Until the desk has done all it can without time passing. The test's own timeout bounds it."""
        while True:
            await settle()
            writing = self.journal.real.waiting
            working = writing or (self.desk._inbox and self.desk.trouble is None)
            if not working or self.journal.fault is not None:
                return
            await asyncio.sleep(0.0005)

    @property
    def accounts(self) -> list[TradeAccount]:
        return list(self.desk.ledger.trades.values())

    @property
    def states(self) -> list[State]:
        return [account.trade.state for account in self.accounts]

    def held(self, number: int = 0) -> list[int]:
        return [self.accounts[number].leg(leg).held_lots for leg in Leg]


@asynccontextmanager
async def world(
    folder: Path, clock: SimClock | None = None, *, limits: Limits = LIMITS, beats: bool = True
) -> AsyncIterator[World]:
    """A running process over the journal in `folder`; leaving it is a crash that loses nothing durable."""
    journal = await SqliteJournal.open(folder)
    made = World(clock or SimClock(), journal, limits)
    tasks = [asyncio.create_task(made.desk.run())]
    if beats:
        tasks.append(asyncio.create_task(made.engine.beat()))
    try:
        yield made
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await journal.close()

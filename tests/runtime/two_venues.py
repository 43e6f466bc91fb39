"""One process that trades at two tiny venues: engine, desk, journal, gates and reconciliation are real.

The venues outlive the process, and their exchanges are the truth that its ledger is compared with. "one" numbers its
transactions, "two" does not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from simulated import SimClock, SimDice
from tiny_venue import LIMITS as VENUE_LIMITS
from tiny_venue import TIMEOUT_MS, Exchange, Inline, TinyTrading, Wire
from trading_world import BEAT_MS, FORTH, Numbers, World

from market_samples import LIMITS, ONE, TWO
from twinleg.core.edge import Opportunity
from twinleg.core.entry import Mode
from twinleg.core.guard import Approved, approve
from twinleg.core.orders import Intent, Leg, State
from twinleg.core.trade import Trade
from twinleg.runtime.accounts import Accounts, Upkeep
from twinleg.runtime.books import Books
from twinleg.runtime.budget import Budget
from twinleg.runtime.desk import Desk
from twinleg.runtime.engine import Conduct, Engine
from twinleg.runtime.gate import Account, VenueGate
from twinleg.runtime.gates import Gates
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.lanes import Lanes
from twinleg.runtime.reconcile import Terms
from twinleg.runtime.streams import Doors

TERMS = Terms(grace_ms=5_000, every_ms=5_000, stale_ms=30_000, net_delta_max_usd=100.0)
REST_S = 5.0
"""How long a leg that goes first may rest."""
LISTS = {"open", "closed", "fills", "positions", "transaction"}
"""What can be read of an account."""
VENUES = {Leg.LONG: "one", Leg.SHORT: "two"}


class Site:
    """Both venues, and the wires to them. `mute` are those whose account streams say nothing."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.exchanges = {one.venue: Exchange(self.clock, sequenced=one is ONE, market=one) for one in (ONE, TWO)}
        self.wires = {venue: Wire(self.clock, exchange) for venue, exchange in self.exchanges.items()}
        self.mute: set[str] = set()

    @property
    def held(self) -> dict[str, int]:
        """Signed lots by venue, as it is."""
        return {venue: exchange.position for venue, exchange in self.exchanges.items()}

    def sent(self, venue: str) -> list[dict[str, Any]]:
        """The orders whose bytes left."""
        return [tx for tx in self.wires[venue].sent if tx["kind"] == "order"]

    @property
    def sent_twice(self) -> list[str]:
        """Names under which bytes left more than once."""
        names = Counter(tx["client"] for venue in self.wires for tx in self.sent(venue))
        return [name for name, times in names.items() if times > 1]


class Process(World):
    """One life of the process. Nothing is opened unless a test asks."""

    def __init__(self, site: Site, journal: SqliteJournal) -> None:
        super().__init__(site.clock, journal, LIMITS)
        self.site, clock = site, site.clock
        upkeep = Upkeep(balance_every_ms=5_000, reconcile=TERMS, leverage_of=lambda asset: 3.0)
        doors = {venue: Doors(wire, clock, SimDice()) for venue, wire in site.wires.items()}
        books = Books(self.journal, self.desk.ledger, clock)
        self.accounts_kept = Accounts(self.board, books, doors["one"], upkeep, lambda *_: None)
        self.gates = {
            venue: VenueGate(
                Account(TinyTrading(exchange), self.board.facts, Lanes(("k0",), sequenced=exchange.sequenced), _never),
                Budget(venue, VENUE_LIMITS),
                doors[venue],
                TIMEOUT_MS,
                signer=Inline(),
                tell=self.accounts_kept.heard,
            )
            for venue, exchange in site.exchanges.items()
        }
        for gate in self.gates.values():
            self.accounts_kept.take(gate, Fence(), _no_runner)
        self.desk = Desk(
            books,
            Gates(self.gates),
            clock,
            lambda plan: self.engine.quotes(plan),
            lambda plan: self.engine.unfit(plan),
        )
        conduct = Conduct(Numbers(order_timeout_seconds=REST_S), 500.0, auto=False)
        self.engine = Engine(self.board, self.desk, self.purse, clock, conduct)
        self.accounts_kept.begin(self.desk)
        self.reconciler = self.accounts_kept.reconciler
        self.tells()
        for pair in self.board.pairs.values():
            pair.settle_estimates()
        self.shows()

    def opens(self, usd: float = 200.0, *, first: Leg | None = None) -> str:
        """A trade of that much a leg; `first` rests post-only, its partner hedging what fills."""
        pair = self.board.pairs[FORTH]
        found = self.board.weigh(pair, usd, self.clock.wall_ms(), self.clock.mono_ns())
        assert isinstance(found, Opportunity), found
        if first is not None:
            found = msgspec.structs.replace(found, mode=Mode.MAKER_FIRST, first=first)
        leave = approve(found, self.purse.exposure(self.desk.ledger, self.clock.wall_ms()), pair.limits)
        assert isinstance(leave, Approved), leave
        trade_id = self.engine.open(leave, pair)
        assert trade_id is not None
        return trade_id

    async def lives(self, seconds: float) -> None:
        """Time passes, books are fresh, streams tell, clocks ring; after each beat what must always hold is checked."""
        for _ in range(max(1, round(seconds * 1_000 / BEAT_MS))):
            self.shows()
            for venue, exchange in self.site.exchanges.items():
                told, exchange.told = exchange.told, []
                if venue not in self.site.mute:
                    self.gates[venue].account(told)
            self.desk.on_time(self.clock.wall_ms())
            await self.clock.advance(BEAT_MS / 1_000)
            await self.quiet()
            assert not self.site.sent_twice
            for leg, venue in VENUES.items():
                told_lots = sum(order.filled_lots for trade in self.trades for order in trade.of_leg(leg))
                assert told_lots <= sum(lots for one, _, lots in self.site.exchanges[venue].fills if one.client)

    async def opened(self, **how: Any) -> Trade:
        """A hedged trade."""
        self.opens(**how)
        await self.lives(1)
        assert self.states == [State.HEDGED]
        return self.trade

    @property
    def trades(self) -> list[Trade]:
        return [account.trade for account in self.accounts]

    @property
    def trade(self) -> Trade:
        """The newest."""
        return self.trades[-1]

    def intents(self, leg: Leg, *, adding: bool | None = None) -> list[Intent]:
        """The newest trade's orders on a leg; `adding` asks for those that add to it, or only for those that reduce."""
        made = [order.intent for order in self.trade.of_leg(leg)]
        return [one for one in made if adding is None or one.reduce_only is not adding]

    @property
    def agrees(self) -> bool:
        """The ledger holds what the venues hold."""
        ours = self.desk.ledger.positions()
        return {"one": ours.get(ONE.key, 0), "two": ours.get(TWO.key, 0)} == self.site.held


class Fence:
    """Nobody else trades these accounts."""

    def lost(self) -> str | None:
        return None

    def release(self) -> None:
        """There is nothing to give back."""


def _never() -> str | None:
    return None


def _no_runner(*_: object) -> Any:
    raise AssertionError("a tiny venue has no private streams to run")


@asynccontextmanager
async def running(folder: Path, site: Site) -> AsyncIterator[Process]:
    """A process over the journal in `folder`; leaving it is a crash that loses nothing durable."""
    journal = await SqliteJournal.open(folder)
    made = Process(site, journal)
    tasks = [asyncio.create_task(made.desk.run()), asyncio.create_task(made.reconciler.run())]
    try:
        yield made
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for gate in made.gates.values():
            await gate.close()
        await journal.close()


@asynccontextmanager
async def venues() -> AsyncIterator[Site]:
    site = Site()
    try:
        yield site
    finally:
        for wire in site.wires.values():
            await wire.close()

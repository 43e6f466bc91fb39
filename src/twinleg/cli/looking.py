"""An engine that only looks: it ranks, but has no journal and never trades. For commands that answer and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from twinleg.cli import logs
from twinleg.cli.exits import OK, UNREACHABLE
from twinleg.cli.figures import plain
from twinleg.core.board import Board
from twinleg.core.funding import UnitState
from twinleg.core.messages import MarketsListed
from twinleg.core.venue import Venue
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.ports import JournalError, Record
from twinleg.runtime.reads import Answered, Misread, Refused, Unanswered, perform
from twinleg.runtime.settings import Settings
from twinleg.runtime.streams import Doors
from twinleg.runtime.wiring import System, build, venues_of

POLL_S = 0.1
READY_S_MAX = 20.0
"""Who waits longer waits for readings that come later; books are there by then or something is wrong."""
ONLY_LOOKING = "this command only looks and never trades"


class NoJournal:
    """A ports.Journal that holds nothing and takes nothing: the journal of a running engine stays its own."""

    def append(self, at_ms: int, kind: str, trade_id: str, payload: bytes) -> int:  # noqa: ARG002  # the port's
        """Always raises JournalError."""
        raise JournalError(ONLY_LOOKING)

    async def durable(self, sequence: int) -> None:  # noqa: ARG002  # the port's
        """Always raises JournalError."""
        raise JournalError(ONLY_LOOKING)

    def records(self) -> Iterator[Record]:
        """Nothing."""
        return iter(())

    async def close(self) -> None:
        """There is nothing to close."""


class Look(NamedTuple):
    """A system that runs, and per venue what is wrong with it."""

    system: System
    troubles: dict[str, str]

    @property
    def exit_code(self) -> int:
        return UNREACHABLE if self.troubles else OK


@asynccontextmanager
async def looking(settings: Settings, wait_s: float) -> AsyncIterator[Look]:
    """A system that has its books, or has waited for them. Raises what our own code raised."""
    logs.only_errors()
    # A running engine's journal, recordings and accounts stay its own, whatever the mode.
    harmless = settings.model_copy(update={"record": False, "trading_mode": "dry_run"})
    system = await build(harmless, journal=NoJournal())
    system.engine.stopping = ONLY_LOOKING
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(system.run())
            try:
                yield Look(system, await system.ready(min(wait_s, READY_S_MAX)))
            finally:
                system.stop(ONLY_LOOKING)
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) > 1:
            raise
        raise errors.exceptions[0] from None  # as itself, so that a closed pipe or an exit code is known as such


async def units_checked(board: Board, wait_s: float) -> bool:
    """Whether every paired market's funding unit and every venue's clock have their readings within the time."""
    try:
        async with asyncio.timeout(wait_s):
            while _unread(board):  # noqa: ASYNC110  # the board tells nobody when a reading comes
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True


def _unread(board: Board) -> bool:
    venues = {state.market.venue for state in board.markets.values()}
    unchecked = any(check.state is UnitState.UNCHECKED for check in board.unit_checks().values())
    return unchecked or not venues <= board.clock_offsets_ms.keys()


@asynccontextmanager
async def doors() -> AsyncIterator[Doors]:
    """The real ways to the world, closed with the block."""
    logs.only_errors()
    clock = SystemClock()
    async with PicowsNet(clock) as net:
        yield Doors(net, clock, SystemDice())


async def listings(settings: Settings, ways: Doors, wait_s: float) -> dict[Venue, MarketsListed | str]:
    """What each venue lists, or why it is not known. Asked once each."""
    venues = venues_of(settings)
    answers = await asyncio.gather(*(_listing(venue, ways, wait_s) for venue in venues))
    return dict(zip(venues, answers, strict=True))


async def _listing(venue: Venue, ways: Doors, wait_s: float) -> MarketsListed | str:
    budget = Budget(venue.name, venue.limits)
    outcome = await perform(venue.list_markets(), ways.net, ways.clock, budget, int(wait_s * 1_000))
    match outcome:
        case Answered(events):
            return next(event for event in events if isinstance(event, MarketsListed))
        case Refused(status, text):
            return f"HTTP {status}: {plain(text)}"
        case Unanswered(reason) | Misread(reason):
            return plain(reason)


def advice(troubles: Mapping[str, str]) -> str:
    """What is wrong with venues, and what to do."""
    said = "; ".join(f"{venue}: {plain(reason)}" for venue, reason in troubles.items())
    return f"{said}. Check the network and {_addresses(troubles)}, give it longer (--wait), or ask `twinleg doctor`"


def _addresses(troubles: Mapping[str, str]) -> str:
    return " and ".join(f"{venue.upper()}_BASE_URL" for venue in troubles)

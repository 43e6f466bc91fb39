"""One venue's stream connections, kept in step with the markets that pairs need."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from twinleg.core.amounts import Grid
from twinleg.core.board import Board
from twinleg.core.messages import Market
from twinleg.core.venue import Feed, Venue
from twinleg.runtime.ports import Clock
from twinleg.runtime.streams import StreamRunner

LOG = logging.getLogger("twinleg.lines")

CHECK_S = 0.25
CHANGE_S = 60.0
"""New markets join, and changed ticks and lots are read, at most this often: it renews the venue's connections."""


class VenueLines:
    """Runs one StreamRunner per connection, and all of them anew when a market joins the pairs or changes its grids."""

    def __init__(self, venue: Venue, board: Board, clock: Clock, runner_for: Callable[[Feed], StreamRunner]) -> None:
        self.venue = venue
        self.runners: list[StreamRunner] = []
        self._board = board
        self._clock = clock
        self._runner_for = runner_for

    async def run(self) -> None:
        """Keep the connections up for ever. Raises what our own code raised in any of them."""
        while True:
            markets = [market for market in self._board.paired_markets if market.venue == self.venue.name]
            if not markets:
                await self._clock.sleep(CHECK_S)
                continue
            LOG.info("%s: %d markets in pairs", self.venue.name, len(markets))
            self.runners = [self._runner_for(feed) for feed in self.venue.feeds(markets)]
            try:
                await self._until_outdated(_read_as(markets))
            finally:
                self.runners = []

    async def _until_outdated(self, known: set[_ReadAs]) -> None:
        """Run the present connections until a market that pairs need is not among `known`."""
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(runner.run()) for runner in self.runners]
            while True:
                await self._clock.sleep(CHANGE_S)
                wanted = [market for market in self._board.paired_markets if market.venue == self.venue.name]
                if _read_as(wanted) - known:
                    break
            for task in running:
                task.cancel()

    def resync(self, market: str) -> None:
        """Ask for a fresh snapshot of one market's book."""
        for runner in self.runners:
            if market in runner.feed.markets:
                runner.resync(market)


_ReadAs = tuple[str, Grid, Grid]


def _read_as(markets: list[Market]) -> set[_ReadAs]:
    """The markets with the grids their feeds read them by: a feed that goes on with an old tick tells wrong prices."""
    return {(market.key, market.price_grid, market.size_grid) for market in markets}

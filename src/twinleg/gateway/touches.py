"""Books of the markets that callers ask for, each from a stream of its own, for as long as it is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from twinleg.core.board import Board
from twinleg.core.book import Book
from twinleg.core.messages import Market, MarketEvent, MarketsListed
from twinleg.core.orders import Side
from twinleg.core.pairs import Limits
from twinleg.core.venue import Feed, Venue
from twinleg.runtime.ports import Clock
from twinleg.runtime.streams import StreamRunner

LOG = logging.getLogger("twinleg.gateway")

MARKETS_MAX = 20
"""Markets of one venue that are followed at once; who was not asked for longest makes room."""
WAIT_S_MAX = 5.0
POLL_S = 0.02
AGE_NS_MAX = 10_000_000_000
"""An older book says nothing about the price now."""

Runner = Callable[[Feed, Callable[[list[MarketEvent]], None]], StreamRunner]


class Touches:
    """The books of one venue."""

    def __init__(self, venue: Venue, markets: Mapping[str, Market], clock: Clock, runner_for: Runner) -> None:
        self._venue, self._markets, self._clock, self._runner_for = venue, markets, clock, runner_for
        self._followed: dict[str, tuple[Board, asyncio.Task[None]]] = {}

    async def book(self, key: str) -> Book | None:
        """A fresh book of a market that is listed, waited for at most WAIT_S_MAX; None = there is none."""
        board = self._follow(key)
        end_ns = self._clock.mono_ns() + int(WAIT_S_MAX * 1e9)
        while True:
            book = board.books[key]
            if book.ready and self._clock.mono_ns() - book.received_ns <= AGE_NS_MAX:
                return book
            if self._clock.mono_ns() > end_ns:
                return None
            await self._clock.sleep(POLL_S)

    async def best(self, key: str, side: Side) -> int | None:
        """The best price that an order of that side would take, in ticks; None = not known."""
        book = await self.book(key)
        if book is None:
            return None
        prices = book.ask_prices[:1] if side is Side.BUY else book.bid_prices[-1:]
        return prices[0] if prices else None

    async def close(self) -> None:
        """End all streams."""
        tasks = [self._followed.pop(key)[1] for key in list(self._followed)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _follow(self, key: str) -> Board:
        known = self._followed.pop(key, None)
        if known is None or known[1].done():
            if len(self._followed) >= MARKETS_MAX:
                self._followed.pop(next(iter(self._followed)))[1].cancel()
            known = self._start(key)
        self._followed[key] = known  # now the last to go
        return known[0]

    def _start(self, key: str) -> tuple[Board, asyncio.Task[None]]:
        market = msgspec.structs.replace(self._markets[key], excluded=None)
        board = Board(lambda _asset: Limits(), lambda _asset, _one, _other: False)
        board.apply(MarketsListed(market.venue, (market,), self._clock.wall_ms()))

        def sink(events: list[MarketEvent]) -> None:
            for event in events:
                board.apply(event)

        task = asyncio.create_task(self._run([self._runner_for(feed, sink) for feed in self._venue.feeds([market])]))
        task.add_done_callback(_told)
        return board, task

    @staticmethod
    async def _run(runners: list[StreamRunner]) -> None:
        async with asyncio.TaskGroup() as group:
            for runner in runners:
                group.create_task(runner.run())


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("a book's stream ended: our own code failed", exc_info=error)

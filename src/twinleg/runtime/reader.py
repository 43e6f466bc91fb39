"""What has no stream: listings, the venue's clock, REST funding readings, settled history. One reader per venue.

One request at a time, within the venue's budget, the most urgent first. A read that fails is tried again later, never
at once: the venue's health says why meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from twinleg.core.board import Board
from twinleg.core.funding import HOUR_MS
from twinleg.core.messages import FeedHealth, MarketEvent, StreamState
from twinleg.core.pairs import NS_PER_MS
from twinleg.core.venue import Read, Venue
from twinleg.runtime.budget import Budget
from twinleg.runtime.reads import Answered, Misread, Refused, perform
from twinleg.runtime.streams import Doors

LOG = logging.getLogger("twinleg.reader")

LISTING_EVERY_MS = 300_000
RATES_EVERY_MS = 300_000
CLOCK_EVERY_MS = 60_000
HISTORY_RETRY_MS = 300_000
HISTORY_DEPTH_MS = 72 * HOUR_MS
RETRY_MS_FIRST, RETRY_MS_MAX = 1_000, 60_000
IDLE_S = 0.5


class VenueReader:
    """Reads one venue's REST side for as long as it runs, and passes what it learns to `sink`."""

    def __init__(
        self, venue: Venue, board: Board, sink: Callable[[list[MarketEvent]], None], budget: Budget, doors: Doors
    ) -> None:
        self.venue = venue
        self._board = board
        self._sink = sink
        self._budget = budget
        self._doors = doors
        self._due_ms: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self.trouble: str | None = "not asked yet"
        """Why the last listing failed; None when the venue has answered."""

    async def run(self, timeout_ms: int) -> None:
        """Read what is due, for ever. Raises only what our own code raises."""
        while True:
            now_ms = self._doors.clock.wall_ms()
            job = self._next(now_ms)
            if job is None:
                await self._doors.clock.sleep(IDLE_S)
                continue
            name, read, again_ms = job
            self._due_ms[name] = self._mono_ms() + again_ms
            await self._perform(name, read, timeout_ms)

    def _next(self, now_ms: int) -> tuple[str, Read, int] | None:
        """The most urgent read that is due: (name, read, when to do it again)."""
        regular = (
            ("markets", self.venue.list_markets, LISTING_EVERY_MS),
            ("clock", self.venue.clock, CLOCK_EVERY_MS),
        )
        for name, make, again_ms in regular:
            if self._due(name):
                read = make()
                if read is not None:
                    return name, read, again_ms
        markets = [market for market in self._board.paired_markets if market.venue == self.venue.name]
        if not markets:
            return None
        for number, read in enumerate(self.venue.funding_now(markets)):
            if self._due(f"rates-{number}"):
                return f"rates-{number}", read, RATES_EVERY_MS
        for market in self._board.wanting_history(now_ms):
            if market.venue == self.venue.name and self._due(f"history {market.key}"):
                read = self.venue.funding_history(market, now_ms - HISTORY_DEPTH_MS, now_ms)
                return f"history {market.key}", read, HISTORY_RETRY_MS
        return None

    def _due(self, name: str) -> bool:
        return self._mono_ms() >= self._due_ms.get(name, 0)

    def _mono_ms(self) -> int:
        """Reads are due by the clock that does not jump."""
        return self._doors.clock.mono_ns() // NS_PER_MS

    async def _perform(self, name: str, read: Read, timeout_ms: int) -> None:
        outcome = await perform(read, self._doors.net, self._doors.clock, self._budget, timeout_ms)
        if isinstance(outcome, Answered):
            if self._failures.pop(name, 0):
                LOG.info("%s %s: answered again", self.venue.name, name)
            if name == "markets":
                self.trouble = None
            if not self._failures:
                self._health(StreamState.LIVE, "")
            self._sink(outcome.events)
            return
        reason = _reason(outcome)
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        wait_ms = min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** min(failures - 1, 16))
        self._due_ms[name] = self._mono_ms() + wait_ms
        LOG.warning("%s %s: %s; again in %d s", self.venue.name, name, reason, wait_ms // 1_000)
        if name == "markets":
            self.trouble = reason
        if self.trouble is None:
            self._health(StreamState.DEGRADED, f"{name}: {reason}")
        else:  # without a listing nothing works, whatever else fails
            self._health(StreamState.DOWN, f"markets: {self.trouble}")

    def _health(self, state: StreamState, reason: str) -> None:
        known = self._board.health.get((self.venue.name, "rest"))
        if known is not None and (known.state, known.reason) == (state, reason):
            return
        make = partial(FeedHealth, venue=self.venue.name, stream="rest", at_ms=self._doors.clock.wall_ms())
        self._sink([make(state=state, reason=reason)])


def _reason(outcome: object) -> str:
    match outcome:
        case Refused(status, text):
            return f"HTTP {status}: {' '.join(text.split())[:120]}"
        case Misread(reason):
            return f"unreadable answer: {reason}"
        case _:
            return str(getattr(outcome, "reason", outcome))

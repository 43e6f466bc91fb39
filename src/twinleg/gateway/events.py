"""What happened to orders, to everybody who follows it, as it happens.

Every event has a number; numbers grow, over restarts too. The newest KEPT are remembered, so that who was away goes on
where it stopped. Who does not read is cut off with the number to go on from: nobody makes another wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from twinleg.runtime.ports import Clock

KEPT = 10_000
WAITING_MAX = 1_000
SUBSCRIBERS_MAX = 2_000
NUMBERS_PER_MS = 1_000
"""The first number of a process: its start in ms, times this. Larger than what an earlier one can have reached."""


class GoneError(ValueError):
    """Events after that number are not all remembered any more."""


class FullError(RuntimeError):
    """SUBSCRIBERS_MAX follow already."""


class Subscriber:
    """One who follows. `waiting` holds what it was not sent yet; `cut` where it must go on, once it was too slow."""

    def __init__(self, missed: Sequence[str] = ()) -> None:
        """`missed` comes first, beside what may wait otherwise."""
        self.waiting: deque[str] = deque(missed)
        self._room = WAITING_MAX + len(missed)
        self.news = asyncio.Event()
        self.last = 0
        """The number of the newest event that was put in line for it."""
        self.cut: int | None = None
        self.gone = False

    def put(self, number: int, text: str) -> None:
        """One more event. Who has let WAITING_MAX wait is cut."""
        if self.cut is not None:
            return
        if len(self.waiting) >= self._room:
            self.cut = self.last - len(self.waiting)
            self.waiting.clear()
        else:
            self.last = number
            self.waiting.append(text)
        self.news.set()

    def leave(self) -> None:
        """The other side is gone."""
        self.gone = True
        self.news.set()


class Events:
    """The one line of events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last = clock.wall_ms() * NUMBERS_PER_MS
        self._first = self.last + 1
        self._kept: deque[str] = deque(maxlen=KEPT)
        self._subscribers: set[Subscriber] = set()

    def publish(self, venue: str, request: Mapping[str, object], response: Mapping[str, object], **more: object) -> int:
        """Tell everybody. Returns the event's number."""
        self.last += 1
        event = {
            "venue": venue,
            "payload": {"request": request, "response": response},
            "created_at": stamp(self._clock.wall_ms()),
            "sequence": self.last,
            **more,
        }
        text = msgspec.json.encode(event).decode()
        if len(self._kept) == KEPT:
            self._first += 1
        self._kept.append(text)
        for one in self._subscribers:
            one.put(self.last, text)
        return self.last

    def subscribe(self, since: int | None = None) -> Subscriber:
        """Follow from now on, or from after that number. Raises GoneError and FullError."""
        if len(self._subscribers) >= SUBSCRIBERS_MAX:
            raise FullError(f"{SUBSCRIBERS_MAX} follow already")
        if since is not None and not self._first - 1 <= since <= self.last:
            raise GoneError(f"events {self._first} to {self.last} are remembered")
        found = Subscriber([] if since is None else list(self._kept)[since + 1 - self._first :])
        found.last = self.last
        self._subscribers.add(found)
        return found

    def leave(self, subscriber: Subscriber) -> None:
        """It does not follow any more."""
        self._subscribers.discard(subscriber)


def stamp(at_ms: int) -> str:
    """A time as events write it: UTC, with six digits after the seconds."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

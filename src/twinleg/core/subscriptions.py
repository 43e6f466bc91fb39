"""What one stream connection still has to ask for: paced, answered, refused or asked again. Pure.

A venue counts the messages we send and the requests it has not answered yet, often per IP address, so every connection
gets a fixed share of both (`Pace`) and keeps to it by itself. Topics are asked in the order given.

An unanswered or lost topic is asked again, at once the first time, then after 1, 2, 4 ... 60 s; after a calm minute the
count starts anew. There is no last try: the rate is bounded instead. But a connection that never answers anything, or
that does not deliver any more what it did, is `hopeless`: a reason to reconnect.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

import msgspec

MINUTE_MS = 60_000
CALM_MS = 60_000
BACK_OFF_MS_FIRST = 1_000
BACK_OFF_MS_MAX = 60_000
HOPELESS_AFTER_ASKS = 3
RESERVED_PER_MINUTE = 6
"""Messages kept back from subscribing, for heartbeats."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """One connection's share of what a venue allows."""

    messages_per_minute: int
    in_flight_max: int
    answer_ms_max: int
    messages_per_repeat: int = 1
    """Messages it takes to ask again for a topic already asked for on this connection (unsubscribe, subscribe: 2)."""


class Ask(NamedTuple):
    """A topic to ask for now. `again`: it was asked for before on this connection."""

    topic: str
    again: bool


class _State(Enum):
    WANTED = 0
    ASKED = 1
    ANSWERED = 2
    REFUSED = 3


class _Topic:
    __slots__ = ("answered_at_ms", "asked_at_ms", "asks", "name", "not_before_ms", "overdue", "state", "was_asked")

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = _State.WANTED
        self.asks = 0
        self.overdue = 0
        self.was_asked = False
        self.asked_at_ms = 0
        self.answered_at_ms = 0
        self.not_before_ms = 0


class Subscriptions:
    """The topics of one connection. Times are wall milliseconds; a clock that steps back delays, and breaks nothing."""

    def __init__(self, topics: Iterable[str], pace: Pace) -> None:
        self._pace = pace
        self._topics = {name: _Topic(name) for name in topics}
        self._sent: deque[int] = deque()
        self._time_ms = 0
        self._last_ms: int | None = None
        self._held_until_ms = 0
        self.reset()

    def reset(self) -> None:
        """A new connection: everything is wanted again. What was spent stays spent, the venue counts it too."""
        self._topics = {name: _Topic(name) for name in self._topics}

    def due(self, now_ms: int) -> list[Ask]:
        """The topics to ask for now, counted as sent."""
        time_ms = self._advance(now_ms)
        if time_ms < self._held_until_ms:
            return []
        free = self._pace.in_flight_max - sum(topic.state is _State.ASKED for topic in self._topics.values())
        asks = []
        for topic in self._topics.values():
            if free <= 0:
                break
            if topic.state is not _State.WANTED or topic.not_before_ms > time_ms:
                continue
            cost = self._pace.messages_per_repeat if topic.was_asked else 1
            if len(self._sent) + cost > self._pace.messages_per_minute - RESERVED_PER_MINUTE:
                break
            self._sent.extend([time_ms] * cost)
            asks.append(Ask(topic.name, topic.was_asked))
            topic.state, topic.was_asked, topic.asked_at_ms = _State.ASKED, True, time_ms
            topic.asks += 1
            free -= 1
        return asks

    def spend(self, now_ms: int) -> bool:
        """Count one message that asks for no topic (a heartbeat). False: the minute is used up, do not send it."""
        time_ms = self._advance(now_ms)
        if len(self._sent) >= self._pace.messages_per_minute:
            return False
        self._sent.append(time_ms)
        return True

    def answered(self, name: str, now_ms: int) -> None:
        """The venue delivers this topic."""
        topic = self._topics.get(name)
        if topic is not None and topic.state is not _State.ANSWERED:
            topic.state, topic.answered_at_ms, topic.overdue = _State.ANSWERED, self._advance(now_ms), 0

    def refused(self, name: str) -> None:
        """The venue says no: not asked again on this connection, and no longer in flight."""
        topic = self._topics.get(name)
        if topic is not None:
            topic.state = _State.REFUSED

    def again(self, name: str, now_ms: int) -> None:
        """Ask anew for a topic whose content was lost, after the back-off it has earned."""
        topic = self._topics[name]
        time_ms = self._advance(now_ms)
        if topic.state is _State.ANSWERED and time_ms - topic.answered_at_ms >= CALM_MS:
            topic.asks = 1
        if topic.state is not _State.WANTED:
            topic.state, topic.not_before_ms = _State.WANTED, time_ms + _back_off_ms(topic.asks)

    def hold(self, milliseconds: int, now_ms: int) -> None:
        """Ask for nothing for a while: the venue says that we ask too much."""
        self._held_until_ms = self._advance(now_ms) + milliseconds

    def expire(self, now_ms: int) -> list[str]:
        """The topics whose answer is overdue; they are wanted again."""
        limit_ms = self._advance(now_ms) - self._pace.answer_ms_max
        overdue = [
            topic.name
            for topic in self._topics.values()
            if topic.state is _State.ASKED and topic.asked_at_ms <= limit_ms
        ]
        for name in overdue:
            self._topics[name].overdue += 1
            self.again(name, now_ms)
        return overdue

    @property
    def hopeless(self) -> str | None:
        """Why this connection is no good any more, if so. A topic it never delivered is no reason: it may not exist."""
        tired = [topic for topic in self._topics.values() if topic.overdue >= HOPELESS_AFTER_ASKS]
        for topic in tired:
            if topic.answered_at_ms:
                return f"{topic.name} is not answered any more"
        if tired and all(
            not topic.answered_at_ms and topic.state is not _State.REFUSED for topic in self._topics.values()
        ):
            return "no subscription is answered"
        return None

    def _advance(self, now_ms: int) -> int:
        """Our own time, which only runs forward: a wall clock that steps back stands still for one call."""
        if self._last_ms is not None:
            self._time_ms += max(0, now_ms - self._last_ms)
        else:
            self._time_ms = 1
        self._last_ms = now_ms
        while self._sent and self._sent[0] <= self._time_ms - MINUTE_MS:
            self._sent.popleft()
        return self._time_ms


def _back_off_ms(asks: int) -> int:
    return 0 if asks <= 1 else min(BACK_OFF_MS_MAX, BACK_OFF_MS_FIRST << min(asks - 2, 16))

"""Supervision of one Feed over one connection: connect, feed, watch, reconnect, and say how it is.

    CONNECTING --first message--> LIVE <--> DEGRADED          (bad frames, or the message budget starves)
        ^                           |          |
        +------- back-off ------- DOWN <-------+              (closed, silent, broken, refused; the reason says which)

A message's way is `_Connection.message`: feed.received, then the sink, on the loop's thread and in the net's own call.
If anything of ours raises there, the connection is closed, health says DOWN and `StreamRunner.run` raises that error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from twinleg.core.messages import FeedHealth, MarketEvent, StreamState
from twinleg.core.venue import Feed
from twinleg.runtime.budget import Budget
from twinleg.runtime.ports import Clock, Dice, Net, Stream
from twinleg.runtime.record import Tap

LOG = logging.getLogger("twinleg.streams")

Sink = Callable[[list[MarketEvent]], None]

TICK_S = 1.0
OPEN_TIMEOUT_MS = 15_000
BACKOFF_S_MAX = 60.0
BACKOFF_JITTER = 0.2
STABLE_NS = 60_000_000_000
"""A connection that lived this long after its first message puts the back-off back to its first delay."""
DEGRADED_NS = 10_000_000_000
"""DEGRADED lasts until this long has passed without a new cause, so that health does not flap."""
OUTBOX_STARVES_NS = 60_000_000_000
"""At the start a venue's message budget stretches the subscriptions over a minute: longer than that is trouble."""
OUTBOX_MESSAGES_MAX = 2_000
"""More unsent messages than this and the feed asks faster than the venue lets us: reconnect and start from nothing."""

STOPPED = "stopped"
"""Why a connection that we ended ourselves is down."""


class Doors(NamedTuple):
    """The ways to the world a runner needs."""

    net: Net
    clock: Clock
    dice: Dice


class StreamRunner:
    """Keeps one Feed connected until `run` is cancelled."""

    def __init__(
        self, feed: Feed, sink: Sink, budget: Budget, doors: Doors, *, reconnect_s: float = 2.0, tap: Tap | None = None
    ) -> None:
        """`reconnect_s` is the first back-off (WS_RECONNECT_DELAY). `tap` records what the feed is given."""
        assert reconnect_s > 0
        self.feed = feed
        self.state = StreamState.DOWN
        self.reason = "not started"
        self.reconnects = 0
        self._sink = sink
        self._budget = budget
        self._doors = doors
        self._reconnect_s = reconnect_s
        self._tap = tap
        self._connection: _Connection | None = None

    async def run(self) -> None:
        """Connect, and again after every end. Never returns; raises what our own code raised (feed, sink, this)."""
        try:
            failures = 0
            while True:
                lived_ns = await self._one_life()
                failures = 0 if lived_ns >= STABLE_NS else failures + 1
                self.reconnects += 1
                await self._doors.clock.sleep(self._backoff_s(max(0, failures - 1)))
        except Exception as error:
            self._stop(f"failed: {error!r}")
            raise
        except BaseException:
            self._stop(STOPPED)
            raise

    def resync(self, market: str) -> None:
        """Ask for a fresh snapshot of `market` at once, if connected; else the next connection brings one anyway."""
        if self._connection is not None and self._connection.over is None:
            self.feed.resync(market)
            self._connection.follow_up()

    def health(self, state: StreamState, reason: str) -> None:
        """Take `state` and tell the sink, if that is news."""
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        wanted = state in {StreamState.CONNECTING, StreamState.LIVE} or reason == STOPPED
        level = logging.INFO if wanted else logging.WARNING
        LOG.log(level, "%s %s: %s %s", self._budget.venue, self.feed.name, state.value, reason)
        event = FeedHealth(
            venue=self._budget.venue,
            stream=self.feed.name,
            state=state,
            reason=reason,
            at_ms=self._doors.clock.wall_ms(),
        )
        self._sink([event])

    async def _one_life(self) -> int:
        """One connection from the attempt to its end. Returns how long it lived after its first message, in ns."""
        net, clock, _ = self._doors
        self.health(StreamState.CONNECTING, "" if self.reconnects == 0 else f"after: {self.reason}")
        while wait_ns := self._budget.connects.take(clock.mono_ns()):
            await clock.sleep(wait_ns / 1e9)
        connection = _Connection(self, self._sink, self._budget, clock, self._tap)
        opened = await net.open_stream(
            self.feed.url,
            self.feed.headers,
            connection,
            message_bytes_max=self._budget.limits.frame_bytes_max,
            timeout_ms=OPEN_TIMEOUT_MS,
        )
        if isinstance(opened, str):
            self.health(StreamState.DOWN, opened)
            return 0
        self._connection = connection
        connection.open(opened)
        while connection.over is None:
            await clock.sleep(TICK_S)
            connection.tick()
        self._connection = None
        if connection.failure is not None:
            raise connection.failure
        return connection.lived_ns

    def _backoff_s(self, doublings: int) -> float:
        delay_s = min(BACKOFF_S_MAX, self._reconnect_s * 2.0 ** min(doublings, 16))
        jitter = BACKOFF_JITTER * (2 * self._doors.dice.uniform() - 1)
        return min(BACKOFF_S_MAX, delay_s * (1 + jitter))

    def _stop(self, reason: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end(reason)
        self.health(StreamState.DOWN, reason)


class _Connection:
    """The StreamListener of one life, from `open` until `over`. Late calls of an older life can do no harm."""

    __slots__ = (
        "_bad_frames",
        "_budget",
        "_clock",
        "_degraded_ns",
        "_feed",
        "_first_ns",
        "_live",
        "_received",
        "_runner",
        "_sink",
        "_starved_ns",
        "_stream",
        "_tap",
        "_wall_ms",
        "failure",
        "lived_ns",
        "over",
    )

    def __init__(self, runner: StreamRunner, sink: Sink, budget: Budget, clock: Clock, tap: Tap | None) -> None:
        self._runner = runner
        self._feed = runner.feed
        self._sink = sink
        self._budget = budget
        self._clock = clock
        self._wall_ms = clock.wall_ms
        self._tap = tap
        self._received = self._feed.received if tap is None else tap.around(self._feed.received)
        self._stream: Stream | None = None
        self._live = False
        self._first_ns: int | None = None
        self._bad_frames = 0
        self._degraded_ns = 0
        self._starved_ns: int | None = None
        self.over: str | None = None
        self.failure: Exception | None = None
        self.lived_ns = 0

    def open(self, stream: Stream) -> None:
        """The stream is there: let the feed ask for what it wants."""
        self._stream = stream
        now_ms = self._wall_ms()
        if self._tap is not None:
            self._tap.opened(self._clock.mono_ns(), now_ms)
        try:
            self._pass_on(self._feed.opened(now_ms))
            self._bad_frames = self._feed.bad_frames
            self.follow_up()
        except Exception as error:  # noqa: BLE001 - logged, kept, and raised by StreamRunner.run
            self._fail(error)

    def message(self, payload: memoryview, received_ns: int) -> None:
        """The hot path."""
        try:
            if not self._live and not self._first_message(received_ns):
                return
            events = self._received(payload, received_ns, self._wall_ms())
            if events:
                self._sink(events)
            if self._feed.outbox or self._feed.broken is not None:
                self.follow_up()
        except Exception as error:  # noqa: BLE001 - logged, kept, and raised by StreamRunner.run
            self._fail(error)

    def closed(self, reason: str) -> None:
        self.end(reason)

    def tick(self) -> None:
        """Once a second: is the peer alive, does the feed want something, how are we."""
        if self.over is not None or self._stream is None:
            return
        now_ns, now_ms = self._clock.mono_ns(), self._wall_ms()
        silence_ms = (now_ns - self._stream.heard_ns) // 1_000_000
        if silence_ms > self._budget.limits.silence_ms_max:
            self.end(f"silent for {silence_ms} ms")
            return
        if self._tap is not None:
            self._tap.timer(now_ns, now_ms)
        try:
            self._pass_on(self._feed.timer(now_ns, now_ms))
            self.follow_up()
            self._judge(now_ns)
        except Exception as error:  # noqa: BLE001 - logged, kept, and raised by StreamRunner.run
            self._fail(error)

    def follow_up(self) -> None:
        """After each call of the feed: give up on it if it says so, send what it wants sent and the budget allows."""
        if self._feed.broken is not None:
            self.end(f"broken: {self._feed.broken}")
            return
        outbox, now_ns = self._feed.outbox, self._clock.mono_ns()
        while outbox and self.over is None and self._stream is not None:
            if self._budget.messages.take(now_ns):
                break
            try:
                self._stream.send(outbox.pop(0))
            except ConnectionError:
                break  # the stream's `closed` comes next, after messages that came before it; else silence ends us
        if len(outbox) > OUTBOX_MESSAGES_MAX:
            self.end(f"{len(outbox)} unsent messages")
        if not outbox:
            self._starved_ns = None
        elif self._starved_ns is None:
            self._starved_ns = now_ns

    def end(self, reason: str) -> None:
        """The one end of a life: close the stream, tell the feed and the sink. Only the first call counts."""
        if self.over is not None:
            return
        self.over, self._live = reason, False
        now_ns, now_ms = self._clock.mono_ns(), self._wall_ms()
        if self._first_ns is not None:
            self.lived_ns = now_ns - self._first_ns
        if self._stream is not None:
            self._stream.close(reason)
        if self._tap is not None:
            self._tap.closed(reason, now_ns, now_ms)
        try:
            try:
                self._pass_on(self._feed.closed(reason, now_ns, now_ms))
            finally:
                self._runner.health(StreamState.DOWN, reason)
        except Exception as error:  # noqa: BLE001 - logged, kept, and raised by StreamRunner.run
            self._fail(error)

    def _first_message(self, received_ns: int) -> bool:
        """Say LIVE; False if this life is over already."""
        if self.over is not None:
            return False
        self._live, self._first_ns = True, received_ns
        self._runner.health(StreamState.LIVE, "")
        return True

    def _judge(self, now_ns: int) -> None:
        """DEGRADED while there is a cause and DEGRADED_NS after it, else LIVE."""
        if not self._live:
            return
        cause = None
        if self._feed.bad_frames > self._bad_frames:
            cause = f"{self._feed.bad_frames - self._bad_frames} bad frames"
            self._bad_frames = self._feed.bad_frames
        elif self._starved_ns is not None and now_ns - self._starved_ns > OUTBOX_STARVES_NS:
            cause = f"{len(self._feed.outbox)} messages wait for the venue's message budget"
        degraded = self._runner.state is StreamState.DEGRADED
        if cause is not None:
            self._degraded_ns = now_ns
            if not degraded:
                self._runner.health(StreamState.DEGRADED, cause)
        elif degraded and now_ns - self._degraded_ns > DEGRADED_NS:
            self._runner.health(StreamState.LIVE, "")

    def _pass_on(self, events: list[MarketEvent]) -> None:
        if events:
            self._sink(events)

    def _fail(self, error: Exception) -> None:
        """Our own code raised: end this life; `StreamRunner.run` raises the first such error."""
        LOG.error("%s %s: our own code failed", self._budget.venue, self._feed.name, exc_info=error)
        if self.failure is None:
            self.failure = error
        self.end(f"failed: {error!r}")

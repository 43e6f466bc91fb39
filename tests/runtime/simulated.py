"""Two of the four doors, simulated: time that only moves when told, and a net whose other side is the test."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import msgspec

from twinleg.core.messages import BookLost, FeedHealth, MarketEvent, StreamState, TradePrint
from twinleg.core.venue import Limits, Request
from twinleg.runtime.ports import Reply, StreamListener

LIMITS = Limits(
    requests_per_minute=60,
    stream_messages_per_minute=80,
    connects_per_minute=400,
    messages_in_flight=20,
    frame_bytes_max=100_000,
    inflated_bytes_max=100_000,
    silence_ms_max=10_000,
)


class SimClock:
    """A clock that stands still until `advance`."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + self.now_ns // 1_000_000

    def mono_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now_ns + int(seconds * 1e9), self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its time."""
        end_ns = self.now_ns + int(seconds * 1e9)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            at_ns, _, future = heapq.heappop(self._sleepers)
            self.now_ns = max(self.now_ns, at_ns)
            if not future.done():
                future.set_result(None)
            await settle()
        self.now_ns = end_ns


async def settle() -> None:
    """Let every task run to its next wait."""
    for _ in range(10):
        await asyncio.sleep(0)


class SimDice:
    """Always the middle: no jitter."""

    def uniform(self) -> float:
        return 0.5


class SimStream:
    """Our end of a simulated connection; the test plays the peer by `says`, `pings` and `hangs_up`."""

    def __init__(self, clock: SimClock, listener: StreamListener) -> None:
        self._clock = clock
        self.listener = listener
        self.heard_ns = clock.now_ns
        self.sent: list[bytes] = []
        self.ended: str | None = None
        self.breaks_on_send = False

    def send(self, message: bytes) -> None:
        if self.breaks_on_send or self.ended is not None:
            raise ConnectionError("broken pipe")
        self.sent.append(message)

    def close(self, reason: str) -> None:
        if self.ended is None:
            self.ended = reason
            self.listener.closed(reason)

    def says(self, message: bytes) -> None:
        self.heard_ns = self._clock.now_ns
        self.listener.message(memoryview(message), self.heard_ns)

    def pings(self) -> None:
        self.heard_ns = self._clock.now_ns

    def hangs_up(self, reason: str = "peer closed: 1000") -> None:
        self.close(reason)


class SimNet:
    """Streams open unless `refusals` holds a reason; requests are answered by `answer`."""

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self.streams: list[SimStream] = []
        self.refusals: list[str] = []
        self.attempts_ns: list[int] = []
        self.answer: Callable[[Request, int], Reply] = lambda request, timeout_ms: Reply(None, b"", "nobody there")
        self.answers_after_s = 0.0

    async def request(self, request: Request, timeout_ms: int) -> Reply:
        if self.answers_after_s:
            await self._clock.sleep(self.answers_after_s)
        return self.answer(request, timeout_ms)

    async def open_stream(
        self, url: str, headers: dict[str, str], listener: StreamListener, *, message_bytes_max: int, timeout_ms: int
    ) -> SimStream | str:
        self.attempts_ns.append(self._clock.now_ns)
        if self.refusals:
            return self.refusals.pop(0)
        self.streams.append(SimStream(self._clock, listener))
        return self.streams[-1]


class PlainFeed:
    """A feed whose venue sends JSON numbers: each is a trade. Anything else is a bad frame."""

    def __init__(self, name: str = "books-0", url: str = "ws://venue/") -> None:
        self.name = name
        self.url = url
        self.headers: dict[str, str] = {}
        self.markets = ("v:BTC",)
        self.outbox: list[bytes] = []
        self.broken: str | None = None
        self.bad_frames = 0
        self.unknown_words = 0
        self.subscribes = [b"subscribe"]
        self.timers = 0
        self.raises: Exception | None = None

    def opened(self, now_ms: int) -> list[MarketEvent]:
        self.broken = None
        self.outbox[:] = self.subscribes
        return []

    def received(self, payload: bytes | memoryview, received_ns: int, now_ms: int) -> list[MarketEvent]:
        if self.raises is not None:
            raise self.raises
        if bytes(payload) == b"break":
            self.broken = "gap of 3"
            return [BookLost("v:BTC", "gap", received_ns)]
        try:
            number = msgspec.json.decode(payload, type=int)
        except msgspec.MsgspecError:
            self.bad_frames += 1
            return []
        return [TradePrint("v:BTC", str(number), number, 1, True, now_ms)]

    def timer(self, received_ns: int, now_ms: int) -> list[MarketEvent]:
        self.timers += 1
        return []

    def closed(self, reason: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        self.outbox.clear()
        return [BookLost("v:BTC", reason, received_ns)]

    def resync(self, market: str) -> None:
        self.outbox.append(b"resync " + market.encode())


class Inbox:
    """A sink that remembers, and lets a test wait for what it wants to see."""

    def __init__(self) -> None:
        self.events: list[MarketEvent] = []
        self.raises: Exception | None = None
        self._news = asyncio.Event()

    def __call__(self, events: list[MarketEvent]) -> None:
        self.events.extend(events)
        self._news.set()
        if self.raises is not None:
            raise self.raises

    @property
    def health(self) -> list[tuple[StreamState, str]]:
        return [(event.state, event.reason) for event in self.events if isinstance(event, FeedHealth)]

    @property
    def states(self) -> list[StreamState]:
        return [state for state, _ in self.health]

    @property
    def trades(self) -> list[str]:
        return [event.trade_id for event in self.events if isinstance(event, TradePrint)]

    @property
    def losses(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, BookLost)]

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait for events until `seen()`; the test's own timeout bounds it."""
        async with asyncio.timeout(60):
            while not seen():
                self._news.clear()
                await self._news.wait()

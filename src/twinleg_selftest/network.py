"""The network between one process and the simulated venues: delays, lost and broken connections, all by dice.

Messages under way live here, outside the process: when it dies, what it has sent still arrives, and what was meant
for it is lost with its ports.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twinleg.core.venue import Request
from twinleg.runtime.ports import Reply, Stream, StreamListener
from twinleg_selftest.loop import VirtualLoop
from twinleg_sims.protocol import RESET, Close, Core, Frame, HttpReply, HttpRequest, Out, Ping, Refuse
from twinleg_sims.world import World

TICK_MS = 20
DELAY_S_MIN, DELAY_S_MAX = 0.001, 0.030
SPIKE_SHARE, SPIKE_S_MAX = 0.002, 2.0


class Network:
    """The world, its venues, and everything under way between them and whoever lives. An Outside for the loop."""

    def __init__(self, world: World, cores: dict[str, Core], seed: int) -> None:
        """`cores` by host name, as in "http://lighter.test"."""
        self.world, self.cores = world, cores
        self.start_ms = world.now_ms
        self.faults_hit = 0
        self._dice = Random(f"{seed}:network")
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._connections = count(1)
        self._streams: dict[tuple[str, int], SimStream] = {}
        self._last_s: dict[tuple[str, int, str], float] = {}
        self.now_s = 0.0
        self.at(TICK_MS / 1_000, self._tick)

    @property
    def now_ms(self) -> int:
        """Wall time of the world."""
        return self.start_ms + int(self.now_s * 1_000)

    def next_s(self) -> float | None:
        return self._queue[0][0] if self._queue else None

    def happen(self, now_s: float) -> None:
        while self._queue and self._queue[0][0] <= now_s:
            at_s, _, event = heapq.heappop(self._queue)
            self.now_s = max(self.now_s, at_s)
            event()
        self.now_s = max(self.now_s, now_s)

    def at(self, at_s: float, event: Callable[[], None]) -> None:
        """Something happens at that time."""
        heapq.heappush(self._queue, (at_s, next(self._order), event))

    def later(self, event: Callable[[], None], order: tuple[str, int, str] | None = None) -> None:
        """Something happens after a message's way. What shares an `order` arrives in the order it was sent."""
        at_s = self.now_s + self._delay_s()
        if order is not None:
            at_s = max(at_s, self._last_s.get(order, 0.0))
            self._last_s[order] = at_s
        self.at(at_s, event)

    def _delay_s(self) -> float:
        if self._dice.random() < SPIKE_SHARE:
            self.faults_hit += 1
            return self._dice.uniform(DELAY_S_MAX, SPIKE_S_MAX)
        return self._dice.uniform(DELAY_S_MIN, DELAY_S_MAX)

    def chance(self, share: float) -> bool:
        """A fault of the network itself happens now and then."""
        hit = self._dice.random() < share
        self.faults_hit += hit
        return hit

    # -- the venues' side ---------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.world.advance(self.now_ms)
        for host, core in self.cores.items():
            self.deliver(host, core.advance(self.now_ms))
        self.at(self.now_s + TICK_MS / 1_000, self._tick)

    def ask(self, request: Request) -> HttpReply:
        """The venue answers a request now."""
        parts = urlsplit(request.url)
        assert parts.hostname is not None
        self.world.advance(self.now_ms)
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = parse_qsl(parts.query, keep_blank_values=True)
        asked = HttpRequest(request.method, parts.path, query, headers, request.body or b"")
        return self.cores[parts.hostname].http(asked, self.now_ms)

    def connect(self, stream: SimStream, url: str, headers: dict[str, str]) -> list[Out]:
        """Open a stream at the venue; what it says at once."""
        parts = urlsplit(url)
        self.world.advance(self.now_ms)
        asked = HttpRequest(
            "GET", parts.path, parse_qsl(parts.query), {name.lower(): value for name, value in headers.items()}
        )
        self._streams[stream.host, stream.connection] = stream
        return self.cores[stream.host].ws_open(stream.connection, asked, self.now_ms)

    def say(self, stream: SimStream, message: bytes) -> None:
        """A client's message has arrived."""
        if (stream.host, stream.connection) in self._streams:
            self.world.advance(self.now_ms)
            self.deliver(stream.host, self.cores[stream.host].ws_message(stream.connection, message, self.now_ms))

    def hang_up(self, stream: SimStream) -> None:
        """The venue hears that a client is gone."""
        if self._streams.pop((stream.host, stream.connection), None) is not None:
            self.cores[stream.host].ws_closed(stream.connection)

    def deliver(self, host: str, outs: list[Out]) -> None:
        """Send what a venue has to say on its way."""
        for out in outs:
            stream = self._streams.get((host, out.connection))
            if stream is None:
                continue
            order = (host, out.connection, "down")
            if isinstance(out, Frame):
                payload = out.payload
                self.later(lambda stream=stream, payload=payload: stream.hear(payload), order)  # type: ignore[misc]
            elif isinstance(out, Ping):
                self.cores[host].ws_pong(out.connection, self.now_ms)
                self.later(stream.heard, order)
            elif isinstance(out, Close):
                reason = f"closed by the peer: {out.code} {out.reason}"
                self.hang_up(stream)
                self.later(lambda stream=stream, reason=reason: stream.end(reason), order)  # type: ignore[misc]

    def next_connection(self) -> int:
        return next(self._connections)


class SimStream:
    """A client's end of one connection. A ports.Stream."""

    def __init__(self, network: Network, host: str, listener: StreamListener, loop: VirtualLoop) -> None:
        self.network, self.host, self._listener, self._loop = network, host, listener, loop
        self.connection = network.next_connection()
        self.dead = False
        self._over = False
        self._heard_ns = int(loop.time() * 1e9)

    @property
    def heard_ns(self) -> int:
        return self._heard_ns

    def send(self, message: bytes) -> None:
        if self._over or self.dead:
            raise ConnectionError("the stream is closed")
        self.network.later(lambda: self.network.say(self, message), (self.host, self.connection, "up"))

    def close(self, reason: str) -> None:
        self.end(reason)

    def heard(self) -> None:
        """A sign of life."""
        self._heard_ns = int(self._loop.time() * 1e9)

    def hear(self, payload: bytes) -> None:
        """A message arrives, if anyone is left to hear it."""
        if not (self._over or self.dead):
            self.heard()
            self._listener.message(memoryview(payload), self._heard_ns)

    def end(self, reason: str) -> None:
        if self._over or self.dead:
            return
        self._over = True
        self.network.later(lambda: self.network.hang_up(self), (self.host, self.connection, "up"))
        self._loop.call_soon(self._listener.closed, reason)


class SimNet:
    """ports.Net of one incarnation. `die` cuts every wire at once."""

    def __init__(
        self, network: Network, loop: VirtualLoop, *, lost_share: float = 0.01, drop_share: float = 0.0
    ) -> None:
        """`lost_share` of requests get no answer (half of them never arrive)."""
        self._network, self._loop, self._lost_share, self._drop_share = network, loop, lost_share, drop_share
        self._streams: list[SimStream] = []
        self.dead = False

    def die(self) -> None:
        self.dead = True
        for stream in self._streams:
            stream.dead = True
            self._network.later(lambda stream=stream: self._network.hang_up(stream))  # type: ignore[misc]

    async def request(self, request: Request, timeout_ms: int) -> Reply:
        answered: Any = self._loop.create_future()
        lost = self._network.chance(self._lost_share)
        arrives = not lost or self._network.chance(0.5)
        if arrives:
            self._network.later(lambda: self._arrive(request, answered, lost))
        handle = self._loop.call_later(
            timeout_ms / 1_000, _settle, answered, Reply(None, b"", f"no answer in {timeout_ms} ms")
        )
        try:
            reply: Reply = await answered
        finally:
            handle.cancel()
        return reply

    def _arrive(self, request: Request, answered: Any, lost: bool) -> None:  # private
        reply = self._network.ask(request)
        if lost or self.dead:
            return
        retry = reply.headers.get("Retry-After")
        back = (
            Reply(None, b"", "connection reset")
            if reply.status == RESET
            else Reply(reply.status, reply.body, retry_after_s=float(retry) if retry else None)
        )
        self._network.later(lambda: None if self.dead else _settle(answered, back))

    async def open_stream(
        self, url: str, headers: dict[str, str], listener: StreamListener, *, message_bytes_max: int, timeout_ms: int
    ) -> Stream | str:
        del message_bytes_max
        host = urlsplit(url).hostname
        assert host is not None
        stream = SimStream(self._network, host, listener, self._loop)
        opened: Any = self._loop.create_future()
        self._network.later(lambda: self._open(stream, url, headers, opened))
        handle = self._loop.call_later(timeout_ms / 1_000, _settle, opened, "no answer to the upgrade")
        try:
            refused: str | None = await opened
        finally:
            handle.cancel()
        if refused is not None:
            return refused
        self._streams.append(stream)
        return stream

    def _open(self, stream: SimStream, url: str, headers: dict[str, str], opened: Any) -> None:
        outs = self._network.connect(stream, url, headers)
        refusal = next((out for out in outs if isinstance(out, Refuse)), None)
        if refusal is not None:
            self._network.hang_up(stream)
            reason = f"HTTP {refusal.reply.status} on upgrade"
            self._network.later(lambda: None if self.dead else _settle(opened, reason))
            return
        order = (stream.host, stream.connection, "down")
        self._network.later(lambda: None if self.dead else _settle(opened, None), order)
        self._network.deliver(stream.host, outs)

    async def close(self) -> None:
        for stream in self._streams:
            stream.close("closed by us")


def _settle(future: Any, result: object) -> None:
    if not future.done():
        future.set_result(result)

"""The network between one process and the simulated venues, and everything under way in it.

Messages live here, outside the process: when it dies, what it has sent still arrives, and what was meant for it is lost
with its ports (net.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from random import Random
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from twinleg.core.venue import Request
from twinleg_sims.protocol import Close, Core, Frame, HttpReply, HttpRequest, Out, Ping
from twinleg_sims.world import World

TICK_S, QUIET_TICK_S = 0.05, 0.5
"""How often the venues speak: while orders are under way, and else."""
BUSY_S = 1.0
DELAY_S_MIN, DELAY_S_MAX = 0.001, 0.030
OFFSET_MS_MAX = 3_000


FATES = ("refused", "lost_request", "reset_before", "late_request", "lost_ack", "reset_after", "late_ack")
"""What becomes of writes."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How often what goes wrong while it storms, as shares of the chances it has."""

    order: float = 0.15
    """Requests about orders."""
    fates: tuple[str, ...] = FATES
    other: float = 0.04
    """All others: reads, leverage, the dead man's switch, connects."""
    message: float = 0.015
    """Stream messages that come late."""
    stream_cuts_per_minute: float = 2.0
    deaf_per_minute: float = 0.7
    jumps_per_minute: float = 0.6
    stalls_per_minute: float = 1.5


class StreamEnd(Protocol):
    """A client's end of a stream."""

    host: str
    connection: int
    deaf: bool

    def hear(self, payload: bytes) -> None: ...
    def heard(self) -> None: ...
    def end(self, reason: str) -> None: ...


class Network:
    """The world, its venues, and everything under way between them and whoever lives. An Outside for the loop."""

    def __init__(
        self,
        world: World,
        cores: dict[str, Core],
        seed: int,
        weather: Weather = Weather(),
        hit: Callable[[str, str], None] = lambda _where, _kind: None,
    ) -> None:
        """`cores` by host name, as in "http://127.0.0.1". `hit` hears of every fault that acts: where, and its kind."""
        self.world, self.cores, self.weather, self.hit = world, cores, weather, hit
        self.names = {host: core.name for host, core in cores.items()}
        self.start_ms = world.now_ms
        self.calm = False
        """Nothing goes wrong any more."""
        self.offset_ms = 0
        """How far the process's wall clock is off."""
        self.flying = 0
        """Orders and cancels that have left and not arrived yet."""
        self.dice = Random(f"{seed}:network")
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._connections = count(1)
        self._streams: dict[tuple[str, int], StreamEnd] = {}
        self._last_s: dict[tuple[str, int, str], float] = {}
        self.now_s = 0.0
        self._busy_until_s = 0.0
        self._tick_number = 0
        self._tick_next(QUIET_TICK_S)

    @property
    def now_ms(self) -> int:
        """Wall time of the world."""
        return self.start_ms + int(self.now_s * 1_000)

    @property
    def busy(self) -> bool:
        """Whether orders are under way, as far as the network can tell."""
        return self.now_s < self._busy_until_s

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
        delay_s = self.dice.uniform(DELAY_S_MIN, DELAY_S_MAX)
        if order is not None and self.chance(self.weather.message):
            self.hit(self.names[order[0]], "late_message")
            delay_s = self.dice.uniform(0.1, 2.5)
        at_s = self.now_s + delay_s
        if order is not None:
            at_s = max(at_s, self._last_s.get(order, 0.0))
            self._last_s[order] = at_s
        self.at(at_s, event)

    def chance(self, share: float) -> bool:
        """Whether something goes wrong this time."""
        return not self.calm and self.dice.random() < share

    def stir(self) -> None:
        """Something is under way: the venues speak more often for a while."""
        if not self.busy:
            self._tick_next(TICK_S)
        self._busy_until_s = self.now_s + BUSY_S

    # -- the venues' side ---------------------------------------------------------------------------------------------

    def _tick_next(self, beat_s: float) -> None:
        """Just before the next beat, on which the process wakes, and at no other time that was set before."""
        self._tick_number += 1
        beats = int(self.now_s / beat_s + 1.1)
        self.at(beats * beat_s - 0.001, partial(self._tick, self._tick_number))

    def _tick(self, number: int) -> None:
        if number != self._tick_number:
            return
        self.world.advance(self.now_ms)
        for host, core in self.cores.items():
            self.deliver(host, core.advance(self.now_ms))
        self._tick_next(TICK_S if self.busy else QUIET_TICK_S)

    def ask(self, request: Request) -> HttpReply:
        """The venue answers a request now."""
        parts = urlsplit(request.url)
        assert parts.hostname is not None
        self.world.advance(self.now_ms)
        if about_order(request):
            self.stir()
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = parse_qsl(parts.query, keep_blank_values=True)
        asked = HttpRequest(request.method, parts.path, query, headers, request.body or b"")
        return self.cores[parts.hostname].http(asked, self.now_ms)

    def connect(self, stream: StreamEnd, url: str, headers: dict[str, str]) -> list[Out]:
        """Open a stream at the venue; what it says at once."""
        parts = urlsplit(url)
        self.world.advance(self.now_ms)
        asked = HttpRequest(
            "GET", parts.path, parse_qsl(parts.query), {name.lower(): value for name, value in headers.items()}
        )
        self._streams[stream.host, stream.connection] = stream
        return self.cores[stream.host].ws_open(stream.connection, asked, self.now_ms)

    def say(self, stream: StreamEnd, message: bytes) -> None:
        """A client's message has arrived."""
        if (stream.host, stream.connection) in self._streams and not stream.deaf:
            self.world.advance(self.now_ms)
            self.deliver(stream.host, self.cores[stream.host].ws_message(stream.connection, message, self.now_ms))

    def hang_up(self, stream: StreamEnd) -> None:
        """The venue hears that a client is gone."""
        if self._streams.pop((stream.host, stream.connection), None) is not None:
            self.cores[stream.host].ws_closed(stream.connection)

    def deliver(self, host: str, outs: list[Out]) -> None:
        """Send what a venue has to say on its way. What goes into a deaf stream is lost, and nobody knows."""
        for out in outs:
            stream = self._streams.get((host, out.connection))
            if stream is None or stream.deaf:
                continue
            order = (host, out.connection, "down")
            if isinstance(out, Frame):
                if out.topic in PRIVATE_TOPICS and not (out.snapshot or _mere_balance(out.payload)):
                    self.stir()
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

    # -- what goes wrong by itself ------------------------------------------------------------------------------------

    def storm(self, until_s: float) -> None:
        """Draw when streams break or fall silent and when the process's clock jumps, from now to then."""
        weather = self.weather
        for per_minute, event in (
            (weather.stream_cuts_per_minute, self._cut),
            (weather.deaf_per_minute, self._deafen),
            (weather.jumps_per_minute, self._jump),
        ):
            at_s = self.now_s + self.dice.expovariate(per_minute / 60) if per_minute else until_s
            while at_s < until_s:
                self.at(at_s, event)
                at_s += self.dice.expovariate(per_minute / 60)

    def clear_up(self) -> None:
        """From now on nothing goes wrong: connections that only look alive break, the clock is set right."""
        self.calm, self.offset_ms = True, 0
        for stream in list(self._streams.values()):
            if stream.deaf:
                stream.end("connection reset by the network")

    def _any_stream(self) -> StreamEnd | None:
        return self.dice.choice(list(self._streams.values())) if self._streams and not self.calm else None

    def _cut(self) -> None:
        stream = self._any_stream()
        if stream is not None:
            self.hit(self.names[stream.host], "stream_reset")
            stream.end("connection reset by the network")

    def _deafen(self) -> None:
        stream = self._any_stream()
        if stream is not None and not stream.deaf:
            self.hit(self.names[stream.host], "half_open")
            stream.deaf = True

    def _jump(self) -> None:
        if not self.calm:
            self.hit("process", "clock_jump")
            self.offset_ms = self.dice.randrange(-OFFSET_MS_MAX, OFFSET_MS_MAX)
            self.at(self.now_s + self.dice.uniform(1, 10), self._set_clock)

    def _set_clock(self) -> None:
        self.offset_ms = 0


def about_order(request: Request) -> bool:
    """Whether it places or cancels one."""
    if request.method == "GET" or request.body is None:
        return request.method == "DELETE"
    path = urlsplit(request.url).path
    return path == "/api/v1/user/order" or (
        path == "/api/v1/sendTx" and request.body.startswith((b"tx_type=14", b"tx_type=15"))
    )


PRIVATE_TOPICS = frozenset({"orders", "fills", "account"})


def _mere_balance(payload: bytes) -> bool:
    """It comes all the time while anything is held."""
    return b'"BALANCE"' in payload[:24]

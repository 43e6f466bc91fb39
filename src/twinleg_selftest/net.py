"""The process's ports: its net, which dies with it, its clock and its dice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import urlsplit

from twinleg.core.venue import Request
from twinleg.runtime.ports import Reply, Stream, StreamListener
from twinleg_selftest.loop import VirtualLoop
from twinleg_selftest.network import Network, about_order
from twinleg_sims.protocol import RESET, HttpReply, Refuse

READ_FATES = ("refused", "lost_request", "reset_before", "lost_ack", "reset_after", "late_ack")
LATE_S_MAX = 9.0
"""How late a request may arrive after its connection broke: later than the read-back."""
BEAT_S, LAZY_S = 0.05, 0.5
"""Sleepers wake together, on beats: short ones while orders are under way, else long ones. A process with nothing to do
wakes late; nobody minds, and most of a trial's work is waking."""


class SimClock:
    """ports.Clock over the loop's time."""

    def __init__(self, network: Network, loop: VirtualLoop) -> None:
        self._network, self._loop = network, loop

    def wall_ms(self) -> int:
        return self._network.start_ms + int(self._loop.time() * 1_000) + self._network.offset_ms

    def mono_ns(self) -> int:
        return int(self._loop.time() * 1e9)

    async def sleep(self, seconds: float) -> None:
        if seconds >= BEAT_S:
            beat_s = BEAT_S if self._network.busy else LAZY_S
            now_s = self._loop.time()
            seconds = int((now_s + seconds) / beat_s + 0.999) * beat_s - now_s
        await asyncio.sleep(seconds)


class SimDice:
    """ports.Dice from the seed."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def uniform(self) -> float:
        return self._dice.random()


class SimStream:
    """A client's end of one connection. A ports.Stream."""

    def __init__(self, network: Network, host: str, listener: StreamListener, loop: VirtualLoop) -> None:
        self.network, self.host, self._listener, self._loop = network, host, listener, loop
        self.connection = network.next_connection()
        self.dead = False
        self.deaf = False
        """Neither side hears the other, and neither knows."""
        self._over = False
        self._early: list[bytes] | None = []
        """What came before the opener had its stream in hand; None from then on."""
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
        if self._over or self.dead or self.deaf:
            return
        self.heard()
        if self._early is not None:
            self._early.append(payload)
        else:
            self._listener.message(memoryview(payload), self._heard_ns)

    def opened(self) -> None:
        """The opener has it: what came meanwhile is heard now."""
        early, self._early = self._early or [], None
        for payload in early:
            self.hear(payload)

    def end(self, reason: str) -> None:
        if self._over or self.dead:
            return
        self._over = True
        self.network.later(lambda: self.network.hang_up(self), (self.host, self.connection, "up"))
        self._loop.call_soon(self._listener.closed, reason)


class SimNet:
    """ports.Net of one incarnation. `die` cuts every wire at once."""

    def __init__(self, network: Network, loop: VirtualLoop, leaving: Callable[[Request], None]) -> None:
        """`leaving` sees every request as its bytes leave."""
        self._network, self._loop, self._leaving = network, loop, leaving
        self._streams: list[SimStream] = []
        self.answered: Callable[[Request], None] = lambda _request: None
        """Called when an answer has come in."""
        self.dead = False

    def die(self) -> None:
        self.dead = True
        for stream in self._streams:
            stream.dead = True
            self._network.later(lambda stream=stream: self._network.hang_up(stream))  # type: ignore[misc]

    async def request(self, request: Request, timeout_ms: int) -> Reply:
        answered: asyncio.Future[Reply] = self._loop.create_future()
        self._leaving(request)
        self._send(request, answered)
        handle = self._loop.call_later(
            timeout_ms / 1_000, _settle, answered, Reply(None, b"", f"no answer in {timeout_ms} ms")
        )
        try:
            return await answered
        finally:
            handle.cancel()

    def _send(self, request: Request, answered: asyncio.Future[Reply]) -> None:
        """What becomes of a request: most arrive and are answered."""
        network, fate = self._network, self._fate(request)
        reset = Reply(None, b"", "connection reset")
        if fate == "refused":
            network.later(lambda: self._answer(request, answered, Reply(None, b"", "connection refused", sent=False)))
            return
        if fate in ("reset_before", "late_request"):
            network.later(lambda: self._answer(request, answered, reset))
        if fate in ("lost_request", "reset_before"):
            return

        orders = about_order(request)
        network.flying += orders

        def arrive() -> None:
            network.flying -= orders
            reply = network.ask(request)
            if fate in ("lost_ack", "late_request"):
                return
            back = reset if fate == "reset_after" else _read(reply)
            late_s = network.dice.uniform(0.3, 6.0) if fate == "late_ack" else 0.0
            held_s = late_s + reply.delay_ms / 1_000
            network.at(network.now_s + held_s, lambda: network.later(lambda: self._answer(request, answered, back)))

        if fate == "late_request":
            network.at(network.now_s + network.dice.uniform(0.2, LATE_S_MAX), arrive)
        else:
            network.later(arrive)

    def _fate(self, request: Request) -> str:
        network, writes = self._network, request.method != "GET"
        if not network.chance(network.weather.order if about_order(request) else network.weather.other):
            return ""
        fate = network.dice.choice(network.weather.fates if writes else READ_FATES)
        network.hit(request.venue, fate if writes else f"{fate} (read)")
        return fate

    def _answer(self, request: Request, answered: asyncio.Future[Reply], reply: Reply) -> None:
        if not self.dead and not answered.done():
            answered.set_result(reply)
            self.answered(request)

    async def open_stream(
        self, url: str, headers: dict[str, str], listener: StreamListener, *, message_bytes_max: int, timeout_ms: int
    ) -> Stream | str:
        del message_bytes_max
        host = urlsplit(url).hostname
        assert host is not None
        stream = SimStream(self._network, host, listener, self._loop)
        opened: asyncio.Future[str | None] = self._loop.create_future()
        if self._network.chance(self._network.weather.other):
            self._network.hit(self._network.names[host], "stream_refused")
            self._network.later(lambda: _settle(opened, "connection refused"))
        else:
            self._network.later(lambda: self._open(stream, url, headers, opened))
        handle = self._loop.call_later(timeout_ms / 1_000, _settle, opened, "no answer to the upgrade")
        try:
            refused = await opened
        finally:
            handle.cancel()
        if refused is not None:
            return refused
        self._streams.append(stream)
        self._loop.call_soon(stream.opened)
        return stream

    def _open(self, stream: SimStream, url: str, headers: dict[str, str], opened: asyncio.Future[str | None]) -> None:
        if self.dead:
            return
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


def _read(reply: HttpReply) -> Reply:
    if reply.status == RESET:
        return Reply(None, b"", "connection reset")
    retry = reply.headers.get("Retry-After")
    return Reply(reply.status, reply.body, retry_after_s=float(retry) if retry else None)


def _settle(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)

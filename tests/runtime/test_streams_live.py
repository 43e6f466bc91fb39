"""Runners over real sockets against a server that breaks every rule: each comes back, and none hurts another."""

from __future__ import annotations

import asyncio
import struct

import hostile
import pytest
from hostile import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame, frames, serving
from simulated import LIMITS, Inbox, PlainFeed

from twinleg.core.messages import StreamState
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.streams import Doors, StreamRunner

pytestmark = pytest.mark.usefixtures("leaves_nothing")

HURRY = 50
GOOD = frames(frame(TEXT, b"1"), frame(BINARY, b"2"), frame(TEXT, b"3"))


class HurriedClock(SystemClock):
    """Fifty seconds pass in one, for sleeps and stamps alike."""

    def mono_ns(self) -> int:  # type: ignore[override]
        return SystemClock.mono_ns() * HURRY

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / HURRY)


async def ticking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A good venue: a message now and then, for ever."""
    writer.write(hostile.upgrade_reply(await reader.readuntil(b"\r\n\r\n")))
    number = 0
    while True:
        writer.write(frame(TEXT, str(number).encode()))
        await writer.drain()
        number += 1
        await asyncio.sleep(0.02)


def run(net: PicowsNet, clock: SystemClock, port: int, name: str) -> tuple[Inbox, asyncio.Task[None]]:
    inbox = Inbox()
    feed = PlainFeed(name, f"ws://127.0.0.1:{port}/")
    runner = StreamRunner(feed, inbox, Budget("v", LIMITS), Doors(net, clock, SystemDice()), reconnect_s=0.5)
    return inbox, asyncio.create_task(runner.run())


async def stop(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (hostile.raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgra"), "connection closed during the upgrade"),
        (hostile.http("200 OK", b"<html>maintenance</html>"), "HTTP 200 on upgrade"),
        (hostile.http("404 Not Found"), "HTTP 404 on upgrade"),
        (hostile.http("429 Too Many Requests", b"", "Retry-After: 3"), "HTTP 429 on upgrade"),
        (hostile.http("500 Internal Server Error"), "HTTP 500 on upgrade"),
        (frames(b"\xff\xff\xff\xff garbage"), "protocol error"),
        (frames(frame(TEXT, b"5") + b"\xff\xff\xff\xff garbage"), "protocol error"),
        (frames(frame(TEXT, b"x" * 100_001)), "message over 100000 bytes"),
        (frames(frame(TEXT, b"x" * 100_000, fin=False), frame(CONTINUATION, b"x")), "message over 100000 bytes"),
        (frames(frame(TEXT, b"5"), then="reset"), "connection lost"),
        (frames(frame(CLOSE, struct.pack(">H", 1012) + b"restart")), "peer closed: 1012 restart"),
        (frames(), "silent for"),
        (frames(frame(TEXT, b"5"), frame(PING, b"x")), "silent for"),
    ],
)
async def test_comes_back_and_hurts_nobody(script: hostile.Script, reason: str) -> None:
    clock = HurriedClock()
    async with serving(script, script, GOOD) as bad_port, serving(ticking) as good_port, PicowsNet(clock) as net:
        good, good_task = run(net, clock, good_port, "good")
        bad, bad_task = run(net, clock, bad_port, "bad")
        await bad.until(lambda: bad.trades[-3:] == ["1", "2", "3"])
        told = len(good.trades)
        await good.until(lambda: len(good.trades) > told)
        downs = [why for state, why in bad.health if state is StreamState.DOWN]
        assert len(downs) == 2
        assert all(why.startswith(reason) for why in downs)
        assert bad.states[-1] is StreamState.LIVE
        assert good.states == [StreamState.CONNECTING, StreamState.LIVE]
        assert good.trades == [str(i) for i in range(len(good.trades))]
        await stop(good_task, bad_task)


async def test_refused_port_and_unknown_host_are_tried_again() -> None:
    clock = HurriedClock()
    async with PicowsNet(clock) as net:
        refused, first = run(net, clock, hostile.free_port(), "refused")
        feed = PlainFeed("nowhere", "ws://no-such-host.invalid/")
        nowhere = Inbox()
        runner = StreamRunner(feed, nowhere, Budget("v", LIMITS), Doors(net, clock, SystemDice()), reconnect_s=0.5)
        second = asyncio.create_task(runner.run())
        for inbox, reason in [(refused, "connect failed: Connection refused"), (nowhere, "name resolution failed")]:
            await inbox.until(lambda inbox=inbox: inbox.states.count(StreamState.DOWN) >= 3)
            assert all(why.startswith(reason) for state, why in inbox.health if state is StreamState.DOWN)
        await stop(first, second)


async def test_ping_only_life_is_life() -> None:
    async def pinging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hostile.upgrade_reply(await reader.readuntil(b"\r\n\r\n")) + frame(TEXT, b"0"))
        for _ in range(30):  # 30 pings 2 s apart as the runner counts, six times its patience
            writer.write(frame(PING))
            await writer.drain()
            await asyncio.sleep(2 / HURRY)
        writer.write(frame(TEXT, b"9"))
        await hostile.gone(reader)

    clock = HurriedClock()
    async with serving(pinging) as port, PicowsNet(clock) as net:
        inbox, task = run(net, clock, port, "pinged")
        await inbox.until(lambda: inbox.trades == ["0", "9"])
        assert inbox.states == [StreamState.CONNECTING, StreamState.LIVE]
        await stop(task)


async def test_not_utf8_and_html_degrade_but_do_not_end_a_stream() -> None:
    clock = HurriedClock()
    bad = frames(frame(TEXT, b"1"), frame(TEXT, b"\xff\xfe"), frame(TEXT, b"<html>"), frame(BINARY, b"\x00"))
    async with serving(bad) as port, PicowsNet(clock) as net:
        inbox, task = run(net, clock, port, "degraded")
        await inbox.until(lambda: (StreamState.DEGRADED, "3 bad frames") in inbox.health)
        assert StreamState.DOWN not in inbox.states
        await stop(task)


async def test_thousands_of_tiny_frames_all_reach_the_sink() -> None:
    clock = HurriedClock()
    flood = b"".join(frame(TEXT, str(i).encode()) for i in range(5000))
    async with serving(frames(flood, together=True)) as port, PicowsNet(clock) as net:
        inbox, task = run(net, clock, port, "flood")
        await inbox.until(lambda: len(inbox.trades) == 5000)
        assert inbox.trades == [str(i) for i in range(5000)]
        await stop(task)


async def test_many_streams_end_cleanly_at_once() -> None:
    clock = HurriedClock()
    async with serving(ticking) as port, PicowsNet(clock) as net:
        running = [run(net, clock, port, f"s{i}") for i in range(30)]
        for inbox, _ in running:
            await inbox.until(lambda inbox=inbox: bool(inbox.trades))
        await stop(*(task for _, task in running))
        assert all(inbox.health[-1] == (StreamState.DOWN, "stopped") for inbox, _ in running)

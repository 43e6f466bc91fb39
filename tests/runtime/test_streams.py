"""StreamRunner in a world of simulated ports: every second of its life, exactly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from simulated import LIMITS, Inbox, PlainFeed, SimClock, SimDice, SimNet, SimStream, settle

from twinleg.core.messages import StreamState
from twinleg.runtime.budget import Budget
from twinleg.runtime.streams import OUTBOX_MESSAGES_MAX, Doors, StreamRunner

pytestmark = pytest.mark.usefixtures("leaves_nothing")

CONNECTING, LIVE, DEGRADED, DOWN = (
    StreamState.CONNECTING,
    StreamState.LIVE,
    StreamState.DEGRADED,
    StreamState.DOWN,
)


class World:
    """A runner and everything around it."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.net = SimNet(self.clock)
        self.feed = PlainFeed()
        self.inbox = Inbox()
        self.runner = StreamRunner(
            self.feed, self.inbox, Budget("v", LIMITS), Doors(self.net, self.clock, SimDice()), reconnect_s=2.0
        )
        self.task = asyncio.create_task(self.runner.run())

    @property
    def stream(self) -> SimStream:
        return self.net.streams[-1]

    async def lives(self, seconds: int) -> None:
        """Time passes on a connection that is pinged."""
        for _ in range(seconds):
            await self.clock.advance(1.0)
            self.stream.pings()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await settle()
    yield world
    world.task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await world.task


async def test_a_life(world: World) -> None:
    assert world.inbox.health == [(CONNECTING, "")]
    assert world.stream.sent == [b"subscribe"]
    world.stream.says(b"1")
    world.stream.says(b"2")
    assert world.inbox.health == [(CONNECTING, ""), (LIVE, "")]
    assert world.inbox.trades == ["1", "2"]
    await world.lives(3)
    assert world.feed.timers == 3
    assert world.inbox.states == [CONNECTING, LIVE]


async def test_end_is_told_at_once_and_the_next_life_starts_from_nothing(world: World) -> None:
    first = world.stream
    first.says(b"1")
    first.hangs_up("peer closed: 1001 restart")
    assert world.inbox.health[-1] == (DOWN, "peer closed: 1001 restart")
    assert world.inbox.losses == ["peer closed: 1001 restart"]
    await world.clock.advance(4.0)
    assert world.stream is not first
    assert world.stream.sent == [b"subscribe"]
    assert world.inbox.health[-1] == (CONNECTING, "after: peer closed: 1001 restart")
    first.says(b"7")
    first.listener.closed("late")
    assert world.inbox.trades == ["1"], "an older life's calls do nothing"
    assert world.inbox.states[-1] is CONNECTING
    world.stream.says(b"2")
    assert world.inbox.trades == ["1", "2"]


async def test_back_off_doubles_to_its_cap_and_is_reset_by_a_stable_minute(world: World) -> None:
    world.net.refusals = ["connect failed: Connection refused"] * 8
    world.stream.hangs_up()
    await world.clock.advance(600.0)
    gaps_s = [
        (later - earlier) / 1e9
        for earlier, later in zip(world.net.attempts_ns[1:], world.net.attempts_ns[2:], strict=False)
    ]
    assert gaps_s[:8] == [4, 8, 16, 32, 60, 60, 60, 60]
    assert (DOWN, "connect failed: Connection refused") in world.inbox.health
    while world.stream.ended is not None:
        await world.clock.advance(1.0)
    world.stream.says(b"1")
    await world.lives(61)
    attempts = len(world.net.attempts_ns)
    world.stream.hangs_up()
    await world.clock.advance(3.0)
    assert len(world.net.attempts_ns) == attempts + 1, "the first delay again, within a tick"


async def test_silence_is_death(world: World) -> None:
    world.stream.says(b"1")
    first = world.stream
    await world.lives(30)
    assert world.runner.state is LIVE, "pings are life"
    await world.clock.advance(11.0)
    assert first.ended is not None
    assert first.ended.startswith("silent for 1")
    assert world.inbox.losses == [first.ended]


async def test_silence_from_the_start_is_death(world: World) -> None:
    first = world.stream
    await world.clock.advance(11.0)
    assert first.ended is not None
    assert LIVE not in world.inbox.states


async def test_feed_that_gives_up_is_reconnected(world: World) -> None:
    first = world.stream
    first.says(b"break")
    assert first.ended == "broken: gap of 3"
    await world.clock.advance(3.0)
    assert world.stream is not first
    assert world.feed.broken is None


async def test_outbox_is_paced_and_starving_is_said(world: World) -> None:
    world.feed.subscribes = [str(i).encode() for i in range(150)]
    world.stream.hangs_up()
    await world.clock.advance(3.0)
    world.stream.says(b"1")
    assert 19 <= len(world.stream.sent) <= 21, "a burst no larger than what may be in flight"
    await world.lives(50)
    assert world.inbox.health[-1] == (LIVE, ""), "a start may take its minute"
    await world.lives(20)
    assert world.inbox.health[-1][0] is DEGRADED
    assert "budget" in world.inbox.health[-1][1]
    await world.lives(120)
    assert world.stream.sent == world.feed.subscribes
    assert world.inbox.health[-1] == (LIVE, "")
    assert world.inbox.states[-3:] == [LIVE, DEGRADED, LIVE]


async def test_outbox_without_bound_is_cut(world: World) -> None:
    world.stream.says(b"1")
    world.feed.outbox.extend([b"x"] * (OUTBOX_MESSAGES_MAX + 100))
    await world.clock.advance(1.0)
    assert world.inbox.health[-1][0] is DOWN
    assert "unsent messages" in world.inbox.health[-1][1]


async def test_bad_frames_degrade_until_they_stop(world: World) -> None:
    world.stream.says(b"1")
    world.stream.says(b"<html>")
    world.stream.says(b"\xff")
    await world.lives(1)
    assert world.inbox.health[-1] == (DEGRADED, "2 bad frames")
    await world.lives(5)
    world.stream.says(b"nonsense")
    await world.lives(9)
    assert world.inbox.states[-1] is DEGRADED
    await world.lives(4)
    assert world.inbox.health[-1] == (LIVE, "")
    assert world.inbox.states == [CONNECTING, LIVE, DEGRADED, LIVE], "no flapping"


async def test_resync_is_sent_at_once(world: World) -> None:
    world.stream.says(b"1")
    world.runner.resync("v:BTC")
    assert world.stream.sent[-1] == b"resync v:BTC"
    world.stream.hangs_up()
    world.runner.resync("v:BTC")
    await world.clock.advance(3.0)
    assert world.stream.sent == [b"subscribe"], "a new life needs no resync"


async def test_send_on_a_dead_connection(world: World) -> None:
    """What the peer said before its end is still heard; the end comes by `closed`, or else by silence."""
    world.stream.breaks_on_send = True
    world.runner.resync("v:BTC")
    world.stream.says(b"1")
    assert world.inbox.trades == ["1"]
    assert world.runner.state is LIVE
    await world.clock.advance(12.0)
    assert (DOWN, "silent for 11000 ms") in world.inbox.health


async def test_connect_budget_is_waited_for() -> None:
    world = World()
    budget = Budget("v", LIMITS)
    budget.connects.empty(world.clock.now_ns, 30.0)
    world.task.cancel()
    runner = StreamRunner(world.feed, world.inbox, budget, Doors(world.net, world.clock, SimDice()))
    task = asyncio.create_task(runner.run())
    await world.clock.advance(29.0)
    assert not world.net.streams
    await world.clock.advance(2.0)
    assert len(world.net.streams) == 1
    task.cancel()
    await asyncio.gather(task, world.task, return_exceptions=True)


@pytest.mark.parametrize("where", ["feed", "sink"])
async def test_our_own_failure_is_loud(world: World, where: str) -> None:
    """DOWN at once, the connection closed, and run raises the error itself."""
    world.stream.says(b"1")
    bug = ZeroDivisionError("a bug of ours")
    if where == "feed":
        world.feed.raises = bug
    else:
        world.inbox.raises = bug
    world.stream.says(b"2")
    assert world.stream.ended == "failed: ZeroDivisionError('a bug of ours')"
    assert world.inbox.health[-1][0] is DOWN
    await world.clock.advance(2.0)
    assert world.task.done()
    assert world.task.exception() is bug
    assert len(world.net.streams) == 1


@pytest.mark.parametrize("method", ["opened", "timer", "closed"])
async def test_failure_of_any_feed_call_is_loud(world: World, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = IndexError("a bug of ours")

    def fails(*args: object) -> None:
        raise bug

    world.stream.says(b"1")
    monkeypatch.setattr(world.feed, method, fails)
    if method != "timer":
        world.stream.hangs_up()
    await world.clock.advance(5.0)
    assert world.task.done()
    assert world.task.exception() is bug
    assert world.runner.state is DOWN
    assert all(stream.ended is not None for stream in world.net.streams)


async def test_stopping_closes_and_says_so(world: World) -> None:
    world.stream.says(b"1")
    world.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await world.task
    assert world.stream.ended == "stopped"
    assert world.inbox.health[-1] == (DOWN, "stopped")
    assert world.inbox.losses == ["stopped"]

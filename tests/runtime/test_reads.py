"""perform: every answer and every silence has its own type."""

from __future__ import annotations

import asyncio

import hostile
import msgspec
import pytest
from simulated import LIMITS, SimClock, SimNet

from twinleg.core.messages import MarketEvent, VenueClock
from twinleg.core.venue import Read, Request, WireError
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.ports import Reply
from twinleg.runtime.reads import Answered, Misread, Outcome, Refused, Unanswered, perform

pytestmark = pytest.mark.usefixtures("leaves_nothing")

OK = Reply(200, b"1700000000500")


def clock_of(body: bytes, now_ms: int) -> list[MarketEvent]:
    try:
        venue_ms = msgspec.json.decode(body, type=int)
    except msgspec.MsgspecError as error:
        raise WireError(f"no time: {error}") from error
    return [VenueClock("v", venue_ms - now_ms, 0, now_ms)]


def ask(url: str = "http://venue/time", *, weight: int = 1, reduces_risk: bool = False) -> Read:
    request = Request(venue="v", method="GET", url=url, weight=weight, reduces_risk=reduces_risk)
    return Read(request, clock_of)


class World:
    def __init__(self) -> None:
        self.clock = SimClock()
        self.net = SimNet(self.clock)
        self.budget = Budget("v", LIMITS)

    async def perform(self, reply: Reply = OK, read: Read | None = None, timeout_ms: int = 5_000) -> Outcome:
        self.net.answer = lambda request, timeout_ms: reply
        task = asyncio.create_task(perform(read or ask(), self.net, self.clock, self.budget, timeout_ms))
        while not task.done():
            await self.clock.advance(0.1)
        return task.result()


async def test_answer_with_the_clock_measured_over_the_round_trip() -> None:
    world = World()
    world.net.answers_after_s = 0.3
    outcome = await world.perform()
    assert isinstance(outcome, Answered)
    (event,) = outcome.events
    assert isinstance(event, VenueClock)
    # Received at 1.3 s; the venue's 0.5 s were true half a round trip earlier, at 1.15 s.
    assert (event.offset_ms, event.round_trip_ms) == (500 - 1_150, 300)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(500, b"oops"), Refused(500, "oops")),
        (Reply(404, b"\xff" + b"x" * 1000), Refused(404, "\ufffd" + "x" * 199)),
        (Reply(302, b""), Refused(302, "")),
        (Reply(None, b"", "timeout of 5000 ms"), Unanswered("timeout of 5000 ms")),
    ],
)
async def test_other_outcomes(reply: Reply, expected: Outcome) -> None:
    assert await World().perform(reply) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":1}', b"\xff"])
async def test_what_cannot_be_trusted_is_misread(body: bytes) -> None:
    outcome = await World().perform(Reply(200, body))
    assert isinstance(outcome, Misread)
    assert outcome.reason.startswith("no time")


async def test_error_of_our_own_is_not_hidden() -> None:
    def parse(body: bytes, now_ms: int) -> list[MarketEvent]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await World().perform(read=Read(ask().request, parse))


async def test_too_many_requests_holds_everybody_back() -> None:
    world = World()
    assert await world.perform(Reply(429, b"slow down", retry_after_s=20.0)) == Refused(429, "slow down")
    outcome = await world.perform(read=ask(reduces_risk=True))
    assert isinstance(outcome, Unanswered)
    assert outcome.reason.startswith("request budget: 2")
    before_ns = world.clock.now_ns
    assert isinstance(await world.perform(timeout_ms=30_000), Answered)
    assert world.clock.now_ns - before_ns >= 20_000_000_000


async def test_budget_is_waited_for_within_the_timeout() -> None:
    world = World()
    asked_ms: list[int] = []

    def answer(request: Request, timeout_ms: int) -> Reply:
        asked_ms.append(timeout_ms)
        return OK

    while not world.budget.requests.take(world.clock.now_ns):
        pass
    task = asyncio.create_task(perform(ask(), world.net, world.clock, world.budget, 5_000))
    world.net.answer = answer
    await world.clock.advance(4.0)
    assert isinstance(task.result(), Answered)
    assert asked_ms == [5_000 - 1_334], "what the wait took is taken off"
    assert isinstance(await world.perform(read=ask(reduces_risk=True), timeout_ms=1), Answered)


async def test_over_real_sockets() -> None:
    clock = SystemClock()
    budget = Budget("v", LIMITS)
    scripts = [
        hostile.http("200 OK", b"1700000000500"),
        hostile.http("200 OK", b"<html>"),
        hostile.http("429 Too Many Requests", b"slow", "Retry-After: 60"),
    ]
    expected: list[type[Outcome]] = [Answered, Misread, Refused]
    async with PicowsNet(clock) as net:
        for script, kind in zip(scripts, expected, strict=True):
            async with hostile.serving(script) as port:
                outcome = await perform(ask(f"http://127.0.0.1:{port}/"), net, clock, budget, 20_000)
                assert isinstance(outcome, kind)
        assert isinstance(await perform(ask("http://127.0.0.1:1/"), net, clock, budget, 20_000), Unanswered)

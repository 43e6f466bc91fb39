"""A lost order never arrived once the venue cannot take its bytes any more, and not a moment before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from market_samples import ONE
from twinleg.core.orders import Side
from twinleg.core.trading import AccountRead, Lane, OrderSeen, Signed
from twinleg.core.venue import Request
from twinleg.gateway.held import Held
from twinleg.gateway.placing import STEPS_MAX, UNDER_WAY_MAX, InDoubtError, Placing, Wanted
from twinleg.gateway.problems import Problem
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.known import LAG_MS

LIFE_MS = 60_000
ETH = ONE
REQUEST = Request(venue="v", method="GET", url="http://v/")


class Clock:
    """Time passes by sleeping."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def wall_ms(self) -> int:
        return self.ms

    def mono_ns(self) -> int:
        return self.ms * 1_000_000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1_000)


class Post:
    """A venue whose lists show what `answers` say, one after the other, the last for ever."""

    def __init__(self, clock: Clock, *answers: Any) -> None:
        self.clock, self.answers = clock, list(answers)
        self.asked_ms: list[int] = []
        self.held, self.venue, self.gate = Held(), self, self
        self.name = "v"

    def order(self, name: str, _market: Any, _now_ms: int) -> list[AccountRead]:
        return [AccountRead(REQUEST, lambda _body, _now: [])]

    async def read(self, _read: AccountRead, *, urgent: bool) -> Any:
        assert urgent
        self.asked_ms.append(self.clock.ms)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def seen() -> OrderSeen:
    return OrderSeen(
        venue="v",
        market=ETH.key,
        client_id=None,
        venue_order_id="5",
        side=Side.BUY,
        size_lots=1,
        filled_lots=0,
        price_ticks=1,
        reduce_only=False,
        resting=True,
        reason="open",
        at_ms=1,
        name="99",
    )


async def found_out(clock: Clock, post: Post) -> dict[str, Any]:
    site: Any = SimpleNamespace(doors=SimpleNamespace(clock=clock))
    where: Any = post
    wanted = Wanted(post=where, market=ETH, make=lambda _lane, _now: signed, names={}, urgent=False, placed=seen())
    signed = Signed(
        client_id="99", request=REQUEST, correlation="c", lane=Lane("5", 1), void_after_ms=clock.ms + LIFE_MS
    )
    return await Placing(site)._found_out(InDoubtError(Problem(504, "outcome_unknown", "?"), wanted, signed))


async def test_absence_proves_nothing_while_the_venue_may_take_it() -> None:
    clock = Clock()
    start_ms = clock.ms
    post = Post(clock, [])
    assert await found_out(clock, post) == {"outcome": "never_arrived"}
    assert len(post.asked_ms) > 3
    assert post.asked_ms[-1] > start_ms + LIFE_MS + LAG_MS
    assert all(asked_ms <= start_ms + LIFE_MS + LAG_MS for asked_ms in post.asked_ms[:-1])


async def test_no_answer_is_no_absence() -> None:
    clock = Clock()
    post = Post(clock, *[Unread("down")] * 30, [seen()])
    found = await found_out(clock, post)
    assert (found["outcome"], found["order"]["client_id"]) == ("found", "99")
    assert len(post.asked_ms) == 31


async def test_a_venue_that_never_tells_is_not_asked_for_ever() -> None:
    clock = Clock()
    post = Post(clock, Unread("down"))
    assert await found_out(clock, post) == {"outcome": "unknown"}
    assert len(post.asked_ms) == STEPS_MAX


async def test_too_many_at_once_are_sent_away() -> None:
    placing = Placing(SimpleNamespace())  # type: ignore[arg-type]  # nothing of it is touched

    async def work() -> dict[str, Any]:
        raise AssertionError("it was done")

    placing._under_way = UNDER_WAY_MAX
    with pytest.raises(Problem) as refused:
        await placing.submit("v", {}, work())
    assert (refused.value.status_code, refused.value.code) == (429, "busy")

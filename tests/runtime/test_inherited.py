"""Orders of an earlier run, of which nobody knows whether they were sent: soon known, and never guessed."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from test_doubts import ends, kinds_sent
from tiny_venue import LIFE_MS, LIMITS, TinyWorld

from twinleg.core.orders import OrderDone, TimeInForce
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.known import LAG_MS, Pace

pytestmark = pytest.mark.usefixtures("leaves_nothing")

FAR_MS = 20 * 60_000
"""An order that was to rest for long: its bytes would be good for as long."""


async def restarted(world: TinyWorld, **changes: Any) -> None:
    world.gate.expect(world.intent(deadline_ms=world.now_ms + FAR_MS, **changes))
    await world.gate.warm()


async def asked(world: TinyWorld) -> None:
    world.gate.query("T000001-long-0", world.now_ms)
    await world.live(1.0)


async def test_once_every_keys_number_is_used_it_never_came() -> None:
    async with TinyWorld(keys=("k0", "k1", "k2")) as world:
        await restarted(world)
        await world.live(10.0)
        assert sorted(one["key"] for one in world.wire.sent) == ["k0", "k1", "k2"]
        await asked(world)
        assert ends(world) == [], "lists may lag"
        await world.live(LAG_MS / 1_000)
        await asked(world)
        assert ends(world) == [("never arrived", 0)]
        assert world.lanes.foreign == {}


async def test_one_key_whose_number_is_free_leaves_the_fate_open() -> None:
    async with TinyWorld(keys=("k0", "k1", "k2")) as world:
        world.wire.fates.extend(["ok", "ok", *["dropped"] * 12])
        await restarted(world)
        await world.live(LAG_MS / 1_000 + 8.0)
        await asked(world)
        assert (world.exchange.next["k0"], world.exchange.next["k1"], world.exchange.next["k2"]) == (1, 1, 0)
        assert ends(world) == []
        await world.live(40.0 + LAG_MS / 1_000)
        await asked(world)
        assert ends(world) == [("never arrived", 0)]


def test_the_pace_of_asking() -> None:
    pace = Pace(every_ns=10)
    assert [pace.may(now_ns) for now_ns in (1, 2, 3, 11, 12, 13)] == [True, True, False, False, True, False]
    assert pace.may(15, proof_ns=14), "what would prove something for the first time"
    assert not pace.may(16, proof_ns=14)


async def test_what_the_dead_process_sent_is_found_and_nothing_of_it_comes_later() -> None:
    """Its bytes are on their way while we start: they win, or our number does; never both."""
    async with TinyWorld() as world:
        world.exchange.take(
            {"kind": "order", "client": "T000001-long-0", "key": "k0", "number": 0, "void_ms": world.now_ms + LIFE_MS,
             "side": "buy", "size": 10, "limit": 10_000, "rests": False}
        )  # fmt: skip
        world.exchange.told.clear()
        await restarted(world)
        await world.live(LAG_MS / 1_000 + 10.0)
        await asked(world)
        assert ends(world) == [("ioc", 10)]


async def test_bytes_that_come_too_late_are_refused() -> None:
    async with TinyWorld() as world:
        late = {"kind": "order", "client": "T000001-long-0", "key": "k0", "number": 0, "void_ms": world.now_ms + FAR_MS,
                "side": "buy", "size": 10, "limit": 10_000, "rests": False}  # fmt: skip
        await restarted(world)
        await world.live(10.0)
        assert world.exchange.take(late)[0] == 409
        await world.live(LAG_MS / 1_000)
        await asked(world)
        assert ends(world) == [("never arrived", 0)]


@pytest.mark.parametrize("fate", ["dropped", "down", "lost", "busy"])
async def test_a_number_counts_as_used_by_the_venues_word_alone(fate: str) -> None:
    async with TinyWorld() as world:
        world.wire.fates.append(fate)
        await restarted(world)
        await world.live(LAG_MS / 1_000 + 20.0)
        assert world.exchange.next["k0"] == 1
        await asked(world)
        assert ends(world) == [("never arrived", 0)]


async def test_while_the_venue_tells_no_number_nothing_is_proven() -> None:
    async with TinyWorld() as world:
        world.wire.deaf.add("next")
        await restarted(world)
        await world.live(LAG_MS / 1_000 + 30.0)
        await asked(world)
        assert (ends(world), kinds_sent(world)) == ([], [])


async def test_what_rests_nowhere_is_not_cancelled() -> None:
    async with TinyWorld() as world:
        world.gate.expect(world.intent())
        world.gate.expect(world.intent(2, time_in_force=TimeInForce.POST_ONLY))
        for name in ("T000001-long-0", "T000002-long-0"):
            world.gate.cancel(name, world.now_ms)
        await world.live(1.0)
        assert [(one["kind"], one["client"]) for one in world.wire.sent] == [("cancel", "T000002-long-0")]


async def test_nothing_is_sent_for_orders_that_are_over() -> None:
    async with TinyWorld() as world:
        world.gate.expect(world.intent(), over=True)
        await world.gate.warm()
        await world.live(10.0)
        assert world.wire.sent == []
        assert not [one for one in world.news if isinstance(one, OrderDone)]


async def test_without_numbers_its_bytes_expire() -> None:
    async with TinyWorld(sequenced=False) as world:
        world.gate.expect(world.intent(deadline_ms=world.now_ms + 1_000))
        await world.gate.warm()
        await world.live((1_000 + LIFE_MS + LAG_MS) / 1_000 + 1.0)
        await asked(world)
        assert ends(world) == [("never arrived", 0)]
        assert world.wire.sent == []


async def test_asking_again_and_again_leaves_a_small_budget_to_others() -> None:
    """A repair asks every few seconds: what else the venue is asked must go on, and the fate be known no later."""
    limits = msgspec.structs.replace(LIMITS, requests_per_minute=60)
    async with TinyWorld(keys=("k0", "k1", "k2"), limits=limits) as world:
        await restarted(world)
        others = 0
        for _ in range(20):
            world.gate.cancel("T000001-long-0", world.now_ms)
            world.gate.query("T000001-long-0", world.now_ms)
            await world.live(2.0)
            reading = asyncio.ensure_future(world.gate.read(world.trading.balance(world.now_ms)))
            await world.live(1.0)
            others += reading.done() and not isinstance(reading.result(), Unread)
            reading.cancel()
            if ends(world):
                break
        assert ends(world) == [("never arrived", 0)]
        assert others >= 5
        assert world.clock.mono_ns() < (LAG_MS + 25_000) * 1_000_000

"""Orders signed ahead: nothing leaves before it is submitted, and whoever wants to send has the lane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import msgspec
import pytest
from tiny_venue import ETH, VENUE, TinyWorld

from twinleg.core.orders import OrderAccepted, OrderRejected, Purpose, Side
from twinleg.core.trading import IN_DOUBT, Incident
from twinleg.runtime import prepared as prepared_room

pytestmark = pytest.mark.usefixtures("leaves_nothing")


class Slow(Executor):
    """Signs when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def sign() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(*args, **named))
                except Exception as error:  # noqa: BLE001 (it is passed on)
                    future.set_exception(error)

        self.waiting.append(sign)
        return future

    async def go(self) -> None:
        for sign in self.waiting:
            sign()
        self.waiting.clear()
        for _ in range(5):
            await asyncio.sleep(0)


async def warmed(world: TinyWorld) -> None:
    """The lanes' numbers are known."""
    await world.submit(world.intent(90))
    world.news.clear()


def counts(world: TinyWorld) -> tuple[int, int]:
    return world.gate.prepared_used, world.gate.prepared_lost


def sent(world: TinyWorld) -> list[tuple[str, int]]:
    return [(tx["client"], tx["number"]) for tx in world.wire.sent if tx["client"] != "T000090-long-0"]


@pytest.mark.parametrize("sequenced", [True, False])
async def test_what_is_prepared_leaves_when_it_is_submitted_and_only_then(sequenced: bool) -> None:
    async with TinyWorld(sequenced=sequenced) as world:
        await warmed(world)
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        assert await world.live(2.0) == []
        assert sent(world) == []
        assert not world.gate.knows(intent.client_id)
        world.gate.submit(intent, world.now_ms)
        await asyncio.sleep(0)
        assert [name for name, _ in sent(world)] == [intent.client_id]  # with nothing awaited in between
        assert OrderAccepted in {type(one) for one in await world.live(1.0)}
        assert (counts(world), world.trading.signatures) == ((1, 0), 2)


async def test_preparing_learns_the_number() -> None:
    async with TinyWorld() as world:
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        assert [step for step, *_ in world.wire.history] == ["told"]
        world.gate.submit(intent, world.now_ms)
        await world.live(0.5)
        assert counts(world) == (1, 0)
        assert [step for step, *_ in world.wire.history] == ["told", "sent"]


async def test_only_the_very_same_intent_is_sent_as_prepared() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        world.gate.submit(msgspec.structs.replace(intent, limit_ticks=199_000), world.now_ms)
        await world.live(0.5)
        assert [tx["limit"] for tx in world.wire.sent[1:]] == [199_000]
        assert counts(world) == (0, 1)


@pytest.mark.parametrize("change", ["facts", "age"])
async def test_a_signature_does_not_outlive_what_it_was_made_from(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with TinyWorld() as world:
        await warmed(world)
        intent = world.intent(deadline_ms=world.now_ms + 600_000)
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        if change == "facts":
            world.markets[ETH.key] = msgspec.structs.replace(ETH, min_size_lots=2)
        else:
            monkeypatch.setattr(prepared_room, "PREPARED_NS_MAX", 400_000_000)
        world.gate.submit(intent, world.now_ms)
        await world.live(0.5)
        assert (counts(world), world.trading.signatures) == ((0, 1), 3)
        assert sent(world) == [(intent.client_id, 1)]


async def test_what_is_dropped_is_not_heard_of_again() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        world.gate.prepare(world.intent(), world.now_ms)
        world.gate.drop("T000001-long-0", world.now_ms)
        world.gate.drop("T000077-long-0", world.now_ms)  # could not be prepared
        await world.submit(world.intent(2))
        assert sent(world) == [("T000002-long-0", 1)]
        assert counts(world) == (0, 0)
        world.gate.prepare(world.intent(), world.now_ms)  # armed again
        await world.live(0.5)
        assert not [one for one in world.news if one.client_id == "T000001-long-0"]


async def test_another_that_is_sent_has_the_lane() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        await world.submit(world.intent(2))
        assert counts(world) == (0, 1)
        world.gate.submit(intent, world.now_ms)
        await world.live(0.5)
        assert sent(world) == [("T000002-long-0", 1), ("T000001-long-0", 2)]


async def test_a_free_key_is_taken_before_a_held_one() -> None:
    async with TinyWorld(keys=("k0", "k1", "k2")) as world:
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        await world.submit(world.intent(2))
        await world.submit(world.intent(3, reduce_only=True, purpose=Purpose.EXIT, side=Side.SELL))
        world.gate.submit(intent, world.now_ms)
        await world.live(0.5)
        assert len({tx["key"] for tx in world.wire.sent}) == 3
        assert counts(world) == (1, 0)


async def test_a_second_one_is_signed_when_it_is_sent() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        one, two = world.intent(1), world.intent(2)
        for intent in (one, two):
            world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        assert world.trading.signatures == 2
        world.gate.submit(one, world.now_ms)
        world.gate.submit(two, world.now_ms)
        await world.live(1.0)
        assert sent(world) == [("T000001-long-0", 1), ("T000002-long-0", 2)]
        assert counts(world) == (1, 0)


async def test_a_number_in_doubt_gives_the_signature_up() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        world.gate.account([Incident(VENUE, IN_DOUBT, "reconnected", world.now_ms)])
        world.exchange.next["k0"] += 3
        world.gate.submit(intent, world.now_ms)
        await world.live(0.5)
        assert sent(world) == [(intent.client_id, 4)]
        assert counts(world) == (0, 1)


async def test_a_deadline_that_passes_in_between_counts() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        intent = world.intent(deadline_ms=world.now_ms + 1_000)
        world.gate.prepare(intent, world.now_ms)
        await world.live(2.0)
        world.gate.submit(intent, world.now_ms)
        (told,) = await world.live(0.5)
        assert (type(told), told.reason) == (OrderRejected, "not sent: its time has passed")
        await world.submit(world.intent(2))
        assert sent(world) == [("T000002-long-0", 1)]


async def test_an_order_submitted_while_it_is_signed_waits_for_its_signature() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        world.gate._sender._signer = signer = Slow()
        world.gate.prepare(world.intent(), world.now_ms)
        world.gate.submit(world.intent(), world.now_ms)
        assert await world.live(0.5) == []
        await signer.go()
        assert OrderAccepted in {type(one) for one in await world.live(0.5)}
        assert (counts(world), world.trading.signatures) == ((1, 0), 2)


async def test_what_is_being_sent_is_not_given_up() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        world.wire.fates.append("slow")
        world.gate.submit(intent, world.now_ms)
        await asyncio.sleep(0)
        world.gate.submit(world.intent(2), world.now_ms)
        world.gate.account([Incident(VENUE, IN_DOUBT, "reconnected", world.now_ms)])
        await world.live(1.5)
        assert sent(world) == [("T000001-long-0", 1), ("T000002-long-0", 2)]
        assert counts(world) == (1, 0)


async def test_a_number_in_doubt_while_a_submitted_order_is_signed_is_not_used() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        world.gate._sender._signer = signer = Slow()
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        world.gate.submit(intent, world.now_ms)
        await world.live(0.1)
        world.exchange.next["k0"] += 3
        world.gate.account([Incident(VENUE, IN_DOUBT, "reconnected", world.now_ms)])
        await signer.go()
        await world.live(0.1)
        await signer.go()
        await world.live(0.5)
        assert sent(world) == [(intent.client_id, 4)]
        assert counts(world) == (0, 1)


@pytest.mark.parametrize("how", ["drop", "wanted"])
async def test_a_signature_that_comes_too_late_is_thrown_away(how: str) -> None:
    async with TinyWorld() as world:
        await warmed(world)
        world.gate._sender._signer = signer = Slow()
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        if how == "drop":
            world.gate.drop(intent.client_id, world.now_ms)
        world.gate.submit(world.intent(2), world.now_ms)
        await world.live(0.1)
        await signer.go()
        await world.live(0.5)
        assert sent(world) == [("T000002-long-0", 1)]
        if how == "wanted":
            world.gate.submit(intent, world.now_ms)
            await world.live(0.1)
            await signer.go()
            await world.live(0.5)
            assert sent(world)[1:] == [(intent.client_id, 2)]


@pytest.mark.parametrize("how", ["drop", "wanted"])
async def test_a_number_that_is_asked_for_goes_to_whoever_took_the_lane(how: str) -> None:
    async with TinyWorld() as world:
        world.wire.number_takes_s = 0.2
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.1)
        if how == "drop":
            world.gate.drop(intent.client_id, world.now_ms)
        world.gate.submit(world.intent(2), world.now_ms)
        await world.live(0.5)
        assert [step for step, *_ in world.wire.history] == ["told", "sent"]


async def test_without_a_number_the_order_is_given_up_and_signed_later() -> None:
    async with TinyWorld() as world:
        world.wire.deaf.add("next")
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        world.wire.deaf.clear()
        assert counts(world) == (0, 1)
        world.gate.prepare(world.intent(2), world.now_ms)  # the lane is free again
        await world.live(0.5)
        assert world.trading.signatures == 1
        world.gate.submit(intent, world.now_ms)
        await world.live(0.5)
        assert sent(world) == [(intent.client_id, 0)]


async def test_what_cannot_be_signed_is_refused_when_it_is_submitted() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        world.trading.raises = ValueError("below the minimum")
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        assert await world.live(0.5) == []
        world.gate.submit(intent, world.now_ms)
        (told,) = await world.live(0.5)
        assert told.reason == "not sent: below the minimum"
        assert [step for step, *_ in world.wire.history] == ["told", "sent"]  # the number is as good as it was


async def test_a_taken_back_order_is_not_sent_though_it_is_ready() -> None:
    async with TinyWorld() as world:
        await warmed(world)
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        world.gate.submit(intent, world.now_ms)
        world.gate.cancel(intent.client_id, world.now_ms)
        (told,) = await world.live(0.5)
        assert told.reason == "not sent: taken back"
        assert sent(world) == []


@pytest.mark.parametrize("when", ["learning", "ready"])
async def test_closing_forgets_what_was_only_prepared(when: str) -> None:
    async with TinyWorld() as world:
        world.gate.prepare(world.intent(), world.now_ms)
        if when == "ready":
            await world.live(0.5)
        await world.gate.close()
        if when == "ready":
            async with world.lanes.turn(reduces_risk=True, timeout_s=0.0) as turn:
                assert turn.number == 0
        assert world.gate.due(world.now_ms) == []
        assert world.wire.sent == []
        with pytest.raises(AssertionError, match="closed"):
            world.gate.prepare(world.intent(2), world.now_ms)


async def test_an_order_is_prepared_once_and_never_after_it_was_sent() -> None:
    async with TinyWorld() as world:
        intent = world.intent()
        world.gate.prepare(intent, world.now_ms)
        world.gate.prepare(intent, world.now_ms)
        await world.live(0.5)
        assert world.trading.signatures == 1
        world.gate.submit(intent, world.now_ms)
        with pytest.raises(AssertionError, match="after it was sent"):
            world.gate.prepare(intent, world.now_ms)
        with pytest.raises(AssertionError, match="after it was sent"):
            world.gate.drop(intent.client_id, world.now_ms)
        await world.live(0.5)
        assert len(sent(world)) == 1


async def test_what_is_held_ready_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_room, "PREPARED_MAX", 2)
    async with TinyWorld(sequenced=False) as world:
        for number in range(1, 5):
            world.gate.prepare(world.intent(number), world.now_ms)
        await world.live(0.5)
        assert world.trading.signatures == 2
        world.gate.submit(world.intent(4), world.now_ms)
        await world.live(0.5)
        assert len(sent(world)) == 1

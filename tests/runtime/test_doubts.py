"""Orders in doubt: their fate is known as soon as the venue can know it, and never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_venue import LIFE_MS, VENUE, TinyWorld

from twinleg.core.orders import Filled, OrderAccepted, OrderDone, OrderRejected, OrderUnknown, TimeInForce
from twinleg.core.trading import FOREIGN_KEY, KEY_REFUSED, Incident, Lane, TransactionSeen
from twinleg.runtime.known import LAG_MS

pytestmark = pytest.mark.usefixtures("leaves_nothing")

FAST_S = 3.0
"""Within so long of the venue's answering again a fate must be known."""


def ends(world: TinyWorld, number: int = 1) -> list[tuple[str, int]]:
    """How the order ended, as the gate told."""
    name = f"T{number:06d}-long-0"
    return [
        (one.reason.partition(":")[0], one.filled_lots)
        for one in world.news
        if isinstance(one, OrderDone) and one.client_id == name
    ]


def kinds_sent(world: TinyWorld) -> list[tuple[str, int]]:
    return [(tx["kind"], tx["number"]) for tx in world.wire.sent]


async def doubt(world: TinyWorld, fate: str, *, stream: bool = True, **changes: Any) -> None:
    world.wire.fates.append(fate)
    world.gate.submit(world.intent(**changes), world.now_ms)
    await world.live(0.1, stream=stream)
    assert [type(one) for one in world.news if not isinstance(one, Filled | OrderDone)] == [OrderUnknown]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fate", ["dropped", "down", "late"])
async def test_another_transaction_takes_the_number_and_the_order_never_arrives(fate: str, stream: bool) -> None:
    async with TinyWorld() as world:
        world.exchange.shows_numbers = stream
        await doubt(world, fate, stream=stream)
        await world.live(FAST_S, stream=stream)
        assert ends(world) == [("never arrived", 0)]
        assert kinds_sent(world) == [("order", 0), ("nothing", 0)]
        await world.live(LIFE_MS / 1_000, stream=stream)
        assert not world.exchange.orders
        assert ends(world) == [("never arrived", 0)]
        assert world.lanes.foreign == {}


@pytest.mark.parametrize("fate", ["lost", "broken"])
async def test_an_order_that_arrived_is_found_though_the_stream_is_silent(fate: str) -> None:
    async with TinyWorld() as world:
        await doubt(world, fate, stream=False)
        await world.live(FAST_S, stream=False)
        assert ends(world) == [("ioc", 10)]
        assert world.fills_told() == {"f0": ("T000001-long-0", 10)}
        assert kinds_sent(world) == [("order", 0)]
        await world.submit(world.intent(2))
        assert sum(step == "told" for step, *_ in world.wire.history) == 2  # what was learned meanwhile is of use


async def test_a_transaction_that_the_venue_has_is_not_raced() -> None:
    async with TinyWorld() as world:
        world.wire.fates.append("late")
        world.gate.submit(world.intent(), world.now_ms)
        await world.live(0.1)
        queued = TransactionSeen(
            venue=VENUE, key="k0", number=0, correlation="order/T000001-long-0/k0/0", client_id="T000001-long-0",
            executed=False, at_ms=world.now_ms,
        )  # fmt: skip
        world.gate.account([queued])
        await world.live(FAST_S)
        assert kinds_sent(world) == [("order", 0)]
        assert ends(world) == [("ioc", 10)]


async def test_an_end_without_its_fills_is_not_the_end() -> None:
    async with TinyWorld() as world:
        await doubt(world, "lost", stream=False)
        world.wire.deaf.add("fills")
        await world.live(FAST_S, stream=False)
        assert ends(world)
        assert world.fills_told() == {}
        world.wire.deaf.clear()
        await world.live(FAST_S, stream=False)
        assert world.fills_told() == {"f0": ("T000001-long-0", 10)}
        requests = len(world.wire.requests)
        await world.live(30.0, stream=False)
        assert len(world.wire.requests) == requests


async def test_an_order_that_the_stream_shows_is_not_asked_about() -> None:
    async with TinyWorld() as world:
        await doubt(world, "lost")
        requests = len(world.wire.requests)
        await world.live(10.0)
        assert ends(world) == [("ioc", 10)]
        assert len(world.wire.requests) == requests


async def test_an_order_that_rests_is_left_resting() -> None:
    async with TinyWorld() as world:
        await doubt(world, "lost", stream=False, time_in_force=TimeInForce.POST_ONLY)
        await world.live(FAST_S, stream=False)
        assert [type(one) for one in world.news] == [OrderUnknown, OrderAccepted]
        requests = len(world.wire.requests)
        await world.live(30.0, stream=False)
        assert len(world.wire.requests) == requests
        assert world.exchange.orders["o0"].resting


@pytest.mark.parametrize("out_s", [2.0, 8.0, 40.0])
async def test_a_fate_is_known_soon_after_the_venue_answers_again(out_s: float) -> None:
    async with TinyWorld() as world:
        await doubt(world, "dropped", stream=False)
        world.wire.deaf |= {"next", "transaction", "open", "closed", "fills"}
        await world.live(out_s, stream=False)
        assert ends(world) == []
        world.wire.deaf.clear()
        await world.live(FAST_S, stream=False)
        assert ends(world) == [("never arrived", 0)]


async def test_an_order_that_arrives_late_after_all_is_found() -> None:
    async with TinyWorld() as world:
        await doubt(world, "late", stream=False)
        world.wire.deaf.add("next")
        await world.live(1.5, stream=False)
        world.wire.deaf.clear()
        await world.live(FAST_S, stream=False)
        assert ends(world) == [("ioc", 10)]
        assert kinds_sent(world) == [("order", 0)]


@pytest.mark.parametrize("rival", ["dropped", "lost", "unsent", "down", "broken"])
async def test_what_takes_its_place_may_be_in_doubt_itself(rival: str) -> None:
    async with TinyWorld() as world:
        world.wire.fates.extend(["dropped", rival])
        world.gate.submit(world.intent(), world.now_ms)
        await world.live(2 * FAST_S, stream=False)
        assert ends(world) == [("never arrived", 0)]
        assert [one.number for one in world.exchange.transactions.values()] == [0]


async def test_the_next_order_takes_the_place_as_well() -> None:
    async with TinyWorld() as world:
        world.exchange.shows_numbers = False
        world.wire.fates.append("dropped")
        world.gate.submit(world.intent(), world.now_ms)
        world.gate.submit(world.intent(2), world.now_ms)
        await world.live(FAST_S, stream=False)
        assert kinds_sent(world) == [("order", 0), ("order", 0)]
        assert ends(world) == [("never arrived", 0)]
        assert ends(world, 2) == []
        assert [one.client for one in world.exchange.orders.values()] == ["T000002-long-0"]


async def test_a_number_says_nothing_about_another_keys() -> None:
    async with TinyWorld(keys=("k0", "k1", "k2")) as world:
        await doubt(world, "dropped", stream=False)
        world.wire.deaf.add("next")
        for key in ("k0", "k2"):
            seen = TransactionSeen(
                venue=VENUE, key=key, number=0, correlation=key, client_id=None, executed=True, at_ms=world.now_ms
            )
            world.gate.account([seen])
        pending = TransactionSeen(
            venue=VENUE, key="k1", number=0, correlation="k1", client_id=None, executed=False, at_ms=world.now_ms
        )
        world.gate.account([pending])
        assert world.wire.sent[0]["key"] == "k1"
        await world.live(FAST_S, stream=False)
        assert ends(world) == []


async def test_what_is_refused_in_its_place_proves_nothing() -> None:
    async with TinyWorld() as world:
        world.wire.fates.extend(["dropped", *["refused"] * 1_000])
        world.gate.submit(world.intent(), world.now_ms)
        await world.live(LIFE_MS / 1_000 + LAG_MS / 1_000 - 2.0)
        assert ends(world) == []
        await world.live(10.0)
        world.gate.query("T000001-long-0", world.now_ms)
        await world.live(1.0)
        assert ends(world) == [("never arrived", 0)]


async def test_a_number_that_another_process_used_needs_time_to_prove_it() -> None:
    async with TinyWorld() as world:
        await doubt(world, "dropped", stream=False)
        world.exchange.next["k0"] += 1
        await world.live(LAG_MS / 1_000 - 2.0, stream=False)
        assert ends(world) == []
        await world.live(6.0, stream=False)
        assert ends(world) == [("never arrived", 0)]
        assert kinds_sent(world) == [("order", 0)]


async def test_an_old_answer_about_the_number_is_none() -> None:
    async with TinyWorld() as world:
        await world.submit(world.intent(2))
        await doubt_after(world)
        world.exchange.next["k0"] = 0  # as an address that is behind would tell
        await world.live(1.0, stream=False)
        assert ends(world) == []
        world.exchange.next["k0"] = 1
        await world.live(FAST_S, stream=False)
        assert ends(world) == [("never arrived", 0)]
        assert kinds_sent(world) == [("order", 0), ("order", 1), ("nothing", 1)]


async def doubt_after(world: TinyWorld) -> None:
    world.wire.fates.append("dropped")
    world.gate.submit(world.intent(), world.now_ms)
    await world.live(0.1, stream=False)


async def test_a_name_that_is_taken_is_not_proven_away_by_a_number() -> None:
    async with TinyWorld() as world:
        await doubt(world, "exists", stream=False)
        await world.live(FAST_S)
        assert kinds_sent(world) == [("order", 0)]
        await world.submit(world.intent(2))
        assert kinds_sent(world) == [("order", 0), ("order", 0)]
        await world.live(FAST_S)
        assert ends(world) == []


async def test_without_numbers_only_the_end_of_its_bytes_proves_it_and_nobody_need_ask() -> None:
    async with TinyWorld(sequenced=False) as world:
        await doubt(world, "dropped")
        await world.live((LIFE_MS + LAG_MS) / 1_000 - 1.0)
        assert ends(world) == []
        await world.live(FAST_S + 1.0)
        assert ends(world) == [("never arrived", 0)]


async def test_without_numbers_a_lost_answer_is_found() -> None:
    async with TinyWorld(sequenced=False) as world:
        await doubt(world, "lost", stream=False)
        await world.live(1.0, stream=False)
        assert ends(world) == [("ioc", 10)]


async def test_an_accepted_order_that_is_shown_nowhere_placed_nothing() -> None:
    async with TinyWorld() as world:
        await world.submit(stream=False)
        world.exchange.orders.clear()
        world.exchange.fills.clear()
        world.gate.query("T000001-long-0", world.now_ms)  # its transaction is done: whatever came of it is in lists
        await world.live(LAG_MS / 1_000 + 1.0, stream=False)
        assert ends(world) == []
        world.gate.query("T000001-long-0", world.now_ms)
        await world.live(1.0, stream=False)
        assert ends(world) == [("never arrived", 0)]


# -- what the venue tells of our keys --------------------------------------------------------------------------------


def foreign(world: TinyWorld) -> list[str]:
    return [one.kind for one in world.heard if isinstance(one, Incident)]


async def test_a_transaction_that_is_not_ours_is_foreign_use() -> None:
    async with TinyWorld() as world:
        await world.submit()
        await world.submit(world.intent(2))
        assert foreign(world) == []
        theirs = {"kind": "leverage", "client": None, "key": "k0", "number": 2, "void_ms": world.now_ms}
        world.exchange.take(theirs)
        await world.live(0.5)
        assert world.lanes.foreign == {"k0": 1}
        assert foreign(world) == [FOREIGN_KEY]
        assert OrderAccepted in {type(one) for one in await world.submit(world.intent(3))}
        assert world.lanes.foreign == {"k0": 1}  # seen once, counted once


async def test_numbers_that_are_gone_are_told() -> None:
    async with TinyWorld() as world:
        await world.submit()
        world.exchange.next["k0"] += 3
        await world.submit(world.intent(2))
        await world.submit(world.intent(3))
        assert foreign(world) == [FOREIGN_KEY]


async def test_a_number_that_we_tried_and_another_has_is_foreign_use() -> None:
    async with TinyWorld() as world:
        await world.submit()
        theirs = {"kind": "leverage", "client": None, "key": "k0", "number": 1, "void_ms": world.now_ms}
        world.exchange.shows_numbers = False
        world.exchange.take(theirs)
        assert isinstance((await world.submit(world.intent(2)))[0], OrderRejected)
        world.gate.account([world.exchange.transactions["theirs"]] * 2)
        assert world.lanes.foreign == {"k0": 1}
        assert foreign(world) == [FOREIGN_KEY]


async def test_what_was_before_us_and_what_an_earlier_run_sent_is_not_foreign() -> None:
    async with TinyWorld() as world:
        world.exchange.next["k0"] = 5
        world.gate.expect(world.intent(7))
        await world.submit()

        def seen(number: int, client: str | None, key: str = "k0") -> TransactionSeen:
            return TransactionSeen(
                venue=VENUE, key=key, number=number, correlation=f"{client}/{number}", client_id=client, executed=True,
                at_ms=world.now_ms,
            )  # fmt: skip

        world.gate.account([seen(4, None), seen(6, "T000007-long-0"), seen(99, None, key="of the wallet")])
        assert world.lanes.foreign == {}
        assert foreign(world) == []
        assert world.lanes.taker(Lane("k0", 6)) == "T000007-long-0/6"


async def test_a_key_that_the_venue_refuses_is_told() -> None:
    async with TinyWorld() as world:
        assert [one.reason for one in await world.submit(fate="revoked")] == ["revoked"]
        assert foreign(world) == [KEY_REFUSED]

"""The gate with real signers and sockets against the simulated venues, which lose requests and answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from twinleg.cli.sims import SpedClock
from twinleg.core.messages import FeedHealth, Market, MarketsListed, MarketStatus
from twinleg.core.orders import (
    Filled,
    Intent,
    Leg,
    OrderAccepted,
    OrderDone,
    OrderRejected,
    OrderUnknown,
    Purpose,
    Side,
    TimeInForce,
    client_id,
    trade_id,
)
from twinleg.core.trading import FOREIGN_KEY, KEY_REFUSED, AccountSnapshot, Incident, SendVerdict
from twinleg.core.venue import Limits
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemDice
from twinleg.runtime.gate import Account, VenueGate
from twinleg.runtime.lanes import Lanes
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.streams import Doors, StreamRunner
from twinleg.venues.extended import ExtendedVenue
from twinleg.venues.extended.sign import TESTNET, Keys
from twinleg.venues.extended.trading import ExtendedTrading
from twinleg.venues.lighter import LighterVenue
from twinleg.venues.lighter.sign import Signer
from twinleg.venues.lighter.trading import LighterTrading
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.faults import FaultRequest, Faults
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.protocol import AccountRequest
from twinleg_sims.server import running
from twinleg_sims.world import World

SPEED = 4.0
WAIT_S = 60.0
FAR_S = 300.0
"""Simulated seconds after which a fate would be known without numbers: a tenth of it must do."""


class Scene(NamedTuple):
    """What is simulated."""

    world: World
    core: Any
    faults: Faults


class Room:
    """One gate at one simulated venue."""

    def __init__(self, venue: Any, markets: dict[str, Market], doors: Doors, scene: Scene, limits: Limits) -> None:
        self.markets, self.clock, self.scene, self.core = markets, doors.clock, scene, scene.core
        self.market = next(
            market for market in markets.values() if market.status is MarketStatus.OPEN and market.excluded is None
        )
        self.heard: list[Any] = []
        self.news: list[Any] = []
        self.trades = 0
        lanes = Lanes(venue.lanes(), sequenced=venue.trading.sequenced)
        account = Account(venue, markets, lanes, lambda: None)
        self.gate = VenueGate(account, Budget(venue.name, limits), doors, 3_000, tell=self.heard.append)

    def sink(self, events: list[Any]) -> None:
        self.gate.account([event for event in events if not isinstance(event, FeedHealth)])

    def intent(self, **fields: Any) -> Intent:
        """An order that takes, for more than the least."""
        self.trades += 1
        mid = self.scene.world.market(self.market.venue, self.market.symbol).mid_price
        assert mid is not None
        name, ticks = trade_id(self.trades), int(mid * 1.02 / float(self.market.price_grid.unit))
        least = int(self.market.min_notional_usd / mid / float(self.market.size_grid.unit))
        told: dict[str, Any] = {
            "trade_id": name, "leg": Leg.LONG, "attempt": 0, "client_id": client_id(name, Leg.LONG, 0),
            "venue": self.market.venue, "market": self.market.key, "side": Side.BUY,
            "size_lots": max(self.market.min_size_lots, least) * 2, "limit_ticks": ticks, "reduce_only": False,
            "time_in_force": TimeInForce.IOC, "purpose": Purpose.ENTER,
            "deadline_ms": self.clock.wall_ms() + 3_000, "decision_price_ticks": ticks,
        }  # fmt: skip
        return Intent(**(told | fields))

    def fault(self, kind: str, **fields: Any) -> None:
        asked = FaultRequest(kind=kind, venue=self.market.venue, **fields)
        self.scene.faults.add(asked, self.scene.world.now_ms)

    async def until(self, what: Callable[[], Any]) -> float:
        """Simulated seconds until it is so."""
        began = self.clock.mono_ns()
        async with asyncio.timeout(WAIT_S):
            while True:
                self.news += self.gate.due(self.clock.wall_ms())
                if what():
                    return (self.clock.mono_ns() - began) / 1e9
                await asyncio.sleep(0.01)

    def filled(self, intent: Intent) -> int:
        """In lots; a fill may be told more than once."""
        return sum({one.fill_id: one.size_lots for one in self.told(Filled, intent)}.values())

    def told(self, kind: type, intent: Intent) -> list[Any]:
        return [one for one in self.news if isinstance(one, kind) and one.client_id == intent.client_id]


@asynccontextmanager
async def a_room(name: str) -> AsyncIterator[Room]:
    world, faults = World(7, 3, time.time_ns() // 1_000_000), Faults()
    core: Any = LighterCore(world, faults) if name == "lighter" else ExtendedCore(world, faults)
    opened = core.open_account(AccountRequest(equity_usd=50_000.0))
    async with running(world, [core], faults, speed=SPEED) as sims:
        clock, urls = SpedClock(SPEED, sims.now_ms), sims.urls[name]
        async with PicowsNet(clock) as net:
            markets: dict[str, Market] = {}
            public, venue = _rooms(name, urls, opened, markets)
            listing = public.list_markets()
            (listed,) = listing.parse((await net.request(listing.request, 5_000)).body, clock.wall_ms())
            assert isinstance(listed, MarketsListed)
            markets.update({market.key: market for market in listed.markets})
            doors = Doors(net, clock, SystemDice())
            room = Room(venue, markets, doors, Scene(world, core, faults), public.limits)
            await room.gate.warm()
            (feed,) = venue.account_feeds([])
            runner = StreamRunner(feed, room.sink, Budget(name, public.limits), doors, reconnect_s=0.05)
            task = asyncio.create_task(runner.run())
            try:
                await room.until(lambda: kinds(room) >= {"orders", "positions", "balance"})
                yield room
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await room.gate.close()


def _rooms(name: str, urls: Any, opened: dict[str, Any], markets: dict[str, Market]) -> tuple[Any, Any]:
    if name == "lighter":
        keys = {int(slot): key for slot, key in opened["api_private_keys"].items()}
        signer = Signer(opened["account_index"], opened["chain_id"], keys)
        return LighterVenue(urls.rest, urls.stream), LighterTrading(urls.rest, urls.stream, signer, markets)
    named = {key: opened[key] for key in ("vault", "private_key", "api_key", "public_key")}
    return ExtendedVenue(urls.rest, urls.stream), ExtendedTrading(
        urls.rest, urls.stream, Keys(**named), markets, TESTNET
    )


def kinds(room: Room) -> set[str]:
    return {one.kind for one in room.heard if isinstance(one, AccountSnapshot)}


# -- fates -------------------------------------------------------------------------------------------------------------


async def send(room: Room, fault: str, **fields: Any) -> Intent:
    """An order that the fault hits."""
    intent = room.intent()
    room.fault(fault, **fields)
    room.gate.submit(intent, room.clock.wall_ms())
    await room.until(lambda: room.told(OrderUnknown, intent))
    return intent


@pytest.fixture(params=["lighter", "extended"])
async def room(request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    async with a_room(request.param) as made:
        yield made


@pytest.fixture
async def lighter() -> AsyncIterator[Room]:
    async with a_room("lighter") as made:
        yield made


async def test_an_order_signed_ahead_is_taken(room: Room) -> None:
    intent = room.intent()
    room.gate.prepare(intent, room.clock.wall_ms())
    await asyncio.sleep(0.1)
    room.gate.submit(intent, room.clock.wall_ms())
    await room.until(lambda: room.told(OrderDone, intent) and room.filled(intent) == intent.size_lots)
    assert room.told(OrderAccepted, intent)
    assert (room.gate.prepared_used, room.gate.prepared_lost) == (1, 0)


@pytest.mark.parametrize("fault", ["lost_ack", "error_ack"])
@pytest.mark.parametrize("silent", [False, True])
async def test_an_order_whose_answer_was_lost_is_found(room: Room, fault: str, silent: bool) -> None:
    if silent:
        room.fault("account_silence", for_s=60.0)
    intent = await send(room, fault)
    took_s = await room.until(lambda: room.told(OrderDone, intent) and room.filled(intent) == intent.size_lots)
    assert took_s < FAR_S / 10


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize(("fault", "value"), [("lost_request", ""), ("late_request", "4000")])
async def test_an_order_that_was_lost_is_known_not_to_have_arrived(
    lighter: Room, fault: str, value: str, silent: bool
) -> None:
    room = lighter
    assert await room.gate.set_leverage(room.market, 5.0) is SendVerdict.ACCEPTED
    if silent:
        room.fault("account_silence", for_s=60.0)
    intent = await send(room, fault, value=value)
    took_s = await room.until(lambda: room.told(OrderDone, intent))
    (done,) = room.told(OrderDone, intent)
    assert done.reason == "never arrived: another transaction has its number"
    assert took_s < FAR_S / 10
    await room.clock.sleep(5.0)
    room.news += room.gate.due(room.clock.wall_ms())
    assert room.told(Filled, intent) == []
    assert room.gate.foreign == {}


async def test_without_numbers_a_lost_order_ends_with_its_bytes() -> None:
    async with a_room("extended") as room:
        intent = await send(room, "lost_request")
        took_s = await room.until(lambda: room.told(OrderDone, intent))
        assert [one.reason for one in room.told(OrderDone, intent)] == ["never arrived"]
        assert took_s < FAR_S / 5


async def test_leverage_and_the_dead_mans_switch(room: Room) -> None:
    assert await room.gate.set_leverage(room.market, 3.0) is SendVerdict.ACCEPTED
    assert await room.gate.dead_man_switch(room.clock.wall_ms() + 600_000) is SendVerdict.ACCEPTED
    assert await room.gate.dead_man_switch(None) is SendVerdict.ACCEPTED
    assert room.gate.foreign == {}


async def test_a_revoked_key_is_told(lighter: Room) -> None:
    lighter.fault("key_revoked", for_s=600.0)
    intent = lighter.intent()
    lighter.gate.submit(intent, lighter.clock.wall_ms())
    await lighter.until(lambda: lighter.told(OrderRejected, intent))
    assert KEY_REFUSED in {one.kind for one in lighter.heard if isinstance(one, Incident)}


async def test_another_process_with_our_key_is_seen(lighter: Room) -> None:
    async def send_one() -> None:
        intent = lighter.intent()
        lighter.gate.submit(intent, lighter.clock.wall_ms())
        await lighter.until(lambda: lighter.told(OrderAccepted, intent) or lighter.told(OrderRejected, intent))

    for _ in range(2):  # once with each key that entries use
        await send_one()
    for key in next(iter(lighter.core._private.users)).keys.values():
        key.nonce += 3
    for _ in range(4):
        await send_one()
    assert lighter.gate.foreign
    assert FOREIGN_KEY in {one.kind for one in lighter.heard if isinstance(one, Incident)}

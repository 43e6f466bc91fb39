"""Against the simulated programs over real sockets: what is sent lands, rests, fills, fails or is lost, and found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from twinleg.core.messages import BookSnapshot, Market, MarketsListed, Stats
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce, client_id, trade_id
from twinleg.core.trading import (
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    ExecutionSeen,
    Incident,
    Lane,
    OrderSeen,
    PositionSeen,
    SendOutcome,
    SendVerdict,
    Signed,
)
from twinleg.core.venue import Feed, Request
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.streams import Doors, StreamRunner
from twinleg.venues.drift import DriftVenue, facts
from twinleg.venues.drift.sign import Wallet
from twinleg.venues.drift.trading import LANE, DriftTrading, Terms
from twinleg_sims.drift.core import DriftCore, Setup
from twinleg_sims.drift.profile import PROFILES
from twinleg_sims.faults import FaultRequest, Faults
from twinleg_sims.protocol import AccountRequest
from twinleg_sims.server import running
from twinleg_sims.world import World

WAIT_S = 30.0
SLOT_MS = 100
NUMBERS = iter(range(1, 1_000))
THEIR_NAMES = {"drift-v2": "drift", "velocity": "velocity"}


class Trader:
    """What the runtime does with a venue, in short."""

    def __init__(self, url: str, account: dict[str, Any], profile: facts.Profile, net: PicowsNet) -> None:
        self.url, self.account, self.profile, self.net = url, account, profile, net
        self.clock = SystemClock()
        self.markets: dict[str, Market] = {}
        self.public = DriftVenue(url, url, profile)
        self.venue = self.fresh()
        self.events: list[Any] = []
        self.told: list[Any] = []
        self.faults, self.world = Faults(), World(1, 1, 0)

    def fresh(self) -> DriftTrading:
        """The same account after a restart."""
        wallet = Wallet(self.account["private_key"], self.profile, self.account["sub_account_id"])
        return DriftTrading(self.url, wallet, self.markets, self.profile, Terms(cluster="devnet"))

    async def body(self, request: Request) -> bytes:
        reply = await self.net.request(request, 10_000)
        assert reply.status == 200, reply
        return reply.body

    async def read(self, read: AccountRead) -> list[AccountEvent]:
        """All pages."""
        found: list[AccountEvent] = []
        following: AccountRead | None = read
        while following is not None:
            body = await self.body(following.request)
            found += following.parse(body, self.now)
            following = following.more(body) if following.more is not None else None
        return found

    async def start(self) -> None:
        self.venue.prepare(self.now)
        read = self.public.list_markets()
        (event,) = read.parse(await self.body(read.request), self.now)
        assert isinstance(event, MarketsListed)
        self.markets.update({market.key: market for market in event.markets})

    @property
    def now(self) -> int:
        return self.clock.wall_ms()

    @property
    def sol(self) -> Market:
        return self.markets["drift:SOL-PERP"]

    def fault(self, kind: str, value: str = "") -> None:
        self.faults.add(FaultRequest(kind=kind, venue="drift", value=value), self.world.now_ms)

    async def send(self, sign: Callable[..., Signed], *arguments: Any) -> tuple[Signed, SendOutcome]:
        await self.read(self.venue.blockhash(self.now))
        signed = sign(*arguments, Lane(LANE, None), self.now)
        reply = await self.net.request(signed.request, 10_000)
        return signed, self.venue.read_reply(signed, reply.status, reply.body)

    async def place(self, **fields: Any) -> tuple[Signed, SendOutcome]:
        return await self.send(self.venue.sign, self.intent(**fields), self.sol)

    def intent(self, **fields: Any) -> Intent:
        """A buyer's, with a limit one percent through the touch."""
        book = next(event for event in reversed(self.told) if isinstance(event, BookSnapshot))
        ask, name = min(book.asks)[0], trade_id(next(NUMBERS))
        told = {
            "trade_id": name, "leg": Leg.LONG, "attempt": 0, "client_id": client_id(name, Leg.LONG, 0),
            "venue": "drift", "market": self.sol.key, "side": Side.BUY, "size_lots": 20,
            "limit_ticks": ask * 101 // 100, "reduce_only": False, "time_in_force": TimeInForce.IOC,
            "purpose": Purpose.ENTER, "deadline_ms": self.now + 15_000, "decision_price_ticks": ask,
        }  # fmt: skip
        return Intent(**(told | fields))

    async def seen(self, what: Callable[[Any], bool], among: list[Any] | None = None) -> Any:
        """The first event that is it, waiting for it a while."""
        for _ in range(int(WAIT_S / 0.02)):
            found = next((event for event in (self.events if among is None else among) if what(event)), None)
            if found is not None:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"not seen: {self.events}")

    async def fate(self, name: str) -> list[Any]:
        """What the reads of an order tell, asked until they tell something."""
        for _ in range(int(WAIT_S / 0.1)):
            found = [one for read in self.venue.order(name, self.sol, self.now) for one in await self.read(read)]
            if found:
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"nothing of {name}")


@pytest.fixture(params=facts.PROFILES.values(), ids=facts.PROFILES)
async def trader(request: pytest.FixtureRequest) -> AsyncIterator[Trader]:
    """A trader whose streams are up, with 10,000 USD."""
    profile: facts.Profile = request.param
    clock = SystemClock()
    world, faults = World(7, 3, clock.wall_ms()), Faults()
    core = DriftCore(world, faults, Setup(PROFILES[THEIR_NAMES[profile.name]], SLOT_MS))
    account = core.open_account(AccountRequest(equity_usd=10_000))
    async with running(world, [core], faults) as sims, PicowsNet(clock) as net:
        trader = Trader(sims.urls["drift"].rest, account, profile, net)
        trader.faults, trader.world = faults, world
        await trader.start()
        doors, budget = Doors(net, clock, SystemDice()), Budget("drift", facts.LIMITS)
        feeds: list[tuple[Feed, list[Any]]] = [
            (trader.public.feeds([trader.sol])[0], trader.told),
            (trader.venue.account_feeds([])[0], trader.events),
        ]
        tasks = [asyncio.create_task(StreamRunner(feed, sink.extend, budget, doors).run()) for feed, sink in feeds]
        try:
            await trader.seen(lambda event: isinstance(event, Incident))
            await trader.seen(lambda event: isinstance(event, BookSnapshot), trader.told)
            yield trader
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_order_rests_and_is_cancelled(trader: Trader) -> None:
    assert (await trader.seen(lambda event: isinstance(event, Stats), trader.told)).index_price > 0
    low = trader.intent().limit_ticks * 90 // 100
    signed, outcome = await trader.place(limit_ticks=low, time_in_force=TimeInForce.POST_ONLY)
    assert outcome.verdict is SendVerdict.ACCEPTED
    resting = await trader.seen(lambda event: isinstance(event, OrderSeen) and event.resting)
    assert (resting.client_id, resting.price_ticks, resting.size_lots) == (signed.client_id, low, 20)
    (listed,) = await trader.read(trader.venue.open_orders(trader.now))
    assert isinstance(listed, AccountSnapshot)
    assert [row.client_id for row in listed.rows if isinstance(row, OrderSeen)] == [signed.client_id]
    _, outcome = await trader.send(trader.venue.sign_cancel, signed.client_id, None, trader.sol)
    assert outcome.verdict is SendVerdict.ACCEPTED
    over = await trader.seen(lambda event: isinstance(event, OrderSeen) and not event.resting)
    assert (over.client_id, over.filled_lots, over.reason) == (signed.client_id, 0, "cancelled")


async def test_an_auction_fills_and_its_name_outlives_us(trader: Trader) -> None:
    signed, _ = await trader.place()
    fill = await trader.seen(lambda event: isinstance(event, ExecutionSeen))
    assert (fill.client_id, fill.side) == (signed.client_id, Side.BUY)
    await trader.seen(lambda event: isinstance(event, PositionSeen) and event.lots == 20)
    over = await trader.seen(lambda event: isinstance(event, OrderSeen) and not event.resting)
    assert (over.client_id, over.filled_lots) == (signed.client_id, 20)
    after = trader.fresh()
    fills: list[ExecutionSeen] = []
    for _ in range(int(WAIT_S / 0.1)):  # a node lists a transaction a little after it told of it
        (snapshot,) = await trader.read(after.fills(trader.now - 60_000, trader.now))
        assert isinstance(snapshot, AccountSnapshot)
        fills = [row for row in snapshot.rows if isinstance(row, ExecutionSeen)]
        if sum(row.size_lots for row in fills) == 20:
            break
        await asyncio.sleep(0.1)
    assert {row.client_id for row in fills} == {signed.client_id}
    reducing = {"side": Side.SELL, "purpose": Purpose.EXIT, "reduce_only": True}
    book = trader.intent().decision_price_ticks
    await trader.place(**reducing, limit_ticks=book * 99 // 100, decision_price_ticks=book)
    await trader.seen(lambda event: isinstance(event, PositionSeen) and event.lots == 0)


async def test_a_program_error_is_a_no_before_anything_is_sent(trader: Trader) -> None:
    _, outcome = await trader.place(size_lots=10**7)
    assert (outcome.verdict, "6003" in outcome.reason) == (SendVerdict.REJECTED, True)


async def test_what_landed_and_failed_is_found(trader: Trader) -> None:
    trader.fault("tx_failed", "6003")
    signed, outcome = await trader.place()
    assert outcome.verdict is SendVerdict.ACCEPTED
    (over,) = await trader.fate(signed.client_id)
    assert (over.client_id, over.resting, over.filled_lots) == (signed.client_id, False, 0)
    assert "failed" in over.reason


async def test_what_never_landed_is_nowhere(trader: Trader) -> None:
    trader.fault("tx_dropped")
    lost, outcome = await trader.place()
    assert outcome.verdict is SendVerdict.ACCEPTED
    other, _ = await trader.place()
    assert [one for one in await trader.fate(other.client_id) if one.client_id == other.client_id]
    reads = trader.venue.order(lost.client_id, trader.sol, trader.now)
    assert [one for read in reads for one in await trader.read(read)] == []


async def test_a_disabled_program_is_told_at_start(trader: Trader) -> None:
    request, read = trader.venue.self_test(trader.now)
    assert read(await trader.body(request)) is None
    trader.fault("program_disabled")
    for _ in range(int(WAIT_S / 0.1)):
        told = read(await trader.body(request))
        if told is not None:
            break
        await asyncio.sleep(0.1)
    assert told is not None
    assert "disabled" in told


async def test_slots_are_measured_not_assumed(trader: Trader) -> None:
    for _ in range(int(WAIT_S / 0.1)):
        if trader.public.slots.slot_ms is not None:
            break
        await asyncio.sleep(0.1)
    assert trader.public.slots.slot_ms == pytest.approx(SLOT_MS, rel=0.5)

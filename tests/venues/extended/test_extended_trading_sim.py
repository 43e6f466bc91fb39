"""ExtendedTrading against the simulated venue, which was written apart from it: over real sockets, faults included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec
import pytest

from twinleg.core.messages import FeedHealth, Market, MarketsListed, MarketStatus, StreamState
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce, client_id, trade_id
from twinleg.core.trading import (
    IN_DOUBT,
    AccountRead,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    Incident,
    Lane,
    LeverageSeen,
    OrderSeen,
    PositionSeen,
    SendOutcome,
    SendVerdict,
    Signed,
)
from twinleg.core.venue import Read, WireError
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.streams import Doors, StreamRunner
from twinleg.venues.extended import ExtendedVenue
from twinleg.venues.extended.orders import NewOrder
from twinleg.venues.extended.sign import MAINNET, TESTNET, Domain, Keys
from twinleg.venues.extended.trading import ExtendedTrading
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.faults import Faults
from twinleg_sims.server import Sims, running
from twinleg_sims.world import World

LANE = Lane("stark", None)
WAIT_S = 30.0
Event = TypeVar("Event")


class Room:
    """One account at one simulated venue: its trading room, its doors, and what its stream has told."""

    def __init__(self, sims: Sims, net: PicowsNet, account: dict[str, Any], markets: dict[str, Market]) -> None:
        self.clock, self.net, self.sims, self.account = SystemClock(), net, sims, account
        self.markets = markets
        self.venue = self.signing(TESTNET)
        self.market = next(
            market for market in markets.values() if market.status is MarketStatus.OPEN and market.excluded is None
        )
        self.events: list[Any] = []
        self.trades = 0

    def signing(self, domain: Domain) -> ExtendedTrading:
        account, urls = self.account, self.sims.urls["extended"]
        keys = Keys(
            vault=account["vault"],
            private_key=account["private_key"],
            api_key=account["api_key"],
            public_key=account["public_key"],
        )
        return ExtendedTrading(urls.rest, urls.stream, keys, self.markets, domain)

    def sink(self, events: list[Any]) -> None:
        self.events += events

    async def touch(self) -> tuple[int, int]:
        """(best bid, best ask) in ticks."""
        url = f"{self.sims.urls['extended'].rest}/info/markets/{self.market.symbol}/orderbook"
        request = msgspec.structs.replace(self.venue.balance(0).request, url=url)
        book = json.loads((await self.net.request(request, 5_000)).body)["data"]
        bid, ask = (self.market.price_grid.parse(book[side][0]["price"]) for side in ("bid", "ask"))
        return bid, ask

    def intent(self, limit_ticks: int, **fields: Any) -> Intent:
        self.trades += 1
        told: dict[str, Any] = {
            "trade_id": trade_id(self.trades),
            "leg": Leg.LONG,
            "attempt": 0,
            "client_id": client_id(trade_id(self.trades), Leg.LONG, 0),
            "venue": "extended",
            "market": self.market.key,
            "side": Side.BUY,
            "size_lots": self.market.min_size_lots * 3,
            "limit_ticks": limit_ticks,
            "reduce_only": False,
            "time_in_force": TimeInForce.IOC,
            "purpose": Purpose.ENTER,
            "deadline_ms": self.clock.wall_ms() + 30_000,
            "decision_price_ticks": limit_ticks,
        }
        return Intent(**(told | fields))

    async def send(self, signed: Signed) -> SendOutcome:
        reply = await self.net.request(signed.request, 3_000)
        return self.venue.read_reply(signed, reply.status, reply.body)

    async def place(self, intent: Intent) -> SendOutcome:
        return await self.send(self.venue.sign(intent, self.market, LANE, self.clock.wall_ms()))

    async def ask(self, read: AccountRead | Read) -> list[Any]:
        """Raises WireError for anything but a whole answer."""
        reply = await self.net.request(read.request, 5_000)
        if reply.status != 200:
            raise WireError(f"{reply.status}: {reply.body[:200]!r}")
        return list(read.parse(reply.body, self.clock.wall_ms()))

    async def rows(self, read: AccountRead) -> tuple[Any, ...]:
        (snapshot,) = await self.ask(read)
        assert isinstance(snapshot, AccountSnapshot)
        return snapshot.rows

    async def lots(self) -> int:
        """The position by the venue's read."""
        rows = await self.rows(self.venue.positions(0))
        return sum(row.lots for row in rows if row.market == self.market.key)

    async def seen(self, kind: type[Event], wanted: Callable[[Event], bool] = lambda _: True) -> Event:
        """The first such event of the stream, waited for."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and wanted(event):
                        return event
                await asyncio.sleep(0.02)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Ask until it holds: the reads may lag the stream."""
        async with asyncio.timeout(WAIT_S):
            held = await holds()
            while not held:
                await asyncio.sleep(0.05)
                held = await holds()

    async def fault(self, kind: str, **fields: Any) -> None:
        url = self.sims.urls["extended"].rest.removesuffix("/api/v1") + "/__sim__/faults"
        async with aiohttp.ClientSession() as session, session.post(url, json={"kind": kind, **fields}) as reply:
            assert reply.status == 200, await reply.text()

    async def fate(self, intent: Intent) -> tuple[set[bool], int]:
        """What all reads together say of an order: is it resting (empty: never seen), and how many lots it filled."""
        events = [
            event
            for read in self.venue.order(intent.client_id, self.market, self.clock.wall_ms())
            for event in await self.ask(read)
        ]
        resting = {event.resting for event in events if isinstance(event, OrderSeen)}
        return resting, sum(event.size_lots for event in events if isinstance(event, ExecutionSeen))


@asynccontextmanager
async def a_room(equity_usd: int = 5_000) -> AsyncIterator[Room]:
    clock = SystemClock()
    world, faults = World(7, 3, clock.wall_ms()), Faults()
    async with running(world, [ExtendedCore(world, faults)], faults) as sims, PicowsNet(clock) as net:
        urls = sims.urls["extended"]
        url = urls.rest.removesuffix("/api/v1") + "/__sim__/accounts"
        async with aiohttp.ClientSession() as session, session.post(url, json={"equity_usd": equity_usd}) as reply:
            account = await reply.json()
        listing = ExtendedVenue(urls.rest, urls.stream).list_markets()
        (listed,) = listing.parse((await net.request(listing.request, 5_000)).body, clock.wall_ms())
        assert isinstance(listed, MarketsListed)
        room = Room(sims, net, account, {market.key: market for market in listed.markets})
        (feed,) = room.venue.account_feeds([])
        budget = Budget("extended", ExtendedVenue.limits)
        runner = StreamRunner(feed, room.sink, budget, Doors(net, clock, SystemDice()), reconnect_s=0.05)
        task = asyncio.create_task(runner.run())
        try:
            await room.seen(AccountSnapshot, lambda snapshot: snapshot.kind == "orders")
            yield room
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def kinds(events: Iterable[Any]) -> set[str]:
    return {event.kind for event in events if isinstance(event, AccountSnapshot)}


async def test_an_account_starts_known_and_flat() -> None:
    async with a_room() as room:
        venue, now = room.venue, room.clock.wall_ms()
        assert await room.ask(venue.account(now)) == []
        assert {event.taker_bps for event in await room.ask(venue.fees(now))} == {2.5}
        (balance,) = await room.rows(venue.balance(now))
        assert isinstance(balance, BalanceSeen)
        assert balance.equity_usd == 5_000
        for read in (venue.positions(now), venue.open_orders(now), venue.fills(0, now)):
            assert await room.rows(read) == ()
        await room.seen(AccountSnapshot, lambda snapshot: snapshot.kind == "balance")
        await room.seen(AccountSnapshot, lambda snapshot: snapshot.kind == "positions")
        assert kinds(room.events) == {"orders", "positions", "balance"}


async def test_an_ioc_opens_and_a_reduce_only_closes() -> None:
    async with a_room() as room:
        bid, ask = await room.touch()
        entry = room.intent(ask + ask // 100)
        assert (await room.place(entry)).verdict is SendVerdict.ACCEPTED
        order = await room.seen(OrderSeen, lambda seen: seen.client_id == entry.client_id and not seen.resting)
        fill = await room.seen(ExecutionSeen, lambda seen: seen.client_id == entry.client_id)
        assert (order.filled_lots, fill.size_lots, fill.side, fill.forced) == (entry.size_lots,) * 2 + (Side.BUY, None)
        assert fill.price_ticks <= entry.limit_ticks
        notional = fill.price_ticks * fill.size_lots * room.market.price_grid.unit * room.market.size_grid.unit
        assert fill.fee_micro_usd == pytest.approx(float(notional) * 250, abs=1), "2.5 bps in micro-dollars"
        await room.seen(PositionSeen, lambda seen: seen.lots == entry.size_lots)
        await room.until(lambda: _holds(room, entry.size_lots))
        assert await room.fate(entry) == ({False}, entry.size_lots)
        exit_ = room.intent(bid - bid // 100, side=Side.SELL, reduce_only=True, purpose=Purpose.EXIT)
        assert (await room.place(exit_)).verdict is SendVerdict.ACCEPTED
        await room.seen(PositionSeen, lambda seen: seen.lots == 0)
        await room.until(lambda: _holds(room, 0))
        fills = await room.rows(room.venue.fills(0, room.clock.wall_ms()))
        assert [row.client_id for row in fills] == [entry.client_id, exit_.client_id]
        told = [event.fill_id for event in room.events if isinstance(event, ExecutionSeen)]
        assert sorted(told) == sorted(row.fill_id for row in fills)


async def _holds(room: Room, lots: int) -> bool:
    return await room.lots() == lots


async def test_an_order_rests_is_edited_and_cancelled() -> None:
    async with a_room() as room:
        bid, _ = await room.touch()
        resting = room.intent(bid - bid // 50, time_in_force=TimeInForce.POST_ONLY)
        assert (await room.place(resting)).verdict is SendVerdict.ACCEPTED
        await room.seen(OrderSeen, lambda seen: seen.client_id == resting.client_id and seen.resting)
        await room.until(lambda: _fate_is(room, resting, {True}))
        assert (await room.place(resting)).verdict is SendVerdict.UNKNOWN, "the same bytes again: the first lives"
        now = room.clock.wall_ms()
        edit = NewOrder(
            external_id=client_id(trade_id(99), Leg.LONG, 0),
            side=Side.BUY,
            size_lots=resting.size_lots + 1,
            limit_ticks=resting.limit_ticks - 1,
            time_in_force="GTT",
            expiry_ms=now + 30_000,
            replaces=resting.client_id,
        )
        accepted = await room.send(room.venue.sign_order(edit, room.market, LANE, now))
        assert accepted.verdict is SendVerdict.ACCEPTED
        replaced = await room.seen(OrderSeen, lambda seen: seen.client_id == resting.client_id and not seen.resting)
        assert replaced.filled_lots == 0
        await room.seen(OrderSeen, lambda seen: seen.client_id == edit.external_id and seen.resting)
        cancel = room.venue.sign_cancel(edit.external_id, None, room.market, LANE, now)
        assert (await room.send(cancel)).verdict is SendVerdict.ACCEPTED
        await room.seen(OrderSeen, lambda seen: seen.client_id == edit.external_id and not seen.resting)
        assert (await room.send(cancel)).verdict is SendVerdict.REJECTED, "there is nothing left to cancel"


async def _fate_is(room: Room, intent: Intent, resting: set[bool]) -> bool:
    return (await room.fate(intent))[0] == resting


async def test_the_other_deeds_are_understood() -> None:
    async with a_room() as room:
        venue, market, now = room.venue, room.market, room.clock.wall_ms()
        bid, _ = await room.touch()
        assert (await room.send(venue.sign_leverage(market, 4.0, LANE, now))).verdict is SendVerdict.ACCEPTED
        await room.until(lambda: _leverage_is(room, 4.0))
        for everything in (market, None):
            resting = room.intent(bid - bid // 50, time_in_force=TimeInForce.POST_ONLY)
            assert (await room.place(resting)).verdict is SendVerdict.ACCEPTED
            await room.seen(OrderSeen, lambda seen, name=resting.client_id: seen.client_id == name)  # type: ignore[misc]
            swept = await room.send(venue.sign_cancel_all(everything, LANE, now))
            assert swept.verdict is SendVerdict.ACCEPTED
            await room.seen(OrderSeen, lambda seen, name=resting.client_id: seen.client_id == name and not seen.resting)  # type: ignore[misc]
        armed = room.intent(bid - bid // 50, time_in_force=TimeInForce.POST_ONLY)
        await room.place(armed)
        switch = venue.sign_dead_man_switch(room.clock.wall_ms() + 1_000, LANE, room.clock.wall_ms())
        assert (await room.send(switch)).verdict is SendVerdict.ACCEPTED
        await room.seen(OrderSeen, lambda seen: seen.client_id == armed.client_id and not seen.resting)
        off = venue.sign_dead_man_switch(None, LANE, room.clock.wall_ms())
        assert (await room.send(off)).verdict is SendVerdict.ACCEPTED


async def _leverage_is(room: Room, leverage: float) -> bool:
    (seen,) = await room.ask(room.venue.leverage(room.market, room.clock.wall_ms()))
    assert isinstance(seen, LeverageSeen)
    return seen.leverage == leverage


async def test_refusals_are_refusals() -> None:
    async with a_room(equity_usd=100) as room:
        bid, ask = await room.touch()
        outcome = await room.place(room.intent(ask, size_lots=room.market.min_size_lots * 100_000))
        assert (outcome.verdict, "11" in outcome.reason) == (SendVerdict.REJECTED, True)
        outcome = await room.place(room.intent(bid, side=Side.SELL, reduce_only=True, purpose=Purpose.EXIT))
        assert (outcome.verdict, "1137" in outcome.reason) == (SendVerdict.REJECTED, True)
        signed = room.signing(MAINNET).sign(room.intent(ask), room.market, LANE, room.clock.wall_ms())
        outcome = await room.send(signed)
        assert (outcome.verdict, "1101" in outcome.reason) == (SendVerdict.REJECTED, True), (
            "another network's signature"
        )
        assert await room.rows(room.venue.fills(0, room.clock.wall_ms())) == ()


@pytest.mark.parametrize(
    ("kind", "verdicts", "arrives"),
    [
        ("lost_request", {SendVerdict.UNKNOWN}, False),
        ("lost_ack", {SendVerdict.UNKNOWN}, True),
        ("error_ack", {SendVerdict.UNKNOWN}, True),
        ("write_429", {SendVerdict.UNKNOWN}, False),
        ("reject", {SendVerdict.REJECTED}, False),
    ],
)
async def test_an_answer_that_was_lost_is_found_by_reading_back(
    kind: str, verdicts: set[SendVerdict], arrives: bool
) -> None:
    async with a_room() as room:
        _, ask = await room.touch()
        await room.fault(kind, count=1)
        entry = room.intent(ask + ask // 100)
        assert (await room.place(entry)).verdict in verdicts
        if arrives:
            await room.seen(ExecutionSeen, lambda seen: seen.client_id == entry.client_id)
            await room.until(lambda: _holds(room, entry.size_lots))
            assert await room.fate(entry) == ({False}, entry.size_lots)
        else:
            assert await room.fate(entry) == (set(), 0)
            assert await room.lots() == 0


async def test_a_fill_that_comes_twice_counts_once() -> None:
    async with a_room() as room:
        bid, ask = await room.touch()
        await room.fault("duplicate_fill", for_s=60)
        entry = room.intent(ask + ask // 100)
        await room.place(entry)
        await room.seen(PositionSeen, lambda seen: seen.lots == entry.size_lots)
        await room.place(room.intent(bid - bid // 100, side=Side.SELL, reduce_only=True, purpose=Purpose.EXIT))
        await room.seen(PositionSeen, lambda seen: seen.lots == 0)
        fills = [event.fill_id for event in room.events if isinstance(event, ExecutionSeen)]
        assert len(fills) == len(set(fills)) >= 2


async def test_a_lost_event_is_noticed_and_read_back() -> None:
    async with a_room() as room:
        _, ask = await room.touch()
        await room.fault("lost_event", count=1, value="gap")
        entry = room.intent(ask + ask // 100)
        await room.place(entry)
        await room.seen(Incident, lambda seen: seen.kind == IN_DOUBT)
        await room.until(lambda: _holds(room, entry.size_lots))
        assert await room.fate(entry) == ({False}, entry.size_lots)
        down = [index for index, event in enumerate(room.events) if getattr(event, "state", None) is StreamState.DOWN]
        assert down
        await room.until(lambda: _told_again(room, down[0]))


async def _told_again(room: Room, after: int) -> bool:
    return kinds(room.events[after:]) == {"orders", "positions", "balance"}


@pytest.mark.parametrize("kind", ["extra_field", "unknown_word"])
async def test_news_of_an_unknown_kind_stop_nothing(kind: str) -> None:
    async with a_room() as room:
        _, ask = await room.touch()
        await room.fault(kind, for_s=30)
        entry = room.intent(ask + ask // 100)
        assert (await room.place(entry)).verdict is SendVerdict.ACCEPTED
        await room.seen(ExecutionSeen, lambda seen: seen.client_id == entry.client_id)
        assert not [event for event in room.events if isinstance(event, FeedHealth) and event.state is StreamState.DOWN]


@pytest.mark.parametrize(("kind", "word"), [("liquidate", "liquidation"), ("deleverage", "deleverage")])
async def test_what_the_venue_takes_away_is_told(kind: str, word: str) -> None:
    async with a_room() as room:
        _, ask = await room.touch()
        entry = room.intent(ask + ask // 100)
        await room.place(entry)
        await room.seen(PositionSeen, lambda seen: seen.lots == entry.size_lots)
        await room.fault(kind, count=1)
        forced = await room.seen(ExecutionSeen, lambda seen: seen.forced is not None)
        assert (forced.forced, forced.client_id, forced.side) == (word, None, Side.SELL)
        await room.seen(PositionSeen, lambda seen: seen.lots == 0)
        await room.until(lambda: _holds(room, 0))


@pytest.mark.parametrize("kind", ["http_500", "http_429", "http_html", "maintenance", "key_revoked"])
async def test_no_trouble_reads_as_flat(kind: str) -> None:
    async with a_room() as room:
        _, ask = await room.touch()
        await room.place(room.intent(ask + ask // 100))
        await room.seen(PositionSeen, lambda seen: seen.lots > 0)
        await room.fault(kind, for_s=60)
        venue, now = room.venue, room.clock.wall_ms()
        reads = [venue.positions(now), venue.open_orders(now), venue.balance(now), venue.fills(0, now)]
        for read in [*reads, *venue.order("T000001-long-0", room.market, now)]:
            with pytest.raises(WireError):
                await room.ask(read)
        outcome = await room.place(room.intent(ask))
        assert outcome.verdict is not SendVerdict.ACCEPTED
        assert room.account["api_key"] not in repr(outcome)

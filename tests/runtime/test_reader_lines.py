"""What has no stream is read in order of need, within bounds; connections are renewed when markets change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import msgspec
import pytest
from simulated import LIMITS as VENUE_LIMITS
from simulated import PlainFeed, SimClock, SimDice, SimNet

from market_samples import LIMITS, NOW_MS, ONE, TWO, market
from twinleg.core.amounts import Grid
from twinleg.core.board import Board
from twinleg.core.funding import HOUR_MS
from twinleg.core.messages import (
    FundingSettled,
    FundingSource,
    Market,
    MarketEvent,
    MarketsListed,
    Stats,
    StreamState,
    VenueClock,
)
from twinleg.core.venue import Capabilities, Feed, Read, Request, WireError
from twinleg.runtime.budget import Budget
from twinleg.runtime.lines import CHANGE_S, VenueLines
from twinleg.runtime.ports import Reply
from twinleg.runtime.reader import (
    CLOCK_EVERY_MS,
    HISTORY_DEPTH_MS,
    HISTORY_RETRY_MS,
    LISTING_EVERY_MS,
    RATES_EVERY_MS,
    RETRY_MS_MAX,
    VenueReader,
)
from twinleg.runtime.streams import Doors, StreamRunner

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ANY = Capabilities(
    deltas=True, sequence=True, sequence_per_connection=False, crossed_books_normal=False, trades=True,
    funding_history=True,
)  # fmt: skip


class PlainVenue:
    """A venue whose answers say nothing but "fine": what was asked for is in each request's URL."""

    name = "one"
    capabilities = ANY
    limits = VENUE_LIMITS

    def __init__(self) -> None:
        self.listing: tuple[Market, ...] = (ONE,)
        self.made: list[list[Market]] = []
        self.history_late_ms = 0

    def read(self, what: str, *events: MarketEvent) -> Read:
        def parse(body: bytes, now_ms: int) -> list[MarketEvent]:
            if body != b"fine":
                raise WireError("not what we asked for")
            return list(events)

        return Read(Request(venue="one", method="GET", url=what), parse)

    def list_markets(self) -> Read:
        prices = [Stats(one.key, 1.0, 1.0, None, NOW_MS, 0) for one in self.listing]  # as the stream tells them
        return self.read("markets", MarketsListed("one", self.listing, NOW_MS), *prices)

    def feeds(self, markets: Sequence[Market]) -> list[Feed]:
        self.made.append(list(markets))
        feed = PlainFeed()
        feed.markets = tuple(one.key for one in markets)
        return [feed]

    def funding_now(self, markets: Sequence[Market]) -> list[Read]:
        return [self.read(f"rates {len(markets)}")]

    def funding_history(self, market: Market, since_ms: int, until_ms: int) -> Read:
        assert until_ms - since_ms == HISTORY_DEPTH_MS
        due_ms = until_ms // HOUR_MS * HOUR_MS - self.history_late_ms
        return self.read(
            f"history {market.key}", FundingSettled(market.key, 1e-5, 1.0, None, due_ms, FundingSource.HISTORY)
        )

    def clock(self) -> Read | None:
        return self.read("clock", VenueClock("one", 3, 0, NOW_MS))


class Bench:
    """A reader over a simulated net; `asked` are the URLs with their times in seconds."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.net = SimNet(self.clock)
        self.venue = PlainVenue()
        self.board = Board(lambda asset: LIMITS, lambda asset, one, other: True)
        self.asked: list[tuple[int, str]] = []
        self.fails: dict[str, Reply] = {}
        self.net.answer = self.answer
        doors = Doors(self.net, self.clock, SimDice())
        patient = msgspec.structs.replace(VENUE_LIMITS, requests_per_minute=6_000, silence_ms_max=10**9)
        budget = Budget("one", patient)
        self.reader = VenueReader(self.venue, self.board, self.take, budget, doors)
        self.lines = VenueLines(
            self.venue,
            self.board,
            self.clock,
            lambda feed: StreamRunner(feed, self.take, budget, doors, reconnect_s=1.0),
        )
        self.start_ns = self.clock.mono_ns()

    def take(self, events: list[MarketEvent]) -> None:
        for event in events:
            self.board.apply(event)

    def answer(self, request: Request, timeout_ms: int) -> Reply:
        what = request.url
        self.asked.append(((self.clock.mono_ns() - self.start_ns) // 1_000_000_000, what))
        for failing, reply in self.fails.items():
            if what.startswith(failing):
                return reply
        return Reply(200, b"fine")

    def paired(self) -> None:
        self.board.apply(MarketsListed("two", (TWO,), NOW_MS))

    def times(self, what: str) -> list[int]:
        return [at_s for at_s, asked in self.asked if asked.startswith(what)]

    @asynccontextmanager
    async def running(self, *, lines: bool = False) -> AsyncIterator[Bench]:
        task = asyncio.create_task(self.lines.run() if lines else self.reader.run(1_000))
        try:
            yield self
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_the_listing_comes_first_then_the_clock_then_rates_then_history() -> None:
    bench = Bench()
    bench.paired()
    async with bench.running():
        await bench.clock.advance(1)
        assert [what for _, what in bench.asked] == ["markets", "clock", "rates 1", f"history {ONE.key}"]
        assert bench.reader.trouble is None
        assert bench.board.clock_offsets_ms["one"] == 3
        assert bench.board.health["one", "rest"].state is StreamState.LIVE


async def test_each_read_comes_again_at_its_own_pace_and_history_after_a_settlement() -> None:
    bench = Bench()
    bench.paired()
    async with bench.running():
        await bench.clock.advance(LISTING_EVERY_MS / 1_000 + 2)
        assert len(bench.times("markets")) == 2
        assert len(bench.times("clock")) == 1 + LISTING_EVERY_MS // CLOCK_EVERY_MS
        assert len(bench.times("rates")) == 1 + LISTING_EVERY_MS // RATES_EVERY_MS
        assert len(bench.times("history")) == 1
        await bench.clock.advance(3_600)
        assert len(bench.times("history")) == 2, "once an hour, some minutes after the settlement"


async def test_a_history_that_does_not_have_the_last_settlement_yet_is_not_asked_at_once_again() -> None:
    bench = Bench()
    bench.paired()
    bench.venue.history_late_ms = HOUR_MS
    async with bench.running():
        await bench.clock.advance(HISTORY_RETRY_MS / 1_000 - 1)
        assert len(bench.times("history")) == 1
        await bench.clock.advance(2)
        assert len(bench.times("history")) == 2


async def test_without_pairs_only_the_listing_and_the_clock_are_read() -> None:
    bench = Bench()
    async with bench.running():
        await bench.clock.advance(10)
        assert {what for _, what in bench.asked} == {"markets", "clock"}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(None, b"", "connection refused"), "connection refused"),
        (Reply(500, b"<html>  oops </html>"), "HTTP 500: <html> oops </html>"),
        (Reply(200, b"<html>"), "unreadable answer: not what we asked for"),
    ],
)
async def test_a_listing_that_fails_is_trouble_and_tried_again_ever_later(reply: Reply, said: str) -> None:
    bench = Bench()
    bench.fails["markets"] = reply
    async with bench.running():
        await bench.clock.advance(200)
        assert bench.reader.trouble == said
        health = bench.board.health["one", "rest"]
        assert (health.state, health.reason) == (StreamState.DOWN, f"markets: {said}")
        tries = bench.times("markets")
        gaps = [later - sooner for sooner, later in pairwise(tries)]
        assert gaps[:3] == [1, 2, 4]
        assert max(gaps) <= RETRY_MS_MAX // 1_000 + 1
        assert bench.board.markets == {}, "an error is no empty list"
        assert bench.times("clock"), "the rest goes on"
        bench.fails.clear()
        await bench.clock.advance(RETRY_MS_MAX / 1_000 + 1)
        assert bench.reader.trouble is None
        assert bench.board.health["one", "rest"].state is StreamState.LIVE


async def test_a_history_that_fails_degrades_and_leaves_the_listing_alone() -> None:
    bench = Bench()
    bench.paired()
    bench.fails["history"] = Reply(404, b"no such market")
    async with bench.running():
        await bench.clock.advance(5)
        assert bench.reader.trouble is None
        assert bench.board.health["one", "rest"].state is StreamState.DEGRADED
        assert 1 < len(bench.times("history")) <= 4
        bench.fails.clear()
        await bench.clock.advance(RETRY_MS_MAX / 1_000)
        assert bench.board.health["one", "rest"].state is StreamState.LIVE


async def test_a_venue_without_a_listing_is_down_whatever_else_fails() -> None:
    bench = Bench()
    bench.fails |= {"markets": Reply(503, b"closed"), "clock": Reply(500, b"broken")}
    async with bench.running():
        await bench.clock.advance(5)
        health = bench.board.health["one", "rest"]
        assert (health.state, health.reason) == (StreamState.DOWN, "markets: HTTP 503: closed")


async def test_a_wall_clock_that_jumps_back_stops_no_reading() -> None:
    bench = Bench()
    bench.paired()
    wall_ms = bench.clock.wall_ms
    async with bench.running():
        await bench.clock.advance(5)
        bench.clock.wall_ms = lambda: wall_ms() - 24 * HOUR_MS  # type: ignore[method-assign]
        before = len(bench.times("clock"))
        await bench.clock.advance(CLOCK_EVERY_MS / 1_000 + 1)
        assert len(bench.times("clock")) == before + 1


# -- connections ------------------------------------------------------------------------------------------------------


async def test_connections_wait_for_pairs_and_carry_exactly_their_markets() -> None:
    bench = Bench()
    lonely = market(ONE, key="one:BTC", base="BTC")
    bench.board.apply(MarketsListed("one", (ONE, lonely), NOW_MS))
    async with bench.running(lines=True):
        await bench.clock.advance(5)
        assert bench.venue.made == []
        bench.paired()
        await bench.clock.advance(1)
        assert bench.venue.made == [[ONE]]
        assert len(bench.net.streams) == 1
        await bench.clock.advance(3 * CHANGE_S)
        assert len(bench.venue.made) == 1


async def test_a_market_that_joins_the_pairs_renews_the_connections() -> None:
    bench = Bench()
    bench.paired()
    bench.board.apply(MarketsListed("one", (ONE,), NOW_MS))
    joined = market(ONE, key="one:BTC", base="BTC")
    async with bench.running(lines=True):
        await bench.clock.advance(1)
        bench.board.apply(MarketsListed("one", (ONE, joined), NOW_MS))
        bench.board.apply(MarketsListed("two", (TWO, market(TWO, key="two:BTC-USD", base="BTC")), NOW_MS))
        await bench.clock.advance(CHANGE_S + 1)
        assert bench.venue.made == [[ONE], [ONE, joined]]
        assert [stream.ended is None for stream in bench.net.streams] == [False, True]


@pytest.mark.parametrize("changes", [{"price_grid": Grid(7)}, {"size_grid": Grid(1)}])
async def test_a_changed_tick_or_lot_renews_the_connections_that_read_by_the_old_one(changes: dict[str, Grid]) -> None:
    bench = Bench()
    bench.paired()
    bench.board.apply(MarketsListed("one", (ONE,), NOW_MS))
    async with bench.running(lines=True):
        await bench.clock.advance(1)
        changed = msgspec.structs.replace(ONE, **changes)
        bench.board.apply(MarketsListed("one", (changed,), NOW_MS))
        await bench.clock.advance(CHANGE_S + 1)
        assert bench.venue.made == [[ONE], [changed]]


async def test_other_new_facts_leave_the_connections_alone_and_a_resync_goes_to_the_one_concerned() -> None:
    bench = Bench()
    bench.paired()
    bench.board.apply(MarketsListed("one", (ONE,), NOW_MS))
    async with bench.running(lines=True):
        await bench.clock.advance(1)
        bench.board.apply(MarketsListed("one", (market(ONE, taker_fee_bps=9.0),), NOW_MS))
        await bench.clock.advance(2 * CHANGE_S)
        assert len(bench.venue.made) == 1
        bench.lines.resync("one:OTHER")
        bench.lines.resync(ONE.key)
        await bench.clock.advance(1)
        assert bench.net.streams[0].sent.count(b"resync one:1000PEPE") == 1
        assert b"resync one:OTHER" not in bench.net.streams[0].sent
    assert bench.lines.runners == []

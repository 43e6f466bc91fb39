"""Everything that a flatten without an engine needs, put together from the settings: leases, gates, books."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import count
from typing import NamedTuple

import msgspec

from twinleg.core.board import Board
from twinleg.core.flattening import name_of
from twinleg.core.messages import Market, MarketEvent, MarketsListed
from twinleg.core.orders import Leg, Side
from twinleg.core.pairs import NS_PER_MS, Limits
from twinleg.core.trading import TradingVenue
from twinleg.core.venue import Venue
from twinleg.runtime.budget import Budget
from twinleg.runtime.flatten import Said, Ways
from twinleg.runtime.gate import Account, VenueGate
from twinleg.runtime.lanes import Lanes
from twinleg.runtime.reads import Answered, perform
from twinleg.runtime.settings import Settings
from twinleg.runtime.streams import Doors, StreamRunner
from twinleg.runtime.traders import NoAnswerError, VenueAccount, accounts_of, traders_of, with_vault
from twinleg.runtime.wiring import lease_of, venues_of

LIST_TRIES = 4
LIST_AGAIN_S = 2.0
BOOK_S_MAX = 5.0
BOOK_AGE_MS_MAX = 30_000
"""An older touch is no reference for an order that has to fill; the venue's own mark is."""
POLL_S = 0.05
SENDS_NOTHING = "a dry run sends nothing"


class Post(NamedTuple):
    """One account, ready to be flattened. `watch` brings books of those markets, as far as they come within seconds."""

    ways: Ways
    watch: Callable[[list[str]], AbstractAsyncContextManager[None]]


class Posts(NamedTuple):
    """The accounts within reach, and why the others are not."""

    ready: dict[str, Post]
    out_of_reach: dict[str, str]


@asynccontextmanager
async def posts(settings: Settings, doors: Doors, tell: Callable[[Said], None], *, sends: bool) -> AsyncIterator[Posts]:
    """All accounts whose keys were given. With `sends` each is leased for as long as the block runs.

    Raises KeysError, and LeaseError when a living process trades one of the accounts.
    """
    timeout_ms = int(settings.api_request_timeout * 1_000)
    out_of_reach: dict[str, str] = {}
    try:
        settings = await with_vault(settings, doors, timeout_ms)
    except NoAnswerError as error:  # the other venue is flattened all the same
        out_of_reach["extended"] = str(error)
        settings = settings.model_copy(update={"extended_api_key": None})
    facts: dict[str, Market] = {}
    public = {venue.name: venue for venue in venues_of(settings)}
    accounts = list(zip(traders_of(settings, facts), accounts_of(settings), strict=True))
    async with AsyncExitStack() as stack:
        ready: dict[str, Post] = {}
        for trader, account in accounts:
            venue = public[trader.name]
            budget = Budget(venue.name, venue.limits)
            token, lost = _leased(stack, account) if sends else (0, lambda: SENDS_NOTHING)
            listed = await _listed(venue, doors, budget, timeout_ms)
            if isinstance(listed, str):
                out_of_reach[venue.name] = listed
                continue
            facts |= {market.key: market for market in listed.markets}
            try:
                gate = await _gate(settings, Account(trader, facts, _lanes(settings, trader), lost), budget, doors)
            except ValueError as error:
                out_of_reach[venue.name] = f"its keys cannot sign: {error}"
                continue
            stack.push_async_callback(gate.close)
            books = _Books(venue, listed, budget, doors)
            ways = Ways(gate, facts, books.touch, _names(token), doors.clock, tell)
            ready[venue.name] = Post(ways, books.watch)
        yield Posts(ready, out_of_reach)


def _leased(stack: AsyncExitStack, account: VenueAccount) -> tuple[int, Callable[[], str | None]]:
    lease = lease_of(account)
    stack.callback(lease.release)
    return lease.token, lease.lost


def _names(token: int) -> Callable[[], tuple[str, Leg, int]]:
    counted = count()
    return lambda: name_of(token, next(counted))


def _lanes(settings: Settings, trader: TradingVenue) -> Lanes:
    trusting = settings.lighter_nonce_manager == "optimistic"
    return Lanes(trader.lanes(), sequenced=trader.trading.sequenced, trusting=trusting)


async def _gate(settings: Settings, account: Account, budget: Budget, doors: Doors) -> VenueGate:
    gate = VenueGate(account, budget, doors, int(settings.api_request_timeout * 1_000))
    try:
        await gate.warm()
    except BaseException:
        await gate.close()
        raise
    return gate


async def _listed(venue: Venue, doors: Doors, budget: Budget, timeout_ms: int) -> MarketsListed | str:
    """The venue's markets, asked for a few times; or why they are not known."""
    for attempt in range(LIST_TRIES):
        if attempt:
            await doors.clock.sleep(LIST_AGAIN_S)
        outcome = await perform(venue.list_markets(), doors.net, doors.clock, budget, timeout_ms)
        if isinstance(outcome, Answered):
            return next(event for event in outcome.events if isinstance(event, MarketsListed))
    return f"its markets could not be read: {outcome}"


class _Books:
    """The books of one venue's held markets, from its own streams."""

    def __init__(self, venue: Venue, listed: MarketsListed, budget: Budget, doors: Doors) -> None:
        self._venue, self._budget, self._doors = venue, budget, doors
        self._listed = {market.key: msgspec.structs.replace(market, excluded=None) for market in listed.markets}
        self._board = Board(lambda _asset: Limits(), lambda _asset, _one, _other: False)

    @asynccontextmanager
    async def watch(self, keys: list[str]) -> AsyncIterator[None]:
        """Follow these markets for as long as the block runs; it begins when their books are there, or late."""
        markets = tuple(self._listed[key] for key in keys if key in self._listed)
        if not markets:
            yield
            return
        self._board.apply(MarketsListed(self._venue.name, markets, self._doors.clock.wall_ms()))
        end_ns = self._doors.clock.mono_ns() + int(BOOK_S_MAX * 1e9)
        async with asyncio.TaskGroup() as group:
            feeds = self._venue.feeds(markets)
            runners = [StreamRunner(feed, self._sink, self._budget, self._doors) for feed in feeds]
            running = [group.create_task(runner.run()) for runner in runners]
            while self._doors.clock.mono_ns() < end_ns and not all(
                self._board.books[market.key].ready for market in markets
            ):
                await self._doors.clock.sleep(POLL_S)
            try:
                yield
            finally:
                for task in running:
                    task.cancel()

    def touch(self, key: str, side: Side) -> int | None:
        """The best price that an order of that side would take, in ticks; None = there is no book of late."""
        book = self._board.books.get(key)
        if book is None or not book.ready:
            return None
        if self._doors.clock.mono_ns() - book.received_ns > BOOK_AGE_MS_MAX * NS_PER_MS:
            return None
        prices = book.ask_prices[:1] if side is Side.BUY else book.bid_prices[-1:]
        return prices[0] if prices else None

    def _sink(self, events: list[MarketEvent]) -> None:
        for event in events:
            self._board.apply(event)

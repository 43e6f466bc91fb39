"""`twinleg book`: one order book, from its own stream alone."""

from __future__ import annotations

import asyncio
from itertools import zip_longest
from typing import NamedTuple

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, OK, UNREACHABLE, CommandError
from twinleg.cli.figures import plain, size, span
from twinleg.cli.looking import advice, doors, listings
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.board import Board
from twinleg.core.book import Book
from twinleg.core.messages import Market, MarketEvent, MarketsListed
from twinleg.core.venue import Venue
from twinleg.runtime.budget import Budget
from twinleg.runtime.settings import Settings
from twinleg.runtime.streams import Doors, StreamRunner
from twinleg.runtime.wiring import limits_of

NS_PER_MS = 1_000_000
POLL_S = 0.02
SIMILAR_SHOWN = 10


class BookOptions(NamedTuple):
    """What the command line asked for."""

    market: str
    depth: int
    size_usd: float | None
    wait: float
    as_json: bool


class BookLevel(msgspec.Struct, frozen=True):
    """One price: exact texts, and the money from the best price up to and with this one."""

    price: str
    size: str
    total_usd: float


class Cost(msgspec.Struct, frozen=True):
    """Taking `size_usd` from one side: the average price and its distance from the mid."""

    size_usd: float
    vwap: float
    impact_bps: float
    worst_price: str


class BookAnswer(msgspec.Struct, frozen=True):
    """One book. Prices as the venue quotes the market; `status` is the market's, "book" what we know of the book."""

    market: str
    status: str
    ready: bool
    book: str
    age_ms: float | None
    venue_ms: int | None
    mid: float | None
    spread_bps: float | None
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    buy: Cost | None
    sell: Cost | None
    """Buying takes asks, selling takes bids. None = not asked for, or the side is too thin."""


def run_book(options: BookOptions) -> int:
    """Print the book. Raises CommandError."""
    return asyncio.run(_book(options))


async def _book(options: BookOptions) -> int:
    settings = settings_of_user()
    name = options.market.partition(":")[0]
    async with doors() as ways:
        listed = await listings(settings, ways, options.wait)
        venue = next((venue for venue in listed if venue.name == name), None)
        if venue is None:
            known = ", ".join(venue.name for venue in listed)
            raise CommandError(BAD_CONFIGURATION, f"no venue {name!r}: write one of {known}, a colon and a symbol.")
        answer = listed[venue]
        if isinstance(answer, str):
            raise CommandError(UNREACHABLE, f"{advice({name: answer})}.")
        shown = await _shown(venue, _market(options.market, answer), ways, settings, options)
    if options.as_json:
        put_json(shown)
    else:
        put(_lines(shown, options.size_usd))
    return OK if shown.ready else UNREACHABLE


def _market(key: str, listed: MarketsListed) -> Market:
    found = next((market for market in listed.markets if market.key.lower() == key.lower()), None)
    if found is None:
        wanted = key.partition(":")[2].lower()
        similar = [plain(market.key) for market in listed.markets if wanted and wanted in market.symbol.lower()]
        hint = f" Perhaps {', '.join(similar[:SIMILAR_SHOWN])}." if similar else " `twinleg markets` lists them all."
        raise CommandError(BAD_CONFIGURATION, f"{plain(listed.venue)} does not list {plain(key)}.{hint}")
    return msgspec.structs.replace(found, excluded=None)  # what is left out of trading may still be looked at


async def _shown(venue: Venue, market: Market, ways: Doors, settings: Settings, options: BookOptions) -> BookAnswer:
    """The market's book once it is there, or as it is after the time."""
    board = Board(limits_of(settings), lambda _asset, _one, _other: False)
    board.apply(MarketsListed(venue.name, (market,), ways.clock.wall_ms()))
    budget, book = Budget(venue.name, venue.limits), board.books[market.key]
    end_ns = ways.clock.mono_ns() + int(options.wait * 1_000) * NS_PER_MS

    def sink(events: list[MarketEvent]) -> None:
        for event in events:
            board.apply(event)

    async with asyncio.TaskGroup() as group:
        runners = [StreamRunner(feed, sink, budget, ways) for feed in venue.feeds([market])]
        running = [group.create_task(runner.run()) for runner in runners]
        while not book.ready and ways.clock.mono_ns() < end_ns:
            await ways.clock.sleep(POLL_S)
        shown = answer_of(market, book, ways.clock.mono_ns(), options)
        for task in running:
            task.cancel()
    return shown


def answer_of(market: Market, book: Book, now_ns: int, options: BookOptions) -> BookAnswer:
    """The book in figures."""
    unit = float(market.price_grid.unit)
    two_sided = book.two_sided
    mid = book.mid_ticks * unit if two_sided else None
    spread = (book.ask_prices[0] - book.bid_prices[-1]) / book.mid_ticks * 10_000 if two_sided else None
    heard = book.received_ns > 0
    state = "ready" if book.ready else f"lost: {book.lost_reason}"
    return BookAnswer(
        market=market.key,
        status=market.status.value,
        ready=book.ready,
        book="crossed" if book.ready and book.crossed else state,
        age_ms=(now_ns - book.received_ns) / NS_PER_MS if heard else None,
        venue_ms=book.venue_ms if heard else None,
        mid=mid,
        spread_bps=spread,
        bids=_levels(market, book, options.depth, asks=False),
        asks=_levels(market, book, options.depth, asks=True),
        buy=_cost(market, book, options.size_usd, asks=True),
        sell=_cost(market, book, options.size_usd, asks=False),
    )


def _levels(market: Market, book: Book, depth: int, *, asks: bool) -> tuple[BookLevel, ...]:
    worth = float(market.price_grid.unit * market.size_grid.unit)
    total, found = 0.0, []
    for price, lots in book.levels(asks=asks, limit=depth):
        total += price * lots * worth
        found.append(BookLevel(market.price_grid.text(price), market.size_grid.text(lots), total))
    return tuple(found)


def _cost(market: Market, book: Book, size_usd: float | None, *, asks: bool) -> Cost | None:
    if size_usd is None or not book.two_sided:
        return None
    unit = float(market.price_grid.unit)
    mid = book.mid_ticks * unit
    lots = round(size_usd / mid / float(market.size_grid.unit))
    walk = book.walk(lots, asks=asks) if lots > 0 else None
    if walk is None:
        return None
    vwap = walk.vwap_ticks * unit
    return Cost(size_usd, vwap, abs(vwap - mid) / mid * 10_000, market.price_grid.text(walk.worst_ticks))


def _lines(answer: BookAnswer, size_usd: float | None) -> list[str]:
    found = [plain(f"{answer.market}  {answer.status}  book {answer.book}  age {span(answer.age_ms)}")]
    if answer.mid is not None and answer.spread_bps is not None:
        found.append(f"mid {answer.mid:.10g}  spread {answer.spread_bps:.2f} bps")
    bids = [(size(level.total_usd), level.size, level.price) for level in answer.bids]
    asks = [(level.price, level.size, size(level.total_usd)) for level in answer.asks]
    rows = [(*bid, *ask) for bid, ask in zip_longest(bids, asks, fillvalue=("", "", ""))]
    titles = ("bid total $", "bid size", "bid", "ask", "ask size", "ask total $")
    found += columns(titles, rows, right=titles)
    if size_usd is not None:
        found += [_cost_line(word, cost, size_usd) for word, cost in (("buy", answer.buy), ("sell", answer.sell))]
    return found


def _cost_line(word: str, cost: Cost | None, size_usd: float) -> str:
    if cost is None:
        return f"{word} {size(size_usd)} $: the book is too thin, or unknown"
    return (
        f"{word} {size(size_usd)} $: average {cost.vwap:.10g}, {cost.impact_bps:.2f} bps from the mid, "
        f"worst price {cost.worst_price}"
    )

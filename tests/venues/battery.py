"""What a venue brings to the conformance battery, and the line that joins its feed to its scripted server.

A venue joins by adding `tests/venues/<venue>/case.py` with a `CASE`. Frames are text on purpose: the server says what
the wire would say, so that reading it is what is tested.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pytest

from twinleg.core.messages import (
    BookDelta,
    BookLost,
    BookSnapshot,
    Level,
    Market,
    MarketEvent,
    MarketsListed,
    MarketStatus,
)
from twinleg.core.venue import Feed, Venue

START_MS = 1_790_425_443_000
START_NS = 5_000_000_000
SECOND_NS = 1_000_000_000

GARBAGE = [
    b"",
    b"\x00",
    b"\xff\xfe\x80",
    b"null",
    b"true",
    b"17",
    b"[]",
    b'"text"',
    b"{",
    b"{}x",
    b"<html><body>502 Bad Gateway</body></html>",
    b'{"a":NaN}',
    b'{"a":' * 50_000,
    b"[" * 50_000,
    b'{"type":"\xff","channel":"\xff"}',
    b'{"type":"\\ud800","channel":"\\udfff"}',
    b'{"type":7,"channel":[],"seq":"x","id":{},"data":5,"timestamp":1e400}',
    b'{"type":"' + b"x" * 1_000_000 + b'"}',
]
"""What no venue should say, and some proxy once did."""

TextLevel = tuple[str, str]
"""(price, size) as the wire writes them."""
TextBook = tuple[dict[str, str], dict[str, str]]
"""(bids, asks), price -> size."""
Ladder = tuple[dict[int, int], dict[int, int]]
"""(bids, asks), ticks -> lots."""


class Server(Protocol):
    """The venue's end of one connection. `books` is what it shows; it starts from what it is given."""

    books: dict[str, TextBook]

    def greet(self) -> list[bytes]:
        """What the venue says by itself when a connection opens."""
        ...

    def answer(self, message: bytes) -> list[bytes]:
        """What it says to one message of the client; a topic that is asked for gets its first content."""
        ...

    def change(self, symbol: str, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> bytes:
        """Levels with their new size, "0" removes; also where the text makes no sense. `books` follows."""
        ...

    def trade(self, symbol: str, level: TextLevel, trade_id: int, *, taker_buys: bool) -> bytes: ...

    def stats(self, symbol: str, mark: str, index: str, at_ms: int) -> list[bytes]:
        """Reference prices and the predicted funding rate, which is Case.predicted_rate; nothing if untold."""
        ...

    def strange(self) -> list[bytes]:
        """Well-formed messages of types and topics that we never heard of. They take part in the continuity."""
        ...


class Answer(NamedTuple):
    """A REST body and the rates it tells: (symbol or settlement ms, fraction per hour)."""

    body: bytes
    rates: list[tuple[Any, float]]


class Case(msgspec.Struct, kw_only=True):
    """One venue's part of the battery. Its listing has two open markets and one of every kind that is not."""

    venue: Venue
    server: Callable[[dict[str, TextBook] | None], Server]
    """A new connection's other end, which shows the given books."""
    listing: bytes
    wide_listing: Callable[[int], bytes]
    """A listing of so many open markets."""
    open_symbols: tuple[str, str]
    statuses: dict[str, MarketStatus]
    """What each listed symbol's status reads as, the open ones included; one has a word we do not know."""
    excluded: frozenset[str]
    left_out: frozenset[str]
    """Symbols in the listing whose rows cannot be read."""
    refusals: list[bytes]
    """Bodies with which the venue refuses a request, the first two any request."""
    predicted_rate: float | None
    """What Server.stats says, as a fraction per hour; None if the stream tells no rate."""
    funding_now: Answer
    """To the first read of funding_now(open markets)."""
    funding_history: Answer
    """Of open_symbols[0], with one rate below zero."""


def only(condition: bool, needs: str) -> None:
    if not condition:
        pytest.skip(f"declared: no {needs}")


def cases() -> list[Case]:
    """Every venue that has a case.py."""
    rooms = sorted(path.parent.name for path in Path(__file__).parent.glob("*/case.py"))
    return [importlib.import_module(f"venues.{room}.case").CASE for room in rooms]


def listed(case: Case, body: bytes | None = None) -> dict[str, Market]:
    """The markets of a listing by symbol."""
    (event,) = case.venue.list_markets().parse(case.listing if body is None else body, START_MS)
    assert isinstance(event, MarketsListed)
    return {market.symbol: market for market in event.markets}


class Line:
    """A feed joined to a server, message by message, and the books that its events make."""

    def __init__(self, case: Case, feed: Feed, markets: Iterable[Market], server: Server | None = None) -> None:
        self.case = case
        self.feed = feed
        self.by_key = {market.key: market for market in markets}
        self.server = server or case.server(None)
        self.now_ms, self.now_ns = START_MS, START_NS
        self.books: dict[str, Ladder | None] = dict.fromkeys(feed.markets)
        self.events: list[MarketEvent] = []
        self.sent: list[bytes] = []
        self.deaf_to: tuple[bytes, ...] = ()
        """The server does not hear messages with any of these in them."""

    def open(self) -> None:
        self._take(self.feed.opened(self.now_ms))
        self.pump()
        self.push(*self.server.greet())

    def reopen(self) -> None:
        """The connection ends and a new one begins, with a new server side that shows the same books."""
        self._take(self.feed.closed("test", self.now_ns, self.now_ms))
        assert not any(self.books.values()), "a closed connection leaves no book"
        self.server = self.case.server(self.server.books)
        self.open()

    def push(self, *frames: bytes) -> list[MarketEvent]:
        """Deliver frames; the feed's answers go to the server. Returns the events of all of it."""
        before = len(self.events)
        for frame in frames:
            self.now_ns += 1_000_000
            self.now_ms += 1
            self._take(self.feed.received(memoryview(frame), self.now_ns, self.now_ms))
        self.pump()
        return self.events[before:]

    def pump(self) -> None:
        """Carry messages to and fro until nobody has anything to say."""
        for _ in range(1_000):
            if not self.feed.outbox:
                return
            message = self.feed.outbox.pop(0)
            self.sent.append(message)
            if any(word in message for word in self.deaf_to):
                continue
            for frame in self.server.answer(message):
                self._take(self.feed.received(frame, self.now_ns, self.now_ms))
        raise AssertionError("the feed never stops talking")

    def change(self, symbol: str, bids: Sequence[Level] = (), asks: Sequence[Level] = ()) -> bytes:
        """The server's next book message, from (ticks, lots)."""
        market = next(market for market in self.by_key.values() if market.symbol == symbol)
        return self.server.change(symbol, wire_levels(market, *bids), wire_levels(market, *asks))

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ms += 1_000
            self.now_ns += SECOND_NS
            self._take(self.feed.timer(self.now_ns, self.now_ms))
            self.pump()

    def recover(self) -> None:
        """Wait, and reconnect where the feed asks for it, until every book is right again."""
        for _ in range(200):
            if self.feed.broken is not None:
                self.reopen()
            if all(self.books.values()) and self.feed.broken is None:
                break
            self.wait(1)
            if not self.case.venue.capabilities.deltas:  # every message is a whole book: the next one is enough
                self.push(*(self.change(self.by_key[key].symbol) for key in self.feed.markets))
        for key in self.feed.markets:
            assert self.books[key] == self.truth(key)

    def truth(self, key: str) -> Ladder:
        """What the server shows, in ticks and lots."""
        market = self.by_key[key]
        bids, asks = self.server.books.get(market.symbol, ({}, {}))
        return tuple(  # type: ignore[return-value]
            {market.price_grid.parse(price): market.size_grid.parse(size) for price, size in side.items()}
            for side in (bids, asks)
        )

    def lost(self) -> list[str]:
        """The markets of all BookLost so far, in order."""
        return [event.market for event in self.events if isinstance(event, BookLost)]

    def _take(self, events: list[MarketEvent]) -> None:
        assert type(events) is list
        self.events += events
        for event in events:
            match event:
                case BookSnapshot():
                    self.books[event.market] = (dict(event.bids), dict(event.asks))
                case BookDelta():
                    book = self.books[event.market]
                    assert book is not None, "a change without a snapshot"
                    _apply(book[0], event.bids)
                    _apply(book[1], event.asks)
                case BookLost():
                    assert self.books[event.market] is not None, "lost twice"
                    assert event.reason
                    self.books[event.market] = None


def join(case: Case, symbols: Sequence[str] | None = None, server: Server | None = None) -> Line:
    """An open line over the first connection of the given markets, every book on it live."""
    known = listed(case)
    markets = [known[symbol] for symbol in symbols or case.open_symbols]
    line = Line(case, case.venue.feeds(markets)[0], markets, server or fresh_server(case))
    line.open()
    line.recover()
    return line


def fresh_server(case: Case) -> Server:
    """A server with a few levels in both open markets."""
    known = listed(case)
    return case.server(
        {
            symbol: (
                dict(wire_levels(known[symbol], (1000, 30), (999, 5))),
                dict(wire_levels(known[symbol], (1002, 2))),
            )
            for symbol in case.open_symbols
        }
    )


def wire_levels(market: Market, *levels: Level) -> list[TextLevel]:
    """(ticks, lots) as text with all the market's decimals."""
    return [(market.price_grid.text(price), market.size_grid.text(lots)) for price, lots in levels]


def sprinkled(frame: bytes) -> bytes:
    """The same frame with unknown fields in every object."""

    def grown(value: Any) -> Any:
        match value:
            case dict():
                return {"zz_new": {"a": [1, None]}} | {name: grown(inner) for name, inner in value.items()}
            case list():
                return [grown(inner) for inner in value]
            case _:
                return value

    return json.dumps(grown(json.loads(frame))).encode()


def keep(side: dict[str, str], levels: Iterable[TextLevel]) -> None:
    """Apply text levels to a side of a server's book."""
    for price, size in levels:
        if size.strip("0.") or "0" not in size:  # nonsense stays: whole books must show it
            side[price] = size
        else:
            side.pop(price, None)


def _apply(side: dict[int, int], levels: list[Level]) -> None:
    for price, lots in levels:
        assert type(price) is int
        assert type(lots) is int
        assert price > 0
        assert lots >= 0
        if lots:
            side[price] = lots
        else:
            side.pop(price, None)

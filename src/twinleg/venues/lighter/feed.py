"""One Lighter stream connection without its socket: frames and times in, market events and subscribe messages out.

Books: `order_book/{m}` starts with a snapshot; every update names the engine nonce it starts from (`begin_nonce`),
which must be the nonce the book stands at. Any break loses the book, and it is unsubscribed and subscribed for a new
snapshot. Because each market carries its own chain, a frame that cannot be read at all is only counted, unless its
bytes still name a book: a lost update shows at that market's next one. `offset` is not contiguous and is not used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from twinleg.core.amounts import AmountError, Memo, sizes_of
from twinleg.core.messages import (
    BookDelta,
    BookLost,
    BookSnapshot,
    FundingPredicted,
    FundingSettled,
    FundingSource,
    Level,
    Market,
    MarketEvent,
    Stats,
    TradePrint,
)
from twinleg.core.subscriptions import Pace, Subscriptions
from twinleg.core.venue import WireError
from twinleg.venues.lighter import facts, wire

MS_NS = 1_000_000
STATS_TOPIC = "market_stats/all"
BOOK_UPDATE = "update/order_book"
BOOK_SNAPSHOT = "subscribed/order_book"
BOOK_CHANNEL = re.compile(rb'"channel"\s*:\s*"(order_book:\d{1,6})"')
CHANNEL_IN_ERROR = re.compile(r"[a-z_]+[:/](?:\d{1,6}|all)\b")

ALREADY_SUBSCRIBED = 30003
NOT_SUBSCRIBED = 30002
INVALID_CHANNEL = 30005
TOO_MANY = (30009, 30010)


class _Line:
    """What we follow in one market: its book's place in the nonce chain and the newest trade seen."""

    __slots__ = ("book_topic", "key", "nonce", "point", "prices", "size", "trade_id", "trade_topic")

    def __init__(self, market: Market) -> None:
        self.key = market.key
        self.book_topic = f"order_book/{market.native_id}"
        self.trade_topic = f"trade/{market.native_id}"
        self.prices = Memo(market.price_grid, least=1)
        self.size = sizes_of(market.size_grid)
        self.point = slice(-1 - market.size_grid.decimals, -market.size_grid.decimals)  # nothing where no decimals are
        self.nonce: int | None = None  # None: no book, updates are dropped until a snapshot
        self.trade_id = -1

    def levels(self, levels: list[wire.Level] | None) -> list[Level]:
        """Wire levels to integers. Raises ValueError.

        The venue writes every size with all the market's decimals (recorded), so its digits are its lots: read in
        place, which is the better part of a book frame's cost. Any other text goes the long way.
        """
        if not levels:
            return []
        prices, point, result = self.prices, self.point, []
        for level in levels:
            text = level.size
            digits = text.replace(".", "", 1)
            plain = text[point] == "." and digits.isdecimal()
            result.append((prices[level.price], int(digits) if plain else self.size(text)))
        return result


class Session:
    """What every connection does: wait for `connected`, subscribe at its pace, ping, heed a planned restart."""

    def __init__(self, name: str, url: str, topics: Sequence[str], pace: Pace) -> None:
        self.name = name
        self.url = url
        self.headers: dict[str, str] = {}
        self.markets: tuple[str, ...] = ()
        self.outbox: list[bytes] = []
        self.broken: str | None = None
        self.bad_frames = 0
        self.unknown_words = 0
        self._subscriptions = Subscriptions(topics, pace)
        self._connected = False
        self._opened_ns: int | None = None
        self._pinged_ns = 0
        self._shutdown_ns: int | None = None
        self._now_ms = 0

    def opened(self, now_ms: int) -> list[Any]:
        """A new connection: nothing is known, and nothing is asked before the venue says `connected`."""
        self._forget()
        self._now_ms = now_ms
        return []

    def timer(self, received_ns: int, now_ms: int) -> list[Any]:
        """Heartbeats, overdue answers, a planned restart that is due."""
        self._now_ms = now_ms
        if self.broken is not None:
            return []
        if self._opened_ns is None:
            self._opened_ns = self._pinged_ns = received_ns
        if not self._connected:
            if received_ns - self._opened_ns >= facts.CONNECTED_MS_MAX * MS_NS:
                self.broken = "no `connected` frame"
            return []
        if self._shutdown_ns is not None and received_ns >= self._shutdown_ns:
            return self._break("planned restart of the venue", received_ns)
        if received_ns - self._pinged_ns >= facts.PING_MS * MS_NS and self._subscriptions.spend(now_ms):
            self._pinged_ns = received_ns
            self.outbox.append(wire.PING)
        self._subscriptions.expire(now_ms)
        hopeless = self._subscriptions.hopeless
        if hopeless is not None:
            return self._break(hopeless, received_ns)
        self._ask(now_ms)
        return []

    def closed(self, reason: str, received_ns: int, now_ms: int) -> list[Any]:
        """The connection is gone, and with it everything that was known through it."""
        self._now_ms = now_ms
        events = self._lose_all(reason, received_ns)
        self._forget()
        return events

    def _lose_all(self, reason: str, received_ns: int) -> list[Any]:
        raise NotImplementedError

    def _subscribe(self, topic: str, now_ms: int) -> bytes:  # noqa: ARG002  # private topics need a token of now
        return wire.subscribe(topic)

    def _forget(self) -> None:
        self.outbox.clear()
        self.broken = None
        self._connected = False
        self._opened_ns = None
        self._shutdown_ns = None
        self._subscriptions.reset()

    def _ask(self, now_ms: int) -> None:
        if self._connected:
            for topic, again in self._subscriptions.due(now_ms):
                if again:
                    self.outbox.append(wire.unsubscribe(topic))
                self.outbox.append(self._subscribe(topic, now_ms))

    def _answered(self, topic: str, now_ms: int) -> None:
        self._subscriptions.answered(topic, now_ms)
        self._ask(now_ms)

    def _break(self, reason: str, received_ns: int) -> list[Any]:
        self.broken = reason
        return self._lose_all(reason, received_ns)

    def _say(self, kind: str, close_in_ms: int, received_ns: int, now_ms: int) -> None:
        """A message about the connection itself, or of a type that we do not know."""
        if kind == "connected":
            self._connected = True
            self._ask(now_ms)
        elif kind == "ping":
            if self._subscriptions.spend(now_ms):
                self.outbox.append(wire.PONG)
        elif kind == "shutdown":
            wait_ms = min(max(close_in_ms, 0), facts.SHUTDOWN_MS_MAX)
            self._shutdown_ns = received_ns + wait_ms * MS_NS
        elif kind not in ("pong", "unsubscribed"):
            self.unknown_words += 1


class LighterFeed(Session):
    """Books and trades of `markets`, and stats of `stats_markets` (all of them on one connection, none on the rest)."""

    def __init__(
        self, name: str, url: str, markets: Sequence[Market], stats_markets: Sequence[Market], pace: Pace
    ) -> None:
        lines = [_Line(market) for market in markets]
        self._by_key = {line.key: line for line in lines}
        self._books = {line.book_topic.replace("/", ":"): line for line in lines}
        self._trades = {line.trade_topic.replace("/", ":"): line for line in lines}
        self._stats_keys = {int(market.native_id): market.key for market in stats_markets}
        self._settled_ms: dict[str, int] = {}
        topics = [STATS_TOPIC] if stats_markets else []  # one message for all markets, and nothing is judged without it
        topics += [line.book_topic for line in lines]
        topics += [line.trade_topic for line in lines]
        super().__init__(name, url, topics, pace)
        self.markets = tuple(market.key for market in markets)

    def received(self, payload: bytes | memoryview, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """The events of one frame. Never raises; after `broken` frames are ignored."""
        if self.broken is not None:
            return []
        try:
            frame = wire.decode_frame(payload)
        except wire.UNREADABLE as error:
            return self._unreadable(payload, str(error), received_ns, now_ms)
        line, body = self._books.get(frame.channel), frame.order_book
        if line is None or body is None:
            return self._other(frame, received_ns, now_ms)
        if frame.type == BOOK_UPDATE:
            return self._update(line, frame, body, received_ns, now_ms)
        if frame.type == BOOK_SNAPSHOT:
            return self._snapshot(line, frame, body, received_ns, now_ms)
        self.unknown_words += 1
        return self._lose(line, f"unknown book message: {frame.type!r:.60}", received_ns, now_ms)

    def resync(self, market: str) -> None:
        """Drop the book of `market` and ask for a fresh snapshot. Raises KeyError if it is not on this connection."""
        line = self._by_key[market]
        line.nonce = None
        if self.broken is None:
            self._subscriptions.again(line.book_topic, self._now_ms)
            self._ask(self._now_ms)

    def _update(
        self, line: _Line, frame: wire.Frame, body: wire.BookBody, received_ns: int, now_ms: int
    ) -> list[MarketEvent]:
        if body.begin_nonce != line.nonce or body.nonce < body.begin_nonce:
            return self._gap(line, body, received_ns, now_ms)
        try:
            bids = line.levels(body.bids)
            asks = line.levels(body.asks)
        except ValueError as error:
            return self._bad_level(line, error, received_ns, now_ms)
        line.nonce = body.nonce
        return [BookDelta(line.key, bids, asks, frame.timestamp or now_ms, received_ns)]

    def _snapshot(
        self, line: _Line, frame: wire.Frame, body: wire.BookBody, received_ns: int, now_ms: int
    ) -> list[MarketEvent]:
        try:
            bids = [level for level in line.levels(body.bids) if level[1]]  # a level of size zero is none
            asks = [level for level in line.levels(body.asks) if level[1]]
        except ValueError as error:
            return self._bad_level(line, error, received_ns, now_ms)
        line.nonce = body.nonce
        self._answered(line.book_topic, now_ms)
        return [BookSnapshot(line.key, bids, asks, frame.timestamp or now_ms, received_ns)]

    def _bad_level(self, line: _Line, error: ValueError, received_ns: int, now_ms: int) -> list[MarketEvent]:
        self.bad_frames += 1
        return self._lose(line, f"bad level: {error}", received_ns, now_ms)

    def _gap(self, line: _Line, body: wire.BookBody, received_ns: int, now_ms: int) -> list[MarketEvent]:
        if line.nonce is None:
            return []  # waiting for a snapshot, which is already asked for
        reason = f"book stands at nonce {line.nonce}, the update leads from {body.begin_nonce} to {body.nonce}"
        return self._lose(line, reason, received_ns, now_ms)

    def _lose(self, line: _Line, reason: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        was_live, line.nonce = line.nonce is not None, None
        self._subscriptions.again(line.book_topic, now_ms)
        self._ask(now_ms)
        return [BookLost(line.key, reason, received_ns)] if was_live else []

    def _lose_all(self, reason: str, received_ns: int) -> list[MarketEvent]:
        live = [line for line in self._by_key.values() if line.nonce is not None]
        for line in live:
            line.nonce = None
        return [BookLost(line.key, reason, received_ns) for line in live]

    def _unreadable(self, payload: bytes | memoryview, error: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        self.bad_frames += 1
        named = BOOK_CHANNEL.search(payload)
        line = self._books.get(named[1].decode()) if named else None
        if line is None or line.nonce is None:
            return []
        return self._lose(line, f"unreadable frame: {error:.100}", received_ns, now_ms)

    def _other(self, frame: wire.Frame, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """Everything but a followed book's frame."""
        if frame.error is not None:
            return self._refused(frame.error, received_ns, now_ms)
        kind = frame.type.rpartition("/")[2]
        if kind == "market_stats":
            return self._stats(frame, received_ns, now_ms)
        if kind == "trade":
            return self._prints(frame, now_ms)
        if kind == "order_book":
            return self._stray_book(frame, received_ns, now_ms)
        self._say(kind, frame.close_in_ms, received_ns, now_ms)
        return []

    def _stray_book(self, frame: wire.Frame, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """A book we do not follow, or a followed one without its body."""
        self.bad_frames += 1
        line = self._books.get(frame.channel)
        return [] if line is None else self._lose(line, "book message without a book", received_ns, now_ms)

    def _refused(self, error: wire.StreamError, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """Error frames name no request; those that concern a subscription name its channel in their text."""
        if error.code in TOO_MANY:
            self._subscriptions.hold(facts.PUSHED_BACK_MS, now_ms)
            return []
        named = CHANNEL_IN_ERROR.search(error.message)
        channel = named[0].replace("/", ":") if named else ""
        line = self._books.get(channel)
        if error.code == INVALID_CHANNEL and named:
            self._subscriptions.refused(channel.replace(":", "/"))
            self._ask(now_ms)
            if line is not None and line.nonce is not None:
                line.nonce = None
                return [BookLost(line.key, f"refused: {error.message:.100}", received_ns)]
        elif error.code == ALREADY_SUBSCRIBED and line is not None and line.nonce is None:
            return self._lose(line, error.message, received_ns, now_ms)  # no snapshot comes: unsubscribe first
        elif error.code not in (ALREADY_SUBSCRIBED, NOT_SUBSCRIBED):
            self.unknown_words += 1
        return []

    def _stats(self, frame: wire.Frame, received_ns: int, now_ms: int) -> list[MarketEvent]:
        self._answered(STATS_TOPIC, now_ms)
        try:
            every = frame.channel.endswith(":all")
            bodies = wire.decode_stats_by_market(frame.market_stats).values() if every else [frame.market_stats]
        except wire.UNREADABLE:
            self.bad_frames += 1
            return []
        events: list[MarketEvent] = []
        for raw in bodies:
            try:
                body = wire.decode_stats(raw)
                key = self._stats_keys.get(body.market_id)
                if key is not None:
                    events += self._stats_of(key, body, frame.timestamp or now_ms, received_ns)
            except (*wire.UNREADABLE, WireError):
                self.bad_frames += 1
        return events

    def _stats_of(self, key: str, body: wire.StatsBody, venue_ms: int, received_ns: int) -> list[MarketEvent]:
        """Rates are percent per hour, positive = longs pay (recorded market_stats, June 2026). Raises WireError.

        What was settled comes before what is predicted next, so that it can be held against its own prediction.
        """
        mark, index = wire.positive(body.mark_price), wire.positive(body.index_price)
        events: list[MarketEvent] = [
            Stats(key, mark, index, wire.positive(body.open_interest), venue_ms, received_ns),
        ]
        settled = wire.number(body.funding_rate)
        if settled is not None and body.funding_timestamp is not None:
            rate = wire.rate_per_hour(settled / 100, facts.RATE_PER_HOUR_MAX)
            at_ms = wire.nearest_hour_ms(body.funding_timestamp)
            if self._settled_ms.get(key, 0) < at_ms <= venue_ms + facts.HOUR_MS:
                self._settled_ms[key] = at_ms
                events.append(FundingSettled(key, rate, 1.0, None, at_ms, FundingSource.STREAM))
        predicted = wire.number(body.current_funding_rate)
        if predicted is not None:
            rate = wire.rate_per_hour(predicted / 100, facts.RATE_PER_HOUR_MAX)
            events.append(FundingPredicted(key, rate, wire.next_hour_ms(venue_ms), FundingSource.STREAM, venue_ms))
        return events

    def _prints(self, frame: wire.Frame, now_ms: int) -> list[MarketEvent]:
        """Trades newer than the newest seen: a subscription replays recent ones, in any order."""
        line = self._trades.get(frame.channel)
        if line is None:
            self.bad_frames += 1
            return []
        self._answered(line.trade_topic, now_ms)
        prints = []
        for raw in (*(frame.trades or ()), *(frame.liquidation_trades or ())):
            try:
                trade = wire.decode_trade(raw)
                if trade.trade_id > line.trade_id:
                    prints.append((trade.trade_id, line.prices[trade.price], line.size(trade.size), trade))
            except (*wire.UNREADABLE, AmountError):
                self.bad_frames += 1
        prints.sort(key=lambda item: item[0])
        line.trade_id = prints[-1][0] if prints else line.trade_id
        return [
            TradePrint(line.key, str(trade_id), price, size, trade.is_maker_ask, trade.timestamp)
            for trade_id, price, size, trade in prints
        ]

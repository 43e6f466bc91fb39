"""One Extended v2 RPC stream connection without its socket: frames and times in, market events and requests out.

Continuity is checked twice. Every data frame of a connection carries one common `seq`; a hole there may have hidden
anything, so all its books are lost. Every changed level tells its change `q` and its new size `c`; where the size we
hold plus `q` is not `c`, that book alone is lost. Either way a second subscribe brings a fresh snapshot (recorded), on
the same connection: it costs no more requests than a new one, no back-off and no other topic. Only a connection that
goes on losing frames is given up. A frame from before the next `seq` (repeated, or late after a hole) is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from twinleg.core.amounts import AmountError, Memo, sizes_of
from twinleg.core.messages import (
    BookDelta,
    BookLost,
    BookSnapshot,
    FundingPredicted,
    FundingSource,
    Level,
    Market,
    MarketEvent,
    Stats,
    TradePrint,
)
from twinleg.core.subscriptions import Pace, Subscriptions
from twinleg.core.venue import WireError
from twinleg.venues.extended import facts, wire
from twinleg.venues.extended.reads import next_hour_ms

MS_NS = 1_000_000
BOOK_DELTA = "ORDERBOOKS.DELTA"
BOOK_SNAPSHOT = "ORDERBOOKS.SNAPSHOT"
BOOK_TOPIC = "orderbooks."
PING_ID = "0"
PING = wire.call("ping", PING_ID)
INTERNAL_ERROR = -32603
STATS_TOPICS: dict[str, tuple[str, dict[str, object]]] = {
    "funding-rates.all": ("funding-rates", {"market": None}),
    "prices.mark.all": ("prices", {"type": "mark", "market": None}),
    "prices.index.all": ("prices", {"type": "index", "market": None}),
}
TAKER_BUYS = {"BUY": True, "SELL": False}


class _Line:
    """What we follow in one market: the sizes its book holds, to check changes against, and the newest trade seen."""

    __slots__ = ("asks", "bids", "change", "key", "live", "lots_per_unit", "prices", "size", "topic", "trade_id")

    def __init__(self, market: Market) -> None:
        self.key = market.key
        self.topic = BOOK_TOPIC + market.native_id
        self.prices = Memo(market.price_grid, least=1)
        self.size = sizes_of(market.size_grid)
        self.change = market.size_grid.parse
        self.lots_per_unit = float(1 / market.size_grid.unit)
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.live = False  # no book: changes are dropped until a snapshot
        self.trade_id = -1

    def whole(self, levels: list[wire.Level]) -> dict[int, int]:
        """A snapshot's side; a level of size zero is none. Raises AmountError."""
        prices, size = self.prices, self.size
        return {prices[level.p]: lots for level in levels if (lots := size(level.q))}

    def changed(self, side: dict[int, int], levels: list[wire.Level]) -> list[Level]:
        """Apply changes to `side`; the new absolute sizes. Raises ValueError, also if the venue's sum is not ours.

        The sum is checked on a frame's first change: what we lost stays lost, so a later frame finds it soon enough.
        In floats, which are exact to far less than the half lot asked for; the size itself is read exactly from `c`.
        """
        if not levels:
            return []
        prices, size, first = self.prices, self.size, levels[0]
        before = side.get(prices[first.p], 0)
        result = []
        for level in levels:
            price = prices[level.p]
            lots = size(level.c) if level.c is not None else self._after(side, level)
            if lots:
                side[price] = lots
            else:
                side.pop(price, None)
            result.append((price, lots))
        if not -0.5 < before + float(first.q) * self.lots_per_unit - result[0][1] < 0.5:
            raise AmountError(f"{before} lots at {first.p:.40} and {first.q:.40} are not {first.c!r:.40}")
        return result

    def _after(self, side: dict[int, int], level: wire.Level) -> int:
        """The new size where the venue tells the change alone."""
        lots = side.get(self.prices[level.p], 0) + self.change(level.q)
        if lots < 0:
            raise AmountError(f"{level.q:.40} at {level.p:.40} leaves less than nothing")
        return lots


class ExtendedFeed:
    """Books and trades of `markets`; prices and funding of `stats_markets` (all on one connection)."""

    def __init__(
        self, name: str, url: str, markets: Sequence[Market], stats_markets: Sequence[Market], pace: Pace
    ) -> None:
        self.name = name
        self.url = url
        self.headers = {"User-Agent": facts.USER_AGENT}
        self.markets = tuple(market.key for market in markets)
        self.outbox: list[bytes] = []
        self.broken: str | None = None
        self.bad_frames = 0
        self.unknown_words = 0
        self._lines = {market.native_id: _Line(market) for market in markets}
        self._by_key = {line.key: line for line in self._lines.values()}
        self._stats_keys = {market.native_id: market.key for market in stats_markets}
        self._calls = _calls(list(self._lines), with_stats=bool(stats_markets))
        self._topics_by_id = {str(number): topic for number, topic in enumerate(self._calls, start=1)}
        self._subscriptions = Subscriptions(self._calls, pace)
        self._next_seq: int | None = None
        self._behind = 0
        self._holes_ns: list[int] = []
        self._pinged_ns: int | None = None
        self._now_ms = 0

    def opened(self, now_ms: int) -> list[MarketEvent]:
        """A new connection: nothing is known, everything is asked for."""
        self._forget()
        self._now_ms = now_ms
        self._ask(now_ms)
        return []

    def received(self, payload: bytes | memoryview, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """The events of one frame. Never raises; after `broken` frames are ignored."""
        if self.broken is not None:
            return []
        try:
            frame = wire.decode_frame(payload)
        except wire.UNREADABLE as error:
            return self._unreadable(payload, str(error), received_ns, now_ms)
        seq = frame.seq
        if seq is None:
            return self._reply(frame, received_ns, now_ms)
        if seq == self._next_seq:
            self._next_seq, self._behind = seq + 1, 0
            return self._in_place(frame, received_ns, now_ms)
        events = self._jump(seq, received_ns, now_ms)
        if events is None or self.broken is not None:
            return events or []
        return events + self._in_place(frame, received_ns, now_ms)

    def timer(self, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """Heartbeats and overdue answers."""
        self._now_ms = now_ms
        if self.broken is not None:
            return []
        if self._pinged_ns is None:
            self._pinged_ns = received_ns
        elif received_ns - self._pinged_ns >= facts.PING_MS * MS_NS and self._subscriptions.spend(now_ms):
            self._pinged_ns = received_ns
            self.outbox.append(PING)
        self._subscriptions.expire(now_ms)
        hopeless = self._subscriptions.hopeless
        if hopeless is not None:
            return self._break(hopeless, received_ns)
        self._ask(now_ms)
        return []

    def closed(self, reason: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """The connection is gone, and with it every book on it."""
        self._now_ms = now_ms
        events = self._lose_all(reason, received_ns)
        self._forget()
        return events

    def resync(self, market: str) -> None:
        """Drop the book of `market` and ask for a fresh snapshot. Raises KeyError if it is not on this connection."""
        line = self._by_key[market]
        line.live = False
        if self.broken is None:
            self._subscriptions.again(line.topic, self._now_ms)
            self._ask(self._now_ms)

    def _forget(self) -> None:
        self.outbox.clear()
        self.broken = None
        self._next_seq = None
        self._behind = 0
        self._holes_ns.clear()
        self._pinged_ns = None
        self._subscriptions.reset()

    def _ask(self, now_ms: int) -> None:
        self.outbox += [self._calls[ask.topic] for ask in self._subscriptions.due(now_ms)]

    def _answered(self, topic: str, now_ms: int) -> None:
        self._subscriptions.answered(topic, now_ms)
        self._ask(now_ms)

    def _delta(self, frame: wire.Frame, received_ns: int, now_ms: int) -> list[MarketEvent]:
        data = frame.data
        if not isinstance(data, wire.Data) or data.b is None or data.a is None or data.m not in self._lines:
            return self._doubt(frame.subscription, "book change without its levels", received_ns, now_ms)
        line = self._lines[data.m]
        if not line.live:
            return []  # waiting for a snapshot, which is already asked for
        try:
            bids = line.changed(line.bids, data.b)
            asks = line.changed(line.asks, data.a)
        except ValueError as error:  # AmountError, or float() of no number
            self.bad_frames += 1
            return self._lose(line, str(error), received_ns, now_ms)
        return [BookDelta(line.key, bids, asks, frame.ts or now_ms, received_ns)]

    def _snapshot(self, frame: wire.Frame, received_ns: int, now_ms: int) -> list[MarketEvent]:
        data = frame.data
        if not isinstance(data, wire.Data) or data.b is None or data.a is None or data.m not in self._lines:
            return self._doubt(frame.subscription, "book without its levels", received_ns, now_ms)
        line = self._lines[data.m]
        try:
            line.bids, line.asks = line.whole(data.b), line.whole(data.a)
        except AmountError as error:
            self.bad_frames += 1
            return self._lose(line, str(error), received_ns, now_ms)
        line.live = True
        self._answered(line.topic, now_ms)
        bids, asks = list(line.bids.items()), list(line.asks.items())
        return [BookSnapshot(line.key, bids, asks, frame.ts or now_ms, received_ns)]

    def _lose(self, line: _Line, reason: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        was_live, line.live = line.live, False
        self._subscriptions.again(line.topic, now_ms)
        self._ask(now_ms)
        return [BookLost(line.key, reason, received_ns)] if was_live else []

    def _lose_all(self, reason: str, received_ns: int) -> list[MarketEvent]:
        live = [line for line in self._lines.values() if line.live]
        for line in live:
            line.live = False
        return [BookLost(line.key, reason, received_ns) for line in live]

    def _break(self, reason: str, received_ns: int) -> list[MarketEvent]:
        self.broken = reason
        return self._lose_all(reason, received_ns)

    def _in_place(self, frame: wire.Frame, received_ns: int, now_ms: int) -> list[MarketEvent]:
        if frame.type == BOOK_DELTA:
            return self._delta(frame, received_ns, now_ms)
        if frame.type == BOOK_SNAPSHOT:
            return self._snapshot(frame, received_ns, now_ms)
        return self._other(frame, received_ns, now_ms)

    def _jump(self, seq: int, received_ns: int, now_ms: int) -> list[MarketEvent] | None:
        """A frame's place: the next, the first of a connection, or one after a hole. None: from before, drop it."""
        due = self._next_seq
        if due is not None and seq < due and self._behind < facts.FRAMES_BEHIND_MAX:
            self.bad_frames += 1
            self._behind += 1
            return None
        self._next_seq, self._behind = seq + 1, 0
        if due in (None, seq):
            return []
        minute_ago_ns = received_ns - 60_000 * MS_NS
        self._holes_ns = [at_ns for at_ns in self._holes_ns if at_ns > minute_ago_ns] + [received_ns]
        reason = f"frame {seq} where {due} was due"
        if len(self._holes_ns) > facts.HOLES_PER_MINUTE_MAX:
            return self._break(reason, received_ns)
        live = [line for line in self._lines.values() if line.live]
        return [event for line in live for event in self._lose(line, reason, received_ns, now_ms)]

    def _doubt(self, subscription: str, reason: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """A frame that cannot be used. If it was for a book of ours, that book is lost."""
        self.bad_frames += 1
        is_book = subscription.startswith(BOOK_TOPIC)
        line = self._lines.get(subscription.removeprefix(BOOK_TOPIC)) if is_book else None
        return [] if line is None or not line.live else self._lose(line, reason, received_ns, now_ms)

    def _unreadable(self, payload: bytes | memoryview, error: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """If the bytes still tell `seq` and topic, only that topic is hurt; else the next frame shows the hole."""
        try:
            head = wire.decode_head(payload)
        except wire.UNREADABLE:
            self.bad_frames += 1
            return []
        events = self._jump(head.seq, received_ns, now_ms)
        if events is None or self.broken is not None:
            return events or []
        return events + self._doubt(head.subscription, f"unreadable frame: {error:.100}", received_ns, now_ms)

    def _reply(self, frame: wire.Frame, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """The answer to a request; a data frame without `seq` is not to be trusted."""
        if frame.id is None and frame.error is None:
            return self._doubt(frame.subscription, "data without a sequence number", received_ns, now_ms)
        topic = self._topics_by_id.get(str(frame.id))
        if topic is None:
            self.unknown_words += str(frame.id) != PING_ID
        elif frame.error is None:
            if not topic.startswith(BOOK_TOPIC):  # a book is answered by its snapshot
                self._answered(topic, now_ms)
        elif frame.error.code != INTERNAL_ERROR:  # that one may pass: asked again when overdue
            self._subscriptions.refused(topic)
            self._ask(now_ms)
        return []

    def _other(self, frame: wire.Frame, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """Data that is no book's."""
        self._subscriptions.answered(frame.subscription, now_ms)
        data = frame.data
        if frame.type == "TRADES" and isinstance(data, list):
            return self._prints(data)
        if not isinstance(data, wire.Data):
            self.bad_frames += 1
            return []
        key = self._stats_keys.get(data.m)
        try:
            if frame.type == "FUNDING_RATES" and data.f is not None:
                return [] if key is None else [_predicted(key, data.f, data.T or frame.ts or now_ms)]
            if frame.type in ("PRICES.MP", "PRICES.IP") and data.p is not None:
                price, venue_ms = wire.positive(data.p), data.ts or frame.ts or now_ms  # a mark's own ts is 0
                mark, index = (price, None) if frame.type == "PRICES.MP" else (None, price)
                return [] if key is None else [Stats(key, mark, index, None, venue_ms, received_ns)]
        except WireError:
            self.bad_frames += 1
            return []
        self.unknown_words += 1
        return []

    def _prints(self, rows: list[msgspec.Raw]) -> list[MarketEvent]:
        """Trades newer than the newest seen: every subscribe replays the last 50."""
        events: list[MarketEvent] = []
        for raw in rows:
            try:
                row = wire.decode_trade(raw)
                line = self._lines[row.m]
                price, size = line.prices[row.p], line.size(row.q)
            except (*wire.UNREADABLE, AmountError, KeyError):
                self.bad_frames += 1
                continue
            if row.S not in TAKER_BUYS:
                self.unknown_words += 1
            elif row.i > line.trade_id:
                line.trade_id = row.i
                events.append(TradePrint(line.key, str(row.i), price, size, TAKER_BUYS[row.S], row.T))
        return events


def _predicted(key: str, rate: str, at_ms: int) -> FundingPredicted:
    """`f` is a fraction per hour, positive = longs pay; the stream carries the current estimate (recorded 2026-09)."""
    per_hour = wire.rate_per_hour(rate, facts.RATE_PER_HOUR_MAX)
    return FundingPredicted(key, per_hour, next_hour_ms(at_ms), FundingSource.STREAM, at_ms)


def _calls(symbols: list[str], *, with_stats: bool) -> dict[str, bytes]:
    """The requests by subscription name, in the order to send them; their ids count from 1."""
    wanted: dict[str, tuple[str, dict[str, object]]] = {}
    if with_stats:
        wanted |= STATS_TOPICS  # few messages for all markets, and nothing is judged without them
    for symbol in symbols:
        wanted[BOOK_TOPIC + symbol] = ("orderbooks", {"market": symbol, "depth": "full", "rfqOnly": False})
    for symbol in symbols:
        wanted[f"trades.{symbol}"] = ("trades", {"market": symbol})
    return {
        name: wire.call("subscribe", str(number), params={"scope": scope, "selector": selector})
        for number, (name, (scope, selector)) in enumerate(wanted.items(), start=1)
    }

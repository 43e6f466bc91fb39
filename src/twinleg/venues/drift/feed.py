"""The book server's stream without its socket: every message is a whole book, and there is no continuity number.

What there is instead is the slot and the rhythm: a book that is not sent for BOOK_SILENT_MS, or that keeps its slot for
SLOT_STUCK_MS, is lost and asked for again; one from an older slot is dropped (the server has several sources). Crossed
books are normal there (orders in auction) and passed on as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from twinleg.core.amounts import AmountError
from twinleg.core.messages import BookLost, BookSnapshot, Level, Market, MarketEvent, Stats, TradePrint
from twinleg.core.subscriptions import Pace, Subscriptions
from twinleg.venues.drift import facts, wire
from twinleg.venues.drift.chain.slots import SlotClock

MS_NS = 1_000_000
BOOKS = "orderbook"
TRADES = "trades"
CHANNEL = re.compile(r"(orderbook|trades)_perp_(\d{1,5})(?:_grouped_1)?")
CHANNEL_IN_BYTES = re.compile(rb'"channel"\s*:\s*"(orderbook_perp_\d{1,5})_grouped_1"')
ACKNOWLEDGED = re.compile(r"Subscribe received for channel: (\w+), market: ([^,\s]+), marketType: perp")
SIDES = {"long": True, "short": False}
PRICE_UNIT = 10**facts.PRICE_DECIMALS
BASE_UNIT = 10**facts.BASE_DECIMALS


class _Line:
    """What we follow in one market."""

    __slots__ = (
        "heard_ns", "key", "live", "lot", "slot", "slot_ns", "stats", "stats_ns", "symbol", "tick", "trades",
    )  # fmt: skip

    def __init__(self, market: Market) -> None:
        self.key = market.key
        self.symbol = market.symbol
        self.tick = int(market.price_grid.unit * PRICE_UNIT)
        self.lot = int(market.size_grid.unit * BASE_UNIT)
        self.trades: dict[str, None] = {}
        self.forget()

    def forget(self) -> None:
        """No book; trades told once stay told."""
        self.live = False
        self.slot = 0
        self.heard_ns = self.slot_ns = 0
        self.stats: tuple[float | None, float | None] = (None, None)
        self.stats_ns = 0

    def levels(self, rows: list[wire.Level]) -> list[Level]:
        """A side in ticks and whole lots; what is less than a lot is left out. Raises AmountError."""
        found = []
        for row in rows:
            ticks, off = divmod(wire.units(row.price), self.tick)
            if off or not ticks:
                raise AmountError(f"{row.price!r:.60} is no price of {self.key}")
            lots = wire.units(row.size) // self.lot
            if lots:
                found.append((ticks, lots))
        return found

    def told(self, name: str) -> bool:
        """Whether a trade was told before; now it is."""
        if name in self.trades:
            return True
        self.trades[name] = None
        if len(self.trades) > facts.TRADES_SEEN_MAX:
            del self.trades[next(iter(self.trades))]
        return False


class DriftFeed:
    """Books, reference prices and trades of `markets`. `slots` learns how long a slot takes."""

    def __init__(self, name: str, url: str, markets: Sequence[Market], pace: Pace, slots: SlotClock) -> None:
        self.name = name
        self.url = url
        self.headers: dict[str, str] = {}
        self.markets = tuple(market.key for market in markets)
        self.outbox: list[bytes] = []
        self.broken: str | None = None
        self.bad_frames = 0
        self.unknown_words = 0
        self._slots = slots
        self._lines = {f"{market.native_id}": _Line(market) for market in markets}
        self._by_key = {line.key: (number, line) for number, line in self._lines.items()}
        self._by_symbol = {line.symbol: number for number, line in self._lines.items()}
        topics = [f"{kind}_perp_{number}" for kind in (BOOKS, TRADES) for number in self._lines]
        self._subscriptions = Subscriptions(topics, pace)
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
            return self._unreadable(bytes(payload), str(error), received_ns, now_ms)
        found = CHANNEL.fullmatch(frame.channel)
        if found is None or found[2] not in self._lines or (frame.data is None and frame.error is None):
            return self._other(frame, now_ms)
        topic, line = f"{found[1]}_perp_{found[2]}", self._lines[found[2]]
        if frame.data is None:
            self._subscriptions.refused(topic)
            self._ask(now_ms)
            return []
        if found[1] == TRADES:
            self._subscriptions.answered(topic, now_ms)
            return self._trade(line, frame.data)
        return self._book(topic, line, frame.data, received_ns, now_ms)

    def timer(self, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """Books that fell silent, and overdue answers."""
        self._now_ms = now_ms
        if self.broken is not None:
            return []
        events: list[MarketEvent] = []
        for number, line in self._lines.items():
            if not line.live:
                continue
            if received_ns - line.heard_ns > facts.BOOK_SILENT_MS * MS_NS:
                events += self._lose(f"{BOOKS}_perp_{number}", line, "the book is not sent any more", received_ns)
            elif line.heard_ns - line.slot_ns > facts.SLOT_STUCK_MS * MS_NS:
                events += self._lose(f"{BOOKS}_perp_{number}", line, f"the book stays at slot {line.slot}", received_ns)
        self._subscriptions.expire(now_ms)
        hopeless = self._subscriptions.hopeless
        if hopeless is not None:
            self.broken = hopeless
            return events + self._lose_all(hopeless, received_ns)
        self._ask(now_ms)
        return events

    def closed(self, reason: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """The connection is gone, and with it every book on it."""
        self._now_ms = now_ms
        events = self._lose_all(reason, received_ns)
        self._forget()
        return events

    def resync(self, market: str) -> None:
        """Ask for the book of `market` anew. Raises KeyError if it is not on this connection."""
        number, line = self._by_key[market]
        line.live = False
        if self.broken is None:
            self._subscriptions.again(f"{BOOKS}_perp_{number}", self._now_ms)
            self._ask(self._now_ms)

    def _forget(self) -> None:
        self.outbox.clear()
        self.broken = None
        for line in self._lines.values():
            line.forget()
        self._subscriptions.reset()

    def _ask(self, now_ms: int) -> None:
        for ask in self._subscriptions.due(now_ms):
            kind, _, number = ask.topic.partition("_perp_")
            symbol = self._lines[number].symbol
            if ask.again:
                self.outbox.append(wire.market_message("unsubscribe", kind, symbol))
            self.outbox.append(wire.market_message("subscribe", kind, symbol))

    def _book(self, topic: str, line: _Line, text: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        try:
            book = wire.decode_book(text)
            bids, asks = line.levels(book.bids), line.levels(book.asks)
            self._check_slot(line, book.slot)
        except (*wire.UNREADABLE, AmountError) as error:
            self.bad_frames += 1
            return self._lose(topic, line, str(error), received_ns)
        if line.live and book.slot < line.slot:
            return []
        self._subscriptions.answered(topic, now_ms)
        self._ask(now_ms)
        if not line.live or book.slot > line.slot:
            line.slot, line.slot_ns = book.slot, received_ns
            self._slots.seen(book.slot, now_ms)
        line.live, line.heard_ns = True, received_ns
        venue_ms = book.ts if book.ts > 0 else now_ms
        return [
            BookSnapshot(line.key, bids, asks, venue_ms, received_ns),
            *self._stats(line, book, venue_ms, received_ns),
        ]

    @staticmethod
    def _check_slot(line: _Line, slot: int) -> None:
        """Raises ValueError for what is no slot."""
        if slot < 0 or (line.live and slot - line.slot > facts.SLOTS_AHEAD_MAX):
            raise ValueError(f"slot {slot} after {line.slot}")

    def _stats(self, line: _Line, book: wire.Book, venue_ms: int, received_ns: int) -> list[MarketEvent]:
        """Reference prices, when they changed or are due again. One that cannot be read is none."""
        told = _price(book.mark_price), _price(book.oracle_data.price if book.oracle_data is not None else None)
        due = received_ns - line.stats_ns >= facts.STATS_EVERY_MS * MS_NS
        if told == (None, None) or (told == line.stats and not due):
            return []
        line.stats, line.stats_ns = told, received_ns
        return [Stats(line.key, told[0], told[1], None, venue_ms, received_ns)]

    def _trade(self, line: _Line, text: str) -> list[MarketEvent]:
        """A fill's own price seldom is a tick (the AMM's never): the nearest is told."""
        try:
            row = wire.decode_trade(text)
            base, quote = _scaled(row.base_asset_amount_filled, 9), _scaled(row.quote_asset_amount_filled, 6)
        except (*wire.UNREADABLE, AmountError):
            self.bad_frames += 1
            return []
        taker, maker = SIDES.get(row.taker_order_direction or ""), SIDES.get(row.maker_order_direction or "")
        if not base or not quote or (taker is None and maker is None) or row.action != "fill":
            self.bad_frames += 1
            return []
        name = row.tx_sig if row.fill_record_id is None else str(row.fill_record_id)
        ticks = round(Fraction(quote * BASE_UNIT, base * line.tick))
        lots = base // line.lot
        if not ticks or not lots or line.told(name):
            return []
        buys = taker if taker is not None else not maker
        return [TradePrint(line.key, name, ticks, lots, buys, row.ts * 1_000)]

    def _other(self, frame: wire.Frame, now_ms: int) -> list[MarketEvent]:
        """An acknowledgement, a heartbeat, or what we do not know."""
        acknowledged = ACKNOWLEDGED.fullmatch(frame.message)
        if acknowledged is not None:
            number = self._by_symbol.get(acknowledged[2])
            if acknowledged[1] == TRADES and number is not None:  # a book is answered by itself
                self._subscriptions.answered(f"{TRADES}_perp_{number}", now_ms)
                self._ask(now_ms)
        elif frame.channel != "heartbeat":
            self.unknown_words += 1
        return []

    def _unreadable(self, payload: bytes, error: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """If the bytes still tell which book it was, that one is lost: the next message brings it again."""
        self.bad_frames += 1
        self._now_ms = now_ms
        found = CHANNEL_IN_BYTES.search(payload[:200])
        topic = found[1].decode() if found else ""
        line = self._lines.get(topic.rpartition("_")[2])
        return [] if line is None else self._lose(topic, line, f"unreadable frame: {error:.100}", received_ns)

    def _lose(self, topic: str, line: _Line, reason: str, received_ns: int) -> list[MarketEvent]:
        was_live, line.live = line.live, False
        self._subscriptions.again(topic, self._now_ms)
        self._ask(self._now_ms)
        return [BookLost(line.key, reason[:200], received_ns)] if was_live else []

    def _lose_all(self, reason: str, received_ns: int) -> list[MarketEvent]:
        live = [line for line in self._lines.values() if line.live]
        for line in live:
            line.live = False
        return [BookLost(line.key, reason, received_ns) for line in live]


def _price(number: wire.Number) -> float | None:
    """A reference price in quote currency, None where there is none that makes sense."""
    try:
        found = wire.units(number)
    except AmountError:
        return None
    return found / PRICE_UNIT if 0 < found < 10**18 else None


def _scaled(amount: Decimal, decimals: int) -> int:
    """Human decimals in whole units of 10**-decimals. Raises AmountError for more decimals than there are."""
    if not amount.is_finite() or not 0 <= amount < 10**15:
        raise AmountError(f"no amount: {amount!r:.60}")
    units = amount.scaleb(decimals)
    if units != units.to_integral_value():
        raise AmountError(f"{amount} has more than {decimals} decimals")
    return int(units)

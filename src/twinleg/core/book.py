"""One L2 order book: snapshot, delta, loss, age and depth walk. Prices in ticks, sizes in lots, all exact integers.

Each side is a dict (ticks -> lots) beside a sorted list of its prices: measured faster in pure Python than sorted
containers, and than compiled code that must be handed every message.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice

import msgspec

from twinleg.core.messages import Level


class Walk(msgspec.Struct, frozen=True, gc=False):
    """What taking `lots` from one side costs: the exact sum of ticks x lots, and the last price touched."""

    lots: int
    ticks_lots: int
    worst_ticks: int

    @property
    def vwap_ticks(self) -> float:
        """Average price, an estimate for comparing; `ticks_lots` is the exact figure."""
        return self.ticks_lots / self.lots


class Book:
    """The book of one market. Not `ready` until a snapshot, and not after `lose` until the next one."""

    __slots__ = (
        "ask_prices", "asks", "bid_prices", "bids", "lost_reason", "market", "ready", "ready_since_ns",
        "received_ns", "venue_ms",
    )  # fmt: skip

    def __init__(self, market: str) -> None:
        self.market = market
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.bid_prices: list[int] = []  # ascending: the best is the last
        self.ask_prices: list[int] = []  # ascending: the best is the first
        self.ready = False
        self.ready_since_ns = 0
        self.lost_reason = "no snapshot yet"
        self.received_ns = 0
        self.venue_ms = 0

    def snapshot(self, bids: list[Level], asks: list[Level], venue_ms: int, received_ns: int) -> None:
        """Replace the whole book. Levels of zero lots are ignored."""
        self.bids = {price: lots for price, lots in bids if lots}
        self.asks = {price: lots for price, lots in asks if lots}
        self.bid_prices = sorted(self.bids)
        self.ask_prices = sorted(self.asks)
        if not self.ready:
            self.ready, self.ready_since_ns, self.lost_reason = True, received_ns, ""
        self.venue_ms, self.received_ns = venue_ms, received_ns

    def delta(self, bids: list[Level], asks: list[Level], venue_ms: int, received_ns: int) -> None:
        """Set changed levels to their new absolute size; zero removes. Ignored while the book is lost."""
        if not self.ready:
            return
        if bids:
            _change(self.bids, self.bid_prices, bids)
        if asks:
            _change(self.asks, self.ask_prices, asks)
        self.venue_ms, self.received_ns = venue_ms, received_ns

    def lose(self, reason: str) -> None:
        """Nothing in this book may be acted on any more. Its last levels stay visible for the record."""
        self.ready = False
        self.lost_reason = reason

    @property
    def two_sided(self) -> bool:
        return bool(self.bid_prices and self.ask_prices)

    @property
    def crossed(self) -> bool:
        """Best bid at or above best ask: impossible in a book that trades continuously, so we are wrong somewhere."""
        return self.two_sided and self.bid_prices[-1] >= self.ask_prices[0]

    @property
    def mid_ticks(self) -> float:
        """Half-way between the best prices (an estimate). The book must be two-sided."""
        return (self.bid_prices[-1] + self.ask_prices[0]) / 2

    def levels(self, *, asks: bool, limit: int | None = None) -> Iterator[Level]:
        """Levels of one side, best first."""
        sizes = self.asks if asks else self.bids
        prices = self.ask_prices if asks else reversed(self.bid_prices)
        return ((price, sizes[price]) for price in islice(prices, limit))

    def walk(self, lots: int, *, asks: bool) -> Walk | None:
        """Take `lots` from one side at the shown prices. None when the side is too thin."""
        assert lots > 0, "a walk takes a positive size"
        left, total = lots, 0
        for price, shown in self.levels(asks=asks):
            taken = min(left, shown)
            total += taken * price
            left -= taken
            if not left:
                return Walk(lots, total, price)
        return None

    def depth_lots(self, worst_ticks: int, *, asks: bool) -> int:
        """Lots shown from the best price up to and including `worst_ticks`."""
        total = 0
        for price, lots in self.levels(asks=asks):
            if (price > worst_ticks) if asks else (price < worst_ticks):
                break
            total += lots
        return total


def _change(sizes: dict[int, int], prices: list[int], changes: list[Level]) -> None:
    for price, lots in changes:
        if lots:
            if price not in sizes:
                insort(prices, price)
            sizes[price] = lots
        elif sizes.pop(price, None) is not None:
            del prices[bisect_left(prices, price)]

"""The public channels: each gives a snapshot to whoever subscribes, and updates to all its subscribers.

A channel is shared by its subscribers, so an update is written once. Before a newcomer's snapshot the others get what
is pending; hence the snapshot's nonce is where the next update begins.
"""

from __future__ import annotations

from typing import Protocol

from twinleg_sims.lighter import facts, wire
from twinleg_sims.lighter.view import View
from twinleg_sims.lighter.wire import Row
from twinleg_sims.listings import LIGHTER
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import ReaderBehindError

ALL = "all"
PADDING_LEVELS = 32_000
"""Enough far levels to bring a book snapshot over 1 MiB."""
CROSSED_BY_TICKS = 5


class UnknownChannelError(LookupError):
    """There is no such channel: code 30005."""


class Channel(Protocol):
    """A public channel. `interval_ms` is the least time between updates; `update` None means that nothing changed."""

    topic: str
    symbol: str
    interval_ms: int

    def snapshot(self, now_ms: int) -> Row: ...
    def update(self, now_ms: int) -> Row | None: ...


class BookChannel:
    """order_book/{market}: levels with their new absolute size, chained by engine nonce."""

    topic = "book"
    interval_ms = facts.BOOK_INTERVAL_MS

    def __init__(self, view: View, market: SimMarket) -> None:
        self.symbol = market.symbol
        self._view = view
        self._market = market
        self._nonce = market.book.nonce
        self._offset = self._nonce % 1_000_003
        self._ghost_ticks: int | None = None

    def snapshot(self, now_ms: int) -> Row:
        self._nonce = self._market.book.nonce
        asks = [self._level(ticks, lots) for ticks, lots in self._market.book.levels("ask")]
        bids = [self._level(ticks, lots) for ticks, lots in self._market.book.levels("bid")]
        self._ghost_ticks = self._crossing(now_ms)
        if self._ghost_ticks:
            bids.insert(0, self._level(self._ghost_ticks, self._market.listing.min_lots))
        if self._view.faults.active(LIGHTER, "oversized", now_ms, self.symbol) and asks:
            worst = self._market.book.levels("ask")[-1][0]
            asks += [self._level(worst + far, 1) for far in range(1, PADDING_LEVELS + 1)]
        return self._frame(asks, bids, 0, now_ms)

    def update(self, now_ms: int) -> Row | None:
        begin = self._nonce
        ghost = self._crossing(now_ms)
        if begin == self._market.book.nonce and ghost == self._ghost_ticks:
            return None
        try:
            self._nonce, changes = self._market.book.changes_since(begin)
        except ReaderBehindError:
            begin, changes = self._market.book.nonce, []  # a visible gap: the client asks for a new snapshot
            self._nonce = begin
        asks = [self._level(change.ticks, change.lots) for change in changes if change.side == "ask"]
        bids = {change.ticks: change.lots for change in changes if change.side == "bid"}
        if self._ghost_ticks:
            bids[self._ghost_ticks] = self._market.book.size_at("bid", self._ghost_ticks)
        if ghost:
            bids[ghost] = self._market.listing.min_lots
        self._ghost_ticks = ghost
        self._offset += 1 + self._nonce % 7
        return self._frame(asks, [self._level(ticks, lots) for ticks, lots in bids.items()], begin, now_ms)

    def _crossing(self, now_ms: int) -> int | None:
        """Where the "crossed" fault puts a bid that does not exist."""
        best = self._market.book.best("ask")
        if best and self._view.faults.active(LIGHTER, "crossed", now_ms, self.symbol):
            return best + CROSSED_BY_TICKS
        return None

    def _level(self, ticks: int, lots: int) -> Row:
        listing = self._market.listing
        return {"price": listing.price_text(ticks), "size": listing.size_text(lots)}

    def _frame(self, asks: list[Row], bids: list[Row], begin_nonce: int, now_ms: int) -> Row:
        stamp_ms = self._view.stamp_ms(now_ms)
        updated_us = stamp_ms * 1000 - 17_000 - self._nonce % 1000
        body = {"code": 0, "asks": asks, "bids": bids, "offset": self._offset, "nonce": self._nonce}
        body |= {"last_updated_at": updated_us, "begin_nonce": begin_nonce}
        return {
            "last_updated_at": updated_us,
            "offset": self._offset,
            "order_book": body,
            "timestamp": stamp_ms,
        }


class TickerChannel:
    """ticker/{market}: best bid and ask, on each change."""

    topic = "ticker"
    interval_ms = 0

    def __init__(self, view: View, market: SimMarket) -> None:
        self.symbol = market.symbol
        self._view = view
        self._market = market
        self._last: tuple[Row, Row] | None = None

    def snapshot(self, now_ms: int) -> Row:
        self._last = self._best()
        return self._frame(*self._last, now_ms)

    def update(self, now_ms: int) -> Row | None:
        best = self._best()
        if best == self._last:
            return None
        self._last = best
        return self._frame(*best, now_ms)

    def _best(self) -> tuple[Row, Row]:
        return self._top("ask"), self._top("bid")

    def _top(self, side: str) -> Row:
        listing = self._market.listing
        top = self._market.book.levels("ask" if side == "ask" else "bid", 1)
        if not top:
            return {"price": "", "size": ""}
        return {"price": listing.price_text(top[0][0]), "size": listing.size_text(top[0][1])}

    def _frame(self, ask: Row, bid: Row, now_ms: int) -> Row:
        stamp_ms = self._view.stamp_ms(now_ms)
        ticker = {"s": self.symbol, "a": ask, "b": bid, "last_updated_at": stamp_ms * 1000}
        return {
            "last_updated_at": stamp_ms * 1000,
            "nonce": self._market.book.nonce,
            "ticker": ticker,
            "timestamp": stamp_ms,
        }


class StatsChannel:
    """market_stats/{market|all} and spot_market_stats/{market|all}; updates of "all" hold only what changed."""

    topic = "stats"
    interval_ms = facts.STATS_INTERVAL_MS

    def __init__(self, view: View, market: SimMarket | None, *, spot: bool) -> None:
        self.symbol = market.symbol if market else ""
        self._view = view
        self._market = market
        self._spot = spot
        self._last: dict[str, Row] = {}

    def snapshot(self, now_ms: int) -> Row:
        self._last = self._rows(now_ms)
        return self._frame(self._last, now_ms)

    def update(self, now_ms: int) -> Row | None:
        rows = self._rows(now_ms)
        changed = {number: row for number, row in rows.items() if row != self._last.get(number)}
        self._last = rows
        return self._frame(changed, now_ms) if changed else None

    def _rows(self, now_ms: int) -> dict[str, Row]:
        markets = [self._market] if self._market else self._view.listed(now_ms)
        write = wire.spot_market_stats if self._spot else wire.market_stats
        return {
            str(market.listing.market_id): write(market, now_ms)
            for market in markets
            if (market.listing.kind == "spot") == self._spot
        }

    def _frame(self, rows: dict[str, Row], now_ms: int) -> Row:
        name = "spot_market_stats" if self._spot else "market_stats"
        body = rows[str(self._market.listing.market_id)] if self._market else rows
        return {name: body, "timestamp": self._view.stamp_ms(now_ms)}


class TradeChannel:
    """trade/{market}: trades as they happen; the snapshot replays recent ones."""

    topic = "trades"
    interval_ms = 0

    def __init__(self, view: View, market: SimMarket) -> None:
        self.symbol = market.symbol
        self._view = view
        self._market = market
        self._seen = market.book.trade_count

    def snapshot(self, now_ms: int) -> Row:
        return self._frame(facts.TRADES_REPLAYED, now_ms)

    def update(self, now_ms: int) -> Row | None:
        fresh = self._market.book.trade_count - self._seen
        self._seen = self._market.book.trade_count
        return self._frame(fresh, now_ms) if fresh else None

    def _frame(self, count: int, now_ms: int) -> Row:
        rows = [self._view.trade(self._market, done, now_ms) for done in self._market.book.recent_trades(count)]
        forced = [row for row in rows if row["type"] != "trade"]
        plain = [row for row in rows if row["type"] == "trade"]
        return {"liquidation_trades": forced, "nonce": self._market.book.nonce, "trades": plain}


class CandleChannel:
    """candle/{market}/{resolution}: the running candle, in batches."""

    topic = "candles"
    interval_ms = facts.CANDLE_INTERVAL_MS

    def __init__(self, view: View, market: SimMarket, resolution: str) -> None:
        self.symbol = market.symbol
        self._view = view
        self._market = market
        self._width_ms = facts.RESOLUTIONS_MS[resolution]
        self._last: list[Row] = []

    def snapshot(self, now_ms: int) -> Row:
        self._last = self._rows(now_ms)
        return {"candles": self._last, "timestamp": self._view.stamp_ms(now_ms)}

    def update(self, now_ms: int) -> Row | None:
        rows = self._rows(now_ms)
        if rows == self._last:
            return None
        self._last = rows
        return {"candles": rows, "timestamp": self._view.stamp_ms(now_ms)}

    def _rows(self, now_ms: int) -> list[Row]:
        bars = self._market.bars.between(self._width_ms, now_ms // self._width_ms * self._width_ms, now_ms)
        return [wire.candle(bar, self._market.listing) for bar in bars]


class HeightChannel:
    """height: the block height."""

    topic = "height"
    symbol = ""
    interval_ms = facts.BLOCK_MS

    def __init__(self, view: View) -> None:
        self._view = view
        self._last = 0

    def snapshot(self, now_ms: int) -> Row:
        self._last = facts.height(now_ms)
        return {"height": self._last, "timestamp": self._view.stamp_ms(now_ms)}

    def update(self, now_ms: int) -> Row | None:
        return self.snapshot(now_ms) if facts.height(now_ms) != self._last else None


def opened(view: View, name: str, now_ms: int) -> Channel:
    """The channel called `name`, written with slashes. Raises UnknownChannelError."""
    match name.split("/"):
        case ["height"]:
            return HeightChannel(view)
        case ["market_stats" | "spot_market_stats" as kind, market] if market == ALL:
            return StatsChannel(view, None, spot=kind.startswith("spot"))
        case ["order_book", market]:
            return BookChannel(view, _market(view, market, now_ms))
        case ["ticker", market]:
            return TickerChannel(view, _market(view, market, now_ms))
        case ["trade", market]:
            return TradeChannel(view, _market(view, market, now_ms))
        case ["candle", market, resolution] if resolution in facts.RESOLUTIONS_MS:
            return CandleChannel(view, _market(view, market, now_ms), resolution)
        case ["market_stats" | "spot_market_stats" as kind, market]:
            found = _market(view, market, now_ms)
            if (found.listing.kind == "spot") == kind.startswith("spot"):
                return StatsChannel(view, found, spot=kind.startswith("spot"))
    raise UnknownChannelError(name)


def _market(view: View, text: str, now_ms: int) -> SimMarket:
    market = view.market(int(text), now_ms) if text.isdecimal() and len(text) <= 4 else None
    if market is None:
        raise UnknownChannelError(text)
    return market

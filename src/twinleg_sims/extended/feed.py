"""What one market publishes, once for all its subscribers: book, best prices, trades, reference prices, funding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from twinleg_sims.extended import facts, wire
from twinleg_sims.extended.topics import Topic
from twinleg_sims.extended.wire import Body
from twinleg_sims.faults import Faults
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import LevelChange, ReaderBehindError, Side

encode = msgspec.json.encode

VENUE = "extended"
PHANTOM_TICKS = 3
"""How far above the best ask the bid of a crossed book stands."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One stream message before it is addressed. `type` is what v2 calls it, `data` its JSON."""

    market: str
    topic: Topic
    type: str
    data: bytes

    @property
    def subscriptions(self) -> tuple[str, str]:
        """The topics that carry it: the market's own, and all markets'."""
        return self.topic.subscription, replace(self.topic, market=None).subscription


class BookFeed:
    """A book as its subscribers see it: whole once a minute, changed levels each 100 ms in between."""

    def __init__(self, market: SimMarket, now_ms: int, snapshot_offset_ms: int) -> None:
        self._market = market
        self._topic = Topic("orderbooks", market.symbol)
        self._slot = now_ms // facts.BOOK_INTERVAL_MS
        self._next_snapshot_ms = now_ms + facts.SNAPSHOT_INTERVAL_MS + snapshot_offset_ms
        self._cursor = 0
        self._shown: dict[Side, dict[int, int]] = {}
        self._phantom: tuple[int, int] | None = None
        self._cached = ("", b"")
        self._since_cached: list[tuple[str, bytes]] = []
        self._reload()

    def advance(self, now_ms: int, *, crossed: bool = False) -> Publication | None:
        """What the subscribers get now: a snapshot, changes, or nothing. `crossed` shows a bid that is not there."""
        if now_ms // facts.BOOK_INTERVAL_MS == self._slot:
            return None
        self._slot = now_ms // facts.BOOK_INTERVAL_MS
        try:
            self._cursor, changes = self._market.book.changes_since(self._cursor)
        except ReaderBehindError:
            self._reload()
            return self._publication(self._cached)
        changes = self._apply(changes + self._phantom_changes(crossed))
        if now_ms >= self._next_snapshot_ms:
            self._next_snapshot_ms = now_ms + facts.SNAPSHOT_INTERVAL_MS
            self._cache()
            return self._publication(self._cached)
        if not changes:
            return None
        delta = ("ORDERBOOKS.DELTA", encode(wire.delta_data(self._market, changes)))
        self._since_cached.append(delta)
        if len(self._since_cached) > facts.REPLAYED_CHANGES_MAX:
            self._cache()
        return self._publication(delta)

    def snapshot(self) -> Publication:
        """The book as shown now."""
        sides = (sorted(self._shown["bid"].items(), reverse=True), sorted(self._shown["ask"].items()))
        return self._publication(("ORDERBOOKS.SNAPSHOT", encode(wire.snapshot_data(self._market, *sides))))

    def replay(self) -> list[Publication]:
        """A snapshot of some time ago and every change since: what a v2 subscriber is sent in one burst."""
        return [self._publication(message) for message in (self._cached, *self._since_cached)]

    def _reload(self) -> None:
        book = self._market.book
        self._cursor = book.nonce
        self._shown = {"bid": dict(book.levels("bid")), "ask": dict(book.levels("ask"))}
        self._phantom = None
        self._cache()

    def _cache(self) -> None:
        whole = self.snapshot()
        self._cached = (whole.type, whole.data)
        self._since_cached = []

    def _phantom_changes(self, crossed: bool) -> list[LevelChange]:
        """Put a bid above the best ask, follow that ask upwards, take the bid away again."""
        asks = self._shown["ask"]
        placed: tuple[int, int] | None = None
        if crossed and asks:
            best_ask, lots = min(asks.items())
            if self._phantom and self._phantom[0] > best_ask:
                return []
            placed = (best_ask + PHANTOM_TICKS, lots)
        changes: list[LevelChange] = []
        if self._phantom:
            changes.append(LevelChange("bid", self._phantom[0], 0, -self._phantom[1]))
        if placed:
            changes.append(LevelChange("bid", placed[0], placed[1], placed[1]))
        self._phantom = placed
        return changes

    def _apply(self, changes: list[LevelChange]) -> list[LevelChange]:
        """Move the shown book on; the changes one per level, with the sizes that are now shown."""
        net: dict[tuple[Side, int], int] = {}
        for change in changes:
            key = (change.side, change.ticks)
            net[key] = net.get(key, 0) + change.delta_lots
        shown: list[LevelChange] = []
        for (side, ticks), delta_lots in net.items():
            levels = self._shown[side]
            lots = levels.get(ticks, 0) + delta_lots
            assert lots >= 0, f"{self._market.symbol}: {lots} lots at {ticks}"
            if lots:
                levels[ticks] = lots
            else:
                levels.pop(ticks, None)
            if delta_lots:
                shown.append(LevelChange(side, ticks, lots, delta_lots))
        return shown

    def _publication(self, message: tuple[str, bytes]) -> Publication:
        return Publication(self._market.symbol, self._topic, *message)


class MarketFeed:
    """All public topics of one market except candles. `worker` is the market's number in its trade ids."""

    def __init__(self, market: SimMarket, worker: int, faults: Faults, now_ms: int) -> None:
        self.market = market
        self._faults = faults
        self.book = BookFeed(market, now_ms, snapshot_offset_ms=worker * 700 % facts.SNAPSHOT_INTERVAL_MS)
        self.worker = worker
        self._traded = market.book.trade_count
        self._best = self._best_levels()
        self._best_nonce = market.book.nonce
        self._mark, self._index = market.mark_price, market.index_price
        self._minute = now_ms // facts.FUNDING_ESTIMATE_INTERVAL_MS

    def advance(self, now_ms: int) -> Iterable[Publication]:
        """Everything that became due, in a fixed order."""
        if not self.hides_book(now_ms):
            yield from self._new_book(now_ms)
        yield from self._new_trades()
        yield from self._new_prices(now_ms)
        if now_ms // facts.FUNDING_ESTIMATE_INTERVAL_MS != self._minute:
            self._minute = now_ms // facts.FUNDING_ESTIMATE_INTERVAL_MS
            row = wire.funding_row(self.market, self.market.funding.predicted_rate_per_hour(), self._venue_ms(now_ms))
            yield self._publish("funding-rates", "", "FUNDING_RATES", row)

    def hides_book(self, now_ms: int) -> bool:
        """Whether the book has stopped while everything else goes on."""
        return self._faults.active(VENUE, "stale_book", now_ms, self.market.symbol) is not None

    def best(self) -> Publication:
        """The best level of each side, always as a snapshot."""
        data = wire.snapshot_data(self.market, *self._best, depth="1")
        return self._publish("orderbooks", "1", "ORDERBOOKS.SNAPSHOT", data)

    def past_trades(self) -> Publication:
        """The last trades, oldest first, as one frame."""
        return self._trades(self.trade_rows(facts.TRADES_REPLAYED))

    def trade_rows(self, limit: int) -> list[Body]:
        """The last `limit` trades, oldest first."""
        return [wire.trade_row(self.market, self.worker, trade) for trade in self.market.book.recent_trades(limit)]

    def _new_book(self, now_ms: int) -> Iterable[Publication]:
        crossed = self._faults.active(VENUE, "crossed", now_ms, self.market.symbol) is not None
        book = self.book.advance(now_ms, crossed=crossed)
        if book is not None:
            yield book
        if self.market.book.nonce != self._best_nonce and (best := self._best_levels()) != self._best:
            self._best = best
            yield self.best()
        self._best_nonce = self.market.book.nonce

    def _new_trades(self) -> Iterable[Publication]:
        if self.market.book.trade_count == self._traded:
            return
        try:
            self._traded, trades = self.market.book.trades_since(self._traded)
        except ReaderBehindError:
            self._traded, trades = self.market.book.trade_count, []
        if trades:
            yield self._trades([wire.trade_row(self.market, self.worker, trade) for trade in trades])

    def _new_prices(self, now_ms: int) -> Iterable[Publication]:
        if self.market.mark_price != self._mark:
            self._mark = self.market.mark_price
            yield self._publish("prices", "mark", "PRICES.MP", wire.price_data(self.market, self._mark, 0))
        if self.market.index_price != self._index:
            self._index = self.market.index_price
            at_ms = self._venue_ms(now_ms) // 1_000 * 1_000
            yield self._publish("prices", "index", "PRICES.IP", wire.price_data(self.market, self._index, at_ms))

    def _venue_ms(self, now_ms: int) -> int:
        return now_ms + self._faults.clock_offset_ms(VENUE, now_ms)

    def _best_levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return self.market.book.levels("bid", 1), self.market.book.levels("ask", 1)

    def _trades(self, rows: list[Body]) -> Publication:
        return self._publish("trades", "", "TRADES", rows)

    def _publish(self, scope: str, kind: str, type_: str, data: Body | list[Body]) -> Publication:
        symbol = self.market.symbol
        return Publication(symbol, Topic(scope, symbol, kind), type_, encode(data))

"""What of the world Lighter shows at a moment, faults included: which markets, under which status, at which clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twinleg_sims.faults import Faults
from twinleg_sims.history import HOUR_MS, Bars
from twinleg_sims.lighter import wire
from twinleg_sims.lighter.wire import Row
from twinleg_sims.listings import LIGHTER
from twinleg_sims.market import FIRST_OUTSIDE_OWNER, SimMarket
from twinleg_sims.matching import Order, Trade
from twinleg_sims.world import World

_STATUS = {"active": "active", "inactive": "inactive", "reduce_only": "in-settlement", "prelisted": "inactive"}


MARK_SAMPLE_MS = 1_000


class View:
    """The world through Lighter's eyes. It also keeps the mark prices' candles, which the world does not."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world = world
        self.faults = faults
        self.trade_row: Callable[[SimMarket, Trade, int], Row] = _plain_trade
        """Writes a trade; the private side puts in what outside users had to do with it."""
        self.order_index: Callable[[SimMarket, Order], int | None] = _no_index
        """The order index of an outside user's resting order."""
        self._markets = {market.listing.market_id: market for market in world.markets(LIGHTER)}
        self._marks = {number: _past_marks(market, world.now_ms) for number, market in self._markets.items()}
        self._sampled_ms = world.now_ms

    def advance(self, now_ms: int) -> None:
        """Sample the mark prices, once a second."""
        if now_ms - self._sampled_ms >= MARK_SAMPLE_MS:
            self._sampled_ms = now_ms
            for number, market in self._markets.items():
                self._marks[number].add(now_ms, round(market.mark_price, market.listing.price_decimals), 0.0, 0)

    def marks(self, market: SimMarket) -> Bars:
        """Candles of the mark price; before the world began, they are those of trades."""
        return self._marks[market.listing.market_id]

    def listed(self, now_ms: int) -> list[SimMarket]:
        """The markets that the venue lists now, in order of their ids."""
        return [market for _, market in sorted(self._markets.items()) if not self._vanished(market, now_ms)]

    def market(self, market_id: int, now_ms: int) -> SimMarket | None:
        """None when there is no such market (any more)."""
        market = self._markets.get(market_id)
        return None if market is None or self._vanished(market, now_ms) else market

    def status(self, market: SimMarket, now_ms: int) -> str:
        """The market's status in the venue's words."""
        if self.faults.active(LIGHTER, "unknown_word", now_ms, market.symbol):
            return "hibernating"
        if self.faults.active(LIGHTER, "halted", now_ms, market.symbol):
            return "inactive"
        return _STATUS[market.listing.state]

    def force_reduce_only(self, market: SimMarket, now_ms: int) -> bool:
        fault = self.faults.active(LIGHTER, "reduce_only", now_ms, market.symbol)
        return fault is not None or market.listing.state == "reduce_only"

    def trade(self, market: SimMarket, done: Trade, now_ms: int) -> Row:
        """A trade as everybody sees it."""
        return self.trade_row(market, done, self.stamp_ms(now_ms) - now_ms)

    def simple_order(self, market: SimMarket, order: Order) -> Row:
        """A resting order as everybody sees it."""
        row = wire.simple_order(market.listing, order)
        index = self.order_index(market, order) if order.owner >= FIRST_OUTSIDE_OWNER else None
        return row if index is None else row | {"order_index": index, "order_id": str(index)}

    def stamp_ms(self, now_ms: int) -> int:
        """The venue's own clock."""
        return now_ms + self.faults.clock_offset_ms(LIGHTER, now_ms)

    def _vanished(self, market: SimMarket, now_ms: int) -> bool:
        return self.faults.active(LIGHTER, "vanish", now_ms, market.symbol) is not None


def _plain_trade(market: SimMarket, done: Trade, offset_ms: int) -> Row:
    return wire.trade(market.listing, done, offset_ms)


def _no_index(_market: SimMarket, _order: Order) -> None:
    return None


def _past_marks(market: SimMarket, now_ms: int) -> Bars:
    return Bars(replace(bar) for bar in market.bars.between(HOUR_MS, 0, now_ms))

"""One price-time matching engine, in integer ticks and lots. No clock, no dice, no I/O.

The same engine serves every market of both venues, the world's own flow and outside users alike: whoever came first
at a price trades first. Every change of a level's size advances `nonce` by exactly one, so that a nonce is also a
reader's cursor.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

Side = Literal["bid", "ask"]
TimeInForce = Literal["gtt", "ioc", "post_only"]
SelfTrade = Literal["expire_maker", "expire_taker", "expire_both", "reduce", "allow"]
"""What a taker does when it meets an order of its own: which of the two goes. "reduce" makes both smaller."""

CHANGES_KEPT = 8192
TRADES_KEPT = 1000


class ReaderBehindError(LookupError):
    """A reader's cursor is older than what the engine keeps: take a fresh snapshot and its nonce."""


class LevelChange(NamedTuple):
    """A level whose size changed since a cursor: the new absolute size (0 = gone) and the signed change."""

    side: Side
    ticks: int
    lots: int
    delta_lots: int


class Trade(NamedTuple):
    """One fill. `sequence` counts from 1 within the market; the price is the resting order's."""

    sequence: int
    at_ms: int
    ticks: int
    lots: int
    taker_side: Side
    taker_order: int
    maker_order: int
    taker_owner: int
    maker_owner: int


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order on its way to a book. `kin`: further owners that count as the same in self-trades (sub-accounts)."""

    owner: int
    side: Side
    ticks: int
    lots: int
    tif: TimeInForce
    self_trade: SelfTrade = "expire_maker"
    kin: frozenset[int] = frozenset()


@dataclass(slots=True)
class Order:
    """A resting order. `lots` is what is left of `initial_lots`."""

    id: int
    owner: int
    side: Side
    ticks: int
    lots: int
    initial_lots: int
    placed_ms: int


@dataclass(slots=True)
class Outcome:
    """What became of an order. `self_cancelled`: (order id, lots) of the owner's own orders that it would have met.

    `self_expired_lots`: what the order itself lost for meeting them.
    """

    order_id: int
    resting_lots: int
    refused_post_only: bool = False
    self_expired_lots: int = 0
    trades: list[Trade] = field(default_factory=list)
    self_cancelled: list[tuple[int, int]] = field(default_factory=list)

    @property
    def filled_lots(self) -> int:
        return sum(trade.lots for trade in self.trades)


class _Level:
    __slots__ = ("lots", "orders")

    def __init__(self) -> None:
        self.lots = 0
        self.orders: dict[int, Order] = {}


class _Half:
    """One side of the book. Prices are kept as sorted keys whose best is last: ticks for bids, -ticks for asks."""

    __slots__ = ("keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.levels: dict[int, _Level] = {}


class Engine:
    """One market's book. `first_nonce` lets a market start at a realistic engine number."""

    def __init__(self, first_nonce: int = 0) -> None:
        self.nonce = first_nonce
        self.maker_listeners: dict[int, Callable[[Trade], None]] = {}
        """By owner: told of each fill of its resting orders, in the midst of matching. It may cancel and reduce there,

        so that what rests behind is right before it trades too, but not submit.
        """
        self.cancel_listeners: dict[int, Callable[[int, int], None]] = {}
        """By owner: told (order id, lots) when somebody else's self-trade rule took lots off a resting order."""
        self.trade_count = 0
        self._bids = _Half(1)
        self._asks = _Half(-1)
        self._orders: dict[int, Order] = {}
        self._next_order = 1
        self._changes: deque[tuple[int, int]] = deque(maxlen=CHANGES_KEPT)
        self._trades: deque[Trade] = deque(maxlen=TRADES_KEPT)

    # What is in the book

    def best(self, side: Side) -> int | None:
        """The best price in ticks, None when the side is empty."""
        half = self._half(side)
        return half.keys[-1] * half.sign if half.keys else None

    def levels(self, side: Side, depth: int | None = None) -> list[tuple[int, int]]:
        """(ticks, lots), best first, at most `depth` of them."""
        half = self._half(side)
        return [(key * half.sign, half.levels[key].lots) for key in islice(reversed(half.keys), depth)]

    def orders(self, side: Side) -> Iterator[Order]:
        """Resting orders, best price first, oldest first within a price."""
        half = self._half(side)
        for key in reversed(half.keys):
            yield from half.levels[key].orders.values()

    def order(self, order_id: int) -> Order | None:
        return self._orders.get(order_id)

    def size_at(self, side: Side, ticks: int) -> int:
        """Lots resting at a price."""
        half = self._half(side)
        level = half.levels.get(ticks * half.sign)
        return level.lots if level else 0

    # What happened

    def changes_since(self, cursor: int) -> tuple[int, list[LevelChange]]:
        """The new cursor, and the levels whose size is not what it was at nonce `cursor`. Raises ReaderBehindError."""
        count = self.nonce - cursor
        if count > len(self._changes):
            raise ReaderBehindError(f"{count} changes asked for, {len(self._changes)} kept")
        net: dict[int, int] = {}
        for key, delta in islice(reversed(self._changes), count):
            net[key] = net.get(key, 0) + delta
        changed: list[LevelChange] = []
        for key, delta in net.items():
            if delta:
                side: Side = "bid" if key > 0 else "ask"
                changed.append(LevelChange(side, abs(key), self.size_at(side, abs(key)), delta))
        return self.nonce, changed

    def trades_since(self, cursor: int) -> tuple[int, list[Trade]]:
        """Trades after sequence `cursor`, oldest first, and the new cursor. Raises ReaderBehindError."""
        count = self.trade_count - cursor
        if count > len(self._trades):
            raise ReaderBehindError(f"{count} trades asked for, {len(self._trades)} kept")
        return self.trade_count, self.recent_trades(count)

    def recent_trades(self, limit: int) -> list[Trade]:
        """The last `limit` trades kept, oldest first."""
        newest_first = list(islice(reversed(self._trades), limit))
        newest_first.reverse()
        return newest_first

    def add_past_trade(self, at_ms: int, ticks: int, lots: int, taker_side: Side) -> None:
        """Record a trade from before the world began, between nobody in particular."""
        self.trade_count += 1
        self._trades.append(Trade(self.trade_count, at_ms, ticks, lots, taker_side, 0, 0, 0, 0))

    # What one can do

    def submit(self, owner: int, side: Side, ticks: int, lots: int, now_ms: int, tif: TimeInForce = "gtt") -> Outcome:
        """As `place`, with the usual self-trade rule: its resting order goes and the taker goes on (Lighter's own)."""
        return self.place(NewOrder(owner, side, ticks, lots, tif), now_ms)

    def place(self, order: NewOrder, now_ms: int) -> Outcome:
        """Match and rest an order. Post-only that would cross is refused whole; an IOC's remainder is dropped."""
        assert min(order.ticks, order.lots) > 0, "an order has a price and a size"
        order_id = self._next_order
        self._next_order += 1
        outcome = Outcome(order_id, 0)
        if order.tif == "post_only" and self._crosses(order.side, order.ticks):
            outcome.refused_post_only = True
            return outcome
        left = self._match(order, now_ms, outcome)
        if left and order.tif != "ioc":
            self._rest(Order(order_id, order.owner, order.side, order.ticks, left, order.lots, now_ms))
            outcome.resting_lots = left
        return outcome

    def cancel(self, order_id: int) -> int:
        """Take a resting order out of the book: the lots that were left of it, 0 when it was not there (any more)."""
        order = self._orders.get(order_id)
        return self._shrink(order, order.lots) if order else 0

    def reduce(self, order_id: int, lots: int) -> int:
        """Make a resting order smaller by up to `lots`; it keeps its place in the queue. The lots taken away."""
        assert lots > 0, "a reduction takes something away"
        order = self._orders.get(order_id)
        return self._shrink(order, min(lots, order.lots)) if order else 0

    def hit(self, order_id: int, lots: int, now_ms: int) -> None:
        """Let somebody take up to `lots` of one resting order, whatever else rests before it."""
        maker = self._orders.get(order_id)
        if maker is not None:
            self._next_order += 1
            taker: Side = "ask" if maker.side == "bid" else "bid"
            order = NewOrder(0, taker, maker.ticks, lots, "ioc")
            self._trade(order, maker, Outcome(self._next_order - 1, 0), now_ms, min(lots, maker.lots))

    # How

    def _half(self, side: Side) -> _Half:
        return self._bids if side == "bid" else self._asks

    def _crosses(self, side: Side, ticks: int) -> bool:
        if side == "bid":
            best = self.best("ask")
            return best is not None and best <= ticks
        best = self.best("bid")
        return best is not None and best >= ticks

    def _match(self, taker: NewOrder, now_ms: int, outcome: Outcome) -> int:
        half = self._half("ask" if taker.side == "bid" else "bid")
        worst_key = taker.ticks * half.sign
        left = taker.lots
        while left and half.keys and half.keys[-1] >= worst_key:
            maker = next(iter(half.levels[half.keys[-1]].orders.values()))
            if taker.self_trade != "allow" and (maker.owner == taker.owner or maker.owner in taker.kin):
                left -= self._prevent(taker, maker, left, outcome)
                continue
            lots = min(left, maker.lots)
            left -= lots
            self._trade(taker, maker, outcome, now_ms, lots)
        return left

    def _trade(self, taker: NewOrder, maker: Order, outcome: Outcome, now_ms: int, lots: int) -> None:
        self.trade_count += 1
        trade = Trade(
            self.trade_count,
            now_ms,
            maker.ticks,
            lots,
            taker.side,
            outcome.order_id,
            maker.id,
            taker.owner,
            maker.owner,
        )
        self._trades.append(trade)
        outcome.trades.append(trade)
        self._shrink(maker, lots)
        listener = self.maker_listeners.get(maker.owner)
        if listener is not None:
            listener(trade)

    def _prevent(self, taker: NewOrder, maker: Order, left: int, outcome: Outcome) -> int:
        """Two orders of one owner meet: take off the maker what its rule says; the lots the taker loses."""
        lots = min(left, maker.lots)
        from_maker = {"expire_taker": 0, "reduce": lots}.get(taker.self_trade, maker.lots)
        from_taker = {"expire_maker": 0, "reduce": lots}.get(taker.self_trade, left)
        outcome.self_expired_lots += from_taker
        if from_maker:
            self._shrink(maker, from_maker)
            if maker.owner == taker.owner:
                outcome.self_cancelled.append((maker.id, from_maker))
            elif maker.owner in self.cancel_listeners:
                self.cancel_listeners[maker.owner](maker.id, from_maker)
        return from_taker

    def _rest(self, order: Order) -> None:
        half = self._half(order.side)
        key = order.ticks * half.sign
        level = half.levels.get(key)
        if level is None:
            level = half.levels[key] = _Level()
            insort(half.keys, key)
        level.orders[order.id] = order
        level.lots += order.lots
        self._orders[order.id] = order
        self._changed(key, order.lots)

    def _shrink(self, order: Order, lots: int) -> int:
        half = self._half(order.side)
        key = order.ticks * half.sign
        level = half.levels[key]
        order.lots -= lots
        level.lots -= lots
        if order.lots == 0:
            del level.orders[order.id]
            del self._orders[order.id]
        if level.lots == 0:
            del half.levels[key]
            del half.keys[bisect_left(half.keys, key)]
        self._changed(key, -lots)
        return lots

    def _changed(self, key: int, delta: int) -> None:
        self.nonce += 1
        self._changes.append((key, delta))

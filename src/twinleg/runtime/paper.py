"""The paper venue: where dry-run orders go instead of a venue's order gateway.

It fills from the live book, as it is when the market's taker delay has passed, and answers with the same order events a
real gateway gives. No clock and no tasks of its own: the caller says what time it is and asks for what is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from heapq import heappop, heappush

from twinleg.core.amounts import Grid
from twinleg.core.book import Book
from twinleg.core.ledger import Ledger
from twinleg.core.messages import Market, MarketStatus
from twinleg.core.orders import (
    Filled,
    Intent,
    OrderAccepted,
    OrderDone,
    OrderEvent,
    OrderRejected,
    Side,
    TimeInForce,
)

TAKEN_MEMORY_MS = 10_000
"""How long a level counts as smaller by what we took from it. Our fills leave no trace in the real book: without this
a retry would eat the same resting orders twice; after this long we take the level for refilled. Bounds what is kept."""
PENDING_MAX = 1000
"""Orders waiting for their taker delay; more are rejected, as a venue would."""
FINISHED_KEPT = 1000
"""Finished orders that can still be read back."""

MICRO_USD = Grid(decimals=6)


class PaperVenue:
    """Takes intents, gives order events. `markets` and `books` are the engine's own, by market key, read when needed.

    What earlier runs did is taken from the ledger: the positions they left, and the fills of orders they left open.
    """

    def __init__(self, markets: Mapping[str, Market], books: Mapping[str, Book], ledger: Ledger) -> None:
        self._markets = markets
        self._books = books
        self._positions = ledger.positions()
        self._finished: dict[str, list[OrderEvent]] = {}
        self._earlier = {
            order.intent.client_id: order.filled_lots
            for account in ledger.open_trades()
            for order in account.trade.orders
        }
        self._pending: dict[str, Intent] = {}
        self._queue: list[tuple[int, int, Intent | OrderEvent]] = []
        self._count = 0
        self._taken: dict[tuple[str, Side, int], list[tuple[int, int]]] = {}

    @property
    def next_due_ms(self) -> int | None:
        """When `due` has something to say, None when nothing is under way."""
        return self._queue[0][0] if self._queue else None

    def submit(self, intent: Intent, now_ms: int) -> None:
        """Take an order. Its answer, fills and end come from `due`."""
        for known in (self._pending, self._finished, self._earlier):
            assert intent.client_id not in known, f"{intent.client_id} sent twice"
        refusal = self._refusal(intent)
        if refusal is not None:
            rejected = OrderRejected(intent.client_id, refusal, now_ms)
            self._finish(intent.client_id, [rejected])
            self._at(now_ms, rejected)
            return
        self._pending[intent.client_id] = intent
        self._at(now_ms, OrderAccepted(intent.client_id, now_ms))
        self._at(now_ms + self._markets[intent.market].taker_delay_ms, intent)

    def cancel(self, client_id: str, now_ms: int) -> None:
        """Nothing rests here: an IOC order ends by itself when its taker delay has passed."""

    def query(self, client_id: str, now_ms: int) -> None:
        """Read an order back: `due` repeats what is known of it. One that never arrived here is over, by that proof."""
        if client_id in self._pending:
            self._at(now_ms, OrderAccepted(client_id, now_ms))
        elif client_id in self._finished:
            for event in self._finished[client_id]:
                self._at(now_ms, event)
        else:
            filled_lots = self._earlier.get(client_id, 0)
            self._at(now_ms, OrderDone(client_id, "not working at the paper venue", filled_lots, now_ms))

    def due(self, now_ms: int) -> list[OrderEvent]:
        """Everything that has happened by `now_ms`, in order. Fills walk the books as they are at this call."""
        events: list[OrderEvent] = []
        while self._queue and self._queue[0][0] <= now_ms:
            item = heappop(self._queue)[2]
            if isinstance(item, Intent):
                del self._pending[item.client_id]
                outcome = self._match(item, now_ms)
                self._finish(item.client_id, outcome)
                events += outcome
            else:
                events.append(item)
        return events

    def _at(self, due_ms: int, item: Intent | OrderEvent) -> None:
        self._count += 1
        heappush(self._queue, (due_ms, self._count, item))

    def _finish(self, client_id: str, events: list[OrderEvent]) -> None:
        self._finished[client_id] = events
        if len(self._finished) > FINISHED_KEPT:
            del self._finished[next(iter(self._finished))]

    def _refusal(self, intent: Intent) -> str | None:
        """Why a venue would not take this order. Minimum sizes do not bind an order that only reduces."""
        market = self._markets.get(intent.market)
        if market is None:
            return f"unknown market {intent.market}"
        if intent.time_in_force is not TimeInForce.IOC:
            return "only IOC orders can be filled on paper"
        if market.taker_fee_bps is None:
            return "the taker fee is not known"
        if market.status is not MarketStatus.OPEN and not (
            market.status is MarketStatus.REDUCE_ONLY and intent.reduce_only
        ):
            return f"market is {market.status.value}"
        if len(self._pending) >= PENDING_MAX:
            return f"{PENDING_MAX} orders are pending"
        if intent.reduce_only:
            return None if self._reducible(intent) else "reduce-only without a position to reduce"
        if intent.size_lots < market.min_size_lots:
            return f"{intent.size_lots} lots are below the minimum of {market.min_size_lots}"
        notional = intent.size_lots * intent.limit_ticks * market.price_grid.unit * market.size_grid.unit
        if notional < Fraction(str(market.min_notional_usd)):
            return f"notional {float(notional):.2f} is below the minimum of {market.min_notional_usd}"
        return None

    def _reducible(self, intent: Intent) -> int:
        """Lots by which the order may shrink our position."""
        return max(0, -intent.side.sign * self._positions.get(intent.market, 0))

    def _match(self, intent: Intent, now_ms: int) -> list[OrderEvent]:
        """Walk the book within the limit and end the order: what is not there now is cancelled."""
        market, book = self._markets.get(intent.market), self._books.get(intent.market)
        if market is None or market.taker_fee_bps is None or book is None or not book.ready or book.crossed:
            return [OrderDone(intent.client_id, "no trustworthy book when the order arrived", 0, now_ms)]
        self._forget_taken(now_ms)
        left = min(intent.size_lots, self._reducible(intent)) if intent.reduce_only else intent.size_lots
        events: list[OrderEvent] = []
        filled_lots = 0
        buys = intent.side is Side.BUY
        for price_ticks, shown_lots in book.levels(asks=buys):
            if left == 0 or (price_ticks > intent.limit_ticks if buys else price_ticks < intent.limit_ticks):
                break
            taken = self._taken.setdefault((intent.market, intent.side, price_ticks), [])
            size_lots = min(left, shown_lots - sum(lots for _, lots in taken))
            if size_lots <= 0:
                continue
            taken.append((now_ms, size_lots))
            left -= size_lots
            filled_lots += size_lots
            notional = price_ticks * size_lots * market.price_grid.unit * market.size_grid.unit
            fee = MICRO_USD.ceil(notional * Fraction(str(market.taker_fee_bps)) / 10_000)
            fill_id = f"{intent.client_id}/{len(events)}"
            events.append(Filled(intent.client_id, fill_id, price_ticks, size_lots, fee, now_ms))
        self._positions[intent.market] = self._positions.get(intent.market, 0) + intent.side.sign * filled_lots
        reason = "filled" if filled_lots == intent.size_lots else "the rest was not there within the limit"
        return [*events, OrderDone(intent.client_id, reason, filled_lots, now_ms)]

    def _forget_taken(self, now_ms: int) -> None:
        """Drop what was taken longer than TAKEN_MEMORY_MS ago."""
        self._taken = {
            level: recent
            for level, taken in self._taken.items()
            if (recent := [one for one in taken if now_ms - one[0] < TAKEN_MEMORY_MS])
        }

"""The paper venue: where dry-run orders go instead of a venue's order gateway.

It fills from the live book, as it is when the market's taker delay has passed, and answers with the same order events a
real gateway gives. No clock and no tasks of its own: the caller says what time it is and asks for what is due.

Post-only orders rest until they are filled, cancelled or past their deadline. One that would take is rejected. A
resting order fills at its own price and the maker fee, and only while the other side of the book shows its price or a
better one: then all that stood before it at that price is gone, and what is shown there would have met it. What trades
at its price without that is left to those who stood before it, and what crosses between two looks is missed: a real
order would fill sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from heapq import heappop, heappush

import msgspec

from twinleg.core.amounts import Grid
from twinleg.core.book import Book
from twinleg.core.ledger import Ledger
from twinleg.core.messages import Level, Market, MarketStatus
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
"""Orders waiting for their taker delay or resting; more are rejected, as a venue would."""
FINISHED_KEPT = 1000
"""Finished orders that can still be read back."""

MICRO_USD = Grid(decimals=6)


class _Resting(msgspec.Struct):
    """A post-only order in the book, and what it has been told: accepted, then its fills."""

    intent: Intent
    told: list[OrderEvent]
    filled_lots: int = 0


class _End(msgspec.Struct, frozen=True):
    """A resting order ends, if it still rests."""

    client_id: str
    reason: str


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
        self._resting: dict[str, _Resting] = {}
        self._queue: list[tuple[int, int, Intent | OrderEvent | _End]] = []
        self._count = 0
        self._taken: dict[tuple[str, Side, int], list[tuple[int, int]]] = {}
        self.wake: Callable[[], None] = lambda: None
        """Never called: what happens here, a clock can tell."""

    @property
    def next_due_ms(self) -> int | None:
        """When `due` has something to say for certain, None when nothing is under way. What rests may fill before."""
        return self._queue[0][0] if self._queue else None

    def prepare(self, intent: Intent, now_ms: int) -> None:
        """There is nothing to get ready."""

    def drop(self, client_id: str, now_ms: int) -> None:
        """Nor anything to give up."""

    def submit(self, intent: Intent, now_ms: int) -> None:
        """Take an order. Its answer, fills and end come from `due`."""
        for known in (self._pending, self._resting, self._finished, self._earlier):
            assert intent.client_id not in known, f"{intent.client_id} sent twice"
        refusal = self._refusal(intent)
        if refusal is not None:
            rejected = OrderRejected(intent.client_id, refusal, now_ms)
            self._finish(intent.client_id, [rejected])
            self._at(now_ms, rejected)
            return
        self._pending[intent.client_id] = intent
        if intent.time_in_force is TimeInForce.POST_ONLY:
            self._at(now_ms, intent)
            return
        self._at(now_ms, OrderAccepted(intent.client_id, now_ms))
        self._at(now_ms + self._markets[intent.market].taker_delay_ms, intent)

    def cancel(self, client_id: str, now_ms: int) -> None:
        """End an order that rests. An IOC order ends by itself when its taker delay has passed."""
        self._at(now_ms, _End(client_id, "cancelled"))

    def query(self, client_id: str, now_ms: int) -> None:
        """Read an order back: `due` repeats what is known of it. One that never arrived here is over, by that proof."""
        if client_id in self._pending:
            if self._pending[client_id].time_in_force is TimeInForce.IOC:  # else its answer is due already
                self._at(now_ms, OrderAccepted(client_id, now_ms))
        elif client_id in self._resting:
            for event in self._resting[client_id].told:
                self._at(now_ms, event)
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
            match heappop(self._queue)[2]:
                case Intent() as intent:
                    events += self._arrive(self._pending.pop(intent.client_id), now_ms)
                case _End(client_id, reason):
                    events += self._end(client_id, reason, now_ms)
                case event:
                    events.append(event)
        for order in list(self._resting.values()):
            events += self._meet(order, now_ms)
        return events

    def _at(self, due_ms: int, item: Intent | OrderEvent | _End) -> None:
        self._count += 1
        heappush(self._queue, (due_ms, self._count, item))

    def _arrive(self, intent: Intent, now_ms: int) -> list[OrderEvent]:
        """An order meets the book: it takes and ends, or it rests, or it may not."""
        if intent.time_in_force is TimeInForce.IOC:
            outcome = self._match(intent, now_ms)
            self._finish(intent.client_id, outcome)
            return outcome
        book = self._trusted(intent)
        best = None if book is None else next(book.levels(asks=intent.side is Side.BUY), None)
        if book is None or (best is not None and _reaches(intent, best[0])):
            why = "no trustworthy book when the order arrived" if book is None else "post-only, and it would take"
            rejected: list[OrderEvent] = [OrderRejected(intent.client_id, why, now_ms)]
            self._finish(intent.client_id, rejected)
            return rejected
        accepted = OrderAccepted(intent.client_id, now_ms)
        self._resting[intent.client_id] = _Resting(intent, [accepted])
        self._at(intent.deadline_ms, _End(intent.client_id, "expired"))
        return [accepted]

    def _end(self, client_id: str, reason: str, now_ms: int) -> list[OrderEvent]:
        order = self._resting.pop(client_id, None)
        if order is None:
            return []
        done = OrderDone(client_id, reason, order.filled_lots, now_ms)
        self._finish(client_id, [*order.told[1:], done])
        return [done]

    def _meet(self, order: _Resting, now_ms: int) -> list[OrderEvent]:
        """What the other side shows at a resting order's price or better fills it, at its own price."""
        intent = order.intent
        market = self._markets.get(intent.market)
        if market is None or market.status is not MarketStatus.OPEN or market.maker_fee_bps is None:
            return []
        wanted_lots = intent.size_lots - order.filled_lots
        if intent.reduce_only:
            wanted_lots = min(wanted_lots, self._reducible(intent))
        size_lots = sum(lots for _, lots in self._take(intent, wanted_lots, now_ms))
        if size_lots == 0:
            return []
        fill = self._fill(intent, (intent.limit_ticks, size_lots), (len(order.told) - 1, market.maker_fee_bps), now_ms)
        order.told.append(fill)
        order.filled_lots += size_lots
        full = order.filled_lots == intent.size_lots
        return [fill, *(self._end(intent.client_id, "filled", now_ms) if full else [])]

    def _finish(self, client_id: str, events: list[OrderEvent]) -> None:
        self._finished[client_id] = events
        if len(self._finished) > FINISHED_KEPT:
            del self._finished[next(iter(self._finished))]

    def _refusal(self, intent: Intent) -> str | None:
        """Why a venue would not take this order. Minimum sizes do not bind an order that only reduces."""
        market = self._markets.get(intent.market)
        if market is None:
            return f"unknown market {intent.market}"
        rests = intent.time_in_force is TimeInForce.POST_ONLY
        if rests and not market.post_only:
            return "post-only orders are not taken here"
        if (market.maker_fee_bps if rests else market.taker_fee_bps) is None:
            return f"the {'maker' if rests else 'taker'} fee is not known"
        if market.status is not MarketStatus.OPEN and not (
            market.status is MarketStatus.REDUCE_ONLY and intent.reduce_only
        ):
            return f"market is {market.status.value}"
        if len(self._pending) + len(self._resting) >= PENDING_MAX:
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
        market = self._markets.get(intent.market)
        if market is None or market.taker_fee_bps is None or self._trusted(intent) is None:
            return [OrderDone(intent.client_id, "no trustworthy book when the order arrived", 0, now_ms)]
        wanted_lots = min(intent.size_lots, self._reducible(intent)) if intent.reduce_only else intent.size_lots
        events: list[OrderEvent] = []
        filled_lots = 0
        for taken in self._take(intent, wanted_lots, now_ms):
            events.append(self._fill(intent, taken, (len(events), market.taker_fee_bps), now_ms))
            filled_lots += taken[1]
        reason = "filled" if filled_lots == intent.size_lots else "the rest was not there within the limit"
        return [*events, OrderDone(intent.client_id, reason, filled_lots, now_ms)]

    def _trusted(self, intent: Intent) -> Book | None:
        """The book of an order, None while nothing may be made of it."""
        book = self._books.get(intent.market)
        return None if intent.market not in self._markets or book is None or not book.ready or book.crossed else book

    def _take(self, intent: Intent, wanted_lots: int, now_ms: int) -> list[Level]:
        """What the book has for an order within its limit, best first: taken from it, so that nobody gets it again."""
        book = self._trusted(intent)
        found: list[Level] = []
        if book is None:
            return found
        self._forget_taken(now_ms)
        for price_ticks, shown_lots in book.levels(asks=intent.side is Side.BUY):
            if wanted_lots == 0 or not _reaches(intent, price_ticks):
                break
            taken = self._taken.setdefault((intent.market, intent.side, price_ticks), [])
            size_lots = min(wanted_lots, shown_lots - sum(lots for _, lots in taken))
            if size_lots > 0:
                taken.append((now_ms, size_lots))
                wanted_lots -= size_lots
                found.append((price_ticks, size_lots))
        return found

    def _fill(self, intent: Intent, level: Level, numbered: tuple[int, float], now_ms: int) -> Filled:
        """One execution at `level`, the position moved; `numbered` is its number in the order and the fee in bps."""
        market, (price_ticks, size_lots), (number, fee_bps) = self._markets[intent.market], level, numbered
        notional = price_ticks * size_lots * market.price_grid.unit * market.size_grid.unit
        fee = MICRO_USD.ceil(notional * Fraction(str(fee_bps)) / 10_000)
        self._positions[intent.market] = self._positions.get(intent.market, 0) + intent.side.sign * size_lots
        return Filled(intent.client_id, f"{intent.client_id}/{number}", price_ticks, size_lots, fee, now_ms)

    def _forget_taken(self, now_ms: int) -> None:
        """Drop what was taken longer than TAKEN_MEMORY_MS ago."""
        self._taken = {
            level: recent
            for level, taken in self._taken.items()
            if (recent := [one for one in taken if now_ms - one[0] < TAKEN_MEMORY_MS])
        }


def _reaches(intent: Intent, price_ticks: int) -> bool:
    """Whether an order's limit allows that price."""
    return intent.side.sign * (intent.limit_ticks - price_ticks) >= 0

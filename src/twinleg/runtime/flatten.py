"""Closing everything at one venue with nothing but the venue's own word: no engine, no journal.

    positions read -> one reduce-only IOC per position, bound a step wider each time -> its fate, positions read again
    ... until they are read flat twice, LAG_MS apart, or the widest bound brings nothing any more

What a read does not say is not known: no error is ever flat. An order in doubt is not sent again; the next one has its
own name and the size that the venue shows by then, and none can do more than reduce.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from twinleg.core.flattening import (
    OutOfNamesError,
    Reference,
    bound_bps,
    bound_ticks,
    closing_intent,
    closing_side,
    reference,
)
from twinleg.core.messages import Market
from twinleg.core.operations import ClosingOrder
from twinleg.core.orders import Intent, Leg, OrderDone, OrderRejected, Purpose, Side, TimeInForce, client_id
from twinleg.core.trading import IN_DOUBT, AccountRead, AccountSnapshot, Incident, OrderSeen, PositionSeen
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.gate import VenueGate
from twinleg.runtime.known import LAG_MS
from twinleg.runtime.ports import Clock

READ_TRIES = 4
READ_AGAIN_S = 3.0
LOOKS_S = (0.5, 4.0)
"""How long an order's fate is waited for before each time it is read back; read-backs are dear, positions are not."""
LAST_LOOK_S = 2.0
POLL_S = 0.1
ORDERS_MAX = 20
"""Per position; a book that gives a little at a time is taken a little at a time."""
DEADLINE_MS = 5_000
UNSENT = ("not sent", "never left")
"""How the gate's reasons begin for what did not reach the venue: it spends none of the steps."""


class Result(Enum):
    """How it ended at one venue."""

    FLAT = "flat"
    NOT_FLAT = "not_flat"
    UNKNOWN = "unknown"


class Said(msgspec.Struct, frozen=True, tag_field="word", tag="step"):
    """One step, as it happens. `market` None: it concerns the venue."""

    venue: str
    market: str | None
    text: str


class Outcome(msgspec.Struct, frozen=True, tag_field="word", tag="outcome"):
    """What is left at a venue, in signed sizes as texts by market, as far as it is known."""

    venue: str
    result: Result
    left: dict[str, str]
    detail: str = ""


class Terms(msgspec.Struct, frozen=True):
    """How far bounds may go, in how many steps, and how long the venue's lists may lag."""

    widest_bps: int
    steps: int
    lag_s: float = LAG_MS / 1_000


class Ways(NamedTuple):
    """What one venue's flatten works with."""

    gate: VenueGate
    facts: Mapping[str, Market]
    touch: Callable[[str, Side], int | None]
    """The best price that an order of that side would take, in ticks; None = no book."""
    names: Callable[[], tuple[str, Leg, int]]
    """The next order's name; raises OutOfNamesError."""
    clock: Clock
    tell: Callable[[Said], None]


class Flattener:
    """One venue. `wants` says which markets are to be closed."""

    def __init__(self, ways: Ways, terms: Terms, wants: Callable[[str], bool]) -> None:
        self._gate, self._facts, self._touch, self._names, self._clock, self._tell = ways
        self._terms, self._wants = terms, wants
        self._fates: dict[str, OrderDone | OrderRejected] = {}
        self._sent: dict[str, int] = {}
        self._step: dict[str, int] = {}
        self._over: dict[str, str] = {}
        """Markets where nothing more is tried, with why."""
        self.venue = ways.gate.venue.name

    # -- what would be done -------------------------------------------------------------------------------------------

    async def preview(self) -> list[ClosingOrder] | str:
        """What would be sent for each position, worst bound included; or why the positions are not known."""
        held = await self._held()
        if isinstance(held, str):
            return held
        unlisted = [one.market for one in held if one.market not in self._facts]
        if unlisted:
            return f"positions in markets that the venue does not list: {', '.join(unlisted)}"
        return [self._shown(one) for one in held]

    def _shown(self, position: PositionSeen) -> ClosingOrder:
        market, side = self._facts[position.market], closing_side(position.lots)
        found = self._reference(position)
        worst = None if found is None else bound_ticks(side, found.ticks, self._terms.widest_bps)
        return ClosingOrder(
            venue=self.venue,
            market=position.market,
            trade=None,
            side=side.value,
            size=market.size_grid.text(abs(position.lots)),
            reference=None if found is None else market.price_grid.text(found.ticks),
            reference_is="nothing" if found is None else found.what,
            worst_price=None if worst is None else market.price_grid.text(worst),
        )

    # -- doing it -----------------------------------------------------------------------------------------------------

    async def run(self, *, everything: bool) -> Outcome:
        """Cancel, then close. `everything` cancels orders that are not ours, too."""
        await self._cancel(everything=everything)
        seen_flat = False
        held = await self._held()
        while True:
            if isinstance(held, str):
                return Outcome(self.venue, Result.UNKNOWN, {}, held)
            if not held and seen_flat:
                return Outcome(self.venue, Result.FLAT, {})
            if held:
                seen_flat = False
                able = [one for one in held if one.market not in self._over]
                if not able:
                    return self._given_up(held)
                filled = await asyncio.gather(*(self._attempt(one) for one in able))
                held = await self._caught_up({one.market: one.lots for one in able}, filled)
            else:
                seen_flat = True
                self._say(None, f"flat as the venue shows it; read again in {self._terms.lag_s:.0f} s, as lists lag")
                await self._clock.sleep(self._terms.lag_s)
                held = await self._held()

    async def _attempt(self, position: PositionSeen) -> int | None:
        """One order. How much of it filled, None when that is not known."""
        key = position.market
        if key not in self._facts:
            return self._give_up(key, "the venue does not list the market")
        market = self._facts[key]
        step, side = self._step.get(key, 0), closing_side(position.lots)
        found = self._reference(position)
        if found is None:
            return self._give_up(key, "no price is known: the venue shows none, and no book came")
        bps = bound_bps(step, self._terms.steps, self._terms.widest_bps)
        limit = bound_ticks(side, found.ticks, bps)
        try:
            name = self._names()
        except OutOfNamesError as error:
            return self._give_up(key, str(error))
        now_ms = self._clock.wall_ms()
        intent = closing_intent(position, name, limit, found.ticks, now_ms + DEADLINE_MS)
        size = market.size_grid.text(abs(position.lots))
        price = market.price_grid.text(limit)
        self._say(key, f"{intent.client_id}: {side.value} {size} at {price}, {bps} bps beyond the {found.what}")
        self._gate.submit(intent, now_ms)
        self._sent[key] = self._sent.get(key, 0) + 1
        fate = await self._fate(intent.client_id)
        return self._judged(key, intent, fate, step)

    def _judged(self, key: str, intent: Intent, fate: OrderDone | OrderRejected | None, step: int) -> int | None:
        """Whether the next order goes farther, or none is sent any more."""
        filled = fate.filled_lots if isinstance(fate, OrderDone) else 0
        size_grid = self._facts[key].size_grid
        if fate is None:
            self._say(key, f"{intent.client_id}: no word of its fate; the position is read again")
        else:
            self._say(key, f"{intent.client_id}: {fate.reason}, {size_grid.text(filled)} filled")
        unsent = isinstance(fate, OrderRejected) and fate.reason.startswith(UNSENT)
        if not unsent:
            self._step[key] = step + 1
        if self._sent[key] >= ORDERS_MAX:
            self._give_up(key, f"{ORDERS_MAX} orders were sent")
        elif fate is not None and not filled and not unsent and step + 1 >= self._terms.steps:
            self._give_up(key, "the widest bound brings nothing")
        return None if fate is None else filled

    async def _fate(self, client_id: str) -> OrderDone | OrderRejected | None:
        """The end of an order as the venue tells it, asked a few times; None when it does not."""
        for wait_s in LOOKS_S:
            if (fate := await self._known_within(client_id, wait_s)) is not None:
                return fate
            self._gate.query(client_id, self._clock.wall_ms())
        return await self._known_within(client_id, LAST_LOOK_S)

    async def _known_within(self, client_id: str, wait_s: float) -> OrderDone | OrderRejected | None:
        for _ in range(int(wait_s / POLL_S)):
            for event in self._gate.due(self._clock.wall_ms()):
                if isinstance(event, OrderDone | OrderRejected):
                    self._fates[event.client_id] = event
            if client_id in self._fates:
                return self._fates[client_id]
            await self._clock.sleep(POLL_S)
        return None

    async def _caught_up(self, before: Mapping[str, int], filled: Sequence[int | None]) -> list[PositionSeen] | str:
        """The positions once they show what is known to have filled, or after the time that lists may lag.

        For an order in doubt nothing is waited for: the next one can do no more than reduce either.
        """
        moved = {key for key, lots in zip(before, filled, strict=True) if lots}
        end_ns = self._clock.mono_ns() + int(self._terms.lag_s * 1e9)
        while True:
            held = await self._held()
            if isinstance(held, str):
                return held
            lots = {one.market: one.lots for one in held}
            stale = [key for key in moved if lots.get(key, 0) == before[key]]
            if not stale or self._clock.mono_ns() >= end_ns:
                return held
            await self._clock.sleep(READ_AGAIN_S)

    # -- orders that rest ---------------------------------------------------------------------------------------------

    async def _cancel(self, *, everything: bool) -> None:
        """Take back what rests in the wanted markets. What fails is said; closing goes on all the same."""
        rows = await self._listing("orders", lambda: self._gate.venue.open_orders(self._clock.wall_ms()))
        if isinstance(rows, str):
            self._say(None, f"resting orders are not known: {rows}")
            return
        resting = [one for one in rows if isinstance(one, OrderSeen) and one.resting and self._wants(one.market)]
        ours = [intent for one in resting if (intent := _as_sent(one)) is not None]
        for intent in ours:
            self._say(intent.market, f"cancelling {intent.client_id}")
            self._gate.expect(intent)
            self._gate.cancel(intent.client_id, self._clock.wall_ms())
        names = {intent.client_id for intent in ours}
        strangers = sorted({one.market for one in resting if one.client_id not in names})
        if everything:
            for key in strangers:
                await self._cancel_all_in(key)
        elif strangers:
            self._say(None, f"orders in {', '.join(strangers)} are not ours and are left alone (--all cancels them)")

    async def _cancel_all_in(self, key: str) -> None:
        venue, market = self._gate.venue, self._facts.get(key)
        if market is None:
            self._say(key, "its orders cannot be cancelled: the venue does not list the market")
            return
        verdict = await self._gate.transact(
            f"cancel of everything in {key}",
            lambda lane: venue.sign_cancel_all(market, lane, self._clock.wall_ms()),
            lambda: None,
            urgent=True,
        )
        self._say(key, f"cancelling all that rests: {verdict.value}")

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _held(self) -> list[PositionSeen] | str:
        """What is held in the wanted markets, or why that is not known."""
        rows = await self._listing("positions", lambda: self._gate.venue.positions(self._clock.wall_ms()))
        if isinstance(rows, str):
            return rows
        return [one for one in rows if isinstance(one, PositionSeen) and one.lots and self._wants(one.market)]

    async def _listing(self, kind: str, read: Callable[[], AccountRead]) -> Sequence[object] | str:
        """All rows of a whole answer, asked for a few times; or why there is none."""
        trouble = ""
        for attempt in range(READ_TRIES):
            if attempt:
                await self._clock.sleep(READ_AGAIN_S)
            events = await self._gate.read(read(), urgent=True)
            if isinstance(events, Unread):
                trouble = events.reason
                continue
            found = [one for one in events if isinstance(one, AccountSnapshot) and one.kind == kind]
            doubts = [one.detail for one in events if isinstance(one, Incident) and one.kind == IN_DOUBT]
            if found and not doubts:
                return found[-1].rows
            trouble = "; ".join(doubts) or "the answer holds no listing"
        return f"{kind} could not be read: {trouble}"

    # -- small things -------------------------------------------------------------------------------------------------

    def _reference(self, position: PositionSeen) -> Reference | None:
        touch = self._touch(position.market, closing_side(position.lots))
        return reference(position, self._facts[position.market], touch)

    def _give_up(self, key: str, why: str) -> int:
        self._over[key] = why
        self._say(key, f"given up: {why}")
        return 0

    def _given_up(self, held: Sequence[PositionSeen]) -> Outcome:
        left = {one.market: self._size(one) for one in held}
        return Outcome(self.venue, Result.NOT_FLAT, left, "; ".join(f"{key}: {self._over[key]}" for key in left))

    def _size(self, position: PositionSeen) -> str:
        market = self._facts.get(position.market)
        return f"{position.lots} lots" if market is None else market.size_grid.text(position.lots)

    def _say(self, market: str | None, text: str) -> None:
        self._tell(Said(self.venue, market, text))


def _as_sent(order: OrderSeen) -> Intent | None:
    """One of our orders in the words that a gate cancels by; None for anybody else's."""
    try:
        trade, leg_name, attempt_text = (order.client_id or "").rsplit("-", 2)
        leg, attempt = Leg(leg_name), int(attempt_text)
    except ValueError:
        return None
    price = order.price_ticks or 1
    return Intent(
        trade_id=trade,
        leg=leg,
        attempt=attempt,
        client_id=client_id(trade, leg, attempt),
        venue=order.venue,
        market=order.market,
        side=order.side,
        size_lots=order.size_lots,
        limit_ticks=price,
        reduce_only=order.reduce_only,
        time_in_force=TimeInForce.POST_ONLY,
        purpose=Purpose.FLATTEN if order.reduce_only else Purpose.ENTER,
        deadline_ms=order.at_ms,
        decision_price_ticks=price,
    )

"""Every event in every order: the machine of a trade and two truthful venues, searched breadth-first from PLANNED.

A place in the search is a trade, what is true at the venues, and what is left of a few budgets (fills per order,
crashes, wishes, liquidations, words of the operator). Venues may fill, end or reject an order at any moment, and tell
of it at any later one or never; so a cancel or a read-back needs no move of its own: what it may bring about happens
anyway. Time moves when the trade's clock rings. Each place is checked once, each move on the way to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from twinleg.core.effects import Alert, Effect, Persist, Place
from twinleg.core.hedge import step
from twinleg.core.move import Quotes
from twinleg.core.orders import (
    ADDING,
    DeadlinePassed,
    Event,
    ExitWanted,
    Filled,
    FlattenNow,
    HaltLifted,
    Holding,
    Leg,
    OrderAccepted,
    OrderDone,
    OrderRejected,
    OrderStatus,
    OrderUnknown,
    PositionForced,
    Resolve,
    Resumed,
    Started,
    State,
    TradePlan,
)
from twinleg.core.records import IntentMade
from twinleg.core.trade import Trade, apply, exposed

ID = "t1"
FINAL = (State.HEDGED, State.CLOSED, State.HALTED)


class AtVenue(msgspec.Struct, frozen=True):
    """The truth about one order: its fills, which of them were told (bits), whether it is over, and that was told."""

    fills: tuple[int, ...] = ()
    told: int = 0
    over: bool = False
    rejected: bool = False
    end_told: bool = False


class Spare(msgspec.Struct, frozen=True):
    """What may still happen on the way from here, each at most so many times."""

    fills_per_order: int = 2
    crashes: int = 1
    unknowns: int = 1
    wishes: int = 1
    forces: int = 1
    words: int = 1


class Spot(msgspec.Struct, frozen=True):
    """A place in the search. `force` is what a venue took by itself; `rings` count since the state was reached."""

    trade: Trade
    venue: tuple[AtVenue, ...]
    spare: Spare
    now_ms: int = 0
    rings: int = 0
    force: tuple[Leg, int] | None = None
    before: Spot | None = None
    because: str = ""

    def key(self) -> bytes:
        """Equal for places that cannot be told apart, whichever way led there."""
        trade = self.trade
        orders = [
            (one.intent.leg, one.intent.purpose, one.intent.size_lots, one.intent.limit_ticks, one.intent.deadline_ms)
            for one in trade.orders
        ]
        facts = [(one.status, one.filled_lots, one.done_lots) for one in trade.orders]
        rest = (trade.state, trade.attempts_spent, trade.due_ms, trade.exit_reason, trade.patient, trade.adjusted)
        packed = _pack((orders, facts, rest, self.venue, self.spare, self.now_ms, self.rings, self.force))
        return blake2b(packed, digest_size=12).digest()

    def truly_held(self, leg: Leg) -> int:
        lots = 0 if self.force is None or self.force[0] is not leg else -self.force[1]
        for order, true in zip(self.trade.orders, self.venue, strict=True):
            if order.intent.leg is leg:
                lots += sum(true.fills) if order.intent.purpose in ADDING else -sum(true.fills)
        return lots

    def untold(self, leg: Leg) -> int:
        """Lots of a leg that its venue took, and the machine has not heard."""
        heard = self.force is None or self.force[0] is not leg or bool(self.trade.force_ids)
        return 0 if heard or self.force is None else self.force[1]

    def story(self) -> str:
        """How the search came here, one move a line."""
        lines, spot = [], self
        while spot.before is not None:
            lines.append(f"{spot.because} -> {spot.trade.state.value}")
            spot = spot.before
        return "\n".join(reversed(lines))


_pack = msgspec.msgpack.Encoder().encode


class ViolatedError(AssertionError):
    """An invariant does not hold: the message tells which, and how it came to that."""


class Explorer:
    """A search over one plan. `run` gives the number of distinct places; `exhausted` says that there are no more."""

    def __init__(self, plan: TradePlan, quotes: Quotes, spare: Spare, *, ends_every: int = 50) -> None:
        self._plan, self._quotes, self._spare, self._ends_every = plan, quotes, spare, ends_every
        self.exhausted = False
        self.moves = 0
        self.states: set[State] = set()

    def run(self, places_max: int) -> int:
        start = Spot(Trade(self._plan), (), self._spare)
        seen = {start.key()}
        waiting = deque([start])
        while waiting and len(seen) < places_max:
            for spot in self._around(waiting.popleft()):
                self.moves += 1
                key = spot.key()
                if key not in seen:
                    seen.add(key)
                    self._check(spot)
                    waiting.append(spot)
                    if len(seen) % self._ends_every == 0:
                        self._check_end(spot)
        self.exhausted = not waiting
        return len(seen)

    # --- moves ---

    def _around(self, spot: Spot) -> Iterator[Spot]:
        """Every place one move away."""
        if spot.trade.state is State.PLANNED:
            for event in (Started(ID, 0), ExitWanted(ID, "early", 0), FlattenNow(ID, "early", 0)):
                yield from self._told(spot, event)
            return
        for number, true in enumerate(spot.venue):
            yield from self._venue_moves(spot, number, true)
            yield from self._news(spot, number, true)
        yield from self._news_of_force(spot)
        yield from self._trade_moves(spot)

    def _venue_moves(self, spot: Spot, number: int, true: AtVenue) -> Iterator[Spot]:
        """What happens at a venue, unheard as yet."""
        if true.over:
            return
        intent = spot.trade.orders[number].intent
        left = intent.size_lots - sum(true.fills)
        if intent.reduce_only:
            left = min(left, spot.truly_held(intent.leg))
        if len(true.fills) < spot.spare.fills_per_order:
            for size in {min(1, left), left} - {0}:
                full = sum(true.fills) + size == intent.size_lots
                after = msgspec.structs.replace(true, fills=(*true.fills, size), over=full)
                yield self._at(spot, number, after, f"{intent.client_id} fills {size}")
        ended = msgspec.structs.replace(true, over=True)
        yield self._at(spot, number, ended, f"{intent.client_id} ends")
        if not true.fills and spot.trade.orders[number].status is not OrderStatus.ACCEPTED:
            refused = msgspec.structs.replace(ended, rejected=True)
            yield self._at(spot, number, refused, f"{intent.client_id} is refused")

    def _news(self, spot: Spot, number: int, true: AtVenue) -> Iterator[Spot]:
        """What is told of an order, in any order; or that nobody knows."""
        order = spot.trade.orders[number]
        name, now_ms = order.intent.client_id, spot.now_ms
        for which, size in enumerate(true.fills):
            if not true.told >> which & 1:
                after = msgspec.structs.replace(true, told=true.told | 1 << which)
                fill = Filled(name, f"f{which}", order.intent.limit_ticks, size, 3, now_ms)
                yield from self._told(self._at(spot, number, after, ""), fill)
        if true.over and not true.end_told:
            after = msgspec.structs.replace(true, end_told=True)
            end = OrderRejected(name, "no", now_ms) if true.rejected else OrderDone(name, "", sum(true.fills), now_ms)
            yield from self._told(self._at(spot, number, after, ""), end)
        if order.status is OrderStatus.SENT:
            if not true.rejected:
                yield from self._told(spot, OrderAccepted(name, now_ms))
            if spot.spare.unknowns:
                yield from self._told(_spent(spot, "unknowns"), OrderUnknown(name, "timeout", now_ms))

    def _news_of_force(self, spot: Spot) -> Iterator[Spot]:
        for leg in Leg:
            lots = spot.untold(leg)
            if lots:
                event = PositionForced(ID, leg, "l", 1_000, lots, 0, "liquidation", spot.now_ms)
                yield from self._told(spot, event)

    def _trade_moves(self, spot: Spot) -> Iterator[Spot]:
        """The clock, the strategy, a liquidation, the operator."""
        trade, now_ms = spot.trade, spot.now_ms
        if trade.due_ms is not None:
            later = msgspec.structs.replace(spot, now_ms=max(now_ms, trade.due_ms), rings=spot.rings + 1)
            yield from self._told(later, DeadlinePassed(ID, later.now_ms))
        if spot.spare.wishes and trade.state is not State.CLOSED:
            for patient in (True, False):
                yield from self._told(_spent(spot, "wishes"), ExitWanted(ID, f"{patient}", now_ms, patient))
        if spot.spare.forces:
            taken = _spent(spot, "forces")
            for leg in Leg:
                lots = spot.truly_held(leg)
                if lots > 0:
                    yield msgspec.structs.replace(
                        taken, force=(leg, lots), before=spot, because=f"{leg.value} is liquidated"
                    )
        if spot.spare.words and trade.state is State.HALTED:
            said = _spent(spot, "words")
            yield from self._told(said, HaltLifted(ID, "looked", now_ms))
            yield from self._told(said, FlattenNow(ID, "enough", now_ms))
            if all(true.over for true in spot.venue) and not any(spot.untold(leg) for leg in Leg):
                holding = [Holding(spot.truly_held(leg), 1_000) for leg in Leg]
                yield from self._told(said, Resolve(ID, *holding, "looked", now_ms))

    def _at(self, spot: Spot, number: int, true: AtVenue, because: str) -> Spot:
        venue = (*spot.venue[:number], true, *spot.venue[number + 1 :])
        return msgspec.structs.replace(spot, venue=venue, before=spot, because=because)

    def _told(self, spot: Spot, event: Event) -> Iterator[Spot]:
        """The machine hears of it; or dies of it, its records cut short anywhere, or its orders."""
        name = f"{type(event).__name__} {getattr(event, 'client_id', '')}"
        after, effects = step(spot.trade, event, self._quotes)
        yield self._landed(spot, after, effects, name)
        if spot.spare.crashes and effects:
            records = [one.record for one in effects if isinstance(one, Persist)]
            sent = sum(isinstance(one, Place) for one in effects)
            cuts = {(kept, 0) for kept in range(len(records) + 1)} | {(len(records), some) for some in range(sent)}
            for kept, placed in sorted(cuts):
                trade = spot.trade
                for record in records[:kept]:
                    trade = apply(trade, record)
                yield from self._crashed(spot, trade, placed, f"{name}, crash after {kept} records, {placed} sent")

    def _crashed(self, spot: Spot, trade: Trade, placed: int, because: str) -> Iterator[Spot]:
        """What was made durable and not sent never arrives; the next process goes on."""
        fresh = len(trade.orders) - len(spot.venue)
        orders = tuple(AtVenue(over=number >= placed) for number in range(fresh))
        spare = msgspec.structs.replace(spot.spare, crashes=spot.spare.crashes - 1)
        dead = msgspec.structs.replace(
            spot, trade=trade, venue=(*spot.venue, *orders), spare=spare, rings=0, before=spot, because=because
        )
        after, effects = step(trade, Resumed(ID, spot.now_ms), self._quotes)
        yield self._landed(dead, after, effects, "Resumed")

    def _landed(self, spot: Spot, after: Trade, effects: tuple[Effect, ...], because: str) -> Spot:
        """The place after a step. I1: what is sent is durable. I2: no client id is sent twice. A halt is told."""
        known = {order.intent.client_id for order in spot.trade.orders}
        durable = [one.record.intent for one in effects if isinstance(one, Persist) and type(one.record) is IntentMade]
        sent = [one.intent for one in effects if isinstance(one, Place)]
        venue = (*spot.venue, *(AtVenue() for _ in sent))
        landed = msgspec.structs.replace(
            spot,
            trade=after,
            venue=venue,
            rings=spot.rings if after.state is spot.trade.state else 0,
            before=spot,
            because=because,
        )
        _must(sent == durable, "I1: what is sent is durable first", landed)
        _must(not any(intent.client_id in known for intent in sent), "I2: no client id is sent twice", landed)
        kinds = [isinstance(one, Persist) for one in effects]
        _must(kinds == sorted(kinds, reverse=True), "every Persist comes first", landed)
        if after.state is State.HALTED and spot.trade.state is not State.HALTED:
            _must(any(isinstance(one, Alert) for one in effects), "I3: a halt is told", landed)
        return landed

    # --- what must hold ---

    def _check(self, spot: Spot) -> None:
        trade, plan = spot.trade, spot.trade.plan
        self.states.add(trade.state)
        for leg in Leg:
            true = spot.truly_held(leg)
            _must(0 <= true <= plan.lots(leg), f"I4: the {leg.value} leg holds {true}", spot)
            _must(trade.held(leg) <= plan.lots(leg), f"I4: the {leg.value} leg counts {trade.held(leg)}", spot)
            moving = [order for order in trade.orders if order.intent.leg is leg and not order.settled]
            _must(len(moving) <= 1, "one order at a time on a leg", spot)
        if trade.state in (State.ENTERING, State.REPAIRING, State.EXITING):
            _must(trade.due_ms is not None, "I3: its clock is running", spot)
            attempts = len(plan.bounds_bps) * (2 if trade.state is State.EXITING else 1)
            _must(spot.rings <= attempts, "I3: within its budget", spot)
        elif trade.state in (State.HEDGED, State.CLOSED):
            _must(exposed(trade) is None and not trade.unsettled, "I3: at rest, exposed", spot)
            _must(trade.due_ms is None, "no clock at rest", spot)
            agree = all(spot.truly_held(leg) + spot.untold(leg) == trade.held(leg) for leg in Leg)
            _must(agree, "I5: what we think is what is", spot)
            _must(trade.state is State.HEDGED or trade.flat, "I6: closed is flat", spot)

    def _check_end(self, spot: Spot) -> None:
        """I9: with no more surprises it comes to rest by itself."""
        quiet = msgspec.structs.replace(spot, spare=Spare(0, 0, 0, 0, 0, 0))
        for _ in range(200):
            news = [one for number, true in enumerate(quiet.venue) for one in self._news(quiet, number, true)]
            new = [one for one in (*self._news_of_force(quiet), *news) if one.key() != quiet.key()]
            ends = [one for number, true in enumerate(quiet.venue) for one in self._venue_moves(quiet, number, true)]
            onward = new or [one for one in ends if not one.venue[-1].rejected]
            if quiet.trade.state in FINAL and not onward:
                return
            quiet = onward[0] if onward else next(self._trade_moves(quiet))
            self._check(quiet)
        raise ViolatedError(f"I9: it does not come to rest\n{quiet.story()}")


def _spent(spot: Spot, what: str) -> Spot:
    spare = msgspec.structs.replace(spot.spare, **{what: getattr(spot.spare, what) - 1})
    return msgspec.structs.replace(spot, spare=spare)


def _must(holds: bool, what: str, spot: Spot) -> None:
    if not holds:
        raise ViolatedError(f"{what}\n{spot.story()}")

"""Any interleaving of what venues may do: the invariants hold after every step, and every trade comes to an end.

The venues of this model are truthful but slow and forgetful: they fill, reject, end and cancel orders at any moment,
and their messages about it arrive late, out of order, twice, or only when asked for.
"""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from trade_samples import LONG_PLAN, QUOTES, SHORT_PLAN, Story, folded, plan
from twinleg.core.effects import Alert, Arm, Cancel, Effect, Persist, Place, Query, Severity
from twinleg.core.orders import (
    DeadlinePassed,
    Event,
    ExitWanted,
    Filled,
    Intent,
    Leg,
    LegPlan,
    OrderAccepted,
    OrderDone,
    OrderRejected,
    OrderUnknown,
    Purpose,
    Resumed,
    State,
)
from twinleg.core.records import IntentMade
from twinleg.core.trade import Trade, exposed

WAITING = (State.ENTERING, State.REPAIRING, State.EXITING)
FINAL = (State.HEDGED, State.CLOSED, State.HALTED)


class VenueOrder:
    """What is true of an order at its venue, and the messages about it that were not delivered yet."""

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self.arrived = False
        self.over = False
        self.rejected = False
        self.fills: list[Filled] = []
        self.undelivered: list[Event] = []

    @property
    def filled_lots(self) -> int:
        return sum(fill.size_lots for fill in self.fills)


class World:
    """Two truthful venues, the machine, and a clock; `draw` decides what happens next."""

    def __init__(self, draw: st.DrawFn, trade: Trade) -> None:
        self.draw = draw
        self.story = Story(trade)
        self.orders: dict[str, VenueOrder] = {}
        self.armed_ms: int | None = None
        self.rings = 0
        self.alerted = False
        self.delivered: list[Event] = []
        self.story.start()
        self.obey(self.story.last)

    # --- what the machine asks for ---

    def tell(self, event: Event, *, with_book: bool = True) -> None:
        was = self.story.trade.state
        effects = self.story.tell(msgspec.structs.replace(event, at_ms=self.story.at_ms), QUOTES if with_book else None)
        self.obey(effects)
        if self.story.trade.state is not was:
            self.rings = 0
        self.check()

    def obey(self, effects: tuple[Effect, ...]) -> None:
        kinds = [isinstance(effect, Persist) for effect in effects]
        assert kinds == sorted(kinds, reverse=True), "every Persist comes first"
        durable = {e.record.intent for e in effects if isinstance(e, Persist) and isinstance(e.record, IntentMade)}
        for effect in effects:
            match effect:
                case Place(intent):
                    assert intent in durable, "I1: no order without a durable intent"
                    assert intent.client_id not in self.orders, "I2: no client id is sent twice"
                    self.orders[intent.client_id] = VenueOrder(intent)
                case Cancel(client_id):
                    if self.draw(st.booleans()):
                        self.end(self.orders[client_id])
                case Query(client_id):
                    self.read_back(self.orders[client_id])
                case Arm(_, at_ms):
                    assert at_ms >= self.story.at_ms, "a clock that rings in the past"
                    self.armed_ms = at_ms
                case Alert(severity, _):
                    self.alerted |= severity is Severity.CRITICAL

    def read_back(self, order: VenueOrder) -> None:
        """Everything told of the order is told again, and whether it is over; the answer may still take its time."""
        order.undelivered += order.fills
        if order.over or not order.arrived:
            order.over = True
            end = OrderDone(order.intent.client_id, "read back", order.filled_lots, self.story.at_ms)
            order.undelivered.append(end)
        else:
            order.undelivered.append(OrderAccepted(order.intent.client_id, self.story.at_ms))

    # --- what venues may do ---

    def end(self, order: VenueOrder) -> None:
        if not order.over:
            order.arrived = order.over = True
            done = OrderDone(order.intent.client_id, "over", order.filled_lots, self.story.at_ms)
            order.undelivered.append(done)

    def reject(self, order: VenueOrder) -> None:
        if not order.over and not order.fills:
            order.arrived = order.over = order.rejected = True
            order.undelivered.append(OrderRejected(order.intent.client_id, "no", self.story.at_ms))

    def accept(self, order: VenueOrder) -> None:
        if not order.over:
            order.arrived = True
            order.undelivered.append(OrderAccepted(order.intent.client_id, self.story.at_ms))

    def fill(self, order: VenueOrder, lots: int | None = None) -> None:
        intent = order.intent
        left = 0 if order.over else intent.size_lots - order.filled_lots
        if intent.reduce_only:
            left = min(left, self.truly_held(intent.leg))
        if left > 0:
            order.arrived = True
            size = lots or self.draw(st.integers(1, left))
            fill = Filled(intent.client_id, f"f{len(order.fills)}", intent.limit_ticks, size, 3, self.story.at_ms)
            order.fills.append(fill)
            order.undelivered.append(fill)
            if order.filled_lots == intent.size_lots:
                self.end(order)

    def lose_ack(self, order: VenueOrder) -> None:
        order.undelivered.append(OrderUnknown(order.intent.client_id, "timeout", self.story.at_ms))

    def deliver(self, order: VenueOrder) -> None:
        if order.undelivered:
            event = order.undelivered.pop(self.draw(st.integers(0, len(order.undelivered) - 1)))
            self.delivered.append(event)
            self.tell(event, with_book=self.draw(st.booleans()))

    def repeat(self) -> None:
        if self.delivered:
            self.tell(self.draw(st.sampled_from(self.delivered)))

    def lose_message(self, order: VenueOrder) -> None:
        if order.undelivered:
            order.undelivered.pop()

    # --- time and the operator ---

    def ring(self) -> None:
        if self.armed_ms is not None:
            self.story.at_ms = max(self.story.at_ms, self.armed_ms)
            self.armed_ms = None
            self.rings += 1
            self.tell(DeadlinePassed("t1", self.story.at_ms))

    def restart(self) -> None:
        self.story.at_ms += 1
        self.story.trade = folded(self.story.trade.plan, self.story.records)
        self.armed_ms = None
        self.rings = 0
        self.tell(Resumed("t1", self.story.at_ms))

    def crash(self, order: VenueOrder) -> None:
        """The process dies while it makes the records of a step durable: some are, and nothing was sent after them."""
        if order.undelivered and self.story.trade.state is not State.PLANNED:
            event = order.undelivered.pop()
            records = self.story.records
            self.story.tell(msgspec.structs.replace(event, at_ms=self.story.at_ms))
            made = self.story.records[len(records) :]
            cut = self.draw(st.integers(0, len(made)))
            self.story.effects = [Persist(record) for record in (*records, *made[:cut])]
            for record in made[:cut]:
                if isinstance(record, IntentMade):
                    self.orders[record.intent.client_id] = VenueOrder(record.intent)
            self.armed_ms = None
            self.restart()

    def exit(self) -> None:
        self.tell(ExitWanted("t1", "operator", self.story.at_ms, self.draw(st.booleans())))

    def truly_held(self, leg: Leg) -> int:
        return sum(
            -order.filled_lots if order.intent.reduce_only else order.filled_lots
            for order in self.orders.values()
            if order.intent.leg is leg
        )

    def act(self) -> None:
        self.story.at_ms += self.draw(st.integers(0, 400))
        order = self.draw(st.sampled_from(list(self.orders.values())))
        deed = self.draw(st.integers(0, 21))
        match deed:
            case 0:
                self.ring()
            case 1:
                self.repeat()
            case 2:
                self.reject(order)
            case 3:
                self.end(order)
            case 4:
                self.lose_ack(order)
            case 5:
                self.lose_message(order)
            case 6:
                self.exit()
            case 7:
                self.restart()
            case 8:
                self.accept(order)
            case 9:
                self.crash(order)
            case 10 | 11 | 12:
                self.fill(order)
            case _:
                self.deliver(order)

    # --- what must hold ---

    def check(self) -> None:
        trade = self.story.trade
        assert folded(trade.plan, self.story.records) == trade, "a restart gives back the same trade"
        for leg in Leg:
            assert 0 <= trade.held(leg) <= trade.plan.lots(leg), "I4"
            assert 0 <= self.truly_held(leg) <= trade.plan.lots(leg), "I4, by the venue's truth"
            assert sum(not order.settled for order in trade.of_leg(leg)) <= 1, "one order at a time on a leg"
        if trade.state in WAITING:
            assert trade.due_ms == self.armed_ms, "I3: its clock is running"
            attempts = len(trade.plan.bounds_bps) * (2 if trade.state is State.EXITING else 1)
            assert self.rings <= attempts, "I3: within its budget; an exit has it again when its patience ends"
        elif trade.state is State.HALTED:
            assert self.alerted, "I3: halted with an alert out"
        else:
            assert exposed(trade) is None, "I3"
            assert trade.unsettled == []
            assert trade.due_ms is None
        if trade.state in (State.CLOSED, State.HEDGED):
            assert all(self.truly_held(leg) == trade.held(leg) for leg in Leg), "I5: what we think is what is"
        if trade.state is State.CLOSED:
            assert trade.flat, "I6"

    def run_out(self) -> None:
        """No more surprises: deliver what is on its way and let the clock ring until the trade is at rest."""
        for _ in range(4 * len(self.story.trade.plan.bounds_bps)):
            for order in list(self.orders.values()):
                while order.undelivered:
                    self.deliver(order)
            if self.story.trade.state in FINAL:
                break
            self.ring()
        assert self.story.trade.state in FINAL


@st.composite
def trades(draw: st.DrawFn) -> Trade:
    def leg(one: LegPlan) -> LegPlan:
        return msgspec.structs.replace(one, lots_per_common_lot=draw(st.integers(1, 6)))

    first = draw(st.sampled_from([None, *Leg]))
    return Trade(
        plan(
            first=first,
            rest_ms=draw(st.sampled_from([0, 10_000])) if first is not None else 0,
            edge_bps=draw(st.sampled_from([None, -20.0, 20.0])),
            long=leg(LONG_PLAN),
            short=leg(SHORT_PLAN),
            common_lots=draw(st.integers(1, 4)),
            bounds_bps=tuple(sorted(draw(st.lists(st.integers(0, 300), min_size=1, max_size=4)))),
            unhedged_notional_max_micro_usd=draw(st.sampled_from([1, 1_000_000, 10**12])),
        )
    )


@given(data=st.data(), trade=trades(), steps=st.integers(0, 60))
@settings(max_examples=400)
def test_every_interleaving_keeps_the_invariants_and_ends(data: st.DataObject, trade: Trade, steps: int) -> None:
    world = World(data.draw, trade)
    for _ in range(steps):
        world.act()
    world.run_out()


@given(data=st.data(), trade=trades(), leave=st.booleans())
def test_honest_venues_never_halt_a_trade(data: st.DataObject, trade: Trade, leave: bool) -> None:
    """Orders that fill at least in part and all of whose news arrives: hedged or closed, within the attempts."""
    world = World(data.draw, trade)
    for order in list(world.orders.values()):
        if data.draw(st.booleans()):
            world.fill(order)
        world.end(order)
    for _ in range(8):
        for order in list(world.orders.values()):
            if order.intent.purpose is not Purpose.ENTER:
                world.fill(order, order.intent.size_lots - order.filled_lots)
            while order.undelivered:
                world.deliver(order)
        if leave and world.story.trade.state is State.HEDGED:
            world.exit()
    assert world.story.trade.state in ((State.CLOSED,) if leave else (State.HEDGED, State.CLOSED))

"""The two legs of a trade as one state machine: a pure table (state, event) -> (new state, effects).

`step` decides what an event means. It writes records and its new Trade is their fold (core.trade), so the journal gives
back exactly the Trade that was; it asks for orders, cancels and read-backs as effects. All Persist effects of a step
come first and must be durable before the rest is done, in order.

A trade has one clock (`due_ms`). ENTERING, REPAIRING and EXITING always have it armed, and in the latter two each ring
spends one attempt: so each ends in HEDGED, CLOSED or HALTED within its budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from twinleg.core.effects import Alert, Arm, Cancel, Effect, Persist, Place, Query, Severity
from twinleg.core.orders import (
    ADDING,
    DeadlinePassed,
    Event,
    ExitWanted,
    Filled,
    Intent,
    Leg,
    OrderAccepted,
    OrderDone,
    OrderEvent,
    OrderRejected,
    OrderStatus,
    OrderUnknown,
    Purpose,
    Resumed,
    Side,
    Started,
    State,
    TimeInForce,
    client_id,
)
from twinleg.core.records import IntentMade, JournalRecord, StateChanged
from twinleg.core.trade import Trade, apply, contradiction, exposed, halt_text, news, order_of, unhedged_micro_usd

BPS = 10_000


class NotInTableError(LookupError):
    """An event that cannot happen in this state: our own mistake, never a venue's. Trading halts."""


class Quote(msgspec.Struct, frozen=True):
    """The touch of one market in ticks; None where nothing is shown."""

    bid_ticks: int | None
    ask_ticks: int | None


Quotes = Mapping[Leg, Quote]
"""The touch per leg as far as known. A missing leg never stops an order that reduces: see `_reference`."""


class _Move:
    """One step in the making: the trade so far, its new records, and what is to be done once they are durable."""

    def __init__(self, trade: Trade, at_ms: int, quotes: Quotes) -> None:
        self.trade = trade
        self.at_ms = at_ms
        self.quotes = quotes
        self.records: list[Effect] = []
        self.deeds: list[Effect] = []

    def record(self, record: JournalRecord) -> None:
        self.trade = apply(self.trade, record)
        self.records.append(Persist(record))

    def change(
        self, state: State, because: str, *, spent: int = 0, due_ms: int | None = None, exit_reason: str | None = None
    ) -> None:
        """Go to `state`, with the clock at `due_ms` (None: without one). The first exit reason stays."""
        self.record(
            StateChanged(
                trade_id=self.trade.plan.trade_id,
                state=state,
                attempts_spent=spent,
                due_ms=due_ms,
                exit_reason=self.trade.exit_reason or exit_reason,
                because=because,
                at_ms=self.at_ms,
            )
        )

    def place(self, leg: Leg, purpose: Purpose, size_lots: int, limit_ticks: int, decision_ticks: int) -> None:
        """One more order on a leg. The assertions are invariant I4: never above the plan, never below flat."""
        trade, plan = self.trade, self.trade.plan
        reduces = purpose not in ADDING
        assert 0 < size_lots <= (trade.held(leg) if reduces else plan.lots(leg) - trade.held(leg)), (leg, size_lots)
        assert all(order.settled for order in trade.of_leg(leg)), "one order at a time on a leg"
        assert trade.due_ms is not None, "an order without a clock"
        attempt = len(trade.of_leg(leg))
        intent = Intent(
            trade_id=plan.trade_id,
            leg=leg,
            attempt=attempt,
            client_id=client_id(plan.trade_id, leg, attempt),
            venue=plan.leg(leg).venue,
            market=plan.leg(leg).market,
            side=leg.entry_side.opposite if reduces else leg.entry_side,
            size_lots=size_lots,
            limit_ticks=limit_ticks,
            reduce_only=reduces,
            time_in_force=TimeInForce.IOC,
            purpose=purpose,
            deadline_ms=trade.due_ms,
            decision_price_ticks=decision_ticks,
        )
        self.record(IntentMade(intent=intent, at_ms=self.at_ms))
        self.deeds.append(Place(intent))


def step(trade: Trade, event: Event, quotes: Quotes | None = None) -> tuple[Trade, tuple[Effect, ...]]:
    """What `event` makes of `trade`: the new trade and the effects, every Persist first.

    Events without news (duplicates, late acknowledgements, stale clocks) give the same trade and no effects. Raises
    NotInTableError for what cannot happen in this state.
    """
    handler = TABLE.get((trade.state, type(event)))
    if handler is None:
        raise NotInTableError(f"{type(event).__name__} in {trade.state.name} of trade {trade.plan.trade_id}")
    move = _Move(trade, event.at_ms, quotes or {})
    handler(move, event)
    return move.trade, (*move.records, *move.deeds)


# --- what each event does, by state ---------------------------------------------------------------------------------


def _start(move: _Move, _event: Started) -> None:
    """Both legs at once, bounded, each with its planned size."""
    plan = move.trade.plan
    due_ms = move.at_ms + plan.unhedged_ms_max
    move.change(State.ENTERING, "started", due_ms=due_ms)
    move.deeds.append(Arm(plan.trade_id, due_ms))
    for leg in Leg:
        leg_plan = plan.leg(leg)
        move.place(leg, Purpose.ENTER, plan.lots(leg), leg_plan.limit_ticks, leg_plan.decision_ticks)


def _abandon(move: _Move, _event: ExitWanted | Resumed) -> None:
    """Nothing was sent: an intent would be on record."""
    move.change(State.CLOSED, "never started")


def _pursued(move: _Move, event: OrderEvent) -> None:
    if _noted(move, event):
        _pursue(move)


def _entry_late(move: _Move, event: DeadlinePassed) -> None:
    if not _stale(move, event):
        _repair(move, "entry not settled in time")


def _hedged(move: _Move, event: OrderEvent) -> None:
    """A fill of an order that was over, or a larger truth about one, opens its fate again."""
    if _noted(move, event) and move.trade.unsettled:
        _repair(move, "late news of an order that was over")


def _closed(move: _Move, event: OrderEvent) -> None:
    if _noted(move, event) and move.trade.unsettled:
        _exit(move, "late news of an order that was over")


def _halted(move: _Move, event: OrderEvent) -> None:
    """Facts are kept, nothing is done."""
    _noted(move, event)


def _exit_later(move: _Move, event: ExitWanted) -> None:
    """First the entry or the repair must settle: bounded by its clock."""
    trade = move.trade
    if trade.exit_reason is None:
        because = f"exit wanted: {event.reason}"
        move.change(trade.state, because, spent=trade.attempts_spent, due_ms=trade.due_ms, exit_reason=event.reason)


def _exit_now(move: _Move, event: ExitWanted) -> None:
    _exit(move, f"exit wanted: {event.reason}", event.reason)


def _next_attempt(move: _Move, event: DeadlinePassed) -> None:
    """The clock of a repair or an exit rang: spend an attempt, or give up when none is left."""
    trade = move.trade
    if _stale(move, event):
        return
    spent = trade.attempts_spent + 1
    if spent >= len(trade.plan.bounds_bps):
        _halt(move, f"{trade.state.value} failed after {spent} attempts")
        return
    _attempt(move, trade.state, f"attempt {spent + 1}", spent=spent)


def _resumed(move: _Move, _event: Resumed) -> None:
    """Finish what is unfinished. The crash may have cut the last step's records short anywhere, so that facts are known
    whose consequences are not: every state looks at its facts again."""
    trade = move.trade
    wrong = contradiction(trade)
    if wrong is not None:
        _halt(move, wrong)
    elif trade.state is State.ENTERING:
        _repair(move, "restarted while entering")
    elif trade.state is State.HEDGED and (trade.unsettled or exposed(trade)):
        _repair(move, "restarted with legs unsettled")
    elif trade.state is State.CLOSED and not trade.finished:
        _exit(move, "restarted with legs unsettled")
    elif trade.state in (State.REPAIRING, State.EXITING):
        _attempt(move, trade.state, "restarted", spent=trade.attempts_spent)


def _remind(move: _Move, _event: Resumed) -> None:
    """The operator decides, on fresh facts."""
    _read_back(move)
    move.deeds.append(Alert(Severity.CRITICAL, halt_text(move.trade, "still halted after a restart")))


def _ignore(_move: _Move, _event: Event) -> None:
    """Nothing to do: the clock is stale, or the wish is already being fulfilled or is the operator's to grant."""


# --- what they share ------------------------------------------------------------------------------------------------


def _noted(move: _Move, event: OrderEvent) -> bool:
    """The news of an event goes on record. False when there is none, or when it contradicts what is known: halted."""
    try:
        order = order_of(move.trade, event.client_id)
    except LookupError as error:
        _halt(move, str(error))
        return False
    record = news(move.trade, order, event)
    if record is None:
        return False
    move.record(record)
    wrong = contradiction(move.trade)
    if wrong is not None:
        _halt(move, wrong)
        return False
    if order_of(move.trade, event.client_id).status is OrderStatus.UNKNOWN:
        move.deeds.append(Query(event.client_id))
    return True


def _pursue(move: _Move) -> None:
    """What the state is for, again after every piece of news."""
    if move.trade.state is State.EXITING:
        _close_out(move)
    else:
        _match_legs(move)


def _match_legs(move: _Move) -> None:
    """Compare what filled, once every order is settled: hold, close, or unwind the excess."""
    trade = move.trade
    if trade.unsettled:
        if trade.state is State.ENTERING and unhedged_micro_usd(trade) > trade.plan.unhedged_notional_max_micro_usd:
            _repair(move, "more unhedged than allowed")
        return
    over = exposed(trade)
    if trade.flat:
        move.change(State.CLOSED, "nothing filled" if trade.state is State.ENTERING else "unwound")
    elif trade.exit_reason is not None:
        _exit(move, f"exit wanted: {trade.exit_reason}")
    elif over is not None and trade.state is State.ENTERING:
        _repair(move, "legs filled unequally")
    elif over is not None:
        _shed(move, Purpose.REPAIR, *over)
    elif any(trade.held(leg) < trade.plan.leg(leg).lots_per_common_lot for leg in Leg):
        _exit(move, "too little filled", "less than one common lot was hedged")
    else:
        move.change(State.HEDGED, "legs match")


def _close_out(move: _Move) -> None:
    """Close what each leg holds, each as soon as its own orders are settled."""
    trade = move.trade
    if not trade.unsettled and trade.flat:
        move.change(State.CLOSED, "flat")
        return
    for leg in Leg:
        if trade.held(leg) and all(order.settled for order in trade.of_leg(leg)):
            _shed(move, Purpose.EXIT, leg, trade.held(leg))


def _repair(move: _Move, because: str) -> None:
    _attempt(move, State.REPAIRING, because)


def _exit(move: _Move, because: str, reason: str | None = None) -> None:
    _attempt(move, State.EXITING, because, exit_reason=reason)


def _attempt(move: _Move, state: State, because: str, *, spent: int = 0, exit_reason: str | None = None) -> None:
    """Begin an attempt: its clock, then what is open is cancelled and read back (never sent again), then new orders."""
    due_ms = move.at_ms + move.trade.plan.attempt_ms
    move.change(state, because, spent=spent, due_ms=due_ms, exit_reason=exit_reason)
    move.deeds.append(Arm(move.trade.plan.trade_id, due_ms))
    _cancel(move)
    _read_back(move)
    _pursue(move)


def _halt(move: _Move, because: str) -> None:
    """No more from us: cancel what may rest, tell the operator. Halted stays halted."""
    if move.trade.state is State.HALTED:
        return
    _cancel(move)
    move.change(State.HALTED, because, spent=move.trade.attempts_spent)
    move.deeds.append(Alert(Severity.CRITICAL, halt_text(move.trade, because)))


def _cancel(move: _Move) -> None:
    """Take back what may rest."""
    move.deeds += [Cancel(order.intent.client_id) for order in move.trade.unsettled if not order.ended]


def _read_back(move: _Move) -> None:
    """Ask for every order that may still fill, or whose fills have not all been seen."""
    move.deeds += [Query(order.intent.client_id) for order in move.trade.unsettled]


def _shed(move: _Move, purpose: Purpose, leg: Leg, size_lots: int) -> None:
    """This attempt's reduce-only order on a leg, unless it was sent already: its deadline is the attempt's clock."""
    due_ms = move.trade.due_ms
    orders = [order.intent for order in move.trade.of_leg(leg)]
    if not any(intent.purpose is purpose and intent.deadline_ms == due_ms for intent in orders):
        decision_ticks, limit_ticks = _bound(move, leg)
        move.place(leg, purpose, size_lots, limit_ticks, decision_ticks)


def _bound(move: _Move, leg: Leg) -> tuple[int, int]:
    """The price a reducing order is decided on and its limit, both in ticks: the bound widens with each attempt."""
    side = leg.entry_side.opposite
    reference = _reference(move, leg, side)
    bps = move.trade.plan.bounds_bps[move.trade.attempts_spent]
    if side is Side.BUY:
        return reference, reference * (BPS + bps) // BPS
    return reference, -(-reference * (BPS - bps) // BPS)


def _reference(move: _Move, leg: Leg, side: Side) -> int:
    """The touch an order of `side` takes; without a book the price of the decision to enter, since to reduce is never
    blocked by a missing book."""
    quote = move.quotes.get(leg)
    touch = None if quote is None else (quote.ask_ticks if side is Side.BUY else quote.bid_ticks)
    return move.trade.plan.leg(leg).decision_ticks if touch is None else touch


def _stale(move: _Move, event: DeadlinePassed) -> bool:
    """A clock that was armed for an earlier phase and has been replaced since."""
    return move.trade.due_ms is None or event.at_ms < move.trade.due_ms


_Handler = Callable[[_Move, Any], None]

TABLE: dict[tuple[State, type], _Handler] = {
    (State.PLANNED, Started): _start,
    (State.PLANNED, ExitWanted): _abandon,
    (State.PLANNED, Resumed): _abandon,
    (State.ENTERING, DeadlinePassed): _entry_late,
    (State.ENTERING, ExitWanted): _exit_later,
    (State.ENTERING, Resumed): _resumed,
    (State.HEDGED, DeadlinePassed): _ignore,
    (State.HEDGED, ExitWanted): _exit_now,
    (State.HEDGED, Resumed): _resumed,
    (State.REPAIRING, DeadlinePassed): _next_attempt,
    (State.REPAIRING, ExitWanted): _exit_later,
    (State.REPAIRING, Resumed): _resumed,
    (State.EXITING, DeadlinePassed): _next_attempt,
    (State.EXITING, ExitWanted): _ignore,
    (State.EXITING, Resumed): _resumed,
    (State.HALTED, DeadlinePassed): _ignore,
    (State.HALTED, ExitWanted): _ignore,
    (State.HALTED, Resumed): _remind,
    (State.CLOSED, DeadlinePassed): _ignore,
    (State.CLOSED, ExitWanted): _ignore,
    (State.CLOSED, Resumed): _resumed,
    **{
        (state, event): handler
        for state, handler in {
            State.ENTERING: _pursued,
            State.REPAIRING: _pursued,
            State.EXITING: _pursued,
            State.HEDGED: _hedged,
            State.HALTED: _halted,
            State.CLOSED: _closed,
        }.items()
        for event in (OrderAccepted, OrderRejected, OrderUnknown, Filled, OrderDone)
    },
}
"""Every pair that may happen. What is missing (Started twice, news of orders before the start) cannot."""

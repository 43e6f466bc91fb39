"""The two legs of a trade as one state machine: a pure table (state, event) -> (new state, effects).

`step` decides what an event means; core.interventions do so for what venues and operators do to a trade; core.pursue
holds what each state then works for. A step writes records and its new
Trade is their fold (core.trade), so the journal gives back exactly the Trade that was; it asks for orders, cancels and
read-backs as effects. All Persist effects of a step come first and must be durable before the rest is done, in order.

A trade has one clock (`due_ms`). ENTERING, REPAIRING and EXITING always have it armed, and in the latter two each ring
spends one attempt: so each ends in HEDGED, CLOSED or HALTED within its budget. HALTED is left by the operator alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinleg.core.effects import Effect
from twinleg.core.interventions import adopt, compared, flattened, force_kept, forced, lifted, remind, resolve
from twinleg.core.move import Move, Price, Quote, Quotes
from twinleg.core.orders import (
    ORDERS_PER_LEG_MAX,
    Adopt,
    DeadlinePassed,
    Event,
    ExitWanted,
    ExitWish,
    Filled,
    FlattenNow,
    HaltLifted,
    Leg,
    OrderAccepted,
    OrderDone,
    OrderEvent,
    OrderRejected,
    OrderStatus,
    OrderUnknown,
    PositionForced,
    PositionRead,
    Purpose,
    Resolve,
    Resumed,
    Started,
    State,
    TimeInForce,
)
from twinleg.core.pursue import attempt, pursue
from twinleg.core.trade import Trade, contradiction, news, order_of, worth_holding

__all__ = ["TABLE", "NotInTableError", "Quote", "Quotes", "step"]


class NotInTableError(LookupError):
    """An event that cannot happen in this state: our own mistake, never a venue's. Trading halts."""


def step(trade: Trade, event: Event, quotes: Quotes | None = None) -> tuple[Trade, tuple[Effect, ...]]:
    """What `event` makes of `trade`: the new trade and the effects, every Persist first.

    Events without news (duplicates, late acknowledgements, stale clocks) give the same trade and no effects. Raises
    NotInTableError for what cannot happen in this state.
    """
    handler = TABLE.get((trade.state, type(event)))
    if handler is None:
        raise NotInTableError(f"{type(event).__name__} in {trade.state.name} of trade {trade.plan.trade_id}")
    move = Move(trade, event.at_ms, quotes or {})
    handler(move, event)
    return move.trade, move.effects


# --- entering -------------------------------------------------------------------------------------------------------


def _start(move: Move, _event: Started) -> None:
    """Both legs at once, bounded, each with its planned size; or the one that goes first."""
    plan = move.trade.plan
    move.change(State.ENTERING, "started", due_ms=move.at_ms + (plan.rest_ms or plan.unhedged_ms_max))
    rests = TimeInForce.POST_ONLY if plan.rest_ms else TimeInForce.IOC
    for leg in Leg if plan.first is None else (plan.first,):
        price = Price(plan.leg(leg).limit_ticks, plan.leg(leg).decision_ticks)
        move.place(leg, Purpose.ENTER, plan.lots(leg), price, rests)


def _abandon(move: Move, event: ExitWanted | FlattenNow | Resumed) -> None:
    """Nothing was sent: an intent would be on record. What was adopted just before a crash is put right."""
    if move.trade.flat:
        move.change(State.CLOSED, "never started")
    else:
        attempt(move, State.REPAIRING, f"{type(event).__name__} while adopting")


def _entry_late(move: Move, event: DeadlinePassed) -> None:
    if not _stale(move, event):
        attempt(move, State.REPAIRING, "entry not settled in time")


# --- news of orders -------------------------------------------------------------------------------------------------


def _pursued(move: Move, event: OrderEvent) -> None:
    if _noted(move, event):
        pursue(move)


def _hedged(move: Move, event: OrderEvent) -> None:
    """A fill of an order that was over, or a larger truth about one, opens its fate again."""
    if _noted(move, event) and move.trade.unsettled:
        attempt(move, State.REPAIRING, "late news of an order that was over")


def _closed(move: Move, event: OrderEvent) -> None:
    if _noted(move, event) and move.trade.unsettled:
        attempt(move, State.EXITING, "late news of an order that was over", wish=ExitWish("late news"))


def _halted(move: Move, event: OrderEvent) -> None:
    """Facts are kept, nothing is done."""
    _noted(move, event)


def _noted(move: Move, event: OrderEvent) -> bool:
    """The news of an event goes on record. False when there is none, or when it contradicts what is known: halted."""
    try:
        order = order_of(move.trade, event.client_id)
    except LookupError as error:
        move.halt(str(error))
        return False
    record = news(move.trade, order, event)
    if record is None:
        return False
    move.record(record)
    wrong = contradiction(move.trade)
    if wrong is not None:
        move.halt(wrong)
        return False
    if order_of(move.trade, event.client_id).status is OrderStatus.UNKNOWN:
        move.query(event.client_id)
    return True


# --- wishes to leave, and the clock ---------------------------------------------------------------------------------


def _exit_later(move: Move, event: ExitWanted | FlattenNow) -> None:
    """First the entry or the repair must settle, bounded by its clock; a leg that goes first is called off."""
    trade = move.trade
    wish = _wish(event)
    if trade.state is State.ENTERING and trade.plan.first is not None:
        attempt(move, State.REPAIRING, f"exit wanted: {wish.reason}", wish=wish)
    elif trade.exit_reason is None or (trade.patient and not wish.patient):
        move.wishes(wish)


def _exit_now(move: Move, event: ExitWanted | FlattenNow) -> None:
    """A patient wish given up has cost orders: when few of their numbers are left, it is no longer patient."""
    trade, wish = move.trade, _wish(event)
    if max(len(trade.of_leg(leg)) for leg in Leg) >= ORDERS_PER_LEG_MAX // 2:
        wish = ExitWish(wish.reason)
    attempt(move, State.EXITING, f"exit wanted: {wish.reason}", wish=wish)


def _exit_harder(move: Move, event: ExitWanted | FlattenNow) -> None:
    """It is under way; it may only lose its patience."""
    if move.trade.patient and not _wish(event).patient:
        move.wishes(_wish(event))


def _wish(event: ExitWanted | FlattenNow) -> ExitWish:
    return event.wish if isinstance(event, ExitWanted) else ExitWish(event.reason)


def _next_attempt(move: Move, event: DeadlinePassed) -> None:
    """The clock of a repair or an exit rang: spend an attempt, or give up when none is left. While an order's fate may
    still be proven, nothing could be done but ask again: that spends none."""
    trade = move.trade
    if _stale(move, event):
        return
    doubt_ms = trade.plan.doubt_ms
    if doubt_ms and any(event.at_ms < order.intent.deadline_ms + doubt_ms for order in trade.in_doubt):
        attempt(move, trade.state, "fates are open", spent=trade.attempts_spent)
        return
    spent, wish = trade.attempts_spent + 1, None
    if trade.state is State.EXITING and trade.patient and not trade.unsettled:
        if worth_holding(trade):
            move.change(State.HEDGED, f"too thin to leave ({trade.exit_reason}): held on")
            return
        spent, wish = 0, ExitWish("legs half closed")
    if spent >= len(trade.plan.bounds_bps):
        move.halt(f"{trade.state.value} failed after {spent} attempts")
        return
    attempt(move, trade.state, f"attempt {spent + 1}", spent=spent, wish=wish)


def _stale(move: Move, event: DeadlinePassed) -> bool:
    """A clock that was armed for an earlier phase and has been replaced since."""
    return move.trade.due_ms is None or event.at_ms < move.trade.due_ms


# --- restarts --------------------------------------------------------------------------------------


def _resumed(move: Move, _event: Resumed) -> None:
    """Finish what is unfinished. The crash may have cut the last step's records short anywhere, so that facts are known
    whose consequences are not: every state looks at its facts again."""
    trade = move.trade
    wrong = contradiction(trade)
    if wrong is not None:
        move.halt(wrong)
    elif trade.state is State.ENTERING and trade.supposed and trade.flat:
        # That an order never arrived takes longer to prove than a repair has: it waits, and any fill begins one.
        move.change(State.ENTERING, "armed before the restart, perhaps sent", due_ms=trade.due_ms)
        move.read_back()
    elif trade.state is State.ENTERING:
        attempt(move, State.REPAIRING, "restarted while entering")
    elif trade.state is State.HEDGED and (trade.unsettled or not worth_holding(trade)):
        attempt(move, State.REPAIRING, "restarted with legs unsettled")
    elif trade.state is State.CLOSED and not trade.finished:
        attempt(move, State.EXITING, "restarted with legs unsettled")
    elif trade.state in (State.REPAIRING, State.EXITING):
        attempt(move, trade.state, "restarted", spent=trade.attempts_spent)


def _ignore(_move: Move, _event: Event) -> None:
    """Nothing to do: stale, or already being fulfilled, or the operator's to grant."""


_Handler = Callable[[Move, Any], None]
_ROWS: dict[type, dict[State, _Handler]] = {
    Started: {State.PLANNED: _start},
    Adopt: {State.PLANNED: adopt},
    **{
        news_of_an_order: {
            State.ENTERING: _pursued,
            State.HEDGED: _hedged,
            State.REPAIRING: _pursued,
            State.EXITING: _pursued,
            State.HALTED: _halted,
            State.CLOSED: _closed,
        }
        for news_of_an_order in (OrderAccepted, OrderRejected, OrderUnknown, Filled, OrderDone)
    },
    DeadlinePassed: {
        State.ENTERING: _entry_late,
        State.HEDGED: _ignore,
        State.REPAIRING: _next_attempt,
        State.EXITING: _next_attempt,
        State.HALTED: _ignore,
        State.CLOSED: _ignore,
    },
    Resumed: {
        State.PLANNED: _abandon,
        State.ENTERING: _resumed,
        State.HEDGED: _resumed,
        State.REPAIRING: _resumed,
        State.EXITING: _resumed,
        State.HALTED: remind,
        State.CLOSED: _resumed,
    },
    **{
        wish: {
            State.PLANNED: _abandon,
            State.ENTERING: _exit_later,
            State.HEDGED: _exit_now,
            State.REPAIRING: _exit_later,
            State.EXITING: _exit_harder,
            State.HALTED: in_halt,
            State.CLOSED: _ignore,
        }
        for wish, in_halt in ((ExitWanted, _ignore), (FlattenNow, flattened))
    },
    PositionForced: {
        State.ENTERING: forced,
        State.HEDGED: forced,
        State.REPAIRING: forced,
        State.EXITING: forced,
        State.HALTED: force_kept,
        State.CLOSED: force_kept,
    },
    PositionRead: {
        State.ENTERING: compared,
        State.HEDGED: compared,
        State.REPAIRING: compared,
        State.EXITING: compared,
        State.HALTED: _ignore,
        State.CLOSED: _ignore,
    },
    Resolve: {State.HALTED: resolve},
    HaltLifted: {State.HALTED: lifted},
}
TABLE = {(state, event): handler for event, row in _ROWS.items() for state, handler in row.items()}
"""Every pair that may happen. What is missing (Started twice, a Resolve of what is not halted) cannot."""

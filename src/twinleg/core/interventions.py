"""What others do to a trade: the venue that takes part of a leg or shows another position, and the operator's word.

Handlers of core.hedge's table.
"""

from __future__ import annotations

from twinleg.core.move import Move
from twinleg.core.orders import (
    Adopt,
    ExitWish,
    FlattenNow,
    HaltLifted,
    PositionForced,
    PositionRead,
    Resolve,
    Resumed,
    State,
)
from twinleg.core.pursue import attempt
from twinleg.core.records import ForceSeen, Resolved
from twinleg.core.trade import contradiction, halt_text, worth_holding

# --- positions ------------------------------------------------------------------------------------------------------


def forced(move: Move, event: PositionForced) -> None:
    """The venue took part of a leg: its partner is reduced at once, with all attempts. What still enters is called
    off."""
    if not _force_noted(move, event):
        return
    state = State.EXITING if move.trade.state is State.EXITING else State.REPAIRING
    wish = ExitWish(event.reason) if move.trade.state in (State.ENTERING, State.EXITING) else None
    attempt(move, state, f"{event.leg.value} leg: {event.reason}", wish=wish)


def force_kept(move: Move, event: PositionForced) -> None:
    """In HALTED facts are kept; in CLOSED nothing was left to take: that halts."""
    _force_noted(move, event)


def _force_noted(move: Move, event: PositionForced) -> bool:
    if event.force_id in move.trade.force_ids:
        return False
    move.record(ForceSeen(forced=event, at_ms=event.at_ms))
    wrong = contradiction(move.trade)
    if wrong is not None:
        move.halt(wrong)
    return wrong is None


def compared(move: Move, event: PositionRead) -> None:
    """The venue's read against our fills, while none are on their way. Less than we think may be believed, by policy;
    more is not of this trade."""
    trade = move.trade
    held = trade.held(event.leg)
    if trade.unsettled or event.lots == held:
        return
    if not (trade.plan.believes_reads and 0 <= event.lots < held):
        move.halt(f"{trade.plan.leg(event.leg).venue} shows {event.lots} lots on the {event.leg.value} leg")
        return
    price_ticks = trade.plan.leg(event.leg).decision_ticks  # what was paid is not known
    force_id, reason = f"read-{event.at_ms}", "the venue shows less"
    forced(
        move,
        PositionForced(
            trade_id=event.trade_id,
            leg=event.leg,
            force_id=force_id,
            price_ticks=price_ticks,
            size_lots=held - event.lots,
            fee_micro_usd=0,
            reason=reason,
            at_ms=event.at_ms,
        ),
    )


# --- the operator ---------------------------------------------------------------------------------------------------


def adopt(move: Move, event: Adopt) -> None:
    """What was opened by hand is held from now on, or put right first."""
    _resolve_as(move, event)
    wrong = contradiction(move.trade)
    if wrong is not None:
        move.halt(wrong)
    elif worth_holding(move.trade):
        move.change(State.HEDGED, f"adopted: {event.reason}")
    else:
        attempt(move, State.REPAIRING, f"adopted unequal: {event.reason}")


def remind(move: Move, _event: Resumed) -> None:
    """The operator decides, on fresh facts."""
    move.read_back()
    move.alert(halt_text(move.trade, "still halted after a restart"))


def resolve(move: Move, event: Resolve) -> None:
    """What the operator says is the truth. Closed or equal legs are at rest with it; unequal ones stay halted until the
    operator lets them go on or flattens them."""
    _resolve_as(move, event)
    wrong = contradiction(move.trade)
    if wrong is None and move.trade.flat:
        move.change(State.CLOSED, f"resolved: {event.reason}")
    elif wrong is None and worth_holding(move.trade):
        move.change(State.HEDGED, f"resolved: {event.reason}")
    else:
        move.alert(halt_text(move.trade, wrong or "resolved, its legs unequal"))


def _resolve_as(move: Move, event: Resolve | Adopt) -> None:
    move.record(
        Resolved(trade_id=event.trade_id, long=event.long, short=event.short, reason=event.reason, at_ms=event.at_ms)
    )


def lifted(move: Move, event: HaltLifted) -> None:
    if not _still_wrong(move):
        attempt(move, State.REPAIRING, f"resumed by the operator: {event.reason}")


def flattened(move: Move, event: FlattenNow) -> None:
    if not _still_wrong(move):
        attempt(move, State.EXITING, f"flattened by the operator: {event.reason}", wish=ExitWish(event.reason))


def _still_wrong(move: Move) -> bool:
    """Facts that contradict each other cannot be acted on: they must be resolved first."""
    wrong = contradiction(move.trade)
    if wrong is not None:
        move.alert(halt_text(move.trade, f"{wrong}; resolve it first"))
    return wrong is not None

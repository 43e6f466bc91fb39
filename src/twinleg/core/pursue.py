"""What each state of a trade works for, looked at again after every piece of news.

    ENTERING   both legs fill; with a leg that goes first, the other hedges what filled, as it fills
    REPAIRING  what rests is cancelled and settled; then the missing leg is completed or the filled one unwound
    EXITING    each leg closes what it holds

Every attempt has a clock. Its orders that reduce are bounded around the touch, wider with every attempt.
"""

from __future__ import annotations

from twinleg.core.move import Move, Price
from twinleg.core.orders import ExitWish, Leg, LegPlan, Purpose, Side, State
from twinleg.core.trade import common_lots_ahead, exposed, unhedged_micro_usd, worth_holding

BPS = 10_000
HEDGES_MAX = 12
"""Orders of the second leg while the first one fills bit by bit. Then the rest is cancelled and settled as one."""


def pursue(move: Move) -> None:
    """Do what the state is for, as far as the facts allow."""
    if move.trade.state is State.EXITING:
        _close_out(move)
    else:
        _match_legs(move)


def attempt(move: Move, state: State, because: str, *, spent: int = 0, wish: ExitWish | None = None) -> None:
    """Begin an attempt: its clock, then what is open is cancelled and read back (never sent again), then new orders."""
    move.change(state, because, spent=spent, due_ms=move.at_ms + move.trade.plan.attempt_ms, wish=wish)
    move.cancel()
    move.read_back()
    pursue(move)


def _match_legs(move: Move) -> None:
    """Compare what filled: hold, close, hedge on, or put it right."""
    trade = move.trade
    if trade.state is State.ENTERING and unhedged_micro_usd(trade) > trade.plan.unhedged_notional_max_micro_usd:
        attempt(move, State.REPAIRING, "more unhedged than allowed")
    elif trade.state is State.ENTERING and trade.plan.first is not None and exposed(trade) is not None:
        _hedge(move, trade.plan.first)
    elif trade.unsettled and trade.state is State.ENTERING and trade.supposed and not trade.flat:
        attempt(move, State.REPAIRING, "armed before the restart, and sent")
    elif trade.unsettled:
        _stop_exposure_clock(move)
    else:
        _settled(move)


def _settled(move: Move) -> None:
    """No order is open any more."""
    trade = move.trade
    over = exposed(trade)
    if trade.flat:
        move.change(State.CLOSED, "nothing filled" if trade.state is State.ENTERING else "unwound")
    elif trade.exit_reason is not None:
        attempt(move, State.EXITING, f"exit wanted: {trade.exit_reason}")
    elif over is not None and trade.state is State.ENTERING:
        attempt(move, State.REPAIRING, "legs filled unequally")
    elif over is not None:
        _put_right(move, *over)
    elif worth_holding(trade):
        move.change(State.HEDGED, "legs match")
    else:
        wish = ExitWish("less than one common lot was hedged")
        attempt(move, State.EXITING, "too little filled", wish=wish)


def _hedge(move: Move, first: Leg) -> None:
    """The first leg is ahead: the second takes what is missing, one order at a time, on the clock of the exposure."""
    trade, second = move.trade, first.other
    hedges = trade.of_leg(second)
    _run_exposure_clock(move)
    if hedges and not hedges[-1].settled:
        return
    fell_short = bool(hedges) and hedges[-1].filled_lots < hedges[-1].intent.size_lots
    if fell_short or len(hedges) >= HEDGES_MAX:
        attempt(move, State.REPAIRING, "the hedge did not fill" if fell_short else "hedged as often as allowed")
        return
    _complete(move, second)


def _run_exposure_clock(move: Move) -> None:
    """From the first lot too much the legs have `unhedged_ms_max` to match; the resting time may end before."""
    trade = move.trade
    rests_until_ms = trade.orders[0].intent.deadline_ms
    by_ms = move.at_ms + trade.plan.unhedged_ms_max
    if trade.due_ms == rests_until_ms and by_ms < rests_until_ms:
        move.change(State.ENTERING, "the legs differ", due_ms=by_ms)


def _stop_exposure_clock(move: Move) -> None:
    """The legs match again while the first one may still fill."""
    trade = move.trade
    if trade.state is State.ENTERING and trade.plan.first is not None:
        rests_until_ms = max(trade.orders[0].intent.deadline_ms, move.at_ms)
        if trade.due_ms is not None and trade.due_ms < rests_until_ms:
            move.change(State.ENTERING, "the legs match so far", due_ms=rests_until_ms)


def _ahead(move: Move, leg: Leg) -> int:
    """Whole common lots that `leg` holds more than its partner."""
    return common_lots_ahead(move.trade) * leg.entry_side.sign


def _complete(move: Move, missing: Leg) -> None:
    """Take what the missing leg lacks, never worse than planned."""
    plan = move.trade.plan.leg(missing)
    size_lots = _ahead(move, missing.other) * plan.lots_per_common_lot
    move.place(missing, Purpose.HEDGE, size_lots, Price(plan.limit_ticks, plan.decision_ticks))


def _put_right(move: Move, over: Leg, excess_lots: int) -> None:
    """One leg holds too much and nothing is open: complete its partner or unwind it, whichever should cost less."""
    if _completing_pays(move, over):
        _complete(move, over.other)
    else:
        _shed(move, Purpose.REPAIR, over, excess_lots)


def _completing_pays(move: Move, over: Leg) -> bool:
    """Once per repair, inside the planned price, and only while the trade still is what was planned."""
    trade, missing = move.trade, over.other
    plan = trade.plan.leg(missing)
    touch = move.touch(missing, missing.entry_side)
    if trade.plan.edge_bps is None or trade.adjusted != (0, 0) or trade.attempts_spent:
        return False
    if touch is None or missing.entry_side.sign * (touch - plan.limit_ticks) > 0:
        return False
    if move.placed_in_attempt(missing, Purpose.HEDGE) or move.placed_in_attempt(over, Purpose.REPAIR):
        return False
    out = move.touch(over, over.entry_side.opposite)
    if out is None:
        return True  # what unwinding costs is not known, what completing costs is
    unwound_bps = -_worse_bps(trade.plan.leg(over), over.entry_side.opposite, out)
    unwound_bps -= 2 * trade.plan.leg(over).taker_fee_bps
    return trade.plan.edge_bps - _worse_bps(plan, missing.entry_side, touch) >= unwound_bps


def _worse_bps(plan: LegPlan, side: Side, price_ticks: int) -> float:
    """How much worse than the price of the decision to enter, in bps; negative = better."""
    return side.sign * (price_ticks - plan.decision_ticks) / plan.decision_ticks * BPS


def _close_out(move: Move) -> None:
    """Close what each leg holds, each as soon as its own orders are settled."""
    if not move.trade.unsettled and move.trade.flat:
        move.change(State.CLOSED, "flat")
        return
    for leg in Leg:
        trade = move.trade
        open_here = any(not order.settled for order in trade.of_leg(leg))
        if trade.state is State.EXITING and trade.held(leg) > 0 and not open_here:
            _shed(move, Purpose.EXIT, leg, trade.held(leg))


def _shed(move: Move, purpose: Purpose, leg: Leg, size_lots: int) -> None:
    """This attempt's reduce-only order on a leg, unless it was sent already."""
    if not move.placed_in_attempt(leg, purpose):
        move.place(leg, purpose, size_lots, _bound(move, leg))


def _bound(move: Move, leg: Leg) -> Price:
    """The price of an order that reduces: this attempt's bound around the touch. Without a book around the price of the
    decision to enter, since to reduce is never blocked by a missing book."""
    side = leg.entry_side.opposite
    touch = move.touch(leg, side)
    reference = move.trade.plan.leg(leg).decision_ticks if touch is None else touch
    bps = move.trade.plan.bounds_bps[move.trade.attempts_spent]
    if side is Side.BUY:
        return Price(reference * (BPS + bps) // BPS, reference)
    return Price(-(-reference * (BPS - bps) // BPS), reference)

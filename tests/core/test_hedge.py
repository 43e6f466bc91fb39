"""The state machine of a trade, cell by cell and story by story."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from trade_samples import PLAN, QUOTES, Story, folded, hedged, plan
from twinleg.core.effects import Alert, Arm, Cancel, Persist, Place, Query
from twinleg.core.hedge import TABLE, NotInTableError, Quote, step
from twinleg.core.orders import (
    Adopt,
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
    PositionRead,
    Purpose,
    Resolve,
    Resumed,
    Side,
    Started,
    State,
)
from twinleg.core.records import FillSeen
from twinleg.core.trade import Trade, exposed


def one_of_each_state() -> dict[State, Story]:
    entering = Story().start()
    repairing = Story().start().takes("t1-long-0", 12).takes("t1-short-0", 3)
    exiting = hedged()
    exiting.tell(ExitWanted("t1", "operator", 0))
    closed = Story().start().ends("t1-long-0", 0).ends("t1-short-0", 0)
    halted = Story().start()
    halted.tell(OrderAccepted("t1-long-7", 0))
    stories = [Story(), entering, hedged(), exiting, repairing, halted, closed]
    return {story.trade.state: story for story in stories}


EVENTS: list[Event] = [
    Started("t1", 9_000),
    Resumed("t1", 9_000),
    DeadlinePassed("t1", 9_000),
    ExitWanted("t1", "operator", 9_000),
    OrderAccepted("t1-long-0", 9_000),
    OrderRejected("t1-long-0", "no margin", 9_000),
    OrderUnknown("t1-long-0", "timeout", 9_000),
    Filled("t1-long-0", "f9", 200_000, 1, 7, 9_000),
    OrderDone("t1-long-0", "ioc", 0, 9_000),
    ExitWanted("t1", "target", 9_000, patient=True),
    FlattenNow("t1", "operator", 9_000),
    PositionForced("t1", Leg.SHORT, "adl-1", 4_000, 1, 0, "deleverage", 9_000),
    PositionRead("t1", Leg.SHORT, 1, 9_000),
    Adopt("t1", Holding(12, 200_000), Holding(8, 4_000), "by hand", 9_000),
    Resolve("t1", Holding(0, 200_000), Holding(0, 4_000), "closed by hand", 9_000),
    HaltLifted("t1", "looked", 9_000),
]
IMPOSSIBLE = {
    *((state, event) for state in State if state is not State.PLANNED for event in (Started, Adopt)),
    *((state, event) for state in State if state is not State.HALTED for event in (Resolve, HaltLifted)),
    *((State.PLANNED, event) for event in (DeadlinePassed, OrderAccepted, OrderRejected, PositionForced)),
    *((State.PLANNED, event) for event in (OrderUnknown, Filled, OrderDone, PositionRead)),
}


def test_every_kind_of_event_is_walked() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event)) == {event for _, event in TABLE}


def test_the_samples_reach_every_state() -> None:
    assert set(one_of_each_state()) == set(State)


@pytest.mark.parametrize(("state", "event"), list(product(State, EVENTS)), ids=lambda one: getattr(one, "name", None))
def test_every_cell_is_handled_or_refused(state: State, event: Event) -> None:
    trade = one_of_each_state()[state].trade
    if (state, type(event)) in IMPOSSIBLE:
        assert (state, type(event)) not in TABLE
        with pytest.raises(NotInTableError, match=state.name):
            step(trade, event, QUOTES)
    else:
        after, effects = step(trade, event, QUOTES)
        records = [effect.record for effect in effects if isinstance(effect, Persist)]
        assert folded_on(trade, records) == after
        assert bool(records) == (after != trade)


def folded_on(trade: Trade, records: list) -> Trade:
    story = one_of_each_state()[trade.state]
    return folded(PLAN, [*story.records, *records])


# --- entering ---


def test_both_legs_go_out_at_once_after_their_records() -> None:
    story = Story().start()
    kinds = [type(effect) for effect in story.last]
    assert kinds == [Persist, Persist, Persist, Arm, Place, Place]
    long, short = story.placed
    assert (long.side, long.size_lots, long.limit_ticks, long.reduce_only) == (Side.BUY, 12, 200_400, False)
    assert (short.side, short.size_lots, short.limit_ticks, short.reduce_only) == (Side.SELL, 8, 4_000, False)
    assert (long.client_id, short.client_id) == ("t1-long-0", "t1-short-0")
    assert long.deadline_ms == short.deadline_ms == PLAN.unhedged_ms_max


def test_equal_fills_are_hedged() -> None:
    story = hedged()
    assert story.trade.state is State.HEDGED
    assert story.trade.due_ms is None


def test_nothing_filled_is_closed() -> None:
    story = Story().start().ends("t1-long-0", 0)
    story.tell(OrderRejected("t1-short-0", "post-only mode", 5))
    assert story.trade.state is State.CLOSED


def test_dust_below_a_common_lot_is_carried() -> None:
    story = Story().start().takes("t1-long-0", 10).takes("t1-short-0", 6)
    assert story.trade.state is State.HEDGED
    assert len(story.placed) == 2


@pytest.mark.parametrize(("long_lots", "short_lots"), [(4, 1), (10, 5), (5, 5)])
def test_a_gap_just_below_a_common_lot_is_no_exposure(long_lots: int, short_lots: int) -> None:
    story = Story().start().fills("t1-long-0", long_lots).fills("t1-short-0", short_lots)
    assert exposed(story.trade) is None


def test_one_common_lot_is_worth_holding() -> None:
    assert Story().start().takes("t1-long-0", 3).takes("t1-short-0", 2).trade.state is State.HEDGED


def test_less_than_a_common_lot_is_not_worth_holding() -> None:
    story = Story().start().takes("t1-long-0", 2).takes("t1-short-0", 0 + 1)
    assert story.trade.state is State.EXITING
    assert [intent.size_lots for intent in story.placed[2:]] == [2, 1]


def test_the_end_of_an_order_waits_for_its_fills() -> None:
    story = Story().start().takes("t1-long-0", 12).ends("t1-short-0", 8)
    assert story.trade.state is State.ENTERING
    story.fills("t1-short-0", 5, 3)
    assert story.trade.state is State.HEDGED


def test_a_duplicate_fill_counts_once() -> None:
    story = Story().start().fills("t1-long-0", 5)
    assert story.tell(Filled("t1-long-0", "f0", 200_000, 5, 7, 99)) == ()
    assert story.trade.held(Leg.LONG) == 5


def test_too_much_unhedged_starts_repair_before_the_deadline() -> None:
    small = plan(unhedged_notional_max_micro_usd=1_000_000)
    story = Story(Trade(small)).start().fills("t1-long-0", 5)
    assert story.trade.state is State.ENTERING, "exactly as much as allowed"
    story.fills("t1-long-0", 1)
    assert story.trade.state is State.REPAIRING
    assert Cancel("t1-short-0") in story.last
    assert Query("t1-short-0") in story.last
    assert len(story.placed) == 2, "nothing is unwound while the other leg may still fill"


def test_stop_during_entry_sends_nothing_twice_and_closes_what_filled() -> None:
    story = Story().start().fills("t1-long-0", 12)
    story.tell(ExitWanted("t1", "shutdown", 10))
    assert story.trade.state is State.ENTERING
    story.ends("t1-long-0", 12).takes("t1-short-0", 8)
    assert story.trade.state is State.EXITING
    assert [(one.leg, one.size_lots, one.reduce_only) for one in story.placed[2:]] == [
        (Leg.LONG, 12, True),
        (Leg.SHORT, 8, True),
    ]


# --- repairing ---


@pytest.mark.parametrize(
    ("long_lots", "short_lots", "leg", "excess"),
    [(12, 3, Leg.LONG, 7), (12, 0, Leg.LONG, 12), (0, 8, Leg.SHORT, 8), (4, 8, Leg.SHORT, 5), (12, 6, Leg.LONG, 3)],
)
def test_hedge_fails_then_the_exposed_leg_is_unwound(long_lots: int, short_lots: int, leg: Leg, excess: int) -> None:
    story = Story().start()
    for order, lots in (("t1-long-0", long_lots), ("t1-short-0", short_lots)):
        story = story.takes(order, lots) if lots else story.ends(order, 0)
    assert story.trade.state is State.REPAIRING
    unwind = story.placed[-1]
    assert (unwind.leg, unwind.size_lots, unwind.reduce_only) == (leg, excess, True)
    assert unwind.purpose is Purpose.REPAIR
    assert unwind.side is leg.entry_side.opposite
    story.takes(unwind.client_id, excess)
    assert story.trade.state is (State.CLOSED if 0 in (long_lots, short_lots) else State.HEDGED)


def test_repair_widens_its_bound_and_halts_when_its_budget_ends() -> None:
    story = Story().start().takes("t1-long-0", 12).ends("t1-short-0", 0)
    for attempt in (1, 2, 3):
        story.ends(f"t1-long-{attempt}", 0).later(1_000).tell(DeadlinePassed("t1", story.at_ms))
    limits = [intent.limit_ticks for intent in story.placed[2:]]
    touch = 199_990
    assert limits == [-(-touch * (10_000 - bps) // 10_000) for bps in (10, 50, 200)]
    assert story.trade.state is State.HALTED
    alerts = [effect for effect in story.last if isinstance(effect, Alert)]
    assert "long 12 lots" in alerts[0].text


def test_repair_without_a_book_uses_the_decision_price() -> None:
    story = Story().start().ends("t1-long-0", 0)
    story.fills("t1-short-0", 8).tell(OrderDone("t1-short-0", "ioc", 8, 5), quotes={Leg.SHORT: Quote(4_009, None)})
    unwind = story.placed[-1]
    assert (unwind.side, unwind.decision_price_ticks) == (Side.BUY, 4_010)
    assert unwind.limit_ticks == 4_010 * 10_010 // 10_000


def test_an_unknown_outcome_is_read_back_and_never_sent_again() -> None:
    story = Story().start().takes("t1-long-0", 12)
    assert Query("t1-short-0") in story.tell(OrderUnknown("t1-short-0", "timeout", 50))
    story.later(3_000).tell(DeadlinePassed("t1", 3_000))
    assert story.trade.state is State.REPAIRING
    assert Query("t1-short-0") in story.last
    assert len(story.placed) == 2
    story.takes("t1-short-0", 8)
    assert story.trade.state is State.HEDGED


def test_an_order_whose_fate_stays_unknown_halts() -> None:
    story = Story().start().takes("t1-long-0", 12)
    story.tell(OrderUnknown("t1-short-0", "timeout", 50))
    for _ in range(4):
        story.later(3_000).tell(DeadlinePassed("t1", story.at_ms))
    assert story.trade.state is State.HALTED
    assert len(story.placed) == 2
    assert Cancel("t1-short-0") in story.last, "it may still rest"
    assert "t1-short-0 is unknown" in next(one.text for one in story.last if isinstance(one, Alert))


def test_a_fill_that_races_its_cancel_still_hedges() -> None:
    story = Story().start().takes("t1-long-0", 12)
    story.later(3_000).tell(DeadlinePassed("t1", 3_000))
    assert Cancel("t1-short-0") in story.last
    story.takes("t1-short-0", 8)
    assert story.trade.state is State.HEDGED
    assert len(story.placed) == 2


def test_a_late_fill_after_the_state_moved_on_counts() -> None:
    story = Story().start().takes("t1-long-0", 12).ends("t1-short-0", 0).takes("t1-long-1", 12)
    assert story.trade.state is State.CLOSED
    story.fills("t1-short-0", 8)
    assert story.trade.state is State.EXITING
    assert Query("t1-short-0") in story.last, "the venue had called it over: its word is checked"
    story.ends("t1-short-0", 8)
    assert (story.placed[-1].leg, story.placed[-1].size_lots, story.placed[-1].reduce_only) == (Leg.SHORT, 8, True)
    story.takes("t1-short-1", 8)
    assert story.trade.state is State.CLOSED


def test_a_late_fill_while_hedged_is_repaired() -> None:
    story = Story().start().takes("t1-long-0", 9).takes("t1-short-0", 6)
    assert story.trade.state is State.HEDGED
    story.fills("t1-long-0", 3).ends("t1-long-0", 12)
    assert story.trade.state is State.REPAIRING
    story.takes("t1-long-1", 3)
    assert story.trade.state is State.HEDGED


def test_a_second_end_of_an_order_that_was_over_changes_nothing() -> None:
    story = Story().start().ends("t1-long-0", 0)
    story.tell(OrderRejected("t1-short-0", "no", 5))
    assert story.trade.state is State.CLOSED
    story.ends("t1-short-0", 0)
    assert (story.trade.state, len(story.placed)) == (State.CLOSED, 2)
    story = Story().start().takes("t1-long-0", 9).takes("t1-short-0", 8)
    story.tell(OrderRejected("t1-short-1", "busy", 5))
    story.later(1_000).tell(DeadlinePassed("t1", 1_000))
    story.takes("t1-short-2", 2)
    assert story.trade.state is State.HEDGED
    story.ends("t1-short-1", 0)
    assert (story.trade.state, len(story.placed)) == (State.HEDGED, 4)


def test_a_larger_truth_about_an_order_that_was_over_is_waited_for() -> None:
    story = Story().start().takes("t1-long-0", 9).takes("t1-short-0", 6).ends("t1-long-0", 12)
    assert story.trade.state is State.REPAIRING
    assert Query("t1-long-0") in story.last
    assert Cancel("t1-long-0") not in story.last, "it is over"
    for _ in range(3):
        story.later(1_000).tell(DeadlinePassed("t1", story.at_ms))
    assert story.trade.state is State.HALTED
    assert Cancel("t1-long-0") not in story.last


@pytest.mark.parametrize("first", ["fill", "reject"])
def test_a_rejected_order_that_filled_is_read_back(first: str) -> None:
    story = Story().start().takes("t1-long-0", 12)
    if first == "fill":
        story.fills("t1-short-0", 8).tell(OrderRejected("t1-short-0", "no", 5))
    else:
        story.tell(OrderRejected("t1-short-0", "no", 5))
        story.fills("t1-short-0", 8)
    assert Query("t1-short-0") in story.last
    story.ends("t1-short-0", 8)
    assert story.trade.state in (State.HEDGED, State.REPAIRING)
    assert story.trade.held(Leg.SHORT) == 8


@pytest.mark.parametrize(
    "event",
    [
        Filled("t1-long-0", "f0", 200_000, 13, 7, 5),
        OrderDone("t1-long-0", "filled", 13, 5),
        Filled("t1-long-9", "f0", 200_000, 1, 7, 5),
        OrderDone("t2-long-0", "filled", 1, 5),
    ],
)
def test_facts_that_contradict_halt(event: Event) -> None:
    story = Story().start()
    story.tell(event)
    assert story.trade.state is State.HALTED
    assert any(isinstance(effect, Alert) for effect in story.last)
    assert story.tell(ExitWanted("t1", "operator", 6)) == ()


def test_halted_keeps_counting() -> None:
    story = one_of_each_state()[State.HALTED].fills("t1-long-0", 4)
    assert story.trade.held(Leg.LONG) == 4
    assert story.trade.state is State.HALTED


# --- exiting ---


def test_exit_closes_both_legs_and_retries_the_rest() -> None:
    story = hedged()
    story.tell(ExitWanted("t1", "converged", 10))
    long, short = story.placed[2:]
    assert (long.side, long.size_lots, long.reduce_only, long.purpose) == (Side.SELL, 12, True, Purpose.EXIT)
    assert (short.side, short.size_lots, short.limit_ticks) == (Side.BUY, 8, 4_011 * 10_010 // 10_000)
    story.takes("t1-long-1", 12).takes("t1-short-1", 5)
    assert story.trade.state is State.EXITING
    story.tell(DeadlinePassed("t1", 1_010))
    assert (story.placed[-1].leg, story.placed[-1].size_lots) == (Leg.SHORT, 3)
    assert story.placed[-1].limit_ticks == 4_011 * 10_050 // 10_000
    story.takes("t1-short-2", 3)
    assert story.trade.state is State.CLOSED
    assert story.trade.exit_reason == "converged"


def test_a_stale_clock_does_nothing() -> None:
    story = Story().start().takes("t1-long-0", 12).later(500).ends("t1-short-0", 0)
    assert story.trade.due_ms == 1_500
    assert story.tell(DeadlinePassed("t1", 1_499)) == ()
    story.takes("t1-long-1", 12)
    assert story.tell(DeadlinePassed("t1", 1_500)) == ()


# --- restarting ---


def test_a_restart_with_a_leg_open_asks_before_it_acts() -> None:
    story = Story().start().fills("t1-long-0", 12)
    again = Story(folded(PLAN, story.records))
    assert again.trade == story.trade
    again.tell(Resumed("t1", 60_000))
    assert again.trade.state is State.REPAIRING
    assert {effect.client_id for effect in again.last if isinstance(effect, Query)} == {"t1-long-0", "t1-short-0"}
    assert again.placed == []
    again.ends("t1-long-0", 12).ends("t1-short-0", 0, "never arrived")
    assert [(one.leg, one.size_lots, one.client_id) for one in again.placed] == [(Leg.LONG, 12, "t1-long-1")]


def test_a_restart_spends_no_attempt_and_gains_none() -> None:
    story = Story().start().takes("t1-long-0", 12).ends("t1-short-0", 0)
    story.ends("t1-long-1", 0).later(1_000).tell(DeadlinePassed("t1", 1_000))
    again = Story(folded(PLAN, story.records))
    again.tell(Resumed("t1", 70_000))
    assert (again.trade.attempts_spent, again.trade.due_ms) == (1, 71_000)


def test_a_restart_before_the_start_opens_nothing() -> None:
    story = Story()
    story.tell(Resumed("t1", 5))
    assert story.trade.state is State.CLOSED
    assert story.placed == []


@pytest.mark.parametrize("state", [State.HEDGED, State.CLOSED])
def test_a_crash_between_a_late_fill_and_its_consequence(state: State) -> None:
    story = one_of_each_state()[State.CLOSED]
    late = FillSeen(trade_id="t1", fill=Filled("t1-short-0", "late", 4_000, 1, 7, 5), at_ms=5)
    if state is State.HEDGED:
        story = Story().start().takes("t1-long-0", 9).takes("t1-short-0", 6)
    again = Story(folded(PLAN, [*story.records, late]))
    assert (again.trade.state, again.trade.finished) == (state, False)
    again.tell(Resumed("t1", 60_000))
    assert again.trade.state is (State.REPAIRING if state is State.HEDGED else State.EXITING)
    assert Query("t1-short-0") in again.last


def test_a_crash_between_a_contradiction_and_its_halt() -> None:
    story = Story().start()
    excess = FillSeen(trade_id="t1", fill=Filled("t1-long-0", "f", 200_000, 13, 7, 5), at_ms=5)
    again = Story(folded(PLAN, [*story.records, excess]))
    again.tell(Resumed("t1", 60_000))
    assert again.trade.state is State.HALTED


def test_a_restart_leaves_what_is_at_rest_alone() -> None:
    for state in (State.HEDGED, State.CLOSED):
        assert one_of_each_state()[state].tell(Resumed("t1", 60_000)) == ()


def test_a_restart_while_halted_reminds_and_reads_back() -> None:
    effects = one_of_each_state()[State.HALTED].tell(Resumed("t1", 60_000))
    assert [type(effect) for effect in effects] == [Query, Query, Alert]


def test_an_accepted_order_ends_unknown_only_by_a_read_back() -> None:
    story = Story().start()
    story.tell(OrderUnknown("t1-long-0", "timeout", 1))
    story.tell(OrderAccepted("t1-long-0", 2))
    assert story.trade.orders[0].status is OrderStatus.ACCEPTED
    assert story.tell(OrderUnknown("t1-long-0", "late timeout", 3)) == ()


def test_an_open_fate_that_may_still_be_proven_spends_no_attempt() -> None:
    """A venue that needs half a minute to prove that an order never came must not halt a trade with three attempts."""
    story = Story(Trade(plan(doubt_ms=45_000))).start().takes("t1-long-0", 12, price_ticks=200_000)
    story.tell(OrderUnknown("t1-short-0", "no answer", 5))
    rings = 0
    while story.trade.due_ms is not None and story.trade.due_ms < 3_000 + 45_000:
        story.tell(DeadlinePassed("t1", story.trade.due_ms))
        assert (story.trade.state, story.trade.attempts_spent) == (State.REPAIRING, 0)
        assert Query("t1-short-0") in story.last, "asked again"
        rings += 1
    assert rings > len(PLAN.bounds_bps)
    story.ends("t1-short-0", 0, "never arrived")
    assert story.placed[-1].purpose is Purpose.REPAIR, "and then it is put right"

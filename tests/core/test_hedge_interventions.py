"""What venues and operators do to a trade: forced positions, reads that disagree, and the operator's word."""

from __future__ import annotations

import pytest

from trade_samples import PLAN, Story, folded, hedged, plan
from twinleg.core import interventions
from twinleg.core.effects import Alert, Cancel, Query
from twinleg.core.hedge import TABLE
from twinleg.core.ledger import Ledger
from twinleg.core.orders import (
    ORDERS_PER_LEG_MAX,
    Adopt,
    DeadlinePassed,
    ExitWanted,
    FlattenNow,
    HaltLifted,
    Holding,
    Leg,
    OrderStatus,
    OrderUnknown,
    PositionForced,
    PositionRead,
    Purpose,
    Resolve,
    Resumed,
    State,
)
from twinleg.core.records import Resolved, TradePlanned
from twinleg.core.trade import Trade
from twinleg.core.trading import ATTEMPTS_MAX

NOTHING = Holding(0, 200_000), Holding(0, 4_000)


def forced(lots: int, leg: Leg = Leg.SHORT, force_id: str = "l1") -> PositionForced:
    return PositionForced("t1", leg, force_id, 4_200, lots, 9, "liquidation", 10)


def halted() -> Story:
    """Long 12, the short order's fate unknown for too long."""
    story = Story().start().takes("t1-long-0", 12)
    story.tell(OrderUnknown("t1-short-0", "timeout", 50))
    for _ in range(4):
        story.later(3_000).tell(DeadlinePassed("t1", story.at_ms))
    assert story.trade.state is State.HALTED
    return story


def ledger_of(story: Story) -> Ledger:
    return Ledger([TradePlanned(plan=story.trade.plan, terms={}, at_ms=0), *story.records])


# --- positions ---


def test_one_leg_liquidated_then_the_partner_is_closed_at_once() -> None:
    story = hedged()
    story.tell(forced(8))
    last = story.placed[-1]
    assert (story.trade.state, last.leg, last.size_lots, last.reduce_only) == (State.REPAIRING, Leg.LONG, 12, True)
    story.takes(last.client_id, 12, price_ticks=199_990)
    assert story.trade.state is State.CLOSED
    money = ledger_of(story).trades["t1"]
    assert (money.short.held_lots, money.short.fees_micro_usd) == (0, 7 + 9)
    assert money.short.reduced_ticklots == 8 * 4_200


def test_a_leg_deleveraged_in_part_has_its_partner_reduced_and_the_rest_held() -> None:
    story = hedged()
    story.tell(forced(4))
    assert story.placed[-1].size_lots == 6
    story.takes("t1-long-1", 6)
    assert (story.trade.state, story.trade.held(Leg.LONG), story.trade.held(Leg.SHORT)) == (State.HEDGED, 6, 4)


def test_a_liquidation_is_never_completed_anew() -> None:
    story = Story(Trade(plan(edge_bps=1_000.0))).start().takes("t1-long-0", 12, price_ticks=200_000)
    story.takes("t1-short-0", 8).tell(forced(8))
    assert story.placed[-1].purpose is Purpose.REPAIR


def test_a_liquidation_told_twice_counts_once() -> None:
    story = hedged()
    story.tell(forced(4))
    assert story.tell(forced(4)) == ()


def test_a_liquidation_during_a_patient_exit_ends_all_patience() -> None:
    story = hedged()
    story.tell(ExitWanted("t1", "target", 5, patient=True))
    story.tell(forced(8))
    assert (story.trade.state, story.trade.patient) == (State.EXITING, False)
    story.ends("t1-long-1", 0).ends("t1-short-1", 0).later(1_010).tell(DeadlinePassed("t1", 1_010))
    assert (story.placed[-1].leg, story.placed[-1].size_lots) == (Leg.LONG, 12)


def test_a_liquidation_told_before_the_fills_it_follows() -> None:
    story = Story().start().fills("t1-long-0", 12)
    story.tell(forced(8))
    assert story.trade.state is State.REPAIRING
    story.takes("t1-short-0", 8).ends("t1-long-0", 12)
    assert (story.trade.state, story.placed[-1].leg, story.placed[-1].size_lots) == (State.EXITING, Leg.LONG, 12)


@pytest.mark.parametrize("lots", [1, 9])
def test_what_is_forced_beyond_what_is_held_halts(lots: int) -> None:
    story = Story().start().ends("t1-long-0", 0).ends("t1-short-0", 0) if lots == 1 else hedged()
    story.tell(forced(lots))
    assert story.trade.state is State.HALTED
    assert any(isinstance(one, Alert) for one in story.last)


def test_a_read_that_agrees_says_nothing() -> None:
    assert hedged().tell(PositionRead("t1", Leg.SHORT, 8, 10)) == ()


@pytest.mark.parametrize(
    ("believes", "lots", "state"), [(False, 4, "halted"), (True, 4, "repairing"), (True, 9, "halted")]
)
def test_a_read_that_disagrees_repairs_or_halts_by_policy(believes: bool, lots: int, state: str) -> None:
    story = Story(Trade(plan(believes_reads=believes))).start().takes("t1-long-0", 12).takes("t1-short-0", 8)
    story.tell(PositionRead("t1", Leg.SHORT, lots, 10))
    assert story.trade.state.value == state
    if state == "repairing":
        assert (story.placed[-1].leg, story.placed[-1].size_lots) == (Leg.LONG, 6)
    else:
        assert f"two shows {lots} lots" in next(one.text for one in story.last if isinstance(one, Alert))


def test_a_read_while_fills_are_on_their_way_says_nothing() -> None:
    assert Story().start().tell(PositionRead("t1", Leg.SHORT, 3, 10)) == ()


# --- patience ---


def patient(**changes: object) -> Story:
    story = Story(Trade(plan(**changes))).start().takes("t1-long-0", 12).takes("t1-short-0", 8)
    story.tell(ExitWanted("t1", "target", 0, patient=True))
    assert story.trade.state is State.EXITING
    return story


def test_a_patient_exit_that_finds_no_takers_is_given_up() -> None:
    story = patient().ends("t1-long-1", 0).ends("t1-short-1", 0)
    story.later(1_000).tell(DeadlinePassed("t1", 1_000))
    assert (story.trade.state, story.trade.exit_reason, story.trade.due_ms) == (State.HEDGED, None, None)
    assert not any(isinstance(one, Alert) for one in story.effects)
    story.tell(ExitWanted("t1", "target again", 1_500, patient=True))
    assert (story.trade.state, story.trade.exit_reason) == (State.EXITING, "target again")


def test_a_patient_exit_that_closed_one_leg_goes_on_with_all_attempts() -> None:
    story = patient().takes("t1-long-1", 12).ends("t1-short-1", 0)
    for attempt in range(3):
        story.later(1_000).tell(DeadlinePassed("t1", story.at_ms))
        assert (story.trade.state, story.trade.patient, story.trade.attempts_spent) == (State.EXITING, False, attempt)
        story.ends(f"t1-short-{attempt + 2}", 0)
    story.later(1_000).tell(DeadlinePassed("t1", story.at_ms))
    assert story.trade.state is State.HALTED


def test_a_patient_exit_with_open_fates_is_no_longer_a_matter_of_patience() -> None:
    story = patient().ends("t1-long-1", 0)
    story.later(1_000).tell(DeadlinePassed("t1", 1_000))
    assert (story.trade.state, story.trade.patient) == (State.EXITING, True)
    assert Query("t1-short-1") in story.last
    for _ in range(2):
        story.later(1_000).tell(DeadlinePassed("t1", story.at_ms))
    assert story.trade.state is State.HALTED


@pytest.mark.parametrize("event", [ExitWanted("t1", "stop-loss", 5), FlattenNow("t1", "stop-loss", 5)])
def test_a_forced_wish_ends_patience(event: ExitWanted | FlattenNow) -> None:
    story = patient()
    story.tell(event)
    assert (story.trade.patient, story.trade.exit_reason) == (False, "target")
    story.ends("t1-long-1", 0).ends("t1-short-1", 0).later(1_000).tell(DeadlinePassed("t1", 1_000))
    assert story.trade.state is State.EXITING
    assert [one.size_lots for one in story.placed[-2:]] == [12, 8]


def test_a_patient_wish_never_makes_a_forced_exit_patient() -> None:
    story = hedged()
    story.tell(ExitWanted("t1", "stop-loss", 0))
    assert story.tell(ExitWanted("t1", "target", 1, patient=True)) == ()


def test_patience_and_order_numbers_end() -> None:
    story = hedged()
    for number in range(1, ORDERS_PER_LEG_MAX // 2):
        story.tell(ExitWanted("t1", "target", story.at_ms, patient=True))
        story.ends(f"t1-long-{number}", 0).ends(f"t1-short-{number}", 0)
        story.later(1_000).tell(DeadlinePassed("t1", story.at_ms))
        assert story.trade.state is State.HEDGED
    story.tell(ExitWanted("t1", "target", story.at_ms, patient=True))
    assert (story.trade.state, story.trade.patient) == (State.EXITING, False)


def test_a_leg_without_order_numbers_halts() -> None:
    story = hedged()
    for number in range(1, ORDERS_PER_LEG_MAX):
        story.at_ms += 2_000
        story.tell(ExitWanted("t1", "x", story.at_ms) if number == 1 else Resumed("t1", story.at_ms))
        story.ends(f"t1-long-{number}", 0).ends(f"t1-short-{number}", 0)
    assert story.trade.state is State.EXITING
    story.later(1).tell(Resumed("t1", story.at_ms))
    assert story.trade.state is State.HALTED
    assert "may have no more" in next(one.text for one in story.last if isinstance(one, Alert))


def test_venues_that_number_orders_have_as_many() -> None:
    assert ORDERS_PER_LEG_MAX == ATTEMPTS_MAX


# --- the operator ---


def test_only_the_operator_leads_out_of_a_halt() -> None:
    leading_out = {interventions.resolve, interventions.lifted, interventions.flattened}
    assert {event for (state, event), handler in TABLE.items() if handler in leading_out} == {
        Resolve,
        HaltLifted,
        FlattenNow,
    }
    for event in (Resumed("t1", 60_000), ExitWanted("t1", "stop-loss", 60_000), DeadlinePassed("t1", 60_000)):
        story = halted()
        story.tell(event)
        assert story.trade.state is State.HALTED


def test_resolved_as_closed() -> None:
    story = halted()
    story.tell(Resolve("t1", *NOTHING, "closed both by hand", 20_000))
    assert (story.trade.state, story.trade.flat, story.trade.unsettled) == (State.CLOSED, True, [])
    assert [one.reason for one in story.records if isinstance(one, Resolved)] == ["closed both by hand"]
    assert folded(PLAN, story.records) == story.trade
    ledger = ledger_of(story)
    assert ledger.open_trades() == []
    assert ledger.positions() == {}


def test_resolved_as_hedged_and_later_news_counts_no_more() -> None:
    story = halted()
    story.tell(Resolve("t1", Holding(12, 200_000), Holding(8, 4_005), "it had filled", 20_000))
    assert story.trade.state is State.HEDGED
    assert story.trade.orders[1].status is OrderStatus.RESOLVED
    assert story.trade.held(Leg.SHORT) == 8
    story.fills("t1-short-0", 8).ends("t1-short-0", 8)
    assert (story.trade.state, story.trade.held(Leg.SHORT)) == (State.HEDGED, 8)
    assert ledger_of(story).trades["t1"].short.entered_ticklots == 8 * 4_005
    story.tell(ExitWanted("t1", "operator", 21_000))
    assert [one.size_lots for one in story.placed[-2:]] == [12, 8]


def test_resolved_unequal_stays_halted_until_the_operator_says_how_it_goes_on() -> None:
    story = halted()
    story.tell(Resolve("t1", Holding(12, 200_000), NOTHING[1], "it had not", 20_000))
    assert story.trade.state is State.HALTED
    assert "resolved, its legs unequal" in next(one.text for one in story.last if isinstance(one, Alert))
    story.later(8_000).tell(HaltLifted("t1", "unwind it", story.at_ms))
    assert (story.trade.state, story.placed[-1].leg, story.placed[-1].size_lots) == (State.REPAIRING, Leg.LONG, 12)
    assert story.records[-2].because == "resumed by the operator: unwind it"  # type: ignore[union-attr]


def test_resolved_beyond_the_plan_stays_halted() -> None:
    story = halted()
    story.tell(Resolve("t1", Holding(13, 200_000), Holding(8, 4_000), "odd", 20_000))
    assert story.trade.state is State.HALTED
    story.tell(HaltLifted("t1", "go", 20_001))
    story.tell(FlattenNow("t1", "go", 20_001))
    assert story.trade.state is State.HALTED
    assert "resolve it first" in next(one.text for one in story.last if isinstance(one, Alert))


def test_an_order_that_overfilled_is_resolved() -> None:
    story = Story().start().takes("t1-long-0", 12).fills("t1-short-0", 9)
    assert story.trade.state is State.HALTED
    story.tell(HaltLifted("t1", "go", 1))
    assert story.trade.state is State.HALTED
    story.tell(Resolve("t1", Holding(12, 200_000), Holding(8, 4_000), "the venue busted one lot", 2))
    assert story.trade.state is State.HEDGED


def test_a_lifted_halt_reads_back_first_and_has_all_its_attempts() -> None:
    story = halted()
    story.tell(HaltLifted("t1", "the venue is back", 30_000))
    assert (story.trade.state, story.trade.attempts_spent, story.trade.due_ms) == (State.REPAIRING, 0, 31_000)
    assert [one for one in story.last if isinstance(one, Cancel | Query)] == [Cancel("t1-short-0"), Query("t1-short-0")]
    assert len(story.placed) == 2
    story.takes("t1-short-0", 8)
    assert story.trade.state is State.HEDGED


def test_a_halted_trade_is_flattened_leg_by_leg_as_its_orders_settle() -> None:
    story = halted()
    story.tell(FlattenNow("t1", "enough", 30_000))
    assert [(one.leg, one.size_lots, one.reduce_only) for one in story.placed[2:]] == [(Leg.LONG, 12, True)]
    story.takes("t1-short-0", 8)
    assert (story.placed[-1].leg, story.placed[-1].size_lots) == (Leg.SHORT, 8)
    story.takes("t1-long-1", 12).takes("t1-short-1", 8)
    assert (story.trade.state, story.trade.exit_reason) == (State.CLOSED, "enough")


@pytest.mark.parametrize(("short_lots", "state"), [(8, State.HEDGED), (4, State.REPAIRING), (9, State.HALTED)])
def test_positions_opened_by_hand_are_adopted(short_lots: int, state: State) -> None:
    story = Story()
    story.tell(Adopt("t1", Holding(12, 199_000), Holding(short_lots, 4_020), "opened by hand", 5))
    assert story.trade.state is state
    money = ledger_of(story).trades["t1"]
    assert (money.long.entered_ticklots, money.short.held_lots) == (12 * 199_000, short_lots)
    if state is State.REPAIRING:
        assert (story.placed[-1].leg, story.placed[-1].size_lots) == (Leg.LONG, 6)


def test_a_crash_while_adopting_loses_nothing() -> None:
    story = Story()
    story.tell(Adopt("t1", Holding(12, 199_000), Holding(8, 4_020), "opened by hand", 5))
    again = Story(folded(PLAN, story.records[:1]))
    again.tell(Resumed("t1", 60_000))
    assert again.trade.state is State.HEDGED


def test_a_holding_below_nothing_is_refused() -> None:
    for lots, price in ((-1, 5), (1, 0)):
        with pytest.raises(ValueError, match="nothing or more"):
            Holding(lots, price)

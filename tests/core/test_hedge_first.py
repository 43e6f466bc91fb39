"""One leg goes first: the other hedges what filled, as it fills, and the rest is called off in time."""

from __future__ import annotations

import msgspec
import pytest

from trade_samples import QUOTES, Story, plan
from twinleg.core.effects import Alert, Arm, Cancel, Place, Query
from twinleg.core.move import Quote
from twinleg.core.orders import (
    DeadlinePassed,
    ExitWanted,
    Leg,
    OrderRejected,
    OrderUnknown,
    PositionForced,
    Purpose,
    State,
    TimeInForce,
    TradePlan,
)
from twinleg.core.pursue import HEDGES_MAX
from twinleg.core.trade import Trade

MAKER = plan(first=Leg.LONG, rest_ms=10_000)


def started(trade_plan: TradePlan = MAKER) -> Story:
    return Story(Trade(trade_plan)).start()


def rings(story: Story, at_ms: int) -> Story:
    story.at_ms = at_ms
    story.tell(DeadlinePassed("t1", at_ms))
    return story


@pytest.mark.parametrize(
    ("rest_ms", "rests", "due_ms"), [(10_000, TimeInForce.POST_ONLY, 10_000), (0, TimeInForce.IOC, 3_000)]
)
def test_the_first_leg_goes_alone(rest_ms: int, rests: TimeInForce, due_ms: int) -> None:
    story = started(plan(first=Leg.SHORT, rest_ms=rest_ms))
    (only,) = story.placed
    assert (only.leg, only.size_lots, only.time_in_force, only.deadline_ms) == (Leg.SHORT, 8, rests, due_ms)
    assert story.trade.due_ms == due_ms


def test_partial_fills_are_hedged_as_they_come_in_whole_common_lots() -> None:
    story = started().fills("t1-long-0", 2)
    assert len(story.placed) == 1, "less than one common lot"
    story.fills("t1-long-0", 2)
    assert [(one.leg, one.purpose, one.size_lots) for one in story.placed[1:]] == [(Leg.SHORT, Purpose.HEDGE, 2)]
    assert (story.placed[1].limit_ticks, story.placed[1].reduce_only) == (4_000, False)
    story.fills("t1-long-0", 8)
    assert len(story.placed) == 2, "one order at a time on a leg"
    story.takes("t1-short-0", 2)
    assert story.placed[2].size_lots == 6
    story.takes("t1-short-1", 6).ends("t1-long-0", 12)
    assert story.trade.state is State.HEDGED


def test_the_exposure_has_a_clock_of_its_own() -> None:
    story = started().later(500).fills("t1-long-0", 3)
    assert story.trade.due_ms == 3_500
    assert Arm("t1", 3_500) in story.last
    story.later(1_000).fills("t1-long-0", 3)
    assert story.trade.due_ms == 3_500, "from the first lot too much"
    story.takes("t1-short-0", 2).takes("t1-short-1", 2)
    assert (story.trade.due_ms, story.trade.state) == (10_000, State.ENTERING), "matched: it may rest on"
    story.later(8_000).fills("t1-long-0", 3)
    assert story.trade.due_ms == 10_000, "the resting time does not grow"


def test_when_the_resting_time_ends_what_rests_is_cancelled_and_the_rest_held() -> None:
    story = rings(started().fills("t1-long-0", 6).takes("t1-short-0", 4), 10_000)
    assert story.trade.state is State.REPAIRING
    assert [type(one) for one in story.last if isinstance(one, Cancel | Query)] == [Cancel, Query]
    story.ends("t1-long-0", 6)
    assert story.trade.state is State.HEDGED


def test_nothing_filled_while_it_rested() -> None:
    story = rings(started(), 10_000).ends("t1-long-0", 0)
    assert (story.trade.state, len(story.placed)) == (State.CLOSED, 1)


def test_a_fill_that_races_the_cancel_is_put_right() -> None:
    story = rings(started(plan(first=Leg.LONG, rest_ms=10_000, edge_bps=10.0)), 10_000)
    story.takes("t1-long-0", 9)
    assert [(one.leg, one.purpose, one.size_lots) for one in story.placed[1:]] == [(Leg.SHORT, Purpose.HEDGE, 6)]
    story.takes("t1-short-0", 6)
    assert story.trade.state is State.HEDGED


@pytest.mark.parametrize("filled", [0, 1, 2])
def test_a_hedge_that_falls_short_calls_the_first_leg_off(filled: int) -> None:
    story = started().fills("t1-long-0", 6)
    story = story.takes("t1-short-0", filled) if filled else story.ends("t1-short-0", 0)
    assert story.trade.state is State.REPAIRING
    assert Cancel("t1-long-0") in story.last
    story.ends("t1-long-0", 6)
    assert (story.placed[-1].leg, story.placed[-1].purpose) == (Leg.LONG, Purpose.REPAIR)


def test_a_hedge_of_unknown_fate_is_read_back_and_the_clock_runs() -> None:
    story = started().fills("t1-long-0", 6)
    assert Query("t1-short-0") in story.tell(OrderUnknown("t1-short-0", "timeout", 0))
    story.fills("t1-long-0", 3)
    assert len(story.placed) == 2
    assert rings(story, 3_000).trade.state is State.REPAIRING


def test_too_much_at_once_is_called_off() -> None:
    story = started(plan(first=Leg.LONG, rest_ms=10_000, unhedged_notional_max_micro_usd=1)).fills("t1-long-0", 3)
    assert story.trade.state is State.REPAIRING


def test_hedges_are_bounded() -> None:
    many = started(plan(first=Leg.LONG, rest_ms=10_000, common_lots=40))
    for number in range(HEDGES_MAX):
        many.fills("t1-long-0", 3).takes(f"t1-short-{number}", 2)
    assert many.trade.state is State.ENTERING
    many.fills("t1-long-0", 3)
    assert many.trade.state is State.REPAIRING
    assert Cancel("t1-long-0") in many.last


def test_an_exit_calls_a_resting_leg_off_at_once() -> None:
    story = started().fills("t1-long-0", 6)
    story.tell(ExitWanted("t1", "shutdown", 1))
    assert (story.trade.state, Cancel("t1-long-0") in story.last) == (State.REPAIRING, True)
    story.ends("t1-long-0", 6).takes("t1-short-0", 4)
    assert story.trade.state is State.EXITING
    assert [(one.leg, one.reduce_only) for one in story.placed[2:]] == [(Leg.LONG, True), (Leg.SHORT, True)]


def test_a_first_leg_taken_away_while_it_enters_ends_the_trade() -> None:
    story = started().fills("t1-long-0", 6)
    story.tell(PositionForced("t1", Leg.LONG, "l1", 190_000, 6, 5, "liquidation", 1))
    assert story.trade.state is State.REPAIRING
    story.takes("t1-short-0", 4).ends("t1-long-0", 6)
    assert (story.trade.state, story.placed[-1].leg, story.placed[-1].size_lots) == (State.EXITING, Leg.SHORT, 4)


# --- complete or unwind ---


def repair(edge_bps: float | None, quotes: dict[Leg, Quote], fee_bps: float = 0.0) -> Story:
    """The long leg filled, the short one was refused: what is done about it?"""
    long = msgspec.structs.replace(plan().long, taker_fee_bps=fee_bps)
    story = Story(Trade(plan(edge_bps=edge_bps, long=long))).start().takes("t1-long-0", 12)
    story.tell(OrderRejected("t1-short-0", "busy", 0), quotes)
    return story


@pytest.mark.parametrize(
    ("edge_bps", "fee_bps", "short_bid", "completes"),
    [
        (None, 0.0, 4_010, False),  # what the trade is worth is not known
        (10.0, 0.0, 4_009, True),
        (100.0, 0.0, 4_000, True),
        (100.0, 0.0, 3_999, False),  # beyond the planned limit
        (10.0, 0.0, None, False),  # nothing to take
        (-5.0, 0.0, 4_010, False),
        (-5.0, 2.4, 4_010, True),  # 5.3 bps to get out again
        (-5.3, 2.4, 4_010, True),
        (-5.4, 2.4, 4_010, False),
        (2.0, 0.0, 4_009, True),  # 2.494 bps worse than planned, unwinding costs 0.5
        (1.9, 0.0, 4_009, False),
    ],
)
def test_the_missing_leg_is_completed_when_that_should_cost_less(
    edge_bps: float | None, fee_bps: float, short_bid: int | None, completes: bool
) -> None:
    story = repair(edge_bps, {Leg.LONG: QUOTES[Leg.LONG], Leg.SHORT: Quote(short_bid, 4_011)}, fee_bps)
    last = story.placed[-1]
    assert (last.leg, last.purpose) == ((Leg.SHORT, Purpose.HEDGE) if completes else (Leg.LONG, Purpose.REPAIR))
    assert not completes or (last.size_lots, last.limit_ticks) == (8, 4_000)


def test_without_a_way_out_in_sight_the_missing_leg_is_completed() -> None:
    story = repair(-50.0, {Leg.SHORT: QUOTES[Leg.SHORT]})
    assert story.placed[-1].purpose is Purpose.HEDGE


def test_what_completing_did_not_get_is_unwound_in_the_same_attempt() -> None:
    story = repair(10.0, dict(QUOTES)).takes("t1-short-1", 4)
    last = story.placed[-1]
    assert (last.leg, last.purpose, last.size_lots, last.deadline_ms) == (Leg.LONG, Purpose.REPAIR, 6, 1_000)
    story.takes("t1-long-1", 6)
    assert story.trade.state is State.HEDGED


def test_completing_is_tried_once() -> None:
    story = repair(10.0, dict(QUOTES)).ends("t1-short-1", 0).ends("t1-long-1", 0)
    rings(story, 1_000)
    assert (story.placed[-1].leg, story.placed[-1].purpose) == (Leg.LONG, Purpose.REPAIR)
    assert not any(isinstance(one, Alert) for one in story.effects)
    assert sum(isinstance(one, Place) for one in story.effects) == 5

"""What is armed is never sent beyond what is approved; what a journal says of it is the same trade wherever it ends."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_samples import BOOK_ONE, BOOK_TWO, NOW_MS, NOW_NS, ONE, TWO, limits, market, pair
from soak import examples
from trade_samples import QUOTES, folded, plan
from twinleg.core.arming import arm, astray, entering, in_reach, taken_up, wrong_guess
from twinleg.core.edge import Opportunity, evaluate, prepare
from twinleg.core.effects import Persist, Place, Query
from twinleg.core.entry import Mode
from twinleg.core.guard import Approved, Exposure, approve
from twinleg.core.hedge import step
from twinleg.core.ledger import Ledger, LedgerError
from twinleg.core.messages import Refusal
from twinleg.core.orders import DeadlinePassed, Filled, Leg, OrderDone, OrderStatus, Resumed, State
from twinleg.core.pairs import Pair, gates
from twinleg.core.planning import plan_trade, terms_of
from twinleg.core.records import (
    Armed,
    FillSeen,
    JournalRecord,
    OutcomeSeen,
    StateChanged,
    TradePlanned,
    Voided,
    decode,
    encode,
)
from twinleg.core.story import story
from twinleg.core.trade import PROOF_MS, Trade

LIMITS = limits(max_order_size_usd=200.0, aggressive_execution_spread_bps=5.0)
PLENTY = Exposure(
    gross_usd=0.0,
    by_venue_usd={"one": 0.0, "two": 0.0},
    equity_usd={"one": 10_000.0, "two": 10_000.0},
    available_usd={"one": 10_000.0, "two": 10_000.0},
    open_assets=frozenset(),
    open_trades=0,
)
PLAN = plan(trade_id="T000007")
ARMED = arm(PLAN, 1, 1_000, 11_000)
PLANNED = TradePlanned(plan=taken_up(ARMED, PLAN), terms={"net_bps": 6.0}, at_ms=4_000)
LONG, SHORT = "T000007-long-0", "T000007-short-0"


class Numbers(msgspec.Struct):
    """The budgets of a plan."""

    order_timeout_seconds: float = 300.0
    unhedged_ms_max: int = 3_000
    unhedged_notional_max_usd: float = 250.0
    flatten_slippage_bps_max: float = 200.0
    max_retry_attempts: int = 3


def looked(ask_moves: int = 0, bid_moves: int = 0) -> tuple[Pair, Opportunity]:
    """The pair with the long leg's asks and the short leg's bids moved by so many ticks."""
    made = pair(LIMITS, one=market(ONE, post_only=False), two=market(TWO, post_only=False))
    moved = (BOOK_ONE[0], [(price + ask_moves, lots) for price, lots in BOOK_ONE[1]])
    made.long.book.snapshot(*moved, NOW_MS, NOW_NS)
    made.short.book.snapshot([(price + bid_moves, lots) for price, lots in BOOK_TWO[0]], BOOK_TWO[1], NOW_MS, NOW_NS)
    prepare(made, NOW_MS)
    found = evaluate(made, NOW_MS, gates(made, NOW_NS, {}))
    assert found is not None
    return made, found


@cache
def near() -> tuple[Pair, Opportunity]:
    """A pair whose edge is within reach and below MIN_EXECUTION."""
    return next(
        (made, found)
        for made, found in (looked(ask_moves=moves) for moves in range(20))
        if found.refusals and in_reach(found, LIMITS)
    )


def leave(found: Opportunity) -> Approved:
    given = approve(msgspec.structs.replace(found, refusals=()), PLENTY, LIMITS)
    assert isinstance(given, Approved), given
    return given


def armed() -> Armed:
    made, found = near()
    return arm(plan_trade("T000007", leave(found), made, Numbers()), found.least_common_lots, NOW_MS, NOW_MS + 10_000)


# -- what is armed ----------------------------------------------------------------------------------------------------


def test_only_a_little_edge_may_be_missing() -> None:
    _, found = near()
    assert [one.code for one in found.refusals] == ["edge"]
    other = msgspec.structs.replace(found, refusals=(*found.refusals, Refusal("book_stale", "x")))
    assert not in_reach(other, LIMITS)
    assert not in_reach(msgspec.structs.replace(found, mode=Mode.MAKER_FIRST, first=Leg.LONG), LIMITS)
    assert not in_reach(msgspec.structs.replace(found, net_bps=3.4), LIMITS)
    assert not in_reach(msgspec.structs.replace(found, net_bps=4.9), limits(min_viable_spread_bps=4.95))


def test_what_is_armed_is_smaller_and_tighter_than_what_would_be_approved() -> None:
    _, found = near()
    record, given = armed(), leave(found)
    assert found.least_common_lots <= record.plan.common_lots < given.common_lots
    assert found.decision_ticks[0] <= record.plan.long.limit_ticks < given.long_limit_ticks
    assert found.decision_ticks[1] >= record.plan.short.limit_ticks > given.short_limit_ticks
    for intent, leg in zip(record.intents, Leg, strict=True):
        of = record.plan.leg(leg)
        assert (intent.leg, intent.attempt, intent.market) == (leg, 0, of.market)
        assert (intent.limit_ticks, intent.size_lots) == (of.limit_ticks, record.plan.lots(leg))
        assert (intent.deadline_ms, intent.reduce_only) == (NOW_MS + 10_000, False)
    least = arm(record.plan, record.plan.common_lots, NOW_MS, NOW_MS + 1)
    assert least.plan.common_lots == record.plan.common_lots


@settings(max_examples=examples(150))
@given(ask=st.integers(-12, 12), bid=st.integers(-25, 25))
def test_what_is_sent_lies_within_what_is_approved(ask: int, bid: int) -> None:
    record = armed()
    made, found = looked(ask, bid)
    if found.refusals or found.mode is not Mode.SIMULTANEOUS:
        return
    given = leave(found)
    if wrong_guess(record, given, made) is None:
        sent = taken_up(record, plan_trade("T000007", given, made, Numbers()))
        assert found.least_common_lots <= sent.common_lots <= given.common_lots
        assert found.decision_ticks[0] <= sent.long.limit_ticks <= given.long_limit_ticks
        assert found.decision_ticks[1] >= sent.short.limit_ticks >= given.short_limit_ticks
        assert (sent.long.limit_ticks, sent.short.limit_ticks) == tuple(one.limit_ticks for one in record.intents)
        assert sent.long.decision_ticks == round(found.decision_ticks[0])


def test_the_missing_edge_may_come_from_either_leg() -> None:
    record, hits = armed(), 0
    moved = next(moves for moves in range(20) if looked(ask_moves=moves)[1] == near()[1])
    for ask, bid in ((moved - 1, 0), (moved - 2, 0), (moved, 2), (moved, 3)):
        made, found = looked(ask, bid)
        if not found.refusals:
            hits += wrong_guess(record, leave(found), made) is None
    assert hits >= 2


def test_wrong_guesses_say_why() -> None:
    made, found = looked()
    assert not found.refusals
    record, given = armed(), leave(found)
    plan_now = record.plan

    def why(**changes: object) -> str | None:
        return wrong_guess(
            msgspec.structs.replace(record, plan=msgspec.structs.replace(plan_now, **changes)), given, made
        )

    def leg(of: Leg, **changes: object) -> dict[str, object]:
        return {of.value: msgspec.structs.replace(plan_now.leg(of), **changes)}

    good = leg(Leg.LONG, limit_ticks=given.long_limit_ticks) | leg(Leg.SHORT, limit_ticks=given.short_limit_ticks)
    assert why(**good) is None
    assert why(**good, common_lots=given.common_lots + 1) == "size"
    assert why(**good, common_lots=found.least_common_lots - 1) == "size"
    assert why(**(good | leg(Leg.LONG, limit_ticks=given.long_limit_ticks + 1))) == "beyond the bounds"
    assert why(**(good | leg(Leg.SHORT, limit_ticks=given.short_limit_ticks - 1))) == "beyond the bounds"
    assert why(**(good | leg(Leg.LONG, limit_ticks=int(found.decision_ticks[0]) - 1))) == "the price went away"
    assert why(**(good | leg(Leg.SHORT, limit_ticks=int(found.decision_ticks[1]) + 1))) == "the price went away"
    assert why(**(good | leg(Leg.LONG, market="one:ELSE"))) == "another pair"
    assert why(**(good | leg(Leg.LONG, lots_per_common_lot=9))) == "facts"


def test_what_goes_astray_is_let_go() -> None:
    made, found = near()
    record = armed()
    assert astray(record, found, LIMITS) is None
    assert astray(record, msgspec.structs.replace(found, net_bps=1.9), LIMITS) == "out of reach"
    long_ticks, short_ticks = found.decision_ticks
    fallen = msgspec.structs.replace(found, decision_ticks=(long_ticks * 0.999, short_ticks))
    assert astray(record, fallen, LIMITS) == "beyond the bounds"
    risen = msgspec.structs.replace(found, decision_ticks=(long_ticks * 1.001, short_ticks))
    assert astray(record, risen, LIMITS) == "the price went away"
    assert made.limits is LIMITS


def test_terms_are_of_the_size_that_is_sent() -> None:
    _, found = looked()
    given = leave(found)
    whole, half = terms_of(given, given.common_lots), terms_of(given, given.common_lots // 2)
    assert whole["notional_usd"] == pytest.approx(given.notional_usd)
    assert half["expected_usd"] == pytest.approx(given.expected_usd / 2, rel=0.01)
    assert half["net_bps"] == whole["net_bps"]


# -- what a journal says of it -----------------------------------------------------------------------------------------


def fold(*records: JournalRecord) -> Ledger:
    """Through their bytes, as a restart does."""
    ledger = Ledger(decode(encode(record)) for record in records)
    ledger.suppose_sent()
    return ledger


def test_as_long_as_the_process_lives_what_is_armed_is_no_trade() -> None:
    ledger = Ledger([ARMED])
    assert (ledger.open_trades(), ledger.planned, ledger.next_number) == ([], 0, 8)
    assert ledger.armed == {"T000007": ARMED}
    ledger.apply(Voided(trade_id="T000007", reason="test", at_ms=2_000))
    assert (ledger.armed, ledger.next_number) == ({}, 8), "its number is spent"


def test_a_crash_while_armed_leaves_two_orders_of_open_fate() -> None:
    ledger = fold(ARMED)
    (account,) = ledger.open_trades()
    trade = account.trade
    assert (trade.state, trade.due_ms) == (State.ENTERING, 11_000 + PROOF_MS)
    assert [(one.intent, one.status) for one in trade.orders] == [(one, OrderStatus.SENT) for one in ARMED.intents]
    moved, effects = step(trade, Resumed("T000007", 20_000), QUOTES)
    assert [effect.client_id for effect in effects if isinstance(effect, Query)] == [LONG, SHORT]
    assert not [effect for effect in effects if isinstance(effect, Place)]
    assert moved.state is State.ENTERING, "a repair would have to give up before the venues can prove anything"
    assert folded_on(moved, ARMED, effects) == moved
    for name in (LONG, SHORT):
        moved, _ = step(moved, OrderDone(name, "never arrived", 0, 60_000), QUOTES)
    assert moved.state is State.CLOSED


def folded_on(_moved: Trade, armed: Armed, effects: tuple[object, ...]) -> Trade:
    """What the next restart makes of it, with the records of a step behind `armed`."""
    records = [effect.record for effect in effects if isinstance(effect, Persist)]
    return fold(armed, *records).trades[armed.trade_id].trade


def test_what_was_sent_after_all_is_repaired_as_soon_as_it_shows() -> None:
    trade = fold(ARMED).trades["T000007"].trade
    trade, _ = step(trade, Resumed("T000007", 20_000), QUOTES)
    trade, effects = step(trade, Filled(LONG, "f1", 200_000, 9, 0, 21_000), QUOTES)
    assert trade.state is State.REPAIRING
    assert {effect.client_id for effect in effects if isinstance(effect, Query)} == {LONG, SHORT}
    found = fold(ARMED, FillSeen(trade_id="T000007", fill=Filled(LONG, "f1", 200_000, 9, 0, 9), at_ms=9))
    again, _ = step(found.trades["T000007"].trade, Resumed("T000007", 20_000), QUOTES)
    assert again.state is State.REPAIRING, "known before the crash"


def test_both_legs_found_filled_are_a_hedged_trade() -> None:
    trade = fold(ARMED).trades["T000007"].trade
    for event in (
        Resumed("T000007", 20_000),
        Filled(LONG, "f1", 200_000, 9, 0, 21_000),
        OrderDone(LONG, "ioc", 9, 21_000),
        Filled(SHORT, "f1", 4_000, 6, 0, 21_001),
        OrderDone(SHORT, "ioc", 6, 21_001),
    ):
        trade, _ = step(trade, event, QUOTES)
    assert ARMED.plan.common_lots == 3
    assert trade.state is State.HEDGED


def test_without_proof_it_ends_with_the_operator() -> None:
    trade = fold(ARMED).trades["T000007"].trade
    trade, _ = step(trade, Resumed("T000007", 20_000), QUOTES)
    for _ in range(9):
        assert trade.due_ms is not None
        trade, _ = step(trade, DeadlinePassed("T000007", trade.due_ms), QUOTES)
        if trade.due_ms is None:
            break
    assert trade.state is State.HALTED


@pytest.mark.parametrize("durable", [1, 2, 3])
def test_a_crash_after_firing_is_an_entry_wherever_the_records_end(durable: int) -> None:
    ledger = Ledger([ARMED])
    account = ledger.apply(PLANNED)
    assert account is not None
    entered = entering(PLANNED.plan, PLANNED.at_ms)
    ledger.apply(entered)
    assert account.trade.state is State.ENTERING
    assert account.trade.due_ms == PLANNED.at_ms + PLAN.unhedged_ms_max
    assert ledger.armed == {}
    found = fold(*[ARMED, PLANNED, entered][:durable]).trades["T000007"]
    assert [one.intent.client_id for one in found.trade.orders] == [LONG, SHORT]
    assert (found.trade.state, found.trade.supposed) == (State.ENTERING, durable == 1)
    if durable > 1:
        assert found.trade == account.trade
        resumed, effects = step(found.trade, Resumed("T000007", 20_000), QUOTES)
        assert resumed.state is State.REPAIRING
        assert not [effect for effect in effects if isinstance(effect, Place)]


def test_slippage_counts_from_the_prices_it_was_sent_on() -> None:
    moved = msgspec.structs.replace(PLANNED.plan.long, decision_ticks=199_000)
    planned = msgspec.structs.replace(PLANNED, plan=msgspec.structs.replace(PLANNED.plan, long=moved))
    fill = FillSeen(trade_id="T000007", fill=Filled(LONG, "f1", 199_010, 9, 0, 5), at_ms=5)
    account = Ledger([ARMED, planned, fill]).trades["T000007"]
    assert account.long.slippage_ticklots == -90


def test_a_restart_that_went_on_with_it_is_folded_again() -> None:
    """With another set armed since."""
    other = arm(plan(trade_id="T000008"), 1, 30_000, 40_000)
    waits = StateChanged(
        trade_id="T000007", state=State.ENTERING, attempts_spent=0, due_ms=9, exit_reason=None, because="", at_ms=30_001
    )
    ended = [
        OutcomeSeen(trade_id="T000007", client_id=name, status=OrderStatus.DONE, at_ms=60_000) for name in (LONG, SHORT)
    ]
    planned = msgspec.structs.replace(PLANNED, plan=taken_up(other, plan(trade_id="T000008")))
    ledger = Ledger([ARMED, other, waits, *ended, planned])
    assert {name: one.trade.state for name, one in ledger.trades.items()} == {
        "T000007": State.ENTERING,
        "T000008": State.ENTERING,
    }
    assert ledger.armed == {}
    assert (ledger.planned, ledger.next_number) == (2, 9)


def test_records_of_armed_entries_that_contradict_each_other_are_refused() -> None:
    voided = Voided(trade_id="T000007", reason="test", at_ms=2_000)
    for records in (
        [voided],
        [ARMED, voided, voided],
        [ARMED, ARMED],
        [ARMED, PLANNED, ARMED],
        [ARMED, PLANNED, PLANNED],
    ):
        with pytest.raises(LedgerError):
            Ledger(records)


def test_the_story_of_an_armed_trade_knows_its_orders() -> None:
    fill = FillSeen(trade_id="T000007", fill=Filled(LONG, "f1", 200_000, 9, 0, 4_100), at_ms=4_100)
    told = story("T000007", [ARMED, PLANNED, entering(PLANNED.plan, 4_000), fill])
    assert told is not None
    assert [one.client_id for one in told.orders] == [LONG, SHORT]
    assert [turn.state for turn in told.turns] == ["planned", "entering"]
    assert story("T000007", [ARMED, Voided(trade_id="T000007", reason="test", at_ms=2_000)]) is None
    assert folded(PLAN, [])  # the plain fold stays as it was

"""A tick's way to a paper trade and back, over a real journal: entered, hedged, paid, restarted, left."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import pytest
from simulated import SimClock
from trading_world import FORTH, World, world

from market_samples import BOOK_ONE, BOOK_TWO, ONE, TWO, limits, market, predicted, settled
from twinleg.core.funding import HOUR_MS
from twinleg.core.ledger import TradeAccount
from twinleg.core.messages import BookDelta, BookLost, FundingSource, MarketsListed, MarketStatus
from twinleg.core.orders import ExitWish, Leg, OrderStatus, PositionRead, State
from twinleg.runtime.engine import CROSSED_MS_MAX

pytestmark = pytest.mark.usefixtures("leaves_nothing")


async def hedged(made: World) -> TradeAccount:
    made.tells()
    await made.live(2)
    assert made.states == [State.HEDGED]
    return made.accounts[0]


async def test_a_viable_pair_is_entered_filled_and_hedged_once(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        account = await hedged(made)
        plan = account.trade.plan
        assert (plan.asset, plan.long.market, plan.short.market) == ("PEPE", ONE.key, TWO.key)
        assert made.held() == [plan.common_lots, 2 * plan.common_lots]
        assert made.desk.ledger.positions() == {ONE.key: plan.common_lots, TWO.key: -2 * plan.common_lots}
        assert 0 < account.terms["notional_usd"] <= 500
        assert (plan.long.decision_ticks, plan.short.decision_ticks) == (10_000, 20_060)
        assert (plan.long.limit_ticks, plan.short.limit_ticks) == (10_004, 20_052), (
            "half of what net leaves above 1 bps"
        )
        assert (plan.long.lots_per_common_lot, plan.short.lots_per_common_lot) == (1, 2)
        assert plan.bounds_bps == (66, 133, 200)
        assert [order.intent.side.value for order in account.trade.orders] == ["buy", "sell"]
        assert all(order.status is OrderStatus.DONE for order in account.trade.orders)
        await made.live(2)
        assert made.states == [State.HEDGED], "one trade per asset, and it is kept while it pays"
        assert made.desk.executed == 1
        assert made.engine.tally.refused["asset_open"] >= 2
        assert made.engine.tally.best_edge_bps == pytest.approx(account.terms["net_bps"], abs=0.5)


async def test_the_money_of_a_hedged_trade_is_what_its_fills_say(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        account = await hedged(made)
        lots = account.trade.plan.common_lots
        bought = Fraction(10_000, 10**6) * lots
        sold = Fraction(20_060 * 5, 10**10) * 500 * 2 * lots
        fee = sold * Fraction(5, 2) / 10_000
        assert account.long.fees_micro_usd == 0
        assert account.short.fees_micro_usd == pytest.approx(float(fee * 10**6), abs=1)
        mids = made.purse.mids()
        pnl = account.pnl(mids)
        value = Fraction(9_999, 10**6) * lots - bought + sold - Fraction(20_062 * 5, 10**10) * 1_000 * lots
        assert pnl.gross_micro_usd == pytest.approx(float(value * 10**6), abs=2)
        assert pnl.equity_change_micro_usd == (pnl.gross_micro_usd or 0) - pnl.fees_micro_usd
        at_risk = made.purse.exposure(made.desk.ledger, made.clock.wall_ms())
        assert at_risk.by_venue_usd["one"] == pytest.approx(float(Fraction(9_999, 10**6) * lots))
        assert at_risk.gross_usd == pytest.approx(2 * float(bought), rel=0.01)
        assert at_risk.available_usd["one"] == pytest.approx(
            at_risk.equity_usd["one"] - at_risk.by_venue_usd["one"] / 3
        )
        assert (at_risk.open_assets, at_risk.open_trades) == (frozenset({"PEPE"}), 1)
        total = (made.accounts[0].pnl(mids).equity_change_micro_usd or 0) / 1e6
        assert sum(at_risk.equity_usd.values()) == pytest.approx(2_000 + total)


async def test_a_book_lost_between_decision_and_send_stops_the_entry(tmp_path: Path) -> None:
    async with world(tmp_path, beats=False) as made:
        made.tells()
        made.shows()
        made.board.review(made.clock.wall_ms(), made.clock.mono_ns())
        made.shows()
        assert made.states == [State.ENTERING]
        made.engine.on_market([BookLost(TWO.key, "gap of 3", made.clock.mono_ns())])
        await made.quiet()
        assert made.states == [State.CLOSED]
        orders = made.accounts[0].trade.orders
        assert [order.status for order in orders] == [OrderStatus.REJECTED] * 2
        assert made.desk.ledger.positions() == {}
        assert made.paper.next_due_ms is None, "nothing was sent"


async def test_too_little_money_or_a_wrong_clock_refuses_and_is_counted(tmp_path: Path) -> None:
    async with world(tmp_path, limits=limits(min_account_balance_usd=5_000.0)) as made:
        made.tells()
        await made.live(2.5)
        assert made.accounts == []
        assert made.engine.tally.refused["balance"] >= 2
        assert made.board.viable_seen >= 1


async def test_a_short_leg_that_finds_nothing_is_repaired_by_unwinding_the_long_one(tmp_path: Path) -> None:
    async with world(tmp_path, beats=False) as made:
        made.tells()
        made.shows()
        made.board.review(made.clock.wall_ms(), made.clock.mono_ns())
        made.shows()
        await made.quiet()
        made.levels[TWO.key] = ([(19_000, 200_000)], BOOK_TWO[1])
        await made.live(3, beat=True)
        assert made.states == [State.CLOSED]
        assert made.desk.ledger.positions() == {}
        sides = [
            (order.intent.leg, order.intent.side.value, order.filled_lots) for order in made.accounts[0].trade.orders
        ]
        lots = made.accounts[0].trade.plan.common_lots
        assert sides == [(Leg.LONG, "buy", lots), (Leg.SHORT, "sell", 0), (Leg.LONG, "sell", lots)]


# -- funding ----------------------------------------------------------------------------------------------------------


async def test_a_settlement_is_booked_once_per_leg_whoever_tells_it_and_however_often(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        account = await hedged(made)
        hour_ms = (made.clock.wall_ms() // HOUR_MS + 1) * HOUR_MS
        made.clock.now_ns += (hour_ms - made.clock.wall_ms() + 5_000) * 1_000_000
        long_lots, short_lots = made.held()
        for _ in range(2):
            made.engine.on_market([settled(ONE.key, -2e-5, hour_ms, price=0.0101, stamp_late_ms=1_020)])
            made.engine.on_market([settled(ONE.key, -2e-5, hour_ms)])
            made.engine.on_market([settled(TWO.key, 3e-5, hour_ms)])
            made.engine.on_market([settled(TWO.key, 3e-5, hour_ms, price=0.0000101)])
            await made.quiet()
        account = made.accounts[0]
        assert account.long.funding_micro_usd == round(long_lots * 0.0101 * 2e-5 * 1e6)
        assert account.short.funding_micro_usd == round(short_lots * 500 * 0.00001 * 3e-5 * 1e6), "on the mark"
        assert account.long.settlements == account.short.settlements == {hour_ms}
        made.engine.on_market([settled(ONE.key, -2e-5, hour_ms - HOUR_MS, price=0.01)])
        await made.quiet()
        assert made.accounts[0].long.settlements == {hour_ms}, "before we held anything"


async def test_funding_that_turns_closes_the_trade_and_the_parts_add_up(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await hedged(made)
        made.engine.stopping = "lest the other direction be entered"
        for key, rate in ((ONE.key, 4e-4), (TWO.key, -4e-4)):
            made.engine.on_market([predicted(key, rate, source, made.clock.wall_ms() + HOUR_MS // 2)
                                   for source in (FundingSource.STREAM, FundingSource.REST)])  # fmt: skip
        await made.live(4)
        account = made.accounts[0]
        assert account.trade.state is State.CLOSED
        assert "funding flip" in (account.trade.exit_reason or "")
        pnl = account.pnl({})
        assert pnl.price_micro_usd is not None
        parts = pnl.price_micro_usd + pnl.slippage_micro_usd + pnl.funding_micro_usd - pnl.fees_micro_usd
        assert pnl.equity_change_micro_usd == parts
        assert made.desk.ledger.positions() == {}
        at_risk = made.purse.exposure(made.desk.ledger, made.clock.wall_ms())
        assert at_risk.gross_usd == 0
        assert sum(at_risk.equity_usd.values()) == pytest.approx(2_000 + parts / 1e6)


async def test_an_edge_taken_is_closed_at_its_target(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        account = await hedged(made)
        made.levels[TWO.key] = ([(19_990, 400_000)], [(19_994, 400_000)])
        await made.live(4)
        account = made.accounts[0]
        assert account.trade.state is State.CLOSED
        assert (account.trade.exit_reason or "").startswith("target")
        assert (account.pnl({}).equity_change_micro_usd or 0) / 1e6 >= account.terms["expected_usd"]


# -- restarts ---------------------------------------------------------------------------------------------------------


async def test_a_restart_folds_back_to_the_same_ledger_and_trades_nothing_twice(tmp_path: Path) -> None:
    clock = SimClock()
    async with world(tmp_path, clock) as made:
        await hedged(made)
        before = made.desk.ledger
    async with world(tmp_path, clock) as made:
        assert made.desk.ledger.trades == before.trades
        assert made.desk.ledger.positions() == before.positions()
        assert (made.desk.ledger.planned, made.desk.ledger.applied) == (before.planned, before.applied)
        made.tells()
        await made.live(3)
        assert made.states == [State.HEDGED]
        assert made.desk.executed == 0
        assert made.engine.tally.refused["asset_open"] >= 1


@pytest.mark.parametrize("beats_before_the_crash", [0, 1, 3, 5, 7])
async def test_a_crash_while_entering_is_finished_by_the_restart(tmp_path: Path, beats_before_the_crash: int) -> None:
    """Wherever it happens, nobody is asked: the trade ends hedged or flat, and paper holds what the ledger says."""
    clock = SimClock()
    async with world(tmp_path, clock, beats=False) as made:
        made.tells()
        made.shows()
        made.board.review(clock.wall_ms(), clock.mono_ns())
        made.shows()
        assert made.states == [State.ENTERING]
        for _ in range(beats_before_the_crash):
            await made.quiet()
            clock.now_ns += 50_000_000
            made.shows()
            made.desk.on_time(clock.wall_ms())
    async with world(tmp_path, clock, limits=limits(max_concurrent_trades=0)) as made:
        made.tells()
        await made.live(8)
        assert made.states in ([State.HEDGED], [State.CLOSED])
        long_lots, short_lots = made.held()
        assert short_lots == 2 * long_lots
        assert made.paper._positions.get(ONE.key, 0) == long_lots
        ids = [order.intent.client_id for order in made.accounts[0].trade.orders]
        assert len(ids) == len(set(ids))


async def test_trade_ids_never_repeat_not_even_after_a_restart(tmp_path: Path) -> None:
    clock = SimClock()
    for run in range(1, 3):
        async with world(tmp_path, clock) as made:
            made.tells()
            await made.live(3)
            made.desk.wants_exit(f"T00000{run}", ExitWish("test"), clock.wall_ms())
            made.engine.stopping = "one trade a run"
            await made.live(3)
            assert list(made.desk.ledger.trades) == [f"T00000{number}" for number in range(1, run + 1)]
            assert made.states == [State.CLOSED] * run


# -- stopping and failing ---------------------------------------------------------------------------------------------


async def test_stop_finishes_what_moves_and_opens_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.tells()
        while not made.accounts:
            await made.live(0.05)
        assert made.states in ([State.PLANNED], [State.ENTERING])
        stopping = asyncio.create_task(made.engine.stop("asked to stop", 10.0))
        await made.live(1)
        assert stopping.done()
        await stopping
        assert made.states == [State.HEDGED]
        assert [refusal.code for refusal in made.engine.blocked] == ["stopping"]
        made.desk.wants_exit("T000001", ExitWish("test"), made.clock.wall_ms())
        await made.live(3)
        assert made.states == [State.CLOSED], "what reduces goes on, and nothing new is opened"


async def test_stop_ends_after_its_grace_when_a_trade_does_not_settle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as made:
        await hedged(made)
        made.silent = {ONE.key, TWO.key}
        made.engine.on_market([BookLost(key, "gap", made.clock.mono_ns()) for key in (ONE.key, TWO.key)])
        made.desk.wants_exit("T000001", ExitWish("test"), made.clock.wall_ms())
        await made.live(0.2)
        stopping = asyncio.create_task(made.engine.stop("asked to stop", 1.0))
        await made.live(1.5)
        assert stopping.done()
        await stopping
        assert made.states == [State.EXITING]
        assert "still moving after 1 s" in caplog.text


async def test_a_failing_journal_stops_entries_says_so_and_loses_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.tells()
        made.journal.fault = "the disk is full"
        await made.live(2)
        assert made.accounts == []
        assert [(one.code, one.detail) for one in made.engine.blocked] == [("journal", "the disk is full")]
        assert made.engine.tally.refused["journal"] >= 1
        made.journal.fault = None
        await made.live(3)
        assert made.states == [State.HEDGED], "it trades again by itself once the journal works"
        assert made.engine.blocked == ()


async def test_no_order_leaves_before_its_intent_is_on_disk(tmp_path: Path) -> None:
    async with world(tmp_path, beats=False) as made:
        made.tells()
        made.shows()
        made.board.review(made.clock.wall_ms(), made.clock.mono_ns())
        made.journal.fast.clear()
        made.shows()
        await made.live(0.5)
        assert made.states == [State.ENTERING], "decided and written, not yet known to be on disk"
        assert made.paper.next_due_ms is None
        made.journal.fast.set()
        await made.quiet()
        assert made.paper.next_due_ms is not None


async def test_a_journal_that_fails_before_the_send_holds_the_order_back(tmp_path: Path) -> None:
    async with world(tmp_path, beats=False) as made:
        made.tells()
        made.shows()
        made.board.review(made.clock.wall_ms(), made.clock.mono_ns())
        made.shows()
        assert made.states == [State.ENTERING]
        made.journal.fault = "the disk is full"
        await made.live(20)
        assert made.paper.next_due_ms is None, "no order without a durable intent"
        assert made.engine.blocked[0].code == "journal"
        made.journal.fault = None
        made.engine.stopping = "no other trade"
        await made.live(2)
        assert made.states == [State.CLOSED]
        assert made.paper.next_due_ms is None, "decided twenty seconds ago: too late to enter"
        assert [order.status for order in made.accounts[0].trade.orders] == [OrderStatus.REJECTED] * 2


# -- mending ----------------------------------------------------------------------------------------------------------


async def test_a_book_that_stays_crossed_is_asked_for_again_once_a_minute(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        asked: list[str] = []
        made.engine.resync = asked.append
        made.tells(watched=False)
        await made.live(1)
        made.levels[TWO.key] = ([(20_064, 1_000)], [(20_060, 1_000)])
        await made.live(CROSSED_MS_MAX / 1_000 - 0.5)
        assert asked == []
        await made.live(3)
        assert asked == [TWO.key]
        await made.live(20)
        assert asked == [TWO.key]


async def test_a_book_that_says_nothing_for_long_is_asked_for_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        asked: list[str] = []
        made.engine.resync = asked.append
        made.tells(watched=False)
        await made.live(1)
        made.silent = {ONE.key}
        await made.live(28)
        assert asked == []
        await made.live(5)
        assert asked == [ONE.key]


async def test_the_book_of_a_market_that_comes_back_is_asked_for_again(tmp_path: Path) -> None:
    """Its feed went on all the time and would never send a snapshot by itself."""
    async with world(tmp_path) as made:
        asked: list[str] = []
        made.engine.resync = asked.append
        made.tells(watched=False)
        await made.live(1)
        made.silent = {ONE.key}
        made.engine.on_market([BookLost(ONE.key, "gap", made.clock.mono_ns())])
        await made.live(2)
        assert asked == [], "what its feed lost, its feed mends"
        made.engine.on_market([MarketsListed("one", (), made.clock.wall_ms())])
        await made.live(2)
        assert asked == []
        made.lists(ONE)
        await made.live(2)
        assert asked == [ONE.key]


async def test_events_are_counted_and_timed_from_their_arrival(tmp_path: Path) -> None:
    async with world(tmp_path, beats=False) as made:
        made.tells(watched=False)
        made.shows()
        before = made.engine.tally.events
        arrived_ns = made.clock.mono_ns()
        made.clock.now_ns += 7_000
        made.engine.on_market([BookDelta(ONE.key, [(9_990, 5)], [], made.clock.wall_ms(), arrived_ns)])
        assert made.engine.tally.events == before + 1
        assert list(made.engine.tally.latencies_ns) == [], "nothing to judge: the best prices stand"
        best = made.engine.board.books[ONE.key].ask_prices[0]
        made.engine.on_market([BookDelta(ONE.key, [], [(best, 0)], made.clock.wall_ms(), arrived_ns)])
        assert list(made.engine.tally.latencies_ns) == [7_000]


async def test_unfit_and_quotes_speak_of_the_books_as_they_are(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        account = await hedged(made)
        plan = account.trade.plan
        made.shows()
        assert made.engine.unfit(plan) is None
        quotes = made.engine.quotes(plan)
        assert (quotes[Leg.LONG].bid_ticks, quotes[Leg.SHORT].ask_ticks) == (9_998, 20_064)
        made.levels[ONE.key] = ([], BOOK_ONE[1])
        made.shows()
        assert made.engine.quotes(plan)[Leg.LONG].bid_ticks is None
        assert "book_one_sided" in (made.engine.unfit(plan) or "")
        made.engine.on_market([BookLost(ONE.key, "gap", made.clock.mono_ns())])
        assert Leg.LONG not in made.engine.quotes(plan)
        del made.board.pairs[FORTH]
        assert made.engine.unfit(plan) == "its markets are no longer paired"


async def test_a_reduce_only_market_too_thin_to_price_is_left_all_the_same(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await hedged(made)
        made.engine.stopping = "no other trade"
        long_lots, _ = made.held()
        made.levels[ONE.key] = ([(9_998, long_lots - 5)], BOOK_ONE[1])
        await made.live(2)
        assert made.states == [State.HEDGED]
        made.lists(market(ONE, status=MarketStatus.REDUCE_ONLY))
        await made.live(1.5)
        assert made.held() == [5, 0], "what can be sold is sold"


async def test_a_trade_whose_book_is_lost_waits_rather_than_spend_its_attempts(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await hedged(made)
        made.silent = {ONE.key}
        made.engine.on_market([BookLost(ONE.key, "gap", made.clock.mono_ns())])
        made.lists(market(TWO, status=MarketStatus.REDUCE_ONLY))
        await made.live(15)
        assert made.states == [State.HEDGED]
        made.silent = set()
        await made.live(4)
        assert made.states == [State.CLOSED]


async def test_wishes_to_leave_do_not_pile_up_while_the_journal_fails(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await hedged(made)
        made.journal.fault = "the disk is full"
        made.lists(market(TWO, status=MarketStatus.REDUCE_ONLY))
        await made.live(10)
        assert len(made.desk._inbox) <= 1
        assert made.states == [State.HEDGED]
        made.journal.fault = None
        await made.live(5)
        assert made.states == [State.CLOSED]


async def test_a_market_that_turns_reduce_only_is_left_and_not_entered_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await hedged(made)
        made.lists(market(TWO, status=MarketStatus.REDUCE_ONLY))
        await made.live(4)
        assert made.states == [State.CLOSED]
        assert made.accounts[0].trade.exit_reason == f"{TWO.key} is reduce-only"


async def test_a_halted_trade_is_told_of_at_once_after_a_restart(tmp_path: Path) -> None:
    """Its reminder waited for books, up to half a minute: a crash right after the halt left the operator untold."""
    clock = SimClock()
    async with world(tmp_path, clock) as made:
        account = await hedged(made)
        plan = account.trade.plan
        made.desk.hear(PositionRead(plan.trade_id, Leg.LONG, 0, clock.wall_ms()))
        await made.live(1)
        assert made.states == [State.HALTED]
    async with world(tmp_path, clock) as made:
        await made.live(0.1)
        assert any(plan.trade_id in alert.text for alert in made.desk.alerts)

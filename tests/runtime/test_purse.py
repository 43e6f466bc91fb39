"""What we are worth and what is at risk, from trades whose figures a hand can check."""

from __future__ import annotations

from fractions import Fraction

import pytest

from market_samples import BOOK_ONE, BOOK_TWO, LIMITS, NOW_MS, NOW_NS, ONE, TWO, market, snapshot
from twinleg.core.board import Board
from twinleg.core.ledger import Ledger
from twinleg.core.messages import BookLost, MarketsListed
from twinleg.core.orders import (
    Filled,
    Intent,
    Leg,
    LegPlan,
    OrderStatus,
    Purpose,
    State,
    TimeInForce,
    TradePlan,
    client_id,
)
from twinleg.core.pairs import Pair
from twinleg.core.records import FillSeen, FundingBooked, IntentMade, OutcomeSeen, StateChanged, TradePlanned
from twinleg.runtime.purse import EXPOSURE_AGE_MS, Purse

COMMON = 10_000
"""Ten million PEPE: 100 USD at 0.00001."""


def leg_plan(leg: Leg) -> LegPlan:
    facts = ONE if leg is Leg.LONG else TWO
    return LegPlan(
        venue=facts.venue,
        market=facts.key,
        price_grid=facts.price_grid,
        size_grid=facts.size_grid,
        lots_per_common_lot=1 if leg is Leg.LONG else 2,
        limit_ticks=10_010 if leg is Leg.LONG else 20_040,
        decision_ticks=10_000 if leg is Leg.LONG else 20_060,
    )


PLAN = TradePlan(
    trade_id="T000001",
    asset="PEPE",
    long=leg_plan(Leg.LONG),
    short=leg_plan(Leg.SHORT),
    common_lots=COMMON,
    unhedged_ms_max=3_000,
    unhedged_notional_max_micro_usd=10**9,
    attempt_ms=3_000,
    bounds_bps=(50, 100),
)


class Books:
    """A board with both books, a ledger to write into, and the purse over both."""

    def __init__(self) -> None:
        self.board = Board(lambda asset: LIMITS, lambda asset, one, other: True)
        for facts, levels in ((ONE, BOOK_ONE), (TWO, BOOK_TWO)):
            self.board.apply(MarketsListed(facts.venue, (facts,), NOW_MS))
            self.board.apply(snapshot(facts.key, levels))
        self.ledger = Ledger()
        self.purse = Purse(self.board, {"one": 1_000.0, "two": 500.0}, leverage=2.0)

    @property
    def pair(self) -> Pair:
        return self.board.pairs[f"{ONE.key}>{TWO.key}"]

    def plan(self) -> None:
        self.ledger.apply(TradePlanned(at_ms=NOW_MS, plan=PLAN, terms={"expected_usd": 0.25, "notional_usd": 100.0}))
        self.state(State.ENTERING)

    def state(self, state: State) -> None:
        self.ledger.apply(
            StateChanged(
                trade_id="T000001",
                state=state,
                attempts_spent=0,
                due_ms=NOW_MS if state is State.ENTERING else None,
                exit_reason=None,
                because="test",
                at_ms=NOW_MS,
            )
        )

    def fill(self, leg: Leg, ticks: int, lots: int, *, fee: int = 0, purpose: Purpose = Purpose.ENTER) -> None:
        attempt = 0 if purpose is Purpose.ENTER else 1
        name = client_id("T000001", leg, attempt)
        facts = PLAN.leg(leg)
        side = leg.entry_side if purpose is Purpose.ENTER else leg.entry_side.opposite
        intent = Intent(
            trade_id="T000001",
            leg=leg,
            attempt=attempt,
            client_id=name,
            venue=facts.venue,
            market=facts.market,
            side=side,
            size_lots=lots,
            limit_ticks=ticks,
            reduce_only=purpose is not Purpose.ENTER,
            time_in_force=TimeInForce.IOC,
            purpose=purpose,
            deadline_ms=NOW_MS,
            decision_price_ticks=facts.decision_ticks,
        )
        self.ledger.apply(IntentMade(intent=intent, at_ms=NOW_MS))
        fill = Filled(name, f"{name}/0", ticks, lots, fee, NOW_MS)
        self.ledger.apply(FillSeen(trade_id="T000001", fill=fill, at_ms=NOW_MS))
        done = OutcomeSeen(trade_id="T000001", client_id=name, status=OrderStatus.DONE, filled_lots=lots, at_ms=NOW_MS)
        self.ledger.apply(done)

    def hedge(self) -> None:
        """100 USD long at 0.00001, 100.3 USD short at 0.00001003, with fees of 2 and 5 cents."""
        self.plan()
        self.fill(Leg.LONG, 10_000, COMMON, fee=20_000)
        self.fill(Leg.SHORT, 20_060, 2 * COMMON, fee=50_000)
        self.state(State.HEDGED)


def test_nothing_open_is_the_whole_paper_money_on_each_venue() -> None:
    books = Books()
    at_risk = books.purse.exposure(books.ledger, NOW_MS)
    assert at_risk.equity_usd == at_risk.available_usd == {"one": 1_000.0, "two": 500.0}
    assert (at_risk.gross_usd, at_risk.by_venue_usd, at_risk.open_trades) == (0.0, {"one": 0.0, "two": 0.0}, 0)


def test_a_hedged_trade_is_worth_its_mids() -> None:
    """Long 100 USD marked at 0.009999 per thousand, short 100.3 USD marked at 20,062 ticks of 5e-10."""
    books = Books()
    books.hedge()
    at_risk = books.purse.exposure(books.ledger, NOW_MS)
    assert at_risk.by_venue_usd == pytest.approx({"one": 99.99, "two": 100.31})
    assert at_risk.gross_usd == pytest.approx(200.30)
    assert at_risk.equity_usd == pytest.approx({"one": 1_000 - 0.01 - 0.02, "two": 500 - 0.01 - 0.05})
    assert at_risk.available_usd == pytest.approx({"one": 999.97 - 99.99 / 2, "two": 499.94 - 100.31 / 2})
    assert (at_risk.open_assets, at_risk.open_trades) == (frozenset({"PEPE"}), 1)


@pytest.mark.parametrize("state", [State.ENTERING, State.REPAIRING])
def test_what_is_unsettled_counts_at_its_worst(state: State) -> None:
    books = Books()
    books.plan()
    books.fill(Leg.LONG, 10_000, 100)
    books.state(state)
    at_risk = books.purse.exposure(books.ledger, NOW_MS)
    assert at_risk.by_venue_usd == pytest.approx({"one": 99.99, "two": 100.31}), "the whole plan, both legs"


def test_what_leaves_counts_with_what_it_still_holds() -> None:
    books = Books()
    books.hedge()
    books.fill(Leg.LONG, 9_998, COMMON // 2, purpose=Purpose.EXIT)
    books.state(State.EXITING)
    assert books.purse.exposure(books.ledger, NOW_MS).by_venue_usd == pytest.approx({"one": 49.995, "two": 100.31})


def test_a_closed_trade_leaves_its_money_and_no_risk() -> None:
    books = Books()
    books.hedge()
    books.fill(Leg.LONG, 10_100, COMMON, purpose=Purpose.EXIT, fee=20_000)
    books.fill(Leg.SHORT, 20_080, 2 * COMMON, purpose=Purpose.EXIT, fee=50_000)
    books.state(State.CLOSED)
    at_risk = books.purse.exposure(books.ledger, NOW_MS)
    assert at_risk.equity_usd == pytest.approx({"one": 1_000 + 1.0 - 0.04, "two": 500 - 0.10 - 0.10})
    assert (at_risk.gross_usd, at_risk.open_assets) == (0.0, frozenset())


def test_a_lost_book_keeps_its_last_mid_for_valuing() -> None:
    """A leg without a price must not count as having made nothing."""
    books = Books()
    books.hedge()
    books.board.apply(snapshot(ONE.key, ([(8_998, 1)], [(9_000, 1)])))
    books.board.apply(BookLost(ONE.key, "gap", NOW_NS))
    at_risk = books.purse.exposure(books.ledger, NOW_MS)
    assert at_risk.equity_usd["one"] == pytest.approx(1_000 - 10.01 - 0.02)
    assert books.purse.mids()[ONE.key] == Fraction(8_999)
    assert books.purse.standing(books.ledger.trades["T000001"], books.pair) is None, "but nothing is decided on it"


def test_without_any_mid_a_leg_counts_at_cost_and_its_fees_and_funding_still_count() -> None:
    books = Books()
    books.hedge()
    books.ledger.apply(
        FundingBooked(
            trade_id="T000001",
            leg=Leg.LONG,
            market=ONE.key,
            rate_per_hour=-1e-3,
            interval_hours=1.0,
            price=0.01,
            amount_micro_usd=100_000,
            settled_at_ms=NOW_MS,
            at_ms=NOW_MS,
        )
    )
    fresh = Board(lambda asset: LIMITS, lambda asset, one, other: True)
    at_risk = Purse(fresh, {"one": 1_000.0, "two": 500.0}, leverage=2.0).exposure(books.ledger, NOW_MS)
    assert at_risk.equity_usd == pytest.approx({"one": 1_000.08, "two": 499.95})
    assert at_risk.by_venue_usd == pytest.approx({"one": 100.0, "two": 100.3}), "at the decision prices"


def test_exposure_is_made_anew_after_every_record_and_as_prices_move() -> None:
    books = Books()
    now_ms = NOW_MS // EXPOSURE_AGE_MS * EXPOSURE_AGE_MS
    before = books.purse.exposure(books.ledger, now_ms)
    assert books.purse.exposure(books.ledger, now_ms + EXPOSURE_AGE_MS - 1) is before
    books.plan()
    planned = books.purse.exposure(books.ledger, now_ms)
    assert planned.open_trades == 1
    assert books.purse.exposure(books.ledger, now_ms + EXPOSURE_AGE_MS) is not planned


def test_the_way_out_is_priced_at_the_touch_with_its_fees() -> None:
    """Sell at 9,998 of 1e-6, buy back at 20,064 of 5e-10; the second venue takes 2.5 bps."""
    books = Books()
    books.hedge()
    standing = books.purse.standing(books.ledger.trades["T000001"], books.pair)
    assert standing is not None
    assert standing.notional_usd == pytest.approx(100.32)
    assert standing.exit_usd == pytest.approx(-0.02 - 0.02 - 0.02 - 0.05 - 100.32 * 2.5e-4)
    assert standing.expected_usd == 0.25


def test_a_way_out_that_is_not_there_has_no_price() -> None:
    books = Books()
    books.hedge()
    account = books.ledger.trades["T000001"]
    books.board.apply(snapshot(ONE.key, ([(9_998, COMMON - 1)], [(10_000, 1)])))
    assert books.purse.standing(account, books.pair) is None
    books.board.apply(snapshot(ONE.key, ([(9_998, COMMON)], [(10_000, 1)])))
    assert books.purse.standing(account, books.pair) is not None
    books.board.apply(MarketsListed("two", (market(TWO, taker_fee_bps=None),), NOW_MS))
    assert books.purse.standing(account, books.pair) is None

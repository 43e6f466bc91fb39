"""The paper venue: fills from the book as it is when the taker delay has passed, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_site import DELAY_MS, LONG, Site, fees, fills, intent, market

from trade_samples import PLAN, Story
from twinleg.core.book import Book
from twinleg.core.effects import Persist, Place, Query
from twinleg.core.ledger import Ledger
from twinleg.core.messages import Level, MarketStatus
from twinleg.core.orders import (
    ExitWanted,
    Leg,
    OrderAccepted,
    OrderDone,
    OrderRejected,
    Purpose,
    Resumed,
    Side,
    State,
    TimeInForce,
)
from twinleg.core.records import TradePlanned
from twinleg.runtime import paper
from twinleg.runtime.paper import TAKEN_MEMORY_MS


def test_an_order_is_accepted_at_once_and_filled_after_the_taker_delay() -> None:
    site = Site()
    site.venue.submit(intent(), 1_000)
    assert site.venue.next_due_ms == 1_000
    assert site.venue.due(1_000) == [OrderAccepted("t1-long-0", 1_000)]
    assert site.venue.next_due_ms == 1_000 + DELAY_MS
    assert site.venue.due(1_000 + DELAY_MS - 1) == []
    events = site.venue.due(1_000 + DELAY_MS)
    assert fills(events) == [(200_000, 5), (200_100, 7)]
    assert events[-1] == OrderDone("t1-long-0", "filled", 12, 1_000 + DELAY_MS)
    assert site.venue.next_due_ms is None


def test_the_book_at_the_fill_counts_not_the_one_at_submission() -> None:
    site = Site()
    site.venue.submit(intent(), 0)
    site.show(LONG, bids=[], asks=[(200_050, 3), (200_090, 2), (200_101, 50)])
    events = site.venue.due(DELAY_MS)
    assert fills(events) == [(200_050, 3), (200_090, 2)]
    done = events[-1]
    assert isinstance(done, OrderDone)
    assert (done.filled_lots, done.reason) == (5, "the rest was not there within the limit")


def test_sells_walk_the_bids_down_to_their_limit() -> None:
    site = Site()
    site.show(LONG, bids=[(199_900, 4), (199_800, 4), (199_700, 4)], asks=[])
    assert fills(site.takes(intent(side=Side.SELL, limit_ticks=199_800))) == [(199_900, 4), (199_800, 4)]


@pytest.mark.parametrize("trouble", ["lost", "never ready", "crossed", "empty", "market gone", "book gone"])
def test_without_a_trustworthy_book_nothing_fills(trouble: str) -> None:
    site = Site()
    site.venue.submit(intent(), 0)
    match trouble:
        case "lost":
            site.books[LONG].lose("gap")
        case "never ready":
            site.books[LONG] = Book(LONG)
        case "crossed":
            site.show(LONG, bids=[(200_200, 9)], asks=[(200_000, 9)])
        case "empty":
            site.show(LONG, bids=[], asks=[])
        case "market gone":
            del site.markets[LONG]
        case "book gone":
            del site.books[LONG]
    events = site.venue.due(DELAY_MS)
    assert fills(events) == []
    done = events[-1]
    assert isinstance(done, OrderDone)
    assert done.filled_lots == 0


@pytest.mark.parametrize(
    ("facts", "order", "reason"),
    [
        ({}, {"size_lots": 1}, "below the minimum of 2"),
        ({"min_notional_usd": 3.0}, {}, "notional 2.40 is below"),
        ({"status": MarketStatus.CLOSED}, {}, "market is closed"),
        ({"status": MarketStatus.UNKNOWN}, {}, "market is unknown"),
        ({"status": MarketStatus.REDUCE_ONLY}, {}, "market is reduce_only"),
        ({"taker_fee_bps": None}, {}, "fee is not known"),
        ({"post_only": False}, {"time_in_force": TimeInForce.POST_ONLY}, "not taken here"),
        ({"maker_fee_bps": None}, {"time_in_force": TimeInForce.POST_ONLY}, "maker fee is not known"),
        ({}, {"market": "one:XYZ"}, "unknown market"),
        ({}, {"reduce_only": True, "side": Side.SELL}, "without a position"),
    ],
)
def test_what_a_venue_would_not_take_is_rejected(facts: dict[str, Any], order: dict[str, Any], reason: str) -> None:
    events = Site(**facts).takes(intent(**order))
    assert len(events) == 1
    assert isinstance(events[0], OrderRejected)
    assert reason in events[0].reason


def test_too_many_pending_orders_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "PENDING_MAX", 1)
    site = Site()
    site.venue.submit(intent(0), 0)
    site.venue.submit(intent(1), 0)
    assert [type(event) for event in site.venue.due(0)] == [OrderAccepted, OrderRejected]


def test_fees_are_exact_and_rounded_up_per_fill() -> None:
    events = Site().takes(intent())
    # 5 lots at 200000 ticks are 1.000000 quote: 2.5 bps are 250 micro; 7 at 200100 are 1.4007: 350.175 micro
    assert fees(events) == [250, 351]
    # 10 and 14.007 micro: the decimal 0.1 is meant, not its nearest float
    assert fees(Site(taker_fee_bps=0.1).takes(intent())) == [10, 15]


def test_our_own_fills_are_not_offered_again_until_the_level_is_refilled() -> None:
    site = Site()
    assert fills(site.takes(intent(0))) == [(200_000, 5), (200_100, 7)]
    assert fills(site.takes(intent(1), 1_000)) == [(200_100, 3)]
    assert fills(site.takes(intent(2), 2_000)) == []
    site.show(LONG, bids=[], asks=[(200_000, 6)])
    assert fills(site.takes(intent(3), 3_000)) == [(200_000, 1)]
    assert fills(site.takes(intent(4), 3_000 + TAKEN_MEMORY_MS)) == [(200_000, 6)]


def test_a_reduce_only_order_closes_and_never_turns_the_position() -> None:
    site = Site()
    site.takes(intent(0, size_lots=5))
    sell = {"side": Side.SELL, "reduce_only": True, "limit_ticks": 199_000, "purpose": Purpose.EXIT}
    events = site.takes(intent(1, size_lots=9, **sell), 1_000)
    assert fills(events) == [(199_900, 5)]
    assert isinstance(site.takes(intent(2, size_lots=1, **sell), 2_000)[-1], OrderRejected)


def test_an_order_that_only_reduces_may_be_smaller_than_the_minimum() -> None:
    site = Site()
    site.takes(intent(0))
    one = intent(1, size_lots=1, side=Side.SELL, reduce_only=True, limit_ticks=199_000)
    assert fills(site.takes(one, 1_000)) == [(199_900, 1)]


def test_a_market_that_only_reduces_lets_us_out() -> None:
    site = Site()
    site.takes(intent(0))
    site.markets[LONG] = market(Leg.LONG, status=MarketStatus.REDUCE_ONLY)
    one = intent(1, side=Side.SELL, reduce_only=True, limit_ticks=199_000)
    assert fills(site.takes(one, 1_000)) == [(199_900, 12)]


def test_the_same_order_twice_is_our_own_mistake() -> None:
    site = Site()
    site.venue.submit(intent(), 0)
    with pytest.raises(AssertionError, match="sent twice"):
        site.venue.submit(intent(), 1)
    site.venue.due(DELAY_MS)
    with pytest.raises(AssertionError, match="sent twice"):
        site.venue.submit(intent(), 2)


def test_reading_back() -> None:
    site = Site()
    site.venue.submit(intent(), 0)
    site.venue.due(0)
    site.venue.query("t1-long-0", 10)
    assert site.venue.due(10) == [OrderAccepted("t1-long-0", 10)]
    told = site.venue.due(DELAY_MS)
    site.venue.cancel("t1-long-0", 400)
    site.venue.query("t1-long-0", 400)
    assert site.venue.due(400) == told
    site.venue.query("t1-long-7", 500)
    absent = site.venue.due(500)[0]
    assert isinstance(absent, OrderDone)
    assert absent.filled_lots == 0


def test_only_so_many_finished_orders_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "FINISHED_KEPT", 1)
    site = Site()
    site.takes(intent(0, size_lots=5))
    site.venue.query("t1-long-0", 300)
    assert fills(site.venue.due(300)) == [(200_000, 5)], "the last one still is"
    site.takes(intent(1, size_lots=5), 1_000)
    site.venue.query("t1-long-0", 2_000)
    assert fills(site.venue.due(2_000)) == []


asks = st.lists(st.tuples(st.integers(200_000, 200_200), st.integers(1, 9)), max_size=12, unique_by=lambda one: one[0])


@given(levels=asks, orders=st.lists(st.tuples(st.integers(2, 30), st.integers(200_000, 200_250)), max_size=5))
def test_never_more_than_shown_nor_beyond_the_limit(levels: list[Level], orders: list[tuple[int, int]]) -> None:
    site = Site(min_notional_usd=0.0)
    site.show(LONG, bids=[], asks=levels)
    taken: dict[int, int] = {}
    for attempt, (size, limit) in enumerate(orders):
        events = site.takes(intent(attempt, size_lots=size, limit_ticks=limit), attempt)
        got = fills(events)
        within = sum(lots - taken.get(price, 0) for price, lots in levels if price <= limit)
        assert sum(lots for _, lots in got) == min(size, within) == events[-1].filled_lots
        assert [price for price, _ in got] == sorted({price for price, _ in got})
        for price, lots in got:
            taken[price] = taken.get(price, 0) + lots
    assert all(taken.get(price, 0) <= lots for price, lots in levels)
    assert set(taken) <= {price for price, _ in levels}


# --- with the machine ---


def run(site: Site, story: Story, until_ms: int) -> None:
    """The engine's loop in small: effects to the paper venue, its events back, nothing else."""
    heard = 0
    while True:
        for effect in story.effects[heard:]:
            if isinstance(effect, Place):
                site.venue.submit(effect.intent, story.at_ms)
            elif isinstance(effect, Query):
                site.venue.query(effect.client_id, story.at_ms)
        heard = len(story.effects)
        due_ms = site.venue.next_due_ms
        if due_ms is None or due_ms > until_ms:
            return
        story.at_ms = max(story.at_ms, due_ms)
        for event in site.venue.due(story.at_ms):
            story.tell(event)


def test_a_paper_trade_from_start_to_close() -> None:
    site, story = Site(), Story().start()
    run(site, story, 2_000)
    assert story.trade.state is State.HEDGED
    story.effects.clear()
    story.tell(ExitWanted("t1", "done", story.at_ms))
    run(site, story, 4_000)
    assert story.trade.state is State.CLOSED


def test_a_thin_book_is_repaired_on_the_exposed_leg() -> None:
    site, story = Site(), Story().start()
    site.show(LONG, bids=[(199_900, 20)], asks=[(200_000, 4)])
    run(site, story, 2_000)
    assert story.trade.state is State.HEDGED
    assert [(one.leg, one.reduce_only) for one in story.placed[2:]] == [(Leg.SHORT, True)]


def test_a_crash_between_fills_is_finished_after_the_restart() -> None:
    site, story = Site(), Story().start()
    run(site, story, 0)
    site.venue.due(DELAY_MS)
    story.fills("t1-long-0", 5)
    planned = TradePlanned(plan=PLAN, terms={}, at_ms=0)
    ledger = Ledger([planned, *[effect.record for effect in story.effects if isinstance(effect, Persist)]])
    again, later = Site(ledger), Story(ledger.trades["t1"].trade)
    later.at_ms = 60_000
    later.tell(Resumed("t1", 60_000))
    run(again, later, 70_000)
    assert later.trade.state is State.CLOSED
    assert [(one.leg, one.size_lots) for one in later.placed] == [(Leg.LONG, 5)]

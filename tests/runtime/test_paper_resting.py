"""Post-only orders on paper: they rest, never take, and fill only where a real one would have."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_site import LONG, Site, fees, fills, intent, market

from trade_samples import PLAN, Story
from twinleg.core.book import Book
from twinleg.core.effects import Cancel, Place, Query
from twinleg.core.messages import Level, MarketStatus
from twinleg.core.orders import (
    DeadlinePassed,
    Filled,
    Intent,
    Leg,
    OrderAccepted,
    OrderDone,
    OrderEvent,
    OrderRejected,
    Purpose,
    Side,
    State,
    TimeInForce,
)
from twinleg.core.trade import Trade
from twinleg.runtime import paper
from twinleg.runtime.paper import TAKEN_MEMORY_MS

BID = 199_900
ASK = 200_000


def resting(attempt: int = 0, **changes: Any) -> Intent:
    """A bid of 12 lots at the best bid."""
    return intent(attempt, **{"time_in_force": TimeInForce.POST_ONLY, "limit_ticks": BID} | changes)


def rested(site: Site, one: Intent, at_ms: int = 0) -> None:
    site.venue.submit(one, at_ms)
    assert site.venue.due(at_ms) == [OrderAccepted(one.client_id, at_ms)]


def asked(site: Site, *asks: Level, bid: int = BID - 100) -> None:
    site.show(LONG, bids=[(bid, 50)], asks=list(asks))


def test_an_order_rests_and_nothing_fills_it_while_the_other_side_stays_away() -> None:
    site = Site()
    rested(site, resting())
    asked(site, (BID + 1, 50), bid=BID - 5)
    assert site.venue.due(2_999) == []
    assert site.venue.next_due_ms == 3_000


@pytest.mark.parametrize("price", [BID, BID - 7])
def test_what_comes_to_its_price_or_through_it_fills_it_at_its_own_price_for_the_maker_fee(price: int) -> None:
    site = Site(maker_fee_bps=1.0, taker_fee_bps=9.0)
    rested(site, resting())
    asked(site, (price, 5), (BID + 1, 50), bid=BID - 100)
    events = site.venue.due(100)
    assert fills(events) == [(BID, 5)]
    assert fees(events) == [100], "0.9995 quote at one bps is 99.95 micro, rounded up"
    asked(site, (price - 1, 30))
    events = site.venue.due(200)
    assert fills(events) == [(BID, 7)]
    assert events[-1] == OrderDone("t1-long-0", "filled", 12, 200)
    assert len({event.fill_id for event in events if isinstance(event, Filled)} | {"t1-long-0/0"}) == 2
    assert site.venue.due(9_000) == [], "over is over"


def test_the_same_levels_do_not_fill_it_twice() -> None:
    site = Site()
    rested(site, resting(deadline_ms=99_000))
    asked(site, (BID, 5))
    assert fills(site.venue.due(100)) == [(BID, 5)]
    assert fills(site.venue.due(200)) == []
    assert fills(site.venue.due(100 + TAKEN_MEMORY_MS)) == [(BID, 5)]


def test_a_sell_rests_above_and_is_met_by_bids() -> None:
    site = Site()
    rested(site, resting(side=Side.SELL, limit_ticks=ASK))
    site.show(LONG, bids=[(ASK, 4), (ASK - 1, 90)], asks=[(ASK + 9, 5)])
    assert fills(site.venue.due(100)) == [(ASK, 4)]


@pytest.mark.parametrize(("side", "limit"), [(Side.BUY, ASK), (Side.BUY, ASK + 1), (Side.SELL, BID)])
def test_one_that_would_take_is_rejected_and_takes_nothing(side: Side, limit: int) -> None:
    site = Site()
    site.venue.submit(resting(side=side, limit_ticks=limit), 0)
    (event,) = site.venue.due(0)
    assert event == OrderRejected("t1-long-0", "post-only, and it would take", 0)
    site.venue.query("t1-long-0", 5)
    assert site.venue.due(5) == [event]
    assert fills(site.takes(intent(1, side=side, limit_ticks=limit), 10)), "what it saw is all still there"


@pytest.mark.parametrize("trouble", ["lost", "crossed", "gone"])
def test_without_a_trustworthy_book_it_is_rejected_and_what_rests_waits(trouble: str) -> None:
    def spoil(site: Site) -> None:
        match trouble:
            case "lost":
                site.books[LONG].lose("gap")
            case "crossed":
                site.show(LONG, bids=[(BID, 9)], asks=[(BID - 50, 9)])
            case "gone":
                site.books.pop(LONG)

    site = Site()
    spoil(site)
    site.venue.submit(resting(), 0)
    (event,) = site.venue.due(0)
    assert isinstance(event, OrderRejected)
    site = Site()
    rested(site, resting())
    spoil(site)
    assert site.venue.due(100) == []
    site.books[LONG] = Book(LONG)
    asked(site, (BID, 50))
    assert fills(site.venue.due(200)) == [(BID, 12)]


def test_a_market_that_closes_fills_nothing() -> None:
    site = Site()
    rested(site, resting())
    site.markets[LONG] = market(Leg.LONG, status=MarketStatus.REDUCE_ONLY)
    asked(site, (BID, 50))
    assert site.venue.due(100) == []


def test_cancelled_with_what_it_has_filled() -> None:
    site = Site()
    rested(site, resting())
    asked(site, (BID, 5))
    site.venue.due(100)
    site.venue.cancel("t1-long-0", 150)
    asked(site, (BID - 1, 50))
    assert site.venue.due(150) == [OrderDone("t1-long-0", "cancelled", 5, 150)], "the cancel came first"
    site.venue.cancel("t1-long-0", 200)
    assert site.venue.due(5_000) == []


def test_a_cancel_sent_with_the_order_ends_it() -> None:
    site = Site()
    site.venue.submit(resting(), 0)
    site.venue.cancel("t1-long-0", 0)
    assert site.venue.due(0) == [OrderAccepted("t1-long-0", 0), OrderDone("t1-long-0", "cancelled", 0, 0)]


def test_it_expires_at_its_deadline() -> None:
    site = Site()
    rested(site, resting())
    asked(site, (BID, 50))
    assert site.venue.due(3_000) == [OrderDone("t1-long-0", "expired", 0, 3_000)]
    assert site.venue.next_due_ms is None


def test_reading_back_repeats_what_it_was_told() -> None:
    site = Site()
    site.venue.submit(resting(), 0)
    site.venue.query("t1-long-0", 0)
    assert site.venue.due(0) == [OrderAccepted("t1-long-0", 0)], "once, before it has arrived"
    asked(site, (BID, 5))
    filled = site.venue.due(100)
    site.venue.query("t1-long-0", 200)
    assert site.venue.due(200) == [OrderAccepted("t1-long-0", 0), *filled]
    ended = site.venue.due(3_000)
    site.venue.query("t1-long-0", 3_100)
    assert site.venue.due(3_100) == [*filled, *ended]


def test_the_same_order_twice_is_our_own_mistake() -> None:
    site = Site()
    rested(site, resting())
    with pytest.raises(AssertionError, match="sent twice"):
        site.venue.submit(resting(), 1)


def test_what_rests_counts_among_what_is_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "PENDING_MAX", 1)
    site = Site()
    rested(site, resting())
    site.venue.submit(resting(1), 1)
    assert [type(event) for event in site.venue.due(1)] == [OrderRejected]


def test_one_that_only_reduces_never_turns_the_position() -> None:
    site = Site()
    site.takes(intent(0, size_lots=5))
    sell = resting(1, side=Side.SELL, limit_ticks=ASK + 500, reduce_only=True, purpose=Purpose.EXIT, deadline_ms=9_000)
    rested(site, sell, 1_000)
    site.show(LONG, bids=[(ASK + 500, 50)], asks=[(ASK + 900, 5)])
    assert fills(site.venue.due(1_100)) == [(ASK + 500, 5)]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 9), st.integers(0, 40)), min_size=1, max_size=12))
def test_never_filled_by_more_than_came_to_its_price(looks: list[tuple[int, int, int]]) -> None:
    """Each look: where the best ask stands from our bid, how much of it, and how much lies far above."""
    site = Site()
    rested(site, resting(size_lots=40, deadline_ms=10_000))
    got: list[OrderEvent] = []
    most: dict[int, int] = {}
    for number, (away, lots, far) in enumerate(looks):
        asked(site, (BID + away, lots), (BID + 50, far + 1), bid=BID - 50)
        got += site.venue.due(number)
        if away <= 0:
            most[BID + away] = max(most.get(BID + away, 0), lots)
    assert all(price == BID for price, _ in fills(got))
    assert sum(lots for _, lots in fills(got)) == min(40, sum(most.values()))


# --- with the machine ---


def test_a_leg_that_rests_is_hedged_as_it_fills_and_closed_when_it_never_does() -> None:
    plan = msgspec.structs.replace(PLAN, first=Leg.LONG, rest_ms=5_000)
    plan = msgspec.structs.replace(plan, long=msgspec.structs.replace(plan.long, limit_ticks=BID, decision_ticks=BID))
    site, story = Site(), Story(Trade(plan)).start()
    heard = 0

    def pass_to(at_ms: int) -> None:
        nonlocal heard
        story.at_ms = at_ms
        for event in site.venue.due(at_ms):
            story.tell(event)
        while heard < len(story.effects):
            effect = story.effects[heard]
            heard += 1
            match effect:
                case Place(one):
                    site.venue.submit(one, at_ms)
                case Cancel(one_id):
                    site.venue.cancel(one_id, at_ms)
                case Query(one_id):
                    site.venue.query(one_id, at_ms)

    for at_ms in range(0, 1_000, 50):
        pass_to(at_ms)
    assert (story.trade.state, story.trade.held(Leg.LONG)) == (State.ENTERING, 0)
    asked(site, (BID, 6))
    for at_ms in range(1_000, 2_000, 50):
        pass_to(at_ms)
    assert (story.trade.held(Leg.LONG), story.trade.held(Leg.SHORT)) == (6, 4)
    asked(site, (BID + 100, 50), bid=BID)
    pass_to(5_000)
    story.tell(DeadlinePassed("t1", 5_000))
    for at_ms in range(5_000, 6_000, 50):
        pass_to(at_ms)
    assert (story.trade.state, story.trade.held(Leg.LONG), story.trade.held(Leg.SHORT)) == (State.HEDGED, 6, 4)

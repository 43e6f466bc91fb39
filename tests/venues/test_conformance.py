"""One battery for every venue: what a feed and its reads must do, whatever the wire looks like.

Runs for each `tests/venues/<venue>/case.py`. What a venue does not have it declares in its Capabilities; tests that
need it are skipped by that alone, never by name.
"""

from __future__ import annotations

import random

import pytest

from twinleg.core.messages import (
    BookDelta,
    BookLost,
    BookSnapshot,
    FundingPredicted,
    FundingSettled,
    FundingSource,
    Market,
    MarketStatus,
    Stats,
    TradePrint,
)
from twinleg.core.venue import Capabilities, Feed, WireError
from venues.battery import (
    GARBAGE,
    START_MS,
    Case,
    Line,
    cases,
    fresh_server,
    join,
    listed,
    only,
    sprinkled,
    wire_levels,
)

HOUR_MS = 3_600_000
NO_PRICE = ["0", "-1", "NaN", "Infinity", "1e3", "", " 10", "1_0", "0x10", "1.2.3", "--1", "1" * 50, "0.00000000001"]
NO_SIZE = ["-1", "NaN", "-Infinity", "1e3", "", " 1", "1_0", "1,5", ".", "9" * 50, "0.00000000000000001"]


@pytest.fixture(params=cases(), ids=lambda case: case.venue.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def has(case: Case) -> Capabilities:
    return case.venue.capabilities


@pytest.fixture
def line(case: Case) -> Line:
    return join(case)


@pytest.fixture
def first(case: Case) -> Market:
    return listed(case)[case.open_symbols[0]]


class TestListing:
    def test_markets_carry_exact_facts(self, case: Case) -> None:
        markets = listed(case)
        for symbol in case.open_symbols:
            market = markets[symbol]
            assert market.key == f"{case.venue.name}:{symbol}"
            assert market.venue == case.venue.name
            assert (market.status, market.excluded) == (MarketStatus.OPEN, None)
            assert market.min_size_lots >= 1
            assert market.price_grid.unit > 0
            assert market.base
            assert market.quote
            assert market.funding_interval_ms > 0

    def test_statuses_and_exclusions_are_told(self, case: Case) -> None:
        markets = listed(case)
        assert {symbol: market.status for symbol, market in markets.items()} == case.statuses
        assert {symbol for symbol, market in markets.items() if market.excluded} == case.excluded
        assert MarketStatus.UNKNOWN in case.statuses.values()

    def test_a_bad_row_loses_only_itself(self, case: Case) -> None:
        assert case.left_out
        assert not case.left_out & listed(case).keys()

    def test_unknown_fields_change_nothing(self, case: Case) -> None:
        assert listed(case, sprinkled(case.listing)) == listed(case)

    def test_what_is_no_listing_is_an_error(self, case: Case) -> None:
        read = case.venue.list_markets()
        for body in [*GARBAGE, *case.refusals, case.listing[:-1], case.listing.replace(b'"', b"'")]:
            with pytest.raises(WireError):
                read.parse(body, START_MS)

    def test_requests_are_complete(self, case: Case) -> None:
        markets = [listed(case)[symbol] for symbol in case.open_symbols]
        clock = case.venue.clock()
        reads = [case.venue.list_markets(), *case.venue.funding_now(markets), *([] if clock is None else [clock])]
        if case.venue.capabilities.funding_history:
            reads.append(case.venue.funding_history(markets[0], START_MS - 24 * HOUR_MS, START_MS))
        for read in reads:
            assert read.request.url.startswith("http://127.0.0.1:1/")
            assert read.request.venue == case.venue.name
            assert not read.request.reduces_risk


class TestRates:
    def test_the_current_rate_is_a_fraction_per_hour(self, case: Case) -> None:
        markets = [listed(case)[symbol] for symbol in case.open_symbols]
        read = case.venue.funding_now(markets)[0]
        events = read.parse(case.funding_now.body, START_MS)
        assert all(isinstance(event, FundingPredicted) and event.source is FundingSource.REST for event in events)
        rates = [(event.market.partition(":")[2], event.rate_per_hour) for event in events]
        assert rates == [(symbol, pytest.approx(rate, rel=1e-12)) for symbol, rate in case.funding_now.rates]
        assert all(START_MS < event.settles_at_ms <= START_MS + HOUR_MS for event in events)

    def test_history_is_signed_and_oldest_first(self, case: Case, has: Capabilities, first: Market) -> None:
        only(has.funding_history, "funding history")
        read = case.venue.funding_history(first, START_MS - 24 * HOUR_MS, START_MS)
        events = read.parse(case.funding_history.body, START_MS)
        assert all(isinstance(event, FundingSettled) and event.source is FundingSource.HISTORY for event in events)
        rates = [(event.settled_at_ms, event.rate_per_hour) for event in events]
        assert rates == [(at_ms, pytest.approx(rate, rel=1e-12)) for at_ms, rate in case.funding_history.rates]
        assert rates == sorted(rates)
        assert any(rate < 0 for _, rate in rates)

    def test_refusals_are_errors(self, case: Case, has: Capabilities, first: Market) -> None:
        reads = case.venue.funding_now([first])
        reads += [case.venue.funding_history(first, 0, START_MS)] if has.funding_history else []
        for body in [*GARBAGE, *case.refusals[:2]]:
            for read in reads:
                with pytest.raises(WireError):
                    read.parse(body, START_MS)

    def test_the_stream_says_the_same_unit(self, case: Case, line: Line, first: Market) -> None:
        frames = line.server.stats(first.symbol, "1234.5", "1233.25", START_MS)
        only(bool(frames), "reference prices in the stream")
        events = line.push(*frames)
        stats = [event for event in events if isinstance(event, Stats)]
        assert [event.mark_price for event in stats if event.mark_price is not None] == [1234.5]
        assert [event.index_price for event in stats if event.index_price is not None] == [1233.25]
        assert {event.market for event in stats} == {first.key}
        only(case.predicted_rate is not None, "funding rate in the stream")
        (predicted,) = [event for event in events if isinstance(event, FundingPredicted)]
        assert predicted.rate_per_hour == pytest.approx(case.predicted_rate, rel=1e-12)
        assert predicted.settles_at_ms == (START_MS // HOUR_MS + 1) * HOUR_MS
        assert (predicted.source, predicted.venue_ms) == (FundingSource.STREAM, START_MS)

    def test_the_clock_is_read_against_ours(self, case: Case) -> None:
        read = case.venue.clock()
        only(read is not None, "clock")
        assert read is not None
        for body in GARBAGE:
            with pytest.raises(WireError):
                read.parse(body, START_MS)


class TestBooks:
    def test_the_first_message_is_the_whole_book(self, line: Line) -> None:
        snapshots = [event for event in line.events if isinstance(event, BookSnapshot)]
        assert sorted(event.market for event in snapshots) == sorted(line.feed.markets)
        assert all(line.books[key] == line.truth(key) for key in line.feed.markets)

    def test_a_book_is_followed_exactly(self, line: Line) -> None:
        dice = random.Random(7)
        for _ in range(300):
            market = dice.choice(list(line.by_key.values()))
            bids, asks = (
                {1000 + dice.randint(-9, 9): dice.choice((0, 1, 7, 10**9 + 1)) for _ in range(dice.randint(0, 4))}
                for _ in range(2)
            )
            (event,) = line.push(line.change(market.symbol, list(bids.items()), list(asks.items())))
            assert isinstance(event, BookDelta | BookSnapshot)
            assert event.received_ns == line.now_ns
            assert line.books[market.key] == line.truth(market.key)
        assert line.feed.bad_frames == line.feed.unknown_words == 0

    def test_numbers_beyond_floats_stay_exact(self, line: Line, first: Market) -> None:
        big = 2**53 + 1
        line.push(line.change(first.symbol, [(big, big + 2)], []))
        book = line.books[first.key]
        assert book is not None
        assert book[0][big] == big + 2

    def test_an_empty_book_is_a_book(self, case: Case, first: Market) -> None:
        line = join(case, server=case.server(None))
        assert line.books[first.key] == ({}, {})
        line.push(line.change(first.symbol, [(1000, 1)], []))
        assert line.books[first.key] == ({1000: 1}, {})
        line.push(line.change(first.symbol, [(1000, 0)], []))
        assert line.books[first.key] == ({}, {})
        assert line.lost() == []

    def test_a_crossed_book_is_passed_on_untouched(self, line: Line, first: Market) -> None:
        line.push(line.change(first.symbol, [(1005, 3)], []))
        assert line.books[first.key] == line.truth(first.key)
        book = line.books[first.key]
        assert book is not None
        assert max(book[0]) > min(book[1])

    def test_unknown_fields_change_nothing(self, line: Line, first: Market) -> None:
        line.push(sprinkled(line.change(first.symbol, [(990, 4)], [])))
        assert line.books[first.key] == line.truth(first.key)
        assert line.lost() == []

    def test_unknown_messages_are_counted_and_hurt_nothing(self, line: Line, first: Market) -> None:
        strange = line.server.strange()
        assert line.push(*strange) == []
        assert line.feed.unknown_words == len(strange)
        line.push(line.change(first.symbol, [(990, 4)], []))
        assert line.books[first.key] == line.truth(first.key)

    def test_markets_do_not_mix(self, line: Line) -> None:
        one, other = line.by_key.values()
        line.push(line.change(one.symbol, [(990, 4)], []), line.change(other.symbol, [], [(1010, 6)]))
        assert all(line.books[key] == line.truth(key) for key in line.feed.markets)
        assert line.books[one.key] != line.books[other.key]


class TestLoss:
    def test_a_missing_message_loses_the_book_once(self, line: Line, has: Capabilities, first: Market) -> None:
        only(has.sequence, "continuity number")
        line.deaf_to = (b"ubscribe",)
        line.change(first.symbol, [(990, 4)], [])
        line.push(*(line.change(first.symbol, [(991, lots)], []) for lots in (1, 2, 3)))
        hurt = line.feed.markets if has.sequence_per_connection else (first.key,)
        assert sorted(line.lost()) == sorted(hurt)
        assert line.books[first.key] is None

    def test_it_recovers(self, line: Line, has: Capabilities, first: Market) -> None:
        only(has.sequence, "continuity number")
        line.change(first.symbol, [(990, 4)], [])
        line.push(line.change(first.symbol, [(991, 1)], []))
        line.recover()
        line.push(line.change(first.symbol, [(992, 1)], []))
        assert line.books[first.key] == line.truth(first.key)

    @pytest.mark.parametrize("order", [(0, 0, 1), (0, 1, 1), (1, 0), (0, 1, 0), (1, 0, 0, 1)])
    def test_repeated_or_reordered_messages_never_make_a_wrong_book(
        self, line: Line, has: Capabilities, first: Market, order: tuple[int, ...]
    ) -> None:
        only(has.sequence, "continuity number")
        frames = [line.change(first.symbol, [(990, 4)], []), line.change(first.symbol, [(990, 6)], [(1010, 1)])]
        line.push(*(frames[index] for index in order))
        assert line.books[first.key] in (None, line.truth(first.key))
        line.recover()

    def test_a_resync_that_is_asked_for_brings_the_whole_book(self, line: Line, first: Market) -> None:
        before = len([event for event in line.events if isinstance(event, BookSnapshot)])
        line.feed.resync(first.key)
        line.pump()
        line.wait(2)
        if line.case.venue.capabilities.deltas:
            assert len([event for event in line.events if isinstance(event, BookSnapshot)]) == before + 1
        line.push(line.change(first.symbol, [(990, 4)], []))
        assert line.books[first.key] == line.truth(first.key)
        with pytest.raises(KeyError):
            line.feed.resync("nobody:NOTHING")

    def test_changes_wait_for_the_snapshot(self, case: Case, has: Capabilities, first: Market) -> None:
        only(has.deltas, "changes")
        line = join(case)
        line.deaf_to = (b"ubscribe",)
        line.feed.resync(first.key)
        line.pump()
        assert line.push(line.change(first.symbol, [(990, 4)], [])) == []

    def test_a_lost_answer_is_asked_for_again_and_then_given_up(
        self, line: Line, has: Capabilities, first: Market
    ) -> None:
        only(has.deltas, "changes, so that the next message may not do")
        line.deaf_to = (b"ubscribe",)
        line.feed.resync(first.key)
        line.books[first.key] = None
        line.pump()
        line.sent.clear()
        line.wait(300)
        assert 2 <= sum(b"ubscribe" in message for message in line.sent) <= 10
        assert line.feed.broken is not None, "what was delivered is delivered no more"
        line.deaf_to = ()
        line.recover()

    def test_a_book_that_never_comes_hurts_no_other(self, case: Case, has: Capabilities) -> None:
        only(has.deltas, "changes, so that the next message may not do")
        one, other = (listed(case)[symbol] for symbol in case.open_symbols)
        line = Line(case, case.venue.feeds([one, other])[0], [one, other], fresh_server(case))
        line.deaf_to = (b'"%b"' % one.native_id.encode(), b"/%b" % one.native_id.encode())
        line.open()
        line.sent.clear()
        line.wait(600)
        assert line.feed.broken is None
        assert line.books == {one.key: None, other.key: line.truth(other.key)}
        assert 5 <= sum(b"ubscribe" in message for message in line.sent) <= 100
        line.deaf_to = ()
        line.recover()

    @pytest.mark.parametrize("greets", [False, True])
    def test_a_silent_venue_is_given_up(self, case: Case, first: Market, greets: bool) -> None:
        line = Line(case, case.venue.feeds([first])[0], [first])
        line.deaf_to = (b"",)
        line.feed.opened(line.now_ms)
        if greets:
            line.push(*line.server.greet())
        line.wait(180)
        assert line.feed.broken is not None
        assert line.events == []

    def test_a_snapshot_that_is_none_is_asked_for_again(self, line: Line, has: Capabilities, first: Market) -> None:
        only(has.deltas, "changes, so that the next message may not do")
        line.server.books[first.symbol][0]["-1"] = "1"
        line.feed.resync(first.key)
        line.books[first.key] = None
        line.pump()
        line.wait(3)
        assert line.books[first.key] is None
        assert line.feed.bad_frames >= 1
        assert line.lost() == []
        del line.server.books[first.symbol][0]["-1"]
        line.recover()

    def test_a_closed_connection_starts_from_nothing(self, line: Line, has: Capabilities, first: Market) -> None:
        stale = line.change(first.symbol, [(990, 4)], [])
        line._take(line.feed.closed("gone", line.now_ns, line.now_ms))
        assert sorted(line.lost()) == sorted(line.feed.markets)
        assert line.feed.closed("again", line.now_ns, line.now_ms) == []
        line.feed.opened(line.now_ms)
        if has.deltas:
            assert line.feed.received(stale, line.now_ns, line.now_ms) == []
        line.feed.closed("gone", line.now_ns, line.now_ms)
        line.books = dict.fromkeys(line.books)
        line.reopen()
        line.recover()

    def test_a_broken_feed_says_no_more(self, line: Line, has: Capabilities, first: Market) -> None:
        only(has.sequence_per_connection, "common continuity number")
        for _ in range(20):
            line.change(first.symbol, [(990, 4)], [])
            line.push(line.change(first.symbol, [(990, 5)], []))
        assert line.feed.broken is not None, "a connection that goes on losing messages is no good"
        line.feed.outbox.clear()
        assert line.push(line.change(first.symbol, [(990, 6)], [])) == []
        line.wait(60)
        assert line.feed.outbox == []
        line.recover()


class TestGarbage:
    @pytest.mark.parametrize("number", range(len(GARBAGE)))
    def test_it_is_counted_and_hurts_no_book(self, line: Line, first: Market, number: int) -> None:
        line.push(GARBAGE[number])
        assert line.feed.bad_frames + line.feed.unknown_words == 1
        line.push(line.change(first.symbol, [(990, 4)], []))
        assert line.books[first.key] == line.truth(first.key)

    def test_in_place_of_a_message_it_loses_the_book(self, line: Line, has: Capabilities, first: Market) -> None:
        only(has.sequence, "continuity number")
        frame = line.change(first.symbol, [(990, 4)], [])
        line.push(frame[: len(frame) // 2], line.change(first.symbol, [(990, 5)], []))
        assert first.key in line.lost()
        line.recover()

    @pytest.mark.parametrize("text", NO_PRICE)
    def test_no_price_is_no_book(self, line: Line, first: Market, text: str) -> None:
        ((_, size),) = wire_levels(first, (1, 1))
        self._refused(line, first, line.server.change(first.symbol, [(text, size)], []))
        line.server.books[first.symbol][0].pop(text)
        line.recover()

    @pytest.mark.parametrize("text", NO_SIZE)
    def test_no_size_is_no_book(self, line: Line, first: Market, text: str) -> None:
        ((price, _),) = wire_levels(first, (1003, 1))
        self._refused(line, first, line.server.change(first.symbol, [], [(price, text)]))
        line.server.books[first.symbol][1].pop(price, None)
        line.recover()

    @staticmethod
    def _refused(line: Line, first: Market, frame: bytes) -> None:
        line.deaf_to = (b"ubscribe",)
        line.push(frame)
        assert line.lost() == [first.key]
        assert line.books[first.key] is None
        assert line.feed.bad_frames == 1
        if line.case.venue.capabilities.deltas:
            assert line.push(line.change(first.symbol, [(990, 1)], [])) == []
        line.deaf_to = ()

    def test_an_endless_message_is_read_or_refused(self, line: Line, first: Market) -> None:
        line.push(line.change(first.symbol, [(ticks, 1) for ticks in range(1, 50_001)], []))
        assert line.books[first.key] in (None, line.truth(first.key))


class TestTrades:
    def test_a_trade_has_its_side_and_exact_numbers(self, line: Line, has: Capabilities, first: Market) -> None:
        only(has.trades, "trades")
        (level,) = wire_levels(first, (1001, 7))
        bought = line.push(line.server.trade(first.symbol, level, 5001, taker_buys=True))
        sold = line.push(line.server.trade(first.symbol, level, 5002, taker_buys=False))
        prints = [event for event in bought + sold if isinstance(event, TradePrint)]
        assert [(event.market, event.price_ticks, event.size_lots) for event in prints] == [(first.key, 1001, 7)] * 2
        assert [(event.trade_id, event.taker_buys) for event in prints] == [("5001", True), ("5002", False)]

    def test_a_replayed_trade_is_told_once(self, line: Line, has: Capabilities, first: Market) -> None:
        only(has.trades, "trades")
        (level,) = wire_levels(first, (1001, 7))
        line.push(line.server.trade(first.symbol, level, 5001, taker_buys=True))
        assert line.push(line.server.trade(first.symbol, level, 5001, taker_buys=True)) == []
        line.reopen()
        assert line.push(line.server.trade(first.symbol, level, 5001, taker_buys=True)) == []
        (event,) = line.push(line.server.trade(first.symbol, level, 5003, taker_buys=True))
        assert isinstance(event, TradePrint)

    def test_a_trade_off_the_grid_is_refused(self, line: Line, has: Capabilities, first: Market) -> None:
        only(has.trades, "trades")
        assert line.push(line.server.trade(first.symbol, ("1.23456789", "1"), 5001, taker_buys=True)) == []
        assert line.feed.bad_frames == 1
        assert line.lost() == []


class TestBudget:
    def test_feeds_together_stay_within_the_venues_limits(self, case: Case, has: Capabilities) -> None:
        """150 markets for ten minutes, every answer a second late, a book broken on each connection every 7 s."""
        limits = case.venue.limits
        markets = list(listed(case, case.wide_listing(150)).values())
        lines = [Line(case, feed, markets) for feed in case.venue.feeds(markets)]
        assert sorted(key for line in lines for key in line.feed.markets) == sorted(market.key for market in markets)
        assert len({line.feed.name for line in lines}) == len(lines)
        sent_at: list[int] = []
        late: dict[int, list[bytes]] = {}
        ready_s = None
        for line in lines:
            line.feed.opened(START_MS)
            for frame in line.server.greet():
                line._take(line.feed.received(frame, 0, START_MS))
        for second in range(600):
            now_ms, now_ns = START_MS + second * 1_000, second * 1_000_000_000
            in_flight = 0
            for index, line in enumerate(lines):
                late[index] = _second(line, late.get(index, []), now_ns, now_ms)
                in_flight += len(late[index])
                sent_at += [second] * len(late[index])
                if has.sequence and second % 7 == index and second > 60:
                    symbol = line.by_key[line.feed.markets[second % len(line.feed.markets)]].symbol
                    line.change(symbol, [(1000, 1)], [])
                    line._take(line.feed.received(line.change(symbol, [(1000, 2)], []), now_ns, now_ms))
            assert in_flight <= limits.messages_in_flight
            assert sent_at.count(second) <= limits.messages_in_flight
            assert sum(at > second - 60 for at in sent_at) <= limits.stream_messages_per_minute
            if ready_s is None and all(book is not None for line in lines for book in line.books.values()):
                ready_s = second
        assert ready_s is not None
        assert ready_s < 60, "trades come last"


def _second(line: Line, messages: list[bytes], now_ns: int, now_ms: int) -> list[bytes]:
    """One second of one connection: last second's messages are answered. Returns this second's."""
    if line.feed.broken is not None:
        line._take(line.feed.closed("broken", now_ns, now_ms))
        line.server, messages = line.case.server(line.server.books), []
        line._take(line.feed.opened(now_ms))
        for frame in line.server.greet():
            line._take(line.feed.received(frame, now_ns, now_ms))
    for message in messages:
        for frame in line.server.answer(message):
            line._take(line.feed.received(frame, now_ns, now_ms))
    line._take(line.feed.timer(now_ns, now_ms))
    sent = list(line.feed.outbox)
    line.feed.outbox.clear()
    return sent


def test_a_feed_names_itself_and_its_books(case: Case) -> None:
    markets = [listed(case)[symbol] for symbol in case.open_symbols]
    feed: Feed = case.venue.feeds(markets)[0]
    assert feed.url.startswith("ws://127.0.0.1:1/")
    assert feed.markets == tuple(market.key for market in markets)
    assert case.venue.feeds([]) == []


def test_bytes_and_memoryviews_read_alike(case: Case, first: Market) -> None:
    one, other = join(case), join(case)
    frame = one.change(first.symbol, [(990, 4)], [])
    assert one.feed.received(frame, 1, 2) == other.feed.received(memoryview(frame), 1, 2)
    assert isinstance(one.events[0], BookSnapshot)
    assert not any(isinstance(event, BookLost) for event in one.events)

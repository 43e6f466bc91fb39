"""One battery for every venue's private side: signing, what answers mean, and the truth about the account.

Runs for each `tests/venues/<venue>/trading_case.py`. What a venue cannot do it declares in its TradingCapabilities.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from twinleg.core.messages import Market
from twinleg.core.orders import Leg, Purpose, Side, TimeInForce, client_id, trade_id
from twinleg.core.trading import (
    IN_DOUBT,
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    ExecutionSeen,
    Incident,
    OrderSeen,
    PositionSeen,
    SendVerdict,
    TradingCapabilities,
    TradingVenue,
)
from twinleg.core.venue import WireError
from venues.battery import GARBAGE, START_MS, only, sprinkled
from venues.trading_battery import (
    OURS,
    AccountLine,
    TradingCase,
    a_balance,
    a_fill,
    a_position,
    an_intent,
    an_order,
    lane_of,
    trading_cases,
)

WEB_PAGE = b"<html><body>502 Bad Gateway</body></html>"
SAYS_NOTHING = [b"", b"null", b"[]", b"17", b'"OK"', b"{", b"\xff\xfe", WEB_PAGE, b'{"a":' * 5_000]
NEVER_KNOWN = [None, 301, 302, 408, 500, 502, 503, 504, 520, 524, 599]
REFUSING = [400, 401, 403, 404, 405, 409, 413, 418, 422, 429, 451]


@pytest.fixture(params=trading_cases(), ids=lambda case: case.markets[0].venue)
def case(request: pytest.FixtureRequest) -> TradingCase:
    found: TradingCase = request.param
    return found


@pytest.fixture
def venue(case: TradingCase) -> TradingVenue:
    return case.venue()


@pytest.fixture
def has(venue: TradingVenue) -> TradingCapabilities:
    return venue.trading


@pytest.fixture
def market(case: TradingCase) -> Market:
    return case.markets[0]


@pytest.fixture
def line(case: TradingCase) -> AccountLine:
    return AccountLine(case).open()


def reads_of(venue: TradingVenue) -> dict[str, AccountRead]:
    return {
        "orders": venue.open_orders(START_MS),
        "fills": venue.fills(START_MS - 60_000, START_MS),
        "positions": venue.positions(START_MS),
        "balance": venue.balance(START_MS),
    }


def rows(events: list[AccountEvent], kind: str) -> tuple[Any, ...]:
    """The rows of the one snapshot of that kind."""
    (snapshot,) = [event for event in events if isinstance(event, AccountSnapshot) and event.kind == kind]
    return snapshot.rows


def doubts(events: list[AccountEvent]) -> list[Incident]:
    return [event for event in events if isinstance(event, Incident) and event.kind == IN_DOUBT]


class TestSigning:
    @pytest.mark.parametrize("side", Side)
    @pytest.mark.parametrize("purpose", Purpose)
    @pytest.mark.parametrize("time_in_force", TimeInForce)
    def test_what_is_signed_is_what_was_decided(
        self, case: TradingCase, venue: TradingVenue, side: Side, purpose: Purpose, time_in_force: TimeInForce
    ) -> None:
        only(time_in_force is not TimeInForce.POST_ONLY or venue.trading.post_only, "post-only orders")
        reduces = purpose not in (Purpose.ENTER, Purpose.HEDGE)
        for number, market in enumerate(case.markets):
            intent = an_intent(
                market,
                side=side,
                purpose=purpose,
                reduce_only=reduces,
                time_in_force=time_in_force,
                limit_ticks=987_654 + number,
                size_lots=market.min_size_lots + 12_345,
            )
            signed = venue.sign(intent, market, lane_of(venue), START_MS)
            assert case.unpack(signed) == (
                OURS,
                market.native_id,
                side,
                market.min_size_lots + 12_345,
                987_654 + number,
                reduces,
                time_in_force,
            )
            assert (signed.client_id, signed.lane) == (OURS, lane_of(venue))
            assert signed.correlation
            assert signed.request.venue == venue.name
            assert signed.request.url.startswith("http://127.0.0.1:1/")
            assert signed.request.reduces_risk or purpose is Purpose.ENTER
            assert signed.void_after_ms > START_MS
            void_ms_max = intent.deadline_ms + venue.trading.expiry_ms_max
            assert case.signs_at_wall_time or signed.void_after_ms <= void_ms_max

    def test_the_same_intent_is_the_same_order(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        intent = an_intent(market)
        one = venue.sign(intent, market, lane_of(venue), START_MS)
        other = case.venue().sign(intent, market, lane_of(venue), START_MS)
        assert case.unpack(one) == case.unpack(other)
        if case.same_bytes:
            assert one == other

    def test_every_order_is_told_apart(self, venue: TradingVenue, market: Market) -> None:
        intents = [
            an_intent(market, client_id=client_id(trade_id(number), leg, attempt), leg=leg, attempt=attempt)
            for number in range(5)
            for leg in Leg
            for attempt in range(5)
        ]
        signed = [venue.sign(intent, market, lane_of(venue), START_MS) for intent in intents]
        assert len({one.correlation for one in signed}) == len({one.request.body for one in signed}) == len(intents)

    @pytest.mark.parametrize(
        "fields",
        [
            {"size_lots": 0},
            {"size_lots": -7},
            {"limit_ticks": 0},
            {"limit_ticks": -1},
            {"size_lots": 10**30},
            {"limit_ticks": 10**30},
            {"market": "nobody:NOTHING"},
            {"deadline_ms": START_MS - 86_400_000},
        ],
        ids=str,
    )
    def test_what_no_venue_could_take_is_not_signed(
        self, venue: TradingVenue, market: Market, fields: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match=r"."):
            venue.sign(an_intent(market, **fields), market, lane_of(venue), START_MS)

    def test_an_order_below_the_least_is_not_signed(self, venue: TradingVenue, market: Market) -> None:
        bigger = msgspec.structs.replace(market, min_size_lots=10)
        venue.sign(an_intent(market, size_lots=10), bigger, lane_of(venue), START_MS)
        with pytest.raises(ValueError, match="least"):
            venue.sign(an_intent(market, size_lots=9), bigger, lane_of(venue), START_MS)

    def test_the_other_deeds_are_requests_too(
        self, venue: TradingVenue, has: TradingCapabilities, market: Market
    ) -> None:
        lane = lane_of(venue)
        deeds = [venue.sign_cancel(OURS, None, market, lane, START_MS)]
        deeds += [venue.sign_cancel_all(None, lane, START_MS)] if has.cancel_all else []
        deeds += [venue.sign_cancel_all(market, lane, START_MS)] if has.cancel_all_in_market else []
        fires_at_ms = START_MS + max(60_000, has.dead_man_ms_min)
        deeds += [venue.sign_dead_man_switch(fires_at_ms, lane, START_MS)] if has.dead_man_switch else []
        deeds += [venue.sign_dead_man_switch(None, lane, START_MS)] if has.dead_man_switch else []
        assert all(signed.request.reduces_risk for signed in deeds)
        deeds += [venue.sign_leverage(market, 3.0, lane, START_MS)] if has.leverage else []
        for signed in deeds:
            assert signed.request.url.startswith("http://127.0.0.1:1/")
            assert signed.lane == lane
            assert signed.void_after_ms > START_MS
        assert len({(deed.request.method, deed.request.url, deed.request.body) for deed in deeds}) == len(deeds)

    def test_a_number_is_asked_for_where_there_is_one(self, venue: TradingVenue, has: TradingCapabilities) -> None:
        for key in venue.lanes():
            asked = venue.next_number(key, START_MS)
            assert (asked is not None) is has.sequenced
            if asked is not None:
                for body in GARBAGE:
                    with pytest.raises(WireError):
                        asked[1](body)


class TestVerdicts:
    @pytest.fixture
    def signed(self, venue: TradingVenue, market: Market) -> Any:
        return venue.sign(an_intent(market), market, lane_of(venue), START_MS)

    def test_only_the_venues_own_yes_is_one(self, case: TradingCase, venue: TradingVenue, signed: Any) -> None:
        body = case.accepted(signed)
        assert venue.read_reply(signed, 200, body).verdict is SendVerdict.ACCEPTED
        assert venue.read_reply(signed, 200, sprinkled(body)).verdict is SendVerdict.ACCEPTED
        for cut in range(len(body)):
            assert venue.read_reply(signed, 200, body[:cut]).verdict is SendVerdict.UNKNOWN
        for status in [*NEVER_KNOWN, *REFUSING]:
            assert venue.read_reply(signed, status, body).verdict is not SendVerdict.ACCEPTED

    def test_a_definite_no_has_a_reason(self, case: TradingCase, venue: TradingVenue, signed: Any) -> None:
        assert case.refusals
        for status, body in case.refusals:
            outcome = venue.read_reply(signed, status, body)
            assert outcome.verdict is SendVerdict.REJECTED, (status, body)
            assert outcome.reason
            assert len(outcome.reason) < 300
            if body:
                assert venue.read_reply(signed, status, sprinkled(body)).verdict is SendVerdict.REJECTED

    def test_what_only_sounds_like_a_no_is_unknown(self, case: TradingCase, venue: TradingVenue, signed: Any) -> None:
        assert case.doubts
        for status, body in case.doubts:
            assert venue.read_reply(signed, status, body).verdict is SendVerdict.UNKNOWN, (status, body)

    @pytest.mark.parametrize("status", NEVER_KNOWN)
    def test_after_trouble_on_the_way_nothing_is_known(
        self, case: TradingCase, venue: TradingVenue, signed: Any, status: int | None
    ) -> None:
        said = [case.accepted(signed), *(body for _, body in case.refusals + case.doubts)]
        for body in [*SAYS_NOTHING, *said]:
            outcome = venue.read_reply(signed, status, body)
            assert outcome.verdict is SendVerdict.UNKNOWN, body[:100]
            assert outcome.reason

    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_a_yes_without_content_is_none(self, venue: TradingVenue, signed: Any, status: int) -> None:
        for body in [*SAYS_NOTHING, b"{}", *GARBAGE]:
            assert venue.read_reply(signed, status, body).verdict is SendVerdict.UNKNOWN, body[:100]

    @pytest.mark.parametrize("status", [status for status in REFUSING if status != 401])
    def test_a_bare_status_is_not_the_venues_word(self, venue: TradingVenue, signed: Any, status: int) -> None:
        for body in [*SAYS_NOTHING, b"{}", *GARBAGE]:
            outcome = venue.read_reply(signed, status, body)
            assert outcome.verdict is SendVerdict.UNKNOWN, body[:100]
            assert outcome.retry_after_s is None or status == 429

    def test_too_many_requests_says_when(self, venue: TradingVenue, signed: Any) -> None:
        outcome = venue.read_reply(signed, 429, b"")
        assert outcome.retry_after_s is not None
        assert 0 < outcome.retry_after_s <= 120

    def test_only_a_numbered_lane_is_spent(self, case: TradingCase, venue: TradingVenue, signed: Any) -> None:
        spent = venue.read_reply(signed, 200, case.accepted(signed)).lane_spent
        assert spent is (True if venue.trading.sequenced else None)
        assert venue.read_reply(signed, None, b"").lane_spent is None


class TestReads:
    def test_every_read_is_a_request_of_ours(self, venue: TradingVenue, market: Market) -> None:
        fees = venue.fees(START_MS)
        reads = [*reads_of(venue).values(), *venue.order(OURS, market, START_MS), *([fees] if fees else [])]
        for read in reads:
            assert (read.request.method, read.request.venue) == ("GET", venue.name)
            assert read.request.url.startswith("http://127.0.0.1:1/")

    def test_orders_are_read_exactly(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        told = (
            an_order(market, filled_lots=300),
            an_order(case.markets[1], side=Side.SELL, venue_order_id="5", client_id=None, price_ticks=2**40 + 1),
            an_order(market, reduce_only=True, venue_order_id="6", client_id=client_id(trade_id(8), Leg.SHORT, 31)),
        )
        read = rows(venue.open_orders(START_MS).parse(case.bodies.orders(told), START_MS), "orders")
        assert [msgspec.structs.replace(row, reason="", name=None) for row in read] == list(told)
        assert [row.name is not None for row in read] == [False, True, False]  # of others: as they call it

    def test_fills_are_read_exactly(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        told = (
            a_fill(market, side=Side.SELL, fee_micro_usd=-12),
            a_fill(case.markets[1], client_id=None, fill_id="9", venue_order_id="5", price_ticks=2**40 + 1),
            a_fill(market, forced="liquidation", client_id=None, fill_id="8", venue_order_id="4"),
            a_fill(market, forced="deleverage", client_id=None, fill_id="7", venue_order_id="3"),
        )
        read = rows(reads_of(venue)["fills"].parse(case.bodies.fills(told), START_MS), "fills")
        assert sorted(read, key=str) == sorted(told, key=str)

    def test_fills_from_before_are_left_out(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        told = (a_fill(market), a_fill(market, fill_id="5", at_ms=START_MS - 60_001))
        (snapshot,) = reads_of(venue)["fills"].parse(case.bodies.fills(told), START_MS)
        assert isinstance(snapshot, AccountSnapshot)
        assert snapshot.rows == told[:1]
        assert snapshot.since_ms == START_MS - 60_000, "an older fill shows that nothing is missing"

    def test_a_long_listing_goes_on_until_it_is_whole(
        self, case: TradingCase, venue: TradingVenue, market: Market
    ) -> None:
        read: AccountRead | None = reads_of(venue)["fills"]
        pages = [
            (a_fill(market, at_ms=START_MS - 1_000, fill_id="9"),),
            (a_fill(market, at_ms=START_MS - 2_000, fill_id="8"),),
            (a_fill(market, at_ms=START_MS - 90_000, fill_id="7"),),
        ]
        only(read is not None and read.more is not None, "pages")
        seen: list[ExecutionSeen] = []
        for number, page in enumerate(pages):
            assert read is not None
            body = case.bodies.fills(page)
            (snapshot,) = read.parse(body, START_MS)
            assert isinstance(snapshot, AccountSnapshot)
            assert snapshot.since_ms is not None
            seen += [row for row in page if row.at_ms >= START_MS - 60_000]
            assert set(snapshot.rows) == set(seen)
            whole = number == len(pages) - 1
            assert (snapshot.since_ms == START_MS - 60_000) is whole, "complete from there on, and not before"
            assert read.more is not None
            read = read.more(body)
            assert (read is None) is whole

    def test_positions_have_a_sign_and_flat_is_flat(
        self, case: TradingCase, venue: TradingVenue, market: Market
    ) -> None:
        told = (a_position(market, -700), a_position(case.markets[1], 0))
        read = rows(venue.positions(START_MS).parse(case.bodies.positions(told), START_MS), "positions")
        assert {row.market: row.lots for row in read if row.lots} == {market.key: -700}
        assert read[0].entry_price == pytest.approx(1000.5)
        assert read[0].unrealised_usd == pytest.approx(-1.25)

    def test_the_balance_is_read(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        told = a_balance(market)
        (read,) = rows(venue.balance(START_MS).parse(case.bodies.balance(told), START_MS), "balance")
        assert (read.equity_usd, read.available_usd) == (told.equity_usd, told.available_usd)
        for name in ("initial_margin_usd", "maintenance_margin_usd"):
            assert getattr(read, name) in (None, pytest.approx(getattr(told, name)))

    def test_nothing_is_said_with_an_empty_list_only(self, case: TradingCase, venue: TradingVenue) -> None:
        reads = reads_of(venue)
        for kind, body in [
            ("orders", case.bodies.orders([])),
            ("fills", case.bodies.fills([])),
            ("positions", case.bodies.positions([])),
        ]:
            assert rows(reads[kind].parse(body, START_MS), kind) == ()

    def test_no_error_is_read_as_nothing(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        fees = venue.fees(START_MS)
        reads = [*reads_of(venue).values(), *venue.order(OURS, market, START_MS), *([fees] if fees else [])]
        for body in [*GARBAGE, *SAYS_NOTHING, *case.read_refusals]:
            for read in reads:
                with pytest.raises(WireError):
                    read.parse(body, START_MS)
                if read.more is not None:
                    with pytest.raises(WireError):
                        read.more(body)

    def test_half_an_answer_is_none(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        body = case.bodies.orders([an_order(market), an_order(market, venue_order_id="5", client_id=None)])
        read = venue.open_orders(START_MS)
        for cut in range(len(body)):
            with pytest.raises(WireError):
                read.parse(body[:cut], START_MS)

    def test_unknown_fields_change_nothing(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        reads = reads_of(venue)
        for kind, body in [
            ("orders", case.bodies.orders([an_order(market)])),
            ("fills", case.bodies.fills([a_fill(market)])),
            ("positions", case.bodies.positions([a_position(market, 5)])),
            ("balance", case.bodies.balance(a_balance(market))),
        ]:
            assert reads[kind].parse(sprinkled(body), START_MS) == reads[kind].parse(body, START_MS)

    def test_an_orders_fate_is_found(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        other = an_order(market, venue_order_id="5", client_id=None)
        for resting in (True, False):
            mine = an_order(market, filled_lots=300, resting=resting)
            events = self._asked(case, venue, market, case.bodies.order([other, mine], [a_fill(market)]))
            found = [event for event in events if isinstance(event, OrderSeen) and event.client_id == OURS]
            assert found
            assert {(row.resting, row.filled_lots, row.size_lots) for row in found} == {(resting, 300, 700)}
            fills = {event for event in events if isinstance(event, ExecutionSeen) and event.client_id == OURS}
            assert fills == {a_fill(market)}

    def test_an_order_that_never_came_is_in_no_answer(
        self, case: TradingCase, venue: TradingVenue, market: Market
    ) -> None:
        other = an_order(market, venue_order_id="5", client_id=None)
        stranger = a_fill(market, venue_order_id="5", client_id=None)
        for told in (case.bodies.order([], []), case.bodies.order([other], [stranger])):
            events = self._asked(case, venue, market, told)
            assert not [event for event in events if getattr(event, "client_id", None) == OURS]

    @staticmethod
    def _asked(case: TradingCase, venue: TradingVenue, market: Market, bodies: list[bytes]) -> list[AccountEvent]:
        reads = venue.order(OURS, market, START_MS)
        return [event for read, body in zip(reads, bodies, strict=True) for event in read.parse(body, START_MS)]


class TestAccountStream:
    def test_it_starts_with_how_things_are(self, case: TradingCase, market: Market) -> None:
        line = AccountLine(case)
        for server in line.servers:
            server.orders, server.positions = [an_order(market)], [a_position(market, -700)]
        line.open()
        (order,) = rows(line.events, "orders")
        assert msgspec.structs.replace(order, reason="") == an_order(market)
        assert [(row.market, row.lots) for row in rows(line.events, "positions") if row.lots] == [(market.key, -700)]
        assert doubts(line.events) == []
        assert not line.broken

    def test_a_flat_account_is_told_to_be_flat(self, line: AccountLine) -> None:
        assert rows(line.events, "orders") == rows(line.events, "positions") == ()

    def test_an_orders_life_is_followed(self, line: AccountLine, market: Market) -> None:
        for fields in [
            {},
            {"filled_lots": 300},
            {"filled_lots": 700, "resting": False},
        ]:
            told = an_order(market, **fields)
            (seen,) = [
                event for event in line.push(lambda server, told=told: server.order(told))  # type: ignore[misc]
                if isinstance(event, OrderSeen)
            ]  # fmt: skip
            assert msgspec.structs.replace(seen, reason="") == told
            assert seen.resting or seen.reason

    def test_a_fill_is_exact_and_told_once(self, line: AccountLine, market: Market) -> None:
        told = a_fill(market, side=Side.SELL, price_ticks=2**40 + 1, fee_micro_usd=-7)
        events = [event for _ in range(3) for event in line.push(lambda server: server.fill(told))]
        assert [event for event in events if isinstance(event, ExecutionSeen)] == [told]
        line.reopen()
        again = line.push(lambda server: server.fill(told))
        assert not [event for event in again if isinstance(event, ExecutionSeen)]

    @pytest.mark.parametrize("forced", ["liquidation", "deleverage"])
    def test_what_the_venue_did_by_itself_is_told(self, line: AccountLine, market: Market, forced: str) -> None:
        told = a_fill(market, client_id=None, forced=forced)
        assert told in line.push(lambda server: server.fill(told))

    def test_orders_of_others_are_none_of_ours(self, line: AccountLine, market: Market) -> None:
        told = an_order(market, client_id=None)
        events = line.push(lambda server: server.order(told))
        events += line.push(lambda server: server.fill(a_fill(market, client_id=None)))
        assert {event.client_id for event in events if isinstance(event, OrderSeen | ExecutionSeen)} == {None}

    def test_a_position_has_a_sign_and_a_closed_one_is_flat(self, line: AccountLine, market: Market) -> None:
        for lots in (700, -300, 0):
            told = a_position(market, lots)
            events = line.push(lambda server, told=told: server.position(told))  # type: ignore[misc]
            found = [event for event in events if isinstance(event, PositionSeen)]
            found += [row for event in events if isinstance(event, AccountSnapshot) for row in event.rows]
            assert [(row.market, row.lots) for row in found] == [(market.key, lots)]

    def test_unknown_fields_change_nothing(self, case: TradingCase, market: Market) -> None:
        def told(grown: bool) -> list[AccountEvent]:
            line = AccountLine(case).open()
            said = [lambda server: server.order(an_order(market)), lambda server: server.fill(a_fill(market))]
            said.append(lambda server: server.position(a_position(market, 5)))
            return [
                event
                for say in said
                for event in line.push(
                    lambda server, say=say: [sprinkled(frame) if grown else frame for frame in say(server)]
                )
            ]

        assert told(grown=True) == told(grown=False) != []

    def test_unknown_words_are_counted_and_stop_nothing(self, line: AccountLine, market: Market) -> None:
        line.push(lambda server: server.strange())
        line.push(lambda server: server.odd_order(an_order(market)))
        assert sum(feed.unknown_words for feed in line.feeds) >= 2
        assert not line.broken
        assert a_fill(market) in line.push(lambda server: server.fill(a_fill(market)))

    def test_an_order_in_a_state_nobody_knows_is_not_over(self, line: AccountLine, market: Market) -> None:
        events = line.push(lambda server: server.odd_order(an_order(market, filled_lots=300)))
        assert [(row.resting, row.filled_lots) for row in events if isinstance(row, OrderSeen)] == [(True, 300)]

    def test_a_row_that_cannot_be_read_is_doubt_not_silence(self, line: AccountLine, market: Market) -> None:
        events = line.push(lambda server: server.off_grid(a_fill(market)))
        assert not [event for event in events if isinstance(event, ExecutionSeen)]
        assert doubts(events)
        assert sum(feed.bad_frames for feed in line.feeds) >= 1

    def test_a_lost_message_puts_everything_in_doubt(
        self, line: AccountLine, case: TradingCase, market: Market
    ) -> None:
        only(case.account_sequence, "continuity number in the account stream")
        for server in line.servers:
            server.skip()
        events = line.push(lambda server: server.order(an_order(market)))
        assert doubts(events)
        assert line.broken
        line.reopen()
        assert not line.broken
        assert a_fill(market) in line.push(lambda server: server.fill(a_fill(market)))

    def test_the_end_of_a_connection_is_doubt(self, line: AccountLine) -> None:
        before = len(line.events)
        line.reopen()
        assert doubts(line.events[before:])
        assert rows(line.events[before:], "orders") == ()

    def test_repeated_messages_do_no_harm(self, line: AccountLine, market: Market) -> None:
        frames = [server.order(an_order(market)) for server in line.servers]
        for index, own in enumerate(frames):
            line._deliver(index, own + own)
        assert not line.broken
        assert a_fill(market) in line.push(lambda server: server.fill(a_fill(market)))

    @pytest.mark.parametrize("frame", GARBAGE, ids=range(len(GARBAGE)))
    def test_garbage_never_raises_and_is_never_a_fact(self, line: AccountLine, frame: bytes) -> None:
        events = line.deliver(frame)
        assert all(isinstance(event, Incident) for event in events)
        assert not line.broken or doubts(events), "who gives up says so"

    def test_half_a_message_never_raises(self, case: TradingCase, market: Market) -> None:
        frames = [frame for server in AccountLine(case).open().servers for frame in server.fill(a_fill(market))]
        for frame in frames:
            for cut in range(len(frame)):
                line = AccountLine(case).open()
                events = line.deliver(frame[:cut])
                assert not [event for event in events if isinstance(event, ExecutionSeen)]

    def test_a_venue_that_does_not_say_how_things_are_is_given_up(self, case: TradingCase) -> None:
        line = AccountLine(case)
        for feed in line.feeds:
            feed.opened(line.now_ms)
            feed.outbox.clear()
        for _ in range(180):
            line.now_ms += 1_000
            line.now_ns += 1_000_000_000
            for feed in line.feeds:
                line._take(feed.timer(line.now_ns, line.now_ms))
                feed.outbox.clear()
        assert line.broken

    def test_a_quiet_account_is_left_alone(self, line: AccountLine, market: Market) -> None:
        line.wait(600)
        assert not line.broken
        assert doubts(line.events) == []
        events = line.push(lambda server: server.fill(a_fill(market)))
        assert [event.fill_id for event in events if isinstance(event, ExecutionSeen)] == [a_fill(market).fill_id]


class TestSecrets:
    def test_no_repr_shows_a_key(self, case: TradingCase, venue: TradingVenue, market: Market) -> None:
        line = AccountLine(case).open()
        signed = venue.sign(an_intent(market), market, lane_of(venue), START_MS)
        events = line.deliver(*GARBAGE[:5])
        reads = [*reads_of(venue).values(), *venue.order(OURS, market, START_MS)]
        shown = [venue, signed, *events, *reads, *(vars(feed) for feed in line.feeds), vars(venue), venue.lanes()]
        for text in [form(each) for each in shown for form in (repr, str)]:
            assert not [secret for secret in case.secrets if secret.lower() in text.lower()]

    def test_a_venue_that_repeats_a_key_is_not_quoted(
        self, case: TradingCase, venue: TradingVenue, market: Market
    ) -> None:
        signed = venue.sign(an_intent(market), market, lane_of(venue), START_MS)
        for status, body in case.refusals + case.doubts:
            for secret in case.sent_secrets:
                grown = _with_text(body, f"the key {secret} is bad")
                reason = venue.read_reply(signed, status, grown).reason
                assert secret not in reason


def _with_text(body: bytes, text: str) -> bytes:
    """The same JSON, with `text` for every message in it."""

    def grown(value: Any) -> Any:
        match value:
            case dict():
                return {name: text if name == "message" else grown(inner) for name, inner in value.items()}
            case _:
                return value

    try:
        return json.dumps(grown(json.loads(body))).encode()
    except ValueError:
        return body + text.encode()

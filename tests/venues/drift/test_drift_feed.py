"""The book server's stream: what stands in for a continuity number, and what its numbers mean."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from twinleg.core.messages import BookLost, BookSnapshot, Stats, TradePrint
from twinleg.venues.drift.chain.slots import SlotClock
from twinleg.venues.drift.feed import DriftFeed
from twinleg.venues.drift.wire import units
from venues.battery import Line, join
from venues.drift.case import CASE, DriftServer

SOL = "SOL-PERP"


@pytest.fixture
def line() -> Line:
    return join(CASE, (SOL,))


def server_of(line: Line) -> DriftServer:
    assert isinstance(line.server, DriftServer)
    return line.server


def test_a_book_that_is_not_sent_any_more_is_lost_and_asked_for(line: Line) -> None:
    assert isinstance(line.feed, DriftFeed)
    line.deaf_to = (b"ubscribe",)
    line.sent.clear()
    line.wait(9)
    assert line.lost() == []
    line.wait(2)
    assert line.lost() == ["drift:SOL-PERP"]
    assert [json.loads(one)["type"] for one in line.sent] == ["unsubscribe", "subscribe"]
    line.wait(60)
    assert line.lost() == ["drift:SOL-PERP"]


def test_a_server_that_stands_still_is_not_believed(line: Line) -> None:
    server = server_of(line)
    for _ in range(6):
        server.slot -= 1
        line.push(line.change(SOL, [(990, 4)], []))
        line.wait(1)
    assert "slot" in next(event.reason for event in line.events if isinstance(event, BookLost))


def test_an_older_slot_is_dropped(line: Line) -> None:
    server = server_of(line)
    line.push(line.change(SOL, [(990, 4)], []))
    server.slot -= 10
    assert line.push(line.change(SOL, [(990, 5)], [])) == []
    server.slot += 10
    assert line.push(line.change(SOL, [(990, 6)], []))
    assert line.books["drift:SOL-PERP"] == line.truth("drift:SOL-PERP")


def test_an_impossible_slot_is_no_book(line: Line) -> None:
    server_of(line).slot += 10**9
    line.deaf_to = (b"ubscribe",)
    assert isinstance(line.push(line.change(SOL, [(990, 4)], []))[0], BookLost)


def test_prices_are_told_when_they_change_or_are_due(line: Line) -> None:
    def told(mark: str) -> list[Stats]:
        return [event for event in line.push(*line.server.stats(SOL, mark, "85", 1)) if isinstance(event, Stats)]

    assert [event.mark_price for event in told("85.1")] == [85.1]
    assert told("85.1") == []
    assert [event.mark_price for event in told("85.2")] == [85.2]
    line.now_ns += 1_000_000_000
    assert [event.index_price for event in told("85.2")] == [85.0]


def test_less_than_a_lot_is_left_out_and_rest_lies_below(line: Line) -> None:
    frame = json.loads(line.change(SOL, [], []))
    book = json.loads(frame["data"]) | {
        "bids": [{"price": 84_000_000.0, "size": 25_000_000.5e0 - 0.5}, {"price": "83000000", "size": 9_999_999}],
        "asks": [],
    }
    (event,) = line.push(json.dumps(frame | {"data": json.dumps(book)}).encode())
    assert isinstance(event, BookSnapshot)
    assert (event.bids, event.asks) == ([(840_000, 2)], [])


def test_a_trade_between_ticks_is_told_at_the_nearest(line: Line) -> None:
    frame = json.loads(line.server.trade(SOL, ("85", "1"), 5, taker_buys=True))
    row = json.loads(frame["data"])
    for changes, wanted in [
        ({"baseAssetAmountFilled": 0.5, "quoteAssetAmountFilled": 42.53217}, [("5", 850_643, 50, True)]),
        ({"fillRecordId": 6, "takerOrderDirection": None}, [("6", 850_000, 100, True)]),
        ({"fillRecordId": None, "takerOrderDirection": "short"}, [("sig", 850_000, 100, False)]),
        ({"fillRecordId": 7, "baseAssetAmountFilled": 0.001}, []),
        ({"fillRecordId": 8, "takerOrderDirection": "up", "makerOrderDirection": None}, []),
        ({"fillRecordId": 9, "quoteAssetAmountFilled": 1e-9}, []),
    ]:
        events = line.push(json.dumps(frame | {"data": json.dumps(row | changes)}).encode())
        told = [event for event in events if isinstance(event, TradePrint)]
        assert [(one.trade_id, one.price_ticks, one.size_lots, one.taker_buys) for one in told] == wanted, changes
    assert line.feed.bad_frames == 2


def test_a_market_that_the_server_does_not_have_is_not_asked_for_again(line: Line) -> None:
    line.push(b'{"channel":"trades_perp_0","error":"Error subscribing to channel"}')
    line.sent.clear()
    for _ in range(30):
        line.push(line.change(SOL, [(990, 4)], []))
        line.wait(1)
    assert line.sent == []


@pytest.mark.parametrize("number", [1.5, -1, "1.0", "-1", "", None, True, 1e300, "9" * 50, float(2**60)])
def test_what_is_no_number_of_units_is_refused(number: object) -> None:
    with pytest.raises(ValueError, match="units"):
        units(number if number is not True else "true")  # type: ignore[arg-type]


def test_numbers_and_text_are_the_same_units() -> None:
    assert units(5) == units(5.0) == units("5") == 5
    assert units(str(Decimal(2**70))) == 2**70


def test_a_slots_length_is_measured() -> None:
    clock = SlotClock()
    assert clock.slot_ms is None
    for number in range(20):
        clock.seen(1_000 + number, 300 * number)
        clock.seen(1_000 + number - 3, 300 * number)
    assert clock.slot_ms == 300
    assert clock.slot == 1_019
    clock.seen(5, 10_000)
    assert clock.slot == 1_019
    clock.seen(2_000_000, 11_000)
    assert clock.slot_ms is None
    clock.seen(2_000_001, 5)
    assert (clock.slot_ms, clock.slot) == (None, 2_000_001)

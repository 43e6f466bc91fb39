"""Extended's stream, beyond the battery: sums, the common sequence, requests, and recorded shapes to the letter."""

from __future__ import annotations

import json

import pytest

from twinleg.core.messages import (
    BookDelta,
    BookLost,
    BookSnapshot,
    FundingPredicted,
    FundingSource,
    Stats,
    TradePrint,
)
from twinleg.venues.extended import facts
from twinleg.venues.extended.feed import ExtendedFeed
from venues.battery import join, listed
from venues.extended.case import CASE, FRAMES, encode

SECOND = 1_000_000_000
BTC_ID = "4"
NOW = 1_790_425_443_000


@pytest.fixture
def feed() -> ExtendedFeed:
    """A feed of BTC and ETH that has just opened and asked for all."""
    (made,) = CASE.venue.feeds([listed(CASE)[symbol] for symbol in ("BTC-USD", "ETH-USD")])
    assert isinstance(made, ExtendedFeed)
    made.opened(NOW)
    return made


def tell(feed: ExtendedFeed, name: str, at_ns: int = 1, **fields: object) -> list[object]:
    return list(feed.received(encode(FRAMES[name] | fields), at_ns, NOW))


def spoken(feed: ExtendedFeed) -> list[str]:
    """What lies in the outbox as "method scope market", and empty it."""
    messages = [json.loads(message) for message in feed.outbox]
    feed.outbox.clear()
    return [
        " ".join([message["method"], *([message["params"]["scope"], str(message["params"]["selector"]["market"])]
                                       if "params" in message else [])])
        for message in messages
    ]  # fmt: skip


def test_requests_have_the_recorded_shape(feed: ExtendedFeed) -> None:
    assert json.loads(feed.outbox[3]) == {
        "method": "subscribe",
        "id": BTC_ID,
        "jsonrpc": "2.0",
        "params": {"scope": "orderbooks", "selector": {"market": "BTC-USD", "depth": "full", "rfqOnly": False}},
    }
    assert spoken(feed) == [
        "subscribe funding-rates None", "subscribe prices None", "subscribe prices None",
        "subscribe orderbooks BTC-USD", "subscribe orderbooks ETH-USD",
        "subscribe trades BTC-USD", "subscribe trades ETH-USD",
    ]  # fmt: skip
    assert feed.headers["User-Agent"]


def test_recorded_frames_become_exact_events(feed: ExtendedFeed) -> None:
    assert tell(feed, "ack") == []
    assert tell(feed, "snapshot", 5) == [
        BookSnapshot("extended:BTC-USD", [(84077, 40_000), (84050, 120_000)], [(84078, 30_000)], 1790425443253, 5)
    ]
    assert tell(feed, "delta", 6) == [BookDelta("extended:BTC-USD", [(84050, 110_000)], [], 1790425443353, 6)]
    assert tell(feed, "delta_without_c", 7) == [
        BookDelta("extended:BTC-USD", [(84050, 50_000)], [(84080, 1)], 1790425443453, 7)
    ]
    assert tell(feed, "trades") == [
        TradePrint("extended:BTC-USD", "2103822896206974978", 84077, 3238, False, 1790425440252)
    ]
    assert tell(feed, "mark", 8) == [Stats("extended:BTC-USD", 84058.473541750005, None, None, 1790425443485, 8)]
    assert tell(feed, "index", 9) == [Stats("extended:BTC-USD", None, 84061.2, None, 1790425443400, 9)]
    assert tell(feed, "funding") == [
        FundingPredicted("extended:BTC-USD", 0.000013, 1790427600000, FundingSource.STREAM, 1790426050286)
    ]
    assert feed.bad_frames == feed.unknown_words == 0


def test_levels_that_are_gone_are_forgotten(feed: ExtendedFeed) -> None:
    tell(feed, "snapshot")
    first = FRAMES["snapshot"]["seq"] + 1
    for seq in range(first, first + 200, 2):  # a price that comes and goes, each time another
        level = {"p": str(50_000 + seq), "q": "0.1", "c": "0.1"}
        assert tell(feed, "delta", seq=seq, data=FRAMES["delta"]["data"] | {"b": [level]})
        level |= {"q": "-0.1", "c": "0"} if seq % 4 else {"q": "-0.1", "c": None}
        (event,) = tell(feed, "delta", seq=seq + 1, data=FRAMES["delta"]["data"] | {"b": [level]})
        assert isinstance(event, BookDelta)
        assert event.bids == [(50_000 + seq, 0)]
    assert len(feed._lines["BTC-USD"].bids) == 2


@pytest.mark.parametrize(
    "level",
    [
        {"q": "-0.1", "p": "84050", "c": "1.2"},
        {"q": "0.1", "p": "84050", "c": "1.1"},
        {"q": "-0.10001", "p": "84050", "c": "1.1"},
        {"q": "-9", "p": "84050"},
        {"q": "nan", "p": "84050", "c": "1.1"},
        {"q": "x", "p": "84050", "c": "1.1"},
        {"q": "0.000001", "p": "84050"},
        {"q": "1", "p": "84050", "c": "-1"},
    ],
)
def test_a_sum_that_is_wrong_loses_that_book_alone(feed: ExtendedFeed, level: dict[str, str]) -> None:
    tell(feed, "snapshot")
    eth = FRAMES["snapshot"]["data"] | {"m": "ETH-USD"}
    tell(feed, "snapshot", data=eth, seq=1, subscription="orderbooks.ETH-USD")
    feed.outbox.clear()
    (event,) = tell(feed, "delta", data=FRAMES["delta"]["data"] | {"b": [level]}, seq=2)
    assert isinstance(event, BookLost)
    assert event.market == "extended:BTC-USD"
    assert spoken(feed) == ["subscribe orderbooks BTC-USD"], "a second subscribe brings a fresh snapshot"
    assert feed.broken is None
    assert tell(feed, "delta", seq=3) == []
    assert isinstance(tell(feed, "snapshot", seq=4)[0], BookSnapshot)


def test_a_second_snapshot_replaces_the_book(feed: ExtendedFeed) -> None:
    tell(feed, "snapshot")
    tell(feed, "delta")
    tell(feed, "snapshot", seq=2)
    assert tell(feed, "delta", seq=3) == [BookDelta("extended:BTC-USD", [(84050, 110_000)], [], 1790425443353, 1)]


def test_the_sequence_may_start_anywhere_and_then_counts(feed: ExtendedFeed) -> None:
    tell(feed, "snapshot", seq=17)
    assert tell(feed, "mark", seq=18) != []
    feed.outbox.clear()
    lost, predicted = tell(feed, "funding", seq=20)
    assert isinstance(lost, BookLost)
    assert lost.reason == "frame 20 where 19 was due"
    assert isinstance(predicted, FundingPredicted), "what came is still true"
    assert spoken(feed) == ["subscribe orderbooks BTC-USD"]
    assert feed.broken is None
    assert isinstance(tell(feed, "snapshot", seq=21)[0], BookSnapshot)


@pytest.mark.parametrize("name", ["snapshot", "trades", "mark", "funding", "delta"])
def test_a_hole_in_any_topic_counts(feed: ExtendedFeed, name: str) -> None:
    tell(feed, "snapshot")
    assert isinstance(tell(feed, name, seq=2)[0], BookLost)


def test_holes_without_end_give_the_connection_up(feed: ExtendedFeed) -> None:
    for number in range(facts.HOLES_PER_MINUTE_MAX + 1):
        assert feed.broken is None
        tell(feed, "mark", at_ns=number, seq=2 * number)
    tell(feed, "mark", at_ns=9, seq=100)
    assert feed.broken is not None


def test_rare_holes_do_not(feed: ExtendedFeed) -> None:
    for number in range(20):
        tell(feed, "mark", at_ns=number * 30 * SECOND, seq=2 * number)
    assert feed.broken is None


def test_a_repeated_or_late_frame_is_dropped(feed: ExtendedFeed) -> None:
    tell(feed, "snapshot")
    tell(feed, "delta")
    assert tell(feed, "delta") == []
    assert tell(feed, "snapshot") == []
    assert feed.bad_frames == 2
    assert isinstance(tell(feed, "delta_without_c")[0], BookDelta)


def test_a_venue_that_counts_anew_is_followed_after_a_while(feed: ExtendedFeed) -> None:
    tell(feed, "snapshot", seq=5_000)
    for seq in range(facts.FRAMES_BEHIND_MAX):
        assert tell(feed, "mark", seq=seq) == []
    assert [type(event) for event in tell(feed, "mark", seq=facts.FRAMES_BEHIND_MAX)] == [BookLost, Stats]
    assert tell(feed, "mark", seq=facts.FRAMES_BEHIND_MAX + 1) != []


def test_an_unreadable_frame_that_tells_its_place_hurts_only_its_topic(feed: ExtendedFeed) -> None:
    tell(feed, "snapshot")
    assert tell(feed, "mark", data={"m": 5}, seq=1) == []
    assert feed.bad_frames == 1
    (event,) = tell(feed, "delta", data={"m": "BTC-USD", "b": 5}, seq=2)
    assert isinstance(event, BookLost)
    assert feed.broken is None
    assert tell(feed, "funding", seq=3) != []


def test_an_unreadable_frame_in_the_wrong_place_is_a_hole(feed: ExtendedFeed) -> None:
    tell(feed, "snapshot")
    (event,) = tell(feed, "mark", data=5, seq=4)
    assert isinstance(event, BookLost)
    assert tell(feed, "mark", data=5, seq=4) == []


def test_data_without_a_sequence_is_not_trusted(feed: ExtendedFeed) -> None:
    tell(feed, "snapshot")
    (event,) = feed.received(encode({k: v for k, v in FRAMES["delta"].items() if k != "seq"}), 1, NOW)
    assert isinstance(event, BookLost)


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_book_without_a_side_is_no_book(feed: ExtendedFeed, side: str) -> None:
    data = {key: value for key, value in FRAMES["snapshot"]["data"].items() if key != side}
    assert tell(feed, "snapshot", data=data) == []
    assert feed.bad_frames == 1


def test_a_refused_topic_is_not_asked_for_again(feed: ExtendedFeed) -> None:
    tell(feed, "refusal", id=BTC_ID)
    tell(feed, "ack", id="1")
    feed.outbox.clear()
    for second in range(200):
        feed.timer(second * SECOND, NOW + second * 1_000)
    assert "subscribe orderbooks BTC-USD" not in spoken(feed)


def test_an_internal_error_is_asked_for_again(feed: ExtendedFeed) -> None:
    error = {"id": BTC_ID, "error": {"code": -32603, "message": "Internal error"}, "jsonrpc": "2.0"}
    feed.received(encode(error), 1, NOW)
    feed.outbox.clear()
    for second in range(12):
        feed.timer(second * SECOND, NOW + second * 1_000)
    assert "subscribe orderbooks BTC-USD" in spoken(feed)


def test_an_acknowledged_book_without_a_snapshot_is_asked_for_again(feed: ExtendedFeed) -> None:
    for number in range(1, 8):
        tell(feed, "ack", id=str(number))
    feed.outbox.clear()
    for second in range(12):
        feed.timer(second * SECOND, NOW + second * 1_000)
    assert spoken(feed) == ["subscribe orderbooks BTC-USD", "subscribe orderbooks ETH-USD"]


def test_heartbeats(feed: ExtendedFeed) -> None:
    line = join(CASE)
    line.sent.clear()
    line.wait(90)
    assert [json.loads(message)["method"] for message in line.sent] == ["ping"] * 4
    assert line.feed.unknown_words == 0


def test_a_mutated_side_word_is_counted(feed: ExtendedFeed) -> None:
    trade = FRAMES["trades"]["data"][0]
    assert tell(feed, "trades", data=[trade | {"S": "HOLD"}, trade | {"m": "NO-USD"}, 5]) == []
    assert (feed.unknown_words, feed.bad_frames) == (1, 2)


def test_an_impossible_rate_is_refused(feed: ExtendedFeed) -> None:
    assert tell(feed, "funding", data={"m": "BTC-USD", "f": "0.25", "T": 1}) == []
    assert tell(feed, "mark", seq=7, data={"m": "BTC-USD", "p": "-1"}) == []
    assert feed.bad_frames == 2


def test_reference_prices_of_unfollowed_markets_are_ignored(feed: ExtendedFeed) -> None:
    assert tell(feed, "mark", data={"m": "NO-USD", "p": "1"}) == []
    assert feed.bad_frames == feed.unknown_words == 0


def test_two_connections_share_the_venue() -> None:
    markets = list(listed(CASE, CASE.wide_listing(facts.BOOKS_PER_CONNECTION + 1)).values())
    one, other = CASE.venue.feeds(markets)
    assert (len(one.markets), len(other.markets)) == (facts.BOOKS_PER_CONNECTION, 1)
    other.opened(NOW)
    assert [b"prices" in message for message in other.outbox] == [False, False]

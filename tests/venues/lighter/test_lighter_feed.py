"""Lighter's stream, beyond the battery: its own messages, and recorded shapes to the letter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinleg.core.amounts import AmountError
from twinleg.core.messages import (
    BookDelta,
    BookLost,
    BookSnapshot,
    FundingPredicted,
    FundingSettled,
    FundingSource,
    Stats,
    TradePrint,
)
from twinleg.venues.lighter import facts, wire
from twinleg.venues.lighter.feed import LighterFeed, _Line
from venues.battery import Line, join, listed
from venues.lighter.case import CASE, FRAMES, encode

SECOND = 1_000_000_000
NOW = 1_790_425_443_000


@pytest.fixture
def feed() -> LighterFeed:
    """A feed of ETH and BTC that has just been greeted and has asked for all."""
    markets = [listed(CASE)[symbol] for symbol in ("ETH", "BTC")]
    (made,) = CASE.venue.feeds(markets)
    assert isinstance(made, LighterFeed)
    made.opened(NOW)
    tell(made, "connected")
    return made


def tell(feed: LighterFeed, name: str, at_ns: int = 1) -> list[object]:
    return list(feed.received(encode(FRAMES[name]), at_ns, NOW))


def spoken(feed: LighterFeed) -> list[tuple[str, str]]:
    """What lies in the outbox as (type, channel), and empty it."""
    messages = [json.loads(message) for message in feed.outbox]
    feed.outbox.clear()
    return [(message["type"], message.get("channel", "")) for message in messages]


def test_nothing_is_asked_before_the_venue_says_connected() -> None:
    (feed,) = CASE.venue.feeds([listed(CASE)["ETH"]])
    feed.opened(NOW)
    feed.timer(0, NOW)
    assert feed.outbox == []
    feed.received(b'{"type":"connected"}', 1, NOW)
    assert [json.loads(message)["channel"] for message in feed.outbox] == [
        "market_stats/all", "order_book/0", "trade/0",
    ]  # fmt: skip


def test_a_venue_that_never_says_connected_is_given_up() -> None:
    (feed,) = CASE.venue.feeds([listed(CASE)["ETH"]])
    feed.opened(NOW)
    for second in range(10):
        feed.timer(second * SECOND, NOW + second * 1_000)
    assert feed.broken is None
    feed.timer(10 * SECOND, NOW + 10_000)
    assert feed.broken is not None


def test_recorded_frames_become_exact_events(feed: LighterFeed) -> None:
    assert tell(feed, "snapshot", 5) == [
        BookSnapshot("lighter:ETH", [(200_000, 200)], [(232_500, 990_000)], 1778138582602, 5)
    ]
    assert tell(feed, "update", 6) == [BookDelta("lighter:ETH", [], [(206_454, 3285)], 1778138592326, 6)]
    assert tell(feed, "null_update", 7) == [BookDelta("lighter:ETH", [], [], 1778138592426, 7)]
    assert tell(feed, "empty_snapshot", 8) == [BookSnapshot("lighter:BTC", [], [], 1778138582602, 8)]
    assert tell(feed, "trade") == [TradePrint("lighter:ETH", "19211490282", 236_131, 5, False, 1777945103092)]
    assert tell(feed, "stats", 9) == [
        Stats("lighter:BTC", 64356.3, 64400.1, 102123609.308856, 1780546209291, 9),
        FundingSettled("lighter:BTC", pytest.approx(-0.000005), 1.0, None, 1780545600000, FundingSource.STREAM),
        FundingPredicted(
            "lighter:BTC", pytest.approx(-0.000028), 1780549200000, FundingSource.STREAM, 1780546209291
        ),
    ]  # fmt: skip
    assert feed.bad_frames == feed.unknown_words == 0


def test_a_settlement_is_told_once(feed: LighterFeed) -> None:
    tell(feed, "stats")
    assert [type(event) for event in tell(feed, "stats")] == [Stats, FundingPredicted]


def test_stats_of_one_market_read_like_those_of_all(feed: LighterFeed) -> None:
    (body,) = FRAMES["stats"]["market_stats"].values()
    frame = FRAMES["stats"] | {"channel": "market_stats:1", "market_stats": body}
    assert list(feed.received(encode(frame), 1, NOW)) == tell(self_made(), "stats")


def self_made() -> LighterFeed:
    (made,) = CASE.venue.feeds([listed(CASE)[symbol] for symbol in ("ETH", "BTC")])
    assert isinstance(made, LighterFeed)
    return made


def test_an_impossible_rate_is_refused_and_others_are_not(feed: LighterFeed) -> None:
    (body,) = FRAMES["stats"]["market_stats"].values()
    bodies = {"0": body | {"market_id": 0, "current_funding_rate": "28"}, "1": body, "9": body | {"market_id": 9}}
    events = feed.received(encode(FRAMES["stats"] | {"market_stats": bodies}), 1, NOW)
    assert {getattr(event, "market", None) for event in events} == {"lighter:BTC"}
    assert feed.bad_frames == 1


def test_liquidations_are_trades(feed: LighterFeed) -> None:
    frame = FRAMES["trade"] | {"trades": None, "liquidation_trades": FRAMES["trade"]["trades"]}
    (event,) = feed.received(encode(frame), 1, NOW)
    assert isinstance(event, TradePrint)


def test_a_snapshot_of_trades_comes_in_order(feed: LighterFeed) -> None:
    (trade,) = FRAMES["trade"]["trades"]
    trades = [trade | {"trade_id": number} for number in (7, 5, 6)]
    events = feed.received(encode(FRAMES["trade"] | {"type": "subscribed/trade", "trades": trades}), 1, NOW)
    assert [event.trade_id for event in events if isinstance(event, TradePrint)] == ["5", "6", "7"]


def test_a_broken_chain_unsubscribes_and_subscribes(feed: LighterFeed) -> None:
    tell(feed, "snapshot")
    feed.outbox.clear()
    (event,) = tell(feed, "null_update", 9)
    assert isinstance(event, BookLost)
    assert event.market == "lighter:ETH"
    assert "904845" in event.reason
    assert spoken(feed) == [("unsubscribe", "order_book/0"), ("subscribe", "order_book/0")]
    assert tell(feed, "update") == []
    assert isinstance(tell(feed, "snapshot")[0], BookSnapshot)


def test_an_update_that_runs_backwards_is_a_break(feed: LighterFeed) -> None:
    tell(feed, "snapshot")
    frame = FRAMES["update"] | {"order_book": FRAMES["update"]["order_book"] | {"nonce": 904_000}}
    (event,) = feed.received(encode(frame), 1, NOW)
    assert isinstance(event, BookLost)


def test_a_damaged_frame_that_names_a_book_loses_it(feed: LighterFeed) -> None:
    tell(feed, "snapshot")
    (event,) = feed.received(memoryview(encode(FRAMES["update"])[:-20]), 1, NOW)
    assert isinstance(event, BookLost)
    assert event.market == "lighter:ETH"


@pytest.mark.parametrize("kind", ["delete/order_book", "update/order_books", ""])
def test_an_unknown_word_for_a_followed_book_loses_it(feed: LighterFeed, kind: str) -> None:
    tell(feed, "snapshot")
    (event,) = feed.received(encode(FRAMES["update"] | {"type": kind}), 1, NOW)
    assert isinstance(event, BookLost)
    assert feed.unknown_words == 1


def test_a_book_we_do_not_follow_is_counted(feed: LighterFeed) -> None:
    assert feed.received(encode(FRAMES["update"] | {"channel": "order_book:77"}), 1, NOW) == []
    assert feed.bad_frames == 1


def test_already_subscribed_means_no_snapshot_so_unsubscribe_first(feed: LighterFeed) -> None:
    spoken(feed)
    assert tell(feed, "already_subscribed") == []
    assert spoken(feed) == [("unsubscribe", "order_book/0"), ("subscribe", "order_book/0")]
    tell(feed, "snapshot")
    assert tell(feed, "already_subscribed") == []
    assert spoken(feed) == [], "the book is there: nothing is lost"


def test_an_invalid_channel_is_not_asked_for_again(feed: LighterFeed) -> None:
    tell(feed, "snapshot")
    spoken(feed)
    (event,) = tell(feed, "invalid_channel")
    assert isinstance(event, BookLost)
    for second in range(200):
        feed.timer(second * SECOND, NOW + second * 1_000)
    assert not [channel for _, channel in spoken(feed) if channel == "order_book/0"]


def test_too_many_messages_means_silence_for_a_while() -> None:
    (feed,) = CASE.venue.feeds([listed(CASE)["ETH"]])
    feed.opened(NOW)
    feed.received(encode(FRAMES["too_many"]), 1, NOW)
    feed.received(encode(FRAMES["connected"]), 1, NOW)
    assert feed.outbox == []
    feed.timer(1, NOW + facts.PUSHED_BACK_MS)
    assert len(feed.outbox) == 3


def test_other_errors_are_counted(feed: LighterFeed) -> None:
    assert feed.received(b'{"error":{"code":29500,"message":"internal"}}', 1, NOW) == []
    assert feed.received(b'{"error":{}}', 1, NOW) == []
    assert feed.unknown_words == 2
    assert feed.received(b'{"error":{"code":30002,"message":"Not Subscribed to : trade:0"}}', 1, NOW) == []
    assert feed.unknown_words == 2


def test_heartbeats_go_both_ways(feed: LighterFeed) -> None:
    tell(feed, "snapshot")
    spoken(feed)
    tell(feed, "server_ping")
    assert spoken(feed) == [("pong", "")]
    for second in range(91):
        feed.timer(second * SECOND, NOW + second)
    assert [kind for kind, _ in spoken(feed)].count("ping") == 3


def test_a_flood_of_pings_is_not_answered_beyond_the_budget(feed: LighterFeed) -> None:
    for _ in range(1_000):
        tell(feed, "server_ping")
    assert len(feed.outbox) <= facts.FEED_MESSAGES_PER_MINUTE


def test_a_planned_restart_is_obeyed_when_it_is_due(feed: LighterFeed) -> None:
    tell(feed, "snapshot")
    tell(feed, "shutdown", at_ns=10 * SECOND)
    assert feed.timer(14 * SECOND, NOW) == []
    assert feed.broken is None
    (event,) = feed.timer(15 * SECOND, NOW)
    assert isinstance(event, BookLost)
    assert feed.broken is not None


@pytest.mark.parametrize("close_in_ms", ["-5", "0"])
def test_a_restart_at_once_is_one_at_once(feed: LighterFeed, close_in_ms: str) -> None:
    feed.received(b'{"type":"shutdown","close_in_ms":%b}' % close_in_ms.encode(), SECOND, NOW)
    feed.timer(SECOND, NOW)
    assert feed.broken is not None


SIZES = st.one_of(
    st.text(alphabet="0123456789.-+e_ ", max_size=10),
    st.integers(0, 10**18).map(lambda lots: f"{lots // 10**4}.{lots % 10**4:04d}"),
    st.text(max_size=6),
)


@given(size=SIZES)
def test_sizes_read_in_place_are_exact_or_refused(size: str) -> None:
    market = listed(CASE)["ETH"]
    line = _Line(market)
    try:
        expected = market.size_grid.parse(size)
    except AmountError:
        expected = -1
    levels = [wire.Level(price="1.00", size=size)]
    if expected < 0:
        with pytest.raises(AmountError):
            line.levels(levels)
    else:
        assert line.levels(levels) == [(100, expected)]


def test_a_book_without_its_body_is_lost() -> None:
    line: Line = join(CASE)
    (event,) = line.push(b'{"type":"update/order_book","channel":"order_book:0"}')[:1]
    assert isinstance(event, BookLost)
    line.recover()

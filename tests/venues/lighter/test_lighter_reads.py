"""Lighter's REST answers and addresses, beyond the battery."""

from __future__ import annotations

import json

import pytest

from twinleg.core.amounts import Grid
from twinleg.core.messages import FundingSettled, FundingSource, Market, MarketsListed, MarketStatus, VenueClock
from twinleg.core.venue import WireError
from twinleg.venues.lighter import LighterVenue, facts, reads, wire
from twinleg.venues.lighter.venue import LighterVenue as FromItsModule
from venues.battery import Line, listed
from venues.lighter.case import CASE, RECORDED, encode, row

NOW = 1_763_005_601_000


def test_the_recorded_listing_reads_exactly() -> None:
    body = json.dumps(RECORDED["GET /api/v1/orderBookDetails"]).encode()
    assert reads.markets_listed(body, NOW) == [
        MarketsListed(
            "lighter",
            (
                Market(
                    key="lighter:ETH",
                    venue="lighter",
                    symbol="ETH",
                    native_id="0",
                    base="ETH",
                    quote="USDC",
                    status=MarketStatus.OPEN,
                    price_grid=Grid(2),
                    size_grid=Grid(4),
                    min_size_lots=50,
                    min_notional_usd=10.0,
                    maker_fee_bps=0.0,
                    taker_fee_bps=0.0,
                    taker_delay_ms=300,
                    funding_interval_ms=3_600_000,
                    max_leverage=50.0,
                    maintenance_margin_fraction=0.012,
                ),
            ),
            NOW,
        )
    ]


@pytest.mark.parametrize(("percent", "bps"), [("0.0280", 2.8), ("0.0196", 1.96), ("0", 0.0), (None, None), ("", None)])
def test_fees_are_percent(percent: str | None, bps: float | None) -> None:
    body = encode({"code": 200, "order_book_details": [row(0, taker_fee=percent)]})
    assert listed(CASE, body)["ETH"].taker_fee_bps == bps


def test_a_number_that_is_none_leaves_the_market_out() -> None:
    body = encode({"code": 200, "order_book_details": [row(0), row(1, taker_fee="nan"), row(2, min_quote_amount="-1")]})
    assert listed(CASE, body).keys() == {"ETH"}


@pytest.mark.parametrize(
    ("ours_ms", "offset_ms"), [(0, 0), (999, 0), (1_000, -1), (-1, 1), (-5_000, 5_000), (6_000, -5_001)]
)
def test_the_recorded_clock_proves_the_smallest_offset(ours_ms: int, offset_ms: int) -> None:
    body = json.dumps(RECORDED["GET / (status)"]).encode()
    assert reads.venue_clock(body, NOW + ours_ms) == [VenueClock("lighter", offset_ms, 0, NOW + ours_ms)]


@pytest.mark.parametrize("body", [b'{"status":200,"timestamp":0}', b'{"status":200,"timestamp":1763005601000}', b"{}"])
def test_a_clock_in_another_unit_is_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        reads.venue_clock(body, NOW)


def fundings(**fields: object) -> bytes:
    funding = {"timestamp": 1778702400, "value": "0.02707872", "rate": "0.0012", "direction": "long"}
    return encode({"code": 200, "resolution": "1h", "fundings": [funding | fields]})


def test_history_gives_the_price_back() -> None:
    (event,) = reads.funding_history("lighter:ETH", fundings(), NOW)
    assert event == FundingSettled(
        "lighter:ETH", pytest.approx(0.000012), 1.0, pytest.approx(2256.56), 1778702400000, FundingSource.HISTORY
    )


@pytest.mark.parametrize("value", [None, "0", ""])
def test_history_without_a_value_has_no_price(value: str | None) -> None:
    (event,) = reads.funding_history("lighter:ETH", fundings(value=value), NOW)
    assert isinstance(event, FundingSettled)
    assert event.price is None


@pytest.mark.parametrize(
    "fields",
    [
        {"direction": "up"},
        {"rate": "28"},
        {"rate": "many"},
        {"rate": ""},
        {"rate": None},
        {"timestamp": 1778702400000},
        {"timestamp": -1},
        {"value": "nan"},
    ],
)
def test_a_bad_row_of_history_refuses_the_whole(fields: dict[str, object]) -> None:
    with pytest.raises(WireError):
        reads.funding_history("lighter:ETH", fundings(**fields), NOW)


def test_no_history_is_no_error() -> None:
    assert reads.funding_history("lighter:ETH", b'{"code":200,"fundings":null}', NOW) == []
    assert reads.funding_history("lighter:ETH", b'{"code":200}', NOW) == []


def test_rates_without_rows_are_an_error() -> None:
    with pytest.raises(WireError):
        reads.funding_rates({0: "lighter:ETH"}, b'{"code":200,"funding_rates":[]}', NOW)


def test_hours() -> None:
    hour = facts.HOUR_MS
    assert wire.next_hour_ms(5 * hour) == wire.next_hour_ms(5 * hour + 1) == 6 * hour
    assert wire.nearest_hour_ms(5 * hour - 5) == wire.nearest_hour_ms(5 * hour + 5) == 5 * hour


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "x", "1e999"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        wire.number(text)


@pytest.mark.parametrize("base", ["http://host:1", "http://host:1/", "http://host:1/api/v1", "http://host:1/api/v1/"])
def test_addresses_are_taken_with_or_without_their_path(base: str) -> None:
    venue = LighterVenue(base, "ws://host:1/stream/")
    assert venue.list_markets().request.url == "http://host:1/api/v1/orderBookDetails"
    clock = venue.clock()
    assert clock is not None
    assert clock.request.url == "http://host:1/"
    assert venue.feeds([listed(CASE)["ETH"]])[0].url == "ws://host:1/stream"


def test_history_asks_for_what_it_will_get() -> None:
    read = CASE.venue.funding_history(listed(CASE)["BTC"], 0, 3_600_000 * 10_000)
    assert read.request.url.endswith(
        "/api/v1/fundings?market_id=1&resolution=1h&start_timestamp=34200000000&end_timestamp=36000000000&count_back=500"
    )
    one = CASE.venue.funding_history(listed(CASE)["BTC"], 3_600_000, 3_600_000 + 1)
    assert one.request.url.endswith("&count_back=1")


def test_markets_are_spread_over_connections_stats_on_the_first() -> None:
    markets = list(listed(CASE, CASE.wide_listing(2 * facts.BOOKS_PER_CONNECTION + 1)).values())
    feeds = FromItsModule("http://host:1", "ws://host:1").feeds(markets)
    assert [len(feed.markets) for feed in feeds] == [facts.BOOKS_PER_CONNECTION] * 2 + [1]
    for number, feed in enumerate(feeds):
        line = Line(CASE, feed, markets)
        line.open()
        line.wait(180)
        assert any(b"market_stats" in message for message in line.sent) == (number == 0)
        assert all(line.books.values())

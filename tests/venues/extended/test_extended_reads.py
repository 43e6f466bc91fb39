"""Extended's REST answers and addresses, beyond the battery."""

from __future__ import annotations

import pytest

from twinleg.core.amounts import Grid
from twinleg.core.messages import FundingPredicted, Market, MarketStatus
from twinleg.core.venue import WireError
from twinleg.venues.extended import ExtendedVenue, facts, reads, wire
from twinleg.venues.extended.venue import rpc_url
from venues.battery import listed
from venues.extended.case import CASE, encode, row

NOW = 1_790_425_443_000


def test_a_recorded_shape_reads_exactly() -> None:
    assert listed(CASE)["BTC-USD"] == Market(
        key="extended:BTC-USD",
        venue="extended",
        symbol="BTC-USD",
        native_id="BTC-USD",
        base="BTC",
        quote="USDC",
        status=MarketStatus.OPEN,
        price_grid=Grid(0),
        size_grid=Grid(5),
        min_size_lots=10,
        maker_fee_bps=0.0,
        taker_fee_bps=2.5,
        taker_delay_ms=200,
        funding_interval_ms=3_600_000,
        max_leverage=50.0,
        maintenance_margin_fraction=0.01,
        settlement="0x1:1000000:0x4254432d3600000000000000000000:1000000",
    )
    assert listed(CASE)["ETH-USD"].price_grid == Grid(1, 5)


@pytest.mark.parametrize("step", ["0", "-1", "x", "", "1e-5"])
def test_a_step_that_is_none_leaves_the_market_out(step: str) -> None:
    body = encode({"status": "OK", "data": [row("A-USD"), row("B-USD", tradingConfig={"minPriceChange": step})]})
    assert listed(CASE, body).keys() == {"A-USD"}


@pytest.mark.parametrize("leverage", [None, "", "0"])
def test_no_leverage_is_unknown(leverage: str | None) -> None:
    body = encode({"status": "OK", "data": [row("A-USD", tradingConfig={"maxLeverage": leverage})]})
    market = listed(CASE, body)["A-USD"]
    assert (market.max_leverage, market.maintenance_margin_fraction) == (None, None)


@pytest.mark.parametrize("told_ms", [None, 0, 5, NOW + 10**9])
def test_a_settlement_time_that_cannot_be_is_the_next_hour(told_ms: int | None) -> None:
    body = encode({"status": "OK", "data": [row("A-USD", marketStats={"nextFundingRate": told_ms})]})
    (event,) = reads.funding_now({"A-USD": "extended:A-USD"}, body, NOW)
    assert isinstance(event, FundingPredicted)
    assert event.settles_at_ms == reads.next_hour_ms(NOW)


@pytest.mark.parametrize(
    "fields", [{"m": "ETH-USD"}, {"f": "0.5"}, {"f": "x"}, {"f": None}, {"T": 0}, {"T": "yesterday"}]
)
def test_a_bad_row_of_history_refuses_the_whole(fields: dict[str, object]) -> None:
    body = encode({"status": "OK", "data": [{"m": "BTC-USD", "f": "0.000008", "T": 1777507201028} | fields]})
    with pytest.raises(WireError):
        reads.funding_history("BTC-USD", "extended:BTC-USD", body, NOW)


def test_no_history_is_no_error() -> None:
    assert reads.funding_history("BTC-USD", "extended:BTC-USD", b'{"status":"OK","data":[]}', NOW) == []


def test_settlements_belong_to_their_hour() -> None:
    assert reads.nearest_hour_ms(1777507201028) == 1777507200000


@pytest.mark.parametrize("text", ["nan", "inf", "x", "", "1e999"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        wire.number(text)


@pytest.mark.parametrize(
    "address",
    [
        "ws://host:1",
        "ws://host:1/",
        "ws://host:1/api/v1",
        "ws://host:1/stream.extended.exchange",
        "ws://host:1/stream.extended.exchange/v1",
        "ws://host:1/stream.extended.exchange/v2/rpc",
        "ws://host:1/stream.extended.exchange/v2/rpc/",
    ],
)
def test_every_way_to_write_the_stream_leads_to_its_rpc(address: str) -> None:
    assert rpc_url(address) == "ws://host:1/stream.extended.exchange/v2/rpc"


def test_a_stream_address_of_ones_own_is_kept() -> None:
    assert rpc_url("ws://host:1/elsewhere/v2/rpc") == "ws://host:1/elsewhere/v2/rpc"


@pytest.mark.parametrize("base", ["http://host:1", "http://host:1/", "http://host:1/api/v1", "http://host:1/api/v1/"])
def test_addresses_are_taken_with_or_without_their_path(base: str) -> None:
    venue = ExtendedVenue(base, "ws://host:1")
    request = venue.list_markets().request
    assert request.url == "http://host:1/api/v1/info/markets"
    assert request.headers["User-Agent"] == facts.USER_AGENT


def test_history_asks_by_name_with_its_window() -> None:
    read = CASE.venue.funding_history(listed(CASE)["BTC-USD"], 5, 7)
    assert read.request.url.endswith("/api/v1/info/BTC-USD/funding?startTime=5&endTime=7&limit=10000")

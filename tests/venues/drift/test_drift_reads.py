"""Drift's public answers: units against recorded markets, and what the two profiles read differently."""

from __future__ import annotations

import base64
import gzip
import json
from decimal import Decimal

import msgspec
import pytest

from twinleg.core.messages import FundingSettled, MarketsListed, VenueClock
from twinleg.core.venue import WireError
from twinleg.venues.drift import facts, reads
from twinleg.venues.drift.chain import layout
from twinleg.venues.drift.chain.keys import base58
from twinleg.venues.drift.venue import DriftVenue, stream_address
from venues.battery import START_MS, listed
from venues.drift.case import CASE, DATA, ROWS, SOL, USDC, listing, of_account, of_accounts, patched, result

VELOCITY = DriftVenue("http://127.0.0.1:1/", "http://127.0.0.1:1", facts.VELOCITY, "http://127.0.0.1:1")


def recorded(name: str, price: int) -> layout.PerpMarket:
    (row,) = [row for row in ROWS if row.get("name") == name and row.get("last_oracle_price") == price]
    return layout.read_perp_market(layout.DRIFT_V2, base64.b64decode(row["data_base64"]))


def test_settled_rates_are_fractions_per_hour() -> None:
    assert reads.settled_rate(recorded("SOL-PERP", 85_016_475)) == pytest.approx(-0.0000116, rel=0.01)
    assert reads.settled_rate(recorded("BTC-PERP", 120_003_893_646)) == pytest.approx(0.0000237, rel=0.01)


def test_predictions_are_near_what_was_charged() -> None:
    """Of all recorded markets with averages: within 5 % p.a. of an hour's noise, and of the same size."""
    seen = 0
    for row in ROWS:
        if row["kind"] != "PerpMarket" or row["oracle_source"] != "PythLazer":
            continue
        perp = layout.read_perp_market(layout.DRIFT_V2, base64.b64decode(row["data_base64"]))
        assert abs(reads.predicted_rate(facts.DRIFT_V2, perp) - reads.settled_rate(perp)) < 0.0005, perp.name
        seen += 1
    assert seen >= 5


def test_a_rate_in_another_unit_is_refused() -> None:
    """The chain's quote per base (BTC: 2.8 USD), or percent read as a fraction, are no rates."""
    perp = recorded("BTC-PERP", 120_003_893_646)
    for wrong in (perp.last_funding_rate / 1e9, 0.0076, float("nan"), float("inf")):
        with pytest.raises(WireError, match="no funding rate"):
            reads.checked_rate(wrong)
    assert reads.checked_rate(-0.00417) == -0.00417


def test_noise_within_the_dead_zone_is_no_premium() -> None:
    """Velocity: 5 bps of the price are noise; the offset alone remains, 10.95 % a year."""
    perp = recorded("SOL-PERP", 85_016_475)._replace(funding_clamp_bps=5, funding_slope=1_000_000)
    for bias in (-400, 0, 400):
        quiet = perp._replace(oracle_twap=10**6, bid_twap=10**6 + bias, ask_twap=10**6 + bias)
        assert reads.predicted_rate(facts.VELOCITY, quiet) * 24 * 365 == pytest.approx(0.1095, rel=0.001)
    loud = perp._replace(oracle_twap=10**6, bid_twap=10**6 + 1_500, ask_twap=10**6 + 1_500, funding_slope=2_000_000)
    assert reads.predicted_rate(facts.VELOCITY, loud) == pytest.approx((0.002 + 1 / 3_333) / 24)


def test_the_hourly_rate_is_clamped_by_tier() -> None:
    perp = recorded("SOL-PERP", 85_016_475)._replace(oracle_twap=10**6, bid_twap=2 * 10**6, ask_twap=2 * 10**6)
    for tier, part in [(0, 33), (1, 33), (2, 20), (3, 10), (5, 10)]:
        found = reads.predicted_rate(facts.DRIFT_V2, perp._replace(contract_tier=tier))
        assert found == pytest.approx(1 / part / 24)


def test_history_divides_by_its_own_price() -> None:
    market = listed(CASE)["SOL-PERP"]
    read = VELOCITY.funding_history(market, START_MS - 24 * facts.HOUR_MS, START_MS)
    assert read.request.url == "http://127.0.0.1:1/market/SOL-PERP/fundingRates?limit=24"
    rows = [
        {"ts": 1_788_300_006, "fundingRate": "-0.001165333", "oraclePriceTwap": "76.170544", "slot": 1},
        {"ts": 1_788_296_404, "fundingRate": 0.0021, "oraclePriceTwap": 75.5, "slot": 0},
    ]
    events = read.parse(json.dumps({"success": True, "records": rows, "meta": {}}).encode(), START_MS)
    told = [event for event in events if isinstance(event, FundingSettled)]
    assert [event.settled_at_ms for event in told] == [1_788_296_400_000, 1_788_300_000_000]
    assert [event.rate_per_hour for event in told] == [
        pytest.approx(0.0021 / 75.5), pytest.approx(float(Decimal("-0.001165333") / Decimal("76.170544"))),
    ]  # fmt: skip
    for wrong in ({"fundingRate": "3"}, {"oraclePriceTwap": "0"}, {"ts": 5}, {"fundingRate": "NaN"}, {"ts": None}):
        body = json.dumps({"success": True, "records": [rows[0] | wrong]}).encode()
        with pytest.raises(WireError):
            read.parse(body, START_MS)
    with pytest.raises(ValueError, match="nobody serves"):
        CASE.venue.funding_history(market, 0, START_MS)


def test_the_relaunched_program_is_listed() -> None:
    golden = json.loads(gzip.decompress((DATA / "svm_golden_velocity_202608.json.gz").read_bytes()))
    accounts = {data[:8]: data for data in map(base64.b64decode, golden["initial_accounts_b64"].values())}
    rows = [{"pubkey": base58(accounts[layout.PERP_MARKET][8:40]), "account": of_account(accounts[layout.PERP_MARKET])}]
    both = of_accounts(accounts[layout.STATE], accounts[layout.SPOT_MARKET])
    body = json.dumps([result(1, both), result(2, rows)]).encode()
    (event,) = VELOCITY.list_markets().parse(body, START_MS)
    assert isinstance(event, MarketsListed)
    (market,) = event.markets
    assert (market.symbol, market.quote, market.excluded) == ("SOL-PERP", "USDT", None)
    assert (market.price_grid.text(1), market.size_grid.text(1), market.min_size_lots) == ("0.001", "0.01", 1)
    assert (market.taker_fee_bps, market.maker_fee_bps) == (3.5, -0.25)
    addresses = reads.Addresses.of(market)
    assert addresses.perp_market == reads.perp_market_address(facts.VELOCITY, 0)
    assert addresses.spot_market == reads.spot_market_address(facts.VELOCITY, 0)
    assert {base58(addresses.oracle), base58(addresses.spot_oracle)} <= golden["initial_accounts_b64"].keys()
    with pytest.raises(ValueError, match="no market of drift"):
        reads.Addresses.of(msgspec.structs.replace(market, settlement=""))


def test_a_market_pays_what_its_adjustment_says() -> None:
    (event,) = CASE.venue.list_markets().parse(listing(patched(SOL, market_index=0, fee_adjustment=-50)), START_MS)
    assert isinstance(event, MarketsListed)
    assert (event.markets[0].taker_fee_bps, event.markets[0].maker_fee_bps) == (1.75, -0.125)


def test_the_chains_clock_is_read() -> None:
    read = CASE.venue.clock()
    assert read is not None
    data = bytes(32) + (START_MS // 1_000 - 4).to_bytes(8, "little")
    (event,) = read.parse(json.dumps([result(1, of_accounts(data) | {"value": of_account(data)})]).encode(), START_MS)
    assert isinstance(event, VenueClock)
    assert -4_000 <= event.offset_ms <= -3_000
    for wrong in (None, of_account(USDC), of_account(bytes(40))):
        with pytest.raises(WireError):
            read.parse(json.dumps([result(1, {"context": {"slot": 1}, "value": wrong})]).encode(), START_MS)


def test_a_batch_may_come_in_any_order() -> None:
    replies = json.loads(listing(SOL))
    assert reads.markets_listed(facts.DRIFT_V2, json.dumps(replies[::-1]).encode(), 5)


@pytest.mark.parametrize("address", ["https://dlob.x", "https://dlob.x/", "wss://dlob.x/ws", "https://dlob.x/ws"])
def test_the_stream_is_beside_the_server(address: str) -> None:
    assert stream_address(address) == "wss://dlob.x/ws"

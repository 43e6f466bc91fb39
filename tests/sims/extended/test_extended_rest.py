"""Extended's public REST bodies, their errors, and who is let in."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from extended_client import START_MS, Client

from twinleg_sims.extended.facts import HOUR_MS, SNOWFLAKE_EPOCH_MS

EXAMPLES = json.loads(
    Path(__file__).parents[2].joinpath("data/extended/constructed_examples_sdk_2.6.0.json").read_text()
)


@pytest.fixture(scope="module")
def client() -> Client:
    client = Client()
    client.run(90_000)
    return client


def row(client: Client, market: str) -> dict[str, Any]:
    return next(row for row in client.data("/info/markets") if row["name"] == market)


def test_markets_come_with_everything_a_client_needs(client: Client) -> None:
    bitcoin = row(client, "BTC-USD")
    assert bitcoin["status"] == "ACTIVE"
    assert bitcoin["tradingHours"] == "CONTINUOUS"
    assert bitcoin["tradingConfig"]["minOrderSizeChange"] == "0.00001"
    assert bitcoin["tradingConfig"]["minPriceChange"] == "1"
    assert bitcoin["tradingConfig"]["maxLeverage"] == "50.00"
    assert bitcoin["l2Config"]["syntheticId"] == "0x4254432d3600000000000000000000"
    assert "deleverageLevels" in bitcoin["marketStats"]


def test_odd_markets_are_listed_as_what_they_are(client: Client) -> None:
    assert row(client, "XAU-USD")["isRfq"] is True
    assert row(client, "FRESH-USD")["status"] == "PRELISTED"
    assert row(client, "OLD-USD")["status"] == "REDUCE_ONLY"
    assert row(client, "EUR-USD")["tradingHours"] == "WEEKDAYS"


def test_a_market_with_hours_is_off_hours_on_a_saturday(client: Client) -> None:
    assert row(client, "EUR-USD")["isOffHours"] is True
    assert Client(start_ms=START_MS - 24 * HOUR_MS).data("/info/markets?market=EUR-USD")[0]["isOffHours"] is False


def test_risk_tiers_rise_to_the_whole_and_stop_for_users(client: Client) -> None:
    tiers = row(client, "BTC-USD")["tradingConfig"]["riskFactorConfig"]
    assert tiers[0] == {"upperBound": "4000000", "riskFactor": "0.02", "isAvailableForUsers": True}
    assert tiers[-1]["riskFactor"] == "1"
    assert max(int(tier["upperBound"]) for tier in tiers if tier["isAvailableForUsers"]) == 60_000_000


def test_markets_can_be_asked_for_by_name(client: Client) -> None:
    rows = client.data("/info/markets?market=ETH-USD&market=BTC-USD")
    assert [row["name"] for row in rows] == ["ETH-USD", "BTC-USD"]


def test_stats_are_those_of_the_market_and_of_the_books_top(client: Client) -> None:
    stats, book = client.data("/info/markets/BTC-USD/stats"), client.data("/info/markets/BTC-USD/orderbook")
    assert stats == row(client, "BTC-USD")["marketStats"]
    assert (stats["bidPrice"], stats["askPrice"]) == (book["bid"][0]["price"], book["ask"][0]["price"])
    assert stats["nextFundingRate"] == (client.now_ms // HOUR_MS + 1) * HOUR_MS
    assert Decimal(stats["dailyLow"]) <= Decimal(stats["lastPrice"]) <= Decimal(stats["dailyHigh"])


def test_the_order_book_is_best_first_and_not_crossed(client: Client) -> None:
    book = client.data("/info/markets/BTC-USD/orderbook")
    bids, asks = ([Decimal(level["price"]) for level in book[side]] for side in ("bid", "ask"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


def test_trades_are_newest_first_and_their_ids_tell_the_time(client: Client) -> None:
    trades = client.data("/info/markets/BTC-USD/trades")
    assert len(trades) == 50
    assert trades == sorted(trades, key=lambda trade: -trade["i"])
    assert all((trade["i"] >> 22) + SNOWFLAKE_EPOCH_MS == trade["T"] for trade in trades)


@pytest.mark.parametrize("kind", ["trades", "mark-prices", "index-prices"])
def test_candles_are_newest_first_without_holes(client: Client, kind: str) -> None:
    candles = client.data(f"/info/candles/BTC-USD/{kind}?interval=PT1H&limit=5")
    opened = [candle["T"] for candle in candles]
    assert opened == [client.now_ms // HOUR_MS * HOUR_MS - HOUR_MS * n for n in range(5)]
    assert all(("v" in candle) == (kind == "trades") for candle in candles)
    for candle in candles:
        low, high = Decimal(candle["l"]), Decimal(candle["h"])
        assert low <= Decimal(candle["o"]) <= high
        assert low <= Decimal(candle["c"]) <= high


def test_candles_end_where_asked(client: Client) -> None:
    end_ms = START_MS - 3 * HOUR_MS
    candles = client.data(f"/info/candles/BTC-USD/trades?interval=PT1H&limit=2&endTime={end_ms}")
    assert [candle["T"] for candle in candles] == [end_ms // HOUR_MS * HOUR_MS - HOUR_MS * n for n in range(2)]


def test_quiet_minutes_have_flat_candles() -> None:
    client = Client(assets=1)
    client.world.market("extended", "OLD-USD").bars.add(START_MS, 0.04, 10.0, 1)
    client.run(180_000, step_ms=1_000)
    candles = client.data("/info/candles/OLD-USD/trades?interval=PT1M&limit=20")
    quiet = [candle for candle in candles if candle["v"] == "0"]
    assert quiet
    assert all(candle["o"] == candle["l"] == candle["h"] == candle["c"] for candle in quiet)
    assert [candle["T"] for candle in candles] == [candles[0]["T"] - 60_000 * n for n in range(len(candles))]


def test_funding_pages_hold_every_rate_once_newest_first(client: Client) -> None:
    whole = json.loads(client.get("/api/v1/info/BTC-USD/funding?startTime=0").body)["data"]
    assert len(whole) == 72
    assert all(rate["T"] % HOUR_MS == 1_028 for rate in whole)
    assert whole == sorted(whole, key=lambda rate: -rate["T"])
    paged: list[dict[str, Any]] = []
    after = ""
    for _ in range(9):
        page = json.loads(client.get(f"/api/v1/info/BTC-USD/funding?startTime=0&limit=10{after}").body)
        assert page["pagination"]["count"] == len(page["data"])
        paged += page["data"]
        after = f"&cursor={page['pagination']['cursor']}"
    assert page["data"] == []
    assert paged == whole


def test_funding_keeps_to_the_time_asked_for(client: Client) -> None:
    end_ms = START_MS - 10 * HOUR_MS
    rates = client.data(f"/info/BTC-USD/funding?startTime={end_ms - 5 * HOUR_MS}&endTime={end_ms}")
    assert len(rates) == 5
    assert all(end_ms - 5 * HOUR_MS <= rate["T"] <= end_ms for rate in rates)


def test_an_applied_rate_appears_just_after_its_hour() -> None:
    client = Client(start_ms=START_MS // HOUR_MS * HOUR_MS + HOUR_MS - 1_000)
    before = client.data("/info/BTC-USD/funding")
    client.run(2_000, step_ms=1_000)
    assert client.data("/info/BTC-USD/funding") == before, "the hour is over, its rate is not stamped yet"
    client.run(1_000, step_ms=1_000)
    after = client.data("/info/BTC-USD/funding")
    assert after[1:] == before
    assert after[0]["T"] == client.now_ms // HOUR_MS * HOUR_MS + 1_028


def test_open_interest_is_kept_by_the_hour() -> None:
    client = Client(start_ms=START_MS // HOUR_MS * HOUR_MS + HOUR_MS - 1_000)
    client.run(2_000, step_ms=1_000)
    rows = client.data("/info/BTC-USD/open-interests?interval=P1H")
    assert [row["t"] for row in rows] == [START_MS // HOUR_MS * HOUR_MS + HOUR_MS * n for n in (1, 0)]
    assert client.data(f"/info/BTC-USD/open-interests?startTime={rows[0]['t']}") == rows[:1]
    assert client.data("/info/BTC-USD/open-interests?interval=P1D") == []


def test_assets_and_their_prices(client: Client) -> None:
    assets = client.data("/info/assets")
    assert assets[0]["name"] == "USD"
    assert {"BTC", "ETH"} <= {asset["name"] for asset in assets}
    assert set(EXAMPLES["assets"][0]) <= set(assets[0])
    assert [asset["name"] for asset in client.data("/info/assets?type=SPOT")] == ["USD", "XVS"]
    assert client.data("/info/assets/USD/price") == "1"
    assert client.data("/info/assets/BTC/price") == client.data("/info/markets/BTC-USD/stats")["indexPrice"]


def test_settings_and_the_signing_domain(client: Client) -> None:
    assert set(client.data("/info/settings")) == {"starkExContractAddress"}
    assert client.data("/info/starknet") == {
        "name": "Perpetuals",
        "version": "v0",
        "chainId": "SN_SEPOLIA",
        "revision": "1",
    }


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/info/markets?market=NO-USD", 404, 1001),
        ("/api/v1/info/markets/NO-USD/stats", 404, 1001),
        ("/api/v1/info/markets/BTC-USD/weather", 404, 404),
        ("/api/v1/info/candles/BTC-USD/trades?interval=PT7M", 400, 1005),
        ("/api/v1/info/candles/BTC-USD/trades", 400, 1005),
        ("/api/v1/info/BTC-USD/open-interests?interval=P2H", 400, 1005),
        ("/api/v1/info/BTC-USD/funding?limit=-1", 400, 400),
        ("/api/v1/info/BTC-USD/funding?cursor=abc", 400, 400),
        ("/api/v1/info/assets/NO/price", 404, 1000),
        ("/api/v1/nothing", 404, 404),
        ("/info/markets", 404, 404),
        ("/", 404, 404),
        ("/api/v1/user/balance", 401, 401),
        ("/api/v1/vault/public/summary", 401, 401),
        ("/auth/onboard", 401, 401),
    ],
)
def test_errors_have_a_status_and_an_integer_code(client: Client, path: str, status: int, code: int) -> None:
    reply = client.get(path)
    body = json.loads(reply.body)
    assert (reply.status, body["status"], body["error"]["code"]) == (status, "ERROR", code)
    assert set(body["error"]) == set(EXAMPLES["rest_envelopes"]["error"]["error"])


def test_a_key_nobody_has_opens_nothing(client: Client) -> None:
    reply = client.get("/api/v1/user/order", method="POST", headers={"user-agent": "t", "x-api-key": "k"})
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (401, 401)


def test_a_user_agent_is_demanded(client: Client) -> None:
    assert client.get("/api/v1/info/markets", headers={}).status == 403


def test_only_get_is_public(client: Client) -> None:
    assert client.get("/api/v1/info/markets", method="POST").status == 404


def test_a_thousand_requests_a_minute_per_address() -> None:
    client = Client(assets=1)
    statuses = [client.get("/api/v1/info/settings").status for _ in range(1_001)]
    assert statuses == [200] * 1_000 + [429]
    assert client.get("/api/v1/info/settings", peer="another").status == 200
    assert json.loads(client.get("/api/v1/info/settings").body)["error"]["code"] == 429
    client.world.advance(client.now_ms + 60_000)
    assert client.get("/api/v1/info/settings").status == 200


def test_a_vanished_market_is_not_listed_and_not_found() -> None:
    client = Client()
    client.fault("vanish", "ETH-USD", for_s=1)
    assert "ETH-USD" not in [row["name"] for row in client.data("/info/markets")]
    assert client.get("/api/v1/info/markets/ETH-USD/stats").status == 404
    client.run(1_000)
    assert client.data("/info/markets/ETH-USD/stats")


def test_an_unknown_status_word_can_be_shown() -> None:
    client = Client()
    client.fault("unknown_word", "ETH-USD")
    statuses = {row["name"]: row["status"] for row in client.data("/info/markets")}
    assert statuses["ETH-USD"] not in ("ACTIVE", "REDUCE_ONLY", "DELISTED", "PRELISTED", "DISABLED")
    assert statuses["BTC-USD"] == "ACTIVE"

"""Every public REST body is what the official SDK declares and what was recorded from the venue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lighter
import pytest
from lighter_bench import START_MS, Bench
from pydantic import BaseModel

from twinleg_sims.funding import HOUR_MS
from twinleg_sims.lighter.facts import PREMIUM, Limits
from twinleg_sims.listings import LIGHTER
from twinleg_sims.protocol import HttpRequest

RECORDED = json.loads((Path(__file__).parents[2] / "data/lighter/ccxt_http_responses.json").read_text())
SPAN = {"start_timestamp": 0, "end_timestamp": 5_000_000_000_000, "count_back": 10}

ENDPOINTS = [
    ("/", {}, lighter.Status),
    ("/info", {}, lighter.ZkLighterInfo),
    ("/api/v1/orderBooks", {}, lighter.OrderBooks),
    ("/api/v1/orderBookDetails", {}, lighter.OrderBookDetails),
    ("/api/v1/orderBookOrders", {"market_id": 0, "limit": 5}, lighter.OrderBookOrders),
    ("/api/v1/recentTrades", {"market_id": 0, "limit": 5}, lighter.Trades),
    ("/api/v1/candles", {"market_id": 0, "resolution": "1h", **SPAN}, lighter.Candles),
    ("/api/v1/markPriceCandles", {"market_id": 0, "resolution": "1h", **SPAN}, lighter.MarkPriceCandles),
    ("/api/v1/fundings", {"market_id": 0, "resolution": "1h", **SPAN}, lighter.Fundings),
    ("/api/v1/funding-rates", {}, lighter.FundingRates),
    ("/api/v1/exchangeStats", {}, lighter.ExchangeStats),
    ("/api/v1/assetDetails", {}, lighter.AssetDetails),
    ("/api/v1/systemConfig", {}, lighter.SystemConfig),
    ("/api/v1/currentHeight", {}, lighter.CurrentHeight),
    ("/api/v1/withdrawalDelay", {}, lighter.RespWithdrawalDelay),
    ("/api/v1/announcement", {}, lighter.Announcements),
]


def lacking(model: BaseModel, where: str = "") -> list[str]:
    """The required fields that are None: the SDK builds its models without validation."""
    missing: list[str] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if field.is_required() and value is None:
            missing.append(f"{where}.{name}")
        for position, part in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(part, BaseModel):
                missing += lacking(part, f"{where}.{name}[{position}]")
    return missing


@pytest.mark.parametrize(("path", "query", "model"), ENDPOINTS, ids=[path for path, _, _ in ENDPOINTS])
def test_a_body_fills_the_sdk_s_model_and_survives_its_own_validation(
    path: str, query: dict[str, object], model: type[Any]
) -> None:
    body = Bench().body(path, **query)
    read = model.from_dict(body)
    assert lacking(read) == []
    model.model_validate(body)


def shape(value: object) -> object:
    """Types by field, lists by their first row."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def uncovered(recorded: object, ours: object, where: str = "") -> list[str]:
    """What the recording has and we lack or write as another type."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        return [miss for name in recorded for miss in uncovered(recorded[name], ours.get(name), f"{where}.{name}")]
    if isinstance(recorded, list) and isinstance(ours, list):
        return uncovered(recorded[0], ours[0], f"{where}[]") if recorded and ours else []
    return [] if recorded == ours else [f"{where}: recorded {recorded}, ours {ours}"]


@pytest.mark.parametrize(
    ("recorded", "path", "query"),
    [
        ("GET / (status)", "/", {}),
        ("GET /api/v1/orderBookDetails", "/api/v1/orderBookDetails", {}),
        ("GET /api/v1/assetDetails", "/api/v1/assetDetails", {}),
        (
            "GET /api/v1/orderBookOrders?market_id=0&limit=1",
            "/api/v1/orderBookOrders",
            {"market_id": 0, "limit": 1},
        ),
        ("GET /api/v1/funding-rates", "/api/v1/funding-rates", {}),
    ],
)
def test_a_body_has_every_recorded_field_with_its_type(recorded: str, path: str, query: dict[str, object]) -> None:
    assert uncovered(shape(RECORDED[recorded]), shape(Bench().body(path, **query))) == []


def test_prices_and_sizes_carry_exactly_the_market_s_decimals() -> None:
    bench = Bench()
    bench.run(3_000)
    for detail in bench.body("/api/v1/orderBookDetails")["order_book_details"]:
        book = bench.body("/api/v1/orderBookOrders", market_id=detail["market_id"], limit=3)
        for order in book["asks"] + book["bids"]:
            assert len(order["price"].partition(".")[2]) == detail["price_decimals"]
            assert len(order["remaining_base_amount"].partition(".")[2]) == detail["size_decimals"]
        assert float(book["bids"][0]["price"]) < float(book["asks"][0]["price"])


def test_the_units_of_funding_agree_across_endpoints() -> None:
    """Percent per hour as text, absolute with a direction; signed fraction per 8 hours as a float."""
    bench = Bench()
    for market in bench.world.markets(LIGHTER):
        number = market.listing.market_id
        settled = market.funding.settled[-1]
        rows = bench.body("/api/v1/fundings", market_id=number, resolution="1h", **SPAN)["fundings"]
        assert len(rows) == 10
        sign = {"long": 1, "short": -1}[rows[-1]["direction"]]
        assert sign * float(rows[-1]["rate"]) / 100 == pytest.approx(settled.rate_per_hour, abs=1e-9)
        assert rows[-1]["timestamp"] * 1000 == settled.settled_at_ms // HOUR_MS * HOUR_MS
        index = round(settled.price, market.listing.price_decimals)
        assert float(rows[-1]["value"]) == pytest.approx(abs(settled.rate_per_hour) * index, rel=1e-6)
    ours = [row for row in bench.body("/api/v1/funding-rates")["funding_rates"] if row["exchange"] == "lighter"]
    for row in ours:
        market = bench.world.market(LIGHTER, row["symbol"])
        assert row["rate"] == pytest.approx(8 * market.funding.predicted_rate_per_hour())


def test_candles_end_where_the_last_trade_was() -> None:
    bench = Bench()
    bench.run(130_000, step_ms=1_000)
    market = bench.world.market(LIGHTER, "ETH")
    minutes = bench.body("/api/v1/candles", market_id=0, resolution="1m", **SPAN)
    assert minutes["r"] == "1m"
    assert minutes["c"][-1]["c"] == market.last_price
    assert [bar["t"] for bar in minutes["c"]] == sorted({bar["t"] for bar in minutes["c"]})
    assert all(bar["l"] <= min(bar["o"], bar["c"]) <= max(bar["o"], bar["c"]) <= bar["h"] for bar in minutes["c"])
    assert len(bench.body("/api/v1/candles", market_id=0, resolution="4h", **SPAN)["c"]) == 10
    marks = bench.body("/api/v1/markPriceCandles", market_id=0, resolution="1m", **SPAN)["c"]
    assert marks[-1]["c"] == round(market.mark_price, 2)
    assert marks[-2]["sc"] == 60


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/orderBookOrders", {"market_id": 0, "limit": 251}),
        ("/api/v1/orderBookOrders", {"market_id": 77, "limit": 5}),
        ("/api/v1/recentTrades", {"market_id": "x", "limit": 5}),
        ("/api/v1/candles", {"market_id": 0, "resolution": "7m", **SPAN}),
        ("/api/v1/fundings", {"market_id": 0, "resolution": "1h", "start_timestamp": 5, "end_timestamp": 1}),
        ("/api/v1/orderBooks", {"filter": "swaps"}),
    ],
)
def test_a_bad_parameter_is_a_400_with_the_venue_s_code(path: str, query: dict[str, object]) -> None:
    reply = Bench().get(path, **query)
    assert reply.status == 400
    assert json.loads(reply.body)["code"] == 20001


def test_unknown_and_private_paths_say_so() -> None:
    bench = Bench()
    assert bench.get("/api/v1/nowhere").status == 404
    private = bench.core.http(HttpRequest("POST", "/api/v1/sendTx"), START_MS)
    assert private.status == 400
    assert json.loads(private.body) == {"code": 20001, "message": "invalid param : tx_type"}


def test_a_standard_client_has_sixty_requests_a_minute_whatever_their_weight() -> None:
    bench = Bench(limits=Limits())
    statuses = [bench.get("/").status for _ in range(61)]
    assert statuses == [200] * 60 + [429]
    assert json.loads(bench.get("/").body) == {"code": 23000, "message": "Too Many Requests!"}
    bench.world.advance(START_MS + 60_001)
    assert bench.get("/").status == 200


def test_premium_budgets_are_weighted() -> None:
    bench = Bench(limits=PREMIUM)
    statuses = [bench.get("/api/v1/recentTrades", market_id=0, limit=1).status for _ in range(41)]
    assert statuses == [200] * 40 + [429]

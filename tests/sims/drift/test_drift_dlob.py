"""The DLOB server and the data API."""

from __future__ import annotations

import msgspec
import pytest
from drift_chain import BASE, MARKET, SHORT, Chain

from twinleg_sims.drift.keys import to_base58
from twinleg_sims.drift.profile import VELOCITY
from twinleg_sims.drift.words import FUNDING, PRICE
from twinleg_sims.protocol import HttpRequest


def test_the_book_holds_the_amm_and_resting_orders_as_integer_strings() -> None:
    chain = Chain()
    maker = chain.open()
    price = chain.price * 1002 // 1000 // 100 * 100
    maker.place(price=price, direction=SHORT, base=2 * BASE, post_only=1)
    chain.slots(2)
    book = chain.get("/l2", marketName="SOL-PERP")
    assert int(book["bestBidPrice"]) < int(book["oracle"]) < int(book["bestAskPrice"])
    asks = {row["price"]: row for row in book["asks"]}
    assert asks[str(price)]["sources"]["dlob"] == str(2 * BASE)
    assert all(isinstance(row["price"], str) for row in book["bids"] + book["asks"])
    assert [int(row["price"]) for row in book["asks"]] == sorted(int(row["price"]) for row in book["asks"])
    assert [int(row["price"]) for row in book["bids"]] == sorted((int(r["price"]) for r in book["bids"]), reverse=True)
    (row,) = chain.get("/l3", marketIndex="0", marketType="perp")["asks"]
    assert (row["maker"], row["orderId"], row["size"]) == (to_base58(maker.user_key), "1", str(2 * BASE))
    assert chain.get("/topMakers", marketName="SOL-PERP", side="ask") == [to_base58(maker.user_key)]
    assert chain.get("/topMakers", marketName="SOL-PERP", side="bid") == []


def test_several_books_come_at_once_and_bad_questions_are_refused() -> None:
    chain = Chain()
    found = chain.get("/batchL2", marketName="SOL-PERP,BTC-PERP", marketType="perp,perp")["l2s"]
    assert [book["marketIndex"] for book in found] == [0, 1]
    for path, query in (("/l2", {"marketName": "X"}), ("/l2", {}), ("/topMakers", {"marketName": "SOL-PERP"})):
        reply = chain.core.http(HttpRequest("GET", path, list(query.items())), chain.now_ms)
        assert (reply.status, reply.headers["Content-Type"]) == (400, "text/plain")
    assert chain.core.http(HttpRequest("GET", "/nothing"), chain.now_ms).status == 404


def test_the_stream_sends_a_snapshot_at_once_then_books_and_heartbeats() -> None:
    chain = Chain()
    asked = {"type": "subscribe", "marketType": "perp", "channel": "orderbook", "market": "SOL-PERP", "grouping": 10}
    answer = chain.stream(1, "/ws", asked)
    assert answer["message"].startswith("Subscribe received for channel: orderbook")
    assert chain.heard[1]["channel"] == "orderbook_perp_0_grouped_10"
    book = msgspec.json.decode(chain.heard[1]["data"])
    assert isinstance(book["asks"][0]["price"], float)
    assert book["asks"][0]["price"] % 1000 == 0, "ten ticks of 0.0001"
    chain.heard.clear()
    chain.slots(20)
    channels = [words["channel"] for words in chain.heard]
    assert channels.count("orderbook_perp_0_grouped_10") >= 15
    assert "heartbeat" in channels


def test_the_stream_tells_of_trades_in_human_decimals() -> None:
    chain = Chain()
    chain.stream(1, "/ws", {"type": "subscribe", "marketType": "perp", "channel": "trades", "market": "SOL-PERP"})
    client = chain.open()
    client.place(kind=MARKET)
    chain.until(lambda: client.held() > 0)
    chain.slots()
    told = [words for words in chain.heard if words.get("channel") == "trades_perp_0"]
    trade = msgspec.json.decode(told[0]["data"])
    assert (trade["baseAssetAmountFilled"], trade["taker"]) == (0.1, to_base58(client.user_key))
    assert trade["quoteAssetAmountFilled"] == pytest.approx(chain.price / PRICE / 10, rel=0.01)
    assert (trade["takerOrderDirection"], trade["action"]) == ("long", "fill")


def test_an_unknown_market_is_an_error_and_nonsense_closes() -> None:
    chain = Chain()
    words = {"type": "subscribe", "marketType": "perp", "channel": "orderbook", "market": "X-PERP"}
    assert chain.stream(1, "/ws", words)["error"] == "Error subscribing to channel"
    chain.ask(1, ["what"])
    assert chain.closes[0].code == 1003


def test_rates_of_the_past_are_quote_per_base_and_glances_are_percent_with_the_sides_sign() -> None:
    chain = Chain(VELOCITY)
    rows = chain.get("/market/SOL-PERP/fundingRates", limit="5")["records"]
    assert len(rows) == 5
    assert [row["ts"] for row in rows] == sorted((row["ts"] for row in rows), reverse=True)
    market = chain.market()
    assert float(rows[0]["fundingRate"]) == market["last_funding_rate"] / FUNDING
    glance = next(row for row in chain.get("/stats/markets")["markets"] if row["symbol"] == "SOL-PERP")
    fraction = float(rows[0]["fundingRate"]) / float(rows[0]["oraclePriceTwap"])
    assert float(glance["fundingRate"]["long"]) == pytest.approx(-fraction * 100, rel=1e-4, abs=1e-8)
    assert float(glance["fundingRate"]["short"]) == -float(glance["fundingRate"]["long"])


def test_pages_of_funding_follow_one_another_and_a_day_comes_as_csv() -> None:
    chain = Chain()
    first = chain.get("/market/SOL-PERP/fundingRates", limit="10")
    second = chain.get("/market/SOL-PERP/fundingRates", limit="10", page=first["meta"]["nextPage"])
    assert second["records"][0]["recordId"] == first["records"][-1]["recordId"] - 1
    path = "/market/SOL-PERP/fundingRates/2027/1/15"
    reply = chain.core.http(HttpRequest("GET", path, [("format", "csv")]), chain.now_ms)
    assert reply.body.decode().splitlines()[0].startswith("ts,recordId,marketIndex,fundingRate")
    empty = chain.core.http(HttpRequest("GET", "/market/SOL-PERP/fundingRates/2020/1/1"), chain.now_ms)
    assert (empty.status, empty.body) == (200, b"")

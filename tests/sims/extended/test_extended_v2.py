"""Extended's v2 stream: JSON-RPC requests, acknowledgements, errors and silences; one sequence for the connection."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from extended_client import Client

from twinleg_sims.extended.facts import HOUR_MS, MINUTE_MS, RPC_PATH
from twinleg_sims.market import FIRST_OUTSIDE_OWNER
from twinleg_sims.world import NewOrder

BTC = {"market": "BTC-USD"}
EVERYTHING = (
    ("orderbooks", {"depth": "full", "rfqOnly": False}, "orderbooks.{}"),
    ("orderbooks", {"depth": "1", "rfqOnly": False}, "orderbooks.1.{}"),
    ("orderbooks", {"depth": "full", "rfqOnly": True}, "orderbooks.{}.rfq"),
    ("trades", {}, "trades.{}"),
    ("funding-rates", {}, "funding-rates.{}"),
    ("prices", {"type": "mark"}, "prices.mark.{}"),
    ("prices", {"type": "index"}, "prices.index.{}"),
)


@pytest.fixture
def client() -> Client:
    client = Client()
    client.open(RPC_PATH)
    return client


@pytest.mark.parametrize(("scope", "selector", "name"), EVERYTHING)
@pytest.mark.parametrize("market", ["BTC-USD", None])
def test_an_acknowledgement_names_the_subscription(
    client: Client, scope: str, selector: dict[str, object], name: str, market: str | None
) -> None:
    ack = client.subscribe(scope, market=market, **selector)[0]
    subscription = name.format(market or "all")
    expected = {"method": "subscribe", "status": "OK", "subscription": subscription}
    assert ack == {"id": "1", "result": expected, "jsonrpc": "2.0"}
    assert client.call("list-subscriptions")[0]["result"]["subscriptions"] == [subscription]


@pytest.mark.parametrize("kind", ["last", "mark", "index"])
def test_candles(client: Client, kind: str) -> None:
    ack = client.subscribe("candles", type=kind, market="BTC-USD", interval="PT1M")[0]
    name = f"candles.{kind}.BTC-USD.PT1M"
    assert ack["result"]["subscription"] == name
    client.run(2 * MINUTE_MS, step_ms=500)
    frames = client.of(name)
    assert {frame["type"] for frame in frames} == {"CANDLE"}
    shown = {row["T"]: row for frame in frames for row in reversed(frame["data"])}
    path = {"last": "trades", "mark": "mark-prices", "index": "index-prices"}[kind]
    history = client.data(f"/info/candles/BTC-USD/{path}?interval=PT1M&limit=2")
    assert [shown[row["T"]] for row in history] == history


def test_one_sequence_from_zero_over_all_topics_and_none_for_answers(client: Client) -> None:
    for scope, selector, _ in EVERYTHING:
        client.subscribe(scope, market=None, **selector)
    client.run(2 * MINUTE_MS, step_ms=500)
    answers = [frame for frame in client.frames[1] if "id" in frame]
    frames = [frame for frame in client.frames[1] if "id" not in frame]
    assert not any("seq" in answer for answer in answers)
    assert [frame["seq"] for frame in frames] == list(range(len(frames)))
    assert len({frame["subscription"] for frame in frames}) == len(EVERYTHING)
    assert all(set(frame) == {"type", "data", "ts", "seq", "subscription"} for frame in frames)


def test_the_last_fifty_trades_are_replayed_oldest_first_at_each_subscribe_and_connect(client: Client) -> None:
    _, replay = client.subscribe("trades", **BTC)
    ids = [trade["i"] for trade in replay["data"]]
    assert len(ids) == 50
    assert ids == sorted(ids)
    client.open(RPC_PATH)
    assert client.subscribe("trades", 2, **BTC)[1]["data"] == replay["data"]
    client.run(20_000)
    news = [trade["i"] for frame in client.of("trades.BTC-USD")[1:] for trade in frame["data"]]
    assert news
    assert news == sorted(set(news) - set(ids))


def test_an_outside_buyer_is_a_buyer_in_the_public_trades_200_ms_later(client: Client) -> None:
    client.subscribe("trades", **BTC)
    market = client.world.market("extended", "BTC-USD")
    worst = (market.book.best("ask") or 0) * 11 // 10
    before = client.now_ms
    client.world.submit(market, NewOrder(FIRST_OUTSIDE_OWNER, "bid", worst, 12_345, "ioc"))
    client.run(200, step_ms=20)
    bought = [trade for trade in client.of("trades.BTC-USD")[-1]["data"] if trade["T"] == before + 200]
    assert {trade["S"] for trade in bought} == {"BUY"}
    assert sum(Decimal(trade["q"]) for trade in bought) == Decimal("0.12345")


def test_marks_have_no_time_of_their_own_and_indices_do(client: Client) -> None:
    client.subscribe("prices", type="mark", **BTC)
    client.subscribe("prices", type="index", **BTC)
    client.run(10_000)
    marks, indices = client.of("prices.mark.BTC-USD"), client.of("prices.index.BTC-USD")
    assert {frame["data"]["ts"] for frame in marks} == {0}
    assert all(0 <= frame["ts"] - frame["data"]["ts"] < 1_000 for frame in indices)
    assert all(earlier["data"]["p"] != later["data"]["p"] for earlier, later in pairwise(marks))


def test_funding_estimates_come_each_minute_with_the_time_of_their_frame(client: Client) -> None:
    client.subscribe("funding-rates", **BTC)
    client.run(5 * MINUTE_MS, step_ms=500)
    frames = client.of("funding-rates.BTC-USD")
    assert len(frames) == 5
    assert all(frame["data"]["T"] == frame["ts"] for frame in frames)
    assert frames[-1]["data"]["f"] == client.data("/info/markets/BTC-USD/stats")["fundingRate"]
    applied = {rate["T"] % HOUR_MS for rate in client.data("/info/BTC-USD/funding")}
    assert applied == {1_028}, "applied rates are in the history only"


def test_an_invalid_choice_gets_no_answer_at_all(client: Client) -> None:
    assert client.subscribe("orderbooks", depth="20", **BTC) == []
    assert client.subscribe("orderbooks", depth="1", rfqOnly=True, **BTC) == []
    assert client.subscribe("prices", type="last", **BTC) == []
    assert client.subscribe("candles", type="last", interval="PT7M", **BTC) == []
    assert client.call("list-subscriptions")[0]["result"]["subscriptions"] == []


@pytest.mark.parametrize(
    ("message", "code", "request_id"),
    [
        (b"{", -32700, None),
        (b"\xff\xfe", -32700, None),
        ([], -32600, None),
        ({"method": "ping"}, -32600, None),
        ({"id": "7", "method": 5}, -32600, "7"),
        ({"id": "7", "method": "ping", "params": []}, -32600, "7"),
        ({"id": "7", "method": "dance"}, -32601, "7"),
        ({"id": "7", "method": "subscribe"}, -32602, "7"),
        ({"id": "7", "method": "subscribe", "params": {"scope": "trades", "selector": 3}}, -32602, "7"),
        (
            {"id": "7", "method": "subscribe", "params": {"scope": "trades", "selector": {"market": "NO-USD"}}},
            -32602,
            "7",
        ),
        (
            {"id": "7", "method": "subscribe", "params": {"scope": "trades", "selector": {"market": ["BTC-USD"]}}},
            -32602,
            "7",
        ),
        ({"id": "7", "method": "subscribe", "params": {"scope": "candles", "selector": {"type": "last"}}}, -32602, "7"),
        ({"id": "7", "method": "subscribe", "params": {"scope": ["trades"], "selector": BTC}}, -32602, "7"),
        ({"id": "7", "method": "unsubscribe", "params": {"scope": "trades", "selector": BTC}}, -32602, "7"),
        ({"id": "7", "method": "subscribe", "params": {"scope": "account", "selector": {"account": "1"}}}, -32001, "7"),
    ],
)
def test_errors(client: Client, message: object, code: int, request_id: str | None) -> None:
    (answer,) = client.send(message)
    assert answer["id"] == request_id
    assert answer["error"]["code"] == code
    assert set(answer["error"]) == {"code", "message", "data"}


def test_ping_and_an_id_that_is_a_number_comes_back_as_text(client: Client) -> None:
    (answer,) = client.send({"id": 5, "method": "ping"})
    assert answer == {"id": "5", "result": {"method": "ping", "status": "OK"}, "jsonrpc": "2.0"}


def test_after_unsubscribe_nothing_more_comes(client: Client) -> None:
    client.subscribe("trades", **BTC)
    client.subscribe("prices", type="mark", **BTC)
    (ack,) = client.call("unsubscribe", scope="trades", selector=BTC)
    assert ack["result"]["status"] == "OK"
    before = len(client.of("trades.BTC-USD"))
    client.run(20_000)
    assert len(client.of("trades.BTC-USD")) == before
    assert client.of("prices.mark.BTC-USD")


def test_a_clock_that_is_off_shows_in_every_stamp(client: Client) -> None:
    client.fault("clock_offset")
    client.subscribe("prices", type="index", **BTC)
    client.subscribe("funding-rates", **BTC)
    client.run(MINUTE_MS, step_ms=500)
    for frame in client.of("prices.index.BTC-USD"):
        assert 0 <= frame["ts"] - frame["data"]["ts"] < 1_000
    (funding,) = client.of("funding-rates.BTC-USD")
    assert funding["ts"] == funding["data"]["T"] == client.now_ms + 5_000

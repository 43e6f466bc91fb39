"""The WebSocket's conversation and channels, as a careful client sees them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from lighter_bench import Bench, ClientBook

from twinleg_sims.lighter.facts import Limits
from twinleg_sims.listings import LIGHTER
from twinleg_sims.matching import CHANGES_KEPT
from twinleg_sims.protocol import Close, Refuse


def opened(**limits: float) -> Bench:
    bench = Bench(limits=Limits(**limits)) if limits else Bench()
    bench.open()
    assert [frame["type"] for frame in bench.frames()] == ["connected"]
    return bench


def test_a_book_is_a_snapshot_and_a_chain_of_changes() -> None:
    bench = opened()
    bench.subscribe("order_book/0")
    bench.run(10_000)
    bench.outs += bench.core.advance(bench.world.now_ms + 60)
    book, frames = ClientBook(), bench.frames()
    assert frames[0]["type"] == "subscribed/order_book"
    assert {frame["channel"] for frame in frames} == {"order_book:0"}
    for frame in frames:
        book.take(frame)
    assert book.gaps == 0
    assert len(frames) > 20
    market = bench.world.market(LIGHTER, "ETH")
    for side, kept in (("bid", book.bids), ("ask", book.asks)):
        theirs = {market.listing.price_text(t): market.listing.size_text(s) for t, s in market.book.levels(side)}
        assert kept == theirs
    steps = [b["order_book"]["nonce"] - a["order_book"]["nonce"] for a, b in pairwise(frames)]
    assert max(steps) > 1
    offsets = [frame["offset"] for frame in frames]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] - offsets[0] > len(offsets), "offsets jump"


def test_updates_are_batched_for_fifty_milliseconds() -> None:
    bench = opened()
    bench.subscribe("order_book/0")
    bench.run(5_000, step_ms=10)
    stamps = [frame["timestamp"] for frame in bench.frames()]
    assert min(b - a for a, b in pairwise(stamps[1:])) >= 50


def test_late_subscribers_join_the_same_chain() -> None:
    """At many moments, so that changes are pending for the earlier ones at some of them."""
    bench = opened()
    books = {connection: ClientBook() for connection in range(1, 13)}
    bench.subscribe("order_book/0")
    for connection in list(books)[1:]:
        bench.run(310, step_ms=10)
        bench.open(connection)
        bench.subscribe("order_book/0", connection=connection)
    bench.run(1_000)
    for connection, book in books.items():
        for frame in bench.frames(connection):
            if frame["type"] != "connected":
                book.take(frame)
        assert book.gaps == 0
        assert (book.nonce, book.bids, book.asks) == (books[1].nonce, books[1].bids, books[1].asks)


def test_more_changes_than_the_engine_keeps_are_a_visible_gap() -> None:
    bench = opened()
    bench.subscribe("order_book/0")
    bench.run(40)
    book = bench.world.market(LIGHTER, "ETH").book
    for lots in range(1, CHANGES_KEPT):
        book.cancel(book.submit(900, "bid", 1, lots, 0).order_id)
    bench.run(100)
    client = ClientBook()
    for frame in bench.frames():
        client.take(frame)
    assert client.gaps == 1


def test_unsubscribing_stops_the_channel_and_a_new_snapshot_can_be_had() -> None:
    bench = opened()
    bench.subscribe("order_book/0")
    bench.run(500)
    bench.frames()
    bench.say(type="unsubscribe", channel="order_book/0")
    bench.run(500)
    assert bench.frames() == [{"type": "unsubscribed", "channel": "order_book:0"}]
    bench.subscribe("order_book/0")
    bench.run(20)
    assert bench.frames()[0]["type"] == "subscribed/order_book"


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        ({"type": "subscribe", "channel": "order_book/999"}, 30005, "Invalid Channel: order_book:999"),
        ({"type": "subscribe", "channel": "nebula/1"}, 30005, "Invalid Channel: nebula:1"),
        ({"type": "subscribe", "channel": "height"}, 30003, "Already Subscribed to : height"),
        ({"type": "unsubscribe", "channel": "ticker/1"}, 30002, "Not Subscribed to : ticker:1"),
        (
            {"type": "subscribe", "channel": "account_all_orders/10"},
            20001,
            "auth field is required: account_all_orders:10",
        ),
        ({"type": "dance"}, 30001, "Invalid Type"),
    ],
)
def test_refusals_have_no_type(message: dict[str, object], code: int, text: str) -> None:
    bench = opened()
    bench.subscribe("height")
    bench.run(20)
    bench.frames()
    bench.say(**message)
    bench.run(20)
    assert {"error": {"code": code, "message": text}} in bench.frames()


def test_what_is_not_json_is_refused() -> None:
    bench = opened()
    for payload in (b"nonsense", b"\xff\xfe", b"[1,2]", b'{"type":7}'):
        bench.outs += bench.core.ws_message(1, payload, bench.world.now_ms)
    assert [frame["error"]["code"] for frame in bench.frames()] == [30000] * 4


def test_market_stats_are_in_percent_per_hour_and_quote() -> None:
    bench = opened()
    bench.subscribe("market_stats/1")
    bench.subscribe("market_stats/all")
    bench.run(2_000)
    frames = bench.frames()
    one = next(frame for frame in frames if frame["channel"] == "market_stats:1")["market_stats"]
    market = bench.world.market(LIGHTER, "BTC")
    assert one["symbol"] == "BTC"
    assert float(one["current_funding_rate"]) / 100 == pytest.approx(market.funding.predicted_rate_per_hour(), abs=1e-9)
    assert float(one["funding_rate"]) / 100 == pytest.approx(market.funding.settled[-1].rate_per_hour, abs=1e-9)
    assert one["funding_timestamp"] == market.funding.settled[-1].settled_at_ms
    assert float(one["open_interest"]) == pytest.approx(market.open_interest * market.mark_price, rel=0.01)
    every = [frame for frame in frames if frame["channel"] == "market_stats:all"]
    assert every[0]["type"] == "subscribed/market_stats"
    assert set(every[0]["market_stats"]) == {
        str(m.listing.market_id) for m in bench.world.markets(LIGHTER) if m.listing.kind != "spot"
    }
    assert any(len(frame["market_stats"]) < len(every[0]["market_stats"]) for frame in every[1:])


def test_every_public_channel_speaks() -> None:
    bench = opened()
    for channel in ("ticker/0", "trade/0", "candle/0/1m", "height", "spot_market_stats/2049", "spot_market_stats/all"):
        bench.subscribe(channel)
    bench.run(20_000, step_ms=50)
    frames = bench.frames()
    for word in ("ticker", "trade", "candle", "height", "spot_market_stats"):
        assert any(frame["type"] == f"subscribed/{word}" for frame in frames), word
    for word in ("ticker", "trade", "candle", "height"):
        assert any(frame["type"] == f"update/{word}" for frame in frames), word
    trades = next(frame for frame in frames if frame["type"] == "subscribed/trade")["trades"]
    assert len(trades) == 50
    numbers = [row["trade_id"] for frame in frames if "trades" in frame for row in frame["trades"]]
    assert numbers == sorted(set(numbers))
    ticker = next(frame for frame in frames if frame["type"] == "update/ticker")["ticker"]
    assert float(ticker["b"]["price"]) < float(ticker["a"]["price"])


def test_pings_both_ways_and_the_end_of_the_silent() -> None:
    bench = opened()
    bench.say(type="ping")
    assert bench.frames() == [{"type": "pong"}]
    bench.open(2)
    bench.open(3, server_pings="true")
    silent = Bench(limits=Limits())
    silent.open(1)
    silent.open(2)
    silent.open(3, server_pings="true")
    for _ in range(13):
        silent.run(10_000, step_ms=1_000)
        silent.say(2, type="ping")
        silent.core.ws_ping(3, silent.world.now_ms)
    closed = {out.connection: out.reason for out in silent.outs if isinstance(out, Close)}
    assert closed == {1: "no message for too long", 3: "no pong"}


def test_message_and_in_flight_budgets() -> None:
    bench = opened(in_flight=50)
    for _ in range(51):
        bench.subscribe("height")
    bench.run(20)
    codes = [frame["error"]["code"] for frame in bench.frames() if "error" in frame]
    assert codes.count(30010) == 1
    for _ in range(200):
        bench.say(type="ping")
    codes = [frame["error"]["code"] for frame in bench.frames() if "error" in frame]
    assert codes == [30009] * 51


def test_other_paths_are_refused_before_the_upgrade() -> None:
    outs = Bench().open(path="/elsewhere")
    assert isinstance(outs[0], Refuse)
    assert outs[0].reply.status == 404


def test_the_same_calls_give_the_same_bytes() -> None:
    def run() -> list[bytes]:
        bench = opened()
        for channel in ("order_book/0", "market_stats/all", "trade/1"):
            bench.subscribe(channel)
        bench.run(5_000)
        return bench.payloads()

    assert run() == run()

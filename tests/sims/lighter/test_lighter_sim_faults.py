"""Each fault is visible to a client, and over when it should be. The switches themselves are in test_faults.py."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from lighter_bench import Bench, ClientBook

from twinleg_sims.protocol import Close, HttpRequest


def watching(channel: str = "order_book/0") -> Bench:
    bench = Bench()
    bench.open()
    bench.subscribe(channel)
    bench.run(200)
    bench.frames()
    return bench


def chain_breaks(bench: Bench, total_ms: int = 3_000) -> int:
    """How often the nonce chain of the frames to come breaks."""
    bench.run(total_ms)
    frames = bench.frames()
    book = ClientBook(nonce=frames[0]["order_book"]["begin_nonce"])
    for frame in frames:
        book.take(frame)
    return book.gaps


def test_without_faults_the_chain_holds() -> None:
    assert chain_breaks(watching()) == 0


@pytest.mark.parametrize("kind", ["gap", "duplicate", "reorder"])
def test_the_chain_breaks(kind: str) -> None:
    bench = watching()
    bench.fault(f"lighter:{kind}:market=ETH,at_s=1")
    assert chain_breaks(bench) >= 1
    assert chain_breaks(bench) == 0, "once is enough"


def test_a_gap_leaves_other_markets_alone() -> None:
    bench = watching("order_book/1")
    bench.fault("lighter:gap:market=ETH,at_s=1")
    assert chain_breaks(bench) == 0


def test_silence_is_total_and_ends() -> None:
    bench = watching()
    bench.fault("lighter:silence:for_s=2")
    bench.say(type="ping")
    bench.run(1_900)
    assert bench.frames() == []
    bench.run(1_000)
    assert bench.frames()


def test_a_stale_book_is_silent_while_all_else_goes_on() -> None:
    bench = watching()
    bench.subscribe("ticker/0")
    bench.fault("lighter:stale_book:market=ETH")
    bench.run(4_000)
    bench.say(type="ping")
    types = {frame["type"] for frame in bench.frames()}
    assert "update/ticker" in types
    assert "pong" in types
    assert "update/order_book" not in types


def test_disconnect_closes_everybody_once() -> None:
    bench = watching()
    bench.open(2)
    bench.fault("lighter:disconnect:value=1012,at_s=1")
    bench.run(900)
    assert not [out for out in bench.outs if isinstance(out, Close)]
    bench.run(1_500)
    closes = [out for out in bench.outs if isinstance(out, Close)]
    assert [(out.connection, out.code) for out in closes] == [(1, 1012), (2, 1012)]


@pytest.mark.parametrize("value", ["bytes", "truncated", "utf8", "html"])
def test_garbage_is_no_json(value: str) -> None:
    bench = watching()
    bench.fault(f"lighter:garbage:value={value}")
    bench.run(3_000)
    broken = 0
    for payload in bench.payloads():
        try:
            json.loads(payload)
        except (json.JSONDecodeError, UnicodeDecodeError):
            broken += 1
    assert broken == 1


def prices(bench: Bench) -> list[str]:
    bench.run(3_000)
    books = [frame["order_book"] for frame in bench.frames()]
    return [level["price"] for book in books for level in book["asks"] + book["bids"]]


@pytest.mark.parametrize(
    ("kind", "spoiled"),
    [
        ("off_tick", lambda price: len(price.partition(".")[2]) == 3),
        ("nan", lambda price: price == "NaN"),
        ("exponent", lambda price: "e+" in price),
    ],
)
def test_one_price_is_not_one(kind: str, spoiled: Callable[[str], bool]) -> None:
    assert not any(map(spoiled, prices(watching())))
    bench = watching()
    bench.fault(f"lighter:{kind}")
    assert sum(map(spoiled, prices(bench))) == 1


def test_a_crossed_book_uncrosses_when_the_fault_ends() -> None:
    bench = Bench()
    bench.open()
    bench.fault("lighter:crossed:market=ETH,at_s=1,for_s=2")
    bench.subscribe("order_book/0")
    book = ClientBook()
    crossed: list[bool] = []
    for _ in range(50):
        bench.run(100)
        for frame in bench.frames():
            if "order_book" in frame:
                book.take(frame)
        crossed.append(max(map(float, book.bids)) > min(map(float, book.asks)))
    assert not any(crossed[:9])
    assert all(crossed[15:28])
    assert not any(crossed[32:])
    assert book.gaps == 0


def test_an_oversized_snapshot_is_right() -> None:
    bench = Bench()
    bench.open()
    bench.fault("lighter:oversized")
    bench.subscribe("order_book/0")
    bench.run(20)
    payload = bench.payloads()[-1]
    assert len(payload) > 1 << 20
    book = json.loads(payload)["order_book"]
    assert len({level["price"] for level in book["asks"]}) == len(book["asks"])


def test_a_vanished_market_is_not_listed_and_silent() -> None:
    bench = watching()
    bench.fault("lighter:vanish:market=ETH,for_s=5")
    bench.run(2_000)
    assert bench.frames() == []
    assert "ETH" not in {row["symbol"] for row in bench.body("/api/v1/orderBooks")["order_books"]}
    bench.subscribe("ticker/0")
    bench.run(20)
    assert bench.frames()[0]["error"]["code"] == 30005
    bench.run(4_000)
    assert "ETH" in {row["symbol"] for row in bench.body("/api/v1/orderBooks")["order_books"]}


def test_unknown_words_and_fields() -> None:
    bench = watching()
    bench.fault("lighter:unknown_word:market=ETH")
    bench.fault("lighter:extra_field")
    body = bench.body("/api/v1/orderBookDetails")
    status = {row["symbol"]: row["status"] for row in body["order_book_details"]}
    assert status["ETH"] == "hibernating"
    assert status["BTC"] == "active"
    assert "fresh_field" in body
    bench.run(1_000)
    assert all("fresh_field" in frame for frame in bench.frames())


def test_the_venue_s_clock_is_off() -> None:
    bench = watching()
    bench.fault("lighter:clock_offset:value=-7000")
    assert bench.body("/")["timestamp"] == (bench.world.now_ms - 7_000) // 1000
    bench.run(1_000)
    assert abs(bench.frames()[-1]["timestamp"] - (bench.world.now_ms - 7_000)) < 1_000


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        ("http_429", 429, b'{"code":23000'),
        ("http_429:value=html", 429, b"<html>"),
        ("http_500", 500, b'{"code":500'),
        ("http_html", 200, b"<html>"),
    ],
)
def test_requests_fail(fault: str, status: int, start: bytes) -> None:
    bench = Bench()
    bench.fault(f"lighter:{fault}")
    reply = bench.get("/")
    assert reply.status == status
    assert reply.body.startswith(start)
    bench.faults.clear("lighter")
    assert bench.get("/").status == 200


def test_slow_replies_are_held_back() -> None:
    bench = Bench()
    bench.fault("lighter:slow:value=1500")
    assert bench.core.http(HttpRequest("GET", "/"), bench.world.now_ms).delay_ms == 1_500

"""Lighter's part of the conformance battery: its frames in their recorded shape, from tests/data/lighter."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinleg.core.messages import MarketStatus
from twinleg.venues.lighter import LighterVenue
from venues.battery import Answer, Case, TextBook, TextLevel, keep

DATA = Path(__file__).parents[2] / "data" / "lighter"
FRAMES: dict[str, Any] = {
    row["name"]: row["frame"] for row in map(json.loads, (DATA / "frames.jsonl").read_text().splitlines())
}
RECORDED: dict[str, Any] = json.loads((DATA / "ccxt_http_responses.json").read_text())
RATE = "0.0012"  # percent per hour


def template(name: str, **fields: Any) -> dict[str, Any]:
    return copy.deepcopy(FRAMES[name]) | fields


def encode(frame: Any) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()


def levels(side: Sequence[TextLevel]) -> list[dict[str, str]]:
    return [{"price": price, "size": size} for price, size in side]


class LighterServer:
    """The venue's end of one connection. Every market has its own nonce chain."""

    def __init__(self, books: dict[str, TextBook] | None) -> None:
        self.books = books if books is not None else {}
        self.nonces: dict[str, int] = {}
        self.subscribed: set[str] = set()

    def greet(self) -> list[bytes]:
        return [encode(FRAMES["connected"])]

    def answer(self, message: bytes) -> list[bytes]:
        request = json.loads(message)
        if request["type"] == "ping":
            return [encode(FRAMES["pong"])]
        if request["type"] == "pong":
            return []
        channel = request["channel"].replace("/", ":")
        if request["type"] == "unsubscribe":
            self.subscribed.discard(channel)
            return [encode({"type": "unsubscribed", "channel": channel})]
        if channel in self.subscribed:
            message_text = f"Already Subscribed to : {channel}"
            return [encode({"error": {"code": 30003, "message": message_text}})]
        self.subscribed.add(channel)
        return [self.first(channel)]

    def first(self, channel: str) -> bytes:
        topic, _, number = channel.partition(":")
        if topic == "market_stats":
            return encode(template("stats", channel=channel, type="subscribed/market_stats", market_stats={}))
        if topic == "trade":
            return encode(template("trade", channel=channel, type="subscribed/trade", trades=None))
        symbol = symbol_of(int(number))
        bids, asks = self.books.setdefault(symbol, ({}, {}))
        nonce = self.nonces.setdefault(symbol, 904_845 if bids or asks else 0)
        frame = template("snapshot", channel=channel)
        frame["order_book"] |= {
            "bids": levels(list(bids.items())), "asks": levels(list(asks.items())), "nonce": nonce, "begin_nonce": 0,
        }  # fmt: skip
        return encode(frame)

    def change(self, symbol: str, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> bytes:
        book = self.books.setdefault(symbol, ({}, {}))
        keep(book[0], bids)
        keep(book[1], asks)
        begin = self.nonces.get(symbol, 0)
        self.nonces[symbol] = begin + 22
        frame = template("update", channel=f"order_book:{number_of(symbol)}")
        frame["order_book"] |= {
            "bids": levels(bids), "asks": levels(asks), "nonce": begin + 22, "begin_nonce": begin,
        }  # fmt: skip
        return encode(frame)

    def trade(self, symbol: str, level: TextLevel, trade_id: int, *, taker_buys: bool) -> bytes:
        frame = template("trade", channel=f"trade:{number_of(symbol)}")
        frame["trades"][0] |= {
            "price": level[0], "size": level[1], "trade_id": trade_id, "is_maker_ask": taker_buys,
        }  # fmt: skip
        return encode(frame)

    def stats(self, symbol: str, mark: str, index: str, at_ms: int) -> list[bytes]:
        frame = template("stats", timestamp=at_ms)
        (body,) = frame["market_stats"].values()
        number = number_of(symbol)
        body |= {
            "market_id": number, "symbol": symbol, "mark_price": mark, "index_price": index,
            "current_funding_rate": RATE,
        }  # fmt: skip
        return [encode(frame | {"market_stats": {str(number): body}})]

    def strange(self) -> list[bytes]:
        return [encode({"type": "update/horoscope", "channel": "horoscope:0", "stars": []}), b'{"type":"hello"}', b"{}"]


def symbol_of(number: int) -> str:
    return {0: "ETH", 1: "BTC"}.get(number, f"M{number}")


def number_of(symbol: str) -> int:
    return {"ETH": 0, "BTC": 1}[symbol] if symbol in ("ETH", "BTC") else int(symbol[1:])


def row(number: int, symbol: str | None = None, **fields: Any) -> dict[str, Any]:
    (recorded,) = RECORDED["GET /api/v1/orderBookDetails"]["order_book_details"]
    config = recorded["market_config"] | fields.pop("market_config", {})
    return recorded | {"market_id": number, "symbol": symbol or symbol_of(number), "market_config": config} | fields


def wide_listing(count: int) -> bytes:
    return encode({"code": 200, "order_book_details": [row(number) for number in range(count)]})


CASE = Case(
    server=LighterServer,
    wide_listing=wide_listing,
    venue=LighterVenue("http://127.0.0.1:1", "ws://127.0.0.1:1/stream"),
    listing=encode(
        {
            "code": 200,
            "order_book_details": [
                row(0, market_type="perp"),
                row(1),
                row(2, status="inactive"),
                row(3, status="half-open"),
                row(4, market_config={"force_reduce_only": True}),
                row(5, market_type="binary_options"),
                row(6, market_config={"trading_hours": "us-equity"}),
                row(7, market_config={"hidden": True}),
                row(8, market_config={"rfq_enabled": True}),
                row(9, supported_price_decimals=None),
                row(10, min_base_amount="0.00501"),
                row(11, supported_size_decimals=-1),
                row(12, symbol="\n"),
                "not a row",
                row(13, is_frozen=True),
                row(0, symbol="ETH", status="inactive"),
            ],
        }
    ),
    open_symbols=("ETH", "BTC"),
    statuses={
        "ETH": MarketStatus.OPEN,
        "BTC": MarketStatus.OPEN,
        "M2": MarketStatus.CLOSED,
        "M3": MarketStatus.UNKNOWN,
        "M4": MarketStatus.REDUCE_ONLY,
        "M5": MarketStatus.OPEN,
        "M6": MarketStatus.OPEN,
        "M7": MarketStatus.OPEN,
        "M8": MarketStatus.OPEN,
        "M13": MarketStatus.CLOSED,
    },
    excluded=frozenset({"M2", "M5", "M6", "M7", "M8", "M13"}),
    left_out=frozenset({"M9", "M10", "M11", "\n"}),
    refusals=[
        b'{"code":23000,"message":"Too Many Requests!"}',
        b'{"code":20001,"message":"invalid param"}',
        b'{"code":200}',
        b'{"code":200,"order_book_details":null}',
        b'{"code":200,"order_book_details":[]}',
        b'{"code":200,"order_book_details":[{"symbol":"ETH"}]}',
    ],
    predicted_rate=0.0012 / 100,
    funding_now=Answer(
        encode(
            {
                "code": 200,
                "funding_rates": [
                    {"market_id": 0, "exchange": "binance", "symbol": "ETH", "rate": 0.0003},
                    *RECORDED["GET /api/v1/funding-rates"]["funding_rates"],
                    {"market_id": 1, "exchange": "lighter", "symbol": "BTC", "rate": -0.00008},
                    {"market_id": 2, "exchange": "lighter", "symbol": "M2", "rate": "many"},
                ],
            }
        ),
        [("ETH", 9.6e-05 / 8), ("BTC", -0.00001)],
    ),
    funding_history=Answer(
        encode(
            {
                "code": 200,
                "resolution": "1h",
                "fundings": [
                    {"timestamp": 1778706000, "value": "0.01128280", "rate": "0.0005", "direction": "short"},
                    {"timestamp": 1778702400, "value": "0.02707872", "rate": "0.0012", "direction": "long"},
                ],
            }
        ),
        [(1778702400000, 0.000012), (1778706000000, -0.000005)],
    ),
)

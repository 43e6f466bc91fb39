"""Extended's part of the conformance battery: its v2 RPC frames in their recorded shape, from tests/data/extended."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from twinleg.core.messages import MarketStatus
from twinleg.venues.extended import ExtendedVenue
from venues.battery import Answer, Case, TextBook, TextLevel, keep

DATA = Path(__file__).parents[2] / "data" / "extended"
FRAMES: dict[str, Any] = {
    row["name"]: row["frame"] for row in map(json.loads, (DATA / "frames.jsonl").read_text().splitlines())
}
RATE = "0.000013"


def template(frame: str, **fields: Any) -> dict[str, Any]:
    return copy.deepcopy(FRAMES[frame]) | fields


def encode(frame: Any) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()


class ExtendedServer:
    """The venue's end of one connection. `seq` counts the data frames of all topics."""

    def __init__(self, books: dict[str, TextBook] | None) -> None:
        self.books = books if books is not None else {}
        self.seq = 0

    def greet(self) -> list[bytes]:
        return []

    def answer(self, message: bytes) -> list[bytes]:
        request = json.loads(message)
        assert type(request["id"]) is str
        if request["method"] == "ping":
            return [encode({"id": request["id"], "result": {"method": "ping", "status": "OK"}, "jsonrpc": "2.0"})]
        scope, selector = request["params"]["scope"], request["params"]["selector"]
        parts = {"orderbooks": [], "trades": [], "funding-rates": [], "prices": [selector.get("type")]}[scope]
        subscription = ".".join([scope, *parts, selector["market"] or "all"])
        ack = template("ack", id=request["id"])
        ack["result"]["subscription"] = subscription
        if scope != "orderbooks":
            return [encode(ack)]
        assert selector["depth"] == "full"
        return [encode(ack), self.snapshot(selector["market"])]

    def snapshot(self, symbol: str) -> bytes:
        bids, asks = self.books.setdefault(symbol, ({}, {}))
        sides = [[{"q": size, "p": price + ("00" if "." in price else "")} for price, size in side.items()]
                 for side in (bids, asks)]  # fmt: skip
        return self.data("snapshot", f"orderbooks.{symbol}", m=symbol, b=sides[0], a=sides[1])

    def change(self, symbol: str, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> bytes:
        book = self.books.setdefault(symbol, ({}, {}))
        sides = []
        for side, levels in zip(book, (bids, asks), strict=True):
            rows = []
            for price, size in levels:
                rows.append({"q": difference(size, side.get(price, "0")), "p": price, "c": size})
                keep(side, [(price, size)])
            sides.append(rows)
        return self.data("delta", f"orderbooks.{symbol}", m=symbol, b=sides[0], a=sides[1])

    def trade(self, symbol: str, level: TextLevel, trade_id: int, *, taker_buys: bool) -> bytes:
        frame = template("trades", subscription=f"trades.{symbol}", seq=self.next_seq())
        frame["data"][0] |= {
            "m": symbol, "p": level[0], "q": level[1], "i": trade_id, "S": "BUY" if taker_buys else "SELL",
        }  # fmt: skip
        return encode(frame)

    def stats(self, symbol: str, mark: str, index: str, at_ms: int) -> list[bytes]:
        return [
            self.data("mark", "prices.mark.all", at_ms, m=symbol, p=mark),
            self.data("index", "prices.index.all", at_ms, m=symbol, p=index, ts=at_ms),
            self.data("funding", "funding-rates.all", at_ms, m=symbol, f=RATE, T=at_ms),
        ]

    def strange(self) -> list[bytes]:
        horoscope = {"type": "HOROSCOPE", "data": {"m": "BTC-USD", "sign": "fish"}, "ts": 1, "seq": self.next_seq()}
        return [encode(horoscope | {"subscription": "horoscope.all"}), b'{"id":"77","result":{},"jsonrpc":"2.0"}']

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq - 1

    def data(self, name: str, subscription: str, at_ms: int | None = None, **fields: Any) -> bytes:
        frame = template(name, subscription=subscription, seq=self.next_seq())
        frame["data"] |= fields
        return encode(frame if at_ms is None else frame | {"ts": at_ms})


def difference(new: str, old: str) -> str:
    """The change as the venue writes it; nonsense is passed through."""
    try:
        return str(Decimal(new) - Decimal(old))
    except InvalidOperation:
        return new


def row(symbol: str, **fields: Any) -> dict[str, Any]:
    market = template("market", name=symbol, assetName=symbol.partition("-")[0])
    market["tradingConfig"] |= fields.pop("tradingConfig", {})
    market["marketStats"] |= fields.pop("marketStats", {})
    return market | fields


def wide_listing(count: int) -> bytes:
    return encode({"status": "OK", "data": [row(f"A{number}-USD") for number in range(count)]})


CASE = Case(
    server=ExtendedServer,
    wide_listing=wide_listing,
    venue=ExtendedVenue("http://127.0.0.1:1/api/v1", "ws://127.0.0.1:1"),
    listing=encode(
        {
            "status": "OK",
            "data": [
                row("BTC-USD"),
                row("ETH-USD", tradingConfig={"minPriceChange": "0.5"}, tradingHours=None),
                row("OFF-USD", status="DISABLED"),
                row("NEW-USD", status="PRELISTED"),
                row("ODD-USD", status="HALF_OPEN"),
                row("RED-USD", status="REDUCE_ONLY"),
                row("IDLE-USD", active=False),
                row("SPOT-USD", type="SPOT"),
                row("RFQ-USD", isRfq=True),
                row("AAPL-USD", tradingHours="WEEKDAYS"),
                row("NIGHT-USD", isOffHours=True),
                row("STEP-USD", tradingConfig={"minPriceChange": "0"}),
                row("FINE-USD", tradingConfig={"minOrderSize": "0.000015"}),
                {"name": "BARE-USD"},
                17,
            ],
        }
    ),
    open_symbols=("BTC-USD", "ETH-USD"),
    statuses={
        "BTC-USD": MarketStatus.OPEN,
        "ETH-USD": MarketStatus.OPEN,
        "OFF-USD": MarketStatus.CLOSED,
        "NEW-USD": MarketStatus.CLOSED,
        "ODD-USD": MarketStatus.UNKNOWN,
        "RED-USD": MarketStatus.REDUCE_ONLY,
        "IDLE-USD": MarketStatus.CLOSED,
        "SPOT-USD": MarketStatus.OPEN,
        "RFQ-USD": MarketStatus.OPEN,
        "AAPL-USD": MarketStatus.OPEN,
        "NIGHT-USD": MarketStatus.OPEN,
    },
    excluded=frozenset({"OFF-USD", "NEW-USD", "IDLE-USD", "SPOT-USD", "RFQ-USD", "AAPL-USD", "NIGHT-USD"}),
    left_out=frozenset({"STEP-USD", "FINE-USD", "BARE-USD"}),
    refusals=[
        b'{"status":"ERROR","error":{"code":1001,"message":"Market not found","debugInfo":"x"}}',
        b'{"status":"OK"}',
        b'{"status":"OK","data":null}',
        b'{"status":"OK","data":[]}',
        b'{"status":"OK","data":[{"name":"BTC-USD"}]}',
        b'{"data":[]}',
    ],
    predicted_rate=0.000013,
    funding_now=Answer(
        encode(
            {
                "status": "OK",
                "data": [
                    row("BTC-USD", marketStats={"fundingRate": "0.000013"}),
                    row("ETH-USD", marketStats={"fundingRate": "-0.000021"}),
                    row("RED-USD", marketStats={"fundingRate": "many"}),
                    {"name": "BARE-USD"},
                ],
            }
        ),
        [("BTC-USD", 0.000013), ("ETH-USD", -0.000021)],
    ),
    funding_history=Answer(
        encode(
            {
                "status": "OK",
                "data": [
                    {"m": "BTC-USD", "f": "-0.000004", "T": 1777507201028},
                    {"m": "BTC-USD", "f": "0.000008", "T": 1777503600913},
                ],
                "pagination": {"cursor": 1784963886257016832, "count": 2},
            }
        ),
        [(1777503600000, 0.000008), (1777507200000, -0.000004)],
    ),
)

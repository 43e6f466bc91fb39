"""Drift's part of the conformance battery: recorded market accounts, and the book server's frames."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from twinleg.core.messages import MarketStatus
from twinleg.venues.drift import facts, reads
from twinleg.venues.drift.chain import layout
from twinleg.venues.drift.chain.keys import base58
from twinleg.venues.drift.facts import DRIFT_V2
from twinleg.venues.drift.venue import DriftVenue
from venues.battery import START_MS, Answer, Case, TextBook, TextLevel, keep

DATA = Path(__file__).parents[2] / "data" / "drift"
ROWS = json.loads(gzip.decompress((DATA / "drift_v2_market_oracle_user_accounts.json.gz").read_bytes()))


def account(kind: str, name: str) -> bytes:
    """The newest recorded account of that kind and name."""
    rows = [row for row in ROWS if row["kind"] == kind and row.get("name") == name]
    time = "last_funding_rate_ts" if kind == "PerpMarket" else "last_interest_ts"
    return base64.b64decode(max(rows, key=lambda row: row[time])["data_base64"])


SOL, ETH = account("PerpMarket", "SOL-PERP"), account("PerpMarket", "ETH-PERP")
USDC = account("SpotMarket", "USDC")


def state(taker: int = 35, rebate: int = 25) -> bytes:
    """A State whose lowest tier takes `taker` of 1e5 and gives `rebate` of 1e6: none was recorded."""
    data = bytearray(layout.STATE.ljust(DRIFT_V2.layout.state_size, b"\0"))
    struct.pack_into("<IIII", data, DRIFT_V2.layout.fee_tiers_at, taker, 100_000, rebate, 1_000_000)
    struct.pack_into("<Q", data, DRIFT_V2.layout.fee_tiers_at + 352, 10_000)
    return bytes(data)


def patched(data: bytes, /, **fields: Any) -> bytes:
    """A perp market with other fields, at the address of its index."""
    index = fields.get("market_index")
    if index is not None:
        fields["pubkey"] = reads.perp_market_address(DRIFT_V2, index)
    changed = bytearray(data)
    for name, value in fields.items():
        at, code = DRIFT_V2.layout.perp_at[name]
        if code == layout.NAME:
            changed[at : at + 32] = value.encode().ljust(32)
        else:
            struct.pack_into(f"<{code}", changed, at, value)
    return bytes(changed)


def of_account(data: bytes) -> dict[str, Any]:
    return {
        "data": [base64.b64encode(data).decode(), "base64"], "executable": False, "lamports": 1_000_000,
        "owner": base58(DRIFT_V2.program_id), "rentEpoch": 2**64 - 1, "space": len(data),
    }  # fmt: skip


def result(number: int, value: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": value, "id": number}


def of_accounts(*accounts: bytes | None) -> dict[str, Any]:
    told = [None if data is None else of_account(data) for data in accounts]
    return {"context": {"apiVersion": "2.3.4", "slot": 405_000_000}, "value": told}


def listing(*accounts: bytes) -> bytes:
    rows = [{"pubkey": base58(data[8:40]), "account": of_account(data)} for data in accounts]
    return json.dumps([result(1, of_accounts(state(), USDC)), result(2, rows)]).encode()


def wide_listing(count: int) -> bytes:
    return listing(*(patched(SOL, market_index=i, name=f"A{i}-PERP") for i in range(count)))


MARKETS = {
    symbol: (index, tick, lot)
    for index, (symbol, tick, lot) in {0: ("SOL-PERP", 100, 10**7), 2: ("ETH-PERP", 10_000, 10**6)}.items()
} | {f"A{number}-PERP": (number, 100, 10**7) for number in range(150)}


class DriftServer:
    """The book server's end of one connection. Every change is a whole book; the slot counts up."""

    def __init__(self, books: dict[str, TextBook] | None) -> None:
        self.books = books if books is not None else {}
        self.slot = 405_000_000

    def greet(self) -> list[bytes]:
        return [b'{"channel":"heartbeat"}']

    def answer(self, message: bytes) -> list[bytes]:
        asked = json.loads(message)
        assert asked["marketType"] == "perp"
        if asked["type"] == "unsubscribe":
            return []
        channel, symbol = asked["channel"], asked["market"]
        text = f"Subscribe received for channel: {channel}, market: {symbol}, marketType: perp"
        ack = json.dumps({"message": text}).encode()
        if channel == "trades":
            return [ack]
        assert asked["grouping"] == 1
        return [ack, self.book(symbol)]

    def book(self, symbol: str, **fields: Any) -> bytes:
        self.slot += 1
        index = MARKETS[symbol][0]
        bids, asks = self.books.setdefault(symbol, ({}, {}))
        told = {
            "bids": self.rows(bids), "asks": self.rows(asks), "marketName": symbol, "marketType": "perp",
            "marketIndex": index, "ts": START_MS, "slot": self.slot, "marketSlot": self.slot,
        } | fields  # fmt: skip
        frame = {"channel": f"orderbook_perp_{index}_grouped_1", "data": json.dumps(told)}
        return json.dumps(frame).encode()

    def rows(self, side: dict[str, str]) -> list[dict[str, Any]]:
        return [
            {"price": chain_units(price, 6), "size": chain_units(size, 9), "sources": {"dlob": chain_units(size, 9)}}
            for price, size in side.items()
        ]

    def change(self, symbol: str, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> bytes:
        book = self.books.setdefault(symbol, ({}, {}))
        keep(book[0], bids)
        keep(book[1], asks)
        return self.book(symbol)

    def trade(self, symbol: str, level: TextLevel, trade_id: int, *, taker_buys: bool) -> bytes:
        price, size = map(Decimal, level)
        told = {
            "ts": START_MS // 1_000, "marketIndex": MARKETS[symbol][0], "marketType": "perp", "filler": "keeper",
            "baseAssetAmountFilled": float(size), "quoteAssetAmountFilled": float(price * size),
            "taker": "taker", "takerOrderId": 7, "takerOrderDirection": "long" if taker_buys else "short",
            "maker": "maker", "makerOrderId": 8, "makerOrderDirection": "short" if taker_buys else "long",
            "oraclePrice": 85.0, "txSig": "sig", "slot": self.slot, "fillRecordId": trade_id, "action": "fill",
            "actionExplanation": "orderFilledWithMatch",
        }  # fmt: skip
        frame = {"channel": f"trades_perp_{MARKETS[symbol][0]}", "data": json.dumps(told)}
        return json.dumps(frame).encode()

    def stats(self, symbol: str, mark: str, index: str, at_ms: int) -> list[bytes]:
        prices = {"markPrice": str(chain_units(mark, 6)), "oracle": float(index) * 1e6, "ts": at_ms}
        return [self.book(symbol, **prices, oracleData={"price": str(chain_units(index, 6)), "slot": str(self.slot)})]

    def strange(self) -> list[bytes]:
        return [
            b'{"channel":"horoscope_perp_0","data":"{}"}',
            b'{"channel":"orderbook_perp_9999_grouped_1","data":"{}"}',
            b'{"type":"weather"}',
        ]


def chain_units(text: str, decimals: int) -> Any:
    """As the server writes it: a number, and text beyond what a number holds there. Nonsense is passed through."""
    try:
        scaled = Decimal(text).scaleb(decimals)
        if not text.replace(".", "").isdecimal() or text.count(".") > 1 or scaled != scaled.to_integral_value():
            return text
    except InvalidOperation:
        return text
    whole = int(scaled)
    return whole if whole < 2**53 else str(whole)


NO_BATCH = b'{"jsonrpc":"2.0","error":{"code":-32005,"message":"Too many requests"},"id":1}'
REFUSED = b'[{"jsonrpc":"2.0","error":{"code":-32010,"message":"excluded from account secondary indexes"},"id":1}]'

CASE = Case(
    server=DriftServer,
    wide_listing=wide_listing,
    venue=DriftVenue("http://127.0.0.1:1/", "http://127.0.0.1:1"),
    listing=listing(
        SOL,
        ETH,
        patched(SOL, market_index=60, name="OFF-PERP", status=8),
        patched(SOL, market_index=61, name="NEW-PERP", status=0),
        patched(SOL, market_index=62, name="ODD-PERP", status=77),
        patched(SOL, market_index=63, name="RED-PERP", status=6),
        patched(SOL, market_index=64, name="HELD-PERP", paused=facts.PAUSED_FILL),
        patched(SOL, market_index=65, name="WIN-2028-BET", contract_type=2),
        patched(SOL, market_index=66, name="SOON-PERP", oracle_source=facts.ORACLE_PRELAUNCH),
        patched(SOL, market_index=67, name="EURO-PERP", quote_spot_index=9),
        patched(SOL, market_index=68, name="STEP-PERP", tick=0),
        patched(SOL, market_index=69, name="SHORT-PERP")[:-1],
        patched(patched(SOL, market_index=70, name="ELSE-PERP"), name="WIDE-PERP", step=0),
    ),
    open_symbols=("SOL-PERP", "ETH-PERP"),
    statuses={
        "SOL-PERP": MarketStatus.OPEN,
        "ETH-PERP": MarketStatus.OPEN,
        "OFF-PERP": MarketStatus.CLOSED,
        "NEW-PERP": MarketStatus.CLOSED,
        "ODD-PERP": MarketStatus.UNKNOWN,
        "RED-PERP": MarketStatus.REDUCE_ONLY,
        "HELD-PERP": MarketStatus.CLOSED,
        "WIN-2028-BET": MarketStatus.OPEN,
        "SOON-PERP": MarketStatus.OPEN,
        "EURO-PERP": MarketStatus.OPEN,
    },
    excluded=frozenset({"OFF-PERP", "NEW-PERP", "HELD-PERP", "WIN-2028-BET", "SOON-PERP", "EURO-PERP"}),
    left_out=frozenset({"STEP-PERP", "SHORT-PERP", "WIDE-PERP"}),
    refusals=[
        NO_BATCH,
        REFUSED,
        json.dumps([result(1, of_accounts(state(), USDC))]).encode(),
        json.dumps([result(1, of_accounts(state(), None)), result(2, [])]).encode(),
        listing(),
        json.dumps([result(1, of_accounts(USDC, state())), result(2, [])]).encode(),
        b"[]",
    ],
    predicted_rate=None,
    funding_now=Answer(
        json.dumps(
            [
                result(
                    1,
                    of_accounts(
                        patched(SOL, oracle_twap=80_000_000, bid_twap=80_010_000, ask_twap=80_022_000),
                        patched(ETH, oracle_twap=2_000_000_000, bid_twap=1_900_000_000, ask_twap=1_900_000_000),
                    ),
                )
            ]
        ).encode(),
        [("SOL-PERP", (16_000 + 16_000) / 80_000_000 / 24), ("ETH-PERP", -1 / 33 / 24)],
    ),
    funding_history=Answer(b"", []),
)

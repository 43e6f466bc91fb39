"""Extended's part of the private battery: account frames and REST rows in the shapes of tests/data/extended."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from twinleg.core.amounts import Grid
from twinleg.core.messages import Market
from twinleg.core.orders import Side, TimeInForce
from twinleg.core.trading import BalanceSeen, ExecutionSeen, OrderSeen, PositionSeen, Signed
from twinleg.core.venue import Feed
from twinleg.venues.extended.sign import Keys
from twinleg.venues.extended.trading import ExtendedTrading
from venues.battery import listed
from venues.extended.case import CASE, DATA, encode
from venues.trading_battery import TradingCase, Unpacked

PRIVATE_KEY = "0x4a3b7e1f0c5d29e86f1a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3"
API_KEY = "0b6f1c5e9a7d4e3f8c2b1a0d9e8f7a6b"
KEYS = Keys(vault=10_002, private_key=PRIVATE_KEY, api_key=API_KEY)
SAMPLES: dict[str, Any] = json.loads((DATA / "constructed_examples_sdk_2.6.0.json").read_text())
MARKETS = {market.key: market for market in listed(CASE).values()}
BTC, ETH = MARKETS["extended:BTC-USD"], MARKETS["extended:ETH-USD"]
FOREIGN = "2870968471000111222333"
TRADE_TYPES = {None: "TRADE", "liquidation": "LIQUIDATION", "deleverage": "DELEVERAGE"}


def trading() -> ExtendedTrading:
    return ExtendedTrading("http://127.0.0.1:1", "ws://127.0.0.1:1", KEYS, MARKETS)


def text(grid: Grid, steps: int) -> str:
    """Padded as the venue likes it."""
    told = grid.text(steps)
    return told + ("00" if "." in told else ".000000")


def sample(name: str, **fields: Any) -> dict[str, Any]:
    return copy.deepcopy(SAMPLES[name]) | fields


def order_row(seen: OrderSeen, **fields: Any) -> dict[str, Any]:
    market = MARKETS[seen.market]
    status, _, reason = seen.reason.partition(" ")
    if not status:
        status = "FILLED" if not seen.resting else "PARTIALLY_FILLED" if seen.filled_lots else "NEW"
    row = sample(
        "open_order",
        id=int(seen.venue_order_id),
        externalId=seen.client_id or FOREIGN,
        market=market.symbol,
        side=seen.side.name,
        status=status,
        qty=text(market.size_grid, seen.size_lots),
        filledQty=text(market.size_grid, seen.filled_lots),
        price=None if seen.price_ticks is None else text(market.price_grid, seen.price_ticks),
        reduceOnly=seen.reduce_only,
        updatedTime=seen.at_ms,
    )
    return row | ({"statusReason": reason} if reason else {}) | fields


def fill_row(seen: ExecutionSeen, **fields: Any) -> dict[str, Any]:
    market = MARKETS[seen.market]
    return (
        sample(
            "account_trade",
            id=int(seen.fill_id),
            orderId=int(seen.venue_order_id),
            externalOrderId=seen.client_id or FOREIGN,
            market=market.symbol,
            side=seen.side.name,
            price=text(market.price_grid, seen.price_ticks),
            qty=text(market.size_grid, seen.size_lots),
            fee=str(Decimal(seen.fee_micro_usd) / 1_000_000),
            tradeType=TRADE_TYPES[seen.forced],
            createdTime=seen.at_ms,
        )
        | fields
    )


def position_row(seen: PositionSeen, **fields: Any) -> dict[str, Any]:
    market = MARKETS[seen.market]
    tick = float(market.price_grid.unit)
    return (
        sample(
            "position",
            market=market.symbol,
            status="OPENED" if seen.lots else "CLOSED",  # which still shows its last size
            side="SHORT" if seen.lots < 0 else "LONG",
            size=text(market.size_grid, abs(seen.lots) or 5),
            openPrice=str((seen.entry_price or 1000.0) * tick),
            liquidationPrice="0" if seen.liquidation_price is None else str(seen.liquidation_price * tick),
            unrealisedPnl=str(seen.unrealised_usd),
            updatedAt=seen.at_ms,
        )
        | fields
    )


def balance_row(seen: BalanceSeen, **fields: Any) -> dict[str, Any]:
    assert seen.maintenance_margin_usd is not None
    return (
        sample(
            "balance",
            equity=str(seen.equity_usd),
            availableForTrade=str(seen.available_usd),
            initialMargin=str(seen.initial_margin_usd),
            marginRatio=repr(seen.maintenance_margin_usd / seen.equity_usd),
            updatedTime=seen.at_ms,
        )
        | fields
    )


def ok(data: object) -> bytes:
    return encode({"status": "OK", "data": data})


def refusal(code: object, message: str = "No") -> bytes:
    return encode({"status": "ERROR", "error": {"code": code, "message": message, "debugInfo": "x"}})


class ExtendedBodies:
    def orders(self, rows: Sequence[OrderSeen]) -> bytes:
        return ok([order_row(row) for row in rows])

    def fills(self, rows: Sequence[ExecutionSeen]) -> bytes:
        return ok([fill_row(row) for row in rows])

    def positions(self, rows: Sequence[PositionSeen]) -> bytes:
        return ok([position_row(row) for row in rows])

    def balance(self, row: BalanceSeen) -> bytes:
        return ok(balance_row(row))

    def order(self, rows: Sequence[OrderSeen], fills: Sequence[ExecutionSeen]) -> list[bytes]:
        return [
            self.orders([row for row in rows if row.resting]),
            self.orders([row for row in rows if not row.resting]),
            self.fills(fills),
        ]


class ExtendedAccountServer:
    """v1's account stream: `seq` counts from 1 over all frames; three snapshots come first, in any order."""

    def __init__(self, feed: Feed) -> None:
        assert feed.url == "ws://127.0.0.1:1/stream.extended.exchange/v1/account"
        assert feed.headers["X-Api-Key"] == API_KEY
        self.orders: list[OrderSeen] = []
        self.positions: list[PositionSeen] = []
        self.seq = 0

    def greet(self) -> list[bytes]:
        return [
            self.frame("POSITION", True, positions=[position_row(row) for row in self.positions]),
            self.frame("BALANCE", True, balance=sample("balance")),
            self.frame("ORDER", True, orders=[order_row(row) for row in self.orders]),
        ]

    def answer(self, message: bytes) -> list[bytes]:
        raise AssertionError(f"nothing is asked for on this stream: {message!r}")

    def order(self, row: OrderSeen) -> list[bytes]:
        return [self.frame("ORDER", False, orders=[order_row(row)])]

    def fill(self, row: ExecutionSeen) -> list[bytes]:
        return [self.frame("TRADE", False, trades=[fill_row(row)])]

    def position(self, row: PositionSeen) -> list[bytes]:
        return [self.frame("POSITION", False, positions=[position_row(row)])]

    def balance(self, row: BalanceSeen) -> list[bytes]:
        return [self.frame("BALANCE", False, balance=balance_row(row))]

    def odd_order(self, row: OrderSeen) -> list[bytes]:
        return [self.frame("ORDER", False, orders=[order_row(row, status="PONDERING", statusReason="WHO_KNOWS")])]

    def off_grid(self, row: ExecutionSeen) -> list[bytes]:
        return [self.frame("TRADE", False, trades=[fill_row(row, price="1.23456789")])]

    def strange(self) -> list[bytes]:
        return [self.frame("HOROSCOPE", False, sign="fish")]

    def skip(self) -> None:
        self.seq += 1

    def frame(self, type_: str, snapshot: bool, **data: Any) -> bytes:
        self.seq += 1
        return encode(
            {"type": type_, "data": {"isSnapshot": snapshot, **data}, "ts": 1_790_425_443_253, "seq": self.seq}
        )


def unpack(signed: Signed) -> Unpacked:
    body = json.loads(signed.request.body or b"")
    market: Market = MARKETS[f"extended:{body['market']}"]
    assert (signed.request.method, signed.request.url) == ("POST", "http://127.0.0.1:1/api/v1/user/order")
    return Unpacked(
        client_id=body["id"],
        market=body["market"],
        side=Side[body["side"]],
        size_lots=market.size_grid.parse(body["qty"]),
        price_ticks=market.price_grid.parse(body["price"]),
        reduce_only=body["reduceOnly"],
        time_in_force={("IOC", False): TimeInForce.IOC, ("GTT", True): TimeInForce.POST_ONLY}[
            body["timeInForce"], body["postOnly"]
        ],
    )


TRADING_CASE = TradingCase(
    venue=trading,
    markets=(BTC, ETH),
    secrets=(PRIVATE_KEY, PRIVATE_KEY[2:], str(int(PRIVATE_KEY, 16)), API_KEY),
    sent_secrets=(API_KEY,),
    unpack=unpack,
    same_bytes=True,
    accepted=lambda signed: ok({"id": 2123812695202332672, "externalId": signed.client_id}),
    refusals=[
        (400, refusal(1140, "New order cost exceeds available balance")),
        (400, refusal(1120)),
        (200, refusal(1137)),
        (401, b""),
        (401, refusal(401)),
        (422, refusal(1101)),
    ],
    doubts=[
        (400, refusal(1134)),
        (400, refusal(1006)),
        (404, refusal(404)),
        (404, b""),
        (403, b"<html>Forbidden</html>"),
        (200, refusal(99_999)),
        (200, ok({"id": 5, "externalId": "another"})),
        (200, ok(None)),
    ],
    read_refusals=[refusal(1004), b'{"status":"OK"}', b'{"status":"OK","data":null}', b'{"data":[]}', ok(17)],
    bodies=ExtendedBodies(),
    server=ExtendedAccountServer,
    account_sequence=True,
)

"""Lighter's part of the private battery: rows and frames in the shapes that the venue's own API writes them."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qs

import msgspec

from twinleg.core.amounts import Grid
from twinleg.core.messages import Market
from twinleg.core.orders import Side, TimeInForce
from twinleg.core.trading import (
    BalanceSeen,
    ExecutionSeen,
    OrderSeen,
    PositionSeen,
    Signed,
    client_id_of,
    number_of,
)
from twinleg.core.venue import Feed
from twinleg.venues.lighter import facts
from twinleg.venues.lighter.sign import Signer
from twinleg.venues.lighter.trading import LighterTrading
from venues.battery import listed
from venues.lighter.case import CASE, encode
from venues.trading_battery import TradingCase, Unpacked

KEY = "3f" * 39 + "07"
ACCOUNT = 712_440
FOREIGN_INDEX = 23_004_521_241
FINE: dict[str, Any] = {"price_grid": Grid(7), "size_grid": Grid(8), "min_notional_usd": 0.0}
"""Units so small that a fee in whole ticks of 1e-6 can be any whole micro-dollar."""
MARKETS: dict[str, Market] = {
    market.key: msgspec.structs.replace(market, **FINE) for market in listed(CASE).values() if not market.excluded
}
ONE, OTHER = list(MARKETS.values())[:2]

ORDER = {
    "order_index": 281476929510110,
    "client_order_index": 42,
    "order_id": "281476929510110",
    "client_order_id": "42",
    "market_index": 0,
    "owner_account_index": ACCOUNT,
    "initial_base_amount": "0.0050",
    "price": "2352.74",
    "nonce": 9182390020,
    "remaining_base_amount": "0.0050",
    "is_ask": True,
    "base_size": 50,
    "base_price": 235274,
    "filled_base_amount": "0.0000",
    "filled_quote_amount": "0.000000",
    "side": "sell",
    "type": "limit",
    "time_in_force": "good-till-time",
    "reduce_only": False,
    "trigger_price": "0.00",
    "order_expiry": 1780360584479,
    "status": "open",
    "trigger_status": "na",
    "trigger_time": 0,
    "parent_order_index": 0,
    "block_height": 227535532,
    "timestamp": 1777941383576,
    "created_at": 1777941383576,
    "updated_at": 1777941383576,
    "transaction_time": 1777941383576000,
}
TRADE = {
    "trade_id": 19211490282,
    "trade_id_str": "19211490282",
    "tx_hash": "000000128ba36109",
    "type": "trade",
    "market_id": 0,
    "size": "0.0005",
    "price": "2361.31",
    "usd_amount": "1.180655",
    "ask_id": 281476929689557,
    "bid_id": 562947905454831,
    "ask_client_id": 0,
    "bid_client_id": 410940644,
    "ask_account_id": 719347,
    "bid_account_id": 281474976639642,
    "is_maker_ask": False,
    "block_height": 227557648,
    "timestamp": 1777945103092,
    "transaction_time": 1777945103092648,
}
POSITION = {
    "market_id": 0,
    "symbol": "ETH",
    "initial_margin_fraction": "5.00",
    "open_order_count": 0,
    "pending_order_count": 0,
    "position_tied_order_count": 0,
    "sign": 1,
    "position": "18.0193",
    "avg_entry_price": "2669.84",
    "position_value": "54306.566340",
    "unrealized_pnl": "6197.829558",
    "realized_pnl": "0.000000",
    "liquidation_price": "2191.1107230380406",
    "margin_mode": 0,
    "allocated_margin": "0.000000",
}
ACCOUNT_ROW = {
    "code": 0,
    "account_type": 0,
    "index": ACCOUNT,
    "l1_address": "0x15f4",
    "cancel_all_time": 0,
    "available_balance": "12582.743947",
    "status": 1,
    "collateral": "9100.242706",
    "account_index": ACCOUNT,
    "positions": [],
    "assets": [],
    "total_asset_value": "15298.072264",
    "cross_asset_value": "15298.072264",
    "shares": [],
}
STATS = {
    "account_trading_mode": 0,
    "available_balance": "39.168314",
    "buying_power": "0",
    "collateral": "39.995369",
    "leverage": "0.41",
    "margin_usage": "2.07",
    "portfolio_value": "39.995169",
}


def trading() -> LighterTrading:
    return LighterTrading("http://127.0.0.1:1", "ws://127.0.0.1:1", Signer(ACCOUNT, 304, {5: KEY, 6: KEY}), MARKETS)


def index_of(client_id: str | None) -> int:
    return FOREIGN_INDEX if client_id is None else number_of(client_id)


def order_row(seen: OrderSeen, **fields: Any) -> dict[str, Any]:
    market = MARKETS[seen.market]
    over = "filled" if seen.filled_lots == seen.size_lots else "canceled-too-much-slippage"
    assert seen.price_ticks is not None
    return copy.deepcopy(ORDER) | {
        "order_index": int(seen.venue_order_id),
        "client_order_index": index_of(seen.client_id),
        "market_index": int(market.native_id),
        "is_ask": seen.side is Side.SELL,
        "initial_base_amount": market.size_grid.text(seen.size_lots),
        "filled_base_amount": market.size_grid.text(seen.filled_lots),
        "price": market.price_grid.text(seen.price_ticks),
        "reduce_only": seen.reduce_only,
        "status": seen.reason or ("open" if seen.resting else over),
        "updated_at": seen.at_ms,
        **fields,
    }


def fill_row(seen: ExecutionSeen, **fields: Any) -> dict[str, Any]:
    """We are the taker. Fees are whole ticks of the notional."""
    market, sells = MARKETS[seen.market], seen.side is Side.SELL
    notional = seen.price_ticks * market.price_grid.unit * seen.size_lots * market.size_grid.unit
    fee_ticks = round(Fraction(seen.fee_micro_usd) / notional)
    ours, theirs = ("ask", "bid") if sells else ("bid", "ask")
    client_id = 0 if seen.client_id is None else number_of(seen.client_id)
    return copy.deepcopy(TRADE) | {
        "trade_id": int(seen.fill_id),
        "type": seen.forced or "trade",
        "market_id": int(market.native_id),
        "size": market.size_grid.text(seen.size_lots),
        "price": market.price_grid.text(seen.price_ticks),
        f"{ours}_id": int(seen.venue_order_id),
        f"{ours}_client_id": client_id,
        f"{ours}_account_id": ACCOUNT,
        f"{theirs}_account_id": 719_347,
        "is_maker_ask": not sells,
        **({"taker_fee": fee_ticks} if fee_ticks else {}),
        "maker_fee": 28,
        "timestamp": seen.at_ms,
        **fields,
    }


def position_row(seen: PositionSeen, **fields: Any) -> dict[str, Any]:
    market = MARKETS[seen.market]
    tick = float(market.price_grid.unit)
    return copy.deepcopy(POSITION) | {
        "market_id": int(market.native_id),
        "symbol": market.symbol,
        "sign": -1 if seen.lots < 0 else 1,
        "position": market.size_grid.text(abs(seen.lots)),
        "avg_entry_price": "0.00" if seen.entry_price is None else f"{seen.entry_price * tick:.12f}",
        "liquidation_price": "0" if seen.liquidation_price is None else str(seen.liquidation_price * tick),
        "unrealized_pnl": str(seen.unrealised_usd),
        **fields,
    }


def ok(**content: Any) -> bytes:
    return encode({"code": 200, **content})


def refusal(code: int, message: str = "no") -> bytes:
    return encode({"code": code, "message": message})


def account(**fields: Any) -> bytes:
    return ok(total=1, accounts=[copy.deepcopy(ACCOUNT_ROW) | fields])


class LighterBodies:
    def orders(self, rows: Sequence[OrderSeen]) -> bytes:
        return ok(orders=[order_row(row) for row in rows])

    def fills(self, rows: Sequence[ExecutionSeen]) -> bytes:
        return ok(trades=[fill_row(row) for row in rows], **({"next_cursor": "abc"} if rows else {}))

    def positions(self, rows: Sequence[PositionSeen]) -> bytes:
        return account(positions=[position_row(row, initial_margin_fraction="0.00") for row in rows])

    def balance(self, row: BalanceSeen) -> bytes:
        return account(
            available_balance=str(row.available_usd),
            total_asset_value=str(row.equity_usd),
            cross_initial_margin_requirement=str(row.initial_margin_usd),
            cross_maintenance_margin_requirement=str(row.maintenance_margin_usd),
        )

    def order(self, rows: Sequence[OrderSeen], fills: Sequence[ExecutionSeen]) -> list[bytes]:
        return [self.orders(rows), self.fills(fills)]


class LighterAccountServer:
    """Says `connected`, then the content of each topic that is asked for with a token."""

    def __init__(self, feed: Feed) -> None:
        assert feed.url == "ws://127.0.0.1:1/stream"
        self.orders: list[OrderSeen] = []
        self.positions: list[PositionSeen] = []
        self.tokens: list[str] = []

    def greet(self) -> list[bytes]:
        return [encode({"session_id": "1f", "type": "connected"})]

    def answer(self, message: bytes) -> list[bytes]:
        said = json.loads(message)
        if said["type"] == "ping":
            return [encode({"type": "pong"})]
        kind, _, account_index = said["channel"].partition("/")
        assert account_index == str(ACCOUNT)
        if said["type"] == "unsubscribe":
            return [encode({"type": "unsubscribed", "channel": f"{kind}:{ACCOUNT}"})]
        self.tokens.append(said["auth"])
        return [self.frame(kind, "subscribed", **self.first(kind))]

    def first(self, kind: str) -> dict[str, Any]:
        match kind:
            case "account_all_orders":
                return {"orders": self.by_market("market_index", [order_row(row) for row in self.orders])}
            case "account_all_trades":
                return {"trades": [], "total_volume": 0}
            case "account_all_positions":
                return {"positions": {str(row["market_id"]): row for row in map(position_row, self.positions)}}
            case "user_stats":
                return {"stats": STATS}
            case "account_tx":
                return {"txs": []}
        raise AssertionError(f"no such topic: {kind}")

    def order(self, row: OrderSeen) -> list[bytes]:
        return self.changed(order_row(row))

    def fill(self, row: ExecutionSeen) -> list[bytes]:
        return [self.frame("account_all_trades", trades=self.by_market("market_id", [fill_row(row)]))]

    def position(self, row: PositionSeen) -> list[bytes]:
        told = position_row(row)
        return [self.frame("account_all_positions", positions={str(told["market_id"]): told})]

    def balance(self, row: BalanceSeen) -> list[bytes]:
        told = STATS | {"available_balance": str(row.available_usd), "portfolio_value": str(row.equity_usd)}
        return [self.frame("user_stats", stats=told)]

    def odd_order(self, row: OrderSeen) -> list[bytes]:
        return self.changed(order_row(row, status="pondering"))

    def off_grid(self, row: ExecutionSeen) -> list[bytes]:
        return [self.frame("account_all_trades", trades={"0": [fill_row(row, price="1.23456789")]})]

    def strange(self) -> list[bytes]:
        return [self.frame("horoscope", sign="fish")]

    def skip(self) -> None:
        """Nothing counts messages here."""

    def changed(self, row: dict[str, Any]) -> list[bytes]:
        return [self.frame("account_all_orders", orders=self.by_market("market_index", [row]))]

    @staticmethod
    def by_market(name: str, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        return {str(row[name]): [each for each in rows if each[name] == row[name]] for row in rows}

    @staticmethod
    def frame(kind: str, how: str = "update", **content: Any) -> bytes:
        return encode({"type": f"{how}/{kind}", "channel": f"{kind}:{ACCOUNT}", **content})


def unpack(signed: Signed) -> Unpacked:
    assert (signed.request.method, signed.request.url) == ("POST", "http://127.0.0.1:1/api/v1/sendTx")
    form = parse_qs((signed.request.body or b"").decode(), strict_parsing=True)
    assert form["tx_type"] == [str(facts.TX_CREATE_ORDER)]
    info = json.loads(form["tx_info"][0])
    assert (info["AccountIndex"], info["ApiKeyIndex"], info["Nonce"], info["Type"]) == (ACCOUNT, 5, 41, 0)
    assert signed.void_after_ms == info["ExpiredAt"] + facts.CLOCK_SKEW_MS_MAX
    client_id = client_id_of(info["ClientOrderIndex"])
    assert client_id is not None
    return Unpacked(
        client_id=client_id,
        market=str(info["MarketIndex"]),
        side=Side.SELL if info["IsAsk"] else Side.BUY,
        size_lots=info["BaseAmount"],
        price_ticks=info["Price"],
        reduce_only=bool(info["ReduceOnly"]),
        time_in_force={0: TimeInForce.IOC, 2: TimeInForce.POST_ONLY}[info["TimeInForce"]],
    )


TRADING_CASE = TradingCase(
    venue=trading,
    markets=(ONE, OTHER),
    secrets=(KEY,),
    sent_secrets=(),
    unpack=unpack,
    signs_at_wall_time=True,
    same_bytes=False,
    accepted=lambda signed: ok(
        message='{"ratelimit": "didn\'t use volume quota"}',
        tx_hash=signed.correlation,
        predicted_execution_time_ms=1751465474,
        volume_quota_remaining=999,
    ),
    refusals=[
        (400, refusal(21739, "not enough margin to create the order")),
        (200, refusal(21739, "not enough margin to create the order")),
        (400, refusal(21104, "invalid nonce")),
        (400, refusal(21120, "invalid signature")),
        (400, refusal(20001, "invalid param")),
        (429, refusal(23000, "Too Many Requests!")),
        (403, refusal(21109, "api key not found")),
    ],
    doubts=[
        (400, refusal(21728, "client order index already exists")),
        (400, refusal(29500, "internal server error")),
        (400, refusal(99_999)),
        (403, b"<html>Forbidden</html>"),
        (429, b"<html>Too Many Requests</html>"),
        (200, refusal(99_999)),
        (200, ok(tx_hash="cd" * 40)),
    ],
    read_refusals=[
        refusal(20001, "auth field is required"),
        refusal(21100, "account not found"),
        b"{}",
        b'{"orders":[],"trades":[],"accounts":[]}',
        encode({"code": 0, "orders": [], "trades": [], "accounts": []}),
    ],
    bodies=LighterBodies(),
    server=LighterAccountServer,
    account_sequence=False,
)

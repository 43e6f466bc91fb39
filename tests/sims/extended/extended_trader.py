"""A trader at ExtendedCore without sockets: orders made and signed by the venue's SDK, frames of its account stream."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from extended_client import Client
from x10.config import TESTNET_CONFIG
from x10.core.stark_account import StarkPerpetualAccount
from x10.models.market import MarketModel
from x10.models.order import NewOrderModel, OrderSide, OrderType, TimeInForce
from x10.signing.order_object import create_order_object

from twinleg_sims.account import Account
from twinleg_sims.faults import FaultRequest
from twinleg_sims.protocol import AccountRequest, HttpReply, HttpRequest

BTC = "BTC-USD"
BUY, SELL = OrderSide.BUY, OrderSide.SELL


class Trader:
    """One account of a client's core, with its v1 stream open as connection 1 (of the client's first trader)."""

    def __init__(self, client: Client | None = None, **asked: Any) -> None:
        self.client = client or Client()
        keys: dict[str, Any] = self.client.core.open_account(AccountRequest(**asked))
        self.api_key, self.account_id = keys["api_key"], keys["account_id"]
        self.signer = StarkPerpetualAccount(keys["vault"], keys["private_key"], keys["public_key"], self.api_key)
        self.headers = {"user-agent": "t", "x-api-key": self.api_key}
        self._nonces = 0
        self.stream = len(self.client.frames) + 1
        assert self.client.open("/account", self.headers) is None

    @property
    def account(self) -> Account:
        return list(self.client.core.accounts.by_id.values())[self.account_id - 100_001]

    @property
    def mark(self) -> Decimal:
        return Decimal(round(self.client.world.market("extended", BTC).mark_price))

    def ask(self, method: str, path: str, body: object = None) -> HttpReply:
        """Any private request."""
        path, _, query = path.partition("?")
        pairs = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]
        payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = HttpRequest(method, "/api/v1/user" + path, pairs, self.headers, payload)
        return self.client.core.http(request, self.client.now_ms)

    def read(self, path: str) -> Any:
        """The data of a GET."""
        body = json.loads(self.ask("GET", path).body)
        assert body["status"] == "OK", body
        return body["data"]

    def code(self, reply: HttpReply) -> int:
        """The venue's error code; 0 for a success."""
        body = json.loads(reply.body)
        return int(body["error"]["code"]) if body["status"] == "ERROR" else 0

    def order(
        self, qty: str, price: Decimal | int, side: OrderSide = BUY, market: str = BTC, **more: Any
    ) -> NewOrderModel:
        """Signed as the SDK does it, an hour valid, with nonces in sequence."""
        self._nonces += 1
        model = MarketModel.model_validate(self.client.data(f"/info/markets?market={market}")[0])
        settings: dict[str, Any] = {
            "taker_fee": Decimal("0.00025"),
            "nonce": self._nonces,
            "expire_time": datetime.fromtimestamp(self.client.now_ms / 1000 + 3_600, UTC),
        }
        return create_order_object(
            account=self.signer, market=model, amount_of_synthetic=Decimal(qty), price=Decimal(price), side=side,
            starknet_domain=TESTNET_CONFIG.signing.starknet_domain, **(settings | more),
        )  # fmt: skip

    def post(self, order: NewOrderModel, path: str = "/order", **changes: object) -> HttpReply:
        """Send an order; `changes` overwrite fields of its body (None removes them)."""
        body = order.to_api_request_json(exclude_none=True) | changes
        return self.ask("POST", path, {name: value for name, value in body.items() if value is not None})

    def place(self, qty: str, price: Decimal | int, side: OrderSide = BUY, **more: Any) -> int:
        """Place; the venue's id."""
        body = json.loads(self.post(self.order(qty, price, side, **more)).body)
        assert body["status"] == "OK", body
        return int(body["data"]["id"])

    def take(self, qty: str, side: OrderSide = BUY, **more: Any) -> int:
        """An IOC that trades, and the time for it to be read."""
        price = self.mark * (101 if side == BUY else 99) // 100
        number = self.place(qty, price, side, time_in_force=TimeInForce.IOC, **more)
        self.client.run(500)
        return number

    def fault(self, kind: str, value: str = "", for_s: float | None = None) -> None:
        self.client.faults.add(FaultRequest(kind, "extended", for_s=for_s, value=value), self.client.now_ms)

    def frames(self, *kinds: str) -> list[dict[str, Any]]:
        """What the account stream said after its opening trio, of these kinds."""
        return [frame for frame in self.client.frames[self.stream][3:] if not kinds or frame["type"] in kinds]

    def statuses(self, order_id: int) -> list[str]:
        """What the stream said of one order."""
        rows = [row for frame in self.frames("ORDER") for row in frame["data"]["orders"]]
        return [row["status"] for row in rows if row["id"] == order_id]


MARKET = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
IOC = {"time_in_force": TimeInForce.IOC}

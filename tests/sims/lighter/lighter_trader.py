"""A trader in virtual time: transactions over the bench's HTTP door, its account channels, its reads."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from lighter_bench import START_MS, Bench
from lighter_keys import signed, token

from twinleg_sims.account import Account
from twinleg_sims.lighter.facts import NO_LIMITS, WORLD_ACCOUNTS, Limits
from twinleg_sims.lighter.gate import Setup
from twinleg_sims.listings import LIGHTER
from twinleg_sims.market import SimMarket
from twinleg_sims.protocol import AccountRequest, HttpReply, HttpRequest

ETH = 0
LIMIT, MARKET, STOP_LOSS, STOP_LOSS_LIMIT, TAKE_PROFIT, TAKE_PROFIT_LIMIT = range(6)
IOC, GTT, POST_ONLY = range(3)
CREATE, CANCEL, CANCEL_ALL, MODIFY, LEVERAGE, GROUP = 14, 15, 16, 17, 20, 28
NO_SIG = base64.b64encode(bytes(80)).decode()
UNVERIFIED = Setup(signatures="off")


@dataclass
class Trader:
    """One account of a bench. `signs`: whether transactions carry real signatures (slow)."""

    bench: Bench
    equity_usd: float = 100_000.0
    wallet: str = ""
    tier: str = ""
    signs: bool = False
    key: int = 4
    nonce: int = 0
    account: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked = AccountRequest(equity_usd=self.equity_usd, wallet=self.wallet, tier=self.tier)
        self.account = self.bench.core.open_account(asked)

    @property
    def index(self) -> int:
        return int(self.account["account_index"])

    @property
    def engine(self) -> Account:
        """The truth about the account."""
        return self.bench.venue.accounts.by_id[self.index - WORLD_ACCOUNTS]

    @property
    def private(self) -> int:
        return int.from_bytes(bytes.fromhex(self.account["api_private_keys"][str(self.key)]), "little")

    @property
    def market(self) -> SimMarket:
        return self.bench.world.market(LIGHTER, "ETH")

    @property
    def token(self) -> str:
        return f"{self.bench.world.now_ms // 1000 + 600}:{self.index}:{self.key}:{'0' * 160}"

    @property
    def real_token(self) -> str:
        return token(self.private, self.index, self.key, self.bench.world.now_ms // 1000 + 600)

    def ticks(self, side: str, away: int = 0) -> int:
        """`away` ticks beyond the best ask or bid."""
        best = self.market.book.best(side)  # type: ignore[arg-type]
        assert best is not None
        return best + away if side == "ask" else best - away

    # Transactions

    def body(self, **info: Any) -> dict[str, Any]:
        """What every transaction has, and its own."""
        head = {"AccountIndex": self.index, "ApiKeyIndex": self.key, "Nonce": self.nonce, "Sig": NO_SIG}
        return head | {"ExpiredAt": self.bench.world.now_ms + 599_000, "L2TxAttributes": None} | info

    def order(self, client: int, lots: int, price: int, **info: Any) -> dict[str, Any]:
        """A limit order's own fields; it lives an hour unless it is an IOC."""
        kind = info.get("Type", LIMIT)
        at_once = kind == MARKET or (kind == LIMIT and info.get("TimeInForce") == IOC)
        return {
            "MarketIndex": ETH, "ClientOrderIndex": client, "BaseAmount": lots, "Price": price,
            "IsAsk": 0, "Type": LIMIT, "TimeInForce": GTT, "ReduceOnly": 0, "TriggerPrice": 0,
            "OrderExpiry": 0 if at_once else self.bench.world.now_ms + 3_600_000,
        } | info  # fmt: skip

    def post(self, path: str, **form: str) -> HttpReply:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        request = HttpRequest("POST", f"/api/v1/{path}", headers=headers, body=urlencode(form).encode())
        return self.bench.core.http(request, self.bench.world.now_ms)

    def send(self, tx_type: int, **info: Any) -> dict[str, Any]:
        """Send a transaction; the body of the answer. An accepted one moves the nonce on."""
        text = json.dumps(self.body(**info))
        if self.signs:
            text, _ = signed(self.private, tx_type, self.body(**info))
        answer: dict[str, Any] = json.loads(self.post("sendTx", tx_type=str(tx_type), tx_info=text).body)
        if answer["code"] == 200:
            self.nonce = json.loads(text)["Nonce"] + 1
        return answer

    def create(self, client: int, lots: int, price: int, **info: Any) -> dict[str, Any]:
        attributes = {"L2TxAttributes": info.pop("L2TxAttributes", None)}
        return self.send(CREATE, **self.order(client, lots, price, **info), **attributes)

    def accepted(self, client: int, lots: int, price: int, **info: Any) -> str:
        """As create, for one that must be accepted; its hash."""
        answer = self.create(client, lots, price, **info)
        assert answer["code"] == 200, answer
        return str(answer["tx_hash"])

    def hold(self, lots: int) -> None:
        """Buy (sell) now at whatever price, and wait."""
        side, away = ("ask", 20_000) if lots > 0 else ("bid", 20_000)
        self.accepted(0, abs(lots), self.ticks(side, away), IsAsk=int(lots < 0), Type=MARKET, TimeInForce=IOC)
        self.bench.run(340)

    # Reads

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """A private read with a token."""
        asked = [(name, str(value)) for name, value in query.items()]
        request = HttpRequest("GET", f"/api/v1/{path}", asked, {"authorization": self.token})
        reply = self.bench.core.http(request, self.bench.world.now_ms)
        body: dict[str, Any] = json.loads(reply.body)
        assert reply.status == 200, body
        return body

    def tx(self, tx_hash: str) -> dict[str, Any]:
        return self.bench.body("/api/v1/tx", by="hash", value=tx_hash)

    def failure(self, tx_hash: str) -> int:
        """The code a failed transaction died of."""
        found = self.tx(tx_hash)
        assert found["status"] == 0, found
        return int(json.loads(json.loads(found["event_info"])["ae"])["code"])

    def found(self, client: int) -> dict[str, Any]:
        """The one order with a client index."""
        [order] = self.get("accountOrders", account_index=self.index, client_order_indexes=client)["orders"]
        return dict(order)

    def status(self, client: int) -> str:
        return str(self.found(client)["status"])

    def row(self) -> dict[str, Any]:
        [account] = self.bench.body("/api/v1/account", by="index", value=self.index)["accounts"]
        return dict(account)

    def position(self) -> float:
        rows = [row for row in self.row()["positions"] if row["market_id"] == ETH]
        return float(rows[0]["position"]) * rows[0]["sign"] if rows else 0.0

    def venue_nonce(self) -> int:
        return int(self.bench.body("/api/v1/nextNonce", account_index=self.index, api_key_index=self.key)["nonce"])

    # Streams

    def watch(self, *channels: str, connection: int = 1) -> None:
        """Subscribe to account channels with a token, and take in the snapshots."""
        if connection not in self.bench.opened:
            self.bench.open(connection)
        for channel in channels:
            name = f"{channel}/{self.index}"
            self.bench.say(connection, type="subscribe", channel=name, auth=self.token)
        self.bench.run(20)

    def told(self, kind: str, connection: int = 1) -> list[dict[str, Any]]:
        """Frames of a type so far; all others are dropped."""
        return [frame for frame in self.bench.frames(connection) if frame.get("type") == kind]


def trading(limits: Limits = NO_LIMITS, setup: Setup = UNVERIFIED, start_ms: int = START_MS, **trader: Any) -> Trader:
    """A trader of its own bench."""
    return Trader(Bench(limits=limits, setup=setup, start_ms=start_ms, assets=2), **trader)

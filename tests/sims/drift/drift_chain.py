"""A simulated chain in virtual time, and a client that packs and signs by hand."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any

import msgspec

from twinleg_sims.birth import Scale
from twinleg_sims.drift import ed25519
from twinleg_sims.drift.call import Meta
from twinleg_sims.drift.core import DriftCore, Setup
from twinleg_sims.drift.genesis import TERMS, oracle_key
from twinleg_sims.drift.keys import discriminator, from_base58, key
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.positions import open_orders, perp_position
from twinleg_sims.drift.profile import DRIFT, Profile
from twinleg_sims.drift.transaction import compiled
from twinleg_sims.faults import Fault, FaultRequest, Faults
from twinleg_sims.protocol import AccountRequest, Close, Frame, HttpReply, HttpRequest
from twinleg_sims.world import World

START_MS = 1_800_003_540_000
"""A minute before a full hour."""
SLOT_MS = 400
SMALL = Scale(past_hours=1, past_trades=5, odd_markets=False)
LONG, SHORT = 0, 1
MARKET, LIMIT, TRIGGER_MARKET = 0, 1, 2
BASE = 10**9
Json = Any


def order(**words: int) -> bytes:
    """OrderParams as Drift v2 reads them; `start`, `end` and `slots` are an auction, `max_ts` a time."""
    head = struct.pack(
        "<BBBBQQHBBB",
        words.get("kind", LIMIT),
        words.get("market_type", 1),
        words.get("direction", LONG),
        words.get("user_id", 0),
        words.get("base", BASE // 10),
        words.get("price", 0),
        words.get("market", 0),
        words.get("reduce_only", 0),
        words.get("post_only", 0),
        words.get("flags", 0),
    )
    max_ts = struct.pack("<Bq", 1, words["max_ts"]) if "max_ts" in words else b"\0"
    auction = b"\0\0\0"
    if "slots" in words:
        auction = struct.pack("<BBBqBq", 1, words["slots"], 1, words["start"], 1, words["end"])
    trigger = struct.pack("<BQB", 1, words["trigger"], words["below"]) if "trigger" in words else b"\0\0"
    return head + max_ts + trigger + b"\0" + auction


class Client:
    """One wallet's side. Everything it sends is signed and goes through the node."""

    def __init__(self, chain: Chain, opened: dict[str, Any]) -> None:
        self.chain = chain
        self.user_key = key(opened["user"])
        self.authority = key(opened["authority"])
        self.opened = opened
        self._private = from_base58(opened["private_key"])[:32]

    def place(self, **words: int) -> str:
        return self.send("place_perp_order", order(**words) + self.chain.tail)

    def cancel_all(self) -> str:
        return self.send("cancel_orders", b"\0\0\0")

    def send(self, name: str, words: bytes, metas: list[Meta] | None = None, **config: Any) -> str:
        """The signature. Raises AssertionError with the node's error."""
        reply = self.sent(name, words, metas, **config)
        assert "result" in reply, reply
        return str(reply["result"])

    def sent(self, name: str, words: bytes, metas: list[Meta] | None = None, **config: Any) -> Json:
        raw = self.packed(name, words, metas or self.metas())
        return self.chain.rpc("sendTransaction", b64encode(raw).decode(), {"encoding": "base64", **config})

    def packed(self, name: str, words: bytes, metas: list[Meta]) -> bytes:
        found = self.chain.rpc("getLatestBlockhash", {"commitment": "confirmed"})["result"]
        blockhash = key(found["value"]["blockhash"])
        data = discriminator("global", name) + words
        message = compiled(metas, self.chain.profile.program, data, blockhash, bytes(64))[65:]
        return b"\1" + ed25519.signed(self._private, message) + message

    def metas(self, *more: bytes, stats: bool = False) -> list[Meta]:
        """State, user, (its stats,) authority, then every oracle and market."""
        profile = self.chain.profile
        names = [terms.asset for terms in TERMS[profile.name]]
        rest = [oracle_key(name) for name in (*names, profile.quote_symbol)]
        rest += [profile.spot_market_key(0), *(profile.perp_market_key(terms.index) for terms in TERMS[profile.name])]
        users = [self.user_key, profile.stats_key(self.authority)][: 1 + stats]
        return [
            Meta(profile.state_key, signer=False, writable=False),
            *(Meta(address, signer=False, writable=True) for address in users),
            Meta(self.authority, signer=True, writable=True),
            *(Meta(address, signer=False, writable=True) for address in (*rest, *more)),
        ]

    @property
    def user(self) -> Record:
        return self.chain.core.user(self.opened["user"])

    def orders(self) -> list[Record]:
        return list(open_orders(self.user))

    def held(self, market: int = 0) -> int:
        position = perp_position(self.user, market)
        return position["base_asset_amount"] if position else 0


class Chain:
    """A chain over a small world; `slots` lets it live."""

    def __init__(self, profile: Profile = DRIFT, seed: int = 7) -> None:
        self.profile = profile
        self.faults = Faults()
        self.world = World(seed, 4, START_MS, SMALL)
        self.core = DriftCore(self.world, self.faults, Setup(profile, SLOT_MS))
        self.tail = b"\0\0" if profile.builder_fields else b""
        self.now_ms = START_MS
        self.heard: list[Json] = []
        self.closes: list[Close] = []

    def open(self, equity_usd: float = 10_000) -> Client:
        return Client(self, self.core.open_account(AccountRequest(equity_usd=equity_usd)))

    def slots(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ms += SLOT_MS
            self.world.advance(self.now_ms)
            self.hear(self.core.advance(self.now_ms))

    def until(self, wanted: Any, slots: int = 400) -> None:
        """Let it live until something is so. Raises AssertionError when it never is."""
        for _ in range(slots):
            if wanted():
                return
            self.slots()
        raise AssertionError("it never came to that")

    def sleep(self, seconds: int) -> None:
        self.slots(seconds * 1000 // SLOT_MS)

    def rpc(self, method: str, *params: Any) -> Json:
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        return msgspec.json.decode(self.post(body).body)

    def post(self, body: bytes) -> HttpReply:
        return self.core.http(HttpRequest("POST", "/", body=body), self.now_ms)

    def get(self, path: str, **query: str) -> Json:
        reply = self.core.http(HttpRequest("GET", path, list(query.items())), self.now_ms)
        assert reply.status == 200, reply
        return msgspec.json.decode(reply.body)

    def stream(self, connection: int, path: str, words: Json) -> Json:
        """Open a WebSocket and send one message; the first answer."""
        self.core.ws_open(connection, HttpRequest("GET", path), self.now_ms)
        return self.ask(connection, words)

    def ask(self, connection: int, words: Json) -> Json:
        outs = self.core.ws_message(connection, msgspec.json.encode(words), self.now_ms)
        before = len(self.heard)
        self.hear(outs)
        return self.heard[before] if len(self.heard) > before else None

    def hear(self, outs: list[Any]) -> None:
        self.heard += [msgspec.json.decode(out.payload) for out in outs if isinstance(out, Frame)]
        self.closes += [out for out in outs if isinstance(out, Close)]

    def fault(self, kind: str, **words: Any) -> Fault:
        return self.faults.add(FaultRequest(kind=kind, venue="drift", **words), self.now_ms)

    def market(self, index: int = 0) -> Record:
        held = self.core.ledger.held[self.profile.perp_market_key(index)]
        return Record(self.profile.perp_market, bytearray(held.data))

    @property
    def price(self) -> int:
        return self.market()["last_oracle_price"]

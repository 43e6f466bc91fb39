"""A Lighter core driven by hand: requests and frames without sockets, in virtual time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from twinleg_sims.faults import Fault, Faults, Faulty
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.lighter.facts import NO_LIMITS, Limits
from twinleg_sims.lighter.gate import Setup
from twinleg_sims.protocol import Frame, HttpReply, HttpRequest, Out
from twinleg_sims.world import World

START_MS = 1_795_197_000_000


@dataclass
class Bench:
    """One client (connection 1) of a core over a small world."""

    limits: Limits = NO_LIMITS
    seed: int = 4
    setup: Setup = field(default_factory=Setup)
    start_ms: int = START_MS
    assets: int = 4
    outs: list[Out] = field(default_factory=list)
    opened: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.world = World(self.seed, self.assets, self.start_ms)
        self.faults = Faults()
        self.venue = LighterCore(self.world, self.faults, self.limits, self.setup)
        self.core = Faulty(self.venue, self.faults, self.seed)

    def get(self, path: str, **query: object) -> HttpReply:
        asked = [(name, str(value)) for name, value in query.items()]
        return self.core.http(HttpRequest("GET", path, asked), self.world.now_ms)

    def body(self, path: str, **query: object) -> dict[str, Any]:
        reply = self.get(path, **query)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    def open(self, connection: int = 1, path: str = "/stream", **query: str) -> list[Out]:
        self.opened.add(connection)
        outs = self.core.ws_open(connection, HttpRequest("GET", path, list(query.items())), self.world.now_ms)
        self.outs += outs
        return outs

    def say(self, connection: int = 1, **message: object) -> None:
        self.outs += self.core.ws_message(connection, json.dumps(message).encode(), self.world.now_ms)

    def subscribe(self, channel: str, connection: int = 1) -> None:
        self.say(connection, type="subscribe", channel=channel)

    def run(self, total_ms: int, step_ms: int = 20) -> None:
        """Let time pass in the shell's steps."""
        end_ms = self.world.now_ms + total_ms
        while self.world.now_ms < end_ms:
            self.world.advance(min(end_ms, self.world.now_ms + step_ms))
            self.outs += self.core.advance(self.world.now_ms)

    def fault(self, text: str) -> Fault:
        return self.faults.add_text(text, self.world.now_ms)

    def payloads(self, connection: int = 1) -> list[bytes]:
        """Frames so far, taken out of the bench, as they are."""
        taken = [out.payload for out in self.outs if isinstance(out, Frame) and out.connection == connection]
        self.outs = [out for out in self.outs if not (isinstance(out, Frame) and out.connection == connection)]
        return taken

    def frames(self, connection: int = 1) -> list[dict[str, Any]]:
        """Frames so far, taken out of the bench, decoded."""
        return [json.loads(payload) for payload in self.payloads(connection)]


@dataclass
class ClientBook:
    """A careful client's book: it checks the nonce chain."""

    nonce: int = 0
    bids: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    gaps: int = 0

    def take(self, frame: dict[str, Any]) -> None:
        body = frame["order_book"]
        if frame["type"] == "subscribed/order_book":
            assert body["begin_nonce"] == 0
            self.bids, self.asks = {}, {}
        elif body["begin_nonce"] != self.nonce:
            self.gaps += 1
        self.nonce = body["nonce"]
        for side, levels in ((self.bids, body["bids"]), (self.asks, body["asks"])):
            for level in levels:
                if float(level["size"]) == 0:
                    side.pop(level["price"], None)
                else:
                    side[level["price"]] = level["size"]

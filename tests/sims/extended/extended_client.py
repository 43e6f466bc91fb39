"""A client of ExtendedCore without sockets: asks, subscribes, lets time pass, keeps what it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.extended.facts import RPC_PATH, STREAM_PREFIX
from twinleg_sims.faults import FaultRequest, Faults
from twinleg_sims.matching import Side
from twinleg_sims.protocol import Close, Frame, HttpReply, HttpRequest, Out, Ping, Refuse
from twinleg_sims.world import World

START_MS = 1_790_425_440_000
"""12:24:00 UTC, a full minute."""
USER_AGENT = {"user-agent": "test"}
SIDES: tuple[tuple[str, Side], ...] = (("b", "bid"), ("a", "ask"))


class Client:
    """One core over one small world. Pings are answered unless `answers_pings` is off."""

    def __init__(self, seed: int = 7, assets: int = 2, start_ms: int = START_MS) -> None:
        self.world = World(seed, assets, start_ms)
        self.faults = Faults()
        self.core = ExtendedCore(self.world, self.faults)
        self.frames: dict[int, list[dict[str, Any]]] = {}
        self.payloads: list[bytes] = []
        self.pings: list[tuple[int, int]] = []
        self.closes: list[Close] = []
        self.answers_pings = True
        self._requests = 0

    @property
    def now_ms(self) -> int:
        return self.world.now_ms

    def get(
        self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, peer: str = "a"
    ) -> HttpReply:
        """Ask for `path`, query included."""
        path, _, query = path.partition("?")
        pairs = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]
        headers = USER_AGENT if headers is None else headers
        return self.core.http(HttpRequest(method, path, pairs, headers, b"", peer), self.now_ms)

    def data(self, path: str) -> Any:
        """The data of a success below /api/v1."""
        reply = self.get("/api/v1" + path)
        body = json.loads(reply.body)
        assert (reply.status, body["status"]) == (200, "OK"), body
        return body["data"]

    def open(self, path: str, headers: dict[str, str] | None = None) -> Refuse | None:
        """Open connection number 1, 2, ..., v1 by a path below the stream prefix, v2 by RPC_PATH."""
        number = len(self.frames) + 1
        path, _, query = path.partition("?")
        pairs = [(query.partition("=")[0], query.partition("=")[2])] if query else []
        full = path if path == RPC_PATH else STREAM_PREFIX + path
        request = HttpRequest("GET", full, pairs, USER_AGENT if headers is None else headers)
        outs = self.core.ws_open(number, request, self.now_ms)
        if outs and isinstance(outs[0], Refuse):
            assert len(outs) == 1
            return outs[0]
        self.frames[number] = []
        self._take(outs)
        return None

    def send(self, message: object, number: int = 1) -> list[dict[str, Any]]:
        """Send a v2 request; everything that is sent back at once."""
        before = len(self.frames[number])
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._take(self.core.ws_message(number, payload, self.now_ms))
        return self.frames[number][before:]

    def call(self, method: str, number: int = 1, **params: object) -> list[dict[str, Any]]:
        """A well-formed v2 request."""
        self._requests += 1
        request: dict[str, object] = {"id": str(self._requests), "jsonrpc": "2.0", "method": method}
        return self.send(request | ({"params": params} if params else {}), number)

    def subscribe(self, scope: str, number: int = 1, **selector: object) -> list[dict[str, Any]]:
        """Subscribe on a v2 connection."""
        return self.call("subscribe", number, scope=scope, selector=selector)

    def run(self, duration_ms: int, step_ms: int = 100, each: Callable[[], None] | None = None) -> None:
        """Let time pass in steps."""
        for _ in range(duration_ms // step_ms):
            self.world.advance(self.now_ms + step_ms)
            self._take(self.core.advance(self.now_ms))
            if each is not None:
                each()

    def fault(self, kind: str, market: str = "", for_s: float | None = None) -> None:
        """Switch a fault on."""
        self.faults.add(FaultRequest(kind, "extended", market, for_s=for_s), self.now_ms)

    def of(self, subscription: str, number: int = 1) -> list[dict[str, Any]]:
        """The frames of one v2 topic."""
        return [frame for frame in self.frames[number] if frame.get("subscription") == subscription]

    def _take(self, outs: list[Out]) -> None:
        for out in outs:
            match out:
                case Frame():
                    self.payloads.append(out.payload)
                    self.frames[out.connection].append(json.loads(out.payload))
                case Ping():
                    self.pings.append((out.connection, self.now_ms))
                    if self.answers_pings:
                        self.core.ws_pong(out.connection, self.now_ms)
                case Close():
                    self.closes.append(out)
                case Refuse():
                    raise AssertionError("an open stream cannot be refused")


class ClientBook:
    """A book kept from frames, sizes by side and price; every change must agree with what it changes."""

    def __init__(self) -> None:
        self.sizes: dict[str, dict[Decimal, Decimal]] = {}

    def apply(self, data: dict[str, Any]) -> None:
        """Take in one snapshot or change."""
        if data["t"] == "SNAPSHOT":
            self.sizes = {key: {Decimal(row["p"]): Decimal(row["q"]) for row in data[key]} for key, _ in SIDES}
            return
        for key, _ in SIDES:
            for row in data[key]:
                price, size = Decimal(row["p"]), Decimal(row["c"])
                assert self.sizes[key].get(price, Decimal(0)) + Decimal(row["q"]) == size
                self.sizes[key][price] = size
                if not size:
                    del self.sizes[key][price]

    @property
    def crossed(self) -> bool:
        return max(self.sizes["b"]) >= min(self.sizes["a"])


def world_sizes(client: Client, market: str) -> dict[str, dict[Decimal, Decimal]]:
    """The engine's own book, as a client would keep it."""
    sim = client.world.market("extended", market)
    text = sim.listing
    return {
        key: {Decimal(text.price_text(ticks)): Decimal(text.size_text(lots)) for ticks, lots in sim.book.levels(side)}
        for key, side in SIDES
    }

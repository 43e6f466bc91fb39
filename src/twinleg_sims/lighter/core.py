"""Lighter as a Core: its public protocol over the world, without sockets, clock or tasks."""

from __future__ import annotations

from twinleg_sims.faults import Faults
from twinleg_sims.lighter import facts, rest, wire
from twinleg_sims.lighter.facts import STANDARD, Limits
from twinleg_sims.lighter.streams import Streams
from twinleg_sims.lighter.view import View
from twinleg_sims.limiter import Limiter
from twinleg_sims.listings import LIGHTER
from twinleg_sims.protocol import AccountError, AccountRequest, HttpReply, HttpRequest, Out
from twinleg_sims.world import World


class LighterCore:
    """One Lighter server. `limits` are the budgets of every client (all of them are keyless)."""

    def __init__(self, world: World, faults: Faults, limits: Limits = STANDARD) -> None:
        self.name = LIGHTER
        self._view = View(world, faults)
        self._limits = limits
        self._requests = Limiter(limits.requests)
        self._streams = Streams(self._view, limits)

    def http(self, request: HttpRequest, now_ms: int) -> HttpReply:
        name = request.path.removeprefix("/api/v1/")
        weight = facts.WEIGHTS.get(name, facts.DEFAULT_WEIGHT) if self._limits.weighted else 1
        if not self._requests.admit(request.peer, now_ms, weight):
            return HttpReply(429, wire.error(facts.TOO_MANY_REQUESTS, "Too Many Requests!"))
        return rest.answer(self._view, request, now_ms)

    def ws_open(self, connection: int, request: HttpRequest, now_ms: int) -> list[Out]:
        return self._streams.open(connection, request, now_ms)

    def ws_message(self, connection: int, payload: bytes, now_ms: int) -> list[Out]:
        return self._streams.message(connection, payload, now_ms)

    def ws_ping(self, connection: int, now_ms: int) -> None:
        self._streams.heard(connection, now_ms)

    def ws_pong(self, connection: int, now_ms: int) -> None:
        self._streams.heard(connection, now_ms)

    def ws_closed(self, connection: int) -> None:
        self._streams.closed(connection)

    def advance(self, now_ms: int) -> list[Out]:
        self._view.advance(now_ms)
        return self._streams.advance(now_ms)

    def open_account(self, asked: AccountRequest) -> dict[str, object]:
        raise AccountError(f"no account for {asked.name!r}: Lighter's private side is not simulated yet")

"""Lighter as a Core: its public and private protocol over the world, without sockets, clock or tasks."""

from __future__ import annotations

from twinleg_sims.accounts import Accounts
from twinleg_sims.faults import Faults
from twinleg_sims.lighter import facts, rest, wire
from twinleg_sims.lighter.deals import resting_index
from twinleg_sims.lighter.facts import STANDARD, Limits
from twinleg_sims.lighter.gate import Setup
from twinleg_sims.lighter.private import Private
from twinleg_sims.lighter.private_rest import PrivateRest
from twinleg_sims.lighter.streams import Streams
from twinleg_sims.lighter.view import View
from twinleg_sims.limiter import Limiter
from twinleg_sims.listings import LIGHTER
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import Order
from twinleg_sims.protocol import AccountRequest, HttpReply, HttpRequest, Out
from twinleg_sims.world import World


class LighterCore:
    """One Lighter server. `limits` are the budgets of clients without keys; those of accounts come with their tier."""

    def __init__(self, world: World, faults: Faults, limits: Limits = STANDARD, setup: Setup | None = None) -> None:
        self.name = LIGHTER
        self._view = View(world, faults)
        self._limits = limits
        self._requests = Limiter(limits.requests)
        self._private = Private(self._view, setup or Setup(), limits.tier_scale)
        self._view.trade_row = self._private.deals.row
        self._view.order_index = self._order_index
        self._private_rest = PrivateRest(self._private)
        self._streams = Streams(self._private, limits)

    def http(self, request: HttpRequest, now_ms: int) -> HttpReply:
        self._private.advance(now_ms)
        name = request.path.removeprefix("/api/v1/")
        if not self._admitted(name, request, now_ms):
            return HttpReply(429, wire.error(facts.TOO_MANY_REQUESTS, "Too Many Requests!"))
        if self._private_rest.knows(name):
            return self._private_rest.answer(name, request, now_ms)
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
        self._private.advance(now_ms)
        return self._streams.advance(now_ms)

    def open_account(self, asked: AccountRequest) -> dict[str, object]:
        return self._private.open_account(asked)

    @property
    def accounts(self) -> Accounts:
        """The engine's side of every account, for tests and faults; an account's index is WORLD_ACCOUNTS and its id."""
        return self._private.accounts

    def _admitted(self, name: str, request: HttpRequest, now_ms: int) -> bool:
        """Whether a request is within its budget: its wallet's if it is some account's, else its address's."""
        wallet = self._private_rest.payer(name, request)
        weight = facts.WEIGHTS.get(name, facts.DEFAULT_WEIGHT)
        if wallet is None:
            return self._requests.admit(request.peer, now_ms, weight if self._limits.weighted else 1)
        return wallet.requests.admit("", now_ms, weight if wallet.terms.weighted else 1)

    def _order_index(self, market: SimMarket, order: Order) -> int | None:
        user = self._private.users.find(facts.WORLD_ACCOUNTS + order.owner)
        return resting_index(user, market, order.id)

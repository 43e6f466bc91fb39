"""Extended's server side over a world: REST and both streams, as an object without sockets, clock or tasks."""

from __future__ import annotations

from twinleg_sims.accounts import Accounts
from twinleg_sims.extended import facts
from twinleg_sims.extended.facts import STANDARD, USUAL, Conduct, ErrorCode, Limits
from twinleg_sims.extended.feed import VENUE, MarketFeed
from twinleg_sims.extended.past import Past
from twinleg_sims.extended.private import PREFIXES, Private
from twinleg_sims.extended.replies import RefusedError
from twinleg_sims.extended.rest import PublicRest
from twinleg_sims.extended.streams import Streams
from twinleg_sims.faults import Faults
from twinleg_sims.limiter import Limiter
from twinleg_sims.protocol import AccountRequest, HttpReply, HttpRequest, Out, Refuse
from twinleg_sims.world import World


class ExtendedCore:
    """A Core (see protocol.py). `faults` is asked for what only a core can show: vanish, crossed, stale book, clock."""

    name = VENUE

    def __init__(self, world: World, faults: Faults, limits: Limits = STANDARD, conduct: Conduct = USUAL) -> None:
        now_ms = world.now_ms
        markets = world.markets(VENUE)
        feeds = {market.symbol: MarketFeed(market, n, faults, now_ms) for n, market in enumerate(markets, 1)}
        self._pasts = {market.symbol: Past(market, now_ms) for market in markets}
        self._rest = PublicRest(feeds, self._pasts, faults)
        workers = {name: feed.worker for name, feed in feeds.items()}
        self._private = Private(world, faults, conduct, workers)
        self._streams = Streams(feeds, self._pasts, faults, limits, self._private)
        self._limiter = Limiter(limits.requests)

    def http(self, request: HttpRequest, now_ms: int) -> HttpReply:
        """Answer a request; every refusal is an error body."""
        try:
            return self._answer(request, now_ms)
        except RefusedError as refused:
            return refused.reply

    def ws_open(self, connection: int, request: HttpRequest, now_ms: int) -> list[Out]:
        """Accept a stream, or refuse its upgrade with the reply an HTTP request would get."""
        try:
            _need_user_agent(request)
            return self._streams.open(connection, request, now_ms)
        except RefusedError as refused:
            return [Refuse(connection, refused.reply)]

    def ws_message(self, connection: int, payload: bytes, now_ms: int) -> list[Out]:
        """A v2 request."""
        return self._streams.message(connection, payload, now_ms)

    def ws_ping(self, connection: int, now_ms: int) -> None:
        """The client's own pings prove nothing: the venue waits for pongs to its pings."""

    def ws_pong(self, connection: int, now_ms: int) -> None:
        """The client lives."""
        del now_ms
        self._streams.pong(connection)

    def ws_closed(self, connection: int) -> None:
        """A connection is gone."""
        self._streams.closed(connection)

    def advance(self, now_ms: int) -> list[Out]:
        """Publish what the world did until `now_ms`."""
        for past in self._pasts.values():
            past.advance(now_ms)
        return self._streams.advance(now_ms)

    def open_account(self, asked: AccountRequest) -> dict[str, object]:
        """A funded account; the answer is all that a client of the official SDK is made from."""
        return self._private.open_account(asked)

    @property
    def accounts(self) -> Accounts:
        """The engine's side of every account, for tests and faults."""
        return self._private.accounts

    def _answer(self, request: HttpRequest, now_ms: int) -> HttpReply:
        """Admission first, then the private door, then the public endpoints."""
        _need_user_agent(request)
        if not self._limiter.admit(request.peer, now_ms):
            raise RefusedError(429, ErrorCode.TOO_MANY_REQUESTS, "Too many requests")
        segments = request.path.removeprefix(facts.REST_PREFIX).strip("/").split("/")
        if segments[0] in PREFIXES:
            return self._private.answer(segments, request, now_ms)
        if request.method != "GET" or not request.path.startswith(facts.REST_PREFIX + "/"):
            raise RefusedError(404, ErrorCode.NOT_FOUND, f"no such endpoint: {request.method} {request.path}")
        return self._rest.get(segments, request, now_ms)


def _need_user_agent(request: HttpRequest) -> None:
    """The documentation demands one for REST and for stream upgrades; how it is refused is assumed."""
    if not request.headers.get("user-agent"):
        raise RefusedError(403, ErrorCode.FORBIDDEN, "User-Agent is missing")

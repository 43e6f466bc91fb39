"""Extended as a core.venue.Venue: which reads and which connections make up its public side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote, urlencode

from twinleg.core.messages import Market
from twinleg.core.subscriptions import Pace
from twinleg.core.venue import Feed, Read, Request
from twinleg.venues.extended import facts, reads
from twinleg.venues.extended.feed import ExtendedFeed

STREAM_ROOM = "/stream.extended.exchange"
RPC_PATH = "/v2/rpc"


class ExtendedVenue:
    """`rest_url` such as "https://api.starknet.extended.exchange", `stream_url` the same host with wss://.

    Both are taken as the venue's pages write them: with or without "/api/v1", the stream with or without its path.
    """

    name = facts.NAME
    capabilities = facts.CAPABILITIES
    limits = facts.LIMITS

    def __init__(self, rest_url: str, stream_url: str) -> None:
        self._rest_url = rest_url.rstrip("/").removesuffix("/api/v1") + "/api/v1"
        self._stream_url = rpc_url(stream_url)

    def list_markets(self) -> Read:
        """All facts of all markets in one request."""
        return Read(self._get("/info/markets"), reads.markets_listed)

    def feeds(self, markets: Sequence[Market]) -> list[Feed]:
        """Up to BOOKS_PER_CONNECTION books per connection, prices and funding of all markets on the first."""
        size = facts.BOOKS_PER_CONNECTION
        shards = [markets[start : start + size] for start in range(0, len(markets), size)]
        if not shards:
            return []
        pace = Pace(
            messages_per_minute=max(1, facts.FEED_MESSAGES_PER_MINUTE // len(shards)),
            in_flight_max=max(1, facts.UNANSWERED_MAX // len(shards)),
            answer_ms_max=facts.ANSWER_MS_MAX,
        )
        return [
            ExtendedFeed(f"books-{number}", self._stream_url, shard, () if number else markets, pace)
            for number, shard in enumerate(shards)
        ]

    def funding_now(self, markets: Sequence[Market]) -> list[Read]:
        """One request for all markets."""
        keys = {market.symbol: market.key for market in markets}
        return [Read(self._get("/info/markets"), partial(reads.funding_now, keys))]

    def funding_history(self, market: Market, since_ms: int, until_ms: int) -> Read:
        """Hourly rates; at most the last HISTORY_ROWS_MAX hours before `until_ms`."""
        query = {"startTime": since_ms, "endTime": until_ms, "limit": facts.HISTORY_ROWS_MAX}
        path = f"/info/{quote(market.symbol, safe='')}/funding"
        return Read(self._get(path, query), partial(reads.funding_history, market.symbol, market.key))

    def clock(self) -> Read | None:
        """None: no public answer carries the venue's time."""
        return None

    def _get(self, path: str, query: dict[str, int] | None = None) -> Request:
        url = self._rest_url + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "User-Agent": facts.USER_AGENT}
        return Request(venue=self.name, method="GET", url=url, headers=headers)


def rpc_url(stream_url: str) -> str:
    """The v2 RPC address for a bare host, a host with "/api/v1", a v1 or v2 stream address, or itself."""
    stream_url = stream_url.rstrip("/")
    return stream_url if stream_url.endswith(RPC_PATH) else _stream_room(stream_url) + RPC_PATH


def account_url(stream_url: str) -> str:
    """The account's stream (v1, a connection of its own) for the same."""
    return _stream_room(stream_url.rstrip("/").removesuffix(RPC_PATH)) + "/v1/account"


def _stream_room(stream_url: str) -> str:
    return stream_url.partition(STREAM_ROOM)[0].removesuffix("/api/v1") + STREAM_ROOM

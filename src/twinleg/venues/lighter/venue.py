"""Lighter as a core.venue.Venue: which reads and which connections make up its public side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import urlencode

from twinleg.core.messages import Market
from twinleg.core.subscriptions import Pace
from twinleg.core.venue import Feed, Read, Request
from twinleg.venues.lighter import facts, reads
from twinleg.venues.lighter.feed import LighterFeed


def rest_base(url: str) -> str:
    """The REST base, given with or without its version."""
    return url.rstrip("/").removesuffix("/api/v1")


def stream_address(url: str) -> str:
    """The stream's address, given with or without its path."""
    return url.rstrip("/").removesuffix("/stream") + "/stream"


class LighterVenue:
    """`rest_url` such as "https://mainnet.zklighter.elliot.ai", `stream_url` such as "wss://.../stream"."""

    name = facts.NAME
    capabilities = facts.CAPABILITIES
    limits = facts.LIMITS

    def __init__(self, rest_url: str, stream_url: str) -> None:
        self._rest_url = rest_base(rest_url)
        self._stream_url = stream_address(stream_url)

    def list_markets(self) -> Read:
        """All facts of all markets in one request."""
        return Read(self._get("/api/v1/orderBookDetails"), reads.markets_listed)

    def feeds(self, markets: Sequence[Market]) -> list[Feed]:
        """Up to BOOKS_PER_CONNECTION books per connection, the stats of all markets on the first."""
        size = facts.BOOKS_PER_CONNECTION
        shards = [markets[start : start + size] for start in range(0, len(markets), size)]
        if not shards:
            return []
        pace = Pace(
            messages_per_minute=max(1, facts.FEED_MESSAGES_PER_MINUTE // len(shards)),
            in_flight_max=max(1, facts.UNANSWERED_MAX // len(shards)),
            answer_ms_max=facts.ANSWER_MS_MAX,
            messages_per_repeat=2,
        )
        return [
            LighterFeed(f"books-{number}", self._stream_url, shard, () if number else markets, pace)
            for number, shard in enumerate(shards)
        ]

    def funding_now(self, markets: Sequence[Market]) -> list[Read]:
        """One request for all markets."""
        keys = {int(market.native_id): market.key for market in markets}
        return [Read(self._get("/api/v1/funding-rates"), partial(reads.funding_rates, keys))]

    def funding_history(self, market: Market, since_ms: int, until_ms: int) -> Read:
        """Hourly rates; at most the last HISTORY_HOURS_MAX hours before `until_ms`."""
        since_ms = max(since_ms, until_ms - facts.HISTORY_HOURS_MAX * facts.HOUR_MS)
        query: dict[str, str | int] = {
            "market_id": market.native_id,
            "resolution": "1h",
            "start_timestamp": since_ms,
            "end_timestamp": until_ms,
            "count_back": max(1, -(-(until_ms - since_ms) // facts.HOUR_MS)),
        }
        return Read(self._get("/api/v1/fundings", query), partial(reads.funding_history, market.key))

    def clock(self) -> Read | None:
        """The venue's clock in whole seconds."""
        return Read(self._get("/"), reads.venue_clock)

    def _get(self, path: str, query: dict[str, str | int] | None = None) -> Request:
        url = self._rest_url + path + (f"?{urlencode(query)}" if query else "")
        return Request(venue=self.name, method="GET", url=url, headers={"Accept": "application/json"})

"""Drift as a core.venue.Venue: which reads and which connections make up its public side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote, urlencode

import msgspec

from twinleg.core.messages import Market
from twinleg.core.subscriptions import Pace
from twinleg.core.venue import Feed, Read, Request
from twinleg.venues.drift import facts, reads
from twinleg.venues.drift.chain.slots import SlotClock
from twinleg.venues.drift.facts import DRIFT_V2, Profile
from twinleg.venues.drift.feed import DriftFeed

ACCOUNTS_PER_READ = 100
"""Of getMultipleAccounts (Solana's RPC documentation)."""


class DriftVenue:
    """`rpc_url` is a Solana RPC endpoint, `dlob_url` the book server (https:// or http://; its stream is beside it).

    `data_url` is where funding history is read; None where the profile knows nobody who serves it.
    """

    name = facts.NAME
    limits = facts.LIMITS

    def __init__(self, rpc_url: str, dlob_url: str, profile: Profile = DRIFT_V2, data_url: str | None = None) -> None:
        self.profile = profile
        self.slots = SlotClock()
        self._rpc_url = rpc_url
        self._stream_url = stream_address(dlob_url)
        self._data_url = data_url
        self.capabilities = msgspec.structs.replace(facts.CAPABILITIES, funding_history=data_url is not None)

    def list_markets(self) -> Read:
        """All facts of all markets in one request."""
        return Read(self._rpc(reads.listing_calls(self.profile)), partial(reads.markets_listed, self.profile))

    def feeds(self, markets: Sequence[Market]) -> list[Feed]:
        """Up to BOOKS_PER_CONNECTION markets per connection."""
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
            DriftFeed(f"books-{number}", self._stream_url, shard, pace, self.slots)
            for number, shard in enumerate(shards)
        ]

    def funding_now(self, markets: Sequence[Market]) -> list[Read]:
        """The program's own averages of up to ACCOUNTS_PER_READ markets a request."""
        found = []
        for start in range(0, len(markets), ACCOUNTS_PER_READ):
            chunk = {
                reads.perp_market_address(self.profile, int(market.native_id)): market.key
                for market in markets[start : start + ACCOUNTS_PER_READ]
            }
            found.append(Read(self._rpc(reads.rates_calls(chunk)), partial(reads.funding_now, self.profile, chunk)))
        return found

    def funding_history(self, market: Market, since_ms: int, until_ms: int) -> Read:
        """The newest HISTORY_ROWS_MAX hours. Raises ValueError where nobody serves them (see `capabilities`)."""
        if self._data_url is None:
            raise ValueError(f"nobody serves the funding history of {self.profile.name}")
        query = urlencode({"limit": min(facts.HISTORY_ROWS_MAX, max(1, -(-(until_ms - since_ms) // facts.HOUR_MS)))})
        url = f"{self._data_url.rstrip('/')}/market/{quote(market.symbol, safe='')}/fundingRates?{query}"
        request = Request(venue=self.name, method="GET", url=url, headers={"Accept": "application/json"})
        return Read(request, partial(reads.funding_history, market.key))

    def clock(self) -> Read | None:
        """The chain's clock, which the program judges expiries by."""
        return Read(self._rpc(reads.clock_calls()), reads.venue_clock)

    def _rpc(self, body: bytes) -> Request:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return Request(venue=self.name, method="POST", url=self._rpc_url, headers=headers, body=body)


def stream_address(dlob_url: str) -> str:
    """The book stream's address, for an address of the server with http(s):// or ws(s)://, with its path or without."""
    url = dlob_url.rstrip("/").removesuffix("/ws")
    scheme, _, rest = url.partition("://")
    return f"{ {'http': 'ws', 'https': 'wss'}.get(scheme, scheme) }://{rest}/ws"


def rpc_stream_address(rpc_url: str) -> str:
    """A node's stream: the same address for wss://, but the next port where one is given (Solana's convention)."""
    scheme, _, rest = rpc_url.partition("://")
    host, slash, path = rest.partition("/")
    name, colon, port = host.rpartition(":")
    if colon and port.isdecimal():
        host = f"{name}:{int(port) + 1}"
    return f"{'wss' if scheme == 'https' else 'ws'}://{host}{slash}{path}"

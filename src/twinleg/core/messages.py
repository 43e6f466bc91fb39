"""The frozen words passed between rooms: market events in, effects out.

Times: `_ms` is wall time in epoch milliseconds, `_ns` our own monotonic clock. Prices are in ticks, sizes in lots of
the market named by `market` (see amounts.Grid). Funding rates are signed fractions per hour, positive = longs pay
shorts.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from twinleg.core.amounts import Grid

Level = tuple[int, int]
"""(price in ticks, size in lots)."""


class Refusal(msgspec.Struct, frozen=True):
    """Why something is not done, as data: a stable code, a sentence, and a number with its limit if there is one."""

    code: str
    detail: str
    value: float | None = None
    limit: float | None = None


class MarketStatus(Enum):
    """What a venue lets us do in a market."""

    OPEN = "open"
    REDUCE_ONLY = "reduce_only"
    CLOSED = "closed"
    UNKNOWN = "unknown"
    """The venue used a word we do not know: treated as CLOSED for entries, and said so."""


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one market. `key` is "venue:symbol" and names the market in every event."""

    key: str
    venue: str
    symbol: str
    """As the venue's own API writes it: "ETH", "BTC-USD"."""
    native_id: str
    """What the venue's streams and orders call it: a market index or again the symbol."""
    base: str
    """The base asset as the venue writes it, multiplier included: "1000PEPE"."""
    quote: str
    status: MarketStatus
    excluded: str | None = None
    """Why this market is left out by default (RFQ, trading hours, pre-launch, not a perpetual), else None."""
    price_grid: Grid
    size_grid: Grid
    min_size_lots: int
    min_notional_usd: float = 0.0
    maker_fee_bps: float | None
    taker_fee_bps: float | None
    """None when nobody says: such a market is refused, never ranked with zero."""
    fees_assumed: bool = True
    """The fees are the venue's public base tier; False = what our own account pays."""
    post_only: bool = True
    """Orders that must not take can rest here."""
    taker_delay_ms: int
    funding_interval_ms: int
    max_leverage: float | None = None
    maintenance_margin_fraction: float | None = None
    settlement: str = ""
    """What the venue's signer must know of the market, in that venue's own words; empty where it needs nothing."""


class MarketsListed(msgspec.Struct, frozen=True, gc=False):
    """A venue's whole list of markets. A market that was there before and is not now has vanished."""

    venue: str
    markets: tuple[Market, ...]
    at_ms: int


class BookSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A whole book, in any order."""

    market: str
    bids: list[Level]
    asks: list[Level]
    venue_ms: int
    received_ns: int


class BookDelta(msgspec.Struct, frozen=True, gc=False):
    """Changed levels with their new absolute size; zero lots remove the level. Continuity is already checked."""

    market: str
    bids: list[Level]
    asks: list[Level]
    venue_ms: int
    received_ns: int


class BookLost(msgspec.Struct, frozen=True, gc=False):
    """The book of `market` can no longer be trusted (gap, disconnect, silence, bad frame) until its next snapshot."""

    market: str
    reason: str
    received_ns: int


class Stats(msgspec.Struct, frozen=True, gc=False):
    """Reference prices in quote currency (estimates, hence floats). None = this message did not say."""

    market: str
    mark_price: float | None
    index_price: float | None
    open_interest_usd: float | None
    venue_ms: int
    received_ns: int


class FundingSource(Enum):
    """Where a funding rate was read: independent readings of one rate are compared by the unit self-check."""

    STREAM = "stream"
    REST = "rest"
    HISTORY = "history"


class FundingPredicted(msgspec.Struct, frozen=True, gc=False):
    """The venue's estimate of the rate that will be charged at `settles_at_ms`. Not yet money."""

    market: str
    rate_per_hour: float
    settles_at_ms: int
    source: FundingSource
    venue_ms: int


class FundingSettled(msgspec.Struct, frozen=True, gc=False):
    """A rate charged at `settled_at_ms` for the `interval_hours` before it, on `price` where the venue says which."""

    market: str
    rate_per_hour: float
    interval_hours: float
    price: float | None
    settled_at_ms: int
    source: FundingSource


class TradePrint(msgspec.Struct, frozen=True, gc=False):
    """A public trade. `taker_buys` is the aggressor's side."""

    market: str
    trade_id: str
    price_ticks: int
    size_lots: int
    taker_buys: bool
    venue_ms: int


class StreamState(Enum):
    """The life of one connection to a venue."""

    CONNECTING = "connecting"
    LIVE = "live"
    DEGRADED = "degraded"
    """Connected, but some of it is not as it should be: the reason says what."""
    DOWN = "down"


class FeedHealth(msgspec.Struct, frozen=True, gc=False):
    """A connection changed state. `stream` names it within the venue ("books-0")."""

    venue: str
    stream: str
    state: StreamState
    reason: str
    at_ms: int


class VenueClock(msgspec.Struct, frozen=True, gc=False):
    """How far the venue's clock is ahead of ours, measured over a request: never better than half the round trip."""

    venue: str
    offset_ms: int
    round_trip_ms: int
    at_ms: int


MarketEvent = (
    MarketsListed
    | BookSnapshot
    | BookDelta
    | BookLost
    | Stats
    | FundingPredicted
    | FundingSettled
    | TradePrint
    | FeedHealth
    | VenueClock
)
"""Everything a venue's public side can tell."""

"""What a person or a program wants to see of the running engine, as data: made once a second, shown by every face."""

from __future__ import annotations

import msgspec

from twinleg.core.board import Standing
from twinleg.core.edge import Opportunity
from twinleg.core.messages import FeedHealth, Refusal


class TradeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One open or lately closed trade. Money in USD; parts add up: price + slippage + funding - fees = net.

    `price_usd` and `net_usd` are None while what is held has no price.
    """

    trade_id: str
    asset: str
    long_market: str
    short_market: str
    state: str
    paper: bool
    opened_ms: int
    closed_ms: int | None
    notional_usd: float
    long_lots: int
    short_lots: int
    net_delta_usd: float
    """Long minus short at the mids: what the trade is not hedged for."""
    unhedged_ms: int
    """How long its legs have differed in total."""
    price_usd: float | None
    slippage_usd: float
    funding_usd: float
    fees_usd: float
    net_usd: float | None
    exit_usd: float | None
    """Net after closing at today's prices and fees; None while a book is unknown, or when it is closed."""
    expected_usd: float
    next_settlement_ms: int | None
    exit_reason: str | None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Since the engine started, except money, which is since the journal began."""

    found: int
    """Pairs that became viable (counted once each time)."""
    executed: int
    closed: int
    refused: dict[str, int]
    """Pair-seconds by refusal code, of viable pairs that were not executed."""
    volume_usd: float
    price_usd: float | None
    slippage_usd: float
    funding_usd: float
    fees_usd: float
    net_usd: float | None
    best_edge_bps: float | None
    events: int
    decision_us_p50: float | None
    """From a book message's arrival to its pairs being judged."""
    decision_us_p99: float | None


class VenueLine(msgspec.Struct, frozen=True, kw_only=True):
    """One venue in short. Counts of its markets in pairs."""

    venue: str
    trouble: str | None
    markets: int
    books_ready: int
    units_agreed: int
    units_disagreed: int
    clock_offset_ms: int | None


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """The whole picture at one moment."""

    at_ms: int
    mode: str
    uptime_ms: int
    venues: tuple[VenueLine, ...]
    feeds: tuple[FeedHealth, ...]
    ranking: tuple[Opportunity, ...]
    """Known in full, executable first, then by money."""
    standing: tuple[Standing, ...]
    """Pairs not walked, best bound first, with their reasons."""
    trades: tuple[TradeLine, ...]
    """Open trades, then the last closed ones."""
    totals: Totals
    blocked: tuple[Refusal, ...]
    """Why no trade at all may be opened now; empty = entries are allowed."""

"""The shape every venue has, so that no room outside its folder needs to know its name.

Venues are protocol code without sockets: bytes and times in, events and requests out. `runtime` owns the sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from twinleg.core.messages import Market, MarketEvent


class WireError(ValueError):
    """The venue sent something we cannot trust: not JSON, missing or impossible fields, an error body, HTML."""


class Credential(str):
    """A header's value that opens an account: sent as it is, shown by no repr (of a Request neither)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's public side has. Tests that need a missing capability are skipped by this declaration alone."""

    deltas: bool
    """Books arrive as a snapshot and changes (else whole snapshots every time)."""
    sequence: bool
    """Book messages carry a continuity number, so that a lost message is detected."""
    sequence_per_connection: bool
    """The continuity number spans all topics of a connection: one gap loses every book on it."""
    crossed_books_normal: bool
    """The venue shows crossing interest (auctions) in its book; the crossing part is removed before use."""
    trades: bool
    funding_history: bool


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's published budgets; the runtime spends them. See the venue's facts.py for source and date."""

    requests_per_minute: int
    stream_messages_per_minute: int
    connects_per_minute: int
    messages_in_flight: int
    frame_bytes_max: int
    inflated_bytes_max: int
    silence_ms_max: int
    """No frame for this long on an open connection means it is dead, whatever TCP says."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request as data. `url` is complete. `reduces_risk` may use the reserved part of the budget."""

    venue: str
    method: str
    url: str
    headers: dict[str, str] = {}
    body: bytes | None = None
    weight: int = 1
    reduces_risk: bool = False


class Read(msgspec.Struct, frozen=True):
    """A request and how to read its answer: `parse(body, now_ms)` gives events or raises WireError."""

    request: Request
    parse: Callable[[bytes, int], list[MarketEvent]]


class Feed(Protocol):
    """One stream connection's protocol, without its socket. Never raises on what a venue sends.

    The runtime sends what lies in `outbox` (and empties it) after each call, paced by the venue's Limits, and
    reconnects when `broken` is set. After `closed`, the same object is opened again: it must start from nothing.
    """

    name: str
    url: str
    headers: dict[str, str]
    markets: tuple[str, ...]
    outbox: list[bytes]
    broken: str | None
    bad_frames: int
    """Frames refused so far (malformed, unknown market, off the grid): shown in health, never fatal by themselves."""
    unknown_words: int
    """Unknown channels, enum values or message types met so far: ignored, counted."""

    def opened(self, now_ms: int) -> list[MarketEvent]: ...
    def received(self, payload: bytes | memoryview, received_ns: int, now_ms: int) -> list[MarketEvent]: ...
    def timer(self, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """Called about once a second: heartbeats to send, resyncs that got no answer."""
        ...

    def closed(self, reason: str, received_ns: int, now_ms: int) -> list[MarketEvent]:
        """The connection is gone: every book on it is lost."""
        ...

    def resync(self, market: str) -> None:
        """Ask for a fresh snapshot of one market (the engine found its book crossed or implausible)."""
        ...


class Venue(Protocol):
    """A venue's public side. Built by runtime.wiring from settings; pure data and functions."""

    name: str
    capabilities: Capabilities
    limits: Limits

    def list_markets(self) -> Read: ...
    def feeds(self, markets: Sequence[Market]) -> list[Feed]:
        """The connections that together carry books, stats, funding and trades of `markets`, books first."""
        ...

    def funding_now(self, markets: Sequence[Market]) -> list[Read]:
        """REST readings of the current rate, independent of the stream (FundingPredicted with source REST)."""
        ...

    def funding_history(self, market: Market, since_ms: int, until_ms: int) -> Read:
        """Settled rates of one market (FundingSettled with source HISTORY), oldest first."""
        ...

    def clock(self) -> Read | None:
        """A cheap read whose answer carries the venue's time (VenueClock with our own time as the reference)."""
        ...

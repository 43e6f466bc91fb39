"""What a venue's core is to its shell: an object without sockets, clock or tasks. Requests and times in, frames out.

The very same object runs under the thin server (server.py) in real time and inside a fault simulator in virtual time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import msgspec


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `path` has no query; header names are lower case; `peer` is the client's address."""

    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str = "127.0.0.1"

    def first(self, name: str) -> str | None:
        """The first value of a query parameter, None when it is absent."""
        return next((value for key, value in self.query if key == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of a repeated query parameter."""
        return [value for key, value in self.query if key == name]


RESET = 0


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One answer. The shell holds it back for `delay_ms` of real time; status RESET breaks the connection instead."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One text message. `topic` ("book", "trades", "stats", "funding", ...) and `market` (the venue's symbol) let the

    faults find it; `snapshot` says that it opens a subscription, so that faults about updates leave it alone.
    """

    connection: int
    payload: bytes
    topic: str = ""
    market: str = ""
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """A WebSocket ping; the answer comes as `ws_pong`."""

    connection: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection with a WebSocket code and reason. The shell then calls `ws_closed`."""

    connection: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the WebSocket upgrade with a plain HTTP reply instead. Only from `ws_open`, and then alone."""

    connection: int
    reply: HttpReply


Out = Frame | Ping | Close | Refuse


class AccountError(ValueError):
    """An account that cannot be opened as asked for."""


class AccountRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An account as asked for, of the control endpoint or the command line. `wallet`: accounts of one are kin.

    `tier` is Lighter's word for fees, delays and budgets; empty is its base tier.
    """

    equity_usd: float = 100_000.0
    name: str = ""
    wallet: str = ""
    taker_bps: float | None = None
    maker_bps: float | None = None
    tier: str = ""


class Core(Protocol):
    """A venue's server side. Times are virtual epoch milliseconds and never go back."""

    name: str

    def http(self, request: HttpRequest, now_ms: int) -> HttpReply: ...
    def ws_open(self, connection: int, request: HttpRequest, now_ms: int) -> list[Out]: ...
    def ws_message(self, connection: int, payload: bytes, now_ms: int) -> list[Out]: ...
    def ws_ping(self, connection: int, now_ms: int) -> None:
        """The client sent a WebSocket ping; the shell has answered it."""
        ...

    def ws_pong(self, connection: int, now_ms: int) -> None: ...
    def ws_closed(self, connection: int) -> None: ...
    def advance(self, now_ms: int) -> list[Out]:
        """What became due. The world has been advanced to `now_ms` before."""
        ...

    def open_account(self, asked: AccountRequest) -> dict[str, object]:
        """Open an account, the same one for the same seed and order of calls; all that a client needs to trade with it.

        Raises AccountError.
        """
        ...

"""The four doors to the world: clock, net, journal, dice. Everything else in the product reaches it through them.

The fault simulator replaces these four and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from twinleg.core.venue import Request


class Clock(Protocol):
    """Time, and waiting for it."""

    def wall_ms(self) -> int:
        """Epoch milliseconds."""
        ...

    def mono_ns(self) -> int:
        """Monotonic nanoseconds; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Dice(Protocol):
    """Randomness, used for back-off jitter only: nothing that is decided depends on it."""

    def uniform(self) -> float:
        """A number in [0, 1)."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """What came back. `status` is None when nothing did (timeout, reset, refused): `reason` says what happened."""

    status: int | None
    body: bytes
    reason: str = ""
    retry_after_s: float | None = None
    sent: bool = True
    """False only when certainly nothing left us: no address, no connection."""


class Stream(Protocol):
    """An open WebSocket, message by message."""

    @property
    def heard_ns(self) -> int:
        """When the peer last sent anything, pings included (the time of opening before that)."""
        ...

    def send(self, message: bytes) -> None:
        """Queue one text message. Raises ConnectionError when closed, if need be before `closed` is heard."""
        ...

    def close(self, reason: str) -> None: ...


class StreamListener(Protocol):
    """Called on the event loop by the net for one Stream, never before the opener ran on to its next await.

    `payload` is valid only during the call. After `closed`, or the owner's own `close`, no message comes.
    """

    def message(self, payload: memoryview, received_ns: int) -> None: ...
    def closed(self, reason: str) -> None:
        """Called once, whoever closed."""
        ...


class Net(Protocol):
    """Requests and streams. Never raises for what the network does: a failure is a Reply or a `closed`."""

    async def request(self, request: Request, timeout_ms: int) -> Reply: ...

    async def open_stream(
        self, url: str, headers: dict[str, str], listener: StreamListener, *, message_bytes_max: int, timeout_ms: int
    ) -> Stream | str:
        """An open stream, or the reason why there is none."""
        ...

    async def close(self) -> None:
        """Put the sockets away."""
        ...


class Record(msgspec.Struct, frozen=True):
    """One journal row. `payload` is JSON; `kind` names its type in core.ledger."""

    sequence: int
    at_ms: int
    kind: str
    trade_id: str
    payload: bytes


class Journal(Protocol):
    """Durable, append-only. `append` returns at once; what must be on disk before a send awaits `durable`."""

    def append(self, at_ms: int, kind: str, trade_id: str, payload: bytes) -> int:
        """Queue a record, return its sequence. Raises JournalError when the journal is full, read-only or behind."""
        ...

    async def durable(self, sequence: int) -> None:
        """Return once that record is committed. Raises JournalError."""
        ...

    def records(self) -> Iterator[Record]: ...
    async def close(self) -> None: ...


class JournalError(RuntimeError):
    """The journal cannot promise durability: no entries until it can."""

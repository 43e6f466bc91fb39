"""Where the desk's orders go: the shape of a gate, and all venues' gates as one."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from twinleg.core.orders import Intent, OrderEvent, OrderRejected

LOG = logging.getLogger("twinleg.gates")


class Gate(Protocol):
    """A venue, or paper. What becomes of orders comes back as order events."""

    wake: Callable[[], None]
    """Set by the desk; called when `due` has something to say that no clock could tell."""

    def prepare(self, intent: Intent, now_ms: int) -> None:
        """Get ready to send, while the intent becomes durable. Nothing leaves."""
        ...

    def submit(self, intent: Intent, now_ms: int) -> None:
        """Send, once. The intent is durable."""
        ...

    def drop(self, client_id: str, now_ms: int) -> None:
        """What was prepared is not sent after all."""
        ...

    def cancel(self, client_id: str, now_ms: int) -> None: ...
    def query(self, client_id: str, now_ms: int) -> None: ...
    def due(self, now_ms: int) -> list[OrderEvent]:
        """What has become known of our orders by now."""
        ...


class VenueGateLike(Gate, Protocol):
    """A gate of one venue."""

    def knows(self, client_id: str) -> bool:
        """Whether an order can be cancelled and read back there."""
        ...


class Gates:
    """The gates of several venues as one. For a venue without one nothing is sent, and an order's fate stays open."""

    def __init__(self, gates: Mapping[str, VenueGateLike]) -> None:
        self._gates = gates
        self._preparing: dict[str, VenueGateLike] = {}
        self._refused: deque[OrderEvent] = deque()

    @property
    def wake(self) -> Callable[[], None]:
        """See Gate."""
        return self._wake

    @wake.setter
    def wake(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        for gate in self._gates.values():
            gate.wake = wake

    def prepare(self, intent: Intent, now_ms: int) -> None:
        """See Gate."""
        gate = self._gates.get(intent.venue)
        if gate is not None:
            self._preparing[intent.client_id] = gate
            gate.prepare(intent, now_ms)

    def submit(self, intent: Intent, now_ms: int) -> None:
        """See Gate."""
        self._preparing.pop(intent.client_id, None)
        if intent.venue in self._gates:
            self._gates[intent.venue].submit(intent, now_ms)
            return
        refused = OrderRejected(intent.client_id, f"not sent: there are no keys for {intent.venue}", now_ms)
        self._refused.append(refused)
        self._wake()

    def drop(self, client_id: str, now_ms: int) -> None:
        """See Gate."""
        gate = self._preparing.pop(client_id, None)
        if gate is not None:
            gate.drop(client_id, now_ms)

    def cancel(self, client_id: str, now_ms: int) -> None:
        """See Gate."""
        gate = self._of(client_id)
        if gate is None:
            LOG.warning("%s cannot be cancelled: there are no keys for its venue", client_id)
        else:
            gate.cancel(client_id, now_ms)

    def query(self, client_id: str, now_ms: int) -> None:
        """See Gate."""
        gate = self._of(client_id)
        if gate is None:
            LOG.warning("%s cannot be read back: there are no keys for its venue", client_id)
        else:
            gate.query(client_id, now_ms)

    def due(self, now_ms: int) -> list[OrderEvent]:
        """See Gate. Raises what a gate's own code raised."""
        events, self._refused = list(self._refused), deque()
        for gate in self._gates.values():
            events += gate.due(now_ms)
        return events

    def _of(self, client_id: str) -> VenueGateLike | None:
        return next((gate for gate in self._gates.values() if gate.knows(client_id)), None)

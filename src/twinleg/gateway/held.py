"""What an account holds and has open, as its own stream tells it: complete from each connection's first words on.

Reads of callers cost the venue's budget nothing while the stream is sound. REST listings, which lag, never change this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twinleg.core.trading import IN_DOUBT, AccountSnapshot, BalanceSeen, Incident, OrderSeen, PositionSeen

KINDS = ("orders", "positions", "balance")

Rows = dict[str, Any]


class Held:
    """One account."""

    def __init__(self) -> None:
        self._rows: dict[str, Rows] = {}
        """By kind, those that are known as a whole, by name."""

    def rows(self, kind: str) -> list[Any] | None:
        """All rows of a kind ("orders", "positions", "balance"), None when they are not known as a whole."""
        found = self._rows.get(kind)
        return None if found is None else list(found.values())

    def lost(self) -> None:
        """The stream ended: nothing is known before the next one's first words."""
        self._rows = {}

    def heard(self, events: Iterable[object]) -> None:
        """What the stream tells, in its order."""
        for event in events:
            if isinstance(event, AccountSnapshot):
                if event.kind in KINDS:
                    self._rows[event.kind] = {}
                    for row in event.rows:
                        self._one(row)
            elif isinstance(event, Incident):
                if event.kind == IN_DOUBT:
                    self.lost()
            else:
                self._one(event)

    def _one(self, event: object) -> None:
        match event:
            case OrderSeen(venue_order_id=name, resting=there) if name:
                self._set("orders", name, event, there=there)
            case PositionSeen(market=name, lots=lots):
                self._set("positions", name, event, there=lots != 0)
            case BalanceSeen(venue=name):
                self._set("balance", name, event, there=True)
            case _:
                return  # fills and the rest are no state

    def _set(self, kind: str, name: str, event: object, *, there: bool) -> None:
        rows = self._rows.get(kind)
        if rows is None:
            return
        if there:
            rows[name] = event
        else:
            rows.pop(name, None)

"""A venue's answers that serve for a moment, each asked for once however many want it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twinleg.core.trading import AccountEvent, AccountRead
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.gate import VenueGate
from twinleg.runtime.ports import Clock

FRESH_NS = 1_000_000_000
"""For this long an answer serves everybody who asks the same: venues let us ask once a second or so."""


class Recent:
    """By kind of question, a handful of them."""

    def __init__(self, gate: VenueGate, clock: Clock) -> None:
        self._gate, self._clock = gate, clock
        self._kept: dict[str, tuple[int, asyncio.Task[list[AccountEvent] | Unread]]] = {}

    async def read(self, kind: str, make: Callable[[int], AccountRead]) -> list[AccountEvent] | Unread:
        """What the venue told within FRESH_NS, or tells now."""
        kept = self._kept.get(kind)
        if kept is None or (kept[1].done() and self._clock.mono_ns() - kept[0] > FRESH_NS):
            asked = asyncio.create_task(self._gate.read(make(self._clock.wall_ms())))
            kept = self._kept[kind] = self._clock.mono_ns(), asked
        return await asyncio.shield(kept[1])

    async def close(self) -> None:
        """End what is being asked."""
        tasks = [task for _, task in self._kept.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

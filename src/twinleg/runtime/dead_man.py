"""The dead man's switch: a venue cancels what rests of ours when it has not heard from us for a while.

It takes back every order of the account, whoever placed it: where others are seen, it stays off and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from twinleg.core.trading import SendVerdict
from twinleg.runtime.gate import VenueGate
from twinleg.runtime.ports import Clock

LOG = logging.getLogger("twinleg.dead_man")

AHEAD_MS = 60_000
"""It fires this long after our last word, or as soon after as the venue allows."""
RETRY_S = 5.0
REFRESHES = 3
"""How often it is set again before it would fire: two may get lost."""


class DeadMan:
    """One venue's switch. `run` keeps it armed, `disarm` lets go of it."""

    def __init__(self, gate: VenueGate, clock: Clock, others: Callable[[], str | None]) -> None:
        """`others` says whose orders it would take back besides ours, or that nobody knows yet; None = nobody's."""
        self._gate, self._clock, self._others = gate, clock, others
        self.ahead_ms = max(AHEAD_MS, 2 * gate.venue.trading.dead_man_ms_min)
        self.state = "off: not armed yet"
        self._armed = False

    async def run(self) -> None:
        """For ever."""
        if not self._gate.venue.trading.dead_man_switch:
            self.state = "the venue has none"
            return
        while True:
            await self._refresh()
            wait_s = self.ahead_ms / 1_000 / REFRESHES
            await self._clock.sleep(wait_s if self._armed else min(wait_s, RETRY_S))

    async def _refresh(self) -> None:
        others = self._others()
        if others is not None:
            await self.disarm()
            self._say(f"off: {others}")
            return
        verdict = await self._gate.dead_man_switch(self._clock.wall_ms() + self.ahead_ms)
        self._armed = self._armed or verdict is not SendVerdict.REJECTED
        self._say("armed" if verdict is SendVerdict.ACCEPTED else f"not set: {verdict.value}")

    async def disarm(self) -> None:
        """Nobody needs it any more: what rests then is another's."""
        if self._armed and await self._gate.dead_man_switch(None) is SendVerdict.ACCEPTED:
            self._armed = False
            self._say("off: disarmed")

    def _say(self, state: str) -> None:
        if state != self.state:
            LOG.info("%s: dead man's switch: %s", self._gate.venue.name, state)
        self.state = state

"""Leverage: set and verified in a market before its first entry, since it decides what margin an entry takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from twinleg.core.messages import Market, Refusal
from twinleg.core.trading import AccountRead, LeverageSeen, SendVerdict, TradingVenue
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.gate import VenueGate
from twinleg.runtime.ports import Clock

LOG = logging.getLogger("twinleg.leverage")

TOLERANCE = 0.01
"""Venues keep it as a whole percentage of margin or in steps of their own."""
READS, READ_AFTER_S = 4, 0.5
"""What was set is read back so often: the venue's lists may be a little behind."""
RETRY_MS = 60_000
"""After a refusal or doubt, the market is left alone for this long."""

LeverageRead = Callable[[TradingVenue, Market, int], AccountRead | None]
"""How a venue is asked for the leverage in a market; None where its positions tell it."""


class Leverages:
    """What is set in each market. `against` says why a market may not be entered yet, and sets it meanwhile."""

    def __init__(
        self, gates: Mapping[str, VenueGate], clock: Clock, wanted: Callable[[str], float], read: LeverageRead
    ) -> None:
        """`wanted` is the leverage for an asset."""
        self._gates, self._clock, self._wanted, self._read = gates, clock, wanted, read
        self.seen: dict[str, float] = {}
        self._again_ms: dict[str, int] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        """By venue, one at a time: entries want its budget and its lanes as well."""
        self.failure: Exception | None = None
        """What our own code raised while setting."""

    def note(self, seen: LeverageSeen) -> None:
        """The venue told."""
        self.seen[seen.market] = seen.leverage

    def against(self, market: Market, asset: str) -> Refusal | None:
        """Why nothing may be opened there yet: then it is seen to, within the venue's budget."""
        want = min(self._wanted(asset), market.max_leverage or float("inf"))
        have = self.seen.get(market.key)
        if _alike(have, want):
            return None
        due = self._clock.wall_ms() >= self._again_ms.get(market.key, 0)
        if due and market.venue not in self._under_way:
            task = asyncio.get_running_loop().create_task(self._set(market, want))
            self._under_way[market.venue] = task
            task.add_done_callback(lambda ended: self._ended(market.venue, ended))
        known = "not known" if have is None else "another"
        return Refusal("leverage", f"{market.key}: its leverage is {known} and is being set", have, want)

    async def _set(self, market: Market, want: float) -> None:
        """Set it, and read it back. Where nothing tells it in a flat market, the venue's yes must do."""
        gate = self._gates[market.venue]
        self._again_ms[market.key] = self._clock.wall_ms() + RETRY_MS
        verdict = await gate.set_leverage(market, want)
        if verdict is SendVerdict.REJECTED:
            LOG.warning("%s: leverage %g was refused", market.key, want)
            return
        self.seen.pop(market.key, None)
        for _ in range(READS):
            await self._clock.sleep(READ_AFTER_S)
            now_ms = self._clock.wall_ms()
            answer = await gate.read(self._read(gate.venue, market, now_ms) or gate.venue.positions(now_ms))
            if not isinstance(answer, Unread) and market.key not in self.seen and verdict is SendVerdict.ACCEPTED:
                self.seen[market.key] = want
            if _alike(self.seen.get(market.key), want):
                break
        LOG.info("%s: leverage is %s", market.key, self.seen.get(market.key, "not known"))

    def _ended(self, venue: str, task: asyncio.Task[None]) -> None:
        del self._under_way[venue]
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.failure = self.failure or error

    def close(self) -> None:
        """End what is under way."""
        for task in self._under_way.values():
            task.cancel()


def _alike(have: float | None, want: float) -> bool:
    return have is not None and abs(have - want) <= TOLERANCE * want

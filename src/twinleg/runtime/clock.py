"""The real clock and dice (see ports): the only place that asks the machine what time it is or rolls anything."""

from __future__ import annotations

import asyncio
import random
import time


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    mono_ns = staticmethod(time.monotonic_ns)

    def wall_ms(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop. Zero or less yields once."""
        await asyncio.sleep(seconds)


class SystemDice:
    """The operating system's randomness, so that no two instances share a back-off."""

    __slots__ = ("_random",)

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uniform(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()

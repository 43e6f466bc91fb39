"""The real clock and dice keep their contract."""

from __future__ import annotations

import time

from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.ports import Clock, Dice


async def test_clock() -> None:
    clock: Clock = SystemClock()
    before_ms, before_ns = time.time_ns() // 1_000_000, clock.mono_ns()
    await clock.sleep(0.001)
    assert before_ms <= clock.wall_ms() <= time.time_ns() // 1_000_000
    assert clock.mono_ns() - before_ns >= 900_000


def test_dice() -> None:
    dice: Dice = SystemDice()
    rolls = [dice.uniform() for _ in range(100)]
    assert all(0.0 <= roll < 1.0 for roll in rolls)
    assert len(set(rolls)) > 50

"""Who signs next, and with which number: one lane per key.

Where a venue numbers the transactions of a key, a lane has one transaction in flight at a time, and after any doubt its
number is unknown until the venue tells it again: a guess would only be refused, or worse, be right for another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from twinleg.core.trading import Lane


class LaneLostError(RuntimeError):
    """No lane could be had in time, or its number could not be learned: nothing was signed and nothing left."""


class _Track:
    """One key's lane."""

    __slots__ = ("free", "key", "number")

    def __init__(self, key: str) -> None:
        self.key = key
        self.number: int | None = None
        self.free = asyncio.Lock()


class Turn:
    """The right to send one transaction on a lane. `spent` says afterwards what became of its number."""

    def __init__(self, track: _Track) -> None:
        self._track = track
        self.spent: bool | None = None
        """True: the next transaction takes the next number; False: the same; None: unknown, ask the venue."""

    @property
    def number(self) -> int | None:
        return self._track.number

    @number.setter
    def number(self, value: int) -> None:
        self._track.number = value

    @property
    def lane(self) -> Lane:
        return Lane(self._track.key, self._track.number)


class Lanes:
    """The lanes of one venue account. With several keys the last is kept for what reduces risk."""

    def __init__(self, keys: Sequence[str], *, sequenced: bool, trusting: bool = True) -> None:
        """`trusting` False asks the venue for the number before every transaction (LIGHTER_NONCE_MANAGER=api)."""
        assert keys, "an account that cannot sign has no lanes"
        self._tracks = [_Track(key) for key in keys]
        self._sequenced, self._trusting = sequenced, trusting
        self._next = 0

    @asynccontextmanager
    async def turn(self, *, reduces_risk: bool, timeout_s: float) -> AsyncIterator[Turn]:
        """Wait for a lane, at most so long. Raises LaneLostError. Unnumbered lanes are never waited for."""
        track = self._choose(reduces_risk)
        if not self._sequenced:
            yield Turn(track)
            return
        try:
            async with asyncio.timeout(timeout_s):
                await track.free.acquire()
        except TimeoutError:
            raise LaneLostError(f"key {track.key} was busy for {timeout_s:.1f} s") from None
        turn = Turn(track)
        try:
            yield turn
        finally:
            self._settle(track, turn)
            track.free.release()

    def doubt(self) -> None:
        """Forget every number, after a reconnect, a restart or a foreign transaction."""
        for track in self._tracks:
            track.number = None

    def _choose(self, reduces_risk: bool) -> _Track:  # private, and the one thing it decides by
        """The first free key in turn; the last key only for what reduces risk, which may use every key."""
        mine = self._tracks if reduces_risk or len(self._tracks) == 1 else self._tracks[:-1]
        if reduces_risk:
            mine = [self._tracks[-1], *self._tracks[:-1]]
            return next((track for track in mine if not track.free.locked()), mine[0])
        self._next += 1
        turned = mine[self._next % len(mine) :] + mine[: self._next % len(mine)]
        return next((track for track in turned if not track.free.locked()), turned[0])

    def _settle(self, track: _Track, turn: Turn) -> None:
        if turn.spent is None or not self._trusting or track.number is None:
            track.number = None
        elif turn.spent:
            track.number += 1

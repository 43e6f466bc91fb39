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

    __slots__ = ("ceiling", "doubts", "foreign", "free", "key", "number")

    def __init__(self, key: str) -> None:
        self.key = key
        self.number: int | None = None
        self.ceiling: int | None = None
        """The highest next number that the venue's own word and our transactions since can explain."""
        self.foreign = 0
        self.doubts = 0
        self.free = asyncio.Lock()


class Turn:
    """The right to send one transaction on a lane. `spent` says afterwards what became of its number."""

    def __init__(self, track: _Track) -> None:
        self._track = track
        self.doubts = track.doubts
        self.number = track.number
        """None: to be learned, or the venue numbers nothing."""
        self.learned = False
        self.spent: bool | None = None
        """True: the next transaction takes the next number; False: the same; None: unknown, ask the venue."""

    @property
    def lane(self) -> Lane:
        return Lane(self._track.key, self.number)

    def learn(self, number: int) -> None:
        """The venue told the key's next number. One beyond all of ours was reached by somebody else's transactions."""
        track = self._track
        if track.ceiling is not None and number > track.ceiling:
            track.foreign += number - track.ceiling
        track.ceiling = number if track.ceiling is None else max(track.ceiling, number)
        self.number, self.learned = number, True


class Lanes:
    """The lanes of one venue account. With several keys the last is kept for what reduces risk."""

    def __init__(self, keys: Sequence[str], *, sequenced: bool, trusting: bool = True) -> None:
        """`trusting` False asks the venue for the number before every transaction (LIGHTER_NONCE_MANAGER=api)."""
        assert keys, "an account that cannot sign has no lanes"
        self._tracks = [_Track(key) for key in keys]
        self._sequenced, self._trusting = sequenced, trusting
        self._next = 0

    @property
    def foreign(self) -> dict[str, int]:
        """Numbers by key that somebody else used: another process signs with our key, and entries must stop."""
        return {track.key: track.foreign for track in self._tracks if track.foreign}

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
        """Forget every number, after a reconnect, a restart or a foreign transaction. Turns under way keep theirs."""
        for track in self._tracks:
            track.doubts += 1
            track.number = None

    def _choose(self, reduces_risk: bool) -> _Track:
        """The first free key in turn. The last serves only what reduces risk, which takes it first, then any other."""
        if reduces_risk or len(self._tracks) == 1:
            turned = [self._tracks[-1], *self._tracks[:-1]]
        else:
            mine = self._tracks[:-1]
            self._next = (self._next + 1) % len(mine)
            turned = mine[self._next :] + mine[: self._next]
        return next((track for track in turned if not track.free.locked()), turned[0])

    def _settle(self, track: _Track, turn: Turn) -> None:
        if turn.number is not None and turn.spent is not False:
            assert track.ceiling is not None, "a number that nobody told"
            track.ceiling = max(track.ceiling, turn.number + 1)
        if turn.number is None or turn.spent is None or turn.doubts != track.doubts or not self._trusting:
            track.number = None
        else:
            track.number = turn.number + turn.spent

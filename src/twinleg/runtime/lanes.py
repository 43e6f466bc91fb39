"""Who signs next, and with which number: one lane per key.

Where a venue numbers the transactions of a key, a lane has one transaction in flight at a time, and after any doubt its
number is unknown until the venue tells it again: a guess would only be refused, or worse, be right for another's.
A lane may be held for what is not sent yet; whoever wants to send takes it away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from twinleg.core.trading import Lane

NUMBERS_KEPT = 1_000
"""Numbers of a key of which we remember what was sent with them; the venue tells of them within seconds."""


class LaneLostError(RuntimeError):
    """No lane could be had in time, or its number could not be learned: nothing was signed and nothing left."""


class _Use:
    """What was sent with one number, by the names the venue knows it under, and which of it (or whose) has it."""

    __slots__ = ("sent", "taker")

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.taker: str | None = None


class _Track:
    """One key's lane."""

    __slots__ = ("busy", "ceiling", "doubts", "foreign", "key", "number", "uses", "waiting", "yields")

    def __init__(self, key: str) -> None:
        self.key = key
        self.number: int | None = None
        self.ceiling: int | None = None
        """The highest next number that the venue's own word and our transactions since can explain."""
        self.foreign = 0
        self.doubts = 0
        self.busy = False
        self.yields: Callable[[], None] | None = None
        """Gives the lane back for whoever wants to send, at once or soon. None: it is sending, or free."""
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.uses: dict[int, _Use] = {}

    def use(self, number: int) -> _Use:
        """Of a number, the oldest forgotten beyond NUMBERS_KEPT."""
        found = self.uses.setdefault(number, _Use())
        if len(self.uses) > NUMBERS_KEPT:
            del self.uses[next(iter(self.uses))]
        return found

    def yield_(self) -> None:
        yields, self.yields = self.yields, None
        if yields is not None:
            yields()

    def release(self) -> None:
        """Free, or the next one's that waits."""
        self.yields = None
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self.busy = False


class Turn:
    """The right to send one transaction on a lane. `spent` says afterwards what became of its number."""

    def __init__(self, track: _Track) -> None:
        self.track = track
        self._doubts = track.doubts
        self.number = track.number
        """None: to be learned, or the venue numbers nothing."""
        self.spent: bool | None = None
        """True: the next transaction takes the next number; False: the same; None: unknown, ask the venue."""

    @property
    def lane(self) -> Lane:
        return Lane(self.track.key, self.number)

    @property
    def doubted(self) -> bool:
        """Its number was put in doubt since."""
        return self._doubts != self.track.doubts

    def learn(self, number: int) -> int:
        """The venue told the key's next number. Returns how many are gone that only somebody else can have used."""
        track, foreign = self.track, 0
        if track.ceiling is not None and number > track.ceiling:
            foreign = number - track.ceiling
            track.foreign += foreign
        track.ceiling = number if track.ceiling is None else max(track.ceiling, number)
        self.number = number
        return foreign

    def leaves(self, correlation: str) -> None:
        """Bytes of that name are about to leave: whatever happens, the number may be used from here on."""
        self.spent = None
        if self.number is not None:
            self.track.use(self.number).sent.append(correlation)

    def settle(self, *, trusting: bool) -> None:
        """Draw the lane's next number from what became of this one."""
        track = self.track
        if self.number is not None and self.spent is not False:
            assert track.ceiling is not None, "a number that nobody told"
            track.ceiling = max(track.ceiling, self.number + 1)
        if self.number is None or self.spent is None or self.doubted or not trusting:
            track.number = None
        else:
            track.number = self.number + self.spent
        track.release()


class Lanes:
    """The lanes of one venue account. With several keys the last is kept for what reduces risk."""

    def __init__(self, keys: Sequence[str], *, sequenced: bool, trusting: bool = True) -> None:
        """`trusting` False asks the venue for the number before every transaction (LIGHTER_NONCE_MANAGER=api)."""
        assert keys, "an account that cannot sign has no lanes"
        self._tracks = [_Track(key) for key in keys]
        self.sequenced, self._trusting = sequenced, trusting
        self._next = 0

    @property
    def foreign(self) -> dict[str, int]:
        """Numbers by key that somebody else used: another process signs with our key, and entries must stop."""
        return {track.key: track.foreign for track in self._tracks if track.foreign}

    @asynccontextmanager
    async def turn(self, *, reduces_risk: bool, timeout_s: float, key: str | None = None) -> AsyncIterator[Turn]:
        """Wait for a lane, at most so long; `key` asks for that one. Raises LaneLostError.

        Unnumbered lanes are never waited for. A lane that is only held is taken away from its holder.
        """
        track = self._choose(reduces_risk) if key is None else self._track(key)
        assert track is not None, f"no lane {key}"
        if self.sequenced:
            await self._acquire(track, timeout_s)
        turn = Turn(track)
        try:
            yield turn
        finally:
            self.end(turn)

    def hold(self, yields: Callable[[], None], *, reduces_risk: bool) -> Turn | None:
        """A free lane for what will be sent later, None if there is none. `end` gives it back.

        `yields` is called when another wants to send, or the number is put in doubt: then `end` at once, or soon.
        """
        track = self._choose(reduces_risk)
        if self.sequenced:
            if track.busy:
                return None
            track.busy, track.yields = True, yields
        return Turn(track)

    def keep(self, turn: Turn) -> None:
        """What the lane was held for is sent now: nobody takes it away any more."""
        turn.track.yields = None

    def end(self, turn: Turn) -> None:
        """The turn is over, and the lane the next one's."""
        if self.sequenced:
            turn.settle(trusting=self._trusting)

    def doubt(self) -> None:
        """Forget every number, after a reconnect, a restart or a foreign transaction. Turns under way keep theirs."""
        for track in self._tracks:
            self._doubt(track)

    def sent_with(self, lane: Lane) -> tuple[str, ...]:
        """What we sent with a lane's number, oldest first."""
        track = self._track(lane.key)
        found = None if track is None or lane.number is None else track.uses.get(lane.number)
        return () if found is None else tuple(found.sent)

    def taker(self, lane: Lane) -> str | None:
        """The transaction that the venue says has this number: whatever else was sent with it never arrives."""
        track = self._track(lane.key)
        found = None if track is None or lane.number is None else track.uses.get(lane.number)
        return None if found is None else found.taker

    def used(self, lane: Lane, correlation: str, *, ours: bool) -> bool:
        """The venue says which transaction has a number. True when it is somebody else's, and news.

        `ours` knows it from elsewhere (an order of an earlier run). What is older than the venue's first word to us
        proves nothing.
        """
        track, number = self._track(lane.key), lane.number
        if track is None or number is None or track.ceiling is None:
            return False
        beyond, tried = number >= track.ceiling, number in track.uses
        if not (beyond or tried) or track.use(number).taker is not None:
            return False
        track.use(number).taker = correlation
        if correlation in track.use(number).sent:
            return False
        if beyond:
            track.ceiling = number + 1
            self._doubt(track)
        track.foreign += not ours
        return not ours

    def _doubt(self, track: _Track) -> None:
        track.doubts += 1
        track.number = None
        track.yield_()

    async def _acquire(self, track: _Track, timeout_s: float) -> None:
        track.yield_()
        if not track.busy:
            track.busy = True
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        track.waiting.append(future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            self._gave_up(track, future)
            raise LaneLostError(f"key {track.key} was busy for {timeout_s:.1f} s") from None
        except asyncio.CancelledError:
            self._gave_up(track, future)
            raise

    @staticmethod
    def _gave_up(track: _Track, future: asyncio.Future[None]) -> None:
        """The lane may have become ours in the same moment: then it is the next one's."""
        if future.done() and not future.cancelled():
            track.release()
        else:
            future.cancel()

    def _track(self, key: str) -> _Track | None:
        return next((track for track in self._tracks if track.key == key), None)

    def _choose(self, reduces_risk: bool) -> _Track:
        """The first free key in turn, else one that is only held. The last serves only what reduces risk, which takes
        it first, then any other."""
        if reduces_risk or len(self._tracks) == 1:
            turned = [self._tracks[-1], *self._tracks[:-1]]
        else:
            mine = self._tracks[:-1]
            self._next = (self._next + 1) % len(mine)
            turned = mine[self._next :] + mine[: self._next]
        free = next((track for track in turned if not track.busy), None)
        held = next((track for track in turned if track.yields is not None), turned[0])
        return held if free is None else free

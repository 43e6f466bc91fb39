"""How long a slot takes, measured: the cluster changes it, so that no figure can be assumed."""

from __future__ import annotations

from collections import deque

KEPT = 64
SPAN_MS_MIN = 5_000
"""Our choice: over less, the notifications' own jitter is as large as what is measured."""
SLOT_MS_MIN, SLOT_MS_MAX = 50.0, 5_000.0
"""Our choice: what lies outside is a clock that jumped, or a cluster that stands still."""


class SlotClock:
    """The newest slot, and milliseconds per slot over the last KEPT sightings. Slots that step back are no news."""

    def __init__(self) -> None:
        self.slot = 0
        self._seen: deque[tuple[int, int]] = deque(maxlen=KEPT)

    def seen(self, slot: int, at_ms: int) -> None:
        """A slot was told at that (wall) time."""
        if slot <= self.slot and self._seen and at_ms >= self._seen[-1][1]:
            return
        if self._seen and not 0 < slot - self.slot < 100_000:
            self._seen.clear()  # another cluster, or a clock set back
        if self._seen and at_ms < self._seen[-1][1]:
            self._seen.clear()
        self.slot = slot
        self._seen.append((slot, at_ms))

    @property
    def slot_ms(self) -> float | None:
        """Milliseconds per slot, None until that is known."""
        if len(self._seen) < 2:
            return None
        (first, from_ms), (last, to_ms) = self._seen[0], self._seen[-1]
        if to_ms - from_ms < SPAN_MS_MIN:
            return None
        found = (to_ms - from_ms) / (last - first)
        return found if SLOT_MS_MIN <= found <= SLOT_MS_MAX else None

"""A request budget per address: so much weight in any window of a minute, then the venue's HTTP 429."""

from __future__ import annotations

from collections import deque
from math import inf

WINDOW_MS = 60_000
PEERS_MAX = 1_024


class Limiter:
    """A sliding window per peer. Refused requests do not count. Knows PEERS_MAX peers, then forgets the oldest."""

    def __init__(self, weight_per_minute: float) -> None:
        self._limit = weight_per_minute
        self._spent: dict[str, deque[tuple[int, int]]] = {}

    def admit(self, peer: str, now_ms: int, weight: int = 1) -> bool:
        """Whether this request is within the budget of `peer`."""
        if self._limit == inf:
            return True
        spent = self._spent.get(peer)
        if spent is None:
            if len(self._spent) >= PEERS_MAX:
                del self._spent[next(iter(self._spent))]
            spent = self._spent[peer] = deque()
        while spent and spent[0][0] <= now_ms - WINDOW_MS:
            spent.popleft()
        if sum(part for _, part in spent) + weight > self._limit:
            return False
        spent.append((now_ms, weight))
        return True

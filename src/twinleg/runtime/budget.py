"""What a venue lets us spend: requests, stream messages and connections per minute. Pure: times come in by the call.

One Budget per venue is shared by everything that speaks to it, so that no two rooms can overdraw it together.
"""

from __future__ import annotations

from twinleg.core.venue import Limits

MINUTE_NS = 60_000_000_000
BURST_SHARE = 4
"""A quarter of the minute's allowance may go at once; the rest comes evenly. Together never more than the allowance."""
RESERVE_SHARE = 4
"""A quarter of the burst is kept for what reduces risk."""
HOLD_S_DEFAULT = 10.0
HOLD_S_MAX = 300.0
"""Bounds of a pause after a 429: without a word from the venue, and whatever it says."""


class Bucket:
    """Tokens that come back evenly. In any 60 s at most `per_minute` are spent, if none weighs more than the burst.

    A single spend heavier than the burst waits for a full bucket and then leaves it in debt, so that it is late, never
    impossible. Exact integers: one token is MINUTE_NS units, and `rate` units come back per nanosecond.
    """

    __slots__ = ("_burst", "_held_until_ns", "_level", "_rate", "_reserve", "_seen_ns")

    def __init__(self, per_minute: int, *, burst_max: int | None = None, reserve: int = 0) -> None:
        """`burst_max` lowers the burst; `reserve` tokens of it are for urgent spends. Raises ValueError below 1."""
        if per_minute < 1:
            raise ValueError(f"a budget of {per_minute} per minute")
        burst = max(1, per_minute // BURST_SHARE)
        if burst_max is not None:
            burst = max(1, min(burst, burst_max))
        self._burst = burst * MINUTE_NS
        self._rate = max(1, per_minute - burst)
        self._reserve = min(reserve, burst - 1) * MINUTE_NS
        self._level = self._burst
        self._seen_ns: int | None = None
        self._held_until_ns = 0

    def take(self, now_ns: int, weight: int = 1, *, urgent: bool = False) -> int:
        """Spend `weight` and return 0, or spend nothing and return the ns after which to ask again."""
        assert weight >= 0
        self._refill(now_ns)
        floor = 0 if urgent else self._reserve
        missing = min(weight * MINUTE_NS, self._burst - floor) + floor - self._level
        if now_ns < self._held_until_ns:
            return self._held_until_ns - now_ns + max(0, -(-missing // self._rate))
        if missing > 0:
            return -(-missing // self._rate)
        self._level -= weight * MINUTE_NS
        return 0

    def room(self, now_ns: int, weight: int) -> bool:
        """Whether so much could be spent now, the reserve left alone. Spends nothing."""
        self._refill(now_ns)
        return now_ns >= self._held_until_ns and self._level - self._reserve >= weight * MINUTE_NS

    def empty(self, now_ns: int, hold_s: float | None) -> None:
        """The venue refused for rate: everything is spent, and nothing comes back for `hold_s` (within HOLD_S_MAX)."""
        hold_s = HOLD_S_DEFAULT if hold_s is None else min(max(hold_s, 0.0), HOLD_S_MAX)
        self._refill(now_ns)
        self._level = min(self._level, 0)
        self._held_until_ns = max(self._held_until_ns, now_ns + int(hold_s * 1_000_000_000))
        self._seen_ns = self._held_until_ns

    def _refill(self, now_ns: int) -> None:
        if self._seen_ns is None:
            self._seen_ns = now_ns
        elif now_ns > self._seen_ns:
            self._level = min(self._burst, self._level + (now_ns - self._seen_ns) * self._rate)
            self._seen_ns = now_ns


class Budget:
    """One venue's three buckets, from its published Limits."""

    __slots__ = ("connects", "limits", "messages", "requests", "venue")

    def __init__(self, venue: str, limits: Limits) -> None:
        self.venue = venue
        self.limits = limits
        burst = max(1, limits.requests_per_minute // BURST_SHARE)
        self.requests = Bucket(limits.requests_per_minute, reserve=burst // RESERVE_SHARE)
        self.messages = Bucket(limits.stream_messages_per_minute, burst_max=limits.messages_in_flight)
        self.connects = Bucket(limits.connects_per_minute)

"""Funding: one unit, a settlement calendar, expected carry, and the check that we read the unit right.

Rates are signed fractions per hour, positive = longs pay shorts. They are estimates until booked, hence floats.
Funding is paid only at settlement instants: what is opened after one and closed before the next earns nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from statistics import median

import msgspec

from twinleg.core.messages import FundingPredicted, FundingSettled, FundingSource

HOUR_MS = 3_600_000
HISTORY_LIMIT = 24 * 30
RATE_QUANTUM_PER_HOUR = 1e-6
"""The coarsest printed step of any venue (Lighter prints 0.0001 percent per hour): readings closer than this agree."""
SETTLED_NOISE_PER_HOUR = 3 * RATE_QUANTUM_PER_HOUR
"""A quiet market's rate wanders this far from one hour to the next without meaning anything."""
DISAGREEMENT_RATIO = 3.0
RECENT_SETTLEMENTS = 24
HISTORY_POINTS_MIN = 8
HALF_LIFE_HOURS_MIN, HALF_LIFE_HOURS_MAX = 1.0, 72.0
SETTLEMENT_SLACK_MS = 60_000
"""Venues stamp a settlement up to this long after its instant (Extended about one second)."""


class UnitState(Enum):
    """What the self-check of a market's funding unit found."""

    UNCHECKED = "unchecked"
    AGREED = "agreed"
    DISAGREED = "disagreed"


class UnitCheck(msgspec.Struct, frozen=True):
    """The verdict with its numbers. Entries need AGREED."""

    state: UnitState
    detail: str


class FundingView:
    """Everything we know of one market's funding. Predicted and settled rates are never mixed."""

    __slots__ = (
        "check", "interval_ms", "rest", "rest_twin", "settle_error", "settlements", "stream", "was_due",
        "whole_until_ms",
    )  # fmt: skip

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self.stream: FundingPredicted | None = None
        self.was_due: FundingPredicted | None = None
        """The stream's last word on the settlement before the present one."""
        self.rest: FundingPredicted | None = None
        self.rest_twin: float | None = None
        """What the stream said when REST was read: rates move, so only readings of one moment are compared."""
        self.settlements: dict[int, FundingSettled] = {}
        """Settled rates by their calendar instant, oldest first, the last HISTORY_LIMIT."""
        self.whole_until_ms = 0
        """The last instant up to which history was read and nothing is missing; 0 before history was read."""
        self.check = UnitCheck(UnitState.UNCHECKED, "no reading yet")
        self.settle_error: float | None = None
        """Last settled rate minus what was predicted for it, per hour."""

    def predicted(self, event: FundingPredicted) -> None:
        if event.source is FundingSource.REST:
            self.rest = event
            self.rest_twin = None if self.stream is None else self.stream.rate_per_hour
            return
        if self.stream is not None and event.settles_at_ms - self.stream.settles_at_ms > SETTLEMENT_SLACK_MS:
            self.was_due = self.stream
        self.stream = event
        if self.rest is not None and self.rest_twin is None:
            self.rest_twin = event.rate_per_hour

    def settled(self, event: FundingSettled) -> bool:
        """Remember a settled rate. False when it was known already."""
        instant = settlement_instant(event.settled_at_ms, self.interval_ms)
        if event.source is FundingSource.HISTORY or instant == self.whole_until_ms + self.interval_ms:
            self.whole_until_ms = max(self.whole_until_ms, instant)
        if instant in self.settlements:
            return False
        for said in (self.stream, self.was_due):
            if said is not None and abs(said.settles_at_ms - instant) < SETTLEMENT_SLACK_MS:
                self.settle_error = event.rate_per_hour - said.rate_per_hour
        late = bool(self.settlements) and instant < next(reversed(self.settlements))
        self.settlements[instant] = event
        if late:
            self.settlements = dict(sorted(self.settlements.items()))
        while len(self.settlements) > HISTORY_LIMIT:
            del self.settlements[next(iter(self.settlements))]
        return True

    @property
    def rate_per_hour(self) -> float | None:
        """The venue's current estimate: the stream's, else the REST reading's, else unknown."""
        best = self.stream or self.rest
        return None if best is None else best.rate_per_hour

    def age_ms(self, now_ms: int) -> int:
        """How old the youngest estimate is, by the venue's own stamp. There must be one."""
        stamps = [reading.venue_ms for reading in (self.stream, self.rest) if reading is not None]
        return now_ms - max(stamps)

    def next_settlement_ms(self, now_ms: int) -> int:
        """When this market settles next: what the venue announced, else the next multiple of its interval."""
        for reading in (self.stream, self.rest):
            if reading is not None and reading.settles_at_ms > now_ms:
                return reading.settles_at_ms
        return (now_ms // self.interval_ms + 1) * self.interval_ms

    def recheck(self) -> UnitCheck:
        """Compare the independent readings and keep the verdict."""
        self.check = check_unit(
            None if self.stream is None else self.stream.rate_per_hour,
            None if self.rest is None else self.rest.rate_per_hour,
            [one.rate_per_hour for one in self.settlements.values()] if self.whole_until_ms else [],
            self.rest_twin,
        )
        return self.check


def settlement_instant(stamped_ms: int, interval_ms: int) -> int:
    """The calendar instant a settlement stamp belongs to (venues stamp it a little later)."""
    return stamped_ms // interval_ms * interval_ms


def check_unit(
    stream: float | None, rest: float | None, history: Sequence[float], stream_then: float | None = None
) -> UnitCheck:
    """Do independent readings of one rate speak of the same unit?

    REST and what the stream said when it was read (`stream_then`, else now) must agree within DISAGREEMENT_RATIO.
    Settled rates have moved since: one of the last RECENT_SETTLEMENTS must agree with the stream. A wrong factor moves
    all of them out of reach; what a lively market still hides, `venue_disagreement` finds over all markets.
    """
    if stream is None or rest is None or not history:
        missing = [
            name for name, there in (("stream", stream), ("rest", rest), ("history", history or None)) if there is None
        ]
        return UnitCheck(UnitState.UNCHECKED, f"waiting for {', '.join(missing)}")
    readings = f"stream {stream:.3g}, rest {rest:.3g}, settled {history[-1]:.3g} per hour"
    if disagree(stream if stream_then is None else stream_then, rest, RATE_QUANTUM_PER_HOUR):
        return UnitCheck(UnitState.DISAGREED, f"stream and rest differ: {readings}")
    if all(disagree(stream, settled, SETTLED_NOISE_PER_HOUR) for settled in history[-RECENT_SETTLEMENTS:]):
        return UnitCheck(UnitState.DISAGREED, f"prediction and settlement differ: {readings}")
    return UnitCheck(UnitState.AGREED, readings)


def disagree(one: float, other: float, noise: float) -> bool:
    """More than DISAGREEMENT_RATIO apart (or of opposite sign) beyond `noise`."""
    gap = abs(one - other) - noise
    if gap <= 0:
        return False
    larger, smaller = max(abs(one), abs(other)), min(abs(one), abs(other))
    return one * other <= 0 or larger > DISAGREEMENT_RATIO * smaller


def venue_disagreement(pairs: Sequence[tuple[float, float]], what: str) -> str | None:
    """The typical ratio of two readings over a whole venue's markets: names a wrong unit that single markets hide.

    Each pair is one market's (stream rate, other reading); `what` names the other reading.
    """
    ratios = [abs(a / b) for a, b in pairs if min(abs(a), abs(b)) > 3 * RATE_QUANTUM_PER_HOUR]
    if len(ratios) < 3:
        return None
    typical = median(ratios)
    if 1 / DISAGREEMENT_RATIO <= typical <= DISAGREEMENT_RATIO:
        return None
    return f"stream rates are typically {typical:.3g} times {what} over {len(ratios)} markets"


def venue_trouble(views: Sequence[FundingView]) -> str | None:
    """Which of a venue's readings is in another unit than its stream, if one is."""
    told = [(view.rest_twin, view.rest.rate_per_hour) for view in views if view.rest and view.rest_twin is not None]
    settled = [
        (view.stream.rate_per_hour, median(one.rate_per_hour for one in view.settlements.values()))
        for view in views
        if view.stream and view.settlements
    ]
    return venue_disagreement(told, "the REST ones") or venue_disagreement(settled, "the settled ones")


def half_life_hours(differentials: Sequence[float]) -> float | None:
    """Half-life of a pair's hourly funding differential, from its lag-one autocorrelation about zero.

    phi = sum(x[t] x[t+1]) / sum(x[t]^2); half-life = ln(1/2) / ln(phi), kept within sane bounds. None when the
    history is too short to say: then nothing is ranked on it.
    """
    if len(differentials) < HISTORY_POINTS_MIN:
        return None
    power = sum(x * x for x in differentials[:-1])
    if power == 0:
        return HALF_LIFE_HOURS_MAX
    phi = sum(a * b for a, b in pairwise(differentials)) / power
    if phi <= 0.5:
        return HALF_LIFE_HOURS_MIN
    if phi >= 1:
        return HALF_LIFE_HOURS_MAX
    return min(HALF_LIFE_HOURS_MAX, max(HALF_LIFE_HOURS_MIN, math.log(0.5) / math.log(phi)))


def differentials(long: FundingView, short: FundingView) -> list[float]:
    """Hourly (short minus long) settled rates at the instants both markets settled, oldest first."""
    return [
        settled.rate_per_hour - long.settlements[instant].rate_per_hour
        for instant, settled in short.settlements.items()
        if instant in long.settlements
    ]


def carry_fraction(
    view: FundingView, *, long: bool, now_ms: int, horizon_hours: float, half_life: float | None
) -> float | None:
    """Expected funding over the horizon for one leg, as a fraction of its notional; positive = received.

    Sums the settlements inside the horizon, each worth rate x interval, decayed by 2^(-hours away / half-life). None
    when the rate is unknown.
    """
    rate = view.rate_per_hour
    if rate is None:
        return None
    per_settlement = rate * view.interval_ms / HOUR_MS * (-1.0 if long else 1.0)
    at_ms, end_ms, total = view.next_settlement_ms(now_ms), now_ms + horizon_hours * HOUR_MS, 0.0
    while at_ms <= end_ms:
        hours_away = (at_ms - now_ms) / HOUR_MS
        total += per_settlement if half_life is None else per_settlement * 0.5 ** (hours_away / half_life)
        at_ms += view.interval_ms
    return total

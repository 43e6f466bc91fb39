"""Funding as each venue charges it: a premium sampled each minute, a rate settled each hour.

Rates are signed fractions per hour, positive = longs pay shorts. Formulas: Lighter's documented fields (clamps and base
interest in market_stats) and Extended's documentation plus the interest term its recorded rates show.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import copysign, trunc
from typing import NamedTuple

from twinleg_sims.listings import EXTENDED, LIGHTER

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
SETTLED_KEPT = 24 * 60


class Settled(NamedTuple):
    """One charged rate. `price` is what it was charged on: Lighter's index, Extended's mark."""

    settled_at_ms: int
    rate_per_hour: float
    price: float


@dataclass(frozen=True, slots=True)
class FundingTerms:
    """One venue's formula. Clamps and interest are fractions per 8 hours, the cap a fraction per hour."""

    interest: float
    clamp_small: float
    cap_per_hour: float
    recent_weigh_more: bool
    """Extended: the minutes of the hour weigh 1..60; Lighter: all alike."""
    rounds: bool
    """Both keep six decimals; Extended rounds, Lighter cuts ("0.0012" percent for a quiet 0.00125)."""
    stamp_delay_ms: int
    """How long after the hour the settlement is stamped."""

    def rate(self, samples: list[float]) -> float:
        """The hourly rate of premium samples, oldest first."""
        assert samples, "a rate needs at least one sample"
        weights = range(1, len(samples) + 1) if self.recent_weigh_more else [1] * len(samples)
        premium = sum(weight * sample for weight, sample in zip(weights, samples, strict=True)) / sum(weights)
        pull = max(-self.clamp_small, min(self.clamp_small, self.interest - premium))
        per_hour = max(-self.cap_per_hour, min(self.cap_per_hour, (premium + pull) / 8))
        millionths = per_hour * 1e6
        return (round(millionths) if self.rounds else trunc(millionths + copysign(1e-9, millionths))) / 1e6


FUNDING_TERMS = {
    LIGHTER: FundingTerms(0.0001, 0.0005, 0.005, recent_weigh_more=False, rounds=False, stamp_delay_ms=1),
    EXTENDED: FundingTerms(0.0001, 0.0005, 0.0025, recent_weigh_more=True, rounds=True, stamp_delay_ms=1028),
}


class Funding:
    """One market's funding: this hour's samples and the settled past, oldest first."""

    def __init__(self, terms: FundingTerms) -> None:
        self.terms = terms
        self.turned = False
        """Whether the rate has the other sign, which is a fault."""
        self.settled: deque[Settled] = deque(maxlen=SETTLED_KEPT)
        self._samples: list[float] = []

    def sample(self, premium: float) -> None:
        """One minute's premium: (max(0, impact bid - index) - max(0, index - impact ask)) / index."""
        self._samples.append(premium)

    def settle(self, hour_ms: int, price: float) -> Settled:
        """Charge the hour that ends at `hour_ms` and begin the next."""
        settled = Settled(hour_ms + self.terms.stamp_delay_ms, self.predicted_rate_per_hour(), price)
        self.settled.append(settled)
        self._samples.clear()
        return settled

    def predicted_rate_per_hour(self) -> float:
        """The estimate for the running hour: the formula over its samples so far (before the first: the last rate)."""
        if self._samples:
            rate = self.terms.rate(self._samples)
            return -rate if self.turned else rate
        return self.settled[-1].rate_per_hour if self.settled else self.terms.rate([0.0])


def next_hour_ms(now_ms: int) -> int:
    """The next full hour strictly after `now_ms`."""
    return (now_ms // HOUR_MS + 1) * HOUR_MS

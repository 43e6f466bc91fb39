"""What an account's tier means: fees, delays, request budgets, volume quota (documentation, mid 2026)."""

from __future__ import annotations

from dataclasses import dataclass

from twinleg_sims.account import Tier

QUOTA_START = 1_000
QUOTA_MAX = 5_000_000
QUOTA_USD_EACH = 10
"""Traded for one more transaction."""
QUOTA_FREE_EVERY_MS = 15_000
"""One transaction in this time is free."""
CHANGE_EVERY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class TierTerms:
    """One tier. Budgets are per minute and wallet; `requests` of the weighted tiers is weight."""

    engine: Tier
    requests: float
    weighted: bool
    transactions: float
    has_quota: bool


STANDARD = "standard"
TIERS = {
    STANDARD: TierTerms(Tier(0, 0, 300, 200), 60, weighted=False, transactions=60, has_quota=False),
    "premium": TierTerms(Tier(280, 40, 200, 0), 24_000, weighted=True, transactions=4_000, has_quota=True),
    "plus": TierTerms(Tier(50, 50, 300, 200), 120_000, weighted=True, transactions=8_000, has_quota=True),
}

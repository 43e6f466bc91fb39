"""The hourly rate, by hand."""

from __future__ import annotations

import pytest

from twinleg_sims.drift.funding import rate
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.profile import DRIFT, VELOCITY, Profile

ORACLE = 150_000_000


def market(profile: Profile, mark: int, tier: int) -> Record:
    made = Record(profile.perp_market, profile.blank(profile.perp_market))
    made["last_oracle_price_twap"], made["last_mark_price_twap"], made["contract_tier"] = ORACLE, mark, tier
    return made


@pytest.mark.parametrize(
    ("profile", "mark", "tier", "expected"),
    [
        (DRIFT, ORACLE, 0, 30_000 * 1000 // 24),  # 7.3 % a year on no premium at all
        (DRIFT, ORACLE + 300_000, 0, 330_000 * 1000 // 24),
        (DRIFT, ORACLE - 300_000, 0, -270_000 * 1000 // 24),
        (DRIFT, ORACLE * 2, 0, ORACLE // 33 * 1000 // 24),  # 0.125 % an hour is the most
        (DRIFT, ORACLE * 2, 2, ORACLE // 20 * 1000 // 24),
        (DRIFT, ORACLE // 2, 4, -(ORACLE // 10) * 1000 // 24),
        (VELOCITY, ORACLE, 0, ORACLE // 3333 * 1000 // 24),  # 10.95 %
    ],
)
def test_a_rate_is_a_24th_of_the_premium_with_its_offset_within_its_clamp(
    profile: Profile, mark: int, tier: int, expected: int
) -> None:
    assert rate(market(profile, mark, tier), profile.funding_offset_divisor) == expected


def test_a_year_of_nothing_costs_a_long_seven_percent() -> None:
    hourly = rate(market(DRIFT, ORACLE, 0), DRIFT.funding_offset_divisor) / 1e9 / (ORACLE / 1e6)
    assert hourly * 24 * 365 == pytest.approx(0.073, rel=1e-3)

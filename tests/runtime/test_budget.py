"""Budgets: never overdrawn in any minute, never starving for ever, a reserve for what reduces risk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinleg.core.venue import Limits
from twinleg.runtime.budget import HOLD_S_DEFAULT, HOLD_S_MAX, MINUTE_NS, Bucket, Budget

SECOND_NS = 1_000_000_000

LIMITS = Limits(
    requests_per_minute=60,
    stream_messages_per_minute=200,
    connects_per_minute=4,
    messages_in_flight=10,
    frame_bytes_max=1,
    inflated_bytes_max=1,
    silence_ms_max=1,
)


def spend_all(bucket: Bucket, now_ns: int, *, urgent: bool = False) -> int:
    count = 0
    while bucket.take(now_ns, urgent=urgent) == 0:
        count += 1
    return count


@given(
    per_minute=st.integers(1, 300),
    steps=st.lists(st.tuples(st.integers(0, 20 * SECOND_NS), st.integers(1, 3)), max_size=200),
)
def test_no_minute_is_overdrawn(per_minute: int, steps: list[tuple[int, int]]) -> None:
    bucket = Bucket(per_minute)
    heaviest = max(1, per_minute // 4)
    now_ns, spent = 5, []
    for wait_ns, weight in steps:
        now_ns += wait_ns
        if bucket.take(now_ns, min(weight, heaviest)) == 0:
            spent.append((now_ns, min(weight, heaviest)))
    for end_ns, _ in spent:
        inside = sum(weight for at_ns, weight in spent if end_ns - MINUTE_NS < at_ns <= end_ns)
        assert inside <= per_minute + (1 if per_minute == 1 else 0)


@given(per_minute=st.integers(1, 300), weight=st.integers(0, 1000), used=st.integers(0, 100))
def test_waiting_as_told_is_enough(per_minute: int, weight: int, used: int) -> None:
    bucket = Bucket(per_minute, reserve=5)
    for _ in range(used):
        bucket.take(0)
    wait_ns = bucket.take(0, weight)
    if wait_ns:
        assert bucket.take(wait_ns - 1, weight) == 1
        assert bucket.take(wait_ns, weight) == 0


def test_reserve_is_for_what_reduces_risk() -> None:
    bucket = Bucket(40, reserve=4)
    assert spend_all(bucket, 0) == 6
    assert spend_all(bucket, 0, urgent=True) == 4
    assert bucket.take(0, urgent=True) > 0


def test_spend_heavier_than_the_burst_is_late_not_impossible() -> None:
    bucket = Bucket(60)  # a burst of 15, 45 a minute
    assert bucket.take(0, 30) == 0
    assert bucket.take(0) == 16 * MINUTE_NS // 45 + 1
    assert bucket.take(15 * MINUTE_NS // 45) > 0


def test_refusal_by_the_venue_empties_the_bucket() -> None:
    bucket = Bucket(60)
    bucket.empty(0, 3.0)
    wait_ns = bucket.take(0, urgent=True)
    assert wait_ns > 3 * SECOND_NS
    assert bucket.take(wait_ns - 1, urgent=True) > 0
    assert bucket.take(wait_ns, urgent=True) == 0


@pytest.mark.parametrize(("hold_s", "expected_s"), [(None, HOLD_S_DEFAULT), (1e12, HOLD_S_MAX), (-5.0, 0.0)])
def test_hold_is_bounded(hold_s: float | None, expected_s: float) -> None:
    bucket = Bucket(60)
    bucket.empty(0, hold_s)
    assert bucket.take(0) == expected_s * SECOND_NS + MINUTE_NS // 45 + 1


def test_shorter_hold_does_not_shorten_a_longer_one() -> None:
    bucket = Bucket(60)
    bucket.empty(0, 100.0)
    bucket.empty(SECOND_NS, 1.0)
    assert bucket.take(SECOND_NS) > 99 * SECOND_NS


def test_venue_budget_follows_its_limits() -> None:
    budget = Budget("v", LIMITS)
    assert spend_all(budget.requests, 0) == 12
    assert spend_all(budget.requests, 0, urgent=True) == 3
    assert spend_all(budget.messages, 0) == 10, "never more at once than may be unanswered"
    assert spend_all(budget.connects, 0) == 1


def test_no_allowance_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 per minute"):
        Bucket(0)


def test_room_is_asked_for_without_spending_and_leaves_the_reserve() -> None:
    bucket = Bucket(60, reserve=3)
    assert (bucket.room(0, 12), bucket.room(0, 13)) == (True, False), "a burst of 15, 3 of it kept"
    assert bucket.take(0, 10) == 0
    assert (bucket.room(0, 2), bucket.room(0, 3)) == (True, False)
    bucket.empty(0, 5.0)
    assert not bucket.room(4_000_000_000, 1), "the venue said no for a while"

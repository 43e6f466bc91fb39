"""The fault switches: their text, their times, their seed."""

from __future__ import annotations

import pytest

from twinleg_sims.fault_kinds import PUBLIC_KINDS
from twinleg_sims.faults import FAULTS_MAX, FaultError, FaultRequest, Faults


def test_the_text_of_a_fault() -> None:
    faults = Faults()
    fault = faults.add_text("lighter:gap:market=ETH,at_s=20,count=3", 1_000)
    assert (fault.venue, fault.kind, fault.market, fault.at_ms, fault.count) == ("lighter", "gap", "ETH", 21_000, 3)
    assert faults.active("lighter", "gap", 20_999, "ETH") is None
    assert faults.active("lighter", "gap", 21_000, "ETH") is fault
    assert faults.active("lighter", "gap", 21_000, "BTC") is None
    assert faults.active("extended", "gap", 21_000, "ETH") is None


@pytest.mark.parametrize(
    "text",
    [
        "lighter",
        "lighter:boom",
        "lihgter:gap",
        "lighter:gap:market",
        "lighter:gap:planet=Mars",
        "lighter:gap:at_s=soon",
        "lighter:slow:value=much",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        Faults().add_text(text, 0)


def test_a_lasting_fault_ends_by_time_or_by_clearing() -> None:
    faults = Faults()
    faults.add(FaultRequest(kind="silence", venue="lighter", at_s=1, for_s=2), 0)
    faults.add(FaultRequest(kind="slow", venue="lighter"), 0)
    faults.add(FaultRequest(kind="slow", venue="extended"), 0)
    due = [at_ms for at_ms in range(0, 5_000, 500) if faults.active("lighter", "silence", at_ms)]
    assert due == [1_000, 1_500, 2_000, 2_500]
    assert [fault.kind for fault in faults.listed("lighter", 4_000)] == ["slow"]
    faults.clear("lighter")
    assert not faults.any_due("lighter", 5_000)
    assert faults.any_due("extended", 5_000)


def test_a_fault_that_hits_once_hits_each_stream_once_and_newcomers_never() -> None:
    faults = Faults()
    fault = faults.add_text("lighter:garbage", 0)
    assert [fault.hit(1, 100), fault.hit(1, 110), fault.hit(2, 120)] == [True, False, True]
    assert faults.active("lighter", "garbage", 1_099) is fault
    assert faults.active("lighter", "garbage", 1_100) is None


def test_a_seed_gives_a_repeatable_course() -> None:
    venues = {"lighter": ["ETH", "BTC"], "extended": ["ETH-USD"]}
    one, two = Faults(), Faults()
    course = one.add_seeded(5, venues, 0, 3_600)
    assert [repr(fault) for fault in course] == [repr(fault) for fault in two.add_seeded(5, venues, 0, 3_600)]
    assert {fault.venue for fault in course} == set(venues)
    assert len({fault.kind for fault in course}) > len(PUBLIC_KINDS) / 2
    assert 40 < len(course) < 160
    assert all(fault.until_ms is not None or fault.count for fault in course)


def test_the_number_of_faults_is_bounded() -> None:
    faults = Faults()
    for _ in range(FAULTS_MAX):
        faults.add_text("lighter:slow", 0)
    with pytest.raises(FaultError):
        faults.add_text("lighter:slow", 0)

"""Lanes: one transaction at a time per numbered key, and no number on a guess."""

from __future__ import annotations

import asyncio

import pytest

from twinleg.core.trading import Lane
from twinleg.runtime.lanes import LaneLostError, Lanes

pytestmark = pytest.mark.usefixtures("leaves_nothing")


async def take(lanes: Lanes, spent: bool | None, told: int | None = None, *, reduces: bool = False) -> Lane:
    """One transaction: its number learned if need be, and what became of it."""
    async with lanes.turn(reduces_risk=reduces, timeout_s=1.0) as turn:
        if turn.number is None and told is not None:
            turn.learn(told)
        turn.spent = spent
        return turn.lane


async def known(lanes: Lanes) -> int | None:
    async with lanes.turn(reduces_risk=True, timeout_s=1.0) as turn:
        turn.spent = False
        return turn.number


async def test_the_number_moves_on_with_what_is_certain() -> None:
    lanes = Lanes(["k"], sequenced=True)
    assert await known(lanes) is None
    assert await take(lanes, True, 7) == Lane("k", 7)
    assert await take(lanes, False) == Lane("k", 8)
    assert await take(lanes, True) == Lane("k", 8)
    assert await take(lanes, None) == Lane("k", 9)
    assert await known(lanes) is None


async def test_a_turn_that_is_cut_short_leaves_its_number_unknown() -> None:
    lanes = Lanes(["k"], sequenced=True)
    await take(lanes, True, 7)
    with pytest.raises(ZeroDivisionError):
        async with lanes.turn(reduces_risk=False, timeout_s=1.0):
            1 / 0  # noqa: B018
    assert await known(lanes) is None


async def test_who_does_not_trust_asks_every_time() -> None:
    lanes = Lanes(["k"], sequenced=True, trusting=False)
    await take(lanes, True, 7)
    assert await known(lanes) is None


async def test_doubt_forgets_every_number_and_spares_the_turn_under_way() -> None:
    lanes = Lanes(["a", "b", "c"], sequenced=True)
    for _ in range(2):
        await take(lanes, True, 5)
    async with lanes.turn(reduces_risk=False, timeout_s=1.0) as turn:
        lanes.doubt()
        assert turn.lane.number == 6
        turn.spent = True
    for _ in range(2):
        async with lanes.turn(reduces_risk=False, timeout_s=1.0) as turn:
            assert turn.number is None


async def test_a_busy_lane_is_waited_for_and_only_so_long() -> None:
    lanes = Lanes(["k"], sequenced=True)
    async with lanes.turn(reduces_risk=False, timeout_s=1.0) as turn:
        with pytest.raises(LaneLostError, match="key k was busy"):
            async with lanes.turn(reduces_risk=True, timeout_s=0.01):
                pytest.fail("two at once")
        waiting = asyncio.create_task(take(lanes, True))
        await asyncio.sleep(0)
        turn.learn(3)
        turn.spent = True
    assert await waiting == Lane("k", 4)


async def test_a_cancelled_wait_leaves_the_lane_to_others() -> None:
    lanes = Lanes(["k"], sequenced=True)
    async with lanes.turn(reduces_risk=False, timeout_s=1.0):
        waiting = asyncio.create_task(take(lanes, True))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert await take(lanes, True, 1) == Lane("k", 1)


async def test_the_last_of_several_keys_is_kept_for_what_reduces_risk() -> None:
    lanes = Lanes(["a", "b", "c"], sequenced=True)
    keys = [(await take(lanes, True, 1)).key for _ in range(4)]
    assert sorted(keys) == ["a", "a", "b", "b"]
    assert (await take(lanes, True, 1, reduces=True)).key == "c"
    async with (
        lanes.turn(reduces_risk=False, timeout_s=1.0) as one,
        lanes.turn(reduces_risk=False, timeout_s=1.0) as two,
    ):
        assert {one.lane.key, two.lane.key} == {"a", "b"}
        with pytest.raises(LaneLostError):
            async with lanes.turn(reduces_risk=False, timeout_s=0.01):
                pytest.fail("the last key is not for entries")
        async with lanes.turn(reduces_risk=True, timeout_s=1.0) as urgent:
            assert urgent.lane.key == "c"


async def test_what_reduces_risk_takes_any_free_key() -> None:
    lanes = Lanes(["a", "b"], sequenced=True)
    async with (
        lanes.turn(reduces_risk=True, timeout_s=1.0) as one,
        lanes.turn(reduces_risk=True, timeout_s=1.0) as two,
    ):
        assert (one.lane.key, two.lane.key) == ("b", "a")


async def test_unnumbered_lanes_never_wait() -> None:
    lanes = Lanes(["k"], sequenced=False)
    async with (
        lanes.turn(reduces_risk=False, timeout_s=0.0) as one,
        lanes.turn(reduces_risk=False, timeout_s=0.0) as two,
    ):
        assert one.lane == two.lane == Lane("k", None)


@pytest.mark.parametrize(
    ("told", "foreign"),
    [
        (8, 0),  # it did not arrive
        (9, 0),  # it did
        (3, 0),  # the answer is old
        (10, 1),
        (14, 5),
    ],
)
async def test_numbers_that_are_gone_are_anothers(told: int, foreign: int) -> None:
    lanes = Lanes(["k"], sequenced=True)
    await take(lanes, True, 7)
    await take(lanes, None)  # number 8
    await take(lanes, False, told)
    assert lanes.foreign == ({"k": foreign} if foreign else {})


async def test_foreign_use_is_not_forgotten() -> None:
    lanes = Lanes(["k"], sequenced=True)
    await take(lanes, None, 7)
    await take(lanes, None, 20)
    await take(lanes, True, 21)
    assert lanes.foreign == {"k": 12}


def test_an_account_without_keys_has_no_lanes() -> None:
    with pytest.raises(AssertionError, match="cannot sign"):
        Lanes([], sequenced=True)

"""Lanes: one transaction at a time per numbered key, and no number on a guess."""

from __future__ import annotations

import asyncio

import pytest

from twinleg.core.trading import Lane
from twinleg.runtime import lanes as lanes_room
from twinleg.runtime.lanes import LaneLostError, Lanes, Turn

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


async def test_a_held_lane_is_given_to_whoever_wants_to_send() -> None:
    lanes = Lanes(["k"], sequenced=True)
    await take(lanes, True, 7)
    held: list[Turn] = []
    turn = lanes.hold(lambda: lanes.end(held[0]), reduces_risk=False)
    assert turn is not None
    held.append(turn)
    turn.spent = False
    assert lanes.hold(lambda: None, reduces_risk=True) is None
    assert await take(lanes, True) == Lane("k", 8)
    assert lanes.hold(lambda: None, reduces_risk=True) is not None


async def test_a_holder_that_needs_time_is_waited_for() -> None:
    lanes = Lanes(["k"], sequenced=True)
    asked: list[str] = []
    turn = lanes.hold(lambda: asked.append("yield"), reduces_risk=False)
    assert turn is not None
    waiting = asyncio.create_task(take(lanes, True, reduces=True))
    await asyncio.sleep(0)
    with pytest.raises(LaneLostError):
        await take_soon(lanes)
    assert asked == ["yield"]
    turn.learn(3)
    turn.spent = False
    lanes.end(turn)
    assert await waiting == Lane("k", 3)


async def take_soon(lanes: Lanes) -> None:
    async with lanes.turn(reduces_risk=True, timeout_s=0.01):
        pytest.fail("somebody else's")


async def test_what_is_kept_is_not_taken_away() -> None:
    lanes = Lanes(["k"], sequenced=True)
    turn = lanes.hold(lambda: pytest.fail("it is sending"), reduces_risk=False)
    assert turn is not None
    lanes.keep(turn)
    lanes.doubt()
    with pytest.raises(LaneLostError):
        await take_soon(lanes)
    assert turn.doubted


async def test_a_number_in_doubt_is_not_held() -> None:
    lanes = Lanes(["k"], sequenced=True)
    asked: list[str] = []
    assert lanes.hold(lambda: asked.append("yield"), reduces_risk=False) is not None
    lanes.doubt()
    assert asked == ["yield"]


async def test_free_lanes_are_held_and_the_last_not_for_entries() -> None:
    lanes = Lanes(["a", "b"], sequenced=True)
    one = lanes.hold(lambda: None, reduces_risk=False)
    assert one is not None
    assert one.lane.key == "a"
    assert lanes.hold(lambda: None, reduces_risk=False) is None
    other = lanes.hold(lambda: None, reduces_risk=True)
    assert other is not None
    assert other.lane.key == "b"


async def test_a_lane_is_asked_for_by_name() -> None:
    lanes = Lanes(["a", "b", "c"], sequenced=True)
    async with lanes.turn(reduces_risk=False, timeout_s=0.0, key="b") as turn:
        assert turn.lane.key == "b"


async def test_a_lane_that_came_as_the_wait_ended_is_the_next_ones() -> None:
    lanes = Lanes(["k"], sequenced=True)
    async with lanes.turn(reduces_risk=False, timeout_s=1.0):
        waiting = asyncio.create_task(take(lanes, True))
        await asyncio.sleep(0)
    waiting.cancel()  # after the lane became its own, before it could run
    await asyncio.gather(waiting, return_exceptions=True)
    assert await take(lanes, True, 1) == Lane("k", 1)


async def test_what_was_sent_with_a_number_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_room, "NUMBERS_KEPT", 2)
    lanes = Lanes(["k"], sequenced=True)
    for number, spent in ((0, None), (0, True), (1, True), (2, True)):
        async with lanes.turn(reduces_risk=False, timeout_s=0.0) as turn:
            if turn.number is None:
                turn.learn(number)
            turn.leaves(f"{number} {spent}")
            turn.spent = spent
        if number == 0 and spent:
            assert lanes.sent_with(Lane("k", 0)) == ("0 None", "0 True")
    assert [lanes.sent_with(Lane("k", number)) for number in range(3)] == [(), ("1 True",), ("2 True",)]
    assert lanes.sent_with(Lane("other", 0)) == lanes.sent_with(Lane("k", None)) == ()


async def test_a_number_that_another_has_puts_ours_in_doubt() -> None:
    lanes = Lanes(["k"], sequenced=True)
    assert not lanes.used(Lane("k", 3), "theirs", ours=False)  # before the venue's first word
    await take(lanes, True, 7)
    assert not lanes.used(Lane("k", 7), "long ago", ours=False)
    assert lanes.used(Lane("k", 8), "theirs", ours=False)
    assert not lanes.used(Lane("k", 8), "theirs", ours=False)
    assert await known(lanes) is None
    assert await take(lanes, True, 9) == Lane("k", 9)
    assert lanes.foreign == {"k": 1}
    assert lanes.taker(Lane("k", 8)) == "theirs"
    assert lanes.taker(Lane("k", 9)) is None


def test_an_account_without_keys_has_no_lanes() -> None:
    with pytest.raises(AssertionError, match="cannot sign"):
        Lanes([], sequenced=True)

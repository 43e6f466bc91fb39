"""A connection's pace: order, budgets, back-off, refusals, and a clock that steps back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twinleg.core.subscriptions import (
    BACK_OFF_MS_MAX,
    CALM_MS,
    HOPELESS_AFTER_ASKS,
    MINUTE_MS,
    RESERVED_PER_MINUTE,
    Pace,
    Subscriptions,
)

NOW = 1_790_000_000_000


def pace(messages: int = 100, in_flight: int = 10, repeat: int = 2) -> Pace:
    return Pace(
        messages_per_minute=messages, in_flight_max=in_flight, answer_ms_max=5_000, messages_per_repeat=repeat
    )  # fmt: skip


def asked(subscriptions: Subscriptions, at_ms: int) -> list[str]:
    return [ask.topic for ask in subscriptions.due(at_ms)]


def test_topics_are_asked_in_order_and_once() -> None:
    subscriptions = Subscriptions("abc", pace())
    assert subscriptions.due(NOW) == [("a", False), ("b", False), ("c", False)]
    assert subscriptions.due(NOW) == []


def test_only_so_many_are_in_flight() -> None:
    subscriptions = Subscriptions("abcd", pace(in_flight=2))
    assert asked(subscriptions, NOW) == ["a", "b"]
    subscriptions.answered("a", NOW)
    assert asked(subscriptions, NOW) == ["c"]
    subscriptions.refused("b")
    assert asked(subscriptions, NOW) == ["d"]


def test_a_minute_holds_so_many_messages_with_a_reserve_for_heartbeats() -> None:
    subscriptions = Subscriptions("abcd", pace(messages=RESERVED_PER_MINUTE + 2))
    assert asked(subscriptions, NOW) == ["a", "b"]
    assert [subscriptions.spend(NOW) for _ in range(RESERVED_PER_MINUTE + 1)] == [True] * RESERVED_PER_MINUTE + [False]
    assert asked(subscriptions, NOW + MINUTE_MS - 1) == []
    subscriptions.expire(NOW + MINUTE_MS)
    assert asked(subscriptions, NOW + MINUTE_MS) == ["a"], "asking again takes two messages"


def test_what_was_spent_stays_spent_over_a_reconnect() -> None:
    subscriptions = Subscriptions("ab", pace(messages=RESERVED_PER_MINUTE + 2))
    assert asked(subscriptions, NOW) == ["a", "b"]
    subscriptions.reset()
    assert asked(subscriptions, NOW + 1) == []
    assert subscriptions.due(NOW + MINUTE_MS) == [("a", False), ("b", False)]


def test_a_lost_topic_is_asked_again_ever_more_slowly() -> None:
    subscriptions = Subscriptions("a", pace())
    gaps = []
    last = now = NOW
    subscriptions.due(now)
    for _ in range(9):
        subscriptions.answered("a", now)
        subscriptions.again("a", now)
        while not asked(subscriptions, now):
            now += 500
        gaps.append(now - last)
        last = now
    assert gaps == [0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, BACK_OFF_MS_MAX, BACK_OFF_MS_MAX]


def test_a_calm_minute_forgives() -> None:
    subscriptions = Subscriptions("a", pace())
    for _ in range(4):
        subscriptions.due(NOW)
        subscriptions.answered("a", NOW)
        subscriptions.again("a", NOW)
    assert asked(subscriptions, NOW + 60_000) == ["a"]
    subscriptions.answered("a", NOW + 60_000)
    subscriptions.again("a", NOW + 60_000 + CALM_MS)
    assert subscriptions.due(NOW + 60_000 + CALM_MS) == [("a", True)]


def test_an_overdue_answer_is_asked_for_again() -> None:
    subscriptions = Subscriptions("ab", pace())
    subscriptions.due(NOW)
    subscriptions.answered("a", NOW)
    assert subscriptions.expire(NOW + 4_999) == []
    assert subscriptions.expire(NOW + 5_000) == ["b"]
    assert subscriptions.due(NOW + 5_000) == [("b", True)]
    assert subscriptions.hopeless is None


def test_a_refused_topic_is_left_alone() -> None:
    subscriptions = Subscriptions("a", pace())
    subscriptions.due(NOW)
    subscriptions.refused("a")
    assert subscriptions.expire(NOW + 60_000) == []
    assert asked(subscriptions, NOW + 60_000) == []
    assert subscriptions.hopeless is None


def starve(subscriptions: Subscriptions, now_ms: int, answered: str = "") -> int:
    """Ask and answer only `answered`, until HOPELESS_AFTER_ASKS answers are overdue. Returns the time."""
    for _ in range(HOPELESS_AFTER_ASKS):
        assert subscriptions.hopeless is None
        while not [ask for ask in subscriptions.due(now_ms) if ask.topic not in answered]:
            now_ms += 1_000
        for topic in answered:
            subscriptions.answered(topic, now_ms)
        now_ms += 5_000
        subscriptions.expire(now_ms)
    return now_ms


def test_a_connection_that_answers_nothing_is_hopeless() -> None:
    subscriptions = Subscriptions("ab", pace())
    starve(subscriptions, NOW)
    assert subscriptions.hopeless == "no subscription is answered"
    subscriptions.reset()
    assert subscriptions.hopeless is None


def test_a_topic_that_was_never_delivered_is_no_reason() -> None:
    subscriptions = Subscriptions("ab", pace())
    now = starve(subscriptions, NOW, answered="b")
    assert subscriptions.hopeless is None
    while not subscriptions.due(now):
        now += 1_000


def test_a_topic_that_is_delivered_no_more_is_one() -> None:
    subscriptions = Subscriptions("ab", pace())
    subscriptions.due(NOW)
    subscriptions.answered("a", NOW)
    subscriptions.answered("b", NOW)
    subscriptions.again("a", NOW)
    starve(subscriptions, NOW, answered="b")
    assert subscriptions.hopeless == "a is not answered any more"
    subscriptions.answered("a", NOW)
    assert subscriptions.hopeless is None


def test_nothing_is_asked_while_held() -> None:
    subscriptions = Subscriptions("a", pace())
    subscriptions.hold(10_000, NOW)
    assert asked(subscriptions, NOW + 9_999) == []
    assert asked(subscriptions, NOW + 10_000) == ["a"]


def test_unknown_names_of_the_venue_are_ignored() -> None:
    subscriptions = Subscriptions("a", pace())
    subscriptions.answered("zz", NOW)
    subscriptions.refused("zz")
    assert asked(subscriptions, NOW) == ["a"]


def test_a_clock_that_steps_back_delays_and_breaks_nothing() -> None:
    subscriptions = Subscriptions("ab", pace(messages=RESERVED_PER_MINUTE + 1))
    assert asked(subscriptions, NOW) == ["a"]
    back = NOW - 3_600_000
    subscriptions.answered("a", back)
    assert asked(subscriptions, back + 1_000) == []
    assert asked(subscriptions, back + MINUTE_MS) == ["b"]


@given(st.lists(st.tuples(st.integers(0, 9_000), st.sampled_from(["answer", "lose", "wait", "ping"])), max_size=80))
def test_budgets_hold_whatever_happens(steps: list[tuple[int, str]]) -> None:
    topics = [f"t{number}" for number in range(12)]
    subscriptions = Subscriptions(topics, pace(messages=20, in_flight=4))
    now, sent, waiting = NOW, [], []
    for step_ms, what in steps:
        now += step_ms
        overdue = subscriptions.expire(now)
        waiting = [topic for topic in waiting if topic not in overdue]
        for topic, again in subscriptions.due(now):
            assert topic not in waiting
            waiting.append(topic)
            sent += [now] * (2 if again else 1)
        if what == "ping" and subscriptions.spend(now):
            sent.append(now)
        if what in ("answer", "lose") and waiting:
            topic = waiting.pop(0)
            subscriptions.answered(topic, now)
            if what == "lose":
                subscriptions.again(topic, now)
        assert len(waiting) <= 4
        assert sum(at > now - MINUTE_MS for at in sent) <= 20

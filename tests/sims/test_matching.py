"""The matching engine against a naive model, and the rules that a reader of its changes relies on."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinleg_sims.matching import CHANGES_KEPT, Engine, ReaderBehindError, Side, TimeInForce


@dataclass
class NaiveOrder:
    number: int
    owner: int
    side: Side
    ticks: int
    lots: int


@dataclass
class NaiveBook:
    """A list of resting orders in order of arrival; the best is searched for anew each time."""

    resting: list[NaiveOrder] = field(default_factory=list)
    trades: list[tuple[int, int, int, int]] = field(default_factory=list)
    count: int = 0

    def best_against(self, side: Side, ticks: int) -> NaiveOrder | None:
        sign = 1 if side == "bid" else -1
        matches = [o for o in self.resting if o.side != side and sign * o.ticks <= sign * ticks]
        return min(matches, key=lambda o: (sign * o.ticks, o.number)) if matches else None

    def submit(self, owner: int, side: Side, ticks: int, lots: int, tif: TimeInForce) -> None:
        self.count += 1
        if tif == "post_only" and self.best_against(side, ticks):
            return
        taker = self.count
        while lots and (maker := self.best_against(side, ticks)):
            if maker.owner == owner:
                self.resting.remove(maker)
                continue
            done = min(lots, maker.lots)
            self.trades.append((maker.ticks, done, taker, maker.number))
            lots -= done
            maker.lots -= done
            if not maker.lots:
                self.resting.remove(maker)
        if lots and tif != "ioc":
            self.resting.append(NaiveOrder(taker, owner, side, ticks, lots))

    def shrink(self, number: int, lots: int | None) -> None:
        for order in [o for o in self.resting if o.number == number]:
            order.lots -= order.lots if lots is None else min(lots, order.lots)
            if not order.lots:
                self.resting.remove(order)

    def levels(self, side: Side) -> list[tuple[int, int]]:
        sizes: dict[int, int] = {}
        for order in self.resting:
            if order.side == side:
                sizes[order.ticks] = sizes.get(order.ticks, 0) + order.lots
        return sorted(sizes.items(), reverse=side == "bid")


submits = st.tuples(
    st.just("submit"),
    st.integers(1, 4),
    st.sampled_from(["bid", "ask"]),
    st.integers(95, 105),
    st.integers(1, 9),
    st.sampled_from(["gtt", "gtt", "ioc", "post_only"]),
)
cancels = st.tuples(st.just("cancel"), st.integers(1, 60))
reductions = st.tuples(st.just("reduce"), st.integers(1, 60), st.integers(1, 5))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(submits, submits, cancels, reductions), max_size=60))
def test_the_engine_does_what_a_naive_book_does(steps: list[tuple]) -> None:
    engine, naive = Engine(first_nonce=1_000), NaiveBook()
    followed: dict[tuple[Side, int], int] = {}
    cursor = engine.nonce
    for step in steps:
        match step:
            case ("submit", owner, side, ticks, lots, tif):
                outcome = engine.submit(owner, side, ticks, lots, 0, tif)
                naive.submit(owner, side, ticks, lots, tif)
                assert outcome.order_id == naive.count
            case ("cancel", number):
                engine.cancel(number)
                naive.shrink(number, None)
            case ("reduce", number, lots):
                engine.reduce(number, lots)
                naive.shrink(number, lots)
        cursor, changes = engine.changes_since(cursor)
        for change in changes:
            held = followed.get((change.side, change.ticks), 0)
            assert held + change.delta_lots == change.lots
            followed[change.side, change.ticks] = change.lots
        for side in ("bid", "ask"):
            assert engine.levels(side) == naive.levels(side)
            kept = {ticks: lots for (at, ticks), lots in followed.items() if at == side and lots}
            assert kept == dict(engine.levels(side))
        assert [(t.ticks, t.lots, t.taker_order, t.maker_order) for t in engine.recent_trades(1000)] == naive.trades
        assert {order.id: order.lots for side in ("bid", "ask") for order in engine.orders(side)} == {
            order.number: order.lots for order in naive.resting
        }


def test_first_come_first_served_at_a_price_and_a_reduction_keeps_the_place() -> None:
    engine = Engine()
    first = engine.submit(1, "ask", 100, 5, 0).order_id
    second = engine.submit(2, "ask", 100, 5, 0).order_id
    engine.reduce(first, 2)
    outcome = engine.submit(3, "bid", 101, 4, 7, "ioc")
    assert [(trade.maker_order, trade.lots, trade.ticks, trade.at_ms) for trade in outcome.trades] == [
        (first, 3, 100, 7),
        (second, 1, 100, 7),
    ]


def test_every_change_of_a_level_is_one_nonce() -> None:
    engine = Engine(first_nonce=50)
    order = engine.submit(1, "bid", 10, 3, 0).order_id
    assert engine.nonce == 51
    engine.submit(2, "ask", 10, 1, 0, "ioc")
    engine.cancel(order)
    assert engine.nonce == 53
    assert engine.changes_since(50) == (53, [])


def test_readers_are_independent_and_one_too_far_behind_is_told() -> None:
    engine = Engine()
    early, _ = engine.changes_since(engine.nonce)
    for ticks in range(1, CHANGES_KEPT + 2):
        engine.submit(1, "bid", ticks, 1, 0)
    late, changes = engine.changes_since(engine.nonce - 2)
    assert len(changes) == 2
    assert late == engine.nonce
    with pytest.raises(ReaderBehindError):
        engine.changes_since(early)


def test_own_orders_do_not_trade_with_each_other() -> None:
    engine = Engine()
    mine = engine.submit(1, "ask", 100, 5, 0).order_id
    engine.submit(2, "ask", 101, 5, 0)
    outcome = engine.submit(1, "bid", 101, 5, 0, "ioc")
    assert outcome.self_cancelled == [(mine, 5)]
    assert [trade.ticks for trade in outcome.trades] == [101]

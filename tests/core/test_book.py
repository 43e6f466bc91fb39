"""One order book against a plain dict, over random changes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soak import examples
from twinleg.core.book import Book
from twinleg.core.messages import Level

LEVELS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=12)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("snapshot"), LEVELS, LEVELS),
        st.tuples(st.just("delta"), LEVELS, LEVELS),
        st.tuples(st.just("lose"), st.just([]), st.just([])),
    ),
    max_size=25,
)


class Plain:
    """The slow model: two dicts, sorted whenever they are asked."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.ready = False

    def change(self, kind: str, bids: list[Level], asks: list[Level]) -> None:
        if kind == "lose":
            self.ready = False
        elif kind == "snapshot":
            self.bids = {price: lots for price, lots in bids if lots}
            self.asks = {price: lots for price, lots in asks if lots}
            self.ready = True
        elif self.ready:
            self.bids |= dict(bids)
            self.asks |= dict(asks)

    def side(self, *, asks: bool) -> list[Level]:
        levels = [(price, lots) for price, lots in (self.asks if asks else self.bids).items() if lots]
        return sorted(levels, reverse=not asks)


def run(changes: list[tuple[str, list[Level], list[Level]]]) -> tuple[Book, Plain]:
    book, plain = Book("v:X"), Plain()
    for number, (kind, bids, asks) in enumerate(changes):
        if kind == "lose":
            book.lose(f"lost at {number}")
        else:
            (book.snapshot if kind == "snapshot" else book.delta)(bids, asks, number, number * 10)
        plain.change(kind, bids, asks)
        assert list(book.levels(asks=False)) == plain.side(asks=False)
        assert list(book.levels(asks=True)) == plain.side(asks=True)
        assert book.ready is plain.ready
    return book, plain


@settings(max_examples=examples(150))
@given(CHANGES)
def test_any_sequence_of_changes_leaves_what_the_dict_holds(
    changes: list[tuple[str, list[Level], list[Level]]],
) -> None:
    book, plain = run(changes)
    bids, asks = plain.side(asks=False), plain.side(asks=True)
    assert book.two_sided is bool(bids and asks)
    assert book.crossed is bool(bids and asks and bids[0][0] >= asks[0][0])
    if bids and asks:
        assert Fraction(book.mid_ticks) == Fraction(bids[0][0] + asks[0][0], 2)
    exact = [*book.bid_prices, *book.ask_prices, *book.bids.values(), *book.asks.values()]
    assert all(type(number) is int for number in exact)
    assert list(book.levels(asks=True, limit=2)) == asks[:2]


@settings(max_examples=examples(150))
@given(LEVELS, st.integers(1, 60), st.booleans())
def test_a_walk_takes_lot_by_lot_from_the_best(levels: list[Level], lots: int, asks: bool) -> None:
    book, plain = run([("snapshot", levels, levels)])
    one_by_one = [price for price, shown in plain.side(asks=asks) for _ in range(shown)]
    walk = book.walk(lots, asks=asks)
    if lots > len(one_by_one):
        assert walk is None
        return
    assert walk is not None
    taken = one_by_one[:lots]
    assert (walk.lots, walk.ticks_lots, walk.worst_ticks) == (lots, sum(taken), taken[-1])
    assert walk.vwap_ticks == pytest.approx(sum(taken) / lots)


@settings(max_examples=examples(150))
@given(LEVELS, st.integers(0, 45), st.booleans())
def test_depth_counts_what_is_no_worse_than_the_bound(levels: list[Level], worst: int, asks: bool) -> None:
    book, plain = run([("snapshot", levels, levels)])
    near = [lots for price, lots in plain.side(asks=asks) if (price <= worst if asks else price >= worst)]
    assert book.depth_lots(worst, asks=asks) == sum(near)


def test_a_lost_book_takes_no_change_before_its_next_snapshot() -> None:
    book = Book("v:X")
    book.delta([(10, 1)], [(11, 1)], 1, 1)
    assert (book.ready, book.lost_reason) == (False, "no snapshot yet")
    book.snapshot([(10, 1)], [(11, 1)], 2, 2)
    book.lose("a gap")
    book.delta([(10, 0)], [], 3, 3)
    assert (book.ready, book.lost_reason, book.received_ns) == (False, "a gap", 2)
    assert book.bids == {10: 1}, "the last levels stay visible for the record"
    book.snapshot([(9, 1)], [(12, 1)], 4, 4)
    assert (book.ready, book.ready_since_ns, book.lost_reason) == (True, 4, "")


def test_a_snapshot_of_a_ready_book_does_not_restart_its_cooldown() -> None:
    book = Book("v:X")
    book.snapshot([(10, 1)], [(11, 1)], 1, 100)
    book.snapshot([(10, 2)], [(11, 2)], 2, 200)
    assert (book.ready_since_ns, book.received_ns, book.venue_ms) == (100, 200, 2)


def test_of_a_price_told_twice_the_last_counts() -> None:
    book = Book("v:X")
    book.snapshot([(10, 1), (10, 3)], [(11, 1), (12, 1)], 1, 1)
    book.delta([], [(11, 0), (11, 4), (12, 5), (12, 0)], 2, 2)
    assert (book.bids, list(book.levels(asks=True))) == ({10: 3}, [(11, 4)])


def test_nothing_and_less_than_nothing_cannot_be_walked() -> None:
    for lots in (0, -1):
        with pytest.raises(AssertionError):
            Book("v:X").walk(lots, asks=True)

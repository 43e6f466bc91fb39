"""The account as its stream tells it."""

from __future__ import annotations

from typing import Any

from twinleg.core.orders import Side
from twinleg.core.trading import IN_DOUBT, AccountSnapshot, BalanceSeen, Incident, OrderSeen, PositionSeen
from twinleg.gateway.held import Held


def order(name: str, *, resting: bool = True) -> OrderSeen:
    return OrderSeen(
        venue="v",
        market="v:A",
        client_id=None,
        venue_order_id=name,
        side=Side.BUY,
        size_lots=1,
        filled_lots=0,
        price_ticks=1,
        reduce_only=False,
        resting=resting,
        reason="open",
        at_ms=1,
    )


def position(market: str, lots: int) -> PositionSeen:
    return PositionSeen("v", market, lots, None, None, None, 1)


def whole(kind: str, *rows: Any) -> AccountSnapshot:
    return AccountSnapshot("v", kind, None, rows, 1)


def names(held: Held) -> list[str] | None:
    rows = held.rows("orders")
    return None if rows is None else [row.venue_order_id for row in rows]


def test_nothing_is_known_before_all_is() -> None:
    held = Held()
    held.heard([order("1"), position("v:A", 5)])
    assert (held.rows("orders"), held.rows("positions")) == (None, None)
    held.heard([whole("orders")])
    assert (held.rows("orders"), held.rows("positions")) == ([], None)


def test_changes_follow() -> None:
    held = Held()
    held.heard([whole("orders", order("1"), order("2")), order("3"), order("1", resting=False)])
    assert names(held) == ["2", "3"]
    held.heard([whole("positions", position("v:A", 5)), position("v:B", -1), position("v:A", 0)])
    assert held.rows("positions") == [position("v:B", -1)]
    held.heard([whole("balance", BalanceSeen("v", 1, 1, None, None, 1)), BalanceSeen("v", 2, 1, None, None, 2)])
    assert held.rows("balance") == [BalanceSeen("v", 2, 1, None, None, 2)]
    held.heard([whole("orders", order("9"))])
    assert names(held) == ["9"]


def test_an_order_that_failed_without_a_number_is_none() -> None:
    held = Held()
    held.heard([whole("orders", order("1")), order("", resting=False)])
    assert names(held) == ["1"]


def test_a_doubt_ends_it() -> None:
    held = Held()
    held.heard([whole("orders", order("1")), Incident("v", "maintenance", "", 1)])
    assert names(held) == ["1"]
    held.heard([Incident("v", IN_DOUBT, "a bad row", 1)])
    assert held.rows("orders") is None

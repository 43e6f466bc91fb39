"""The unified orders: one shape, the venues' own path."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_process import Answer, call, until

from twinleg.core.amounts import Grid
from twinleg.gateway.bodies import AnyOrder
from twinleg.gateway.unified import units

ORDERS = {
    "lighter": {"venue": "lighter", "market": "ETH", "size": "0.0571", "price": "1500.03", "client_id": "4321"},
    "extended": {"venue": "extended", "market": "ETH-USD", "size": 0.06, "price": 1500, "client_id": "one-4321"},
}


def send(gateway: str, **order: Any) -> Answer:
    return call("POST", f"{gateway}/orders", {"side": "buy", **order})


@pytest.mark.parametrize("venue", ["lighter", "extended"])
def test_a_life(gateway: str, venue: str) -> None:
    order = ORDERS[venue]
    name, market = str(order["client_id"]), str(order["market"])
    placed = send(gateway, **order)
    assert placed.status == 200, placed
    assert placed.body["client_id"] == name
    assert bool(placed.body["tx_hash"]) is (venue == "lighter")
    shown = until(
        lambda: (got := call("GET", f"{gateway}/orders/{venue}/{name}?market={market}")).status == 200 and got
    )
    assert (float(shown.body["size"]), float(shown.body["price"])) == (float(order["size"]), float(order["price"]))
    change = {"venue": venue, "market": market, "client_id": name, "size": "0.07", "price": "1502"}
    changed = call("PATCH", f"{gateway}/orders", change)
    assert changed.status == 200, changed
    name = changed.body["client_id"]

    def row() -> Any:
        rows = call("GET", f"{gateway}/orders?venue={venue}").body["rows"]
        return [one for one in rows if one["client_id"] == name and float(one["price"]) == 1_502.0]

    until(row)
    query = f"venue={venue}&market={market}&client_id={name}"
    assert call("DELETE", f"{gateway}/orders?{query}").status == 200
    until(lambda: not row())


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": None},
        {"client_id": "abc"},
        {"client_id": "0"},
        {"client_id": str(2**30)},
        {"size": "0.05711"},
        {"price": "1500.001"},
        {"market": "NOPE"},
        {"order_type": "market", "time_in_force": "gtc"},
        {"post_only": True, "time_in_force": "ioc"},
    ],
)
def test_what_makes_no_sense(gateway: str, change: dict[str, Any]) -> None:
    assert send(gateway, **{**ORDERS["lighter"], **change}).status == 422


def test_the_cap_holds(gateway: str) -> None:
    assert send(gateway, **{**ORDERS["lighter"], "size": "1"}).body["code"] == "order_size"


def test_units_are_exact() -> None:
    assert units(Grid(decimals=4, step=5), 3) == 15
    assert AnyOrder(side="buy", **{**ORDERS["lighter"], "size": 0.29}).size * 100 == 29  # type: ignore[arg-type]

"""Callers' orders over HTTP against the simulated venues: placed, seen, changed, cancelled, refused, lost and found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from gateway_process import Answer, Venues, call, until

from twinleg.core.trading import OUR_IDS_FROM, SendVerdict
from twinleg.gateway.bodies import LighterOrder
from twinleg.gateway.orders import lighter_fields
from twinleg.gateway.outcomes import problem_of
from twinleg.gateway.placing import InDoubtError
from twinleg.gateway.problems import Problem
from twinleg.gateway.touches import Touches
from twinleg.gateway.views import market_shown
from twinleg.runtime.ports import Reply
from twinleg.runtime.sender import Sent

numbers = count(1_000)
LOW, NOW_MS = 150_000, 1_800_000_000_000
"""1500.00 for an ETH: nobody sells for it."""


class Gateway:
    """One caller of the gateway."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Answer:
        return call("GET", self.url + path)

    def post(self, path: str, body: Any) -> Answer:
        return call("POST", self.url + path, body)

    def lighter(self, **more: Any) -> Answer:
        """A bid far below the market, 0.1 ETH."""
        order = {"market_index": 0, "client_order_index": next(numbers), "base_amount": 1_000, "is_ask": False}
        return self.post("/orders/lighter", {**order, "price": LOW, **more})

    def extended(self, **more: Any) -> Answer:
        order = {"market": "ETH-USD", "side": "buy", "qty": "0.1", "price": "1500", "post_only": True}
        return self.post("/orders/extended", {**order, **more})

    def resting(self, venue: str) -> list[str]:
        """Names of what rests at a venue."""
        return [row["client_id"] for row in self.get(f"/orders?venue={venue}").body["rows"]]

    def state(self, venue: str, market: str, name: str) -> str | None:
        answer = self.get(f"/orders/{venue}/{name}?market={market}")
        return None if answer.status == 404 else str(answer.body["state"])


@pytest.fixture
def caller(gateway: str) -> Iterator[Gateway]:
    found = Gateway(gateway)
    yield found
    for venue in ("lighter", "extended"):
        assert found.post(f"/orders/{venue}/cancel-all", {}).status == 200


def test_health(caller: Gateway) -> None:
    answer = caller.get("/health")
    assert (answer.status, answer.body["status"], answer.body["orders"]) == (200, "ok", "live")
    assert (answer.body["lighter_connected"], answer.body["extended_connected"]) == (True, True)


def test_the_documented_order_is_sent_as_it_stands(caller: Gateway) -> None:
    order = LighterOrder.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index, call-overload]
    answer = caller.post("/orders/lighter", {**order, "client_order_index": next(numbers)})
    assert answer.status == 200, answer
    assert answer.body["payload"]["code"] == 200
    assert answer.body["payload"]["tx_hash"] == answer.body["tx_hash"]
    until(lambda: [row for row in caller.get("/positions?venue=lighter").body["rows"] if row["market"] == "ETH"])
    assert until(lambda: caller.get("/fills?venue=lighter").body["rows"])[0]["side"] == "sell"


def test_a_life_at_lighter(caller: Gateway) -> None:
    placed = caller.lighter(client_order_index=99)
    assert set(placed.body) == {"tx_hash", "client_order_index", "payload"}
    until(lambda: "99" in caller.resting("lighter"))
    change = {"market": "ETH", "client_id": "99", "size": "0.12", "price": "1501.5"}
    assert caller.post("/orders/lighter/modify", change).status == 200
    row = until(lambda: [one for one in caller.get("/orders").body["rows"] if one["price"] == "1501.50"])[0]
    assert (row["client_id"], row["size"], row["side"]) == ("99", "0.1200", "buy")
    assert caller.post("/orders/lighter/cancel", {"market": "ETH", "client_id": "99"}).status == 200
    until(lambda: "99" not in caller.resting("lighter"))
    assert until(lambda: caller.state("lighter", "ETH", "99")).startswith("canceled")


def test_a_life_at_extended(caller: Gateway) -> None:
    placed = caller.extended(external_id="life-1")
    assert (placed.status, placed.body["external_id"]) == (200, "life-1")
    assert placed.body["id"] == placed.body["payload"]["data"]["id"]
    change = {"market": "ETH-USD", "client_id": "life-1", "size": "0.11", "price": "1501", "new_client_id": "life-2"}
    assert until(lambda: (got := caller.post("/orders/extended/modify", change)).status == 200 and got).status == 200
    until(lambda: "life-2" in (names := caller.resting("extended")) and "life-1" not in names)
    assert caller.post("/orders/extended/cancel", {"market": "ETH-USD", "client_id": "life-2"}).status == 200
    until(lambda: "life-2" not in caller.resting("extended"))
    again = caller.post("/orders/extended/cancel", {"market": "ETH-USD", "client_id": "never-1"})
    assert (again.status, again.body["code"]) == (404, "no_such_order")


def test_an_order_without_a_name_gets_one(caller: Gateway) -> None:
    names = [caller.extended().body["external_id"] for _ in range(2)]
    assert len(set(names)) == 2
    until(lambda: set(names) <= set(caller.resting("extended")))


def test_cancel_all_in_one_market(caller: Gateway) -> None:
    name = next(numbers)
    caller.lighter(client_order_index=name)
    until(lambda: str(name) in caller.resting("lighter"))
    assert caller.post("/orders/lighter/cancel-all", {"market": "BTC"}).status == 200
    assert caller.post("/orders/lighter/cancel-all", {"market": "ETH"}).status == 200
    until(lambda: str(name) not in caller.resting("lighter"))


@pytest.mark.parametrize("venue", ["lighter", "extended"])
def test_an_order_is_held_to_its_cap(caller: Gateway, venue: str) -> None:
    answer = caller.lighter(base_amount=10_000) if venue == "lighter" else caller.extended(qty="1")
    assert (answer.status, answer.body["code"]) == (403, "order_size")
    assert (answer.body["limit"], answer.body["use"]) == (500.0, 1_500.0)


def test_a_sell_counts_at_the_price_it_would_get(caller: Gateway) -> None:
    answer = caller.lighter(is_ask=True, base_amount=10_000, order_type="market", price=None, avg_execution_price=1)
    assert (answer.status, answer.body["code"]) == (403, "order_size")
    assert answer.body["use"] > 1_000


def test_what_reduces_has_no_cap(caller: Gateway) -> None:
    """And no position to reduce here: the venue says so, not we."""
    answer = caller.extended(qty="1", reduce_only=True, market="SOL-USD", price="1")
    assert answer.body["code"] != "order_size"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"market_index": 200}, "unknown_market"),
        ({"api_key_index": 99}, "unknown_slot"),
        ({"client_order_index": OUR_IDS_FROM}, "invalid"),
        ({"order_expiry": 1}, "invalid"),
        ({"trigger_price": 5}, "invalid"),
        ({"frobnicate": 1}, "invalid"),
    ],
)
def test_what_makes_no_sense_is_refused(caller: Gateway, change: dict[str, Any], code: str) -> None:
    answer = caller.lighter(**change)
    assert (answer.status, answer.body["code"]) == (422, code), answer


def test_a_price_between_two_ticks(caller: Gateway) -> None:
    assert caller.extended(price="1500.0000001").body["code"] == "off_grid"


def test_engine_names_are_not_for_callers(caller: Gateway) -> None:
    assert caller.extended(external_id="T000001-long-0").body["code"] == "reserved_name"


def test_a_nonce_must_be_the_next(caller: Gateway, simulated: Venues) -> None:
    slot = simulated.slots[1]
    answer = caller.lighter(api_key_index=slot, nonce=10**9)
    assert (answer.status, answer.body["code"]) == (409, "nonce")
    following = int(answer.body["detail"].split(" is ")[1].split(",")[0])
    assert caller.lighter(api_key_index=slot, nonce=following).status == 200


def test_drift_is_not_there_yet(caller: Gateway) -> None:
    order = {"market_index": 0, "direction": "long", "base_amount": 0.25, "price": 175.5}
    assert caller.post("/orders/drift", order).body["code"] == "venue_disabled"
    assert caller.post("/orders/drift", {**order, "direction": "up"}).status == 422


@pytest.mark.parametrize("venue", ["lighter", "extended"])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("reject", 409, "margin"), ("write_429", 429, "rate_limit"), ("error_ack", 504, "outcome_unknown")],
)
def test_what_a_venue_says_comes_back(
    caller: Gateway, simulated: Venues, venue: str, fault: str, status: int, code: str
) -> None:
    name = next(numbers)
    with simulated.fault(venue, fault):
        if venue == "lighter":
            answer = caller.lighter(client_order_index=name)
        else:
            answer = caller.extended(external_id=f"n-{name}")
    assert (answer.status, answer.body["code"]) == (status, code), answer
    assert answer.body["payload"]
    assert str(name) in str(answer.body.get("client_order_index", answer.body.get("external_id")))
    if status == 429:
        assert int(answer.headers["retry-after"]) >= 1
        until(lambda: caller.lighter().status == 200 if venue == "lighter" else caller.extended().status == 200)


def test_a_venue_that_is_down(caller: Gateway, simulated: Venues) -> None:
    """What the stream tells is still known."""
    with simulated.fault("extended", "http_500"):
        until(lambda: caller.get("/fills?venue=extended").body.get("code") == "not_read")
        both = until(lambda: (got := caller.get("/fills")).body.get("missing") and got)
        assert set(both.body["missing"]) == {"extended"}
        assert caller.get("/balances?venue=extended").body["rows"]
        answer = caller.extended(external_id="down-1")
        assert (answer.status, answer.body["code"]) == (504, "outcome_unknown")


def test_the_same_name_twice(caller: Gateway) -> None:
    assert caller.extended(external_id="twice-1").status == 200
    answer = caller.extended(external_id="twice-1")
    assert (answer.status, answer.body["code"]) == (409, "duplicate")


def test_lists_and_books(caller: Gateway) -> None:
    rows = caller.get("/markets?venue=lighter").body["rows"]
    eth = next(row for row in rows if row["native_id"] == "0")
    assert (eth["market"], eth["size_decimals"], eth["price_decimals"]) == ("ETH", 4, 2)
    books = {book["venue"]: book for book in caller.get("/books/eth?size=0.5&depth=3").body}
    assert set(books) == {"lighter", "extended"}
    assert all(len(book["bids"]) == 3 and book["sell_vwap"] < book["buy_vwap"] for book in books.values())
    assert caller.get("/books/nothing").status == 404
    assert {row["venue"] for row in caller.get("/balances").body["rows"]} == {"lighter", "extended"}
    assert caller.get("/orders/lighter/424242?market=ETH").body["code"] == "no_such_order"


# -- without venues -------------------------------------------------------------------------------------------------


def test_lighter_orders_in_the_signers_words() -> None:
    def fields(**more: Any) -> dict[str, Any]:
        order = {"market_index": 0, "client_order_index": 1, "base_amount": 5, "is_ask": True, "price": 9, **more}
        return lighter_fields(LighterOrder(**order), NOW_MS)

    assert (fields()["time_in_force"], fields()["expiry_ms"] > NOW_MS) == (1, True)
    assert fields(time_in_force="ioc")["expiry_ms"] == 0
    assert fields(order_expiry_secs=1_800_000_600)["expiry_ms"] == 1_800_000_600_000
    market = fields(order_type="market", price=None, avg_execution_price=7)
    assert (market["order_type"], market["time_in_force"], market["price"], market["expiry_ms"]) == (1, 0, 7, 0)
    stop = fields(order_type="stop_loss", trigger_price=8)
    assert (stop["order_type"], stop["time_in_force"], stop["expiry_ms"] > 0) == (2, 0, True)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (Sent(SendVerdict.REJECTED, "not sent: request budget", retry_after_s=2.5), 429, "rate_limit"),
        (Sent(SendVerdict.REJECTED, "never left: refused"), 503, "not_sent"),
        (Sent(SendVerdict.UNKNOWN, "no answer", reply=Reply(None, b"", "timeout")), 504, "outcome_unknown"),
        (Sent(SendVerdict.REJECTED, "401", reply=Reply(401, b"{}"), incident="key_refused"), 502, "venue_auth"),
        (Sent(SendVerdict.REJECTED, "21702", reply=Reply(400, b'{"code":21702}')), 400, "venue_rejected"),
        (Sent(SendVerdict.REJECTED, "21104", reply=Reply(400, b'{"code":21104}')), 409, "venue_conflict"),
        (Sent(SendVerdict.UNKNOWN, "<html>", reply=Reply(502, b"<html>")), 504, "outcome_unknown"),
        (Sent(SendVerdict.UNKNOWN, "21728", exists=True, reply=Reply(400, b'{"code":21728}')), 409, "duplicate"),
    ],
)
def test_statuses(sent: Sent, status: int, code: str) -> None:
    problem = problem_of("lighter", sent, {"client_order_index": 5})
    assert isinstance(problem, Problem)
    assert (problem.status_code, problem.code, problem.body["client_order_index"]) == (status, code, 5)
    assert ("Retry-After" in (problem.headers or {})) == (status in (429, 503))
    assert not isinstance(problem, InDoubtError)


def test_what_was_accepted_is_no_problem() -> None:
    assert problem_of("lighter", Sent(SendVerdict.ACCEPTED, "queued"), {}) is None


def test_rooms() -> None:
    """Used above through the gateway itself."""
    assert Touches
    assert market_shown

"""Events: numbered, in order, to everybody; who is away goes on where it stopped, who is slow is cut off."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from gateway_process import Venues, call, serving

from twinleg.gateway.events import KEPT, WAITING_MAX, Events, GoneError, Subscriber, stamp
from twinleg.gateway.reads import Listing
from twinleg.gateway.recent import Recent
from twinleg.gateway.streaming import GONE

WAIT_S = 90.0
BID = {"market_index": 0, "base_amount": 1_000, "is_ask": False, "price": 150_000}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Clock:
    def wall_ms(self) -> int:
        return 1_714_566_896_789

    def mono_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("events wait for nothing")


def told(subscriber: Subscriber) -> list[int]:
    return [json.loads(text)["sequence"] for text in subscriber.waiting]


def test_times() -> None:
    assert stamp(1_714_566_896_789) == "2024-05-01T12:34:56.789000Z"


def test_everybody_hears_everything_in_order() -> None:
    events = Events(Clock())
    one, other = events.subscribe(), events.subscribe()
    first = events.publish("drift", {"a": 1}, {"b": 2})
    events.leave(other)
    second = events.publish("lighter", {}, {}, resolves=first)
    assert (told(one), told(other)) == ([first, second], [first])
    assert json.loads(one.waiting[0]) == {
        "venue": "drift",
        "payload": {"request": {"a": 1}, "response": {"b": 2}},
        "created_at": "2024-05-01T12:34:56.789000Z",
        "sequence": first,
    }
    assert json.loads(one.waiting[1])["resolves"] == first


def test_going_on_where_one_stopped() -> None:
    events = Events(Clock())
    numbers = [events.publish("x", {}, {}) for _ in range(KEPT + 5)]
    found = events.subscribe(numbers[-4])
    assert told(found) == numbers[-3:]
    assert told(events.subscribe(numbers[-1])) == []
    assert len(events.subscribe(numbers[4]).waiting) == KEPT
    for lost in (numbers[3], numbers[-1] + 1, 0):
        with pytest.raises(GoneError):
            events.subscribe(lost)
    events.publish("x", {}, {})
    assert len(found.waiting) == 4


def test_the_slow_are_cut_where_they_stopped() -> None:
    events = Events(Clock())
    slow, quick = events.subscribe(), events.subscribe()
    numbers = []
    for _ in range(WAITING_MAX + 3):
        numbers.append(events.publish("x", {}, {}))
        quick.waiting.clear()
    assert slow.cut == numbers[0] - 1
    assert (len(slow.waiting), quick.cut) == (0, None)


async def following(socket: aiohttp.ClientWebSocketResponse, wanted: Any) -> dict[str, Any]:
    """The first event that is wanted."""
    async with asyncio.timeout(WAIT_S):
        while True:
            event = await socket.receive_json()
            if wanted(event):
                return event  # type: ignore[no-any-return]


async def post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    async with session.post(url, json=body) as reply:
        return await reply.json(content_type=None)  # type: ignore[no-any-return]


async def test_each_request_and_its_answer(gateway: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{gateway}/ws/events") as socket:
        order = {**BID, "client_order_index": 501}
        answer = await post(session, f"{gateway}/orders/lighter", order)
        event = await following(socket, lambda event: event["payload"]["request"].get("client_order_index") == 501)
        assert event["payload"] == {"request": {"venue": "lighter", **order}, "response": answer}
        assert TIME.fullmatch(event["created_at"])
        for url, body, code in (
            ("/orders/lighter", {**BID, "client_order_index": 502, "base_amount": 10**9}, "order_size"),
            ("/orders/lighter", {**BID, "client_order_index": 503, "x": 1}, "invalid"),
            ("/orders/drift", {"market_index": 0, "direction": "long", "base_amount": 1}, "venue_disabled"),
        ):
            await post(session, gateway + url, body)
            failed = await following(socket, lambda event: event["payload"]["response"].get("code"))
            assert failed["payload"]["response"]["code"] == code
            assert failed["sequence"] == event["sequence"] + 1
            event = failed
        await post(session, f"{gateway}/orders/lighter/cancel", {"market": "ETH", "client_id": "501"})
        cancelled = await following(socket, lambda event: event["payload"]["request"].get("action") == "cancel")
        assert cancelled["payload"]["request"]["client_id"] == "501"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{gateway}/ws/events?since={event['sequence']}") as again,
    ):
        assert await following(again, lambda _: True) == cancelled


@pytest.mark.parametrize(("fault", "outcome"), [("lost_ack", "found"), ("error_ack", "found")])
@pytest.mark.parametrize("venue", ["lighter", "extended"])
async def test_an_open_fate_is_told_again_when_it_is_known(
    gateway: str, simulated: Venues, venue: str, fault: str, outcome: str
) -> None:
    name = f"{700 + 10 * (venue == 'extended') + (fault == 'lost_ack')}"
    if venue == "lighter":
        body: dict[str, Any] = {**BID, "client_order_index": int(name)}
    else:
        body = {"market": "ETH-USD", "side": "buy", "qty": "0.1", "price": "1500", "external_id": name}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{gateway}/ws/events") as socket:
        with simulated.fault(venue, fault):
            answer = await post(session, f"{gateway}/orders/{venue}", body)
        assert (answer["status"], answer["code"]) == (504, "outcome_unknown")
        first = await following(socket, lambda event: event["payload"]["response"].get("code") == "outcome_unknown")
        second = await following(socket, lambda event: event.get("resolves") == first["sequence"])
        assert second["payload"]["response"]["outcome"] == outcome
        assert second["payload"]["response"]["order"]["client_id"] == name
        await post(session, f"{gateway}/orders/{venue}/cancel-all", {})


async def test_what_is_not_remembered(gateway: str) -> None:
    async with aiohttp.ClientSession() as session:
        for since, code in (("5", GONE), ("abc", 4400), ("9" * 30, 4400)):
            async with session.ws_connect(f"{gateway}/ws/events?since={since}") as socket:
                message = await asyncio.wait_for(socket.receive(), WAIT_S)
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)
                assert message.extra


async def test_foreign_pages_do_not_follow(gateway: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{gateway}/ws/events", origin="https://evil.example")
    assert refused.value.status == 403


async def test_many_followers_hear_every_event(gateway: str) -> None:
    """A hundred, each told fifty events in order."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        sockets = [await session.ws_connect(f"{gateway}/ws/events") for _ in range(100)]
        for number in range(50):
            await post(session, f"{gateway}/orders/lighter", {**BID, "client_order_index": number, "x": 1})

        async def heard(socket: aiohttp.ClientWebSocketResponse) -> list[int]:
            return [(await following(socket, lambda _: True))["sequence"] for _ in range(50)]

        found = await asyncio.gather(*map(heard, sockets))
        assert all(one == found[0] for one in found)
        assert found[0] == list(range(found[0][0], found[0][0] + 50))
        await asyncio.gather(*(socket.close() for socket in sockets))


def test_numbers_grow_over_a_restart(tmp_path: Path, simulated: Venues) -> None:
    extended = {name: value for name, value in simulated.settings.items() if not name.startswith("LIGHTER")}
    extended = {name: value for name, value in extended.items() if "LIGHTER" not in name}

    async def number(address: str) -> int:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/ws/events") as socket:
            call("POST", f"{address}/orders/drift", {})
            return int((await following(socket, lambda _: True))["sequence"])

    with serving(tmp_path, **extended) as address:
        before = asyncio.run(number(address))
    with serving(tmp_path, **extended) as address:
        assert asyncio.run(number(address)) > before


def test_rooms() -> None:
    """Used above through the gateway itself."""
    assert Recent
    assert Listing

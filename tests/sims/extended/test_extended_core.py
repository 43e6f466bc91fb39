"""The core as a whole: pings, connections that go, and a course of events that repeats itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from extended_client import START_MS, USER_AGENT, Client
from hypothesis import given
from hypothesis import strategies as st

from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.extended.facts import MINUTE_MS, NO_LIMITS, RPC_PATH, STANDARD, STREAM_PREFIX
from twinleg_sims.faults import FaultRequest, Faults, Faulty
from twinleg_sims.protocol import Close, Frame, HttpRequest, Ping, Refuse
from twinleg_sims.world import World


@pytest.mark.parametrize("path", [RPC_PATH, "/publicTrades/OLD-USD"])
def test_a_client_that_answers_pings_stays(path: str) -> None:
    client = Client(assets=1)
    client.open(path)
    client.run(2 * MINUTE_MS, step_ms=500)
    assert [at_ms - client.pings[0][1] for _, at_ms in client.pings] == [15_000 * n for n in range(8)]
    assert client.closes == []


@pytest.mark.parametrize("path", [RPC_PATH, "/publicTrades/OLD-USD"])
def test_without_a_pong_the_connection_is_closed_ten_seconds_later(path: str) -> None:
    client = Client(assets=1)
    client.answers_pings = False
    client.open(path)
    client.run(24_900)
    assert client.closes == []
    client.run(100)
    (close,) = client.closes
    assert (close.connection, close.code, close.reason) == (1, 1011, "Ping timeout")
    before = len(client.payloads)
    client.run(MINUTE_MS, step_ms=500)
    assert len(client.payloads) == before
    assert client.send({"id": "1", "method": "ping"}) == []
    client.core.ws_closed(1)


def test_one_connection_goes_and_the_other_stays() -> None:
    client = Client()
    for number in (1, 2):
        client.open(RPC_PATH)
        client.subscribe("prices", number, type="mark", market="BTC-USD")
    client.core.ws_closed(1)
    client.run(5_000)
    assert client.of("prices.mark.BTC-USD", 1) == []
    assert client.of("prices.mark.BTC-USD", 2)


def course(seed: int) -> list[bytes]:
    client = Client(seed)
    client.open(RPC_PATH)
    client.open("/orderbooks")
    client.subscribe("orderbooks", market=None, depth="full")
    client.subscribe("trades", market=None)
    client.subscribe("prices", type="mark", market=None)
    client.subscribe("candles", type="last", market="BTC-USD", interval="PT1M")
    client.fault("crossed", "ETH-USD", for_s=5)
    client.run(30_000)
    rest = [client.get(f"/api/v1{path}").body for path in ("/info/markets", "/info/BTC-USD/funding")]
    return client.payloads + rest


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first = course(3)
    assert len(first) > 500
    assert course(3) == first
    assert course(4) != first


def test_limits_are_scaled_and_lifted() -> None:
    world = World(7, 1, START_MS)
    request = HttpRequest("GET", "/api/v1/info/settings", headers=USER_AGENT)
    for limits, admitted in ((STANDARD.scaled(2), 2_000), (NO_LIMITS, 2_100)):
        core = ExtendedCore(world, Faults(), limits)
        statuses = [core.http(request, world.now_ms).status for _ in range(2_100)]
        assert statuses.count(200) == admitted
    core = ExtendedCore(world, Faults(), STANDARD.scaled(2))
    core.ws_open(1, HttpRequest("GET", RPC_PATH, headers=USER_AGENT), world.now_ms)
    assert core.advance(START_MS + 15_000) == [Ping(1)]
    assert core.advance(START_MS + 34_999) == []
    assert core.advance(START_MS + 35_000) == [Close(1, 1011, "Ping timeout")]


def spoiled(kind: str, value: str = "") -> list[Any]:
    """The sequence numbers of a v2 connection on which one fault strikes, and its payloads."""
    world, faults = World(7, 1, START_MS), Faults()
    core = Faulty(ExtendedCore(world, faults), faults)
    core.ws_open(1, HttpRequest("GET", RPC_PATH, headers=USER_AGENT), world.now_ms)
    selector = {"market": "BTC-USD", "depth": "full"}
    subscribe = {"id": "1", "method": "subscribe", "params": {"scope": "orderbooks", "selector": selector}}
    outs = core.ws_message(1, json.dumps(subscribe).encode(), world.now_ms)[1:]
    faults.add(FaultRequest(kind, "extended", at_s=2, value=value), world.now_ms)
    for _ in range(100):
        world.advance(world.now_ms + 100)
        outs += core.advance(world.now_ms)
    return [json.loads(out.payload)["seq"] for out in outs if isinstance(out, Frame)]


def test_the_shared_faults_break_the_sequence_as_they_say() -> None:
    whole = spoiled("extra_field")
    assert whole == list(range(len(whole)))
    assert len(set(range(max(spoiled("gap")))) - set(spoiled("gap"))) == 1
    assert sorted(spoiled("duplicate")) == spoiled("duplicate")
    assert len(spoiled("duplicate")) == len(whole) + 1
    reordered = spoiled("reorder")
    assert reordered != sorted(reordered) == whole


FUZZED = Client(assets=1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["subscribe", "orderbooks", "full"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "method", "params", "scope", "selector", "market", "depth", "type", "interval"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON | st.binary(max_size=40))
def test_whatever_a_client_sends_it_gets_frames_or_silence(message: object) -> None:
    world = FUZZED.world
    FUZZED.core.ws_open(1, HttpRequest("GET", RPC_PATH, headers=USER_AGENT), world.now_ms)
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    assert all(isinstance(out, Frame) for out in FUZZED.core.ws_message(1, payload, world.now_ms))
    FUZZED.core.ws_closed(1)


SEGMENT = st.sampled_from(
    ["info", "markets", "BTC-USD", "candles", "trades", "funding", "assets", "price", "orderbooks", "prices", "user"]
) | st.text(max_size=5)
QUERY = st.lists(st.tuples(st.sampled_from(["interval", "limit", "endTime", "cursor", "depth"]), st.text(max_size=5)))


@given(st.lists(SEGMENT, max_size=5), QUERY, st.sampled_from(["/api/v1", STREAM_PREFIX, ""]))
def test_whatever_is_asked_for_gets_an_answer(segments: list[str], query: list[tuple[str, str]], prefix: str) -> None:
    core = ExtendedCore(FUZZED.world, Faults())
    request = HttpRequest("GET", "/".join([prefix, *segments]), query, USER_AGENT)
    reply = core.http(request, START_MS)
    assert json.loads(reply.body)["status"] == ("OK" if reply.status == 200 else "ERROR")
    outs = core.ws_open(1, request, START_MS)
    assert all(isinstance(out, Frame) for out in outs) or isinstance(outs[0], Refuse)

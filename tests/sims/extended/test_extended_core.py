"""The core as a whole: pings, connections that go, and a course of events that repeats itself."""

from __future__ import annotations

import pytest
from extended_client import Client

from twinleg_sims.extended.facts import MINUTE_MS, RPC_PATH


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
    client.run(70_000)
    rest = [client.get(f"/api/v1{path}").body for path in ("/info/markets", "/info/BTC-USD/funding")]
    return client.payloads + rest


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first = course(3)
    assert len(first) > 1_000
    assert course(3) == first
    assert course(4) != first

"""Extended's v1 streams: one topic per connection, nothing to send, numbered from 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from extended_client import Client, ClientBook, world_sizes

from twinleg_sims.extended.facts import MINUTE_MS

EXAMPLES = json.loads(
    Path(__file__).parents[2].joinpath("data/extended/constructed_examples_sdk_2.6.0.json").read_text()
)


def shape(value: Any) -> Any:
    """What a frame is made of: keys and types, lists by their first row."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def example(number: int) -> Any:
    return shape(EXAMPLES["v1_market_frames"][number])


TOPICS = {
    "/publicTrades/BTC-USD": 2,
    "/funding/BTC-USD": 3,
    "/candles/BTC-USD/trades?interval=PT1M": 4,
    "/prices/mark/BTC-USD": 5,
    "/prices/index/BTC-USD": 6,
    "/publicTrades": 2,
    "/funding": 3,
    "/prices/mark": 5,
    "/prices/index": 6,
}
"""Path -> which of the examples its frames look like."""


@pytest.fixture(scope="module")
def minute() -> dict[str, list[dict[str, Any]]]:
    """The frames of a minute of every topic, each on its own connection; nothing is replayed at the start."""
    client = Client()
    for path in TOPICS:
        assert client.open(path) is None
    assert client.payloads == []
    client.run(MINUTE_MS)
    return dict(zip(TOPICS, client.frames.values(), strict=True))


@pytest.mark.parametrize(("path", "number"), TOPICS.items(), ids=list(TOPICS))
def test_every_topic_has_the_known_shape_and_counts_from_one(
    minute: dict[str, list[dict[str, Any]]], path: str, number: int
) -> None:
    frames = minute[path]
    assert frames
    assert all(shape(frame) == example(number) for frame in frames)
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))


def test_a_book_starts_with_a_snapshot_of_now_and_goes_on_with_changes() -> None:
    client = Client()
    client.run(10_000)
    client.open("/orderbooks/BTC-USD")
    book = ClientBook()
    book.apply(client.frames[1][0]["data"])
    assert len(client.frames[1]) == 1
    assert book.sizes == world_sizes(client, "BTC-USD")
    client.run(10_000)
    frames = client.frames[1]
    assert shape(frames[0]) == example(0)
    for frame in frames[1:]:
        assert frame["type"] == frame["data"]["t"] == "DELTA"
        book.apply(frame["data"])
    assert book.sizes == world_sizes(client, "BTC-USD")
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))


def test_all_books_on_one_connection() -> None:
    client = Client()
    client.open("/orderbooks")
    names = [market.symbol for market in client.world.markets("extended")]
    assert [frame["data"]["m"] for frame in client.frames[1]] == names
    client.run(5_000)
    assert [frame["seq"] for frame in client.frames[1]] == list(range(1, len(client.frames[1]) + 1))


def test_the_best_prices_are_snapshots() -> None:
    client = Client()
    client.open("/orderbooks/BTC-USD?depth=1")
    client.run(5_000)
    assert {frame["type"] for frame in client.frames[1]} == {"SNAPSHOT"}
    assert all(len(frame["data"]["a"]) == 1 for frame in client.frames[1])


def test_what_a_v1_client_sends_is_not_listened_to() -> None:
    client = Client()
    client.open("/publicTrades/BTC-USD")
    assert client.send({"method": "ping", "id": "1"}) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/orderbooks/NO-USD", 404),
        ("/orderbooks/BTC-USD?depth=2", 404),
        ("/orderbooks/BTC-USD/more", 404),
        ("/candles/BTC-USD/trades", 404),
        ("/candles/BTC-USD/trades?interval=PT7M", 404),
        ("/prices/last/BTC-USD", 404),
        ("/nothing", 404),
        ("", 404),
        ("/account", 401),
    ],
)
def test_unknown_topics_are_refused_before_the_upgrade(path: str, status: int) -> None:
    refused = Client().open(path)
    assert refused is not None
    assert refused.reply.status == status
    assert json.loads(refused.reply.body)["status"] == "ERROR"


def test_the_account_stream_opens_with_a_key_only() -> None:
    refused = Client().open("/account", {"user-agent": "t", "x-api-key": "k"})
    assert refused is not None
    assert refused.reply.status == 401


def test_streams_demand_a_user_agent() -> None:
    refused = Client().open("/publicTrades/BTC-USD", {})
    assert refused is not None
    assert refused.reply.status == 403

"""Books on Extended's streams: snapshots and changes add up to the engine's book, whatever goes wrong on the way."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from extended_client import Client, ClientBook, world_sizes

from twinleg_sims.extended.facts import REPLAYED_CHANGES_MAX, RPC_PATH
from twinleg_sims.matching import CHANGES_KEPT

BTC = "orderbooks.BTC-USD"


def rebuilt(frames: list[dict[str, Any]]) -> ClientBook:
    book = ClientBook()
    for frame in frames:
        book.apply(frame["data"])
    return book


@pytest.fixture
def client() -> Client:
    client = Client()
    client.open(RPC_PATH)
    return client


def test_over_a_long_run_every_change_agrees_and_the_books_are_the_engines() -> None:
    client = Client(assets=8)
    client.open(RPC_PATH)
    client.subscribe("orderbooks", market=None, depth="full", rfqOnly=False)
    books: dict[str, ClientBook] = {}
    taken = 1

    def take() -> None:
        nonlocal taken
        for frame in client.frames[1][taken:]:
            books.setdefault(frame["data"]["m"], ClientBook()).apply(frame["data"])
        taken = len(client.frames[1])

    for _ in range(15):
        client.run(10_000, each=take)
        for market, book in books.items():
            assert book.sizes == world_sizes(client, market)
    frames = client.frames[1][1:]
    assert [frame["seq"] for frame in frames] == list(range(len(frames)))
    assert len(books) == len(client.world.markets("extended"))
    assert sum(frame["type"] == "ORDERBOOKS.DELTA" for frame in frames) > 1_000


def test_changes_come_on_the_100_ms_grid_however_often_the_core_is_asked(client: Client) -> None:
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    client.run(20_000, step_ms=15)
    slots = [frame["ts"] // 100 for frame in client.of(BTC)[1:]]
    assert len(slots) > 10
    assert len(slots) == len(set(slots))


def test_each_minute_a_snapshot_of_now_takes_the_place_of_a_change(client: Client) -> None:
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    times: list[int] = []

    def check() -> None:
        last = client.of(BTC)[-1]
        if last["type"] == "ORDERBOOKS.SNAPSHOT" and last["ts"] == client.now_ms:
            times.append(client.now_ms)
            assert rebuilt([last]).sizes == world_sizes(client, "BTC-USD")

    client.run(185_000, each=check)
    assert [later - earlier for earlier, later in pairwise(times)] == [60_000] * 2
    assert len([frame for frame in client.of(BTC) if frame["ts"] == times[0]]) == 1


def test_a_late_v2_subscriber_gets_an_old_snapshot_and_a_burst_up_to_now(client: Client) -> None:
    client.run(5_000)
    client.open(RPC_PATH)
    burst = client.subscribe("orderbooks", 2, market="BTC-USD", depth="full")[1:]
    assert burst[0]["type"] == "ORDERBOOKS.SNAPSHOT"
    assert len(burst) > 5
    assert {frame["type"] for frame in burst[1:]} == {"ORDERBOOKS.DELTA"}
    assert [frame["seq"] for frame in burst] == list(range(len(burst)))
    assert rebuilt(burst).sizes == world_sizes(client, "BTC-USD")


def test_a_burst_stays_bounded_and_leads_up_to_now_whenever_it_is_asked_for(client: Client) -> None:
    lengths: list[int] = []

    def ask() -> None:
        burst = client.subscribe("orderbooks", market="BTC-USD", depth="full")[1:]
        client.call("unsubscribe", scope="orderbooks", selector={"market": "BTC-USD", "depth": "full"})
        assert rebuilt(burst).sizes == world_sizes(client, "BTC-USD")
        lengths.append(len(burst))

    client.run(70_000, step_ms=700, each=ask)
    assert max(lengths) == 1 + REPLAYED_CHANGES_MAX
    assert min(lengths[10:]) < 5, "a newer snapshot takes the place of a long burst"


def test_a_second_subscribe_gives_one_fresh_snapshot(client: Client) -> None:
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    client.run(30_000)
    ack, *frames = client.subscribe("orderbooks", market="BTC-USD", depth="full")
    assert ack["result"]["subscription"] == BTC
    assert [frame["type"] for frame in frames] == ["ORDERBOOKS.SNAPSHOT"]
    assert rebuilt(frames).sizes == rebuilt(client.of(BTC)).sizes == world_sizes(client, "BTC-USD")
    before = len(client.of(BTC))
    client.run(1_000)
    assert len(client.of(BTC)) - before <= 10, "still one subscription, not two"


def test_text_is_not_normalised(client: Client) -> None:
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    client.run(30_000)
    texts: dict[Decimal, set[str]] = {}
    for frame in client.of(BTC):
        for level in frame["data"]["b"] + frame["data"]["a"]:
            texts.setdefault(Decimal(level["p"]), set()).add(level["p"])
    assert any(len(written) > 1 for written in texts.values())


def test_levels_carry_q_and_c_only_in_changes(client: Client) -> None:
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    client.run(5_000)
    snapshot, delta = client.of(BTC)[:2]
    assert set(snapshot["data"]["b"][0]) == {"q", "p"}
    level = (delta["data"]["b"] + delta["data"]["a"])[0]
    assert set(level) == {"q", "p", "c"}
    assert snapshot["data"]["d"] == delta["data"]["d"] == "f"


def test_the_best_prices_come_as_snapshots_of_one_level(client: Client) -> None:
    client.subscribe("orderbooks", market="BTC-USD", depth="1")
    client.run(10_000)
    frames = client.of("orderbooks.1.BTC-USD")
    assert len(frames) > 5
    assert {frame["type"] for frame in frames} == {"ORDERBOOKS.SNAPSHOT"}
    assert all(len(frame["data"]["b"]) == len(frame["data"]["a"]) == 1 for frame in frames)
    book = world_sizes(client, "BTC-USD")
    assert Decimal(frames[-1]["data"]["b"][0]["p"]) == max(book["b"])
    assert Decimal(frames[-1]["data"]["a"][0]["p"]) == min(book["a"])


def test_a_core_that_was_not_asked_for_long_starts_from_a_snapshot() -> None:
    client = Client(assets=1)
    client.open(RPC_PATH)
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    book = client.world.market("extended", "BTC-USD").book
    nonce = book.nonce
    client.world.advance(client.now_ms + 600_000)
    assert book.nonce - nonce > CHANGES_KEPT
    client.run(100)
    assert client.of(BTC)[-1]["type"] == "ORDERBOOKS.SNAPSHOT"
    client.run(5_000)
    assert rebuilt(client.of(BTC)).sizes == world_sizes(client, "BTC-USD")


def test_a_crossed_book_uncrosses_and_adds_up_all_along(client: Client) -> None:
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    client.run(1_000)
    client.fault("crossed", "BTC-USD", for_s=30)
    book, states = rebuilt(client.of(BTC)), []
    taken = len(client.of(BTC))

    def take() -> None:
        nonlocal taken
        for frame in client.of(BTC)[taken:]:
            book.apply(frame["data"])
        taken = len(client.of(BTC))
        states.append(book.crossed)

    client.run(29_900, each=take)
    assert sum(states) > 0.95 * len(states), "it follows the ask, one change behind"
    client.run(2_000, each=take)
    assert not states[-1]
    assert book.sizes == world_sizes(client, "BTC-USD")


def test_a_stale_book_is_silent_without_a_gap_and_catches_up(client: Client) -> None:
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    client.subscribe("prices", type="mark", market="BTC-USD")
    client.run(1_000)
    client.fault("stale_book", for_s=5)
    before, prices = len(client.of(BTC)), len(client.of("prices.mark.BTC-USD"))
    client.run(4_900)
    assert len(client.of(BTC)) == before
    assert len(client.of("prices.mark.BTC-USD")) > prices
    client.open(RPC_PATH)
    assert len(client.subscribe("orderbooks", 2, market="BTC-USD", depth="full")) == 1, "an acknowledgement, no book"
    client.run(5_000)
    frames = [frame for frame in client.frames[1] if "seq" in frame]
    assert [frame["seq"] for frame in frames] == list(range(len(frames)))
    assert rebuilt(client.of(BTC)).sizes == world_sizes(client, "BTC-USD")


def test_a_vanished_market_falls_silent_alone(client: Client) -> None:
    client.subscribe("orderbooks", market=None, depth="full")
    client.fault("vanish", "BTC-USD")
    before = len(client.frames[1])
    client.run(5_000)
    markets = {frame["data"]["m"] for frame in client.frames[1][before:]}
    assert "ETH-USD" in markets
    assert "BTC-USD" not in markets
    assert "error" in client.subscribe("orderbooks", market="BTC-USD", depth="full")[0]


def test_an_oversized_snapshot_is_right(client: Client) -> None:
    client.fault("oversized")
    client.subscribe("orderbooks", market="BTC-USD", depth="full")
    assert len(client.payloads[-1]) > 1 << 20
    assert rebuilt(client.of(BTC)).sizes == world_sizes(client, "BTC-USD")

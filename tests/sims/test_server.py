"""The shell on real sockets: the official client unmodified, the control endpoint, slow consumers, the command line."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import lighter
import pytest

from twinleg_sims import server
from twinleg_sims.faults import Faults
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.lighter.facts import NO_LIMITS
from twinleg_sims.protocol import Out
from twinleg_sims.server import Sims, running
from twinleg_sims.world import World

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK trusts the environment, and would ask a proxy for localhost."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def sims() -> AsyncIterator[Sims]:
    world, faults = World(9, 4, time.time_ns() // 1_000_000), Faults()
    async with running(world, [LighterCore(world, faults, NO_LIMITS)], faults) as running_sims:
        yield running_sims


async def test_the_official_rest_client_reads_every_endpoint(sims: Sims) -> None:
    client = lighter.ApiClient(lighter.Configuration(host=sims.lighter_url))
    try:
        orders, candles = lighter.OrderApi(client), lighter.CandlestickApi(client)
        details = await orders.order_book_details()
        assert {row.symbol for row in details.order_book_details} >= {"ETH", "BTC", "SOL"}
        assert len((await orders.order_books()).order_books) > len(details.order_book_details)
        book = await orders.order_book_orders(market_id=0, limit=10)
        assert len(book.asks) == len(book.bids) == 10
        assert len((await orders.recent_trades(market_id=0, limit=10)).trades) == 10
        assert (await orders.exchange_stats()).total > 0
        assert (await orders.asset_details()).asset_details
        span = (0, 5_000_000_000_000, 10)
        assert len((await candles.candles(0, "1h", *span)).c) == 10
        assert len((await candles.fundings(0, "1h", *span)).fundings) == 10
        assert (await lighter.FundingApi(client).funding_rates()).funding_rates
        assert (await lighter.RootApi(client).status()).status == 200
        assert (await lighter.RootApi(client).info()).contract_address
        with pytest.raises(lighter.exceptions.BadRequestException):
            await orders.recent_trades(market_id=77, limit=1)
    finally:
        await client.close()


async def test_the_official_stream_client_keeps_our_books(sims: Sims) -> None:
    """Its books are unsorted and its nonce never moves; its levels, however, must be ours."""
    seen: dict[str, dict[str, Any]] = {}
    many = asyncio.Event()
    updates = 0

    def updated(market_id: str, book: dict[str, Any]) -> None:
        nonlocal updates
        updates += 1
        seen[market_id] = book
        if updates >= 12 and len(seen) == 2:
            many.set()

    client = lighter.WsClient(ws_url=sims.urls["lighter"].stream, order_book_ids=[0, 1], on_order_book_update=updated)
    running_client = asyncio.create_task(client.run_async())
    try:
        await asyncio.wait_for(many.wait(), 30)
    finally:
        running_client.cancel()
        await asyncio.wait([running_client])
    for book in seen.values():
        bids, asks = ([float(level["price"]) for level in book[side]] for side in ("bids", "asks"))
        assert max(bids) < min(asks)
        assert len(bids) > 20


async def test_faults_over_http(sims: Sims) -> None:
    url = f"{sims.lighter_url}/__sim__/faults"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json={"kind": "http_500"}) as reply:
            assert [fault["kind"] for fault in (await reply.json())["faults"]] == ["http_500"]
        async with session.get(f"{sims.lighter_url}/") as reply:
            assert reply.status == 500
        async with session.get(url) as reply:
            assert len((await reply.json())["faults"]) == 1
        async with session.delete(url) as reply:
            assert (await reply.json())["faults"] == []
        async with session.get(f"{sims.lighter_url}/") as reply:
            assert reply.status == 200
        for wrong in ({"kind": "boom"}, {"kind": "gap", "planet": "Mars"}, [1]):
            async with session.post(url, json=wrong) as reply:
                assert reply.status == 400
                assert "error" in await reply.json()


async def test_a_disconnect_with_a_code_and_one_without(sims: Sims) -> None:
    async with aiohttp.ClientSession() as session:
        for spec, code in (("lighter:disconnect:value=1012", 1012), ("lighter:disconnect", 1006)):
            async with session.ws_connect(sims.urls["lighter"].stream) as stream:
                assert (await stream.receive_json())["type"] == "connected"
                sims.faults.add_text(spec, sims.now_ms)
                message = await asyncio.wait_for(stream.receive(), 10)
                assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
                assert stream.close_code == code
            sims.faults.clear("lighter")


async def test_garbage_reaches_the_client_as_it_is(sims: Sims) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(sims.urls["lighter"].stream) as stream:
        assert (await stream.receive_json())["type"] == "connected"
        sims.faults.add_text("lighter:garbage:value=utf8", sims.now_ms)
        await stream.send_json({"type": "ping"})
        message = await asyncio.wait_for(stream.receive(), 10)
        assert message.type is aiohttp.WSMsgType.ERROR
        assert stream.close_code == 1007


async def test_a_consumer_that_does_not_read_is_closed(sims: Sims, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_FRAMES_MAX", 3)
    async with aiohttp.ClientSession() as session, session.ws_connect(sims.urls["lighter"].stream) as stream:
        await stream.receive_json()
        for market in range(4):
            await stream.send_json({"type": "subscribe", "channel": f"order_book/{market}"})
            await stream.send_json({"type": "subscribe", "channel": f"trade/{market}"})
        frames = [message async for message in stream]
        assert len(frames) < 8
        assert stream.close_code == 1008


class ClosingCore(LighterCore):
    """Says when a stream is gone."""

    def __init__(self, world: World, faults: Faults) -> None:
        super().__init__(world, faults, NO_LIMITS)
        self.gone = asyncio.Event()

    def ws_closed(self, connection: int) -> None:
        super().ws_closed(connection)
        self.gone.set()


async def test_a_consumer_that_reads_nothing_at_all_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of over 1 MiB fill every buffer on the way, so not even the close can be sent."""
    monkeypatch.setattr(server, "SEND_BYTES_MAX", 4 << 20)
    monkeypatch.setattr(server, "CLOSE_GRACE_S", 0.1)
    world, faults = World(9, 4, time.time_ns() // 1_000_000), Faults()
    faults.add_text("lighter:oversized", world.now_ms)
    core = ClosingCore(world, faults)
    async with running(world, [core], faults) as sims, aiohttp.ClientSession() as session:
        stream = await session.ws_connect(sims.urls["lighter"].stream, compress=0, max_msg_size=0)
        async with asyncio.timeout(60):
            while not core.gone.is_set():
                await stream.send_json({"type": "subscribe", "channel": "order_book/0"})
                await stream.send_json({"type": "unsubscribe", "channel": "order_book/0"})
                await asyncio.sleep(0.02)
        await stream.close()


async def test_a_silent_server_answers_no_ping(sims: Sims) -> None:
    async with aiohttp.ClientSession() as session:
        stream = await session.ws_connect(sims.urls["lighter"].stream, autoping=False)
        await stream.receive_json()
        sims.faults.add_text("lighter:silence", sims.now_ms)
        await stream.ping(b"one")
        await stream.send_json({"type": "ping"})
        async with session.get(f"{sims.lighter_url}/") as reply:
            assert reply.status == 200
        sims.faults.clear("lighter")
        await stream.ping(b"two")
        message = await asyncio.wait_for(stream.receive(), 10)
        assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"two")
        await stream.close()


async def test_a_stream_elsewhere_is_refused(sims: Sims) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(sims.urls["lighter"].stream + "/elsewhere")
    assert refusal.value.status == 404


class AlarmCore(LighterCore):
    """Rings when two virtual minutes have passed."""

    def __init__(self, world: World, faults: Faults) -> None:
        super().__init__(world, faults)
        self.rings = asyncio.Event()
        self._due_ms = world.now_ms + 120_000

    def advance(self, now_ms: int) -> list[Out]:
        if now_ms >= self._due_ms:
            self.rings.set()
        return super().advance(now_ms)


async def test_virtual_time_can_run_faster() -> None:
    """Two virtual minutes within less than two real ones; it takes about a second."""
    world, faults = World(9, 1, time.time_ns() // 1_000_000), Faults()
    core = AlarmCore(world, faults)
    async with running(world, [core], faults, speed=100.0), asyncio.timeout(100):
        await core.rings.wait()


async def test_an_error_in_the_world_is_raised_not_hidden() -> None:
    world, faults = World(9, 1, 1_795_197_000_000), Faults()

    def broken(_to_ms: int) -> None:
        raise RuntimeError("the world broke")

    async def live() -> None:
        async with running(world, [LighterCore(world, faults)], faults) as running_sims:
            assert running_sims.life is not None
            await asyncio.wait([running_sims.life])

    world.advance = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="the world broke"):
        await live()


async def command(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "twinleg_sims",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src")},
    )


async def test_the_command_says_when_it_is_ready_and_ends_cleanly() -> None:
    process = await command("--port-base", "0", "--assets", "3", "--seed", "1")
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        assert ready["event"] == "ready"
        assert ready["lighter"]["stream"].endswith("/stream")
        assert ready["extended"]["rest"].endswith("/api/v1")
        async with aiohttp.ClientSession() as session, session.get(ready["lighter"]["rest"] + "/") as reply:
            assert reply.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert stderr == b""


async def test_accounts_of_the_command_line_come_with_the_ready_line() -> None:
    account = "extended:equity_usd=5000,name=main"
    process = await command("--port-base", "0", "--assets", "1", "--account", account, "--fault-seed", "3")
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        [keys] = ready["accounts"]
        assert (keys["venue"], keys["name"]) == ("extended", "main")
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), 30)


@pytest.mark.parametrize("account", ["nowhere", "extended:equity_usd", "extended:equity_usd=x", "extended:colour=red"])
async def test_an_account_that_makes_no_sense_is_one_clear_line(account: str) -> None:
    process = await command("--port-base", "0", "--assets", "1", "--account", account)
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert len(stderr.decode().splitlines()) == 1
    assert account in stderr.decode()


async def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await command("--port-base", str(taken.getsockname()[1]), "--assets", "1")
        _, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert len(stderr.decode().splitlines()) == 1
    assert "address already in use" in stderr.decode()


async def test_a_fault_nobody_knows_is_one_clear_line() -> None:
    process = await command("--port-base", "0", "--assets", "1", "--fault", "lighter:boom")
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert "unknown fault 'boom'" in stderr.decode()

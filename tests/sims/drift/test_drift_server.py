"""The simulated Drift over real sockets: two ports, a false gzip header, the command."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from drift_chain import SMALL, START_MS

from twinleg_sims.drift.core import DriftCore
from twinleg_sims.faults import Faults
from twinleg_sims.protocol import AccountRequest
from twinleg_sims.server import running
from twinleg_sims.world import World

DEADLINE_S = 60


async def test_the_stream_is_on_the_next_port_and_a_false_gzip_header_is_taken_as_it_is() -> None:
    world, faults = World(7, 3, START_MS, SMALL), Faults()
    core = DriftCore(world, faults)
    account = core.open_account(AccountRequest())
    async with running(world, [core], faults) as sims, aiohttp.ClientSession() as session:
        urls = sims.urls["drift"]
        assert int(urls.stream.rsplit(":", 1)[1]) == int(urls.rest.rsplit(":", 1)[1]) + 1
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "getSlot"})
        async with session.post(urls.rest, data=body, headers={"Content-Encoding": "gzip"}) as reply:
            assert (await reply.json())["result"] > 0
        async with session.get(f"{urls.rest}/l2", params={"marketName": "SOL-PERP"}) as reply:
            assert (await reply.json())["marketName"] == "SOL-PERP"
        async with session.ws_connect(urls.stream) as socket:
            asked = {"jsonrpc": "2.0", "id": 1, "method": "accountSubscribe", "params": [account["user"], {}]}
            await socket.send_json(asked)
            first = await socket.receive_json(timeout=DEADLINE_S)
            assert isinstance(first["result"], int)
        async with session.post(f"{urls.rest}/__sim__/faults", json={"kind": "tx_dropped"}) as reply:
            assert (await reply.json())["faults"][0]["kind"] == "tx_dropped"


async def ready_line(*arguments: str) -> dict[str, Any]:
    """Start the command, read its first line, stop it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "twinleg_sims",
        "--assets",
        "3",
        "--port-base",
        "0",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
    if process.returncode is None and line:
        process.terminate()
    code = await asyncio.wait_for(process.wait(), DEADLINE_S)
    return {"code": code, **(msgspec.json.decode(line) if line else {})}


async def test_the_command_says_where_it_listens_and_opens_accounts() -> None:
    ready = await ready_line(
        "--drift", "velocity", "--account", "drift:equity_usd=500", "--fault", "drift:keeper_delay"
    )
    assert ready["code"] == 0
    assert (ready["accounts"][0]["equity_usd"], ready["accounts"][0]["venue"]) == (500, "velocity")
    assert set(ready) > {"lighter", "extended", "drift"}


async def test_the_command_refuses_what_makes_no_sense() -> None:
    assert await ready_line("--drift", "drift", "--fault", "drift:nothing") == {"code": 2}
    assert "drift" not in await ready_line()

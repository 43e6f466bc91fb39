"""The unmodified driftpy boots against the simulator in its four modes, and trades; skipped where it is not installed.

It runs in an interpreter of its own: this one, or the one that TWINLEG_DRIFTPY names.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from time import time_ns
from typing import Any

import msgspec
import pytest

from twinleg_sims.birth import Scale
from twinleg_sims.drift.core import DriftCore, Setup
from twinleg_sims.drift.genesis import oracle_key
from twinleg_sims.drift.keys import to_base58
from twinleg_sims.faults import Faults
from twinleg_sims.protocol import AccountRequest
from twinleg_sims.server import running
from twinleg_sims.world import World

PYTHON = os.environ.get("TWINLEG_DRIFTPY", sys.executable)
SCRIPT = Path(__file__).parent / "drift_py.py"


def importable() -> bool:
    return subprocess.run([PYTHON, "-c", "import driftpy, solders"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.skipif(not importable(), reason="driftpy is not installed here; TWINLEG_DRIFTPY may name a python"),
    pytest.mark.timeout(300),
]


async def traded(mode: str) -> dict[str, Any]:
    world = World(7, 4, time_ns() // 1_000_000, Scale(past_hours=1, past_trades=5, odd_markets=False))
    faults = Faults()
    core = DriftCore(world, faults, Setup())
    account = core.open_account(AccountRequest(equity_usd=10_000))
    oracles = {name: to_base58(oracle_key(name)) for name in ("SOL", "USDC")}
    async with running(world, [core], faults, speed=4.0) as sims:
        urls = {"rest": sims.urls["drift"].rest}
        ready = {"drift": urls, "accounts": [account], "oracles": oracles}
        process = await asyncio.create_subprocess_exec(
            PYTHON, str(SCRIPT), mode, msgspec.json.encode(ready).decode(),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
    line = next((line for line in said.decode().splitlines() if line.startswith("SEEN ")), None)
    assert line is not None, said.decode()[-3000:]
    return msgspec.json.decode(line.removeprefix("SEEN "), type=dict[str, Any])


@pytest.mark.parametrize("mode", ["cached", "websocket", "indexes", "polling"])
async def test_driftpy_boots_and_trades(mode: str) -> None:
    seen = await traded(mode)
    assert seen["collateral"] == 10_000_000_000
    assert seen["open"] == [5]
    assert seen["base"] == 10**8
    assert seen["paid"] == pytest.approx(seen["price"] / 10, rel=0.02)
    assert (seen["refused"], seen["closed"]) == (True, True)
    if mode == "websocket":
        assert {"OrderRecord", "OrderActionRecord"} <= set(seen["events"])

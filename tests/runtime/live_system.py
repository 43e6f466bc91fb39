"""A system in live mode against the simulated venues: real sockets, real signatures, real journal and leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twinleg.cli.sims import SpedClock
from twinleg.runtime import consent
from twinleg.runtime.clock import SystemDice
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import load
from twinleg.runtime.streams import Doors
from twinleg.runtime.wiring import System, build
from twinleg_sims.extended import facts as extended_facts
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.faults import Faults
from twinleg_sims.lighter import facts as lighter_facts
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.lighter.gate import Setup
from twinleg_sims.protocol import AccountRequest
from twinleg_sims.server import Sims, running
from twinleg_sims.world import World

SPEED = 4.0
"""Simulated seconds per second."""
ESTIMATE_EVERY_MS = 4_000
"""Of the simulated world: a minute in truth."""
WAIT_S = 120.0
"""For anything to come, however busy the machine."""


@dataclass
class Exchange:
    """Both simulated venues with an account of ours on each."""

    sims: Sims
    cores: dict[str, Any]
    world: World
    keys: dict[str, str]
    """What the settings need to trade there."""

    def settings(self, folder: Path, **more: str) -> Settings:
        """As a user would give them, thresholds aside: eager, so that there is something to see."""
        lighter, extended = self.sims.urls["lighter"], self.sims.urls["extended"]
        where = {
            "LIGHTER_BASE_URL": lighter.rest,
            "LIGHTER_WS_URL": lighter.stream,
            "EXTENDED_BASE_URL": extended.rest,
            "EXTENDED_STREAM_URL": extended.stream,
            "TWINLEG_DATA_DIR": str(folder),
            "TRADING_MODE": "live",
            "AUTO_EXECUTION_ENABLED": "true",
            "CONSERVATIVE_MODE": "false",
            "MAX_POSITION_SIZE_USD": "200",
            "MAX_ORDER_SIZE_USD": "200",
            "ORDERBOOK_READY_COOLDOWN_SECONDS": "0",
            "WS_RECONNECT_DELAY": "0.5",
        }
        return load(environ={**where, **self.keys, **more}, read_files=False).settings


def keys_from(opened: dict[str, Any], venue: str) -> dict[str, str]:
    """The settings with which an opened account is traded."""
    if venue == "extended":
        names = {"EXTENDED_API_KEY": "api_key", "EXTENDED_PRIVATE_KEY": "private_key", "EXTENDED_VAULT": "vault"}
        return {setting: str(opened[name]) for setting, name in names.items()}
    first, *others = opened["api_private_keys"].items()
    more = {f"TWINLEG_LIGHTER_KEY_{slot}": key for slot, key in others}
    return more | {
        "LIGHTER_PRIVATE_KEY": first[1],
        "LIGHTER_API_KEY_INDEX": first[0],
        "LIGHTER_MAX_API_KEY_INDEX": others[-1][0],
        "LIGHTER_ACCOUNT_INDEX": str(opened["account_index"]),
    }


@asynccontextmanager
async def exchange(assets: int = 3, *, seed: int = 7, rest_lag_ms: int = 0) -> AsyncIterator[Exchange]:
    """Both venues on loopback. Extended tells its funding estimate often, so that trading may soon begin."""
    with patch.object(extended_facts, "FUNDING_ESTIMATE_INTERVAL_MS", ESTIMATE_EVERY_MS):
        async with _exchange(assets, seed=seed, rest_lag_ms=rest_lag_ms) as made:
            yield made


@asynccontextmanager
async def _exchange(assets: int, *, seed: int, rest_lag_ms: int) -> AsyncIterator[Exchange]:
    world, faults = World(seed, assets, time.time_ns() // 1_000_000), Faults()
    limits = lighter_facts.STANDARD.scaled(SPEED)
    lighter = LighterCore(world, faults, limits, Setup(rest_lag_ms=rest_lag_ms))
    extended = ExtendedCore(world, faults, extended_facts.STANDARD.scaled(SPEED))
    keys = keys_from(lighter.open_account(AccountRequest(equity_usd=10_000.0)), "lighter")
    keys |= keys_from(extended.open_account(AccountRequest(equity_usd=10_000.0)), "extended")
    async with running(world, [lighter, extended], faults, speed=SPEED) as sims:
        yield Exchange(sims, {"lighter": lighter, "extended": extended}, world, keys)


@asynccontextmanager
async def trading(exchange: Exchange, settings: Settings) -> AsyncIterator[System]:
    """A running system whose operator has agreed; stopped cleanly at the end."""
    consent.accept(settings, time.time_ns() // 1_000_000)
    clock = SpedClock(SPEED, exchange.sims.now_ms)
    net = await PicowsNet(clock).__aenter__()  # left by System.close
    system = await build(settings, Doors(net, clock, SystemDice()))
    run = asyncio.create_task(system.run())
    test = asyncio.current_task()
    assert test is not None
    run.add_done_callback(test.cancel)  # it must not end before the test does
    try:
        yield system
    finally:
        run.remove_done_callback(test.cancel)
        system.stop("the test is over")
        await run


async def until(condition: Any, told: Any = None) -> None:
    """Wait for it, at most WAIT_S. `told` says how things stand when it does not come."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110  # it watches what other tasks change, as a user would
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it did not come: {told() if told is not None else ''}") from None

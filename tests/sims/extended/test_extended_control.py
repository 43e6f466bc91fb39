"""Accounts over the control endpoint, and answers that never come: on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from extended_client import START_MS

from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.faults import FaultRequest, Faults
from twinleg_sims.server import ACCOUNTS_PATH, Sims, running
from twinleg_sims.world import World

ORIGIN_PARTS = 3


@pytest.fixture
async def sims() -> AsyncIterator[Sims]:
    world, faults = World(7, 1, START_MS), Faults()
    async with running(world, [ExtendedCore(world, faults)], faults) as running_sims:
        yield running_sims


async def opened(session: aiohttp.ClientSession, sims: Sims, **asked: object) -> tuple[int, dict[str, Any]]:
    origin = "/".join(sims.extended_url.split("/")[:ORIGIN_PARTS])
    async with session.post(origin + ACCOUNTS_PATH, json=asked) as reply:
        return reply.status, await reply.json()


async def test_an_account_is_opened_and_its_key_opens_it(sims: Sims) -> None:
    async with aiohttp.ClientSession() as session:
        status, keys = await opened(session, sims, equity_usd=1234.5, name="one", taker_bps=2.25)
        assert status == 200
        async with session.get(f"{sims.extended_url}/user/balance", headers={"X-Api-Key": keys["api_key"]}) as reply:
            assert (await reply.json())["data"]["equity"] == "1234.500000"
        async with session.get(f"{sims.extended_url}/user/fees", headers={"X-Api-Key": keys["api_key"]}) as reply:
            assert {row["takerFeeRate"] for row in (await reply.json())["data"]} == {"0.000225"}


@pytest.mark.parametrize("asked", [{"equity_usd": -1}, {"equity_usd": "much"}, {"colour": "red"}])
async def test_an_account_that_makes_no_sense_is_refused(sims: Sims, asked: dict[str, object]) -> None:
    async with aiohttp.ClientSession() as session:
        status, body = await opened(session, sims, **asked)
    assert (status, list(body)) == (400, ["error"])


@pytest.mark.parametrize(("kind", "cancelled"), [("lost_request", False), ("lost_ack", True)])
async def test_a_write_whose_connection_breaks(sims: Sims, kind: str, cancelled: bool) -> None:
    async with aiohttp.ClientSession() as session:
        _, keys = await opened(session, sims)
        sims.faults.add(FaultRequest(kind, "extended"), sims.now_ms)
        headers = {"X-Api-Key": keys["api_key"]}
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(f"{sims.extended_url}/user/claim", json={}, headers=headers)
        async with session.get(f"{sims.extended_url}/user/assetOperations", headers=headers) as reply:
            assert bool((await reply.json())["data"]) == cancelled

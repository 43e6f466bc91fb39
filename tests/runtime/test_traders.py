"""Our accounts from the settings, against the simulated venues: keys, domains, the vault that is looked up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from twinleg.core.messages import Market, MarketStatus
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce
from twinleg.core.trading import Lane, SendVerdict
from twinleg.runtime.account_reads import Unread, read_account
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import load
from twinleg.runtime.streams import Doors
from twinleg.runtime.traders import (
    KeysError,
    NoAnswerError,
    accounts_of,
    identity_reads,
    leverage_read,
    traders_of,
    with_vault,
)
from twinleg.runtime.wiring import venues_of
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.faults import Faults
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.lighter.gate import Setup
from twinleg_sims.protocol import AccountRequest
from twinleg_sims.server import Sims, running
from twinleg_sims.world import World

TIMEOUT_MS = 20_000


class Place:
    """Both simulated venues with an account each, and the way to them."""

    def __init__(self, sims: Sims, doors: Doors, lighter: dict[str, Any], extended: dict[str, Any]) -> None:
        self.doors, self.lighter, self.extended = doors, lighter, extended
        self.given = {
            "LIGHTER_BASE_URL": sims.urls["lighter"].rest,
            "LIGHTER_WS_URL": sims.urls["lighter"].stream,
            "EXTENDED_BASE_URL": sims.urls["extended"].rest,
            "EXTENDED_STREAM_URL": sims.urls["extended"].stream,
            "LIGHTER_ACCOUNT_INDEX": str(lighter["account_index"]),
            "LIGHTER_API_KEY_INDEX": "4",
            "LIGHTER_PRIVATE_KEY": lighter["api_private_keys"]["4"],
            "EXTENDED_API_KEY": extended["api_key"],
            "EXTENDED_PRIVATE_KEY": extended["private_key"],
        }

    def settings(self, **more: str) -> Settings:
        return load(environ={**self.given, **more}, read_files=False).settings

    async def markets(self, settings: Settings) -> dict[str, Market]:
        found: dict[str, Market] = {}
        for venue in venues_of(settings):
            read = venue.list_markets()
            reply = await self.doors.net.request(read.request, TIMEOUT_MS)
            for event in read.parse(reply.body, self.doors.clock.wall_ms()):
                found |= {market.key: market for market in event.markets}  # type: ignore[union-attr]
        return found


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    world, faults = World(7, 4, time.time_ns() // 1_000_000), Faults()
    lighter, extended = LighterCore(world, faults, setup=Setup(304, "all", 0)), ExtendedCore(world, faults)
    accounts = [core.open_account(AccountRequest(equity_usd=5_000)) for core in (lighter, extended)]
    clock = SystemClock()
    async with running(world, [lighter, extended], faults) as sims, PicowsNet(clock) as net:
        yield Place(sims, Doors(net, clock, SystemDice()), *accounts)


def an_order(market: Market, price: float) -> Intent:
    return Intent(
        trade_id="T000001",
        leg=Leg.LONG,
        attempt=0,
        client_id="T000001-long-0",
        venue=market.venue,
        market=market.key,
        side=Side.BUY,
        size_lots=market.min_size_lots * 5,
        limit_ticks=max(1, int(price / float(market.price_grid.unit))),
        reduce_only=False,
        time_in_force=TimeInForce.POST_ONLY,
        purpose=Purpose.ENTER,
        deadline_ms=int(time.time() * 1_000) + 60_000,
        decision_price_ticks=1,
    )


async def test_both_accounts_are_ours_and_take_what_we_sign() -> None:
    async with place() as here:
        settings = await with_vault(here.settings(), here.doors, TIMEOUT_MS)
        assert settings.extended_vault == here.extended["vault"]
        markets = await here.markets(settings)
        lighter, extended = traders_of(settings, markets)
        assert (lighter.name, extended.name) == ("lighter", "extended")
        clock = here.doors.clock
        for venue, public in zip((lighter, extended), venues_of(settings), strict=True):
            budget = Budget(venue.name, public.limits)
            for read in identity_reads(venue, clock.wall_ms()):
                assert await read_account(read, here.doors, budget, TIMEOUT_MS) == []
            market = next(
                one
                for one in markets.values()
                if one.venue == venue.name and one.status is MarketStatus.OPEN and one.excluded is None
            )
            numbered = venue.next_number(venue.lanes()[0], clock.wall_ms())
            number = None
            if numbered is not None:
                number = numbered[1]((await here.doors.net.request(numbered[0], TIMEOUT_MS)).body)
            leverage = venue.sign_leverage(market, 2.0, Lane(venue.lanes()[0], number), clock.wall_ms())
            reply = await here.doors.net.request(leverage.request, TIMEOUT_MS)
            assert venue.read_reply(leverage, reply.status, reply.body).verdict is SendVerdict.ACCEPTED, reply


async def test_an_order_for_extended_is_signed_for_the_simulated_venues_network() -> None:
    async with place() as here:
        settings = await with_vault(here.settings(), here.doors, TIMEOUT_MS)
        markets = await here.markets(settings)
        _, extended = traders_of(settings, markets)
        market = next(one for one in markets.values() if one.key == "extended:BTC-USD")
        signed = extended.sign(an_order(market, 1_000.0), market, Lane("stark", None), here.doors.clock.wall_ms())
        reply = await here.doors.net.request(signed.request, TIMEOUT_MS)
        assert b"ignature" not in reply.body, reply.body
        read = leverage_read(extended, market, here.doors.clock.wall_ms())
        assert read is not None
        assert not isinstance(
            await read_account(read, here.doors, Budget("extended", venues_of(settings)[1].limits), TIMEOUT_MS), Unread
        )


async def test_a_range_of_slots_is_a_lane_each() -> None:
    async with place() as here:
        more = {f"TWINLEG_LIGHTER_KEY_{slot}": here.lighter["api_private_keys"][slot] for slot in ("5", "6")}
        settings = here.settings(LIGHTER_MAX_API_KEY_INDEX="6", EXTENDED_VAULT="10", **more)
        assert [list(one.lanes()) for one in traders_of(settings, {})] == [["4", "5", "6"], ["stark"]]
        one_key = here.settings(EXTENDED_VAULT="10", **more)
        assert list(traders_of(one_key, {})[0].lanes()) == ["4"], "keys outside the range do not sign"


async def test_another_accounts_keys_are_found_out() -> None:
    async with place() as here:
        wrong = here.settings(
            LIGHTER_PRIVATE_KEY=here.lighter["api_private_keys"]["5"], EXTENDED_VAULT=str(here.extended["vault"] + 1)
        )
        said = []
        for venue, public in zip(traders_of(wrong, {}), venues_of(wrong), strict=True):
            for read in identity_reads(venue, here.doors.clock.wall_ms()):
                said += await read_account(read, here.doors, Budget(venue.name, public.limits), TIMEOUT_MS)  # type: ignore[arg-type, operator]
        assert [one.kind for one in said] == ["wrong_key", "wrong_account"]  # type: ignore[union-attr]


async def test_a_vault_that_nobody_tells() -> None:
    async with place() as here:
        with pytest.raises(KeysError, match="refuses EXTENDED_API_KEY"):
            await with_vault(here.settings(EXTENDED_API_KEY="nobodys"), here.doors, TIMEOUT_MS)
        with pytest.raises(NoAnswerError, match="did not tell"):
            await with_vault(here.settings(EXTENDED_BASE_URL="http://127.0.0.1:1"), here.doors, TIMEOUT_MS)
        with pytest.raises(KeysError, match="vault is not known"):
            traders_of(here.settings(), {})
        known = here.settings(EXTENDED_VAULT="77")
        assert await with_vault(known, here.doors, TIMEOUT_MS) is known


def test_no_keys_no_accounts(tmp_path: Path) -> None:
    none = load(environ={"TWINLEG_DATA_DIR": str(tmp_path)}, read_files=False).settings
    assert accounts_of(none) == ()
    assert traders_of(none, {}) == []


def test_errors_about_keys_repeat_none() -> None:
    bad = load(
        environ={"EXTENDED_API_KEY": "key", "EXTENDED_PRIVATE_KEY": "0x0", "EXTENDED_VAULT": "1"}, read_files=False
    ).settings
    with pytest.raises(KeysError, match="no Stark key") as caught:
        accounts_of(bad)
    assert caught.value.__cause__ is None

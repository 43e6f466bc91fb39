"""Flatten without an engine, against both simulated venues: real signatures, real leases, only the venues' own word."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import live_system
import pytest
from live_system import Exchange, exchange

from twinleg.core.flattening import closing_side, is_flattening
from twinleg.core.messages import Market, MarketStatus
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce, client_id, trade_id
from twinleg.core.trading import AccountSnapshot, OrderSeen
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.flatten import Flattener, Outcome, Result, Said, Terms
from twinleg.runtime.flatten_posts import Post, Posts, posts
from twinleg.runtime.lease import LeaseError
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.settings import Settings
from twinleg.runtime.streams import Doors

pytestmark = [pytest.mark.usefixtures("leaves_nothing"), pytest.mark.timeout(300)]

VENUES = ("lighter", "extended")
QUICK = Terms(widest_bps=200, steps=3, lag_s=1.0)
SIZE_USD = 150.0


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of our own, and simulated time that is real time, as a process of the command line has it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(live_system, "SPEED", 1.0)


class Room:
    """Both accounts within reach, and what was said."""

    def __init__(self, found: Posts, said: list[Said]) -> None:
        self.found, self.said = found, said
        self.orders = 500

    def post(self, venue: str) -> Post:
        return self.found.ready[venue]

    def market(self, venue: str, number: int = 0) -> Market:
        listed = [
            one
            for one in self.post(venue).ways.facts.values()
            if one.venue == venue and one.status is MarketStatus.OPEN and one.excluded is None
        ]
        return listed[number]

    async def held(self, venue: str) -> dict[str, int]:
        gate = self.post(venue).ways.gate
        events = await gate.read(gate.venue.positions(SystemClock().wall_ms()), urgent=True)
        assert isinstance(events, list), events
        (snapshot,) = [one for one in events if isinstance(one, AccountSnapshot)]
        return {row.market: row.lots for row in snapshot.rows if row.lots}  # type: ignore[union-attr]

    async def resting(self, venue: str) -> list[str | None]:
        gate = self.post(venue).ways.gate
        events = await gate.read(gate.venue.open_orders(SystemClock().wall_ms()), urgent=True)
        assert isinstance(events, list), events
        (snapshot,) = [one for one in events if isinstance(one, AccountSnapshot)]
        return [row.client_id for row in snapshot.rows if isinstance(row, OrderSeen)]

    async def order(self, market: Market, side: Side, *, rests: bool = False) -> str:
        """Send one like a trade's; its name. It is taken at once, or rests a few percent away."""
        ways = self.post(market.venue).ways
        async with self.post(market.venue).watch([market.key]):
            touch = ways.touch(market.key, side.opposite if rests else side)
        assert touch is not None, "no book"
        away = -side.sign * 300 if rests else side.sign * 100
        unit = float(market.price_grid.unit * market.size_grid.unit)
        self.orders += 1
        trade, now_ms = trade_id(self.orders), SystemClock().wall_ms()
        ways.gate.submit(
            Intent(
                trade_id=trade,
                leg=Leg.LONG,
                attempt=0,
                client_id=client_id(trade, Leg.LONG, 0),
                venue=market.venue,
                market=market.key,
                side=side,
                size_lots=max(market.min_size_lots, int(SIZE_USD / (touch * unit))),
                limit_ticks=touch * (10_000 + away) // 10_000,
                reduce_only=False,
                time_in_force=TimeInForce.POST_ONLY if rests else TimeInForce.IOC,
                purpose=Purpose.ENTER,
                deadline_ms=now_ms + 60_000,
                decision_price_ticks=touch,
            ),
            now_ms,
        )
        return client_id(trade, Leg.LONG, 0)

    async def hold(self, venue: str, side: Side, number: int = 0) -> Market:
        market = self.market(venue, number)
        await self.order(market, side)
        async with asyncio.timeout(60):
            while market.key not in await self.held(venue):  # noqa: ASYNC110  # as a user would look
                await asyncio.sleep(0.2)
        return market

    async def flatten(
        self, venue: str, wants: Callable[[str], bool] = lambda _key: True, *, everything: bool = True, **ways: Any
    ) -> Outcome:
        held = await self.held(venue)
        async with self.post(venue).watch(list(held)):
            made = Flattener(self.post(venue).ways._replace(**ways), QUICK, wants)
            async with asyncio.timeout(120):
                return await made.run(everything=everything)

    def texts(self, market: str) -> list[str]:
        return [one.text for one in self.said if one.market == market]

    def sent(self, market: str) -> list[str]:
        """Names of the closing orders, in turn."""
        return [text.partition(":")[0] for text in self.texts(market) if "bps beyond" in text]


@asynccontextmanager
async def room(made: Exchange, settings: Settings, *, sends: bool = True) -> AsyncIterator[Room]:
    clock, said = SystemClock(), list[Said]()
    async with (
        PicowsNet(clock) as net,
        posts(settings, Doors(net, clock, SystemDice()), said.append, sends=sends) as found,
    ):
        yield Room(found, said)


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("side", list(Side))
async def test_what_the_venue_shows_is_closed_and_read_flat_twice(tmp_path: Path, venue: str, side: Side) -> None:
    async with exchange() as made, room(made, made.settings(tmp_path)) as here:
        market = await here.hold(venue, side)
        assert await here.flatten(venue) == Outcome(venue, Result.FLAT, {})
        assert await here.held(venue) == {}
        (name,) = here.sent(market.key)
        assert is_flattening(name)
        assert any("read again in 1 s" in one.text for one in here.said)


async def test_only_what_is_wanted_is_closed(tmp_path: Path) -> None:
    async with exchange() as made, room(made, made.settings(tmp_path)) as here:
        one, other = await here.hold("extended", Side.BUY), await here.hold("extended", Side.SELL, 1)
        outcome = await here.flatten("extended", lambda key: key == one.key)
        assert outcome.result is Result.FLAT
        assert list(await here.held("extended")) == [other.key]


@pytest.mark.parametrize("venue", VENUES)
async def test_our_resting_orders_are_taken_back_whoever_sent_them(tmp_path: Path, venue: str) -> None:
    async with exchange() as made:
        settings = made.settings(tmp_path)
        async with room(made, settings) as here:
            await rests(here, venue)
        async with room(made, settings) as here:
            assert (await here.flatten(venue, everything=False)).result is Result.FLAT
            assert await here.resting(venue) == []


@pytest.mark.parametrize("venue", VENUES)
async def test_orders_of_others_are_cancelled_when_everything_is_meant(
    tmp_path: Path, venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinleg.runtime.flatten._as_sent", lambda _order: None)  # nobody's order is ours
    async with exchange() as made, room(made, made.settings(tmp_path)) as here:
        name = await rests(here, venue)
        await here.flatten(venue, everything=False)
        assert await here.resting(venue) == [name]
        assert any("left alone (--all cancels them)" in one.text for one in here.said)
        await here.flatten(venue, everything=True)
        assert await here.resting(venue) == []


async def rests(here: Room, venue: str) -> str:
    name = await here.order(here.market(venue), Side.BUY, rests=True)
    async with asyncio.timeout(60):
        while await here.resting(venue) != [name]:  # noqa: ASYNC110  # as a user would look
            await asyncio.sleep(0.2)
    return name


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    "fault", ["lost_ack", "error_ack", "lost_request", "partial_fill:value=40", "reject", "ignored"]
)
async def test_whatever_befalls_an_order_the_position_is_read_and_closed(
    tmp_path: Path, venue: str, fault: str
) -> None:
    async with exchange() as made, room(made, made.settings(tmp_path)) as here:
        market = await here.hold(venue, Side.BUY)
        made.sims.faults.add_text(f"{venue}:{fault}", made.sims.now_ms)
        assert (await here.flatten(venue)).result is Result.FLAT
        assert await here.held(venue) == {}
        sent = here.sent(market.key)
        assert len(set(sent)) == len(sent)


@pytest.mark.parametrize(("away_bps", "orders"), [(100, 2), (170, 3)])
async def test_the_bound_walks_outwards_each_order_with_its_own_name(
    tmp_path: Path, away_bps: int, orders: int
) -> None:
    async with exchange() as made, room(made, made.settings(tmp_path)) as here:
        market = await here.hold("extended", Side.BUY)
        real = here.post("extended").ways.touch

        def touch(key: str, side: Side) -> int | None:
            """A book that shows better prices than there are."""
            ticks = real(key, side)
            return None if ticks is None else ticks * (10_000 + away_bps) // 10_000

        assert (await here.flatten("extended", touch=touch)).result is Result.FLAT
        sent = here.sent(market.key)
        assert len(set(sent)) == len(sent) >= orders


async def test_beyond_the_widest_bound_nothing_is_sold(tmp_path: Path) -> None:
    async with exchange() as made, room(made, made.settings(tmp_path)) as here:
        market = await here.hold("extended", Side.BUY)
        before = await here.held("extended")
        real = here.post("extended").ways.touch
        outcome = await here.flatten("extended", touch=lambda key, side: (real(key, side) or 0) * 11 // 10)
        assert outcome.result is Result.NOT_FLAT
        assert outcome.left == {market.key: market.size_grid.text(before[market.key])}
        assert "the widest bound brings nothing" in outcome.detail
        assert await here.held("extended") == before
        assert len(here.sent(market.key)) == QUICK.steps


async def test_without_a_book_the_venues_own_price_is_the_reference(tmp_path: Path) -> None:
    async with exchange() as made, room(made, made.settings(tmp_path)) as here:
        market = await here.hold("extended", Side.BUY)
        assert (await here.flatten("extended", touch=lambda _key, _side: None)).result is Result.FLAT
        assert any("beyond the mark" in text or "beyond the entry" in text for text in here.texts(market.key))


@pytest.mark.parametrize("venue", VENUES)
async def test_positions_that_cannot_be_read_are_unknown_never_flat(
    tmp_path: Path, venue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinleg.runtime.flatten.READ_AGAIN_S", 0.05)
    async with exchange() as made, room(made, made.settings(tmp_path)) as here:
        await here.hold(venue, Side.BUY)
        made.sims.faults.add_text(f"{venue}:http_500", made.sims.now_ms)
        made_flat = Flattener(here.post(venue).ways, QUICK, lambda _key: True)
        outcome = await made_flat.run(everything=True)
        assert (outcome.result, outcome.left) == (Result.UNKNOWN, {})
        assert "could not be read" in outcome.detail
        assert isinstance(await made_flat.preview(), str)


async def test_a_preview_says_exactly_what_and_can_send_nothing(tmp_path: Path) -> None:
    async with exchange() as made:
        settings = made.settings(tmp_path)
        async with room(made, settings) as here:
            market = await here.hold("lighter", Side.BUY)
            lots = (await here.held("lighter"))[market.key]
        async with room(made, settings, sends=False) as here, here.post("lighter").watch([market.key]):
            made_flat = Flattener(here.post("lighter").ways, QUICK, lambda _key: True)
            shown = await made_flat.preview()
            assert not isinstance(shown, str)
            (order,) = shown
            assert (order.market, order.side, order.size) == (market.key, "sell", market.size_grid.text(lots))
            assert order.reference_is == "touch"
            assert order.worst_price is not None
            worst, touch = (market.price_grid.parse(text or "") for text in (order.worst_price, order.reference))
            assert touch * 0.98 <= worst <= touch * 0.981
            await made_flat._attempt((await _positions(made_flat))[0])
            assert any("a dry run sends nothing" in one.text for one in here.said)
            assert (await here.held("lighter"))[market.key] == lots


async def _positions(made: Flattener) -> list[Any]:
    held = await made._held()
    assert not isinstance(held, str)
    assert closing_side(held[0].lots) is Side.SELL
    return held


async def test_an_account_that_a_living_process_trades_is_left_to_it(tmp_path: Path) -> None:
    async with exchange() as made:
        settings = made.settings(tmp_path)
        async with room(made, settings):
            with pytest.raises(LeaseError, match=f"process {os.getpid()}"):
                async with room(made, settings):
                    pass
            async with room(made, settings, sends=False) as here:
                assert set(here.found.ready) == set(VENUES)


async def test_a_venue_out_of_reach_does_not_keep_the_other_from_being_flattened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinleg.runtime.flatten_posts.LIST_AGAIN_S", 0.05)
    async with exchange() as made:
        gone = made.settings(tmp_path, EXTENDED_BASE_URL="http://127.0.0.1:1", EXTENDED_VAULT="0")
        async with room(made, gone) as here:
            assert "extended" in here.found.out_of_reach
            await here.hold("lighter", Side.SELL)
            assert (await here.flatten("lighter")).result is Result.FLAT


async def test_the_command_closes_both_accounts_without_engine_or_journal(tmp_path: Path) -> None:
    async with exchange() as made:
        settings = made.settings(tmp_path / "data")
        async with room(made, settings) as here:
            await here.hold("lighter", Side.BUY)
            await here.hold("extended", Side.SELL)
        given = {
            "LIGHTER_BASE_URL": made.sims.urls["lighter"].rest,
            "LIGHTER_WS_URL": made.sims.urls["lighter"].stream,
            "EXTENDED_BASE_URL": made.sims.urls["extended"].rest,
            "EXTENDED_STREAM_URL": made.sims.urls["extended"].stream,
            "TRADING_MODE": "live",
            "TWINLEG_DATA_DIR": str(tmp_path / "data"),
            **made.keys,
        }
        code, _, said = await _command(given, "flatten", "--yes")
        assert code == 4, "no journal says what is ours"
        assert "--all" in said
        code, told, said = await _command(given, "flatten", "--all", "--dry-run", "--json")
        assert code == 0, said
        assert sorted(one["venue"] for one in told) == ["extended", "lighter"]
        assert {one["word"] for one in told} == {"closing_order"}
        code, _, said = await _command(given, "flatten", "--all")
        assert (code, "add --yes" in said) == (2, True)
        code, told, said = await _command(given, "flatten", "--all", "--yes", "--json")
        assert code == 0, said
        assert told[-1] == {"word": "ended", "result": "flat", "detail": ""}
        assert {one["venue"]: one["result"] for one in told if one["word"] == "outcome"} == dict.fromkeys(
            VENUES, "flat"
        )
        async with room(made, settings) as here:
            assert [await here.held(venue) for venue in VENUES] == [{}, {}]
        assert not (tmp_path / "data" / "live").exists()


async def _command(given: dict[str, str], *words: str) -> tuple[int, list[Any], str]:
    """Exit code, JSON lines and what was said on standard error."""
    source = str(Path(__file__).parents[2] / "src")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": source, "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "twinleg", *words, env=environment | given, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(given["TWINLEG_DATA_DIR"]).parent,
    )  # fmt: skip
    async with asyncio.timeout(150):
        out, said = await child.communicate()
    assert child.returncode is not None
    lines = out.decode().splitlines() if "--json" in words else []
    return child.returncode, [json.loads(line) for line in lines], said.decode()

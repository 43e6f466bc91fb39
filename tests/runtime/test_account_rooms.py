"""The smaller rooms of an account: its leverage, its dead man's switch, several gates as one, the books."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from simulated import SimClock
from tiny_venue import ETH, VENUE, TinyWorld

from trade_samples import plan
from twinleg.core.ledger import Ledger
from twinleg.core.orders import OrderRejected
from twinleg.core.records import TradePlanned
from twinleg.core.trading import LeverageSeen
from twinleg.runtime.books import Books, read_ledger
from twinleg.runtime.dead_man import DeadMan
from twinleg.runtime.gates import Gates
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.leverage import RETRY_MS, Leverages
from twinleg.runtime.ports import Journal, JournalError
from twinleg.runtime.settings_load import load

pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture
async def world() -> AsyncIterator[TinyWorld]:
    async with TinyWorld() as made:
        yield made


def sent(world: TinyWorld, kind: str) -> list[dict[str, Any]]:
    return [one for one in world.wire.sent if one["kind"] == kind]


# -- leverage ----------------------------------------------------------------------------------------------------------


def leverages(world: TinyWorld, wanted: float = 3.0) -> Leverages:
    return Leverages({VENUE: world.gate}, world.clock, lambda asset: wanted, lambda *_: None)


async def test_an_unknown_leverage_is_set_before_the_first_entry(world: TinyWorld) -> None:
    made = leverages(world)
    refusal = made.against(ETH, "ETH")
    assert refusal is not None
    assert (refusal.code, refusal.limit) == ("leverage", 3.0)
    assert made.against(ETH, "ETH"), "asked again, it is set once"
    await world.live(5.0)
    assert [one["leverage"] for one in sent(world, "leverage")] == [3.0]
    assert made.against(ETH, "ETH") is None


async def test_a_leverage_that_is_as_wanted_is_left_alone(world: TinyWorld) -> None:
    made = leverages(world)
    made.note(LeverageSeen(VENUE, ETH.key, 3.0003, world.now_ms))
    assert made.against(ETH, "ETH") is None
    assert world.wire.sent == []


@pytest.mark.parametrize("fate", ["refused", "dropped"])
async def test_a_leverage_refused_or_in_doubt_keeps_the_market_closed_and_is_tried_later(
    world: TinyWorld, fate: str
) -> None:
    made = leverages(world)
    world.wire.fates.append(fate)
    made.against(ETH, "ETH")
    await world.live(10.0)
    assert made.against(ETH, "ETH") is not None
    await world.live(10.0)
    assert len(sent(world, "leverage")) == 1, "not at once"
    await world.live(RETRY_MS / 1_000)
    made.against(ETH, "ETH")
    await world.live(10.0)
    assert len(sent(world, "leverage")) == 2
    assert made.against(ETH, "ETH") is None


async def test_a_refusal_changes_nothing_that_was_known(world: TinyWorld) -> None:
    made = leverages(world)
    made.note(LeverageSeen(VENUE, ETH.key, 20.0, world.now_ms))
    world.wire.fates.append("refused")
    made.against(ETH, "ETH")
    await world.live(5.0)
    refusal = made.against(ETH, "ETH")
    assert refusal is not None
    assert refusal.value == 20.0


async def test_the_venues_later_word_counts(world: TinyWorld) -> None:
    """It says another than was set: then it is not set."""
    made = leverages(world)
    made.against(ETH, "ETH")
    await world.live(0.3)
    made.note(LeverageSeen(VENUE, ETH.key, 20.0, world.now_ms))
    await world.live(5.0)
    refusal = made.against(ETH, "ETH")
    assert refusal is not None
    assert refusal.value == 20.0
    made.note(LeverageSeen(VENUE, ETH.key, 3.0, world.now_ms))
    assert made.against(ETH, "ETH") is None


async def test_a_market_that_allows_less_gets_its_most(world: TinyWorld) -> None:
    made, small = leverages(world, 10.0), msgspec.structs.replace(ETH, max_leverage=5.0)
    made.against(small, "ETH")
    await world.live(5.0)
    assert [one["leverage"] for one in sent(world, "leverage")] == [5.0]
    assert made.against(small, "ETH") is None


# -- the dead man's switch ---------------------------------------------------------------------------------------------


class Switch:
    """A switch that is kept; `others` says who else has orders on the account."""

    def __init__(self, world: TinyWorld) -> None:
        self.others: str | None = None
        self.world, self.made = world, DeadMan(world.gate, world.clock, lambda: self.others)

    async def refresh(self) -> list[int | None]:
        """One look; all that was set so far, as milliseconds from now."""
        await self.world.live(0.1)
        await self.made._refresh()
        return [one["fires_at_ms"] for one in sent(self.world, "switch")]


async def test_the_switch_is_armed_ahead_and_let_go_of_at_the_end(world: TinyWorld) -> None:
    switch = Switch(world)
    (fires_ms,) = await switch.refresh()
    assert fires_ms == world.now_ms + switch.made.ahead_ms
    assert switch.made.state == "armed"
    await switch.made.disarm()
    assert sent(world, "switch")[-1]["fires_at_ms"] is None
    assert switch.made.state == "off: disarmed"
    await switch.made.disarm()
    assert len(sent(world, "switch")) == 2, "once"


async def test_it_stays_off_while_it_would_hit_others(world: TinyWorld) -> None:
    switch = Switch(world)
    switch.others = "1 orders on the account are not ours"
    assert await switch.refresh() == []
    assert switch.made.state == "off: 1 orders on the account are not ours"
    switch.others = None
    assert len(await switch.refresh()) == 1
    switch.others = "2 orders on the account are not ours"
    assert (await switch.refresh())[-1] is None, "disarmed as soon as another's order is seen"


@pytest.mark.parametrize(("fate", "state"), [("refused", "not set: rejected"), ("lost", "not set: unknown")])
async def test_a_switch_that_is_not_set_is_not_called_armed(world: TinyWorld, fate: str, state: str) -> None:
    switch = Switch(world)
    world.wire.fates.append(fate)
    await switch.refresh()
    assert switch.made.state == state
    await switch.made.disarm()
    assert (sent(world, "switch")[-1]["fires_at_ms"] is None) == (fate == "lost"), "what may be armed is disarmed"


# -- several gates as one ----------------------------------------------------------------------------------------------


async def test_an_order_for_a_venue_without_keys_is_refused_and_told_at_once(world: TinyWorld) -> None:
    gates, woken = Gates({VENUE: world.gate}), []
    gates.wake = lambda: woken.append(True)
    intent = msgspec.structs.replace(world.intent(), venue="elsewhere")
    gates.prepare(intent, world.now_ms)
    gates.submit(intent, world.now_ms)
    assert woken
    (event,) = gates.due(world.now_ms)
    assert isinstance(event, OrderRejected)
    assert event.reason == "not sent: there are no keys for elsewhere"
    assert gates.due(world.now_ms) == []
    assert world.wire.sent == []


async def test_an_order_of_a_venue_without_keys_keeps_its_open_fate(world: TinyWorld) -> None:
    """It may have been sent by an earlier run, with keys: nothing is known of it, and nothing is made up."""
    gates = Gates({VENUE: world.gate})
    gates.cancel("T000009-long-0", world.now_ms)
    gates.query("T000009-long-0", world.now_ms)
    assert gates.due(world.now_ms) == []


# -- modes -------------------------------------------------------------------------------------------------------------


def test_paper_and_live_trades_never_share_a_journal(tmp_path: Path) -> None:
    folders = {
        mode: load(environ={"TRADING_MODE": mode, "TWINLEG_DATA_DIR": str(tmp_path)}, read_files=False)
        for mode in ("dry_run", "live")
    }
    paper, live = folders["dry_run"].settings.journal_dir, folders["live"].settings.journal_dir
    assert paper != live
    assert {paper, live.parent} == {tmp_path}


# -- books -------------------------------------------------------------------------------------------------------------


class Failing:
    """A journal whose disk fails: "append" takes nothing, "durable" takes and does not keep, "" works."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal, self.fails = journal, ""

    def append(self, *row: Any) -> int:
        if self.fails == "append":
            raise JournalError("disk full")
        return self._journal.append(*row)

    async def durable(self, sequence: int) -> None:
        if self.fails == "durable":
            raise JournalError("disk full")
        await self._journal.durable(sequence)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


@pytest.mark.parametrize("fails", ["append", "durable"])
async def test_books_wait_for_a_failing_journal_and_lose_and_invent_nothing(tmp_path: Path, fails: str) -> None:
    journal, clock = Failing(await SqliteJournal.open(tmp_path)), SimClock()
    books = Books(cast("Journal", journal), Ledger(), clock)
    records = [TradePlanned(at_ms=1, plan=plan(trade_id=f"T{number:06d}"), terms={}) for number in (1, 2)]
    journal.fails = fails
    pending = books.begin(records)
    persisting = asyncio.ensure_future(books.durable(pending))
    await clock.advance(3.0)
    assert books.trouble == "disk full"
    assert not persisting.done()
    assert bool(books.ledger.trades) == (fails == "durable"), "what the journal did not take is not in the ledger"
    journal.fails = ""
    for _ in range(500):
        if persisting.done():
            break
        await clock.advance(1.0)
        await asyncio.sleep(0.01)
    await persisting
    assert books.trouble is None
    assert read_ledger(journal._journal).trades.keys() == books.ledger.trades.keys() == {"T000001", "T000002"}
    await journal._journal.close()

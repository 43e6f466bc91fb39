"""The whole of it: real sockets, real feeds and journal, against the simulated venues."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from twinleg.core.funding import UnitState
from twinleg.core.messages import StreamState
from twinleg.core.records import RecordError
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.ports import JournalError
from twinleg.runtime.record import read, recordings
from twinleg.runtime.settings import Settings
from twinleg.runtime.wiring import System, build
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.faults import Faults
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.server import Sims, running
from twinleg_sims.world import World

SETTLE_S = 90.0
"""Extended tells its funding rate at each full minute: more than that, however busy the machine."""


@asynccontextmanager
async def venues(assets: int = 6) -> AsyncIterator[Sims]:
    """Both simulated venues on loopback."""
    world, faults = World(7, assets, time.time_ns() // 1_000_000), Faults()
    async with running(world, [LighterCore(world, faults), ExtendedCore(world, faults)], faults) as sims:
        yield sims


def settings_for(sims: Sims, folder: Path, **more: object) -> Settings:
    lighter, extended = sims.urls["lighter"], sims.urls["extended"]
    where = {
        "lighter_base_url": lighter.rest,
        "lighter_ws_url": lighter.stream,
        "extended_base_url": extended.rest,
        "extended_stream_url": extended.stream,
        "data_dir": folder,
    }
    return Settings(**{**where, **more})  # type: ignore[arg-type]  # the test's own keywords


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[System]:
    """A running system, stopped cleanly at the end."""
    system = await build(settings)
    run = asyncio.create_task(system.run())
    try:
        yield system
    finally:
        system.stop("the test is over")
        await run


async def until(condition: object) -> None:
    """Wait for it, at most SETTLE_S."""
    assert callable(condition)
    async with asyncio.timeout(SETTLE_S):
        while not condition():  # noqa: ASYNC110  # it watches what other tasks change, as a user would
            await asyncio.sleep(0.05)


async def test_both_venues_are_watched_ranked_and_their_units_proven(tmp_path: Path) -> None:
    async with venues() as sims, watching(settings_for(sims, tmp_path)) as system:
        assert await system.ready(SETTLE_S) == {}
        board = system.engine.board
        assert system.glance().ranking, "ready means ranked"
        await until(lambda: all(one.state is UnitState.AGREED for one in board.unit_checks().values()))
        picture = system.glance()
        assert {line.venue for line in picture.venues} == {"lighter", "extended"}
        assert all(line.books_ready == line.markets > 0 for line in picture.venues)
        assert {feed.state for feed in picture.feeds} <= {StreamState.LIVE, StreamState.DEGRADED}
        assert board.clock_offsets_ms.keys() == {"lighter", "extended"}, "one told, one seen from its streams"


async def test_a_lost_connection_loses_its_books_alone_and_comes_back(tmp_path: Path) -> None:
    async with venues() as sims, watching(settings_for(sims, tmp_path, ws_reconnect_delay=0.2)) as system:
        assert await system.ready(SETTLE_S) == {}
        board = system.engine.board
        markets = [state for key, state in board.markets.items() if board.pairs_of[key]]
        await until(lambda: all(state.book.ready for state in markets))
        sims.faults.add_text("lighter:disconnect", sims.now_ms)
        await until(lambda: not any(state.book.ready for state in markets if state.market.venue == "lighter"))
        assert all(state.book.ready for state in markets if state.market.venue == "extended")
        await until(lambda: all(state.book.ready for state in markets))


async def test_a_venue_that_is_not_there_is_named_and_the_other_is_watched(tmp_path: Path) -> None:
    async with venues() as sims:
        settings = settings_for(sims, tmp_path, extended_base_url="http://127.0.0.1:9")
        async with watching(settings) as system:
            troubles = await system.ready(1.0)
            assert "refused" in troubles["extended"]
            assert "lighter" not in troubles
            assert any(state.market.venue == "lighter" for state in system.engine.board.markets.values())


async def test_what_is_recorded_is_what_the_feeds_were_given(tmp_path: Path) -> None:
    async with venues() as sims, watching(settings_for(sims, tmp_path, record=True)) as system:
        assert await system.ready(SETTLE_S) == {}
    frames = [frame for path in recordings(tmp_path / "recordings") for frame in read(path)]
    assert {frame.venue for frame in frames} == {"lighter", "extended"}
    assert len(frames) > 20


async def test_a_journal_that_cannot_be_trusted_leaves_nothing_open(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path)
    await journal.durable(journal.append(1, "nonsense/1", "T000001", b"{}"))
    await journal.close()
    for _ in range(2):  # the second time would find the journal in use
        with pytest.raises(RecordError):
            await build(Settings(data_dir=tmp_path))


async def test_a_journal_out_of_reach_leaves_no_connection_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError):
        await build(Settings(data_dir=tmp_path / "file"))
    gc.collect()  # what was left open complains when it is collected
    assert caplog.text == ""

"""Our client process: the real net, streams, feeds, board and engine against prepared traffic. Prints one JSON line.

    python -m bench.ours --venue lighter:PORT:MARKETS:FRAMES --venue extended:... [--stamps FILE ...] [--core 0]

The third venue speaks Lighter's protocol under another name, as Lighter's second deployment does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

from bench.frames import WALL_MS, market
from twinleg.core.board import Board
from twinleg.core.messages import BookDelta, FundingPredicted, FundingSource, MarketEvent, MarketsListed, Stats
from twinleg.core.pairs import Limits
from twinleg.core.subscriptions import Pace
from twinleg.core.venue import Feed
from twinleg.core.venue import Limits as VenueLimits
from twinleg.runtime.books import Books, read_ledger
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.desk import Desk
from twinleg.runtime.engine import Conduct, Engine
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.paper import PaperVenue
from twinleg.runtime.purse import Purse
from twinleg.runtime.settings import Settings
from twinleg.runtime.streams import Doors, StreamRunner
from twinleg.runtime.wiring import calm_collector
from twinleg.venues.extended.feed import ExtendedFeed
from twinleg.venues.lighter.feed import LighterFeed

PACE = Pace(messages_per_minute=1_000_000, in_flight_max=10_000, answer_ms_max=60_000)
WIDE = VenueLimits(
    requests_per_minute=1_000_000,
    stream_messages_per_minute=1_000_000,
    connects_per_minute=1_000,
    messages_in_flight=100_000,
    frame_bytes_max=16 << 20,
    inflated_bytes_max=16 << 20,
    silence_ms_max=120_000,
)


async def engine_for(venues: list[tuple[str, int]], folder: Path) -> tuple[Engine, SqliteJournal]:
    """A real engine that knows `venues` as (name, number of markets), with funding and index prices in place."""
    limits = Limits()
    board = Board(lambda _asset: limits, lambda _asset, _one, _other: True)
    clock, settings = SystemClock(), Settings()
    journal = await SqliteJournal.open(folder)
    ledger = read_ledger(journal)
    engine: Engine
    gate = PaperVenue(board.facts, board.books, ledger)
    desk = Desk(
        Books(journal, ledger, clock), gate, clock, lambda plan: engine.quotes(plan), lambda plan: engine.unfit(plan)
    )
    purse = Purse(board, {name: 1_000.0 for name, _ in venues}, 3.0)
    engine = Engine(board, desk, purse, clock, Conduct(settings, 100.0))
    now_ms = clock.wall_ms()
    for name, count in venues:
        engine.on_market([MarketsListed(name, tuple(market(name, number) for number in range(count)), now_ms)])
        for number in range(count):
            key = market(name, number).key
            engine.on_market([Stats(key, 3_000.0, 3_000.0, None, now_ms, clock.mono_ns())])
            for source in (FundingSource.STREAM, FundingSource.REST):
                engine.on_market([FundingPredicted(key, 1.25e-5, now_ms + 3_000_000, source, now_ms)])
    return engine, journal


def feed_for(name: str, port: int, count: int) -> Feed:
    markets = [market(name, number) for number in range(count)]
    if name == "extended":
        return ExtendedFeed("books", f"ws://127.0.0.1:{port}/rpc", markets, (), PACE)
    return LighterFeed("books", f"ws://127.0.0.1:{port}/stream", markets, (), PACE)


class Meter:
    """Counts book deltas per venue between the engine and its feed, and stamps each when its pairs are judged."""

    def __init__(self, engine: Engine, name: str, frames: int, stamp: bool) -> None:
        self.engine, self.name, self.frames = engine, name, frames
        self.seen = 0
        self.stamps = array("q") if stamp else None
        self.done = asyncio.Event()

    def __call__(self, events: list[MarketEvent]) -> None:
        self.engine.on_market(events)
        for event in events:
            if type(event) is BookDelta:
                self.seen += 1
                if self.stamps is not None:
                    self.stamps.append(time.monotonic_ns())
                if self.seen == 1:
                    START.append(time.process_time_ns())
                if self.seen == self.frames:
                    self.done.set()


START: list[int] = []
SAMPLE_S = 5.0


async def resident(memory: list[float]) -> None:
    """Note the resident memory in MB, every SAMPLE_S."""
    page_mb = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    while True:
        await asyncio.sleep(SAMPLE_S)
        memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * page_mb)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--venue", action="append", required=True)
    parser.add_argument("--stamps", action="append", default=[])
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--timeout", type=float, default=120.0)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    asked: list[tuple[str, int, int, int]] = []
    for text in options.venue:
        name, *numbers = text.split(":")
        port, count, frames = map(int, numbers)
        asked.append((name, port, count, frames))
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(await measure(asked, options, Path(folder))))


async def measure(asked: list[tuple[str, int, int, int]], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    engine, journal = await engine_for([(name, count) for name, _, count, _ in asked], folder)
    async with PicowsNet(SystemClock()) as net:
        doors = Doors(net, SystemClock(), SystemDice())
        meters, runs, feeds = [], [], []
        for name, port, count, frames in asked:
            meter = Meter(engine, name, frames, bool(options.stamps))
            feeds.append(feed_for(name, port, count))
            runner = StreamRunner(feeds[-1], meter, Budget(name, WIDE), doors)
            meters.append(meter)
            runs.append(asyncio.create_task(runner.run()))
        runs += [asyncio.create_task(engine.beat()), asyncio.create_task(engine.desk.run())]
        calm_collector()
        began = time.monotonic()
        watch = asyncio.create_task(resident(memory := []))
        try:
            async with asyncio.timeout(options.timeout):
                for meter in meters:
                    await meter.done.wait()
        except TimeoutError:
            print({meter.name: meter.seen for meter in meters}, file=sys.stderr)
        runs.append(watch)
        cpu_ns, wall_s = time.process_time_ns() - START[0], time.monotonic() - began
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
    await journal.close()
    for meter, path in zip(meters, options.stamps, strict=False):
        assert meter.stamps is not None
        Path(path).write_bytes(meter.stamps.tobytes())
    frames = sum(meter.seen for meter in meters)
    return {
        "frames": frames,
        "cpu_us_per_frame": cpu_ns / 1_000 / frames,
        "cpu_share": cpu_ns / 1e9 / wall_s,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rss_mb_over_time": memory,
        "bad_frames": sum(feed.bad_frames for feed in feeds),
        "pairs": len(engine.board.pairs),
        "wall_ms": WALL_MS,
    }


if __name__ == "__main__":
    asyncio.run(main())

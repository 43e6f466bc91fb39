"""A whole entry, from the tick that brings the price to both legs' bytes. Prints one JSON line.

python -m bench.legs [--orders 150] [--rate 2000] [--core 0]

Real board, guard, desk, gates, signers, HTTP client, and a journal on the disk of the temporary folder; background
traffic through real sockets, feeds and the same engine. Processes of their own stand for the venues. A leg's first byte
is when the socket's send has returned. All times are of one thread and its loop, whose longest step is measured too.
"""

# ruff: noqa: SLF001  # it measures from within
from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from asyncio import selector_events
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.entry import LIMITS, Row, Stamped, market, traders
from bench.frames import market as other_market
from bench.ours import WIDE, feed_for
from twinleg.core.board import Board
from twinleg.core.edge import Opportunity
from twinleg.core.messages import (
    BookSnapshot,
    FundingPredicted,
    FundingSettled,
    FundingSource,
    MarketEvent,
    MarketsListed,
    Refusal,
    Stats,
)
from twinleg.core.orders import Side
from twinleg.core.pairs import Limits, Pair
from twinleg.core.trading import OrderSeen
from twinleg.runtime import arming as arming_room
from twinleg.runtime import engine as engine_room
from twinleg.runtime.books import Books, read_ledger
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.desk import Desk
from twinleg.runtime.engine import Conduct, Engine
from twinleg.runtime.gate import Account, VenueGate
from twinleg.runtime.gates import Gates
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.lanes import Lanes
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.purse import Purse
from twinleg.runtime.settings import Settings
from twinleg.runtime.streams import Doors, StreamRunner
from twinleg.runtime.wiring import calm_collector

VENUES = ("lighter", "extended")
LONG, SHORT = "lighter:ETH", "extended:ETH"
MARKETS = 120
"""Of each venue, in the background."""
WARM = 20
HOUR_MS, RATE = 3_600_000, 1.25e-5
TICKS = 250_000
"""The middle of the long book."""
WAIT_S = 10.0
LEGS = {b"POST /api/v1/sendTx": "lighter", b"POST /api/v1/user/order": "extended"}


class Free:
    """Accounts against which nothing is said."""

    def blocked(self, now_ms: int) -> tuple[Refusal, ...]:  # noqa: ARG002
        return ()

    def against(self, pair: Pair) -> tuple[Refusal, ...]:  # noqa: ARG002
        return ()


class Stamps:
    """What is noted of one entry (nanoseconds of the monotonic clock), and of the loop."""

    def __init__(self) -> None:
        self.ticked = self.decided = self.durable = 0
        self.left: dict[str, int] = {}
        self.steps_ns: list[int] = []
        self.longest_cpu_ns = 0

    @contextmanager
    def taken(self, engine: Engine, journal: SqliteJournal) -> Iterator[None]:
        """Note the decision, the commit, each leg's first byte and how long the loop's steps take."""
        transport = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]  # where bytes leave
        write, run, durable, opens = transport.write, asyncio.Handle._run, journal.durable, engine._open

        def stamped_write(this: Any, data: Any) -> None:
            write(this, data)
            line = bytes(data[:24])
            for head, venue in LEGS.items():
                if line.startswith(head):
                    self.left.setdefault(venue, time.monotonic_ns())

        def stamped_run(this: Any) -> None:
            began, spent = time.monotonic_ns(), time.thread_time_ns()
            run(this)
            self.steps_ns.append(time.monotonic_ns() - began)
            self.longest_cpu_ns = max(self.longest_cpu_ns, time.thread_time_ns() - spent)

        async def stamped_durable(sequence: int) -> None:
            await durable(sequence)
            self.durable = self.durable or time.monotonic_ns()

        def stamped_open(*asked: Any) -> str | None:
            self.decided = time.monotonic_ns()
            return opens(*asked)

        transport.write, asyncio.Handle._run = stamped_write, stamped_run  # type: ignore[method-assign]
        journal.durable, engine._open = stamped_durable, stamped_open  # type: ignore[method-assign]
        try:
            yield
        finally:
            transport.write, asyncio.Handle._run = write, run  # type: ignore[method-assign]

    def begin(self) -> None:
        self.ticked = self.decided = self.durable = 0
        self.left.clear()


class Bench:
    """One process that trades one pair, over and over."""

    def __init__(self, engine: Engine, gates: dict[str, VenueGate]) -> None:
        self.engine, self.gates = engine, gates
        self.near = self.enough = self.far = self.shown = 0

    def shows(self, offset: int) -> None:
        """Both books anew; the long market's best ask lies `offset` ticks below the middle."""
        now_ms, now_ns = time.time_ns() // 1_000_000, time.monotonic_ns()
        deep = [(step, 5_000_000) for step in range(1, 6)]
        asks = [(TICKS - offset + step, lots) for step, lots in deep]
        bids = [(TICKS - offset - 1 - step, lots) for step, lots in deep]
        upper = [(TICKS + 200 + step, lots) for step, lots in deep]
        lower = [(TICKS + 200 - step, lots) for step, lots in deep]
        long = BookSnapshot(LONG, bids, asks, now_ms, now_ns)
        short = BookSnapshot(SHORT, lower, upper, now_ms, now_ns)
        rises, self.shown = offset > self.shown, offset
        self.engine.on_market([short, long] if rises else [long, short])  # what brings the edge comes last

    def look(self, offset: int) -> Opportunity:
        """What the pair is worth at that offset."""
        board = self.engine.board
        pair = board.pairs[f"{LONG}>{SHORT}"]
        self.shows(offset)
        found = board.weigh(pair, 500.0, time.time_ns() // 1_000_000, time.monotonic_ns())
        assert isinstance(found, Opportunity), found
        return found

    def place(self) -> None:
        """Where the edge is nearly enough, and enough."""
        net = {offset: self.look(offset).net_bps for offset in range(0, 4_000, 5)}
        self.near = next(offset for offset, bps in net.items() if bps > 4.6)
        self.enough = next(offset for offset, bps in net.items() if bps > 5.1)
        self.far = self.near - 150
        self.shows(self.far)
        assert self.engine.desk.executed == 0, "placed without trading"

    async def over(self) -> None:
        """The last trade's orders ended without a fill, and so does the trade."""
        account = next(iter(reversed(self.engine.desk.ledger.trades.values())))
        for order in account.trade.orders:
            intent = order.intent
            seen = OrderSeen(
                venue=intent.venue, market=intent.market, client_id=intent.client_id, venue_order_id="1", side=Side.BUY,
                size_lots=intent.size_lots, filled_lots=0, price_ticks=intent.limit_ticks, reduce_only=False,
                resting=False, reason="ioc", at_ms=intent.deadline_ms,
            )  # fmt: skip
            self.gates[intent.venue].account([seen])
        await until(lambda: not self.engine.desk.ledger.open_trades())


async def until(come: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not come():
            await asyncio.sleep(0.0003)


async def measure(bench: Bench, stamps: Stamps, orders: int, *, armed: bool) -> list[Row]:
    """us of each entry, as NAMES has them."""
    engine, rows = bench.engine, []
    arming = engine.arming
    assert arming is not None
    for _ in range(orders):
        bench.shows(bench.far)  # fresh again
        await asyncio.sleep(0.012)
        if armed:
            bench.shows(bench.near)
            await until(lambda: arming._held is not None and arming._held.pending.durable)
            await asyncio.sleep(0.006)
        stamps.begin()
        stamps.ticked = time.monotonic_ns()
        bench.shows(bench.enough)
        await until(lambda: len(stamps.left) == len(VENUES))
        last, first = max(stamps.left.values()), min(stamps.left.values())
        await until(lambda: bool(stamps.durable))
        commit = 0 if armed else stamps.durable - stamps.decided
        spans = (
            first - stamps.ticked,
            first - stamps.decided,
            commit,
            first - stamps.decided - commit,
            last - stamps.decided,
            last - first,
        )
        rows.append(tuple(span / 1_000 for span in spans))
        bench.shows(bench.far)
        await asyncio.sleep(0.002)  # the answers
        await bench.over()
    return rows[WARM:]


NAMES = (
    "tick to the first byte",
    "decision to the first byte",
    "of that the commit",
    "of that all else",
    "decision to both legs' first bytes",
    "leg to leg",
)


def figures(name: str, rows: list[Row]) -> dict[str, float]:
    found = {}
    for place, values in zip(NAMES, zip(*rows, strict=True), strict=True):
        ordered = sorted(values)
        for percent in (50, 99):
            found[f"{name}, {place}, p{percent} (us)"] = ordered[len(ordered) * percent // 100]
    return found


def funding(key: str, now_ms: int) -> list[MarketEvent]:
    """A day of settlements, and both readings of what comes."""
    full_ms = now_ms // HOUR_MS * HOUR_MS
    past = [full_ms - hours * HOUR_MS for hours in range(24)]
    told: list[MarketEvent] = [FundingSettled(key, RATE, 1.0, None, at_ms, FundingSource.HISTORY) for at_ms in past]
    readings = (FundingSource.STREAM, FundingSource.REST)
    return [*told, *(FundingPredicted(key, RATE, full_ms + HOUR_MS, source, now_ms) for source in readings)]


async def built(folder: Path, urls: dict[str, str], doors: Doors, rate: float) -> tuple[Bench, SqliteJournal]:
    """Everything but the background's streams."""
    limits = Limits(book_ready_cooldown_ms=0, aggressive_execution_spread_bps=5.0, max_total_exposure_usd=1e9)
    board = Board(lambda _asset: limits, lambda _asset, _one, _other: True)
    journal = await SqliteJournal.open(folder)
    ledger, markets = (
        read_ledger(journal),
        {f"{venue}:ETH": replace(market(venue), post_only=False) for venue in VENUES},
    )
    gates = {}
    for venue, trader in traders(urls, markets).items():
        account = Account(trader, markets, Lanes(trader.lanes(), sequenced=trader.trading.sequenced), lambda: None)
        gates[venue] = VenueGate(account, Budget(venue, LIMITS), doors, 5_000)
        await gates[venue].warm()
    engine: Engine
    books = Books(journal, ledger, doors.clock)
    desk = Desk(books, Gates(gates), doors.clock, lambda plan: engine.quotes(plan), lambda plan: engine.unfit(plan))
    purse = Purse(board, dict.fromkeys(VENUES, 1e6), 3.0)
    engine = Engine(board, desk, purse, doors.clock, Conduct(Settings(), 100.0), Free())
    now_ms, now_ns = doors.clock.wall_ms(), doors.clock.mono_ns()
    for venue in VENUES:
        others = [other_market(venue, number) for number in range(MARKETS if rate else 0)]
        engine.on_market([MarketsListed(venue, (markets[f"{venue}:ETH"], *others), now_ms)])
        for one in (markets[f"{venue}:ETH"], *others):
            price = TICKS / 100 if one.base == "ETH" else 3_000.0
            engine.on_market([Stats(one.key, price, price, None, now_ms, now_ns), *funding(one.key, now_ms)])
    for pair in board.pairs.values():
        if pair.asset == "ETH":
            pair.basis_bps.extend(0.5 * (number % 2) for number in range(600))
            pair.settle_estimates()
            pair.basis_bps = deque(maxlen=0)  # estimates stay as they are: what is shown moves as no market does
    return Bench(engine, gates), journal


async def run(
    options: argparse.Namespace, urls: dict[str, str], feeds: dict[str, int], folder: Path
) -> dict[str, float]:
    clock = SystemClock()
    found: dict[str, float] = {}
    engine_room.ENTRY_EVERY_MS = arming_room.REARM_MS = 0
    async with PicowsNet(clock) as net:
        doors = Doors(Stamped(net), clock, SystemDice())
        bench, journal = await built(folder, urls, doors, options.rate)
        engine, stamps = bench.engine, Stamps()
        tasks = [asyncio.create_task(engine.desk.run())]
        for venue, port in feeds.items():
            runner = StreamRunner(feed_for(venue, port, MARKETS), engine.on_market, Budget(venue, WIDE), doors)
            tasks.append(asyncio.create_task(runner.run()))
        engine.stopping = "not yet"
        bench.place()
        engine.stopping = None
        tasks.append(asyncio.create_task(engine.beat()))
        await asyncio.sleep(2.0 if feeds else 0.2)
        calm_collector()
        events = engine.tally.events
        with stamps.taken(engine, journal):
            began = time.monotonic()
            for name, armed in (("ordinary", False), ("armed", True)):
                engine.arming = arming_room.Arming(engine.desk, Settings(), engine._wanted, engine.unfit)
                if not armed:
                    engine.arming._next_ms = 1 << 60
                rows = await measure(bench, stamps, options.orders, armed=armed)
                found |= figures(name, rows)
                fired = engine.arming.counts["fired"]
                assert fired == (options.orders if armed else 0), engine.arming.counts
            steps = sorted(stamps.steps_ns)
            found["background (messages/s)"] = (engine.tally.events - events) / (time.monotonic() - began)
        found["steps of the loop over 5 ms (of a million)"] = sum(one > 5e6 for one in steps) * 1e6 / len(steps)
        found["longest step of the loop (ms)"] = steps[-1] / 1e6
        found["longest step of the loop, its own work (ms)"] = stamps.longest_cpu_ns / 1e6
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for gate in bench.gates.values():
            await gate.close()
        await journal.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=150)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second in the background, of both venues")
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--other-core", type=int, default=None)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    servers: list[subprocess.Popen[str]] = []

    def serving(*command: str) -> int:
        pinned = [] if options.other_core is None else ["--core", str(options.other_core)]
        line = [sys.executable, "-m", *command, *pinned]
        servers.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        output = servers[-1].stdout
        assert output is not None
        return int(output.readline())

    try:
        urls = {venue: f"http://127.0.0.1:{serving('bench.entry', '--serve')}" for venue in VENUES}
        feeds = {}
        if options.rate:
            frames = str(int(options.rate * (options.orders * 0.12 + 20)))
            pace = ["--markets", str(MARKETS), "--frames", frames, "--rate", str(options.rate / len(VENUES))]
            feeds = {venue: serving("bench.server", venue, *pace) for venue in VENUES}
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(run(options, urls, feeds, Path(folder)))))
    finally:
        for server in servers:
            server.terminate()
            server.communicate()


if __name__ == "__main__":
    main()

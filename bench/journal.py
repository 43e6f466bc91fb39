"""What durability costs: the journal port in groups and alone, its checksums, and the fold of a long journal.

python -m bench.journal [--quick] prints one JSON line. The disk is the one that holds the temporary folder (TMPDIR).
What it takes for a bare write is measured too, before and after: that bounds all the rest, and others use it as well.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from twinleg.core.amounts import Grid
from twinleg.core.ledger import Ledger
from twinleg.core.orders import (
    Filled,
    Intent,
    Leg,
    LegPlan,
    OrderStatus,
    Purpose,
    Side,
    State,
    TimeInForce,
    TradePlan,
    client_id,
    trade_id,
)
from twinleg.core.records import (
    FillSeen,
    IntentMade,
    JournalRecord,
    OutcomeSeen,
    StateChanged,
    TradePlanned,
    decode,
    encode,
    kind_of,
)
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.journal_file import JournalFile, checksum
from twinleg.runtime.ports import Record

GROUP = 100
IDLE_S = 0.02
PRICE = 200_000


def life(number: int) -> list[JournalRecord]:
    """All records of one trade, opened and closed: what a journal is made of."""
    name, at_ms = trade_id(number), 1_700_000_000_000 + number
    legs = {
        leg: LegPlan(
            venue=venue, market=f"{venue}:ETH", price_grid=Grid(2), size_grid=Grid(3), lots_per_common_lot=1,
            limit_ticks=PRICE, decision_ticks=PRICE,
        )
        for leg, venue in ((Leg.LONG, "lighter"), (Leg.SHORT, "extended"))
    }  # fmt: skip
    plan = TradePlan(
        trade_id=name, asset="ETH", long=legs[Leg.LONG], short=legs[Leg.SHORT], common_lots=10, unhedged_ms_max=3_000,
        unhedged_notional_max_micro_usd=1_000_000_000, attempt_ms=3_000, bounds_bps=(50, 100, 200),
    )  # fmt: skip
    made: list[JournalRecord] = [TradePlanned(at_ms=at_ms, plan=plan, terms={"net_bps": 12.5})]
    for attempt, purpose, state in ((0, Purpose.ENTER, State.HEDGED), (1, Purpose.EXIT, State.CLOSED)):
        reduces = purpose is Purpose.EXIT
        for leg in Leg:
            side: Side = leg.entry_side.opposite if reduces else leg.entry_side
            order = client_id(name, leg, attempt)
            intent = Intent(
                trade_id=name, leg=leg, attempt=attempt, client_id=order, venue=plan.leg(leg).venue,
                market=plan.leg(leg).market, side=side, size_lots=10, limit_ticks=PRICE, reduce_only=reduces,
                time_in_force=TimeInForce.IOC, purpose=purpose, deadline_ms=at_ms + 3_000, decision_price_ticks=PRICE,
            )  # fmt: skip
            fill = Filled(order, f"{number}{leg.value}{attempt}", PRICE, 10, 700, at_ms)
            made.append(IntentMade(intent=intent, at_ms=at_ms))
            made.append(FillSeen(trade_id=name, fill=fill, at_ms=at_ms))
            made.append(
                OutcomeSeen(
                    trade_id=name,
                    client_id=order,
                    status=OrderStatus.DONE,
                    reason="filled",
                    filled_lots=10,
                    at_ms=at_ms,
                )
            )
        made.append(
            StateChanged(
                trade_id=name,
                state=state,
                attempts_spent=0,
                due_ms=None,
                exit_reason=None,
                because="legs match",
                at_ms=at_ms,
            )
        )
    return made


def rows(count: int) -> Iterator[Record]:
    """The first so many rows of a journal, trade after trade."""
    records = (one for number in itertools.count(1) for one in life(number))
    for sequence, one in enumerate(itertools.islice(records, count), start=1):
        yield Record(sequence, one.at_ms, kind_of(one), one.trade_id, encode(one))


async def port(folder: Path, some: list[Record], alone: int) -> dict[str, float]:
    """Through SqliteJournal, from `append` on the loop to `durable` on the loop."""
    journal = await SqliteJournal.open(folder)
    rates, busy, idle = [], [], []
    for start in range(0, len(some), 100 * GROUP):
        began, part = time.perf_counter(), some[start : start + 100 * GROUP]
        for first in range(0, len(part), GROUP):
            last = 0
            for one in part[first : first + GROUP]:
                last = journal.append(one.at_ms, one.kind, one.trade_id, one.payload)
            await journal.durable(last)
        rates.append(len(part) / (time.perf_counter() - began))
    for times, pause_s in ((busy, 0.0), (idle, IDLE_S)):
        for one in some[:alone]:
            if pause_s:
                await asyncio.sleep(pause_s)
            began = time.perf_counter()
            await journal.durable(journal.append(one.at_ms, one.kind, one.trade_id, one.payload))
            times.append((time.perf_counter() - began) * 1_000)
    await journal.close()
    return {
        f"durable events/s, {GROUP} per commit": statistics.median(rates),
        "a lone durable event, back to back, p50 (ms)": statistics.median(busy),
        "a lone durable event, back to back, p99 (ms)": sorted(busy)[len(busy) * 99 // 100],
        f"a lone durable event, after {IDLE_S * 1_000:g} ms of idle disk, p50 (ms)": statistics.median(idle),
    }


def file_alone(folder: Path, some: list[Record]) -> float:
    """Events per second of JournalFile.write, without the port's thread."""
    file = JournalFile.open_for_writing(folder)
    rates = []
    for start in range(0, len(some), GROUP):
        began, group = time.perf_counter(), some[start : start + GROUP]
        file.write(group)
        rates.append(len(group) / (time.perf_counter() - began))
    file.close()
    return statistics.median(rates)


def bare(folder: Path) -> float:
    """ms for 40 KiB in place and one sync, which is what a commit of a group costs the disk; the median."""
    times, data = [], b"x" * 40_960
    sync = getattr(os, "fdatasync", os.fsync)
    with Path(folder, "bare").open("wb", buffering=0) as file:
        file.write(data * 100)
        os.fsync(file.fileno())
        for number in range(200):
            began = time.perf_counter()
            file.seek(number % 100 * len(data))
            file.write(data)
            sync(file.fileno())
            times.append((time.perf_counter() - began) * 1_000)
    return statistics.median(times)


def chained(some: list[Record]) -> float:
    """ns of CPU per row."""
    began, crc = time.process_time_ns(), 0
    for one in some:
        crc = checksum(one, crc)
    return (time.process_time_ns() - began) / len(some)


def folded(folder: Path, count: int) -> tuple[float, float]:
    """Seconds to read and verify them all, and seconds to decode and fold them as well."""
    file = JournalFile.open_for_writing(folder)
    some = rows(count)
    while group := list(itertools.islice(some, 1_000)):
        file.write(group)
    began = time.perf_counter()
    found = sum(1 for _ in file.records())
    read_s = time.perf_counter() - began
    assert found == count
    began = time.perf_counter()
    ledger = Ledger(decode(row.payload) for row in file.records())
    whole_s = time.perf_counter() - began
    assert ledger.applied == count
    file.close()
    return read_s, whole_s


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.journal", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    share = 10 if parser.parse_args().quick else 1
    some = list(rows(100_000 // share))
    fold = 1_000_000 // share
    with tempfile.TemporaryDirectory() as folder:
        before_ms = bare(Path(folder))
        found = asyncio.run(port(Path(folder, "port"), some, 300))
        found["JournalFile.write alone, events/s"] = file_alone(Path(folder, "file"), some)
        found["the disk alone: 40 KiB and a sync, before, p50 (ms)"] = before_ms
        found["the disk alone: 40 KiB and a sync, after, p50 (ms)"] = bare(Path(folder))
        found["chained checksum (ns per row)"] = chained(some)
        read_s, whole_s = folded(Path(folder, "fold"), fold)
    found[f"{fold:,} rows read and verified (s)"] = read_s
    found[f"{fold:,} rows read, verified, decoded and folded (s)"] = whole_s
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""The product in the seeded world, and the world itself: it repeats, and it sees what is wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from twinleg.core.orders import State
from twinleg.core.records import JournalRecord, StateChanged, encode, kind_of
from twinleg.runtime.desk import Desk
from twinleg.runtime.ports import JournalError, Record
from twinleg_selftest.disk import Disk, DiskJournal
from twinleg_selftest.loop import StuckError, VirtualLoop
from twinleg_selftest.network import Network
from twinleg_selftest.trial import Plan, Trial
from twinleg_sims.world import World

SOURCES = str(Path(__file__).parents[2] / "src")
SHORT = {"assets": 2, "seconds": 110.0, "crashes": 2}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Nothing:
    """An outside where nothing ever happens."""

    def next_s(self) -> float | None:
        return None

    def happen(self, now_s: float) -> None:
        raise AssertionError("nothing happens here")


def test_virtual_time_passes_without_waiting_and_in_order() -> None:
    loop, seen = VirtualLoop(Nothing()), []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((seconds, loop.time()))

    async def all_of_them() -> None:
        await asyncio.gather(sleeper(3_600), sleeper(0.5), sleeper(60))

    loop.run_until_complete(all_of_them())
    loop.close()
    assert seen == [(0.5, 0.5), (60, 60.0), (3_600, 3_600.0)]


def test_waiting_for_what_cannot_come_is_told() -> None:
    loop = VirtualLoop(Nothing())
    with pytest.raises(StuckError):
        loop.run_until_complete(asyncio.Event().wait())
    loop.bury()


def test_only_what_was_durable_survives_a_crash() -> None:
    network = Network(World(1, 2, 1_790_000_000_000), {}, 1)
    disk, loop = Disk(1), VirtualLoop(network)

    async def life() -> DiskJournal:
        journal = DiskJournal(disk, network, lambda _row: None)
        await journal.durable(journal.append(1, "a", "T1", b"{}"))
        journal.append(2, "b", "T1", b"{}")
        return journal

    journal = loop.run_until_complete(life())
    journal.dead = True
    network.happen(network.now_s + 10)
    assert [row.kind for row in disk.rows] == ["a"]
    with pytest.raises(JournalError):
        journal.append(3, "c", "T1", b"{}")
    loop.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_product_keeps_its_rules(seed: int) -> None:
    outcome = Trial(Plan(seed=seed, **SHORT)).run()
    assert outcome.violations == [], outcome.story[-40:]
    assert outcome.crashes == SHORT["crashes"]
    assert outcome.faults > 5


@pytest.mark.soak
def test_the_product_keeps_its_rules_over_many_seeds() -> None:
    for seed in range(int(os.environ.get("SOAK_SEEDS", "200"))):
        outcome = Trial(Plan(seed=1_000 + seed)).run()
        assert outcome.violations == [], (outcome.seed, outcome.story[-40:])


def test_a_seed_replays_exactly_under_any_hash_seed() -> None:
    told = []
    for hash_seed in ("0", "4711"):
        done = subprocess.run(
            [sys.executable, "-m", "twinleg_selftest", "--seeds", "1", "--seed", "5", "--assets", "2",
             "--seconds", "60", "--crashes", "1", "--json"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": SOURCES},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
    assert told[0]["steps"] > 1_000


def test_a_journal_that_lies_is_seen() -> None:
    trial = Trial(Plan(seed=1, **SHORT))
    record = StateChanged(
        at_ms=1,
        trade_id="T000009",
        state=State.HEDGED,
        attempts_spent=0,
        due_ms=None,
        exit_reason=None,
        because="a lie",
    )
    trial.disk.rows.append(Record(1, 1, kind_of(record), record.trade_id, encode(record)))
    trial.rules.at_the_end()
    assert any("contradicts itself" in violation for violation in trial.outcome.violations)


def test_a_product_that_acts_before_it_is_durable_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: effects before durability."""

    async def hasty(self: Desk, records: list[JournalRecord]) -> None:
        for record in records:
            self._append(record)

    monkeypatch.setattr(Desk, "_persist", hasty)
    outcome = Trial(Plan(seed=2, assets=4, seconds=110.0, crashes=0)).run()
    assert any("I1" in violation for violation in outcome.violations), outcome

"""The disk: what is durable survives a crash, what was only appended does not. One journal per incarnation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import Random

from twinleg.runtime.ports import JournalError, Record
from twinleg_selftest.network import Network

COMMIT_S_MIN, COMMIT_S_MAX = 0.0002, 0.010
FULL_SHARE, FULL_S_MAX = 0.012, 4.0
SLOW_SHARE, SLOW_S_MAX = 0.02, 1.5


class Disk:
    """Rows that are safe, whoever lives. `written` hears of each as it becomes safe."""

    def __init__(self, seed: int, written: Callable[[Record], None]) -> None:
        self.rows: list[Record] = []
        self.pending: list[Record] = []
        """Appended by the living process, not durable yet."""
        self.dice = Random(f"{seed}:disk")
        self.written = written
        self.on_commit: Callable[[bool], None] = lambda _after: None
        """Called right before (False) and right after (True) each commit; it may raise CrashError."""


class DiskJournal:
    """Appends to memory, commits in groups after the disk's delay; the disk may be slow, or full for a while."""

    def __init__(self, disk: Disk, network: Network, appended: Callable[[Record], None]) -> None:
        """`appended` hears of every record before it joins the others."""
        self._disk, self._network, self._appended = disk, network, appended
        disk.pending = []
        self._next = len(disk.rows) + 1
        self._committing = False
        self._changed = asyncio.Event()
        self.failed: str | None = None
        self.dead = False

    def append(self, at_ms: int, kind: str, trade_id: str, payload: bytes) -> int:
        if self.dead or self.failed is not None:
            raise JournalError(self.failed or "the process is dead")
        record = Record(self._next, at_ms, kind, trade_id, payload)
        self._next += 1
        self._appended(record)
        self._disk.pending.append(record)
        self._commit_soon()
        return record.sequence

    async def durable(self, sequence: int) -> None:
        while sequence > len(self._disk.rows):
            if self.failed is not None:
                raise JournalError(self.failed)
            await self._changed.wait()

    def records(self) -> Iterator[Record]:
        return iter(list(self._disk.rows))

    async def close(self) -> None:
        while self._disk.pending:
            await self._changed.wait()

    def _commit_soon(self) -> None:
        if self._committing:
            return
        self._committing = True
        network, dice = self._network, self._disk.dice
        wait_s = dice.uniform(COMMIT_S_MIN, COMMIT_S_MAX)
        if not network.calm and dice.random() < FULL_SHARE:
            network.hit("disk", "disk_full")
            self.failed = "the disk is full"
            self._wake()
            wait_s = dice.uniform(0.2, FULL_S_MAX)
        elif not network.calm and dice.random() < SLOW_SHARE:
            network.hit("disk", "disk_slow")
            wait_s = dice.uniform(0.1, SLOW_S_MAX)
        network.at(network.now_s + wait_s, self._commit)

    def _commit(self) -> None:
        if self.dead:
            return
        self._disk.on_commit(False)
        self._committing, self.failed = False, None
        committed, self._disk.pending = self._disk.pending, []
        self._disk.rows += committed
        for row in committed:
            self._disk.written(row)
        self._disk.on_commit(True)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

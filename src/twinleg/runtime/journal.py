"""The journal port over one SQLite file: appended to at once, committed in groups by a thread of its own.

    loop:    append -> queue ............................ durable returns
    writer:              take all that waits, one transaction, fsync -> tell the loop

While the disk is full, locked or read-only, `failed` says so, `append` and `durable` raise, and the writer keeps what
it holds and tries again every RETRY_S; when that succeeds, `failed` is None again and nothing was lost. SQLite is
called by the writer alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec

from twinleg.runtime.journal_copy import backup
from twinleg.runtime.journal_file import JournalBlockedError, JournalFile
from twinleg.runtime.ports import JournalError, Record

WAITING_MAX = 10_000
GROUP_MAX = 1_000
PAYLOAD_BYTES_MAX = 1 << 20
RETRY_S = 0.5
READ_S_MAX = 30.0


class _Read(msgspec.Struct, frozen=True):
    after: int
    answer: Future[list[Record]]


class _Close(msgspec.Struct, frozen=True):
    pass


class SqliteJournal:
    """See ports.Journal. Made by `open`; used from one event loop; `close` flushes."""

    failed: str | None = None
    """Why nothing can be made durable now, None when all is well."""

    def __init__(self, file: JournalFile) -> None:
        self.path = file.path
        self._loop = asyncio.get_running_loop()
        self._appended = self._committed = file.last_sequence
        self._changed = asyncio.Event()
        self._queue: SimpleQueue[Record | _Read | _Close] = SimpleQueue()
        self._closing = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._write, args=(file,), name="journal", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, folder: Path) -> SqliteJournal:
        """The journal of a data folder, made when there is none. Raises JournalError, which says what to do."""
        return cls(await asyncio.to_thread(JournalFile.open_for_writing, folder))

    @property
    def waiting(self) -> int:
        """How many records are appended and not yet durable."""
        return self._appended - self._committed

    def append(self, at_ms: int, kind: str, trade_id: str, payload: bytes) -> int:
        """Queue a record, return its sequence. Raises JournalError when failed, closed or WAITING_MAX behind."""
        assert len(payload) <= PAYLOAD_BYTES_MAX, f"a {kind} record of {len(payload)} bytes"
        if self.failed is not None:
            raise JournalError(self.failed)
        if self._closing.is_set():
            raise JournalError(f"{self.path} is closed")
        if self.waiting >= WAITING_MAX:
            raise JournalError(f"{self.path} is {WAITING_MAX} records behind: the disk is too slow")
        self._appended += 1
        self._queue.put(Record(self._appended, at_ms, kind, trade_id, payload))
        return self._appended

    async def durable(self, sequence: int) -> None:
        """Return once that record is committed. Raises JournalError as soon as that is in doubt."""
        assert 0 < sequence <= self._appended, f"record {sequence} was never appended"
        while sequence > self._committed:
            if self.failed is not None:
                raise JournalError(self.failed)
            await self._changed.wait()

    def records(self) -> Iterator[Record]:
        """Every record appended before, oldest first, verified; a thousand in memory at a time.

        Blocks the caller while the writer reads: once the loop has other work, iterate in another thread.
        Raises JournalError for a damaged or missing row: none is ever skipped.
        """
        after = 0
        while rows := self._ask(after):
            yield from rows
            after = rows[-1].sequence

    async def backup(self, target: Path) -> int:
        """Copy all that is durable now to the new file `target`, verified; the number of rows. Appends go on meanwhile.

        Raises JournalError.
        """
        return await asyncio.to_thread(backup, self.path, target)

    async def close(self) -> None:
        """Write what waits and end. Raises JournalError when some of it could not be written."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(_Close())
        await self._ended.wait()
        if self.waiting:
            raise JournalError(f"{self.waiting} records were not written: {self.failed}")

    def _ask(self, after: int) -> list[Record]:
        if self._closing.is_set():
            raise JournalError(f"{self.path} is closed")
        read = _Read(after, Future())
        self._queue.put(read)
        try:
            return read.answer.result(READ_S_MAX)
        except TimeoutError:
            raise JournalError(f"{self.path} did not answer a read within {READ_S_MAX:g} s") from None

    # ---- on the loop, told by the writer ----

    def _on_commit(self, sequence: int) -> None:
        self._committed = sequence
        self.failed = None
        self._wake()

    def _on_failure(self, reason: str) -> None:
        self.failed = reason
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # ---- in the writer's thread ----

    def _write(self, file: JournalFile) -> None:
        final = False  # after a failure that cannot pass, reads are still answered
        try:
            while True:
                group, other = self._gather()
                if group and not final:
                    final = not self._commit(file, group)
                if isinstance(other, _Read):
                    _answer(file, other)
                elif other is not None:
                    return
        except BaseException as error:
            self._tell(self._on_failure, f"the journal's writer ended: {error!r}")
            raise
        finally:
            file.close()
            self._tell(self._ended.set)

    def _gather(self) -> tuple[list[Record], _Read | _Close | None]:
        """Wait for work; then all records that wait, up to GROUP_MAX, and what comes after them if it is no record."""
        group: list[Record] = []
        item = self._queue.get()
        while isinstance(item, Record):
            group.append(item)
            if len(group) == GROUP_MAX:
                return group, None
            try:
                item = self._queue.get_nowait()
            except Empty:
                return group, None
        return group, item

    def _commit(self, file: JournalFile, group: list[Record]) -> bool:
        """Write a group, trying again while that may help. False when it is given up."""
        while True:
            try:
                file.write(group)
            except JournalBlockedError as error:
                self._tell(self._on_failure, str(error))
                if self._closing.wait(RETRY_S):
                    return False
            except JournalError as error:
                self._tell(self._on_failure, str(error))
                return False
            else:
                self._tell(self._on_commit, group[-1].sequence)
                return True

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is gone, and with it everybody who could be told.
            self._closing.set()
            self._queue.put(_Close())


def _answer(file: JournalFile, read: _Read) -> None:
    try:
        read.answer.set_result(file.read(read.after))
    except JournalError as error:
        read.answer.set_exception(error)

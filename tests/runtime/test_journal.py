"""The journal port: what `durable` confirmed is there, whatever happens; and its state is visible when it cannot be."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinleg.runtime import journal as journal_room
from twinleg.runtime import journal_file
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.journal_file import FILE_NAME, JournalFile
from twinleg.runtime.ports import Journal, JournalError, Record

SRC = Path(__file__).parents[2] / "src"
PAYLOADS = st.lists(st.tuples(st.binary(max_size=50), st.booleans()), max_size=30)


def stored(folder: Path) -> list[Record]:
    file = JournalFile.open_for_reading(folder / FILE_NAME)
    try:
        return list(file.records())
    finally:
        file.close()


async def test_it_is_a_journal(tmp_path: Path) -> None:
    journal: Journal = await SqliteJournal.open(tmp_path)
    first = journal.append(1, "kind", "trade", b"{}")
    second = journal.append(2, "kind", "trade", b"{}")
    assert (first, second) == (1, 2)
    await journal.durable(second)
    assert stored(tmp_path) == [Record(1, 1, "kind", "trade", b"{}"), Record(2, 2, "kind", "trade", b"{}")]
    await journal.durable(first)
    await journal.close()
    again = await SqliteJournal.open(tmp_path)
    assert again.append(3, "kind", "trade", b"{}") == 3
    assert [record.sequence for record in again.records()] == [1, 2, 3]
    await again.close()
    await again.close()


@settings(max_examples=20)
@given(runs=st.lists(PAYLOADS, max_size=3))
def test_runs_of_appends_and_waits_are_what_is_read(runs: list[list[tuple[bytes, bool]]]) -> None:
    async def run(folder: Path) -> None:
        written: list[bytes] = []
        for payloads in runs:
            journal = await SqliteJournal.open(folder)
            assert [record.payload for record in journal.records()] == written
            for payload, wait in payloads:
                written.append(payload)
                sequence = journal.append(len(written), "kind", "trade", payload)
                assert sequence == len(written)
                if wait:
                    await journal.durable(sequence)
                    assert [record.payload for record in stored(folder)] == written
            await journal.close()
            assert journal.waiting == 0

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_many_waiters_share_commits(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path)
    sequences = [journal.append(0, "kind", "trade", b"x") for _ in range(3000)]
    await asyncio.gather(*(journal.durable(sequence) for sequence in sequences))
    assert len(stored(tmp_path)) == 3000
    await journal.close()


async def test_sqlite_is_never_called_on_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    callers: set[str] = set()

    class Watched(sqlite3.Connection):
        def execute(self, *args: object) -> sqlite3.Cursor:
            callers.add(threading.current_thread().name)
            return super().execute(*args)  # type: ignore[arg-type]

    connect = sqlite3.connect
    monkeypatch.setattr(
        journal_file.sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=Watched, **kwargs)
    )
    journal = await SqliteJournal.open(tmp_path)
    await journal.durable(journal.append(0, "kind", "trade", b"x"))
    assert list(journal.records())
    await journal.close()
    assert "journal" in callers
    assert threading.current_thread().name not in callers


async def test_a_second_journal_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path)
    with pytest.raises(JournalError, match=f"in use by process {os.getpid()}"):
        await SqliteJournal.open(tmp_path)
    await journal.close()


async def test_a_locked_file_is_told_and_what_was_held_is_written_after(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    held = journal.append(0, "kind", "trade", b"held")
    with pytest.raises(JournalError, match="another process"):
        await journal.durable(held)
    assert journal.failed
    assert journal.waiting == 1
    with pytest.raises(JournalError, match="another process"):
        journal.append(0, "kind", "trade", b"refused")
    other.execute("ROLLBACK")
    other.close()
    while journal.failed:  # noqa: ASYNC110  # recovery has no event of its own: users look at `failed`
        await asyncio.sleep(0.01)
    await journal.durable(held)
    await journal.durable(journal.append(0, "kind", "trade", b"next"))
    assert [record.payload for record in stored(tmp_path)] == [b"held", b"next"]
    await journal.close()


async def test_closing_while_blocked_says_what_is_lost(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal.append(0, "kind", "trade", b"lost")
    with pytest.raises(JournalError, match=r"1 records were not written: .*another process"):
        await journal.close()
    other.close()
    with pytest.raises(JournalError):
        journal.append(0, "kind", "trade", b"late")
    assert stored(tmp_path) == []


async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    file = await asyncio.to_thread(JournalFile.open_for_writing, tmp_path, pages_max=6)
    journal = SqliteJournal(file)
    await journal.durable(journal.append(0, "kind", "trade", b"small"))
    with pytest.raises(JournalError, match="full"):
        await journal.durable(journal.append(0, "kind", "trade", b"x" * 100_000))
    assert journal.failed
    with pytest.raises(JournalError, match="1 records were not written"):
        await journal.close()
    assert [record.payload for record in stored(tmp_path)] == [b"small"]


async def test_a_failure_that_cannot_pass_is_final_but_reads_still_answer(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path)
    await journal.durable(journal.append(0, "kind", "trade", b"one"))
    other = sqlite3.connect(tmp_path / FILE_NAME)
    with other:
        other.execute("INSERT INTO records VALUES (2, 0, 'foreign', '', x'', 0)")
    other.close()
    with pytest.raises(JournalError, match="UNIQUE"):
        await journal.durable(journal.append(0, "kind", "trade", b"two"))
    with pytest.raises(JournalError, match="UNIQUE"):
        journal.append(0, "kind", "trade", b"three")
    with pytest.raises(JournalError, match=r"row 2 of .* is damaged"):
        list(journal.records())
    with pytest.raises(JournalError, match="not written"):
        await journal.close()


async def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_room, "WAITING_MAX", 3)
    journal = await SqliteJournal.open(tmp_path)
    # Nothing is awaited between the appends, so the loop hears of no commit.
    for _ in range(3):
        journal.append(0, "kind", "trade", b"x")
    with pytest.raises(JournalError, match="3 records behind"):
        journal.append(0, "kind", "trade", b"x")
    await journal.durable(3)
    assert journal.append(0, "kind", "trade", b"x") == 4
    await journal.close()


async def test_misuse_is_refused(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path)
    with pytest.raises(AssertionError):
        await journal.durable(1)
    with pytest.raises(AssertionError):
        journal.append(0, "kind", "trade", b"x" * (journal_room.PAYLOAD_BYTES_MAX + 1))
    await journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append(0, "kind", "trade", b"x")
    with pytest.raises(JournalError, match="closed"):
        list(journal.records())


WRITER = """
import asyncio, pathlib, sys
from twinleg.runtime.journal import SqliteJournal

async def main():
    journal = await SqliteJournal.open(pathlib.Path(sys.argv[1]))
    while True:
        sequences = [journal.append(0, "kind", "trade", b"%d" % number * 50) for number in range(7)]
        await journal.durable(sequences[3])
        print(sequences[3], flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 20, 150])
def test_kill_9_in_the_middle_of_appends_loses_nothing_confirmed(tmp_path: Path, lines: int) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, env={"PYTHONPATH": str(SRC)}, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        confirmed = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        confirmed += child.stdout.readlines()
    whole = [int(line) for line in confirmed if line.endswith("\n")]
    records = stored(tmp_path)
    assert len(records) >= whole[-1] >= lines
    assert all(record.payload == b"%d" % ((record.sequence - 1) % 7) * 50 for record in records)

    async def go_on() -> None:
        journal = await SqliteJournal.open(tmp_path)
        assert journal.append(0, "kind", "trade", b"after") == len(records) + 1
        await journal.close()

    asyncio.run(go_on())
    assert len(stored(tmp_path)) == len(records) + 1

"""Backup while the writer works, restore onto any state of a data folder; nothing damaged passes for a journal."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from twinleg.runtime import journal_copy
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.journal_copy import backup, restore
from twinleg.runtime.journal_file import FILE_NAME, RESTORING_NAME, JournalFile
from twinleg.runtime.ports import JournalError, Record


def rows(count: int, first: int = 1, word: str = "kind") -> list[Record]:
    return [Record(number, 1000 + number, word, "trade", b"{%d}" % number) for number in range(first, first + count)]


def write(folder: Path, records: list[Record]) -> Path:
    file = JournalFile.open_for_writing(folder)
    file.write(records)
    file.close()
    return folder / FILE_NAME


def read(path: Path) -> list[Record]:
    file = JournalFile.open_for_reading(path)
    try:
        return list(file.records())
    finally:
        file.close()


def damage(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    place = octets.rindex(b"{1500}")
    octets[place : place + 6] = b"{1501}"
    path.write_bytes(octets)


def test_a_backup_is_a_journal_of_one_file(tmp_path: Path) -> None:
    writer = JournalFile.open_for_writing(tmp_path / "data")
    writer.write(rows(1500))
    target = tmp_path / "kept" / "monday"
    target.parent.mkdir()
    assert backup(writer.path, target) == 1500
    writer.write(rows(1, first=1501))
    assert read(target) == rows(1500)
    assert [each.name for each in target.parent.iterdir()] == ["monday"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    writer.close()


async def test_a_backup_while_appending_is_a_prefix(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path)
    taken = []
    for number in range(5):
        for _ in range(200):
            last = journal.append(1, "kind", "trade", b"{}")
        backing = asyncio.create_task(journal.backup(tmp_path / f"b{number}"))
        for _ in range(200):
            journal.append(1, "kind", "trade", b"{}")
        await journal.durable(last)
        taken.append(await backing)
    await journal.durable(last)
    assert await journal.backup(tmp_path / "all") >= last
    for number, count in enumerate(taken):
        assert [one.sequence for one in read(tmp_path / f"b{number}")] == list(range(1, count + 1))
    await journal.close()


def test_a_damaged_journal_is_not_backed_up(tmp_path: Path) -> None:
    path = write(tmp_path / "data", rows(2000))
    damage(path)
    with pytest.raises(JournalError, match=r"row 1500 of .* is damaged"):
        backup(path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    path = write(tmp_path / "other", rows(1))
    assert backup(path, tmp_path / "kept") == 1, "what the first try left behind is in nobody's way"


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "data", rows(1))
    (tmp_path / "kept").write_text("precious")
    with pytest.raises(JournalError, match="there already"):
        backup(path, tmp_path / "kept")
    assert (tmp_path / "kept").read_text() == "precious"
    with pytest.raises(JournalError, match="not copied"):
        backup(path, tmp_path / "no folder" / "kept")


def test_restored_into_an_empty_folder(tmp_path: Path) -> None:
    backup(write(tmp_path / "data", rows(3)), tmp_path / "kept")
    assert restore(tmp_path / "kept", tmp_path / "new") is None
    journal = JournalFile.open_for_writing(tmp_path / "new")
    journal.write(rows(1, first=4))
    assert list(journal.records()) == rows(4)
    journal.close()
    assert read(tmp_path / "kept") == rows(3)


def test_what_was_there_is_kept_even_damaged(tmp_path: Path) -> None:
    backup(write(tmp_path / "data", rows(3)), tmp_path / "kept")
    for number in (1, 2):
        (tmp_path / "data" / FILE_NAME).write_bytes(b"broken %d" % number)
        (tmp_path / "data" / f"{FILE_NAME}-wal").write_bytes(b"side %d" % number)
        put_aside = restore(tmp_path / "kept", tmp_path / "data")
        assert put_aside == tmp_path / "data" / f"{FILE_NAME}.replaced-{number}"
        assert put_aside.read_bytes() == b"broken %d" % number
        assert put_aside.with_name(f"{put_aside.name}-wal").read_bytes() == b"side %d" % number
        assert read(tmp_path / "data" / FILE_NAME) == rows(3)


def test_a_damaged_backup_replaces_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "data", rows(2000))
    backup(path, tmp_path / "kept")
    damage(tmp_path / "kept")
    with pytest.raises(JournalError, match=r"row 1500 of .* is damaged"):
        restore(tmp_path / "kept", tmp_path / "data")
    assert read(path) == rows(2000)
    JournalFile.open_for_writing(tmp_path / "data").close()


def test_a_folder_in_use_is_not_restored_into(tmp_path: Path) -> None:
    backup(write(tmp_path / "data", rows(3)), tmp_path / "kept")
    journal = JournalFile.open_for_writing(tmp_path / "data")
    with pytest.raises(JournalError, match="in use by process"):
        restore(tmp_path / "kept", tmp_path / "data")
    journal.close()


@pytest.mark.parametrize("renames", range(3))
def test_a_restore_cut_short_is_seen_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int) -> None:
    backup(write(tmp_path / "data", rows(3, word="new")), tmp_path / "kept")
    path = write(tmp_path / "old", rows(2))
    path.with_name(f"{FILE_NAME}-wal").write_bytes(b"")
    real, done = Path.rename, []

    def rename(self: Path, target: Path) -> Path:
        if self.parent == path.parent and not self.name.endswith(".partial"):
            done.append(self)
            if len(done) > renames:
                raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            restore(tmp_path / "kept", tmp_path / "old")
    assert (tmp_path / "old" / RESTORING_NAME).exists()
    with pytest.raises(JournalError, match="restore was cut short"):
        JournalFile.open_for_writing(tmp_path / "old")
    restore(tmp_path / "kept", tmp_path / "old")
    assert read(path) == rows(3, word="new")
    assert read(tmp_path / "old" / f"{FILE_NAME}.replaced-1") == rows(2)
    assert (tmp_path / "old" / f"{FILE_NAME}.replaced-1-wal").exists()


def test_replaced_journals_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_copy, "KEPT_MAX", 1)
    path = write(tmp_path / "data", rows(3))
    backup(path, tmp_path / "kept")
    restore(tmp_path / "kept", tmp_path / "data")
    with pytest.raises(JournalError, match="keeps 1 replaced"):
        restore(tmp_path / "kept", tmp_path / "data")
    assert read(path) == rows(3)

"""The journal's file: what is written is read back, damage is named, and one process writes."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinleg.runtime.journal_file import (
    FILE_NAME,
    LOCK_NAME,
    STEPS,
    JournalBlockedError,
    JournalFile,
    _crc_1,
    checksum,
)
from twinleg.runtime.ports import JournalError, Record

SRC = Path(__file__).parents[2] / "src"
COLUMNS = st.tuples(st.integers(0, 2**63 - 1), st.text(max_size=20), st.text(max_size=20), st.binary(max_size=200))


def rows(count: int, first: int = 1) -> list[Record]:
    return [Record(number, 1000 + number, "kind", "trade", b"{%d}" % number) for number in range(first, first + count)]


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


def edit(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


@given(st.lists(COLUMNS, min_size=1, max_size=20), st.integers(1, 20))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, columns: list[tuple[int, str, str, bytes]], group: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    records = [Record(number, *each) for number, each in enumerate(columns, start=1)]
    file = JournalFile.open_for_writing(folder)
    for start in range(0, len(records), group):
        file.write(records[start : start + group])
    assert list(file.records()) == records
    file.close()
    again = JournalFile.open_for_reading(folder / FILE_NAME)
    assert list(again.records()) == records
    assert again.last_sequence == len(records)
    again.close()


@given(COLUMNS, COLUMNS)
def test_the_checksum_tells_records_apart(one: tuple[int, str, str, bytes], other: tuple[int, str, str, bytes]) -> None:
    if one != other:
        assert checksum(Record(1, *one), 7) != checksum(Record(1, *other), 7)
    assert checksum(Record(1, *one), 7) != checksum(Record(2, *one), 7)
    assert checksum(Record(1, *one), 7) != checksum(Record(1, *one), 8), "it goes on from the row before"
    assert checksum(Record(1, 0, "ab", "c", b""), 0) != checksum(Record(1, 0, "a", "bc", b""), 0)


def test_reading_goes_on_over_many_batches(tmp_path: Path) -> None:
    path = write(tmp_path, rows(2500))
    file = JournalFile.open_for_reading(path)
    assert [record.sequence for record in file.records()] == list(range(1, 2501))
    file.close()


def test_modes(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "data", rows(1))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    JournalFile.open_for_writing(path.parent).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE records SET payload = ? WHERE sequence = 2", b"{3}"),
        ("UPDATE records SET kind = ? WHERE sequence = 2", "kink"),
        ("UPDATE records SET trade_id = ? WHERE sequence = 2", "trader"),
        ("UPDATE records SET at_ms = ? WHERE sequence = 2", 1),
        ("UPDATE records SET at_ms = ? WHERE sequence = 2", "text"),
        ("UPDATE records SET payload = ? WHERE sequence = 2", 5),
        ("UPDATE records SET crc = ? WHERE sequence = 2", 0),
        ("UPDATE records SET kind = CAST(? AS TEXT) WHERE sequence = 2", b"\xff\xfe"),
    ],
)
def test_a_damaged_row_is_named_and_never_skipped(tmp_path: Path, statement: str, value: object) -> None:
    path = write(tmp_path, rows(3))
    edit(path, statement, value)
    file = JournalFile.open_for_writing(tmp_path)
    with pytest.raises(JournalError, match=r"row 2 of .* is damaged .*keep a copy"):
        list(file.records())
    file.close()


def test_a_missing_row_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, rows(3))
    edit(path, "DELETE FROM records WHERE sequence = ?", 2)
    file = JournalFile.open_for_reading(path)
    with pytest.raises(JournalError, match=r"row 2 of .* is missing"):
        list(file.records())
    file.close()


def test_a_row_taken_out_is_seen_though_the_rest_closes_the_gap(tmp_path: Path) -> None:
    path = write(tmp_path, rows(4))
    edit(path, "DELETE FROM records WHERE sequence = ?", 2)
    edit(path, "UPDATE records SET sequence = sequence - 1 WHERE sequence > ?", 2)
    edit(path, "UPDATE meta SET value = '3' || substr(value, 2) WHERE name = ?", "head")
    file = JournalFile.open_for_writing(tmp_path)
    with pytest.raises(JournalError, match=r"row 2 of .* is damaged"):
        list(file.records())
    file.close()


@pytest.mark.parametrize("left", [0, 2])
def test_rows_cut_off_at_the_end_are_seen(tmp_path: Path, left: int) -> None:
    path = write(tmp_path, rows(3))
    edit(path, "DELETE FROM records WHERE sequence > ?", left)
    for opened in (lambda: JournalFile.open_for_writing(tmp_path), lambda: JournalFile.open_for_reading(path)):
        with pytest.raises(JournalError, match=rf"ends with row {left}, which is not the last .*keep a copy"):
            opened()


def test_the_last_row_swapped_for_another_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path, rows(3))
    forged = checksum(Record(3, 1, "kind", "trade", b"{}"), 0)
    edit(path, "UPDATE records SET payload = ?, at_ms = 1, crc = ? WHERE sequence = 3", b"{}", forged)
    with pytest.raises(JournalError, match="ends with row 3, which is not the last"):
        JournalFile.open_for_reading(path)


def test_reading_on_after_a_row_that_is_gone(tmp_path: Path) -> None:
    file = JournalFile.open_for_writing(tmp_path)
    file.write(rows(3))
    edit(tmp_path / FILE_NAME, "DELETE FROM records WHERE sequence = ?", 2)
    with pytest.raises(JournalError, match=r"row 2 of .* is missing"):
        file.read(2)
    file.close()


def as_schema_1(path: Path, records: list[Record]) -> None:
    """The file as the first version wrote it: a checksum of each row by itself, nothing noted of the newest."""
    for record in records:
        crc = _crc_1(record.sequence, record.at_ms, record.kind.encode(), record.trade_id.encode(), record.payload, 0)
        edit(path, "UPDATE records SET crc = ? WHERE sequence = ?", crc, record.sequence)
    edit(path, "DELETE FROM meta WHERE name = ?", "head")
    edit(path, "UPDATE meta SET value = ? WHERE name = 'schema_version'", "1")


def test_a_file_of_the_first_version_is_chained(tmp_path: Path) -> None:
    path = write(tmp_path, rows(2500))
    as_schema_1(path, rows(2500))
    with pytest.raises(JournalError, match=r"older schema \(1\)"):
        JournalFile.open_for_reading(path)
    file = JournalFile.open_for_writing(tmp_path)
    assert list(file.records()) == rows(2500)
    file.write(rows(1, first=2501))
    file.close()
    assert read(path) == rows(2501)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE records SET payload = ? WHERE sequence = 2", "row 2 of .* is damaged"),
        ("DELETE FROM records WHERE payload != ? AND sequence = 2", "row 2 of .* is missing"),
    ],
)
def test_a_damaged_file_of_the_first_version_is_left_as_it_is(tmp_path: Path, statement: str, problem: str) -> None:
    path = write(tmp_path, rows(3))
    as_schema_1(path, rows(3))
    edit(path, statement, b"x")
    for _ in range(2):
        with pytest.raises(JournalError, match=problem):
            JournalFile.open_for_writing(tmp_path)
    with pytest.raises(JournalError, match="older schema"):
        JournalFile.open_for_reading(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, rows(2000))
    octets = bytearray(path.read_bytes())
    octets[4096 * 2 : 4096 * 4] = b"\x5a" * 8192
    path.write_bytes(octets)
    with pytest.raises(JournalError, match="is damaged"):
        JournalFile.open_for_writing(tmp_path)
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(JournalError, match="is damaged"):
        JournalFile.open_for_writing(tmp_path)
    JournalFile.open_for_writing(tmp_path / "other").close()


def test_another_programs_file_and_a_newer_ones_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, rows(1))
    edit(path, "UPDATE meta SET value = ? WHERE name = 'schema_version'", str(len(STEPS) + 1))
    for opened in (lambda: JournalFile.open_for_writing(tmp_path), lambda: JournalFile.open_for_reading(path)):
        with pytest.raises(JournalError, match="newer version"):
            opened()
    edit(path, "PRAGMA application_id = 7")
    with pytest.raises(JournalError, match="another program"):
        JournalFile.open_for_writing(tmp_path)


def test_an_older_file_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, rows(2))
    monkeypatch.setattr("twinleg.runtime.journal_file.STEPS", (*STEPS, ("CREATE TABLE extra (x)",)))
    with pytest.raises(JournalError, match="older schema"):
        JournalFile.open_for_reading(path)
    file = JournalFile.open_for_writing(tmp_path)
    assert list(file.records()) == rows(2)
    file.close()
    JournalFile.open_for_reading(path).close()
    monkeypatch.undo()
    with pytest.raises(JournalError, match="newer version"):
        JournalFile.open_for_writing(tmp_path)


def test_one_process_writes_and_the_second_is_told_which(tmp_path: Path) -> None:
    file = JournalFile.open_for_writing(tmp_path)
    pid = (tmp_path / LOCK_NAME).read_text().strip()
    script = (
        "import sys, pathlib\n"
        "from twinleg.runtime.journal_file import JournalFile\n"
        "from twinleg.runtime.ports import JournalError\n"
        "try:\n    JournalFile.open_for_writing(pathlib.Path(sys.argv[1]))\n"
        "except JournalError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    environment = {"PYTHONPATH": str(SRC)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert f"in use by process {pid}" in told.stdout
    file.write(rows(1))
    file.close()
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == ""


def test_reading_beside_the_writer(tmp_path: Path) -> None:
    writer = JournalFile.open_for_writing(tmp_path)
    writer.write(rows(2))
    reader = JournalFile.open_for_reading(tmp_path / FILE_NAME)
    assert len(list(reader.records())) == 2
    writer.write(rows(2, first=3))
    assert len(list(reader.records())) == 4
    reader.close()
    writer.close()


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, rows(2))
    before = sorted(each.name for each in tmp_path.iterdir())
    reader = JournalFile.open_for_reading(path)
    with pytest.raises(JournalError, match="cannot be written"):
        reader.write(rows(1, first=3))
    reader.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == before


def test_places_without_a_journal(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="is not there"):
        JournalFile.open_for_reading(tmp_path / FILE_NAME)
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="TWINLEG_DATA_DIR"):
        JournalFile.open_for_writing(tmp_path / "file")
    with pytest.raises(JournalError, match="TWINLEG_DATA_DIR"):
        JournalFile.open_for_writing(Path("/dev/null/data"))


def test_a_full_journal_may_pass_and_loses_nothing(tmp_path: Path) -> None:
    file = JournalFile.open_for_writing(tmp_path, pages_max=6)
    big = [Record(1, 1, "kind", "trade", b"x" * 100_000)]
    with pytest.raises(JournalBlockedError, match="full"):
        file.write(big)
    assert list(file.records()) == []
    file.write(rows(1))
    assert list(file.records()) == rows(1)
    file.close()


def test_a_locked_file_may_pass(tmp_path: Path) -> None:
    file = JournalFile.open_for_writing(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalBlockedError, match="another process"):
        file.write(rows(1))
    other.execute("ROLLBACK")
    other.close()
    file.write(rows(1))
    assert list(file.records()) == rows(1)
    file.close()

"""The journal's file: SQLite in WAL mode, one writing process. Blocking; no asyncio here.

Every row has a checksum over itself and the checksum before it, and the newest one is noted beside the rows: a row that
was changed, taken out or cut off at the end is seen.

Errors: JournalError says what to do. Its kind JournalBlockedError may pass by itself (disk full, locked, read-only), so
the same write may be tried again; any other is final for this process.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from twinleg.runtime.lease import HeldError, lock_file
from twinleg.runtime.ports import JournalError, Record

FILE_NAME = "journal.sqlite3"
LOCK_NAME = "journal.lock"
RESTORING_NAME = "journal.sqlite3.restoring"
"""A backup on its way in: while it is there, the journal may be half replaced and is not opened for writing."""
APPLICATION_ID = 0x74776C67  # "twlg"
PAGES_MAX = 1 << 22  # 16 GiB at SQLite's 4 KiB pages
BUSY_MS = 250
READ_ROWS = 1000

_RECORDS = """CREATE TABLE records (sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL,
    trade_id TEXT NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL)"""
_PASSING = {
    sqlite3.SQLITE_FULL: "the disk (or the journal's size limit) is full: free some space",
    sqlite3.SQLITE_BUSY: "another process holds the file: close it",
    sqlite3.SQLITE_LOCKED: "another connection holds the file: close it",
    sqlite3.SQLITE_READONLY: "the file cannot be written: check its owner, its mode and the file system",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: check its folder's owner and mode",
}
_WAY_OUT = (
    "Stop, keep a copy of the whole folder, and restore the file from a backup; or move it away to start a new one, "
    "after closing every position by hand"
)


class JournalBlockedError(JournalError):
    """The write did not happen and may succeed later."""


_LENGTHS = struct.Struct("<qqqqq")
_Row = tuple[int, int, bytes, bytes, bytes, int]


def checksum(record: Record, before: int) -> int:
    """CRC-32 over a record, going on from the row before's: its numbers, the lengths of its texts, then these."""
    return _crc(record.sequence, record.at_ms, record.kind.encode(), record.trade_id.encode(), record.payload, before)


def _crc(sequence: int, at_ms: int, kind: bytes, trade_id: bytes, payload: bytes, before: int) -> int:
    head = _LENGTHS.pack(sequence, at_ms, len(kind), len(trade_id), len(payload))
    return zlib.crc32(payload, zlib.crc32(head + kind + trade_id, before))


def _crc_1(sequence: int, at_ms: int, kind: bytes, trade_id: bytes, payload: bytes, _before: int) -> int:
    """Schema 1: of a record by itself."""
    crc = zlib.crc32(struct.pack("<qq", sequence, at_ms))
    for part in (kind, trade_id, payload):
        crc = zlib.crc32(part, zlib.crc32(struct.pack("<q", len(part)), crc))
    return crc


def _chain(connection: sqlite3.Connection, path: Path) -> None:
    """Schema 1 to 2: rows that were checked one by one are chained. Raises JournalError naming the first bad one."""
    sequence = crc = 0
    while rows := connection.execute(_ROWS_AFTER, (sequence, READ_ROWS)).fetchall():
        chained = []
        for row in rows:
            record = _verified(row, sequence + 1, path, 0, _crc_1)
            sequence, crc = record.sequence, checksum(record, crc)
            chained.append((crc, sequence))
        connection.executemany("UPDATE records SET crc = ? WHERE sequence = ?", chained)
    connection.execute(_NOTE_HEAD, (f"{sequence} {crc}",))


_ROWS_AFTER = """SELECT sequence, at_ms, CAST(kind AS BLOB), CAST(trade_id AS BLOB), payload, crc FROM records
    WHERE sequence > ? ORDER BY sequence LIMIT ?"""
_NOTE_HEAD = "INSERT OR REPLACE INTO meta VALUES ('head', ?)"

STEPS: tuple[tuple[str | Callable[[sqlite3.Connection, Path], None], ...], ...] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        _RECORDS,
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    (_chain,),
)
"""STEPS[n] turns a file of schema version n into one of version n + 1; a new file is version 0."""


class JournalFile:
    """An open journal. `last_sequence` is the newest row's, 0 when there is none. Used by one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self.last_sequence, self._last_crc = _head(connection, path)

    @classmethod
    def open_for_writing(cls, folder: Path, *, pages_max: int = PAGES_MAX) -> JournalFile:
        """The folder's journal, made when there is none (folder 0700, file 0600), checked and brought up to date.

        Raises JournalError: in use by another process, damaged, newer than this version, or out of reach.
        """
        path = folder / FILE_NAME
        try:
            with ExitStack() as undo:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = _lock(folder / LOCK_NAME)
                undo.callback(os.close, lock)
                if (folder / RESTORING_NAME).exists():
                    raise JournalError(f"{folder}: a restore was cut short. Restore the backup again")
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                path.chmod(0o600)
                connection = _connect(f"{path.absolute().as_uri()}?mode=rw")
                undo.callback(connection.close)
                _prepare(connection, path, pages_max)
                file = cls(path, connection, lock)
                undo.pop_all()
                return file
        except OSError as error:
            problem = f"{folder} cannot hold the journal: {error.strerror}. Make it writable, or set TWINLEG_DATA_DIR"
            raise JournalError(problem) from error
        except sqlite3.Error as error:
            raise _explained(error, path) from error

    @classmethod
    def open_for_reading(cls, path: Path) -> JournalFile:
        """A journal as it stands, also while another process writes it or from read-only media. Raises JournalError."""
        if not path.is_file():
            raise JournalError(f"{path} is not there")
        uri = path.absolute().as_uri()
        # Without a WAL beside it the file is complete; "immutable" then spares the side files that WAL mode would make.
        alone = not path.with_name(path.name + "-wal").exists()
        try:
            with ExitStack() as undo:
                connection = _connect(f"{uri}?immutable=1" if alone else f"{uri}?mode=ro")
                undo.callback(connection.close)
                version = _check_version(connection, path)
                if version < len(STEPS):
                    raise JournalError(f"{path} has an older schema ({version}): run the engine on it once")
                file = cls(path, connection, None)
                undo.pop_all()
                return file
        except sqlite3.Error as error:
            raise _explained(error, path) from error

    def write(self, records: Sequence[Record]) -> None:
        """All of `records` in one transaction, on disk on return, or none. Raises JournalError."""
        rows, crc = [], self._last_crc
        for one in records:
            crc = checksum(one, crc)
            rows.append((one.sequence, one.at_ms, one.kind, one.trade_id, one.payload, crc))
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._connection.execute(_NOTE_HEAD, (f"{records[-1].sequence} {crc}",))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _explained(error, self.path) from error
        self.last_sequence, self._last_crc = records[-1].sequence, crc

    def read(self, after: int, rows_max: int = READ_ROWS) -> list[Record]:
        """The rows that follow sequence `after`, each verified. Raises JournalError naming the first bad one."""
        try:
            rows = self._connection.execute(_ROWS_AFTER, (after, rows_max)).fetchall()
            last = self._connection.execute("SELECT crc FROM records WHERE sequence = ?", (after,)).fetchone()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        if after and last is None:
            raise JournalError(f"row {after} of {self.path} is missing. {_WAY_OUT}")
        records, crc = [], last[0] if after else 0
        for expected, row in enumerate(rows, start=after + 1):
            records.append(_verified(row, expected, self.path, crc))
            crc = row[5]
        return records

    def records(self) -> Iterator[Record]:
        """Every row, oldest first, verified."""
        after = 0
        while rows := self.read(after):
            yield from rows
            after = rows[-1].sequence

    def close(self) -> None:
        """Give the file back, the WAL folded into it if this process wrote it."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def copy(self, target: Path) -> None:
        """All rows as they stand now into `target`, a new file of mode 0600 with nothing beside it, on disk on return.

        Writers are not held up. Raises JournalError; FileExistsError when the target is there.
        """
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            connection = _connect(f"{target.absolute().as_uri()}?mode=rw")
            try:
                self._connection.backup(connection)
                connection.execute("PRAGMA journal_mode = DELETE")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise _explained(error, target) from error


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No process writes the folder's journal meanwhile. Raises JournalError naming the one that does."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(folder / LOCK_NAME)
    try:
        yield
    finally:
        os.close(lock)


def _verified(row: _Row, expected: int, path: Path, before: int, crc_of: Callable[..., int] = _crc) -> Record:
    sequence, at_ms, kind, trade_id, payload, crc = row
    if sequence != expected:
        raise JournalError(f"row {expected} of {path} is missing. {_WAY_OUT}")
    try:
        intact = crc_of(sequence, at_ms, kind, trade_id, payload, before) == crc
    except (TypeError, struct.error):
        intact = False  # a column holds another type than we wrote
    if not intact:
        problem = "is damaged (its checksum, which goes on from the row before, differs)"
        raise JournalError(f"row {sequence} of {path} {problem}. {_WAY_OUT}")
    return Record(sequence, at_ms, kind.decode(), trade_id.decode(), payload)


def _head(connection: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """Sequence and checksum of the newest row. Raises JournalError when rows were cut off after it."""
    row = connection.execute(
        """SELECT (SELECT value FROM meta WHERE name = 'head'), sequence, crc FROM records
        UNION ALL SELECT (SELECT value FROM meta WHERE name = 'head'), 0, 0 ORDER BY sequence DESC LIMIT 1"""
    ).fetchone()
    noted, sequence, crc = row
    if noted != f"{sequence} {crc}":
        raise JournalError(f"{path} ends with row {sequence}, which is not the last that was written. {_WAY_OUT}")
    return sequence, crc


def _lock(path: Path) -> int:
    """A lock that lives as long as this process. Raises JournalError naming the process that has it."""
    try:
        handle = lock_file(path)
    except HeldError as error:
        raise JournalError(
            f"{path.parent} is in use by process {error.owner}: stop it, or give this one another TWINLEG_DATA_DIR"
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _connect(uri: str) -> sqlite3.Connection:
    # Opened in one thread and used in another, never by two at once.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    connection.text_factory = lambda text: text.decode(errors="replace")  # damaged text fails its row's checksum
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, pages_max: int) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalError(f"{path} is on a file system without shared memory: put TWINLEG_DATA_DIR on a local disk")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: past the drive's own cache
    connection.execute(f"PRAGMA max_page_count = {int(pages_max)}")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise JournalError(f"{path} is damaged ({verdict}). {_WAY_OUT}")
    version = _check_version(connection, path)
    for number, statements in enumerate(STEPS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            if callable(statement):
                statement(connection, path)
            else:
                connection.execute(statement)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (str(number),))
        connection.execute("COMMIT")


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema version. Raises JournalError for another program's file and for a newer version's."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if tables == 0 and application == 0:
        return 0
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is another program's file: move it away, or change TWINLEG_DATA_DIR")
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    if row is None or not row[0].isdecimal():
        raise JournalError(f"{path} does not say its schema version. {_WAY_OUT}")
    if int(row[0]) > len(STEPS):
        raise JournalError(
            f"{path} was written by a newer version of twinleg (schema {row[0]}, this one knows {len(STEPS)}): "
            "use that version, or another TWINLEG_DATA_DIR"
        )
    return int(row[0])


def _explained(error: sqlite3.Error, path: Path) -> JournalError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _PASSING:
        return JournalBlockedError(f"{path}: {error}; {_PASSING[code]}")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalError(f"{path} is damaged ({error}). {_WAY_OUT}")
    return JournalError(f"{path} failed: {error}. Check the disk, then start again")

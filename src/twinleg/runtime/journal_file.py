"""The journal's file: SQLite in WAL mode, one writing process, every row with its checksum. Blocking; no asyncio here.

Errors: JournalError says what to do. Its kind JournalBlockedError may pass by itself (disk full, locked, read-only), so
the same write may be tried again; any other is final for this process.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from twinleg.runtime.ports import JournalError, Record

FILE_NAME = "journal.sqlite3"
LOCK_NAME = "journal.lock"
APPLICATION_ID = 0x74776C67  # "twlg"
PAGES_MAX = 1 << 22  # 16 GiB at SQLite's 4 KiB pages
BUSY_MS = 250
READ_ROWS = 1000

_RECORDS = """CREATE TABLE records (sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL,
    trade_id TEXT NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL)"""
STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        _RECORDS,
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
)
"""STEPS[n] turns a file of schema version n into one of version n + 1; a new file is version 0."""

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


def checksum(record: Record) -> int:
    """CRC-32 over all of a record: sequence and time as 8 bytes each, then each text with its length before it."""
    crc = zlib.crc32(struct.pack("<qq", record.sequence, record.at_ms))
    for part in (record.kind.encode(), record.trade_id.encode(), record.payload):
        crc = zlib.crc32(part, zlib.crc32(struct.pack("<q", len(part)), crc))
    return crc


class JournalFile:
    """An open journal. `last_sequence` is the newest row's, 0 when there is none. Used by one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        query = "SELECT COALESCE(MAX(sequence), 0) FROM records"
        self.last_sequence: int = connection.execute(query).fetchone()[0]

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
        rows = [(r.sequence, r.at_ms, r.kind, r.trade_id, r.payload, checksum(r)) for r in records]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _explained(error, self.path) from error
        self.last_sequence = records[-1].sequence

    def read(self, after: int, rows_max: int = READ_ROWS) -> list[Record]:
        """The rows that follow sequence `after`, each verified. Raises JournalError naming the first bad one."""
        query = "SELECT sequence, at_ms, kind, trade_id, payload, crc FROM records WHERE sequence > ? ORDER BY sequence"
        try:
            rows = self._connection.execute(f"{query} LIMIT ?", (after, rows_max)).fetchall()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        return [self._verified(row, after + offset) for offset, row in enumerate(rows, start=1)]

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

    def _verified(self, row: tuple[int, int, str, str, bytes, int], expected: int) -> Record:
        record = Record(*row[:5])
        try:
            intact = checksum(record) == row[5]
        except (AttributeError, TypeError, struct.error):
            intact = False  # a column holds another type than we wrote
        if not intact:
            raise JournalError(f"row {row[0]} of {self.path} is damaged (its checksum differs). {_WAY_OUT}")
        if record.sequence != expected:
            raise JournalError(f"row {expected} of {self.path} is missing. {_WAY_OUT}")
        return record


def _lock(path: Path) -> int:
    """A lock that lives as long as this process. Raises JournalError naming the process that has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise JournalError(
            f"{path.parent} is in use by process {owner}: stop it, or give this one another TWINLEG_DATA_DIR"
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

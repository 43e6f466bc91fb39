"""Backup and restore of the journal. Blocking; while the engine runs, call from another thread.

A backup is a journal by itself: one file that can be read, replayed, or put back. It is taken from a consistent view
while the writer goes on, and every row of it is verified before it gets its name.
"""

from __future__ import annotations

from pathlib import Path

from twinleg.runtime.journal_file import FILE_NAME, RESTORING_NAME, JournalFile, locked, sync_folder
from twinleg.runtime.ports import JournalError

SIDE_FILES = ("-wal", "-shm", "")
"""What SQLite keeps beside a file, and the file last: until it is moved, a restore that was cut short goes on here."""
KEPT_MAX = 100


def backup(journal: Path, target: Path) -> int:
    """Copy the journal at `journal` to the new file `target` and return how many rows it has.

    Raises JournalError: damaged, out of reach, or the target is there already.
    """
    return _copied(journal, target)


def restore(source: Path, folder: Path) -> Path | None:
    """Make the backup `source` the journal of a data folder, and return where the one that was there is kept now.

    What happened after the backup is not in it: before trading goes on, the venues' truth must be read. Raises
    JournalError: the backup is damaged, a process uses the folder, or too many replaced journals are kept there.
    """
    with locked(folder):
        fresh = folder / RESTORING_NAME
        fresh.unlink(missing_ok=True)  # of a restore that was cut short
        _copied(source, fresh)
        kept = _put_aside(folder)
        fresh.rename(folder / FILE_NAME)
        sync_folder(folder)
        return kept


def _copied(journal: Path, target: Path) -> int:
    """The verified copy takes its name last: what carries it is whole."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        if target.exists():
            raise JournalError(f"{target} is there already: choose another name")
        partial.unlink(missing_ok=True)
        file = JournalFile.open_for_reading(journal)
        try:
            file.copy(partial)
        finally:
            file.close()
        copy = JournalFile.open_for_reading(partial)
        try:
            rows = sum(1 for _ in copy.records())
        finally:
            copy.close()
        partial.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise JournalError(f"{journal} was not copied to {target}: {error.strerror}") from error
    return rows


def _put_aside(folder: Path) -> Path | None:
    """The present journal and its side files under a free name; None when there is none."""
    journal = folder / FILE_NAME
    if not journal.exists():
        return None
    for number in range(1, KEPT_MAX + 1):
        kept = folder / f"{FILE_NAME}.replaced-{number}"
        if not kept.exists():
            for suffix in SIDE_FILES:
                side = folder / f"{FILE_NAME}{suffix}"
                if side.exists():
                    side.rename(folder / f"{kept.name}{suffix}")
            return kept
    raise JournalError(f"{folder} keeps {KEPT_MAX} replaced journals: move them away")

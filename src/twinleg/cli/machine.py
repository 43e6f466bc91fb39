"""What `doctor` checks without any venue: Python, and the folders that the engine writes to."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from twinleg.cli.exits import BAD_CONFIGURATION
from twinleg.cli.findings import Checked, doubtful, failed, good
from twinleg.runtime.settings import Settings

PYTHON_FIRST, PYTHON_LAST = (3, 11), (3, 13)
FREE_BYTES_MIN = 100 * 1024 * 1024
FREE_BYTES_GOOD = 1024 * 1024 * 1024
"""The journal of a busy day takes a few MiB; recordings and logs are bounded at about 2 GiB and 60 MiB."""


def of_python() -> Checked:
    """Whether this Python is supported."""
    version = ".".join(map(str, sys.version_info[:3]))
    if PYTHON_FIRST <= sys.version_info[:2] <= PYTHON_LAST:
        return good("python", version)
    do = "Use Python 3.11, 3.12 or 3.13: the library that signs for Extended has no build for others"
    return failed("python", f"{version} is not supported", do, BAD_CONFIGURATION)


def of_folders(settings: Settings) -> Iterator[Checked]:
    """Data and log folder: can be written, have room, are ours alone."""
    yield from _folder("data folder", settings.data_dir, "TWINLEG_DATA_DIR")
    if settings.log_to_file:
        yield from _folder("log folder", settings.log_dir, "TWINLEG_LOG_DIR")


def _folder(check: str, folder: Path, setting: str) -> Iterator[Checked]:
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    made = existing == folder.absolute()
    try:
        _try_to_write(existing)
    except OSError as error:
        found = f"{existing} cannot be written: {error.strerror}"
        yield failed(check, found, f"Make it writable for this user, or change {setting}", BAD_CONFIGURATION)
        return
    yield good(check, f"{folder} can be written" if made else f"{folder} will be made in {existing}")
    free = shutil.disk_usage(existing).free
    room = f"{free / 1024**3:.1f} GiB free"
    if free < FREE_BYTES_MIN:
        yield failed(f"{check}: room", room, f"Free some space, or change {setting}", BAD_CONFIGURATION)
    elif free < FREE_BYTES_GOOD:
        yield doubtful(f"{check}: room", room, f"Free some space, or change {setting}")
    else:
        yield good(f"{check}: room", room)
    mode = stat.S_IMODE(existing.stat().st_mode)
    if made and mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield doubtful(f"{check}: mode", f"others on this machine may look into it ({mode:04o})", f"chmod 700 {folder}")
    elif made:
        yield good(f"{check}: mode", f"{mode:04o}")


def _try_to_write(folder: Path) -> None:
    """Write and remove a small file. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".twinleg-doctor-") as file:
        file.write(b"doctor")
        file.flush()
        os.fsync(file.fileno())

"""Logging: one line per record, to bounded files of our own and to standard error while no view owns the terminal."""

from __future__ import annotations

import logging
import os
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from twinleg.cli.figures import moment, plain
from twinleg.runtime.settings import Settings

FILE_BYTES_MAX = 10 * 1024 * 1024
FILES_MAX = 5
"""Beside the present one: at most 60 MiB in all."""
FILE_MODE = 0o600
FOLDER_MODE = 0o700

ROOT = logging.getLogger("twinleg")


class OneLine(logging.Formatter):
    """Time, level, room, message; a traceback and what a venue said stay on that line."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        text = plain(text.replace("\n", " | "))
        return f"{moment(int(record.created * 1_000))} {record.levelname} {record.name} {text}"


class OwnFile(RotatingFileHandler):
    """Rotating files that only their owner can read. A file that cannot be written is told of once, not per record."""

    silent = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the library's name
        """Say once, on standard error, that the log has a hole."""
        if not self.silent:
            self.silent = True
            sys.stderr.write(f"the log file cannot be written ({sys.exc_info()[1]}): {record.getMessage()}\n")

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
        os.fchmod(descriptor, FILE_MODE)
        return TextIOWrapper(os.fdopen(descriptor, "ab"), encoding="utf-8", line_buffering=True)


def start(settings: Settings, *, terminal_is_taken: bool) -> Path | None:
    """Log as the settings say, and return the file. Raises OSError when it cannot be made.

    To standard error go warnings; everything at LOG_LEVEL when there is no file; nothing while a view owns the
    terminal.
    """
    stop()
    ROOT.setLevel(settings.log_level)
    ROOT.propagate = False
    path = None
    if settings.log_to_file:
        settings.log_dir.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        path = settings.log_dir / f"{settings.log_file_prefix}.log"
        _add(OwnFile(path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_MAX, encoding="utf-8"))
    if not terminal_is_taken:
        _add(logging.StreamHandler(sys.stderr), logging.WARNING if path else logging.NOTSET)
    if not ROOT.handlers:
        ROOT.addHandler(logging.NullHandler())
    return path


def only_errors() -> None:
    """For commands that answer and end: no file (it may belong to a running engine), errors to standard error."""
    stop()
    ROOT.propagate = False
    _add(logging.StreamHandler(sys.stderr), logging.ERROR)


def stop() -> None:
    """Close what `start` opened."""
    for handler in list(ROOT.handlers):
        ROOT.removeHandler(handler)
        handler.close()


def _add(handler: logging.Handler, level: int = logging.NOTSET) -> None:
    handler.setFormatter(OneLine())
    handler.setLevel(level)
    ROOT.addHandler(handler)

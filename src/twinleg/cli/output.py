"""Answers of one-shot commands on standard output: typed JSON, or lines as wide as the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

import msgspec

from twinleg.cli.exits import ReaderGone, drop_output
from twinleg.cli.sheet import GAP, Line

PIPE_WIDTH = 240
HEIGHT_UNLIMITED = 1 << 30


def width() -> int:
    """Cells in a line: the terminal's, and enough for everything when there is none."""
    return shutil.get_terminal_size((PIPE_WIDTH, 0)).columns if sys.stdout.isatty() else PIPE_WIDTH


def put(lines: Iterable[Line | str]) -> None:
    """Write lines as they are, without styles. Raises ReaderGone."""
    _write("".join((line if isinstance(line, str) else line.text).rstrip() + "\n" for line in lines))


def put_json(answer: msgspec.Struct) -> None:
    """Write one JSON object on one line. Raises ReaderGone."""
    _write(f"{msgspec.json.encode(answer).decode()}\n")


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        raise ReaderGone from None


def columns(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> list[str]:
    """A plain table; the columns named in `right` hold figures."""
    table = [tuple(titles), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        GAP.join(
            cell.rjust(size) if title in right else cell.ljust(size)
            for title, cell, size in zip(titles, row, widths, strict=True)
        ).rstrip()
        for row in table
    ]

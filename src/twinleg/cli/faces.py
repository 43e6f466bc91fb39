"""Where a running engine shows itself: the live view on a terminal, else plain lines or JSON lines.

`show` and `say` may wait for a slow terminal or pipe, so they are called in a thread of their own (see live.py).
"""

from __future__ import annotations

import logging
import sys
from typing import Protocol, TextIO

import msgspec

from twinleg.cli.changes import Change, Changes
from twinleg.cli.figures import moment
from twinleg.cli.view import lines
from twinleg.core.glance import Glance

LOG = logging.getLogger("twinleg.changes")


class Face(Protocol):
    """Something that shows glances, one after the other."""

    def show(self, glance: Glance) -> None: ...
    def close(self) -> None:
        """Give the terminal back. A second call does nothing."""
        ...

    def say(self, change: Change) -> None:
        """Tell one thing: beside the view only into the log."""
        ...


class PlainLines:
    """One line per change. Also into the log, which may be a file."""

    def __init__(self, stream: TextIO, summary_every_ms: int, *, as_json: bool) -> None:
        self._stream = stream
        self._changes = Changes(summary_every_ms)
        self._as_json = as_json

    def show(self, glance: Glance) -> None:
        for change in self._changes.since_last(glance):
            self.say(change)

    def say(self, change: Change) -> None:
        LOG.info("%s", change.text)
        line = msgspec.json.encode(change).decode() if self._as_json else f"{moment(change.at_ms)} {change.text}"
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """There is nothing to give back."""


class Screen:
    """The whole terminal, redrawn at each glance; the terminal is as before after `close`."""

    def __init__(self, title: str, summary_every_ms: int) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title = title
        self._changes = Changes(summary_every_ms)
        self._console = Console(file=sys.stdout)
        self._live = Live(console=self._console, screen=True, auto_refresh=False, redirect_stderr=False)
        self._live.start()

    def show(self, glance: Glance) -> None:
        from rich.text import Text

        for change in self._changes.since_last(glance):
            LOG.info("%s", change.text)
        width, height = self._console.size
        picture = Text(no_wrap=True, overflow="crop")
        for line in lines(glance, self._title, width, height):
            picture.append(f"{line.text}\n", line.style)
        self._live.update(picture, refresh=True)

    def close(self) -> None:
        self._live.stop()

    def say(self, change: Change) -> None:
        LOG.info("%s", change.text)
        if not self._live.is_started:
            self._console.print(change.text, markup=False, highlight=False)

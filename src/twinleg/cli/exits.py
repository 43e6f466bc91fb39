"""What the command line's exit codes mean. The `--help` text and docs/CLI.md are checked against this table."""

from __future__ import annotations

import os
import sys

OK = 0
FAILED = 1
BAD_CONFIGURATION = 2
UNREACHABLE = 3
REFUSED = 4
NOT_FLAT = 5

MEANINGS = {
    OK: "ok",
    FAILED: "a failure of our own: a defect, please report it",
    BAD_CONFIGURATION: "bad configuration, or a command line that makes no sense",
    UNREACHABLE: "a venue or the engine is unreachable, or did not answer in time",
    REFUSED: "refused for safety",
    NOT_FLAT: "not flat: something is still held",
}

EPILOG = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items()) + "."


def drop_output() -> None:
    """The reader of our output has gone: nothing more is said, nor tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ReaderGone(Exception):  # noqa: N818  # not an error: `twinleg ... | head` is served when head has enough
    """Nobody reads our output any more: a command that only prints ends, with OK."""


class CommandError(Exception):
    """A command ends here: what the user is told, and the exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

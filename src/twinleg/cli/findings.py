"""What `doctor` says of one thing it checked."""

from __future__ import annotations

from enum import Enum

import msgspec

from twinleg.cli.exits import OK


class Verdict(Enum):
    """How bad it is. Only FAIL changes the exit code."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Checked(msgspec.Struct, frozen=True):
    """What was checked, what was found, what to do, and the exit code that a failure means."""

    check: str
    verdict: Verdict
    found: str
    do: str = ""
    exit_code: int = OK


def good(check: str, found: str) -> Checked:
    """Nothing to do."""
    return Checked(check, Verdict.OK, found)


def doubtful(check: str, found: str, do: str) -> Checked:
    """It works, but should be mended."""
    return Checked(check, Verdict.WARN, found, do)


def failed(check: str, found: str, do: str, exit_code: int) -> Checked:
    """The engine would not start, or would not trade."""
    return Checked(check, Verdict.FAIL, found, do, exit_code)

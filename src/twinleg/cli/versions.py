"""`twinleg version`."""

from __future__ import annotations

import platform

import msgspec

from twinleg import __version__
from twinleg.cli.exits import OK
from twinleg.cli.output import put, put_json


class VersionAnswer(msgspec.Struct, frozen=True):
    """What runs."""

    twinleg: str
    python: str
    platform: str


def run_version(*, as_json: bool) -> int:
    """Print the versions."""
    found = VersionAnswer(__version__, platform.python_version(), platform.platform())
    if as_json:
        put_json(found)
    else:
        put([f"twinleg {found.twinleg} (Python {found.python}, {found.platform})"])
    return OK

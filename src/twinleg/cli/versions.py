"""`twinleg version`."""

from __future__ import annotations

import json
import platform
import sys

from twinleg import __version__
from twinleg.cli.exits import OK


def run_version(*, as_json: bool) -> int:
    """Print the versions."""
    found = {"twinleg": __version__, "python": platform.python_version(), "platform": platform.platform()}
    if as_json:
        sys.stdout.write(f"{json.dumps(found)}\n")
    else:
        sys.stdout.write(f"twinleg {__version__} (Python {found['python']}, {found['platform']})\n")
    return OK

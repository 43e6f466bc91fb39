"""The command line as users run it: as a process, in an empty folder, with no more environment than it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SRC = Path(__file__).parents[2] / "src"
TIMEOUT_S = 90
NOBODY = "http://127.0.0.1:1"
"""An address that refuses every connection."""
UNREACHABLE = {"LIGHTER_BASE_URL": NOBODY, "EXTENDED_BASE_URL": NOBODY}


def environment(**named: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC), "TRADING_MODE": "dry_run", **named}


def twinleg(folder: Path, *arguments: str, **named: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "twinleg", *arguments],
        cwd=folder,
        env=environment(**named),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def started(folder: Path, *arguments: str, **named: str) -> subprocess.Popen[str]:
    """Start a command whose output is read while it runs."""
    return subprocess.Popen(
        [sys.executable, "-m", "twinleg", *arguments],
        cwd=folder,
        env=environment(**named),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def events(output: str) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in output.splitlines()]

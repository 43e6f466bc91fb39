"""The bench of entries takes every order's time, ahead and not, with both venues' signers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def told(*command: str) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    line = [sys.executable, "-m", *command]
    done = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def test_every_order_is_timed() -> None:
    figures = told("bench.entry", "--orders", "30")
    assert len(figures) == 16
    assert min(figures.values()) > 0


def test_every_entry_is_timed_armed_and_not() -> None:
    figures = told("bench.legs", "--orders", "25", "--rate", "500")
    assert len(figures) == 28
    assert figures["armed, of that the commit, p99 (us)"] == 0 < figures["ordinary, of that the commit, p50 (us)"]
    assert figures["armed, decision to the first byte, p50 (us)"] > 0
    assert figures["background (messages/s)"] > 200

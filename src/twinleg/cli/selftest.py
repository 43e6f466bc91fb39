"""`twinleg selftest`: the fault simulator, which knows this package and is not known by it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def run_selftest(seeds: int, seed: int, jobs: int, *, story: bool, as_json: bool) -> int:
    """Its exit code: 0 = every rule held in every seed, 1 = one was broken, and its story is told."""
    command = [
        sys.executable,
        "-m",
        "twinleg_selftest",
        "--seeds",
        str(seeds),
        "--seed",
        str(seed),
        "--jobs",
        str(jobs),
    ]
    command += ["--story"] * story + ["--json"] * as_json
    try:
        return subprocess.run(command, check=False).returncode  # noqa: S603  # our own, with numbers
    except KeyboardInterrupt:
        return 1

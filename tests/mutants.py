"""Does anybody see it when the product is broken? `make mutants` breaks it, line by line (mutant_list.py).

    python tests/mutants.py                     the tests of its room must fail on each mutant
    python tests/mutants.py --by seeds          the fault simulator must, within its first seeds
    python tests/mutants.py --only core/hedge   those whose name begins so

Each mutant is a copy of the sources with one passage replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mutant_list import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
SECONDS_MAX = 300
SEEDS = 1_000
PROCESSES = 2


def mutated(mutant: Mutant) -> str:
    """The module's text with the mutant in it. Raises ValueError when its passage is not there once."""
    text = (ROOT / "src/twinleg" / mutant.where).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.where} has {text.count(mutant.old)} times: {mutant.old}")
    return text.replace(mutant.old, mutant.new)


@contextmanager
def sources(mutant: Mutant) -> Iterator[Path]:
    """A copy of the sources with the mutant in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "src"
        shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "twinleg" / mutant.where).write_text(mutated(mutant))
        yield copy


def killed_by_tests(mutant: Mutant) -> str | None:
    """The test that fails on the mutant, or that they never end; None = it lives."""
    with sources(mutant) as copy:
        options = ["-x", "-q", "--tb=no", "-rfE", "--timeout", "60", "-p", "no:randomly", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *options, "-o", f"pythonpath={copy} tests .", *mutant.tests]
        try:
            run = subprocess.run(
                command, cwd=ROOT, env=_with(copy), capture_output=True, text=True, timeout=SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired:
            return f"no end after {SECONDS_MAX} s"
    if run.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", run.stdout, re.MULTILINE)
    if run.returncode != 1 or failed is None:
        raise RuntimeError(f"{mutant.name}: pytest ended with {run.returncode}: {run.stdout[-2_000:]}{run.stderr}")
    return failed[1]


def killed_by_seeds(mutant: Mutant, first: int, count: int) -> str | None:
    """The first fault seed that breaks the mutant and not the product, and the rule; None = it lives."""
    with sources(mutant) as copy:
        for seed, broken in _broken_seeds(copy, first, count):
            if not any(_broken_seeds(ROOT / "src", seed, 1)):
                return f"seed {seed}: {broken}"
    return None


def _broken_seeds(copy: Path, first: int, count: int) -> Iterator[tuple[int, str]]:
    """The seeds that break these sources, each with the rule that broke first, as they come."""
    command = [sys.executable, "-m", "twinleg_selftest", "--seeds", str(count), "--seed", str(first), "--json"]
    with subprocess.Popen(
        command, cwd=ROOT, env=_with(copy), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout is not None
        seed, last_words = first - 1, ""
        try:
            for line in run.stdout:
                if not line.startswith("{"):
                    last_words = line.strip() or last_words
                    continue
                outcome = json.loads(line)
                seed = outcome["seed"]
                if outcome["violations"]:
                    yield seed, outcome["violations"][0]
            if seed < first + count - 1:
                yield seed + 1, f"the simulator itself ended: {last_words}"
        finally:
            run.kill()


def _with(copy: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def main() -> int:
    """Print each mutant's fate; 1 when one lives."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--by", choices=["tests", "seeds"], default="tests", help="what is to see them (tests)")
    parser.add_argument("--only", default="", help="those whose name begins so")
    parser.add_argument("--seed", type=int, default=1, help="the first fault seed (1)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many fault seeds ({SEEDS})")
    options = parser.parse_args()
    tried = [one for one in MUTANTS if one.name.startswith(options.only)]

    def by_seeds(mutant: Mutant) -> str | None:
        return killed_by_seeds(mutant, options.seed, options.seeds)

    judge: Callable[[Mutant], str | None] = by_seeds if options.by == "seeds" else killed_by_tests
    living = 0
    with ThreadPoolExecutor(PROCESSES) as pool:
        for mutant, killer in zip(tried, pool.map(judge, tried), strict=True):
            living += killer is None
            _say(f"LIVES  {mutant.name}" if killer is None else f"killed {mutant.name}\n           {killer}")
    _say(f"{len(tried) - living} of {len(tried)} mutants killed")
    return 1 if living else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

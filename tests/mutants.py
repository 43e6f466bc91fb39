"""Does the suite see it when the hedge machine or the journal is broken? `make mutants` breaks them, line by line.

Each mutant is a copy of the sources with one passage replaced; it is killed when the room's own tests fail on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
HEDGE_TESTS = ("test_hedge.py", "test_hedge_first.py", "test_hedge_interventions.py", "test_hedge_explore.py")
JOURNAL_TESTS = ("test_journal.py", "test_journal_file.py", "test_journal_copy.py")
TESTS = {
    "core": [f"tests/core/{name}" for name in HEDGE_TESTS],
    "runtime": [f"tests/runtime/{name}" for name in JOURNAL_TESTS],
}
SECONDS_MAX = 300


class Mutant(NamedTuple):
    """In the module `where` (under src/twinleg), `old`, which is there once, becomes `new`."""

    where: str
    old: str
    new: str


MUTANTS = (
    # the hedge machine
    Mutant("core/hedge.py", 'attempt(move, State.REPAIRING, "late news', 'str("late news'),
    Mutant("core/hedge.py", "spent, wish = trade.attempts_spent + 1, None", "spent, wish = trade.attempts_spent, None"),
    Mutant("core/hedge.py", "spent >= len(trade.plan.bounds_bps)", "spent > len(trade.plan.bounds_bps)"),
    Mutant("core/hedge.py", "event.at_ms < move.trade.due_ms", "event.at_ms <= move.trade.due_ms"),
    Mutant("core/hedge.py", "if worth_holding(trade):", "if True:"),
    Mutant("core/hedge.py", 'attempt(move, State.REPAIRING, "restarted while entering")', "pass"),
    Mutant("core/hedge.py", "        move.halt(wrong)\n        return False\n", "        return False\n"),
    Mutant("core/interventions.py", "if event.force_id in move.trade.force_ids:", "if False:"),
    Mutant("core/interventions.py", "0 <= event.lots < held", "0 <= event.lots"),
    Mutant("core/interventions.py", "if wrong is None and move.trade.flat:", "if wrong is None:"),
    Mutant("core/move.py", "leg.entry_side.opposite if reduces else leg.entry_side", "leg.entry_side"),
    Mutant("core/move.py", "        self.cancel()\n        self.change(", "        self.change("),
    Mutant("core/move.py", "return (*self._records, *self._deeds)", "return (*self._deeds, *self._records)"),
    Mutant("core/pursue.py", "    move.cancel()\n    move.read_back()\n", "    move.cancel()\n"),
    Mutant("core/pursue.py", "Purpose.REPAIR, over, excess_lots)", "Purpose.REPAIR, over.other, excess_lots)"),
    Mutant("core/pursue.py", "    if hedges and not hedges[-1].settled:\n        return\n", ""),
    Mutant("core/pursue.py", "missing.entry_side.sign * (touch - plan.limit_ticks) > 0", "False"),
    Mutant("core/pursue.py", "unwound_bps -= 2 * trade", "unwound_bps += 2 * trade"),
    Mutant("core/pursue.py", "BPS + bps", "BPS - bps"),
    Mutant("core/pursue.py", "and trade.held(leg) > 0 and not open_here", "and trade.held(leg) > 0"),
    Mutant("core/trade.py", "reopened = order.ended and", "reopened = False and"),
    Mutant(
        "core/trade.py",
        "return OrderStatus.UNKNOWN if order.filled_lots else",
        "return OrderStatus.REJECTED if True else",
    ),
    Mutant("core/trade.py", "self.filled_lots >= self.done_lots or", "True or"),
    # the journal
    Mutant("runtime/journal.py", "while sequence > self._committed:", "while False:"),
    Mutant("runtime/journal.py", "if self._closing.wait(RETRY_S):", "if True:"),
    Mutant("runtime/journal.py", "if self.waiting >= WAITING_MAX:", "if False:"),
    Mutant("runtime/journal_file.py", "crc32(head + kind + trade_id, before)", "crc32(head + kind + trade_id)"),
    Mutant("runtime/journal_file.py", 'if noted != f"{sequence} {crc}":', "if False:"),
    Mutant("runtime/journal_file.py", "    if sequence != expected:", "    if False:"),
    Mutant("runtime/journal_file.py", '("BEGIN IMMEDIATE")\n            self', '("SELECT 1")\n            self'),
    Mutant("runtime/journal_file.py", "if int(row[0]) > len(STEPS):", "if False:"),
    Mutant(
        "runtime/journal_file.py", "handle = lock_file(path)", "handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)"
    ),
    Mutant("runtime/journal_file.py", "if (folder / RESTORING_NAME).exists():", "if False:"),
    Mutant("runtime/journal_copy.py", "rows = sum(1 for _ in copy.records())", "rows = copy.last_sequence"),
    Mutant("runtime/journal_copy.py", 'SIDE_FILES = ("-wal", "-shm", "")', 'SIDE_FILES = ("",)'),
)


def mutated(mutant: Mutant) -> str:
    """The module's text with the mutant in it. Raises ValueError when its passage is not there once."""
    text = (ROOT / "src/twinleg" / mutant.where).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.where} has {text.count(mutant.old)} times: {mutant.old}")
    return text.replace(mutant.old, mutant.new)


def killed(mutant: Mutant) -> bool:
    """Whether the tests of the mutant's room fail on it."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "src"
        shutil.copytree(ROOT / "src", sources, ignore=shutil.ignore_patterns("__pycache__"))
        (sources / "twinleg" / mutant.where).write_text(mutated(mutant))
        options = [
            "-x",
            "-q",
            "--timeout",
            "60",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            "-o",
            f"pythonpath={sources} tests .",
        ]
        command = [sys.executable, "-m", "pytest", *options, *TESTS[mutant.where.partition("/")[0]]]
        environment = {**os.environ, "PYTHONPATH": str(sources)}
        try:
            run = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired:
            return True
        return run.returncode == 1


def main() -> int:
    """Print each mutant's fate; 1 when one lives."""
    living = 0
    for mutant in MUTANTS:
        dead = killed(mutant)
        living += not dead
        line = " ".join(mutant.new.split())[:70] or "(nothing)"
        sys.stdout.write(f"{'killed' if dead else 'LIVES '} {mutant.where}: {line}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(MUTANTS) - living} of {len(MUTANTS)} mutants killed\n")
    return 1 if living else 0


if __name__ == "__main__":
    sys.exit(main())

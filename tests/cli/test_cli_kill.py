"""SIGKILL of a live engine while its trades move: the next finishes them, and venues hold what its ledger says."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from kill_cycles import Report, killed

pytestmark = pytest.mark.timeout(300)


def moved(report: Report, share: float) -> None:
    """The kills must have hit something."""
    assert report.moving >= share * report.kills, report
    assert report.orders >= report.kills, report
    assert report.agreed, report


async def test_killed_while_trades_move_and_nothing_is_lost() -> None:
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:  # a socket's path must be short
        report = await killed(Path(folder), 10, 3, quick=True)
    moved(report, 0.4)
    assert not report.halted


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("cycles", "quick"), [(70, True), (30, False)], ids=["near", "far"])
async def test_killed_a_hundred_times(cycles: int, quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        report = await killed(Path(folder), cycles, 1, quick=quick)
    moved(report, 0.4 if quick else 0.3)

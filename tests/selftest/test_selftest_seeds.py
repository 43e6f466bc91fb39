"""The product keeps its rules, whatever goes wrong: a thousand seeds in `make test`, ten thousand in `make soak`."""

from __future__ import annotations

import os

import pytest

from twinleg_selftest.trial import Outcome, run_seeds

PARTS, SEEDS_EACH = 20, 50
SOAK_SEEDS = int(os.environ.get("SOAK_SEEDS", "10000"))


def broken(first: int, count: int) -> list[Outcome]:
    return [one for one in run_seeds(first, count, lambda _: None) if one.violations]


def told(outcomes: list[Outcome]) -> str:
    """What fails, and how to see it again."""
    lines = [f"python -m twinleg_selftest --seed {one.seed} --story: {one.violations[0]}" for one in outcomes]
    return "\n".join(lines)


@pytest.mark.parametrize("part", range(PARTS))
def test_the_rules_hold(part: int) -> None:
    found = broken(1 + part * SEEDS_EACH, SEEDS_EACH)
    assert not found, told(found)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_the_rules_hold_over_many_seeds(part: int) -> None:
    found = broken(100_000 + part * (SOAK_SEEDS // PARTS), SOAK_SEEDS // PARTS)
    assert not found, told(found)

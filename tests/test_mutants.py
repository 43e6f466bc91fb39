"""The mutants stay applicable; `make mutants` shows that each is killed."""

from __future__ import annotations

import ast

import pytest

from mutant_list import MUTANTS, TESTS, Mutant
from mutants import mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.old.strip()[:40])
def test_a_mutant_is_one_change_that_still_reads(mutant: Mutant) -> None:
    ast.parse(mutated(mutant))
    assert mutant.where in TESTS


def test_a_passage_that_is_gone_is_said() -> None:
    with pytest.raises(ValueError, match="0 times"):
        mutated(Mutant("core/hedge.py", "no such line", ""))

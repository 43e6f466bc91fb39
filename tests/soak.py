"""How long property tests search: a little in `make test`, TWINLEG_SOAK times as long when that is set."""

from __future__ import annotations

import os

SOAK = int(os.environ.get("TWINLEG_SOAK", "1"))


def examples(number: int) -> int:
    """`number` of hypothesis examples, or as many times more as the soak asks for."""
    return number * SOAK

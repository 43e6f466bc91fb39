"""Recorded accounts and program runs of tests/data/drift."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parents[2] / "data" / "drift"


@cache
def recorded(name: str) -> Any:
    """The words of a recording, by its name without .json.gz."""
    return msgspec.json.decode(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))

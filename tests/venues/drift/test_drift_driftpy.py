"""Our bytes are driftpy's, over a thousand random orders. Skipped where driftpy is not installed (it pins too much)."""

from __future__ import annotations

import pytest

from venues.drift import driftpy_words

pytest.importorskip("driftpy", reason="driftpy is not installed: its recorded bytes are compared in test_drift_codec")


def test_a_thousand_orders_are_the_same() -> None:
    rows = list(driftpy_words.named(driftpy_words.some(2, 1_000)))
    assert len(rows) > 1_600
    for name, told, ours in rows:
        assert driftpy_words.by_driftpy(name, told) == ours, (name, told)


def test_two_hundred_transactions_are_the_same() -> None:
    for told in driftpy_words.transactions(2, 200):
        assert driftpy_words.by_solders(told) == driftpy_words.by_us(told)

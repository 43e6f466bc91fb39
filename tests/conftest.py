"""Settings of the whole suite: hypothesis without deadlines (no test is timed), soak tests only when asked for."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

SOAK = os.environ.get("TWINLEG_TEST_SOAK") == "1"

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `soak` unless TWINLEG_TEST_SOAK=1 (which `make soak` sets)."""
    if SOAK:
        return
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="soak test: make soak"))

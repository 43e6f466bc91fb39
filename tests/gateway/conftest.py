"""The simulated venues, and one gateway on them, shared by the tests of this folder that only use them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateway_process import Venues, serving, venues


@pytest.fixture(scope="session")
def simulated() -> Iterator[Venues]:
    with venues() as found:
        yield found


@pytest.fixture(scope="session")
def gateway(simulated: Venues, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that sends orders."""
    with serving(tmp_path_factory.mktemp("gateway"), **simulated.settings) as address:
        yield address

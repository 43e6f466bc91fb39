"""Simulated venues for the commands that ask them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cli_process import environment


@pytest.fixture(scope="session")
def venues() -> Iterator[dict[str, str]]:
    """Settings that point at running simulators."""
    command = [sys.executable, "-m", "twinleg_sims", "--port-base", "0", "--assets", "6", "--rate-limits", "off"]
    command += ["--end-with-stdin"]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        yield {
            "LIGHTER_BASE_URL": ready["lighter"]["rest"],
            "LIGHTER_WS_URL": ready["lighter"]["stream"],
            "EXTENDED_BASE_URL": ready["extended"]["rest"],
            "EXTENDED_STREAM_URL": ready["extended"]["stream"],
        }
        child.terminate()

"""Whatever a test of these rooms does, afterwards no task, socket or connection may be left."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

FDS = Path("/proc/self/fd")


def open_sockets() -> int:
    """How many sockets this process holds (0 where the kernel does not tell)."""
    return sum(1 for fd in FDS.glob("*") if fd.is_symlink() and str(fd.readlink()).startswith("socket:"))


@pytest.fixture
async def leaves_nothing() -> AsyncIterator[None]:
    """Fails the test if it leaves a task or a socket behind. Transports need a loop turn or two to close."""
    sockets = open_sockets()
    complaints: list[str] = []  # of asyncio: callbacks that raised, exceptions that nobody fetched
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    yield
    mine = {asyncio.current_task()}
    for _ in range(200):
        if asyncio.all_tasks() == mine and open_sockets() <= sockets:
            break
        await asyncio.sleep(0.01)
    gc.collect(1)  # unfetched exceptions and unclosed sockets complain now, and warnings are errors
    assert not complaints
    assert asyncio.all_tasks() == mine
    assert open_sockets() <= sockets

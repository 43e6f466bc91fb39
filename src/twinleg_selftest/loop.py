"""An asyncio loop whose time is virtual: when nothing is ready it jumps to what comes next, a timer or the network.

No sockets, no threads, no waiting. The same program with the same seed takes the same steps, so that a failure replays.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol


class Outside(Protocol):
    """What happens beside the loop: messages on their way, disks at work."""

    def next_s(self) -> float | None:
        """When the next thing happens, in the loop's seconds; None = never."""
        ...

    def happen(self, now_s: float) -> None:
        """Let everything that is due happen."""
        ...


class StuckError(RuntimeError):
    """Nothing is ready and nothing will ever be: the program waits for what cannot come."""


class _Selector:
    """What the loop waits on: here time itself."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.jump(timeout)
        return []

    def close(self) -> None:
        """There is nothing to close."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs until told to stop. `steps` counts its rounds; `on_step` is called after each, and may stop or raise."""

    def __init__(self, outside: Outside, start_s: float = 0.0) -> None:
        super().__init__()
        self._now_s = start_s
        self._outside = outside
        self._selector = _Selector(self)
        self.steps = 0
        self.on_step: Callable[[], None] = lambda: None

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def jump(self, timeout: float | None) -> None:
        """Go on to what comes next, at most `timeout` seconds ahead."""
        self.steps += 1
        self.on_step()
        comes_s = self._outside.next_s()
        if timeout is None and comes_s is None:
            raise StuckError(f"nothing will ever happen after {self._now_s:.3f} s")
        until_s = self._now_s + timeout if timeout is not None else comes_s
        assert until_s is not None
        if comes_s is not None and comes_s <= until_s:
            self._now_s = max(self._now_s, comes_s)
            self._outside.happen(self._now_s)
        else:
            self._now_s = until_s

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """There is no other thread to wake this one."""

    def bury(self) -> None:
        """Free a loop whose process died, when its trial is over.

        Until then its tasks are kept as they were: freeing them runs their `finally` blocks, and a dead process tidies
        nothing up. What they try to do now goes to dead ports and is thrown away.
        """
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # no other way to say so
            with contextlib.suppress(Exception):
                task.get_coro().close()
        self.close()

"""An asyncio loop whose time is virtual: when nothing is ready it jumps to what comes next, a timer or the network.

No sockets, no threads, no waiting. The same program with the same seed takes the same steps, so that a failure replays.
"""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

SPIN_MAX = 20_000
"""Rounds without a moment passing: more is a program that only turns round."""


AWAITS_MAX = 100
"""How often a dead task's `finally` blocks may await before it is left as it is."""


TASKS_MAX = 10_000


class CrashError(SystemExit):
    """The process dies here. A SystemExit, since a loop lets nothing else out of a callback."""


class Outside(Protocol):
    """What happens beside the loop: messages on their way, disks at work."""

    def next_s(self) -> float | None:
        """When the next thing happens, in the loop's seconds; None = never."""
        ...

    def happen(self, now_s: float) -> None:
        """Let everything that is due happen."""
        ...


class StuckError(RuntimeError):
    """Nothing is ready and nothing will ever be: the program waits for what cannot come. Or it turns round for ever."""


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
    """Runs until told to stop. `steps` counts its rounds; `on_step` is called before time passes; it may raise."""

    _ready: deque[asyncio.Handle]

    def __init__(self, outside: Outside, start_s: float = 0.0) -> None:
        super().__init__()
        self._now_s = start_s
        self._outside = outside
        self._selector = _Selector(self)
        self._spins = 0
        self._crash_after: int | None = None
        self._halted: list[asyncio.Task[Any]] = []
        self.steps = 0
        self.on_step: Callable[[], None] = lambda: None

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def crash_after(self, callbacks: int) -> None:
        """Die after so many more callbacks, which is between two of them: at an await of some task."""
        if self._crash_after is None:
            self._crash_after = callbacks

    def stall(self, seconds: float) -> None:
        """The machine stands still while the world goes on."""
        self._now_s += seconds
        self._outside.happen(self._now_s)

    def jump(self, timeout: float | None) -> None:
        """Go on to what comes next, at most `timeout` seconds ahead."""
        self.steps += 1
        before_s = self._now_s
        if timeout is None or timeout > 0:
            self.on_step()
            self._pass(timeout)
        self._spins = 0 if self._now_s > before_s else self._spins + 1
        if self._spins > SPIN_MAX:
            raise StuckError(f"{SPIN_MAX} rounds at {self._now_s:.3f} s")
        if self._crash_after is not None:
            self._place_crash()

    def _pass(self, timeout: float | None) -> None:
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

    def _place_crash(self) -> None:
        """Among what is ready now, or later."""
        assert self._crash_after is not None
        if self._crash_after <= len(self._ready):
            self._ready.insert(self._crash_after, asyncio.Handle(_die, (), self))
            self._crash_after = None
        else:
            self._crash_after -= len(self._ready)

    def run_in_executor(  # type: ignore[override]  # a coroutine would be one step more
        self, _executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """At once: there are no other threads."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # it belongs to whoever awaits
            done.set_exception(error)
        return done

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """There is no other thread to wake this one."""

    def halt(self) -> None:
        """Keep what its process was doing as it was: it died, and a dead process tidies nothing up."""
        self._halted = list(asyncio.all_tasks(self))

    def bury(self) -> None:
        """Free a loop that was halted, when its trial is over.

        That runs the `finally` blocks of its tasks. What they try to do now goes to dead ports and is thrown away.
        """
        before = asyncio._get_running_loop()  # noqa: SLF001  # some of them ask for it
        asyncio._set_running_loop(self)  # noqa: SLF001
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a dead process did not come to
            self._free()
        asyncio._set_running_loop(before)  # noqa: SLF001
        self.close()

    def _free(self) -> None:
        """Its tasks, and those that their ends begin."""
        freed: list[asyncio.Task[Any]] = []
        while self._halted and len(freed) < TASKS_MAX:
            for task in self._halted:
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # no other way to say so
                _close(task.get_coro())
            freed += self._halted
            self._halted = [task for task in asyncio.all_tasks(self) if task not in freed]


def _close(work: Any) -> None:
    for _ in range(AWAITS_MAX):
        try:
            work.close()
        except BaseException:  # noqa: BLE001, S112  # it awaits again, or raises: it is dead
            continue
        return


def _die() -> None:
    raise CrashError

"""The simulated venues as a child process: started, found, and put away again. Nothing of theirs is imported."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from twinleg.runtime.clock import SystemClock

READY_S_MAX = 60.0
END_S_MAX = 5.0
CANNOT_START = 2
"""The exit code with which they say that their options make no sense."""
LOG_NAME = "simulators.log"
LOG_TAIL_CHARS = 2_000


class SimulatorsError(RuntimeError):
    """The simulated venues did not start, or ended by themselves. The text holds what they last wrote.

    `refused` = they found their own options wrong.
    """

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


class Bases(msgspec.Struct, frozen=True):
    """Where one simulated venue listens."""

    rest: str
    stream: str


class Opened(msgspec.Struct, frozen=True):
    """An account of ours that they opened; what the other venue calls its own is empty."""

    account_index: int = 0
    api_private_keys: dict[str, str] = {}
    api_key: str = ""
    private_key: str = ""
    vault: int = 0

    def settings(self) -> dict[str, str]:
        """What is needed to trade it, as settings."""
        if self.api_key:
            return {
                "EXTENDED_API_KEY": self.api_key,
                "EXTENDED_PRIVATE_KEY": self.private_key,
                "EXTENDED_VAULT": str(self.vault),
            }
        slots = sorted(map(int, self.api_private_keys))
        keys = {f"TWINLEG_LIGHTER_KEY_{slot}": self.api_private_keys[str(slot)] for slot in slots[1:]}
        return keys | {
            "LIGHTER_ACCOUNT_INDEX": str(self.account_index),
            "LIGHTER_API_KEY_INDEX": str(slots[0]),
            "LIGHTER_MAX_API_KEY_INDEX": str(slots[-1]),
            "LIGHTER_PRIVATE_KEY": self.api_private_keys[str(slots[0])],
        }


class Ready(msgspec.Struct, frozen=True):
    """The line the simulators write once they listen."""

    event: str
    lighter: Bases
    extended: Bases
    now_ms: int
    """The simulated world's time when the line was written."""
    accounts: tuple[Opened, ...] = ()

    def settings(self) -> dict[str, str]:
        """The venues' addresses and our accounts as settings."""
        accounts = {name: value for one in self.accounts for name, value in one.settings().items()}
        return accounts | {
            "LIGHTER_BASE_URL": self.lighter.rest,
            "LIGHTER_WS_URL": self.lighter.stream,
            "EXTENDED_BASE_URL": self.extended.rest,
            "EXTENDED_STREAM_URL": self.extended.stream,
        }


class Simulators:
    """Running simulators."""

    def __init__(self, child: asyncio.subprocess.Process, ready: Ready, log: Path) -> None:
        self.ready = ready
        self._child = child
        self._log = log

    async def ended(self) -> SimulatorsError:
        """Wait for them to end by themselves, and say how."""
        code = await self._child.wait()
        return SimulatorsError(f"the simulated venues ended with code {code}{_tail(self._log)}")


@asynccontextmanager
async def simulators(options: Sequence[str], folder: Path) -> AsyncIterator[Simulators]:
    """Start them with these options, their log in `folder`; end them with the block. Raises SimulatorsError.

    They have a session of their own, so that Ctrl-C reaches us alone and the engine ends before its venues do; their
    standard input is ours to hold, so that they end even if we are killed.
    """
    log = folder / LOG_NAME
    command = (sys.executable, "-m", "twinleg_sims", "--end-with-stdin", *options)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=handle,
            env=_environment(),
            start_new_session=True,
        )
    finally:
        os.close(handle)
    try:
        yield Simulators(child, await _ready(child, log), log)
    finally:
        await _end(child)


def _environment() -> dict[str, str]:
    """Ours, and the folder we run from: the child must find the package the way we did, installed or not."""
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


async def _ready(child: asyncio.subprocess.Process, log: Path) -> Ready:
    assert child.stdout is not None, "piped"
    try:
        async with asyncio.timeout(READY_S_MAX):
            line = await child.stdout.readline()
    except TimeoutError:
        raise SimulatorsError(f"the simulated venues were not ready after {READY_S_MAX:.0f} s{_tail(log)}") from None
    try:
        return msgspec.json.decode(line, type=Ready)
    except msgspec.DecodeError:
        refused = await child.wait() == CANNOT_START
        raise SimulatorsError(f"the simulated venues did not start{_tail(log)}", refused=refused) from None


async def _end(child: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL when that is not heard; always reaped."""
    if child.returncode is None:
        child.terminate()
    try:
        async with asyncio.timeout(END_S_MAX):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def _tail(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARS:].strip()
    return f": {text}" if text else ""


class SpedClock(SystemClock):
    """A clock that runs `speed` times as fast from `start_ms` on, together with an accelerated simulated world."""

    __slots__ = ("_first_ns", "_speed", "_start_ms")

    def __init__(self, speed: float, start_ms: int) -> None:
        self._speed, self._start_ms = speed, start_ms
        self._first_ns = SystemClock.mono_ns()

    def mono_ns(self) -> int:
        """Monotonic nanoseconds of the accelerated world."""
        return int((SystemClock.mono_ns() - self._first_ns) * self._speed)

    def wall_ms(self) -> int:
        """Epoch milliseconds of the accelerated world."""
        return self._start_ms + self.mono_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Wait for the accelerated world's seconds."""
        await super().sleep(seconds / self._speed)

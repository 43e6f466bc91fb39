"""A running engine with its face: until a signal, the end of the time given, or a failure."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

from twinleg.cli.changes import Change, summary
from twinleg.cli.exits import drop_output
from twinleg.cli.faces import Face, PlainLines, Screen
from twinleg.core.glance import Glance
from twinleg.runtime import consent
from twinleg.runtime.control import ControlError, listening
from twinleg.runtime.operator import Operator
from twinleg.runtime.settings import Settings
from twinleg.runtime.traders import accounts_of
from twinleg.runtime.wiring import System, calm_collector

LOG = logging.getLogger("twinleg.live")

GLANCE_S = 1.0
FIRST_GLANCE_S = 0.2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Why to end: a signal, or whatever else is told first. After the first signal another Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._told = asyncio.Event()

    def tell(self, reason: str) -> None:
        """End, for this reason, unless there is one already."""
        self.reason = self.reason or reason
        self._told.set()

    async def wait(self, timeout_s: float | None) -> bool:
        """Whether the end was told within the time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._told.wait()
        except TimeoutError:
            return False
        return True

    def listen(self) -> None:
        """Let SIGINT, SIGTERM and SIGHUP tell it."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signal, number)

    def _signal(self, number: signal.Signals) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        self.tell(signal.Signals(number).name)


def view_wanted(*, as_json: bool) -> bool:
    """Whether the live view takes the terminal: there is one to draw on, and no JSON was asked for."""
    return sys.stdout.isatty() and not as_json


def face_for(settings: Settings, title: str, *, as_json: bool) -> Face:
    """The live view on a terminal, else lines; JSON lines wherever they are asked for."""
    every_ms = int(settings.performance_log_interval * 1_000)
    if view_wanted(as_json=as_json):
        return Screen(title, every_ms)
    return PlainLines(sys.stdout, every_ms, as_json=as_json)


async def watch(
    system: System, face: Face, ending: Ending, seconds: float | None, glance_of: Callable[[], Glance] | None = None
) -> None:
    """Run the system and show it until the end; then say how it went. Raises what our own code raised.

    `glance_of` draws the picture, by default `system.glance`.
    """
    glance_of = glance_of or system.glance
    calm_collector()
    operator = Operator(system.engine, system.settings, glance_of, system.accounts)
    try:
        async with listening(system.settings.data_dir, operator.perform):
            await _watch(system, face, ending, seconds, glance_of)
    except ControlError:
        await system.close()  # it never ran
        raise


async def _watch(
    system: System, face: Face, ending: Ending, seconds: float | None, glance_of: Callable[[], Glance]
) -> None:
    engine = asyncio.create_task(system.run())
    engine.add_done_callback(lambda _: ending.tell("the engine ended"))
    stopper = asyncio.create_task(_stop_when_told(ending, system))
    timer = asyncio.get_running_loop().call_later(seconds, ending.tell, "time is up") if seconds is not None else None
    try:
        await _shown(asyncio.to_thread(face.say, _started(system)), ending)
        await _show_until(ending, glance_of, face)
    finally:
        ending.tell("it could not be shown")
        if timer is not None:
            timer.cancel()
        try:
            await stopper
            await engine
        finally:
            face.close()
    await _shown(asyncio.to_thread(face.say, summary("end", glance_of())), ending)


async def _stop_when_told(ending: Ending, system: System) -> None:
    """The engine stops at once, even while a terminal that takes nothing holds its face up."""
    await ending.wait(None)
    LOG.info("ending: %s", ending.reason)
    system.stop(ending.reason or "")


def _started(system: System) -> Change:
    """The banner: what trades where, on which accounts, within which limits."""
    settings = system.settings
    addresses = {"lighter": settings.lighter_endpoints().rest, "extended": settings.extended_endpoints().rest}
    listed = ", ".join(f"{venue} at {address}" for venue, address in addresses.items())
    text = f"{settings.trading_mode} with {listed}; journal in {settings.journal_dir}"
    data: dict[str, object] = {"mode": settings.trading_mode, "addresses": addresses}
    data["data_dir"] = str(settings.data_dir)
    if settings.live:
        limits = consent.caps(settings)
        named = {one.venue: one.text for one in accounts_of(settings)}
        auto = "opens trades by itself" if settings.auto_execution_enabled else "opens trades on request alone"
        text += f"; {auto}; accounts: {', '.join(f'{venue} {account}' for venue, account in named.items())}"
        text += "; limits: " + ", ".join(f"{name} {value:g}" for name, value in limits.items())
        data |= {"auto": settings.auto_execution_enabled, "accounts": named, "limits": limits}
    return Change("start", system.glance().at_ms, text, data)


async def _show_until(ending: Ending, glance_of: Callable[[], Glance], face: Face) -> None:
    wait_s = FIRST_GLANCE_S
    while not await ending.wait(wait_s):
        wait_s = GLANCE_S
        await _shown(asyncio.to_thread(face.show, glance_of()), ending)


async def _shown(showing: Awaitable[None], ending: Ending) -> None:
    """Nobody reading our output any more is a reason to end, not a failure."""
    try:
        await showing
    except BrokenPipeError:
        drop_output()
        ending.tell("nobody reads the output")

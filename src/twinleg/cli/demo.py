"""`twinleg demo`: simulated venues in a child process, and the engine trading accounts there, the live path and all."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from twinleg.cli import logs
from twinleg.cli.exits import BAD_CONFIGURATION, OK, UNREACHABLE, CommandError
from twinleg.cli.live import Ending, face_for, view_wanted, watch
from twinleg.cli.settings import settings_of_demo
from twinleg.cli.sims import Simulators, SimulatorsError, SpedClock, simulators
from twinleg.core.glance import Glance
from twinleg.core.ledger import LedgerError
from twinleg.core.records import RecordError
from twinleg.runtime import consent
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.ports import JournalError
from twinleg.runtime.streams import Doors
from twinleg.runtime.wiring import System, build

ACCOUNTS = ("lighter:equity_usd=5000", "extended:equity_usd=5000")
COURSE = (
    (60, "lighter:partial_fill:value=40"),
    (90, "extended:lost_ack"),
    (120, "lighter:lost_event:value=silent"),
    (150, "extended:engine_reject"),
    (180, "lighter:disconnect"),
    (210, "extended:late_request:value=1500"),
    (240, "lighter:deleverage"),
    (270, "extended:http_500:for_s=5"),
    (300, "lighter:lost_ack"),
)
"""What goes wrong in a demo with faults, and after how many simulated seconds; then again from the start."""
ROUND_S, ROUNDS = 300, 12


class DemoOptions(NamedTuple):
    """What the command line asked for."""

    seed: int
    assets: int
    speed: float
    seconds: float | None
    faults: tuple[str, ...]
    recovery: bool
    """Also the course of faults that shows how they are recovered from."""
    data_dir: Path | None
    as_json: bool

    def of_simulators(self) -> list[str]:
        """Their command line."""
        options = ["--seed", str(self.seed), "--assets", str(self.assets), "--speed", f"{self.speed:g}"]
        options += [word for account in ACCOUNTS for word in ("--account", account)]
        faults = [*self.faults, *(_course() if self.recovery else ())]
        return [*options, "--port-base", "0", *(word for fault in faults for word in ("--fault", fault))]


def _course() -> list[str]:
    """The faults of an hour."""
    course = [(start * ROUND_S + at_s, fault) for start in range(ROUNDS) for at_s, fault in COURSE]
    return [f"{fault}{',' if fault.count(':') > 1 else ':'}at_s={at_s}" for at_s, fault in course]


def run_demo(options: DemoOptions) -> int:
    """Run the demo to its end; OK when it was asked to end. Raises CommandError."""
    try:
        with _folder(options.data_dir) as folder:
            return asyncio.run(_demo(options, folder))
    except (JournalError, RecordError, LedgerError) as error:
        raise CommandError(BAD_CONFIGURATION, f"the demo's journal: {error}.") from error
    except OSError as error:
        fix = "Give another --data-dir, or none"
        raise CommandError(BAD_CONFIGURATION, f"no demo folder or log can be made: {error}. {fix}.") from error


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """The folder asked for, or a temporary one: paper trades in one simulated world mean nothing in the next."""
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="twinleg-demo-") as name:
            yield Path(name)
    else:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield wanted


async def _demo(options: DemoOptions, folder: Path) -> int:
    ending = Ending()
    ending.listen()
    try:
        async with simulators(options.of_simulators(), folder) as sims:
            return await _watch(sims, options, folder, ending)
    except SimulatorsError as error:
        raise CommandError(BAD_CONFIGURATION if error.refused else UNREACHABLE, str(error)) from error


async def _watch(sims: Simulators, options: DemoOptions, folder: Path, ending: Ending) -> int:
    settings = settings_of_demo(sims.ready.settings(), folder)
    consent.accept(settings, sims.ready.now_ms)
    logs.start(settings, terminal_is_taken=view_wanted(as_json=options.as_json))
    clock = SystemClock() if options.speed == 1 else SpedClock(options.speed, sims.ready.now_ms)
    async with PicowsNet(clock) as net:
        system = await build(settings, Doors(net, clock, SystemDice()))
        lost = asyncio.create_task(sims.ended())
        lost.add_done_callback(lambda _: ending.tell("the simulated venues ended"))
        title = f"demo  seed {options.seed}  speed {options.speed:g}"
        try:
            face = face_for(settings, title, as_json=options.as_json)
            draw = partial(_glance, system, options.speed)
            await watch(system, face, ending, options.seconds, draw)
            if lost.done():
                raise lost.result()
        finally:
            lost.cancel()
    return OK


def _glance(system: System, speed: float) -> Glance:
    """The picture, with decision times as this machine took them: the engine measures with the accelerated clock."""
    glance = system.glance()
    p50, p99 = glance.totals.decision_us_p50, glance.totals.decision_us_p99
    if p50 is None or p99 is None:
        return glance
    totals = msgspec.structs.replace(glance.totals, decision_us_p50=p50 / speed, decision_us_p99=p99 / speed)
    return msgspec.structs.replace(glance, totals=totals)

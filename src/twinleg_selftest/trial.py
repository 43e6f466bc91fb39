"""One seed: a world, several lives of one process in it, faults and crashes, and the rules after every step."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twinleg.core.board import Board
from twinleg.core.effects import Alert
from twinleg.core.orders import State
from twinleg.core.venue import Request
from twinleg.runtime.streams import Doors
from twinleg.runtime.wiring import Trader, build
from twinleg_selftest.course import faults_of
from twinleg_selftest.disk import Disk, DiskJournal
from twinleg_selftest.loop import CrashError, StuckError, VirtualLoop
from twinleg_selftest.net import SimClock, SimDice, SimNet
from twinleg_selftest.network import Network, Weather, about_order
from twinleg_selftest.operator import Operator
from twinleg_selftest.rules import Now, Rules, Told
from twinleg_selftest.stage import Stage
from twinleg_sims.faults import Fault, FaultRequest

HOUR_MS = 3_600_000
EPOCH_HOUR = 497_222
STORM_S = 62.0
CALM_S_MIN, CALM_S_MAX = 12.0, 150.0
"""After the storm nothing goes wrong any more, and everything under way must come to rest."""
LOOK_S = 0.5
ROUGHNESS = (0.3, 0.7, 1.3, 1.7)
"""Seeds differ: where less goes wrong, trades come further before it does."""
COLLECT_EVERY = 10
PATIENCE_S = 6.0
"""How long a crash waits for what it was planned at."""
STEPS_MAX = 200_000
LATE_TRIGGERS = ("time", "commit", "committed", "sent", "answered", "news")
"""Where a crash strikes: anywhere, around a durable write, or within a few awaits of an order, an answer, a fill."""


class EndError(SystemExit):
    """A rule is broken: there is no more to be seen."""


@dataclass(frozen=True)
class Plan:
    """What a trial is made of."""

    seed: int
    seconds: float = STORM_S
    crashes: float = 13.5
    """On average."""
    weather: Weather = field(default_factory=Weather)


@dataclass
class Outcome:
    """What came of a trial. `violations` empty = every rule held."""

    seed: int
    steps: int = 0
    faults: int = 0
    crashes: int = 0
    trades: int = 0
    fills: int = 0
    forced: int = 0
    funding: int = 0
    funding_missed: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    """Hits by "where kind"."""
    states: Counter[str] = field(default_factory=Counter)
    """Trades by their state at the end."""
    halts: dict[str, str] = field(default_factory=dict)
    """Why trades halted on the way."""
    met: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(fault, state of a trade when it struck, that trade's state at the end)."""
    violations: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    def told(self, *, story: bool = False) -> dict[str, object]:
        """As JSON has it; the story only on request."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        met = [{"fault": fault, "state": state, "end": end, "times": n} for (fault, state, end), n in self.met.items()]
        return fields | {"met": met, "story": self.story if story else []}


class Fence:
    """Nobody else trades our accounts: runtime.lease is tested elsewhere."""

    def lost(self) -> str | None:
        return None

    def release(self) -> None:
        """There is nothing to give back."""


class Alerts(deque[Alert]):
    """What the operator is told, in every life: keeps which trades it was about."""

    def __init__(self, about: set[str]) -> None:
        super().__init__(maxlen=100)
        self._about = about

    def append(self, alert: Alert) -> None:
        self._about.update(re.findall(r"\bT\d{6,}", alert.text))
        super().append(alert)


class Trial:
    """Runs one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome(plan.seed)
        self.dice = Random(f"{plan.seed}:trial")
        assets = 1 if self.dice.random() < 0.7 else 2
        start_ms = EPOCH_HOUR * HOUR_MS - round(self.dice.uniform(15, plan.seconds) * 1_000)
        self.stage = Stage(plan.seed, assets, start_ms, self._acted)
        self.network = Network(self.stage.world, self.stage.cores, plan.seed, plan.weather, self._hit)
        told = Told(self.outcome.violations, self.outcome.story)
        self.rules = Rules(self.stage.accounts, self.stage.settings, lambda: self.network.now_s, told)
        self.disk = Disk(plan.seed, self.rules.written)
        self._graveyard: list[VirtualLoop] = []
        self._struck: list[tuple[str, str, str]] = []
        """(fault, trade, its state then)."""
        self._alerted: set[str] = set()

    def run(self) -> Outcome:
        """All lives to the end. Raises nothing of the product's: what it raised is a violation."""
        plan, dice = self.plan, self.dice
        self.network.storm(plan.seconds)
        markets = {
            venue: [market.symbol for market in self.stage.world.markets(venue)] for venue in self.stage.accounts
        }
        rough = dice.choice(ROUGHNESS)
        for at_s, request in faults_of(dice, markets, plan.seconds, rough):
            self.network.at(at_s, partial(self._begin, request))
        self.network.at(plan.seconds, self._calm)
        crashes = sorted(dice.uniform(2, plan.seconds) for _ in range(_about(plan.crashes * rough, dice)))
        for until_s in [*crashes, None]:
            if until_s is not None and until_s < self.network.now_s + 0.5:
                continue
            self._live(until_s)
            if self.outcome.violations:
                break
        self._end()
        for loop in self._graveyard:
            loop.bury()
        return self.outcome

    def _end(self) -> None:
        outcome, rules = self.outcome, self.rules
        ledger = rules.at_the_end(self.disk.rows, self._alerted)
        outcome.seconds, outcome.halts = self.network.now_s, rules.halts
        outcome.funding_missed = rules.funding_missed
        outcome.fills, outcome.forced = rules.truth.fills, rules.truth.forced
        if ledger is not None:
            outcome.trades = ledger.planned
            for account in ledger.trades.values():
                outcome.states[account.trade.state.value] += 1
                outcome.funding += len(account.long.settlements) + len(account.short.settlements)
            for kind, trade_id, state in self._struck:
                if trade_id in ledger.trades:
                    outcome.met[kind, state, ledger.trades[trade_id].trade.state.value] += 1

    # -- one life ------------------------------------------------------------------------------------------------------

    def _live(self, until_s: float | None) -> None:
        """One incarnation, to its crash or to a clean stop at the end."""
        network, rules = self.network, self.rules
        loop = VirtualLoop(network, network.now_s)
        net = SimNet(network, loop, self._leaving)
        journal = DiskJournal(self.disk, network, rules.appended)
        doors = Doors(net, SimClock(network, loop), SimDice(Random(self.dice.random())))
        rules.born()
        self._plan_crash(loop, net, until_s)
        stall_share = network.weather.stalls_per_minute / 60 * 0.05
        at_s = loop.time()

        def on_step() -> None:
            nonlocal at_s
            self.outcome.steps += 1
            now_s = loop.time()
            if now_s - at_s >= 0.05:
                at_s = now_s
                if network.busy and network.chance(stall_share):
                    self._hit("process", "stall")
                    loop.stall(self.dice.uniform(0.3, 2.5))
                    rules.excused_until_s = loop.time() + 1.0
            working = journal.failed is None and not self.disk.pending
            rules.lives(Now(loop.time(), doors.clock.wall_ms()), working=working)
            if self.outcome.violations:
                raise EndError
            if loop.steps > STEPS_MAX:
                raise StuckError(f"{STEPS_MAX} steps in one life")

        loop.on_step = on_step
        main = loop.create_task(self._main(doors, journal))
        try:
            loop.run_until_complete(main)
        except EndError:
            loop.halt()
            self._graveyard.append(loop)
        except CrashError:
            self.outcome.crashes += 1
            rules.say(f"CRASH after {len(self.disk.rows)} durable records")
            self._note("crash")
            net.die()
            journal.dead = True
            self.disk.pending = []
            loop.halt()
            self._graveyard.append(loop)
            self._lie_dead()
        except Exception as error:  # noqa: BLE001  # whatever the product raises is the finding
            rules.violated(f"the product raised {error!r}{_causes(error)}")
            loop.halt()
            self._graveyard.append(loop)
        else:
            loop.close()

    def _lie_dead(self) -> None:
        """The world goes on without us, mostly for a moment."""
        dead_s = self.dice.choice((0.02, 0.3, 1.0, 4.0, 8.0)) * self.dice.uniform(0.5, 1.5)
        self.network.happen(self.network.now_s + dead_s)

    def _plan_crash(self, loop: VirtualLoop, net: SimNet, until_s: float | None) -> None:
        """From `until_s` on the next occasion of its kind kills, or when none comes, time does."""
        self.disk.on_commit = lambda _after: None
        self._about_to_leave: Callable[[], None] = lambda: None
        if until_s is None:
            return
        dice, network = self.dice, self.network
        trigger, more = dice.choice(LATE_TRIGGERS), dice.choice((0, 1, 2, 3, 5, 8, 13, 21))

        def ripe() -> bool:
            return network.now_s >= until_s

        def at_commit(after: bool) -> None:
            if ripe() and after == (trigger == "committed"):
                raise CrashError

        def soon(_: object = None) -> None:
            if ripe():
                loop.crash_after(more)

        if trigger in ("commit", "committed"):
            self.disk.on_commit = at_commit
        elif trigger == "sent":
            self._about_to_leave = soon
        elif trigger == "answered":
            net.answered = lambda request: soon() if about_order(request) else None
        elif trigger == "news":
            self.rules.truth.heard = soon
        patience_s = 0.0 if trigger == "time" else PATIENCE_S
        network.at(until_s + patience_s, lambda: loop.crash_after(more))

    async def _main(self, doors: Doors, journal: DiskJournal) -> None:
        async def take(board: Board) -> list[Trader]:
            return [Trader(venue, Fence()) for venue in self.stage.traders(board.facts, doors.clock)]

        system = await build(self.stage.settings, doors, journal=journal, venues=self.stage.venues(), take=take)
        system.engine.desk.alerts = Alerts(self._alerted)
        running = asyncio.get_running_loop().create_task(system.run())
        operator = Operator(system, self.rules, self.network)
        while not (self._over() or running.done()):
            await asyncio.sleep(LOOK_S)
            looking = asyncio.get_running_loop().create_task(operator.look())
            await asyncio.wait((looking, running), return_when=asyncio.FIRST_COMPLETED)
        system.stop("the trial is over")
        await running

    def _over(self) -> bool:
        """In the calm, everything is at rest, or time is up."""
        calm_s = self.network.now_s - self.plan.seconds
        if calm_s < CALM_S_MIN:
            return False
        return calm_s > CALM_S_MAX or (
            not self.network.flying and self.rules.at_rest() and self.rules.agrees(self.disk.rows)
        )

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    def _leaving(self, request: Request) -> None:
        self.rules.leaving(request)
        if about_order(request):
            self.network.stir()
            self._about_to_leave()

    def _begin(self, request: FaultRequest) -> None:
        self.stage.faults.add(request, self.network.now_ms)

    def _calm(self) -> None:
        for venue in self.stage.accounts:
            self.stage.faults.clear(venue)
        self.network.clear_up()
        self.rules.say("CALM: nothing goes wrong from now on")

    def _acted(self, fault: Fault) -> None:
        self._hit(fault.venue, fault.kind)

    def _hit(self, where: str, kind: str) -> None:
        """A fault acts."""
        self.outcome.faults += 1
        self.outcome.kinds[f"{where} {kind}"] += 1
        self.rules.say(f"FAULT {where} {kind}")
        self._note(kind)

    def _note(self, kind: str) -> None:
        """Which trades it struck, and how they stood."""
        for trade_id, one in self.rules.standing.items():
            if one.state is not State.CLOSED:
                self._struck.append((kind, trade_id, one.state.value))


def _about(mean: float, dice: Random) -> int:
    """A whole number around it."""
    return int(mean * dice.uniform(0.4, 1.6) + 0.5)


def _causes(error: BaseException) -> str:
    """What is in a group, and where it was raised."""
    inner = error
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    where = inner.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = "" if where is None else f" in {Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}"
    return f": {inner!r}{place}"


def run_seeds(first: int, count: int, told: Callable[[Outcome], None], **more: Any) -> list[Outcome]:
    """Trials of consecutive seeds; `told` hears of each as it ends.

    The garbage collector comes between trials only: in one it finds next to nothing and takes a quarter of the time.
    """
    outcomes = []
    collected, level = gc.isenabled(), logging.root.manager.disable
    gc.disable()
    logging.disable(logging.CRITICAL)  # what goes wrong is the point; the story says what matters
    try:
        for seed in range(first, first + count):
            outcome = Trial(Plan(seed=seed, **more)).run()
            told(outcome)
            outcomes.append(outcome)
            if seed % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        logging.disable(level)
        if collected:
            gc.enable()
    return outcomes

"""One seed: a world, several lives of one process in it, faults and crashes, and the invariants after every record.

The rules are those a reader of the journal and of the world can check without asking the product what it thinks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from twinleg.core.ledger import Ledger, LedgerError
from twinleg.core.orders import ADDING, Intent, Leg, State, TradePlan
from twinleg.core.records import FillSeen, IntentMade, JournalRecord, TradePlanned, decode
from twinleg.core.trade import exposed
from twinleg.runtime.desk import Desk
from twinleg.runtime.ports import Record
from twinleg.runtime.settings import Settings
from twinleg.runtime.streams import Doors
from twinleg.runtime.wiring import System, build
from twinleg_selftest.disk import Disk, DiskJournal
from twinleg_selftest.loop import VirtualLoop
from twinleg_selftest.network import Network, SimNet
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.faults import Faults, Faulty
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.world import World

HOUR_MS = 3_600_000
START_MS = 497_222 * HOUR_MS - 100_000
"""The first settlement comes after 100 s."""
FAIR_BPS = 60
"""A paper fill lies within this of the true book's mid: prices of two seconds ago do, a lost book's need not."""
EAGER_BPS = 25.0
STORY_LINES = 2_000
CALM_S = 45.0
"""At the end nothing goes wrong any more, and everything under way must come to rest."""


class CrashError(BaseException):
    """The process dies here."""


@dataclass(frozen=True)
class Plan:
    """What a trial is made of."""

    seed: int
    assets: int = 6
    seconds: float = 300.0
    crashes: int = 4


@dataclass
class Outcome:
    """What came of a trial. `violations` empty = every rule held."""

    seed: int
    steps: int = 0
    faults: int = 0
    crashes: int = 0
    trades: int = 0
    fills: int = 0
    funding: int = 0
    states: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)


class SimClock:
    """ports.Clock over the loop's time."""

    def __init__(self, network: Network, loop: VirtualLoop) -> None:
        self._network, self._loop = network, loop

    def wall_ms(self) -> int:
        return self._network.start_ms + int(self._loop.time() * 1_000)

    def mono_ns(self) -> int:
        return int(self._loop.time() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimDice:
    """ports.Dice from the seed."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def uniform(self) -> float:
        return self._dice.random()


class Trial:
    """Runs one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome(plan.seed)
        world = World(plan.seed, plan.assets, START_MS)
        faults = Faults()
        markets = {
            venue: [market.listing.symbol for market in world.markets(venue)] for venue in ("lighter", "extended")
        }
        made = faults.add_seeded(plan.seed, markets, START_MS, int(plan.seconds - CALM_S))
        self.outcome.faults = len(made)
        cores = {
            "lighter.test": Faulty(LighterCore(world, faults), faults, plan.seed),
            "extended.test": Faulty(ExtendedCore(world, faults), faults, plan.seed),
        }
        self.world, self.faults = world, faults
        self.network = Network(world, dict(cores), plan.seed)
        self.disk = Disk(plan.seed)
        self.rules = Rules(self)
        self._dice = Random(f"{plan.seed}:trial")
        self._graveyard: list[VirtualLoop] = []

    def run(self) -> Outcome:
        """All lives to the end. Raises nothing of the product's: what it raised is a violation."""
        crash_times = sorted(self._dice.uniform(1, self.plan.seconds - CALM_S) for _ in range(self.plan.crashes))
        for until_s in [*crash_times, None]:
            self._live(until_s)
            if self.outcome.violations:
                break
        self.rules.at_the_end()
        for loop in self._graveyard:
            loop.bury()
        self.outcome.faults += self.network.faults_hit
        return self.outcome

    def _live(self, until_s: float | None) -> None:
        """One incarnation, to its crash or to a clean stop at the end."""
        loop = VirtualLoop(self.network, self.network.now_s)
        net = SimNet(self.network, loop, lost_share=0.01 if until_s is not None else 0.0)
        journal = DiskJournal(self.disk, self.network, self.rules.appended)
        clock = SimClock(self.network, loop)
        doors = Doors(net, clock, SimDice(Random(self._dice.random())))
        exact_step = self._dice.randrange(40)

        def on_step() -> None:
            self.outcome.steps += 1
            if until_s is not None and loop.time() >= until_s and loop.steps % 40 == exact_step:
                raise CrashError

        loop.on_step = on_step
        main = loop.create_task(self._main(doors, journal))
        try:
            loop.run_until_complete(main)
        except CrashError:
            self.outcome.crashes += 1
            self.outcome.story.append(f"{loop.time():.3f} s: crash after {len(self.disk.rows)} durable records")
            net.die()
            journal.dead = True
            self._graveyard.append(loop)
        except Exception as error:  # noqa: BLE001  # whatever the product raises is the finding
            self.outcome.violations.append(f"{loop.time():.3f} s: the product raised {error!r}")
            self._graveyard.append(loop)
        else:
            loop.close()

    async def _main(self, doors: Doors, journal: DiskJournal) -> None:
        system: System = await build(_settings(), doors, journal=journal)
        self.rules.watch(system.engine.desk)
        running = asyncio.get_running_loop().create_task(system.run())
        left_s = self.plan.seconds - self.network.now_s
        await doors.clock.sleep(max(1.0, left_s))
        system.stop("the trial is over")
        await running


class Rules:
    """The invariants, checked on what is written down and on the world as it truly is."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._plans: dict[str, TradePlan] = {}

    def watch(self, desk: Desk) -> None:
        """I1: no order leaves before its intent is durable."""
        gate = desk._gate  # noqa: SLF001  # the one place where orders leave
        submit = gate.submit

        def watched(intent: Intent, now_ms: int) -> None:
            if not any(row.kind.startswith("intent_made") and _is(row, intent) for row in self._trial.disk.rows[-50:]):
                self._violated(f"I1: {intent.client_id} left before its intent was durable")
            submit(intent, now_ms)

        gate.submit = watched  # type: ignore[method-assign]

    def appended(self, row: Record) -> None:
        """Every record as it is written."""
        record, outcome = decode(row.payload), self._trial.outcome
        outcome.story.append(f"{self._trial.network.now_s:.3f} s: {row.kind} {row.trade_id}")
        if len(outcome.story) > STORY_LINES:
            del outcome.story[: STORY_LINES // 2]
        if isinstance(record, TradePlanned):
            self._plans[record.trade_id] = record.plan
        elif isinstance(record, FillSeen):
            outcome.fills += 1
            self._fair(record)

    def _fair(self, record: FillSeen) -> None:
        """A paper fill happened at a price that the true book had, give or take the age we allow."""
        leg = next(leg for leg in Leg if f"-{leg.value}-" in record.fill.client_id)
        venue, symbol = self._plans[record.trade_id].leg(leg).market.split(":", 1)
        book = self._trial.world.market(venue, symbol).book
        bids, asks = book.levels("bid", 1), book.levels("ask", 1)
        if not bids or not asks:
            return
        mid = Fraction(bids[0][0] + asks[0][0], 2)
        away_bps = abs(record.fill.price_ticks - mid) / mid * 10_000
        if away_bps > FAIR_BPS:
            self._violated(f"{record.fill.fill_id} filled {float(away_bps):.1f} bps from the true mid")

    def at_the_end(self) -> None:
        """Everything came to rest, and what is written down adds up."""
        outcome = self._trial.outcome
        ledger = self._ledger()
        if ledger is None:
            return
        outcome.trades = ledger.planned
        for account in ledger.trades.values():
            trade, state = account.trade, account.trade.state
            outcome.states[state.value] = outcome.states.get(state.value, 0) + 1
            name = trade.plan.trade_id
            outcome.funding += len(account.long.settlements) + len(account.short.settlements)
            if state not in (State.HEDGED, State.CLOSED, State.HALTED):
                self._violated(f"{name} did not come to rest: {state.value}")
            if state is State.CLOSED and not trade.flat:
                self._violated(f"I6: {name} is closed and holds {trade.held(Leg.LONG)}, {trade.held(Leg.SHORT)}")
            if state is State.HEDGED and exposed(trade) is not None:
                self._violated(f"I3: {name} is hedged and its legs differ by {exposed(trade)}")
            for leg in Leg:
                if not 0 <= trade.held(leg) <= trade.plan.lots(leg):
                    self._violated(f"I4: {name} holds {trade.held(leg)} of {trade.plan.lots(leg)} planned lots")
        self._intents_are_single(ledger)

    def _intents_are_single(self, ledger: Ledger) -> None:
        """I2: no client id twice; every order has its intent before any word about it (the ledger refuses others)."""
        seen: set[str] = set()
        for record in self._records():
            if isinstance(record, IntentMade):
                intent = record.intent
                if intent.client_id in seen:
                    self._violated(f"I2: {intent.client_id} was intended twice")
                seen.add(intent.client_id)
                if intent.reduce_only != (intent.purpose not in ADDING):
                    self._violated(
                        f"I4: {intent.client_id} is {intent.purpose.value} and reduce-only={intent.reduce_only}"
                    )
            if isinstance(record, TradePlanned) and record.trade_id not in ledger.trades:
                self._violated(f"{record.trade_id} is lost")

    def _ledger(self) -> Ledger | None:
        """The fold of what is durable."""
        try:
            return Ledger(self._records())
        except (LedgerError, LookupError) as error:
            self._violated(f"the journal contradicts itself: {error}")
            return None

    def _records(self) -> list[JournalRecord]:
        return [decode(row.payload) for row in self._trial.disk.rows]

    def _violated(self, rule: str) -> None:
        self._trial.outcome.violations.append(f"{self._trial.network.now_s:.3f} s: {rule}")


def _is(row: Record, intent: Intent) -> bool:
    record = decode(row.payload)
    return isinstance(record, IntentMade) and record.intent == intent


def _settings() -> Settings:
    """Everything by default, but for a taste for bad trades: a trial that never trades proves nothing.

    Thresholds below zero are not allowed outside, so this does not ask.
    """
    return Settings.model_construct(
        lighter_base_url="http://lighter.test",
        lighter_ws_url="ws://lighter.test",
        extended_base_url="http://extended.test",
        extended_stream_url="ws://extended.test",
        data_dir=Path("unused"),
        conservative_mode=False,
        min_execution_spread_bps=-EAGER_BPS,
        min_viable_spread_bps=-EAGER_BPS,
        orderbook_ready_cooldown_seconds=0.5,
    )


Progress = Callable[[Outcome], None]


def run_seeds(first: int, count: int, told: Progress, **more: Any) -> list[Outcome]:
    """Trials of consecutive seeds; `told` hears of each as it ends."""
    outcomes = []
    for seed in range(first, first + count):
        outcome = Trial(Plan(seed=seed, **more)).run()
        told(outcome)
        outcomes.append(outcome)
    return outcomes

"""Kills a live engine again and again while its trades move, and looks at everything from outside.

    PYTHONPATH=src python tests/cli/kill_cycles.py --cycles 100 --seed 3

Every kill is SIGKILL, mostly within milliseconds of an entry or an exit that was just asked for, or while the next
engine is finding its feet. After each the journal must fold, and no venue may have been sent an order twice; whenever
all trades rest, and at the end they must, the venues must hold what the ledger says.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from live_process import Engine, Venues, booked, our_name, venues

from twinleg.core.ledger import Ledger
from twinleg.core.operations import Asked, CloseTrade, Flatten, OpenTrade, Resume, TradeState
from twinleg.core.orders import State

DELAYS_S = (0.0, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.25, 0.5)
"""After a trade was asked for: from before its first record to after its last fill."""
RECOVERING_S = (0.3, 5.0)
AGREE_S = 30.0
PATIENCE_S, QUICK_PATIENCE_S = 60.0, 8.0
"""So long an entry is waited for, before the engine is killed without one."""
HELD_MAX = 4
MOVING = frozenset({State.PLANNED, State.ENTERING, State.REPAIRING, State.EXITING})
RESTING = frozenset({"hedged", "halted"})
FAULTS = (
    ("lighter", "lost_ack", {}),
    ("extended", "lost_ack", {}),
    ("lighter", "partial_fill", {"value": "40"}),
    ("extended", "partial_fill", {"value": "40"}),
    ("extended", "late_ack", {"value": "700"}),
    ("lighter", "late_ack", {"value": "700"}),
    ("lighter", "late_fill", {"value": "1500"}),
    ("extended", "lost_event", {"value": "silent"}),
    ("lighter", "lost_event", {"value": "gap"}),
    ("extended", "engine_reject", {}),
    ("lighter", "disconnect", {}),
    ("lighter", "late_request", {"value": "400"}),
)
FAULT_SHARE = 0.3
RECOVERING_SHARE = 0.3
EXIT_SHARE = 0.6
STOCK_MAX = 2


@dataclass
class Report:
    """How it went."""

    kills: int = 0
    moving: int = 0
    """Kills while a trade was entering, leaving or being repaired, by the journal that the dead left."""
    aims: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    """Of moving trades, at the kills."""
    faults: Counter[str] = field(default_factory=Counter)
    agreed: int = 0
    """Times that all trades rested, and the venues held what the ledger said."""
    trades: int = 0
    orders: int = 0
    halted: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Killer:
    """One run."""

    def __init__(self, engine: Engine, sims: Venues, seed: int, *, quick: bool) -> None:
        self.patience_s = QUICK_PATIENCE_S if quick else PATIENCE_S
        self.engine, self.sims, self.dice = engine, sims, Random(f"{seed}:kills")
        self.report = Report()
        self._halted: dict[str, None] = {}

    async def run(self, cycles: int) -> Report:
        """So many lives, and one more that ends well."""
        began_s = time.monotonic()
        self.engine.agree()
        for _ in range(cycles):
            self.engine.start()
            await self._live()
            self.engine.kill()
            self._look()
        self.sims.calm()
        self.engine.start()
        await self._rest()
        assert self.engine.terminate() == 0, self.engine.errors.read_text()[-3_000:]
        self._end()
        self.report.seconds = time.monotonic() - began_s
        return self.report

    # -- a life --------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Until the kill. Where nothing can be asked of it, it is killed as it recovers."""
        dice = self.dice
        if _moving(self.engine.ledger()) and dice.random() < RECOVERING_SHARE:
            self.report.aims["recovering"] += 1
            await asyncio.sleep(dice.uniform(*RECOVERING_S))
            return
        await self.engine.status()
        self._fault()
        held = await self._held()
        leaves = len(held) > 1 and (len(held) >= HELD_MAX or dice.random() < EXIT_SHARE)
        asked: list[Asked] = (
            [CloseTrade(what=one.trade) for one in dice.sample(held, dice.randint(1, 2))] if leaves else []
        )
        if not leaves:
            asked = [wanted] if (wanted := await self._entry()) is not None else []
        self.report.aims["exit" if leaves else "entry" if asked else "blocked"] += 1
        asking = [asyncio.create_task(self.engine.ask(one)) for one in asked]
        await asyncio.sleep(dice.choice(DELAYS_S) * dice.uniform(0.7, 1.3))
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _entry(self) -> OpenTrade | None:
        """What may be opened: a few trades first, so that there is something to close. None while nothing may be."""
        for _ in range(self.dice.randint(0, STOCK_MAX)):
            wanted = await self.engine.terms(self.dice.uniform(40.0, 140.0), self.patience_s)
            if wanted is not None:
                await self.engine.ask(wanted)
        return await self.engine.terms(self.dice.uniform(40.0, 140.0), self.patience_s)

    async def _held(self) -> list[TradeState]:
        """Those that are hedged now. When all are, the venues hold what our ledger says."""
        await self._release()
        seen = await self.engine.status()
        held = [one for one in seen.trades if one.state == "hedged"]
        if len(held) == len(seen.trades) and not any(one.code == "fate_open" for one in seen.blocked):
            await self._agree()
        return held

    async def _rest(self) -> None:
        """Wait until every trade is where it may stay."""
        await self.engine.until(lambda seen: seen.positions is not None)
        while True:
            await self.engine.until(lambda seen: all(one.state in RESTING for one in seen.trades))
            await self._release()
            if all(one.state == "hedged" for one in (await self.engine.status()).trades):
                break
        await self._agree()

    async def _agree(self) -> None:
        end_s = time.monotonic() + AGREE_S
        while (held := self.sims.positions()) != (ours := booked(self.engine.ledger())):
            assert time.monotonic() < end_s, f"the venues hold {held}, the ledger {ours}"
            await asyncio.sleep(0.1)
        self.report.agreed += 1

    def _fault(self) -> None:
        if self.dice.random() < FAULT_SHARE:
            venue, kind, more = self.dice.choice(FAULTS)
            self.report.faults[f"{venue} {kind}"] += 1
            self.sims.fault(venue, kind, **more)

    async def _release(self) -> None:
        """A halted trade has told so; the operator closes it, so that there is more to see."""
        for one in (await self.engine.status()).trades:
            if one.state == "halted":
                told = [line for line in self._log() if one.trade in line and " halted" in line]
                assert told, f"{one.trade} is halted and nobody was told"
                self._halted[f"{told[-1][:400]}"] = None
                await self.engine.ask(Flatten(trade=one.trade, reason="the test goes on"))
        if (await self.engine.status()).control != "running":
            await self.engine.ask(Resume(reason="the test goes on"))

    # -- looks --------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """What a kill has left: a journal that folds, whose last durable moment is now the truth."""
        ledger = self.engine.ledger()
        moving = _moving(ledger)
        self.report.kills += 1
        self.report.moving += bool(moving)
        self.report.states.update(moving)
        assert self.sims.repeated() == [], "an order arrived twice"

    def _end(self) -> None:
        ledger = self.engine.ledger()
        states = {one.trade.plan.trade_id: one.trade.state for one in ledger.open_trades()}
        assert set(states.values()) <= {State.HEDGED}, states
        assert self.sims.positions() == booked(ledger)
        assert self.sims.resting() == 0
        assert self.sims.repeated() == [], "an order arrived twice"
        arrived = {our_name(venue, name) for venue, name in self.sims.orders()}
        intended = {order.intent.client_id for one in ledger.trades.values() for order in one.trade.orders}
        assert arrived <= intended, f"without a durable intent: {arrived - intended}"
        self.report.trades, self.report.orders = ledger.planned, len(arrived)
        self.report.halted = list(self._halted)

    def _log(self) -> list[str]:
        logs = [path.read_text(errors="replace") for path in (self.engine.folder / "logs").glob("*")]
        return [line for text in (*logs, self.engine.errors.read_text()) for line in text.splitlines()]


def _moving(ledger: Ledger) -> list[str]:
    return [one.trade.state.value for one in ledger.open_trades() if one.trade.state in MOVING]


async def killed(folder: Path, cycles: int, seed: int, *, quick: bool = False) -> Report:
    """So many kills; see Killer. Raises AssertionError for whatever is not as it must be."""
    with venues(folder, seed=seed) as sims:
        engine = Engine(folder, sims, near=quick)
        try:
            return await Killer(engine, sims, seed, quick=quick).run(cycles)
        finally:
            if engine.alive:
                engine.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    parser.add_argument("--quick", action="store_true", help="with venues that are near: see engine_near.py")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tl-kill-") as name:
        folder = chosen.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        sys.stdout.write(f"{asyncio.run(killed(folder, chosen.cycles, chosen.seed, quick=chosen.quick))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

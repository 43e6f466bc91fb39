"""Somebody at the desk: closes trades now and then, and puts right what halted, by looking at the venues."""

from __future__ import annotations

from twinleg.core.funding import UnitCheck, UnitState
from twinleg.core.orders import FlattenNow, Holding, Leg, Resolve, State
from twinleg.runtime.wiring import System
from twinleg_selftest.network import Network
from twinleg_selftest.rules import Rules

REMEMBERED = 40
REMEMBERED_UNIT = UnitCheck(UnitState.AGREED, "as ever")
CLOSES_EVERY_S = 9.0
HELPS_AFTER_S = 5.0
HELPS_SHARE = 0.75
"""Of the trades that halt in the storm: the others stay, and nothing may be opened any more."""


class Operator:
    """One per life of the process. Asks for nothing once it is calm: what is left must come to rest by itself."""

    def __init__(self, system: System, rules: Rules, network: Network) -> None:
        self._system, self._rules, self._network, self._dice = system, rules, network, network.dice
        self._closes_s: float | None = None
        self._halted_s: dict[str, float] = {}

    async def look(self) -> None:
        """Every half a second."""
        self._remember()
        now_s = self._network.now_s
        if self._network.calm:
            return
        if self._closes_s is None:
            self._closes_s = now_s + self._dice.expovariate(1 / CLOSES_EVERY_S)
        if now_s >= self._closes_s:
            self._closes_s = None
            await self._close_one()
        for trade_id, one in list(self._rules.standing.items()):
            if one.state is State.HALTED:
                since_s = self._halted_s.setdefault(trade_id, now_s)
                if now_s - since_s > HELPS_AFTER_S:
                    self._halted_s[trade_id] = now_s + 1e9
                    if self._dice.random() < HELPS_SHARE:
                        await self._help(trade_id)

    def _remember(self) -> None:
        """What a longer life would have watched: a minute of each would else go by without a trade."""
        board = self._system.engine.board
        for view in board.markets.values():
            if view.funding.check.state is UnitState.UNCHECKED:
                view.funding.check = REMEMBERED_UNIT
        for pair in board.pairs.values():
            if len(pair.basis_bps) < REMEMBERED:
                pair.basis_bps.extend(0.5 * (number % 2) for number in range(REMEMBERED))
                pair.sigma_bps = 0.5

    async def _close_one(self) -> None:
        held = [name for name, one in self._rules.standing.items() if one.state is State.HEDGED]
        if held:
            await self._ask(FlattenNow(self._dice.choice(held), "the operator wants it", self._now_ms()))

    async def _help(self, trade_id: str) -> None:
        """What the trade truly holds, provided that no order can change it any more; then flat."""
        truth = self._rules.truth
        if truth.live_orders() or self._network.flying:
            return
        long, short = (
            Holding(max(0, truth.held[trade_id, leg]), truth.plans[trade_id].leg(leg).decision_ticks) for leg in Leg
        )
        await self._ask(Resolve(trade_id, long, short, "looked at both venues", self._now_ms()))
        if not truth.flat(trade_id):
            await self._ask(FlattenNow(trade_id, "what is left of it", self._now_ms()))

    async def _ask(self, event: Resolve | FlattenNow) -> None:
        refused = await self._system.engine.desk.ask(event)
        self._rules.say(f"operator: {type(event).__name__} of {event.trade_id}: {refused or 'done'}")

    def _now_ms(self) -> int:
        return self._system.engine.clock.wall_ms()

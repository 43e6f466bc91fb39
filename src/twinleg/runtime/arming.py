"""Gets the next entry ready: signed and durable while its edge is all but there, so that it leaves at once when it is.

    edge in reach -> armed (its record on its way to disk, both orders being signed)
                       |-- the guard approves, the record is durable, it fits -> fired: both orders leave in that call
                       |-- else -> a wrong guess, voided; the entry takes the ordinary way
                       +-- out of reach, too old, blocked, another entry -> voided

One set at a time: a key that numbers its transactions has one lane, and whoever else wants to send takes it. An order
that lost its signature is signed again, or as it is sent.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from twinleg.core.arming import arm, astray, in_reach, taken_up, wrong_guess
from twinleg.core.edge import Opportunity
from twinleg.core.guard import Approved
from twinleg.core.orders import TradePlan
from twinleg.core.pairs import Pair
from twinleg.core.planning import Budgets, plan_trade, terms_of
from twinleg.core.records import Armed, TradePlanned
from twinleg.runtime.books import Pending
from twinleg.runtime.desk import Desk

LOG = logging.getLogger("twinleg.arming")

ARMED_MS = 10_000
"""An armed set older than this is made anew; a restart has to wait that much longer for its fate."""
LEFT_MS = 1_000
"""With less of that left it is not sent any more."""
REARM_MS = 10_000
"""Between two sets, or two tries at one pair: each costs two records, two signatures and a trade's number."""
READY_MS = 2_000
"""So often what lost its lane is signed again."""


class _Held(NamedTuple):
    """The armed set. `pending` is its record's way to disk."""

    record: Armed
    pair: str
    pending: Pending


class Arming:
    """At most one armed set. `counts`: what became of all of them, by word; "wrong: ..." for what the guard's leave did
    not fit."""

    def __init__(
        self,
        desk: Desk,
        budgets: Budgets,
        leave: Callable[[Pair, Opportunity], object],
        unfit: Callable[[TradePlan], str | None],
    ) -> None:
        """`leave` asks for a pair in reach what it could be opened as if its edge were there: nothing is sent by that.
        `unfit` says why a plan's books may not be entered on right now."""
        self._desk, self._budgets, self._leave, self._unfit = desk, budgets, leave, unfit
        self._held: _Held | None = None
        self._ready_ms = 0
        self._due_ms: dict[str, int] = {}
        self._next_ms = 0
        self.counts: Counter[str] = Counter()

    def watch(self, pair: Pair, found: Opportunity | None, now_ms: int) -> None:
        """A pair's books moved, and it is not entered: get ready, stay so, or let go."""
        held = self._held
        if held is None:
            if found is not None and now_ms >= self._next_ms and in_reach(found, pair.limits):
                self._arm(pair, found, now_ms)
        elif held.pair == pair.key:
            why = "out of reach" if found is None else astray(held.record, found, pair.limits)
            if why is not None:
                self.void(why)

    def every_beat(self, now_ms: int, blocked: Callable[[], bool]) -> None:
        """Let go of what may not be sent any more; sign again what lost its lane."""
        held = self._held
        if held is None:
            return
        if blocked():
            self.void("blocked")
        elif held.record.intents[0].deadline_ms - now_ms < LEFT_MS:
            self.void("too old")
        elif now_ms - self._ready_ms >= READY_MS:
            self._ready_ms = now_ms
            self._desk.get_ready(held.record)

    def fire(self, leave: Approved, pair: Pair, now_ms: int) -> str | None:
        """Send what is armed, by that leave; the trade's id. None: nothing was sent, and nothing is armed any more."""
        held = self._held
        if held is None:
            return None
        why = self._misfit(held, leave, pair, now_ms)
        if why is None:
            plan = taken_up(held.record, plan_trade(held.record.trade_id, leave, pair, self._budgets))
            self._desk.fire(held.record, TradePlanned(at_ms=now_ms, plan=plan, terms=terms_of(leave, plan.common_lots)))
            self._held = None
            self.counts["fired"] += 1
            return plan.trade_id
        self.void(f"wrong: {why}")
        return None

    def void(self, why: str) -> None:
        """Nothing of what is armed is sent."""
        held, self._held = self._held, None
        if held is not None:
            self.counts[why] += 1
            self._desk.void(held.record, why)

    def _misfit(self, held: _Held, leave: Approved, pair: Pair, now_ms: int) -> str | None:
        if not held.pending.durable:
            return "not durable yet"
        if held.record.intents[0].deadline_ms - now_ms < LEFT_MS:
            return "too old"
        wrong = wrong_guess(held.record, leave, pair)
        return wrong or (None if self._unfit(held.record.plan) is None else "unfit")

    def _arm(self, pair: Pair, found: Opportunity, now_ms: int) -> None:
        if now_ms < self._due_ms.get(pair.key, 0):
            return
        self._due_ms[pair.key] = now_ms + REARM_MS
        leave = self._leave(pair, found)
        if not isinstance(leave, Approved):
            return
        self._next_ms, self._ready_ms = now_ms + REARM_MS, now_ms
        plan = plan_trade(self._desk.next_trade_id(), leave, pair, self._budgets)
        record = arm(plan, found.least_common_lots, now_ms, now_ms + ARMED_MS)
        self._held = _Held(record, pair.key, self._desk.arm(record))
        self.counts["armed"] += 1

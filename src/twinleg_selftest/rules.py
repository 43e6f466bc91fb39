"""The invariants, checked from outside: on the bytes that leave, on what is written down, on the venues' true accounts.

I1  no order leaves before its intent is durable, and it says what was intended
I2  no order is sent twice
I3  legs differ for longer only while a clock runs that will put it right, or HALTED with an alert
I4  no trade ever holds more than planned on a leg, or less than nothing
I5  at rest the ledger holds what the venues hold
I6  what is CLOSED at rest is flat on both venues
I7  never more at risk than the limits allow
I8  price + funding - fees by the journal is the change of equity at the venues
I9  whatever happened, every trade comes to rest: HEDGED, CLOSED or HALTED
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from twinleg.core.ledger import Ledger, LedgerError
from twinleg.core.orders import ADDING, Intent, Leg, State
from twinleg.core.records import (
    Armed,
    FillSeen,
    IntentMade,
    JournalRecord,
    OutcomeSeen,
    StateChanged,
    TradePlanned,
    decode,
)
from twinleg.core.trade import exposed
from twinleg.core.venue import Request
from twinleg.runtime.ports import Record
from twinleg.runtime.settings import Settings
from twinleg_selftest.truth import Truth, order_in
from twinleg_sims.account import Account

LATE_S = 2.5
"""How long after its clock rang a trade may stand still."""
UNNOTICED_S = 75.0
"""How long a running process may take legs for equal that are not: streams and reads may all fail for a while."""
RESUME_S = 33.0
"""A restarted trade waits this long for its books."""
DEADLINE_MS = 100
"""An order that adds leaves at its deadline at the latest, and a step takes its time."""
ROOM = 1.05
"""Prices move between decision and fill."""
MOVING = (State.ENTERING, State.REPAIRING, State.EXITING)
AT_REST = (State.HEDGED, State.CLOSED, State.HALTED)


@dataclass(slots=True)
class Standing:
    """One trade as the process that lives has it."""

    state: State = State.PLANNED
    due_ms: int | None = None
    because: str = ""
    resuming_until_s: float = 0.0
    exposed_since_s: float | None = None
    """Since when its legs truly differ while it is taken for equal, in seconds that the process lived."""
    rang_s: float | None = None
    """Since when its clock has been due."""


class Now(NamedTuple):
    """The time of a check: the network's, and the wall clock as the process sees it."""

    s: float
    wall_ms: int


@dataclass
class Told:
    """What the rules have to say."""

    violations: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)


class Rules:
    """See the head of this file."""

    def __init__(
        self, accounts: dict[str, Account], settings: Settings, now_s: Callable[[], float], told: Told
    ) -> None:
        self.truth = Truth(accounts, self._moved)
        self._settings, self._now_s, self._told = settings, now_s, told
        self.standing: dict[str, Standing] = {}
        self._durable: dict[str, Intent] = {}
        self._sent: set[str] = set()
        self._planned: set[str] = set()
        self._armed: set[str] = set()
        """Neither taken up nor voided, as far as is durable."""
        self._voided: set[str] = set()
        self._states: dict[str, StateChanged] = {}
        """The last that is durable, by trade."""
        self._wall_ms = 0
        """Of the process, at its last step."""
        self.excused_until_s = 0.0
        """Until then nobody can act: the disk fails, the machine stands still, nobody lives."""
        self.halts: dict[str, str] = {}
        """Why trades halted, by trade, for the first time."""
        self.funding_missed = 0
        """Venues whose funding the journal tells wrong. No rule: where fills come late, it is an estimate."""

    # -- as things happen ----------------------------------------------------------------------------------------------

    def leaving(self, request: Request) -> None:
        """Bytes leave: I1, I2, I7."""
        sent = order_in(request)
        if sent is None:
            return
        intent = self._durable.get(sent.client_id)
        self.say(f"-> {request.venue} {sent.client_id}: {'buy' if sent.buys else 'sell'} {sent.size} at {sent.price}")
        if intent is None:
            self.violated(f"I1: {sent.client_id} left before its intent was durable")
            return
        if intent.trade_id in self._voided:
            self.violated(f"I1: {sent.client_id} left after it was voided")
        if (wrong := sent.differs(intent, self.truth.plans[intent.trade_id])) is not None:
            self.violated(f"I1: {sent.client_id} is not what was intended: {wrong}")
        if sent.client_id in self._sent:
            self.violated(f"I2: {sent.client_id} was sent twice")
        self._sent.add(sent.client_id)
        if intent.reduce_only != (intent.purpose not in ADDING):
            self.violated(f"I4: {intent.client_id} is {intent.purpose.value} and reduce-only={intent.reduce_only}")
        entry_buys = intent.leg is Leg.LONG
        if sent.buys is (entry_buys if intent.reduce_only else not entry_buys):
            self.violated(f"I4: {intent.client_id} is on the wrong side to {intent.purpose.value}")
        if not intent.reduce_only:
            self._at_risk(intent)
            if self._wall_ms > intent.deadline_ms + DEADLINE_MS:
                self.violated(f"{intent.client_id} adds, and left after its deadline")

    def _at_risk(self, intent: Intent) -> None:
        leg = self.truth.plans[intent.trade_id].leg(intent.leg)
        order_usd = float(intent.size_lots * intent.limit_ticks * leg.money_unit)
        settings, gross_usd = self._settings, self.truth.gross_usd() + order_usd
        if gross_usd > settings.max_total_exposure_usd * ROOM:
            self.violated(f"I7: {gross_usd:.0f} USD at risk with {intent.client_id}")
        if order_usd > settings.max_position_size_usd * ROOM:
            self.violated(f"I7: {intent.client_id} is worth {order_usd:.0f} USD")

    def appended(self, row: Record) -> None:
        """The living process says so; it may die before it is durable."""
        record = decode(row.payload)
        if isinstance(record, Armed):
            self.truth.planned(record.plan)
        elif isinstance(record, TradePlanned):
            self.truth.planned(record.plan)
            self.standing[record.trade_id] = Standing()
        elif isinstance(record, StateChanged):
            self._stands(record)
        self.say(_short(record))

    def written(self, row: Record) -> None:
        """It is durable."""
        if row.kind.startswith("trade_planned"):
            self._planned.add(row.trade_id)
            self._armed.discard(row.trade_id)
        elif row.kind.startswith("armed"):
            armed = decode(row.payload)
            assert isinstance(armed, Armed)
            self._armed.add(row.trade_id)
            for intent in armed.intents:
                self._intended(intent)
        elif row.kind.startswith("voided"):
            self._armed.discard(row.trade_id)
            self._voided.add(row.trade_id)
        elif row.kind.startswith("intent_made"):
            record = decode(row.payload)
            assert isinstance(record, IntentMade)
            self._intended(record.intent)
        elif row.kind.startswith("state_changed"):
            record = decode(row.payload)
            assert isinstance(record, StateChanged)
            self._states[record.trade_id] = record
            if record.state is State.HALTED:
                self.halts.setdefault(record.trade_id, record.because)
                if not record.because:
                    self.violated(f"{record.trade_id} halted without a reason")

    def _intended(self, intent: Intent) -> None:
        if intent.client_id in self._durable:
            self.violated(f"I2: {intent.client_id} was intended twice")
        self._durable[intent.client_id] = intent

    def born(self) -> None:
        """A process begins with what is durable. What was armed then may have been sent: it is a trade."""
        self._planned |= self._armed
        self.standing |= {name: Standing() for name in self._armed if name not in self.standing}
        self._armed.clear()
        self.standing = {name: one for name, one in self.standing.items() if name in self._planned}
        for trade_id in list(self.standing):
            last = self._states.get(trade_id)
            standing = self.standing[trade_id] = Standing()
            if last is not None:
                self._stands(last)
            standing.resuming_until_s = self._now_s() + RESUME_S
            self._moved(trade_id)

    def lives(self, now: Now, *, working: bool) -> None:
        """Every step of the living process: I3. `working` False: it cannot act for want of a disk."""
        self._wall_ms = now.wall_ms
        if self.truth.trouble:
            self._told.violations += [f"{now.s:.3f} s: {one}" for one in self.truth.trouble]
            self.truth.trouble.clear()
        if not working:
            self.excused_until_s = now.s + LATE_S
        excused = now.s < self.excused_until_s
        for trade_id, one in self.standing.items():
            if one.due_ms is None and one.exposed_since_s is None:
                continue
            late = one.due_ms is not None and now.wall_ms > one.due_ms and now.s > one.resuming_until_s and not excused
            one.rang_s = (one.rang_s or now.s) if late else None
            if one.rang_s is not None and now.s - one.rang_s > LATE_S:
                self.violated(f"I3: the clock of {trade_id} rang {now.s - one.rang_s:.1f} s ago ({one.state.value})")
                one.rang_s = None
            if one.exposed_since_s is not None and now.s - one.exposed_since_s > UNNOTICED_S:
                self.violated(f"I3: the legs of {trade_id} differ by {self.truth.ahead(trade_id)} unnoticed")
                one.exposed_since_s = None

    def _stands(self, record: StateChanged) -> None:
        one = self.standing[record.trade_id]
        one.state, one.due_ms, one.because = record.state, record.due_ms, record.because
        one.resuming_until_s, one.rang_s = 0.0, None
        if record.state in MOVING and record.due_ms is None:
            self.violated(f"I3: {record.trade_id} is {record.state.value} without a clock")
        self._moved(record.trade_id)

    def _moved(self, trade_id: str) -> None:
        """What it truly holds, or what it is taken for, changed."""
        one = self.standing[trade_id]
        unnoticed = one.state in (State.HEDGED, State.CLOSED) and self.truth.ahead(trade_id) != 0
        one.exposed_since_s = (one.exposed_since_s or self._now_s()) if unnoticed else None

    # -- at rest -------------------------------------------------------------------------------------------------------

    def at_rest(self) -> bool:
        """Nothing is under way that could still change what is held."""
        return not self.truth.live_orders() and all(one.state in AT_REST for one in self.standing.values())

    def agrees(self, rows: list[Record]) -> bool:
        """Whether the journal tells what the venues hold, where no trade is halted."""
        ledger = Ledger(decode(row.payload) for row in rows)
        halted = any(one.trade.state is State.HALTED for one in ledger.trades.values())
        return halted or ledger.positions() == self.truth.positions()

    def at_the_end(self, rows: list[Record], alerted: set[str]) -> Ledger | None:
        """All came to rest, and what is written down adds up. `alerted`: the trades that the operator was told of."""
        try:
            ledger = Ledger(decode(row.payload) for row in rows)
        except (LedgerError, LookupError) as error:
            self.violated(f"the journal contradicts itself: {error}")
            return None
        halted = set()
        for account in ledger.trades.values():
            trade, state, name = account.trade, account.trade.state, account.trade.plan.trade_id
            if state not in AT_REST:
                self.violated(f"I9: {name} did not come to rest: {state.value}")
            if state is State.HALTED:
                halted.add(name)
                if name not in alerted:
                    self.violated(f"{name} is halted and nobody was told")
            if state is State.CLOSED and not self.truth.flat(name):
                held = {leg.value: self.truth.held[name, leg] for leg in Leg}
                self.violated(f"I6: {name} is closed and truly holds {held}")
            if state is State.HEDGED and (exposed(trade) is not None or self.truth.ahead(name)):
                self.violated(f"I3: {name} is hedged and its legs differ by {self.truth.ahead(name)}")
            for leg in Leg:
                if state is not State.HALTED and trade.held(leg) != self.truth.held[name, leg]:
                    truly = self.truth.held[name, leg]
                    self.violated(f"I5: {name} holds {trade.held(leg)} lots {leg.value} by the journal, truly {truly}")
        if not halted and self._same_positions(ledger) and not any(row.kind.startswith("resolved") for row in rows):
            self._adds_up(ledger)  # what the operator said of money is an estimate
        return ledger

    def _same_positions(self, ledger: Ledger) -> bool:
        """I5, over everything."""
        ours, truly = ledger.positions(), self.truth.positions()
        if ours != truly:
            self.violated(f"I5: the ledger holds {ours}, the venues {truly}")
        return ours == truly

    def _adds_up(self, ledger: Ledger) -> None:
        """I8, over everything."""
        for venue, account in self.truth.accounts.items():
            booked = funding = fills = 0
            for one in ledger.trades.values():
                for leg in Leg:
                    if one.trade.plan.leg(leg).venue == venue:
                        pnl = one.leg(leg).pnl(leg, one.trade.plan.leg(leg), None)
                        booked += pnl.realised_micro_usd - pnl.fees_micro_usd
                        funding += pnl.funding_micro_usd
                        fills += len(one.leg(leg).holdings) + len(one.leg(leg).settlements)
            made = account.balance_micro - account.deposited_micro - account.insured_micro - account.funding_micro
            if abs(booked - made) > 2 * fills + 2:
                self.violated(f"I8: {venue}'s balance changed by {made} micro-USD, the journal says {booked}")
            if abs(funding - account.funding_micro) > 2 * fills + 2:
                self.funding_missed += 1
                self.say(f"funding at {venue}: {account.funding_micro} micro-USD, the journal says {funding}")

    # -- words ---------------------------------------------------------------------------------------------------------

    def violated(self, rule: str) -> None:
        self._told.violations.append(f"{self._now_s():.3f} s: {rule}")

    def say(self, what: str) -> None:
        story = self._told.story
        story.append(f"{self._now_s():.3f} s: {what}")
        if len(story) > 4_000:
            del story[:2_000]


def _short(record: JournalRecord) -> str:
    match record:
        case StateChanged():
            return f"{record.trade_id} {record.state.value.upper()}: {record.because}"
        case IntentMade(intent=one):
            return f"{one.client_id} intended: {one.purpose.value} {one.side.value} {one.size_lots}@{one.limit_ticks}"
        case OutcomeSeen():
            return f"{record.client_id} {record.status.value} {record.filled_lots or ''} {record.reason}".rstrip()
        case FillSeen(fill=fill):
            return f"{fill.client_id} filled {fill.size_lots}@{fill.price_ticks}"
        case Armed(intents=intents):
            return f"{record.trade_id} armed: " + ", ".join(
                f"{one.market} {one.size_lots}@{one.limit_ticks}" for one in intents
            )
        case TradePlanned(plan=plan):
            legs = f"long {plan.long.market} {plan.lots(Leg.LONG)}, short {plan.short.market} {plan.lots(Leg.SHORT)}"
            return f"{plan.trade_id} planned: {legs}, {plan.first and plan.first.value} first"
        case _:
            return f"{type(record).__name__} {record.trade_id}"

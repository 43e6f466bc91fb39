"""The trades in hand. One worker takes one event at a time: decide, make durable, then act.

    event -> hedge.step -> records appended -> durable -> orders placed, cancelled, read back
                                                              |
              order events <---- the gate (paper or live) <---+

While the journal fails, the worker waits where it is and `blocked` says so: nothing is opened or sent meanwhile,
nothing is lost, and a restart goes on from what is durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from twinleg.core.effects import Alert, Arm, Cancel, Effect, Persist, Place, Query, Severity
from twinleg.core.guard import Approved
from twinleg.core.hedge import step
from twinleg.core.ledger import Ledger, TradeAccount, funding_due
from twinleg.core.messages import FundingSettled, Refusal
from twinleg.core.move import Quotes
from twinleg.core.orders import (
    DeadlinePassed,
    Event,
    ExitWanted,
    ExitWish,
    Intent,
    Leg,
    LegPlan,
    OrderEvent,
    OrderRejected,
    Purpose,
    Resumed,
    Started,
    State,
    TradePlan,
    trade_id,
)
from twinleg.core.pairs import Pair
from twinleg.core.records import JournalRecord, TradePlanned, decode, encode, kind_of
from twinleg.runtime.ports import Clock, Journal, JournalError

LOG = logging.getLogger("twinleg.desk")

JOURNAL_RETRY_S = 0.5
INBOX_MAX = 10_000
"""More waiting events than this means that we no longer keep up with our own orders: the process must not go on."""
RESUME_WAIT_MS = 30_000
"""After a restart, unfinished trades wait this long for the books of both legs; then they go on with what there is."""
LATE_SETTLEMENT_MS = 2 * 3_600_000
"""A closed trade still hears of settlements for this long: venues publish them late."""


class Gate(Protocol):
    """Where orders go: a venue, or paper. What becomes of them comes back as order events."""

    def submit(self, intent: Intent, now_ms: int) -> None: ...
    def cancel(self, client_id: str, now_ms: int) -> None: ...
    def query(self, client_id: str, now_ms: int) -> None: ...
    def due(self, now_ms: int) -> list[OrderEvent]:
        """What has become known of our orders by now."""
        ...


def read_ledger(journal: Journal) -> Ledger:
    """The fold of the whole journal. Raises JournalError, RecordError or LedgerError when it cannot be trusted."""
    return Ledger(decode(row.payload) for row in journal.records())


class Budgets(Protocol):
    """The numbers of settings that a plan needs."""

    unhedged_ms_max: int
    unhedged_notional_max_usd: float
    flatten_slippage_bps_max: float
    max_retry_attempts: int


class _Settled(msgspec.Struct, frozen=True):
    """A settlement that may concern our trades, with the price it is booked on."""

    event: FundingSettled
    price: float
    at_ms: int


class _TryAgain(msgspec.Struct, frozen=True):
    """The journal refused an entry: after a while the next one may try."""


class Desk:
    """All trades of one process. `open`, `settled` and `wants_exit` may be called on the tick; `run` does the work."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        gate: Gate,
        clock: Clock,
        quotes: Callable[[TradePlan], Quotes],
        unfit: Callable[[TradePlan], str | None],
    ) -> None:
        """`quotes` gives the touch of a plan's legs, `unfit` says why its books may not be entered on right now."""
        self._journal, self._gate, self._clock = journal, gate, clock
        self._quotes, self._unfit = quotes, unfit
        self.ledger = ledger
        self._inbox: deque[Event | _Settled | _TryAgain] = deque()
        self._news = asyncio.Event()
        self._due_ms: dict[str, int] = {}
        self.trouble: str | None = None
        self.alerts: deque[Alert] = deque(maxlen=100)
        self.executed = 0
        self._closed_before = self._closed_ever()
        self._resuming = [account.trade.plan for account in ledger.open_trades()]
        self._resume_by_ms = clock.wall_ms() + RESUME_WAIT_MS

    # -- on the tick --------------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> tuple[Refusal, ...]:
        """Why no trade may be opened at all."""
        found = []
        if self.trouble is not None:
            found.append(Refusal("journal", self.trouble))
        halted = [one.trade.plan.trade_id for one in self.ledger.open_trades() if one.trade.state is State.HALTED]
        if halted:
            found.append(Refusal("halted", f"{', '.join(halted)} needs the operator"))
        return tuple(found)

    @property
    def closed(self) -> int:
        """Trades finished since the start."""
        return self._closed_ever() - self._closed_before

    def _closed_ever(self) -> int:
        return self.ledger.planned - len(self.ledger.open_trades())

    def open(self, approved: Approved, pair: Pair, budgets: Budgets, now_ms: int) -> None:
        """Plan a trade and start it. From this call on it counts in exposure."""
        plan = _plan(trade_id(self.ledger.planned + 1), approved, pair, budgets)
        terms = approved.opportunity.terms
        named = {name: float(getattr(terms, name)) for name in terms.__struct_fields__}
        named |= {
            "net_bps": terms.net_bps,
            "notional_usd": approved.notional_usd,
            "expected_usd": approved.expected_usd,
        }
        try:
            self._append(TradePlanned(at_ms=now_ms, plan=plan, terms=named))
        except JournalError as error:
            self._in_trouble(error)
            self._tell(_TryAgain())
            return
        self.executed += 1
        LOG.info("%s: %s long %s short %s", plan.trade_id, plan.asset, plan.long.market, plan.short.market)
        self._tell(Started(plan.trade_id, now_ms))

    def wants_exit(self, trade_id: str, wish: ExitWish, now_ms: int) -> None:
        """Close a trade, unless that is under way. A wish made while the journal fails is lost: it must be repeated."""
        trade = self.ledger.trades[trade_id].trade
        if self.trouble is None and (trade.exit_reason is None or (trade.patient and not wish.patient)):
            self._tell(ExitWanted(trade_id, wish.reason, now_ms, wish.patient))

    def settled(self, event: FundingSettled, price: float | None, now_ms: int) -> None:
        """Book what a settlement means for every trade that held its market then. `price` is in quote currency."""
        if not self._concerned(event.market, now_ms):
            return
        if price is None:
            LOG.warning("%s: funding settled, but no price to book it on", event.market)
            return
        self._tell(_Settled(event, price, now_ms))

    def on_time(self, now_ms: int) -> None:
        """Ring the clocks that are due and collect what the gate knows."""
        for named, due_ms in list(self._due_ms.items()):
            if due_ms <= now_ms:
                del self._due_ms[named]
                self._tell(DeadlinePassed(named, now_ms))
        for event in self._gate.due(now_ms):
            self._tell(event)
        for plan in list(self._resuming):
            if now_ms >= self._resume_by_ms or self._priced(plan):
                self._resuming.remove(plan)
                self._tell(Resumed(plan.trade_id, now_ms))

    def _priced(self, plan: TradePlan) -> bool:
        """Both legs show prices on both sides: an exit begun without them would only spend its attempts."""
        quotes = self._quotes(plan)
        return len(quotes) == len(Leg) and all(None not in (one.bid_ticks, one.ask_ticks) for one in quotes.values())

    # -- the worker ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle events for ever. Raises what our own code raises."""
        while True:
            while not self._inbox:
                self._news.clear()
                await self._news.wait()
            event = self._inbox.popleft()
            if isinstance(event, _Settled):
                await self._book(event)
            elif isinstance(event, _TryAgain):
                await self._clock.sleep(JOURNAL_RETRY_S)
                self.trouble = None
            else:
                await self._handle(event)

    async def settle(self, grace_s: float) -> bool:
        """Wait at most `grace_s` until nothing is under way (hedged trades may stay); False when something still is."""
        end_ns = self._clock.mono_ns() + int(grace_s * 1e9)
        while self._clock.mono_ns() < end_ns:
            moving = [one for one in self.ledger.open_trades() if one.trade.state not in _RESTING]
            if not self._inbox and not moving:
                return True
            self.on_time(self._clock.wall_ms())
            await self._clock.sleep(0.02)
        return False

    async def _handle(self, event: Event) -> None:
        account = self._account(event)
        _, effects = step(account.trade, event, self._quotes(account.trade.plan))
        await self._persist([effect.record for effect in effects if isinstance(effect, Persist)])
        late = self._too_late(effects, account.trade.plan)
        for effect in effects:
            self._do(effect, late)

    def _too_late(self, effects: tuple[Effect, ...], plan: TradePlan) -> str | None:
        """Why the entry among `effects`, if any, must not be sent any more: asked once, so that no leg goes alone."""
        intents = [one.intent for one in effects if isinstance(one, Place)]
        deadlines_ms = [intent.deadline_ms for intent in intents if intent.purpose is Purpose.ENTER]
        if deadlines_ms and min(deadlines_ms) <= self._clock.wall_ms():
            return "its time passed while the journal was written"
        return self._unfit(plan) if deadlines_ms else None

    async def _book(self, settled: _Settled) -> None:
        for account in self._concerned(settled.event.market, settled.at_ms):
            for leg in Leg:
                booking = funding_due(account, leg, settled.event, settled.price, settled.at_ms)
                if booking is not None:
                    await self._persist([booking])

    async def _persist(self, records: list[JournalRecord]) -> None:
        """Return once all of them are durable, however long the journal is in trouble."""
        waiting, sequence = deque(records), None
        while waiting or sequence is not None:
            try:
                while waiting:
                    sequence = self._append(waiting[0])
                    waiting.popleft()
                if sequence is not None:
                    await self._journal.durable(sequence)
            except JournalError as error:
                self._in_trouble(error)
                await self._clock.sleep(JOURNAL_RETRY_S)
            else:
                sequence = self.trouble = None

    def _do(self, effect: Effect, late: str | None) -> None:
        now_ms = self._clock.wall_ms()
        match effect:
            case Place(intent):
                if late is None:
                    self._gate.submit(intent, now_ms)
                else:
                    self._tell(OrderRejected(intent.client_id, f"not sent: {late}", now_ms))
            case Cancel(client_id):
                self._gate.cancel(client_id, now_ms)
            case Query(client_id):
                self._gate.query(client_id, now_ms)
            case Arm(trade_id, at_ms):
                self._due_ms[trade_id] = at_ms
            case Alert(severity, text):
                self.alerts.append(effect)
                LOG.log(logging.CRITICAL if severity is Severity.CRITICAL else logging.WARNING, "%s", text)
            case Persist():
                pass  # done before anything else

    def _append(self, record: JournalRecord) -> int:
        """Into the journal's queue and the ledger. Raises JournalError when the journal does not take it."""
        sequence = self._journal.append(record.at_ms, kind_of(record), record.trade_id, encode(record))
        self.ledger.apply(record)
        return sequence

    def _in_trouble(self, error: JournalError) -> None:
        if self.trouble is None:
            LOG.critical("the journal fails, nothing is opened or sent until it works again: %s", error)
        self.trouble = str(error)

    def _tell(self, event: Event | _Settled | _TryAgain) -> None:
        if len(self._inbox) >= INBOX_MAX:
            raise RuntimeError(f"{INBOX_MAX} events wait for the desk")
        self._inbox.append(event)
        self._news.set()

    def _account(self, event: Event) -> TradeAccount:
        trade_id = event.client_id.rsplit("-", 2)[0] if isinstance(event, OrderEvent) else event.trade_id
        return self.ledger.trades[trade_id]

    def _concerned(self, market: str, now_ms: int) -> list[TradeAccount]:
        return [
            account
            for account in self.ledger.trades.values()
            if market in (account.trade.plan.long.market, account.trade.plan.short.market)
            and (account.closed_at_ms is None or now_ms - account.closed_at_ms < LATE_SETTLEMENT_MS)
        ]


_RESTING = (State.HEDGED, State.HALTED, State.CLOSED)


def _plan(trade_id: str, approved: Approved, pair: Pair, budgets: Budgets) -> TradePlan:
    long_ticks, short_ticks = approved.opportunity.decision_ticks

    def leg(which: Leg, limit_ticks: int, decision_ticks: float) -> LegPlan:
        state, lots = (pair.long, pair.long_lots) if which is Leg.LONG else (pair.short, pair.short_lots)
        return LegPlan(
            venue=state.market.venue,
            market=state.market.key,
            price_grid=state.market.price_grid,
            size_grid=state.market.size_grid,
            lots_per_common_lot=lots,
            limit_ticks=limit_ticks,
            decision_ticks=round(decision_ticks),
            taker_fee_bps=state.market.taker_fee_bps or 0.0,
        )

    widest = int(budgets.flatten_slippage_bps_max)
    attempts = max(1, budgets.max_retry_attempts)
    return TradePlan(
        trade_id=trade_id,
        asset=pair.asset,
        long=leg(Leg.LONG, approved.long_limit_ticks, long_ticks),
        short=leg(Leg.SHORT, approved.short_limit_ticks, short_ticks),
        common_lots=approved.common_lots,
        unhedged_ms_max=budgets.unhedged_ms_max,
        unhedged_notional_max_micro_usd=int(budgets.unhedged_notional_max_usd * 1_000_000),
        attempt_ms=budgets.unhedged_ms_max,
        bounds_bps=tuple(widest * (number + 1) // attempts for number in range(attempts)),
        edge_bps=approved.opportunity.net_bps,
    )

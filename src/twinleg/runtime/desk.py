"""The trades in hand. One worker takes one event at a time: decide, make durable, then act.

    event -> hedge.step -> records appended, orders prepared -> durable -> orders placed, cancelled, read back
                                                                              |
              order events <-------------- the gate (paper or live) <---------+

While the journal fails, the worker waits where it is and `blocked` says so: nothing is opened or sent meanwhile,
nothing is lost, and a restart goes on from what is durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from twinleg.core.arming import entering
from twinleg.core.effects import Alert, Arm, Cancel, Effect, Persist, Place, Query, Severity
from twinleg.core.guard import Approved
from twinleg.core.hedge import TABLE, step
from twinleg.core.ledger import Ledger, TradeAccount, funding_due
from twinleg.core.messages import FundingSettled, Refusal
from twinleg.core.move import Quotes
from twinleg.core.orders import (
    Adopt,
    DeadlinePassed,
    Event,
    ExitWanted,
    ExitWish,
    Leg,
    OperatorEvent,
    OrderRejected,
    PositionForced,
    PositionRead,
    Purpose,
    Resumed,
    Started,
    State,
    TradeEvent,
    TradePlan,
    trade_id,
)
from twinleg.core.pairs import Pair
from twinleg.core.planning import Budgets, plan_trade, terms_of
from twinleg.core.records import (
    Armed,
    Control,
    ControlChanged,
    JournalRecord,
    NumberingBegun,
    TradePlanned,
    Voided,
)
from twinleg.runtime.books import Books, Pending
from twinleg.runtime.gates import Gate
from twinleg.runtime.inbox import Asked, Inboxed, Settled, Step, TryAgain, Wish, trade_of
from twinleg.runtime.ports import Clock, JournalError

LOG = logging.getLogger("twinleg.desk")

INBOX_MAX = 10_000
"""More waiting events than this means that we no longer keep up with our own orders: the process must not go on."""
RESUME_WAIT_MS = 30_000
"""After a restart, unfinished trades wait this long for the books of both legs; then they go on with what there is."""
LATE_SETTLEMENT_MS = 2 * 3_600_000
"""A closed trade still hears of settlements for this long: venues publish them late."""


class Desk:
    """All trades of one process. What is not async may be called on the tick; `run` does the work."""

    def __init__(
        self,
        books: Books,
        gate: Gate,
        clock: Clock,
        quotes: Callable[[TradePlan], Quotes],
        unfit: Callable[[TradePlan], str | None],
    ) -> None:
        """`quotes` gives the touch of a plan's legs, `unfit` says why its books may not be entered on right now."""
        self._books, self._gate, self._clock = books, gate, clock
        self._quotes, self._unfit = quotes, unfit
        self.ledger: Ledger = books.ledger
        self._inbox: deque[Inboxed] = deque()
        self._news = asyncio.Event()
        self._due_ms: dict[str, int] = {}
        self.alerts: deque[Alert] = deque(maxlen=100)
        self.executed = 0
        self._closed_before = self._closed_ever()
        self._resuming = [account.trade.plan for account in self.ledger.open_trades()]
        self._resume_by_ms = clock.wall_ms() + RESUME_WAIT_MS
        gate.wake = self._collect

    # -- on the tick --------------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> tuple[Refusal, ...]:
        """Why no trade may be opened at all."""
        found = []
        if self.trouble is not None:
            found.append(Refusal("journal", self.trouble))
        control = self.ledger.control
        if control is not None and control.control is not Control.RUNNING:
            found.append(Refusal(control.control.value, f"by the operator: {control.reason}"))
        halted = [one.trade.plan.trade_id for one in self.ledger.open_trades() if one.trade.state is State.HALTED]
        if halted:
            found.append(Refusal("halted", f"{', '.join(halted)} needs the operator"))
        return tuple(found)

    @property
    def trouble(self) -> str | None:
        """Why the journal fails, None when all is well."""
        return self._books.trouble

    @property
    def closed(self) -> int:
        """Trades finished since the start."""
        return self._closed_ever() - self._closed_before

    def _closed_ever(self) -> int:
        return self.ledger.planned - len(self.ledger.open_trades())

    def open(self, approved: Approved, pair: Pair, budgets: Budgets, now_ms: int) -> str | None:
        """Plan a trade and start it; its id, or None while the journal fails. From here on it counts in exposure.

        Plan and first intents go to the journal in one go, and its orders are prepared meanwhile.
        """
        plan = plan_trade(self.next_trade_id(), approved, pair, budgets)
        try:
            self._books.append(TradePlanned(at_ms=now_ms, plan=plan, terms=terms_of(approved, approved.common_lots)))
        except JournalError:
            self._tell(TryAgain())
            return None
        self._opened(plan)
        self._tell(self._begin(self.ledger.trades[plan.trade_id], Started(plan.trade_id, now_ms)))
        return plan.trade_id

    def _opened(self, plan: TradePlan) -> None:
        self.executed += 1
        LOG.info("%s: %s long %s short %s", plan.trade_id, plan.asset, plan.long.market, plan.short.market)

    def arm(self, armed: Armed) -> Pending:
        """Make an entry durable in its turn, and get its orders ready. Nothing leaves."""
        self.get_ready(armed)
        return self._write(armed.plan, armed)

    def get_ready(self, armed: Armed) -> None:
        """Sign what is not signed, or was given up, as far as lanes are free."""
        for intent in armed.intents:
            self._gate.prepare(intent, self._clock.wall_ms())

    def void(self, armed: Armed, reason: str) -> None:
        """It is not sent, now or ever."""
        now_ms = self._clock.wall_ms()
        for intent in armed.intents:
            self._gate.drop(intent.client_id, now_ms)
        self._write(armed.plan, Voided(trade_id=armed.trade_id, reason=reason, at_ms=now_ms))

    def fire(self, armed: Armed, planned: TradePlanned) -> None:
        """Send both orders of what is armed and durable, with nothing awaited or written before. What is written after
        becomes durable meanwhile: without it a restart finds `armed`, and asks."""
        for intent in armed.intents:
            self._gate.submit(intent, planned.at_ms)
        entered = entering(planned.plan, planned.at_ms)
        assert entered.due_ms is not None, "an entry has a clock"
        self._due_ms[armed.trade_id] = entered.due_ms
        self._tell(Step(planned.plan, (), self._books.apply_first(planned, entered)))
        self._opened(planned.plan)

    def _write(self, plan: TradePlan, record: JournalRecord) -> Pending:
        """A fact that no step found; the worker sees to it."""
        pending = self._books.begin([record])
        self._tell(Step(plan, (), pending))
        return pending

    def next_trade_id(self) -> str:
        """The name of the trade that is planned next."""
        return trade_id(self.ledger.next_number)

    def wants_exit(self, trade_id: str, wish: ExitWish, now_ms: int) -> None:
        """Close a trade, unless that is under way. A wish made while the journal fails is lost: it must be repeated."""
        trade = self.ledger.trades[trade_id].trade
        if self.trouble is None and (trade.exit_reason is None or (trade.patient and not wish.patient)):
            self._tell(ExitWanted(trade_id, wish.reason, now_ms, wish.patient))

    def hear(self, event: TradeEvent) -> None:
        """What a venue did to a trade's position, or shows of it."""
        self._tell(event)

    def settled(self, event: FundingSettled, price: float | None, now_ms: int) -> None:
        """Book what a settlement means for every trade that held its market then. `price` is in quote currency."""
        if not self._concerned(event.market, now_ms):
            return
        if price is None:
            LOG.warning("%s: funding settled, but no price to book it on", event.market)
            return
        self._tell(Settled(event, price, now_ms))

    def on_time(self, now_ms: int) -> None:
        """Ring the clocks that are due and collect what the gate knows."""
        for named, due_ms in list(self._due_ms.items()):
            if due_ms <= now_ms:
                del self._due_ms[named]
                self._tell(DeadlinePassed(named, now_ms))
        self._collect()
        for plan in list(self._resuming):
            halted = self.ledger.trades[plan.trade_id].trade.state is State.HALTED  # the operator hears of it at once
            if halted or now_ms >= self._resume_by_ms or self._priced(plan):
                self._resuming.remove(plan)
                self._tell(Resumed(plan.trade_id, now_ms))

    def _collect(self) -> None:
        for event in self._gate.due(self._clock.wall_ms()):
            self._tell(event)

    def _priced(self, plan: TradePlan) -> bool:
        """Both legs show prices on both sides: an exit begun without them would only spend its attempts."""
        quotes = self._quotes(plan)
        return len(quotes) == len(Leg) and all(None not in (one.bid_ticks, one.ask_ticks) for one in quotes.values())

    # -- the operator -------------------------------------------------------------------------------------------------

    async def ask(self, event: OperatorEvent | ExitWanted) -> str | None:
        """Let a trade hear the operator, in its turn. None = done, and durable; else why not."""
        return await self._asked(event, None)

    async def adopt(self, plan: TradePlan, event: Adopt) -> str | None:
        """Take over positions that were opened by hand, as a new trade of that plan."""
        return await self._asked(event, plan)

    async def control(self, control: Control, reason: str) -> str | None:
        """What the engine may do from now on, restarts included. STOPPED also calls back what rests of entries."""
        refused = await self._asked(ControlChanged(control=control, reason=reason, at_ms=self._clock.wall_ms()), None)
        if refused is None and control is Control.STOPPED:
            self.call_back()
        return refused

    async def number_from(self, first_number: int) -> str | None:
        """The numbering of this journal's trades begins there."""
        return await self._asked(NumberingBegun(first_number=first_number, at_ms=self._clock.wall_ms()), None)

    def call_back(self) -> None:
        """Cancel what rests of entries: the other leg hedges what filled."""
        for account in self.ledger.open_trades():
            for order in account.trade.unsettled:
                if account.trade.state is State.ENTERING and not order.ended:
                    self._gate.cancel(order.intent.client_id, self._clock.wall_ms())

    async def _asked(self, wish: Wish, plan: TradePlan | None) -> str | None:
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._tell(Asked(wish, plan, answer))
        return await answer

    # -- the worker ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle events for ever. Raises what our own code raises."""
        while True:
            while not self._inbox:
                self._news.clear()
                await self._news.wait()
            event = self._inbox.popleft()
            if isinstance(event, Step):
                await self._finish(event)
            elif isinstance(event, Settled):
                await self._book(event)
            elif isinstance(event, Asked):
                await self._answer(event)
            elif isinstance(event, TryAgain):
                await self._books.recover()
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
        """What a trade of ours makes of an event. What concerns none, or comes at no time for it, is told and left."""
        account = self.ledger.trades.get(trade_of(event))
        told = isinstance(event, PositionForced | PositionRead)
        if account is None or (told and (account.trade.state, type(event)) not in TABLE):
            LOG.warning("no trade has an ear for %s", event)
            return
        await self._finish(self._begin(account, event))

    async def _answer(self, asked: Asked) -> None:
        """Do what the operator wishes, or say why not."""
        wish, refused = asked.wish, None
        if isinstance(wish, ControlChanged | NumberingBegun):
            await self._books.persist(wish)
        else:
            if asked.plan is not None:
                await self._books.persist(TradePlanned(at_ms=wish.at_ms, plan=asked.plan, terms={}))
            refused = self._unwanted(wish)
            if refused is None:
                await self._handle(wish)
        if not asked.answer.done():  # whoever asked may have gone
            asked.answer.set_result(refused)

    def _unwanted(self, wish: OperatorEvent | ExitWanted) -> str | None:
        """Why the trade has no ear for that now."""
        account = self.ledger.trades.get(wish.trade_id)
        if account is None:
            return f"there is no trade {wish.trade_id}, or it was closed long ago"
        state = account.trade.state
        if (state, type(wish)) not in TABLE or state is State.CLOSED:
            return f"{wish.trade_id} is {state.value}"
        return None

    def _begin(self, account: TradeAccount, event: Event) -> Step:
        """Decide. The records go to the journal, and orders get ready while they become durable."""
        plan = account.trade.plan
        _, effects = step(account.trade, event, self._quotes(plan))
        pending = self._books.begin([effect.record for effect in effects if isinstance(effect, Persist)])
        now_ms = self._clock.wall_ms()
        for effect in effects:
            if isinstance(effect, Place):
                self._gate.prepare(effect.intent, now_ms)
        return Step(plan, effects, pending)

    async def _finish(self, begun: Step) -> None:
        """Once all of it is durable: act."""
        await self._books.durable(begun.pending)
        late = self._too_late(begun.effects, begun.plan)
        for effect in begun.effects:
            self._do(effect, late)

    def _too_late(self, effects: tuple[Effect, ...], plan: TradePlan) -> str | None:
        """Why the entry among `effects`, if any, must not be sent any more: asked once, so that no leg goes alone."""
        intents = [one.intent for one in effects if isinstance(one, Place)]
        deadlines_ms = [intent.deadline_ms for intent in intents if intent.purpose is Purpose.ENTER]
        if deadlines_ms and min(deadlines_ms) <= self._clock.wall_ms():
            return "its time passed while the journal was written"
        return self._unfit(plan) if deadlines_ms else None

    async def _book(self, settled: Settled) -> None:
        for account in self._concerned(settled.event.market, settled.at_ms):
            for leg in Leg:
                booking = funding_due(account, leg, settled.event, settled.price, settled.at_ms)
                if booking is not None:
                    await self._books.persist(booking)

    def _do(self, effect: Effect, late: str | None) -> None:
        now_ms = self._clock.wall_ms()
        match effect:
            case Place(intent):
                if late is None:
                    self._gate.submit(intent, now_ms)
                else:
                    self._gate.drop(intent.client_id, now_ms)
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

    def _tell(self, event: Inboxed) -> None:
        if len(self._inbox) >= INBOX_MAX:
            raise RuntimeError(f"{INBOX_MAX} events wait for the desk")
        self._inbox.append(event)
        self._news.set()

    def _concerned(self, market: str, now_ms: int) -> list[TradeAccount]:
        return [
            account
            for account in self.ledger.trades.values()
            if market in (account.trade.plan.long.market, account.trade.plan.short.market)
            and (account.closed_at_ms is None or now_ms - account.closed_at_ms < LATE_SETTLEMENT_MS)
        ]


_RESTING = (State.HEDGED, State.HALTED, State.CLOSED)

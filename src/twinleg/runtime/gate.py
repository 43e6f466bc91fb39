"""One venue's order gate: intents out as signed bytes, what becomes of them back as order events.

    prepare -> lane -> sign (own thread)                            while the journal commits; nothing leaves
    submit  -> send -> read_reply -> accepted | rejected | unknown -> doubts
    query   -> every read that proves an order's fate -> what they say, or nothing yet

Fill truth comes from the account stream and the read-backs alone. What never left is rejected; what may have left is
unknown until it is found, until another transaction has its number, or until the venue would refuse its bytes anyway
and still does not know it. The bytes of one order leave at most once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import NamedTuple

from twinleg.core.messages import Market
from twinleg.core.orders import Filled, Intent, OrderAccepted, OrderDone, OrderEvent, OrderRejected, OrderUnknown
from twinleg.core.trading import (
    FOREIGN_KEY,
    IN_DOUBT,
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    ExecutionSeen,
    Incident,
    Lane,
    OrderSeen,
    SendVerdict,
    Signed,
    TradingVenue,
    TransactionSeen,
)
from twinleg.runtime.account_reads import Unread, read_account
from twinleg.runtime.budget import Budget
from twinleg.runtime.doubts import Doubts
from twinleg.runtime.known import Known, KnownOrders, absent, void
from twinleg.runtime.lanes import LaneLostError, Lanes, Turn
from twinleg.runtime.prepared import Prepared, Ready
from twinleg.runtime.sender import LANE_WAIT_S, Sender, Sent, reduces_risk
from twinleg.runtime.streams import Doors

LOG = logging.getLogger("twinleg.gate")

OUTRUN = "never arrived: another transaction has its number"


class Account(NamedTuple):
    """What a gate trades on. `lost` is asked before every send: why this process may not send any more, or None."""

    venue: TradingVenue
    markets: Mapping[str, Market]
    lanes: Lanes
    lost: Callable[[], str | None]


def _nobody(*_: object) -> None:
    """Nobody waits for news."""


class VenueGate:
    """See runtime.gates.Gate. `account` is the sink of the venue's account streams."""

    def __init__(
        self,
        account: Account,
        budget: Budget,
        doors: Doors,
        timeout_ms: int,
        *,
        signer: Executor | None = None,
        tell: Callable[[AccountEvent], None] = _nobody,
    ) -> None:
        """`timeout_ms` per request. `signer` is where signatures are made: by default one thread of the gate's own.

        `tell` hears all that is not about one of our own known orders; a listing's rows one by one, then itself. What
        is read again is told again: fills have ids.
        """
        self.venue = account.venue
        self._markets, self._lanes = account.markets, account.lanes
        self._budget, self._doors, self._timeout_ms = budget, doors, timeout_ms
        self.tell = tell
        self._sender = Sender(account.venue, account.lost, budget, doors, timeout_ms, signer)
        self._sender.told = lambda incident: self.tell(incident)
        self._prepared = Prepared(self._sender, account.lanes, account.markets)
        self._doubts = Doubts(self._sender, account.lanes, account.markets, self._read_transaction, self._query)
        self._known = KnownOrders(budget.limits.requests_per_minute)
        self._news: deque[OrderEvent] = deque()
        self._under_way: set[asyncio.Task[object]] = set()
        self._closed = False
        self.wake: Callable[[], None] = _nobody
        """Called when `due` has something to say; perhaps within a call of ours."""
        self.prepared_used = 0
        """Orders that left as they were prepared."""
        self.unread = 0
        """How many reads in a row gave no answer."""
        self.failure: Exception | None = None
        """What our own code raised while sending; the desk must stop."""

    # -- what the desk asks -------------------------------------------------------------------------------------------

    def prepare(self, intent: Intent, now_ms: int) -> None:  # noqa: ARG002 (time passes before it is signed)
        """Hold a lane and sign, as far as nobody else wants the lane. Nothing leaves, nothing is told.

        Only the very same intent is sent as prepared.
        """
        assert not self._closed, "the gate is closed"
        assert intent.client_id not in self._known, f"{intent.client_id} prepared after it was sent"
        self._prepared.prepare(intent, self._start)

    def drop(self, client_id: str, now_ms: int) -> None:  # noqa: ARG002 (as above)
        """What was prepared is not to be sent: its signature is thrown away and its lane is free."""
        assert client_id not in self._known, f"{client_id} dropped after it was sent"
        self._prepared.drop(client_id)

    @property
    def prepared_lost(self) -> int:
        """Prepared orders whose signature was given up: a lane was wanted, a number in doubt, the order another."""
        return self._prepared.lost

    def submit(self, intent: Intent, now_ms: int) -> None:  # noqa: ARG002 (as above)
        """Send an order, once. Past its deadline one that adds is not sent any more."""
        assert intent.client_id not in self._known, f"{intent.client_id} sent twice"
        known = self._known.remember(intent)
        known.sending = self._start(self._submit(known, self._prepared.take(intent)))

    def cancel(self, client_id: str, now_ms: int) -> None:  # noqa: ARG002 (as above)
        """Take back what rests, see Pace. That it is over comes from the account, never from this reply."""
        self._known[client_id].unwanted = True
        if self._known[client_id].worth_cancelling(self._doors.clock.mono_ns()):
            self._start(self._cancel(self._known[client_id]))

    def query(self, client_id: str, now_ms: int) -> None:  # noqa: ARG002 (as above)
        """Read an order back, see Pace."""
        if self._known[client_id].reads.may(self._doors.clock.mono_ns(), self._known[client_id].proof_ns):
            self._start(self._query(self._known[client_id]))

    async def warm(self) -> None:
        """Load what signing needs, in a second or two, and see to an earlier run's orders. Raises ValueError."""
        await self._sender.warm()
        if unsent := self._known.unsent():
            self._start(self._doubts.inherit(unsent))

    async def set_leverage(self, market: Market, leverage: float) -> SendVerdict:
        """Choose the account's leverage in a market."""
        return await self.transact(
            f"leverage {leverage:g} in {market.key}",
            lambda lane: self.venue.sign_leverage(market, leverage, lane, self._now_ms()),
            lambda: None,
            urgent=False,
        )

    async def dead_man_switch(self, fires_at_ms: int | None) -> SendVerdict:
        """Have the venue cancel all orders at that time (epoch milliseconds) unless told again; None = not any more."""
        return await self.transact(
            f"dead man's switch at {fires_at_ms}",
            lambda lane: self.venue.sign_dead_man_switch(fires_at_ms, lane, self._now_ms()),
            lambda: None,
            urgent=True,
        )

    def knows(self, client_id: str) -> bool:
        """Whether it can be cancelled and read back."""
        return client_id in self._known

    def has_room(self, requests: int) -> bool:
        """Whether so many requests could leave at once, the reserve left alone."""
        return self._sender.has_room(requests)

    @property
    def foreign(self) -> dict[str, int]:
        """See Lanes.foreign."""
        return self._lanes.foreign

    def due(self, now_ms: int) -> list[OrderEvent]:  # noqa: ARG002 (as above)
        """What has become known since the last call. Raises what our own code raised."""
        if self.failure is not None:
            raise self.failure
        news, self._news = list(self._news), deque()
        return news

    def account(self, events: list[AccountEvent]) -> None:
        """What the account stream or a listing told."""
        before = len(self._news)
        for event in events:
            self._heard(event)
        if len(self._news) > before:
            self.wake()

    def expect(self, intent: Intent, *, over: bool = False) -> None:
        """An order of an earlier run: known again, never sent again. `over` = its fate is known."""
        if intent.client_id in self._known:
            return
        known = self._known.remember(intent)
        known.over = over
        signed_ms = max(intent.deadline_ms, self._now_ms()) if intent.reduce_only else intent.deadline_ms
        void(known, signed_ms + self.venue.trading.expiry_ms_max, self._doors.clock)

    async def read(self, read: AccountRead, *, urgent: bool = False) -> list[AccountEvent] | Unread:
        """What the venue answers, within its budget, told to the desk as well."""
        events = await read_account(read, self._doors, self._budget, self._timeout_ms, urgent=urgent)
        if isinstance(events, Unread):
            self.unread += 1
            LOG.warning("%s: read-back: %s", self.venue.name, events.reason)
        else:
            self.unread = 0
            self.account(events)
        return events

    async def close(self) -> None:
        """End what is under way. A cancelled send is unknown; the journal says that it was tried."""
        self._closed = True
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._sender.close()

    # -- sending ------------------------------------------------------------------------------------------------------

    async def _submit(self, known: Known, ready: Ready | None) -> None:
        """On the lane and with the bytes that are ready, with nothing awaited in between; else signed now."""
        intent = known.intent
        if ready is not None:
            try:
                signed = await ready.usable()
                if signed is not None:
                    self.prepared_used += 1
                    await self._submit_on(ready.turn, signed, known)
                    return
                ready.turn.spent = False
            finally:
                self._lanes.end(ready.turn)
            self._prepared.lost += 1
        try:
            async with self._lanes.turn(reduces_risk=reduces_risk(intent), timeout_s=LANE_WAIT_S) as turn:
                turn.spent = False
                await self._sender.learn(turn, urgent=reduces_risk(intent))
                signed = await self._sender.sign(
                    lambda lane: self.venue.sign(intent, self._markets[intent.market], lane, self._now_ms()), turn.lane
                )
                await self._submit_on(turn, signed, known)
        except (LaneLostError, ValueError) as error:
            self._tell(OrderRejected(intent.client_id, f"not sent: {error}", self._now_ms()))

    async def _submit_on(self, turn: Turn, signed: Signed, known: Known) -> None:
        intent = known.intent
        void(known, signed.void_after_ms, self._doors.clock)
        known.lane, known.correlation = signed.lane, signed.correlation
        late_ms = self._now_ms() + self._timeout_ms if intent.reduce_only else intent.deadline_ms
        sent = await self._sender.send(turn, signed, late_ms, lambda: self._unfit(known))
        known.venue_order_id, known.exists = sent.venue_order_id or known.venue_order_id, sent.exists
        match sent.verdict:
            case SendVerdict.ACCEPTED:
                self._tell(OrderAccepted(intent.client_id, self._now_ms()))
            case SendVerdict.REJECTED:
                self._tell(OrderRejected(intent.client_id, sent.reason, self._now_ms()))
            case SendVerdict.UNKNOWN:
                self._tell(OrderUnknown(intent.client_id, sent.reason, self._now_ms()))
                self._start(self._doubts.settle(known))

    def _unfit(self, known: Known) -> str | None:
        """Why an order must not leave any more, asked right before it would."""
        if known.unwanted:
            return "taken back"
        late = self._now_ms() > known.intent.deadline_ms and not known.intent.reduce_only
        return "its time has passed" if late else None

    async def _cancel(self, known: Known) -> None:
        """After the order's own send, which else it could overtake."""
        client_id = known.intent.client_id
        if known.sending is not None:
            await asyncio.wait({known.sending})
        if not known.over:
            order_id, market = known.venue_order_id, known.intent.market
            await self.transact(
                f"cancel of {client_id}",
                lambda lane: self.venue.sign_cancel(client_id, order_id, self._markets[market], lane, self._now_ms()),
                lambda: "it is over" if known.over else None,
                urgent=True,
            )

    async def transact(
        self, what: str, sign: Callable[[Lane], Signed], unfit: Callable[[], str | None], *, urgent: bool
    ) -> SendVerdict:
        """Anything but an order, within the budget, logged. What could not be signed or sent is rejected."""
        try:
            sent = await self.place(sign, unfit, urgent=urgent)
        except (LaneLostError, ValueError) as error:
            sent = Sent(SendVerdict.REJECTED, f"not sent: {error}")
        level = logging.DEBUG if sent.verdict is SendVerdict.ACCEPTED else logging.WARNING
        LOG.log(level, "%s: %s: %s: %s", self.venue.name, what, sent.verdict.value, sent.reason)
        return sent.verdict

    async def place(
        self, sign: Callable[[Lane], Signed], unfit: Callable[[], str | None], *, urgent: bool, key: str | None = None
    ) -> Sent:
        """See Sender.place."""
        return await self._sender.place(self._lanes, sign, unfit, urgent=urgent, key=key)

    # -- reading back -------------------------------------------------------------------------------------------------

    async def _query(self, known: Known) -> bool:
        """All that proves an order's fate: True when all is told. Absence counts only in complete reads, asked late."""
        if known.intent.market not in self._markets:
            return False  # whoever wants to know asks again
        client_id, asked_ns = known.intent.client_id, self._doors.clock.mono_ns()
        if known.correlation is not None and not known.seen:
            await self._read_transaction(known.correlation)
        complete = True
        for read in self.venue.order(client_id, self._markets[known.intent.market], self._now_ms()):
            complete &= not isinstance(await self.read(read, urgent=True), Unread)
        if complete and not known.over and absent(known, asked_ns):
            self._tell(OrderDone(client_id, "never arrived", 0, self._now_ms()))
        return complete

    async def _read_transaction(self, correlation: str) -> None:
        """No answer is usual here, and proves nothing: the venue may not know it, or not yet."""
        read = self.venue.transaction(correlation, self._now_ms())
        if read is not None:
            events = await read_account(read, self._doors, self._budget, self._timeout_ms, urgent=True)
            self.account([] if isinstance(events, Unread) else events)

    def _heard(self, event: AccountEvent) -> None:
        match event:
            case AccountSnapshot(rows=rows):
                for row in rows:
                    self._heard(row)
                self.tell(event)
            case ExecutionSeen(client_id=str() as client_id) if self._shown(client_id):
                paid, now_ms = event.fee_micro_usd, self._now_ms()
                self._note(Filled(client_id, event.fill_id, event.price_ticks, event.size_lots, paid, now_ms))
            case OrderSeen(client_id=str() as client_id) if self._shown(client_id):
                known, now_ms = self._known[client_id], self._now_ms()
                known.venue_order_id, known.over = event.venue_order_id, not event.resting
                done = OrderDone(client_id, event.reason, event.filled_lots, now_ms)
                self._note(OrderAccepted(client_id, now_ms) if event.resting else done)
            case TransactionSeen():
                self._transaction(event)
            case _:
                if isinstance(event, Incident) and event.kind == IN_DOUBT:
                    self._lanes.doubt()
                self.tell(event)

    def _transaction(self, event: TransactionSeen) -> None:
        """Who has a number: one of ours in doubt has arrived, or never will; somebody else's is foreign use."""
        self._doubts.arrived(event.correlation)
        if not event.executed:
            return
        lane, named = Lane(event.key, event.number), self._known.get(event.client_id)
        if named is not None and named.correlation == event.correlation:
            void(named, 0, self._doors.clock)  # whatever came of it, lists show it when they have caught up
        if self._lanes.used(lane, event.correlation, ours=named is not None):
            detail = f"key {event.key}: number {event.number} has a transaction that is not ours, {event.correlation}"
            self.tell(Incident(self.venue.name, FOREIGN_KEY, detail, event.at_ms))
        for known in self._doubts.outrun(lane):
            self._note(OrderDone(known.intent.client_id, OUTRUN, 0, self._now_ms()))

    def _shown(self, client_id: str) -> bool:
        """Whether the venue shows an order that this process knows. Others are found by reconcile."""
        known = self._known.get(client_id)
        if known is not None:
            known.seen = True
        return known is not None

    # -- small things -------------------------------------------------------------------------------------------------

    def _tell(self, event: OrderEvent) -> None:
        self._note(event)
        self.wake()

    def _note(self, event: OrderEvent) -> None:
        known = self._known[event.client_id]
        known.over |= isinstance(event, OrderDone | OrderRejected)
        self._news.append(event)

    def _start(self, work: Coroutine[None, None, object]) -> asyncio.Task[object]:
        if self._closed:
            work.close()
        assert not self._closed, "the gate is closed"
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            LOG.error("%s: our own code failed", self.venue.name, exc_info=error)
            self.failure = self.failure or error
            self.wake()

    def _now_ms(self) -> int:
        return self._doors.clock.wall_ms()

"""One venue's order gate: intents out as signed bytes, what becomes of them back as order events.

    submit -> lane -> sign (own thread) -> send -> read_reply -> accepted | rejected | unknown
    query  -> every read that proves an order's fate -> what they say, or nothing yet

Fill truth comes from the account stream and the read-backs alone. What never left is rejected; what may have left is
unknown until it is found, or until the venue would refuse its bytes anyway and still does not know it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import (
    Filled,
    Intent,
    OrderAccepted,
    OrderDone,
    OrderEvent,
    OrderRejected,
    OrderUnknown,
    Purpose,
)
from twinleg.core.trading import (
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    ExecutionSeen,
    Lane,
    OrderSeen,
    SendVerdict,
    Signed,
    TradingVenue,
)
from twinleg.core.venue import WireError
from twinleg.runtime.budget import Budget
from twinleg.runtime.lanes import LaneLostError, Lanes, Turn
from twinleg.runtime.streams import Doors

LOG = logging.getLogger("twinleg.gate")

LANE_WAIT_S = 2.0
KNOWN_MAX = 10_000
"""Orders remembered for cancels and read-backs; the oldest that are over are forgotten first."""
LAG_MS = 15_000
"""How long a venue's REST lists may lag behind its engine (Lighter: up to 10 s seen): before that, absent proves nothing."""
PAGES_MAX = 20


class _Known(msgspec.Struct):
    """What we know of one order besides its life: where it is, and until when its bytes can still arrive."""

    intent: Intent
    void_after_ms: int | None = None
    venue_order_id: str | None = None
    over: bool = False


class VenueGate:
    """See runtime.desk.Gate. `account` is the sink of the venue's account streams."""

    def __init__(
        self,
        venue: TradingVenue,
        markets: Mapping[str, Market],
        lanes: Lanes,
        budget: Budget,
        doors: Doors,
        timeout_ms: int,
    ) -> None:
        self.venue = venue
        self._markets, self._lanes, self._budget, self._doors = markets, lanes, budget, doors
        self._timeout_ms = timeout_ms
        self._known: dict[str, _Known] = {}
        self._news: deque[OrderEvent] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._signer = ThreadPoolExecutor(1, thread_name_prefix=f"sign-{venue.name}")
        self.failure: Exception | None = None
        """What our own code raised while sending; the desk must stop."""

    # -- what the desk asks -------------------------------------------------------------------------------------------

    def submit(self, intent: Intent, now_ms: int) -> None:
        """Send an order, once. `now_ms` is when it was decided; past its deadline it is not sent."""
        assert intent.client_id not in self._known, f"{intent.client_id} sent twice"
        self._remember(intent)
        self._start(self._submit(intent))

    def cancel(self, client_id: str, now_ms: int) -> None:
        """Take back what rests. That it is over comes from the account, never from this reply."""
        self._start(self._cancel(client_id))

    def query(self, client_id: str, now_ms: int) -> None:
        """Read an order back."""
        self._start(self._query(client_id))

    def due(self, now_ms: int) -> list[OrderEvent]:
        """What has become known since the last call. Raises what our own code raised."""
        if self.failure is not None:
            raise self.failure
        news, self._news = list(self._news), deque()
        return news

    def account(self, events: list[AccountEvent]) -> None:
        """What the account stream or a listing told."""
        for event in events:
            self._heard(event)

    def expect(self, intent: Intent) -> None:
        """An order of an earlier run whose fate is open: known again, never sent again."""
        self._known.setdefault(intent.client_id, _Known(intent))

    async def close(self) -> None:
        """Let what is under way end or be cancelled. A cancelled send is unknown; the journal says that it was tried."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._signer.shutdown(wait=False)

    # -- sending ------------------------------------------------------------------------------------------------------

    async def _submit(self, intent: Intent) -> None:
        reduces = intent.reduce_only or intent.purpose is Purpose.HEDGE
        try:
            async with self._lanes.turn(reduces_risk=reduces, timeout_s=LANE_WAIT_S) as turn:
                await self._submit_on(turn, intent)
        except LaneLostError as error:
            self._tell(OrderRejected(intent.client_id, f"not sent: {error}", self._now_ms()))

    async def _submit_on(self, turn: Turn, intent: Intent) -> None:
        market = self._markets[intent.market]
        await self._learn_number(turn)
        if self._now_ms() > intent.deadline_ms and not intent.reduce_only:
            turn.spent = False
            self._tell(OrderRejected(intent.client_id, "not sent: its time has passed", self._now_ms()))
            return
        try:
            signed = await self._sign(lambda lane: self.venue.sign(intent, market, lane, self._now_ms()), turn)
        except ValueError as error:
            turn.spent = False
            self._tell(OrderRejected(intent.client_id, f"not sent: {error}", self._now_ms()))
            return
        known = self._known[intent.client_id]
        known.void_after_ms = signed.void_after_ms
        verdict, reason, order_id = await self._send(turn, signed)
        known.venue_order_id = order_id or known.venue_order_id
        match verdict:
            case SendVerdict.ACCEPTED:
                self._tell(OrderAccepted(intent.client_id, self._now_ms()))
            case SendVerdict.REJECTED:
                self._tell(OrderRejected(intent.client_id, reason, self._now_ms()))
            case SendVerdict.UNKNOWN:
                self._tell(OrderUnknown(intent.client_id, reason, self._now_ms()))

    async def _cancel(self, client_id: str) -> None:
        known = self._known.get(client_id)
        if known is None or known.over:
            return
        market = self._markets[known.intent.market]
        try:
            async with self._lanes.turn(reduces_risk=True, timeout_s=LANE_WAIT_S) as turn:
                await self._learn_number(turn)
                signed = await self._sign(
                    lambda lane: self.venue.sign_cancel(client_id, known.venue_order_id, market, lane, self._now_ms()),
                    turn,
                )
                await self._send(turn, signed)
        except LaneLostError as error:
            LOG.warning("%s: cancel of %s not sent: %s", self.venue.name, client_id, error)

    async def _learn_number(self, turn: Turn) -> None:
        """Ask for the lane's number when it is not known. Raises LaneLostError: nothing leaves on a guess."""
        asked = self.venue.next_number(turn.lane.key, self._now_ms()) if turn.number is None else None
        if asked is None:
            return
        request, read = asked
        reply = await self._doors.net.request(request, self._timeout_ms)
        if reply.status is None or not 200 <= reply.status < 300:
            turn.spent = False
            raise LaneLostError(f"the venue did not tell its next number: {reply.status or reply.reason}")
        try:
            turn.number = read(reply.body)
        except WireError as error:
            raise LaneLostError(str(error)) from error

    async def _sign(self, sign: Callable[[Lane], Signed], turn: Turn) -> Signed:
        return await asyncio.get_running_loop().run_in_executor(self._signer, sign, turn.lane)

    async def _send(self, turn: Turn, signed: Signed) -> tuple[SendVerdict, str, str | None]:
        turn.spent = None  # from here on, whatever happens, the number may be used
        reply = await self._doors.net.request(signed.request, self._timeout_ms)
        if reply.status is None and not reply.sent:
            turn.spent = False
            return SendVerdict.REJECTED, f"never left: {reply.reason}", None
        outcome = self.venue.read_reply(signed, reply.status, reply.body)
        turn.spent = outcome.lane_spent
        if outcome.retry_after_s is not None:
            self._budget.requests.empty(self._doors.clock.mono_ns(), outcome.retry_after_s)
        return outcome.verdict, outcome.reason or reply.reason, outcome.venue_order_id

    # -- reading back -------------------------------------------------------------------------------------------------

    async def _query(self, client_id: str) -> None:
        known = self._known.get(client_id)
        assert known is not None, f"{client_id} was never ours"
        asked_ms = self._now_ms()
        found, complete = False, True
        for read in self.venue.order(client_id, self._markets[known.intent.market], asked_ms):
            events = await self._read(read)
            if events is None:
                complete = False
                continue
            found |= any(_concerns(event, client_id) for event in events)
            self.account(events)
        if found or not complete:
            return
        if known.void_after_ms is None:
            known.void_after_ms = known.intent.deadline_ms + self.venue.trading.expiry_ms_max
        if asked_ms > known.void_after_ms + LAG_MS:
            self._tell(OrderDone(client_id, "never arrived", 0, self._now_ms()))

    async def _read(self, read: AccountRead) -> list[AccountEvent] | None:
        """All pages of one read; None when it did not answer or cannot be trusted."""
        events: list[AccountEvent] = []
        following: AccountRead | None = read
        for _ in range(PAGES_MAX):
            if following is None:
                return events
            reply = await self._doors.net.request(following.request, self._timeout_ms)
            if reply.status is None or not 200 <= reply.status < 300:
                LOG.warning("%s: read-back: %s", self.venue.name, reply.status or reply.reason)
                return None
            try:
                events += following.parse(reply.body, self._now_ms())
                following = None if following.more is None else following.more(reply.body)
            except WireError as error:
                LOG.warning("%s: read-back: %s", self.venue.name, error)
                return None
        return None

    def _heard(self, event: AccountEvent) -> None:
        match event:
            case AccountSnapshot(rows=rows):
                for row in rows:
                    self._heard(row)
            case ExecutionSeen(client_id=str() as client_id):
                fill = Filled(
                    client_id, event.fill_id, event.price_ticks, event.size_lots, event.fee_micro_usd, self._now_ms()
                )
                self._tell(fill)
            case OrderSeen(client_id=str() as client_id):
                known = self._known.get(client_id)
                if known is not None:
                    known.venue_order_id = event.venue_order_id
                    known.over = known.over or not event.resting
                now_ms = self._now_ms()
                done = OrderDone(client_id, event.reason, event.filled_lots, now_ms)
                self._tell(OrderAccepted(client_id, now_ms) if event.resting else done)

    # -- small things -------------------------------------------------------------------------------------------------

    def _tell(self, event: OrderEvent) -> None:
        """Queue an event about an order of this process's trades; others' are not ours to tell."""
        known = self._known.get(event.client_id)
        if known is None:
            return
        known.over = known.over or isinstance(event, OrderDone | OrderRejected)
        self._news.append(event)

    def _remember(self, intent: Intent) -> None:
        self._known[intent.client_id] = _Known(intent)
        if len(self._known) > KNOWN_MAX:
            del self._known[next(name for name, known in self._known.items() if known.over)]

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            LOG.error("%s: our own code failed", self.venue.name, exc_info=error)
            self.failure = self.failure or error

    def _now_ms(self) -> int:
        return self._doors.clock.wall_ms()


def _concerns(event: AccountEvent, client_id: str) -> bool:
    if isinstance(event, AccountSnapshot):
        return any(_concerns(row, client_id) for row in event.rows)
    return isinstance(event, OrderSeen | ExecutionSeen) and event.client_id == client_id

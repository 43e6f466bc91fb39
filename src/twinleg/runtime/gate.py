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
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

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
)
from twinleg.core.venue import Request, WireError
from twinleg.runtime.account_reads import Unread, read_account
from twinleg.runtime.budget import Budget
from twinleg.runtime.lanes import LaneLostError, Lanes, Turn
from twinleg.runtime.ports import Reply
from twinleg.runtime.reads import TOO_MANY_REQUESTS
from twinleg.runtime.streams import Doors

LOG = logging.getLogger("twinleg.gate")
T = TypeVar("T")

NS_PER_MS = 1_000_000
LANE_WAIT_S = 2.0
KNOWN_MAX = 10_000
"""Orders remembered for cancels and read-backs; the oldest that are over are forgotten first."""
LAG_MS = 15_000
"""How long a venue's REST lists may lag behind its engine (Lighter: up to 10 s seen): absence proves nothing before."""


class Account(NamedTuple):
    """What a gate trades on. `lost` is asked before every send: why this process may not send any more, or None."""

    venue: TradingVenue
    markets: Mapping[str, Market]
    lanes: Lanes
    lost: Callable[[], str | None]


class _Known(msgspec.Struct):
    """What we know of one order besides its life: where it is, and from when its absence proves anything."""

    intent: Intent
    proof_ns: int | None = None
    """LAG_MS after the venue began to refuse the order's bytes, on our monotonic clock, which never jumps."""
    venue_order_id: str | None = None
    sending: asyncio.Task[None] | None = None
    lane: Lane | None = None
    """What its bytes were signed with."""
    seen: bool = False
    """The venue has shown it: that it is nowhere to be found is then a contradiction, not a proof."""
    unwanted: bool = False
    over: bool = False


class VenueGate:
    """See runtime.desk.Gate. `account` is the sink of the venue's account streams."""

    def __init__(
        self, account: Account, budget: Budget, doors: Doors, timeout_ms: int, *, signer: Executor | None = None
    ) -> None:
        """`timeout_ms` per request. `signer` is where signatures are made: by default one thread of the gate's own."""
        self.venue = account.venue
        self._markets, self._lanes, self._lost = account.markets, account.lanes, account.lost
        self._budget, self._doors, self._timeout_ms = budget, doors, timeout_ms
        self._known: dict[str, _Known] = {}
        self._news: deque[OrderEvent] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._signer = signer or ThreadPoolExecutor(1, thread_name_prefix=f"sign-{account.venue.name}")
        self._closed = False
        self.failure: Exception | None = None
        """What our own code raised while sending; the desk must stop."""

    # -- what the desk asks -------------------------------------------------------------------------------------------

    def submit(self, intent: Intent, now_ms: int) -> None:  # noqa: ARG002 (time passes before the send: the clock tells)
        """Send an order, once. Past its deadline one that adds is not sent any more."""
        assert intent.client_id not in self._known, f"{intent.client_id} sent twice"
        self._remember(intent)
        self._known[intent.client_id].sending = self._start(self._submit, intent)

    def cancel(self, client_id: str, now_ms: int) -> None:  # noqa: ARG002 (as above)
        """Take back what rests. That it is over comes from the account, never from this reply."""
        self._ours(client_id).unwanted = True
        self._start(self._cancel, client_id)

    def query(self, client_id: str, now_ms: int) -> None:  # noqa: ARG002 (as above)
        """Read an order back."""
        self._ours(client_id)
        self._start(self._query, client_id)

    def knows(self, client_id: str) -> bool:
        """Whether it can be cancelled and read back."""
        return client_id in self._known

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
        for event in events:
            self._heard(event)

    def expect(self, intent: Intent, *, over: bool = False) -> None:
        """An order of an earlier run: known again, never sent again. `over` = its fate is known."""
        if intent.client_id in self._known:
            return
        self._remember(intent)
        known = self._known[intent.client_id]
        known.over = over
        signed_ms = max(intent.deadline_ms, self._now_ms()) if intent.reduce_only else intent.deadline_ms
        self._void(known, signed_ms + self.venue.trading.expiry_ms_max)

    async def read(self, read: AccountRead, *, urgent: bool = False) -> list[AccountEvent] | Unread:
        """What the venue answers, within its budget, told to the desk as well."""
        events = await read_account(read, self._doors, self._budget, self._timeout_ms, urgent=urgent)
        if isinstance(events, Unread):
            LOG.warning("%s: read-back: %s", self.venue.name, events.reason)
        else:
            self.account(events)
        return events

    async def close(self) -> None:
        """End what is under way. A cancelled send is unknown; the journal says that it was tried."""
        self._closed = True
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._signer.shutdown(wait=False)

    # -- sending ------------------------------------------------------------------------------------------------------

    async def _submit(self, intent: Intent) -> None:
        try:
            async with self._lanes.turn(reduces_risk=_reduces_risk(intent), timeout_s=LANE_WAIT_S) as turn:
                await self._submit_on(turn, intent)
        except LaneLostError as error:
            self._tell(OrderRejected(intent.client_id, f"not sent: {error}", self._now_ms()))

    async def _submit_on(self, turn: Turn, intent: Intent) -> None:
        market, known = self._markets[intent.market], self._known[intent.client_id]
        await self._learn_number(turn, urgent=_reduces_risk(intent))
        try:
            signed = await self._sign(lambda lane: self.venue.sign(intent, market, lane, self._now_ms()), turn)
        except ValueError as error:
            turn.spent = False
            self._tell(OrderRejected(intent.client_id, f"not sent: {error}", self._now_ms()))
            return
        self._void(known, signed.void_after_ms)
        known.lane = signed.lane
        late_ms = self._now_ms() + self._timeout_ms if intent.reduce_only else intent.deadline_ms
        verdict, reason, order_id = await self._send(turn, signed, late_ms, lambda: self._unfit(known))
        known.venue_order_id = order_id or known.venue_order_id
        match verdict:
            case SendVerdict.ACCEPTED:
                self._tell(OrderAccepted(intent.client_id, self._now_ms()))
            case SendVerdict.REJECTED:
                self._tell(OrderRejected(intent.client_id, reason, self._now_ms()))
            case SendVerdict.UNKNOWN:
                self._tell(OrderUnknown(intent.client_id, reason, self._now_ms()))

    def _unfit(self, known: _Known) -> str | None:
        """Why an order must not leave any more, asked right before it would."""
        if known.unwanted:
            return "taken back"
        late = self._now_ms() > known.intent.deadline_ms and not known.intent.reduce_only
        return "its time has passed" if late else None

    async def _cancel(self, client_id: str) -> None:
        """After the order's own send, which else it could overtake."""
        known = self._known[client_id]
        if known.sending is not None:
            await asyncio.wait({known.sending})
        market = self._markets[known.intent.market]
        try:
            async with self._lanes.turn(reduces_risk=True, timeout_s=LANE_WAIT_S) as turn:
                turn.spent = False
                if known.over:
                    return
                await self._learn_number(turn, urgent=True)
                signed = await self._sign(
                    lambda lane: self.venue.sign_cancel(client_id, known.venue_order_id, market, lane, self._now_ms()),
                    turn,
                )
                verdict, reason, _ = await self._send(turn, signed, self._now_ms() + self._timeout_ms, lambda: None)
                if verdict is not SendVerdict.ACCEPTED:
                    LOG.warning("%s: cancel of %s: %s: %s", self.venue.name, client_id, verdict.value, reason)
        except LaneLostError as error:
            LOG.warning("%s: cancel of %s not sent: %s", self.venue.name, client_id, error)

    async def _learn_number(self, turn: Turn, *, urgent: bool) -> None:
        """Ask for the lane's number when it is not known. Raises LaneLostError: nothing leaves on a guess."""
        asked = self.venue.next_number(turn.lane.key, self._now_ms()) if turn.number is None else None
        if asked is None:
            return
        request, read = asked
        request = msgspec.structs.replace(request, reduces_risk=urgent or request.reduces_risk)
        wait = await self._afford(request, self._now_ms() + self._timeout_ms)
        if wait is not None:
            raise LaneLostError(wait)
        reply = await self._doors.net.request(request, self._timeout_ms)
        if reply.status is None or not 200 <= reply.status < 300:
            self._heed(reply, None)
            raise LaneLostError(f"the venue did not tell its next number: {reply.status or reply.reason}")
        try:
            turn.learn(read(reply.body))
        except WireError as error:
            raise LaneLostError(str(error)) from error

    async def _sign(self, sign: Callable[[Lane], Signed], turn: Turn) -> Signed:
        return await asyncio.get_running_loop().run_in_executor(self._signer, sign, turn.lane)

    async def _send(
        self, turn: Turn, signed: Signed, late_ms: int, unfit: Callable[[], str | None]
    ) -> tuple[SendVerdict, str, str | None]:
        """The verdict, its reason and the venue's name of the order. What cannot leave by `late_ms` does not leave."""
        why = await self._afford(signed.request, late_ms) or unfit() or self._lost()
        if why is not None:
            turn.spent = False
            return SendVerdict.REJECTED, f"not sent: {why}", None
        turn.spent = None  # from here on, whatever happens, the number may be used
        reply = await self._doors.net.request(signed.request, self._timeout_ms)
        if reply.status is None and not reply.sent:
            turn.spent = False
            return SendVerdict.REJECTED, f"never left: {reply.reason}", None
        outcome = self.venue.read_reply(signed, reply.status, reply.body)
        turn.spent = outcome.lane_spent
        if turn.learned and outcome.lane_spent:
            self._outrun(signed)
        self._heed(reply, outcome.retry_after_s)
        return outcome.verdict, outcome.reason or reply.reason, outcome.venue_order_id

    def _outrun(self, signed: Signed) -> None:
        """After a doubt another transaction has used the number: one in doubt with the same number cannot arrive."""
        for known in self._known.values():
            if known.lane == signed.lane and known.intent.client_id != signed.client_id:
                self._void(known, self._now_ms())

    async def _afford(self, request: Request, late_ms: int) -> str | None:
        """Spend the request's weight of the venue's budget, waiting if need be; why not, if that is not in time."""
        clock = self._doors.clock
        while wait_ns := self._budget.requests.take(clock.mono_ns(), request.weight, urgent=request.reduces_risk):
            if self._now_ms() + wait_ns // NS_PER_MS > late_ms:
                return f"request budget: {wait_ns / 1e9:.1f} s to wait"
            await clock.sleep(wait_ns / 1e9)
        return None

    def _heed(self, reply: Reply, retry_after_s: float | None) -> None:
        """Stop asking for a while when the venue says that it was too much, in its status or in its own words."""
        if reply.status == TOO_MANY_REQUESTS or retry_after_s is not None:
            hold_s = retry_after_s if reply.retry_after_s is None else reply.retry_after_s
            self._budget.requests.empty(self._doors.clock.mono_ns(), hold_s)

    # -- reading back -------------------------------------------------------------------------------------------------

    async def _query(self, client_id: str) -> None:
        """All that proves an order's fate. Absence counts only in complete reads, asked when nothing can come."""
        known = self._known[client_id]
        asked_ns = self._doors.clock.mono_ns()
        complete = True
        for read in self.venue.order(client_id, self._markets[known.intent.market], self._now_ms()):
            complete &= not isinstance(await self.read(read, urgent=True), Unread)
        gone = known.proof_ns is not None and asked_ns > known.proof_ns
        if gone and complete and not known.seen and (known.sending is None or known.sending.done()):
            self._tell(OrderDone(client_id, "never arrived", 0, self._now_ms()))

    def _heard(self, event: AccountEvent) -> None:
        match event:
            case AccountSnapshot(rows=rows):
                for row in rows:
                    self._heard(row)
            case ExecutionSeen(client_id=str() as client_id) if self._shown(client_id):
                fill = Filled(
                    client_id, event.fill_id, event.price_ticks, event.size_lots, event.fee_micro_usd, self._now_ms()
                )
                self._tell(fill)
            case OrderSeen(client_id=str() as client_id) if self._shown(client_id):
                known, now_ms = self._known[client_id], self._now_ms()
                known.venue_order_id, known.over = event.venue_order_id, not event.resting
                done = OrderDone(client_id, event.reason, event.filled_lots, now_ms)
                self._tell(OrderAccepted(client_id, now_ms) if event.resting else done)
            case Incident(kind=kind) if kind == IN_DOUBT:
                self._lanes.doubt()

    def _shown(self, client_id: str) -> bool:
        """Whether the venue shows an order that this process knows. Others are found by reconcile."""
        known = self._known.get(client_id)
        if known is not None:
            known.seen = True
        return known is not None

    # -- small things -------------------------------------------------------------------------------------------------

    def _tell(self, event: OrderEvent) -> None:
        known = self._known[event.client_id]
        known.over = known.over or isinstance(event, OrderDone | OrderRejected)
        self._news.append(event)

    def _void(self, known: _Known, void_after_ms: int) -> None:
        """From then on, and LAG_MS later in its lists, the venue cannot have the order unless it has it already."""
        left_ms = max(0, void_after_ms - self._now_ms()) + LAG_MS
        proof_ns = self._doors.clock.mono_ns() + left_ms * NS_PER_MS
        known.proof_ns = proof_ns if known.proof_ns is None else min(known.proof_ns, proof_ns)

    def _ours(self, client_id: str) -> _Known:
        assert client_id in self._known, f"{client_id} was never ours"
        return self._known[client_id]

    def _remember(self, intent: Intent) -> None:
        if len(self._known) >= KNOWN_MAX:
            over = next((name for name, known in self._known.items() if known.over), None)
            assert over is not None, f"{KNOWN_MAX} orders are open"
            del self._known[over]
        self._known[intent.client_id] = _Known(intent)

    def _start(self, work: Callable[[T], Coroutine[None, None, None]], what: T) -> asyncio.Task[None]:
        assert not self._closed, "the gate is closed"
        task = asyncio.create_task(work(what))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            LOG.error("%s: our own code failed", self.venue.name, exc_info=error)
            self.failure = self.failure or error

    def _now_ms(self) -> int:
        return self._doors.clock.wall_ms()


def _reduces_risk(intent: Intent) -> bool:
    """A hedge adds to a position, and takes risk away."""
    return intent.reduce_only or intent.purpose is Purpose.HEDGE

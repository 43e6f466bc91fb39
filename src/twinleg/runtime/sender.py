"""Bytes out to one venue: the lane's number, the signature on its own thread, the budget, the send, the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from twinleg.core.orders import Intent, Purpose
from twinleg.core.trading import FOREIGN_KEY, Incident, Lane, SendVerdict, Signed, TradingVenue
from twinleg.core.venue import Request, WireError
from twinleg.runtime.budget import Budget
from twinleg.runtime.lanes import LaneLostError, Lanes, Turn
from twinleg.runtime.ports import Reply
from twinleg.runtime.reads import TOO_MANY_REQUESTS
from twinleg.runtime.streams import Doors

NS_PER_MS = 1_000_000
LANE_WAIT_S = 2.0


class Sent(NamedTuple):
    """What became of a submission. `exists`, `incident`: see SendOutcome."""

    verdict: SendVerdict
    reason: str
    venue_order_id: str | None = None
    exists: bool = False
    incident: str | None = None
    retry_after_s: float | None = None
    """When the venue, or its budget here, may have room again."""
    reply: Reply | None = None
    """What the venue said, as it said it. None: nothing left."""


class Sender:
    """What every transaction of a venue account has in common. `told`, once set, hears what answers tell of a key."""

    def __init__(
        self,
        venue: TradingVenue,
        lost: Callable[[], str | None],
        budget: Budget,
        doors: Doors,
        timeout_ms: int,
        signer: Executor | None,
    ) -> None:
        """`timeout_ms` per request. `lost` is asked before every send. Signatures have a thread of their own."""
        self.venue, self.doors, self.timeout_ms = venue, doors, timeout_ms
        self._lost, self._budget = lost, budget
        self._signer = signer or ThreadPoolExecutor(1, thread_name_prefix=f"sign-{venue.name}")
        self.told: Callable[[Incident], None] | None = None

    async def learn(self, turn: Turn, *, urgent: bool) -> None:
        """Ask for the lane's number when it is not known. Raises LaneLostError: nothing leaves on a guess."""
        asked = self.venue.next_number(turn.lane.key, self.now_ms) if turn.number is None else None
        if asked is None:
            return
        request, read = asked
        request = msgspec.structs.replace(request, reduces_risk=urgent or request.reduces_risk)
        wait_s = await self._afford(request, self.now_ms + self.timeout_ms)
        if wait_s is not None:
            raise LaneLostError(_budget(wait_s))
        reply = await self.doors.net.request(request, self.timeout_ms)
        if reply.status is None or not 200 <= reply.status < 300:
            self._heed(reply, None)
            raise LaneLostError(f"the venue did not tell its next number: {reply.status or reply.reason}")
        try:
            foreign = turn.learn(read(reply.body))
        except WireError as error:
            raise LaneLostError(str(error)) from error
        if foreign:
            self._tell(FOREIGN_KEY, f"key {turn.lane.key}: {foreign} numbers are gone that we did not use")

    def has_room(self, requests: int) -> bool:
        """Whether the budget has room for so many at once."""
        return self._budget.requests.room(self.doors.clock.mono_ns(), requests)

    async def warm(self) -> None:
        """Load what signing needs, on the signer's thread. Raises ValueError for keys that cannot sign."""
        await asyncio.get_running_loop().run_in_executor(self._signer, self.venue.prepare, self.now_ms)

    def sign(self, make: Callable[[Lane], Signed], lane: Lane) -> asyncio.Future[Signed]:
        """Sign on the signer's thread, from this very moment on."""
        return asyncio.get_running_loop().run_in_executor(self._signer, make, lane)

    async def send(self, turn: Turn, signed: Signed, late_ms: int, unfit: Callable[[], str | None]) -> Sent:
        """What cannot leave by `late_ms`, or is `unfit` by then, does not leave. Nothing is awaited before the net is
        unless the budget makes it wait."""
        wait_s = await self._afford(signed.request, late_ms)
        why = (unfit() or self._lost()) if wait_s is None else _budget(wait_s)
        if why is not None:
            turn.spent = False
            return Sent(SendVerdict.REJECTED, f"not sent: {why}", retry_after_s=wait_s)
        turn.leaves(signed.correlation)
        reply = await self.doors.net.request(signed.request, self.timeout_ms)
        if reply.status is None and not reply.sent:
            turn.spent = False
            return Sent(SendVerdict.REJECTED, f"never left: {reply.reason}")
        outcome = self.venue.read_reply(signed, reply.status, reply.body)
        turn.spent = outcome.lane_spent
        self._heed(reply, outcome.retry_after_s)
        if outcome.incident is not None:
            self._tell(outcome.incident, f"key {turn.lane.key}: {outcome.reason}")
        retry_after_s = outcome.retry_after_s if reply.retry_after_s is None else reply.retry_after_s
        told = outcome.reason or reply.reason
        order_id, exists, incident = outcome.venue_order_id, outcome.exists, outcome.incident
        return Sent(outcome.verdict, told, order_id, exists, incident, retry_after_s, reply)

    async def place(
        self,
        lanes: Lanes,
        sign: Callable[[Lane], Signed],
        unfit: Callable[[], str | None],
        *,
        urgent: bool,
        key: str | None = None,
    ) -> Sent:
        """Sign and send, once, on any lane or that of `key`. Who places it keeps an eye on what is unknown.

        Raises LaneLostError (nothing was signed) and ValueError (it cannot be signed).
        """
        async with lanes.turn(reduces_risk=urgent, timeout_s=LANE_WAIT_S, key=key) as turn:
            turn.spent = False
            await self.learn(turn, urgent=urgent)
            signed = await self.sign(sign, turn.lane)
            return await self.send(turn, signed, self.now_ms + self.timeout_ms, unfit)

    def close(self) -> None:
        self._signer.shutdown(wait=False)

    @property
    def now_ms(self) -> int:
        return self.doors.clock.wall_ms()

    def _tell(self, kind: str, detail: str) -> None:
        if self.told is not None:
            self.told(Incident(self.venue.name, kind, detail, self.now_ms))

    async def _afford(self, request: Request, late_ms: int) -> float | None:
        """Spend the request's weight of the venue's budget, waiting if need be; if that is not in time, the seconds."""
        clock = self.doors.clock
        while wait_ns := self._budget.requests.take(clock.mono_ns(), request.weight, urgent=request.reduces_risk):
            if self.now_ms + wait_ns // NS_PER_MS > late_ms:
                return wait_ns / 1e9
            await clock.sleep(wait_ns / 1e9)
        return None

    def _heed(self, reply: Reply, retry_after_s: float | None) -> None:
        """Stop asking for a while when the venue says that it was too much, in its status or in its own words."""
        if reply.status == TOO_MANY_REQUESTS or retry_after_s is not None:
            hold_s = retry_after_s if reply.retry_after_s is None else reply.retry_after_s
            self._budget.requests.empty(self.doors.clock.mono_ns(), hold_s)


def _budget(wait_s: float) -> str:
    return f"request budget: {wait_s:.1f} s to wait"


def reduces_risk(intent: Intent) -> bool:
    """A hedge adds to a position, and takes risk away."""
    return intent.reduce_only or intent.purpose is Purpose.HEDGE

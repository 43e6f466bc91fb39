"""Orders whose send got no clear answer: asking until it is known what became of each.

    unknown -> (shown by the stream?) -> its number is asked for
        still free  -> another transaction of ours takes it -> the venue shows that one with it -> it never arrived
        used        -> by itself or by another: its transaction and its listings are read until they tell
        no numbers  -> its listings are read until they tell, or the venue would refuse its bytes

An order of an earlier run left with any key's next number, or never: once every key's is used, it is known soon.

Nothing is ever sent again. Where two transactions of ours have one number, the venue takes one of them, and its own
word on which one needs no time for listings to catch up.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from twinleg.core.messages import Market
from twinleg.core.orders import TimeInForce
from twinleg.core.trading import Lane, SendVerdict
from twinleg.runtime.known import Known, void
from twinleg.runtime.lanes import LaneLostError, Lanes, Turn
from twinleg.runtime.sender import Sender

LOG = logging.getLogger("twinleg.gate")

LANE_WAIT_S = 2.0
STEPS_MAX = 400
"""Half an hour: longer than any venue takes the bytes. Then only who asks (reconcile, the operator) learns more."""
FIRST_WAIT_S, WAIT_S_MAX, PATIENT_WAIT_S = 0.25, 2.0, 5.0
HURRIED_STEPS = 30
"""For the first minute we ask as often as a repair needs to know; then less, to leave the budget to others."""


class Doubts:
    """Settles one venue account's orders in doubt, each by a task of its own."""

    def __init__(
        self,
        sender: Sender,
        lanes: Lanes,
        markets: Mapping[str, Market],
        read: Callable[[str], Awaitable[None]],
        query: Callable[[Known], Awaitable[bool]],
    ) -> None:
        """`read` reads a transaction by its correlation, `query` an order with its own: whether all of it."""
        self._sender, self._lanes, self._markets = sender, lanes, markets
        self._read, self._query = read, query
        self._open: list[Known] = []
        self._first: dict[str, int] = {}
        """By key, the venue's first word to us on its next number: nothing of an earlier run left with a higher one."""

    def arrived(self, correlation: str) -> None:
        """The venue has this transaction: what was sent under its name is not lost, though perhaps not done yet."""
        for order in self._open:
            order.arrived |= order.correlation == correlation

    def outrun(self, lane: Lane) -> list[Known]:
        """The orders that never arrive, since another transaction has their number."""
        alive = [order for order in self._open if order.over or order.seen or order.arrived or order.exists]
        return [order for order in self._open if order.lane == lane and order not in alive]

    async def settle(self, order: Known) -> None:
        """Until the order is over, or rests where we see it, at most STEPS_MAX steps. A step that fails is repeated."""
        self._open.append(order)
        try:
            await self._settle(order)
        finally:
            self._open.remove(order)

    async def inherit(self, orders: Sequence[Known]) -> None:
        """Let the bytes that an earlier run may have sent of these become void; that one never came is then known as
        soon as lists have caught up. Without numbers, its bytes expire. At most STEPS_MAX steps."""
        keys = list(self._sender.venue.lanes()) if self._sender.venue.trading.sequenced else []
        for _ in range(STEPS_MAX if keys else 0):
            await self._sender.doors.clock.sleep(WAIT_S_MAX)  # the venue's own word may lag a little, too
            orders = [order for order in orders if not (order.over or order.seen)]
            if not orders:
                return
            try:
                for key in tuple(keys):
                    if await self._moved_on(key, orders[0]):
                        keys.remove(key)
            except (LaneLostError, ValueError) as error:
                LOG.info("%s: numbers of an earlier run: %s", self._sender.venue.name, error)
            if not keys:
                for order in orders:
                    void(order, 0, self._sender.doors.clock)
                return

    async def _moved_on(self, key: str, order: Known) -> bool:
        """Whether the number that a key began with is used, by the venue's own word: if not yet, use it.

        Raises LaneLostError, ValueError.
        """
        async with self._lanes.turn(reduces_risk=True, timeout_s=LANE_WAIT_S, key=key) as turn:
            turn.number, turn.spent = None, False
            await self._sender.learn(turn, urgent=True)
            if turn.number is None:
                return False
            if turn.number > self._first.setdefault(key, turn.number):
                return True
            await self._take_its_place(turn, order)
            return False

    async def _settle(self, order: Known) -> None:
        told = True
        for step in range(STEPS_MAX):
            hurried_s = min(WAIT_S_MAX, FIRST_WAIT_S * 2**step) if step < HURRIED_STEPS else PATIENT_WAIT_S
            await self._sender.doors.clock.sleep(hurried_s)
            rests = order.seen and order.intent.time_in_force is TimeInForce.POST_ONLY
            if told and (order.over or rests):
                return
            try:
                if order.seen or await self._number_used(order):
                    told = await self._ask(order)
            except LaneLostError as error:
                LOG.info("%s: %s is still in doubt: %s", self._sender.venue.name, order.intent.client_id, error)
        LOG.error("%s: %s is in doubt for good", self._sender.venue.name, order.intent.client_id)

    async def _number_used(self, order: Known) -> bool:
        """Whether the order's number is used, by it or by another: if not yet, use it. True where there is none.

        Raises LaneLostError.
        """
        lane = order.lane
        if lane is None or lane.number is None or order.arrived or order.exists or self._lanes.taker(lane) is not None:
            return True
        async with self._lanes.turn(reduces_risk=True, timeout_s=LANE_WAIT_S, key=lane.key) as turn:
            turn.spent = False
            await self._sender.learn(turn, urgent=True)
            if turn.number is None or turn.number < lane.number:
                turn.spent = None  # an old answer
                return False
            if turn.number == lane.number:
                return await self._take_its_place(turn, order)
        void(order, 0, self._sender.doors.clock)
        return True

    async def _take_its_place(self, turn: Turn, order: Known) -> bool:
        """Use the order's number for something that changes nothing, or takes the order back; False if it is free."""
        venue, market = self._sender.venue, self._markets[order.intent.market]
        late_ms = self._sender.now_ms + self._sender.timeout_ms
        signed = await self._sender.sign(
            lambda lane: venue.sign_nothing(order.intent.client_id, market, lane, self._sender.now_ms), turn.lane
        )
        sent = await self._sender.send(turn, signed, late_ms, lambda: None)
        if sent.verdict is not SendVerdict.ACCEPTED:
            LOG.warning("%s: in the place of %s: %s", venue.name, order.intent.client_id, sent.reason)
        return turn.spent is not False

    async def _ask(self, order: Known) -> bool:
        """Read what else was sent with its number, the last first, and then the order itself, with its fills. False
        when not all of it was told."""
        names = () if order.lane is None else self._lanes.sent_with(order.lane)
        for correlation in reversed([name for name in names[-3:] if name != order.correlation]):
            await self._read(correlation)
            if order.over:
                return True
        return await self._query(order)

"""Callers' orders on their way out: guard, lane, signature, answer, event; and afterwards what became of an open fate.

One path for every venue and every kind of request. Whoever asked and went away hears of it all the same: by the event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from fractions import Fraction
from itertools import count
from typing import Any, cast

import msgspec

from twinleg.core.assets import asset_of
from twinleg.core.messages import Market
from twinleg.core.orders import Side
from twinleg.core.trading import Lane, OrderSeen, SendVerdict, Signed
from twinleg.gateway.outcomes import problem_of
from twinleg.gateway.problems import Problem
from twinleg.gateway.site import Post, Site
from twinleg.gateway.views import order_shown
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.known import LAG_MS
from twinleg.runtime.lanes import LaneLostError
from twinleg.runtime.sender import Sent
from twinleg.runtime.settings import effective_limits
from twinleg.runtime.traders import Make

LOG = logging.getLogger("twinleg.gateway")

UNDER_WAY_MAX = 500
"""Orders and cancels that wait for lanes, budget and answers at once; more are sent away."""
DOUBTS_MAX = 100
"""Orders of open fate that are asked after at once; of more only the caller asks."""
FIRST_WAIT_S, WAIT_S_MAX, STEPS_MAX = 1.0, 15.0, 400
"""An hour and a half: then only who asks learns more."""
PLACED_KEPT = 1_000

Answered = dict[str, Any]


class NumberError(ValueError):
    """The nonce that a caller gave is not its lane's next."""


class InDoubtError(Problem):
    """An order that the venue may have or not: it is asked after until that is known."""

    def __init__(self, problem: Problem, wanted: Wanted, signed: Signed) -> None:
        assert wanted.placed is not None, "it places an order"
        assert wanted.market is not None, "in a market"
        super().__init__(problem.status_code, problem.code, problem.detail, problem.more)
        self.headers = problem.headers
        self.post, self.market, self.names = wanted.post, wanted.market, wanted.names
        self.name = wanted.placed.name or ""
        self.void_after_ms = signed.void_after_ms


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One request on its way out."""

    post: Post
    market: Market | None
    make: Make
    names: dict[str, object]
    """What it can be looked up by."""
    urgent: bool
    """It takes risk away: it may use the lanes and the budget that are kept for that."""
    placed: OrderSeen | None = None
    """The order that it places, as it will be if nothing comes between. None: it places none."""
    key: str | None = None
    nonce: int | None = None


class Placing:
    """See the head of this file."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._numbers = count(1)
        self._doubts = self._under_way = 0
        self._placed: dict[tuple[str, str], OrderSeen] = {}

    @property
    def now_ms(self) -> int:
        return self._site.doors.clock.wall_ms()

    def name(self, post: Post) -> str:
        """For an order that came without one. No two are the same: the prefix is this process's."""
        return f"{post.name_prefix}-{next(self._numbers)}"

    def post(self, venue: str) -> Post:
        """Where orders go. Raises Problem where none do."""
        found = self._site.posts.get(venue)
        if found is None:
            raise Problem(409, "venue_disabled", f"{venue} is not enabled: its keys are not among the settings")
        if not self._site.live:
            raise Problem(409, "dry_run", "TRADING_MODE is dry_run: nothing is sent")
        return found

    async def submit(self, venue: str, request: Mapping[str, object], work: Coroutine[Any, Any, Answered]) -> Answered:
        """Do it, and tell everybody who follows, however it ends. Raises Problem.

        A caller who goes away stops nothing: the task is the site's.
        """
        if self._under_way >= UNDER_WAY_MAX:
            work.close()
            raise Problem(429, "busy", f"{UNDER_WAY_MAX} requests are under way; nothing was sent", wait_s=1.0)
        outcome = await asyncio.shield(self._site.start(self._told(venue, request, work)))
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    async def _told(
        self, venue: str, request: Mapping[str, object], work: Coroutine[Any, Any, Answered]
    ) -> Answered | Problem:
        self._under_way += 1
        try:
            body = await work
        except Problem as problem:
            sequence = self._site.events.publish(venue, request, problem.body)
            if isinstance(problem, InDoubtError):
                self._doubt(problem, request, sequence)
            return problem
        finally:
            self._under_way -= 1
        self._site.events.publish(venue, request, body)
        return body

    async def guard(self, post: Post, market: Market, side: Side, size: Fraction, worst: Fraction) -> None:
        """Hold an order that adds to the cap per order; `worst` is the highest price that it names. Raises Problem.

        A sell may fill at more than its limit, so that the book's best price counts too.
        """
        value = size * worst
        if side is Side.SELL:
            best = await post.touches.best(market.key, side)
            if best is None:
                detail = f"the price of {market.key} is not known, and what the order is worth is not either"
                raise Problem(503, "no_price", detail, wait_s=5.0)
            value = max(value, size * best * market.price_grid.unit)
        limit = effective_limits(self._site.settings, asset_of(market.base).name).max_order_size_usd
        if value > Fraction(limit):
            detail = f"an order of {float(value):.2f} USD is above the cap per order (MAX_ORDER_SIZE_USD in effect)"
            raise Problem(403, "order_size", detail, {"limit": limit, "use": round(float(value), 6)})

    async def place(self, wanted: Wanted) -> tuple[Sent, Signed]:
        """Send it once. What the venue has accepted, and as what. Raises Problem."""
        signed: list[Signed] = []
        sent = await self._send(wanted, signed)
        venue = wanted.post.venue.name
        names = {**wanted.names, "tx_hash": signed[0].correlation} if venue == "lighter" else wanted.names
        problem = problem_of(venue, sent, names)
        if problem is None:
            self._remember(wanted.placed)
            return sent, signed[0]
        if sent.verdict is SendVerdict.UNKNOWN and not sent.exists and wanted.placed is not None:
            raise InDoubtError(problem, wanted, signed[0])
        raise problem

    def placed(self, venue: str, name: str) -> OrderSeen | None:
        """An order as it was placed here, while PLACED_KEPT later ones are not: lists lag by seconds."""
        return self._placed.get((venue, name))

    def _remember(self, placed: OrderSeen | None) -> None:
        if placed is None:
            return
        self._placed[placed.venue, placed.name or ""] = placed
        if len(self._placed) > PLACED_KEPT:
            del self._placed[next(iter(self._placed))]

    async def _send(self, wanted: Wanted, signed: list[Signed]) -> Sent:
        """Raises Problem: nothing left."""
        gate, clock = wanted.post.gate, self._site.doors.clock

        def sign(lane: Lane) -> Signed:
            if wanted.nonce is not None and lane.number != wanted.nonce:
                raise NumberError(f"the next nonce of slot {lane.key} is {lane.number}, not {wanted.nonce}")
            signed.append(wanted.make(lane, clock.wall_ms()))
            return signed[-1]

        try:
            return await gate.place(sign, lambda: None, urgent=wanted.urgent, key=wanted.key)
        except NumberError as error:
            raise Problem(409, "nonce", str(error), wanted.names) from None
        except LaneLostError as error:
            raise Problem(503, "not_sent", f"{error}; nothing was placed", wanted.names, 1.0) from None
        except ValueError as error:
            raise Problem(422, "invalid", str(error), wanted.names) from None

    # -- open fates ---------------------------------------------------------------------------------------------------

    def _doubt(self, doubt: InDoubtError, request: Mapping[str, object], sequence: int) -> None:
        if self._doubts >= DOUBTS_MAX:
            LOG.error("%s: nobody asks after %s: too many are in doubt", doubt.post.venue.name, doubt.name)
            return
        self._doubts += 1
        self._site.start(self._resolve(doubt, request, sequence))

    async def _resolve(self, doubt: InDoubtError, request: Mapping[str, object], sequence: int) -> None:
        """Read back until it is known, and tell so by an event that names the first one."""
        try:
            found = await self._found_out(doubt)
        finally:
            self._doubts -= 1
        self._site.events.publish(doubt.post.venue.name, request, {**doubt.names, **found}, resolves=sequence)

    async def _found_out(self, doubt: InDoubtError) -> Answered:
        clock, wait_s = self._site.doors.clock, FIRST_WAIT_S
        proof_ns = clock.mono_ns() + (max(0, doubt.void_after_ms - clock.wall_ms()) + LAG_MS) * 1_000_000
        for _ in range(STEPS_MAX):
            await clock.sleep(wait_s)
            wait_s, asked_ns = min(WAIT_S_MAX, 2 * wait_s), clock.mono_ns()
            seen = await look_up(doubt.post, doubt.market, doubt.name, clock.wall_ms(), urgent=True)
            if isinstance(seen, OrderSeen):
                return {"outcome": "found", "order": order_shown(seen, doubt.market)}
            if asked_ns > proof_ns and seen is None:
                return {"outcome": "never_arrived"}
        return {"outcome": "unknown"}


async def look_up(
    post: Post, market: Market, name: str, now_ms: int, *, urgent: bool = False
) -> OrderSeen | Unread | None:
    """An order by its name at the venue, open or over. None: the venue's lists do not show it. Raises ValueError."""
    for resting in post.held.rows("orders") or ():
        if name in (resting.name, resting.client_id) and resting.market == market.key:
            return cast("OrderSeen", resting)
    found: OrderSeen | None = None
    unread: Unread | None = None
    for read in post.venue.order(name, market, now_ms):
        request = msgspec.structs.replace(read.request, reduces_risk=urgent)
        told = await post.gate.read(msgspec.structs.replace(read, request=request), urgent=urgent)
        if isinstance(told, Unread):
            unread = told
            continue
        rows = [one for one in told if isinstance(one, OrderSeen) and name in (one.name, one.client_id)]
        found = rows[-1] if rows else found
    return found or unread

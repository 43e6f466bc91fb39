"""What the gateway stands on: every venue with keys, connected and its credentials proven before anybody may ask.

settings -> nothing enabled, addresses -> one gateway per data folder -> leases
         -> markets listed -> keys are the account's -> signing works -> account streams are live
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from twinleg.core.messages import FeedHealth, Market, MarketEvent, MarketsListed, StreamState
from twinleg.core.trading import AccountEvent, Incident, TradingVenue
from twinleg.core.venue import Feed, Venue
from twinleg.gateway.events import Events
from twinleg.gateway.held import Held
from twinleg.gateway.recent import Recent
from twinleg.gateway.touches import Touches
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.gate import Account, VenueGate
from twinleg.runtime.lanes import Lanes
from twinleg.runtime.lease import HeldError, Lease, LeaseError, lock_file
from twinleg.runtime.listed import Listed
from twinleg.runtime.loopback import LOOPBACK, on_this_machine
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.reads import Answered, Refused, perform
from twinleg.runtime.settings import Endpoints, Settings
from twinleg.runtime.streams import Doors, Sink, StreamRunner
from twinleg.runtime.traders import (
    KeysError,
    NoAnswerError,
    VenueAccount,
    accounts_of,
    identity_reads,
    traders_of,
    with_vault,
)
from twinleg.runtime.wiring import lease_of, venues_of

LOG = logging.getLogger("twinleg.gateway")
Result = TypeVar("Result")

LOCK_NAME = "gateway.lock"
LIST_EVERY_S = 300.0
LIVE_S_MAX = 20.0
POLL_S = 0.05
TEXT_CHARS_MAX = 200
SENDS_NOTHING = "a dry run sends nothing"
ONE_WORKER = "one process serves all callers, since an account's keys count what they sign: start without more workers"
TO_FIX = {
    "lighter": "LIGHTER_PRIVATE_KEY, LIGHTER_ACCOUNT_INDEX and LIGHTER_API_KEY_INDEX",
    "extended": "EXTENDED_API_KEY, EXTENDED_PRIVATE_KEY and EXTENDED_VAULT",
}
NOTHING = (
    "No venue is enabled. Set LIGHTER_PRIVATE_KEY, LIGHTER_ACCOUNT_INDEX and LIGHTER_API_KEY_INDEX, or "
    "EXTENDED_API_KEY and EXTENDED_PRIVATE_KEY, or both, in the environment or in .env"
)


class StartError(RuntimeError):
    """The gateway cannot serve: which venue, what failed, what to do. Repeats no secret."""


class Post:
    """One account at one venue."""

    def __init__(self, gate: VenueGate, markets: Mapping[str, Market], touches: Touches, recent: Recent) -> None:
        self.gate, self.markets, self.touches, self.recent = gate, markets, touches, recent
        self.held = Held()
        self.name_prefix = "G0"
        """Of the names that we make up for orders without one: no other process has it."""
        self.down: str | None = "not connected yet"
        """Why its account stream tells nothing."""

    @property
    def venue(self) -> TradingVenue:
        return self.gate.venue

    @property
    def listed(self) -> list[Market]:
        """The venue's markets."""
        return [market for market in self.markets.values() if market.venue == self.venue.name]

    def market(self, symbol: str) -> Market | None:
        """By the venue's own name of it, None when it lists no such market."""
        return self.markets.get(f"{self.venue.name}:{symbol}")


class Site:
    """All of it, while the gateway serves."""

    def __init__(self, settings: Settings, doors: Doors, *, live: bool) -> None:
        self.settings, self.doors, self.live = settings, doors, live
        self.events = Events(doors.clock)
        self.posts: dict[str, Post] = {}
        self.failure: str | None = None
        """What our own code raised in the background."""
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def reasons(self) -> list[str]:
        """Why it is degraded; empty = it is not."""
        found = [f"{venue}: account stream: {post.down}" for venue, post in self.posts.items() if post.down is not None]
        return found if self.failure is None else [*found, self.failure]

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Something that goes on in the background, until it ends or the gateway does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """End what goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for post in self.posts.values():
            await post.touches.close()
            await post.recent.close()
            await post.gate.close()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("our own code failed", exc_info=error)
            self.failure = "the gateway itself failed; its log says where"


def serves_orders(settings: Settings) -> bool:
    """Started alone, an order that is posted is sent, unless TRADING_MODE says dry_run."""
    return settings.live or not settings.given("trading_mode")


@asynccontextmanager
async def site(settings: Settings, arguments: Sequence[str] | None = None) -> AsyncIterator[Site]:
    """Everything connected and proven, for as long as the block runs. Raises StartError.

    `arguments` are the process's own, by default: more than one worker is refused.
    """
    live = serves_orders(settings)
    _refuse(settings, sys.argv if arguments is None else arguments, live=live)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stack.callback(os.close, _alone(settings))
        doors = Doors(await stack.enter_async_context(PicowsNet(clock)), clock, SystemDice())
        found = Site(settings, doors, live=live)
        leases = stack.enter_context(ExitStack())  # given back when nothing is under way any more
        stack.push_async_callback(found.close)
        await _connect(found, leases)
        yield found


def _refuse(settings: Settings, arguments: Sequence[str], *, live: bool) -> None:
    """What no venue needs to be asked for. Raises StartError."""
    if _workers(arguments) > 1:
        raise StartError(f"More than one worker: {ONE_WORKER}")
    try:
        accounts = accounts_of(settings)
    except KeysError as error:
        raise StartError(f"The keys cannot be used: {error}") from None
    if not accounts:
        raise StartError(f"{NOTHING} (Drift is not in this version)")
    if not live:
        return
    for venue in (one.venue for one in accounts):
        where = _addresses(settings, venue)
        for address in (where.rest, where.stream):
            if not on_this_machine(address):
                raise StartError(
                    f"{venue} is at {address}: orders on real venues are not enabled in this version, only on this "
                    f"machine ({LOOPBACK}). Set TRADING_MODE=dry_run to read there without sending orders"
                )


def _workers(arguments: Sequence[str]) -> int:
    """As uvicorn's command line says."""
    for place, word in enumerate(arguments):
        name, _, value = word.partition("=")
        if name == "--workers":
            text = value or "".join(arguments[place + 1 : place + 2])
            return int(text) if text.isdecimal() else 1
    return 1


def _addresses(settings: Settings, venue: str) -> Endpoints:
    return settings.lighter_endpoints() if venue == "lighter" else settings.extended_endpoints()


def _alone(settings: Settings) -> int:
    """The lock of the only gateway on this data folder. Raises StartError."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return lock_file(settings.data_dir / LOCK_NAME)
    except HeldError as error:
        raise StartError(f"Process {error.owner} serves the gateway already ({error}); {ONE_WORKER}") from None
    except OSError as error:
        raise StartError(f"{settings.data_dir} cannot be used: {error.strerror}. Set TWINLEG_DATA_DIR") from None


async def _connect(found: Site, leases: ExitStack) -> None:
    """Every venue with keys; what fails is told of all of them together. Raises StartError."""
    settings, doors = found.settings, found.doors
    facts: dict[str, Market] = {}
    try:
        settings = await with_vault(settings, doors, int(settings.api_request_timeout * 1_000))
    except (KeysError, NoAnswerError) as error:
        raise StartError(f"extended: {error}. Check EXTENDED_BASE_URL and {TO_FIX['extended']}") from None
    public = {venue.name: venue for venue in venues_of(settings)}
    wrong = []
    for trader, account in zip(traders_of(settings, facts), accounts_of(settings), strict=True):
        try:
            await _open(found, leases, (public[trader.name], trader, account), facts)
        except StartError as error:
            wrong.append(str(error))
    if not wrong:
        wrong = await _live(found)
    if wrong:
        raise StartError("\n".join(wrong))


async def _open(
    found: Site, leases: ExitStack, names: tuple[Venue, TradingVenue, VenueAccount], facts: dict[str, Market]
) -> None:
    """One venue, from its lease to its streams. Raises StartError."""
    public, trader, account = names
    settings, doors = found.settings, found.doors
    timeout_ms, budget = int(settings.api_request_timeout * 1_000), Budget(public.name, public.limits)
    lost, lease = _leased(found, leases, account)
    await _list(found, public, budget, facts)
    lanes = Lanes(
        trader.lanes(), sequenced=trader.trading.sequenced, trusting=settings.lighter_nonce_manager == "optimistic"
    )
    gate = VenueGate(Account(trader, Listed(facts), lanes, lost), budget, doors, timeout_ms)

    def runner_for(feed: Feed, sink: Sink) -> StreamRunner:
        return StreamRunner(feed, sink, budget, doors, reconnect_s=settings.ws_reconnect_delay)

    post = Post(gate, facts, Touches(public, facts, doors.clock, runner_for), Recent(gate, doors.clock))
    post.name_prefix = f"G{0 if lease is None else lease.token}"
    found.posts[trader.name] = post
    await _prove(post, doors.clock.wall_ms())
    for feed in trader.account_feeds(post.listed):
        found.start(runner_for(feed, partial(_heard, post)).run())
    found.start(_list_again(found, public, budget, facts))


def _leased(found: Site, leases: ExitStack, account: VenueAccount) -> tuple[Callable[[], str | None], Lease | None]:
    if not found.live:
        return lambda: SENDS_NOTHING, None
    try:
        lease = lease_of(account)
    except LeaseError as error:
        raise StartError(f"{account.venue}: {error}") from None
    leases.callback(lease.release)
    return lease.lost, lease


async def _list(found: Site, public: Venue, budget: Budget, facts: dict[str, Market]) -> None:
    """Raises StartError."""
    timeout_ms = int(found.settings.api_request_timeout * 1_000)
    outcome = await perform(public.list_markets(), found.doors.net, found.doors.clock, budget, timeout_ms)
    if isinstance(outcome, Answered):
        listed = next(event for event in outcome.events if isinstance(event, MarketsListed))
        facts |= {market.key: market for market in listed.markets}
        return
    said = f"HTTP {outcome.status}: {outcome.text}" if isinstance(outcome, Refused) else outcome.reason
    where = _addresses(found.settings, public.name).rest
    raise StartError(
        f"{public.name}: its markets cannot be read from {where}: {said[:TEXT_CHARS_MAX]}. "
        f"Check {public.name.upper()}_BASE_URL and the network"
    )


async def _list_again(found: Site, public: Venue, budget: Budget, facts: dict[str, Market]) -> None:
    while True:
        await found.doors.clock.sleep(LIST_EVERY_S)
        try:
            await _list(found, public, budget, facts)
        except StartError as error:
            LOG.warning("%s", error)


async def _prove(post: Post, now_ms: int) -> None:
    """The keys are registered, are the account's, and sign. Raises StartError."""
    name = post.venue.name
    for read in identity_reads(post.venue, now_ms):
        told = await post.gate.read(read, urgent=True)
        if isinstance(told, Unread):
            raise StartError(f"{name}: its keys cannot be checked: {told.reason}. Check {TO_FIX[name]}")
        wrong = "; ".join(one.detail for one in told if isinstance(one, Incident))
        if wrong:
            raise StartError(f"{name}: the keys are not the account's: {wrong}. Check {TO_FIX[name]}")
    try:
        await post.gate.warm()
    except ValueError as error:
        raise StartError(f"{name}: its keys cannot sign: {error}. Check {TO_FIX[name]}") from None


def _heard(post: Post, events: Sequence[MarketEvent | AccountEvent]) -> None:
    """The sink of a private stream."""
    told: list[Any] = []
    for event in events:
        if not isinstance(event, FeedHealth):
            told.append(event)
        elif event.state is not StreamState.DEGRADED:
            live = event.state is StreamState.LIVE
            post.down = None if live else f"{event.state.value} {event.reason}".rstrip()
            if not live:
                post.held.lost()
    if told:
        post.held.heard(told)
        post.gate.account(told)


async def _live(found: Site) -> list[str]:
    """Wait for the account streams; what is wrong with those that do not come."""
    clock = found.doors.clock
    end_ns = clock.mono_ns() + int(LIVE_S_MAX * 1e9)
    while clock.mono_ns() < end_ns and any(post.down is not None for post in found.posts.values()):
        await clock.sleep(POLL_S)
    return [
        f"{name}: its account stream at {_addresses(found.settings, name).stream} does not open: {post.down}. "
        f"Check its stream address, and that WebSockets pass your proxy or firewall"
        for name, post in found.posts.items()
        if post.down is not None
    ]

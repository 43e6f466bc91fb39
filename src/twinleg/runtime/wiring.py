"""The composition root: the only room that knows the venues by name. Importing it starts nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from twinleg.core.board import Board
from twinleg.core.glance import Glance
from twinleg.core.pairs import Limits
from twinleg.core.trading import TradingVenue
from twinleg.core.venue import Feed, Venue
from twinleg.runtime import consent
from twinleg.runtime.accounts import Accounts, Fence, Upkeep
from twinleg.runtime.books import Books, read_ledger
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.desk import Desk
from twinleg.runtime.engine import Conduct, Engine
from twinleg.runtime.gate import Account, VenueGate
from twinleg.runtime.gates import Gate, Gates
from twinleg.runtime.journal import SqliteJournal
from twinleg.runtime.lanes import Lanes
from twinleg.runtime.lease import Lease
from twinleg.runtime.lines import VenueLines
from twinleg.runtime.listed import Listed
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.paper import PaperVenue
from twinleg.runtime.picture import glance
from twinleg.runtime.ports import Journal
from twinleg.runtime.purse import Purse
from twinleg.runtime.reader import VenueReader
from twinleg.runtime.reconcile import Terms
from twinleg.runtime.record import Recorder
from twinleg.runtime.settings import Settings, effective_limits
from twinleg.runtime.streams import Doors, Sink, StreamRunner
from twinleg.runtime.traders import VenueAccount, accounts_of, leverage_read, traders_of, with_vault
from twinleg.venues.extended.venue import ExtendedVenue
from twinleg.venues.lighter.venue import LighterVenue

LOG = logging.getLogger("twinleg.wiring")

RECORDINGS = "recordings"
READY_POLL_S = 0.05
STOP_GRACE_S = 10.0
RECONCILE_EVERY_MS = 10_000
"""Three listings a venue each time: a third of the smallest budget (Lighter's standard tier, 60 a minute)."""
RECONCILE_STALE_MS = 60_000
COLLECT_EVERY = 50_000
"""Objects made and not yet freed before the collector looks (measured: the default costs a fifth of a tick)."""


def venues_of(settings: Settings) -> list[Venue]:
    """Every venue that this version can watch, at the configured addresses."""
    lighter, extended = settings.lighter_endpoints(), settings.extended_endpoints()
    return [LighterVenue(lighter.rest, lighter.stream), ExtendedVenue(extended.rest, extended.stream)]


def limits_of(settings: Settings) -> Callable[[str], Limits]:
    """The limits that hold for an asset: the settings, conservative mode and the asset's own."""

    @lru_cache(maxsize=4096)
    def of(asset: str) -> Limits:
        scaled = effective_limits(settings, asset)
        return Limits(
            book_age_ms_max=settings.book_age_ms_max,
            book_skew_ms_max=settings.book_skew_ms_max,
            clock_offset_ms_max=settings.clock_offset_ms_max,
            book_ready_cooldown_ms=int(settings.orderbook_ready_cooldown_seconds * 1_000),
            horizon_hours=settings.horizon_hours,
            min_viable_spread_bps=scaled.min_viable_spread_bps,
            min_execution_spread_bps=scaled.min_execution_spread_bps,
            max_slippage_bps=scaled.max_slippage_bps,
            max_impact_score=settings.max_impact_score,
            min_depth_score=settings.min_depth_score,
            liquidity_buffer=settings.liquidity_buffer,
            max_balance_to_liquidity=settings.max_balance_to_liquidity,
            balance_share_per_trade=settings.balance_share_per_trade,
            leverage=scaled.leverage,
            min_order_size_usd=settings.min_order_size_usd,
            max_order_size_usd=scaled.max_order_size_usd,
            max_position_size_usd=scaled.max_position_size_usd,
            max_total_exposure_usd=scaled.max_total_exposure_usd,
            aggressive_execution_spread_bps=scaled.aggressive_execution_spread_bps,
            unhedged_notional_max_usd=settings.unhedged_notional_max_usd,
            venue_share_max=settings.venue_share_max,
            max_concurrent_trades=settings.max_concurrent_arbitrage_groups,
            min_account_balance_usd=settings.min_account_balance_usd,
            min_required_available_usd=settings.min_required_available_usd,
        )

    return of


def calm_collector() -> None:
    """Let the garbage collector leave alone what lives for ever, and come seldom: it would pause ticks to find nothing.

    What a tick makes is freed by its reference counts; only rings need the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 20)


class LiveRefusedError(RuntimeError):
    """TRADING_MODE=live may not start: the message says every reason, and what to do."""


class Rooms(NamedTuple):
    """What a system is made of. `accounts` is None on paper."""

    venues: list[Venue]
    engine: Engine
    journal: Journal
    doors: Doors
    budgets: dict[str, Budget]
    accounts: Accounts | None


class System:
    """One engine with its venues, journal and connections."""

    def __init__(self, settings: Settings, rooms: Rooms) -> None:
        venues, engine, self._journal, self._doors, budgets, self.accounts = rooms
        self.settings, self.engine = settings, engine
        self._started_ms = self._doors.clock.wall_ms()
        self._stopped: str | None = None
        self._timeout_ms = int(settings.api_request_timeout * 1_000)
        doors, sink = self._doors, engine.on_market
        self.readers = {
            venue.name: VenueReader(venue, engine.board, sink, budgets[venue.name], doors) for venue in venues
        }
        self._recorder = Recorder(settings.data_dir / RECORDINGS) if settings.record else None

        def runner_for(venue: str, feed: Feed) -> StreamRunner:
            tap = None if self._recorder is None else self._recorder.tap(venue, feed.name)
            wait_s = settings.ws_reconnect_delay
            return StreamRunner(feed, sink, budgets[venue], doors, reconnect_s=wait_s, tap=tap)

        self.lines = {
            venue.name: VenueLines(venue, engine.board, doors.clock, partial(runner_for, venue.name))
            for venue in venues
        }
        engine.resync = self._resync

    def _resync(self, market: str) -> None:
        self.lines[market.partition(":")[0]].resync(market)

    async def run(self) -> None:
        """Watch and trade until `stop`. Raises what our own code raises, after everything is put away."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.engine.beat()), group.create_task(self.engine.desk.run())]
                tasks += [group.create_task(reader.run(self._timeout_ms)) for reader in self.readers.values()]
                tasks += [group.create_task(lines.run()) for lines in self.lines.values()]
                if self.accounts is not None:
                    tasks.append(group.create_task(self.accounts.run()))
                while self._stopped is None:
                    await self._doors.clock.sleep(READY_POLL_S)
                await self.engine.stop(self._stopped, STOP_GRACE_S)
                for task in tasks:
                    task.cancel()
        finally:
            await self.close()

    def stop(self, reason: str = "asked to stop") -> None:
        """Let `run` end: no entries any more, what moves is finished first."""
        self._stopped = self._stopped or reason

    async def close(self) -> None:
        """Put the recorder, the accounts, the journal and the sockets away, in this order, whatever fails."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._doors.net.close)
            stack.push_async_callback(self._journal.close)
            if self.accounts is not None:
                stack.push_async_callback(self.accounts.close)
            if self._recorder is not None:
                stack.callback(self._recorder.close)

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Wait for listings, first books and rates, and for one full round over them.

        Venue -> trouble for those whose listings or books are not there in time.
        """
        clock, board = self._doors.clock, self.engine.board
        end_ms, seen = clock.wall_ms() + int(timeout_s * 1_000), None
        while clock.wall_ms() < end_ms:
            if self._missing() or not self._rated():
                seen = None
            elif seen is None:
                seen = board.rounds
            elif board.rounds >= seen + 2:  # the round that was under way, and a whole one
                return {}
            await clock.sleep(READY_POLL_S)
        return self._missing()

    def _rated(self) -> bool:
        """Whether at least half of the markets in pairs have a funding rate: without one a pair cannot be ranked."""
        views = [self.engine.board.markets[market.key].funding for market in self.engine.board.paired_markets]
        return 2 * sum(view.rate_per_hour is not None for view in views) >= len(views) > 0

    def _missing(self) -> dict[str, str]:
        found = {}
        for venue, reader in self.readers.items():
            line = next(line for line in self.glance().venues if line.venue == venue)
            if reader.trouble is not None:
                found[venue] = reader.trouble
            elif line.markets and line.books_ready < max(1, line.markets // 2):
                found[venue] = f"{line.books_ready} of {line.markets} books have arrived"
        return found

    def glance(self) -> Glance:
        """The whole picture now."""
        troubles = {venue: reader.trouble for venue, reader in self.readers.items()}
        return glance(self.engine, mode=self.settings.trading_mode, started_ms=self._started_ms, troubles=troubles)


async def build(
    settings: Settings,
    doors: Doors | None = None,
    *,
    journal: Journal | None = None,
    venues: list[Venue] | None = None,
    take: Callable[[Board], Awaitable[list[Trader]]] | None = None,
) -> System:
    """Put a system together; nothing is connected before `run`. Paper in dry_run; in live mode real accounts.

    `venues` are those to watch and `take` gives those who trade, where the settings do not say. Raises JournalError,
    RecordError or LedgerError when the journal cannot be opened or trusted, LiveRefusedError, and KeysError,
    NoAnswerError or LeaseError for accounts.
    """
    if settings.live and take is None and (reasons := consent.missing(settings)):
        raise LiveRefusedError("\n".join(f"- {one.detail}" for one in reasons))
    if doors is None:
        clock = SystemClock()
        net = await PicowsNet(clock).__aenter__()  # left by System.close
        doors = Doors(net, clock, SystemDice())
    async with AsyncExitStack() as undo:
        undo.push_async_callback(doors.net.close)
        journal = journal or await SqliteJournal.open(settings.journal_dir)
        undo.push_async_callback(journal.close)
        ledger = read_ledger(journal)
        books = Books(journal, ledger, doors.clock)
        limits = limits_of(settings)

        def trades(asset: str, one: str, other: str) -> bool:
            return settings.trades_asset(asset) and settings.trades_pair(one, other)

        board = Board(limits, trades)
        venues = venues or venues_of(settings)
        budgets = {venue.name: Budget(venue.name, venue.limits) for venue in venues}
        accounts, gate = None, cast("Gate", PaperVenue(board.facts, board.books, ledger))
        if settings.live:
            traders = await (take(board) if take is not None else _traders(settings, board, doors))
            accounts = _accounts(settings, board, books, doors, traders, budgets)
            gate = Gates({venue: post.gate for venue, post in accounts.posts.items()})
        equity = {} if settings.live else {venue.name: settings.paper_equity_usd for venue in venues}
        purse = Purse(board, equity, settings.leverage, accounts)
        engine: Engine
        desk = Desk(books, gate, doors.clock, lambda plan: engine.quotes(plan), lambda plan: engine.unfit(plan))
        if accounts is not None:
            accounts.begin(desk)
        auto = settings.auto_execution_enabled or not settings.live
        conduct = Conduct(settings, settings.trade_stop_loss_bps, auto)
        engine = Engine(board, desk, purse, doors.clock, conduct, accounts)
        undo.pop_all()
    return System(settings, Rooms(venues, engine, journal, doors, budgets, accounts))


class Trader(NamedTuple):
    """One account's private side, the right to trade it, and where it signs (None: on a thread of its own)."""

    venue: TradingVenue
    fence: Fence
    signer: Executor | None = None


async def _traders(settings: Settings, board: Board, doors: Doors) -> list[Trader]:
    """Everyone whose keys were given, each with the lease of its account."""
    known = await with_vault(settings, doors, int(settings.api_request_timeout * 1_000))
    found: list[Trader] = []
    try:
        for venue, account in zip(traders_of(known, board.facts), accounts_of(known), strict=True):
            found.append(Trader(venue, lease_of(account)))
    except BaseException:
        for one in found:
            one.fence.release()
        raise
    return found


def lease_of(account: VenueAccount) -> Lease:
    """The right to trade an account, whoever asks. Raises LeaseError."""
    where = urlsplit(account.address).netloc.replace(":", "-")
    return Lease.take(lease_folder(), account.venue, f"{where}-{account.account}")


def lease_folder() -> Path:
    """One per user, whatever the data folder: two folders may hold keys of the same account."""
    return Path.home() / ".local" / "state" / "twinleg" / "leases"


def _accounts(
    settings: Settings, board: Board, books: Books, doors: Doors, traders: list[Trader], budgets: dict[str, Budget]
) -> Accounts:
    timeout_ms = int(settings.api_request_timeout * 1_000)
    terms = Terms(
        grace_ms=settings.reconcile_grace_ms,
        every_ms=RECONCILE_EVERY_MS,
        stale_ms=RECONCILE_STALE_MS,
        net_delta_max_usd=settings.unhedged_notional_max_usd,
    )
    upkeep = Upkeep(
        balance_every_ms=int(settings.balance_check_interval * 1_000),
        reconcile=terms,
        leverage_of=lambda asset: effective_limits(settings, asset).leverage,
    )
    accounts = Accounts(board, books, doors, upkeep, leverage_read)
    trusting = settings.lighter_nonce_manager == "optimistic"
    for venue, fence, signer in traders:
        lanes = Lanes(venue.lanes(), sequenced=venue.trading.sequenced, trusting=trusting)
        account = Account(venue, Listed(board.facts), lanes, fence.lost)
        budget = budgets[venue.name]
        gate = VenueGate(account, budget, doors, timeout_ms, signer=signer, tell=accounts.heard)

        def runner_for(feed: Feed, sink: Sink, budget: Budget = budget) -> StreamRunner:
            return StreamRunner(feed, sink, budget, doors, reconnect_s=settings.ws_reconnect_delay)

        accounts.take(gate, fence, runner_for)
    return accounts

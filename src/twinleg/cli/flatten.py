"""`twinleg flatten`: by the running engine, or without one, by what the venues say alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, NOT_FLAT, OK, REFUSED, UNREACHABLE, CommandError
from twinleg.cli.figures import plain
from twinleg.cli.journals import journal_of, records_of
from twinleg.cli.looking import doors
from twinleg.cli.operating import asked_of_engine, confirm
from twinleg.cli.output import put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.assets import asset_of
from twinleg.core.ledger import Ledger
from twinleg.core.messages import Market
from twinleg.core.operations import AskStatus, ClosingOrder, Flatten, Flattening, Status
from twinleg.core.orders import Leg, State
from twinleg.runtime.consent import unfit
from twinleg.runtime.control import NoEngineError, ask
from twinleg.runtime.flatten import Flattener, Outcome, Result, Said, Terms
from twinleg.runtime.flatten_posts import Posts, posts
from twinleg.runtime.lease import LeaseError
from twinleg.runtime.settings import Settings
from twinleg.runtime.traders import KeysError, accounts_of

PROBE_S = 10.0
LOOK_S = 0.5
STEPS_MIN = 3
ELSEWHERE = "live_address"
"""Why nothing may be sent there by this version."""
PAPER = (
    "no engine runs, and TRADING_MODE=dry_run holds nothing at a venue: paper trades are closed by the engine that "
    "runs them. Start `twinleg run` and flatten again, or set TRADING_MODE=live if you mean real positions."
)
AFTERWARDS = (
    "The journal still has the trades that were closed here: after the next start they are halted, and "
    "`twinleg trade resolve` says what became of them."
)
STRANGERS = (
    "what no trade of ours explains is left alone by a running engine: end it (Ctrl-C or SIGTERM), then "
    "`twinleg flatten --all`"
)


class FlattenOptions(msgspec.Struct, frozen=True):
    """See `twinleg flatten --help`."""

    asset: str | None
    trade: str | None
    everything: bool
    dry_run: bool
    yes: bool
    wait: float
    reason: str
    as_json: bool


class Ended(msgspec.Struct, frozen=True, tag_field="word", tag="ended"):
    """How it ended in all."""

    result: Result
    detail: str


CODES = {Result.FLAT: OK, Result.NOT_FLAT: NOT_FLAT, Result.UNKNOWN: UNREACHABLE}


def run_flatten(options: FlattenOptions) -> int:
    """Close what is held. Raises CommandError."""
    if options.asset is not None and options.trade is not None:
        raise CommandError(BAD_CONFIGURATION, "one of --asset and --trade, not both.")
    settings = settings_of_user()
    try:
        asyncio.run(ask(settings.data_dir, AskStatus(), PROBE_S))
    except NoEngineError as error:
        if not settings.live:
            raise CommandError(UNREACHABLE, PAPER) from error
        return _alone(settings, options)
    except RuntimeError as error:
        fix = "end it, then flatten again"
        raise CommandError(UNREACHABLE, f"an engine runs and does not answer ({error}): {fix}.") from error
    return _by_engine(settings, options)


# --- by the running engine ----------------------------------------------------------------------------------------


def _by_engine(settings: Settings, options: FlattenOptions) -> int:
    asked = Flatten(reason=options.reason, asset=options.asset, trade=options.trade, dry_run=True)
    if options.dry_run or not options.yes:
        _show_orders(_flattening(settings, asked, options).orders, options)
        if options.dry_run:
            return OK
        confirm("Close all that?")
    begun = _flattening(settings, msgspec.structs.replace(asked, dry_run=False), options)
    if options.as_json:
        put_json(begun)
    else:
        put([f"closing {plain(', '.join(begun.closing)) or 'nothing'}; control is {begun.control}"])
        put(plain(f"{trade} cannot be closed: {why}") for trade, why in begun.not_closing.items())
    status = asyncio.run(_settled(settings, begun.closing, options.wait))
    return _engine_ended(begun, status, options)


def _flattening(settings: Settings, asked: Flatten, options: FlattenOptions) -> Flattening:
    answer = asked_of_engine(settings.data_dir, asked, as_json=options.as_json)
    assert isinstance(answer, Flattening), answer
    return answer


async def _settled(settings: Settings, names: Sequence[str], wait_s: float) -> Status | None:
    """The status once all of them are closed or halted, or as it is after the time; None when none was to be had."""
    last: Status | None = None
    try:
        async with asyncio.timeout(wait_s):
            while True:
                answer = await ask(settings.data_dir, AskStatus(), PROBE_S)
                last = answer if isinstance(answer, Status) else None
                if last is not None and not _moving(last, names):
                    return last
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        return last
    except RuntimeError:
        return None


def _moving(status: Status, names: Sequence[str]) -> list[str]:
    return [one.trade for one in status.trades if one.trade in names and one.state != State.HALTED.value]


def _engine_ended(begun: Flattening, status: Status | None, options: FlattenOptions) -> int:
    if status is None:
        return _end(Ended(Result.UNKNOWN, "the engine did not say what became of it: `twinleg status`"), options)
    asked = {*begun.closing, *begun.not_closing}
    left = [f"{one.trade} is {one.state}" for one in status.trades if one.trade in asked]
    if options.everything and any(one.kind.startswith("external") for one in status.findings):
        left.append(STRANGERS)
    return _end(Ended(Result.NOT_FLAT if left else Result.FLAT, "; ".join(left)), options)


# --- without an engine --------------------------------------------------------------------------------------------


def _alone(settings: Settings, options: FlattenOptions) -> int:
    elsewhere = [one.detail for one in unfit(settings) if one.code == ELSEWHERE]
    if elsewhere and not options.dry_run:
        raise CommandError(REFUSED, "\n".join(elsewhere))
    ours = _markets_of_trades(settings, options)
    try:
        if not accounts_of(settings):
            raise CommandError(BAD_CONFIGURATION, "no keys were given: there is no account to flatten.")
        if options.dry_run or not options.yes:
            known = asyncio.run(_previewed(settings, options, ours))
            if options.dry_run:
                return OK if known else UNREACHABLE
            confirm("Close all that?")
        return asyncio.run(_flattened(settings, options, ours))
    except LeaseError as error:
        raise CommandError(REFUSED, f"{error}.") from error
    except KeysError as error:
        raise CommandError(BAD_CONFIGURATION, f"{error}.") from error


def _markets_of_trades(settings: Settings, options: FlattenOptions) -> frozenset[str]:
    """Markets where an open trade of ours is, by the journal, which is only read. Not asked for with --all."""
    if options.everything and options.trade is None:
        return frozenset()
    ledger = Ledger()
    try:
        with records_of(journal_of(settings.journal_dir)) as records:
            for record in records:
                ledger.apply(record)
    except CommandError as error:
        fix = "`--all` closes every position on the accounts without asking the journal"
        raise CommandError(REFUSED, f"which positions are ours is not known: {error} {fix}.") from error
    plans = [account.trade.plan for account in ledger.open_trades()]
    if options.trade is not None and options.trade not in {plan.trade_id for plan in plans}:
        raise CommandError(REFUSED, f"{plain(options.trade)} is no open trade of the journal.")
    wanted = [plan for plan in plans if options.trade in (None, plan.trade_id)]
    return frozenset(plan.leg(leg).market for plan in wanted for leg in Leg)


def _wants(options: FlattenOptions, ours: frozenset[str], facts: dict[str, Market]) -> Callable[[str], bool]:
    asset = None if options.asset is None else options.asset.upper()
    of_all = options.everything and options.trade is None

    def wants(key: str) -> bool:
        of_asset = asset is None or (key in facts and asset_of(facts[key].base).name == asset)
        return of_asset and (of_all or key in ours)

    return wants


def _flatteners(
    found: Posts, settings: Settings, options: FlattenOptions, ours: frozenset[str]
) -> dict[str, Flattener]:
    steps = max(STEPS_MIN, settings.max_retry_attempts)
    terms = Terms(widest_bps=int(settings.flatten_slippage_bps_max), steps=steps)
    return {
        venue: Flattener(post.ways, terms, _wants(options, ours, dict(post.ways.facts)))
        for venue, post in found.ready.items()
    }


async def _previewed(settings: Settings, options: FlattenOptions, ours: frozenset[str]) -> bool:
    """Show what would be sent. Whether all of it is known."""
    async with doors() as ways, posts(settings, ways, _teller(options), sends=False) as found:
        known = not found.out_of_reach
        for venue, why in found.out_of_reach.items():
            sys.stderr.write(f"{venue}: {plain(why)}\n")
        async with AsyncExitStack() as stack:
            flatteners = _flatteners(found, settings, options, ours)
            for venue, flattener in flatteners.items():
                orders = await flattener.preview()
                if isinstance(orders, str):
                    known = False
                    sys.stderr.write(f"{venue}: {plain(orders)}\n")
                elif orders:
                    await stack.enter_async_context(found.ready[venue].watch([one.market for one in orders]))
                    orders = await flattener.preview()
                _show_orders([] if isinstance(orders, str) else orders, options, venue)
        return known


async def _flattened(settings: Settings, options: FlattenOptions, ours: frozenset[str]) -> int:
    async with doors() as ways, posts(settings, ways, _teller(options), sends=True) as found:
        outcomes = [Outcome(venue, Result.UNKNOWN, {}, why) for venue, why in found.out_of_reach.items()]
        flatteners = _flatteners(found, settings, options, ours)
        running = {venue: asyncio.create_task(_one(found, one, options)) for venue, one in flatteners.items()}
        await asyncio.wait(running.values(), timeout=options.wait) if running else None
        for venue, task in running.items():
            task.cancel()
            done = await asyncio.gather(task, return_exceptions=True)
            outcome = done[0]
            if isinstance(outcome, asyncio.CancelledError):
                outcome = Outcome(venue, Result.UNKNOWN, {}, f"it did not end within {options.wait:.0f} s")
            elif isinstance(outcome, BaseException):
                raise outcome
            outcomes.append(outcome)
    for outcome in outcomes:
        if options.as_json:
            put_json(outcome)
        else:
            left = "".join(f"; {key} {size} left" for key, size in outcome.left.items())
            put([plain(f"{outcome.venue}: {outcome.result.value}{left} {outcome.detail}".rstrip())])
    results = {outcome.result for outcome in outcomes}
    worst = next((one for one in (Result.UNKNOWN, Result.NOT_FLAT) if one in results), Result.FLAT)
    return _end(Ended(worst, AFTERWARDS if ours else ""), options)


async def _one(found: Posts, flattener: Flattener, options: FlattenOptions) -> Outcome:
    """One venue with the books of what is held there."""
    held = await flattener.preview()
    keys = [] if isinstance(held, str) else [one.market for one in held]
    async with found.ready[flattener.venue].watch(keys):
        return await flattener.run(everything=options.everything)


# --- saying -------------------------------------------------------------------------------------------------------


def _teller(options: FlattenOptions) -> Callable[[Said], None]:
    def tell(said: Said) -> None:
        if options.as_json:
            put_json(said)
        else:
            put([plain(f"{said.market or said.venue}: {said.text}")])

    return tell


def _show_orders(orders: Iterable[ClosingOrder], options: FlattenOptions, venue: str = "") -> None:
    orders = list(orders)
    for one in orders:
        if options.as_json:
            put_json(one)
            continue
        whose = f" of {one.trade}" if one.trade else ""
        bound = "no price is known, nothing can be sent"
        if one.worst_price is not None:
            bound = f"at worst {one.worst_price} ({one.reference_is} {one.reference})"
        put([plain(f"{one.venue} {one.market}: {one.side} {one.size}{whose}, {bound}")])
    if not orders and not options.as_json:
        put([f"{venue + ': ' if venue else ''}nothing is to be closed"])


def _end(ended: Ended, options: FlattenOptions) -> int:
    if options.as_json:
        put_json(ended)
    else:
        put([plain(f"{ended.result.value.replace('_', ' ')}{': ' if ended.detail else ''}{ended.detail}")])
    return CODES[ended.result]

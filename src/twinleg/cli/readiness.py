"""Whether live trading could start: the accounts asked, each finding with what to do. Nothing is ordered or changed.

`doctor` shows all of it; `run` calls `require_live` before it trades.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from twinleg.cli.exits import BAD_CONFIGURATION, REFUSED, UNREACHABLE, CommandError
from twinleg.cli.figures import moment, plain, size
from twinleg.cli.findings import Checked, Verdict, doubtful, failed, good
from twinleg.cli.journals import journal_of, records_of
from twinleg.cli.looking import doors, listings
from twinleg.core.assets import asset_of
from twinleg.core.ledger import Ledger
from twinleg.core.messages import Market, MarketStatus
from twinleg.core.trading import (
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    BalanceSeen,
    FeesSeen,
    Incident,
    LeverageSeen,
    OrderSeen,
    PositionSeen,
    TradingVenue,
)
from twinleg.core.venue import Limits, Venue
from twinleg.runtime import consent
from twinleg.runtime.account_reads import Unread, read_account
from twinleg.runtime.budget import Budget
from twinleg.runtime.settings import Settings
from twinleg.runtime.streams import Doors
from twinleg.runtime.traders import (
    KeysError,
    NoAnswerError,
    accounts_of,
    identity_reads,
    leverage_read,
    traders_of,
    with_vault,
)

SHOWN = 3
LEVERAGE_MARKETS_MAX = 3
OUR_FAULT = re.compile(r"4(?!08|29)\d\d:")
"""A status that says that the request is wrong: here, who asks."""
Row = TypeVar("Row", BalanceSeen, OrderSeen, PositionSeen)
LOOK_AT_KEYS = "Check the keys and the account they belong to, at the venue and in the settings"


class _Bench(NamedTuple):
    """What one venue is examined with."""

    venue: TradingVenue
    markets: Mapping[str, Market]
    held: Mapping[str, int]
    """Signed lots by market that our journal explains."""
    settings: Settings
    doors: Doors
    budget: Budget
    timeout_ms: int

    async def read(self, read: AccountRead) -> list[AccountEvent] | Unread:
        return await read_account(read, self.doors, self.budget, self.timeout_ms)

    @property
    def now_ms(self) -> int:
        return self.doors.clock.wall_ms()


async def live_findings(settings: Settings, wait_s: float) -> list[Checked]:
    """Consent and all accounts: with a FAIL among them live trading must not start. `wait_s` bounds each request."""
    return [*of_consent(settings), *await account_findings(settings, wait_s)]


async def require_live(settings: Settings, wait_s: float) -> list[Checked]:
    """Everything that was found, when live trading may start. Raises CommandError when it may not.

    With trades unfinished a venue that does not answer is no reason to stay down: the other leg must be guarded.
    """
    found = await live_findings(settings, wait_s)
    wrong = [one for one in found if one.verdict is Verdict.FAIL]
    if all(one.exit_code == UNREACHABLE for one in wrong) and wrong and _unfinished(settings):
        return found
    if wrong:
        said = "\n".join(f"  {one.check}: {one.found}\n    -> {one.do}" for one in wrong)
        raise CommandError(min(one.exit_code for one in wrong), f"TRADING_MODE=live is refused:\n{said}")
    return found


def of_consent(settings: Settings) -> Iterator[Checked]:
    """Everything that keeps TRADING_MODE=live from starting before any venue is asked."""
    missing = consent.missing(settings)
    for one in missing:
        yield failed(one.code.replace("_", " "), plain(one.detail), "`twinleg live` shows how it stands", REFUSED)
    standing = consent.standing(settings)
    if standing is not None and not missing:
        yield good("live consent", f"given at {moment(standing.at_ms)}, for these accounts and limits")


async def account_findings(settings: Settings, wait_s: float) -> list[Checked]:
    """What the venues say of our accounts, by signed reads. Nothing when no keys are given."""
    try:
        if not accounts_of(settings):
            return []
    except KeysError as error:
        return [failed("keys", plain(str(error)), LOOK_AT_KEYS, BAD_CONFIGURATION)]
    timeout_ms = int(wait_s * 1_000)
    async with doors() as ways:
        try:
            settings = await with_vault(settings, ways, timeout_ms)
        except KeysError as error:
            return [failed("extended: keys", plain(str(error)), LOOK_AT_KEYS, REFUSED)]
        except NoAnswerError as error:
            return [failed("extended: keys", plain(str(error)), "Try again, or set EXTENDED_VAULT", UNREACHABLE)]
        told = await listings(settings, ways, wait_s)
        markets = {
            market.key: market for listed in told.values() if not isinstance(listed, str) for market in listed.markets
        }
        try:
            held = _ledger(settings).positions()
        except CommandError as error:
            return [failed("journal", plain(str(error)), "Put it right before anything is traded", error.code)]
        benches = [
            _Bench(venue, markets, held, settings, ways, Budget(venue.name, _limits(told, venue.name)), timeout_ms)
            for venue in traders_of(settings, markets)
        ]
        found = await asyncio.gather(*map(_examined, benches))
    return [one for findings in found for one in findings]


def _limits(told: Mapping[Venue, object], name: str) -> Limits:
    return next(venue.limits for venue in told if venue.name == name)


def _unfinished(settings: Settings) -> bool:
    return bool(_ledger(settings).open_trades())


def _ledger(settings: Settings) -> Ledger:
    """Our trades by the journal, none where there is no journal yet. Raises CommandError."""
    path = journal_of(settings.journal_dir)
    if not path.is_file():
        return Ledger()
    with records_of(path) as records:
        return Ledger(records)


async def _examined(bench: _Bench) -> list[Checked]:
    """Everything of one venue; when the keys are not the account's, nothing else is worth asking."""
    found = await _identity(bench)
    if any(one.verdict is Verdict.FAIL for one in found):
        return found
    positions = await bench.read(bench.venue.positions(bench.now_ms))
    return [
        *found,
        *_money(bench, await bench.read(bench.venue.balance(bench.now_ms))),
        *await _fees(bench),
        *_positions(bench, positions),
        *_orders(bench, await bench.read(bench.venue.open_orders(bench.now_ms))),
        *await _leverage(bench, positions),
    ]


async def _identity(bench: _Bench) -> list[Checked]:
    """The keys are registered, and are the account's that was named."""
    check = f"{bench.venue.name}: keys"
    for read in identity_reads(bench.venue, bench.now_ms):
        told = await bench.read(read)
        if isinstance(told, Unread):
            return [_unread(check, told)]
        wrong = [one.detail for one in told if isinstance(one, Incident)]
        if wrong:
            return [failed(check, plain("; ".join(wrong)), LOOK_AT_KEYS, REFUSED)]
    return [good(check, f"{', '.join(bench.venue.lanes())} registered, and of the account that was named")]


def _money(bench: _Bench, told: list[AccountEvent] | Unread) -> Iterator[Checked]:
    check, settings = f"{bench.venue.name}: balance", bench.settings
    if isinstance(told, Unread):
        yield _unread(check, told)
        return
    for seen in _rows(told, BalanceSeen):
        amounts = f"equity {size(seen.equity_usd)} $, free {size(seen.available_usd)} $"
        if seen.equity_usd < settings.min_account_balance_usd:
            limit = f"{amounts}; MIN_ACCOUNT_BALANCE_USD is {size(settings.min_account_balance_usd)}"
            yield doubtful(check, limit, "Pay in more, or lower it: nothing is opened below it")
        elif seen.available_usd < settings.min_required_available_usd:
            limit = f"{amounts}; MIN_REQUIRED_AVAILABLE_USD is {size(settings.min_required_available_usd)}"
            yield doubtful(check, limit, "Free some collateral, or lower it: nothing is opened below it")
        else:
            yield good(check, amounts)


async def _fees(bench: _Bench) -> list[Checked]:
    """Signed on every venue: a token or key that has expired shows here."""
    check, read = f"{bench.venue.name}: fees", bench.venue.fees(bench.now_ms)
    if read is None:
        return [good(check, "the venue does not tell them")]
    told = await bench.read(read)
    if isinstance(told, Unread):
        return [_unread(check, told)]
    rates = sorted({(one.taker_bps, one.maker_bps) for one in told if isinstance(one, FeesSeen)})
    text = "; ".join(f"taker {taker:g} bps, maker {maker:g} bps" for taker, maker in rates[:SHOWN])
    return [good(check, text + ("; and others" if len(rates) > SHOWN else ""))]


def _positions(bench: _Bench, told: list[AccountEvent] | Unread) -> Iterator[Checked]:
    """What no trade of ours explains is left alone; its market is not entered."""
    check = f"{bench.venue.name}: positions"
    if isinstance(told, Unread):
        yield _unread(check, told)
        return
    seen = {one.market: one.lots for one in _rows(told, PositionSeen) if one.lots}
    ours = {key: lots for key, lots in bench.held.items() if key.partition(":")[0] == bench.venue.name}
    for market in sorted({*seen, *ours}):
        there, known = seen.get(market, 0), ours.get(market, 0)
        if there != known:
            found = f"{market}: the venue shows {there} lots, our journal {known}"
            do = "A running engine compares them itself; nothing is opened in a market with what is not ours"
            yield doubtful(check, plain(found), do)
    if all(seen.get(market, 0) == ours.get(market, 0) for market in {*seen, *ours}):
        yield good(check, f"{len(seen)}, all of them our trades'" if seen else "none")


def _orders(bench: _Bench, told: list[AccountEvent] | Unread) -> Iterator[Checked]:
    check = f"{bench.venue.name}: orders"
    if isinstance(told, Unread):
        yield _unread(check, told)
        return
    seen = _rows(told, OrderSeen)
    foreign = [one for one in seen if one.client_id is None]
    if foreign:
        where = ", ".join(sorted({one.market for one in foreign})[:SHOWN])
        found = f"{len(foreign)} of {len(seen)} open orders are none of ours ({where})"
        do = "They are left alone. Use an account that nothing else trades: a dead man's switch would cancel them, too"
        yield doubtful(check, plain(found), do)
    else:
        yield good(check, f"{len(seen)} open, none of others")


async def _leverage(bench: _Bench, positions: list[AccountEvent] | Unread) -> list[Checked]:
    """What is set now. The engine sets and verifies its own before the first entry in a market."""
    check, seen = f"{bench.venue.name}: leverage", dict[str, float]()
    if not isinstance(positions, Unread):
        seen |= {one.market: one.leverage for one in positions if isinstance(one, LeverageSeen)}
    for market in _markets_of(bench):
        read = leverage_read(bench.venue, market, bench.now_ms)
        if read is None:
            break
        told = await bench.read(read)
        if isinstance(told, Unread):
            return [_unread(check, told)]
        seen |= {one.market: one.leverage for one in told if isinstance(one, LeverageSeen)}
    shown = ", ".join(f"{market} {value:g}" for market, value in sorted(seen.items())[:SHOWN])
    wanted = f"TWINLEG_LEVERAGE is {bench.settings.leverage:g}, and is set before a market is entered"
    return [good(check, plain(f"{shown or 'not told for markets without a position'}; {wanted}"))]


def _markets_of(bench: _Bench) -> Sequence[Market]:
    """A few markets to ask about: those that may be traded."""
    fit = (
        market
        for market in bench.markets.values()
        if market.venue == bench.venue.name
        and market.excluded is None
        and market.status is MarketStatus.OPEN
        and bench.settings.trades_asset(asset_of(market.base).name)
    )
    return tuple(islice(fit, LEVERAGE_MARKETS_MAX))


def _rows(told: Sequence[AccountEvent], kind: type[Row]) -> list[Row]:
    """The rows of that kind, from listings and by themselves."""
    found = [one for one in told if isinstance(one, kind)]
    for listing in told:
        if isinstance(listing, AccountSnapshot):
            found += [one for one in listing.rows if isinstance(one, kind)]
    return found


def _unread(check: str, told: Unread) -> Checked:
    if OUR_FAULT.match(told.reason):
        return failed(check, plain(told.reason), LOOK_AT_KEYS, REFUSED)
    return failed(check, plain(told.reason), "Try again; if it stays so, look at the venue's status", UNREACHABLE)

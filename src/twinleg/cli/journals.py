"""A journal opened for reading alone, and its trades as answers. An engine may go on writing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, REFUSED, CommandError
from twinleg.cli.figures import moment, plain, size, span, usd
from twinleg.cli.output import columns
from twinleg.core.amounts import MICRO
from twinleg.core.ledger import LedgerError, Pnl, TradeAccount
from twinleg.core.records import JournalRecord, RecordError, decode
from twinleg.runtime.journal_file import FILE_NAME, JournalFile
from twinleg.runtime.ports import JournalError
from twinleg.runtime.settings import LIVE_FOLDER

FIGURES = ("volume $", "unhedged", "price $", "slip $", "funding $", "fees $", "net $", "hoped $")


class Attribution(msgspec.Struct, frozen=True):
    """Where money came from, in USD: price + slippage + funding - fees = net. None while something is still held."""

    price_usd: float | None
    slippage_usd: float
    funding_usd: float
    fees_usd: float
    net_usd: float | None
    realised_usd: float
    volume_usd: float


class ReplayedTrade(msgspec.Struct, frozen=True):
    """One trade as the journal tells it."""

    trade_id: str
    asset: str
    long_market: str
    short_market: str
    state: str
    planned_at_ms: int
    hedged_at_ms: int | None
    closed_at_ms: int | None
    unhedged_ms: int
    long_lots: int
    short_lots: int
    orders: int
    exit_reason: str | None
    expected: dict[str, float]
    money: Attribution


def journal_of(path: Path) -> Path:
    """The journal's file, given itself or the folder that holds it; of a data folder without one its live journal."""
    if not path.is_dir():
        return path
    paper, live = path / FILE_NAME, path / LIVE_FOLDER / FILE_NAME
    return live if live.is_file() and not paper.is_file() else paper


@contextmanager
def records_of(path: Path) -> Iterator[Iterator[JournalRecord]]:
    """Every record of the journal at `path`, oldest first; what is wrong with it is a CommandError."""
    try:
        journal = JournalFile.open_for_reading(path)
        try:
            yield (decode(row.payload) for row in journal.records())
        finally:
            journal.close()
    except JournalError as error:
        raise CommandError(BAD_CONFIGURATION, f"{error}.") from error
    except (RecordError, LedgerError) as error:
        raise CommandError(REFUSED, f"{path} cannot be trusted: {error}.") from error


def attributed(pnl: Pnl) -> Attribution:
    """Money of the ledger's as an answer."""
    price, net = pnl.price_micro_usd, pnl.equity_change_micro_usd
    return Attribution(
        price_usd=None if price is None else price / MICRO,
        slippage_usd=pnl.slippage_micro_usd / MICRO,
        funding_usd=pnl.funding_micro_usd / MICRO,
        fees_usd=pnl.fees_micro_usd / MICRO,
        net_usd=None if net is None else net / MICRO,
        realised_usd=pnl.realised_micro_usd / MICRO,
        volume_usd=pnl.volume_micro_usd / MICRO,
    )


def replayed(account: TradeAccount) -> ReplayedTrade:
    """A trade of the ledger's as an answer."""
    trade, plan = account.trade, account.trade.plan
    return ReplayedTrade(
        trade_id=plan.trade_id,
        asset=plan.asset,
        long_market=plan.long.market,
        short_market=plan.short.market,
        state=trade.state.value,
        planned_at_ms=account.planned_at_ms,
        hedged_at_ms=account.hedged_at_ms,
        closed_at_ms=account.closed_at_ms,
        unhedged_ms=account.unhedged_ms,
        long_lots=account.long.held_lots,
        short_lots=account.short.held_lots,
        orders=len(trade.orders),
        exit_reason=trade.exit_reason,
        expected=account.terms,
        money=attributed(account.pnl({})),
    )


def trade_table(trades: Sequence[ReplayedTrade]) -> list[str]:
    """One line per trade."""
    titles = ("trade", "planned at", "asset", "long", "short", "state", *FIGURES, "left because")
    rows = [
        (
            one.trade_id,
            moment(one.planned_at_ms),
            plain(one.asset),
            plain(one.long_market),
            plain(one.short_market),
            one.state,
            size(one.money.volume_usd),
            span(one.unhedged_ms),
            *figures(one.money),
            usd(one.expected.get("expected_usd")),
            plain(one.exit_reason or ""),
        )
        for one in trades
    ]
    return columns(titles, rows, right=FIGURES)


def figures(money: Attribution) -> tuple[str, str, str, str, str]:
    """Price, slippage, funding, fees (negative) and net."""
    return (
        usd(money.price_usd),
        usd(money.slippage_usd),
        usd(money.funding_usd),
        usd(-money.fees_usd),
        usd(money.net_usd),
    )

"""`twinleg replay-journal`: a journal folded again, opened for reading alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED, CommandError
from twinleg.cli.figures import UNKNOWN, moment, plain, size, span, usd
from twinleg.cli.output import columns, put, put_json
from twinleg.core.ledger import Ledger, LedgerError, Pnl, TradeAccount
from twinleg.core.records import JournalRecord, RecordError, TradePlanned, decode
from twinleg.runtime.journal_file import FILE_NAME, JournalFile
from twinleg.runtime.ports import JournalError

MICRO = 1_000_000
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


class ReplayAnswer(msgspec.Struct, frozen=True):
    """All of a journal: `money` is of every trade, `trades` are the last ones asked for."""

    path: str
    records: int
    planned: int
    open: int
    closed: int
    money: Attribution
    trades: tuple[ReplayedTrade, ...]


def run_replay(path: Path, last: int, *, as_json: bool) -> int:
    """Print trades and totals. Raises CommandError."""
    answer = replay(path, last)
    if as_json:
        put_json(answer)
    else:
        put(_lines(answer))
    return OK


def replay(path: Path, last: int) -> ReplayAnswer:
    """Fold the journal at `path` (a file, or the folder that holds it). Raises CommandError."""
    path = path / FILE_NAME if path.is_dir() else path
    ledger, count = Ledger(), 0
    recent: dict[str, TradeAccount] = {}
    try:
        for record in _records(path):
            account = ledger.apply(record)
            count += 1
            if account is not None and (isinstance(record, TradePlanned) or record.trade_id in recent):
                recent[record.trade_id] = account
            if len(recent) > last:
                del recent[next(iter(recent))]
    except JournalError as error:
        raise CommandError(BAD_CONFIGURATION, f"{error}.") from error
    except (RecordError, LedgerError) as error:
        raise CommandError(REFUSED, f"{path} cannot be trusted: {error}.") from error
    open_trades = len(ledger.open_trades())
    return ReplayAnswer(
        path=str(path),
        records=count,
        planned=ledger.planned,
        open=open_trades,
        closed=ledger.planned - open_trades,
        money=_money(ledger.pnl({})),
        trades=tuple(map(_trade, recent.values())),
    )


def _records(path: Path) -> Iterator[JournalRecord]:
    """Every record, oldest first. Raises JournalError or RecordError."""
    journal = JournalFile.open_for_reading(path)
    try:
        for row in journal.records():
            yield decode(row.payload)
    finally:
        journal.close()


def _money(pnl: Pnl) -> Attribution:
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


def _trade(account: TradeAccount) -> ReplayedTrade:
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
        money=_money(account.pnl({})),
    )


def _lines(answer: ReplayAnswer) -> list[str]:
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
            *_figures(one.money),
            usd(one.expected.get("expected_usd")),
            plain(one.exit_reason or ""),
        )
        for one in answer.trades
    ]
    price, slippage, funding, fees, net = _figures(answer.money)
    found = columns(titles, rows, right=FIGURES)
    if answer.planned > len(answer.trades):
        found.append(f"{answer.planned - len(answer.trades)} earlier trades are in the totals only (see --last)")
    return [
        *found,
        f"{answer.path}: {answer.records:,} records, {answer.planned:,} trades, {answer.open:,} open",
        f"net $ {net} = price {price} slippage {slippage} funding {funding} fees {fees}; realised "
        f"{usd(answer.money.realised_usd)}, volume {size(answer.money.volume_usd)}"
        + (f" ({UNKNOWN}: what is still held has no price here)" if answer.money.net_usd is None else ""),
    ]


def _figures(money: Attribution) -> tuple[str, str, str, str, str]:
    return (
        usd(money.price_usd),
        usd(money.slippage_usd),
        usd(money.funding_usd),
        usd(-money.fees_usd),
        usd(money.net_usd),
    )

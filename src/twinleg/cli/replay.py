"""`twinleg replay-journal`: a journal folded again, opened for reading alone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from twinleg.cli.exits import OK
from twinleg.cli.figures import UNKNOWN, size, usd
from twinleg.cli.journals import (
    Attribution,
    ReplayedTrade,
    attributed,
    figures,
    journal_of,
    records_of,
    replayed,
    trade_table,
)
from twinleg.cli.output import put, put_json
from twinleg.core.ledger import Ledger, TradeAccount
from twinleg.core.records import TradePlanned


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
    path = journal_of(path)
    ledger, count = Ledger(), 0
    recent: dict[str, TradeAccount] = {}
    with records_of(path) as records:
        for record in records:
            account = ledger.apply(record)
            count += 1
            if account is not None and (isinstance(record, TradePlanned) or record.trade_id in recent):
                recent[record.trade_id] = account
            if len(recent) > last:
                del recent[next(iter(recent))]
    open_trades = len(ledger.open_trades())
    return ReplayAnswer(
        path=str(path),
        records=count,
        planned=ledger.planned,
        open=open_trades,
        closed=ledger.planned - open_trades,
        money=attributed(ledger.pnl({})),
        trades=tuple(map(replayed, recent.values())),
    )


def _lines(answer: ReplayAnswer) -> list[str]:
    price, slippage, funding, fees, net = figures(answer.money)
    found = trade_table(answer.trades)
    if answer.planned > len(answer.trades):
        found.append(f"{answer.planned - len(answer.trades)} earlier trades are in the totals only (see --last)")
    return [
        *found,
        f"{answer.path}: {answer.records:,} records, {answer.planned:,} trades, {answer.open:,} open",
        f"net $ {net} = price {price} slippage {slippage} funding {funding} fees {fees}; realised "
        f"{usd(answer.money.realised_usd)}, volume {size(answer.money.volume_usd)}"
        + (f" ({UNKNOWN}: what is still held has no price here)" if answer.money.net_usd is None else ""),
    ]

"""`twinleg trades`: the trades of the configured journal, one line each."""

from __future__ import annotations

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, OK, CommandError
from twinleg.cli.journals import ReplayedTrade, journal_of, records_of, replayed, trade_table
from twinleg.cli.output import put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.ledger import Ledger


class TradesAnswer(msgspec.Struct, frozen=True):
    """The last trades that were asked for, oldest first. `open` and `closed` count all of the journal's."""

    path: str
    open: int
    closed: int
    trades: tuple[ReplayedTrade, ...]


def run_trades(last: int, *, open_only: bool, closed_only: bool, as_json: bool) -> int:
    """Print them. Raises CommandError."""
    if open_only and closed_only:
        raise CommandError(BAD_CONFIGURATION, "--open and --closed exclude each other: give one, or none for both.")
    path = journal_of(settings_of_user().journal_dir)
    with records_of(path) as records:
        ledger = Ledger(records)
    still_open = {account.trade.plan.trade_id for account in ledger.open_trades()}
    chosen = [
        account
        for trade_id, account in ledger.trades.items()
        if (trade_id in still_open or not open_only) and (trade_id not in still_open or not closed_only)
    ]
    answer = TradesAnswer(
        path=str(path),
        open=len(still_open),
        closed=ledger.planned - len(still_open),
        trades=tuple(map(replayed, chosen[-last:])),
    )
    if as_json:
        put_json(answer)
        return OK
    put([*trade_table(answer.trades), f"{path}: {answer.open:,} open, {answer.closed:,} closed"])
    return OK

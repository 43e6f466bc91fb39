"""`twinleg pnl`: what was earned, by day, venue, trade or asset, from the journal alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import NamedTuple

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, OK, CommandError
from twinleg.cli.figures import plain, size, usd
from twinleg.cli.journals import journal_of, records_of
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.amounts import MICRO
from twinleg.core.earnings import Money, Piece, pieces
from twinleg.core.ledger import Ledger

TITLES = ("price $", "slip $", "funding $", "fees $", "net $", "volume $")
FIELDS = ("price_usd", "slippage_usd", "funding_usd", "fees_usd", "net_usd", "volume_usd")
MS_PER_S = 1_000


class PnlOptions(NamedTuple):
    """What the command line asked for."""

    by: str
    since: str | None
    as_csv: bool
    as_json: bool


class PnlRow(msgspec.Struct, frozen=True):
    """One group. In USD: price + slippage + funding - fees = net; a negative slippage is a cost."""

    group: str
    price_usd: float
    slippage_usd: float
    funding_usd: float
    fees_usd: float
    net_usd: float
    volume_usd: float


class PnlAnswer(msgspec.Struct, frozen=True):
    """All groups, and their sum. `open` trades count at what they cost: their prices are not known here."""

    path: str
    by: str
    since: str | None
    open: int
    rows: tuple[PnlRow, ...]
    total: PnlRow


def run_pnl(options: PnlOptions) -> int:
    """Print the groups and their sum. Raises CommandError."""
    if options.as_csv and options.as_json:
        raise CommandError(BAD_CONFIGURATION, "--csv and --json exclude each other.")
    group_of = GROUPS.get(options.by)
    if group_of is None:
        raise CommandError(BAD_CONFIGURATION, f"--by {plain(options.by)}: it should be {', '.join(GROUPS)}.")
    since_ms = _since_ms(options.since)
    path = journal_of(settings_of_user().journal_dir)
    ledger, groups = Ledger(), dict[str, Money]()
    with records_of(path) as records:
        for piece in pieces(records, ledger):
            if piece.at_ms >= since_ms:
                group = group_of(piece)
                groups[group] = groups.get(group, Money()) + piece.money
    total = sum(groups.values(), Money())
    if options.as_csv:
        put(_csv(options.by, groups))
        return OK
    answer = PnlAnswer(
        path=str(path),
        by=options.by,
        since=options.since,
        open=len(ledger.open_trades()),
        rows=tuple(_row(name, groups[name]) for name in sorted(groups)),
        total=_row("total", total),
    )
    if options.as_json:
        put_json(answer)
    else:
        put(_lines(answer))
    return OK


def _day(piece: Piece) -> str:
    return datetime.fromtimestamp(piece.at_ms / MS_PER_S, UTC).date().isoformat()


GROUPS: dict[str, Callable[[Piece], str]] = {
    "day": _day,
    "venue": lambda piece: piece.venue,
    "trade": lambda piece: piece.trade_id,
    "asset": lambda piece: piece.asset,
}


def _since_ms(text: str | None) -> int:
    """The first millisecond of a day, UTC; before everything for None. Raises CommandError."""
    if text is None:
        return -(1 << 62)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(
            BAD_CONFIGURATION, f"--since {plain(text)}: it should be a day such as 2026-11-20."
        ) from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * MS_PER_S


def _parts(money: Money) -> tuple[int, ...]:
    """Micro-dollars in the order of FIELDS."""
    return (
        money.price_micro_usd,
        money.slippage_micro_usd,
        money.funding_micro_usd,
        money.fees_micro_usd,
        money.net_micro_usd,
        money.volume_micro_usd,
    )


def _row(group: str, money: Money) -> PnlRow:
    return PnlRow(group, *(part / MICRO for part in _parts(money)))


def _csv(by: str, groups: dict[str, Money]) -> list[str]:
    """Exact amounts with six decimals, so that whoever adds them up gets the journal's sums."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((by, *FIELDS))
    for name in sorted(groups):
        writer.writerow((plain(name), *map(_exact, _parts(groups[name]))))
    return text.getvalue().splitlines()


def _exact(micro: int) -> str:
    whole, rest = divmod(abs(micro), MICRO)
    return f"{'-' if micro < 0 else ''}{whole}.{rest:06d}"


def _lines(answer: PnlAnswer) -> list[str]:
    rows = [
        (
            plain(one.group),
            usd(one.price_usd),
            usd(one.slippage_usd),
            usd(one.funding_usd),
            usd(-one.fees_usd),
            usd(one.net_usd),
            size(one.volume_usd),
        )
        for one in (*answer.rows, answer.total)
    ]
    held = f"; {answer.open:,} open trades count at what they cost" if answer.open else ""
    when = f" since {answer.since}" if answer.since else ""
    return [*columns((answer.by, *TITLES), rows, right=TITLES), f"{answer.path}{when}, days in UTC{held}"]

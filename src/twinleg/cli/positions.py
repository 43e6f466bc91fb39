"""`twinleg positions`: what our trades hold per asset and venue, and what a running engine found the venues to show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from fractions import Fraction

import msgspec

from twinleg.cli.exits import OK
from twinleg.cli.figures import UNKNOWN, plain, size
from twinleg.cli.journals import journal_of, records_of
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.amounts import MICRO
from twinleg.core.ledger import Ledger, TradeAccount
from twinleg.core.operations import AskStatus, FindingShown, Status
from twinleg.core.orders import Leg
from twinleg.core.trade import unhedged_micro_usd
from twinleg.runtime.control import NoAnswerError, NoEngineError, ask
from twinleg.runtime.settings import Settings

ASK_S = 5.0
RIGHT = ("ours", "lots", "average price", "$ in", "venue", "differs")


class Held(msgspec.Struct, frozen=True):
    """One market. Signed: positive = long. `size` is in the market's own units; money at average entry prices."""

    asset: str
    venue: str
    market: str
    size: float
    lots: int
    average_price: float
    notional_usd: float
    trades: tuple[str, ...]
    venue_lots: int | None
    """As the running engine last saw them; None = not known."""
    difference_lots: int | None


class Unhedged(msgspec.Struct, frozen=True):
    """What the trades of an asset hold too much on one leg, at decision prices."""

    asset: str
    trades: tuple[str, ...]
    usd: float


class PositionsAnswer(msgspec.Struct, frozen=True):
    """All that is held. `engine` is None when none answered: then this is the journal alone, and `said` says so."""

    path: str
    engine: str | None
    said: str
    positions: tuple[Held, ...]
    unhedged: tuple[Unhedged, ...]
    findings: tuple[str, ...]
    """What the engine's comparison of venues and journal found."""


def run_positions(*, as_json: bool) -> int:
    """Print them. Raises CommandError."""
    settings = settings_of_user()
    path = journal_of(settings.journal_dir)
    with records_of(path) as records:
        ledger = Ledger(records)
    status, said = asyncio.run(_asked(settings))
    seen = None if status is None else status.positions
    answer = PositionsAnswer(
        path=str(path),
        engine=None if status is None else status.mode,
        said=said,
        positions=tuple(held(ledger, seen)),
        unhedged=tuple(unhedged(ledger.open_trades())),
        findings=() if status is None else tuple(map(_finding, status.findings)),
    )
    if as_json:
        put_json(answer)
    else:
        put(plain(line) for line in _lines(answer))
    return OK


async def _asked(settings: Settings) -> tuple[Status | None, str]:
    """What the engine of this data folder says, and what to say of that."""
    try:
        answer = await ask(settings.data_dir, AskStatus(), ASK_S)
    except NoEngineError:
        return None, "no engine runs here: this is what the journal says, the venues were not asked"
    except NoAnswerError as error:
        return None, f"the running engine did not say what the venues show: {error}"
    if not isinstance(answer, Status):
        return None, "the running engine did not say what the venues show"
    if answer.positions is None:
        return answer, f"the running engine ({answer.mode}) has not seen both venues' positions"
    return answer, "the venues as the running engine last saw them"


def held(ledger: Ledger, seen: dict[str, int] | None) -> list[Held]:
    """Every market that a trade of ours holds something in, or that a venue shows something in."""
    of_market: dict[str, list[tuple[TradeAccount, Leg]]] = {}
    for account in ledger.trades.values():
        for leg in Leg:
            if account.leg(leg).held_lots:
                of_market.setdefault(account.trade.plan.leg(leg).market, []).append((account, leg))
    found = [_held(market, legs, seen) for market, legs in of_market.items()]
    for market, lots in (seen or {}).items():
        if lots and market not in of_market:
            venue = market.partition(":")[0]
            found.append(Held("", venue, market, 0.0, 0, 0.0, 0.0, (), lots, lots))
    return sorted(found, key=lambda one: (one.asset, one.venue, one.market))


def _held(market: str, legs: list[tuple[TradeAccount, Leg]], seen: dict[str, int] | None) -> Held:
    lots, ticklots = 0, Fraction(0)
    for account, leg in legs:
        money = account.leg(leg)
        lots += leg.entry_side.sign * money.held_lots
        average = Fraction(money.entered_ticklots, money.entered_lots) if money.entered_lots else Fraction(0)
        ticklots += leg.entry_side.sign * money.held_lots * average
    plan = legs[0][0].trade.plan.leg(legs[0][1])
    shown = None if seen is None else seen.get(market, 0)
    return Held(
        asset=legs[0][0].trade.plan.asset,
        venue=plan.venue,
        market=market,
        size=float(lots * plan.size_grid.unit),
        lots=lots,
        average_price=float(ticklots / lots * plan.price_grid.unit) if lots else 0.0,
        notional_usd=float(ticklots * plan.money_unit),
        trades=tuple(account.trade.plan.trade_id for account, _ in legs),
        venue_lots=shown,
        difference_lots=None if shown is None else shown - lots,
    )


def unhedged(accounts: Iterable[TradeAccount]) -> list[Unhedged]:
    """Per asset, what the legs of its open trades differ by; assets whose legs match are left out."""
    found: dict[str, list[tuple[str, int]]] = {}
    for account in accounts:
        micro_usd = unhedged_micro_usd(account.trade)
        if micro_usd:
            found.setdefault(account.trade.plan.asset, []).append((account.trade.plan.trade_id, micro_usd))
    return [
        Unhedged(asset, tuple(trade_id for trade_id, _ in rows), sum(micro for _, micro in rows) / MICRO)
        for asset, rows in sorted(found.items())
    ]


def _finding(one: FindingShown) -> str:
    return f"{one.kind}: {one.detail}" + ("" if one.lasting else " (not for long yet)")


def _lines(answer: PositionsAnswer) -> list[str]:
    rows = [
        (
            one.asset or UNKNOWN,
            one.market,
            f"{one.size:+.10g}" if one.lots else "0",
            f"{one.lots:+d}" if one.lots else "0",
            f"{one.average_price:.10g}" if one.lots else UNKNOWN,
            size(abs(one.notional_usd)),
            UNKNOWN if one.venue_lots is None else f"{one.venue_lots:+d}",
            UNKNOWN if one.difference_lots is None else f"{one.difference_lots:+d}" if one.difference_lots else "no",
            ", ".join(one.trades) or "none of ours",
        )
        for one in answer.positions
    ]
    found = columns(("asset", "market", *RIGHT, "trades"), rows, right=RIGHT) if rows else ["nothing is held"]
    found += [
        f"unhedged: {one.asset} {size(one.usd)} $ at decision prices ({', '.join(one.trades)})"
        for one in answer.unhedged
    ]
    return [*found, *answer.findings, f"{answer.path}: {answer.said}"]

"""`twinleg funding`: what both venues of each asset pay, and how far the figures can be trusted."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from twinleg.cli.exits import OK, UNREACHABLE
from twinleg.cli.figures import UNKNOWN, hours, percent, plain, rate, span
from twinleg.cli.looking import Look, advice, looking, units_checked
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.board import Board
from twinleg.core.edge import HOURS_PER_YEAR
from twinleg.core.funding import UnitState, differentials, half_life_hours
from twinleg.core.pairs import MarketState

FIGURES = ("per hour", "8 hours", "APR", "settled", "settles in", "gap APR", "half-life")


class FundingRate(msgspec.Struct, frozen=True):
    """One market. Rates are signed fractions, positive = longs pay shorts; None = not known."""

    market: str
    per_hour: float | None
    per_8_hours: float | None
    apr: float | None
    settled_per_hour: float | None
    """The last settled rate: money, where the others are the venue's estimate."""
    settled_at_ms: int | None
    settlements_known: int
    next_settlement_ms: int
    unit_check: str
    unit_detail: str


class AssetFunding(msgspec.Struct, frozen=True):
    """One asset on all venues that list it. `gap_apr` is the largest difference between two of them, per year."""

    asset: str
    gap_apr: float | None
    half_life_hours: float | None
    """Of the hourly difference of settled rates; None = too little common history."""
    rates: tuple[FundingRate, ...]


class FundingAnswer(msgspec.Struct, frozen=True):
    """All assets that two venues list, the largest gap first."""

    at_ms: int
    troubles: dict[str, str]
    unit_troubles: dict[str, str]
    """Venues whose rates as a whole look like another unit."""
    assets: tuple[AssetFunding, ...]


def run_funding(asset: str | None, wait_s: float, *, as_json: bool) -> int:
    """Print the rates; UNREACHABLE when a venue did not answer."""
    answer = asyncio.run(_funding(asset, wait_s))
    if as_json:
        put_json(answer)
    else:
        put(_lines(answer))
    if answer.troubles:
        sys.stderr.write(f"twinleg: {advice(answer.troubles)}.\n")
    return UNREACHABLE if answer.troubles else OK


async def _funding(asset: str | None, wait_s: float) -> FundingAnswer:
    settings = settings_of_user()
    if asset is not None:
        settings = settings.model_copy(update={"allow": (asset.upper(),), "deny": ()})
    async with looking(settings, wait_s) as look:
        board = look.system.engine.board
        await units_checked(board, 0 if look.troubles else wait_s)
        return _answer(look, board)


def _answer(look: Look, board: Board) -> FundingAnswer:
    now_ms = look.system.glance().at_ms
    grouped: dict[str, list[MarketState]] = {}
    for state in board.markets.values():
        if board.pairs_of.get(state.market.key):
            grouped.setdefault(state.asset.name, []).append(state)
    found = [asset_funding(asset, states, now_ms) for asset, states in grouped.items()]
    found.sort(key=lambda one: (one.gap_apr is None, -(one.gap_apr or 0.0)))
    return FundingAnswer(now_ms, look.troubles, dict(board.unit_trouble), tuple(found))


def asset_funding(asset: str, states: list[MarketState], now_ms: int) -> AssetFunding:
    """One asset's markets side by side."""
    rates = [rate for state in states if (rate := state.funding.rate_per_hour) is not None]
    gap = (max(rates) - min(rates)) * HOURS_PER_YEAR if len(rates) > 1 else None
    half_life = half_life_hours(differentials(states[0].funding, states[-1].funding)) if len(states) > 1 else None
    return AssetFunding(asset, gap, half_life, tuple(_rate(state, now_ms) for state in states))


def _rate(state: MarketState, now_ms: int) -> FundingRate:
    view = state.funding
    per_hour = view.rate_per_hour
    settled_at_ms = next(reversed(view.settlements), None)
    return FundingRate(
        market=state.market.key,
        per_hour=per_hour,
        per_8_hours=None if per_hour is None else per_hour * 8,
        apr=None if per_hour is None else per_hour * HOURS_PER_YEAR,
        settled_per_hour=None if settled_at_ms is None else view.settlements[settled_at_ms].rate_per_hour,
        settled_at_ms=settled_at_ms,
        settlements_known=len(view.settlements),
        next_settlement_ms=view.next_settlement_ms(now_ms),
        unit_check=view.check.state.value,
        unit_detail=view.check.detail,
    )


def _lines(answer: FundingAnswer) -> list[str]:
    titles = ("asset", "market", *FIGURES[:5], "unit", *FIGURES[5:])
    rows = [
        (
            plain(asset.asset) if position == 0 else "",
            plain(one.market),
            rate(one.per_hour),
            rate(one.per_hour, 8),
            percent(one.apr),
            rate(one.settled_per_hour),
            span(max(0, one.next_settlement_ms - answer.at_ms)),
            one.unit_check,
            percent(asset.gap_apr) if position == 0 else "",
            hours(asset.half_life_hours, UNKNOWN) if position == 0 else "",
        )
        for asset in answer.assets
        for position, one in enumerate(asset.rates)
    ]
    found = columns(titles, rows, right=FIGURES)
    found += [
        plain(f"{one.market}: {one.unit_detail}")
        for asset in answer.assets
        for one in asset.rates
        if one.unit_check == UnitState.DISAGREED.value
    ]
    return found + [plain(f"{venue}: {trouble}") for venue, trouble in answer.unit_troubles.items()]

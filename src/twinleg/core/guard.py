"""Risk limits. Only this room can make an `Approved`, and a trade is opened with nothing else.

Every limit refuses with its number and its current use. Exposure counts what is filled, in flight and unknown at its
worst. Money here is an estimate at mid prices (floats); orders themselves carry exact ticks and lots.
"""

from __future__ import annotations

from typing import Final

import msgspec

from twinleg.core.edge import BPS, Opportunity
from twinleg.core.entry import Mode
from twinleg.core.messages import Refusal
from twinleg.core.orders import Leg
from twinleg.core.pairs import Limits

_MINT: Final = object()
ONE_LEG_FIRST = 0.99
"""Between two fills of one entry a whole leg is unhedged: it must fit the budget, with room for its price to move."""


SPARE_SHARES: Final = {None: (0.5, 0.5), Leg.LONG: (0.0, 1.0), Leg.SHORT: (1.0, 0.0)}
"""By the leg that rests: the share of (long leg, short leg) in what the edge has to spare."""


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """What is at risk now, at its worst, in USD. Venue names are the keys."""

    gross_usd: float
    by_venue_usd: dict[str, float]
    equity_usd: dict[str, float]
    available_usd: dict[str, float]
    open_assets: frozenset[str]
    open_trades: int


class Approved:
    """Leave to open one trade, made by `approve` alone. Sizes in lots, bounds in ticks, of the legs' own markets."""

    __slots__ = ("common_lots", "long_limit_ticks", "opportunity", "short_limit_ticks")

    def __init__(self, key: object, opportunity: Opportunity, common_lots: int, limits_ticks: tuple[int, int]) -> None:
        if key is not _MINT:
            raise PermissionError("only the guard makes an Approved")
        self.opportunity = opportunity
        self.common_lots = common_lots
        self.long_limit_ticks, self.short_limit_ticks = limits_ticks

    @property
    def notional_usd(self) -> float:
        """Per leg, at the mid the decision was made on (an estimate)."""
        return self.opportunity.notional_usd * self.common_lots / self.opportunity.common_lots

    @property
    def expected_usd(self) -> float:
        """What the trade is opened for, at the approved size (an estimate)."""
        return self.opportunity.net_bps / BPS * self.notional_usd


def approve(
    opportunity: Opportunity, exposure: Exposure, limits: Limits, blocked: tuple[Refusal, ...] = ()
) -> Approved | tuple[Refusal, ...]:
    """Leave to open this trade, perhaps smaller, or every reason against it.

    `blocked` are standing reasons against any entry (halted, paused, journal failing).
    """
    refusals = [*blocked, *opportunity.refusals]
    size_usd = _affordable_usd(opportunity, exposure, limits)
    unit_usd = opportunity.notional_usd / opportunity.common_lots
    common_lots = min(opportunity.common_lots, int(size_usd / unit_usd))
    if opportunity.first is not None:
        common_lots -= common_lots % opportunity.least_order_common_lots
    notional_usd = common_lots * unit_usd
    least_usd = max(limits.min_order_size_usd, opportunity.least_common_lots * unit_usd)
    if notional_usd < least_usd:
        detail = "what balances and liquidity allow is below the smallest order"
        refusals.append(Refusal("size", detail, size_usd, least_usd))
    refusals += _standing(opportunity, exposure, limits)
    refusals += _concentration(opportunity, exposure, limits, notional_usd)
    if refusals:
        return tuple(refusals)
    return Approved(_MINT, opportunity, common_lots, _bounds(opportunity, limits))


def _venues(opportunity: Opportunity) -> tuple[str, str]:
    return opportunity.long_market.partition(":")[0], opportunity.short_market.partition(":")[0]


def _affordable_usd(opportunity: Opportunity, exposure: Exposure, limits: Limits) -> float:
    """Largest size per leg: a share of free collateral at the leverage, and the thinner book's near depth."""
    free = min(exposure.available_usd.get(venue, 0.0) for venue in _venues(opportunity))
    deployable = free * limits.balance_share_per_trade * limits.leverage
    near_depth = opportunity.liquidity.thinnest_depth10_usd * limits.max_balance_to_liquidity
    unhedged = limits.unhedged_notional_max_usd * ONE_LEG_FIRST
    return min(deployable, near_depth, unhedged, limits.max_order_size_usd, limits.max_position_size_usd)


def _standing(opportunity: Opportunity, exposure: Exposure, limits: Limits) -> list[Refusal]:
    found = []
    if exposure.open_trades >= limits.max_concurrent_trades:
        found.append(Refusal("trades", "as many trades as allowed", exposure.open_trades, limits.max_concurrent_trades))
    if opportunity.asset in exposure.open_assets:
        found.append(Refusal("asset_open", f"a trade in {opportunity.asset} is open already"))
    for venue in _venues(opportunity):
        equity, available = exposure.equity_usd.get(venue, 0.0), exposure.available_usd.get(venue, 0.0)
        if equity < limits.min_account_balance_usd:
            found.append(Refusal("balance", f"equity on {venue}", equity, limits.min_account_balance_usd))
        if available < limits.min_required_available_usd:
            found.append(
                Refusal("available", f"free collateral on {venue}", available, limits.min_required_available_usd)
            )
    return found


def _concentration(opportunity: Opportunity, exposure: Exposure, limits: Limits, notional_usd: float) -> list[Refusal]:
    found = []
    gross = exposure.gross_usd + 2 * notional_usd
    if gross > limits.max_total_exposure_usd:
        found.append(Refusal("exposure", "gross exposure over all venues", gross, limits.max_total_exposure_usd))
    for venue in _venues(opportunity):
        share = (exposure.by_venue_usd.get(venue, 0.0) + notional_usd) / gross if gross else 0.0
        if share > limits.venue_share_max:
            found.append(Refusal("venue_share", f"share of exposure on {venue}", share, limits.venue_share_max))
    return found


def _bounds(opportunity: Opportunity, limits: Limits) -> tuple[int, int]:
    """Worst entry prices in ticks: both legs at their bound still leave MIN_VIABLE, and MAX_SLIPPAGE always holds.

    A leg that rests gets its own price or none: what is to spare is its partner's alone.
    """
    spare = max(opportunity.net_bps - limits.min_viable_spread_bps, 0.0) / BPS
    rests = opportunity.first if opportunity.mode is Mode.MAKER_FIRST else None
    long_share, short_share = SPARE_SHARES[rests]
    long_ticks, short_ticks = opportunity.decision_ticks
    worst = limits.max_slippage_bps / BPS
    long_limit = int(long_ticks * (1 + min(spare * long_share, worst)))
    return long_limit, -int(-short_ticks * (1 - min(spare * short_share, worst)) // 1)

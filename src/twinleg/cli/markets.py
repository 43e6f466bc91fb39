"""`twinleg markets`: what the venues list."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, OK, UNREACHABLE, CommandError
from twinleg.cli.figures import UNKNOWN, plain, size, span
from twinleg.cli.looking import advice, doors, listings
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.assets import asset_of, common_assets
from twinleg.core.messages import Market, MarketsListed

FIGURES = ("tick", "lot", "min size", "min $", "maker bps", "taker bps", "delay ms", "leverage")


class MarketFacts(msgspec.Struct, frozen=True):
    """One market, exact steps as texts. `left_out` says why it is never traded, None when it may be."""

    market: str
    asset: str
    multiplier: int
    status: str
    left_out: str | None
    quote: str
    tick: str
    lot: str
    min_size: str
    min_notional_usd: float
    maker_fee_bps: float | None
    taker_fee_bps: float | None
    taker_delay_ms: int
    funding_interval_ms: int
    max_leverage: float | None


class MarketsAnswer(msgspec.Struct, frozen=True):
    """What was asked for of all venues' listings, and the venues that did not answer."""

    troubles: dict[str, str]
    markets: tuple[MarketFacts, ...]


def run_markets(venue: str | None, asset: str | None, wait_s: float, *, as_json: bool) -> int:
    """Print the markets; UNREACHABLE when a venue did not answer. Raises CommandError."""
    answer = asyncio.run(_markets(venue, asset, wait_s))
    if as_json:
        put_json(answer)
    else:
        put(_lines(answer.markets))
    if answer.troubles:
        sys.stderr.write(f"twinleg: {advice(answer.troubles)}.\n")
    return UNREACHABLE if answer.troubles else OK


async def _markets(venue: str | None, asset: str | None, wait_s: float) -> MarketsAnswer:
    settings = settings_of_user()
    async with doors() as ways:
        listed = {one.name: answer for one, answer in (await listings(settings, ways, wait_s)).items()}
    if venue is not None and venue not in listed:
        raise CommandError(BAD_CONFIGURATION, f"no venue {venue!r}: write one of {', '.join(listed)}.")
    known = [market for answer in listed.values() if isinstance(answer, MarketsListed) for market in answer.markets]
    paired = common_assets(known)
    rows = tuple(
        facts_of(market, paired)
        for market in known
        if venue in (None, market.venue) and (asset is None or asset_of(market.base).name == asset.upper())
    )
    troubles = {name: answer for name, answer in listed.items() if isinstance(answer, str) and venue in (None, name)}
    return MarketsAnswer(troubles, rows)


def facts_of(market: Market, paired: dict[str, list[Market]]) -> MarketFacts:
    """A market's facts; one that no other venue lists is left out for that."""
    asset = asset_of(market.base)
    alone = None if asset.name in paired else "no other venue lists it"
    return MarketFacts(
        market=market.key,
        asset=asset.name,
        multiplier=asset.multiplier,
        status=market.status.value,
        left_out=market.excluded or alone,
        quote=market.quote,
        tick=market.price_grid.text(1),
        lot=market.size_grid.text(1),
        min_size=market.size_grid.text(market.min_size_lots),
        min_notional_usd=market.min_notional_usd,
        maker_fee_bps=market.maker_fee_bps,
        taker_fee_bps=market.taker_fee_bps,
        taker_delay_ms=market.taker_delay_ms,
        funding_interval_ms=market.funding_interval_ms,
        max_leverage=market.max_leverage,
    )


def _lines(markets: tuple[MarketFacts, ...]) -> list[str]:
    titles = ("market", "asset", "status", *FIGURES, "funding", "quote", "left out because")
    rows = [
        (
            plain(one.market),
            plain(one.asset if one.multiplier == 1 else f"{one.asset} x {one.multiplier}"),
            one.status,
            one.tick,
            one.lot,
            one.min_size,
            size(one.min_notional_usd),
            UNKNOWN if one.maker_fee_bps is None else f"{one.maker_fee_bps:g}",
            UNKNOWN if one.taker_fee_bps is None else f"{one.taker_fee_bps:g}",
            f"{one.taker_delay_ms}",
            UNKNOWN if one.max_leverage is None else f"{one.max_leverage:g}",
            span(one.funding_interval_ms),
            plain(one.quote),
            plain(one.left_out or ""),
        )
        for one in markets
    ]
    tradeable = sum(one.left_out is None for one in markets)
    return [*columns(titles, rows, right=FIGURES), f"{len(markets)} markets, {tradeable} of them tradeable"]

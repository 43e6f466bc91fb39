"""Extended's REST answers: bodies to events. What we cannot trust raises WireError; a bad row loses only itself."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from twinleg.core.amounts import AmountError, Grid
from twinleg.core.messages import (
    FundingPredicted,
    FundingSettled,
    FundingSource,
    Market,
    MarketEvent,
    MarketsListed,
    MarketStatus,
)
from twinleg.core.venue import WireError
from twinleg.venues.extended import facts, wire

STATUSES = {
    "ACTIVE": MarketStatus.OPEN,
    "REDUCE_ONLY": MarketStatus.REDUCE_ONLY,
    "DELISTED": MarketStatus.CLOSED,
    "PRELISTED": MarketStatus.CLOSED,
    "DISABLED": MarketStatus.CLOSED,
}


def markets_listed(body: bytes, now_ms: int) -> list[MarketEvent]:
    """GET /info/markets -> one MarketsListed. Raises WireError, also when not one market can be read."""
    markets: dict[str, Market] = {}
    for raw in _rows(body):
        try:
            market = _market(wire.decode_market(raw))
        except (*wire.UNREADABLE, AmountError, WireError):
            continue  # left out: what we cannot read we cannot trade, and the others are unharmed
        markets.setdefault(market.key, market)
    if not markets:
        raise WireError("no market in info/markets")
    return [MarketsListed(facts.NAME, tuple(markets.values()), now_ms)]


def funding_now(keys: Mapping[str, str], body: bytes, now_ms: int) -> list[MarketEvent]:
    """GET /info/markets -> FundingPredicted of the markets in `keys` (name -> key).

    `fundingRate` is the current estimate as a fraction per hour, `nextFundingRate` the epoch ms of the next charge
    (API documentation, 2025; recorded September 2026). Raises WireError.
    """
    rows = _rows(body)
    if not rows:
        raise WireError("no market in info/markets")
    events: list[MarketEvent] = []
    for raw in rows:
        try:
            row = wire.decode_rate(raw)
            if row.name not in keys or row.market_stats.funding_rate is None:
                continue
            rate = wire.rate_per_hour(row.market_stats.funding_rate, facts.RATE_PER_HOUR_MAX)
        except (*wire.UNREADABLE, WireError):
            continue  # no reading of this market: the others are unharmed, and an old one grows stale by itself
        told_ms, full_ms = row.market_stats.next_funding_rate or 0, next_hour_ms(now_ms)
        settles_at_ms = told_ms if abs(told_ms - full_ms) <= facts.HOUR_MS else full_ms
        events.append(FundingPredicted(keys[row.name], rate, settles_at_ms, FundingSource.REST, now_ms))
    return events


def funding_history(name: str, key: str, body: bytes, _now_ms: int) -> list[MarketEvent]:
    """GET /info/{market}/funding -> FundingSettled, oldest first. `f` is a signed fraction per hour, longs pay if > 0.

    Raises WireError on any bad row: a hole in history is not zero.
    """
    rows = []
    for raw in _rows(body):
        try:
            row = wire.decode_funding(raw)
        except wire.UNREADABLE as error:
            raise WireError(f"not a funding row: {error}: {bytes(raw)[:80]!r}") from error
        if row.m != name or row.T <= 0:
            raise WireError(f"not a funding row of {name}: {row.m!r:.40} at {row.T}")
        rows.append(row)
    return [
        FundingSettled(
            market=key,
            rate_per_hour=wire.rate_per_hour(row.f, facts.RATE_PER_HOUR_MAX),
            interval_hours=1.0,
            price=None,
            settled_at_ms=nearest_hour_ms(row.T),
            source=FundingSource.HISTORY,
        )
        for row in sorted(rows, key=lambda row: row.T)
    ]


def next_hour_ms(at_ms: int) -> int:
    """The full hour after `at_ms`, when funding is next charged."""
    return (at_ms // facts.HOUR_MS + 1) * facts.HOUR_MS


def nearest_hour_ms(at_ms: int) -> int:
    """The full hour a settlement belongs to: the venue stamps it a second late."""
    return (at_ms + facts.HOUR_MS // 2) // facts.HOUR_MS * facts.HOUR_MS


def _rows(body: bytes) -> list[msgspec.Raw]:
    try:
        reply = wire.decode_reply(body)
    except wire.UNREADABLE as error:
        raise WireError(f"unreadable: {error}: {body[:80]!r}") from error
    if reply.status != "OK" or reply.data is None:
        error_body = reply.error or wire.RpcError()
        raise WireError(f"status {reply.status!r:.40}, error {error_body.code}: {error_body.message[:200]}")
    return reply.data


def _market(row: wire.MarketRow) -> Market:
    if not row.name or not row.name.isprintable() or not row.asset_name:
        raise WireError(f"not a market: {row.name!r:.40}")
    config = row.trading_config
    size_grid = Grid.of(config.min_order_size_change)
    leverage = wire.positive(config.max_leverage) if config.max_leverage else None
    return Market(
        key=f"{facts.NAME}:{row.name}",
        venue=facts.NAME,
        symbol=row.name,
        native_id=row.name,
        base=row.asset_name,
        quote=facts.QUOTES.get(row.collateral_asset_name, row.collateral_asset_name),
        status=_status(row),
        excluded=_excluded(row),
        price_grid=Grid.of(config.min_price_change),
        size_grid=size_grid,
        min_size_lots=max(1, size_grid.parse(config.min_order_size)),
        maker_fee_bps=facts.MAKER_FEE_BPS,
        taker_fee_bps=facts.TAKER_FEE_BPS,
        taker_delay_ms=facts.TAKER_DELAY_MS,
        funding_interval_ms=facts.FUNDING_INTERVAL_MS,
        max_leverage=leverage,
        maintenance_margin_fraction=facts.MAINTENANCE_SHARE / leverage if leverage else None,
        settlement=wire.settlement(row.l2_config) if row.l2_config else "",
    )


def _status(row: wire.MarketRow) -> MarketStatus:
    status = STATUSES.get(row.status, MarketStatus.UNKNOWN)
    return MarketStatus.CLOSED if status is MarketStatus.OPEN and not row.active else status


def _excluded(row: wire.MarketRow) -> str | None:
    if row.type != "PERPETUAL":
        return f"not a perpetual: {row.type}"
    if row.is_rfq:
        return "request for quote"
    if row.trading_hours not in (None, "CONTINUOUS"):
        return f"trading hours: {row.trading_hours}"
    if row.is_off_hours:
        return "off hours"
    if STATUSES.get(row.status) is MarketStatus.CLOSED:
        return f"status {row.status}"
    if not row.active:
        return "not active"
    return None

"""Lighter's REST answers: bodies to events. What we cannot trust raises WireError; a bad row loses only itself."""

from __future__ import annotations

from collections.abc import Mapping

from twinleg.core.amounts import AmountError, Grid
from twinleg.core.messages import (
    FundingPredicted,
    FundingSettled,
    FundingSource,
    Market,
    MarketEvent,
    MarketsListed,
    MarketStatus,
    VenueClock,
)
from twinleg.core.venue import WireError
from twinleg.venues.lighter import facts, wire

DECIMALS_MAX = 18
SECOND_MS = 1_000
PLAUSIBLE_S = range(1_577_836_800, 4_102_444_800)
"""2020 to 2100: a timestamp outside is in another unit."""

STATUSES = {
    "active": MarketStatus.OPEN,
    "inactive": MarketStatus.CLOSED,
    "in-settlement": MarketStatus.CLOSED,
    "waiting-for-settlement": MarketStatus.CLOSED,
    "settled": MarketStatus.CLOSED,
}


def markets_listed(body: bytes, now_ms: int) -> list[MarketEvent]:
    """GET /api/v1/orderBookDetails -> one MarketsListed. Raises WireError, also when not one market can be read."""
    markets: dict[str, Market] = {}
    for raw in _reply(body).order_book_details or ():
        try:
            market = _market(wire.decode_market(raw))
        except (*wire.UNREADABLE, AmountError, WireError):
            continue  # left out: what we cannot read we cannot trade, and the others are unharmed
        markets.setdefault(market.key, market)
    if not markets:
        raise WireError("no market in orderBookDetails")
    return [MarketsListed(facts.NAME, tuple(markets.values()), now_ms)]


def funding_rates(keys: Mapping[int, str], body: bytes, now_ms: int) -> list[MarketEvent]:
    """GET /api/v1/funding-rates -> FundingPredicted of the markets in `keys` (market id -> key).

    The answer also has other exchanges' rows; `rate` is a signed fraction per 8 hours (recorded:
    0.000096 = 8 x 0.0012 %). It carries no time, so ours stands for it. Raises WireError.
    """
    rows = _reply(body).funding_rates
    if not rows:
        raise WireError("no rows in funding-rates")
    events: list[MarketEvent] = []
    for raw in rows:
        try:
            row = wire.decode_rate(raw)
            if row.exchange != facts.NAME or row.market_id not in keys:
                continue
            rate = wire.rate_per_hour(row.rate / 8, facts.RATE_PER_HOUR_MAX)
        except (*wire.UNREADABLE, WireError):
            continue  # no reading of this market: the others are unharmed, and an old one grows stale by itself
        key = keys[row.market_id]
        events.append(FundingPredicted(key, rate, next_hour_ms(now_ms), FundingSource.REST, now_ms))
    return events


def funding_history(key: str, body: bytes, _now_ms: int) -> list[MarketEvent]:
    """GET /api/v1/fundings -> FundingSettled, oldest first.

    `rate` is percent per hour without sign and `direction` the side that pays (so "long" is positive); `value` is
    rate x index price per unit of base, which gives the price back. Raises WireError: a hole in history is not zero.
    """
    rows = _reply(body).fundings or []  # an empty list may be null or absent
    return [_settled(key, row) for row in sorted(rows, key=lambda row: row.timestamp)]


def venue_clock(body: bytes, now_ms: int) -> list[MarketEvent]:
    """GET / -> VenueClock: the venue tells whole seconds; of all offsets that fit, the smallest is proven."""
    try:
        status = wire.decode_status(body)
    except wire.UNREADABLE as error:
        raise WireError(f"not a status: {error}: {body[:80]!r}") from error
    if status.timestamp not in PLAUSIBLE_S:
        raise WireError(f"not a time in seconds: {status.timestamp}")
    earliest_ms = status.timestamp * SECOND_MS - now_ms
    latest_ms = earliest_ms + SECOND_MS - 1
    offset_ms = max(earliest_ms, min(latest_ms, 0))
    return [VenueClock(facts.NAME, offset_ms, 0, now_ms)]


def next_hour_ms(at_ms: int) -> int:
    """The full hour after `at_ms`, when funding is next charged."""
    return (at_ms // facts.HOUR_MS + 1) * facts.HOUR_MS


def nearest_hour_ms(at_ms: int) -> int:
    """The full hour a settlement belongs to: venues stamp it some ms or seconds off."""
    return (at_ms + facts.HOUR_MS // 2) // facts.HOUR_MS * facts.HOUR_MS


def _reply(body: bytes) -> wire.Reply:
    try:
        reply = wire.decode_reply(body)
    except wire.UNREADABLE as error:
        raise WireError(f"unreadable: {error}: {body[:80]!r}") from error
    if reply.code != 200:
        raise WireError(f"error {reply.code}: {reply.message[:200]}")
    return reply


def _market(row: wire.MarketDetails) -> Market:
    if not row.symbol or not row.symbol.isprintable() or row.market_id < 0:
        raise WireError(f"not a market: {row.symbol!r:.40}, id {row.market_id}")
    return Market(
        key=f"{facts.NAME}:{row.symbol}",
        venue=facts.NAME,
        symbol=row.symbol,
        native_id=str(row.market_id),
        base=row.symbol,
        quote=facts.QUOTE,
        status=_status(row),
        excluded=_excluded(row),
        price_grid=_grid(row.supported_price_decimals),
        size_grid=_grid(row.supported_size_decimals),
        min_size_lots=max(1, _grid(row.supported_size_decimals).parse(row.min_base_amount)),
        min_notional_usd=wire.positive(row.min_quote_amount) or 0.0,
        maker_fee_bps=_bps(row.maker_fee),
        taker_fee_bps=_bps(row.taker_fee),
        taker_delay_ms=facts.TAKER_DELAY_MS,
        funding_interval_ms=facts.FUNDING_INTERVAL_MS,
        max_leverage=_leverage(row.min_initial_margin_fraction),
        maintenance_margin_fraction=_fraction(row.maintenance_margin_fraction),
    )


def _status(row: wire.MarketDetails) -> MarketStatus:
    if row.is_frozen:
        return MarketStatus.CLOSED
    status = STATUSES.get(row.status, MarketStatus.UNKNOWN)
    if status is MarketStatus.OPEN and row.market_config is not None and row.market_config.force_reduce_only:
        return MarketStatus.REDUCE_ONLY
    return status


def _excluded(row: wire.MarketDetails) -> str | None:
    config = row.market_config or wire.MarketConfig()
    if row.market_type != "perp":
        return f"not a perpetual: {row.market_type}"
    if config.hidden:
        return "hidden by the venue"
    if config.rfq_enabled:
        return "request for quote"
    if config.trading_hours:
        return f"trading hours: {config.trading_hours}"
    if row.is_frozen:
        return "frozen"
    if STATUSES.get(row.status) is MarketStatus.CLOSED:
        return f"status {row.status}"
    return None


def _settled(key: str, row: wire.FundingRow) -> FundingSettled:
    percent = wire.number(row.rate)
    if percent is None or row.timestamp not in PLAUSIBLE_S:
        raise WireError(f"not a funding row: rate {row.rate!r:.40} at {row.timestamp}")
    if row.direction not in ("long", "short") and percent != 0:
        raise WireError(f"funding paid by {row.direction!r:.40}")
    rate = wire.rate_per_hour(abs(percent) / 100, facts.RATE_PER_HOUR_MAX)
    value = wire.number(row.value)
    return FundingSettled(
        market=key,
        rate_per_hour=-rate if row.direction == "short" else rate,
        interval_hours=1.0,
        price=abs(value) / rate if value and rate else None,
        settled_at_ms=nearest_hour_ms(row.timestamp * SECOND_MS),
        source=FundingSource.HISTORY,
    )


def _grid(decimals: int) -> Grid:
    if not 0 <= decimals <= DECIMALS_MAX:
        raise WireError(f"{decimals} decimals")
    return Grid(decimals=decimals)


def _bps(percent: str | float | None) -> float | None:
    value = wire.number(percent)
    return None if value is None else round(value * 100, 6)


def _fraction(unit_fraction: int | None) -> float | None:
    return unit_fraction / facts.MARGIN_FRACTION_UNIT if unit_fraction and unit_fraction > 0 else None


def _leverage(unit_fraction: int | None) -> float | None:
    return facts.MARGIN_FRACTION_UNIT / unit_fraction if unit_fraction and unit_fraction > 0 else None

"""Lighter's REST answers: bodies to events. What we cannot trust raises WireError; a bad row loses only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

import msgspec

from twinleg.core.amounts import AmountError, Grid, micro_usd
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
from twinleg.core.trading import (
    AccountEvent,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    FeesSeen,
    FundingPaid,
    Incident,
    OrderSeen,
    PositionSeen,
)
from twinleg.core.venue import WireError
from twinleg.venues.lighter import facts, orders, wire
from twinleg.venues.lighter.account import UNTRUSTED, Rows
from twinleg.venues.lighter.account import balance as balance_seen

Result = TypeVar("Result")

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
        events.append(FundingPredicted(key, rate, wire.next_hour_ms(now_ms), FundingSource.REST, now_ms))
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


def open_orders(rows: Rows, body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET accountActiveOrders -> one AccountSnapshot, all of it or WireError: a listing with a hole proves nothing."""
    reply = _private(body)
    if reply.next_cursor:
        raise WireError("the listing of open orders goes on, and we know no way to ask for the rest")
    return _snapshot("orders", [row for raw in _listed(reply.orders) for row in _row(rows.order, raw, now_ms)], now_ms)


def orders_named(rows: Rows, client_id: str, body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET accountOrders -> OrderSeen of an order of ours or a caller's, open or over, if the venue knows it.

    Raises WireError.
    """
    seen = [row for raw in _listed(_private(body).orders) for row in _row(rows.order, raw, now_ms)]
    return [row for row in seen if isinstance(row, OrderSeen) and client_id in (row.client_id, row.name)]


def positions(rows: Rows, body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET account -> one AccountSnapshot of all positions, then the leverage of each market. Raises WireError.

    Positions may be `null` where there never was one, which is believed of an account with no profit or loss only.
    """
    row = _account(rows.account_index, body)
    if row.positions is None and row.collateral != row.total_asset_value:
        raise WireError("no positions listed, and yet a profit or loss")
    try:
        seen = [event for each in row.positions or () for event in rows.position(each, now_ms)]
    except UNTRUSTED as error:
        raise WireError(f"bad position: {error}") from error
    held = [event for event in seen if isinstance(event, PositionSeen)]
    return [
        *_snapshot("positions", held, now_ms),
        *(event for event in seen if not isinstance(event, PositionSeen | Incident)),
        *(event for event in seen if isinstance(event, Incident)),
    ]


def balance(rows: Rows, body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET account -> one AccountSnapshot with the balance. Raises WireError."""
    row = _account(rows.account_index, body)
    margins = row.cross_initial_margin_requirement, row.cross_maintenance_margin_requirement
    seen = balance_seen(row.total_asset_value, row.available_balance, now_ms, *margins)
    return _snapshot("balance", [seen], now_ms)


def fees(body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET accountLimits -> the account's own fees, the same in every market. Raises WireError."""
    reply = _private(body)
    maker, taker = reply.current_maker_fee_tick, reply.current_taker_fee_tick
    if maker is None or taker is None:
        raise WireError("no fees in accountLimits")
    bps = 10_000 / facts.FEE_TICKS_PER_ONE
    return [FeesSeen(facts.NAME, None, round(maker * bps, 6), round(taker * bps, 6), now_ms)]


class FillsPage(msgspec.Struct, frozen=True):
    """A page of the account's trades, newest first. `oldest_ms` is None where the page is empty."""

    seen: tuple[ExecutionSeen | Incident, ...]
    oldest_ms: int | None
    cursor: str | None
    """Where the next page starts, None at the end."""


def fills_page(rows: Rows, body: bytes, now_ms: int) -> FillsPage:
    """GET trades -> one page. Raises WireError, also when it is not sorted as asked: then it would prove nothing.

    No trades may be `null` or absent (recorded); `code` 200 says that it is no error.
    """
    reply = _private(body)
    raws = [] if isinstance(reply.trades, msgspec.UnsetType) else reply.trades or []
    times = [_row(wire.decode_fill, raw).timestamp for raw in raws]
    if any(one < other for one, other in pairwise(times)):
        raise WireError("trades are not sorted newest first")
    seen = tuple(each for raw in raws for each in _row(rows.executions, raw, now_ms))
    return FillsPage(seen, times[-1] if times else None, reply.next_cursor or None)


def fills_named(rows: Rows, client_id: str, body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET trades -> the executions of one order of ours on this page. Raises WireError."""
    seen = fills_page(rows, body, now_ms).seen
    return [each for each in seen if isinstance(each, ExecutionSeen) and each.client_id == client_id]


def fills_snapshot(
    seen: Iterable[ExecutionSeen | Incident], since_ms: int, complete_ms: int, now_ms: int
) -> list[AccountEvent]:
    """Executions since `since_ms` as a listing that is complete from `complete_ms` on, each once, oldest first."""
    found = dict.fromkeys(seen)
    fills = [each for each in found if isinstance(each, ExecutionSeen) and each.at_ms >= since_ms]
    fills.sort(key=lambda each: (each.at_ms, int(each.fill_id)))
    incidents = [each for each in found if isinstance(each, Incident)]
    return [AccountSnapshot(facts.NAME, "fills", complete_ms, tuple(fills), now_ms), *incidents]


def funding_paid(rows: Rows, body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET positionFunding -> FundingPaid, oldest first, as far as the page goes. Raises WireError.

    The sign of the rate follows from who paid whom: positive = longs pay.
    """
    events: list[AccountEvent] = []
    for raw in _listed(_private(body).position_fundings):
        row = _row(wire.decode_paid, raw)
        market = rows.market(row.market_id)
        if market is not None:
            events.append(_paid(market.key, row))
    return sorted(events, key=lambda event: event.settled_at_ms if isinstance(event, FundingPaid) else now_ms)


def transaction(rows: Rows, body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET tx -> whose number it has, and what its result tells: a failed order was never placed."""
    _private(body)
    return [*_row(orders.transaction_told, msgspec.Raw(body), rows.account_index, rows.market, now_ms)]


def next_nonce(body: bytes) -> int:
    """GET nextNonce -> the number the key's next transaction takes. Raises WireError."""
    nonce = _private(body).nonce
    if nonce is None or not 0 <= nonce <= facts.NONCE_MAX:
        raise WireError(f"not a nonce: {nonce}")
    return nonce


def key_check(slot: str, public_key: str, body: bytes, now_ms: int) -> list[AccountEvent]:
    """GET apikeys -> an Incident if the slot has another key than ours, or none. Raises WireError."""
    rows = _private(body).api_keys or ()
    found = [row.public_key.lower().removeprefix("0x") for row in rows if str(row.api_key_index) == slot]
    if public_key in found:
        return []
    there = f"the venue has {found[0]:.80}" if found and found[0] else "the venue has none"
    detail = f"API key slot {slot}: {there}, ours has the public key {public_key}"
    return [Incident(facts.NAME, "wrong_key", detail, now_ms)]


def _reply(body: bytes) -> wire.Reply:
    try:
        reply = wire.decode_reply(body)
    except wire.UNREADABLE as error:
        raise WireError(f"unreadable: {error}: {body[:80]!r}") from error
    if reply.code != 200:
        raise WireError(f"error {reply.code}: {reply.message[:200]}")
    return reply


def _private(body: bytes) -> wire.PrivateReply:
    try:
        reply = wire.decode_private(body)
    except wire.UNREADABLE as error:
        raise WireError(f"unreadable: {error}: {body[:80]!r}") from error
    if reply.code != 200:
        raise WireError(f"error {reply.code}: {reply.message[:200]}")
    return reply


def _listed(rows: list[msgspec.Raw] | msgspec.UnsetType | None) -> list[msgspec.Raw]:
    """Rows of a listing. `null` is none of them (Go writes an empty list so); a listing that is absent is no answer."""
    if isinstance(rows, msgspec.UnsetType):
        raise WireError("the answer has no listing")
    return rows or []


def _row(read: Callable[..., Result], *arguments: object) -> Result:
    try:
        return read(*arguments)
    except UNTRUSTED as error:
        raise WireError(f"bad row: {error}") from error


def _snapshot(
    kind: str, events: Sequence[OrderSeen | PositionSeen | BalanceSeen | Incident], now_ms: int
) -> list[AccountEvent]:
    rows = tuple(event for event in events if not isinstance(event, Incident))
    incidents = dict.fromkeys(event for event in events if isinstance(event, Incident))
    return [AccountSnapshot(facts.NAME, kind, None, rows, now_ms), *incidents]


def _account(index: int, body: bytes) -> wire.AccountRow:
    found = [_row(wire.decode_account, raw) for raw in _listed(_private(body).accounts)]
    row = next((each for each in found if each.index == index), None)
    if row is None:
        raise WireError(f"account {index} is not in the answer")
    return row


def _paid(key: str, row: wire.PaidRow) -> FundingPaid:
    amount = Fraction(_row(Grid(decimals=18).parse, row.change), 10**18)
    at_ms = row.timestamp * SECOND_MS if row.timestamp in PLAUSIBLE_S else row.timestamp
    if at_ms // SECOND_MS not in PLAUSIBLE_S:
        raise WireError(f"not a time: {row.timestamp}")
    rate = wire.number(row.rate)
    if rate is not None:
        rate = abs(wire.rate_per_hour(rate, facts.RATE_PER_HOUR_MAX))
        rate = -rate if (amount > 0) is (row.position_side == "long") else rate
    return FundingPaid(facts.NAME, key, micro_usd(amount), rate, wire.nearest_hour_ms(at_ms))


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
        settled_at_ms=wire.nearest_hour_ms(row.timestamp * SECOND_MS),
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

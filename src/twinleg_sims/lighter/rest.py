"""The public REST endpoints: one function each, query in, body out."""

from __future__ import annotations

from collections.abc import Callable

from twinleg_sims.funding import Settled
from twinleg_sims.history import DAY_MS, Bar, Bars
from twinleg_sims.lighter import facts, wire
from twinleg_sims.lighter.view import View
from twinleg_sims.lighter.wire import Row
from twinleg_sims.listings import Listing
from twinleg_sims.market import SimMarket
from twinleg_sims.protocol import HttpReply, HttpRequest

ALL_MARKETS = 255
SECONDS_BELOW = 100_000_000_000
"""Timestamps smaller than this are taken as seconds, larger ones as milliseconds."""
_OK = {"code": 200}


class BadParameterError(ValueError):
    """A query the venue refuses with code 20001."""


def answer(view: View, request: HttpRequest, now_ms: int) -> HttpReply:
    """The reply to a request that is within its budget."""
    name = request.path.removeprefix("/api/v1/")
    endpoint = _ENDPOINTS.get(name)
    if endpoint is None:
        return HttpReply(404, wire.error(facts.NOT_FOUND, f"not found: {request.path}"))
    if request.method != "GET":
        return HttpReply(405, wire.error(facts.INVALID_PARAM, f"{request.method} is not allowed"))
    try:
        return HttpReply(200, wire.encode(endpoint(view, request, now_ms)))
    except BadParameterError as error:
        return HttpReply(400, wire.error(facts.INVALID_PARAM, f"invalid param : {error}"))


def _status(view: View, _: HttpRequest, now_ms: int) -> Row:
    return {"status": 200, "network_id": 1, "timestamp": view.stamp_ms(now_ms) // 1000}


def _info(_view: View, _: HttpRequest, _now_ms: int) -> Row:
    return {"contract_address": facts.CONTRACT}


def _order_books(view: View, request: HttpRequest, now_ms: int) -> Row:
    rows = [wire.order_book(market, view.status(market, now_ms)) for market in _filtered(view, request, now_ms)]
    return _OK | {"order_books": rows}


def _order_book_details(view: View, request: HttpRequest, now_ms: int) -> Row:
    perps: list[Row] = []
    spots: list[Row] = []
    for market in _filtered(view, request, now_ms):
        rows = spots if market.listing.kind == "spot" else perps
        reduce_only = view.force_reduce_only(market, now_ms)
        rows.append(wire.order_book_detail(market, view.status(market, now_ms), now_ms, reduce_only=reduce_only))
    return _OK | {"order_book_details": perps, "spot_order_book_details": spots}


def _order_book_orders(view: View, request: HttpRequest, now_ms: int) -> Row:
    market = _market(view, request, now_ms)
    limit = _number(request, "limit", 1, 250)
    asks = [view.simple_order(market, order) for order in market.book.orders("ask")]
    bids = [view.simple_order(market, order) for order in market.book.orders("bid")]
    return _OK | {
        "total_asks": len(asks[:limit]),
        "asks": asks[:limit],
        "total_bids": len(bids[:limit]),
        "bids": bids[:limit],
    }


def _recent_trades(view: View, request: HttpRequest, now_ms: int) -> Row:
    market = _market(view, request, now_ms)
    trades = market.book.recent_trades(_number(request, "limit", 1, 100))
    return _OK | {"trades": [view.trade(market, done, now_ms) for done in reversed(trades)]}


def _candles(view: View, request: HttpRequest, now_ms: int) -> Row:
    market = _market(view, request, now_ms)
    resolution, bars = _bars(market.bars, request)
    return _OK | {"r": resolution, "c": [wire.candle(bar, market.listing) for bar in bars]}


def _mark_price_candles(view: View, request: HttpRequest, now_ms: int) -> Row:
    resolution, bars = _bars(view.marks(_market(view, request, now_ms)), request)
    return _OK | {"r": resolution, "c": [wire.mark_price_candle(bar) for bar in bars]}


def _bars(source: Bars, request: HttpRequest) -> tuple[str, list[Bar]]:
    resolution = request.first("resolution") or ""
    if resolution not in facts.RESOLUTIONS_MS:
        raise BadParameterError("resolution")
    start_ms, end_ms, rows_max = _span(request)
    return resolution, source.between(facts.RESOLUTIONS_MS[resolution], start_ms, end_ms)[-rows_max:]


def _fundings(view: View, request: HttpRequest, now_ms: int) -> Row:
    market = _market(view, request, now_ms)
    start_ms, end_ms, rows_max = _span(request)
    settled = [row for row in market.funding.settled if start_ms <= row.settled_at_ms <= end_ms]
    resolution = request.first("resolution")
    if resolution == "1d":
        settled = _by_day(settled)
    elif resolution != "1h":
        raise BadParameterError("resolution")
    rows = [_funding_row(market.listing, row) for row in settled[-rows_max:]]
    return _OK | {"resolution": resolution, "fundings": rows}


def _funding_row(listing: Listing, settled: Settled) -> Row:
    """Absolute percent per hour and quote per base unit; `direction` is the side that pays."""
    value = abs(settled.rate_per_hour) * round(settled.price, listing.price_decimals)
    return {
        "timestamp": settled.settled_at_ms // 1000,
        "value": f"{value:.{listing.price_decimals + 6}f}",
        "rate": wire.percent(abs(settled.rate_per_hour)),
        "direction": "long" if settled.rate_per_hour >= 0 else "short",
    }


def _by_day(hours: list[Settled]) -> list[Settled]:
    """Days as the mean rate of their hours, on the last hour's price (assumed: no daily row was ever recorded)."""
    days: dict[int, list[Settled]] = {}
    for hour in hours:
        days.setdefault(hour.settled_at_ms // DAY_MS, []).append(hour)
    return [
        Settled(day * DAY_MS, round(sum(row.rate_per_hour for row in rows) / len(rows), 6), rows[-1].price)
        for day, rows in days.items()
    ]


def _funding_rates(view: View, _: HttpRequest, now_ms: int) -> Row:
    """Signed fractions per 8 hours, other exchanges' rows included."""
    rows: list[Row] = []
    for market in view.listed(now_ms):
        if market.listing.kind != "perp":
            continue
        ours = market.funding.predicted_rate_per_hour() * 8
        for exchange, rate in (("binance", 0.0001), ("bybit", ours * 0.9), ("hyperliquid", 0.0001), ("lighter", ours)):
            rows.append(
                {"market_id": market.listing.market_id, "exchange": exchange, "symbol": market.symbol, "rate": rate}
            )
    return _OK | {"funding_rates": rows}


def _exchange_stats(view: View, _: HttpRequest, now_ms: int) -> Row:
    rows: list[Row] = []
    for market in view.listed(now_ms):
        day = wire.daily(market, now_ms)
        del day["daily_price_low"], day["daily_price_high"]
        trades = market.bars.day(now_ms).trades
        last = market.last_price
        rows.append({"symbol": market.symbol, "last_trade_price": last, "daily_trades_count": trades, **day})
    return _OK | {
        "total": len(rows),
        "order_book_stats": rows,
        "daily_usd_volume": sum(row["daily_quote_token_volume"] for row in rows),
        "daily_trades_count": sum(row["daily_trades_count"] for row in rows),
    }


def _asset_details(view: View, request: HttpRequest, _now_ms: int) -> Row:
    ether = next((asset.start_price for asset in view.world.assets if asset.name == "ETH"), 2_000.0)
    rows = [
        wire.asset(1, "ETH", 8, ether, margin=False),
        wire.asset(2, "LIT", 8, 2.512, margin=False),
        wire.asset(3, "USDC", 6, 1.0, margin=True),
    ]
    asked = request.first("asset_id")
    return _OK | {"asset_details": [row for row in rows if asked in (None, str(row["asset_id"]))]}


def _system_config(_view: View, _: HttpRequest, _now_ms: int) -> Row:
    return _OK | {
        "liquidity_pool_index": 281_474_976_710_654,
        "staking_pool_index": 281_474_976_710_653,
        "funding_fee_rebate_account_index": 3,
        "liquidity_pool_cooldown_period": 300_000,
        "staking_pool_lockup_period": 604_800_000,
        "max_integrator_perps_maker_fee": 1_000,
        "max_integrator_perps_taker_fee": 1_000,
        "max_integrator_spot_maker_fee": 10_000,
        "max_integrator_spot_taker_fee": 10_000,
        "market_maker_incentive_account_index": 4,
        "fee_collector_account_index": 1,
    }


def _current_height(_view: View, _: HttpRequest, now_ms: int) -> Row:
    return _OK | {"height": facts.height(now_ms)}


def _withdrawal_delay(_view: View, _: HttpRequest, _now_ms: int) -> Row:
    return {"seconds": 14_400}


def _announcement(_view: View, _: HttpRequest, _now_ms: int) -> Row:
    return _OK | {"announcements": []}


_ENDPOINTS: dict[str, Callable[[View, HttpRequest, int], Row]] = {
    "/": _status,
    "/info": _info,
    "orderBooks": _order_books,
    "orderBookDetails": _order_book_details,
    "orderBookOrders": _order_book_orders,
    "recentTrades": _recent_trades,
    "candles": _candles,
    "markPriceCandles": _mark_price_candles,
    "fundings": _fundings,
    "funding-rates": _funding_rates,
    "exchangeStats": _exchange_stats,
    "assetDetails": _asset_details,
    "systemConfig": _system_config,
    "currentHeight": _current_height,
    "withdrawalDelay": _withdrawal_delay,
    "announcement": _announcement,
}


def _number(request: HttpRequest, name: str, low: int, high: int) -> int:
    text = request.first(name) or ""
    if not text.isdecimal() or not low <= int(text) <= high:
        raise BadParameterError(name)
    return int(text)


def _market(view: View, request: HttpRequest, now_ms: int) -> SimMarket:
    market = view.market(_number(request, "market_id", 0, facts.MARKETS_MAX), now_ms)
    if market is None:
        raise BadParameterError("market_id")
    return market


def _filtered(view: View, request: HttpRequest, now_ms: int) -> list[SimMarket]:
    """The markets that `market_id` (255 or absent = all) and `filter` ask for."""
    wanted = request.first("filter") or "all"
    if wanted not in ("all", "spot", "perp"):
        raise BadParameterError("filter")
    if request.first("market_id") not in (None, str(ALL_MARKETS)):
        return [_market(view, request, now_ms)]
    return [market for market in view.listed(now_ms) if wanted in ("all", market.listing.kind)]


def _span(request: HttpRequest) -> tuple[int, int, int]:
    """start_timestamp and end_timestamp in ms, and how many rows at most."""
    start = _number(request, "start_timestamp", 0, 5_000_000_000_000)
    end = _number(request, "end_timestamp", 0, 5_000_000_000_000)
    if start > end:
        raise BadParameterError("start_timestamp")
    rows_max = min(_number(request, "count_back", 0, 10_000) or facts.ROWS_MAX, facts.ROWS_MAX)
    return _ms(start), _ms(end), rows_max


def _ms(timestamp: int) -> int:
    return timestamp * 1000 if timestamp < SECONDS_BELOW else timestamp

"""The public REST side: every GET /info/... endpoint, from the world as it is now."""

from __future__ import annotations

from collections.abc import Mapping

from twinleg_sims.extended import facts, wire
from twinleg_sims.extended.facts import ErrorCode
from twinleg_sims.extended.feed import VENUE, MarketFeed
from twinleg_sims.extended.past import Past
from twinleg_sims.extended.replies import RefusedError, ok
from twinleg_sims.extended.topics import CANDLE_KINDS_BY_PATH
from twinleg_sims.extended.wire import Body
from twinleg_sims.faults import Faults
from twinleg_sims.protocol import HttpReply, HttpRequest

CANDLES_DEFAULT = 100
"""Rows without a limit; the documentation names no default, assumed."""
OPEN_INTEREST_INTERVALS_MS = {"P1H": facts.HOUR_MS, "P1D": facts.DAY_MS}
VAULT_SHARE_PRICE = "1.02"


class PublicRest:
    """Routes and bodies. `feeds` and `pasts` are by market name, in listing order."""

    def __init__(self, feeds: Mapping[str, MarketFeed], pasts: Mapping[str, Past], faults: Faults) -> None:
        self._feeds = feeds
        self._pasts = pasts
        self._faults = faults

    def get(self, segments: list[str], request: HttpRequest, now_ms: int) -> HttpReply:
        """Answer GET /api/v1/`segments`. Raises RefusedError."""
        match segments:
            case ["info", "markets"]:
                return ok(self._markets(request.all("market"), now_ms))
            case ["info", "markets", name, what]:
                return ok(self._of_market(self._feed(name, now_ms), what, now_ms))
            case ["info", "candles", name, kind] if kind in CANDLE_KINDS_BY_PATH:
                return ok(self._candles(self._feed(name, now_ms), kind, request, now_ms))
            case ["info", "assets"]:
                return ok([row for row in self._assets() if request.first("type") in (None, row["type"])])
            case ["info", "assets", asset, "price"]:
                return ok(self._asset_price(asset))
            case ["info", "settings"]:
                return ok({"starkExContractAddress": facts.STARKEX_CONTRACT})
            case ["info", "starknet"]:
                return ok(facts.STARKNET_DOMAIN)
            case ["info", name, "funding"]:
                return self._funding(self._feed(name, now_ms), request, now_ms)
            case ["info", name, "open-interests"]:
                return ok(self._open_interest(self._feed(name, now_ms), request, now_ms))
        raise RefusedError(404, ErrorCode.NOT_FOUND, f"no such endpoint: {request.path}")

    def _feed(self, name: str, now_ms: int) -> MarketFeed:
        feed = self._feeds.get(name)
        if feed is None or self._faults.active(VENUE, "vanish", now_ms, name):
            raise RefusedError(404, ErrorCode.MARKET_NOT_FOUND, f"Market not found: {name}")
        return feed

    def _markets(self, names: list[str], now_ms: int) -> list[Body]:
        wanted = names or [name for name in self._feeds if not self._faults.active(VENUE, "vanish", now_ms, name)]
        rows: list[Body] = []
        for name in wanted:
            row = wire.market_body(self._feed(name, now_ms).market, now_ms)
            if self._faults.active(VENUE, "unknown_word", now_ms, name):
                row["status"] = "AUCTION_ONLY"
            rows.append(row)
        return rows

    def _of_market(self, feed: MarketFeed, what: str, now_ms: int) -> Body | list[Body]:
        match what:
            case "stats":
                return wire.stats_body(feed.market, now_ms)
            case "orderbook":
                return wire.book_body(feed.market)
            case "trades":
                return feed.trade_rows(facts.LAST_TRADES)[::-1]
        raise RefusedError(404, ErrorCode.NOT_FOUND, f"a market has no {what}")

    def _candles(self, feed: MarketFeed, kind: str, request: HttpRequest, now_ms: int) -> list[Body]:
        interval_ms = facts.CANDLE_INTERVALS_MS.get(request.first("interval") or "")
        if interval_ms is None:
            raise RefusedError(400, ErrorCode.INTERVAL_UNKNOWN, "Invalid interval")
        limit = min(_integer(request, "limit", CANDLES_DEFAULT), facts.ROWS_MAX)
        end_ms = min(_integer(request, "endTime", now_ms), now_ms)
        return self._pasts[feed.market.symbol].candles(CANDLE_KINDS_BY_PATH[kind], interval_ms, limit, end_ms)

    def _funding(self, feed: MarketFeed, request: HttpRequest, now_ms: int) -> HttpReply:
        """Applied rates, newest first; a page goes on below the id that ended the last one."""
        start_ms, end_ms = _integer(request, "startTime", 0), _integer(request, "endTime", now_ms)
        limit = min(_integer(request, "limit", facts.ROWS_MAX), facts.ROWS_MAX)
        cursor = _integer(request, "cursor", facts.snowflake(now_ms + facts.HOUR_MS, 0, 0))
        page = [
            (row_id, settled)
            for settled in reversed(feed.market.funding.settled)
            if start_ms <= settled.settled_at_ms <= min(end_ms, now_ms)
            and (row_id := facts.snowflake(settled.settled_at_ms, feed.worker, 0)) < cursor
        ][:limit]
        rows = [wire.settled_row(feed.market, settled) for _, settled in page]
        return ok(rows, cursor=page[-1][0] if page else cursor)

    def _open_interest(self, feed: MarketFeed, request: HttpRequest, now_ms: int) -> list[Body]:
        interval_ms = OPEN_INTEREST_INTERVALS_MS.get(request.first("interval") or "P1H")
        if interval_ms is None:
            raise RefusedError(400, ErrorCode.INTERVAL_UNKNOWN, "Invalid interval")
        start_ms, end_ms = _integer(request, "startTime", 0), _integer(request, "endTime", now_ms)
        return self._pasts[feed.market.symbol].open_interest(interval_ms, start_ms, end_ms)

    def _assets(self) -> list[Body]:
        """The collateral, the vault share, and what the markets trade."""
        collateral = wire.asset_body(1, facts.COLLATERAL, facts.COLLATERAL_ID, kind="SPOT")
        share = wire.asset_body(2, facts.VAULT_SHARE, facts.synthetic_id(facts.VAULT_SHARE, 6), kind="SPOT")
        traded = [wire.base_name(feed.market) for feed in self._feeds.values()]
        return [
            collateral,
            share,
            *(
                wire.asset_body(n, name, facts.synthetic_id(name, 6), kind="PERPETUAL")
                for n, name in enumerate(traded, 3)
            ),
        ]

    def _asset_price(self, asset: str) -> str:
        """A bare decimal: in collateral, what one unit is worth."""
        if asset == facts.COLLATERAL:
            return "1"
        if asset == facts.VAULT_SHARE:
            return VAULT_SHARE_PRICE
        for feed in self._feeds.values():
            if wire.base_name(feed.market) == asset:
                return wire.reference_text(feed.market.index_price)
        raise RefusedError(404, ErrorCode.ASSET_NOT_FOUND, f"Asset not found: {asset}")


def _integer(request: HttpRequest, name: str, default: int) -> int:
    text = request.first(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise RefusedError(400, ErrorCode.BAD_REQUEST, f"{name} is not a positive whole number")
    return int(text)

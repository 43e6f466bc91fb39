"""The venue's bodies, written from a SimMarket: plain values, ready for JSON.

Decimals are text and on purpose not normalised ("84050.000000" in a snapshot, "84050" in a change), as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from twinleg_sims.extended import facts
from twinleg_sims.funding import Settled, next_hour_ms
from twinleg_sims.history import Bar
from twinleg_sims.listings import State
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import LevelChange, Side, Trade

Body = dict[str, Any]

STATUSES: dict[State, str] = {
    "active": "ACTIVE",
    "inactive": "DISABLED",
    "reduce_only": "REDUCE_ONLY",
    "prelisted": "PRELISTED",
}


def base_name(market: SimMarket) -> str:
    """ "BTC" of "BTC-USD"."""
    return market.symbol.removesuffix(f"-{facts.COLLATERAL}")


def reference_text(price: float) -> str:
    """Mark and index prices carry twelve decimals, float noise included ("84058.473541750005")."""
    return f"{price:.12f}"


def rate_text(rate_per_hour: float) -> str:
    """Hourly funding rates carry six decimals; zero has no sign."""
    return f"{rate_per_hour:z.6f}"


def trimmed(text: str) -> str:
    """Decimal text without trailing zeros."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def market_body(market: SimMarket, now_ms: int) -> Body:
    """One row of GET /info/markets."""
    base = base_name(market)
    return {
        "name": market.symbol,
        "type": "PERPETUAL",
        "uiName": market.symbol,
        "category": "Crypto",
        "subCategory": "L1",
        "assetName": base,
        "assetPrecision": market.listing.size_decimals,
        "collateralAssetName": facts.COLLATERAL,
        "collateralAssetPrecision": facts.COLLATERAL_PRECISION,
        "description": market.listing.asset.name,
        "active": market.listing.state in ("active", "reduce_only"),
        "isRfq": market.listing.rfq,
        "isOffHours": is_off_hours(market.listing.trading_hours, now_ms),
        "status": STATUSES[market.listing.state],
        "tradingHours": market.listing.trading_hours or "CONTINUOUS",
        "marketStats": stats_body(market, now_ms),
        "tradingConfig": trading_config(market),
        "l2Config": {
            "type": "STARKX",
            "collateralId": facts.COLLATERAL_ID,
            "syntheticId": facts.synthetic_id(base, facts.SYNTHETIC_PRECISION),
            "syntheticResolution": facts.RESOLUTION,
            "collateralResolution": facts.RESOLUTION,
        },
        "visibleOnUi": True,
        "referenceMarket": "null",
        "createdAt": facts.LISTED_MS,
    }


def stats_body(market: SimMarket, now_ms: int) -> Body:
    """GET /info/markets/{m}/stats. The funding rate is this hour's estimate."""
    day = market.bars.day(now_ms)
    change = day.close - day.open
    listing = market.listing

    def price(value: float) -> str:
        return trimmed(f"{value:z.{listing.price_decimals}f}")

    bid, ask = market.book.best("bid"), market.book.best("ask")
    return {
        "dailyVolume": f"{day.quote_volume:.6f}",
        "dailyVolumeBase": f"{day.base_volume:.{listing.size_decimals}f}",
        "dailyPriceChange": price(change),
        "dailyPriceChangePercentage": f"{change / day.open:.4f}",
        "dailyLow": price(day.low),
        "dailyHigh": price(day.high),
        "lastPrice": price(market.last_price),
        "askPrice": listing.price_text(ask or 0),
        "bidPrice": listing.price_text(bid or 0),
        "markPrice": reference_text(market.mark_price),
        "indexPrice": reference_text(market.index_price),
        "fundingRate": rate_text(market.funding.predicted_rate_per_hour()),
        "nextFundingRate": next_hour_ms(now_ms),
        "openInterest": f"{market.open_interest * market.mark_price:.6f}",
        "openInterestBase": f"{market.open_interest:.{listing.size_decimals}f}",
        "deleverageLevels": {
            "shortPositions": _deleverage_levels(-650.0),
            "longPositions": _deleverage_levels(-24_900),
        },
    }


def trading_config(market: SimMarket) -> Body:
    """Steps, limits and risk tiers: each further tier of value costs one more base risk factor."""
    listing = market.listing
    risk_factor = Fraction(1, listing.max_leverage)
    tiers = [
        {
            "upperBound": str(facts.RISK_TIER_VALUE_USD * tier),
            "riskFactor": trimmed(f"{float(risk_factor * tier):.4f}"),
            "isAvailableForUsers": tier <= facts.RISK_TIERS_FOR_USERS,
        }
        for tier in range(1, listing.max_leverage + 1)
    ]
    return {
        "minOrderSize": trimmed(listing.size_text(listing.min_lots)),
        "minOrderSizeChange": trimmed(listing.size_text(1)),
        "minPriceChange": trimmed(listing.price_text(1)),
        "maxMarketOrderValue": str(facts.MARKET_ORDER_VALUE_MAX_USD),
        "maxLimitOrderValue": str(facts.LIMIT_ORDER_VALUE_MAX_USD),
        "maxPositionValue": str(facts.POSITION_VALUE_MAX_USD),
        "maxLeverage": f"{listing.max_leverage}.00",
        "hourlyFundingRateCap": trimmed(f"{market.funding.terms.cap_per_hour * 100:.4f}"),
        "openInterestLimit": "0",
        "maxNumOrders": str(facts.OPEN_ORDERS_MAX),
        "limitPriceCap": "0.05",
        "limitPriceFloor": "0.05",
        "riskFactorConfig": tiers,
        "uPnlWithdrawable": True,
        "postWithdrawalMarginFactor": "0.1",
    }


def is_off_hours(trading_hours: str, now_ms: int) -> bool:
    """Whether a market with opening hours is closed now: WEEKDAYS at weekends, REGULAR also outside 14:30-21:00 UTC."""
    if not trading_hours:
        return False
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    minute = now.hour * 60 + now.minute
    return now.weekday() >= 5 or (trading_hours == "REGULAR" and not 14 * 60 + 30 <= minute < 21 * 60)


def book_body(market: SimMarket) -> Body:
    """GET /info/markets/{m}/orderbook: best first."""

    def levels(side: Side) -> list[Body]:
        text = market.listing
        return [
            {"qty": text.size_text(lots), "price": text.price_text(ticks)} for ticks, lots in market.book.levels(side)
        ]

    return {"market": market.symbol, "bid": levels("bid"), "ask": levels("ask")}


def snapshot_data(
    market: SimMarket, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]], depth: str = "f"
) -> Body:
    """A stream's book snapshot from (ticks, lots), best first. `depth` "f" is the full book, "1" the best prices."""
    return _book_data(market, "SNAPSHOT", depth, [_level(market, *level) for level in bids],
                      [_level(market, *level) for level in asks])  # fmt: skip


def delta_data(market: SimMarket, changes: list[LevelChange]) -> Body:
    """A stream's book changes: `q` is the signed change, `c` the new size."""

    def rows(side: Side, sign: int) -> list[Body]:
        mine = sorted((change for change in changes if change.side == side), key=lambda change: sign * change.ticks)
        return [
            {
                "q": ("-" if change.delta_lots < 0 else "") + market.listing.size_text(abs(change.delta_lots)),
                "p": market.listing.price_text(change.ticks),
                "c": market.listing.size_text(change.lots),
            }
            for change in mine
        ]

    return _book_data(market, "DELTA", "f", rows("bid", -1), rows("ask", 1))


def trade_row(market: SimMarket, worker: int, trade: Trade) -> Body:
    """A public trade, of REST and of the streams. `S` is the taker's side."""
    return {
        "i": facts.snowflake(trade.at_ms, worker, trade.sequence % 4096),
        "m": market.symbol,
        "S": "BUY" if trade.taker_side == "bid" else "SELL",
        "tT": "TRADE",
        "T": trade.at_ms,
        "p": market.listing.price_text(trade.ticks),
        "q": market.listing.size_text(trade.lots),
    }


def funding_row(market: SimMarket, rate_per_hour: float, at_ms: int) -> Body:
    """A rate: the current estimate in streams, an applied one in the history."""
    return {"m": market.symbol, "f": rate_text(rate_per_hour), "T": at_ms}


def settled_row(market: SimMarket, settled: Settled) -> Body:
    """One applied rate of GET /info/{m}/funding."""
    return funding_row(market, settled.rate_per_hour, settled.settled_at_ms)


def price_data(market: SimMarket, price: float, at_ms: int) -> Body:
    """A mark or index price; marks come with `at_ms` 0."""
    return {"m": market.symbol, "p": reference_text(price), "ts": at_ms}


def candle_row(market: SimMarket, bar: Bar, *, traded: bool) -> Body:
    """One candle. Only trade candles have a volume."""

    def price(value: float) -> str:
        return trimmed(f"{value:.{market.listing.price_decimals}f}") if traded else reference_text(value)

    row = {"o": price(bar.open), "l": price(bar.low), "h": price(bar.high), "c": price(bar.close)}
    if traded:
        row["v"] = trimmed(f"{bar.base_volume:.{market.listing.size_decimals}f}")
    return {**row, "T": bar.at_ms}


def asset_body(number: int, name: str, starkex_id: str, *, kind: str) -> Body:
    """One row of GET /info/assets. `kind`: SPOT or PERPETUAL."""
    return {
        "id": number,
        "name": name,
        "symbol": name,
        "description": name,
        "precision": facts.COLLATERAL_PRECISION,
        "isActive": True,
        "isCollateral": name == facts.COLLATERAL,
        "starkexId": starkex_id,
        "starkexResolution": facts.RESOLUTION,
        "l1Id": "0x0",
        "l1Resolution": facts.RESOLUTION,
        "version": 1,
        "createdAt": facts.LISTED_MS,
        "type": kind,
        "canBeUsedAsCollateral": kind == "SPOT",
        "riskFactors": [],
        "availableForTradeFactors": [],
    }


def _level(market: SimMarket, ticks: int, lots: int) -> Body:
    price = market.listing.price_text(ticks)
    if ticks % 5 == 0:
        price += "000" if "." in price else ".000000"
    return {"q": market.listing.size_text(lots), "p": price}


def _book_data(market: SimMarket, kind: str, depth: str, bids: list[Body], asks: list[Body]) -> Body:
    return {"t": kind, "m": market.symbol, "b": bids, "a": asks, "d": depth}


def _deleverage_levels(lowest: float) -> list[Body]:
    bounds = (lowest, lowest / 400, lowest / 40_000, 0.0)
    return [{"level": level, "rankingLowerBound": f"{bound:.4f}"} for level, bound in enumerate(bounds, 1)]

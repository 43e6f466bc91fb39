"""The venue's objects as it writes them. Field names, types and units follow recorded bodies and the SDK 1.1.8 models.

Prices, sizes and money are texts with exactly the market's decimals; statistics are floats; ids are ints with a text
twin.
"""

from __future__ import annotations

from typing import Any

import msgspec

from twinleg_sims.history import Bar
from twinleg_sims.lighter import facts
from twinleg_sims.listings import Listing
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import Order, Trade

Row = dict[str, Any]

KINDS = {"perp": "perps", "spot": "spot", "binary_options": "bo"}
_IDS = {"USDC": 3, "ETH": 1, "LIT": 2}
_MONTH_MS = 28 * 86_400_000

encode = msgspec.json.Encoder().encode


def error(code: int, message: str) -> bytes:
    """A refusal's body."""
    return encode({"code": code, "message": message})


def price(listing: Listing, value: float) -> str:
    """A price that need not lie on a tick (mark, index, middle)."""
    return f"{value:.{listing.price_decimals}f}"


def percent(rate_per_hour: float) -> str:
    """A signed fraction per hour as the venue's percent per hour; four decimals hold its millionths exactly."""
    return f"{rate_per_hour * 100 + 0.0:.4f}"


def order_book(market: SimMarket, status: str) -> Row:
    """One row of GET orderBooks."""
    listing = market.listing
    spot = listing.kind == "spot"
    return {
        "symbol": listing.symbol,
        "market_id": listing.market_id,
        "market_type": listing.kind,
        "base_asset_id": _IDS.get(listing.asset.name, 100 + listing.market_id % 100) if spot else 0,
        "quote_asset_id": 3 if spot else 0,
        "status": status,
        "taker_fee": "0.0000",
        "maker_fee": "0.0000",
        "is_taker_fee_enabled": True,
        "is_maker_fee_enabled": True,
        "liquidation_fee": "1.0000",
        "min_base_amount": listing.size_text(listing.min_lots),
        "min_quote_amount": f"{listing.min_notional_usd}.000000",
        "order_quote_limit": "281474976.710655",
        "supported_size_decimals": listing.size_decimals,
        "supported_price_decimals": listing.price_decimals,
        "supported_quote_decimals": facts.QUOTE_DECIMALS,
        "created_at": str(facts.GENESIS_MS),
        "multiplier": "1",
        "start_timestamp": 0,
        "end_timestamp": 0,
        "settlement_type": 0,
        "settlement_price": 0,
        "settlement_cap": 0,
        "outcome": 0,
        "default_price": 0,
        "operator_account_index": 0,
        "is_frozen": False,
        "open_interest": f"{market.open_interest:.{listing.size_decimals}f}",
    }


def order_book_detail(market: SimMarket, status: str, now_ms: int, *, reduce_only: bool) -> Row:
    """One row of GET orderBookDetails, of a perpetual or of a spot market. Open interest in base units, as a float."""
    listing = market.listing
    row = order_book(market, status) | daily(market, now_ms)
    row |= {
        "size_decimals": listing.size_decimals,
        "price_decimals": listing.price_decimals,
        "last_trade_price": market.last_price,
        "daily_trades_count": market.bars.day(now_ms).trades,
        "daily_chart": {},
    }
    if listing.kind == "spot":
        return row
    leverage = listing.max_leverage
    return row | {
        "quote_multiplier": 1,
        "default_initial_margin_fraction": facts.default_initial_fraction(listing),
        "min_initial_margin_fraction": 10_000 // leverage,
        "maintenance_margin_fraction": facts.maintenance_fraction(listing),
        "closeout_margin_fraction": 4_000 // leverage,
        "open_interest": round(market.open_interest, listing.size_decimals),
        "strategy_index": 0,
        "funding_clamp_small": "0.0500",
        "funding_clamp_big": "4.0000",
        "base_interest_rate": "0.0100",
        "mark_price": price(listing, market.mark_price),
        "index_price": price(listing, market.index_price),
        "market_flags": 0,
        "funding_premium_multiplier": 1,
        "market_config": {
            "market_margin_mode": 0,
            "insurance_fund_account_index": facts.INSURANCE_ACCOUNT,
            "liquidation_mode": 0,
            "force_reduce_only": reduce_only,
            "funding_fee_discounts_enabled": False,
            "trading_hours": listing.trading_hours,
            "hidden": False,
            "rfq_enabled": listing.rfq,
        },
    }


def daily(market: SimMarket, now_ms: int) -> Row:
    """The rolling day: volumes, range, change in percent."""
    day = market.bars.day(now_ms)
    return {
        "daily_base_token_volume": round(day.base_volume, market.listing.size_decimals),
        "daily_quote_token_volume": round(day.quote_volume, facts.QUOTE_DECIMALS),
        "daily_price_low": day.low,
        "daily_price_high": day.high,
        "daily_price_change": (day.close / day.open - 1) * 100,
    }


def market_stats(market: SimMarket, now_ms: int) -> Row:
    """The body of a market_stats message. Open interest in quote units; rates in percent per hour."""
    listing = market.listing
    settled = market.funding.settled[-1]
    return {
        "symbol": listing.symbol,
        "market_id": listing.market_id,
        "index_price": price(listing, market.index_price),
        "mark_price": price(listing, market.mark_price),
        "mid_price": price(listing, market.mid_price or 0.0),
        "best_bid_price": listing.price_text(market.book.best("bid") or 0),
        "best_ask_price": listing.price_text(market.book.best("ask") or 0),
        "last_trade_price": price(listing, market.last_price),
        "open_interest": f"{market.open_interest * market.mark_price:.{facts.QUOTE_DECIMALS}f}",
        "open_interest_limit": "72057594037927936.000000",
        "base_interest_rate": "0.0100",
        "funding_clamp_small": "0.0500",
        "funding_clamp_big": "4.0000",
        "current_funding_rate": percent(market.funding.predicted_rate_per_hour()),
        "funding_rate": percent(settled.rate_per_hour),
        "funding_timestamp": settled.settled_at_ms,
        **daily(market, now_ms),
    }


def spot_market_stats(market: SimMarket, now_ms: int) -> Row:
    """The body of a spot_market_stats message."""
    listing = market.listing
    return {
        "symbol": listing.symbol,
        "market_id": listing.market_id,
        "index_price": price(listing, market.index_price),
        "mid_price": price(listing, market.mid_price or 0.0),
        "last_trade_price": price(listing, market.last_price),
        **daily(market, now_ms),
    }


def simple_order(listing: Listing, order: Order) -> Row:
    """A row of GET orderBookOrders."""
    index = facts.order_index(order.side == "ask", order.id, listing.market_id)
    return {
        "order_index": index,
        "order_id": str(index),
        "owner_account_index": facts.WORLD_ACCOUNTS + order.owner,
        "initial_base_amount": listing.size_text(order.initial_lots),
        "remaining_base_amount": listing.size_text(order.lots),
        "price": listing.price_text(order.ticks),
        "order_expiry": order.placed_ms + _MONTH_MS,
        "transaction_time": order.placed_ms * 1000,
    }


def trade(listing: Listing, done: Trade, offset_ms: int) -> Row:
    """A public trade, every field the SDK declares; fees are left out when zero, as the venue does."""
    number = facts.trade_id(done.sequence, listing.market_id)
    taker_sells = done.taker_side == "ask"
    ask_order, bid_order = (done.taker_order, done.maker_order) if taker_sells else (done.maker_order, done.taker_order)
    ask_owner, bid_owner = (done.taker_owner, done.maker_owner) if taker_sells else (done.maker_owner, done.taker_owner)
    ask_id = facts.order_index(True, ask_order, listing.market_id)
    bid_id = facts.order_index(False, bid_order, listing.market_id)
    at_ms = done.at_ms + offset_ms
    micro_usd = done.ticks * listing.tick_step * done.lots * listing.lot_step * 10**facts.QUOTE_DECIMALS
    micro_usd //= 10 ** (listing.price_decimals + listing.size_decimals)
    row: Row = {
        "trade_id": number,
        "trade_id_str": str(number),
        "tx_hash": f"{number:016x}".ljust(80, "0"),
        "type": "trade",
        "market_id": listing.market_id,
        "market_symbol": listing.symbol,
        "market_kind": KINDS[listing.kind],
        "size": listing.size_text(done.lots),
        "price": listing.price_text(done.ticks),
        "usd_amount": f"{micro_usd // 1_000_000}.{micro_usd % 1_000_000:06d}",
        "ask_id": ask_id,
        "ask_id_str": str(ask_id),
        "bid_id": bid_id,
        "bid_id_str": str(bid_id),
        "ask_account_id": facts.WORLD_ACCOUNTS + ask_owner,
        "bid_account_id": facts.WORLD_ACCOUNTS + bid_owner,
        "is_maker_ask": not taker_sells,
        "block_height": facts.height(done.at_ms),
        "timestamp": at_ms,
        "transaction_time": at_ms * 1000 + done.sequence % 1000,
    }
    for name in ("ask_client_id", "bid_client_id"):
        row |= {name: 0, f"{name}_str": "0"}
    for name in ("ask_order_version", "bid_order_version"):
        row[name] = 0
    for name in ("ask_account_pnl", "bid_account_pnl"):
        row[name] = "0.000000"
    for role in ("taker", "maker"):
        row |= {
            f"{role}_position_size_before": listing.size_text(0),
            f"{role}_entry_quote_before": "0.000000",
            f"{role}_initial_margin_fraction_before": 0,
            f"{role}_position_sign_changed": False,
            f"{role}_allocated_margin_usdc_before": 0,
            f"{role}_allocated_margin_usdc_after": 0,
            f"integrator_{role}_fee": 0,
            f"integrator_{role}_fee_collector_index": 0,
        }
    return row


def candle(bar: Bar, listing: Listing) -> Row:
    """One candle in the short form: t ms, v base, V quote, i last trade id."""
    return {
        "t": bar.at_ms,
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": round(bar.base_volume, listing.size_decimals),
        "V": round(bar.quote_volume, facts.QUOTE_DECIMALS),
        "i": facts.trade_id(bar.last_trade, listing.market_id),
    }


def mark_price_candle(bar: Bar) -> Row:
    """One candle of the mark price; sc is the number of samples."""
    return {"t": bar.at_ms, "o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close, "sc": bar.trades}


def asset(asset_id: int, symbol: str, decimals: int, index_price: float, margin: bool) -> Row:
    """A row of GET assetDetails."""
    return {
        "asset_id": asset_id,
        "symbol": symbol,
        "l1_decimals": 6 if symbol == "USDC" else 18,
        "decimals": decimals,
        "min_transfer_amount": f"{1 if symbol == 'USDC' else 0.001:.{decimals}f}",
        "min_withdrawal_amount": f"{1 if symbol == 'USDC' else 0.001:.{decimals}f}",
        "margin_mode": "enabled" if margin else "disabled",
        "index_price": f"{index_price:.6f}",
        "l1_address": "0x95Fd23d5110f9D89A4b0B7d63D78F5B5Ea5074D1",
        "global_supply_cap": "0.000000",
        "user_supply_cap": "0.000000",
        "total_supplied": "0.000000",
        "liquidation_fee": "0.0000",
        "liquidation_threshold": "0.0000",
        "liquidation_factor": "0.0000",
        "loan_to_value": "0.0000",
        "price_decimals": 6,
        "multiplier": "1",
    }

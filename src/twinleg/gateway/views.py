"""The account and its markets as JSON: human decimals as exact texts, estimates as numbers."""

from __future__ import annotations

from typing import Any

from twinleg.core.messages import Market
from twinleg.core.trading import BalanceSeen, ExecutionSeen, OrderSeen, PositionSeen
from twinleg.gateway.events import stamp

MICRO = 1_000_000


def order_shown(seen: OrderSeen, market: Market) -> dict[str, Any]:
    """One order."""
    return {
        "venue": seen.venue,
        "market": market.symbol,
        "client_id": seen.name or seen.client_id,
        "order_id": seen.venue_order_id,
        "side": seen.side.value,
        "size": market.size_grid.text(seen.size_lots),
        "filled": market.size_grid.text(seen.filled_lots),
        "price": None if seen.price_ticks is None else market.price_grid.text(seen.price_ticks),
        "reduce_only": seen.reduce_only,
        "resting": seen.resting,
        "state": seen.reason,
        "at": stamp(seen.at_ms),
    }


def fill_shown(seen: ExecutionSeen, market: Market) -> dict[str, Any]:
    """One execution."""
    return {
        "venue": seen.venue,
        "market": market.symbol,
        "fill_id": seen.fill_id,
        "order_id": seen.venue_order_id,
        "side": seen.side.value,
        "size": market.size_grid.text(seen.size_lots),
        "price": market.price_grid.text(seen.price_ticks),
        "fee_usd": seen.fee_micro_usd / MICRO,
        "forced": seen.forced,
        "at": stamp(seen.at_ms),
    }


def position_shown(seen: PositionSeen, market: Market) -> dict[str, Any]:
    """One position; the size is signed. Prices are in quote currency, estimates of the venue's."""
    unit = float(market.price_grid.unit)
    return {
        "venue": seen.venue,
        "market": market.symbol,
        "size": market.size_grid.text(seen.lots),
        "entry_price": None if seen.entry_price is None else seen.entry_price * unit,
        "liquidation_price": None if seen.liquidation_price is None else seen.liquidation_price * unit,
        "unrealised_usd": seen.unrealised_usd,
    }


def balance_shown(seen: BalanceSeen) -> dict[str, Any]:
    """The account's money, in its collateral currency."""
    return {
        "venue": seen.venue,
        "equity_usd": seen.equity_usd,
        "available_usd": seen.available_usd,
        "initial_margin_usd": seen.initial_margin_usd,
        "maintenance_margin_usd": seen.maintenance_margin_usd,
        "at": stamp(seen.at_ms),
    }


def market_shown(market: Market) -> dict[str, Any]:
    """What a market takes. `native_id` is Lighter's market_index; decimals are those of its integer units."""
    return {
        "venue": market.venue,
        "market": market.symbol,
        "native_id": market.native_id,
        "base": market.base,
        "quote": market.quote,
        "status": market.status.value,
        "excluded": market.excluded,
        "price_step": market.price_grid.text(1),
        "price_decimals": market.price_grid.decimals,
        "size_step": market.size_grid.text(1),
        "size_decimals": market.size_grid.decimals,
        "min_size": market.size_grid.text(market.min_size_lots),
        "min_notional_usd": market.min_notional_usd,
        "maker_fee_bps": market.maker_fee_bps,
        "taker_fee_bps": market.taker_fee_bps,
        "max_leverage": market.max_leverage,
    }

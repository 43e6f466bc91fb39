"""The bodies of an account: orders, trades, positions, balance, funding payments; of REST and of the streams alike.

Shapes: recorded POSITION frames of December 2025 (658 complete ones) and the SDK's models, 2.6.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from twinleg_sims.extended import facts, wire
from twinleg_sims.extended.door import Asked
from twinleg_sims.extended.facts import snowflake
from twinleg_sims.extended.keys import Member
from twinleg_sims.margin import Figures, Holdings, MarginRules, initial_ppm, maintenance_micro
from twinleg_sims.orders import OwnOrder, Reason, State
from twinleg_sims.positions import MICRO, PPM, Fill, FillKind, Payment, Position, priced_micro

Body = dict[str, Any]

TAKE_OVER_WORKER = 1_023
"""In the ids of trades that never were in a book."""
STATUSES: dict[State, str] = {
    "pending": "NEW",
    "untriggered": "UNTRIGGERED",
    "filled": "FILLED",
    "cancelled": "CANCELLED",
    "rejected": "REJECTED",
    "expired": "EXPIRED",
}
REASONS: dict[Reason, str] = {
    "no_liquidity": "NO_LIQUIDITY",
    "ioc": "NO_LIQUIDITY",
    "post_only": "POST_ONLY_FAILED",
    "reduce_only": "REDUCE_ONLY_FAILED",
    "self_trade": "SELF_TRADE_PROTECTION",
    "margin": "NOT_ENOUGH_FUNDS",
    "liquidation": "ACCOUNT_LIQUIDATION",
    "replaced": "ORDER_REPLACED",
    "previous_gone": "PREV_ORDER_NOT_FOUND",
    "market_halted": "TRADING_OFF_MODE",
    "market_reduce_only": "REDUCE_ONLY_MODE",
    "sibling": "TPSL_OTHER_SIDE_FILLED",
}
"""ACCOUNT_LIQUIDATION is a reason the SDK's closed list lacks, as on the venue."""
TRADE_TYPES: dict[FillKind, str] = {"trade": "TRADE", "liquidation": "LIQUIDATION", "deleverage": "DELEVERAGE"}
EXIT_TYPES: dict[FillKind, str] = {"trade": "TRADE", "liquidation": "LIQUIDATION", "deleverage": "ADL"}


def money(micro: int) -> str:
    """Micro-USD with six decimals."""
    return f"{Decimal(micro).scaleb(-6):.6f}"


def order_id(member: Member, order: OwnOrder) -> int:
    """Stamped with the time of acceptance."""
    return snowflake(order.placed_ms, member.worker, order.id % 4_096)


def position_id(member: Member, position: Position) -> int:
    return snowflake(position.opened_ms, member.worker, position.id % 4_096)


def trade_id(workers: Mapping[str, int], fill: Fill) -> int:
    """That of the public trade; one of its own for a take-over."""
    if fill.trade:
        return snowflake(fill.at_ms, workers[fill.market.symbol], fill.trade % 4_096)
    return snowflake(fill.at_ms, TAKE_OVER_WORKER, fill.id % 4_096)


def order_row(member: Member, order: OwnOrder) -> Body:
    """An order. `price` is its limit; what it really paid is averagePrice."""
    asked, text = order.wish.info, order.market.listing
    assert isinstance(asked, Asked), "the door puts it there"
    status = STATUSES.get(order.state) or ("PARTIALLY_FILLED" if order.filled_lots else "NEW")
    row: Body = {
        "id": order_id(member, order),
        "accountId": member.account_id,
        "externalId": order.wish.client_id,
        "market": order.market.symbol,
        "type": asked.type,
        "side": "BUY" if order.side == "bid" else "SELL",
        "status": status,
        "price": text.price_text(order.ticks),
        "averagePrice": _average(order.value_micro, order.filled_lots, order),
        "qty": text.size_text(order.lots),
        "filledQty": text.size_text(order.filled_lots),
        "cancelledQty": text.size_text(order.cut_lots),
        "payedFee": money(order.fee_micro),
        "reduceOnly": order.wish.reduce_only,
        "postOnly": asked.post_only,
        "createdTime": order.placed_ms,
        "updatedTime": order.updated_ms,
        "timeInForce": asked.tif,
        "expireTime": asked.expires_ms,
    }
    if order.reason in REASONS:
        row["statusReason"] = REASONS[order.reason]
    if asked.tpsl:
        row["tpSlType"] = asked.tpsl
    if order.wish.trigger is not None:
        row["trigger"] = {
            "triggerPrice": text.price_text(order.wish.trigger.ticks),
            "triggerPriceType": order.wish.trigger.price.upper(),
            "triggerPriceDirection": "UP" if order.wish.trigger.above else "DOWN",
            "executionPriceType": "MARKET" if order.wish.tif == "ioc" else "LIMIT",
        }
    return row


def trade_row(member: Member, fill: Fill, workers: Mapping[str, int], order: OwnOrder | None) -> Body:
    """A fill. `order` None: a take-over, whose order is the venue's."""
    text = fill.market.listing
    own = trade_id(workers, fill)
    return {
        "id": own,
        "accountId": member.account_id,
        "market": fill.market.symbol,
        "orderId": order_id(member, order) if order else own,
        "externalOrderId": fill.client_id,
        "side": "BUY" if fill.side == "bid" else "SELL",
        "price": text.price_text(fill.ticks),
        "qty": text.size_text(fill.lots),
        "value": money(fill.value_micro),
        "fee": money(fill.fee_micro),
        "tradeType": TRADE_TYPES[fill.kind],
        "createdTime": fill.at_ms,
        "isTaker": fill.is_taker,
    }


def position_row(member: Member, position: Position, holdings: Holdings, rules: MarginRules) -> Body:
    """A position. One that ended keeps its last size and value, with neither margin nor `adl`, as recorded."""
    market = position.market
    lots = position.lots or position.last_lots
    mid = market.mid_price or market.mark_price
    row: Body = {
        "id": position_id(member, position),
        "accountId": member.account_id,
        "market": market.symbol,
        "status": "OPENED" if position.is_open else "CLOSED",
        "side": "LONG" if position.is_long else "SHORT",
        "leverage": leverage_text(initial_ppm(holdings, rules, market)),
        "size": wire.trimmed(market.listing.size_text(abs(lots))),
        "value": money(priced_micro(market.listing, market.mark_price, abs(lots))),
        "openPrice": _price(position.entry_price()),
        "markPrice": wire.reference_text(market.mark_price),
        "liquidationPrice": "0",
        "margin": money(maintenance_micro(position, rules)),
        "unrealisedPnl": money(position.unrealised_micro(market.mark_price)),
        "midPriceUnrealisedPnl": money(position.unrealised_micro(mid)),
        "realisedPnl": money(position.realised_micro),
        "createdAt": position.opened_ms,
        "updatedAt": position.updated_ms,
    }
    if position.is_open:
        row["adl"] = 1 + position.id % 5
    return row


def history_row(member: Member, position: Position, holdings: Holdings, rules: MarginRules) -> Body:
    """A position that ended. `size` is its last one."""
    listing, exit_price = position.market.listing, position.exit_price()
    return {
        "id": position_id(member, position),
        "accountId": member.account_id,
        "market": position.market.symbol,
        "side": "LONG" if position.is_long else "SHORT",
        "size": wire.trimmed(listing.size_text(abs(position.last_lots))),
        "maxPositionSize": wire.trimmed(listing.size_text(position.max_lots)),
        "leverage": leverage_text(initial_ppm(holdings, rules, position.market)),
        "openPrice": _price(position.entry_price()),
        "exitPrice": None if exit_price is None else _price(exit_price),
        "exitType": EXIT_TYPES[position.exit_kind],
        "realisedPnl": money(position.realised_micro),
        "realisedPnlBreakdown": {
            "tradePnl": money(position.trade_pnl_micro),
            "fundingFees": money(position.funding_micro),
            "openFees": money(-position.open_fees_micro),
            "closeFees": money(-position.close_fees_micro),
        },
        "createdTime": position.opened_ms,
        "closedTime": position.updated_ms,
    }


def balance_row(figures: Figures, updated_ms: int) -> Body:
    """The collateral and everything that hangs on it."""
    equity = figures.equity
    return {
        "collateralName": facts.COLLATERAL,
        "balance": money(figures.balance),
        "status": "ACTIVE",
        "equity": money(equity),
        "spotEquity": "0",
        "spotEquityForAvailableForTrade": "0",
        "availableForTrade": money(max(0, figures.available)),
        "availableForWithdrawal": money(figures.withdrawable),
        "unrealisedPnl": money(figures.unrealised),
        "initialMargin": money(figures.initial),
        "marginRatio": _ratio(figures.maintenance, equity),
        "exposure": money(figures.notional),
        "leverage": _ratio(figures.notional, equity),
        "updatedTime": updated_ms,
    }


def payment_row(member: Member, payment: Payment, position: int) -> Body:
    """One hour's funding; `fundingFee` is what the balance changed by. `position`: its snowflake."""
    listing = payment.market.listing
    value = priced_micro(listing, payment.price, abs(payment.lots))
    return {
        "id": snowflake(payment.at_ms, member.worker, payment.id % 4_096),
        "accountId": member.account_id,
        "market": payment.market.symbol,
        "positionId": position,
        "side": "LONG" if payment.lots > 0 else "SHORT",
        "size": wire.trimmed(listing.size_text(abs(payment.lots))),
        "value": money(value),
        "markPrice": wire.reference_text(payment.price),
        "fundingFee": money(payment.paid_micro),
        "fundingRate": wire.rate_text(payment.rate_per_hour),
        "paidTime": payment.at_ms,
    }


def account_row(member: Member) -> Body:
    return {
        "accountId": member.account_id,
        "description": member.description,
        "accountIndex": member.index,
        "status": "ACTIVE",
        "l2Key": member.public_key,
        "l2Vault": str(member.vault),
        "bridgeStarknetAddress": member.wallet,
    }


def client_row(member: Member) -> Body:
    return {"id": member.client_id, "evmWalletAddress": member.wallet, "starknetWalletAddress": member.wallet}


def leverage_text(ppm: int) -> str:
    return wire.trimmed(f"{Decimal(PPM) / ppm:.2f}")


def _average(value: int, lots: int, order: OwnOrder) -> str:
    return _price(value / MICRO / (lots * order.market.listing.lot)) if lots else "0"


def _price(price: float) -> str:
    return wire.trimmed(f"{price:.10f}")


def _ratio(part: int, whole: int) -> str:
    return f"{Decimal(part) / whole:.4f}" if whole > 0 else "0"

"""The venue's private objects as it writes them: orders, positions, accounts, transactions. Types as in wire.py."""

from __future__ import annotations

from twinleg_sims.account import Mirror
from twinleg_sims.lighter import facts, wire
from twinleg_sims.lighter.order_checks import GTT, IOC, MARKET, POST_ONLY, info_of
from twinleg_sims.lighter.users import FAILED, ApiToken, Key, Record, User
from twinleg_sims.lighter.wire import Row
from twinleg_sims.margin import Figures, MarginRules, figures, initial_ppm, maintenance_micro
from twinleg_sims.market import SimMarket
from twinleg_sims.orders import OwnOrder
from twinleg_sims.positions import MICRO, PPM, Payment, Position, priced_micro

KINDS = ("limit", "market", "stop-loss", "stop-loss-limit", "take-profit", "take-profit-limit", "twap")
TIFS = {IOC: "immediate-or-cancel", GTT: "good-till-time", POST_ONLY: "post-only"}
_CANCELLED = {
    "no_liquidity": "canceled-not-enough-liquidity",
    "post_only": "canceled-post-only",
    "reduce_only": "canceled-reduce-only",
    "self_trade": "canceled-self-trade",
    "margin": "canceled-margin-not-allowed",
    "expired": "canceled-expired",
    "liquidation": "canceled-liquidation",
    "sibling": "canceled-oco",
    "market_halted": "canceled-position-not-allowed",
    "market_reduce_only": "canceled-position-not-allowed",
}


def usd(micro: int) -> str:
    """Six decimals."""
    sign = "-" if micro < 0 else ""
    return f"{sign}{abs(micro) // MICRO}.{abs(micro) % MICRO:06d}"


def order_index(order: OwnOrder) -> int:
    return facts.own_index(order.side == "ask", order.id, order.market.listing.market_id)


def order(own: OwnOrder, account_index: int, offset_ms: int) -> Row:
    """An order; a positive group is the number of the order that made it. `offset_ms`: how far the clock is off."""
    listing, info = own.market.listing, info_of(own)
    number, body, at_ms = order_index(own), info.body, own.updated_ms + offset_ms
    parent = facts.own_index(not body.is_ask, own.wish.group, listing.market_id) if own.wish.group > 0 else 0
    waits = own.state == "untriggered"
    return {
        "order_index": number,
        "client_order_index": body.client_order_index,
        "order_id": str(number),
        "client_order_id": str(body.client_order_index),
        "market_index": listing.market_id,
        "market_symbol": listing.symbol,
        "market_kind": wire.KINDS[listing.kind],
        "owner_account_index": account_index,
        "initial_base_amount": listing.size_text(own.lots),
        "price": listing.price_text(own.ticks),
        "nonce": own.market.book.nonce,
        "remaining_base_amount": listing.size_text(own.open_lots if own.live else own.lots - own.filled_lots),
        "is_ask": own.side == "ask",
        "base_size": own.lots,
        "base_price": own.ticks,
        "filled_base_amount": listing.size_text(own.filled_lots),
        "filled_quote_amount": usd(own.value_micro),
        "side": "sell" if own.side == "ask" else "buy",
        "type": KINDS[body.type],
        "time_in_force": TIFS[body.time_in_force],
        "reduce_only": own.wish.reduce_only,
        "trigger_price": listing.price_text(body.trigger_price),
        "order_expiry": body.order_expiry,
        "status": status(own),
        "trigger_status": "mark-price" if waits else "na",
        "trigger_time": 0,
        "parent_order_index": parent,
        "parent_order_id": str(parent),
        "to_trigger_order_id_0": "0",
        "to_trigger_order_id_1": "0",
        "to_cancel_order_id_0": "0",
        "integrator_fee_collector_index": "0",
        "integrator_taker_fee": "0",
        "integrator_maker_fee": "0",
        "block_height": facts.height(own.updated_ms),
        "timestamp": at_ms,
        "created_at": info.created_ms + offset_ms,
        "updated_at": at_ms,
        "transaction_time": at_ms * 1000,
        "order_flags": 0,
        "order_version": own.version,
    }


def status(own: OwnOrder) -> str:
    """An order's state in the venue's words."""
    match own.state:
        case "open" | "filled":
            return own.state
        case "untriggered":
            return "pending"
        case "pending":
            return "in-progress"
    if own.reason == "ioc" and info_of(own).body.type == MARKET:
        return "canceled-too-much-slippage"
    return _CANCELLED.get(own.reason, "canceled")


def positions(holdings: Mirror, markets: list[SimMarket], rules: MarginRules, now: Figures) -> dict[str, Row]:
    """By market id; flat ones too. `now`: the whole account's figures."""
    live = holdings.open_orders()
    return {
        str(market.listing.market_id): _position(holdings, market, rules, now, [o for o in live if o.market is market])
        for market in markets
    }


def _position(holdings: Mirror, market: SimMarket, rules: MarginRules, now: Figures, mine: list[OwnOrder]) -> Row:
    listing = market.listing
    held = holdings.positions.get(market.symbol)
    waiting = sum(own.state == "untriggered" for own in mine)
    stays = [gone for gone in holdings.closed if gone.market is market] + ([held] if held else [])
    return {
        "market_id": listing.market_id,
        "symbol": listing.symbol,
        "initial_margin_fraction": f"{initial_ppm(holdings, rules, market) / PPM * 100:.2f}",
        "open_order_count": sum(own.state == "open" for own in mine),
        "pending_order_count": waiting,
        "position_tied_order_count": sum(own.wish.reduce_only for own in mine),
        "sign": 1 if held is None or held.is_long else -1,
        "position": listing.size_text(abs(held.lots) if held else 0),
        "avg_entry_price": wire.price(listing, held.entry_price() if held else 0.0),
        "position_value": usd(priced_micro(listing, market.mark_price, abs(held.lots)) if held else 0),
        "unrealized_pnl": usd(held.unrealised_micro(market.mark_price) if held else 0),
        "realized_pnl": usd(sum(stay.trade_pnl_micro for stay in stays)),
        "liquidation_price": liquidation_price(held, rules, now) if held else "0",
        "total_funding_paid_out": usd(-held.funding_micro if held else 0),
        "margin_mode": 0,
        "allocated_margin": usd(0),
        "total_discount": usd(0),
        "margin_set_flag": int(market.symbol in holdings.initial_ppm),
    }


def liquidation_price(held: Position, rules: MarginRules, now: Figures) -> str:
    """Where the account's equity meets its maintenance margin if this market alone moves; "0" when nowhere."""
    listing, mark = held.market.listing, held.market.mark_price
    size = abs(held.lots) * listing.lot
    rate = rules.maintenance_ppm(held.market, priced_micro(listing, mark, abs(held.lots))) / PPM
    sign = 1 if held.is_long else -1
    others = now.maintenance - maintenance_micro(held, rules)
    rest = (others - now.equity + sign * priced_micro(listing, mark, abs(held.lots))) / MICRO
    found = rest / (size * (sign - rate))
    return repr(found) if found > 0 else "0"


def account(user: User, rules: MarginRules, markets: list[SimMarket]) -> Row:
    """An account in full, as its mirror knows it; `markets` are those it shows a position row of."""
    now = figures(user.mirror, rules)
    rows = list(positions(user.mirror, markets, rules, now).values())
    return brief_account(user, now) | {
        "description": "",
        "can_invite": False,
        "referral_points_percentage": "",
        "positions": rows,
        "assets": list(assets(now).values()),
        "total_asset_value": usd(now.equity),
        "cross_asset_value": usd(now.equity),
        "pool_info": None,
        "shares": [],
        "created_at": user.created_ms,
        "pending_unlocks": [],
        "approved_integrators": [],
        "can_rfq": False,
        "can_rfq_market_ids": [],
        "cross_initial_margin_requirement": usd(now.initial),
        "cross_maintenance_margin_requirement": usd(now.maintenance),
        "metadata": {"color": ""},
        "agent_enabled": False,
    }


def brief_account(user: User, now: Figures) -> Row:
    """An account as its wallet lists it."""
    live = user.mirror.open_orders()
    return {
        "code": 0,
        "account_type": 0 if user.is_master else 1,
        "account_trading_mode": 0,
        "index": user.index,
        "l1_address": user.wallet.address,
        "cancel_all_time": user.engine.dead_man_ms or 0,
        "total_order_count": sum(own.state == "open" for own in live),
        "total_isolated_order_count": 0,
        "pending_order_count": sum(own.state == "untriggered" for own in live),
        "available_balance": usd(max(0, now.available)),
        "status": 1,
        "collateral": usd(now.balance),
        "account_index": user.index,
        "name": user.engine.name,
        "transaction_time": 0,
    }


def assets(now: Figures) -> dict[str, Row]:
    """By asset id: USDC only."""
    row = {
        "symbol": "USDC",
        "asset_id": 3,
        "balance": usd(0),
        "locked_balance": usd(0),
        "margin_balance": usd(now.balance),
        "margin_mode": "enabled",
        "multiplier": "1",
    }
    return {"3": row}


def user_stats(now: Figures) -> Row:
    """Leverage is notional over equity, margin usage initial margin over equity in percent."""
    worth = max(now.equity, 1)
    six = {
        "account_trading_mode": 0,
        "available_balance": usd(max(0, now.available)),
        "buying_power": "0",
        "collateral": usd(now.balance),
        "leverage": f"{now.notional / worth:.2f}",
        "margin_usage": f"{now.initial / worth * 100:.2f}",
        "portfolio_value": usd(now.equity),
    }
    return six | {"cross_stats": dict(six), "total_stats": dict(six)}


def payment(paid: Payment) -> Row:
    """A funding payment; the rate is a fraction, `change` positive when received."""
    listing = paid.market.listing
    return {
        "timestamp": paid.at_ms // 1000,
        "market_id": listing.market_id,
        "funding_id": paid.id,
        "change": usd(paid.paid_micro),
        "rate": f"{paid.rate_per_hour:.8f}",
        "position_size": listing.size_text(abs(paid.lots)),
        "position_side": "long" if paid.lots > 0 else "short",
        "discount": usd(0),
    }


def transaction(record: Record, address: str, offset_ms: int) -> Row:
    """A transaction; `event_info` of a failed one carries the sequencer's error as `ae`."""
    error = record.error
    told = {"ae": wire.encode({"code": error.code, "message": error.message}).decode()} if error else {}
    executed_ms = record.executed_ms + offset_ms if record.executed_ms else 0
    return {
        "hash": record.hash,
        "type": record.type,
        "info": record.info,
        "event_info": wire.encode(told).decode(),
        "status": record.status,
        "transaction_index": record.sequence % 1_000 if record.status != FAILED else 0,
        "l1_address": address,
        "account_index": record.account,
        "nonce": record.nonce,
        "expire_at": record.expires_ms,
        "block_height": facts.height(record.executed_ms) if executed_ms else 0,
        "queued_at": record.queued_ms + offset_ms,
        "executed_at": executed_ms,
        "sequence_index": record.sequence,
        "parent_hash": "",
        "api_key_index": record.key,
        "transaction_time": executed_ms * 1000,
    }


def api_key(user: User, number: int, key: Key) -> Row:
    return {
        "account_index": user.index,
        "api_key_index": number,
        "nonce": key.nonce,
        "public_key": key.public.hex(),
        "transaction_time": key.registered_ms * 1000,
    }


def api_token(token: ApiToken) -> Row:
    return {
        "token_id": token.id,
        "api_token": token.text,
        "name": token.name,
        "account_index": token.account,
        "expiry": token.expires_s,
        "sub_account_access": token.sub_accounts,
        "revoked": token.revoked,
        "scopes": "read.*",
    }

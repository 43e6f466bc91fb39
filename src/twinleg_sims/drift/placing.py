"""Placing orders."""

from __future__ import annotations

from dataclasses import replace

from twinleg_sims.drift import amm, auction, closing, errors, events, margin, positions
from twinleg_sims.drift.call import Call
from twinleg_sims.drift.errors import ProgramError
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import (
    PERP,
    U64_MAX,
    Action,
    Direction,
    OrderParams,
    OrderType,
    PostOnly,
    Status,
    Why,
    to_step,
    to_tick,
)

_MARKET_ORDER_S = 30
_MAX_TS_EXTRA_S = 10
_ACTIVE = 1
_TRIGGERS = (OrderType.TRIGGER_MARKET, OrderType.TRIGGER_LIMIT)


def place(call: Call, user_key: bytes, user: Record, params: OrderParams) -> Record | None:
    """Place one order; None when the program leaves it out without failing. Raises ProgramError."""
    if params.market_type != PERP:
        raise ProgramError(errors.SPOT_ORDERS_DISABLED)
    closing.expire_own(call, user_key, user)
    if params.max_ts is not None and 0 < params.max_ts < call.clock.ts:
        call.log(f"max_ts ({params.max_ts}) < now ({call.clock.ts}), skipping order")
        return None
    slot_in_user = next((order for order in user.all("orders") if order["status"] != Status.OPEN), None)
    if slot_in_user is None:
        raise ProgramError(errors.TOO_MANY_ORDERS)
    if params.user_order_id and any(o["user_order_id"] == params.user_order_id for o in positions.open_orders(user)):
        call.log(f"user_order_id is already in use {params.user_order_id}")
        raise ProgramError(errors.ID_IN_USE)
    market = call.perp_market(params.market_index)
    if market["status"] != _ACTIVE:
        raise ProgramError(errors.PLACE_PAUSED)
    oracle = call.price(market).price
    position = positions.forced_position(user, params.market_index)
    if position is None:
        raise ProgramError(errors.TOO_MANY_ORDERS)
    base = _size(call, user, market, params, oracle)
    if base < market["order_step_size"]:
        call.log(f"params.base_asset_amount={params.base} cannot be below market.order_step_size")
        raise ProgramError(errors.TOO_SMALL)
    params = _with_auction(call, market, params, oracle)
    _check_order(params)
    order_id = user["next_order_id"]
    user["next_order_id"] = order_id + 1
    made = _order(call, market, params, base, position)
    made["order_id"] = order_id
    if params.post_only != PostOnly.NONE and _crosses_amm(call, market, made, oracle):
        if params.post_only == PostOnly.TRY:
            return None
        raise ProgramError(errors.POST_ONLY_FAILED)
    slot_in_user.data[slot_in_user.base : slot_in_user.base + made.layout.size] = made.bytes()
    positions.count_order(user, slot_in_user, position, 1)
    if not params.reduce_only and _risks_more(position, params.direction, base):
        checked = margin.of(call, user)
        if not checked.enough:
            call.log(
                f"total_collateral={checked.collateral}, margin_requirement={checked.required} margin type = Initial"
            )
            raise ProgramError(errors.INSUFFICIENT_COLLATERAL)
    side = events.Side.of(user_key, slot_in_user)
    taker, maker = (None, side) if params.post_only else (side, None)
    placed = events.Happened(Action.PLACE, Why.NONE, params.market_index, taker, maker)
    events.action_record(call, placed, oracle)
    events.order_record(call, user_key, slot_in_user)
    user["last_active_slot"] = call.clock.slot
    return slot_in_user


def _size(call: Call, user: Record, market: Record, params: OrderParams, oracle: int) -> int:
    """The size asked for; of u64's greatest, about what the free collateral allows."""
    if params.base != U64_MAX:
        return to_step(params.base, market["order_step_size"])
    free = margin.of(call, user)
    share = margin.ratio(market, 0, initial=True)
    worth = max(0, free.collateral - free.required - 20_000) * 10_000 // share * 999 // 1000
    return to_step(worth * 10**9 // max(1, oracle), market["order_step_size"])


def _with_auction(call: Call, market: Record, params: OrderParams, oracle: int) -> OrderParams:
    shortest = call.state()["min_perp_auction_duration"]
    if call.profile.derives_auctions:
        params = auction.with_auction(params, market, oracle)
    params = auction.plain_auction(params, oracle, shortest)
    if params.order_type in (OrderType.MARKET, OrderType.ORACLE):
        return replace(params, auction_duration=max(params.auction_duration or 0, shortest))
    return params


def _check_order(params: OrderParams) -> None:
    """Words that contradict each other."""
    limit = params.order_type == OrderType.LIMIT
    if limit and not params.price and not params.oracle_offset:
        raise ProgramError(errors.INVALID_ORDER)
    if params.post_only and (not limit or params.auction_duration):
        raise ProgramError(errors.INVALID_ORDER)
    if params.immediate_or_cancel and not limit:
        raise ProgramError(errors.INVALID_IOC)
    if params.order_type in _TRIGGERS and not params.trigger_price:
        raise ProgramError(errors.INVALID_ORDER)


def _order(call: Call, market: Record, params: OrderParams, base: int, position: Record) -> Record:
    """The order as it will be stored, not yet among the user's."""
    shape = call.profile.user.fields["orders"].inner
    assert shape is not None, "users hold orders"
    order = Record(shape, bytearray(shape.size))
    up, tick = not params.long, market["order_tick_size"]
    duration = params.auction_duration or 0
    order["slot"] = call.clock.slot
    order["price"] = _price(market, params, tick)
    order["base_asset_amount"] = base
    if params.trigger_price:
        order["trigger_price"] = params.trigger_price
    if duration:
        order["auction_start_price"] = to_tick(params.auction_start or 0, tick, up=up)
        order["auction_end_price"] = to_tick(params.auction_end or 0, tick, up=up)
    order["max_ts"] = _max_ts(call, params, duration)
    order["oracle_price_offset"] = params.oracle_offset or 0
    order["market_index"] = params.market_index
    order["status"] = Status.OPEN
    order["order_type"] = params.order_type
    order["market_type"] = params.market_type
    order["user_order_id"] = params.user_order_id
    order["existing_position_direction"] = int(position["base_asset_amount"] < 0)
    order["direction"] = params.direction
    order["reduce_only"] = params.reduce_only
    order["post_only"] = int(params.post_only != PostOnly.NONE)
    order["immediate_or_cancel"] = int(params.immediate_or_cancel)
    order["trigger_condition"] = params.trigger_condition
    order["auction_duration"] = duration
    if call.profile.posted_slot_tail:
        order["posted_slot_tail"] = call.clock.slot & 255
    return order


def _price(market: Record, params: OrderParams, tick: int) -> int:
    """The limit price on the grid; one that slides is a tick short of the AMM's."""
    price = to_tick(params.price, tick, up=not params.long)
    if params.post_only != PostOnly.SLIDE:
        return price
    if params.long:
        ask = amm.ask_price(market)
        return ask - tick if price >= ask else price
    bid = amm.bid_price(market)
    return bid + tick if price <= bid else price


def _max_ts(call: Call, params: OrderParams, duration: int) -> int:
    """When it ends, 0 for never: market orders always end."""
    if params.max_ts is not None:
        return params.max_ts
    if params.order_type in (OrderType.MARKET, OrderType.ORACLE):
        return call.clock.ts + max(_MARKET_ORDER_S, duration // 2 + _MAX_TS_EXTRA_S)
    return 0


def _crosses_amm(call: Call, market: Record, order: Record, oracle: int) -> bool:
    """Whether the AMM would trade with it at once."""
    long = order["direction"] == Direction.LONG
    limit = order["price"] or oracle + order["oracle_price_offset"]
    base = min(order["base_asset_amount"], amm.base_to_price(market, limit, long=long))
    base = to_step(base, market["order_step_size"])
    if base:
        call.log(f"Post-only order can immediately fill {base} base asset amount")
    return base > 0


def _risks_more(position: Record, direction: int, base: int) -> bool:
    held = position["base_asset_amount"]
    return held == 0 or (held > 0) == (direction == Direction.LONG) or base > 2 * abs(held)

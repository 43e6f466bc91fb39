"""Trigger orders: they wait outside the book until the oracle passes their price and a keeper says so."""

from __future__ import annotations

from dataclasses import replace

from twinleg_sims.drift import auction, closing, errors, events, positions
from twinleg_sims.drift.call import Call
from twinleg_sims.drift.errors import ProgramError
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import OPEN_ORDER_QUOTE, Action, OrderType, Why, to_tick

_TRIGGERED = 2
"""Added to the condition of an order that has been triggered."""


def passed(order: Record, oracle: int) -> bool:
    """Whether the oracle is where an order waits for it."""
    above = order["trigger_condition"] == 0
    return oracle > order["trigger_price"] if above else oracle < order["trigger_price"]


def trigger(call: Call, user_key: bytes, user: Record, order_id: int, filler: bytes) -> None:
    """trigger_order: the order becomes a market or limit order with an auction, for a cent. Raises ProgramError."""
    order = next((order for order in positions.open_orders(user) if order["order_id"] == order_id), None)
    if order is None or not positions.waits(order):
        raise ProgramError(errors.NO_SUCH_ORDER)
    market = call.perp_market(order["market_index"])
    oracle = call.price(market).price
    position = positions.perp_position(user, order["market_index"])
    if not passed(order, oracle) or position is None:
        raise ProgramError(errors.INVALID_ORDER)
    order["trigger_condition"] += _TRIGGERED
    order["slot"] = call.clock.slot
    _give_auction(user, order, market, oracle)
    positions.shift_open(position, order["direction"], positions.unfilled(order))
    positions.charge(position, OPEN_ORDER_QUOTE)
    happened = events.Happened(
        Action.TRIGGER,
        Why.NONE,
        order["market_index"],
        events.Side.of(user_key, order),
        filler=filler,
        filler_reward=OPEN_ORDER_QUOTE,
    )
    events.action_record(call, happened, oracle)
    user["last_active_slot"] = call.clock.slot


def _give_auction(user: Record, order: Record, market: Record, oracle: int) -> None:
    """As a market order's that names none; a limit order's ends at its price at the worst."""
    params = closing.params_of(order)
    plain = OrderType.MARKET if order["order_type"] == OrderType.TRIGGER_MARKET else OrderType.LIMIT
    params = auction.with_auction(replace(params, order_type=plain), market, oracle)
    if not params.auction_duration:
        return
    up, tick = not params.long, market["order_tick_size"]
    order["auction_duration"] = params.auction_duration
    order["auction_start_price"] = to_tick(params.auction_start or 0, tick, up=up)
    order["auction_end_price"] = to_tick(params.auction_end or 0, tick, up=up)
    user["open_auctions"] += 1
    user["has_open_auction"] = 1

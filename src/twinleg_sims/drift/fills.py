"""Filling orders: against the AMM, and against other users' orders."""

from __future__ import annotations

from dataclasses import dataclass

from twinleg_sims.drift import amm, auction, closing, errors, events, funding, positions
from twinleg_sims.drift.call import Call, Price
from twinleg_sims.drift.closing import Ending
from twinleg_sims.drift.errors import ProgramError
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import BASE, Action, Direction, OrderType, Status, Why, to_step

_ACTIVE = 1
_REWARD_FULL_QUOTE = 10_000


@dataclass(slots=True)
class Filling:
    """An order being filled. `filler` is the keeper's user, or the taker's own."""

    call: Call
    user_key: bytes
    user: Record
    order: Record
    market: Record
    oracle: Price
    filler: bytes
    by_keeper: bool
    auction_slots: int = 0
    """How many slots of its auction an order is ahead."""


def fill(
    call: Call, user_key: bytes, user: Record, order_id: int, filler: bytes | None = None, *, auction_percent: int = 0
) -> int:
    """Fill what can be filled of an order; the base traded. `filler` None: the user itself. Raises ProgramError.

    `auction_percent`: how far into its auction an order is taken to be.
    """
    order = next((order for order in positions.open_orders(user) if order["order_id"] == order_id), None)
    if order is None:
        call.log(f"Order does not exist {order_id}")
        return 0
    market = call.perp_market(order["market_index"])
    if market["status"] != _ACTIVE:
        raise ProgramError(errors.FILL_PAUSED)
    if positions.waits(order) and not closing.over(order, call.clock.ts):
        raise ProgramError(errors.INVALID_ORDER)
    by_keeper = filler is not None and filler != user_key
    who = filler or user_key
    if closing.over(order, call.clock.ts):
        closing.cancel(call, user_key, user, order, Ending(Why.EXPIRED, Action.EXPIRE, who, by_keeper=by_keeper))
        return 0
    filling = Filling(call, user_key, user, order, market, call.price(market), who, by_keeper)
    filling.auction_slots = order["auction_duration"] * min(auction_percent, 100) // 100
    funding.settle(call, user_key, user, market)
    amm.update(market, filling.oracle, call.clock.slot, call.clock.ts)
    if order["reduce_only"] and not _reducible(user, order):
        ending = Ending(Why.REDUCE_ONLY_GREW, Action.CANCEL, who, by_keeper=by_keeper)
        closing.cancel(call, user_key, user, order, ending)
        return 0
    traded = _against_makers(filling)
    if order["status"] == Status.OPEN:
        traded += _against_amm(filling)
    if not traded:
        call.log("no fulfillment methods found")
    return traded


def amm_available(call: Call, order: Record, market: Record, oracle: Price) -> bool:
    """Whether the AMM may trade with an order now."""
    if call.amm_off(market["market_index"]):
        return False
    state = call.state()
    waited = call.clock.slot - order["slot"] > state["min_perp_auction_duration"]
    if call.profile.amm_waits_auction:
        return waited
    return oracle.delay == 0 or (waited and oracle.delay <= state["slots_before_stale_for_amm"])


def has_makers(call: Call, user_key: bytes, order: Record, position: int) -> bool:
    """Whether other users with orders on the other side are among the accounts."""
    return any(
        key != user_key and any(_faces(order, other) for other in positions.open_orders(user))
        for key, user in call.users_after(position)
    )


def _against_amm(filling: Filling) -> int:
    call, order, market = filling.call, filling.order, filling.market
    long = order["direction"] == Direction.LONG
    slot = call.clock.slot + filling.auction_slots
    limit = auction.price_at(order, slot, market["order_tick_size"], filling.oracle.price)
    if not amm_available(call, order, market, filling.oracle):
        call.log("AMM cannot fill order: oracle not valid for immediate fills")
        return 0
    best = amm.ask_price(market) if long else amm.bid_price(market)
    if limit is not None and (limit < best if long else limit > best):
        call.log(f"taker does not cross amm: taker price {limit} amm price {best}")
        return 0
    base = min(_wanted(filling.user, order), amm.fillable(market, limit, long=long))
    base = _bounded(call, market, base)
    if base <= 0:
        return 0
    quote, surplus = amm.swap(market, base, long=long)
    if order["post_only"] and limit is not None:
        at_limit = base * limit // BASE
        surplus += at_limit - quote if long else quote - at_limit
        quote = at_limit
    market["base_asset_amount_with_amm"] += base if long else -base
    _book(filling, base, quote, surplus)
    return base


def _book(filling: Filling, base: int, quote: int, surplus: int) -> None:
    """A trade with the AMM in the books, and its event."""
    call, order, market = filling.call, filling.order, filling.market
    long = order["direction"] == Direction.LONG
    maker_side = bool(order["post_only"])
    fee = -_rebate(call, quote) if maker_side else taker_fee(call, market, quote)
    reward = 0 if maker_side or not filling.by_keeper else _reward(call, fee, order)
    position = positions.perp_position(filling.user, order["market_index"])
    assert position is not None, "an open order has a position"
    _settle_side(position, market, order, Traded(base, quote, fee, long=long))
    side = events.Side.of(filling.user_key, order)
    filled = events.Filled(
        _next_record(market),
        base,
        quote,
        0 if maker_side else fee,
        fee if maker_side else None,
        surplus,
    )
    happened = events.Happened(
        Action.FILL,
        Why.WITH_AMM,
        order["market_index"],
        None if maker_side else side,
        side if maker_side else None,
        filling.filler,
        reward,
        filled,
    )
    _finish(filling.call, filling.user, order, market, quote * BASE // base)
    events.action_record(call, happened, filling.oracle.price)


@dataclass(frozen=True, slots=True)
class Traded:
    """One side's share of a trade: what it paid or got, its fee (below zero: a rebate), and which way it went."""

    base: int
    quote: int
    fee: int
    long: bool


def _settle_side(position: Record, market: Record, order: Record, traded: Traded) -> None:
    """Position, order and open interest of one side."""
    sign = 1 if traded.long else -1
    positions.trade(position, market, sign * traded.base, -sign * traded.quote)
    positions.charge(position, traded.fee)
    market["quote_asset_amount"] += -sign * traded.quote - traded.fee
    positions.shift_open(position, order["direction"], -traded.base)
    order["base_asset_amount_filled"] += traded.base
    order["quote_asset_amount_filled"] += traded.quote


def _finish(call: Call, user: Record, order: Record, market: Record, price: int) -> None:
    """Close an order that is full, and note the trade in the market."""
    user["last_active_slot"] = call.clock.slot
    market["last_trade_ts"] = call.clock.ts
    market["last_fill_price"] = price
    amm.update_mark(market, amm.bid_price(market), amm.ask_price(market), call.clock.ts)
    if positions.unfilled(order) == 0:
        position = positions.perp_position(user, order["market_index"])
        if position is not None:
            positions.count_order(user, order, position, -1)
        closing.close(call, order, Status.FILLED)


def _against_makers(filling: Filling) -> int:
    """Trade with older resting orders of the other users given, best price first, while they beat the AMM."""
    call, order, market = filling.call, filling.order, filling.market
    if order["post_only"]:
        return 0
    long = order["direction"] == Direction.LONG
    tick, slot, oracle = market["order_tick_size"], call.clock.slot, filling.oracle.price
    limit = auction.price_at(order, slot + filling.auction_slots, tick, oracle)
    resting = []
    for key, user in call.users_after(4):
        if key == filling.user_key:
            continue
        for other in positions.open_orders(user):
            price = auction.price_at(other, slot, tick, oracle)
            older = other["slot"] <= order["slot"] and not auction.in_auction(other, slot)
            if price is not None and older and _faces(order, other):
                resting.append((price, key, user, other))
    resting.sort(key=lambda row: row[0] if long else -row[0])
    best = amm.ask_price(market) if long else amm.bid_price(market)
    usable = amm_available(call, order, market, filling.oracle)
    traded = 0
    for price, key, user, other in resting:
        beyond_limit = limit is not None and (price > limit if long else price < limit)
        beyond_amm = usable and (price > best if long else price < best)
        if beyond_limit or beyond_amm or order["status"] != Status.OPEN:
            break
        traded += _match(filling, key, user, other, price)
    return traded


def _match(filling: Filling, maker_key: bytes, maker: Record, other: Record, price: int) -> int:
    call, order, market = filling.call, filling.order, filling.market
    base = _bounded(call, market, min(_wanted(filling.user, order), _wanted(maker, other)))
    if base <= 0:
        return 0
    quote = base * price // BASE
    fee, rebate = taker_fee(call, market, quote), _rebate(call, quote)
    taker_position = positions.perp_position(filling.user, order["market_index"])
    maker_position = positions.perp_position(maker, other["market_index"])
    assert taker_position is not None, "an open order has a position"
    assert maker_position is not None, "an open order has a position"
    long = order["direction"] == Direction.LONG
    funding.settle(call, maker_key, maker, market)
    _settle_side(taker_position, market, order, Traded(base, quote, fee, long=long))
    _settle_side(maker_position, market, other, Traded(base, quote, -rebate, long=not long))
    reward = _reward(call, fee, order) if filling.by_keeper else 0
    happened = events.Happened(
        Action.FILL,
        Why.WITH_MATCH,
        order["market_index"],
        events.Side.of(filling.user_key, order),
        events.Side.of(maker_key, other),
        filling.filler,
        reward,
        events.Filled(_next_record(market), base, quote, fee, -rebate),
    )
    events.action_record(call, happened, filling.oracle.price)
    _finish(call, filling.user, order, market, price)
    _finish(call, maker, other, market, price)
    return base


def taker_fee(call: Call, market: Record, quote: int) -> int:
    """Rounded up. Everybody is of the first tier."""
    tier = call.state().at("fee_tiers")
    fee = -(-quote * tier["fee_numerator"] // tier["fee_denominator"])
    adjusted = market.get("fee_adjustment", 0)
    return fee + fee * adjusted // 100


def _rebate(call: Call, quote: int) -> int:
    tier = call.state().at("fee_tiers")
    return quote * tier["maker_rebate_numerator"] // tier["maker_rebate_denominator"]


def _reward(call: Call, fee: int, order: Record) -> int:
    """A keeper's share of the fee: a tenth, at most a cent times the fourth root of the slots it took."""
    state = call.state()
    share = fee * state["reward_numerator"] // max(1, state["reward_denominator"])
    slots = max(1, call.clock.slot - order["slot"])
    return int(min(share, _REWARD_FULL_QUOTE * slots**0.25))


def _wanted(user: Record, order: Record) -> int:
    """What is left of an order, of a reduce-only one no more than is held."""
    left = positions.unfilled(order)
    if not order["reduce_only"]:
        return left
    return min(left, _reducible(user, order))


def _reducible(user: Record, order: Record) -> int:
    position = positions.perp_position(user, order["market_index"])
    held = position["base_asset_amount"] if position is not None else 0
    return max(0, -held if order["direction"] == Direction.LONG else held)


def _bounded(call: Call, market: Record, base: int) -> int:
    most = call.partial(market["market_index"])
    return to_step(base if most is None else min(base, most), market["order_step_size"])


def _faces(order: Record, other: Record) -> bool:
    """Whether another order can be the maker's."""
    same = other["market_index"] == order["market_index"] and other["market_type"] == order["market_type"]
    return same and other["direction"] != order["direction"] and other["order_type"] == OrderType.LIMIT


def _next_record(market: Record) -> int:
    number = market["next_fill_record_id"]
    market["next_fill_record_id"] = number + 1
    return number

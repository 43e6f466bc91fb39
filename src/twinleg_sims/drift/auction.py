"""How the program sets the auctions of new orders, and what an auction's price is at a slot."""

from __future__ import annotations

from dataclasses import replace

from twinleg_sims.drift import amm
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import OrderParams, OrderType, PostOnly, to_tick

_PERCENTAGE = 10**6
_QUIET_QUOTE = 100_000 * 10**6
"""Up to this 24 h volume, averages are not trusted."""
_TWAPS_APART_S = 60
_TIER_B = 1
_DURATION_MAX = 180
_START_BUFFER_DIVISOR = 400
"""A market order's auction begins this share of the oracle's price on the better side: 25 bp."""
_END_DIVISORS = {0: (1000, 50), 1: (1000, 20), 2: (500, 20), 3: (100, 10), 4: (50, 5), 5: (50, 5)}


def with_auction(params: OrderParams, market: Record, oracle: int) -> OrderParams:
    """The parameters with the auction that the program gives them."""
    if params.order_type == OrderType.LIMIT:
        return _limit(params, market, oracle)
    if params.order_type in (OrderType.MARKET, OrderType.ORACLE):
        return _market(params, market, oracle)
    return params


def plain_auction(params: OrderParams, oracle: int, shortest: int) -> OrderParams:
    """The auction of a program that derives none: from the oracle to half a percent away, or to the limit price."""
    if params.order_type not in (OrderType.MARKET, OrderType.ORACLE) or params.auction_start is not None:
        return params
    sign = 1 if params.long else -1
    start, end = oracle, params.price or oracle + sign * (oracle // 200)
    if params.price and (params.price - oracle) * sign < 0:
        half = [value - sign * (value // 200) for value in (params.price, oracle)]
        start = min(half) if params.long else max(half)
    return replace(params, auction_start=start, auction_end=end, auction_duration=params.auction_duration or shortest)


def price_at(order: Record, slot: int, tick: int, oracle: int) -> int | None:
    """The worst price an order takes at a slot. None: any."""
    long, elapsed, duration = order["direction"] == 0, slot - order["slot"], order["auction_duration"]
    base = oracle if order["order_type"] == OrderType.ORACLE or order["oracle_price_offset"] else 0
    if duration and elapsed <= duration:
        start, end = order["auction_start_price"], order["auction_end_price"]
        span = abs(end - start) * min(elapsed, duration) // duration
        return max(tick, to_tick(base + (start + span if end >= start else start - span), tick, up=not long))
    if order["oracle_price_offset"]:
        return max(tick, to_tick(oracle + order["oracle_price_offset"], tick, up=not long))
    if order["price"]:
        return order["price"]
    return base + order["auction_end_price"] if duration else None


def in_auction(order: Record, slot: int) -> bool:
    """Whether an order's auction goes on."""
    return bool(order["auction_duration"]) and slot - order["slot"] <= order["auction_duration"]


def _limit(params: OrderParams, market: Record, oracle: int) -> OrderParams:
    offset = params.oracle_offset or 0
    if params.post_only != PostOnly.NONE or (not offset and not params.price):
        return params
    worst = offset or params.price
    long = params.long
    best = amm.ask_price(market) if long else amm.bid_price(market)
    estimate = oracle + best - market["last_oracle_price"]
    begin = oracle + start_offset(market, long=long)
    if not params.auction_duration:
        crosses = worst - (estimate - oracle if offset else estimate)
        if (crosses <= 0) if long else (crosses >= 0):
            return params
        start = (min if long else max)(begin, estimate)
        start, end = (start - oracle, offset) if offset else (start, params.price)
    else:
        given = params.auction_start
        fresh = begin - oracle if offset else begin
        better = given is None or (begin < given if long else begin > given)
        start = fresh if better or given is None else given
        end = worst if params.auction_end is None else params.auction_end
    start, end = (min(start, worst), min(end, worst)) if long else (max(start, worst), max(end, worst))
    lasts = max(params.auction_duration or 0, _duration(end - start, oracle, market))
    return replace(params, auction_start=start, auction_end=end, auction_duration=lasts)


def _market(params: OrderParams, market: Record, oracle: int) -> OrderParams:
    given = (params.auction_duration, params.auction_start, params.auction_end)
    absolute = params.order_type == OrderType.MARKET
    base = oracle if absolute else 0
    long = params.long
    if None in given:
        start, end = _derived(params, market, oracle, absolute=absolute)
        lasts = _duration(end - start, oracle, market)
        return replace(params, auction_start=start, auction_end=end, auction_duration=lasts)
    start, end = params.auction_start or 0, params.auction_end or 0
    best_start, best_end = _offsets(market, 2, long=long)
    room = 0 if market["contract_tier"] <= _TIER_B else oracle // 1000
    sign = 1 if long else -1
    if (start - base - best_start) * sign > room:
        start = base + best_start
    if (end - base - best_end) * sign > room:
        end = base + best_end
    lasts = max(params.auction_duration or 0, _duration(end - start, oracle, market))
    return replace(params, auction_start=start, auction_end=end, auction_duration=lasts)


def _derived(params: OrderParams, market: Record, oracle: int, *, absolute: bool) -> tuple[int, int]:
    """Start and end of an order that names none."""
    long = params.long
    pick = min if long else max
    if absolute:
        start, end = (oracle + offset for offset in _offsets(market, 2 if params.price else 1, long=long))
    elif params.oracle_offset is not None:
        start, end = pick(start_offset(market, long=long), params.oracle_offset), params.oracle_offset
    else:
        start, end = _offsets(market, 1, long=long)
    buffer = oracle // _START_BUFFER_DIVISOR
    start += -buffer if long else buffer
    if absolute and params.price:
        start, end = pick(start, params.price), pick(end, params.price)
    return start, end


def start_offset(market: Record, *, long: bool) -> int:
    """Where an auction begins, relative to the oracle."""
    bid, ask = market["last_bid_price_twap"], market["last_ask_price_twap"]
    apart_s = abs(market["last_oracle_price_twap_ts"] - market["last_mark_price_twap_ts"])
    if apart_s >= _TWAPS_APART_S or market["volume_24h"] <= _QUIET_QUOTE:
        divisor = 500 if market["contract_tier"] <= _TIER_B else 100
        return bid // divisor if long else -(ask // divisor)
    slow_price = bid if long else ask
    fast = market["last_mark_price_twap_5min"] - market["last_oracle_price_twap_5min"]
    slow = slow_price - market["last_oracle_price_twap"]
    if abs(slow - fast) > market["last_mark_price_twap_5min"] // 200:
        return fast
    of_long = market["long_spread"] * slow_price // (_PERCENTAGE * 10)
    of_short = market["short_spread"] * slow_price // (_PERCENTAGE * 10)
    return min(slow + of_long, fast - of_short) if long else max(slow - of_short, fast + of_long)


def _offsets(market: Record, scale: int, *, long: bool) -> tuple[int, int]:
    """Where an auction begins and ends, relative to the oracle."""
    start = start_offset(market, long=long)
    twap = market["last_oracle_price_twap"]
    least, most = _END_DIVISORS[market["contract_tier"]]
    spread = market["long_spread"] if long else market["short_spread"]
    buffer = max(market["mark_std"], market["oracle_std"], spread * twap // _PERCENTAGE) * scale
    buffer = min(max(buffer, twap // least), twap // most)
    if long:
        return start, max(market["last_ask_price_twap"] + buffer - twap, start)
    return start, min(market["last_bid_price_twap"] - buffer - twap, start)


def _duration(apart: int, oracle: int, market: Record) -> int:
    """Slots for a price range: a hundred per percent, sixty in riskier markets."""
    slots = 100 if market["contract_tier"] <= _TIER_B else 60
    share = abs(apart) * _PERCENTAGE // oracle
    return min(max(1, -(-share * slots // (_PERCENTAGE // 100))), _DURATION_MAX)

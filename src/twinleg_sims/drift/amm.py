"""A market's AMM: prices and swaps of a constant product around the oracle. `market` is a perp market's record."""

from __future__ import annotations

from math import isqrt

from twinleg_sims.drift.call import Price
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import PRICE, to_step

_SPREAD = 10**6
_AMM_TO_QUOTE = 10**9
"""Reserve units times the peg, to QUOTE units."""
HOUR_S, FIVE_MINUTES_S = 3600, 300


def reserve_price(market: Record) -> int:
    return market["quote_asset_reserve"] * market["peg_multiplier"] // market["base_asset_reserve"]


def ask_price(market: Record) -> int:
    """What a buyer would pay for next to nothing."""
    factor = _SPREAD + market["long_spread"] + market["reference_price_offset"]
    return reserve_price(market) * factor // _SPREAD


def bid_price(market: Record) -> int:
    factor = _SPREAD - market["short_spread"] + market["reference_price_offset"]
    return reserve_price(market) * factor // _SPREAD


def spread_reserves(market: Record, *, long: bool) -> tuple[int, int]:
    """Base and quote that a taker of a side trades against, as stored."""
    side = "ask" if long else "bid"
    return market[f"{side}_base_asset_reserve"], market[f"{side}_quote_asset_reserve"]


def update_reserves(market: Record) -> None:
    """Put both sides' reserves half a spread from the middle."""
    quote, invariant = market["quote_asset_reserve"], market["sqrt_k"] ** 2
    offset = market["reference_price_offset"]
    for side, spread in (("ask", market["long_spread"] + offset), ("bid", -market["short_spread"] + offset)):
        half = abs(spread) // 2
        delta = quote // (_SPREAD // half) if half else 0
        moved = quote + delta if spread > 0 else quote - delta
        market[f"{side}_quote_asset_reserve"] = moved
        market[f"{side}_base_asset_reserve"] = invariant // moved


def update(market: Record, oracle: Price, slot: int, ts: int) -> None:
    """Follow the oracle: averages, the peg, both sides' reserves."""
    update_oracle(market, oracle, ts)
    peg = oracle.price * market["base_asset_reserve"] // market["quote_asset_reserve"]
    market["peg_multiplier"] = max(1, peg)
    update_reserves(market)
    market["last_update_slot"] = slot


def update_oracle(market: Record, oracle: Price, ts: int) -> None:
    """Take the oracle's price into the market's averages."""
    since_s = ts - market["last_oracle_price_twap_ts"]
    if since_s > 0:
        for name, period_s in (("last_oracle_price_twap", HOUR_S), ("last_oracle_price_twap_5min", FIVE_MINUTES_S)):
            market[name] = averaged(oracle.price, market[name], since_s, period_s)
        market["last_oracle_price_twap_ts"] = ts
    market["last_oracle_price"] = oracle.price
    market["last_oracle_delay"] = oracle.delay


def update_mark(market: Record, bid: int, ask: int, ts: int) -> None:
    """Take the book's best prices into the market's averages."""
    since_s = ts - market["last_mark_price_twap_ts"]
    if since_s <= 0:
        return
    market["last_bid_price_twap"] = averaged(bid, market["last_bid_price_twap"], since_s, HOUR_S)
    market["last_ask_price_twap"] = averaged(ask, market["last_ask_price_twap"], since_s, HOUR_S)
    market["last_mark_price_twap"] = (market["last_bid_price_twap"] + market["last_ask_price_twap"]) // 2
    market["last_mark_price_twap_5min"] = averaged(
        (bid + ask) // 2, market["last_mark_price_twap_5min"], since_s, FIVE_MINUTES_S
    )
    market["last_mark_price_twap_ts"] = ts


def averaged(latest: int, before: int, since_s: int, period_s: int) -> int:
    """A moving average, off by one towards the heavier side as the program's is."""
    rest_s = max(1, period_s - since_s)
    new, old = latest * max(1, since_s), before * rest_s
    bias = (new < old) - (new > old) if rest_s > 1 else 0
    return (new + old) // (max(1, since_s) + rest_s) + bias


def base_to_price(market: Record, price: int, *, long: bool) -> int:
    """How much a taker could trade until the AMM's price is `price`; 0 when it is past it."""
    base, _ = spread_reserves(market, long=long)
    target = isqrt(market["sqrt_k"] ** 2 * market["peg_multiplier"] // price) if price > 0 else 0
    return max(0, base - target if long else target - base)


def fillable(market: Record, limit: int | None, *, long: bool) -> int:
    """The most that one fill may trade up to a price: whole steps, within the AMM's bounds."""
    base, _ = spread_reserves(market, long=long)
    bound = base - market["min_base_asset_reserve"] if long else market["max_base_asset_reserve"] - base
    share = market["base_asset_reserve"] // max(1, market["max_fill_reserve_fraction"])
    most = min(max(0, bound), share)
    if limit is not None:
        most = min(most, base_to_price(market, limit, long=long))
    return to_step(most, market["order_step_size"])


def swap(market: Record, amount: int, *, long: bool) -> tuple[int, int]:
    """Trade with the AMM: the QUOTE paid or got, and how much of it is the spread's. Moves the reserves."""
    quote = _swapped(market, spread_reserves(market, long=long), amount, long=long)
    middle = (market["base_asset_reserve"], market["quote_asset_reserve"])
    without = _swapped(market, middle, amount, long=long)
    base = market["base_asset_reserve"] + (-amount if long else amount)
    market["base_asset_reserve"] = base
    market["quote_asset_reserve"] = market["sqrt_k"] ** 2 // base
    update_reserves(market)
    return quote, abs(quote - without)


def quoted(market: Record, amount: int, *, long: bool) -> int:
    """What a swap would cost, without doing it."""
    return _swapped(market, spread_reserves(market, long=long), amount, long=long)


def _swapped(market: Record, reserves: tuple[int, int], amount: int, *, long: bool) -> int:
    base, quote = reserves
    after = market["sqrt_k"] ** 2 // (base - amount if long else base + amount)
    worth = abs(after - quote) * market["peg_multiplier"] // _AMM_TO_QUOTE
    return worth + 1 if long else worth


def levels(market: Record, count: int, step_bps: int, *, long: bool) -> list[tuple[int, int]]:
    """The AMM as a book: (price, size) of each of so many steps away from its best price. `long`: what buyers meet."""
    best = ask_price(market) if long else bid_price(market)
    found, before = [], 0
    for step in range(1, count + 1):
        move = best * step * step_bps // 10_000
        price = best + move if long else best - move
        upto = base_to_price(market, price, long=long)
        if upto > before:
            found.append((price, upto - before))
            before = upto
    return found


def mark_price(market: Record) -> int:
    """Between the AMM's best prices, PRICE units."""
    return (ask_price(market) + bid_price(market)) // 2 or PRICE

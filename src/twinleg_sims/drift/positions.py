"""Positions and open orders inside a User account."""

from __future__ import annotations

from collections.abc import Iterator

from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import PERP, SPOT, Direction, OrderType, Status

_TRIGGERS = (OrderType.TRIGGER_MARKET, OrderType.TRIGGER_LIMIT)
_TRIGGERED = 2
_IN_USE = ("base_asset_amount", "quote_asset_amount", "open_orders")


def perp_position(user: Record, market_index: int) -> Record | None:
    """The position in a market, None when there is none."""
    for position in user.all("perp_positions"):
        if position["market_index"] == market_index and any(position[name] for name in _IN_USE):
            return position
    return None


def forced_position(user: Record, market_index: int) -> Record | None:
    """The position in a market, a new one when there is none; None when all eight are taken."""
    found = perp_position(user, market_index)
    if found is not None:
        return found
    for position in user.all("perp_positions"):
        if not any(position[name] for name in _IN_USE):
            position.clear()
            position["market_index"] = market_index
            return position
    return None


def used_positions(user: Record) -> Iterator[Record]:
    for position in user.all("perp_positions"):
        if any(position[name] for name in _IN_USE):
            yield position


def spot_position(user: Record, market_index: int) -> Record | None:
    """The balance in a spot market; market 0 always has one."""
    for number, position in enumerate(user.all("spot_positions")):
        if position["market_index"] == market_index and (position["scaled_balance"] or number == 0):
            return position
    return None


def open_orders(user: Record) -> Iterator[Record]:
    for order in user.all("orders"):
        if order["status"] == Status.OPEN:
            yield order


def waits(order: Record) -> bool:
    """Whether it is a trigger order that has not been triggered: no part of the book."""
    return order["order_type"] in _TRIGGERS and order["trigger_condition"] < _TRIGGERED


def unfilled(order: Record) -> int:
    return order["base_asset_amount"] - order["base_asset_amount_filled"]


def count_order(user: Record, order: Record, position: Record, by: int) -> None:
    """An order opens (1) or closes (-1): the user's counters, and the position's bids or asks."""
    user["open_orders"] += by
    user["has_open_order"] = int(user["open_orders"] > 0)
    if order["auction_duration"]:
        user["open_auctions"] += by
        user["has_open_auction"] = int(user["open_auctions"] > 0)
    position["open_orders"] += by
    if not waits(order):
        shift_open(position, order["direction"], by * unfilled(order))


def shift_open(position: Record, direction: int, amount: int) -> None:
    """More or less of a position's bids or asks; asks are counted below zero."""
    if direction == Direction.LONG:
        position["open_bids"] += amount
    else:
        position["open_asks"] -= amount


def wipe(order: Record) -> None:
    """An unused slot, as the program leaves it."""
    order.clear()
    order["order_type"] = OrderType.LIMIT
    order["market_type"] = PERP


def trade(position: Record, market: Record, base: int, quote: int) -> None:
    """A trade: `base` and `quote` are signed, a buyer's base positive and quote negative. Fees come apart.

    What is closed leaves entry and break-even in proportion.
    """
    before = position["base_asset_amount"]
    after = before + base
    if before == 0:
        position["last_cumulative_funding_rate"] = _rate(market, base)
    entry, even = position["quote_entry_amount"], position["quote_break_even_amount"]
    if before == 0 or (before > 0) == (base > 0):
        entry, even = entry + quote, even + quote
    elif abs(base) <= abs(before):
        entry -= _part(entry, abs(base), abs(before))
        even -= _part(even, abs(base), abs(before))
    else:
        opened = quote - _part(quote, abs(before), abs(base))
        entry = even = opened
        position["last_cumulative_funding_rate"] = _rate(market, after)
    position["base_asset_amount"] = after
    position["quote_asset_amount"] += quote
    position["quote_entry_amount"], position["quote_break_even_amount"] = entry, even
    if after == 0:
        position["last_cumulative_funding_rate"] = 0
    count_base(market, before, after)


def charge(position: Record, amount: int) -> None:
    """Take a fee (or give a rebate, below zero)."""
    position["quote_asset_amount"] -= amount
    position["quote_break_even_amount"] -= amount


def count_base(market: Record, before: int, after: int) -> None:
    """Open interest and the number of holders, by one position's change."""
    long = max(after, 0) - max(before, 0)
    market["base_asset_amount_long"] += long
    market["base_asset_amount_short"] += (after - before) - long
    market["number_of_users_with_base"] = max(0, market["number_of_users_with_base"] + bool(after) - bool(before))


def balance(user: Record, spot: Record) -> int:
    """The tokens of a deposit, in the mint's units; below zero when borrowed."""
    position = spot_position(user, spot["market_index"])
    if position is None:
        return 0
    borrowed = position["balance_type"] == 1
    interest = spot["cumulative_borrow_interest" if borrowed else "cumulative_deposit_interest"]
    tokens: int = position["scaled_balance"] * interest // 10 ** (19 - spot["decimals"])
    return -tokens - 1 if borrowed else tokens


def is_perp(order: Record) -> bool:
    return order["market_type"] != SPOT


def _rate(market: Record, base: int) -> int:
    return market["cumulative_funding_rate_long" if base > 0 else "cumulative_funding_rate_short"]


def _part(amount: int, share: int, whole: int) -> int:
    """A share of an amount, towards zero."""
    part = abs(amount) * share // whole
    return part if amount >= 0 else -part

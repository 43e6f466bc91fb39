"""The program's instructions, packed by hand: the same bytes that driftpy 0.8.89 makes of them.

An option is one byte 0, or 1 and the value. What Velocity writes otherwise is in the Dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

import msgspec

from twinleg.venues.drift.chain.layout import discriminator

U64_MAX = 2**64 - 1
MARKET, LIMIT, TRIGGER_MARKET, TRIGGER_LIMIT, ORACLE = range(5)
POST_ONLY_NONE, POST_ONLY_MUST, POST_ONLY_TRY, POST_ONLY_SLIDE = range(4)
ABOVE, BELOW = 0, 1
IMMEDIATE_OR_CANCEL = 1
"""A bit of OrderParams.bit_flags."""
MUST_MODIFY = 1
"""A bit of a modify's policy: fail where there is no such order."""

PLACE_PERP, PLACE_SPOT, PLACE_ORDERS, PLACE_AND_TAKE, CANCEL, CANCEL_BY_USER_ID, CANCEL_ORDERS, CANCEL_BY_IDS = (
    discriminator("global", name)
    for name in (
        "place_perp_order", "place_spot_order", "place_orders", "place_and_take_perp_order", "cancel_order",
        "cancel_order_by_user_id", "cancel_orders", "cancel_orders_by_ids",
    )
)  # fmt: skip
MODIFY, MODIFY_BY_USER_ID, DEPOSIT, WITHDRAW, SETTLE_PNL, SETTLE_FUNDING = (
    discriminator("global", name)
    for name in (
        "modify_order", "modify_order_by_user_id", "deposit", "withdraw", "settle_pnl", "settle_funding_payment",
    )
)  # fmt: skip

ORDER_HEAD = Struct("<BBBBQQHBBB")
OPTIONS = {code: Struct(f"<B{code}") for code in "BHIQiq"}


class Meta(NamedTuple):
    """An account that an instruction names, and what it may do with it."""

    key: bytes
    signer: bool = False
    writable: bool = False


class Instruction(NamedTuple):
    program: bytes
    accounts: tuple[Meta, ...]
    data: bytes


class Dialect(msgspec.Struct, frozen=True):
    """What the programs write differently."""

    offset_code: str
    """Of oracle_price_offset: "i" or "q"."""
    order_suffix: bytes
    """After an order's last field: Velocity's two absent options of a builder's fee."""


class OrderParams(NamedTuple):
    """A new order in the program's terms: every number an integer in the chain's units."""

    order_type: int
    market_type: int
    direction: int
    user_order_id: int
    base_asset_amount: int
    price: int
    market_index: int
    reduce_only: bool = False
    post_only: int = POST_ONLY_NONE
    bit_flags: int = 0
    max_ts: int | None = None
    trigger_price: int | None = None
    trigger_condition: int = ABOVE
    oracle_price_offset: int | None = None
    auction_duration: int | None = None
    auction_start_price: int | None = None
    auction_end_price: int | None = None


class ModifyParams(NamedTuple):
    """What changes of an order; None leaves it. The program cancels and places anew: `bit_flags` start from zero."""

    direction: int | None = None
    base_asset_amount: int | None = None
    price: int | None = None
    reduce_only: bool | None = None
    post_only: int | None = None
    bit_flags: int | None = None
    max_ts: int | None = None
    trigger_price: int | None = None
    trigger_condition: int | None = None
    oracle_price_offset: int | None = None
    auction_duration: int | None = None
    auction_start_price: int | None = None
    auction_end_price: int | None = None
    policy: int | None = None


MODIFY_CODES = "BQQBBBqQBiBqqB"
"""Of ModifyParams' fields, but for the dialect's offset."""


def order_bytes(order: OrderParams, dialect: Dialect) -> bytes:
    """An order's fields. Raises ValueError when one does not fit."""
    try:
        head = ORDER_HEAD.pack(*order[:10])
        return b"".join(
            (
                head,
                option("q", order.max_ts),
                option("Q", order.trigger_price),
                bytes((order.trigger_condition,)),
                option(dialect.offset_code, order.oracle_price_offset),
                option("B", order.auction_duration),
                option("q", order.auction_start_price),
                option("q", order.auction_end_price),
                dialect.order_suffix,
            )
        )
    except Exception as error:  # struct.error derives from nothing nearer
        raise ValueError(f"an order that has no bytes: {error}: {order}") from error


def modify_bytes(change: ModifyParams, dialect: Dialect) -> bytes:
    """A change's fields. Raises ValueError when one does not fit."""
    codes = MODIFY_CODES.replace("i", dialect.offset_code)
    try:
        return b"".join(option(code, value) for code, value in zip(codes, change, strict=True))
    except Exception as error:  # as above
        raise ValueError(f"a change that has no bytes: {error}: {change}") from error


def place_perp(order: OrderParams, dialect: Dialect) -> bytes:
    return PLACE_PERP + order_bytes(order, dialect)


def place_spot(order: OrderParams, dialect: Dialect) -> bytes:
    return PLACE_SPOT + order_bytes(order, dialect)


def place_orders(orders: Sequence[OrderParams], dialect: Dialect) -> bytes:
    return PLACE_ORDERS + len(orders).to_bytes(4, "little") + b"".join(order_bytes(order, dialect) for order in orders)


def place_and_take(order: OrderParams, dialect: Dialect, success_condition: int | None = None) -> bytes:
    """`success_condition`: the transaction fails unless that much was filled, where the program knows it."""
    return PLACE_AND_TAKE + order_bytes(order, dialect) + option("I", success_condition)


def cancel(order_id: int) -> bytes:
    """By the venue's id. The program takes no id for "the last order", so there is no way to say that here."""
    return CANCEL + option("I", order_id)


def cancel_by_user_id(user_order_id: int) -> bytes:
    return CANCEL_BY_USER_ID + bytes((user_order_id,))


def cancel_orders(
    market_type: int | None = None, market_index: int | None = None, direction: int | None = None
) -> bytes:
    """All orders, or those of one market or side."""
    return CANCEL_ORDERS + option("B", market_type) + option("H", market_index) + option("B", direction)


def cancel_by_ids(order_ids: Sequence[int]) -> bytes:
    return CANCEL_BY_IDS + len(order_ids).to_bytes(4, "little") + b"".join(i.to_bytes(4, "little") for i in order_ids)


def modify(order_id: int, change: ModifyParams, dialect: Dialect) -> bytes:
    return MODIFY + option("I", order_id) + modify_bytes(change, dialect)


def modify_by_user_id(user_order_id: int, change: ModifyParams, dialect: Dialect) -> bytes:
    return MODIFY_BY_USER_ID + bytes((user_order_id,)) + modify_bytes(change, dialect)


def deposit(spot_index: int, amount: int, *, reduce_only: bool = False) -> bytes:
    return DEPOSIT + Struct("<HQ?").pack(spot_index, amount, reduce_only)


def withdraw(spot_index: int, amount: int, *, reduce_only: bool = False) -> bytes:
    return WITHDRAW + Struct("<HQ?").pack(spot_index, amount, reduce_only)


def settle_pnl(market_index: int) -> bytes:
    return SETTLE_PNL + market_index.to_bytes(2, "little")


def settle_funding() -> bytes:
    return SETTLE_FUNDING


def option(code: str, value: int | None) -> bytes:
    """An option's bytes. Raises struct.error when the value does not fit."""
    return b"\0" if value is None else OPTIONS[code].pack(1, value)

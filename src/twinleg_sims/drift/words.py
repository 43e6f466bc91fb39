"""The program's enums, its units, and the parameters of its instructions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from twinleg_sims.drift.borsh import Reader

BASE = 10**9
PRICE = QUOTE = PEG = 10**6
MARGIN = 10**4
SPOT_BALANCE = 10**9
INTEREST = 10**10
FUNDING = 10**9
U64_MAX = 2**64 - 1
ORDERS_MAX = 32
OPEN_ORDER_QUOTE = 10_000
"""What each open order reserves, and what a keeper takes for closing one: 0.01."""


class OrderType(IntEnum):
    MARKET, LIMIT, TRIGGER_MARKET, TRIGGER_LIMIT, ORACLE = range(5)


class Direction(IntEnum):
    LONG, SHORT = range(2)


class Status(IntEnum):
    INIT, OPEN, FILLED, CANCELED = range(4)


class PostOnly(IntEnum):
    NONE, MUST, TRY, SLIDE = range(4)


class Action(IntEnum):
    PLACE, CANCEL, FILL, TRIGGER, EXPIRE = range(5)


class Why(IntEnum):
    """OrderActionExplanation, as far as it occurs here."""

    NONE = 0
    LOW_MARGIN = 1
    EXPIRED = 4
    WITH_AMM = 6
    WITH_MATCH = 8
    REDUCE_ONLY_GREW = 12


SPOT, PERP = 0, 1
IOC_FLAG = 1


@dataclass(slots=True)
class OrderParams:
    """What to place. None: left to the program."""

    order_type: int
    market_type: int
    direction: int
    user_order_id: int
    base: int
    price: int
    market_index: int
    reduce_only: int
    post_only: int
    bit_flags: int
    max_ts: int | None
    trigger_price: int | None
    trigger_condition: int
    oracle_offset: int | None
    auction_duration: int | None
    auction_start: int | None
    auction_end: int | None

    @property
    def long(self) -> bool:
        return self.direction == Direction.LONG

    @property
    def immediate_or_cancel(self) -> bool:
        return bool(self.bit_flags & IOC_FLAG)


def order_params(read: Reader, *, builder_fields: bool) -> OrderParams:
    """Raises EndError."""
    params = OrderParams(
        order_type=read.word(5),
        market_type=read.word(2),
        direction=read.word(2),
        user_order_id=read.u(8),
        base=read.u(64),
        price=read.u(64),
        market_index=read.u(16),
        reduce_only=read.word(2),
        post_only=read.word(4),
        bit_flags=read.u(8),
        max_ts=read.option(lambda: read.i(64)),
        trigger_price=read.option(lambda: read.u(64)),
        trigger_condition=read.word(4),
        oracle_offset=read.option(lambda: read.i(64 if builder_fields else 32)),
        auction_duration=read.option(lambda: read.u(8)),
        auction_start=read.option(lambda: read.i(64)),
        auction_end=read.option(lambda: read.i(64)),
    )
    if builder_fields:
        read.option(lambda: read.u(8))
        read.option(lambda: read.u(16))
    return params


@dataclass(frozen=True, slots=True)
class ModifyParams:
    """What to change of an order. None: as it was."""

    direction: int | None
    base: int | None
    price: int | None
    reduce_only: int | None
    post_only: int | None
    bit_flags: int | None
    max_ts: int | None
    trigger_price: int | None
    trigger_condition: int | None
    oracle_offset: int | None
    auction_duration: int | None
    auction_start: int | None
    auction_end: int | None
    policy: int | None


def modify_params(read: Reader, *, builder_fields: bool) -> ModifyParams:
    """Raises EndError."""
    return ModifyParams(
        direction=read.option(lambda: read.word(2)),
        base=read.option(lambda: read.u(64)),
        price=read.option(lambda: read.u(64)),
        reduce_only=read.option(lambda: read.word(2)),
        post_only=read.option(lambda: read.word(4)),
        bit_flags=read.option(lambda: read.u(8)),
        max_ts=read.option(lambda: read.i(64)),
        trigger_price=read.option(lambda: read.u(64)),
        trigger_condition=read.option(lambda: read.word(4)),
        oracle_offset=read.option(lambda: read.i(64 if builder_fields else 32)),
        auction_duration=read.option(lambda: read.u(8)),
        auction_start=read.option(lambda: read.i(64)),
        auction_end=read.option(lambda: read.i(64)),
        policy=read.option(lambda: read.u(8)),
    )


def to_step(amount: int, step: int) -> int:
    """A size rounded down."""
    return amount // step * step


def to_tick(price: int, tick: int, *, up: bool) -> int:
    """A price rounded to the passive side: down for longs, up for shorts."""
    return -(-price // tick) * tick if up else price // tick * tick

"""Events, as the program writes them into its logs."""

from __future__ import annotations

from dataclasses import dataclass

from twinleg_sims.drift.borsh import number, option
from twinleg_sims.drift.call import Call
from twinleg_sims.drift.keys import discriminator
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import PERP, Action, Why

_TAIL = bytes(8)
"""No flags, and seven options that say nothing."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side's order in an event, as it stands after what the event tells."""

    user: bytes
    order_id: int
    direction: int
    base: int
    base_filled: int
    quote_filled: int

    @classmethod
    def of(cls, user: bytes, order: Record) -> Side:
        return cls(
            user,
            order["order_id"],
            order["direction"],
            order["base_asset_amount"],
            order["base_asset_amount_filled"],
            order["quote_asset_amount_filled"],
        )


@dataclass(frozen=True, slots=True)
class Filled:
    """What traded. Fees are QUOTE units, a maker's negative when it is paid."""

    record_id: int
    base: int
    quote: int
    taker_fee: int
    maker_fee: int | None = None
    surplus: int | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """An OrderActionRecord's words."""

    action: Action
    why: Why
    market_index: int
    taker: Side | None = None
    maker: Side | None = None
    filler: bytes | None = None
    filler_reward: int | None = None
    filled: Filled | None = None


def order_record(call: Call, user: bytes, order: Record) -> None:
    """An order as it was placed."""
    head = discriminator("event", "OrderRecord") + number(call.clock.ts, 64, signed=True)
    call.event(head + user + order.bytes())


def action_record(call: Call, happened: Happened, oracle_price: int) -> None:
    """What became of an order."""
    raw = discriminator("event", "OrderActionRecord") + number(call.clock.ts, 64, signed=True)
    raw += bytes([happened.action, happened.why]) + number(happened.market_index, 16) + bytes([PERP])
    raw += option(happened.filler) + option(happened.filler_reward, 64)
    raw += _filled(happened.filled)
    raw += _side(happened.taker) + _side(happened.maker) + number(oracle_price, 64, signed=True)
    call.event(raw + (_TAIL if call.profile.event_tail else b""))


def _filled(filled: Filled | None) -> bytes:
    if filled is None:
        return bytes(8)
    raw = option(filled.record_id, 64) + option(filled.base, 64) + option(filled.quote, 64)
    raw += option(filled.taker_fee, 64) + option(filled.maker_fee, 64, signed=True) + option(None)
    return raw + option(filled.surplus, 64, signed=True) + option(None)


def _side(side: Side | None) -> bytes:
    if side is None:
        return bytes(6)
    raw = option(side.user) + option(side.order_id, 32) + option(bytes([side.direction])) + option(side.base, 64)
    return raw + option(side.base_filled, 64) + option(side.quote_filled, 64)


def funding_payment_record(call: Call, user_key: bytes, user: Record, facts: tuple[int, ...]) -> None:
    """`facts`: market, payment (negative = paid), base, the position's last rate, the market's long and short ones."""
    market, payment, base, last, rate_long, rate_short = facts
    raw = discriminator("event", "FundingPaymentRecord") + number(call.clock.ts, 64, signed=True)
    raw += user.raw("authority") + user_key + number(market, 16) + number(payment, 64, signed=True)
    raw += number(base, 64, signed=True) + number(last, 64, signed=True)
    call.event(raw + number(rate_long, 128, signed=True) + number(rate_short, 128, signed=True))


def funding_rate_record(call: Call, market: Record, record_id: int, rate: int) -> None:
    """An hour's rate of a market."""
    raw = discriminator("event", "FundingRateRecord") + number(call.clock.ts, 64, signed=True)
    raw += number(record_id, 64) + number(market["market_index"], 16) + number(rate, 64, signed=True)
    for wide in (rate, rate, market["cumulative_funding_rate_long"], market["cumulative_funding_rate_short"]):
        raw += number(wide, 128, signed=True)
    raw += number(market["last_oracle_price_twap"], 64, signed=True) + number(market["last_mark_price_twap"], 64)
    raw += number(0, 64) + number(market["base_asset_amount_with_amm"], 128, signed=True)
    call.event(raw + number(0, 128))

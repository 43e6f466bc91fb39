"""Orders in human units into the program's, and what the RPC node's answers to a submission mean.

The program rounds what lies off its steps and says nothing; here that is refused, unless asked for. An order is four
things in turn, and only the account's own data tell which: sent (the node took it), landed (in a block), placed (an
order of the account), filled. A transaction that landed may have placed nothing.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Literal

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Purpose, Side, TimeInForce
from twinleg.core.trading import OrderSeen, SendOutcome, SendVerdict
from twinleg.core.venue import WireError
from twinleg.venues.drift import facts, wire
from twinleg.venues.drift.account import ours
from twinleg.venues.drift.chain import instructions as ix
from twinleg.venues.drift.chain.instructions import OrderParams
from twinleg.venues.drift.chain.layout import LONG, PERP, SHORT, SPOT
from twinleg.venues.drift.facts import Profile

Amount = str | int | float | Decimal
REASON_CHARS_MAX = 200
ORDER_TYPES = {
    "market": ix.MARKET,
    "limit": ix.LIMIT,
    "trigger_market": ix.TRIGGER_MARKET,
    "trigger_limit": ix.TRIGGER_LIMIT,
    "oracle": ix.ORACLE,
}
POST_ONLY = {
    "none": ix.POST_ONLY_NONE,
    "must": ix.POST_ONLY_MUST,
    "try": ix.POST_ONLY_TRY,
    "slide": ix.POST_ONLY_SLIDE,
}
CONDITIONS = {"above": ix.ABOVE, "below": ix.BELOW}
WITH_AUCTION = (ix.MARKET, ix.TRIGGER_MARKET, ix.ORACLE, ix.LIMIT)


class Steps(msgspec.Struct, frozen=True):
    """A market's steps in the chain's units, and the decimals of its base (9 for perps, the mint's for spot)."""

    step: int
    tick: int
    min_order: int
    base_decimals: int = facts.BASE_DECIMALS

    @classmethod
    def of(cls, market: Market) -> Steps:
        """A perp market's."""
        step = market.size_grid.step * 10 ** (facts.BASE_DECIMALS - market.size_grid.decimals)
        tick = market.price_grid.step * 10 ** (facts.PRICE_DECIMALS - market.price_grid.decimals)
        return cls(step, tick, step * market.min_size_lots)


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as people say it: amounts in the base asset, prices in the quote, `max_ts` in epoch seconds.

    An oracle order's auction prices are offsets from the oracle's price, as is `oracle_price_offset`. Floats are taken
    as they print (0.29 is 0.29). `immediate_or_cancel` is legal only in a place-and-take.
    """

    market_type: Literal["perp", "spot"] = "perp"
    market_index: int
    direction: Literal["long", "short"]
    order_type: Literal["market", "limit", "trigger_market", "trigger_limit", "oracle"]
    base_amount: Amount
    price: Amount | None = None
    user_order_id: int = 0
    post_only: Literal["none", "must", "try", "slide"] = "none"
    immediate_or_cancel: bool = False
    reduce_only: bool = False
    trigger_price: Amount | None = None
    trigger_condition: Literal["above", "below"] | None = None
    oracle_price_offset: Amount | None = None
    max_ts: int | None = None
    auction_duration: int | None = None
    auction_start_price: Amount | None = None
    auction_end_price: Amount | None = None
    rounds: bool = False
    """Off-step sizes are rounded down and off-tick prices toward the passive side, as the program would."""


def params_of(order: NewOrder, steps: Steps, profile: Profile, now_ms: int, *, taking: bool = False) -> OrderParams:
    """The order in the program's terms. `taking`: for a place-and-take. Raises ValueError."""
    _refuse_nonsense(order, profile, now_ms, taking=taking)
    buys, kind = order.direction == "long", ORDER_TYPES[order.order_type]

    def price(told: Amount | None, what: str) -> int | None:
        return None if told is None else _price(told, what, steps, order, buys)

    base = _base(order, steps)
    start, end = price(order.auction_start_price, "auction_start_price"), price(order.auction_end_price, "auction_end")
    if start is not None and end is not None and (start > end if buys else start < end):
        raise ValueError(f"the auction of a {order.direction} order runs from {start} to {end}: the wrong way")
    limit, trigger = price(order.price, "price"), price(order.trigger_price, "trigger_price")
    if kind != ix.ORACLE and any(one is not None and one <= 0 for one in (limit, trigger, start, end)):
        raise ValueError("a price must be above zero")
    return OrderParams(
        order_type=kind,
        market_type=SPOT if order.market_type == "spot" else PERP,
        direction=LONG if buys else SHORT,
        user_order_id=order.user_order_id,
        base_asset_amount=base,
        price=limit or 0,
        market_index=order.market_index,
        reduce_only=order.reduce_only,
        post_only=POST_ONLY[order.post_only],
        bit_flags=ix.IMMEDIATE_OR_CANCEL if order.immediate_or_cancel else 0,
        max_ts=order.max_ts,
        trigger_price=trigger,
        trigger_condition=CONDITIONS[order.trigger_condition or "above"],
        oracle_price_offset=price(order.oracle_price_offset, "oracle_price_offset"),
        auction_duration=order.auction_duration,
        auction_start_price=start,
        auction_end_price=end,
    )


def of_intent(intent: Intent, market: Market, user_order_id: int, slot_ms: float | None, now_ms: int) -> OrderParams:
    """The machine's order. One that takes is a bounded auction: nothing fills at once here but a place-and-take.

    It starts at the decision's price and ends at the limit, which also is its price: never worse. Raises ValueError.
    """
    if (intent.venue, intent.market) != (facts.NAME, market.key) or market.venue != facts.NAME:
        raise ValueError(f"an order for {intent.market} at {intent.venue} with the facts of {market.key}")
    if intent.deadline_ms <= now_ms and intent.purpose is Purpose.ENTER:
        raise ValueError(f"{intent.client_id} was due {now_ms - intent.deadline_ms} ms ago")
    if intent.size_lots <= 0 or intent.limit_ticks <= 0:
        raise ValueError(f"{intent.client_id}: size and limit must be positive")
    if intent.size_lots < market.min_size_lots and not intent.reduce_only:
        raise ValueError(f"{intent.client_id} is below {market.key}'s least order of {market.min_size_lots} lots")
    steps, buys = Steps.of(market), intent.side is Side.BUY
    rests = intent.time_in_force is TimeInForce.POST_ONLY
    limit = intent.limit_ticks * steps.tick
    decided = max(1, intent.decision_price_ticks) * steps.tick
    start = min(decided, limit) if buys else max(decided, limit)
    return OrderParams(
        order_type=ix.LIMIT if rests else ix.MARKET,
        market_type=PERP,
        direction=LONG if buys else SHORT,
        user_order_id=user_order_id,
        base_asset_amount=intent.size_lots * steps.step,
        price=limit,
        market_index=int(market.native_id),
        reduce_only=intent.reduce_only,
        post_only=ix.POST_ONLY_MUST if rests else ix.POST_ONLY_NONE,
        max_ts=ceil(max(intent.deadline_ms, now_ms + facts.ORDER_LIFE_MS_MIN) / 1_000),
        auction_duration=None if rests else auction_slots(slot_ms),
        auction_start_price=None if rests else start,
        auction_end_price=None if rests else limit,
    )


def asked_for(client_id: str, params: OrderParams, market: Market, now_ms: int) -> OrderSeen:
    """An order before the chain has it."""
    steps = Steps.of(market)
    return OrderSeen(
        venue=facts.NAME,
        market=market.key,
        client_id=ours(client_id),
        venue_order_id="",
        side=Side.BUY if params.direction == LONG else Side.SELL,
        size_lots=params.base_asset_amount // steps.step,
        filled_lots=0,
        price_ticks=params.price // steps.tick or None,
        reduce_only=params.reduce_only,
        resting=True,
        reason="",
        at_ms=now_ms,
        name=client_id or None,
    )


def check_market(order: NewOrder, market: Market) -> None:
    """Raises ValueError unless the order is for that market, whose steps it gets. Spot markets are not listed."""
    if order.market_type != "perp" or str(order.market_index) != market.native_id:
        raise ValueError(f"an order for {order.market_type} market {order.market_index} with the facts of {market.key}")


def auction_slots(slot_ms: float | None) -> int:
    """AUCTION_MS in slots as they are measured; the program raises what it finds too short."""
    if slot_ms is None:
        return facts.AUCTION_SLOTS_MIN
    return max(facts.AUCTION_SLOTS_MIN, min(facts.AUCTION_SLOTS_MAX, ceil(facts.AUCTION_MS / slot_ms)))


def _refuse_nonsense(order: NewOrder, profile: Profile, now_ms: int, *, taking: bool) -> None:
    kind = ORDER_TYPES[order.order_type]
    triggered = kind in (ix.TRIGGER_MARKET, ix.TRIGGER_LIMIT)
    auction = (order.auction_duration, order.auction_start_price, order.auction_end_price)
    refusals = [
        (order.market_type == "spot" and not profile.spot_trading, f"{profile.name} has no spot orders"),
        (order.market_type == "spot" and taking, "place-and-take is for perps"),
        (not 0 <= order.market_index < 2**16, f"market index {order.market_index}"),
        (not 0 <= order.user_order_id <= 255, f"user_order_id {order.user_order_id} is not one byte"),
        (order.immediate_or_cancel and not taking, "immediate_or_cancel is legal only in a place-and-take"),
        (order.immediate_or_cancel and kind != ix.LIMIT, "immediate_or_cancel is for limit orders only"),
        (taking and order.post_only != "none", "an order cannot take and be post_only"),
        (order.post_only != "none" and kind not in (ix.LIMIT, ix.TRIGGER_LIMIT), "post_only is for limit orders only"),
        (kind == ix.LIMIT and (order.price is None) == (order.oracle_price_offset is None),
         "a limit order has a price or an oracle_price_offset"),
        (kind == ix.TRIGGER_LIMIT and order.price is None, "a trigger_limit order has a price"),
        (kind not in (ix.LIMIT, ix.ORACLE) and order.oracle_price_offset is not None,
         f"a {order.order_type} order has no oracle_price_offset"),
        (triggered != (order.trigger_price is not None), "trigger orders, and no others, have a trigger_price"),
        (triggered != (order.trigger_condition is not None), "trigger orders, and no others, have a trigger_condition"),
        (len({part is None for part in auction}) > 1, "an auction has a duration, a start and an end"),
        (kind == ix.ORACLE and order.auction_duration is None, "an oracle order has an auction"),
        (order.auction_duration is not None and kind not in WITH_AUCTION, f"no auction in a {order.order_type} order"),
        (order.auction_duration is not None and not 0 < order.auction_duration <= facts.AUCTION_SLOTS_MAX,
         f"an auction of {order.auction_duration} slots is not in 1..{facts.AUCTION_SLOTS_MAX}"),
        (order.max_ts is not None and order.max_ts * 1_000 <= now_ms,
         f"max_ts {order.max_ts} has passed: the program would skip the order and say nothing"),
    ]  # fmt: skip
    for wrong, why in refusals:
        if wrong:
            raise ValueError(why)


def _base(order: NewOrder, steps: Steps) -> int:
    """The size in the chain's units, a multiple of the step."""
    units = _units(order.base_amount, steps.base_decimals, "base_amount", rounds=order.rounds)
    on_step = units // steps.step * steps.step
    if units != on_step and not order.rounds:
        raise ValueError(f"base_amount {order.base_amount} is no multiple of the market's step")
    if on_step < (1 if order.reduce_only else max(1, steps.min_order)):
        raise ValueError(f"base_amount {order.base_amount} is below the market's least order")
    if on_step > ix.U64_MAX:
        raise ValueError(f"base_amount {order.base_amount} is more than the program has room for")
    return on_step


def _price(told: Amount, what: str, steps: Steps, order: NewOrder, buys: bool) -> int:
    units = _units(told, facts.PRICE_DECIMALS, what, rounds=order.rounds)
    on_tick = units // steps.tick * steps.tick
    if units == on_tick:
        return units
    if not order.rounds:
        raise ValueError(f"{what} {told} is no multiple of the market's tick")
    return on_tick if buys else on_tick + steps.tick


def _units(told: Amount, decimals: int, what: str, *, rounds: bool) -> int:
    """Exactly, floats as they print. Raises ValueError."""
    try:
        number = Decimal(repr(told)) if isinstance(told, float) else Decimal(told)
    except (InvalidOperation, TypeError, ValueError):
        raise ValueError(f"{what} is no number: {told!r:.60}") from None
    if isinstance(told, bool) or not number.is_finite() or abs(number) > 10**18:
        raise ValueError(f"{what} is no number: {told!r:.60}")
    units = number.scaleb(decimals)
    whole = int(units.to_integral_value("ROUND_FLOOR"))
    if units != whole and not rounds:
        raise ValueError(f"{what} {told} has more than {decimals} decimals")
    return whole


class _Failure(msgspec.Struct):
    err: msgspec.Raw = msgspec.Raw(b"null")


def outcome(signature: str, status: int | None, body: bytes) -> SendOutcome:
    """What an answer to sendTransaction means. Never raises.

    Accepted is: the node has it and passes it on. A node that simulates it first and finds a program error has not
    passed it on: that is a no. "Already processed" names these very bytes, so they are on the chain.
    """
    if status is None:
        return SendOutcome(SendVerdict.UNKNOWN, "no answer")
    if status == 429:
        return SendOutcome(SendVerdict.UNKNOWN, "429: too many requests", retry_after_s=facts.RETRY_AFTER_S)
    try:
        reply = wire.decode_reply(body)
    except wire.UNREADABLE:
        said = body[:REASON_CHARS_MAX].decode(errors="replace")
        return SendOutcome(SendVerdict.UNKNOWN, f"HTTP {status}: {said}"[:REASON_CHARS_MAX])
    if reply.error is None:
        told = None if isinstance(reply.result, msgspec.UnsetType) else bytes(reply.result)
        if status == 200 and told == msgspec.json.encode(signature):
            return SendOutcome(SendVerdict.ACCEPTED, "")
        return SendOutcome(SendVerdict.UNKNOWN, f"HTTP {status}, but for {told!r:.120}")
    failure, reason = _failed(reply.error), wire.refusal(reply)[:REASON_CHARS_MAX]
    if "AlreadyProcessed" in failure:
        return SendOutcome(SendVerdict.UNKNOWN, "already processed", exists=True)
    heard = status == 200 or (400 <= status < 500 and status != 408)
    custom = facts.CUSTOM_ERROR.search(failure)
    if custom is not None:
        named = facts.PROGRAM_ERRORS.get(int(custom[1]), "")
        reason = f"program error {custom[1]} {named}".strip()
    if not heard:
        return SendOutcome(SendVerdict.UNKNOWN, f"HTTP {status}, {reason}"[:REASON_CHARS_MAX])
    if reply.error.code in facts.RPC_REFUSALS and (reply.error.code != facts.PREFLIGHT_FAILED or failure):
        return SendOutcome(SendVerdict.REJECTED, reason)
    return SendOutcome(SendVerdict.UNKNOWN, reason)


def _failed(told: wire.RpcError) -> str:
    """Why a simulation failed, as the node writes it; empty where it does not say."""
    try:
        err = bytes(msgspec.json.decode(told.data, type=_Failure).err).decode(errors="replace")
    except wire.UNREADABLE:
        return ""
    return "" if err == "null" else err[:REASON_CHARS_MAX]


def self_test_outcome(body: bytes) -> str | None:
    """Why the program cannot be traded on, by the answer to a simulated cancel of no orders; None: it can.

    Raises WireError when the answer tells neither.
    """
    (only,) = wire.results(body, 1)
    try:
        told = msgspec.json.decode(only, type=_Simulated)
    except wire.UNREADABLE as error:
        raise WireError(f"no simulation: {error}") from error
    err = bytes(told.value.err).decode(errors="replace")
    if err == "null":
        return None
    found = facts.CUSTOM_ERROR.search(err)
    if found is not None and int(found[1]) == facts.INSTRUCTION_FALLBACK_NOT_FOUND:
        return "the program refuses all instructions: it is disabled"
    return f"the program does not take a cancel of no orders: {err[:REASON_CHARS_MAX]}"


class _Simulated(msgspec.Struct):
    value: _Failure

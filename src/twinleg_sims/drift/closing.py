"""Ending orders: cancels, expiry, and what keepers end for a fee."""

from __future__ import annotations

from collections.abc import Callable

from twinleg_sims.drift import errors, events, positions
from twinleg_sims.drift.call import Call, price_of
from twinleg_sims.drift.errors import ProgramError
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import OPEN_ORDER_QUOTE, Action, OrderParams, PostOnly, Status, Why


def cancel(call: Call, user_key: bytes, user: Record, order: Record, ending: Ending | None = None) -> None:
    """End an open order, with its event. Raises ProgramError when its market is not given."""
    ended = ending or Ending()
    market = call.record(call.profile.perp_market_key(order["market_index"]), call.profile.perp_market)
    side = events.Side.of(user_key, order)
    taker, maker = (None, side) if order["post_only"] else (side, None)
    paid = OPEN_ORDER_QUOTE if ended.by_keeper else 0
    happened = events.Happened(
        ended.action, ended.why, order["market_index"], taker, maker, filler=ended.filler, filler_reward=paid
    )
    events.action_record(call, happened, _oracle(call, market))
    position = positions.perp_position(user, order["market_index"])
    if position is not None:
        if paid:
            positions.charge(position, paid)
        positions.count_order(user, order, position, -1)
    close(call, order, Status.CANCELED)
    user["last_active_slot"] = call.clock.slot


class Ending:
    """Why and by whom an order is ended. A keeper is paid for it."""

    __slots__ = ("action", "by_keeper", "filler", "why")

    def __init__(
        self,
        why: Why = Why.NONE,
        action: Action = Action.CANCEL,
        filler: bytes | None = None,
        *,
        by_keeper: bool = False,
    ) -> None:
        self.why = why
        self.action = action
        self.filler = filler
        self.by_keeper = by_keeper


def close(call: Call, order: Record, status: Status) -> None:
    """Free the order's slot, as this program leaves it."""
    if call.profile.keeps_closed_orders:
        order["status"] = status
    else:
        positions.wipe(order)


def cancel_where(call: Call, user_key: bytes, user: Record, wanted: Callable[[Record], bool]) -> int:
    """Cancel every open order that is wanted; how many."""
    found = [order for order in positions.open_orders(user) if wanted(order)]
    for order in found:
        cancel(call, user_key, user, order)
    return len(found)


def cancel_by_id(call: Call, user_key: bytes, user: Record, order_id: int | None) -> None:
    """Cancel the order of an id, None: the one placed last. An unknown one is only logged."""
    wanted = user["next_order_id"] - 1 if order_id is None else order_id
    order = next((order for order in positions.open_orders(user) if order["order_id"] == wanted), None)
    if order is None:
        call.log(f"could not find order id {wanted}")
        return
    cancel(call, user_key, user, order)


def cancel_by_user_id(call: Call, user_key: bytes, user: Record, user_order_id: int) -> None:
    """Raises ProgramError for an unknown one, where this program does."""
    order = next((order for order in positions.open_orders(user) if order["user_order_id"] == user_order_id), None)
    if order is not None:
        cancel(call, user_key, user, order)
    elif call.profile.cancel_unknown_user_id_fails:
        raise ProgramError(errors.ORDER_NOT_OPEN)
    else:
        call.log(f"could not find user order id {user_order_id}")


def expire_own(call: Call, user_key: bytes, user: Record) -> None:
    """The user's next order clears away those that are over, for nothing."""
    for order in list(positions.open_orders(user)):
        if over(order, call.clock.ts):
            cancel(call, user_key, user, order, Ending(Why.EXPIRED, Action.EXPIRE, user_key))


def params_of(order: Record) -> OrderParams:
    """The words that would place what is left of an order again; its flags are not kept."""
    auctioned = order["auction_duration"] > 0
    return OrderParams(
        order_type=order["order_type"],
        market_type=order["market_type"],
        direction=order["direction"],
        user_order_id=order["user_order_id"],
        base=positions.unfilled(order),
        price=order["price"],
        market_index=order["market_index"],
        reduce_only=order["reduce_only"],
        post_only=PostOnly.MUST if order["post_only"] else PostOnly.NONE,
        bit_flags=0,
        max_ts=order["max_ts"] or None,
        trigger_price=order["trigger_price"] or None,
        trigger_condition=order["trigger_condition"],
        oracle_offset=order["oracle_price_offset"] or None,
        auction_duration=order["auction_duration"] if auctioned else None,
        auction_start=order["auction_start_price"] if auctioned else None,
        auction_end=order["auction_end_price"] if auctioned else None,
    )


def over(order: Record, ts: int) -> bool:
    return 0 < order["max_ts"] < ts


def _oracle(call: Call, market: Record) -> int:
    """For the event only; it is not among the accounts of every cancel."""
    data = call.accounts.data(market.raw("oracle"))
    return market["last_oracle_price"] if data is None else price_of(call.profile, data, call.clock.slot).price

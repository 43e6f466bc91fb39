"""The program: instructions by their discriminators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twinleg_sims.drift import closing, errors, fills, funding, money, placing, positions, triggers
from twinleg_sims.drift.borsh import EndError
from twinleg_sims.drift.call import Call
from twinleg_sims.drift.errors import ProgramError
from twinleg_sims.drift.keys import discriminator, to_base58
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import IOC_FLAG, ModifyParams, OrderParams, PostOnly, Status, modify_params, order_params

_ORDERS_PER_CALL_MAX = 32


def process(call: Call, disc: bytes) -> None:
    """Run one instruction; its words follow the discriminator. Raises ProgramError."""
    name, handler = _HANDLERS.get(disc, ("", None))
    if handler is None or (name == "PlaceSpotOrder" and not call.profile.spot_orders):
        raise ProgramError(errors.FALLBACK)
    call.log(f"Instruction: {name}")
    try:
        handler(call)
    except EndError as error:
        raise ProgramError(errors.NOT_DESERIALIZED) from error
    except (IndexError, OverflowError) as error:
        raise ProgramError(errors.NOT_INITIALIZED) from error


def run(call: Call, disc: bytes, depth: int = 1) -> int | None:
    """Run an instruction with the runtime's own log lines around it; the code it failed with, None when it did not."""
    program = to_base58(call.profile.program)
    call.logs.append(f"Program {program} invoke [{depth}]")
    try:
        process(call, disc)
    except ProgramError as error:
        call.log(error.log)
        call.logs.append(f"Program {program} failed: custom program error: {error.code:#x}")
        return error.code
    call.logs.append(f"Program {program} success")
    return None


def _params(call: Call) -> OrderParams:
    return order_params(call.read, builder_fields=call.profile.builder_fields)


def _place_perp_order(call: Call) -> None:
    params = _params(call)
    if params.immediate_or_cancel:
        call.log("immediate_or_cancel order must be in place_and_make or place_and_take")
        raise ProgramError(errors.INVALID_IOC)
    user = call.owned_user(1, 2)
    placing.place(call, call.metas[1].address, user, params)


def _place_orders(call: Call) -> None:
    many = call.read.many(lambda: _params(call))
    if len(many) > _ORDERS_PER_CALL_MAX:
        raise ProgramError(errors.INVALID_ORDER)
    for params in many:
        if params.immediate_or_cancel:
            raise ProgramError(errors.INVALID_IOC)
        placing.place(call, call.metas[1].address, call.owned_user(1, 2), params)


def _place_and_take(call: Call) -> None:
    params = _params(call)
    optional = call.read.option(lambda: call.read.u(32))
    condition, percent = (0, 100) if optional is None else (optional & 255, optional >> 8 & 255)
    if params.post_only != PostOnly.NONE:
        raise ProgramError(errors.INVALID_ORDER)
    user_key, user = call.metas[1].address, call.owned_user(1, 3)
    market = call.perp_market(params.market_index)
    order = placing.place(call, user_key, user, params)
    if order is None:
        return
    order_id, wanted = order["order_id"], order["base_asset_amount"]
    if call.profile.impossible_fill and _impossible(call, user_key, order, market):
        call.log("invalid fill. order is limit order, amm is not available and no makers present")
        raise ProgramError(errors.IMPOSSIBLE_FILL)
    traded = fills.fill(call, user_key, user, order_id, auction_percent=percent)
    if order["order_id"] == order_id and order["status"] == Status.OPEN and params.immediate_or_cancel:
        closing.cancel(call, user_key, user, order)
    if (condition == 1 and not traded) or (condition == 2 and traded < wanted):
        raise ProgramError(errors.TAKE_CONDITION)


def _impossible(call: Call, user_key: bytes, order: Record, market: Record) -> bool:
    if fills.amm_available(call, order, market, call.price(market)):
        return False
    return not fills.has_makers(call, user_key, order, 4)


def _cancel_order(call: Call) -> None:
    order_id = call.read.option(lambda: call.read.u(32))
    closing.cancel_by_id(call, call.metas[1].address, call.owned_user(1, 2), order_id)


def _cancel_by_user_id(call: Call) -> None:
    user_order_id = call.read.u(8)
    closing.cancel_by_user_id(call, call.metas[1].address, call.owned_user(1, 2), user_order_id)


def _cancel_orders(call: Call) -> None:
    kind = call.read.option(lambda: call.read.word(2))
    index = call.read.option(lambda: call.read.u(16))
    direction = call.read.option(lambda: call.read.word(2))
    asked = {"market_type": kind, "market_index": index, "direction": direction}
    user = call.owned_user(1, 2)

    def wanted(order: Record) -> bool:
        return all(value is None or order[name] == value for name, value in asked.items())

    closing.cancel_where(call, call.metas[1].address, user, wanted)
    user["last_active_slot"] = call.clock.slot


def _cancel_by_ids(call: Call) -> None:
    ids = call.read.many(lambda: call.read.u(32))
    for order_id in ids:
        closing.cancel_by_id(call, call.metas[1].address, call.owned_user(1, 2), order_id)


def _modify_order(call: Call) -> None:
    order_id = call.read.option(lambda: call.read.u(32))
    changes = modify_params(call.read, builder_fields=call.profile.builder_fields)
    user = call.owned_user(1, 2)
    wanted = user["next_order_id"] - 1 if order_id is None else order_id
    _modify(call, user, next((o for o in positions.open_orders(user) if o["order_id"] == wanted), None), changes)


def _modify_by_user_id(call: Call) -> None:
    user_order_id = call.read.u(8)
    changes = modify_params(call.read, builder_fields=call.profile.builder_fields)
    user = call.owned_user(1, 2)
    found = next((o for o in positions.open_orders(user) if o["user_order_id"] == user_order_id), None)
    _modify(call, user, found, changes)


def _modify(call: Call, user: Record, order: Record | None, changes: ModifyParams) -> None:
    """A cancel and a new order; what is not changed stays, its flags do not."""
    if order is None:
        if changes.policy:
            raise ProgramError(errors.NO_SUCH_ORDER)
        call.log("could not find order to modify")
        return
    params = _merged(order, changes)
    user_key = call.metas[1].address
    closing.cancel(call, user_key, user, order)
    placing.place(call, user_key, user, params)


def _merged(order: Record, changes: ModifyParams) -> OrderParams:
    names = set(ModifyParams.__slots__) - {"policy"}
    given = {name: getattr(changes, name) for name in names if getattr(changes, name) is not None}
    merged = replace(closing.params_of(order), **given)
    merged.bit_flags &= ~IOC_FLAG
    return merged


def _fill_perp_order(call: Call) -> None:
    order_id = call.read.option(lambda: call.read.u(32))
    call.read.option(lambda: call.read.u(32))
    user = call.account(4, call.profile.user)
    wanted = user["next_order_id"] - 1 if order_id is None else order_id
    fills.fill(call, call.metas[4].address, user, wanted, call.metas[2].address)


def _trigger_order(call: Call) -> None:
    order_id = call.read.u(32)
    user = call.account(3, call.profile.user)
    triggers.trigger(call, call.metas[3].address, user, order_id, call.metas[2].address)


def _settle_pnl(call: Call) -> None:
    money.settle_profit(call, [call.read.u(16)])


def _settle_pnls(call: Call) -> None:
    money.settle_profit(call, call.read.many(lambda: call.read.u(16)))


def _update_funding(call: Call) -> None:
    funding.update(call, call.perp_market(call.read.u(16)))


def _spot_order(call: Call) -> None:
    _params(call)
    raise ProgramError(errors.SPOT_ORDERS_DISABLED)


_BY_NAME: dict[str, Callable[[Call], None]] = {
    "place_perp_order": _place_perp_order,
    "place_orders": _place_orders,
    "place_and_take_perp_order": _place_and_take,
    "place_spot_order": _spot_order,
    "cancel_order": _cancel_order,
    "cancel_order_by_user_id": _cancel_by_user_id,
    "cancel_orders": _cancel_orders,
    "cancel_orders_by_ids": _cancel_by_ids,
    "modify_order": _modify_order,
    "modify_order_by_user_id": _modify_by_user_id,
    "fill_perp_order": _fill_perp_order,
    "trigger_order": _trigger_order,
    "settle_pnl": _settle_pnl,
    "settle_multiple_pnls": _settle_pnls,
    "settle_funding_payment": money.settle_funding,
    "update_funding_rate": _update_funding,
    "initialize_user_stats": money.open_stats,
    "initialize_user": money.open_user,
    "deposit": money.deposit,
    "withdraw": money.withdraw,
}
_HANDLERS: dict[bytes, tuple[str, Callable[[Call], None] | None]] = {
    discriminator("global", name): ("".join(word.capitalize() for word in name.split("_")), handler)
    for name, handler in _BY_NAME.items()
}

"""Accounts and money of users: opening, deposits and withdrawals, settled profits."""

from __future__ import annotations

from twinleg_sims.drift import errors, funding, margin, positions
from twinleg_sims.drift.call import Call
from twinleg_sims.drift.errors import ProgramError
from twinleg_sims.drift.keys import key
from twinleg_sims.drift.layout import Record, layout
from twinleg_sims.drift.words import BASE

TOKEN_PROGRAM = key("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_ACCOUNT = layout("TokenAccount", "mint:b32 owner:b32 amount:u64 _delegate:b36 state:u8 _rest:b56")
"""An SPL token account. `state` is 1 when it is in use."""


def open_stats(call: Call) -> None:
    """initialize_user_stats. Raises ProgramError."""
    address, authority = call.metas[0].address, call.metas[2]
    if address != call.profile.stats_key(authority.address):
        raise ProgramError(errors.SEEDS)
    if call.accounts.data(address) is not None:
        raise ProgramError(errors.INVALID_ORDER)
    data = call.profile.blank(call.profile.user_stats)
    Record(call.profile.user_stats, data).put("authority", authority.address)
    call.accounts.create(address, data, call.profile.program)


def open_user(call: Call) -> None:
    """initialize_user. Raises ProgramError."""
    sub_account, name = call.read.u(16), call.read.take(32)
    address, authority = call.metas[0].address, call.metas[3]
    if not authority.signer:
        raise ProgramError(errors.NOT_SIGNER)
    if address != call.profile.user_key(authority.address, sub_account):
        raise ProgramError(errors.SEEDS)
    stats = call.account(1, call.profile.user_stats)
    if call.accounts.data(address) is not None:
        raise ProgramError(errors.INVALID_ORDER)
    data = call.profile.blank(call.profile.user)
    user = Record(call.profile.user, data)
    blank_user(user, authority.address, sub_account, name)
    stats["number_of_sub_accounts"] += 1
    stats["number_of_sub_accounts_created"] += 1
    call.accounts.create(address, data, call.profile.program)


def blank_user(user: Record, authority: bytes, sub_account: int, name: bytes) -> None:
    """A user without money, as the program opens it."""
    user.put("authority", authority)
    user.put("name", name)
    user["sub_account_id"] = sub_account
    user["next_order_id"] = user["next_liquidation_id"] = 1
    for order in user.all("orders"):
        positions.wipe(order)


def deposit(call: Call) -> None:
    """Raises ProgramError."""
    index, amount = call.read.u(16), call.read.u(64)
    call.read.word(2)
    user = call.owned_user(1, 3)
    _move_tokens(call, 5, 4, amount)
    credit(user, call.spot_market(index), amount)
    user["last_active_slot"] = call.clock.slot


def withdraw(call: Call) -> None:
    """Raises ProgramError."""
    index, amount = call.read.u(16), call.read.u(64)
    call.read.word(2)
    user = call.owned_user(1, 3)
    market = call.spot_market(index)
    if amount > positions.balance(user, market):
        raise ProgramError(errors.INSUFFICIENT_DEPOSIT)
    credit(user, market, -amount)
    if not margin.of(call, user).enough:
        raise ProgramError(errors.INSUFFICIENT_COLLATERAL)
    _move_tokens(call, 4, 6, amount)
    user["last_active_slot"] = call.clock.slot


def settle_profit(call: Call, indexes: list[int]) -> None:
    """settle_pnl: what positions made or lost becomes part of the quote balance. Raises ProgramError."""
    user_key, user = call.metas[1].address, call.account(1, call.profile.user)
    quote = call.spot_market(0)
    for index in indexes:
        market = call.perp_market(index)
        position = positions.perp_position(user, index)
        if position is None:
            raise ProgramError(errors.NO_POSITION)
        funding.settle(call, user_key, user, market)
        price = call.price(market).price
        profit = position["base_asset_amount"] * price // BASE + position["quote_asset_amount"]
        position["quote_asset_amount"] -= profit
        position["settled_pnl"] += profit
        credit(user, quote, profit)


def settle_funding(call: Call) -> None:
    """settle_funding_payment: anybody may. Raises ProgramError."""
    user_key, user = call.metas[1].address, call.account(1, call.profile.user)
    for position in positions.used_positions(user):
        market = call.record(call.profile.perp_market_key(position["market_index"]), call.profile.perp_market)
        funding.settle(call, user_key, user, market)


def credit(user: Record, market: Record, amount: int) -> None:
    """Add tokens to a user's balance (below zero: take), borrowing where it does not reach. Raises ProgramError."""
    tokens = positions.balance(user, market) + amount
    position = positions.spot_position(user, market["market_index"])
    if position is None:
        position = next((each for each in user.all("spot_positions")[1:] if not each["scaled_balance"]), None)
        if position is None:
            raise ProgramError(errors.INSUFFICIENT_DEPOSIT)
        position["market_index"] = market["market_index"]
    kind = "deposit" if tokens >= 0 else "borrow"
    interest = market[f"cumulative_{kind}_interest"]
    scaled = abs(tokens) * 10 ** (19 - market["decimals"]) // interest
    market[f"{kind}_balance"] = max(0, market[f"{kind}_balance"] + scaled - position["scaled_balance"])
    position["scaled_balance"] = scaled
    position["balance_type"] = int(tokens < 0)
    position["cumulative_deposits"] += amount


def _move_tokens(call: Call, source: int, target: int, amount: int) -> None:
    """Raises ProgramError."""
    gives, takes = (call.accounts.data(call.metas[position].address) for position in (source, target))
    if gives is None or takes is None:
        raise ProgramError(errors.NOT_INITIALIZED)
    giver, taker = Record(TOKEN_ACCOUNT, gives), Record(TOKEN_ACCOUNT, takes)
    if giver.raw("mint") != taker.raw("mint") or giver["amount"] < amount:
        raise ProgramError(errors.INSUFFICIENT_DEPOSIT)
    giver["amount"] -= amount
    taker["amount"] += amount

"""Orders' signatures, judged from the request alone: the signed amounts are computed again, then verified.

SNIP-12 revision 1 over Poseidon (the Starknet perpetuals contract's Order), rounding as the venue's SDK 2.6.0: amounts
of a buy up, of a sell down, fees always up; the expiry with 14 days on top, in whole seconds, rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import fast_stark_crypto

from twinleg_sims.extended import facts, wire
from twinleg_sims.extended.facts import ErrorCode
from twinleg_sims.extended.keys import Member
from twinleg_sims.extended.replies import RefusedError
from twinleg_sims.extended.requests import OrderBody, Settlement
from twinleg_sims.market import SimMarket

EXPIRY_BUFFER_S = 14 * 86_400
FIELD_PRIME = 2**251 + 17 * 2**192 + 1


@dataclass(frozen=True, slots=True)
class Signed:
    """What one signature is over, in a market's own units. `fee` is the rate, a builder's included."""

    is_buy: bool
    qty: Decimal
    price: Decimal
    fee: Decimal
    nonce: int
    expiry_ms: int


def order_hash(member: Member, market: SimMarket, signed: Signed) -> int:
    """The message hash a client must have signed."""
    rounded = ceil if signed.is_buy else floor
    qty, value = Fraction(signed.qty), Fraction(signed.qty) * Fraction(signed.price)
    base = rounded(qty * facts.RESOLUTION)
    quote = rounded(value * facts.RESOLUTION)
    sign = 1 if signed.is_buy else -1
    domain = facts.STARKNET_DOMAIN
    collateral = int(facts.COLLATERAL_ID, 16)
    return int(
        fast_stark_crypto.get_order_msg_hash(
            position_id=member.vault,
            base_asset_id=int(facts.synthetic_id(wire.base_name(market), facts.SYNTHETIC_PRECISION), 16),
            base_amount=sign * base,
            quote_asset_id=collateral,
            quote_amount=-sign * quote,
            fee_asset_id=collateral,
            fee_amount=ceil(value * Fraction(signed.fee) * facts.RESOLUTION),
            expiration=-(-signed.expiry_ms // 1_000) + EXPIRY_BUFFER_S,
            salt=signed.nonce,
            user_public_key=int(member.public_key, 16),
            domain_name=domain["name"],
            domain_version=domain["version"],
            domain_chain_id=domain["chainId"],
            domain_revision=domain["revision"],
        )
    )


def check(member: Member, market: SimMarket, settlement: Settlement, signed: Signed) -> int:
    """The order's hash, once its key, vault and signature are the account's. Raises RefusedError 1100, 1101, 1102."""
    key = _number(settlement.stark_key, ErrorCode.INVALID_STARK_KEY)
    if key != int(member.public_key, 16):
        raise RefusedError(400, ErrorCode.INVALID_STARK_KEY, "Invalid StarkEx public key")
    if settlement.collateral_position != member.vault:
        raise RefusedError(400, ErrorCode.INVALID_VAULT, "Invalid StarkEx vault")
    r, s = (_number(text, ErrorCode.INVALID_SIGNATURE) for text in (settlement.signature.r, settlement.signature.s))
    if not member.verifies:
        return r
    try:
        digest = order_hash(member, market, signed)
        genuine = fast_stark_crypto.verify(key, digest, r, s)
    except (ValueError, OverflowError) as error:
        raise RefusedError(400, ErrorCode.INVALID_SIGNATURE, f"Invalid StarkEx signature: {error}") from error
    if not genuine:
        raise RefusedError(400, ErrorCode.INVALID_SIGNATURE, "Invalid StarkEx signature")
    return digest


def terms(body: OrderBody, *, is_buy: bool, qty: Decimal, price: Decimal) -> Signed:
    """What one part of an order body was signed as: the order itself, or one of its legs."""
    fee = body.fee + (body.builder_fee or Decimal(0))
    return Signed(is_buy, qty, price, fee, int(body.nonce), body.expiry_epoch_millis)


def _number(text: str, code: ErrorCode) -> int:
    try:
        number = int(text, 16)
    except ValueError as error:
        raise RefusedError(400, code, f"not a hexadecimal number: {text[:80]!r}") from error
    if not 0 < number < FIELD_PRIME:
        raise RefusedError(400, code, "not a field element")
    return number

"""Extended's keys and signatures: the hash of an order (SNIP-12 over Poseidon) and its Stark signature.

Only `fast_stark_crypto`, the official SDK's signer, is used of that SDK: importing it takes 1 ms where the SDK's order
object takes 390 ms and pydantic, and gains nothing (0.3 ms an order either way, nine tenths of it hash and signature).
What is sent stays equal to what the SDK's `create_order_object` would send (tests/venues/extended).
The Rust code releases the GIL, so a signature on another thread does not stop this one.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import NoReturn

import fast_stark_crypto
import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Side
from twinleg.core.venue import Credential

CURVE_ORDER = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
"""Of the Stark curve: private keys lie in 1..CURVE_ORDER-1 (StarkWare's curve parameters)."""
VAULT_MAX = 2**32 - 1
AMOUNT_MAX = 2**63 - 1
"""Amounts are i64 and vaults u32 on chain."""
SETTLEMENT_BUFFER_S = 14 * 86_400
"""A signature outlives its order by 14 days, so that the venue can still settle a fill (SDK 2.6.0)."""


class Domain(msgspec.Struct, frozen=True):
    """The SNIP-12 domain: a signature for one network is none for another (SDK 2.6.0, config)."""

    chain_id: str
    name: str = "Perpetuals"
    version: str = "v0"
    revision: str = "1"


MAINNET = Domain("SN_MAIN")
TESTNET = Domain("SN_SEPOLIA")


class Assets(msgspec.Struct, frozen=True):
    """What a signature says instead of names and units. Resolution = how many parts make one of the asset."""

    collateral_id: int
    collateral_resolution: int
    synthetic_id: int
    synthetic_resolution: int


class Amounts(msgspec.Struct, frozen=True):
    """What is signed: the most that a fill may take and the least that it must give, in the assets' parts.

    `synthetic` and `collateral` have opposite signs; the one that comes in is positive.
    """

    synthetic: int
    collateral: int
    fee: int


class Keys:
    """One account's keys, checked. Neither repr nor errors show more than the vault and the public key."""

    __slots__ = ("_api_key", "_private_key", "public_key", "vault")

    def __init__(self, *, vault: int, private_key: str, api_key: str, public_key: str | None = None) -> None:
        """Hex with or without 0x. Raises ValueError saying which of them is wrong and what it should be."""
        if not 0 < vault <= VAULT_MAX:
            raise ValueError(f"Extended's vault is a number in 1..{VAULT_MAX}, not {vault}")
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("Extended's API key must be printable text without spaces")
        self.vault = vault
        self._api_key = Credential(api_key)
        self._private_key = _hex(private_key, "private")
        if not 0 < self._private_key < CURVE_ORDER:
            raise ValueError("Extended's private key is no Stark key: it lies outside the curve's order")
        self.public_key = fast_stark_crypto.get_public_key(self._private_key)
        if public_key is not None and _hex(public_key, "public") != self.public_key:
            raise ValueError(
                f"Extended's public key {public_key} is not the private key's, which is {self.public_key:#x}: "
                "are both from the same API management page entry?"
            )

    @property
    def api_key(self) -> Credential:
        """The value of the X-Api-Key header."""
        return self._api_key

    def masked(self, said: bytes) -> bytes:
        """What the venue said, without the API key: answers are quoted in reasons and errors."""
        return said.replace(self._api_key.encode(), b"***")

    def sign(self, message_hash: int) -> tuple[int, int]:
        """(r, s), the same on every call. Raises ValueError for a hash above 2**251, which Poseidon never gave yet."""
        r, s = fast_stark_crypto.sign(self._private_key, message_hash)
        return r, s

    def __repr__(self) -> str:
        return f"Keys(vault={self.vault}, public_key={self.public_key:#x})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("keys are not pickled")


@lru_cache(maxsize=4096)
def assets_of(settlement: str) -> Assets:
    """Market.settlement, read. Raises ValueError when the venue did not say what an order there is signed over."""
    try:
        collateral_id, collateral_resolution, synthetic_id, synthetic_resolution = settlement.split(":")
        assets = Assets(
            int(collateral_id, 16), int(collateral_resolution), int(synthetic_id, 16), int(synthetic_resolution)
        )
    except ValueError as error:
        raise ValueError(f"no asset ids to sign over: {settlement!r:.100}") from error
    if min(msgspec.structs.astuple(assets)) <= 0:
        raise ValueError(f"asset ids and resolutions must be positive: {settlement!r:.100}")
    return assets


def amounts_of(market: Market, side: Side, size_lots: int, price_ticks: int, fee: Fraction) -> Amounts:
    """What an order signs away, exactly as the SDK rounds it: a buy up, a sell down, the fee always up.

    `fee` is the ceiling as a fraction of the notional. Raises ValueError beyond what the chain can count.
    """
    assets = assets_of(market.settlement)
    size = size_lots * market.size_grid.unit
    notional = size * price_ticks * market.price_grid.unit
    buys = side is Side.BUY
    synthetic = _whole(size * assets.synthetic_resolution, up=buys)
    collateral = _whole(notional * assets.collateral_resolution, up=buys)
    fee_parts = _whole(fee * notional * assets.collateral_resolution, up=True)
    if max(synthetic, collateral, fee_parts) > AMOUNT_MAX:
        raise ValueError(f"{size_lots} lots at {price_ticks} ticks in {market.key} are more than the chain can count")
    return Amounts(synthetic * side.sign, collateral * -side.sign, fee_parts)


def order_hash(market: Market, amounts: Amounts, keys: Keys, domain: Domain, salt: int, expiry_ms: int) -> int:
    """The SNIP-12 hash of an order as SDK 2.6.0 makes it: expiry in seconds, rounded up, + 14 days."""
    assets = assets_of(market.settlement)
    return fast_stark_crypto.get_order_msg_hash(
        position_id=keys.vault,
        base_asset_id=assets.synthetic_id,
        base_amount=amounts.synthetic,
        quote_asset_id=assets.collateral_id,
        quote_amount=amounts.collateral,
        fee_amount=amounts.fee,
        fee_asset_id=assets.collateral_id,
        expiration=-(-expiry_ms // 1_000) + SETTLEMENT_BUFFER_S,
        salt=salt,
        user_public_key=keys.public_key,
        domain_name=domain.name,
        domain_version=domain.version,
        domain_chain_id=domain.chain_id,
        domain_revision=domain.revision,
    )


def _whole(value: Fraction, *, up: bool) -> int:
    return -(-value.numerator // value.denominator) if up else value.numerator // value.denominator


def _hex(text: str, which: str) -> int:
    digits = text.strip().lower().removeprefix("0x")
    if not digits or not digits.isascii() or not digits.isalnum():
        raise ValueError(f"Extended's {which} key is not hex")
    try:
        return int(digits, 16)
    except ValueError:
        raise ValueError(f"Extended's {which} key is not hex") from None  # the cause would show it

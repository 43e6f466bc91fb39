"""Drift's keys, and transactions signed with them: the one place that a signature is made.

Signed by chain.ed25519, since the product does not install solders (the official SDK's base; driftpy's own pins forbid
it besides). To sign with solders instead, give `Wallet` its Keypair: `sign(bytes) -> 64 bytes` is all that is asked.

A private key is a Solana keypair: base58 text or a JSON list of its 64 bytes, seed and public key.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import msgspec

from twinleg.core.trading import OUR_IDS_FROM, client_id_of, number_of
from twinleg.venues.drift.chain import ed25519
from twinleg.venues.drift.chain.ed25519 import Key
from twinleg.venues.drift.chain.instructions import Instruction
from twinleg.venues.drift.chain.keys import base58, owned_address, unbase58
from twinleg.venues.drift.chain.message import LookupTable, budget_in, compiled, compute_budget, transaction
from twinleg.venues.drift.facts import Profile

KEYPAIR_BYTES = 64
NUMBER_BASE, NUMBER_HIGH_MAX = 1 << 16, 1 << 14


class Recent(msgspec.Struct, frozen=True):
    """A recent blockhash, the slot it was told at, and when (wall ms): transactions live for so long after it."""

    blockhash: bytes
    slot: int
    told_ms: int


class Budget(msgspec.Struct, frozen=True):
    """What a transaction may compute, and what it pays for each unit on top of the flat fee."""

    units: int
    micro_lamports_per_unit: int


def budget_for(client_id: str, units: int, micro_lamports_per_unit: int) -> Budget:
    """A budget that carries the order's number in its low figures, so that the chain remembers whose order it was.

    The account's own label of an order is one byte. The number's 30 bits make up to 65,535 units and 16,384 millionths
    of a lamport a unit more: at most 0.000005 SOL. Names that have no number get the plain budget.
    """
    try:
        number = 1 + number_of(client_id) - OUR_IDS_FROM
    except ValueError:
        return Budget(units, micro_lamports_per_unit)
    high, low = divmod(number, NUMBER_BASE)
    return Budget(units + low, micro_lamports_per_unit + high)


def name_in(wire: bytes, signer: bytes, budgets: Sequence[Budget]) -> str | None:
    """The client id of the order that a transaction of `signer` was for, None where it tells none."""
    told = budget_in(wire)
    if told is None or told[0] != signer:
        return None
    for plain in budgets:
        low, high = told[1] - plain.units, told[2] - plain.micro_lamports_per_unit
        if 0 <= low < NUMBER_BASE and 0 <= high <= NUMBER_HIGH_MAX and (low or high):
            return client_id_of(OUR_IDS_FROM + high * NUMBER_BASE + low - 1)
    return None


class SignedTransaction(msgspec.Struct, frozen=True):
    """`wire` is base64, `signature` its base58 name at every RPC node."""

    wire: str
    signature: str


class Wallet:
    """One sub-account of one key. `authority` (an address) is whose account it is; None: the key's own.

    Raises ValueError, which shows nothing of the key.
    """

    def __init__(
        self, private_key: str, profile: Profile, sub_account: int = 0, authority: bytes | None = None
    ) -> None:
        if not 0 <= sub_account < 2**16:
            raise ValueError(f"sub-accounts go from 0 to 65535: {sub_account}")
        self._key = Key(_seed(private_key))
        self.signer = self._key.public
        self.authority = authority or self.signer
        owner, program = self.authority, profile.program_id
        self.user = owned_address(program, b"user", owner, sub_account.to_bytes(2, "little"))
        self.user_stats = owned_address(program, b"user_stats", owner)

    def __repr__(self) -> str:
        return f"Wallet({base58(self.signer)}, user {base58(self.user)})"

    @staticmethod
    def load() -> None:
        """What signing needs, made ahead."""
        ed25519.load()

    def transaction(
        self, instructions: Sequence[Instruction], budget: Budget, recent: Recent, tables: Sequence[LookupTable]
    ) -> SignedTransaction:
        """Signed, paid by the key. Raises ValueError when it does not fit. The same content has the same signature."""
        every = [*compute_budget(budget.units, budget.micro_lamports_per_unit), *instructions]
        message = compiled(self.signer, every, recent.blockhash, tables)
        signature = self._key.sign(message)
        return SignedTransaction(base64.b64encode(transaction(signature, message)).decode(), base58(signature))


def _seed(text: str) -> bytes:
    """The seed of a keypair, checked against its public half. Raises ValueError."""
    text = text.strip()
    try:
        keypair = bytes(msgspec.json.decode(text, type=list[int])) if text.startswith("[") else unbase58(text)
    except (msgspec.MsgspecError, ValueError):
        raise ValueError("a Drift key is base58 text, or a JSON list of 64 bytes") from None
    if len(keypair) != KEYPAIR_BYTES:
        raise ValueError(f"a Drift key has {KEYPAIR_BYTES} bytes, seed and public key, not {len(keypair)}")
    if Key(keypair[:32]).public != keypair[32:]:
        raise ValueError("a Drift key whose two halves do not belong together")
    return keypair[:32]

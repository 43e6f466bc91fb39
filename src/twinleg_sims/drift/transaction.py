"""Solana transactions: their bytes, their keys, their signatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twinleg_sims.drift import ed25519
from twinleg_sims.drift.borsh import EndError, Reader
from twinleg_sims.drift.call import Meta
from twinleg_sims.drift.keys import KEY_BYTES, SIGNATURE_BYTES

BYTES_MAX = 1232
_VERSIONED = 0x80
_TABLE_HEADER_BYTES = 56


class BadTransactionError(ValueError):
    """Bytes that are no transaction, or one that no node would take; the words say which."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a program is asked: positions of accounts among the transaction's keys."""

    program: int
    accounts: tuple[int, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Lookup:
    """Keys taken from a lookup table."""

    table: bytes
    writable: tuple[int, ...]
    readonly: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction. `version` None is the legacy format."""

    signatures: tuple[bytes, ...]
    version: int | None
    signers: int
    readonly_signed: int
    readonly_unsigned: int
    keys: tuple[bytes, ...]
    blockhash: bytes
    instructions: tuple[Instruction, ...]
    lookups: tuple[Lookup, ...]
    message: bytes

    def verified(self) -> bool:
        """Whether every signer signed these very words."""
        return len(self.signatures) == self.signers and all(
            ed25519.verifies(signer, self.message, signature)
            for signature, signer in zip(self.signatures, self.keys, strict=False)
        )

    def metas(self, table: Callable[[bytes], bytes | None]) -> list[Meta]:
        """Every key with its rights: the transaction's own, then from tables, writable before readonly.

        `table` gives a lookup table's account. Raises BadTransactionError for an unknown one or a wrong position.
        """
        own = len(self.keys)
        found = [
            Meta(
                address,
                at < self.signers,
                at < self.signers - self.readonly_signed or self.signers <= at < own - self.readonly_unsigned,
            )
            for at, address in enumerate(self.keys)
        ]
        for writable in (True, False):
            for lookup in self.lookups:
                held = table(lookup.table)
                if held is None:
                    raise BadTransactionError("AddressLookupTableNotFound")
                for index in lookup.writable if writable else lookup.readonly:
                    start = _TABLE_HEADER_BYTES + KEY_BYTES * index
                    if start + KEY_BYTES > len(held):
                        raise BadTransactionError("InvalidAddressLookupTableIndex")
                    found.append(Meta(bytes(held[start : start + KEY_BYTES]), signer=False, writable=writable))
        return found


def decode(raw: bytes) -> Transaction:
    """Raises BadTransactionError."""
    if len(raw) > BYTES_MAX:
        raise BadTransactionError(f"transaction too large: {len(raw)} bytes (max: {BYTES_MAX})")
    read = Reader(raw)
    try:
        signatures = tuple(read.take(SIGNATURE_BYTES) for _ in range(_short(read)))
        message = raw[1 + len(signatures) * SIGNATURE_BYTES :] if len(signatures) < _VERSIONED else b""
        return _message(Reader(message), message, signatures)
    except EndError as error:
        raise BadTransactionError("failed to deserialize transaction") from error


def encoded(sent: Transaction) -> bytes:
    """The bytes of a transaction."""
    return _length(len(sent.signatures)) + b"".join(sent.signatures) + sent.message


def compiled(metas: list[Meta], program: bytes, data: bytes, blockhash: bytes, signature: bytes) -> bytes:
    """A legacy transaction of one instruction, with a signature that is only there."""
    rights: dict[bytes, tuple[bool, bool]] = {}
    for meta in [*metas, Meta(program, signer=False, writable=False)]:
        signs, writes = rights.get(meta.address, (False, False))
        rights[meta.address] = (signs or meta.signer, writes or meta.writable)
    keys = sorted(rights, key=lambda address: (not rights[address][0], not rights[address][1]))
    signers = sum(signs for signs, _ in rights.values())
    readonly = [sum(right == (signs, False) for right in rights.values()) for signs in (True, False)]
    accounts = bytes(keys.index(meta.address) for meta in metas)
    message = bytes([signers, *readonly]) + _length(len(keys)) + b"".join(keys) + blockhash + b"\1"
    message += bytes([keys.index(program)]) + _length(len(accounts)) + accounts + _length(len(data)) + data
    return _length(signers) + signature * signers + message


def table_account(keys: list[bytes]) -> bytes:
    """A lookup table's account with these keys."""
    header = (1).to_bytes(4, "little") + b"\xff" * 8
    return header.ljust(_TABLE_HEADER_BYTES, b"\0") + b"".join(keys)


def _message(read: Reader, message: bytes, signatures: tuple[bytes, ...]) -> Transaction:
    first = read.u(8)
    version = first & 0x7F if first & _VERSIONED else None
    if version:
        raise BadTransactionError("unsupported transaction version")
    signers = first if version is None else read.u(8)
    readonly_signed, readonly_unsigned = read.u(8), read.u(8)
    keys = tuple(read.take(KEY_BYTES) for _ in range(_short(read)))
    blockhash = read.take(KEY_BYTES)
    instructions = tuple(_instruction(read) for _ in range(_short(read)))
    lookups = () if version is None else tuple(_lookup(read) for _ in range(_short(read)))
    if not signers or signers > len(keys):
        raise BadTransactionError("failed to sanitize transaction")
    return Transaction(
        signatures=signatures,
        version=version,
        signers=signers,
        readonly_signed=readonly_signed,
        readonly_unsigned=readonly_unsigned,
        keys=keys,
        blockhash=blockhash,
        instructions=instructions,
        lookups=lookups,
        message=message,
    )


def _instruction(read: Reader) -> Instruction:
    program = read.u(8)
    accounts = tuple(read.take(_short(read)))
    return Instruction(program, accounts, read.take(_short(read)))


def _lookup(read: Reader) -> Lookup:
    return Lookup(read.take(KEY_BYTES), tuple(read.take(_short(read))), tuple(read.take(_short(read))))


def _length(value: int) -> bytes:
    return bytes([value]) if value < _VERSIONED else bytes([value & 0x7F | 0x80, value >> 7])


def _short(read: Reader) -> int:
    """A length of one to three bytes, seven bits each."""
    value = 0
    for position in range(3):
        byte = read.u(8)
        value |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            return value
    raise EndError

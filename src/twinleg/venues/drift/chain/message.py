"""Solana transactions: instructions to a version 0 message, with address lookup tables, and its signed wire.

Keys are ordered as Solana's own compiler orders them (by bytes within what they may do), so that the bytes are the
same that solders makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from twinleg.venues.drift.chain.instructions import Instruction
from twinleg.venues.drift.chain.keys import address

PACKET_BYTES_MAX = 1232
COMPUTE_BUDGET = address("ComputeBudget111111111111111111111111111111")
TABLE_HEADER_BYTES = 56
KEY_BYTES = 32
SIGNATURE_BYTES = 64


class LookupTable(NamedTuple):
    """An address lookup table: its own address and the keys in it, by index."""

    key: bytes
    places: dict[bytes, int]


def read_table(key: bytes, data: bytes) -> LookupTable:
    """A lookup table's account. Raises ValueError."""
    if len(data) < TABLE_HEADER_BYTES or (len(data) - TABLE_HEADER_BYTES) % KEY_BYTES or data[:4] != b"\1\0\0\0":
        raise ValueError(f"no lookup table: {len(data)} bytes")
    places: dict[bytes, int] = {}
    for number, at in enumerate(range(TABLE_HEADER_BYTES, len(data), KEY_BYTES)):
        places.setdefault(data[at : at + KEY_BYTES], number)
    return LookupTable(key, places)


def compute_budget(units: int, micro_lamports_per_unit: int) -> list[Instruction]:
    """How much a transaction may compute, and what each unit pays on top."""
    return [
        Instruction(COMPUTE_BUDGET, (), Struct("<BI").pack(2, units)),
        Instruction(COMPUTE_BUDGET, (), Struct("<BQ").pack(3, micro_lamports_per_unit)),
    ]


def compiled(
    payer: bytes, instructions: Sequence[Instruction], blockhash: bytes, tables: Sequence[LookupTable] = ()
) -> bytes:
    """The message that is signed. Raises ValueError when it names too many accounts."""
    rights: dict[bytes, int] = {}  # bit 1: signs, bit 2: written, bit 4: invoked
    for program, accounts, _ in instructions:
        rights[program] = rights.get(program, 0) | 4
        for key, signer, writable in accounts:
            rights[key] = rights.get(key, 0) | signer | writable << 1
    rights.pop(payer, None)
    keys = sorted(rights)
    static, lookups, looked_up = _placed(keys, rights, tables)
    signed = [[key for key in static if rights[key] & 3 == right] for right in (3, 1, 2, 0)]
    order = [payer, *signed[0], *signed[1], *signed[2], *signed[3]]
    everything = order + looked_up
    if len(everything) > 256:
        raise ValueError(f"{len(everything)} accounts in one transaction")
    index = {key: number for number, key in enumerate(everything)}
    parts = [
        bytes((0x80, 1 + len(signed[0]) + len(signed[1]), len(signed[1]), len(signed[3]))),
        _short(len(order)),
        *order,
        blockhash,
        _short(len(instructions)),
    ]
    for program, accounts, data in instructions:
        numbers = bytes([index[meta[0]] for meta in accounts])
        parts += (bytes((index[program],)), _short(len(numbers)), numbers, _short(len(data)), data)
    parts.append(_short(len(lookups)))
    for table, written, read in lookups:
        parts += (table, _short(len(written)), bytes(written), _short(len(read)), bytes(read))
    return b"".join(parts)


def transaction(signature: bytes, message: bytes) -> bytes:
    """What is sent, for one signer. Raises ValueError when it does not fit into a packet."""
    wire = b"\1" + signature + message
    if len(wire) > PACKET_BYTES_MAX:
        raise ValueError(f"a transaction of {len(wire)} bytes; at most {PACKET_BYTES_MAX} are taken")
    return wire


Lookup = tuple[bytes, list[int], list[int]]
"""(table, written indexes, read indexes)."""


def _placed(
    keys: list[bytes], rights: dict[bytes, int], tables: Sequence[LookupTable]
) -> tuple[list[bytes], list[Lookup], list[bytes]]:
    """(keys that stand in the message, lookups, the looked up keys: written ones of all tables first)."""
    lookups: list[Lookup] = []
    written_keys: list[bytes] = []
    read_keys: list[bytes] = []
    for table in tables:
        places = table.places
        found = [key for key in keys if key in places and not rights[key] & 5]
        if not found:
            continue
        written = [key for key in found if rights[key] & 2]
        read = [key for key in found if not rights[key] & 2]
        lookups.append((table.key, [places[key] for key in written], [places[key] for key in read]))
        written_keys += written
        read_keys += read
        taken = set(found)
        keys = [key for key in keys if key not in taken]
    return keys, lookups, written_keys + read_keys


def _short(number: int) -> bytes:
    """A length, seven bits a byte."""
    if number < 0x80:
        return bytes((number,))
    return bytes((number & 0x7F | 0x80,)) + _short(number >> 7)


def budget_in(wire: bytes) -> tuple[bytes, int, int] | None:
    """(payer, compute units, price per unit) of a signed transaction that begins with a budget, None for others."""
    signatures = wire[0] if wire else 0
    at = 1 + signatures * SIGNATURE_BYTES + 4
    if not 0 < signatures < 0x80 or len(wire) < at or not wire[at - 4] & 0x80:
        return None
    count, at = _long(wire, at)
    keys = [wire[at + i * KEY_BYTES : at + (i + 1) * KEY_BYTES] for i in range(count)]
    calls, at = _long(wire, at + (count + 1) * KEY_BYTES)
    found: dict[int, int] = {}
    for _ in range(min(calls, 2)):
        program = wire[at] if at < len(wire) else 255
        accounts, at = _long(wire, at + 1)
        size, at = _long(wire, at + accounts)
        data, at = wire[at : at + size], at + size
        if program < len(keys) and keys[program] == COMPUTE_BUDGET and data:
            found[data[0]] = int.from_bytes(data[1:], "little")
    return (keys[0], found[2], found[3]) if found.keys() == {2, 3} else None


def _long(wire: bytes, at: int) -> tuple[int, int]:
    """A length and the place after it; nothing there is a length of zero."""
    number = shift = 0
    while at < len(wire) and shift < 21:
        byte = wire[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return number, at

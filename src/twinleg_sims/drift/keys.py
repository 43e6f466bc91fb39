"""Addresses: base58, discriminators, and the addresses that a program owns."""

from __future__ import annotations

from functools import cache, lru_cache
from hashlib import sha256

from twinleg_sims.drift import ed25519

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
KEY_BYTES = 32
SIGNATURE_BYTES = 64


def to_base58(raw: bytes) -> str:
    """Bytes as base58 text, a leading 1 for every leading zero byte."""
    number, letters = int.from_bytes(raw, "big"), []
    while number:
        number, digit = divmod(number, 58)
        letters.append(ALPHABET[digit])
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + "".join(reversed(letters))


def from_base58(text: object) -> bytes:
    """The bytes of base58 text. Raises ValueError when it is no text, or has another letter."""
    if not isinstance(text, str):
        raise ValueError("not base58: no text")  # noqa: TRY004 - one refusal for whatever came over the wire
    number = 0
    for letter in text:
        if letter not in _VALUES:
            raise ValueError(f"not base58: {text!r}")
        number = number * 58 + _VALUES[letter]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


@cache
def key(text: str) -> bytes:
    """A 32 byte key of its text. Raises ValueError."""
    raw = from_base58(text)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"not a key: {text!r}")
    return raw


@cache
def discriminator(kind: str, name: str) -> bytes:
    """The first eight bytes of accounts ("account"), events ("event") and instructions ("global")."""
    return sha256(f"{kind}:{name}".encode()).digest()[:8]


@lru_cache(65_536)
def derived(program: bytes, *seeds: bytes) -> bytes:
    """The address that `program` owns for these seeds: the first that is no curve point, counting the bump down."""
    for bump in range(255, -1, -1):
        found = sha256(b"".join(seeds) + bytes([bump]) + program + b"ProgramDerivedAddress").digest()
        if not ed25519.on_curve(found):
            return found
    raise AssertionError("one of 256 is off the curve")


def made_up(*names: object) -> bytes:
    """A key for something nobody signs for, the same for the same names."""
    return sha256("/".join(map(str, names)).encode()).digest()

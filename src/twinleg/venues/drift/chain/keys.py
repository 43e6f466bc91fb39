"""Solana's addresses: base58 text, 32 bytes, and the addresses that a program owns."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from twinleg.venues.drift.chain.ed25519 import on_curve

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
DIGITS = {letter: value for value, letter in enumerate(ALPHABET)}
CHUNK_LETTERS = 10
CHUNK = 58**CHUNK_LETTERS
KEY_BYTES = 32
SYSTEM_PROGRAM = bytes(KEY_BYTES)
TEXT_CHARS_MAX = 128


def base58(data: bytes) -> str:
    """Bytes as Solana writes them."""
    number, letters = int.from_bytes(data), []
    while number:
        number, chunk = divmod(number, CHUNK)  # few divisions of long numbers, then short ones
        for _ in range(CHUNK_LETTERS):
            if not chunk and not number:
                break
            chunk, digit = divmod(chunk, 58)
            letters.append(ALPHABET[digit])
    leading = len(data) - len(data.lstrip(b"\0"))
    return "1" * leading + "".join(reversed(letters))


def unbase58(text: str) -> bytes:
    """The bytes behind base58 text. Raises ValueError, which does not repeat the text: it may be a private key."""
    if not text or len(text) > TEXT_CHARS_MAX or not set(text) <= DIGITS.keys():
        raise ValueError("not base58 text")
    number = 0
    for letter in text:
        number = number * 58 + DIGITS[letter]
    leading = len(text) - len(text.lstrip("1"))
    return bytes(leading) + number.to_bytes((number.bit_length() + 7) // 8)


def address(text: str) -> bytes:
    """The 32 bytes of a public key's text. Raises ValueError."""
    key = unbase58(text)
    if len(key) != KEY_BYTES:
        raise ValueError(f"an address has {KEY_BYTES} bytes, not {len(key)}")
    return key


@lru_cache(maxsize=1024)
def owned_address(program: bytes, *seeds: bytes) -> bytes:
    """The address that `program` owns for these seeds: the first hash, bump 255 downwards, that is no point."""
    for bump in range(255, -1, -1):
        found = hashlib.sha256(b"".join(seeds) + bytes([bump]) + program + b"ProgramDerivedAddress").digest()
        if not on_curve(found):
            return found
    raise ValueError("no address for these seeds")

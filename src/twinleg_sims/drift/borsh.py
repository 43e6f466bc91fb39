"""Borsh: reading instructions, writing events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Read = TypeVar("Read")


class EndError(ValueError):
    """The bytes end too early, or hold what they may not."""


class Reader:
    """Reads from the front. Raises EndError."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._raw):
            raise EndError
        self._at += count
        return self._raw[self._at - count : self._at]

    def u(self, bits: int) -> int:
        return int.from_bytes(self.take(bits // 8), "little")

    def i(self, bits: int) -> int:
        return int.from_bytes(self.take(bits // 8), "little", signed=True)

    def word(self, count: int) -> int:
        """An enum's number below `count`, or a bool (2)."""
        value = self.u(8)
        if value >= count:
            raise EndError
        return value

    def option(self, read: Callable[[], Read]) -> Read | None:
        return read() if self.word(2) else None

    def many(self, read: Callable[[], Read]) -> list[Read]:
        return [read() for _ in range(self.u(32))]


def number(value: int, bits: int, *, signed: bool = False) -> bytes:
    return value.to_bytes(bits // 8, "little", signed=signed)


def option(value: int | bytes | None, bits: int = 0, *, signed: bool = False) -> bytes:
    """None, or a number of so many bits, or raw bytes."""
    if value is None:
        return b"\0"
    return b"\1" + (value if isinstance(value, bytes) else number(value, bits, signed=signed))

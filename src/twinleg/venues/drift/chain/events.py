"""What the program logged: the records of a transaction's log lines, whatever else is among them.

A line counts when our program wrote it: the lines tell who is called and who returns. Fragments without a beginning are
read too; a record that cannot be read is counted, and hides no other.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from struct import Struct, error
from typing import NamedTuple

from twinleg.venues.drift.chain.layout import Layout, Order, discriminator

ORDER_ACTION, ORDER_PLACED, FUNDING_PAID, LIQUIDATED = (
    discriminator("event", name)
    for name in ("OrderActionRecord", "OrderRecord", "FundingPaymentRecord", "LiquidationRecord")
)
PLACE, CANCEL, FILL, TRIGGER, EXPIRE = range(5)
EXPLAINED_BY_LIQUIDATION = 5
INVOKE = re.compile(r"Program (\w{32,44}) invoke \[\d+\]")
RETURN = re.compile(r"Program (\w{32,44}) (?:success|failed)")
PREFIXES = ("Program data: ", "Program log: ")
TRUNCATED = "Log truncated"


class Side(NamedTuple):
    """A party of a record: its User account, its order, and how much of that is filled by now."""

    user: bytes | None
    order_id: int | None
    direction: int | None
    base: int | None
    filled: int | None
    filled_quote: int | None


class OrderAction(NamedTuple):
    """Something happened to an order. Amounts are the chain's units; a maker's fee below zero is a rebate."""

    ts: int
    action: int
    explanation: int
    market_index: int
    market_type: int
    fill_record_id: int | None
    base: int | None
    quote: int | None
    taker_fee: int | None
    maker_fee: int | None
    taker: Side
    maker: Side
    oracle_price: int


class OrderPlaced(NamedTuple):
    """A new order as the program stored it."""

    ts: int
    user: bytes
    order: Order


class FundingPayment(NamedTuple):
    """Funding booked to a position: `payment` (1e6) below zero is paid."""

    ts: int
    user: bytes
    market_index: int
    payment: int


class Liquidation(NamedTuple):
    ts: int
    kind: int
    user: bytes


Record = OrderAction | OrderPlaced | FundingPayment | Liquidation


class Logged(NamedTuple):
    """A transaction's records in order. `whole` is False when something of ours may be missing."""

    records: list[Record]
    whole: bool


class _Reader:
    """Fields one after the other. Raises struct.error beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 8

    def field(self, code: Struct) -> int:
        (found,) = code.unpack_from(self._data, self._at)
        self._at += code.size
        return int(found)

    def key(self) -> bytes:
        found = self._data[self._at : self._at + 32]
        if len(found) != 32:
            raise error("half an address")
        self._at += 32
        return found

    def present(self) -> bool:
        told = self.field(U8)
        if told > 1:
            raise error("neither absent nor present")
        return told == 1

    def maybe(self, code: Struct) -> int | None:
        return self.field(code) if self.present() else None

    def maybe_key(self) -> bytes | None:
        return self.key() if self.present() else None

    def rest(self) -> bytes:
        return self._data[self._at :]


U8, U16, U32, U64, I64 = (Struct(f"<{code}") for code in "BHIQq")


def read_logs(lines: Sequence[str], program: str, layout: Layout) -> Logged:
    """The records that `program` (base58) wrote."""
    stack: list[str] = []
    fragment = not lines or INVOKE.match(lines[0]) is None
    records: list[Record] = []
    whole = True
    for line in lines:
        if line.startswith(PREFIXES):
            if stack[-1:] == [program] or (not stack and fragment):
                found, clear = _record(line.partition(": ")[2], layout)
                records += found
                whole = whole and clear
        elif (called := INVOKE.match(line)) is not None:
            stack.append(called[1])
        elif RETURN.match(line) is not None and stack:
            stack.pop()
        elif line.startswith(TRUNCATED):
            whole = False
    return Logged(records, whole)


def _record(text: str, layout: Layout) -> tuple[list[Record], bool]:
    """(the record of one line, if it is one; whether it could be read)."""
    if len(text) < 12 or " " in text:
        return [], True
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return [], True  # a message to people
    try:
        match data[:8]:
            case begins if begins == ORDER_ACTION:
                return [_order_action(_Reader(data))], True
            case begins if begins == ORDER_PLACED:
                reader = _Reader(data)
                ts, user = reader.field(I64), reader.key()
                return [OrderPlaced(ts, user, Order._make(layout.order.unpack_from(reader.rest())))], True
            case begins if begins == FUNDING_PAID:
                reader = _Reader(data)
                ts, _, user = reader.field(I64), reader.key(), reader.key()
                return [FundingPayment(ts, user, reader.field(U16), reader.field(I64))], True
            case begins if begins == LIQUIDATED:
                reader = _Reader(data)
                return [Liquidation(reader.field(I64), reader.field(U8), reader.key())], True
            case _:
                return [], True
    except error:
        return [], False


def _order_action(reader: _Reader) -> OrderAction:
    """Later fields than the oracle's price differ between the program's builds, and are not asked for."""
    ts, action, explanation = reader.field(I64), reader.field(U8), reader.field(U8)
    market_index, market_type = reader.field(U16), reader.field(U8)
    reader.maybe_key()  # the keeper
    reader.maybe(U64)  # its reward
    fill_record_id, base, quote = reader.maybe(U64), reader.maybe(U64), reader.maybe(U64)
    taker_fee, maker_fee = reader.maybe(U64), reader.maybe(I64)
    for code in (U32, I64, U64):  # the referrer's reward, the surplus, a spot venue's fee
        reader.maybe(code)
    taker, maker = _side(reader), _side(reader)
    return OrderAction(
        ts, action, explanation, market_index, market_type, fill_record_id, base, quote, taker_fee, maker_fee,
        taker, maker, reader.field(I64),
    )  # fmt: skip


def _side(reader: _Reader) -> Side:
    return Side(
        reader.maybe_key(), reader.maybe(U32), reader.maybe(U8), reader.maybe(U64), reader.maybe(U64), reader.maybe(U64)
    )

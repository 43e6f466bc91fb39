"""Bytes to structs: Solana's JSON-RPC, the book server's frames (JSON inside JSON), and the data API.

Prices and sizes in books are integers of 1e-6 and 1e-9, as numbers in the stream and as text in REST; a trade's are
human decimals. Both are read exactly.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from twinleg.core.amounts import DIGITS_MAX, AmountError
from twinleg.core.venue import WireError

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
"""All that a decoder here raises on bytes that are not what it expects."""

Number = int | float | str | None
ERROR_CHARS_MAX = 200


class RpcError(msgspec.Struct, gc=False):
    code: int = 0
    message: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class RpcReply(msgspec.Struct, gc=False):
    """One answer. `result` is absent where there is an error."""

    jsonrpc: str
    id: int
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: RpcError | None = None


class Account(msgspec.Struct, gc=False):
    """`data` is (base64 text, "base64")."""

    data: tuple[str, str]
    owner: str = ""


class Keyed(msgspec.Struct, gc=False):
    pubkey: str
    account: Account


class Context(msgspec.Struct, gc=False):
    slot: int


class OneAccount(msgspec.Struct, gc=False):
    context: Context
    value: Account | None


class ManyAccounts(msgspec.Struct, gc=False):
    context: Context
    value: list[Account | None]


class Params(msgspec.Struct, gc=False):
    result: msgspec.Raw
    subscription: int


class Notice(msgspec.Struct, gc=False):
    """A frame of the node's stream: an answer to a subscribe (`id`, `result`), or a notification (`params`)."""

    id: int | None = None
    result: int | None = None
    method: str = ""
    params: Params | None = None


class LogsValue(msgspec.Struct, gc=False):
    signature: str
    logs: list[str]
    err: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def failed(self) -> bool:
        return bytes(self.err) != b"null"


class Logs(msgspec.Struct, gc=False):
    context: Context
    value: LogsValue


class Blockhash(msgspec.Struct, gc=False):
    blockhash: str


class LatestBlockhash(msgspec.Struct, gc=False):
    context: Context
    value: Blockhash


class SignatureRow(msgspec.Struct, gc=False, rename="camel"):
    """A transaction that named the account, newest first. `block_time` in seconds."""

    signature: str
    slot: int
    block_time: int | None = None
    err: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def failed(self) -> bool:
        return bytes(self.err) != b"null"


class Meta(msgspec.Struct, gc=False, rename="camel"):
    log_messages: list[str] | None = None
    err: msgspec.Raw = msgspec.Raw(b"null")


class Transaction(msgspec.Struct, gc=False):
    """`transaction` is (base64 text, "base64")."""

    transaction: tuple[str, str]
    meta: Meta
    slot: int = 0


class Level(msgspec.Struct, gc=False):
    price: Number
    size: Number


class OracleData(msgspec.Struct, gc=False):
    price: Number = None


class Book(msgspec.Struct, gc=False, rename="camel"):
    """A whole book of one market, as of a slot; `ts` in ms."""

    bids: list[Level]
    asks: list[Level]
    slot: int = 0
    ts: int = 0
    market_index: int = -1
    mark_price: Number = None
    oracle_data: OracleData | None = None


class Trade(msgspec.Struct, gc=False, rename="camel"):
    """A fill in human decimals; `ts` in seconds."""

    ts: int
    base_asset_amount_filled: Decimal
    quote_asset_amount_filled: Decimal
    taker_order_direction: str | None = None
    maker_order_direction: str | None = None
    fill_record_id: int | None = None
    tx_sig: str = ""
    action: str = "fill"


class Frame(msgspec.Struct, gc=False):
    """Any frame of the book server. `data` is JSON text of its own."""

    channel: str = ""
    message: str = ""
    data: str | None = None
    error: str | None = None


class FundingRow(msgspec.Struct, gc=False, rename="camel"):
    """A settled rate, QUOTE PER BASE, and the price to divide it by; `ts` in seconds."""

    ts: int
    funding_rate: Decimal
    oracle_price_twap: Decimal


class FundingPage(msgspec.Struct, gc=False):
    success: bool
    records: list[msgspec.Raw]


_REPLY = msgspec.json.Decoder(RpcReply)
_REPLIES = msgspec.json.Decoder(list[RpcReply])
_FRAME = msgspec.json.Decoder(Frame)
_BOOK = msgspec.json.Decoder(Book)
_TRADE = msgspec.json.Decoder(Trade)
_FUNDING = msgspec.json.Decoder(FundingPage)
_FUNDING_ROW = msgspec.json.Decoder(FundingRow, strict=False)
_ONE = msgspec.json.Decoder(OneAccount)
_MANY = msgspec.json.Decoder(ManyAccounts)
_KEYED = msgspec.json.Decoder(list[Keyed])

decode_frame = _FRAME.decode
decode_book = _BOOK.decode
decode_trade = _TRADE.decode
decode_funding = _FUNDING.decode
decode_funding_row = _FUNDING_ROW.decode
decode_reply = _REPLY.decode
decode_notice = msgspec.json.Decoder(Notice).decode
decode_slot = msgspec.json.Decoder(Context).decode
decode_logs = msgspec.json.Decoder(Logs).decode
decode_blockhash = msgspec.json.Decoder(LatestBlockhash).decode
decode_signatures = msgspec.json.Decoder(list[SignatureRow]).decode
decode_transaction = msgspec.json.Decoder(Transaction | None).decode


def call(number: int, method: str, *params: object) -> dict[str, object]:
    """One JSON-RPC request; several in a list are one HTTP request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def results(body: bytes, count: int) -> list[msgspec.Raw]:
    """The results of a batch of `count` requests with ids from 1, in their order. Raises WireError unless all came."""
    try:
        replies = _REPLIES.decode(body)
    except UNREADABLE as error:
        raise WireError(f"not the answer to a batch: {error}: {body[:80]!r}"[: 2 * ERROR_CHARS_MAX]) from error
    by_id = {reply.id: reply for reply in replies}
    found = []
    for number in range(1, count + 1):
        reply = by_id.get(number)
        if reply is None or reply.error is not None or isinstance(reply.result, msgspec.UnsetType):
            said = "is missing" if reply is None else refusal(reply)
            raise WireError(f"answer {number} of {count} {said}")
        found.append(reply.result)
    return found


def refusal(reply: RpcReply) -> str:
    """What an error says, bounded."""
    if reply.error is None:
        return "says nothing"
    return f"{reply.error.code}: {reply.error.message[:ERROR_CHARS_MAX]}"


def one_account(raw: msgspec.Raw) -> tuple[int, bytes | None]:
    """(slot, data) of getAccountInfo; None where there is no such account. Raises WireError."""
    try:
        told = _ONE.decode(raw)
        return told.context.slot, None if told.value is None else content(told.value)
    except UNREADABLE as error:
        raise WireError(f"not an account: {error}: {bytes(raw)[:80]!r}"[: 2 * ERROR_CHARS_MAX]) from error


def many_accounts(raw: msgspec.Raw, count: int) -> tuple[int, list[bytes | None]]:
    """(slot, data) of getMultipleAccounts, one for each that was asked for. Raises WireError."""
    try:
        told = _MANY.decode(raw)
        found = [None if value is None else content(value) for value in told.value]
    except UNREADABLE as error:
        raise WireError(f"not accounts: {error}: {bytes(raw)[:80]!r}"[: 2 * ERROR_CHARS_MAX]) from error
    if len(found) != count:
        raise WireError(f"{len(found)} accounts where {count} were asked for")
    return told.context.slot, found


def keyed_accounts(raw: msgspec.Raw) -> list[tuple[str, Account]]:
    """(address, account) of getProgramAccounts. Raises WireError."""
    try:
        return [(row.pubkey, row.account) for row in _KEYED.decode(raw)]
    except UNREADABLE as error:
        raise WireError(f"not a listing of accounts: {error}: {bytes(raw)[:80]!r}"[: 2 * ERROR_CHARS_MAX]) from error


def content(account: Account) -> bytes:
    """An account's bytes. Raises WireError."""
    text, encoding = account.data
    if encoding != "base64":
        raise WireError(f"account data as {encoding!r:.40}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(f"not base64: {text[:40]!r}") from error


def units(number: Number) -> int:
    """A whole number of the chain's units, written as a number or as text. Raises AmountError; never rounds."""
    if isinstance(number, str):
        if not number.isdecimal() or not number.isascii() or len(number) > DIGITS_MAX:
            raise AmountError(f"not a whole number of units: {number[:60]!r}")
        return int(number)
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        return int(number)
    if isinstance(number, int) and 0 <= number < 10**DIGITS_MAX:
        return number
    raise AmountError(f"not a whole number of units: {number!r:.60}")


def market_message(kind: str, channel: str, symbol: str) -> bytes:
    """`kind` is "subscribe" or "unsubscribe"."""
    told = {"type": kind, "marketType": "perp", "channel": channel, "market": symbol}
    return msgspec.json.encode(told | ({"grouping": 1} if channel == "orderbook" else {}))


def batch(calls: Sequence[dict[str, object]]) -> bytes:
    return msgspec.json.encode(list(calls))

"""Lighter's typed frames: bytes to structs. Fields we do not use are not named, and unknown ones are ignored.

Shapes are those of recorded frames (2026-03 to 2026-06) and REST bodies (2025-11). Prices, sizes and money are decimal
strings; lists may be empty, null or absent; times are ms in frames, seconds in funding history and status.
"""

from __future__ import annotations

from math import isfinite

import msgspec

from twinleg.core.venue import WireError
from twinleg.venues.lighter import facts

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises on bytes that are not what a decoder expects (2 million mutated frames; msgspec 0.22)."""

PING = b'{"type":"ping"}'
PONG = b'{"type":"pong"}'


class Level(msgspec.Struct, gc=False):
    """`size` is the new absolute size at `price`; zero removes the level."""

    price: str
    size: str


class BookBody(msgspec.Struct, gc=False):
    """A snapshot (`begin_nonce` 0) or the changes from engine nonce `begin_nonce` to `nonce`."""

    nonce: int
    begin_nonce: int = 0
    bids: list[Level] | None = None
    asks: list[Level] | None = None


class StreamError(msgspec.Struct, gc=False):
    """Error frames carry no type and no request id."""

    code: int = 0
    message: str = ""


class Frame(msgspec.Struct, gc=False):
    """Any stream frame: one decode for all, the book's the cheapest. `timestamp` ms."""

    type: str = ""
    channel: str = ""
    timestamp: int = 0
    order_book: BookBody | None = None
    market_stats: msgspec.Raw = msgspec.Raw(b"null")
    trades: list[msgspec.Raw] | None = None
    liquidation_trades: list[msgspec.Raw] | None = None
    error: StreamError | None = None
    close_in_ms: int = 0


class StatsBody(msgspec.Struct, gc=False):
    """market_stats of one market. Rates are percent per hour, `open_interest` is in USDC, `funding_timestamp` ms."""

    market_id: int
    mark_price: str | float | None = None
    index_price: str | float | None = None
    open_interest: str | float | None = None
    current_funding_rate: str | float | None = None
    funding_rate: str | float | None = None
    funding_timestamp: int | None = None


class TradeBody(msgspec.Struct, gc=False):
    """A public trade. `is_maker_ask`: the resting order sold, so the taker bought. `timestamp` ms."""

    trade_id: int
    price: str
    size: str
    is_maker_ask: bool
    timestamp: int


class MarketConfig(msgspec.Struct, gc=False):
    """`market_config` of a market's details."""

    force_reduce_only: bool = False
    trading_hours: str = ""
    hidden: bool = False
    rfq_enabled: bool = False


class MarketDetails(msgspec.Struct, gc=False):
    """A row of orderBookDetails. Fees are percent, margin fractions 1/10,000."""

    symbol: str
    market_id: int
    status: str
    min_base_amount: str
    min_quote_amount: str
    supported_size_decimals: int
    supported_price_decimals: int
    market_type: str = "perp"
    taker_fee: str | float | None = None
    maker_fee: str | float | None = None
    min_initial_margin_fraction: int | None = None
    maintenance_margin_fraction: int | None = None
    is_frozen: bool | None = None
    market_config: MarketConfig | None = None


class FundingRow(msgspec.Struct, gc=False):
    """A row of fundings. `timestamp` seconds, `rate` percent per hour without sign, `direction` the side that pays."""

    timestamp: int
    rate: str
    direction: str
    value: str | None = None


class RateRow(msgspec.Struct, gc=False):
    """A row of funding-rates. `rate` is a signed fraction per 8 hours."""

    market_id: int
    exchange: str
    rate: float


class Reply(msgspec.Struct, gc=False):
    """Any REST body. `code` 200 is success."""

    code: int | None = None
    message: str = ""
    order_book_details: list[msgspec.Raw] | None = None
    fundings: list[FundingRow] | None = None
    funding_rates: list[msgspec.Raw] | None = None


class OrderRow(msgspec.Struct, gc=False):
    """An order, in listings and streams. Indexes are the venue's and ours (0 = none); times ms."""

    order_index: int
    market_index: int
    owner_account_index: int
    initial_base_amount: str
    filled_base_amount: str
    price: str
    is_ask: bool
    status: str
    client_order_index: int = 0
    reduce_only: bool = False
    updated_at: int = 0


class FillRow(msgspec.Struct, gc=False):
    """A trade of ours, in listings and streams. Fees are ticks of 1e-6, left out when zero; `timestamp` ms."""

    trade_id: int
    market_id: int
    price: str
    size: str
    ask_id: int
    bid_id: int
    ask_account_id: int
    bid_account_id: int
    is_maker_ask: bool
    timestamp: int
    type: str = "trade"
    ask_client_id: int = 0
    bid_client_id: int = 0
    taker_fee: int = 0
    maker_fee: int = 0


class PositionRow(msgspec.Struct, gc=False):
    """A position: `position` without sign, `sign` its side; flat ones stay listed. Margin fraction in percent."""

    market_id: int
    sign: int
    position: str
    avg_entry_price: str | float | None = None
    liquidation_price: str | float | None = None
    unrealized_pnl: str | float | None = None
    initial_margin_fraction: str | float | None = None
    margin_mode: int = 0


class AccountRow(msgspec.Struct, gc=False):
    """An account of /account. Money in USDC."""

    index: int
    collateral: str
    available_balance: str
    total_asset_value: str
    positions: list[PositionRow] | None
    cross_initial_margin_requirement: str | None = None
    cross_maintenance_margin_requirement: str | None = None


class UserStats(msgspec.Struct, gc=False):
    """The account's balance as streamed. Money in USDC."""

    portfolio_value: str
    available_balance: str


class PaidRow(msgspec.Struct, gc=False):
    """A row of positionFunding. `change` + = received; `position_side` "long" or "short"."""

    timestamp: int
    market_id: int
    change: str
    rate: str | float | None = None
    position_side: str = ""


class TransactionRow(msgspec.Struct, gc=False):
    """A transaction with its result. `info` and `event_info` are JSON in text; `status` 0 = failed.

    `nonce` is the key's own number; the venue's own transactions have none of ours.
    """

    hash: str
    type: int
    status: int
    account_index: int | None = None
    api_key_index: int | None = None
    nonce: int | None = None
    info: str = ""
    event_info: str = ""


class CreateInfo(msgspec.Struct, rename="pascal", gc=False):
    """What we need of `info` of a create-order transaction."""

    market_index: int
    client_order_index: int
    base_amount: int
    price: int
    is_ask: int
    reduce_only: int


class NamedInfo(msgspec.Struct, rename="pascal", gc=False):
    """How the `info` of a transaction names its order: new ones by our number, others by ours or the venue's."""

    client_order_index: int = 0
    index: int = 0


class EventInfo(msgspec.Struct, gc=False):
    """`event_info` of a transaction: `ae` is the sequencer's error."""

    ae: msgspec.Raw = msgspec.Raw(b"null")


class ApiKeyRow(msgspec.Struct, gc=False):
    """A registered API key."""

    api_key_index: int
    public_key: str


class PrivateReply(msgspec.Struct, gc=False):
    """Any REST body about an account. A list that is UNSET was not in it at all, None is `null`."""

    code: int
    message: str = ""
    next_cursor: str | None = None
    orders: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    trades: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    accounts: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    position_fundings: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    api_keys: list[ApiKeyRow] | None = None
    nonce: int | None = None
    current_maker_fee_tick: int | None = None
    current_taker_fee_tick: int | None = None


class AccountFrame(msgspec.Struct, gc=False):
    """Any frame of a private stream."""

    type: str = ""
    channel: str = ""
    orders: msgspec.Raw = msgspec.Raw(b"null")
    trades: msgspec.Raw = msgspec.Raw(b"null")
    positions: msgspec.Raw = msgspec.Raw(b"null")
    stats: msgspec.Raw = msgspec.Raw(b"null")
    txs: list[msgspec.Raw] | None = None
    error: StreamError | None = None
    close_in_ms: int = 0


class SendReply(msgspec.Struct, gc=False):
    """The answer to sendTx, good or bad. `tx_hash` as we computed it before."""

    code: int
    message: str = ""
    tx_hash: str | None = None


class Status(msgspec.Struct, gc=False):
    """GET /. `timestamp` seconds."""

    status: int
    timestamp: int


decode_frame = msgspec.json.Decoder(Frame).decode
decode_stats = msgspec.json.Decoder(StatsBody).decode
decode_stats_by_market = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_trade = msgspec.json.Decoder(TradeBody).decode
decode_market = msgspec.json.Decoder(MarketDetails).decode
decode_rate = msgspec.json.Decoder(RateRow).decode
decode_reply = msgspec.json.Decoder(Reply).decode
decode_order = msgspec.json.Decoder(OrderRow).decode
decode_fill = msgspec.json.Decoder(FillRow).decode
decode_position = msgspec.json.Decoder(PositionRow).decode
decode_account = msgspec.json.Decoder(AccountRow).decode
decode_user_stats = msgspec.json.Decoder(UserStats).decode
decode_paid = msgspec.json.Decoder(PaidRow).decode
decode_transaction = msgspec.json.Decoder(TransactionRow).decode
decode_create_info = msgspec.json.Decoder(CreateInfo).decode
decode_named_info = msgspec.json.Decoder(NamedInfo).decode
decode_event_info = msgspec.json.Decoder(EventInfo).decode
decode_private = msgspec.json.Decoder(PrivateReply).decode
decode_account_frame = msgspec.json.Decoder(AccountFrame).decode
decode_by_market = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw] | None).decode
"""What a private topic carries, by market; an empty start may be a list. None where the venue says nothing."""
decode_list = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
decode_send = msgspec.json.Decoder(SendReply).decode
decode_status = msgspec.json.Decoder(Status).decode


def subscribe(topic: str, auth: str | None = None) -> bytes:
    """A subscription to "order_book/0"; answers call the channel "order_book:0". Private ones need a token."""
    if auth is not None:
        return b'{"type":"subscribe","channel":"%b","auth":"%b"}' % (topic.encode(), auth.encode())
    return b'{"type":"subscribe","channel":"%b"}' % topic.encode()


def unsubscribe(topic: str) -> bytes:
    """The end of a subscription; answered by type "unsubscribed"."""
    return b'{"type":"unsubscribe","channel":"%b"}' % topic.encode()


def number(value: str | float | None) -> float | None:
    """A decimal string or JSON number as an estimate; None stays None. Raises WireError unless finite."""
    if value is None or value == "":
        return None
    try:
        result = float(value)
    except ValueError as error:
        raise WireError(f"not a number: {value!r:.60}") from error
    if not isfinite(result):
        raise WireError(f"not a finite number: {value!r:.60}")
    return result


def positive(value: str | float | None) -> float | None:
    """A price as an estimate; None where the venue says nothing, which it also writes as zero. Raises WireError."""
    result = number(value)
    if result is not None and result < 0:
        raise WireError(f"a negative price: {value!r:.60}")
    return result or None


def rate_per_hour(rate: float, rate_max: float) -> float:
    """The rate itself. Raises WireError when no venue could charge it, which means that we misread its unit."""
    if not abs(rate) <= rate_max:
        raise WireError(f"an impossible funding rate per hour: {rate}")
    return rate


def next_hour_ms(at_ms: int) -> int:
    """The full hour after `at_ms`, when funding is next charged."""
    return (at_ms // facts.HOUR_MS + 1) * facts.HOUR_MS


def nearest_hour_ms(at_ms: int) -> int:
    """The full hour a settlement belongs to: venues stamp it some ms or seconds off."""
    return (at_ms + facts.HOUR_MS // 2) // facts.HOUR_MS * facts.HOUR_MS

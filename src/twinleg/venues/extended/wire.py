"""Extended's typed frames: bytes to structs. Fields we do not use are not named, and unknown ones are ignored.

Shapes are those of the v2 RPC stream and REST bodies recorded on mainnet (April to September 2026). All decimals are
strings whose padding varies ("84050.000000" and "84050" are one price); all times are ms.
"""

from __future__ import annotations

from math import isfinite

import msgspec

from twinleg.core.venue import WireError

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises on bytes that are not what a decoder expects (2 million mutated frames; msgspec 0.22)."""

NOTHING = msgspec.Raw()
"""A field that is not there. One that is `null` is its text."""
NULL = b"null"


class Level(msgspec.Struct, gc=False):
    """In a snapshot `q` is the size at price `p`. In a delta `q` is the signed change and `c` the new size, if told."""

    p: str
    q: str
    c: str | None = None


class Data(msgspec.Struct, gc=False):
    """A book (`m`, `b`, `a`), a price (`m`, `p`, `ts`) or a funding rate (`m`, `f`, `T`)."""

    m: str = ""
    b: list[Level] | None = None
    a: list[Level] | None = None
    p: str | None = None
    f: str | None = None
    T: int = 0
    ts: int = 0


class TradeRow(msgspec.Struct, gc=False):
    """A public trade: id, market, taker's side, time, price, size."""

    i: int
    m: str
    S: str
    T: int
    p: str
    q: str


class RpcError(msgspec.Struct, gc=False):
    """Why a request was refused."""

    code: int = 0
    message: str = ""


class Frame(msgspec.Struct, gc=False):
    """A data frame, which has a `seq`, or the answer to the request `id`."""

    type: str = ""
    data: Data | list[msgspec.Raw] | None = None
    ts: int = 0
    seq: int | None = None
    subscription: str = ""
    id: str | int | None = None
    error: RpcError | None = None


class Head(msgspec.Struct, gc=False):
    """What is left of a frame whose content we cannot read."""

    seq: int
    subscription: str = ""


class MarketStats(msgspec.Struct, gc=False, rename="camel"):
    """`fundingRate` is the current estimate as a fraction per hour, `nextFundingRate` the time of the next charge."""

    funding_rate: str | None = None
    next_funding_rate: int | None = None


class TradingConfig(msgspec.Struct, gc=False, rename="camel"):
    """Steps and limits of a market."""

    min_order_size: str
    min_order_size_change: str
    min_price_change: str
    max_leverage: str | None = None


class L2Config(msgspec.Struct, gc=False, rename="camel"):
    """What a signature says instead of names and units: asset ids, and how many parts make one of an asset."""

    collateral_id: str
    collateral_resolution: int
    synthetic_id: str
    synthetic_resolution: int


class MarketRow(msgspec.Struct, gc=False, rename="camel"):
    """A row of info/markets."""

    name: str
    asset_name: str
    collateral_asset_name: str
    trading_config: TradingConfig
    type: str = "PERPETUAL"
    status: str = ""
    active: bool = True
    is_rfq: bool = False
    is_off_hours: bool = False
    trading_hours: str | None = None
    market_stats: MarketStats | None = None
    l2_config: L2Config | None = None


class RateRow(msgspec.Struct, gc=False, rename="camel"):
    """The part of a row of info/markets that tells its funding."""

    name: str
    market_stats: MarketStats


class FundingRow(msgspec.Struct, gc=False):
    """An applied rate `f` as a signed fraction per hour, charged at `T`."""

    m: str
    f: str
    T: int


class Reply(msgspec.Struct, gc=False):
    """Any REST body with a list in it. `status` OK is success."""

    status: str = ""
    data: list[msgspec.Raw] | None = None
    error: RpcError | None = None


class Refusal(msgspec.Struct, gc=False):
    """Why a private request was refused; `code` is an int by every record, and doubted otherwise."""

    code: int | str | None = None
    message: str | None = None


class Placed(msgspec.Struct, gc=False, rename="camel"):
    """What answers a placement: the venue's id (seen as a number and as text) and our own."""

    id: int | str
    external_id: str


class Answer(msgspec.Struct, gc=False):
    """Any private REST body. `status` OK is success; lists and objects alike lie in `data`."""

    status: str = ""
    data: msgspec.Raw = NOTHING
    error: Refusal | None = None


class OrderRow(msgspec.Struct, gc=False, rename="camel"):
    """An order, over REST or in the account stream. `price` is its limit."""

    id: int | str
    market: str
    side: str
    status: str
    qty: str
    reduce_only: bool
    external_id: str = ""
    status_reason: str | None = None
    price: str | None = None
    filled_qty: str | None = None
    cancelled_qty: str | None = None
    created_time: int = 0
    updated_time: int = 0


class FillRow(msgspec.Struct, gc=False, rename="camel"):
    """An execution. `externalOrderId` is missing from the SDK's model, and not relied on."""

    id: int | str
    market: str
    order_id: int | str
    side: str
    price: str
    qty: str
    fee: str
    trade_type: str
    created_time: int
    external_order_id: str | None = None


class PositionRow(msgspec.Struct, gc=False, rename="camel"):
    """A position. When CLOSED it still shows its last size: `status` decides (658 recorded frames, December 2025)."""

    id: int | str
    market: str
    status: str
    side: str
    size: str
    open_price: str | None = None
    liquidation_price: str | None = None
    unrealised_pnl: str | None = None
    updated_at: int = 0


class BalanceRow(msgspec.Struct, gc=False, rename="camel"):
    """The account's money. `marginRatio` is maintenance margin / equity (API documentation, 2025)."""

    equity: str
    available_for_trade: str
    initial_margin: str | None = None
    margin_ratio: str | None = None
    status: str | None = None
    updated_time: int = 0


class FeeRow(msgspec.Struct, gc=False, rename="camel"):
    """The account's rates in a market, as fractions of the notional."""

    market: str
    maker_fee_rate: str
    taker_fee_rate: str


class LeverageRow(msgspec.Struct, gc=False):
    """The account's leverage in a market."""

    market: str
    leverage: str


class PaidRow(msgspec.Struct, gc=False, rename="camel"):
    """Funding booked to the account, for `side` LONG or SHORT of `value`, at `fundingRate` per hour."""

    market: str
    side: str
    funding_fee: str
    funding_rate: str
    paid_time: int


class AccountRow(msgspec.Struct, gc=False, rename="camel"):
    """The account that the API key opens."""

    status: str
    l2_key: str
    l2_vault: str | int


class AccountData(msgspec.Struct, gc=False, rename="camel"):
    """What an account frame brings: one of these lists or the balance."""

    is_snapshot: bool = False
    orders: list[msgspec.Raw] | None = None
    trades: list[msgspec.Raw] | None = None
    positions: list[msgspec.Raw] | None = None
    balance: msgspec.Raw = NOTHING


class AccountFrame(msgspec.Struct, gc=False):
    """A frame of the account stream. `seq` counts from 1 over all types of a connection."""

    seq: int
    type: str = ""
    data: msgspec.Raw = NOTHING


decode_frame = msgspec.json.Decoder(Frame).decode
decode_head = msgspec.json.Decoder(Head).decode
decode_trade = msgspec.json.Decoder(TradeRow).decode
decode_reply = msgspec.json.Decoder(Reply).decode
decode_market = msgspec.json.Decoder(MarketRow).decode
decode_rate = msgspec.json.Decoder(RateRow).decode
decode_funding = msgspec.json.Decoder(FundingRow).decode
decode_answer = msgspec.json.Decoder(Answer).decode
decode_placed = msgspec.json.Decoder(Placed).decode
decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_order = msgspec.json.Decoder(OrderRow).decode
decode_fill = msgspec.json.Decoder(FillRow).decode
decode_position = msgspec.json.Decoder(PositionRow).decode
decode_balance = msgspec.json.Decoder(BalanceRow).decode
decode_fee = msgspec.json.Decoder(FeeRow).decode
decode_leverage = msgspec.json.Decoder(LeverageRow).decode
decode_paid = msgspec.json.Decoder(PaidRow).decode
decode_account = msgspec.json.Decoder(AccountRow).decode
decode_account_frame = msgspec.json.Decoder(AccountFrame).decode
decode_account_data = msgspec.json.Decoder(AccountData).decode


def told(raw: msgspec.Raw) -> bool:
    """Whether a field is there and says something."""
    return bytes(raw) not in (b"", NULL)


def call(method: str, call_id: str, **params: object) -> bytes:
    """A request on the stream. The venue wants the id as a string."""
    return msgspec.json.encode({"method": method, "id": call_id, "jsonrpc": "2.0", **params})


def settlement(config: L2Config) -> str:
    """Market.settlement: collateral id and resolution, then the market's own asset."""
    return ":".join(str(part) for part in msgspec.structs.astuple(config))


def number(value: str) -> float:
    """A decimal string as an estimate. Raises WireError unless finite."""
    try:
        result = float(value)
    except ValueError as error:
        raise WireError(f"not a number: {value!r:.60}") from error
    if not isfinite(result):
        raise WireError(f"not a finite number: {value!r:.60}")
    return result


def positive(value: str) -> float | None:
    """A price as an estimate; None for zero, which says nothing. Raises WireError."""
    result = number(value)
    if result < 0:
        raise WireError(f"a negative price: {value!r:.60}")
    return result or None


def rate_per_hour(value: str, rate_max: float) -> float:
    """A funding rate. Raises WireError when no venue could charge it, which means that we misread its unit."""
    rate = number(value)
    if abs(rate) > rate_max:
        raise WireError(f"an impossible funding rate per hour: {value!r:.60}")
    return rate

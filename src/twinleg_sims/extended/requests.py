"""Private request bodies as typed data. Decimals are text on the wire; what is not a number does not get in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from twinleg_sims.extended.facts import ErrorCode
from twinleg_sims.extended.replies import RefusedError


class Signature(msgspec.Struct):
    """Hex numbers."""

    r: str
    s: str


class Settlement(msgspec.Struct, rename="camel"):
    """What makes an order binding: a signature over its amounts, by a key, for a vault."""

    signature: Signature
    stark_key: str
    collateral_position: Decimal


class TriggerBody(msgspec.Struct, rename="camel"):
    """Of a conditional order."""

    trigger_price: Decimal
    trigger_price_type: str
    direction: str
    execution_price_type: str


class LegBody(msgspec.Struct, rename="camel"):
    """A take-profit or a stop-loss, signed by itself."""

    trigger_price: Decimal
    trigger_price_type: str
    price: Decimal
    price_type: str
    settlement: Settlement


class OrderBody(msgspec.Struct, rename="camel"):
    """POST /user/order. `id` is the external id."""

    id: str
    market: str
    type: str
    side: str
    qty: Decimal
    time_in_force: str
    expiry_epoch_millis: int
    fee: Decimal
    nonce: Decimal
    price: Decimal = Decimal(0)
    self_trade_protection_level: str = "ACCOUNT"
    reduce_only: bool = False
    post_only: bool = False
    settlement: Settlement | None = None
    cancel_id: str | None = None
    trigger: TriggerBody | None = None
    tp_sl_type: str | None = None
    take_profit: LegBody | None = None
    stop_loss: LegBody | None = None
    builder_fee: Decimal | None = None
    builder_id: int | None = None
    rfq_start_price: Decimal | None = None


class MassCancelBody(msgspec.Struct, rename="camel"):
    """POST /user/order/massCancel: at least one of these."""

    order_ids: list[int] = []
    external_order_ids: list[str] = []
    markets: list[str] = []
    cancel_all: bool = False


class LeverageBody(msgspec.Struct, rename="camel"):
    """PATCH /user/leverage."""

    market: str
    leverage: Decimal


DIGITS_MAX = 20
"""Of a decimal; prices and sizes have about ten."""

Body = TypeVar("Body", bound=msgspec.Struct)


def parse(payload: bytes, kind: type[Body]) -> Body:
    """A request's body. Raises RefusedError 1133 for what is not one."""
    try:
        body = msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, ErrorCode.BAD_PARAMETERS, f"Invalid parameters: {error}") from error
    if not all(_finite(value) for value in _values(body)):
        raise RefusedError(400, ErrorCode.BAD_PARAMETERS, "Invalid parameters: not a number")
    return body


def _values(body: Any) -> list[Any]:
    flat: list[Any] = []
    for name in body.__struct_fields__:
        value = getattr(body, name)
        flat += _values(value) if isinstance(value, msgspec.Struct) else [value]
    return flat


def _finite(value: object) -> bool:
    """Whether a decimal can be reckoned with exactly."""
    if not isinstance(value, Decimal):
        return True
    return value.is_finite() and len(value.as_tuple().digits) <= DIGITS_MAX and -20 < value.adjusted() < 15

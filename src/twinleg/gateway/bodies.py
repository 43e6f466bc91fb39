"""What callers send, in each venue's own terms. Unknown fields are refused by name; numbers are what they look like.

Lighter's amounts are integers in units of the market's decimals, which differ from market to market; Extended's and
Drift's are human decimals, converted exactly.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, model_validator

from twinleg.core.trading import OUR_IDS_FROM

DECIMAL_CHARS_MAX = 40
PLAIN = re.compile(r"-?\d+(\.\d+)?(e-?\d{1,2})?", re.ASCII)
EXTERNAL_ID = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"


def _plain(value: Any) -> Any:
    """JSON's numbers and decimal texts, nothing else that Decimal would take."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("a decimal number, or its text")  # noqa: TRY004  # pydantic wants a ValueError
    text = repr(value) if isinstance(value, float) else str(value)
    if len(text) > DECIMAL_CHARS_MAX or not PLAIN.fullmatch(text):
        raise ValueError(f"a plain decimal number of at most {DECIMAL_CHARS_MAX} characters")
    return text


Amount = Annotated[Decimal, BeforeValidator(_plain), Field(gt=0, lt=10**18)]
Offset = Annotated[Decimal, BeforeValidator(_plain), Field(gt=-(10**18), lt=10**18)]
CallersIndex = Annotated[StrictInt, Field(ge=1, lt=OUR_IDS_FROM)]
"""Numbers from 2^30 on are the engine's."""
BaseUnits = Annotated[StrictInt, Field(ge=1, lt=2**48)]
PriceUnits = Annotated[StrictInt, Field(ge=1, lt=2**32)]
Slot = Annotated[StrictInt, Field(ge=0, le=254)]


class Body(BaseModel):
    """A request."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LighterOrder(Body):
    """POST /orders/lighter, in the SDK's integer units."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "market_index": 0,
                    "client_order_index": 99,
                    "base_amount": 1000,
                    "is_ask": True,
                    "order_type": "market",
                    "avg_execution_price": 170000,
                    "reduce_only": False,
                }
            ]
        }
    )

    venue: Literal["lighter"] = "lighter"
    market_index: Slot
    client_order_index: CallersIndex
    base_amount: BaseUnits
    is_ask: StrictBool
    order_type: Literal[
        "limit", "market", "stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit", "twap"
    ] = "limit"
    price: PriceUnits | None = Field(default=None, description="of a limit order")
    avg_execution_price: PriceUnits | None = Field(default=None, description="the worst price of a market order")
    reduce_only: StrictBool = False
    time_in_force: Literal["gtc", "ioc", "post_only"] | None = None
    trigger_price: PriceUnits | None = None
    order_expiry_secs: Annotated[StrictInt, Field(ge=1, lt=10**11)] | None = Field(
        default=None, description="unix seconds"
    )
    order_expiry: Annotated[StrictInt, Field(ge=1, lt=10**14)] | None = Field(
        default=None, description="unix milliseconds"
    )
    api_key_index: Slot | None = Field(default=None, description="one of the configured slots")
    nonce: Annotated[StrictInt, Field(ge=0, lt=2**48)] | None = Field(
        default=None, description="must be the next of its slot, by default the first one"
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> LighterOrder:
        if (self.price is None) == (self.avg_execution_price is None):
            raise ValueError("exactly one of price and avg_execution_price is needed")
        if self.order_type == "market" and self.avg_execution_price is None:
            raise ValueError("a market order has avg_execution_price, its worst price")
        if self.order_type == "market" and self.time_in_force not in (None, "ioc"):
            raise ValueError("a market order's time_in_force is ioc")
        if self.order_expiry_secs is not None and self.order_expiry is not None:
            raise ValueError("order_expiry_secs and order_expiry say the same in two units: give one")
        return self

    @property
    def limit(self) -> int:
        """The worst price, in units of the market's decimals."""
        found = self.price if self.price is not None else self.avg_execution_price
        assert found is not None, "validated"
        return found

    @property
    def expiry_ms(self) -> int | None:
        return self.order_expiry if self.order_expiry_secs is None else self.order_expiry_secs * 1_000


class ExtendedOrder(Body):
    """POST /orders/extended, in human units."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"market": "BTC-USD", "side": "buy", "qty": "0.001", "price": "60000", "post_only": True}]
        }
    )

    venue: Literal["extended"] = "extended"
    market: Annotated[str, Field(min_length=1, max_length=40)]
    side: Literal["buy", "sell", "BUY", "SELL"]
    qty: Amount
    price: Amount = Field(description="the limit; of a market order the worst price")
    order_type: Literal["limit", "market"] = "limit"
    post_only: StrictBool = False
    reduce_only: StrictBool = False
    time_in_force: Literal["gtt", "ioc"] | None = Field(
        default=None, description="gtt, of market orders ioc, by default"
    )
    external_id: Annotated[str, Field(pattern=EXTERNAL_ID)] | None = Field(
        default=None, description="made up when absent"
    )
    expiry_epoch_millis: Annotated[StrictInt, Field(ge=1, lt=10**14)] | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> ExtendedOrder:
        if self.order_type == "market" and self.time_in_force == "gtt":
            raise ValueError("a market order's time_in_force is ioc")
        if self.post_only and (self.order_type == "market" or self.time_in_force == "ioc"):
            raise ValueError("a post-only order rests: it is a limit order, gtt")
        return self

    @property
    def ends_at_once(self) -> bool:
        return self.order_type == "market" or self.time_in_force == "ioc"


class DriftOrder(Body):
    """POST /orders/drift, in human units."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "market_type": "perp",
                    "market_index": 0,
                    "direction": "long",
                    "order_type": "limit",
                    "base_amount": 0.25,
                    "price": 175.5,
                    "user_order_id": 42,
                    "post_only": "must",
                    "immediate_or_cancel": False,
                }
            ]
        }
    )

    venue: Literal["drift"] = "drift"
    market_type: Literal["perp", "spot"] = "perp"
    market_index: Annotated[StrictInt, Field(ge=0, le=65_535)]
    direction: Literal["long", "short"]
    order_type: Literal["limit", "market", "trigger_market", "trigger_limit", "oracle"] = "limit"
    base_amount: Amount
    price: Amount | None = None
    user_order_id: Annotated[StrictInt, Field(ge=0, le=255)] = 0
    post_only: Literal["none", "must", "try", "slide"] = "none"
    immediate_or_cancel: StrictBool = False
    reduce_only: StrictBool = False
    trigger_price: Amount | None = None
    trigger_condition: Literal["above", "below", "triggered_above", "triggered_below"] | None = None
    oracle_price_offset: Offset | None = None
    max_ts: Annotated[StrictInt, Field(ge=1, lt=10**11)] | None = None
    auction_duration: Annotated[StrictInt, Field(ge=0, le=255)] | None = None
    auction_start_price: Offset | None = None
    auction_end_price: Offset | None = None


class Cancel(Body):
    """POST /orders/{venue}/cancel: one order, by the caller's own name for it or the venue's."""

    market: Annotated[str, Field(min_length=1, max_length=40, description="as the venue writes it: ETH, BTC-USD")]
    client_id: Annotated[str, Field(pattern=EXTERNAL_ID)] | None = Field(
        default=None, description="Lighter's client_order_index as text, or Extended's external_id"
    )
    order_id: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")] | None = Field(
        default=None, description="the venue's own id"
    )

    @model_validator(mode="after")
    def _one_name(self) -> Cancel:
        if (self.client_id is None) == (self.order_id is None):
            raise ValueError("exactly one of client_id and order_id is needed")
        return self


class CancelAll(Body):
    """POST /orders/{venue}/cancel-all: everything that rests, anybody's, in one market or all."""

    market: Annotated[str, Field(min_length=1, max_length=40)] | None = None


class Modify(Body):
    """POST /orders/{venue}/modify: another size and price for a resting order, in human units."""

    market: Annotated[str, Field(min_length=1, max_length=40)]
    client_id: Annotated[str, Field(pattern=EXTERNAL_ID)]
    size: Amount = Field(description="the whole size, what has filled included")
    price: Amount
    post_only: StrictBool = Field(default=False, description="of the order that takes its place (Extended)")
    new_client_id: Annotated[str, Field(pattern=EXTERNAL_ID)] | None = Field(
        default=None, description="of the order that takes its place (Extended; made up when absent)"
    )


class AnyOrder(Body):
    """POST /orders: one shape for every venue, in human units, which are the market's own (GET /markets)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "venue": "lighter",
                    "market": "ETH",
                    "side": "buy",
                    "size": "0.05",
                    "price": "1500",
                    "client_id": "7",
                    "post_only": True,
                }
            ]
        }
    )

    venue: Literal["lighter", "extended"]
    market: Annotated[str, Field(min_length=1, max_length=40, description="as the venue writes it: ETH, BTC-USD")]
    side: Literal["buy", "sell"]
    size: Amount
    price: Amount = Field(description="the limit; of a market order the worst price")
    order_type: Literal["limit", "market"] = "limit"
    time_in_force: Literal["gtc", "ioc"] | None = Field(
        default=None, description="gtc, of market orders ioc, by default"
    )
    post_only: StrictBool = False
    reduce_only: StrictBool = False
    client_id: Annotated[str, Field(pattern=EXTERNAL_ID)] | None = Field(
        default=None, description="your name for it; at Lighter a number below 2^30, and needed"
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> AnyOrder:
        if self.order_type == "market" and self.time_in_force == "gtc":
            raise ValueError("a market order's time_in_force is ioc")
        if self.post_only and (self.order_type == "market" or self.time_in_force == "ioc"):
            raise ValueError("a post-only order rests: it is a limit order, gtc")
        if self.venue == "lighter" and not (self.client_id or "").isdecimal():
            raise ValueError("client_id is a number at Lighter")
        if self.venue == "lighter" and not 1 <= int(self.client_id or 0) < OUR_IDS_FROM:
            raise ValueError("client_id is a number from 1 to 2^30 - 1 at Lighter")
        return self


class ModifyAny(Modify):
    """PATCH /orders."""

    venue: Literal["lighter", "extended"]

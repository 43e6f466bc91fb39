"""Lighter's signed transactions: their bodies as the official signer writes them, and the hash that is signed.

Each body's fields are hashed in the order given here, after chain id, type, nonce, expiry, account and key; 64-bit
amounts of money as two 32-bit halves. Layout: lighter-sdk 1.1.8's signer, checked against it in the tests.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from twinleg_sims.lighter import goldilocks
from twinleg_sims.lighter.goldilocks import P
from twinleg_sims.lighter.poseidon2 import hashed, hashed_quintic

ATTRIBUTES_MAX = 4
INTEGRATOR, TAKER_FEE, MAKER_FEE, SKIP_NONCE, CANCEL_MARKET, SELF_TRADE, SELF_TRADE_SCOPE, ORDER_VERSION = range(1, 9)
"""What the keys of L2TxAttributes mean."""
ALL_MARKETS = 255
_NONE = {CANCEL_MARKET: ALL_MARKETS}
"""The value that says nothing, where it is not 0."""


class TransactionError(ValueError):
    """A body that is not one of its type."""


class Transaction(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """What every transaction has. `sig` is 80 bytes (base64 on the wire); `expired_at` epoch milliseconds."""

    type: ClassVar[int]

    account_index: int
    api_key_index: int
    expired_at: int
    nonce: int
    sig: bytes
    attributes: dict[int, int] | None = msgspec.field(default=None, name="L2TxAttributes")

    def body(self) -> tuple[int, ...]:
        """The elements that are this type's own."""
        raise NotImplementedError

    def attribute(self, key: int) -> int:
        """Its value; what says nothing when it is not given."""
        return (self.attributes or {}).get(key, _NONE.get(key, 0))


class ChangePubKey(Transaction, frozen=True, kw_only=True):
    """Type 8. `l1_sig` is the wallet's EIP-191 signature of `message`."""

    type = 8
    pub_key: bytes
    l1_sig: str = msgspec.field(name="L1Sig")

    def body(self) -> tuple[int, ...]:
        return goldilocks.from_bytes(self.pub_key)

    @property
    def message(self) -> str:
        """What the wallet signs."""
        return (
            f"Register Lighter Account\n\npubkey: 0x{self.pub_key.hex()}\nnonce: 0x{self.nonce:016x}\n"
            f"account index: 0x{self.account_index:016x}\napi key index: 0x{self.api_key_index:016x}\n"
            "Only sign this message for a trusted client!"
        )


class Transfer(Transaction, frozen=True, kw_only=True):
    """Type 12."""

    type = 12
    account_index: int = msgspec.field(name="FromAccountIndex")
    to_account_index: int
    asset_index: int
    from_route_type: int
    to_route_type: int
    amount: int
    fee: int = msgspec.field(name="USDCFee")
    memo: list[int]
    l1_sig: str = msgspec.field(name="L1Sig", default="")

    def body(self) -> tuple[int, ...]:
        route = (self.to_account_index, self.asset_index, self.from_route_type, self.to_route_type)
        return (*route, *_halves(self.amount), *_halves(self.fee))


class Withdraw(Transaction, frozen=True, kw_only=True):
    """Type 13."""

    type = 13
    account_index: int = msgspec.field(name="FromAccountIndex")
    asset_index: int
    route_type: int
    amount: int

    def body(self) -> tuple[int, ...]:
        return (self.asset_index, self.route_type, *_halves(self.amount))


class OrderBody(msgspec.Struct, rename="pascal", frozen=True, kw_only=True):
    """An order as asked for. Integers on the market's grid; 0 is none for index, trigger and expiry."""

    market_index: int
    client_order_index: int
    base_amount: int
    price: int
    is_ask: int
    type: int
    time_in_force: int
    reduce_only: int
    trigger_price: int
    order_expiry: int


class CreateOrder(Transaction, frozen=True, kw_only=True):
    """Type 14."""

    type = 14
    market_index: int
    client_order_index: int
    base_amount: int
    price: int
    is_ask: int
    order_type: int = msgspec.field(name="Type")
    time_in_force: int
    reduce_only: int
    trigger_price: int
    order_expiry: int

    @property
    def order(self) -> OrderBody:
        return OrderBody(
            market_index=self.market_index, client_order_index=self.client_order_index, base_amount=self.base_amount,
            price=self.price, is_ask=self.is_ask, type=self.order_type, time_in_force=self.time_in_force,
            reduce_only=self.reduce_only, trigger_price=self.trigger_price, order_expiry=self.order_expiry,
        )  # fmt: skip

    def body(self) -> tuple[int, ...]:
        return msgspec.structs.astuple(self.order)


class CancelOrder(Transaction, frozen=True, kw_only=True):
    """Type 15. `index` is an order index or a client order index."""

    type = 15
    market_index: int
    index: int

    def body(self) -> tuple[int, ...]:
        return self.market_index, self.index


class CancelAll(Transaction, frozen=True, kw_only=True):
    """Type 16: now, at a time (epoch milliseconds), or not after all."""

    type = 16
    time_in_force: int
    time: int

    def body(self) -> tuple[int, ...]:
        return self.time_in_force, self.time


class Modify(Transaction, frozen=True, kw_only=True):
    """Type 17."""

    type = 17
    market_index: int
    index: int
    base_amount: int
    price: int
    trigger_price: int

    def body(self) -> tuple[int, ...]:
        return self.market_index, self.index, self.base_amount, self.price, self.trigger_price


class UpdateLeverage(Transaction, frozen=True, kw_only=True):
    """Type 20. The fraction is of 10 000."""

    type = 20
    market_index: int
    initial_margin_fraction: int
    margin_mode: int

    def body(self) -> tuple[int, ...]:
        return self.market_index, self.initial_margin_fraction, self.margin_mode


class CreateGroupedOrders(Transaction, frozen=True, kw_only=True):
    """Type 28: 1 one triggers the other, 2 one cancels the other, 3 both."""

    type = 28
    grouping_type: int
    orders: list[OrderBody]

    def body(self) -> tuple[int, ...]:
        digest: tuple[int, ...] = ()
        for order in self.orders:
            own = hashed(_elements(msgspec.structs.astuple(order)), 4)
            digest = hashed(digest + own, 4) if digest else own
        return (self.grouping_type, *(digest or (0, 0, 0, 0)))


class UpdateMargin(Transaction, frozen=True, kw_only=True):
    """Type 29: isolated margin; direction 1 adds, 0 removes."""

    type = 29
    market_index: int
    usdc_amount: int = msgspec.field(name="USDCAmount")
    direction: int

    def body(self) -> tuple[int, ...]:
        return (self.market_index, *_halves(self.usdc_amount), self.direction)


TYPES: dict[int, type[Transaction]] = {
    kind.type: kind
    for kind in (
        ChangePubKey, Transfer, Withdraw, CreateOrder, CancelOrder, CancelAll, Modify, UpdateLeverage,
        CreateGroupedOrders, UpdateMargin,
    )
}  # fmt: skip


def parsed(tx_type: int, info: bytes) -> Transaction:
    """A transaction of its JSON. Raises TransactionError."""
    kind = TYPES.get(tx_type)
    if kind is None:
        raise TransactionError(f"type {tx_type}")
    try:
        return msgspec.json.decode(info, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TransactionError(str(error)) from error


def tx_hash(chain_id: int, transaction: Transaction) -> goldilocks.Quintic:
    """The message that is signed; its 40 bytes in hex are the venue's `tx_hash`. Raises TransactionError."""
    head = (chain_id, transaction.type, transaction.nonce, transaction.expired_at)
    try:
        body = transaction.body()
    except goldilocks.NotCanonicalError as error:
        raise TransactionError(str(error)) from error
    digest = hashed_quintic(_elements((*head, transaction.account_index, transaction.api_key_index, *body)))
    attributes = transaction.attributes or {}
    given = sorted((key, value) for key, value in attributes.items() if value != _NONE.get(key, 0))
    if not given:
        return digest
    if len(given) > ATTRIBUTES_MAX:
        raise TransactionError("too many attributes")
    pairs = [number for pair in given for number in pair] + [0, 0] * (ATTRIBUTES_MAX - len(given))
    return hashed_quintic(digest + hashed_quintic(_elements(pairs)))


def _halves(amount: int) -> tuple[int, int]:
    return amount & 0xFFFFFFFF, amount >> 32


def _elements(numbers: tuple[int, ...] | list[int]) -> list[int]:
    """Negative numbers are as the signer sees them: 64 bits, unsigned."""
    return [(number & 0xFFFF_FFFF_FFFF_FFFF) % P for number in numbers]

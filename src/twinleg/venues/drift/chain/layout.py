"""The program's accounts, read by offset and struct: only fields that somebody asks for, but a User whole.

Amounts are the chain's integers: bases and reserves 1e9, prices and quote 1e6, funding rates 1e9 (quote per base),
margin ratios and weights 1e4, cumulative interest 1e10. Every reader raises ValueError for what is no such account.
"""

from __future__ import annotations

import hashlib
from struct import Struct
from typing import NamedTuple

import msgspec


def discriminator(space: str, name: str) -> bytes:
    """The eight bytes that an account ("account"), instruction ("global") or event ("event") begins with."""
    return hashlib.sha256(f"{space}:{name}".encode()).digest()[:8]


STATE, PERP_MARKET, SPOT_MARKET, USER, USER_STATS, LAZER = (
    discriminator("account", name)
    for name in ("State", "PerpMarket", "SpotMarket", "User", "UserStats", "PythLazerOracle")
)


class SpotPosition(NamedTuple):
    """A slot of a User. `balance_type` 0 is a deposit, 1 a borrow."""

    scaled_balance: int
    open_bids: int
    open_asks: int
    cumulative_deposits: int
    market_index: int
    balance_type: int
    open_orders: int
    padding: bytes


class PerpPosition(NamedTuple):
    """A slot of a User. `middle` is what only one of the programs has."""

    last_cumulative_funding_rate: int
    base_asset_amount: int
    quote_asset_amount: int
    quote_break_even_amount: int
    quote_entry_amount: int
    open_bids: int
    open_asks: int
    settled_pnl: int
    middle: tuple[int | bytes, ...]
    max_margin_ratio: int
    market_index: int
    open_orders: int
    last_byte: int


class Order(NamedTuple):
    """A slot of a User, empty unless `status` is OPEN."""

    slot: int
    price: int
    base_asset_amount: int
    base_asset_amount_filled: int
    quote_asset_amount_filled: int
    trigger_price: int
    auction_start_price: int
    auction_end_price: int
    max_ts: int
    oracle_price_offset: int
    order_id: int
    market_index: int
    status: int
    order_type: int
    market_type: int
    user_order_id: int
    existing_direction: int
    direction: int
    reduce_only: int
    post_only: int
    immediate_or_cancel: int
    trigger_condition: int
    auction_duration: int
    posted_slot_tail: int
    bit_flags: int
    padding: bytes


ORDER_OPEN = 1
SPOT, PERP = 0, 1
LONG, SHORT = 0, 1
BORROW = 1
"""Of a spot position's balance_type."""


class User(NamedTuple):
    """A sub-account with all its slots, used or not. `tail` is what the layout's tail struct says."""

    authority: bytes
    delegate: bytes
    name: bytes
    spot_positions: tuple[SpotPosition, ...]
    perp_positions: tuple[PerpPosition, ...]
    orders: tuple[Order, ...]
    tail: tuple[int | bytes, ...]

    def open_orders(self) -> list[Order]:
        return [order for order in self.orders if order.status == ORDER_OPEN]

    def positions(self) -> list[PerpPosition]:
        """The perp slots in use: a position, a pending settlement or open orders."""
        return [
            slot for slot in self.perp_positions
            if slot.base_asset_amount or slot.quote_asset_amount or slot.open_orders
        ]  # fmt: skip

    def balances(self) -> list[SpotPosition]:
        """The spot slots in use."""
        return [slot for slot in self.spot_positions if slot.scaled_balance or slot.open_orders]


class PerpMarket(NamedTuple):
    """What we ask of a perp market."""

    pubkey: bytes
    oracle: bytes
    oracle_source: int
    name: str
    market_index: int
    status: int
    contract_type: int
    contract_tier: int
    paused: int
    quote_spot_index: int
    fee_adjustment: int
    taker_addon_tenth_bps: int
    step: int
    tick: int
    min_order: int
    margin_initial: int
    margin_maintenance: int
    base_long: int
    base_short: int
    last_funding_rate: int
    last_funding_rate_long: int
    last_funding_rate_short: int
    last_funding_rate_ts: int
    oracle_price: int
    oracle_twap: int
    bid_twap: int
    ask_twap: int
    funding_clamp_bps: int
    funding_slope: int


class SpotMarket(NamedTuple):
    """What we ask of a spot market."""

    pubkey: bytes
    oracle: bytes
    mint: bytes
    vault: bytes
    name: str
    market_index: int
    oracle_source: int
    decimals: int
    oracle_price: int
    deposit_interest: int
    borrow_interest: int
    asset_weight_initial: int
    asset_weight_maintenance: int
    liability_weight_initial: int
    liability_weight_maintenance: int


class Fees(NamedTuple):
    """The lowest tier of perp fees in basis points, a rebate below zero, and what a keeper's cancel costs (1e6)."""

    taker_bps: float
    maker_bps: float
    keeper_micro_usd: int


class OraclePrice(NamedTuple):
    """A Lazer oracle account: price and confidence at 1e6."""

    price: int
    confidence: int
    published_us: int
    posted_slot: int


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where the fields lie: sizes are whole accounts with their discriminator, offsets count from its first byte."""

    state_size: int
    fee_tiers_at: int
    perp_market_size: int
    spot_market_size: int
    user_size: int
    perp_position: Struct
    order: Struct
    user_tail: Struct
    next_order_id_in_tail: int
    """Its place in the tail's fields; `max_margin_ratio` comes next."""
    perp_at: dict[str, tuple[int, str]]
    """Field of PerpMarket -> (offset, struct code); "32s" is an address, "name" a name; absent fields are 0."""
    spot_at: dict[str, tuple[int, str]]


ADDRESS, NAME = "32s", "name"
SPOT_POSITION = Struct("<QqqqHBB4s")
USER_HEAD = Struct("<8s32s32s32s")
SPOT_SLOTS, PERP_SLOTS, ORDER_SLOTS = 8, 8, 32

DRIFT_V2 = Layout(
    state_size=992,
    fee_tiers_at=168,
    perp_market_size=1216,
    spot_market_size=776,
    user_size=4376,
    perp_position=Struct("<qqqqqqqqQqq2sHHBb"),
    order=Struct("<QQQQQQqqqiIHBBBBBBBBBBBBB1s"),
    user_tail=Struct("<qQQQqqqQQIIHHBBBBBBBBB3sI12s"),
    next_order_id_in_tail=9,
    perp_at={
        "pubkey": (8, ADDRESS), "oracle": (40, ADDRESS), "oracle_price": (72, "q"), "oracle_twap": (96, "q"),
        "base_long": (304, "q"), "base_short": (320, "q"), "last_funding_rate": (480, "q"),
        "last_funding_rate_long": (488, "q"), "last_funding_rate_short": (496, "q"), "bid_twap": (736, "Q"),
        "ask_twap": (744, "Q"), "last_funding_rate_ts": (792, "q"), "step": (808, "Q"), "tick": (816, "Q"),
        "min_order": (824, "Q"), "oracle_source": (926, "B"), "name": (1000, NAME), "margin_initial": (1136, "I"),
        "margin_maintenance": (1140, "I"), "market_index": (1160, "H"), "status": (1162, "B"),
        "contract_type": (1163, "B"), "contract_tier": (1164, "B"), "paused": (1165, "B"),
        "quote_spot_index": (1166, "H"),
        "fee_adjustment": (1168, "h"),
    },
    spot_at={
        "pubkey": (8, ADDRESS), "oracle": (40, ADDRESS), "mint": (72, ADDRESS), "vault": (104, ADDRESS),
        "name": (136, NAME), "oracle_price": (168, "q"), "deposit_interest": (464, "Q"), "borrow_interest": (480, "Q"),
        "asset_weight_initial": (640, "I"), "asset_weight_maintenance": (644, "I"),
        "liability_weight_initial": (648, "I"), "liability_weight_maintenance": (652, "I"), "decimals": (680, "I"),
        "market_index": (684, "H"), "oracle_source": (687, "B"),
    },
)  # fmt: skip
"""driftpy 0.8.89's IDL; checked against 43 recorded mainnet accounts."""

VELOCITY = Layout(
    state_size=1752,
    fee_tiers_at=552,
    perp_market_size=1304,
    spot_market_size=808,
    user_size=4496,
    perp_position=Struct("<qqqqqqqqQ2sHHBb"),
    order=Struct("<QQQQQQqqqqIHBBBBBBBBBBBBB5s"),
    user_tail=Struct("<QQQqqqQQIIHHBBBBB23s"),
    next_order_id_in_tail=8,
    perp_at={
        "pubkey": (8, ADDRESS), "base_long": (40, "q"), "base_short": (56, "q"), "oracle": (312, ADDRESS),
        "taker_addon_tenth_bps": (412, "H"), "name": (424, NAME), "last_funding_rate": (496, "q"),
        "last_funding_rate_long": (504, "q"), "last_funding_rate_short": (512, "q"),
        "last_funding_rate_ts": (520, "q"), "funding_clamp_bps": (536, "I"), "funding_slope": (540, "I"),
        "step": (544, "Q"), "tick": (552, "Q"), "margin_initial": (616, "I"), "margin_maintenance": (620, "I"),
        "market_index": (640, "H"), "status": (642, "B"), "contract_type": (643, "B"), "contract_tier": (644, "B"),
        "paused": (645, "B"),
        "quote_spot_index": (646, "H"), "fee_adjustment": (648, "h"), "oracle_source": (673, "B"),
        "bid_twap": (704, "Q"), "ask_twap": (712, "Q"), "min_order": (792, "Q"), "oracle_price": (848, "q"),
        "oracle_twap": (872, "q"),
    },
    spot_at={
        "pubkey": (8, ADDRESS), "oracle": (40, ADDRESS), "mint": (72, ADDRESS), "vault": (104, ADDRESS),
        "name": (136, NAME), "deposit_interest": (328, "Q"), "borrow_interest": (344, "Q"),
        "oracle_price": (456, "q"), "asset_weight_initial": (656, "I"), "asset_weight_maintenance": (660, "I"),
        "liability_weight_initial": (664, "I"), "liability_weight_maintenance": (668, "I"), "decimals": (696, "I"),
        "market_index": (700, "H"), "oracle_source": (703, "B"),
    },
)  # fmt: skip
"""The relaunch's IDL; offsets found in its real accounts of August 2026 (State, one of each market)."""


def read_user(layout: Layout, data: bytes) -> User:
    """A User account, all of it: `write_user` gives the same bytes."""
    _check("User", data, USER, layout.user_size)
    _, authority, delegate, name = USER_HEAD.unpack_from(data)
    perp_at = USER_HEAD.size + SPOT_SLOTS * SPOT_POSITION.size
    orders_at = perp_at + PERP_SLOTS * layout.perp_position.size
    tail_at = orders_at + ORDER_SLOTS * layout.order.size
    perps = layout.perp_position.iter_unpack(data[perp_at:orders_at])
    return User(
        authority,
        delegate,
        name,
        tuple(map(SpotPosition._make, SPOT_POSITION.iter_unpack(data[USER_HEAD.size : perp_at]))),
        tuple(PerpPosition._make((*row[:8], row[8:-4], *row[-4:])) for row in perps),
        tuple(map(Order._make, layout.order.iter_unpack(data[orders_at:tail_at]))),
        layout.user_tail.unpack_from(data, tail_at),
    )


def write_user(layout: Layout, user: User) -> bytes:
    """The account's bytes."""
    parts = [USER_HEAD.pack(USER, user.authority, user.delegate, user.name)]
    parts += [SPOT_POSITION.pack(*slot) for slot in user.spot_positions]
    parts += [layout.perp_position.pack(*slot[:8], *slot.middle, *slot[9:]) for slot in user.perp_positions]
    parts += [layout.order.pack(*order) for order in user.orders]
    return b"".join([*parts, layout.user_tail.pack(*user.tail)])


def read_perp_market(layout: Layout, data: bytes) -> PerpMarket:
    _check("PerpMarket", data, PERP_MARKET, layout.perp_market_size)
    return PerpMarket(*(_field(data, layout.perp_at.get(name)) for name in PerpMarket._fields))  # type: ignore[arg-type]


def read_spot_market(layout: Layout, data: bytes) -> SpotMarket:
    _check("SpotMarket", data, SPOT_MARKET, layout.spot_market_size)
    return SpotMarket(*(_field(data, layout.spot_at.get(name)) for name in SpotMarket._fields))  # type: ignore[arg-type]


def read_fees(layout: Layout, data: bytes) -> Fees:
    """The State's first tier of perp fees."""
    _check("State", data, STATE, layout.state_size)
    fee, of, rebate, rebate_of = Struct("<IIII").unpack_from(data, layout.fee_tiers_at)
    if not of or not rebate_of:
        raise ValueError("State without a fee tier")
    (keeper,) = Struct("<Q").unpack_from(data, layout.fee_tiers_at + 352)
    return Fees(10_000 * fee / of, -10_000 * rebate / rebate_of, keeper)


def read_stats_authority(data: bytes) -> bytes:
    """Whose UserStats these are."""
    _check("UserStats", data, USER_STATS, 240)
    return data[8:40]


def read_oracle(data: bytes) -> OraclePrice:
    """A Lazer oracle; its exponent is brought to 1e6."""
    _check("PythLazerOracle", data, LAZER, 48)
    price, published_us, slot, exponent, _, confidence = Struct("<qQQi4sQ").unpack_from(data, 8)
    if not -18 <= exponent <= 0:
        raise ValueError(f"an oracle price times 10^{exponent}")
    scale = 10**-exponent
    return OraclePrice(price * 10**6 // scale, confidence * 10**6 // scale, published_us, slot)


def _field(data: bytes, place: tuple[int, str] | None) -> object:
    if place is None:
        return 0
    at, code = place
    if code == NAME:
        return data[at : at + 32].decode("ascii", errors="replace").rstrip(" \0")
    if code == ADDRESS:
        return data[at : at + 32]
    return Struct(f"<{code}").unpack_from(data, at)[0]


def _check(what: str, data: bytes, begins: bytes, size: int) -> None:
    if len(data) != size or data[:8] != begins:
        raise ValueError(f"no {what} of {size} bytes: {len(data)} bytes that begin with {data[:8].hex()}")

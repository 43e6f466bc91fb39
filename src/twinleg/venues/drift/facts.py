"""What Drift and its relaunch, Velocity, are known by, each fact with its source and date.

A Profile is all that tells one program from the other; no other room asks for a profile's name.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from twinleg.core.messages import MarketStatus
from twinleg.core.trading import TradingCapabilities
from twinleg.core.venue import Capabilities, Limits
from twinleg.venues.drift.chain import layout
from twinleg.venues.drift.chain.instructions import Dialect
from twinleg.venues.drift.chain.keys import address
from twinleg.venues.drift.chain.layout import Layout

NAME = "drift"
HOUR_MS = 3_600_000

BASE_DECIMALS, PRICE_DECIMALS, FUNDING_DECIMALS = 9, 6, 9
MARGIN_UNIT = 10_000
"""Ratios and weights are integers of 1/10,000."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One program, its servers and its rules."""

    name: str
    program_id: bytes
    state_seed: bytes
    quote_symbol: str
    quote_mint: bytes
    tables: dict[str, tuple[bytes, ...]]
    """Address lookup tables by cluster ("mainnet", "devnet")."""
    dlob_url: dict[str, str]
    data_url: str | None
    """Where funding history can be read; None where nobody serves it any more."""
    swift_url: str
    layout: Layout
    dialect: Dialect
    statuses: dict[int, MarketStatus]
    funding_offset_divisor: int
    """The premium that longs pay on top: the oracle's price divided by this, a day."""
    spot_trading: bool
    resting_orders: Literal["user_account", "clob"]
    frozen_on: tuple[str, ...]
    """Clusters on which the program refuses every instruction."""


DRIFT_V2 = Profile(
    name="drift-v2",
    program_id=address("dRiftyHA39MWEi3m9aunc5MzRF1JYuBsbn6VPcn33UH"),
    state_seed=b"drift_state",
    quote_symbol="USDC",
    quote_mint=address("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
    tables={
        "mainnet": (
            address("Fpys8GRa5RBWfyeN7AaDUwFGD1zkDCA4z3t4CJLV8dfL"),
            address("EiWSskK5HXnBTptiS5DH6gpAJRVNQ3cAhTKBGaiaysAb"),
        ),
        "devnet": (address("FaMS3U4uBojvGn5FSDEPimddcXsCfwkKsFgMVVnDdxGb"),),
    },
    dlob_url={"mainnet": "https://dlob.drift.trade", "devnet": "https://master.dlob.drift.trade"},
    data_url=None,  # data.api.drift.trade had days as files up to 2026-03-31, and no longer resolves (September 2026)
    swift_url="https://swift.drift.trade",
    layout=layout.DRIFT_V2,
    dialect=Dialect("i", b""),
    statuses={
        0: MarketStatus.CLOSED,  # initialized
        1: MarketStatus.OPEN,
        **dict.fromkeys((2, 3, 4, 5), MarketStatus.CLOSED),  # funding, AMM, fill, withdraw paused: no longer used
        6: MarketStatus.REDUCE_ONLY,
        7: MarketStatus.CLOSED,  # settlement
        8: MarketStatus.CLOSED,  # delisted
    },
    funding_offset_divisor=5_000,
    spot_trading=True,
    resting_orders="user_account",
    frozen_on=("mainnet",),  # v2.162.0 of 2026-04-01 has every instruction commented out
)
"""driftpy 0.8.89 (February 2026): addresses, seeds, layouts. Its program on mainnet can only be read since April."""

VELOCITY = Profile(
    name="velocity",
    program_id=address("vELoC1audYbSYVRXn1vPaV8Axoa9oU6BYmNGZZBDZ1P"),
    state_seed=b"velocity_state",
    quote_symbol="USDT",
    quote_mint=address("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"),
    tables={},  # its own tables are not published
    dlob_url={"mainnet": "https://dlob.velocity.exchange", "devnet": "https://dlob.master.velocity.exchange"},
    data_url="https://data.velocity.exchange",
    swift_url="https://swift.velocity.exchange",
    layout=layout.VELOCITY,
    dialect=Dialect("q", b"\0\0"),
    statuses={
        0: MarketStatus.CLOSED,
        1: MarketStatus.OPEN,
        2: MarketStatus.REDUCE_ONLY,
        3: MarketStatus.CLOSED,
        4: MarketStatus.CLOSED,
    },
    funding_offset_divisor=3_333,
    spot_trading=False,
    resting_orders="user_account",
    frozen_on=(),
)
"""The program of August 2026: accounts and answers recorded, hosts used by three public clients (September 2026)."""

PROFILES = {profile.name: profile for profile in (DRIFT_V2, VELOCITY)}

CONTRACT_PERPETUAL = 0
ORACLE_PRELAUNCH = 6
PAUSED_FILL = 1 << 2
"""Of a market's paused operations: orders rest, and nothing fills them."""

FUNDING_CLAMP_DIVISORS = (33, 33, 20)
FUNDING_CLAMP_DIVISOR_LAST = 10
"""The hourly rate is at most 1/24 of the oracle price over this, by contract tier A, B, C, then the rest."""
RATE_PER_HOUR_MAX = 0.0045
"""Just above the clamp of the lowest tiers (1/240 an hour): a rate in another of its many units is far beyond it."""
FUNDING_INTERVAL_MS = HOUR_MS
HISTORY_ROWS_MAX = 750
"""Rows per page, newest first, of at most 31 days (data API, September 2026)."""

TAKER_DELAY_MS = 3_000
"""From intent to fill 2-4 s (documentation, 2026): landing, then an auction that keepers compete for."""

BOOKS_PER_CONNECTION = 40
"""Our choice: the server drops what it cannot deliver beyond 300 kB, and closes."""
BOOK_SILENT_MS = 10_000
"""A book is sent anew every 0.4 s whether it changed or not; there is no other sign of life per market."""
SLOT_STUCK_MS = 5_000
"""Our choice: messages that show the same slot for so long come from a server that no longer follows the chain."""
SLOTS_AHEAD_MAX = 100_000
"""Our choice: a slot so far ahead of the last is no slot."""
STATS_EVERY_MS = 1_000
"""Our choice: prices that did not change are told again so often."""
ANSWER_MS_MAX = 10_000
FEED_MESSAGES_PER_MINUTE = 540
UNANSWERED_MAX = 24
"""Our choice: topics in flight over all feeds; asking again for one takes two messages."""
TRADES_SEEN_MAX = 512
"""Our choice: trades remembered per market, so that a replayed one is told once."""

CAPABILITIES = Capabilities(
    deltas=False,
    sequence=False,
    sequence_per_connection=False,
    crossed_books_normal=True,
    trades=True,
    funding_history=False,
)

LIMITS = Limits(
    requests_per_minute=300,  # our choice: providers differ, the free ones allow 600
    stream_messages_per_minute=600,  # our choice: none is published
    connects_per_minute=30,  # our choice
    messages_in_flight=50,  # our choice
    frame_bytes_max=8 * 1024 * 1024,
    inflated_bytes_max=8 * 1024 * 1024,
    silence_ms_max=15_000,  # a heartbeat comes every 5 s
)

CLOCK_ADDRESS = address("SysvarC1ock11111111111111111111111111111111")
CLOCK_BYTES = 40

# Trading. Codes and rules: driftpy 0.8.89's IDL and the two programs' recorded answers, unless a source is named.

ALLOW_FROZEN, PROFILE = "TWINLEG_DRIFT_ALLOW_FROZEN", "TWINLEG_DRIFT_PROFILE"

AUCTION_MS = 2_000
"""Our choice: how long a taker's price moves from the decision's to the limit."""
AUCTION_SLOTS_MIN, AUCTION_SLOTS_MAX = 5, 180
"""The program clamps to 180; a shorter one than it computes itself is raised."""
ORDER_LIFE_MS_MIN = 5_000
"""Our choice: `max_ts` is in whole seconds of a clock that is seconds off; what is past is skipped without a word."""
CLOCK_SKEW_MS_MAX = 30_000
"""Our choice: how far the chain's clock may be behind ours when it judges max_ts."""

BLOCKHASH_SLOTS = 150
"""A transaction is taken for so many blocks after its blockhash (Solana)."""
BLOCKHASH_MS_MAX = 20_000
"""Our choice: an older one is not signed with; at 200 ms a slot it still has a third of its life before it."""
LINGERS_MS = 150_000
"""Our choice: no node passes on a transaction for longer than its blockhash can live (150 slots of up to 1 s)."""

ORDERS_MAX = 32
"""Open orders of a sub-account."""
SLOT_SILENT_MS = 10_000
"""Our choice: a slot comes every 0.2-0.4 s; a node that tells none for so long tells nothing."""
VANISHED_MS = 3_000
"""Our choice: how long an order's end may be told after the account shows it gone."""
FILLS_SEEN_MAX = 8_192
"""Our choice: fills remembered, so that each is told once."""

FATE_BACK_MS = 300_000
"""Our choice: how far before an order's end its transaction is looked for."""
FATE_BACK_UNKNOWN_MS = 24 * HOUR_MS
"""Our choice: the same for an order from before a restart, whose end nobody remembers."""

FUNDING_BACK_MS = 3 * HOUR_MS
"""Our choice: how far back funding is read; every transaction of the account since then is."""

SIGNATURES_PER_READ = 200
"""Our choice, of at most 1,000 (getSignaturesForAddress)."""
TRANSACTIONS_PER_READ = 40
"""Our choice: transactions asked for in one batch."""

COMPUTE_UNITS, COMPUTE_UNITS_TAKING = 200_000, 400_000
"""Measured use: 5-75 thousand to place or cancel, up to 140 thousand to fill."""
PRIORITY_MICRO_LAMPORTS = 10_000
"""Our choice, 2,000 lamports an order; none at all is not viable on mainnet."""

RETRY_AFTER_S = 5.0

PREFLIGHT_FAILED = -32002
RPC_REFUSALS = frozenset({PREFLIGHT_FAILED, -32003, -32013, -32600, -32601, -32602, -32700})
"""The node did not take the transaction: its simulation failed, a signature or the request is wrong (agave's codes)."""
CUSTOM_ERROR = re.compile(r'"Custom"\s*:\s*(\d{1,6})')
INSTRUCTION_FALLBACK_NOT_FOUND = 101
PROGRAM_ERRORS = {
    101: "unknown instruction: the program is disabled, or another one",
    102: "instruction cannot be read: another version of the program",
    6003: "insufficient collateral",
    6010: "no position",
    6023: "price bands breached",
    6024: "exchange paused",
    6035: "invalid oracle",
    6042: "invalid order",
    6043: "max_ts",
    6050: "immediate-or-cancel is not legal here",
    6051: "post-only would cross",
    6057: "post-only would cross the AMM",
    6059: "order is too small",
    6060: "too many open orders",
    6062: "no such order",
    6064: "reduce-only would increase",
    6071: "user_order_id is in use",
    6109: "order breaches the oracle's price limits",
    6117: "the account is being liquidated",
    6125: "the account is bankrupt",
    6146: "market paused",
    6212: "spot orders are disabled",
    6252: "impossible fill",
    6254: "the account may only reduce",
    6350: "spot orders are disabled",
    6358: "equity is below the account's floor",
}

TRADING = TradingCapabilities(
    sequenced=False,
    post_only=True,
    modify=True,
    cancel_all=True,
    cancel_all_in_market=True,
    dead_man_switch=False,
    leverage=False,
    expiry_ms_max=ORDER_LIFE_MS_MIN + CLOCK_SKEW_MS_MAX + 1_000,
)

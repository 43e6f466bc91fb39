"""What Lighter's public side is known to do: cadences, limits, numbering.

Sources: the official OpenAPI and documentation (mid 2026), lighter-sdk 1.1.8, mainnet frames recorded from 2025-11 to
2026-06.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from twinleg_sims.listings import Listing

BOOK_INTERVAL_MS = 50
"""Book updates are batched for about this long (documentation, not re-verified)."""
STATS_INTERVAL_MS = 500
CANDLE_INTERVAL_MS = 500
SERVER_PING_INTERVAL_MS = 60_000
TRADES_REPLAYED = 50
SUBSCRIPTIONS_MAX = 500
CONNECTIONS_PER_PEER_MAX = 200
ROWS_MAX = 500
"""Of candles and fundings per call."""

BLOCK_MS = 168
BLOCK_KNOWN = (227_535_532, 1_777_941_383_576)
"""A recorded block height and its time; blocks came every 168 ms then."""

FIRST_ASK_INDEX, FIRST_BID_INDEX = 1 << 48, 1 << 49
"""Order indexes of asks grow from 2^48, those of bids fall from 2^49."""
MARKETS_MAX = 4096
FIRST_OUTSIDE_ORDER = 1 << 30
"""Outside users' orders are numbered by account engine, not by book, from here on: a modified order keeps its index."""
WORLD_ACCOUNTS = 700_000
"""An account's index is this and its owner number."""
INSURANCE_ACCOUNT = 281_474_976_710_655
GENESIS_MS = 1_737_072_000_000
"""2025-01-17."""
CONTRACT = "0x3B4D794a66304F130a4Db8F2551B0070dfCf5ca7"
QUOTE_DECIMALS = 6

RESOLUTIONS_MS = {
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "1w": 604_800_000,
}

CANCEL_TYPE = 15
CREATE_TYPES = (14, 17, 28)
"""Transactions that wait for the taker's delay, as far as anybody knows before they arrive."""

DEFAULT_WEIGHT = 300
WEIGHTS = {
    **dict.fromkeys(("sendTx", "sendTxBatch", "nextNonce"), 6),
    "accountInactiveOrders": 100,
    "apikeys": 150,
    "transferFeeInfo": 500,
    **dict.fromkeys(("trades", "recentTrades"), 600),
    **dict.fromkeys(("changeAccountTier", "tokens", "tokens/revoke"), 3_000),
    "tokens/create": 23_000,
}
"""Premium and above; a standard account's requests all weigh 1."""

INVALID_PARAM = 20001
TOO_MANY_REQUESTS = 23000
TOO_MANY_SUBSCRIPTIONS = 23001
NOT_FOUND = 29404
INVALID_JSON, INVALID_TYPE = 30000, 30001
NOT_SUBSCRIBED, ALREADY_SUBSCRIBED = 30002, 30003
INVALID_CHANNEL = 30005
TOO_MANY_MESSAGES, TOO_MANY_IN_FLIGHT = 30009, 30010


@dataclass(frozen=True, slots=True)
class Limits:
    """A client's budgets, per minute and address. The defaults are the standard tier, a client without keys'."""

    requests: float = 60
    weighted: bool = False
    messages: float = 200
    connects: float = 80
    in_flight: int = 50
    tier_scale: float = 1.0
    """Multiplies what the tiers of accounts allow."""
    silence_ms: float = 120_000
    """A client that sends nothing at all for this long is cut off."""

    def scaled(self, speed: float) -> Limits:
        """The same budgets per real minute when virtual time runs `speed` times faster."""
        return replace(
            self,
            requests=self.requests * speed,
            messages=self.messages * speed,
            connects=self.connects * speed,
            tier_scale=self.tier_scale * speed,
            silence_ms=self.silence_ms * speed,
        )


STANDARD = Limits()
NO_LIMITS = Limits(
    requests=float("inf"), messages=float("inf"), connects=float("inf"), in_flight=10_000, tier_scale=float("inf")
)
PREMIUM = Limits(requests=24_000, weighted=True)


def height(now_ms: int) -> int:
    """The block height at a time."""
    known, at_ms = BLOCK_KNOWN
    return known + (now_ms - at_ms) // BLOCK_MS


def default_initial_fraction(listing: Listing) -> int:
    """Of 10 000: what a position needs while nobody set its leverage."""
    return max(500, 10_000 // listing.max_leverage)


def maintenance_fraction(listing: Listing) -> int:
    """Of 10 000: below this a position is liquidated."""
    return 6_000 // listing.max_leverage


def order_index(is_ask: bool, order_id: int, market_id: int) -> int:
    """An engine's order number as the venue's order index, unique over all markets."""
    number = order_id * MARKETS_MAX + market_id
    return FIRST_ASK_INDEX + number if is_ask else FIRST_BID_INDEX - number


def own_index(is_ask: bool, own_order: int, market_id: int) -> int:
    """An outside order's number as the venue's order index."""
    return order_index(is_ask, FIRST_OUTSIDE_ORDER + own_order, market_id)


def own_order(index: int) -> int | None:
    """The outside order an order index means; None when it is none of theirs."""
    number = index - FIRST_ASK_INDEX if index < FIRST_ASK_INDEX + (FIRST_BID_INDEX >> 2) else FIRST_BID_INDEX - index
    own = number // MARKETS_MAX - FIRST_OUTSIDE_ORDER
    return own if own > 0 else None


def trade_id(sequence: int, market_id: int) -> int:
    """An engine's trade number as the venue's trade id, unique over all markets and growing within one."""
    return sequence * MARKETS_MAX + market_id

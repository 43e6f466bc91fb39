"""What Lighter publishes about itself, each fact with its source and date."""

from __future__ import annotations

from twinleg.core.trading import TradingCapabilities
from twinleg.core.venue import Capabilities, Limits

NAME = "lighter"
HOUR_MS = 3_600_000

QUOTE = "USDC"
"""All perpetuals are margined and quoted in USDC (API documentation, mid-2026)."""

TAKER_DELAY_MS = 300
"""Standard tier: a taker order waits 300 ms before matching (fee page, mid-2026; premium tiers wait 140-200 ms)."""

FUNDING_INTERVAL_MS = HOUR_MS
"""Funding is charged every hour on the hour (API documentation, mid-2026)."""

MARGIN_FRACTION_UNIT = 10_000
"""Margin fractions are integers of 1/10,000: 500 is 5 % (recorded orderBookDetails, November 2025)."""

RATE_PER_HOUR_MAX = 0.05
"""Ten times the cap of 4 % per 8 hours (`funding_clamp_big` in recorded market_stats, June 2026): more is no rate."""

HISTORY_HOURS_MAX = 500
"""Rows per call: stated for candles (API documentation, mid-2026), assumed for fundings, which share their query."""

BOOKS_PER_CONNECTION = 50
"""Our choice: 50 books and 50 trade topics, far below the 500 subscriptions allowed per connection."""

CLIENT_MESSAGES_PER_MINUTE = 200
"""Per IP over all connections, transactions excluded (API documentation, mid-2026)."""

FEED_MESSAGES_PER_MINUTE = 180
"""What our feeds share among themselves; the rest is left to private streams."""

UNANSWERED_MAX = 35
"""Subscribes in flight over all feeds. The limit is 50 per IP (API documentation); NautilusTrader stays at 35."""

ANSWER_MS_MAX = 10_000
"""Our choice: a subscribe without a snapshot for this long is asked again."""

PING_MS = 30_000
"""A client must send something at least every 2 minutes (API documentation); the pong also tells life from silence."""

CONNECTED_MS_MAX = 10_000
"""Our choice: how long to wait for the venue's `connected` frame."""

SHUTDOWN_MS_MAX = 60_000
"""Our choice: a planned restart announced for later than this is taken as due by then."""

PUSHED_BACK_MS = 10_000
"""Our choice: how long to ask for nothing after the venue said that we ask too much."""

CAPABILITIES = Capabilities(
    deltas=True,
    sequence=True,
    sequence_per_connection=False,
    crossed_books_normal=False,
    trades=True,
    funding_history=True,
)

LIMITS = Limits(
    requests_per_minute=60,  # standard tier, unweighted, per IP (API documentation, mid-2026)
    stream_messages_per_minute=CLIENT_MESSAGES_PER_MINUTE,
    connects_per_minute=80,  # the lowest of the figures published (80, later 255)
    messages_in_flight=50,
    frame_bytes_max=16 * 1024 * 1024,  # snapshots exceed 1 MiB
    inflated_bytes_max=32 * 1024 * 1024,
    silence_ms_max=75_000,  # two pings and some
)

# Trading. Codes and ranges: lighter-sdk 1.1.8 and API documentation, mid-2026.

CHAIN_MAINNET, CHAIN_TESTNET = 304, 300
"""Mixed into every hash (lighter-sdk 1.1.8, SignerClient)."""

TX_CREATE_ORDER, TX_CANCEL_ORDER, TX_CANCEL_ALL, TX_MODIFY_ORDER, TX_UPDATE_LEVERAGE = 14, 15, 16, 17, 20
TX_CHANGE_KEY, TX_DELEVERAGE, TX_EXIT_POSITION, TX_LIQUIDATE = 8, 23, 24, 26
TX_FAILED, TX_PENDING, TX_EXECUTED, TX_PENDING_FINAL = range(4)
"""Statuses of a transaction. Pending ones wait for the sequencer; failed ones it refused, and their nonce is used."""
CROSS_MARGIN = 0
LIMIT, MARKET, STOP_LOSS, STOP_LOSS_LIMIT, TAKE_PROFIT, TAKE_PROFIT_LIMIT, TWAP = range(7)
IMMEDIATE_OR_CANCEL, GOOD_TILL_TIME, POST_ONLY = range(3)
CANCEL_ALL_NOW, CANCEL_ALL_SCHEDULED, CANCEL_ALL_ABORT = range(3)
ATTRIBUTE_CANCEL_ALL_MARKET = "5"

NO_MARKET = 255
"""Also "all markets" in queries. Perpetuals have 0 to 254, spot markets 2048 to 4094."""
MARKET_MAX = 254
SLOT_MAX = 254
NONCE_MAX = 2**48 - 1
BASE_AMOUNT_MAX = 2**48 - 1
PRICE_MAX = 2**32 - 1
"""The library takes prices as 32 bits and lets greater ones wrap."""
CLIENT_ORDER_INDEX_MAX = 2**31 - 1
"""NautilusTrader saw greater ones refused (21727), although the signer takes up to 2^48 - 1."""

ORDER_EXPIRY_MS_MIN, ORDER_EXPIRY_MS_MAX = 5 * 60_000, 30 * 24 * HOUR_MS
"""How far ahead a resting order's end must and may lie; checked by the venue only."""
ORDER_LIFE_MS = 10 * 60_000
"""Our choice: a resting order ends by itself this long after it was signed, or at its deadline if that is later."""
SCHEDULE_MS_MIN, SCHEDULE_MS_MAX = 5 * 60_000, 15 * 24 * HOUR_MS
"""How far ahead a scheduled cancel-all must and may lie."""

TRANSACTION_LIFE_MS = 599_000
"""The signer lets a transaction expire so long after it was signed (lighter-sdk 1.1.8)."""
CLOCK_SKEW_MS_MAX = 5_000
"""Our choice: how far the venue's clock may be behind ours when it judges a transaction's expiry."""

TOKEN_LIFE_MS, TOKEN_RENEW_MS = 7 * HOUR_MS, 6 * HOUR_MS
"""A token is good for at most 8 hours, and a deadline further off is refused: one hour for clocks that differ."""

FEE_TICKS_PER_ONE = 1_000_000
"""Fees of accounts and trades are integers of 1e-6 (recorded trades: 28 is 0.0028 %)."""

ACCOUNT_MESSAGES_PER_MINUTE = CLIENT_MESSAGES_PER_MINUTE - FEED_MESSAGES_PER_MINUTE
"""The private stream's share: five topics, asked for twice a minute at most."""

FILLS_SEEN_MAX = 4_096
"""Fills remembered, so that replayed ones are not told again; a replay is far shorter."""

PAGE_ROWS_MAX = 100
"""Rows per page of trades, inactive orders and position funding (lighter-sdk 1.1.8)."""
PAGES_MAX = 30
"""The venue keeps about 3,000 trades per account (NautilusTrader)."""

RETRY_AFTER_S = 15.0
"""After "Too Many Requests!": a transaction beyond the quota is free every 15 s (API documentation, mid-2026)."""

TRADING = TradingCapabilities(
    sequenced=True,
    post_only=True,
    modify=True,
    cancel_all=True,
    cancel_all_in_market=True,
    dead_man_switch=True,
    dead_man_ms_min=SCHEDULE_MS_MIN,
    leverage=True,
    expiry_ms_max=TRANSACTION_LIFE_MS + CLOCK_SKEW_MS_MAX,
)

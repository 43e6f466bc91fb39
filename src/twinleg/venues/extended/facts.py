"""What Extended publishes about itself, each fact with its source and date. Public market data only."""

from __future__ import annotations

from twinleg.core.venue import Capabilities, Limits

NAME = "extended"
HOUR_MS = 3_600_000

USER_AGENT = "twinleg/0.1"
"""A User-Agent is mandatory for REST and for the stream's upgrade (API documentation, 2025)."""

QUOTES = {"USD": "USDC"}
"""Markets are quoted in the collateral, which the venue calls USD and which is USDC on Starknet (asset pages, 2026)."""

MAKER_FEE_BPS = 0.0
TAKER_FEE_BPS = 2.5
"""Flat base tier (fee page and ccxt 4.5.90, 2026); real fills paid 2.25 with a referral (December 2025)."""

TAKER_DELAY_MS = 200
"""Not documented: 673 real taker orders filled 200-220 ms after their id's clock, whatever the load (December 2025)."""

FUNDING_INTERVAL_MS = HOUR_MS
"""Funding is charged every hour (API documentation, 2025); history rows are stamped about 1 s after it (recorded)."""

RATE_PER_HOUR_MAX = 0.05
"""Far above any cap: `hourlyFundingRateCap` is 0.25, probably percent (recorded market, September 2026)."""

MAINTENANCE_SHARE = 0.5
"""Maintenance margin is half of 1 / maximum leverage (API documentation, 2025; 658 recorded positions)."""

HISTORY_ROWS_MAX = 10_000
"""Rows per page of funding history, newest first (API documentation, 2025)."""

BOOKS_PER_CONNECTION = 40
"""Our choice, no limit is published. One lost frame loses all books of its connection, which bounds the damage."""

FEED_MESSAGES_PER_MINUTE = 540
"""What our feeds share among themselves, of stream_messages_per_minute below."""

UNANSWERED_MAX = 40
"""Our choice: requests in flight over all feeds; each answer is a snapshot and a burst of deltas."""

ANSWER_MS_MAX = 10_000
"""The official SDK's request timeout (2.6.0). A request the venue dislikes may get no answer at all (recorded)."""

HOLES_PER_MINUTE_MAX = 3
"""Our choice: a connection that loses frames more often than that is given up."""

FRAMES_BEHIND_MAX = 50
"""Our choice: so many frames in a row from before the one that is due mean that the venue counts anew."""

PING_MS = 20_000
"""Our choice: the `ping` method's answer tells a quiet market from a dead connection."""

CAPABILITIES = Capabilities(
    deltas=True,
    sequence=True,
    sequence_per_connection=True,
    crossed_books_normal=False,
    trades=True,
    funding_history=True,
)

LIMITS = Limits(
    requests_per_minute=1_000,  # per IP over all endpoints (API documentation, 2025; ccxt 2026)
    stream_messages_per_minute=600,  # our choice: none is published
    connects_per_minute=30,  # our choice: none is published
    messages_in_flight=50,  # our choice: none is published
    frame_bytes_max=16 * 1024 * 1024,  # a BTC snapshot was 169 KiB (recorded, September 2026)
    inflated_bytes_max=32 * 1024 * 1024,
    silence_ms_max=50_000,  # two pings and some; another client of the same stream takes 45 s
)

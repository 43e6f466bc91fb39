"""What Lighter publishes about itself, each fact with its source and date. Public market data only."""

from __future__ import annotations

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

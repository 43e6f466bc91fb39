"""What Extended publishes about itself, each fact with its source and date."""

from __future__ import annotations

from twinleg.core.trading import TradingCapabilities
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

EXPIRY_MS_MAX = 28 * 86_400_000
"""An order's expiry is mandatory: at most 28 days ahead on testnet, 90 on mainnet (API documentation, 2025)."""

EXPIRY_AFTER_DEADLINE_MS = 5_000
"""Our choice, no least expiry is published (code 1135 would say so at once). Nothing but its expiry proves that a lost
order cannot arrive any more, so it is as short as the venue's clock allows, which was seen 2-3 s ahead (recorded,
September 2026)."""

CLOCK_SKEW_MS_MAX = 5_000
"""Our choice: how far the venue's clock may be off before a signature's expiry is not to be relied on."""

UNSIGNED_LINGERS_MS = 60_000
"""Our choice: cancels and the like carry no expiry; no request is believed to linger in the network for longer."""

LEVERAGE_MAX = 100.0
"""Our choice, above any market's (50, recorded, September 2026), where a market does not say its own."""

SALT_MAX = 2**31 - 1
"""Of `nonce`, which salts an order's hash (API documentation, 2025: 1 to 2^31; the SDK draws up to 2^32 - 1)."""

RETRY_AFTER_S = 10.0
"""Our choice: a 429 carries no documented hint; the budget is counted per minute."""

ORDER_REFUSALS = frozenset(
    {400, 401, 403, 422, *range(1000, 1006), *range(1008, 1015), 1049, 1050, 1052, 1053, 10501, 1100, 1101, 1102}
    | {*range(1120, 1149), 1500}
)
"""Error codes that say what was wrong with a request, so that nothing comes of it (API documentation, 2025)."""

DUPLICATE = 1134
"""Error code of an external id that is taken (API documentation, 2025)."""

DOUBTFUL_REFUSALS = frozenset({404, 408, 429, 500, 1006, DUPLICATE})
"""Error codes after which the order may live: 1134 names a duplicate, whose first may be ours; 1006 is an application
error; a bare 404 came for good orders, too (a third-party SDK, July 2026)."""

SNAPSHOT_MS_MAX = 10_000
"""Our choice: the account stream's first three frames came at once in every recorded connection (December 2025)."""

REPEATS_MAX = 3
"""Our choice: so many account frames in a row from before the one that is due mean that the venue counts anew."""

ORDER_ROWS = 100
"""Rows asked for of the history of one order, which has one."""

ORDER_FILL_ROWS = 200
"""Our choice: of one market's newest fills, to find one order's; the order's own count shows what is missing."""

FILL_ROWS = 1_000
"""Fills per page, of at most 10,000 (API documentation, 2025)."""

FILL_PAGES_MAX = 20
"""Our choice: who needs more than 20,000 fills at once gets them from a later `since`."""

FUNDING_BACK_MS = 24 * HOUR_MS
"""Our choice: how far back the account's funding is read; a row a market and hour."""

NAMES_MAX = 20_000
"""Our choice: orders whose external ids are remembered, since a fill may name its order by the venue's id alone."""

FILLS_SEEN_MAX = 20_000
"""Our choice: fills remembered, so that the account stream tells each one once."""

TRADING = TradingCapabilities(
    sequenced=False,
    post_only=True,
    modify=True,
    cancel_all=True,
    cancel_all_in_market=True,
    dead_man_switch=True,
    leverage=True,
    expiry_ms_max=EXPIRY_AFTER_DEADLINE_MS + CLOCK_SKEW_MS_MAX,
    dead_man_ms_min=1_000,  # it is set in whole seconds
)

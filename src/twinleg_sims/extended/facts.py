"""What Extended's public side is known to do: paths, cadences, limits, codes.

Sources: the venue's API documentation, its Python SDK 2.6.0, and mainnet traffic recorded in December 2025 and on
2026-09-26. What could not be confirmed is marked "assumed".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

REST_PREFIX = "/api/v1"
STREAM_PREFIX = "/stream.extended.exchange/v1"
RPC_PATH = "/stream.extended.exchange/v2/rpc"

BOOK_INTERVAL_MS = 100
SNAPSHOT_INTERVAL_MS = 60_000
CANDLE_INTERVAL_MS = 1_000
"""Documented as 1 to 10 s."""
FUNDING_ESTIMATE_INTERVAL_MS = 60_000
PING_INTERVAL_MS = 15_000
PING_TIMEOUT_CODE, PING_TIMEOUT_REASON = 1011, "Ping timeout"
TRADES_REPLAYED = 50
"""v2 sends this many past trades after each subscribe to trades."""
REPLAYED_CHANGES_MAX = 40
"""Book changes behind a v2 snapshot at most. 298 were recorded; fewer here, since one reader may want all books."""

ROWS_MAX = 10_000
OPEN_INTEREST_ROWS_MAX = 300
LAST_TRADES = 50
"""Rows of GET /info/markets/{m}/trades; the documentation names no number, assumed the same as the replay."""

SNOWFLAKE_EPOCH_MS = 1_288_834_974_657
"""All 50 recorded trade ids decode to their time with Twitter's epoch."""
FUNDING_STAMP_DELAY_MS = 1_028
"""Applied rates are stamped about a second after the hour they are charged at."""
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS

CANDLE_INTERVALS_MS = {
    "PT1M": MINUTE_MS,
    "PT5M": 5 * MINUTE_MS,
    "PT15M": 15 * MINUTE_MS,
    "PT30M": 30 * MINUTE_MS,
    "PT1H": HOUR_MS,
    "PT2H": 2 * HOUR_MS,
    "PT4H": 4 * HOUR_MS,
    "PT8H": 8 * HOUR_MS,
    "PT12H": 12 * HOUR_MS,
    "PT24H": DAY_MS,
    "P1D": DAY_MS,
    "P7D": 7 * DAY_MS,
    "P30D": 30 * DAY_MS,
}
"""The documentation writes PT24H, the SDK P1D: both are served."""

COLLATERAL = "USD"
COLLATERAL_PRECISION = 6
COLLATERAL_ID = "0x1"
SYNTHETIC_PRECISION = 6
VAULT_SHARE = "XVS"
LISTED_MS = 1_752_829_532_673
RESOLUTION = 1_000_000
"""Collateral and synthetic resolutions are both this for BTC-USD; assumed for every market."""
STARKNET_DOMAIN = {"name": "Perpetuals", "version": "v0", "chainId": "SN_SEPOLIA", "revision": "1"}
STARKEX_CONTRACT = "0x0000000000000000000000000000000000005e17"
"""A made-up address: no contract stands behind a simulator."""

RISK_TIER_VALUE_USD = 4_000_000
RISK_TIERS_FOR_USERS = 15
"""BTC-USD: a tier each 4M, 15 of them selectable, hence maxPositionValue 60M. Assumed for every market."""


MARKET_ORDER_VALUE_MAX_USD, LIMIT_ORDER_VALUE_MAX_USD = 3_000_000, 15_000_000
POSITION_VALUE_MAX_USD = RISK_TIER_VALUE_USD * RISK_TIERS_FOR_USERS
OPEN_ORDERS_MAX = 200
"""Per market."""
LIMIT_BAND_PPM, MARKET_BAND_PPM = 50_000, 150_000
"""How far from the mark a limit may lie to the worse side, and a market order's bound to either."""
EXPIRY_MAX_MS = 28 * DAY_MS
"""Testnet's; mainnet allows 90 days."""
NONCE_MAX = 2**32 - 1
"""The SDK draws from all of it; the documentation says 2^31."""
DEFAULT_LEVERAGE = 10
"""Of an account that set none; assumed."""
LIQUIDATION_SLICES, LIQUIDATION_SLICE_MIN_USD, LIQUIDATION_WORSE_PPM = 5, 1_000, 50_000
FAUCET_USD, FAUCET_INTERVAL_MS = 100_000, DAY_MS
IDLE_BALANCE_INTERVAL_MS = 20_000
"""BALANCE frames keep coming while a position is open: every 15 to 25 s in the log that was looked at."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """What is not known of the venue, or differs from day to day."""

    rest_lag_ms: int = 100
    """Private reads show the account as it was this long ago: an order just placed is a 404."""
    post_only_rejected: bool = False
    """Whether a post-only order that would cross ends as REJECTED rather than CANCELLED."""
    signatures: bool = True
    """Whether orders' signatures are verified. Without, an order is known by what was sent as its signature."""


USUAL = Conduct()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may and must do. The defaults are the venue's."""

    requests: float = 1_000
    """Per minute and address, over all endpoints."""
    pong_ms: float = 10_000
    """A client that leaves a ping unanswered for this long is cut off."""

    def scaled(self, speed: float) -> Limits:
        """The same in real time when virtual time runs `speed` times faster."""
        return replace(self, requests=self.requests * speed, pong_ms=self.pong_ms * speed)


STANDARD = Limits()
NO_LIMITS = Limits(requests=float("inf"))


class ErrorCode(IntEnum):
    """The venue's error codes that a request can meet."""

    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    TOO_MANY_REQUESTS = 429
    ASSET_NOT_FOUND = 1000
    MARKET_NOT_FOUND = 1001
    INTERVAL_UNKNOWN = 1005
    MARKET_DISABLED = 1002
    APPLICATION_ERROR = 1006
    NOT_ALLOWED = 1009
    MAINTENANCE = 1010
    MARKET_REDUCE_ONLY = 1014
    LEVERAGE_TOO_LOW = 1049
    LEVERAGE_TOO_HIGH = 1050
    LEVERAGE_MARGIN = 1052
    LEVERAGE_PRECISION = 1053
    INVALID_STARK_KEY = 1100
    INVALID_SIGNATURE = 1101
    INVALID_VAULT = 1102
    QTY_TOO_SMALL = 1120
    QTY_STEP = 1121
    VALUE_TOO_BIG = 1122
    QTY_PRECISION = 1123
    PRICE_STEP = 1124
    PRICE_PRECISION = 1125
    TOO_MANY_ORDERS = 1126
    POSITION_TOO_BIG = 1127
    INVALID_FEE = 1128
    TPSL_QTY = 1129
    PRICE_MISSING = 1130
    TPSL_TRIGGER_MISSING = 1131
    ORDER_TYPE = 1132
    BAD_PARAMETERS = 1133
    DUPLICATE = 1134
    EXPIRY = 1135
    REDUCE_ONLY_SIZE = 1136
    REDUCE_ONLY_NO_POSITION = 1137
    REDUCE_ONLY_SAME_SIDE = 1138
    MARKET_NOT_IOC = 1139
    COST = 1140
    PRICE_VALUE = 1141
    EDITED_ORDER_NOT_FOUND = 1142
    TRIGGER_MISSING = 1143
    POST_ONLY_CONDITIONAL = 1144


class RpcErrorCode(IntEnum):
    """JSON-RPC error codes of the v2 stream."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    UNAUTHORIZED = -32001


def snowflake(at_ms: int, worker: int, sequence: int) -> int:
    """A 63-bit id that carries `at_ms`; unique per (at_ms, worker < 1024, sequence < 4096)."""
    assert 0 <= worker < 1 << 10, f"worker {worker}"
    assert 0 <= sequence < 1 << 12, f"sequence {sequence}"
    return (at_ms - SNOWFLAKE_EPOCH_MS) << 22 | worker << 12 | sequence


def synthetic_id(asset: str, precision: int) -> str:
    """The asset's id on chain: its name and precision as ASCII, padded ("BTC-6" -> 0x4254432d36000...)."""
    return "0x" + f"{asset}-{precision}".encode().hex().ljust(30, "0")

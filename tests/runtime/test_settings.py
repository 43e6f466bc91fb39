"""The table itself: defaults as published, limits, addresses, lists."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twinleg.runtime.settings import Endpoints, Settings, effective_limits

PUBLISHED = {
    "DRIFT_ENV": "mainnet",
    "DRIFT_SUB_ACCOUNT_ID": 0,
    "LIGHTER_BASE_URL": "https://mainnet.zklighter.elliot.ai",
    "LIGHTER_MAX_API_KEY_INDEX": 0,
    "LIGHTER_NONCE_MANAGER": "optimistic",
    "EXTENDED_VAULT": 0,
    "TRADING_MODE": "dry_run",
    "AUTO_EXECUTION_ENABLED": False,
    "CONSERVATIVE_MODE": True,
    "MAX_POSITION_SIZE_USD": 500,
    "MAX_TOTAL_EXPOSURE_USD": 2000,
    "MIN_ORDER_SIZE_USD": 10,
    "MAX_ORDER_SIZE_USD": 500,
    "MIN_ACCOUNT_BALANCE_USD": 100,
    "MIN_REQUIRED_AVAILABLE_USD": 20,
    "MIN_EXECUTION_SPREAD_BPS": 5,
    "AGGRESSIVE_EXECUTION_SPREAD_BPS": 10,
    "MIN_VIABLE_SPREAD_BPS": 1,
    "MAX_SLIPPAGE_BPS": 50,
    "EMERGENCY_STOP_LOSS_PERCENT": 2,
    "MIN_MARGIN_RATIO": 0.10,
    "EMERGENCY_MARGIN_RATIO": 0.05,
    "REBALANCE_THRESHOLD_PERCENT": 15,
    "MAX_CONCURRENT_ARBITRAGE_GROUPS": 5,
    "MAX_ORDERS_PER_SYMBOL": 10,
    "TOP_OPPORTUNITIES_COUNT": 3,
    "ORDERBOOK_DEPTH_LEVELS": 20,
    "MAX_RETRY_ATTEMPTS": 3,
    "ORDER_TIMEOUT_SECONDS": 300,
    "FILL_TIMEOUT_SECONDS": 60,
    "API_REQUEST_TIMEOUT": 15,
    "WS_RECONNECT_DELAY": 2,
    "OPPORTUNITY_SCAN_INTERVAL": 60,
    "BALANCE_CHECK_INTERVAL": 30,
    "RISK_CHECK_INTERVAL": 30,
    "PERFORMANCE_LOG_INTERVAL": 120,
    "SYNC_STATUS_LOG_INTERVAL": 10,
    "ORDERBOOK_READY_COOLDOWN_SECONDS": 2,
    "LOG_LEVEL": "INFO",
    "LOG_TO_FILE": True,
    "LOG_FILE_PREFIX": "twinleg",
    "TWINLEG_UNHEDGED_MS_MAX": 3000,
    "TWINLEG_UNHEDGED_NOTIONAL_MAX_USD": 250,
    "TWINLEG_RECONCILE_GRACE_MS": 5000,
    "TWINLEG_BOOK_AGE_MS_MAX": 2000,
    "TWINLEG_BOOK_SKEW_MS_MAX": 1000,
    "TWINLEG_CLOCK_OFFSET_MS_MAX": 500,
    "TWINLEG_FLATTEN_SLIPPAGE_BPS_MAX": 200,
    "TWINLEG_HORIZON_HOURS": 8,
    "TWINLEG_MAX_IMPACT_SCORE": 75,
    "TWINLEG_MIN_DEPTH_SCORE": 30,
    "TWINLEG_MAX_BALANCE_TO_LIQUIDITY": 1.0,
    "TWINLEG_LIQUIDITY_BUFFER": 0.8,
    "TWINLEG_BALANCE_SHARE_PER_TRADE": 0.3,
    "TWINLEG_MARGIN_RESERVE_MOVE_PERCENT": 15,
    "TWINLEG_LIQUIDATION_DISTANCE_PERCENT_MIN": 15,
    "TWINLEG_VENUE_SHARE_MAX": 0.6,
    "TWINLEG_DEPEG_BPS_MAX": 50,
    "TWINLEG_DAILY_LOSS_PERCENT": 1,
    "TWINLEG_DRAWDOWN_PERCENT": 5,
    "TWINLEG_TRADE_STOP_LOSS_BPS": 100,
    "TWINLEG_LEVERAGE": 3,
    "TWINLEG_HOST": "127.0.0.1",
    "TWINLEG_PORT": 8080,
    "TWINLEG_NETWORK": "mainnet",
    "TWINLEG_DRIFT_PROFILE": "drift-v2",
    "TWINLEG_DRIFT_ALLOW_FROZEN": False,
    "TWINLEG_REBALANCE_AUTO": "off",
}
"""Names and defaults that users rely on, written a second time on purpose."""


@pytest.mark.parametrize(("name", "default"), PUBLISHED.items())
def test_published_defaults(name: str, default: object) -> None:
    assert getattr(Settings(), name.removeprefix("TWINLEG_").lower()) == default


def test_frozen_and_closed() -> None:
    settings = Settings(lighter_keys={5: "ab" * 40}, assets={"BTC": {"leverage": 2}})
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Settings(nonsense=1)
    with pytest.raises(TypeError):
        settings.lighter_keys[6] = settings.lighter_keys[5]  # type: ignore[index]
    with pytest.raises(TypeError):
        settings.assets["ETH"] = settings.assets["BTC"]  # type: ignore[index]


def test_nothing_is_read_behind_loads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_MODE", "live")
    monkeypatch.setenv("PORT", "1")
    assert Settings() == Settings(trading_mode="dry_run", port=8080)


def test_conservative_mode_halves_sizes_doubles_spreads_and_nothing_else() -> None:
    raw = effective_limits(Settings(conservative_mode=False))
    careful = effective_limits(Settings(conservative_mode=True))
    assert {field: (getattr(raw, field), getattr(careful, field)) for field in raw.__struct_fields__} == {
        "max_position_size_usd": (500, 250),
        "max_order_size_usd": (500, 250),
        "max_total_exposure_usd": (2000, 1000),
        "min_execution_spread_bps": (5, 10),
        "aggressive_execution_spread_bps": (10, 20),
        "min_viable_spread_bps": (1, 2),
        "max_slippage_bps": (50, 50),
        "leverage": (3, 3),
    }


def test_an_assets_own_limits_stand_in_for_the_general_ones_before_conservative_mode() -> None:
    own = {"max_position_size_usd": 1000, "min_execution_spread_bps": 0, "leverage": 2}
    settings = Settings(assets={"BTC": own})
    limits = effective_limits(settings, "BTC")
    assert (limits.max_position_size_usd, limits.min_execution_spread_bps, limits.leverage) == (500, 0, 2)
    assert limits.max_order_size_usd == effective_limits(settings, "ETH").max_order_size_usd == 250


LIGHTER = "mainnet.zklighter.elliot.ai"
EXTENDED = "api.starknet.extended.exchange"


@pytest.mark.parametrize(
    ("given", "lighter", "extended"),
    [
        ({}, (f"https://{LIGHTER}", f"wss://{LIGHTER}"), (f"https://{EXTENDED}", f"wss://{EXTENDED}")),
        (
            {"lighter_base_url": "http://localhost:1/api/v1", "extended_mainnet_url": "http://localhost:2"},
            ("http://localhost:1", "ws://localhost:1"),
            ("http://localhost:2", "ws://localhost:2"),
        ),
        (
            {
                "lighter_ws_url": "ws://localhost:3/stream",
                "extended_base_url": "http://localhost:4",
                "extended_stream_url": "ws://localhost:5",
                "extended_mainnet_stream_url": "ws://localhost:6",
            },
            (f"https://{LIGHTER}", "ws://localhost:3"),
            ("http://localhost:4", "ws://localhost:6"),
        ),
        (
            {"network": "testnet", "extended_mainnet_url": "http://localhost:2"},
            ("https://testnet.zklighter.elliot.ai", "wss://testnet.zklighter.elliot.ai"),
            ("https://api.starknet.sepolia.extended.exchange", "wss://api.starknet.sepolia.extended.exchange"),
        ),
        (
            {"network": "testnet", "lighter_base_url": "http://localhost:1", "extended_base_url": "http://localhost:2"},
            ("http://localhost:1", "ws://localhost:1"),
            ("http://localhost:2", "ws://localhost:2"),
        ),
    ],
)
def test_endpoints(given: dict[str, Any], lighter: tuple[str, str], extended: tuple[str, str]) -> None:
    settings = Settings(**given)
    assert settings.lighter_endpoints() == Endpoints(*lighter)
    assert settings.extended_endpoints() == Endpoints(*extended)


def test_unhedged_time_is_longer_with_drift_unless_given() -> None:
    assert Settings().unhedged_ms_max_of(["lighter", "extended"]) == 3000
    assert Settings().unhedged_ms_max_of(["lighter", "drift"]) == 30_000
    assert Settings(unhedged_ms_max=3000).unhedged_ms_max_of(["lighter", "drift"]) == 3000


def test_lists() -> None:
    settings = Settings(allow=["BTC", "ETH"], deny=["ETH"], pairs=[["lighter", "extended"]])
    assert [settings.trades_asset(asset) for asset in ("BTC", "ETH", "SOL")] == [True, False, False]
    assert settings.trades_pair("extended", "lighter")
    assert not settings.trades_pair("extended", "drift")
    assert Settings().trades_asset("ANY")
    assert Settings().trades_pair("extended", "drift")

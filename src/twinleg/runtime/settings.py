"""Every setting: its name, kind, default and meaning, in the one table that errors, documents and `doctor` derive from.

`load` reads them once, from the environment, then `.env`, then `twinleg.toml`, and reports all that is wrong together.
Names users already have keep their names; our own start with TWINLEG_. Importing this costs about 0.2 s (pydantic):
the command line imports it only when a command needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WrapSerializer
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from twinleg.runtime import settings_fields as kinds
from twinleg.runtime.settings_sources import OURS

VENUES = ("drift", "extended", "lighter")
CONSERVATIVE_SIZE = 0.5
CONSERVATIVE_SPREAD = 2.0
DRIFT_UNHEDGED_MS_MAX = 30_000
LIVE_FOLDER = "live"
"""In the data folder: the journal of real trades."""
FROZEN = (
    AfterValidator(MappingProxyType),
    WrapSerializer(lambda mapping, serialise: serialise(dict(mapping))),
)
"""Makes a mapping as unchangeable as the settings that hold it."""


def _theirs(default: Any, meaning: str, *aliases: str, shown: str = "") -> Any:
    """A setting whose name users of other gateways already have: the field's name in capitals."""
    return Field(default, description=meaning, json_schema_extra={"aliases": list(aliases), "shown": shown})


def _ours(default: Any, meaning: str) -> Any:
    """A setting of our own: TWINLEG_ and the field's name in capitals."""
    return Field(default, description=meaning, json_schema_extra={"prefix": OURS})


def _structured(make_default: Any, meaning: str) -> Any:
    """A setting with structure, in `twinleg.toml` only, under the field's own name."""
    return Field(default_factory=make_default, description=meaning, json_schema_extra={"toml": True})


TESTNET_BASES = {
    "lighter": "https://testnet.zklighter.elliot.ai",
    "extended": "https://api.starknet.sepolia.extended.exchange",
}
"""REST bases on testnet, unless one is given. Sources: the configurations in lighter-sdk 1.1.8 and x10 2.6.0."""


class Endpoints(msgspec.Struct, frozen=True):
    """A venue's bases, without trailing slash and without the venue's own paths."""

    rest: str
    stream: str


class AssetLimits(BaseModel):
    """Limits of one asset, instead of the general ones. None means: the general one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    max_position_size_usd: kinds.Usd | None = None
    max_order_size_usd: kinds.Usd | None = None
    min_execution_spread_bps: kinds.Bps | None = None
    max_slippage_bps: kinds.Bps | None = None
    leverage: kinds.Leverage | None = None


Asset = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,40}$"), kinds.Kind("a list of assets' names")]
OneAsset = Annotated[AssetLimits, kinds.Kind("a table per asset")]
Venue = Annotated[
    str, Field(pattern=f"^({'|'.join(VENUES)})$"), kinds.Kind('a list of pairs such as ["lighter", "extended"]')
]


class Settings(BaseSettings):
    """The settings as they are, checked and frozen. Limits here are raw: see `effective_limits`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the library's signature
        init_settings: PydanticBaseSettingsSource,
        *args: PydanticBaseSettingsSource,  # noqa: ARG003
        **kwargs: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` has read: nothing looks at the environment behind its back."""
        return (init_settings,)

    # Drift
    drift_rpc_url: kinds.RpcAddress | None = _theirs(None, "Solana RPC endpoint; the Drift venue is enabled when set")
    drift_private_key: kinds.SolanaKey | None = _theirs(None, "private key of the Drift account; enables trading there")
    drift_env: kinds.DriftEnv = _theirs("mainnet", "Solana cluster of Drift")
    drift_sub_account_id: kinds.SubAccount = _theirs(0, "Drift sub-account to trade from")
    drift_dlob_url: kinds.HttpBase | None = _theirs(None, "Drift's book server", shown="derived from the profile")

    # Lighter
    lighter_base_url: kinds.HttpBase = _theirs("https://mainnet.zklighter.elliot.ai", "Lighter's REST base")
    lighter_ws_url: kinds.WsBase | None = _theirs(None, "Lighter's stream base", shown="derived from LIGHTER_BASE_URL")
    lighter_private_key: kinds.LighterKey | None = _theirs(
        None,
        "Lighter API private key; it enables trading there",
        "LIGHTER_API_PRIVATE_KEY",
        "API_KEY_PRIVATE_KEY",
    )
    lighter_account_index: kinds.AccountIndex | None = _theirs(None, "Lighter account")
    lighter_api_key_index: kinds.KeySlot | None = _theirs(
        None, "Lighter key slot (0 to 3 belong to the venue's own apps: accepted with a warning)"
    )
    lighter_max_api_key_index: kinds.KeySlot = _theirs(
        0,
        "last slot of a range of Lighter keys used together, which begins at LIGHTER_API_KEY_INDEX; 0 = one key. "
        "Their keys: TWINLEG_LIGHTER_KEY_<slot>",
    )
    lighter_nonce_manager: kinds.NonceSource = _theirs(
        "optimistic", "how Lighter nonces are counted; api = re-read before each transaction (slower)"
    )
    lighter_keys: Annotated[Mapping[kinds.KeySlot, kinds.LighterKey], *FROZEN] = Field(
        default_factory=dict,
        description="Lighter API private key of one slot, 0 to 254",
        json_schema_extra={"prefix": OURS, "family": "LIGHTER_KEY_<slot>"},
    )

    # Extended
    extended_base_url: kinds.HttpBase = _theirs("https://api.starknet.extended.exchange", "Extended's REST base")
    extended_stream_url: kinds.WsBase | None = _theirs(
        None, "Extended's stream base", shown="derived from the REST base"
    )
    extended_mainnet_url: kinds.HttpBase | None = _theirs(None, "used instead of EXTENDED_BASE_URL on mainnet when set")
    extended_mainnet_stream_url: kinds.WsBase | None = _theirs(
        None, "used instead of EXTENDED_STREAM_URL on mainnet when set"
    )
    extended_api_key: kinds.ApiKey | None = _theirs(
        None, "Extended API key; with EXTENDED_PRIVATE_KEY it enables trading there"
    )
    extended_private_key: kinds.StarkKey | None = _theirs(
        None, "Extended Stark private key", "EXTENDED_STARK_KEY_PRIVATE"
    )
    extended_public_key: kinds.PublicKey | None = _theirs(
        None, "Extended Stark public key", "EXTENDED_STARK_KEY_PUBLIC", shown="derived from the private key"
    )
    extended_vault: kinds.AccountIndex = _theirs(0, "Extended vault; 0 = look it up")

    # Onboarding
    eth_private_key: kinds.EthKey | None = _theirs(None, "Ethereum private key, only for onboarding; never stored")

    # What the engine does
    trading_mode: kinds.TradingMode = _theirs("dry_run", "the engine's mode")
    auto_execution_enabled: kinds.Flag = _theirs(False, "in live mode: the engine may open trades by itself")
    conservative_mode: kinds.Flag = _theirs(
        True,
        "multiplies MAX_POSITION_SIZE_USD, MAX_ORDER_SIZE_USD and MAX_TOTAL_EXPOSURE_USD by 0.5 and the three "
        "*_SPREAD_BPS by 2; nothing else",
    )

    # Sizes and limits
    max_position_size_usd: kinds.Usd = _theirs(500.0, "largest position per trade and leg")
    max_total_exposure_usd: kinds.Usd = _theirs(2000.0, "largest gross exposure over all venues")
    min_order_size_usd: kinds.Usd = _theirs(10.0, "smallest order")
    max_order_size_usd: kinds.Usd = _theirs(500.0, "largest order")
    min_account_balance_usd: kinds.Usd = _theirs(100.0, "entries stop below this equity on a venue")
    min_required_available_usd: kinds.Usd = _theirs(20.0, "entries stop below this free collateral on a leg's venue")
    min_execution_spread_bps: kinds.Bps = _theirs(5.0, "net edge from which a trade is opened")
    aggressive_execution_spread_bps: kinds.Bps = _theirs(
        10.0, "net edge from which both legs take; below it the first leg is post-only"
    )
    min_viable_spread_bps: kinds.Bps = _theirs(1.0, "net edge from which an opportunity is shown")
    max_slippage_bps: kinds.Bps = _theirs(50.0, "worst price of any entry against the decision price")
    emergency_stop_loss_percent: kinds.Percent = _theirs(
        2.0,
        "loss of joint trading PnL over all venues since 00:00 UTC, as a share of joint equity then, at which all is "
        "flattened and halted",
    )
    min_margin_ratio: kinds.Share = _theirs(
        0.10, "free collateral / equity of a venue (1 = unused, higher is safer) below which entries stop"
    )
    emergency_margin_ratio: kinds.Share = _theirs(
        0.05, "free collateral / equity of a venue below which both legs are reduced"
    )
    rebalance_threshold_percent: kinds.Percent = _theirs(
        15.0, "gap, in points, between a venue's share of free collateral and its target before a proposal"
    )
    max_concurrent_arbitrage_groups: kinds.Count = _theirs(5, "open trades at once")
    max_orders_per_symbol: kinds.Count = _theirs(10, "open orders per market")
    top_opportunities_count: kinds.Count = _theirs(3, "opportunities shown and considered first")
    orderbook_depth_levels: kinds.Count = _theirs(20, "book levels shown per side")
    max_retry_attempts: kinds.Retries = _theirs(3, "repair attempts; never re-sends")

    # Times
    order_timeout_seconds: kinds.Seconds = _theirs(300.0, "a resting order's life; not the unhedged deadline")
    fill_timeout_seconds: kinds.Seconds = _theirs(60.0, "an unanswered read-back; not the unhedged deadline")
    api_request_timeout: kinds.Seconds = _theirs(15.0, "an HTTP request; seconds")
    ws_reconnect_delay: kinds.Seconds = _theirs(2.0, "first back-off of a stream; seconds")
    opportunity_scan_interval: kinds.Seconds = _theirs(60.0, "periodic full scan; seconds (scanning is event-driven)")
    balance_check_interval: kinds.Seconds = _theirs(30.0, "periodic balance check; seconds")
    risk_check_interval: kinds.Seconds = _theirs(30.0, "periodic full risk pass; seconds (risk is event-driven)")
    performance_log_interval: kinds.Seconds = _theirs(120.0, "performance summary in the log; seconds")
    sync_status_log_interval: kinds.Seconds = _theirs(10.0, "feed status in the log; seconds")
    orderbook_ready_cooldown_seconds: kinds.Cooldown = _theirs(2.0, "a fresh book is not traded earlier")

    # Logging
    log_level: kinds.LogLevel = _theirs("INFO", "least severe message logged")
    log_to_file: kinds.Flag = _theirs(True, "also log to files in TWINLEG_LOG_DIR")
    log_file_prefix: kinds.FilePrefix = _theirs("twinleg", "how log files' names begin")

    # Two legs (ours)
    unhedged_ms_max: kinds.Milliseconds = _ours(3000, "longest time a trade may be unhedged; 30000 with a Drift leg")
    unhedged_notional_max_usd: kinds.Usd = _ours(250.0, "largest unhedged notional of a trade")
    reconcile_grace_ms: kinds.Milliseconds = _ours(5000, "how long a venue's position may differ from the ledger")
    flatten_slippage_bps_max: kinds.Bps = _ours(200.0, "worst price of a flatten against the mid")
    trade_stop_loss_bps: kinds.Bps = _ours(100.0, "loss of one trade, of its notional, at which it is closed")
    leverage: kinds.Leverage = _ours(3.0, "leverage set on the venues")

    paper_equity_usd: kinds.Usd = _ours(1000.0, "equity each venue starts with in dry_run")

    # Data quality (ours)
    book_age_ms_max: kinds.Milliseconds = _ours(2000, "an older book is not traded")
    book_skew_ms_max: kinds.Milliseconds = _ours(1000, "largest age difference of a pair's two books")
    clock_offset_ms_max: kinds.Milliseconds = _ours(500, "largest clock offset against a venue")

    # What is worth it, and what is too much (ours)
    horizon_hours: kinds.Hours = _ours(8.0, "holding time an opportunity is valued over")
    max_impact_score: kinds.Score = _ours(75.0, "impact score above which a pair is refused")
    min_depth_score: kinds.Score = _ours(30.0, "depth score below which a pair is refused")
    max_balance_to_liquidity: kinds.Multiple = _ours(
        1.0, "deployable balance over the thinner leg's depth within 10 bps, above which size is scaled down"
    )
    liquidity_buffer: kinds.Share = _ours(0.8, "share of the safe size that is used")
    balance_share_per_trade: kinds.Share = _ours(0.3, "share of a venue's free collateral one trade may use")
    margin_reserve_move_percent: kinds.Percent = _ours(15.0, "adverse move the losing leg's free margin must survive")
    liquidation_distance_percent_min: kinds.Percent = _ours(15.0, "smallest distance to liquidation of a leg")
    venue_share_max: kinds.Share = _ours(0.6, "largest share of gross exposure on one venue")
    depeg_bps_max: kinds.Bps = _ours(50.0, "stablecoin deviation at which entries stop")
    daily_loss_percent: kinds.Percent = _ours(1.0, "loss since 00:00 UTC, of equity then, at which entries stop")
    drawdown_percent: kinds.Percent = _ours(5.0, "loss from the highest equity at which entries stop")
    rebalance_auto: kinds.RebalanceAuto = _ours("off", "positions = position steps of a rebalance run by themselves")

    # The process (ours)
    network: kinds.Network = _ours("mainnet", "default addresses of the venues")
    drift_profile: kinds.DriftProfile = _ours("drift-v2", "which of Drift's programs and servers")
    drift_allow_frozen: kinds.Flag = _ours(False, "trade on the frozen Drift v2 mainnet program")
    data_dir: kinds.Folder = _ours(Path("data"), "journal, recordings and state (made with mode 0700)")
    record: kinds.Flag = _ours(False, "record every stream in TWINLEG_DATA_DIR/recordings, the last 2 GB")
    log_dir: kinds.Folder = _ours(Path("logs"), "log files")
    passphrase_file: kinds.Folder | None = _ours(None, "file with the key store's passphrase")
    host: kinds.Host = _ours("127.0.0.1", "address the gateway listens on")
    port: kinds.Port = _ours(8080, "port the gateway listens on")

    # In twinleg.toml
    allow: tuple[Asset, ...] = _structured(tuple, "assets that may be traded; empty = all")
    deny: tuple[Asset, ...] = _structured(tuple, "assets that are never traded; stronger than allow")
    pairs: tuple[tuple[Venue, Venue], ...] = _structured(tuple, "pairs of venues that may be traded; empty = all")
    assets: Annotated[Mapping[Asset, OneAsset], *FROZEN] = _structured(
        dict, "limits of one asset, [assets.BTC]: " + ", ".join(AssetLimits.model_fields)
    )

    def given(self, field: str) -> bool:
        """Whether the setting was given, rather than left at its default."""
        return field in self.model_fields_set

    def lighter_endpoints(self) -> Endpoints:
        """What was given, else the network's; the stream on the REST base's host unless given."""
        testnet = self.network == "testnet" and not self.given("lighter_base_url")
        rest = TESTNET_BASES["lighter"] if testnet else self.lighter_base_url
        return Endpoints(rest, self.lighter_ws_url or _stream_base(rest))

    def extended_endpoints(self) -> Endpoints:
        """As for Lighter; on mainnet the EXTENDED_MAINNET_ addresses come first."""
        if self.network == "testnet":
            rest = self.extended_base_url if self.given("extended_base_url") else TESTNET_BASES["extended"]
            return Endpoints(rest, self.extended_stream_url or _stream_base(rest))
        rest = self.extended_mainnet_url or self.extended_base_url
        stream = self.extended_mainnet_stream_url or self.extended_stream_url
        return Endpoints(rest, stream or _stream_base(rest))

    @property
    def live(self) -> bool:
        """Whether orders go to the venues."""
        return self.trading_mode == "live"

    @property
    def journal_dir(self) -> Path:
        """The journal's folder: real trades and paper ones never share a journal."""
        return self.data_dir / LIVE_FOLDER if self.live else self.data_dir

    def unhedged_ms_max_of(self, venues: Iterable[str]) -> int:
        """Longest unhedged time of a trade over these venues: what was given, else longer when Drift is one of them."""
        slow = "drift" in venues and not self.given("unhedged_ms_max")
        return DRIFT_UNHEDGED_MS_MAX if slow else self.unhedged_ms_max

    def trades_asset(self, asset: str) -> bool:
        """Whether the allow and deny lists let an asset be traded."""
        return asset not in self.deny and (not self.allow or asset in self.allow)

    def trades_pair(self, one: str, other: str) -> bool:
        """Whether a pair of venues may be traded, in either direction."""
        return not self.pairs or any({one, other} == set(pair) for pair in self.pairs)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that hold, after CONSERVATIVE_MODE and one asset's own."""

    max_position_size_usd: float
    max_order_size_usd: float
    max_total_exposure_usd: float
    min_execution_spread_bps: float
    aggressive_execution_spread_bps: float
    min_viable_spread_bps: float
    max_slippage_bps: float
    leverage: float


def effective_limits(settings: Settings, asset: str | None = None) -> Limits:
    """Raw limits with an asset's own in their place, then CONSERVATIVE_MODE: sizes halved, the spreads doubled."""
    own = settings.assets.get(asset, AssetLimits()) if asset is not None else AssetLimits()
    size = CONSERVATIVE_SIZE if settings.conservative_mode else 1.0
    spread = CONSERVATIVE_SPREAD if settings.conservative_mode else 1.0

    def of(field: str) -> float:
        value = getattr(own, field)
        return float(getattr(settings, field) if value is None else value)

    return Limits(
        max_position_size_usd=of("max_position_size_usd") * size,
        max_order_size_usd=of("max_order_size_usd") * size,
        max_total_exposure_usd=settings.max_total_exposure_usd * size,
        min_execution_spread_bps=of("min_execution_spread_bps") * spread,
        aggressive_execution_spread_bps=settings.aggressive_execution_spread_bps * spread,
        min_viable_spread_bps=settings.min_viable_spread_bps * spread,
        max_slippage_bps=of("max_slippage_bps"),
        leverage=of("leverage"),
    )


def _stream_base(rest: str) -> str:
    return "ws" + rest.removeprefix("http")

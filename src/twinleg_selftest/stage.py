"""The seeded venues: a small world, both simulated venues with an account each, and who trades there for us.

Everything between the process and its network is the product's own code, but for signatures: those are stood in for on
both sides, since they cost more than all the rest and are tested elsewhere.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import msgspec

from twinleg.core.messages import Market
from twinleg.core.trading import TradingVenue
from twinleg.core.venue import Credential, Venue
from twinleg.runtime.ports import Clock
from twinleg.runtime.settings import Settings
from twinleg.venues.extended.sign import TESTNET, Keys
from twinleg.venues.extended.trading import ExtendedTrading
from twinleg.venues.extended.venue import ExtendedVenue
from twinleg.venues.lighter import facts
from twinleg.venues.lighter.sign import Signer
from twinleg.venues.lighter.trading import LighterTrading
from twinleg.venues.lighter.venue import LighterVenue
from twinleg_sims.account import Account
from twinleg_sims.birth import Scale
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.extended.facts import Conduct
from twinleg_sims.faults import Fault, Faults, Faulty
from twinleg_sims.lighter import facts as lighter_facts
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.lighter.gate import Setup, stand_in_hash
from twinleg_sims.market import Liquidity
from twinleg_sims.positions import PPM
from twinleg_sims.protocol import AccountRequest, Core
from twinleg_sims.world import World

LIGHTER, EXTENDED = "127.0.0.1", "127.0.0.2"
"""The venues' hosts: addresses of this machine, since nothing else may be traded on; nobody listens there."""
SMALL = Scale(
    past_hours=12,
    past_trades=2,
    liquidity=Liquidity(levels=5, half_spread=0.00006, deepest=0.01, top_usd=3_000.0, step_ms=1_400, taker_chance=0.1),
    odd_markets=False,
)
EQUITY_USD = 2_000.0
TRANSACTION_LIFE_MS = 6_000
"""How long the stand-in's transactions may arrive: minutes in truth, which would be spent waiting for proofs."""
UNSIGNED = b64encode(bytes(80)).decode()
EAGER_BPS = 25.0
PREMIUM = 10
"""How many times the standard budget of requests most trials have at Lighter: with the standard one a process that is
started again every few seconds has no room for entries. One trial in four keeps to it."""
LEVERAGE = 3
"""As the settings want it; the accounts have it already."""


class Stage:
    """See the head of this file. `accounts` are the venues' own, the truth about us, by venue."""

    def __init__(self, seed: int, assets: int, start_ms: int, told: Callable[[Fault], None]) -> None:
        self.seed = seed
        self.world = World(seed, assets, start_ms, SMALL)
        self.faults = Faults(told)
        self._tier = 1 if seed % 4 == 0 else PREMIUM
        limits = lighter_facts.STANDARD.scaled(self._tier)
        self.lighter = LighterCore(self.world, self.faults, limits, Setup(signatures="none", rest_lag_ms=300))
        self.extended = ExtendedCore(self.world, self.faults, conduct=Conduct(signatures=False))
        self._lighter_keys = self.lighter.open_account(AccountRequest(equity_usd=EQUITY_USD))
        self._extended_keys = self.extended.open_account(AccountRequest(equity_usd=EQUITY_USD))
        self.cores: dict[str, Core] = {
            LIGHTER: Faulty(self.lighter, self.faults, seed),
            EXTENDED: Faulty(self.extended, self.faults, seed),
        }
        self.accounts: dict[str, Account] = {
            "lighter": next(iter(self.lighter.accounts.by_id.values())),
            "extended": next(iter(self.extended.accounts.by_id.values())),
        }
        for core in (self.lighter, self.extended):
            for market in self.world.markets(core.name):
                core.accounts.set_leverage(self.accounts[core.name], market, PPM // LEVERAGE)
        self.settings = _settings(Random(f"{seed}:settings"))

    def venues(self) -> list[Venue]:
        """Their public sides for one incarnation, with the budget of our tier."""
        lighter, extended = self.settings.lighter_endpoints(), self.settings.extended_endpoints()
        found = LighterVenue(lighter.rest, lighter.stream)
        requests = facts.LIMITS.requests_per_minute * self._tier
        found.limits = msgspec.structs.replace(facts.LIMITS, requests_per_minute=requests)
        return [found, ExtendedVenue(extended.rest, extended.stream)]

    def traders(self, markets: Mapping[str, Market], clock: Clock) -> list[TradingVenue]:
        """Our private sides for one incarnation."""
        where = self.settings
        slots = [4, 5] if self.seed % 3 == 0 else [4]
        index = self._lighter_keys["account_index"]
        assert isinstance(index, int)
        lighter = StandInLighter(
            where.lighter_base_url, where.lighter_ws_url or "", StandInSigner(index, slots, clock), markets
        )
        told = self._extended_keys
        keys = StandInKeys(
            vault=int(str(told["vault"])), private_key=str(told["private_key"]), api_key=str(told["api_key"])
        )
        extended = ExtendedTrading(where.extended_base_url, where.extended_stream_url or "", keys, markets, TESTNET)
        return [lighter, extended]


class StandInLighter(LighterTrading):
    """With proofs as soon as the stand-in's transactions are void."""

    trading = msgspec.structs.replace(facts.TRADING, expiry_ms_max=TRANSACTION_LIFE_MS + facts.CLOCK_SKEW_MS_MAX)


class StandInSigner(Signer):
    """Writes transactions as the signer does and signs nothing."""

    def __init__(self, account_index: int, slots: list[int], clock: Clock) -> None:
        super().__init__(account_index, facts.CHAIN_MAINNET, dict.fromkeys(slots, "1" * 80))
        self._clock = clock

    def auth_token(self, slot: int, made_s: int, life_s: int) -> Credential:
        return Credential(f"{made_s + life_s}:{self.account_index}:{slot}:{'0' * 160}")

    def public_key(self, slot: int) -> str:
        raise NotImplementedError(f"nothing is signed, so that slot {slot} has no public key")

    def _loaded(self) -> _Writer:
        return _Writer(self.account_index, self._clock)


class _Writer:
    """What the signing library answers."""

    def __init__(self, account_index: int, clock: Clock) -> None:
        self._account_index, self._clock = account_index, clock

    def sign_create_order(self, **asked: int) -> tuple[int, str, str, None]:
        return self._written(
            facts.TX_CREATE_ORDER,
            asked,
            MarketIndex=asked["market_index"],
            ClientOrderIndex=asked["client_order_index"],
            BaseAmount=asked["base_amount"],
            Price=asked["price"],
            IsAsk=int(asked["is_ask"]),
            Type=asked["order_type"],
            TimeInForce=asked["time_in_force"],
            ReduceOnly=int(asked["reduce_only"]),
            TriggerPrice=asked["trigger_price"],
            OrderExpiry=asked["order_expiry"],
        )

    def sign_cancel_order(self, **asked: int) -> tuple[int, str, str, None]:
        return self._written(
            facts.TX_CANCEL_ORDER, asked, MarketIndex=asked["market_index"], Index=asked["order_index"]
        )

    def sign_cancel_all_orders(self, **asked: int) -> tuple[int, str, str, None]:
        return self._written(facts.TX_CANCEL_ALL, asked, TimeInForce=asked["time_in_force"], Time=asked["timestamp_ms"])

    def sign_update_leverage(self, **asked: int) -> tuple[int, str, str, None]:
        return self._written(
            facts.TX_UPDATE_LEVERAGE,
            asked,
            MarketIndex=asked["market_index"],
            InitialMarginFraction=asked["fraction"],
            MarginMode=asked["margin_mode"],
        )

    def _written(self, kind: int, asked: Mapping[str, int], **body: int) -> tuple[int, str, str, None]:
        info = msgspec.json.encode(
            {
                **body,
                "AccountIndex": self._account_index,
                "ApiKeyIndex": asked["api_key_index"],
                "Nonce": asked["nonce"],
                "ExpiredAt": self._clock.wall_ms() + TRANSACTION_LIFE_MS,
                "Sig": UNSIGNED,
                "L2TxAttributes": None,
            }
        )
        return kind, info.decode(), stand_in_hash(info), None


class StandInKeys(Keys):
    """Signs with the message itself."""

    def sign(self, message_hash: int) -> tuple[int, int]:
        return message_hash, 1


def _settings(dice: Random) -> Settings:
    """Near the defaults, with a taste for bad trades: a trial that never trades proves nothing.

    Thresholds below zero are not allowed outside, so this does not ask.
    """
    return Settings.model_construct(
        trading_mode="live",
        auto_execution_enabled=True,
        lighter_base_url=f"http://{LIGHTER}",
        lighter_ws_url=f"ws://{LIGHTER}",
        extended_base_url=f"http://{EXTENDED}",
        extended_stream_url=f"ws://{EXTENDED}",
        data_dir=Path("unused"),
        conservative_mode=False,
        min_execution_spread_bps=-EAGER_BPS,
        aggressive_execution_spread_bps=dice.choice((-EAGER_BPS, 1_000.0)),
        min_viable_spread_bps=-EAGER_BPS,
        orderbook_ready_cooldown_seconds=0.2,
        api_request_timeout=dice.choice((2.0, 4.0)),
        ws_reconnect_delay=0.5,
        order_timeout_seconds=4.0,
        book_age_ms_max=5_000,
        book_skew_ms_max=5_000,
        clock_offset_ms_max=5_000,
        max_order_size_usd=dice.choice((60.0, 400.0)),
        unhedged_ms_max=dice.choice((1_500, 3_000, 6_000)),
        trade_stop_loss_bps=1_000.0,
    )

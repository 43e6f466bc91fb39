"""The chain's first accounts: state, markets, oracles, mints, vaults, lookup tables."""

from __future__ import annotations

from dataclasses import dataclass

from twinleg_sims.drift import amm
from twinleg_sims.drift.accounts_v2 import LAZER_ORACLE
from twinleg_sims.drift.call import Price
from twinleg_sims.drift.keys import made_up
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.ledger import Ledger
from twinleg_sims.drift.money import TOKEN_ACCOUNT, TOKEN_PROGRAM
from twinleg_sims.drift.transaction import table_account
from twinleg_sims.drift.words import BASE, INTEREST, PEG, PRICE, SPOT_BALANCE

LOOKUP_PROGRAM = made_up("address lookup table program")
_LAZER, _LAZER_STABLE = 12, 15
_DEPTH_USD = 200_000_000
"""Each side of every AMM: a hundredth of a price move takes half a hundredth of it."""
_HOUR_S = 3600
_LAZER_EXPONENT = -8
_ACTIVE = 1


@dataclass(frozen=True, slots=True)
class MarketTerms:
    """A perp market as it is opened. Sizes are BASE units, ticks PRICE units, ratios of MARGIN."""

    index: int
    asset: str
    tier: int
    step: int
    tick: int
    initial: int
    maintenance: int
    spread: int
    """Each side's, of 1e6."""

    @property
    def symbol(self) -> str:
        return f"{self.asset}-PERP"


TERMS = {
    "drift": (
        MarketTerms(0, "SOL", 0, 10_000_000, 100, 500, 300, 150),
        MarketTerms(1, "BTC", 0, 100_000, 100_000, 500, 300, 100),
        MarketTerms(2, "ETH", 0, 1_000_000, 10_000, 500, 200, 100),
    ),
    "velocity": (
        MarketTerms(0, "SOL", 1, 10_000_000, 1_000, 500, 300, 200),
        MarketTerms(1, "BTC", 1, 100_000, 100_000, 500, 200, 175),
        MarketTerms(2, "ETH", 1, 1_000_000, 10_000, 500, 300, 175),
        MarketTerms(3, "HYPE", 2, 100_000_000, 100, 1000, 500, 1000),
    ),
}
"""What each program lists here; the second's are the relaunch's parameters."""


def oracle_key(name: str) -> bytes:
    return made_up("lazer oracle", name)


def open_chain(ledger: Ledger, prices: dict[str, float]) -> list[MarketTerms]:
    """Write every account of the beginning; the markets, those whose asset has a price."""
    profile = ledger.profile
    terms = [each for each in TERMS[profile.name] if each.asset in prices]
    _state(ledger, len(terms))
    for name, price in {**prices, profile.quote_symbol: 1.0}.items():
        post_oracle(ledger, name, price)
    _spot_market(ledger, 0, profile.quote_symbol, profile.quote_mint, 6)
    _spot_market(ledger, 1, "SOL", made_up("wrapped SOL"), 9)
    for each in terms:
        _perp_market(ledger, each, prices[each.asset])
    for table in profile.lookup_tables:
        ledger.put(table, table_account([]), LOOKUP_PROGRAM)
    return terms


def post_oracle(ledger: Ledger, name: str, price: float) -> None:
    """Post a price in this slot."""
    shape = LAZER_ORACLE
    oracle = Record(shape, ledger.profile.blank(shape))
    oracle["price"] = round(price * 10**-_LAZER_EXPONENT)
    oracle["publish_time"] = ledger.clock.ts * 1_000_000
    oracle["posted_slot"] = ledger.clock.slot
    oracle["exponent"] = _LAZER_EXPONENT
    oracle["conf"] = round(price * 10**-_LAZER_EXPONENT / 5_000)
    ledger.put(oracle_key(name), oracle.data, ledger.profile.program)


def _state(ledger: Ledger, perps: int) -> None:
    profile = ledger.profile
    state = Record(profile.state, profile.blank(profile.state))
    for tier in state.all("fee_tiers"):
        tier["fee_numerator"], tier["fee_denominator"] = (42, 120_000) if profile.builder_fields else (35, 100_000)
        tier["maker_rebate_numerator"], tier["maker_rebate_denominator"] = 25, 1_000_000
        tier["referrer_reward_denominator"] = tier["referee_fee_denominator"] = 100
    state["reward_numerator"], state["reward_denominator"] = 1, 10
    state["time_based_reward_lower_bound"] = state["flat_filler_fee"] = 10_000
    state["slots_before_stale_for_amm"], state["slots_before_stale_for_margin"] = 10, 120
    state["confidence_interval_max_size"], state["too_volatile_ratio"] = 20_000, 5
    state["number_of_markets"], state["number_of_spot_markets"] = perps, 2
    state["liquidation_margin_buffer_ratio"] = 200
    state["min_perp_auction_duration"] = 5 if profile.builder_fields else 10
    state["default_market_order_time_in_force"] = 60
    ledger.put(profile.state_key, state.data, profile.program)


def _spot_market(ledger: Ledger, index: int, name: str, mint: bytes, decimals: int) -> None:
    profile = ledger.profile
    address, vault = profile.spot_market_key(index), profile.vault_key(index)
    market = Record(profile.spot_market, profile.blank(profile.spot_market))
    for field, raw in (("pubkey", address), ("oracle", oracle_key(name)), ("mint", mint), ("vault", vault)):
        market.put(field, raw)
    market.put("name", name.encode().ljust(32))
    market["cumulative_deposit_interest"] = market["cumulative_borrow_interest"] = INTEREST
    market["deposit_balance"] = SPOT_BALANCE
    weights = ("initial_asset_weight", "maintenance_asset_weight")
    for field in (*weights, "initial_liability_weight", "maintenance_liability_weight"):
        market[field] = 10_000 if index == 0 else 8_000 if field in weights else 12_000
    market["decimals"], market["market_index"], market["status"] = decimals, index, _ACTIVE
    market["oracle_source"] = _LAZER_STABLE if index == 0 else _LAZER
    _set_past(market, PRICE, ledger.clock.ts)
    ledger.put(address, market.data, profile.program)
    ledger.put(vault, token_account(mint, profile.signer_key(), 10**9 * 10**decimals), TOKEN_PROGRAM)
    ledger.put(mint, bytes(82), TOKEN_PROGRAM)


def _perp_market(ledger: Ledger, terms: MarketTerms, price: float) -> None:
    profile, ts = ledger.profile, ledger.clock.ts
    address = profile.perp_market_key(terms.index)
    market = Record(profile.perp_market, profile.blank(profile.perp_market))
    market.put("pubkey", address)
    market.put("oracle", oracle_key(terms.asset))
    market.put("name", terms.symbol.encode().ljust(32))
    if "oracle_source" in market.layout.fields:
        market["oracle_source"] = _LAZER
    units = round(price * PRICE)
    reserve = round(_DEPTH_USD / price * BASE)
    market["base_asset_reserve"] = market["quote_asset_reserve"] = market["sqrt_k"] = reserve
    market["terminal_quote_asset_reserve"] = reserve
    market["concentration_coef"] = 1_414_213
    market["min_base_asset_reserve"], market["max_base_asset_reserve"] = (
        reserve * 7071 // 10**4,
        reserve * 14142 // 10**4,
    )
    market["peg_multiplier"] = units * PEG // PRICE
    market["long_spread"] = market["short_spread"] = market["base_spread"] = terms.spread
    market["max_spread"] = 20_000
    market["order_step_size"], market["order_tick_size"] = terms.step, terms.tick
    market["min_order_size"] = terms.step
    market["margin_ratio_initial"], market["margin_ratio_maintenance"] = terms.initial, terms.maintenance
    market["unrealized_pnl_initial_asset_weight"] = market["unrealized_pnl_maintenance_asset_weight"] = 10_000
    market["market_index"], market["status"], market["contract_tier"] = terms.index, _ACTIVE, terms.tier
    market["next_fill_record_id"] = market["next_funding_rate_record_id"] = 1
    market["funding_period"] = _HOUR_S
    market["last_funding_rate_ts"] = ts // _HOUR_S * _HOUR_S
    market["volume_24h"] = 250_000_000 * PRICE
    market["max_fill_reserve_fraction"], market["max_slippage_ratio"] = 100, 50
    _set_past(market, units, ts)
    market["last_mark_price_twap_ts"] = ts
    for field in ("last_bid_price_twap", "last_ask_price_twap", "last_mark_price_twap", "last_mark_price_twap_5min"):
        market[field] = units
    amm.update(market, Price(units, 0, 0), ledger.clock.slot, ts)
    ledger.put(address, market.data, profile.program)


def token_account(mint: bytes, owner: bytes, amount: int) -> bytearray:
    """An SPL token account's data."""
    account = Record(TOKEN_ACCOUNT, bytearray(TOKEN_ACCOUNT.size))
    account.put("mint", mint)
    account.put("owner", owner)
    account["amount"], account["state"] = amount, 1
    return account.data


def _set_past(market: Record, price: int, ts: int) -> None:
    for field in ("last_oracle_price", "last_oracle_price_twap", "last_oracle_price_twap_5min"):
        market[field] = price
    market["last_oracle_price_twap_ts"] = ts

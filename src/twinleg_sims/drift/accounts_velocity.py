"""The accounts of Velocity (August 2026) as far as recorded ones tell their layout; the rest is left alone."""

from __future__ import annotations

from twinleg_sims.drift.accounts_v2 import FEE_TIER, LAZER_ORACLE, SPOT_POSITION, USER_STATS
from twinleg_sims.drift.layout import layout

__all__ = ["LAZER_ORACLE", "USER_STATS"]

STATE = layout(
    "State",
    """
    disc:b8 @552 fee_tiers:FeeTier*10 time_based_reward_lower_bound:u128 reward_numerator:u32 reward_denominator:u32
    referrer_reward_epoch_upper_bound:u64 flat_filler_fee:u64 @1304 slots_before_stale_for_amm:i64
    slots_before_stale_for_margin:i64 confidence_interval_max_size:u64 too_volatile_ratio:i64
    number_of_authorities:u64 number_of_sub_accounts:u64 @1352 liquidation_margin_buffer_ratio:u32
    settlement_duration:u16 number_of_markets:u16 number_of_spot_markets:u16 signer_nonce:u8
    min_perp_auction_duration:u8 default_market_order_time_in_force:u8 default_spot_auction_duration:u8
    exchange_status:u8 @1752
    """,
    FEE_TIER,
)
PERP_MARKET = layout(
    "PerpMarket",
    """
    disc:b8 pubkey:b32 base_asset_amount_long:i128 base_asset_amount_short:i128 quote_asset_amount:i128
    quote_entry_amount_long:i128 quote_entry_amount_short:i128 quote_break_even_amount_long:i128
    quote_break_even_amount_short:i128 max_open_interest:u128 @184 cumulative_funding_rate_long:i128
    cumulative_funding_rate_short:i128 total_exchange_fee:u128 @312 oracle:b32 @424 name:b32
    @496 last_funding_rate:i64 last_funding_rate_long:i64 last_funding_rate_short:i64 last_funding_rate_ts:i64
    @544 order_step_size:u64 order_tick_size:u64 min_order_size:u64 @584 next_fill_record_id:u64
    next_funding_rate_record_id:u64 next_curve_record_id:u64 liquidator_fee:u32 if_liquidation_fee:u32
    margin_ratio_initial:u32 margin_ratio_maintenance:u32 unrealized_pnl_initial_asset_weight:u32
    unrealized_pnl_maintenance_asset_weight:u32 number_of_users_with_base:u32 number_of_users:u32
    market_index:u16 status:u8 contract_type:u8 contract_tier:u8 paused_operations:u8
    @656 last_fill_price:u64 @680 last_mark_price_twap:u64 last_mark_price_twap_5min:u64 last_mark_price_twap_ts:i64
    last_bid_price_twap:u64 last_ask_price_twap:u64 mark_std:u64 oracle_std:u64 @744 volume_24h:u64
    @768 last_trade_ts:i64 @784 funding_period:i64 @800 mm_oracle_price:i64 mm_oracle_slot:u64
    mm_oracle_sequence_id:u64 last_oracle_normalised_price:i64 @848 last_oracle_price:i64 last_oracle_conf:u64
    last_oracle_delay:i64 last_oracle_price_twap:i64 last_oracle_price_twap_5min:i64 last_oracle_price_twap_ts:i64
    @936 base_asset_reserve:u128 quote_asset_reserve:u128 concentration_coef:u128 min_base_asset_reserve:u128
    max_base_asset_reserve:u128 sqrt_k:u128 peg_multiplier:u128 terminal_quote_asset_reserve:u128
    base_asset_amount_with_amm:i128 @1144 ask_base_asset_reserve:u128 ask_quote_asset_reserve:u128
    bid_base_asset_reserve:u128 bid_quote_asset_reserve:u128 last_update_slot:u64
    last_oracle_reserve_price_spread_pct:i64 @1256 base_spread:u32 max_spread:u32 long_spread:u32 short_spread:u32
    reference_price_offset:i32 max_fill_reserve_fraction:u16 max_slippage_ratio:u16 @1304
    """,
)
SPOT_MARKET = layout(
    "SpotMarket",
    """
    disc:b8 pubkey:b32 oracle:b32 mint:b32 vault:b32 name:b32 @296 deposit_balance:u128 borrow_balance:u128
    cumulative_deposit_interest:u128 cumulative_borrow_interest:u128 @456 last_oracle_price:i64 last_oracle_conf:u64
    last_oracle_delay:i64 last_oracle_price_twap:i64 last_oracle_price_twap_5min:i64 last_oracle_price_twap_ts:i64
    @656 initial_asset_weight:u32 maintenance_asset_weight:u32 initial_liability_weight:u32
    maintenance_liability_weight:u32 @696 decimals:u32 market_index:u16 orders_enabled:u8 oracle_source:u8 status:u8
    @808
    """,
)
PERP_POSITION = layout(
    "PerpPosition",
    """
    last_cumulative_funding_rate:i64 base_asset_amount:i64 quote_asset_amount:i64 quote_break_even_amount:i64
    quote_entry_amount:i64 open_bids:i64 open_asks:i64 settled_pnl:i64 isolated_position_scaled_balance:u64
    padding:b2 max_margin_ratio:u16 market_index:u16 open_orders:u8 position_flag:u8
    """,
)
ORDER = layout(
    "Order",
    """
    slot:u64 price:u64 base_asset_amount:u64 base_asset_amount_filled:u64 quote_asset_amount_filled:u64
    trigger_price:u64 auction_start_price:i64 auction_end_price:i64 max_ts:i64 oracle_price_offset:i64 order_id:u32
    market_index:u16 status:u8 order_type:u8 market_type:u8 user_order_id:u8 existing_position_direction:u8
    direction:u8 reduce_only:u8 post_only:u8 immediate_or_cancel:u8 trigger_condition:u8 auction_duration:u8
    posted_slot_tail:u8 bit_flags:u8 padding:b5
    """,
)
USER = layout(
    "User",
    """
    disc:b8 authority:b32 delegate:b32 name:b32 spot_positions:SpotPosition*8 perp_positions:PerpPosition*8
    orders:Order*32 unknown:b56 last_active_slot:u64 next_order_id:u32 max_margin_ratio:u32
    next_liquidation_id:u16 sub_account_id:u16 status:u8 is_margin_trading_enabled:u8 idle:u8 open_orders:u8
    has_open_order:u8 open_auctions:u8 has_open_auction:u8 margin_mode:u8 pool_id:u8 tail:b19
    """,
    SPOT_POSITION,
    PERP_POSITION,
    ORDER,
)

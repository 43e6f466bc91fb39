"""The accounts of Drift v2, field by field; every account begins with its discriminator."""

from __future__ import annotations

from twinleg_sims.drift.layout import layout

FEE_TIER = layout(
    "FeeTier",
    """
    fee_numerator:u32 fee_denominator:u32 maker_rebate_numerator:u32 maker_rebate_denominator:u32
    referrer_reward_numerator:u32 referrer_reward_denominator:u32 referee_fee_numerator:u32
    referee_fee_denominator:u32
    """,
)
FILLER_REWARD = layout(
    "OrderFillerRewardStructure",
    """
    reward_numerator:u32 reward_denominator:u32 time_based_reward_lower_bound:u128
    """,
)
FEE_STRUCTURE = layout(
    "FeeStructure",
    """
    fee_tiers:FeeTier*10 filler_reward_structure:OrderFillerRewardStructure referrer_reward_epoch_upper_bound:u64
    flat_filler_fee:u64
    """,
    FEE_TIER,
    FILLER_REWARD,
)
DIVERGENCE = layout(
    "PriceDivergenceGuardRails",
    """
    mark_oracle_percent_divergence:u64 oracle_twap_5min_percent_divergence:u64
    """,
)
VALIDITY = layout(
    "ValidityGuardRails",
    """
    slots_before_stale_for_amm:i64 slots_before_stale_for_margin:i64 confidence_interval_max_size:u64
    too_volatile_ratio:i64
    """,
)
GUARD_RAILS = layout(
    "OracleGuardRails",
    """
    price_divergence:PriceDivergenceGuardRails validity:ValidityGuardRails
    """,
    DIVERGENCE,
    VALIDITY,
)
STATE = layout(
    "State",
    """
    disc:b8 admin:b32 whitelist_mint:b32 discount_mint:b32 signer:b32 srm_vault:b32 perp_fee_structure:FeeStructure
    spot_fee_structure:FeeStructure oracle_guard_rails:OracleGuardRails number_of_authorities:u64
    number_of_sub_accounts:u64 lp_cooldown_time:u64 liquidation_margin_buffer_ratio:u32 settlement_duration:u16
    number_of_markets:u16 number_of_spot_markets:u16 signer_nonce:u8 min_perp_auction_duration:u8
    default_market_order_time_in_force:u8 default_spot_auction_duration:u8 exchange_status:u8
    liquidation_duration:u8 initial_pct_to_liquidate:u16 max_number_of_sub_accounts:u16 max_initialize_user_fee:u16
    feature_bit_flags:u8 padding:b9
    """,
    FEE_STRUCTURE,
    GUARD_RAILS,
)
PAST_ORACLE = layout(
    "HistoricalOracleData",
    """
    last_oracle_price:i64 last_oracle_conf:u64 last_oracle_delay:i64 last_oracle_price_twap:i64
    last_oracle_price_twap_5min:i64 last_oracle_price_twap_ts:i64
    """,
)
POOL = layout("PoolBalance", "scaled_balance:u128 market_index:u16 padding:b6")
AMM = layout(
    "AMM",
    """
    oracle:b32 historical_oracle_data:HistoricalOracleData base_asset_amount_per_lp:i128
    quote_asset_amount_per_lp:i128 fee_pool:PoolBalance base_asset_reserve:u128 quote_asset_reserve:u128
    concentration_coef:u128 min_base_asset_reserve:u128 max_base_asset_reserve:u128 sqrt_k:u128 peg_multiplier:u128
    terminal_quote_asset_reserve:u128 base_asset_amount_long:i128 base_asset_amount_short:i128
    base_asset_amount_with_amm:i128 base_asset_amount_with_unsettled_lp:i128 max_open_interest:u128
    quote_asset_amount:i128 quote_entry_amount_long:i128 quote_entry_amount_short:i128
    quote_break_even_amount_long:i128 quote_break_even_amount_short:i128 user_lp_shares:u128 last_funding_rate:i64
    last_funding_rate_long:i64 last_funding_rate_short:i64 last_24h_avg_funding_rate:i64 total_fee:i128
    total_mm_fee:i128 total_exchange_fee:u128 total_fee_minus_distributions:i128 total_fee_withdrawn:u128
    total_liquidation_fee:u128 cumulative_funding_rate_long:i128 cumulative_funding_rate_short:i128
    total_social_loss:u128 ask_base_asset_reserve:u128 ask_quote_asset_reserve:u128 bid_base_asset_reserve:u128
    bid_quote_asset_reserve:u128 last_oracle_normalised_price:i64 last_oracle_reserve_price_spread_pct:i64
    last_bid_price_twap:u64 last_ask_price_twap:u64 last_mark_price_twap:u64 last_mark_price_twap_5min:u64
    last_update_slot:u64 last_oracle_conf_pct:u64 net_revenue_since_last_funding:i64 last_funding_rate_ts:i64
    funding_period:i64 order_step_size:u64 order_tick_size:u64 min_order_size:u64 mm_oracle_slot:u64 volume_24h:u64
    long_intensity_volume:u64 short_intensity_volume:u64 last_trade_ts:i64 mark_std:u64 oracle_std:u64
    last_mark_price_twap_ts:i64 base_spread:u32 max_spread:u32 long_spread:u32 short_spread:u32 mm_oracle_price:i64
    max_fill_reserve_fraction:u16 max_slippage_ratio:u16 curve_update_intensity:u8 amm_jit_intensity:u8
    oracle_source:u8 last_oracle_valid:u8 target_base_asset_amount_per_lp:i32 per_lp_base:i8
    taker_speed_bump_override:i8 amm_spread_adjustment:i8 oracle_slot_delay_override:i8 mm_oracle_sequence_id:u64
    net_unsettled_funding_pnl:i64 quote_asset_amount_with_unsettled_lp:i64 reference_price_offset:i32
    amm_inventory_spread_adjustment:i8 reference_price_offset_deadband_pct:u8 padding:b2
    last_funding_oracle_twap:i64
    """,
    PAST_ORACLE,
    POOL,
)
INSURANCE_CLAIM = layout(
    "InsuranceClaim",
    """
    revenue_withdraw_since_last_settle:i64 max_revenue_withdraw_per_period:u64 quote_max_insurance:u64
    quote_settled_insurance:u64 last_revenue_withdraw_ts:i64
    """,
)
PERP_MARKET = layout(
    "PerpMarket",
    """
    disc:b8 pubkey:b32 amm:AMM pnl_pool:PoolBalance name:b32 insurance_claim:InsuranceClaim
    unrealized_pnl_max_imbalance:u64 expiry_ts:i64 expiry_price:i64 next_fill_record_id:u64
    next_funding_rate_record_id:u64 next_curve_record_id:u64 imf_factor:u32 unrealized_pnl_imf_factor:u32
    liquidator_fee:u32 if_liquidation_fee:u32 margin_ratio_initial:u32 margin_ratio_maintenance:u32
    unrealized_pnl_initial_asset_weight:u32 unrealized_pnl_maintenance_asset_weight:u32
    number_of_users_with_base:u32 number_of_users:u32 market_index:u16 status:u8 contract_type:u8 contract_tier:u8
    paused_operations:u8 quote_spot_market_index:u16 fee_adjustment:i16 fuel_boost_position:u8 fuel_boost_taker:u8
    fuel_boost_maker:u8 pool_id:u8 high_leverage_margin_ratio_initial:u16 high_leverage_margin_ratio_maintenance:u16
    protected_maker_limit_price_divisor:u8 protected_maker_dynamic_divisor:u8 padding1:u32 last_fill_price:u64
    padding:b24
    """,
    AMM,
    POOL,
    INSURANCE_CLAIM,
)
PAST_INDEX = layout(
    "HistoricalIndexData",
    """
    last_index_bid_price:u64 last_index_ask_price:u64 last_index_price_twap:u64 last_index_price_twap_5min:u64
    last_index_price_twap_ts:i64
    """,
)
INSURANCE_FUND = layout(
    "InsuranceFund",
    """
    vault:b32 total_shares:u128 user_shares:u128 shares_base:u128 unstaking_period:i64 last_revenue_settle_ts:i64
    revenue_settle_period:i64 total_factor:u32 user_factor:u32
    """,
)
SPOT_MARKET = layout(
    "SpotMarket",
    """
    disc:b8 pubkey:b32 oracle:b32 mint:b32 vault:b32 name:b32 historical_oracle_data:HistoricalOracleData
    historical_index_data:HistoricalIndexData revenue_pool:PoolBalance spot_fee_pool:PoolBalance
    insurance_fund:InsuranceFund total_spot_fee:u128 deposit_balance:u128 borrow_balance:u128
    cumulative_deposit_interest:u128 cumulative_borrow_interest:u128 total_social_loss:u128
    total_quote_social_loss:u128 withdraw_guard_threshold:u64 max_token_deposits:u64 deposit_token_twap:u64
    borrow_token_twap:u64 utilization_twap:u64 last_interest_ts:u64 last_twap_ts:u64 expiry_ts:i64
    order_step_size:u64 order_tick_size:u64 min_order_size:u64 max_position_size:u64 next_fill_record_id:u64
    next_deposit_record_id:u64 initial_asset_weight:u32 maintenance_asset_weight:u32 initial_liability_weight:u32
    maintenance_liability_weight:u32 imf_factor:u32 liquidator_fee:u32 if_liquidation_fee:u32
    optimal_utilization:u32 optimal_borrow_rate:u32 max_borrow_rate:u32 decimals:u32 market_index:u16
    orders_enabled:u8 oracle_source:u8 status:u8 asset_tier:u8 paused_operations:u8 if_paused_operations:u8
    fee_adjustment:i16 max_token_borrows_fraction:u16 flash_loan_amount:u64 flash_loan_initial_token_amount:u64
    total_swap_fee:u64 scale_initial_asset_weight_start:u64 min_borrow_rate:u8 fuel_boost_deposits:u8
    fuel_boost_borrows:u8 fuel_boost_taker:u8 fuel_boost_maker:u8 fuel_boost_insurance:u8 token_program_flag:u8
    pool_id:u8 padding:b40
    """,
    PAST_ORACLE,
    PAST_INDEX,
    POOL,
    INSURANCE_FUND,
)
SPOT_POSITION = layout(
    "SpotPosition",
    """
    scaled_balance:u64 open_bids:i64 open_asks:i64 cumulative_deposits:i64 market_index:u16 balance_type:u8
    open_orders:u8 padding:b4
    """,
)
PERP_POSITION = layout(
    "PerpPosition",
    """
    last_cumulative_funding_rate:i64 base_asset_amount:i64 quote_asset_amount:i64 quote_break_even_amount:i64
    quote_entry_amount:i64 open_bids:i64 open_asks:i64 settled_pnl:i64 lp_shares:u64
    last_base_asset_amount_per_lp:i64 last_quote_asset_amount_per_lp:i64 padding:b2 max_margin_ratio:u16
    market_index:u16 open_orders:u8 per_lp_base:i8
    """,
)
ORDER = layout(
    "Order",
    """
    slot:u64 price:u64 base_asset_amount:u64 base_asset_amount_filled:u64 quote_asset_amount_filled:u64
    trigger_price:u64 auction_start_price:i64 auction_end_price:i64 max_ts:i64 oracle_price_offset:i32 order_id:u32
    market_index:u16 status:u8 order_type:u8 market_type:u8 user_order_id:u8 existing_position_direction:u8
    direction:u8 reduce_only:u8 post_only:u8 immediate_or_cancel:u8 trigger_condition:u8 auction_duration:u8
    posted_slot_tail:u8 bit_flags:u8 padding:b1
    """,
)
USER = layout(
    "User",
    """
    disc:b8 authority:b32 delegate:b32 name:b32 spot_positions:SpotPosition*8 perp_positions:PerpPosition*8
    orders:Order*32 last_add_perp_lp_shares_ts:i64 total_deposits:u64 total_withdraws:u64 total_social_loss:u64
    settled_perp_pnl:i64 cumulative_spot_fees:i64 cumulative_perp_funding:i64 liquidation_margin_freed:u64
    last_active_slot:u64 next_order_id:u32 max_margin_ratio:u32 next_liquidation_id:u16 sub_account_id:u16 status:u8
    is_margin_trading_enabled:u8 idle:u8 open_orders:u8 has_open_order:u8 open_auctions:u8 has_open_auction:u8
    margin_mode:u8 pool_id:u8 padding1:b3 last_fuel_bonus_update_ts:u32 padding:b12
    """,
    SPOT_POSITION,
    PERP_POSITION,
    ORDER,
)
USER_FEES = layout(
    "UserFees",
    """
    total_fee_paid:u64 total_fee_rebate:u64 total_token_discount:u64 total_referee_discount:u64
    total_referrer_reward:u64 current_epoch_referrer_reward:u64
    """,
)
USER_STATS = layout(
    "UserStats",
    """
    disc:b8 authority:b32 referrer:b32 fees:UserFees next_epoch_ts:i64 maker_volume_30d:u64 taker_volume_30d:u64
    filler_volume_30d:u64 last_maker_volume_30d_ts:i64 last_taker_volume_30d_ts:i64 last_filler_volume_30d_ts:i64
    if_staked_quote_asset_amount:u64 number_of_sub_accounts:u16 number_of_sub_accounts_created:u16
    referrer_status:u8 disable_update_perp_bid_ask_twap:u8 padding1:b1 fuel_overflow_status:u8 fuel_insurance:u32
    fuel_deposits:u32 fuel_borrows:u32 fuel_positions:u32 fuel_taker:u32 fuel_maker:u32
    if_staked_gov_token_amount:u64 last_fuel_if_bonus_update_ts:u32 padding:b12
    """,
    USER_FEES,
)
LAZER_ORACLE = layout(
    "PythLazerOracle",
    """
    disc:b8 price:i64 publish_time:u64 posted_slot:u64 exponent:i32 padding:b4 conf:u64
    """,
)
PRELAUNCH_ORACLE = layout(
    "PrelaunchOracle",
    """
    disc:b8 price:i64 max_price:i64 confidence:u64 last_update_slot:u64 amm_last_update_slot:u64
    perp_market_index:u16 padding:b70
    """,
)

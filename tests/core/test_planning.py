"""What is approved is what is planned: sizes, prices, grids and budgets of the right leg."""

from __future__ import annotations

import msgspec

from market_samples import NOW_MS, NOW_NS, ONE, TWO, limits, market, pair
from twinleg.core.edge import evaluate, prepare
from twinleg.core.entry import Mode
from twinleg.core.guard import Approved, Exposure, approve
from twinleg.core.orders import Leg
from twinleg.core.pairs import Limits, Pair, gates
from twinleg.core.planning import plan_trade

PLENTY = Exposure(
    gross_usd=0.0,
    by_venue_usd={"one": 0.0, "two": 0.0},
    equity_usd={"one": 10_000.0, "two": 10_000.0},
    available_usd={"one": 10_000.0, "two": 10_000.0},
    open_assets=frozenset(),
    open_trades=0,
)
LIMITS = limits(max_order_size_usd=200.0)


class Numbers(msgspec.Struct):
    """The budgets of a plan."""

    order_timeout_seconds: float = 300.0
    unhedged_ms_max: int = 3_000
    unhedged_notional_max_usd: float = 250.0
    flatten_slippage_bps_max: float = 200.0
    max_retry_attempts: int = 3


def approved(made: Pair, held_to: Limits = LIMITS) -> Approved:
    prepare(made, NOW_MS)
    found = evaluate(made, NOW_MS, gates(made, NOW_NS, {}))
    assert found is not None
    leave = approve(found, PLENTY, held_to)
    assert isinstance(leave, Approved), leave
    return leave


def test_a_plan_is_what_was_approved() -> None:
    made = pair(LIMITS)
    leave = approved(made)
    plan = plan_trade("T000007", leave, made, Numbers())
    assert (plan.trade_id, plan.asset, plan.common_lots) == ("T000007", "PEPE", leave.common_lots)
    assert (plan.long.market, plan.short.market) == (ONE.key, TWO.key)
    assert (plan.long.price_grid, plan.short.price_grid) == (ONE.price_grid, TWO.price_grid)
    assert (plan.long.size_grid, plan.short.size_grid) == (ONE.size_grid, TWO.size_grid)
    assert (plan.long.lots_per_common_lot, plan.short.lots_per_common_lot) == (1, 2)
    assert (plan.long.limit_ticks, plan.short.limit_ticks) == (leave.long_limit_ticks, leave.short_limit_ticks)
    assert (plan.long.taker_fee_bps, plan.short.taker_fee_bps) == (0.0, 2.5)
    assert plan.edge_bps == leave.opportunity.net_bps
    assert (plan.unhedged_ms_max, plan.attempt_ms) == (3_000, 3_000)
    assert plan.unhedged_notional_max_micro_usd == 250_000_000


def test_at_once_neither_leg_goes_first() -> None:
    made = pair(LIMITS)
    plan = plan_trade("T000001", approved(made), made, Numbers())
    assert (plan.first, plan.rest_ms) == (None, 0)


def test_a_leg_that_rests_lives_as_long_as_an_order_may_and_at_its_own_price() -> None:
    held_to = limits(max_order_size_usd=200.0, aggressive_execution_spread_bps=1e9)
    made = pair(held_to)
    leave = approved(made, held_to)
    assert leave.opportunity.mode is Mode.MAKER_FIRST
    plan = plan_trade("T000001", leave, made, Numbers(order_timeout_seconds=12.5))
    assert (plan.first, plan.rest_ms) == (leave.opportunity.first, 12_500)
    assert plan.first is Leg.SHORT
    assert plan.short.limit_ticks == plan.short.decision_ticks == made.short.book.ask_prices[0]


def test_where_a_leg_goes_first_a_common_lot_is_an_order_that_both_venues_take() -> None:
    held_to = limits(max_order_size_usd=200.0, aggressive_execution_spread_bps=1e9)
    made = pair(held_to)
    leave = approved(made, held_to)
    plan = plan_trade("T000001", leave, made, Numbers())
    least = leave.opportunity.least_order_common_lots
    assert (plan.long.lots_per_common_lot, plan.short.lots_per_common_lot) == (least, 2 * least)
    assert plan.lots(Leg.LONG) == leave.common_lots
    assert plan.lots(Leg.SHORT) == 2 * leave.common_lots
    smallest_usd = plan.long.lots_per_common_lot * float(plan.long.money_unit) * plan.long.decision_ticks
    assert smallest_usd >= ONE.min_notional_usd


def test_a_slow_venue_takes_first() -> None:
    taking = limits(max_order_size_usd=200.0, aggressive_execution_spread_bps=0.0)
    made = pair(taking, two=market(TWO, taker_delay_ms=5_000))
    plan = plan_trade("T000001", approved(made), made, Numbers())
    assert (plan.first, plan.rest_ms) == (Leg.SHORT, 0)


def test_bounds_widen_to_the_flatten_slippage_in_as_many_steps_as_attempts() -> None:
    made = pair(LIMITS)
    leave = approved(made)
    assert plan_trade("T000001", leave, made, Numbers()).bounds_bps == (66, 133, 200)
    assert plan_trade("T000001", leave, made, Numbers(max_retry_attempts=0)).bounds_bps == (200,)

"""The words of trading refuse what makes no sense, and name orders without clock or dice."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import msgspec
import pytest

from trade_samples import LONG_PLAN, PLAN, plan
from twinleg.core.orders import Filled, Leg, LegPlan, Side, TradePlan, client_id


@pytest.mark.parametrize(
    "changes",
    [
        {"common_lots": 0},
        {"unhedged_ms_max": 0},
        {"attempt_ms": -1},
        {"unhedged_notional_max_micro_usd": 0},
        {"bounds_bps": ()},
        {"bounds_bps": (50, 10)},
        {"bounds_bps": (-1, 10)},
        {"bounds_bps": (10, 10_000)},
        {"short": LONG_PLAN},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    fields = {name: getattr(PLAN, name) for name in TradePlan.__struct_fields__}
    with pytest.raises(ValueError, match=r"must|both legs"):
        TradePlan(**(fields | changes))


@pytest.mark.parametrize("name", ["lots_per_common_lot", "limit_ticks", "decision_ticks"])
def test_a_leg_needs_positive_numbers(name: str) -> None:
    fields = {field: getattr(LONG_PLAN, field) for field in LegPlan.__struct_fields__}
    with pytest.raises(ValueError, match="positive"):
        LegPlan(**(fields | {name: 0}))


@pytest.mark.parametrize(("price_ticks", "size_lots"), [(0, 1), (1, 0), (1, -1)])
def test_a_fill_of_nothing_is_refused(price_ticks: int, size_lots: int) -> None:
    with pytest.raises(ValueError, match="fill of nothing"):
        Filled("t1-long-0", "f", price_ticks, size_lots, 0, 0)


def test_client_ids_are_distinct_and_repeatable() -> None:
    cases = list(product(["t1", "t12"], Leg, range(12)))
    ids = [client_id(*case) for case in cases]
    assert len(set(ids)) == len(cases)
    assert ids == [client_id(*case) for case in cases]


def test_legs_and_sides() -> None:
    assert (Leg.LONG.entry_side, Leg.SHORT.entry_side) == (Side.BUY, Side.SELL)
    assert (Side.BUY.sign, Side.BUY.opposite, Leg.LONG.other) == (1, Side.SELL, Leg.SHORT)
    assert [PLAN.lots(leg) for leg in Leg] == [12, 8]
    assert PLAN.long.money_unit == Fraction(1, 10**6)
    assert PLAN.short.money_unit == Fraction(5, 10**4)


def test_a_plan_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(plan()), type=TradePlan) == PLAN

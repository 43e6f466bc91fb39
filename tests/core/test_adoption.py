"""Positions opened by hand as a plan: exact sizes on both legs' own grids, or a sentence that says what to change."""

from __future__ import annotations

import msgspec
import pytest

from market_samples import LIMITS, ONE, TWO
from twinleg.core.adoption import AdoptionError, adopted, adoption, exact
from twinleg.core.orders import Holding
from twinleg.core.pairs import MarketState, Pair


class Numbers(msgspec.Struct, frozen=True):
    """The budgets of a plan."""

    order_timeout_seconds: float = 300.0
    unhedged_ms_max: int = 3_000
    unhedged_notional_max_usd: float = 250.0
    flatten_slippage_bps_max: float = 200.0
    max_retry_attempts: int = 2


def pair() -> Pair:
    """Long in thousands, short in lots of five hundred: a common lot is a thousand."""
    return Pair(MarketState(ONE), MarketState(TWO), LIMITS)


def test_a_size_in_units_is_lots_of_either_market() -> None:
    plan, long, short = adoption("T000007", pair(), "20000.0", ("0.01", "0.00001003"), Numbers())
    assert (plan.trade_id, plan.asset, plan.common_lots) == ("T000007", "PEPE", 20)
    assert (long, short) == (Holding(20, 10_000), Holding(40, 20_060))
    assert (plan.long.lots_per_common_lot, plan.short.lots_per_common_lot) == (1, 2)
    assert (plan.bounds_bps, plan.attempt_ms, plan.unhedged_notional_max_micro_usd) == ((100, 200), 3_000, 250_000_000)
    event = adopted(plan, (long, short), "by hand", 5)
    assert (event.trade_id, event.long, event.short, event.reason, event.at_ms) == (
        "T000007",
        long,
        short,
        "by hand",
        5,
    )


def test_an_average_price_is_rounded_to_a_tick() -> None:
    _, long, _ = adoption("T000007", pair(), "1000", ("0.0100004999", "0.00001003"), Numbers())
    assert long.price_ticks == 10_000


@pytest.mark.parametrize("text", ["", "-1", "0", "0.0", "1e3", "nan", "1.2.3", "\u0661", "1" * 60])
def test_only_plain_positive_decimals_are_numbers(text: str) -> None:
    with pytest.raises(AdoptionError, match="no positive decimal"):
        exact(text, "size")


@pytest.mark.parametrize(("size", "said"), [("999", "less than the 1000"), ("1500", "multiples of 1000")])
def test_a_size_off_the_grid_is_refused(size: str, said: str) -> None:
    with pytest.raises(AdoptionError, match=said):
        adoption("T000007", pair(), size, ("0.01", "0.00001"), Numbers())

"""Every limit refuses with its number; permission cannot be made elsewhere; bounds leave what they promise."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_samples import NOW_MS, NOW_NS, ONE, TWO, limits, market, pair
from soak import examples
from twinleg.core.edge import BPS, Opportunity, evaluate, prepare
from twinleg.core.entry import Mode
from twinleg.core.guard import Approved, Exposure, approve
from twinleg.core.messages import Refusal
from twinleg.core.orders import Leg
from twinleg.core.pairs import Limits, gates

LIMITS = limits(max_order_size_usd=200.0)
NOTHING = Exposure(
    gross_usd=0.0,
    by_venue_usd={"one": 0.0, "two": 0.0},
    equity_usd={"one": 1_000.0, "two": 1_000.0},
    available_usd={"one": 1_000.0, "two": 1_000.0},
    open_assets=frozenset(),
    open_trades=0,
)
AFTER_USD = pytest.approx(1_900 + 2 * 200, rel=0.01)


@cache
def opportunity() -> Opportunity:
    """About 200 USD per leg at some 10 bps after costs, nothing against it."""
    made = pair(LIMITS)
    prepare(made, NOW_MS)
    found = evaluate(made, NOW_MS, gates(made, NOW_NS, {}))
    assert found is not None
    assert found.refusals == ()
    return found


def exposure(**changes: Any) -> Exposure:
    return msgspec.structs.replace(NOTHING, **changes)


def both(usd: float) -> dict[str, float]:
    return {"one": usd, "two": usd}


def refused(leave: Approved | tuple[Refusal, ...]) -> dict[str, Refusal]:
    assert isinstance(leave, tuple)
    assert leave
    return {refusal.code: refusal for refusal in leave}


def granted(leave: Approved | tuple[Refusal, ...]) -> Approved:
    assert isinstance(leave, Approved), leave
    return leave


def test_a_good_opportunity_with_money_is_approved_whole() -> None:
    leave = granted(approve(opportunity(), NOTHING, LIMITS))
    assert leave.common_lots == opportunity().common_lots
    assert leave.notional_usd == opportunity().notional_usd
    assert leave.expected_usd == pytest.approx(opportunity().net_usd)


def test_nobody_else_makes_an_approved() -> None:
    for key in (None, object(), "mint", True):
        with pytest.raises(PermissionError):
            Approved(key, opportunity(), 1, (1, 1))


@pytest.mark.parametrize(
    ("at_risk", "held_to", "code", "value", "limit"),
    [
        (exposure(open_trades=5), LIMITS, "trades", 5, 5),
        (exposure(open_assets=frozenset({"PEPE"})), LIMITS, "asset_open", None, None),
        (exposure(equity_usd={"one": 99.0, "two": 1e4}), LIMITS, "balance", 99.0, 100.0),
        (exposure(equity_usd={"one": 1e4}), LIMITS, "balance", 0.0, 100.0),
        (
            exposure(available_usd={"one": 400.0, "two": 19.0}),
            limits(min_required_available_usd=20.0),
            "available",
            19.0,
            20.0,
        ),
        (exposure(gross_usd=1_900.0, by_venue_usd=both(950.0)), LIMITS, "exposure", AFTER_USD, 2_000.0),
        (exposure(gross_usd=800.0, by_venue_usd={"one": 0.0, "two": 800.0}), LIMITS, "venue_share", None, 0.6),
    ],
)
def test_each_limit_refuses_with_its_number(
    at_risk: Exposure, held_to: Limits, code: str, value: Any, limit: float | None
) -> None:
    found = refused(approve(opportunity(), at_risk, held_to))
    assert list(found) == [code]
    assert found[code].limit == limit
    if value is not None:
        assert found[code].value == value


def test_a_venue_s_share_counts_this_trade() -> None:
    """800 USD on one venue beside 2 x 200: (800 + 200) / 1200."""
    found = refused(approve(opportunity(), exposure(gross_usd=800.0, by_venue_usd={"two": 800.0}), LIMITS))
    assert found["venue_share"].value == pytest.approx(1_000 / 1_200, rel=0.01)
    assert "two" in found["venue_share"].detail
    even = exposure(gross_usd=800.0, by_venue_usd=both(400.0))
    assert granted(approve(opportunity(), even, LIMITS)).common_lots == opportunity().common_lots


def test_a_limit_that_is_just_kept_does_not_refuse() -> None:
    assert granted(approve(opportunity(), exposure(open_trades=4), LIMITS))
    assert granted(approve(opportunity(), exposure(equity_usd=both(100.0)), LIMITS))
    gross = 2_000.0 - 2 * opportunity().notional_usd
    assert granted(approve(opportunity(), exposure(gross_usd=gross, by_venue_usd=both(gross / 2)), LIMITS))


def test_an_opportunity_s_own_refusals_and_standing_reasons_refuse() -> None:
    spoiled = msgspec.structs.replace(opportunity(), refusals=(Refusal("book_stale", "old"),))
    found = refused(approve(spoiled, exposure(open_trades=9), LIMITS, (Refusal("halted", "T000001"),)))
    assert list(found) == ["halted", "book_stale", "trades"]


def test_less_collateral_makes_a_smaller_trade() -> None:
    """50 USD free, 30 % of it per trade, three times levered: 45 USD per leg."""
    leave = granted(approve(opportunity(), exposure(available_usd={"one": 900.0, "two": 50.0}), LIMITS))
    assert leave.notional_usd == pytest.approx(45, rel=0.001)
    assert leave.notional_usd <= 45
    assert leave.expected_usd == pytest.approx(45 * opportunity().net_bps / BPS, rel=0.001)


def test_thin_books_make_a_smaller_trade() -> None:
    depth_usd = opportunity().liquidity.thinnest_depth10_usd
    held_to = limits(max_order_size_usd=200.0, max_balance_to_liquidity=60.0 / depth_usd)
    assert granted(approve(opportunity(), NOTHING, held_to)).notional_usd == pytest.approx(60, rel=0.001)


def test_a_leg_that_fills_first_fits_the_unhedged_budget() -> None:
    held_to = limits(max_order_size_usd=200.0, unhedged_notional_max_usd=80.0)
    leave = granted(approve(opportunity(), NOTHING, held_to))
    assert 79 < leave.notional_usd < 80


def test_what_shrinks_below_the_smallest_order_is_refused() -> None:
    found = refused(approve(opportunity(), exposure(available_usd=both(20.0)), limits(min_order_size_usd=20.0)))
    assert (found["size"].value, found["size"].limit) == (pytest.approx(18.0), 20.0)
    found = refused(approve(opportunity(), exposure(available_usd={"one": 500.0}), LIMITS))
    assert set(found) == {"size", "available"}, "a venue we know nothing of has nothing"
    assert found["size"].value == 0.0


def test_scaling_down_never_ends_below_what_a_venue_takes() -> None:
    """One leg below its venue's minimum would be rejected and the other filled."""
    made = pair(LIMITS, one=market(ONE, min_size_lots=8_000))
    prepare(made, NOW_MS)
    found = evaluate(made, NOW_MS, gates(made, NOW_NS, {}))
    assert found is not None
    assert found.least_common_lots == 8_000
    size = refused(approve(found, exposure(available_usd=both(60.0)), LIMITS))["size"]
    assert (size.value, size.limit) == (pytest.approx(54), pytest.approx(80.12, rel=0.001))
    assert granted(approve(found, exposure(available_usd=both(90.0)), LIMITS)).common_lots >= 8_000


@settings(max_examples=examples(200))
@given(
    net_bps=st.floats(5, 200),
    long_ticks=st.floats(1, 1e7),
    short_ticks=st.floats(1, 1e7),
    viable_bps=st.floats(0, 5),
    slippage_bps=st.floats(0, 100),
)
def test_both_bounds_still_leave_the_minimum_and_never_slip_more_than_allowed(
    net_bps: float, long_ticks: float, short_ticks: float, viable_bps: float, slippage_bps: float
) -> None:
    good = opportunity()
    carry = good.terms.carry_bps + net_bps - good.net_bps
    found = msgspec.structs.replace(
        good,
        net_bps=net_bps,
        terms=msgspec.structs.replace(good.terms, carry_bps=carry),
        decision_ticks=(long_ticks, short_ticks),
    )
    held_to = limits(max_order_size_usd=200.0, min_viable_spread_bps=viable_bps, max_slippage_bps=slippage_bps)
    leave = granted(approve(found, NOTHING, held_to))
    paid_bps = (leave.long_limit_ticks / long_ticks - 1) * BPS
    given_bps = (1 - leave.short_limit_ticks / short_ticks) * BPS
    tiny = 1e-6
    assert paid_bps <= slippage_bps + tiny
    assert given_bps <= slippage_bps + tiny
    assert net_bps - paid_bps - given_bps >= viable_bps - tiny
    assert leave.long_limit_ticks >= int(long_ticks), "rounded towards the better price, by less than a tick"
    assert leave.short_limit_ticks <= -int(-short_ticks // 1)


def test_whole_ticks_stay_when_nothing_is_to_spare() -> None:
    thin = msgspec.structs.replace(opportunity(), decision_ticks=(10_000.0, 20_060.0))
    leave = granted(approve(thin, NOTHING, limits(max_order_size_usd=200.0, max_slippage_bps=0.0)))
    assert (leave.long_limit_ticks, leave.short_limit_ticks) == (10_000, 20_060)


# -- a leg that goes first --------------------------------------------------------------------------------------------


@cache
def resting(first: Leg) -> Opportunity:
    """As above, with one leg resting: the long one at its bid or the short one at its ask."""
    dear = {"maker_fee_bps": 99.0}
    held_to = limits(max_order_size_usd=200.0, aggressive_execution_spread_bps=1e9)
    one, two = (market(ONE), market(TWO, **dear)) if first is Leg.LONG else (market(ONE, **dear), market(TWO))
    made = pair(held_to, one=one, two=two)
    prepare(made, NOW_MS)
    found = evaluate(made, NOW_MS, gates(made, NOW_NS, {}))
    assert found is not None
    assert (found.mode, found.first, found.refusals) == (Mode.MAKER_FIRST, first, ())
    return found


def test_the_leg_that_rests_gets_its_price_and_its_partner_all_that_is_to_spare() -> None:
    held_to = limits(max_order_size_usd=200.0, max_slippage_bps=1_000.0)
    bid, taken = resting(Leg.LONG).decision_ticks
    leave = granted(approve(resting(Leg.LONG), NOTHING, held_to))
    assert leave.long_limit_ticks == bid == 9_998
    assert (1 - leave.short_limit_ticks / taken) * BPS == pytest.approx(resting(Leg.LONG).net_bps - 1.0, abs=0.5)
    assert leave.short_limit_ticks >= taken * (1 - (resting(Leg.LONG).net_bps - 1.0) / BPS)
    taken, ask = resting(Leg.SHORT).decision_ticks
    leave = granted(approve(resting(Leg.SHORT), NOTHING, held_to))
    assert leave.short_limit_ticks == ask == 20_064
    assert (leave.long_limit_ticks / taken - 1) * BPS == pytest.approx(resting(Leg.SHORT).net_bps - 1.0, abs=1.0)
    tight = granted(approve(resting(Leg.LONG), NOTHING, limits(max_order_size_usd=200.0, max_slippage_bps=2.0)))
    assert tight.short_limit_ticks == -int(-resting(Leg.LONG).decision_ticks[1] * (1 - 2 / BPS) // 1)


def test_where_a_leg_goes_first_the_size_is_whole_orders_of_both_venues() -> None:
    """A hedge of what filled is an order, and venues take none below their minimum."""
    step = resting(Leg.LONG).least_order_common_lots
    assert step == 1_009, "ten dollars and some room, at a cent per thousand"
    leave = granted(approve(resting(Leg.LONG), exposure(available_usd=both(50.0)), LIMITS))
    assert leave.common_lots == 4_036
    at_once = granted(approve(opportunity(), exposure(available_usd=both(50.0)), LIMITS))
    assert at_once.common_lots % step, "45 USD is no multiple of it"

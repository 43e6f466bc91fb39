"""The net edge against a straightforward recomputation in exact fractions, on random books, grids and rates."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import ceil, sqrt
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_samples import BOOK_ONE, LONG_RATES, NOW_MS, NOW_NS, ONE, SHORT_RATES, TWO, limits, market, pair, state
from soak import examples
from twinleg.core.amounts import Grid
from twinleg.core.edge import BPS, CONVERGENCE_SHARE, FUNDING_AGE_MS_MAX, Opportunity, evaluate, prepare, screen
from twinleg.core.entry import FAST_FILL_MS, LegFees, Mode, Role
from twinleg.core.funding import HALF_LIFE_HOURS_MIN, HOUR_MS, FundingView
from twinleg.core.messages import Level, Market
from twinleg.core.orders import Leg
from twinleg.core.pairs import SIZE_GRID_USD, Limits, MarketState, Pair, gates

HORIZON_HOURS = 8.0


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[Level], list[Level]]:
    """A book around 20,000 ticks, uncrossed, with up to eight levels a side."""
    best_bid = draw(st.integers(19_900, 20_100))
    best_ask = best_bid + draw(st.integers(1, 12))
    gaps = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 60_000)), min_size=0, max_size=7)
    first = st.integers(1, 60_000)
    bids, asks = [(best_bid, draw(first))], [(best_ask, draw(first))]
    for gap, lots in draw(gaps):
        bids.append((bids[-1][0] - gap, lots))
    for gap, lots in draw(gaps):
        asks.append((asks[-1][0] + gap, lots))
    return bids, asks


RATES = st.lists(st.floats(-2e-4, 2e-4), min_size=1, max_size=24)
FEES = st.floats(-1, 6)
ROLES = st.fixed_dictionaries(
    {
        "taker_fee_bps": FEES,
        "maker_fee_bps": FEES | st.none(),
        "post_only": st.booleans(),
        "taker_delay_ms": st.sampled_from([0, 300, FAST_FILL_MS, FAST_FILL_MS + 1]),
    }
)


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Any two markets of about the same price per PEPE: other ticks, lots, multipliers, fees, rates, histories."""
    one = market(ONE, price_grid=Grid(7, 5), size_grid=draw(st.sampled_from([Grid(0), Grid(1), Grid(0, 3)])))
    two = market(TWO, size_grid=draw(st.sampled_from([Grid(0, 500), Grid(0, 2_000), Grid(0)])))
    long = state(msgspec.structs.replace(one, **draw(ROLES)), draw(sides()), draw(RATES), 0.01)
    short = state(msgspec.structs.replace(two, **draw(ROLES)), draw(sides()), draw(RATES), 0.00001)
    if draw(st.booleans()):
        long, short = short, long
    held_to = Limits(
        horizon_hours=HORIZON_HOURS,
        liquidity_buffer=draw(st.sampled_from([1.0, 0.8])),
        aggressive_execution_spread_bps=draw(st.sampled_from([-1e9, 0.0, 10.0, 1e9])),
    )
    made = Pair(long, short, held_to)
    made.basis_bps.extend(draw(st.lists(st.floats(-40, 40), min_size=30, max_size=40)) if draw(st.booleans()) else [])
    made.settle_estimates()
    return made


def vwap(levels: list[Level], lots: int, buffer: float) -> Fraction | None:
    """Of `lots / buffer`, in whole lots, taken level by level; `levels` best first."""
    left = wanted = ceil(lots / Fraction(buffer))
    cost = 0
    for price, shown in levels:
        taken = min(left, shown)
        cost += taken * price
        left -= taken
    return None if left else Fraction(cost, wanted)


def price_unit(facts: Market, multiplier: int) -> Fraction:
    return facts.price_grid.unit / multiplier


def carry_plainly(view: FundingView, half_life: float | None) -> float:
    """What shorts receive: the settlements on the full hours inside the horizon."""
    rate, hour_ms = view.rate_per_hour, NOW_MS // HOUR_MS * HOUR_MS
    assert rate is not None
    away = [(hour_ms + n * HOUR_MS - NOW_MS) / HOUR_MS for n in range(1, 100)]
    return sum(rate * (1 if half_life is None else 0.5 ** (h / half_life)) for h in away if h <= HORIZON_HOURS)


def rests(leg: MarketState, partner: MarketState) -> bool:
    takes_its_time = partner.market.taker_delay_ms > 1_000
    return leg.market.post_only and leg.market.maker_fee_bps is not None and not takes_its_time


def net_plainly(made: Pair, common_lots: int) -> tuple[float, Mode, Leg | None] | None:
    """Net bps of one size and how it is entered, from the definition in economics: none of the room's own helpers."""
    long, short, buffer = made.long, made.short, made.limits.liquidity_buffer
    long_unit = price_unit(long.market, 1_000 if long.market.base == "1000PEPE" else 1)
    short_unit = price_unit(short.market, 1_000 if short.market.base == "1000PEPE" else 1)
    long_lots = common_lots * made.common_lot / long.size_unit
    short_lots = common_lots * made.common_lot / short.size_unit
    assert long_lots.denominator == short_lots.denominator == 1
    buy_in = vwap(sorted(long.book.asks.items()), int(long_lots), buffer)
    sell_out = vwap(sorted(long.book.bids.items(), reverse=True), int(long_lots), buffer)
    sell_in = vwap(sorted(short.book.bids.items(), reverse=True), int(short_lots), buffer)
    buy_out = vwap(sorted(short.book.asks.items()), int(short_lots), buffer)
    if buy_in is None or sell_out is None or sell_in is None or buy_out is None:
        return None
    mid_long = Fraction(max(long.book.bids) + min(long.book.asks), 2) * long_unit
    mid_short = Fraction(max(short.book.bids) + min(short.book.asks), 2) * short_unit
    mid = (mid_long + mid_short) / 2
    basis_in, basis_out = sell_in * short_unit - buy_in * long_unit, buy_out * short_unit - sell_out * long_unit
    known = float((-basis_out) / mid * BPS)
    if made.basis_target_bps is not None:
        known += CONVERGENCE_SHARE * (float((mid_short - mid_long) / mid * BPS) - made.basis_target_bps)
    fees = {Leg.LONG: long.market.taker_fee_bps, Leg.SHORT: short.market.taker_fee_bps}
    both_fees_bps = (fees[Leg.LONG] or 0.0) + (fees[Leg.SHORT] or 0.0)
    known -= 2 * both_fees_bps
    decays = [made.half_life] if made.half_life is not None else [None, HALF_LIFE_HOURS_MIN]
    known += min(carry_plainly(short.funding, d) - carry_plainly(long.funding, d) for d in decays) * BPS
    spreads = [(min(b.asks) - max(b.bids)) / ((min(b.asks) + max(b.bids)) / 2) for b in (long.book, short.book)]
    delay_s = max(long.market.taker_delay_ms, short.market.taker_delay_ms) / 1_000
    known -= max(spreads) * BPS if made.sigma_bps is None else made.sigma_bps * sqrt(delay_s)
    taking = float(basis_in / mid * BPS) + known
    slow = [leg for leg, one in ((Leg.LONG, long), (Leg.SHORT, short)) if one.market.taker_delay_ms > 1_000]
    takers = (taking, Mode.SLOW_FIRST, slow[0]) if len(slow) == 1 else (taking, Mode.SIMULTANEOUS, None)
    if taking >= made.limits.aggressive_execution_spread_bps:
        return takers
    ways = []
    if rests(long, short):
        better = (sell_in * short_unit - max(long.book.bids) * long_unit) - basis_in
        saved = (long.market.taker_fee_bps or 0.0) - (long.market.maker_fee_bps or 0.0)
        ways.append((taking + float(better / mid * BPS) + saved, Mode.MAKER_FIRST, Leg.LONG))
    if rests(short, long):
        better = (min(short.book.asks) * short_unit - buy_in * long_unit) - basis_in
        saved = (short.market.taker_fee_bps or 0.0) - (short.market.maker_fee_bps or 0.0)
        ways.append((taking + float(better / mid * BPS) + saved, Mode.MAKER_FIRST, Leg.SHORT))
    best = max(ways, key=lambda way: way[0], default=takers)
    return best if best[0] > taking else takers


def judged(made: Pair) -> Opportunity | None:
    assert not isinstance(prepare(made, NOW_MS), tuple)
    return evaluate(made, NOW_MS, gates(made, NOW_NS, {}))


@settings(max_examples=examples(70))
@given(pairs())
def test_every_point_of_the_curve_is_what_the_definition_says(made: Pair) -> None:
    found = judged(made)
    shown = {} if found is None else dict(found.curve)
    unit_usd = float(made.common_lot) * made.mid_price
    for size in made.sizes:
        plain = net_plainly(made, size)
        if plain is None:
            assert size * unit_usd not in shown
        else:
            assert shown[size * unit_usd] == pytest.approx(plain[0], abs=1e-6)
    if found is not None:
        chosen = net_plainly(made, found.common_lots)
        assert chosen is not None
        assert (found.mode, found.first) == chosen[1:] or found.net_bps == pytest.approx(chosen[0])


@settings(max_examples=examples(70))
@given(pairs())
def test_the_bound_holds_and_the_terms_add_up(made: Pair) -> None:
    found = judged(made)
    bound = screen(made)
    assert bound is not None
    if found is None:
        return
    edges = [net for _, net in found.curve]
    assert all(net <= bound + 1e-7 for net in edges)
    if made.limits.aggressive_execution_spread_bps in (-1e9, 1e9):  # else a larger size may rest where a smaller takes
        assert all(later <= earlier + 1e-7 for earlier, later in pairwise(edges))
    terms = found.terms
    assert sum(leg.in_bps for leg in found.fees) == pytest.approx(terms.fees_in_bps)
    assert sum(leg.out_bps for leg in found.fees) == pytest.approx(terms.fees_out_bps)
    assert found.net_bps == pytest.approx(
        terms.basis_in_bps
        - terms.basis_out_bps
        - terms.fees_in_bps
        - terms.fees_out_bps
        + terms.carry_bps
        - terms.stable_basis_bps
        - terms.latency_haircut_bps
    )
    assert terms.latency_haircut_bps >= 0
    assert (found.notional_usd, found.net_bps) in found.curve
    assert found.net_usd == pytest.approx(found.notional_usd * found.net_bps / BPS)
    assert found.usd_per_hour * HORIZON_HOURS == pytest.approx(found.net_usd)
    margin_usd = 2 * found.notional_usd / made.limits.leverage
    assert found.apr_on_margin == pytest.approx(found.net_usd / HORIZON_HOURS * 8_760 / margin_usd)
    assert found.notional_usd == pytest.approx(float(found.long_lots * made.long.size_unit) * made.mid_price)
    assert found.long_lots * made.long.size_unit == found.short_lots * made.short.size_unit
    enough = [usd for usd, net in found.curve if net >= made.limits.min_execution_spread_bps]
    assert found.capacity_usd == max(enough, default=0.0)


@settings(max_examples=examples(40))
@given(pairs(), st.data())
def test_more_depth_never_hurts(made: Pair, data: st.DataObject) -> None:
    before = judged(made)
    for book in (made.long.book, made.short.book):
        for side in (book.bids, book.asks):
            for price in side:
                side[price] += data.draw(st.integers(0, 50_000))
    after = judged(made)
    if before is None:
        return
    assert after is not None
    deeper = dict(after.curve)
    for notional_usd, net in before.curve:
        assert deeper[notional_usd] >= net - 1e-7


@settings(max_examples=examples(40))
@given(pairs())
def test_sizes_are_what_both_venues_take_and_the_operator_wants(made: Pair) -> None:
    assert judged(made) is not None or made.sizes
    least = made.sizes[0]
    unit_usd = float(made.common_lot) * made.mid_price
    assert list(made.sizes) == sorted(set(made.sizes))
    assert least * made.long_lots >= made.long.market.min_size_lots
    assert least * made.short_lots >= made.short.market.min_size_lots
    assert least * unit_usd * (1 - made.limits.max_slippage_bps / BPS) >= 10.0, "the venue's least, at its worst limit"
    smaller = least - 1
    assert smaller * unit_usd < 10.11 or smaller * min(made.long_lots, made.short_lots) < 4
    for usd in SIZE_GRID_USD:
        if usd / unit_usd >= least:
            assert int(usd / unit_usd) in made.sizes


def test_the_largest_minimum_of_the_two_venues_counts() -> None:
    made = pair(two=market(TWO, min_size_lots=100_001))
    prepare(made, NOW_MS)
    assert made.sizes[0] == 50_001, "two of the short market's lots make a common lot"
    made = pair(one=market(ONE, min_notional_usd=100.0), pair_limits=limits(max_slippage_bps=50.0))
    prepare(made, NOW_MS)
    assert made.sizes[0] == ceil(101 / (1_000 * made.mid_price))


# -- signs that cost money when wrong ---------------------------------------------------------------------------------


def test_a_hand_made_pair_earns_what_a_hand_calculates() -> None:
    """Buy at 0.00001 and sell at 0.00001003, leave at 9.998e-6 and 1.0032e-5, all on the best levels."""
    found = judged(pair())
    assert found is not None
    mid = (9_999e-9 + 20_062 * 5e-10) / 2
    terms = found.terms
    assert terms.basis_in_bps == pytest.approx((1.003e-5 - 1e-5) / mid * BPS)
    basis_bps = (20_062 * 5e-10 - 9_999e-9) / mid * BPS
    assert terms.basis_out_bps == pytest.approx((1.0032e-5 - 9.998e-6) / mid * BPS + 0.5 * (0.25 - basis_bps))
    assert (terms.fees_in_bps, terms.fees_out_bps, terms.stable_basis_bps) == (2.5, 2.5, 0.0)
    assert terms.carry_bps == pytest.approx((-LONG_RATES[-1] + SHORT_RATES[-1]) * 8 * BPS, rel=0.05)
    assert found.decision_ticks == (10_000.0, 20_060.0)
    assert found.capacity_usd == pytest.approx(500, rel=0.01)
    assert [round(usd) for usd, _ in found.curve] == [10, 25, 50, 100, 250, 500, 1_000]
    assert (found.long_lots, found.short_lots) == (found.common_lots, 2 * found.common_lots)
    assert found.refusals == ()
    assert found.next_settlement_ms == NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS


def test_longs_pay_positive_rates_and_shorts_receive_them() -> None:
    def carry(long_rate: float, short_rate: float) -> float:
        made = pair()
        for view, rate in ((made.long.funding, long_rate), (made.short.funding, short_rate)):
            assert view.stream is not None
            view.stream = msgspec.structs.replace(view.stream, rate_per_hour=rate)
        prepared = prepare(made, NOW_MS)
        assert not isinstance(prepared, tuple)
        return prepared.carry_bps

    assert carry(1e-4, 0.0) < 0 < carry(0.0, 1e-4)
    assert carry(-1e-4, 0.0) > 0 > carry(0.0, -1e-4)
    assert carry(1e-4, 1e-4) == pytest.approx(0)
    assert carry(0.0, 2e-4) == pytest.approx(2 * carry(0.0, 1e-4))


def test_without_a_fitted_decay_income_dies_soonest_and_cost_not_at_all() -> None:
    made = pair()
    made.half_life = None
    assert made.long.funding.stream is not None
    earning = prepare(made, NOW_MS)
    made.long.funding.stream = msgspec.structs.replace(made.long.funding.stream, rate_per_hour=9e-4)
    paying = prepare(made, NOW_MS)
    assert not isinstance(earning, tuple)
    assert not isinstance(paying, tuple)
    assert earning.carry_bps < 8 * (SHORT_RATES[-1] - LONG_RATES[-1]) * BPS / 4
    assert paying.carry_bps == pytest.approx(8 * (SHORT_RATES[-1] - 9e-4) * BPS)


def test_rich_basis_that_usually_closes_is_worth_half_the_way_and_cheap_costs_it() -> None:
    made = pair()
    usual = made.mid_basis_bps()
    edges = {}
    for target in (usual - 10, usual, usual + 10):
        made.basis_target_bps = target
        found = judged(made)
        assert found is not None
        edges[target - usual] = found.curve[0][1]
    low, same, high = edges.values()
    assert low - same == pytest.approx(5)
    assert high - same == pytest.approx(-5)


def test_without_a_watched_basis_nothing_is_expected_of_it_and_the_pair_is_not_executable() -> None:
    found = judged(pair(sampled=False))
    assert found is not None
    assert [refusal.code for refusal in found.refusals] == ["edge", "basis_history"]
    assert (found.refusals[1].value, found.refusals[1].limit) == (0, 30)
    assert any("no convergence" in said for said in found.assumed)
    assert any("latency haircut" in said for said in found.assumed)
    assert found.terms.latency_haircut_bps == pytest.approx(2 / 9_999 * BPS)


def test_break_even_is_the_time_today_s_differential_takes_to_pay_the_rest() -> None:
    made = pair(sampled=False)
    found = judged(made)
    assert found is not None
    differential = SHORT_RATES[-1] - LONG_RATES[-1]
    owed_bps = found.terms.carry_bps - found.net_bps
    assert found.break_even_hours == pytest.approx(owed_bps / (differential * BPS))
    assert judged(pair()).break_even_hours == 0.0  # type: ignore[union-attr]
    back = Pair(made.short, made.long, made.limits)
    losing = judged(back)
    assert losing is not None
    assert losing.break_even_hours is None


# -- roles ------------------------------------------------------------------------------------------------------------


def entered(aggressive_bps: float, **changes: Any) -> Opportunity:
    """The sample pair with fees of four kinds, so that none can stand in for another."""
    one = market(ONE, **{"maker_fee_bps": 0.25, "taker_fee_bps": 1.0} | changes.pop("one", {}))
    two = market(TWO, **{"maker_fee_bps": 0.5, "taker_fee_bps": 2.5} | changes.pop("two", {}))
    found = judged(pair(limits(aggressive_execution_spread_bps=aggressive_bps, **changes), one=one, two=two))
    assert found is not None
    return found


def test_at_or_above_the_aggressive_edge_both_legs_take_and_pay_for_it() -> None:
    edge = entered(0.0).net_bps
    for aggressive in (0.0, edge - 1e-9):
        found = entered(aggressive)
        assert (found.mode, found.first) == (Mode.SIMULTANEOUS, None)
        assert found.fees == (LegFees(Role.TAKER, 1.0, 1.0), LegFees(Role.TAKER, 2.5, 2.5))
        assert (found.terms.fees_in_bps, found.terms.fees_out_bps) == (3.5, 3.5)
        assert found.decision_ticks == (10_000.0, 20_060.0)
    assert entered(edge + 1e-9).mode is Mode.MAKER_FIRST


def test_below_it_the_leg_that_saves_more_rests_at_its_touch_for_the_maker_fee() -> None:
    """Resting saves 2 ticks of 10,000 and 0.75 bps on the long leg, 4 ticks of 20,060 and 2 bps on the short one."""
    taking, found = entered(0.0), entered(1e9)
    assert (found.mode, found.first) == (Mode.MAKER_FIRST, Leg.SHORT)
    assert found.fees == (LegFees(Role.TAKER, 1.0, 1.0), LegFees(Role.MAKER, 0.5, 2.5))
    assert (found.terms.fees_in_bps, found.terms.fees_out_bps) == (1.5, 3.5)
    assert found.decision_ticks == (10_000.0, 20_064.0)
    assert found.net_bps == pytest.approx(taking.net_bps + 2.0 + 4 / 20_030 * BPS, abs=0.02)
    assert "entry: the leg that rests is filled" in found.assumed
    assert "entry: the leg that rests is filled" not in taking.assumed
    dear = entered(1e9, two={"maker_fee_bps": 2.0})
    assert (dear.first, dear.fees[0], dear.decision_ticks) == (
        Leg.LONG, LegFees(Role.MAKER, 0.25, 1.0), (9_998.0, 20_060.0),
    )  # fmt: skip


def test_a_leg_rests_only_where_it_may_and_while_its_partner_fills_fast() -> None:
    assert entered(1e9, two={"post_only": False}).first is Leg.LONG
    assert entered(1e9, two={"maker_fee_bps": None}).first is Leg.LONG
    assert entered(1e9, one={"taker_delay_ms": FAST_FILL_MS + 1}).first is Leg.LONG, "the slow one does not hedge"
    neither = entered(1e9, one={"post_only": False}, two={"post_only": False})
    assert (neither.mode, neither.terms.fees_in_bps) == (Mode.SIMULTANEOUS, 3.5)
    nothing_won = entered(1e9, one={"maker_fee_bps": 99.0}, two={"maker_fee_bps": 99.0})
    assert nothing_won.mode is Mode.SIMULTANEOUS


def test_of_two_takers_the_slow_one_goes_first() -> None:
    for slow, first in (("one", Leg.LONG), ("two", Leg.SHORT)):
        found = entered(0.0, **{slow: {"taker_delay_ms": FAST_FILL_MS + 1}})
        assert (found.mode, found.first, found.terms.fees_in_bps) == (Mode.SLOW_FIRST, first, 3.5)
    both = {"taker_delay_ms": FAST_FILL_MS + 1}
    assert entered(0.0, one=both, two=both).mode is Mode.SIMULTANEOUS
    assert entered(1e9, one=both, two=both).mode is Mode.SIMULTANEOUS


def test_an_edge_that_only_resting_makes_is_executable() -> None:
    """Between the minimum for two takers and the one for a leg that rests."""
    taking, resting = entered(0.0).net_bps, entered(1e9).net_bps
    between = (taking + resting) / 2
    found = entered(1e9, min_execution_spread_bps=between)
    assert (found.mode, found.refusals) == (Mode.MAKER_FIRST, ())
    cannot = {"post_only": False}
    refused = entered(1e9, min_execution_spread_bps=between, one=cannot, two=cannot).refusals
    assert [one.code for one in refused] == ["edge"]


@pytest.mark.parametrize("dearer_bps", [0.0, 1.0, 1.9, 2.1, 9.0])
def test_the_bound_is_the_edge_of_what_the_best_prices_hold(dearer_bps: float) -> None:
    """The long leg's spread is 2 bps: a maker fee dearer by more leaves nothing to save, and both take."""
    made = pair(
        limits(aggressive_execution_spread_bps=1e9),
        one=market(ONE, maker_fee_bps=dearer_bps),
        two=market(TWO, post_only=False),
    )
    found = judged(made)
    assert found is not None
    assert found.mode is (Mode.MAKER_FIRST if dearer_bps < 2 else Mode.SIMULTANEOUS)
    assert screen(made) == pytest.approx(found.curve[0][1])


def test_our_own_fees_are_not_assumed() -> None:
    said = "fees: public base tier"
    own = {"fees_assumed": False}
    assert said in entered(0.0).assumed
    assert said in entered(0.0, one=own).assumed
    assert said not in entered(0.0, one=own, two=own).assumed


# -- what is missing --------------------------------------------------------------------------------------------------


def no_fee(made: Pair) -> None:
    made.long.refresh(market(ONE, taker_fee_bps=None))


def no_rate(made: Pair) -> None:
    made.short.funding = FundingView(HOUR_MS)


def no_book(made: Pair) -> None:
    made.long.book.lose("a gap of 3")


def no_bids(made: Pair) -> None:
    made.short.book.snapshot([], [(20_064, 1)], NOW_MS, NOW_NS)


@pytest.mark.parametrize(
    ("spoil", "code", "detail"),
    [
        (no_fee, "fee_unknown", "one:1000PEPE has no fee tier"),
        (no_rate, "funding_unknown", "two:PEPE-USD has no funding rate"),
        (no_book, "book_lost", "one:1000PEPE: a gap of 3"),
        (no_bids, "book_lost", "two:PEPE-USD: an empty side"),
    ],
)
def test_what_is_missing_refuses_and_is_never_zero(spoil: Callable[[Pair], None], code: str, detail: str) -> None:
    made = pair()
    spoil(made)
    missing = prepare(made, NOW_MS)
    assert isinstance(missing, tuple)
    assert [(refusal.code, refusal.detail) for refusal in missing] == [(code, detail)]
    assert made.prepared is None
    assert screen(made) is None
    assert evaluate(made, NOW_MS, []) is None


def test_a_book_lost_after_the_terms_were_prepared_has_no_edge() -> None:
    made = pair()
    prepare(made, NOW_MS)
    made.short.book.lose("a gap")
    made.short.touch()
    assert screen(made) is None
    assert evaluate(made, NOW_MS, []) is None


def test_books_thinner_than_the_smallest_order_have_no_edge() -> None:
    made = pair()
    made.long.book.snapshot([(9_998, 1)], BOOK_ONE[1], NOW_MS, NOW_NS)
    prepare(made, NOW_MS)
    assert screen(made) is not None
    assert evaluate(made, NOW_MS, []) is None


def test_gated_reasons_and_thin_edges_are_carried_with_their_numbers() -> None:
    made = pair(limits(min_execution_spread_bps=50.0))
    made.long.book.received_ns = 0
    found = judged(made)
    assert found is not None
    by_code = {refusal.code: refusal for refusal in found.refusals}
    assert list(by_code) == ["book_stale", "book_skew", "edge"]
    assert (by_code["edge"].value, by_code["edge"].limit) == (found.net_bps, 50.0)
    assert found.capacity_usd == 0.0


def test_the_size_that_earns_most_is_chosen_within_the_operators_caps() -> None:
    for cap_usd in (40.0, 120.0, 500.0):
        found = judged(pair(limits(max_order_size_usd=cap_usd)))
        assert found is not None
        within = {usd: net for usd, net in found.curve if usd <= cap_usd}
        assert found.notional_usd <= cap_usd
        assert found.net_usd <= max(usd * net / BPS for usd, net in within.items()) + 1e-9
    capped = judged(pair(limits(max_order_size_usd=500.0, max_position_size_usd=60.0)))
    assert capped is not None
    assert capped.notional_usd == pytest.approx(60, rel=0.01)


def test_a_smaller_size_is_chosen_when_the_richest_is_illiquid() -> None:
    free = judged(pair(limits(min_depth_score=0.0)))
    careful = judged(pair(limits(min_depth_score=60.0)))
    assert free is not None
    assert careful is not None
    assert (careful.notional_usd, careful.refusals) == (pytest.approx(100, rel=0.01), ())
    assert free.notional_usd > careful.notional_usd
    hopeless = judged(pair(limits(max_impact_score=0.0)))
    assert hopeless is not None
    assert hopeless.common_lots == hopeless.least_common_lots
    assert [refusal.code for refusal in hopeless.refusals] == ["impact"]


def test_a_rate_that_nobody_repeats_is_refused_in_the_end() -> None:
    made = pair()
    assert not isinstance(prepare(made, NOW_MS + FUNDING_AGE_MS_MAX), tuple)
    refused = prepare(made, NOW_MS + FUNDING_AGE_MS_MAX + 1)
    assert isinstance(refused, tuple)
    assert [one.code for one in refused] == ["funding_stale", "funding_stale"]

"""The world is repeatable, and plausible enough to trade in."""

from __future__ import annotations

from random import Random
from statistics import mean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinleg_sims.funding import FUNDING_TERMS, HOUR_MS, Funding
from twinleg_sims.listings import EXTENDED, LIGHTER, VENUES, first_assets
from twinleg_sims.market import FIRST_OUTSIDE_OWNER, Premium, SimMarket
from twinleg_sims.matching import Outcome
from twinleg_sims.world import NewOrder, World

START_MS = 1_795_197_000_000


def trace(world: World) -> list[object]:
    """Everything a client could see of a world, exactly."""
    seen: list[object] = [world.now_ms]
    for venue in VENUES:
        for market in world.markets(venue):
            book = market.book
            seen += [market.symbol, book.nonce, book.levels("bid"), book.levels("ask"), book.recent_trades(1000)]
            seen += [market.mark_price, market.index_price, market.open_interest, list(market.funding.settled)]
            seen += [market.funding.predicted_rate_per_hour(), market.bars.day(world.now_ms)]
    return seen


def order_at(world: World, at_ms: int) -> None:
    world.advance(at_ms)
    market = world.market(LIGHTER, "ETH")
    ticks = market.book.best("ask")
    assert ticks is not None
    world.submit(market, NewOrder(FIRST_OUTSIDE_OWNER, "bid", ticks + 50, 500, "ioc"))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 9_000), max_size=25))
def test_slicing_of_advance_changes_nothing(slices: list[int]) -> None:
    whole, sliced = World(3, 3, START_MS), World(3, 3, START_MS)
    end_ms = START_MS + 60_000
    order_at(whole, START_MS + 31_000)
    whole.advance(end_ms)
    ordered = False
    for step_ms in slices:
        now_ms = min(end_ms, sliced.now_ms + step_ms)
        if now_ms >= START_MS + 31_000 and not ordered:
            order_at(sliced, START_MS + 31_000)
            ordered = True
        sliced.advance(now_ms)
    if not ordered:
        order_at(sliced, START_MS + 31_000)
    sliced.advance(end_ms)
    assert trace(sliced) == trace(whole)


def test_another_seed_is_another_world() -> None:
    one, other = World(1, 3, START_MS), World(2, 3, START_MS)
    assert trace(one) != trace(other)
    assert trace(World(1, 3, START_MS)) == trace(one)


def test_an_outside_order_through_the_whole_book_is_survived() -> None:
    world = World(5, 3, START_MS)
    market = world.market(LIGHTER, "SOL")
    for ticks in range(1, 3_000):
        market.book.submit(FIRST_OUTSIDE_OWNER + 1, "bid", ticks, 1, world.now_ms)
    world.submit(market, NewOrder(FIRST_OUTSIDE_OWNER, "ask", 1, 10**9, "ioc"))
    world.advance(START_MS + 60_000)
    assert market.book.trade_count > 3_000
    assert market.mid_price == pytest.approx(market.index_price, rel=0.01)


def test_an_outside_order_meets_the_book_after_the_venue_s_delay_and_leaves_other_markets_alone() -> None:
    world, untouched = World(5, 3, START_MS), World(5, 3, START_MS)
    outcomes: list[tuple[int, Outcome]] = []
    market = world.market(EXTENDED, "ETH-USD")
    ask = market.book.best("ask")
    assert ask is not None
    order = NewOrder(FIRST_OUTSIDE_OWNER, "bid", ask + 100, 40, "ioc")
    due_ms = world.submit(market, order, lambda outcome: outcomes.append((world.now_ms, outcome)))
    assert due_ms == START_MS + 200
    world.advance(START_MS + 199)
    assert not outcomes
    world.advance(START_MS + 5_000)
    untouched.advance(START_MS + 5_000)
    assert outcomes[0][0] == due_ms
    assert outcomes[0][1].filled_lots == 40
    assert world.market(EXTENDED, "BTC-USD").book.nonce == untouched.market(EXTENDED, "BTC-USD").book.nonce
    assert market.book.nonce != untouched.market(EXTENDED, "ETH-USD").book.nonce


@pytest.fixture(scope="module")
def hour() -> tuple[World, dict[str, list[float]]]:
    """A world of 32 assets after 15 minutes, and each asset's basis between the venues, every 10 seconds."""
    world = World(11, 32, START_MS)
    basis: dict[str, list[float]] = {asset.name: [] for asset in world.assets}
    markets: dict[str, dict[str, SimMarket]] = {}
    for venue in VENUES:
        for market in world.markets(venue):
            if market.listing.state == "active" and market.listing.kind == "perp":
                markets.setdefault(market.listing.asset.name, {})[venue] = market
    for _ in range(90):
        world.advance(world.now_ms + 10_000)
        for name, both in markets.items():
            if len(both) == 2 and name in basis:
                lighter, extended = (both[v].mid_price / both[v].listing.multiplier for v in VENUES)
                basis[name].append((lighter / extended - 1) * 1e4)
    return world, {name: values for name, values in basis.items() if values}


def test_books_are_deep_and_never_crossed(hour: tuple[World, dict[str, list[float]]]) -> None:
    for venue in VENUES:
        for market in hour[0].markets(venue):
            bid, ask = market.book.best("bid"), market.book.best("ask")
            assert bid is not None
            assert ask is not None
            assert bid < ask
            quotes = sum(1 for side in ("bid", "ask") for _ in market.book.orders(side))
            assert quotes <= len(market._quotes), "makers leave no order behind"
            if market.listing.state == "active" and not market.listing.rfq and market.listing.kind == "perp":
                assert len(market.book.levels("bid")) >= 10
                assert market.listing.tick * (ask - bid) / market.index_price < 0.005
                assert market.book.trade_count > 60


def test_some_bases_swing_by_more_than_the_fees_and_most_do_not(hour: tuple[World, dict[str, list[float]]]) -> None:
    """A round trip costs two Extended taker fees (5 bp) and two spreads; a few assets swing far more, most far less."""
    swings = {name: max(values) - min(values) for name, values in hour[1].items()}
    tradable = [name for name, swing in swings.items() if swing > 15]
    quiet = [name for name, swing in swings.items() if swing < 12]
    assert 2 <= len(tradable) <= 16, swings
    assert len(quiet) >= 15, swings


def test_a_premium_comes_back_and_keeps_its_spread_whatever_the_step() -> None:
    """Ornstein-Uhlenbeck: far away it decays by half each half-life, and its deviation neither grows nor dies."""
    for step_ms in (250.0, 60_000.0, 600_000.0):
        dice = Random(1)
        premium = Premium(0.0, 0.0, fast_sd=0.001, fast_half_life_ms=60_000.0, fast=1.0)
        for _ in range(round(600_000 / step_ms)):
            premium.advance(step_ms, dice)
        assert abs(premium.fast) == pytest.approx(0.5**10, abs=0.005)
        values = [premium.advance(step_ms, dice) for _ in range(20_000)]
        assert pstdev(values[-10_000:]) == pytest.approx(0.001, rel=0.35)


def test_funding_has_a_past_stays_in_range_and_differs_between_venues(
    hour: tuple[World, dict[str, list[float]]],
) -> None:
    world, _ = hour
    differing = 0
    for asset in world.assets:
        rates = []
        for venue in VENUES:
            for market in world.markets(venue):
                settled = list(market.funding.settled)
                assert len(settled) >= 48
                assert settled[0].settled_at_ms <= START_MS - 48 * HOUR_MS
                assert all(abs(row.rate_per_hour) <= 0.005 for row in settled)
                if market.listing.asset.name == asset.name:
                    rates.append(mean(row.rate_per_hour for row in settled))
        differing += len(rates) == 2 and abs(rates[0] - rates[1]) > 1e-5
    assert 3 <= differing <= 30


def test_an_hour_settles_at_each_venue_s_stamp() -> None:
    world = World(2, 2, START_MS // HOUR_MS * HOUR_MS + 59 * 60_000)
    counts = {
        venue: len(world.market(venue, "BTC" if venue == LIGHTER else "BTC-USD").funding.settled) for venue in VENUES
    }
    world.advance(world.now_ms + 120_000)
    for venue, symbol, late_ms in ((LIGHTER, "BTC", 1), (EXTENDED, "BTC-USD", 1028)):
        settled = world.market(venue, symbol).funding.settled
        assert len(settled) == counts[venue] + 1
        assert settled[-1].settled_at_ms % HOUR_MS == late_ms


def test_a_quiet_market_pays_the_interest_as_each_venue_writes_it() -> None:
    assert FUNDING_TERMS[LIGHTER].rate([0.0] * 60) == 0.000012
    assert FUNDING_TERMS[EXTENDED].rate([0.0] * 60) in (0.000012, 0.000013)


def test_formulas_clamp_and_weigh() -> None:
    lighter, extended = FUNDING_TERMS[LIGHTER], FUNDING_TERMS[EXTENDED]
    assert lighter.rate([0.0013] * 60) == 0.0001
    assert lighter.rate([1.0] * 60) == 0.005
    assert lighter.rate([-1.0]) == -0.005
    late = [0.0] * 30 + [0.004] * 30
    assert (lighter.rate(late), extended.rate(late)) == (0.000187, 0.00031)
    funding = Funding(lighter)
    funding.sample(0.0013)
    assert funding.settle(3 * HOUR_MS, 10.0).rate_per_hour == 0.0001
    assert funding.predicted_rate_per_hour() == 0.0001


def test_there_are_odd_markets_to_leave_out() -> None:
    world = World(1, 10, START_MS)
    assert len(first_assets(60)) == 60
    kinds = {market.listing.kind for market in world.markets(LIGHTER)}
    assert kinds == {"perp", "spot", "binary_options"}
    assert {market.listing.state for market in world.markets(EXTENDED)} == {"active", "prelisted", "reduce_only"}
    assert any(market.listing.rfq for market in world.markets(EXTENDED))
    symbols = {(market.venue, market.symbol): market for venue in VENUES for market in world.markets(venue)}
    bonk, kbonk = symbols[LIGHTER, "1000BONK"], symbols[EXTENDED, "kBONK-USD"]
    assert bonk.index_price == kbonk.index_price
    plain, thousand = symbols[EXTENDED, "FLOKI-USD"], symbols[LIGHTER, "1000FLOKI"]
    assert thousand.index_price == pytest.approx(1000 * plain.index_price)
    assert symbols[EXTENDED, "AI-USD"].index_price > 5 * symbols[LIGHTER, "AI"].index_price

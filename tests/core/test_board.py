"""The board: what events change, which pairs there are, what becomes of them."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from market_samples import (
    BOOK_ONE,
    BOOK_TWO,
    LIMITS,
    NOW_MS,
    NOW_NS,
    ONE,
    TWO,
    funding_told,
    limits,
    market,
    predicted,
    settled,
    snapshot,
    told,
)
from twinleg.core.amounts import Grid
from twinleg.core.board import HISTORY_SLACK_MS, SHOWN_PAIRS, VANISHED, Board
from twinleg.core.funding import HOUR_MS, UnitState
from twinleg.core.messages import (
    BookDelta,
    BookLost,
    FeedHealth,
    FundingSource,
    Market,
    MarketsListed,
    MarketStatus,
    Refusal,
    Stats,
    StreamState,
    TradePrint,
    VenueClock,
)
from twinleg.core.pairs import SAMPLES_MIN, Limits, Pair

FORTH, BACK = f"{ONE.key}>{TWO.key}", f"{TWO.key}>{ONE.key}"
SECOND_NS = 1_000_000_000


def listed(*markets: Market, venue: str) -> MarketsListed:
    return MarketsListed(venue, markets, NOW_MS)


def board(pair_limits: Limits = LIMITS, *, sampled: bool = True) -> Board:
    """Both markets listed, booked and funded; with `sampled` their basis has been watched for five minutes."""
    made = Board(lambda asset: pair_limits, lambda asset, one, other: True)
    for event in (listed(ONE, venue="one"), listed(TWO, venue="two"), *told()):
        made.apply(event)
    if sampled:
        for pair in made.pairs.values():
            pair.basis_bps.extend(0.5 * (number % 2) for number in range(300))
    made.review(NOW_MS, NOW_NS)
    return made


def look(made: Board, key: str = FORTH) -> list[str]:
    """The refusal codes of one pair judged now."""
    found = made.look(made.pairs[key], NOW_MS, NOW_NS)
    assert found is not None
    return [refusal.code for refusal in found.refusals]


def review(made: Board, second: int) -> None:
    """A whole round, so many seconds later."""
    made.review(NOW_MS + second * 1_000, NOW_NS + second * SECOND_NS)


# -- listings and pairing ---------------------------------------------------------------------------------------------


def test_two_venues_listing_one_asset_make_two_directions() -> None:
    made = board()
    assert set(made.pairs) == {FORTH, BACK}
    assert made.pairs_of == dict.fromkeys((ONE.key, TWO.key), (made.pairs[FORTH], made.pairs[BACK]))
    assert made.paired_markets == [ONE, TWO]
    assert made.found[FORTH].refusals == ()


def test_one_venue_is_never_paired_with_itself_and_lonely_markets_with_nobody() -> None:
    made = Board(lambda asset: LIMITS, lambda asset, one, other: True)
    singles = market(ONE, key="one:PEPE", base="PEPE", symbol="PEPE")
    lonely = market(ONE, key="one:BTC", base="BTC", symbol="BTC")
    made.apply(listed(ONE, singles, lonely, venue="one"))
    assert made.pairs == {}
    made.apply(listed(TWO, venue="two"))
    assert set(made.pairs) == {
        f"{a}>{b}" for one in (ONE, singles) for a, b in ((one.key, TWO.key), (TWO.key, one.key))
    }
    assert lonely not in made.paired_markets


def test_the_operator_says_which_venues_and_assets_are_paired() -> None:
    asked = []

    def trades(asset: str, one: str, other: str) -> bool:
        asked.append((asset, one, other))
        return (one, other) == ("one", "two")

    made = Board(lambda asset: limits(leverage=7.0 if asset == "PEPE" else 1.0), trades)
    made.apply(listed(ONE, venue="one"))
    made.apply(listed(TWO, venue="two"))
    assert list(made.pairs) == [FORTH]
    assert made.pairs[FORTH].limits.leverage == 7.0
    assert set(asked) == {("PEPE", "one", "two"), ("PEPE", "two", "one")}


def test_excluded_markets_are_named_and_left_out() -> None:
    made = Board(lambda asset: LIMITS, lambda asset, one, other: True)
    made.apply(listed(market(ONE, excluded="RFQ"), venue="one"))
    made.apply(listed(TWO, venue="two"))
    assert (made.pairs, made.excluded) == ({}, {ONE.key: "RFQ"})
    made.apply(listed(ONE, venue="one"))
    assert (set(made.pairs), made.excluded) == ({FORTH, BACK}, {})


def test_the_same_list_again_keeps_books_and_pairs() -> None:
    made = board()
    pair, book = made.pairs[FORTH], made.books[ONE.key]
    made.apply(listed(market(ONE, taker_fee_bps=1.0), venue="one"))
    assert made.pairs[FORTH] is pair
    assert made.books[ONE.key] is book
    assert book.ready
    assert pair.long.market.taker_fee_bps == 1.0
    assert made.facts[ONE.key].taker_fee_bps == 1.0


def test_a_market_that_vanishes_blocks_entries_at_once_and_until_it_is_back() -> None:
    made = board()
    made.apply(listed(venue="one"))
    assert made.look(made.pairs[FORTH], NOW_MS, NOW_NS) is None
    assert FORTH not in made.found
    codes = [refusal.code for refusal in made.gates(made.pairs[FORTH], NOW_NS)]
    assert codes == ["market_status", "book_lost"]
    assert made.facts[ONE.key].status is MarketStatus.CLOSED, "paper and live orders see it too"
    made.apply(BookDelta(ONE.key, [(9_998, 1)], [], NOW_MS, NOW_NS))
    assert made.look(made.pairs[FORTH], NOW_MS, NOW_NS) is None
    review(made, 1)
    assert VANISHED in made.standing[FORTH].refusals[0].detail
    made.apply(listed(ONE, venue="one"))
    assert [refusal.code for refusal in made.gates(made.pairs[FORTH], NOW_NS)] == ["book_lost"]
    made.apply(snapshot(ONE.key, BOOK_ONE))
    review(made, 2)
    assert look(made) == []


def test_the_other_venue_s_list_takes_nothing_away() -> None:
    made = board()
    made.apply(listed(TWO, venue="two"))
    made.apply(listed(venue="three"))
    assert look(made) == []


def test_a_market_that_becomes_excluded_is_not_entered_any_more() -> None:
    made = board()
    made.apply(listed(market(ONE, excluded="trading hours"), venue="one"))
    assert made.look(made.pairs[FORTH], NOW_MS, NOW_NS) is None
    assert "market_status" in [refusal.code for refusal in made.gates(made.pairs[FORTH], NOW_NS)]
    assert made.excluded == {ONE.key: "trading hours"}


def test_a_changed_tick_makes_the_book_unreadable_until_its_next_snapshot() -> None:
    made = board()
    made.apply(listed(market(ONE, price_grid=Grid(7), size_grid=Grid(0, 10)), venue="one"))
    assert made.look(made.pairs[FORTH], NOW_MS, NOW_NS) is None
    made.apply(BookDelta(ONE.key, [(9_997, 5)], [], NOW_MS, NOW_NS))
    assert not made.books[ONE.key].ready, "a change in old ticks would be read in new ones"
    assert (made.pairs[FORTH].long_lots, made.pairs[FORTH].short_lots) == (1, 20)
    assert (made.pairs[BACK].long_lots, made.pairs[BACK].short_lots) == (20, 1)


# -- events -----------------------------------------------------------------------------------------------------------


def test_a_book_event_names_the_pairs_that_may_stand_differently() -> None:
    made = board()
    forth, both = made.pairs[FORTH], (made.pairs[FORTH], made.pairs[BACK])
    assert made.apply(BookDelta(ONE.key, [(9_999, 5)], [], NOW_MS, NOW_NS)) == both
    assert made.apply(BookDelta(ONE.key, [(9_997, 5)], [], NOW_MS, NOW_NS)) == (forth,), "viable ones, below the best"
    made._no_longer_alive(forth)
    assert made.apply(BookDelta(ONE.key, [(9_997, 9)], [], NOW_MS, NOW_NS)) == ()
    assert made.apply(snapshot(ONE.key, BOOK_ONE)) == both
    assert made.apply(BookLost(TWO.key, "gap", NOW_NS)) == both
    assert made.apply(snapshot(TWO.key, BOOK_TWO)) == both
    assert made.apply(BookDelta("one:NEW", [], [], NOW_MS, NOW_NS)) == ()
    assert made.apply(BookLost("one:NEW", "gap", NOW_NS)) == ()
    assert made.apply(Stats("one:NEW", 1.0, 1.0, None, NOW_MS, NOW_NS)) == ()
    assert made.apply(predicted("one:NEW", 1.0, FundingSource.REST)) == ()


def test_a_lost_book_ends_its_pairs_at_once() -> None:
    made = board()
    assert look(made) == []
    assert made.pairs[FORTH].alive_since_ms == NOW_MS
    for pair in made.apply(BookLost(TWO.key, "gap of 3", NOW_NS)):
        assert made.look(pair, NOW_MS, NOW_NS) is None
    assert made.pairs[FORTH].alive_since_ms is None
    assert FORTH not in made.found


def test_stats_keep_what_a_message_does_not_say() -> None:
    made = board()
    made.apply(Stats(ONE.key, 0.02, None, None, NOW_MS, NOW_NS + 5))
    state = made.markets[ONE.key]
    assert (state.mark_price, state.index_price, state.stats_ns) == (0.02, 0.01, NOW_NS)
    made.apply(Stats(ONE.key, None, 0.011, None, NOW_MS, NOW_NS + 9))
    assert (state.mark_price, state.index_price, state.stats_ns) == (0.02, 0.011, NOW_NS + 9)
    assert made.reference_price(ONE.key) == 0.02
    assert made.reference_price("one:NEW") is None
    fresh = Board(lambda asset: LIMITS, lambda asset, one, other: True)
    fresh.apply(listed(ONE, venue="one"))
    assert fresh.reference_price(ONE.key) is None
    fresh.apply(Stats(ONE.key, None, 0.011, None, NOW_MS, NOW_NS))
    assert fresh.reference_price(ONE.key) == 0.011


def test_health_clocks_and_prints_are_noted() -> None:
    made = board()
    down = FeedHealth("one", "books-0", StreamState.DOWN, "reset", NOW_MS)
    made.apply(down)
    made.apply(VenueClock("two", 700, 20, NOW_MS))
    made.apply(TradePrint(ONE.key, "1", 10_000, 1, True, NOW_MS))
    assert made.health == {("one", "books-0"): down}
    assert look(made) == ["clock_offset"]


def test_a_venue_that_tells_no_time_is_timed_by_its_youngest_message() -> None:
    made = board()
    assert made.clock_offsets_ms == {"one": 0, "two": 0}
    made.apply(VenueClock("two", 12, 20, NOW_MS))
    made.apply(msgspec.structs.replace(snapshot(ONE.key, BOOK_ONE), venue_ms=NOW_MS - 900))
    review(made, 1)
    assert made.clock_offsets_ms["two"] == 12, "what was told stands"
    assert made.clock_offsets_ms["one"] == -900


def test_a_disagreeing_unit_stops_the_market_and_agreement_frees_it() -> None:
    made = board()
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    made.apply(predicted(ONE.key, -1.8e-3, FundingSource.STREAM))
    made.apply(settled(ONE.key, -1.8e-5, hour_ms + HOUR_MS))
    assert made.unit_checks()[ONE.key].state is UnitState.DISAGREED
    assert "funding_unit" in [refusal.code for refusal in made.gates(made.pairs[FORTH], NOW_NS)]
    made.apply(predicted(ONE.key, -1.8e-5, FundingSource.STREAM))
    assert made.unit_checks()[ONE.key].state is UnitState.AGREED
    assert made.gates(made.pairs[FORTH], NOW_NS) == []


def test_a_venue_in_a_wrong_unit_throughout_is_not_ranked() -> None:
    ones = [market(ONE, key=f"one:A{n}", base=f"A{n}", symbol=f"A{n}") for n in range(4)]
    twos = [market(TWO, key=f"two:A{n}", base=f"A{n}", symbol=f"A{n}") for n in range(4)]
    made = Board(lambda asset: LIMITS, lambda asset, one, other: True)
    made.apply(listed(*ones, venue="one"))
    made.apply(listed(*twos, venue="two"))
    for one in ones:
        made.apply(predicted(one.key, 8e-5, FundingSource.STREAM))
        made.apply(predicted(one.key, 1e-5, FundingSource.REST))
    made.review(NOW_MS, NOW_NS)
    assert list(made.unit_trouble) == ["one"]
    pair = made.pairs["two:A0>one:A0"]
    assert "venue_unit" in [refusal.code for refusal in made.gates(pair, NOW_NS)]
    for one in ones:
        made.apply(predicted(one.key, 8e-5, FundingSource.REST))
    review(made, 11)
    assert made.unit_trouble == {}


# -- judgements -------------------------------------------------------------------------------------------------------


def test_look_and_review_come_to_the_same_judgement() -> None:
    made = board()
    reviewed = made.found[FORTH]
    looked = made.look(made.pairs[FORTH], NOW_MS, NOW_NS)
    assert looked is not None
    assert msgspec.structs.replace(looked, alive_since_ms=None) == msgspec.structs.replace(
        reviewed, alive_since_ms=None
    )


def test_what_the_best_prices_rule_out_is_not_walked_but_stands_with_its_bound() -> None:
    made = board(limits(min_viable_spread_bps=50.0))
    assert made.look(made.pairs[FORTH], NOW_MS, NOW_NS) is None
    assert FORTH in made.found, "the best pairs are shown in full whatever they are worth"
    assert made.found[FORTH].alive_since_ms is None
    assert made.standing == {}


def crowd(count: int) -> Board:
    """`count` assets on both venues, the first the richest."""
    made = Board(lambda asset: LIMITS, lambda asset, one, other: one == "one")
    ones = [
        market(ONE, key=f"one:A{n}", base=f"A{n}", price_grid=Grid(9), size_grid=Grid(0, 1_000)) for n in range(count)
    ]
    twos = [market(TWO, key=f"two:A{n}", base=f"A{n}") for n in range(count)]
    for event in (listed(*ones, venue="one"), listed(*twos, venue="two")):
        made.apply(event)
    for n, (one, two) in enumerate(zip(ones, twos, strict=True)):
        for event in told(one, two):
            made.apply(event)
        made.apply(Stats(one.key, None, 1e-5, None, NOW_MS, NOW_NS))
        bids, asks = BOOK_TWO
        poorer = (
            [(price - 40 - 2 * n, lots) for price, lots in bids],
            [(price - 40 - 2 * n, lots) for price, lots in asks],
        )
        made.apply(snapshot(two.key, poorer))
        pair = made.pairs[f"{one.key}>{two.key}"]
        pair.basis_bps.extend(0.5 * (number % 2) for number in range(300))
    return made


def test_beyond_the_best_pairs_a_bound_and_its_reasons_are_kept() -> None:
    made = crowd(SHOWN_PAIRS + 15)
    for second in range(3):
        review(made, second)
    assert len(made.found) + len(made.standing) == SHOWN_PAIRS + 15
    assert len(made.found) == SHOWN_PAIRS
    worst_shown = min(found.net_bps for found in made.found.values())
    for key, standing in made.standing.items():
        assert standing.bound_bps is not None
        assert standing.bound_bps < LIMITS.min_viable_spread_bps
        assert standing.bound_bps <= worst_shown
        assert standing.refusals[0].code == "edge"
        assert standing.refusals[0].value == standing.bound_bps
        assert made.pairs[key].alive_since_ms is None
    ranked = made.ranking()
    assert [not one.refusals for one in ranked] == sorted((not one.refusals for one in ranked), reverse=True)
    for better, worse in pairwise(ranked):
        assert bool(better.refusals) != bool(worse.refusals) or better.net_usd >= worse.net_usd


def test_what_can_be_executed_ranks_before_what_would_earn_more_but_is_refused() -> None:
    made = crowd(4)
    review(made, 1)
    one, other, third, last = sorted(made.found.values(), key=lambda found: found.net_usd, reverse=True)
    assert [found.pair for found in made.ranking()] == [one.pair, other.pair, third.pair, last.pair]
    for free, refused in ((False, one), (True, other), (False, third), (True, last)):
        reasons = () if free else (Refusal("book_stale", "old"),)
        made.found[refused.pair] = msgspec.structs.replace(refused, refusals=reasons)
    assert [found.pair for found in made.ranking()] == [other.pair, last.pair, one.pair, third.pair]


def test_what_is_unknown_stands_with_every_reason_once() -> None:
    made = board()
    made.apply(BookLost(ONE.key, "gap of 3", NOW_NS))
    made.markets[TWO.key].market = market(TWO, taker_fee_bps=None)
    review(made, 1)
    standing = made.standing[FORTH]
    assert standing.bound_bps is None
    assert [refusal.code for refusal in standing.refusals] == ["book_lost", "fee_unknown"]
    assert FORTH not in made.found


def test_a_pair_too_thin_for_the_smallest_order_stands_with_that_reason() -> None:
    made = board()
    made.apply(snapshot(ONE.key, ([(9_998, 3)], [(10_000, 3)])))
    review(made, 1)
    assert FORTH not in made.found
    assert made.standing[FORTH].refusals[0].code == "depth"
    assert made.standing[FORTH].bound_bps is not None


def test_alive_since_lasts_while_the_pair_is_viable_and_starts_anew_after() -> None:
    made = board()
    pair = made.pairs[FORTH]
    assert pair.alive_since_ms == NOW_MS
    made.look(pair, NOW_MS + 300, NOW_NS)
    assert pair.alive_since_ms == NOW_MS
    made.apply(snapshot(TWO.key, ([(20_000, 200_000)], [(20_004, 200_000)])))
    review(made, 1)
    assert pair.alive_since_ms is None
    made.apply(snapshot(TWO.key, BOOK_TWO))
    review(made, 2)
    assert pair.alive_since_ms == NOW_MS + 2_000


@pytest.mark.parametrize(("assets", "part"), [(1, 20), (3, 20), (7, 3), (30, 20), (41, 20), (5, 1)])
def test_a_review_in_parts_visits_every_pair_once_a_second(assets: int, part: int) -> None:
    made = crowd(assets)
    for pair in made.pairs.values():
        pair.basis_bps.clear()
    for beat in range(4 * part):
        made.review(NOW_MS, NOW_NS + beat * SECOND_NS // part, part=part)
    assert {len(pair.basis_bps) for pair in made.pairs.values()} == {4}
    assert len(made.found) + len(made.standing) == assets


def test_the_basis_of_few_pairs_is_not_sampled_faster() -> None:
    """Twenty samples a second would call the move of 50 ms that of a second, and a target settled after two seconds."""
    made = board(sampled=False)
    for beat in range(1, 40):
        made.review(NOW_MS, NOW_NS + beat * SECOND_NS // 20, part=20)
    assert len(made.pairs[FORTH].basis_bps) == 2 < SAMPLES_MIN


def test_estimates_are_settled_every_ten_seconds() -> None:
    made = board(sampled=False)
    pair = made.pairs[FORTH]
    for second in range(1, 45):
        review(made, second)
        for key in (ONE.key, TWO.key):
            made.books[key].received_ns = NOW_NS + second * SECOND_NS
        assert (pair.sigma_bps is not None) == (second >= 30)


# -- history ----------------------------------------------------------------------------------------------------------


def test_history_is_wanted_of_paired_markets_without_the_last_settlement_best_pairs_first() -> None:
    made = crowd(3)
    lonely = market(ONE, key="one:LONELY", base="LONELY")
    ones = [made.markets[f"one:A{n}"].market for n in range(3)]
    made.apply(listed(*ones, lonely, venue="one"))
    made.review(NOW_MS, NOW_NS)
    assert made.wanting_history(NOW_MS) == []
    next_hour_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    assert made.wanting_history(next_hour_ms + HISTORY_SLACK_MS - 1) == []
    ranked = [found.pair for found in made.ranking()]
    wanted = [one.key for one in made.wanting_history(next_hour_ms + HISTORY_SLACK_MS)]
    assert wanted == [key for pair in ranked for key in pair.split(">")]
    made.apply(settled(wanted[0], 1e-5, next_hour_ms, stamp_late_ms=900))
    assert [one.key for one in made.wanting_history(next_hour_ms + HISTORY_SLACK_MS)] == wanted[1:]
    for event in funding_told("one:LONELY", [1e-5]):
        made.apply(event)


def test_the_last_settlement_alone_is_no_history() -> None:
    made = Board(lambda asset: LIMITS, lambda asset, one, other: True)
    made.apply(listed(ONE, venue="one"))
    made.apply(listed(TWO, venue="two"))
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    now_ms = hour_ms + HISTORY_SLACK_MS
    made.apply(settled(ONE.key, 1e-5, hour_ms, price=0.01))  # by the stream, as it tells it to who joins
    assert made.wanting_history(now_ms) == [], "there is no price yet to book it on"
    made.apply(Stats(ONE.key, 0.01, 0.01, None, NOW_MS, NOW_NS))
    assert made.wanting_history(now_ms) == [ONE]
    made.apply(Stats(TWO.key, None, 0.00001, None, NOW_MS, NOW_NS))
    assert made.wanting_history(now_ms) == [ONE, TWO]
    for event in funding_told(ONE.key, [1e-5] * 24):
        made.apply(event)
    assert made.wanting_history(now_ms) == [TWO]
    made.apply(settled(ONE.key, 1e-5, hour_ms + HOUR_MS, price=0.01))
    assert made.wanting_history(now_ms + HOUR_MS) == [TWO]  # nothing was missed: the stream is enough
    made.apply(settled(ONE.key, 1e-5, hour_ms + 3 * HOUR_MS, price=0.01))
    assert made.wanting_history(now_ms + 3 * HOUR_MS) == [ONE, TWO]  # an hour was


def test_settlements_known_and_unknown() -> None:
    made = board()
    assert made.next_settlement_ms(ONE.key, NOW_MS) == NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    assert made.next_settlement_ms("one:NEW", NOW_MS) is None


def test_pairs_share_their_markets_states() -> None:
    made = board()
    forth, back = made.pairs[FORTH], made.pairs[BACK]
    assert isinstance(forth, Pair)
    assert (forth.long, forth.short) == (back.short, back.long)

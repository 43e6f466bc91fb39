"""When a hedged trade is left: each reason at its edge, and silence where figures are unknown."""

from __future__ import annotations

import msgspec
import pytest

from market_samples import NOW_MS, NOW_NS, ONE, TWO, limits, market, pair
from trade_samples import LONG_PLAN, SHORT_PLAN, Story, plan
from twinleg.core.edge import prepare
from twinleg.core.exits import AGE_HORIZONS, Standing, exit_wish, further_bps, rest_wish
from twinleg.core.funding import HOUR_MS
from twinleg.core.messages import Level, MarketStatus
from twinleg.core.orders import ExitWanted, Leg, State
from twinleg.core.pairs import Pair
from twinleg.core.trade import Trade

Sides = tuple[list[Level], list[Level]]


def prepared() -> Pair:
    made = pair()
    assert not isinstance(prepare(made, NOW_MS), tuple)
    return made


def standing(exit_usd: float = 0.0, expected_usd: float = 0.5) -> Standing:
    return Standing(notional_usd=1_000.0, exit_usd=exit_usd, expected_usd=expected_usd)


def reason(made: Pair, stands: Standing | None, stop_loss_bps: float = 50.0, held_ms: int = 0) -> str | None:
    wish = exit_wish(made, stands, stop_loss_bps=stop_loss_bps, held_ms=held_ms)
    if wish is None:
        return None
    assert wish.patient == wish.reason.startswith(("target", "funding flip", "edge decay", "age"))
    return wish.reason


def with_rates(made: Pair, long_rate: float, short_rate: float) -> Pair:
    for view, rate in ((made.long.funding, long_rate), (made.short.funding, short_rate)):
        assert view.stream is not None
        view.stream = msgspec.structs.replace(view.stream, rate_per_hour=rate)
    prepare(made, NOW_MS)
    return made


def test_a_trade_that_keeps_paying_is_kept() -> None:
    assert reason(prepared(), standing()) is None
    assert reason(prepared(), standing(-1.0)) is None


@pytest.mark.parametrize("leg", ["long", "short"])
def test_a_reduce_only_market_is_left(leg: str) -> None:
    made = prepared()
    facts = ONE if leg == "long" else TWO
    getattr(made, leg).refresh(market(facts, status=MarketStatus.REDUCE_ONLY))
    assert reason(made, standing()) == f"{facts.key} is reduce-only"
    assert reason(made, None) == f"{facts.key} is reduce-only", "it needs no figures"


def test_the_stop_loss_is_in_bps_of_the_notional_and_counts_the_way_out() -> None:
    made = prepared()
    assert reason(made, standing(-4.999)) is None
    found = reason(made, standing(-5.0))
    assert found is not None
    assert found.startswith("stop-loss: -50.0 bps")
    assert reason(made, standing(-5.0), stop_loss_bps=51.0) is None


def test_what_was_expected_is_taken_once_it_is_made() -> None:
    made = prepared()
    assert reason(made, standing(0.49)) is None
    found = reason(made, standing(0.5))
    assert found is not None
    assert found.startswith("target")
    assert reason(made, standing(0.0, expected_usd=0.0)) is None, "nothing made is no target reached"
    assert reason(made, standing(0.01, expected_usd=-1.0)) is not None


def test_funding_that_turns_against_us_ends_the_trade() -> None:
    made = with_rates(prepared(), 2e-4, -2e-4)
    assert made.prepared is not None
    assert made.prepared.carry_bps < 0
    made.basis_target_bps = made.mid_basis_bps()
    found = reason(made, standing())
    assert found is not None
    assert found.startswith("funding flip")


def test_a_basis_below_its_usual_level_ends_a_trade_whose_carry_does_not_make_up_for_it() -> None:
    made = prepared()
    assert made.prepared is not None
    carry = made.prepared.carry_bps
    made.basis_target_bps = made.mid_basis_bps() + 2 * carry - 0.1
    assert reason(made, standing()) is None
    made.basis_target_bps = made.mid_basis_bps() + 2 * carry + 0.1
    found = reason(made, standing())
    assert found is not None
    assert found.startswith("edge decay: holding on is worth -0.1")


def test_what_lies_ahead_is_carry_and_half_the_way_to_the_usual_basis() -> None:
    made = prepared()
    assert made.prepared is not None
    made.basis_target_bps = made.mid_basis_bps() - 8
    assert further_bps(made) == pytest.approx(made.prepared.carry_bps + 4)
    made.basis_target_bps = None
    assert further_bps(made) == made.prepared.carry_bps
    made.prepared = None
    assert further_bps(made) is None


def test_without_figures_only_the_facts_speak() -> None:
    made = with_rates(prepared(), 2e-4, -2e-4)
    assert reason(made, None) is None, "nobody there to trade with"
    made.prepared = None
    assert reason(made, standing()) is None
    assert reason(made, standing(-9.0)) is not None


# -- age --------------------------------------------------------------------------------------------------------------


OLD_MS = int(AGE_HORIZONS * 8 * HOUR_MS)


def paying(ahead_bps: float) -> Pair:
    """A pair whose coming horizon pays that much."""
    made = prepared()
    assert made.prepared is not None
    made.basis_target_bps = made.mid_basis_bps() + 2 * (made.prepared.carry_bps - ahead_bps)
    assert further_bps(made) == pytest.approx(ahead_bps)
    return made


def test_an_old_trade_must_earn_its_keep() -> None:
    least = prepared().limits.min_viable_spread_bps
    assert reason(paying(least - 0.1), standing(), held_ms=OLD_MS) is None, "not old yet"
    assert reason(paying(least + 0.1), standing(), held_ms=OLD_MS + 1) is None
    found = reason(paying(least - 0.1), standing(), held_ms=OLD_MS + 1)
    assert found == "age: held for 3.0 horizons, and 0.9 bps is all that holding on pays"
    short = pair(limits(horizon_hours=1.0))
    prepare(short, NOW_MS)
    short.prepared = None
    assert reason(short, standing(), held_ms=3 * HOUR_MS) is None
    found = reason(short, standing(), held_ms=6 * HOUR_MS)
    assert found == "age: held for 6.0 horizons, and nobody knows what holding on pays"


# -- entries that rest ------------------------------------------------------------------------------------------------


def entering(first: Leg | None, rest_ms: int = 5_000) -> Story:
    """The sample pair's long and short leg: 10,000 and 20,060 ticks or no worse than that."""
    long = msgspec.structs.replace(LONG_PLAN, limit_ticks=10_000, decision_ticks=10_000)
    short = msgspec.structs.replace(SHORT_PLAN, limit_ticks=20_060, decision_ticks=20_060)
    return Story(Trade(plan(first=first, rest_ms=rest_ms, long=long, short=short))).start()


DEARER_TO_BUY: Sides = ([(9_998, 50)], [(10_001, 50)])
CHEAPER_TO_SELL: Sides = ([(20_059, 50)], [(20_064, 50)])


@pytest.mark.parametrize("first", list(Leg))
def test_an_entry_rests_while_its_hedge_can_be_had(first: Leg) -> None:
    """The hedge's own touch counts, not that of the leg that rests."""
    made, story = prepared(), entering(first)
    assert rest_wish(made, story.trade) is None
    long_worse, short_worse = prepared(), prepared()
    long_worse.long.book.snapshot(*DEARER_TO_BUY, NOW_MS, NOW_NS)
    short_worse.short.book.snapshot(*CHEAPER_TO_SELL, NOW_MS, NOW_NS)
    harmless, harmful = (long_worse, short_worse) if first is Leg.LONG else (short_worse, long_worse)
    assert rest_wish(harmless, story.trade) is None
    found = rest_wish(harmful, story.trade)
    assert found is not None
    hedged_in = TWO.key if first is Leg.LONG else ONE.key
    assert found.reason == f"entry called off: {hedged_in} shows nothing within the hedge's limit"
    story.tell(ExitWanted("t1", found.reason, 10))
    story.ends(f"t1-{first.value}-0", 0)
    assert story.trade.state is State.CLOSED


def test_an_entry_is_called_off_when_its_hedge_shows_no_price_or_a_market_closes() -> None:
    made = prepared()
    made.short.book.lose("a gap")
    assert rest_wish(made, entering(Leg.LONG).trade) is not None
    assert rest_wish(made, entering(Leg.SHORT).trade) is None, "it hedges on the other"
    made = prepared()
    made.long.refresh(market(ONE, status=MarketStatus.CLOSED))
    found = rest_wish(made, entering(Leg.LONG).trade)
    assert found is not None
    assert found.reason == "entry called off: one:1000PEPE is closed"


def test_only_an_entry_that_rests_and_has_not_filled_is_called_off() -> None:
    made = prepared()
    made.short.book.lose("a gap")
    made.long.book.lose("a gap")
    assert rest_wish(made, entering(None, 0).trade) is None
    assert rest_wish(made, entering(Leg.LONG, 0).trade) is None, "it takes"
    assert rest_wish(made, Story(entering(Leg.LONG).trade).fills("t1-long-0", 3).trade) is None
    ended = entering(Leg.LONG)
    ended.ends("t1-long-0", 0)
    assert ended.trade.state is State.CLOSED
    assert rest_wish(made, ended.trade) is None

"""A trade makes room only for what gains clearly more than leaving costs, and only where it is in the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from market_samples import NOW_MS, NOW_NS, ONE, TWO, limits, market, pair
from twinleg.core.edge import BPS, Opportunity, evaluate, prepare
from twinleg.core.exits import Standing, further_bps
from twinleg.core.funding import HOUR_MS
from twinleg.core.guard import Approved, Exposure, approve
from twinleg.core.messages import Refusal
from twinleg.core.pairs import Pair, gates
from twinleg.core.switching import (
    ALIVE_MS_MIN,
    HELD_MS_MIN,
    SWITCH_TIMES,
    Held,
    Room,
    Switch,
    cost_of_leaving_bps,
    switch_wish,
    without,
)

LIMITS = limits(max_order_size_usd=200.0, max_concurrent_trades=1)
FULL = Exposure(
    gross_usd=400.0,
    by_venue_usd={"one": 200.0, "two": 200.0},
    equity_usd={"one": 1_000.0, "two": 1_000.0},
    available_usd={"one": 900.0, "two": 900.0},
    open_assets=frozenset({"DOGE"}),
    open_trades=1,
)


def better(net_bps: float = 40.0, **changes: Any) -> tuple[Pair, Opportunity]:
    """About 200 USD a leg of PEPE at `net_bps`, viable for a while."""
    made = pair(LIMITS)
    prepare(made, NOW_MS)
    found = evaluate(made, NOW_MS, gates(made, NOW_NS, {}))
    assert found is not None
    assert found.refusals == ()
    changes = {"net_bps": net_bps, "alive_since_ms": NOW_MS - ALIVE_MS_MIN} | changes
    return made, msgspec.structs.replace(found, **changes)


def held(ahead_bps: float = 0.0, trade_id: str = "T000001", **changes: Any) -> Held:
    """A trade of 200 USD a leg in another asset of the same prices, from whose holding `ahead_bps` are expected."""
    made = pair(
        LIMITS, one=market(ONE, key="one:1000DOGE", base="1000DOGE"), two=market(TWO, key="two:DOGE", base="DOGE")
    )
    prepare(made, NOW_MS)
    assert made.prepared is not None
    made.basis_target_bps = made.mid_basis_bps() + 2 * (made.prepared.carry_bps - ahead_bps)
    assert further_bps(made) == pytest.approx(ahead_bps)
    stands = Standing(notional_usd=200.0, exit_usd=-0.1, expected_usd=0.2)
    one = Held(trade_id=trade_id, pair=made, standing=stands, lots=(20_000, 40_000), held_ms=HELD_MS_MIN)
    return msgspec.structs.replace(one, **changes)


def switched(one: Held, other: tuple[Pair, Opportunity], exposure: Exposure = FULL) -> Switch | None:
    return switch_wish([one], [other], Room(exposure=exposure))


def test_leaving_costs_half_of_both_spreads_and_both_taker_fees() -> None:
    one = held()
    long_half, short_half = 1 / 9_999 * BPS, 2 / 20_062 * BPS
    assert cost_of_leaving_bps(one.pair, one.lots) == pytest.approx(long_half + short_half + 2.5, abs=0.01)
    assert cost_of_leaving_bps(one.pair, (10**9, 40_000)) is None
    deeper = cost_of_leaving_bps(one.pair, (100_000, 200_000))
    assert deeper is not None
    assert deeper > long_half + short_half + 2.5 + 1
    one.pair.short.book.lose("a gap")
    assert cost_of_leaving_bps(one.pair, one.lots) is None


def test_it_must_gain_twice_what_leaving_costs() -> None:
    one = held(ahead_bps=3.0)
    leaving_bps = cost_of_leaving_bps(one.pair, one.lots)
    assert leaving_bps is not None
    notional_usd = better()[1].notional_usd
    # as much money as 200 USD at that many bps
    hurdle_bps = (3.0 + SWITCH_TIMES * leaving_bps) * 200 / notional_usd
    assert switched(one, better(hurdle_bps - 0.1)) is None
    found = switched(one, better(hurdle_bps + 0.1))
    assert found is not None
    assert (found.trade_id, found.pair, found.wish.patient) == ("T000001", better()[0].key, True)
    assert found.gain_usd == pytest.approx(leaving_bps / BPS * 200, abs=0.01)
    assert found.wish.reason.startswith(f"switch to {found.pair}: ")


def test_a_trade_that_still_earns_as_much_stays() -> None:
    assert switched(held(ahead_bps=0.0), better(40.0)) is not None
    assert switched(held(ahead_bps=35.0), better(40.0)) is None


def test_what_is_compared_is_money_per_margin() -> None:
    """A trade of a tenth of the size makes room for a tenth of the other's earnings."""
    small = held(standing=Standing(notional_usd=20.0, exit_usd=0.0, expected_usd=0.0), lots=(2_000, 4_000))
    whole, tenth = switched(held(), better(40.0)), switched(small, better(40.0))
    assert whole is not None
    assert tenth is not None
    assert tenth.gain_usd == pytest.approx(whole.gain_usd / 10, rel=0.01)


def test_both_must_have_lasted_a_while() -> None:
    assert switched(held(held_ms=HELD_MS_MIN - 1), better()) is None
    assert switched(held(), better(alive_since_ms=NOW_MS - ALIVE_MS_MIN + 1)) is None
    assert switched(held(), better(alive_since_ms=None)) is None


def test_nothing_is_left_for_what_has_room_anyway() -> None:
    roomy = msgspec.structs.replace(FULL, open_trades=0)
    assert isinstance(approve(better()[1], roomy, LIMITS), Approved)
    assert switched(held(), better(), roomy) is None


@pytest.mark.parametrize(
    "why",
    [
        {"open_trades": 2},
        {"equity_usd": {"one": 50.0, "two": 1_000.0}},
        {"available_usd": {"one": -60.0, "two": 900.0}},
        {"open_assets": frozenset({"DOGE", "PEPE"})},
    ],
)
def test_nothing_is_left_where_that_makes_no_room(why: dict[str, Any]) -> None:
    assert switched(held(), better(), msgspec.structs.replace(FULL, **why)) is None
    blocked = Room(exposure=FULL, blocked=(Refusal("halted", "T000003"),))
    assert switch_wish([held()], [better()], blocked) is None
    thin = msgspec.structs.replace(better()[1], refusals=(Refusal("depth", "thin"),))
    assert switched(held(), (better()[0], thin)) is None


@pytest.mark.parametrize(
    "why",
    [
        {"open_trades": 1},
        {"available_usd": {"one": 10.0, "two": 900.0}},
        {"available_usd": {"one": -1.0, "two": 900.0}},
    ],
)
def test_each_kind_of_room_is_made(why: dict[str, Any]) -> None:
    assert switched(held(), better(), msgspec.structs.replace(FULL, **why)) is not None


def test_unknown_figures_keep_a_trade() -> None:
    one = held()
    one.pair.prepared = None
    assert switched(one, better()) is None
    one = held()
    one.pair.long.book.lose("a gap")
    assert switched(one, better()) is None


def test_the_switch_that_gains_most_is_made() -> None:
    poor, rich = held(ahead_bps=1.0), held(ahead_bps=9.0, trade_id="T000002")
    room = Room(exposure=FULL)
    for order in ([poor, rich], [rich, poor]):
        found = switch_wish(order, [better(60.0)], room)
        assert found is not None
        assert found.trade_id == "T000001"


def test_without_a_trade_its_room_is_free() -> None:
    after = without(FULL, held())
    assert (after.gross_usd, after.by_venue_usd) == (0.0, {"one": 0.0, "two": 0.0})
    assert after.available_usd["one"] == pytest.approx(900 + 200 / 3)
    assert (after.open_trades, after.open_assets) == (0, frozenset())
    assert after.equity_usd == FULL.equity_usd


def test_a_trade_is_not_left_for_itself() -> None:
    one = held()
    prepare(one.pair, NOW_MS)
    found = evaluate(one.pair, NOW_MS, [])
    assert found is not None
    same = msgspec.structs.replace(found, net_bps=900.0, refusals=(), alive_since_ms=NOW_MS - HOUR_MS)
    assert switched(one, (one.pair, same)) is None

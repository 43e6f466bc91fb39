"""Which leg may go first, and what its role costs."""

from __future__ import annotations

import math

import pytest

from market_samples import ONE, TWO, market
from twinleg.core.entry import FAST_FILL_MS, Entry, LegFees, Mode, Role, both_take, leg_fees, rest_saves_bps
from twinleg.core.orders import Leg

SLOW_MS = FAST_FILL_MS + 1


@pytest.mark.parametrize(
    ("long_ms", "short_ms", "entry"),
    [
        (FAST_FILL_MS, 0, Entry(Mode.SIMULTANEOUS, None)),
        (SLOW_MS, FAST_FILL_MS, Entry(Mode.SLOW_FIRST, Leg.LONG)),
        (0, SLOW_MS, Entry(Mode.SLOW_FIRST, Leg.SHORT)),
        (SLOW_MS, SLOW_MS, Entry(Mode.SIMULTANEOUS, None)),
    ],
)
def test_takers_go_at_once_unless_one_alone_is_slow(long_ms: int, short_ms: int, entry: Entry) -> None:
    assert both_take(market(ONE, taker_delay_ms=long_ms), market(TWO, taker_delay_ms=short_ms)) == entry


def test_resting_saves_the_difference_of_the_fees_where_it_may_be_done() -> None:
    one = market(ONE, maker_fee_bps=-0.5, taker_fee_bps=2.0)
    assert rest_saves_bps(one, TWO) == 2.5
    assert rest_saves_bps(market(one, maker_fee_bps=3.0), TWO) == -1.0
    assert rest_saves_bps(market(one, post_only=False), TWO) == -math.inf
    assert rest_saves_bps(market(one, maker_fee_bps=None), TWO) == -math.inf
    assert rest_saves_bps(one, market(TWO, taker_delay_ms=SLOW_MS)) == -math.inf
    assert rest_saves_bps(market(one, taker_delay_ms=SLOW_MS), TWO) == 2.5, "only the hedge must be fast"


def test_a_leg_pays_for_its_role_and_always_takes_to_leave() -> None:
    one = market(ONE, maker_fee_bps=-0.5, taker_fee_bps=2.0)
    assert leg_fees(one, Role.MAKER) == LegFees(Role.MAKER, -0.5, 2.0)
    assert leg_fees(one, Role.TAKER) == LegFees(Role.TAKER, 2.0, 2.0)
    for role, missing in ((Role.MAKER, "maker_fee_bps"), (Role.TAKER, "taker_fee_bps")):
        with pytest.raises(AssertionError):
            leg_fees(market(one, **{missing: None}), role)

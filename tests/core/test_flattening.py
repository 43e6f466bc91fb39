"""Closing a position: bounds that widen to the widest and no farther, names that no trade ever has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_samples import ONE
from twinleg.core.flattening import (
    FIRST_NUMBER,
    NUMBERS,
    NUMBERS_PER_LEASE,
    ORDERS_PER_LEASE,
    OutOfNamesError,
    Reference,
    bound_bps,
    bound_ticks,
    closing_intent,
    is_flattening,
    name_of,
    reference,
)
from twinleg.core.orders import Leg, Purpose, Side, TimeInForce, client_id
from twinleg.core.trading import OUR_IDS_FROM, PositionSeen, client_id_of, number_of


def position(lots: int, entry: float | None = 10_000.0, unrealised_usd: float | None = None) -> PositionSeen:
    return PositionSeen("one", ONE.key, lots, entry, None, unrealised_usd, 0)


def test_the_touch_comes_first_then_the_venues_mark_then_its_entry() -> None:
    assert reference(position(5), ONE, 9_998) == Reference(9_998, "touch")
    assert reference(position(5), ONE, None) == Reference(10_000, "entry")
    assert reference(position(5, unrealised_usd=0.5), ONE, None) == Reference(110_000, "mark")
    assert reference(position(-5, unrealised_usd=0.025), ONE, None) == Reference(5_000, "mark")
    assert reference(position(5, unrealised_usd=-1.0), ONE, None) == Reference(10_000, "entry")
    assert reference(position(5, entry=None), ONE, None) is None
    assert reference(position(5, entry=0.0), ONE, None) is None


def test_the_bound_widens_in_even_steps_and_stays_at_the_widest() -> None:
    assert [bound_bps(step, 3, 200) for step in range(5)] == [66, 133, 200, 200, 200]


@given(st.sampled_from(Side), st.integers(1, 10**9), st.integers(0, 9_999))
def test_the_bound_is_never_beyond_what_is_allowed(side: Side, ticks: int, bps: int) -> None:
    bound = bound_ticks(side, ticks, bps)
    assert bound > 0
    assert side.sign * (bound - ticks) * 10_000 <= ticks * bps
    assert side.sign * (bound - ticks) >= 0


@given(st.integers(1, 10**7), st.integers(0, ORDERS_PER_LEASE - 1))
def test_a_name_is_flattens_and_fits_where_orders_are_numbers(token: int, count: int) -> None:
    name = client_id(*name_of(token, count))
    assert is_flattening(name)
    assert OUR_IDS_FROM <= number_of(name) < 2 * OUR_IDS_FROM
    assert client_id_of(number_of(name)) == name


def test_no_two_orders_of_neighbouring_leases_have_one_name() -> None:
    names = {client_id(*name_of(token, count)) for token in (7, 8, 9) for count in range(ORDERS_PER_LEASE)}
    assert len(names) == 3 * ORDERS_PER_LEASE
    rounds = NUMBERS // NUMBERS_PER_LEASE
    assert name_of(1, 0) == name_of(1 + rounds, 0) != name_of(rounds, 0)


def test_names_of_trades_are_not_flattens() -> None:
    assert not is_flattening(client_id("T000123", Leg.LONG, 2))
    assert not is_flattening(client_id(f"T{FIRST_NUMBER - 1}", Leg.SHORT, 0))
    assert not is_flattening("somebody-else")
    assert is_flattening(client_id(f"T{FIRST_NUMBER}", Leg.SHORT, 0))


def test_names_end() -> None:
    with pytest.raises(OutOfNamesError):
        name_of(1, ORDERS_PER_LEASE)


@pytest.mark.parametrize(("lots", "side"), [(7, Side.SELL), (-7, Side.BUY)])
def test_the_order_takes_all_of_it_away_and_can_only_reduce(lots: int, side: Side) -> None:
    intent = closing_intent(position(lots), name_of(3, 5), 9_900, 9_998, 1_000)
    assert (intent.side, intent.size_lots, intent.reduce_only) == (side, 7, True)
    assert (intent.time_in_force, intent.purpose) == (TimeInForce.IOC, Purpose.FLATTEN)
    assert (intent.limit_ticks, intent.decision_price_ticks, intent.deadline_ms) == (9_900, 9_998, 1_000)
    assert intent.client_id == client_id(intent.trade_id, intent.leg, intent.attempt)

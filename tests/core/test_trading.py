"""Numbers that name our orders at venues which know orders by number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinleg.core.orders import Leg, client_id, trade_id
from twinleg.core.trading import ATTEMPTS_MAX, OUR_IDS_FROM, TRADE_NUMBER_MAX, client_id_of, number_of, order_number


@given(st.integers(0, TRADE_NUMBER_MAX), st.sampled_from(list(Leg)), st.integers(0, ATTEMPTS_MAX - 1))
def test_a_number_is_its_client_id_and_back(trade: int, leg: Leg, attempt: int) -> None:
    name = client_id(trade_id(trade), leg, attempt)
    number = number_of(name)
    assert OUR_IDS_FROM <= number < 2**31
    assert client_id_of(number) == name


@given(st.integers(-5, OUR_IDS_FROM - 1) | st.integers(2**31, 2**48))
def test_numbers_of_others_are_none_of_ours(number: int) -> None:
    assert client_id_of(number) is None


def test_the_range_has_both_ends() -> None:
    assert order_number(0, 0, 0) == OUR_IDS_FROM
    assert order_number(TRADE_NUMBER_MAX, 1, ATTEMPTS_MAX - 1) == 2**31 - 1
    for wrong in ((TRADE_NUMBER_MAX + 1, 0, 0), (0, 2, 0), (0, 0, ATTEMPTS_MAX), (-1, 0, 0), (0, 0, -1)):
        with pytest.raises(ValueError, match="no order number"):
            order_number(*wrong)


@pytest.mark.parametrize("text", ["", "T1", "hand-made", "T1-long-x", "Tx-long-1", "T1-sideways-1"])
def test_other_client_ids_have_no_number(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what it says depends on the text
        number_of(text)

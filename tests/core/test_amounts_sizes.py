"""Sizes and prices as feeds read them: the short ways give what Grid.parse gives, and refuse what makes no sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinleg.core.amounts import AmountError, Grid, Memo, sizes_of

GRIDS = [Grid(0), Grid(1, 5), Grid(4), Grid(8), Grid(0, 10)]
TEXTS = st.one_of(
    st.text(alphabet="0123456789.-+eE_ ", max_size=12),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.integers(0, 10**20).map(lambda number: f"{number / 10**4:.4f}"),
    st.integers(30, 44).map(lambda digits: "1" * digits),
    st.text(max_size=5),
)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@given(text=TEXTS)
def test_a_size_is_what_the_grid_says_or_refused(grid: Grid, text: str) -> None:
    try:
        expected = grid.parse(text)
    except AmountError:
        expected = -1
    if expected < 0:
        with pytest.raises(AmountError):
            sizes_of(grid)(text)
    else:
        assert sizes_of(grid)(text) == expected


def test_padding_does_not_matter() -> None:
    size = sizes_of(Grid(4))
    assert [size(text) for text in ("0.3285", "0.32850000", "00.3285", ".3285")] == [3285] * 4
    assert [size(text) for text in ("1", "1.", "1.0", "0", "0.0000")] == [10_000, 10_000, 10_000, 0, 0]


@pytest.mark.parametrize("text", ["9" * 41, "0." + "0" * 50 + "1", "٣", "1.5.2", "-0.1"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        sizes_of(Grid(4))(text)


def test_a_memo_refuses_less_than_its_least_each_time() -> None:
    prices = Memo(Grid(2), least=1)
    for _ in range(2):
        with pytest.raises(AmountError):
            prices["0.00"]
        with pytest.raises(AmountError):
            prices["-1.00"]
    assert prices["0.01"] == 1
    assert Memo(Grid(2))["-1"] == -100

"""Rows of figures: whole or absent, at every width and height."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twinleg.cli.sheet import Row, Sheet, listed

SHEET = Sheet(main=("asset", "net $", "APR"), more=("fee in", "carry"), left=1)
FIGURE = st.integers(-(10**9), 10**9).map(lambda number: f"{number:+,}")
ROWS = st.lists(
    st.builds(
        Row,
        main=st.tuples(st.sampled_from(["BTC", "1000PEPE"]), FIGURE, FIGURE),
        more=st.tuples(FIGURE, FIGURE),
        notes=st.lists(st.sampled_from(["edge 3.2 (limit 5)", "book_lost"]), max_size=3).map(tuple),
    ),
    max_size=6,
)


def test_all_columns_stand_in_one_row_when_they_fit() -> None:
    lines = SHEET.lines([Row(("ETH", "+1.00", "+9%"), ("-2.5", "+4.0"), ("edge 1 (limit 5)",))], 120, 10)
    assert [line.text for line in lines] == [
        "asset  net $  APR  fee in  carry",
        "ETH    +1.00  +9%    -2.5   +4.0  edge 1 (limit 5)",
    ]


def test_what_does_not_fit_follows_with_its_title() -> None:
    lines = SHEET.lines([Row(("ETH", "+1.00", "+9%"), ("-2.5", "+4.0"), ("edge 1 (limit 5)",))], 26, 10)
    assert [line.text for line in lines] == [
        "asset  net $  APR",
        "ETH    +1.00  +9%",
        "    fee in -2.5, carry",
        "    +4.0",
        "    edge 1 (limit 5)",
    ] or [line.text for line in lines] == [
        "asset  net $  APR",
        "ETH    +1.00  +9%",
        "    fee in -2.5,",
        "    carry +4.0",
        "    edge 1 (limit 5)",
    ]


@given(ROWS, st.integers(30, 250))
def test_every_figure_is_whole(rows: list[Row], width: int) -> None:
    lines = SHEET.lines(rows, width, 10_000)
    text = "\n".join(line.text for line in lines)
    assert all(len(line.text) <= width for line in lines)
    words = text.replace(", ", " ").replace(",\n", "\n").split()
    for row in rows:
        for figure in (*row.main, *row.more):
            assert figure in words


@given(ROWS, st.integers(30, 250), st.integers(2, 12))
def test_rows_that_do_not_fit_in_height_are_counted(rows: list[Row], width: int, height: int) -> None:
    whole = SHEET.lines(rows, width, 10_000)
    lines = SHEET.lines(rows, width, height)
    assert len(lines) <= height
    if len(whole) <= height:
        assert lines == whole
    else:
        shown = sum(line.text.startswith(("BTC", "1000PEPE")) for line in lines)
        assert lines[-1].text.strip().startswith(f"{len(rows) - shown} more")


@given(st.lists(st.text("abc 123", min_size=1), max_size=5), st.integers(0, 40))
def test_notes_are_whole_or_counted(notes: list[str], width: int) -> None:
    text = listed(notes, width)
    assert len(text) <= width
    if len(", ".join(notes)) <= width:
        assert text == ", ".join(notes)

"""The live view, drawn from glances made by hand."""

from __future__ import annotations

import pytest
from cli_glances import EDGE, glance, opportunity, trade

from twinleg.cli.figures import bps, percent, size, usd
from twinleg.cli.view import lines, refusal_texts
from twinleg.core.messages import FeedHealth, Refusal, StreamState

WIDTHS = [80, 120, 200]


def text_of(picture: object, width: int, height: int = 60) -> str:
    drawn = lines(picture, "test", width, height)  # type: ignore[arg-type]
    assert len(drawn) <= height
    assert all(len(line.text) <= width for line in drawn)
    return "\n".join(line.text for line in drawn)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_cost_term_of_an_opportunity_is_shown_whole(width: int) -> None:
    one = opportunity()
    text = text_of(glance(ranking=(one,), trades=()), width)
    words = text.replace(", ", " ").replace(",\n", "\n").split()
    terms = one.terms
    contributions = (
        terms.basis_in_bps,
        -terms.basis_out_bps,
        -terms.fees_in_bps,
        -terms.fees_out_bps,
        terms.carry_bps,
        -terms.stable_basis_bps,
        -terms.latency_haircut_bps,
    )
    assert sum(contributions) == pytest.approx(one.net_bps)
    for figure in (
        *map(bps, contributions), bps(one.net_bps), usd(one.net_usd), usd(one.usd_per_hour),
        percent(one.apr_on_margin), size(one.capacity_usd), size(one.notional_usd), "3.2h", "3m05s",
    ):  # fmt: skip
        assert figure in words
    for title in ("basis in", "basis out", "fee in", "fee out", "carry", "stable", "latency"):
        assert title in text


@pytest.mark.parametrize("width", WIDTHS)
def test_an_open_trade_shows_delta_funding_and_countdown(width: int) -> None:
    text = text_of(glance(ranking=(), trades=(trade(),)), width)
    words = text.replace(", ", " ").replace(",\n", "\n").split()
    for figure in ("hedged", "-0.0123", "+0.0185", "+0.3815", "+0.2987", "20m34s", "0.3s", "-0.0625", "1h05m"):
        assert figure in words


@pytest.mark.parametrize("width", WIDTHS)
def test_refusals_stand_beside_their_pair(width: int) -> None:
    text = text_of(glance(), width)
    assert "edge 3.21 (limit 5)" in text
    assert "1 executable" not in text
    assert "opportunities: 2 executable, 1 refused" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_troubled_feeds_and_venues_are_named(width: int) -> None:
    text = text_of(glance(), width)
    assert "extended books-0: down closed: 1006" in text
    assert "books 12/40" in text
    if width > 80:
        assert "HTTP 503: maintenance" in text


def test_many_troubled_feeds_are_counted() -> None:
    feeds = tuple(FeedHealth("lighter", f"books-{n}", StreamState.DOWN, "closed", 0) for n in range(10))
    text = text_of(glance(feeds=feeds), 120)
    assert "books-2: down" in text
    assert "7 more feeds are not live" in text


def test_what_blocks_every_entry_is_at_the_top() -> None:
    text = text_of(glance(blocked=(Refusal("journal", "the disk is full"),)), 120)
    assert "no entries: journal: the disk is full" in text.splitlines()[1]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("height", [12, 24, 50])
def test_a_long_ranking_leaves_room_for_the_trades_and_the_totals(width: int, height: int) -> None:
    ranking = tuple(opportunity(f"A{number}") for number in range(60))
    drawn = lines(glance(ranking=ranking), "test", width, height)
    assert height - 4 <= len(drawn) <= height
    text = "\n".join(line.text for line in drawn)
    if height >= 24:
        assert "more: a taller terminal shows them" in text
        assert "trades: 2 open" in text
        assert "net $ +4.78" in text


def test_a_terminal_of_no_size_is_no_failure() -> None:
    for width, height in ((1, 1), (10, 3), (20, 0)):
        assert len(lines(glance(), "test", width, height)) <= height


def test_an_empty_start_is_drawn() -> None:
    text = text_of(glance(venues=(), feeds=(), ranking=(), standing=(), trades=()), 80)
    assert "opportunities: 0 executable, 0 refused" in text


def test_a_venue_cannot_move_the_cursor() -> None:
    feeds = (FeedHealth("lighter", "books-0", StreamState.DOWN, "\x1b[2J\nlighter: fine", 0),)
    for line in lines(glance(feeds=feeds), "test", 120, 50):
        assert line.text.isprintable()


def test_one_refusal_of_each_code_is_told() -> None:
    stale = (Refusal("book_stale", "one", 2_512.0, 2_000.0), Refusal("book_stale", "other", 3_000.0, 2_000.0))
    assert refusal_texts((*stale, EDGE)) == ("book_stale 2,512 (limit 2,000)", "edge 3.21 (limit 5)")

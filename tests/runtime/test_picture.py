"""The Glance shows what is, and says so where something is not known."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from trading_world import FORTH, World, world

from market_samples import LIMITS, ONE, TWO, settled
from twinleg.core.board import Standing
from twinleg.core.funding import HOUR_MS
from twinleg.core.glance import Glance
from twinleg.core.messages import BookLost, FeedHealth, StreamState
from twinleg.core.orders import ExitWish, State
from twinleg.runtime.picture import glance

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def draw(made: World, **troubles: str | None) -> Glance:
    known = troubles or {"one": None, "two": None}
    return glance(made.engine, mode="dry_run", started_ms=1_700_000_000_000, troubles=known)


async def test_an_engine_that_knows_nothing_is_drawn_empty(tmp_path: Path) -> None:
    async with world(tmp_path, beats=False) as made:
        seen = draw(made, one="not asked yet", two=None)
        assert [(line.venue, line.trouble, line.markets) for line in seen.venues] == [
            ("one", "not asked yet", 0),
            ("two", None, 0),
        ]
        assert (seen.ranking, seen.standing, seen.trades, seen.blocked, seen.feeds) == ((), (), (), (), ())
        totals = seen.totals
        assert (totals.best_edge_bps, totals.decision_us_p50, totals.net_usd) == (None, None, 0.0)


async def test_a_hedged_trade_is_drawn_with_its_money(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.tells()
        await made.live(2)
        made.shows()
        seen = draw(made)
        (line,) = seen.trades
        account = made.accounts[0]
        assert (line.trade_id, line.state, line.asset) == ("T000001", "hedged", "PEPE")
        assert [line.long_lots, line.short_lots] == made.held()
        assert line.net_usd == pytest.approx(line.price_usd + line.slippage_usd + line.funding_usd - line.fees_usd)
        assert line.exit_usd is not None
        assert line.exit_usd < line.net_usd, "leaving costs half the spreads and the fees"
        assert line.net_delta_usd == pytest.approx(-line.notional_usd * 32 / 10_000, rel=0.05)
        assert line.next_settlement_ms == (made.clock.wall_ms() // HOUR_MS + 1) * HOUR_MS
        assert line.unhedged_ms == account.unhedged_ms == 200, "the second venue fills 200 ms sooner"
        totals = seen.totals
        assert (totals.executed, totals.closed, totals.found) == (1, 0, made.board.viable_seen)
        assert totals.net_usd == pytest.approx(line.net_usd)
        assert totals.volume_usd == pytest.approx(2 * line.notional_usd, rel=0.01)
        assert totals.refused["asset_open"] >= 1
        assert seen.ranking[0].pair == FORTH
        assert seen.uptime_ms == made.clock.wall_ms() - 1_700_000_000_000
        assert [(one.books_ready, one.units_agreed, one.clock_offset_ms) for one in seen.venues] == [(1, 1, 0)] * 2
        assert msgspec.json.decode(msgspec.json.encode(seen), type=Glance) == seen


async def test_a_lost_book_makes_no_false_delta_and_no_way_out(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.tells()
        await made.live(2)
        before = draw(made).trades[0]
        made.engine.on_market([BookLost(ONE.key, "gap", made.clock.mono_ns())])
        line = draw(made).trades[0]
        assert line.exit_usd is None
        assert line.net_delta_usd == before.net_delta_usd
        assert line.net_usd == before.net_usd
        assert draw(made).venues[0].books_ready == 0
        del made.board.books[ONE.key]
        assert abs(draw(made).trades[0].net_delta_usd) < 0.01 * line.notional_usd, "at the decision price"


async def test_funding_closing_and_trouble_are_shown(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.tells()
        await made.live(2)
        hour_ms = (made.clock.wall_ms() // HOUR_MS + 1) * HOUR_MS
        made.clock.now_ns += (hour_ms - made.clock.wall_ms()) * 1_000_000
        made.engine.on_market([settled(TWO.key, 3e-5, hour_ms, price=0.00001)])
        await made.quiet()
        assert draw(made).trades[0].funding_usd == pytest.approx(made.held()[1] * 500 * 0.00001 * 3e-5, abs=1e-6)
        made.engine.stopping = "asked to stop"
        made.desk.wants_exit("T000001", ExitWish("the operator's wish"), made.clock.wall_ms())
        made.tells(watched=False)
        await made.live(3)
        down = FeedHealth("one", "books-0", StreamState.DOWN, "reset", 1)
        made.engine.on_market([down])
        seen = draw(made)
        (line,) = seen.trades
        assert made.states == [State.CLOSED]
        assert (line.state, line.exit_reason, line.exit_usd) == ("closed", "the operator's wish", None)
        assert line.closed_ms is not None
        assert line.opened_ms < line.closed_ms <= made.clock.wall_ms()
        assert (line.long_lots, line.short_lots, line.net_delta_usd) == (0, 0, 0.0)
        assert seen.totals.closed == 1
        assert [refusal.code for refusal in seen.blocked] == ["stopping"]
        assert seen.feeds == (down,)
        clock = made.clock
    async with world(tmp_path, clock, beats=False) as made:
        totals = draw(made).totals
        assert (totals.executed, totals.closed) == (0, 0), "counts are of this run"
        assert totals.volume_usd == seen.totals.volume_usd > 0, "money is of the journal"


async def test_standing_pairs_are_drawn_best_bound_first_and_unknown_last(tmp_path: Path) -> None:
    poor = msgspec.structs.replace(LIMITS, min_viable_spread_bps=500.0)
    async with world(tmp_path, limits=poor) as made:
        made.tells()
        await made.live(2)
        for number, key in enumerate(list(made.board.found)):
            del made.board.found[key]
            made.board.standing[key] = Standing(key, float(number) if number else None, ())
        assert [one.bound_bps for one in draw(made).standing] == [1.0, None]


async def test_latencies_are_told_as_median_and_99th_percentile(tmp_path: Path) -> None:
    async with world(tmp_path, beats=False) as made:
        made.engine.tally.latencies_ns.extend(range(1_000, 101_000, 1_000))
        totals = draw(made).totals
        assert (totals.decision_us_p50, totals.decision_us_p99) == (51.0, 100.0)

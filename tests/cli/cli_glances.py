"""Glances made by hand, with figures of every kind: large, small, negative, unknown."""

from __future__ import annotations

from typing import Any

import msgspec

from twinleg.core.board import Standing
from twinleg.core.edge import Opportunity, Terms
from twinleg.core.entry import LegFees, Mode, Role
from twinleg.core.glance import Glance, Totals, TradeLine, VenueLine
from twinleg.core.liquidity import Liquidity, SideView
from twinleg.core.messages import FeedHealth, Refusal, StreamState

NOW_MS = 1_795_198_800_000
SIDE = SideView(spread_bps=1.0, depth_usd=(10_000.0, 25_000.0, 60_000.0), impact_bps=0.8)
EDGE = Refusal("edge", "net edge after every cost", 3.21, 5.0)


def opportunity(asset: str = "ETH", **changes: Any) -> Opportunity:
    """An executable opportunity, unless the changes say otherwise."""
    terms = changes.pop("terms", Terms(31.4, 12.7, 2.5, 2.6, 4.25, 0.0, 1.1))
    made = Opportunity(
        pair=f"lighter:{asset}>extended:{asset}-USD",
        asset=asset,
        long_market=f"lighter:{asset}",
        short_market=f"extended:{asset}-USD",
        common_lots=100,
        least_common_lots=4,
        least_order_common_lots=4,
        long_lots=1_000,
        short_lots=100,
        notional_usd=249.5,
        terms=terms,
        gross_bps=terms.basis_in_bps + terms.carry_bps,
        net_bps=terms.net_bps,
        net_usd=terms.net_bps * 249.5 / 10_000,
        usd_per_hour=0.0523,
        apr_on_margin=1.842,
        break_even_hours=3.25,
        capacity_usd=12_500.0,
        curve=((10.0, 18.0), (249.5, 16.75)),
        long_rate_per_hour=-0.00002,
        short_rate_per_hour=0.0000125,
        next_settlement_ms=NOW_MS + 1_234_000,
        liquidity=Liquidity(SIDE, SIDE, SIDE, SIDE, impact_score=4.0, depth_score=90.0),
        assumed=("fees: public base tier",),
        alive_since_ms=NOW_MS - 185_000,
        decided_ms=NOW_MS,
        decision_ticks=(235_714.0, 23_574.0),
        mode=Mode.SIMULTANEOUS,
        first=None,
        fees=(LegFees(Role.TAKER, 0.0, 0.0), LegFees(Role.TAKER, 2.5, 2.5)),
        refusals=(),
    )
    return msgspec.structs.replace(made, **changes)


def trade(trade_id: str = "T000001", **changes: Any) -> TradeLine:
    """An open, hedged paper trade, unless the changes say otherwise."""
    made = TradeLine(
        trade_id=trade_id,
        asset="SOL",
        long_market="extended:SOL-USD",
        short_market="lighter:SOL",
        state="hedged",
        paper=True,
        opened_ms=NOW_MS - 3_900_000,
        closed_ms=None,
        notional_usd=249.87,
        long_lots=168,
        short_lots=1_680,
        net_delta_usd=-0.0123,
        unhedged_ms=312,
        price_usd=0.4567,
        slippage_usd=-0.0312,
        funding_usd=0.0185,
        fees_usd=0.0625,
        net_usd=0.3815,
        exit_usd=0.2987,
        expected_usd=0.4182,
        next_settlement_ms=NOW_MS + 1_234_000,
        exit_reason=None,
    )
    return msgspec.structs.replace(made, **changes)


def glance(**changes: Any) -> Glance:
    """A busy picture: one venue whole, one in trouble, trades open and closed."""
    made = Glance(
        at_ms=NOW_MS,
        mode="dry_run",
        uptime_ms=3_725_000,
        venues=(
            _venue("lighter", None, 40, 40, 12),
            _venue("extended", "HTTP 503: maintenance", 40, 12, None),
        ),
        feeds=(
            FeedHealth("lighter", "books-0", StreamState.LIVE, "", NOW_MS),
            FeedHealth("extended", "books-0", StreamState.DOWN, "closed: 1006", NOW_MS - 900),
        ),
        ranking=(
            opportunity(),
            opportunity("1000000MOG", refusals=(EDGE, Refusal("book_lost", "lighter:MOG: gap")), break_even_hours=None),
            opportunity("BTC", apr_on_margin=-123.4, net_usd=-1_234.5, capacity_usd=0.0, alive_since_ms=None),
        ),
        standing=(Standing("lighter:ADA>extended:ADA-USD", -4.2, (EDGE,)), Standing("x", None, (EDGE, EDGE))),
        trades=(
            trade(),
            trade("T000002", asset="DOGE", state="repairing", exit_usd=None, next_settlement_ms=None),
            trade("T000003", asset="XRP", state="closed", closed_ms=NOW_MS - 5_000, exit_reason="target: made enough"),
        ),
        totals=Totals(
            found=1_234,
            executed=17,
            closed=14,
            refused={"edge": 54_321, "book_lost": 12, "exposure": 3},
            volume_usd=123_456.78,
            price_usd=12.34,
            slippage_usd=-1.23,
            funding_usd=0.45,
            fees_usd=6.78,
            net_usd=4.78,
            best_edge_bps=31.4,
            events=9_876_543,
            decision_us_p50=48.0,
            decision_us_p99=391.0,
        ),
        blocked=(),
    )
    return msgspec.structs.replace(made, **changes)


def _venue(name: str, trouble: str | None, markets: int, ready: int, offset_ms: int | None) -> VenueLine:
    return VenueLine(
        venue=name,
        trouble=trouble,
        markets=markets,
        books_ready=ready,
        units_agreed=ready,
        units_disagreed=0,
        clock_offset_ms=offset_ms,
    )

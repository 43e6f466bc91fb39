"""The live view: one Glance as lines of a terminal. Pure; `screen.py` puts them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from twinleg.cli.figures import UNKNOWN, bps, clock, hours, percent, plain, size, span, usd
from twinleg.cli.sheet import INDENT, Line, Row, Sheet, listed
from twinleg.core.board import Standing
from twinleg.core.edge import Opportunity
from twinleg.core.glance import Glance, TradeLine, VenueLine
from twinleg.core.messages import FeedHealth, Refusal, StreamState

OPPORTUNITIES = Sheet(
    main=("asset", "long > short", "net bps", "net $", "$/h", "APR", "capacity $", "even"),
    more=("size $", "basis in", "basis out", "fee in", "fee out", "carry", "stable", "latency", "alive"),
    left=2,
)
TRADES = Sheet(
    main=("asset", "long > short", "state", "delta $", "funding $", "net $", "exit $", "settles"),
    more=("size $", "unhedged", "price $", "slip $", "fees $", "hoped $", "age"),
    left=3,
)
WIDTH_MIN = 60
TROUBLED_FEEDS_SHOWN = 3
TRADES_SHARE = 3
TRADES_LINES_MIN = 5
"""Trades get a third of the free lines, more when the opportunities need less, and room for one in any case."""
STATE_STYLE = {"hedged": "green", "halted": "bold red", "repairing": "bold yellow", "closed": "dim"}


def lines(glance: Glance, title: str, width: int, height: int) -> list[Line]:
    """The whole picture in at most `height` lines; below WIDTH_MIN cells the terminal cuts them."""
    width = max(width, WIDTH_MIN)
    head, foot = _head(glance, title, width), _totals(glance, width)
    titles = 2
    free = height - len(head) - len(foot) - titles
    trade_rows = [_trade_row(one, glance.at_ms) for one in glance.trades]
    trades = TRADES.lines(trade_rows, width, max(free, 2))
    wanted = opportunity_lines(glance.ranking, glance.at_ms, width, max(free, 2))
    if len(wanted) + len(trades) > free:
        for_trades = max(free // TRADES_SHARE, free - len(wanted), TRADES_LINES_MIN if glance.trades else 1)
        trades = TRADES.lines(trade_rows, width, for_trades)
        wanted = opportunity_lines(glance.ranking, glance.at_ms, width, max(free - len(trades), 2))
    executable = sum(not one.refusals for one in glance.ranking)
    body = [
        _ruled(f"opportunities: {executable} executable, {len(glance.ranking) - executable} refused", width),
        *wanted,
        _ruled(f"trades: {sum(one.closed_ms is None for one in glance.trades)} open", width),
        *trades,
    ]
    return [Line(line.text[:width].rstrip(), line.style) for line in [*head, *body, *foot]][:height]


def opportunity_lines(ranking: Sequence[Opportunity], now_ms: int, width: int, height: int) -> list[Line]:
    """The ranking as a sheet with every cost term."""
    return OPPORTUNITIES.lines([_opportunity_row(one, now_ms) for one in ranking], width, height)


def refusal_text(refusal: Refusal) -> str:
    """A refusal in few words: its code with its number and limit, "edge 3.2 (limit 5)"."""
    if refusal.value is None:
        return refusal.code
    limit = "" if refusal.limit is None else f" (limit {_number(refusal.limit)})"
    return f"{refusal.code} {_number(refusal.value)}{limit}"


def refusal_texts(refusals: Iterable[Refusal]) -> tuple[str, ...]:
    """Refusals in few words, one of each code: the first."""
    return tuple({refusal.code: refusal_text(refusal) for refusal in reversed(tuple(refusals))}.values())[::-1]


def direction(long_market: str, short_market: str) -> str:
    """Where to buy and where to sell: "lighter > extended"."""
    return plain(f"{long_market.partition(':')[0]} > {short_market.partition(':')[0]}")


def _head(glance: Glance, title: str, width: int) -> list[Line]:
    first = f"twinleg {title}  {glance.mode}  up {span(glance.uptime_ms)}  {clock(glance.at_ms)} UTC  Ctrl-C ends"
    if glance.blocked:
        reasons = listed([plain(f"{one.code}: {one.detail}") for one in glance.blocked], width - len("no entries: "))
        entries = Line(f"no entries: {reasons}", "bold yellow")
    else:
        entries = Line("entries allowed", "green")
    found = [Line(first, "bold"), entries, *(_venue_line(venue, glance.feeds) for venue in glance.venues)]
    troubled = [feed for feed in glance.feeds if feed.state is not StreamState.LIVE]
    for feed in troubled[:TROUBLED_FEEDS_SHOWN]:
        text = f"{INDENT}{feed.venue} {feed.stream}: {feed.state.value} {feed.reason}"
        found.append(Line(plain(text), "yellow"))
    if len(troubled) > TROUBLED_FEEDS_SHOWN:
        found.append(Line(f"{INDENT}{len(troubled) - TROUBLED_FEEDS_SHOWN} more feeds are not live", "yellow"))
    return found


def _venue_line(venue: VenueLine, feeds: tuple[FeedHealth, ...]) -> Line:
    states = Counter(feed.state.value for feed in feeds if feed.venue == venue.venue)
    streams = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    offset = UNKNOWN if venue.clock_offset_ms is None else f"{venue.clock_offset_ms:+d} ms"
    units = f"{venue.units_agreed}/{venue.markets}"
    wrong = f", {venue.units_disagreed} DISAGREE" if venue.units_disagreed else ""
    text = (
        f"{venue.venue:<9} books {venue.books_ready}/{venue.markets}  units {units}{wrong}  clock {offset}  "
        f"connections {streams}"
    )
    if venue.trouble is not None:
        return Line(plain(f"{text}  {venue.trouble}"), "bold red")
    whole = venue.books_ready == venue.markets > 0 and set(states) == {StreamState.LIVE.value} and not wrong
    return Line(plain(text), "green" if whole else "yellow")


def _opportunity_row(one: Opportunity, now_ms: int) -> Row:
    terms = one.terms
    return Row(
        main=(
            plain(one.asset),
            direction(one.long_market, one.short_market),
            bps(one.net_bps),
            usd(one.net_usd),
            usd(one.usd_per_hour),
            percent(one.apr_on_margin),
            size(one.capacity_usd),
            hours(one.break_even_hours),
        ),
        more=(
            size(one.notional_usd),
            bps(terms.basis_in_bps),
            bps(-terms.basis_out_bps),
            bps(-terms.fees_in_bps),
            bps(-terms.fees_out_bps),
            bps(terms.carry_bps),
            bps(-terms.stable_basis_bps),
            bps(-terms.latency_haircut_bps),
            span(None if one.alive_since_ms is None else now_ms - one.alive_since_ms),
        ),
        notes=refusal_texts(one.refusals),
        style=_style(one),
    )


def _style(one: Opportunity) -> str:
    if not one.refusals:
        return "bold green"
    return "" if one.net_bps > 0 else "dim"


def _trade_row(one: TradeLine, now_ms: int) -> Row:
    settles = UNKNOWN if one.next_settlement_ms is None else span(max(0, one.next_settlement_ms - now_ms))
    return Row(
        main=(
            plain(one.asset),
            direction(one.long_market, one.short_market),
            one.state,
            usd(one.net_delta_usd),
            usd(one.funding_usd),
            usd(one.net_usd),
            usd(one.exit_usd),
            UNKNOWN if one.closed_ms is not None else settles,
        ),
        more=(
            size(one.notional_usd),
            span(one.unhedged_ms),
            usd(one.price_usd),
            usd(one.slippage_usd),
            usd(-one.fees_usd),
            usd(one.expected_usd),
            span((one.closed_ms or now_ms) - one.opened_ms),
        ),
        notes=() if one.exit_reason is None else (plain(one.exit_reason),),
        style=STATE_STYLE.get(one.state, "yellow"),
    )


def _totals(glance: Glance, width: int) -> list[Line]:
    totals = glance.totals
    parts = f"price {usd(totals.price_usd)} slippage {usd(totals.slippage_usd)} funding {usd(totals.funding_usd)}"
    speed = UNKNOWN
    if totals.decision_us_p50 is not None and totals.decision_us_p99 is not None:
        speed = f"{totals.decision_us_p50:,.0f} us, p99 {totals.decision_us_p99:,.0f} us"
    refused = [f"{code} {count:,}" for code, count in Counter(totals.refused).most_common()]
    return [
        _ruled("since the start", width),
        Line(f"net $ {usd(totals.net_usd)} = {parts} fees {usd(-totals.fees_usd)}", "bold"),
        Line(
            f"found {totals.found:,}  executed {totals.executed:,}  closed {totals.closed:,}  "
            f"volume $ {size(totals.volume_usd)}  best edge {bps(totals.best_edge_bps)} bps"
        ),
        Line(f"decision p50 {speed}  events {totals.events:,}", "dim"),
        Line(f"refused, seconds: {listed(refused, width - 18) or 'none'}", "dim"),
        Line(_standing_text(glance.standing, width), "dim"),
    ]


def _standing_text(standing: tuple[Standing, ...], width: int) -> str:
    codes = Counter(refusal.code for one in standing for refusal in one.refusals[:1])
    head = f"not worth a walk: {len(standing)} pairs: "
    return head + listed([f"{code} {count:,}" for code, count in codes.most_common()], width - len(head))


def _ruled(title: str, width: int) -> Line:
    return Line(f"-- {title} ".ljust(width, "-"), "cyan")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"

"""What is worth a line when nobody watches a view: the differences between one Glance and the next. Pure.

Each change is one plain line, or one JSON object with the same facts (docs/CLI.md lists the events).
"""

from __future__ import annotations

from typing import Any

import msgspec

from twinleg.cli.figures import bps, percent, plain, size, span, usd
from twinleg.cli.view import direction, refusal_texts
from twinleg.core.glance import Glance, Totals, TradeLine
from twinleg.core.messages import FeedHealth

BEST_EVERY_MS = 5_000
"""The best pair's name and its reasons may change with every book: told at most this often."""


class Change(msgspec.Struct, frozen=True):
    """One thing that happened: the event's name, when (epoch ms), the sentence, and its facts."""

    event: str
    at_ms: int
    text: str
    data: dict[str, Any] = {}


class Changes:
    """Remembers what was told last."""

    def __init__(self, summary_every_ms: int) -> None:
        """`summary_every_ms` is PERFORMANCE_LOG_INTERVAL."""
        self._summary_every_ms = summary_every_ms
        self._summary_ms: int | None = None
        self._best_ms: int | None = None
        self._best: tuple[str, tuple[str, ...]] | None = None
        self._feeds: dict[tuple[str, str], FeedHealth] = {}
        self._troubles: dict[str, str | None] = {}
        self._blocked: tuple[str, ...] = ()
        self._trades: dict[str, TradeLine] | None = None

    def since_last(self, glance: Glance) -> list[Change]:
        """What changed since the glance before. Trades that were there at the first glance are told as resumed."""
        found = [*self._venues(glance), *self._feed_changes(glance), *self._entries(glance)]
        found += [*self._trade_changes(glance), *self._best_pair(glance)]
        if self._summary_ms is None:
            self._summary_ms = glance.at_ms
        elif glance.at_ms - self._summary_ms >= self._summary_every_ms:
            self._summary_ms = glance.at_ms
            found.append(summary("performance", glance))
        return sorted(found, key=lambda change: change.at_ms)

    def _venues(self, glance: Glance) -> list[Change]:
        found = []
        for venue in glance.venues:
            if self._troubles.get(venue.venue, "") == venue.trouble:
                continue
            self._troubles[venue.venue] = venue.trouble
            text = "answers" if venue.trouble is None else venue.trouble
            data = {"venue": venue.venue, "trouble": venue.trouble}
            found.append(Change("venue", glance.at_ms, plain(f"{venue.venue}: {text}"), data))
        return found

    def _feed_changes(self, glance: Glance) -> list[Change]:
        found = []
        for feed in glance.feeds:
            before = self._feeds.get((feed.venue, feed.stream))
            self._feeds[feed.venue, feed.stream] = feed
            if before is not None and (before.state, before.reason) == (feed.state, feed.reason):
                continue
            reason = f": {feed.reason}" if feed.reason else ""
            text = plain(f"{feed.venue} {feed.stream} is {feed.state.value}{reason}")
            found.append(Change("feed", feed.at_ms, text, msgspec.to_builtins(feed)))
        return found

    def _entries(self, glance: Glance) -> list[Change]:
        codes = tuple(refusal.code for refusal in glance.blocked)
        if codes == self._blocked:
            return []
        self._blocked = codes
        reasons = "; ".join(f"{refusal.code}: {refusal.detail}" for refusal in glance.blocked)
        text = f"no entries: {reasons}" if reasons else "entries are allowed again"
        return [Change("entries", glance.at_ms, plain(text), {"blocked": msgspec.to_builtins(glance.blocked)})]

    def _trade_changes(self, glance: Glance) -> list[Change]:
        now = {trade.trade_id: trade for trade in glance.trades}
        first = self._trades is None
        before = self._trades or {}
        self._trades = now
        found = []
        for trade_id, trade in now.items():
            known = before.get(trade_id)
            if known is None and first:
                if trade.closed_ms is None:
                    found.append(_trade("trade_resumed", glance.at_ms, trade))
            elif known is None:
                found.append(_trade("trade_opened", glance.at_ms, trade))
            if known is not None and known.state != trade.state:
                found.append(_trade(f"trade_{trade.state}", glance.at_ms, trade))
            if known is not None and known.funding_usd != trade.funding_usd:
                booked = trade.funding_usd - known.funding_usd
                text = (
                    f"{trade.trade_id} {trade.asset}: funding {usd(booked)} $ booked, {usd(trade.funding_usd)} $ in all"
                )
                data = {"booked_usd": booked, "trade": msgspec.to_builtins(trade)}
                found.append(Change("settlement", glance.at_ms, plain(text), data))
        return found

    def _best_pair(self, glance: Glance) -> list[Change]:
        if not glance.ranking or (self._best_ms is not None and glance.at_ms - self._best_ms < BEST_EVERY_MS):
            return []
        best = glance.ranking[0]
        told = (best.pair, tuple(sorted({refusal.code for refusal in best.refusals})))
        if told == self._best:
            return []
        event = "best" if self._best is None or self._best[0] != best.pair else "best_refusals"
        self._best, self._best_ms = told, glance.at_ms
        verdict = ", ".join(refusal_texts(best.refusals)) or "executable"
        text = (
            f"best: {best.asset} {direction(best.long_market, best.short_market)} net {bps(best.net_bps)} bps, "
            f"{usd(best.net_usd)} $ on {size(best.notional_usd)} $, APR {percent(best.apr_on_margin)}: {verdict}"
        )
        return [Change(event, glance.at_ms, plain(text), {"opportunity": msgspec.to_builtins(best)})]


def summary(event: str, glance: Glance) -> Change:
    """The totals as one line."""
    data = {"uptime_ms": glance.uptime_ms, "totals": msgspec.to_builtins(glance.totals)}
    open_trades = sum(trade.closed_ms is None for trade in glance.trades)
    return Change(event, glance.at_ms, totals_text(glance.totals, glance.uptime_ms, open_trades), data)


def totals_text(totals: Totals, uptime_ms: int, open_trades: int) -> str:
    """Found, executed, refused by reason, volume, profit by source, best edge, latency."""
    refused = ", ".join(f"{plain(code)} {seconds:,}" for code, seconds in totals.refused.items()) or "none"
    p50, p99 = (
        "-" if micros is None else f"{micros:,.0f}" for micros in (totals.decision_us_p50, totals.decision_us_p99)
    )
    return (
        f"after {span(uptime_ms)}: found {totals.found:,}, executed {totals.executed:,}, open {open_trades}, "
        f"closed {totals.closed:,}, volume {size(totals.volume_usd)} $, net {usd(totals.net_usd)} $ = price "
        f"{usd(totals.price_usd)} slippage {usd(totals.slippage_usd)} funding {usd(totals.funding_usd)} fees "
        f"{usd(-totals.fees_usd)}; best edge {bps(totals.best_edge_bps)} bps; decision p50 {p50} us, p99 {p99} us; "
        f"events {totals.events:,}; refused (pair-seconds): {refused}"
    )


def _trade(event: str, at_ms: int, trade: TradeLine) -> Change:
    what = f"opened ({trade.state})" if event == "trade_opened" else event.removeprefix("trade_")
    text = f"{trade.trade_id} {what}: {trade.asset} {direction(trade.long_market, trade.short_market)} "
    if trade.closed_ms is None:
        text += f"{size(trade.notional_usd)} $, delta {usd(trade.net_delta_usd)} $, unhedged {span(trade.unhedged_ms)}"
    else:
        text += (
            f"net {usd(trade.net_usd)} $ = price {usd(trade.price_usd)} slippage {usd(trade.slippage_usd)} funding "
            f"{usd(trade.funding_usd)} fees {usd(-trade.fees_usd)}"
        )
    reason = f" ({trade.exit_reason})" if trade.exit_reason else ""
    return Change(event, at_ms, plain(text + reason), {"trade": msgspec.to_builtins(trade)})

"""`twinleg explain TRADE`: one trade's whole story, from the journal alone."""

from __future__ import annotations

from collections.abc import Iterator

from twinleg.cli.exits import BAD_CONFIGURATION, OK, CommandError
from twinleg.cli.figures import UNKNOWN, bps, moment, plain, rate, size, span, usd
from twinleg.cli.journals import journal_of, records_of
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.orders import State, trade_id
from twinleg.core.story import OrderTold, Story, story

TERM_TITLES = ("expected bps", "expected $", "came $")
NUMBER_CHARS_MAX = 9


def run_explain(trade: str, *, as_json: bool) -> int:
    """Tell it. Raises CommandError: no such trade, or no journal that can be read."""
    named = trade_id(int(trade)) if trade.isascii() and trade.isdecimal() and len(trade) <= NUMBER_CHARS_MAX else trade
    path = journal_of(settings_of_user().journal_dir)
    with records_of(path) as records:
        told = story(named, records)
    if told is None:
        raise CommandError(BAD_CONFIGURATION, f"{path} has no trade {plain(named)}: `twinleg trades` lists them.")
    if as_json:
        put_json(told)
    else:
        put([plain(line) for line in _lines(told)])
    return OK


def _lines(told: Story) -> Iterator[str]:
    ended = f", {span(told.closed_at_ms - told.planned_at_ms)} after it was planned" if told.closed_at_ms else ""
    yield f"{told.trade_id}: {told.asset}, {told.state}{ended}"
    yield from _plan(told)
    yield ""
    yield "Why it was opened, and what came of each term (costs are negative; all add up to the net):"
    yield from columns(
        ("term", *TERM_TITLES),
        [(one.name, bps(one.expected_bps), usd(one.expected_usd), usd(one.realised_usd)) for one in told.terms],
        right=TERM_TITLES,
    )
    yield f"  {UNKNOWN} means that no booking shows it, or not yet"
    yield ""
    yield "What happened:"
    yield from _events(told)
    yield ""
    yield from _unhedged(told)
    closed = [turn.because for turn in told.turns if turn.state == State.CLOSED.value]
    yield f"Left because: {told.exit_reason or (closed[-1] if closed else UNKNOWN)}"
    yield "* is where the operator was called; alerts themselves are in the log."


def _plan(told: Story) -> Iterator[str]:
    for leg in told.legs:
        yield (
            f"  {leg.leg:<5} {leg.market}: {leg.planned_size:.10g} planned, {leg.held_size:.10g} held, decided at "
            f"{leg.decision_price:.10g}, at worst {leg.limit_price:.10g}, taker fee {leg.taker_fee_bps:g} bps"
        )
    bounds = told.bounds
    entry = "both legs at once" if bounds.first is None else f"{bounds.first} leg first, resting {span(bounds.rest_ms)}"
    steps = ", ".join(f"{one}" for one in bounds.bounds_bps)
    yield (
        f"  limits: {size(told.notional_usd)} $ a leg; {entry}; unhedged at most {span(bounds.unhedged_ms_max)} and "
        f"{size(bounds.unhedged_usd_max)} $; to reduce, {len(bounds.bounds_bps)} attempts of {span(bounds.attempt_ms)} "
        f"at {steps} bps beyond the touch"
    )


def _events(told: Story) -> list[str]:
    """Everything in the order it became known; what is of one moment in the order it was told."""
    found: list[tuple[int, str]] = []
    for turn in told.turns:
        mark, spent = "* " if turn.alarming else "", f" (attempts spent: {turn.attempts_spent})"
        found.append((turn.at_ms, f"{mark}{turn.state}: {turn.because}{spent if turn.attempts_spent else ''}"))
    for order in told.orders:
        found += _order(order)
    for booked in told.funding:
        per_hour = f"{rate(booked.rate_per_hour)} an hour for {booked.interval_hours:g} h at {booked.price:.10g}"
        text = f"funding {usd(booked.amount_usd)} $ on the {booked.leg} leg: {per_hour}"
        found.append((booked.settled_at_ms, text))
    return [f"  {moment(at_ms)}  {text}" for at_ms, text in sorted(found, key=lambda one: one[0])]


def _order(order: OrderTold) -> Iterator[tuple[int, str]]:
    only = ", reduce-only" if order.reduce_only else ""
    what = f"{order.side} {order.size:.10g} of {order.market} at {order.limit_price:.10g} or better"
    bound = f"{bps(order.bound_bps)} bps from the decision at {order.decision_price:.10g}"
    life = f"{order.time_in_force}{only}, void after {span(order.deadline_ms - order.at_ms)}"
    yield order.at_ms, f"{order.client_id} ({order.purpose}): {what}, {bound}; {life}"
    for reply in order.replies:
        why = f": {reply.reason}" if reply.reason else ""
        yield reply.at_ms, f"{order.client_id} is {reply.status} after {span(reply.after_ms)}{why}"
    for fill in order.fills:
        deal = f"{fill.size:.10g} at {fill.price:.10g} after {span(fill.after_ms)}"
        slip = f"slippage {bps(fill.slippage_bps)} bps, {usd(fill.slippage_usd)} $; fee {usd(-fill.fee_usd)} $"
        yield fill.at_ms, f"{order.client_id} filled {deal}: {slip}"


def _unhedged(told: Story) -> Iterator[str]:
    spans = told.unhedged
    if not spans:
        yield "Unhedged: never"
        return
    yield f"Unhedged: {span(told.unhedged_ms)} in all, {len(spans)} times"
    for one in spans:
        end = "until now" if one.until_ms is None else f"for {span(one.until_ms - one.since_ms)}"
        yield f"  {moment(one.since_ms)}  {end}"

"""The commands that ask a running engine for something, and show what it answered."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import typer

from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED, UNREACHABLE, CommandError
from twinleg.cli.figures import moment, plain, usd
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.messages import Refusal
from twinleg.core.operations import (
    AdoptPositions,
    Answer,
    Asked,
    AskStatus,
    CloseTrade,
    Controlled,
    Declined,
    InDoubt,
    OpenTrade,
    Pause,
    ResolveTrade,
    Resume,
    Status,
    Stop,
    Terms,
    TradeDone,
)
from twinleg.runtime.control import NoAnswerError, NoEngineError, ask

ANSWER_S_MAX = 30.0
"""Longer than the engine lets a request take."""
NO_ENGINE = "Nothing was done: start the engine with `twinleg run`, or look whether TWINLEG_DATA_DIR is its folder"


def run_status(*, as_json: bool) -> int:
    """Show how it stands. Raises CommandError."""
    answer = asked_of_engine(settings_of_user().data_dir, AskStatus(), as_json=as_json)
    assert isinstance(answer, Status), answer
    put_json(answer) if as_json else put(_status_lines(answer))
    return OK


def run_control(asked: Pause | Stop | Resume, *, as_json: bool) -> int:
    """Change what may be done. Raises CommandError. REFUSED when a halted trade that was named could not go on."""
    answer = asked_of_engine(settings_of_user().data_dir, asked, as_json=as_json)
    assert isinstance(answer, Controlled), answer
    put_json(answer) if as_json else put(_control_lines(answer))
    return REFUSED if answer.not_lifted else OK


def run_trades(asked: CloseTrade | ResolveTrade | AdoptPositions, *, as_json: bool) -> int:
    """Have something done to trades. Raises CommandError."""
    answer = asked_of_engine(settings_of_user().data_dir, asked, as_json=as_json)
    assert isinstance(answer, TradeDone), answer
    put_json(answer) if as_json else put(f"{plain(trade)} is {state}" for trade, state in answer.states.items())
    return OK


def run_open(asked: OpenTrade, *, yes: bool, as_json: bool) -> int:
    """Show the terms, ask, open. Raises CommandError."""
    folder = settings_of_user().data_dir
    if not asked.preview and not yes:
        shown = asked_of_engine(folder, msgspec.structs.replace(asked, preview=True), as_json=as_json)
        assert isinstance(shown, Terms), shown
        put_json(shown) if as_json else put(_terms_lines(shown))
        confirm("Open it?")
    answer = asked_of_engine(folder, asked, as_json=as_json)
    assert isinstance(answer, Terms), answer
    put_json(answer) if as_json else put(_terms_lines(answer))
    return OK


def asked_of_engine(folder: Path, asked: Asked, *, as_json: bool) -> Answer:
    """What the engine of that folder answers; a refusal ends the command. Raises CommandError."""
    try:
        answer = asyncio.run(ask(folder, asked, ANSWER_S_MAX))
    except NoEngineError as error:
        raise CommandError(UNREACHABLE, f"{error}. {NO_ENGINE}.") from error
    except NoAnswerError as error:
        raise CommandError(
            UNREACHABLE, f"{error}. Whether it was done is not known: `twinleg status` shows."
        ) from error
    if isinstance(answer, InDoubt):
        raise CommandError(UNREACHABLE, f"{answer.text}. `twinleg status` shows whether it was done.")
    if isinstance(answer, Declined):
        if as_json:
            put_json(answer)
        raise CommandError(REFUSED, "\n".join(f"{shown(one)}." for one in answer.refusals))
    return answer


def confirm(question: str) -> None:
    """Ask on the terminal. Raises CommandError where there is none, or the answer is no."""
    if not sys.stdin.isatty():
        raise CommandError(BAD_CONFIGURATION, "nobody can be asked here: add --yes.")
    if not typer.confirm(question, err=True):
        raise CommandError(REFUSED, "nothing was done.")


def shown(refusal: Refusal) -> str:
    """A refusal with its number and limit."""
    numbers = [f"{number:g}" for number in (refusal.value, refusal.limit) if number is not None]
    return plain(f"{refusal.code}: {refusal.detail}" + (f" ({' against '.join(numbers)})" if numbers else ""))


def _control_lines(answer: Controlled) -> Iterable[str]:
    yield plain(f"{answer.control}" + (f": {answer.reason}" if answer.reason else ""))
    yield from (f"{plain(trade)} goes on" for trade in answer.lifted)
    yield from (plain(f"{trade} does not go on: {why}") for trade, why in answer.not_lifted.items())
    if answer.halted:
        yield f"still halted, and nothing is opened while they are: {plain(', '.join(answer.halted))}"


def _terms_lines(answer: Terms) -> Iterable[str]:
    yield plain(f"{answer.pair}  {usd(answer.notional_usd)} $ a leg, expected {usd(answer.expected_usd)} $")
    yield f"net {answer.net_bps:.2f} bps: " + " ".join(f"{name} {value:.2f}" for name, value in answer.terms.items())
    yield f"long {answer.long_size} at {answer.long_worst_price} or better"
    yield f"short {answer.short_size} at {answer.short_worst_price} or better"
    yield "nothing was opened" if answer.trade is None else f"{plain(answer.trade)} is opening: see `twinleg status`"


def _status_lines(answer: Status) -> Iterable[str]:
    since = "" if answer.control_at_ms is None else f" since {moment(answer.control_at_ms)}: {answer.control_reason}"
    yield plain(f"{answer.mode}, {answer.control}{since}")
    yield "entries are allowed" if not answer.blocked else "entries are blocked:"
    yield from (f"  {shown(one)}" for one in answer.blocked)
    for one in answer.venues:
        money = "" if one.equity_usd is None else f", equity {usd(one.equity_usd)} $, free {usd(one.available_usd)} $"
        yield plain(f"{one.venue}: {one.trouble or f'{one.books_ready} of {one.markets} books ready'}{money}")
    for found in answer.findings:
        yield plain(f"found{' (lasting)' if found.lasting else ''}: {found.kind}: {found.venue}: {found.detail}")
    if not answer.trades:
        yield "no open trades"
        return
    rows = [
        (one.trade, plain(one.asset), one.state, plain(one.long_market), str(one.long_lots), plain(one.short_market),
         str(one.short_lots), plain(one.exit_reason or ""))
        for one in answer.trades
    ]  # fmt: skip
    titles = ("trade", "asset", "state", "long", "long lots", "short", "short lots", "leaving because")
    yield from columns(titles, rows, right=("long lots", "short lots"))

"""`twinleg scan`: the ranking from live books."""

from __future__ import annotations

import asyncio
import sys
from typing import NamedTuple

import msgspec

from twinleg.cli.exits import OK
from twinleg.cli.figures import bps, clock, plain
from twinleg.cli.live import Ending
from twinleg.cli.looking import advice, looking
from twinleg.cli.output import HEIGHT_UNLIMITED, columns, put, put_json, width
from twinleg.cli.settings import settings_of_user
from twinleg.cli.view import opportunity_lines, refusal_texts
from twinleg.core.board import Standing
from twinleg.core.edge import Opportunity
from twinleg.core.glance import Glance, VenueLine


class ScanOptions(NamedTuple):
    """What the command line asked for. Times in seconds."""

    once: bool
    top: int
    settle: float
    every: float
    wait: float
    as_json: bool


class ScanAnswer(msgspec.Struct, frozen=True):
    """The best pairs at one moment. `standing` fills up the top with pairs whose best prices already rule them out."""

    at_ms: int
    troubles: dict[str, str]
    venues: tuple[VenueLine, ...]
    ranking: tuple[Opportunity, ...]
    standing: tuple[Standing, ...]


def run_scan(options: ScanOptions) -> int:
    """Answer once, or until Ctrl-C."""
    return asyncio.run(_scan(options))


async def _scan(options: ScanOptions) -> int:
    settings = settings_of_user()
    async with looking(settings, options.wait) as look:
        if look.troubles:
            sys.stderr.write(f"twinleg: {advice(look.troubles)}.\n")
        ending = Ending()
        ending.listen()
        wait_s = options.settle
        while not (wait_s > 0 and await ending.wait(wait_s)):
            _put(answer_of(look.system.glance(), look.troubles, options.top), as_json=options.as_json)
            if options.once:
                break
            wait_s = options.every
        return look.exit_code if options.once else OK


def answer_of(glance: Glance, troubles: dict[str, str], top: int) -> ScanAnswer:
    """The top of one glance."""
    ranking = glance.ranking[:top]
    return ScanAnswer(glance.at_ms, troubles, glance.venues, ranking, glance.standing[: top - len(ranking)])


def _put(answer: ScanAnswer, *, as_json: bool) -> None:
    if as_json:
        put_json(answer)
        return
    put([f"{clock(answer.at_ms)} UTC"])
    put(opportunity_lines(answer.ranking, answer.at_ms, width(), HEIGHT_UNLIMITED))
    rows = [(plain(one.pair), bps(one.bound_bps), ", ".join(refusal_texts(one.refusals))) for one in answer.standing]
    if rows:
        put(["", *columns(("not worth a walk", "at best, bps", "refusals"), rows, right=("at best, bps",))])
    put([""])

"""`twinleg doctor`: findings, each with what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED, UNREACHABLE
from twinleg.cli.figures import plain
from twinleg.cli.findings import Checked, Verdict, doubtful, failed, good
from twinleg.cli.looking import looking, units_checked
from twinleg.cli.machine import of_folders, of_python
from twinleg.cli.output import put, put_json
from twinleg.cli.readiness import account_findings, live_findings
from twinleg.core.funding import UnitCheck, UnitState
from twinleg.core.glance import Glance, VenueLine
from twinleg.core.messages import StreamState
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import Loaded, SettingsError, load

SHOWN = 5


class DoctorAnswer(msgspec.Struct, frozen=True):
    """Everything that was checked; `exit_code` is that of the worst."""

    exit_code: int
    findings: tuple[Checked, ...]


def run_doctor(wait_s: float, *, as_json: bool) -> int:
    """Print the findings; the exit code is that of the worst: 2 before 3 before 4."""
    findings = [of_python()]
    try:
        loaded = load()
    except SettingsError as error:
        findings += [
            failed(
                f"settings: {one.name}", f"{one.problem} ({one.origin or 'all sources'})", one.fix, BAD_CONFIGURATION
            )
            for one in error.findings
        ]
    else:
        findings += [*_settings(loaded), *of_folders(loaded.settings)]
        findings += asyncio.run(_venues(loaded.settings, wait_s))
        findings += asyncio.run(_accounts(loaded.settings, wait_s))
    code = min((one.exit_code for one in findings if one.verdict is Verdict.FAIL), default=OK)
    if as_json:
        put_json(DoctorAnswer(code, tuple(findings)))
    else:
        put(line for one in findings for line in _lines(one))
    return code


def _settings(loaded: Loaded) -> Iterator[Checked]:
    mode = loaded.settings.trading_mode
    yield good("settings", f"{len(loaded.origins)} given, the others at their defaults; TRADING_MODE={mode}")
    for warning in loaded.warnings:
        yield doubtful("settings", warning, "See docs/SETTINGS.md")
    if loaded.ignored:
        yield doubtful("settings", f"not settings of twinleg, ignored: {', '.join(loaded.ignored)}", "Remove them")


async def _accounts(settings: Settings, wait_s: float) -> list[Checked]:
    """Our accounts when there are keys, and all that live trading needs when it is asked for."""
    timeout_s = min(wait_s, settings.api_request_timeout)
    if settings.trading_mode == "live":
        return await live_findings(settings, timeout_s)
    return await account_findings(settings, timeout_s)


async def _venues(settings: Settings, wait_s: float) -> list[Checked]:
    async with looking(settings, wait_s) as look:
        board = look.system.engine.board
        await units_checked(board, 0 if look.troubles else wait_s)
        glance = look.system.glance()
        findings = [one for venue in glance.venues for one in of_venue(venue, look.troubles.get(venue.venue), settings)]
        findings += of_streams(glance)
        if not look.troubles:
            findings += of_units(board.unit_checks(), board.unit_trouble)
    return findings


def of_venue(venue: VenueLine, trouble: str | None, settings: Settings) -> Iterator[Checked]:
    """REST, books and clock of one venue."""
    name = venue.venue
    if trouble is not None:
        do = f"Check the network and {name.upper()}_BASE_URL; a firewall or a region block shows like this too"
        yield failed(f"{name}: reachable", plain(trouble), do, UNREACHABLE)
        return
    yield good(f"{name}: reachable", "it answers")
    if venue.markets == 0:
        yield doubtful(f"{name}: books", "no market in common", "It waits for another venue that lists the same assets")
        return
    books = f"{venue.books_ready} of {venue.markets} books are there"
    if venue.books_ready == venue.markets > 0:
        yield good(f"{name}: books", books)
    else:
        yield doubtful(
            f"{name}: books", books, "Give it longer (--wait); `twinleg book` shows a single market's reason"
        )
    offset_ms, limit_ms = venue.clock_offset_ms, settings.clock_offset_ms_max
    if offset_ms is None:
        yield doubtful(f"{name}: clock", "not measured in time", "Give it longer (--wait)")
    elif abs(offset_ms) > limit_ms:
        do = "Synchronise this machine's clock (NTP): nothing is traded while it is off"
        yield failed(f"{name}: clock", f"{offset_ms:+d} ms, the limit is {limit_ms}", do, REFUSED)
    else:
        yield good(f"{name}: clock", f"{offset_ms:+d} ms")


def of_streams(glance: Glance) -> Iterator[Checked]:
    """Each connection that is not as it should be, and how many are."""
    live = [feed for feed in glance.feeds if feed.state is StreamState.LIVE]
    for feed in glance.feeds:
        if feed.state is StreamState.LIVE:
            continue
        found = plain(f"{feed.stream} is {feed.state.value} {feed.reason}")
        if feed.state is StreamState.DEGRADED:
            do = "It mends itself as a rule; if it stays so, read the log of a running engine"
        else:
            do = f"Check {feed.venue.upper()}'s addresses, and that WebSockets pass your proxy or firewall"
        yield doubtful(f"{feed.venue}: connection", found, do)
    if live:
        yield good("connections", f"{len(live)} of {len(glance.feeds)} are live")


def of_units(checks: dict[str, UnitCheck], venues: dict[str, str]) -> Iterator[Checked]:
    """Whether independent readings of funding agree on its unit, per market and per venue."""
    wrong = [f"{market}: {check.detail}" for market, check in checks.items() if check.state is UnitState.DISAGREED]
    open_ones = sum(check.state is UnitState.UNCHECKED for check in checks.values())
    do = "These markets are not traded. If it stays so, the venue has changed its unit: please report it"
    for text in wrong[:SHOWN]:
        yield doubtful("funding units", plain(text), do)
    if len(wrong) > SHOWN:
        yield doubtful("funding units", f"{len(wrong) - SHOWN} more markets disagree", do)
    for venue, trouble in venues.items():
        yield failed("funding units", plain(f"{venue}: {trouble}"), f"Nothing on {venue} is traded: report it", REFUSED)
    if open_ones:
        found = f"{open_ones} of {len(checks)} markets wait for a reading"
        yield doubtful("funding units", found, "Give it longer (--wait): they are not traded before")
    if checks and not (wrong or venues or open_ones):
        yield good("funding units", f"agree on all {len(checks)} markets")


def _lines(one: Checked) -> list[str]:
    lines = [f"{one.verdict.value:<4}  {one.check}: {one.found}"]
    return [*lines, f"      -> {one.do}"] if one.do else lines

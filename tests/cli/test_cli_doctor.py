"""What doctor makes of a picture: a verdict, a finding, what to do, and the exit code it means."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cli_glances import glance

from twinleg.cli.doctor import of_streams, of_units, of_venue
from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED, UNREACHABLE
from twinleg.cli.findings import Checked, Verdict
from twinleg.cli.machine import of_folders, of_python
from twinleg.core.funding import UnitCheck, UnitState
from twinleg.core.glance import VenueLine
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import load

LIGHTER = glance().venues[0]
AGREED = UnitCheck(UnitState.AGREED, "the same")


def settings(**named: str) -> Settings:
    return load(environ=named, read_files=False).settings


def bad(findings: list[Checked]) -> list[tuple[str, Verdict, int]]:
    assert all(one.do for one in findings if one.verdict is not Verdict.OK)
    return [(one.check, one.verdict, one.exit_code) for one in findings if one.verdict is not Verdict.OK]


def venue(trouble: str | None = None, **changes: object) -> list[tuple[str, Verdict, int]]:
    line: VenueLine = msgspec.structs.replace(LIGHTER, **changes)
    return bad(list(of_venue(line, trouble, settings())))


def test_a_venue_without_fault() -> None:
    assert venue() == []


def test_a_venue_that_does_not_answer() -> None:
    assert venue("HTTP 503") == [("lighter: reachable", Verdict.FAIL, UNREACHABLE)]


@pytest.mark.parametrize(
    ("offset_ms", "found"),
    [
        (500, []),
        (-501, [("lighter: clock", Verdict.FAIL, REFUSED)]),
        (30_000, [("lighter: clock", Verdict.FAIL, REFUSED)]),
        (None, [("lighter: clock", Verdict.WARN, OK)]),
    ],
)
def test_the_clock(offset_ms: int | None, found: list[object]) -> None:
    assert venue(clock_offset_ms=offset_ms) == found


@pytest.mark.parametrize(("ready", "markets"), [(39, 40), (0, 0)])
def test_books_that_are_missing(ready: int, markets: int) -> None:
    assert venue(books_ready=ready, markets=markets) == [("lighter: books", Verdict.WARN, OK)]


def test_a_connection_that_is_down() -> None:
    findings = list(of_streams(glance()))
    assert bad(findings) == [("extended: connection", Verdict.WARN, OK)]
    assert findings[-1].found == "1 of 2 are live"


@pytest.mark.parametrize(
    ("checks", "venues", "found"),
    [
        ([AGREED], {}, []),
        ([AGREED, UnitCheck(UnitState.UNCHECKED, "waiting")], {}, [("funding units", Verdict.WARN, OK)]),
        ([UnitCheck(UnitState.DISAGREED, "8 times")], {}, [("funding units", Verdict.WARN, OK)]),
        ([UnitCheck(UnitState.DISAGREED, "8 times")] * 8, {}, [("funding units", Verdict.WARN, OK)] * 6),
        ([AGREED], {"extended": "typically 8 times"}, [("funding units", Verdict.FAIL, REFUSED)]),
    ],
)
def test_funding_units(checks: list[UnitCheck], venues: dict[str, str], found: list[object]) -> None:
    findings = list(of_units({f"lighter:{n}": check for n, check in enumerate(checks)}, venues))
    assert bad(findings) == found


def test_this_python_is_supported() -> None:
    assert of_python().verdict is Verdict.OK


def test_folders_that_are_there_and_ours(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    found = list(of_folders(settings(TWINLEG_DATA_DIR=str(tmp_path / "data"), TWINLEG_LOG_DIR=str(tmp_path / "logs"))))
    assert [one.check for one in found if one.check.startswith("data")] == [
        "data folder",
        "data folder: room",
        "data folder: mode",
    ]
    assert [one.check for one in found if one.check.startswith("log")] == ["log folder", "log folder: room"]
    assert list((tmp_path / "data").iterdir()) == []


def test_no_log_folder_is_looked_at_when_there_is_no_log(tmp_path: Path) -> None:
    found = list(of_folders(settings(TWINLEG_DATA_DIR=str(tmp_path / "data"), LOG_TO_FILE="false")))
    assert not any(one.check.startswith("log") for one in found)


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    found = list(of_folders(settings(TWINLEG_DATA_DIR=str(tmp_path / "data"), LOG_TO_FILE="false")))
    assert bad(found) == [("data folder", Verdict.FAIL, BAD_CONFIGURATION)]

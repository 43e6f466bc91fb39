"""Commands that answer and end: against simulated venues, and against nobody."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from cli_process import UNREACHABLE, events, twinleg

from twinleg import __version__
from twinleg.cli.book import BookAnswer
from twinleg.cli.doctor import DoctorAnswer
from twinleg.cli.findings import Verdict
from twinleg.cli.funding import FundingAnswer
from twinleg.cli.markets import MarketsAnswer
from twinleg.cli.scan import ScanAnswer
from twinleg.runtime.journal_file import JournalFile

Answer = TypeVar("Answer")


def typed(output: str, answer: type[Answer]) -> Answer:
    """One line of JSON as the type that made it, nothing missing."""
    (line,) = output.splitlines()
    return msgspec.json.decode(line, type=answer, strict=True)


def test_scan_answers_once_from_live_books(tmp_path: Path, venues: dict[str, str]) -> None:
    done = twinleg(tmp_path, "scan", "--once", "--top", "4", "--json", **venues)
    assert done.returncode == 0, done.stderr
    answer = typed(done.stdout, ScanAnswer)
    assert answer.troubles == {}
    assert len(answer.ranking) == 4
    assert all(one.net_bps == pytest.approx(one.terms.net_bps) for one in answer.ranking)
    assert list(tmp_path.iterdir()) == []  # it only looks


def test_scan_as_a_table(tmp_path: Path, venues: dict[str, str]) -> None:
    done = twinleg(tmp_path, "scan", "--once", **venues)
    assert done.returncode == 0, done.stderr
    assert "basis in  basis out  fee in  fee out  carry  stable  latency" in done.stdout


@pytest.mark.parametrize("market", ["lighter:ETH", "extended:ETH-USD", "extended:eth-usd"])
def test_book_shows_both_sides(tmp_path: Path, venues: dict[str, str], market: str) -> None:
    done = twinleg(tmp_path, "book", market, "--size-usd", "1000", "--depth", "3", "--json", **venues)
    assert done.returncode == 0, done.stderr
    answer = typed(done.stdout, BookAnswer)
    assert answer.ready
    assert len(answer.bids) == len(answer.asks) == 3
    assert answer.mid is not None
    assert float(answer.bids[0].price) < answer.mid < float(answer.asks[0].price)
    assert answer.buy is not None
    assert answer.sell is not None
    assert answer.buy.vwap > answer.mid > answer.sell.vwap
    assert [level.total_usd for level in answer.asks] == sorted(level.total_usd for level in answer.asks)


def test_book_as_a_table(tmp_path: Path, venues: dict[str, str]) -> None:
    done = twinleg(tmp_path, "book", "lighter:BTC", "--size-usd", "1e12", **venues)
    assert done.returncode == 0, done.stderr
    assert "buy 1,000,000,000,000 $: the book is too thin, or unknown" in done.stdout


@pytest.mark.parametrize(
    ("market", "says"),
    [
        ("nowhere:ETH", "no venue 'nowhere'"),
        ("lighter:NOTHING", "does not list"),
        ("lighter:et", "Perhaps lighter:ETH"),
    ],
)
def test_a_market_that_is_not_there(tmp_path: Path, venues: dict[str, str], market: str, says: str) -> None:
    done = twinleg(tmp_path, "book", market, **venues)
    assert done.returncode == 2
    assert says in done.stderr


def test_markets_have_their_facts_and_reasons(tmp_path: Path, venues: dict[str, str]) -> None:
    done = twinleg(tmp_path, "markets", "--json", **venues)
    assert done.returncode == 0, done.stderr
    answer = typed(done.stdout, MarketsAnswer)
    assert {one.market.partition(":")[0] for one in answer.markets} == {"lighter", "extended"}
    assert any(one.left_out is None for one in answer.markets)
    assert any(one.left_out is not None for one in answer.markets)
    only = typed(
        twinleg(tmp_path, "markets", "--venue", "extended", "--asset", "eth", "--json", **venues).stdout, MarketsAnswer
    )
    assert [one.market for one in only.markets] == ["extended:ETH-USD"]


def test_markets_of_no_venue(tmp_path: Path, venues: dict[str, str]) -> None:
    done = twinleg(tmp_path, "markets", "--venue", "nowhere", **venues)
    assert done.returncode == 2
    assert "write one of lighter, extended" in done.stderr


def test_funding_of_one_asset(tmp_path: Path, venues: dict[str, str]) -> None:
    done = twinleg(tmp_path, "funding", "--asset", "eth", "--wait", "4", "--json", **venues)
    assert done.returncode == 0, done.stderr
    answer = typed(done.stdout, FundingAnswer)
    (asset,) = answer.assets
    assert asset.asset == "ETH"
    assert [one.market for one in asset.rates] == ["lighter:ETH", "extended:ETH-USD"]
    for one in asset.rates:
        assert one.unit_check in {"agreed", "unchecked"}  # Extended's stream tells its rate once a minute
        assert one.per_hour is not None
        assert one.per_8_hours == pytest.approx(8 * one.per_hour)
        assert one.settlements_known > 24
        assert one.next_settlement_ms > answer.at_ms


def test_doctor_finds_nothing_wrong(tmp_path: Path, venues: dict[str, str]) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    done = twinleg(tmp_path, "doctor", "--wait", "4", "--json", **venues)
    answer = typed(done.stdout, DoctorAnswer)
    assert done.returncode == answer.exit_code == 0
    open_ones = [one for one in answer.findings if one.verdict is not Verdict.OK]
    assert {one.check for one in open_ones} <= {"funding units"}  # Extended's stream tells its rate once a minute
    checks = {one.check for one in answer.findings}
    assert checks >= {
        "python", "settings", "data folder", "data folder: room", "data folder: mode", "log folder",
        "lighter: reachable", "lighter: books", "lighter: clock", "extended: reachable", "connections", "funding units",
    }  # fmt: skip


def test_doctor_tells_others_may_look(tmp_path: Path, venues: dict[str, str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    done = twinleg(tmp_path, "doctor", "--wait", "2", **venues)
    assert done.returncode == 0
    assert "warn  data folder: mode: others on this machine may look into it (0755)" in done.stdout
    assert "-> chmod 700 data" in done.stdout


def test_doctor_lists_every_wrong_setting(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "doctor", "--json", TRADING_MODE="perhaps", LOG_LEVEL="loud")
    answer = typed(done.stdout, DoctorAnswer)
    assert done.returncode == answer.exit_code == 2
    failed = [one.check for one in answer.findings if one.verdict is Verdict.FAIL]
    assert failed == ["settings: TRADING_MODE", "settings: LOG_LEVEL"]
    assert all(one.do for one in answer.findings if one.verdict is not Verdict.OK)


def test_doctor_with_a_folder_that_cannot_be(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "doctor", "--wait", "1", TWINLEG_DATA_DIR="/dev/null/data", **UNREACHABLE)
    assert done.returncode == 2  # before 3, which it is too
    assert "fail  data folder: /dev/null cannot be written" in done.stdout
    assert "change TWINLEG_DATA_DIR" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["scan", "--once", "--json", "--wait", "1"],
        ["book", "lighter:ETH", "--wait", "1"],
        ["markets", "--json", "--wait", "1"],
        ["funding", "--json", "--wait", "1"],
        ["doctor", "--json", "--wait", "1"],
    ],
    ids=lambda command: command[0],
)
def test_nobody_answers(tmp_path: Path, command: list[str]) -> None:
    done = twinleg(tmp_path, *command, **UNREACHABLE)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "refused" in done.stdout + done.stderr
    assert "LIGHTER_BASE_URL" in done.stdout + done.stderr  # what to do
    if "--json" in command:
        assert len(events(done.stdout)) == 1


@pytest.mark.parametrize("command", [["run"], ["scan", "--once"], ["book", "lighter:ETH"], ["markets"], ["funding"]])
def test_wrong_settings_are_told_together(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / ".env").write_text("MAX_POSITION_SIZE_USD=much\nLIGHTR_BASE_URL=http://127.0.0.1:1\n")
    done = twinleg(tmp_path, *command, LOG_LEVEL="loud")
    assert done.returncode == 2
    for name in ("MAX_POSITION_SIZE_USD", "LIGHTR_BASE_URL", "LOG_LEVEL"):
        assert name in done.stderr
    assert done.stdout == ""


def test_live_is_refused(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "run", TRADING_MODE="live")
    assert done.returncode == 4
    assert "TRADING_MODE=live is refused" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_journal_in_use_is_named(tmp_path: Path) -> None:
    journal = JournalFile.open_for_writing(tmp_path / "data")
    done = twinleg(tmp_path, "run", "--seconds", "1", **UNREACHABLE)
    journal.close()
    assert done.returncode == 2
    assert "in use by process" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "run", "--seconds", "1", TWINLEG_LOG_DIR="/dev/null/logs", **UNREACHABLE)
    assert done.returncode == 2
    assert "TWINLEG_LOG_DIR" in done.stderr


def test_version(tmp_path: Path) -> None:
    assert twinleg(tmp_path, "version").stdout.startswith(f"twinleg {__version__} (Python 3.")
    (answer,) = events(twinleg(tmp_path, "version", "--json").stdout)
    assert answer["twinleg"] == __version__


def test_a_command_line_that_makes_no_sense(tmp_path: Path) -> None:
    for arguments in (["scan", "--tpo", "3"], ["nothing"], ["book"], ["scan", "--top", "0"]):
        done = twinleg(tmp_path, *arguments)
        assert done.returncode == 2
        assert done.stderr

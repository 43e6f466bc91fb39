"""demo and run as processes: plain lines, JSON lines, a terminal; every way to end them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli_process import SRC, TIMEOUT_S, UNREACHABLE, environment, events, started, twinleg

from twinleg.core.orders import State

FEW = ("--assets", "6")


def documented_events() -> set[str]:
    """Those in the table of docs/CLI.md."""
    page = (SRC.parent / "docs" / "CLI.md").read_text()
    table = page.partition("| event | told when |")[2].partition("\n\n")[0]
    return {name for row in table.splitlines() if row for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}


def test_every_state_of_a_trade_is_a_documented_event() -> None:
    later = {f"trade_{state.value}" for state in State} - {"trade_planned"}  # told as trade_opened
    assert later <= documented_events()


def refused(address: str) -> bool:
    parts = urlsplit(address)
    assert parts.hostname is not None
    assert parts.port is not None
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) != 0


def test_demo_tells_its_story_and_ends_by_itself(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "demo", *FEW, "--seconds", "8", "--json", "--data-dir", "kept")
    assert done.returncode == 0, done.stderr
    told = events(done.stdout)
    assert [told[0]["event"], told[-1]["event"]] == ["start", "end"]
    assert {"venue", "feed", "best"} <= {event["event"] for event in told}
    assert all(set(event) == {"event", "at_ms", "text", "data"} for event in told)
    assert {event["event"] for event in told} <= documented_events()
    assert told[-1]["data"]["totals"]["events"] > 0
    assert all(refused(address) for address in told[0]["data"]["addresses"].values())
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"live", "live-consent.json", "twinleg.log", "simulators.log"} <= kept
    assert (tmp_path / "kept" / "live" / "journal.sqlite3").is_file()
    assert twinleg(tmp_path, "replay-journal", "kept").returncode == 0


def test_demo_reads_no_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRADING_MODE=live\nLIGHTER_BASE_URL=nonsense\n")
    done = twinleg(tmp_path, "demo", *FEW, "--seconds", "1", EXTENDED_BASE_URL="nonsense")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_demo_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    child = started(tmp_path, "demo", *FEW, "--json")
    assert child.stdout is not None
    start = json.loads(child.stdout.readline())
    while json.loads(child.stdout.readline())["event"] != "best":
        pass
    child.send_signal(number)
    output, errors = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == 0
    assert errors == ""
    assert json.loads(output.splitlines()[-1])["event"] == "end"
    assert all(refused(address) for address in start["data"]["addresses"].values())
    assert not Path(start["data"]["data_dir"]).exists()


def test_a_reader_that_goes_away_ends_the_demo(tmp_path: Path) -> None:
    child = started(tmp_path, "demo", *FEW)
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr is not None
    with child.stderr:
        assert child.stderr.read() == ""
    assert child.wait(TIMEOUT_S) == 0


def test_faults_are_passed_on(tmp_path: Path) -> None:
    done = twinleg(
        tmp_path, "demo", *FEW, "--speed", "1", "--seconds", "7", "--json", "--fault", "lighter:disconnect:at_s=2"
    )
    assert done.returncode == 0, done.stderr
    states = [
        event["data"]["state"]
        for event in events(done.stdout)
        if event["event"] == "feed" and event["data"]["venue"] == "lighter" and event["data"]["stream"] != "rest"
    ]
    assert states.count("live") >= 2
    assert {"down", "connecting"} & set(states)


def test_a_fault_that_makes_no_sense(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "demo", "--fault", "lighter:earthquake")
    assert done.returncode == 2
    assert "earthquake" in done.stderr


def test_an_accelerated_world_agrees_on_the_time(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "demo", *FEW, "--speed", "3", "--seconds", "4", "--json")
    assert done.returncode == 0, done.stderr
    assert events(done.stdout)[-1]["data"]["uptime_ms"] > 8_000


def test_on_a_terminal_the_view_takes_it_and_gives_it_back(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-m", "twinleg", "demo", *FEW, "--speed", "1", "--seconds", "4"],
        cwd=tmp_path,
        env=environment(TERM="xterm-256color"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    text = _read_all(master)
    assert child.wait(TIMEOUT_S) == 0
    taken, given_back = text.index("\x1b[?1049h"), text.index("\x1b[?1049l")
    view = text[taken:given_back]
    assert "-- opportunities: " in view
    assert "entries allowed" in view
    assert "after 4" in text[given_back:]  # the summary, on the terminal as it was
    assert "WARNING" not in text


def _read_all(master: int) -> str:
    """Everything a terminal shows until its last user has gone (Linux tells that by EIO)."""
    shown = b""
    while True:
        try:
            part = os.read(master, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(master)
    return shown.decode(errors="replace")


def test_run_trades_on_paper_with_the_configured_venues(tmp_path: Path, venues: dict[str, str]) -> None:
    done = twinleg(tmp_path, "run", "--seconds", "4", "--json", **venues)
    assert done.returncode == 0, done.stderr
    told = events(done.stdout)
    assert told[0]["data"]["mode"] == "dry_run"
    assert any(event["event"] == "best" for event in told)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "journal.sqlite3").stat().st_mode) == 0o600
    assert (tmp_path / "logs" / "twinleg.log").exists()


def test_run_goes_on_while_nobody_answers(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "run", "--seconds", "2", **UNREACHABLE)
    assert done.returncode == 0, done.stderr
    assert "Connection refused" in done.stdout


def test_scan_answers_until_it_is_interrupted(tmp_path: Path, venues: dict[str, str]) -> None:
    child = started(tmp_path, "scan", "--every", "0.5", "--json", **venues)
    assert child.stdout is not None
    answers = [json.loads(child.stdout.readline()) for _ in range(2)]
    assert answers[1]["at_ms"] > answers[0]["at_ms"]
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=TIMEOUT_S)
    assert (child.returncode, errors) == (0, "")


def test_scan_ends_when_nobody_reads_it(tmp_path: Path, venues: dict[str, str]) -> None:
    child = started(tmp_path, "scan", "--every", "0.5", **venues)
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr is not None
    with child.stderr:
        assert child.stderr.read() == ""
    assert child.wait(TIMEOUT_S) == 0

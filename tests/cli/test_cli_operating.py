"""The commands that steer an engine, as users run them: a real engine on paper against the simulated venues."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cli_process import UNREACHABLE, started, twinleg

WAIT_S = 150.0
WORDS = {
    "status": [],
    "pause": [],
    "stop": [],
    "resume": ["--reason", "x"],
    "open": ["BTC", "--long", "lighter", "--short", "extended", "--usd", "50", "--yes"],
    "close": ["BTC"],
    "flatten": ["--yes"],
    "adopt": ["BTC", "--long", "a:b", "--short", "c:d", "--size", "1", "--long-price", "1", "--short-price", "1",
              "--reason", "x"],
    "trade": ["resolve", "T000001", "--long-lots", "0", "--short-lots", "0", "--reason", "x"],
}  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a path that is short enough for a socket."""
    with TemporaryDirectory() as name:
        yield Path(name)


class Engine:
    """A running `twinleg run`, and commands beside it."""

    def __init__(self, folder: Path, given: dict[str, str]) -> None:
        self.folder, self.given = folder, given

    def say(self, *words: str, code: int = 0) -> str:
        done = twinleg(self.folder, *words, **self.given)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def json(self, *words: str, code: int = 0) -> list[Any]:
        done = twinleg(self.folder, *words, "--json", **self.given)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def status(self) -> Any:
        return self.json("status")[0]

    def until(self, what: Callable[[], Any]) -> Any:
        end_s = time.monotonic() + WAIT_S
        while time.monotonic() < end_s:
            if found := what():
                return found
            time.sleep(0.3)
        raise AssertionError(f"it did not come: {self.status()}")


@contextmanager
def running(folder: Path, venues: dict[str, str], **more: str) -> Iterator[Engine]:
    given = {**venues, "CONSERVATIVE_MODE": "false", "MIN_EXECUTION_SPREAD_BPS": "10000", **more}
    child = started(folder, "run", "--json", **given)
    try:
        engine = Engine(folder, given)
        engine.until(lambda: twinleg(folder, "status", **given).returncode == 0 or child.poll() is not None)
        assert child.poll() is None, child.communicate()
        yield engine
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


@pytest.mark.parametrize("command", WORDS)
def test_without_an_engine_every_command_says_so(folder: Path, command: str) -> None:
    done = twinleg(folder, command, *WORDS[command], **UNREACHABLE)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "twinleg run" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [["resume"], ["open", "BTC"], ["flatten", "--asset", "BTC", "--trade", "T000001"],
     ["trade", "resolve", "T000001", "--long-lots", "-1", "--short-lots", "0", "--reason", "x"]],
)  # fmt: skip
def test_a_command_line_that_makes_no_sense_is_2(folder: Path, words: list[str]) -> None:
    assert twinleg(folder, *words).returncode == 2


def test_pause_stop_and_resume_are_kept_over_a_restart(folder: Path, venues: dict[str, str]) -> None:
    with running(folder, venues) as engine:
        assert engine.status()["control"] == "running"
        assert engine.say("pause", "--reason", "lunch") == "paused: lunch\n"
        assert engine.say("stop") == "stopped: by the operator\n"
        shown = engine.say("status")
        assert "stopped since" in shown
        assert "by the operator" in shown
    with running(folder, venues) as engine:
        status = engine.status()
        assert status["control"] == "stopped"
        assert "stopped" in {one["code"] for one in status["blocked"]}
        refused = engine.json("resume", "--reason", "x", "--trade", "T999999", code=4)
        assert refused[0]["refusals"][0]["code"] == "not_halted"
        answer = engine.json("resume", "--reason", "back")[0]
        assert (answer["control"], answer["reason"], answer["halted"]) == ("running", "back", [])


def test_a_second_engine_in_the_folder_is_refused(folder: Path, venues: dict[str, str]) -> None:
    with running(folder, venues) as engine:
        done = twinleg(folder, "run", "--seconds", "1", **engine.given)
        assert done.returncode == 2
        assert "process" in done.stderr


@pytest.mark.timeout(400)  # rates are known after a full minute or two
def test_a_trade_by_hand_from_preview_to_close(folder: Path, venues: dict[str, str]) -> None:
    with running(folder, venues) as engine:
        asset, long, short = engine.until(lambda: openable(engine))
        words = ["open", asset, "--long", long, "--short", short, "--usd", "60"]
        engine.until(lambda: twinleg(folder, *words, "--preview", **engine.given).returncode == 0)
        assert "add --yes" in engine.say(*words, code=2)
        assert engine.status()["trades"] == []
        trade = engine.until(lambda: opened(engine, words))
        engine.until(lambda: states(engine) == {trade: "hedged"})
        assert trade in engine.say("status")
        assert "no open trade" in engine.say("close", "NOTHING", code=4)
        assert "only a halted trade" in engine.say(
            "trade", "resolve", trade, "--long-lots", "0", "--short-lots", "0", "--long-price", "1", "--short-price",
            "1", "--reason", "x", code=4,
        )  # fmt: skip
        assert engine.json("close", trade, "--reason", "enough")[0]["states"].keys() == {trade}
        engine.until(lambda: states(engine) == {})
    told = twinleg(folder, "replay-journal", "data", "--json", **engine.given).stdout
    assert '"exit_reason":"enough"' in told


def test_positions_by_hand_are_adopted_and_flattened(folder: Path, venues: dict[str, str]) -> None:
    with running(folder, venues) as engine:
        asset, long, short = engine.until(lambda: openable(engine))
        sides = ["--long", long, "--short", short]
        prices = ["--long-price", "100", "--short-price", "100", "--reason", "by hand"]
        assert "multiples" in engine.say("adopt", asset, *sides, "--size", "1.0000000000001", *prices, code=4)
        adopted = engine.json("adopt", asset, *sides, "--size", "10000", *prices)[0]
        ((trade, state),) = adopted["states"].items()
        assert state == "hedged"
        shown = engine.json("flatten", "--dry-run")
        assert [(one["trade"], one["side"]) for one in shown] == [(trade, "sell"), (trade, "buy")]
        assert all(one["worst_price"] for one in shown)
        assert states(engine) == {trade: "hedged"}
        assert "add --yes" in engine.say("flatten", code=2)
        done = twinleg(folder, "flatten", "--yes", "--json", "--reason", "out", **engine.given)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert (told[0]["closing"], told[0]["control"]) == ([trade], "stopped")
        left = states(engine)
        assert told[-1]["result"] == ("not_flat" if left else "flat")
        assert done.returncode == (5 if left else 0)
        assert engine.status()["control_reason"] == "out"


def states(engine: Engine) -> dict[str, str]:
    return {one["trade"]: one["state"] for one in engine.status()["trades"]}


def openable(engine: Engine) -> tuple[str, str, str] | None:
    """An asset and the markets of a pair whose books are there."""
    done = twinleg(engine.folder, "markets", "--json", **engine.given)
    if done.returncode:
        return None
    listed = [one for one in json.loads(done.stdout)["markets"] if one["left_out"] is None]
    for one in listed:
        for other in listed:
            venues = one["market"].partition(":")[0], other["market"].partition(":")[0]
            if venues == ("lighter", "extended") and one["asset"] == other["asset"]:
                return one["asset"], one["market"], other["market"]
    return None


def opened(engine: Engine, words: list[str]) -> str | None:
    done = twinleg(engine.folder, *words, "--yes", "--json", **engine.given)
    return json.loads(done.stdout)["trade"] if done.returncode == 0 else None

"""The gateway as users start it, and the simulated venues it trades on: each a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
"""For anything to come, however busy the machine."""
RUNNING = re.compile(r"running on (http://127\.0\.0\.1:\d+)")


class Answer(NamedTuple):
    """What an HTTP request got."""

    status: int
    body: Any
    headers: dict[str, str]


def call(method: str, url: str, body: Any = None, **headers: str) -> Answer:
    """One request; `body` is sent as JSON unless it is bytes."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(url, data, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as reply:
            return Answer(reply.status, json.loads(reply.read() or b"null"), _lower(reply.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, json.loads(error.read() or b"null"), _lower(error.headers))


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def until(come: Callable[[], Any]) -> Any:
    """What `come` answers as soon as it is something."""
    end_s = time.monotonic() + WAIT_S
    while not (found := come()):
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.05)
    return found


class Venues:
    """Both simulated venues with an account of ours on each. `settings` are those of a user who trades there."""

    def __init__(self, ready: dict[str, Any]) -> None:
        lighter, extended = ready["accounts"]
        self._rest = {venue: ready[venue]["rest"].removesuffix("/api/v1") for venue in ("lighter", "extended")}
        slots = sorted(map(int, lighter["api_private_keys"]))
        self.slots = slots
        keys = {f"TWINLEG_LIGHTER_KEY_{slot}": lighter["api_private_keys"][str(slot)] for slot in slots[1:]}
        self.settings = keys | {
            "LIGHTER_BASE_URL": ready["lighter"]["rest"],
            "LIGHTER_WS_URL": ready["lighter"]["stream"],
            "LIGHTER_ACCOUNT_INDEX": str(lighter["account_index"]),
            "LIGHTER_API_KEY_INDEX": str(slots[0]),
            "LIGHTER_MAX_API_KEY_INDEX": str(slots[-1]),
            "LIGHTER_PRIVATE_KEY": lighter["api_private_keys"][str(slots[0])],
            "EXTENDED_BASE_URL": ready["extended"]["rest"],
            "EXTENDED_STREAM_URL": ready["extended"]["stream"],
            "EXTENDED_API_KEY": extended["api_key"],
            "EXTENDED_PRIVATE_KEY": extended["private_key"],
            "EXTENDED_VAULT": str(extended["vault"]),
            "CONSERVATIVE_MODE": "false",
        }

    @contextmanager
    def fault(self, venue: str, kind: str, **more: Any) -> Iterator[None]:
        """Something goes wrong at a venue within the block."""
        url = f"{self._rest[venue]}/__sim__/faults"
        assert call("POST", url, {"kind": kind, **more}).status == 200
        try:
            yield
        finally:
            request = urllib.request.Request(url, method="DELETE")
            urllib.request.urlopen(request, timeout=WAIT_S).close()


@contextmanager
def venues() -> Iterator[Venues]:
    """Both venues in a process of their own, without limits of rate: several tests share them."""
    command = [sys.executable, "-m", "twinleg_sims", "--port-base", "0", "--assets", "4", "--seed", "7"]
    command += ["--rate-limits", "off", "--end-with-stdin"]
    command += ["--account", "lighter:equity_usd=50000", "--account", "extended:equity_usd=50000"]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield Venues(json.loads(child.stdout.readline()))
        child.terminate()


def environment(**named: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **named}


def command(*arguments: str) -> list[str]:
    """As a user writes it, from any folder."""
    return [sys.executable, "-m", "uvicorn", "app.main:app", "--app-dir", str(ROOT), "--port", "0", *arguments]


def home(folder: Path, **named: str) -> dict[str, str]:
    """An environment whose leases and data lie in a folder."""
    return environment(**{"HOME": str(folder), "TWINLEG_DATA_DIR": str(folder / "data"), **named})


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[str]:
    """A gateway that serves: its address."""
    log = folder / "gateway.log"
    with log.open("ab") as output:
        child = subprocess.Popen(command(), cwd=folder, env=home(folder, **settings), stdout=output, stderr=output)
    try:

        def address() -> str | None:
            assert child.poll() is None, log.read_text()
            found = RUNNING.findall(log.read_text())
            return str(found[-1]) if found else None

        yield until(address)
    finally:
        child.terminate()
        assert child.wait(WAIT_S) in (0, -15), log.read_text()
        log.rename(folder / f"gateway.{time.monotonic_ns()}.log")


def failing(folder: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """The exit code and the words of a gateway that does not start."""
    told = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=home(folder, **settings),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return told.returncode, told.stdout + told.stderr

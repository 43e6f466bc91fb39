"""docs/GATEWAY.md as its readers use it: every command and the program in it work as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_process import Venues, call, environment, until

from twinleg.gateway.orders import PROBLEMS
from twinleg.gateway.site import NOTHING

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/GATEWAY.md").read_text()
HERE = "http://127.0.0.1:8080"
COMMANDS = [found.replace("\\\n", " ") for found in re.findall(r"^    (curl (?:.*\\\n)*.*)$", PAGE, re.MULTILINE)]
PROGRAM = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_has_something_to_run() -> None:
    assert len(COMMANDS) > 15
    assert PROGRAM is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_its_commands_and_its_program_work(gateway: str, simulated: Venues, tmp_path: Path) -> None:
    assert PROGRAM is not None
    program = tmp_path / "follow.py"
    program.write_text(PROGRAM[1].replace(HERE.replace("http", "ws"), gateway.replace("http", "ws")))
    output = tmp_path / "events.txt"
    with output.open("w") as told:
        child = subprocess.Popen([sys.executable, str(program)], env=environment(), stdout=told)
    try:

        def heard() -> bool:
            call("POST", f"{gateway}/orders/drift", {})
            return "drift" in output.read_text()

        until(heard)
        for command in COMMANDS:
            until(lambda command=command: works(command.replace(HERE, gateway)))
        until(lambda: "mine-2" in output.read_text())
    finally:
        child.terminate()
        child.wait()


def works(command: str) -> bool:
    """Run it as a shell would; False when the venue's lists do not show an order yet, or still an older of its name."""
    code = "\n%{http_code}"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} -w '{code}'"], capture_output=True, text=True, timeout=60, check=True
    )
    body, _, status = done.stdout.rpartition("\n")
    assert json.loads(body) is not None
    if status == "404" or '"order_over"' in body:
        return False
    assert status == "200", (command, body)
    return True


def test_every_code_is_on_the_page() -> None:
    rooms = (ROOT / "src/twinleg/gateway").glob("*.py")
    used = {code for room in rooms for code in re.findall(r'Problem\(\s*\d+, "(\w+)"', room.read_text())}
    assert {"dry_run", "outcome_unknown", "order_size"} <= used
    missing = {code for code in used - {"internal"} if f"`{code}`" not in PAGE}
    assert not missing
    assert {f"| {status} |" in PAGE for status in PROBLEMS} == {True}


def test_what_is_missing_at_the_start_is_on_the_page() -> None:
    assert {name in PAGE for name in re.findall(r"[A-Z]+_[A-Z_]+", NOTHING)} == {True}

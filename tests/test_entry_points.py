"""The ways in that users know, run from a checkout as they stand: nothing installed, nothing on the path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)


def test_main_is_the_run_command(tmp_path: Path) -> None:
    for name in ("main.py", str(ROOT / "main.py")):
        told = run(name, "--help", folder=ROOT if name == "main.py" else tmp_path)
        assert told.returncode == 0, told.stderr
        assert "run" in told.stdout


def test_uvicorn_starts_the_gateway_which_asks_for_keys() -> None:
    """That it serves with keys is shown in tests/gateway."""
    command = ["-m", "uvicorn", "app.main:app", "--port", "0"]
    told = run(*command)
    assert told.returncode != 0
    assert "LIGHTER_PRIVATE_KEY" in told.stderr
    assert "Traceback" not in told.stderr


def test_importing_the_gateway_starts_nothing() -> None:
    script = "import sys; sys.path.insert(0, 'src'); import threading, app.main; print(threading.active_count())"
    told = run("-c", script)
    assert (told.stdout, told.stderr) == ("1\n", "")


def test_lightersetup_says_what_to_do_meanwhile() -> None:
    told = run("lightersetup.py")
    assert told.returncode == 2
    assert "LIGHTER_PRIVATE_KEY" in told.stderr
    assert "not available in this version" in told.stderr

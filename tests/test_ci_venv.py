"""The set-up script chooses a Python that works, and says what to do when there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "venv"
BASH = shutil.which("bash") or "/bin/bash"
FAKE = """#!{bash}
case "$1" in
    -V) echo "Python {version}" ;;
    -c) case "$2" in *version_info*) exit {unsupported} ;; esac ;;
    -m) : > made-by-{name} ;;
esac
"""
BROKEN = "#!{bash}\nexit 127\n"


def install(folder: Path, name: str, version: str | None) -> None:
    """A fake interpreter, or (version None) a launcher without one behind it."""
    unsupported = int(version is not None and version.startswith("3.14"))
    text = (BROKEN if version is None else FAKE).format(bash=BASH, name=name, version=version, unsupported=unsupported)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [BASH, str(SCRIPT), *arguments]
    environment = {**os.environ, "PATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_first_that_works_is_taken(tmp_path: Path) -> None:
    install(tmp_path, "python3.11", None)
    install(tmp_path, "python3.12", "3.12.9")
    install(tmp_path, "python3.13", "3.13.1")
    told = run(tmp_path, "env", "")
    assert told.returncode == 0, told.stderr
    assert "Python 3.12.9" in told.stdout
    assert (tmp_path / "made-by-python3.12").exists()


@pytest.mark.parametrize("name", ["python3", "python"])
def test_3_14_is_not_taken(tmp_path: Path, name: str) -> None:
    install(tmp_path, name, "3.14.0")
    told = run(tmp_path, "env", "")
    assert told.returncode == 2
    assert "3.14 is not supported" in told.stderr


def test_3_14_is_refused_by_name(tmp_path: Path) -> None:
    install(tmp_path, "python3.14", "3.14.0")
    told = run(tmp_path, "env", "python3.14")
    assert told.returncode == 2
    assert "Python 3.14.0 is not supported" in told.stderr


def test_a_wrong_name_is_told(tmp_path: Path) -> None:
    told = run(tmp_path, "env", "python9")
    assert told.returncode == 2
    assert "python9 does not run" in told.stderr


def test_one_that_works_already_is_kept(tmp_path: Path) -> None:
    binaries = tmp_path / "env" / "bin"
    binaries.mkdir(parents=True)
    install(binaries, "python", "3.11.7")
    told = run(tmp_path, "env", "")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")

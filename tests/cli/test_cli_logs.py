"""Logging as the settings say: bounded files of our own, one line per record."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from twinleg.cli import logs
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import load

LOG = logging.getLogger("twinleg.test")


def settings(folder: Path, **named: str) -> Settings:
    return load(environ={"TWINLEG_LOG_DIR": str(folder), **named}, read_files=False).settings


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    logs.stop()


def test_the_file_is_ours_alone_and_has_the_configured_name(tmp_path: Path) -> None:
    path = logs.start(settings(tmp_path / "logs", LOG_FILE_PREFIX="mine"), terminal_is_taken=True)
    LOG.info("hello")
    assert path == tmp_path / "logs" / "mine.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text().endswith(" INFO twinleg.test hello\n")


def test_a_record_is_one_line_whatever_a_venue_sent(tmp_path: Path) -> None:
    path = logs.start(settings(tmp_path), terminal_is_taken=True)
    try:
        int("bad\nframe")
    except ValueError:
        LOG.exception("said %s", "a\n2026-01-01T00:00:00.000Z INFO twinleg forged\x1b[2J")
    assert path is not None
    (line,) = path.read_text().splitlines()
    assert "Traceback" in line
    assert "ValueError" in line
    assert line.isprintable()


@pytest.mark.parametrize(("level", "lines"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1)])
def test_the_level_is_the_configured_one(tmp_path: Path, level: str, lines: int) -> None:
    path = logs.start(settings(tmp_path, LOG_LEVEL=level), terminal_is_taken=True)
    LOG.debug("one")
    LOG.info("two")
    LOG.warning("three")
    assert path is not None
    assert len(path.read_text().splitlines()) == lines


def test_beside_a_file_standard_error_gets_warnings_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.start(settings(tmp_path), terminal_is_taken=False)
    LOG.info("quiet")
    LOG.warning("loud")
    assert [line.rsplit(" ", 1)[1] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_without_a_file_standard_error_gets_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert logs.start(settings(tmp_path, LOG_TO_FILE="false"), terminal_is_taken=False) is None
    LOG.info("all of it")
    assert capsys.readouterr().err.endswith("all of it\n")
    assert list(tmp_path.iterdir()) == []


def test_while_a_view_owns_the_terminal_nothing_is_written_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.start(settings(tmp_path, LOG_TO_FILE="false"), terminal_is_taken=True)
    LOG.critical("not here")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_files_are_bounded_in_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 1_000)
    monkeypatch.setattr(logs, "FILES_MAX", 2)
    logs.start(settings(tmp_path), terminal_is_taken=True)
    for number in range(200):
        LOG.info("%d %s", number, "x" * 50)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["twinleg.log", "twinleg.log.1", "twinleg.log.2"]
    assert all(file.stat().st_size <= 1_000 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        logs.start(settings(tmp_path / "file" / "logs"), terminal_is_taken=True)

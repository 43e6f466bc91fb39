"""The documents cannot lie about what is there: files, commands, options, exit codes, settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from twinleg.cli.app import app
from twinleg.cli.exits import MEANINGS
from twinleg.runtime.settings_docs import describe

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)")
QUOTED_PATH = re.compile(r"`((?:src|tests|docs|bench|app)/[A-Za-z0-9_./-]*)`")
NOT_SETTINGS = {"TWINLEG_"}


def commands() -> dict[str, click.Command]:
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    return dict(group.commands)


def anchors(text: str) -> Iterator[str]:
    """The anchors that a page's headings get: lower case, words joined by hyphens, other marks dropped."""
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text()
    for target, anchor in LINK.findall(text):
        there = path.parent / target if target else path
        assert there.exists(), f"{path.name} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there.read_text()), f"{path.name} links to {target}#{anchor}"
    for quoted in QUOTED_PATH.findall(text):
        assert (ROOT / quoted).exists(), f"{path.name} speaks of {quoted}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_settings_spoken_of_exist(path: Path) -> None:
    known = {name for setting in describe() for name in (setting.name, *setting.aliases)}
    slots = re.compile(r"TWINLEG_LIGHTER_KEY_(\d+)?")
    spoken = set(re.findall(r"\bTWINLEG_[A-Z_0-9]*", path.read_text()))
    unknown = {name for name in spoken - known - NOT_SETTINGS if not slots.fullmatch(name)}
    assert not unknown


def test_every_command_option_and_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "CLI.md").read_text()
    assert len(commands()) >= 8
    for name, command in commands().items():
        assert f"twinleg {name}" in page
        for parameter in command.params:
            written = max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.name
            assert written in page, f"twinleg {name}: {written}"
    for code, meaning in MEANINGS.items():
        assert re.search(rf"\b{code}\b[^\n]*{re.escape(meaning)}", page), f"exit code {code}: {meaning}"


def test_the_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert -1 < text.find("make demo") < text.find("make test") < 1000

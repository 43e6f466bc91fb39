"""The documents cannot lie about what is there: files and settings (tests/cli/test_cli_help.py: the command line)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from twinleg.runtime.settings_docs import describe

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)")
QUOTED_PATH = re.compile(r"`((?:src|tests|docs|bench|app)/[A-Za-z0-9_./-]*)`")
NOT_SETTINGS = {"TWINLEG_"}


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


def test_the_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert -1 < text.find("make demo") < text.find("make test") < 1000

"""The help: quick, complete, and the same as docs/CLI.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_process import environment, twinleg

from twinleg.cli.app import app
from twinleg.cli.exits import EPILOG, MEANINGS

DOCS = Path(__file__).parents[2] / "docs" / "CLI.md"


def leaves(commands: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Every command by the words that call it, those of groups too."""
    found = {}
    for name, command in commands.items():
        below = getattr(command, "commands", None)
        found |= {above + name: command} if below is None else leaves(below, f"{above}{name} ")
    return found


COMMANDS = leaves(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
HEAVY = ("aiohttp", "asyncio", "picows", "pydantic", "pydantic_settings", "rich", "sqlite3", "lighter", "x10", "numpy")


def test_the_help_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from twinleg.__main__ import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as ended:\n"
        "    assert ended.code in (0, None), ended.code\n"
        f"heavy = sorted(name for name in {HEAVY!r} if name in sys.modules)\n"
        "rooms = sorted(name for name in sys.modules if name.startswith(('twinleg.runtime', 'twinleg.venues')))\n"
        "sys.exit(f'imported: {heavy + rooms}' if heavy or rooms else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "replay-journal" in done.stdout


@pytest.mark.parametrize("command", [[], *map(str.split, COMMANDS)], ids=lambda words: " ".join(words) or "all")
def test_every_help_names_the_exit_codes(tmp_path: Path, command: list[str]) -> None:
    done = twinleg(tmp_path, *command, "--help")
    assert done.returncode == 0
    assert " ".join(EPILOG.split()) in " ".join(done.stdout.split())


def test_every_first_sentence_is_whole_in_the_list() -> None:
    for name, command in COMMANDS.items():
        assert not command.get_short_help_str(45).endswith("..."), name


def test_no_arguments_show_the_help(tmp_path: Path) -> None:
    done = twinleg(tmp_path)
    assert "Commands:" in done.stdout + done.stderr


def sections() -> dict[str, str]:
    """The page's text below each command's heading."""
    parts = re.split(r"^## twinleg ([a-z -]+)\n", DOCS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_has_every_command_and_no_other() -> None:
    assert list(sections()) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_has_every_option_with_its_default_and_no_other(name: str) -> None:
    documented = dict(re.findall(r"^\| `([^`]+)` \| ([^|]*?) \| [^|]* \|$", sections()[name], flags=re.MULTILINE))
    wanted = {}
    for parameter in COMMANDS[name].params:
        long = [option for option in parameter.opts if option.startswith("--")]
        default = parameter.default
        if default is None or default is False or parameter.required:
            text = "-"
        else:
            text = default if isinstance(default, str) else f"{default:g}"
        wanted[long[0] if long else parameter.name.upper()] = text
    wanted.pop("--help", None)
    assert documented == wanted


def test_the_page_has_every_exit_code() -> None:
    table = dict(re.findall(r"^\| (\d) \| ([^|]*?) \|", DOCS.read_text(), flags=re.MULTILINE))
    assert table == {str(code): meaning for code, meaning in MEANINGS.items()}

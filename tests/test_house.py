"""The house rules hold in every file, and each rule is shown to catch what it is for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

import house
from house import ROOT, SRC, sources

PRODUCT = sources("twinleg")
EVERYTHING = sources("twinleg", "twinleg_sims")
SEVERAL = {
    "size": house.too_long,
    "tasks": house.orphan_tasks,
    "errors": house.swallowed_errors,
    "asserts": house.busy_asserts,
}


def found(rule: Callable[[str], Iterable[str]], paths: Iterable[Path]) -> list[str]:
    return [f"{path.relative_to(ROOT)}: {problem}" for path in paths for problem in rule(path.read_text())]


def listed(problems: list[str]) -> str:
    return "\n".join(["", *problems])


def venue_folders() -> list[Path]:
    return sorted(path.parent for path in (SRC / "twinleg/venues").glob("*/__init__.py"))


def test_there_is_something_to_look_at() -> None:
    assert len(PRODUCT) > 20
    assert len(EVERYTHING) > len(PRODUCT)


@pytest.mark.parametrize("rule", SEVERAL.values(), ids=SEVERAL)
def test_rule_holds_everywhere(rule: Callable[[str], Iterator[str]]) -> None:
    problems = found(rule, EVERYTHING)
    assert not problems, listed(problems)


def test_the_world_is_reached_through_its_doors_only() -> None:
    problems = [
        f"{path.relative_to(ROOT)}: {problem}"
        for path in EVERYTHING
        for problem in house.forbidden_calls(path.read_text(), path.relative_to(SRC).as_posix())
    ]
    assert not problems, listed(problems)


def test_core_is_pure() -> None:
    allowed = house.PURE_IMPORTS | {"twinleg.core"}
    problems = found(lambda text: house.impure_imports(text, allowed), sources("twinleg/core"))
    assert not problems, listed(problems)


def test_venues_are_pure_and_know_themselves_only() -> None:
    for folder in venue_folders():
        allowed = house.PURE_IMPORTS | {"urllib.parse", "twinleg.core", f"twinleg.venues.{folder.name}"}
        allowed |= house.SIGNERS[folder.name]
        problems = found(partial(house.impure_imports, allowed=allowed), folder.rglob("*.py"))
        assert not problems, listed(problems)


def test_only_the_composition_root_imports_venues() -> None:
    importers = {
        path.relative_to(SRC).as_posix()
        for path in EVERYTHING
        for _, module in house.imports(path.read_text())
        if module.startswith("twinleg.venues.") and not path.is_relative_to(SRC / "twinleg/venues")
    }
    assert importers <= {"twinleg/runtime/traders.py", "twinleg/runtime/wiring.py"}


def test_every_venue_has_the_same_rooms() -> None:
    rooms = {folder.name: {path.name for path in folder.glob("*.py")} for folder in venue_folders()}
    assert len(rooms) >= 2
    assert len(set(map(frozenset, rooms.values()))) == 1, rooms


def test_the_import_contracts_hold() -> None:
    # In a process of its own: it reconfigures logging.
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(SRC), "COLUMNS": "200"}
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert re.search(r"Contracts: \d+ kept, 0 broken", told.stdout)


def test_the_import_contracts_know_every_room() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    layers = re.search(r"^layers = (.*)$", text, re.MULTILINE)
    assert layers
    rooms = {path.name for path in (SRC / "twinleg").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(re.findall(r"twinleg\.([a-z]+)", layers[1]))


WORDS = re.compile(
    r"(?<![A-Za-z0-9])/w[o]rk/|/t[m]p/[a-z]+_jobs|/r[o]ot/|[.]libr[a]ry|(extra-)?index-u[r]l|find-lin[k]s|"
    r"--tru[s]ted-host|(?<!://)pypi\.o[r]g/simple|[Cc]la[u]de|[Aa]nthr[o]pic|A[I] agent|this s[e]ssion"
)
"""This project's files speak of nobody's machine, of no package index and not of how they were made."""
PRIVATE = re.compile(
    r"[.]git|[.]\w+_cache|[.]hypothesis|__pycache__|[.]venv.*|[.]env.*|data|logs|build|dist|.*[.]egg-info"
)
PUBLIC = (ROOT / ".env.example", ROOT / "tests" / "data")


def project_files(folder: Path = ROOT) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or (PRIVATE.fullmatch(path.name) and path not in PUBLIC):
            continue
        if path.is_dir():
            yield from project_files(path)
        elif path.suffix not in {".pyc", ".sqlite3", ".log"}:
            yield path


def test_no_file_speaks_of_a_machine_or_an_index() -> None:
    files = list(project_files())
    assert ROOT / "pyproject.toml" in files
    assert ROOT / "requirements.txt" in files
    problems = []
    for path in files:
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if WORDS.search(line):
                problems.append(f"{path.relative_to(ROOT)}:{number}")
    assert not problems, listed(problems)


def test_requirements_are_hashed_and_name_no_address() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        pinned = re.split(r"\n(?=\S)", text.strip())
        assert len(pinned) > 10
        assert [line for line in pinned if not re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:", line, re.DOTALL)] == []


def test_a_plain_install_brings_all_that_the_sources_import() -> None:
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    own = {"twinleg", "twinleg_sims", *sys.stdlib_module_names}
    missing = {
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in EVERYTHING
        for line, module in house.imports(path.read_text())
        if (top := module.partition(".")[0]) not in own
        and house.DISTRIBUTIONS.get(top, top).replace("_", "-") not in locked
    }
    assert not missing, listed(sorted(missing))


STRICT_ROOMS = ("twinleg/core", "twinleg/venues", "twinleg/gateway")
"""Rooms whose every module is imported by a test in the mirrored folder; elsewhere a neighbour may stand between."""
OTHER_ROOMS = ("twinleg/runtime", "twinleg/cli", "twinleg_sims")


def mirrored(path: Path) -> Path:
    """The folder of tests that mirrors a folder of src."""
    inside = path.relative_to(SRC)
    return ROOT / "tests" / ("sims" if inside.parts[0] == "twinleg_sims" else "") / Path(*inside.parts[1:])


def test_every_module_is_reached_by_the_tests_of_its_room() -> None:
    missing: set[str] = set()
    for room in (*STRICT_ROOMS, *OTHER_ROOMS):
        modules = {
            ".".join(path.relative_to(SRC).with_suffix("").parts): path
            for path in sources(room)
            if path.name != "__main__.py" and house.has_code(path.read_text())  # test_entry_points.py runs those
        }
        waiting = sorted(mirrored(SRC / room).rglob("*.py"))
        if room in OTHER_ROOMS:
            waiting += sorted((ROOT / "tests").glob("test_*.py"))  # test_docs.py takes the command line apart
        reached: set[str] = set()
        while waiting:
            names = {name for path in waiting for _, name in house.imports(path.read_text())}
            new = {each for each in modules if any(f"{name}.".startswith(f"{each}.") for name in names)} - reached
            reached |= new
            waiting = [] if room in STRICT_ROOMS else [modules[each] for each in new]
        missing |= modules.keys() - reached
    assert not missing, listed(sorted(missing))


def test_every_room_is_held_to_it() -> None:
    rooms = {path.parent.relative_to(SRC).as_posix() for path in SRC.glob("*/*/__init__.py")}
    assert {room for room in rooms if room.startswith("twinleg/")} <= {*STRICT_ROOMS, *OTHER_ROOMS}


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


BAD_SAMPLES = [
    (house.too_long, "\n" * 401),
    (house.too_long, "def f():\n" + "    x = 1\n" * 70),
    (house.orphan_tasks, "import asyncio\nasyncio.create_task(f())"),
    (house.orphan_tasks, "loop.create_task(f())"),
    (house.orphan_tasks, "asyncio.ensure_future(f())"),
    (house.swallowed_errors, "try: f()\nexcept: g()"),
    (house.swallowed_errors, "try: f()\nexcept Exception: pass"),
    (house.swallowed_errors, "try: f()\nexcept ValueError: ..."),
    (house.swallowed_errors, "try: f()\nexcept Exception:\n pass  # why"),
    (house.swallowed_errors, "with contextlib.suppress(OSError, Exception): f()"),
    (house.swallowed_errors, "for x in y:\n try: f()\n except ValueError: continue"),
    (house.swallowed_errors, "try: f()\nexcept (KeyError, BaseException): g()"),
    (house.swallowed_errors, "try: f()\nexcept Exception as e: g()"),
    (house.busy_asserts, "assert items.pop()"),
    (house.busy_asserts, "assert (x := f())"),
    (house.busy_asserts, "async def f():\n assert await g()"),
]
GOOD_SAMPLES = [
    (house.too_long, "\n" * 400),
    (house.orphan_tasks, "task = asyncio.create_task(f())"),
    (house.orphan_tasks, "async def f():\n async with asyncio.TaskGroup() as group:\n  group.create_task(g())"),
    (house.swallowed_errors, "try: f()\nexcept ValueError: g()"),
    (house.swallowed_errors, "try: f()\nexcept ValueError:\n pass  # why"),
    (house.swallowed_errors, "with contextlib.suppress(OSError): f()"),
    (house.swallowed_errors, "try: f()\nexcept Exception as e: g(e)"),
    (house.swallowed_errors, "try: f()\nexcept BaseException: raise"),
    (house.swallowed_errors, "try: f()\nexcept Exception: LOG.exception('x')"),
    (house.busy_asserts, "assert items[-1].count('x') == 1"),
]


@pytest.mark.parametrize(("rule", "text"), BAD_SAMPLES)
def test_rules_catch(rule: Callable[[str], Iterator[str]], text: str) -> None:
    assert list(rule(text))


@pytest.mark.parametrize(("rule", "text"), GOOD_SAMPLES)
def test_rules_let_pass(rule: Callable[[str], Iterator[str]], text: str) -> None:
    assert not list(rule(text))


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "import time as clock\nclock.sleep(1)",
        "from time import monotonic_ns\nmonotonic_ns()",
        "import time\nnow = time.monotonic",
        "from datetime import datetime, UTC\ndatetime.now(UTC)",
        "import datetime\ndatetime.datetime.utcnow()",
        "import random\nrandom.random()",
        "from random import SystemRandom\nSystemRandom()",
        "import os\nos.environ['X']",
        "from os import environ\nenviron.get('X')",
        "import os\nos.getenv('X')",
        "import socket\nsocket.create_connection(a)",
        "import uuid\nuuid.uuid4()",
        "import sqlite3\nsqlite3.connect('x')",
        "import asyncio\nasyncio.sleep(1)",
        "print('x')",
        "open('x')",
        "eval('1')",
        "path.read_text()",
    ],
)
def test_every_door_is_watched(text: str) -> None:
    assert list(house.forbidden_calls(text, "twinleg/core/book.py"))


def test_doors_open_for_their_rooms_and_seeds_are_no_dice() -> None:
    assert not list(house.forbidden_calls("import time\ntime.time_ns()", "twinleg/runtime/clock.py"))
    assert not list(house.forbidden_calls("from random import Random\nRandom(7)", "twinleg_sims/world.py"))
    assert not list(house.forbidden_calls("self.time.now()\nself.open(x)\nmarket.open", "twinleg/core/book.py"))


def test_imports_are_seen_wherever_they_stand() -> None:
    text = "def f():\n from twinleg.venues import lighter\n import os.path\nfrom twinleg.core.book import Book\n"
    assert [module for _, module in house.imports(text)] == [
        "twinleg.core.book.Book",
        "twinleg.venues.lighter",
        "os.path",
    ]
    assert len(list(house.impure_imports(text, {"twinleg.core"}))) == 2


@pytest.mark.parametrize(
    "line",
    ["see /w" + "ork/main", "--index-u" + "rl x", "~ /r" + "oot/x", "An" + "thropic", "this se" + "ssion"],
)
def test_words_are_caught(line: str) -> None:
    assert WORDS.search(line)

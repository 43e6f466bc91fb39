"""Where settings come from: the environment, a `.env`, a `twinleg.toml`. Text in, named values and findings out.

Nothing here knows what a setting means; `settings.py` does. No finding ever repeats a value: any of them may be a key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

FILE_BYTES_MAX = 1 << 20
TYPO_EDITS_MAX = 2
OURS = "TWINLEG_"
KEY_SLOT = re.compile(r"TWINLEG_LIGHTER_KEY_(\d{1,3})")
"""The one family of names: a private key per key slot."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_QUOTED = re.compile(r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')(?:\s+#.*)?""")
_COMMENT = re.compile(r"^#(?:\s.*)?$|\s#.*$")


class Finding(msgspec.Struct, frozen=True):
    """Something wrong with one setting: its name, where it was found, what is wrong, what to do."""

    name: str
    origin: str
    problem: str
    fix: str

    def __str__(self) -> str:
        place = f" ({self.origin})" if self.origin else ""
        return f"{self.name}{place}: {self.problem}. {self.fix}."


class Value(msgspec.Struct, frozen=True):
    """One value as it was found: text from the environment and `.env`, any TOML value from `twinleg.toml`."""

    value: Any
    origin: str

    def __repr__(self) -> str:
        return f"Value(***, {self.origin!r})"


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One source, read: the values found by name (blank ones are absent), and what could not be read."""

    values: dict[str, Value] = {}
    findings: tuple[Finding, ...] = ()
    strict: bool = True
    """Names in it are meant for us, so that a near miss is an error and other unknown names are told."""


def clean(text: str) -> str:
    """A value without surrounding space, quotes and trailing ` # comment`. Quoted text is kept as it stands.

    Applied to the environment too: `docker run --env-file` passes quotes and comments verbatim.
    """
    text = text.strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        return quoted["double"] or quoted["single"] or ""
    return _COMMENT.sub("", text).strip()


def environment_layer(environ: Mapping[str, str], origin: str = "environment") -> Layer:
    """The process's environment. Names that are not ours are everybody's: no typo is looked for among them."""
    values = {name: Value(clean(text), origin) for name, text in environ.items()}
    return Layer(values={name: found for name, found in values.items() if found.value}, strict=False)


def dotenv_layer(path: Path) -> Layer:
    """A `.env` file: NAME=VALUE lines, `export` allowed, # comments. Findings name the line, never its text."""
    text, finding = _read(path)
    if finding:
        return Layer(findings=(finding,))
    values: dict[str, Value] = {}
    findings = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        origin = f"{path}, line {number}"
        name, equals, raw = stripped.removeprefix("export ").partition("=")
        name = name.strip()
        if not equals or not _NAME.fullmatch(name):
            findings.append(Finding(".env", origin, "this line is not NAME=VALUE", "Write it so, or put # before it"))
            continue
        value = clean(raw)
        if not value:
            continue
        if name in values and values[name].value != value:
            fix = "Keep one of the two"
            findings.append(Finding(name, origin, f"set before, to another value ({values[name].origin})", fix))
        values[name] = Value(value, origin)
    return Layer(values=values, findings=tuple(findings))


def toml_layer(path: Path) -> Layer:
    """A `twinleg.toml` file, by its top-level names. Findings name the line, never its text."""
    text, finding = _read(path)
    if finding:
        return Layer(findings=(finding,))
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at .*\)", str(error))
        problem = f"not valid TOML {place[0] if place else ''}".strip()
        return Layer(findings=(Finding("twinleg.toml", str(path), problem, "Correct it: see docs/SETTINGS.md"),))
    return Layer(values={name: Value(value, str(path)) for name, value in table.items()})


def find_file(name: str, working_directory: Path, checkout: Path | None) -> Path | None:
    """The file in the working directory, else in the checkout, else None."""
    for folder in (working_directory, checkout):
        if folder is not None and (folder / name).is_file():
            return folder / name
    return None


def unknown_names(layer: Layer, known: Iterable[str]) -> tuple[list[Finding], list[str]]:
    """Findings for names that look like ours but are not, and the other unknown names (only of strict layers)."""
    names = tuple(known)
    findings = []
    ignored = []
    for name, found in layer.values.items():
        if name in names or KEY_SLOT.fullmatch(name):
            continue
        near = nearest(name, names) if layer.strict or name.startswith(OURS) else None
        if near:
            findings.append(Finding(name, found.origin, "not a setting", f"Write {near}, or remove it"))
        elif name.startswith(OURS):
            fix = "Remove it, or look its name up in .env.example"
            findings.append(Finding(name, found.origin, f"no setting of ours ({OURS}...) has this name", fix))
        elif layer.strict:
            ignored.append(name)
    return findings, ignored


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name within TYPO_EDITS_MAX edits of `name`, case aside; the closest, then the first. None if none."""
    upper = name.upper()
    best = min(known, key=lambda other: edits(upper, other.upper()), default=None)
    return best if best is not None and edits(upper, best.upper()) <= TYPO_EDITS_MAX else None


def edits(one: str, other: str) -> int:
    """The Levenshtein distance of two texts, or TYPO_EDITS_MAX + 1 when it is certain to be more than the maximum."""
    if abs(len(one) - len(other)) > TYPO_EDITS_MAX:
        return TYPO_EDITS_MAX + 1
    row = list(range(len(other) + 1))
    for index, mark in enumerate(one, start=1):
        diagonal, row[0] = row[0], index
        for column, against in enumerate(other, start=1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (mark != against)),
            )
        if min(row) > TYPO_EDITS_MAX:
            return TYPO_EDITS_MAX + 1
    return row[-1]


def _read(path: Path) -> tuple[str, Finding | None]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            return "", Finding(path.name, str(path), "larger than 1 MiB", "That is not a settings file: remove it")
        return path.read_text(encoding="utf-8-sig"), None
    except UnicodeDecodeError:
        return "", Finding(path.name, str(path), "not UTF-8 text", "Save it as UTF-8")
    except OSError as error:
        problem = f"cannot be read ({error.strerror or type(error).__name__})"
        return "", Finding(path.name, str(path), problem, "Make it readable, or remove it")

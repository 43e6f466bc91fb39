"""Reading the settings once: layers merged, checked together, and either one frozen result or all that is wrong.

Errors: SettingsError carries every Finding; the command line shows them and exits with 2.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from twinleg.runtime.settings import Settings, effective_limits
from twinleg.runtime.settings_docs import Setting, describe
from twinleg.runtime.settings_sources import (
    KEY_SLOT,
    Finding,
    Layer,
    Value,
    dotenv_layer,
    environment_layer,
    find_file,
    toml_layer,
    unknown_names,
)

CREDENTIALS = (
    (("lighter_private_key", "lighter_account_index", "lighter_api_key_index"), ()),
    (("extended_api_key", "extended_private_key"), ("extended_public_key", "extended_vault")),
    (("drift_rpc_url",), ("drift_private_key",)),
)
"""What is needed together, and what is useless without it: some of a set without the rest is an error."""
ZERO_IS_ABSENT = ("extended_vault", "lighter_max_api_key_index")
LAST_VENUE_SLOT = 3
"""Lighter key slots 0 to 3 belong to the venue's own web and phone apps."""


class SettingsError(Exception):
    """The settings cannot be used. `findings` holds every reason; none repeats a value."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        count = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
        super().__init__("\n  ".join([f"{count} in the settings:", *map(str, findings)]))


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and what the user should be told about how they were found."""

    settings: Settings
    warnings: tuple[str, ...]
    ignored: tuple[str, ...]
    """Unknown names in `.env` and `twinleg.toml`, to be listed once."""
    origins: Mapping[str, str]
    """Field -> where its value was found; defaults are not in it."""


def load(
    environ: Mapping[str, str] | None = None,
    *,
    working_directory: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    read_files: bool = True,
) -> Loaded:
    """The settings from overrides (by name), the environment, `.env` and `twinleg.toml`, the first one winning.

    Raises SettingsError with all findings.
    """
    folder = Path.cwd() if working_directory is None else working_directory
    layers = [
        environment_layer(overrides or {}, "command line"),
        environment_layer(os.environ if environ is None else environ),
    ]
    dotenv = find_file(".env", folder, checkout()) if read_files else None
    toml = find_file("twinleg.toml", folder, checkout()) if read_files else None
    layers += [dotenv_layer(dotenv)] if dotenv else []
    layers += [_without_secrets(toml_layer(toml))] if toml else []

    findings = [finding for layer in layers for finding in layer.findings]
    ignored: list[str] = []
    chosen: dict[str, Value] = {}
    for layer in layers:
        wrong, unknown = unknown_names(layer, _NAMES)
        findings += wrong
        ignored += unknown
        found, conflicts = _by_field(layer)
        findings += conflicts
        chosen = {**found, **chosen}

    settings, invalid, failed = _validated(chosen)
    findings += invalid
    findings += _credentials(chosen, settings)
    findings += [finding for fields, finding in _relations(settings, chosen) if not failed.intersection(fields)]
    if findings:
        raise SettingsError(findings)
    return Loaded(
        settings=settings,
        warnings=tuple(_warnings(settings, dotenv)),
        ignored=tuple(sorted(set(ignored))),
        origins={field: value.origin for field, value in chosen.items()},
    )


def checkout() -> Path | None:
    """The folder that holds `src/` when the code runs from a checkout (in the container: /app), else None."""
    source = Path(__file__).resolve().parents[2]
    return source.parent if source.name == "src" else None


_SETTINGS: dict[str, Setting] = {setting.field: setting for setting in describe()}
_NAMES = tuple(name for setting in _SETTINGS.values() for name in (setting.name, *setting.aliases))
_FIELDS = {
    name: setting.field
    for setting in _SETTINGS.values()
    if not setting.family
    for name in (setting.name, *setting.aliases)
}


def _name(field: str) -> str:
    return _SETTINGS[field].name


def _by_field(layer: Layer) -> tuple[dict[str, Value], list[Finding]]:
    """A layer's values by field, and findings for a name and its alias that differ."""
    chosen: dict[str, Value] = {}
    names: dict[str, str] = {}
    findings = []
    slots: dict[int, str] = {}
    origin = ""
    for name, value in layer.values.items():
        slot = KEY_SLOT.fullmatch(name)
        if slot:
            slots[int(slot[1])] = value.value
            origin = value.origin
            continue
        field = _FIELDS.get(name)
        if field is None:
            continue
        if field in chosen and chosen[field].value != value.value:
            problem = f"differs from {names[field]}, which is another name of the same setting"
            findings.append(Finding(name, value.origin, problem, "Keep one of the two"))
        chosen.setdefault(field, value)
        names.setdefault(field, name)
    if slots:
        chosen["lighter_keys"] = Value(slots, origin)
    return chosen, findings


def _without_secrets(layer: Layer) -> Layer:
    secret = [
        name
        for name in layer.values
        if KEY_SLOT.fullmatch(name) or (name in _FIELDS and _SETTINGS[_FIELDS[name]].secret)
    ]
    fix = "Move it to .env or the environment"
    findings = [Finding(name, layer.values[name].origin, "a secret has no place in this file", fix) for name in secret]
    kept = {name: value for name, value in layer.values.items() if name not in secret}
    return Layer(values=kept, findings=(*layer.findings, *findings))


def _validated(chosen: Mapping[str, Value]) -> tuple[Settings, list[Finding], set[str]]:
    """Settings of all valid values (the others at their defaults), findings for the invalid ones, and their fields."""
    values = {field: value.value for field, value in chosen.items()}
    try:
        return Settings(**values), [], set()
    except ValidationError as error:
        # Its text is never used: what was given may be a key in the wrong place.
        errors = error.errors(include_input=False, include_url=False)
    failed = {str(found["loc"][0]) for found in errors}
    findings: dict[str, Finding] = {}
    for found in errors:
        finding = _invalid(found, chosen)
        findings.setdefault(finding.name, finding)
    rest = {field: value for field, value in values.items() if field not in failed}
    return Settings(**rest), list(findings.values()), failed


def _invalid(error: Any, chosen: Mapping[str, Value]) -> Finding:
    field, *path = (str(part) for part in error["loc"])
    setting = _SETTINGS[field]
    name = setting.name
    if setting.family:
        name = name.replace("<slot>", path[0])
    elif setting.in_toml:
        name = ".".join([name, *path])
    reason = error.get("ctx", {}).get("error")
    if reason is not None:
        problem = f"{reason}; it should be {setting.kind}"
    elif setting.in_toml:
        problem = error["msg"][:1].lower() + error["msg"][1:]
    else:
        problem = f"it should be {setting.kind}"
    fix = f"Correct it, or remove it to get the default, {setting.default}" if setting.default else ""
    return Finding(name, chosen[field].origin, problem, fix or "Correct it, or remove it")


def _credentials(chosen: Mapping[str, Value], settings: Settings) -> Iterator[Finding]:
    """Half a set of credentials names the rest; keys of a range of slots must all be there and not contradict."""
    given = {field for field in chosen if field not in ZERO_IS_ABSENT or getattr(settings, field)}
    if settings.lighter_api_key_index in settings.lighter_keys:
        given.add("lighter_private_key")
    for needed, companions in CREDENTIALS:
        there = " and ".join(_name(field) for field in (*needed, *companions) if field in given)
        missing = [field for field in needed if field not in given] if there else []
        for field in missing:
            yield Finding(_name(field), "", f"missing, while there is {there}", f"Set it, or remove {there}")
    yield from _lighter_range(settings)


def _lighter_range(settings: Settings) -> Iterator[Finding]:
    first, last, keys = settings.lighter_api_key_index, settings.lighter_max_api_key_index, settings.lighter_keys
    if first is None:
        return
    if settings.lighter_private_key and first in keys and keys[first] != settings.lighter_private_key:
        problem = f"differs from LIGHTER_PRIVATE_KEY, which is for the same slot {first}"
        yield Finding(f"TWINLEG_LIGHTER_KEY_{first}", "", problem, "Keep one of the two")
    if last and last < first:
        problem = "below LIGHTER_API_KEY_INDEX, where the range begins"
        yield Finding("LIGHTER_MAX_API_KEY_INDEX", "", problem, "Raise it, or remove it to use one key")
    for slot in range(first + 1, last + 1):
        if slot not in keys:
            problem = "missing, while LIGHTER_MAX_API_KEY_INDEX includes its slot"
            yield Finding(f"TWINLEG_LIGHTER_KEY_{slot}", "", problem, "Set it, or lower LIGHTER_MAX_API_KEY_INDEX")


def _relations(settings: Settings, chosen: Mapping[str, Value]) -> Iterator[tuple[set[str], Finding]]:
    """Settings that are fine alone and make no sense together: the fields they concern, and the finding."""
    largest = effective_limits(settings).max_order_size_usd
    if settings.min_order_size_usd > largest:
        halved = ", which CONSERVATIVE_MODE halves" if settings.conservative_mode else ""
        origin = chosen["min_order_size_usd"].origin if "min_order_size_usd" in chosen else "default"
        problem = f"larger than MAX_ORDER_SIZE_USD{halved}"
        fields = {"min_order_size_usd", "max_order_size_usd", "conservative_mode"}
        yield fields, Finding("MIN_ORDER_SIZE_USD", origin, problem, "Lower it, or raise MAX_ORDER_SIZE_USD")
    if settings.emergency_margin_ratio >= settings.min_margin_ratio:
        origin = chosen["emergency_margin_ratio"].origin if "emergency_margin_ratio" in chosen else "default"
        problem = "not below MIN_MARGIN_RATIO: legs would be reduced before entries stop"
        fields = {"emergency_margin_ratio", "min_margin_ratio"}
        yield fields, Finding("EMERGENCY_MARGIN_RATIO", origin, problem, "Lower it, or raise MIN_MARGIN_RATIO")


def _warnings(settings: Settings, dotenv: Path | None) -> Iterator[str]:
    slot = settings.lighter_api_key_index
    if slot is not None and slot <= LAST_VENUE_SLOT:
        yield f"LIGHTER_API_KEY_INDEX is {slot}: slots 0 to 3 belong to the venue's own apps, which may replace the key"
    if settings.network == "testnet" and (settings.extended_mainnet_url or settings.extended_mainnet_stream_url):
        yield "EXTENDED_MAINNET_URL and EXTENDED_MAINNET_STREAM_URL are not used: TWINLEG_NETWORK is testnet"
    holds_secrets = any(setting.secret and settings.given(setting.field) for setting in _SETTINGS.values())
    if dotenv and holds_secrets and dotenv.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield f"{dotenv} can be read by others on this machine: chmod 600 {dotenv}"

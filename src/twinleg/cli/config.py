"""`twinleg config show`: every setting, where its value came from, and what holds in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from twinleg.cli.exits import OK
from twinleg.cli.figures import plain
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import loaded_of_user
from twinleg.runtime.secret import Secret
from twinleg.runtime.settings import AssetLimits, Limits, Settings, effective_limits
from twinleg.runtime.settings_docs import NOT_YET, Setting, describe
from twinleg.runtime.settings_load import Loaded

SET, NOT_SET = "set", "not set"
DEFAULT = "default"
TITLES = ("setting", "value", "from", "holds", "")


class Shown(msgspec.Struct, frozen=True):
    """One setting as text; a secret's value is "set" or "not set". `effective` is None where it is the value itself."""

    name: str
    value: str
    origin: str
    """"default", "environment", or the file, of `.env` with its line."""
    effective: str | None
    why: str
    """Where `effective` comes from."""
    secret: bool
    has_effect: bool
    """False: accepted and checked, but nothing acts on it in this version."""


class ConfigAnswer(msgspec.Struct, frozen=True):
    """Every setting, in the order of docs/SETTINGS.md, an asset's own limits last; names that were ignored."""

    settings: tuple[Shown, ...]
    ignored: tuple[str, ...]


def run_config_show(*, as_json: bool) -> int:
    """Print them. Exits with 2 when the settings cannot be used."""
    loaded = loaded_of_user()
    answer = ConfigAnswer(tuple(shown(loaded)), loaded.ignored)
    if as_json:
        put_json(answer)
        return OK
    rows = [
        (
            one.name,
            one.value,
            one.origin,
            "" if one.effective is None else f"{one.effective} ({one.why})",
            "" if one.has_effect else "no effect in this version",
        )
        for one in answer.settings
    ]
    put(columns(TITLES, [tuple(map(plain, row)) for row in rows]))
    return OK


def shown(loaded: Loaded) -> Iterator[Shown]:
    """Every setting as it is to be shown."""
    settings = loaded.settings
    derived = dict(_derived(settings))
    for setting in describe():
        if setting.field == "assets":
            continue
        value = getattr(settings, setting.field)
        text = _secret_text(value) if setting.secret else _text(value)
        effective, why = derived.get(setting.field, (None, ""))
        yield Shown(
            name=setting.name,
            value=text,
            origin=loaded.origins.get(setting.field, DEFAULT),
            effective=effective if effective != text else None,
            why=why if effective != text else "",
            secret=setting.secret,
            has_effect=setting.field not in NOT_YET,
        )
    yield from _assets(loaded, _named("assets"))


def _named(field: str) -> Setting:
    return next(one for one in describe() if one.field == field)


def _assets(loaded: Loaded, setting: Setting) -> Iterator[Shown]:
    """An asset's own limits, each with what holds."""
    origin = loaded.origins.get("assets", DEFAULT)
    if not loaded.settings.assets:
        yield Shown(setting.name, "", origin, None, "", secret=False, has_effect=True)
    for asset, own in loaded.settings.assets.items():
        limits = effective_limits(loaded.settings, asset)
        for field in AssetLimits.model_fields:
            value = getattr(own, field)
            if value is None:
                continue
            effective = _text(getattr(limits, field))
            changed = effective if effective != _text(value) else None
            why = "CONSERVATIVE_MODE" if changed else ""
            yield Shown(f"assets.{asset}.{field}", _text(value), origin, changed, why, secret=False, has_effect=True)


def _derived(settings: Settings) -> Iterator[tuple[str, tuple[str, str]]]:
    """What holds instead of a field's own value, and why."""
    limits = effective_limits(settings)
    for field in Limits.__struct_fields__:
        yield field, (_text(getattr(limits, field)), "CONSERVATIVE_MODE")
    lighter, extended = settings.lighter_endpoints(), settings.extended_endpoints()
    network = f"TWINLEG_NETWORK={settings.network}"
    yield "lighter_base_url", (lighter.rest, network)
    yield "lighter_ws_url", (lighter.stream, "LIGHTER_BASE_URL")
    mainnet = settings.network == "mainnet" and settings.extended_mainnet_url
    yield "extended_base_url", (extended.rest, "EXTENDED_MAINNET_URL" if mainnet else network)
    streams = settings.network == "mainnet" and settings.extended_mainnet_stream_url
    yield "extended_stream_url", (extended.stream, "EXTENDED_MAINNET_STREAM_URL" if streams else "the REST base")


def _secret_text(value: Secret | Mapping[int, Secret] | None) -> str:
    if isinstance(value, Mapping):
        slots = ", ".join(map(str, sorted(value)))
        return f"{SET} for slots {slots}" if slots else NOT_SET
    return NOT_SET if value is None else SET


def _text(value: Any) -> str:
    """As it would be written in `.env`; structured ones as in `twinleg.toml`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join("/".join(one) if isinstance(one, tuple) else str(one) for one in value)
    assert isinstance(value, str | int | Path), "secrets and tables have their own way"
    return str(value)

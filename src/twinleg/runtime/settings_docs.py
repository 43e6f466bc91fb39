"""The settings in words: what `.env.example`, docs/SETTINGS.md, `doctor` and every error message are made from.

`python -m twinleg.runtime.settings_docs env` (or `page`) writes one of the two documents to standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import msgspec

from twinleg.runtime.secret import Secret
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_fields import kind_of

SECTIONS = {
    "drift_rpc_url": "Drift",
    "lighter_base_url": "Lighter",
    "extended_base_url": "Extended",
    "eth_private_key": "Onboarding",
    "trading_mode": "What the engine does",
    "max_position_size_usd": "Sizes and limits",
    "order_timeout_seconds": "Times",
    "log_level": "Logging",
    "unhedged_ms_max": "Two legs",
    "book_age_ms_max": "Data quality",
    "horizon_hours": "What is worth it, and what is too much",
    "network": "The process",
    "allow": "In twinleg.toml",
}
"""The first field of each section, and the section's title."""

NOT_YET = frozenset(
    (
        "drift_rpc_url",
        "drift_private_key",
        "drift_env",
        "drift_sub_account_id",
        "drift_dlob_url",
        "drift_profile",
        "drift_allow_frozen",
        "eth_private_key",
        "emergency_stop_loss_percent",
        "min_margin_ratio",
        "emergency_margin_ratio",
        "rebalance_threshold_percent",
        "max_orders_per_symbol",
        "top_opportunities_count",
        "orderbook_depth_levels",
        "fill_timeout_seconds",
        "opportunity_scan_interval",
        "risk_check_interval",
        "sync_status_log_interval",
        "margin_reserve_move_percent",
        "liquidation_distance_percent_min",
        "depeg_bps_max",
        "daily_loss_percent",
        "drawdown_percent",
        "rebalance_auto",
        "passphrase_file",
        "host",
        "port",
    )
)
"""Accepted and checked, but nothing acts on them in this version: the documents say so, and nobody relies on them."""

ENV_HEAD = """\
# Every setting of twinleg, with its default. Copy this file to .env and uncomment what you change.
# The environment comes before .env, and .env before twinleg.toml. A blank value is an absent one.
# Values may be quoted and may carry a trailing comment after a space. docs/SETTINGS.md says more.
"""

PAGE_HEAD = """\
# Settings

Read once at start, from the environment, then `.env` in the working directory (else in the checkout), then
`twinleg.toml` in the same places. The first that gives a value wins; a blank value is an absent one. Values may be
quoted and may carry a trailing ` # comment`, also in the environment (`docker run --env-file` passes both verbatim).

- In `.env` and `twinleg.toml` a name within two edits of a known one is an error, and so is an unknown `TWINLEG_*`
  anywhere. Other unknown names in the two files are listed once as ignored.
- All errors are reported together, each with the setting's name, where it was found and the fix (exit code 2).
  No error ever repeats a value.
- Addresses work with or without a trailing slash, `/api/v1`, `/stream` and the like.
- Half a set of credentials is an error that names the rest. Secrets are marked; they are never shown, and are refused
  in `twinleg.toml`.
- `TRADING_MODE=live` is understood and refused in this version: order entry comes later.

This page and `.env.example` are generated (`make docs`); a test fails when either differs from the code.
"""

TOML_EXAMPLE = """\
```toml
allow = ["BTC", "ETH", "SOL"]
deny = ["LUNA"]
pairs = [["lighter", "extended"]]

[assets.BTC]
max_position_size_usd = 1000
leverage = 2
```
"""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know about one setting. `default` is text, "" when there is none."""

    name: str
    field: str
    """The attribute of Settings that holds it."""
    aliases: tuple[str, ...]
    kind: str
    default: str
    meaning: str
    secret: bool
    in_toml: bool
    """Structured, in `twinleg.toml` only."""
    family: bool
    """The name stands for many: <slot> is a number."""


def describe() -> list[Setting]:
    """Every setting, in the order of the table in settings.py."""
    return [_describe(field) for field in Settings.model_fields]


def env_example() -> str:
    """The text of `.env.example`: every setting that has a name in the environment, commented out at its default."""
    blocks = [ENV_HEAD]
    for setting in describe():
        if setting.in_toml:
            break
        if setting.field in SECTIONS:
            blocks.append(f"\n# ---- {SECTIONS[setting.field]} ----\n")
        derived = setting.default if setting.default.startswith("derived") else ""
        value = "" if derived else setting.default
        notes = [setting.kind, *(["secret"] if setting.secret else []), *([derived] if derived else [])]
        aliases = f" Also: {', '.join(setting.aliases)}." if setting.aliases else ""
        blocks.append(f"\n# {_sentence(setting.meaning)}{aliases}\n#{setting.name}={value}  # {'; '.join(notes)}\n")
    return "".join(blocks)


def settings_page() -> str:
    """The text of docs/SETTINGS.md."""
    blocks = [PAGE_HEAD]
    for setting in describe():
        if setting.field in SECTIONS:
            example = f"{TOML_EXAMPLE}\n" if setting.in_toml else ""
            blocks.append(f"\n## {SECTIONS[setting.field]}\n\n{example}")
            blocks.append("| name | meaning | value | default |\n|---|---|---|---|\n")
        names = " or ".join(f"`{name}`" for name in (setting.name, *setting.aliases))
        secret = " **Secret.**" if setting.secret else ""
        default = setting.default if setting.default.startswith("derived") else f"`{setting.default}`"
        cells = (names, f"{_sentence(setting.meaning)}{secret}", setting.kind, default if setting.default else "-")
        blocks.append(f"| {' | '.join(cells)} |\n")
    return "".join(blocks)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _describe(field: str) -> Setting:
    info = Settings.model_fields[field]
    extra: Any = info.json_schema_extra
    kind = kind_of(info.annotation, info.metadata)
    in_toml = "toml" in extra
    assert kind is not None, f"{field} has no Kind"
    return Setting(
        name=field if in_toml else extra.get("prefix", "") + extra.get("family", field.upper()),
        field=field,
        aliases=tuple(extra.get("aliases", ())),
        kind=kind.text,
        default=extra.get("shown") or _default_text(info.default),
        meaning=(info.description or "") + (" (no effect in this version)" if field in NOT_YET else ""),
        secret=_is_secret(info.annotation),
        in_toml=in_toml,
        family="family" in extra,
    )


def _default_text(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if isinstance(default, str | int | Path) else ""


def _is_secret(annotation: Any) -> bool:
    return annotation is Secret or any(_is_secret(part) for part in get_args(annotation))


if __name__ == "__main__":
    sys.stdout.write({"env": env_example, "page": settings_page}[sys.argv[1]]())

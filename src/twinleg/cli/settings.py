"""Settings for a command: what was wrong with them goes to standard error, all of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from twinleg.cli.exits import BAD_CONFIGURATION
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import Loaded, SettingsError, load


def settings_of_user() -> Settings:
    """From the environment, `.env` and `twinleg.toml`; warnings are shown. Exits with 2 when they cannot be used."""
    return loaded_of_user().settings


def loaded_of_user() -> Loaded:
    """The same, with where each value was found."""
    try:
        loaded = load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\nNothing was started. docs/SETTINGS.md and .env.example list every setting.\n")
        raise SystemExit(BAD_CONFIGURATION) from None
    for warning in loaded.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if loaded.ignored:
        sys.stderr.write(f"warning: not settings of twinleg, ignored: {', '.join(loaded.ignored)}\n")
    return loaded


def settings_of_demo(given: Mapping[str, str], folder: Path) -> Settings:
    """Defaults at the simulated venues' addresses and accounts. Neither the environment nor any file is read: no key of
    the user's comes near.

    CONSERVATIVE_MODE is off, since there is nothing to lose and something to see.
    """
    own = {
        "TWINLEG_DATA_DIR": str(folder),
        "TWINLEG_LOG_DIR": str(folder),
        "CONSERVATIVE_MODE": "false",
        "TRADING_MODE": "live",
        "AUTO_EXECUTION_ENABLED": "true",
        "MAX_POSITION_SIZE_USD": "500",
        "MAX_ORDER_SIZE_USD": "500",
    }
    return load(environ={}, overrides={**given, **own}, read_files=False).settings

"""`twinleg run`: the engine against the configured venues."""

from __future__ import annotations

import asyncio

from twinleg.cli import logs
from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED, CommandError
from twinleg.cli.live import Ending, face_for, view_wanted, watch
from twinleg.cli.settings import settings_of_user
from twinleg.core.ledger import LedgerError
from twinleg.core.records import RecordError
from twinleg.runtime.ports import JournalError
from twinleg.runtime.settings import Settings
from twinleg.runtime.wiring import build

NO_LIVE = (
    "TRADING_MODE=live is refused: this version trades on paper only and places no orders. Set TRADING_MODE=dry_run "
    "(or remove it) to see what it would do."
)


def run_engine(seconds: float | None, *, as_json: bool) -> int:
    """Run until told to end. Raises CommandError."""
    settings = settings_of_user()
    if settings.trading_mode == "live":
        raise CommandError(REFUSED, NO_LIVE)
    try:
        logs.start(settings, terminal_is_taken=view_wanted(as_json=as_json))
    except OSError as error:
        fix = "Make it writable, change TWINLEG_LOG_DIR, or set LOG_TO_FILE=false"
        raise CommandError(BAD_CONFIGURATION, f"no log can be written: {error}. {fix}.") from error
    try:
        return asyncio.run(_run(settings, seconds, as_json=as_json))
    except JournalError as error:
        raise CommandError(BAD_CONFIGURATION, f"the journal: {error}.") from error
    except (RecordError, LedgerError) as error:
        raise CommandError(
            REFUSED, f"the journal cannot be trusted, so nothing is opened on top of it: {error}."
        ) from error


async def _run(settings: Settings, seconds: float | None, *, as_json: bool) -> int:
    ending = Ending()
    ending.listen()
    system = await build(settings)
    await watch(system, face_for(settings, settings.network, as_json=as_json), ending, seconds)
    return OK

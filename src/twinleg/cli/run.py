"""`twinleg run`: the engine against the configured venues."""

from __future__ import annotations

import asyncio
import sys

from twinleg.cli import logs
from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED, UNREACHABLE, CommandError
from twinleg.cli.findings import Verdict
from twinleg.cli.live import Ending, face_for, view_wanted, watch
from twinleg.cli.readiness import require_live
from twinleg.cli.settings import settings_of_user
from twinleg.core.ledger import LedgerError
from twinleg.core.records import RecordError
from twinleg.runtime.control import ControlError
from twinleg.runtime.lease import LeaseError
from twinleg.runtime.ports import JournalError
from twinleg.runtime.settings import Settings
from twinleg.runtime.traders import KeysError, NoAnswerError
from twinleg.runtime.wiring import LiveRefusedError, build

DOCTOR_WAIT_S = 15.0


def run_engine(seconds: float | None, *, as_json: bool) -> int:
    """Run until told to end. Raises CommandError."""
    settings = settings_of_user()
    if settings.live:
        _examine(settings)
    try:
        logs.start(settings, terminal_is_taken=view_wanted(as_json=as_json))
    except OSError as error:
        fix = "Make it writable, change TWINLEG_LOG_DIR, or set LOG_TO_FILE=false"
        raise CommandError(BAD_CONFIGURATION, f"no log can be written: {error}. {fix}.") from error
    try:
        return asyncio.run(_run(settings, seconds, as_json=as_json))
    except (ControlError, JournalError) as error:
        raise CommandError(BAD_CONFIGURATION, f"{error}.") from error
    except (RecordError, LedgerError) as error:
        raise CommandError(
            REFUSED, f"the journal cannot be trusted, so nothing is opened on top of it: {error}."
        ) from error
    except (LiveRefusedError, LeaseError, KeysError) as error:
        raise CommandError(REFUSED, f"live trading is refused: {error}") from error
    except NoAnswerError as error:
        raise CommandError(UNREACHABLE, f"{error}.") from error


def _examine(settings: Settings) -> None:
    """Before live trading: what `doctor` finds wrong ends it here, what is doubtful is said. Raises CommandError."""
    for one in asyncio.run(require_live(settings, DOCTOR_WAIT_S)):
        if one.verdict is not Verdict.OK:
            sys.stderr.write(f"warning: {one.check}: {one.found}. {one.do}.\n")


async def _run(settings: Settings, seconds: float | None, *, as_json: bool) -> int:
    ending = Ending()
    ending.listen()
    system = await build(settings)
    await watch(system, face_for(settings, settings.network, as_json=as_json), ending, seconds)
    return OK

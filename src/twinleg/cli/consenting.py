"""`twinleg live`: what live trading means with these settings, and the operator's consent to it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED, CommandError
from twinleg.cli.figures import UNKNOWN, moment, plain
from twinleg.cli.output import columns, put, put_json
from twinleg.cli.settings import settings_of_user
from twinleg.core.messages import Refusal
from twinleg.runtime import consent
from twinleg.runtime.clock import SystemClock
from twinleg.runtime.settings import Settings
from twinleg.runtime.traders import KeysError, VenueAccount, accounts_of

MEANING = (
    "Live trading sends real orders with your keys. The engine opens and closes positions on both venues, sets their",
    "leverage, and cancels orders. Prices move, a leg may fill alone, a venue may fail: everything in the accounts can",
    "be lost. Use accounts, or sub-accounts, that nothing else trades. Keys need no right to withdraw.",
)


class Cap(msgspec.Struct, frozen=True):
    """One limit: as it was given (None = a default of ours), in effect, and as it was agreed to."""

    name: str
    given: float | None
    effective: float
    accepted: float | None


class LiveAnswer(msgspec.Struct, frozen=True):
    """How it stands. `missing` is all that keeps TRADING_MODE=live from starting; empty = nothing."""

    trading_mode: str
    auto_execution_enabled: bool
    standing: bool
    accepted_at_ms: int | None
    accepted_version: str | None
    accounts: tuple[VenueAccount, ...]
    caps: tuple[Cap, ...]
    missing: tuple[Refusal, ...]


def run_live(*, accept: bool, as_json: bool) -> int:
    """Show the state; with `accept` record consent first. Raises CommandError: refused, or the file cannot be."""
    settings = settings_of_user()
    if accept:
        try:
            consent.accept(settings, SystemClock().wall_ms())
        except consent.ConsentError as error:
            said = "\n  ".join(plain(one.detail) for one in error.refusals)
            raise CommandError(REFUSED, f"consent was not recorded:\n  {said}") from error
        except OSError as error:
            problem = f"consent was not recorded: {settings.data_dir} cannot be written: {error.strerror}"
            raise CommandError(
                BAD_CONFIGURATION, f"{problem}. Make it writable, or change TWINLEG_DATA_DIR."
            ) from error
    answer = state_of(settings)
    if as_json:
        put_json(answer)
    else:
        put(plain(line) for line in _lines(settings, answer))
    return OK


def state_of(settings: Settings) -> LiveAnswer:
    """Accounts, limits, consent, and what is missing."""
    found = consent.recorded(settings)
    known = found if isinstance(found, consent.Consent) else None
    try:
        accounts = accounts_of(settings)
    except KeysError:
        accounts = ()  # `missing` says what is wrong with the keys
    agreed = {} if known is None else known.caps
    return LiveAnswer(
        trading_mode=settings.trading_mode,
        auto_execution_enabled=settings.auto_execution_enabled,
        standing=consent.standing(settings) is not None,
        accepted_at_ms=None if known is None else known.at_ms,
        accepted_version=None if known is None else known.version,
        accounts=accounts,
        caps=tuple(
            Cap(name, _given(settings, name), effective, agreed.get(name))
            for name, effective in consent.caps(settings).items()
        ),
        missing=tuple(consent.missing(settings)),
    )


def _given(settings: Settings, name: str) -> float | None:
    if "." not in name:
        return float(getattr(settings, name)) if settings.given(name) else None
    asset, _, field = name.removeprefix("assets.").rpartition(".")
    return float(getattr(settings.assets[asset], field))


def _lines(settings: Settings, answer: LiveAnswer) -> Iterator[str]:
    yield from MEANING
    yield ""
    yield from columns(("venue", "account", "address"), [(one.venue, one.text, one.address) for one in answer.accounts])
    yield ""
    titles = ("given", "in effect", "agreed")
    rows = [(one.name, _figure(one.given), _figure(one.effective), _figure(one.accepted)) for one in answer.caps]
    yield from columns(("limit", *titles), rows, right=titles)
    if settings.conservative_mode:
        yield "CONSERVATIVE_MODE halves the sizes."
    yield ""
    opens = "opens trades by itself" if answer.auto_execution_enabled else "opens nothing by itself"
    yield f"TRADING_MODE={answer.trading_mode}; live, the engine {opens} (AUTO_EXECUTION_ENABLED)"
    if answer.accepted_at_ms is None:
        yield f"Nobody has agreed to it in {settings.data_dir}."
    else:
        state = "it stands" if answer.standing else "it is void"
        yield f"Agreed at {moment(answer.accepted_at_ms)} with twinleg {answer.accepted_version}: {state}."
    if answer.missing:
        yield "What keeps TRADING_MODE=live from starting:"
        yield from (f"  {one.code}: {one.detail}" for one in answer.missing)
    else:
        yield "Nothing keeps TRADING_MODE=live from starting; `twinleg doctor` asks the venues."


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:g}"

"""May this data folder trade with real keys? The operator says so once, in a file beside the journal.

    nothing | void (another account, a larger cap) --`twinleg live --accept`--> standing

A TRADING_MODE=live that was forgotten in an old `.env` starts nothing: consent names the accounts and the caps that the
operator has seen. Caps are compared as they take effect, so a CONSERVATIVE_MODE that is switched off counts as well.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from twinleg import __version__
from twinleg.core.messages import Refusal
from twinleg.runtime.journal_file import sync_folder
from twinleg.runtime.loopback import LOOPBACK, on_this_machine
from twinleg.runtime.settings import AssetLimits, Settings, effective_limits
from twinleg.runtime.traders import KeysError, VenueAccount, accounts_of

FILE_NAME = "live-consent.json"
BYTES_MAX = 1 << 20
VENUES_MIN = 2
EXPLICIT = ("max_position_size_usd", "max_order_size_usd")
"""What one trade may risk is the operator's number, never a default of ours."""
SCALED = ("max_position_size_usd", "max_order_size_usd", "max_total_exposure_usd", "max_slippage_bps", "leverage")
PLAIN = (
    "max_concurrent_arbitrage_groups",
    "unhedged_notional_max_usd",
    "unhedged_ms_max",
    "flatten_slippage_bps_max",
)
OF_ASSET = tuple(name for name in SCALED if name in AssetLimits.model_fields)
ACCEPT = "look at `twinleg live`, then `twinleg live --accept`"


class ConsentError(Exception):
    """Consent cannot be recorded; `refusals` say why."""

    def __init__(self, refusals: list[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("; ".join(one.detail for one in refusals))


class Consent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator agreed to. `caps` are the limits in effect then, an asset's own as "assets.BTC.leverage"."""

    at_ms: int
    version: str
    """Of twinleg, which showed it."""
    accounts: tuple[VenueAccount, ...]
    caps: dict[str, float]


def caps(settings: Settings) -> dict[str, float]:
    """The limits in effect that bound what can be lost: larger is never safer."""
    general = effective_limits(settings)
    found = {name: float(getattr(general, name)) for name in SCALED}
    found |= {name: float(getattr(settings, name)) for name in PLAIN}
    for asset, own in settings.assets.items():
        limits = effective_limits(settings, asset)
        given = [name for name in OF_ASSET if getattr(own, name) is not None]
        found |= {f"assets.{asset}.{name}": float(getattr(limits, name)) for name in given}
    return found


def missing(settings: Settings) -> list[Refusal]:
    """Every reason why TRADING_MODE=live may not start with these settings; empty = it may."""
    found = unfit(settings)
    consent = recorded(settings)
    if consent is None:
        found.append(Refusal("live_consent", f"nobody has agreed to trade from {settings.data_dir}: {ACCEPT}"))
    elif isinstance(consent, Refusal):
        found.append(consent)
    else:
        found += voided(consent, settings)
    return found


def standing(settings: Settings) -> Consent | None:
    """The consent that holds for these settings. None when there is none, or it is void."""
    consent = recorded(settings)
    return consent if isinstance(consent, Consent) and not voided(consent, settings) else None


def accept(settings: Settings, at_ms: int) -> Consent:
    """Record consent to these accounts and caps, on disk on return. Raises ConsentError and OSError.

    Refused for what this version may not trade: a later version would find a consent that nobody gave it.
    """
    refusals = unfit(settings)
    if refusals:
        raise ConsentError(refusals)
    consent = Consent(at_ms=at_ms, version=__version__, accounts=accounts_of(settings), caps=caps(settings))
    _write(settings.data_dir, msgspec.json.format(msgspec.json.encode(consent), indent=2) + b"\n")
    return consent


def unfit(settings: Settings) -> list[Refusal]:
    """What stands in the way of live trading whoever agrees to it: keys, addresses, limits that nobody gave."""
    return [*_keys(settings), *_addresses(settings), *_given_caps(settings)]


def recorded(settings: Settings) -> Consent | Refusal | None:
    """What the data folder's file says, void or not; a Refusal when it cannot be believed."""
    path = settings.data_dir / FILE_NAME
    try:
        if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return Refusal("live_consent", f"others may write {path}: delete it, then {ACCEPT}")
        if path.stat().st_size > BYTES_MAX:
            return Refusal("live_consent", f"{path} is no consent of ours: delete it, then {ACCEPT}")
        return msgspec.json.decode(path.read_bytes(), type=Consent, strict=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Refusal("live_consent", f"{path} cannot be read: {error.strerror}")
    except msgspec.DecodeError as error:
        return Refusal("live_consent", f"{path} cannot be read ({error}): delete it, then {ACCEPT}")


def voided(consent: Consent, settings: Settings) -> list[Refusal]:
    """Why a recorded consent does not hold for these settings: accounts that changed, caps that grew."""
    try:
        accounts = accounts_of(settings)
    except KeysError:
        return []  # no account to compare: `unfit` says what is wrong with the keys
    return [
        Refusal("live_consent_void", f"{detail}: {ACCEPT} again")
        for detail in (*_changed(consent.accounts, accounts), *_grown(consent.caps, caps(settings)))
    ]


def _changed(then: tuple[VenueAccount, ...], now: tuple[VenueAccount, ...]) -> Iterator[str]:
    for one in now:
        if not any(one.same(other) for other in then):
            yield f"{one.venue} at {one.address}, {one.text}, is not an account that was agreed to"


def _grown(then: Mapping[str, float], now: Mapping[str, float]) -> Iterator[str]:
    """An asset without a limit of its own has the general one, then as now."""
    for name in sorted({*then, *now}):
        general = name.rpartition(".")[2]
        before, after = then.get(name, then.get(general)), now.get(name, now.get(general))
        if after is None:
            continue  # a limit that is no more: nothing can grow beyond it
        if before is None or after > before:
            agreed = "nothing was agreed" if before is None else f"agreed was {before:g}"
            yield f"{name} is {after:g} in effect, {agreed}"


def _keys(settings: Settings) -> Iterator[Refusal]:
    try:
        venues = {one.venue for one in accounts_of(settings)}
    except KeysError as error:
        yield Refusal("live_keys", str(error))
        return
    if len(venues) < VENUES_MIN:
        there = f"only {', '.join(venues)} has" if venues else "no venue has"
        ways = "LIGHTER_PRIVATE_KEY with its account and slot; EXTENDED_API_KEY with EXTENDED_PRIVATE_KEY"
        yield Refusal("live_keys", f"two venues must have keys, {there} ({ways})", len(venues), VENUES_MIN)


def _addresses(settings: Settings) -> Iterator[Refusal]:
    for venue, where in (("lighter", settings.lighter_endpoints()), ("extended", settings.extended_endpoints())):
        for address in (where.rest, where.stream):
            if not on_this_machine(address):
                why = f"live trading on real venues is not enabled in this version, only on this machine ({LOOPBACK})"
                yield Refusal("live_address", f"{venue} is at {address}: {why}")


def _given_caps(settings: Settings) -> Iterator[Refusal]:
    for name in EXPLICIT:
        if not settings.given(name):
            yield Refusal("live_caps", f"{name.upper()} is not given: live takes no default of ours for it, set it")


def _write(folder: Path, content: bytes) -> None:
    """The whole of it or nothing, readable by its owner alone. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = folder / f"{FILE_NAME}.new"
    fresh.unlink(missing_ok=True)  # of an attempt that was cut short
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(folder / FILE_NAME)
    sync_folder(folder)

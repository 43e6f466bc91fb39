"""Our accounts at the venues, from the settings: who signs there, and for which network. Part of the composition root.

A signature is for one network only, so a wrong choice here makes signatures that the venue refuses, never orders in the
wrong place: where they go is decided by the addresses alone.

    Lighter   the chain of TWINLEG_NETWORK
    Extended  the domain of TWINLEG_NETWORK, and the testnet's for an address of this machine (the simulated venue's)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from twinleg.core.messages import Market
from twinleg.core.trading import AccountRead, Lane, OrderSeen, Signed, TradingVenue
from twinleg.core.venue import Credential, WireError
from twinleg.runtime.loopback import on_this_machine
from twinleg.runtime.settings import Endpoints, Settings
from twinleg.runtime.streams import Doors
from twinleg.venues.extended.orders import NewOrder
from twinleg.venues.extended.sign import MAINNET, TESTNET, Keys
from twinleg.venues.extended.trading import ExtendedTrading, ask_vault
from twinleg.venues.lighter.facts import CHAIN_MAINNET, CHAIN_TESTNET
from twinleg.venues.lighter.sign import OrderFields, Signer
from twinleg.venues.lighter.trading import LighterTrading

ANY_VAULT = 1
KEY_REFUSED = (401, 403)
TEXT_CHARS_MAX = 200


class KeysError(ValueError):
    """The keys that were given cannot sign, or do not belong together. The message repeats none of them."""


class NoAnswerError(RuntimeError):
    """The venue did not say what we must know of the account."""


class VenueAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of our accounts: what may be shown of it, and what it is known by."""

    venue: str
    address: str
    """The venue's REST base: the same number elsewhere is another account."""
    account: str
    """Lighter's account index; Extended's public key, which its vault belongs to."""
    vault: int = 0
    """Extended's; 0 = to be looked up."""

    @property
    def text(self) -> str:
        """As people know it."""
        if not self.account.startswith("0x"):
            return f"account {self.account}"
        vault = f"vault {self.vault}" if self.vault else "vault to be looked up"
        return f"{vault}, public key {self.account}"

    def same(self, other: VenueAccount) -> bool:
        """Whether both mean one account, as far as is known."""
        alike = (self.venue, self.address, self.account) == (other.venue, other.address, other.account)
        return alike and (self.vault == other.vault or 0 in (self.vault, other.vault))


class _Given(NamedTuple):
    """The keys of each venue, None where there are none."""

    lighter: Signer | None
    extended: Keys | None


def accounts_of(settings: Settings) -> tuple[VenueAccount, ...]:
    """The accounts whose keys were given. Raises KeysError."""
    signer, keys = _given(settings)
    found = []
    if signer is not None:
        found.append(VenueAccount("lighter", settings.lighter_endpoints().rest, str(signer.account_index)))
    if keys is not None:
        address, public = settings.extended_endpoints().rest, f"{keys.public_key:#x}"
        found.append(VenueAccount("extended", address, public, settings.extended_vault))
    return tuple(found)


async def with_vault(settings: Settings, doors: Doors, timeout_ms: int) -> Settings:
    """The settings with Extended's vault looked up where it is 0. Asks once. Raises KeysError or NoAnswerError."""
    if settings.extended_api_key is None or settings.extended_vault:
        return settings
    request, vault_in = ask_vault(settings.extended_endpoints().rest, Credential(settings.extended_api_key.reveal()))
    reply = await doors.net.request(request, timeout_ms)
    if reply.status in KEY_REFUSED:
        raise KeysError(f"Extended refuses EXTENDED_API_KEY (HTTP {reply.status})")
    if reply.status != 200:
        said = reply.reason if reply.status is None else f"HTTP {reply.status}"
        raise NoAnswerError(f"Extended did not tell the account's vault: {said[:TEXT_CHARS_MAX]}")
    try:
        vault = vault_in(reply.body)
    except WireError as error:
        raise NoAnswerError(f"Extended did not tell the account's vault: {error}") from error
    return settings.model_copy(update={"extended_vault": vault})


def traders_of(settings: Settings, markets: Mapping[str, Market]) -> list[TradingVenue]:
    """The private side of every venue whose keys were given; `markets` are the facts by key, and may grow.

    Extended's vault must be known: see with_vault. Raises KeysError.
    """
    if settings.extended_api_key is not None and not settings.extended_vault:
        raise KeysError("Extended's vault is not known: look it up first, or set EXTENDED_VAULT")
    signer, keys = _given(settings)
    found: list[TradingVenue] = []
    if signer is not None:
        where = settings.lighter_endpoints()
        found.append(LighterTrading(where.rest, where.stream, signer, markets))
    if keys is not None:
        where = settings.extended_endpoints()
        domain = TESTNET if settings.network == "testnet" or _simulated(where) else MAINNET
        found.append(ExtendedTrading(where.rest, where.stream, keys, markets, domain))
    return found


def identity_reads(venue: TradingVenue, now_ms: int) -> list[AccountRead]:
    """What proves that the keys are the account's: an Incident in an answer says what is not. Takes 30 ms a key."""
    if isinstance(venue, LighterTrading):
        return [venue.key_check(slot, now_ms) for slot in venue.lanes()]
    if isinstance(venue, ExtendedTrading):
        return [venue.account(now_ms)]
    return []


def leverage_read(venue: TradingVenue, market: Market, now_ms: int) -> AccountRead | None:
    """The account's leverage in a market. None where the listing of positions tells it."""
    return venue.leverage(market, now_ms) if isinstance(venue, ExtendedTrading) else None


Make = Callable[[Lane, int], Signed]
"""Signs for a lane at a time (epoch ms). CPU only, on the thread that signs. Raises ValueError."""


def callers_order(venue: TradingVenue, market: Market, fields: Mapping[str, Any]) -> Make:
    """How a caller's order is signed. `fields` are the venue's own: Lighter's OrderFields, Extended's NewOrder."""
    if isinstance(venue, LighterTrading):
        order = OrderFields(**fields)
        return lambda lane, now_ms: venue.sign_order(str(order.client_order_index), order, lane, now_ms)
    assert isinstance(venue, ExtendedTrading), f"no orders of callers at {venue.name}"
    placed = NewOrder(**fields)
    return lambda lane, now_ms: venue.sign_order(placed, market, lane, now_ms)


def callers_change(venue: TradingVenue, market: Market, seen: OrderSeen, new: Mapping[str, Any]) -> Make:
    """How a resting order gets another size and limit: `new` has size_lots and limit_ticks, and for Extended, where
    another order takes its place, external_id, expiry_ms and post_only of that one, too."""
    if isinstance(venue, LighterTrading):
        name, lots, ticks = seen.name or seen.venue_order_id, new["size_lots"], new["limit_ticks"]
        return lambda lane, _now_ms: venue.sign_modify(name, market, lots, ticks, lane)
    kept = {"side": seen.side, "reduce_only": seen.reduce_only, "replaces": seen.name, "time_in_force": "GTT"}
    return callers_order(venue, market, {**kept, **new})


def _given(settings: Settings) -> _Given:
    try:
        return _Given(_lighter(settings), _extended(settings))
    except ValueError as error:
        raise KeysError(str(error)) from None  # the cause may show more


def _lighter(settings: Settings) -> Signer | None:
    """One key, or the range of slots from LIGHTER_API_KEY_INDEX to LIGHTER_MAX_API_KEY_INDEX. Raises ValueError."""
    account, first = settings.lighter_account_index, settings.lighter_api_key_index
    if account is None or first is None:
        return None
    keys = {slot: key.reveal() for slot, key in settings.lighter_keys.items()}
    if settings.lighter_private_key is not None:
        keys[first] = settings.lighter_private_key.reveal()
    slots = range(first, max(first, settings.lighter_max_api_key_index) + 1)
    chain = CHAIN_TESTNET if settings.network == "testnet" else CHAIN_MAINNET
    missing = [slot for slot in slots if slot not in keys]
    if missing:
        raise ValueError(f"no key for Lighter's slots {missing}: set TWINLEG_LIGHTER_KEY_<slot>")
    return Signer(account, chain, {slot: keys[slot] for slot in slots})


def _extended(settings: Settings) -> Keys | None:
    """Raises ValueError. A vault that is not known yet plays no part in the keys: they sign nothing before it is."""
    if settings.extended_api_key is None or settings.extended_private_key is None:
        return None
    return Keys(
        vault=settings.extended_vault or ANY_VAULT,
        private_key=settings.extended_private_key.reveal(),
        api_key=settings.extended_api_key.reveal(),
        public_key=settings.extended_public_key,
    )


def _simulated(where: Endpoints) -> bool:
    return on_this_machine(where.rest) and on_this_machine(where.stream)

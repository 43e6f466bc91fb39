"""One instruction as the program sees it: accounts, clock, and what it logs."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from twinleg_sims.drift import errors
from twinleg_sims.drift.accounts_v2 import LAZER_ORACLE, PRELAUNCH_ORACLE
from twinleg_sims.drift.borsh import Reader
from twinleg_sims.drift.errors import ProgramError
from twinleg_sims.drift.layout import Layout, Record
from twinleg_sims.drift.profile import Profile
from twinleg_sims.drift.words import PRICE

PRICE_DECIMALS = 6
NO_ORACLE = bytes(32)
"""The address of a quote asset's oracle: always one."""


class Accounts(Protocol):
    """The accounts of one transaction. What is written into the data stays if it succeeds."""

    def data(self, address: bytes) -> bytearray | None: ...
    def owner(self, address: bytes) -> bytes | None: ...
    def create(self, address: bytes, data: bytearray, owner: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Meta:
    """An account as an instruction names it."""

    address: bytes
    signer: bool
    writable: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """When. `ts` in seconds."""

    slot: int
    ts: int


@dataclass(frozen=True, slots=True)
class Price:
    """An oracle's price in PRICE units, and how many slots ago it was posted."""

    price: int
    conf: int
    delay: int


@dataclass(slots=True)
class Call:
    """An instruction under way."""

    profile: Profile
    accounts: Accounts
    metas: list[Meta]
    read: Reader
    clock: Clock
    logs: list[str] = field(default_factory=list)
    amm_off: Callable[[int], bool] = lambda _: False
    """Whether a market's AMM is kept from trading."""
    partial: Callable[[int], int | None] = lambda _: None
    """The most of a market's order that one fill may trade, None: all."""

    def log(self, line: str) -> None:
        self.logs.append(f"Program log: {line}")

    def event(self, raw: bytes) -> None:
        self.log(b64encode(raw).decode())

    def account(self, position: int, shape: Layout) -> Record:
        """The account at a position. Raises ProgramError when it is none of ours, or of another kind."""
        if position >= len(self.metas):
            raise ProgramError(errors.NOT_INITIALIZED)
        return self.record(self.metas[position].address, shape)

    def record(self, address: bytes, shape: Layout) -> Record:
        """Raises ProgramError."""
        data = self.accounts.data(address)
        if data is None:
            raise ProgramError(errors.NOT_INITIALIZED)
        found = self.profile.record(shape, data)
        if found is None or self.accounts.owner(address) != self.profile.program:
            raise ProgramError(errors.OWNER)
        return found

    def state(self) -> Record:
        return self.record(self.profile.state_key, self.profile.state)

    def owned_user(self, user_at: int, authority_at: int) -> Record:
        """The user at a position, which the authority (or its delegate) has signed for. Raises ProgramError."""
        user = self.account(user_at, self.profile.user)
        signer = self.metas[authority_at]
        if not signer.signer:
            raise ProgramError(errors.NOT_SIGNER)
        if signer.address not in (user.raw("authority"), user.raw("delegate")):
            raise ProgramError(errors.HAS_ONE)
        return user

    def perp_market(self, index: int) -> Record:
        """A market among the accounts given. Raises ProgramError."""
        return self._given(self.profile.perp_market_key(index), self.profile.perp_market, errors.PERP_MARKET_NOT_FOUND)

    def spot_market(self, index: int) -> Record:
        """Raises ProgramError."""
        return self._given(self.profile.spot_market_key(index), self.profile.spot_market, errors.SPOT_MARKET_NOT_FOUND)

    def price(self, market: Record) -> Price:
        """What a market's oracle says. Raises ProgramError."""
        address = market.raw("oracle")
        if address == NO_ORACLE:
            return Price(PRICE, 0, 0)
        data = self.accounts.data(address)
        if data is None or all(meta.address != address for meta in self.metas):
            raise ProgramError(errors.ORACLE_NOT_FOUND)
        return price_of(self.profile, data, self.clock.slot)

    def users_after(self, position: int) -> Iterator[tuple[bytes, Record]]:
        """The users among the accounts from a position on, each once."""
        seen = set()
        for meta in self.metas[position:]:
            data = self.accounts.data(meta.address)
            found = None if data is None else self.profile.record(self.profile.user, data)
            if found is not None and meta.address not in seen:
                seen.add(meta.address)
                yield meta.address, found

    def _given(self, address: bytes, shape: Layout, missing: int) -> Record:
        if all(meta.address != address for meta in self.metas):
            raise ProgramError(missing)
        return self.record(address, shape)


def price_of(profile: Profile, data: bytearray, slot: int) -> Price:
    """The price of an oracle account. Raises ProgramError when it is none."""
    lazer = profile.record(LAZER_ORACLE, data)
    if lazer is not None:
        shift = -lazer["exponent"] - PRICE_DECIMALS
        price, conf = lazer["price"], lazer["conf"]
        if shift >= 0:
            return Price(price // 10**shift, conf // 10**shift, max(0, slot - lazer["posted_slot"]))
        return Price(price * 10**-shift, conf * 10**-shift, max(0, slot - lazer["posted_slot"]))
    prelaunch = profile.record(PRELAUNCH_ORACLE, data)
    if prelaunch is None:
        raise ProgramError(errors.ORACLE_NOT_FOUND)
    return Price(prelaunch["price"], 0, 0)

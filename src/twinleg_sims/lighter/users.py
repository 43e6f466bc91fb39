"""Who trades here: wallets with their budgets, their accounts with keys, orders, transactions and what they were told.

A user's log is everything that is told to its streams, in order; each channel reads it with a cursor of its own.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from twinleg_sims.account import Account, Mirror
from twinleg_sims.lighter import facts
from twinleg_sims.lighter.errors import RefusedError
from twinleg_sims.lighter.tiers import QUOTA_FREE_EVERY_MS, QUOTA_MAX, QUOTA_START, QUOTA_USD_EACH, TIERS, TierTerms
from twinleg_sims.lighter.wire import Row
from twinleg_sims.limiter import Limiter
from twinleg_sims.orders import OwnOrder
from twinleg_sims.positions import MICRO, Payment, Position

TRADES_KEPT = 3_000
"""Of an account, as its venue keeps them."""
TRANSACTIONS_KEPT = 10_000
LOG_KEPT = 10_000

FAILED, PENDING, EXECUTED = 0, 1, 2
"""A transaction's status."""


@dataclass(slots=True)
class Key:
    """An API key: 40 bytes, and the nonce its next transaction must have."""

    public: bytes
    nonce: int
    registered_ms: int


@dataclass(slots=True)
class Record:
    """A transaction the venue accepted, and what became of it."""

    hash: str
    type: int
    info: str
    account: int
    key: int
    nonce: int
    expires_ms: int
    queued_ms: int
    sequence: int
    status: int = PENDING
    executed_ms: int = 0
    error: RefusedError | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What one moment changed for a user: rows of orders and trades, objects for the rest."""

    orders: tuple[OwnOrder, ...] = ()
    trades: tuple[Row, ...] = ()
    positions: tuple[Position, ...] = ()
    payments: tuple[Payment, ...] = ()
    records: tuple[Row, ...] = ()
    liquidated: tuple[Row, ...] = ()


@dataclass(slots=True)
class ApiToken:
    """A long-lived token that may only read."""

    id: int
    text: str
    name: str
    account: int
    expires_s: int
    sub_accounts: bool
    revoked: bool = False


class Wallet:
    """An Ethereum address with its accounts, which share the tier and every budget."""

    def __init__(self, private: int, address: str, tier: str, scale: float) -> None:
        self.private, self.address = private, address
        self.users: list[User] = []
        self.quota = QUOTA_START
        self._free_ms = 0
        self._traded_micro = 0
        self.tier_changed_ms: int | None = None
        self._scale = scale
        self.set_tier(tier)

    @property
    def terms(self) -> TierTerms:
        return TIERS[self.tier]

    def set_tier(self, tier: str) -> None:
        """Its budgets start afresh. `scale` of the constructor multiplies them (infinity = none)."""
        self.tier = tier
        self.requests = Limiter(self.terms.requests * self._scale)
        self.transactions = Limiter(self.terms.transactions * self._scale)
        for user in self.users:
            user.engine.tier = self.terms.engine

    def spend_quota(self, now_ms: int) -> str:
        """Take one transaction off the volume quota; the venue's words for it. Raises RefusedError."""
        if not self.terms.has_quota or self._scale == float("inf"):
            return "didn't use volume quota"
        if now_ms - self._free_ms >= QUOTA_FREE_EVERY_MS:
            self._free_ms = now_ms
            return "used free tx"
        if self.quota <= 0:
            raise RefusedError(23000)
        self.quota -= 1
        return "used volume quota"

    def traded(self, value_micro: int) -> None:
        """Volume earns quota."""
        self._traded_micro += value_micro
        earned, self._traded_micro = divmod(self._traded_micro, QUOTA_USD_EACH * MICRO)
        self.quota = min(QUOTA_MAX, self.quota + earned)


@dataclass(slots=True)
class User:
    """One account."""

    index: int
    wallet: Wallet
    engine: Account
    created_ms: int
    live: Mirror = field(default_factory=Mirror)
    """What the streams tell."""
    mirror: Mirror = field(default_factory=Mirror)
    """What the read endpoints show: the same, perhaps later."""
    keys: dict[int, Key] = field(default_factory=dict)
    records: OrderedDict[str, Record] = field(default_factory=OrderedDict)
    """By hash, oldest first."""
    trades: OrderedDict[int, Row] = field(default_factory=OrderedDict)
    """By the engine's number of the fill, oldest first."""
    log: deque[tuple[int, Change]] = field(default_factory=lambda: deque(maxlen=LOG_KEPT))
    logged: int = 0
    tokens: list[ApiToken] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    """Symbols ever held or set: they stay listed."""

    @property
    def is_master(self) -> bool:
        return self.wallet.users[0] is self

    def tell(self, change: Change) -> None:
        """Add to the log."""
        self.logged += 1
        self.log.append((self.logged, change))

    def since(self, cursor: int) -> list[Change]:
        """What was logged after `cursor` (a value `logged` had), as far as it is kept."""
        fresh = takewhile(lambda entry: entry[0] > cursor, reversed(self.log))
        return [change for _, change in fresh][::-1]

    def remember(self, record: Record) -> None:
        self.records[record.hash] = record
        if len(self.records) > TRANSACTIONS_KEPT:
            self.records.popitem(last=False)

    def live_order(self, index: int) -> OwnOrder | None:
        """A live order by its own index or by the client's."""
        own = facts.own_order(index)
        if own is not None:
            return self.engine.orders.get(own)
        text = str(index)
        return next((order for order in self.engine.orders.values() if order.wish.client_id == text), None)

    def knows_client_index(self, index: int, now_ms: int) -> bool:
        """Whether a live order (or one that waits for a live one to fill) has it. What never arrived is not known."""
        text, arrived_ms = str(index), now_ms - self.engine.tier.taker_delay_ms
        return any(
            wish.client_id == text
            for order in self.engine.orders.values()
            if order.state != "pending" or order.placed_ms >= arrived_ms
            for wish in (order.wish, *order.wish.children)
        )


class Users:
    """Every user, by account index."""

    def __init__(self) -> None:
        self._users: dict[int, User] = {}

    def __iter__(self) -> Iterator[User]:
        return iter(self._users.values())

    def add(self, user: User) -> None:
        self._users[user.index] = user
        user.wallet.users.append(user)

    def find(self, index: int) -> User:
        """Raises RefusedError."""
        user = self._users.get(index)
        if user is None:
            raise RefusedError(21100)
        return user

    def of_wallet(self, address: str) -> list[User]:
        """A wallet's accounts, the master first. Raises RefusedError."""
        found = [user for user in self if user.wallet.address.lower() == address.lower()]
        if not found:
            raise RefusedError(21100)
        return found

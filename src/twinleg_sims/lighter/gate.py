"""The door for transactions: what is refused here leaves the nonce as it was; what is accepted gets its hash.

In order: type and body, account, key, signature, expiry, nonce, then what the type itself must obey, then the budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha512
from itertools import count
from typing import Literal

from twinleg_sims.accounts import Accounts
from twinleg_sims.lighter import goldilocks, schnorr, transactions
from twinleg_sims.lighter.errors import RefusedError
from twinleg_sims.lighter.sequencer import Act, Sequencer
from twinleg_sims.lighter.transactions import Transaction, TransactionError
from twinleg_sims.lighter.users import Key, Record, User, Users

BATCH_MAX = 50
API_KEY_MAX = 254
SKIPPED_NONCE_MAX = (1 << 47) - 1
SAMPLE_EVERY = 16
"""With "sample", one signature in so many is verified; keys' and tokens' always."""

Signatures = Literal["none", "off", "sample", "all"]
"""How many signatures are verified. "none": nor is anything hashed, and keys are stand-ins that sign nothing."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How the private side is set up. `rest_lag_ms`: how much later than the streams the read endpoints know."""

    chain_id: int = 304
    signatures: Signatures = "sample"
    rest_lag_ms: int = 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """A transaction that may be accepted."""

    user: User
    transaction: Transaction
    info: str
    hash: str
    act: Act


class Gate:
    """Checks transactions and accepts them. `told` hears of each accepted one."""

    def __init__(
        self, users: Users, accounts: Accounts, sequencer: Sequencer, setup: Setup, told: Callable[[User, Record], None]
    ) -> None:
        self._users = users
        self._accounts = accounts
        self._sequencer = sequencer
        self._setup = setup
        self._told = told
        self._seen = count()
        self._sequence = count(1)

    def admit(self, tx_type: int, info: bytes, stamp_ms: int, before: Sequence[Admitted] = ()) -> Admitted:
        """Check one transaction; `before`: those of its batch, `stamp_ms`: the venue's clock. Raises RefusedError."""
        if tx_type not in transactions.TYPES:
            raise RefusedError(21505)
        try:
            asked = transactions.parsed(tx_type, info)
            message, name = self._named(asked, info)
        except TransactionError as error:
            raise RefusedError(21501, str(error)) from error
        user = self._users.find(asked.account_index)
        key = self._key(user, asked)
        self._check_signature(asked, key.public, message)
        if asked.expired_at <= stamp_ms:
            raise RefusedError(21501, "ExpiredAt is over")
        _check_nonce(asked, key, before)
        _check_client_index(asked, before)
        act = self._sequencer.plan(user, asked, stamp_ms)
        return Admitted(user, asked, info.decode(errors="replace"), name, act)

    def accept(self, admitted: Admitted, now_ms: int) -> Record:
        """Spend the nonce and send the transaction on its way."""
        user, asked = admitted.user, admitted.transaction
        key = user.keys.get(asked.api_key_index)
        if key is not None:
            key.nonce = asked.nonce + 1
        record = Record(
            admitted.hash, asked.type, admitted.info, user.index, asked.api_key_index, asked.nonce, asked.expired_at,
            now_ms, next(self._sequence),
        )  # fmt: skip
        user.remember(record)
        self._told(user, record)
        admitted.act(record)
        return record

    def _named(self, asked: Transaction, info: bytes) -> tuple[goldilocks.Quintic, str]:
        """What was signed, and the transaction's hash in hex. Raises TransactionError."""
        if self._setup.signatures == "none":
            return goldilocks.ZERO, stand_in_hash(info)
        message = transactions.tx_hash(self._setup.chain_id, asked)
        return message, goldilocks.to_bytes(message).hex()

    def _key(self, user: User, asked: Transaction) -> Key:
        """The key that must have signed; a new one signs its own registration. Raises RefusedError."""
        if not 0 <= asked.api_key_index <= API_KEY_MAX:
            raise RefusedError(21110)
        key = user.keys.get(asked.api_key_index)
        if isinstance(asked, transactions.ChangePubKey):
            return Key(asked.pub_key, key.nonce if key else 0, 0)
        if key is None or self._accounts.hit("key_revoked", "", user.engine):
            raise RefusedError(21109)
        if self._accounts.hit("nonce_taken", "", user.engine):
            key.nonce += 1
        return key

    def _check_signature(self, asked: Transaction, public: bytes, message: goldilocks.Quintic) -> None:
        """Its size always, the signature itself as the setup says. Raises RefusedError."""
        number = next(self._seen)
        registers = isinstance(asked, transactions.ChangePubKey)
        chosen = self._setup.signatures == "all" or number % SAMPLE_EVERY == 0 or registers
        wanted = self._setup.signatures not in ("none", "off") and chosen
        if len(asked.sig) != schnorr.SIGNATURE_BYTES or (wanted and not schnorr.verify(public, message, asked.sig)):
            raise RefusedError(21120)


def stand_in_hash(info: bytes) -> str:
    """What transactions are called where nothing is signed: 40 bytes in hex, as a function of what was sent."""
    return sha512(info).hexdigest()[: 2 * goldilocks.QUINTIC_BYTES]


def _check_nonce(asked: Transaction, key: Key, before: Sequence[Admitted]) -> None:
    """Strictly the next one, or any later one with the attribute for it. Raises RefusedError."""
    skips = bool(asked.attribute(transactions.SKIP_NONCE))
    expected = key.nonce
    if before:
        last = before[-1].transaction
        if (last.account_index, last.api_key_index) != (asked.account_index, asked.api_key_index):
            raise RefusedError(21121)
        expected = last.nonce + 1
        if asked.nonce != expected and not (skips and asked.nonce > expected):
            raise RefusedError(21105)
    fits = expected <= asked.nonce < SKIPPED_NONCE_MAX if skips else asked.nonce == expected
    if not fits:
        raise RefusedError(21104)


def _check_client_index(asked: Transaction, before: Sequence[Admitted]) -> None:
    """Those of a batch are not placed yet, so the account does not know them. Raises RefusedError."""
    if isinstance(asked, transactions.CreateOrder) and asked.client_order_index:
        given = (one.transaction for one in before if isinstance(one.transaction, transactions.CreateOrder))
        if any(one.client_order_index == asked.client_order_index for one in given):
            raise RefusedError(21728)

"""Who may trade here: API keys, Stark keys and vaults, made from the world's seed, the same each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import fast_stark_crypto

from twinleg_sims.account import Account, Mirror
from twinleg_sims.extended import facts
from twinleg_sims.market import FIRST_OUTSIDE_OWNER

FIRST_ACCOUNT, FIRST_VAULT, FIRST_CLIENT = 100_001, 10_001, 20_001
EVM_ADDRESS_BITS, STARK_KEY_BITS = 160, 248
MEMORY = 100_000


@dataclass(slots=True)
class Member:
    """One account with its keys, and what the venue remembers of it. Keys are 0x hex."""

    account: Account
    mirror: Mirror
    client_id: int
    index: int
    """Among the accounts of its wallet, from 0."""
    api_key: str
    private_key: str
    public_key: str
    vault: int
    wallet: str
    description: str
    claims: list[tuple[int, int]] = field(default_factory=list)
    """The faucet's gifts: (time, micro-USD)."""
    digests: dict[int, None] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)
    """Order hashes and external ids that were used: the last MEMORY of each."""
    verifies: bool = True
    """Whether its orders' signatures are looked at."""

    def remember(self, digest: int, name: str) -> None:
        """An order was accepted."""
        self.digests[digest] = None
        self.names[name] = None
        if len(self.digests) > MEMORY:
            del self.digests[next(iter(self.digests))]
        if len(self.names) > MEMORY:
            del self.names[next(iter(self.names))]

    @property
    def account_id(self) -> int:
        return FIRST_ACCOUNT + self.worker

    @property
    def worker(self) -> int:
        """Its number in snowflake ids."""
        return self.account.id - FIRST_OUTSIDE_OWNER

    def credentials(self) -> dict[str, object]:
        """All that a client of the official SDK is made from; `vault` is a number."""
        return {
            "venue": "extended",
            "name": self.account.name,
            "account_id": self.account_id,
            "client_id": self.client_id,
            "api_key": self.api_key,
            "private_key": self.private_key,
            "public_key": self.public_key,
            "vault": self.vault,
            "starknet_domain": dict(facts.STARKNET_DOMAIN),
        }


def admit(seed: int, account: Account, wallet: str, relatives: Mapping[str, Member]) -> Member:
    """Keys for a new account. `relatives`: the members of its wallet so far, by API key."""
    dice = Random(f"{seed}:extended:{account.id}")
    private = dice.getrandbits(STARK_KEY_BITS) | 1
    number = account.id - FIRST_OUTSIDE_OWNER
    first = next(iter(relatives.values()), None)
    return Member(
        account=account,
        mirror=Mirror(),
        client_id=first.client_id if first else FIRST_CLIENT + number,
        index=len(relatives),
        api_key=f"{dice.getrandbits(128):032x}",
        private_key=hex(private),
        public_key=hex(fast_stark_crypto.get_public_key(private)),
        vault=FIRST_VAULT + number,
        wallet=wallet or f"0x{Random(f'{seed}:wallet:{account.id}').getrandbits(EVM_ADDRESS_BITS):040x}",
        description=account.name or f"Account {len(relatives)}",
    )

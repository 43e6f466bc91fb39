"""Who may trade here: keys, users, and the money they begin with; the same for the same seed and order."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from twinleg_sims.drift import ed25519
from twinleg_sims.drift.genesis import token_account
from twinleg_sims.drift.keys import derived, key, to_base58
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.ledger import SYSTEM_PROGRAM, Ledger
from twinleg_sims.drift.money import TOKEN_PROGRAM, blank_user, credit
from twinleg_sims.drift.words import QUOTE
from twinleg_sims.protocol import AccountError, AccountRequest

ASSOCIATED_TOKEN = key("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMBERS_MAX = 1_000
_LAMPORTS = 100 * 10**9
_WALLET_USD = 1_000_000


@dataclass(frozen=True, slots=True)
class Member:
    """A wallet with one user. `secret` is the 64 byte key pair."""

    secret: bytes
    authority: bytes
    user: bytes
    equity_usd: float


class Members:
    """The wallets of a chain, at most MEMBERS_MAX."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self._ledger = ledger
        self._seed = seed
        self.all: list[Member] = []

    def open(self, asked: AccountRequest) -> Member:
        """A wallet, its user with the equity deposited, and as much again to deposit. Raises AccountError."""
        if asked.equity_usd < 0 or len(self.all) >= MEMBERS_MAX:
            raise AccountError(f"an equity from 0 up, and at most {MEMBERS_MAX} accounts")
        words = f"{self._seed}:{self._ledger.profile.name}:{len(self.all)}:{asked.name}"
        private = sha256(words.encode()).digest()
        authority = ed25519.public_key(private)
        profile, ledger = self._ledger.profile, self._ledger
        address = profile.user_key(authority)
        user = Record(profile.user, profile.blank(profile.user))
        blank_user(user, authority, 0, (asked.name or "Main Account").encode()[:32].ljust(32))
        market = Record(profile.spot_market, bytearray(ledger.held[profile.spot_market_key(0)].data))
        credit(user, market, round(asked.equity_usd * QUOTE))
        ledger.put(profile.spot_market_key(0), market.data, profile.program)
        ledger.put(address, user.data, profile.program)
        stats = Record(profile.user_stats, profile.blank(profile.user_stats))
        stats.put("authority", authority)
        stats["number_of_sub_accounts"] = stats["number_of_sub_accounts_created"] = 1
        ledger.put(profile.stats_key(authority), stats.data, profile.program)
        ledger.put(authority, b"", SYSTEM_PROGRAM, _LAMPORTS)
        mint = profile.quote_mint
        wallet = token_account(mint, authority, _WALLET_USD * QUOTE)
        ledger.put(derived(ASSOCIATED_TOKEN, authority, TOKEN_PROGRAM, mint), wallet, TOKEN_PROGRAM)
        member = Member(private + authority, authority, address, asked.equity_usd)
        self.all.append(member)
        return member

    def shown(self, member: Member) -> dict[str, object]:
        """All that a client is made from."""
        profile = self._ledger.profile
        return {
            "venue": profile.name,
            "program": to_base58(profile.program),
            "private_key": to_base58(member.secret),
            "authority": to_base58(member.authority),
            "user": to_base58(member.user),
            "sub_account_id": 0,
            "quote_mint": to_base58(profile.quote_mint),
            "equity_usd": member.equity_usd,
        }

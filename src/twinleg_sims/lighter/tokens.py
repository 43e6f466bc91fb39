"""Auth tokens: the signed ones of eight hours at most, and long-lived ones that may only read."""

from __future__ import annotations

import re
from hashlib import sha256
from itertools import count

from twinleg_sims.lighter import schnorr
from twinleg_sims.lighter.errors import INVALID_PARAM, RefusedError
from twinleg_sims.lighter.users import ApiToken, User, Users

TOKEN_S_MAX = 8 * 3_600
READ_ONLY_S_MIN, READ_ONLY_S_MAX = 86_400, 10 * 365 * 86_400
READ_ONLY_MAX = 10
TOKENS_KEPT = 100
"""Of an account, revoked ones included."""
NAME_MAX = 50
VERIFIED_KEPT = 10_000
_TOKEN = re.compile(r"((\d{1,15}):(\d{1,15}):(\d{1,3})):([0-9a-fA-F]{160})", re.ASCII)
"""The signed text, its deadline, account and key; the signature."""


class TokenError(RefusedError):
    """A token that opens nothing: code 20001 (the venue's own is not known)."""

    def __init__(self, why: str) -> None:
        super().__init__(INVALID_PARAM)
        self.message = why


class Tokens:
    """Reads tokens. `verifies` False takes signatures for granted."""

    def __init__(self, users: Users, seed: int, *, verifies: bool) -> None:
        self._users = users
        self._seed = seed
        self._verifies = verifies
        self._verified: dict[tuple[str, bytes], None] = {}
        self._ids = count(1)

    def check(self, token: str | None, user: User, now_ms: int) -> None:
        """Whether `token` opens this account now. Raises TokenError."""
        if not token:
            raise TokenError("auth field is required")
        if token.startswith("ro:"):
            self._check_read_only(token, user, now_ms)
            return
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise TokenError("invalid auth: malformed token")
        deadline_s, account, key_index = (int(part) for part in parts.groups()[1:4])
        if deadline_s * 1000 <= now_ms:
            raise TokenError("invalid auth: token is expired")
        if deadline_s * 1000 > now_ms + TOKEN_S_MAX * 1000:
            raise TokenError("invalid auth: token lives too long")
        if account != user.index:
            raise TokenError("invalid auth: token is another account's")
        key = user.keys.get(key_index)
        if key is None or not self._signed(parts[1], parts[5], key.public):
            raise TokenError("invalid auth: signature does not verify")

    def create(self, user: User, name: str, expires_s: int, now_ms: int, *, sub_accounts: bool) -> ApiToken:
        """A new read-only token. Raises RefusedError."""
        if not name:
            raise RefusedError(61007)
        if len(name) > NAME_MAX:
            raise RefusedError(61008)
        if expires_s * 1000 < now_ms + READ_ONLY_S_MIN * 1000:
            raise RefusedError(61001)
        if expires_s * 1000 > now_ms + READ_ONLY_S_MAX * 1000:
            raise RefusedError(61002)
        if sum(not token.revoked for token in user.tokens) >= READ_ONLY_MAX:
            raise RefusedError(61003)
        number = next(self._ids)
        secret = sha256(f"{self._seed}:token:{number}".encode()).hexdigest()
        text = f"ro:{user.index}:{'all' if sub_accounts else 'single'}:{expires_s}:{secret}"
        made = ApiToken(number, text, name, user.index, expires_s, sub_accounts)
        user.tokens.append(made)
        if len(user.tokens) > TOKENS_KEPT:
            user.tokens.remove(next(token for token in user.tokens if token.revoked))
        return made

    def revoke(self, user: User, number: int) -> ApiToken:
        """Raises RefusedError."""
        token = next((token for token in user.tokens if token.id == number), None)
        if token is None:
            raise RefusedError(61005)
        if token.revoked:
            raise RefusedError(61006)
        token.revoked = True
        return token

    def _check_read_only(self, text: str, user: User, now_ms: int) -> None:
        for owner in user.wallet.users:
            for token in owner.tokens:
                if token.text != text:
                    continue
                if token.revoked or token.expires_s * 1000 <= now_ms:
                    raise TokenError("invalid auth: token is expired")
                if owner is user or token.sub_accounts:
                    return
        raise TokenError("invalid auth: no such token")

    def _signed(self, text: str, signature: str, public: bytes) -> bool:
        """Each token is verified once."""
        known = (f"{text}:{signature}", public)
        if not self._verifies or known in self._verified:
            return True
        if not schnorr.verify(public, schnorr.text_hash(text), bytes.fromhex(signature)):
            return False
        if len(self._verified) >= VERIFIED_KEPT:
            del self._verified[next(iter(self._verified))]
        self._verified[known] = None
        return True

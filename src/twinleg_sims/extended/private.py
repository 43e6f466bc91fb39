"""The private side's place: who may come in. There are no accounts yet, so nobody gets further than the door."""

from __future__ import annotations

from twinleg_sims.extended.facts import ErrorCode
from twinleg_sims.extended.replies import RefusedError
from twinleg_sims.protocol import HttpRequest

PREFIXES = ("user", "vault", "builder", "auth")


def refuse(request: HttpRequest) -> RefusedError:
    """Why a private request or the account stream is refused: no key, or a key that opens nothing here."""
    if not request.headers.get("x-api-key"):
        return RefusedError(401, ErrorCode.UNAUTHORIZED, "X-Api-Key is missing")
    return RefusedError(403, ErrorCode.NOT_ALLOWED, "this simulator has no accounts: public endpoints only")

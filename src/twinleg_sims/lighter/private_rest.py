"""The private side over HTTP: finds the endpoint, applies the faults, writes refusals."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from twinleg_sims.lighter import facts, wire
from twinleg_sims.lighter.account_rest import AccountRest
from twinleg_sims.lighter.asked import Asked
from twinleg_sims.lighter.endpoints import Endpoint
from twinleg_sims.lighter.errors import RefusedError
from twinleg_sims.lighter.order_rest import OrderRest
from twinleg_sims.lighter.private import Private
from twinleg_sims.lighter.transaction_rest import TransactionRest
from twinleg_sims.lighter.users import Wallet
from twinleg_sims.listings import LIGHTER
from twinleg_sims.protocol import HttpReply, HttpRequest

SENDS = ("sendTx", "sendTxBatch")
_ACCOUNT = re.compile(r'AccountIndex\\?":\s*(\d{1,15})')
_TOKEN_ACCOUNT = re.compile(r"(?:ro|\d+):(\d{1,15}):")


class PrivateRest:
    """Answers private requests."""

    def __init__(self, private: Private) -> None:
        self._private = private
        self._table: dict[str, tuple[str, Endpoint]] = {}
        for endpoints in (TransactionRest(private), AccountRest(private), OrderRest(private)):
            self._table |= endpoints.table

    def knows(self, name: str) -> bool:
        return name in self._table

    def payer(self, name: str, request: HttpRequest) -> Wallet | None:
        """Whose budget a request is counted on: the wallet of its token or transaction; None means its address's."""
        if not self.knows(name):
            return None
        if name in SENDS:
            found = _ACCOUNT.search(unquote_plus(request.body.decode(errors="replace")))
        else:
            found = _TOKEN_ACCOUNT.match(request.headers.get("authorization") or request.first("auth") or "")
        index = int(found[1]) if found else 0
        return next((user.wallet for user in self._private.users if user.index == index), None)

    def answer(self, name: str, request: HttpRequest, now_ms: int) -> HttpReply:
        """The reply to a request that is within its budget."""
        faults = self._private.view.faults
        method, endpoint = self._table[name]
        if request.method != method:
            return HttpReply(405, wire.error(facts.INVALID_PARAM, f"{request.method} is not allowed"))
        if faults.active(LIGHTER, "maintenance", now_ms):
            return RefusedError(29500).reply
        try:
            body = wire.encode(endpoint(Asked(request), now_ms))
        except RefusedError as refused:
            return refused.reply
        nulls = faults.active(LIGHTER, "null_lists", now_ms)
        return HttpReply(200, body.replace(b":[]", b":null") if nulls else body)

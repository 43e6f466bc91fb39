"""REST for transactions: nonces, sending, looking them up."""

from __future__ import annotations

from twinleg_sims.lighter import wire
from twinleg_sims.lighter.asked import Asked
from twinleg_sims.lighter.endpoints import OK, Endpoints
from twinleg_sims.lighter.errors import RefusedError, parameter
from twinleg_sims.lighter.private import Private, parsed_batch
from twinleg_sims.lighter.users import Record, User
from twinleg_sims.lighter.wire import Row


class TransactionRest(Endpoints):
    """nextNonce, sendTx, sendTxBatch, tx, accountTxs."""

    def __init__(self, private: Private) -> None:
        super().__init__(private)
        self.table = {
            "nextNonce": ("GET", self._next_nonce),
            "sendTx": ("POST", self._send_tx),
            "sendTxBatch": ("POST", self._send_tx_batch),
            "tx": ("GET", self._tx),
            "accountTxs": ("GET", self._account_txs),
        }

    def _next_nonce(self, asked: Asked, _: int) -> Row:
        user = self._private.users.find(asked.number("account_index"))
        key = user.keys.get(asked.number("api_key_index", high=254))
        return OK | {"nonce": key.nonce if key else 0}

    def _send_tx(self, asked: Asked, now_ms: int) -> Row:
        if self._private.accounts.hit("refused_ack"):
            return {"code": 21506, "message": "too many pending txs. Please try again later"}
        tx_type, info = asked.number("tx_type", high=255), asked.text("tx_info").encode()
        record, words = self._private.send(tx_type, info, now_ms)
        return self._ack(record.account, words) | {
            "tx_hash": record.hash,
            "predicted_execution_time_ms": self._private.predicted_ms(record, now_ms),
        }

    def _send_tx_batch(self, asked: Asked, now_ms: int) -> Row:
        batch = parsed_batch(asked.text("tx_types"), asked.text("tx_infos"))
        records, words = self._private.send_batch(batch, now_ms)
        return self._ack(records[0].account, words) | {
            "tx_hash": [record.hash for record in records],
            "predicted_execution_time_ms": self._private.predicted_ms(records[-1], now_ms),
        }

    def _ack(self, account: int, words: str) -> Row:
        quota = self._private.users.find(account).wallet.quota
        told = wire.encode({"ratelimit": words}).decode()
        return OK | {"message": told, "volume_quota_remaining": quota}

    def _tx(self, asked: Asked, now_ms: int) -> Row:
        by, value = asked.text("by"), asked.text("value")
        if by not in ("hash", "sequence_index"):
            raise parameter("by")
        for user in self._private.users:
            record = user.records.get(value) if by == "hash" else _numbered(user, value)
            if record is not None:
                return OK | self._private.transaction_row(record, now_ms) | {"committed_at": 0, "verified_at": 0}
        raise RefusedError(21500)

    def _account_txs(self, asked: Asked, now_ms: int) -> Row:
        if asked.text("by") != "account_index":
            raise parameter("by")
        user = self._user_of(asked, now_ms, "value")
        kinds = asked.optional("types")
        records = [record for record in reversed(user.records.values()) if kinds in (None, str(record.type))]
        start = asked.number("index", 0)
        chosen = records[start : start + asked.limit()]
        return OK | {"txs": [self._private.transaction_row(record, now_ms) for record in chosen]}


def _numbered(user: User, sequence: str) -> Record | None:
    return next((record for record in user.records.values() if str(record.sequence) == sequence), None)

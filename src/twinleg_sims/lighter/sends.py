"""Transactions over the socket: jsonapi/sendtx and jsonapi/sendtxbatch, answered with the id they came with.

The faults that hit writes over HTTP (faults.py) hit these here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec

from twinleg_sims.faults import Fault
from twinleg_sims.lighter import wire
from twinleg_sims.lighter.errors import RefusedError
from twinleg_sims.lighter.private import Private, parsed_batch
from twinleg_sims.lighter.wire import Row
from twinleg_sims.listings import LIGHTER
from twinleg_sims.protocol import Close, Frame, Out

SEND, SEND_BATCH = "jsonapi/sendtx", "jsonapi/sendtxbatch"
KINDS = (SEND, SEND_BATCH)
GONE = 1006
LATE_MAX = 10_000
"""What the faults hold back beyond this pushes the oldest out."""


class SendData(msgspec.Struct):
    """What a send carries: one transaction (its body an object, or the text of one), or a batch's two texts."""

    id: str | int | None = None
    tx_type: int | None = None
    tx_info: msgspec.Raw = msgspec.Raw(b"null")
    tx_types: str | None = None
    tx_infos: str | None = None


@dataclass(frozen=True, slots=True)
class _Late:
    due_ms: int
    connection: int
    kind: str
    data: SendData | None
    frame: Frame | None


class Sends:
    """Takes sends of every connection. Late ones are done, and late answers given, by `advance`."""

    def __init__(self, private: Private) -> None:
        self._private = private
        self._late: deque[_Late] = deque(maxlen=LATE_MAX)

    def take(self, connection: int, kind: str, data: SendData | None, now_ms: int) -> list[Out]:
        """What to answer at once."""
        if data is None:
            return [_refusal(connection, None, RefusedError(21501))]
        if self._hit("lost_request", now_ms):
            return [Close(connection, GONE, "lost")]
        if late := self._hit("late_request", now_ms):
            self._late.append(_Late(now_ms + int(late.value), connection, kind, data, None))
            return [Close(connection, GONE, "late")]
        if self._private.view.faults.active(LIGHTER, "write_429", now_ms):
            return [_refusal(connection, data, RefusedError(23000))]
        answer = self._done(connection, kind, data, now_ms)
        if self._hit("lost_ack", now_ms):
            return [Close(connection, GONE, "lost ack")]
        if self._hit("error_ack", now_ms):
            return [_refusal(connection, data, RefusedError(29500))]
        if late := self._hit("late_ack", now_ms):
            self._late.append(_Late(now_ms + int(late.value), connection, kind, None, answer))
            return []
        return [answer]

    def advance(self, now_ms: int) -> list[Out]:
        """What is due by now."""
        outs: list[Out] = []
        for late in [late for late in self._late if late.due_ms <= now_ms]:
            self._late.remove(late)
            if late.frame is not None:
                outs.append(late.frame)
            elif late.data is not None:
                self._done(late.connection, late.kind, late.data, now_ms)  # nobody is there any more to be answered
        return outs

    def _done(self, connection: int, kind: str, data: SendData, now_ms: int) -> Frame:
        try:
            row = self._sent(data, now_ms) if kind == SEND else self._sent_batch(data, now_ms)
        except RefusedError as refused:
            return _refusal(connection, data, refused)
        return Frame(connection, wire.encode({"code": 200, "id": data.id, **row, "type": kind}), "ack")

    def _sent(self, data: SendData, now_ms: int) -> Row:
        if data.tx_type is None:
            raise RefusedError(21501)
        if self._private.accounts.hit("refused_ack"):
            raise RefusedError(21506)
        record, words = self._private.send(data.tx_type, _body(data.tx_info), now_ms)
        return {
            "message": wire.encode({"ratelimit": words}).decode(),
            "predicted_execution_time_ms": self._private.predicted_ms(record, now_ms),
            "tx_hash": record.hash,
        }

    def _sent_batch(self, data: SendData, now_ms: int) -> Row:
        records, words = self._private.send_batch(parsed_batch(data.tx_types or "", data.tx_infos or ""), now_ms)
        return {
            "message": wire.encode({"ratelimit": words}).decode(),
            "predicted_execution_time_ms": self._private.predicted_ms(records[-1], now_ms),
            "tx_hash": [record.hash for record in records],
        }

    def _hit(self, kind: str, now_ms: int) -> Fault | None:
        fault = self._private.view.faults.active(LIGHTER, kind, now_ms)
        return fault if fault and fault.hit(0, now_ms) else None


def _body(info: msgspec.Raw) -> bytes:
    """The JSON of a body. Raises RefusedError."""
    data = bytes(info)
    if not data.startswith(b'"'):
        return data
    try:
        return msgspec.json.decode(data, type=str).encode()
    except msgspec.DecodeError as error:
        raise RefusedError(21501, str(error)) from error


def _refusal(connection: int, data: SendData | None, refused: RefusedError) -> Frame:
    row: Row = {"error": {"code": refused.code, "message": refused.message}}
    if data is not None and data.id is not None:
        row["id"] = data.id
    return Frame(connection, wire.encode(row), "ack")

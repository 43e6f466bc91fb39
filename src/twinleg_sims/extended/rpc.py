"""The v2 stream's JSON-RPC: requests as data, acknowledgements and errors as text. Ids are echoed as strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from twinleg_sims.extended.facts import RpcErrorCode


class RpcError(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, code: RpcErrorCode, message: str, request_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id

    @property
    def payload(self) -> bytes:
        """The answer."""
        error = {"code": int(self.code), "message": self.message, "data": None}
        return msgspec.json.encode({"id": self.request_id, "error": error, "jsonrpc": "2.0"})


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request; its method and params are yet to be judged."""

    id: str
    method: str
    params: dict[str, Any]

    def result(self, **fields: object) -> bytes:
        """The answer that all went well."""
        result = {"method": self.method, "status": "OK", **fields}
        return msgspec.json.encode({"id": self.id, "result": result, "jsonrpc": "2.0"})

    def error(self, code: RpcErrorCode, message: str) -> RpcError:
        """The answer that it did not."""
        return RpcError(code, message, self.id)


def parse(payload: bytes) -> Request:
    """One request. Raises RpcError: not JSON, or not a request."""
    try:
        message = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RpcError(RpcErrorCode.PARSE_ERROR, "Parse error") from error
    if not isinstance(message, dict) or not isinstance(message.get("id"), str | int):
        raise RpcError(RpcErrorCode.INVALID_REQUEST, "Invalid request")
    request_id = str(message["id"])
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str) or not isinstance(params, dict):
        raise RpcError(RpcErrorCode.INVALID_REQUEST, "Invalid request", request_id)
    return Request(request_id, method, params)

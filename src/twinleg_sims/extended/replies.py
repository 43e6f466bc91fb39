"""The venue's REST envelope."""

from __future__ import annotations

from typing import Any

import msgspec

from twinleg_sims.extended.facts import ErrorCode
from twinleg_sims.protocol import HttpReply


class RefusedError(Exception):
    """A request the venue refuses: HTTP status, the venue's own code, and words."""

    def __init__(self, status: int, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def reply(self) -> HttpReply:
        """The error body: HTTP 4xx with an integer code."""
        error = {"code": int(self.code), "message": self.message, "debugInfo": ""}
        return HttpReply(self.status, msgspec.json.encode({"status": "ERROR", "error": error}))


def ok(data: Any, cursor: int | None = None) -> HttpReply:
    """A success. With `cursor`, `data` is a page of a list: its last row's id."""
    body: dict[str, Any] = {"status": "OK", "data": data}
    if cursor is not None:
        body["pagination"] = {"cursor": cursor, "count": len(data)}
    return HttpReply(200, msgspec.json.encode(body))

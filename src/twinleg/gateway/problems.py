"""What is answered when something is not done: problem details (RFC 9457), with a stable `code` for programs.

No answer shows a stack, a secret, or what was sent to us.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

LOG = logging.getLogger("twinleg.gateway")

MEDIA_TYPE = "application/problem+json"
ERRORS_SHOWN_MAX = 20
TEXT_CHARS_MAX = 300
STATUS_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class ProblemDetails(BaseModel):
    """The shape of every refusal."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    """Stable, for programs."""
    detail: str


class Problem(HTTPException):
    """A request is not done, or not known to be. `more` is added to the answer."""

    def __init__(
        self, status: int, code: str, detail: str, more: Mapping[str, object] | None = None, wait_s: float | None = None
    ) -> None:
        """`wait_s` says when to come again."""
        headers = None if wait_s is None else {"Retry-After": str(max(1, math.ceil(wait_s)))}
        super().__init__(status, detail, headers)
        self.code, self.more = code, dict(more or {})

    @property
    def body(self) -> dict[str, object]:
        """As it is answered, and told to those who follow events."""
        title = HTTPStatus(self.status_code).phrase
        shown = {"type": "about:blank", "title": title, "status": self.status_code, "code": self.code}
        return {**shown, "detail": self.detail, **self.more}


def answer(problem: Problem) -> Response:
    """The response of a problem."""
    return Response(msgspec.json.encode(problem.body), problem.status_code, problem.headers, MEDIA_TYPE)


def invalid(error: RequestValidationError) -> Problem:
    """What is wrong with a request, field by field; never what the field held."""
    wrong = [
        {"field": ".".join(map(str, one["loc"][1:] or one["loc"])), "problem": str(one["msg"])[:TEXT_CHARS_MAX]}
        for one in error.errors()[:ERRORS_SHOWN_MAX]
    ]
    named = "; ".join(f"{one['field']}: {one['problem']}" for one in wrong)
    return Problem(422, "invalid", named[:TEXT_CHARS_MAX] or "the request is not valid", {"errors": wrong})


def install(app: FastAPI) -> None:
    """Answer every failure of the application with a problem."""

    async def of_http(_request: Request, error: HTTPException) -> Response:
        if isinstance(error, Problem):
            return answer(error)
        code = STATUS_CODES.get(error.status_code, "refused")
        problem = Problem(error.status_code, code, str(error.detail)[:TEXT_CHARS_MAX])
        problem.headers = error.headers
        return answer(problem)

    async def of_ours(_request: Request, error: Exception) -> Response:
        LOG.error("our own code failed", exc_info=error)
        return answer(Problem(503, "internal", "the gateway itself failed at this request; its log says where"))

    app.add_exception_handler(HTTPException, of_http)  # type: ignore[arg-type]  # starlette types the handler wider
    app.add_exception_handler(Exception, of_ours)

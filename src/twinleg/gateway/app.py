"""The gateway's application: venues over HTTP, events over WebSocket.

Importing it starts nothing: settings are read when the server starts. A failed start says why in one message and ends
the process with a code that is not zero.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from twinleg import __version__
from twinleg.gateway import orders, problems, reads, streaming, unified
from twinleg.gateway.access import Access
from twinleg.gateway.placing import Placing
from twinleg.gateway.problems import Problem
from twinleg.gateway.site import Site, StartError, site
from twinleg.runtime.settings_load import SettingsError, load

LOG = logging.getLogger("twinleg.gateway")
ABOUT = "Orders, accounts and markets of Lighter and Extended over HTTP, and every order event over WebSocket."


class Gateway(FastAPI):
    """An application whose failed start is told without a stack: what is wrong is the user's to put right."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)
            return

        async def told(message: Any) -> None:
            why = getattr(self.state, "not_started", None)
            if message["type"] == "lifespan.startup.failed" and why is not None:
                message = {**message, "message": why}
            await send(message)

        await super().__call__(scope, receive, told)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect, serve, put away. Raises SettingsError and StartError."""
    app.state.not_started = None
    try:
        loaded = load()
        for warning in loaded.warnings:
            LOG.warning("%s", warning)
        standing = site(loaded.settings)
        app.state.site = await standing.__aenter__()
    except (SettingsError, StartError) as error:
        app.state.not_started = f"The gateway cannot start. {error}"
        raise
    try:
        app.state.placing = Placing(app.state.site)
        yield
    finally:
        await standing.__aexit__(None, None, None)


app = Gateway(title="twinleg", version=__version__, description=ABOUT, lifespan=_lifespan)
app.add_middleware(Access)
problems.install(app)
app.include_router(orders.router)
app.include_router(unified.router)
app.include_router(reads.router)
app.include_router(streaming.router)


@app.exception_handler(RequestValidationError)
async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """What makes no sense is answered, and told to who follows if it was an order."""
    problem: Problem = problems.invalid(error)
    found: Site = request.app.state.site
    body = error.body if isinstance(error.body, dict) else None
    named = request.url.path.removeprefix("/orders").strip("/").partition("/")[0]
    venue = named or (body or {}).get("venue")
    if request.method in ("POST", "PATCH") and venue in ("lighter", "extended", "drift") and body is not None:
        found.events.publish(venue, {"venue": venue, **_tellable(body)}, problem.body)
    return problems.answer(problem)


def _tellable(body: dict[str, Any]) -> dict[str, Any]:
    """What was sent, unless no JSON of ours can hold it: half characters, numbers without end, endless nesting."""
    try:
        msgspec.json.encode(body)
    except (UnicodeEncodeError, OverflowError, RecursionError, ValueError):
        return {"unreadable": True}
    return body

"""The gateway's application. In this version it only says how it is; the venues' endpoints come later.

Importing it starts nothing: settings are read when the server starts, and a mistake in them ends the start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from fastapi import FastAPI, Request
from pydantic import BaseModel

from twinleg import __version__
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import load

NOTICE = "This version serves /health only: orders, reads and streams of the venues come in a later version."


class Health(BaseModel):
    """The answer of GET /health."""

    status: str
    version: str
    mode: str
    """TRADING_MODE, as set."""
    orders: Literal["refused"]
    """Whether orders are accepted: not in this version."""
    notice: str


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.settings = load().settings
    yield


app = FastAPI(title="twinleg", version=__version__, description=NOTICE, lifespan=_lifespan)


@app.get("/health")
async def health(request: Request) -> Health:
    """Whether the gateway is up, its version and mode, and what it can do."""
    settings: Settings = request.app.state.settings
    return Health(status="ok", version=__version__, mode=settings.trading_mode, orders="refused", notice=NOTICE)

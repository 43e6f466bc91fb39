"""The gateway says how it is, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from twinleg import __version__
from twinleg.gateway.app import app
from twinleg.runtime.settings_load import SettingsError


@pytest.fixture
async def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    (tmp_path / ".env").write_text("TRADING_MODE=paper_trading\n")
    (tmp_path / "twinleg.toml").touch()
    monkeypatch.chdir(tmp_path)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # uvicorn has no event for it
        assert not serving.done()
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    await serving


async def test_health(address: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/health") as reply:
        assert reply.status == 200
        answer = await reply.json()
    notice = answer.pop("notice")
    assert answer == {"status": "ok", "version": __version__, "mode": "dry_run", "orders": "refused"}
    assert "later version" in notice


async def test_everything_else_is_not_there(address: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{address}/orders", json={}) as reply:
        assert reply.status == 404


async def test_bad_settings_end_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("TRADING_MOD=live\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="TRADING_MODE"):
        async with app.router.lifespan_context(app):
            raise AssertionError("started in spite of them")

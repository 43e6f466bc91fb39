"""How the gateway starts, or says why it does not: one message, no stack, an exit code that is not zero."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import aiohttp
import pytest
from gateway_process import WAIT_S, Venues, call, command, failing, home, serving, until

from twinleg import __version__
from twinleg.gateway.app import app
from twinleg.gateway.site import serves_orders
from twinleg.runtime.settings_load import load

NOBODY = "http://127.0.0.1:1"
OTHER_KEY = "1" * 80


def refused(folder: Path, *arguments: str, **settings: str) -> str:
    """Why it does not start."""
    code, words = failing(folder, *arguments, **settings)
    assert code != 0
    assert "Traceback" not in words, words
    assert words.count("cannot start") == 1, words
    return words


def without(settings: dict[str, str], *prefixes: str) -> dict[str, str]:
    return {name: value for name, value in settings.items() if not name.startswith(prefixes)}


def test_nothing_enabled(tmp_path: Path) -> None:
    words = refused(tmp_path)
    for name in ("LIGHTER_PRIVATE_KEY", "LIGHTER_ACCOUNT_INDEX", "EXTENDED_API_KEY", "EXTENDED_PRIVATE_KEY"):
        assert name in words


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRADING_MOD=live\n")
    assert "TRADING_MODE" in refused(tmp_path)


def test_real_addresses_are_not_traded(tmp_path: Path, simulated: Venues) -> None:
    words = refused(tmp_path, **without(simulated.settings, "LIGHTER_BASE", "LIGHTER_WS"))
    assert "mainnet.zklighter" in words
    assert "TRADING_MODE=dry_run" in words


def test_a_venue_that_does_not_answer(tmp_path: Path, simulated: Venues) -> None:
    words = refused(tmp_path, **{**simulated.settings, "LIGHTER_BASE_URL": NOBODY})
    assert "lighter: its markets cannot be read" in words
    assert "LIGHTER_BASE_URL" in words


def test_a_key_that_is_not_the_accounts(tmp_path: Path, simulated: Venues) -> None:
    words = refused(tmp_path, **{**simulated.settings, "LIGHTER_PRIVATE_KEY": OTHER_KEY})
    assert "lighter: the keys are not the account's" in words
    assert "LIGHTER_API_KEY_INDEX" in words
    assert OTHER_KEY not in words


def test_every_venue_that_fails_is_told(tmp_path: Path, simulated: Venues) -> None:
    wrong = {"LIGHTER_PRIVATE_KEY": OTHER_KEY, "EXTENDED_API_KEY": "f" * 32}
    words = refused(tmp_path, **{**simulated.settings, **wrong})
    assert "lighter: " in words
    assert "extended: its keys cannot be checked: 401" in words


def test_more_than_one_worker(tmp_path: Path, simulated: Venues) -> None:
    code, words = failing(tmp_path, "--workers", "2", **simulated.settings)
    assert code == 0 or "worker" in words  # uvicorn's parent has no code of its own for it
    assert "More than one worker" in words
    assert "Traceback" not in words


def test_one_gateway_per_folder_and_account(tmp_path: Path, simulated: Venues) -> None:
    lighter = without(simulated.settings, "EXTENDED_")
    (tmp_path / "other").mkdir()
    with serving(tmp_path, **lighter):
        assert "serves the gateway already" in refused(tmp_path, **lighter)
        held = refused(tmp_path, **{**lighter, "TWINLEG_DATA_DIR": str(tmp_path / "other")})
        assert "lighter: " in held
        assert "stop it first" in held
    with serving(tmp_path, **lighter) as address:  # given back
        assert call("GET", f"{address}/health").body["lighter_connected"]


def test_a_dry_run_reads_and_sends_nothing(tmp_path: Path, simulated: Venues) -> None:
    extended = without(simulated.settings, "LIGHTER_") | {"TRADING_MODE": "dry_run"}
    with serving(tmp_path, **extended) as address:
        answer = call("GET", f"{address}/health")
        assert answer.body == {
            "status": "ok",
            "drift_connected": False,
            "lighter_connected": False,
            "extended_connected": True,
            "orders": "refused",
            "version": __version__,
            "mode": "dry_run",
            "reasons": [],
        }
        assert call("GET", f"{address}/balances").body["rows"][0]["equity_usd"] == pytest.approx(50_000, rel=0.1)
        order = {"market": "BTC-USD", "side": "buy", "qty": "0.001", "price": "10000"}
        assert call("POST", f"{address}/orders/extended", order).body["code"] == "dry_run"
        other = {"market_index": 0, "client_order_index": 1, "base_amount": 100, "is_ask": False, "price": 1}
        assert call("POST", f"{address}/orders/lighter", other).body["code"] == "venue_disabled"


@pytest.mark.parametrize(
    ("mode", "sent"), [({}, True), ({"TRADING_MODE": "live"}, True), ({"TRADING_MODE": "dry_run"}, False)]
)
def test_only_a_dry_run_that_was_asked_for_refuses_orders(mode: dict[str, str], sent: bool) -> None:
    assert serves_orders(load(environ=mode, read_files=False).settings) is sent


def test_importing_it_connects_nothing() -> None:
    assert not hasattr(app.state, "site")


async def test_it_stops_at_once_though_somebody_follows(tmp_path: Path, simulated: Venues) -> None:
    """uvicorn tells followers, and leases are given back for the next one."""
    extended = without(simulated.settings, "LIGHTER_", "TWINLEG_LIGHTER")
    with serving(tmp_path, **extended) as address:
        session = aiohttp.ClientSession()
        socket = await session.ws_connect(f"{address}/ws/events")
    message = await asyncio.wait_for(socket.receive(), WAIT_S)
    assert message.type is aiohttp.WSMsgType.CLOSE
    await session.close()
    leases = list((tmp_path / ".local/state/twinleg/leases").glob("extended-*.lease"))
    assert len(leases) == 1
    assert leases[0].read_text().split()[0] == "-"


def test_a_reload_hands_the_lease_over(tmp_path: Path, simulated: Venues) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "changed.py").touch()
    extended = without(simulated.settings, "LIGHTER_", "TWINLEG_LIGHTER")
    log = tmp_path / "reload.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            command("--reload", "--reload-dir", str(watched)),
            cwd=tmp_path,
            env=home(tmp_path, **extended),
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: log.read_text().count("startup complete") == 1)

        def reloaded() -> bool:
            if "Reloading" not in log.read_text():
                (watched / "changed.py").touch()
            return log.read_text().count("startup complete") == 2

        until(reloaded)
        assert "cannot start" not in log.read_text()
    finally:
        child.terminate()
        child.wait(WAIT_S)

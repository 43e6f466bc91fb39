"""Run a simulated Drift (or Velocity) venue over real sockets, beside no other: `python -m twinleg_sims.drift`.

Prints one JSON line when it is ready: where it listens and the accounts that were asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from dataclasses import asdict

import msgspec

from twinleg_sims.drift.core import DriftCore, Setup
from twinleg_sims.drift.profile import PROFILES
from twinleg_sims.fault_kinds import DRIFT_KINDS
from twinleg_sims.faults import FaultError, Faults
from twinleg_sims.protocol import AccountError, AccountRequest
from twinleg_sims.server import running
from twinleg_sims.world import World

CANNOT_START = 2
WORLD_ASSETS = 4


def main() -> int:
    """Serve until interrupted. 0 when stopped, 2 when it cannot start."""
    settings = _settings()
    try:
        world = World(settings.seed, WORLD_ASSETS, time.time_ns() // 1_000_000)
        faults = Faults()
        for text in settings.fault:
            faults.add_text(f"drift:{text}", world.now_ms)
        core = DriftCore(world, faults, Setup(PROFILES[settings.profile], settings.slot_ms, settings.landing_slots))
        accounts = [core.open_account(AccountRequest(equity_usd=equity)) for equity in settings.account]
    except (AccountError, FaultError) as error:
        return _cannot_start(error)
    try:
        asyncio.run(_serve(settings, world, core, faults, accounts))
    except OSError as error:
        return _cannot_start(error)
    return 0


def _settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m twinleg_sims.drift",
        description=__doc__,
        epilog="Faults: " + "; ".join(f"{kind}: {effect}" for kind, effect in DRIFT_KINDS.items()),
    )
    parser.add_argument("--seed", type=int, default=7, help="the world's seed (7)")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="drift", help="which program (drift)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=8899, help="of the node; its WebSocket is at the next; 0 = any free"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds per second (1)")
    parser.add_argument("--slot-ms", type=int, default=400, help="how long a slot lasts (400)")
    parser.add_argument("--landing-slots", type=int, default=1, help="from sent to in a block (1)")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="KIND[:KEY=VALUE,..]", help='such as "tx_dropped:count=2"'
    )
    parser.add_argument(
        "--account", action="append", type=float, default=[], metavar="EQUITY_USD", help="open an account"
    )
    settings = parser.parse_args()
    if not settings.speed > 0 or settings.slot_ms < 1:
        parser.error("--speed and --slot-ms must be positive")
    return settings


async def _serve(
    settings: argparse.Namespace, world: World, core: DriftCore, faults: Faults, accounts: list[dict[str, object]]
) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    ports = {core.name: settings.port}
    async with running(world, [core], faults, speed=settings.speed, host=settings.host, ports=ports) as sims:
        urls = asdict(sims.urls[core.name])
        ready = {"event": "ready", "now_ms": sims.now_ms, core.name: urls, "accounts": accounts}
        print(msgspec.json.encode(ready).decode(), flush=True)  # noqa: T201
        assert sims.life is not None, "running sets it"
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait([waiting, sims.life], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()


def _cannot_start(error: Exception) -> int:
    print(f"twinleg_sims.drift: {error}", file=sys.stderr)  # noqa: T201
    return CANNOT_START


if __name__ == "__main__":
    sys.exit(main())

"""Serve the simulated venues: python -m twinleg_sims --seed 7 --assets 40 --port-base 9100."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from twinleg_sims.drift.core import DriftCore
from twinleg_sims.drift.core import Setup as DriftSetup
from twinleg_sims.drift.profile import PROFILES
from twinleg_sims.extended import facts as extended_facts
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.fault_kinds import DRIFT_KINDS, KINDS, PUBLIC_KINDS
from twinleg_sims.faults import Faults
from twinleg_sims.lighter import facts as lighter_facts
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.lighter.gate import Setup
from twinleg_sims.listings import ASSETS_MAX, DRIFT, VENUES
from twinleg_sims.protocol import AccountError, AccountRequest, Core
from twinleg_sims.server import running
from twinleg_sims.world import World

CANNOT_START = 2
FAULT_SPAN_S = 3_600


@dataclass(frozen=True, slots=True)
class Served:
    """What is to be served. `accounts`: what their clients need."""

    world: World
    faults: Faults
    cores: list[Core]
    accounts: list[dict[str, object]]


def main() -> int:
    """Parse the command line and serve until interrupted. 0 when stopped, 2 when it cannot start."""
    settings = _settings()
    try:
        world = World(settings.seed, settings.assets, time.time_ns() // 1_000_000)
        faults = _faults(world, settings)
        cores = _cores(world, faults, settings)
        accounts = [_account(cores, text) for text in settings.account]
    except ValueError as error:
        return _cannot_start(error)
    try:
        asyncio.run(_serve(settings, Served(world, faults, cores, accounts)))
    except OSError as error:
        return _cannot_start(error)
    return 0


def _cannot_start(error: Exception) -> int:
    print(f"twinleg_sims: {error}", file=sys.stderr)  # noqa: T201
    return CANNOT_START


def _settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m twinleg_sims",
        description=__doc__,
        epilog="Faults: " + "; ".join(f"{kind}: {effect}" for kind, effect in DRIFT_KINDS.items()),
    )
    parser.add_argument("--seed", type=int, default=7, help="the world's seed (7)")
    parser.add_argument("--assets", type=int, default=40, help=f"how many assets, 1 to {ASSETS_MAX} (40)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port-base", type=int, default=9100, help="Lighter's port, Extended's is the next; 0 = any free"
    )
    parser.add_argument(
        "--drift",
        choices=sorted(PROFILES),
        help="serve this program's chain, too: its node on the second port after Lighter's, its streams on the third",
    )
    parser.add_argument(
        "--program", type=Path, metavar="FILE.so", help="run this binary of --drift's program; needs solders"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds per second (1)")
    parser.add_argument("--rate-limits", choices=("real", "off"), default="real", help="the venues' request budgets")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="VENUE:KIND[:KEY=VALUE,..]",
        help='such as "lighter:gap:market=ETH,at_s=20"; keys: market, at_s, for_s, count, value; may be repeated',
    )
    parser.add_argument("--fault-seed", type=int, help="a random, repeatable hour of faults")
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="VENUE[:KEY=VALUE,..]",
        help='open an account, such as "extended:equity_usd=5000,name=main"; its keys come with the ready line; '
        "keys: equity_usd, name, wallet, taker_bps, maker_bps, and Lighter's tier (standard, premium, plus); "
        "may be repeated",
    )
    parser.add_argument(
        "--verify-signatures",
        choices=("off", "sample", "all"),
        default="sample",
        help="of Lighter's transactions, some 15 ms each: none, one in 16, all; tokens and new keys with the last two",
    )
    parser.add_argument("--chain-id", type=int, default=304, help="of Lighter's transactions (304)")
    parser.add_argument(
        "--rest-lag-ms", type=int, default=0, help="how much later than streams Lighter's reads know (0)"
    )
    parser.add_argument("--end-with-stdin", action="store_true", help="end when standard input does: with the parent")
    settings = parser.parse_args()
    if not settings.speed > 0:
        parser.error("--speed must be positive")
    return settings


def _faults(world: World, settings: argparse.Namespace) -> Faults:
    """The faults of the command line. Raises FaultError."""
    faults = Faults()
    for text in settings.fault:
        faults.add_text(text, world.now_ms)
    if settings.fault_seed is not None:
        symbols = {venue: [market.symbol for market in world.markets(venue)] for venue in VENUES}
        kinds = KINDS if settings.account else PUBLIC_KINDS
        faults.add_seeded(settings.fault_seed, symbols, world.now_ms, FAULT_SPAN_S, kinds)
    return faults


def _account(cores: list[Core], text: str) -> dict[str, object]:
    """Open an account of the command line. Raises AccountError."""
    venue, _, rest = text.partition(":")
    pairs = [setting.partition("=") for setting in filter(None, rest.split(","))]
    core = next((core for core in cores if core.name == venue), None)
    if core is None or not all(equals for _, equals, _ in pairs):
        raise AccountError(f"{text!r} is not VENUE or VENUE:KEY=VALUE,..")
    fields = {key: value for key, _, value in pairs}
    try:
        asked = msgspec.convert(fields, AccountRequest, strict=False)
    except msgspec.ValidationError as error:
        raise AccountError(f"{text!r}: {error}") from error
    return core.open_account(asked)


async def _serve(settings: argparse.Namespace, served: Served) -> None:
    world = served.world
    base = settings.port_base
    ports = {venue: base + position if base else 0 for position, venue in enumerate((*VENUES, DRIFT))}
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    if settings.end_with_stdin:
        asyncio.get_running_loop().add_reader(sys.stdin, _read_on, stopped)
    world.advance(time.time_ns() // 1_000_000)  # making it took a while, which would show as a clock that is off
    async with running(
        world, served.cores, served.faults, speed=settings.speed, host=settings.host, ports=ports
    ) as sims:
        urls = {venue: asdict(urls) for venue, urls in sims.urls.items()}
        ready = {"event": "ready", "now_ms": sims.now_ms, **urls, "accounts": served.accounts}
        print(msgspec.json.encode(ready).decode(), flush=True)  # noqa: T201
        assert sims.life is not None, "running sets it"
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait([waiting, sims.life], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()


def _read_on(stopped: asyncio.Event) -> None:
    """Take what standard input has; its end is ours."""
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin)
        stopped.set()


def _cores(world: World, faults: Faults, settings: argparse.Namespace) -> list[Core]:
    real = settings.rate_limits == "real"
    lighter = lighter_facts.STANDARD if real else lighter_facts.NO_LIMITS
    extended = extended_facts.STANDARD if real else extended_facts.NO_LIMITS
    setup = Setup(settings.chain_id, settings.verify_signatures, settings.rest_lag_ms)
    cores: list[Core] = [
        LighterCore(world, faults, lighter.scaled(settings.speed), setup),
        ExtendedCore(world, faults, extended.scaled(settings.speed)),
    ]
    if settings.drift:
        cores.append(DriftCore(world, faults, DriftSetup(PROFILES[settings.drift], binary=settings.program)))
    return cores


if __name__ == "__main__":
    sys.exit(main())

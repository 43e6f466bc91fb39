"""A live engine and the simulated venues it trades on, each a process of its own, looked at from outside."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
from cli_process import environment, twinleg

from twinleg.cli.journals import records_of
from twinleg.core.ledger import Ledger
from twinleg.core.operations import Answer, Asked, AskStatus, OpenTrade, Status, Terms
from twinleg.core.orders import Leg
from twinleg.core.trading import client_id_of
from twinleg.runtime.control import NoAnswerError, NoEngineError, ask
from twinleg.runtime.journal_file import FILE_NAME

WAIT_S = 100.0
"""For anything to come, however busy the machine."""
POLL_S = 0.02
ASK_S = 20.0
ASSETS = ("BTC", "ETH", "SOL", "HYPE")
EAGER = {
    "TRADING_MODE": "live",
    "AUTO_EXECUTION_ENABLED": "false",
    "CONSERVATIVE_MODE": "false",
    "MAX_POSITION_SIZE_USD": "150",
    "MAX_ORDER_SIZE_USD": "150",
    "MAX_CONCURRENT_ARBITRAGE_GROUPS": "30",
    "MAX_TOTAL_EXPOSURE_USD": "20000",
    "ORDERBOOK_READY_COOLDOWN_SECONDS": "0",
    "WS_RECONNECT_DELAY": "0.2",
}
"""What a user would set, so that there is much to see; trades are opened on request."""
ACCOUNTS = (
    "lighter:equity_usd=50000,taker_bps=0,maker_bps=9",
    "extended:equity_usd=50000,taker_bps=2.5,maker_bps=9",
)
"""Resting is dear, so that both legs take: an entry that rests for minutes would show little."""


class Venues:
    """Both simulated venues with an account of ours on each. `settings` are those of a user who trades there."""

    def __init__(self, ready: dict[str, Any], writes: Path) -> None:
        self.lighter, self.extended = ready["accounts"]
        self._rest = {venue: ready[venue]["rest"] for venue in ("lighter", "extended")}
        self._writes = writes
        slots = sorted(map(int, self.lighter["api_private_keys"]))
        keys = {f"TWINLEG_LIGHTER_KEY_{slot}": self.lighter["api_private_keys"][str(slot)] for slot in slots[1:]}
        self.settings = keys | {
            "LIGHTER_BASE_URL": ready["lighter"]["rest"],
            "LIGHTER_WS_URL": ready["lighter"]["stream"],
            "LIGHTER_ACCOUNT_INDEX": str(self.lighter["account_index"]),
            "LIGHTER_API_KEY_INDEX": str(slots[0]),
            "LIGHTER_MAX_API_KEY_INDEX": str(slots[-1]),
            "LIGHTER_PRIVATE_KEY": self.lighter["api_private_keys"][str(slots[0])],
            "EXTENDED_BASE_URL": ready["extended"]["rest"],
            "EXTENDED_STREAM_URL": ready["extended"]["stream"],
            "EXTENDED_API_KEY": self.extended["api_key"],
            "EXTENDED_PRIVATE_KEY": self.extended["private_key"],
            "EXTENDED_VAULT": str(self.extended["vault"]),
        }

    def positions(self) -> dict[str, Decimal]:
        """What the venues themselves say: signed sizes in the units they list, by venue and symbol."""
        rows = self._lighter_account()["positions"]
        held = {f"lighter:{row['symbol']}": row["sign"] * Decimal(row["position"]) for row in rows}
        for row in self._get("extended", "/user/positions", {"X-Api-Key": self.extended["api_key"]})["data"]:
            size = Decimal(row["size"]) * (1 if row["side"] == "LONG" else -1)
            held[f"extended:{row['market']}"] = size
        return {market: size for market, size in held.items() if size}

    def orders(self) -> list[tuple[str, str]]:
        """(venue, order name) of every order that arrived at a venue, refused ones and repetitions included."""
        found = []
        for line in self._writes.read_text().splitlines() if self._writes.exists() else ():
            write = json.loads(line)
            if write["path"].endswith("/sendTx"):
                form = parse_qs(write["body"])
                if form["tx_type"] == ["14"]:  # an order
                    found.append((write["venue"], str(json.loads(form["tx_info"][0])["ClientOrderIndex"])))
            elif write["path"].endswith("/user/order") and write["body"]:
                found.append((write["venue"], json.loads(write["body"])["id"]))
        return found

    def repeated(self) -> list[tuple[str, str]]:
        """Orders that a venue was sent more than once."""
        return [order for order, times in Counter(self.orders()).items() if times > 1]

    def resting(self) -> int:
        """How many orders of ours the venues have open."""
        rows = self._get("extended", "/user/orders", {"X-Api-Key": self.extended["api_key"]})["data"]
        return len(rows) + int(self._lighter_account()["total_order_count"])

    def fault(self, venue: str, kind: str, **more: Any) -> None:
        """Switch a fault on."""
        root = self._rest[venue].removesuffix("/api/v1")
        body = json.dumps({"kind": kind, **more}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{root}/__sim__/faults", body), timeout=10) as reply:
            assert reply.status == 200

    def calm(self) -> None:
        """Switch all faults off."""
        for rest in self._rest.values():
            request = urllib.request.Request(f"{rest.removesuffix('/api/v1')}/__sim__/faults", method="DELETE")
            urllib.request.urlopen(request, timeout=10).close()

    def _lighter_account(self) -> Any:
        index = self.lighter["account_index"]
        return self._get("lighter", f"/api/v1/account?by=index&value={index}")["accounts"][0]

    def _get(self, venue: str, path: str, headers: dict[str, str] | None = None) -> Any:
        named = {"User-Agent": "outside", **(headers or {})}
        request = urllib.request.Request(self._rest[venue] + path, headers=named)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read())


@contextmanager
def venues(folder: Path, *more: str, seed: int = 7, accounts: tuple[str, ...] = ACCOUNTS) -> Iterator[Venues]:
    """Both venues in a process of their own."""
    writes = folder / "writes.jsonl"
    script = Path(__file__).with_name("sims_watched.py")
    command = [sys.executable, str(script), "--port-base", "0", "--assets", str(len(ASSETS)), "--seed", str(seed)]
    command += ["--rate-limits", "off", "--verify-signatures", "off", "--end-with-stdin"]
    command += [word for account in accounts for word in ("--account", account)] + list(more)
    env = environment(WATCHED_WRITES=str(writes))
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield Venues(json.loads(child.stdout.readline()), writes)
        child.terminate()


class Engine:
    """`twinleg run` as a user starts it, in a folder with a home of its own: leases are kept there."""

    def __init__(self, folder: Path, venues: Venues, *, near: bool = False, **more: str) -> None:
        """`near`: see engine_near.py."""
        self._program = [str(Path(__file__).with_name("engine_near.py"))] if near else ["-m", "twinleg"]
        self.folder, self.data = folder, folder / "data"
        self.journal = self.data / "live" / FILE_NAME
        home = {"HOME": str(folder), "TWINLEG_DATA_DIR": str(self.data), "TWINLEG_LOG_DIR": str(folder / "logs")}
        self.settings = {**EAGER, **venues.settings, **home, **more}
        self.output = folder / "engine.jsonl"
        self.errors = folder / "engine.err"
        self.process: subprocess.Popen[bytes] | None = None

    def agree(self) -> None:
        """The operator's consent, as `twinleg live --accept` records it."""
        done = twinleg(self.folder, "live", "--accept", **self.settings)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        with self.output.open("ab") as output, self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *self._program, "run", "--json"],
                cwd=self.folder,
                env=environment(**self.settings),
                stdout=output,
                stderr=errors,
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """No warning, no last words."""
        assert self.process is not None
        assert self.process.poll() is None, f"the engine ended by itself: {self.errors.read_text()[-3_000:]}"
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(WAIT_S)

    def events(self) -> list[dict[str, Any]]:
        """Everything it has told so far, over all of its lives. A line that a kill cut short is none."""
        found = []
        for line in self.output.read_text().splitlines() if self.output.exists() else ():
            try:
                found.append(json.loads(line))
            except ValueError:
                assert not line.endswith("}"), line
        return found

    def ledger(self) -> Ledger:
        """The fold of its journal. Raises CommandError where there is something wrong with it."""
        if not self.journal.exists():
            return Ledger()
        with records_of(self.journal) as records:
            return Ledger(records)

    async def ask(self, asked: Asked) -> Answer:
        """Raises NoEngineError, NoAnswerError."""
        return await ask(self.data, asked, ASK_S)

    async def status(self) -> Status:
        """As soon as it can be asked."""
        end_s = time.monotonic() + WAIT_S
        while True:
            try:
                answer = await self.ask(AskStatus())
            except (NoEngineError, NoAnswerError):
                assert self.alive, f"the engine ended by itself: {self.errors.read_text()[-3_000:]}"
                assert time.monotonic() < end_s, "no engine answers"
                await asyncio.sleep(POLL_S)
                continue
            assert isinstance(answer, Status), answer
            return answer

    async def until(self, come: Callable[[Status], bool]) -> Status:
        """Wait until its status is such."""
        end_s = time.monotonic() + WAIT_S
        while not come(status := await self.status()):
            assert time.monotonic() < end_s, f"it did not come: {status}"
            await asyncio.sleep(POLL_S)
        return status

    async def terms(self, usd: float, patience_s: float = WAIT_S) -> OpenTrade | None:
        """What may be opened, as soon as something may; None if nothing may in time."""
        end_s = time.monotonic() + patience_s
        while True:
            for asset in ASSETS:
                for long, short in (("lighter", "extended"), ("extended", "lighter")):
                    wanted = OpenTrade(asset=asset, long=long, short=short, usd=usd)
                    answer = await self.ask(msgspec.structs.replace(wanted, preview=True))
                    if isinstance(answer, Terms):
                        return wanted
            if time.monotonic() > end_s:
                return None
            await asyncio.sleep(0.1)


def booked(ledger: Ledger) -> dict[str, Decimal]:
    """The ledger's positions as the venues write them: signed sizes by market."""
    units = {}
    for account in ledger.trades.values():
        for leg in Leg:
            plan = account.trade.plan.leg(leg)
            units[plan.market] = Decimal(plan.size_grid.unit.numerator) / plan.size_grid.unit.denominator
    return {market: lots * units[market] for market, lots in ledger.positions().items()}


def our_name(venue: str, name: str) -> str | None:
    """An order's name as the journal has it."""
    return client_id_of(int(name)) if venue == "lighter" else name

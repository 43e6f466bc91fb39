"""From the decision to the bytes: what lies between the gate's `submit` and the wire. Prints one JSON line.

python -m bench.entry [--orders 400]

Real gate, real signers, real HTTP client; a process of its own stands for the venues and says when it was reached.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

from twinleg.core.amounts import Grid
from twinleg.core.messages import Market, MarketStatus
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce, client_id, trade_id
from twinleg.core.trading import SendOutcome, SendVerdict, Signed
from twinleg.core.venue import Credential, Limits, Request
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.gate import Account, VenueGate
from twinleg.runtime.lanes import Lanes
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.ports import Reply
from twinleg.runtime.streams import Doors
from twinleg.venues.extended.sign import Keys
from twinleg.venues.extended.trading import ExtendedTrading
from twinleg.venues.lighter.sign import Signer
from twinleg.venues.lighter.trading import LighterTrading

LIMITS = Limits(
    requests_per_minute=1_000_000,
    stream_messages_per_minute=1,
    connects_per_minute=1,
    messages_in_flight=1,
    frame_bytes_max=1,
    inflated_bytes_max=1,
    silence_ms_max=1,
)
Row = tuple[float, ...]
WARM = 20
"""Orders left out at the start."""
READY_S = 0.004
"""How long before the decision an order is prepared: a journal's commit and both signatures take less."""


def serve() -> None:
    """Answer every request on one kept connection with when it came (nanoseconds of the monotonic clock)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                while connection.recv(65_536):
                    body = b'{"code":200,"nonce":%d}' % time.monotonic_ns()
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class Stamped:
    """The net, which notes when a submission is handed to it."""

    def __init__(self, net: PicowsNet) -> None:
        self._net = net
        self.handed_ns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._net, name)

    async def request(self, request: Request, timeout_ms: int) -> Reply:
        if request.method == "POST":
            self.handed_ns = time.monotonic_ns()
            return await self._net.request(request, timeout_ms)
        return Reply(200, b'{"code":200,"nonce":7}')


class Heard:
    """What both trading rooms have in common here: every answer is a yes that says when the request came."""

    came_ns = 0

    def read_reply(self, signed: Signed, status: int | None, body: bytes) -> SendOutcome:  # noqa: ARG002
        self.came_ns = json.loads(body)["nonce"]
        return SendOutcome(SendVerdict.ACCEPTED, "", lane_spent=True)


class Lighter(Heard, LighterTrading): ...


class Extended(Heard, ExtendedTrading): ...


KEY = "3f" * 39 + "07"
STARK_KEY = "0x4a3b7e1f0c5d29e86f1a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3"
"""Keys of nobody's."""


def market(venue: str) -> Market:
    return Market(
        key=f"{venue}:ETH", venue=venue, symbol="ETH", native_id="0" if venue == "lighter" else "ETH-USD", base="ETH",
        quote="USDC", status=MarketStatus.OPEN, price_grid=Grid(2), size_grid=Grid(4), min_size_lots=1,
        maker_fee_bps=0.0, taker_fee_bps=2.5, taker_delay_ms=0, funding_interval_ms=3_600_000, max_leverage=10.0,
        settlement="0x1:1000000:0x4554482d36:1000000",
    )  # fmt: skip


def traders(urls: dict[str, str], markets: dict[str, Market]) -> dict[str, Lighter | Extended]:
    stream = "ws://127.0.0.1:1"
    keys = Keys(vault=10_002, private_key=STARK_KEY, api_key=Credential("0b6f1c5e9a7d4e3f8c2b1a0d9e8f7a6b"))
    return {
        "lighter": Lighter(urls["lighter"], stream, Signer(7, 304, {4: KEY, 5: KEY}), markets),
        "extended": Extended(urls["extended"], stream, keys, markets),
    }


def intent(venue: str, number: int, now_ms: int) -> Intent:
    name = trade_id(number)
    return Intent(
        trade_id=name, leg=Leg.LONG, attempt=0, client_id=client_id(name, Leg.LONG, 0), venue=venue,
        market=f"{venue}:ETH", side=Side.BUY, size_lots=1_000, limit_ticks=250_000, reduce_only=False,
        time_in_force=TimeInForce.IOC, purpose=Purpose.ENTER, deadline_ms=now_ms + 3_000, decision_price_ticks=250_000,
    )  # fmt: skip


async def measure(venue: Lighter | Extended, markets: dict[str, Market], orders: int, *, ahead: bool) -> list[Row]:
    """(us to the net, us to the venue's socket) of each order."""
    clock = SystemClock()
    rows: list[Row] = []
    async with PicowsNet(clock) as net:
        stamped = Stamped(net)
        doors = Doors(stamped, clock, SystemDice())
        lanes = Lanes(venue.lanes(), sequenced=venue.trading.sequenced)
        account = Account(venue, markets, lanes, lambda: None)
        gate = VenueGate(account, Budget(venue.name, LIMITS), doors, 5_000)
        await gate.warm()
        for number in range(1, orders + 1):
            order = intent(venue.name, number, clock.wall_ms())
            if ahead:
                gate.prepare(order, clock.wall_ms())
            await asyncio.sleep(READY_S)
            decided_ns = time.monotonic_ns()
            gate.submit(order, clock.wall_ms())
            while not gate.due(clock.wall_ms()):
                await asyncio.sleep(0.0005)
            rows.append(((stamped.handed_ns - decided_ns) / 1_000, (venue.came_ns - decided_ns) / 1_000))
        await gate.close()
    return rows[WARM:]


def figures(name: str, rows: list[Row]) -> dict[str, float]:
    found = {}
    for place, values in zip(("the net", "the venue's socket"), zip(*rows, strict=True), strict=True):
        ordered = sorted(values)
        found[f"{name}, decision to {place}, p50 (us)"] = statistics.median(ordered)
        found[f"{name}, decision to {place}, p99 (us)"] = ordered[len(ordered) * 99 // 100]
    return found


async def main(orders: int, port: int) -> dict[str, float]:
    markets = {f"{venue}:ETH": market(venue) for venue in ("lighter", "extended")}
    found: dict[str, float] = {}
    for name, venue in traders(dict.fromkeys(("lighter", "extended"), f"http://127.0.0.1:{port}"), markets).items():
        for ahead in (True, False):
            rows = await measure(venue, markets, orders, ahead=ahead)
            found |= figures(f"{name}, {'signed ahead' if ahead else 'signed after'}", rows)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=400)
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    if options.serve:
        serve()
    command = [sys.executable, "-m", "bench.entry", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            print(json.dumps(asyncio.run(main(options.orders, int(server.stdout.readline())))))
        finally:
            server.terminate()

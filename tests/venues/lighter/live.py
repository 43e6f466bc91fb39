"""The simulated Lighter as a process, and a trader against it that does what the runtime does with a venue."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from twinleg.core.messages import Market, MarketsListed
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce, client_id, trade_id
from twinleg.core.trading import AccountEvent, AccountRead, AccountSnapshot, Lane, SendOutcome, Signed
from twinleg.runtime.budget import Budget
from twinleg.runtime.clock import SystemClock, SystemDice
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.streams import Doors, StreamRunner
from twinleg.venues.lighter import LighterVenue, facts
from twinleg.venues.lighter.sign import Signer
from twinleg.venues.lighter.trading import LighterTrading

SOURCES = Path(__file__).parents[3] / "src"
WAIT_S = 10.0
Event = Any


class Sim(NamedTuple):
    rest: str
    stream: str
    account: dict[str, Any]


@contextmanager
def simulated() -> Iterator[Sim]:
    """The venue as a process of its own, with one funded account; every signature is verified."""
    command = [sys.executable, "-m", "twinleg_sims", "--assets", "4", "--port-base", "0", "--end-with-stdin"]
    command += ["--account", "lighter:equity_usd=50000,name=main", "--verify-signatures", "all", "--rate-limits", "off"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready = json.loads(process.stdout.readline())
        (account,) = ready["accounts"]
        yield Sim(ready["lighter"]["rest"], ready["lighter"]["stream"], account)
        process.stdin.close()


class Trader:
    """What the runtime does with a venue, in short: signs on a thread, sends, counts, reads, listens."""

    def __init__(self, sim: Sim, net: PicowsNet) -> None:
        account = sim.account
        self.keys = {int(slot): key for slot, key in account["api_private_keys"].items()}
        self.markets: dict[str, Market] = {}
        self.signer = Signer(account["account_index"], account["chain_id"], self.keys)
        self.venue = LighterTrading(sim.rest, sim.stream, self.signer, self.markets)
        self.public = LighterVenue(sim.rest, sim.stream)
        self.clock = SystemClock()
        self.net = net
        self.events: list[Event] = []
        self.numbers: dict[str, int] = {}
        self.thread = ThreadPoolExecutor(1)
        self.feed: Any = None

    async def start(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self.venue.prepare, self.now)
        for event in self.public.list_markets().parse(await self.get(self.public.list_markets().request), self.now):
            assert isinstance(event, MarketsListed)
            self.markets.update({market.key: market for market in event.markets})

    @property
    def now(self) -> int:
        return self.clock.wall_ms()

    async def get(self, request: Any) -> bytes:
        reply = await self.net.request(request, 10_000)
        assert reply.status == 200, reply
        return reply.body

    async def read(self, read: AccountRead) -> list[AccountEvent]:
        return read.parse(await self.get(read.request), self.now)

    async def lane(self, key: str = "4") -> Lane:
        request, parse = self.venue.next_number(key, self.now)
        return Lane(key, parse(await self.get(request)))

    async def send(self, sign: Callable[..., Signed], *arguments: Any, key: str = "4") -> tuple[Signed, SendOutcome]:
        lane = await self.lane(key)
        signed = await asyncio.get_running_loop().run_in_executor(self.thread, lambda: sign(*arguments, lane, self.now))
        reply = await self.net.request(signed.request, 10_000)
        return signed, self.venue.read_reply(signed, reply.status, reply.body)

    async def seen(self, what: Callable[[Event], bool]) -> Event:
        """The first event that is it, waiting for it a while."""
        for _ in range(int(WAIT_S / 0.02)):
            found = next((event for event in self.events if what(event)), None)
            if found is not None:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"not seen: {self.events}")

    async def touch(self, market: Market) -> tuple[int, int]:
        """Best bid and ask in ticks."""
        body = json.loads(
            await self.get(
                msgspec.structs.replace(
                    self.public.list_markets().request,
                    url=f"{self.public._rest_url}/api/v1/orderBookOrders?market_id={market.native_id}&limit=1",
                )
            )
        )
        return tuple(market.price_grid.parse(body[side][0]["price"]) for side in ("bids", "asks"))  # type: ignore[return-value]


@asynccontextmanager
async def trading(sim: Sim) -> AsyncIterator[Trader]:
    """A trader whose account stream is up."""
    async with PicowsNet(SystemClock()) as net:
        trader = Trader(sim, net)
        await trader.start()
        (feed,) = trader.venue.account_feeds(())
        doors = Doors(net, trader.clock, SystemDice())
        trader.feed = feed
        runner = StreamRunner(feed, trader.events.extend, Budget("lighter", facts.LIMITS), doors)
        task = asyncio.create_task(runner.run())
        try:
            await trader.seen(lambda event: isinstance(event, AccountSnapshot) and event.kind == "balance")
            yield trader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            trader.thread.shutdown()


NUMBERS = iter(range(1, 1_000))


def intent(market: Market, limit_ticks: int, **fields: Any) -> Intent:
    name = trade_id(next(NUMBERS))
    told: dict[str, Any] = {
        "trade_id": name,
        "leg": Leg.LONG,
        "attempt": 0,
        "client_id": client_id(name, Leg.LONG, 0),
        "venue": market.venue,
        "market": market.key,
        "side": Side.BUY,
        "size_lots": market.min_size_lots * 4,
        "limit_ticks": limit_ticks,
        "reduce_only": False,
        "time_in_force": TimeInForce.IOC,
        "purpose": Purpose.ENTER,
        "deadline_ms": SystemClock().wall_ms() + 60_000,
        "decision_price_ticks": limit_ticks,
    }
    return Intent(**(told | fields))

"""The official SDK clients against the same prepared traffic, each as its users run it. Prints one JSON line.

python -m bench.sdk lighter|extended PORT MARKETS FRAMES [--core 0] [--stamps FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import time
import warnings
from array import array
from collections import defaultdict
from pathlib import Path

warnings.simplefilter("ignore")


class DoneError(Exception):
    """Every frame was seen."""


class Meter:
    """Counts updates and stamps them. The SDK's own book is kept up by the SDK before each call."""

    def __init__(self, markets: int, frames: int) -> None:
        self.markets, self.frames = markets, frames
        self.seen = -markets  # the snapshots come first
        self.began_ns = 0
        self.stamps = array("q")

    def __call__(self, *_: object) -> None:
        self.seen += 1
        if self.seen == 1:
            self.began_ns = time.process_time_ns()
        if self.seen > 0:
            self.stamps.append(time.monotonic_ns())
        if self.seen == self.frames:
            raise DoneError


async def lighter(port: int, meter: Meter) -> None:
    from lighter import WsClient  # noqa: PLC0415  # each process needs one of the two

    client = WsClient(
        ws_url=f"ws://127.0.0.1:{port}/stream",
        order_book_ids=list(range(meter.markets)),
        account_ids=[],
        on_order_book_update=meter,
    )
    await client.run_async()


async def extended(port: int, meter: Meter) -> None:
    from x10.clients.stream import StreamClient  # noqa: PLC0415
    from x10.config import TESTNET_CONFIG  # noqa: PLC0415
    from x10.tools.orderbook import OrderBook  # noqa: PLC0415

    books: dict[str, OrderBook] = defaultdict(lambda: OrderBook(TESTNET_CONFIG, "any"))
    async with StreamClient(api_url=f"ws://127.0.0.1:{port}").subscribe_to_orderbooks() as stream:
        async for message in stream:
            assert message.data is not None
            book = books[message.data.market]
            change = book.init_orderbook if str(message.type) == "SNAPSHOT" else book.update_orderbook
            await change(message.data)
            meter(book.best_bid(), book.best_ask())


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sdk", choices=["lighter", "extended"])
    parser.add_argument("port", type=int)
    parser.add_argument("markets", type=int)
    parser.add_argument("frames", type=int)
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--stamps", default="")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    meter = Meter(options.markets, options.frames)
    with contextlib.suppress(DoneError):
        await (lighter if options.sdk == "lighter" else extended)(options.port, meter)
    cpu_us = (time.process_time_ns() - meter.began_ns) / 1_000
    if options.stamps:
        Path(options.stamps).write_bytes(meter.stamps.tobytes())
    print(json.dumps({"frames": meter.seen, "cpu_us_per_frame": cpu_us / max(1, meter.seen)}))


if __name__ == "__main__":
    asyncio.run(main())

"""ns per message for decode and book, the same frames through each book code: ours, the SDKs', NautilusTrader's.

    python -m bench.books [nautilus]      with "nautilus", run that one alone (in its own environment)

Bytes in, a book with its best prices out. NautilusTrader has no decoder for these frames: it gets msgspec's, and prices
and sizes from text, as its adapters do.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

FRAMES, RUNS = 20_000, 5


class Level(msgspec.Struct):
    """One level of a Lighter frame, for peers that have no decoder of their own."""

    price: str
    size: str


class Body(msgspec.Struct):
    """A Lighter book."""

    asks: list[Level]
    bids: list[Level]
    nonce: int


class Frame(msgspec.Struct):
    """A Lighter book frame."""

    order_book: Body


Runner = Callable[[bytes, list[bytes]], float]


def _timed(handle: Callable[[bytes], object], frames: list[bytes]) -> float:
    began = time.process_time_ns()
    for frame in frames:
        handle(frame)
    return (time.process_time_ns() - began) / len(frames)


def ours(venue: str) -> Runner:
    from bench.ours import feed_for  # noqa: PLC0415  # the peers' environment has no twinleg dependencies
    from twinleg.core.book import Book  # noqa: PLC0415
    from twinleg.core.messages import BookSnapshot  # noqa: PLC0415

    def run(snapshot: bytes, frames: list[bytes]) -> float:
        feed, book = feed_for(venue, 1, 1), Book("bench")
        feed.opened(0)

        def handle(frame: bytes) -> None:
            for event in feed.received(frame, 0, 0):
                change = book.snapshot if type(event) is BookSnapshot else book.delta
                change(event.bids, event.asks, event.venue_ms, event.received_ns)  # type: ignore[union-attr]
            assert book.bid_prices[-1] < book.ask_prices[0]

        if venue == "lighter":
            feed.received(b'{"type":"connected"}', 0, 0)
        handle(snapshot)
        return _timed(handle, frames)

    return run


def lighter_sdk(snapshot: bytes, frames: list[bytes]) -> float:
    from lighter import WsClient  # noqa: PLC0415

    client = WsClient(ws_url="ws://127.0.0.1:1", order_book_ids=[0], on_order_book_update=lambda *_: None)

    def handle(frame: bytes) -> None:
        client.on_message(None, frame.decode())
        book = client.order_book_states["0"]
        min(float(level["price"]) for level in book["asks"])
        max(float(level["price"]) for level in book["bids"])

    handle(snapshot)
    return _timed(handle, frames)


def x10_sdk(snapshot: bytes, frames: list[bytes]) -> float:
    from x10.config import TESTNET_CONFIG  # noqa: PLC0415
    from x10.models.http import WrappedStreamResponseModel  # noqa: PLC0415
    from x10.models.orderbook import OrderbookUpdateModel  # noqa: PLC0415
    from x10.tools.orderbook import OrderBook  # noqa: PLC0415

    model = WrappedStreamResponseModel[OrderbookUpdateModel]
    book: Any = OrderBook(TESTNET_CONFIG, "A0-USD")

    def handle(frame: bytes) -> None:
        message = model.model_validate_json(frame)
        assert message.data is not None
        change = book.init_orderbook if str(message.type) == "SNAPSHOT" else book.update_orderbook
        with contextlib.suppress(StopIteration):  # a coroutine that never waits: run without a loop's cost
            change(message.data).send(None)
        book.best_bid(), book.best_ask()

    handle(snapshot)
    return _timed(handle, frames)


def nautilus(snapshot: bytes, frames: list[bytes]) -> float:
    from nautilus_trader.model.book import OrderBook  # noqa: PLC0415
    from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas  # noqa: PLC0415
    from nautilus_trader.model.enums import BookAction, BookType, OrderSide  # noqa: PLC0415
    from nautilus_trader.model.identifiers import InstrumentId  # noqa: PLC0415
    from nautilus_trader.model.objects import Price, Quantity  # noqa: PLC0415

    name = InstrumentId.from_str("A0.LIGHTER")
    book = OrderBook(name, BookType.L2_MBP)

    decode = msgspec.json.Decoder(Frame).decode

    def handle(frame: bytes) -> None:
        body = decode(frame).order_book
        deltas = []
        for side, levels in ((OrderSide.BUY, body.bids), (OrderSide.SELL, body.asks)):
            for level in levels:
                price, size = Price.from_str(level.price), Quantity.from_str(level.size)
                action = BookAction.UPDATE if size > 0 else BookAction.DELETE
                order = BookOrder(side, price, size, 0)
                deltas.append(OrderBookDelta(name, action, order, 0, body.nonce, 0, 0))
        if deltas:
            book.apply_deltas(OrderBookDeltas(name, deltas))
        book.best_bid_price(), book.best_ask_price()

    handle(snapshot)
    return _timed(handle, frames)


def frames_of(venue: str) -> tuple[bytes, list[bytes]]:
    from bench.frames import ExtendedWriter, LighterWriter, updates  # noqa: PLC0415

    writer: Any = LighterWriter(1, 7) if venue == "lighter" else ExtendedWriter(1, 7, v1=venue == "extended_v1")
    return writer.snapshot(0), list(updates(writer, 1, FRAMES, 7))


def main() -> None:
    if sys.argv[1:] == ["nautilus"]:
        snapshot, *frames = [bytes.fromhex(line) for line in sys.stdin.read().split()]
        print(json.dumps({"NautilusTrader (Lighter frames)": nautilus(snapshot, frames)}))
        return
    cases: dict[str, tuple[str, Runner]] = {
        "ours, Lighter frames": ("lighter", ours("lighter")),
        "ours, Extended frames": ("extended", ours("extended")),
        "lighter-sdk WsClient": ("lighter", lighter_sdk),
        "x10 models + OrderBook": ("extended_v1", x10_sdk),
    }
    traffic = {venue: frames_of(venue) for venue, _ in cases.values()}
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(RUNS):
        for name, (venue, run) in cases.items():
            snapshot, frames = traffic[venue]
            figures[name].append(run(snapshot, frames[: FRAMES // 10] if "sdk" in name else frames))
    print(json.dumps({name: statistics.median(runs) for name, runs in figures.items()}))


if __name__ == "__main__":
    main()

"""How long one book frame takes from bytes to event, per venue. Run: python bench/decode.py

Synthetic updates of 5.5 levels on average, around a slowly walking price, in each venue's wire shape. Sizes rarely
repeat, prices often do, as on a real book. Prints the median of seven runs: ns of CPU per frame, frames per second.
"""

from __future__ import annotations

import random
import statistics
import time

import msgspec

from twinleg.core.amounts import Grid
from twinleg.core.messages import BookDelta, Market, MarketStatus
from twinleg.core.venue import Feed, Venue
from twinleg.venues.extended import ExtendedVenue
from twinleg.venues.lighter import LighterVenue

FRAMES = 20_000
RUNS = 7


def market(venue: str, symbol: str, native_id: str, price_grid: Grid, size_grid: Grid) -> Market:
    return Market(
        key=f"{venue}:{symbol}",
        venue=venue,
        symbol=symbol,
        native_id=native_id,
        base=symbol,
        quote="USD",
        status=MarketStatus.OPEN,
        price_grid=price_grid,
        size_grid=size_grid,
        min_size_lots=1,
        maker_fee_bps=0.0,
        taker_fee_bps=0.0,
        taker_delay_ms=0,
        funding_interval_ms=3_600_000,
    )


def changes(dice: random.Random) -> list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Per frame (bids, asks) as (ticks, lots): 3 to 8 levels near a walking mid, a fifth of them gone."""
    mid, frames = 300_000, []
    for _ in range(FRAMES):
        mid += dice.choice((-1, 0, 0, 0, 1))
        sides: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        for _ in range(dice.randint(3, 8)):
            is_ask, away = dice.getrandbits(1), 1 + int(dice.expovariate(1 / 20))
            lots = 0 if dice.random() < 0.2 else dice.randint(1, 2_000_000)
            sides[is_ask].append((mid + away if is_ask else mid - away, lots))
        frames.append(sides)
    return frames


def lighter_frames(dice: random.Random) -> list[bytes]:
    prices, sizes = Grid(2), Grid(4)
    frames, nonce = [b'{"type":"connected"}'], 9_182_389_998
    frames.append(_lighter("subscribed", [], [], 0, nonce))
    for bids, asks in changes(dice):
        levels = [[{"price": prices.text(p), "size": sizes.text(s)} for p, s in side] for side in (bids, asks)]
        frames.append(_lighter("update", *levels, nonce, nonce := nonce + 22))
    return frames


def _lighter(kind: str, bids: object, asks: object, begin_nonce: int, nonce: int) -> bytes:
    book = {"code": 0, "asks": asks, "bids": bids, "offset": 1558300, "nonce": nonce,
            "last_updated_at": 1774884082309144, "begin_nonce": begin_nonce}  # fmt: skip
    return msgspec.json.encode(
        {"channel": "order_book:0", "last_updated_at": 1774884082309144, "offset": 1558300, "order_book": book,
         "timestamp": 1774884082326, "type": f"{kind}/order_book"}
    )  # fmt: skip


def extended_frames(dice: random.Random) -> list[bytes]:
    prices, sizes = Grid(1), Grid(5)
    held: tuple[dict[int, int], dict[int, int]] = ({}, {})
    frames = [_extended("SNAPSHOT", [], [], 0)]
    for seq, sides in enumerate(changes(dice), start=1):
        rows: list[list[dict[str, str]]] = [[], []]
        for side, levels, row in zip(held, sides, rows, strict=True):
            for price, lots in levels:
                change = lots - side.get(price, 0)
                side[price] = lots
                row.append({"q": sizes.text(change), "p": prices.text(price), "c": sizes.text(lots)})
        frames.append(_extended("DELTA", *rows, seq))
    return frames


def _extended(kind: str, bids: object, asks: object, seq: int) -> bytes:
    return msgspec.json.encode(
        {"type": f"ORDERBOOKS.{kind}", "data": {"t": kind, "m": "BTC-USD", "b": bids, "a": asks, "d": "f"},
         "ts": 1790425443353, "seq": seq, "subscription": "orderbooks.BTC-USD"}
    )  # fmt: skip


def ns_per_frame(feed: Feed, frames: list[bytes]) -> float:
    """One run over a fresh connection. Every frame must become its event: a fast refusal is no speed."""
    feed.opened(0)
    received, deltas = feed.received, 0
    began = time.process_time_ns()
    for frame in frames:
        for event in received(frame, 0, 0):
            deltas += type(event) is BookDelta
    elapsed = time.process_time_ns() - began
    assert deltas == FRAMES, (deltas, feed.broken)
    feed.closed("done", 0, 0)
    return elapsed / len(frames)


def main() -> None:
    lighter: Venue = LighterVenue("http://127.0.0.1", "ws://127.0.0.1")
    extended: Venue = ExtendedVenue("http://127.0.0.1", "ws://127.0.0.1")
    cases = [
        (lighter, market("lighter", "ETH", "0", Grid(2), Grid(4)), lighter_frames),
        (extended, market("extended", "BTC-USD", "BTC-USD", Grid(1), Grid(5)), extended_frames),
    ]
    for venue, traded, make in cases:
        frames = make(random.Random(1))
        (feed,) = venue.feeds([traded])
        median = statistics.median(ns_per_frame(feed, frames) for _ in range(RUNS))
        print(f"{venue.name:10} {median:8.0f} ns/frame {1e9 / median:10.0f} frames/s")


if __name__ == "__main__":
    main()

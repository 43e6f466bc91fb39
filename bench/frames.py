"""Realistic book traffic for any number of markets, in each venue's wire shape, ready to be sent as it lies.

Prices walk, sizes rarely repeat, a fifth of the changed levels vanish; 5.5 levels a frame on average and 100 levels a
side to start with. The continuity numbers are right: a client that checks them must not find a gap.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from twinleg.core.amounts import Grid
from twinleg.core.messages import Market, MarketStatus

PRICES, SIZES = Grid(2), Grid(4)
MID_TICKS = 300_000
DEPTH = 100
WALL_MS = 1_790_000_000_000


def market(venue: str, number: int) -> Market:
    """Market `number` of a venue: the same asset under the same number on every venue."""
    symbol = f"A{number}" if venue != "extended" else f"A{number}-USD"
    return Market(
        key=f"{venue}:{symbol}",
        venue=venue,
        symbol=symbol,
        native_id=str(number) if venue != "extended" else symbol,
        base=f"A{number}",
        quote="USDC",
        status=MarketStatus.OPEN,
        price_grid=PRICES,
        size_grid=SIZES,
        min_size_lots=1,
        maker_fee_bps=0.0,
        taker_fee_bps=2.5,
        taker_delay_ms=200,
        funding_interval_ms=3_600_000,
    )


Sides = tuple[list[tuple[int, int]], list[tuple[int, int]]]


class BookWalk:
    """One market's book, walking: snapshot first, then changes, as (bids, asks) of (ticks, lots)."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._mid = MID_TICKS + dice.randint(-20, 20)
        self.bids = {self._mid - away: dice.randint(1, 2_000_000) for away in range(1, DEPTH + 1)}
        self.asks = {self._mid + away: dice.randint(1, 2_000_000) for away in range(1, DEPTH + 1)}

    def change(self) -> Sides:
        """The next frame's changes, already part of this book. It never crosses and keeps its depth."""
        dice, bids, asks = self._dice, {}, {}
        self._mid += dice.choice((-1, 0, 0, 0, 1))
        for _ in range(dice.randint(3, 8)):
            away = 1 + int(dice.expovariate(1 / 20))
            lots = 0 if away > 3 and dice.random() < 0.2 else dice.randint(1, 2_000_000)
            if dice.getrandbits(1):
                asks[self._mid + away] = lots
            else:
                bids[self._mid - away] = lots
        reach = 2 * DEPTH
        bids |= dict.fromkeys((price for price in self.bids if not self._mid - reach < price < self._mid), 0)
        asks |= dict.fromkeys((price for price in self.asks if not self._mid < price < self._mid + reach), 0)
        for held, changed in ((self.bids, bids), (self.asks, asks)):
            for price, lots in changed.items():
                held.pop(price, None)
                if lots:
                    held[price] = lots
        return list(bids.items()), list(asks.items())


def _rows(levels: list[tuple[int, int]]) -> list[dict[str, str]]:
    return [{"price": PRICES.text(price), "size": SIZES.text(lots)} for price, lots in levels]


class LighterWriter:
    """Lighter's frames: nonces chain per market."""

    def __init__(self, markets: int, seed: int) -> None:
        self.walks = [BookWalk(random.Random(f"{seed}:{number}")) for number in range(markets)]
        self.nonces = [9_000_000_000] * markets

    def snapshot(self, number: int) -> bytes:
        walk = self.walks[number]
        return self._frame(number, "subscribed", list(walk.bids.items()), list(walk.asks.items()), 0)

    def update(self, number: int) -> bytes:
        begin = self.nonces[number]
        self.nonces[number] += 22
        return self._frame(number, "update", *self.walks[number].change(), begin)

    def _frame(
        self, number: int, kind: str, bids: list[tuple[int, int]], asks: list[tuple[int, int]], begin: int
    ) -> bytes:
        book = {"code": 0, "asks": _rows(asks), "bids": _rows(bids), "offset": 1_558_300, "nonce": self.nonces[number],
                "last_updated_at": WALL_MS * 1000, "begin_nonce": begin}  # fmt: skip
        return msgspec.json.encode(
            {"channel": f"order_book:{number}", "last_updated_at": WALL_MS * 1000, "offset": 1_558_300,
             "order_book": book, "timestamp": WALL_MS, "type": f"{kind}/order_book"}
        )  # fmt: skip


class ExtendedWriter:
    """Extended's frames: one sequence over all markets of the connection, v2 or (`v1=True`) the documented v1 shape."""

    def __init__(self, markets: int, seed: int, *, v1: bool = False) -> None:
        self.walks = [BookWalk(random.Random(f"{seed}:{number}")) for number in range(markets)]
        self.sequence = 1 if v1 else 0
        self.v1 = v1

    def snapshot(self, number: int) -> bytes:
        walk = self.walks[number]
        rows = [[{"q": SIZES.text(s), "p": PRICES.text(p)} for p, s in side.items()] for side in (walk.bids, walk.asks)]
        return self._frame(number, "SNAPSHOT", *rows)

    def update(self, number: int) -> bytes:
        walk = self.walks[number]
        before = dict(walk.bids), dict(walk.asks)
        rows = [
            [
                {"q": SIZES.text(lots - held.get(p, 0)), "p": PRICES.text(p), "c": SIZES.text(lots)}
                for p, lots in side
                if lots != held.get(p, 0)
            ]
            for held, side in zip(before, walk.change(), strict=True)
        ]
        return self._frame(number, "DELTA", *rows)

    def _frame(self, number: int, kind: str, bids: list[dict[str, str]], asks: list[dict[str, str]]) -> bytes:
        name, sequence = f"A{number}-USD", self.sequence
        self.sequence += 1
        data = {"t": kind, "m": name, "b": bids, "a": asks, "d": "f"}
        if self.v1:
            return msgspec.json.encode({"type": kind, "data": data, "ts": WALL_MS, "seq": sequence})
        return msgspec.json.encode(
            {"type": f"ORDERBOOKS.{kind}", "data": data, "ts": WALL_MS, "seq": sequence,
             "subscription": f"orderbooks.{name}"}
        )  # fmt: skip


def updates(writer: LighterWriter | ExtendedWriter, markets: int, frames: int, seed: int) -> Iterator[bytes]:
    """`frames` updates over all markets in a random but fixed order."""
    dice = random.Random(seed)
    return (writer.update(dice.randrange(markets)) for _ in range(frames))

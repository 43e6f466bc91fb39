"""The seeded world behind both venues: assets with correlated prices, markets with flow, funding, and outside orders.

The same seed and the same outside orders at the same virtual times give the same world, however `advance` is sliced:
everything happens in events of one queue, ordered by (time, order of scheduling).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count
from math import exp
from random import Random

from twinleg_sims.birth import FULL, Character, Scale, born
from twinleg_sims.funding import HOUR_MS, MINUTE_MS, Settled
from twinleg_sims.listings import LIGHTER, Asset, Listing, first_assets, listings
from twinleg_sims.market import FIRST_OUTSIDE_OWNER, SimMarket
from twinleg_sims.matching import NewOrder, Outcome

PRICE_STEP_MS = 250


class World:
    """A world of `assets` assets, born at `start_ms` with a past. Virtual epoch milliseconds throughout."""

    def __init__(self, seed: int, assets: int, start_ms: int, scale: Scale = FULL) -> None:
        self.seed = seed
        self.start_ms = self.now_ms = start_ms
        self.assets: list[Asset] = first_assets(assets)
        self._dice = Random(f"{seed}:prices")
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self.settlement_listeners: list[Callable[[SimMarket, Settled], None]] = []
        """Told of each market's hourly funding as it is charged."""
        rows = listings(self.assets, odd=scale.odd_markets)
        self._priced = {row.asset.name: row.asset for row in rows}
        self._returns = dict.fromkeys(self._priced, 0.0)
        characters = {name: Character.of(Random(f"{seed}:{name}"), asset.tier) for name, asset in self._priced.items()}
        self._markets = {
            (row.venue, row.symbol): born(seed, row, characters[row.asset.name], start_ms, scale) for row in rows
        }
        self.at(start_ms + PRICE_STEP_MS, self._move_prices)
        self.at((start_ms // MINUTE_MS + 1) * MINUTE_MS, self._minute)
        for position, market in enumerate(self._markets.values()):
            self.at(start_ms + 20 + 7 * position % 400, partial(self._step, market))

    def markets(self, venue: str) -> list[SimMarket]:
        """Every market of a venue, in listing order, whatever its state."""
        return [market for market in self._markets.values() if market.venue == venue]

    def market(self, venue: str, symbol: str) -> SimMarket:
        """Raises KeyError for an unknown one."""
        return self._markets[venue, symbol]

    def advance(self, to_ms: int) -> None:
        """Let everything happen that is due by `to_ms`."""
        assert to_ms >= self.now_ms, "the world does not go back"
        while self._queue[0][0] <= to_ms:
            self.now_ms, _, event = heapq.heappop(self._queue)
            event()
        self.now_ms = to_ms

    def submit(self, market: SimMarket, order: NewOrder, done: Callable[[Outcome], None] | None = None) -> int:
        """Send an outside order on its way; the virtual time at which, after its venue's delay, it meets the book."""
        assert order.owner >= FIRST_OUTSIDE_OWNER, "owners below are the world's own"
        post_only = order.tif == "post_only"
        at_ms = self.now_ms + (market.terms.maker_delay_ms if post_only else market.terms.taker_delay_ms)

        def arrive() -> None:
            outcome = market.book.place(order, self.now_ms)
            if done is not None:
                done(outcome)

        self.at(at_ms, arrive)
        return at_ms

    def at(self, at_ms: int, event: Callable[[], None]) -> None:
        """Let `event` happen at a time (now = with the next `advance`), after what was put there before it."""
        assert at_ms >= self.now_ms, "the past is over"
        heapq.heappush(self._queue, (at_ms, next(self._order), event))

    def _step(self, market: SimMarket) -> None:
        self.at(market.step(self.now_ms, self._index(market.listing)), partial(self._step, market))

    def _index(self, listing: Listing) -> float:
        return listing.asset.start_price * exp(self._returns[listing.asset.name]) * listing.multiplier

    def _move_prices(self) -> None:
        common = self._dice.gauss(0, 1)
        for name, asset in self._priced.items():
            self._returns[name] += asset.move(PRICE_STEP_MS, common, self._dice.gauss(0, 1))
        self.at(self.now_ms + PRICE_STEP_MS, self._move_prices)

    def _minute(self) -> None:
        for market in self._markets.values():
            market.funding.sample(market.premium_sample())
            if self.now_ms % HOUR_MS == 0:
                price = market.index_price if market.venue == LIGHTER else market.mark_price
                settled = market.funding.settle(self.now_ms, price)
                for listener in self.settlement_listeners:
                    listener(market, settled)
        self.at(self.now_ms + MINUTE_MS, self._minute)

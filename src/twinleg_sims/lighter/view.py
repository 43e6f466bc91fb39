"""What of the world Lighter shows at a moment, faults included: which markets, under which status, at which clock."""

from __future__ import annotations

from twinleg_sims.faults import Faults
from twinleg_sims.listings import LIGHTER
from twinleg_sims.market import SimMarket
from twinleg_sims.world import World

_STATUS = {"active": "active", "inactive": "inactive", "reduce_only": "in-settlement", "prelisted": "inactive"}


class View:
    """The world through Lighter's eyes."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world = world
        self.faults = faults
        self._markets = {market.listing.market_id: market for market in world.markets(LIGHTER)}

    def listed(self, now_ms: int) -> list[SimMarket]:
        """The markets that the venue lists now, in order of their ids."""
        return [market for _, market in sorted(self._markets.items()) if not self._vanished(market, now_ms)]

    def market(self, market_id: int, now_ms: int) -> SimMarket | None:
        """None when there is no such market (any more)."""
        market = self._markets.get(market_id)
        return None if market is None or self._vanished(market, now_ms) else market

    def status(self, market: SimMarket, now_ms: int) -> str:
        """The market's status in the venue's words."""
        if self.faults.active(LIGHTER, "unknown_word", now_ms, market.symbol):
            return "hibernating"
        return _STATUS[market.listing.state]

    def stamp_ms(self, now_ms: int) -> int:
        """The venue's own clock."""
        return now_ms + self.faults.clock_offset_ms(LIGHTER, now_ms)

    def _vanished(self, market: SimMarket, now_ms: int) -> bool:
        return self.faults.active(LIGHTER, "vanish", now_ms, market.symbol) is not None

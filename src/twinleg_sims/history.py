"""A market's candles: hourly bars from before the world began, minute bars since, and the rolling day."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import exp
from random import Random

from twinleg_sims.listings import Listing

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
MINUTES_KEPT = 24 * 60
HOURS_KEPT = 24 * 60


@dataclass(slots=True)
class Bar:
    """One candle: open time, prices, base and quote volume, number of trades, last trade's sequence."""

    at_ms: int
    open: float
    high: float
    low: float
    close: float
    base_volume: float = 0.0
    quote_volume: float = 0.0
    trades: int = 0
    last_trade: int = 0

    def add(self, other: Bar) -> None:
        """Grow by a later bar."""
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)
        self.close = other.close
        self.base_volume += other.base_volume
        self.quote_volume += other.quote_volume
        self.trades += other.trades
        self.last_trade = max(self.last_trade, other.last_trade)


class Bars:
    """Minute bars (the last day) and hour bars (the last months). Bounded: the oldest fall off."""

    def __init__(self, hours: Iterable[Bar]) -> None:
        self._hours: deque[Bar] = deque(hours, maxlen=HOURS_KEPT)
        assert self._hours, "a market has a past"
        self._minutes: deque[Bar] = deque(maxlen=MINUTES_KEPT)

    @property
    def last_close(self) -> float:
        return self._hours[-1].close

    def add(self, at_ms: int, price: float, size: float, sequence: int) -> None:
        """Take in one trade; trades come in time order."""
        for bars, width_ms in ((self._minutes, MINUTE_MS), (self._hours, HOUR_MS)):
            bar = Bar(at_ms // width_ms * width_ms, price, price, price, price, size, size * price, 1, sequence)
            if bars and bars[-1].at_ms == bar.at_ms:
                bars[-1].add(bar)
            else:
                bars.append(bar)

    def day(self, now_ms: int) -> Bar:
        """The last 24 hours, to the hour, as one bar."""
        return _joined([bar for bar in self._hours if bar.at_ms > now_ms - DAY_MS] or [self._hours[-1]], now_ms)

    def between(self, resolution_ms: int, start_ms: int, end_ms: int) -> list[Bar]:
        """Bars of `resolution_ms` whose open time lies in [start_ms, end_ms], oldest first; quiet spans are missing."""
        source = self._minutes if resolution_ms < HOUR_MS else self._hours
        groups: dict[int, list[Bar]] = {}
        for bar in source:
            opened_ms = bar.at_ms // resolution_ms * resolution_ms
            if start_ms <= opened_ms <= end_ms:
                groups.setdefault(opened_ms, []).append(bar)
        return [_joined(bars, opened_ms) for opened_ms, bars in groups.items()]


def past_hours(dice: Random, listing: Listing, end_ms: int, hours: int, usd_per_hour: float) -> list[Bar]:
    """Hour bars up to and with that of `end_ms`, oldest first, that lead to the listing's start price."""
    bars: list[Bar] = []
    close = listing.asset.start_price * listing.multiplier
    for back in range(hours):
        opened = close * exp(-listing.asset.move(HOUR_MS, dice.gauss(0, 1), dice.gauss(0, 1)))
        reach = 1 + abs(listing.asset.move(HOUR_MS / 10, dice.gauss(0, 1), dice.gauss(0, 1)))
        prices = (opened, max(opened, close) * reach, min(opened, close) / reach, close)
        first, high, low, last = (round(price, listing.price_decimals) for price in prices)
        usd = round(usd_per_hour * dice.uniform(0.4, 1.8), 6)
        base = round(usd / close, listing.size_decimals)
        at_ms = end_ms // HOUR_MS * HOUR_MS - back * HOUR_MS
        bars.append(Bar(at_ms, first, high, low, last, base, usd, dice.randrange(200, 4_000), last_trade=1))
        close = opened
    bars.reverse()
    return bars


def _joined(bars: list[Bar], at_ms: int) -> Bar:
    first = bars[0]
    whole = Bar(at_ms, first.open, first.high, first.low, first.close)
    for bar in bars:
        whole.add(bar)
    return whole

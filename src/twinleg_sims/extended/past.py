"""What a market's REST history and candle streams are read from: candles of three prices, hourly open interest."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from twinleg_sims.extended import facts, wire
from twinleg_sims.extended.wire import Body
from twinleg_sims.history import Bar, Bars
from twinleg_sims.market import SimMarket

SAMPLE_INTERVAL_MS = 1_000


class Past:
    """Watches one market as time passes. Before the world began, mark and index candles are those of trades."""

    def __init__(self, market: SimMarket, start_ms: int) -> None:
        self._market = market
        hours = market.bars.between(facts.HOUR_MS, 0, start_ms)
        self._bars = {
            "last": market.bars,
            "mark": Bars(replace(bar) for bar in hours),
            "index": Bars(replace(bar) for bar in hours),
        }
        self._open_interest: deque[Body] = deque(maxlen=facts.OPEN_INTEREST_ROWS_MAX)
        self._sampled_ms = -SAMPLE_INTERVAL_MS
        self._hour = -1
        self.advance(start_ms)

    def advance(self, now_ms: int) -> None:
        """Sample the reference prices once a second, the open interest once an hour."""
        if now_ms - self._sampled_ms < SAMPLE_INTERVAL_MS:
            return
        self._sampled_ms = now_ms
        market = self._market
        self._bars["mark"].add(now_ms, market.mark_price, 0.0, 0)
        self._bars["index"].add(now_ms, market.index_price, 0.0, 0)
        if now_ms // facts.HOUR_MS != self._hour:
            self._hour = now_ms // facts.HOUR_MS
            usd = f"{market.open_interest * market.mark_price:.16f}"
            self._open_interest.append({"i": usd, "I": f"{market.open_interest:.16f}", "t": self._hour * facts.HOUR_MS})

    def candles(self, kind: str, interval_ms: int, limit: int, end_ms: int) -> list[Body]:
        """At most `limit` candles opened up to `end_ms`, newest first. `kind`: "last", "mark", "index"."""
        start_ms = end_ms // interval_ms * interval_ms - (limit - 1) * interval_ms
        bars = _without_holes(self._bars[kind].between(interval_ms, 0, end_ms), interval_ms, end_ms)
        rows = [bar for bar in bars if bar.at_ms >= start_ms]
        return [wire.candle_row(self._market, bar, traded=kind == "last") for bar in reversed(rows)]

    def open_interest(self, interval_ms: int, start_ms: int, end_ms: int) -> list[Body]:
        """Open interest at each full `interval_ms` of [start_ms, end_ms], newest first."""
        rows = [row for row in self._open_interest if start_ms <= row["t"] <= end_ms and row["t"] % interval_ms == 0]
        return rows[::-1]


def _without_holes(bars: list[Bar], interval_ms: int, end_ms: int) -> list[Bar]:
    """A span without trades has a flat candle at the last close, as recorded ("v": "0")."""
    whole: list[Bar] = []
    for bar in bars:
        if whole:
            whole += _flat(whole[-1], interval_ms, bar.at_ms)
        whole.append(bar)
    return whole + _flat(whole[-1], interval_ms, end_ms + 1) if whole else []


def _flat(last: Bar, interval_ms: int, until_ms: int) -> list[Bar]:
    """Quiet candles after `last`, opened before `until_ms`."""
    price = last.close
    return [Bar(at_ms, price, price, price, price) for at_ms in range(last.at_ms + interval_ms, until_ms, interval_ms)]

"""One market of one venue: its book, the flow that lives in it, its reference prices, its funding and its past.

Everything here is a function of the market's own dice and of the times at which the world calls it, so that an outside
order in one market leaves every other market as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, floor, sqrt
from random import Random

from twinleg_sims.funding import FUNDING_TERMS, Funding
from twinleg_sims.history import Bars
from twinleg_sims.listings import TERMS, Listing
from twinleg_sims.matching import Engine, Side

MAKER_OWNERS = (1, 2, 3, 4, 5)
TAKER_OWNER = 9
FIRST_OUTSIDE_OWNER = 100
"""Owners below this are the world's own."""

MARK_MEMORY_MS = 480_000
IMPACT_USD = 5_000.0
REQUOTES_PER_STEP = 8
TOP_QUOTES = 12
DEEP_QUOTES_PER_STEP = 8
SWEEP = 8
"""A stale price is taken in bigger clips than usual."""


@dataclass(frozen=True, slots=True)
class Liquidity:
    """How a tier of markets trades. Offsets are fractions of the price; step is the mean time between re-quotes."""

    levels: int
    half_spread: float
    deepest: float
    top_usd: float
    step_ms: int
    taker_chance: float


LIQUIDITY = (
    Liquidity(90, 0.00004, 0.03, 9_000.0, 300, 0.30),
    Liquidity(60, 0.00012, 0.04, 4_000.0, 400, 0.22),
    Liquidity(40, 0.00025, 0.05, 1_800.0, 500, 0.15),
    Liquidity(25, 0.00050, 0.06, 700.0, 800, 0.10),
)
DORMANT = Liquidity(5, 0.002, 0.05, 400.0, 20_000, 0.02)
"""For markets that are not open to everybody."""


@dataclass(slots=True)
class Premium:
    """How far a venue's price lies from the asset's, as a fraction: a slow part that pays funding and a fast part that

    comes back within minutes. Both are Ornstein-Uhlenbeck; `slow_mean` persists.
    """

    slow_mean: float
    slow_sd: float
    fast_sd: float
    fast_half_life_ms: float
    slow: float = 0.0
    fast: float = 0.0

    SLOW_HALF_LIFE_MS = 12 * 3_600_000.0

    def advance(self, elapsed_ms: float, dice: Random) -> float:
        """Move on by `elapsed_ms`, exactly whatever the step; the premium then."""
        keep = 0.5 ** (elapsed_ms / Premium.SLOW_HALF_LIFE_MS)
        self.slow = self.slow_mean + keep * (self.slow - self.slow_mean)
        self.slow += self.slow_sd * sqrt(1 - keep * keep) * dice.gauss(0, 1)
        keep = 0.5 ** (elapsed_ms / self.fast_half_life_ms)
        self.fast = keep * self.fast + self.fast_sd * sqrt(1 - keep * keep) * dice.gauss(0, 1)
        return self.slow + self.fast


@dataclass(slots=True)
class _Quote:
    """A maker's standing intention: `offset` from the fair price (`centre` when it was placed), about `lots` big."""

    side: Side
    offset: float
    lots: int
    owner: int
    order_id: int = 0
    centre: float = 0.0


class SimMarket:
    """A listing come to life. Prices are floats in quote currency; ticks and lots are the listing's."""

    def __init__(
        self,
        listing: Listing,
        premium: Premium,
        dice: Random,
        history: Bars,
        start_ms: int,
        liquidity: Liquidity | None = None,
    ) -> None:
        """`liquidity` None: as the asset's tier trades."""
        self.listing = listing
        self.venue = listing.venue
        self._tick = listing.tick
        self.symbol = listing.symbol
        self.terms = TERMS[listing.venue]
        self.book = Engine(first_nonce=dice.randrange(10**9, 9 * 10**9))
        self.funding = Funding(FUNDING_TERMS[listing.venue])
        self.bars = history
        self.index_price = history.last_close
        self.mark_price = self.index_price
        self.last_price = self.index_price
        self._premium = premium
        self._dice = dice
        self._gap = premium.slow
        self._stepped_ms = start_ms
        self._trades_barred = 0
        dormant = listing.state != "active" or listing.rfq or listing.kind != "perp"
        self._liquidity = DORMANT if dormant else liquidity or LIQUIDITY[listing.asset.tier]
        self.open_interest = self._liquidity.top_usd * 2_000 / self.index_price
        self._quotes = self._ladder()
        self._next_deep = 0

    @property
    def mid_price(self) -> float | None:
        """Half-way between the best prices, None when a side is empty."""
        bid, ask = self.book.best("bid"), self.book.best("ask")
        return (bid + ask) / 2 * self.listing.tick if bid and ask else None

    def open(self, now_ms: int, past_trades: int) -> None:
        """Fill the book and the recent past, once."""
        for back in range(past_trades, 0, -1):
            ticks = max(1, round(self.index_price * (1 + self._gap + self._dice.gauss(0, 2e-4)) / self.listing.tick))
            side: Side = "bid" if self._dice.random() < 0.5 else "ask"
            self.book.add_past_trade(now_ms - back * 1_700, ticks, self._taker_lots(), side)
        self._trades_barred = self.book.trade_count
        for quote in self._quotes:
            self._place(quote, self.index_price * (1 + self._gap), now_ms)

    def step(self, now_ms: int, index_price: float) -> int:
        """Let the market live until `now_ms`; the time of its next step."""
        elapsed_ms = now_ms - self._stepped_ms
        self._stepped_ms = now_ms
        self.index_price = index_price
        fair = index_price * (1 + self._premium.advance(elapsed_ms, self._dice))
        self._requote(fair, now_ms)
        if self._dice.random() < self._liquidity.taker_chance:
            self._take(fair, now_ms)
        self._mark(elapsed_ms)
        self._bar()
        return now_ms + max(20, round(self._liquidity.step_ms * self._dice.uniform(0.3, 1.7)))

    def premium_sample(self) -> float:
        """This minute's funding premium, from the prices a trade of IMPACT_USD would really get."""
        bid, ask = self.impact_price("bid"), self.impact_price("ask")
        above = max(0.0, bid - self.index_price) if bid else 0.0
        below = max(0.0, self.index_price - ask) if ask else 0.0
        return (above - below) / self.index_price

    def impact_price(self, side: Side) -> float | None:
        """The average price of trading IMPACT_USD against `side`, None when it holds less than that."""
        left = IMPACT_USD
        size = 0.0
        for ticks, lots in self.book.levels(side):
            price = ticks * self.listing.tick
            usd = min(left, price * lots * self.listing.lot)
            size += usd / price
            left -= usd
            if left <= 1e-9:
                return IMPACT_USD / size
        return None

    def _ladder(self) -> list[_Quote]:
        """Quotes of both sides, alternating, from the top outwards; deeper ones are bigger."""
        kind = self._liquidity
        growth = (kind.deepest / kind.half_spread) ** (1 / max(1, kind.levels - 1))
        quotes: list[_Quote] = []
        for rung in range(kind.levels):
            offset = kind.half_spread * growth**rung
            for side in ("bid", "ask"):
                usd = kind.top_usd * (offset / kind.half_spread) ** 0.45 * exp(self._dice.gauss(0, 0.4))
                lots = max(1, round(usd / (self.index_price * self.listing.lot)))
                owner = MAKER_OWNERS[self._dice.randrange(len(MAKER_OWNERS))]
                quotes.append(_Quote(side, offset * self._dice.uniform(0.9, 1.1), lots, owner))
        return quotes

    def _requote(self, fair: float, now_ms: int) -> None:
        """Move what is out of place, the top first and some of the deep ones in turn, a few quotes at a time.

        All of them leave before any comes back, so that makers do not stand in each other's way when the price moves.
        """
        top, deep = self._quotes[:TOP_QUOTES], self._quotes[TOP_QUOTES:]
        turn = deep[self._next_deep : self._next_deep + DEEP_QUOTES_PER_STEP]
        self._next_deep = self._next_deep + DEEP_QUOTES_PER_STEP if turn else 0
        moving: list[_Quote] = []
        for quote in (*top, *turn):
            if len(moving) < REQUOTES_PER_STEP and not self._in_place(quote, fair):
                self.book.cancel(quote.order_id)
                moving.append(quote)
        self._sweep(fair, now_ms)
        for quote in moving:
            self._place(quote, fair, now_ms)

    def _sweep(self, fair: float, now_ms: int) -> None:
        """Somebody takes what rests on the wrong side of the fair price, whoever left it there."""
        bid, ask = self.book.best("bid"), self.book.best("ask")
        if bid and bid * self._tick > fair:
            self.book.submit(TAKER_OWNER, "ask", ceil(fair / self._tick), SWEEP * self._taker_lots(), now_ms, "ioc")
        elif ask and ask * self._tick < fair:
            worst = max(1, floor(fair / self._tick))
            self.book.submit(TAKER_OWNER, "bid", worst, SWEEP * self._taker_lots(), now_ms, "ioc")

    def _in_place(self, quote: _Quote, fair: float) -> bool:
        """Whether it rests, and the fair price is about where it was when the quote was placed."""
        off = abs(fair - quote.centre)
        return (off <= self._tick or off <= 0.3 * quote.offset * fair) and self.book.order(quote.order_id) is not None

    def _target(self, quote: _Quote, fair: float) -> int:
        if quote.side == "bid":
            return max(1, floor(fair * (1 - quote.offset) / self._tick))
        return ceil(fair * (1 + quote.offset) / self._tick)

    def _place(self, quote: _Quote, fair: float, now_ms: int) -> None:
        """Post-only: where a stale quote is still in the way, this one waits for the next step."""
        ticks = self._target(quote, fair)
        lots = max(1, round(quote.lots * self._dice.uniform(0.6, 1.4)))
        outcome = self.book.submit(quote.owner, quote.side, ticks, lots, now_ms, "post_only")
        quote.order_id, quote.centre = (outcome.order_id, fair) if outcome.resting_lots else (0, 0.0)

    def _take(self, fair: float, now_ms: int) -> None:
        side: Side = "bid" if self._dice.random() < 0.5 else "ask"
        worst = fair * (1.002 if side == "bid" else 0.998) / self._tick
        self.book.submit(TAKER_OWNER, side, max(1, round(worst)), self._taker_lots(), now_ms, "ioc")

    def _taker_lots(self) -> int:
        usd = self._liquidity.top_usd * 0.25 * exp(self._dice.gauss(0, 1.0))
        return max(1, round(usd / (self.index_price * self.listing.lot)))

    def _mark(self, elapsed_ms: int) -> None:
        """Index plus a slow average of how far the book lies from it."""
        mid = self.mid_price
        if mid is not None:
            keep = exp(-elapsed_ms / MARK_MEMORY_MS)
            self._gap = keep * self._gap + (1 - keep) * (mid / self.index_price - 1)
        self.mark_price = self.index_price * (1 + self._gap)

    def _bar(self) -> None:
        """New trades, outside users' included, go into the candles, the open interest and the last price."""
        fresh = self.book.trade_count - self._trades_barred
        self._trades_barred += fresh
        for trade in self.book.recent_trades(fresh):
            self.last_price = round(trade.ticks * self._tick, self.listing.price_decimals)
            size = round(trade.lots * self.listing.lot, self.listing.size_decimals)
            self.bars.add(trade.at_ms, self.last_price, size, trade.sequence)
            grows = (trade.sequence * 2_654_435_761) & 0x40
            self.open_interest = max(size, self.open_interest + (0.3 if grows else -0.3) * size)

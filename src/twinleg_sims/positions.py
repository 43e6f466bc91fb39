"""Outside users' positions, in whole numbers: ticks, lots and micro-USD. What is paid in comes out, to the micro.

Each fill's value is cut to micro-USD once, like the venues' own ("79.066079"). An open position keeps the value paid
for what is still open; a partial close takes its share of that, and the last close whatever is left: nothing is lost
to rounding, so that balance = deposits + trade PnL - fees + funding holds exactly, always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twinleg_sims.funding import Settled
from twinleg_sims.listings import Listing
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import Side

MICRO = 1_000_000
PICO = 1_000_000_000_000
PPM = 1_000_000

FillKind = Literal["trade", "liquidation", "deleverage"]
"""How it came about. The last two are the venue's doing."""


def value_micro(listing: Listing, ticks: int, lots: int) -> int:
    """What `lots` are worth at `ticks`, in micro-USD, cut."""
    steps = ticks * listing.tick_step * lots * listing.lot_step * MICRO
    return int(steps // 10 ** (listing.price_decimals + listing.size_decimals))


def priced_micro(listing: Listing, price: float, lots: int) -> int:
    """What `lots` (never negative) are worth at a mark or index price of twelve decimals, in micro-USD, cut."""
    assert lots >= 0, "a size has no sign"
    return int(round(price * PICO) * lots * listing.lot_step // 10 ** (listing.size_decimals + 6))


def fee_micro(value: int, ppm: int) -> int:
    """A fee on a value, cut: a recorded fill of 79.0752 USD at 2.25 basis points paid 0.017791."""
    return value * ppm // PPM


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill of an outside order, or a take-over by the venue (then `order` is 0). `id` is unique in the account."""

    id: int
    at_ms: int
    market: SimMarket
    order: int
    client_id: str
    side: Side
    ticks: int
    lots: int
    value_micro: int
    fee_micro: int
    is_taker: bool
    kind: FillKind
    trade: int
    """The market's own number of the trade, 0 for a take-over."""


@dataclass(frozen=True, slots=True)
class Payment:
    """Funding charged to a position: `paid_micro` is the change of the balance (positive = received)."""

    id: int
    at_ms: int
    market: SimMarket
    position: int
    lots: int
    """Signed: short is negative."""
    price: float
    rate_per_hour: float
    paid_micro: int

    @classmethod
    def of(cls, number: int, position: Position, settled: Settled) -> Payment:
        """Size x price x rate, rounded half away from zero to the micro: at a positive rate the long side pays."""
        listing = position.market.listing
        size = abs(position.lots) * listing.lot_step * round(settled.price * PICO) * round(settled.rate_per_hour * PPM)
        unit = 10 ** (listing.size_decimals + 12)
        owed = (abs(size) + unit // 2) // unit * (1 if size > 0 else -1)
        paid = -owed if position.lots > 0 else owed
        at_ms = settled.settled_at_ms
        return cls(
            number, at_ms, position.market, position.id, position.lots, settled.price, settled.rate_per_hour, paid
        )


@dataclass(slots=True)
class Position:
    """A stay on one side of a market, from flat to flat; a flip is an end and a beginning. `lots` is signed.

    After the end, `lots` is 0 and `last_lots` is what it was before.
    """

    id: int
    market: SimMarket
    opened_ms: int
    updated_ms: int
    lots: int = 0
    cost_micro: int = 0
    """What was paid for (long) or got for (short) what is open: never negative."""
    trade_pnl_micro: int = 0
    funding_micro: int = 0
    open_fees_micro: int = 0
    close_fees_micro: int = 0
    last_lots: int = 0
    max_lots: int = 0
    opened_lots: int = 0
    opened_value_micro: int = 0
    closed_lots: int = 0
    closed_value_micro: int = 0
    exit_kind: FillKind = "trade"

    @property
    def is_long(self) -> bool:
        return (self.lots or self.last_lots) > 0

    @property
    def is_open(self) -> bool:
        return self.lots != 0

    @property
    def realised_micro(self) -> int:
        """As the venues write it: fees included."""
        return self.trade_pnl_micro + self.funding_micro - self.open_fees_micro - self.close_fees_micro

    def unrealised_micro(self, price: float) -> int:
        """Its profit if it were valued at `price`."""
        value = priced_micro(self.market.listing, price, abs(self.lots))
        return value - self.cost_micro if self.lots > 0 else self.cost_micro - value

    def entry_price(self) -> float:
        """The average of what is open (after the end: of all that was), in quote currency."""
        listing = self.market.listing
        value, lots = (self.cost_micro, self.lots) if self.lots else (self.opened_value_micro, self.opened_lots)
        return value / MICRO / (abs(lots) * listing.lot)

    def exit_price(self) -> float | None:
        """The average of what was closed; None while nothing was."""
        if not self.closed_lots:
            return None
        return self.closed_value_micro / MICRO / (self.closed_lots * self.market.listing.lot)

    def add(self, side: Side, lots: int, value: int, fee: int, at_ms: int) -> None:
        """Grow."""
        sign = 1 if side == "bid" else -1
        assert self.lots * sign >= 0, "the other side makes it smaller"
        self.lots += sign * lots
        self.last_lots = self.lots
        self.cost_micro += value
        self.opened_lots += lots
        self.opened_value_micro += value
        self.open_fees_micro += fee
        self.max_lots = max(self.max_lots, abs(self.lots))
        self.updated_ms = at_ms

    def take_off(self, lots: int, value: int, fee: int, at_ms: int) -> int:
        """Shrink by at most all of it; the trade PnL of that, without fees."""
        assert 0 < lots <= abs(self.lots), f"{lots} of {self.lots}"
        released = self.cost_micro * lots // abs(self.lots)
        pnl = value - released if self.lots > 0 else released - value
        self.cost_micro -= released
        self.trade_pnl_micro += pnl
        self.closed_lots += lots
        self.closed_value_micro += value
        self.close_fees_micro += fee
        self.last_lots = self.lots
        self.lots -= lots if self.lots > 0 else -lots
        if self.lots:
            self.last_lots = self.lots
        self.updated_ms = at_ms
        return pnl

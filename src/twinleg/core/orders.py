"""The words of trading: what a trade plans, what an order intends, what a venue says about it.

Order events are the truth about our own orders and come from a venue only: its account stream, a read-back, or its
answer to a submission. Times are our own wall clock in epoch milliseconds, when it became known; prices are in
ticks and sizes in lots of the named market, money in whole micro-dollars of the quote currency.
"""

from __future__ import annotations

from enum import Enum
from fractions import Fraction
from functools import lru_cache

import msgspec

from twinleg.core.amounts import Grid

ORDERS_PER_LEG_MAX = 32
"""Orders that one leg of one trade may ever have: venues that name orders by a number have no more (core.trading)."""


class Side(Enum):
    """The side of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 when the order adds to a position, -1 when it takes away."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class Leg(Enum):
    """One of the two positions of a trade."""

    LONG = "long"
    SHORT = "short"

    @property
    def other(self) -> Leg:
        return Leg.SHORT if self is Leg.LONG else Leg.LONG

    @property
    def entry_side(self) -> Side:
        """The side that opens the leg; its opposite closes it."""
        return Side.BUY if self is Leg.LONG else Side.SELL


class Purpose(Enum):
    """Why an order is sent. ENTER and HEDGE may add exposure; the others are reduce-only."""

    ENTER = "enter"
    HEDGE = "hedge"
    REPAIR = "repair"
    EXIT = "exit"
    FLATTEN = "flatten"


ADDING = (Purpose.ENTER, Purpose.HEDGE)


class TimeInForce(Enum):
    """How long an order may live, and whether it may take."""

    IOC = "ioc"
    POST_ONLY = "post_only"


class State(Enum):
    """Where a trade is in its life."""

    PLANNED = "planned"
    ENTERING = "entering"
    HEDGED = "hedged"
    EXITING = "exiting"
    REPAIRING = "repairing"
    """The legs differ by a common lot or more, or an order's fate is open after its deadline."""
    HALTED = "halted"
    """Repair failed or facts contradict: the operator decides."""
    CLOSED = "closed"
    """Flat on both venues, no order open."""


class OrderStatus(Enum):
    """What we know of an order."""

    SENT = "sent"
    """Made durable, perhaps sent; no answer yet."""
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    """Its fate is open: resolved by reading back, never by sending again."""
    REJECTED = "rejected"
    DONE = "done"
    """Over: filled, cancelled, expired, or proven never to have arrived."""
    RESOLVED = "resolved"
    """Over by the operator's word, which covers its fills: news of it no longer counts."""


@lru_cache(maxsize=4096)
def _money_unit(price_grid: Grid, size_grid: Grid) -> Fraction:
    """Asked for with every valuation, and there are as few answers as markets."""
    return price_grid.unit * size_grid.unit


class LegPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One leg as planned. The grids are carried so that the journal alone tells what the leg was worth."""

    venue: str
    market: str
    price_grid: Grid
    size_grid: Grid
    lots_per_common_lot: int
    """Lots of this market in one common lot: the smallest size that both venues take as an order."""
    limit_ticks: int
    """The worst price of the entry."""
    decision_ticks: int
    """The price the decision to enter was made on; slippage is measured from it."""
    taker_fee_bps: float = 0.0
    """What taking costs here, for choosing between ways out of an unequal entry (an estimate)."""

    def __post_init__(self) -> None:
        if self.lots_per_common_lot <= 0 or self.limit_ticks <= 0 or self.decision_ticks <= 0:
            raise ValueError(f"lots per common lot and prices must be positive: {self}")

    @property
    def money_unit(self) -> Fraction:
        """What one tick times one lot is worth in quote currency, exactly."""
        return _money_unit(self.price_grid, self.size_grid)


class TradePlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a trade may do, decided before its first order. Raises ValueError when it makes no sense."""

    trade_id: str
    asset: str
    long: LegPlan
    short: LegPlan
    common_lots: int
    unhedged_ms_max: int
    """From the entry's send until its legs must match, else repair starts."""
    unhedged_notional_max_micro_usd: int
    """Repair starts at once when the legs differ by more. Plan a simultaneous entry within it."""
    attempt_ms: int
    """How long one attempt of a repair or an exit may take before the next, with a wider bound, starts."""
    bounds_bps: tuple[int, ...]
    """Per attempt, how far beyond the touch an order that reduces may go. The last is the flatten slippage; the number
    of bounds is the number of attempts."""
    doubt_ms: int = 0
    """So long after an order's deadline an open fate costs no attempt: the venue's proof may take its time."""
    first: Leg | None = None
    """The leg that goes first, its partner then hedging what filled. None: both at once."""
    rest_ms: int = 0
    """How long the first leg may rest post-only; 0: it takes."""
    edge_bps: float | None = None
    """What the whole trade is worth at its decision prices after all fees, in and out (an estimate). None = not known:
    then an unequal entry is always unwound, never completed."""
    believes_reads: bool = False
    """A venue's read that shows less than our fills is taken for true and the partner reduced; else it halts."""

    def __post_init__(self) -> None:
        if min(self.common_lots, self.unhedged_ms_max, self.unhedged_notional_max_micro_usd, self.attempt_ms) <= 0:
            raise ValueError(f"size and budgets must be positive: {self}")
        if not self.bounds_bps or list(self.bounds_bps) != sorted(self.bounds_bps):
            raise ValueError(f"bounds must widen with every attempt: {self.bounds_bps}")
        if self.bounds_bps[0] < 0 or self.bounds_bps[-1] >= 10_000:
            raise ValueError(f"bounds must lie in 0..9999 bps: {self.bounds_bps}")
        if self.doubt_ms < 0:
            raise ValueError(f"a doubt cannot end before it begins: {self}")
        if self.rest_ms < 0 or (self.rest_ms and self.first is None):
            raise ValueError(f"only a leg that goes first can rest: {self}")
        if self.long.market == self.short.market:
            raise ValueError(f"both legs in {self.long.market}")

    def leg(self, leg: Leg) -> LegPlan:
        return self.long if leg is Leg.LONG else self.short

    def lots(self, leg: Leg) -> int:
        """The planned size of a leg in its market's lots: it never holds more."""
        return self.common_lots * self.leg(leg).lots_per_common_lot


class Intent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order about to be sent, exactly as decided: durable before its bytes leave."""

    trade_id: str
    leg: Leg
    attempt: int
    client_id: str
    venue: str
    market: str
    side: Side
    size_lots: int
    limit_ticks: int
    reduce_only: bool
    time_in_force: TimeInForce
    purpose: Purpose
    deadline_ms: int
    decision_price_ticks: int


def trade_id(number: int) -> str:
    """The name of the trade with that number."""
    return f"T{number:06d}"


def trade_number(trade: str) -> int:
    """The number behind a trade's name, 0 for a name that no number makes."""
    digits = trade.removeprefix("T")
    return int(digits) if trade[:1] == "T" and digits.isdecimal() else 0


def client_id(trade: str, leg: Leg, attempt: int) -> str:
    """The name of an order. The same (trade, leg, attempt) always has the same, so a restart can ask for it."""
    return f"{trade}-{leg.value}-{attempt}"


class OrderAccepted(msgspec.Struct, frozen=True, gc=False):
    """The venue has the order. Not a fill."""

    client_id: str
    at_ms: int


class OrderRejected(msgspec.Struct, frozen=True, gc=False):
    """The venue said no."""

    client_id: str
    reason: str
    at_ms: int


class OrderUnknown(msgspec.Struct, frozen=True, gc=False):
    """Anything else happened to the submission: a timeout, a dropped socket, a 5xx, what nobody foresaw."""

    client_id: str
    reason: str
    at_ms: int


class Filled(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One execution. `fill_id` is the venue's and unique within the order. A negative fee is a rebate."""

    client_id: str
    fill_id: str
    price_ticks: int
    size_lots: int
    fee_micro_usd: int
    at_ms: int

    def __post_init__(self) -> None:
        if self.size_lots <= 0 or self.price_ticks <= 0:
            raise ValueError(f"a fill of nothing or at no price: {self}")


class OrderDone(msgspec.Struct, frozen=True, gc=False):
    """The order is over (filled, cancelled, expired, or proven by a read-back never to have arrived).

    `filled_lots` is the venue's cumulative truth: fills not yet seen are on their way.
    """

    client_id: str
    reason: str
    filled_lots: int
    at_ms: int


class Started(msgspec.Struct, frozen=True, gc=False):
    """The guard approved, the books were validated again: enter now."""

    trade_id: str
    at_ms: int


class Resumed(msgspec.Struct, frozen=True, gc=False):
    """The process restarted and folded its journal: finish what is unfinished."""

    trade_id: str
    at_ms: int


class DeadlinePassed(msgspec.Struct, frozen=True, gc=False):
    """The trade's clock, armed by an Arm effect, rang."""

    trade_id: str
    at_ms: int


class ExitWish(msgspec.Struct, frozen=True):
    """Why to close a trade. A patient wish is dropped when the books are too thin: whoever wished it wishes again."""

    reason: str
    patient: bool = False


class ExitWanted(msgspec.Struct, frozen=True, gc=False):
    """Close the trade. `reason` is for the record; `patient` as in ExitWish."""

    trade_id: str
    reason: str
    at_ms: int
    patient: bool = False

    @property
    def wish(self) -> ExitWish:
        return ExitWish(self.reason, self.patient)


class PositionForced(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The venue reduced a leg without us (liquidation, deleveraging). `force_id`, the venue's, is unique in a trade."""

    trade_id: str
    leg: Leg
    force_id: str
    price_ticks: int
    size_lots: int
    fee_micro_usd: int
    reason: str
    at_ms: int


class PositionRead(msgspec.Struct, frozen=True, gc=False):
    """What the venue says the leg holds, in its own direction: read twice alike, other trades' share taken off."""

    trade_id: str
    leg: Leg
    lots: int
    at_ms: int


class Holding(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a leg holds in its own direction by somebody's word, and the price that a difference is booked at."""

    lots: int
    price_ticks: int

    def __post_init__(self) -> None:
        if self.lots < 0 or self.price_ticks <= 0:
            raise ValueError(f"a leg holds nothing or more, at a price: {self}")


class Resolve(msgspec.Struct, frozen=True, gc=False):
    """The operator looked at both venues and says what a halted trade holds; none of its orders is open any more."""

    trade_id: str
    long: Holding
    short: Holding
    reason: str
    at_ms: int


class Adopt(msgspec.Struct, frozen=True, gc=False):
    """The operator hands over positions that were opened by hand."""

    trade_id: str
    long: Holding
    short: Holding
    reason: str
    at_ms: int


class FlattenNow(msgspec.Struct, frozen=True, gc=False):
    """The operator wants the trade closed, a halted one too."""

    trade_id: str
    reason: str
    at_ms: int


class HaltLifted(msgspec.Struct, frozen=True, gc=False):
    """The operator lets a halted trade go on, with all its attempts."""

    trade_id: str
    reason: str
    at_ms: int


OrderEvent = OrderAccepted | OrderRejected | OrderUnknown | Filled | OrderDone
OperatorEvent = Resolve | Adopt | FlattenNow | HaltLifted
TradeEvent = Started | Resumed | DeadlinePassed | ExitWanted | PositionForced | PositionRead | OperatorEvent
Event = OrderEvent | TradeEvent

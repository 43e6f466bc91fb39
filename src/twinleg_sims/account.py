"""One outside user of one venue: balance, positions, orders, and what its venue will tell it of each change.

Reports are data. Every change of one moment is one Report, queued until the venue's core turns it into its wire: fills
and orders as they then were, positions that ended included. A Mirror is an account as reports tell it, which is what a
venue's read endpoints show: give it the reports late, and reads lag the stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from itertools import count

from twinleg_sims.market import SimMarket
from twinleg_sims.matching import Side
from twinleg_sims.orders import OwnOrder
from twinleg_sims.positions import Fill, FillKind, Payment, Position, fee_micro, value_micro

REPORTS_MAX = 100_000
"""Reports nobody collects beyond this number push the oldest out."""
KEPT = 10_000
"""Rows of each kind of history a mirror keeps, as the venues page them; live orders it never forgets."""


@dataclass(frozen=True, slots=True)
class Tier:
    """What an account pays in millionths of a fill's value, and how long its orders wait before they are matched."""

    taker_ppm: int
    maker_ppm: int
    taker_delay_ms: int
    maker_delay_ms: int
    """Also for cancels."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that changed in an account in one moment; the objects in it are copies and stay as they are.

    `initial_ppm` holds the markets whose leverage was set.
    """

    account: int
    at_ms: int
    balance_micro: int
    orders: tuple[OwnOrder, ...] = ()
    fills: tuple[Fill, ...] = ()
    positions: tuple[Position, ...] = ()
    payments: tuple[Payment, ...] = ()
    initial_ppm: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class _Draft:
    """Changes not yet reported."""

    orders: dict[int, OwnOrder] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    positions: dict[int, Position] = field(default_factory=dict)
    payments: list[Payment] = field(default_factory=list)
    initial_ppm: dict[str, int] = field(default_factory=dict)
    balance: bool = False


class Account:
    """The truth about one account. `id` is its owner number in the books. Positions and leverage are by symbol.

    balance_micro = deposited + trade PnL - fees + funding + insured, exactly.
    """

    def __init__(self, number: int, name: str, tier: Tier, kin: frozenset[int] = frozenset()) -> None:
        self.id = number
        self.name = name
        self.tier = tier
        self.kin = kin
        self.balance_micro = 0
        self.deposited_micro = 0
        self.insured_micro = 0
        """What the venue's insurance paid for losses beyond the balance."""
        self.funding_micro = 0
        self.positions: dict[str, Position] = {}
        self.orders: dict[int, OwnOrder] = {}
        """Live ones, oldest first."""
        self.initial_ppm: dict[str, int] = {}
        """Initial margin set for a market: one over its leverage, in millionths."""
        self.dead_man_ms: int | None = None
        self.reports: deque[Report] = deque(maxlen=REPORTS_MAX)
        self.on_fill: Callable[[Fill], None] = lambda _: None
        """Told of every fill at once, whatever its owner gets to hear and when: for those who check on owners."""
        self._draft = _Draft()
        self._ids = count(1)

    def lots(self, symbol: str) -> int:
        """The signed position, 0 when flat."""
        position = self.positions.get(symbol)
        return position.lots if position else 0

    def note(self, order: OwnOrder, at_ms: int) -> None:
        """An order changed."""
        order.updated_ms = at_ms
        self._draft.orders[order.id] = order
        if order.live:
            self.orders[order.id] = order
        else:
            self.orders.pop(order.id, None)

    def deposit(self, micro: int) -> None:
        """Add to (or take from) the balance."""
        self.balance_micro += micro
        self.deposited_micro += micro
        self._draft.balance = True

    def insure(self) -> None:
        """Losses beyond the balance are the venue's."""
        self.insured_micro -= self.balance_micro
        self.balance_micro = 0
        self._draft.balance = True

    def set_initial(self, symbol: str, ppm: int) -> None:
        self.initial_ppm[symbol] = ppm
        self._draft.initial_ppm[symbol] = ppm

    def pay(self, payment: Payment) -> None:
        """Take in a funding payment."""
        position = self.positions[payment.market.symbol]
        position.funding_micro += payment.paid_micro
        position.updated_ms = payment.at_ms
        self.balance_micro += payment.paid_micro
        self.funding_micro += payment.paid_micro
        self._draft.payments.append(payment)
        self._draft.positions[position.id] = position

    def next_id(self) -> int:
        """Of fills, positions and payments; unique in the account."""
        return next(self._ids)

    def fill(self, order: OwnOrder | None, deal: Deal, ppm: int) -> Fill:
        """Take in a fill: of `order`, or a take-over. The fee is `ppm` of its value."""
        value = value_micro(deal.market.listing, deal.ticks, deal.lots)
        fee = fee_micro(value, ppm)
        fill = Fill(
            self.next_id(), deal.at_ms, deal.market, order.id if order else 0, order.wish.client_id if order else "",
            deal.side, deal.ticks, deal.lots, value, fee, deal.is_taker, deal.kind, deal.trade,
        )  # fmt: skip
        if order is not None:
            order.filled_lots += deal.lots
            order.value_micro += value
            order.fee_micro += fee
        self._draft.fills.append(fill)
        self._book(fill)
        self.on_fill(fill)
        return fill

    def report(self, at_ms: int) -> None:
        """Queue one report of everything since the last one, if anything."""
        draft = self._draft
        self._draft = _Draft()
        if draft == self._draft:
            return
        self.reports.append(
            Report(
                self.id, at_ms, self.balance_micro, tuple(copy(order) for order in draft.orders.values()),
                tuple(draft.fills), tuple(copy(position) for position in draft.positions.values()),
                tuple(draft.payments), tuple(draft.initial_ppm.items()),
            )
        )  # fmt: skip

    def _book(self, fill: Fill) -> None:
        """Into the position: what closes first, what is left opens."""
        symbol, left, value, fee = fill.market.symbol, fill.lots, fill.value_micro, fill.fee_micro
        position = self.positions.get(symbol)
        if position is not None and position.is_long != (fill.side == "bid"):
            closed = min(left, abs(position.lots))
            closed_value, closed_fee = value * closed // left, fee * closed // left
            self.balance_micro += position.take_off(closed, closed_value, closed_fee, fill.at_ms)
            left, value, fee = left - closed, value - closed_value, fee - closed_fee
            self._draft.positions[position.id] = position
            if not position.is_open:
                position.exit_kind = fill.kind
                del self.positions[symbol]
        if left:
            position = self.positions.get(symbol)
            if position is None:
                position = self.positions[symbol] = Position(self.next_id(), fill.market, fill.at_ms, fill.at_ms)
            position.add(fill.side, left, value, fee, fill.at_ms)
            self._draft.positions[position.id] = position
        self.balance_micro -= fill.fee_micro


@dataclass(frozen=True, slots=True)
class Deal:
    """What a fill is made of. `side` is the account's own; `trade` 0 is a take-over by the venue."""

    market: SimMarket
    side: Side
    ticks: int
    lots: int
    at_ms: int
    is_taker: bool
    kind: FillKind = "trade"
    trade: int = 0


class Mirror:
    """An account as its reports tell it. Histories are oldest first and bounded by KEPT."""

    def __init__(self) -> None:
        self.balance_micro = 0
        self.updated_ms = 0
        self.orders: dict[int, OwnOrder] = {}
        """Live and ended ones, in the order of their ids' first appearance."""
        self.positions: dict[str, Position] = {}
        self.closed: deque[Position] = deque(maxlen=KEPT)
        self.fills: deque[Fill] = deque(maxlen=KEPT)
        self.payments: deque[Payment] = deque(maxlen=KEPT)
        self.initial_ppm: dict[str, int] = {}
        self._waiting: deque[tuple[int, Report]] = deque()

    def add(self, report: Report, due_ms: int) -> None:
        """Know a report from `due_ms` on; never before the one that was added before it."""
        self._waiting.append((max(due_ms, self._waiting[-1][0] if self._waiting else 0), report))

    def advance(self, now_ms: int) -> None:
        """Learn what is due."""
        while self._waiting and self._waiting[0][0] <= now_ms:
            self._apply(self._waiting.popleft()[1])

    def open_orders(self) -> list[OwnOrder]:
        """Oldest first."""
        return [order for order in self.orders.values() if order.live]

    def _apply(self, report: Report) -> None:
        self.balance_micro = report.balance_micro
        self.updated_ms = report.at_ms
        for order in report.orders:
            self.orders[order.id] = order
        if len(self.orders) > KEPT:
            ended = [order.id for order in self.orders.values() if not order.live]
            for number in ended[: len(self.orders) - KEPT]:
                del self.orders[number]
        for position in report.positions:
            if position.is_open:
                self.positions[position.market.symbol] = position
            else:
                if position.market.symbol in self.positions and (
                    self.positions[position.market.symbol].id == position.id
                ):
                    del self.positions[position.market.symbol]
                self.closed.append(position)
        self.fills.extend(report.fills)
        self.payments.extend(report.payments)
        self.initial_ppm.update(report.initial_ppm)

"""What we hold and what it earned: the fold of the journal's records.

Everything is kept in exact integers (ticks times lots per leg, micro-dollars for fees and funding) and rounded once,
when asked for. Amounts are in the quote currency of the leg's market, positive = ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import msgspec

from twinleg.core.amounts import MICRO, Grid, micro_usd
from twinleg.core.funding import HOUR_MS, settlement_instant
from twinleg.core.messages import FundingSettled
from twinleg.core.orders import ADDING, Leg, LegPlan, State, trade_number
from twinleg.core.records import (
    Armed,
    ControlChanged,
    FillSeen,
    ForceSeen,
    FundingBooked,
    JournalRecord,
    NumberingBegun,
    Resolved,
    StateChanged,
    TradePlanned,
    TradeRecord,
    Voided,
)
from twinleg.core.trade import Trade, apply, fired, order_of, supposed, whole_common_lots

CLOSED_KEPT = 1000
"""Closed trades kept in full; older ones only in the totals."""

Mids = Mapping[str, Fraction]
"""Mid price in ticks by market: an estimate, never used for anything that is booked."""


class LedgerError(ValueError):
    """Records that contradict each other: the journal is damaged or not ours. Nothing may be opened on top of it."""


class Pnl(msgspec.Struct, frozen=True, kw_only=True):
    """Profit and loss in micro-dollars: price + slippage + funding - fees = equity change, exactly.

    `gross` is what the fills and the valuation of what is still held brought, None when that valuation is unknown.
    `slippage` is the part of it that lies between fill and decision prices (negative = cost), `price` the rest.
    """

    gross_micro_usd: int | None = 0
    realised_micro_usd: int = 0
    """The part of gross that is closed: against the average entry price."""
    slippage_micro_usd: int = 0
    funding_micro_usd: int = 0
    fees_micro_usd: int = 0
    volume_micro_usd: int = 0
    """Notional traded, both ways."""

    @property
    def price_micro_usd(self) -> int | None:
        return None if self.gross_micro_usd is None else self.gross_micro_usd - self.slippage_micro_usd

    @property
    def unrealised_micro_usd(self) -> int | None:
        return None if self.gross_micro_usd is None else self.gross_micro_usd - self.realised_micro_usd

    @property
    def equity_change_micro_usd(self) -> int | None:
        if self.gross_micro_usd is None:
            return None
        return self.gross_micro_usd + self.funding_micro_usd - self.fees_micro_usd

    def __add__(self, other: Pnl) -> Pnl:
        known = self.gross_micro_usd is not None and other.gross_micro_usd is not None
        return Pnl(
            gross_micro_usd=(self.gross_micro_usd or 0) + (other.gross_micro_usd or 0) if known else None,
            realised_micro_usd=self.realised_micro_usd + other.realised_micro_usd,
            slippage_micro_usd=self.slippage_micro_usd + other.slippage_micro_usd,
            funding_micro_usd=self.funding_micro_usd + other.funding_micro_usd,
            fees_micro_usd=self.fees_micro_usd + other.fees_micro_usd,
            volume_micro_usd=self.volume_micro_usd + other.volume_micro_usd,
        )


class LegAccount(msgspec.Struct):
    """The money of one leg, kept up by the Ledger alone.

    "Tick-lots" are ticks times lots; LegPlan.money_unit is what one is worth.
    """

    entered_lots: int = 0
    entered_ticklots: int = 0
    reduced_lots: int = 0
    reduced_ticklots: int = 0
    slippage_ticklots: int = 0
    """Sum of (decision - fill price) times size, signed so that negative is a cost."""
    fees_micro_usd: int = 0
    funding_micro_usd: int = 0
    settlements: set[int] = msgspec.field(default_factory=set)
    """The instants (epoch ms) whose funding is booked."""
    holdings: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(at_ms, lots held from then on), one per change."""

    @property
    def held_lots(self) -> int:
        return self.entered_lots - self.reduced_lots

    def book(self, lots_change: int, price_ticks: int, fee_micro_usd: int, at_ms: int) -> None:
        """The leg holds more (positive) or less from now on."""
        if lots_change > 0:
            self.entered_lots += lots_change
            self.entered_ticklots += lots_change * price_ticks
        else:
            self.reduced_lots -= lots_change
            self.reduced_ticklots -= lots_change * price_ticks
        self.fees_micro_usd += fee_micro_usd
        self.holdings.append((at_ms, self.entered_lots - self.reduced_lots))

    def held_at(self, at_ms: int) -> int:
        """Lots held at an instant, which decides whether a settlement concerns us."""
        return next((lots for since_ms, lots in reversed(self.holdings) if since_ms <= at_ms), 0)

    def pnl(self, leg: Leg, plan: LegPlan, mid_ticks: Fraction | None) -> Pnl:
        """Valued at `mid_ticks`; without it, what is still held makes gross unknown."""
        sign, unit = leg.entry_side.sign, plan.money_unit
        realised: int | Fraction = sign * (self.reduced_ticklots - self.entered_ticklots)
        gross: int | Fraction = realised
        if self.held_lots:
            cost = Fraction(self.entered_ticklots, self.entered_lots) if self.entered_lots else Fraction(0)
            realised = gross = sign * (self.reduced_ticklots - self.reduced_lots * cost)
            if mid_ticks is not None:
                gross += sign * self.held_lots * (mid_ticks - cost)
        known = mid_ticks is not None or not self.held_lots
        return Pnl(
            gross_micro_usd=_money(gross, unit) if known else None,
            realised_micro_usd=_money(realised, unit),
            slippage_micro_usd=_money(self.slippage_ticklots, unit),
            funding_micro_usd=self.funding_micro_usd,
            fees_micro_usd=self.fees_micro_usd,
            volume_micro_usd=_money(self.entered_ticklots + self.reduced_ticklots, unit),
        )


def _money(ticklots: int | Fraction, unit: Fraction) -> int:
    """Tick-lots in micro-dollars. Whole ones, which is what finished trades have, without making a Fraction."""
    if isinstance(ticklots, Fraction):
        return micro_usd(ticklots * unit)
    doubled, divisor = 2 * abs(ticklots) * unit.numerator * MICRO, unit.denominator
    rounded = (doubled + divisor) // (2 * divisor)
    return rounded if ticklots >= 0 else -rounded


class TradeAccount(msgspec.Struct, kw_only=True):
    """One trade with its money and its times, kept up by the Ledger alone."""

    trade: Trade
    terms: dict[str, float]
    """The expected edge's terms when the trade was planned."""
    planned_at_ms: int
    hedged_at_ms: int | None = None
    """When its legs first matched."""
    closed_at_ms: int | None = None
    unhedged_since_ms: int | None = None
    """Since when the legs differ by a common lot or more."""
    unhedged_ms: int = 0
    """How long they did in all, without the stretch that is going on."""
    long: LegAccount = msgspec.field(default_factory=LegAccount)
    short: LegAccount = msgspec.field(default_factory=LegAccount)
    final: dict[Leg, Pnl] | None = None
    """Per leg, once the trade is finished: no price changes it any more. Spares valuing old trades again and again."""

    def leg(self, leg: Leg) -> LegAccount:
        return self.long if leg is Leg.LONG else self.short

    def leg_pnl(self, leg: Leg, mids: Mids) -> Pnl:
        if self.final is not None:
            return self.final[leg]
        plan = self.trade.plan.leg(leg)
        return self.leg(leg).pnl(leg, plan, mids.get(plan.market))

    def pnl(self, mids: Mids) -> Pnl:
        """Both legs together. Quote currencies are added at par: edge and guard watch their ratio."""
        return self.leg_pnl(Leg.LONG, mids) + self.leg_pnl(Leg.SHORT, mids)


class Ledger:
    """All trades: open ones and the last CLOSED_KEPT closed ones in full, older ones as totals."""

    def __init__(self, records: Iterable[JournalRecord] = ()) -> None:
        self.trades: dict[str, TradeAccount] = {}
        self.retired = Pnl()
        self.retired_micro_usd: dict[str, int] = {}
        """Equity change of the retired trades by venue."""
        self.armed: dict[str, Armed] = {}
        """Entries got ready and neither sent nor voided, by trade. As long as the process lives they are no risk."""
        self.planned = 0
        self.first_number = self.next_number = 1
        """Numbers of the first and of the next trade: orders are named by them, in no two journals alike."""
        self.applied = 0
        """Records folded in so far: a cheap way to see that something changed."""
        self.control: ControlChanged | None = None
        """What the operator said last, None = never anything."""
        self._closed: dict[str, None] = {}  # ids in the order of closing
        for record in records:
            self.apply(record)

    def apply(self, record: JournalRecord) -> TradeAccount | None:
        """Fold one more record in and return its trade's account, if it is of one. Raises LedgerError."""
        if isinstance(record, Armed | Voided | ControlChanged | NumberingBegun):
            self._apply_of_none(record)
            return None
        if isinstance(record, TradePlanned):
            armed = self.armed.pop(record.trade_id, None)
            trade = Trade(record.plan) if armed is None else fired(armed, record.plan, record.at_ms)
            account = self._add(trade, record.terms, record.at_ms)
        else:
            if record.trade_id in self.armed:  # a restart went on with it
                self.suppose_sent(record.trade_id)
            known = self.trades.get(record.trade_id)
            if known is None:
                raise LedgerError(f"{type(record).__name__} of unknown trade {record.trade_id}")
            account = known
            _take(account, record)
        self.applied += 1
        if account.trade.state is State.CLOSED or account.final is not None:
            self._retire(record.trade_id, account)
        return account

    def suppose_sent(self, *trade_ids: str) -> None:
        """The process that armed these (none named: all) has ended: they may have been sent, and are trades now."""
        for trade_id in trade_ids or tuple(self.armed):
            armed = self.armed.pop(trade_id)
            self._add(supposed(armed), {}, armed.at_ms)

    def _add(self, trade: Trade, terms: dict[str, float], at_ms: int) -> TradeAccount:
        """A new trade. Raises LedgerError."""
        if (trade_id := trade.plan.trade_id) in self.trades:
            raise LedgerError(f"trade {trade_id} planned twice")
        self.next_number = max(self.next_number, trade_number(trade_id) + 1)
        self.trades[trade_id] = TradeAccount(trade=trade, terms=terms, planned_at_ms=at_ms)
        self.planned += 1
        return self.trades[trade_id]

    def _apply_of_none(self, record: Armed | Voided | ControlChanged | NumberingBegun) -> None:
        """What concerns no trade, or none yet. Raises LedgerError."""
        if isinstance(record, Armed):
            if record.trade_id in self.trades or trade_number(record.trade_id) < self.next_number:
                raise LedgerError(f"trade {record.trade_id} armed after its number was spent")
            self.next_number = trade_number(record.trade_id) + 1
            self.armed[record.trade_id] = record
        elif isinstance(record, Voided) and record.trade_id not in self.armed:
            raise LedgerError(f"trade {record.trade_id} voided, and it was not armed")
        elif isinstance(record, Voided):
            del self.armed[record.trade_id]
        elif isinstance(record, ControlChanged):
            self.control = record
        elif self.planned:
            raise LedgerError("the numbering begins after the first trade")
        else:
            self.first_number = self.next_number = record.first_number
        self.applied += 1

    def _retire(self, trade_id: str, account: TradeAccount) -> None:
        """Value a finished trade for good, unless late news opened it again; keep the last CLOSED_KEPT of them."""
        account.final = None
        if account.trade.finished:
            account.final = {leg: account.leg_pnl(leg, {}) for leg in Leg}
        if account.final is None:
            self._closed.pop(trade_id, None)
            return
        self._closed.setdefault(trade_id)
        if len(self._closed) > CLOSED_KEPT:
            oldest = next(iter(self._closed))
            del self._closed[oldest]
            retired = self.trades.pop(oldest)
            for leg in Leg:
                venue, made = retired.trade.plan.leg(leg).venue, retired.leg_pnl(leg, {})
                assert made.equity_change_micro_usd is not None, "a closed trade holds nothing"
                self.retired += made
                self.retired_micro_usd[venue] = self.retired_micro_usd.get(venue, 0) + made.equity_change_micro_usd

    def open_trades(self) -> list[TradeAccount]:
        """Every trade that is not finished, HALTED ones included."""
        return [account for trade_id, account in self.trades.items() if trade_id not in self._closed]

    def positions(self) -> dict[str, int]:
        """Signed lots by market over all trades; markets where nothing is held are left out."""
        lots: dict[str, int] = {}
        for account in self.trades.values():
            for leg in Leg:
                market = account.trade.plan.leg(leg).market
                lots[market] = lots.get(market, 0) + leg.entry_side.sign * account.leg(leg).held_lots
        return {market: held for market, held in lots.items() if held}

    def pnl(self, mids: Mids) -> Pnl:
        """Everything since the first record."""
        return sum((account.pnl(mids) for account in self.trades.values()), self.retired)


def _take(account: TradeAccount, record: TradeRecord) -> None:
    """One more fact about a trade. Raises LedgerError, and then nothing has changed."""
    if isinstance(record, FillSeen):
        _take_fill(account, record)
        return
    if isinstance(record, FundingBooked):
        _take_funding(account.leg(record.leg), record)
        return
    before = account.trade
    try:
        account.trade = apply(before, record)
    except LookupError as error:
        raise LedgerError(str(error)) from error
    match record:
        case StateChanged():
            account.closed_at_ms = record.at_ms if record.state is State.CLOSED else None
            if record.state is State.HEDGED and account.hedged_at_ms is None:
                account.hedged_at_ms = record.at_ms
        case ForceSeen(forced=forced):
            account.leg(forced.leg).book(-forced.size_lots, forced.price_ticks, forced.fee_micro_usd, record.at_ms)
            _time_exposure(account, record.at_ms)
        case Resolved():
            for leg in Leg:
                said = record.holding(leg)
                if said.lots != before.held(leg):
                    account.leg(leg).book(said.lots - before.held(leg), said.price_ticks, 0, record.at_ms)
            _time_exposure(account, record.at_ms)


def _take_fill(account: TradeAccount, record: FillSeen) -> None:
    fill = record.fill
    try:
        order = order_of(account.trade, fill.client_id)
    except LookupError as error:
        raise LedgerError(str(error)) from error
    if fill.fill_id in order.fill_ids:
        raise LedgerError(f"fill {fill.fill_id} of {fill.client_id} recorded twice")
    account.trade = apply(account.trade, record)
    intent, leg = order.intent, account.leg(order.intent.leg)
    lots_change = fill.size_lots if intent.purpose in ADDING else -fill.size_lots
    leg.book(lots_change, fill.price_ticks, fill.fee_micro_usd, fill.at_ms)
    leg.slippage_ticklots += intent.side.sign * (intent.decision_price_ticks - fill.price_ticks) * fill.size_lots
    _time_exposure(account, fill.at_ms)


def _time_exposure(account: TradeAccount, at_ms: int) -> None:
    """How long the legs have differed, as of a change of what they hold."""
    if whole_common_lots(account.trade.plan, account.long.held_lots, account.short.held_lots):
        if account.unhedged_since_ms is None:
            account.unhedged_since_ms = at_ms
    elif account.unhedged_since_ms is not None:
        account.unhedged_ms += max(0, at_ms - account.unhedged_since_ms)
        account.unhedged_since_ms = None


def _take_funding(leg: LegAccount, record: FundingBooked) -> None:
    if record.settled_at_ms in leg.settlements:
        raise LedgerError(f"funding of {record.trade_id} {record.leg.value} at {record.settled_at_ms} booked twice")
    leg.funding_micro_usd += record.amount_micro_usd
    leg.settlements.add(record.settled_at_ms)


def funding_payment(
    leg: Leg, size_lots: int, size_grid: Grid, price: float, rate_per_hour: float, interval_hours: float
) -> int:
    """Funding for one settlement in micro-dollars, positive when received: size x price x rate x hours.

    A positive rate means that longs pay shorts. The floats are what the venue said and enter as they are.
    """
    notional = size_lots * size_grid.unit * Fraction(price)
    return -leg.entry_side.sign * micro_usd(notional * Fraction(rate_per_hour) * Fraction(interval_hours))


def funding_due(
    account: TradeAccount, leg: Leg, settled: FundingSettled, price: float, at_ms: int
) -> FundingBooked | None:
    """The booking that a settlement means for a leg, charged on `price` in quote currency.

    None when the leg's market is another, it held nothing at that instant, or it is booked already. Venues and their
    channels stamp one settlement differently: its calendar instant is what makes it unique.
    """
    plan, money = account.trade.plan.leg(leg), account.leg(leg)
    instant_ms = settlement_instant(settled.settled_at_ms, round(settled.interval_hours * HOUR_MS))
    lots = money.held_at(instant_ms)
    if settled.market != plan.market or lots == 0 or instant_ms in money.settlements:
        return None
    return FundingBooked(
        trade_id=account.trade.plan.trade_id,
        leg=leg,
        market=settled.market,
        rate_per_hour=settled.rate_per_hour,
        interval_hours=settled.interval_hours,
        price=price,
        amount_micro_usd=funding_payment(
            leg, lots, plan.size_grid, price, settled.rate_per_hour, settled.interval_hours
        ),
        settled_at_ms=instant_ms,
        at_ms=at_ms,
    )

"""What is known of one trade: the fold of its journal records, and what is news to it. Decides nothing."""

from __future__ import annotations

import msgspec

from twinleg.core.amounts import micro_usd
from twinleg.core.orders import (
    ADDING,
    Filled,
    Intent,
    Leg,
    OrderAccepted,
    OrderDone,
    OrderEvent,
    OrderRejected,
    OrderStatus,
    OrderUnknown,
    State,
    TimeInForce,
    TradePlan,
)
from twinleg.core.records import (
    Armed,
    FillSeen,
    ForceSeen,
    IntentMade,
    OutcomeSeen,
    Resolved,
    StateChanged,
    TradeRecord,
)

ENDED = (OrderStatus.DONE, OrderStatus.REJECTED, OrderStatus.RESOLVED)
PROOF_MS = 900_000
"""By so long after its deadline every venue has proven, by not showing it, that an order never arrived."""


class Order(msgspec.Struct, frozen=True):
    """One of our orders and what the venue has told about it."""

    intent: Intent
    status: OrderStatus = OrderStatus.SENT
    filled_lots: int = 0
    """The sum of the fills seen."""
    done_lots: int = 0
    """The venue's cumulative truth, once it has said that the order is over."""
    fill_ids: frozenset[str] = frozenset()

    @property
    def ended(self) -> bool:
        """The venue says that it is over, or the operator does."""
        return self.status in ENDED

    @property
    def settled(self) -> bool:
        """Over, and every fill of it has been seen."""
        return self.ended and (self.filled_lots >= self.done_lots or self.status is OrderStatus.RESOLVED)


class Trade(msgspec.Struct, frozen=True):
    """Everything known about one trade. `due_ms` is when its clock rings, None when it has none."""

    plan: TradePlan
    state: State = State.PLANNED
    orders: tuple[Order, ...] = ()
    attempts_spent: int = 0
    due_ms: int | None = None
    exit_reason: str | None = None
    patient: bool = False
    """The exit may be given up."""
    adjusted: tuple[int, int] = (0, 0)
    """Lots that the long and the short leg hold beside the fills of our orders: forced by a venue, or the operator's
    word."""
    force_ids: frozenset[str] = frozenset()
    supposed: bool = False
    """Its orders were armed when the process ended: whether they were sent is to be found out."""

    def of_leg(self, leg: Leg) -> list[Order]:
        return [order for order in self.orders if order.intent.leg is leg]

    def held(self, leg: Leg) -> int:
        """Lots held on a leg by all that was seen, positive in the leg's own direction."""
        lots = self.adjusted[leg is Leg.SHORT]
        for order in self.orders:
            if order.intent.leg is leg:
                lots += order.filled_lots if order.intent.purpose in ADDING else -order.filled_lots
        return lots

    @property
    def unsettled(self) -> list[Order]:
        """Orders that may still fill, or whose fills have not all been seen."""
        return [order for order in self.orders if not order.settled]

    @property
    def in_doubt(self) -> list[Order]:
        """Orders whose fate time alone brings to light: they may never have come, or are over and not seen to be."""
        open_fates = (OrderStatus.SENT, OrderStatus.UNKNOWN)
        return [
            order
            for order in self.unsettled
            if order.status in open_fates or order.intent.time_in_force is TimeInForce.IOC
        ]

    @property
    def flat(self) -> bool:
        return self.held(Leg.LONG) == 0 and self.held(Leg.SHORT) == 0

    @property
    def finished(self) -> bool:
        """Closed, and nothing is known that speaks against it (a crash may cut a step's records short)."""
        return self.state is State.CLOSED and self.flat and not self.unsettled


def fired(armed: Armed, plan: TradePlan, at_ms: int) -> Trade:
    """What an armed entry becomes as it is sent: slippage counts from the prices of `plan`, made at that moment."""
    intents = [
        msgspec.structs.replace(one, decision_price_ticks=plan.leg(one.leg).decision_ticks) for one in armed.intents
    ]
    return Trade(plan, State.ENTERING, tuple(map(Order, intents)), due_ms=at_ms + plan.unhedged_ms_max)


def supposed(armed: Armed) -> Trade:
    """What an armed entry is to whoever finds it in a journal: perhaps sent, perhaps not."""
    due_ms = max(one.deadline_ms for one in armed.intents) + PROOF_MS
    return Trade(armed.plan, State.ENTERING, tuple(map(Order, armed.intents)), due_ms=due_ms, supposed=True)


def whole_common_lots(plan: TradePlan, long_lots: int, short_lots: int) -> int:
    """Whole common lots between what two legs hold, positive when the long leg holds more; dust is not counted."""
    long_lot, short_lot = plan.long.lots_per_common_lot, plan.short.lots_per_common_lot
    gap = long_lots * short_lot - short_lots * long_lot
    return gap // (long_lot * short_lot) if gap >= 0 else -(-gap // (long_lot * short_lot))


def common_lots_ahead(trade: Trade) -> int:
    """Whole common lots that the long leg holds more than the short one, negative the other way; dust not counted."""
    return whole_common_lots(trade.plan, trade.held(Leg.LONG), trade.held(Leg.SHORT))


def worth_holding(trade: Trade) -> bool:
    """Both legs hold at least one common lot, and within one of each other."""
    enough = all(trade.held(leg) >= trade.plan.leg(leg).lots_per_common_lot for leg in Leg)
    return enough and exposed(trade) is None


def exposed(trade: Trade) -> tuple[Leg, int] | None:
    """The leg that holds more and by how many of its own lots, or None within one common lot (dust, carried)."""
    long_lot, short_lot = trade.plan.long.lots_per_common_lot, trade.plan.short.lots_per_common_lot
    gap = trade.held(Leg.LONG) * short_lot - trade.held(Leg.SHORT) * long_lot
    if abs(gap) < long_lot * short_lot:
        return None
    return (Leg.LONG, gap // short_lot) if gap > 0 else (Leg.SHORT, -gap // long_lot)


def unhedged_micro_usd(trade: Trade) -> int:
    """What the exposed leg holds too much, at its decision price."""
    over = exposed(trade)
    if over is None:
        return 0
    leg, lots = over
    return micro_usd(lots * trade.plan.leg(leg).decision_ticks * trade.plan.leg(leg).money_unit)


def contradiction(trade: Trade) -> str | None:
    """What cannot be true in what we know of the trade, or None."""
    for order in trade.orders:
        if order.status is OrderStatus.RESOLVED:
            continue
        if max(order.filled_lots, order.done_lots) > order.intent.size_lots:
            return f"order {order.intent.client_id} filled more than its size"
    for leg in Leg:
        # Below flat only once every fill of the leg is seen: a liquidation may be told before the fills it follows.
        least = -trade.plan.lots(leg) if any(not order.settled for order in trade.of_leg(leg)) else 0
        if not least <= trade.held(leg) <= trade.plan.lots(leg):
            return f"the {leg.value} leg holds {trade.held(leg)} lots of {trade.plan.lots(leg)} planned"
    return None


def halt_text(trade: Trade, because: str) -> str:
    """What the operator must know of a trade that halts."""
    plan = trade.plan
    held = ", ".join(f"{leg.value} {trade.held(leg)} lots of {plan.leg(leg).market}" for leg in Leg)
    unsettled = "".join(f", order {order.intent.client_id} is {order.status.value}" for order in trade.unsettled)
    return f"trade {plan.trade_id} ({plan.asset}) halted: {because}; holds {held}{unsettled}"


def apply(trade: Trade, record: TradeRecord) -> Trade:
    """The trade with one more fact. Decides nothing; a record of an order it does not have raises LookupError."""
    match record:
        case IntentMade():
            return msgspec.structs.replace(trade, orders=(*trade.orders, Order(record.intent)))
        case OutcomeSeen():
            order = order_of(trade, record.client_id)
            done_lots = max(order.done_lots, record.filled_lots)
            changed = Order(order.intent, record.status, order.filled_lots, done_lots, order.fill_ids)
            return _with_order(trade, order, changed)
        case FillSeen():
            return _apply_fill(trade, record.fill)
        case StateChanged():
            return msgspec.structs.replace(
                trade,
                state=record.state,
                attempts_spent=record.attempts_spent,
                due_ms=record.due_ms,
                exit_reason=record.exit_reason,
                patient=record.patient,
            )
        case ForceSeen(forced=forced):
            return msgspec.structs.replace(
                trade,
                adjusted=_adjusted(trade, forced.leg, -forced.size_lots),
                force_ids=trade.force_ids | {forced.force_id},
            )
        case Resolved():
            return _apply_resolved(trade, record)
        case _:
            return trade


def news(trade: Trade, order: Order, event: OrderEvent) -> TradeRecord | None:
    """The fact in `event` that we did not know, if any. What arrives late never overwrites what is final."""
    if order.status is OrderStatus.RESOLVED:
        return None
    if isinstance(event, Filled):
        known = event.fill_id in order.fill_ids
        return None if known else FillSeen(trade_id=trade.plan.trade_id, fill=event, at_ms=event.at_ms)
    status = _status_after(order, event)
    done_lots = event.filled_lots if isinstance(event, OrderDone) else 0
    if status is order.status and done_lots <= order.done_lots:
        return None
    return OutcomeSeen(
        trade_id=trade.plan.trade_id,
        client_id=event.client_id,
        status=status,
        reason="" if isinstance(event, OrderAccepted) else event.reason,
        filled_lots=done_lots,
        at_ms=event.at_ms,
    )


def _status_after(order: Order, event: OrderAccepted | OrderUnknown | OrderRejected | OrderDone) -> OrderStatus:
    if isinstance(event, OrderDone):
        return OrderStatus.DONE
    if order.ended:
        return order.status
    match event:
        case OrderAccepted():
            return OrderStatus.ACCEPTED
        case OrderUnknown():
            return OrderStatus.UNKNOWN if order.status is OrderStatus.SENT else order.status
        case OrderRejected():
            # A rejected order cannot have filled: where both are told, neither is believed before it is read back.
            return OrderStatus.UNKNOWN if order.filled_lots else OrderStatus.REJECTED


def _apply_fill(trade: Trade, fill: Filled) -> Trade:
    """A fill always counts. One beyond what the venue called the end of its order opens the order's fate again."""
    order = order_of(trade, fill.client_id)
    filled_lots = order.filled_lots + fill.size_lots
    reopened = order.ended and filled_lots > order.done_lots
    status = OrderStatus.UNKNOWN if reopened else order.status
    return _with_order(
        trade, order, Order(order.intent, status, filled_lots, order.done_lots, order.fill_ids | {fill.fill_id})
    )


def _adjusted(trade: Trade, leg: Leg, lots_change: int) -> tuple[int, int]:
    long, short = trade.adjusted
    return (long + lots_change, short) if leg is Leg.LONG else (long, short + lots_change)


def _apply_resolved(trade: Trade, record: Resolved) -> Trade:
    orders = tuple(
        msgspec.structs.replace(order, status=OrderStatus.RESOLVED)
        if not order.settled or max(order.filled_lots, order.done_lots) > order.intent.size_lots
        else order
        for order in trade.orders
    )
    long, short = (
        held + record.holding(leg).lots - trade.held(leg) for leg, held in zip(Leg, trade.adjusted, strict=True)
    )
    return msgspec.structs.replace(trade, orders=orders, adjusted=(long, short))


def order_of(trade: Trade, order_id: str) -> Order:
    for order in reversed(trade.orders):  # news is mostly of the latest
        if order.intent.client_id == order_id:
            return order
    raise LookupError(f"trade {trade.plan.trade_id} has no order {order_id}")


def _with_order(trade: Trade, order: Order, changed: Order) -> Trade:
    orders = tuple([changed if one is order else one for one in trade.orders])
    return Trade(
        trade.plan,
        trade.state,
        orders,
        trade.attempts_spent,
        trade.due_ms,
        trade.exit_reason,
        trade.patient,
        trade.adjusted,
        trade.force_ids,
        trade.supposed,
    )

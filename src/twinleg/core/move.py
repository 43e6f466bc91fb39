"""One step of a trade in the making: what is known so far, its new records, and what to do once these are durable.

It decides nothing by itself: core.hedge and core.pursue say what to do. An order is within the plan and above flat, one
at a time on a leg, never without a clock: that is asserted here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from twinleg.core.effects import Alert, Arm, Cancel, Effect, Persist, Place, Query, Severity
from twinleg.core.orders import (
    ADDING,
    ORDERS_PER_LEG_MAX,
    ExitWish,
    Intent,
    Leg,
    Purpose,
    Side,
    State,
    TimeInForce,
    client_id,
)
from twinleg.core.records import IntentMade, StateChanged, TradeRecord
from twinleg.core.trade import Trade, apply, halt_text


class Quote(msgspec.Struct, frozen=True):
    """The touch of one market in ticks; None where nothing is shown."""

    bid_ticks: int | None
    ask_ticks: int | None

    def taken_by(self, side: Side) -> int | None:
        """The price that an order of `side` meets."""
        return self.ask_ticks if side is Side.BUY else self.bid_ticks


Quotes = Mapping[Leg, Quote]
"""The touch per leg as far as known. A missing leg never stops an order that reduces."""


class Price(msgspec.Struct, frozen=True):
    """The limit of an order and the price it was decided on, in ticks."""

    limit_ticks: int
    decision_ticks: int


class Move:
    """See the head of this file. Every Persist comes before every deed."""

    def __init__(self, trade: Trade, at_ms: int, quotes: Quotes) -> None:
        self.trade = trade
        self.at_ms = at_ms
        self._quotes = quotes
        self._records: list[Effect] = []
        self._deeds: list[Effect] = []

    @property
    def effects(self) -> tuple[Effect, ...]:
        return (*self._records, *self._deeds)

    def record(self, record: TradeRecord) -> None:
        self.trade = apply(self.trade, record)
        self._records.append(Persist(record))

    def change(
        self, state: State, because: str, *, spent: int = 0, due_ms: int | None = None, wish: ExitWish | None = None
    ) -> None:
        """Go to `state`, its clock armed for `due_ms` (None: without one). A wish to exit is noted on the way."""
        self._note(state, because, (spent, due_ms), wish)
        if due_ms is not None:
            self._deeds.append(Arm(self.trade.plan.trade_id, due_ms))

    def wishes(self, wish: ExitWish) -> None:
        """Note a wish to exit, its time not yet come: state and clock stay as they are."""
        trade = self.trade
        self._note(trade.state, f"exit wanted: {wish.reason}", (trade.attempts_spent, trade.due_ms), wish)

    def _note(self, state: State, because: str, clock: tuple[int, int | None], wish: ExitWish | None) -> None:
        """The first exit reason stays until the trade is hedged again; a wish that is not patient ends all patience."""
        reason, patient = self.trade.exit_reason, self.trade.patient
        if wish is not None:
            patient = wish.patient and (reason is None or patient)
            reason = reason or wish.reason
        if state is State.HEDGED:
            reason, patient = None, False
        self.record(
            StateChanged(
                trade_id=self.trade.plan.trade_id,
                state=state,
                attempts_spent=clock[0],
                due_ms=clock[1],
                exit_reason=reason,
                patient=patient,
                because=because,
                at_ms=self.at_ms,
            )
        )

    def place(
        self, leg: Leg, purpose: Purpose, size_lots: int, price: Price, rests: TimeInForce = TimeInForce.IOC
    ) -> None:
        """One more order on a leg, or a halt when the leg may have no more. The assertions are invariant I4."""
        trade, plan = self.trade, self.trade.plan
        reduces = purpose not in ADDING
        assert 0 < size_lots <= (trade.held(leg) if reduces else plan.lots(leg) - trade.held(leg)), (leg, size_lots)
        assert all(order.settled for order in trade.of_leg(leg)), "one order at a time on a leg"
        assert trade.due_ms is not None, "an order without a clock"
        attempt = len(trade.of_leg(leg))
        if attempt >= ORDERS_PER_LEG_MAX:
            self.halt(f"the {leg.value} leg has had {attempt} orders and may have no more")
            return
        intent = Intent(
            trade_id=plan.trade_id,
            leg=leg,
            attempt=attempt,
            client_id=client_id(plan.trade_id, leg, attempt),
            venue=plan.leg(leg).venue,
            market=plan.leg(leg).market,
            side=leg.entry_side.opposite if reduces else leg.entry_side,
            size_lots=size_lots,
            limit_ticks=price.limit_ticks,
            reduce_only=reduces,
            time_in_force=rests,
            purpose=purpose,
            deadline_ms=trade.due_ms,
            decision_price_ticks=price.decision_ticks,
        )
        self.record(IntentMade(intent=intent, at_ms=self.at_ms))
        self._deeds.append(Place(intent))

    def placed_in_attempt(self, leg: Leg, purpose: Purpose) -> bool:
        """This attempt has had its order of that purpose on the leg: an order's deadline is its attempt's clock."""
        intents = [order.intent for order in self.trade.of_leg(leg)]
        return any(one.purpose is purpose and one.deadline_ms == self.trade.due_ms for one in intents)

    def touch(self, leg: Leg, side: Side) -> int | None:
        """The price in ticks that an order of `side` meets now, None when it is not known."""
        quote = self._quotes.get(leg)
        return None if quote is None else quote.taken_by(side)

    def cancel(self) -> None:
        """Take back what may rest."""
        self._deeds += [Cancel(order.intent.client_id) for order in self.trade.unsettled if not order.ended]

    def read_back(self) -> None:
        """Ask for every order that may still fill, or whose fills have not all been seen."""
        self._deeds += [Query(order.intent.client_id) for order in self.trade.unsettled]

    def query(self, order_id: str) -> None:
        self._deeds.append(Query(order_id))

    def alert(self, text: str) -> None:
        self._deeds.append(Alert(Severity.CRITICAL, text))

    def halt(self, because: str) -> None:
        """No more from us: cancel what may rest, tell the operator. Halted stays halted."""
        if self.trade.state is State.HALTED:
            return
        self.cancel()
        self.change(State.HALTED, because, spent=self.trade.attempts_spent)
        self.alert(halt_text(self.trade, because))

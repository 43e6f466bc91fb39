"""What waits for the desk's worker beside the events of trades."""

from __future__ import annotations

import asyncio

import msgspec

from twinleg.core.effects import Effect
from twinleg.core.messages import FundingSettled
from twinleg.core.orders import Event, ExitWanted, OperatorEvent, OrderEvent, TradePlan
from twinleg.core.records import ControlChanged, NumberingBegun
from twinleg.runtime.books import Pending

Wish = OperatorEvent | ExitWanted | ControlChanged | NumberingBegun


class Settled(msgspec.Struct, frozen=True):
    """A settlement that may concern our trades, with the price it is booked on."""

    event: FundingSettled
    price: float
    at_ms: int


class TryAgain(msgspec.Struct, frozen=True):
    """The journal refused an entry: after a while the next one may try."""


class Asked(msgspec.Struct, frozen=True):
    """A wish of the operator's, who waits for the answer: None = done, else why not."""

    wish: Wish
    plan: TradePlan | None
    """Of the trade that the wish begins with."""
    answer: asyncio.Future[str | None]


class Step(msgspec.Struct, frozen=True):
    """What an event led to: its effects, and how far its records have come."""

    plan: TradePlan
    effects: tuple[Effect, ...]
    pending: Pending


Inboxed = Event | Settled | TryAgain | Asked | Step


def trade_of(event: Event) -> str:
    """The trade that an event is about."""
    return event.client_id.rsplit("-", 2)[0] if isinstance(event, OrderEvent) else event.trade_id

"""The rows of the journal: facts in the order they became known, as JSON.

Each type's tag ends in its version. A type whose shape changes keeps its old version readable beside the new one; a row
with an unknown tag or field was written by a newer version and is refused, never read in part.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from twinleg.core.orders import (
    Filled,
    Holding,
    Intent,
    Leg,
    OrderStatus,
    PositionForced,
    State,
    TradePlan,
)


class RecordError(ValueError):
    """A journal row that this version cannot read: damaged, or from a newer one. Nothing may be opened on top of it."""


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all records share. `at_ms` is when the fact became known."""

    at_ms: int


class TradePlanned(_Row, frozen=True, kw_only=True, tag="trade_planned/1"):
    """A trade was decided. `terms` are the expected edge's terms by name (estimates, in the units their names say)."""

    plan: TradePlan
    terms: dict[str, float]

    @property
    def trade_id(self) -> str:
        return self.plan.trade_id


class IntentMade(_Row, frozen=True, kw_only=True, tag="intent_made/1"):
    """An order is about to be sent."""

    intent: Intent

    @property
    def trade_id(self) -> str:
        return self.intent.trade_id


class OutcomeSeen(_Row, frozen=True, kw_only=True, tag="outcome_seen/1"):
    """What became of a submission or an order. `filled_lots` counts with DONE only: the venue's cumulative truth."""

    trade_id: str
    client_id: str
    status: OrderStatus
    reason: str = ""
    filled_lots: int = 0


class FillSeen(_Row, frozen=True, kw_only=True, tag="fill_seen/1"):
    """One execution of one of our orders."""

    trade_id: str
    fill: Filled


class FundingBooked(_Row, frozen=True, kw_only=True, tag="funding_booked/1"):
    """Funding settled on a leg: unique per (trade, leg, settled_at_ms). The amount is positive when received."""

    trade_id: str
    leg: Leg
    market: str
    rate_per_hour: float
    interval_hours: float
    price: float
    amount_micro_usd: int
    settled_at_ms: int


class StateChanged(_Row, frozen=True, kw_only=True, tag="state_changed/1"):
    """The trade's state, the attempts its repair or exit has spent, and when its clock rings next."""

    trade_id: str
    state: State
    attempts_spent: int
    due_ms: int | None
    exit_reason: str | None
    because: str
    patient: bool = False


class ForceSeen(_Row, frozen=True, kw_only=True, tag="force_seen/1"):
    """A leg was reduced, not by an order of ours."""

    forced: PositionForced

    @property
    def trade_id(self) -> str:
        return self.forced.trade_id


class Resolved(_Row, frozen=True, kw_only=True, tag="resolved/1"):
    """What the operator says that the trade holds. Its orders are over."""

    trade_id: str
    long: Holding
    short: Holding
    reason: str

    def holding(self, leg: Leg) -> Holding:
        return self.long if leg is Leg.LONG else self.short


class Control(Enum):
    """What the operator lets the engine do. All but RUNNING last over restarts, until lifted with a reason."""

    RUNNING = "running"
    PAUSED = "paused"
    """Nothing is opened."""
    STOPPED = "stopped"
    """Nothing is opened, what rests of entries is cancelled, what is held is held."""


class ControlChanged(_Row, frozen=True, kw_only=True, tag="control_changed/1"):
    """The operator, or the machine itself, changed what may be done. It concerns no single trade."""

    control: Control
    reason: str

    @property
    def trade_id(self) -> str:
        return ""


class NumberingBegun(_Row, frozen=True, kw_only=True, tag="numbering_begun/1"):
    """Before the first trade of a journal whose orders go to venues: its trades are numbered from here on.

    No two journals of an account may name orders alike, or the one would take the other's fills for its own.
    """

    first_number: int

    @property
    def trade_id(self) -> str:
        return ""


class Armed(_Row, frozen=True, kw_only=True, tag="armed/1"):
    """An entry was got ready: from here on both its orders may be sent without another word.

    Its trade number is spent. A TradePlanned of that number takes it up as it is sent; a journal that says no more of
    it does not tell whether it was.
    """

    plan: TradePlan
    intents: tuple[Intent, Intent]
    """Of the long and the short leg."""

    @property
    def trade_id(self) -> str:
        return self.plan.trade_id

    @property
    def made(self) -> list[IntentMade]:
        """What it says of each order."""
        return [IntentMade(intent=intent, at_ms=self.at_ms) for intent in self.intents]


class Voided(_Row, frozen=True, kw_only=True, tag="voided/1"):
    """Nothing of an armed entry was sent, and nothing will be."""

    trade_id: str
    reason: str


TradeRecord = TradePlanned | IntentMade | OutcomeSeen | FillSeen | FundingBooked | StateChanged | ForceSeen | Resolved
JournalRecord = TradeRecord | Armed | Voided | ControlChanged | NumberingBegun

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[JournalRecord] = msgspec.json.Decoder(JournalRecord)


def kind_of(record: JournalRecord) -> str:
    """The record's tag, version included: the `kind` of its journal row."""
    return str(record.__struct_config__.tag)


def encode(record: JournalRecord) -> bytes:
    """A record as JSON, tag included."""
    return _encoder.encode(record)


def decode(payload: bytes) -> JournalRecord:
    """A record from its JSON. Raises RecordError."""
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError as error:
        raise RecordError(f"unreadable journal row: {error}: {payload[:200]!r}") from error

"""What a step asks the world to do, as data. The engine does it: every Persist first, then the rest in order."""

from __future__ import annotations

from enum import Enum

import msgspec

from twinleg.core.orders import Intent
from twinleg.core.records import TradeRecord


class Severity(Enum):
    """Who must look: WARNING when there is time, CRITICAL at once."""

    WARNING = "warning"
    CRITICAL = "critical"


class Persist(msgspec.Struct, frozen=True):
    """Make this durable before any effect that is not a Persist."""

    record: TradeRecord


class Place(msgspec.Struct, frozen=True):
    """Send this order, once."""

    intent: Intent


class Cancel(msgspec.Struct, frozen=True):
    """Take back what rests of this order. The order is not over until the venue says so."""

    client_id: str


class Query(msgspec.Struct, frozen=True):
    """Read this order and its fills back from the venue; the answer comes as order events."""

    client_id: str


class Arm(msgspec.Struct, frozen=True):
    """Send DeadlinePassed at `at_ms`. Replaces what was armed for the trade before."""

    trade_id: str
    at_ms: int


class Alert(msgspec.Struct, frozen=True):
    """Tell the operator."""

    severity: Severity
    text: str


Effect = Persist | Place | Cancel | Query | Arm | Alert

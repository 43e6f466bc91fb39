"""Outside users' orders as their venue keeps them: what was asked for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twinleg_sims.market import SimMarket
from twinleg_sims.matching import SelfTrade, Side, TimeInForce

State = Literal["pending", "untriggered", "open", "filled", "cancelled", "rejected", "expired"]
"""pending: accepted, not yet at the engine. The last four are for ever."""
LIVE: tuple[State, ...] = ("pending", "untriggered", "open")

Reason = Literal[
    "",
    "user",
    "ioc",
    "no_liquidity",
    "post_only",
    "reduce_only",
    "self_trade",
    "margin",
    "expired",
    "liquidation",
    "replaced",
    "previous_gone",
    "market_halted",
    "market_reduce_only",
    "sibling",
    "dead_man",
    "too_many",
    "venue",
]
"""Why an order ended, or lost its rest. ioc: its limit was reached; no_liquidity: there was nothing to meet at all."""

PriceKind = Literal["mark", "index", "last"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """When an order that waits goes to the book: once the price is at or above (below) `ticks`."""

    ticks: int
    above: bool
    price: PriceKind = "mark"


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as asked for, checked by the venue's own door. `lots` 0 means the whole position (reduce-only then).

    `children` come to life when it fills, with its filled size; `siblings` share a group: one triggers, the rest go.
    """

    market: SimMarket
    side: Side
    ticks: int
    lots: int
    tif: TimeInForce = "gtt"
    reduce_only: bool = False
    client_id: str = ""
    expires_ms: int | None = None
    self_trade: SelfTrade = "expire_maker"
    self_trade_kin: bool = False
    """Whether the account's sub-accounts count as itself."""
    trigger: Trigger | None = None
    group: int = 0
    children: tuple[Wish, ...] = ()
    info: object = None
    """What the venue's wire wants to remember."""


@dataclass(slots=True)
class OwnOrder:
    """One order of an account. `lots` is what was asked for; what is neither filled nor cut is open while it lives."""

    id: int
    account: int
    wish: Wish
    ticks: int
    lots: int
    placed_ms: int
    updated_ms: int
    state: State = "pending"
    reason: Reason = ""
    filled_lots: int = 0
    value_micro: int = 0
    fee_micro: int = 0
    cut_lots: int = 0
    """Taken off by the venue (reduce-only, self-trade) or by its end."""
    engine_id: int = 0
    version: int = 0
    replaces: int = 0
    """The order whose place it takes, until it has."""

    @property
    def market(self) -> SimMarket:
        return self.wish.market

    @property
    def side(self) -> Side:
        return self.wish.side

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def open_lots(self) -> int:
        """What may still be filled."""
        return self.lots - self.filled_lots - self.cut_lots if self.live else 0

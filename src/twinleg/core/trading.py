"""The shape of a venue's private side: signing, sending, and the truth about our account. Protocol code, no sockets.

    Intent --sign--> Signed --(runtime sends it)--> reply --read_reply--> accepted, rejected or unknown
    account stream and read-backs --> order events, PositionSeen, BalanceSeen

Signing is slow (a fraction of a millisecond) and runs on a thread of the runtime's; everything else is cheap and pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Leg, Side, client_id, trade_id
from twinleg.core.venue import Feed, Request


class TradingCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's private side can do. A test that needs a missing one is skipped by this declaration alone."""

    sequenced: bool
    """Every transaction of a key carries the next number: one in flight per lane, resync after any doubt."""
    post_only: bool
    modify: bool
    cancel_all: bool
    cancel_all_in_market: bool
    dead_man_switch: bool
    leverage: bool
    expiry_ms_max: int
    """How long after its deadline an intent's bytes may still be taken, at most: then what is missing never came."""
    dead_man_ms_min: int = 0
    """The dead-man switch fires no sooner than this from now: what is sooner is refused."""


class Lane(msgspec.Struct, frozen=True):
    """Which key signs, and the number its next transaction takes (None where the venue has no sequence)."""

    key: str
    number: int | None


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes ready to leave. `correlation` names them at the venue and is known before they are sent."""

    client_id: str
    request: Request
    correlation: str
    lane: Lane
    void_after_ms: int
    """The venue refuses these bytes after this wall time, so that an unknown fate does not stay open for ever."""


class SendVerdict(Enum):
    """What a reply to a submission means."""

    ACCEPTED = "accepted"
    """The venue has it. Not a fill, and not always an order in the book."""
    REJECTED = "rejected"
    """The venue said no, and nothing will come of it."""
    UNKNOWN = "unknown"
    """Anything else: read back, never send again."""


class SendOutcome(msgspec.Struct, frozen=True):
    """A reply, read. `lane_spent`: True = the number is used, False = it is still free, None = must be asked."""

    verdict: SendVerdict
    reason: str
    venue_order_id: str | None = None
    lane_spent: bool | None = None
    retry_after_s: float | None = None
    exists: bool = False
    """The venue says that it has an order of that name: that these bytes never arrived proves nothing of it."""
    incident: str | None = None
    """Incident.kind of what the answer tells of the key or the account, beside the order."""


class PositionSeen(msgspec.Struct, frozen=True, gc=False):
    """A position as the venue tells it: signed lots, zero = flat. Prices in ticks are estimates of the venue's."""

    venue: str
    market: str
    lots: int
    entry_price: float | None
    liquidation_price: float | None
    unrealised_usd: float | None
    at_ms: int


class BalanceSeen(msgspec.Struct, frozen=True, gc=False):
    """The account's money as the venue tells it, in its collateral currency."""

    venue: str
    equity_usd: float
    available_usd: float
    initial_margin_usd: float | None
    maintenance_margin_usd: float | None
    at_ms: int


class OrderSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order at the venue. `client_id` is None when it is none of ours: external, shown, left alone."""

    venue: str
    market: str
    client_id: str | None
    venue_order_id: str
    side: Side
    size_lots: int
    filled_lots: int
    price_ticks: int | None
    reduce_only: bool
    resting: bool
    """Still able to fill; False = over, `reason` says how."""
    reason: str
    at_ms: int
    name: str | None = None
    """What its sender called it, when it is none of ours."""


class ExecutionSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An execution at the venue. `client_id` is None when the order is none of ours."""

    venue: str
    market: str
    client_id: str | None
    venue_order_id: str
    fill_id: str
    side: Side
    price_ticks: int
    size_lots: int
    fee_micro_usd: int
    forced: str | None
    """Why the venue did it without us: "liquidation", "deleverage"; else None."""
    at_ms: int


class FundingPaid(msgspec.Struct, frozen=True, gc=False):
    """Funding booked to the account, positive = received."""

    venue: str
    market: str
    amount_micro_usd: int
    rate_per_hour: float | None
    settled_at_ms: int


class Incident(msgspec.Struct, frozen=True, gc=False):
    """The venue did something to the account or a key: liquidation, a revoked key, a halted market, maintenance."""

    venue: str
    kind: str
    detail: str
    at_ms: int


IN_DOUBT = "in_doubt"
"""Incident.kind of a private stream that may have lost something: orders, fills and positions are to be read back."""
FOREIGN_KEY = "foreign_key"
"""Incident.kind of a key that somebody else signs with, too."""
KEY_REFUSED = "key_refused"
"""Incident.kind of a key that the venue does not take (any more)."""


class TransactionSeen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A numbered transaction as the venue has it. `executed`: the number is used, by this one and by no other."""

    venue: str
    key: str
    number: int
    correlation: str
    client_id: str | None
    """Of the order that it placed, changed or cancelled, if that is one of ours."""
    executed: bool
    at_ms: int


class LeverageSeen(msgspec.Struct, frozen=True, gc=False):
    """The leverage the account has chosen in a market."""

    venue: str
    market: str
    leverage: float
    at_ms: int


class AccountSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A complete listing of one kind ("orders", "positions", "balance", "fills"): what is not in it is not there."""

    venue: str
    kind: str
    since_ms: int | None
    """For fills: the listing is complete from here on."""
    rows: tuple[OrderSeen | ExecutionSeen | PositionSeen | BalanceSeen, ...]
    at_ms: int


class FeesSeen(msgspec.Struct, frozen=True, gc=False):
    """What the account pays, in basis points of the notional; negative = a rebate. `market` None = all of them."""

    venue: str
    market: str | None
    maker_bps: float
    taker_bps: float
    at_ms: int


AccountEvent = (
    OrderSeen
    | ExecutionSeen
    | PositionSeen
    | BalanceSeen
    | FundingPaid
    | FeesSeen
    | LeverageSeen
    | Incident
    | TransactionSeen
    | AccountSnapshot
)
"""What a venue's private side tells. The runtime turns what concerns our orders into core.orders events."""


class AccountRead(msgspec.Struct, frozen=True):
    """A private request and how to read its answer: `parse(body, now_ms)` gives events or raises WireError.

    `request` is made anew each time by the venue, since authentication expires.
    """

    request: Request
    parse: Callable[[bytes, int], list[AccountEvent]]
    more: Callable[[bytes], AccountRead | None] | None = None
    """For long listings: after this answer, the read that goes on where it ends, None at the end (or where the venue
    bounds it). A later page's snapshot holds the rows of the pages before it too. Raises WireError."""


class TradingVenue(Protocol):
    """A venue's private side for one account. `markets` are the facts by key; keys never leave it in any repr."""

    name: str
    trading: TradingCapabilities

    def prepare(self, now_ms: int) -> None:
        """Load what signing needs. CPU only, on the thread that signs. Raises ValueError."""
        ...

    def lanes(self) -> Sequence[str]:
        """The keys that can sign, the last kept for what reduces risk where there are several."""
        ...

    def sign(self, intent: Intent, market: Market, lane: Lane, now_ms: int) -> Signed:
        """An order. CPU only, safe on any one thread. Raises ValueError for what the venue could never take."""
        ...

    def sign_cancel(
        self, client_id: str, venue_order_id: str | None, market: Market, lane: Lane, now_ms: int
    ) -> Signed: ...
    def sign_cancel_all(self, market: Market | None, lane: Lane, now_ms: int) -> Signed: ...
    def sign_nothing(self, client_id: str, market: Market, lane: Lane, now_ms: int) -> Signed:
        """What uses the lane's number and changes nothing, or else takes that order back: see runtime.doubts."""
        ...

    def sign_leverage(self, market: Market, leverage: float, lane: Lane, now_ms: int) -> Signed: ...
    def sign_dead_man_switch(self, fires_at_ms: int | None, lane: Lane, now_ms: int) -> Signed:
        """Arm the venue's own cancel-all at that time, or disarm it with None."""
        ...

    def read_reply(self, signed: Signed, status: int | None, body: bytes) -> SendOutcome:
        """What a reply to a submission means. Never raises: what it does not know is UNKNOWN."""
        ...

    def next_number(self, key: str, now_ms: int) -> tuple[Request, Callable[[bytes], int]] | None:
        """How to ask for a lane's next number, None where there is none. The reader raises WireError."""
        ...

    def open_orders(self, now_ms: int) -> AccountRead: ...
    def order(self, client_id: str, market: Market, now_ms: int) -> list[AccountRead]:
        """All reads that together prove an order's fate, open, closed and its fills."""
        ...

    def transaction(self, correlation: str, now_ms: int) -> AccountRead | None:
        """What became of a submission, by the name it was sent under: TransactionSeen, and what only this tells.

        No answer where the venue does not know it. None where nothing is numbered: then only the order's reads tell.
        """
        ...

    def fills(self, since_ms: int, now_ms: int) -> AccountRead: ...
    def positions(self, now_ms: int) -> AccountRead: ...
    def balance(self, now_ms: int) -> AccountRead: ...
    def fees(self, now_ms: int) -> AccountRead | None: ...
    def funding_paid(self, now_ms: int) -> AccountRead:
        """The latest payments of funding (FundingPaid), of the last hours at least."""
        ...

    def account_feeds(self, markets: Sequence[Market]) -> list[Feed]:
        """The private streams. Their `received` returns AccountEvents beside what core.venue.Feed says."""
        ...


OUR_IDS_FROM = 1 << 30
"""Order numbers at or above this are the machine's own; callers of the gateway choose theirs below."""
TRADE_NUMBER_MAX = (1 << 24) - 1
ATTEMPTS_MAX = 32


def order_number(trade_number: int, leg_index: int, attempt: int) -> int:
    """A number below 2^31 for venues that name orders by one: the same (trade, leg, attempt) always has the same.

    Raises ValueError when the machine's own range is used up.
    """
    if not (0 <= trade_number <= TRADE_NUMBER_MAX and leg_index in (0, 1) and 0 <= attempt < ATTEMPTS_MAX):
        raise ValueError(f"no order number for trade {trade_number}, leg {leg_index}, attempt {attempt}")
    return OUR_IDS_FROM + ((trade_number * 2 + leg_index) * ATTEMPTS_MAX + attempt)


def number_of(client_id: str) -> int:
    """The order number of one of our client ids ("T000123-long-2"). Raises ValueError for any other text."""
    trade, leg, attempt = client_id.rsplit("-", 2)
    return order_number(int(trade.removeprefix("T")), [one.value for one in Leg].index(leg), int(attempt))


def client_id_of(number: int) -> str | None:
    """The client id behind an order number, None when the number is not in the machine's range."""
    if not OUR_IDS_FROM <= number < 2 * OUR_IDS_FROM:
        return None
    rest, attempt = divmod(number - OUR_IDS_FROM, ATTEMPTS_MAX)
    trade_number, leg_index = divmod(rest, len(Leg))
    return client_id(trade_id(trade_number), list(Leg)[leg_index], attempt)


def name_of(number: int) -> str | None:
    """What the sender of an order that is none of ours calls it by that number; 0 = nothing."""
    return str(number) if number and client_id_of(number) is None else None

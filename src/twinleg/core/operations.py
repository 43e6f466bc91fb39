"""What an operator may ask of a running engine, and what is answered: the words between command line and engine.

Every reason that is asked for ends in the journal. Prices and sizes that people write are exact texts here, since the
engine alone knows a market's ticks and lots.
"""

from __future__ import annotations

import msgspec

from twinleg.core.messages import Refusal

REASON_CHARS_MAX = 500


class _Word(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="word"):
    """What all requests and answers share."""


# --- asked --------------------------------------------------------------------------------------------------------


class Pause(_Word, frozen=True, kw_only=True, tag="pause"):
    """No entries any more."""

    reason: str = ""


class Stop(_Word, frozen=True, kw_only=True, tag="stop"):
    """No entries any more, and what rests of them is cancelled; what is held is held."""

    reason: str = ""


class Resume(_Word, frozen=True, kw_only=True, tag="resume"):
    """Lift what stands in the way by the operator's word; halted trades go on only when named, or with `all_halted`."""

    reason: str
    trades: tuple[str, ...] = ()
    all_halted: bool = False


class Flatten(_Word, frozen=True, kw_only=True, tag="flatten"):
    """Close trades: of one asset, one alone, or every one, and then nothing is opened any more."""

    reason: str = ""
    asset: str | None = None
    trade: str | None = None
    dry_run: bool = False


class ResolveTrade(_Word, frozen=True, kw_only=True, tag="resolve"):
    """What a halted trade holds by the operator's word. A price is the venue's text, needed where lots change."""

    trade: str
    long_lots: int
    short_lots: int
    long_price: str | None = None
    short_price: str | None = None
    reason: str


class AdoptPositions(_Word, frozen=True, kw_only=True, tag="adopt"):
    """Make a trade of two positions opened by hand. `size` is in single units of the asset, prices as venues list."""

    asset: str
    long_market: str
    short_market: str
    size: str
    long_price: str
    short_price: str
    reason: str


class OpenTrade(_Word, frozen=True, kw_only=True, tag="open"):
    """Open a trade by hand. Legs are venues, or markets as venue:symbol; `usd` is per leg."""

    asset: str
    long: str
    short: str
    usd: float
    preview: bool = False


class CloseTrade(_Word, frozen=True, kw_only=True, tag="close"):
    """Close one trade, or all of an asset."""

    what: str
    reason: str = ""


class AskStatus(_Word, frozen=True, kw_only=True, tag="status"):
    """How it stands."""


Asked = Pause | Stop | Resume | Flatten | ResolveTrade | AdoptPositions | OpenTrade | CloseTrade | AskStatus


# --- answered -----------------------------------------------------------------------------------------------------


class Declined(_Word, frozen=True, kw_only=True, tag="declined"):
    """Not done, for these reasons, each with what to do where there is something to do."""

    refusals: tuple[Refusal, ...]


class InDoubt(_Word, frozen=True, kw_only=True, tag="in_doubt"):
    """Whether it was done is not known yet: it was begun, and its end did not come in time."""

    text: str


class Controlled(_Word, frozen=True, kw_only=True, tag="controlled"):
    """The standing control now, halted trades that were let go on, and those that were not, with why."""

    control: str
    reason: str
    lifted: tuple[str, ...] = ()
    halted: tuple[str, ...] = ()
    not_lifted: dict[str, str] = {}


class ClosingOrder(_Word, frozen=True, kw_only=True, tag="closing_order"):
    """One order that closes a position, worst bound included; prices and sizes are exact texts of the market's."""

    venue: str
    market: str
    trade: str | None
    """None: no trade of ours explains the position."""
    side: str
    size: str
    reference: str | None
    """The price that bounds are measured from: the book's touch, or what `reference_is` names. None = none is known,
    and then nothing can be sent."""
    reference_is: str
    worst_price: str | None


class Flattening(_Word, frozen=True, kw_only=True, tag="flattening"):
    """Trades whose close is under way, those that could not be asked, with why; or what would be sent."""

    dry_run: bool
    orders: tuple[ClosingOrder, ...]
    closing: tuple[str, ...] = ()
    not_closing: dict[str, str] = {}
    control: str = ""


class TradeDone(_Word, frozen=True, kw_only=True, tag="trade_done"):
    """What was asked of trades is on record; their states right after it."""

    states: dict[str, str]


class Terms(_Word, frozen=True, kw_only=True, tag="terms"):
    """What opening by hand would do, or has begun. Terms of the edge are estimates, by name, in bps."""

    pair: str
    notional_usd: float
    expected_usd: float
    net_bps: float
    terms: dict[str, float]
    long_size: str
    short_size: str
    long_worst_price: str
    short_worst_price: str
    trade: str | None
    """The new trade; None for a preview."""


class TradeState(_Word, frozen=True, kw_only=True, tag="trade"):
    """An open trade in short."""

    trade: str
    asset: str
    state: str
    long_market: str
    short_market: str
    long_lots: int
    short_lots: int
    exit_reason: str | None


class VenueState(_Word, frozen=True, kw_only=True, tag="venue"):
    """A venue in short. Money is None where there is no account, or nothing was heard of it."""

    venue: str
    trouble: str | None
    markets: int
    books_ready: int
    equity_usd: float | None
    available_usd: float | None


class FindingShown(_Word, frozen=True, kw_only=True, tag="finding"):
    """What the comparison of venues and journal found."""

    kind: str
    venue: str
    subject: str
    detail: str
    lasting: bool


class Status(_Word, frozen=True, kw_only=True, tag="status_is"):
    """How it stands. `blocked` empty = entries are allowed."""

    mode: str
    at_ms: int
    control: str
    control_reason: str
    control_at_ms: int | None
    blocked: tuple[Refusal, ...]
    findings: tuple[FindingShown, ...]
    venues: tuple[VenueState, ...]
    trades: tuple[TradeState, ...]
    positions: dict[str, int] | None = None
    """Signed lots by market as all venues last showed them, external ones included; None = not known."""


Answer = Declined | InDoubt | Controlled | Flattening | TradeDone | Terms | Status


def declined(code: str, detail: str) -> Declined:
    """Not done, for one reason."""
    return Declined(refusals=(Refusal(code, detail),))

"""One trade's whole story, told from its journal records: why it was opened, what was sent, what came of it.

Pure, and from the records alone: the same journal tells the same story for ever. Money is in USD, signed, positive =
ours; prices and sizes are in the market's own units; times are epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import msgspec

from twinleg.core.amounts import MICRO
from twinleg.core.ledger import Ledger, TradeAccount
from twinleg.core.orders import ADDING, Filled, Intent, Leg, State
from twinleg.core.records import (
    Armed,
    FillSeen,
    ForceSeen,
    FundingBooked,
    IntentMade,
    JournalRecord,
    OutcomeSeen,
    Resolved,
    StateChanged,
    TradePlanned,
)

BPS = 10_000


class LegTold(msgspec.Struct, frozen=True):
    """One leg as it was planned, and what it holds now."""

    leg: str
    venue: str
    market: str
    planned_size: float
    held_size: float
    decision_price: float
    limit_price: float
    taker_fee_bps: float


class Bounds(msgspec.Struct, frozen=True):
    """What the trade was allowed to do, decided before its first order."""

    common_lots: int
    unhedged_ms_max: int
    unhedged_usd_max: float
    attempt_ms: int
    bounds_bps: tuple[int, ...]
    """How far beyond the touch each attempt to reduce may go."""
    first: str | None
    rest_ms: int
    believes_reads: bool


class ReplyTold(msgspec.Struct, frozen=True):
    """What the venue, or our own gate, said of an order."""

    at_ms: int
    after_ms: int
    """Since the order was made durable."""
    status: str
    reason: str


class FillTold(msgspec.Struct, frozen=True):
    """One execution. Slippage is against the price the decision was made on; negative = a cost."""

    at_ms: int
    after_ms: int
    fill_id: str
    price: float
    size: float
    fee_usd: float
    slippage_bps: float
    slippage_usd: float


class OrderTold(msgspec.Struct, frozen=True):
    """One order with all that became of it. `bound_bps` is how much worse than the decision it might have filled."""

    client_id: str
    at_ms: int
    leg: str
    purpose: str
    market: str
    side: str
    size: float
    filled: float
    limit_price: float
    decision_price: float
    bound_bps: float
    time_in_force: str
    reduce_only: bool
    deadline_ms: int
    status: str
    replies: tuple[ReplyTold, ...]
    fills: tuple[FillTold, ...]


class FundingTold(msgspec.Struct, frozen=True):
    """One settlement booked on one leg."""

    settled_at_ms: int
    leg: str
    market: str
    rate_per_hour: float
    interval_hours: float
    price: float
    amount_usd: float


class Turn(msgspec.Struct, frozen=True):
    """The trade's state changed, or something was done to it from outside (`state` is then what that was)."""

    at_ms: int
    state: str
    because: str
    attempts_spent: int
    exit_reason: str | None
    alarming: bool
    """The operator was called."""


class Span(msgspec.Struct, frozen=True):
    """A time in which the legs differed by a common lot or more; None = they still do."""

    since_ms: int
    until_ms: int | None


class Term(msgspec.Struct, frozen=True):
    """One term of the edge, as expected and as it came. Signed so that all terms add up to the net."""

    name: str
    expected_bps: float | None
    expected_usd: float | None
    realised_usd: float | None
    """None for what no booking can show, or not yet: the trade still holds something."""


class Story(msgspec.Struct, frozen=True):
    """All of one trade."""

    trade_id: str
    asset: str
    state: str
    planned_at_ms: int
    hedged_at_ms: int | None
    closed_at_ms: int | None
    notional_usd: float | None
    legs: tuple[LegTold, ...]
    bounds: Bounds
    turns: tuple[Turn, ...]
    orders: tuple[OrderTold, ...]
    funding: tuple[FundingTold, ...]
    unhedged: tuple[Span, ...]
    unhedged_ms: int
    exit_reason: str | None
    terms: tuple[Term, ...]
    """The expected edge term by term against what came; the last one is the net."""
    recorded: dict[str, float]
    """All that was written down of the edge when the trade was planned, as it was named then."""


class _Draft(msgspec.Struct):
    """What is gathered while the records are read."""

    account: TradeAccount
    intents: dict[str, IntentMade] = msgspec.field(default_factory=dict)
    replies: dict[str, list[OutcomeSeen]] = msgspec.field(default_factory=dict)
    fills: dict[str, list[Filled]] = msgspec.field(default_factory=dict)
    funding: list[FundingBooked] = msgspec.field(default_factory=list)
    turns: list[Turn] = msgspec.field(default_factory=list)
    unhedged: list[Span] = msgspec.field(default_factory=list)
    fees_in_micro_usd: int = 0


def story(trade_id: str, records: Iterable[JournalRecord]) -> Story | None:
    """The story of a trade, None when the records do not plan it. Records of others are passed over.

    Raises LedgerError when the trade's records contradict each other.
    """
    ledger, draft = Ledger(), None
    ahead: list[IntentMade] = []
    for record in records:
        if record.trade_id != trade_id:
            continue
        account = ledger.apply(record)
        if account is None:  # armed, or voided: no trade yet
            ahead = record.made if isinstance(record, Armed) else []
            continue
        if draft is None:
            draft = _Draft(account, {one.intent.client_id: one for one in ahead})
        _take(draft, record)
    return None if draft is None else _told(draft)


def _take(draft: _Draft, record: JournalRecord) -> None:
    account = draft.account
    match record:
        case IntentMade(intent=intent):
            draft.intents[intent.client_id] = record
        case OutcomeSeen():
            draft.replies.setdefault(record.client_id, []).append(record)
        case FillSeen(fill=fill):
            draft.fills.setdefault(fill.client_id, []).append(fill)
            if draft.intents[fill.client_id].intent.purpose in ADDING:
                draft.fees_in_micro_usd += fill.fee_micro_usd
        case FundingBooked():
            draft.funding.append(record)
        case _:
            turn = _turn(record)
            if turn is not None:
                draft.turns.append(turn)
    since_ms = account.unhedged_since_ms
    open_span = draft.unhedged[-1] if draft.unhedged and draft.unhedged[-1].until_ms is None else None
    if since_ms is not None and open_span is None:
        draft.unhedged.append(Span(since_ms, None))
    elif since_ms is None and open_span is not None:
        # Fills may be told out of order: the ledger then counts no time, and neither does the span.
        ended_ms = record.fill.at_ms if isinstance(record, FillSeen) else record.at_ms
        draft.unhedged[-1] = Span(open_span.since_ms, max(open_span.since_ms, ended_ms))


def _turn(record: JournalRecord) -> Turn | None:
    match record:
        case TradePlanned(plan=plan):
            first = "both legs at once" if plan.first is None else f"the {plan.first.value} leg first"
            return Turn(record.at_ms, State.PLANNED.value, f"decided: {first}", 0, None, False)
        case StateChanged():
            alarming = record.state is State.HALTED
            spent, reason = record.attempts_spent, record.exit_reason
            return Turn(record.at_ms, record.state.value, record.because, spent, reason, alarming)
        case ForceSeen(forced=forced):
            took = f"the venue took {forced.size_lots} lots of the {forced.leg.value} leg: {forced.reason}"
            return Turn(record.at_ms, "forced", took, 0, None, True)
        case Resolved():
            said = f"the operator says long {record.long.lots} lots, short {record.short.lots} lots: {record.reason}"
            return Turn(record.at_ms, "resolved", said, 0, None, False)
        case _:
            return None


def _told(draft: _Draft) -> Story:
    account = draft.account
    trade, plan = account.trade, account.trade.plan
    return Story(
        trade_id=plan.trade_id,
        asset=plan.asset,
        state=trade.state.value,
        planned_at_ms=account.planned_at_ms,
        hedged_at_ms=account.hedged_at_ms,
        closed_at_ms=account.closed_at_ms,
        notional_usd=account.terms.get("notional_usd"),
        legs=tuple(_leg(account, leg) for leg in Leg),
        bounds=Bounds(
            common_lots=plan.common_lots,
            unhedged_ms_max=plan.unhedged_ms_max,
            unhedged_usd_max=plan.unhedged_notional_max_micro_usd / MICRO,
            attempt_ms=plan.attempt_ms,
            bounds_bps=plan.bounds_bps,
            first=None if plan.first is None else plan.first.value,
            rest_ms=plan.rest_ms,
            believes_reads=plan.believes_reads,
        ),
        turns=tuple(draft.turns),
        orders=tuple(_order(draft, made) for made in draft.intents.values()),
        funding=tuple(
            FundingTold(
                settled_at_ms=one.settled_at_ms,
                leg=one.leg.value,
                market=one.market,
                rate_per_hour=one.rate_per_hour,
                interval_hours=one.interval_hours,
                price=one.price,
                amount_usd=one.amount_micro_usd / MICRO,
            )
            for one in draft.funding
        ),
        unhedged=tuple(draft.unhedged),
        unhedged_ms=account.unhedged_ms,
        exit_reason=trade.exit_reason,
        terms=_terms(draft),
        recorded=account.terms,
    )


def _leg(account: TradeAccount, leg: Leg) -> LegTold:
    plan = account.trade.plan.leg(leg)
    price, size = plan.price_grid.unit, plan.size_grid.unit
    return LegTold(
        leg=leg.value,
        venue=plan.venue,
        market=plan.market,
        planned_size=float(account.trade.plan.lots(leg) * size),
        held_size=float(account.leg(leg).held_lots * size),
        decision_price=float(plan.decision_ticks * price),
        limit_price=float(plan.limit_ticks * price),
        taker_fee_bps=plan.taker_fee_bps,
    )


def _order(draft: _Draft, made: IntentMade) -> OrderTold:
    intent = made.intent
    order = next(one for one in draft.account.trade.orders if one.intent.client_id == intent.client_id)
    plan = draft.account.trade.plan.leg(intent.leg)
    worse_ticks = intent.side.sign * (intent.limit_ticks - intent.decision_price_ticks)
    size = plan.size_grid.unit
    return OrderTold(
        client_id=intent.client_id,
        at_ms=made.at_ms,
        leg=intent.leg.value,
        purpose=intent.purpose.value,
        market=intent.market,
        side=intent.side.value,
        size=float(intent.size_lots * size),
        filled=float(order.filled_lots * size),
        limit_price=float(intent.limit_ticks * plan.price_grid.unit),
        decision_price=float(intent.decision_price_ticks * plan.price_grid.unit),
        bound_bps=worse_ticks / intent.decision_price_ticks * BPS,
        time_in_force=intent.time_in_force.value,
        reduce_only=intent.reduce_only,
        deadline_ms=intent.deadline_ms,
        status=order.status.value,
        replies=tuple(
            ReplyTold(one.at_ms, one.at_ms - made.at_ms, one.status.value, one.reason)
            for one in draft.replies.get(intent.client_id, ())
        ),
        fills=tuple(_fill(draft, made.at_ms, intent, fill) for fill in draft.fills.get(intent.client_id, ())),
    )


def _fill(draft: _Draft, made_ms: int, intent: Intent, fill: Filled) -> FillTold:
    plan = draft.account.trade.plan.leg(intent.leg)
    better_ticks = intent.side.sign * (intent.decision_price_ticks - fill.price_ticks)
    return FillTold(
        at_ms=fill.at_ms,
        after_ms=fill.at_ms - made_ms,
        fill_id=fill.fill_id,
        price=float(fill.price_ticks * plan.price_grid.unit),
        size=float(fill.size_lots * plan.size_grid.unit),
        fee_usd=fill.fee_micro_usd / MICRO,
        slippage_bps=better_ticks / intent.decision_price_ticks * BPS,
        slippage_usd=float(better_ticks * fill.size_lots * plan.money_unit),
    )


_EXPECTED = (
    ("basis_in", "basis_in_bps", 1),
    ("basis_out", "basis_out_bps", -1),
    ("fees_in", "fees_in_bps", -1),
    ("fees_out", "fees_out_bps", -1),
    ("carry", "carry_bps", 1),
    ("stable_basis", "stable_basis_bps", -1),
    ("latency_haircut", "latency_haircut_bps", -1),
)
"""The edge's terms as the plan's record names them, with the sign they have in the net."""


def _terms(draft: _Draft) -> tuple[Term, ...]:
    named = draft.account.terms
    notional_usd, realised = named.get("notional_usd"), _realised(draft)

    def term(name: str, bps: float | None) -> Term:
        known = bps is not None and notional_usd is not None
        usd = bps / BPS * notional_usd if known else None  # type: ignore[operator]  # both are there
        return Term(name, bps, usd, realised.get(name))

    found = [term(name, named[field] * sign) for name, field, sign in _EXPECTED if field in named]
    return (*found, term("net", named.get("net_bps")))


def _realised(draft: _Draft) -> dict[str, float]:
    """What came of each term: exact parts that add up to the ledger's net; the ways out only once nothing is held."""
    account = draft.account
    fees = account.long.fees_micro_usd + account.short.fees_micro_usd
    funding = account.long.funding_micro_usd + account.short.funding_micro_usd
    entered = {leg: account.leg(leg).entered_ticklots * account.trade.plan.leg(leg).money_unit for leg in Leg}
    basis_in = round((Fraction(entered[Leg.SHORT]) - entered[Leg.LONG]) * MICRO)
    pnl = account.pnl({})
    found = {"fees_in": -draft.fees_in_micro_usd, "carry": funding}
    if account.hedged_at_ms is not None:
        found["basis_in"] = basis_in
    if pnl.gross_micro_usd is not None and pnl.equity_change_micro_usd is not None:
        found |= {
            "basis_in": basis_in,
            "basis_out": pnl.gross_micro_usd - basis_in,
            "fees_out": draft.fees_in_micro_usd - fees,
            "net": pnl.equity_change_micro_usd,
        }
    return {name: micro / MICRO for name, micro in found.items()}

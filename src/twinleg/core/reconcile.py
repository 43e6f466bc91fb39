"""The venues' listings against the ledger: what agrees, what is another's, what cannot be true. Pure; decides no trade.

A listing that failed says nothing. A difference counts once it has outlived the time that fills and the venues' lists
need to reach each other; from then on entries stop, and the trade's own machine hears what the venue shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

import msgspec

from twinleg.core.assets import asset_of
from twinleg.core.flattening import is_flattening
from twinleg.core.ledger import Ledger, TradeAccount
from twinleg.core.messages import Market, Refusal
from twinleg.core.orders import Leg, OrderStatus, PositionRead, Side, State, trade_number
from twinleg.core.trade import Order
from twinleg.core.trading import ExecutionSeen, OrderSeen, PositionSeen, number_of


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One venue's three listings, asked for at `at_ms`. None: that one failed or was cut short, and says nothing."""

    venue: str
    orders: tuple[OrderSeen, ...] | None
    fills: tuple[ExecutionSeen, ...] | None
    positions: tuple[PositionSeen, ...] | None
    trouble: tuple[str, ...] = ()
    at_ms: int

    @property
    def complete(self) -> bool:
        return None not in (self.orders, self.fills, self.positions)


class Patience(msgspec.Struct, frozen=True):
    """How long truths may differ: `lag_ms` after our last fill for the venue's lists, then `grace_ms`."""

    grace_ms: int
    lag_ms: int


class Kind(Enum):
    """What a finding is. All but the first three stop entries once they last."""

    EXPLAINED = "explained"
    """A position within one common lot of our fills, counting what is in flight."""
    EXTERNAL_ORDER = "external_order"
    EXTERNAL_POSITION = "external_position"
    """In a market where no open trade of ours is: left alone, and its market is refused for entries at once."""
    UNREAD = "unread"
    FOREIGN_ORDER = "foreign_order"
    """An order named as ours are, which we never made: another process trades this account. Stops entries at once."""
    FATE_OPEN = "fate_open"
    """An order of ours past its deadline whose end, or some of whose fills, we have not seen. Stops entries at once."""
    MISSING_FILL = "missing_fill"
    CONTRADICTED = "contradicted"
    """The venue lists an order of ours as open that it, or the operator, has called over."""
    POSITION_DIFFERS = "position_differs"


SHOWN_ONLY = frozenset({Kind.EXPLAINED, Kind.EXTERNAL_ORDER, Kind.EXTERNAL_POSITION})
AT_ONCE = frozenset({Kind.FOREIGN_ORDER, Kind.FATE_OPEN})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a comparison found. `subject` is a market, or the name of an order or a fill."""

    kind: Kind
    venue: str
    subject: str
    detail: str
    lots: int = 0
    """For positions, what the venue shows (signed)."""
    since_ms: int = 0
    """Since when it counts: found ever since, and the venue's lists had their time."""
    steady: bool = False
    """The comparison before found the same lots."""
    lasting: bool = False
    """It has outlived the grace time."""


def compare(
    ledger: Ledger, listings: Sequence[Listing], earlier: Iterable[Finding], patience: Patience, now_ms: int
) -> tuple[Finding, ...]:
    """What `listings` say against `ledger`. `earlier` are the findings of the comparison before.

    What was found before stays found while its venue's listings are not complete: silence settles nothing.
    """
    before = {(one.kind, one.subject): one for one in earlier}
    new: dict[tuple[Kind, str], Finding] = {}
    for listing in listings:
        found = [*_of_orders(ledger, listing), *_of_fills(ledger, listing), *_of_fates(ledger, listing)]
        found += _of_positions(ledger, listing, patience)
        if not listing.complete:
            detail = f"{listing.venue} did not answer: {'; '.join(listing.trouble)}"
            found.append(Finding(kind=Kind.UNREAD, venue=listing.venue, subject=listing.venue, detail=detail))
        new |= {(one.kind, one.subject): _aged(one, before, patience, now_ms) for one in found}
    incomplete = {listing.venue for listing in listings if not listing.complete}
    kept = {
        name: msgspec.structs.replace(one, steady=False)
        for name, one in before.items()
        if one.venue in incomplete and one.kind in _OF_LISTINGS
    }
    return tuple((kept | new).values())


_OF_LISTINGS = frozenset(Kind) - {Kind.UNREAD, Kind.FATE_OPEN, Kind.EXPLAINED}


def refusals(findings: Iterable[Finding]) -> tuple[Refusal, ...]:
    """Why nothing may be opened at all."""
    return tuple(
        Refusal(one.kind.value, one.detail, float(one.lots))
        for one in findings
        if one.kind in AT_ONCE or (one.lasting and one.kind not in SHOWN_ONLY)
    )


def refused_markets(findings: Iterable[Finding]) -> dict[str, Refusal]:
    """Why nothing may be opened in a market, by market."""
    kinds = {Kind.EXTERNAL_POSITION, Kind.POSITION_DIFFERS}
    return {one.subject: Refusal(one.kind.value, one.detail, float(one.lots)) for one in findings if one.kind in kinds}


def position_reads(ledger: Ledger, findings: Iterable[Finding], now_ms: int) -> list[PositionRead]:
    """What the machine of a trade must hear: a lasting difference, read twice alike, in a market that it alone holds.

    Where several trades share a market, nothing says whose the difference is: that stops entries and is the operator's.
    """
    told = []
    for one in findings:
        if one.kind is Kind.POSITION_DIFFERS and one.lasting and one.steady:
            legs = [(account.trade, leg) for account, leg in _legs(ledger, one.venue) if _in(account, leg, one.subject)]
            if len(legs) == 1 and legs[0][0].state is not State.HALTED:
                trade, leg = legs[0]
                told.append(PositionRead(trade.plan.trade_id, leg, leg.entry_side.sign * one.lots, now_ms))
    return told


def net_deltas_usd(
    positions: Mapping[str, int], facts: Mapping[str, Market], prices: Mapping[str, float]
) -> dict[str, float | None]:
    """Net position by asset over all venues, at `prices` in quote currency per unit that the venue lists (estimates).

    `positions` are signed lots by market, as the venues show them. None = one of the markets has no price or no facts.
    """
    deltas: dict[str, float | None] = {}
    for key, lots in positions.items():
        market = facts.get(key)
        asset = key if market is None else asset_of(market.base).name
        so_far = deltas.get(asset, 0.0)
        if market is None or key not in prices or so_far is None:
            deltas[asset] = None
        else:
            deltas[asset] = so_far + float(lots * market.size_grid.unit) * prices[key]
    return deltas


# --- one listing against the ledger -----------------------------------------------------------------------------------


def _of_orders(ledger: Ledger, listing: Listing) -> Iterable[Finding]:
    for row in listing.orders or ():
        if not row.resting:
            continue
        if row.client_id is None:
            detail = f"{row.side.value} {row.size_lots - row.filled_lots} lots of {row.market} rest, not ours"
            name = f"{row.market} {row.venue_order_id}"
            yield Finding(kind=Kind.EXTERNAL_ORDER, venue=listing.venue, subject=name, detail=detail)
        elif not _ours(ledger, row.client_id):
            yield _foreign(listing.venue, row.client_id, row.market)
        else:
            order = _find(ledger, row.client_id)
            if order is None or order.ended:
                said = "over long ago" if order is None else order.status.value
                detail = f"{row.client_id} is {said}, and {listing.venue} lists it as open"
                yield Finding(kind=Kind.CONTRADICTED, venue=listing.venue, subject=row.client_id, detail=detail)


def _of_fills(ledger: Ledger, listing: Listing) -> Iterable[Finding]:
    for row in listing.fills or ():
        if row.client_id is None:
            continue
        if not _ours(ledger, row.client_id):
            yield _foreign(listing.venue, row.client_id, row.market)
            continue
        order = _find(ledger, row.client_id)
        if order is not None and order.status is not OrderStatus.RESOLVED and row.fill_id not in order.fill_ids:
            detail = f"{row.size_lots} lots filled on {row.client_id} are not in our books"
            name = f"{row.client_id} {row.fill_id}"
            yield Finding(kind=Kind.MISSING_FILL, venue=listing.venue, subject=name, detail=detail)


def _of_fates(ledger: Ledger, listing: Listing) -> Iterable[Finding]:
    for account in ledger.open_trades():
        for order in account.trade.unsettled:
            intent = order.intent
            if intent.venue == listing.venue and intent.deadline_ms < listing.at_ms:
                detail = f"{intent.client_id} is {order.status.value}, {order.filled_lots} of {intent.size_lots} filled"
                yield Finding(kind=Kind.FATE_OPEN, venue=listing.venue, subject=intent.client_id, detail=detail)


def _of_positions(ledger: Ledger, listing: Listing, patience: Patience) -> Iterable[Finding]:
    if listing.positions is None:
        return
    shown = {row.market: row.lots for row in listing.positions}
    explained = _explained(ledger, listing.venue)
    for market in sorted(shown.keys() | explained.keys()):
        lots, ours = shown.get(market, 0), explained.get(market, _Explained())
        since_ms = ours.changed_ms + patience.lag_ms
        beyond = max(ours.low - lots, lots - ours.high, 0)
        expected = f"{ours.low}" if ours.low == ours.high else f"{ours.low} to {ours.high}"
        detail = f"{lots} lots of {market}, {expected} by our fills and orders, common lot {ours.common_lot}"
        if ours.common_lot is None:
            kind = Kind.EXTERNAL_POSITION
            detail = f"{lots} lots of {market}, and no open trade of ours is in it"
        else:
            kind = Kind.EXPLAINED if beyond < ours.common_lot else Kind.POSITION_DIFFERS
        if lots or ours.common_lot is not None:
            yield Finding(kind=kind, venue=listing.venue, subject=market, detail=detail, lots=lots, since_ms=since_ms)


class _Explained(msgspec.Struct):
    """What our fills and orders explain in one market: signed lots, from `low` to `high` by what is in flight."""

    low: int = 0
    high: int = 0
    common_lot: int | None = None
    """None: no open trade is in it."""
    changed_ms: int = 0
    """When our last fill in it became known."""


def _explained(ledger: Ledger, venue: str) -> dict[str, _Explained]:
    found: dict[str, _Explained] = {}
    for account in ledger.trades.values():
        for leg in Leg:
            plan = account.trade.plan.leg(leg)
            if plan.venue != venue:
                continue
            one = found.setdefault(plan.market, _Explained())
            holdings = account.leg(leg).holdings
            one.changed_ms = max(one.changed_ms, holdings[-1][0] if holdings else 0)
            if account.trade.finished:
                continue
            lots = leg.entry_side.sign * account.trade.held(leg)
            one.low, one.high = one.low + lots, one.high + lots
            one.common_lot = min(one.common_lot or plan.lots_per_common_lot, plan.lots_per_common_lot)
            for order in account.trade.of_leg(leg):
                in_flight = _in_flight(order)
                one.high += in_flight if order.intent.side is Side.BUY else 0
                one.low -= in_flight if order.intent.side is Side.SELL else 0
    return found


def _in_flight(order: Order) -> int:
    """Lots that may have filled, or still may, without our having seen it."""
    if order.settled:
        return 0
    return max(0, (order.done_lots if order.ended else order.intent.size_lots) - order.filled_lots)


def _legs(ledger: Ledger, venue: str) -> list[tuple[TradeAccount, Leg]]:
    return [
        (account, leg) for account in ledger.open_trades() for leg in Leg if account.trade.plan.leg(leg).venue == venue
    ]


def _in(account: TradeAccount, leg: Leg, market: str) -> bool:
    return account.trade.plan.leg(leg).market == market


def _find(ledger: Ledger, client_id: str) -> Order | None:
    account = ledger.trades.get(client_id.rsplit("-", 2)[0])
    orders = () if account is None else account.trade.orders
    return next((order for order in orders if order.intent.client_id == client_id), None)


def _ours(ledger: Ledger, client_id: str) -> bool:
    """Whether this ledger made the order: one that it has, one of a trade so old that it is only in the totals, or of
    an earlier journal's; or a flatten did, which needs no ledger."""
    if client_id.rsplit("-", 2)[0] in ledger.trades:
        return _find(ledger, client_id) is not None
    try:
        number_of(client_id)
    except ValueError:
        return False
    return is_flattening(client_id) or trade_number(client_id.partition("-")[0]) < ledger.next_number


def _foreign(venue: str, client_id: str, market: str) -> Finding:
    detail = f"{venue} shows {client_id} in {market}, which this journal never made: who else trades this account?"
    return Finding(kind=Kind.FOREIGN_ORDER, venue=venue, subject=client_id, detail=detail)


def _aged(new: Finding, before: Mapping[tuple[Kind, str], Finding], patience: Patience, now_ms: int) -> Finding:
    """`new.since_ms` is the earliest moment from which it may count."""
    old = before.get((new.kind, new.subject))
    since_ms = max(new.since_ms, now_ms if old is None else old.since_ms)
    return msgspec.structs.replace(
        new,
        since_ms=since_ms,
        steady=old is not None and old.lots == new.lots,
        lasting=now_ms - since_ms >= patience.grace_ms,
    )

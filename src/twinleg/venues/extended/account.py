"""The truth about our account at Extended: rows of its private answers and frames of its stream to account events.

The stream is v1's /account: the frames that were recorded are its frames, the key goes in a header and not into a
message, there is no subscription to lose, and `seq` counts from 1 over all frames of a connection, so that even the
loss of the first is seen. A hole there may have hidden a fill: it is told as an Incident of kind IN_DOUBT (read back!)
and the connection is given up, since only a new one brings the three snapshots (orders, positions, balance) again.

Rows carry the venue's own time where it is not ahead of ours, snapshots the time they were read at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from twinleg.core.amounts import AmountError, Grid, micro_usd
from twinleg.core.messages import Market
from twinleg.core.orders import Side
from twinleg.core.trading import (
    IN_DOUBT,
    AccountEvent,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    FundingPaid,
    Incident,
    OrderSeen,
    PositionSeen,
    client_id_of,
    number_of,
)
from twinleg.core.venue import WireError
from twinleg.venues.extended import facts, wire
from twinleg.venues.extended.reads import nearest_hour_ms
from twinleg.venues.extended.sign import Keys

MONEY = Grid(20)
"""Money is written with up to 16 decimals, mostly zeros (recorded)."""
RESTING = {"NEW": True, "PARTIALLY_FILLED": True, "UNTRIGGERED": True, "TRIGGERED": True} | dict.fromkeys(
    ("FILLED", "CANCELLED", "REJECTED", "EXPIRED"), False
)
FORCED = {"LIQUIDATION": "liquidation", "DELEVERAGE": "deleverage"}
LIQUIDATED = frozenset({"NEGATIVE_EQUITY", "ACCOUNT_LIQUIDATION"})
"""Why an order ends when the account does. The SDK's list lacks both."""
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
SNAPSHOTS = {"ORDER": "orders", "POSITION": "positions", "BALANCE": "balance"}
"""The three that every connection starts with, in any order (recorded), and the listings that they are."""
UNREADABLE = (*wire.UNREADABLE, AmountError, WireError)


def ours(external_id: str | None) -> str | None:
    """The client id that an external id is, None when it is none of the machine's."""
    try:
        return external_id if external_id and client_id_of(number_of(external_id)) == external_id else None
    except ValueError:
        return None


class Bounded(dict[str, str]):
    """The newest `most` entries; older ones are forgotten."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            del self[next(iter(self))]


class Rows:
    """Reads rows of the markets in `markets` (by key). Every method raises one of UNREADABLE, and guesses nothing.

    `names` remembers the external ids of orders seen or placed, by the venue's id: a fill may tell the latter alone.
    """

    def __init__(self, markets: Mapping[str, Market], names: Bounded) -> None:
        self._markets = markets
        self._names = names
        self.unknown_words = 0

    def market(self, symbol: str) -> Market:
        market = self._markets.get(f"{facts.NAME}:{symbol}")
        if market is None:
            raise WireError(f"a market that was not listed: {symbol!r:.60}")
        return market

    def name(self, row: wire.OrderRow | wire.FillRow) -> str | None:
        """The external id of an order or of a fill's order. An order's is remembered."""
        if isinstance(row, wire.FillRow):
            return row.external_order_id or self._names.get(str(row.order_id))
        if row.external_id:
            self._names[str(row.id)] = row.external_id
        return row.external_id

    def order(self, row: wire.OrderRow, now_ms: int) -> OrderSeen:
        """An order whose status is new to us may still fill, for all we know."""
        market = self.market(row.market)
        resting = RESTING.get(row.status)
        if resting is None:
            self.unknown_words += 1
        size = _size(market, row.qty)
        price = market.price_grid.parse(row.price) if row.price is not None else 0
        return OrderSeen(
            venue=facts.NAME,
            market=market.key,
            client_id=ours(self.name(row)),
            venue_order_id=str(row.id),
            side=_side(row.side),
            size_lots=size,
            filled_lots=_filled(row, market, size),
            price_ticks=price if price > 0 else None,
            reduce_only=row.reduce_only,
            resting=resting is not False,
            reason=" ".join(word for word in (row.status, row.status_reason) if word and word != "NONE")[:200],
            at_ms=_when(row.updated_time or row.created_time, now_ms),
            name=None if ours(row.external_id) else row.external_id or None,
        )

    def fill(self, row: wire.FillRow, now_ms: int) -> ExecutionSeen:
        """The venue's own deals (liquidation, deleverage) have no tick: their price is rounded against us."""
        market, side = self.market(row.market), _side(row.side)
        client_id = ours(self.name(row))
        forced = FORCED.get(row.trade_type)
        if forced is None and row.trade_type != "TRADE":
            self.unknown_words += 1
            forced = row.trade_type.lower()[:60] if client_id is None else None
        lots = _size(market, row.qty)
        ticks = market.price_grid.parse(row.price) if forced is None else _worst(market, row.price, side)
        if lots <= 0 or ticks <= 0:
            raise WireError(f"a fill of nothing or at no price: {row.qty!r:.60} at {row.price!r:.60}")
        return ExecutionSeen(
            venue=facts.NAME,
            market=market.key,
            client_id=client_id,
            venue_order_id=str(row.order_id),
            fill_id=str(row.id),
            side=side,
            price_ticks=ticks,
            size_lots=lots,
            fee_micro_usd=micro_usd(MONEY.parse(row.fee) * MONEY.unit),
            forced=forced,
            at_ms=_when(row.created_time, now_ms),
        )

    def position(self, row: wire.PositionRow, now_ms: int) -> tuple[int, PositionSeen]:
        """Its id, which grows with time, and signed lots. A CLOSED one still shows its last size, and is flat."""
        market = self.market(row.market)
        if row.status not in ("OPENED", "CLOSED"):
            raise WireError(f"neither an open nor a closed position: {row.status!r:.60}")
        if row.side not in ("LONG", "SHORT"):
            raise WireError(f"neither long nor short: {row.side!r:.60}")
        lots = _size(market, row.size) if row.status == "OPENED" else 0
        tick = float(market.price_grid.unit)
        entry = wire.positive(row.open_price) if row.open_price is not None and lots else None
        liquidation = wire.positive(row.liquidation_price) if row.liquidation_price is not None and lots else None
        seen = PositionSeen(
            venue=facts.NAME,
            market=market.key,
            lots=lots if row.side == "LONG" else -lots,
            entry_price=None if entry is None else entry / tick,
            liquidation_price=None if liquidation is None else liquidation / tick,
            unrealised_usd=None if row.unrealised_pnl is None else wire.number(row.unrealised_pnl),
            at_ms=_when(row.updated_at, now_ms),
        )
        return int(row.id), seen

    def paid(self, row: wire.PaidRow) -> FundingPaid:
        """Longs pay a positive rate. The amount's own sign is not documented, so the side and the rate decide."""
        if row.side not in ("LONG", "SHORT"):
            raise WireError(f"neither long nor short: {row.side!r:.60}")
        rate = wire.rate_per_hour(row.funding_rate, facts.RATE_PER_HOUR_MAX)
        amount = abs(micro_usd(MONEY.parse(row.funding_fee) * MONEY.unit))
        received = rate == 0 or (rate < 0) == (row.side == "LONG")
        return FundingPaid(
            venue=facts.NAME,
            market=self.market(row.market).key,
            amount_micro_usd=amount if received else -amount,
            rate_per_hour=rate,
            settled_at_ms=nearest_hour_ms(row.paid_time),
        )


def balance_seen(row: wire.BalanceRow, now_ms: int) -> BalanceSeen:
    """The money. Maintenance margin is `marginRatio` of the equity. Raises WireError."""
    equity = wire.number(row.equity)
    return BalanceSeen(
        venue=facts.NAME,
        equity_usd=equity,
        available_usd=wire.number(row.available_for_trade),
        initial_margin_usd=None if row.initial_margin is None else wire.number(row.initial_margin),
        maintenance_margin_usd=None if row.margin_ratio is None else wire.number(row.margin_ratio) * equity,
        at_ms=_when(row.updated_time, now_ms),
    )


def _side(word: str) -> Side:
    if word not in SIDES:
        raise WireError(f"neither BUY nor SELL: {word!r:.60}")
    return SIDES[word]


def _size(market: Market, text: str) -> int:
    lots = market.size_grid.parse(text)
    if lots < 0:
        raise AmountError(f"a size below zero: {text[:60]!r}")
    return lots


def _filled(row: wire.OrderRow, market: Market, size_lots: int) -> int:
    """How much of an order is filled, from whichever of its fields says so."""
    if row.filled_qty is not None:
        filled = _size(market, row.filled_qty)
    elif row.cancelled_qty is not None and RESTING.get(row.status) is False:
        filled = size_lots - _size(market, row.cancelled_qty)
    elif row.status in ("NEW", "UNTRIGGERED", "FILLED"):
        filled = size_lots if row.status == "FILLED" else 0
    else:
        raise WireError(f"an order that is {row.status!r:.60} and does not say how much of it is filled")
    if not 0 <= filled <= size_lots:
        raise WireError(f"{filled} of {size_lots} lots are filled")
    return filled


def _worst(market: Market, text: str, side: Side) -> int:
    price = MONEY.parse(text) * MONEY.unit
    return market.price_grid.ceil(price) if side is Side.BUY else market.price_grid.floor(price)


def _when(venue_ms: int, now_ms: int) -> int:
    return min(venue_ms, now_ms) if venue_ms > 0 else now_ms


class ExtendedAccountFeed:
    """The account's stream without its socket. See the head of this file and core.venue.Feed."""

    def __init__(self, url: str, keys: Keys, markets: Mapping[str, Market], names: Bounded) -> None:
        self.name = "account"
        self.url = url
        self.headers: dict[str, str] = {"User-Agent": facts.USER_AGENT, "X-Api-Key": keys.api_key}
        self.markets: tuple[str, ...] = ()
        self.outbox: list[bytes] = []
        self.broken: str | None = None
        self.bad_frames = 0
        self.unknown_words = 0
        self._masked = keys.masked
        self._rows = Rows(markets, names)
        self._fills_seen = Bounded(facts.FILLS_SEEN_MAX)
        self._newest_position: dict[str, int] = {}
        self._account_status = "ACTIVE"
        self._missing: set[str] = set()
        self._due: int | None = None
        self._repeats = 0
        self._opened_ms: int | None = None

    def opened(self, now_ms: int) -> list[Any]:
        """A new connection: nothing to ask for, three snapshots are to come."""
        self.outbox.clear()
        self.broken, self._due, self._repeats, self._opened_ms = None, None, 0, now_ms
        self._missing = set(SNAPSHOTS)
        return []

    def received(self, payload: bytes | memoryview, received_ns: int, now_ms: int) -> list[Any]:
        """The events of one frame. Never raises; after `broken` frames are ignored."""
        if self.broken is not None:
            return []
        try:
            frame = wire.decode_account_frame(self._masked(bytes(payload)))
        except wire.UNREADABLE as error:
            self.bad_frames += 1
            return self._break(f"a frame that cannot be placed: {error}"[:200], now_ms)
        due = self._due if self._due is not None else min(frame.seq, 1)
        if frame.seq < due:
            self.bad_frames += 1
            self._repeats += 1
            return [] if self._repeats < facts.REPEATS_MAX else self._break("the venue counts anew", now_ms)
        if frame.seq > due:
            return self._break(f"frame {frame.seq} where {due} was due", now_ms)
        self._due, self._repeats = frame.seq + 1, 0
        return self._content(frame, now_ms)

    def timer(self, received_ns: int, now_ms: int) -> list[Any]:
        """Give up on a connection that does not say how things are."""
        late = self._opened_ms is not None and now_ms - self._opened_ms > facts.SNAPSHOT_MS_MAX
        if self.broken is None and self._missing and late:
            return self._break(f"no snapshot of {', '.join(sorted(self._missing))}", now_ms)
        return []

    def closed(self, reason: str, received_ns: int, now_ms: int) -> list[Any]:
        """Whatever happens from now on is not told to us."""
        told, self._opened_ms = self.broken is not None or self._opened_ms is None, None
        return [] if told else [_doubt(f"the account stream ended: {reason}", now_ms)]

    def resync(self, market: str) -> None:
        """Raises KeyError: there is no book here."""
        raise KeyError(market)

    def _break(self, reason: str, now_ms: int) -> list[Any]:
        self.broken = reason
        return [_doubt(reason, now_ms)]

    def _content(self, frame: wire.AccountFrame, now_ms: int) -> list[Any]:
        try:
            data = wire.decode_account_data(frame.data)
        except wire.UNREADABLE as error:
            return self._unclear(f"{frame.type}: {error}", now_ms)
        match frame.type:
            case "ORDER" if data.orders is not None:
                events = self._told(data.orders, self._order, now_ms)
            case "POSITION" if data.positions is not None:
                events = self._told(data.positions, self._position, now_ms)
            case "BALANCE" if wire.told(data.balance):
                events = self._told([data.balance], self._balance, now_ms)
            case "TRADE" if data.trades is not None:
                return self._told(data.trades, self._fill, now_ms)
            case "ORDER" | "POSITION" | "BALANCE" | "TRADE":
                return self._unclear(f"{frame.type} without its content", now_ms)
            case "SPOT_BALANCE":
                return []  # vault shares: they count in the balance's equity already
            case _:
                self.unknown_words += 1
                return []
        if not data.is_snapshot:
            return events
        self._missing.discard(frame.type)
        return _whole(SNAPSHOTS[frame.type], events, now_ms)

    def _told(
        self, raws: Sequence[msgspec.Raw], read: Callable[[msgspec.Raw, int], list[AccountEvent]], now_ms: int
    ) -> list[AccountEvent]:
        """The events of all rows. A row that cannot be read puts everything in doubt, but hides no other."""
        events: list[AccountEvent] = []
        words = self._rows.unknown_words
        for raw in raws:
            try:
                events += read(raw, now_ms)
            except UNREADABLE as error:
                events += self._unclear(f"{error}: {bytes(raw)[:100]!r}", now_ms)
        self.unknown_words += self._rows.unknown_words - words
        return events

    def _order(self, raw: msgspec.Raw, now_ms: int) -> list[AccountEvent]:
        seen = self._rows.order(wire.decode_order(raw), now_ms)
        if LIQUIDATED.isdisjoint(seen.reason.split()):
            return [seen]
        return [seen, Incident(facts.NAME, "liquidation", f"{seen.market}: {seen.reason}", now_ms)]

    def _fill(self, raw: msgspec.Raw, now_ms: int) -> list[AccountEvent]:
        seen = self._rows.fill(wire.decode_fill(raw), now_ms)
        name = f"{seen.venue_order_id}/{seen.fill_id}"
        if name in self._fills_seen:
            return []
        self._fills_seen[name] = seen.market
        return [seen]

    def _position(self, raw: msgspec.Raw, now_ms: int) -> list[AccountEvent]:
        """News of a position older than the newest in its market is no news: the end of one may come after the next."""
        number, seen = self._rows.position(wire.decode_position(raw), now_ms)
        if number < self._newest_position.get(seen.market, number):
            return []
        self._newest_position[seen.market] = number
        return [seen]

    def _balance(self, raw: msgspec.Raw, now_ms: int) -> list[AccountEvent]:
        row = wire.decode_balance(raw)
        seen = balance_seen(row, now_ms)
        status = row.status or "ACTIVE"
        if status == self._account_status:
            return [seen]
        self._account_status = status
        return [seen, Incident(facts.NAME, "account_status", f"the account is {status[:60]}", now_ms)]

    def _unclear(self, what: str, now_ms: int) -> list[Any]:
        self.bad_frames += 1
        return [_doubt(what[:200], now_ms)]


def _whole(kind: str, events: list[AccountEvent], now_ms: int) -> list[AccountEvent]:
    """A snapshot with a row that could not be read is no complete listing: its rows are told as news only."""
    incidents = [event for event in events if isinstance(event, Incident)]
    if any(incident.kind == IN_DOUBT for incident in incidents):
        return events
    rows = tuple(event for event in events if isinstance(event, OrderSeen | PositionSeen | BalanceSeen))
    return [AccountSnapshot(facts.NAME, kind, None, rows, now_ms), *incidents]


def _doubt(detail: str, now_ms: int) -> Incident:
    return Incident(facts.NAME, IN_DOUBT, detail, now_ms)

"""Lighter's account: rows of its listings and streams to events, and the private stream without its socket.

The venue keeps no count of private messages, so that a lost one does not show by itself. What a subscription starts
with makes up for it: all open orders and all positions (complete), and the latest fills (not complete: IN_DOUBT asks
for them to be read back).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from twinleg.core.amounts import AmountError, Grid, micro_usd
from twinleg.core.messages import Market
from twinleg.core.orders import Side
from twinleg.core.subscriptions import Pace
from twinleg.core.trading import (
    IN_DOUBT,
    AccountEvent,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    Incident,
    LeverageSeen,
    OrderSeen,
    PositionSeen,
    client_id_of,
    name_of,
)
from twinleg.core.venue import WireError
from twinleg.venues.lighter import facts, orders, wire
from twinleg.venues.lighter.feed import ALREADY_SUBSCRIBED, NOT_SUBSCRIBED, TOO_MANY, Session
from twinleg.venues.lighter.sign import Tokens

UNTRUSTED = (*wire.UNREADABLE, AmountError, WireError)
"""All that a bad row raises."""

RESTING = frozenset({"in-progress", "pending", "open"})
OVER = frozenset({"filled", "canceled"})
OVER_PREFIX = "canceled-"
CANCELLED_BY_LIQUIDATION = "canceled-liquidation"
FORCED = frozenset({"liquidation", "deleverage", "market-settlement"})
TRADE = "trade"
TOKEN_REFUSED = {20001, *range(61001, 61010)}
"""Codes of errors that a missing, expired or foreign token may be behind."""
CHANNEL_IN_ERROR = re.compile(r"([a-z_]+)[:/]\d{1,20}\b")


class Rows:
    """Rows of one account to events. All raise one of UNTRUSTED; `markets` are the facts by key, and may grow."""

    def __init__(self, account_index: int, markets: Mapping[str, Market]) -> None:
        self.account_index = account_index
        self._markets = markets
        self._by_index: dict[int, Market] = {}
        self.unknown_words = 0
        self.fractions: dict[int, int | None] = {}
        """The margin fraction that the account has chosen, by the market's number; None for isolated margin."""

    def order(self, raw: msgspec.Raw, now_ms: int) -> list[OrderSeen | Incident]:
        """An order of the account, none for one of somebody else's."""
        row = wire.decode_order(raw)
        if row.owner_account_index != self.account_index:
            return []
        market = self.market(row.market_index)
        if market is None:
            return [_unlisted("order", row.market_index, now_ms)]
        over = row.status in OVER or row.status.startswith(OVER_PREFIX)
        self.unknown_words += not over and row.status not in RESTING  # it may still fill, for all we know
        return [
            OrderSeen(
                venue=facts.NAME,
                market=market.key,
                client_id=client_id_of(row.client_order_index),
                venue_order_id=str(row.order_index),
                side=Side.SELL if row.is_ask else Side.BUY,
                size_lots=_size(market, row.initial_base_amount),
                filled_lots=_size(market, row.filled_base_amount),
                price_ticks=market.price_grid.parse(row.price) or None,
                reduce_only=row.reduce_only,
                resting=not over,
                reason=row.status,
                at_ms=row.updated_at or now_ms,
                name=name_of(row.client_order_index),
            )
        ]

    def executions(self, raw: msgspec.Raw, now_ms: int) -> list[ExecutionSeen | Incident]:
        """The account's part in a trade: one execution, two if it traded with itself, none if it took no part."""
        row = wire.decode_fill(raw)
        if self.account_index not in (row.ask_account_id, row.bid_account_id):
            return []
        market = self.market(row.market_id)
        if market is None:
            return [_unlisted("trade", row.market_id, now_ms)]
        self.unknown_words += row.type != TRADE and row.type not in FORCED
        found: list[ExecutionSeen | Incident] = []
        if row.ask_account_id == self.account_index:
            found.append(_execution(row, market, Side.SELL))
        if row.bid_account_id == self.account_index:
            found.append(_execution(row, market, Side.BUY))
        return found

    def position(self, row: wire.PositionRow, now_ms: int) -> list[PositionSeen | LeverageSeen | Incident]:
        """A position, flat ones too, and the leverage chosen for its market."""
        market = self.market(row.market_id)
        if market is None:
            held = Grid(decimals=18).parse(row.position)
            return [_unlisted("position", row.market_id, now_ms)] if held else []
        size = _size(market, row.position)
        if size and row.sign not in (1, -1):
            raise WireError(f"a position of {row.position} with sign {row.sign}")
        seen = PositionSeen(
            venue=facts.NAME,
            market=market.key,
            lots=size * row.sign,
            entry_price=_ticks(market, row.avg_entry_price),
            liquidation_price=_ticks(market, row.liquidation_price),
            unrealised_usd=wire.number(row.unrealized_pnl),
            at_ms=now_ms,
        )
        percent = wire.positive(row.initial_margin_fraction)
        if percent is None:
            return [seen]
        fraction = round(percent * facts.MARGIN_FRACTION_UNIT / 100)
        self.fractions[row.market_id] = fraction if row.margin_mode == facts.CROSS_MARGIN else None
        return [seen, LeverageSeen(facts.NAME, market.key, 100 / percent, now_ms)]

    def market(self, index: int) -> Market | None:
        """The market with that number of the venue's, None if it is not listed."""
        market = self._by_index.get(index)
        if market is None or self._markets.get(market.key) is not market:  # new, or its facts are
            self._by_index = {int(each.native_id): each for each in self._markets.values() if each.venue == facts.NAME}
            market = self._by_index.get(index)
        return market


def balance(
    equity: str, available: str, now_ms: int, initial: str | None = None, maintenance: str | None = None
) -> BalanceSeen:
    """Initial margin, if untold, is what of the equity is not available (recorded). Raises WireError."""
    equity_usd, available_usd = wire.number(equity), wire.number(available)
    if equity_usd is None or available_usd is None:
        raise WireError(f"no balance: equity {equity!r:.40}, available {available!r:.40}")
    initial_usd = wire.number(initial)
    return BalanceSeen(
        venue=facts.NAME,
        equity_usd=equity_usd,
        available_usd=available_usd,
        initial_margin_usd=max(0.0, equity_usd - available_usd) if initial_usd is None else initial_usd,
        maintenance_margin_usd=wire.number(maintenance),
        at_ms=now_ms,
    )


def _execution(row: wire.FillRow, market: Market, side: Side) -> ExecutionSeen:
    sells = side is Side.SELL
    makes = row.is_maker_ask is sells
    price_ticks, size_lots = market.price_grid.parse(row.price), _size(market, row.size)
    if price_ticks <= 0 or size_lots <= 0:
        raise WireError(f"a trade of {row.size} at {row.price}")
    notional = price_ticks * market.price_grid.unit * size_lots * market.size_grid.unit
    fee_ticks = row.maker_fee if makes else row.taker_fee
    return ExecutionSeen(
        venue=facts.NAME,
        market=market.key,
        client_id=client_id_of(row.ask_client_id if sells else row.bid_client_id),
        venue_order_id=str(row.ask_id if sells else row.bid_id),
        fill_id=str(row.trade_id),
        side=side,
        price_ticks=price_ticks,
        size_lots=size_lots,
        fee_micro_usd=micro_usd(notional * Fraction(fee_ticks, facts.FEE_TICKS_PER_ONE)),
        forced=row.type if _forced(row, makes=makes) else None,
        at_ms=row.timestamp,
    )


def _forced(row: wire.FillRow, *, makes: bool) -> bool:
    """Whether the venue did this to us: an order of ours may as well be what another's liquidation traded with."""
    return row.type in FORCED and not (makes and row.type == "liquidation")


def _size(market: Market, text: str) -> int:
    lots = market.size_grid.parse(text)
    if lots < 0:
        raise WireError(f"a size below zero: {text:.40}")
    return lots


def _ticks(market: Market, price: str | float | None) -> float | None:
    """An estimate in ticks; None where there is none, which the venue also writes as zero."""
    value = wire.number(price)
    return value / float(market.price_grid.unit) if value and value > 0 else None


def _unlisted(what: str, index: int, now_ms: int) -> Incident:
    """Something of ours in a market whose grid we do not know (spot, or newly listed): told, and not guessed at."""
    return Incident(facts.NAME, "unlisted_market", f"{what} in market {index}, which is not listed", now_ms)


class LighterAccountFeed(Session):
    """The account's stream: orders, fills, positions, balance, transactions. See the head of this file.

    A token is checked when a topic is asked for; with each new token all topics are asked for anew.
    """

    def __init__(self, url: str, rows: Rows, tokens: Tokens, pace: Pace) -> None:
        self._readers: dict[str, Callable[[wire.AccountFrame, bool, int], list[AccountEvent]]] = {
            "account_all_orders": self._orders,
            "account_all_trades": self._trades,
            "account_all_positions": self._positions,
            "user_stats": self._stats,
            "account_tx": self._transactions,
        }
        super().__init__("account", url, [f"{kind}/{rows.account_index}" for kind in self._readers], pace)
        self._rows = rows
        self._tokens = tokens
        self._token_of: dict[str, str] = {}
        self._fills_seen: dict[tuple[str, Side], None] = {}
        self._doubted = True
        self._missed_fills = False

    def opened(self, now_ms: int) -> list[Any]:
        """A new connection: every topic is asked for once the venue says `connected`."""
        self._doubted = False
        return super().opened(now_ms)

    def received(self, payload: bytes | memoryview, received_ns: int, now_ms: int) -> list[Any]:
        """The AccountEvents of one frame. Never raises; after `broken` frames are ignored."""
        if self.broken is not None:
            return []
        try:
            frame = wire.decode_account_frame(payload)
        except wire.UNREADABLE as error:
            return self._unclear(f"unreadable frame: {error}", now_ms)
        if frame.error is not None:
            return self._refused(frame.error, now_ms)
        first, _, kind = frame.type.rpartition("/")
        read = self._readers.get(kind)
        if read is None:
            self._say(kind, frame.close_in_ms, received_ns, now_ms)
            return []
        if frame.channel != f"{kind}:{self._rows.account_index}":
            self.bad_frames += 1  # of another account: none of our business
            return []
        starts = first == "subscribed"
        if starts:
            self._answered(f"{kind}/{self._rows.account_index}", now_ms)
        try:
            return read(frame, starts, now_ms)
        except UNTRUSTED as error:
            return self._unclear(f"{frame.type}: {error}", now_ms)

    def timer(self, received_ns: int, now_ms: int) -> list[Any]:
        """Also asks anew for topics whose token is not the one of now."""
        token = self._tokens.current(now_ms)
        for topic, used in self._token_of.items():
            if used is not token and self._connected:
                self._subscriptions.again(topic, now_ms)
        return super().timer(received_ns, now_ms)

    def resync(self, market: str) -> None:
        """Raises KeyError: there is no book here."""
        raise KeyError(market)

    def _subscribe(self, topic: str, now_ms: int) -> bytes:
        token = self._token_of[topic] = self._tokens.current(now_ms)
        return wire.subscribe(topic, token)

    def _forget(self) -> None:
        super()._forget()
        self._token_of.clear()

    def _lose_all(self, reason: str, received_ns: int) -> list[Any]:
        told, self._doubted = self._doubted, True
        return [] if told else [_doubt(f"the account stream ended: {reason}", self._now_ms)]

    def _refused(self, error: wire.StreamError, now_ms: int) -> list[Any]:
        """Error frames name no request; those that concern a topic name it in their text."""
        if error.code in TOO_MANY:
            self._subscriptions.hold(facts.PUSHED_BACK_MS, now_ms)
            return []
        if error.code == NOT_SUBSCRIBED:
            return []
        named = CHANNEL_IN_ERROR.search(error.message)
        topic = f"{named[1]}/{self._rows.account_index}" if named else ""
        if topic in self._token_of:
            self._subscriptions.again(topic, now_ms)
        if error.code == ALREADY_SUBSCRIBED:
            return []  # its content does not come before we unsubscribe
        self.unknown_words += 1
        if error.code in TOKEN_REFUSED:
            self._tokens.refused()
        return [Incident(facts.NAME, "stream_refused", f"{error.code}: {error.message[:200]}", now_ms)]

    def _orders(self, frame: wire.AccountFrame, starts: bool, now_ms: int) -> list[AccountEvent]:
        """At the start all open orders, then each order that changes; one that is over is told once."""
        events = self._told(_flat(frame.orders), self._rows.order, now_ms)
        if starts:
            return _whole("orders", events, now_ms)
        gone = [one for one in events if isinstance(one, OrderSeen) and one.reason == CANCELLED_BY_LIQUIDATION]
        return [*events, *(Incident(facts.NAME, "liquidation", f"{one.market}: {one.reason}", now_ms) for one in gone)]

    def _trades(self, frame: wire.AccountFrame, starts: bool, now_ms: int) -> list[AccountEvent]:
        """Fills not told before: each start replays some, and perhaps not all that we missed."""
        raws = [] if bytes(frame.trades) == b"null" else _flat(frame.trades)  # recorded where there are none
        events = self._told(raws, self._rows.executions, now_ms)
        fills = sorted((one for one in events if isinstance(one, ExecutionSeen)), key=lambda one: int(one.fill_id))
        others = [one for one in events if not isinstance(one, ExecutionSeen)]
        news: list[AccountEvent] = [*(one for one in fills if self._is_news(one)), *others]
        if starts and self._missed_fills:
            news.append(_doubt("fills since the last subscription", now_ms))
        self._missed_fills = True
        return news

    def _positions(self, frame: wire.AccountFrame, starts: bool, now_ms: int) -> list[AccountEvent]:
        """At the start all positions, then those that change; a closed one comes with zero."""
        events = self._told(
            _by_market(frame.positions),
            lambda raw, at_ms: self._rows.position(wire.decode_position(raw), at_ms),
            now_ms,
        )
        return _whole("positions", events, now_ms) if starts else events

    def _stats(self, frame: wire.AccountFrame, starts: bool, now_ms: int) -> list[AccountEvent]:
        row = wire.decode_user_stats(frame.stats)
        seen = balance(row.portfolio_value, row.available_balance, now_ms)
        return _whole("balance", [seen], now_ms) if starts else [seen]

    def _transactions(self, frame: wire.AccountFrame, starts: bool, now_ms: int) -> list[AccountEvent]:
        """Results of transactions, and whose numbers they have. Incidents that a start replays are no news."""
        index, market_of = self._rows.account_index, self._rows.market
        events = self._told(
            frame.txs or (), lambda raw, at_ms: orders.transaction_told(raw, index, market_of, at_ms), now_ms
        )
        return [one for one in events if not (starts and isinstance(one, Incident))]

    def _told(
        self,
        raws: Iterable[msgspec.Raw],
        read: Callable[[msgspec.Raw, int], Sequence[AccountEvent]],
        now_ms: int,
    ) -> list[AccountEvent]:
        """The events of all rows. A row that cannot be read puts all in doubt, but hides no other."""
        events: list[AccountEvent] = []
        words = self._rows.unknown_words
        for raw in raws:
            try:
                events += read(raw, now_ms)
            except UNTRUSTED as error:
                events += self._unclear(f"bad row: {error}", now_ms)
        self.unknown_words += self._rows.unknown_words - words
        return events

    def _is_news(self, fill: ExecutionSeen) -> bool:
        name = (fill.fill_id, fill.side)
        if name in self._fills_seen:
            return False
        self._fills_seen[name] = None
        if len(self._fills_seen) > facts.FILLS_SEEN_MAX:
            del self._fills_seen[next(iter(self._fills_seen))]
        return True

    def _unclear(self, what: str, now_ms: int) -> list[Any]:
        self.bad_frames += 1
        return [_doubt(what, now_ms)]


def _whole(kind: str, events: Sequence[AccountEvent], now_ms: int) -> list[AccountEvent]:
    """A complete listing and what came with it. With a row that could not be read it is news only."""
    if any(isinstance(event, Incident) and event.kind == IN_DOUBT for event in events):
        return list(events)
    rows = tuple(event for event in events if isinstance(event, OrderSeen | PositionSeen | BalanceSeen))
    others = [event for event in events if not isinstance(event, OrderSeen | PositionSeen | BalanceSeen)]
    return [AccountSnapshot(facts.NAME, kind, None, rows, now_ms), *others]


def _doubt(detail: str, now_ms: int) -> Incident:
    return Incident(facts.NAME, IN_DOUBT, detail[:200], now_ms)


def _by_market(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """What is in a topic's content, market by market. Raises WireError where it has none: that is not an empty one."""
    content = wire.decode_by_market(raw)
    if content is None:
        raise WireError("no content")
    return content if isinstance(content, list) else [each for index, each in content.items() if index.isdecimal()]


def _flat(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The rows of a topic that has lists of them by market, or one list. Raises WireError where it has none."""
    content = wire.decode_by_market(raw)
    if isinstance(content, list):
        return content
    return [row for each in _by_market(raw) for row in wire.decode_list(each) or ()]

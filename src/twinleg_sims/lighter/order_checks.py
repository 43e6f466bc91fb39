"""An order's syntax and limits at the venue's door: a body in, an engine's wish out, or a refusal with its code.

Ranges and combinations are the signer's own; expiries, minimums, counts and price sanity are the venue's. How far is
"too far" for prices is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from twinleg_sims.accounts import Accounts
from twinleg_sims.lighter.errors import RefusedError
from twinleg_sims.lighter.transactions import (
    SELF_TRADE,
    SELF_TRADE_SCOPE,
    CreateGroupedOrders,
    CreateOrder,
    Modify,
    OrderBody,
    Transaction,
)
from twinleg_sims.lighter.users import User
from twinleg_sims.margin import cost
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import SelfTrade, TimeInForce
from twinleg_sims.orders import OwnOrder, Trigger, Wish
from twinleg_sims.positions import MICRO, value_micro

LIMIT, MARKET, STOP_LOSS, STOP_LOSS_LIMIT, TAKE_PROFIT, TAKE_PROFIT_LIMIT, TWAP = range(7)
IOC, GTT, POST_ONLY = range(3)
OTO, OCO, OTOCO = 1, 2, 3
TRIGGERED = (STOP_LOSS, STOP_LOSS_LIMIT, TAKE_PROFIT, TAKE_PROFIT_LIMIT)
STOPS = (STOP_LOSS, STOP_LOSS_LIMIT)
MARKETABLE = (MARKET, STOP_LOSS, TAKE_PROFIT)
"""Types whose price is only the worst one."""

CLIENT_INDEX_MAX = BASE_AMOUNT_MAX = (1 << 48) - 1
PRICE_MAX = (1 << 32) - 1
EXPIRY_MS_MIN, EXPIRY_MS_MAX = 300_000, 30 * 86_400_000
ORDERS_MAX, ORDERS_PER_MARKET_MAX = 1_500, 1_000
WAITING_MAX, WAITING_PER_MARKET_MAX = 500, 16
ACCIDENT = 0.5
"""A limit order this much worse than the mark price is taken for an accident (assumed)."""
FAR = 20.0
"""A limit price this many times above or below the mark is too far (assumed)."""
FAR_FROM_TRIGGER = 0.5

_TIFS: dict[int, TimeInForce] = {IOC: "ioc", GTT: "gtt", POST_ONLY: "post_only"}
_SELF_TRADES: dict[int, SelfTrade] = {0: "expire_maker", 1: "expire_taker", 2: "expire_both", 3: "reduce"}


@dataclass(frozen=True, slots=True)
class OrderInfo:
    """What the wire remembers of an order beyond the engine's wish."""

    body: OrderBody
    created_ms: int


def info_of(order: OwnOrder) -> OrderInfo:
    info = order.wish.info
    assert isinstance(info, OrderInfo), "every order came in through this door"
    return info


class OrderChecks:
    """The door for orders. `market_of` gives a listed market by its id, or None."""

    def __init__(self, accounts: Accounts, market_of: Callable[[int], SimMarket | None]) -> None:
        self._accounts = accounts
        self._market_of = market_of

    def created(self, user: User, asked: CreateOrder, now_ms: int) -> Wish:
        """The wish of one order. Raises RefusedError."""
        wish = self._wish(user, asked.order, asked, now_ms)
        self._margin(user, wish)
        return wish

    def grouped(self, user: User, asked: CreateGroupedOrders, group: int, now_ms: int) -> list[Wish]:
        """The wishes to place at once; what waits for a fill hangs on the first. Raises RefusedError."""
        sizes = {OTO: 2, OCO: 2, OTOCO: 3}
        if asked.grouping_type not in sizes:
            raise RefusedError(21741)
        if len(asked.orders) != sizes[asked.grouping_type]:
            raise RefusedError(21742)
        _check_group(asked)
        first, *rest = (
            self._wish(user, body, asked, now_ms, waits=asked.grouping_type != OCO and number > 0)
            for number, body in enumerate(asked.orders)
        )
        if asked.grouping_type == OCO:
            return [replace(wish, group=group) for wish in (first, *rest)]
        self._margin(user, first)
        children = tuple(replace(wish, lots=first.lots) for wish in rest)  # the engine makes it what was filled
        return [replace(first, children=children)]

    def modified(self, order: OwnOrder, asked: Modify) -> Wish:
        """The wish of a live order after a change; base amount 0 leaves the size alone. Raises RefusedError."""
        info = info_of(order)
        lots = asked.base_amount or order.lots
        if not 0 < lots <= BASE_AMOUNT_MAX:
            raise RefusedError(21701)
        body = _changed(info.body, asked, lots)
        _check_price(body, order.market)
        if bool(body.trigger_price) != (info.body.type in TRIGGERED):
            raise RefusedError(21729)
        _check_minimum(body, order.market)
        waits = order.wish.trigger
        trigger = replace(waits, ticks=body.trigger_price) if waits else None
        return replace(order.wish, ticks=body.price, lots=lots, trigger=trigger, info=replace(info, body=body))

    def market(self, market_id: int) -> SimMarket:
        """A perpetual by its id. Raises RefusedError."""
        market = self._market_of(market_id)
        if market is None:
            raise RefusedError(21602)
        if market.listing.kind != "perp":
            raise RefusedError(21618, "perpetuals only")
        return market

    def _wish(self, user: User, body: OrderBody, asked: Transaction, now_ms: int, *, waits: bool = False) -> Wish:
        market = self.market(body.market_index)
        self._check_market(user, body, market)
        _check_kind(body)
        _check_numbers(body, waits=waits)
        _check_price(body, market)
        _check_expiry(body, now_ms)
        if body.time_in_force != IOC and not waits:
            _check_minimum(body, market)
        if body.client_order_index and user.knows_client_index(body.client_order_index, self._accounts.world.now_ms):
            raise RefusedError(21728)
        _check_counts(user, body)
        return Wish(
            market,
            "ask" if body.is_ask else "bid",
            body.price,
            body.base_amount,
            _TIFS[body.time_in_force],
            reduce_only=bool(body.reduce_only),
            client_id=str(body.client_order_index),
            expires_ms=body.order_expiry or None,
            self_trade=_SELF_TRADES.get(asked.attribute(SELF_TRADE), "expire_maker"),
            self_trade_kin=bool(asked.attribute(SELF_TRADE_SCOPE)),
            trigger=_trigger(body),
            info=OrderInfo(body, now_ms),
        )

    def _check_market(self, user: User, body: OrderBody, market: SimMarket) -> None:
        mode = self._accounts.mode(market)
        if mode == "halted":
            raise RefusedError(21605)
        held = user.engine.lots(market.symbol)
        shrinks = held and (held > 0) == bool(body.is_ask) and abs(held) >= body.base_amount
        if mode == "reduce_only" and not body.reduce_only and not shrinks:
            raise RefusedError(21740)
        if user.engine.positions and not body.reduce_only:
            figures = self._accounts.figures(user.engine)
            if figures.equity < figures.maintenance:
                raise RefusedError(21112)

    def _margin(self, user: User, wish: Wish) -> None:
        """Makers are checked at the door; takers reach the sequencer."""
        best = wish.market.book.best("ask" if wish.side == "bid" else "bid")
        crosses = best is not None and (best <= wish.ticks if wish.side == "bid" else best >= wish.ticks)
        if wish.tif == "ioc" or (crosses and wish.tif == "gtt") or wish.reduce_only or wish.trigger is not None:
            return
        needed = cost(user.engine, self._accounts.rules.margin, wish.market, wish.side, (wish.ticks, wish.lots))
        if needed > 0 and needed > self._accounts.figures(user.engine).available:
            raise RefusedError(21739)


def _changed(body: OrderBody, asked: Modify, lots: int) -> OrderBody:
    """A body with a modification's numbers."""
    return OrderBody(
        market_index=body.market_index, client_order_index=body.client_order_index, base_amount=lots,
        price=asked.price, is_ask=body.is_ask, type=body.type, time_in_force=body.time_in_force,
        reduce_only=body.reduce_only, trigger_price=asked.trigger_price, order_expiry=body.order_expiry,
    )  # fmt: skip


def _trigger(body: OrderBody) -> Trigger | None:
    """Stops fire against the position, take-profits with it, on the mark price."""
    if body.type not in TRIGGERED:
        return None
    return Trigger(body.trigger_price, above=(body.type in STOPS) != bool(body.is_ask))


def _check_kind(body: OrderBody) -> None:
    """Type, time in force, trigger and expiry go together as the signer has it."""
    if body.type not in range(7):
        raise RefusedError(21704)
    if body.type == TWAP:
        raise RefusedError(21710, "TWAP is not simulated")
    if body.is_ask not in (0, 1):
        raise RefusedError(21703)
    if body.time_in_force not in _TIFS or (body.type in MARKETABLE and body.time_in_force != IOC):
        raise RefusedError(21705)
    if bool(body.trigger_price) != (body.type in TRIGGERED):
        raise RefusedError(21729)
    at_once = body.type == MARKET or (body.type == LIMIT and body.time_in_force == IOC)
    if bool(body.order_expiry) == at_once:
        raise RefusedError(21711)


def _check_numbers(body: OrderBody, *, waits: bool) -> None:
    if not 0 <= body.client_order_index <= CLIENT_INDEX_MAX:
        raise RefusedError(21727)
    if not 0 < body.price <= PRICE_MAX:
        raise RefusedError(21702)
    if not 0 <= body.trigger_price <= PRICE_MAX:
        raise RefusedError(21729)
    if body.reduce_only not in (0, 1):
        raise RefusedError(21740)
    whole = body.base_amount == 0 and (body.reduce_only or waits)
    if not whole and not 0 < body.base_amount <= BASE_AMOUNT_MAX:
        raise RefusedError(21701)


def _check_expiry(body: OrderBody, now_ms: int) -> None:
    if body.order_expiry and not now_ms + EXPIRY_MS_MIN <= body.order_expiry <= now_ms + EXPIRY_MS_MAX:
        raise RefusedError(21711)


def _check_price(body: OrderBody, market: SimMarket) -> None:
    """Prices that look like a mistake. Market orders may name any worst price."""
    if not 0 < body.price <= PRICE_MAX:
        raise RefusedError(21702)
    if body.type in TRIGGERED:
        if abs(body.price - body.trigger_price) > FAR_FROM_TRIGGER * body.trigger_price:
            raise RefusedError(21735)
        return
    if body.type == MARKET:
        return
    mark = market.mark_price / market.listing.tick
    if not mark / FAR < body.price < mark * FAR:
        raise RefusedError(21734)
    worse = 1 - body.price / mark if body.is_ask else body.price / mark - 1
    if worse > ACCIDENT:
        raise RefusedError(21733)


def _check_minimum(body: OrderBody, market: SimMarket) -> None:
    """For orders that may rest."""
    if body.base_amount == 0 and body.reduce_only:
        return
    worth = value_micro(market.listing, body.price, body.base_amount)
    if body.base_amount < market.listing.min_lots or worth < market.listing.min_notional_usd * MICRO:
        raise RefusedError(21706)


def _check_counts(user: User, body: OrderBody) -> None:
    """Resting orders and waiting ones are counted apart. A pending order counts as what it will be."""
    waiting = body.type in TRIGGERED
    alike = [order for order in user.engine.orders.values() if (order.wish.trigger is not None) == waiting]
    here = sum(order.market.listing.market_id == body.market_index for order in alike)
    codes = (21719, 21720) if waiting else (21717, 21718)
    for count, most, code in zip(
        (len(alike), here),
        (WAITING_MAX, WAITING_PER_MARKET_MAX) if waiting else (ORDERS_MAX, ORDERS_PER_MARKET_MAX),
        codes,
        strict=True,
    ):
        if count >= most:
            raise RefusedError(code)


def _check_group(asked: CreateGroupedOrders) -> None:
    """What the members of a group must have in common. Raises RefusedError."""
    parent, children = (None, asked.orders) if asked.grouping_type == OCO else (asked.orders[0], asked.orders[1:])
    indexes = [order.client_order_index for order in asked.orders if order.client_order_index]
    if len(set(indexes)) < len(indexes):
        raise RefusedError(21727)
    if len({order.market_index for order in asked.orders}) > 1:
        raise RefusedError(21602)
    if any(child.type not in TRIGGERED for child in children):
        raise RefusedError(21704)
    if len(children) == 2 and (children[0].type in STOPS) == (children[1].type in STOPS):
        raise RefusedError(21704)
    if len({(child.is_ask, child.base_amount, child.order_expiry, child.reduce_only) for child in children}) > 1:
        raise RefusedError(21743)
    if not all(child.reduce_only for child in children):
        raise RefusedError(21740)
    if parent is None:
        return
    if parent.type not in (LIMIT, MARKET):
        raise RefusedError(21704)
    if any(child.base_amount or child.is_ask == parent.is_ask for child in children):
        raise RefusedError(21743)
    if parent.order_expiry and parent.order_expiry != children[0].order_expiry:
        raise RefusedError(21711)

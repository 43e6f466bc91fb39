"""The account channels. Each follows its user's log with a cursor; a subscriber gets the whole state, then changes."""

from __future__ import annotations

from collections.abc import Iterable

from twinleg_sims.lighter import account_wire
from twinleg_sims.lighter.channels import UnknownChannelError
from twinleg_sims.lighter.private import RULES, Private
from twinleg_sims.lighter.users import Change, User
from twinleg_sims.lighter.wire import Row
from twinleg_sims.listings import LIGHTER
from twinleg_sims.margin import figures
from twinleg_sims.market import SimMarket
from twinleg_sims.orders import OwnOrder

STATS_INTERVAL_MS = 500
NOTIFICATIONS_SHOWN = 50
TRADES_REPLAYED = 50
OPEN_TO_ALL = ("account_all", "account_all_trades", "account_all_positions", "user_stats")
"""Channels that some sources list as public: they work without a token too."""


class AccountChannel:
    """An account's channel, a Channel too: what all of them share is the user, the log's cursor, and rows of things."""

    topic = "account"
    symbol = ""
    interval_ms = 0

    def __init__(self, private: Private, user: User, market: SimMarket | None = None) -> None:
        self.user = user
        self._private = private
        self._market = market
        self._cursor = user.logged

    def snapshot(self, now_ms: int) -> Row:
        self._cursor = self.user.logged
        return self._whole(now_ms)

    def update(self, now_ms: int) -> Row | None:
        if self._cursor == self.user.logged:
            return None
        changes = self.user.since(self._cursor)
        self._cursor = self.user.logged
        return self._changed(changes, now_ms)

    def _whole(self, now_ms: int) -> Row:
        raise NotImplementedError

    def _changed(self, changes: list[Change], now_ms: int) -> Row | None:
        raise NotImplementedError

    def _stamp_ms(self, now_ms: int) -> int:
        return self._private.view.stamp_ms(now_ms)

    def _here(self, market: SimMarket) -> bool:
        return self._market is None or self._market is market

    def _orders(self, orders: Iterable[OwnOrder], now_ms: int) -> dict[str, list[Row]]:
        """By market id, in the order of happening."""
        offset_ms = self._stamp_ms(now_ms) - now_ms
        rows: dict[str, list[Row]] = {}
        for order in orders:
            if self._here(order.market):
                row = account_wire.order(order, self.user.index, offset_ms)
                rows.setdefault(str(order.market.listing.market_id), []).append(row)
        return rows

    def _live_orders(self, now_ms: int) -> dict[str, list[Row]]:
        return self._orders((o for o in self.user.engine.orders.values() if o.state != "pending"), now_ms)

    def _changed_orders(self, changes: list[Change], now_ms: int) -> dict[str, list[Row]]:
        return self._orders((order for change in changes for order in change.orders), now_ms)

    def _positions(self, symbols: Iterable[str]) -> dict[str, Row]:
        """By market id, flat ones included."""
        now, wanted = figures(self.user.engine, RULES.margin), set(symbols)
        listed = self._private.view.world.markets(LIGHTER)
        markets = [market for market in listed if market.symbol in wanted and self._here(market)]
        return account_wire.positions(self.user.live, markets, RULES.margin, now)

    def _changed_positions(self, changes: list[Change]) -> dict[str, Row]:
        symbols = {position.market.symbol for change in changes for position in change.positions}
        return self._positions(symbols | {order.market.symbol for c in changes for order in c.orders} & self.user.held)

    def _trades(self, rows: Iterable[Row]) -> dict[str, list[Row]]:
        """By market id."""
        wanted = self._market.listing.market_id if self._market else None
        found: dict[str, list[Row]] = {}
        for row in rows:
            if wanted in (None, row["market_id"]):
                found.setdefault(str(row["market_id"]), []).append(row)
        return found

    def _recent_trades(self) -> list[Row]:
        return list(self.user.trades.values())[-TRADES_REPLAYED:]

    def _payments(self, changes: list[Change]) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for change in changes:
            for paid in change.payments:
                if self._here(paid.market):
                    row = account_wire.payment(paid)
                    found.setdefault(str(row["market_id"]), []).append(row)
        return found


class AllOrders(AccountChannel):
    """account_all_orders/{account}, account_orders/{market}/{account}."""

    topic = "orders"

    def _whole(self, now_ms: int) -> Row:
        return self._frame(self._live_orders(now_ms))

    def _changed(self, changes: list[Change], now_ms: int) -> Row | None:
        rows = self._changed_orders(changes, now_ms)
        return self._frame(rows) if rows else None

    def _frame(self, rows: dict[str, list[Row]]) -> Row:
        if self._market is None:
            return {"orders": rows}
        return {"account": self.user.index, "nonce": self._market.book.nonce, "orders": rows}


class AllTrades(AccountChannel):
    """account_all_trades/{account}: replayed at each subscription."""

    topic = "fills"

    def _whole(self, now_ms: int) -> Row:
        del now_ms
        rows = self._trades([*self._recent_trades(), *self._foreign()])
        return {"trades": rows, **_volumes(self.user)}

    def _changed(self, changes: list[Change], now_ms: int) -> Row | None:
        del now_ms
        rows = [row for change in changes for row in change.trades]
        return {"trades": self._trades([*rows, *self._foreign()])} if rows else None

    def _foreign(self) -> list[Row]:
        """The fault of a trade between others."""
        if not self._private.accounts.hit("foreign_trade", "", self.user.engine):
            return []
        market = self._private.view.world.markets(LIGHTER)[0]
        me = self.user.engine.id
        others = [done for done in market.book.recent_trades(100) if me not in (done.taker_owner, done.maker_owner)]
        return [self._private.deals.row(market, done, 0) for done in others[-1:]]


class AllPositions(AccountChannel):
    """account_all_positions/{account}: updates hold the markets that changed."""

    topic = "positions"

    def _whole(self, now_ms: int) -> Row:
        del now_ms
        return self._frame(self._positions(self.user.held))

    def _changed(self, changes: list[Change], now_ms: int) -> Row | None:
        del now_ms
        rows = self._changed_positions([c for c in changes if c.positions or c.payments])
        return self._frame(rows) if rows else None

    @staticmethod
    def _frame(rows: dict[str, Row]) -> Row:
        return {"positions": rows, "shares": [], "last_funding_round": None, "last_funding_discount": None}


class AllAssets(AccountChannel):
    """account_all_assets/{account}."""

    topic = "assets"

    def __init__(self, private: Private, user: User) -> None:
        super().__init__(private, user)
        self._last = 0

    def _whole(self, now_ms: int) -> Row:
        self._last = self.user.engine.balance_micro
        rows = account_wire.assets(figures(self.user.engine, RULES.margin))
        return {"assets": rows, "timestamp": self._stamp_ms(now_ms)}

    def _changed(self, changes: list[Change], now_ms: int) -> Row | None:
        del changes
        return self._whole(now_ms) if self._last != self.user.engine.balance_micro else None


class UserStats(AccountChannel):
    """user_stats/{account}: it moves with the marks."""

    topic = "user_stats"
    interval_ms = STATS_INTERVAL_MS

    def __init__(self, private: Private, user: User) -> None:
        super().__init__(private, user)
        self._last: Row = {}

    def snapshot(self, now_ms: int) -> Row:
        self._last = account_wire.user_stats(figures(self.user.engine, RULES.margin))
        return {"stats": self._last, "timestamp": self._stamp_ms(now_ms)}

    def update(self, now_ms: int) -> Row | None:
        before = self._last
        frame = self.snapshot(now_ms)
        return frame if self._last != before else None


class Transactions(AccountChannel):
    """account_tx/{account}: each transaction when it is accepted, and when its fate is known."""

    topic = "transactions"

    def _whole(self, now_ms: int) -> Row:
        records = list(self.user.records.values())[-TRADES_REPLAYED:]
        return {"txs": [self._private.transaction_row(record, now_ms) for record in records]}

    def _changed(self, changes: list[Change], now_ms: int) -> Row | None:
        del now_ms
        rows = [row for change in changes for row in change.records]
        return {"txs": rows} if rows else None


class Notifications(AccountChannel):
    """notification/{account}: liquidations and deleveraging."""

    topic = "notifications"

    def _whole(self, now_ms: int) -> Row:
        del now_ms
        forced = [row for row in self.user.trades.values() if row["type"] != "trade"]
        return {"notifs": [self._row(row) for row in forced[-NOTIFICATIONS_SHOWN:]]}

    def _changed(self, changes: list[Change], now_ms: int) -> Row | None:
        del now_ms
        rows = [self._row(row) for change in changes for row in change.liquidated]
        return {"notifs": rows} if rows else None

    def _row(self, trade: Row) -> Row:
        mine = trade["ask_account_id"] == self.user.index
        content = {
            "id": str(trade["trade_id"]),
            "is_ask": mine,
            "usdc_amount": trade["usd_amount"],
            "size": trade["size"],
            "market_index": trade["market_id"],
            "price": trade["price"],
            "timestamp": trade["timestamp"],
            "avg_price": trade["price"],
        }
        return {
            "id": f"{trade['type']}-{trade['trade_id']}",
            "created_at": trade["timestamp"],
            "updated_at": trade["timestamp"],
            "kind": trade["type"],
            "account_index": self.user.index,
            "content": content,
            "ack": False,
            "acked_at": None,
        }


class Everything(AccountChannel):
    """account_all/{account} and account_market/{market}/{account}."""

    def _whole(self, now_ms: int) -> Row:
        found = self._frame(self._positions(self.user.held), self._trades(self._recent_trades()), {})
        return self._narrowed(found, self._live_orders(now_ms))

    def _changed(self, changes: list[Change], now_ms: int) -> Row | None:
        positions, payments = self._changed_positions(changes), self._payments(changes)
        trades = self._trades(row for change in changes for row in change.trades)
        orders = self._changed_orders(changes, now_ms)
        if not (positions or payments or trades or orders):
            return None
        return self._narrowed(self._frame(positions, trades, payments), orders)

    def _frame(self, positions: dict[str, Row], trades: dict[str, list[Row]], paid: dict[str, list[Row]]) -> Row:
        return {
            "account": self.user.index,
            "assets": account_wire.assets(figures(self.user.engine, RULES.margin)),
            "positions": positions,
            "trades": trades,
            "funding_histories": paid,
            "shares": [],
            **_volumes(self.user),
        }

    def _narrowed(self, frame: Row, orders: dict[str, list[Row]]) -> Row:
        """One market's: lists instead of dicts by market, and the orders with them."""
        if self._market is None:
            return frame
        here = str(self._market.listing.market_id)
        return {
            "account": self.user.index,
            "orders": orders.get(here, []),
            "position": frame["positions"].get(here),
            "trades": frame["trades"].get(here, []),
            "funding_history": frame["funding_histories"].get(here, []),
            "assets": frame["assets"],
        }


def _volumes(user: User) -> Row:
    """Totals of what is kept, in USD."""
    total = sum(float(row["usd_amount"]) for row in user.trades.values())
    row: Row = {}
    for name in ("daily", "weekly", "monthly", "total"):
        row |= {f"{name}_volume": total, f"{name}_trades_count": len(user.trades)}
    return row


def owner_of(private: Private, name: str) -> User:
    """Whose channel a name is. Raises UnknownChannelError."""
    text = name.rpartition("/")[2]
    user = next((user for user in private.users if str(user.index) == text), None)
    if user is None:
        raise UnknownChannelError(name)
    return user


def opened(private: Private, name: str, now_ms: int) -> AccountChannel:
    """The account channel called `name`, written with slashes. Raises UnknownChannelError."""
    user = owner_of(private, name)
    match name.split("/"):
        case ["account_all", _]:
            return Everything(private, user)
        case ["account_all_orders", _]:
            return AllOrders(private, user)
        case ["account_all_trades", _]:
            return AllTrades(private, user)
        case ["account_all_positions", _]:
            return AllPositions(private, user)
        case ["account_all_assets", _]:
            return AllAssets(private, user)
        case ["user_stats", _]:
            return UserStats(private, user)
        case ["account_tx", _]:
            return Transactions(private, user)
        case ["notification", _]:
            return Notifications(private, user)
        case ["account_orders" | "account_market" as kind, text, _] if text.isdecimal() and len(text) <= 4:
            market = private.view.market(int(text), now_ms)
            if market is not None:
                kinds = {"account_orders": AllOrders, "account_market": Everything}
                return kinds[kind](private, user, market)
    raise UnknownChannelError(name)

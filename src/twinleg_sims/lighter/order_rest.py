"""REST for orders and what came of them: trades, funding, liquidations, profit. They show the mirror."""

from __future__ import annotations

from collections.abc import Iterable

from twinleg_sims.lighter import account_wire
from twinleg_sims.lighter.asked import Asked, page
from twinleg_sims.lighter.endpoints import OK, Endpoints
from twinleg_sims.lighter.errors import parameter
from twinleg_sims.lighter.private import Private
from twinleg_sims.lighter.sequencer import hidden
from twinleg_sims.lighter.users import User
from twinleg_sims.lighter.wire import Row
from twinleg_sims.market import SimMarket
from twinleg_sims.orders import OwnOrder
from twinleg_sims.positions import MICRO

_PNL_NOUGHTS = (
    "outflow", "pool_pnl", "pool_inflow", "pool_outflow", "pool_total_shares", "spot_inflow", "spot_outflow",
    "staked_lit", "staking_inflow", "staking_outflow", "staking_pnl", "trade_spot_pnl",
)  # fmt: skip
_RISKS = (
    "total_account_value", "initial_margin_req", "maintenance_margin_req", "close_out_margin_req",
    "total_account_liquidation_threshold", "usdc_collateral_with_funding", "usdc_portfolio_value",
    "total_portfolio_value",
)  # fmt: skip


class OrderRest(Endpoints):
    """Orders live and ended, trades, positionFunding, liquidations, pnl."""

    def __init__(self, private: Private) -> None:
        super().__init__(private)
        self.table = {
            "accountActiveOrders": ("GET", self._active_orders),
            "accountInactiveOrders": ("GET", self._inactive_orders),
            "accountOrders": ("GET", self._orders),
            "trades": ("GET", self._trades),
            "positionFunding": ("GET", self._position_funding),
            "liquidations": ("GET", self._liquidations),
            "pnl": ("GET", self._pnl),
        }

    def _active_orders(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        live = [order for order in user.mirror.orders.values() if order.live]
        return OK | {"orders": self._order_rows(user, live, asked, now_ms)}

    def _inactive_orders(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        ended = [order for order in reversed(user.mirror.orders.values()) if not order.live]
        span = asked.span_ms("between_timestamps")
        if span is not None:
            ended = [order for order in ended if span[0] <= order.updated_ms <= span[1]]
        rows, more = page(self._order_rows(user, ended, asked, now_ms), asked)
        return OK | {"orders": rows} | more

    def _orders(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        wanted = set(asked.text("client_order_indexes").split(","))
        if not all(index.isdecimal() for index in wanted):
            raise parameter("client_order_indexes")
        found = [order for order in user.mirror.orders.values() if order.wish.client_id in wanted - {"0"}]
        return OK | {"orders": self._order_rows(user, found, asked, now_ms)}

    def _order_rows(self, user: User, orders: Iterable[OwnOrder], asked: Asked, now_ms: int) -> list[Row]:
        markets, ask = asked.market_ids(), asked.number("ask_filter", -1, low=-1, high=1)
        offset_ms = self._offset_ms(now_ms)
        return [
            account_wire.order(order, user.index, offset_ms)
            for order in orders
            if not hidden(order)
            and (markets is None or order.market.listing.market_id in markets)
            and ask in (-1, int(order.side == "ask"))
        ]

    def _trades(self, asked: Asked, now_ms: int) -> Row:
        """An account's trades with a token; everybody's of one market without an account."""
        if asked.optional("sort_by") not in ("block_height", "timestamp", "trade_id"):
            raise parameter("sort_by")
        if asked.optional("account_index") in (None, "-1"):
            rows = self._public_trades(asked, now_ms)
        else:
            user = self._user_of(asked, now_ms)
            rows = [user.trades[fill.id] for fill in user.mirror.fills if fill.id in user.trades]
            rows = [row for row in rows if _wanted(row, user.index, asked)]
        rows.sort(key=lambda row: (row["timestamp"], row["trade_id"]), reverse=asked.optional("sort_dir") != "asc")
        shown, more = page(rows, asked)
        return OK | {"trades": shown} | more

    def _public_trades(self, asked: Asked, now_ms: int) -> list[Row]:
        offset_ms = self._offset_ms(now_ms)
        markets = asked.market_ids()
        rows: list[Row] = []
        for market in self._view.listed(now_ms):
            if markets is None or market.listing.market_id in markets:
                rows += [self._private.deals.row(market, done, offset_ms) for done in market.book.recent_trades(1_000)]
        return rows

    def _position_funding(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        markets, side = asked.market_ids(), asked.optional("side") or "all"
        paid = [
            payment
            for payment in reversed(user.mirror.payments)
            if (markets is None or payment.market.listing.market_id in markets)
            and side in ("all", "long" if payment.lots > 0 else "short")
        ]
        rows, more = page([account_wire.payment(payment) for payment in paid], asked)
        return OK | {"position_fundings": rows} | more

    def _liquidations(self, asked: Asked, now_ms: int) -> Row:
        user = self._user_of(asked, now_ms)
        markets = asked.market_ids()
        forced = [fill for fill in reversed(user.mirror.fills) if fill.kind != "trade" and fill.id in user.trades]
        rows = [
            self._liquidation(user, user.trades[fill.id], fill.market)
            for fill in forced
            if markets is None or fill.market.listing.market_id in markets
        ]
        shown, more = page(rows, asked)
        return OK | {"liquidations": shown} | more

    def _liquidation(self, user: User, trade: Row, market: SimMarket) -> Row:
        names = ("price", "size", "transaction_time", "bid_account_id", "ask_account_id")
        fees = {name: str(trade.get(name, 0)) for name in ("taker_fee", "maker_fee")}
        now = self._figures(user)
        return {
            "id": trade["trade_id"],
            "market_id": market.listing.market_id,
            "type": "deleverage" if trade["type"] == "deleverage" else "partial",
            "trade": {name: trade[name] for name in names} | fees,
            "info": {
                "positions": [],
                "risk_info_before": _no_risk(now.balance),
                "risk_info_after": _no_risk(now.balance),
                "mark_prices": {str(market.listing.market_id): market.mark_price},
                "assets": [],
                "asset_index_prices": {},
            },
            "executed_at": trade["timestamp"],
        }

    def _pnl(self, asked: Asked, now_ms: int) -> Row:
        """One row, for the end of the span: what was earned since the account began."""
        user = self._user_of(asked, now_ms, "value")
        now = self._figures(user)
        entry: Row = dict.fromkeys(_PNL_NOUGHTS, 0.0)
        entry |= {
            "timestamp": min(now_ms, asked.number("end_timestamp")) // 1000,
            "trade_pnl": (now.equity - user.engine.deposited_micro) / MICRO,
            "inflow": user.engine.deposited_micro / MICRO,
            "volume": sum(fill.value_micro for fill in user.mirror.fills) / MICRO,
        }
        return OK | {"resolution": asked.text("resolution"), "pnl": [entry]}


def _no_risk(collateral_micro: int) -> Row:
    nought = {name: account_wire.usd(0) for name in _RISKS}
    cross = {"market_id": 255, "collateral": account_wire.usd(collateral_micro), **nought}
    return {"cross_risk_parameters": cross, "isolated_risk_parameters": []}


def _wanted(row: Row, account: int, asked: Asked) -> bool:
    """Whether an own trade passes the query's filters."""
    markets, ask = asked.market_ids(), asked.number("ask_filter", -1, low=-1, high=1)
    mine = "ask" if row["ask_account_id"] == account else "bid"
    role = "maker" if row["is_maker_ask"] == (mine == "ask") else "taker"
    index = asked.optional("order_index") or asked.optional("order_index_str")
    return (
        (markets is None or row["market_id"] in markets)
        and ask in (-1, int(mine == "ask"))
        and asked.optional("role") in (None, "all", role)
        and asked.optional("type") in (None, "all", row["type"])
        and (index in (None, "") or row[f"{mine}_id_str"] == index)
        and row["timestamp"] >= asked.number("from", 0, low=-1)
    )

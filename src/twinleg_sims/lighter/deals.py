"""Outside users' part in trades: their order numbers, fees and positions before, which the book does not know.

Public trade rows and the users' own come out of the same place, so that both say the same.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from twinleg_sims.lighter import facts, wire
from twinleg_sims.lighter.account_wire import usd
from twinleg_sims.lighter.users import TRADES_KEPT, User
from twinleg_sims.lighter.wire import Row
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import Side, Trade
from twinleg_sims.positions import PPM, Fill

PARTS_KEPT = 20_000
TAKE_OVER_STEP = 256
"""Take-overs are no trades of the book's: their numbers lie between two of its trades, in steps of this."""


@dataclass(slots=True)
class Held:
    """A running position: signed lots and what was paid for them."""

    lots: int = 0
    cost_micro: int = 0

    def take(self, fill: Fill) -> int:
        """Apply a fill; the profit of what it closed. The same arithmetic as the engine's."""
        sign = 1 if fill.side == "bid" else -1
        pnl, left, value = 0, fill.lots, fill.value_micro
        if self.lots * sign < 0:
            closed = min(left, abs(self.lots))
            closed_value, released = value * closed // left, self.cost_micro * closed // abs(self.lots)
            pnl = closed_value - released if self.lots > 0 else released - closed_value
            self.cost_micro -= released
            self.lots += sign * closed
            left, value = left - closed, value - closed_value
        self.lots += sign * left
        self.cost_micro += value if left else 0
        return pnl


@dataclass(frozen=True, slots=True)
class Part:
    """One outside user's side of a trade."""

    account: int
    order: int
    client: int
    fee_ppm: int
    kind: str
    lots_before: int
    cost_before: int
    initial_fraction: int
    pnl_micro: int
    sign_changed: bool
    version: int


class Deals:
    """What outside users had to do with trades; the last PARTS_KEPT of them."""

    def __init__(self) -> None:
        self._parts: OrderedDict[tuple[int, int], dict[Side, Part]] = OrderedDict()
        self._held: dict[tuple[int, str], Held] = {}
        self._take_overs: dict[int, int] = {}

    def take_in(self, user: User, fill: Fill, order_version: int, initial_ppm: int) -> None:
        """Know a user's fill. All fills of a moment are taken in before any row is written."""
        held = self._held.setdefault((user.index, fill.market.symbol), Held())
        lots, cost = held.lots, held.cost_micro
        pnl = held.take(fill)
        market_id = fill.market.listing.market_id
        part = Part(
            user.index,
            facts.own_index(fill.side == "ask", fill.order, market_id) if fill.order else 0,
            int(fill.client_id or 0),
            round(fill.fee_micro * PPM / fill.value_micro) if fill.value_micro else 0,
            fill.kind,
            lots,
            cost,
            initial_ppm // 100,
            pnl,
            lots * held.lots < 0,
            order_version,
        )
        if fill.trade:
            self._parts.setdefault((market_id, fill.trade), {})[fill.side] = part
        else:
            self._parts[market_id, -fill.id * facts.MARKETS_MAX * 1_000 - user.index] = {fill.side: part}
        while len(self._parts) > PARTS_KEPT:
            self._parts.popitem(last=False)

    def row(self, market: SimMarket, done: Trade, offset_ms: int) -> Row:
        """A trade of the book as everybody sees it."""
        row = wire.trade(market.listing, done, offset_ms)
        for side, part in self._parts.get((market.listing.market_id, done.sequence), {}).items():
            _add(row, market, part, side, is_taker=side == done.taker_side)
        return row

    def own_row(self, user: User, fill: Fill, offset_ms: int) -> Row:
        """A user's fill as a trade."""
        other: Side = "bid" if fill.side == "ask" else "ask"
        taker = fill.side if fill.is_taker else other
        if fill.trade:
            fresh = fill.market.book.trade_count - fill.trade
            kept = fill.market.book.recent_trades(fresh + 1)[0]
            alone = Trade(fill.trade, fill.at_ms, fill.ticks, fill.lots, taker, 0, 0, 0, 0)
            return self.row(fill.market, kept if kept.sequence == fill.trade else alone, offset_ms)
        market_id = fill.market.listing.market_id
        parts = self._parts[market_id, -fill.id * facts.MARKETS_MAX * 1_000 - user.index]
        taken = Trade(fill.market.book.trade_count, fill.at_ms, fill.ticks, fill.lots, taker, 0, 0, 0, 0)
        row = wire.trade(fill.market.listing, taken, offset_ms)
        number = max(row["trade_id"], self._take_overs.get(market_id, 0)) + TAKE_OVER_STEP
        self._take_overs[market_id] = number
        row |= {"trade_id": number, "trade_id_str": str(number), f"{other}_account_id": facts.INSURANCE_ACCOUNT}
        for side, part in parts.items():
            _add(row, fill.market, part, side, is_taker=True)
        return row


def resting_index(user: User, market: SimMarket, engine_order: int) -> int | None:
    """The order index of a resting order of the user's by its number in the book; None when it has none."""
    live = user.engine.orders.values()
    own = next((order for order in live if order.market is market and order.engine_id == engine_order), None)
    return facts.own_index(own.side == "ask", own.id, own.market.listing.market_id) if own else None


def remember(user: User, fill: Fill, row: Row) -> None:
    """Keep a row for the user's reads."""
    user.trades[fill.id] = row
    if len(user.trades) > TRADES_KEPT:
        user.trades.popitem(last=False)


def _add(row: Row, market: SimMarket, part: Part, side: Side, *, is_taker: bool) -> None:
    """Write a user's part into a trade's row."""
    role = "taker" if is_taker else "maker"
    if part.order:
        row |= {f"{side}_id": part.order, f"{side}_id_str": str(part.order)}
    if part.kind != "trade":
        row["type"] = part.kind
    if part.fee_ppm:
        row[f"{role}_fee"] = part.fee_ppm
    size = market.listing.size_text(abs(part.lots_before))
    row |= {
        f"{side}_account_id": part.account,
        f"{side}_client_id": part.client,
        f"{side}_client_id_str": str(part.client),
        f"{side}_account_pnl": usd(part.pnl_micro),
        f"{side}_order_version": part.version,
        f"{role}_position_size_before": f"-{size}" if part.lots_before < 0 else size,
        f"{role}_entry_quote_before": usd(part.cost_before),
        f"{role}_initial_margin_fraction_before": part.initial_fraction,
        f"{role}_position_sign_changed": part.sign_changed,
    }

"""Cross margin, alike on both venues: what an account is worth, what it must hold, what is left for new orders.

Money is whole micro-USD. Requirements are rounded up, so that no order slips through on a rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from twinleg_sims.market import SimMarket
from twinleg_sims.matching import Side
from twinleg_sims.orders import OwnOrder
from twinleg_sims.positions import PPM, Position, priced_micro, value_micro


class Holdings(Protocol):
    """What margin is reckoned of: an Account, or the Mirror of one."""

    @property
    def balance_micro(self) -> int: ...
    @property
    def positions(self) -> Mapping[str, Position]: ...
    @property
    def orders(self) -> Mapping[int, OwnOrder]: ...
    @property
    def initial_ppm(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class MarginRules:
    """A venue's fractions, in millionths: maintenance by market and value held, and initial while nobody set it."""

    maintenance_ppm: Callable[[SimMarket, int], int]
    default_initial_ppm: Callable[[SimMarket], int]


@dataclass(frozen=True, slots=True)
class Figures:
    """An account at a moment, micro-USD. `notional` is what its positions are worth; shorts count positive."""

    balance: int
    unrealised: int
    initial: int
    maintenance: int
    notional: int

    @property
    def equity(self) -> int:
        return self.balance + self.unrealised

    @property
    def available(self) -> int:
        """For new orders; negative when positions and orders need more than there is."""
        return self.equity - self.initial

    @property
    def withdrawable(self) -> int:
        return max(0, self.balance + min(0, self.unrealised) - self.initial)


def figures(account: Holdings, rules: MarginRules) -> Figures:
    """At the markets' mark prices of now. Open orders that may grow a position reserve initial margin."""
    buys, sells = _open_lots(account)
    unrealised = initial = maintenance = notional = 0
    markets = {symbol: position.market for symbol, position in account.positions.items()}
    markets |= {order.market.symbol: order.market for order in account.orders.values() if _reserves(order)}
    for symbol, market in markets.items():
        held = _lots(account, symbol)
        worst = max(abs(held + buys.get(symbol, 0)), abs(held - sells.get(symbol, 0)))
        initial += initial_micro(account, rules, market, priced_micro(market.listing, market.mark_price, worst))
        position = account.positions.get(symbol)
        if position is not None:
            unrealised += position.unrealised_micro(market.mark_price)
            notional += priced_micro(market.listing, market.mark_price, abs(held))
            maintenance += maintenance_micro(position, rules)
    return Figures(account.balance_micro, unrealised, initial, maintenance, notional)


def maintenance_micro(position: Position, rules: MarginRules) -> int:
    """What must be held for a position lest it be liquidated."""
    value = priced_micro(position.market.listing, position.market.mark_price, abs(position.lots))
    return _up(value * rules.maintenance_ppm(position.market, value), PPM)


def initial_ppm(account: Holdings, rules: MarginRules, market: SimMarket) -> int:
    """The fraction the account trades a market with: one over its leverage, in millionths."""
    return account.initial_ppm.get(market.symbol) or rules.default_initial_ppm(market)


def initial_micro(account: Holdings, rules: MarginRules, market: SimMarket, value: int) -> int:
    return _up(value * initial_ppm(account, rules, market), PPM)


def order_cost(account: Holdings, rules: MarginRules, order: OwnOrder) -> int:
    """What an order takes from what is available, micro-USD; 0 when it only makes a position smaller.

    Extended's documented formula: IM rate x price x (size + min(0, 2 x (position + open buys))) - open loss, where a
    buy above (a sell below) the mark loses the difference at once; selling is its mirror image.
    """
    return cost(account, rules, order.market, order.side, (order.ticks, order.open_lots))


def cost(account: Holdings, rules: MarginRules, market: SimMarket, side: Side, size: tuple[int, int]) -> int:
    """As `order_cost`, for an order that is not there yet. `size` is (ticks, lots)."""
    ticks, lots = size
    same = sum(o.open_lots for o in account.orders.values() if o.market is market and o.side == side and _reserves(o))
    sign = 1 if side == "bid" else -1
    growing = max(0, lots + min(0, 2 * (_lots(account, market.symbol) * sign + same)))
    needed = initial_micro(account, rules, market, value_micro(market.listing, ticks, growing))
    worth = priced_micro(market.listing, market.mark_price, lots)
    open_loss = max(0, sign * (value_micro(market.listing, ticks, lots) - worth))
    return needed + open_loss if growing else 0


def _lots(account: Holdings, symbol: str) -> int:
    position = account.positions.get(symbol)
    return position.lots if position else 0


def _reserves(order: OwnOrder) -> bool:
    return order.state == "open" and not order.wish.reduce_only


def _open_lots(account: Holdings) -> tuple[dict[str, int], dict[str, int]]:
    """By symbol: lots of open buys and of open sells that may grow a position."""
    buys: dict[str, int] = {}
    sells: dict[str, int] = {}
    for order in account.orders.values():
        if _reserves(order):
            half = buys if order.side == "bid" else sells
            half[order.market.symbol] = half.get(order.market.symbol, 0) + order.open_lots
    return buys, sells


def _up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)

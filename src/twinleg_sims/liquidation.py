"""What a venue does with an account that cannot hold its positions: cancel, sell off in steps, take over the rest."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

from twinleg_sims.account import Account, Deal
from twinleg_sims.margin import Figures, MarginRules, maintenance_micro
from twinleg_sims.matching import NewOrder, Side
from twinleg_sims.positions import MICRO, PPM, FillKind, Position, priced_micro

if TYPE_CHECKING:
    from twinleg_sims.accounts import Accounts

FORCED_BAND = 0.05
"""How far from the mark a liquidation by order of the faults sells."""


@dataclass(frozen=True, slots=True)
class LiquidationRules:
    """How a venue sells off. Each step is an IOC at the price at which the account's equity would be nothing.

    After `slices` steps one more goes `worse_ppm` beyond that price, if any; then the venue takes over what is left.
    """

    slices: int
    slice_min_micro: int
    fill_or_kill: bool
    worse_ppm: int
    fee_ppm: int


class Liquidator:
    """Watches the margin of a venue's accounts. One step per check, so that a client sees it happen."""

    def __init__(self, accounts: Accounts, rules: LiquidationRules, margin: MarginRules) -> None:
        self._accounts = accounts
        self._rules = rules
        self._margin = margin
        self._steps: dict[tuple[int, int], int] = {}
        """(account, position) -> steps done."""

    def check(self, account: Account) -> None:
        """Cancel orders the margin no longer covers; liquidate one step when it does not cover the positions."""
        self._ordered(account)
        if not account.positions and not account.orders:
            self._forget(account)
            return
        now = self._accounts.figures(account)
        if account.positions and now.equity < now.maintenance:
            self._step(account, now)
        elif now.available < 0:
            self._cancel_newest(account)
        else:
            self._forget(account)

    def force(self, account: Account, symbol: str) -> None:
        """Sell off now, within FORCED_BAND of the mark; what finds no buyer is taken over at the mark."""
        self._cancel_orders(account)
        for position in self._of(account, symbol):
            side = _closing(position)
            mark = position.market.mark_price / position.market.listing.tick
            worst = ceil(mark * (1 + FORCED_BAND)) if side == "bid" else max(1, floor(mark * (1 - FORCED_BAND)))
            self._sell(account, position, worst, abs(position.lots))
            if position.is_open:
                self._take_over(account, position, max(1, round(mark)), liquidates=True)
        self._close_books(account)

    def deleverage(self, account: Account, symbol: str) -> None:
        """Take positions away at the mark."""
        for position in self._of(account, symbol):
            self._take_over(account, position, max(1, round(position.market.mark_price / position.market.listing.tick)))
        self._close_books(account)

    def _ordered(self, account: Account) -> None:
        """The faults of these names."""
        for kind, act in (("liquidate", self.force), ("deleverage", self.deleverage)):
            for symbol in list(account.positions):
                if fault := self._accounts.hit(kind, symbol, account):
                    act(account, fault.market)

    def _step(self, account: Account, now: Figures) -> None:
        """The position that loses most, one slice smaller."""
        self._cancel_orders(account)
        position = min(account.positions.values(), key=lambda p: (p.unrealised_micro(p.market.mark_price), p.id))
        key = (account.id, position.id)
        done = self._steps.get(key, 0)
        self._steps[key] = done + 1
        zero = self._zero_ticks(position, now)
        if done < self._rules.slices:
            self._sell(account, position, zero, self._slice(position))
        elif done == self._rules.slices and self._rules.worse_ppm:
            away = ceil(zero * self._rules.worse_ppm / PPM)
            self._sell(account, position, max(1, zero - away if position.is_long else zero + away), abs(position.lots))
        else:
            self._take_over(account, position, zero)
        self._close_books(account)

    def _slice(self, position: Position) -> int:
        """An equal share of what it was at its biggest, but worth at least the minimum."""
        lots = ceil(position.max_lots / self._rules.slices)
        each = priced_micro(position.market.listing, position.market.mark_price, 1) or 1
        return min(abs(position.lots), max(lots, ceil(self._rules.slice_min_micro / each)))

    def _zero_ticks(self, position: Position, now: Figures) -> int:
        """The price at which the position has eaten up its share of the equity; never worse than one tick."""
        listing = position.market.listing
        share = maintenance_micro(position, self._margin) / now.maintenance
        room = now.equity * share / MICRO / (abs(position.lots) * listing.lot)
        price = position.market.mark_price - room if position.is_long else position.market.mark_price + room
        return max(1, ceil(price / listing.tick) if position.is_long else floor(price / listing.tick))

    def _sell(self, account: Account, position: Position, worst_ticks: int, lots: int) -> None:
        """An IOC of the venue's on the account's behalf; fill-or-kill ones need the whole size to be there."""
        book, side, now_ms = position.market.book, _closing(position), self._accounts.world.now_ms
        levels = book.levels("ask" if side == "bid" else "bid")
        there = sum(size for ticks, size in levels if (ticks <= worst_ticks if side == "bid" else ticks >= worst_ticks))
        if self._rules.fill_or_kill and there < lots:
            return
        for trade in book.place(NewOrder(account.id, side, worst_ticks, lots, "ioc"), now_ms).trades:
            deal = Deal(position.market, side, trade.ticks, trade.lots, now_ms, True, "liquidation", trade.sequence)
            account.fill(None, deal, self._rules.fee_ppm)

    def _take_over(self, account: Account, position: Position, ticks: int, *, liquidates: bool = False) -> None:
        """The venue (or whoever is deleveraged with the account) takes the position at a price, outside the book."""
        kind: FillKind = "liquidation" if liquidates else "deleverage"
        now_ms = self._accounts.world.now_ms
        deal = Deal(position.market, _closing(position), ticks, abs(position.lots), now_ms, True, kind)
        account.fill(None, deal, 0)

    def _close_books(self, account: Account) -> None:
        """After a step: reduce-only orders fit what is left, and nobody owes the venue."""
        for market in {order.market.symbol: order.market for order in account.orders.values()}.values():
            self._accounts.trim(account, market)
        if not account.positions and account.balance_micro < 0:
            account.insure()
        account.report(self._accounts.world.now_ms)

    def _cancel_orders(self, account: Account) -> None:
        self._accounts.cancel_all(account, reason="liquidation")

    def _cancel_newest(self, account: Account) -> None:
        """Until the rest is covered."""
        for order in sorted(account.orders.values(), key=lambda order: -order.id):
            if order.state == "open" and not order.wish.reduce_only:
                self._accounts.end(account, order, "cancelled", "margin")
                if self._accounts.figures(account).available >= 0:
                    return

    def _of(self, account: Account, symbol: str) -> list[Position]:
        return [position for name, position in account.positions.items() if symbol in ("", name)]

    def _forget(self, account: Account) -> None:
        self._steps = {key: steps for key, steps in self._steps.items() if key[0] != account.id}


def _closing(position: Position) -> Side:
    return "ask" if position.is_long else "bid"

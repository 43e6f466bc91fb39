"""Orders that wait for a price or for another order: triggers, children of a fill, and groups of which one remains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twinleg_sims.account import Account
from twinleg_sims.market import SimMarket
from twinleg_sims.orders import OwnOrder, Trigger

if TYPE_CHECKING:
    from twinleg_sims.accounts import Accounts


class Waiting:
    """What the accounts of a venue have waiting."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def check(self, account: Account) -> None:
        """Let orders whose price has come go to the book, oldest first."""
        for order in list(account.orders.values()):
            trigger = order.wish.trigger
            if order.state == "untriggered" and trigger is not None and _fires(order.market, trigger):
                self._fire(account, order)

    def ended(self, account: Account, order: OwnOrder) -> None:
        """The children of an order that was filled come to life with its filled size."""
        if order.filled_lots:
            for child in order.wish.children:
                lots = order.filled_lots if child.lots else 0
                self._accounts.place(account, replace(child, lots=lots, group=order.id))

    def _fire(self, account: Account, order: OwnOrder) -> None:
        """It becomes an order like any other, without a further delay; the others of its group go."""
        for other in list(account.orders.values()):
            if other is not order and other.wish.group and other.wish.group == order.wish.group:
                self._accounts.end(account, other, "cancelled", "sibling")
        order.wish = replace(order.wish, trigger=None)
        order.state = "pending"
        self._accounts.arrive(account, order)


def _fires(market: SimMarket, trigger: Trigger) -> bool:
    price = {"mark": market.mark_price, "index": market.index_price, "last": market.last_price}[trigger.price]
    level = trigger.ticks * market.listing.tick
    return price >= level if trigger.above else price <= level

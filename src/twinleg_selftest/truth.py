"""What is true, whatever the product knows: what every trade holds at the venues, and every order that left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import msgspec

from twinleg.core.orders import Intent, Leg, Side, TradePlan
from twinleg.core.trade import whole_common_lots
from twinleg.core.trading import client_id_of
from twinleg.core.venue import Request
from twinleg.venues.lighter.facts import TX_CREATE_ORDER
from twinleg_sims.account import Account
from twinleg_sims.positions import Fill


@dataclass(frozen=True, slots=True)
class Sent:
    """An order as its request says it, sizes and prices as the wire has them."""

    client_id: str
    buys: bool
    reduce_only: bool
    size: str
    price: str

    def differs(self, intent: Intent, plan: TradePlan) -> str | None:
        """What is not as it was intended."""
        leg = plan.leg(intent.leg)
        if intent.venue == "lighter":
            size, price = str(intent.size_lots * leg.size_grid.step), str(intent.limit_ticks * leg.price_grid.step)
        else:
            size, price = leg.size_grid.text(intent.size_lots), leg.price_grid.text(intent.limit_ticks)
        wanted = (intent.side is Side.BUY, intent.reduce_only, size, price)
        told = (self.buys, self.reduce_only, self.size, self.price)
        return None if wanted == told else f"{told} is not {wanted}"


def order_in(request: Request) -> Sent | None:
    """The order that a request places, if it places one."""
    path = urlsplit(request.url).path
    if request.method != "POST" or request.body is None:
        return None
    if path == "/api/v1/sendTx":
        form = parse_qs(request.body.decode())
        if form["tx_type"] != [str(TX_CREATE_ORDER)]:
            return None
        info = msgspec.json.decode(form["tx_info"][0])
        name = client_id_of(info["ClientOrderIndex"]) or f"number {info['ClientOrderIndex']}"
        buys, reduces = not info["IsAsk"], bool(info["ReduceOnly"])
        return Sent(name, buys, reduces, str(info["BaseAmount"]), str(info["Price"]))
    if path == "/api/v1/user/order":
        body = msgspec.json.decode(request.body)
        return Sent(body["id"], body["side"] == "BUY", body["reduceOnly"], body["qty"], body["price"])
    return None


class Truth:
    """The venues' accounts, trade by trade."""

    def __init__(self, accounts: dict[str, Account], changed: Callable[[str], None]) -> None:
        """`changed` hears of every trade whose legs changed."""
        self.accounts = accounts
        self.plans: dict[str, TradePlan] = {}
        self.held: dict[tuple[str, Leg], int] = {}
        """Lots in the leg's own direction, by trade and leg."""
        self.fills = self.forced = 0
        self._changed = changed
        self.trouble: list[str] = []
        self.heard: Callable[[], None] = lambda: None
        """Called with every fill."""
        for venue, account in accounts.items():
            account.on_fill = lambda fill, venue=venue: self._filled(venue, fill)  # type: ignore[misc]

    def planned(self, plan: TradePlan) -> None:
        """A trade may send orders from now on. One planned by a process that died before it was durable never did."""
        self.plans[plan.trade_id] = plan
        self.held[plan.trade_id, Leg.LONG] = self.held[plan.trade_id, Leg.SHORT] = 0

    def ahead(self, trade_id: str) -> int:
        """Whole common lots that the long leg truly holds more."""
        return whole_common_lots(self.plans[trade_id], self.held[trade_id, Leg.LONG], self.held[trade_id, Leg.SHORT])

    def flat(self, trade_id: str) -> bool:
        return not self.held[trade_id, Leg.LONG] and not self.held[trade_id, Leg.SHORT]

    def positions(self) -> dict[str, int]:
        """Signed lots by market, as the product names markets."""
        return {
            f"{venue}:{symbol}": position.lots
            for venue, account in self.accounts.items()
            for symbol, position in account.positions.items()
        }

    def live_orders(self) -> int:
        return sum(len(account.orders) for account in self.accounts.values())

    def gross_usd(self) -> float:
        """All positions at the mark, and all live orders that may add to them at their limits."""
        gross = 0.0
        for account in self.accounts.values():
            for position in account.positions.values():
                listing = position.market.listing
                gross += abs(position.lots) * listing.lot * position.market.mark_price
            for order in account.orders.values():
                if not order.wish.reduce_only:
                    listing = order.market.listing
                    gross += order.open_lots * listing.lot * order.wish.ticks * listing.tick
        return gross

    def _filled(self, venue: str, fill: Fill) -> None:
        """A fill at a venue, at the moment it happens."""
        self.fills += 1
        self.heard()
        if fill.kind != "trade":
            self.forced += 1
            self._forced(f"{venue}:{fill.market.symbol}", fill.lots)
            return
        name = fill.client_id if venue == "extended" else client_id_of(int(fill.client_id or 0)) or ""
        trade_id, _, rest = name.partition("-")
        if trade_id not in self.plans:
            self.trouble.append(f"a fill at {venue} of {fill.client_id!r}, which nobody planned")
            return
        leg = Leg(rest.partition("-")[0])
        adds = (fill.side == "bid") == (leg.entry_side is Side.BUY)
        self._add(trade_id, leg, fill.lots if adds else -fill.lots)

    def _forced(self, market: str, lots: int) -> None:
        """Taken from whichever trade holds the market, the newest first."""
        for (trade_id, leg), held in reversed(list(self.held.items())):
            if self.plans[trade_id].leg(leg).market == market and held > 0 and lots > 0:
                self._add(trade_id, leg, -min(held, lots))
                lots -= min(held, lots)

    def _add(self, trade_id: str, leg: Leg, lots: int) -> None:
        held = self.held[trade_id, leg] = self.held[trade_id, leg] + lots
        if not 0 <= held <= self.plans[trade_id].lots(leg):
            planned = self.plans[trade_id].lots(leg)
            self.trouble.append(f"I4: {trade_id} truly holds {held} lots {leg.value}, planned {planned}")
        self._changed(trade_id)

"""A venue's engine for outside users: orders in after their delay, fills, margin, funding; reports out, as data.

    accounts = Accounts(world, "extended", rules, faults)
    account = accounts.create(tier, equity_micro=50_000_000_000)
    order = accounts.place(account, Wish(market, "bid", ticks, lots))   # accepted: decided when the world gets there
    world.advance(...)                                                  # account.reports fills up

The venue's door (syntax, signatures, nonces, error codes) is the venue's own; what only the engine can know is here:
whether the margin is there on arrival, what a post-only order meets, what a reduce-only one may still reduce. World
takers hit outside orders like any other; two outside accounts may trade with each other. Everything happens in the
world's events, so it is as repeatable as the world.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import count

from twinleg_sims.account import Account, Deal, Tier
from twinleg_sims.conditional import Waiting
from twinleg_sims.faults import Fault, Faults
from twinleg_sims.funding import Settled
from twinleg_sims.liquidation import LiquidationRules, Liquidator
from twinleg_sims.margin import Figures, MarginRules, figures, order_cost
from twinleg_sims.market import FIRST_OUTSIDE_OWNER, SimMarket
from twinleg_sims.matching import NewOrder, Outcome, Trade
from twinleg_sims.orders import OwnOrder, Reason, State, Wish
from twinleg_sims.positions import Payment
from twinleg_sims.world import World

CHECK_MS = 250
"""How often margin, expiries and triggers are looked at: with each move of the prices."""
ACCOUNTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Rules:
    """How a venue differs from the others."""

    margin: MarginRules
    liquidation: LiquidationRules
    refused_post_only: State = "cancelled"
    """The state of a post-only order that would have crossed."""
    cancels_reach_pending: bool = True
    """Whether an order can be cancelled that the engine has not seen yet."""


class Accounts:
    """All outside accounts of one venue."""

    def __init__(self, world: World, venue: str, rules: Rules, faults: Faults) -> None:
        self.world = world
        self.venue = venue
        self.rules = rules
        self.faults = faults
        self.by_id: dict[int, Account] = {}
        self._resting: dict[tuple[str, int], OwnOrder] = {}
        self._order_ids = count(1)
        self._liquidator = Liquidator(self, rules.liquidation, rules.margin)
        self._waiting = Waiting(self)
        world.settlement_listeners.append(self._settled)

    # Accounts

    def create(self, tier: Tier, equity_micro: int, name: str = "", kin: Collection[Account] = ()) -> Account:
        """A new account with a balance. `kin`: its wallet's other accounts."""
        assert len(self.by_id) < ACCOUNTS_MAX, f"{ACCOUNTS_MAX} accounts are enough"
        if not self.by_id:
            self.world.at(self.world.now_ms + CHECK_MS, self._check)
        number = FIRST_OUTSIDE_OWNER + len(self.by_id)
        account = Account(number, name, tier)
        self.by_id[number] = account
        family = frozenset({number, *(relative.id for relative in kin)})
        for member in family:
            self.by_id[member].kin = family - {member}
        for market in self.world.markets(self.venue):
            market.book.maker_listeners[number] = partial(self._maker_filled, account, market)
            market.book.cancel_listeners[number] = partial(self._taken_off_by_kin, account, market)
        self.deposit(account, equity_micro)
        return account

    def deposit(self, account: Account, micro: int) -> None:
        """Add to the balance (or take from it: the venue has checked that it may)."""
        account.deposit(micro)
        account.report(self.world.now_ms)

    def set_leverage(self, account: Account, market: SimMarket, ppm: int) -> None:
        """Set the initial margin of a market: one over the leverage, in millionths."""
        account.set_initial(market.symbol, ppm)
        account.report(self.world.now_ms)

    def figures(self, account: Account) -> Figures:
        """Equity, margins and what is available, now."""
        return figures(account, self.rules.margin)

    def hit(self, kind: str, market: str = "", account: Account | None = None) -> Fault | None:
        """A fault that is on now, counted once against this account."""
        now_ms = self.world.now_ms
        fault = self.faults.active(self.venue, kind, now_ms, market)
        return fault if fault and fault.hit(account.id if account else 0, now_ms) else None

    # Orders

    def place(self, account: Account, wish: Wish, replaces: OwnOrder | None = None) -> OwnOrder:
        """Accept an order. It meets the engine after the account's delay; `replaces` leaves the book just before."""
        now_ms = self.world.now_ms
        order = OwnOrder(next(self._order_ids), account.id, wish, wish.ticks, wish.lots, now_ms, now_ms)
        order.replaces = replaces.id if replaces else 0
        if self.hit("ignored", wish.market.symbol, account):
            return order
        account.orders[order.id] = order
        waits = wish.tif == "post_only" or wish.trigger is not None
        delay_ms = account.tier.maker_delay_ms if waits else account.tier.taker_delay_ms
        self.world.at(now_ms + delay_ms, lambda: self.arrive(account, order))
        return order

    def cancel(self, account: Account, order: OwnOrder, done: Callable[[bool], None] | None = None) -> None:
        """Send a cancel on its way. `done` is told whether there was anything to cancel when it arrived."""

        def arrive() -> None:
            self._race(account, order)
            cancelled = order.live and (order.state != "pending" or self.rules.cancels_reach_pending)
            if cancelled:
                self.end(account, order, "cancelled", "user")
            account.report(self.world.now_ms)
            if done is not None:
                done(cancelled)

        self.world.at(self.world.now_ms + account.tier.maker_delay_ms, arrive)

    def modify(self, account: Account, order: OwnOrder, wish: Wish, done: Callable[[bool], None] | None = None) -> None:
        """Change price, size or trigger of a live order; it keeps its id and what was filled (wish.lots is the total).

        Smaller at the same price keeps its place in the queue; all else goes to the end of it, taking what it crosses.
        """

        def arrive() -> None:
            self._race(account, order)
            found = order.state in ("open", "untriggered") and wish.lots > order.filled_lots
            if found:
                self._change(account, order, wish)
            account.report(self.world.now_ms)
            if done is not None:
                done(found)

        self.world.at(self.world.now_ms + account.tier.taker_delay_ms, arrive)

    def cancel_all(self, account: Account, symbols: Collection[str] = (), reason: Reason = "user") -> None:
        """Cancel every live order (of these markets) that the engine knows, at once and in one report."""
        for order in list(account.orders.values()):
            known = order.state != "pending" or self.rules.cancels_reach_pending
            if known and (not symbols or order.market.symbol in symbols):
                self.end(account, order, "cancelled", reason)
        account.report(self.world.now_ms)

    def set_dead_man(self, account: Account, at_ms: int | None) -> None:
        """Cancel everything at a time, unless it is set again before; None disarms."""
        account.dead_man_ms = at_ms

        def due() -> None:
            if account.dead_man_ms == at_ms:
                account.dead_man_ms = None
                self.cancel_all(account, reason="dead_man")

        if at_ms is not None:
            self.world.at(max(at_ms, self.world.now_ms), due)

    def liquidate(self, account: Account, symbol: str = "") -> None:
        """Close a position (all of them) now as the venue would in a liquidation, whatever the margin."""
        self._liquidator.force(account, symbol)

    def deleverage(self, account: Account, symbol: str = "") -> None:
        """Take a position (all of them) away at the mark price, as auto-deleveraging does."""
        self._liquidator.deleverage(account, symbol)

    # At the engine

    def arrive(self, account: Account, order: OwnOrder) -> None:
        """An order reaches the engine."""
        if order.state != "pending":
            return
        now_ms = self.world.now_ms
        if order.replaces and not self._replaced(account, order):
            self.end(account, order, "rejected", "previous_gone")
        elif reason := self._refusal(account, order):
            self.end(account, order, "expired" if reason == "expired" else "rejected", reason)
        elif order.wish.trigger is not None:
            order.state = "untriggered"
            account.note(order, now_ms)
        else:
            self.match(account, order)
        account.report(now_ms)

    def _replaced(self, account: Account, order: OwnOrder) -> bool:
        previous = account.orders.get(order.replaces)
        if previous is None or previous.state == "pending":
            return False
        self.end(account, previous, "cancelled", "replaced")
        order.replaces = 0
        return True

    def _refusal(self, account: Account, order: OwnOrder) -> Reason | None:
        """Why the engine will not have an order now; it also cuts a reduce-only order to the position."""
        symbol, wish = order.market.symbol, order.wish
        if self.hit("engine_reject", symbol, account):
            return "margin"
        if wish.expires_ms is not None and wish.expires_ms <= self.world.now_ms:
            return "expired"
        if self.mode(order.market) == "halted":
            return "market_halted"
        if self.mode(order.market) == "reduce_only" and not self._reduces(account, order):
            return "market_reduce_only"
        if wish.trigger is not None:
            return None
        if wish.reduce_only:
            self._cut(order, self._reducible(account, order))
            return None if order.open_lots > 0 else "reduce_only"
        needed = order_cost(account, self.rules.margin, order)
        return "margin" if needed > 0 and needed > self.figures(account).available else None

    def mode(self, market: SimMarket) -> str:
        """ "open", "reduce_only" or "halted": what the market takes now."""
        state, now_ms = market.listing.state, self.world.now_ms
        if state in ("inactive", "prelisted") or self.faults.active(self.venue, "halted", now_ms, market.symbol):
            return "halted"
        reduce_only = self.faults.active(self.venue, "reduce_only", now_ms, market.symbol)
        return "reduce_only" if reduce_only or state == "reduce_only" else "open"

    def match(self, account: Account, order: OwnOrder) -> None:
        """Let an order that passed every check meet the book."""
        wish, now_ms = order.wish, self.world.now_ms
        lots = self._matched_lots(account, order)
        if lots == 0:
            self.end(account, order, "cancelled", "ioc")
            return
        kin = account.kin if wish.self_trade_kin else frozenset[int]()
        there = order.market.book.best("ask" if order.side == "bid" else "bid") is not None
        outcome = order.market.book.place(
            NewOrder(account.id, order.side, order.ticks, lots, wish.tif, wish.self_trade, kin), now_ms
        )
        order.engine_id, order.state = outcome.order_id, "open"
        for trade in outcome.trades:
            self._take_in(account, order, trade, is_taker=True)
        for engine_id, cancelled_lots in outcome.self_cancelled:
            self._taken_off(account, order.market, engine_id, cancelled_lots)
        self._settle(account, order, outcome, "ioc" if there else "no_liquidity")
        if outcome.trades:
            self.trim(account, order.market)

    def _matched_lots(self, account: Account, order: OwnOrder) -> int:
        """All that is open, unless the fault "partial_fill" lets an IOC have only part of it."""
        fault = self.hit("partial_fill", order.market.symbol, account) if order.wish.tif == "ioc" else None
        return order.open_lots * max(0, min(100, int(fault.value))) // 100 if fault else order.open_lots

    def _settle(self, account: Account, order: OwnOrder, outcome: Outcome, unfilled: Reason) -> None:
        """The state of an order that has just met the book."""
        self._cut(order, order.open_lots - outcome.self_expired_lots)
        if outcome.refused_post_only:
            self.end(account, order, self.rules.refused_post_only, "post_only")
        elif outcome.resting_lots:
            self._resting[order.market.symbol, order.engine_id] = order
            account.note(order, self.world.now_ms)
            self.trim(account, order.market)
        elif outcome.self_expired_lots:
            self.end(account, order, "cancelled", "self_trade")
        elif order.filled_lots == order.lots - order.cut_lots:
            self.end(account, order, "filled", "")
        else:
            self.end(account, order, "cancelled", unfilled)

    def end(self, account: Account, order: OwnOrder, state: State, reason: Reason) -> None:
        """Take an order out of the book and of the account, for good."""
        if self._resting.pop((order.market.symbol, order.engine_id), None) is not None:
            order.market.book.cancel(order.engine_id)
        order.state, order.reason = state, reason
        order.cut_lots = order.lots - order.filled_lots
        account.note(order, self.world.now_ms)
        self._waiting.ended(account, order)

    def _change(self, account: Account, order: OwnOrder, wish: Wish) -> None:
        """Modify a live order that may be modified."""
        shrinks = wish.ticks == order.ticks and wish.lots <= order.lots and order.state == "open"
        if shrinks and wish.lots < order.lots:
            order.market.book.reduce(order.engine_id, order.lots - wish.lots)
        if order.state == "open" and not shrinks:
            del self._resting[order.market.symbol, order.engine_id]
            order.market.book.cancel(order.engine_id)
        order.wish, order.ticks, order.lots, order.cut_lots = wish, wish.ticks, wish.lots, 0
        order.version += 1
        account.note(order, self.world.now_ms)
        if order.state == "open" and not shrinks:
            order.state = "pending"
            reason = self._refusal(account, order)
            if reason:
                self.end(account, order, "cancelled", reason)
            else:
                self.match(account, order)

    # Fills

    def _maker_filled(self, account: Account, market: SimMarket, trade: Trade) -> None:
        """Somebody took (from) a resting order; the matching that did it is still going on."""
        order = self._resting[market.symbol, trade.maker_order]
        self._take_in(account, order, trade, is_taker=False)
        if order.open_lots == 0:
            self.end(account, order, "filled", "")
        else:
            account.note(order, self.world.now_ms)
        self.trim(account, market)
        account.report(self.world.now_ms)

    def _take_in(self, account: Account, order: OwnOrder, trade: Trade, *, is_taker: bool) -> None:
        ppm = account.tier.taker_ppm if is_taker else account.tier.maker_ppm
        deal = Deal(order.market, order.side, trade.ticks, trade.lots, trade.at_ms, is_taker, trade=trade.sequence)
        account.fill(order, deal, ppm)

    def trim(self, account: Account, market: SimMarket) -> None:
        """No resting reduce-only order is bigger than the position it reduces; without one, none waits either."""
        for order in list(account.orders.values()):
            if order.market is not market or not order.wish.reduce_only or order.state == "pending":
                continue
            left = self._reducible(account, order)
            if left == 0:
                self.end(account, order, "cancelled", "reduce_only")
            elif order.state == "open" and left < order.open_lots:
                market.book.reduce(order.engine_id, order.open_lots - left)
                self._cut(order, left)
                account.note(order, self.world.now_ms)

    def _taken_off(self, account: Account, market: SimMarket, engine_id: int, lots: int) -> None:
        """A self-trade rule took lots off a resting order."""
        order = self._resting[market.symbol, engine_id]
        order.cut_lots += lots
        if order.open_lots == 0:
            self.end(account, order, "cancelled", "self_trade")
        else:
            account.note(order, self.world.now_ms)

    def _taken_off_by_kin(self, account: Account, market: SimMarket, engine_id: int, lots: int) -> None:
        self._taken_off(account, market, engine_id, lots)
        account.report(self.world.now_ms)

    def _reducible(self, account: Account, order: OwnOrder) -> int:
        held = account.lots(order.market.symbol)
        return abs(held) if held and (held > 0) == (order.side == "ask") else 0

    def _reduces(self, account: Account, order: OwnOrder) -> bool:
        return order.wish.reduce_only or self._reducible(account, order) >= order.open_lots > 0

    def _cut(self, order: OwnOrder, left: int) -> None:
        if order.wish.lots == 0 and order.lots == 0:
            order.lots = left
        order.cut_lots += max(0, order.open_lots - left)

    def _race(self, account: Account, order: OwnOrder) -> None:
        """The fault of that name: what is to be cancelled trades first, all of it or half."""
        if order.state != "open":
            return
        fault = self.hit("cancel_race", order.market.symbol, account)
        if fault:
            lots = order.open_lots if fault.value == "all" else (order.open_lots + 1) // 2
            order.market.book.hit(order.engine_id, lots, self.world.now_ms)

    # As time passes

    def _settled(self, market: SimMarket, settled: Settled) -> None:
        """Funding is charged to whoever holds now."""
        if market.venue != self.venue:
            return
        for account in self.by_id.values():
            position = account.positions.get(market.symbol)
            if position is not None:
                account.pay(Payment.of(account.next_id(), position, settled))
                account.report(self.world.now_ms)

    def _check(self) -> None:
        """Expiries, triggers and margin of every account; and the fault of funding that turns."""
        now_ms = self.world.now_ms
        for market in self.world.markets(self.venue):
            market.funding.turned = self.faults.active(self.venue, "funding_flip", now_ms, market.symbol) is not None
        for account in self.by_id.values():
            for order in list(account.orders.values()):
                expires_ms = order.wish.expires_ms
                if order.state != "pending" and expires_ms is not None and expires_ms <= now_ms:
                    self.end(account, order, "expired", "expired")
            self._waiting.check(account)
            self._liquidator.check(account)
            account.report(now_ms)
        self.world.at(now_ms + CHECK_MS, self._check)

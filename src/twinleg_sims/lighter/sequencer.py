"""What becomes of an accepted transaction: after the tier's delay it is executed, or fails with its nonce spent.

A failure shows only in the account's transactions (status 0, the text in event_info) or as an order that was cancelled
for a reason. The door's part of each type (what is refused without spending the nonce) is in `plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count

from twinleg_sims.account import Account, Report
from twinleg_sims.accounts import Accounts
from twinleg_sims.lighter import ethereum, transactions
from twinleg_sims.lighter.errors import RefusedError
from twinleg_sims.lighter.order_checks import TRIGGERED, OrderChecks, info_of
from twinleg_sims.lighter.transactions import Transaction
from twinleg_sims.lighter.users import EXECUTED, FAILED, PENDING, Key, Record, User
from twinleg_sims.margin import figures
from twinleg_sims.orders import OwnOrder, Wish
from twinleg_sims.positions import PPM

CANCEL_NOW, CANCEL_LATER, CANCEL_ABORT = range(3)
DEAD_MAN_MS_MIN, DEAD_MAN_MS_MAX = 300_000, 15 * 86_400_000
FRACTION_TICK = 10_000
AWAITED_MAX = 100_000
"""Orders whose arrival is awaited; the oldest of more (which the faults swallowed) are forgotten."""

Act = Callable[[Record], None]
_ARRIVAL_CODES = {
    "margin": 21739,
    "reduce_only": 21732,
    "market_halted": 21605,
    "market_reduce_only": 21740,
}


def hidden(order: OwnOrder) -> bool:
    """Whether an order was refused as it arrived: then nobody ever sees it. A triggered one was seen waiting."""
    return order.state == "rejected" and (info_of(order).body.type not in TRIGGERED or order.wish.trigger is not None)


class Sequencer:
    """Executes transactions through the engine. `finished` is told of each whose fate is known."""

    def __init__(self, accounts: Accounts, checks: OrderChecks, finished: Callable[[User, Record], None]) -> None:
        self._accounts = accounts
        self._checks = checks
        self._finished = finished
        self._awaited: dict[int, Record] = {}
        """By the engine's order number: creations that have not arrived."""
        self._groups = count(-1, -1)

    def plan(self, user: User, asked: Transaction, now_ms: int) -> Act:
        """What is to happen when the transaction is accepted. Raises RefusedError for what the door refuses."""
        match asked:
            case transactions.CreateOrder() if self._accounts.hit("reject", "", user.engine):
                raise RefusedError(21739)
            case transactions.CancelOrder() if self._accounts.hit("cancel_refused", "", user.engine):
                raise RefusedError(21506)
            case transactions.CreateOrder():
                wishes = [self._checks.created(user, asked, now_ms)]
                return partial(self._place, user, wishes)
            case transactions.CreateGroupedOrders():
                wishes = self._checks.grouped(user, asked, next(self._groups), now_ms)
                return partial(self._place, user, wishes)
            case transactions.CancelOrder():
                return partial(self._cancel, user, self._found(user, asked.market_index, asked.index))
            case transactions.Modify():
                return self._modification(user, asked)
            case transactions.CancelAll():
                return self._cancel_all(user, asked, now_ms)
            case transactions.UpdateLeverage():
                return self._leverage(user, asked)
            case transactions.ChangePubKey():
                return self._new_key(user, asked)
            case transactions.UpdateMargin():
                raise RefusedError(21614, "isolated margin is not simulated")
        raise RefusedError(21515, "transfers and withdrawals are not simulated")

    def arrived(self, user: User, report: Report) -> None:
        """Orders reached the engine: their creations are executed, or failed when they were refused."""
        for order in report.orders:
            record = self._awaited.pop(order.id, None)
            if record is None or record.status != PENDING:  # a group's fate is its first order's
                continue
            code = _ARRIVAL_CODES.get(order.reason) if hidden(order) else None
            self._finish(user, record, RefusedError(code) if code else None)

    def _place(self, user: User, wishes: Iterable[Wish], record: Record) -> None:
        for wish in wishes:
            order = self._accounts.place(user.engine, wish)
            self._awaited[order.id] = record
        while len(self._awaited) > AWAITED_MAX:
            del self._awaited[next(iter(self._awaited))]

    def _found(self, user: User, market_id: int, index: int) -> OwnOrder:
        """A live order, on its way included. Raises RefusedError."""
        order = user.live_order(index) if index > 0 else None
        if order is None or order.market.listing.market_id != market_id:
            raise RefusedError(21600)
        return order

    def _cancel(self, user: User, order: OwnOrder, record: Record) -> None:
        self._accounts.cancel(user.engine, order, partial(self._hit, user, record))

    def _modification(self, user: User, asked: transactions.Modify) -> Act:
        order = self._found(user, asked.market_index, asked.index)
        version = asked.attribute(transactions.ORDER_VERSION)
        if version and version != order.version:
            raise RefusedError(21743, f"the order has version {order.version}")
        wish = self._checks.modified(order, asked)

        def act(record: Record) -> None:
            self._accounts.modify(user.engine, order, wish, partial(self._hit, user, record))

        return act

    def _hit(self, user: User, record: Record, found: bool) -> None:
        self._finish(user, record, None if found else RefusedError(21600))

    def _cancel_all(self, user: User, asked: transactions.CancelAll, now_ms: int) -> Act:
        market_id = asked.attribute(transactions.CANCEL_MARKET)
        one = market_id != transactions.ALL_MARKETS
        if asked.time_in_force not in (CANCEL_NOW, CANCEL_LATER, CANCEL_ABORT):
            raise RefusedError(21713)
        later = asked.time_in_force == CANCEL_LATER
        in_reach = now_ms + DEAD_MAN_MS_MIN <= asked.time <= now_ms + DEAD_MAN_MS_MAX
        if (later and not in_reach) or (not later and asked.time) or (one and asked.time_in_force != CANCEL_NOW):
            raise RefusedError(21714)
        symbols = [self._checks.market(market_id).symbol] if one else []

        def effect(account: Account) -> None:
            if asked.time_in_force == CANCEL_NOW:
                self._accounts.cancel_all(account, symbols)
            else:
                self._accounts.set_dead_man(account, asked.time if later else None)

        return partial(self._later, user, effect)

    def _leverage(self, user: User, asked: transactions.UpdateLeverage) -> Act:
        market = self._checks.market(asked.market_index)
        least = FRACTION_TICK // market.listing.max_leverage
        if not least <= asked.initial_margin_fraction <= FRACTION_TICK:
            raise RefusedError(21113)
        if asked.margin_mode:
            raise RefusedError(21613, "isolated margin is not simulated")
        ppm = asked.initial_margin_fraction * PPM // FRACTION_TICK

        def effect(account: Account) -> None:
            before = account.initial_ppm.get(market.symbol)
            account.initial_ppm[market.symbol] = ppm
            covered = figures(account, self._accounts.rules.margin).available >= 0
            if before is None:
                del account.initial_ppm[market.symbol]
            else:
                account.initial_ppm[market.symbol] = before
            if not covered:
                raise RefusedError(21508)
            self._accounts.set_leverage(account, market, ppm)

        return partial(self._later, user, effect)

    def _new_key(self, user: User, asked: transactions.ChangePubKey) -> Act:
        """Signed by the new key (the gate looks at that) and by the wallet."""
        if ethereum.signer(asked.message, asked.l1_sig) != user.wallet.address:
            raise RefusedError(21504)
        if user.engine.balance_micro <= 0:
            raise RefusedError(21126)

        def effect(_: Account) -> None:
            user.keys[asked.api_key_index] = Key(asked.pub_key, asked.nonce + 1, self._accounts.world.now_ms)

        return partial(self._later, user, effect)

    def _later(self, user: User, effect: Callable[[Account], None], record: Record) -> None:
        """Let something happen after the account's delay; a RefusedError from it is the transaction's failure."""

        def due() -> None:
            refused: RefusedError | None = None
            try:
                effect(user.engine)
            except RefusedError as error:
                refused = error
            self._finish(user, record, refused)

        world = self._accounts.world
        world.at(world.now_ms + user.engine.tier.maker_delay_ms, due)

    def _finish(self, user: User, record: Record, refused: RefusedError | None) -> None:
        record.status = FAILED if refused else EXECUTED
        record.error = refused
        record.executed_ms = self._accounts.world.now_ms
        self._finished(user, record)

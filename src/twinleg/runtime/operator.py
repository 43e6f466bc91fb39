"""The operator's requests, performed on a running engine: everything the command line may ask of it.

Nothing here decides about an order: trades hear the operator through the desk, in their turn and on record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from twinleg.core.adoption import AdoptionError, adopted, adoption, exact
from twinleg.core.glance import Glance
from twinleg.core.guard import Approved
from twinleg.core.ledger import TradeAccount
from twinleg.core.messages import Refusal
from twinleg.core.operations import (
    REASON_CHARS_MAX,
    AdoptPositions,
    Answer,
    Asked,
    AskStatus,
    CloseTrade,
    Controlled,
    Declined,
    Flatten,
    Flattening,
    OpenTrade,
    Pause,
    ResolveTrade,
    Resume,
    Status,
    Stop,
    TradeDone,
    declined,
)
from twinleg.core.orders import ExitWanted, FlattenNow, HaltLifted, Holding, Leg, Resolve, State
from twinleg.core.pairs import Pair
from twinleg.core.planning import Budgets
from twinleg.core.reconcile import Finding
from twinleg.core.records import Control
from twinleg.core.trading import BalanceSeen
from twinleg.runtime.engine import Engine
from twinleg.runtime.operator_view import closing_orders, standing_control, status_of, terms_of

BY_HAND = "by the operator"
LEVERAGE_ASKS, LEVERAGE_ASK_S = 24, 0.5


class Sighted(Protocol):
    """What the venues' comparison knows."""

    findings: tuple[Finding, ...]
    positions: dict[str, int]

    @property
    def complete(self) -> bool: ...


class Held(Protocol):
    """Our accounts at the venues; see runtime.accounts.Accounts."""

    balances: dict[str, BalanceSeen]

    @property
    def reconciler(self) -> Sighted: ...


class Operator:
    """`perform` is what the control socket calls."""

    def __init__(self, engine: Engine, budgets: Budgets, glance: Callable[[], Glance], accounts: Held | None) -> None:
        """`accounts` None: on paper. `glance` is the whole picture, for the venues' lines."""
        self._engine, self._desk = engine, engine.desk
        self._budgets, self._glance, self._accounts = budgets, glance, accounts

    async def perform(self, asked: Asked) -> Answer:
        """Do it, or say why not. What it changes is durable on return."""
        reason = getattr(asked, "reason", "")
        if len(reason) > REASON_CHARS_MAX:
            return declined("reason", f"a reason has at most {REASON_CHARS_MAX} characters")
        match asked:
            case Pause():
                return await self._control(Control.PAUSED, reason or BY_HAND)
            case Stop():
                return await self._control(Control.STOPPED, reason or BY_HAND)
            case Resume():
                return await self._resume(asked)
            case Flatten():
                return await self._flatten(asked)
            case ResolveTrade():
                return await self._resolve(asked)
            case AdoptPositions():
                return await self._adopt(asked)
            case OpenTrade():
                return await self._open(asked)
            case CloseTrade():
                return await self._close(asked)
            case AskStatus():
                return self._status()

    # -- the standing control -----------------------------------------------------------------------------------------

    async def _control(self, control: Control, reason: str) -> Answer:
        refused = await self._desk.control(control, reason)
        return self._controlled() if refused is None else declined("control", refused)

    async def _resume(self, asked: Resume) -> Answer:
        """First the trades that were named, so that nothing is opened beside one that could not go on."""
        if not asked.reason.strip():
            return declined("reason", "resume needs a reason, which goes on record: --reason TEXT")
        unknown = [name for name in asked.trades if name not in self._halted()]
        if unknown:
            return declined("not_halted", f"{', '.join(unknown)}: no halted trade is called that")
        lifted, not_lifted = [], {}
        for name in self._halted() if asked.all_halted else asked.trades:
            refused = await self._desk.ask(HaltLifted(name, asked.reason, self._now_ms()))
            if refused is None and self._state(name) is State.HALTED:
                refused = "its facts contradict each other: `twinleg trade resolve` it first"
            if refused is None:
                lifted.append(name)
            else:
                not_lifted[name] = refused
        refused = await self._desk.control(Control.RUNNING, asked.reason)
        if refused is not None:
            return declined("control", refused)
        return self._controlled(tuple(lifted), not_lifted)

    def _controlled(self, lifted: tuple[str, ...] = (), not_lifted: dict[str, str] | None = None) -> Controlled:
        control, reason, _ = standing_control(self._desk.ledger)
        return Controlled(
            control=control, reason=reason, lifted=lifted, halted=tuple(self._halted()), not_lifted=not_lifted or {}
        )

    # -- trades -------------------------------------------------------------------------------------------------------

    async def _flatten(self, asked: Flatten) -> Answer:
        """Of all trades: then nothing is opened either, or the engine would open what was just closed again."""
        accounts = self._named(asked.trade, asked.asset)
        if isinstance(accounts, Declined):
            return accounts
        orders = tuple(
            one for account in accounts for one in closing_orders(account, self._engine.quotes(account.trade.plan))
        )
        if asked.dry_run:
            return Flattening(dry_run=True, orders=orders, control=self._controlled().control)
        reason = asked.reason or f"flatten {BY_HAND}"
        if asked.trade is None and asked.asset is None:
            refused = await self._desk.control(Control.STOPPED, reason)
            if refused is not None:
                return declined("control", refused)
            accounts = self._desk.ledger.open_trades()  # one may have been opened meanwhile
        closing, not_closing = [], {}
        for account in accounts:
            name = account.trade.plan.trade_id
            refused = await self._desk.ask(FlattenNow(name, reason, self._now_ms()))
            if refused is None and self._state(name) is State.HALTED:
                refused = "it is halted and its facts contradict each other: `twinleg trade resolve` it first"
            if refused is None or self._state(name) is State.CLOSED:
                closing.append(name)
            else:
                not_closing[name] = refused
        control = self._controlled().control
        return Flattening(
            dry_run=False, orders=orders, closing=tuple(closing), not_closing=not_closing, control=control
        )

    async def _close(self, asked: CloseTrade) -> Answer:
        by_name = asked.what in self._desk.ledger.trades
        accounts = self._named(asked.what, None) if by_name else self._named(None, asked.what.upper())
        if isinstance(accounts, Declined):
            return accounts
        if not accounts:
            return declined("unknown_trade", f"{asked.what} is no open trade and no asset of one: see `twinleg status`")
        states = {}
        for account in accounts:
            name = account.trade.plan.trade_id
            if account.trade.state is State.HALTED:
                return declined(
                    "halted", f"{name} is halted: `twinleg flatten --trade {name}`, or `twinleg resume --trade {name}`"
                )
            refused = await self._desk.ask(ExitWanted(name, asked.reason or BY_HAND, self._now_ms()))
            if refused is not None:
                return declined("refused", refused)
            states[name] = self._shown_state(name)
        return TradeDone(states=states)

    async def _resolve(self, asked: ResolveTrade) -> Answer:
        account = self._desk.ledger.trades.get(asked.trade)
        if account is None:
            return declined("unknown_trade", f"there is no trade {asked.trade}: see `twinleg status`")
        if not asked.reason.strip():
            return declined("reason", "resolving needs a reason, which goes on record: --reason TEXT")
        try:
            long = _holding(account, Leg.LONG, asked.long_lots, asked.long_price)
            short = _holding(account, Leg.SHORT, asked.short_lots, asked.short_price)
        except ValueError as error:
            return declined("nonsense", str(error))
        refused = await self._desk.ask(Resolve(asked.trade, long, short, asked.reason, self._now_ms()))
        if refused is not None:
            return declined("refused", f"{refused}; only a halted trade can be resolved")
        return TradeDone(states={asked.trade: self._shown_state(asked.trade)})

    async def _adopt(self, asked: AdoptPositions) -> Answer:
        if not asked.reason.strip():
            return declined("reason", "adopting needs a reason, which goes on record: --reason TEXT")
        found = self._pair(asked.asset, asked.long_market, asked.short_market)
        if isinstance(found, Declined):
            return found
        name = self._desk.next_trade_id()
        try:
            plan, long, short = adoption(name, found, asked.size, (asked.long_price, asked.short_price), self._budgets)
        except AdoptionError as error:
            return declined("nonsense", str(error))
        unseen = [*self._unseen(plan.long.market, long.lots), *self._unseen(plan.short.market, -short.lots)]
        if unseen:
            return Declined(refusals=tuple(unseen))
        refused = await self._desk.adopt(plan, adopted(plan, (long, short), asked.reason, self._now_ms()))
        if refused is not None:
            return declined("refused", refused)
        return TradeDone(states={name: self._shown_state(name)})

    def _unseen(self, market: str, lots: int) -> Iterable[Refusal]:
        """Why the venue's word speaks against handing over that position. On paper there is no such word."""
        if self._accounts is None:
            return
        shown = self._accounts.reconciler.positions.get(market, 0)
        free = shown - self._desk.ledger.positions().get(market, 0)
        if free * lots <= 0 or abs(free) < abs(lots):
            yield Refusal(
                "not_there",
                f"the venue shows {shown} lots of {market}, {free} of them unexplained, not {lots}",
                free,
                lots,
            )

    # -- opening ------------------------------------------------------------------------------------------------------

    async def _open(self, asked: OpenTrade) -> Answer:
        pair = self._pair(asked.asset, asked.long, asked.short)
        if isinstance(pair, Declined):
            return pair
        if not 0 < asked.usd < float("inf"):
            return declined("nonsense", "the size is a positive number of USD")
        leave = await self._leave(pair, asked.usd)
        if not isinstance(leave, Approved):
            return Declined(refusals=tuple(leave))
        name = None if asked.preview else self._engine.open(leave, pair)
        if name is None and not asked.preview:
            return declined("journal", f"nothing was opened: {self._desk.trouble or 'the journal fails'}")
        return terms_of(pair, leave, name)

    async def _leave(self, pair: Pair, usd: float) -> Approved | tuple[Refusal, ...]:
        """Leave to open, at the first asking in a market only after its leverage was set: that is waited for."""
        for _ in range(LEVERAGE_ASKS):
            leave = self._engine.propose(pair.key, usd)
            if isinstance(leave, Approved) or any(one.code != "leverage" for one in leave):
                break
            await self._engine.clock.sleep(LEVERAGE_ASK_S)
        return leave

    # -- how it stands ------------------------------------------------------------------------------------------------

    def _status(self) -> Status:
        accounts = self._accounts
        if accounts is None:
            return status_of(self._glance(), self._desk.ledger, {}, ())
        seen = accounts.reconciler
        found = status_of(self._glance(), self._desk.ledger, accounts.balances, seen.findings)
        return msgspec.structs.replace(found, positions=dict(seen.positions)) if seen.complete else found

    # -- small things -------------------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self._engine.clock.wall_ms()

    def _halted(self) -> list[str]:
        open_ones = self._desk.ledger.open_trades()
        return [one.trade.plan.trade_id for one in open_ones if one.trade.state is State.HALTED]

    def _state(self, name: str) -> State | None:
        """None: closed so long ago that only its totals are left."""
        account = self._desk.ledger.trades.get(name)
        return None if account is None else account.trade.state

    def _shown_state(self, name: str) -> str:
        state = self._state(name)
        return State.CLOSED.value if state is None else state.value

    def _named(self, trade: str | None, asset: str | None) -> list[TradeAccount] | Declined:
        """The open trade of that name, or those of an asset, or all."""
        open_ones = self._desk.ledger.open_trades()
        if trade is not None:
            found = [one for one in open_ones if one.trade.plan.trade_id == trade]
            return found or declined("unknown_trade", f"{trade} is no open trade: see `twinleg status`")
        return [one for one in open_ones if asset is None or one.trade.plan.asset == asset.upper()]

    def _pair(self, asset: str, long: str, short: str) -> Pair | Declined:
        """The pair whose legs are at those venues, or in those markets."""
        pairs = [one for one in self._engine.board.pairs.values() if one.asset == asset.upper()]
        found = [one for one in pairs if _is(one.long.market.key, long) and _is(one.short.market.key, short)]
        if len(found) == 1:
            return found[0]
        if found:
            keys = ", ".join(sorted(one.key for one in found))
            return declined("ambiguous", f"several pairs fit, name the markets as venue:symbol: {keys}")
        keys = ", ".join(sorted(one.key for one in pairs)) or f"{asset} is in no pair that is watched"
        return declined("unknown_pair", f"no pair of {asset} is long {long} and short {short}: {keys}")


def _is(market: str, said: str) -> bool:
    """Whether a market's key is what was said: the key itself, or its venue."""
    return said.lower() in (market.lower(), market.partition(":")[0])


def _holding(account: TradeAccount, leg: Leg, lots: int, price: str | None) -> Holding:
    """What the operator says of a leg. Raises ValueError."""
    plan, held = account.trade.plan.leg(leg), account.trade.held(leg)
    if price is None and lots != held:
        raise ValueError(
            f"the {leg.value} leg holds {held} lots by our books, not {lots}: say at which price the difference was "
            f"traded (--{leg.value}-price)"
        )
    if price is None:
        return Holding(lots, plan.decision_ticks)
    return Holding(lots, round(exact(price, f"{leg.value} price") / plan.price_grid.unit))

"""What we are worth and what is at risk, per venue, seen through the ledger and the present books.

In dry_run each venue starts with the same paper equity; with real accounts the venues' own balances take its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Protocol

from twinleg.core.board import Board
from twinleg.core.edge import BPS
from twinleg.core.exits import Standing
from twinleg.core.guard import Exposure
from twinleg.core.ledger import Ledger, Pnl, TradeAccount
from twinleg.core.liquidity import sweep
from twinleg.core.orders import ADDING, Leg, LegPlan, State
from twinleg.core.pairs import Pair
from twinleg.core.trading import BalanceSeen

MICRO = 1_000_000
EXPOSURE_AGE_MS = 500
UNSETTLED = (State.PLANNED, State.ENTERING, State.REPAIRING)


class Holdings(Protocol):
    """Real accounts, as their venues show them."""

    @property
    def balances(self) -> Mapping[str, BalanceSeen]:
        """By venue; one that is missing has not been told yet."""
        ...

    def external(self) -> dict[str, int]:
        """Signed lots by market that no trade of ours explains."""
        ...


class Purse:
    """Figures in USD for judging (estimates at mids); the books themselves are kept by the ledger in exact integers."""

    def __init__(
        self, board: Board, start_usd: dict[str, float], leverage: float, holdings: Holdings | None = None
    ) -> None:
        """`start_usd` is the paper equity by venue, not looked at where there are real `holdings`."""
        self._board = board
        self._start_usd = start_usd
        self._leverage = leverage
        self._holdings = holdings
        self._exposure: tuple[tuple[int, int], Exposure] | None = None

    def mids(self) -> dict[str, Fraction]:
        """Mid price in ticks of every book that has shown one; of a lost book the last: old is better than nothing."""
        return {
            key: Fraction(book.bid_prices[-1] + book.ask_prices[0], 2)
            for key, book in self._board.books.items()
            if book.two_sided
        }

    def exposure(self, ledger: Ledger, now_ms: int) -> Exposure:
        """Worst case: what is still entering or being repaired counts with its whole planned size.

        Made anew after every record and every EXPOSURE_AGE_MS, since prices move.
        """
        key = (ledger.applied, now_ms // EXPOSURE_AGE_MS)
        if self._exposure is None or self._exposure[0] != key:
            self._exposure = (key, self._measure(ledger))
        return self._exposure[1]

    def _measure(self, ledger: Ledger) -> Exposure:
        by_venue: dict[str, float] = dict.fromkeys(self._start_usd, 0.0)
        mids = self.mids()
        open_trades = ledger.open_trades()
        for account in open_trades:
            for leg in Leg:
                venue = account.trade.plan.leg(leg).venue
                by_venue[venue] = by_venue.get(venue, 0.0) + self.notional_usd(account, leg, mids)
        equity = self._paper_equity(ledger, mids)
        available = {venue: usd - by_venue.get(venue, 0.0) / self._leverage for venue, usd in equity.items()}
        if self._holdings is not None:
            equity, available = self._real(self._holdings, open_trades, mids)
            for market, lots in self._holdings.external().items():
                venue = market.partition(":")[0]
                by_venue[venue] = by_venue.get(venue, 0.0) + self._worth_of_lots(market, lots, mids)
        return Exposure(
            gross_usd=sum(by_venue.values()),
            by_venue_usd=by_venue,
            equity_usd=equity,
            available_usd=available,
            open_assets=frozenset(account.trade.plan.asset for account in open_trades),
            open_trades=len(open_trades),
        )

    def _paper_equity(self, ledger: Ledger, mids: dict[str, Fraction]) -> dict[str, float]:
        equity = {venue: usd + ledger.retired_micro_usd.get(venue, 0) / MICRO for venue, usd in self._start_usd.items()}
        for account in ledger.trades.values():
            for leg in Leg:
                venue = account.trade.plan.leg(leg).venue
                equity[venue] = equity.get(venue, 0.0) + _made_micro_usd(account.leg_pnl(leg, mids)) / MICRO
        return equity

    def _real(
        self, holdings: Holdings, open_trades: list[TradeAccount], mids: dict[str, Fraction]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Equity and free collateral as told, less the margin of what is on its way and may not show in them yet."""
        equity = {venue: seen.equity_usd for venue, seen in holdings.balances.items()}
        available = {venue: seen.available_usd for venue, seen in holdings.balances.items()}
        for account in open_trades:
            for leg in Leg:
                venue = account.trade.plan.leg(leg).venue
                coming_usd = self.notional_usd(account, leg, mids) - self.held_usd(account, leg, mids)
                if venue in available:
                    available[venue] -= max(0.0, coming_usd) / self._leverage
        return equity, available

    def _worth_of_lots(self, market: str, lots: int, mids: dict[str, Fraction]) -> float:
        """At the mid, else at the reference price; a market that we know nothing of counts without limit."""
        facts, price = self._board.facts.get(market), self._board.reference_price(market)
        if facts is None or (market not in mids and price is None):
            return float("inf")
        size = abs(lots) * facts.size_grid.unit
        return float(size * mids[market] * facts.price_grid.unit) if market in mids else float(size) * (price or 0.0)

    def notional_usd(self, account: TradeAccount, leg: Leg, mids: dict[str, Fraction]) -> float:
        """One leg at risk: what it holds, or its whole plan while more of it may come."""
        adding = any(order.intent.purpose in ADDING for order in account.trade.unsettled if order.intent.leg is leg)
        if adding or account.trade.state in UNSETTLED:
            return _worth_usd(account.trade.plan.leg(leg), account.trade.plan.lots(leg), mids)
        return self.held_usd(account, leg, mids)

    def held_usd(self, account: TradeAccount, leg: Leg, mids: dict[str, Fraction]) -> float:
        """What one leg holds."""
        return _worth_usd(account.trade.plan.leg(leg), account.leg(leg).held_lots, mids)

    def standing(self, account: TradeAccount, pair: Pair) -> Standing | None:
        """A hedged trade against today's exit side, fees of leaving included; None while a book cannot be priced."""
        exits: dict[str, Fraction] = {}
        fees_usd = notional_usd = 0.0
        for leg, state in ((Leg.LONG, pair.long), (Leg.SHORT, pair.short)):
            held = account.leg(leg).held_lots
            vwap = (
                sweep(state.book, (held,), asks=leg is Leg.SHORT, buffer=1.0)[0] if held and state.book.ready else None
            )
            if vwap is None or state.market.taker_fee_bps is None:
                return None
            exits[state.market.key] = Fraction(vwap)
            worth_usd = vwap * held * float(account.trade.plan.leg(leg).money_unit)
            fees_usd += worth_usd * state.market.taker_fee_bps / BPS
            notional_usd = max(notional_usd, worth_usd)
        made = account.pnl(exits).equity_change_micro_usd
        assert made is not None, "both legs are priced"
        return Standing(notional_usd, made / MICRO - fees_usd, account.terms.get("expected_usd", 0.0))


def _worth_usd(plan: LegPlan, lots: int, mids: dict[str, Fraction]) -> float:
    """At the market's mid, or at the decision price while no mid is known."""
    return float(lots * mids.get(plan.market, Fraction(plan.decision_ticks)) * plan.money_unit)


def _made_micro_usd(pnl: Pnl) -> int:
    """What a leg changed our equity by; what it holds counts at cost while no mid is known."""
    made = pnl.equity_change_micro_usd
    return pnl.realised_micro_usd + pnl.funding_micro_usd - pnl.fees_micro_usd if made is None else made

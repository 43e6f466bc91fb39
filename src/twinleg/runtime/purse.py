"""What we are worth and what is at risk, per venue, seen through the ledger and the present books.

In dry_run each venue starts with the same paper equity; with real accounts the venue's own balances take its place.
"""

from __future__ import annotations

from fractions import Fraction

from twinleg.core.board import Board
from twinleg.core.edge import BPS
from twinleg.core.exits import Standing
from twinleg.core.guard import Exposure
from twinleg.core.ledger import Ledger, Pnl, TradeAccount
from twinleg.core.liquidity import sweep
from twinleg.core.orders import Leg, LegPlan, State
from twinleg.core.pairs import Pair

MICRO = 1_000_000
EXPOSURE_AGE_MS = 500
UNSETTLED = (State.PLANNED, State.ENTERING, State.REPAIRING)


class Purse:
    """Figures in USD for judging (estimates at mids); the books themselves are kept by the ledger in exact integers."""

    def __init__(self, board: Board, start_usd: dict[str, float], leverage: float) -> None:
        self._board = board
        self._start_usd = start_usd
        self._leverage = leverage
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
        equity = {venue: usd + ledger.retired_micro_usd.get(venue, 0) / MICRO for venue, usd in self._start_usd.items()}
        assets = set()
        mids = self.mids()
        open_trades = ledger.open_trades()
        for account in open_trades:
            assets.add(account.trade.plan.asset)
            for leg in Leg:
                venue = account.trade.plan.leg(leg).venue
                by_venue[venue] = by_venue.get(venue, 0.0) + self.notional_usd(account, leg, mids)
        for account in ledger.trades.values():
            for leg in Leg:
                venue = account.trade.plan.leg(leg).venue
                equity[venue] = equity.get(venue, 0.0) + _made_micro_usd(account.leg_pnl(leg, mids)) / MICRO
        return Exposure(
            gross_usd=sum(by_venue.values()),
            by_venue_usd=by_venue,
            equity_usd=equity,
            available_usd={venue: usd - by_venue.get(venue, 0.0) / self._leverage for venue, usd in equity.items()},
            open_assets=frozenset(assets),
            open_trades=len(open_trades),
        )

    def notional_usd(self, account: TradeAccount, leg: Leg, mids: dict[str, Fraction]) -> float:
        """One leg at risk: what it holds, or its whole plan while it is still entering or being repaired."""
        if account.trade.state in UNSETTLED:
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

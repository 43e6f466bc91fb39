"""What an operator is shown of a running engine: trades, terms and standing in the words of core.operations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twinleg.core.flattening import bound_ticks
from twinleg.core.glance import Glance
from twinleg.core.guard import Approved
from twinleg.core.ledger import Ledger, TradeAccount
from twinleg.core.move import Quotes
from twinleg.core.operations import ClosingOrder, FindingShown, Status, Terms, TradeState, VenueState
from twinleg.core.orders import Leg
from twinleg.core.pairs import Pair
from twinleg.core.reconcile import Finding
from twinleg.core.records import Control
from twinleg.core.trading import BalanceSeen


def standing_control(ledger: Ledger) -> tuple[str, str, int | None]:
    """What may be done, why, and since when (None: nobody ever said otherwise)."""
    said = ledger.control
    return (Control.RUNNING.value, "", None) if said is None else (said.control.value, said.reason, said.at_ms)


def closing_orders(account: TradeAccount, quotes: Quotes) -> Iterable[ClosingOrder]:
    """What would be sent first to close a trade, with the worst bound that any of its attempts may reach."""
    plan = account.trade.plan
    for leg in Leg:
        lots, of, side = account.trade.held(leg), plan.leg(leg), leg.entry_side.opposite
        if lots <= 0:
            continue
        quote = quotes.get(leg)
        touch = None if quote is None else (quote.bid_ticks if leg is Leg.LONG else quote.ask_ticks)
        ticks = of.decision_ticks if touch is None else touch
        yield ClosingOrder(
            venue=of.venue,
            market=of.market,
            trade=plan.trade_id,
            side=side.value,
            size=of.size_grid.text(lots),
            reference=of.price_grid.text(ticks),
            reference_is="decision" if touch is None else "touch",
            worst_price=of.price_grid.text(bound_ticks(side, ticks, plan.bounds_bps[-1])),
        )


def terms_of(pair: Pair, leave: Approved, name: str | None) -> Terms:
    """What opening by hand means; `name` is the new trade's, None for a preview."""
    terms = leave.opportunity.terms
    long, short = pair.long.market, pair.short.market
    return Terms(
        pair=pair.key,
        notional_usd=leave.notional_usd,
        expected_usd=leave.expected_usd,
        net_bps=leave.opportunity.net_bps,
        terms={field: float(getattr(terms, field)) for field in terms.__struct_fields__},
        long_size=long.size_grid.text(leave.common_lots * pair.long_lots),
        short_size=short.size_grid.text(leave.common_lots * pair.short_lots),
        long_worst_price=long.price_grid.text(leave.long_limit_ticks),
        short_worst_price=short.price_grid.text(leave.short_limit_ticks),
        trade=name,
    )


def status_of(
    shown: Glance, ledger: Ledger, balances: Mapping[str, BalanceSeen], findings: Iterable[Finding]
) -> Status:
    """How it stands."""
    control, reason, at_ms = standing_control(ledger)
    return Status(
        mode=shown.mode,
        at_ms=shown.at_ms,
        control=control,
        control_reason=reason,
        control_at_ms=at_ms,
        blocked=shown.blocked,
        findings=tuple(
            FindingShown(
                kind=one.kind.value, venue=one.venue, subject=one.subject, detail=one.detail, lasting=one.lasting
            )
            for one in findings
        ),
        venues=tuple(
            VenueState(
                venue=line.venue,
                trouble=line.trouble,
                markets=line.markets,
                books_ready=line.books_ready,
                equity_usd=balances[line.venue].equity_usd if line.venue in balances else None,
                available_usd=balances[line.venue].available_usd if line.venue in balances else None,
            )
            for line in shown.venues
        ),
        trades=tuple(map(_trade, ledger.open_trades())),
    )


def _trade(account: TradeAccount) -> TradeState:
    plan = account.trade.plan
    return TradeState(
        trade=plan.trade_id,
        asset=plan.asset,
        state=account.trade.state.value,
        long_market=plan.long.market,
        short_market=plan.short.market,
        long_lots=account.trade.held(Leg.LONG),
        short_lots=account.trade.held(Leg.SHORT),
        exit_reason=account.trade.exit_reason,
    )

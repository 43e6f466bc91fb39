"""Draws the Glance: everything a face shows, from the engine's present state."""

from __future__ import annotations

from fractions import Fraction

from twinleg.core.funding import UnitState
from twinleg.core.glance import Glance, Totals, TradeLine, VenueLine
from twinleg.core.ledger import TradeAccount
from twinleg.core.orders import Leg, State
from twinleg.runtime.engine import Engine

MICRO = 1_000_000
CLOSED_SHOWN = 5
STANDING_SHOWN = 200


def glance(engine: Engine, *, mode: str, started_ms: int, troubles: dict[str, str | None]) -> Glance:
    """The whole picture now. `troubles` says per venue why its last listing failed, None when it answered."""
    now_ms, board = engine.clock.wall_ms(), engine.board
    standing = sorted(board.standing.values(), key=lambda one: -1e9 if one.bound_bps is None else one.bound_bps)
    return Glance(
        at_ms=now_ms,
        mode=mode,
        uptime_ms=now_ms - started_ms,
        venues=tuple(_venue(engine, venue, trouble) for venue, trouble in troubles.items()),
        feeds=tuple(board.health[key] for key in sorted(board.health)),
        ranking=tuple(board.ranking()),
        standing=tuple(reversed(standing[-STANDING_SHOWN:])),
        trades=_trades(engine, now_ms, paper=mode == "dry_run"),
        totals=_totals(engine),
        blocked=engine.blocked,
    )


def _venue(engine: Engine, venue: str, trouble: str | None) -> VenueLine:
    board = engine.board
    states = [state for key, state in board.markets.items() if state.market.venue == venue and board.pairs_of.get(key)]
    checks = [state.funding.check.state for state in states]
    return VenueLine(
        venue=venue,
        trouble=trouble,
        markets=len(states),
        books_ready=sum(state.book.ready for state in states),
        units_agreed=checks.count(UnitState.AGREED),
        units_disagreed=checks.count(UnitState.DISAGREED),
        clock_offset_ms=board.clock_offsets_ms.get(venue),
    )


def _trades(engine: Engine, now_ms: int, *, paper: bool) -> tuple[TradeLine, ...]:
    accounts = list(engine.desk.ledger.trades.values())
    open_ones = [account for account in accounts if account.trade.state is not State.CLOSED]
    closed = [account for account in accounts if account.trade.state is State.CLOSED]
    closed.sort(key=lambda account: account.closed_at_ms or 0, reverse=True)
    mids = engine.purse.mids()
    shown = [*open_ones, *closed[:CLOSED_SHOWN]]
    return tuple(_trade(engine, account, mids, now_ms, paper=paper) for account in shown)


def _trade(engine: Engine, account: TradeAccount, mids: dict[str, Fraction], now_ms: int, *, paper: bool) -> TradeLine:
    plan, purse = account.trade.plan, engine.purse
    pnl = account.pnl(mids)
    pair = engine.board.pairs.get(f"{plan.long.market}>{plan.short.market}")
    standing = None if pair is None or account.trade.state is not State.HEDGED else purse.standing(account, pair)
    worth = {leg: purse.held_usd(account, leg, mids) for leg in Leg}
    settlements = [engine.board.next_settlement_ms(plan.leg(leg).market, now_ms) for leg in Leg]
    unhedged_ms = account.unhedged_ms
    if account.unhedged_since_ms is not None and account.closed_at_ms is None:
        unhedged_ms += max(0, now_ms - account.unhedged_since_ms)
    return TradeLine(
        trade_id=plan.trade_id,
        asset=plan.asset,
        long_market=plan.long.market,
        short_market=plan.short.market,
        state=account.trade.state.value,
        paper=paper,
        opened_ms=account.planned_at_ms,
        closed_ms=account.closed_at_ms,
        notional_usd=account.terms.get("notional_usd", 0.0),
        long_lots=account.long.held_lots,
        short_lots=account.short.held_lots,
        net_delta_usd=worth[Leg.LONG] - worth[Leg.SHORT],
        unhedged_ms=unhedged_ms,
        price_usd=_usd(pnl.price_micro_usd),
        slippage_usd=pnl.slippage_micro_usd / MICRO,
        funding_usd=pnl.funding_micro_usd / MICRO,
        fees_usd=pnl.fees_micro_usd / MICRO,
        net_usd=_usd(pnl.equity_change_micro_usd),
        exit_usd=None if standing is None else standing.exit_usd,
        expected_usd=account.terms.get("expected_usd", 0.0),
        next_settlement_ms=min((one for one in settlements if one is not None), default=None),
        exit_reason=account.trade.exit_reason,
    )


def _totals(engine: Engine) -> Totals:
    tally, ledger = engine.tally, engine.desk.ledger
    pnl = ledger.pnl(engine.purse.mids())
    micros = sorted(tally.latencies_ns)
    return Totals(
        found=engine.board.viable_seen,
        executed=engine.desk.executed,
        closed=engine.desk.closed,
        refused=dict(tally.refused.most_common()),
        volume_usd=pnl.volume_micro_usd / MICRO,
        price_usd=_usd(pnl.price_micro_usd),
        slippage_usd=pnl.slippage_micro_usd / MICRO,
        funding_usd=pnl.funding_micro_usd / MICRO,
        fees_usd=pnl.fees_micro_usd / MICRO,
        net_usd=_usd(pnl.equity_change_micro_usd),
        best_edge_bps=tally.best_edge_bps,
        events=tally.events,
        decision_us_p50=micros[len(micros) // 2] / 1_000 if micros else None,
        decision_us_p99=micros[len(micros) * 99 // 100] / 1_000 if micros else None,
    )


def _usd(micro_usd: int | None) -> float | None:
    return None if micro_usd is None else micro_usd / MICRO

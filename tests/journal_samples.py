"""Trades as the journal tells them, in a real journal file: two legs of 1 ETH at 100-something dollars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twinleg.core.amounts import Grid
from twinleg.core.orders import (
    Filled,
    Intent,
    Leg,
    LegPlan,
    OrderStatus,
    Purpose,
    State,
    TimeInForce,
    TradePlan,
    client_id,
)
from twinleg.core.records import (
    FillSeen,
    FundingBooked,
    IntentMade,
    JournalRecord,
    OutcomeSeen,
    StateChanged,
    TradePlanned,
    encode,
    kind_of,
)
from twinleg.runtime.journal_file import FILE_NAME, JournalFile
from twinleg.runtime.ports import Record

CENT, MILLI = Grid.of("0.01"), Grid.of("0.001")


def leg_plan(market: str) -> LegPlan:
    return LegPlan(
        venue=market.partition(":")[0],
        market=market,
        price_grid=CENT,
        size_grid=MILLI,
        lots_per_common_lot=1,
        limit_ticks=11_000,
        decision_ticks=10_000,
    )


def planned(trade_id: str) -> list[JournalRecord]:
    plan = TradePlan(
        trade_id=trade_id,
        asset="ETH",
        long=leg_plan("lighter:ETH"),
        short=leg_plan("extended:ETH-USD"),
        common_lots=1_000,
        unhedged_ms_max=3_000,
        unhedged_notional_max_micro_usd=250_000_000,
        attempt_ms=3_000,
        bounds_bps=(50, 100, 200),
    )
    return [TradePlanned(at_ms=1, plan=plan, terms={"net_bps": 12.0, "expected_usd": 0.12})]


def filled(trade_id: str, leg: Leg, attempt: int, ticks: int, at_ms: int) -> list[JournalRecord]:
    """One order of 1 ETH at 100-something dollars with a fee of 2.5 cents, filled whole."""
    adds = attempt == 0
    market = "lighter:ETH" if leg is Leg.LONG else "extended:ETH-USD"
    name = client_id(trade_id, leg, attempt)
    intent = Intent(
        trade_id=trade_id,
        leg=leg,
        attempt=attempt,
        client_id=name,
        venue=market.partition(":")[0],
        market=market,
        side=leg.entry_side if adds else leg.entry_side.opposite,
        size_lots=1_000,
        limit_ticks=ticks,
        reduce_only=not adds,
        time_in_force=TimeInForce.IOC,
        purpose=Purpose.ENTER if adds else Purpose.EXIT,
        deadline_ms=at_ms + 1_000,
        decision_price_ticks=10_000,
    )
    fill = Filled(name, f"{name}-f", ticks, 1_000, 25_000, at_ms)
    return [
        IntentMade(at_ms=at_ms, intent=intent),
        FillSeen(at_ms=at_ms, trade_id=trade_id, fill=fill),
        OutcomeSeen(at_ms=at_ms, trade_id=trade_id, client_id=name, status=OrderStatus.DONE, filled_lots=1_000),
    ]


def state(trade_id: str, now: State, at_ms: int, reason: str | None = None) -> JournalRecord:
    return StateChanged(
        at_ms=at_ms, trade_id=trade_id, state=now, attempts_spent=0, due_ms=None, exit_reason=reason, because="test"
    )


def hedged(trade_id: str) -> list[JournalRecord]:
    return [
        *planned(trade_id),
        *filled(trade_id, Leg.LONG, 0, 10_001, 10),
        *filled(trade_id, Leg.SHORT, 0, 10_020, 12),
        state(trade_id, State.HEDGED, 12),
        FundingBooked(
            at_ms=3_600_000,
            trade_id=trade_id,
            leg=Leg.SHORT,
            market="extended:ETH-USD",
            rate_per_hour=0.0001,
            interval_hours=1.0,
            price=100.0,
            amount_micro_usd=10_000,
            settled_at_ms=3_600_000,
        ),
    ]


def closed(trade_id: str) -> list[JournalRecord]:
    return [
        *hedged(trade_id),
        *filled(trade_id, Leg.LONG, 1, 10_050, 4_000_000),
        *filled(trade_id, Leg.SHORT, 1, 10_040, 4_000_000),
        state(trade_id, State.CLOSED, 4_000_000, "target: made enough"),
    ]


def written(folder: Path, records: Sequence[JournalRecord]) -> Path:
    journal = JournalFile.open_for_writing(folder)
    journal.write(
        [
            Record(number, record.at_ms, kind_of(record), record.trade_id, encode(record))
            for number, record in enumerate(records, start=1)
        ]
    )
    journal.close()
    return folder / FILE_NAME

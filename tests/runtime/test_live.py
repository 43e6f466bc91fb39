"""The live path, whole: orders signed, sent and filled at the simulated venues, and their truth in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_system import exchange, trading, until

from twinleg.core.guard import Approved
from twinleg.core.orders import ExitWanted, State
from twinleg.runtime.wiring import System
from twinleg_sims.faults import FaultRequest

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def stands(system: System) -> str:
    accounts = system.engine.desk.ledger.trades.values()
    return f"{[one.trade.state for one in accounts]} {system.engine.blocked} {system.glance().ranking[:1]}"


async def opened(system: System, usd: float) -> str:
    """A trade by hand in the first pair that may be entered."""
    engine, found = system.engine, []

    def may() -> bool:
        for pair in engine.board.pairs.values():
            leave = engine.propose(pair.key, usd)
            if isinstance(leave, Approved):
                found.append((leave, pair))
                return True
        return False

    def why() -> list[object]:
        return [engine.propose(key, usd) for key in engine.board.pairs]

    await until(may, why)
    trade_id = engine.open(*found[0])
    assert trade_id is not None
    return trade_id


def state(system: System, trade_id: str) -> State:
    return system.engine.desk.ledger.trades[trade_id].trade.state


async def test_a_trade_on_request_is_hedged_held_and_closed(tmp_path: Path) -> None:
    async with exchange() as made, trading(made, made.settings(tmp_path, AUTO_EXECUTION_ENABLED="false")) as system:
        trade_id = await opened(system, 60.0)
        await until(lambda: state(system, trade_id) is State.HEDGED, lambda: stands(system))
        ledger = system.engine.desk.ledger
        assert ledger.next_number > 2_500_000, "numbered from the tens of seconds since 2026"
        assert system.accounts is not None
        await until(lambda: system.accounts.reconciler.positions == ledger.positions())
        assert len(ledger.positions()) == 2
        assert await system.engine.desk.ask(ExitWanted(trade_id, "test", 1)) is None
        await until(lambda: state(system, trade_id) is State.CLOSED, lambda: stands(system))
        await until(lambda: not system.accounts.reconciler.positions)


@pytest.mark.parametrize("taken", ["deleverage", "liquidate"])
@pytest.mark.parametrize("venue", ["lighter", "extended"])
async def test_a_leg_that_the_venue_takes_away_has_its_partner_closed(tmp_path: Path, venue: str, taken: str) -> None:
    async with exchange() as made, trading(made, made.settings(tmp_path, AUTO_EXECUTION_ENABLED="false")) as system:
        trade_id = await opened(system, 60.0)
        await until(lambda: state(system, trade_id) is State.HEDGED, lambda: stands(system))
        made.sims.faults.add(FaultRequest(kind=taken, venue=venue), made.sims.now_ms)
        await until(lambda: state(system, trade_id) is State.CLOSED, lambda: stands(system))
        assert not any(
            core.accounts.by_id[number].positions for core in made.cores.values() for number in core.accounts.by_id
        )
        assert system.engine.desk.ledger.trades[trade_id].trade.force_ids, "booked as what it was"

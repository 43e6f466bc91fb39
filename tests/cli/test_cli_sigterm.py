"""SIGTERM of a live engine: nothing is opened, what moves comes to rest, what is hedged stays, and it says so."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from live_process import ACCOUNTS, ASSETS, Engine, Venues, booked, venues

from twinleg.cli.exits import OK
from twinleg.core.operations import CloseTrade, Declined, OpenTrade, Terms
from twinleg.core.orders import State, TimeInForce
from twinleg.runtime.control import NoAnswerError, NoEngineError

PATIENT = ("lighter:equity_usd=50000,taker_bps=9,maker_bps=0", "extended:equity_usd=50000,taker_bps=9,maker_bps=0")
"""Taking is dear, so that entries rest."""
LISTS_S = 10.0


@contextmanager
def scene(accounts: tuple[str, ...] = ACCOUNTS) -> Iterator[tuple[Engine, Venues]]:
    """A running engine that may trade, and its venues."""
    with tempfile.TemporaryDirectory(prefix="tl-") as folder, venues(Path(folder), accounts=accounts) as sims:
        engine = Engine(Path(folder), sims, near=True)
        engine.agree()
        engine.start()
        try:
            yield engine, sims
        finally:
            if engine.alive:
                engine.kill()


async def opened(engine: Engine) -> None:
    await engine.status()
    wanted = await engine.terms(90.0)
    assert wanted is not None, "nothing may be opened"
    assert isinstance(await engine.ask(wanted), Terms)


async def hedged(engine: Engine) -> str:
    """A trade that is: an entry may also come to nothing."""
    for _ in range(10):
        await opened(engine)
        seen = await engine.until(lambda seen: all(one.state == "hedged" for one in seen.trades))
        if seen.trades:
            return seen.trades[0].trade
    raise AssertionError("ten entries came to nothing")


async def ended(engine: Engine) -> None:
    """SIGTERM; whoever asks for entries from the moment on that it was heard gets none."""
    assert engine.process is not None
    engine.process.terminate()
    heard = False
    try:
        while True:
            for asset in ASSETS:
                answer = await engine.ask(OpenTrade(asset=asset, long="lighter", short="extended", usd=50.0))
                heard = heard or (isinstance(answer, Declined) and "stopping" in {one.code for one in answer.refusals})
                assert not (heard and isinstance(answer, Terms)), "opened after it was told to end"
    except (NoEngineError, NoAnswerError):
        pass
    assert await asyncio.to_thread(engine.process.wait, 60) == OK


def settles(come: Callable[[], bool]) -> bool:
    """Whether it comes to be so, at most LISTS_S later."""
    end_s = time.monotonic() + LISTS_S
    while not come():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


def at_rest(engine: Engine, sims: Venues) -> list[State]:
    """How the trades ended; the venues hold the same, nothing rests there, and the last line tells what is open."""
    ledger = engine.ledger()
    trades = list(ledger.trades.values())
    assert [one.trade.unsettled for one in trades] == [[]] * len(trades)
    assert sims.positions() == booked(ledger)
    assert settles(lambda: sims.resting() == 0), "the venues' lists come a little after their streams"
    last = engine.events()[-1]
    assert last["event"] == "end"
    assert f"open {len(ledger.open_trades())}," in last["text"]
    return [one.trade.state for one in trades]


async def test_hedged_trades_stay_and_are_told() -> None:
    with scene() as (engine, sims):
        await hedged(engine)
        held = sims.positions()
        assert len(held) == 2
        await ended(engine)
        assert State.HEDGED in at_rest(engine, sims)


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
async def test_an_entry_under_way_is_finished_or_unwound(delay_s: float) -> None:
    with scene() as (engine, sims):
        await opened(engine)
        await asyncio.sleep(delay_s)
        await ended(engine)
        assert set(at_rest(engine, sims)) <= {State.HEDGED, State.CLOSED}


async def test_an_exit_under_way_is_finished() -> None:
    with scene() as (engine, sims):
        leaving = await hedged(engine)
        await engine.ask(CloseTrade(what=leaving))
        await ended(engine)
        assert set(at_rest(engine, sims)) <= {State.HEDGED, State.CLOSED}
        assert engine.ledger().trades[leaving].trade.state is State.CLOSED


async def test_an_entry_that_rests_is_called_back() -> None:
    with scene(PATIENT) as (engine, sims):
        await opened(engine)
        await ended(engine)
        assert set(at_rest(engine, sims)) <= {State.HEDGED, State.CLOSED}
        orders = [order for one in engine.ledger().trades.values() for order in one.trade.orders]
        assert TimeInForce.POST_ONLY in {order.intent.time_in_force for order in orders}

"""What a venue takes from a position: told to the trade that held it, once, and to none that came later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from simulated import SimClock, SimDice

from trade_samples import plan
from twinleg.core.board import Board
from twinleg.core.ledger import Ledger
from twinleg.core.orders import Holding, Leg, PositionForced, Side, State, TradeEvent
from twinleg.core.records import ForceSeen, Resolved, StateChanged, TradePlanned
from twinleg.core.trading import ExecutionSeen
from twinleg.runtime.accounts import Accounts, Upkeep
from twinleg.runtime.books import Books
from twinleg.runtime.reconcile import Terms
from twinleg.runtime.streams import Doors

TAKEN = ExecutionSeen(
    venue="two", market="two:ETH-USD", client_id=None, venue_order_id="9", fill_id="f9", side=Side.BUY,
    price_ticks=4_000, size_lots=2, fee_micro_usd=7, forced="deleverage", at_ms=5_000,
)  # fmt: skip


class Desk:
    def __init__(self) -> None:
        self.heard: list[TradeEvent] = []
        self.hear: Callable[[TradeEvent], None] = self.heard.append


def accounts(ledger: Ledger) -> tuple[Accounts, Desk]:
    terms = Terms(grace_ms=1, every_ms=1, stale_ms=1, net_delta_max_usd=1.0)
    upkeep = Upkeep(balance_every_ms=1, reconcile=terms, leverage_of=lambda asset: 3.0)
    board = Board(lambda asset: cast("Any", None), lambda asset, one, other: True)
    nobody, clock = cast("Any", None), SimClock()
    made = Accounts(board, Books(nobody, ledger, clock), Doors(nobody, clock, SimDice()), upkeep, lambda *_: None)
    desk = Desk()
    made.begin(cast("Any", desk))
    return made, desk


def planned(trade_id: str, at_ms: int) -> TradePlanned:
    return TradePlanned(at_ms=at_ms, plan=plan(trade_id=trade_id), terms={})


def test_the_trade_that_holds_the_market_hears_of_it() -> None:
    made, desk = accounts(Ledger([planned("t1", 1_000)]))
    made.heard(TAKEN)
    [forced] = desk.heard
    assert isinstance(forced, PositionForced)
    assert (forced.trade_id, forced.leg, forced.size_lots) == ("t1", Leg.SHORT, 2)


@pytest.mark.parametrize("planned_ms", [5_001, 90_000])
def test_a_trade_that_came_later_lost_nothing(planned_ms: int) -> None:
    """A restarted process is told of old deals by the venue's listings."""
    made, desk = accounts(Ledger([planned("t1", planned_ms)]))
    made.heard(TAKEN)
    assert desk.heard == []


def test_what_an_earlier_trade_has_booked_is_no_news_to_the_next() -> None:
    """Even where the clock had jumped between the two plans."""
    booked = PositionForced("t1", Leg.SHORT, TAKEN.fill_id, 4_000, 2, 7, "deleverage", 5_100)
    nothing = Holding(0, 4_000)
    over = StateChanged(
        at_ms=5_200, trade_id="t1", state=State.CLOSED, attempts_spent=0, due_ms=None, exit_reason=None, because="flat"
    )
    before = [
        planned("t1", 1_000),
        ForceSeen(forced=booked, at_ms=5_100),
        Resolved(at_ms=5_150, trade_id="t1", long=nothing, short=nothing, reason="seen"),
        over,
    ]
    made, desk = accounts(Ledger([*before, planned("t2", 4_000)]))
    made.heard(TAKEN)
    assert desk.heard == []

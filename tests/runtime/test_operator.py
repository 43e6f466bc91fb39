"""What an operator asks, performed on a real engine, desk and journal: done and on record, or refused with why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trading_world import FORTH, Numbers, World, world

from market_samples import ONE, TWO
from twinleg.core.operations import (
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
    Terms,
    TradeDone,
)
from twinleg.core.orders import Leg, PositionRead, State
from twinleg.core.reconcile import Finding, Kind
from twinleg.core.records import Control
from twinleg.core.trading import BalanceSeen
from twinleg.runtime.books import read_ledger
from twinleg.runtime.operator import Operator
from twinleg.runtime.picture import glance

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ONE_TO_TWO = {"asset": "PEPE", "long": "one", "short": "two"}


class Sight:
    def __init__(self) -> None:
        self.findings: tuple[Finding, ...] = ()
        self.positions: dict[str, int] = {}
        self.complete = False


class Accounts:
    """What the venues show."""

    def __init__(self) -> None:
        self.balances: dict[str, BalanceSeen] = {}
        self.reconciler = Sight()


class Office:
    """A running world and its operator."""

    def __init__(self, made: World, accounts: Accounts | None = None) -> None:
        def picture() -> Any:
            return glance(made.engine, mode="dry_run", started_ms=0, troubles={"one": None, "two": "no answer"})

        self.world = made
        self.operator = Operator(made.engine, Numbers(), picture, accounts)

    async def ask(self, asked: Asked) -> Answer:
        return await self.operator.perform(asked)

    async def controlled(self, asked: Asked) -> Controlled:
        answer = await self.ask(asked)
        assert isinstance(answer, Controlled), answer
        return answer

    async def refused(self, asked: Asked) -> str:
        answer = await self.ask(asked)
        assert isinstance(answer, Declined), answer
        return " | ".join(f"{one.code}: {one.detail}" for one in answer.refusals)

    async def hedged(self) -> str:
        self.world.tells()
        await self.world.live(2)
        assert self.world.states == [State.HEDGED]
        return self.world.accounts[0].trade.plan.trade_id

    async def halted(self) -> str:
        """A hedged trade that a venue shows more of than was ever bought."""
        name = await self.hedged()
        held = self.world.held()[0]
        self.world.desk.hear(PositionRead(name, Leg.LONG, held + 1, self.world.clock.wall_ms()))
        await self.world.quiet()
        assert self.world.states == [State.HALTED]
        return name

    def recorded(self) -> Any:
        """The ledger, as a restart would read it."""
        return read_ledger(self.world.journal)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with world(tmp_path) as made:
        yield Office(made)


# --- control ----------------------------------------------------------------------------------------------------------


async def test_a_pause_stops_entries_is_recorded_and_is_lifted(office: Office) -> None:
    assert (await office.controlled(Pause(reason="lunch"))).control == "paused"
    office.world.tells()
    await office.world.live(2)
    assert office.world.states == []
    assert office.world.engine.tally.refused["paused"]
    assert office.recorded().control.reason == "lunch"
    assert (
        await office.refused(Resume(reason=" ")) == "reason: resume needs a reason, which goes on record: --reason TEXT"
    )
    answer = await office.controlled(Resume(reason="back"))
    assert (answer.control, answer.reason, answer.halted) == ("running", "back", ())
    await office.world.live(2)
    assert office.world.states == [State.HEDGED]


async def test_a_stop_holds_what_is_held(office: Office) -> None:
    await office.hedged()
    assert (await office.controlled(Stop())).control == "stopped"
    await office.world.live(2)
    assert office.world.states == [State.HEDGED]
    assert office.recorded().control.control is Control.STOPPED


async def test_resume_leaves_halted_trades_halted_unless_they_are_named(office: Office) -> None:
    name = await office.halted()
    answer = await office.controlled(Resume(reason="looked"))
    assert (answer.lifted, answer.halted) == ((), (name,))
    assert office.world.states == [State.HALTED]
    assert (
        await office.refused(Resume(reason="x", trades=("T999999",)))
        == "not_halted: T999999: no halted trade is called that"
    )
    answer = await office.controlled(Resume(reason="looked", trades=(name,)))
    assert (answer.lifted, answer.halted, answer.not_lifted) == ((name,), (), {})
    await office.world.live(1)
    assert office.world.states == [State.HEDGED]


async def test_resume_of_all_halted(office: Office) -> None:
    name = await office.halted()
    assert (await office.controlled(Resume(reason="looked", all_halted=True))).lifted == (name,)


async def test_a_reason_is_bounded(office: Office) -> None:
    assert (await office.refused(Pause(reason="x" * 501))).startswith("reason:")


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_asset", [True, False])
async def test_a_close_is_the_trades_exit(office: Office, by_asset: bool) -> None:
    name = await office.hedged()
    answer = await office.ask(CloseTrade(what="pepe" if by_asset else name, reason="enough"))
    assert answer == TradeDone(states={name: "exiting"})
    await office.world.live(2)
    assert office.world.accounts[0].trade.state is State.CLOSED
    assert office.world.accounts[0].trade.exit_reason == "enough"


async def test_a_close_of_what_is_not_there_or_halted_says_what_to_do(office: Office) -> None:
    assert "twinleg status" in await office.refused(CloseTrade(what="DOGE"))
    name = await office.halted()
    assert f"twinleg flatten --trade {name}" in await office.refused(CloseTrade(what=name))


async def test_a_flatten_shows_exactly_what_it_would_send_and_sends_nothing(office: Office) -> None:
    name = await office.hedged()
    answer = await office.ask(Flatten(dry_run=True))
    assert isinstance(answer, Flattening)
    assert (answer.dry_run, answer.closing, answer.control) == (True, (), "running")
    long, short = answer.orders
    lots = office.world.accounts[0].trade.plan.common_lots
    assert (long.venue, long.market, long.trade, long.side, long.size) == ("one", ONE.key, name, "sell", str(lots))
    assert (long.reference, long.reference_is, long.worst_price) == ("0.009998", "touch", "0.009799")
    assert (short.side, short.size) == ("buy", str(1_000 * lots))
    assert short.worst_price == "0.0000102325"  # 20,064 ticks and 2 % less than a tick above is not reached
    await office.world.live(1)
    assert office.world.states == [State.HEDGED]


async def test_a_flatten_closes_all_and_lets_nothing_open_again(office: Office) -> None:
    name = await office.hedged()
    answer = await office.ask(Flatten(reason="out"))
    assert isinstance(answer, Flattening)
    assert (answer.closing, answer.not_closing, answer.control) == ((name,), {}, "stopped")
    await office.world.live(3)
    assert office.world.states == [State.CLOSED]
    assert office.recorded().control.reason == "out"


async def test_a_flatten_of_one_asset_leaves_the_control_alone(office: Office) -> None:
    name = await office.hedged()
    other = await office.ask(Flatten(asset="doge"))
    assert isinstance(other, Flattening)
    assert other.closing == ()
    answer = await office.ask(Flatten(asset="pepe"))
    assert isinstance(answer, Flattening)
    assert (answer.closing, answer.control) == ((name,), "running")
    assert "unknown_trade" in await office.refused(Flatten(trade="T999999"))


async def test_a_flatten_closes_a_halted_trade_too(office: Office) -> None:
    name = await office.halted()
    answer = await office.ask(Flatten(trade=name))
    assert isinstance(answer, Flattening)
    assert answer.closing == (name,)
    await office.world.live(2)
    assert office.world.states[0] is State.CLOSED


# --- resolving and adopting -------------------------------------------------------------------------------------------


async def test_a_halted_trade_is_resolved_as_the_operator_says(office: Office) -> None:
    name = await office.halted()
    asked = ResolveTrade(trade=name, long_lots=0, short_lots=0, reason="closed by hand")
    assert "--long-price" in await office.refused(asked)
    nonsense = msgspec.structs.replace(asked, long_price="much", short_price="0.00001")
    assert "no positive decimal" in await office.refused(nonsense)
    priced = msgspec.structs.replace(asked, long_price="0.009998", short_price="0.00001003")
    assert await office.ask(priced) == TradeDone(states={name: "closed"})
    assert office.recorded().trades[name].trade.finished


async def test_resolving_what_the_books_say_needs_no_price(office: Office) -> None:
    name = await office.halted()
    long, short = office.world.held()
    asked = ResolveTrade(trade=name, long_lots=long, short_lots=short, reason="looked")
    assert await office.ask(asked) == TradeDone(states={name: "hedged"})
    assert "only a halted trade" in await office.refused(asked)
    assert "unknown_trade" in await office.refused(msgspec.structs.replace(asked, trade="T999999"))


ADOPT = AdoptPositions(
    asset="pepe",
    long_market=ONE.key,
    short_market=TWO.key,
    size="20000",
    long_price="0.01",
    short_price="0.00001003",
    reason="opened by hand",
)


async def test_positions_opened_by_hand_become_a_trade(office: Office) -> None:
    await office.controlled(Pause())
    office.world.tells()
    await office.world.live(1)
    answer = await office.ask(ADOPT)
    assert answer == TradeDone(states={"T000001": "hedged"})
    assert office.world.held() == [20, 40]
    plan = office.recorded().trades["T000001"].trade.plan
    assert (plan.asset, plan.common_lots, plan.long.decision_ticks, plan.short.decision_ticks) == (
        "PEPE",
        20,
        10_000,
        20_060,
    )
    assert plan.bounds_bps == (66, 133, 200)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": "500"}, "less than the 1000"),
        ({"size": "20100"}, "multiples of 1000"),
        ({"size": "-5"}, "no positive decimal"),
        ({"long_price": "0"}, "no positive decimal"),
        ({"short_price": "0.00000000000001"}, "a price below"),
        ({"reason": ""}, "needs a reason"),
        ({"asset": "doge"}, "no pair that is watched"),
        ({"long_market": "two:PEPE-USD"}, f"{FORTH}"),
    ],
)
async def test_what_makes_no_trade_is_not_adopted(office: Office, changes: dict[str, str], said: str) -> None:
    office.world.tells()
    assert said in await office.refused(msgspec.structs.replace(ADOPT, **changes))
    assert office.world.accounts == []


async def test_only_what_the_venues_show_unexplained_is_adopted(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        accounts = Accounts()
        office = Office(made, accounts)
        await office.controlled(Pause())
        made.tells()
        for shown in ({}, {ONE.key: 20}, {ONE.key: 20, TWO.key: 40}, {ONE.key: 19, TWO.key: -40}):
            accounts.reconciler.positions = shown
            assert "not_there" in await office.refused(ADOPT)
        accounts.reconciler.positions = {ONE.key: 20, TWO.key: -40}
        assert isinstance(await office.ask(ADOPT), TradeDone)
        assert "not_there" in await office.refused(ADOPT), "what a trade explains is not free"


# --- opening ----------------------------------------------------------------------------------------------------------


async def test_a_preview_opens_nothing_and_an_opening_what_it_showed(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        office = Office(made)
        made.engine.conduct = made.engine.conduct._replace(auto=False)
        made.tells()
        await made.live(1)
        terms = await office.ask(OpenTrade(**ONE_TO_TWO, usd=100.0, preview=True))
        assert isinstance(terms, Terms)
        assert (terms.pair, terms.trade) == (FORTH, None)
        assert 90 < terms.notional_usd <= 100
        assert made.states == []
        opened = await office.ask(OpenTrade(**ONE_TO_TWO, usd=100.0))
        assert isinstance(opened, Terms)
        assert opened.trade == "T000001"
        await made.live(1)
        assert made.states == [State.HEDGED]
        assert (opened.long_size, opened.short_size) == (
            ONE.size_grid.text(made.held()[0]),
            TWO.size_grid.text(made.held()[1]),
        )


async def test_limits_and_control_hold_for_what_is_opened_by_hand(office: Office) -> None:
    assert "unknown_pair" in await office.refused(OpenTrade(**ONE_TO_TWO, usd=100.0))
    office.world.tells()
    await office.world.live(0.2)
    await office.controlled(Pause(reason="lunch"))
    assert "paused: by the operator: lunch" in await office.refused(OpenTrade(**ONE_TO_TWO, usd=100.0))
    assert "nonsense" in await office.refused(OpenTrade(**ONE_TO_TWO, usd=float("nan")))
    assert "unknown_pair" in await office.refused(OpenTrade(asset="PEPE", long="one", short="one", usd=100.0))


async def test_a_failing_journal_opens_nothing(office: Office) -> None:
    office.world.engine.conduct = office.world.engine.conduct._replace(auto=False)
    office.world.tells()
    await office.world.live(1)
    office.world.journal.fault = "disk full"
    assert "disk full" in await office.refused(OpenTrade(**ONE_TO_TWO, usd=100.0))
    assert office.world.accounts == []


# --- status -----------------------------------------------------------------------------------------------------------


async def test_the_status_says_what_stands_in_the_way(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        accounts = Accounts()
        accounts.balances["one"] = BalanceSeen("one", 1_000.0, 900.0, None, None, 0)
        detail = "5 lots of one:1000PEPE, and no open trade of ours is in it"
        accounts.reconciler.findings = (
            Finding(kind=Kind.EXTERNAL_POSITION, venue="one", subject=ONE.key, detail=detail),
        )
        office = Office(made, accounts)
        name = await office.halted()
        await office.controlled(Stop(reason="storm"))
        status = await office.ask(AskStatus())
        assert isinstance(status, Status)
        assert (status.mode, status.control, status.control_reason) == ("dry_run", "stopped", "storm")
        assert {one.code for one in status.blocked} == {"stopped", "halted"}
        assert [(one.kind, one.detail) for one in status.findings] == [("external_position", detail)]
        assert [(one.venue, one.equity_usd, one.trouble) for one in status.venues] == [
            ("one", 1_000.0, None),
            ("two", None, "no answer"),
        ]
        assert [(one.trade, one.state) for one in status.trades] == [(name, "halted")]
        assert status.positions is None, "what no venue has shown yet is not nothing"
        accounts.reconciler.complete, accounts.reconciler.positions = True, {ONE.key: 5}
        status = await office.ask(AskStatus())
        assert isinstance(status, Status)
        assert status.positions == {ONE.key: 5}
        assert msgspec.json.decode(msgspec.json.encode(status), type=Answer) == status

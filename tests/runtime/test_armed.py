"""An engine that gets its next entry ready: what is armed, when it is sent, and that nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from simulated import SimClock
from trading_world import Numbers, World, world

from market_samples import BOOK_ONE, ONE, TWO, limits, market
from twinleg.core.messages import BookLost, Refusal
from twinleg.core.orders import Intent, OrderStatus, State
from twinleg.core.pairs import Limits, Pair
from twinleg.core.records import Armed, Control, IntentMade, JournalRecord, TradePlanned, Voided, decode
from twinleg.runtime.arming import ARMED_MS, READY_MS, REARM_MS, Arming
from twinleg.runtime.engine import Conduct, Engine
from twinleg.runtime.ports import JournalError

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ENOUGH = BOOK_ONE
NEAR = (BOOK_ONE[0], [(price + 4, lots) for price, lots in BOOK_ONE[1]])
"""A little edge is missing."""
FAR = (BOOK_ONE[0], [(price + 10, lots) for price, lots in BOOK_ONE[1]])
ALMOST = (BOOK_ONE[0], [(price + 3, lots) for price, lots in BOOK_ONE[1]])
"""Just enough: what was armed at NEAR fits."""


class Clear:
    """Real accounts against which nothing is said, but what a test puts here."""

    def __init__(self) -> None:
        self.found: tuple[Refusal, ...] = ()

    def blocked(self, now_ms: int) -> tuple[Refusal, ...]:
        return self.found

    def against(self, pair: Pair) -> tuple[Refusal, ...]:
        return ()


class Ahead:
    """What the gate was asked, in order, over a paper venue; nothing may be sent twice, or before it is durable."""

    def __init__(self, made: World) -> None:
        self.asked: list[tuple[str, str]] = []
        self._made, self._paper = made, made.paper
        self._submit, self._durable = made.paper.submit, dict[str, int]()
        self._append = made.journal.append
        made.journal.append = self._appended  # type: ignore[method-assign]
        for name in ("prepare", "drop", "submit"):
            setattr(made.paper, name, getattr(self, name))

    def _appended(self, at_ms: int, kind: str, trade_id: str, payload: bytes) -> int:
        sequence = self._append(at_ms, kind, trade_id, payload)
        record = decode(payload)
        intents = record.intents if isinstance(record, Armed) else ()
        for intent in (record.intent,) if isinstance(record, IntentMade) else intents:
            assert intent.client_id not in self._durable, "intended twice"
            self._durable[intent.client_id] = sequence
        return sequence

    def prepare(self, intent: Intent, now_ms: int) -> None:
        self.asked.append(("prepare", intent.client_id))

    def drop(self, client_id: str, now_ms: int) -> None:
        self.asked.append(("drop", client_id))

    def submit(self, intent: Intent, now_ms: int) -> None:
        assert ("submit", intent.client_id) not in self.asked, "sent twice"
        assert ("drop", intent.client_id) not in self.asked, "sent after it was dropped"
        assert self._durable[intent.client_id] <= self._made.journal.real._committed, "I1"
        self.asked.append(("submit", intent.client_id))
        self._submit(intent, now_ms)

    def count(self, what: str) -> int:
        return sum(one == what for one, _ in self.asked)


class Ready:
    """A world on real accounts, so to say."""

    def __init__(self, made: World, *, auto: bool = True) -> None:
        self.made, self.clear, self.gate = made, Clear(), Ahead(made)
        made.engine = Engine(made.board, made.desk, made.purse, made.clock, Conduct(Numbers(), 500.0, auto), self.clear)
        made.tells()
        made.lists(market(ONE, post_only=False), market(TWO, post_only=False))

    @property
    def arming(self) -> Arming:
        assert self.made.engine.arming is not None
        return self.made.engine.arming

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.arming.counts)

    async def sees(self, levels: Any, *, beats: int = 1) -> None:
        """The long market shows that, and time passes."""
        made = self.made
        made.levels[ONE.key] = levels
        for _ in range(beats):
            now_ms, now_ns = made.clock.wall_ms(), made.clock.mono_ns()
            if not made.board.rounds:
                made.shows()
            made.board.review(now_ms, now_ns)
            made.shows()
            self.arming.every_beat(now_ms, lambda: bool(made.engine.blocked))
            made.desk.on_time(now_ms)
            await made.clock.advance(0.05)
            if made.journal.fast.is_set():
                await made.quiet()

    def records(self) -> list[JournalRecord]:
        return [decode(row.payload) for row in self.made.journal.records()]


@asynccontextmanager
async def ready(folder: Path, clock: SimClock | None = None, held_to: Limits | None = None) -> AsyncIterator[Ready]:
    async with world(folder, clock, limits=held_to or limits(), beats=False) as made:
        yield Ready(made)


async def test_a_pair_in_reach_is_armed_and_sent_as_it_is(tmp_path: Path) -> None:
    async with ready(tmp_path) as one:
        await one.sees(NEAR)
        assert one.counts == {"armed": 1}
        assert (one.made.states, one.made.desk.executed) == ([], 0), "no trade, and nothing at risk"
        exposure = one.made.purse.exposure(one.made.desk.ledger, one.made.clock.wall_ms())
        assert (exposure.gross_usd, exposure.open_assets) == (0.0, frozenset())
        armed = one.records()[-1]
        assert isinstance(armed, Armed)
        one.made.levels[ONE.key] = ALMOST
        one.made.shows()
        assert one.gate.count("submit") == 2, "in the very call that brought the price"
        assert one.made.states == [State.ENTERING]
        assert one.counts == {"armed": 1, "fired": 1}
        await one.sees(ALMOST, beats=20)
        (account,) = one.made.accounts
        assert account.trade.state is State.HEDGED
        assert [order.intent.limit_ticks for order in account.trade.orders] == [i.limit_ticks for i in armed.intents]
        assert account.terms["notional_usd"] == pytest.approx(98, rel=0.03)
        kinds = [type(record) for record in one.records()]
        assert kinds[:2] == [Armed, TradePlanned]
        assert IntentMade not in kinds
        assert one.gate.count("prepare") == 2


async def test_nothing_is_armed_on_paper_or_by_hand_alone(tmp_path: Path) -> None:
    async with world(tmp_path, beats=False) as made:
        assert made.engine.arming is None
        assert Ready(made, auto=False).made.engine.arming is None


async def test_what_the_guard_refuses_for_more_than_the_edge_is_not_armed(tmp_path: Path) -> None:
    async with ready(tmp_path) as one:
        one.clear.found = (Refusal("lease", "lost"),)
        await one.sees(NEAR, beats=3)
        assert one.counts == {}
        await one.sees(FAR)
        one.clear.found = ()
        one.made.engine.on_market([BookLost(TWO.key, "test", one.made.clock.wall_ms())])
        one.made.silent.add(TWO.key)
        await one.sees(NEAR, beats=50)
        assert one.counts == {}


async def test_before_it_is_durable_nothing_armed_is_sent(tmp_path: Path) -> None:
    async with ready(tmp_path) as one:
        one.made.journal.fast.clear()
        await one.sees(NEAR)
        await one.sees(ENOUGH)
        assert one.gate.count("submit") == 0
        assert one.counts == {"armed": 1, "wrong: not durable yet": 1}
        one.made.journal.fast.set()
        await one.sees(ENOUGH, beats=20)
        assert one.made.states == [State.HEDGED], "the ordinary way"
        assert [trade.trade.plan.trade_id for trade in one.made.accounts] == ["T000002"]
        assert one.gate.count("submit") == 2


async def test_a_price_that_ran_through_takes_the_ordinary_way(tmp_path: Path) -> None:
    """What was armed at another price is not sent beyond what is approved now."""
    async with ready(tmp_path) as one:
        await one.sees(NEAR)
        through = tuple([(price - 12, lots) for price, lots in side] for side in BOOK_ONE)
        await one.sees(through)
        assert one.counts["wrong: beyond the bounds"] == 1
        await one.sees(through, beats=20)
        assert one.made.states == [State.HEDGED]
        names = {name for what, name in one.gate.asked if what == "submit"}
        assert names == {"T000002-long-0", "T000002-short-0"}
        voided = [record for record in one.records() if isinstance(record, Voided)]
        assert [(record.trade_id, record.reason) for record in voided] == [("T000001", "wrong: beyond the bounds")]


async def test_books_that_became_unfit_send_nothing(tmp_path: Path) -> None:
    async with ready(tmp_path) as one:
        await one.sees(NEAR)
        one.arming._unfit = lambda _plan: "book_lost"
        await one.sees(ENOUGH)
        assert one.counts["wrong: unfit"] == 1


async def test_out_of_reach_it_is_let_go_and_armed_again_in_time(tmp_path: Path) -> None:
    async with ready(tmp_path) as one:
        await one.sees(NEAR)
        await one.sees(FAR)
        assert one.counts == {"armed": 1, "out of reach": 1}
        assert one.gate.count("drop") == 2
        await one.sees(NEAR, beats=REARM_MS // 50 - 4)
        assert one.counts["armed"] == 1, "not before its time"
        await one.sees(NEAR, beats=4)
        assert one.counts["armed"] == 2
        assert [r.trade_id for r in one.records() if isinstance(r, Armed)] == ["T000001", "T000002"]


async def test_an_old_set_is_made_anew_and_a_lost_signature_too(tmp_path: Path) -> None:
    async with ready(tmp_path) as one:
        await one.sees(NEAR, beats=READY_MS // 50 + 2)
        assert one.gate.count("prepare") == 4, "the gate signs what it has given up, and leaves the rest as it is"
        await one.sees(NEAR, beats=ARMED_MS // 50)
        assert (one.counts["armed"], one.counts["too old"]) == (2, 1)


@pytest.mark.parametrize("how", ["stop", "pause", "hand"])
async def test_it_is_let_go_when_nothing_may_be_opened(tmp_path: Path, how: str) -> None:
    async with ready(tmp_path) as one:
        await one.sees(NEAR)
        if how == "stop":
            await one.made.engine.stop("test", 0.0)
        elif how == "pause":
            await one.made.desk.control(Control.PAUSED, "test")
        else:
            leave = one.made.engine.propose(next(iter(one.made.board.pairs)), 50.0)
            assert not isinstance(leave, tuple)
            one.made.engine.open(leave, one.made.board.pairs[leave.opportunity.pair])
        await one.sees(NEAR)
        assert sum(one.counts.values()) == 2
        assert one.gate.count("drop") == 2
        assert one.made.desk.ledger.armed == {}
        await one.sees(ENOUGH)
        assert one.counts.get("fired") is None


async def test_what_is_sent_as_the_journal_fails_is_written_when_it_can_be(tmp_path: Path) -> None:
    """Its intents are on disk."""
    async with ready(tmp_path) as one:
        await one.sees(NEAR)
        one.made.levels[ONE.key] = ALMOST
        one.made.shows()
        assert one.gate.count("submit") == 2
        one.made.journal.fault = "the disk is full"
        await one.sees(ALMOST, beats=10)
        assert one.made.engine.blocked[0].code == "journal"
        assert [type(record) for record in one.records()] == [Armed]
        one.made.journal.fault = None
        while one.made.desk._inbox or one.made.desk.trouble is not None:
            await one.made.clock.advance(0.1)
            await asyncio.sleep(0.001)
        await one.sees(ALMOST, beats=20)
        assert one.made.states == [State.HEDGED]
        assert [type(record) for record in one.records()][:2] == [Armed, TradePlanned]


async def test_while_the_journal_fails_nothing_armed_is_sent(tmp_path: Path) -> None:
    async with ready(tmp_path) as one:
        await one.sees(NEAR)
        one.made.journal.fault = "the disk is full"
        one.made.desk._books._in_trouble(JournalError("the disk is full"))
        await one.sees(ENOUGH, beats=3)
        assert one.gate.count("submit") == 0
        assert one.counts == {"armed": 1, "blocked": 1}


async def test_a_crash_while_armed_waits_for_proof_and_sends_nothing(tmp_path: Path) -> None:
    clock = SimClock()
    async with ready(tmp_path, clock) as one:
        await one.sees(NEAR)
    async with ready(tmp_path, clock, limits(max_concurrent_trades=0)) as one:
        assert one.made.states == [State.ENTERING]
        exposure = one.made.purse.exposure(one.made.desk.ledger, clock.wall_ms())
        assert exposure.gross_usd > 100, "perhaps it was sent: it counts"
        await one.sees(ENOUGH, beats=40)
        assert one.made.states in ([State.ENTERING], [State.CLOSED])
        assert one.gate.count("submit") == 0
        assert one.made.desk.next_trade_id() == "T000002"


async def test_a_crash_right_after_the_send_is_an_entry(tmp_path: Path) -> None:
    clock = SimClock()
    async with ready(tmp_path, clock) as one:
        await one.sees(NEAR)
        one.made.levels[ONE.key] = ALMOST
        one.made.shows()
        assert one.gate.count("submit") == 2
    async with ready(tmp_path, clock, limits(max_concurrent_trades=0)) as one:
        await one.sees(ENOUGH, beats=80)
        assert one.made.states == [State.CLOSED], "paper orders that never arrived"
        assert [order.status for order in one.made.accounts[0].trade.orders] == [OrderStatus.DONE] * 2
        assert one.gate.count("submit") == 0

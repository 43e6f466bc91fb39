"""The reconciler: every venue is asked, silence blocks, and what it finds reaches trades, operators and the gate."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tiny_venue import ETH, TinyWorld

from trade_samples import LONG_PLAN, Story, plan
from twinleg.core.ledger import Ledger
from twinleg.core.orders import Filled, Leg, OrderDone, OrderUnknown, PositionRead
from twinleg.core.reconcile import Kind
from twinleg.core.records import TradePlanned
from twinleg.core.trade import Trade
from twinleg.core.trading import IN_DOUBT, AccountSnapshot, Incident
from twinleg.runtime.reconcile import HISTORY_MS, OVERLAP_MS, Reconciler, Sight, Terms

pytestmark = pytest.mark.usefixtures("leaves_nothing")

TERMS = Terms(grace_ms=5_000, every_ms=10_000, stale_ms=30_000, net_delta_max_usd=100.0)
PLAN = plan(trade_id="T000001", long=msgspec.structs.replace(LONG_PLAN, venue="tiny", market=ETH.key))
LONG, SHORT = "T000001-long-0", "T000001-short-0"


class Office:
    """A gate at the tiny venue, a ledger, and the reconciler between them."""

    def __init__(self, world: TinyWorld, story: Story | None = None, *, terms: Terms = TERMS) -> None:
        self.world = world
        self.ledger = Ledger()
        if story is not None:
            self.ledger.apply(TradePlanned(plan=story.trade.plan, terms={}, at_ms=world.now_ms))
            for record in story.records:
                self.ledger.apply(record)
        self.told: list[PositionRead] = []
        self.prices: dict[str, float] = {ETH.key: 2_000.0}
        sight = Sight({ETH.key: ETH}, self.prices.get)
        self.reconciler = Reconciler(self.ledger, {"tiny": world.gate}, world.clock, terms, sight, self.told.append)

    async def rounds(self, count: int = 1, apart_s: float = 10.0) -> None:
        for _ in range(count):
            task = asyncio.create_task(self.reconciler.compare())
            await self.world.live()
            await task
            await self.world.live(apart_s - 0.1, stream=False)

    @property
    def codes(self) -> list[str]:
        return [one.code for one in self.reconciler.blocked(self.world.now_ms)]

    @property
    def kinds(self) -> list[Kind]:
        return [one.kind for one in self.reconciler.findings]


def entered(world: TinyWorld) -> Story:
    """A trade whose orders are out, with nothing heard of them."""
    story = Story(Trade(PLAN))
    return story.later(world.now_ms).start()


def hedged(world: TinyWorld) -> Story:
    return entered(world).takes(LONG, 12).takes(SHORT, 8)


def trades(world: TinyWorld, lots: int, client: str | None = None, *, rests: bool = False) -> None:
    """Something happens at the venue that this process did not do."""
    order = {"kind": "order", "client": client, "key": "other", "number": world.exchange.next.get("other", 0)}
    side = "buy" if lots > 0 else "sell"
    fields = {"side": side, "size": abs(lots), "limit": 1, "rests": rests, "void_ms": world.now_ms}
    status, _ = world.exchange.take(order | fields)
    assert status == 200
    world.exchange.told.clear()


# -- fail closed -------------------------------------------------------------------------------------------------------


async def test_nothing_is_opened_before_every_venue_was_compared() -> None:
    async with TinyWorld() as world:
        office = Office(world)
        assert office.codes == ["reconcile_pending"]
        await office.rounds()
        assert office.codes == []


@pytest.mark.parametrize("kind", ["open", "positions", "fills"])
@pytest.mark.parametrize("fault", ["deaf", "garbled"])
async def test_a_listing_that_fails_is_not_a_comparison(kind: str, fault: str) -> None:
    async with TinyWorld() as world:
        office = Office(world)
        getattr(world.wire, fault).add(kind)
        await office.rounds()
        assert office.codes == ["reconcile_pending"]
        assert office.kinds == [Kind.UNREAD]
        await office.rounds()
        assert office.codes == ["unread", "reconcile_pending"]
        getattr(world.wire, fault).clear()
        await office.rounds()
        assert office.codes == []


async def test_a_comparison_grows_stale() -> None:
    async with TinyWorld() as world:
        office = Office(world)
        await office.rounds(apart_s=29.9)
        assert office.codes == []
        await world.live(0.3)
        (refusal,) = office.reconciler.blocked(world.now_ms)
        assert (refusal.code, refusal.limit) == ("reconcile_stale", 30_000.0)
        assert refusal.value is not None
        assert refusal.value > 30_000


async def test_a_venue_that_fails_later_blocks_and_what_was_found_stays() -> None:
    async with TinyWorld() as world:
        office = Office(world, hedged(world))
        await office.rounds(3)
        assert office.codes == ["position_differs"]
        world.wire.deaf.add("positions")
        await office.rounds(2)
        assert office.codes == ["position_differs", "unread"]
        assert len(office.told) == 1, "a failed listing is told to nobody"


async def test_a_listing_in_doubt_is_no_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TinyWorld() as world:
        office = Office(world)
        parse = world.trading._parse

        def doubtful(kind: str, *rest: Any) -> list[Any]:
            doubt = Incident("tiny", IN_DOUBT, "a row of an unknown market", 0)
            return [*parse(kind, *rest), doubt] if kind == "positions" else parse(kind, *rest)

        monkeypatch.setattr(world.trading, "_parse", doubtful)
        await office.rounds()
        assert office.codes == ["reconcile_pending"]
        assert "unknown market" in office.reconciler.findings[0].detail


async def test_an_answer_without_its_listing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TinyWorld() as world:
        office = Office(world)
        monkeypatch.setattr(world.exchange, "lists", lambda kind, client: [])
        await office.rounds()
        assert office.codes == ["reconcile_pending"]
        assert "the answer holds no listing" in office.reconciler.findings[0].detail


async def test_fills_that_do_not_reach_back_far_enough_are_no_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TinyWorld() as world:
        office = Office(world)
        short = AccountSnapshot("tiny", "fills", world.now_ms - HISTORY_MS + 1, (), world.now_ms)
        lists = world.exchange.lists
        monkeypatch.setattr(world.exchange, "lists", lambda kind, client: [short] if kind == "fills" else lists(kind))
        await office.rounds()
        assert office.codes == ["reconcile_pending"]


# -- what agrees and what does not -------------------------------------------------------------------------------------


async def test_a_trade_that_the_venue_confirms_stands_in_nobodys_way() -> None:
    async with TinyWorld() as world:
        office = Office(world, hedged(world))
        world.exchange.next["k0"] = 0
        trades(world, 12, LONG)
        world.exchange.fills[0] = (*world.exchange.fills[0][:1], "f0", 12)
        await office.rounds(3)
        assert office.kinds == [Kind.EXPLAINED]
        assert office.codes == []
        assert office.told == []


async def test_a_lasting_difference_is_told_to_the_trade_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with TinyWorld() as world:
        office = Office(world, hedged(world))
        await office.rounds(2)
        assert office.told == []
        await office.rounds(3)
        assert [(one.trade_id, one.leg, one.lots) for one in office.told] == [("T000001", Leg.LONG, 0)] * 3
        assert office.codes == ["position_differs"]
        assert sum(record.levelname == "CRITICAL" for record in caplog.records) == 1


async def test_external_positions_close_their_market_and_count_in_delta() -> None:
    async with TinyWorld() as world:
        office = Office(world)
        trades(world, 60)
        trades(world, 5, rests=True)
        await office.rounds()
        assert sorted(one.value for one in office.kinds) == ["external_order", "external_position"]
        assert office.codes == []
        assert list(office.reconciler.refused_markets()) == [ETH.key]
        assert office.reconciler.positions == {ETH.key: 60}
        refusal = office.reconciler.refused_assets()["ETH"]
        assert (refusal.code, refusal.value, refusal.limit) == ("net_delta", pytest.approx(120.0), 100.0)
        office.prices.clear()
        assert office.reconciler.refused_assets()["ETH"].value is None
        trades(world, -60)
        world.wire.deaf.add("positions")
        await office.rounds()
        assert office.reconciler.positions == {ETH.key: 60}, "an error is never read as flat"
        world.wire.deaf.clear()
        office.reconciler.positions["two:ETH-USD"] = 3
        await office.rounds()
        assert office.reconciler.positions == {"two:ETH-USD": 3}, "one venue says nothing about another's"


async def test_a_delta_within_its_limit_is_no_obstacle() -> None:
    async with TinyWorld() as world:
        office = Office(world)
        trades(world, -50)
        await office.rounds()
        assert office.reconciler.refused_assets() == {}


async def test_another_process_with_our_ids_stops_entries() -> None:
    async with TinyWorld() as world:
        office = Office(world)
        trades(world, 3, "T000044-long-0")
        await office.rounds()
        assert office.codes == ["foreign_order"]


async def test_another_process_with_our_key_stops_entries() -> None:
    async with TinyWorld() as world:
        office = Office(world)
        await office.rounds()
        await world.submit(fate="refused")
        await world.submit(world.intent(2), fate="unsent")
        world.lanes.doubt()
        world.exchange.next["k0"] += 2
        await world.submit(world.intent(3))
        (refusal,) = office.reconciler.blocked(world.now_ms)
        assert (refusal.code, refusal.value) == ("foreign_key", 2.0)


# -- open fates --------------------------------------------------------------------------------------------------------


async def test_orders_of_the_journal_are_known_to_the_gate() -> None:
    async with TinyWorld() as world:
        office = Office(world, entered(world))
        assert world.gate.knows(LONG)
        assert not world.gate.knows(SHORT), "it is another venue's"
        assert not office.told


async def test_a_fill_that_was_missed_reaches_the_desk_by_the_listing() -> None:
    async with TinyWorld() as world:
        office = Office(world, entered(world))
        trades(world, 12, LONG)
        await office.rounds()
        assert [(one.client_id, one.size_lots) for one in world.news if isinstance(one, Filled)] == [(LONG, 12)]
        assert Kind.MISSING_FILL in office.kinds


async def test_an_open_fate_is_read_back_until_it_is_known() -> None:
    async with TinyWorld() as world:
        story = entered(world)
        story.tell(OrderUnknown(LONG, "timeout", world.now_ms))
        office = Office(world, story)
        await office.rounds(3)
        assert "fate_open" in office.codes
        assert not [one for one in world.news if isinstance(one, OrderDone)]
        await office.rounds()
        done = [one for one in world.news if isinstance(one, OrderDone)]
        assert {(one.client_id, one.reason) for one in done} == {(LONG, "never arrived")}


async def test_an_intent_that_never_reached_the_gate_is_not_asked_for() -> None:
    async with TinyWorld() as world:
        office = Office(world)
        story = entered(world)
        office.ledger.apply(TradePlanned(plan=PLAN, terms={}, at_ms=world.now_ms))
        for record in story.records:
            office.ledger.apply(record)
        await office.rounds(3)
        assert "fate_open" in office.codes
        assert not [request for request in world.wire.requests if request.url.endswith(LONG)]


async def test_an_order_that_is_over_for_us_and_rests_at_the_venue_is_taken_back() -> None:
    async with TinyWorld() as world:
        story = entered(world).ends(LONG, 0, "never arrived").ends(SHORT, 0, "never arrived")
        office = Office(world, story)
        trades(world, 12, LONG, rests=True)
        await office.rounds()
        assert Kind.CONTRADICTED in office.kinds
        assert [order.resting for order in world.exchange.orders.values()] == [True]
        await office.rounds(2)
        assert [order.resting for order in world.exchange.orders.values()] == [False]
        await office.rounds()
        assert Kind.CONTRADICTED not in office.kinds


async def test_fills_are_asked_for_from_before_the_last_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TinyWorld() as world:
        office = Office(world)
        asked: list[int] = []
        fills = world.trading.fills

        def noting(since_ms: int, now_ms: int) -> Any:
            asked.append(now_ms - since_ms)
            return fills(since_ms, now_ms)

        monkeypatch.setattr(world.trading, "fills", noting)
        await office.rounds()
        await office.rounds()
        assert asked == [HISTORY_MS, 10_000 + OVERLAP_MS]
        world.wire.deaf.add("fills")
        await office.rounds()
        await office.rounds()
        assert asked[-1] == 20_000 + OVERLAP_MS, "a listing that failed is asked for again"


async def test_fills_are_asked_for_from_the_plan_of_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TinyWorld() as world:
        story = entered(world)
        await world.live(2 * HISTORY_MS / 1_000)
        office = Office(world)
        office.ledger.apply(TradePlanned(plan=PLAN, terms={}, at_ms=story.at_ms))
        for record in story.records:
            office.ledger.apply(record)
        asked: list[int] = []
        fills = world.trading.fills
        monkeypatch.setattr(world.trading, "fills", lambda since_ms, now_ms: asked.append(since_ms) or fills(0, now_ms))
        await office.rounds()
        assert asked == [story.at_ms]


async def test_it_asks_for_ever() -> None:
    async with TinyWorld() as world:
        office = Office(world)
        task = asyncio.create_task(office.reconciler.run())
        await world.live(35.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert sum("positions" in request.url for request in world.wire.requests) == 4
        assert not any(request.reduces_risk for request in world.wire.requests)

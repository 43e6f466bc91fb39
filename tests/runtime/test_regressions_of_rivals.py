"""How two-leg trading is known to lose money, each way as a test: the real parts, at venues that misbehave."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from two_venues import LISTS, REST_S, VENUES, Process, Site, running, venues

from market_samples import BOOK_ONE, BOOK_TWO, ONE, TWO
from twinleg.core.orders import ExitWish, Leg, OrderStatus, Purpose, State
from twinleg.core.records import Control
from twinleg.core.trade import exposed

pytestmark = pytest.mark.usefixtures("leaves_nothing")

LONG_ENOUGH_S = 150.0
"""For every doubt to be settled and every attempt to be spent."""
FAILING = ["nothing", "refused", "dropped", "down"]


def fails(site: Site, venue: str, how: str) -> None:
    """The next order there comes to nothing."""
    if how == "nothing":
        site.exchanges[venue].share = 0.0
    else:
        site.wires[venue].fates.append(how)


def runs_away(made: Process, leg: Leg) -> None:
    """The leg's price leaves what was planned: to complete it is no longer worth it."""
    if leg is Leg.LONG:
        made.levels[ONE.key] = (BOOK_ONE[0], [(10_900, 200_000)])
    else:
        made.levels[TWO.key] = ([(19_000, 400_000)], BOOK_TWO[1])


async def goes_dark(made: Process, venue: str) -> None:
    """A trade is opened, and nothing is to be heard from that venue once it has the order."""
    made.site.mute.add(venue)
    made.site.wires[venue].deaf |= LISTS
    made.opens()
    await made.quiet()
    made.site.wires[venue].deaf.add("next")


async def rests(made: Process, seconds: float = LONG_ENOUGH_S) -> None:
    """Until no trade moves any more."""
    for _ in range(round(seconds)):
        await made.lives(1)
        if set(made.states) <= {State.HEDGED, State.CLOSED, State.HALTED} and made.agrees:
            return


@pytest.mark.parametrize("how", FAILING)
@pytest.mark.parametrize("failing", list(Leg))
async def test_hedge_fails_the_exposed_venue_is_unwound(tmp_path: Path, failing: Leg, how: str) -> None:
    """A rival that rolls back looks at the venue that failed, finds it flat and reports success."""
    async with venues() as site, running(tmp_path, site) as made:
        fails(site, VENUES[failing], how)
        made.opens()
        runs_away(made, failing)
        await rests(made)
        assert made.states == [State.CLOSED]
        assert site.held == {"one": 0, "two": 0}
        unwound = made.intents(failing.other)
        assert [one.purpose for one in unwound[:2]] == [Purpose.ENTER, Purpose.REPAIR]
        assert all(one.reduce_only and one.venue == VENUES[failing.other] for one in unwound[1:])
        assert not made.intents(failing, adding=False), "nothing is to be unwound where nothing filled"


@pytest.mark.parametrize("fault", ["deaf", "garbled"])
async def test_position_query_fails_nothing_is_closed_in_the_book(tmp_path: Path, fault: str) -> None:
    """A rival reads a failed request as an empty account, and writes its real positions off at no profit."""
    async with venues() as site, running(tmp_path, site) as made:
        await made.opened()
        held, sent = site.held, {venue: len(site.sent(venue)) for venue in site.wires}
        for wire in site.wires.values():
            getattr(wire, fault).update(LISTS)
        await made.lives(90)
        assert made.states == [State.HEDGED]
        assert made.agrees
        assert site.held == held
        assert {venue: len(site.sent(venue)) for venue in site.wires} == sent
        codes = {one.code for one in made.reconciler.blocked(made.clock.wall_ms())}
        assert codes == {"unread", "reconcile_stale"}, "what is not known stops entries, and nothing else"
        for wire in site.wires.values():
            getattr(wire, fault).clear()
        await made.lives(30)
        assert not made.reconciler.blocked(made.clock.wall_ms())
        assert made.states == [State.HEDGED]


@pytest.mark.parametrize("fate", ["lost", "broken", "dropped", "down", "late"])
@pytest.mark.parametrize("slow", list(Leg))
async def test_timeout_is_never_filled(tmp_path: Path, slow: Leg, fate: str) -> None:
    """A rival goes on as if filled when the time is over, or takes the whole account's position for the fill."""
    async with venues() as site, running(tmp_path, site) as made:
        venue = VENUES[slow]
        site.wires[venue].fates.append(fate)
        await goes_dark(made, venue)
        await made.lives(20)
        (order, *_) = made.trade.of_leg(slow)
        assert order.status is OrderStatus.UNKNOWN
        assert order.filled_lots == 0
        assert State.HEDGED not in made.states
        site.wires[venue].deaf.clear()
        site.mute.clear()
        await rests(made)
        assert made.agrees
        assert made.states in ([State.HEDGED], [State.CLOSED])


async def test_fill_races_cancel_hedged(tmp_path: Path) -> None:
    """A rival forgets its resting order the moment it asks for the cancel: a fill on the way is never hedged."""
    async with venues() as site, running(tmp_path, site) as made:
        site.wires["one"].fates.extend(["ok", "slow"])
        made.opens(first=Leg.LONG)
        await made.lives(REST_S + 0.2)
        assert [tx["kind"] for tx in site.wires["one"].sent] == ["order", "cancel"]
        resting = site.exchanges["one"].orders["o0"]
        assert resting.resting, "the cancel is under way"
        site.exchanges["one"].fill(resting, resting.size // 2)
        await rests(made)
        assert made.states == [State.HEDGED]
        assert site.held["one"] == resting.size // 2 > 0
        assert exposed(made.trade) is None
        (hedge,) = made.intents(Leg.SHORT)
        assert hedge.purpose is Purpose.HEDGE


async def test_partial_fills_hedged_as_they_come(tmp_path: Path) -> None:
    """A rival waits until its maker order is complete before it hedges any of it, or hedges the size it planned."""
    async with venues() as site, running(tmp_path, site) as made:
        made.opens(first=Leg.LONG)
        await made.lives(0.2)
        resting, lot = site.exchanges["one"].orders["o0"], made.trade.plan.long.lots_per_common_lot
        for part in (3, 5, 1):
            site.exchanges["one"].fill(resting, part * lot)
            await made.lives(0.2)
            assert made.states == [State.ENTERING]
            assert resting.resting
            assert site.held["two"] == -2 * site.held["one"], "before the next part comes"
        assert [one.size_lots for one in made.intents(Leg.SHORT)] == [6 * lot, 10 * lot, 2 * lot]
        await rests(made)
        assert made.states == [State.HEDGED]
        assert site.held == {"one": 9 * lot, "two": -18 * lot}


@pytest.mark.parametrize("fate", ["lost", "dropped", "late", "broken"])
@pytest.mark.parametrize("lost", list(Leg))
async def test_unknown_outcome_is_never_sent_again_blind(tmp_path: Path, lost: Leg, fate: str) -> None:
    """A rival sends a failed order again without looking: where the first had arrived after all, the leg is doubled."""
    async with venues() as site, running(tmp_path, site) as made:
        venue = VENUES[lost]
        site.wires[venue].fates.append(fate)
        await goes_dark(made, venue)
        planned = made.trade.plan.lots(lost)
        for _ in range(60):
            await made.lives(1)
            assert len(site.sent(venue)) == 1, "nothing more there while the first one's fate is open"
            assert abs(site.held[venue]) <= planned
        site.wires[venue].deaf.clear()
        await rests(made)
        assert made.agrees
        assert abs(site.held[venue]) <= planned
        assert not site.sent_twice


@pytest.mark.parametrize("fates", [("slow", "slow"), ("ok", "slow"), ("slow", "lost")])
@pytest.mark.parametrize("stops", ["engine", "operator"])
async def test_stop_during_entry_no_double_orders(tmp_path: Path, stops: str, fates: tuple[str, str]) -> None:
    """A rival that is stopped while it enters leaves one leg behind, and the next start enters once more on top."""
    async with venues() as site:
        async with running(tmp_path, site) as made:
            for venue, fate in zip(site.wires, fates, strict=True):
                site.wires[venue].fates.append(fate)
            made.opens()
            await made.lives(0.1)
            assert made.states == [State.ENTERING]
            asks = made.engine.stop("asked to stop", 30.0) if stops == "engine" else stopped(made)
            stopping = asyncio.create_task(asks)
            await made.lives(40)
            await stopping
            assert made.states in ([State.HEDGED], [State.CLOSED])
            assert made.agrees
        async with running(tmp_path, site) as made:
            await made.lives(40)
            assert len(made.trades) == 1
            assert made.states in ([State.HEDGED], [State.CLOSED])
            assert made.agrees
            adding = [one for leg in Leg for one in made.intents(leg, adding=True) if one.purpose is Purpose.ENTER]
            assert len(adding) == 2


async def stopped(made: Process) -> None:
    assert await made.desk.control(Control.STOPPED, "asked to stop") is None


@pytest.mark.parametrize("taken", list(Leg))
@pytest.mark.parametrize("share", [1.0, 0.5])
async def test_one_leg_liquidated_partner_closed(tmp_path: Path, taken: Leg, share: float) -> None:
    """A rival runs its legs apart: when the venue takes one, the other lives on as a bet that nobody made."""
    async with venues() as site, running(tmp_path, site) as made:
        await made.opened()
        held = abs(site.held[VENUES[taken]])
        site.exchanges[VENUES[taken]].take_away(int(held * share))
        await rests(made, 30)
        left = held - int(held * share)
        assert abs(site.held[VENUES[taken]]) == left
        assert site.held["two"] == -2 * site.held["one"]
        assert made.states == [State.HEDGED if left else State.CLOSED]
        reducing = made.intents(taken.other, adding=False)
        assert reducing
        assert all(one.reduce_only for one in reducing)
        assert not made.intents(taken, adding=False)


@pytest.mark.parametrize(
    "fates", [("ok", "lost"), ("ok", "dropped"), ("dropped", "ok"), ("ok", "late"), ("ok", "slow")]
)
@pytest.mark.parametrize("beats", [0, 1, 4])
async def test_restart_with_one_leg_open_finished_or_unwound(
    tmp_path: Path, fates: tuple[str, str], beats: int
) -> None:
    """A rival keeps what it is doing in memory alone: after a restart the open leg is nobody's."""
    async with venues() as site:
        async with running(tmp_path, site) as made:
            site.mute.update(site.wires)
            for venue, fate in zip(site.wires, fates, strict=True):
                site.wires[venue].fates.append(fate)
            made.opens()
            await made.quiet()
            if beats:
                await made.lives(0.05 * beats)
            assert made.states != [State.HEDGED]
        site.mute.clear()
        async with running(tmp_path, site) as made:
            await rests(made)
            assert made.states in ([State.HEDGED], [State.CLOSED])
            assert made.agrees
            assert site.held["two"] == -2 * site.held["one"]


async def test_ids_never_repeat_across_restarts(tmp_path: Path) -> None:
    """A rival names orders after the clock, shortened: after a restart two of its orders have one name."""
    async with venues() as site:
        trades: list[str] = []
        for fates in (("ok", "ok"), ("ok", "lost"), ("dropped", "ok"), ("ok", "ok")):
            async with running(tmp_path, site) as made:
                await rests(made)
                for trade_id in [one.plan.trade_id for one in made.trades if one.state is State.HEDGED]:
                    made.desk.wants_exit(trade_id, ExitWish("test"), made.clock.wall_ms())
                    await rests(made)
                for venue, fate in zip(site.wires, fates, strict=True):
                    site.wires[venue].fates.append(fate)
                trades.append(made.opens())
                await made.lives(0.1)
                numbers = [int(one.plan.trade_id[1:]) for one in made.trades]
                assert numbers == sorted(set(numbers))
        assert len(set(trades)) == len(trades)
        names = [tx["client"] for venue in site.wires for tx in site.sent(venue)]
        assert len(names) == len(set(names)) >= 2 * len(trades)

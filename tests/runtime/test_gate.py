"""The gate: what leaves leaves once, what may have left is unknown, and only the venue's own word is a fact."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_venue import ETH, LIFE_MS, LIMITS, VENUE, TinyWorld, Wire

from twinleg.core.orders import (
    Filled,
    OrderAccepted,
    OrderDone,
    OrderRejected,
    OrderUnknown,
    Purpose,
    Side,
    TimeInForce,
)
from twinleg.core.trading import (
    IN_DOUBT,
    KEY_REFUSED,
    AccountSnapshot,
    Incident,
    LeverageSeen,
    PositionSeen,
    SendVerdict,
)
from twinleg.runtime import gate as gate_room
from twinleg.runtime import known as known_room
from twinleg.runtime.account_reads import PAGES_MAX, Unread
from twinleg.runtime.known import LAG_MS
from twinleg.runtime.lanes import LaneLostError

pytestmark = pytest.mark.usefixtures("leaves_nothing")

NEVER_S = (LIFE_MS + LAG_MS) / 1_000 + 2.0
"""After so long, bytes that were not found can not arrive any more."""


def kinds(news: list[Any]) -> list[str]:
    return [type(one).__name__ for one in news]


def reasons(news: list[Any]) -> str:
    return " | ".join(getattr(one, "reason", "") for one in news)


# -- one submission, every verdict -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequenced", [True, False])
async def test_accepted_and_filled(sequenced: bool) -> None:
    async with TinyWorld(sequenced=sequenced) as world:
        news = await world.submit()
        assert sorted(kinds(news)) == ["Filled", "OrderAccepted", "OrderDone"]
        assert [one.filled_lots for one in news if isinstance(one, OrderDone)] == [10]
        assert world.fills_told() == {"f0": ("T000001-long-0", 10)}


async def test_rejected_with_the_venues_reason() -> None:
    async with TinyWorld() as world:
        news = await world.submit(fate="refused")
        assert kinds(news) == ["OrderRejected"]
        assert reasons(news) == "margin"
        await world.submit(world.intent(2))
        assert [tx["number"] for tx in world.wire.sent] == [0, 0]


@pytest.mark.parametrize("fate", ["lost", "dropped", "late", "broken", "down"])
async def test_no_clear_answer_is_unknown_and_no_number_is_a_guess(fate: str) -> None:
    async with TinyWorld() as world:
        news = await world.submit(fate=fate, stream=False)
        assert kinds(news)[0] == "OrderUnknown"
        await world.submit(world.intent(2))
        no_number_twice_without_a_doubt(world.wire)
        assert [order.client for order in world.exchange.orders.values()][-1] == "T000002-long-0"


async def test_what_never_left_is_rejected_and_its_number_still_free() -> None:
    async with TinyWorld() as world:
        news = await world.submit(fate="unsent")
        assert kinds(news) == ["OrderRejected"]
        assert reasons(news) == "never left: connect failed"
        await world.submit(world.intent(2))
        assert [step for step, *_ in world.wire.history] == ["told", "sent"]
        assert world.wire.sent[0]["number"] == 0


async def test_too_many_requests_holds_the_budget() -> None:
    async with TinyWorld() as world:
        assert kinds(await world.submit(fate="busy")) == ["OrderRejected"]
        news = await world.submit(world.intent(2, deadline_ms=world.now_ms + 500))
        assert "request budget" in reasons(news)
        await world.live(6.0)  # until what is not kept for reducing has come back
        assert "OrderAccepted" in kinds(await world.submit(world.intent(3)))


async def test_a_fill_may_be_heard_before_the_answer() -> None:
    async with TinyWorld() as world:
        world.wire.fates.append("slow")
        world.gate.submit(world.intent(), world.now_ms)
        await world.live(0.3)
        world.exchange.take(world.wire.sent[0])
        assert kinds(await world.live(0.1)) == ["Filled", "OrderDone"]


async def test_an_order_is_submitted_once() -> None:
    async with TinyWorld() as world:
        await world.submit()
        with pytest.raises(AssertionError, match="sent twice"):
            world.gate.submit(world.intent(), world.now_ms)
        world.gate.expect(world.intent(2))
        with pytest.raises(AssertionError, match="sent twice"):
            world.gate.submit(world.intent(2), world.now_ms)


# -- what does not leave ---------------------------------------------------------------------------------------------


async def test_an_entry_past_its_deadline_is_not_sent() -> None:
    async with TinyWorld() as world:
        news = await world.submit(world.intent(deadline_ms=world.now_ms - 1))
        assert reasons(news) == "not sent: its time has passed"
        assert not world.wire.sent


async def test_a_deadline_that_passes_while_the_lane_is_awaited_counts() -> None:
    async with TinyWorld() as world:
        world.wire.fates.append("slow")
        world.gate.submit(world.intent(), world.now_ms)
        world.gate.submit(world.intent(2, deadline_ms=world.now_ms + 200), world.now_ms)
        assert "not sent: its time has passed" in reasons(await world.live(1.0))
        assert len(world.wire.sent) == 1


async def test_an_order_that_reduces_is_sent_after_its_deadline_too() -> None:
    async with TinyWorld() as world:
        intent = world.intent(deadline_ms=world.now_ms - 1, reduce_only=True, purpose=Purpose.EXIT, side=Side.SELL)
        assert "OrderAccepted" in kinds(await world.submit(intent))


async def test_what_the_venue_could_never_take_is_rejected_unsent() -> None:
    async with TinyWorld() as world:
        world.trading.raises = ValueError("below the minimum")
        assert reasons(await world.submit()) == "not sent: below the minimum"
        world.trading.raises = None
        await world.submit(world.intent(2))
        assert [step for step, *_ in world.wire.history] == ["told", "sent"]


async def test_a_process_that_lost_its_lease_sends_nothing() -> None:
    async with TinyWorld() as world:
        await world.submit(world.intent(time_in_force=TimeInForce.POST_ONLY))
        world.lost = "the lease is held by process 7"
        assert reasons(await world.submit(world.intent(2))) == "not sent: the lease is held by process 7"
        world.gate.cancel("T000001-long-0", world.now_ms)
        await world.live(1.0)
        assert len(world.wire.sent) == 1


@pytest.mark.parametrize("fault", ["deaf", "garbled"])
async def test_without_its_number_nothing_is_signed(fault: str) -> None:
    async with TinyWorld() as world:
        getattr(world.wire, fault).add("next")
        news = await world.submit()
        assert kinds(news) == ["OrderRejected"]
        assert reasons(news).startswith("not sent: ")
        getattr(world.wire, fault).clear()
        assert "OrderAccepted" in kinds(await world.submit(world.intent(2)))


async def test_a_busy_lane_is_awaited_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_room, "LANE_WAIT_S", 0.0)
    async with TinyWorld() as world:
        world.wire.fates.append("slow")
        world.gate.submit(world.intent(), world.now_ms)
        world.gate.submit(world.intent(2), world.now_ms)
        assert "not sent: key k0 was busy for 0.0 s" in reasons(await world.live(1.0))


# -- lanes -----------------------------------------------------------------------------------------------------------


async def test_numbers_follow_each_other_without_asking() -> None:
    async with TinyWorld() as world:
        for number in range(1, 5):
            world.gate.submit(world.intent(number), world.now_ms)
        await world.live(1.0)
        assert [tx["number"] for tx in world.wire.sent] == [0, 1, 2, 3]
        assert sum(step == "told" for step, *_ in world.wire.history) == 1


async def test_a_number_used_by_somebody_else_is_seen() -> None:
    async with TinyWorld() as world:
        await world.submit()
        world.exchange.next["k0"] += 3
        news = await world.submit(world.intent(2))
        assert reasons(news) == "invalid number"
        assert not world.lanes.foreign
        assert "OrderAccepted" in kinds(await world.submit(world.intent(3)))
        assert world.lanes.foreign == {"k0": 2}  # the third may have been the refused one's own


async def test_a_stream_in_doubt_puts_the_numbers_in_doubt() -> None:
    async with TinyWorld() as world:
        await world.submit()
        world.gate.account([Incident(VENUE, IN_DOUBT, "reconnected", world.now_ms)])
        await world.submit(world.intent(2))
        assert [step for step, *_ in world.wire.history] == ["told", "sent", "told", "sent"]


async def test_entries_never_take_the_last_key() -> None:
    async with TinyWorld(keys=("k0", "k1")) as world:
        world.wire.fates.extend(["slow", "ok"])
        world.gate.submit(world.intent(), world.now_ms)
        reduces = world.intent(2, reduce_only=True, purpose=Purpose.REPAIR, side=Side.SELL)
        world.gate.submit(reduces, world.now_ms)
        world.gate.submit(world.intent(3), world.now_ms)
        await world.live(1.0)
        assert [(tx["client"], tx["key"]) for tx in world.wire.sent] == [
            ("T000001-long-0", "k0"),
            ("T000002-long-0", "k1"),
            ("T000003-long-0", "k0"),
        ]


# -- cancels -----------------------------------------------------------------------------------------------------------


async def test_a_resting_order_is_taken_back_and_late_fills_count() -> None:
    async with TinyWorld() as world:
        assert kinds(await world.submit(world.intent(time_in_force=TimeInForce.POST_ONLY))) == ["OrderAccepted"] * 2
        world.gate.cancel("T000001-long-0", world.now_ms)
        world.exchange.fill(world.exchange.orders["o0"], 4)
        news = await world.live(1.0)
        assert sorted(kinds(news)) == ["Filled", "OrderDone"]
        assert next(one for one in news if isinstance(one, OrderDone)).filled_lots == 4


async def test_a_cancel_never_overtakes_its_order() -> None:
    async with TinyWorld(keys=("k0", "k1")) as world:
        world.wire.fates.append("slow")
        world.gate.submit(world.intent(time_in_force=TimeInForce.POST_ONLY), world.now_ms)
        await world.live(0.1)
        world.gate.cancel("T000001-long-0", world.now_ms)
        await world.live(1.0)
        assert [tx["kind"] for tx in world.wire.sent] == ["order", "cancel"]
        assert not world.exchange.orders["o0"].resting


async def test_an_order_taken_back_in_time_is_not_sent() -> None:
    async with TinyWorld() as world:
        world.gate.submit(world.intent(), world.now_ms)
        world.gate.cancel("T000001-long-0", world.now_ms)
        assert reasons(await world.live(1.0)) == "not sent: taken back"
        assert not world.wire.sent


async def test_an_order_that_ends_while_its_cancel_waits_is_not_cancelled() -> None:
    async with TinyWorld() as world:
        await world.submit(world.intent(time_in_force=TimeInForce.POST_ONLY))
        world.wire.fates.append("slow")
        world.gate.submit(world.intent(2), world.now_ms)
        await world.live(0.1)
        world.gate.cancel("T000001-long-0", world.now_ms)
        await world.live(0.1)
        world.exchange.end(world.exchange.orders["o0"], "expired")
        await world.live(1.0)
        assert [tx["kind"] for tx in world.wire.sent] == ["order", "order"]


@pytest.mark.parametrize("fate", ["lost", "dropped", "refused", "busy", "unsent"])
async def test_a_cancels_answer_is_no_news_of_the_order(fate: str) -> None:
    async with TinyWorld() as world:
        await world.submit(world.intent(time_in_force=TimeInForce.POST_ONLY))
        world.wire.fates.append(fate)
        world.gate.cancel("T000001-long-0", world.now_ms)
        assert await world.live(1.0, stream=False) == []


async def test_a_cancel_without_a_number_waits_for_the_next_attempt(caplog: pytest.LogCaptureFixture) -> None:
    async with TinyWorld() as world:
        await world.submit(world.intent(time_in_force=TimeInForce.POST_ONLY))
        world.lanes.doubt()
        world.wire.deaf.add("next")
        world.gate.cancel("T000001-long-0", world.now_ms)
        await world.live(1.0)
        assert "cancel of T000001-long-0: rejected: not sent: the venue did not tell" in caplog.text
        world.wire.deaf.clear()
        world.gate.cancel("T000001-long-0", world.now_ms)
        assert kinds(await world.live(1.0)) == ["OrderDone"]


async def test_what_is_over_is_not_cancelled() -> None:
    async with TinyWorld() as world:
        await world.submit()
        world.gate.cancel("T000001-long-0", world.now_ms)
        await world.live(1.0)
        assert len(world.wire.sent) == 1


# -- reading back ------------------------------------------------------------------------------------------------------


async def read_back(world: TinyWorld) -> list[Any]:
    world.gate.query("T000001-long-0", world.now_ms)
    return await world.live(0.5, stream=False)


async def test_a_lost_answer_is_found_by_reading_back() -> None:
    async with TinyWorld() as world:
        await world.submit(fate="lost", stream=False)
        assert kinds(await read_back(world)) == ["OrderDone", "Filled"]
        assert world.fills_told() == {"f0": ("T000001-long-0", 10)}


@pytest.mark.parametrize("kind", ["open", "closed", "fills"])
async def test_what_one_read_shows_is_told_though_the_others_fail(kind: str) -> None:
    async with TinyWorld() as world:
        rests = kind == "open"
        force = TimeInForce.POST_ONLY if rests else TimeInForce.IOC
        await world.submit(world.intent(time_in_force=force), fate="lost", stream=False)
        world.wire.deaf |= {"open", "closed", "fills"} - {kind}
        expected = {"open": OrderAccepted, "closed": OrderDone, "fills": Filled}[kind]
        assert [type(one) for one in await read_back(world)] == [expected]


async def test_absent_proves_nothing_while_the_bytes_may_arrive() -> None:
    async with TinyWorld() as world:
        await world.submit(fate="late", stream=False)
        world.exchange.orders.clear()
        world.exchange.fills.clear()
        assert await read_back(world) == []
        await world.live((LIFE_MS + LAG_MS) / 1_000 - 3.0, stream=False)
        assert await read_back(world) == []


async def test_absent_after_the_last_moment_and_the_lag_is_never_arrived() -> None:
    async with TinyWorld() as world:
        world.wire.fates.append("dropped")
        world.gate.submit(world.intent(), world.now_ms)
        await world.live(0.1)
        world.wire.deaf.add("next")  # else its number would be another's soon
        await world.live(LIFE_MS / 1_000 + LAG_MS / 1_000 - 1.0)
        assert await read_back(world) == []
        await world.live(2.0)
        world.gate.query("T000001-long-0", world.now_ms)
        await world.live(0.5)
        assert [(one.reason, one.filled_lots) for one in world.news if isinstance(one, OrderDone)] == [
            ("never arrived", 0)
        ]


async def test_absent_proves_nothing_while_the_order_is_being_sent() -> None:
    async with TinyWorld() as world:
        world.wire.fates.append("stuck")
        world.gate.submit(world.intent(), world.now_ms)
        await world.live(25.0)
        assert await read_back(world) == []
        assert reasons(await world.live(10.0)) == "expired"


async def test_the_order_that_used_the_number_is_not_outrun_by_itself() -> None:
    async with TinyWorld() as world:
        await world.submit(fate="dropped", stream=False)
        await world.submit(world.intent(2), fate="lost", stream=False)
        world.exchange.orders.clear()  # not listed yet
        await world.submit(world.intent(3), stream=False)
        await world.live(LAG_MS / 1_000)
        world.gate.query("T000002-long-0", world.now_ms)
        assert [one for one in await world.live(0.5, stream=False) if isinstance(one, OrderDone)] == []


@pytest.mark.parametrize("kind", ["open", "closed", "fills"])
@pytest.mark.parametrize("fault", ["deaf", "garbled"])
async def test_an_incomplete_read_proves_nothing(kind: str, fault: str) -> None:
    async with TinyWorld() as world:
        await world.submit(fate="dropped")
        await world.live(NEVER_S)
        getattr(world.wire, fault).add(kind)
        assert await read_back(world) == []


async def test_a_clock_that_jumps_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TinyWorld() as world:
        await world.submit(fate="dropped")
        real = world.clock.wall_ms
        monkeypatch.setattr(world.clock, "wall_ms", lambda: real() + 3_600_000)
        assert await read_back(world) == []


async def test_what_was_seen_once_is_not_proven_away() -> None:
    async with TinyWorld() as world:
        await world.submit(fate="lost")
        world.exchange.orders.clear()
        world.exchange.fills.clear()
        await world.live(NEVER_S)
        assert await read_back(world) == []


async def test_what_rested_once_is_not_proven_away() -> None:
    async with TinyWorld() as world:
        await world.submit(world.intent(time_in_force=TimeInForce.POST_ONLY))
        world.exchange.orders.clear()
        await world.live(NEVER_S)
        assert await read_back(world) == []


async def test_an_order_of_an_earlier_run_is_read_back_and_proven_absent() -> None:
    async with TinyWorld() as world:
        world.gate.expect(world.intent())
        world.gate.expect(world.intent())
        assert await read_back(world) == []
        await world.live(3.0 + NEVER_S)
        assert reasons(await read_back(world)) == "never arrived"


async def test_an_earlier_order_that_reduces_may_have_been_signed_late() -> None:
    async with TinyWorld() as world:
        intent = world.intent(reduce_only=True, purpose=Purpose.EXIT, side=Side.SELL)
        await world.live(60.0)
        world.gate.expect(intent)
        await world.live(LAG_MS / 1_000 + 1.0)
        assert await read_back(world) == []
        await world.live(LIFE_MS / 1_000)
        assert reasons(await read_back(world)) == "never arrived"


async def test_read_backs_are_urgent_and_spend_the_budget() -> None:
    limits = msgspec.structs.replace(LIMITS, requests_per_minute=60)
    async with TinyWorld(sequenced=False, limits=limits) as world:
        world.gate.expect(world.intent())
        while not world.budget.requests.take(world.clock.mono_ns()):
            pass
        world.gate.query("T000001-long-0", world.now_ms)
        await world.live()
        assert [request.reduces_risk for request in world.wire.requests] == [True] * 3
        assert world.budget.requests.take(world.clock.mono_ns(), urgent=True) > 0


async def test_orders_spend_the_budget_and_reducing_ones_its_reserve() -> None:
    limits = msgspec.structs.replace(LIMITS, requests_per_minute=60)
    async with TinyWorld(sequenced=False, limits=limits) as world:
        while not world.budget.requests.take(world.clock.mono_ns()):
            pass
        reduces = world.intent(reduce_only=True, purpose=Purpose.EXIT, side=Side.SELL)
        world.gate.submit(reduces, world.now_ms)
        world.gate.submit(world.intent(2, deadline_ms=world.now_ms + 100), world.now_ms)
        news = await world.live()
        assert [one.reason for one in news if isinstance(one, OrderRejected)] == [
            "not sent: request budget: 2.7 s to wait"
        ]
        assert [one.client_id for one in news if isinstance(one, OrderAccepted)] == [reduces.client_id]


async def test_numbers_are_asked_for_within_the_budget() -> None:
    limits = msgspec.structs.replace(LIMITS, requests_per_minute=60)
    async with TinyWorld(limits=limits) as world:
        while not world.budget.requests.take(world.clock.mono_ns()):
            pass
        assert reasons(await world.submit()) == "not sent: request budget: 1.3 s to wait"
        assert not world.wire.requests


async def test_an_order_that_can_wait_waits_for_the_budget() -> None:
    limits = msgspec.structs.replace(LIMITS, requests_per_minute=60)
    async with TinyWorld(sequenced=False, limits=limits) as world:
        while not world.budget.requests.take(world.clock.mono_ns()):
            pass
        assert await world.submit() == []
        assert "OrderAccepted" in kinds(await world.live(1.0))


async def test_a_listing_without_end_is_no_answer() -> None:
    async with TinyWorld() as world:
        endless = world.trading.positions(0)
        endless = msgspec.structs.replace(endless, more=lambda body: endless)
        assert await world.gate.read(endless) == Unread(f"it did not end after {PAGES_MAX} pages")
        assert len(world.wire.requests) == PAGES_MAX


# -- the account's words -----------------------------------------------------------------------------------------------


async def test_a_fill_told_twice_has_one_name() -> None:
    async with TinyWorld() as world:
        await world.submit()
        assert kinds(await read_back(world)) == ["OrderDone", "Filled"]
        assert len([one for one in world.news if isinstance(one, Filled)]) == 2
        assert world.fills_told() == {"f0": ("T000001-long-0", 10)}


@pytest.mark.parametrize("client", [None, "T000099-short-3"])
async def test_orders_of_others_are_not_ours_to_tell(client: str | None) -> None:
    async with TinyWorld() as world:
        other = {"kind": "order", "client": client, "key": "k0", "number": 0, "side": "sell"}
        world.exchange.take(other | {"size": 5, "limit": 1, "rests": False, "void_ms": world.now_ms})
        assert await world.live() == []


async def test_what_was_called_over_and_rests_after_all_can_be_taken_back() -> None:
    async with TinyWorld() as world:
        await world.submit(world.intent(time_in_force=TimeInForce.POST_ONLY))
        order = world.exchange.seen(world.exchange.orders["o0"])
        world.gate.account([msgspec.structs.replace(order, resting=False), order])
        world.gate.cancel("T000001-long-0", world.now_ms)
        await world.live(1.0)
        assert not world.exchange.orders["o0"].resting


@pytest.mark.parametrize("ask", ["query", "cancel"])
async def test_what_was_never_ours_is_not_asked_for(ask: str) -> None:
    async with TinyWorld() as world:
        with pytest.raises(AssertionError, match="never ours"):
            getattr(world.gate, ask)("T000077-long-0", world.now_ms)


async def test_memory_is_bounded_and_forgets_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_room, "KNOWN_MAX", 2)
    async with TinyWorld() as world:
        await world.submit(world.intent(1))
        await world.submit(world.intent(2, time_in_force=TimeInForce.POST_ONLY))
        await world.submit(world.intent(3, time_in_force=TimeInForce.POST_ONLY))
        with pytest.raises(AssertionError, match="2 orders are open"):
            world.gate.submit(world.intent(4), world.now_ms)
    async with TinyWorld() as world:
        world.gate.expect(world.intent(1))
        world.gate.expect(world.intent(2), over=True)
        world.gate.expect(world.intent(3))
        assert [world.gate.knows(world.intent(number).client_id) for number in (1, 2, 3)] == [True, False, True]


async def test_news_wakes_the_desk_once_for_what_comes_together() -> None:
    async with TinyWorld() as world:
        woken: list[int] = []
        world.gate.wake = lambda: woken.append(len(world.gate._news))
        world.gate.submit(world.intent(), world.now_ms)
        await world.clock.advance(0.1)
        assert woken == [1]  # the answer
        told, world.exchange.told = world.exchange.told, []
        world.gate.account(told)
        assert woken == [1, 3]  # a fill and the end
        world.gate.account([Incident(VENUE, "maintenance", "", world.now_ms)])
        assert woken == [1, 3]
        assert len(world.gate.due(world.now_ms)) == 3


async def test_our_own_failure_wakes_the_desk() -> None:
    async with TinyWorld() as world:
        woken: list[str] = []
        world.gate.wake = lambda: woken.append("now")
        world.trading.raises = RuntimeError("the signer is broken")
        world.gate.submit(world.intent(), world.now_ms)
        await world.clock.advance(0.1)
        assert woken == ["now"]


async def test_what_is_not_about_our_orders_is_told() -> None:
    async with TinyWorld() as world:
        await world.submit()
        assert world.heard == []
        order = world.exchange.orders["o0"]
        mine, fill = world.exchange.seen(order), world.exchange.execution(order, "f9", 1)
        forced = msgspec.structs.replace(fill, client_id=None, forced="liquidation", fill_id="f10")
        other = msgspec.structs.replace(mine, client_id="T000099-short-3")
        position = PositionSeen(VENUE, mine.market, 4, None, None, None, world.now_ms)
        leverage = LeverageSeen(VENUE, mine.market, 3.0, world.now_ms)
        halted = Incident(VENUE, "halted", "", world.now_ms)
        listing = AccountSnapshot(VENUE, "positions", None, (position,), world.now_ms)
        fills = AccountSnapshot(VENUE, "fills", 0, (fill, forced), world.now_ms)
        world.gate.account([mine, fill, forced, other, leverage, halted, listing, fills])
        assert world.heard == [forced, other, leverage, halted, position, listing, forced, fills]


async def test_what_is_told_may_go_to_another_later() -> None:
    async with TinyWorld() as world:
        heard: list[Any] = []
        world.gate.tell = heard.append
        await world.submit(fate="revoked")
        assert [one.kind for one in heard] == [KEY_REFUSED]


async def test_leverage_and_the_dead_mans_switch_go_through_a_lane(caplog: pytest.LogCaptureFixture) -> None:
    async with TinyWorld() as world:

        async def ended(work: Any) -> SendVerdict:
            task = asyncio.create_task(work)
            await world.live(0.5)
            return cast("SendVerdict", await task)

        assert await ended(world.gate.set_leverage(ETH, 3.0)) is SendVerdict.ACCEPTED
        assert await ended(world.gate.dead_man_switch(world.now_ms + 600_000)) is SendVerdict.ACCEPTED
        assert await ended(world.gate.dead_man_switch(None)) is SendVerdict.ACCEPTED
        world.wire.fates.extend(["dropped", "refused"])
        assert await ended(world.gate.set_leverage(ETH, 4.0)) is SendVerdict.UNKNOWN
        assert await ended(world.gate.set_leverage(ETH, 5.0)) is SendVerdict.REJECTED
        assert await ended(world.gate.set_leverage(ETH, 0.5)) is SendVerdict.REJECTED
        assert "leverage 0.5 in tiny:ETH: rejected: not sent: leverage 0.5" in caplog.text
        assert [(tx["kind"], tx["number"]) for tx in world.wire.sent] == [
            ("leverage", 0),
            ("switch", 1),
            ("switch", 2),
            ("leverage", 3),
            ("leverage", 3),
        ]
        world.wire.deaf.add("next")
        world.lanes.doubt()
        assert await ended(world.gate.set_leverage(ETH, 3.0)) is SendVerdict.REJECTED


async def test_who_places_hears_what_the_venue_said() -> None:
    """And what leaves nothing behind is raised, not told."""
    async with TinyWorld() as world:
        gate, trading = world.gate, world.trading

        async def placed(fate: str, leverage: float = 3.0, **more: Any) -> Any:
            world.wire.fates.append(fate)
            work = gate.place(
                lambda lane: trading.sign_leverage(ETH, leverage, lane, world.now_ms), lambda: None, **more
            )
            task = asyncio.create_task(work)
            await world.live(3.0)
            return await task

        sent = await placed("ok", urgent=False)
        assert (sent.verdict, sent.reply.status) == (SendVerdict.ACCEPTED, 200)
        refused = await placed("refused", urgent=True, key=trading.lanes()[0])
        assert (refused.verdict, bool(refused.reply.body)) == (SendVerdict.REJECTED, True)
        with pytest.raises(ValueError, match="leverage 0"):
            await placed("ok", 0.5, urgent=False)
        world.wire.deaf.add("next")
        world.lanes.doubt()
        with pytest.raises(LaneLostError):
            await placed("ok", urgent=False)
        assert len(world.wire.sent) == 2


async def test_reads_without_an_answer_are_counted() -> None:
    async with TinyWorld() as world:
        world.wire.deaf.add("positions")
        for count in (1, 2):
            await world.gate.read(world.trading.positions(0))
            assert world.gate.unread == count
        await world.gate.read(world.trading.balance(0))
        assert world.gate.unread == 0


# -- our own failures, and the end -------------------------------------------------------------------------------------


async def test_what_our_own_code_raises_comes_out_of_due() -> None:
    async with TinyWorld() as world:
        world.trading.raises = RuntimeError("the signer is broken")
        with pytest.raises(RuntimeError, match="the signer is broken"):
            await world.submit()
        with pytest.raises(RuntimeError, match="the signer is broken"):
            world.gate.due(world.now_ms)


async def test_signing_has_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TinyWorld() as world:
        monkeypatch.setattr(world.gate._sender, "_signer", ThreadPoolExecutor(1, thread_name_prefix="sign-tiny"))
        names: list[str] = []
        sign = world.trading.sign

        def noting(*args: Any) -> Any:
            names.append(threading.current_thread().name)
            return sign(*args)

        monkeypatch.setattr(world.trading, "sign", noting)
        world.gate.submit(world.intent(), world.now_ms)
        sending = world.gate._known["T000001-long-0"].sending
        assert sending is not None
        await sending
        assert names == ["sign-tiny_0"]


async def test_closing_while_a_cancel_is_sent_leaves_the_number_in_doubt() -> None:
    async with TinyWorld() as world:
        await world.submit(world.intent(time_in_force=TimeInForce.POST_ONLY))
        world.wire.fates.append("slow")
        world.gate.cancel("T000001-long-0", world.now_ms)
        await world.live(0.1)
        await world.gate.close()
        async with world.lanes.turn(reduces_risk=True, timeout_s=0.0) as turn:
            assert turn.number is None


async def test_closing_while_sending_leaves_the_number_in_doubt() -> None:
    async with TinyWorld() as world:
        world.wire.fates.append("slow")
        world.gate.submit(world.intent(), world.now_ms)
        await world.live(0.1)
        await world.gate.close()
        assert world.gate.due(world.now_ms) == []
        async with world.lanes.turn(reduces_risk=True, timeout_s=0.0) as turn:
            assert turn.number is None
        for late in (lambda: world.gate.submit(world.intent(2), 0), lambda: world.gate.query("T000001-long-0", 0)):
            with pytest.raises(AssertionError, match="closed"):
                late()


# -- all at once -------------------------------------------------------------------------------------------------------

FATES = ["ok", "lost", "dropped", "unsent", "refused", "busy", "broken", "down", "late", "slow"]
Step = tuple[str, str, bool]
"""(what, the submission's fate, whether the stream works meanwhile)."""


async def play(keys: tuple[str, ...], share: float, steps: list[Step]) -> TinyWorld:
    async with TinyWorld(keys) as world:
        world.exchange.share = share
        made = 0
        for what, fate, stream in steps:
            world.wire.fates.append(fate)
            if what == "foreign":
                for key in world.exchange.next:
                    world.exchange.next[key] += 1
            elif what == "cancel" and made:
                world.gate.cancel(f"T{made:06d}-long-0", world.now_ms)
            else:
                made += 1
                force = TimeInForce.POST_ONLY if what == "rest" else TimeInForce.IOC
                intent = world.intent(made, time_in_force=force)
                if what in {"ahead", "drop"}:
                    world.gate.prepare(intent, world.now_ms)
                    await world.live(0.1 * (made % 2), stream=stream)
                if what == "drop":
                    world.gate.drop(intent.client_id, world.now_ms)
                    world.gate.prepare(intent, world.now_ms)
                world.gate.submit(intent, world.now_ms)
            if what != "rush":
                await world.live(0.2, stream=stream)
        world.wire.fates.clear()
        await world.live(LIFE_MS / 1_000 + 3.0, stream=False)
        for order in list(world.exchange.orders.values()):
            world.exchange.end(order, "expired")
        await world.live(NEVER_S, stream=False)
        for number in range(1, made + 1):
            world.gate.query(f"T{number:06d}-long-0", world.now_ms)
        await world.live(5.0, stream=False)
        return world


def no_number_twice_without_a_doubt(wire: Wire) -> None:
    """After a certain answer the next transaction's number follows from it; after any other the venue was asked."""
    last: dict[str, int | None] = {}
    for step, key, number, spent in wire.history:
        if step == "sent":
            assert last[key] == number, (key, number, last)
            last[key] = None if spent is None else number + spent
        else:
            last[key] = number


@given(
    keys=st.sampled_from([("k0",), ("k0", "k1"), ("k0", "k1", "k2")]),
    share=st.sampled_from([0.0, 0.5, 1.0]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["take", "rest", "rush", "ahead", "drop", "cancel", "foreign"]),
            st.sampled_from(FATES),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
)
@settings(max_examples=80, deadline=None)
def test_whatever_the_venue_does(keys: tuple[str, ...], share: float, steps: list[Step]) -> None:
    world = asyncio.run(play(keys, share, steps))
    sent = [tx["client"] for tx in world.wire.sent if tx["kind"] == "order"]
    assert len(sent) == len(set(sent))
    assert world.fills_told() == {fill_id: (order.client, lots) for order, fill_id, lots in world.exchange.fills}
    no_number_twice_without_a_doubt(world.wire)
    assert all(known.over for known in world.gate._known._orders.values()), "an order's fate is open for ever"
    accepted = {one.client_id for one in world.news if isinstance(one, OrderAccepted | Filled)}
    assert accepted <= {order.client for order in world.exchange.orders.values()}
    never = {one.client_id for one in world.news if isinstance(one, OrderDone) and "never arrived" in one.reason}
    rejected = {one.client_id for one in world.news if isinstance(one, OrderRejected)}
    assert not (never | rejected) & {order.client for order in world.exchange.orders.values()}
    unknown = {one.client_id for one in world.news if isinstance(one, OrderUnknown)}
    assert never <= unknown | rejected

"""Lighter's private side while the simulated venue misbehaves: no answer is taken for more than it says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from twinleg.core.orders import Intent
from twinleg.core.trading import (
    IN_DOUBT,
    AccountSnapshot,
    ExecutionSeen,
    Incident,
    OrderSeen,
    PositionSeen,
    SendOutcome,
    SendVerdict,
    TransactionSeen,
)
from twinleg.core.venue import Request
from venues.lighter.live import Event, Sim, Trader, intent, simulated, trading


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with simulated() as sim:
        yield sim


@pytest.fixture
async def trader(sim: Sim) -> AsyncIterator[Trader]:
    async with trading(sim) as trader:
        yield trader
        await trader.net.request(Request(venue="x", method="DELETE", url=f"{sim.rest}/__sim__/faults"), 5_000)


async def switch_on(trader: Trader, sim: Sim, **fault: object) -> None:
    body = json.dumps(fault).encode()
    headers = {"Content-Type": "application/json"}
    url = f"{sim.rest}/__sim__/faults"
    reply = await trader.net.request(Request(venue="x", method="POST", url=url, headers=headers, body=body), 5_000)
    assert reply.status == 200, reply


async def taken(trader: Trader, sim: Sim, **fault: object) -> tuple[Intent, SendOutcome, str]:
    """An order that takes, sent while the fault is on: the order, what its answer means, its hash."""
    market = trader.markets["lighter:ETH"]
    _, ask = await trader.touch(market)
    entry = intent(market, ask * 102 // 100)
    signed = trader.venue.sign(entry, market, await trader.lane(), trader.now)
    await switch_on(trader, sim, for_s=3, **fault)
    reply = await trader.net.request(signed.request, 5_000)
    return entry, trader.venue.read_reply(signed, reply.status, reply.body), signed.correlation


def of(entry: Intent, event: Event) -> bool:
    return isinstance(event, OrderSeen | ExecutionSeen) and event.client_id == entry.client_id


@pytest.mark.parametrize("kind", ["lost_ack", "error_ack"])
async def test_an_order_whose_answer_was_lost_is_found(trader: Trader, sim: Sim, kind: str) -> None:
    entry, outcome, _ = await taken(trader, sim, kind=kind, count=1)
    assert (outcome.verdict, outcome.lane_spent) == (SendVerdict.UNKNOWN, None)
    await trader.seen(lambda event: of(entry, event) and isinstance(event, ExecutionSeen))
    market = trader.markets[entry.market]
    known = [
        event for read in trader.venue.order(entry.client_id, market, trader.now) for event in await trader.read(read)
    ]
    assert {type(event) for event in known} == {OrderSeen, ExecutionSeen}
    assert {event.filled_lots for event in known if isinstance(event, OrderSeen)} == {entry.size_lots}


async def test_an_order_that_never_arrived_is_nowhere(trader: Trader, sim: Sim) -> None:
    number = (await trader.lane()).number
    entry, outcome, correlation = await taken(trader, sim, kind="lost_request", count=1)
    assert outcome.verdict is SendVerdict.UNKNOWN
    market = trader.markets[entry.market]
    for read in trader.venue.order(entry.client_id, market, trader.now):
        assert await trader.read(read) == []
    reply = await trader.net.request(trader.venue.transaction(correlation, trader.now).request, 5_000)
    assert (reply.status, json.loads(reply.body)["code"]) == (400, 21500)
    assert (await trader.lane()).number == number


@pytest.mark.parametrize(
    ("kind", "spent", "code"),
    [("refused_ack", False, "21506"), ("write_429", False, "23000"), ("nonce_taken", None, "21104")],
)
async def test_a_refusal_leaves_the_lane_as_it_says(
    trader: Trader, sim: Sim, kind: str, spent: bool | None, code: str
) -> None:
    number = (await trader.lane()).number
    assert number is not None
    entry, outcome, _ = await taken(trader, sim, kind=kind, count=1)
    assert (outcome.verdict, outcome.lane_spent, outcome.reason[:5]) == (SendVerdict.REJECTED, spent, code)
    assert (await trader.lane()).number == number + (kind == "nonce_taken")
    assert not [event for event in trader.events if of(entry, event)]


async def test_an_order_that_the_sequencer_refused_is_over(trader: Trader, sim: Sim) -> None:
    entry, outcome, correlation = await taken(trader, sim, kind="engine_reject", count=1)
    assert outcome.verdict is SendVerdict.ACCEPTED
    over = await trader.seen(lambda event: of(entry, event))
    assert (over.resting, over.filled_lots) == (False, 0)
    told, number = await trader.read(trader.venue.transaction(correlation, trader.now))
    assert isinstance(number, TransactionSeen)
    assert number.executed
    assert isinstance(told, OrderSeen)
    assert (told.client_id, told.resting, told.filled_lots) == (entry.client_id, False, 0)


@pytest.mark.parametrize("kind", ["foreign_trade", "duplicate_fill"])
async def test_fills_are_ours_and_told_once(trader: Trader, sim: Sim, kind: str) -> None:
    entry, _, _ = await taken(trader, sim, kind=kind)
    await trader.seen(lambda event: isinstance(event, PositionSeen))
    fills = [event for event in trader.events if isinstance(event, ExecutionSeen)]
    assert sum(fill.size_lots for fill in fills if fill.client_id == entry.client_id) == entry.size_lots
    assert len({fill.fill_id for fill in fills}) == len(fills)


async def test_null_lists_are_empty_ones(trader: Trader, sim: Sim) -> None:
    await switch_on(trader, sim, kind="null_lists", for_s=3)
    for read in (trader.venue.open_orders(trader.now), trader.venue.fills(trader.now, trader.now)):
        (listed,) = await trader.read(read)
        assert isinstance(listed, AccountSnapshot)
        assert listed.rows == ()


async def test_a_token_that_opens_nothing_is_a_refusal(trader: Trader, sim: Sim) -> None:
    await switch_on(trader, sim, kind="token_expired", for_s=3)
    for read in (trader.venue.open_orders(trader.now), trader.venue.fills(0, trader.now)):
        assert (await trader.net.request(read.request, 5_000)).status == 400


async def test_the_stream_comes_back_and_doubts(trader: Trader, sim: Sim) -> None:
    trader.events.clear()
    await switch_on(trader, sim, kind="disconnect", count=1, for_s=1)
    await trader.seen(lambda event: isinstance(event, Incident) and event.kind == IN_DOUBT)
    for kind in ("orders", "positions"):
        await trader.seen(lambda event, kind=kind: isinstance(event, AccountSnapshot) and event.kind == kind)  # type: ignore[misc]
    await trader.seen(lambda event: isinstance(event, Incident) and "since the last subscription" in event.detail)


async def test_a_liquidation_is_told_as_forced(trader: Trader, sim: Sim) -> None:
    entry, _, _ = await taken(trader, sim, kind="extra_field")
    await trader.seen(lambda event: of(entry, event) and isinstance(event, ExecutionSeen))
    await switch_on(trader, sim, kind="liquidate", for_s=2)
    forced = await trader.seen(lambda event: isinstance(event, ExecutionSeen) and event.forced is not None)
    assert (forced.forced, forced.client_id) == ("liquidation", None)
    assert forced.fee_micro_usd > 0
    await trader.seen(lambda event: isinstance(event, PositionSeen) and event.market == entry.market and not event.lots)

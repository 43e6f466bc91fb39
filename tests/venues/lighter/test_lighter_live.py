"""Lighter's private side against the simulated venue, over real sockets: each was written from the documents alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from twinleg.core.orders import Purpose, Side, TimeInForce
from twinleg.core.trading import (
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    FeesSeen,
    Incident,
    Lane,
    LeverageSeen,
    OrderSeen,
    PositionSeen,
    SendOutcome,
    SendVerdict,
    Signed,
    TransactionSeen,
)
from twinleg.venues.lighter.sign import Signer
from twinleg.venues.lighter.trading import LighterTrading
from venues.lighter.live import Event, Sim, Trader, intent, simulated, trading


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with simulated() as sim:
        yield sim


@pytest.fixture
async def trader(sim: Sim) -> AsyncIterator[Trader]:
    async with trading(sim) as trader:
        yield trader
        assert trader.feed.bad_frames == trader.feed.unknown_words == 0


async def test_a_taker_fills_and_leaves(trader: Trader) -> None:
    market = trader.markets["lighter:ETH"]
    _, ask = await trader.touch(market)
    entry = intent(market, ask * 102 // 100)
    signed, outcome = await trader.send(trader.venue.sign, entry, market)
    assert outcome == SendOutcome(SendVerdict.ACCEPTED, "queued", lane_spent=True)

    fill = await trader.seen(lambda event: isinstance(event, ExecutionSeen) and event.client_id == entry.client_id)
    order = await trader.seen(
        lambda event: isinstance(event, OrderSeen) and event.client_id == entry.client_id and not event.resting
    )
    assert (fill.side, fill.market, fill.forced, fill.fee_micro_usd) == (Side.BUY, market.key, None, 0)
    assert fill.price_ticks <= entry.limit_ticks
    assert (order.filled_lots, order.size_lots, order.reason) == (entry.size_lots, entry.size_lots, "filled")
    held = await trader.seen(
        lambda event: isinstance(event, PositionSeen) and event.market == market.key and event.lots
    )
    assert held.lots == entry.size_lots
    assert held.entry_price == pytest.approx(fill.price_ticks, rel=0.02)

    asked = [
        event for read in trader.venue.order(entry.client_id, market, trader.now) for event in await trader.read(read)
    ]
    assert [event.filled_lots for event in asked if isinstance(event, OrderSeen)] == [entry.size_lots]
    executions = [event for event in asked if isinstance(event, ExecutionSeen)]
    assert sum(each.size_lots for each in executions) == entry.size_lots
    (done,) = await trader.read(trader.venue.transaction(signed.correlation, trader.now))
    assert isinstance(done, TransactionSeen)
    assert Lane(done.key, done.number) == signed.lane
    assert (done.client_id, done.correlation, done.executed) == (entry.client_id, signed.correlation, True)

    trader.events.clear()
    bid, _ = await trader.touch(market)
    leave = intent(market, bid * 98 // 100, side=Side.SELL, reduce_only=True, purpose=Purpose.EXIT)
    _, outcome = await trader.send(trader.venue.sign, leave, market)
    assert outcome.verdict is SendVerdict.ACCEPTED
    await trader.seen(lambda event: isinstance(event, PositionSeen) and event.market == market.key and event.lots == 0)
    (snapshot,) = [
        event for event in await trader.read(trader.venue.fills(trader.now - 60_000, trader.now))
        if isinstance(event, AccountSnapshot)
    ]  # fmt: skip
    signs = {entry.client_id: 1, leave.client_id: -1}
    lots = sum(row.size_lots * signs[row.client_id] for row in snapshot.rows if row.client_id in signs)  # type: ignore[union-attr,index]
    assert lots == 0


async def test_a_maker_rests_and_is_cancelled(trader: Trader) -> None:
    market = trader.markets["lighter:ETH"]
    bid, _ = await trader.touch(market)
    maker = intent(market, bid * 90 // 100, time_in_force=TimeInForce.POST_ONLY)
    _, outcome = await trader.send(trader.venue.sign, maker, market)
    assert outcome.verdict is SendVerdict.ACCEPTED

    def is_it(event: Event) -> bool:
        return isinstance(event, OrderSeen) and event.client_id == maker.client_id

    resting = await trader.seen(lambda event: is_it(event) and event.resting)
    assert (resting.price_ticks, resting.filled_lots, resting.reduce_only) == (maker.limit_ticks, 0, False)
    (listed,) = await trader.read(trader.venue.open_orders(trader.now))
    assert isinstance(listed, AccountSnapshot)
    assert [row.client_id for row in listed.rows] == [maker.client_id]  # type: ignore[union-attr]

    _, outcome = await trader.send(trader.venue.sign_cancel, maker.client_id, None, market, key="6")
    assert outcome.verdict is SendVerdict.ACCEPTED
    over = await trader.seen(lambda event: is_it(event) and not event.resting)
    assert over.reason == "canceled"
    (listed,) = await trader.read(trader.venue.open_orders(trader.now))
    assert isinstance(listed, AccountSnapshot)
    assert listed.rows == ()


async def test_a_crossing_maker_is_over_and_not_filled(trader: Trader) -> None:
    market = trader.markets["lighter:ETH"]
    _, ask = await trader.touch(market)
    crossing = intent(market, ask * 105 // 100, time_in_force=TimeInForce.POST_ONLY)
    await trader.send(trader.venue.sign, crossing, market)
    over = await trader.seen(lambda event: isinstance(event, OrderSeen) and event.client_id == crossing.client_id)
    assert (over.resting, over.filled_lots, over.reason) == (False, 0, "canceled-post-only")


async def test_a_nonce_is_used_once(trader: Trader) -> None:
    market = trader.markets["lighter:ETH"]
    lane = await trader.lane()
    signed = trader.venue.sign_cancel_all(market, lane, trader.now)
    outcomes = []
    for _ in range(2):
        reply = await trader.net.request(signed.request, 10_000)
        outcomes.append(trader.venue.read_reply(signed, reply.status, reply.body))
    assert [outcome.verdict for outcome in outcomes] == [SendVerdict.ACCEPTED, SendVerdict.REJECTED]
    assert outcomes[1].reason.startswith("21104")
    assert (await trader.lane()).number == (lane.number or 0) + 1


async def test_an_order_number_is_used_once(trader: Trader) -> None:
    market = trader.markets["lighter:ETH"]
    bid, _ = await trader.touch(market)
    maker = intent(market, bid * 90 // 100, time_in_force=TimeInForce.POST_ONLY)
    _, first = await trader.send(trader.venue.sign, maker, market)
    await trader.seen(lambda event: isinstance(event, OrderSeen) and event.client_id == maker.client_id)
    _, second = await trader.send(trader.venue.sign, maker, market)
    assert (first.verdict, second.verdict) == (SendVerdict.ACCEPTED, SendVerdict.UNKNOWN)
    assert second.reason.startswith("21728")
    await trader.send(trader.venue.sign_cancel_all, None)
    await trader.seen(
        lambda event: isinstance(event, OrderSeen) and event.client_id == maker.client_id and not event.resting
    )


async def test_a_wrong_chain_and_a_wrong_key_are_found(trader: Trader, sim: Sim) -> None:
    account = sim.account["account_index"]
    market = trader.markets["lighter:ETH"]
    keys = {4: trader.keys[5]}  # another slot's
    wrong = LighterTrading(sim.rest, sim.stream, Signer(account, 304, keys), trader.markets)
    signed = wrong.sign_cancel_all(market, await trader.lane(), trader.now)
    reply = await trader.net.request(signed.request, 10_000)
    outcome = wrong.read_reply(signed, reply.status, reply.body)
    assert (outcome.verdict, outcome.lane_spent, outcome.reason[:5]) == (SendVerdict.REJECTED, False, "21120")
    (told,) = await trader.read(wrong.key_check("4", trader.now))
    assert isinstance(told, Incident)
    assert told.kind == "wrong_key"
    Signer(account, 304, {4: trader.keys[4]}).cancel_order(0, 1, Lane("4", 0))  # the library keeps the last key


async def test_checks_reads_and_settings(trader: Trader) -> None:
    for key in trader.venue.lanes():
        assert await trader.read(trader.venue.key_check(key, trader.now)) == []
    (fees,) = await trader.read(trader.venue.fees(trader.now))
    assert isinstance(fees, FeesSeen)
    assert (fees.maker_bps, fees.taker_bps) == (0.0, 0.0)
    (balance,) = await trader.read(trader.venue.balance(trader.now))
    assert isinstance(balance, AccountSnapshot)
    (money,) = balance.rows
    assert isinstance(money, BalanceSeen)
    assert money.equity_usd == pytest.approx(50_000, rel=0.01)
    assert await trader.read(trader.venue.funding_paid(trader.now)) == []

    market = trader.markets["lighter:BTC"]
    _, outcome = await trader.send(trader.venue.sign_leverage, market, 4.0)
    assert outcome.verdict is SendVerdict.ACCEPTED
    fires_at_ms = trader.now + 600_000
    _, armed = await trader.send(trader.venue.sign_dead_man_switch, fires_at_ms)
    _, disarmed = await trader.send(trader.venue.sign_dead_man_switch, None)
    assert armed.verdict is disarmed.verdict is SendVerdict.ACCEPTED
    listed = await trader.read(trader.venue.positions(trader.now))
    assert isinstance(listed[0], AccountSnapshot)
    assert not [event for event in listed if isinstance(event, Incident)]
    assert {event.market: event.leverage for event in listed if isinstance(event, LeverageSeen)}.get(market.key, 4) == 4


async def test_an_order_can_be_changed(trader: Trader) -> None:
    market = trader.markets["lighter:ETH"]
    bid, _ = await trader.touch(market)
    maker = intent(market, bid * 90 // 100, time_in_force=TimeInForce.POST_ONLY)
    await trader.send(trader.venue.sign, maker, market)
    await trader.seen(lambda event: isinstance(event, OrderSeen) and event.client_id == maker.client_id)
    lots, ticks = maker.size_lots * 2, maker.limit_ticks - 10

    def change(lane: Lane, _: int) -> Signed:
        return trader.venue.sign_modify(maker.client_id, market, lots, ticks, lane)

    _, outcome = await trader.send(change)
    assert outcome.verdict is SendVerdict.ACCEPTED
    changed = await trader.seen(lambda event: isinstance(event, OrderSeen) and event.price_ticks == ticks)
    assert (changed.size_lots, changed.resting) == (lots, True)
    await trader.send(trader.venue.sign_cancel_all, market)
    await trader.seen(
        lambda event: isinstance(event, OrderSeen) and event.client_id == maker.client_id and not event.resting
    )

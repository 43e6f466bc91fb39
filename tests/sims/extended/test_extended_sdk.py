"""The venue's own Python SDK, unmodified, against the simulator over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from extended_client import START_MS
from x10.clients.rest import RestApiClient
from x10.clients.stream import StreamClient, StreamConnection
from x10.clients.streamrpc.streamrpc_client import StreamRpcClient
from x10.clients.streamrpc.subscription_params import (
    CandlesParams,
    FundingRatesParams,
    OrderbooksParams,
    PricesParams,
    SubscribeParams,
    TradesParams,
)
from x10.config import TESTNET_CONFIG
from x10.core.client_config import ClientConfig
from x10.errors import ApiError
from x10.tools.orderbook import OrderBook

from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.faults import Faults
from twinleg_sims.server import Sims, running
from twinleg_sims.world import World

WAIT_S = 30
"""Far longer than anything here takes."""
BTC = "BTC-USD"


@asynccontextmanager
async def simulated(speed: float = 1.0) -> AsyncIterator[tuple[Sims, ClientConfig]]:
    """A small world two seconds before a full minute, and the SDK's configuration for it."""
    world, faults = World(7, 3, START_MS + 58_000), Faults()
    async with running(world, [ExtendedCore(world, faults)], faults, speed=speed) as sims, asyncio.timeout(WAIT_S):
        urls = sims.urls["extended"]
        endpoints = replace(
            TESTNET_CONFIG.endpoints,
            api_base_url=urls.rest,
            api_base_order_management_url=urls.rest,
            stream_url=urls.stream,
            stream_rpc_url=urls.stream.removesuffix("/v1") + "/v2/rpc",
            onboarding_url=urls.rest.removesuffix("/api/v1"),
        )
        yield sims, replace(TESTNET_CONFIG, endpoints=endpoints)


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK logs what it cannot read and goes on: here that is a failure."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_every_rest_body_is_read() -> None:
    async with simulated() as (sims, config), RestApiClient(config) as client:
        markets = (await client.info.get_markets()).data
        assert [market.name for market in markets] == [market.symbol for market in sims.world.markets("extended")]
        bitcoin = (await client.info.get_markets_dict())[BTC]
        assert bitcoin.trading_config.round_price(Decimal("64350.4")) == 64351
        assert bitcoin.trading_config.max_leverage_for_position_value(Decimal(5_000_000)) == 25
        stats = (await client.info.get_market_statistics(market_name=BTC)).data
        assert stats.bid_price < stats.ask_price
        book = (await client.info.get_orderbook_snapshot(market_name=BTC)).data
        assert book.bid[0].price < book.ask[0].price
        for kind in ("trades", "mark-prices", "index-prices"):
            reply = await client.info.get_candles_history(
                market_name=BTC, candle_type=kind, interval="PT1H", limit=3, end_time=datetime.now(UTC)
            )
            assert len(reply.data) == 3
        day = await client.info.get_funding_rates_history(
            market_name=BTC,
            start_time=datetime.fromtimestamp(START_MS / 1000 - 86_400, UTC),
            end_time=datetime.fromtimestamp(START_MS / 1000, UTC),
        )
        assert len(day.data) == day.pagination.count == 24
        assets = await client.info.get_assets_dict()
        assert assets["USD"].to_settlement_asset().starkex_resolution == 1_000_000
        assert (await client.info.get_asset_price(asset_name="BTC")).data > 0
        assert (await client.info.get_settings()).data.stark_ex_contract_address.startswith("0x")


async def test_an_error_body_is_an_api_error(caplog: pytest.LogCaptureFixture) -> None:
    async with simulated() as (_, config), RestApiClient(config) as client:
        with pytest.raises(ApiError, match="1001"):
            await client.info.get_market_statistics(market_name="NO-USD")
    caplog.clear()


async def first_frames(subscription: StreamConnection[Any], count: int) -> list[Any]:
    async with subscription as stream:
        return [await stream.recv() for _ in range(count)]


async def test_every_v1_topic_is_read() -> None:
    async with simulated() as (_, config):
        streams = StreamClient(api_url=config.endpoints.stream_url)
        subscriptions = (
            (streams.subscribe_to_orderbooks(BTC), 3),
            (streams.subscribe_to_orderbooks(BTC, depth=1), 3),
            (streams.subscribe_to_orderbooks(), 30),
            (streams.subscribe_to_public_trades(BTC), 2),
            (streams.subscribe_to_public_trades(), 5),
            (streams.subscribe_to_funding_rates(BTC), 1),
            (streams.subscribe_to_funding_rates(), 5),
            (streams.subscribe_to_candles(BTC, "trades", "PT1M"), 2),
            (streams.subscribe_to_candles(BTC, "mark-prices", "PT1H"), 2),
            (streams.subscribe_to_candles(BTC, "index-prices", "P1D"), 2),
        )
        heard = await asyncio.gather(*(first_frames(subscription, count) for subscription, count in subscriptions))
    for (_, count), frames in zip(subscriptions, heard, strict=True):
        assert [frame.seq for frame in frames] == list(range(1, count + 1))
        assert all(frame.data for frame in frames)


def topics() -> list[SubscribeParams[Any]]:
    return [
        OrderbooksParams(market=BTC),
        OrderbooksParams(market=BTC, depth="1"),
        OrderbooksParams(market=BTC, rfq_only=True),
        TradesParams(market=BTC),
        FundingRatesParams(market=BTC),
        PricesParams(price_type="mark"),
        PricesParams(price_type="index", market=BTC),
        CandlesParams(candle_type="last", market=BTC, interval="PT1M"),
    ]


async def test_every_v2_topic_is_read_without_a_break_in_the_sequence() -> None:
    breaks: list[tuple[str, int, int]] = []
    heard: dict[str, list[Any]] = {params.topic_id: [] for params in topics()}
    complete = asyncio.Event()

    def hear(message: Any) -> None:
        heard[message.subscription].append(message.data)
        if all(heard.values()):
            complete.set()

    async with simulated() as (_, config):
        client = StreamRpcClient(
            api_url=config.endpoints.stream_rpc_url, on_sequence_break=lambda *seen: breaks.append(seen)
        )
        async with client:
            for params in topics():
                await client.subscribe(params=params, handler=hear)
            await client.ping()
            assert await client.list_subscriptions() == sorted(heard)
            await complete.wait()
            trades = f"trades.{BTC}"
            await client.unsubscribe(topic_id=trades)
            assert trades not in await client.list_subscriptions()
    assert breaks == []
    assert len(heard[f"trades.{BTC}"][0]) == 50


async def test_the_sdks_own_book_follows() -> None:
    followed = asyncio.Semaphore(0)

    async def follow(_: object) -> None:
        followed.release()

    async with simulated() as (_, config):
        book = OrderBook(config, BTC, best_bid_change_callback=follow)
        following = await book.start_orderbook()
        for _ in range(3):
            await followed.acquire()
        bid, ask = book.best_bid(), book.best_ask()
        assert bid is not None
        assert ask is not None
        assert bid.price < ask.price
        following.cancel()
        await asyncio.wait([following])


async def test_pings_are_sent_and_a_client_that_answers_stays() -> None:
    frames = asyncio.Queue[Any]()
    async with simulated(speed=20) as (sims, config):
        async with StreamRpcClient(api_url=config.endpoints.stream_rpc_url) as client:
            await client.subscribe(params=FundingRatesParams(market=BTC), handler=frames.put_nowait)
            first, second = (await frames.get()).ts, (await frames.get()).ts
            assert second - first >= 45_000, "more than two pings apart, on one connection"
        assert sims.now_ms >= second


async def test_a_client_without_pongs_is_closed_with_1011() -> None:
    async with (
        simulated(speed=20) as (_, config),
        aiohttp.ClientSession() as session,
        session.ws_connect(config.endpoints.stream_rpc_url, autoping=False) as stream,
    ):
        assert (await stream.receive()).type is aiohttp.WSMsgType.PING
        closing = await stream.receive()
        assert (closing.type, closing.data, closing.extra) == (aiohttp.WSMsgType.CLOSE, 1011, "Ping timeout")


async def test_an_unknown_topic_is_refused_at_the_upgrade() -> None:
    async with simulated() as (_, config), aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(config.endpoints.stream_url + "/nothing")
        assert refused.value.status == 404

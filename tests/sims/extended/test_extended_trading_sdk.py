"""The venue's own Python SDK, unmodified, trades against the simulator over real sockets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from x10.clients.blocking import BlockingTradingClient
from x10.clients.rest import RestApiClient
from x10.clients.stream import StreamClient
from x10.clients.streamrpc.streamrpc_client import StreamRpcClient
from x10.clients.streamrpc.subscription_params import AccountParams
from x10.config import TESTNET_CONFIG
from x10.core.client_config import ClientConfig
from x10.core.stark_account import StarkPerpetualAccount
from x10.errors import ApiError, ApiNotAuthorizedError
from x10.models.market import MarketModel
from x10.models.order import (
    NewOrderModel,
    OrderPriceType,
    OrderSide,
    OrderTpslType,
    OrderTriggerDirection,
    OrderTriggerPriceType,
    OrderType,
    TimeInForce,
)
from x10.signing.order_object import OrderConditionalTriggerParam, OrderTpslTriggerParam, create_order_object
from x10.utils.date import utc_now

from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.extended.facts import NO_LIMITS
from twinleg_sims.faults import FaultRequest, Faults
from twinleg_sims.protocol import AccountRequest
from twinleg_sims.server import Sims, running
from twinleg_sims.world import World

WAIT_S = 30
"""Far longer than anything here takes."""
BTC = "BTC-USD"
BUY, SELL = OrderSide.BUY, OrderSide.SELL
FEE = Decimal("0.00025")


class Venue:
    """The running simulator, an account of it and the SDK's clients for that."""

    def __init__(self, sims: Sims, core: ExtendedCore, config: ClientConfig, faults: Faults) -> None:
        self.sims, self.core, self.config, self.faults = sims, core, config, faults
        keys: dict[str, Any] = core.open_account(AccountRequest(name="main"))
        self.account_id, self.api_key = keys["account_id"], keys["api_key"]
        self.account = StarkPerpetualAccount(keys["vault"], keys["private_key"], keys["public_key"], self.api_key)
        self.client = RestApiClient(config, self.account)
        self.markets: dict[str, MarketModel] = {}

    @property
    def mark(self) -> Decimal:
        return Decimal(round(self.sims.world.market("extended", BTC).mark_price))

    def order(self, qty: str, price: Decimal, side: OrderSide, **more: Any) -> NewOrderModel:
        defaults: dict[str, Any] = {"taker_fee": FEE, "expire_time": utc_now() + timedelta(hours=1)}
        return create_order_object(
            account=self.account, market=self.markets[BTC], amount_of_synthetic=Decimal(qty), price=price, side=side,
            starknet_domain=self.config.signing.starknet_domain, **(defaults | more),
        )  # fmt: skip

    async def until(self, order_id: int, *statuses: str) -> Any:
        """Poll an order until it reads so; before that it may well be a 404."""
        while True:
            try:
                order = (await self.client.account.get_order_by_id(order_id)).data
            except ApiError as error:
                if "404" not in str(error):
                    raise
            else:
                if order.status in statuses:
                    return order
            await asyncio.sleep(0.02)

    def fault(self, kind: str, value: str = "") -> None:
        self.faults.add(FaultRequest(kind, "extended", value=value), self.sims.now_ms)


@asynccontextmanager
async def venue() -> AsyncIterator[Venue]:
    world, faults = World(7, 2, time.time_ns() // 1_000_000), Faults()
    core = ExtendedCore(world, faults, NO_LIMITS)
    world.advance(time.time_ns() // 1_000_000)
    async with running(world, [core], faults) as sims, asyncio.timeout(WAIT_S):
        urls = sims.urls["extended"]
        endpoints = replace(
            TESTNET_CONFIG.endpoints,
            api_base_url=urls.rest,
            api_base_order_management_url=urls.rest,
            stream_url=urls.stream,
            stream_rpc_url=urls.stream.removesuffix("/v1") + "/v2/rpc",
        )
        here = Venue(sims, core, replace(TESTNET_CONFIG, endpoints=endpoints), faults)
        async with here.client:
            here.markets = await here.client.info.get_markets_dict()
            yield here


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    logging.getLogger("x10").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("x10").setLevel(logging.NOTSET)


def leg(trigger: Decimal, price: Decimal) -> OrderTpslTriggerParam:
    return OrderTpslTriggerParam(
        trigger_price=trigger, trigger_price_type=OrderTriggerPriceType.MARK, price=price,
        price_type=OrderPriceType.MARKET,
    )  # fmt: skip


async def test_every_order_shape_is_placed_and_read_back() -> None:
    async with venue() as here:
        account, orders, mark = here.client.account, here.client.orders, here.mark
        far_below, far_above = mark * 9 // 10, mark * 11 // 10
        builder = {"builder_fee": Decimal("0.0001"), "builder_id": 7}
        trigger = OrderConditionalTriggerParam(
            trigger_price=far_above, trigger_price_type=OrderTriggerPriceType.LAST,
            direction=OrderTriggerDirection.UP, execution_price_type=OrderPriceType.LIMIT,
        )  # fmt: skip
        exits = {"take_profit": leg(far_above, far_above - 1_000), "stop_loss": leg(far_below, far_below - 1_000)}
        shapes = {
            "bid": here.order("0.001", far_below, BUY),
            "ask": here.order("0.001", far_above, SELL, post_only=True, taker_fee=Decimal(0)),
            "market": here.order("0.01", mark * 101 // 100, BUY, order_type=OrderType.MARKET,
                                 time_in_force=TimeInForce.IOC),
            "conditional": here.order("0.001", far_above, BUY, order_type=OrderType.CONDITIONAL, trigger=trigger),
            "builder": here.order("0.001", far_below, BUY, **builder),
            "tob": here.order("0.001", far_below, BUY, post_only=True, time_in_force=TimeInForce.TOB),
            "order tpsl": here.order("0.001", far_below, BUY, tp_sl_type=OrderTpslType.ORDER, **exits),
            "position tpsl": here.order("0.001", far_below, BUY, tp_sl_type=OrderTpslType.POSITION, **exits),
        }  # fmt: skip
        ids = {name: (await orders.place_order(order)).data.id for name, order in shapes.items()}
        bought = await here.until(ids["market"], "FILLED")
        assert (bought.filled_qty, bought.type) == (Decimal("0.01"), "MARKET")
        await asyncio.sleep(0.4)
        pure = here.order("0", Decimal(0), SELL, order_type=OrderType.TPSL, tp_sl_type=OrderTpslType.POSITION,
                          reduce_only=True, **exits)  # fmt: skip
        ids["tpsl"] = (await orders.place_order(pure)).data.id
        read = {name: await here.until(number, *["NEW", "UNTRIGGERED", "FILLED"]) for name, number in ids.items()}
        assert {name: order.status for name, order in read.items()} == dict.fromkeys(ids, "NEW") | {
            "market": "FILLED", "conditional": "UNTRIGGERED", "tpsl": "UNTRIGGERED",
        }  # fmt: skip
        assert (read["tob"].time_in_force, read["tob"].post_only, read["ask"].side) == ("TOB", True, "SELL")
        by_name = (await account.get_order_by_external_id(shapes["bid"].id)).data
        assert [order.id for order in by_name] == [ids["bid"]]
        assert len((await account.get_open_orders(market_names=[BTC])).data) == 9
        assert {order.id for order in (await account.get_open_orders(order_side=SELL)).data} > {ids["ask"]}
        await orders.mass_cancel(cancel_all=True)
        assert (await here.until(ids["bid"], "CANCELLED")).cancelled_qty == Decimal("0.001")
        assert (await account.get_open_orders()).data == []
        ended = {order.id: order.status for order in (await account.get_orders_history()).data}
        assert {ended[number] for name, number in ids.items() if name != "market"} == {"CANCELLED"}


async def test_a_trade_there_and_back_is_read_everywhere() -> None:
    async with venue() as here:
        account, orders = here.client.account, here.client.orders
        start = (await account.get_balance()).data
        assert start.equity == start.balance == 100_000
        opening = here.order("0.05", here.mark * 101 // 100, BUY, time_in_force=TimeInForce.IOC)
        opened = (await orders.place_order(opening)).data
        assert opened.external_id == opening.id
        await here.until(opened.id, "FILLED")
        [position] = (await account.get_positions()).data
        assert (position.side, position.size, position.status) == ("LONG", Decimal("0.05"), "OPENED")
        held = (await account.get_balance()).data
        assert held.available_for_trade + held.initial_margin == held.equity
        assert held.equity == held.balance + held.unrealised_pnl
        closing = here.order("0.05", here.mark * 99 // 100, SELL, time_in_force=TimeInForce.IOC, reduce_only=True)
        closed = (await orders.place_order(closing)).data
        await here.until(closed.id, "FILLED")
        assert (await account.get_positions()).data == []
        [stay] = (await account.get_positions_history()).data
        trades = (await account.get_trades(market_names=[BTC])).data
        assert {trade.order_id for trade in trades} == {opened.id, closed.id}
        assert len((await account.get_trades(trade_side=SELL)).data) < len(trades)
        fees = sum(trade.fee for trade in trades)
        flow = sum(trade.value if trade.side == "SELL" else -trade.value for trade in trades)
        assert stay.realised_pnl == flow - fees
        assert stay.realised_pnl_breakdown.trade_pnl == flow
        assert (await account.get_balance()).data.balance == 100_000 + stay.realised_pnl
        page = await account.get_trades(limit=1)
        rest = await account.get_trades(cursor=page.pagination.cursor)
        assert [trade.id for trade in (*page.data, *rest.data)] == [trade.id for trade in trades]


async def test_the_account_s_other_reads() -> None:
    async with venue() as here:
        account = here.client.account
        assert (await account.get_account()).data.l2_vault == here.account.vault
        assert [each.id for each in (await account.get_accounts()).data] == [here.account_id]
        assert (await account.get_client()).data.id > 0
        fees = (await account.get_fees(market_names=[BTC])).data
        assert [(row.maker_fee_rate, row.taker_fee_rate) for row in fees] == [(0, FEE)]
        await account.update_leverage(BTC, Decimal(20))
        await asyncio.sleep(0.3)
        assert [row.leverage for row in (await account.get_leverage([BTC])).data] == [20]
        for leverage, code in ((Decimal("0.5"), 1049), (Decimal(51), 1050), (Decimal("10.001"), 1053)):
            with pytest.raises(ApiError, match=str(code)):
                await account.update_leverage(BTC, leverage)
        assert (await account.get_spot_balances()).data == (await account.asset_operations()).data == []
        await here.client.testnet.claim_testing_funds()
        assert [op.amount for op in (await account.asset_operations()).data] == [100_000]
        with pytest.raises(ApiError):
            await here.client.testnet.claim_testing_funds()


async def test_an_edit_takes_the_order_s_place() -> None:
    async with venue() as here:
        low = here.mark * 9 // 10
        first = here.order("0.001", low, BUY)
        first_id = (await here.client.orders.place_order(first)).data.id
        await here.until(first_id, "NEW")
        second = here.order("0.002", low - 100, BUY, previous_order_external_id=first.id)
        second_id = (await here.client.orders.place_order(second)).data.id
        assert (await here.until(second_id, "NEW")).qty == Decimal("0.002")
        assert (await here.until(first_id, "CANCELLED")).status_reason == "ORDER_REPLACED"
        with pytest.raises(ApiError, match="1142"):
            await here.client.orders.place_order(here.order("0.001", low, BUY, previous_order_external_id=first.id))
        await here.client.orders.cancel_order(second_id)
        await here.until(second_id, "CANCELLED")


async def test_tampered_orders_are_refused() -> None:
    async with venue() as here:
        order = here.order("0.001", here.mark * 9 // 10, BUY)
        stranger = StarkPerpetualAccount(here.account.vault, "0x123", "0x456", here.api_key)
        foreign = create_order_object(
            account=stranger, market=here.markets[BTC], amount_of_synthetic=Decimal("0.001"), price=order.price,
            side=BUY, starknet_domain=here.config.signing.starknet_domain, taker_fee=FEE,
        )  # fmt: skip
        assert order.settlement is not None
        vault = order.settlement.model_copy(update={"collateral_position": Decimal(1)})
        changes: list[tuple[dict[str, Any], int]] = [
            ({"price": order.price - 1}, 1101),
            ({"qty": Decimal("0.002")}, 1101),
            ({"side": SELL}, 1101),
            ({"fee": Decimal("0.0003")}, 1101),
            ({"nonce": order.nonce + 1}, 1101),
            ({"expiry_epoch_millis": order.expiry_epoch_millis + 1_000}, 1101),
            ({"settlement": vault}, 1102),
            ({"settlement": foreign.settlement}, 1100),
        ]
        for change, code in changes:
            side = {"price": here.mark * 11 // 10} if change == {"side": SELL} else {}
            with pytest.raises(ApiError, match=f'"code":{code}'):
                await here.client.orders.place_order(order.model_copy(update=change | side))
        await here.client.orders.place_order(order)
        with pytest.raises(ApiError, match="1134"):
            await here.client.orders.place_order(order)


async def test_the_blocking_client_places_and_cancels() -> None:
    async with venue() as here:
        client = await BlockingTradingClient.create(here.config, here.account)
        try:
            low = here.mark * 9 // 10
            placed = await client.create_and_place_order(BTC, Decimal("0.001"), low, BUY, FEE, external_id="one")
            assert (placed.status, placed.external_id) == ("NEW", "one")
            assert (await client.cancel_order("one")).operation_ms > 0
            high = here.mark * 101 // 100
            taken = await client.create_and_place_order(
                BTC, Decimal("0.001"), high, BUY, FEE, external_id="two", time_in_force=TimeInForce.IOC
            )
            assert taken.status == "FILLED"
        finally:
            await client.close()
            for module in ("info", "orders"):  # the client itself never does
                await getattr(client, f"_BlockingTradingClient__{module}_module").close_session()


async def test_both_account_streams_tell_of_a_trade() -> None:
    heard: dict[str, list[Any]] = {"v1": [], "v2": []}
    complete = asyncio.Event()

    def hear(message: Any) -> None:
        heard["v2"].append(message)
        if len(heard["v2"]) >= 8:
            complete.set()

    async with venue() as here:
        streams = StreamClient(api_url=here.config.endpoints.stream_url)
        client = StreamRpcClient(api_url=here.config.endpoints.stream_rpc_url)
        async with client, streams.subscribe_to_account_updates(here.api_key) as stream:
            topic = AccountParams(account=str(here.account_id), api_key=here.api_key)
            await client.subscribe(params=topic, handler=hear)
            opening = [await stream.recv() for _ in range(3)]
            assert {message.type for message in opening} == {"ORDER", "POSITION", "BALANCE"}
            order = here.order("0.001", here.mark * 101 // 100, BUY, time_in_force=TimeInForce.IOC)
            await here.client.orders.place_order(order)
            heard["v1"] = [await stream.recv() for _ in range(5)]
            await complete.wait()
    assert [message.seq for message in (*opening, *heard["v1"])] == list(range(1, 9))
    types = [message.type for message in heard["v1"]]
    assert (types[0], sorted(types[1:3]), types[3:]) == ("ORDER", ["BALANCE", "TRADE"], ["POSITION", "BALANCE"])
    assert [message.type for message in heard["v2"][3:]] == [f"ACCOUNT.{kind}" for kind in types]
    assert heard["v1"][0].data.orders[0].status == "FILLED"


async def test_a_wrong_key_is_not_let_in() -> None:
    async with venue() as here:
        account = StarkPerpetualAccount(here.account.vault, "0x1", "0x2", "nobody")
        async with RestApiClient(here.config, account) as client:
            with pytest.raises(ApiNotAuthorizedError):
                await client.account.get_balance()
        here.fault("key_revoked")
        with pytest.raises(ApiNotAuthorizedError):
            await here.client.account.get_balance()


async def test_a_lost_answer_breaks_the_connection_and_the_order_lives() -> None:
    async with venue() as here:
        here.fault("lost_ack")
        order = here.order("0.001", here.mark * 9 // 10, BUY)
        with pytest.raises(aiohttp.ClientConnectionError):
            await here.client.orders.place_order(order)
        found: list[Any] = []
        while not found:
            await asyncio.sleep(0.02)
            found = (await here.client.account.get_order_by_external_id(order.id)).data
        assert found[0].status == "NEW"

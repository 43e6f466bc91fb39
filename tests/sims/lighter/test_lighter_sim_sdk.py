"""The unmodified SDK trades against the simulator: signer, nonces, batches, tokens, every kind of order."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import lighter
import pytest
from lighter.signer_client import CreateOrderTxReq, SignerClient, create_api_key

from twinleg_sims.faults import Faults
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.lighter.facts import NO_LIMITS
from twinleg_sims.lighter.gate import Setup
from twinleg_sims.protocol import AccountRequest
from twinleg_sims.server import Sims, running
from twinleg_sims.world import World

ROOT = Path(__file__).parents[3]
ETH = 0
GTT, IOC, POST_ONLY = 1, 0, 2


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Desk:
    """A running venue, an account on it and the official client of that account."""

    sims: Sims
    core: LighterCore
    account: dict[str, Any]
    client: SignerClient
    api: lighter.ApiClient

    @property
    def index(self) -> int:
        return int(self.account["account_index"])

    @property
    def token(self) -> str:
        made, error = self.client.create_auth_token_with_expiry(600, api_key_index=4)
        assert error is None
        return str(made)

    def ticks(self, side: str, away: int = 0) -> int:
        """`away` ticks beyond the best price a buyer ("ask") or seller ("bid") meets."""
        best = self.sims.world.market("lighter", "ETH").book.best(side)  # type: ignore[arg-type]
        assert best is not None
        return best + away if side == "ask" else best - away

    async def order(self, client_index: int, size: int, price: int, **order: Any) -> Any:
        """A limit order in ETH; the venue's answer."""
        kind = {"is_ask": False, "order_type": 0, "time_in_force": GTT} | order
        _, answer, error = await self.client.create_order(ETH, client_index, size, price, **kind)
        assert error is None, error
        assert answer.code == 200
        return answer

    async def refused(self, client_index: int, size: int, price: int, **order: Any) -> str:
        """The text of the venue's refusal."""
        kind = {"is_ask": False, "order_type": 0, "time_in_force": GTT} | order
        _, answer, error = await self.client.create_order(ETH, client_index, size, price, **kind)
        assert answer is None
        assert error is not None
        return str(error)

    async def orders(self, *client_indexes: int) -> list[Any]:
        listed = ",".join(str(index) for index in client_indexes)
        found = await lighter.OrderApi(self.api).account_orders(
            account_index=self.index, client_order_indexes=listed, authorization=self.token
        )
        return list(found.orders)

    async def until(self, client_index: int, *states: str) -> Any:
        """The order once it is in one of these states."""
        for _ in range(400):
            for order in await self.orders(client_index):
                if order.status in states:
                    return order
            await asyncio.sleep(0.05)
        raise AssertionError(f"{client_index} never became {states}: {await self.orders(client_index)}")

    async def fate(self, answer: Any) -> Any:
        """A transaction once it is executed or failed."""
        for _ in range(400):
            found = await lighter.TransactionApi(self.api).tx(by="hash", value=answer.tx_hash)
            if found.status != 1:
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"{answer.tx_hash} is pending for ever")

    async def position(self) -> float:
        found = await lighter.AccountApi(self.api).account(by="index", value=str(self.index))
        rows = [row for row in found.accounts[0].positions if row.market_id == ETH]
        return float(rows[0].position) * rows[0].sign if rows else 0.0

    def fault(self, text: str) -> None:
        self.sims.faults.add_text(f"lighter:{text}", self.sims.now_ms)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    world, faults = World(4, 4, time.time_ns() // 1_000_000), Faults()
    core = LighterCore(world, faults, NO_LIMITS, Setup(signatures="all"))
    account: dict[str, Any] = core.open_account(AccountRequest(equity_usd=50_000))
    async with running(world, [core], faults) as sims:
        keys = {4: account["api_private_key"]}
        client = SignerClient(sims.lighter_url, account["account_index"], keys, chain_id=304)
        api = lighter.ApiClient(lighter.Configuration(host=sims.lighter_url))
        try:
            yield Desk(sims, core, account, client, api)
        finally:
            await client.close()
            await api.close()


async def test_the_client_checks_its_key(desk: Desk) -> None:
    assert await asyncio.to_thread(desk.client.check_client) is None
    other, _, _ = create_api_key()
    stranger = SignerClient(desk.sims.lighter_url, desk.index, {5: other}, chain_id=304)
    try:
        assert "on api key 5" in str(await asyncio.to_thread(stranger.check_client))
    finally:
        await stranger.close()


async def test_an_order_rests_is_changed_and_cancelled(desk: Desk) -> None:
    answer = await desk.order(41, 200, desk.ticks("bid", 50_00))
    assert len(answer.tx_hash) == 80
    assert answer.predicted_execution_time_ms > desk.sims.now_ms - 5_000
    order = await desk.until(41, "open")
    assert (order.initial_base_amount, order.type, order.time_in_force) == ("0.0200", "limit", "good-till-time")
    assert (await desk.fate(answer)).status == 2
    _, changed, error = await desk.client.modify_order(ETH, 41, 300, desk.ticks("bid", 60_00), 0)
    assert error is None
    assert (await desk.fate(changed)).status == 2
    [after] = await desk.orders(41)
    assert (after.order_index, after.order_version, after.initial_base_amount) == (order.order_index, 1, "0.0300")
    _, gone, error = await desk.client.cancel_order(ETH, order.order_index)
    assert error is None
    assert (await desk.fate(gone)).status == 2
    assert (await desk.until(41, "canceled")).filled_base_amount == "0.0000"


async def test_takers_fill_and_positions_balance(desk: Desk) -> None:
    await desk.order(1, 500, desk.ticks("ask", 20_00), time_in_force=IOC, order_expiry=0)
    order = await desk.until(1, "filled")
    assert order.filled_base_amount == "0.0500"
    assert await desk.position() == 0.05
    _, answer, error = await desk.client.create_market_order(ETH, 2, 800, desk.ticks("bid", 20_00), True)
    assert (error, answer.code) == (None, 200)
    await desk.until(2, "filled")
    assert await desk.position() == pytest.approx(-0.03)
    trades = await lighter.OrderApi(desk.api).trades(
        sort_by="timestamp", limit=100, account_index=desk.index, authorization=desk.token
    )
    mine = [trade for trade in trades.trades if desk.index in (trade.ask_account_id, trade.bid_account_id)]
    assert len(mine) == len(trades.trades)
    bought = sum(float(t.size) for t in mine if t.bid_account_id == desk.index)
    sold = sum(float(t.size) for t in mine if t.ask_account_id == desk.index)
    assert (bought, sold) == pytest.approx((0.05, 0.08))
    assert {t.bid_client_id for t in mine if t.bid_account_id == desk.index} == {1}
    assert all(t.bid_id == order.order_index for t in mine if t.bid_account_id == desk.index)


async def test_reduce_only_post_only_and_margin(desk: Desk) -> None:
    idle = await desk.order(
        1, 500, desk.ticks("bid", 1_00), is_ask=True, reduce_only=True, time_in_force=IOC, order_expiry=0
    )
    fate = await desk.fate(idle)
    assert (fate.status, json.loads(json.loads(fate.event_info)["ae"])["code"]) == (0, 21732)
    assert await desk.orders(1) == [], "nobody ever sees it"
    await desk.order(2, 500, desk.ticks("ask", 1_00), time_in_force=POST_ONLY)
    assert (await desk.until(2, "canceled-post-only")).filled_base_amount == "0.0000"
    greedy = await desk.order(3, 9_000_000, desk.ticks("ask", 1_00), time_in_force=IOC, order_expiry=0)
    fate = await desk.fate(greedy)
    assert (fate.status, json.loads(json.loads(fate.event_info)["ae"])["code"]) == (0, 21739)
    assert "21739" in await desk.refused(4, 9_000_000, desk.ticks("bid", 1_00), time_in_force=POST_ONLY)


async def test_stops_wait_and_groups_hang_together(desk: Desk) -> None:
    expiry = desk.sims.now_ms + 3_600_000
    await desk.order(1, 500, desk.ticks("ask", 20_00), time_in_force=IOC, order_expiry=0)
    await desk.until(1, "filled")
    mark = desk.ticks("bid")
    _, answer, error = await desk.client.create_sl_order(ETH, 2, 500, mark - 100_00, mark - 110_00, True, True)
    assert (error, answer.code) == (None, 200)
    _, answer, error = await desk.client.create_tp_limit_order(ETH, 3, 500, mark + 100_00, mark + 100_00, True, True)
    assert (error, answer.code) == (None, 200)
    stop = await desk.until(2, "pending")
    assert (stop.type, stop.trigger_status) == ("stop-loss", "mark-price")
    assert (await desk.until(3, "pending")).type == "take-profit-limit"
    _, answer, error = await desk.client.cancel_all_orders(0, 0)
    assert error is None
    await desk.until(2, "canceled")
    await desk.until(3, "canceled")
    orders = [
        CreateOrderTxReq(ETH, 10, 500, mark - 200_00, 0, 0, GTT, 0, 0, expiry),
        CreateOrderTxReq(ETH, 11, 0, mark - 300_00, 1, 2, IOC, 1, mark - 290_00, expiry),
        CreateOrderTxReq(ETH, 12, 0, mark + 300_00, 1, 4, IOC, 1, mark + 310_00, expiry),
    ]
    _, answer, error = await desk.client.create_grouped_orders(3, orders)
    assert (error, answer.code) == (None, 200)
    await desk.until(10, "open")
    pair = [
        CreateOrderTxReq(ETH, 21, 500, mark - 300_00, 1, 2, IOC, 1, mark - 290_00, expiry),
        CreateOrderTxReq(ETH, 22, 500, mark + 300_00, 1, 4, IOC, 1, mark + 310_00, expiry),
    ]
    _, answer, error = await desk.client.create_grouped_orders(2, pair)
    assert (error, answer.code) == (None, 200)
    await desk.until(21, "pending")
    await desk.until(22, "pending")


async def test_leverage_is_set_and_isolated_margin_refused(desk: Desk) -> None:
    _, answer, error = await desk.client.update_leverage(ETH, 0, 25)
    assert error is None
    assert (await desk.fate(answer)).status == 2
    found = await lighter.AccountApi(desk.api).account(by="index", value=str(desk.index))
    assert [row.initial_margin_fraction for row in found.accounts[0].positions] == ["4.00"]
    _, _, error = await desk.client.update_leverage(ETH, 1, 25)
    assert "21613" in str(error)


async def test_a_batch_goes_in_whole_or_not_at_all(desk: Desk) -> None:
    def signed(client_index: int, nonce: int, price: int) -> tuple[int, str]:
        kind, info, _, error = desk.client.sign_create_order(
            ETH, client_index, 200, price, False, 0, GTT, nonce=nonce, api_key_index=4
        )
        assert error is None
        return kind, info

    price = desk.ticks("bid", 90_00)
    types, infos = zip(*[signed(n, n, price) for n in range(1, 4)], strict=True)
    with pytest.raises(lighter.exceptions.BadRequestException, match="21104"):
        await desk.client.send_tx_batch(list(types), list(infos))
    types, infos = zip(*[signed(n, n, price) for n in range(3)], strict=True)
    answer = await desk.client.send_tx_batch(list(types), list(infos))
    assert (answer.code, len(answer.tx_hash)) == (200, 3)
    for client_index in (1, 2):
        await desk.until(client_index, "open")
    types, infos = zip(signed(7, 3, price), signed(8, 5, price), strict=True)
    with pytest.raises(lighter.exceptions.BadRequestException, match="21105"):
        await desk.client.send_tx_batch(list(types), list(infos))
    nonce = await lighter.TransactionApi(desk.api).next_nonce(account_index=desk.index, api_key_index=4)
    assert nonce.nonce == 3


async def test_the_client_finds_its_nonce_again(desk: Desk) -> None:
    price = desk.ticks("bid", 90_00)
    await desk.order(1, 200, price)
    desk.fault("nonce_taken")
    assert "invalid nonce" in await desk.refused(2, 200, price)
    await desk.order(3, 200, price)
    assert "already exists" in await desk.refused(3, 200, price)
    await desk.order(4, 200, price)


async def test_an_answer_may_be_lost_and_the_order_live(desk: Desk) -> None:
    price = desk.ticks("bid", 90_00)
    desk.fault("error_ack")
    with pytest.raises(lighter.exceptions.ServiceException):
        await desk.order(1, 200, price)
    await desk.until(1, "open")
    desk.fault("write_429:for_s=1")
    with pytest.raises(lighter.exceptions.ApiException):
        await desk.order(2, 200, price)
    await desk.client.nonce_manager.async_hard_refresh_nonce(4)
    desk.sims.faults.clear("lighter")
    await desk.order(3, 200, price)
    assert await desk.orders(2) == []
    desk.fault("refused_ack")
    _, answer, error = await desk.client.create_order(ETH, 4, 200, price, False, 0, GTT)
    assert (answer.code, error) == (21506, None)


async def test_keys_are_registered_by_the_wallet(desk: Desk) -> None:
    private, public, _ = create_api_key()
    fresh = SignerClient(desk.sims.lighter_url, desk.index, {9: private}, chain_id=304)
    try:
        with pytest.raises(lighter.exceptions.BadRequestException, match="21504"):
            await fresh.change_api_key("0x" + "22" * 32, public, nonce=0, api_key_index=9)
        answer, error = await fresh.change_api_key(desk.account["l1_private_key"], public, nonce=0, api_key_index=9)
        assert error is None
        assert (await desk.fate(answer)).status == 2
        assert await asyncio.to_thread(fresh.check_client) is None
        _, answer, error = await fresh.cancel_all_orders(0, 0)
        assert (error, answer.code) == (None, 200)
    finally:
        await fresh.close()


async def test_the_wrong_chain_is_an_invalid_signature(desk: Desk) -> None:
    other = SignerClient(desk.sims.lighter_url, desk.index, {4: desk.account["api_private_key"]}, chain_id=300)
    try:
        _, _, error = await other.create_order(ETH, 1, 200, desk.ticks("bid", 90_00), False, 0, GTT)
        assert "21120" in str(error)
    finally:
        await other.close()


async def test_reads_need_a_token_of_the_account(desk: Desk) -> None:
    orders = lighter.OrderApi(desk.api)
    for token in (None, "x", desk.token.replace(f":{desk.index}:", ":1:")):
        with pytest.raises(lighter.exceptions.BadRequestException, match="20001"):
            await orders.account_active_orders(account_index=desk.index, authorization=token)
    assert (await orders.account_active_orders(account_index=desk.index, authorization=desk.token)).orders == []
    accounts = lighter.AccountApi(desk.api)
    limits = await accounts.account_limits(account_index=desk.index, authorization=desk.token)
    assert limits.user_tier == "standard"
    made = await accounts.tokens_create(
        "reader", desk.index, desk.sims.now_ms // 1000 + 90_000, False, authorization=desk.token
    )
    assert (await orders.account_active_orders(account_index=desk.index, authorization=made.api_token)).orders == []


async def test_the_socket_takes_transactions(desk: Desk) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(desk.sims.urls["lighter"].stream) as stream:
        assert (await stream.receive_json())["type"] == "connected"
        channels = ("account_all_orders", "account_all_trades", "account_all_positions", "user_stats", "account_tx")
        for channel in channels:
            await stream.send_json({"type": "subscribe", "channel": f"{channel}/{desk.index}", "auth": desk.token})
            assert (await stream.receive_json(timeout=10))["type"] == f"subscribed/{channel}"
        kind, info, tx_hash, _ = desk.client.sign_create_order(
            ETH, 77, 500, desk.ticks("ask", 20_00), False, 0, IOC, order_expiry=0, nonce=0, api_key_index=4
        )
        data = {"id": "my-1", "tx_type": kind, "tx_info": json.loads(info)}
        await stream.send_json({"type": "jsonapi/sendtx", "data": data})
        seen: dict[str, list[dict[str, Any]]] = {}
        while len(seen.get("update/account_tx", [])) < 2 or "update/account_all_positions" not in seen:
            frame = await stream.receive_json(timeout=10)
            seen.setdefault(frame["type"], []).append(frame)
        assert "update/account_all_trades" in seen
        [ack] = seen["jsonapi/sendtx"]
        assert (ack["id"], ack["tx_hash"], ack["code"]) == ("my-1", tx_hash, 200)
        [order] = [row for frame in seen["update/account_all_orders"] for row in frame["orders"]["0"]]
        assert (order["status"], order["client_order_index"]) == ("filled", 77)
        assert seen["update/account_all_positions"][-1]["positions"]["0"]["position"] == "0.0500"
        statuses = [row["status"] for frame in seen["update/account_tx"] for row in frame["txs"]]
        assert statuses == [1, 2]


async def test_the_official_stream_client_follows_the_account(desk: Desk) -> None:
    opened, filled = asyncio.Event(), asyncio.Event()

    def updated(_: str, state: dict[str, Any]) -> None:
        opened.set()
        if state["positions"].get("0", {}).get("position") == "0.0500":
            filled.set()

    stream = lighter.WsClient(
        ws_url=desk.sims.urls["lighter"].stream, account_ids=[desk.index], on_account_update=updated
    )
    following = asyncio.create_task(stream.run_async())
    try:
        await asyncio.wait_for(opened.wait(), 30)
        await desk.order(1, 500, desk.ticks("ask", 20_00), time_in_force=IOC, order_expiry=0)
        await asyncio.wait_for(filled.wait(), 30)
    finally:
        following.cancel()
        await asyncio.wait([following])


async def test_a_simulator_of_its_own_process_serves_a_new_account() -> None:
    """With the signer's own requests too, which would stop a loop that has to answer them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "twinleg_sims", "--port-base", "0", "--assets", "2", "--account",
        "lighter:equity_usd=5000", "--verify-signatures", "all", "--chain-id", "300", "--rest-lag-ms", "10",
        stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        [account] = ready["accounts"]
        keys = {int(index): key for index, key in account["api_private_keys"].items()}
        client = SignerClient(ready["lighter"]["rest"], account["account_index"], keys, chain_id=300)
        try:
            assert client.check_client() is None
            book = await lighter.OrderApi(client.api_client).order_book_orders(market_id=ETH, limit=1)
            price = int(book.bids[0].price.replace(".", "")) - 40_00
            for client_index, key in ((1, 4), (2, 5), (3, 5)):
                _, answer, error = await client.create_order(
                    ETH, client_index, 200, price, False, 0, GTT, api_key_index=key
                )
                assert (error, answer.code) == (None, 200)
            private, public, _ = create_api_key()
            fresh = SignerClient(ready["lighter"]["rest"], account["account_index"], {8: private}, chain_id=300)
            try:
                answer, error = await fresh.change_api_key(account["l1_private_key"], public, api_key_index=8)
                assert (error, answer.code) == (None, 200)
            finally:
                await fresh.close()
        finally:
            await client.close()
    finally:
        process.terminate()
        await process.wait()

"""The unmodified driftpy against a running simulator; run by the test in a process of its own.

Boots in the mode that is named, places, cancels, fills and closes, and prints what it saw as one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from anchorpy import Wallet
from driftpy.account_subscription_config import AccountSubscriptionConfig
from driftpy.accounts.bulk_account_loader import BulkAccountLoader
from driftpy.drift_client import DriftClient
from driftpy.events.event_subscriber import EventSubscriber
from driftpy.types import (
    MarketType,
    OracleInfo,
    OracleSource,
    OrderParams,
    OrderType,
    PositionDirection,
    PostOnlyParams,
    TxParams,
)
from solana.rpc.async_api import AsyncClient
from solana.rpc.core import RPCException
from solders.keypair import Keypair
from solders.pubkey import Pubkey

SIZE = 10**8
TRIES = 150


def config(mode: str, connection: AsyncClient) -> Any:
    if mode == "polling":
        return AccountSubscriptionConfig("polling", bulk_account_loader=BulkAccountLoader(connection, frequency=1))
    return AccountSubscriptionConfig("cached" if mode == "cached" else "websocket")


class Trader:
    """A client with its user; `seen` is what becomes the answer."""

    def __init__(self, mode: str, client: DriftClient) -> None:
        self.mode = mode
        self.client = client
        self.seen: dict[str, Any] = {"mode": mode}

    async def until(self, wanted: Any) -> Any:
        """Poll what the client knows until it is so; RuntimeError when it never is."""
        user = self.client.get_user()
        for _ in range(TRIES):
            if self.mode == "cached":
                await self.client.account_subscriber.fetch()
                await user.account_subscriber.fetch()
            found = wanted(user)
            if found:
                return found
            await asyncio.sleep(0.2)
        raise RuntimeError(f"{self.mode}: it never came to that")

    async def trade(self) -> None:
        price = self.client.get_oracle_price_data_for_perp_market(0).price
        self.seen["collateral"] = int(self.client.get_user().get_free_collateral())
        resting = limit(price * 9 // 10, user_order_id=5, post_only=PostOnlyParams.MustPostOnly())
        await self.client.place_perp_order(resting)
        self.seen["open"] = await self.until(lambda user: [o.user_order_id for o in user.get_open_orders()] or None)
        await self.client.cancel_orders()
        await self.until(lambda user: not user.get_open_orders())
        await self.client.place_perp_order(market(PositionDirection.Long()))
        position = await self.until(lambda user: held(user) and user.get_perp_position(0))
        self.seen["base"], self.seen["paid"] = position.base_asset_amount, -position.quote_asset_amount
        self.seen["price"] = price
        try:
            await self.client.place_perp_order(limit(price * 9 // 10, base_asset_amount=10**15))
        except RPCException as error:
            self.seen["refused"] = "6003" in str(error) or "0x1773" in str(error)
        await self.client.place_perp_order(market(PositionDirection.Short(), reduce_only=True))
        await self.until(lambda user: not held(user))
        self.seen["closed"] = True


def held(user: Any) -> int:
    position = user.get_perp_position(0)
    return int(position.base_asset_amount) if position else 0


def limit(price: int, **words: Any) -> OrderParams:
    words = {"base_asset_amount": SIZE, **words}
    direction, kind = PositionDirection.Long(), MarketType.Perp()
    return OrderParams(OrderType.Limit(), market_index=0, direction=direction, market_type=kind, price=price, **words)


def market(direction: Any, **words: Any) -> OrderParams:
    kind = MarketType.Perp()
    return OrderParams(OrderType.Market(), SIZE, market_index=0, direction=direction, market_type=kind, **words)


async def run(mode: str, ready: dict[str, Any]) -> dict[str, Any]:
    account = ready["accounts"][0]
    connection = AsyncClient(ready["drift"]["rest"], commitment="confirmed")
    named: dict[str, Any] = {}
    if mode == "indexes":
        infos = [OracleInfo(Pubkey.from_string(ready["oracles"]["SOL"]), OracleSource.PythLazer())]
        infos += [OracleInfo(Pubkey.from_string(ready["oracles"]["USDC"]), OracleSource.PythLazerStableCoin())]
        named = {"perp_market_indexes": [0], "spot_market_indexes": [0, 1], "oracle_infos": infos}
    client = DriftClient(
        connection,
        Wallet(Keypair.from_base58_string(account["private_key"])),
        env="mainnet",
        account_subscription=config(mode, connection),
        tx_params=TxParams(600_000, 0),
        **named,
    )
    await client.subscribe()
    events: list[str] = []
    if mode == "websocket":
        heard = EventSubscriber(connection, client.program)
        heard.event_emitter.new_event += lambda event: events.append(event.event_type)
        heard.subscribe()
        await asyncio.sleep(1.0)
    trader = Trader(mode, client)
    await trader.trade()
    trader.seen["events"] = sorted(set(events))
    return trader.seen


if __name__ == "__main__":
    result = asyncio.run(asyncio.wait_for(run(sys.argv[1], json.loads(sys.argv[2])), 240))
    sys.stdout.write(f"SEEN {json.dumps(result)}\n")
    sys.stdout.flush()
    os._exit(0)  # the client's own tasks do not end

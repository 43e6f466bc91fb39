"""One shape of order for every venue, in human units. Inside it is the venues' own: the same checks, the same path."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from twinleg.core.amounts import Grid
from twinleg.gateway.bodies import EXTERNAL_ID, AnyOrder, Cancel, ExtendedOrder, LighterOrder, Modify, ModifyAny
from twinleg.gateway.orders import (
    PROBLEMS,
    VENUE,
    Done,
    Modified,
    Places,
    do_cancel,
    do_extended,
    do_lighter,
    do_modify,
    echo,
    market_of,
    named,
    steps,
)
from twinleg.gateway.placing import Answered, Placing

router = APIRouter(responses=PROBLEMS, tags=["unified"])


class Placed(BaseModel):
    """The venue has it."""

    venue: str
    client_id: str
    """What to look it up, change and cancel it by."""
    order_id: str | None = None
    """The venue's own id, where it tells one at once (Extended)."""
    tx_hash: str | None = None
    payload: Any
    """What the venue replied."""


@router.post("/orders")
async def place(order: AnyOrder, placing: Places) -> Placed:
    """Place an order."""
    return Placed(**await placing.submit(order.venue, echo(order), _place(order, placing)))


@router.patch("/orders")
async def change(body: ModifyAny, placing: Places) -> Modified:
    """Another size and price for a resting order."""
    plain = Modify(**body.model_dump(exclude={"venue"}))
    return Modified(
        **await placing.submit(body.venue, named("modify", body.venue, body), do_modify(body.venue, plain, placing))
    )


@router.delete("/orders")
async def cancel(
    placing: Places,
    venue: VENUE,
    market: Annotated[str, Query(min_length=1, max_length=40)],
    client_id: Annotated[str, Query(pattern=EXTERNAL_ID)],
) -> Done:
    """Take back a resting order."""
    body = Cancel(market=market, client_id=client_id, order_id=None)
    return Done(**await placing.submit(venue, named("cancel", venue, body), do_cancel(venue, body, placing)))


async def _place(order: AnyOrder, placing: Placing) -> Answered:
    """Raises Problem."""
    if order.venue == "extended":
        told = await do_extended(_as_extended(order), placing)
        return {**told, "venue": "extended", "client_id": told["external_id"], "order_id": str(told["id"])}
    told = await do_lighter(_as_lighter(order, placing), placing)
    return {**told, "venue": "lighter", "client_id": str(told["client_order_index"])}


def _as_extended(order: AnyOrder) -> ExtendedOrder:
    return ExtendedOrder(
        market=order.market,
        side=order.side,
        qty=order.size,
        price=order.price,
        order_type=order.order_type,
        post_only=order.post_only,
        reduce_only=order.reduce_only,
        time_in_force=None if order.time_in_force is None else "ioc" if order.time_in_force == "ioc" else "gtt",
        external_id=order.client_id,
        expiry_epoch_millis=None,
    )


def _as_lighter(order: AnyOrder, placing: Placing) -> LighterOrder:
    """Human decimals as the market's integers, exactly. Raises Problem."""
    market = market_of(placing.post("lighter"), order.market)
    price = units(market.price_grid, steps(market.price_grid, order.price, "price"))
    by_market = order.order_type == "market"
    return LighterOrder(
        market_index=int(market.native_id),
        client_order_index=int(order.client_id or 0),
        base_amount=units(market.size_grid, steps(market.size_grid, order.size, "size")),
        is_ask=order.side == "sell",
        order_type=order.order_type,
        price=None if by_market else price,
        avg_execution_price=price if by_market else None,
        reduce_only=order.reduce_only,
        time_in_force="post_only" if order.post_only else order.time_in_force,
    )


def units(grid: Grid, count: int) -> int:
    """So many steps in units of the grid's decimals."""
    return int(Fraction(count) * grid.unit * 10**grid.decimals)

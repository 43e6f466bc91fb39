"""Each venue's orders over HTTP: place, modify, cancel, cancel all."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, cast

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from twinleg.core.amounts import AmountError, Grid
from twinleg.core.messages import Market
from twinleg.core.orders import Side
from twinleg.core.trading import OrderSeen, client_id_of, number_of
from twinleg.gateway.bodies import Body, Cancel, CancelAll, DriftOrder, ExtendedOrder, LighterOrder, Modify
from twinleg.gateway.outcomes import payload_of
from twinleg.gateway.placing import Answered, Placing, Wanted, look_up
from twinleg.gateway.problems import Problem, ProblemDetails
from twinleg.gateway.site import Post, Site
from twinleg.runtime.account_reads import Unread
from twinleg.runtime.traders import callers_change, callers_order

VENUE = Literal["lighter", "extended"]
DAY_MS = 86_400_000
RESTS_MS = 28 * DAY_MS - 60_000
"""A resting order that names no end has nearly the most that both venues give: Lighter 30 days, Extended 28."""
AT_ONCE_MS = 60_000
"""Extended's orders that are over at once have an end too; sooner, a lost one is known sooner."""
LIGHTER_TYPES = {
    "limit": 0,
    "market": 1,
    "stop_loss": 2,
    "stop_loss_limit": 3,
    "take_profit": 4,
    "take_profit_limit": 5,
    "twap": 6,
}
LIGHTER_LIVES = {"ioc": 0, "gtc": 1, "post_only": 2}
LIGHTER_AT_ONCE = frozenset({"market", "stop_loss", "take_profit"})
LIGHTER_TRIGGERED = frozenset({"stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit"})

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": ProblemDetails, "description": "the venue refuses it"},
    403: {"model": ProblemDetails, "description": "above a cap, or not allowed here"},
    404: {"model": ProblemDetails, "description": "there is no such order, market or venue"},
    409: {
        "model": ProblemDetails,
        "description": "not as things stand: dry_run, margin, nonce, a name twice",
    },
    413: {"model": ProblemDetails, "description": "too large"},
    422: {"model": ProblemDetails, "description": "it makes no sense, and why"},
    429: {"model": ProblemDetails, "description": "too much at once; Retry-After says when to come again"},
    502: {"model": ProblemDetails, "description": "the venue refuses the gateway's own key"},
    503: {"model": ProblemDetails, "description": "nothing was sent: the venue is down or out of reach"},
    504: {"model": ProblemDetails, "description": "the venue may have it or not: look it up by its name"},
}

router = APIRouter(responses=PROBLEMS, tags=["orders"])


class LighterAnswer(BaseModel):
    """Lighter has queued it; its events tell what came of it."""

    tx_hash: str
    client_order_index: int
    payload: Any
    """What the venue replied."""


class ExtendedAnswer(BaseModel):
    """Extended has it; its events tell what came of it."""

    id: int
    external_id: str
    payload: Any
    """What the venue replied."""


class Done(BaseModel):
    """The venue has taken the request."""

    venue: str
    payload: Any
    """What the venue replied."""


class Modified(Done):
    """The venue has taken the change. `client_id` is the order's name from now on."""

    client_id: str


def site_of(request: Request) -> Site:
    """What the application was started with."""
    return cast("Site", request.app.state.site)


def placing_of(request: Request) -> Placing:
    return cast("Placing", request.app.state.placing)


Places = Annotated[Placing, Depends(placing_of)]


@router.post("/orders/lighter")
async def place_lighter(order: LighterOrder, placing: Places) -> LighterAnswer:
    """Place an order at Lighter, in the SDK's integer units: decimals differ per market (GET /markets)."""
    return LighterAnswer(**await placing.submit("lighter", echo(order), do_lighter(order, placing)))


@router.post("/orders/extended")
async def place_extended(order: ExtendedOrder, placing: Places) -> ExtendedAnswer:
    """Place an order at Extended, in human units."""
    return ExtendedAnswer(**await placing.submit("extended", echo(order), do_extended(order, placing)))


@router.post("/orders/drift")
async def place_drift(order: DriftOrder, placing: Places) -> Done:
    """Place an order at Drift. Not in this version: validated, and refused."""

    async def refuse() -> Answered:
        raise Problem(409, "venue_disabled", "drift is not in this version")

    return Done(**await placing.submit("drift", echo(order), refuse()))


@router.post("/orders/{venue}/modify")
async def modify(venue: VENUE, body: Modify, placing: Places) -> Modified:
    """Another size and price for a resting order. At Extended another order takes its place."""
    return Modified(**await placing.submit(venue, named("modify", venue, body), do_modify(venue, body, placing)))


@router.post("/orders/{venue}/cancel")
async def cancel(venue: VENUE, body: Cancel, placing: Places) -> Done:
    """Take back a resting order. That it is over is told by its state, not by this answer."""
    return Done(**await placing.submit(venue, named("cancel", venue, body), do_cancel(venue, body, placing)))


@router.post("/orders/{venue}/cancel-all")
async def cancel_all(venue: VENUE, body: CancelAll, placing: Places) -> Done:
    """Take back everything that rests on the account, anybody's, in one market or all."""
    return Done(**await placing.submit(venue, named("cancel-all", venue, body), do_cancel_all(venue, body, placing)))


def echo(body: Body) -> dict[str, object]:
    """A request as events tell it: what was given, and the venue."""
    given = body.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    venue = getattr(body, "venue", None)
    return given if venue is None else {"venue": venue, **given}


def named(action: str, venue: str, body: Body) -> dict[str, object]:
    return {"venue": venue, "action": action, **echo(body)}


async def do_lighter(order: LighterOrder, placing: Placing) -> Answered:
    post = placing.post("lighter")
    market = next(
        (one for one in post.listed if one.native_id == str(order.market_index)),
        None,
    )
    if market is None:
        raise Problem(422, "unknown_market", f"lighter lists no market {order.market_index}")
    keys = post.venue.lanes()
    key = None if order.api_key_index is None else str(order.api_key_index)
    if key is not None and key not in keys:
        raise Problem(422, "unknown_slot", f"slot {key} is not configured; these are: {', '.join(keys)}")
    if not order.reduce_only:
        size = Fraction(order.base_amount, 10**market.size_grid.decimals)
        worst = Fraction(max(order.limit, order.trigger_price or 0), 10**market.price_grid.decimals)
        await placing.guard(post, market, Side.SELL if order.is_ask else Side.BUY, size, worst)
    wanted = Wanted(
        post=post,
        market=market,
        make=callers_order(post.venue, market, lighter_fields(order, placing.now_ms)),
        names={"client_order_index": order.client_order_index},
        urgent=order.reduce_only,
        placed=_as_placed(market, order, placing.now_ms),
        key=keys[0] if key is None and order.nonce is not None else key,
        nonce=order.nonce,
    )
    sent, signed = await placing.place(wanted)
    names = {"tx_hash": signed.correlation, "client_order_index": order.client_order_index}
    return {**names, "payload": payload_of(sent)}


def _as_placed(market: Market, order: LighterOrder, now_ms: int) -> OrderSeen:
    return OrderSeen(
        venue="lighter",
        market=market.key,
        client_id=None,
        venue_order_id="",
        side=Side.SELL if order.is_ask else Side.BUY,
        size_lots=order.base_amount // market.size_grid.step,
        filled_lots=0,
        price_ticks=order.limit // market.price_grid.step,
        reduce_only=order.reduce_only,
        resting=True,
        reason="placed",
        at_ms=now_ms,
        name=str(order.client_order_index),
    )


def lighter_fields(order: LighterOrder, now_ms: int) -> dict[str, Any]:
    """In the words of the venue's signer: codes for types and lives, an end where one is needed."""
    at_once = order.order_type in LIGHTER_AT_ONCE
    life = order.time_in_force or ("ioc" if at_once else "gtc")
    rests = life != "ioc" or order.order_type in LIGHTER_TRIGGERED
    expiry_ms = order.expiry_ms or (now_ms + RESTS_MS if rests else 0)
    return {
        "market_index": order.market_index,
        "client_order_index": order.client_order_index,
        "base_amount": order.base_amount,
        "price": order.limit,
        "is_ask": order.is_ask,
        "order_type": LIGHTER_TYPES[order.order_type],
        "time_in_force": LIGHTER_LIVES[life],
        "reduce_only": order.reduce_only,
        "trigger_price": order.trigger_price or 0,
        "expiry_ms": expiry_ms,
    }


async def do_extended(order: ExtendedOrder, placing: Placing) -> Answered:
    post = placing.post("extended")
    market = market_of(post, order.market)
    lots, ticks = steps(market.size_grid, order.qty, "qty"), steps(market.price_grid, order.price, "price")
    side = Side(order.side.lower())
    if not order.reduce_only:
        await placing.guard(post, market, side, Fraction(order.qty), Fraction(order.price))
    name = callers_name(order.external_id) or placing.name(post)
    life_ms = AT_ONCE_MS if order.ends_at_once else RESTS_MS
    fields = {
        "external_id": name,
        "side": side,
        "size_lots": lots,
        "limit_ticks": ticks,
        "type": order.order_type.upper(),
        "time_in_force": "IOC" if order.ends_at_once else "GTT",
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "expiry_ms": order.expiry_epoch_millis or placing.now_ms + life_ms,
    }
    wanted = Wanted(
        post=post,
        market=market,
        make=callers_order(post.venue, market, fields),
        names={"external_id": name},
        urgent=order.reduce_only,
        placed=OrderSeen(
            venue="extended",
            market=market.key,
            client_id=None,
            venue_order_id="",
            side=side,
            size_lots=lots,
            filled_lots=0,
            price_ticks=ticks,
            reduce_only=order.reduce_only,
            resting=True,
            reason="placed",
            at_ms=placing.now_ms,
            name=name,
        ),
    )
    sent, _ = await placing.place(wanted)
    return {"id": int(sent.venue_order_id or 0), "external_id": name, "payload": payload_of(sent)}


async def do_modify(venue: str, body: Modify, placing: Placing) -> Answered:
    post = placing.post(venue)
    market = market_of(post, body.market)
    lots, ticks = steps(market.size_grid, body.size, "size"), steps(market.price_grid, body.price, "price")
    seen = await _resting(post, market, body.client_id, placing)
    if not seen.reduce_only:
        await placing.guard(post, market, seen.side, Fraction(body.size), Fraction(body.price))
    new: dict[str, Any] = {"size_lots": lots, "limit_ticks": ticks}
    name = body.client_id
    if venue == "extended":
        name = callers_name(body.new_client_id) or placing.name(post)
        new |= {"external_id": name, "expiry_ms": placing.now_ms + RESTS_MS, "post_only": body.post_only}
    wanted = Wanted(
        post=post,
        market=market,
        make=callers_change(post.venue, market, seen, new),
        names={"client_id": name},
        urgent=seen.reduce_only,
        placed=_changed(seen, name, lots, ticks) if venue == "extended" else None,
    )
    sent, _ = await placing.place(wanted)
    return {"venue": venue, "client_id": name, "payload": payload_of(sent)}


def _changed(seen: OrderSeen, name: str, lots: int, ticks: int) -> OrderSeen:
    return msgspec.structs.replace(seen, name=name, size_lots=lots, price_ticks=ticks, filled_lots=0)


async def _resting(post: Post, market: Market, name: str, placing: Placing) -> OrderSeen:
    """The order that is to change. Raises Problem."""
    try:
        seen = await look_up(post, market, callers_name(name) or name, placing.now_ms)
    except ValueError as error:
        raise Problem(422, "invalid", str(error)) from None
    if isinstance(seen, Unread):
        raise Problem(503, "not_read", f"{post.venue.name} did not tell of the order: {seen.reason}", wait_s=1.0)
    seen = seen or placing.placed(post.venue.name, name)
    if seen is None or seen.market != market.key:
        raise Problem(404, "no_such_order", f"{post.venue.name} shows no order {name} in {market.symbol}")
    if not seen.resting:
        raise Problem(409, "order_over", f"order {name} is over: {seen.reason}")
    return seen


async def do_cancel(venue: str, body: Cancel, placing: Placing) -> Answered:
    post = placing.post(venue)
    market, gate = market_of(post, body.market), post.gate
    name = callers_name(body.client_id) or ""
    wanted = Wanted(
        post=post,
        market=market,
        make=lambda lane, now_ms: gate.venue.sign_cancel(name, body.order_id, market, lane, now_ms),
        names={"client_id": body.client_id} if body.client_id else {"order_id": body.order_id},
        urgent=True,
    )
    sent, _ = await placing.place(wanted)
    return {"venue": venue, "payload": payload_of(sent)}


async def do_cancel_all(venue: str, body: CancelAll, placing: Placing) -> Answered:
    post = placing.post(venue)
    market = None if body.market is None else market_of(post, body.market)
    wanted = Wanted(
        post=post,
        market=market,
        make=lambda lane, now_ms: post.venue.sign_cancel_all(market, lane, now_ms),
        names={},
        urgent=True,
    )
    sent, _ = await placing.place(wanted)
    return {"venue": venue, "payload": payload_of(sent)}


def market_of(post: Post, symbol: str) -> Market:
    """Raises Problem."""
    market = post.market(symbol)
    if market is None:
        raise Problem(422, "unknown_market", f"{post.venue.name} lists no market of that name")
    return market


def callers_name(name: str | None) -> str | None:
    """A caller's name for an order. Raises Problem for one that the engine's own orders have."""
    if name is None:
        return None
    try:
        ours = client_id_of(number_of(name)) == name
    except ValueError:
        ours = False
    if ours or (name.isdecimal() and client_id_of(int(name)) is not None):
        raise Problem(422, "reserved_name", "the engine's own orders have names like this: choose another")
    return name


def steps(grid: Grid, value: Decimal, field: str) -> int:
    """A human decimal as whole steps of a grid, exactly. Raises Problem."""
    try:
        return grid.parse(f"{value:f}")
    except AmountError:
        raise Problem(422, "off_grid", f"{field} must be a multiple of {grid.text(1)}") from None

"""What the venues say of the accounts and their markets. An answer that did not come is never shown as nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from twinleg import __version__
from twinleg.core.assets import asset_of
from twinleg.core.messages import Market
from twinleg.core.trading import (
    AccountRead,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    OrderSeen,
    PositionSeen,
)
from twinleg.gateway.bodies import EXTERNAL_ID, Amount
from twinleg.gateway.orders import PROBLEMS, VENUE, market_of, site_of
from twinleg.gateway.placing import look_up
from twinleg.gateway.problems import Problem
from twinleg.gateway.site import Post, Site
from twinleg.gateway.views import (
    balance_shown,
    fill_shown,
    market_shown,
    order_shown,
    position_shown,
)
from twinleg.runtime.account_reads import Unread

FILLS_BACK_MS = 86_400_000
LEVELS_MAX = 200

router = APIRouter(responses={code: PROBLEMS[code] for code in (403, 404, 422, 503)}, tags=["reads"])
Sites = Annotated[Site, Depends(site_of)]
OneVenue = Annotated[VENUE | None, Query(description="this venue only")]
Rows = list[dict[str, Any]]


class Health(BaseModel):
    """How the gateway is."""

    status: str
    """ok, or degraded: `reasons` say why."""
    drift_connected: bool
    lighter_connected: bool
    extended_connected: bool
    orders: str
    """live: what is posted is sent; refused: nothing is."""
    version: str
    mode: str
    """TRADING_MODE, as set or by default."""
    reasons: list[str]


class Listing(BaseModel):
    """Rows of every venue that answered, and why the others did not: without `missing` it is complete."""

    rows: Rows
    missing: dict[str, str] = {}


class Depth(BaseModel):
    """One book, best levels first: [price, size]."""

    venue: str
    market: str
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    age_ms: int
    buy_vwap: float | None = None
    """Average price of taking the size asked for; None when the book is too thin for it."""
    sell_vwap: float | None = None


@router.get("/health", tags=["health"], responses={503: PROBLEMS[503]})
async def health(site: Sites) -> Health:
    """Whether the venues are connected and orders are sent. 503 when the gateway itself failed."""
    if site.failure is not None:
        raise Problem(503, "not_ready", site.failure)
    up = {venue: post.down is None for venue, post in site.posts.items()}
    reasons = site.reasons
    return Health(
        status="degraded" if reasons else "ok",
        drift_connected=False,
        lighter_connected=up.get("lighter", False),
        extended_connected=up.get("extended", False),
        orders="live" if site.live else "refused",
        version=__version__,
        mode=site.settings.trading_mode,
        reasons=reasons,
    )


@router.get("/orders")
async def orders(site: Sites, venue: OneVenue = None) -> Listing:
    """Every order that may still fill, anybody's on these accounts."""
    return await _listing(site, venue, "orders", OrderSeen, order_shown)


@router.get("/orders/{venue}/{client_id}")
async def order(
    site: Sites,
    venue: VENUE,
    client_id: Annotated[str, Path(pattern=EXTERNAL_ID)],
    market: Annotated[str, Query(min_length=1, max_length=40, description="as the venue writes it")],
) -> dict[str, Any]:
    """One order by its sender's name for it, open or over. 404 proves nothing of an order sent just now."""
    post = _post(site, venue)
    facts = market_of(post, market)
    try:
        seen = await look_up(post, facts, client_id, site.doors.clock.wall_ms())
    except ValueError as error:
        raise Problem(422, "invalid", str(error)) from None
    if isinstance(seen, Unread):
        raise Problem(503, "not_read", f"{venue} did not tell: {seen.reason}", wait_s=1.0)
    if seen is None:
        raise Problem(404, "no_such_order", f"{venue}'s lists show no order {client_id} in {market}, perhaps not yet")
    return order_shown(seen, facts)


@router.get("/fills")
async def fills(site: Sites, venue: OneVenue = None) -> Listing:
    """Executions of the last day, as far back as the venue's lists go."""
    return await _listing(site, venue, "fills", ExecutionSeen, fill_shown)


@router.get("/positions")
async def positions(site: Sites, venue: OneVenue = None) -> Listing:
    """What the accounts hold."""
    found = await _listing(site, venue, "positions", PositionSeen, position_shown)
    return Listing(rows=[row for row in found.rows if row["size"].strip("-0.")], missing=found.missing)


@router.get("/balances")
async def balances(site: Sites, venue: OneVenue = None) -> Listing:
    """The accounts' money."""
    return await _listing(site, venue, "balance", BalanceSeen, lambda seen, _market: balance_shown(seen))


@router.get("/markets")
async def markets(site: Sites, venue: OneVenue = None) -> Listing:
    """What may be traded, with steps, decimals and least sizes."""
    posts = _posts(site, venue)
    return Listing(rows=[market_shown(market) for post in posts for market in post.listed])


@router.get("/books/{asset}")
async def books(
    site: Sites,
    asset: Annotated[str, Path(min_length=1, max_length=40)],
    size: Annotated[Amount | None, Query(description="also the average price of taking so much")] = None,
    depth: Annotated[int, Query(ge=1, le=LEVELS_MAX)] = 20,
) -> list[Depth]:
    """The books of an asset at every venue that lists it. The first look at a market takes a moment."""
    found = [
        (post, market)
        for post in site.posts.values()
        for market in post.listed
        if asset_of(market.base).name == asset.upper() and market.excluded is None
    ]
    if not found:
        raise Problem(404, "no_such_asset", "no enabled venue lists it")
    wanted = None if size is None else Fraction(size)
    return [await _depth(site, post, market, depth, wanted) for post, market in found]


async def _depth(site: Site, post: Post, market: Market, depth: int, size: Fraction | None) -> Depth:
    book = await post.touches.book(market.key)
    if book is None:
        raise Problem(503, "no_book", f"no fresh book of {market.key} is there", wait_s=5.0)
    price, lots = market.price_grid.text, market.size_grid.text

    def average(*, asks: bool) -> float | None:
        wanted = 0 if size is None else market.size_grid.floor(size)
        walk = book.walk(wanted, asks=asks) if wanted else None
        return None if walk is None else walk.vwap_ticks * float(market.price_grid.unit)

    return Depth(
        venue=market.venue,
        market=market.symbol,
        bids=[(price(ticks), lots(held)) for ticks, held in book.levels(asks=False, limit=depth)],
        asks=[(price(ticks), lots(held)) for ticks, held in book.levels(asks=True, limit=depth)],
        age_ms=(site.doors.clock.mono_ns() - book.received_ns) // 1_000_000,
        buy_vwap=average(asks=True),
        sell_vwap=average(asks=False),
    )


def _read_of(post: Post, kind: str) -> Callable[[int], AccountRead]:
    venue = post.venue
    makes: dict[str, Callable[[int], AccountRead]] = {
        "orders": venue.open_orders,
        "fills": lambda now_ms: venue.fills(now_ms - FILLS_BACK_MS, now_ms),
        "positions": venue.positions,
        "balance": venue.balance,
    }
    return makes[kind]


async def _listing(
    site: Site, venue: VENUE | None, kind: str, row: type[Any], shown: Callable[[Any, Any], dict[str, Any]]
) -> Listing:
    """What every venue told, or the wanted one. Raises Problem when none did."""
    posts = _posts(site, venue)
    answers = await asyncio.gather(*(_rows_of(post, kind) for post in posts))
    rows, missing = [], {}
    for post, seen in zip(posts, answers, strict=True):
        if isinstance(seen, Unread):
            missing[post.venue.name] = seen.reason
            continue
        rows += [shown(one, post.markets.get(getattr(one, "market", ""))) for one in seen if isinstance(one, row)]
    if len(missing) == len(posts):
        raise Problem(503, "not_read", "; ".join(f"{name}: {why}" for name, why in missing.items()), wait_s=1.0)
    return Listing(rows=rows, missing=missing)


async def _rows_of(post: Post, kind: str) -> list[Any] | Unread:
    """As the account's stream has told, else as the venue lists."""
    held = post.held.rows(kind)
    if held is not None:
        return held
    told = await post.recent.read(kind, _read_of(post, kind))
    if isinstance(told, Unread):
        return told
    return [one for event in told if isinstance(event, AccountSnapshot) for one in event.rows]


def _posts(site: Site, venue: VENUE | None) -> list[Post]:
    return list(site.posts.values()) if venue is None else [_post(site, venue)]


def _post(site: Site, venue: str) -> Post:
    found = site.posts.get(venue)
    if found is None:
        raise Problem(409, "venue_disabled", f"{venue} is not enabled: its keys are not among the settings")
    return found

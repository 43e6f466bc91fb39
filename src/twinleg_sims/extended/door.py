"""What the venue checks of an order before it gives it an id: form, steps, limits, bands, fee, signature, expiry.

Order of the checks: assumed, from the cheap to the dear. What depends on the account is in private.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

from twinleg_sims.extended import facts, signing
from twinleg_sims.extended.facts import ErrorCode
from twinleg_sims.extended.keys import Member
from twinleg_sims.extended.replies import RefusedError
from twinleg_sims.extended.requests import LegBody, OrderBody
from twinleg_sims.listings import Listing
from twinleg_sims.market import SimMarket
from twinleg_sims.matching import SelfTrade, Side, TimeInForce
from twinleg_sims.orders import PriceKind, Trigger, Wish
from twinleg_sims.positions import PPM

SIDES: dict[str, Side] = {"BUY": "bid", "SELL": "ask"}
PRICE_KINDS: dict[str, PriceKind] = {"MARK": "mark", "INDEX": "index", "LAST": "last"}
SELF_TRADES: dict[str, tuple[SelfTrade, bool]] = {
    "DISABLED": ("allow", False),
    "ACCOUNT": ("expire_taker", False),
    "CLIENT": ("expire_taker", True),
}
"""Level -> what happens, and whether among all accounts of the client. That the taker goes is assumed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the wire remembers of an order."""

    type: str
    tif: str
    expires_ms: int
    tpsl: str = ""
    post_only: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """An order that came in: what the engine gets (a TPSL order's second leg is an order of its own), and its hash."""

    wishes: tuple[Wish, ...]
    digest: int


def admit(member: Member, market: SimMarket, body: OrderBody, now_ms: int) -> Admitted:
    """Check an order body against everything but the account's state. Raises RefusedError."""
    _check_form(market, body)
    if not now_ms < body.expiry_epoch_millis <= now_ms + facts.EXPIRY_MAX_MS:
        raise _refused(ErrorCode.EXPIRY, "Invalid order expiration")
    _check_fee(member, body)
    if body.type == "TPSL":
        return _tpsl(member, market, body)
    ticks, lots = _ticks(market.listing, body.price), _lots(market.listing, body.qty)
    _check_size(market, body, ticks, lots)
    _check_band(market, body, ticks)
    if body.settlement is None:
        raise _refused(ErrorCode.BAD_PARAMETERS, "settlement is missing")
    signed = signing.terms(body, is_buy=body.side == "BUY", qty=body.qty, price=body.price)
    digest = signing.check(member, market, body.settlement, signed)
    legs = _legs(member, market, body) if body.tp_sl_type else ()
    return Admitted((_wish(market, body, (ticks, lots), legs),), digest)


def _check_form(market: SimMarket, body: OrderBody) -> None:
    """What can be said without numbers."""
    if body.type not in ("LIMIT", "MARKET", "CONDITIONAL", "TPSL"):
        raise _refused(ErrorCode.ORDER_TYPE, f"Invalid order type: {body.type}")
    known = body.side in SIDES and body.self_trade_protection_level in SELF_TRADES
    if (
        not known
        or body.time_in_force not in ("GTT", "IOC", "TOB")
        or body.tp_sl_type not in (None, "ORDER", "POSITION")
    ):
        raise _refused(ErrorCode.BAD_PARAMETERS, "Invalid order parameters")
    if not body.id or len(body.id) > 128 or not 0 <= body.nonce <= facts.NONCE_MAX or body.nonce % 1:
        raise _refused(ErrorCode.BAD_PARAMETERS, "Invalid order id or nonce")
    if body.type == "MARKET" and (body.time_in_force != "IOC" or body.post_only):
        raise _refused(ErrorCode.MARKET_NOT_IOC, "Market order must be IOC and not post-only")
    if (body.post_only and body.time_in_force == "IOC") or (body.time_in_force == "TOB" and not body.post_only):
        raise _refused(ErrorCode.BAD_PARAMETERS, "Invalid order parameters: timeInForce and postOnly")
    if body.rfq_start_price is not None and not (market.listing.rfq and body.type == "MARKET"):
        raise _refused(ErrorCode.BAD_PARAMETERS, "rfqStartPrice is for market orders of RFQ markets")
    if body.type == "CONDITIONAL":
        if body.trigger is None:
            raise _refused(ErrorCode.TRIGGER_MISSING, "Conditional order trigger is missing")
        if body.post_only and body.trigger.execution_price_type == "MARKET":
            raise _refused(ErrorCode.POST_ONLY_CONDITIONAL, "Post-only is not for conditional market orders")


def _check_fee(member: Member, body: OrderBody) -> None:
    """The fee is the ceiling the client signs: at least the account's own rate for its role."""
    tier = member.account.tier
    rate = tier.maker_ppm if body.post_only else tier.taker_ppm
    if body.fee * PPM < rate or not 0 <= body.fee <= 1 or not 0 <= (body.builder_fee or 0) <= 1:
        raise _refused(ErrorCode.INVALID_FEE, "Invalid fee")


def _check_size(market: SimMarket, body: OrderBody, ticks: int, lots: int) -> None:
    if lots < market.listing.min_lots:
        raise _refused(ErrorCode.QTY_TOO_SMALL, "Order quantity less than the minimum trade size")
    value_max = facts.MARKET_ORDER_VALUE_MAX_USD if body.type == "MARKET" else facts.LIMIT_ORDER_VALUE_MAX_USD
    if body.qty * body.price > value_max:
        raise _refused(ErrorCode.VALUE_TOO_BIG, "Order value exceeds the maximum")
    if ticks <= 0:
        raise _refused(ErrorCode.PRICE_MISSING, "Order price is missing")


def _check_band(market: SimMarket, body: OrderBody, ticks: int) -> None:
    """A buy not too far above, a sell not too far below the mark (the trigger price of a conditional order)."""
    reference = Fraction(market.mark_price)
    if body.trigger is not None:
        reference = Fraction(_ticks(market.listing, body.trigger.trigger_price)) * Fraction(_tick(market.listing))
    price = ticks * Fraction(_tick(market.listing))
    band = Fraction(facts.MARKET_BAND_PPM if body.type == "MARKET" else facts.LIMIT_BAND_PPM, PPM)
    if (body.side == "BUY" and price > reference * (1 + band)) or (
        body.side == "SELL" and price < reference * (1 - band)
    ):
        raise _refused(ErrorCode.PRICE_VALUE, "Invalid price value: outside the band around the mark price")


def _wish(market: SimMarket, body: OrderBody, size: tuple[int, int], children: tuple[Wish, ...]) -> Wish:
    tif: TimeInForce = "post_only" if body.post_only else "ioc" if body.time_in_force == "IOC" else "gtt"
    trigger = None
    if body.type == "CONDITIONAL":
        trigger = _conditional(market, body)
        assert body.trigger is not None, "checked"
        tif = "ioc" if body.trigger.execution_price_type == "MARKET" else tif
    self_trade, kin = SELF_TRADES[body.self_trade_protection_level]
    return Wish(
        market, SIDES[body.side], *size, tif=tif, reduce_only=body.reduce_only, client_id=body.id,
        expires_ms=body.expiry_epoch_millis, self_trade=self_trade, self_trade_kin=kin, trigger=trigger,
        children=children, info=Asked(
            body.type, body.time_in_force, body.expiry_epoch_millis, body.tp_sl_type or "", body.post_only
        ),
    )  # fmt: skip


def _conditional(market: SimMarket, body: OrderBody) -> Trigger:
    trigger = body.trigger
    assert trigger is not None, "checked"
    if trigger.direction not in ("UP", "DOWN") or trigger.trigger_price_type not in PRICE_KINDS:
        raise _refused(ErrorCode.BAD_PARAMETERS, "Invalid trigger")
    ticks = _ticks(market.listing, trigger.trigger_price)
    if ticks <= 0:
        raise _refused(ErrorCode.TRIGGER_MISSING, "Conditional order trigger is missing")
    return Trigger(ticks, trigger.direction == "UP", PRICE_KINDS[trigger.trigger_price_type])


def _tpsl(member: Member, market: SimMarket, body: OrderBody) -> Admitted:
    """Exits of a position: of all of it (quantity 0), or of a part."""
    if not body.reduce_only or body.post_only or body.price != 0 or body.qty < 0 or body.tp_sl_type is None:
        raise _refused(ErrorCode.BAD_PARAMETERS, "TPSL orders are reduce-only, without a price, ORDER or POSITION")
    if (body.tp_sl_type == "POSITION") != (body.qty == 0):
        raise _refused(ErrorCode.TPSL_QTY, "Invalid TPSL quantity")
    legs = _legs(member, market, body)
    if not legs:
        raise _refused(ErrorCode.TPSL_TRIGGER_MISSING, "TPSL order trigger is missing")
    first = body.take_profit or body.stop_loss
    assert first is not None, "there are legs"
    digest = signing.order_hash(member, market, _leg_terms(market, body, first))
    return Admitted(legs, digest)


def _legs(member: Member, market: SimMarket, body: OrderBody) -> tuple[Wish, ...]:
    """The exits an order brings with it, each verified: the take-profit first."""
    exit_side = body.side if body.type == "TPSL" else "SELL" if body.side == "BUY" else "BUY"
    lots = 0 if body.tp_sl_type == "POSITION" else _lots(market.listing, body.qty)
    legs: list[Wish] = []
    for leg, profit in ((body.take_profit, True), (body.stop_loss, False)):
        if leg is None:
            continue
        if leg.trigger_price_type not in PRICE_KINDS or leg.price_type not in ("MARKET", "LIMIT"):
            raise _refused(ErrorCode.BAD_PARAMETERS, "Invalid TPSL trigger")
        signing.check(member, market, leg.settlement, _leg_terms(market, body, leg))
        above = profit == (exit_side == "SELL")
        name = body.id if body.type == "TPSL" and not legs else f"{body.id}-{'tp' if profit else 'sl'}"
        trigger = Trigger(_ticks(market.listing, leg.trigger_price), above, PRICE_KINDS[leg.trigger_price_type])
        legs.append(
            Wish(
                market, SIDES[exit_side], _ticks(market.listing, leg.price), lots,
                tif="ioc" if leg.price_type == "MARKET" else "gtt", reduce_only=True, client_id=name,
                expires_ms=body.expiry_epoch_millis, self_trade="expire_taker", trigger=trigger,
                info=Asked("TPSL", "IOC" if leg.price_type == "MARKET" else "GTT", body.expiry_epoch_millis,
                           body.tp_sl_type or ""),
            )
        )  # fmt: skip
        if legs[-1].ticks <= 0 or trigger.ticks <= 0:
            raise _refused(ErrorCode.PRICE_MISSING, "TPSL price is missing")
    if len(legs) == 2 and (legs[0].trigger.ticks > legs[1].trigger.ticks) != (exit_side == "SELL"):  # type: ignore[union-attr]
        raise _refused(ErrorCode.BAD_PARAMETERS, "Invalid TPSL: take-profit and stop-loss are on the wrong sides")
    return tuple(legs)


def _leg_terms(market: SimMarket, body: OrderBody, leg: LegBody) -> signing.Signed:
    """What a leg was signed for: its order's size, or enough for any later size of the position."""
    if leg.price <= 0:
        raise _refused(ErrorCode.PRICE_MISSING, "TPSL price is missing")
    is_buy = (body.side == "BUY") == (body.type == "TPSL")
    qty = body.qty
    if body.tp_sl_type != "ORDER":
        step = Decimal(1).scaleb(-market.listing.size_decimals)
        qty = (Decimal(facts.POSITION_VALUE_MAX_USD) * 50 / leg.price).quantize(step, rounding=ROUND_FLOOR)
    return signing.terms(body, is_buy=is_buy, qty=qty, price=leg.price)


def _ticks(listing: Listing, price: Decimal) -> int:
    """Raises RefusedError for a price off the grid."""
    units = price.scaleb(listing.price_decimals)
    if units % 1:
        raise _refused(ErrorCode.PRICE_PRECISION, "Invalid price precision")
    if units % listing.tick_step:
        raise _refused(ErrorCode.PRICE_STEP, "Invalid price: not a multiple of the minimum change")
    return max(0, int(units) // listing.tick_step)


def _lots(listing: Listing, qty: Decimal) -> int:
    """Raises RefusedError for a quantity off the grid."""
    units = qty.scaleb(listing.size_decimals)
    if units % 1:
        raise _refused(ErrorCode.QTY_PRECISION, "Invalid quantity precision")
    if units % listing.lot_step:
        raise _refused(ErrorCode.QTY_STEP, "Invalid quantity: not a multiple of the minimum change")
    return max(0, int(units) // listing.lot_step)


def _tick(listing: Listing) -> Fraction:
    return Fraction(listing.tick_step, 10**listing.price_decimals)


def _refused(code: ErrorCode, message: str) -> RefusedError:
    return RefusedError(400, code, message)

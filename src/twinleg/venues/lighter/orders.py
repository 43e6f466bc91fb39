"""Orders into the venue's fields, and the venue's answers into accepted, rejected or unknown.

A transaction that is refused at the venue's gate never reaches its sequencer and does not use its nonce. One that is
accepted (`code` 200) is only queued: it may still fail there, which the account's streams and its transaction tell.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Purpose, Side, TimeInForce
from twinleg.core.trading import (
    KEY_REFUSED,
    Incident,
    Lane,
    OrderSeen,
    SendOutcome,
    SendVerdict,
    Signed,
    TransactionSeen,
    client_id_of,
    name_of,
    number_of,
)
from twinleg.core.venue import Request
from twinleg.venues.lighter import facts, wire
from twinleg.venues.lighter.sign import OrderFields, Transaction

ACCEPTED = 200
INVALID_NONCE = 21104
CLIENT_ORDER_INDEX_EXISTS = 21728
TOO_MANY_REQUESTS = 23000
REQUEST_TIMEOUT = 408
REFUSED = (range(20001, 20002), range(21000, 22000), range(62001, 62008))
"""Codes of a refusal at the gate: bad parameters, account, key, market, order and margin rules, tier (SDK's list)."""
HINTS = {
    INVALID_NONCE: "another process may use this key",
    21109: "no key is registered in this slot",
    21120: "wrong chain id, key or slot",
    21136: "the signer is outdated",
}
KEY_REFUSALS = frozenset({21109, 21120, 21136})
"""Codes after which every other transaction of this key will be refused, too."""
REASON_CHARS_MAX = 200

ACCOUNT_CHANGES = {
    facts.TX_CHANGE_KEY: "key_changed",
    facts.TX_DELEVERAGE: "deleverage",
    facts.TX_EXIT_POSITION: "exit_position",
    facts.TX_LIQUIDATE: "liquidation",
}
"""Transactions that happen to the account, and the incident each is."""
NO_ERROR = ("null", '""', "{}")
TOLD_WHEN_FAILED = frozenset({facts.TX_CANCEL_ALL, facts.TX_UPDATE_LEVERAGE})
NAMING_TYPES = frozenset({facts.TX_CREATE_ORDER, facts.TX_CANCEL_ORDER, facts.TX_MODIFY_ORDER})
"""Transactions that name one order."""
SIGNED_TYPES = frozenset({*range(8, 21), *range(28, 46)})
"""Transactions that a key signs; the others are the venue's own or come from the other chain."""

TRIGGERED = frozenset({facts.STOP_LOSS, facts.STOP_LOSS_LIMIT, facts.TAKE_PROFIT, facts.TAKE_PROFIT_LIMIT})
IMMEDIATE_ONLY = frozenset({facts.MARKET, facts.STOP_LOSS, facts.TAKE_PROFIT})


def order_fields(intent: Intent, market: Market, now_ms: int) -> OrderFields:
    """An intent in the venue's terms, checked. Raises ValueError for what the venue could never take."""
    if (intent.venue, intent.market) != (facts.NAME, market.key):
        raise ValueError(f"an order for {intent.market} at {intent.venue} with the facts of {market.key}")
    if intent.deadline_ms <= now_ms and not intent.reduce_only:
        raise ValueError(f"{intent.client_id} was due {now_ms - intent.deadline_ms} ms ago")
    if intent.purpose is Purpose.ENTER:
        _check_minimum(intent, market)
    resting = intent.time_in_force is TimeInForce.POST_ONLY
    order = OrderFields(
        market_index=market_index(market),
        client_order_index=number_of(intent.client_id),
        base_amount=intent.size_lots * market.size_grid.step,
        price=intent.limit_ticks * market.price_grid.step,
        is_ask=intent.side is Side.SELL,
        order_type=facts.LIMIT,
        time_in_force=facts.POST_ONLY if resting else facts.IMMEDIATE_OR_CANCEL,
        reduce_only=intent.reduce_only,
        expiry_ms=max(intent.deadline_ms, now_ms + facts.ORDER_LIFE_MS) if resting else 0,
    )
    return checked(order, now_ms)


def checked(order: OrderFields, now_ms: int) -> OrderFields:
    """The order itself. Raises ValueError when no market of the venue could take it, or the signer would change it."""
    if not 0 <= order.market_index <= facts.MARKET_MAX:
        raise ValueError(f"market {order.market_index} is no perpetual")
    if not 0 < order.client_order_index <= facts.CLIENT_ORDER_INDEX_MAX:
        raise ValueError(f"client order index {order.client_order_index} is not in 1..2^31-1")
    check_amounts(order.base_amount, order.price)
    triggered = order.order_type in TRIGGERED
    if not (0 < order.trigger_price <= facts.PRICE_MAX if triggered else order.trigger_price == 0):
        raise ValueError(f"trigger price {order.trigger_price} of an order of type {order.order_type}")
    if order.time_in_force not in _times_in_force(order.order_type):
        raise ValueError(f"an order of type {order.order_type} cannot have time in force {order.time_in_force}")
    if order.time_in_force == facts.IMMEDIATE_OR_CANCEL and not triggered:
        if order.expiry_ms:
            raise ValueError("an order that is over at once has no expiry")
    else:
        _check_ahead("expiry", order.expiry_ms - now_ms, facts.ORDER_EXPIRY_MS_MIN, facts.ORDER_EXPIRY_MS_MAX)
    return order


def check_amounts(base_amount: int, price: int) -> None:
    """Raises ValueError for sizes and prices the venue has no room for; greater prices would wrap in the signer."""
    if not 0 < base_amount <= facts.BASE_AMOUNT_MAX:
        raise ValueError(f"size {base_amount} is not in 1..2^48-1 units")
    if not 0 < price <= facts.PRICE_MAX:
        raise ValueError(f"price {price} is not in 1..2^32-1 units")


def check_schedule(fires_at_ms: int, now_ms: int) -> None:
    """Raises ValueError for a scheduled cancel-all that the venue would refuse."""
    _check_ahead("a scheduled cancel-all", fires_at_ms - now_ms, facts.SCHEDULE_MS_MIN, facts.SCHEDULE_MS_MAX)


def margin_fraction(leverage: float, market: Market) -> int:
    """The initial margin fraction of a leverage. Raises ValueError for one that the market does not offer."""
    highest = market.max_leverage or float(facts.MARGIN_FRACTION_UNIT)
    if not 1 <= leverage <= highest:
        raise ValueError(f"leverage {leverage} is not in 1..{highest:g} ({market.key})")
    return int(facts.MARGIN_FRACTION_UNIT / leverage)


def market_index(market: Market) -> int:
    """The venue's number of a market. Raises ValueError for a market of another venue."""
    if market.venue != facts.NAME:
        raise ValueError(f"{market.key} is no market of {facts.NAME}")
    return int(market.native_id)


def submission(client_id: str, transaction: Transaction, lane: Lane, url: str, *, reduces_risk: bool) -> Signed:
    """A signed transaction as the request that sends it: a form, and no authentication beside the signature."""
    request = Request(
        venue=facts.NAME,
        method="POST",
        url=url,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=urlencode({"tx_type": transaction.type, "tx_info": transaction.info}).encode(),
        reduces_risk=reduces_risk,
    )
    return Signed(
        client_id=client_id,
        request=request,
        correlation=transaction.hash,
        lane=lane,
        void_after_ms=transaction.expires_ms + facts.CLOCK_SKEW_MS_MAX,
    )


def read_reply(signed: Signed, status: int | None, body: bytes) -> SendOutcome:
    """The answer to sendTx. Never raises.

    Only what the venue's own JSON says counts: a refusal by something before the venue (HTML, a bare 403, a 5xx) leaves
    open whether the transaction went through, and so does an index that exists already.
    """
    if status is None:
        return _unknown("no answer")
    try:
        reply = wire.decode_send(body)
    except wire.UNREADABLE:
        return _unknown(f"HTTP {status}: {body[:REASON_CHARS_MAX].decode(errors='replace')}", status)
    reason = f"{reply.code}: {reply.message[:REASON_CHARS_MAX]}"
    if reply.code in HINTS:
        reason += f" ({HINTS[reply.code]})"
    if reply.code == CLIENT_ORDER_INDEX_EXISTS:
        return SendOutcome(SendVerdict.UNKNOWN, reason, exists=True)
    if not (status == 200 or (400 <= status < 500 and status != REQUEST_TIMEOUT)):
        return _unknown(f"HTTP {status}, {reason}", status)
    if status == 200 and reply.code == ACCEPTED:
        return _accepted(signed, reply)
    if reply.code == TOO_MANY_REQUESTS:
        return SendOutcome(SendVerdict.REJECTED, reason, lane_spent=False, retry_after_s=facts.RETRY_AFTER_S)
    if reply.code == INVALID_NONCE:
        return SendOutcome(SendVerdict.REJECTED, reason, lane_spent=None)
    if any(reply.code in codes for codes in REFUSED):
        incident = KEY_REFUSED if reply.code in KEY_REFUSALS else None
        return SendOutcome(SendVerdict.REJECTED, reason, lane_spent=False, incident=incident)
    return _unknown(reason, status)


def transaction_told(
    raw: msgspec.Raw, account: int, market_of: Callable[[int], Market | None], now_ms: int
) -> list[OrderSeen | Incident | TransactionSeen]:
    """All that a transaction of the account tells. Raises one of wire.UNREADABLE."""
    return [*transaction_result(raw, market_of, now_ms), *transaction_seen(raw, account, now_ms)]


def transaction_seen(raw: msgspec.Raw, account: int, now_ms: int) -> list[TransactionSeen]:
    """A transaction that a key signed, by its number. None for the venue's own, and for other accounts'.

    One that failed at the sequencer has used its number, unless it failed for the number itself. Raises one of
    wire.UNREADABLE.
    """
    row = wire.decode_transaction(raw)
    if row.account_index != account or row.api_key_index is None or row.nonce is None or row.type not in SIGNED_TYPES:
        return []
    error = _error(row)
    failed = row.status == facts.TX_FAILED and error is not None and not _of_number(error)
    index = 0
    if row.type in NAMING_TYPES:
        info = wire.decode_named_info(row.info)
        index = info.client_order_index or info.index
    return [
        TransactionSeen(
            venue=facts.NAME,
            key=str(row.api_key_index),
            number=row.nonce,
            correlation=row.hash.removeprefix("0x").lower(),
            client_id=client_id_of(index),
            executed=failed or row.status in (facts.TX_EXECUTED, facts.TX_PENDING_FINAL),
            at_ms=now_ms,
        )
    ]


def transaction_result(
    raw: msgspec.Raw, market_of: Callable[[int], Market | None], now_ms: int
) -> list[OrderSeen | Incident]:
    """What a transaction's result tells beside the orders: one that failed after it was accepted placed nothing.

    Raises one of wire.UNREADABLE.
    """
    row = wire.decode_transaction(raw)
    if row.status != facts.TX_FAILED:
        kind = ACCOUNT_CHANGES.get(row.type)
        return [Incident(facts.NAME, kind, f"transaction {row.hash:.90}", now_ms)] if kind else []
    error = _error(row)
    if error is None:
        return []  # without the sequencer's word it proves nothing
    reason = f"failed at the sequencer: {error[:REASON_CHARS_MAX]}"
    if row.type in TOLD_WHEN_FAILED:
        return [Incident(facts.NAME, "transaction_failed", f"type {row.type}: {reason}", now_ms)]
    if row.type != facts.TX_CREATE_ORDER or str(CLIENT_ORDER_INDEX_EXISTS) in error:
        return []  # of an index that exists already, another transaction's order is there
    info = wire.decode_create_info(row.info)
    market = market_of(info.market_index)
    if market is None:
        return []
    return [
        OrderSeen(
            venue=facts.NAME,
            market=market.key,
            client_id=client_id_of(info.client_order_index),
            venue_order_id="",
            side=Side.SELL if info.is_ask else Side.BUY,
            size_lots=info.base_amount // market.size_grid.step,
            filled_lots=0,
            price_ticks=info.price // market.price_grid.step or None,
            reduce_only=bool(info.reduce_only),
            resting=False,
            reason=reason,
            at_ms=now_ms,
            name=name_of(info.client_order_index),
        )
    ]


def _error(row: wire.TransactionRow) -> str | None:
    """The sequencer's own word on a failed transaction."""
    error = bytes(wire.decode_event_info(row.event_info or "{}").ae).decode()
    return None if error in NO_ERROR else error


def _of_number(error: str) -> bool:
    return str(INVALID_NONCE) in error or "nonce" in error.lower()


def _accepted(signed: Signed, reply: wire.SendReply) -> SendOutcome:
    """A yes names what it is for: by the hash that we know already."""
    if reply.tx_hash is None or reply.tx_hash.removeprefix("0x").lower() != signed.correlation.lower():
        return _unknown(f"accepted as {reply.tx_hash!r:.90}, sent as {signed.correlation}")
    return SendOutcome(SendVerdict.ACCEPTED, "queued", lane_spent=True)


def _unknown(reason: str, status: int | None = None) -> SendOutcome:
    retry_after_s = facts.RETRY_AFTER_S if status == 429 else None
    return SendOutcome(SendVerdict.UNKNOWN, reason, lane_spent=None, retry_after_s=retry_after_s)


def _times_in_force(order_type: int) -> tuple[int, ...]:
    if order_type in IMMEDIATE_ONLY:
        return (facts.IMMEDIATE_OR_CANCEL,)
    if order_type == facts.TWAP:
        return (facts.GOOD_TILL_TIME,)
    if order_type in (facts.LIMIT, facts.STOP_LOSS_LIMIT, facts.TAKE_PROFIT_LIMIT):
        return (facts.IMMEDIATE_OR_CANCEL, facts.GOOD_TILL_TIME, facts.POST_ONLY)
    return ()


def _check_ahead(name: str, ahead_ms: int, least_ms: int, most_ms: int) -> None:
    if not least_ms <= ahead_ms <= most_ms:
        raise ValueError(f"{name} must lie {least_ms / 60_000:g} to {most_ms / 60_000:g} minutes ahead: {ahead_ms} ms")


def _check_minimum(intent: Intent, market: Market) -> None:
    """The venue holds what rests to its minimums (21706), and we every entry; a hedge, like an exit, is let through."""
    if intent.size_lots < market.min_size_lots:
        raise ValueError(f"{intent.size_lots} lots are less than the least, {market.min_size_lots} ({market.key})")
    notional = float(intent.size_lots * market.size_grid.unit * intent.limit_ticks * market.price_grid.unit)
    if notional < market.min_notional_usd:
        raise ValueError(f"{notional:.2f} USD are less than the least, {market.min_notional_usd:g} ({market.key})")

"""What Extended is asked to do with orders, and what its answers mean.

Placing is asynchronous: a 200 with an id means that the venue has the order, not that the engine took it; the account
stream says what came of it. Whatever is not a clear no is UNKNOWN (`outcome`), and to be read back.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from fractions import Fraction
from typing import Literal
from urllib.parse import quote, urlencode

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Side, TimeInForce
from twinleg.core.trading import KEY_REFUSED, SendOutcome, SendVerdict
from twinleg.core.venue import Credential, Request
from twinleg.venues.extended import facts, wire
from twinleg.venues.extended.sign import Domain, Keys, amounts_of, order_hash

REASON_CHARS_MAX = 200
ORDER_PATH = "/user/order"
FAULT_OF_OURS = frozenset(range(400, 500)) - {408}
"""HTTP statuses of a request that was looked at and refused; 408 is a matter of time."""


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order in Extended's own terms. `limit_ticks` bounds a MARKET order, too: none is unbounded.

    `replaces` is the external id of a live order which this one takes the place of (an edit).
    """

    external_id: str
    side: Side
    size_lots: int
    limit_ticks: int
    type: Literal["LIMIT", "MARKET"] = "LIMIT"
    time_in_force: Literal["GTT", "IOC"]
    post_only: bool = False
    reduce_only: bool = False
    expiry_ms: int
    replaces: str | None = None


def of_intent(intent: Intent) -> NewOrder:
    """The machine's order. It expires soon after its deadline, so its bytes depend on the intent alone."""
    rests = intent.time_in_force is TimeInForce.POST_ONLY
    return NewOrder(
        external_id=intent.client_id,
        side=intent.side,
        size_lots=intent.size_lots,
        limit_ticks=intent.limit_ticks,
        time_in_force="GTT" if rests else "IOC",
        post_only=rests,
        reduce_only=intent.reduce_only,
        expiry_ms=intent.deadline_ms + facts.EXPIRY_AFTER_DEADLINE_MS,
    )


def refuse_nonsense(order: NewOrder, market: Market, now_ms: int) -> None:
    """Raises ValueError for what the venue could never take, before anything is signed."""
    if order.size_lots <= 0 or order.limit_ticks <= 0:
        raise ValueError(
            f"{order.external_id}: size and limit must be positive: {order.size_lots}, {order.limit_ticks}"
        )
    if order.size_lots < market.min_size_lots and not order.reduce_only:  # what is left of a position may be less
        least, asked = market.size_grid.text(market.min_size_lots), market.size_grid.text(order.size_lots)
        raise ValueError(f"{order.external_id}: {asked} is below {market.key}'s least order of {least}")
    if order.post_only and order.time_in_force != "GTT":
        raise ValueError(f"{order.external_id}: a post-only order cannot be {order.time_in_force}")
    if order.type == "MARKET" and order.time_in_force != "IOC":
        raise ValueError(f"{order.external_id}: a market order must be IOC")
    if not 0 < order.expiry_ms - now_ms <= facts.EXPIRY_MS_MAX:
        raise ValueError(f"{order.external_id}: expiry {order.expiry_ms} is not within 28 days after {now_ms}")


def order_body(order: NewOrder, market: Market, fee: Decimal, keys: Keys, domain: Domain) -> bytes:
    """The signed POST body. `fee` is the ceiling that is signed, as a fraction of the notional.

    Equal as JSON to what SDK 2.6.0's `create_order_object` sends for the same order. Raises ValueError.
    """
    salt = salt_of(order.external_id)
    amounts = amounts_of(market, order.side, order.size_lots, order.limit_ticks, Fraction(fee))
    r, s = keys.sign(order_hash(market, amounts, keys, domain, salt, order.expiry_ms))
    body: dict[str, object] = {
        "id": order.external_id,
        "market": market.native_id,
        "type": order.type,
        "side": order.side.name,
        "qty": market.size_grid.text(order.size_lots),
        "price": market.price_grid.text(order.limit_ticks),
        "reduceOnly": order.reduce_only,
        "postOnly": order.post_only,
        "timeInForce": order.time_in_force,
        "expiryEpochMillis": order.expiry_ms,
        "fee": f"{fee.normalize():f}",
        "nonce": str(salt),
        "selfTradeProtectionLevel": "ACCOUNT",
        "settlement": {
            "signature": {"r": hex(r), "s": hex(s)},
            "starkKey": hex(keys.public_key),
            "collateralPosition": str(keys.vault),
        },
        "debuggingAmounts": {
            "collateralAmount": str(amounts.collateral),
            "feeAmount": str(amounts.fee),
            "syntheticAmount": str(amounts.synthetic),
        },
    }
    if order.replaces is not None:
        body["cancelId"] = order.replaces
    return msgspec.json.encode(body)


def salt_of(external_id: str) -> int:
    """The nonce: a salt of the hash, of which only uniqueness matters. The same order always has the same."""
    digest = hashlib.sha256(external_id.encode()).digest()
    return 1 + int.from_bytes(digest[:8]) % facts.SALT_MAX


class Door:
    """Private requests at one address with one API key, which no repr shows."""

    def __init__(self, rest_url: str, api_key: Credential) -> None:
        self._url = rest_url
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": facts.USER_AGENT,
            "X-Api-Key": api_key,
        }

    def get(self, path: str, **query: str | int) -> Request:
        return self._request("GET", path, query)

    def place(self, body: bytes, *, reduces_risk: bool) -> Request:
        return self._request("POST", ORDER_PATH, body=body, reduces_risk=reduces_risk)

    def cancel(self, external_id: str, venue_order_id: str | None) -> Request:
        """By our own id where there is one: the venue's may not be known yet. Raises ValueError without either."""
        if external_id:
            return self._request("DELETE", ORDER_PATH, {"externalId": external_id}, reduces_risk=True)
        if not venue_order_id:
            raise ValueError("a cancel names its order by our id or the venue's")
        return self._request("DELETE", f"{ORDER_PATH}/{quote(venue_order_id, safe='')}", reduces_risk=True)

    def cancel_all(self, market: Market | None) -> Request:
        """All resting orders of the account, or of one market; anybody's."""
        body = {"cancelAll": True} if market is None else {"markets": [market.native_id], "cancelAll": False}
        path = f"{ORDER_PATH}/massCancel"
        return self._request("POST", path, body=msgspec.json.encode(body), reduces_risk=True)

    def dead_man_switch(self, seconds: int) -> Request:
        """All orders of the account are cancelled in so many seconds unless asked again; 0 disarms."""
        return self._request("POST", "/user/deadmanswitch", {"countdownTime": seconds}, reduces_risk=True)

    def leverage(self, market: Market, leverage: Decimal) -> Request:
        body = {"market": market.native_id, "leverage": f"{leverage.normalize():f}"}
        return self._request("PATCH", "/user/leverage", body=msgspec.json.encode(body))

    def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str | int] | None = None,
        *,
        body: bytes | None = None,
        reduces_risk: bool = False,
    ) -> Request:
        return Request(
            venue=facts.NAME,
            method=method,
            url=self._url + path + (f"?{urlencode(query)}" if query else ""),
            headers=self._headers,
            body=body,
            reduces_risk=reduces_risk,
        )


def outcome(request: Request, external_id: str, status: int | None, body: bytes) -> SendOutcome:
    """What an answer to a write means. Never raises.

    | answer | verdict |
    |---|---|
    | 2xx, OK, for a placement with an id and our external id | accepted (PATCH and the switch: empty, too) |
    | 401 | rejected: the key is checked before all else |
    | 4xx with an error code that is none of DOUBTFUL_REFUSALS; to a cancel, 404 with a code, too | rejected |
    | 2xx with an error code of ORDER_REFUSALS | rejected |
    | 429 | unknown: no rule published says that it comes before the order is taken |
    | anything else: 5xx, 404 without a word, a web page, half a body, silence | unknown |
    """
    if status is None:
        return SendOutcome(SendVerdict.UNKNOWN, "no answer")
    if status == 429:
        return SendOutcome(SendVerdict.UNKNOWN, "429: too many requests", retry_after_s=facts.RETRY_AFTER_S)
    try:
        answer = wire.decode_answer(body or b"{}")
    except wire.UNREADABLE as error:
        answer = wire.Answer(status=f"unreadable: {error}")
    if status == 401:
        return SendOutcome(SendVerdict.REJECTED, _told(401, answer), incident=KEY_REFUSED)
    if 200 <= status < 300 and answer.error is None and answer.status in ("OK", ""):
        return _success(request, external_id, status, answer)
    code = answer.error.code if answer.error is not None and answer.status == "ERROR" else None
    gone = code == 404 and not _places(request)  # a cancel of an order that is over, or never came
    definite = isinstance(code, int) and (code not in facts.DOUBTFUL_REFUSALS or gone)
    refused = definite and (status in FAULT_OF_OURS or (200 <= status < 300 and code in facts.ORDER_REFUSALS))
    verdict = SendVerdict.REJECTED if refused else SendVerdict.UNKNOWN
    return SendOutcome(verdict, _told(status, answer), exists=code == facts.DUPLICATE)


def _success(request: Request, external_id: str, status: int, answer: wire.Answer) -> SendOutcome:
    if not _places(request):
        silent = request.method == "PATCH" or "/deadmanswitch" in request.url
        if answer.status == "OK" or (silent and not wire.told(answer.data)):
            return SendOutcome(SendVerdict.ACCEPTED, "")
        return SendOutcome(SendVerdict.UNKNOWN, _told(status, answer))
    try:
        placed = wire.decode_placed(answer.data)
    except wire.UNREADABLE as error:
        return SendOutcome(SendVerdict.UNKNOWN, f"{status}, but without an order id: {error}"[:REASON_CHARS_MAX])
    if answer.status != "OK" or placed.external_id != external_id:
        return SendOutcome(SendVerdict.UNKNOWN, f"{status}, but for order {placed.external_id!r:.60}")
    return SendOutcome(SendVerdict.ACCEPTED, "", venue_order_id=str(placed.id))


def _places(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith(ORDER_PATH)


def _told(status: int, answer: wire.Answer) -> str:
    """The venue's own words, bounded."""
    if answer.error is None:
        return f"{status}: {answer.status or 'without a word'}"[:REASON_CHARS_MAX]
    return f"{status}: {answer.error.code} {answer.error.message or ''}".strip()[:REASON_CHARS_MAX]

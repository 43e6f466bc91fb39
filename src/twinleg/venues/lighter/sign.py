"""Lighter's signatures, by the official SDK's signing library: what is asked in, signed JSON and its hash out.

Of `lighter.signer_client` only the wrapper around the library is used: its client's constructor makes an HTTP session
and needs a running event loop, so our client is made without it and holds just what the `sign_*` methods read (pinned
by tests/venues/lighter/test_lighter_sign.py). The library gets no address, so that it cannot ask the venue for a nonce
by itself, which it otherwise does, blocking, where none is given.

A call costs 2.5 ms on Python's main thread and 0.3 ms on any other (measured; on the main one Go reads the stack's
bounds anew each time). The first call takes another second: it imports the SDK and loads the library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from typing import Any

import msgspec

from twinleg.core.trading import Lane
from twinleg.core.venue import Credential
from twinleg.venues.lighter import facts

PRIVATE_KEY = re.compile(r"(?:0x)?([0-9a-fA-F]{80})")
CROSS_MARGIN = 0


class SigningError(ValueError):
    """Nothing was signed that may be sent: the library refused, or it signed something else than what was asked."""


class Transaction(msgspec.Struct, frozen=True):
    """A signed transaction. The venue knows it by `hash` and refuses it after `expires_ms` (its own wall clock)."""

    type: int
    info: str
    hash: str
    expires_ms: int


class OrderFields(msgspec.Struct, frozen=True, kw_only=True):
    """A new order in the venue's own terms: amounts in units of the market's decimals; codes as in facts."""

    market_index: int
    client_order_index: int
    base_amount: int
    price: int
    is_ask: bool
    order_type: int
    time_in_force: int
    reduce_only: bool = False
    trigger_price: int = 0
    expiry_ms: int = 0


class Signer:
    """Signs for one account. `private_keys` are by slot; they never show in a repr, a log or an error.

    The library keeps one client per account and slot for the whole process: two Signers of the same account and slot
    must have the same chain id. Raises ValueError when a key cannot be one.
    """

    def __init__(self, account_index: int, chain_id: int, private_keys: Mapping[int, str]) -> None:
        if not private_keys or account_index < 0:
            raise ValueError("an account index and at least one API key are needed to sign")
        self.account_index = account_index
        self.slots = tuple(private_keys)
        self._chain_id = chain_id
        self._keys = {slot: _key(slot, text) for slot, text in private_keys.items()}
        self._client: Any = None

    def public_key(self, slot: int) -> str:
        """The public key that the venue must have in this slot: 80 hex digits. Takes 30 ms. Raises KeyError."""
        return public_key(self._keys[slot])

    def create_order(self, order: OrderFields, lane: Lane) -> Transaction:
        """A new order. What may be signed is for orders.checked to say. Raises SigningError."""
        body = {
            "MarketIndex": order.market_index,
            "ClientOrderIndex": order.client_order_index,
            "BaseAmount": order.base_amount,
            "Price": order.price,
            "IsAsk": int(order.is_ask),
            "Type": order.order_type,
            "TimeInForce": order.time_in_force,
            "ReduceOnly": int(order.reduce_only),
            "TriggerPrice": order.trigger_price,
            "OrderExpiry": order.expiry_ms,
        }
        signed = self._loaded().sign_create_order(
            market_index=order.market_index,
            client_order_index=order.client_order_index,
            base_amount=order.base_amount,
            price=order.price,
            is_ask=order.is_ask,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            reduce_only=order.reduce_only,
            trigger_price=order.trigger_price,
            order_expiry=order.expiry_ms,
            **self._turn(lane),
        )
        return self._checked(facts.TX_CREATE_ORDER, signed, body, lane)

    def cancel_order(self, market_index: int, order_index: int, lane: Lane) -> Transaction:
        """Cancel one order by the venue's index or by ours: the two ranges do not overlap. Raises SigningError."""
        signed = self._loaded().sign_cancel_order(
            market_index=market_index, order_index=order_index, **self._turn(lane)
        )
        return self._checked(facts.TX_CANCEL_ORDER, signed, {"MarketIndex": market_index, "Index": order_index}, lane)

    def cancel_all(self, mode: int, at_ms: int, market_index: int | None, lane: Lane) -> Transaction:
        """`mode` is one of facts.CANCEL_ALL_*, `at_ms` 0 unless scheduled. Raises SigningError."""
        signed = self._loaded().sign_cancel_all_orders(
            time_in_force=mode,
            timestamp_ms=at_ms,
            cancel_all_market_index=facts.NO_MARKET if market_index is None else market_index,
            **self._turn(lane),
        )
        attributes = None if market_index is None else {facts.ATTRIBUTE_CANCEL_ALL_MARKET: market_index}
        body = {"TimeInForce": mode, "Time": at_ms, "L2TxAttributes": attributes}
        return self._checked(facts.TX_CANCEL_ALL, signed, body, lane)

    def modify_order(
        self, market_index: int, order_index: int, base_amount: int, price: int, lane: Lane
    ) -> Transaction:
        """A new size and price for a resting order, which keeps its index. Raises SigningError."""
        signed = self._loaded().sign_modify_order(
            market_index=market_index,
            order_index=order_index,
            base_amount=base_amount,
            price=price,
            **self._turn(lane),
        )
        body = {"MarketIndex": market_index, "Index": order_index, "BaseAmount": base_amount, "Price": price}
        return self._checked(facts.TX_MODIFY_ORDER, signed, body | {"TriggerPrice": 0}, lane)

    def update_leverage(self, market_index: int, margin_fraction: int, lane: Lane) -> Transaction:
        """Cross margin with this initial margin fraction, in facts.MARGIN_FRACTION_UNIT. Raises SigningError."""
        signed = self._loaded().sign_update_leverage(
            market_index=market_index, fraction=margin_fraction, margin_mode=CROSS_MARGIN, **self._turn(lane)
        )
        body = {"MarketIndex": market_index, "InitialMarginFraction": margin_fraction, "MarginMode": CROSS_MARGIN}
        return self._checked(facts.TX_UPDATE_LEVERAGE, signed, body, lane)

    def auth_token(self, slot: int, made_s: int, life_s: int) -> Credential:
        """A token for private reads, good from `made_s` (epoch seconds) for `life_s`. Raises SigningError."""
        token, error = self._loaded().create_auth_token_with_expiry(life_s, timestamp=made_s, api_key_index=slot)
        if error or not token or not token.startswith(f"{made_s + life_s}:{self.account_index}:{slot}:"):
            raise SigningError(f"no token for slot {slot}: {error or 'it is not what was asked for'}")
        return Credential(token)

    def _turn(self, lane: Lane) -> dict[str, int]:
        """Key and nonce, always both: with one of them missing the library looks for the other by itself."""
        if lane.key not in map(str, self.slots):
            raise SigningError(f"no key in slot {lane.key!r:.20}")
        if lane.number is None or not 0 <= lane.number <= facts.NONCE_MAX:
            raise SigningError(f"slot {lane.key} needs its next nonce, not {lane.number}")
        return {"nonce": lane.number, "api_key_index": int(lane.key)}

    def _checked(self, kind: int, signed: tuple[Any, ...], body: Mapping[str, object], lane: Lane) -> Transaction:
        """What the library signed, held against what was asked. Raises SigningError.

        Its interface is positional and narrow: a number too large would wrap, a shifted argument would trade.
        """
        tx_type, info, tx_hash, error = signed
        if error or not info or not tx_hash:
            raise SigningError(f"the signing library refused: {error or 'without a word'}")
        told = msgspec.json.decode(info)
        asked = {
            "L2TxAttributes": None,
            **body,
            "AccountIndex": self.account_index,
            "ApiKeyIndex": int(lane.key),
            "Nonce": lane.number,
        }
        wrong = {name: told.get(name, "nothing") for name, value in asked.items() if told.get(name, "") != value}
        unasked = told.keys() - asked.keys() - {"Sig", "ExpiredAt"}
        if wrong or unasked or tx_type != kind:
            raise SigningError(f"signed something else: type {tx_type}, {wrong or sorted(unasked)} for {asked}")
        return Transaction(kind, info, tx_hash, told["ExpiredAt"])

    def _loaded(self) -> Any:
        """The SDK's client around the library, made on first use. Raises SigningError."""
        if self._client is None:
            from lighter.signer_client import SignerClient, get_signer  # noqa: PLC0415  # takes a second

            client: Any = SignerClient.__new__(SignerClient)
            client.signer = get_signer()  # type: ignore[no-untyped-call]
            client.url, client.chain_id, client.account_index = "", self._chain_id, self.account_index
            client.api_key_dict = self._keys
            for slot in self.slots:
                _create(client, slot)
            self._client = client
        return self._client


class Tokens:
    """The token of one slot: made when first wanted, made anew TOKEN_RENEW_MS later or after it was refused."""

    def __init__(self, signer: Signer, slot: int) -> None:
        self._signer = signer
        self._slot = slot
        self._token: Credential | None = None
        self._made_ms = 0

    def current(self, now_ms: int) -> Credential:
        """The token to use now. Raises SigningError."""
        aged = not 0 <= now_ms - self._made_ms < facts.TOKEN_RENEW_MS  # below zero: the clock was set back
        if self._token is None or aged:
            self._token = self._signer.auth_token(self._slot, now_ms // 1_000, facts.TOKEN_LIFE_MS // 1_000)
            self._made_ms = now_ms
        return self._token

    def refused(self) -> None:
        """The venue did not take it: the next one is new."""
        self._token = None


def _key(slot: int, text: str) -> str:
    """80 hex digits. Raises ValueError, which does not show them."""
    if not 0 <= slot <= facts.SLOT_MAX:
        raise ValueError(f"API key slots go from 0 to {facts.SLOT_MAX}: {slot}")
    found = PRIVATE_KEY.fullmatch(text.strip())
    if found is None or not int(found[1], 16):
        raise ValueError(f"the API key of slot {slot} is not 80 hex digits (an Ethereum key has 64)")
    return found[1]


def _create(client: Any, slot: int) -> None:
    """The library's client for a slot. What it says about a bad key may quote it, so that is not passed on."""
    try:
        client.create_client(slot)
    except Exception as error:  # noqa: BLE001  # the SDK raises plain Exception
        raise SigningError(f"the signing library takes no key in slot {slot}: {type(error).__name__}") from None


# The public key of a private one, which the library does not tell: for checks, in plain Python, 30 ms.

P = 2**64 - 2**32 + 1
"""The Goldilocks prime. Coordinates are of GF(P)[z] / (z^5 - 3): five numbers, the constant first."""
Element = tuple[int, ...]
Point = tuple[Element, Element]
GENERATOR_X = (
    5563608483237702766,
    14090224426659529053,
    13197813503519687414,
    16280770174934269299,
    15998333998318935536,
)
"""Of the point with y/x = -4 in the subgroup of odd order."""
FROBENIUS = pow(3, (P - 1) // 5, P)
"""z to the power of P is this many z."""


def public_key(private_key: str) -> str:
    """80 hex digits for 80: the scalar times the generator of ecGFp5, which is y^2 = x^3 + 2 x^2 + 263 z x.

    Keys are written as y/x (T. Pornin, EcGFp5, 2022). Its group is the odd subgroup shifted by the point (0, 0), which
    turns the sign of y/x; the sums here are the curve's own.
    """
    scalar = int.from_bytes(bytes.fromhex(private_key), "little")
    doubled: Point = (GENERATOR_X, _times(GENERATOR_X, -4))
    total: Point | None = None
    while scalar:
        if scalar & 1:
            total = doubled if total is None else _add(total, doubled)
        doubled = _add(doubled, doubled)
        scalar >>= 1
    assert total is not None, "a key of zero is refused before"
    x, y = total
    return b"".join(part.to_bytes(8, "little") for part in _times(_product(y, _inverse(x)), -1)).hex()


def _add(one: Point, other: Point) -> Point:
    """The chord's third point, mirrored; the tangent's where both are the same. Never opposite points."""
    (x1, y1), (x2, y2) = one, other
    if one == other:
        rise = _sum(_times(_product(x1, x1), 3), _times(x1, 4), (0, 263, 0, 0, 0))
        slope = _product(rise, _inverse(_times(y1, 2)))
    else:
        slope = _product(_sum(y2, _times(y1, -1)), _inverse(_sum(x2, _times(x1, -1))))
    x3 = _sum(_product(slope, slope), _times(x1, -1), _times(x2, -1), (-2, 0, 0, 0, 0))
    return x3, _sum(_product(slope, _sum(x1, _times(x3, -1))), _times(y1, -1))


def _sum(*elements: Element) -> Element:
    return tuple(sum(parts) % P for parts in zip(*elements, strict=True))


def _times(element: Element, factor: int) -> Element:
    return tuple(part * factor % P for part in element)


def _product(one: Element, other: Element) -> Element:
    powers = [0] * 10
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            powers[i + j] += left * right
    return tuple((powers[k] + 3 * powers[k + 5]) % P for k in range(5))


def _inverse(element: Element) -> Element:
    """By the norm: an element times its four conjugates is a plain number."""
    conjugates = [tuple(part * pow(FROBENIUS, i * n, P) % P for i, part in enumerate(element)) for n in range(1, 5)]
    rest = reduce(_product, conjugates)
    norm = _product(element, rest)[0]
    return _times(rest, pow(norm, -1, P))

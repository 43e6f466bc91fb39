"""What our orders are called: by us, by the one byte that labels them while they live, and by the chain for ever."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from twinleg.core.trading import OrderSeen
from twinleg.venues.drift.chain.layout import Order

NAMES_MAX = 2_000
"""Our choice: orders remembered, far more than can be open."""
USER_ORDER_IDS = 255


class Name(msgspec.Struct):
    """One of our orders: the byte that labels it while it lives, and what it is known by on the chain."""

    client_id: str
    market_index: int
    byte: int
    signature: str
    from_order_id: int
    """The account's next order id when it was signed: its own is not below."""
    void_after_ms: int
    asked: OrderSeen | None = None
    """What was asked for, as it would be seen if nothing had come of it yet."""
    order_id: int | None = None
    over: bool = False


class Names:
    """Our client ids, one-byte labels, order ids and signatures, each to the other; the newest NAMES_MAX of them."""

    def __init__(self) -> None:
        self._by_client: dict[str, Name] = {}
        self._by_order: dict[int, Name] = {}
        self._by_signature: dict[str, Name] = {}
        self._live: dict[str, Name] = {}
        self._labels: dict[tuple[int, int], Name] = {}

    def byte_for(self, client_id: str, open_bytes: set[int], now_ms: int) -> int:
        """A label that no open order has and no order on its way; the same for the same name if that is free.

        One is on its way until its bytes are void: from then on the account alone says whether it is open.

        Raises ValueError when there is none.
        """
        known = self._by_client.get(client_id)
        if known is not None:
            return known.byte
        for gone in [one.client_id for one in self._live.values() if one.over or now_ms > one.void_after_ms]:
            del self._live[gone]
        held = {one.byte for one in self._live.values()}
        first = sha256(client_id.encode()).digest()[0]
        for step in range(USER_ORDER_IDS):
            byte = 1 + (first + step) % USER_ORDER_IDS
            if byte not in held and byte not in open_bytes:
                return byte
        raise ValueError("all labels of orders are in use")

    def sent(self, name: Name) -> None:
        """An order was signed; signing it again replaces its signature."""
        before = self._by_client.pop(name.client_id, None)
        if before is not None:
            self._by_signature.pop(before.signature, None)
        self._by_client[name.client_id] = self._by_signature[name.signature] = self._live[name.client_id] = name
        self._labels[name.byte, name.market_index] = name
        while len(self._by_client) > NAMES_MAX:
            old = self._by_client.pop(next(iter(self._by_client)))
            self._by_signature.pop(old.signature, None)
            self._live.pop(old.client_id, None)
            if self._labels.get((old.byte, old.market_index)) is old:
                del self._labels[old.byte, old.market_index]
            if old.order_id is not None:
                self._by_order.pop(old.order_id, None)

    def placed(self, client_id: str, order_id: int) -> None:
        """The chain says so."""
        name = self._by_client.get(client_id) or Name(client_id, -1, 0, "", 0, 0)
        name.order_id = order_id
        self._by_client[client_id] = self._by_order[order_id] = name

    def moved(self, client_id: str, signature: str) -> None:
        """An order was asked to become another: of a later id, under its label."""
        before = self._by_client[client_id]
        first = before.from_order_id if before.order_id is None else before.order_id + 1
        fresh = msgspec.structs.replace(before, signature=signature, from_order_id=first, order_id=None, over=False)
        self._by_client[client_id] = self._by_signature[signature] = self._live[client_id] = fresh
        self._labels[fresh.byte, fresh.market_index] = fresh

    def ended(self, order_id: int) -> None:
        """Its label is free."""
        if order_id in self._by_order:
            self._by_order[order_id].over = True

    def of_order(self, order: Order) -> str | None:
        """Whose order that is: by its id, else by its label if one of ours is on its way under it."""
        name = self._by_order.get(order.order_id)
        if name is not None:
            return name.client_id
        one = self._labels.get((order.user_order_id, order.market_index))
        if one is None or one.order_id is not None or order.order_id < one.from_order_id:
            return None
        self.placed(one.client_id, order.order_id)
        return one.client_id

    def client_of(self, order_id: int | None) -> str | None:
        name = self._by_order.get(order_id) if order_id is not None else None
        return None if name is None else name.client_id

    def of_signature(self, signature: str) -> str | None:
        name = self._by_signature.get(signature)
        return None if name is None else name.client_id

    def of_client(self, client_id: str) -> Name | None:
        return self._by_client.get(client_id)

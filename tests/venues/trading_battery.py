"""What a venue brings to the private side's battery, and the line that joins its account feeds to scripted servers.

A venue joins by adding `tests/venues/<venue>/trading_case.py` with a `TRADING_CASE`. The case writes our own words
(OrderSeen, ExecutionSeen ...) as the venue's wire would; reading them back is what is tested.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce, client_id, trade_id
from twinleg.core.trading import (
    AccountEvent,
    BalanceSeen,
    ExecutionSeen,
    Lane,
    OrderSeen,
    PositionSeen,
    Signed,
    TradingVenue,
)
from twinleg.core.venue import Feed
from venues.battery import SECOND_NS, START_MS, START_NS

OURS = client_id(trade_id(7), Leg.LONG, 0)


class Unpacked(NamedTuple):
    """A signed order as the venue would read it. Sizes and prices as the wire's numbers, in whole lots and ticks."""

    client_id: str
    market: str
    """The venue's own name of it: Market.native_id."""
    side: Side
    size_lots: int
    price_ticks: int
    reduce_only: bool
    time_in_force: TimeInForce


class Bodies(Protocol):
    """REST bodies that tell these rows. Foreign orders (client_id None) get some other name."""

    def orders(self, rows: Sequence[OrderSeen]) -> bytes:
        """To TradingVenue.open_orders."""
        ...

    def fills(self, rows: Sequence[ExecutionSeen]) -> bytes:
        """To TradingVenue.fills."""
        ...

    def positions(self, rows: Sequence[PositionSeen]) -> bytes: ...
    def balance(self, row: BalanceSeen) -> bytes: ...
    def order(self, rows: Sequence[OrderSeen], fills: Sequence[ExecutionSeen]) -> list[bytes]:
        """To each of TradingVenue.order(OURS): together they tell all of these."""
        ...


class AccountServer(Protocol):
    """The venue's end of one account feed. Every method gives [] where that feed does not carry it."""

    orders: list[OrderSeen]
    positions: list[PositionSeen]
    """What the first messages of a connection show."""

    def greet(self) -> list[bytes]:
        """What the venue says by itself when a connection opens."""
        ...

    def answer(self, message: bytes) -> list[bytes]: ...
    def order(self, row: OrderSeen) -> list[bytes]: ...
    def fill(self, row: ExecutionSeen) -> list[bytes]: ...
    def position(self, row: PositionSeen) -> list[bytes]: ...
    def balance(self, row: BalanceSeen) -> list[bytes]: ...
    def odd_order(self, row: OrderSeen) -> list[bytes]:
        """That order in a state that nobody ever heard of."""
        ...

    def off_grid(self, row: ExecutionSeen) -> list[bytes]:
        """That fill at a price between two ticks."""
        ...

    def strange(self) -> list[bytes]:
        """Well-formed messages of types that we never heard of. They take part in the continuity."""
        ...

    def skip(self) -> None:
        """A message is lost on its way, with its place in the continuity."""
        ...


class TradingCase(msgspec.Struct, kw_only=True):
    """One venue's part of the battery."""

    venue: Callable[[], TradingVenue]
    """A fresh one, for http://127.0.0.1:1 and ws://127.0.0.1:1."""
    markets: tuple[Market, Market]
    secrets: tuple[str, ...]
    """What no repr, event or error may show: private keys, API keys, as they were given."""
    sent_secrets: tuple[str, ...]
    """Those that requests carry, so that an answer might quote them."""
    unpack: Callable[[Signed], Unpacked]
    signs_at_wall_time: bool = False
    """The signer stamps the time of day by itself, whatever time it is told."""
    same_bytes: bool
    """Signing twice gives the same bytes (else signatures are salted, and only the content is the same)."""
    accepted: Callable[[Signed], bytes]
    """The body that accepts, with status 200."""
    refusals: list[tuple[int, bytes]]
    """(status, body) with which the venue definitely says no to an order."""
    doubts: list[tuple[int, bytes]]
    """(status, body) that sound like a no and are none: a duplicate, an internal error."""
    read_refusals: list[bytes]
    """Bodies with which a read is refused inside a 200."""
    bodies: Bodies
    server: Callable[[Feed], AccountServer]
    account_sequence: bool
    """The account stream's messages carry a continuity number."""


def trading_cases() -> list[TradingCase]:
    """Every venue that has a trading_case.py."""
    rooms = sorted(path.parent.name for path in Path(__file__).parent.glob("*/trading_case.py"))
    return [importlib.import_module(f"venues.{room}.trading_case").TRADING_CASE for room in rooms]


def an_intent(market: Market, /, **fields: Any) -> Intent:
    """An entry of ours, as decided."""
    told = {
        "trade_id": trade_id(7),
        "leg": Leg.LONG,
        "attempt": 0,
        "client_id": OURS,
        "venue": market.venue,
        "market": market.key,
        "side": Side.BUY,
        "size_lots": market.min_size_lots * 7,
        "limit_ticks": 1001,
        "reduce_only": False,
        "time_in_force": TimeInForce.IOC,
        "purpose": Purpose.ENTER,
        "deadline_ms": START_MS + 5_000,
        "decision_price_ticks": 1000,
    }
    return Intent(**(told | fields))


def an_order(market: Market, /, **fields: Any) -> OrderSeen:
    told = {
        "venue": market.venue,
        "market": market.key,
        "client_id": OURS,
        "venue_order_id": "2103822896198586368",
        "side": Side.BUY,
        "size_lots": 700,
        "filled_lots": 0,
        "price_ticks": 1001,
        "reduce_only": False,
        "resting": True,
        "reason": "",
        "at_ms": START_MS,
    }
    return OrderSeen(**(told | fields))


def a_fill(market: Market, /, **fields: Any) -> ExecutionSeen:
    told = {
        "venue": market.venue,
        "market": market.key,
        "client_id": OURS,
        "venue_order_id": "2103822896198586368",
        "fill_id": "2103822896206974978",
        "side": Side.BUY,
        "price_ticks": 1001,
        "size_lots": 300,
        "fee_micro_usd": 680_603,
        "forced": None,
        "at_ms": START_MS,
    }
    return ExecutionSeen(**(told | fields))


def a_position(market: Market, lots: int) -> PositionSeen:
    return PositionSeen(
        venue=market.venue,
        market=market.key,
        lots=lots,
        entry_price=1000.5 if lots else None,
        liquidation_price=None,
        unrealised_usd=-1.25 if lots else 0.0,
        at_ms=START_MS,
    )


def a_balance(market: Market) -> BalanceSeen:
    return BalanceSeen(market.venue, 13_512.5, 12_671.75, 840.5, 420.25, START_MS)


def lane_of(venue: TradingVenue) -> Lane:
    return Lane(venue.lanes()[0], 41 if venue.trading.sequenced else None)


class AccountLine:
    """All account feeds of a venue, each joined to its server. Time stands still but for `wait`."""

    def __init__(self, case: TradingCase) -> None:
        self.case = case
        self.feeds = case.venue().account_feeds(case.markets)
        self.servers = [case.server(feed) for feed in self.feeds]
        self.now_ms, self.now_ns = START_MS, START_NS
        self.events: list[AccountEvent] = []

    def open(self) -> AccountLine:
        for index, feed in enumerate(self.feeds):
            self._take(feed.opened(self.now_ms))
            self._pump(index)
            self._deliver(index, self.servers[index].greet())
        return self

    def reopen(self) -> None:
        """Every connection ends and a new one begins; the servers show what they showed."""
        for index, feed in enumerate(self.feeds):
            self._take(feed.closed("test", self.now_ns, self.now_ms))
            old, self.servers[index] = self.servers[index], self.case.server(feed)
            self.servers[index].orders, self.servers[index].positions = old.orders, old.positions
        self.open()

    def push(self, say: Callable[[AccountServer], list[bytes]]) -> list[AccountEvent]:
        """Every server says its part of it. Returns the events."""
        before = len(self.events)
        for index, server in enumerate(self.servers):
            self._deliver(index, say(server))
        return self.events[before:]

    def deliver(self, *frames: bytes) -> list[AccountEvent]:
        """The same frames to every feed."""
        before = len(self.events)
        for index in range(len(self.feeds)):
            self._deliver(index, list(frames))
        return self.events[before:]

    def wait(self, seconds: int) -> list[AccountEvent]:
        before = len(self.events)
        for _ in range(seconds):
            self.now_ms += 1_000
            self.now_ns += SECOND_NS
            for index, feed in enumerate(self.feeds):
                self._take(feed.timer(self.now_ns, self.now_ms))
                self._pump(index)
        return self.events[before:]

    @property
    def broken(self) -> bool:
        return any(feed.broken is not None for feed in self.feeds)

    def _deliver(self, index: int, frames: list[bytes]) -> None:
        for frame in frames:
            self.now_ns += 1
            self._take(self.feeds[index].received(memoryview(frame), self.now_ns, self.now_ms))
        self._pump(index)

    def _pump(self, index: int) -> None:
        feed = self.feeds[index]
        for _ in range(1_000):
            if not feed.outbox:
                return
            for frame in self.servers[index].answer(feed.outbox.pop(0)):
                self._take(feed.received(frame, self.now_ns, self.now_ms))
        raise AssertionError("the feed never stops talking")

    def _take(self, events: list[Any]) -> None:
        assert type(events) is list
        self.events += events

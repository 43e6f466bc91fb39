"""A whole venue in a page: its exchange with numbered keys, orders, fills and positions, its wire, and its adapter.

The exchange is the world's truth that tests compare with. `Wire` is the net between: what it does to each submission is
the test's to say, in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

import msgspec
from simulated import SimClock, SimDice

from twinleg.core.amounts import Grid
from twinleg.core.messages import Market, MarketStatus
from twinleg.core.orders import Intent, Leg, Purpose, Side, TimeInForce, client_id
from twinleg.core.trading import (
    KEY_REFUSED,
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    Lane,
    OrderSeen,
    PositionSeen,
    SendOutcome,
    SendVerdict,
    Signed,
    TradingCapabilities,
    TransactionSeen,
)
from twinleg.core.venue import Feed, Limits, Request, WireError
from twinleg.runtime.budget import Budget
from twinleg.runtime.gate import Account, VenueGate
from twinleg.runtime.lanes import Lanes
from twinleg.runtime.ports import Reply, Stream, StreamListener
from twinleg.runtime.streams import Doors

VENUE = "tiny"
ETH = Market(
    key="tiny:ETH",
    venue=VENUE,
    symbol="ETH",
    native_id="0",
    base="ETH",
    quote="USDC",
    status=MarketStatus.OPEN,
    price_grid=Grid(2),
    size_grid=Grid(3),
    min_size_lots=1,
    maker_fee_bps=0.0,
    taker_fee_bps=0.0,
    taker_delay_ms=0,
    funding_interval_ms=3_600_000,
)
LIMITS = Limits(
    requests_per_minute=6_000,
    stream_messages_per_minute=80,
    connects_per_minute=400,
    messages_in_flight=20,
    frame_bytes_max=100_000,
    inflated_bytes_max=100_000,
    silence_ms_max=10_000,
)
TIMEOUT_MS = 1_000
LIFE_MS = 5_000
"""How long signed bytes are good for."""


class Placed(msgspec.Struct):
    """An order as the exchange has it."""

    id: str
    client: str | None
    side: str
    size: int
    price: int
    resting: bool
    filled: int = 0
    reason: str = ""
    forced: str | None = None
    """Why the venue traded for us: nobody sent it."""


class Exchange:
    """Accepts numbered transactions, fills `share` of what takes, keeps what rests until it is cancelled."""

    def __init__(self, clock: SimClock, *, sequenced: bool = True, market: Market = ETH) -> None:
        self.clock, self.sequenced, self.market = clock, sequenced, market
        self.next: dict[str, int] = {}
        self.orders: dict[str, Placed] = {}
        self.fills: list[tuple[Placed, str, int]] = []
        self.transactions: dict[str, TransactionSeen] = {}
        """Numbered ones that were executed, by correlation."""
        self.share = 1.0
        self.refuses = False
        self.shows_numbers = True
        """The account stream tells of transactions."""
        self.told: list[AccountEvent] = []
        """What the account stream would tell, in order."""

    def take(self, tx: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One transaction: (HTTP status, answer)."""
        if self.clock.wall_ms() > tx["void_ms"]:
            return 400, {"reason": "expired"}
        if self.sequenced and tx["number"] != self.next.setdefault(tx["key"], 0):
            return 409, {"reason": "invalid number"}
        if self.refuses:
            return 400, {"reason": "margin"}
        if self.sequenced:
            self.next[tx["key"]] += 1
            self.number(tx)
        if tx["kind"] in ("nothing", "leverage", "switch"):
            return 200, {"id": None}
        if tx["kind"] == "cancel":
            for order in self.orders.values():
                if order.client == tx["client"]:
                    self.end(order, "cancelled")
            return 200, {"id": None}
        order = Placed(f"o{len(self.orders)}", tx["client"], tx["side"], tx["size"], tx["limit"], True)
        self.orders[order.id] = order
        if tx["rests"]:
            self.told.append(self.seen(order))
        else:
            self.fill(order, int(order.size * self.share))
            self.end(order, "ioc")
        return 200, {"id": order.id}

    def number(self, tx: dict[str, Any]) -> None:
        named = tx["client"] or None
        seen = TransactionSeen(
            venue=self.market.venue, key=tx["key"], number=tx["number"], correlation=tx.get("name", "theirs"),
            client_id=named, executed=True, at_ms=self.clock.wall_ms(),
        )  # fmt: skip
        self.transactions[seen.correlation] = seen
        if self.shows_numbers:
            self.told.append(seen)

    def fill(self, order: Placed, lots: int) -> None:
        if lots:
            order.filled += lots
            self.fills.append((order, f"f{len(self.fills)}", lots))
            self.told.append(self.execution(*self.fills[-1]))

    def end(self, order: Placed, reason: str) -> None:
        if order.resting:
            order.resting, order.reason = False, reason
            self.told.append(self.seen(order))

    def seen(self, order: Placed) -> OrderSeen:
        return OrderSeen(
            venue=self.market.venue, market=self.market.key, client_id=order.client, venue_order_id=order.id,
            side=Side(order.side), size_lots=order.size, filled_lots=order.filled, price_ticks=order.price,
            reduce_only=False, resting=order.resting, reason=order.reason, at_ms=self.clock.wall_ms(),
        )  # fmt: skip

    def execution(self, order: Placed, fill_id: str, lots: int) -> ExecutionSeen:
        return ExecutionSeen(
            venue=self.market.venue, market=self.market.key, client_id=order.client, venue_order_id=order.id,
            fill_id=fill_id, side=Side(order.side), price_ticks=order.price, size_lots=lots, fee_micro_usd=5,
            forced=order.forced, at_ms=self.clock.wall_ms(),
        )  # fmt: skip

    def take_away(self, lots: int) -> None:
        """Reduce the account's position by that much, as a liquidation does."""
        side = Side.SELL if self.position > 0 else Side.BUY
        order = Placed(f"o{len(self.orders)}", None, side.value, lots, 1, False, lots, forced="liquidation")
        self.orders[order.id] = order
        self.fills.append((order, f"f{len(self.fills)}", lots))
        self.told.append(self.execution(*self.fills[-1]))

    @property
    def position(self) -> int:
        return sum(Side(order.side).sign * lots for order, _, lots in self.fills)

    def lists(self, kind: str, client: str | None = None) -> list[AccountEvent]:
        venue, now_ms = self.market.venue, self.clock.wall_ms()
        orders = [one for one in self.orders.values() if client is None or one.client == client]
        rows: list[Any] = []
        match kind:
            case "open":
                rows = [self.seen(one) for one in orders if one.resting]
            case "closed":
                rows = [self.seen(one) for one in orders if not one.resting]
            case "fills":
                rows = [self.execution(*each) for each in self.fills if client is None or each[0].client == client]
            case "positions":
                held = self.position
                rows = [PositionSeen(venue, self.market.key, held, None, None, None, now_ms)] if held else []
            case "balance":
                rows = [BalanceSeen(venue, 1_000.0, 1_000.0, None, None, now_ms)]
        if client is not None:
            return rows
        return [AccountSnapshot(venue, "orders" if kind == "open" else kind, 0, tuple(rows), now_ms)]


class Wire:
    """The net to one Exchange. `fates` are what happens to the submissions, in order; then all goes well.

    ok · lost (taken, no answer) · dropped (not taken, no answer) · unsent · refused · busy (429) · broken (taken,
    502) · down (not taken, 502) · late (no answer, taken a second later) · slow, stuck (taken and answered after half a
    second, half a minute) · exists, revoked (not taken: there is such an order, no such key)
    """

    def __init__(self, clock: SimClock, exchange: Exchange) -> None:
        self.clock, self.exchange = clock, exchange
        self.fates: deque[str] = deque()
        self.deaf: set[str] = set()
        """Paths that answer 503."""
        self.garbled: set[str] = set()
        self.number_takes_s = 0.0
        self.sent: list[dict[str, Any]] = []
        """Every transaction whose bytes left, with its fate under "fate"."""
        self.requests: list[Request] = []
        self.history: list[tuple[str, str, int, bool | None]] = []
        """("told" or "sent", key, number, what the answer said of the number), in the order of the answers."""
        self.under_way: set[asyncio.Task[None]] = set()

    async def request(self, request: Request, timeout_ms: int) -> Reply:
        self.requests.append(request)
        path, _, query = request.url.removeprefix("http://tiny/").partition("?")
        if request.method == "POST":
            return await self._submission(msgspec.json.decode(request.body or b""))
        if path in self.deaf:
            return Reply(503, b"maintenance")
        if path in self.garbled:
            return Reply(200, b"<html>")
        if path == "transaction":
            return Reply(200, b"fine") if query in self.exchange.transactions else Reply(400, b"not found")
        if path == "next":
            if self.number_takes_s:
                await self.clock.sleep(self.number_takes_s)
            number = self.exchange.next.setdefault(query, 0)
            self.history.append(("told", query, number, None))
            return Reply(200, msgspec.json.encode(number))
        return Reply(200, b"fine")

    async def _submission(self, tx: dict[str, Any]) -> Reply:
        fate = self.fates.popleft() if self.fates else "ok"
        if fate == "unsent":
            return Reply(None, b"", "connect failed", sent=False)
        self.sent.append(tx | {"fate": fate})
        reply = await self._fate(fate, tx)
        spent = {200: True, 400: False, 429: False}.get(reply.status or 0)
        self.history.append(("sent", tx["key"], tx["number"], spent))
        return reply

    async def _fate(self, fate: str, tx: dict[str, Any]) -> Reply:
        match fate:
            case "busy":
                return Reply(429, b'{"reason":"too many"}', retry_after_s=2.0)
            case "dropped" | "late":
                if fate == "late":
                    task = asyncio.create_task(self._later(tx))
                    self.under_way.add(task)
                    task.add_done_callback(self.under_way.discard)
                return Reply(None, b"", "timeout")
            case "down":
                return Reply(502, b"<html>")
            case "exists" | "revoked":
                return Reply(400, msgspec.json.encode({"reason": fate}))
            case "slow" | "stuck":
                await self.clock.sleep(0.5 if fate == "slow" else 30.0)
            case "refused":
                self.exchange.refuses = True
        status, answer = self.exchange.take(tx)
        self.exchange.refuses = False
        if fate == "lost":
            return Reply(None, b"", "connection reset")
        return Reply(502, b"<html>") if fate == "broken" else Reply(status, msgspec.json.encode(answer))

    async def _later(self, tx: dict[str, Any]) -> None:
        await self.clock.sleep(1.0)
        self.exchange.take(tx)

    async def open_stream(
        self, url: str, headers: dict[str, str], listener: StreamListener, *, message_bytes_max: int, timeout_ms: int
    ) -> Stream | str:
        return "no streams here"

    async def close(self) -> None:
        for task in self.under_way:
            task.cancel()
        await asyncio.gather(*self.under_way, return_exceptions=True)


class TinyTrading:
    """The venue's adapter: a core.trading.TradingVenue over the wire above."""

    def __init__(self, exchange: Exchange, keys: Sequence[str] = ("k0",)) -> None:
        self.exchange, self._keys, self.name = exchange, keys, exchange.market.venue
        self.trading = TradingCapabilities(
            sequenced=exchange.sequenced, post_only=True, modify=False, cancel_all=False, cancel_all_in_market=False,
            dead_man_switch=True, leverage=True, expiry_ms_max=LIFE_MS,
        )  # fmt: skip
        self.raises: Exception | None = None
        self.signatures = 0

    def prepare(self, now_ms: int) -> None:
        """There is nothing to load."""

    def lanes(self) -> Sequence[str]:
        return self._keys

    def sign(self, intent: Intent, market: Market, lane: Lane, now_ms: int) -> Signed:
        if self.raises is not None:
            raise self.raises
        fields = {
            "side": intent.side.value,
            "size": intent.size_lots,
            "limit": intent.limit_ticks,
            "rests": intent.time_in_force is TimeInForce.POST_ONLY,
        }
        return self._signed("order", intent.client_id, lane, now_ms, fields, intent.reduce_only)

    def sign_cancel(
        self, client_id: str, venue_order_id: str | None, market: Market, lane: Lane, now_ms: int
    ) -> Signed:
        return self._signed("cancel", client_id, lane, now_ms, {}, True)

    def _signed(self, kind: str, client: str, lane: Lane, now_ms: int, fields: dict[str, Any], reduces: bool) -> Signed:
        assert (lane.number is not None) == self.exchange.sequenced, "signed on a guess"
        void_ms, self.signatures = now_ms + LIFE_MS, self.signatures + 1
        name = f"{kind}/{client}/{lane.key}/{lane.number}"
        tx = {"kind": kind, "client": client, "key": lane.key, "number": lane.number, "void_ms": void_ms, "name": name}
        tx |= fields
        request = Request(
            venue=self.name, method="POST", url="http://tiny/tx", body=msgspec.json.encode(tx), reduces_risk=reduces
        )
        return Signed(client_id=client, request=request, correlation=name, lane=lane, void_after_ms=void_ms)

    def sign_cancel_all(self, market: Market | None, lane: Lane, now_ms: int) -> Signed:
        raise NotImplementedError

    def sign_nothing(self, client_id: str, market: Market, lane: Lane, now_ms: int) -> Signed:
        return self._signed("nothing", "", lane, now_ms, {}, True)

    def sign_leverage(self, market: Market, leverage: float, lane: Lane, now_ms: int) -> Signed:
        if leverage < 1:
            raise ValueError(f"leverage {leverage}")
        return self._signed("leverage", "", lane, now_ms, {"leverage": leverage}, False)

    def sign_dead_man_switch(self, fires_at_ms: int | None, lane: Lane, now_ms: int) -> Signed:
        return self._signed("switch", "", lane, now_ms, {"fires_at_ms": fires_at_ms}, True)

    def read_reply(self, signed: Signed, status: int | None, body: bytes) -> SendOutcome:
        if status in {None, 502, 503}:
            return SendOutcome(SendVerdict.UNKNOWN, "" if status is None else f"HTTP {status}")
        answer = msgspec.json.decode(body)
        if status == 200:
            return SendOutcome(SendVerdict.ACCEPTED, "", answer["id"], lane_spent=True)
        reason = answer["reason"]
        if reason == "exists":
            return SendOutcome(SendVerdict.UNKNOWN, reason, exists=True)
        incident = KEY_REFUSED if reason == "revoked" else None
        spent = None if status == 409 else False
        return SendOutcome(SendVerdict.REJECTED, reason, lane_spent=spent, incident=incident)

    def next_number(self, key: str, now_ms: int) -> tuple[Request, Callable[[bytes], int]] | None:
        if not self.exchange.sequenced:
            return None

        def read(body: bytes) -> int:
            try:
                return msgspec.json.decode(body, type=int)
            except msgspec.MsgspecError as error:
                raise WireError(f"no number: {error}") from error

        return Request(venue=self.name, method="GET", url=f"http://tiny/next?{key}"), read

    def _read(self, kind: str, client: str | None = None) -> AccountRead:
        request = Request(venue=self.name, method="GET", url=f"http://tiny/{kind}" + (f"?{client}" if client else ""))
        return AccountRead(request, partial(self._parse, kind, client))

    def _parse(self, kind: str, client: str | None, body: bytes, now_ms: int) -> list[AccountEvent]:
        if body != b"fine":
            raise WireError(f"not ours: {body[:20]!r}")
        return self.exchange.lists(kind, client)

    def transaction(self, correlation: str, now_ms: int) -> AccountRead | None:
        if not self.exchange.sequenced:
            return None

        def parse(body: bytes, now_ms: int) -> list[AccountEvent]:
            return [self.exchange.transactions[correlation]]

        return AccountRead(Request(venue=self.name, method="GET", url=f"http://tiny/transaction?{correlation}"), parse)

    def open_orders(self, now_ms: int) -> AccountRead:
        return self._read("open")

    def order(self, client_id: str, market: Market, now_ms: int) -> list[AccountRead]:
        return [self._read(kind, client_id) for kind in ("open", "closed", "fills")]

    def fills(self, since_ms: int, now_ms: int) -> AccountRead:
        return self._read("fills")

    def positions(self, now_ms: int) -> AccountRead:
        return self._read("positions")

    def balance(self, now_ms: int) -> AccountRead:
        return self._read("balance")

    def fees(self, now_ms: int) -> AccountRead | None:
        return None

    def funding_paid(self, now_ms: int) -> AccountRead:
        return self._read("funding")

    def account_feeds(self, markets: Sequence[Market]) -> list[Feed]:
        return []


class Inline(Executor):
    """Signs at once, in the caller's thread: the test's time does not wait for threads."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **named))
        except Exception as error:  # noqa: BLE001 (it is passed on)
            future.set_exception(error)
        return future


class TinyWorld:
    """One process's gate at the tiny venue. Use as `async with`."""

    def __init__(
        self, keys: Sequence[str] = ("k0",), *, sequenced: bool = True, trusting: bool = True, limits: Limits = LIMITS
    ) -> None:
        self.clock = SimClock()
        self.exchange = Exchange(self.clock, sequenced=sequenced)
        self.wire = Wire(self.clock, self.exchange)
        self.trading = TinyTrading(self.exchange, keys)
        self.lanes = Lanes(keys, sequenced=sequenced, trusting=trusting)
        self.budget = Budget(VENUE, limits)
        self.lost: str | None = None
        self.markets = {ETH.key: ETH}
        account = Account(self.trading, self.markets, self.lanes, lambda: self.lost)
        doors = Doors(self.wire, self.clock, SimDice())
        self.heard: list[Any] = []
        self.gate = VenueGate(account, self.budget, doors, TIMEOUT_MS, signer=Inline(), tell=self.heard.append)
        self.news: list[Any] = []

    async def __aenter__(self) -> TinyWorld:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.gate.close()
        await self.wire.close()

    @property
    def now_ms(self) -> int:
        return self.clock.wall_ms()

    def intent(self, number: int = 1, attempt: int = 0, **changes: Any) -> Intent:
        trade = f"T{number:06d}"
        intent = Intent(
            trade_id=trade, leg=Leg.LONG, attempt=attempt, client_id=client_id(trade, Leg.LONG, attempt), venue=VENUE,
            market=ETH.key, side=Side.BUY, size_lots=10, limit_ticks=200_000, reduce_only=False,
            time_in_force=TimeInForce.IOC, purpose=Purpose.ENTER, deadline_ms=self.now_ms + 3_000,
            decision_price_ticks=200_000,
        )  # fmt: skip
        return msgspec.structs.replace(intent, **changes)

    async def live(self, seconds: float = 0.1, *, stream: bool = True) -> list[Any]:
        """Let time pass and return what became known; `stream` says whether the account stream works."""
        since = len(self.news)
        steps = min(max(1, round(seconds / 0.1)), 20)
        for _ in range(steps):
            await self.clock.advance(seconds / steps)
            told, self.exchange.told = self.exchange.told, []
            if stream:
                self.gate.account(told)
            self.news += self.gate.due(self.now_ms)
        return self.news[since:]

    async def submit(self, intent: Intent | None = None, fate: str = "ok", **named: Any) -> list[Any]:
        """Send an order to its fate; what became known within a second."""
        self.wire.fates.append(fate)
        self.gate.submit(intent or self.intent(), self.now_ms)
        return await self.live(1.0, **named)

    def fills_told(self) -> dict[str, tuple[str, int]]:
        """fill id -> (client id, lots), as the gate told them."""
        return {one.fill_id: (one.client_id, one.size_lots) for one in self.news if hasattr(one, "fill_id")}

"""Extended as a core.trading.TradingVenue: one account's orders out, the truth about it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from operator import attrgetter, itemgetter
from typing import TypeVar

import msgspec

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Purpose
from twinleg.core.trading import (
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    FeesSeen,
    Incident,
    Lane,
    LeverageSeen,
    SendOutcome,
    SendVerdict,
    Signed,
)
from twinleg.core.venue import Credential, Feed, Request, WireError
from twinleg.venues.extended import facts, orders, wire
from twinleg.venues.extended.account import UNREADABLE, Bounded, ExtendedAccountFeed, Rows, balance_seen
from twinleg.venues.extended.orders import Door, NewOrder
from twinleg.venues.extended.sign import MAINNET, Domain, Keys
from twinleg.venues.extended.venue import account_url

LANE = "stark"
Row = TypeVar("Row")
Seen = TypeVar("Seen")


class ExtendedTrading:
    """`markets` are the facts by key, and may grow; addresses are taken as ExtendedVenue takes them.

    Until `fees` was read, orders are signed with the rates of the market's facts (the base tier).
    """

    name = facts.NAME
    trading = facts.TRADING

    def __init__(
        self, rest_url: str, stream_url: str, keys: Keys, markets: Mapping[str, Market], domain: Domain = MAINNET
    ) -> None:
        self._keys = keys
        self._domain = domain
        self._markets = markets
        self._names = Bounded(facts.NAMES_MAX)
        self._rows = Rows(markets, self._names)
        self._door = Door(_base(rest_url), keys.api_key)
        self._account_url = account_url(stream_url)
        self._rates: dict[str, tuple[Decimal, Decimal]] = {}

    def __repr__(self) -> str:
        return f"ExtendedTrading({self._keys!r})"

    def prepare(self, now_ms: int) -> None:
        """There is nothing to load."""

    def lanes(self) -> Sequence[str]:
        """One: nothing is numbered here, so one key never waits for itself."""
        return (LANE,)

    def sign(self, intent: Intent, market: Market, lane: Lane, now_ms: int) -> Signed:
        """The same intent gives the same bytes whenever it is signed. Raises ValueError."""
        if intent.market != market.key:
            raise ValueError(f"{intent.client_id} is for {intent.market}, not for {market.key}")
        reduces_risk = intent.purpose is not Purpose.ENTER
        return self.sign_order(orders.of_intent(intent), market, lane, now_ms, reduces_risk=reduces_risk)

    def sign_order(
        self, order: NewOrder, market: Market, lane: Lane, now_ms: int, *, reduces_risk: bool = False
    ) -> Signed:
        """Any order that this adapter knows, edits too. CPU only (0.3 ms), safe on any thread. Raises ValueError."""
        orders.refuse_nonsense(order, market, now_ms)
        maker, taker = self._rates_in(market)
        fee = max(Decimal(0), maker if order.post_only else taker)  # a rebate is no ceiling
        body = orders.order_body(order, market, fee, self._keys, self._domain)
        return Signed(
            client_id=order.external_id,
            request=self._door.place(body, reduces_risk=reduces_risk or order.reduce_only),
            correlation=order.external_id,
            lane=lane,
            void_after_ms=order.expiry_ms + facts.CLOCK_SKEW_MS_MAX,
        )

    def sign_cancel(
        self, client_id: str, venue_order_id: str | None, market: Market, lane: Lane, now_ms: int
    ) -> Signed:
        """By our own id; orders that are none of ours by the venue's, with an empty `client_id`."""
        return self._unsigned(client_id, self._door.cancel(client_id, venue_order_id), lane, now_ms)

    def sign_cancel_all(self, market: Market | None, lane: Lane, now_ms: int) -> Signed:
        """Anybody's orders on the account, not ours alone."""
        return self._unsigned("", self._door.cancel_all(market), lane, now_ms)

    def sign_nothing(self, client_id: str, market: Market, lane: Lane, now_ms: int) -> Signed:
        """A cancel: nothing is numbered, so that nothing else could be of use."""
        return self.sign_cancel(client_id, None, market, lane, now_ms)

    def sign_leverage(self, market: Market, leverage: float, lane: Lane, now_ms: int) -> Signed:
        """Raises ValueError for what the market does not allow."""
        if not 1 <= leverage <= (market.max_leverage or facts.LEVERAGE_MAX):
            raise ValueError(f"leverage {leverage} in {market.key} is not within 1..{market.max_leverage}")
        return self._unsigned("", self._door.leverage(market, Decimal(repr(leverage))), lane, now_ms)

    def sign_dead_man_switch(self, fires_at_ms: int | None, lane: Lane, now_ms: int) -> Signed:
        """Account-wide, in whole seconds, never sooner than asked. Raises ValueError for a time that has passed."""
        seconds = 0 if fires_at_ms is None else -(-(fires_at_ms - now_ms) // 1_000)
        if fires_at_ms is not None and seconds <= 0:
            raise ValueError(f"a dead man's switch that fires at {fires_at_ms}, which is not after {now_ms}")
        return self._unsigned("", self._door.dead_man_switch(seconds), lane, now_ms)

    def read_reply(self, signed: Signed, status: int | None, body: bytes) -> SendOutcome:
        """See orders.outcome."""
        found = orders.outcome(signed.request, signed.client_id, status, self._keys.masked(body))
        if found.verdict is SendVerdict.ACCEPTED and found.venue_order_id is not None:
            self._names[found.venue_order_id] = signed.client_id
        return found

    def next_number(self, key: str, now_ms: int) -> tuple[Request, Callable[[bytes], int]] | None:
        """None: nothing is numbered."""
        return None

    def open_orders(self, now_ms: int) -> AccountRead:
        """All orders that may still fill, anybody's."""
        return self._read(self._door.get("/user/orders"), self._open_orders)

    def order(self, client_id: str, market: Market, now_ms: int) -> list[AccountRead]:
        """Open orders, then closed ones, then fills: an order on its way from one to the next is not missed.

        All three are listings, which answer for an order that never arrived with an empty list, where a read by id
        answers 404, as it does for a while after a placement. No row is proof only after `void_after_ms`.
        """
        history = self._door.get(
            "/user/orders/history", market=market.native_id, externalId=client_id, limit=facts.ORDER_ROWS
        )
        fills = self._door.get("/user/trades", market=market.native_id, limit=facts.ORDER_FILL_ROWS)
        return [
            self._read(self._door.get("/user/orders", market=market.native_id), partial(self._of_order, client_id)),
            self._read(history, partial(self._of_order, client_id)),
            self._read(fills, partial(self._fills_of_order, client_id)),
        ]

    def transaction(self, correlation: str, now_ms: int) -> AccountRead | None:
        """None: nothing is numbered, so that nothing can take a lost order's place, and only its expiry ends it."""
        return None

    def fills(self, since_ms: int, now_ms: int) -> AccountRead:
        """All fills from `since_ms` on, oldest first, as far back as FILL_PAGES_MAX pages go."""
        return self._fills_page(since_ms, (), 1)

    def positions(self, now_ms: int) -> AccountRead:
        """All open positions."""
        return self._read(self._door.get("/user/positions"), self._positions)

    def balance(self, now_ms: int) -> AccountRead:
        return self._read(self._door.get("/user/balance"), self._balance)

    def fees(self, now_ms: int) -> AccountRead:
        """The account's rates in every market. Reading them sets the ceiling that is signed from then on."""
        return self._read(self._door.get("/user/fees"), self._fees)

    def funding_paid(self, now_ms: int) -> AccountRead:
        """Funding booked in the last FUNDING_BACK_MS, oldest first."""
        request = self._door.get("/user/funding/history", fromTime=now_ms - facts.FUNDING_BACK_MS)
        return self._read(request, self._funding_paid)

    def leverage(self, market: Market, now_ms: int) -> AccountRead:
        """The account's leverage in one market (LeverageSeen)."""
        return self._read(self._door.get("/user/leverage", market=market.native_id), self._leverage)

    def account(self, now_ms: int) -> AccountRead:
        """Whether the API key's account is the one that the Stark key signs for: an Incident says what is not."""
        return self._read(self._door.get("/user/account/info"), self._account)

    def account_feeds(self, markets: Sequence[Market]) -> list[Feed]:
        """One stream tells all of the account, whatever the markets."""
        return [ExtendedAccountFeed(self._account_url, self._keys, self._markets, self._names)]

    def _read(self, request: Request, parse: Callable[[bytes, int], list[AccountEvent]]) -> AccountRead:
        return AccountRead(request, lambda body, now_ms: parse(self._keys.masked(body), now_ms))

    def _rates_in(self, market: Market) -> tuple[Decimal, Decimal]:
        """(maker, taker) as fractions."""
        if market.key in self._rates:
            return self._rates[market.key]
        if market.maker_fee_bps is None or market.taker_fee_bps is None:
            raise ValueError(f"the fees in {market.key} are unknown, and the most that may be charged is signed")
        return Decimal(repr(market.maker_fee_bps)) / 10_000, Decimal(repr(market.taker_fee_bps)) / 10_000

    @staticmethod
    def _unsigned(client_id: str, request: Request, lane: Lane, now_ms: int) -> Signed:
        return Signed(
            client_id=client_id,
            request=request,
            correlation=f"{request.method} {request.url.partition('/api/v1')[2]}",
            lane=lane,
            void_after_ms=now_ms + facts.UNSIGNED_LINGERS_MS,
        )

    def _open_orders(self, body: bytes, now_ms: int) -> list[AccountEvent]:
        rows = [_clear(wire.decode_order, raw) for raw in _rows(body)]
        seen = tuple(_clear(partial(self._rows.order, now_ms=now_ms), row) for row in rows)
        return [AccountSnapshot(facts.NAME, "orders", None, seen, now_ms)]

    def _positions(self, body: bytes, now_ms: int) -> list[AccountEvent]:
        """The newest of each market, should an older one be shown, too."""
        rows = [_clear(wire.decode_position, raw) for raw in _rows(body)]
        found = sorted((_clear(partial(self._rows.position, now_ms=now_ms), row) for row in rows), key=itemgetter(0))
        newest = {seen.market: seen for _, seen in found}
        return [AccountSnapshot(facts.NAME, "positions", None, tuple(newest.values()), now_ms)]

    def _of_order(self, client_id: str, body: bytes, now_ms: int) -> list[AccountEvent]:
        """Rows of other orders are not looked at more than that: they may be from before a change of the tick."""
        rows = [_clear(wire.decode_order, raw) for raw in _rows(body)]
        mine = [row for row in rows if self._rows.name(row) == client_id]
        return [_clear(partial(self._rows.order, now_ms=now_ms), row) for row in mine]

    def _fills_of_order(self, client_id: str, body: bytes, now_ms: int) -> list[AccountEvent]:
        rows = [_clear(wire.decode_fill, raw) for raw in _rows(body)]
        mine = [row for row in rows if self._rows.name(row) == client_id]
        return [_clear(partial(self._rows.fill, now_ms=now_ms), row) for row in mine]

    def _fills_page(self, since_ms: int, before: tuple[wire.FillRow, ...], page: int) -> AccountRead:
        """One page after `before`. Its snapshot is complete from the oldest fill on, or from `since_ms` at the end."""
        cursor = {"cursor": str(before[-1].id)} if before else {}

        def read(body: bytes) -> tuple[tuple[wire.FillRow, ...], bool]:
            rows = tuple(_clear(wire.decode_fill, raw) for raw in _rows(self._keys.masked(body)))
            return before + rows, not rows or min(row.created_time for row in rows) < since_ms

        def parse(body: bytes, now_ms: int) -> list[AccountEvent]:
            rows, ended = read(body)
            complete_ms = since_ms if ended else min(row.created_time for row in rows) + 1
            wanted = [row for row in reversed(rows) if row.created_time >= since_ms]
            seen = tuple(_clear(partial(self._rows.fill, now_ms=now_ms), row) for row in wanted)
            return [AccountSnapshot(facts.NAME, "fills", complete_ms, seen, now_ms)]

        def more(body: bytes) -> AccountRead | None:
            rows, ended = read(body)
            return None if ended or page >= facts.FILL_PAGES_MAX else self._fills_page(since_ms, rows, page + 1)

        return AccountRead(self._door.get("/user/trades", limit=facts.FILL_ROWS, **cursor), parse, more)

    def _balance(self, body: bytes, now_ms: int) -> list[AccountEvent]:
        row = _clear(wire.decode_balance, _object(body))
        seen = _clear(partial(balance_seen, now_ms=now_ms), row)
        return [AccountSnapshot(facts.NAME, "balance", None, (seen,), now_ms)]

    def _fees(self, body: bytes, now_ms: int) -> list[AccountEvent]:
        rates: dict[str, tuple[Decimal, Decimal]] = {}
        events: list[AccountEvent] = []
        for raw in _rows(body):
            row = _clear(wire.decode_fee, raw)
            key = f"{facts.NAME}:{row.market}"
            maker, taker = _rate(row.maker_fee_rate), _rate(row.taker_fee_rate)
            rates[key] = maker, taker
            events.append(FeesSeen(facts.NAME, key, float(maker * 10_000), float(taker * 10_000), now_ms))
        if not events:
            raise WireError("no market in the account's fees")
        self._rates = self._rates | rates
        return events

    def _funding_paid(self, body: bytes, _now_ms: int) -> list[AccountEvent]:
        rows = sorted((_clear(wire.decode_paid, raw) for raw in _rows(body)), key=attrgetter("paid_time"))
        return [_clear(self._rows.paid, row) for row in rows]

    def _leverage(self, body: bytes, now_ms: int) -> list[AccountEvent]:
        rows = [_clear(wire.decode_leverage, raw) for raw in _rows(body)]
        return [
            LeverageSeen(facts.NAME, f"{facts.NAME}:{row.market}", wire.number(row.leverage), now_ms) for row in rows
        ]

    def _account(self, body: bytes, now_ms: int) -> list[AccountEvent]:
        row = _clear(wire.decode_account, _object(body))
        keys, wrong = self._keys, []
        if row.status != "ACTIVE":
            wrong.append(f"the account is {row.status[:60]}")
        if str(row.l2_vault) != str(keys.vault):
            wrong.append(f"its vault is {str(row.l2_vault)[:60]}, not {keys.vault}")
        if row.l2_key.lower().removeprefix("0x").lstrip("0") != f"{keys.public_key:x}":
            wrong.append(f"its public key is {row.l2_key[:80]}, not {keys.public_key:#x}")
        told = f"what the API key opens is not what the keys sign for: {', '.join(wrong)}"
        return [Incident(facts.NAME, "wrong_account", told, now_ms)] if wrong else []


def ask_vault(rest_url: str, api_key: Credential) -> tuple[Request, Callable[[bytes], int]]:
    """How to look up the vault of the account that an API key opens. The reader raises WireError."""
    request = Door(_base(rest_url), api_key).get("/user/account/info")
    return request, lambda body: _number(_clear(wire.decode_account, _object(body)).l2_vault)


def _base(rest_url: str) -> str:
    return rest_url.rstrip("/").removesuffix("/api/v1") + "/api/v1"


def _number(vault: int | str) -> int:
    if not str(vault).isdecimal():
        raise WireError(f"not a vault: {vault!r:.60}")
    return int(vault)


def _object(body: bytes) -> msgspec.Raw:
    """The content of a private answer, empty if it has none. Raises WireError for anything but a success."""
    try:
        answer = wire.decode_answer(body)
    except wire.UNREADABLE as error:
        raise WireError(f"unreadable: {error}: {body[:80]!r}") from error
    if answer.status != "OK" or answer.error is not None:
        refusal = answer.error or wire.Refusal()
        raise WireError(f"status {answer.status!r:.40}, error {refusal.code!r:.40}: {(refusal.message or '')[:200]}")
    return answer.data


def _rows(body: bytes) -> list[msgspec.Raw]:
    try:
        return wire.decode_rows(_object(body))
    except wire.UNREADABLE as error:
        raise WireError(f"not a list: {error}: {body[:80]!r}") from error


def _clear(read: Callable[[Row], Seen], row: Row) -> Seen:
    """One row. Raises WireError: in an answer to a question, one row that is not clear makes it no answer."""
    try:
        return read(row)
    except UNREADABLE as error:
        shown = bytes(row)[:100] if isinstance(row, msgspec.Raw) else row
        raise WireError(f"{error}: {shown!r:.200}") from error


def _rate(text: str) -> Decimal:
    """A fee as a fraction of the notional. Raises WireError for what no venue charges."""
    rate = wire.number(text)
    if not -0.01 <= rate <= 0.01:
        raise WireError(f"an impossible fee: {text!r:.60}")
    return Decimal(text)

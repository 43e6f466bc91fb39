"""Lighter as a core.trading.TradingVenue: one account's transactions out, the truth about it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import urlencode

from twinleg.core.messages import Market
from twinleg.core.orders import Intent, Purpose
from twinleg.core.subscriptions import Pace
from twinleg.core.trading import (
    AccountEvent,
    AccountRead,
    ExecutionSeen,
    Incident,
    Lane,
    SendOutcome,
    Signed,
    number_of,
)
from twinleg.core.venue import Credential, Feed, Request
from twinleg.venues.lighter import facts, orders, reads
from twinleg.venues.lighter.account import LighterAccountFeed, Rows
from twinleg.venues.lighter.sign import OrderFields, Signer, Tokens, Transaction
from twinleg.venues.lighter.venue import rest_base, stream_address

Seen = tuple[ExecutionSeen | Incident, ...]

NO_ORDER = ""
"""Client id of a transaction that concerns no order of ours."""


class LighterTrading:
    """`markets` are the facts by key, and may grow; addresses are taken as LighterVenue takes them.

    Whatever signs is CPU only, and belongs on one thread of its own, where `prepare` comes first. Private reads sign a
    token every 6 hours (about 2 ms on the main thread). Signing raises ValueError.
    """

    name = facts.NAME
    trading = facts.TRADING

    def __init__(self, rest_url: str, stream_url: str, signer: Signer, markets: Mapping[str, Market]) -> None:
        self._rest_url = rest_base(rest_url)
        self._stream_url = stream_address(stream_url)
        self._signer = signer
        self._account = signer.account_index
        self._tokens = {str(slot): Tokens(signer, slot) for slot in signer.slots}
        self._rows = Rows(signer.account_index, markets)

    def prepare(self, now_ms: int) -> None:
        """Load the signing library and make the first token, which takes a second or two. Raises ValueError."""
        self._token(now_ms)

    def lanes(self) -> Sequence[str]:
        """The keys' slots, in the order they were given."""
        return tuple(self._tokens)

    def sign(self, intent: Intent, market: Market, lane: Lane, now_ms: int) -> Signed:
        """An order of the machine's: a limit order, IOC or post-only."""
        order = orders.order_fields(intent, market, now_ms)
        reduces_risk = intent.purpose is not Purpose.ENTER
        return self._signed(intent.client_id, self._signer.create_order(order, lane), lane, reduces_risk=reduces_risk)

    def sign_order(self, client_id: str, order: OrderFields, lane: Lane, now_ms: int) -> Signed:
        """Any order that the venue knows, in its own terms."""
        transaction = self._signer.create_order(orders.checked(order, now_ms), lane)
        return self._signed(client_id, transaction, lane, reduces_risk=order.reduce_only)

    def sign_modify(self, client_id: str, market: Market, size_lots: int, limit_ticks: int, lane: Lane) -> Signed:
        """A new size and limit for a resting order of ours or a caller's."""
        amount, price = size_lots * market.size_grid.step, limit_ticks * market.price_grid.step
        orders.check_amounts(amount, price)
        index = orders.market_index(market)
        transaction = self._signer.modify_order(index, _number(client_id), amount, price, lane)
        return self._signed(client_id, transaction, lane, reduces_risk=False)

    def sign_cancel(
        self, client_id: str, venue_order_id: str | None, market: Market, lane: Lane, now_ms: int
    ) -> Signed:
        """By our own number; orders that are none of ours by the venue's, with an empty `client_id`."""
        index = _number(client_id) if client_id else int(venue_order_id or "")
        transaction = self._signer.cancel_order(orders.market_index(market), index, lane)
        return self._signed(client_id, transaction, lane)

    def sign_cancel_all(self, market: Market | None, lane: Lane, now_ms: int) -> Signed:
        """Anybody's orders on the account, not ours alone."""
        index = None if market is None else orders.market_index(market)
        return self._signed(NO_ORDER, self._signer.cancel_all(facts.CANCEL_ALL_NOW, 0, index, lane), lane)

    def sign_nothing(self, client_id: str, market: Market, lane: Lane, now_ms: int) -> Signed:
        """The leverage that a market has already, else a cancel, which may be refused before it uses its number."""
        chosen = {index: fraction for index, fraction in dict(self._rows.fractions).items() if fraction is not None}
        if not chosen:
            return self.sign_cancel(client_id, None, market, lane, now_ms)
        mine = orders.market_index(market)
        index = mine if mine in chosen else next(iter(chosen))
        return self._signed(NO_ORDER, self._signer.update_leverage(index, chosen[index], lane), lane)

    def sign_leverage(self, market: Market, leverage: float, lane: Lane, now_ms: int) -> Signed:
        """Cross margin at this leverage."""
        index, fraction = orders.market_index(market), orders.margin_fraction(leverage, market)
        self._rows.fractions.setdefault(index, fraction)  # as wished, until the venue tells
        transaction = self._signer.update_leverage(index, fraction, lane)
        return self._signed(NO_ORDER, transaction, lane, reduces_risk=False)

    def sign_dead_man_switch(self, fires_at_ms: int | None, lane: Lane, now_ms: int) -> Signed:
        """The venue's scheduled cancel-all, 5 minutes to 15 days ahead; a later one replaces it."""
        if fires_at_ms is None:
            return self._signed(NO_ORDER, self._signer.cancel_all(facts.CANCEL_ALL_ABORT, 0, None, lane), lane)
        orders.check_schedule(fires_at_ms, now_ms)
        transaction = self._signer.cancel_all(facts.CANCEL_ALL_SCHEDULED, fires_at_ms, None, lane)
        return self._signed(NO_ORDER, transaction, lane)

    def read_reply(self, signed: Signed, status: int | None, body: bytes) -> SendOutcome:
        """See orders.read_reply."""
        return orders.read_reply(signed, status, body)

    def next_number(self, key: str, now_ms: int) -> tuple[Request, Callable[[bytes], int]]:
        """The next nonce of a slot. Without it nothing leaves, so that it may use the reserved budget."""
        query: dict[str, str | int] = {"account_index": self._account, "api_key_index": key}
        return self._get("nextNonce", query, reduces_risk=True), reads.next_nonce

    def open_orders(self, now_ms: int) -> AccountRead:
        """All orders that may still fill, anybody's."""
        query = {"account_index": self._account, "market_id": facts.NO_MARKET}
        request = self._get("accountActiveOrders", query, self._token(now_ms))
        return AccountRead(request, partial(reads.open_orders, self._rows))

    def order(self, client_id: str, market: Market, now_ms: int) -> list[AccountRead]:
        """The order by our number, open or over, and the latest fills of its market.

        An order that never arrived is answered by an empty listing; the venue's listings lag its stream by seconds, so
        that no row is proof only after `void_after_ms`.
        """
        token = self._token(now_ms)
        named: dict[str, str | int] = {"account_index": self._account, "client_order_indexes": _number(client_id)}
        traded = self._fills_query() | {"market_id": market.native_id}
        return [
            AccountRead(
                self._get("accountOrders", named, token, reduces_risk=True),
                partial(reads.orders_named, self._rows, client_id),
            ),
            AccountRead(
                self._get("trades", traded, token, reduces_risk=True),
                partial(reads.fills_named, self._rows, client_id),
            ),
        ]

    def transaction(self, correlation: str, now_ms: int) -> AccountRead:
        """What became of a transaction, by the hash it was sent under: one that failed after all placed nothing.

        The venue keeps these apart from its listings, and answers 21500 for one that it does not know.
        """
        query = {"by": "hash", "value": correlation}
        return AccountRead(self._get("tx", query, reduces_risk=True), partial(reads.transaction, self._rows))

    def fills(self, since_ms: int, now_ms: int) -> AccountRead:
        """All fills from `since_ms` on, newest first, in pages, as many as the venue keeps."""
        return self._fills_page(since_ms, (), None, facts.PAGES_MAX, self._token(now_ms))

    def positions(self, now_ms: int) -> AccountRead:
        """All positions, and the leverage of every market with one."""
        return AccountRead(self._account_request(), partial(reads.positions, self._rows))

    def balance(self, now_ms: int) -> AccountRead:
        """Equity, and what of it is free."""
        return AccountRead(self._account_request(), partial(reads.balance, self._rows))

    def fees(self, now_ms: int) -> AccountRead:
        """The account's own fees, the same in every market."""
        return AccountRead(
            self._get("accountLimits", {"account_index": self._account}, self._token(now_ms)), reads.fees
        )

    def funding_paid(self, now_ms: int) -> AccountRead:
        """The latest funding payments, one page of them."""
        query = {"account_index": self._account, "limit": facts.PAGE_ROWS_MAX}
        request = self._get("positionFunding", query, self._token(now_ms))
        return AccountRead(request, partial(reads.funding_paid, self._rows))

    def key_check(self, key: str, now_ms: int) -> AccountRead:
        """Whether a slot's registered key is ours: an Incident says what is not. Takes 30 ms of arithmetic."""
        listing = self._get("apikeys", {"account_index": self._account, "api_key_index": key})
        return AccountRead(listing, partial(reads.key_check, key, self._signer.public_key(int(key))))

    def account_feeds(self, markets: Sequence[Market]) -> list[Feed]:
        """One stream tells all of the account, whatever the markets."""
        pace = Pace(
            messages_per_minute=facts.ACCOUNT_MESSAGES_PER_MINUTE,
            in_flight_max=facts.ACCOUNT_MESSAGES_PER_MINUTE,
            answer_ms_max=facts.ANSWER_MS_MAX,
            messages_per_repeat=2,
        )
        return [LighterAccountFeed(self._stream_url, self._rows, self._tokens[self.lanes()[0]], pace)]

    def _signed(self, client_id: str, transaction: Transaction, lane: Lane, *, reduces_risk: bool = True) -> Signed:
        url = f"{self._rest_url}/api/v1/sendTx"
        return orders.submission(client_id, transaction, lane, url, reduces_risk=reduces_risk)

    def _token(self, now_ms: int) -> Credential:
        return self._tokens[self.lanes()[0]].current(now_ms)

    def _account_request(self) -> Request:
        return self._get("account", {"by": "index", "value": self._account})

    def _fills_page(
        self, since_ms: int, before: Seen, cursor: str | None, pages_left: int, token: Credential
    ) -> AccountRead:
        """One page after `before`. Its snapshot is complete from its oldest row on, at the end from `since_ms` on."""
        query = self._fills_query() | ({} if cursor is None else {"cursor": cursor})

        def parse(body: bytes, now_ms: int) -> list[AccountEvent]:
            page = reads.fills_page(self._rows, body, now_ms)
            complete_ms = since_ms if page.oldest_ms is None or page.cursor is None else page.oldest_ms + 1
            return reads.fills_snapshot((*before, *page.seen), since_ms, max(since_ms, complete_ms), now_ms)

        def more(body: bytes) -> AccountRead | None:
            page = reads.fills_page(self._rows, body, 0)
            ended = page.cursor is None or page.oldest_ms is None or page.oldest_ms < since_ms
            if ended or pages_left <= 1:
                return None
            return self._fills_page(since_ms, (*before, *page.seen), page.cursor, pages_left - 1, token)

        return AccountRead(self._get("trades", query, token), parse, more)

    def _fills_query(self) -> dict[str, str | int]:
        return {
            "account_index": self._account,
            "sort_by": "timestamp",
            "sort_dir": "desc",
            "limit": facts.PAGE_ROWS_MAX,
        }

    def _get(
        self, path: str, query: Mapping[str, str | int], token: Credential | None = None, *, reduces_risk: bool = False
    ) -> Request:
        headers = {"Accept": "application/json"} | ({} if token is None else {"Authorization": token})
        return Request(
            venue=self.name,
            method="GET",
            url=f"{self._rest_url}/api/v1/{path}?{urlencode(query)}",
            headers=headers,
            reduces_risk=reduces_risk,
        )


def _number(client_id: str) -> int:
    """An order's index: the machine's by its name, a caller's as the caller wrote it. Raises ValueError."""
    if client_id.isdecimal() and client_id.isascii():
        return int(client_id)
    try:
        return number_of(client_id)
    except ValueError as error:
        raise ValueError(f"{client_id!r:.60} names no order: a number does") from error

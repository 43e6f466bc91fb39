"""The streams: connections, their subscriptions and sequence numbers, and the pings that keep them alive.

v1 is one topic per connection, numbered from 1, nothing to send. v2 is JSON-RPC, any topics, one number for all of
them from 0; acknowledgements are not numbered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from twinleg_sims.extended import account_feed, facts, rpc, topics
from twinleg_sims.extended.facts import ErrorCode, Limits, RpcErrorCode
from twinleg_sims.extended.feed import VENUE, MarketFeed, Publication, encode
from twinleg_sims.extended.keys import Member
from twinleg_sims.extended.past import Past
from twinleg_sims.extended.private import Private
from twinleg_sims.extended.replies import RefusedError
from twinleg_sims.extended.topics import IgnoredSelectorError, Topic, UnknownTopicError
from twinleg_sims.extended.wire import Body, snapshot_data
from twinleg_sims.faults import Faults
from twinleg_sims.protocol import Close, Frame, HttpRequest, Out, Ping

V1_TYPES = {
    "ORDERBOOKS.SNAPSHOT": b'"type":"SNAPSHOT",',
    "ORDERBOOKS.DELTA": b'"type":"DELTA",',
    "PRICES.MP": b'"type":"MP",',
    "PRICES.IP": b'"type":"IP",',
    "ACCOUNT.ORDER": b'"type":"ORDER",',
    "ACCOUNT.TRADE": b'"type":"TRADE",',
    "ACCOUNT.POSITION": b'"type":"POSITION",',
    "ACCOUNT.BALANCE": b'"type":"BALANCE",',
}
"""v2 type -> how v1 writes it; trades, funding and candles have no type there."""
FAULT_TOPICS = {"orderbooks": "book", "prices": "stats", "funding-rates": "funding"}
"""Scope -> what the faults call it, where that differs."""
OVERSIZE = b',"padding":"' + b"0" * (1 << 20) + b'"}'


@dataclass(slots=True)
class _Connection:
    """One stream. `pinged_ms` is when a ping that has no answer yet was sent."""

    id: int
    version: int
    sequence: int
    next_ping_ms: int
    pinged_ms: int | None = None
    topics: dict[str, Topic] = field(default_factory=dict)


class Streams:
    """All open streams. `feeds` and `pasts` are by market name, in listing order."""

    def __init__(
        self,
        feeds: Mapping[str, MarketFeed],
        pasts: Mapping[str, Past],
        faults: Faults,
        limits: Limits,
        private: Private,
    ) -> None:
        self._feeds = feeds
        self._pasts = pasts
        self._faults = faults
        self._limits = limits
        self._private = private
        self._connections: dict[int, _Connection] = {}
        self._subscribers: dict[str, dict[int, _Connection]] = {}
        self._candles_shown: dict[str, list[Body]] = {}
        self._candle_slot = 0
        self._late: list[tuple[int, Publication]] = []

    def open(self, number: int, request: HttpRequest, now_ms: int) -> list[Out]:
        """Accept a connection and send what opens its topic. Raises RefusedError."""
        next_ping_ms = now_ms + facts.PING_INTERVAL_MS
        if request.path == facts.RPC_PATH:
            self._connections[number] = _Connection(number, 2, 0, next_ping_ms)
            return []
        if not request.path.startswith(facts.STREAM_PREFIX + "/"):
            raise RefusedError(404, ErrorCode.NOT_FOUND, f"no such stream: {request.path}")
        segments = request.path.removeprefix(facts.STREAM_PREFIX).strip("/").split("/")
        if segments == ["account"]:
            member = self._private.member(request.headers.get("x-api-key"), now_ms)
            connection = self._connections[number] = _Connection(number, 1, 1, next_ping_ms)
            return list(self._subscribe_account(connection, member, now_ms))
        try:
            topic = topics.from_path(segments, dict(request.query), self._listed(now_ms))
        except UnknownTopicError as error:
            raise RefusedError(404, ErrorCode.NOT_FOUND, f"no such stream: {error}") from error
        connection = self._connections[number] = _Connection(number, 1, 1, next_ping_ms)
        return list(self._subscribe(connection, topic, now_ms))

    def message(self, number: int, payload: bytes, now_ms: int) -> list[Out]:
        """Answer a v2 request; v1 does not listen."""
        connection = self._connections.get(number)
        if connection is None or connection.version == 1:
            return []
        try:
            request = rpc.parse(payload)
            return list(self._answer(connection, request, now_ms))
        except rpc.RpcError as error:
            return [Frame(number, error.payload)]
        except IgnoredSelectorError:
            return []

    def pong(self, number: int) -> None:
        if number in self._connections:
            self._connections[number].pinged_ms = None

    def closed(self, number: int) -> None:
        """Forget a connection; unknown ones are none of our business any more."""
        connection = self._connections.pop(number, None)
        if connection is not None:
            for subscription in list(connection.topics):
                self._unsubscribe(connection, subscription)

    def advance(self, now_ms: int) -> list[Out]:
        """Everything that became due: market by market, then candles, then pings."""
        outs: list[Out] = list(self._account_frames(self._private.advance(now_ms), now_ms))
        for name in self._listed(now_ms):
            outs.extend(self._frames(self._feeds[name].advance(now_ms), now_ms))
        outs.extend(self._frames(self._new_candles(now_ms), now_ms))
        return outs + self._pings(now_ms)

    # v2 requests

    def _answer(self, connection: _Connection, request: rpc.Request, now_ms: int) -> Iterable[Out]:
        match request.method:
            case "subscribe" if request.params.get("scope") == "account":
                member = self._member(request, now_ms)
                subscription = account_feed.topic(member).subscription
                yield Frame(connection.id, request.result(subscription=subscription))
                yield from self._subscribe_account(connection, member, now_ms)
            case "subscribe":
                topic = self._topic(request, now_ms)
                yield Frame(connection.id, request.result(subscription=topic.subscription))
                yield from self._subscribe(connection, topic, now_ms)
            case "unsubscribe":
                subscription = self._topic(request, now_ms).subscription
                if subscription not in connection.topics:
                    raise request.error(RpcErrorCode.INVALID_PARAMS, f"not subscribed: {subscription}")
                self._unsubscribe(connection, subscription)
                yield Frame(connection.id, request.result(subscription=subscription))
            case "ping":
                yield Frame(connection.id, request.result())
            case "list-subscriptions":
                yield Frame(connection.id, request.result(subscriptions=sorted(connection.topics)))
            case unknown:
                raise request.error(RpcErrorCode.METHOD_NOT_FOUND, f"Method not found: {unknown}")

    def _topic(self, request: rpc.Request, now_ms: int) -> Topic:
        scope, selector = request.params.get("scope"), request.params.get("selector", {})
        if scope == "account":
            return account_feed.topic(self._member(request, now_ms))
        if not isinstance(selector, dict):
            raise request.error(RpcErrorCode.INVALID_PARAMS, "Invalid params: selector")
        try:
            return topics.from_selector(scope, selector, self._listed(now_ms))
        except UnknownTopicError as error:
            raise request.error(RpcErrorCode.INVALID_PARAMS, f"Invalid params: {error}") from error

    def _member(self, request: rpc.Request, now_ms: int) -> Member:
        """Whose account a v2 request is about: the key must be that account's."""
        key, selector = request.params.get("apiKey"), request.params.get("selector")
        try:
            member = self._private.member(key if isinstance(key, str) else None, now_ms)
        except RefusedError as refused:
            raise request.error(RpcErrorCode.UNAUTHORIZED, refused.message) from refused
        if not isinstance(selector, dict) or str(selector.get("account")) != str(member.account_id):
            raise request.error(RpcErrorCode.UNAUTHORIZED, "Unauthorized")
        return member

    # Subscriptions

    def _listed(self, now_ms: int) -> list[str]:
        return [name for name in self._feeds if not self._faults.active(VENUE, "vanish", now_ms, name)]

    def _subscribe(self, connection: _Connection, topic: Topic, now_ms: int) -> Iterable[Out]:
        """Everything that opens a topic. A v2 topic asked for again gets a fresh snapshot without the burst."""
        again = topic.subscription in connection.topics
        connection.topics[topic.subscription] = topic
        self._subscribers.setdefault(topic.subscription, {})[connection.id] = connection
        names = self._listed(now_ms) if topic.market is None else [topic.market]
        bursts = connection.version == 2 and not again
        for publication in chain.from_iterable(self._opening(topic, name, bursts, now_ms) for name in names):
            yield self._frame(connection, topic.subscription, publication, now_ms, opens=True)

    def _subscribe_account(self, connection: _Connection, member: Member, now_ms: int) -> Iterable[Out]:
        topic = account_feed.topic(member)
        connection.topics[topic.subscription] = topic
        self._subscribers.setdefault(topic.subscription, {})[connection.id] = connection
        for publication in self._private.opening(member, now_ms):
            yield self._frame(connection, topic.subscription, publication, now_ms, opens=True)

    def _opening(self, topic: Topic, name: str, bursts: bool, now_ms: int) -> Iterable[Publication]:
        feed = self._feeds[name]
        match topic.scope, topic.kind:
            case "orderbooks", _ if feed.hides_book(now_ms):
                return []
            case "orderbooks", "rfq":
                empty = encode(snapshot_data(feed.market, [], []))
                return [Publication(name, topic, "ORDERBOOKS.SNAPSHOT", empty)]
            case "orderbooks", "1":
                return [feed.best()]
            case "orderbooks", _:
                return feed.book.replay() if bursts else [feed.book.snapshot()]
            case "trades", _ if bursts:
                return [feed.past_trades()]
        return []

    def _unsubscribe(self, connection: _Connection, subscription: str) -> None:
        del connection.topics[subscription]
        subscribers = self._subscribers[subscription]
        del subscribers[connection.id]
        if not subscribers:
            del self._subscribers[subscription]
            self._candles_shown.pop(subscription, None)

    # What is sent

    def _new_candles(self, now_ms: int) -> Iterable[Publication]:
        """Subscribed candles that changed within the last second: the running one and, at its turn, the one before."""
        if now_ms // facts.CANDLE_INTERVAL_MS == self._candle_slot:
            return
        self._candle_slot = now_ms // facts.CANDLE_INTERVAL_MS
        subscribed = {s: t for c in self._connections.values() for s, t in c.topics.items() if t.scope == "candles"}
        for subscription, topic in subscribed.items():
            assert topic.market is not None, "candles are of one market"
            interval_ms = facts.CANDLE_INTERVALS_MS[topic.interval]
            rows = self._pasts[topic.market].candles(topic.kind, interval_ms, 2, now_ms)
            shown = self._candles_shown.get(subscription)
            self._candles_shown[subscription] = rows
            fresh = rows[:1] if shown is None else [row for row in rows if row not in shown]
            if fresh:
                yield Publication(topic.market, topic, "CANDLE", encode(fresh))

    def _frames(self, publications: Iterable[Publication], now_ms: int) -> Iterable[Frame]:
        for publication in publications:
            for subscription in publication.subscriptions:
                for connection in self._subscribers.get(subscription, {}).values():
                    yield self._frame(connection, subscription, publication, now_ms)

    def _account_frames(self, publications: Iterable[Publication], now_ms: int) -> Iterable[Frame]:
        """As `_frames`, with what can go wrong with an account's messages."""
        held, self._late = self._late, []
        for due_ms, publication in held:
            if due_ms <= now_ms:
                yield from self._told(publication, now_ms)
            else:
                self._late.append((due_ms, publication))
        for publication in publications:
            late = self._faults.active(VENUE, "late_fill", now_ms) if publication.type == "ACCOUNT.TRADE" else None
            if late and late.hit(0, now_ms):
                self._late.append((now_ms + int(late.value), publication))
            else:
                yield from self._told(publication, now_ms)

    def _told(self, publication: Publication, now_ms: int) -> Iterable[Frame]:
        """One message to everybody who listens to its account: once, twice, or not at all."""
        if self._faults.active(VENUE, "account_silence", now_ms):
            return
        subscription = publication.topic.subscription
        for connection in self._subscribers.get(subscription, {}).values():
            lost = self._faults.active(VENUE, "lost_event", now_ms)
            if lost and lost.hit(connection.id, now_ms):
                connection.sequence += lost.value == "gap"
                continue
            yield self._frame(connection, subscription, publication, now_ms)
            twice = self._faults.active(VENUE, "duplicate_fill", now_ms)
            if publication.type == "ACCOUNT.TRADE" and twice and twice.hit(connection.id, now_ms):
                yield self._frame(connection, subscription, publication, now_ms)

    def _frame(
        self, connection: _Connection, subscription: str, publication: Publication, now_ms: int, *, opens: bool = False
    ) -> Frame:
        data = publication.data
        if publication.type == "ORDERBOOKS.SNAPSHOT" and self._faults.active(
            VENUE, "oversized", now_ms, publication.market
        ):
            data = data[:-1] + OVERSIZE
        venue_ms = now_ms + self._faults.clock_offset_ms(VENUE, now_ms)
        tail = b'"data":%s,"ts":%d,"seq":%d' % (data, venue_ms, connection.sequence)
        if connection.version == 1:
            payload = b"{%s%s}" % (V1_TYPES.get(publication.type, b""), tail)
        else:
            payload = b'{"type":"%s",%s,"subscription":"%s"}' % (publication.type.encode(), tail, subscription.encode())
        connection.sequence += 1
        topic = FAULT_TOPICS.get(publication.topic.scope, publication.topic.scope)
        return Frame(connection.id, payload, topic, publication.market, opens)

    def _pings(self, now_ms: int) -> list[Out]:
        outs: list[Out] = []
        for connection in list(self._connections.values()):
            if connection.pinged_ms is not None:
                if now_ms - connection.pinged_ms >= self._limits.pong_ms:
                    outs.append(Close(connection.id, facts.PING_TIMEOUT_CODE, facts.PING_TIMEOUT_REASON))
                    self.closed(connection.id)
            elif now_ms >= connection.next_ping_ms:
                connection.pinged_ms = now_ms
                connection.next_ping_ms = now_ms + facts.PING_INTERVAL_MS
                outs.append(Ping(connection.id))
        return outs

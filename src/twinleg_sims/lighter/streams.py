"""The WebSocket's conversation: connecting, subscribing, pings, budgets; and the frames of the channels."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from twinleg_sims.faults import Fault
from twinleg_sims.lighter import account_channels, channels, facts, sends, wire
from twinleg_sims.lighter.account_channels import OPEN_TO_ALL, AccountChannel
from twinleg_sims.lighter.channels import Channel
from twinleg_sims.lighter.errors import RefusedError
from twinleg_sims.lighter.facts import Limits
from twinleg_sims.lighter.private import Private
from twinleg_sims.lighter.sends import SendData, Sends
from twinleg_sims.lighter.tokens import TokenError
from twinleg_sims.lighter.wire import Row
from twinleg_sims.limiter import Limiter
from twinleg_sims.listings import LIGHTER
from twinleg_sims.protocol import Close, Frame, HttpReply, HttpRequest, Out, Refuse

PATH = "/stream"
PRIVATE = ("account_", "user_stats", "notification", "pool_data", "pool_info", "rfq")
"""What the names of channels begin with that need a token."""
LOSABLE = ("orders", "fills", "positions", "account")
"""Topics a lost event is looked for in."""
_AUTH_REQUIRED = TokenError("auth field is required")


class _Message(msgspec.Struct):
    type: str | None = None
    channel: str | None = None
    auth: str | None = None
    data: SendData | None = None


@dataclass(slots=True)
class _Client:
    peer: str
    heard_ms: int
    budget: Limiter
    pings: bool
    pinged_ms: int
    answered: bool = True
    waiting: deque[_Message] = field(default_factory=deque)
    """Subscribes not yet answered."""
    subscribed: set[str] = field(default_factory=set)
    closes_ms: int | None = None
    """When it is closed, as it was told."""


@dataclass(slots=True)
class _Topic:
    channel: Channel | AccountChannel
    due_ms: int
    clients: dict[int, None] = field(default_factory=dict)


class Streams:
    """Every open stream. Requests are answered at the next `advance`, in order, as the venue's acks take a moment."""

    def __init__(self, private: Private, limits: Limits) -> None:
        self._private = private
        self._view = private.view
        self._sends = Sends(private)
        self._limits = limits
        self._connects = Limiter(limits.connects)
        self._clients: dict[int, _Client] = {}
        self._topics: dict[str, _Topic] = {}
        self._late: deque[tuple[int, Out]] = deque(maxlen=sends.LATE_MAX)
        """Frames the faults hold back, and until when; of too many the oldest are lost."""

    def open(self, connection: int, request: HttpRequest, now_ms: int) -> list[Out]:
        if request.path != PATH:
            return [Refuse(connection, HttpReply(404, wire.error(facts.NOT_FOUND, f"not found: {request.path}")))]
        open_now = sum(client.peer == request.peer for client in self._clients.values())
        if open_now >= facts.CONNECTIONS_PER_PEER_MAX or not self._connects.admit(request.peer, now_ms):
            return [Refuse(connection, HttpReply(429, wire.error(facts.TOO_MANY_REQUESTS, "Too Many Requests!")))]
        pings = request.first("server_pings") == "true"
        self._clients[connection] = _Client(request.peer, now_ms, Limiter(self._limits.messages), pings, now_ms)
        session = f"{self._view.world.seed:08x}-{connection:08x}"
        return [Frame(connection, wire.encode({"session_id": session, "type": "connected"}), "connected")]

    def message(self, connection: int, payload: bytes, now_ms: int) -> list[Out]:
        client = self._clients[connection]
        client.heard_ms = now_ms
        try:
            message = msgspec.json.decode(payload, type=_Message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            message = None
        if message is not None and message.type in sends.KINDS:
            return self._sends.take(connection, message.type, message.data, now_ms)
        if not client.budget.admit("", now_ms):
            return [_error(connection, facts.TOO_MANY_MESSAGES, "Too Many Websocket Messages!")]
        if message is None:
            return [_error(connection, facts.INVALID_JSON, "Invalid Json")]
        match message.type:
            case "ping":
                return [Frame(connection, b'{"type":"pong"}', "pong")]
            case "pong":
                client.answered = True
                return []
            case "subscribe" | "unsubscribe":
                if len(client.waiting) >= self._limits.in_flight:
                    return [_error(connection, facts.TOO_MANY_IN_FLIGHT, "Too Many Inflight Messages!")]
                client.waiting.append(message)
                return []
        return [_error(connection, facts.INVALID_TYPE, "Invalid Type")]

    def heard(self, connection: int, now_ms: int) -> None:
        """A WebSocket ping or pong: the client lives."""
        self._clients[connection].heard_ms = now_ms

    def closed(self, connection: int) -> None:
        client = self._clients.pop(connection, None)
        for name in client.subscribed if client else ():
            self._leave(name, connection)

    def advance(self, now_ms: int) -> list[Out]:
        """Answers, updates that are due, and the end of clients that are silent."""
        outs = self._sends.advance(now_ms)
        for connection, client in self._clients.items():
            while client.waiting:
                outs += self._answered(connection, client, client.waiting.popleft(), now_ms)
            outs += self._kept_alive(connection, client, now_ms)
        for name, topic in self._topics.items():
            if topic.due_ms <= now_ms:
                outs += self._updates(name, topic, now_ms)
        for late in [late for late in self._late if late[0] <= now_ms]:
            self._late.remove(late)
            outs.append(late[1])
        return outs

    def _answered(self, connection: int, client: _Client, message: _Message, now_ms: int) -> list[Out]:
        name = message.channel or ""
        shown = name.replace("/", ":")
        if message.type == "unsubscribe":
            if name not in client.subscribed:
                return [_error(connection, facts.NOT_SUBSCRIBED, f"Not Subscribed to : {shown}")]
            client.subscribed.discard(name)
            self._leave(name, connection)
            return [Frame(connection, wire.encode({"type": "unsubscribed", "channel": shown}), "unsubscribed")]
        refused = self._closed_to(message, now_ms) if name.startswith(PRIVATE) else None
        if refused is not None:
            return [_error(connection, refused.code, f"{refused.message}: {shown}")]
        if name in client.subscribed or self._hit("already_subscribed", connection, now_ms):
            return [_error(connection, facts.ALREADY_SUBSCRIBED, f"Already Subscribed to : {shown}")]
        if len(client.subscribed) >= facts.SUBSCRIPTIONS_MAX:
            return [_error(connection, facts.TOO_MANY_SUBSCRIPTIONS, "Too Many Subscriptions!")]
        try:
            return self._subscribed(connection, client, name, now_ms)
        except channels.UnknownChannelError:
            return [_error(connection, facts.INVALID_CHANNEL, f"Invalid Channel: {shown}")]

    def _closed_to(self, message: _Message, now_ms: int) -> RefusedError | None:
        """Why a subscriber may not have an account's channel; None when it may, or when there is no such channel."""
        name = message.channel or ""
        if not message.auth:
            return None if name.startswith(tuple(f"{word}/" for word in OPEN_TO_ALL)) else _AUTH_REQUIRED
        try:
            user = account_channels.owner_of(self._private, name)
            expired = self._view.faults.active(LIGHTER, "token_expired", now_ms)
            self._private.tokens.check("0:0:0:0" if expired else message.auth, user, self._view.stamp_ms(now_ms))
        except channels.UnknownChannelError:
            return None
        except RefusedError as refused:
            return refused
        return None

    def _subscribed(self, connection: int, client: _Client, name: str, now_ms: int) -> list[Out]:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic(self._opened(name, now_ms), now_ms)
        outs = self._updates(name, topic, now_ms)
        topic.clients[connection] = None
        client.subscribed.add(name)
        payload = self._payload("subscribed", name, topic.channel.snapshot(now_ms), now_ms)
        return [*outs, Frame(connection, payload, topic.channel.topic, topic.channel.symbol, snapshot=True)]

    def _opened(self, name: str, now_ms: int) -> Channel | AccountChannel:
        if name.startswith(PRIVATE):
            return account_channels.opened(self._private, name, now_ms)
        return channels.opened(self._view, name, now_ms)

    def _updates(self, name: str, topic: _Topic, now_ms: int) -> list[Out]:
        topic.due_ms = now_ms + topic.channel.interval_ms
        body = topic.channel.update(now_ms)
        if body is None or not topic.clients:
            return []
        payload = self._payload("update", name, body, now_ms)
        channel = topic.channel
        frames: list[Out] = [Frame(client, payload, channel.topic, channel.symbol) for client in topic.clients]
        return self._spoiled(channel, body, frames) if isinstance(channel, AccountChannel) else frames

    def _spoiled(self, channel: AccountChannel, body: Row, frames: list[Out]) -> list[Out]:
        """What becomes of an account's frames under the faults."""
        accounts, account = self._private.accounts, channel.user.engine
        if accounts.hit("account_silence", "", account):
            return []
        if channel.topic in LOSABLE and accounts.hit("lost_event", "", account):
            return []
        if not body.get("trades"):
            return frames
        if late := accounts.hit("late_fill", "", account):
            due_ms = accounts.world.now_ms + int(late.value)
            self._late.extend((due_ms, frame) for frame in frames)
            return []
        return frames * 2 if accounts.hit("duplicate_fill", "", account) else frames

    def _payload(self, kind: str, name: str, body: Row, now_ms: int) -> bytes:
        word, _, _ = name.partition("/")
        payload = wire.encode({"channel": name.replace("/", ":"), **body, "type": f"{kind}/{word}"})
        nulls = self._view.faults.active(LIGHTER, "null_lists", now_ms)
        return payload.replace(b":[]", b":null") if nulls else payload

    def _hit(self, kind: str, connection: int, now_ms: int) -> Fault | None:
        fault = self._view.faults.active(LIGHTER, kind, now_ms)
        return fault if fault and fault.hit(connection, now_ms) else None

    def _kept_alive(self, connection: int, client: _Client, now_ms: int) -> list[Out]:
        if now_ms - client.heard_ms > self._limits.silence_ms:
            return [Close(connection, 1008, "no message for too long")]
        if client.closes_ms is not None and client.closes_ms <= now_ms:
            return [Close(connection, 1001, "shutdown")]
        if client.closes_ms is None and (fault := self._hit("shutdown", connection, now_ms)):
            client.closes_ms = now_ms + int(fault.value)
            told = wire.encode({"type": "shutdown", "close_in_ms": int(fault.value)})
            return [Frame(connection, told, "shutdown")]
        if client.pings and now_ms - client.pinged_ms >= facts.SERVER_PING_INTERVAL_MS:
            if not client.answered:
                return [Close(connection, 1008, "no pong")]
            client.pinged_ms, client.answered = now_ms, False
            return [Frame(connection, b'{"type":"ping"}', "ping")]
        return []

    def _leave(self, name: str, connection: int) -> None:
        topic = self._topics[name]
        del topic.clients[connection]
        if not topic.clients:
            del self._topics[name]


def _error(connection: int, code: int, message: str) -> Frame:
    return Frame(connection, wire.encode({"error": {"code": code, "message": message}}), "error")

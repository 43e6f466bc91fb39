"""The WebSocket's conversation: connecting, subscribing, pings, budgets; and the frames of the channels."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from twinleg_sims.lighter import channels, facts, private, wire
from twinleg_sims.lighter.channels import Channel
from twinleg_sims.lighter.facts import Limits
from twinleg_sims.lighter.view import View
from twinleg_sims.lighter.wire import Row
from twinleg_sims.limiter import Limiter
from twinleg_sims.protocol import Close, Frame, HttpReply, HttpRequest, Out, Refuse

PATH = "/stream"


class _Message(msgspec.Struct):
    type: str | None = None
    channel: str | None = None
    auth: str | None = None


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


@dataclass(slots=True)
class _Topic:
    channel: Channel
    due_ms: int
    clients: dict[int, None] = field(default_factory=dict)


class Streams:
    """Every open stream. Requests are answered at the next `advance`, in order, as the venue's acks take a moment."""

    def __init__(self, view: View, limits: Limits) -> None:
        self._view = view
        self._limits = limits
        self._connects = Limiter(limits.connects)
        self._clients: dict[int, _Client] = {}
        self._topics: dict[str, _Topic] = {}

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
        if not client.budget.admit("", now_ms):
            return [_error(connection, facts.TOO_MANY_MESSAGES, "Too Many Messages!")]
        try:
            message = msgspec.json.decode(payload, type=_Message)
        except (msgspec.DecodeError, UnicodeDecodeError):
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
            case "jsonapi/sendtx" | "jsonapi/sendtxbatch" as kind:
                return [_error(connection, facts.INVALID_PARAM, f"{kind}: this simulator has no private side")]
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
        outs: list[Out] = []
        for connection, client in self._clients.items():
            while client.waiting:
                outs += self._answered(connection, client, client.waiting.popleft(), now_ms)
            outs += self._kept_alive(connection, client, now_ms)
        for name, topic in self._topics.items():
            if topic.due_ms <= now_ms:
                outs += self._updates(name, topic, now_ms)
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
        if name.startswith(private.CHANNELS) and not message.auth:
            return [_error(connection, facts.INVALID_PARAM, f"auth field is required: {shown}")]
        if name in client.subscribed:
            return [_error(connection, facts.ALREADY_SUBSCRIBED, f"Already Subscribed to : {shown}")]
        if len(client.subscribed) >= facts.SUBSCRIPTIONS_MAX:
            return [_error(connection, facts.TOO_MANY_SUBSCRIPTIONS, "Too Many Subscriptions!")]
        try:
            return self._subscribed(connection, client, name, now_ms)
        except channels.UnknownChannelError:
            return [_error(connection, facts.INVALID_CHANNEL, f"Invalid Channel: {shown}")]

    def _subscribed(self, connection: int, client: _Client, name: str, now_ms: int) -> list[Out]:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic(channels.opened(self._view, name, now_ms), now_ms)
        outs = self._updates(name, topic, now_ms)
        topic.clients[connection] = None
        client.subscribed.add(name)
        payload = _payload("subscribed", name, topic.channel.snapshot(now_ms))
        return [*outs, Frame(connection, payload, topic.channel.topic, topic.channel.symbol, snapshot=True)]

    def _updates(self, name: str, topic: _Topic, now_ms: int) -> list[Out]:
        topic.due_ms = now_ms + topic.channel.interval_ms
        body = topic.channel.update(now_ms)
        if body is None or not topic.clients:
            return []
        payload = _payload("update", name, body)
        return [Frame(connection, payload, topic.channel.topic, topic.channel.symbol) for connection in topic.clients]

    def _kept_alive(self, connection: int, client: _Client, now_ms: int) -> list[Out]:
        if now_ms - client.heard_ms > self._limits.silence_ms:
            return [Close(connection, 1008, "no message for too long")]
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


def _payload(kind: str, name: str, body: Row) -> bytes:
    word, _, _ = name.partition("/")
    return wire.encode({"channel": name.replace("/", ":"), **body, "type": f"{kind}/{word}"})


def _error(connection: int, code: int, message: str) -> Frame:
    return Frame(connection, wire.encode({"error": {"code": code, "message": message}}), "error")

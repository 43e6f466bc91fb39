"""The node's WebSocket: subscriptions to accounts, programs, logs, signatures and slots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import msgspec

from twinleg_sims.drift.keys import from_base58, key, to_base58
from twinleg_sims.drift.ledger import Done, Ledger
from twinleg_sims.drift.rpc import INVALID_PARAMS, NO_METHOD, PARSE, Json, matches, shown
from twinleg_sims.protocol import Frame, Out

SUBSCRIPTIONS_MAX = 1_000
_KINDS = {
    "accountSubscribe": "account",
    "programSubscribe": "program",
    "logsSubscribe": "logs",
    "signatureSubscribe": "signature",
    "slotSubscribe": "slot",
}


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one connection wants to hear of. `address` is an account, a program, or a signature; empty means all."""

    number: int
    connection: int
    kind: str
    address: bytes = b""
    filters: list[Json] = field(default_factory=list)


class PubSub:
    """Subscriptions of every connection, at most SUBSCRIPTIONS_MAX each."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers = count(1)
        self._open: dict[int, dict[int, Subscription]] = {}

    def open(self, connection: int) -> None:
        self._open[connection] = {}

    def closed(self, connection: int) -> None:
        self._open.pop(connection, None)

    def message(self, connection: int, payload: bytes) -> list[Out]:
        """Answer a request: the subscription's number comes before anything it brings."""
        try:
            asked = msgspec.json.decode(payload)
            method, params, name = asked["method"], asked.get("params") or [], asked.get("id")
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return [_frame(connection, _refused(None, PARSE, "Parse error"))]
        mine = self._open.setdefault(connection, {})
        if not isinstance(method, str) or not (method in _KINDS or method.endswith("Unsubscribe")):
            return [_frame(connection, _refused(name, NO_METHOD, "Method not found"))]
        kind = _KINDS.get(method)
        try:
            if kind is None:
                known = mine.pop(params[0], None) is not None
                return [_frame(connection, {"jsonrpc": "2.0", "result": known, "id": name})]
            made = self._subscription(connection, kind, params)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            return [_frame(connection, _refused(name, INVALID_PARAMS, f"Invalid params: {error}"))]
        if len(mine) >= SUBSCRIPTIONS_MAX:
            return [_frame(connection, _refused(name, -32005, "too many subscriptions"))]
        mine[made.number] = made
        return [_frame(connection, {"jsonrpc": "2.0", "result": made.number, "id": name}), *self._at_once(made)]

    def slot(self, slot: int) -> list[Out]:
        """A slot began."""
        value = {"parent": slot - 1, "root": slot - 32, "slot": slot}
        return [self._notice(each, value) for each in self._of("slot")]

    def changed(self, changes: Iterable[tuple[bytes, int]]) -> list[Out]:
        """Accounts changed; each is told once, as it is now."""
        outs: list[Out] = []
        for address, slot in dict(changes).items():
            held = self._ledger.held.get(address)
            if held is None:
                continue
            outs += [self._told(each, slot, shown(held)) for each in self._of("account") if each.address == address]
            for each in self._of("program"):
                if each.address == held.owner and matches(held.data, each.filters):
                    told = {"pubkey": to_base58(address), "account": shown(held)}
                    outs.append(self._told(each, slot, told))
        return outs

    def landed(self, landed: Iterable[Done]) -> list[Out]:
        """Transactions landed: their logs, and those who wait for their signatures."""
        outs: list[Out] = []
        for done in landed:
            words = {
                "err": done.result.error,
                "logs": done.result.logs,
                "signature": to_base58(done.signature),
            }
            outs += [self._told(each, done.slot, words) for each in self._of("logs") if _wants(each, done)]
            for each in list(self._of("signature")):
                if each.address == done.signature:
                    outs.append(self._told(each, done.slot, {"err": done.result.error}))
                    self._open[each.connection].pop(each.number, None)
        return outs

    def _at_once(self, made: Subscription) -> list[Out]:
        """A signature that has landed already is told right away."""
        done = self._ledger.done.get(made.address) if made.kind == "signature" else None
        if done is None:
            return []
        self._open[made.connection].pop(made.number, None)
        return [self._told(made, done.slot, {"err": done.result.error})]

    def _subscription(self, connection: int, kind: str, params: list[Json]) -> Subscription:
        """Raises KeyError, IndexError, TypeError or ValueError for words that make no sense."""
        number = next(self._numbers)
        if kind in ("account", "program"):
            config = params[1] if len(params) > 1 and isinstance(params[1], dict) else {}
            return Subscription(number, connection, kind, key(params[0]), config.get("filters") or [])
        if kind == "signature":
            return Subscription(number, connection, kind, from_base58(params[0]))
        if kind == "logs" and isinstance(params[0], dict):
            return Subscription(number, connection, kind, key(params[0]["mentions"][0]))
        return Subscription(number, connection, kind)

    def _of(self, kind: str) -> list[Subscription]:
        return [each for mine in self._open.values() for each in mine.values() if each.kind == kind]

    def _told(self, each: Subscription, slot: int, value: Json) -> Out:
        return self._notice(each, {"context": {"slot": slot}, "value": value})

    def _notice(self, each: Subscription, result: Json) -> Out:
        words = {
            "jsonrpc": "2.0",
            "method": f"{each.kind}Notification",
            "params": {"result": result, "subscription": each.number},
        }
        return _frame(each.connection, words, each.kind)


def _wants(each: Subscription, done: Done) -> bool:
    return not each.address or each.address in done.mentioned


def _frame(connection: int, words: Json, topic: str = "") -> Frame:
    return Frame(connection, msgspec.json.encode(words), topic)


def _refused(name: Json, code: int, message: str) -> Json:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": name}

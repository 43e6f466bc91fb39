"""What can go wrong at a venue, switched on by hand, by spec text, over HTTP or by a seed.

`Faults` holds the switches of all venues. `Faulty` wraps a venue's core and spoils what comes out of it; the few faults
that only the core can show (KINDS marks them) are asked for by the cores themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from itertools import count
from random import Random

import msgspec

from twinleg_sims.fault_kinds import DEFAULT_VALUES, DRIFT_KINDS, KINDS, OF_MARKETS, ONCE, PUBLIC_KINDS, WHOLE_NUMBERS
from twinleg_sims.listings import DRIFT, VENUES
from twinleg_sims.protocol import RESET, AccountRequest, Close, Core, Frame, HttpReply, HttpRequest, Out, Ping

FAULTS_MAX = 1_000
ONCE_WINDOW_MS = 1_000
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
TOO_MANY = b'{"code":23000,"message":"Too Many Requests!"}'
SERVER_ERROR = b'{"code":500,"message":"internal server error"}'
_PRICE = re.compile(rb'"(price|p)":"(\d+(?:\.\d+)?)"')


class FaultError(ValueError):
    """A fault spec that makes no sense: unknown kind, key or number."""


@dataclass(slots=True)
class Fault:
    """One switched-on fault. An empty `market` means all; `until_ms` None means until cleared."""

    id: int
    venue: str
    kind: str
    market: str
    at_ms: int
    until_ms: int | None
    count: int | None
    value: str
    hits: dict[int, int] = field(default_factory=dict)
    told: Callable[[Fault], None] = lambda _: None
    acted: bool = False
    """Whether one that lasts has been asked for while it was on."""

    def shown(self) -> dict[str, object]:
        """As it is listed."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "told"}

    def due(self, now_ms: int) -> bool:
        return self.at_ms <= now_ms and (self.until_ms is None or now_ms < self.until_ms)

    def hit(self, connection: int, now_ms: int) -> bool:
        """Count one frame of a stream; False when that stream has had its share."""
        if self.count is None:
            return True
        if self.hits.get(connection, 0) >= self.count:
            return False
        if not self.hits and self.until_ms is None:
            self.until_ms = now_ms + ONCE_WINDOW_MS
        self.hits[connection] = self.hits.get(connection, 0) + 1
        self.told(self)
        return True

    def acts(self) -> None:
        """It is on and asked for. One that is counted tells of its hits instead."""
        if self.count is None and not self.acted:
            self.acted = True
            self.told(self)


class FaultRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A fault as asked for. Seconds are of the world's time, `at_s` from now on."""

    kind: str
    venue: str = ""
    market: str = ""
    at_s: float = 0.0
    for_s: float | None = None
    count: int | None = None
    value: str = ""


class Faults:
    """The switches of every venue. At most FAULTS_MAX at a time."""

    def __init__(self, told: Callable[[Fault], None] = lambda _: None) -> None:
        """`told` hears of every hit of a fault that is counted, and once of one that lasts, when it begins to act."""
        self._faults: list[Fault] = []
        self._by_kind: dict[tuple[str, str], list[Fault]] = {}
        self._ids = count(1)
        self._told = told

    def add(self, request: FaultRequest, now_ms: int) -> Fault:
        """Switch a fault on. Raises FaultError."""
        if request.venue not in (*VENUES, DRIFT):
            raise FaultError(f"unknown venue {request.venue!r}; known: {', '.join(VENUES)}")
        kinds = DRIFT_KINDS if request.venue == DRIFT else KINDS
        if request.kind not in kinds:
            raise FaultError(f"unknown fault {request.kind!r}; known: {', '.join(sorted(kinds))}")
        self._forget(now_ms)
        if len(self._faults) >= FAULTS_MAX:
            raise FaultError(f"{FAULTS_MAX} faults are enough")
        value = request.value or DEFAULT_VALUES.get(request.kind, "")
        if request.kind in WHOLE_NUMBERS and not re.fullmatch(r"-?\d{1,9}", value):
            raise FaultError(f"{request.kind} wants a whole number, not {value!r}")
        at_ms = now_ms + round(request.at_s * 1000)
        until_ms = None if request.for_s is None else at_ms + round(request.for_s * 1000)
        hits = request.count or (1 if request.kind in ONCE and until_ms is None else None)
        fault = Fault(
            next(self._ids), request.venue, request.kind, request.market, at_ms, until_ms, hits, value, told=self._told
        )
        self._keep([*self._faults, fault])
        return fault

    def add_text(self, text: str, now_ms: int) -> Fault:
        """Switch on "venue:kind" or "venue:kind:market=ETH,at_s=20,for_s=5,count=2,value=..". Raises FaultError."""
        venue, _, rest = text.partition(":")
        kind, _, settings = rest.partition(":")
        fields: dict[str, str] = {}
        for setting in filter(None, settings.split(",")):
            key, equals, value = setting.partition("=")
            if not equals:
                raise FaultError(f"{text!r}: {setting!r} is not key=value")
            fields[key] = value
        try:
            return self.add(
                msgspec.convert({**fields, "venue": venue, "kind": kind}, FaultRequest, strict=False), now_ms
            )
        except msgspec.ValidationError as error:
            raise FaultError(f"{text!r}: {error}") from error

    def add_seeded(
        self, seed: int, venues: dict[str, list[str]], now_ms: int, span_s: int, kinds: Collection[str] = PUBLIC_KINDS
    ) -> list[Fault]:
        """A repeatable course of random short faults over `span_s`, one about every 40 s. `venues`: names, markets."""
        dice = Random(f"{seed}:faults")
        faults: list[Fault] = []
        at_s = dice.expovariate(1 / 40)
        while at_s < span_s and len(faults) < FAULTS_MAX // 2:
            venue = dice.choice(sorted(venues))
            kind = dice.choice(sorted(set(kinds) - {"oversized"}))
            market = dice.choice(venues[venue]) if kind in OF_MARKETS else ""
            for_s = None if kind in ONCE else round(dice.uniform(2, 20), 1)
            request = FaultRequest(kind=kind, venue=venue, market=market, at_s=round(at_s, 1), for_s=for_s)
            faults.append(self.add(request, now_ms))
            at_s += dice.expovariate(1 / 40)
        return faults

    def clear(self, venue: str) -> None:
        """Switch everything of a venue off."""
        self._keep([fault for fault in self._faults if fault.venue != venue])

    def listed(self, venue: str, now_ms: int) -> list[Fault]:
        """A venue's faults that are on or still to come."""
        self._forget(now_ms)
        return [fault for fault in self._faults if fault.venue == venue]

    def active(self, venue: str, kind: str, now_ms: int, market: str = "") -> Fault | None:
        """The first such fault that is on now and meant for this market (or all). Nothing is counted."""
        for fault in self._by_kind.get((venue, kind), ()):
            if fault.due(now_ms) and fault.market in ("", market):
                fault.acts()
                return fault
        return None

    def clock_offset_ms(self, venue: str, now_ms: int) -> int:
        """How far the venue's timestamps are off."""
        fault = self.active(venue, "clock_offset", now_ms)
        return int(fault.value) if fault else 0

    def any_due(self, venue: str, now_ms: int) -> bool:
        return any(fault.venue == venue and fault.due(now_ms) for fault in self._faults)

    def _forget(self, now_ms: int) -> None:
        self._keep([fault for fault in self._faults if fault.until_ms is None or now_ms < fault.until_ms])

    def _keep(self, faults: list[Fault]) -> None:
        self._faults, self._by_kind = faults, {}
        for fault in faults:
            self._by_kind.setdefault((fault.venue, fault.kind), []).append(fault)


class Faulty:
    """A core whose replies and frames pass through the faults. Itself a Core."""

    def __init__(self, core: Core, faults: Faults, seed: int = 0) -> None:
        self.name = core.name
        self._core = core
        self._faults = faults
        self._dice = Random(f"{seed}:{core.name}:garbage")
        self._open: set[int] = set()
        self._held: dict[int, Frame] = {}
        self._late: list[tuple[int, HttpRequest]] = []

    def http(self, request: HttpRequest, now_ms: int) -> HttpReply:
        if request.method != "GET" and (spoiled := self._write(request, now_ms)):
            return spoiled
        refusal = self._refusal(now_ms)
        reply = refusal or self._core.http(request, now_ms)
        if refusal is None and self._on("extra_field", now_ms):
            reply = HttpReply(reply.status, _with_extra_field(reply.body), reply.headers)
        slow = self._on("slow", now_ms)
        return HttpReply(reply.status, reply.body, reply.headers, int(slow.value)) if slow else reply

    def ws_open(self, connection: int, request: HttpRequest, now_ms: int) -> list[Out]:
        self._open.add(connection)
        return self._spoiled(self._core.ws_open(connection, request, now_ms), now_ms)

    def ws_message(self, connection: int, payload: bytes, now_ms: int) -> list[Out]:
        return self._spoiled(self._core.ws_message(connection, payload, now_ms), now_ms)

    def ws_ping(self, connection: int, now_ms: int) -> None:
        self._core.ws_ping(connection, now_ms)

    def ws_pong(self, connection: int, now_ms: int) -> None:
        self._core.ws_pong(connection, now_ms)

    def ws_closed(self, connection: int) -> None:
        self._open.discard(connection)
        self._held.pop(connection, None)
        self._core.ws_closed(connection)

    def open_account(self, asked: AccountRequest) -> dict[str, object]:
        return self._core.open_account(asked)

    def advance(self, now_ms: int) -> list[Out]:
        for late in [late for late in self._late if late[0] <= now_ms]:
            self._late.remove(late)
            self._core.http(late[1], now_ms)
        outs = self._spoiled(self._core.advance(now_ms), now_ms)
        fault = self._on("disconnect", now_ms)
        if fault:
            code = int(fault.value)
            outs += [Close(c, code, "simulated") for c in sorted(self._open) if fault.hit(c, now_ms)]
        return outs

    def _on(self, kind: str, now_ms: int, market: str = "") -> Fault | None:
        return self._faults.active(self.name, kind, now_ms, market)

    def _write(self, request: HttpRequest, now_ms: int) -> HttpReply | None:
        """What becomes of a write and of its answer; None when nothing is wrong with either."""
        if self._once("lost_request", now_ms):
            return HttpReply(RESET, b"")
        if late := self._once("late_request", now_ms):
            self._late.append((now_ms + int(late.value), request))
            return HttpReply(RESET, b"")
        if self._on("write_429", now_ms):
            return HttpReply(429, TOO_MANY)
        if self._once("lost_ack", now_ms):
            self._core.http(request, now_ms)
            return HttpReply(RESET, b"")
        if self._once("error_ack", now_ms):
            self._core.http(request, now_ms)
            return HttpReply(500, SERVER_ERROR)
        if late := self._once("late_ack", now_ms):
            reply = self._core.http(request, now_ms)
            return HttpReply(reply.status, reply.body, reply.headers, int(late.value))
        return None

    def _once(self, kind: str, now_ms: int) -> Fault | None:
        fault = self._on(kind, now_ms)
        return fault if fault and fault.hit(0, now_ms) else None

    def _refusal(self, now_ms: int) -> HttpReply | None:
        html = {"Content-Type": "text/html"}
        refused = self._on("http_429", now_ms)
        if refused and refused.value == "html":
            return HttpReply(429, PAGE.replace(b"502 Bad Gateway", b"429 Too Many Requests"), html)
        if refused:
            return HttpReply(429, TOO_MANY)
        if self._on("http_500", now_ms):
            return HttpReply(500, SERVER_ERROR)
        return HttpReply(200, PAGE, html) if self._on("http_html", now_ms) else None

    def _spoiled(self, outs: list[Out], now_ms: int) -> list[Out]:
        if not self._faults.any_due(self.name, now_ms) and not self._held:
            return outs
        spoiled: list[Out] = []
        for out in outs:
            if isinstance(out, Frame):
                spoiled += self._frames(out, now_ms)
            elif not (isinstance(out, Ping) and self._on("silence", now_ms)):
                spoiled.append(out)
        return spoiled

    def _frames(self, frame: Frame, now_ms: int) -> list[Frame]:
        """What becomes of one frame: nothing, itself, something worse, or two."""
        if self._dropped(frame, now_ms):
            return []
        garbage = self._on("garbage", now_ms, frame.market)
        if garbage and garbage.hit(frame.connection, now_ms):
            return [_replaced(frame, self._garbage(frame.payload, garbage.value))]
        if self._on("extra_field", now_ms, frame.market):
            frame = _replaced(frame, _with_extra_field(frame.payload))
        if frame.topic != "book" or frame.snapshot:
            return [frame]
        return self._in_order(_replaced(frame, self._mispriced(frame, now_ms)), now_ms)

    def _dropped(self, frame: Frame, now_ms: int) -> bool:
        if self._on("silence", now_ms):
            return True
        if frame.market and self._on("vanish", now_ms, frame.market):
            return True
        if frame.topic != "book":
            return False
        if self._on("stale_book", now_ms, frame.market):
            return True
        gap = None if frame.snapshot else self._on("gap", now_ms, frame.market)
        return gap is not None and gap.hit(frame.connection, now_ms)

    def _in_order(self, frame: Frame, now_ms: int) -> list[Frame]:
        held = self._held.pop(frame.connection, None)
        if held:
            return [frame, held]
        reorder = self._on("reorder", now_ms, frame.market)
        if reorder and reorder.hit(frame.connection, now_ms):
            self._held[frame.connection] = frame
            return []
        duplicate = self._on("duplicate", now_ms, frame.market)
        return [frame, frame] if duplicate and duplicate.hit(frame.connection, now_ms) else [frame]

    def _mispriced(self, frame: Frame, now_ms: int) -> bytes:
        for kind, spoil in _SPOILED_PRICES.items():
            fault = self._on(kind, now_ms, frame.market)
            if fault and _PRICE.search(frame.payload) and fault.hit(frame.connection, now_ms):
                return _PRICE.sub(spoil, frame.payload, count=1)
        return frame.payload

    def _garbage(self, payload: bytes, kind: str) -> bytes:
        if kind == "truncated":
            return payload[: len(payload) // 2]
        if kind == "utf8":
            return payload[:-1] + b'\xff\xfe"}'
        return PAGE if kind == "html" else self._dice.randbytes(64)


def _replaced(frame: Frame, payload: bytes) -> Frame:
    return Frame(frame.connection, payload, frame.topic, frame.market, frame.snapshot)


def _with_extra_field(payload: bytes) -> bytes:
    if not payload.startswith(b"{") or len(payload) < 3:
        return payload
    return b'{"fresh_field":{"since":[2026]},' + payload[1:]


def _off_tick(match: re.Match[bytes]) -> bytes:
    name, price = match.groups()
    return b'"%s":"%s%s"' % (name, price, b"7" if b"." in price else b".7")


_SPOILED_PRICES = {
    "off_tick": _off_tick,
    "nan": lambda match: b'"%s":"NaN"' % match.group(1),
    "exponent": lambda match: b'"%s":"%s"' % (match.group(1), f"{float(match.group(2)):e}".encode()),
}

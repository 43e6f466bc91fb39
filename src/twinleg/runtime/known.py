"""The orders of one gate: what is known of each besides its life, and from when its absence proves anything."""

from __future__ import annotations

import asyncio

import msgspec

from twinleg.core.orders import Intent, TimeInForce
from twinleg.core.trading import Lane
from twinleg.runtime.budget import MINUTE_NS
from twinleg.runtime.ports import Clock

NS_PER_MS = 1_000_000
KNOWN_MAX = 10_000
"""Orders remembered for cancels and read-backs; the oldest that are over are forgotten first."""
LAG_MS = 15_000
"""How long a venue's REST lists may lag behind its engine (Lighter: up to 10 s seen): absence proves nothing before."""


REPEATS_FREE = 2
REPEAT_REQUESTS = 15
"""So many requests' worth of a venue's budget lie between repetitions: three reads and a cancel take less than half."""


class Pace:
    """How often the same is asked about an order: a few times at once, then at most every `every_ns`.

    Whoever waits for a fate asks again and again; a small budget would have nothing left for anything else.
    """

    __slots__ = ("_every_ns", "_last_ns", "_times")

    def __init__(self, every_ns: int) -> None:
        self._every_ns, self._times, self._last_ns = every_ns, 0, 0

    def may(self, now_ns: int, proof_ns: int | None = None) -> bool:
        """Whether it is time; if so, it counts as asked. What would prove something for the first time always is."""
        proves = proof_ns is not None and self._last_ns <= proof_ns < now_ns
        if self._times >= REPEATS_FREE and now_ns - self._last_ns < self._every_ns and not proves:
            return False
        self._times, self._last_ns = self._times + 1, now_ns
        return True


class Known(msgspec.Struct, eq=False):
    """One order."""

    intent: Intent
    reads: Pace
    cancels: Pace
    proof_ns: int | None = None
    """LAG_MS after the venue began to refuse the order's bytes, on our monotonic clock, which never jumps."""
    venue_order_id: str | None = None
    sending: asyncio.Task[object] | None = None
    lane: Lane | None = None
    correlation: str | None = None
    """What its bytes were signed with, and what the venue knows them by."""
    arrived: bool = False
    """The venue has its transaction, and may still have to do it."""
    exists: bool = False
    """See SendOutcome.exists."""
    seen: bool = False
    """The venue has shown it: that it is nowhere to be found is then a contradiction, not a proof."""
    unwanted: bool = False
    over: bool = False

    def worth_cancelling(self, now_ns: int) -> bool:
        """Whether to take it back (again): what an earlier run sent to take at once, if it did, rests nowhere."""
        gone = self.sending is None and self.intent.time_in_force is TimeInForce.IOC and not self.seen
        return not gone and self.cancels.may(now_ns)

    @property
    def sent(self) -> bool:
        """No send of it is under way: its bytes have left, or never will."""
        return self.sending is None or self.sending.done()


class KnownOrders:
    """By client id, at most KNOWN_MAX."""

    def __init__(self, requests_per_minute: int) -> None:
        self._orders: dict[str, Known] = {}
        self._every_ns = REPEAT_REQUESTS * MINUTE_NS // requests_per_minute

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._orders

    def __getitem__(self, client_id: str) -> Known:
        assert client_id in self._orders, f"{client_id} was never ours"
        return self._orders[client_id]

    def get(self, client_id: str | None) -> Known | None:
        return None if client_id is None else self._orders.get(client_id)

    def unsent(self) -> list[Known]:
        """Those that are not over and were not sent by this process."""
        return [known for known in self._orders.values() if known.sending is None and not known.over]

    def remember(self, intent: Intent) -> Known:
        """A new one. The oldest that is over makes room."""
        if len(self._orders) >= KNOWN_MAX:
            over = next((name for name, known in self._orders.items() if known.over), None)
            assert over is not None, f"{KNOWN_MAX} orders are open"
            del self._orders[over]
        known = self._orders[intent.client_id] = Known(intent, Pace(self._every_ns), Pace(self._every_ns))
        return known


def void(known: Known, void_after_ms: int, clock: Clock) -> None:
    """From then on, and LAG_MS later in its lists, the venue cannot have the order unless it has it already."""
    left_ms = max(0, void_after_ms - clock.wall_ms()) + LAG_MS
    proof_ns = clock.mono_ns() + left_ms * NS_PER_MS
    known.proof_ns = proof_ns if known.proof_ns is None else min(known.proof_ns, proof_ns)


def absent(known: Known, asked_ns: int) -> bool:
    """Whether complete reads asked for at that time, which do not show it, prove that it never arrived."""
    return known.proof_ns is not None and asked_ns > known.proof_ns and not known.seen and known.sent

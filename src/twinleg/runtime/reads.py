"""Perform a core.venue.Read: within the venue's budget, with an outcome that never reads an error as data."""

from __future__ import annotations

import msgspec

from twinleg.core.messages import MarketEvent, VenueClock
from twinleg.core.venue import Read, WireError
from twinleg.runtime.budget import Budget
from twinleg.runtime.ports import Clock, Net

TEXT_CHARS_MAX = 200
TOO_MANY_REQUESTS = 429


class Answered(msgspec.Struct, frozen=True):
    """The venue answered and we understood it."""

    events: list[MarketEvent]


class Refused(msgspec.Struct, frozen=True):
    """The venue answered with a status other than 2xx; `text` is the start of what it said."""

    status: int
    text: str


class Unanswered(msgspec.Struct, frozen=True):
    """Nothing came back, or the budget did not let us ask in time."""

    reason: str


class Misread(msgspec.Struct, frozen=True):
    """A 2xx whose body cannot be trusted."""

    reason: str


Outcome = Answered | Refused | Unanswered | Misread


async def perform(read: Read, net: Net, clock: Clock, budget: Budget, timeout_ms: int) -> Outcome:
    """Ask once: who wants another answer asks anew. `timeout_ms` covers the wait for the budget and the request.

    A 429 empties the venue's request budget for as long as its Retry-After says (bounded, see budget.HOLD_S_MAX).
    """
    deadline_ns = clock.mono_ns() + timeout_ms * 1_000_000
    request = read.request
    while wait_ns := budget.requests.take(clock.mono_ns(), request.weight, urgent=request.reduces_risk):
        if clock.mono_ns() + wait_ns >= deadline_ns:
            return Unanswered(f"request budget: {wait_ns / 1e9:.1f} s to wait")
        await clock.sleep(wait_ns / 1e9)
    sent_ns = clock.mono_ns()
    reply = await net.request(request, max(1, (deadline_ns - sent_ns) // 1_000_000))
    received_ns = clock.mono_ns()
    if reply.status is None:
        return Unanswered(reply.reason)
    if reply.status == TOO_MANY_REQUESTS:
        budget.requests.empty(received_ns, reply.retry_after_s)
    if not 200 <= reply.status < 300:
        return Refused(reply.status, reply.body[:TEXT_CHARS_MAX].decode(errors="replace"))
    try:
        events = read.parse(reply.body, clock.wall_ms())
    except WireError as error:
        return Misread(str(error))
    round_trip_ms = (received_ns - sent_ns) // 1_000_000
    return Answered([_timed(event, round_trip_ms) for event in events])


def _timed(event: MarketEvent, round_trip_ms: int) -> MarketEvent:
    """A VenueClock as measured: parsed against our time of receipt, the venue's stamp is half a round trip older."""
    if not isinstance(event, VenueClock):
        return event
    return msgspec.structs.replace(event, offset_ms=event.offset_ms + round_trip_ms // 2, round_trip_ms=round_trip_ms)

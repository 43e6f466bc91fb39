"""Perform a core.trading.AccountRead, all its pages: the whole answer, or the reason why there is none."""

from __future__ import annotations

import msgspec

from twinleg.core.messages import MarketEvent
from twinleg.core.trading import AccountEvent, AccountRead
from twinleg.core.venue import Read
from twinleg.runtime.budget import Budget
from twinleg.runtime.reads import Answered, Refused, perform
from twinleg.runtime.streams import Doors

PAGES_MAX = 20
"""A listing that does not end after so many pages is no answer."""


class Unread(msgspec.Struct, frozen=True):
    """No answer, or one that cannot be trusted: it tells nothing about the account, and no absence."""

    reason: str


async def read_account(
    read: AccountRead, doors: Doors, budget: Budget, timeout_ms: int, *, urgent: bool = False
) -> list[AccountEvent] | Unread:
    """What all pages told, in order. Each page may take `timeout_ms`, its wait for the budget included.

    `urgent` spends the part of the budget that is kept for what reduces risk.
    """
    events: list[AccountEvent] = []
    for _ in range(PAGES_MAX):
        page = _Page(read)
        request = msgspec.structs.replace(read.request, reduces_risk=urgent or read.request.reduces_risk)
        outcome = await perform(Read(request, page.parse), doors.net, doors.clock, budget, timeout_ms)
        match outcome:
            case Answered():
                events += page.events
            case Refused(status, text):
                return Unread(f"{status}: {text}")
            case unclear:
                return Unread(unclear.reason)
        if page.following is None:
            return events
        read = page.following
    return Unread(f"it did not end after {PAGES_MAX} pages")


class _Page:
    """One page's answer, in the words of the account: what reads.perform passes on are the market's."""

    def __init__(self, read: AccountRead) -> None:
        self._read = read
        self.events: list[AccountEvent] = []
        self.following: AccountRead | None = None

    def parse(self, body: bytes, now_ms: int) -> list[MarketEvent]:
        """Raises WireError."""
        self.events = self._read.parse(body, now_ms)
        self.following = None if self._read.more is None else self._read.more(body)
        return []

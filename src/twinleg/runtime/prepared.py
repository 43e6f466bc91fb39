"""Orders signed ahead: while the journal commits, or while a pair is armed.

    prepare -> a free lane is held -> (number learned) -> signed -> submit takes it: its bytes leave at once
                        |
                        +-> another wants to send, the number is in doubt, the order is dropped: the lane is free again

Getting ready is never a promise: what could not be prepared, or was given up, is signed when it is submitted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping

from twinleg.core.messages import Market
from twinleg.core.orders import Intent
from twinleg.core.trading import Signed
from twinleg.runtime.lanes import LaneLostError, Lanes, Turn
from twinleg.runtime.sender import Sender, reduces_risk

LOG = logging.getLogger("twinleg.gate")

PREPARED_MAX = 64
"""Orders held ready at once, where lanes do not bound them; more are signed when they are sent."""
PREPARED_NS_MAX = 60 * 1_000_000_000
"""A signature older than this is made anew: venues let them expire, and fees and facts change."""


class Ready:
    """One order got ready on a lane that is held for it. `signed` once it is."""

    __slots__ = ("given_up", "intent", "learning", "market", "signed", "signing", "since_ns", "turn")

    def __init__(self, intent: Intent, market: Market, turn: Turn, since_ns: int) -> None:
        self.intent, self.market, self.turn, self.since_ns = intent, market, turn, since_ns
        self.signed: Signed | None = None
        self.signing: asyncio.Future[Signed] | asyncio.Task[object] | None = None
        self.learning = False
        """Its lane's number is being asked for: until that is answered nobody else may ask."""
        self.given_up = False

    async def usable(self) -> Signed | None:
        """Its bytes, once they are signed; None if they cannot be, or their number is not to be relied on any more."""
        if self.signed is None and self.signing is not None:
            await asyncio.wait({self.signing})
        return None if self.turn.doubted else self.signed


class Prepared:
    """The orders that are ready, or getting so. None of their bytes leave from here."""

    def __init__(self, sender: Sender, lanes: Lanes, markets: Mapping[str, Market]) -> None:
        self._sender, self._lanes, self._markets = sender, lanes, markets
        self._orders: dict[str, Ready] = {}
        self.lost = 0
        """Orders given up before they were sent: a lane was wanted, a number was in doubt, the order had changed."""

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._orders

    def prepare(self, intent: Intent, start: Callable[[Coroutine[None, None, object]], asyncio.Task[object]]) -> None:
        """Hold a free lane, if there is one, and sign on it. What is prepared already stays as it is."""
        name, market = intent.client_id, self._markets.get(intent.market)
        if name in self._orders or market is None or len(self._orders) >= PREPARED_MAX:
            return
        turn = self._lanes.hold(lambda: self._give_up(name), reduces_risk=reduces_risk(intent))
        if turn is None:
            return
        one = Ready(intent, market, turn, self._sender.doors.clock.mono_ns())
        self._orders[name] = one
        if turn.number is None and self._lanes.sequenced:
            one.learning = True
            one.signing = start(self._learn_and_sign(one))
        else:
            one.signing = self._sign(one)

    def take(self, intent: Intent) -> Ready | None:
        """The order, ready or getting so, its lane kept for it; None where it is to be signed now."""
        one = self._orders.pop(intent.client_id, None)
        if one is None:
            return None
        age_ns = self._sender.doors.clock.mono_ns() - one.since_ns
        same = one.intent == intent and one.market == self._markets.get(intent.market)
        if not same or age_ns > PREPARED_NS_MAX:
            self._orders[intent.client_id] = one
            self._give_up(intent.client_id)
            return None
        self._lanes.keep(one.turn)
        return one

    def drop(self, client_id: str) -> None:
        """It will not be sent. Its lane is free as soon as nobody is being asked for its number."""
        one = self._orders.pop(client_id, None)
        if one is not None:
            one.given_up = True
            self._release(one)

    def _give_up(self, client_id: str) -> None:
        self.lost += 1
        self.drop(client_id)

    def _release(self, one: Ready) -> None:
        if not one.learning:
            one.turn.spent = False
            self._lanes.end(one.turn)

    def _sign(self, one: Ready) -> asyncio.Future[Signed]:
        venue, now_ms = self._sender.venue, self._sender.now_ms
        future = self._sender.sign(lambda lane: venue.sign(one.intent, one.market, lane, now_ms), one.turn.lane)
        future.add_done_callback(lambda done: _signed(one, done))
        return future

    async def _learn_and_sign(self, one: Ready) -> None:
        """A number that was asked for is learned even when its order was given up meanwhile: the next one has it."""
        name = one.intent.client_id
        try:
            await self._sender.learn(one.turn, urgent=reduces_risk(one.intent))
        except LaneLostError as error:
            LOG.info("%s is not prepared: %s", name, error)
        finally:
            one.learning = False
            if one.given_up:
                self._release(one)
        if one.given_up:
            return
        if one.turn.number is not None:
            await asyncio.wait({self._sign(one)})
        elif name in self._orders:
            self._give_up(name)


def _signed(one: Ready, done: asyncio.Future[Signed]) -> None:
    """What cannot be signed is tried again, and refused, when it is to be sent."""
    if not done.cancelled() and done.exception() is None:
        one.signed = done.result()

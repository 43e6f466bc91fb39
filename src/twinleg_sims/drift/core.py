"""Drift or Velocity as a Core: a Solana node, the keepers, the DLOB server and the data API over one world.

The node answers at "/", its WebSocket on the next port; the DLOB and the data API at their own paths, streams at "/ws".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twinleg_sims.drift import dlob
from twinleg_sims.drift.call import Clock
from twinleg_sims.drift.data_api import DataApi
from twinleg_sims.drift.dlob import Dlob
from twinleg_sims.drift.dlob_stream import DlobStream
from twinleg_sims.drift.genesis import TERMS, open_chain, post_oracle
from twinleg_sims.drift.keepers import Keepers
from twinleg_sims.drift.keys import from_base58, to_base58
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.ledger import Ledger
from twinleg_sims.drift.members import Members
from twinleg_sims.drift.profile import DRIFT, Profile
from twinleg_sims.drift.pubsub import PubSub
from twinleg_sims.drift.rpc import Rpc
from twinleg_sims.drift.vm import RealProgram
from twinleg_sims.drift.words import PRICE
from twinleg_sims.faults import Fault, Faults
from twinleg_sims.listings import DRIFT as VENUE
from twinleg_sims.listings import LIGHTER
from twinleg_sims.protocol import AccountRequest, HttpReply, HttpRequest, Out
from twinleg_sims.world import World

FIRST_SLOT = 300_000_000
SLOTS_AT_ONCE_MAX = 2_000
"""A longer sleep is not lived through slot by slot: the chain stood still."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How the chain runs. `landing_slots`: from sent to in a block."""

    profile: Profile = DRIFT
    slot_ms: int = 400
    landing_slots: int = 1
    binary: Path | None = None
    """The real program, run by a virtual machine instead of this package's."""


class DriftCore:
    """One chain. Its markets are those whose asset the world has; their oracles follow the world's index prices."""

    name = VENUE

    def __init__(self, world: World, faults: Faults, setup: Setup | None = None) -> None:
        """Raises VmError when there is a binary that cannot be run."""
        self._world = world
        self._faults = faults
        self._setup = setup or Setup()
        self._start_ms = world.now_ms
        profile, binary = self._setup.profile, self._setup.binary
        machine = RealProgram(binary, profile.program) if binary else None
        self.ledger = Ledger(profile, FIRST_SLOT, world.now_ms // 1000, machine)
        listed = {market.listing.asset.name: market for market in world.markets(LIGHTER)}
        wanted = {terms.asset for terms in TERMS[self._setup.profile.name]}
        self._sources = {name: market for name, market in listed.items() if name in wanted and "/" not in market.symbol}
        prices = {name: market.index_price for name, market in self._sources.items()}
        self.terms = open_chain(self.ledger, prices)
        self.members = Members(self.ledger, world.seed)
        self.keepers = Keepers(self.ledger, self.terms, world.seed)
        self._data = DataApi(self.ledger, self.terms, world.seed)
        self._dlob = Dlob(self.ledger, self.terms, self.keepers.users)
        self._stream = DlobStream(self._dlob)
        self._rpc = Rpc(self.ledger, self._setup.landing_slots)
        self._pubsub = PubSub(self.ledger)
        self._dlob_connections: set[int] = set()
        self._misbehave(world.now_ms)
        self.ledger.changes = []

    def http(self, request: HttpRequest, now_ms: int) -> HttpReply:
        self._misbehave(now_ms)
        self._dlob.now_ms = now_ms
        if request.method == "POST" and request.path == "/":
            return HttpReply(200, self._rpc.answer(request.body))
        if request.method != "GET":
            return HttpReply(405, b"Used HTTP Method is not allowed.", dlob.TEXT)
        try:
            if request.path in dlob.PATHS:
                return self._dlob.answer(request)
            if self._data.knows(request.path):
                return self._data.answer(request)
        except ValueError as error:
            return HttpReply(400, f"Bad Request: {error}".encode(), dlob.TEXT)
        return HttpReply(404, b"Not Found", dlob.TEXT)

    def ws_open(self, connection: int, request: HttpRequest, now_ms: int) -> list[Out]:
        del now_ms
        if request.path == "/ws":
            self._dlob_connections.add(connection)
            self._stream.open(connection)
        else:
            self._pubsub.open(connection)
        return []

    def ws_message(self, connection: int, payload: bytes, now_ms: int) -> list[Out]:
        self._dlob.now_ms = now_ms
        if connection in self._dlob_connections:
            return self._stream.message(connection, payload)
        return self._pubsub.message(connection, payload)

    def ws_ping(self, connection: int, now_ms: int) -> None:
        """Neither server closes for want of pings."""

    def ws_pong(self, connection: int, now_ms: int) -> None:
        """Neither server asks."""

    def ws_closed(self, connection: int) -> None:
        self._dlob_connections.discard(connection)
        self._stream.closed(connection)
        self._pubsub.closed(connection)

    def advance(self, now_ms: int) -> list[Out]:
        """Live through every slot until now."""
        outs: list[Out] = []
        slot = FIRST_SLOT + (now_ms - self._start_ms) // self._setup.slot_ms
        first = max(self.ledger.clock.slot + 1, slot - SLOTS_AT_ONCE_MAX)
        for each in range(first, slot + 1):
            outs += self._slot(each, now_ms)
        self._dlob.now_ms = now_ms
        return outs + self._told() + self._stream.advance(now_ms)

    def open_account(self, asked: AccountRequest) -> dict[str, object]:
        """A wallet with a funded user; the answer is all that a client of driftpy is made from."""
        member = self.members.open(asked)
        self.keepers.users.append(member.user)
        perps = [{"index": each.index, "symbol": each.symbol} for each in self.terms]
        return {**self.members.shown(member), "perp_markets": perps, "state": to_base58(self._setup.profile.state_key)}

    def user(self, address: str) -> Record:
        """A user's account as it is, for tests. Raises KeyError."""
        return Record(self._setup.profile.user, bytearray(self.ledger.held[from_base58(address)].data))

    def _slot(self, slot: int, now_ms: int) -> list[Out]:
        """Oracles first, then what was sent, then what keepers and cranks do."""
        at_ms = self._start_ms + (slot - FIRST_SLOT) * self._setup.slot_ms
        self.ledger.clock = Clock(slot, at_ms // 1000)
        self._misbehave(now_ms)
        for name, source in self._sources.items():
            if not self._on("stale_oracle", now_ms, f"{name}-PERP"):
                post_oracle(self.ledger, name, source.index_price)
        post_oracle(self.ledger, self._setup.profile.quote_symbol, 1.0)
        due = [each for each in self.ledger.waiting if each.due_slot <= slot]
        self.ledger.waiting = [each for each in self.ledger.waiting if each.due_slot > slot]
        for each in due:
            self.ledger.land(each)
        delay = self._on("keeper_delay", now_ms)
        if not self.ledger.disabled:
            self.keepers.work(int(delay.value) if delay else 0)
            if not self._on("funding_skipped", now_ms):
                self._data.funded(self.keepers.crank())
        return self._pubsub.slot(slot)

    def _told(self) -> list[Out]:
        """Tell what changed: accounts before logs."""
        changes, landed = self.ledger.changes, self.ledger.landed
        self.ledger.changes, self.ledger.landed = [], []
        return self._pubsub.changed(changes) + self._pubsub.landed(landed) + self._stream.traded(landed)

    def _misbehave(self, now_ms: int) -> None:
        """What the faults want of the node and the program now."""
        ledger, conduct = self.ledger, self._rpc.conduct
        lag = self._on("rpc_lag", now_ms)
        conduct.lag_slots = int(lag.value) // self._setup.slot_ms if lag else 0
        conduct.no_blockhash = self._on("blockhash_expired", now_ms) is not None
        conduct.drop = lambda: self._once("tx_dropped", now_ms) is not None
        conduct.late_slots = lambda: int(late.value) if (late := self._once("tx_late", now_ms)) else 0
        conduct.fails_with = lambda: int(failed.value) if (failed := self._once("tx_failed", now_ms)) else None
        ledger.disabled = self._on("program_disabled", now_ms) is not None
        ledger.amm_off = lambda index: self._on("amm_off", now_ms, self._symbol(index)) is not None
        ledger.partial = lambda index: self._most(index, now_ms)

    def _most(self, index: int, now_ms: int) -> int | None:
        """With partial fills, a fill trades so many steps at the most: value is their worth in USD."""
        partial = self._on("small_fills", now_ms, self._symbol(index))
        if partial is None:
            return None
        profile = self._setup.profile
        market = Record(profile.perp_market, self.ledger.held[profile.perp_market_key(index)].data)
        worth = int(partial.value) * 10**9 * PRICE // max(1, market["last_oracle_price"])
        return max(market["order_step_size"], worth)

    def _symbol(self, index: int) -> str:
        return next(each.symbol for each in self.terms if each.index == index)

    def _on(self, kind: str, now_ms: int, market: str = "") -> Fault | None:
        return self._faults.active(self.name, kind, now_ms, market)

    def _once(self, kind: str, now_ms: int) -> Fault | None:
        fault = self._on(kind, now_ms)
        return fault if fault and fault.hit(0, now_ms) else None

"""The chain: accounts, slots, blockhashes, and transactions on their way and done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from twinleg_sims.drift import program
from twinleg_sims.drift.borsh import Reader
from twinleg_sims.drift.call import Call, Clock, Meta
from twinleg_sims.drift.errors import FALLBACK
from twinleg_sims.drift.keys import key, to_base58
from twinleg_sims.drift.profile import Profile
from twinleg_sims.drift.transaction import BadTransactionError, Transaction
from twinleg_sims.drift.vm import Failure, Machine

SYSTEM_PROGRAM = bytes(32)
COMPUTE_BUDGET = key("ComputeBudget111111111111111111111111111111")
BLOCKHASH_SLOTS = 150
FINALIZED_SLOTS = 32
PAST_SLOTS = 64
"""How many older states of an account can be read again."""
DONE_MAX = 50_000
WAITING_MAX = 5_000
_UNITS = 30_000


@dataclass(slots=True)
class Held:
    """An account, with its earlier data by slot."""

    data: bytearray
    owner: bytes
    lamports: int
    past: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=PAST_SLOTS))


@dataclass(frozen=True, slots=True)
class Result:
    """What a transaction did. `touched` are the accounts that changed."""

    error: Failure | None
    logs: list[str]
    touched: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """A transaction in a block. `mentioned`: every account it names."""

    signature: bytes
    slot: int
    ts: int
    raw: bytes
    result: Result
    mentioned: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction on its way."""

    due_slot: int
    raw: bytes
    sent: Transaction
    fails_with: int | None = None


class Overlay:
    """Accounts as one transaction changes them; kept or thrown away as a whole."""

    def __init__(self, held: dict[bytes, Held]) -> None:
        self._held = held
        self._copies: dict[bytes, bytearray] = {}
        self._owners: dict[bytes, bytes] = {}

    def data(self, address: bytes) -> bytearray | None:
        if address not in self._copies:
            held = self._held.get(address)
            if held is None:
                return None
            self._copies[address] = bytearray(held.data)
        return self._copies[address]

    def owner(self, address: bytes) -> bytes | None:
        held = self._held.get(address)
        return self._owners.get(address) or (held.owner if held else None)

    def create(self, address: bytes, data: bytearray, owner: bytes) -> None:
        self._copies[address] = data
        self._owners[address] = owner

    def changed(self) -> Iterable[tuple[bytes, bytearray, bytes]]:
        """What is not as it was: address, data, owner."""
        for address, data in self._copies.items():
            held = self._held.get(address)
            if held is None:
                yield address, data, self._owners[address]
            elif held.data != data:
                yield address, data, held.owner


class Ledger:
    """One chain with one program. `clock` moves by `start_slot`; nothing happens by itself."""

    def __init__(self, profile: Profile, start_slot: int, ts: int, machine: Machine | None = None) -> None:
        """`machine` runs the real program; None: this package's."""
        self.profile = profile
        self.clock = Clock(start_slot, ts)
        self.held: dict[bytes, Held] = {}
        self.done: dict[bytes, Done] = {}
        self.waiting: list[Waiting] = []
        self.changes: list[tuple[bytes, int]] = []
        """Addresses that changed, with the slot, until somebody takes them."""
        self.landed: list[Done] = []
        """Transactions that landed, until somebody takes them."""
        self.disabled = False
        self._machine = machine
        self.amm_off: Callable[[int], bool] = lambda _: False
        self.partial: Callable[[int], int | None] = lambda _: None

    def put(self, address: bytes, data: bytes | bytearray, owner: bytes, lamports: int | None = None) -> None:
        """Write an account from outside any transaction."""
        old = self.held.get(address)
        rent = lamports if lamports is not None else (old.lamports if old else 890_880 + 6_960 * len(data))
        if old is None:
            self.held[address] = Held(bytearray(data), owner, rent)
        else:
            self._keep(old)
            old.data, old.lamports = bytearray(data), rent
        self.changes.append((address, self.clock.slot))

    def at(self, address: bytes, lag_slots: int = 0) -> Held | None:
        """An account as it is, or as it was so many slots ago (as far back as is kept)."""
        held = self.held.get(address)
        if held is None or not lag_slots or not held.past:
            return held
        then = self.clock.slot - lag_slots
        data = next((raw for slot, raw in held.past if slot > then), bytes(held.data))
        return Held(bytearray(data), held.owner, held.lamports)

    def blockhash(self, slot: int) -> bytes:
        return sha256(f"{to_base58(self.profile.program)}:{slot}".encode()).digest()

    def hash_age(self, blockhash: bytes) -> int | None:
        """How many slots old a blockhash is, None when it is too old or unknown."""
        for age in range(BLOCKHASH_SLOTS + 1):
            if self.blockhash(self.clock.slot - age) == blockhash:
                return age
        return None

    def simulate(self, sent: Transaction) -> Result:
        """What a transaction would do now."""
        return self.execute(sent, Overlay(self.held))

    def land(self, waiting: Waiting) -> Done | None:
        """Put a transaction into the block; None when its blockhash has expired or it is there already."""
        sent, signature = waiting.sent, waiting.sent.signatures[0]
        if signature in self.done or self.hash_age(sent.blockhash) is None:
            return None
        overlay = Overlay(self.held)
        if waiting.fails_with is None:
            result = self.execute(sent, overlay)
        else:
            result = Result(custom(len(sent.instructions) - 1, waiting.fails_with), [])
        if result.error is None:
            result = Result(None, result.logs, self.commit(overlay))
        mentioned = frozenset(meta.address for meta in sent.metas(self._table))
        done = Done(signature, self.clock.slot, self.clock.ts, waiting.raw, result, mentioned)
        self.record(done)
        return done

    def record(self, done: Done) -> None:
        """Keep a transaction that is done, at most DONE_MAX of them."""
        self.done[done.signature] = done
        self.landed.append(done)
        while len(self.done) > DONE_MAX:
            self.done.pop(next(iter(self.done)))

    def commit(self, overlay: Overlay) -> tuple[bytes, ...]:
        """Make an overlay's changes real; the addresses."""
        touched = []
        for address, data, owner in list(overlay.changed()):
            held = self.held.get(address)
            if held is None:
                self.held[address] = Held(data, owner, 890_880 + 6_960 * len(data))
            else:
                self._keep(held)
                held.data = data
            self.changes.append((address, self.clock.slot))
            touched.append(address)
        return tuple(touched)

    def call(self, accounts: Overlay, metas: list[Meta], words: bytes) -> Call:
        """An instruction's call; `words` follow the discriminator."""
        return Call(
            self.profile, accounts, metas, Reader(words), self.clock, amm_off=self.amm_off, partial=self.partial
        )

    def execute(self, sent: Transaction, overlay: Overlay) -> Result:
        """Run a transaction over an overlay, which is spoilt when it fails."""
        try:
            metas = sent.metas(self._table)
        except BadTransactionError as error:
            return Result(str(error), [])
        if self._machine is not None and not self.disabled:
            return Result(*self._machine.run(sent, metas, overlay, self.clock))
        logs: list[str] = []
        for number, instruction in enumerate(sent.instructions):
            if max((instruction.program, *instruction.accounts)) >= len(metas):
                return Result("SanitizeFailure", logs)
            which = metas[instruction.program].address
            if which == self.profile.program:
                code = self._run(overlay, [metas[at] for at in instruction.accounts], instruction.data, logs)
                if code is not None:
                    return Result(custom(number, code), logs)
            elif which in (COMPUTE_BUDGET, SYSTEM_PROGRAM):
                name = to_base58(which)
                logs += [f"Program {name} invoke [1]", f"Program {name} success"]
            else:
                return Result({"InstructionError": [number, "UnsupportedProgramId"]}, logs)
        return Result(None, logs)

    def _run(self, overlay: Overlay, metas: list[Meta], data: bytes, logs: list[str]) -> int | None:
        call = self.call(overlay, metas, data[8:])
        disc = bytes(8) if self.disabled else data[:8]
        code = program.run(call, disc)
        name = to_base58(self.profile.program)
        call.logs.insert(-1, f"Program {name} consumed {_UNITS} of 600000 compute units")
        logs += call.logs
        return FALLBACK if self.disabled else code

    def _table(self, address: bytes) -> bytes | None:
        held = self.held.get(address)
        return bytes(held.data) if held else None

    def _keep(self, held: Held) -> None:
        """Remember the data as it is until now."""
        if not held.past or held.past[-1][0] != self.clock.slot:
            held.past.append((self.clock.slot, bytes(held.data)))


def custom(number: int, code: int) -> Failure:
    """The error of an instruction that failed with a program's own code."""
    return {"InstructionError": [number, {"Custom": code}]}

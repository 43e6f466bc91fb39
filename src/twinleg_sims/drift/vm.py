"""The program itself instead of this package's: a binary, run by the Solana virtual machine that solders brings.

solders is looked for only when a binary is given; nothing else here needs it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from twinleg_sims.drift.call import Accounts, Clock, Meta
from twinleg_sims.drift.transaction import Transaction, encoded

Failure = str | dict[str, object]
"""A transaction error as the RPC writes it."""
_RENT = 10**9


class VmError(ValueError):
    """The machine cannot be had: no solders, or no such binary."""


class Machine(Protocol):
    """Runs whole transactions over accounts."""

    def run(
        self, sent: Transaction, metas: list[Meta], accounts: Accounts, clock: Clock
    ) -> tuple[Failure | None, list[str]]: ...


class RealProgram:
    """A program's binary in a virtual machine. Signatures and blockhashes are the node's business."""

    def __init__(self, path: Path, program: bytes) -> None:
        """Raises VmError."""
        try:
            self._svm: Any = import_module("solders.litesvm").LiteSVM()
            self._key: Any = import_module("solders.pubkey").Pubkey
            self._account: Any = import_module("solders.account").Account
            self._clock: Any = import_module("solders.clock").Clock
            self._transaction: Any = import_module("solders.transaction").VersionedTransaction
        except ImportError as error:
            raise VmError("a program's binary is run by solders, which is not installed") from error
        self._svm = self._svm.with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        try:
            self._svm.add_program_from_file(self._key.from_bytes(program), path)
        except BaseException as error:  # the machine panics over a file that is no program
            if isinstance(error, (OSError, ValueError)) or type(error).__name__ == "PanicException":
                raise VmError(f"{path}: {error}") from error
            raise
        self._program = program

    def run(
        self, sent: Transaction, metas: list[Meta], accounts: Accounts, clock: Clock
    ) -> tuple[Failure | None, list[str]]:
        """What the transaction does to the accounts; they are written only when it succeeds."""
        mine = {meta.address for meta in metas} | {lookup.table for lookup in sent.lookups}
        for address in mine - {self._program}:
            data = accounts.data(address)
            owner = accounts.owner(address)
            if data is not None and owner is not None:
                held = self._account(_RENT * 1000, bytes(data), self._key.from_bytes(owner))
                self._svm.set_account(self._key.from_bytes(address), held)
        self._svm.set_clock(self._clock(clock.slot, clock.ts, 0, 0, clock.ts))
        answer = self._svm.send_transaction(self._transaction.from_bytes(encoded(sent)))
        if type(answer).__name__ == "FailedTransactionMetadata":
            return failure(answer.err()), list(answer.meta().logs())
        for meta in metas:
            if meta.writable:
                self._write_back(accounts, meta.address)
        return None, list(answer.logs())

    def _write_back(self, accounts: Accounts, address: bytes) -> None:
        found = self._svm.get_account(self._key.from_bytes(address))
        if found is None:
            return
        data = accounts.data(address)
        if data is None:
            accounts.create(address, bytearray(found.data), bytes(found.owner))
        else:
            data[:] = found.data


def failure(error: Any) -> Failure:
    """A transaction error of solders as the RPC writes it."""
    inner = getattr(error, "err", None)
    if inner is None:
        return str(error).rpartition(".")[2]
    code = getattr(inner, "code", None)
    return {"InstructionError": [error.index, str(inner).rpartition(".")[2] if code is None else {"Custom": code}]}

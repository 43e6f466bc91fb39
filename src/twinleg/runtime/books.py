"""The ledger and its journal, kept together: what is folded into the one is on its way to disk in the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from twinleg.core.ledger import Ledger
from twinleg.core.records import JournalRecord, decode, encode, kind_of
from twinleg.runtime.ports import Clock, Journal, JournalError

LOG = logging.getLogger("twinleg.books")

JOURNAL_RETRY_S = 0.5
HEAD_START_S = 0.001


def read_ledger(journal: Journal) -> Ledger:
    """The fold of the whole journal of a process that has ended.

    Raises JournalError, RecordError or LedgerError when it cannot be trusted.
    """
    ledger = Ledger(decode(row.payload) for row in journal.records())
    ledger.suppose_sent()
    return ledger


class Books:
    """`trouble` says why the journal fails, None when all is well: nothing is opened or sent meanwhile."""

    def __init__(self, journal: Journal, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.trouble: str | None = None
        self._journal, self._clock = journal, clock

    def append(self, record: JournalRecord) -> int:
        """Into the journal's queue and the ledger; its sequence. Raises JournalError when the journal does not take it,
        and then neither has it."""
        sequence = self._queue(record)
        self.ledger.apply(record)
        return sequence

    def apply_first(self, *records: JournalRecord) -> Pending:
        """Into the ledger now, and HEAD_START_S after `durable` was asked into the journal: for facts that what is done
        next need not have on disk. Else the journal's thread would take the interpreter from the bytes that leave."""
        for record in records:
            self.ledger.apply(record)
        return Pending(deque(records), applied=True)

    def begin(self, records: Sequence[JournalRecord]) -> Pending:
        """As many of them as the journal takes now; `durable` sees to the rest."""
        pending = Pending(deque(records))
        with suppress(JournalError):  # said in `trouble`, tried again by `durable`
            self._append_all(pending)
        return pending

    async def durable(self, pending: Pending) -> None:
        """Return once all of them are on disk, however long the journal is in trouble."""
        if pending.applied:
            await self._clock.sleep(HEAD_START_S)
        while pending.waiting or pending.sequence is not None:
            try:
                self._append_all(pending)
                if pending.sequence is not None:
                    await self._journal.durable(pending.sequence)
            except JournalError as error:
                self._in_trouble(error)
                await self._clock.sleep(JOURNAL_RETRY_S)
            else:
                pending.sequence = self.trouble = None

    async def persist(self, *records: JournalRecord) -> None:
        """Both at once."""
        await self.durable(self.begin(records))

    async def recover(self) -> None:
        """After the journal refused something that is not tried again: let the next one try."""
        await self._clock.sleep(JOURNAL_RETRY_S)
        self.trouble = None

    def _append_all(self, pending: Pending) -> None:
        append = self._queue if pending.applied else self.append
        while pending.waiting:
            pending.sequence = append(pending.waiting[0])
            pending.waiting.popleft()

    def _queue(self, record: JournalRecord) -> int:
        try:
            return self._journal.append(record.at_ms, kind_of(record), record.trade_id, encode(record))
        except JournalError as error:
            self._in_trouble(error)
            raise

    def _in_trouble(self, error: JournalError) -> None:
        if self.trouble is None:
            LOG.critical("the journal fails, nothing is opened or sent until it works again: %s", error)
        self.trouble = str(error)


class Pending:
    """Records on their way: `waiting` are those that the journal has not taken yet, `sequence` is the last it has.
    `applied`: the ledger has them all already."""

    __slots__ = ("applied", "sequence", "waiting")

    def __init__(self, waiting: deque[JournalRecord], *, applied: bool = False) -> None:
        self.waiting, self.applied = waiting, applied
        self.sequence: int | None = None

    @property
    def durable(self) -> bool:
        """Books.durable has seen to all of them."""
        return not self.waiting and self.sequence is None

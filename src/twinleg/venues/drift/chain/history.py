"""An account's past, by the transactions that named it: their signatures first, then what each of them logged.

A signature's page and the batches of its transactions are pages of one AccountRead, and only the last says anything:
records are told from the oldest on, since an order's first one names it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from twinleg.core.trading import AccountEvent, AccountRead, AccountSnapshot, ExecutionSeen, FundingPaid, OrderSeen
from twinleg.core.venue import Request, WireError
from twinleg.venues.drift import facts, wire
from twinleg.venues.drift.account import UNREADABLE, Rows
from twinleg.venues.drift.chain.events import OrderPlaced, read_logs
from twinleg.venues.drift.chain.keys import base58
from twinleg.venues.drift.sign import Budget, name_in

PLACING = "Instruction: Place"
"""What the program logs when an order is placed; a change of one is logged otherwise."""


class Past(NamedTuple):
    """A transaction: its signature, whether it failed, its wire and its log lines (none of a failed one)."""

    signature: str
    failed: bool
    wire: bytes
    lines: list[str]


class _Walk(NamedTuple):
    """How far a walk into the past has come. `pending` are signatures whose transactions are not read yet."""

    since_ms: int
    past: tuple[Past, ...]
    pending: tuple[str, ...]
    before: str | None
    ended: bool
    finish: Callable[[Sequence[Past], int], list[AccountEvent]]
    first: Callable[[Past], bool] = lambda _: False
    """Whether nothing before that transaction is wanted: then the walk ends there."""

    def on(self, found: tuple[Past, ...], **changes: Any) -> _Walk:
        """With more of the past."""
        walk = self._replace(past=self.past + found, **changes)
        return walk._replace(pending=(), ended=True) if any(map(self.first, found)) else walk


class History:
    """Reads of the past of `rows.user`. `signer` pays for our own transactions, with one of `budgets` and a name."""

    def __init__(
        self, rows: Rows, signer: bytes, budgets: Sequence[Budget], rpc: Callable[[bytes], Request]
    ) -> None:  # fmt: skip
        self._rows = rows
        self._signer = signer
        self._budgets = budgets
        self._rpc = rpc
        self._program = base58(rows.profile.program_id)

    def fills(self, since_ms: int) -> AccountRead:
        """A complete listing from `since_ms` on."""

        def finish(past: Sequence[Past], now_ms: int) -> list[AccountEvent]:
            told = [one for one in self._told(past, now_ms) if isinstance(one, ExecutionSeen)]
            rows = tuple(one for one in told if one.at_ms >= since_ms)
            return [AccountSnapshot(facts.NAME, "fills", since_ms, rows, now_ms)]

        return self._signatures(_Walk(since_ms, (), (), None, ended=False, finish=finish))

    def of_order(self, client_id: str, since_ms: int) -> AccountRead:
        """All that the chain has of one of our orders: its fills, its end, and a transaction that came to nothing."""

        def finish(past: Sequence[Past], now_ms: int) -> list[AccountEvent]:
            named = self._rows.names.client_of
            mine: list[AccountEvent] = [
                one
                for one in self._told(past, now_ms)
                if isinstance(one, ExecutionSeen | OrderSeen) and named(int(one.venue_order_id)) == client_id
            ]
            return mine or self._came_to_nothing(client_id, past, now_ms)

        def first(past: Past) -> bool:
            named = self._named(past) == client_id
            return named and (past.failed or any(PLACING in line for line in past.lines))

        return self._signatures(_Walk(since_ms, (), (), None, ended=False, finish=finish, first=first))

    def funding(self, since_ms: int) -> AccountRead:
        """All payments of funding from `since_ms` on, oldest first: the program books one with the next deal."""

        def finish(past: Sequence[Past], now_ms: int) -> list[AccountEvent]:
            return [one for one in self._told(past, now_ms) if isinstance(one, FundingPaid)]

        return self._signatures(_Walk(since_ms, (), (), None, ended=False, finish=finish))

    def _came_to_nothing(self, client_id: str, past: Sequence[Past], now_ms: int) -> list[AccountEvent]:
        """An order whose transaction landed and failed, or placed nothing. One that is not there proves nothing."""
        name = self._rows.names.of_client(client_id)
        if name is None or name.asked is None or name.order_id is not None:
            return []
        for one in past:
            if one.signature == name.signature:
                why = "its transaction failed" if one.failed else "its transaction landed, and placed nothing"
                return [msgspec.structs.replace(name.asked, resting=False, reason=why, at_ms=now_ms)]
        return []

    def _told(self, past: Sequence[Past], now_ms: int) -> list[AccountEvent]:
        """The events of all records, oldest first. Raises WireError when one cannot be read."""
        found: list[AccountEvent] = []
        for one in reversed(past):
            logged = read_logs(one.lines, self._program, self._rows.profile.layout)
            if not logged.whole:
                raise WireError(f"transaction {one.signature} has a record that cannot be read")
            named = self._named(one)
            for record in logged.records:
                if named is not None and isinstance(record, OrderPlaced):
                    self._rows.placed(record, named)
                try:
                    found += self._rows.record(record, now_ms)
                except UNREADABLE as error:
                    raise WireError(f"transaction {one.signature}: {error}"[:200]) from error
        return found

    def _named(self, past: Past) -> str | None:
        """The client id of the order that a transaction was for."""
        return self._rows.names.of_signature(past.signature) or name_in(past.wire, self._signer, self._budgets)

    def _signatures(self, walk: _Walk) -> AccountRead:
        """One page of signatures, newest first."""
        how: dict[str, object] = {"limit": facts.SIGNATURES_PER_READ, "commitment": "confirmed"}
        if walk.before is not None:
            how["before"] = walk.before
        body = wire.batch([wire.call(1, "getSignaturesForAddress", base58(self._rows.user), how)])

        def after(answer: bytes) -> _Walk:
            (raw,) = wire.results(answer, 1)
            try:
                rows = wire.decode_signatures(raw)
            except wire.UNREADABLE as error:
                raise WireError(f"no signatures: {error}") from error
            times = [row.block_time * 1_000 for row in rows if row.block_time is not None]
            wanted = [row for row in rows if row.block_time is None or row.block_time * 1_000 >= walk.since_ms]
            failed = tuple(Past(row.signature, True, b"", []) for row in wanted if row.failed)
            return walk.on(
                failed,
                pending=tuple(row.signature for row in wanted if not row.failed),
                before=rows[-1].signature if rows else None,
                ended=len(rows) < facts.SIGNATURES_PER_READ or bool(times and min(times) < walk.since_ms),
            )

        return self._page(body, after)

    def _transactions(self, walk: _Walk) -> AccountRead:
        """The next TRANSACTIONS_PER_READ of the pending transactions."""
        wanted, rest = walk.pending[: facts.TRANSACTIONS_PER_READ], walk.pending[facts.TRANSACTIONS_PER_READ :]
        how = {"encoding": "base64", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        body = wire.batch([wire.call(i, "getTransaction", one, how) for i, one in enumerate(wanted, start=1)])

        def after(answer: bytes) -> _Walk:
            raws = wire.results(answer, len(wanted))
            found = tuple(_past(signature, raw) for signature, raw in zip(wanted, raws, strict=True))
            return walk.on(found, pending=rest)

        return self._page(body, after)

    def _page(self, body: bytes, after: Callable[[bytes], _Walk]) -> AccountRead:
        def parse(answer: bytes, now_ms: int) -> list[AccountEvent]:
            walk = after(answer)
            return walk.finish(walk.past, now_ms) if walk.ended and not walk.pending else []

        def more(answer: bytes) -> AccountRead | None:
            walk = after(answer)
            if walk.pending:
                return self._transactions(walk)
            return None if walk.ended else self._signatures(walk)

        return AccountRead(self._rpc(body), parse, more)


def _past(signature: str, raw: msgspec.Raw) -> Past:
    """Raises WireError, also for a transaction that the node does not show (yet)."""
    try:
        told = wire.decode_transaction(raw)
        if told is None or told.meta.log_messages is None:
            raise WireError(f"transaction {signature} is not shown")
        return Past(signature, False, base64.b64decode(told.transaction[0], validate=True), told.meta.log_messages)
    except (*wire.UNREADABLE, binascii.Error) as error:
        raise WireError(f"transaction {signature}: {error}"[:200]) from error

"""What is broken on purpose, one passage each: see mutants.py."""

from __future__ import annotations

from typing import NamedTuple

HEDGE_TESTS = [
    f"tests/core/test_hedge{name}.py" for name in ("", "_first", "_interventions", "_explore", "_interleavings")
]
JOURNAL_TESTS = [f"tests/runtime/test_journal{name}.py" for name in ("", "_file", "_copy")]
GATE_TESTS = ["tests/runtime/test_gate.py", "tests/runtime/test_doubts.py"]
RIVALS = "tests/runtime/test_regressions_of_rivals.py"
DESK_TESTS = ["tests/runtime/test_engine.py", "tests/runtime/test_prepared.py", RIVALS]
TESTS = {
    "core/hedge.py": HEDGE_TESTS,
    "core/interventions.py": HEDGE_TESTS,
    "core/move.py": HEDGE_TESTS,
    "core/pursue.py": HEDGE_TESTS,
    "core/reconcile.py": ["tests/core/test_reconcile_compare.py"],
    "core/trade.py": HEDGE_TESTS,
    "runtime/accounts.py": ["tests/runtime/test_accounts_forced.py"],
    "runtime/books.py": DESK_TESTS,
    "runtime/desk.py": DESK_TESTS,
    "runtime/doubts.py": GATE_TESTS,
    "runtime/gate.py": GATE_TESTS,
    "runtime/journal.py": JOURNAL_TESTS,
    "runtime/journal_copy.py": JOURNAL_TESTS,
    "runtime/journal_file.py": JOURNAL_TESTS,
    "runtime/known.py": GATE_TESTS,
    "runtime/lanes.py": ["tests/runtime/test_lanes.py", *GATE_TESTS],
    "runtime/reconcile.py": ["tests/runtime/test_reconcile.py"],
}
"""The narrowest tests that are to see a mutant of each module."""


class Mutant(NamedTuple):
    """In the module `where` (under src/twinleg), `old`, which is there once, becomes `new`."""

    where: str
    old: str
    new: str
    by: str = ""
    """The one test that is to see it; without, those of its module."""

    @property
    def tests(self) -> list[str]:
        return [self.by] if self.by else TESTS[self.where]

    @property
    def name(self) -> str:
        """The module, and the beginnings of what is there no longer and of what is there now."""
        old, new = (" ".join(text.split())[:48] or "(nothing)" for text in (self.old, self.new))
        return f"{self.where}: {old} -> {new}"


MUTANTS = (
    # the hedge machine
    Mutant("core/hedge.py", 'attempt(move, State.REPAIRING, "late news', 'str("late news'),
    Mutant("core/hedge.py", "spent, wish = trade.attempts_spent + 1, None", "spent, wish = trade.attempts_spent, None"),
    Mutant("core/hedge.py", "spent >= len(trade.plan.bounds_bps)", "spent > len(trade.plan.bounds_bps)"),
    Mutant("core/hedge.py", "event.at_ms < move.trade.due_ms", "event.at_ms <= move.trade.due_ms"),
    Mutant("core/hedge.py", "if worth_holding(trade):", "if True:"),
    Mutant("core/hedge.py", 'attempt(move, State.REPAIRING, "restarted while entering")', "pass"),
    Mutant("core/hedge.py", "        move.halt(wrong)\n        return False\n", "        return False\n"),
    Mutant("core/interventions.py", "if event.force_id in move.trade.force_ids:", "if False:"),
    Mutant("core/interventions.py", "0 <= event.lots < held", "0 <= event.lots"),
    Mutant("core/interventions.py", "if wrong is None and move.trade.flat:", "if wrong is None:"),
    Mutant("core/move.py", "leg.entry_side.opposite if reduces else leg.entry_side", "leg.entry_side"),
    Mutant("core/move.py", "        self.cancel()\n        self.change(", "        self.change("),
    Mutant("core/move.py", "return (*self._records, *self._deeds)", "return (*self._deeds, *self._records)"),
    Mutant("core/pursue.py", "    move.cancel()\n    move.read_back()\n", "    move.cancel()\n"),
    Mutant("core/pursue.py", "Purpose.REPAIR, over, excess_lots)", "Purpose.REPAIR, over.other, excess_lots)"),
    Mutant("core/pursue.py", "    if hedges and not hedges[-1].settled:\n        return\n", ""),
    Mutant("core/pursue.py", "missing.entry_side.sign * (touch - plan.limit_ticks) > 0", "False"),
    Mutant("core/pursue.py", "unwound_bps -= 2 * trade", "unwound_bps += 2 * trade"),
    Mutant("core/pursue.py", "BPS + bps", "BPS - bps"),
    Mutant("core/pursue.py", "and trade.held(leg) > 0 and not open_here", "and trade.held(leg) > 0"),
    Mutant("core/trade.py", "reopened = order.ended and", "reopened = False and"),
    Mutant(
        "core/trade.py",
        "return OrderStatus.UNKNOWN if order.filled_lots else",
        "return OrderStatus.REJECTED if True else",
    ),
    Mutant("core/trade.py", "self.filled_lots >= self.done_lots or", "True or"),
    # the journal
    Mutant("runtime/journal.py", "while sequence > self._committed:", "while False:"),
    Mutant("runtime/journal.py", "if self._closing.wait(RETRY_S):", "if True:"),
    Mutant("runtime/journal.py", "if self.waiting >= WAITING_MAX:", "if False:"),
    Mutant("runtime/journal_file.py", "crc32(head + kind + trade_id, before)", "crc32(head + kind + trade_id)"),
    Mutant("runtime/journal_file.py", 'if noted != f"{sequence} {crc}":', "if False:"),
    Mutant("runtime/journal_file.py", "    if sequence != expected:", "    if False:"),
    Mutant("runtime/journal_file.py", '("BEGIN IMMEDIATE")\n            self', '("SELECT 1")\n            self'),
    Mutant("runtime/journal_file.py", "if int(row[0]) > len(STEPS):", "if False:"),
    Mutant(
        "runtime/journal_file.py", "handle = lock_file(path)", "handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)"
    ),
    Mutant("runtime/journal_file.py", "if (folder / RESTORING_NAME).exists():", "if False:"),
    Mutant("runtime/journal_copy.py", "rows = sum(1 for _ in copy.records())", "rows = copy.last_sequence"),
    Mutant("runtime/journal_copy.py", 'SIDE_FILES = ("-wal", "-shm", "")', 'SIDE_FILES = ("",)'),
    # the ways rivals lose money: each is seen by the test of its name
    Mutant(
        "core/pursue.py",
        "        _shed(move, Purpose.REPAIR, over, excess_lots)\n",
        "        move.change(State.CLOSED, 'unwound')\n",
        f"{RIVALS}::test_hedge_fails_the_exposed_venue_is_unwound",
    ),
    Mutant(
        "core/reconcile.py",
        "    if listing.positions is None:\n        return\n"
        "    shown = {row.market: row.lots for row in listing.positions}",
        "    shown = {row.market: row.lots for row in listing.positions or ()}",
        f"{RIVALS}::test_position_query_fails_nothing_is_closed_in_the_book",
    ),
    Mutant(
        "runtime/gate.py",
        "OrderUnknown(intent.client_id, sent.reason, self._now_ms())",
        "OrderDone(intent.client_id, sent.reason, intent.size_lots, self._now_ms())",
        f"{RIVALS}::test_timeout_is_never_filled",
    ),
    Mutant(
        "runtime/gate.py",
        "ExecutionSeen(client_id=str() as client_id) if self._shown(client_id):",
        "ExecutionSeen(client_id=str() as client_id) if not self._known[client_id].unwanted:",
        f"{RIVALS}::test_fill_races_cancel_hedged",
    ),
    Mutant(
        "core/pursue.py",
        "trade.plan.first is not None and exposed(trade) is not None:",
        "trade.plan.first is not None and exposed(trade) is not None and not trade.unsettled:",
        f"{RIVALS}::test_partial_fills_hedged_as_they_come",
    ),
    Mutant(
        "runtime/gate.py",
        "OrderUnknown(intent.client_id, sent.reason, self._now_ms())",
        "OrderRejected(intent.client_id, sent.reason, self._now_ms())",
        f"{RIVALS}::test_unknown_outcome_is_never_sent_again_blind",
    ),
    Mutant(
        "core/hedge.py",
        'attempt(move, State.REPAIRING, "restarted while entering")',
        "_start(move, Started(trade.plan.trade_id, move.at_ms))",
        f"{RIVALS}::test_restart_with_one_leg_open_finished_or_unwound",
    ),
    Mutant(
        "runtime/desk.py",
        "return trade_id(self.ledger.next_number)",
        "return trade_id(self.executed + 1)",
        f"{RIVALS}::test_ids_never_repeat_across_restarts",
    ),
    Mutant(
        "runtime/accounts.py",
        "self._desk.hear(forced)",
        "LOG.info('%s', forced)",
        f"{RIVALS}::test_one_leg_liquidated_partner_closed",
    ),
    Mutant(
        "runtime/gate.py",
        "                    await self._submit_on(ready.turn, signed, known)\n",
        "                    await self._submit_on(ready.turn, signed, known)\n"
        "                    await self._submit_on(ready.turn, signed, known)\n",
        f"{RIVALS}::test_stop_during_entry_no_double_orders",
    ),
    # the comparison with the venues
    Mutant("core/reconcile.py", "if not row.resting:", "if False:"),
    Mutant("core/reconcile.py", "if one.venue in incomplete and one.kind in _OF_LISTINGS", "if False"),
    Mutant("core/reconcile.py", "steady=old is not None and old.lots == new.lots", "steady=True"),
    Mutant("core/reconcile.py", "lasting=now_ms - since_ms >= patience.grace_ms", "lasting=True"),
    Mutant("core/reconcile.py", "since_ms = ours.changed_ms + patience.lag_ms", "since_ms = 0"),
    Mutant("core/reconcile.py", "if len(legs) == 1 and", "if legs and"),
    Mutant("core/reconcile.py", "leg.entry_side.sign * one.lots, now_ms", "one.lots, now_ms"),
    Mutant("core/reconcile.py", "if beyond < ours.common_lot else", "if beyond <= ours.common_lot else"),
    Mutant("core/reconcile.py", "one.high += in_flight if order.intent.side is Side.BUY else 0", "one.high += 0"),
    Mutant("core/reconcile.py", "if account.trade.finished:", "if False:"),
    Mutant("core/reconcile.py", "and row.fill_id not in order.fill_ids", "and False"),
    Mutant("core/reconcile.py", "elif not _ours(ledger, row.client_id):", "elif False:"),
    Mutant("core/reconcile.py", "intent.deadline_ms < listing.at_ms", "False"),
    Mutant("core/reconcile.py", "    if order.settled:\n        return 0", "    if order.ended:\n        return 0"),
    Mutant("core/reconcile.py", "frozenset({Kind.FOREIGN_ORDER, Kind.FATE_OPEN})", "frozenset({Kind.FOREIGN_ORDER})"),
    Mutant("runtime/reconcile.py", "if doubts or not found:", "if not found:"),
    Mutant("runtime/reconcile.py", "            if listing.complete:\n", "            if True:\n"),
    Mutant("runtime/reconcile.py", "elif now_ms - seen_ms > self._terms.stale_ms:", "elif False:"),
    Mutant("runtime/reconcile.py", "and fills.since_ms > fills_since_ms:", "and False:"),
    Mutant("runtime/reconcile.py", "gate.query(one.subject, now_ms)", "pass"),
    Mutant("runtime/reconcile.py", "gate.cancel(one.subject, now_ms)", "pass"),
    Mutant("runtime/reconcile.py", "else seen_ms - OVERLAP_MS", "else seen_ms"),
    Mutant("runtime/reconcile.py", "            self._tell(event)\n", "            pass\n"),
    Mutant("runtime/reconcile.py", "if listing.positions is not None:", "if True:"),
    Mutant("runtime/reconcile.py", "gates[order.intent.venue].expect(order.intent, over=order.settled)", "pass"),
    Mutant("runtime/reconcile.py", "return min([since_ms, *planned_ms])", "return since_ms"),
    Mutant("runtime/reconcile.py", "in gate.foreign.items():", "in dict[str, int]().items():"),
    # the gate
    Mutant("runtime/gate.py", 'assert intent.client_id not in self._known, f"{intent.client_id} sent twice"', "pass"),
    Mutant("runtime/gate.py", "self._start(self._doubts.settle(known))", "pass"),
    Mutant("runtime/gate.py", "if known.unwanted:", "if False:"),
    Mutant("runtime/gate.py", "self._now_ms() > known.intent.deadline_ms and", "False and"),
    Mutant("runtime/gate.py", "complete &= not isinstance(", "complete |= not isinstance("),
    Mutant("runtime/gate.py", "            await asyncio.wait({known.sending})\n", "            pass\n"),
    Mutant("runtime/known.py", "clock.wall_ms()) + LAG_MS", "clock.wall_ms())"),
    Mutant("runtime/known.py", "and not known.seen and known.sent", "and known.sent"),
    Mutant(
        "runtime/lanes.py",
        "self.spent is None or self.doubted or not trusting:\n            track.number = None\n        else:\n"
        "            track.number = self.number + self.spent",
        "self.doubted or not trusting:\n            track.number = None\n        else:\n"
        "            track.number = self.number + bool(self.spent)",
    ),
    Mutant("runtime/lanes.py", "or self.doubted or not trusting", "or not trusting"),
    Mutant("runtime/lanes.py", "mine = self._tracks[:-1]", "mine = self._tracks"),
    Mutant("runtime/lanes.py", "track.foreign += foreign", "pass"),
    Mutant("runtime/lanes.py", "if future.done() and not future.cancelled():", "if False:"),
    Mutant("runtime/doubts.py", "if turn.number == lane.number:", "if False:"),
    Mutant("runtime/doubts.py", "if order.over or order.seen or order.arrived or order.exists]", "if order.over]"),
    Mutant(
        "runtime/doubts.py",
        "        void(order, 0, self._sender.doors.clock)\n        return True",
        "        return True",
    ),
    Mutant("runtime/doubts.py", "or turn.number < lane.number:", "or False:"),
    # the desk and its books
    Mutant(
        "runtime/desk.py",
        "        await self._books.durable(begun.pending)\n        late = self._too_late(begun.effects, begun.plan)\n"
        "        for effect in begun.effects:\n            self._do(effect, late)\n",
        "        late = self._too_late(begun.effects, begun.plan)\n        for effect in begun.effects:\n"
        "            self._do(effect, late)\n        await self._books.durable(begun.pending)\n",
    ),
    Mutant(
        "runtime/desk.py",
        "                    self._gate.drop(intent.client_id, now_ms)\n",
        "",
        "tests/runtime/test_desk_and_gates.py",
    ),
    Mutant(
        "runtime/desk.py", "in self._gate.due(self._clock.wall_ms()):", "in self._gate.due(self._clock.wall_ms())[:1]:"
    ),
    Mutant("runtime/desk.py", "if self.trouble is not None:\n            found", "if False:\n            found"),
    Mutant("runtime/desk.py", "return self._unfit(plan) if deadlines_ms else None", "return None"),
    Mutant("runtime/desk.py", "min(deadlines_ms) <= self._clock.wall_ms():", "False:"),
    Mutant("runtime/desk.py", "self._gate.cancel(client_id, now_ms)", "pass"),
    Mutant("runtime/desk.py", "self._gate.query(client_id, now_ms)", "pass"),
    Mutant(
        "runtime/desk.py", "control.control is not Control.RUNNING:", "False:", "tests/runtime/test_desk_and_gates.py"
    ),
    Mutant("runtime/desk.py", "self._tell(Resumed(plan.trade_id, now_ms))", "pass"),
    Mutant("runtime/desk.py", 'self._tell(OrderRejected(intent.client_id, f"not sent: {late}", now_ms))', "pass"),
    Mutant("runtime/books.py", "await self._journal.durable(pending.sequence)", "pass"),
    Mutant("runtime/books.py", "        self.trouble = str(error)\n", "        pass\n"),
    Mutant(
        "runtime/books.py", "                await self._clock.sleep(JOURNAL_RETRY_S)\n", "                return\n"
    ),
)

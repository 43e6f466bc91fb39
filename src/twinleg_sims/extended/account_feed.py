"""What the account streams say: reports in, messages out, in the order the venue was recorded to send them.

An order that fills: ORDER, BALANCE (margin reserved), TRADE (all its fills), POSITION, BALANCE; TRADE and the first
BALANCE change places now and then (110 against 78 in the logs). An IOC is never NEW. A connection opens with ORDER,
POSITION and BALANCE snapshots in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random

from twinleg_sims.account import Report
from twinleg_sims.extended import account_wire, facts
from twinleg_sims.extended.account_wire import Body
from twinleg_sims.extended.feed import Publication, encode
from twinleg_sims.extended.keys import Member
from twinleg_sims.extended.topics import Topic
from twinleg_sims.margin import MarginRules, figures
from twinleg_sims.positions import Position

SWAPPED = 78 / 188
"""How often TRADE comes before the first BALANCE."""


class AccountFeed:
    """One account's messages."""

    def __init__(self, member: Member, workers: Mapping[str, int], rules: MarginRules, seed: int) -> None:
        self._member = member
        self._workers = workers
        self._rules = rules
        self._topic = topic(member)
        self._dice = Random(f"{seed}:extended:stream:{member.account.id}")
        self._next_balance_ms = 0

    def advance(self, now_ms: int) -> Iterator[Publication]:
        """Everything that was reported since, and a BALANCE now and then while a position is open."""
        reports = self._member.account.reports
        while reports:
            report = reports.popleft()
            self._member.mirror.add(report, report.at_ms)
            yield from self._told(report)
            self._rest(now_ms)
        if not self._member.account.positions:
            self._rest(now_ms)
        elif now_ms >= self._next_balance_ms:
            yield self._balance(now_ms)
            self._rest(now_ms)

    def opening(self, now_ms: int) -> list[Publication]:
        """How things are, as three messages in any order."""
        account = self._member.account
        orders = [order for order in account.orders.values() if order.state != "pending"]
        messages = [
            self._message("ORDER", "orders", [account_wire.order_row(self._member, o) for o in orders], opens=True),
            self._positions(account.positions.values(), opens=True),
            self._balance(now_ms, opens=True),
        ]
        self._dice.shuffle(messages)
        return messages

    def _told(self, report: Report) -> Iterator[Publication]:
        if report.orders:
            rows = [account_wire.order_row(self._member, order) for order in report.orders]
            yield self._message("ORDER", "orders", rows)
        if report.fills:
            orders = {order.id: order for order in report.orders}
            rows = [
                account_wire.trade_row(self._member, fill, self._workers, orders.get(fill.order))
                for fill in report.fills
            ]
            both = [self._balance(report.at_ms), self._message("TRADE", "trades", rows)]
            yield from both[::-1] if self._dice.random() < SWAPPED else both
        if report.positions:
            yield self._positions(report.positions)
        yield self._balance(report.at_ms)

    def _positions(self, positions: Iterable[Position], *, opens: bool = False) -> Publication:
        account = self._member.account
        rows = [account_wire.position_row(self._member, each, account, self._rules) for each in positions]
        return self._message("POSITION", "positions", rows, opens=opens)

    def _balance(self, at_ms: int, *, opens: bool = False) -> Publication:
        row = account_wire.balance_row(figures(self._member.account, self._rules), at_ms)
        return self._message("BALANCE", "balance", row, opens=opens)

    def _message(self, kind: str, name: str, rows: Body | list[Body], *, opens: bool = False) -> Publication:
        return Publication("", self._topic, f"ACCOUNT.{kind}", encode({"isSnapshot": opens, name: rows}))

    def _rest(self, now_ms: int) -> None:
        self._next_balance_ms = now_ms + facts.IDLE_BALANCE_INTERVAL_MS


def topic(member: Member) -> Topic:
    """Where an account's messages go."""
    return Topic("account", str(member.account_id))

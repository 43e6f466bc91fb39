"""Payments of funding to trades: to the last micro-dollar, once, and by what was held."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trade_samples import PLAN, hedged
from twinleg.core.funding import HOUR_MS
from twinleg.core.ledger import Ledger
from twinleg.core.orders import Leg, trade_id
from twinleg.core.payments import bookings, owed
from twinleg.core.records import JournalRecord, TradePlanned, decode, encode
from twinleg.core.trading import FundingPaid

INSTANT = 10 * HOUR_MS


def ledger_of(count: int, *, at_ms: int = 0) -> Ledger:
    """So many hedged trades in the same two markets."""
    ledger = Ledger()
    for number in range(1, count + 1):
        name = trade_id(number)
        plan = msgspec.structs.replace(PLAN, trade_id=name)
        ledger.apply(TradePlanned(plan=plan, terms={}, at_ms=at_ms))
        for record in hedged().records:
            renamed: JournalRecord = decode(encode(record).replace(b'"t1', f'"{name}'.encode()))
            ledger.apply(msgspec.structs.replace(renamed, at_ms=at_ms))
    return ledger


def paid(amount: int, *, late_ms: int = 0) -> FundingPaid:
    return FundingPaid("one", PLAN.long.market, amount, 1e-5, INSTANT + late_ms)


@given(st.integers(-(10**9), 10**9), st.integers(1, 4))
def test_the_parts_add_up_to_the_payment_and_are_booked_once(amount: int, trades: int) -> None:
    ledger = ledger_of(trades)
    assert owed(ledger, "one", HOUR_MS, INSTANT + 1)
    booked = bookings(ledger, paid(amount), HOUR_MS, 2_000.0, INSTANT + 5)
    assert sum(one.amount_micro_usd for one in booked) == amount
    assert {one.leg for one in booked} == {Leg.LONG}
    for one in booked:
        ledger.apply(one)
    assert bookings(ledger, paid(amount, late_ms=900), HOUR_MS, 2_000.0, INSTANT + 9) == [], "however it is stamped"
    assert not owed(ledger, "one", HOUR_MS, INSTANT + 1)
    assert owed(ledger, "two", HOUR_MS, INSTANT + 1)


def test_what_is_paid_for_no_trade_of_ours_is_not_booked() -> None:
    ledger = ledger_of(1, at_ms=INSTANT + 1)
    assert bookings(ledger, paid(5), HOUR_MS, 1.0, INSTANT + 5) == [], "planned after the instant"
    assert bookings(ledger_of(1), msgspec.structs.replace(paid(5), market="one:BTC"), HOUR_MS, 1.0, INSTANT) == []


def test_a_payment_counts_though_our_fill_came_after_the_instant() -> None:
    """The venue knew of the fill before we did: it pays, and the trade gets it."""
    ledger = ledger_of(1)
    account = ledger.trades[trade_id(1)]
    account.long.holdings = [(INSTANT + 40, 12)]
    (one,) = bookings(ledger, paid(-7), HOUR_MS, 1.0, INSTANT + 50)
    assert (one.amount_micro_usd, one.settled_at_ms) == (-7, INSTANT)

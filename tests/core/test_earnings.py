"""Money in pieces: whatever they are grouped by, they add up to the ledger's to the micro-dollar."""

from __future__ import annotations

from random import Random

import pytest

from journal_samples import closed, hedged, planned
from trade_samples import PLAN, Story
from trade_samples import hedged as hedged_story
from twinleg.core.earnings import Money, Piece, pieces
from twinleg.core.effects import Persist
from twinleg.core.ledger import CLOSED_KEPT, Ledger, LedgerError
from twinleg.core.orders import DeadlinePassed, ExitWanted, Holding, Leg, PositionForced, Resolve
from twinleg.core.records import JournalRecord, TradePlanned


def told(story: Story) -> list[JournalRecord]:
    """The records of a story with its plan first."""
    records = [effect.record for effect in story.effects if isinstance(effect, Persist)]
    return [TradePlanned(at_ms=0, plan=PLAN, terms={}), *records]


def booked(records: list[JournalRecord]) -> tuple[list[Piece], Ledger]:
    ledger = Ledger()
    return list(pieces(records, ledger)), ledger


def total(found: list[Piece]) -> Money:
    return sum((one.money for one in found), Money())


def adds_up(records: list[JournalRecord]) -> list[Piece]:
    """The pieces of the records, after they were held against the ledger's own sums."""
    found, ledger = booked(records)
    money, known = total(found), ledger.pnl({})
    assert money.realised_micro_usd == known.realised_micro_usd
    assert money.slippage_micro_usd == known.slippage_micro_usd
    assert money.funding_micro_usd == known.funding_micro_usd
    assert money.fees_micro_usd == known.fees_micro_usd
    assert money.volume_micro_usd == known.volume_micro_usd
    if known.equity_change_micro_usd is not None:
        assert (money.net_micro_usd, money.price_micro_usd) == (known.equity_change_micro_usd, known.price_micro_usd)
    for trade_id, account in ledger.trades.items():
        of_trade = total([one for one in found if one.trade_id == trade_id])
        assert of_trade.fees_micro_usd == account.pnl({}).fees_micro_usd
        assert of_trade.realised_micro_usd == account.pnl({}).realised_micro_usd
    return found


def test_a_closed_trade_in_pieces() -> None:
    found = adds_up(closed("T000001"))
    assert [(one.at_ms, one.venue) for one in found] == [
        (10, "lighter"),
        (12, "extended"),
        (3_600_000, "extended"),
        (4_000_000, "lighter"),
        (4_000_000, "extended"),
    ]
    assert {one.asset for one in found} == {"ETH"}
    assert found[2].money == Money(funding_micro_usd=10_000)
    assert found[3].money.realised_micro_usd == 490_000


def test_what_is_held_counts_at_its_cost() -> None:
    found = adds_up(hedged("T000001"))
    assert total(found).net_micro_usd == 10_000 - 50_000, "funding less two entry fees"
    assert total(found).realised_micro_usd == 0


def test_a_trade_of_nothing_has_no_pieces() -> None:
    assert adds_up(planned("T000001")) == []


def test_many_trades_among_each_other_add_up() -> None:
    dice = Random(7)
    waiting = [closed(f"T{number:06d}") for number in range(1, 30)] + [hedged(f"T{n:06d}") for n in range(30, 35)]
    mixed: list[JournalRecord] = []
    while waiting:
        one = dice.choice(waiting)
        mixed.append(one.pop(0))
        waiting = [left for left in waiting if left]
    adds_up(mixed)


def test_trades_that_the_ledger_keeps_as_totals_only_are_still_told_apart() -> None:
    count = CLOSED_KEPT + 20
    records = [record for number in range(1, count + 1) for record in closed(f"T{number:06d}")]
    found = adds_up(records)
    assert len({one.trade_id for one in found}) == count
    assert total([one for one in found if one.trade_id == "T000001"]).net_micro_usd == 200_000


@pytest.mark.parametrize("lots", [5, 12])
def test_what_a_venue_takes_and_an_operator_says_is_booked(lots: int) -> None:
    story = hedged_story()
    story.later(5).tell(PositionForced("t1", Leg.LONG, "x", 190_000, lots, 11, "liquidation", story.at_ms))
    for _ in range(4):
        story.later(2_000).tell(DeadlinePassed("t1", story.at_ms))
    story.tell(Resolve("t1", Holding(0, 191_000), Holding(0, 4_020), "looked", story.at_ms))
    found = adds_up(told(story))
    assert any(one.money.fees_micro_usd == 11 for one in found)


def test_fractions_of_a_micro_dollar_are_not_lost() -> None:
    """Average entry prices that do not divide: rounding must not add up over many partial exits."""
    story = Story().start()
    for price in (199_991, 199_993, 200_003):
        story.fills("t1-long-0", 4, price_ticks=price)
    story.ends("t1-long-0", 12).takes("t1-short-0", 3, 3, 2, price_ticks=4_007)
    story.later(100).tell(ExitWanted("t1", "enough", story.at_ms))
    last_long, last_short = (one.client_id for one in story.placed[-2:])
    story.fills(last_long, *[1] * 12, price_ticks=200_017).fills(last_short, *[1] * 8, price_ticks=4_003)
    adds_up(told(story.ends(last_long, 12).ends(last_short, 8)))


def test_records_of_nothing_known_are_refused() -> None:
    with pytest.raises(LedgerError, match="unknown trade"):
        booked(closed("T000001")[2:3])

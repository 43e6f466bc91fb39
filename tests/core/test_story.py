"""A trade's story: all that happened, in order, with nothing that the journal does not say."""

from __future__ import annotations

import msgspec
import pytest

from journal_samples import closed, hedged, planned
from trade_samples import PLAN, QUOTES
from trade_samples import Story as Played
from trade_samples import hedged as hedged_story
from twinleg.core.edge import Terms
from twinleg.core.effects import Persist
from twinleg.core.ledger import Ledger, LedgerError
from twinleg.core.orders import DeadlinePassed, Leg, OrderAccepted, OrderUnknown, PositionForced, Side
from twinleg.core.records import JournalRecord, TradePlanned
from twinleg.core.story import Story, story

TERMS = {
    "basis_in_bps": 20.0,
    "basis_out_bps": 4.0,
    "fees_in_bps": 2.0,
    "fees_out_bps": 2.0,
    "carry_bps": 3.0,
    "stable_basis_bps": 0.0,
    "latency_haircut_bps": 1.0,
    "net_bps": 14.0,
    "notional_usd": 100.0,
    "expected_usd": 0.14,
}


def with_terms(records: list[JournalRecord]) -> list[JournalRecord]:
    first = records[0]
    assert isinstance(first, TradePlanned)
    return [msgspec.structs.replace(first, terms=TERMS), *records[1:]]


def of(played: Played) -> Story:
    """The story of what was played."""
    records = [effect.record for effect in played.effects if isinstance(effect, Persist)]
    found = story("t1", [TradePlanned(at_ms=0, plan=PLAN, terms=TERMS), *records])
    assert found is not None
    return found


def test_a_closed_trade_is_told_from_plan_to_close() -> None:
    others = [*closed("T000002"), *closed("T000001")]
    found = story("T000001", others)
    assert found is not None
    assert (found.state, found.closed_at_ms, found.exit_reason) == ("closed", 4_000_000, "target: made enough")
    assert [one.state for one in found.turns] == ["planned", "hedged", "closed"]
    assert [one.purpose for one in found.orders] == ["enter", "enter", "exit", "exit"]
    assert [one.amount_usd for one in found.funding] == [0.01]
    assert [(one.planned_size, one.held_size, one.decision_price) for one in found.legs] == [(1.0, 0.0, 100.0)] * 2
    first = found.orders[0]
    assert (first.side, first.size, first.filled, first.limit_price, first.bound_bps) == ("buy", 1.0, 1.0, 100.01, 1.0)
    (fill,) = first.fills
    assert (fill.price, fill.fee_usd, fill.after_ms) == (100.01, 0.025, 0)
    assert fill.slippage_bps == pytest.approx(-1.0)
    assert fill.slippage_usd == pytest.approx(-0.01)
    (sold,) = found.orders[1].fills
    assert sold.slippage_bps == pytest.approx(20.0), "sold dearer than decided: a gain"


def test_expected_and_realised_terms_add_up() -> None:
    records = with_terms(closed("T000001"))
    found = story("T000001", records)
    assert found is not None
    net = found.terms[-1]
    assert net.name == "net"
    assert sum(one.expected_bps or 0.0 for one in found.terms[:-1]) == pytest.approx(net.expected_bps)
    assert net.expected_usd == pytest.approx(0.14)
    micro = [round((one.realised_usd or 0.0) * 1e6) for one in found.terms]
    assert sum(micro[:-1]) == micro[-1] == Ledger(records).pnl({}).equity_change_micro_usd
    came = {one.name: one.realised_usd for one in found.terms}
    assert came == {
        "basis_in": 0.19,
        "basis_out": 0.10,
        "fees_in": -0.05,
        "fees_out": -0.05,
        "carry": 0.01,
        "stable_basis": None,
        "latency_haircut": None,
        "net": 0.2,
    }


def test_the_story_knows_every_term_that_an_edge_has() -> None:
    found = story("T000001", with_terms(planned("T000001")))
    assert found is not None
    assert {f"{one.name}_bps" for one in found.terms} == {*Terms.__struct_fields__, "net_bps"}
    assert found.recorded == TERMS


def test_a_trade_that_holds_something_has_no_net_yet() -> None:
    found = story("T000001", with_terms(hedged("T000001")))
    assert found is not None
    came = {one.name: one.realised_usd for one in found.terms}
    assert (came["basis_in"], came["fees_in"], came["carry"]) == (0.19, -0.05, 0.01)
    assert (came["basis_out"], came["fees_out"], came["net"]) == (None, None, None)


def test_an_unknown_fate_and_a_repair_are_told() -> None:
    played = Played().start()
    played.later(40).tell(OrderUnknown("t1-long-0", "timeout", played.at_ms))
    played.takes("t1-short-0", 8).later(4_000).tell(DeadlinePassed("t1", played.at_ms))
    played.later(10).takes("t1-long-0", 12, price_ticks=200_000)
    found = of(played)
    first = found.orders[0].replies[0]
    assert (first.status, first.reason, first.after_ms) == ("unknown", "timeout", 40)
    assert [one.state for one in found.turns] == ["planned", "entering", "repairing", "hedged"]
    assert [(one.since_ms, one.until_ms) for one in found.unhedged] == [(40, 4_050)]
    assert found.unhedged_ms == 4_010


def test_a_leg_that_is_still_alone_says_so() -> None:
    found = of(Played().start().takes("t1-short-0", 8))
    assert [(one.since_ms, one.until_ms) for one in found.unhedged] == [(0, None)]
    assert found.unhedged_ms == 0


def test_what_a_venue_took_and_a_halt_call_the_operator() -> None:
    played = hedged_story()
    played.later(5).tell(PositionForced("t1", Leg.LONG, "x", 190_000, 6, 0, "liquidation", played.at_ms))
    for _ in range(4):
        played.later(2_000).tell(DeadlinePassed("t1", played.at_ms), QUOTES)
    found = of(played)
    alarms = [one for one in found.turns if one.alarming]
    assert [one.state for one in alarms] == ["forced", "halted"]
    assert "liquidation" in alarms[0].because
    assert found.turns[-1] == alarms[-1]
    assert "failed after 3 attempts" in alarms[-1].because


def test_an_accepted_order_shows_how_long_the_answer_took() -> None:
    played = Played().start().later(25)
    played.tell(OrderAccepted("t1-long-0", played.at_ms))
    (reply,) = of(played).orders[0].replies
    assert (reply.status, reply.after_ms) == ("accepted", 25)
    assert of(played).orders[1].side == Side.SELL.value


def test_a_trade_that_nobody_planned_has_no_story() -> None:
    assert story("T000009", closed("T000001")) is None


def test_records_that_contradict_each_other_are_no_story() -> None:
    with pytest.raises(LedgerError, match="planned twice"):
        story("T000001", [*planned("T000001"), *planned("T000001")])

"""Every event in every order keeps the invariants: whole small worlds in `make test`, a million places in the soak."""

from __future__ import annotations

import msgspec
import pytest

from hedge_explorer import Explorer, Spare, ViolatedError
from trade_samples import LONG_PLAN, QUOTES, SHORT_PLAN, plan
from twinleg.core import interventions, pursue
from twinleg.core.move import Move
from twinleg.core.orders import Leg, State, TradePlan
from twinleg.core.trade import Trade


def small(**changes: object) -> TradePlan:
    """One common lot, of two lots on one market and one on the other."""
    fields: dict[str, object] = {"common_lots": 1, "bounds_bps": (10, 50)} | changes
    long = msgspec.structs.replace(LONG_PLAN, lots_per_common_lot=2)
    return plan(long=long, short=msgspec.structs.replace(SHORT_PLAN, lots_per_common_lot=1), **fields)


AT_ONCE = small(edge_bps=10.0)
ONE_ATTEMPT = small(bounds_bps=(10,))
RESTS = small(first=Leg.LONG, rest_ms=10_000, edge_bps=10.0)
TAKES = small(first=Leg.SHORT, common_lots=2)
NONE = Spare(fills_per_order=2, crashes=0, unknowns=0, wishes=0, forces=0, words=0)
ALL = Spare()


def with_spare(**changes: int) -> Spare:
    return msgspec.structs.replace(NONE, **changes)


@pytest.mark.parametrize(
    ("trade_plan", "spare", "least"),
    [
        pytest.param(AT_ONCE, with_spare(fills_per_order=1), 10_000, id="both-legs-at-once"),
        pytest.param(ONE_ATTEMPT, with_spare(fills_per_order=1, crashes=1), 15_000, id="a-crash-anywhere"),
        pytest.param(RESTS, NONE, 15_000, id="one-leg-rests-first"),
        pytest.param(small(first=Leg.LONG), with_spare(fills_per_order=1, forces=1), 3_000, id="force"),
    ],
)
def test_a_whole_small_world_keeps_the_invariants(trade_plan: TradePlan, spare: Spare, least: int) -> None:
    explorer = Explorer(trade_plan, QUOTES, spare)
    places = explorer.run(100_000)
    assert explorer.exhausted, f"{places} places are not all"
    assert places >= least
    assert explorer.states == set(State) - {State.PLANNED}


@pytest.mark.parametrize("trade_plan", [AT_ONCE, RESTS], ids=["at-once", "rests"])
def test_all_that_may_happen_as_far_as_time_allows(trade_plan: TradePlan) -> None:
    assert Explorer(trade_plan, QUOTES, ALL).run(12_000) >= 12_000


@pytest.mark.soak
def test_a_million_places() -> None:
    counts = {}
    for name, trade_plan in (("at once", AT_ONCE), ("one attempt", ONE_ATTEMPT), ("rests", RESTS), ("takes", TAKES)):
        explorer = Explorer(trade_plan, QUOTES, ALL)
        counts[name] = explorer.run(300_000)
        print(f"{name}: {counts[name]} places, {explorer.moves} moves")  # noqa: T201 - shown by pytest -rP
    assert sum(counts.values()) >= 1_000_000, counts


# --- the search sees a machine that errs ---


def test_it_sees_a_machine_that_forgets_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pursue, "exposed", lambda trade: None)
    monkeypatch.setattr(pursue, "worth_holding", lambda trade: True)
    with pytest.raises(ViolatedError, match="I3: at rest, exposed"):
        Explorer(AT_ONCE, QUOTES, NONE).run(20_000)


def test_it_sees_a_machine_that_takes_half_closed_for_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trade, "flat", property(lambda trade: trade.held(Leg.LONG) == 0))
    with pytest.raises(ViolatedError, match="I3: at rest, exposed"):
        Explorer(AT_ONCE, QUOTES, NONE).run(20_000)


def test_it_sees_a_machine_that_halts_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Move, "alert", lambda move, text: None)
    with pytest.raises(ViolatedError, match="a halt is told"):
        Explorer(ONE_ATTEMPT, QUOTES, NONE).run(20_000)


def test_it_sees_a_machine_that_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interventions, "contradiction", lambda trade: None)
    monkeypatch.setattr(
        Move, "halt", lambda move, because: move.change(State.REPAIRING, because, due_ms=move.at_ms + 9)
    )
    with pytest.raises(ViolatedError, match=r"I3: within its budget|I9"):
        Explorer(ONE_ATTEMPT, QUOTES, NONE).run(20_000)

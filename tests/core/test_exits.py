"""When a hedged trade is left: each reason at its edge, and silence where figures are unknown."""

from __future__ import annotations

import msgspec
import pytest

from market_samples import NOW_MS, ONE, TWO, market, pair
from twinleg.core.edge import prepare
from twinleg.core.exits import Standing, exit_wish, further_bps
from twinleg.core.messages import MarketStatus
from twinleg.core.pairs import Pair


def prepared() -> Pair:
    made = pair()
    assert not isinstance(prepare(made, NOW_MS), tuple)
    return made


def standing(exit_usd: float = 0.0, expected_usd: float = 0.5) -> Standing:
    return Standing(notional_usd=1_000.0, exit_usd=exit_usd, expected_usd=expected_usd)


def reason(made: Pair, stands: Standing | None, stop_loss_bps: float = 50.0) -> str | None:
    wish = exit_wish(made, stands, stop_loss_bps=stop_loss_bps)
    if wish is None:
        return None
    assert wish.patient == wish.reason.startswith(("target", "funding flip", "edge decay"))
    return wish.reason


def with_rates(made: Pair, long_rate: float, short_rate: float) -> Pair:
    for view, rate in ((made.long.funding, long_rate), (made.short.funding, short_rate)):
        assert view.stream is not None
        view.stream = msgspec.structs.replace(view.stream, rate_per_hour=rate)
    prepare(made, NOW_MS)
    return made


def test_a_trade_that_keeps_paying_is_kept() -> None:
    assert reason(prepared(), standing()) is None
    assert reason(prepared(), standing(-1.0)) is None


@pytest.mark.parametrize("leg", ["long", "short"])
def test_a_reduce_only_market_is_left(leg: str) -> None:
    made = prepared()
    facts = ONE if leg == "long" else TWO
    getattr(made, leg).refresh(market(facts, status=MarketStatus.REDUCE_ONLY))
    assert reason(made, standing()) == f"{facts.key} is reduce-only"
    assert reason(made, None) == f"{facts.key} is reduce-only", "it needs no figures"


def test_the_stop_loss_is_in_bps_of_the_notional_and_counts_the_way_out() -> None:
    made = prepared()
    assert reason(made, standing(-4.999)) is None
    found = reason(made, standing(-5.0))
    assert found is not None
    assert found.startswith("stop-loss: -50.0 bps")
    assert reason(made, standing(-5.0), stop_loss_bps=51.0) is None


def test_what_was_expected_is_taken_once_it_is_made() -> None:
    made = prepared()
    assert reason(made, standing(0.49)) is None
    found = reason(made, standing(0.5))
    assert found is not None
    assert found.startswith("target")
    assert reason(made, standing(0.0, expected_usd=0.0)) is None, "nothing made is no target reached"
    assert reason(made, standing(0.01, expected_usd=-1.0)) is not None


def test_funding_that_turns_against_us_ends_the_trade() -> None:
    made = with_rates(prepared(), 2e-4, -2e-4)
    assert made.prepared is not None
    assert made.prepared.carry_bps < 0
    made.basis_target_bps = made.mid_basis_bps()
    found = reason(made, standing())
    assert found is not None
    assert found.startswith("funding flip")


def test_a_basis_below_its_usual_level_ends_a_trade_whose_carry_does_not_make_up_for_it() -> None:
    made = prepared()
    assert made.prepared is not None
    carry = made.prepared.carry_bps
    made.basis_target_bps = made.mid_basis_bps() + 2 * carry - 0.1
    assert reason(made, standing()) is None
    made.basis_target_bps = made.mid_basis_bps() + 2 * carry + 0.1
    found = reason(made, standing())
    assert found is not None
    assert found.startswith("edge decay: holding on is worth -0.1")


def test_what_lies_ahead_is_carry_and_half_the_way_to_the_usual_basis() -> None:
    made = prepared()
    assert made.prepared is not None
    made.basis_target_bps = made.mid_basis_bps() - 8
    assert further_bps(made) == pytest.approx(made.prepared.carry_bps + 4)
    made.basis_target_bps = None
    assert further_bps(made) == made.prepared.carry_bps
    made.prepared = None
    assert further_bps(made) is None


def test_without_figures_only_the_facts_speak() -> None:
    made = with_rates(prepared(), 2e-4, -2e-4)
    assert reason(made, None) is None, "nobody there to trade with"
    made.prepared = None
    assert reason(made, standing()) is None
    assert reason(made, standing(-9.0)) is not None

"""The simulator's constants against what was recorded of the venue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twinleg_sims.extended import facts


def test_a_recorded_trade_id_is_made_from_its_time() -> None:
    assert facts.snowflake(1_790_425_440_252, worker=1, sequence=2) == 2_103_822_896_206_974_978


def test_the_recorded_synthetic_id_of_bitcoin() -> None:
    assert facts.synthetic_id("BTC", 6) == "0x4254432d3600000000000000000000"


@given(st.integers(1_700_000_000_000, 2_000_000_000_000), st.integers(0, 1023), st.integers(0, 4095))
def test_an_id_carries_its_clock_and_fits_63_bits(at_ms: int, worker: int, sequence: int) -> None:
    made = facts.snowflake(at_ms, worker, sequence)
    assert (made >> 22) + facts.SNOWFLAKE_EPOCH_MS == at_ms
    assert made < 1 << 63

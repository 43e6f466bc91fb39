"""Orders of markets that their venue has not listed since the start: nothing is sent or read, and nothing breaks."""

from __future__ import annotations

import pytest
from tiny_venue import ETH, TinyWorld

from twinleg.core.orders import OrderRejected, Purpose, Side
from twinleg.runtime.listed import Listed, NotListedError


def test_markets_are_there_as_they_are_listed() -> None:
    facts = {}
    listed = Listed(facts)
    with pytest.raises(NotListedError, match="tiny:ETH is not listed yet"):
        listed["tiny:ETH"]
    assert "tiny:ETH" not in listed
    facts["tiny:ETH"] = ETH
    assert listed["tiny:ETH"] is ETH
    assert (list(listed), len(listed)) == (["tiny:ETH"], 1)


async def test_a_restart_before_the_listing_neither_sends_nor_reads_nor_fails() -> None:
    """The first listing may fail for a while, and trades of before go on after their wait for books."""
    async with TinyWorld() as world:
        world.gate._markets = world.gate._prepared._markets = Listed({})
        world.gate.expect(world.intent(1))
        world.gate.query(world.intent(1).client_id, world.clock.wall_ms())
        world.gate.cancel(world.intent(1).client_id, world.clock.wall_ms())
        exit_order = world.intent(2, reduce_only=True, purpose=Purpose.EXIT, side=Side.SELL)
        world.gate.prepare(exit_order, world.clock.wall_ms())
        [news] = await world.submit(exit_order)
        assert isinstance(news, OrderRejected)
        assert news.reason == f"not sent: {ETH.key} is not listed yet"
        assert "sent" not in [step for step, *_ in world.wire.history]
        assert world.gate.failure is None

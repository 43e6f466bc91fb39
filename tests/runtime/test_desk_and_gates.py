"""The desk over real gates: what it gets ready and gives back, and what the operator lets it do."""

from __future__ import annotations

from pathlib import Path

import pytest
from trading_world import FORTH
from two_venues import running, venues

from market_samples import TWO
from twinleg.core.guard import Approved
from twinleg.core.messages import BookLost
from twinleg.core.orders import State
from twinleg.core.records import Control

pytestmark = pytest.mark.usefixtures("leaves_nothing")


async def test_an_entry_that_is_called_off_gives_its_lanes_back(tmp_path: Path) -> None:
    async with venues() as site, running(tmp_path, site) as made:
        made.opens()
        made.engine.on_market([BookLost(TWO.key, "gap", made.clock.mono_ns())])
        await made.quiet()
        assert made.states == [State.CLOSED]
        assert not site.sent("one")
        await made.lives(1)
        made.opens()
        await made.lives(1)
        assert made.states == [State.CLOSED, State.HEDGED]
        assert made.gates["one"].prepared_used == 1, "its lane was free to be held again"


async def test_what_the_operator_paused_stays_paused_over_restarts(tmp_path: Path) -> None:
    async with venues() as site:
        async with running(tmp_path, site) as made:
            assert isinstance(made.engine.propose(FORTH, 200.0), Approved)
            assert await made.desk.control(Control.PAUSED, "dinner") is None
        async with running(tmp_path, site) as made:
            refused = made.engine.propose(FORTH, 200.0)
            assert isinstance(refused, tuple)
            assert [(one.code, one.detail) for one in refused] == [("paused", "by the operator: dinner")]
            assert await made.desk.control(Control.RUNNING, "back") is None
            assert isinstance(made.engine.propose(FORTH, 200.0), Approved)

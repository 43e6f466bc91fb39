"""What keeps entries from being opened on real accounts: each reason alone, and none when all is well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest
from simulated import SimDice
from tiny_venue import VENUE, TinyWorld

from trade_samples import plan
from twinleg.core.board import Board
from twinleg.core.ledger import Ledger
from twinleg.core.messages import FeedHealth, StreamState
from twinleg.core.orders import Side
from twinleg.core.records import NumberingBegun, TradePlanned
from twinleg.core.trading import ExecutionSeen, FeesSeen, Incident
from twinleg.runtime.accounts import BALANCE_MISSED_MAX, INCIDENT_MS, Accounts, Upkeep
from twinleg.runtime.reconcile import Terms
from twinleg.runtime.streams import Doors

pytestmark = pytest.mark.usefixtures("leaves_nothing")

BALANCE_EVERY_MS = 10_000
DAY_MS = 86_400_000


class Fence:
    def __init__(self) -> None:
        self.why: str | None = None
        self.released = False

    def lost(self) -> str | None:
        return self.why

    def release(self) -> None:
        self.released = True


class Desk:
    """Takes the number that a journal's trades begin with."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def hear(self, event: object) -> None:
        raise AssertionError(event)

    async def number_from(self, first_number: int) -> None:
        self.ledger.apply(NumberingBegun(first_number=first_number, at_ms=1))


class Office:
    """One account at the tiny venue. `open` when nothing stands in the way."""

    def __init__(self, world: TinyWorld, ledger: Ledger) -> None:
        self.world, self.ledger, self.fence = world, ledger, Fence()
        terms = Terms(grace_ms=1_000, every_ms=5_000, stale_ms=DAY_MS, net_delta_max_usd=100.0)
        upkeep = Upkeep(balance_every_ms=BALANCE_EVERY_MS, reconcile=terms, leverage_of=lambda asset: 3.0)
        board = Board(lambda asset: cast("Any", None), lambda asset, one, other: True)
        books = cast("Any", type("Books", (), {"ledger": ledger}))
        doors = Doors(cast("Any", world.wire), world.clock, SimDice())
        self.accounts = Accounts(board, books, doors, upkeep, lambda *_: None)
        world.gate.tell = self.accounts.heard
        self.accounts.take(world.gate, self.fence, cast("Any", None))
        self.accounts.begin(cast("Any", Desk(ledger)))

    async def settle(self) -> Office:
        """All has been told."""
        self.health(StreamState.LIVE)
        self.accounts.heard(FeesSeen(venue=VENUE, market=None, maker_bps=0.0, taker_bps=1.0, at_ms=self.world.now_ms))
        await self.world.gate.read(self.world.trading.balance(self.world.now_ms))
        await self.accounts.reconciler.compare()
        await self.accounts._begin_numbering()
        return self

    def health(self, state: StreamState, reason: str = "") -> None:
        event = FeedHealth(venue=VENUE, stream="account", state=state, reason=reason, at_ms=self.world.now_ms)
        self.accounts._from_stream(self.world.gate, [event])

    @property
    def reasons(self) -> list[str]:
        return [one.code for one in self.accounts.blocked(self.world.now_ms)]


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with TinyWorld() as world:
        made = await Office(world, Ledger()).settle()
        assert made.reasons == []
        yield made


async def test_before_anything_is_told_everything_is_missing() -> None:
    async with TinyWorld() as world:
        assert Office(world, Ledger()).reasons == [
            "reconcile_pending", "numbering", "account_stream", "balance_unknown", "fees_unknown",
        ]  # fmt: skip


@pytest.mark.parametrize("state", [StreamState.DOWN, StreamState.CONNECTING])
async def test_a_stream_that_is_down(office: Office, state: StreamState) -> None:
    office.health(state, "reset by peer")
    assert office.reasons == ["account_stream"]
    office.health(StreamState.LIVE)
    assert office.reasons == []


async def test_a_stream_that_stutters_blocks_nothing(office: Office) -> None:
    office.health(StreamState.DEGRADED, "a frame was not understood")
    assert office.reasons == []


async def test_a_balance_that_was_last_told_long_ago(office: Office) -> None:
    now_ms = office.world.now_ms
    at_most_ms = BALANCE_MISSED_MAX * BALANCE_EVERY_MS
    assert not office.accounts.blocked(now_ms + at_most_ms)
    assert [one.code for one in office.accounts.blocked(now_ms + at_most_ms + 1)] == ["balance_stale"]


async def test_a_balance_that_cannot_be_read_is_not_zero(office: Office) -> None:
    office.world.wire.deaf.add("balance")
    await office.world.gate.read(office.world.trading.balance(office.world.now_ms))
    assert office.accounts.balances[VENUE].equity_usd == 1_000.0


async def test_an_incident_blocks_for_a_while(office: Office) -> None:
    office.accounts.heard(Incident(VENUE, "liquidation", "margin", office.world.now_ms))
    assert office.reasons == ["incident"]
    await office.world.clock.advance(INCIDENT_MS / 1_000)
    office.accounts.heard(msgspec.structs.replace(office.accounts.balances[VENUE], at_ms=office.world.now_ms))
    assert office.reasons == []


async def test_a_lease_that_is_lost(office: Office) -> None:
    office.fence.why = "another process has it"
    assert [(one.code, one.detail) for one in office.accounts.blocked(office.world.now_ms)] == [
        ("lease", "another process has it")
    ]


async def test_close_gives_the_account_back(office: Office) -> None:
    await office.accounts.close()
    assert office.fence.released


# -- numbers -----------------------------------------------------------------------------------------------------------


def filled(trade_id: str) -> ExecutionSeen:
    return ExecutionSeen(
        venue=VENUE, market="tiny:ETH", client_id=f"{trade_id}-long-0", venue_order_id="9", fill_id="f9", side=Side.BUY,
        price_ticks=4_000, size_lots=2, fee_micro_usd=7, forced=None, at_ms=1,
    )  # fmt: skip


async def numbered(ledger: Ledger, *seen: str) -> Office:
    """An account whose venue lists fills of these trades, of a journal that is not ours."""
    world = TinyWorld()
    listed = world.exchange.lists

    def lists(kind: str, client: str | None = None) -> list[Any]:
        (snapshot,) = listed(kind, client)
        rows = tuple(map(filled, seen)) if kind == "fills" else snapshot.rows
        return [msgspec.structs.replace(snapshot, rows=rows)]

    world.exchange.lists = lists  # type: ignore[method-assign]
    return await Office(world, ledger).settle()


async def test_a_new_journal_begins_above_every_number_the_venues_know() -> None:
    office = await numbered(Ledger(), "T9000000")
    assert office.ledger.next_number == 9_000_001
    await office.world.gate.close()


async def test_a_new_journal_on_a_new_account_begins_with_the_minutes_of_this_century() -> None:
    office = await numbered(Ledger())
    assert office.ledger.next_number >= 2
    assert office.ledger.first_number == office.ledger.next_number
    await office.world.gate.close()


async def test_a_restored_older_journal_opens_nothing_and_says_what_to_do() -> None:
    """Even when the orders that gave it away are no longer listed: their names would come again."""
    begun = NumberingBegun(first_number=400, at_ms=1)
    older = Ledger([begun, TradePlanned(at_ms=2, plan=plan(trade_id="T000400"), terms={})])
    office = await numbered(older, "T000403")
    assert "numbering" in office.reasons
    del office.world.exchange.lists  # type: ignore[attr-defined]  # the venue lists what is there from now on
    await office.accounts.reconciler.compare()
    (refusal,) = [one for one in office.accounts.blocked(office.world.now_ms) if one.code == "numbering"]
    assert (refusal.value, refusal.limit) == (403, 401)
    assert "flatten" in refusal.detail
    await office.world.gate.close()

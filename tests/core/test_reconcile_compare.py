"""The comparison: what agrees, what is another's, what cannot be true, and how long it may last."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_samples import ONE, TWO
from trade_samples import Story, plan
from twinleg.core import ledger as ledger_room
from twinleg.core.flattening import name_of
from twinleg.core.ledger import Ledger
from twinleg.core.orders import ExitWanted, Leg, OrderUnknown, PositionRead, Side, client_id
from twinleg.core.reconcile import (
    Finding,
    Kind,
    Listing,
    Patience,
    compare,
    net_deltas_usd,
    position_reads,
    refusals,
    refused_markets,
)
from twinleg.core.records import Resolved, TradePlanned
from twinleg.core.trade import Trade
from twinleg.core.trading import ExecutionSeen, OrderSeen, PositionSeen

ETH = "one:ETH"
LONG, SHORT = "T000001-long-0", "T000001-short-0"
PATIENCE = Patience(grace_ms=5_000, lag_ms=10_000)
NOW_MS = 1_000_000


def story(trade_id: str = "T000001") -> Story:
    return Story(Trade(plan(trade_id=trade_id)))


def hedged(trade_id: str = "T000001") -> Story:
    """12 lots long in one:ETH, 8 short in two:ETH-USD."""
    made = story(trade_id).start()
    return made.takes(f"{trade_id}-long-0", 12, price_ticks=200_000).takes(f"{trade_id}-short-0", 8)


def ledger_of(*stories: Story) -> Ledger:
    ledger = Ledger()
    for one in stories:
        ledger.apply(TradePlanned(plan=one.trade.plan, terms={}, at_ms=0))
        for record in one.records:
            ledger.apply(record)
    return ledger


def position(lots: int, market: str = ETH) -> PositionSeen:
    return PositionSeen("one", market, lots, None, None, None, NOW_MS)


def order(client_id: str | None, *, resting: bool = True) -> OrderSeen:
    return OrderSeen(
        venue="one", market=ETH, client_id=client_id, venue_order_id="o1", side=Side.BUY, size_lots=12, filled_lots=0,
        price_ticks=1, reduce_only=False, resting=resting, reason="", at_ms=NOW_MS,
    )  # fmt: skip


def fill(client_id: str | None, fill_id: str = "f0") -> ExecutionSeen:
    return ExecutionSeen(
        venue="one", market=ETH, client_id=client_id, venue_order_id="o1", fill_id=fill_id, side=Side.BUY,
        price_ticks=1, size_lots=12, fee_micro_usd=0, forced=None, at_ms=NOW_MS,
    )  # fmt: skip


def listing(**changes: Any) -> Listing:
    told = Listing(venue="one", orders=(), fills=(), positions=(), at_ms=NOW_MS)
    return msgspec.structs.replace(told, **changes)


def once(ledger: Ledger, told: Listing, earlier: tuple[Finding, ...] = (), now_ms: int = NOW_MS) -> tuple[Finding, ...]:
    return compare(ledger, [told], earlier, PATIENCE, now_ms)


def later(ledger: Ledger, told: Listing, by_ms: int = 5_000) -> tuple[Finding, ...]:
    """What is found when the venue says the same twice."""
    return once(ledger, told, once(ledger, told), NOW_MS + by_ms)


def kinds(findings: tuple[Finding, ...]) -> list[Kind]:
    return [one.kind for one in findings]


# -- positions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lots", [12, 10, 14])
def test_a_position_within_a_common_lot_is_explained(lots: int) -> None:
    findings = later(ledger_of(hedged()), listing(positions=(position(lots),)))
    assert [(one.kind, one.subject, one.lots) for one in findings] == [(Kind.EXPLAINED, ETH, lots)]
    assert not refusals(findings)
    assert not refused_markets(findings)


@pytest.mark.parametrize("lots", [9, 15, -12])
def test_a_difference_of_a_common_lot_stops_its_market_at_once_and_all_when_it_lasts(lots: int) -> None:
    ledger, told = ledger_of(hedged()), listing(positions=(position(lots),))
    at_once = once(ledger, told)
    assert kinds(at_once) == [Kind.POSITION_DIFFERS]
    assert not refusals(at_once)
    assert list(refused_markets(at_once)) == [ETH]
    assert not refusals(later(ledger, told, 4_999))
    (refusal,) = refusals(later(ledger, told))
    assert (refusal.code, refusal.value) == ("position_differs", lots)


def test_a_position_that_is_not_listed_is_flat_where_the_listing_is_complete() -> None:
    findings = once(ledger_of(hedged()), listing())
    assert [(one.kind, one.lots) for one in findings] == [(Kind.POSITION_DIFFERS, 0)]


def test_a_failed_listing_is_not_flat() -> None:
    findings = once(ledger_of(hedged()), listing(positions=None, trouble=("positions: 503",)))
    assert [(one.kind, one.detail) for one in findings] == [(Kind.UNREAD, "one did not answer: positions: 503")]


def test_a_failed_listing_settles_nothing() -> None:
    ledger = ledger_of(hedged())
    found = once(ledger, listing(positions=(position(0),)))
    found = once(ledger, listing(positions=None, trouble=("positions: 503",)), found, NOW_MS + 1_000)
    assert kinds(found) == [Kind.POSITION_DIFFERS, Kind.UNREAD]
    assert not position_reads(ledger, found, NOW_MS)
    found = once(ledger, listing(positions=(position(0),)), found, NOW_MS + 5_000)
    assert [(one.kind, one.lasting) for one in found] == [(Kind.POSITION_DIFFERS, True)]


def test_the_venues_lists_have_their_time_after_our_last_fill() -> None:
    made = story().later(NOW_MS - 1).start()
    made.takes(LONG, 12).takes(SHORT, 8)
    ledger, told = ledger_of(made), listing(positions=(position(0),))
    found = once(ledger, told)
    for by_ms, lasting in ((5_000, False), (14_998, False), (14_999, True)):
        (one,) = once(ledger, told, found, NOW_MS + by_ms)
        assert one.lasting is lasting, by_ms


@pytest.mark.parametrize(("lots", "kind"), [(0, Kind.EXPLAINED), (12, Kind.EXPLAINED), (15, Kind.POSITION_DIFFERS)])
def test_what_is_in_flight_may_have_filled_or_not(lots: int, kind: Kind) -> None:
    findings = once(ledger_of(story().start()), listing(positions=(position(lots),), at_ms=0))
    assert kinds(findings) == [kind]


def test_fills_that_the_venue_told_of_but_we_have_not_seen_are_in_flight() -> None:
    made = story().start().fills(LONG, 3).ends(LONG, 9)
    for lots, kind in ((3, Kind.EXPLAINED), (9, Kind.EXPLAINED), (12, Kind.POSITION_DIFFERS)):
        assert kinds(once(ledger_of(made), listing(positions=(position(lots),), at_ms=0))) == [kind]


def test_reducing_orders_in_flight_are_counted_downwards() -> None:
    made = hedged()
    made.tell(ExitWanted("T000001", "test", made.at_ms))
    for lots, kind in ((0, Kind.EXPLAINED), (12, Kind.EXPLAINED), (-3, Kind.POSITION_DIFFERS)):
        assert kinds(once(ledger_of(made), listing(positions=(position(lots),), at_ms=0))) == [kind]


def test_a_position_where_no_trade_is_is_external() -> None:
    findings = later(ledger_of(hedged()), listing(positions=(position(12), position(5, "one:BTC"))))
    assert kinds(findings) == [Kind.EXTERNAL_POSITION, Kind.EXPLAINED]
    assert not refusals(findings)
    assert list(refused_markets(findings)) == ["one:BTC"]


def test_what_a_closed_trade_left_behind_is_external() -> None:
    made = hedged()
    made.tell(ExitWanted("T000001", "test", made.at_ms))
    made.takes("T000001-long-1", 12).takes("T000001-short-1", 8)
    assert made.trade.finished
    assert kinds(later(ledger_of(made), listing(positions=(position(3),)))) == [Kind.EXTERNAL_POSITION]
    assert not once(ledger_of(made), listing())


def test_two_trades_in_one_market_add_up() -> None:
    ledger = ledger_of(hedged(), hedged("T000002"))
    assert kinds(once(ledger, listing(positions=(position(24),)))) == [Kind.EXPLAINED]
    assert kinds(once(ledger, listing(positions=(position(12),)))) == [Kind.POSITION_DIFFERS]


# -- what the machine hears --------------------------------------------------------------------------------------------


def test_a_lasting_steady_difference_is_told_to_its_trade() -> None:
    ledger = ledger_of(hedged())
    told = listing(positions=(position(6),))
    assert not position_reads(ledger, once(ledger, told), NOW_MS)
    assert not position_reads(ledger, later(ledger, told, 4_999), NOW_MS)
    assert position_reads(ledger, later(ledger, told), 7) == [PositionRead("T000001", Leg.LONG, 6, 7)]


def test_the_short_leg_is_told_in_its_own_direction() -> None:
    ledger = ledger_of(hedged())
    told = listing(venue="two", positions=(position(-4, "two:ETH-USD"),))
    assert position_reads(ledger, later(ledger, told), 7) == [PositionRead("T000001", Leg.SHORT, 4, 7)]


def test_a_difference_that_still_moves_is_not_told() -> None:
    ledger = ledger_of(hedged())
    found = once(ledger, listing(positions=(position(6),)))
    found = once(ledger, listing(positions=(position(3),)), found, NOW_MS + 6_000)
    assert found[0].lasting
    assert not position_reads(ledger, found, NOW_MS)


def test_nobody_knows_whose_difference_it_is_where_two_trades_share_a_market() -> None:
    ledger = ledger_of(hedged(), hedged("T000002"))
    findings = later(ledger, listing(positions=(position(12),)))
    assert not position_reads(ledger, findings, NOW_MS)
    assert [one.code for one in refusals(findings)] == ["position_differs"]


# -- orders and fills --------------------------------------------------------------------------------------------------


def test_orders_of_others_are_shown_and_left_alone() -> None:
    findings = later(Ledger(), listing(orders=(order(None),), fills=(fill(None),)))
    assert kinds(findings) == [Kind.EXTERNAL_ORDER]
    assert findings[0].detail == "buy 12 lots of one:ETH rest, not ours"
    assert not refusals(findings)


def test_an_order_of_ours_may_rest() -> None:
    assert not once(ledger_of(story().start()), listing(orders=(order(LONG),), positions=None, at_ms=0))[:-1]


def test_an_order_that_was_called_over_and_is_listed_as_open_is_a_contradiction() -> None:
    ledger, told = ledger_of(hedged()), listing(orders=(order(LONG),), positions=(position(12),))
    assert Kind.CONTRADICTED in kinds(once(ledger, told))
    assert not refusals(once(ledger, told))
    assert [one.code for one in refusals(later(ledger, told))] == ["contradicted"]


def test_a_listing_may_hold_orders_that_are_over() -> None:
    told = listing(orders=(order(LONG, resting=False),), positions=(position(12),))
    assert kinds(once(ledger_of(hedged()), told)) == [Kind.EXPLAINED]


def test_a_fill_that_we_have_is_no_news_and_one_that_we_lack_is() -> None:
    ledger = ledger_of(hedged())
    told = listing(fills=(fill(LONG, "f0"), fill(LONG, "f9")), positions=(position(12),))
    findings = later(ledger, told)
    assert [one.subject for one in findings if one.kind is Kind.MISSING_FILL] == [f"{LONG} f9"]
    assert [one.code for one in refusals(findings)] == ["missing_fill"]


def test_the_operators_word_covers_fills() -> None:
    made = story().start()
    ledger = ledger_of(made)
    holding = {"lots": 0, "price_ticks": 1}
    row = {"kind": "resolved/1", "at_ms": 5, "trade_id": "T000001", "long": holding, "short": holding, "reason": "seen"}
    ledger.apply(msgspec.convert(row, Resolved))
    told = listing(fills=(fill(LONG),), at_ms=0)
    assert Kind.MISSING_FILL not in kinds(once(ledger, told))


@pytest.mark.parametrize("stranger", ["T000001-long-7", "T000002-long-0", "nonsense", "T000001-middle-0"])
def test_orders_named_like_ours_that_we_never_made_stop_entries_at_once(stranger: str) -> None:
    ledger = ledger_of(hedged())
    for told in (listing(orders=(order(stranger),)), listing(fills=(fill(stranger),))):
        assert [one.code for one in refusals(once(ledger, told))] == ["foreign_order"]


def test_what_a_flatten_sent_is_nobody_elses() -> None:
    assert not refusals(once(ledger_of(hedged()), listing(fills=(fill(client_id(*name_of(5, 70))),))))


def test_orders_of_trades_that_are_only_in_the_totals_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_room, "CLOSED_KEPT", 0)
    made = hedged()
    made.tell(ExitWanted("T000001", "test", made.at_ms))
    made.takes("T000001-long-1", 12).takes("T000001-short-1", 8)
    ledger = ledger_of(made)
    assert not ledger.trades
    assert not once(ledger, listing(fills=(fill(LONG),)))
    assert kinds(once(ledger, listing(orders=(order(LONG),)))) == [Kind.CONTRADICTED]


def test_a_fate_that_is_open_past_its_deadline_stops_entries_at_once() -> None:
    made = story().start()
    made.tell(OrderUnknown(LONG, "timeout", made.at_ms))
    ledger = ledger_of(made)
    due_ms = made.placed[0].deadline_ms
    assert Kind.FATE_OPEN not in kinds(once(ledger, listing(at_ms=due_ms)))
    told = listing(at_ms=due_ms + 1)
    assert Kind.FATE_OPEN in kinds(once(ledger, told))
    assert {one.code for one in refusals(once(ledger, told))} == {"fate_open"}


# -- all together ------------------------------------------------------------------------------------------------------


@given(
    positions=st.none() | st.integers(-20, 20),
    orders=st.none() | st.lists(st.sampled_from([None, LONG, SHORT, "T000009-long-0"]), max_size=3),
    fills=st.none() | st.lists(st.sampled_from([None, LONG, "T000009-long-0"]), max_size=3),
)
def test_nothing_is_opened_on_what_is_not_clear(
    positions: int | None, orders: list[str | None] | None, fills: list[str | None] | None
) -> None:
    ledger = ledger_of(hedged())
    told = listing(
        positions=None if positions is None else (position(positions),),
        orders=None if orders is None else tuple(order(one) for one in orders),
        fills=None if fills is None else tuple(fill(one) for one in fills),
        trouble=("503",),
    )
    clear = (
        positions is not None
        and abs(positions - 12) < 3
        and orders is not None
        and all(one is None for one in orders)
        and fills is not None
        and "T000009-long-0" not in fills
    )
    # An order on another venue's listing is still ours: that it rests though it is over contradicts all the same.
    assert bool(refusals(later(ledger, told))) is not clear


def test_net_deltas_count_all_venues_in_one_asset() -> None:
    facts = {ONE.key: ONE, TWO.key: TWO}
    prices = {ONE.key: 0.01, TWO.key: 0.00001}
    assert net_deltas_usd({ONE.key: 1_000, TWO.key: -1_000}, facts, prices) == {"PEPE": pytest.approx(10.0 - 5.0)}
    assert net_deltas_usd({ONE.key: 1_000, TWO.key: -1_000}, facts, {ONE.key: 0.01}) == {"PEPE": None}
    assert net_deltas_usd({"one:XYZ": 3}, facts, prices) == {"one:XYZ": None}
    assert net_deltas_usd({}, facts, prices) == {}

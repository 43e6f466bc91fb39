"""The ledger against a slow, obviously correct model, and the journal's rows."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trade_samples import PLAN, Story, hedged, plan
from twinleg.core import ledger as ledger_room
from twinleg.core.ledger import Ledger, LedgerError, Pnl, funding_due, funding_payment
from twinleg.core.messages import FundingSettled, FundingSource
from twinleg.core.orders import ExitWanted, Filled, Leg, OrderStatus, State, trade_id
from twinleg.core.records import (
    Control,
    ControlChanged,
    FillSeen,
    FundingBooked,
    IntentMade,
    JournalRecord,
    NumberingBegun,
    OutcomeSeen,
    RecordError,
    StateChanged,
    TradePlanned,
    decode,
    encode,
    kind_of,
)
from twinleg.core.trade import Trade

HOUR_MS = 3_600_000
PLANNED = TradePlanned(plan=PLAN, terms={"net_bps": 12.5}, at_ms=0)


def booked(leg: Leg, settled_at_ms: int, amount: int) -> FundingBooked:
    return FundingBooked(
        trade_id="t1",
        leg=leg,
        market=PLAN.leg(leg).market,
        rate_per_hour=1e-5,
        interval_hours=1.0,
        price=2000.0,
        amount_micro_usd=amount,
        settled_at_ms=settled_at_ms,
        at_ms=settled_at_ms,
    )


@st.composite
def stories(draw: st.DrawFn) -> list[JournalRecord]:
    """The records of a trade's life: fills at any price and fee, an exit perhaps, and funding between."""
    story = Story().start()
    fees = st.integers(-1_000, 100_000)

    def take(order: str, size: int, prices: st.SearchStrategy[int]) -> None:
        taken = 0
        while taken < size and draw(st.integers(0, 9)):
            part = draw(st.integers(1, size - taken))
            story.at_ms += draw(st.integers(0, 500))
            story.fills(order, part, price_ticks=draw(prices), fee=draw(fees))
            taken += part
        story.ends(order, taken)

    around = {Leg.LONG: st.integers(190_000, 210_000), Leg.SHORT: st.integers(3_900, 4_100)}
    done = 0
    for _ in range(6):
        while done < len(story.placed):
            intent = story.placed[done]
            take(intent.client_id, intent.size_lots, around[intent.leg])
            done += 1
        if story.trade.state is State.HEDGED and draw(st.booleans()):
            story.tell(ExitWanted("t1", "model", story.at_ms))
    instants = draw(st.lists(st.tuples(st.sampled_from(Leg), st.integers(1, 50)), unique=True, max_size=5))
    funding = [booked(leg, hour * HOUR_MS, draw(st.integers(-(10**6), 10**6))) for leg, hour in instants]
    return [PLANNED, *story.records, *funding]


def model_pnl(records: list[JournalRecord], mids: dict[str, Fraction]) -> dict[str, Fraction]:
    """Cash in and out, fill by fill, and what is held at the mid; in quote currency."""
    intents = {one.intent.client_id: one.intent for one in records if isinstance(one, IntentMade)}
    slippage = gross = fees = funding = Fraction(0)
    for record in records:
        if isinstance(record, FillSeen):
            intent, fill = intents[record.fill.client_id], record.fill
            leg_plan = PLAN.leg(intent.leg)
            unit = leg_plan.price_grid.unit * leg_plan.size_grid.unit
            gross -= intent.side.sign * fill.price_ticks * fill.size_lots * unit
            gross += intent.side.sign * fill.size_lots * mids[leg_plan.market] * unit
            slippage += intent.side.sign * (intent.decision_price_ticks - fill.price_ticks) * fill.size_lots * unit
            fees += Fraction(fill.fee_micro_usd, 10**6)
        elif isinstance(record, FundingBooked):
            funding += Fraction(record.amount_micro_usd, 10**6)
    return {"gross": gross, "slippage": slippage, "fees": fees, "funding": funding}


mid_prices = st.fixed_dictionaries(
    {
        PLAN.long.market: st.fractions(180_000, 220_000, max_denominator=2),
        PLAN.short.market: st.fractions(3_800, 4_200, max_denominator=2),
    }
)


@given(records=stories(), mids=mid_prices)
def test_attribution_adds_up_and_matches_the_model(records: list[JournalRecord], mids: dict[str, Fraction]) -> None:
    pnl = Ledger(records).pnl(mids)
    model = model_pnl(records, mids)
    assert pnl.price_micro_usd is not None
    parts = pnl.price_micro_usd + pnl.slippage_micro_usd + pnl.funding_micro_usd - pnl.fees_micro_usd
    assert parts == pnl.equity_change_micro_usd
    assert pnl.fees_micro_usd == model["fees"] * 10**6
    assert pnl.funding_micro_usd == model["funding"] * 10**6
    assert abs(pnl.gross_micro_usd - model["gross"] * 10**6) <= 1, "each leg is rounded once"
    assert abs(pnl.slippage_micro_usd - model["slippage"] * 10**6) <= 1


@given(records=stories(), cut=st.integers(0, 100))
def test_a_restart_at_any_record_gives_the_same_ledger(records: list[JournalRecord], cut: int) -> None:
    whole = Ledger(records)
    journal = [encode(record) for record in records]
    parts = Ledger(decode(row) for row in journal[:cut])
    for row in journal[cut:]:
        parts.apply(decode(row))
    assert parts.trades == whole.trades
    assert parts.positions() == whole.positions()


@given(records=stories())
def test_positions_are_what_the_fills_say(records: list[JournalRecord]) -> None:
    ledger = Ledger(records)
    trade = ledger.trades["t1"].trade
    expected = {PLAN.long.market: trade.held(Leg.LONG), PLAN.short.market: -trade.held(Leg.SHORT)}
    assert ledger.positions() == {market: lots for market, lots in expected.items() if lots}
    assert bool(ledger.open_trades()) == (trade.state is not State.CLOSED)


def test_the_ledgers_trade_is_the_machines() -> None:
    story = hedged()
    ledger = Ledger([PLANNED, *story.records])
    assert ledger.trades["t1"].trade == story.trade
    assert ledger.trades["t1"].terms == {"net_bps": 12.5}


def test_realised_and_unrealised_by_hand() -> None:
    story = Story().start()
    story.takes("t1-long-0", 12, price_ticks=200_100).takes("t1-short-0", 8, price_ticks=4_000)
    ledger = Ledger([PLANNED, *story.records])
    mids = {PLAN.long.market: Fraction(200_600), PLAN.short.market: Fraction(8_001, 2)}
    pnl = ledger.pnl(mids)
    # long 0.0012 at 2001.00, mid 2006.00; short 0.008 at 2000.0, mid 2000.25: +0.006 and -0.002
    assert (pnl.unrealised_micro_usd, pnl.realised_micro_usd) == (6_000 - 2_000, 0)
    # decided at 2000.00 and 2005.0: slippage 0.0012 x 1.00 and 0.008 x 5.0
    assert pnl.slippage_micro_usd == -1_200 - 40_000
    assert pnl.fees_micro_usd == 14
    assert pnl.equity_change_micro_usd == 4_000 - 14
    assert pnl.volume_micro_usd == 2_401_200 + 16_000_000
    story.tell(ExitWanted("t1", "done", 5))
    story.takes("t1-long-1", 12, price_ticks=200_200).takes("t1-short-1", 8, price_ticks=4_002)
    closed = Ledger([PLANNED, *story.records]).pnl({})
    assert closed.realised_micro_usd == closed.gross_micro_usd == 1_200 - 8_000
    assert closed.unrealised_micro_usd == 0


def test_without_a_mid_nothing_is_invented() -> None:
    ledger = Ledger([PLANNED, *hedged().records])
    pnl = ledger.pnl({PLAN.long.market: Fraction(200_000)})
    assert pnl.gross_micro_usd is None
    assert (pnl.unrealised_micro_usd, pnl.price_micro_usd, pnl.equity_change_micro_usd) == (None, None, None)
    assert pnl.fees_micro_usd == 14


def test_unhedged_time_is_counted() -> None:
    story = Story().start().later(200).fills("t1-long-0", 12).later(100).fills("t1-short-0", 4)
    account = Ledger([PLANNED, *story.records]).trades["t1"]
    assert (account.unhedged_since_ms, account.unhedged_ms) == (200, 0)
    story.later(40).fills("t1-short-0", 4).ends("t1-long-0", 12).ends("t1-short-0", 8)
    account = Ledger([PLANNED, *story.records]).trades["t1"]
    assert (account.unhedged_since_ms, account.unhedged_ms, account.hedged_at_ms) == (None, 140, 340)
    story.tell(ExitWanted("t1", "done", story.at_ms))
    story.later(60).takes("t1-long-1", 12).later(25).takes("t1-short-1", 8)
    account = Ledger([PLANNED, *story.records]).trades["t1"]
    assert (account.unhedged_ms, account.hedged_at_ms, account.closed_at_ms) == (165, 340, 425)


def test_the_first_match_of_the_legs_is_remembered() -> None:
    story = Story().later(10).start().takes("t1-long-0", 9).takes("t1-short-0", 6)
    story.later(5).fills("t1-long-0", 3).ends("t1-long-0", 12).takes("t1-long-1", 3)
    ledger = Ledger([PLANNED, *story.records])
    assert (ledger.trades["t1"].trade.state, ledger.trades["t1"].hedged_at_ms) == (State.HEDGED, 10)
    assert (ledger.planned, ledger.applied) == (1, 1 + len(story.records))


def test_old_closed_trades_are_kept_as_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_room, "CLOSED_KEPT", 2)
    ledger = Ledger()
    for number in range(5):
        story = Story(Trade(plan(trade_id=f"t{number}"))).start()
        story.takes(f"t{number}-long-0", 12).ends(f"t{number}-short-0", 0).takes(f"t{number}-long-1", 12)
        ledger.apply(TradePlanned(plan=story.trade.plan, terms={}, at_ms=0))
        for record in story.records:
            ledger.apply(record)
    assert set(ledger.trades) == {"t3", "t4"}
    assert ledger.pnl({}).fees_micro_usd == 5 * 14
    assert ledger.retired_micro_usd == {"one": -3 * 14, "two": 0}
    with pytest.raises(LedgerError, match="t0"):
        ledger.apply(msgspec.structs.replace(booked(Leg.LONG, HOUR_MS, 1), trade_id="t0"))


# --- funding ---


def settled(at_ms: int, rate: float = 1e-5, market: str = PLAN.short.market) -> FundingSettled:
    return FundingSettled(market, rate, 1.0, None, at_ms, FundingSource.STREAM)


def test_positive_rates_are_paid_by_longs() -> None:
    # 0.008 x 2000 x 0.00001 x 1 hour = 0.00016
    args = (8, PLAN.short.size_grid, 2000.0, 1e-5, 1.0)
    assert funding_payment(Leg.SHORT, *args) == 160
    assert funding_payment(Leg.LONG, *args) == -160


def test_funding_is_due_only_for_what_was_held_at_the_instant() -> None:
    story = Story()
    story.at_ms = HOUR_MS + 10
    story.start().takes("t1-long-0", 12).takes("t1-short-0", 8)
    account = Ledger([PLANNED, *story.records]).trades["t1"]
    assert funding_due(account, Leg.SHORT, settled(HOUR_MS), 2000.0, HOUR_MS + 20) is None, "opened after it"
    record = funding_due(account, Leg.SHORT, settled(2 * HOUR_MS + 700), 2000.0, 2 * HOUR_MS + 900)
    assert record is not None
    assert (record.amount_micro_usd, record.settled_at_ms) == (160, 2 * HOUR_MS)
    assert funding_due(account, Leg.LONG, settled(2 * HOUR_MS), 2000.0, 0) is None, "another market"
    ledger = Ledger([PLANNED, *story.records, record])
    again = settled(2 * HOUR_MS + 3)
    assert funding_due(ledger.trades["t1"], Leg.SHORT, again, 2000.0, 0) is None, "booked already"
    assert ledger.pnl({}).funding_micro_usd == 160
    with pytest.raises(LedgerError, match="booked twice"):
        ledger.apply(record)


def test_a_fill_at_the_very_instant_is_held_at_it() -> None:
    story = Story().later(HOUR_MS).start().takes("t1-long-0", 12).takes("t1-short-0", 8)
    account = Ledger([PLANNED, *story.records]).trades["t1"]
    assert account.closed_at_ms is None
    assert account.short.held_at(HOUR_MS) == 8
    assert account.short.held_at(HOUR_MS - 1) == 0


def test_funding_follows_a_position_that_was_closed_since() -> None:
    story = hedged().later(HOUR_MS + 1)
    story.tell(ExitWanted("t1", "done", story.at_ms))
    story.takes("t1-long-1", 12).takes("t1-short-1", 8)
    account = Ledger([PLANNED, *story.records]).trades["t1"]
    assert account.closed_at_ms == HOUR_MS + 1
    assert funding_due(account, Leg.SHORT, settled(HOUR_MS), 2000.0, HOUR_MS + 60_000) is not None
    assert funding_due(account, Leg.SHORT, settled(2 * HOUR_MS), 2000.0, 2 * HOUR_MS) is None


# --- rows ---


def test_every_row_survives_json() -> None:
    records = [PLANNED, *hedged().records, booked(Leg.LONG, HOUR_MS, -5)]
    kinds = {kind_of(record) for record in records}
    assert kinds == {
        "trade_planned/1",
        "intent_made/1",
        "outcome_seen/1",
        "fill_seen/1",
        "funding_booked/1",
        "state_changed/1",
    }
    for record in records:
        assert decode(encode(record)) == record
        assert msgspec.json.decode(encode(record))["kind"] == kind_of(record)


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"{",
        b"[]",
        b'{"kind":"fill_seen/2"}',
        b'{"kind":"outcome_seen/1","trade_id":"t1"}',
        b'{"kind":"outcome_seen/1","at_ms":1,"trade_id":"t1","client_id":"c","status":"done","novelty":1}',
        b'{"kind":"outcome_seen/1","at_ms":1,"trade_id":"t1","client_id":"c","status":"lost"}',
    ],
)
def test_a_row_that_we_cannot_read_is_refused(row: bytes) -> None:
    with pytest.raises(RecordError, match="unreadable journal row"):
        decode(row)


def test_rows_of_version_one_stay_readable() -> None:
    """Written by the first version: never change these, add new ones."""
    row = (
        b'{"kind":"fill_seen/1","at_ms":5,"trade_id":"t1","fill":{"client_id":"t1-long-0","fill_id":"f0",'
        b'"price_ticks":200000,"size_lots":3,"fee_micro_usd":7,"at_ms":5}}'
    )
    assert decode(row) == FillSeen(trade_id="t1", fill=Filled("t1-long-0", "f0", 200_000, 3, 7, 5), at_ms=5)
    row = (
        b'{"kind":"state_changed/1","at_ms":5,"trade_id":"t1","state":"repairing","attempts_spent":1,"due_ms":9,'
        b'"exit_reason":null,"because":"x"}'
    )
    assert decode(row) == StateChanged(
        trade_id="t1",
        state=State.REPAIRING,
        attempts_spent=1,
        due_ms=9,
        exit_reason=None,
        because="x",
        at_ms=5,
    )


def test_records_that_contradict_each_other_are_refused() -> None:
    story = hedged()
    fill = next(one for one in story.records if isinstance(one, FillSeen))
    lost = OutcomeSeen(trade_id="t1", client_id="t1-long-9", status=OrderStatus.DONE, at_ms=1)
    for bad, match in ((PLANNED, "planned twice"), (fill, "recorded twice"), (lost, "no order")):
        with pytest.raises(LedgerError, match=match):
            Ledger([PLANNED, *story.records, bad])
    with pytest.raises(LedgerError, match="unknown trade"):
        Ledger([fill])


def test_sums_of_profit_stay_unknown_when_a_part_is() -> None:
    known, unknown = Pnl(gross_micro_usd=5, fees_micro_usd=1), Pnl(gross_micro_usd=None, fees_micro_usd=2)
    assert (known + unknown).gross_micro_usd is None
    assert (known + unknown).fees_micro_usd == 3
    assert (known + known).equity_change_micro_usd == 8


def test_the_operators_word_is_kept_and_belongs_to_no_trade() -> None:
    ledger = Ledger()
    paused = ControlChanged(control=Control.PAUSED, reason="dinner", at_ms=1)
    assert ledger.apply(decode(encode(paused))) is None
    assert (ledger.control, ledger.planned, ledger.open_trades()) == (paused, 0, [])


def test_trades_are_numbered_from_where_the_journal_says() -> None:
    ledger = Ledger([NumberingBegun(first_number=467_000, at_ms=1)])
    assert ledger.next_number == ledger.first_number == 467_000
    plan = msgspec.structs.replace(PLAN, trade_id=trade_id(467_000))
    ledger.apply(TradePlanned(plan=plan, terms={}, at_ms=2))
    assert ledger.next_number == 467_001
    with pytest.raises(LedgerError, match="after the first trade"):
        ledger.apply(NumberingBegun(first_number=468_000, at_ms=3))

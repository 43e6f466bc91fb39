"""What is held, traded and earned, from real journal files: the answers, and the commands as processes."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

import msgspec
import pytest
from cli_process import twinleg

from journal_samples import closed, hedged, planned, state, written
from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED
from twinleg.cli.pnl import PnlAnswer
from twinleg.cli.positions import PositionsAnswer, held, unhedged
from twinleg.cli.trades import TradesAnswer
from twinleg.core.ledger import Ledger
from twinleg.core.messages import Refusal
from twinleg.core.operations import Answer, Asked, AskStatus, Declined, FindingShown, Status
from twinleg.core.orders import State
from twinleg.core.records import JournalRecord
from twinleg.core.story import Story
from twinleg.runtime.control import listening
from twinleg.runtime.journal_file import JournalFile

DAY_MS = 86_400_000
TWO_TRADES = [*closed("T000001"), *hedged("T000002")]


def journal(folder: Path, records: list[JournalRecord] = TWO_TRADES) -> Path:
    """The journal of the data folder that commands look at by default."""
    return written(folder / "data", records)


def answered(folder: Path, *arguments: str) -> str:
    """What a command prints, after it succeeded and left the journal's folder as it was."""
    before = {one.name: one.read_bytes() for one in (folder / "data").iterdir()}
    done = twinleg(folder, *arguments)
    assert (done.returncode, done.stderr) == (OK, "")
    assert {one.name: one.read_bytes() for one in (folder / "data").iterdir()} == before
    return done.stdout


def test_trades_open_and_closed(tmp_path: Path) -> None:
    journal(tmp_path)
    both = msgspec.json.decode(answered(tmp_path, "trades", "--json"), type=TradesAnswer, strict=True)
    assert ([one.trade_id for one in both.trades], both.open, both.closed) == (["T000001", "T000002"], 1, 1)
    for option, wanted in (("--open", ["T000002"]), ("--closed", ["T000001"])):
        answer = msgspec.json.decode(answered(tmp_path, "trades", option, "--json"), type=TradesAnswer)
        assert [one.trade_id for one in answer.trades] == wanted
        assert (answer.open, answer.closed) == (1, 1)
    text = answered(tmp_path, "trades", "--last", "1")
    assert "T000002" in text
    assert "T000001" not in text
    assert twinleg(tmp_path, "trades", "--open", "--closed").returncode == BAD_CONFIGURATION


def test_explain_tells_all_of_a_trade(tmp_path: Path) -> None:
    journal(tmp_path)
    text = answered(tmp_path, "explain", "T000001")
    for said in (
        "T000001: ETH, closed",
        "long  lighter:ETH: 1 planned, 0 held, decided at 100",
        "T000001-long-0 (enter): buy 1 of lighter:ETH at 100.01 or better, +1.0 bps from the decision at 100",
        "T000001-long-0 filled 1 at 100.01 after 0.0s: slippage -1.0 bps, -0.0100 $; fee -0.0250 $",
        "T000001-long-0 is done",
        "funding +0.0100 $ on the short leg",
        "reduce-only",
        "closed: test",
        "Unhedged: 0.0s in all, 2 times",
        "Left because: target: made enough",
    ):
        assert said in text, f"{said}\n{text}"
    times = [line.split()[0] for line in text.partition("What happened")[2].partition("Unhedged")[0].splitlines()[1:-1]]
    assert times == sorted(times)
    told = msgspec.json.decode(answered(tmp_path, "explain", "1", "--json"), type=Story, strict=True)
    assert (told.trade_id, told.terms[-1].realised_usd) == ("T000001", 0.2)


@pytest.mark.parametrize("named", ["T000003", "3", "999999999999", "x\x1b[2J"])
def test_explain_of_a_trade_that_is_not_there(tmp_path: Path, named: str) -> None:
    journal(tmp_path)
    done = twinleg(tmp_path, "explain", named)
    assert done.returncode == BAD_CONFIGURATION
    assert "has no trade" in done.stderr
    assert "\x1b" not in done.stderr


def test_pnl_adds_up_however_it_is_grouped(tmp_path: Path) -> None:
    journal(tmp_path)
    totals = set()
    for by, groups in (
        ("day", ["1970-01-01"]),
        ("venue", ["extended", "lighter"]),
        ("trade", ["T000001", "T000002"]),
        ("asset", ["ETH"]),
    ):
        answer = msgspec.json.decode(answered(tmp_path, "pnl", "--by", by, "--json"), type=PnlAnswer, strict=True)
        assert [one.group for one in answer.rows] == groups
        assert sum(one.net_usd for one in answer.rows) == pytest.approx(answer.total.net_usd, abs=1e-9)
        for one in answer.rows:
            parts = one.price_usd + one.slippage_usd + one.funding_usd - one.fees_usd
            assert parts == pytest.approx(one.net_usd, abs=1e-9)
        totals.add(answer.total.net_usd)
    assert totals == {0.16}
    assert "1 open trades count at what they cost" in answered(tmp_path, "pnl")


def test_pnl_by_day_in_utc_and_since(tmp_path: Path) -> None:
    late = [msgspec.structs.replace(one, at_ms=one.at_ms + DAY_MS) for one in closed("T000002")]
    moved = [
        msgspec.structs.replace(one, fill=msgspec.structs.replace(one.fill, at_ms=one.fill.at_ms + DAY_MS))  # type: ignore[union-attr]
        if hasattr(one, "fill")
        else msgspec.structs.replace(one, settled_at_ms=one.settled_at_ms + DAY_MS)
        if hasattr(one, "settled_at_ms")
        else one
        for one in late
    ]
    journal(tmp_path, [*closed("T000001"), *moved])
    rows = list(csv.DictReader(answered(tmp_path, "pnl", "--csv").splitlines()))
    assert [(one["day"], one["net_usd"]) for one in rows] == [("1970-01-01", "0.200000"), ("1970-01-02", "0.200000")]
    assert rows[0] | {"day": ""} == {
        "day": "",
        "price_usd": "0.000000",
        "slippage_usd": "0.290000",
        "funding_usd": "0.010000",
        "fees_usd": "0.100000",
        "net_usd": "0.200000",
        "volume_usd": "401.110000",
    }
    since = list(csv.DictReader(answered(tmp_path, "pnl", "--csv", "--since", "1970-01-02").splitlines()))
    assert since == rows[1:]


@pytest.mark.parametrize(
    "arguments", [["--by", "hour"], ["--since", "yesterday"], ["--since", "2026-13-01"], ["--csv", "--json"]]
)
def test_pnl_of_what_makes_no_sense(tmp_path: Path, arguments: list[str]) -> None:
    journal(tmp_path)
    done = twinleg(tmp_path, "pnl", *arguments)
    assert done.returncode == BAD_CONFIGURATION
    assert done.stdout == ""


def test_positions_from_the_journal_alone(tmp_path: Path) -> None:
    journal(tmp_path)
    answer = msgspec.json.decode(answered(tmp_path, "positions", "--json"), type=PositionsAnswer, strict=True)
    assert answer.engine is None
    assert "no engine runs here" in answer.said
    assert [(one.market, one.size, one.average_price, one.trades) for one in answer.positions] == [
        ("extended:ETH-USD", -1.0, 100.2, ("T000002",)),
        ("lighter:ETH", 1.0, 100.01, ("T000002",)),
    ]
    assert {one.venue_lots for one in answer.positions} == {None}
    assert answer.unhedged == ()
    assert "no engine runs here" in answered(tmp_path, "positions")


def engine_says(seen: dict[str, int] | None) -> Status:
    return Status(
        mode="live",
        at_ms=1,
        control="running",
        control_reason="",
        control_at_ms=None,
        blocked=(),
        findings=(FindingShown(kind="position", venue="extended", subject="x", detail="it differs", lasting=True),),
        venues=(),
        trades=(),
        positions=seen,
    )


@pytest.mark.parametrize("seen", [{"lighter:ETH": 1_000, "extended:ETH-USD": -900}, None])
async def test_positions_beside_a_running_engine(tmp_path: Path, seen: dict[str, int] | None) -> None:
    journal(tmp_path)

    async def perform(asked: Asked) -> Answer:
        assert isinstance(asked, AskStatus)
        return engine_says(seen)

    async with listening(tmp_path / "data", perform):
        done = await asyncio.to_thread(twinleg, tmp_path, "positions", "--json")
        text = await asyncio.to_thread(twinleg, tmp_path, "positions")
    answer = msgspec.json.decode(done.stdout, type=PositionsAnswer, strict=True)
    assert (answer.engine, answer.findings) == ("live", ("position: it differs",))
    shown = {one.market: (one.lots, one.venue_lots, one.difference_lots) for one in answer.positions}
    if seen is None:
        assert set(shown.values()) == {(1_000, None, None), (-1_000, None, None)}
        assert "has not seen both venues' positions" in text.stdout
    else:
        assert shown == {"lighter:ETH": (1_000, 1_000, 0), "extended:ETH-USD": (-1_000, -900, 100)}
        assert "+100" in text.stdout


async def test_an_engine_that_declines_is_no_answer(tmp_path: Path) -> None:
    journal(tmp_path)

    async def perform(_asked: Asked) -> Answer:
        return Declined(refusals=(Refusal("busy", "others ask"),))

    async with listening(tmp_path / "data", perform):
        done = await asyncio.to_thread(twinleg, tmp_path, "positions")
    assert done.returncode == OK
    assert "did not say what the venues show" in done.stdout


def test_positions_of_several_trades_and_what_the_venues_show() -> None:
    ledger = Ledger([*hedged("T000001"), *hedged("T000002"), *planned("T000003")])
    extended, lighter, foreign = sorted(
        held(ledger, {"lighter:ETH": 2_000, "extended:ETH-USD": -1_900, "lighter:BTC": 5}),
        key=lambda one: (not one.asset, one.market),
    )
    assert (lighter.lots, lighter.venue_lots, lighter.difference_lots) == (2_000, 2_000, 0)
    assert (extended.lots, extended.venue_lots, extended.difference_lots) == (-2_000, -1_900, 100)
    assert (foreign.market, foreign.lots, foreign.venue_lots, foreign.trades) == ("lighter:BTC", 0, 5, ())


def test_a_leg_alone_is_unhedged() -> None:
    one_leg = [*hedged("T000001")[:4], state("T000001", State.REPAIRING, 11)]
    (found,) = unhedged(Ledger(one_leg).open_trades())
    assert (found.asset, found.trades, found.usd) == ("ETH", ("T000001",), 100.0)


@pytest.mark.parametrize("command", [["positions"], ["trades"], ["explain", "1"], ["pnl"]])
def test_a_journal_that_cannot_be_read(tmp_path: Path, command: list[str]) -> None:
    none = twinleg(tmp_path, *command)
    assert (none.returncode, none.stdout) == (BAD_CONFIGURATION, "")
    assert "not there" in none.stderr
    journal(tmp_path, [*planned("T000001"), *planned("T000001")])
    wrong = twinleg(tmp_path, *command)
    assert (wrong.returncode, wrong.stdout) == (REFUSED, "")
    assert "planned twice" in wrong.stderr


def test_a_journal_in_use_is_read(tmp_path: Path) -> None:
    journal(tmp_path)
    writer = JournalFile.open_for_writing(tmp_path / "data")
    try:
        answer = json.loads(twinleg(tmp_path, "trades", "--json").stdout)
        assert answer["closed"] == 1
    finally:
        writer.close()

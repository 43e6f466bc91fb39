"""A journal folded again: attribution per trade and in all, from a file that is only read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from journal_samples import closed, hedged, planned, written
from twinleg.cli.exits import BAD_CONFIGURATION, REFUSED, CommandError
from twinleg.cli.replay import ReplayAnswer, replay, run_replay
from twinleg.runtime.journal_file import JournalFile


def test_a_closed_trade_adds_up(tmp_path: Path) -> None:
    answer = replay(written(tmp_path, closed("T000001")), last=50)
    (one,) = answer.trades
    assert (answer.planned, answer.open, answer.closed) == (1, 0, 1)
    assert (one.state, one.hedged_at_ms, one.closed_at_ms, one.unhedged_ms) == ("closed", 12, 4_000_000, 2)
    assert (one.long_lots, one.short_lots, one.orders) == (0, 0, 4)
    assert one.exit_reason == "target: made enough"
    money = one.money
    assert money == answer.money
    # Long bought at 100.01 and sold at 100.50, short sold at 100.20 and bought at 100.40, four fees of 2.5 cents.
    assert money.net_usd == pytest.approx(0.49 - 0.20 + 0.01 - 0.10)
    assert money.price_usd is not None
    assert money.price_usd + money.slippage_usd + money.funding_usd - money.fees_usd == pytest.approx(money.net_usd)
    assert money.fees_usd == pytest.approx(0.10)
    assert money.funding_usd == pytest.approx(0.01)


def test_what_is_still_held_has_no_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, hedged("T000001"))
    answer = replay(path, last=50)
    assert answer.open == 1
    assert answer.money.net_usd is None
    assert answer.trades[0].long_lots == 1_000
    run_replay(path, 50, as_json=False)
    assert "what is still held has no price here" in capsys.readouterr().out


def test_totals_are_of_all_trades_and_the_list_of_the_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [record for number in range(1, 6) for record in closed(f"T{number:06d}")]
    path = written(tmp_path, records)
    answer = replay(path, last=2)
    assert [one.trade_id for one in answer.trades] == ["T000004", "T000005"]
    assert answer.records == len(records)
    assert answer.money.net_usd == pytest.approx(5 * 0.20)
    run_replay(path, 2, as_json=False)
    assert "3 earlier trades are in the totals only" in capsys.readouterr().out


def test_json_is_typed_and_a_folder_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, closed("T000001"))
    run_replay(tmp_path, 50, as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert msgspec.json.decode(line, type=ReplayAnswer, strict=True) == replay(tmp_path, 50)


def test_a_journal_in_use_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, closed("T000001"))
    writer = JournalFile.open_for_writing(tmp_path)
    before = path.read_bytes()
    assert replay(path, 50).closed == 1
    assert path.read_bytes() == before
    writer.close()


def test_no_journal_is_a_matter_of_the_path(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not there") as caught:
        replay(tmp_path / "nothing", 50)
    assert caught.value.code == BAD_CONFIGURATION


def test_a_journal_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [*planned("T000001"), *planned("T000001")])
    with pytest.raises(CommandError, match="planned twice") as caught:
        replay(path, 50)
    assert caught.value.code == REFUSED

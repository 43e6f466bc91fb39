"""Plain lines: one per change, and none without."""

from __future__ import annotations

import msgspec
from cli_glances import EDGE, NOW_MS, glance, opportunity, trade

from twinleg.cli.changes import Changes, summary
from twinleg.core.glance import Glance
from twinleg.core.messages import FeedHealth, Refusal, StreamState


def later(seconds: float, **changes: object) -> Glance:
    return glance(at_ms=NOW_MS + int(seconds * 1_000), **changes)


def told() -> Changes:
    """Changes that have told the first glance, with summaries far away."""
    changes = Changes(3_600_000)
    changes.since_last(glance())
    return changes


def test_nothing_new_is_no_line() -> None:
    assert told().since_last(later(30)) == []


def test_the_first_glance_tells_venues_feeds_open_trades_and_the_best_pair() -> None:
    found = Changes(1_000).since_last(glance())
    events = sorted(change.event for change in found)
    assert events == ["best", "feed", "feed", "trade_resumed", "trade_resumed", "venue", "venue"]
    times = [change.at_ms for change in found]
    assert times == sorted(times), "told in the order it happened"


def test_a_trade_is_told_from_its_opening_to_its_end() -> None:
    changes = Changes(3_600_000)
    changes.since_last(glance(trades=()))
    (opened,) = changes.since_last(later(1, trades=(trade(state="entering"),)))
    assert opened.event == "trade_opened"
    (hedged,) = changes.since_last(later(2, trades=(trade(state="hedged"),)))
    assert hedged.event == "trade_hedged"
    closed = trade(state="closed", closed_ms=NOW_MS + 3_000, exit_reason="target: enough")
    (ended,) = changes.since_last(later(3, trades=(closed,)))
    assert ended.event == "trade_closed"
    assert "net +0.3815 $ = price +0.4567 slippage -0.0312 funding +0.0185 fees -0.0625" in ended.text
    assert "target: enough" in ended.text


def test_a_settlement_is_told_with_what_was_booked() -> None:
    (booked,) = told().since_last(later(1, trades=(trade(funding_usd=0.0285), *glance().trades[1:])))
    assert booked.event == "settlement"
    assert "funding +0.0100 $ booked, +0.0285 $ in all" in booked.text


def test_a_feed_is_told_when_its_state_or_reason_changes() -> None:
    changes = told()
    back = FeedHealth("extended", "books-0", StreamState.LIVE, "", NOW_MS + 500)
    (change,) = changes.since_last(later(1, feeds=(glance().feeds[0], back)))
    assert (change.event, change.text, change.at_ms) == ("feed", "extended books-0 is live", NOW_MS + 500)


def test_the_best_pair_is_told_when_it_or_its_reasons_change_but_not_too_often() -> None:
    changes = told()
    refused = (opportunity(refusals=(EDGE,)),)
    assert changes.since_last(later(1, ranking=refused)) == []  # told 1 s ago
    (reasons,) = changes.since_last(later(6, ranking=refused))
    assert reasons.event == "best_refusals"
    assert reasons.text.endswith("edge 3.21 (limit 5)")
    (other,) = changes.since_last(later(12, ranking=(opportunity("BTC"),)))
    assert other.event == "best"
    assert other.text.endswith("executable")


def test_no_entries_is_told_and_their_return_too() -> None:
    changes = told()
    (blocked,) = changes.since_last(later(1, blocked=(Refusal("journal", "disk\nfull"),)))
    assert blocked.text == "no entries: journal: disk?full"
    (allowed,) = changes.since_last(later(2))
    assert allowed.text == "entries are allowed again"


def test_the_summary_comes_at_its_interval() -> None:
    changes = Changes(120_000)
    changes.since_last(glance())
    assert changes.since_last(later(119)) == []
    (performance,) = changes.since_last(later(120))
    assert performance.event == "performance"
    assert changes.since_last(later(180)) == []


def test_the_summary_names_everything_it_must() -> None:
    text = summary("end", glance()).text
    for part in (
        "after 1h02m", "found 1,234", "executed 17", "open 2", "closed 14", "volume 123,457 $", "net +4.78 $",
        "price +12.34", "slippage -1.23", "funding +0.4500", "fees -6.78", "best edge +31.4 bps", "p50 48 us",
        "p99 391 us", "edge 54,321", "exposure 3",
    ):  # fmt: skip
        assert part in text


def test_every_change_is_json() -> None:
    for change in [*Changes(1).since_last(glance()), summary("end", glance())]:
        decoded = msgspec.json.decode(msgspec.json.encode(change))
        assert set(decoded) == {"event", "at_ms", "text", "data"}

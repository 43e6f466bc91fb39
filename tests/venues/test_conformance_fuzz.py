"""Damaged frames, for every venue: a feed never raises, tells only sane events, and is right again once it is well.

2,000 damaged frames per venue in the normal run; TWINLEG_SOAK_FRAMES sets another number.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinleg.core.messages import BookDelta, BookSnapshot, FundingPredicted, FundingSettled, Stats, TradePrint
from venues.battery import Case, Line, cases, fresh_server, join, listed

FRAMES = int(os.environ.get("TWINLEG_SOAK_FRAMES", "2000"))
FRAMES_PER_EXAMPLE = 20
TOKENS = [
    b"null", b"-1", b"0", b"1e400", b"-0.0", b"NaN", b"9" * 400, b'"', b"\\", b'"\\ud800"', b"\xff", b"\xe2\x82", b"[",
    b"]", b"{", b"}", b"{}", b"[]", b",", b":", b"true", b'"0"', b'"-5"', b'"1e9"', b".", b"\x00", b'"\\u0000"',
    b"update", b"[[" * 3000,
]  # fmt: skip


def damages() -> st.SearchStrategy[list[tuple[str, float, float, bytes]]]:
    """(kind, where, how much, what): positions are fractions of the frame."""
    place = st.floats(0, 1, exclude_max=True)
    one = st.tuples(
        st.sampled_from(["cut", "drop", "put", "over", "twice", "flip"]), place, place, st.sampled_from(TOKENS)
    )
    return st.lists(one, min_size=1, max_size=3)


def damaged(frame: bytes, changes: list[tuple[str, float, float, bytes]]) -> bytes:
    for kind, where, share, token in changes:
        at = int(where * len(frame))
        end = min(len(frame), at + 1 + int(share * 12))
        frame = {
            "cut": lambda f, at, end, t: f[:at],
            "drop": lambda f, at, end, t: f[:at] + f[end:],
            "put": lambda f, at, end, t: f[:at] + t + f[at:],
            "over": lambda f, at, end, t: f[:at] + t + f[end:],
            "twice": lambda f, at, end, t: f[:end] + f[at:],
            "flip": lambda f, at, end, t: f[:at] + bytes([f[at] ^ 1 << end % 8]) + f[at + 1 :] if f else f,
        }[kind](frame, at, end, token)  # fmt: skip
    return frame


def healthy(line: Line, turn: int) -> list[bytes]:
    """The frames of one moment, none of them delivered yet."""
    one, other = line.by_key.values()
    frames = [
        line.change(one.symbol, [(990, turn + 1), (991, 0)], [(1010, turn + 2)]),
        line.change(other.symbol, [(1000, turn + 3)], []),
    ]
    if line.case.venue.capabilities.trades:
        frames.append(line.server.trade(one.symbol, ("1000", "1"), 6000 + turn, taker_buys=True))
    return frames + line.server.stats(one.symbol, "1000.5", "1000", line.now_ms) + line.server.strange()


def assert_sane(event: object) -> None:
    """Whatever a damaged frame says, these are impossible."""
    match event:
        case BookSnapshot() | BookDelta():
            assert all(type(price) is int and price > 0 for price, _ in event.bids + event.asks)
            assert all(type(lots) is int and lots >= 0 for _, lots in event.bids + event.asks)
        case TradePrint():
            assert event.price_ticks > 0
            assert event.size_lots >= 0
        case Stats():
            prices = (event.mark_price, event.index_price, event.open_interest_usd)
            assert all(price is None or 0 < price < float("inf") for price in prices)
        case FundingPredicted() | FundingSettled():
            assert abs(event.rate_per_hour) <= 0.05


def fuzz(case: Case, frames: int) -> None:
    """Damage `frames` frames, each among healthy ones. No exception, only sane events, and right again afterwards."""
    markets = [listed(case)[symbol] for symbol in case.open_symbols]

    @settings(max_examples=max(1, frames // FRAMES_PER_EXAMPLE), suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run(data: st.DataObject) -> None:
        line = join(case, server=fresh_server(case))
        for turn in range(FRAMES_PER_EXAMPLE):
            if line.feed.broken is not None:
                line.reopen()
                line.recover()
            moment = healthy(line, turn)
            victim = data.draw(st.integers(0, len(moment) - 1))
            moment[victim] = damaged(moment[victim], data.draw(damages()))
            for event in line.push(*moment):
                assert_sane(event)
        line.reopen()
        line.recover()
        assert [line.books[market.key] for market in markets] == [line.truth(market.key) for market in markets]

    run()


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.venue.name)
def test_damaged_frames_never_hurt_more_than_themselves(case: Case) -> None:
    fuzz(case, FRAMES)


@pytest.mark.soak
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.venue.name)
def test_many_damaged_frames_do_not_either(case: Case) -> None:
    fuzz(case, max(FRAMES, 100_000))

"""The benchmark's traffic is right, and memory stays flat under it."""

from __future__ import annotations

import os

import pytest
from bench.__main__ import steady
from bench.frames import ExtendedWriter, LighterWriter, updates
from bench.ours import feed_for

from twinleg.core.book import Book
from twinleg.core.messages import BookDelta, BookSnapshot

MARKETS = 3


@pytest.mark.parametrize("venue", ["lighter", "extended", "robinhood"])
def test_prepared_frames_are_taken_without_a_gap_and_leave_the_writers_book(venue: str) -> None:
    writer = ExtendedWriter(MARKETS, 7) if venue == "extended" else LighterWriter(MARKETS, 7)
    feed = feed_for(venue, 1, MARKETS)
    feed.opened(0)
    books = {key: Book(key) for key in feed.markets}
    frames = [writer.snapshot(number) for number in range(MARKETS)] + list(updates(writer, MARKETS, 600, 7))
    for frame in frames:
        for event in feed.received(frame, 0, 0):
            assert isinstance(event, BookSnapshot | BookDelta)
            change = books[event.market].snapshot if isinstance(event, BookSnapshot) else books[event.market].delta
            change(event.bids, event.asks, event.venue_ms, event.received_ns)
    assert (feed.bad_frames, feed.unknown_words, feed.broken) == (0, 0, None)
    for book, walk in zip(books.values(), writer.walks, strict=True):
        assert (book.bids, book.asks) == (walk.bids, walk.asks)
        assert not book.crossed


@pytest.mark.soak
def test_memory_stays_flat() -> None:
    """8,000 messages a second over 400 books for ten minutes (SOAK_SECONDS).

    The ten-minute windows of 400 pairs' bases alone take 8 MB to fill, half of it in the second half: that and nothing
    else may be added there.
    """
    seconds = int(os.environ.get("SOAK_SECONDS", "600"))
    found = steady(seconds)
    memory = found["rss_mb_over_time"]
    early, late = max(memory[len(memory) // 2 : len(memory) // 2 + 12]), max(memory[-12:])
    assert found["bad_frames"] == 0
    assert late < 250, found
    assert late - early < 8, memory

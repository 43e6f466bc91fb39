"""What judging costs: one changed book with its own pairs, and a full scan of 100 assets on 3 venues."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from bench.frames import BookWalk, market
from bench.ours import engine_for
from twinleg.core.edge import screen
from twinleg.core.messages import BookDelta, BookSnapshot

VENUES = ("lighter", "extended", "robinhood")
ASSETS, CHANGES, RUNS = 100, 20_000, 7


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine, journal = await engine_for([(venue, ASSETS) for venue in VENUES], Path(folder))
        board, clock = engine.board, engine.clock
        for venue in VENUES:
            for number in range(ASSETS):
                walk = BookWalk(random.Random(f"{venue}{number}"))
                bids, asks = list(walk.bids.items()), list(walk.asks.items())
                board.apply(BookSnapshot(market(venue, number).key, bids, asks, clock.wall_ms(), clock.mono_ns()))
        now_ms, now_ns = clock.wall_ms(), clock.mono_ns()
        board.review(now_ms, now_ns)
        walk = BookWalk(random.Random("lighter0"))
        deltas = [BookDelta(market("lighter", 0).key, *walk.change(), now_ms, now_ns) for _ in range(CHANGES)]
        one, scan, review = [], [], []
        for _ in range(RUNS):
            began = time.process_time_ns()
            for delta in deltas:
                for pair in board.apply(delta):
                    board.look(pair, now_ms, now_ns)
            one.append((time.process_time_ns() - began) / CHANGES / 1_000)
            began = time.process_time_ns()
            for pair in board.pairs.values():
                screen(pair)
            scan.append((time.process_time_ns() - began) / 1e6)
            began = time.process_time_ns()
            now_ns += 1_000_000_000  # a round is due once a second
            board.review(now_ms, now_ns)
            review.append((time.process_time_ns() - began) / 1e6)
        await journal.close()
    print(
        json.dumps(
            {
                "one changed book, applied, with its 4 pairs (us)": statistics.median(one),
                f"full scan, {len(board.pairs)} pairs, bounds (ms)": statistics.median(scan),
                f"full review, {len(board.pairs)} pairs, all terms, best 20 walked (ms)": statistics.median(review),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())

"""python -m twinleg_selftest --seeds 20: does the product keep its rules whatever goes wrong? Exit code 0 = it did."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from twinleg_selftest.page import page
from twinleg_selftest.trial import Outcome, run_seeds

CHUNK = 10
PAGE_SEEDS = 400


def main() -> int:
    """Run the trials, a line each; then the totals. A failing seed prints its story and is run again with --seed."""
    parser = argparse.ArgumentParser(prog="python -m twinleg_selftest", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many trials (10)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed (1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes to run them in (1)")
    parser.add_argument("--story", action="store_true", help="tell every trial's story")
    parser.add_argument("--json", action="store_true", help="one JSON object a trial")
    parser.add_argument("--faults-page", action="store_true", help=f"print docs/FAULTS.md, of {PAGE_SEEDS} seeds")
    options = parser.parse_args()
    if options.faults_page:
        print(page(_run(1, PAGE_SEEDS, options.jobs)), end="")
        return 0
    began, outcomes = time.monotonic(), []
    for outcome in _run(options.seed, options.seeds, options.jobs):
        outcomes.append(outcome)
        if options.json:
            print(json.dumps(outcome.told(story=options.story)), flush=True)
        else:
            _tell(outcome, story=options.story)
        outcome.story.clear()
    broken = [outcome.seed for outcome in outcomes if outcome.violations]
    if not options.json:
        faults, crashes = sum(one.faults for one in outcomes), sum(one.crashes for one in outcomes)
        trades, halted = sum(one.trades for one in outcomes), sum(bool(one.halts) for one in outcomes)
        print(
            f"{len(outcomes)} seeds, {faults} faults, {crashes} crashes, {trades} trades, {halted} seeds with a halt: "
            f"{len(broken)} broken {broken or ''}; {time.monotonic() - began:.0f} s"
        )
    return 1 if broken else 0


def _run(first: int, count: int, jobs: int) -> Iterator[Outcome]:
    """The outcomes in the order of their seeds."""
    chunks = ((start, min(CHUNK, first + count - start)) for start in range(first, first + count, CHUNK))
    if jobs <= 1:
        for chunk in chunks:
            yield from _chunk(*chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        under_way = deque(pool.submit(_chunk, *chunk) for chunk in islice(chunks, 2 * jobs))
        while under_way:
            yield from under_way.popleft().result()
            under_way.extend(pool.submit(_chunk, *chunk) for chunk in islice(chunks, 1))


def _chunk(first: int, count: int) -> list[Outcome]:
    return run_seeds(first, count, lambda _: None)


def _tell(outcome: Outcome, *, story: bool) -> None:
    verdict = "ok" if not outcome.violations else "VIOLATED"
    print(
        f"seed {outcome.seed}: {verdict}; {outcome.faults} faults, {outcome.crashes} crashes, "
        f"{outcome.trades} trades, {outcome.fills} fills, {outcome.seconds:.0f} s, {outcome.steps} steps",
        flush=True,
    )
    told = outcome.story if story else outcome.story[-60:] if outcome.violations else []
    for line in [*told, *outcome.violations]:
        print(f"    {line}")


if __name__ == "__main__":
    sys.exit(main())

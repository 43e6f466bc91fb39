"""python -m twinleg_selftest --seeds 20: does the product keep its rules whatever goes wrong? Exit code 0 = it did."""

from __future__ import annotations

import argparse
import json
import sys
import time

from twinleg_selftest.trial import STORM_S, Outcome, run_seeds


def main() -> int:
    """Run the trials, a line each; then the totals. A failing seed prints its story and is run again with --seed."""
    parser = argparse.ArgumentParser(prog="python -m twinleg_selftest", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many trials (10)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed (1)")
    parser.add_argument("--seconds", type=float, default=STORM_S, help="virtual seconds of storm in each trial")
    parser.add_argument("--crashes", type=float, default=6.0, help="crashes in each trial, about (6)")
    parser.add_argument("--story", action="store_true", help="tell every trial's story")
    parser.add_argument("--json", action="store_true", help="one JSON object a trial")
    options = parser.parse_args()
    began = time.process_time()

    def told(outcome: Outcome) -> None:
        if options.json:
            print(json.dumps(outcome.told(story=options.story)), flush=True)
            return
        verdict = "ok" if not outcome.violations else "VIOLATED"
        print(
            f"seed {outcome.seed}: {verdict}; {outcome.faults} faults, {outcome.crashes} crashes, "
            f"{outcome.trades} trades, {outcome.fills} fills, {outcome.funding} settlements, {outcome.steps} steps",
            flush=True,
        )
        story = outcome.story if options.story else outcome.story[-60:] if outcome.violations else []
        for line in [*story, *outcome.violations]:
            print(f"    {line}")

    outcomes = run_seeds(options.seed, options.seeds, told, seconds=options.seconds, crashes=options.crashes)
    broken = [outcome.seed for outcome in outcomes if outcome.violations]
    if not options.json:
        faults, crashes = sum(one.faults for one in outcomes), sum(one.crashes for one in outcomes)
        print(
            f"{len(outcomes)} seeds, {faults} faults, {crashes} crashes, {sum(one.trades for one in outcomes)} trades: "
            f"{len(broken)} broken {broken or ''}; {time.process_time() - began:.0f} s of CPU"
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

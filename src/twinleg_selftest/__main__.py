"""python -m twinleg_selftest --seeds 20: does the product keep its rules whatever goes wrong? Exit code 0 = it did."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import asdict

from twinleg_selftest.trial import Outcome, run_seeds


def main() -> int:
    """Run the trials, a line each; then the totals. A failing seed prints its story and is run again with --seed."""
    parser = argparse.ArgumentParser(prog="python -m twinleg_selftest", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many trials (10)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed (1)")
    parser.add_argument("--assets", type=int, default=4, help="assets in the world (4)")
    parser.add_argument("--seconds", type=float, default=200.0, help="virtual seconds of each trial (200)")
    parser.add_argument("--crashes", type=int, default=3, help="crashes in each trial (3)")
    parser.add_argument("--json", action="store_true", help="one JSON object a trial")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what goes wrong is the point; the story says what matters
    began = time.process_time()

    def told(outcome: Outcome) -> None:
        if options.json:
            print(json.dumps(asdict(outcome)), flush=True)
            return
        verdict = "ok" if not outcome.violations else "VIOLATED"
        print(
            f"seed {outcome.seed}: {verdict}; {outcome.faults} faults, {outcome.crashes} crashes, "
            f"{outcome.trades} trades, {outcome.fills} fills, {outcome.funding} settlements, {outcome.steps} steps",
            flush=True,
        )
        for line in [*outcome.story[-40:], *outcome.violations] if outcome.violations else []:
            print(f"    {line}")

    outcomes = run_seeds(
        options.seed, options.seeds, told, assets=options.assets, seconds=options.seconds, crashes=options.crashes
    )
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

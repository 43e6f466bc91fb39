"""The simulated venues as `python -m twinleg_sims` serves them, with two things more for those who look from outside.

Extended tells its funding estimate every two seconds instead of every minute, so that a new engine may soon trade; and
every write that arrives at a venue is a JSON line in the file that WATCHED_WRITES names.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from twinleg_sims.__main__ import main
from twinleg_sims.extended import facts
from twinleg_sims.extended.core import ExtendedCore
from twinleg_sims.lighter.core import LighterCore
from twinleg_sims.protocol import HttpReply, HttpRequest

ESTIMATE_EVERY_MS = 2_000


def watched(core: Any, path: Path) -> None:
    """Every write that gets past the faults is noted, whatever its answer will be."""
    answer = core.http

    def http(self: Any, request: HttpRequest, now_ms: int) -> HttpReply:
        if request.method != "GET":
            line = {"venue": self.name, "path": request.path, "body": request.body.decode(), "at_ms": now_ms}
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        reply: HttpReply = answer(self, request, now_ms)
        return reply

    core.http = http


if __name__ == "__main__":
    facts.FUNDING_ESTIMATE_INTERVAL_MS = ESTIMATE_EVERY_MS
    for one in (LighterCore, ExtendedCore):
        watched(one, Path(os.environ["WATCHED_WRITES"]))
    sys.exit(main())

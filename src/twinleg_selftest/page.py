"""docs/FAULTS.md: what becomes of trades when things go wrong, as a run of many seeds counted it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from twinleg.core.orders import State
from twinleg_selftest.trial import Outcome
from twinleg_sims.fault_kinds import KINDS

OF_THE_WORLD = {
    "crash": "the process dies, at an await or at a durable write, and is started again",
    "refused": "an order's connection is refused: nothing leaves",
    "lost_request": "an order is lost on its way, and nobody answers",
    "reset_before": "an order's connection breaks before it arrives",
    "late_request": "an order's connection breaks, and it arrives all the same, up to 9 s later",
    "lost_ack": "an order arrives, and its answer is lost",
    "reset_after": "an order arrives, and its connection breaks before the answer",
    "late_ack": "an order's answer comes up to 6 s late",
    "late_message": "a stream message comes up to 2.5 s late, and all behind it",
    "stream_reset": "a stream breaks",
    "stream_refused": "a stream cannot be opened",
    "half_open": "a stream looks open and carries nothing any more, either way",
    "clock_jump": "our wall clock jumps by up to 3 s, and is set right again",
    "stall": "the machine stands still for up to 2.5 s while the world goes on",
    "disk_full": "the disk takes nothing for up to 4 s",
    "disk_slow": "a commit takes up to 1.5 s",
}
STRUCK = (State.PLANNED, State.ENTERING, State.HEDGED, State.EXITING, State.REPAIRING, State.HALTED)
ENDS = ((State.CLOSED, "closed"), (State.HEDGED, "hedged"), (State.HALTED, "halted"))
HEAD = """# What goes wrong, and what becomes of it

Written by `python -m twinleg_selftest --faults-page` (`make faults`), from seeds {first} to {last}: {faults} faults,
{crashes} crashes, {trades} trades with {fills} fills, {forced} of them forced by a venue. The rules of
`src/twinleg_selftest/rules.py` held in {kept} of {seeds} seeds. A seed replays exactly: `twinleg selftest --seed 7`.

Each cell counts the trades that stood so when the fault struck, anywhere, by how they ended: closed + hedged + halted.
A trade counts with every fault that it met. Faults come far more often than in life here, and several at once.
"""


def page(outcomes: Iterable[Outcome]) -> str:
    """The page as Markdown."""
    ran = list(outcomes)
    totals = {
        name: sum(getattr(one, name) for one in ran) for name in ("faults", "crashes", "trades", "fills", "forced")
    }
    kept = sum(not one.violations for one in ran)
    head = HEAD.format(first=ran[0].seed, last=ran[-1].seed, seeds=len(ran), kept=kept, **totals)
    return "\n".join([head, *_faults(ran), "", *_halts(ran, totals["trades"])]) + "\n"


def _faults(ran: list[Outcome]) -> Iterator[str]:
    met: Counter[tuple[str, str, str]] = Counter()
    hits: Counter[str] = Counter()
    for one in ran:
        met.update(one.met)
        hits["crash"] += one.crashes
        for name, times in one.kinds.items():
            hits[name.partition(" ")[2]] += times
    yield "| fault | hits | " + " | ".join(state.value for state in STRUCK) + " |"
    yield "|---|---|" + "---|" * len(STRUCK)
    for kind in sorted(hits):
        cells = [_cell([met[kind, state.value, end.value] for end, _ in ENDS]) for state in STRUCK]
        yield f"| {kind}: {meaning(kind)} | {hits[kind]} | " + " | ".join(cells) + " |"


def meaning(kind: str) -> str:
    """What a client sees of it."""
    name = kind.removesuffix(" (read)")
    told = OF_THE_WORLD.get(name) or re.sub(r" \(shown by the core\)|; value = .*", "", KINDS[name])
    return told.replace("an order", "a read") if kind != name else told


def _cell(counts: list[int]) -> str:
    return " + ".join(map(str, counts)) if any(counts) else ""


def _halts(ran: list[Outcome], trades: int) -> Iterator[str]:
    """Every halt is told to the operator, with its reason."""
    reasons = Counter(re.sub(r"\d+|\b(long|short)\b", "..", why) for one in ran for why in one.halts.values())
    seeds = sum(bool(one.halts) for one in ran)
    yield "## Why trades halted"
    yield ""
    yield f"{sum(reasons.values())} of {trades} trades halted, in {seeds} of {len(ran)} seeds, each with an alert: what"
    yield "is not certain when the attempts are spent is left to the operator, never guessed."
    yield ""
    yield "| because | trades |"
    yield "|---|---|"
    for why, times in reasons.most_common():
        yield f"| {why} | {times} |"

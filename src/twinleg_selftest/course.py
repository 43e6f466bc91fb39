"""What goes wrong at the venues in one trial: which faults, when, for how long. All by dice."""

from __future__ import annotations

from random import Random

from twinleg_sims.fault_kinds import OF_MARKETS, ONCE, PRIVATE_KINDS
from twinleg_sims.faults import FaultRequest

LIGHTER_ONLY = frozenset(kind for kind, text in PRIVATE_KINDS.items() if text.endswith("(Lighter)"))
UNUSED = frozenset({"oversized", "lost_request", "late_request", "late_ack", "slow"})
"""Of no use here: a megabyte of book, and what the network does by itself."""
WEIGHTS = {
    # the private side, most of it once: what is armed strikes the next that it can
    "lost_ack": 3, "error_ack": 3, "write_429": 1, "reject": 3, "ignored": 1, "engine_reject": 4, "partial_fill": 6,
    "cancel_refused": 2, "cancel_race": 3, "duplicate_fill": 5, "late_fill": 6, "lost_event": 8, "account_silence": 3,
    "rest_lag": 5, "liquidate": 2, "deleverage": 2, "halted": 3, "reduce_only": 2, "funding_flip": 1, "key_revoked": 1,
    "maintenance": 1, "refused_ack": 2, "nonce_taken": 1, "foreign_trade": 1, "null_lists": 2, "already_subscribed": 1,
    "shutdown": 1, "token_expired": 1,
    # the public side
    "gap": 3, "duplicate": 3, "reorder": 3, "garbage": 2, "off_tick": 1, "nan": 1, "exponent": 1, "disconnect": 3,
    "silence": 2, "stale_book": 2, "extra_field": 2, "http_429": 2, "http_500": 2, "http_html": 2, "clock_offset": 1,
    "vanish": 1, "crossed": 2, "unknown_word": 1,
}  # fmt: skip
SECONDS_MAX = {
    "vanish": 3.0, "unknown_word": 3.0, "clock_offset": 5.0, "http_429": 2.0, "key_revoked": 2.0, "write_429": 1.5,
}  # fmt: skip
EVERY_S = 0.95
VALUES = {
    "lost_event": ("gap", "silent"),
    "cancel_race": ("all", "half"),
    "garbage": ("bytes", "truncated", "utf8", "html"),
    "http_429": ("json", "html"),
    "partial_fill": ("0", "10", "50", "90"),
    "late_fill": ("500", "2000", "6000"),
    "rest_lag": ("1000", "4000", "9000"),
    "clock_offset": ("-4000", "400", "4000"),
}


def faults_of(
    dice: Random, markets: dict[str, list[str]], until_s: float, rough: float
) -> list[tuple[float, FaultRequest]]:
    """When, and what. `markets`: the symbols of every venue; `rough` times as much as usual."""
    kinds = [kind for kind in WEIGHTS if kind not in UNUSED]
    weights = [WEIGHTS[kind] for kind in kinds]
    found = []
    at_s = dice.expovariate(rough / EVERY_S)
    while at_s < until_s:
        kind = dice.choices(kinds, weights)[0]
        venue = "lighter" if kind in LIGHTER_ONLY else dice.choice(("lighter", "extended"))
        market = dice.choice(markets[venue]) if kind in OF_MARKETS and dice.random() < 0.5 else ""
        for_s = None if kind in ONCE else round(dice.uniform(0.3, SECONDS_MAX.get(kind, 6.0)), 2)
        value = dice.choice(VALUES[kind]) if kind in VALUES else ""
        found.append((at_s, FaultRequest(kind=kind, venue=venue, market=market, for_s=for_s, value=value)))
        at_s += dice.expovariate(rough / EVERY_S)
    return found

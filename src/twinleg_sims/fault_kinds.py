"""The fault alphabet: every kind with what a client sees of it."""

from __future__ import annotations

PUBLIC_KINDS = {
    "gap": "a book update is left out",
    "duplicate": "a book update comes twice",
    "reorder": "two book updates change places",
    "garbage": "a frame is broken: value = bytes, truncated, utf8 or html",
    "off_tick": "a price in a book update lies between two ticks",
    "nan": "a price in a book update is NaN",
    "exponent": "a price in a book update is written 6.4e4",
    "disconnect": "every stream is closed; value = the WebSocket code",
    "silence": "streams stay open, nothing comes, not even pings",
    "stale_book": "book frames stop, all others go on",
    "extra_field": "every message has a field nobody knows",
    "http_429": "requests are refused; value = json or html",
    "http_500": "requests fail",
    "http_html": "requests are answered 200 with a web page",
    "slow": "replies come late; value = milliseconds",
    "clock_offset": "the venue's clock is off; value = milliseconds (shown by the core)",
    "vanish": "a market is not listed any more and falls silent (shown by the core)",
    "crossed": "a book shows a bid above its best ask (shown by the core)",
    "unknown_word": "a market has a status nobody knows (shown by the core)",
    "oversized": "book snapshots are over 1 MiB, and right (shown by the core)",
}

PRIVATE_KINDS = {
    "lost_request": "a write's connection breaks, and it never arrives",
    "late_request": "a write's connection breaks, and it arrives all the same; value = milliseconds later",
    "lost_ack": "a write is done, and its connection breaks",
    "late_ack": "a write is done, and answered late; value = milliseconds",
    "error_ack": "a write is done, and answered 500",
    "write_429": "writes are refused for their number",
    "reject": "an order is refused at the door for want of margin (shown by the core)",
    "ignored": "an order is accepted and nothing ever comes of it (shown by the core)",
    "engine_reject": "an order is accepted, then rejected by the engine (shown by the core)",
    "partial_fill": "an IOC trades only in part; value = percent of it (shown by the core)",
    "cancel_refused": "a cancel is refused, and the order lives (shown by the core)",
    "cancel_race": "an order trades as its cancel arrives: value = all or half of it (shown by the core)",
    "duplicate_fill": "a message of the account stream with fills comes twice (shown by the core)",
    "late_fill": "a message of the account stream with fills comes late; value = milliseconds (shown by the core)",
    "lost_event": "a message of the account stream is lost; value = gap or silent, its number too (shown by the core)",
    "account_silence": "the account stream says nothing, pings go on (shown by the core)",
    "rest_lag": "private reads show how things were; value = milliseconds ago (shown by the core)",
    "liquidate": "the account's positions are liquidated (shown by the core)",
    "deleverage": "the account's positions are taken away at the mark (shown by the core)",
    "halted": "a market takes no orders (shown by the core)",
    "reduce_only": "a market takes reduce-only orders (shown by the core)",
    "funding_flip": "a market's funding has the other sign, from the next minute on (shown by the core)",
    "key_revoked": "the account's keys open nothing (shown by the core)",
    "maintenance": "private requests are refused: maintenance (shown by the core)",
    "refused_ack": "a transaction is refused inside an HTTP 200 (Lighter)",
    "nonce_taken": "somebody else used a key's next nonce (Lighter)",
    "foreign_trade": "the account's trades contain one of others (Lighter)",
    "null_lists": "empty private lists are written as null (Lighter)",
    "already_subscribed": "a subscription is refused as being there already (Lighter)",
    "shutdown": "streams are told that the server restarts, then closed; value = milliseconds ahead (Lighter)",
    "token_expired": "auth tokens open nothing (Lighter)",
}
"""Faults of the private side. Writes are all requests but GET."""

KINDS = PUBLIC_KINDS | PRIVATE_KINDS
"""Every kind, and what a client sees."""

DRIFT_KINDS = KINDS | {
    "tx_dropped": "a transaction is taken by the node and never lands",
    "tx_late": "a transaction lands late; value = slots",
    "tx_failed": "a transaction passes its preflight, lands and fails; value = the program's code",
    "blockhash_expired": "the node knows no blockhash",
    "rpc_lag": "the node is behind; value = milliseconds",
    "keeper_delay": "keepers leave orders alone; value = slots",
    "small_fills": "fills are partial; value = USD of each",
    "amm_off": "a market's AMM trades with nobody",
    "stale_oracle": "a market's oracle is not posted",
    "program_disabled": "the program knows no instruction",
    "funding_skipped": "nobody updates the funding",
}
"""Drift's own besides all the others: a chain can fail in more ways. Seeded courses leave them alone."""

ONCE = frozenset(
    {
        "gap", "duplicate", "reorder", "garbage", "off_tick", "nan", "exponent", "disconnect",
        "lost_request", "late_request", "lost_ack", "late_ack", "error_ack", "ignored", "engine_reject", "cancel_race",
        "duplicate_fill", "late_fill", "lost_event", "reject", "partial_fill", "cancel_refused",
        "liquidate", "deleverage",
        "refused_ack", "nonce_taken", "foreign_trade", "already_subscribed", "shutdown",
        "tx_dropped", "tx_late", "tx_failed",
    }
)  # fmt: skip
"""These hit `count` (1) frames of each open stream, writes, or things of each account, and are over.

The others last for `for_s` or until cleared.
"""

DEFAULT_VALUES = {
    "garbage": "bytes",
    "disconnect": "1006",
    "http_429": "json",
    "slow": "3000",
    "clock_offset": "5000",
    "late_request": "2000",
    "late_ack": "3000",
    "cancel_race": "all",
    "lost_event": "gap",
    "rest_lag": "5000",
    "late_fill": "2000",
    "partial_fill": "50",
    "shutdown": "2000",
    "tx_late": "20",
    "tx_failed": "6003",
    "rpc_lag": "4000",
    "keeper_delay": "25",
    "small_fills": "500",
}
WHOLE_NUMBERS = frozenset(
    {
        "disconnect", "slow", "clock_offset", "late_request", "late_ack", "rest_lag", "late_fill", "partial_fill",
        "shutdown", "tx_late", "tx_failed", "rpc_lag", "keeper_delay", "small_fills",
    }
)  # fmt: skip
OF_MARKETS = frozenset(
    {
        "gap",
        "stale_book",
        "vanish",
        "crossed",
        "unknown_word",
        "ignored",
        "engine_reject",
        "halted",
        "reduce_only",
        "funding_flip",
    }
)
"""A seeded course aims these at one market."""

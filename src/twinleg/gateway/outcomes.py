"""What a venue's answer to an order is over HTTP. One that leaves its fate open is neither a success nor a refusal."""

from __future__ import annotations

from typing import Any

import msgspec

from twinleg.core.trading import KEY_REFUSED, SendVerdict
from twinleg.gateway.problems import Problem
from twinleg.runtime.reads import TOO_MANY_REQUESTS
from twinleg.runtime.sender import Sent

TEXT_CHARS_MAX = 300
RETRY_AFTER_S = 1.0
"""Where nobody says when."""
MARGIN = {"lighter": frozenset({21112, 21301, 21507, 21508, 21739}), "extended": frozenset({1052, 1140})}
NO_SUCH_ORDER = 404
CONFLICTS = {
    "lighter": frozenset({21104, 21600, 21605, 21614, 21717, 21718, 21719, 21720, 21732}),
    "extended": frozenset({1002, 1010, 1014, 1126, 1127, 1136, 1137, 1138, 1142}),
}
"""Codes of refusals for how things stand at the venue, not for what was asked: the same may be taken later."""


def payload_of(sent: Sent) -> Any:
    """What the venue said, as it said it: JSON where it is, else the beginning of its text."""
    if sent.reply is None:
        return None
    try:
        return msgspec.json.decode(sent.reply.body)
    except msgspec.DecodeError:
        return sent.reply.body[:TEXT_CHARS_MAX].decode(errors="replace")


def problem_of(venue: str, sent: Sent, names: dict[str, object]) -> Problem | None:
    """Why a submission is not accepted, None when it is. `names` tell what to look it up by."""
    if sent.verdict is SendVerdict.ACCEPTED:
        return None
    payload = payload_of(sent)
    code = _code(payload)
    more: dict[str, object] = {"venue": venue, **names}
    if payload is not None:
        more |= {"venue_code": code, "payload": payload}
    if sent.exists:
        detail = f"{venue} knows an order of that name already; look it up before another name is tried"
        return Problem(409, "duplicate", detail, more)
    if sent.verdict is SendVerdict.UNKNOWN:
        return _unknown(venue, sent, more)
    if sent.reply is None or sent.reply.status is None:
        if sent.retry_after_s is not None:
            return Problem(429, "rate_limit", sent.reason, more, sent.retry_after_s)
        return Problem(503, "not_sent", f"{venue}: {sent.reason}; nothing was placed", more, RETRY_AFTER_S)
    told = f"{venue} says: {sent.reason}"
    if sent.incident == KEY_REFUSED or sent.reply.status in (401, 403):
        return Problem(502, "venue_auth", f"{told}. The gateway's own key is refused; its keys must be put right", more)
    if sent.retry_after_s is not None or sent.reply.status == TOO_MANY_REQUESTS:
        return Problem(429, "rate_limit", told, more, sent.retry_after_s or RETRY_AFTER_S)
    if code == NO_SUCH_ORDER:
        return Problem(404, "no_such_order", told, more)
    if code in MARGIN[venue]:
        return Problem(409, "margin", told, more)
    if code in CONFLICTS[venue]:
        return Problem(409, "venue_conflict", told, more)
    return Problem(400, "venue_rejected", told, more)


def _unknown(venue: str, sent: Sent, more: dict[str, object]) -> Problem:
    more = {**more, "outcome": "unknown"}
    ask = "look it up by its name before anything else is sent"
    if sent.reply is not None and sent.reply.status == TOO_MANY_REQUESTS:
        detail = f"{venue} refuses for rate, and does not say whether it took the order: {ask}"
        return Problem(429, "rate_limit", detail, more, sent.retry_after_s or RETRY_AFTER_S)
    return Problem(504, "outcome_unknown", f"{venue} may have it or not ({sent.reason}): {ask}", more)


def _code(payload: Any) -> int | None:
    """The venue's own number of a refusal: Lighter's at the top, Extended's in its error."""
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    found = error.get("code") if isinstance(error, dict) else payload.get("code")
    return found if isinstance(found, int) else None

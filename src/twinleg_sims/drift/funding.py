"""Funding: the hourly rate, and what positions owe."""

from __future__ import annotations

from twinleg_sims.drift import amm, errors, events, positions
from twinleg_sims.drift.call import Call
from twinleg_sims.drift.errors import ProgramError
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.words import BASE

HOUR_S = 3600
LATE_S = 1200
_RATE_BUFFER = 1000
_CLAMP_DIVISORS = {0: 33, 1: 33, 2: 20}
_CLAMP_DIVISOR = 10
_RATE_TO_QUOTE = BASE * 1000


def next_due(last_ts: int) -> int:
    """When funding may be updated after an update: at the next full hour, one later if that was 20 min late or more."""
    hour = last_ts // HOUR_S * HOUR_S
    late = last_ts - hour > LATE_S
    return hour + HOUR_S * (2 if late else 1)


def update(call: Call, market: Record) -> None:
    """Set a market's rate for the hour. Raises ProgramError when it is too early."""
    now = call.clock.ts
    if now < next_due(market["last_funding_rate_ts"]):
        raise ProgramError(errors.FUNDING_NOT_UPDATED)
    oracle = call.price(market)
    amm.update(market, oracle, call.clock.slot, now)
    amm.update_mark(market, amm.bid_price(market), amm.ask_price(market), now)
    funding_rate = rate(market, call.profile.funding_offset_divisor)
    for name in ("last_funding_rate", "last_funding_rate_long", "last_funding_rate_short"):
        market[name] = funding_rate
    market["cumulative_funding_rate_long"] += funding_rate
    market["cumulative_funding_rate_short"] += funding_rate
    market["last_funding_rate_ts"] = now
    record = market["next_funding_rate_record_id"]
    market["next_funding_rate_record_id"] = record + 1
    events.funding_rate_record(call, market, record, funding_rate)


def rate(market: Record, offset_divisor: int) -> int:
    """An hour's rate of the averages: QUOTE per base, 1e9."""
    oracle = market["last_oracle_price_twap"]
    spread = market["last_mark_price_twap"] - oracle + oracle // offset_divisor
    most = oracle // _CLAMP_DIVISORS.get(market["contract_tier"], _CLAMP_DIVISOR)
    return max(-most, min(most, spread)) * _RATE_BUFFER // 24


def settle(call: Call, user_key: bytes, user: Record, market: Record) -> None:
    """Write what a position owes or is owed since it was last touched, with its event."""
    position = positions.perp_position(user, market["market_index"])
    if position is None or not position["base_asset_amount"]:
        return
    base, before = position["base_asset_amount"], position["last_cumulative_funding_rate"]
    now = market["cumulative_funding_rate_long" if base > 0 else "cumulative_funding_rate_short"]
    if now == before:
        return
    owed = (now - before) * base
    payment = -(owed // _RATE_TO_QUOTE) if owed >= 0 else -owed // _RATE_TO_QUOTE
    position["last_cumulative_funding_rate"] = now
    positions.charge(position, -payment)
    rates = (market["cumulative_funding_rate_long"], market["cumulative_funding_rate_short"])
    facts = (market["market_index"], payment, base, before, *rates)
    events.funding_payment_record(call, user_key, user, facts)

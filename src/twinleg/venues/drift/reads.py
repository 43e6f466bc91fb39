"""Drift's public answers: bodies to events. What we cannot trust raises WireError; a bad row loses only itself.

Funding has many units there. All are converted here, once, to a signed fraction per hour, positive = longs pay:

    on chain         quote per base, 1e9, an hour: over the oracle's twap (1e6)
    our prediction   the premium over the oracle's twap, 1/24 of it an hour, as the program computes it
    data API         quote per base in decimals, an hour: over the record's own oraclePriceTwap

No rate may exceed what the program clamps to: one read in the wrong unit is far outside and raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

import msgspec

from twinleg.core.amounts import AmountError, Grid
from twinleg.core.messages import (
    FundingPredicted,
    FundingSettled,
    FundingSource,
    Market,
    MarketEvent,
    MarketsListed,
    MarketStatus,
    VenueClock,
)
from twinleg.core.venue import WireError
from twinleg.venues.drift import facts, wire
from twinleg.venues.drift.chain import layout
from twinleg.venues.drift.chain.keys import address, base58, owned_address
from twinleg.venues.drift.chain.layout import Fees, PerpMarket, SpotMarket
from twinleg.venues.drift.facts import Profile

SECOND_MS = 1_000
PLAUSIBLE_S = range(1_500_000_000, 10_000_000_000)
LISTING_CALLS = 2


class Addresses(msgspec.Struct, frozen=True):
    """The accounts that an order in a market must name: Market.settlement holds them as text."""

    perp_market: bytes
    oracle: bytes
    spot_market: bytes
    spot_oracle: bytes

    @property
    def text(self) -> str:
        return " ".join(map(base58, (self.perp_market, self.oracle, self.spot_market, self.spot_oracle)))

    @classmethod
    def of(cls, market: Market) -> Addresses:
        """Raises ValueError for a market that was not listed by this venue."""
        if market.venue != facts.NAME or market.settlement.count(" ") != 3:
            raise ValueError(f"{market.key} is no market of {facts.NAME}")
        return _addresses(market.settlement)


@lru_cache(maxsize=1024)
def _addresses(text: str) -> Addresses:
    return Addresses(*map(address, text.split(" ")))


def state_address(profile: Profile) -> bytes:
    return owned_address(profile.program_id, profile.state_seed)


def perp_market_address(profile: Profile, index: int) -> bytes:
    return owned_address(profile.program_id, b"perp_market", index.to_bytes(2, "little"))


def spot_market_address(profile: Profile, index: int) -> bytes:
    return owned_address(profile.program_id, b"spot_market", index.to_bytes(2, "little"))


def listing_calls(profile: Profile) -> bytes:
    """One batch: the State and the quote's spot market, then all perp markets."""
    two = [base58(state_address(profile)), base58(spot_market_address(profile, 0))]
    wanted = {"encoding": "base64", "commitment": "confirmed"}
    only = {"filters": [{"memcmp": {"offset": 0, "bytes": base58(layout.PERP_MARKET)}}]}
    return wire.batch(
        [
            wire.call(1, "getMultipleAccounts", two, wanted),
            wire.call(2, "getProgramAccounts", base58(profile.program_id), wanted | only),
        ]
    )


def markets_listed(profile: Profile, body: bytes, now_ms: int) -> list[MarketEvent]:
    """The answer to `listing_calls` -> one MarketsListed. Raises WireError, also when not one market can be read."""
    first, second = wire.results(body, LISTING_CALLS)
    _, (state, quote) = wire.many_accounts(first, 2)
    if state is None or quote is None:
        raise WireError("the program has no State or no quote market here")
    try:
        fees, spot = layout.read_fees(profile.layout, state), layout.read_spot_market(profile.layout, quote)
    except ValueError as error:
        raise WireError(f"{error}"[: wire.ERROR_CHARS_MAX]) from error
    markets: dict[str, Market] = {}
    for pubkey, account in wire.keyed_accounts(second):
        try:
            perp = layout.read_perp_market(profile.layout, wire.content(account))
            market = _market(profile, perp, spot, fees)
            if address(pubkey) != perp.pubkey:
                continue  # an account that says it is another
        except (AmountError, WireError, ValueError):
            continue  # left out: what we cannot read we cannot trade, and the others are unharmed
        markets.setdefault(market.key, market)
    if not markets:
        raise WireError("no perp market among the program's accounts")
    return [MarketsListed(facts.NAME, tuple(markets.values()), now_ms)]


def rates_calls(markets: Mapping[bytes, str]) -> bytes:
    """One batch for the accounts of these markets (address -> key)."""
    wanted = {"encoding": "base64", "commitment": "confirmed"}
    return wire.batch([wire.call(1, "getMultipleAccounts", [base58(each) for each in markets], wanted)])


def funding_now(profile: Profile, markets: Mapping[bytes, str], body: bytes, now_ms: int) -> list[MarketEvent]:
    """The answer to `rates_calls` -> FundingPredicted. Raises WireError; a bad account loses only itself."""
    (only,) = wire.results(body, 1)
    _, accounts = wire.many_accounts(only, len(markets))
    events: list[MarketEvent] = []
    for key, data in zip(markets.values(), accounts, strict=True):
        try:
            if data is None:
                continue
            rate = predicted_rate(profile, layout.read_perp_market(profile.layout, data))
        except (ValueError, WireError):
            continue  # no reading of this market: the others are unharmed, and an old one grows stale by itself
        settles_at_ms = (now_ms // facts.HOUR_MS + 1) * facts.HOUR_MS
        events.append(FundingPredicted(key, rate, settles_at_ms, FundingSource.REST, now_ms))
    return events


def predicted_rate(profile: Profile, perp: PerpMarket) -> float:
    """What the program would charge by its averages as they are, a fraction per hour. Raises WireError."""
    if min(perp.oracle_twap, perp.bid_twap, perp.ask_twap) <= 0:
        raise WireError(f"{perp.name} has no averages yet")
    twap = Fraction(perp.oracle_twap)
    spread = Fraction(perp.bid_twap + perp.ask_twap, 2) - twap
    if perp.funding_slope:
        dead = twap * perp.funding_clamp_bps / 10_000
        beyond = max(abs(spread) - dead, Fraction(0)) * perp.funding_slope / 1_000_000
        spread = beyond if spread > 0 else -beyond
    spread += twap / profile.funding_offset_divisor
    clamp = twap / _clamp_divisor(perp.contract_tier)
    return checked_rate(float(max(-clamp, min(clamp, spread)) / 24 / twap))


def settled_rate(perp: PerpMarket) -> float:
    """The last rate that the program charged, a fraction per hour. Raises WireError."""
    if perp.oracle_twap <= 0:
        raise WireError(f"{perp.name} has no oracle price")
    return checked_rate(float(Fraction(perp.last_funding_rate, 1_000 * perp.oracle_twap)))


def checked_rate(rate: float) -> float:
    """The rate itself. Raises WireError for one that the program could not charge: it is in some other unit."""
    if not abs(rate) <= facts.RATE_PER_HOUR_MAX:
        raise WireError(f"{rate} is no funding rate per hour")
    return rate


def funding_history(key: str, body: bytes, _now_ms: int) -> list[MarketEvent]:
    """The data API's fundingRates -> FundingSettled, oldest first. Raises WireError: a hole in history is not zero."""
    try:
        page = wire.decode_funding(body)
        rows = sorted((wire.decode_funding_row(raw) for raw in page.records), key=lambda row: row.ts)
    except wire.UNREADABLE as error:
        raise WireError(f"no funding history: {error}: {body[:80]!r}") from error
    if not page.success:
        raise WireError("the data API says it has no success")
    events: list[MarketEvent] = []
    for row in rows:
        if row.ts not in PLAUSIBLE_S or not row.oracle_price_twap > 0 or not row.funding_rate.is_finite():
            raise WireError(f"not a funding record: {row!r:.200}")
        events.append(
            FundingSettled(
                market=key,
                rate_per_hour=checked_rate(float(row.funding_rate / row.oracle_price_twap)),
                interval_hours=1.0,
                price=float(row.oracle_price_twap),
                settled_at_ms=(row.ts * SECOND_MS + facts.HOUR_MS // 2) // facts.HOUR_MS * facts.HOUR_MS,
                source=FundingSource.HISTORY,
            )
        )
    return events


def clock_calls() -> bytes:
    wanted = {"encoding": "base64", "commitment": "processed"}
    return wire.batch([wire.call(1, "getAccountInfo", base58(facts.CLOCK_ADDRESS), wanted)])


def venue_clock(body: bytes, now_ms: int) -> list[MarketEvent]:
    """The chain's clock, in whole seconds: of all offsets that fit, the smallest is proven. Raises WireError."""
    (only,) = wire.results(body, 1)
    _, data = wire.one_account(only)
    if data is None or len(data) != facts.CLOCK_BYTES:
        raise WireError("no clock account")
    seconds = int.from_bytes(data[32:40], "little", signed=True)
    if seconds not in PLAUSIBLE_S:
        raise WireError(f"not a time in seconds: {seconds}")
    earliest_ms = seconds * SECOND_MS - now_ms
    offset_ms = max(earliest_ms, min(earliest_ms + SECOND_MS - 1, 0))
    return [VenueClock(facts.NAME, offset_ms, 0, now_ms)]


def _market(profile: Profile, perp: PerpMarket, spot: SpotMarket, fees: Fees) -> Market:
    """Raises ValueError or AmountError for a market without steps, margins or a name."""
    if min(perp.tick, perp.step, perp.margin_initial, perp.margin_maintenance) <= 0 or not perp.name.isprintable():
        raise ValueError(f"market {perp.market_index} has no steps or no margin")
    status = profile.statuses.get(perp.status, MarketStatus.UNKNOWN)
    if status is MarketStatus.OPEN and perp.paused & facts.PAUSED_FILL:
        status = MarketStatus.CLOSED
    scale = 1 + perp.fee_adjustment / 100
    base, _, suffix = perp.name.rpartition("-")
    return Market(
        key=f"{facts.NAME}:{perp.name}",
        venue=facts.NAME,
        symbol=perp.name,
        native_id=str(perp.market_index),
        base=base or perp.name,
        quote=profile.quote_symbol,
        status=status,
        excluded=_excluded(perp, spot, suffix, status),
        price_grid=Grid.of(Grid(facts.PRICE_DECIMALS).text(perp.tick)),
        size_grid=Grid.of(Grid(facts.BASE_DECIMALS).text(perp.step)),
        min_size_lots=max(1, -(-perp.min_order // perp.step)),
        maker_fee_bps=round(fees.maker_bps * scale, 9),
        taker_fee_bps=round((fees.taker_bps + perp.taker_addon_tenth_bps / 10) * scale, 9),
        taker_delay_ms=facts.TAKER_DELAY_MS,
        funding_interval_ms=facts.FUNDING_INTERVAL_MS,
        max_leverage=facts.MARGIN_UNIT / perp.margin_initial,
        maintenance_margin_fraction=perp.margin_maintenance / facts.MARGIN_UNIT,
        settlement=Addresses(perp.pubkey, perp.oracle, spot.pubkey, spot.oracle).text,
    )


def _excluded(perp: PerpMarket, spot: SpotMarket, suffix: str, status: MarketStatus) -> str | None:
    if perp.contract_type != facts.CONTRACT_PERPETUAL or suffix != "PERP":
        return "not a perpetual"
    if perp.oracle_source == facts.ORACLE_PRELAUNCH:
        return "pre-launch: its price is its own"
    if perp.quote_spot_index != spot.market_index:
        return f"settled in spot market {perp.quote_spot_index}"
    return "not open for trading" if status is MarketStatus.CLOSED else None


def _clamp_divisor(tier: int) -> int:
    divisors = facts.FUNDING_CLAMP_DIVISORS
    return divisors[tier] if tier < len(divisors) else facts.FUNDING_CLAMP_DIVISOR_LAST

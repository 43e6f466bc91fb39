"""Books + fees + funding -> what a pair is worth after every cost, or why not. All figures are estimates, hence floats.

    edge(N, H) = basis_in(N) - E[basis_out(N)] - fees_in - fees_out + carry(H) - stable_basis - latency_haircut

- basis_in(N): depth-walked sell VWAP on the short venue minus depth-walked buy VWAP on the long one, over the mid.
- E[basis_out(N)]: today's exit side at N on both books, moved by CONVERGENCE_SHARE of the way from the present mid
  basis to its robust mean. Without enough samples no convergence is expected, and the figure says `assumed`.
- fees: of the roles used. Out both legs take; in both take when the edge of doing so is at or above AGGRESSIVE, else
  one may rest (core.entry): it pays the maker fee, and its price is its own touch. The venue's public base tier says
  `assumed`, and so does a leg that rests: the edge is that of its being filled.
- carry(H): settlements inside the horizon, decayed by the pair's own half-life (see funding.carry_fraction).
- latency_haircut: one standard deviation of the basis over the longer taker delay; until measured, the wider spread.

Only what lies above MIN_VIABLE at the top of both books is walked: deeper levels can only be worse.
"""

from __future__ import annotations

import math

import msgspec

from twinleg.core.entry import RESTING, Entry, LegFees, Mode, Role, both_take, leg_fees, rest_saves_bps
from twinleg.core.funding import HALF_LIFE_HOURS_MIN, carry_fraction
from twinleg.core.liquidity import Liquidity, sweep, validate
from twinleg.core.messages import Refusal
from twinleg.core.orders import Leg
from twinleg.core.pairs import SIZE_GRID_USD, Pair, Prepared

CONVERGENCE_SHARE = 0.5
BPS = 10_000
FUNDING_AGE_MS_MAX = 900_000
"""Streams tell a rate at least every minute, REST is read every five: older than this it is nobody's estimate."""
HOURS_PER_YEAR = 24 * 365
FILLED = "entry: the leg that rests is filled"


class Terms(msgspec.Struct, frozen=True):
    """Every term of an edge in bps of the mean mid. Costs are positive numbers that are subtracted."""

    basis_in_bps: float
    basis_out_bps: float
    fees_in_bps: float
    fees_out_bps: float
    carry_bps: float
    stable_basis_bps: float
    latency_haircut_bps: float

    @property
    def net_bps(self) -> float:
        costs = (
            self.basis_out_bps + self.fees_in_bps + self.fees_out_bps + self.stable_basis_bps + self.latency_haircut_bps
        )
        return self.basis_in_bps + self.carry_bps - costs


class Opportunity(msgspec.Struct, frozen=True):
    """One pair at one size: all terms, what it would earn, every reason against it. No `refusals` = executable."""

    pair: str
    asset: str
    long_market: str
    short_market: str
    common_lots: int
    least_common_lots: int
    """The smallest size that both venues take and the operator wants: less is not sent."""
    least_order_common_lots: int
    """The smallest size that both venues take as an order, and so the smallest hedge of a leg that fills bit by bit."""
    long_lots: int
    short_lots: int
    notional_usd: float
    terms: Terms
    gross_bps: float
    """What a seller of gross figures would show: entry basis and carry, nothing taken off."""
    net_bps: float
    net_usd: float
    usd_per_hour: float
    apr_on_margin: float
    """Net per year on the margin of both legs at the configured leverage, as a fraction."""
    break_even_hours: float | None
    """Hours of holding until the carry has paid every cost; None = never."""
    capacity_usd: float
    """Largest size on the grid whose edge stays at or above MIN_EXECUTION_SPREAD_BPS."""
    curve: tuple[tuple[float, float], ...]
    """(notional USD, net bps) over the size grid."""
    long_rate_per_hour: float
    short_rate_per_hour: float
    next_settlement_ms: int
    liquidity: Liquidity
    assumed: tuple[str, ...]
    alive_since_ms: int | None
    decided_ms: int
    decision_ticks: tuple[float, float]
    """Entry price of (long leg, short leg) in ticks, against which slippage is measured: VWAP, or where a leg rests."""
    mode: Mode
    first: Leg | None
    """The leg that goes first, None when both go at once."""
    fees: tuple[LegFees, LegFees]
    """Of (long leg, short leg), in the roles that `terms` counts."""
    refusals: tuple[Refusal, ...]


def prepare(pair: Pair, now_ms: int) -> Prepared | tuple[Refusal, ...]:
    """The slow terms, or what is missing to know them. Also fits the size grid to today's price.

    Call once per pass, and after the pair's funding, fees or facts changed; `screen` then needs only the books.
    """
    pair.long.touch()
    pair.short.touch()
    missing = _missing(pair, now_ms)
    if missing:
        pair.prepared = pair.steady_bps = None
        return missing
    long_fee, short_fee = pair.long.market.taker_fee_bps, pair.short.market.taker_fee_bps
    assert long_fee is not None, "refused as missing above"
    assert short_fee is not None, "refused as missing above"
    assumed = []
    if pair.long.market.fees_assumed or pair.short.market.fees_assumed:
        assumed.append("fees: public base tier")
    if pair.basis_target_bps is None:
        assumed.append("no convergence: basis not sampled long enough")
    if pair.sigma_bps is None:
        assumed.append("latency haircut: the wider spread")
    if pair.half_life is None:
        assumed.append("carry decay: too little common history")
    pair.prepared = Prepared(
        fees_one_way_bps=long_fee + short_fee,
        carry_bps=_carry_bps(pair, now_ms),
        latency_haircut_bps=_latency_haircut_bps(pair),
        assumed=tuple(assumed),
        takers=both_take(pair.long.market, pair.short.market),
    )
    pair.long_rest_bps = rest_saves_bps(pair.long.market, pair.short.market)
    pair.short_rest_bps = rest_saves_bps(pair.short.market, pair.long.market)
    pair.steady_bps = pair.prepared.fixed_bps - CONVERGENCE_SHARE * (pair.basis_target_bps or 0.0)
    pair.sizes = _sizes(pair)
    return pair.prepared


def screen(pair: Pair) -> float | None:
    """Upper bound of the pair's net edge in bps, from the best prices alone; None when it cannot be known.

    Runs on every change of either book, so it touches nothing but four prices and the steady terms: what stays of the
    edge after the spreads of both books and the share of the way from the mid basis to its target. A leg that rests
    spares its spread and what its maker fee saves: the better of the two counts.
    """
    long, short, steady_bps = pair.long, pair.short, pair.steady_bps
    long_bid, long_ask, short_bid, short_ask = long.bid, long.ask, short.bid, short.ask
    if steady_bps is None or long_bid is None or long_ask is None or short_bid is None or short_ask is None:
        return None
    bps = (long_bid + long_ask + short_bid + short_ask) / (4 * BPS)
    long_spread_bps, short_spread_bps = (long_ask - long_bid) / bps, (short_ask - short_bid) / bps
    cost_bps = long_spread_bps + short_spread_bps
    spared_bps, other_bps = long_spread_bps + pair.long_rest_bps, short_spread_bps + pair.short_rest_bps
    if other_bps > spared_bps:  # noqa: PLR1730 - a call of max() costs as much as all the rest
        spared_bps = other_bps
    if spared_bps > 0:
        cost_bps -= spared_bps
    if pair.basis_target_bps is None:
        return steady_bps - cost_bps
    return steady_bps - cost_bps + CONVERGENCE_SHARE * (short_bid + short_ask - long_bid - long_ask) / (2 * bps)


def evaluate(pair: Pair, now_ms: int, gated: list[Refusal], sizes: tuple[int, ...] | None = None) -> Opportunity | None:
    """Walk both books over the size grid and choose the size. None when the books or slow terms do not allow a figure.

    The chosen size earns the most money within the order and position limits among those that pass the liquidity check;
    if none does, the smallest is shown with its refusals. `gated` are the reasons found by pairs.gates, `sizes` the
    grid in common lots, by default the pair's own.
    """
    sizes = sizes or pair.sizes
    if screen(pair) is None or not sizes:
        return None
    curve = _curve(pair, sizes)
    if not curve:
        return None
    best = _best(curve, pair)
    terms = best.terms
    liquidity, refusals = validate(pair, best.common_lots)
    limit_bps = pair.limits.min_execution_spread_bps
    if terms.net_bps < limit_bps:
        detail = "net edge after every cost"
        refusals.append(Refusal("edge", detail, terms.net_bps, limit_bps))
    if pair.sigma_bps is None:
        refusals.append(Refusal("basis_history", "the basis has not been watched long enough", len(pair.basis_bps), 30))
    shown = _Shown(curve, best, liquidity, (*gated, *refusals))
    return _report(pair, now_ms, shown)


def _missing(pair: Pair, now_ms: int) -> tuple[Refusal, ...]:
    found = []
    for leg in (pair.long, pair.short):
        if leg.market.taker_fee_bps is None:
            found.append(Refusal("fee_unknown", f"{leg.market.key} has no fee tier"))
        if leg.funding.rate_per_hour is None:
            found.append(Refusal("funding_unknown", f"{leg.market.key} has no funding rate"))
        elif (age_ms := leg.funding.age_ms(now_ms)) > FUNDING_AGE_MS_MAX:
            found.append(Refusal("funding_stale", f"{leg.market.key}: its rate is old", age_ms, FUNDING_AGE_MS_MAX))
        if not (leg.book.ready and leg.book.two_sided):
            found.append(Refusal("book_lost", f"{leg.market.key}: {leg.book.lost_reason or 'an empty side'}"))
    return tuple(found)


def _carry_bps(pair: Pair, now_ms: int) -> float:
    """Both legs' expected funding. Without a fitted half-life, income decays fastest and cost not at all."""
    horizon_hours = pair.limits.horizon_hours

    def both(half_life: float | None) -> float:
        long = carry_fraction(
            pair.long.funding, long=True, now_ms=now_ms, horizon_hours=horizon_hours, half_life=half_life
        )
        short = carry_fraction(
            pair.short.funding, long=False, now_ms=now_ms, horizon_hours=horizon_hours, half_life=half_life
        )
        assert long is not None, "unknown rates are refused before"
        assert short is not None, "unknown rates are refused before"
        return (long + short) * BPS

    if pair.half_life is not None:
        return both(pair.half_life)
    return min(both(HALF_LIFE_HOURS_MIN), both(None))


def _latency_haircut_bps(pair: Pair) -> float:
    delay_s = max(pair.long.market.taker_delay_ms, pair.short.market.taker_delay_ms) / 1_000
    if pair.sigma_bps is not None:
        return pair.sigma_bps * math.sqrt(delay_s)
    return max(_spread_bps(leg.book.bid_prices[-1], leg.book.ask_prices[0]) for leg in (pair.long, pair.short))


def _spread_bps(bid: int, ask: int) -> float:
    return abs(ask - bid) / (ask + bid) * 2 * BPS


def _sizes(pair: Pair) -> tuple[int, ...]:
    """Ascending sizes in common lots: the grid, the operator's cap, and the smallest size both venues accept (noted).

    Venues count an order's notional at its limit, which lies at most max_slippage from the touch; as much again is left
    for what the mids move until it is sent.
    """
    limits = pair.limits
    room = 1 + 2 * limits.max_slippage_bps / BPS
    unit_usd = float(pair.common_lot) * pair.mid_price
    legs = ((pair.long, pair.long_lots), (pair.short, pair.short_lots))
    floor_usd = max(leg.market.min_notional_usd * room for leg, _ in legs)
    least = max(math.ceil(floor_usd / unit_usd), *(-(-leg.market.min_size_lots // lots) for leg, lots in legs), 1)
    pair.least_order = least
    smallest = max(math.ceil(limits.min_order_size_usd / unit_usd), least)
    cap_usd = min(limits.max_order_size_usd, limits.max_position_size_usd)
    chosen = {smallest, int(cap_usd / unit_usd), *(int(usd / unit_usd) for usd in SIZE_GRID_USD)}
    return tuple(sorted(size for size in chosen if size >= smallest))


class _Way(msgspec.Struct, frozen=True, gc=False):
    """A way in: the entry prices of (long leg, short leg) in ticks, and what it saves of two taker fees."""

    entry: Entry
    entry_ticks: tuple[float, float]
    fees_saved_bps: float


class _Point(msgspec.Struct, frozen=True, gc=False):
    """One size of the capacity curve."""

    common_lots: int
    notional_usd: float
    terms: Terms
    way: _Way


def _curve(pair: Pair, sizes: tuple[int, ...]) -> list[_Point]:
    """A point for each size that both books can fill, in and out."""
    prepared = pair.prepared
    assert prepared is not None, "screened before"
    long_sizes = [size * pair.long_lots for size in sizes]
    short_sizes = [size * pair.short_lots for size in sizes]
    buffer = pair.limits.liquidity_buffer
    buy_in = sweep(pair.long.book, long_sizes, asks=True, buffer=buffer)
    sell_in = sweep(pair.short.book, short_sizes, asks=False, buffer=buffer)
    sell_out = sweep(pair.long.book, long_sizes, asks=False, buffer=buffer)
    buy_out = sweep(pair.short.book, short_sizes, asks=True, buffer=buffer)
    mid, long_unit, short_unit = pair.mid_price, pair.long.price_unit, pair.short.price_unit
    unit_usd = float(pair.common_lot) * mid
    target = pair.basis_target_bps
    moved_bps = 0.0 if target is None else CONVERGENCE_SHARE * (target - pair.mid_basis_bps())
    curve = []
    for size, a, b, c, d in zip(sizes, buy_in, sell_in, sell_out, buy_out, strict=True):
        if a is None or b is None or c is None or d is None:
            break
        basis_in_bps = (b * short_unit - a * long_unit) / mid * BPS
        basis_out_bps = (d * short_unit - c * long_unit) / mid * BPS + moved_bps
        way = _Way(prepared.takers, (a, b), 0.0)
        if basis_in_bps - basis_out_bps + prepared.fixed_bps < pair.limits.aggressive_execution_spread_bps:
            way = _resting(pair, mid, way)
            basis_in_bps = (way.entry_ticks[1] * short_unit - way.entry_ticks[0] * long_unit) / mid * BPS
        terms = Terms(
            basis_in_bps=basis_in_bps,
            basis_out_bps=basis_out_bps,
            fees_in_bps=prepared.fees_one_way_bps - way.fees_saved_bps,
            fees_out_bps=prepared.fees_one_way_bps,
            carry_bps=prepared.carry_bps,
            stable_basis_bps=0.0,
            latency_haircut_bps=prepared.latency_haircut_bps,
        )
        curve.append(_Point(size, size * unit_usd, terms, way))
    return curve


def _resting(pair: Pair, mid: float, taking: _Way) -> _Way:
    """The leg that rests is the one that saves more by it: its spread and impact, and the difference of its fees."""
    bid, ask = pair.long.book.bid_prices[-1], pair.short.book.ask_prices[0]
    long_ticks, short_ticks = taking.entry_ticks
    long_saves_bps = (long_ticks - bid) * pair.long.price_unit / mid * BPS + pair.long_rest_bps
    short_saves_bps = (ask - short_ticks) * pair.short.price_unit / mid * BPS + pair.short_rest_bps
    if max(long_saves_bps, short_saves_bps) <= 0:
        return taking
    if long_saves_bps >= short_saves_bps:
        return _Way(RESTING[Leg.LONG], (bid, short_ticks), pair.long_rest_bps)
    return _Way(RESTING[Leg.SHORT], (long_ticks, ask), pair.short_rest_bps)


def _best(curve: list[_Point], pair: Pair) -> _Point:
    cap_usd = min(pair.limits.max_order_size_usd, pair.limits.max_position_size_usd)
    allowed = [point for point in curve if point.notional_usd <= cap_usd] or curve[:1]
    for point in sorted(allowed, key=lambda one: one.notional_usd * one.terms.net_bps, reverse=True):
        if point.terms.net_bps > 0 and not validate(pair, point.common_lots)[1]:
            return point
    return allowed[0]


class _Shown(msgspec.Struct, frozen=True):
    """What was found out about a pair, before it is written up."""

    curve: list[_Point]
    best: _Point
    liquidity: Liquidity
    refusals: tuple[Refusal, ...]


def _report(pair: Pair, now_ms: int, found: _Shown) -> Opportunity:
    limits = pair.limits
    curve, best, entry = found.curve, found.best, found.best.way.entry
    common_lots, notional_usd, terms = best.common_lots, best.notional_usd, best.terms
    net_usd = terms.net_bps / BPS * notional_usd
    usd_per_hour = net_usd / limits.horizon_hours
    margin_usd = 2 * notional_usd / limits.leverage
    worth = [point.notional_usd for point in curve if point.terms.net_bps >= limits.min_execution_spread_bps]
    long_rate, short_rate = pair.long.funding.rate_per_hour, pair.short.funding.rate_per_hour
    assert pair.prepared is not None, "screened before"
    assert long_rate is not None, "screened before"
    assert short_rate is not None, "screened before"
    return Opportunity(
        pair=pair.key,
        asset=pair.asset,
        long_market=pair.long.market.key,
        short_market=pair.short.market.key,
        common_lots=common_lots,
        least_common_lots=pair.sizes[0],
        least_order_common_lots=pair.least_order,
        long_lots=common_lots * pair.long_lots,
        short_lots=common_lots * pair.short_lots,
        notional_usd=notional_usd,
        terms=terms,
        gross_bps=terms.basis_in_bps + terms.carry_bps,
        net_bps=terms.net_bps,
        net_usd=net_usd,
        usd_per_hour=usd_per_hour,
        apr_on_margin=usd_per_hour * HOURS_PER_YEAR / margin_usd,
        break_even_hours=_break_even_hours(terms, short_rate - long_rate),
        capacity_usd=max(worth, default=0.0),
        curve=tuple((point.notional_usd, point.terms.net_bps) for point in curve),
        long_rate_per_hour=long_rate,
        short_rate_per_hour=short_rate,
        next_settlement_ms=min(leg.funding.next_settlement_ms(now_ms) for leg in (pair.long, pair.short)),
        liquidity=found.liquidity,
        assumed=(*pair.prepared.assumed, FILLED) if entry.mode is Mode.MAKER_FIRST else pair.prepared.assumed,
        alive_since_ms=pair.alive_since_ms,
        decided_ms=now_ms,
        decision_ticks=best.way.entry_ticks,
        mode=entry.mode,
        first=entry.first,
        fees=_fees(pair, entry),
        refusals=found.refusals,
    )


def _fees(pair: Pair, entry: Entry) -> tuple[LegFees, LegFees]:
    rests = entry.first if entry.mode is Mode.MAKER_FIRST else None
    long, short = (Role.MAKER if rests is leg else Role.TAKER for leg in Leg)
    return leg_fees(pair.long.market, long), leg_fees(pair.short.market, short)


def _break_even_hours(terms: Terms, differential_per_hour: float) -> float | None:
    """Hours of today's funding differential that pay for everything else; 0 when the basis alone pays, None = never."""
    owed_bps = terms.carry_bps - terms.net_bps
    if owed_bps <= 0:
        return 0.0
    return owed_bps / (differential_per_hour * BPS) if differential_per_hour > 0 else None

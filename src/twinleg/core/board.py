"""Everything we know of the markets, and what it makes of every pair. Pure: events and times in, opportunities out.

`apply` is what a market event changes; it names the pairs whose books moved. `look` judges one such pair. `review` is
the full pass, once a second: slow terms, every pair's standing, what the view shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import permutations

import msgspec

from twinleg.core.assets import common_assets
from twinleg.core.book import Book
from twinleg.core.edge import Opportunity, evaluate, prepare, screen
from twinleg.core.funding import HOUR_MS, UnitCheck, UnitState, venue_trouble
from twinleg.core.messages import (
    BookDelta,
    BookLost,
    BookSnapshot,
    FeedHealth,
    FundingPredicted,
    FundingSettled,
    Market,
    MarketEvent,
    MarketsListed,
    MarketStatus,
    Refusal,
    Stats,
    TradePrint,
    VenueClock,
)
from twinleg.core.pairs import NS_PER_MS, Limits, MarketState, Pair
from twinleg.core.pairs import gates as pair_gates
from twinleg.core.trading import FeesSeen

SHOWN_PAIRS = 20
"""Pairs walked in full on each review, best bound first: the rest are judged by their bound alone."""
ESTIMATES_EVERY_NS = 10_000_000_000
ROUND_NS = 1_000_000_000
VANISHED = "the venue no longer lists this market for trading as usual"


class Standing(msgspec.Struct, frozen=True):
    """A pair that was not walked: the best it could be at the top of its books, and why it is not looked at."""

    pair: str
    bound_bps: float | None
    refusals: tuple[Refusal, ...]


class Board:
    """All markets, pairs and their latest judgement. One per engine, changed only through its methods."""

    def __init__(self, limits_of: Callable[[str], Limits], trades: Callable[[str, str, str], bool]) -> None:
        """`limits_of(asset)` are the limits that hold for it; `trades(asset, venue, venue)` = may be paired at all."""
        self._limits_of, self._trades = limits_of, trades
        self.markets: dict[str, MarketState] = {}
        self.facts: dict[str, Market] = {}
        self.books: dict[str, Book] = {}
        self.excluded: dict[str, str] = {}
        self.pairs: dict[str, Pair] = {}
        self.pairs_of: dict[str, tuple[Pair, ...]] = {}
        self.found: dict[str, Opportunity] = {}
        self.standing: dict[str, Standing] = {}
        self.clock_offsets_ms: dict[str, int] = {}
        """How far a venue's clock is ahead of ours: as it told, else as its streams show."""
        self.unit_trouble: dict[str, str] = {}
        self.health: dict[tuple[str, str], FeedHealth] = {}
        self.viable_seen = 0
        """How often a pair became viable."""
        self.rounds = 0
        """Reviews begun over all pairs; each ends before the next begins."""
        self._own_fees: dict[tuple[str, str | None], FeesSeen] = {}
        self._listings: dict[str, tuple[Market, ...]] = {}
        self._clock_told: set[str] = set()
        self._alive: set[str] = set()
        self._estimated_ns = -ESTIMATES_EVERY_NS
        self._refit = True
        self._round: list[Pair] = []
        self._round_due_ns = 0
        self._bounds: dict[str, float] = {}
        self._shown_bps = -math.inf

    # -- what events change -------------------------------------------------------------------------------------------

    def apply(self, event: MarketEvent) -> tuple[Pair, ...]:
        """Let one event change the board; return the pairs that may stand differently for it."""
        kind = type(event)
        if kind is BookDelta or kind is BookSnapshot:
            return self._book(event, kind)  # type: ignore[arg-type]  # narrowed by type(), cheaper than isinstance
        match event:
            case BookLost():
                state = self.markets.get(event.market)
                if state is not None:
                    state.book.lose(event.reason)
                    state.touch()
                return self.pairs_of.get(event.market, ())
            case Stats():
                self._stats(event)
            case FundingPredicted() | FundingSettled():
                self._funding(event)
            case TradePrint():
                pass  # recorded with the frames; nothing is judged by single trades yet
            case FeedHealth():
                self.health[event.venue, event.stream] = event
            case VenueClock():
                self.clock_offsets_ms[event.venue] = event.offset_ms
                self._clock_told.add(event.venue)
            case MarketsListed():
                self._listed(event)
            case _:
                raise AssertionError(f"an event without a place on the board: {kind.__name__}")
        return ()

    def _book(self, event: BookDelta | BookSnapshot, kind: type) -> tuple[Pair, ...]:
        state = self.markets.get(event.market)
        if state is None:
            return ()
        change = state.book.delta if kind is BookDelta else state.book.snapshot
        change(event.bids, event.asks, event.venue_ms, event.received_ns)
        if state.touch():
            return self.pairs_of.get(event.market, ())
        # What the best prices ruled out before, they rule out still: deeper changes matter to viable pairs alone.
        if not self._alive:
            return ()
        return tuple(pair for pair in self.pairs_of.get(event.market, ()) if pair.key in self._alive)

    def _stats(self, event: Stats) -> None:
        state = self.markets.get(event.market)
        if state is None:
            return
        if event.mark_price is not None:
            state.mark_price = event.mark_price
        if event.index_price is not None:
            state.index_price = event.index_price
            state.stats_ns = event.received_ns

    def _funding(self, event: FundingPredicted | FundingSettled) -> None:
        state = self.markets.get(event.market)
        if state is None:
            return
        if isinstance(event, FundingPredicted):
            first = state.funding.rate_per_hour is None
            state.funding.predicted(event)
        else:
            first = state.funding.settled(event)
        if first or state.funding.check.state is not UnitState.AGREED:
            state.funding.recheck()

    def charge(self, fees: FeesSeen) -> None:
        """What our account pays, in place of the public base tier: now and with every listing to come."""
        self._own_fees[fees.venue, fees.market] = fees
        for key, state in self.markets.items():
            if state.market.venue == fees.venue:
                state.market = self.facts[key] = self._with_own_fees(state.market)

    def _with_own_fees(self, market: Market) -> Market:
        fees = self._own_fees.get((market.venue, market.key)) or self._own_fees.get((market.venue, None))
        if fees is None:
            return market
        return msgspec.structs.replace(
            market, maker_fee_bps=fees.maker_bps, taker_fee_bps=fees.taker_bps, fees_assumed=False
        )

    def _listed(self, event: MarketsListed) -> None:
        markets = tuple(map(self._with_own_fees, event.markets)) if self._own_fees else event.markets
        self._listings[event.venue] = markets
        for market in markets:
            self.facts[market.key] = market
            self.excluded.pop(market.key, None)
            if market.excluded is not None:
                self.excluded[market.key] = market.excluded
            elif market.key in self.markets:
                self.markets[market.key].refresh(market)
            else:
                self.markets[market.key] = MarketState(market)
                self.books[market.key] = self.markets[market.key].book
        listed = {market.key for market in markets if market.excluded is None}
        for key, state in self.markets.items():
            if state.market.venue == event.venue and key not in listed:
                state.market = msgspec.structs.replace(state.market, status=MarketStatus.CLOSED)
                self.facts[key] = state.market
                state.book.lose(VANISHED)
                state.touch()
        self._pair_up()

    def _pair_up(self) -> None:
        for asset, grouped in common_assets([state.market for state in self.markets.values()]).items():
            limits = self._limits_of(asset)
            for long, short in permutations(grouped, 2):
                if long.venue != short.venue and self._trades(asset, long.venue, short.venue):
                    pair = Pair(self.markets[long.key], self.markets[short.key], limits)
                    self.pairs.setdefault(pair.key, pair).align()
        self.pairs_of = {
            key: tuple(pair for pair in self.pairs.values() if state in (pair.long, pair.short))
            for key, state in self.markets.items()
        }

    @property
    def paired_markets(self) -> list[Market]:
        """Markets that at least one pair needs, the ones to subscribe to."""
        return [state.market for key, state in self.markets.items() if self.pairs_of.get(key)]

    # -- what is made of it -------------------------------------------------------------------------------------------

    def look(self, pair: Pair, now_ms: int, now_ns: int) -> Opportunity | None:
        """Judge one pair whose book moved. Only what its best prices do not rule out is walked."""
        bound_bps = screen(pair)
        if bound_bps is None or bound_bps < pair.limits.min_viable_spread_bps:
            if pair.alive_since_ms is not None:
                self._forget(pair)
            return None
        return self._walk(pair, now_ms, now_ns)

    def _walk(self, pair: Pair, now_ms: int, now_ns: int) -> Opportunity | None:
        opportunity = evaluate(pair, now_ms, self.gates(pair, now_ns))
        if opportunity is None:
            self._forget(pair)
            return None
        viable = opportunity.net_bps >= pair.limits.min_viable_spread_bps
        if not viable:
            self._no_longer_alive(pair)
        elif pair.alive_since_ms is None:
            pair.alive_since_ms = now_ms
            self._alive.add(pair.key)
            self.viable_seen += 1
        self.found[pair.key] = opportunity
        return opportunity

    def weigh(self, pair: Pair, usd: float, now_ms: int, now_ns: int) -> Opportunity | tuple[Refusal, ...]:
        """One pair at about that size a leg, whatever it earns; or why there is no figure for it."""
        missing = prepare(pair, now_ms)
        if isinstance(missing, tuple):
            return missing
        unit_usd = float(pair.common_lot) * pair.mid_price
        common_lots, least = int(usd / unit_usd), pair.sizes[0]
        if common_lots < least:
            detail = f"{pair.asset}: smaller than both venues and the operator allow"
            return (Refusal("size", detail, usd, least * unit_usd),)
        opportunity = evaluate(pair, now_ms, self.gates(pair, now_ns), (common_lots,))
        return opportunity or (Refusal("depth", "the books are thinner than that size"),)

    def _forget(self, pair: Pair) -> None:
        self._no_longer_alive(pair)
        self.found.pop(pair.key, None)

    def _no_longer_alive(self, pair: Pair) -> None:
        pair.alive_since_ms = None
        self._alive.discard(pair.key)

    def _watch_clocks(self, now_ms: int, now_ns: int) -> None:
        """A venue that tells no time: its youngest book message was sent at the earliest at its own stamp.

        Arrival minus stamp is the way's delay minus the offset. The least over all books, with the delay taken as
        nothing, overstates how far the venue is behind, by less than a fast connection's delay.
        """
        for venue in self._listings.keys() - self._clock_told:
            ages_ms = [
                now_ms - (now_ns - state.book.received_ns) // NS_PER_MS - state.book.venue_ms
                for state in self.markets.values()
                if state.market.venue == venue and state.book.ready
            ]
            if ages_ms:
                self.clock_offsets_ms[venue] = -min(ages_ms)

    def review(self, now_ms: int, now_ns: int, part: int = 1) -> None:
        """Go over 1/`part` of the pairs, the next ones in turn: refit, prepare, judge by bound, walk the best.

        A full round is due once a second, and no sooner: the basis is sampled by it. Parts keep one round from holding
        up the books.
        """
        if self.pairs and not self._round and now_ns >= self._round_due_ns:
            self._round_due_ns = now_ns + ROUND_NS
            self._close_round(now_ns)
            self._watch_clocks(now_ms, now_ns)
        for _ in range(-(-len(self.pairs) // part)):
            if not self._round:
                break
            self._review(self._round.pop(), now_ms, now_ns)

    def _close_round(self, now_ns: int) -> None:
        self.rounds += 1
        best = sorted(self._bounds.values(), reverse=True)[:SHOWN_PAIRS]
        self._shown_bps = best[-1] if len(best) == SHOWN_PAIRS else -math.inf
        self._refit = now_ns - self._estimated_ns >= ESTIMATES_EVERY_NS
        if self._refit:
            self._estimated_ns = now_ns
            self._check_venue_units()
        self._round = list(self.pairs.values())

    def _review(self, pair: Pair, now_ms: int, now_ns: int) -> None:
        pair.sample()
        if self._refit:
            pair.settle_estimates()
        prepared = prepare(pair, now_ms)
        bound_bps = screen(pair)
        self.standing.pop(pair.key, None)
        if bound_bps is None:
            self._forget(pair)
            self._bounds.pop(pair.key, None)
            missing = prepared if isinstance(prepared, tuple) else ()
            self.standing[pair.key] = Standing(pair.key, None, _distinct((*missing, *self.gates(pair, now_ns))))
            return
        self._bounds[pair.key] = bound_bps
        refusal = Refusal("edge", "even at the best prices", bound_bps, pair.limits.min_execution_spread_bps)
        if bound_bps >= min(self._shown_bps, pair.limits.min_viable_spread_bps):
            if self._walk(pair, now_ms, now_ns) is not None:
                return
            refusal = Refusal("depth", "a book is thinner than the smallest order")
        self._forget(pair)
        self.standing[pair.key] = Standing(pair.key, bound_bps, (refusal, *self.gates(pair, now_ns)))

    def ranking(self) -> list[Opportunity]:
        """What is known in full, the most money first; what can be executed stands before what is refused."""
        return sorted(self.found.values(), key=lambda one: (not one.refusals, one.net_usd), reverse=True)

    def next_settlement_ms(self, market: str, now_ms: int) -> int | None:
        """When that market settles next; None for a market we do not know."""
        state = self.markets.get(market)
        return None if state is None else state.funding.next_settlement_ms(now_ms)

    def wanting_history(self, now_ms: int) -> list[Market]:
        """Paired markets whose settled history is not whole up to the last settlement, the most promising pairs first.

        A stream tells the last settlement alone: those before it, and what they mean for open trades, are history's.
        Not before there is a price to book them on, where the venue tells none with them.
        """
        order = [key for found in self.ranking() for key in (found.long_market, found.short_market)] + list(
            self.markets
        )
        wanted = []
        for key in dict.fromkeys(order):
            state = self.markets[key]
            interval_ms = state.market.funding_interval_ms
            due = (now_ms - HISTORY_SLACK_MS) // interval_ms * interval_ms
            missing = due > state.funding.whole_until_ms and self.reference_price(key) is not None
            if missing and self.pairs_of.get(key):
                wanted.append(state.market)
        return wanted

    def reference_price(self, market: str) -> float | None:
        """What a settlement that does not state its price is charged on: the mark, else the index."""
        state = self.markets.get(market)
        if state is None:
            return None
        return state.index_price if state.mark_price is None else state.mark_price

    def gates(self, pair: Pair, now_ns: int) -> list[Refusal]:
        """Why this pair's data may not be acted on now: pairs.gates, and its venues' own troubles."""
        found = pair_gates(pair, now_ns, self.clock_offsets_ms)
        for leg in (pair.long, pair.short):
            trouble = self.unit_trouble.get(leg.market.venue)
            if trouble is not None:
                found.append(Refusal("venue_unit", f"{leg.market.venue}: {trouble}"))
        return found

    def _check_venue_units(self) -> None:
        for venue in self._listings:
            views = [state.funding for state in self.markets.values() if state.market.venue == venue]
            trouble = venue_trouble(views)
            if trouble is None:
                self.unit_trouble.pop(venue, None)
            else:
                self.unit_trouble[venue] = trouble

    def unit_checks(self) -> dict[str, UnitCheck]:
        """The funding unit's verdict per paired market."""
        return {key: state.funding.check for key, state in self.markets.items() if self.pairs_of.get(key)}


HISTORY_SLACK_MS = HOUR_MS // 20
"""Venues publish a settled rate a little after its instant: not missed before three minutes have passed."""


def _distinct(refusals: Sequence[Refusal]) -> tuple[Refusal, ...]:
    return tuple(dict.fromkeys(refusals))

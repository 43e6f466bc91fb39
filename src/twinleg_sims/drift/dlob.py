"""The DLOB server over HTTP: books of resting orders and the AMM, as documents and as a stream."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import msgspec

from twinleg_sims.drift import amm, auction, positions
from twinleg_sims.drift.call import price_of
from twinleg_sims.drift.genesis import MarketTerms
from twinleg_sims.drift.keys import to_base58
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.ledger import Ledger
from twinleg_sims.drift.words import BASE, PRICE
from twinleg_sims.protocol import HttpReply, HttpRequest

DEPTH_MAX = 100
STREAM_DEPTH = 20
_AMM_LEVELS = 12
_AMM_STEP_BPS = 1
_MAKERS_LIMIT = 4
TEXT = {"Content-Type": "text/plain"}
PATHS = frozenset(
    {"/l2", "/batchL2", "/l3", "/topMakers", "/auctionParams", "/priorityFees", "/batchPriorityFees", "/health"}
    | {"/startup", "/unsettledPnlUsers"}
)

Json = Any


@dataclass(frozen=True, slots=True)
class Resting:
    """One user's order on the book."""

    price: int
    size: int
    maker: bytes
    order_id: int


class Dlob:
    """Books of a chain. `users` are those whose orders are looked at."""

    def __init__(self, ledger: Ledger, terms: list[MarketTerms], users: list[bytes]) -> None:
        self._ledger = ledger
        self.terms = terms
        self._users = users
        self.now_ms = 0

    def answer(self, request: HttpRequest) -> HttpReply:
        """A GET. Bad parameters are refused in plain text."""
        path = request.path
        if path in ("/health", "/startup"):
            return HttpReply(200, b"OK", TEXT)
        if path == "/unsettledPnlUsers":
            return _json([])
        if path.startswith("/batch"):
            names = (request.first("marketName") or "").split(",")
            found = [self.find(name, None) for name in names]
            if not names[0] or None in found:
                return HttpReply(400, b"Bad Request: unknown market", TEXT)
            if path == "/batchL2":
                return _json({"l2s": [self.l2(terms, DEPTH_MAX) for terms in found if terms]})
            return _json([_fees(terms) for terms in found if terms])
        terms = self.find(request.first("marketName"), request.first("marketIndex"))
        if terms is None or (request.first("marketType") or "perp") != "perp":
            return HttpReply(400, b"Bad Request: unknown market", TEXT)
        return self._of_market(path, request, terms)

    def find(self, name: str | None, index: str | None) -> MarketTerms | None:
        """A market by its name, or its index."""
        for terms in self.terms:
            if name == terms.symbol or (name is None and index == str(terms.index)):
                return terms
        return None

    def l2(self, terms: MarketTerms, depth: int) -> dict[str, Json]:
        """Both sides by price, as integer strings."""
        market = self._market(terms)
        sides = {name: self._levels(terms, market, long=name == "asks")[:depth] for name in ("bids", "asks")}
        bid, ask = (int(sides[name][0]["price"]) if sides[name] else 0 for name in ("bids", "asks"))
        mark = (bid + ask) // 2 if bid and ask else market["last_oracle_price"]
        return {**sides, **self._head(terms, market), **_spread(bid, ask, mark)}

    def grouped(self, terms: MarketTerms, grouping: int) -> dict[str, Json]:
        """The stream's document: numbers instead of strings, sizes added up by whole groups of ticks."""
        book = self.l2(terms, DEPTH_MAX)
        group = grouping * terms.tick
        for name in ("bids", "asks"):
            added: dict[int, float] = {}
            for level in book[name]:
                price = int(level["price"])
                price = -(-price // group) * group if name == "asks" else price // group * group
                added[price] = added.get(price, 0.0) + int(level["size"])
            rows = [{"price": float(price), "size": size} for price, size in added.items()]
            book[name] = rows[:STREAM_DEPTH]
        return book

    def _of_market(self, path: str, request: HttpRequest, terms: MarketTerms) -> HttpReply:
        market = self._market(terms)
        if path == "/l2":
            depth = request.first("depth") or str(DEPTH_MAX)
            if not depth.isdigit() or int(depth) > DEPTH_MAX:
                return HttpReply(400, b"Bad Request: invalid depth", TEXT)
            return _json(self.l2(terms, int(depth)))
        if path == "/l3":
            rows = {name: self._resting(terms, market, long=name == "asks") for name in ("bids", "asks")}
            return _json(
                {**{name: [_l3(row) for row in side] for name, side in rows.items()}, **self._head(terms, market)}
            )
        if path == "/topMakers":
            return self._top_makers(request, terms, market)
        if path == "/auctionParams":
            return self._auction_params(request, terms, market)
        return _json(_fees(terms))

    def _top_makers(self, request: HttpRequest, terms: MarketTerms, market: Record) -> HttpReply:
        side = request.first("side")
        if side not in ("bid", "ask"):
            return HttpReply(400, b"Bad Request: side must be either bid or ask", TEXT)
        limit = int(request.first("limit") or _MAKERS_LIMIT)
        makers = list(dict.fromkeys(row.maker for row in self._resting(terms, market, long=side == "ask")))[:limit]
        if request.first("includeAccounts") != "true":
            return _json([to_base58(maker) for maker in makers])
        data = self._ledger.held
        return _json(
            [{"userAccountPubKey": to_base58(m), "userAccount": b64encode(data[m].data).decode()} for m in makers]
        )

    def _auction_params(self, request: HttpRequest, terms: MarketTerms, market: Record) -> HttpReply:
        direction = request.first("direction")
        if direction not in ("long", "short"):
            return HttpReply(400, b"Bad Request: direction must be long or short", TEXT)
        long = direction == "long"
        best = amm.ask_price(market) if long else amm.bid_price(market)
        start = best * (9995 if long else 10005) // 10000
        end = best * (1005 if long else 995) // 1000
        words = {"auctionDuration": 5, "auctionStartPrice": str(start), "auctionEndPrice": str(end)}
        return _json({"data": {"params": {**words, "direction": direction, "marketIndex": terms.index}}})

    def _levels(self, terms: MarketTerms, market: Record, *, long: bool) -> list[dict[str, Json]]:
        """One side, best first: what buyers (`long`) or sellers meet."""
        added: dict[int, dict[str, int]] = {}
        for price, size in amm.levels(market, _AMM_LEVELS, _AMM_STEP_BPS, long=long):
            added.setdefault(price, {})["vamm"] = size
        for row in self._resting(terms, market, long=long):
            sources = added.setdefault(row.price, {})
            sources["dlob"] = sources.get("dlob", 0) + row.size
        return [
            {
                "price": str(price),
                "size": str(sum(added[price].values())),
                "sources": {name: str(size) for name, size in added[price].items()},
            }
            for price in sorted(added, reverse=not long)
        ]

    def _resting(self, terms: MarketTerms, market: Record, *, long: bool) -> list[Resting]:
        """Users' limit orders on one side, best first."""
        slot, oracle = self._ledger.clock.slot, self._oracle(market)
        rows = []
        for address in self._users:
            user = Record(self._ledger.profile.user, self._ledger.held[address].data)
            if not user["has_open_order"]:
                continue
            for order in positions.open_orders(user):
                if positions.waits(order):
                    continue
                price = auction.price_at(order, slot, terms.tick, oracle)
                resting = order["price"] or order["oracle_price_offset"]
                if order["market_index"] == terms.index and order["direction"] == int(long) and resting and price:
                    rows.append(Resting(price, positions.unfilled(order), address, order["order_id"]))
        return sorted(rows, key=lambda row: row.price if long else -row.price)

    def _head(self, terms: MarketTerms, market: Record) -> dict[str, Json]:
        held = self._ledger.held[market.raw("oracle")]
        oracle = price_of(self._ledger.profile, held.data, self._ledger.clock.slot)
        slot = self._ledger.clock.slot
        data = {
            "price": str(oracle.price),
            "slot": str(slot - oracle.delay),
            "confidence": str(oracle.conf),
            "hasSufficientNumberOfDataPoints": True,
            "twap": str(market["last_oracle_price_twap"]),
            "twapConfidence": str(oracle.conf),
        }
        return {
            "marketName": terms.symbol,
            "marketType": "perp",
            "marketIndex": terms.index,
            "ts": self.now_ms,
            "slot": slot,
            "oracle": oracle.price,
            "oracleData": data,
            "mmOracleData": data,
            "marketSlot": market["last_update_slot"],
        }

    def _oracle(self, market: Record) -> int:
        held = self._ledger.held[market.raw("oracle")]
        return price_of(self._ledger.profile, held.data, self._ledger.clock.slot).price

    def _market(self, terms: MarketTerms) -> Record:
        profile = self._ledger.profile
        return Record(profile.perp_market, self._ledger.held[profile.perp_market_key(terms.index)].data)


def _spread(bid: int, ask: int, mark: int) -> dict[str, Json]:
    apart = ask - bid if bid and ask else 0
    return {
        "markPrice": str(mark),
        "bestBidPrice": str(bid),
        "bestAskPrice": str(ask),
        "spreadPct": str(apart * 100 * PRICE // mark if mark else 0),
        "spreadQuote": str(apart),
    }


def _l3(row: Resting) -> dict[str, Json]:
    return {
        "price": str(row.price),
        "size": str(row.size),
        "maker": to_base58(row.maker),
        "orderId": str(row.order_id),
    }


def _fees(terms: MarketTerms) -> dict[str, Json]:
    fees = {"min": 1, "low": 100, "medium": 1_000, "high": 10_000, "veryHigh": 50_000, "unsafeMax": 1_000_000}
    return {**fees, "marketType": "perp", "marketIndex": terms.index}


def human(amount: int, unit: int = BASE) -> float:
    """A raw amount as a decimal."""
    return amount / unit


def _json(words: Json) -> HttpReply:
    return HttpReply(200, msgspec.json.encode(words))

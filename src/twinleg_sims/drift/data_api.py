"""The data API: markets at a glance, and the funding of the past."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec

from twinleg_sims.drift import amm
from twinleg_sims.drift.genesis import MarketTerms
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.ledger import Ledger
from twinleg_sims.drift.words import BASE, FUNDING, MARGIN, PRICE
from twinleg_sims.protocol import HttpReply, HttpRequest

PAGE_MAX = 750
PAST_HOURS = 72
HOURS_MAX = 24 * 31
_HOUR_S = 3600
_PARTS_OF_DAY = 6
_FIELDS = ("ts", "recordId", "marketIndex", "fundingRate", "fundingRateLong", "fundingRateShort")
_MORE_FIELDS = ("cumulativeFundingRateLong", "cumulativeFundingRateShort", "oraclePriceTwap", "markPriceTwap")

Json = Any


@dataclass(frozen=True, slots=True)
class Hour:
    """One funding update. Rates are QUOTE per base, 1e9; prices PRICE units."""

    ts: int
    record_id: int
    rate: int
    cumulative: int
    oracle: int
    mark: int


class DataApi:
    """Over a chain, with a made-up past that is the same for the same seed; at most HOURS_MAX hours are kept."""

    def __init__(self, ledger: Ledger, terms: list[MarketTerms], seed: int) -> None:
        self._ledger = ledger
        self._terms = terms
        self._hours = {each.index: self._past(each, Random(f"{seed}:{each.symbol}:funding")) for each in terms}

    def knows(self, path: str) -> bool:
        return path.startswith(("/stats/", "/market/"))

    def funded(self, indexes: list[int]) -> None:
        """Markets' funding was updated just now."""
        for index in indexes:
            market = self._market(index)
            self._hours[index].append(
                Hour(
                    market["last_funding_rate_ts"],
                    market["next_funding_rate_record_id"] - 1,
                    market["last_funding_rate"],
                    market["cumulative_funding_rate_long"],
                    market["last_oracle_price_twap"],
                    market["last_mark_price_twap"],
                )
            )

    def answer(self, request: HttpRequest) -> HttpReply:
        """A GET."""
        parts = request.path.strip("/").split("/")
        if request.path == "/stats/markets":
            return _json({"success": True, "markets": [self._glance(terms) for terms in self._terms]})
        terms = next((each for each in self._terms if len(parts) > 1 and each.symbol == parts[1]), None)
        if terms is None or parts[2:3] != ["fundingRates"]:
            return _json({"success": False, "message": "Not found"}, 404)
        rows = [self._row(terms, hour) for hour in reversed(self._hours[terms.index])]
        if len(parts) == _PARTS_OF_DAY:
            return _csv([row for row in rows if _day_of(row) == "/".join(str(int(part)) for part in parts[3:])])
        limit = min(int(request.first("limit") or PAGE_MAX), PAGE_MAX)
        start = int(request.first("page") or 0) * limit
        more = start + limit < len(rows)
        following = str(int(request.first("page") or 0) + 1) if more else None
        return _json({"success": True, "records": rows[start : start + limit], "meta": {"nextPage": following}})

    def _glance(self, terms: MarketTerms) -> dict[str, Json]:
        """Its funding is each side's own profit, in percent an hour: below zero the side pays."""
        market = self._market(terms.index)
        twap = market["last_oracle_price_twap"]
        percent = market["last_funding_rate"] / FUNDING / (twap / PRICE) * 100
        tier = Record(self._ledger.profile.state, self._ledger.held[self._ledger.profile.state_key].data).at(
            "fee_tiers"
        )
        return {
            "symbol": terms.symbol,
            "marketIndex": terms.index,
            "marketType": "perp",
            "baseAsset": terms.asset,
            "quoteAsset": self._ledger.profile.quote_symbol,
            "status": "active",
            "oraclePrice": _text(market["last_oracle_price"] / PRICE),
            "markPrice": _text(amm.mark_price(market) / PRICE),
            "quoteVolume": _text(market["volume_24h"] / PRICE),
            "openInterest": {
                "long": _text(market["base_asset_amount_long"] / BASE),
                "short": _text(market["base_asset_amount_short"] / BASE),
            },
            "fundingRate": {"long": _text(-percent), "short": _text(percent)},
            "fundingRateUpdateTs": market["last_funding_rate_ts"],
            "fees": {
                "taker": _text(tier["fee_numerator"] / tier["fee_denominator"]),
                "maker": _text(-tier["maker_rebate_numerator"] / tier["maker_rebate_denominator"]),
            },
            "limits": {"leverage": {"min": 1, "max": MARGIN // terms.initial}},
        }

    def _row(self, terms: MarketTerms, hour: Hour) -> dict[str, Json]:
        """Rates in quote per base, not fractions."""
        rate = _text(hour.rate / FUNDING)
        total = _text(hour.cumulative / FUNDING)
        head = (hour.ts, hour.record_id, terms.index, rate, rate, rate)
        rest = (total, total, _text(hour.oracle / PRICE), _text(hour.mark / PRICE))
        return dict(zip(_FIELDS + _MORE_FIELDS, head + rest, strict=True))

    def _past(self, terms: MarketTerms, dice: Random) -> deque[Hour]:
        market = self._market(terms.index)
        price, now = market["last_oracle_price"], market["last_funding_rate_ts"]
        hours: deque[Hour] = deque(maxlen=HOURS_MAX)
        total = 0
        for back in range(PAST_HOURS, 0, -1):
            rate = round(price * 1000 * dice.gauss(0.000012, 0.00002))
            total += rate
            hours.append(Hour(now - (back - 1) * _HOUR_S, PAST_HOURS - back + 1, rate, total, price, price))
        market["last_funding_rate"] = market["last_funding_rate_long"] = market["last_funding_rate_short"] = rate
        market["cumulative_funding_rate_long"] = market["cumulative_funding_rate_short"] = total
        market["next_funding_rate_record_id"] = PAST_HOURS + 1
        return hours

    def _market(self, index: int) -> Record:
        profile = self._ledger.profile
        return Record(profile.perp_market, self._ledger.held[profile.perp_market_key(index)].data)


def _day_of(row: dict[str, Json]) -> str:
    when = datetime.fromtimestamp(row["ts"], UTC)
    return f"{when.year}/{when.month}/{when.day}"


def _csv(rows: list[dict[str, Json]]) -> HttpReply:
    lines = [",".join(_FIELDS + _MORE_FIELDS)] if rows else []
    lines += [",".join(str(value) for value in row.values()) for row in rows]
    return HttpReply(200, "\n".join(lines).encode(), {"Content-Type": "text/csv"})


def _text(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _json(words: Json, status: int = 200) -> HttpReply:
    return HttpReply(status, msgspec.json.encode(words))

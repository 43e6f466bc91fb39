"""What can be subscribed to. Both stream versions share one name for it: the v2 subscription id ("orderbooks.BTC-USD").

v1 names a topic by the path of the connection, v2 by scope and selector of a subscribe request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from twinleg_sims.extended.facts import CANDLE_INTERVALS_MS

ALL = "all"
CANDLE_KINDS_BY_PATH = {"trades": "last", "mark-prices": "mark", "index-prices": "index"}
"""REST and v1 path segment -> v2 candle type."""


class UnknownTopicError(ValueError):
    """There is no such topic: unknown scope, market, or parameter."""


class IgnoredSelectorError(ValueError):
    """A selector the venue was seen to leave without any answer (an invalid depth)."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing to subscribe to. `market` None means all; `kind` and `interval` are empty where the scope has none."""

    scope: str
    market: str | None
    kind: str = ""
    interval: str = ""

    @property
    def subscription(self) -> str:
        """The v2 subscription id."""
        market = self.market or ALL
        match self.scope, self.kind:
            case "orderbooks", "rfq":
                return f"orderbooks.{market}.rfq"
            case "candles", kind:
                return f"candles.{kind}.{market}.{self.interval}"
            case scope, "":
                return f"{scope}.{market}"
            case scope, kind:
                return f"{scope}.{kind}.{market}"


def from_path(segments: list[str], query: Mapping[str, str], markets: Collection[str]) -> Topic:
    """The topic of a v1 connection, from the path below the stream prefix. Raises UnknownTopicError."""
    match segments:
        case ["orderbooks", *rest] if len(rest) <= 1:
            kind = {None: "", "1": "1"}.get(query.get("depth"))
            if kind is None:
                raise UnknownTopicError(f"depth {query['depth']!r}")
            return Topic("orderbooks", _market(rest, markets), kind)
        case ["publicTrades", *rest] if len(rest) <= 1:
            return Topic("trades", _market(rest, markets))
        case ["funding", *rest] if len(rest) <= 1:
            return Topic("funding-rates", _market(rest, markets))
        case ["prices", "mark" | "index" as kind, *rest] if len(rest) <= 1:
            return Topic("prices", _market(rest, markets), kind)
        case ["candles", market, path_kind] if path_kind in CANDLE_KINDS_BY_PATH:
            interval = query.get("interval", "")
            if interval not in CANDLE_INTERVALS_MS:
                raise UnknownTopicError(f"interval {interval!r}")
            return Topic("candles", _market([market], markets), CANDLE_KINDS_BY_PATH[path_kind], interval)
    raise UnknownTopicError("/".join(segments))


def from_selector(scope: object, selector: Mapping[str, object], markets: Collection[str]) -> Topic:
    """The topic of a v2 request. Raises UnknownTopicError, or IgnoredSelectorError for what the venue ignores."""
    market = selector.get("market")
    if not (market is None or (isinstance(market, str) and market in markets)):
        raise UnknownTopicError(f"market {market!r}")
    match scope:
        case "orderbooks":
            return Topic("orderbooks", market, _book_kind(selector))
        case "trades" | "funding-rates":
            return Topic(str(scope), market)
        case "prices":
            return Topic("prices", market, _choice(selector, "type", ("mark", "index")))
        case "candles" if market is not None:
            kind = _choice(selector, "type", tuple(CANDLE_KINDS_BY_PATH.values()))
            return Topic("candles", market, kind, _choice(selector, "interval", tuple(CANDLE_INTERVALS_MS)))
    raise UnknownTopicError(f"scope {scope!r}")


def _market(rest: list[str], markets: Collection[str]) -> str | None:
    if not rest:
        return None
    if rest[0] not in markets:
        raise UnknownTopicError(f"market {rest[0]!r}")
    return rest[0]


def _book_kind(selector: Mapping[str, object]) -> str:
    depth = _choice(selector, "depth", ("full", "1"), default="full")
    rfq_only = selector.get("rfqOnly", False)
    if rfq_only and depth == "1":
        raise IgnoredSelectorError("rfqOnly needs the full depth")
    return "rfq" if rfq_only else "" if depth == "full" else depth


def _choice(selector: Mapping[str, object], name: str, choices: tuple[str, ...], default: str = "") -> str:
    value = selector.get(name, default)
    if value not in choices:
        raise IgnoredSelectorError(f"{name} {value!r}")
    return str(value)

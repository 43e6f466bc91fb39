"""The DLOB server's WebSocket: full books every so often, trades as they happen, heartbeats."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec

from twinleg_sims.drift.borsh import EndError, Reader
from twinleg_sims.drift.dlob import Dlob, human
from twinleg_sims.drift.genesis import MarketTerms
from twinleg_sims.drift.keys import discriminator, to_base58
from twinleg_sims.drift.ledger import Done
from twinleg_sims.drift.words import BASE, QUOTE, Action
from twinleg_sims.protocol import Close, Frame, Out

BOOK_EVERY_MS = 400
HEARTBEAT_EVERY_MS = 5_000
CHANNELS = ("orderbook", "orderbook_indicative", "trades", "priorityfees")
GROUPINGS = (1, 10, 100, 500, 1000)
_ACTION_RECORD = discriminator("event", "OrderActionRecord")
_DIRECTIONS = ("long", "short")
_WITH = {6: "orderFilledWithAmm", 8: "orderFilledWithMatch"}

Topic = tuple[str, int, int]
"""A channel, a market's index and a grouping."""


class DlobStream:
    """Who hears of what."""

    def __init__(self, dlob: Dlob) -> None:
        self._dlob = dlob
        self._open: dict[int, dict[Topic, MarketTerms]] = {}
        self._book_due_ms = self._beat_due_ms = 0

    def open(self, connection: int) -> None:
        self._open[connection] = {}

    def closed(self, connection: int) -> None:
        self._open.pop(connection, None)

    def message(self, connection: int, payload: bytes) -> list[Out]:
        """Subscribe or unsubscribe; what makes no sense is told, or closes the connection."""
        try:
            asked = msgspec.json.decode(payload)
            kind, channel, name = asked["type"], asked["channel"], asked["market"]
        except (msgspec.DecodeError, KeyError, TypeError):
            return [Close(connection, 1003, "Invalid message")]
        terms = self._dlob.find(name, None)
        if terms is None or channel not in CHANNELS or asked.get("marketType", "perp") != "perp":
            return [_frame(connection, {"channel": channel, "error": "Error subscribing to channel"})]
        grouping = asked.get("grouping", 1)
        topic = (channel, terms.index, grouping if grouping in GROUPINGS else 1)
        mine = self._open.setdefault(connection, {})
        words = f"channel: {channel}, market: {name}, marketType: perp"
        if kind == "unsubscribe":
            mine.pop(topic, None)
            return [_frame(connection, {"message": f"Unsubscribe received for {words}"})]
        mine[topic] = terms
        acknowledged = _frame(connection, {"message": f"Subscribe received for {words}"})
        return [acknowledged, self._book(connection, topic, terms, first=True)] if _is_book(topic) else [acknowledged]

    def advance(self, now_ms: int) -> list[Out]:
        """Books and heartbeats that are due."""
        outs: list[Out] = []
        if now_ms >= self._book_due_ms:
            self._book_due_ms = now_ms + BOOK_EVERY_MS
            for connection, mine in self._open.items():
                outs += [self._book(connection, topic, terms) for topic, terms in mine.items() if _is_book(topic)]
        if now_ms >= self._beat_due_ms:
            self._beat_due_ms = now_ms + HEARTBEAT_EVERY_MS
            outs += [_frame(connection, {"channel": "heartbeat"}) for connection in self._open]
        return outs

    def traded(self, landed: list[Done]) -> list[Out]:
        """The fills of transactions."""
        outs: list[Out] = []
        for done in landed:
            for line in done.result.logs:
                trade = trade_of(line, done)
                if trade is None:
                    continue
                for connection, mine in self._open.items():
                    if ("trades", trade["marketIndex"], 1) in mine:
                        words = msgspec.json.encode(trade).decode()
                        name = f"trades_perp_{trade['marketIndex']}"
                        outs.append(_frame(connection, {"channel": name, "data": words}, "trades"))
        return outs

    def _book(self, connection: int, topic: Topic, terms: MarketTerms, *, first: bool = False) -> Frame:
        channel, index, grouping = topic
        words = msgspec.json.encode(self._dlob.grouped(terms, grouping)).decode()
        indicative = "_indicative" if channel.endswith("indicative") else ""
        told = {"channel": f"orderbook_perp_{index}_grouped_{grouping}{indicative}", "data": words}
        return Frame(connection, msgspec.json.encode(told), "book", terms.symbol, snapshot=first)


def trade_of(line: str, done: Done) -> dict[str, Any] | None:
    """The fill that a log line tells of, in human decimals; None when it tells of something else."""
    words = line.removeprefix("Program log: ")
    if not line.startswith("Program log: ") or " " in words:
        return None
    try:
        raw = b64decode(words, validate=True)
        return _trade(Reader(raw[8:]), done) if raw[:8] == _ACTION_RECORD else None
    except (ValueError, EndError):
        return None


def _trade(read: Reader, done: Done) -> dict[str, Any] | None:
    ts, action, why, index = read.i(64), read.u(8), read.u(8), read.u(16)
    if action != Action.FILL:
        return None
    read.u(8)
    filler = read.option(lambda: read.take(32))
    read.option(lambda: read.u(64))
    record = read.option(lambda: read.u(64))
    base, quote = read.option(lambda: read.u(64)) or 0, read.option(lambda: read.u(64)) or 0
    taker_fee, maker_fee = read.option(lambda: read.u(64)) or 0, read.option(lambda: read.i(64)) or 0
    read.option(lambda: read.u(32))
    surplus = read.option(lambda: read.i(64)) or 0
    read.option(lambda: read.u(64))
    sides = {**_side(read, "taker"), **_side(read, "maker")}
    return {
        "ts": ts,
        "marketIndex": index,
        "marketType": "perp",
        "fillRecordId": record,
        "filler": to_base58(filler) if filler else None,
        "takerFee": human(taker_fee, QUOTE),
        "makerFee": human(maker_fee, QUOTE),
        "quoteAssetAmountSurplus": human(surplus, QUOTE),
        "baseAssetAmountFilled": human(base),
        "quoteAssetAmountFilled": human(quote, QUOTE),
        **sides,
        "oraclePrice": human(read.i(64), QUOTE),
        "txSig": to_base58(done.signature),
        "slot": done.slot,
        "action": "fill",
        "actionExplanation": _WITH.get(why, "none"),
    }


def _side(read: Reader, name: str) -> dict[str, Any]:
    user, order_id = read.option(lambda: read.take(32)), read.option(lambda: read.u(32))
    direction, size = read.option(lambda: read.u(8)), read.option(lambda: read.u(64))
    base, quote = read.option(lambda: read.u(64)), read.option(lambda: read.u(64))
    return {
        name: to_base58(user) if user else None,
        f"{name}OrderId": order_id,
        f"{name}OrderDirection": None if direction is None else _DIRECTIONS[direction],
        f"{name}OrderBaseAssetAmount": human(size or 0, BASE),
        f"{name}OrderCumulativeBaseAssetAmountFilled": human(base or 0),
        f"{name}OrderCumulativeQuoteAssetAmountFilled": human(quote or 0, QUOTE),
    }


def _is_book(topic: Topic) -> bool:
    return topic[0].startswith("orderbook")


def _frame(connection: int, words: Any, topic: str = "") -> Frame:
    return Frame(connection, msgspec.json.encode(words), topic)

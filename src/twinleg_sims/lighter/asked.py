"""A private request's parameters, from its query or its form, and the budget it is counted on."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from twinleg_sims.lighter.errors import RefusedError, parameter
from twinleg_sims.lighter.wire import Row
from twinleg_sims.protocol import HttpRequest

ALL_MARKETS = 255
ROWS_MAX = 100
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_BOUNDARY = re.compile(r'boundary="?([^";]+)')
_PART_NAME = re.compile(rb'name="([^"]+)"')


class Asked:
    """Named texts of a request. A POST's come from its form, urlencoded (the SDK's) or multipart (ccxt's)."""

    def __init__(self, request: HttpRequest) -> None:
        self.method = request.method
        self.peer = request.peer
        fields = request.query if request.method == "GET" else [*request.query, *_form(request)]
        self._fields = dict(fields)
        self.token = request.headers.get("authorization") or self._fields.get("auth")

    def text(self, name: str) -> str:
        """A required one. Raises RefusedError."""
        found = self._fields.get(name)
        if found is None:
            raise parameter(name)
        return found

    def optional(self, name: str) -> str | None:
        return self._fields.get(name)

    def number(self, name: str, default: int | None = None, *, low: int = 0, high: int = 1 << 62) -> int:
        """A whole number; without a default it is required. Raises RefusedError."""
        text = self._fields.get(name)
        if text is None and default is not None:
            return default
        if text is None or not re.fullmatch(r"-?\d{1,19}", text, re.ASCII) or not low <= int(text) <= high:
            raise parameter(name)
        return int(text)

    def limit(self) -> int:
        return self.number("limit", ROWS_MAX, low=1, high=ROWS_MAX)

    def market_ids(self) -> frozenset[int] | None:
        """`market_id` or `market_ids` (comma separated); None means all."""
        text = self._fields.get("market_id") or self._fields.get("market_ids")
        if text in (None, "", str(ALL_MARKETS)):
            return None
        return frozenset(_numbers(str(text), ",", "market_id"))

    def span_ms(self, name: str) -> tuple[int, int] | None:
        """Two times as "from-to". Raises RefusedError."""
        text = self._fields.get(name)
        if not text:
            return None
        times = _numbers(text, "-", name)
        if len(times) != 2:
            raise parameter(name)
        return times[0], times[1]


def page(rows: list[Row], asked: Asked) -> tuple[list[Row], dict[str, str]]:
    """One page of `rows` from `cursor` on, and the next cursor if there is more. Raises RefusedError."""
    start = asked.number("cursor", 0, high=1_000_000) if asked.optional("cursor") else 0
    end = start + asked.limit()
    return rows[start:end], ({"next_cursor": str(end)} if end < len(rows) else {})


def _numbers(text: str, separator: str, name: str) -> list[int]:
    parts = text.split(separator)
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise parameter(name)
    return [int(part) for part in parts]


def _form(request: HttpRequest) -> list[tuple[str, str]]:
    kind = request.headers.get("content-type", "")
    boundary = _BOUNDARY.search(kind)
    try:
        if kind.startswith("multipart/form-data") and boundary:
            return [field for part in request.body.split(b"--" + boundary[1].encode()) if (field := _field(part))]
        return parse_qsl(request.body.decode(), keep_blank_values=True)
    except ValueError as error:
        raise RefusedError(20001) from error


def _field(part: bytes) -> tuple[str, str] | None:
    head, _, value = part.partition(b"\r\n\r\n")
    name = _PART_NAME.search(head)
    return (name[1].decode(), value.removesuffix(b"\r\n").decode()) if name else None

"""Who may speak to the gateway, and what it refuses cheaply."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from gateway_process import call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from twinleg.gateway.access import BODY_BYTES_MAX, refusal
from twinleg.gateway.bodies import DriftOrder, ExtendedOrder, LighterOrder

DOCUMENTED = {200, 400, 403, 404, 405, 409, 413, 422, 429, 502, 503, 504}
LIGHTER = {"market_index": 0, "client_order_index": 1, "base_amount": 1, "is_ask": True, "price": 1}
EXTENDED = {"market": "BTC-USD", "side": "buy", "qty": "0.001", "price": "60000"}


def scope(peer: str | None = "127.0.0.1", host: str = "127.0.0.1:8080", **headers: str) -> dict[str, Any]:
    named = [(b"host", host.encode())]
    named += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "client": None if peer is None else (peer, 5), "headers": named}


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1"])
@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080"])
def test_this_machine_may(peer: str, host: str) -> None:
    assert refusal(scope(peer, host)) is None
    assert refusal(scope(peer, host, origin="http://localhost:3000")) is None


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (scope("192.168.1.5"), "not_this_machine"),
        (scope("::ffff:10.0.0.1"), "not_this_machine"),
        (scope(None), "not_this_machine"),
        (scope(host="evil.example"), "host"),
        (scope(host="localhost.evil.example"), "host"),
        (scope(host="127.0.0.1.evil.example:8080"), "host"),
        (scope(origin="http://evil.example"), "origin"),
        (scope(origin="null"), "origin"),
        (scope(content_length=str(BODY_BYTES_MAX + 1)), "too_large"),
        (scope(content_length="9" * 500), "too_large"),
        (scope(content_length="-1"), "too_large"),
        ({**scope(), "headers": []}, "host"),
        ({**scope(), "headers": [(b"host", b"localhost"), (b"host", b"evil.example")]}, "host"),
    ],
)
def test_others_may_not(asked: dict[str, Any], code: str) -> None:
    found = refusal(asked)
    assert found is not None
    assert found.code == code


def test_over_the_wire(gateway: str) -> None:
    assert call("GET", f"{gateway}/health", Host="evil.example").body["code"] == "host"
    assert call("POST", f"{gateway}/orders/lighter", LIGHTER, Origin="https://evil.example").body["code"] == "origin"
    assert call("GET", f"{gateway}/nothing").body["code"] == "not_found"
    assert call("PUT", f"{gateway}/health").body["code"] == "method_not_allowed"
    assert call("POST", f"{gateway}/orders/binance/cancel", {"market": "X", "order_id": "1"}).status == 422


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"\xff\xfe\x00",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"market_index": NaN}',
    b'{"market_index": Infinity}',
    b'{"market_index": ' + b"9" * 5_000 + b"}",
    b'{"market_index": 1e999}',
    b'"' + b"\\ud800" * 100 + b'"',
    json.dumps({**LIGHTER, "price": True}).encode(),
    json.dumps({**LIGHTER, "base_amount": "1000"}).encode(),
    json.dumps({**LIGHTER, "base_amount": 1.0}).encode(),
    json.dumps({**LIGHTER, "client_order_index": 2**70}).encode(),
    json.dumps({**LIGHTER, "\u202eevil": 1}).encode(),
    json.dumps({**LIGHTER, "evil": "\ud800"}).encode(),
    json.dumps({**LIGHTER, "\ud800": 1}).encode(),
    json.dumps({**LIGHTER, "evil": 10**4_000}).encode(),
    json.dumps(LIGHTER).encode()[:-1] + b', "evil": ' + b"[" * 900 + b"]" * 900 + b"}",
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("venue", ["lighter", "extended", "drift"])
def test_hostile_bodies(gateway: str, venue: str, body: bytes) -> None:
    answer = call("POST", f"{gateway}/orders/{venue}", body)
    assert answer.status in (400, 422), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in str(answer.body)


def chunked(gateway: str, size: int) -> bytes:
    """The beginning of the answer to a body that does not say how long it is."""
    where = urlsplit(gateway)
    with socket.create_connection((where.hostname, where.port), 30) as link:
        head = f"POST /orders/lighter HTTP/1.1\r\nHost: {where.netloc}\r\nTransfer-Encoding: chunked\r\n\r\n"
        link.sendall(head.encode())
        try:
            for _ in range(size // 65_536 + 1):
                link.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            link.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # it has answered and hung up already
        return link.recv(64)


def test_a_body_that_does_not_say_how_long_it_is(gateway: str) -> None:
    assert b"413" in chunked(gateway, 10_000_000)
    assert call("GET", f"{gateway}/health").status == 200


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e5000", "", "abc", "-1", "0", True, [], {}, "1_000", "٣"])
def test_decimals_are_plain(value: object) -> None:
    with pytest.raises(ValidationError):
        ExtendedOrder(**{**EXTENDED, "qty": value})  # type: ignore[arg-type]


def test_decimals_are_exact() -> None:
    drift = {"market_index": 0, "direction": "long", "price": 175.5}
    assert DriftOrder(**drift, base_amount=0.29).base_amount * 10**9 == 290_000_000  # type: ignore[arg-type]
    assert str(ExtendedOrder(**{**EXTENDED, "qty": 0.1}).qty) == "0.1"  # type: ignore[arg-type]


def test_unknown_fields_are_named() -> None:
    with pytest.raises(ValidationError, match="frobnicate"):
        LighterOrder(**LIGHTER, frobnicate=1)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def paths(gateway: str) -> dict[str, Any]:
    found: dict[str, Any] = call("GET", f"{gateway}/openapi.json").body["paths"]
    return found


def test_every_failure_has_a_shape(paths: dict[str, Any]) -> None:
    for path, methods in paths.items():
        for method, described in methods.items():
            assert described["responses"].keys() & {"503", "422"}, (method, path)


@given(
    venue=st.sampled_from(["lighter", "extended", "drift"]),
    action=st.sampled_from(["", "/cancel", "/modify", "/cancel-all"]),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*LIGHTER, *EXTENDED, "client_id", "order_id", "size", "order_type"])
                | st.text(max_size=5),
                inner,
                max_size=8,
            )
        ),
        max_leaves=12,
    ),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_that_is_posted_breaks_it(gateway: str, venue: str, action: str, body: object) -> None:
    if action == "/cancel-all" and body in ({}, {"market": None}):
        return  # that is a request
    answer = call("POST", f"{gateway}/orders/{venue}{action}", json.dumps(body).encode())
    assert answer.status in DOCUMENTED
    assert answer.body["status"] == answer.status
    assert answer.body["code"] != "internal"

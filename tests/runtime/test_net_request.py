"""PicowsNet.request against a server that breaks every rule."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
from collections.abc import AsyncIterator

import hostile
import pytest
from hostile import http, raw, serving

from twinleg.core.venue import Request
from twinleg.runtime.clock import SystemClock
from twinleg.runtime.net import BODY_BYTES_MAX, NO_URL, PicowsNet, place, retry_after, usable
from twinleg.runtime.ports import Reply

pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture
async def net() -> AsyncIterator[PicowsNet]:
    async with PicowsNet(SystemClock()) as opened:
        yield opened


def ask(port: int, path: str = "/", **more: object) -> Request:
    return Request(venue="v", **{"method": "GET", "url": f"http://127.0.0.1:{port}{path}", **more})  # type: ignore[arg-type]


async def ask_once(net: PicowsNet, script: hostile.Script, *, timeout_ms: int = 20_000) -> Reply:
    async with serving(script) as port:
        return await net.request(ask(port), timeout_ms)


@pytest.mark.parametrize(
    ("script", "status", "body"),
    [
        (http("200 OK", b'{"a":1}'), 200, b'{"a":1}'),
        (http("200 OK", b""), 200, b""),
        (http("200 OK", b"<html>hello</html>", "Content-Type: text/html"), 200, b"<html>hello</html>"),
        (http("500 Internal Server Error", b"oops"), 500, b"oops"),
        (http("404 Not Found", b"<html/>"), 404, b"<html/>"),
        (http("302 Found", b"", "Location: http://127.0.0.1:1/"), 302, b""),
        (http("200 OK", gzip.compress(b"squeezed"), "Content-Encoding: gzip"), 200, b"squeezed"),
    ],
)
async def test_whatever_is_answered_comes_back(
    net: PicowsNet, script: hostile.Script, status: int, body: bytes
) -> None:
    reply = await ask_once(net, script)
    assert (reply.status, reply.body, reply.sent) == (status, body, True)


@pytest.mark.parametrize(
    ("script", "reason", "timeout_ms"),
    [
        (raw(b""), "Server disconnected", 20_000),
        (raw(b"", then="reset"), "Connection reset by peer", 20_000),
        (raw(b"\x00\xff garbage\r\n\r\n"), "", 20_000),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "", 20_000),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then="reset"), "", 20_000),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then="hang"), "timeout of 50 ms", 50),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "", 20_000),
        (raw(b"", then="hang"), "timeout of 50 ms", 50),
        (http("200 OK", b"not gzip", "Content-Encoding: gzip"), "", 20_000),
        (
            raw(f"HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\n\r\n".encode(), then="hang"),
            f"body over {BODY_BYTES_MAX} bytes",
            20_000,
        ),
        (
            http("200 OK", gzip.compress(bytes(BODY_BYTES_MAX + 1)), "Content-Encoding: gzip"),
            f"body over {BODY_BYTES_MAX} bytes",
            20_000,
        ),
    ],
)
async def test_what_cannot_be_read_is_unknown(
    net: PicowsNet, script: hostile.Script, reason: str, timeout_ms: int
) -> None:
    reply = await ask_once(net, script, timeout_ms=timeout_ms)
    assert (reply.status, reply.body, reply.sent) == (None, b"", True), "it may have been acted upon"
    assert reply.reason
    assert reason in reply.reason


async def test_body_without_declared_length_is_capped(net: PicowsNet) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(bytes(1024 * 1024))
            await writer.drain()

    reply = await ask_once(net, endless)
    assert reply.reason == f"body over {BODY_BYTES_MAX} bytes"


async def test_what_never_left_us_is_known(net: PicowsNet) -> None:
    refused = await net.request(ask(hostile.free_port()), 20_000)
    assert (refused.status, refused.reason, refused.sent) == (None, "connect failed: Connection refused", False)
    unknown = await net.request(Request(venue="v", method="GET", url="http://no-such-host.invalid/"), 20_000)
    assert (unknown.status, unknown.sent) == (None, False)
    assert unknown.reason.startswith("name resolution failed")
    bad = await net.request(Request(venue="v", method="GET", url="no url at all"), 20_000)
    assert bad == Reply(None, b"", NO_URL, sent=False)


async def test_server_whose_backlog_is_full(net: PicowsNet) -> None:
    """A connection that is never accepted nor refused: the connect timeout, and nothing was sent."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        await asyncio.sleep(0)
        reply = await net.request(ask(port), 100)
        for filler in fillers:
            filler.close()
    assert reply.status is None
    assert "timeout" in reply.reason
    assert not reply.sent


async def test_request_goes_out_as_given(net: PicowsNet) -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head + await reader.readexactly(7))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\nok")
        await hostile.gone(reader)

    async with serving(script) as port:
        request = ask(port, "/orders?x=%2F1&y=a", method="POST", headers={"X-Api-Key": "k"}, body=b'{"a":1}')
        assert (await net.request(request, 20_000)).body == b"ok"
    assert seen[0].startswith(b"POST /orders?x=%2F1&y=a HTTP/1.1\r\n")
    assert b"X-Api-Key: k\r\n" in seen[0]
    assert seen[0].endswith(b'{"a":1}')


async def test_a_post_is_never_sent_twice(net: PicowsNet) -> None:
    """A kept connection that the server drops on the next request: unknown, not repeated behind our back."""
    count = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")
        count += 1

    async with serving(once) as port:
        request = ask(port, method="POST", body=b"")
        assert (await net.request(request, 20_000)).status == 200
        reply = await net.request(request, 20_000)
    assert (reply.status, reply.sent, count) == (None, True, 1)


async def test_retry_after_is_read(net: PicowsNet) -> None:
    reply = await ask_once(net, http("429 Too Many Requests", b"slow down", "Retry-After: 7"))
    assert (reply.status, reply.retry_after_s) == (429, 7.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("9" * 50, 999_999_999.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 4.0),
        ("Fri, 31 Dec 1999 23:59:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
    ],
)
def test_retry_after_forms(text: str, seconds: float | None) -> None:
    assert retry_after(text, 946_684_795_000) == seconds


@pytest.mark.parametrize("url", ["http://a.b/c?d=e%2F", "https://[::1]:8080/", "http://127.0.0.1", "http://x_y.io/"])
def test_usable_urls(url: str) -> None:
    assert usable(url, "http")
    assert not usable(url, "ws")


@pytest.mark.parametrize(
    "url",
    [
        *("", "no url", "http://", "http:///path", "ftp://a/", "http://a..b/", "http://a:99999/", "http://a:0/"),
        *("http://[::1/", "http://a/b c", "http://a/\r\nX: y", "http://\u00e4.io/", f"http://{'a' * 80}.io/"),
    ],
)
def test_unusable_urls(url: str) -> None:
    assert not usable(url, "http")


REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nRetry-After: 3\r\n\r\n"


@pytest.mark.parametrize("seed", range(8))
async def test_any_bytes_are_a_reply(net: PicowsNet, seed: int) -> None:
    """Replies with random damage: never a raise, and no status with half a body that claimed to be whole."""
    dice = random.Random(seed)

    async def damaged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reply = bytearray(REPLY + b"5\r\nhello\r\n0\r\n\r\n")
        for _ in range(dice.randint(1, 4)):
            reply[dice.randrange(len(reply))] = dice.randrange(256)
        writer.write(reply[: dice.randrange(len(reply) + 1)] if dice.random() < 0.3 else reply)

    async with serving(damaged) as port:
        for _ in range(40):
            reply = await net.request(ask(port), 2_000)
            assert reply.sent
            assert (reply.status is None) == (reply.body == b"" and reply.reason != "" and reply.retry_after_s is None)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@api.venue.io/v1/x?key=secret#f", "https://api.venue.io/v1/x"),
        ("ws://127.0.0.1:80/s?auth=secret", "ws://127.0.0.1:80/s"),
    ],
)
def test_place_shows_no_secret(url: str, shown: str) -> None:
    assert place(url) == shown


async def test_no_secret_in_any_log(net: PicowsNet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    async with serving(raw(b"")) as port:
        await net.request(ask(port, "/x?key=secret", headers={"X-Key": "secret"}, body=b"secret"), 20_000)
    assert "Server disconnected" in caplog.text
    assert "secret" not in caplog.text

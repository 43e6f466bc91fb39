"""The sockets: one HTTP client, one WebSocket client. What the network does wrong becomes a Reply or a reason.

Nothing here knows a venue. Headers are never logged and URLs only without their query: both may carry secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import ssl
from email.utils import parsedate_to_datetime
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp
from picows import WSError, WSHandshakeError, WSTransport, ws_connect
from picows.url import WSParsedURL
from yarl import URL

from twinleg.core.venue import Request
from twinleg.runtime.ports import Clock, Reply, Stream, StreamListener
from twinleg.runtime.websocket import WebSocket

LOG = logging.getLogger("twinleg.net")

BODY_BYTES_MAX = 16 * 1024 * 1024
CONNECT_TIMEOUT_S = 5.0
"""At most this, and half of a request's time, may go into getting a connection: then we know that nothing was sent."""
USER_AGENT = "twinleg"
NO_URL = "not a URL we can use"
KEEP_ALIVE_S = 55.0
"""Idle connections are kept just below the 60 s after which common load balancers cut them (AWS ALB's default)."""
CONNECTIONS_PER_HOST_MAX = 16
DNS_CACHE_S = 60
ADDRESSES_MAX = 4
"""Addresses of one host that are tried in turn for a stream, each with an equal share of the time."""


class PicowsNet:
    """The real ports.Net: aiohttp for requests, picows for streams. Use as `async with PicowsNet(clock) as net`."""

    def __init__(self, clock: Clock, ssl_context: ssl.SSLContext | None = None) -> None:
        """`ssl_context` replaces the system's trust (tests, private gateways)."""
        self._clock = clock
        self._ssl = ssl_context or ssl.create_default_context()
        self._session: aiohttp.ClientSession | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._picows_log = logging.getLogger("twinleg.net.picows")
        # Below warning, picows writes whole upgrade requests (with their headers) to its log.
        self._picows_log.setLevel(logging.WARNING)

    async def __aenter__(self) -> PicowsNet:
        connector = aiohttp.TCPConnector(
            ssl=self._ssl,
            limit_per_host=CONNECTIONS_PER_HOST_MAX,
            keepalive_timeout=KEEP_ALIVE_S,
            ttl_dns_cache=DNS_CACHE_S,
            resolver=aiohttp.ThreadedResolver(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the HTTP connections, and wait for the streams' ends: their owners have closed them before."""
        for farewell in self._farewells:
            farewell.cancel()
        await asyncio.gather(*self._farewells, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(self, request: Request, timeout_ms: int) -> Reply:
        """Send once, follow no redirect, read at most BODY_BYTES_MAX; `timeout_ms` covers all of it.

        aiohttp repeats an idempotent method (never a POST) once if a kept connection turns out to be dead.
        """
        assert self._session is not None, "PicowsNet is not open"
        if not usable(request.url, "http"):
            return Reply(status=None, body=b"", reason=NO_URL, sent=False)
        total_s = timeout_ms / 1000
        timeout = aiohttp.ClientTimeout(
            total=total_s, connect=min(total_s / 2, CONNECT_TIMEOUT_S), ceil_threshold=math.inf
        )
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),  # as given: a venue may have signed it
                headers=request.headers,
                data=request.body,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = await _read_capped(response)
                if body is None:
                    return Reply(status=None, body=b"", reason=f"body over {BODY_BYTES_MAX} bytes")
                after = response.headers.get("Retry-After")
                retry_after_s = None if after is None else retry_after(after, self._clock.wall_ms())
                return Reply(
                    status=response.status, body=body, reason=response.reason or "", retry_after_s=retry_after_s
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason, sent = _failure(error, timeout_ms)
            LOG.info("%s %s: %s", request.method, place(request.url), reason)
            return Reply(status=None, body=b"", reason=reason, sent=sent)

    async def open_stream(
        self, url: str, headers: dict[str, str], listener: StreamListener, *, message_bytes_max: int, timeout_ms: int
    ) -> Stream | str:
        """An open stream, or the reason why there is none. Redirects are not followed, compression is not offered."""
        if not usable(url, "ws"):
            return NO_URL
        if not any(name.lower() == "user-agent" for name in headers):
            headers = {"User-Agent": USER_AGENT, **headers}
        web_socket = WebSocket(listener, self._clock.mono_ns, message_bytes_max)
        attempt = _Attempt()
        timeout_s = timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout_s):
                transport, _ = await ws_connect(
                    lambda: web_socket,
                    url,
                    ssl_context=self._ssl,
                    websocket_handshake_timeout=None,
                    logger_name=self._picows_log,
                    enable_auto_pong=False,  # answered in websocket.py, where a ping also counts as life
                    max_frame_size=message_bytes_max,
                    extra_headers=headers,
                    max_redirects=0,
                    socket_factory=lambda target: attempt.connect(target, timeout_s),
                    use_aiofastnet=False,
                )
        except (WSError, OSError, TimeoutError) as error:
            attempt.give_up(web_socket)
            return attempt.reason(error, timeout_ms)
        except BaseException:
            attempt.give_up(web_socket)
            raise
        if transport is None or transport.response is None:
            return "connection closed during the upgrade"  # which picows calls a success
        self._farewells.add(farewell := asyncio.create_task(_farewell(transport)))
        farewell.add_done_callback(self._farewells.discard)
        # The caller runs on to its next await before it hears anything.
        asyncio.get_running_loop().call_soon(web_socket.release)
        return web_socket


class _Attempt:
    """One attempt to open a stream: its socket, so that giving up leaves nothing behind, and how far it got."""

    def __init__(self) -> None:
        self.phase = "name resolution"
        self.socket: socket.socket | None = None

    async def connect(self, target: WSParsedURL, timeout_s: float) -> socket.socket:
        """A connected socket to one of the host's addresses. Raises OSError of the last one tried."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = found[:ADDRESSES_MAX]
        self.phase = "connect"
        last: OSError = OSError("no address")
        for family, kind, protocol, _, address in addresses:
            self.socket = socket.socket(family, kind, protocol)
            self.socket.setblocking(False)
            try:
                async with asyncio.timeout(timeout_s / len(addresses)):
                    await loop.sock_connect(self.socket, address)
                self.phase = "upgrade"
                return self.socket
            except OSError as error:  # TimeoutError is one
                self.socket.close()
                last = error
        raise last

    def give_up(self, web_socket: WebSocket) -> None:
        """End the connection, if any. Once picows owns the socket we only shut it down; its transport does the rest."""
        web_socket.close("given up")
        if self.socket is None:
            return
        if self.phase == "upgrade":
            with contextlib.suppress(OSError):  # already gone: that is what we want
                self.socket.shutdown(socket.SHUT_RDWR)
        else:
            self.socket.close()

    def reason(self, error: Exception, timeout_ms: int) -> str:
        """One line for the log and the health: what failed, and in which phase."""
        if isinstance(error, WSHandshakeError):
            if error.response is not None and int(error.response.status) != 101:
                return f"HTTP {int(error.response.status)} on upgrade"
            return f"bad upgrade reply: {str(error)[:200]}"
        if isinstance(error, socket.gaierror):
            return f"name resolution failed: {error.strerror}"
        if isinstance(error, TimeoutError):
            return f"timeout of {timeout_ms} ms during {self.phase}"
        return f"{self.phase} failed: {_os_reason(error)}"


async def _farewell(transport: WSTransport) -> None:
    """Fetch what picows says of the end: the listener heard it already, but unfetched asyncio would complain."""
    with contextlib.suppress(WSError):
        await transport.wait_disconnected()


async def _read_capped(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, inflated, or None when it is over BODY_BYTES_MAX."""
    if response.content_length is not None and response.content_length > BODY_BYTES_MAX:
        return None
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _failure(error: Exception, timeout_ms: int) -> tuple[str, bool]:
    """(reason, may the request have left us). Only what failed before there was a connection certainly did not."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"name resolution failed: {error.os_error}", False
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"connect failed: {_os_reason(error.os_error)}", False
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "timeout during connect", False
    if isinstance(error, TimeoutError):
        return f"timeout of {timeout_ms} ms", True
    if isinstance(error, OSError):
        return f"connection failed: {_os_reason(error)}", True
    return f"{type(error).__name__}: {str(error)[:200]}", True


def _os_reason(error: BaseException) -> str:
    if isinstance(error, ConnectionError) and error.errno is not None:
        return os.strerror(error.errno)  # asyncio's own text names the address instead of the cause
    return (str(error) or type(error).__name__)[:200]


def retry_after(value: str, now_ms: int) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3: seconds or a date), None when unreadable."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_ms / 1000)
    except (ValueError, OverflowError):
        return None


def usable(url: str, scheme: str) -> bool:
    """Whether `url` can go on the wire as it is: plain ASCII, `scheme` or its TLS sister, a host, a port in range."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        return False
    return parts.scheme in {scheme, scheme + "s"} and bool(host) and port != 0


def place(url: str) -> str:
    """A URL fit for a log: without user, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"

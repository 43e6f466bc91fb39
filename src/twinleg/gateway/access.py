"""Who may speak to the gateway, and how much at once. In front of everything, cheap, and without any state.

While there are no tokens, only this machine may: the peer's socket, the Host that a browser was led to (a name made to
point here is no name of ours) and the Origin of the page that asks must all be loopback.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from twinleg.gateway.problems import Problem, answer
from twinleg.runtime.loopback import on_this_machine

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

BODY_BYTES_MAX = 64 * 1024
POLICY_VIOLATION = 1008
TOO_LARGE = Problem(413, "too_large", f"a body has at most {BODY_BYTES_MAX} bytes")


class Access:
    """ASGI middleware."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = refusal(scope)
        if problem is None:
            await self._app(scope, _bounded(receive), send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": problem.code})
        else:
            await answer(problem)(scope, receive, send)


def refusal(scope: Message) -> Problem | None:
    """Why a request is not looked at."""
    peer = scope.get("client")
    if not peer or not _here(str(peer[0])):
        return Problem(403, "not_this_machine", "only programs on the gateway's own machine may use it")
    headers = list(scope["headers"])
    hosts, origins = list(_values(headers, b"host")), list(_values(headers, b"origin"))
    if len(hosts) != 1 or not on_this_machine(f"http://{hosts[0]}"):
        return Problem(403, "host", "the Host header must name this machine: 127.0.0.1, [::1] or localhost")
    if any(not on_this_machine(origin) for origin in origins):
        return Problem(403, "origin", "pages of other origins may not use the gateway")
    lengths = list(_values(headers, b"content-length"))
    if any(not length.isdecimal() or int(length[:20]) > BODY_BYTES_MAX for length in lengths):
        return TOO_LARGE
    return None


def _here(address: str) -> bool:
    return on_this_machine(f"http://[{address}]" if ":" in address else f"http://{address}")


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> Iterable[str]:
    return (value.decode("latin-1") for name, value in headers if name.lower() == wanted)


def _bounded(receive: Receive) -> Receive:
    """Bodies without a length are counted as they come."""
    left = BODY_BYTES_MAX

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise TOO_LARGE
        return message

    return counted

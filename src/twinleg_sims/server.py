"""The thin shell: one aiohttp server per venue, one task that moves the world and hands out what became due.

Real time, or virtual time that runs `speed` times faster; when the machine cannot keep up, virtual time falls behind
(and catches up later) rather than the server. A consumer that does not read is closed once SEND_FRAMES_MAX frames or
SEND_BYTES_MAX bytes wait for it, and dropped when it does not read the close either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import parse_qsl

import msgspec
from aiohttp import WSMsgType, web

from twinleg_sims.faults import FaultError, FaultRequest, Faults, Faulty
from twinleg_sims.listings import DRIFT
from twinleg_sims.protocol import (
    RESET,
    AccountError,
    AccountRequest,
    Close,
    Core,
    Frame,
    HttpReply,
    HttpRequest,
    Out,
    Ping,
    Refuse,
)
from twinleg_sims.world import World

TICK_S = 0.015
STEP_MS_MAX = 100
"""Real milliseconds' worth of virtual time that one tick may catch up."""
SEND_FRAMES_MAX = 5_000
SEND_BYTES_MAX = 64 << 20
CLOSE_GRACE_S = 2.0
MESSAGE_BYTES_MAX = 1 << 20
CONTROL_PATH = "/__sim__/faults"
ACCOUNTS_PATH = "/__sim__/accounts"
SLOW_CONSUMER = (1008, "slow consumer")
TWO_PORTS = frozenset({DRIFT})
"""Venues whose streams are looked for on the port after their own: a node's are. Both ports answer all."""
PORT_TRIES = 20
ABNORMAL = 1006
"""Not a code that may be sent: the connection is dropped without a close frame."""


class _Connection:
    """One open WebSocket and what still has to be sent on it."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.socket = socket
        self._transport = transport
        self._waiting: deque[Frame | Ping | Close] = deque()
        self._waiting_bytes = 0
        self._last_call: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()

    def put(self, out: Frame | Ping | Close) -> None:
        """Queue something to send. Over a bound, everything waiting is dropped and the connection closed."""
        if self._last_call is not None:
            return
        self._waiting_bytes += _bytes(out)
        if len(self._waiting) >= SEND_FRAMES_MAX or self._waiting_bytes > SEND_BYTES_MAX:
            self._waiting.clear()
            out = Close(0, *SLOW_CONSUMER)
            self._last_call = asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._drop)
        self._waiting.append(out)
        self._wake.set()

    def release(self) -> None:
        """The connection is closed: nothing is left to do."""
        if self._last_call is not None:
            self._last_call.cancel()

    async def send(self) -> None:
        """Send until closed."""
        try:
            while not self.socket.closed:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    out = self._waiting.popleft()
                    await self._send(out)
                    self._waiting_bytes -= _bytes(out)
        except ConnectionError:
            self._drop()  # the client is gone: the reader sees it too and tells the core

    async def _send(self, out: Frame | Ping | Close) -> None:
        match out:
            case Frame():
                await self.socket.send_frame(out.payload, WSMsgType.TEXT)
            case Ping():
                await self.socket.ping()
            case Close(code=code) if code == ABNORMAL:
                self._drop()
            case Close():
                await self.socket.close(code=out.code, message=out.reason.encode())

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _VenueServer:
    """One venue's port."""

    def __init__(self, core: Core, faults: Faults, sims: Sims) -> None:
        self.core = core
        self.port = 0
        self._faults = faults
        self._sims = sims
        self._connections: dict[int, _Connection] = {}
        self._ids = count(1)

    async def start(self, host: str, port: int) -> web.AppRunner:
        """Listen. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=MESSAGE_BYTES_MAX)
        app.router.add_route("*", CONTROL_PATH, self._control)
        app.router.add_route("POST", ACCOUNTS_PATH, self._open_account)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # bodies are taken as they come: a client of Drift's node says gzip of what is not
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, auto_decompress=False)
        await runner.setup()
        try:
            self.port = await self._listen(runner, host, port)
        except OSError:
            await runner.cleanup()
            raise
        return runner

    async def _listen(self, runner: web.AppRunner, host: str, port: int) -> int:
        """Open the port, any free one for 0, and the next where the venue has two. Raises OSError when one is taken."""
        for attempt in range(PORT_TRIES):
            site = web.TCPSite(runner, host, port)
            await site.start()
            found: int = runner.addresses[-1][1]
            if self.core.name not in TWO_PORTS:
                return found
            try:
                await web.TCPSite(runner, host, found + 1).start()
            except OSError:
                await site.stop()
                if port or attempt == PORT_TRIES - 1:
                    raise
            else:
                return found
        raise AssertionError("the last attempt raises")

    def hand_out(self, outs: list[Out]) -> None:
        """Queue frames on their connections; those for a connection that is gone are dropped."""
        for out in outs:
            connection = self._connections.get(out.connection)
            if connection is not None:
                assert not isinstance(out, Refuse), "only an upgrade can be refused"
                connection.put(out)

    async def close(self) -> None:
        """Tell every client that the server goes away."""
        sockets = [connection.socket for connection in self._connections.values()]
        await asyncio.gather(*(socket.close(code=1001, message=b"going away") for socket in sockets))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = HttpRequest(
            method=request.method,
            path=request.path,
            query=parse_qsl(request.query_string, keep_blank_values=True),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            peer=request.remote or "",
        )
        if "upgrade" in asked.headers.get("connection", "").lower():
            return await self._stream(request, asked)
        return await _answer(request, self.core.http(asked, self._sims.now_ms))

    async def _stream(self, request: web.Request, asked: HttpRequest) -> web.StreamResponse:
        number = next(self._ids)
        outs = self.core.ws_open(number, asked, self._sims.now_ms)
        if outs and isinstance(outs[0], Refuse):
            self.core.ws_closed(number)
            return await _answer(request, outs[0].reply)
        socket = web.WebSocketResponse(autoping=False, max_msg_size=MESSAGE_BYTES_MAX, timeout=CLOSE_GRACE_S)
        try:
            await socket.prepare(request)
            transport = request.transport
            connection = _Connection(socket, transport if isinstance(transport, asyncio.Transport) else None)
            self._connections[number] = connection
            self.hand_out(outs)
            sender = asyncio.create_task(connection.send())
            try:
                await self._receive(number, socket)
            finally:
                connection.release()
                sender.cancel()
                await asyncio.wait([sender])
        finally:
            self._connections.pop(number, None)
            self.core.ws_closed(number)
        return socket

    async def _receive(self, number: int, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            now_ms = self._sims.now_ms
            if message.type is WSMsgType.TEXT:
                self.hand_out(self.core.ws_message(number, message.data.encode(), now_ms))
            elif message.type is WSMsgType.BINARY:
                self.hand_out(self.core.ws_message(number, message.data, now_ms))
            elif message.type is WSMsgType.PING:
                self.core.ws_ping(number, now_ms)
                if not self._faults.active(self.core.name, "silence", now_ms):
                    await socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self.core.ws_pong(number, now_ms)

    async def _open_account(self, request: web.Request) -> web.Response:
        """POST opens an account (JSON, see AccountRequest; `{}` is enough) and answers all that a client needs."""
        try:
            asked = msgspec.json.decode(await request.read() or b"{}", type=AccountRequest)
            return web.json_response(self.core.open_account(asked))
        except (msgspec.DecodeError, AccountError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def _control(self, request: web.Request) -> web.Response:
        """GET lists this venue's faults, POST switches one on (JSON, see FaultRequest), DELETE switches all off."""
        venue, now_ms = self.core.name, self._sims.now_ms
        if request.method == "DELETE":
            self._faults.clear(venue)
        elif request.method == "POST":
            try:
                asked = msgspec.json.decode(await request.read(), type=FaultRequest)
                asked.venue = venue
                self._faults.add(asked, now_ms)
            except (msgspec.DecodeError, FaultError) as error:
                return web.json_response({"error": str(error)}, status=400)
        elif request.method != "GET":
            return web.json_response({"error": "GET, POST or DELETE"}, status=405)
        listed = [fault.shown() for fault in self._faults.listed(venue, now_ms)]
        return web.json_response({"now_ms": now_ms, "faults": listed})


@dataclass(frozen=True, slots=True)
class Urls:
    """Where a venue listens."""

    rest: str
    stream: str


class Sims:
    """The running simulators. Made by `running`."""

    def __init__(self, world: World, cores: list[Core], faults: Faults, speed: float) -> None:
        self.world = world
        self.faults = faults
        self._speed = speed
        self._servers = {core.name: _VenueServer(core, faults, self) for core in cores}
        self._host = ""
        self.life: asyncio.Task[None] | None = None
        """Runs as long as the world does; it ends only by an error, or with the block of `running`."""

    @property
    def now_ms(self) -> int:
        """Virtual time."""
        return self.world.now_ms

    @property
    def urls(self) -> dict[str, Urls]:
        """Base addresses by venue: Lighter's as its SDK wants them, Extended's with /api/v1 and its stream path."""
        paths = {"lighter": ("", "/stream"), "extended": ("/api/v1", "/stream.extended.exchange/v1"), DRIFT: ("", "")}
        return {
            name: Urls(
                f"http://{self._host}:{server.port}{paths[name][0]}",
                f"ws://{self._host}:{server.port + (name in TWO_PORTS)}{paths[name][1]}",
            )
            for name, server in self._servers.items()
        }

    @property
    def lighter_url(self) -> str:
        return self.urls["lighter"].rest

    @property
    def extended_url(self) -> str:
        return self.urls["extended"].rest

    async def listen(self, stack: AsyncExitStack, host: str, ports: Mapping[str, int]) -> None:
        """Open every port (0 or absent = any free one). Raises OSError when one is taken."""
        self._host = host
        for name, server in self._servers.items():
            runner = await server.start(host, ports.get(name, 0))
            stack.push_async_callback(runner.cleanup)
            stack.push_async_callback(server.close)

    async def live(self) -> None:
        """Move the world for ever."""
        clock = asyncio.get_running_loop().time
        began_s, began_ms = clock(), self.world.now_ms
        step_ms_max = max(1, round(STEP_MS_MAX * self._speed))
        while True:
            await asyncio.sleep(TICK_S)
            due_ms = began_ms + int((clock() - began_s) * 1000 * self._speed)
            self.world.advance(min(due_ms, self.world.now_ms + step_ms_max))
            for server in self._servers.values():
                server.hand_out(server.core.advance(self.world.now_ms))


@asynccontextmanager
async def running(
    world: World,
    cores: list[Core],
    faults: Faults | None = None,
    *,
    speed: float = 1.0,
    host: str = "127.0.0.1",
    ports: Mapping[str, int] | None = None,
) -> AsyncIterator[Sims]:
    """Serve `cores` over `world` until the block ends. Raises OSError when a port is taken.

    An error inside the world ends `sims.life`, and is raised when the block ends.
    """
    switches = faults or Faults()
    sims = Sims(world, [Faulty(core, switches, world.seed) for core in cores], switches, speed)
    async with AsyncExitStack() as stack:
        await sims.listen(stack, host, ports or {})
        sims.life = asyncio.create_task(sims.live())
        try:
            yield sims
        finally:
            sims.life.cancel()
            await asyncio.wait([sims.life])
        if not sims.life.cancelled():
            sims.life.result()


def _bytes(out: Frame | Ping | Close) -> int:
    return len(out.payload) if isinstance(out, Frame) else 0


async def _answer(request: web.Request, reply: HttpReply) -> web.Response:
    if reply.delay_ms > 0:
        await asyncio.sleep(reply.delay_ms / 1000)
    if reply.status == RESET:
        if isinstance(request.transport, asyncio.Transport):
            request.transport.abort()
        return web.Response()  # goes nowhere
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

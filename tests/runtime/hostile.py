"""A raw server on loopback that does exactly what a test says, right or wrong, byte by byte."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
HEAD = 0x80


@contextlib.asynccontextmanager
async def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server whose n-th connection runs the n-th script, later ones the last. Gives its port."""
    connections: set[asyncio.Task[None]] = set()
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        script = scripts[min(count, len(scripts) - 1)]
        count += 1
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await script(reader, writer)
        finally:
            connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


def tls_contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server, client) for 127.0.0.1, with a fresh certificate that only this client trusts. Needs openssl."""
    key, certificate = folder / "key", folder / "certificate"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -batch -subj /CN=loopback"
    asked = [*made.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(asked, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=certificate)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False) -> bytes:
    """A server's (unmasked) frame, RFC 6455 section 5.2."""
    first = (HEAD if fin else 0) | (0x40 if rsv1 else 0) | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65536:
        return struct.pack(">BBH", first, 126, len(payload)) + payload
    return struct.pack(">BBQ", first, 127, len(payload)) + payload


def upgrade_reply(request: bytes) -> bytes:
    """The 101 that accepts this upgrade request, RFC 6455 section 4.2.2."""
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    digest = hashlib.sha1(key.partition(b":")[2].strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    accept = base64.b64encode(digest)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )


async def receive(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One client frame, unmasked. Raises EOFError when the client is gone."""
    first, second = await reader.readexactly(2)
    assert second & 0x80, "clients mask"
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack(">H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", await reader.readexactly(8))
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


async def gone(reader: asyncio.StreamReader) -> None:
    """Read until the client goes away."""
    while await reader.read(65536):
        pass


def reset(writer: asyncio.StreamWriter) -> None:
    """Drop the connection with a TCP reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def http(status: str, body: bytes = b"", *headers: str) -> Script:
    """Answer every request with this, length declared."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
            writer.write("\r\n".join(lines).encode() + body)
            await writer.drain()

    return script


def raw(data: bytes, *, then: str = "close") -> Script:
    """Answer the first request with these bytes, then "close", "reset" or "hang"."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if then == "hang":
            await gone(reader)
        elif then == "reset":
            reset(writer)

    return script


def frames(*data: bytes, then: str = "hang", together: bool = False) -> Script:
    """Accept the upgrade, send these bytes, then "close", "reset" or "hang". `together` with the 101 in one write."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accept = upgrade_reply(await reader.readuntil(b"\r\n\r\n"))
        writer.write(accept + b"".join(data) if together else accept)
        await writer.drain()
        if not together:
            for part in data:
                writer.write(part)
                await writer.drain()
        if then == "hang":
            await gone(reader)
        elif then == "reset":
            reset(writer)

    return script

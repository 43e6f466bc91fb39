"""A WebSocket server that does as little as possible: it answers subscriptions, then sends prepared frames.

    python -m bench.server lighter --markets 40 --frames 40000 [--rate 700] [--stamps FILE]

Prints its port. Without --rate it sends as fast as the client reads; with it, evenly, noting when each frame left.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import struct
import time
from array import array
from pathlib import Path

from bench.frames import ExtendedWriter, LighterWriter, updates

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def framed(payload: bytes) -> bytes:
    """A final text frame, unmasked as servers send it."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return struct.pack(">BBH", 0x81, 126, size) + payload
    return struct.pack(">BBQ", 0x81, 127, size) + payload


async def read_message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """(opcode, payload) of one client frame."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    elif size == 127:
        size = int.from_bytes(await reader.readexactly(8), "big")
    mask = await reader.readexactly(4)
    body = await reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))


class Server:
    """Serves one client, once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        lighter = options.venue == "lighter"
        self.writer: LighterWriter | ExtendedWriter
        if lighter:
            self.writer = LighterWriter(options.markets, options.seed)
        else:
            self.writer = ExtendedWriter(options.markets, options.seed, v1=options.venue == "extended_v1")
        self.snapshots = {number: framed(self.writer.snapshot(number)) for number in range(options.markets)}
        if options.venue == "extended":
            self.writer.sequence = options.markets
        self.frames = (framed(frame) for frame in updates(self.writer, options.markets, options.frames, options.seed))
        """Made as they are sent when the pace leaves time for it, else before."""
        self.ready = [] if options.rate else list(self.frames)
        self.done = asyncio.Event()
        self.sequence = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b":")[1].strip()
            for line in request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept + b"\r\n\r\n"
        )  # fmt: skip
        if self.options.venue == "lighter":
            writer.write(framed(b'{"session_id":"bench","type":"connected"}'))
        if self.options.venue == "extended_v1":
            writer.write(b"".join(self.snapshots.values()))
        else:
            await self._subscriptions(reader, writer)
        await asyncio.sleep(0.3)
        await (self._evenly(writer) if self.options.rate else self._at_once(writer))
        await asyncio.sleep(0.5)
        self.done.set()

    async def _subscriptions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wanted = set(range(self.options.markets))
        while wanted:
            opcode, payload = await read_message(reader)
            if opcode != 1:
                continue
            call = json.loads(payload)
            number = self._lighter(call) if self.options.venue == "lighter" else self._extended(call, writer)
            if number is not None and number in wanted:
                wanted.discard(number)
                writer.write(self._numbered(number))

    def _numbered(self, number: int) -> bytes:
        if self.options.venue == "lighter":
            return self.snapshots[number]
        frame = json.loads(self.snapshots[number][self.snapshots[number].index(b"{") :])
        frame["seq"] = self.sequence
        self.sequence += 1
        return framed(json.dumps(frame, separators=(",", ":")).encode())

    def _lighter(self, call: dict[str, str]) -> int | None:
        channel = call.get("channel", "")
        return int(channel.split("/")[1]) if channel.startswith("order_book/") else None

    def _extended(self, call: dict[str, object], writer: asyncio.StreamWriter) -> int | None:
        params = call.get("params") or {}
        assert isinstance(params, dict)
        scope, name = params.get("scope"), (params.get("selector") or {}).get("market")
        topic = f"{scope}.{name or 'all'}"
        result = {"method": "subscribe", "status": "OK", "subscription": topic}
        writer.write(framed(json.dumps({"id": call.get("id"), "result": result, "jsonrpc": "2.0"}).encode()))
        return int(name[1:].split("-")[0]) if scope == "orderbooks" and name else None

    async def _at_once(self, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(self.ready), 64):
            writer.write(b"".join(self.ready[start : start + 64]))
            await writer.drain()

    async def _evenly(self, writer: asyncio.StreamWriter) -> None:
        gap_ns, stamps = int(1e9 / self.options.rate), array("q")
        due = time.monotonic_ns()
        for frame in self.frames:
            due += gap_ns
            while (left := due - time.monotonic_ns()) > 0:
                await asyncio.sleep(left / 2e9 if left > 400_000 else 0)
            stamps.append(time.monotonic_ns())
            writer.write(frame)
        if self.options.stamps:
            Path(self.options.stamps).write_bytes(stamps.tobytes())


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("venue", choices=["lighter", "extended", "extended_v1"])
    parser.add_argument("--markets", type=int, default=40)
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--stamps", default="")
    parser.add_argument("--core", type=int, default=None)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    server = Server(options)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 20)
    print(listening.sockets[0].getsockname()[1], flush=True)
    try:
        async with asyncio.timeout(900):
            await server.done.wait()
    finally:
        listening.close()


if __name__ == "__main__":
    asyncio.run(main())

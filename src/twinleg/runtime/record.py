"""Market-data recorder: what every feed was given, byte for byte, so that the same feeds can be run again on it.

A file is MAGIC, then blocks: `>I` (length) and that many bytes of zlib over a msgpack list of Frames. One
thread makes and writes the blocks; the event loop only copies the payload into a list. Files rotate and the oldest go.
When the disk is full, read-only or too slow, recording stops and `stopped` says why; everything else goes on.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import msgspec

from twinleg.core.messages import MarketEvent
from twinleg.core.venue import Feed

LOG = logging.getLogger("twinleg.record")

MAGIC = b"twinleg frames 1\n"
BLOCK_HEAD = struct.Struct(">I")
BLOCK_BYTES = 256 * 1024
BLOCK_FRAMES = 4096
BLOCK_NS = 1_000_000_000
"""A block is handed to the writer when it has that many payload bytes or frames, or is that old."""
BLOCK_BYTES_MAX = 64 * 1024 * 1024
"""Readers refuse more, packed or unpacked: no recorder writes such a block."""
BLOCKS_WAITING_MAX = 64
FILE_BYTES_MAX = 64 * 1024 * 1024
FILES_MAX = 32
CLOSE_TIMEOUT_S = 5.0

Received = Callable[[bytes | memoryview, int, int], list[MarketEvent]]


class RecordingError(ValueError):
    """A file is not a recording, or is damaged before its end."""


class Kind(IntEnum):
    """What happened to the feed."""

    OPENED = 0
    MESSAGE = 1
    TIMER = 2
    CLOSED = 3


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One call of a feed. `payload` is the message, or the reason of CLOSED. Times as in core.messages."""

    venue: str
    stream: str
    kind: Kind
    received_ns: int
    wall_ms: int
    payload: bytes


class Recorder:
    """Appends Frames to rotating files in `directory`. All methods but the writer's are called on the event loop."""

    def __init__(self, directory: Path, *, file_bytes_max: int = FILE_BYTES_MAX, files_max: int = FILES_MAX) -> None:
        """At most about `file_bytes_max * files_max` bytes stay on disk."""
        assert file_bytes_max > 0
        assert files_max > 0
        self.stopped: str | None = None
        """Why nothing is recorded any more, None while it is."""
        self._block: list[Frame] = []
        self._block_bytes = 0
        self._block_since_ns = 0
        self._writer = _Writer(directory, file_bytes_max, files_max, self._stop)
        self._writer.start()

    def tap(self, venue: str, stream: str) -> Tap:
        """The recorder's ear on one feed."""
        return Tap(self, venue, stream)

    def write(self, frame: Frame) -> None:
        """Record one frame, or nothing once stopped."""
        if self.stopped is not None:
            return
        if not self._block:
            self._block_since_ns = frame.received_ns
        self._block.append(frame)
        self._block_bytes += len(frame.payload)
        if (
            self._block_bytes >= BLOCK_BYTES
            or len(self._block) >= BLOCK_FRAMES
            or frame.received_ns - self._block_since_ns >= BLOCK_NS
        ):
            self._hand_over()

    def close(self) -> None:
        """Write what is left and end the writer, waiting at most CLOSE_TIMEOUT_S for the disk."""
        if self.stopped is None and self._block:
            self._hand_over()
        self._writer.finish()
        self._stop("closed")

    def _hand_over(self) -> None:
        block, self._block, self._block_bytes = self._block, [], 0
        try:
            self._writer.blocks.put_nowait(block)
        except queue.Full:
            self._stop("the disk is too slow")

    def _stop(self, reason: str) -> None:
        """Called by the writer's thread too: only sets a reason that readers check."""
        if self.stopped is None:
            self.stopped = reason
            if reason != "closed":
                LOG.error("recording stopped: %s", reason)


class Tap:
    """Records one feed's calls."""

    __slots__ = ("_stream", "_venue", "_write")

    def __init__(self, recorder: Recorder, venue: str, stream: str) -> None:
        self._write = recorder.write
        self._venue = venue
        self._stream = stream

    def opened(self, now_ns: int, now_ms: int) -> None:
        self._write(Frame(self._venue, self._stream, Kind.OPENED, now_ns, now_ms, b""))

    def timer(self, now_ns: int, now_ms: int) -> None:
        self._write(Frame(self._venue, self._stream, Kind.TIMER, now_ns, now_ms, b""))

    def closed(self, reason: str, now_ns: int, now_ms: int) -> None:
        self._write(Frame(self._venue, self._stream, Kind.CLOSED, now_ns, now_ms, reason.encode()))

    def around(self, received: Received) -> Received:
        """`received`, recording first what it is given."""
        venue, stream, write = self._venue, self._stream, self._write

        def recorded(payload: bytes | memoryview, received_ns: int, now_ms: int) -> list[MarketEvent]:
            write(Frame(venue, stream, Kind.MESSAGE, received_ns, now_ms, bytes(payload)))
            return received(payload, received_ns, now_ms)

        return recorded


class _Writer:
    """The thread that packs and writes blocks. `None` in its queue ends it."""

    def __init__(self, directory: Path, file_bytes_max: int, files_max: int, stop: Callable[[str], None]) -> None:
        self.blocks: queue.Queue[list[Frame] | None] = queue.Queue(BLOCKS_WAITING_MAX)
        self._directory = directory
        self._file_bytes_max = file_bytes_max
        self._files_max = files_max
        self._stop = stop
        self._thread = threading.Thread(target=self._run, name="twinleg-record", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Let the thread write what waits and end; a disk that hangs for CLOSE_TIMEOUT_S loses the rest."""
        if self.blocks.full():
            self.blocks.get_nowait()  # only possible once recording stopped for it: the end must fit in
        self.blocks.put_nowait(None)
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            LOG.error("the disk does not answer: the recording's last blocks may be lost")

    def _run(self) -> None:
        """Until told to end; after a failure blocks are only taken away, so that nobody waits for a full queue."""
        file: BinaryIO | None = None
        encoder = msgspec.msgpack.Encoder()
        failed = False
        while (block := self.blocks.get()) is not None:
            if failed:
                continue
            try:
                if file is None or file.tell() >= self._file_bytes_max:
                    file = self._next_file(file, block[0].wall_ms)
                packed = zlib.compress(encoder.encode(block), level=1)
                _write_all(file, BLOCK_HEAD.pack(len(packed)) + packed)
            except OSError as error:
                failed = True
                self._stop(f"cannot write to {self._directory}: {error.strerror or error}")
        if file is not None:
            file.close()

    def _next_file(self, last: BinaryIO | None, wall_ms: int) -> BinaryIO:
        """A new file, named by its first frame's time; removes the oldest beyond `files_max`. Raises OSError."""
        if last is not None:
            last.close()
        self._directory.mkdir(parents=True, exist_ok=True)
        number = 0
        while (path := self._directory / f"frames-{wall_ms:013d}-{number:03d}.rec").exists():
            number += 1
        file = path.open("xb", buffering=0)
        _write_all(file, MAGIC)
        for old in recordings(self._directory)[: -self._files_max]:
            old.unlink()
        return file


def _write_all(file: BinaryIO, data: bytes) -> None:
    """An unbuffered file writes what fits and returns how much; only the next write would raise."""
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def recordings(directory: Path) -> list[Path]:
    """The recorder's files in `directory`, oldest first."""
    return sorted(directory.glob("frames-*.rec"))


def read(path: Path) -> Iterator[Frame]:
    """One file's frames. A block cut off by a crash ends it with a warning. Raises RecordingError, OSError."""
    decoder = msgspec.msgpack.Decoder(list[Frame])
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise RecordingError(f"{path.name} is not a recording")
        while head := file.read(BLOCK_HEAD.size):
            (length,) = BLOCK_HEAD.unpack(head) if len(head) == BLOCK_HEAD.size else (0,)
            if length > BLOCK_BYTES_MAX:
                raise RecordingError(f"{path.name}: a block of {length} bytes")
            packed = file.read(length)
            if len(head) < BLOCK_HEAD.size or len(packed) < length:
                LOG.warning("%s ends in an unfinished block", path.name)
                return
            yield from _unpack(decoder, packed, path.name)


def _unpack(decoder: msgspec.msgpack.Decoder[list[Frame]], packed: bytes, name: str) -> list[Frame]:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, BLOCK_BYTES_MAX)
        if not inflater.eof:  # zlib checks its Adler-32 at the end, and only there
            raise RecordingError(f"{name}: a block that does not end, or not within {BLOCK_BYTES_MAX} bytes")
        return decoder.decode(plain)
    except (zlib.error, msgspec.DecodeError) as error:
        raise RecordingError(f"{name}: {error}") from error


def replay(feed: Feed, frames: Iterable[Frame]) -> Iterator[list[MarketEvent]]:
    """Run `feed` on its frames (the caller picks those of its venue and name). What it would send is dropped."""
    for frame in frames:
        if frame.kind is Kind.MESSAGE:
            events = feed.received(frame.payload, frame.received_ns, frame.wall_ms)
        elif frame.kind is Kind.TIMER:
            events = feed.timer(frame.received_ns, frame.wall_ms)
        elif frame.kind is Kind.OPENED:
            events = feed.opened(frame.wall_ms)
        else:
            events = feed.closed(frame.payload.decode(), frame.received_ns, frame.wall_ms)
        feed.outbox.clear()
        if events:
            yield events

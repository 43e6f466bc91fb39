"""The operator's line to a running engine: a socket in the data folder, for its owner alone.

    one line of JSON asked (core.operations.Asked)  ->  one line answered (core.operations.Answer), in turn

Who lives is decided by the kernel's lock on a file beside the socket, as for journal and leases: what a dead process
left behind is replaced, a living one's is not touched. Everything is bounded: connections, lines, silence, and the time
a request may take; what takes longer goes on, and is answered as in doubt.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from twinleg.core.operations import Answer, Asked, InDoubt, declined
from twinleg.runtime.lease import HeldError, lock_file

LOG = logging.getLogger("twinleg.control")

SOCKET_NAME = "control.sock"
LOCK_NAME = "control.lock"
PATH_BYTES_MAX = 103
"""What an AF_UNIX address holds: 107 bytes on Linux, 103 on macOS."""
CONNECTIONS_MAX = 8
LINE_BYTES_MAX = 64 * 1024
ANSWER_BYTES_MAX = 8 * 1024 * 1024
SILENCE_S_MAX = 60.0
REQUEST_S_MAX = 20.0
UNFINISHED_MAX = 16
"""Requests that may still be under way after they were answered as in doubt."""

Perform = Callable[[Asked], Awaitable[Answer]]

_asked: msgspec.json.Decoder[Asked] = msgspec.json.Decoder(Asked)
_answer: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class ControlError(RuntimeError):
    """The engine cannot listen here; the message says why and what to do."""


class NoEngineError(RuntimeError):
    """Nobody listens: no engine runs in this folder, or it does not answer. Nothing was done."""


class NoAnswerError(RuntimeError):
    """The engine took the request and did not answer in time: whether it was done is not known."""


@asynccontextmanager
async def listening(folder: Path, perform: Perform, *, request_s_max: float = REQUEST_S_MAX) -> AsyncIterator[None]:
    """Answer on the folder's socket for as long as the block runs. Raises ControlError.

    Requests are performed on this loop, one at a time per connection. What `perform` raises is logged and answered.
    """
    path = _fitting(folder)
    lock = _locked(folder)
    try:
        switchboard = _Switchboard(perform, request_s_max)
        server = await _bound(path, switchboard)
        try:
            yield
        finally:
            server.close()
            await switchboard.close()
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)


async def ask(folder: Path, asked: Asked, timeout_s: float) -> Answer:
    """One request and its answer. Raises NoEngineError (nothing was done) or NoAnswerError (not known)."""
    try:
        path = _fitting(folder)
        reader, writer = await asyncio.wait_for(
            asyncio.open_unix_connection(str(path), limit=ANSWER_BYTES_MAX), timeout_s
        )
    except ControlError as error:
        raise NoEngineError(str(error)) from None
    except OSError as error:  # TimeoutError is one
        raise NoEngineError(f"no engine answers at {path}: {error.strerror or 'it took too long'}") from None
    try:
        async with asyncio.timeout(timeout_s):
            writer.write(msgspec.json.encode(asked) + b"\n")
            await writer.drain()
            line = await reader.readline()
    except (OSError, ValueError) as error:
        raise NoAnswerError(f"the engine did not answer: {error or 'it took too long'}") from None
    finally:
        writer.close()
    try:
        return _answer.decode(line)
    except msgspec.DecodeError as error:
        said = "it ended" if not line else f"it speaks another version: {error}"
        raise NoAnswerError(f"the engine did not answer: {said}") from None


def _fitting(folder: Path) -> Path:
    """The socket's path, from here when it is too long from the root. Raises ControlError when no address holds it."""
    path = folder.absolute() / SOCKET_NAME
    for one in (path, Path(os.path.relpath(path))):
        if len(os.fsencode(one)) <= PATH_BYTES_MAX:
            return one
    raise ControlError(
        f"{path} is too long for a socket ({PATH_BYTES_MAX} bytes at most): give TWINLEG_DATA_DIR a shorter path"
    )


def _locked(folder: Path) -> int:
    path = folder / LOCK_NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = lock_file(path)
        os.ftruncate(lock, os.pwrite(lock, f"{os.getpid()}\n".encode(), 0))
        return lock
    except HeldError as error:
        raise ControlError(f"another engine, process {error.owner}, runs in {folder}: stop it first") from None
    except OSError as error:
        raise ControlError(f"{path} cannot be locked: {error.strerror}. Make its folder writable") from error


async def _bound(path: Path, switchboard: _Switchboard) -> asyncio.Server:
    """A server whose socket nobody else could ever open: it listens only once its mode is right."""
    try:
        # What a dead process left is replaced by asyncio: with the lock ours, nobody alive listens on it.
        server = await asyncio.start_unix_server(
            switchboard.serve, str(path), limit=LINE_BYTES_MAX, start_serving=False
        )
        try:
            _make_private(path)
            await server.start_serving()
        except BaseException:
            server.close()
            raise
    except OSError as error:
        raise ControlError(f"{path} cannot be listened on: {error.strerror or error}. Move it away") from error
    return server


def _make_private(path: Path) -> None:
    path.chmod(0o600)


class _Switchboard:
    """All connections of one engine."""

    def __init__(self, perform: Perform, request_s_max: float) -> None:
        self._perform, self._request_s_max = perform, request_s_max
        self._connected: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._unfinished: set[asyncio.Task[Answer]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it is silent or gone."""
        task = asyncio.current_task()
        assert task is not None, "asyncio serves in tasks"
        if len(self._connected) >= CONNECTIONS_MAX:
            await self._say(writer, declined("busy", f"{CONNECTIONS_MAX} others are connected: try again"))
            writer.close()
            return
        self._connected[task] = writer
        try:
            while await self._turn(reader, writer):
                pass
        except (ConnectionError, TimeoutError):
            LOG.debug("a connection of the operator's ended")
        finally:
            del self._connected[task]
            writer.close()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when there is none any more, or none that could be read."""
        try:
            async with asyncio.timeout(SILENCE_S_MAX):
                line = await reader.readline()
        except ValueError:  # the reader's limit
            await self._say(writer, declined("too_long", f"a request has at most {LINE_BYTES_MAX} bytes"))
            return False
        if not line.endswith(b"\n"):
            return False
        await self._say(writer, await self._answered(line))
        return True

    async def _answered(self, line: bytes) -> Answer:
        try:
            asked = _asked.decode(line)
        except msgspec.DecodeError as error:
            return declined("not_understood", f"this engine does not understand that: {error}")
        if len(self._unfinished) >= UNFINISHED_MAX:
            return declined("busy", f"{UNFINISHED_MAX} requests are under way: look with `twinleg status`, then wait")
        working = asyncio.ensure_future(self._perform(asked))
        self._unfinished.add(working)
        working.add_done_callback(self._finished)
        await asyncio.wait({working}, timeout=self._request_s_max)
        if not working.done():
            name = str(asked.__struct_config__.tag)
            return InDoubt(text=f"{name} was begun and has not ended after {self._request_s_max:.0f} s: it may still")
        if working.cancelled():
            return InDoubt(text="the engine ends")
        failure = working.exception()
        if failure is not None:
            return declined("failed", f"a failure of our own, please report it: {failure!r}")
        return working.result()

    def _finished(self, working: asyncio.Task[Answer]) -> None:
        self._unfinished.discard(working)
        failure = None if working.cancelled() else working.exception()
        if failure is not None:
            LOG.error("a request of the operator's failed", exc_info=failure)

    async def _say(self, writer: asyncio.StreamWriter, answer: Answer) -> None:
        async with asyncio.timeout(SILENCE_S_MAX):
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()

    async def close(self) -> None:
        """Hang up everywhere; what is under way is cancelled."""
        for task in self._unfinished:
            task.cancel()
        connected = list(self._connected)
        for writer in self._connected.values():
            writer.transport.abort()  # its task ends by itself: asyncio complains of a cancelled one
        await asyncio.gather(*self._unfinished, *connected, return_exceptions=True)

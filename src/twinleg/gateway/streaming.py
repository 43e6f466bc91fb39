"""Events over WebSocket: one text frame each, in order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from twinleg.gateway.events import Events, FullError, GoneError, Subscriber

router = APIRouter()

SEND_S_MAX = 10.0
"""Who takes none of an event for so long is let go."""
GONE, SLOW, FULL, BAD_SINCE = 4404, 4408, 1013, 4400
"""Close codes: what is asked for is not remembered; too slow; too many follow; `since` is no number."""


@router.websocket("/ws/events")
async def events(socket: WebSocket) -> None:
    """Every request and its answer as it completes. `?since=N` first sends what came after event N."""
    line = cast("Events", socket.app.state.site.events)
    await socket.accept()
    given = socket.query_params.get("since")
    if given is not None and not (given.isascii() and given.isdecimal() and len(given) <= 18):
        await socket.close(BAD_SINCE, "since is the number of an event")
        return
    try:
        subscriber = line.subscribe(None if given is None else int(given))
    except GoneError as error:
        await socket.close(GONE, str(error))
        return
    except FullError as error:
        await socket.close(FULL, str(error))
        return
    listening = asyncio.create_task(_until_gone(socket, subscriber))
    try:
        await _serve(socket, subscriber)
    finally:
        line.leave(subscriber)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _serve(socket: WebSocket, subscriber: Subscriber) -> None:
    """Send what waits, until the other side is gone, or too slow."""
    with contextlib.suppress(WebSocketDisconnect):
        try:
            while not subscriber.gone and subscriber.cut is None:
                while subscriber.waiting:
                    async with asyncio.timeout(SEND_S_MAX):
                        await socket.send_text(subscriber.waiting.popleft())
                subscriber.news.clear()
                if subscriber.cut is None and not subscriber.gone and not subscriber.waiting:
                    await subscriber.news.wait()
        except TimeoutError:
            subscriber.cut = subscriber.last - len(subscriber.waiting) - 1
        if subscriber.cut is not None:
            await socket.close(SLOW, f"too slow: go on with since={subscriber.cut} or your own last")


async def _until_gone(socket: WebSocket, subscriber: Subscriber) -> None:
    """What a follower says is not listened to."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        continue
    subscriber.leave()

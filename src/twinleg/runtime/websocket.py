"""picows frames to whole messages: the one WebSocket client's ear and mouth.

picows delivers frames, so continuations are joined here; it refuses an oversized frame but may still deliver it, so
sizes are checked here too. permessage-deflate is never offered: a frame that claims compression is a protocol error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from twinleg.runtime.ports import StreamListener

LOG = logging.getLogger("twinleg.net")

TEXT, BINARY, CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
PING, CLOSE = WSMsgType.PING, WSMsgType.CLOSE


class WebSocket(WSListener):
    """One open connection: a ports.Stream, and picows' listener.

    Nothing is read before `release`. What came in the very segment that accepts the upgrade is held back and handed
    over then, in order, with its own arrival times; an end before that is told after it.
    """

    __slots__ = (
        "_bytes_max",
        "_deliver",
        "_fresh",
        "_held",
        "_held_bytes",
        "_listener",
        "_mono_ns",
        "_parts",
        "_transport",
        "ended",
        "heard_ns",
    )

    def __init__(self, listener: StreamListener, mono_ns: Callable[[], int], message_bytes_max: int) -> None:
        self._listener = listener
        self._mono_ns = mono_ns
        self._bytes_max = message_bytes_max
        self._transport: WSTransport | None = None
        self._parts: bytearray | None = None
        self._held: list[tuple[bytes, int]] | None = []
        self._held_bytes = 0
        self._deliver: Callable[[memoryview, int], None] = self._hold
        self._fresh = True
        self.heard_ns = mono_ns()
        self.ended: str | None = None
        """Why this stream is over, None while it is open."""

    # ports.Stream

    def send(self, message: bytes) -> None:
        """Queue one text message. Raises ConnectionError when closed."""
        if self.ended is not None or self._transport is None:
            raise ConnectionError(self.ended or "not open yet")
        self._transport.send(TEXT, message)

    def close(self, reason: str) -> None:
        """Say good-bye (1000) and drop the connection without waiting for the peer."""
        if self._held is not None:
            self._held.clear()
        self._end(reason, WSCloseCode.OK)

    def release(self) -> None:
        """Hand over what was held back; from here on messages go straight to the listener."""
        self._deliver = self._listener.message
        if self.ended is None and self._transport is not None:
            self._transport.underlying_transport.resume_reading()
        while self._held:
            payload, received_ns = self._held.pop(0)
            self._hand_over(memoryview(payload), received_ns)
        self._held = None
        if self.ended is not None:
            self._tell_closed(self.ended)

    # picows.WSListener

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self.ended is not None:  # its opener gave up while the reply was on its way
            transport.disconnect(graceful=False)
            return
        transport.underlying_transport.pause_reading()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        # One stamp per read from the socket: that is when its frames arrived, however long the first ones take.
        if self._fresh:
            self.heard_ns = self._mono_ns()
        self._fresh = frame.last_in_buffer
        if self.ended is not None:
            return
        kind = frame.msg_type
        if (kind is TEXT or kind is BINARY) and frame.fin and self._parts is None and not frame.rsv1:
            if frame.payload_size > self._bytes_max:
                self._too_big()
            else:
                self._hand_over(frame.get_payload_as_memoryview(), self.heard_ns)
        elif kind is PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is CLOSE:
            self._peer_closed(frame)
        elif kind is TEXT or kind is BINARY or kind is CONTINUATION:
            self._join(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        handshake = transport.close_handshake
        if handshake is not None and handshake.sent is not None and handshake.recv is None:
            # Only picows itself says good-bye without `_end`: it met a frame it cannot parse.
            if handshake.sent.code == WSCloseCode.MESSAGE_TOO_BIG:
                self._too_big()
            self._end(f"protocol error {handshake.sent.code:d}: {handshake.sent.reason}", None)
        else:
            self._end("connection lost without a close frame", None)

    def pause_writing(self) -> None:
        """The peer does not read what we send: more than asyncio's high-water mark (64 KiB) waits."""
        self._end("peer does not read what we send", None)

    def resume_writing(self) -> None:
        pass

    # Below: ours alone

    def _hand_over(self, payload: memoryview, received_ns: int) -> None:
        """Give one message to the listener. Its bytes are gone afterwards: a kept view would show other messages."""
        try:
            self._deliver(payload, received_ns)
            payload.release()
        except Exception as error:
            LOG.exception("a stream's listener failed, its connection is closed")
            self.close(f"listener failed: {error!r}")

    def _join(self, frame: WSFrame) -> None:
        """A part of a message that comes in several frames (RFC 6455, 5.4)."""
        starts = frame.msg_type is not CONTINUATION
        if starts == (self._parts is not None) or frame.rsv1:
            detail = "compressed" if frame.rsv1 else "out of place"
            self._end(f"protocol error: frame {detail}", WSCloseCode.PROTOCOL_ERROR)
            return
        parts = self._parts = bytearray() if self._parts is None else self._parts
        if len(parts) + frame.payload_size > self._bytes_max:
            self._too_big()
            return
        parts += frame.get_payload_as_memoryview()
        if frame.fin:
            self._parts = None
            self._hand_over(memoryview(parts), self.heard_ns)

    def _too_big(self) -> None:
        self._end(f"message over {self._bytes_max} bytes", WSCloseCode.MESSAGE_TOO_BIG)

    def _peer_closed(self, frame: WSFrame) -> None:
        """Report the peer's code and reason, and echo the code (RFC 6455, 5.5.1)."""
        code, text = frame.get_close_code(), frame.get_close_reason()
        said = "no code" if code == WSCloseCode.NO_INFO else f"{code:d}"
        self._end(f"peer closed: {said} {text or ''}".rstrip(), WSCloseCode.OK)

    def _hold(self, payload: memoryview, received_ns: int) -> None:
        self._held_bytes += len(payload)
        if self._held_bytes > self._bytes_max:
            self._too_big()
        elif self._held is not None:
            self._held.append((bytes(payload), received_ns))

    def _end(self, reason: str, code: WSCloseCode | None) -> None:
        """The one end of every stream; only the first call counts. Tells the peer `code` if there is one, and drops."""
        if self.ended is not None:
            return
        self.ended = reason
        self._parts = None
        transport = self._transport
        if transport is not None and not transport.is_disconnected:
            if code is not None:
                transport.send_close(code)
            # Not graceful: a peer that does not read would keep us waiting for ever.
            transport.disconnect(graceful=False)
        if self._held is None:
            self._tell_closed(reason)

    def _tell_closed(self, reason: str) -> None:
        try:
            self._listener.closed(reason)
        except Exception:
            LOG.exception("a stream's listener failed when told of the end: %s", reason)

"""PicowsNet.open_stream against a server that breaks every rule."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import shutil
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import hostile
import msgspec
import pytest
from hostile import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame, frames, serving

from twinleg.runtime.clock import SystemClock
from twinleg.runtime.net import PicowsNet
from twinleg.runtime.ports import Stream

pytestmark = pytest.mark.usefixtures("leaves_nothing")

MAX = 100_000


class Ear:
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.stamps: list[int] = []
        self.ends: list[str] = []
        self.over = asyncio.Event()
        self.heard = asyncio.Event()
        self.raises: Exception | None = None
        self.kept: list[msgspec.Raw] = []
        self.keeps = False

    def message(self, payload: memoryview, received_ns: int) -> None:
        self.messages.append(bytes(payload))
        self.stamps.append(received_ns)
        self.heard.set()
        if self.keeps:
            self.kept.append(msgspec.json.decode(payload, type=msgspec.Raw))
        if self.raises is not None:
            raise self.raises

    def closed(self, reason: str) -> None:
        self.ends.append(reason)
        self.over.set()

    async def hears(self, count: int) -> None:
        """Wait until so many messages came."""
        while len(self.messages) < count:
            self.heard.clear()
            await self.heard.wait()


@pytest.fixture
async def net() -> AsyncIterator[PicowsNet]:
    async with PicowsNet(SystemClock()) as opened:
        yield opened


async def open_to(net: PicowsNet, port: int, ear: Ear, *, timeout_ms: int = 20_000, path: str = "/") -> Stream | str:
    return await net.open_stream(
        f"ws://127.0.0.1:{port}{path}", {"X-Key": "secret"}, ear, message_bytes_max=MAX, timeout_ms=timeout_ms
    )


async def hear_out(net: PicowsNet, script: hostile.Script) -> Ear:
    """Open, and wait for the end the server brings about."""
    ear = Ear()
    async with serving(script) as port:
        stream = await open_to(net, port, ear)
        assert not isinstance(stream, str)
        async with asyncio.timeout(20):
            await ear.over.wait()
        with pytest.raises(ConnectionError):
            stream.send(b"too late")
        stream.close("again")
    assert len(ear.ends) == 1
    return ear


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (hostile.http("200 OK", b"<html>maintenance</html>"), "HTTP 200 on upgrade"),
        (hostile.http("404 Not Found"), "HTTP 404 on upgrade"),
        (hostile.http("429 Too Many Requests", b"", "Retry-After: 3"), "HTTP 429 on upgrade"),
        (hostile.http("500 Internal Server Error", b"oops"), "HTTP 500 on upgrade"),
        (hostile.http("301 Moved", b"", "Location: ws://127.0.0.1:1/"), "HTTP 301 on upgrade"),
        (hostile.raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgra"), "connection closed during the upgrade"),
        (hostile.raw(b""), "connection closed during the upgrade"),
        (hostile.raw(b"", then="reset"), "connection closed during the upgrade"),
        (hostile.raw(b"\x00\xff garbage \r\n\r\n"), "bad upgrade reply"),
        (hostile.raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), "bad upgrade reply"),
        (hostile.raw(b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 40_000), "bad upgrade reply"),
        (
            hostile.raw(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n"
            ),
            "bad upgrade reply",
        ),
    ],
)
async def test_bad_upgrade_is_a_reason(net: PicowsNet, script: hostile.Script, reason: str) -> None:
    ear = Ear()
    async with serving(script) as port:
        answer = await open_to(net, port, ear)
    assert isinstance(answer, str)
    assert answer.startswith(reason)
    assert not ear.ends


async def test_server_that_never_answers_the_upgrade(net: PicowsNet) -> None:
    async with serving(hostile.raw(b"", then="hang")) as port:
        answer = await open_to(net, port, Ear(), timeout_ms=50)
    assert answer == "timeout of 50 ms during upgrade"


async def test_refused_port(net: PicowsNet) -> None:
    assert await open_to(net, hostile.free_port(), Ear()) == "connect failed: Connection refused"


async def test_unknown_host_and_bad_url(net: PicowsNet) -> None:
    for url, reason in [("ws://no-such-host.invalid/", "name resolution failed"), ("http://x/?key=1", "not a URL")]:
        answer = await net.open_stream(url, {}, Ear(), message_bytes_max=MAX, timeout_ms=20_000)
        assert isinstance(answer, str)
        assert answer.startswith(reason)
        assert "key" not in answer


async def test_plain_text_where_tls_is_spoken(net: PicowsNet) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"not TLS")

    async with serving(plain) as port:
        answer = await net.open_stream(f"wss://127.0.0.1:{port}/", {}, Ear(), message_bytes_max=MAX, timeout_ms=20_000)
    assert isinstance(answer, str)
    assert "upgrade" in answer


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificate")
async def test_tls_is_checked_and_works(tmp_path: Path) -> None:
    """Also with messages in the very record that accepts the upgrade, and with the connection ended at once."""
    flood = b"".join(frame(TEXT, str(i).encode()) for i in range(5000))
    script = frames(flood, frame(CLOSE, struct.pack(">H", 1001)), together=True)
    server, client = hostile.tls_contexts(tmp_path)
    async with serving(script, tls=server) as port, asyncio.timeout(20):
        for trust, trusted in [(client, True), (None, False)]:
            async with PicowsNet(SystemClock(), trust) as net:
                ear = Ear()
                stream = await net.open_stream(
                    f"wss://127.0.0.1:{port}/", {}, ear, message_bytes_max=MAX, timeout_ms=20_000
                )
                if trusted:
                    assert not isinstance(stream, str)
                    await ear.over.wait()
                    assert len(ear.messages) == 5000
                    assert ear.ends == ["peer closed: 1001"]
                else:
                    assert isinstance(stream, str)
                    assert "CERTIFICATE_VERIFY_FAILED" in stream


@pytest.mark.parametrize("script", [hostile.raw(b"", then="hang"), frames()])
async def test_giving_up_leaves_nothing(net: PicowsNet, script: hostile.Script) -> None:
    """A runner is stopped while its connection is being opened; at whatever point that is, nothing stays behind."""
    async with serving(script) as port:
        for turns in range(12):
            task = asyncio.create_task(open_to(net, port, Ear()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            answers = await asyncio.gather(task, return_exceptions=True)
            for answer in answers:
                if not isinstance(answer, BaseException) and not isinstance(answer, str):
                    answer.close("the test is over")


async def test_giving_up_while_the_reply_is_on_its_way(net: PicowsNet) -> None:
    attempts: list[asyncio.Task[Stream | str]] = []
    gone = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hostile.upgrade_reply(await reader.readuntil(b"\r\n\r\n")))
        attempts[0].cancel()
        with contextlib.suppress(OSError):
            await hostile.gone(reader)
        gone.set()

    async with serving(script) as port, asyncio.timeout(20):
        attempts.append(asyncio.create_task(open_to(net, port, Ear())))
        with pytest.raises(asyncio.CancelledError):
            await attempts[0]
        await gone.wait()


async def test_giving_up_is_seen_by_the_server(net: PicowsNet) -> None:
    gone = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await hostile.gone(reader)
        gone.set()

    async with serving(script) as port, asyncio.timeout(20):
        assert isinstance(await open_to(net, port, Ear(), timeout_ms=50), str)
        await gone.wait()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (frames(frame(CLOSE, struct.pack(">H", 1008) + b"no pong")), "peer closed: 1008 no pong"),
        (frames(frame(CLOSE, struct.pack(">H", 4321) + b"private")), "peer closed: 4321 private"),
        (frames(frame(CLOSE)), "peer closed: no code"),
        (frames(frame(CLOSE, b"\x03")), "protocol error 1002"),
        (frames(frame(CLOSE, struct.pack(">H", 1000) + b"\xff\xfe")), "protocol error 1007"),
        (frames(then="close"), "connection lost"),
        (frames(then="reset"), "connection lost"),
        (frames(b"\xff\xff\xff\xff\xff garbage"), "protocol error 1002"),
        (frames(bytes(range(256)) * 8), "protocol error"),
        (frames(b"\x81\xfe"), "protocol error 1002"),  # masked by the server
        (frames(frame(TEXT, b"x", rsv1=True)), "protocol error: frame compressed"),
        (frames(frame(TEXT, b"a", fin=False), frame(TEXT, b"b")), "protocol error: frame out of place"),
        (frames(frame(CONTINUATION, b"b")), "protocol error: frame out of place"),
        (frames(frame(TEXT, b"x" * (MAX + 1))), f"message over {MAX} bytes"),
        (frames(frame(TEXT, b"x" * MAX, fin=False), frame(CONTINUATION, b"x")), f"message over {MAX} bytes"),
        (frames(struct.pack(">BBQ", 0x81, 127, 1 << 62) + b"x" * 10_000), f"message over {MAX} bytes"),
        (frames(frame(PING, b"x" * 126)), "protocol error 1002"),
    ],
)
async def test_end_has_its_reason(net: PicowsNet, script: hostile.Script, reason: str) -> None:
    ear = await hear_out(net, script)
    assert ear.ends[0].startswith(reason)
    assert not ear.messages


async def test_whole_messages_only(net: PicowsNet) -> None:
    ear = await hear_out(
        net,
        frames(
            frame(TEXT, b"text"),
            frame(BINARY, b"\x00binary"),
            frame(TEXT, b"one ", fin=False),
            frame(PING, b"in between"),
            frame(CONTINUATION, b"two ", fin=False),
            frame(CONTINUATION, b"", fin=False),
            frame(CONTINUATION, b"three"),
            frame(TEXT, b""),
            frame(TEXT, b"not utf-8 \xff"),
            frame(TEXT, b"x" * MAX),
            then="close",
        ),
    )
    expected = [b"text", b"\x00binary", b"one two three", b"", b"not utf-8 \xff", b"x" * MAX]
    assert ear.messages == expected
    assert ear.stamps == sorted(ear.stamps)


@pytest.mark.parametrize("seed", range(8))
async def test_any_bytes_end_or_are_messages(net: PicowsNet, seed: int) -> None:
    """Good frames with random damage: each stream ends with one reason, and nothing too big is heard."""
    dice = random.Random(seed)
    good = [frame(TEXT, b"x" * 200), frame(BINARY, b"y" * 40_000), frame(PING, b"z"), frame(TEXT, b"a", fin=False)]
    good += [frame(CONTINUATION, b"b"), frame(TEXT, b"c" * 90_000, fin=False), frame(CONTINUATION, b"d" * 20)]
    for _ in range(10):
        data = bytearray(b"".join(dice.choices(good, k=6)))
        for _ in range(dice.randint(1, 6)):
            at = dice.choice([dice.randrange(len(data)), dice.randrange(min(len(data), 20))])
            data[at] = dice.randrange(256)
        ear = await hear_out(net, frames(bytes(data), then="close", together=dice.random() < 0.5))
        assert all(len(message) <= MAX for message in ear.messages)
        assert ear.ends[0]


@pytest.mark.parametrize("together", [True, False])
async def test_thousands_of_tiny_frames_in_one_segment(net: PicowsNet, together: bool) -> None:
    """Also in the very segment that accepts the upgrade: nothing is lost, and all of a read has one stamp."""
    wanted = [str(i).encode() for i in range(5000)]
    ear = await hear_out(net, frames(b"".join(frame(TEXT, each) for each in wanted), then="close", together=together))
    assert ear.messages == wanted
    assert len(set(ear.stamps)) < 100


async def test_fast_peer_waits_for_a_slow_owner(net: PicowsNet) -> None:
    """Nothing is read before the owner listens, so that a flood cannot overrun what is held back."""
    ear = Ear()
    async with serving(frames(frame(TEXT, b"x" * 1000) * 2000, together=True)) as port, asyncio.timeout(20):
        stream = await net.open_stream(f"ws://127.0.0.1:{port}/", {}, ear, message_bytes_max=20_000, timeout_ms=20_000)
        assert not isinstance(stream, str)
        await ear.hears(2000)
        stream.close("done")
    assert ear.ends == ["done"]


async def test_too_much_before_the_owner_listens(net: PicowsNet) -> None:
    """What comes with the 101 is held for the owner, within the size of one message."""
    ear = Ear()
    async with serving(frames(frame(TEXT, b"x" * 900) * 10, together=True)) as port, asyncio.timeout(20):
        stream = await net.open_stream(f"ws://127.0.0.1:{port}/", {}, ear, message_bytes_max=5_000, timeout_ms=20_000)
        assert not isinstance(stream, str)
        await ear.over.wait()
    assert len(ear.messages) == 5
    assert ear.ends == ["message over 5000 bytes"]


async def test_nothing_is_heard_before_the_owner_has_the_stream(net: PicowsNet) -> None:
    ear = Ear()
    async with serving(frames(frame(TEXT, b"early"), together=True)) as port:
        stream = await open_to(net, port, ear)
        assert not isinstance(stream, str)
        assert not ear.messages
        async with asyncio.timeout(20):
            await ear.hears(1)
        stream.close("enough")
    assert ear.messages == [b"early"]
    assert ear.ends == ["enough"]


async def test_messages_after_our_close_are_not_heard(net: PicowsNet) -> None:
    ear = Ear()
    async with serving(frames(frame(TEXT, b"early") * 3, together=True)) as port:
        stream = await open_to(net, port, ear)
        assert not isinstance(stream, str)
        stream.close("changed my mind")
        async with asyncio.timeout(20):
            await ear.over.wait()
    assert not ear.messages
    assert ear.ends == ["changed my mind"]


async def test_pings_are_answered_and_count_as_life(net: PicowsNet) -> None:
    pongs: list[tuple[int, bytes]] = []
    answered = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hostile.upgrade_reply(await reader.readuntil(b"\r\n\r\n")))
        opcode, payload = await hostile.receive(reader)
        pongs.append((opcode, payload))
        writer.write(frame(PING, b"are you there"))
        pongs.append(await hostile.receive(reader))
        answered.set()
        await hostile.gone(reader)

    ear = Ear()
    async with serving(script) as port:
        stream = await open_to(net, port, ear)
        assert not isinstance(stream, str)
        opened_ns = stream.heard_ns
        stream.send(b"subscribe")
        async with asyncio.timeout(20):
            await answered.wait()
        stream.close("done")
    assert pongs == [(TEXT, b"subscribe"), (hostile.PONG, b"are you there")]
    assert stream.heard_ns > opened_ns
    assert not ear.messages


async def test_peer_that_does_not_read_is_dropped(net: PicowsNet) -> None:
    """Unread output must not pile up in our memory."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hostile.upgrade_reply(await reader.readuntil(b"\r\n\r\n")))
        await asyncio.Event().wait()

    ear = Ear()
    async with serving(script) as port:
        stream = await open_to(net, port, ear)
        assert not isinstance(stream, str)
        await asyncio.sleep(0)  # the stream is ours from the next loop turn on
        for _ in range(10_000):
            if ear.over.is_set():
                break
            stream.send(b"x" * 10_000)
        with pytest.raises(ConnectionError, match="does not read"):
            stream.send(b"x")
    assert ear.ends == ["peer does not read what we send"]


async def test_listener_that_raises_loses_only_its_own_stream(net: PicowsNet, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = Ear(), Ear()
    bad.raises = KeyError("a bug of ours")
    hello = frames(frame(TEXT, b"hello"), frame(TEXT, b"again"))
    async with serving(hello) as port, asyncio.timeout(20):
        first = await open_to(net, port, bad)
        second = await open_to(net, port, good)
        assert not isinstance(first, str)
        assert not isinstance(second, str)
        await bad.over.wait()
        await good.hears(2)
        assert not good.ends
        second.close("done")
    assert bad.messages == [b"hello"]
    assert bad.ends == ["listener failed: KeyError('a bug of ours')"]
    assert [record.levelno for record in caplog.records if record.name == "twinleg.net"] == [logging.ERROR]
    assert "a bug of ours" in caplog.text


async def test_kept_payload_is_found_out(net: PicowsNet, caplog: pytest.LogCaptureFixture) -> None:
    """A view kept after the call would show other bytes later: the stream ends before anyone can be misled."""
    ear = Ear()
    ear.keeps = True
    async with serving(frames(frame(TEXT, b"[1]"))) as port, asyncio.timeout(20):
        assert not isinstance(await open_to(net, port, ear), str)
        await ear.over.wait()
    assert ear.ends[0].startswith("listener failed: BufferError")
    assert "BufferError" in caplog.text


async def test_no_secret_in_any_log(net: PicowsNet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    async with serving(frames(frame(TEXT, b"x"), then="close")) as port, asyncio.timeout(20):
        ear = Ear()
        await open_to(net, port, ear, path="/?token=secret")
        await ear.over.wait()
    assert "secret" not in caplog.text
    gc.collect()

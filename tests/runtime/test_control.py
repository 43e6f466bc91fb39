"""The operator's socket: whose it is, who may speak, how much, and what a dead process leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from twinleg.core.operations import (
    Answer,
    Asked,
    AskStatus,
    CloseTrade,
    Controlled,
    Declined,
    InDoubt,
    Pause,
    TradeDone,
)
from twinleg.runtime import control
from twinleg.runtime.control import ControlError, NoAnswerError, NoEngineError, ask, listening

pytestmark = pytest.mark.usefixtures("leaves_nothing")

WAIT_S = 20.0
BROKEN = CloseTrade(what="T000001")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket."""
    with TemporaryDirectory() as name:
        yield Path(name)


class Engine:
    """Performs every request, when it is let."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.free = asyncio.Event()
        self.free.set()

    async def perform(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        await self.free.wait()
        if asked == BROKEN:
            raise LookupError("our own mistake")
        return Controlled(control="paused", reason=getattr(asked, "reason", ""))


@pytest.fixture
async def engine(folder: Path) -> AsyncIterator[Engine]:
    made = Engine()
    async with listening(folder, made.perform, request_s_max=0.5):
        yield made


def codes(answer: Answer) -> list[str]:
    assert isinstance(answer, Declined), answer
    return [one.code for one in answer.refusals]


async def raw(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(str(folder / control.SOCKET_NAME))


async def line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await reader.readline()


async def test_a_request_is_performed_and_answered(folder: Path, engine: Engine) -> None:
    answer = await ask(folder, Pause(reason="lunch"), WAIT_S)
    assert answer == Controlled(control="paused", reason="lunch")
    assert engine.asked == [Pause(reason="lunch")]


async def test_the_socket_is_its_owners_alone_and_gone_afterwards(folder: Path) -> None:
    path, before = folder / control.SOCKET_NAME, os.umask(0)
    try:
        async with listening(folder, Engine().perform):
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert not path.exists()
    with pytest.raises(NoEngineError, match="no engine answers"):
        await ask(folder, AskStatus(), WAIT_S)


async def test_what_a_dead_process_left_is_replaced(folder: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(folder / control.SOCKET_NAME))
    dead.close()
    with pytest.raises(NoEngineError):
        await ask(folder, AskStatus(), WAIT_S)
    async with listening(folder, Engine().perform):
        assert isinstance(await ask(folder, AskStatus(), WAIT_S), Controlled)


async def test_a_killed_engine_leaves_no_lock(folder: Path) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom twinleg.runtime.control import listening\n"
        "async def main():\n"
        "    async with listening(Path(sys.argv[1]), None):\n"
        "        print('listening', flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(  # noqa: ASYNC220 (nothing else runs here)
        command, stdout=subprocess.PIPE, env=environment, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "listening\n"
        with pytest.raises(ControlError, match=f"process {child.pid}"):
            async with listening(folder, Engine().perform):
                pass
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert (folder / control.SOCKET_NAME).exists()
    async with listening(folder, Engine().perform):
        assert isinstance(await ask(folder, AskStatus(), WAIT_S), Controlled)


async def test_a_living_engine_is_not_pushed_away(folder: Path, engine: Engine) -> None:
    with pytest.raises(ControlError, match=f"process {os.getpid()}"):
        async with listening(folder, Engine().perform):
            pass
    assert isinstance(await ask(folder, AskStatus(), WAIT_S), Controlled)
    assert engine.asked == [AskStatus()]


async def test_another_file_in_its_place_is_left_alone(folder: Path) -> None:
    path = folder / control.SOCKET_NAME
    path.write_text("mine")
    with pytest.raises(ControlError, match="cannot be listened on"):
        async with listening(folder, Engine().perform):
            pass
    assert path.read_text() == "mine"


async def test_a_path_too_long_is_said(folder: Path) -> None:
    deep = folder / ("x" * 100)
    with pytest.raises(ControlError, match="TWINLEG_DATA_DIR a shorter path"):
        async with listening(deep, Engine().perform):
            pass
    with pytest.raises(NoEngineError, match="shorter path"):
        await ask(deep, AskStatus(), WAIT_S)


async def test_a_long_path_is_reached_from_near(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = folder / ("x" * 100) / "data"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep.parent)
    async with listening(deep, Engine().perform):
        assert isinstance(await ask(Path("data"), AskStatus(), WAIT_S), Controlled)
        assert stat.S_IMODE((deep / control.SOCKET_NAME).stat().st_mode) == 0o600
    assert not (deep / control.SOCKET_NAME).exists()


async def test_what_is_no_request_is_answered_and_the_connection_goes_on(folder: Path, engine: Engine) -> None:
    reader, writer = await raw(folder)
    for said in (b"nonsense\n", b'{"word":"dance"}\n', b'{"word":"pause","loudly":true}\n', b"\xff\n", b"\n"):
        writer.write(said)
        assert codes(msgspec.json.decode(await line(reader), type=Answer)) == ["not_understood"]
    writer.write(msgspec.json.encode(AskStatus()) + b"\n")
    assert isinstance(msgspec.json.decode(await line(reader), type=Answer), Controlled)
    writer.close()
    assert engine.asked == [AskStatus()]


async def test_a_line_too_long_ends_its_connection_alone(folder: Path, engine: Engine) -> None:
    reader, writer = await raw(folder)
    writer.write(b"x" * (2 * control.LINE_BYTES_MAX))
    assert codes(msgspec.json.decode(await line(reader), type=Answer)) == ["too_long"]
    writer.close()
    assert isinstance(await ask(folder, AskStatus(), WAIT_S), Controlled)


async def test_half_a_line_is_no_request(folder: Path, engine: Engine) -> None:
    _, writer = await raw(folder)
    writer.write(b'{"word":"stop"}')
    writer.close()
    await ask(folder, AskStatus(), WAIT_S)
    assert engine.asked == [AskStatus()]


async def test_two_clients_are_served_beside_each_other_each_in_turn(folder: Path, engine: Engine) -> None:
    engine.free.clear()
    one = asyncio.create_task(ask(folder, Pause(reason="one"), WAIT_S))
    other = asyncio.create_task(ask(folder, Pause(reason="other"), WAIT_S))
    async with asyncio.timeout(WAIT_S):
        while len(engine.asked) < 2:  # noqa: ASYNC110 (polls for it)
            await asyncio.sleep(0.01)
    engine.free.set()
    assert {getattr(answer, "reason", "") for answer in await asyncio.gather(one, other)} == {"one", "other"}


async def test_more_connections_than_allowed_are_told_so(folder: Path, engine: Engine) -> None:
    held = [await raw(folder) for _ in range(control.CONNECTIONS_MAX)]
    for reader, writer in held:  # each is served by now
        writer.write(msgspec.json.encode(AskStatus()) + b"\n")
        assert await line(reader)
    assert codes(await ask(folder, AskStatus(), WAIT_S)) == ["busy"]
    for _, writer in held:
        writer.close()
    async with asyncio.timeout(WAIT_S):
        while isinstance(await ask(folder, AskStatus(), WAIT_S), Declined):  # noqa: ASYNC110 (polls for it)
            await asyncio.sleep(0.01)


async def test_what_takes_too_long_is_in_doubt_and_goes_on(folder: Path, engine: Engine) -> None:
    engine.free.clear()
    answer = await ask(folder, Pause(), WAIT_S)
    assert isinstance(answer, InDoubt)
    assert "may still" in answer.text
    engine.free.set()
    assert isinstance(await ask(folder, AskStatus(), WAIT_S), Controlled)


async def test_too_many_that_go_on_are_refused(folder: Path, engine: Engine) -> None:
    engine.free.clear()
    for _ in range(control.UNFINISHED_MAX // 4):
        answers = await asyncio.gather(*(ask(folder, Pause(), WAIT_S) for _ in range(4)))
        assert all(isinstance(answer, InDoubt) for answer in answers)
    assert codes(await ask(folder, Pause(), WAIT_S)) == ["busy"]
    engine.free.set()


async def test_our_own_mistake_is_told_and_the_engine_lives(folder: Path, engine: Engine) -> None:
    assert codes(await ask(folder, BROKEN, WAIT_S)) == ["failed"]
    assert isinstance(await ask(folder, AskStatus(), WAIT_S), Controlled)


async def test_an_engine_that_dies_while_asked_is_no_answer(folder: Path) -> None:
    async def die(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_unix_server(die, str(folder / control.SOCKET_NAME))
    with pytest.raises(NoAnswerError, match="did not answer"):
        await ask(folder, Pause(), WAIT_S)
    server.close()


async def test_an_engine_of_another_version_is_no_answer(folder: Path) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(msgspec.json.encode(TradeDone(states={})).replace(b"trade_done", b"trade_sung") + b"\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(speak, str(folder / control.SOCKET_NAME))
    with pytest.raises(NoAnswerError, match="another version"):
        await ask(folder, Pause(), WAIT_S)
    server.close()

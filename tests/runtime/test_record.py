"""What was recorded can be replayed exactly, and a bad disk stops the recording alone."""

from __future__ import annotations

import asyncio
import logging
import resource
import threading
import zlib
from pathlib import Path
from typing import BinaryIO

import pytest
from simulated import LIMITS, Inbox, PlainFeed, SimClock, SimDice, SimNet

from twinleg.core.messages import FeedHealth, MarketEvent
from twinleg.runtime import record
from twinleg.runtime.budget import Budget
from twinleg.runtime.record import Frame, Kind, Recorder, RecordingError, read, recordings, replay
from twinleg.runtime.streams import Doors, StreamRunner


def frame(number: int, payload: bytes = b"payload") -> Frame:
    return Frame("v", "books-0", Kind.MESSAGE, number * 1_000_000, 1_700_000_000_000 + number, payload)


def read_all(directory: Path) -> list[Frame]:
    return [each for path in recordings(directory) for each in read(path)]


def test_everything_comes_back_in_order(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new" / "folder")
    frames = [frame(i, bytes([i % 256]) * (i % 300)) for i in range(20_000)]
    for each in frames:
        recorder.write(each)
    recorder.close()
    assert recorder.stopped == "closed"
    assert read_all(tmp_path / "new" / "folder") == frames
    recorder.write(frame(0))
    recorder.close()


def test_files_rotate_and_the_oldest_go(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, file_bytes_max=1, files_max=3)
    frames = [frame(i * 1000) for i in range(20)]  # a second apart: one or two to a block, each block its own file
    for each in frames:
        recorder.write(each)
    recorder.close()
    assert len(recordings(tmp_path)) == 3
    kept = read_all(tmp_path)
    assert kept == frames[-len(kept) :]
    assert len(kept) >= 3


def test_two_recordings_at_the_same_time_keep_apart(tmp_path: Path) -> None:
    for _ in range(2):
        recorder = Recorder(tmp_path)
        recorder.write(frame(1))
        recorder.close()
    assert len(recordings(tmp_path)) == 2


async def test_replay_gives_what_was_seen_live(tmp_path: Path) -> None:
    clock, inbox = SimClock(), Inbox()
    net = SimNet(clock)
    recorder = Recorder(tmp_path)
    runner = StreamRunner(
        PlainFeed(),
        inbox,
        Budget("v", LIMITS),
        Doors(net, clock, SimDice()),
        tap=recorder.tap("v", "books-0"),
    )
    task = asyncio.create_task(runner.run())
    for message in [b"1", b"\xff", b"2", b"break"]:
        await clock.advance(1.0)
        net.streams[-1].says(message)
    await clock.advance(5.0)
    net.streams[-1].says(b"3")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    recorder.close()
    frames = read_all(tmp_path)
    assert [each.kind for each in frames].count(Kind.OPENED) == len(net.streams) == 2
    assert Kind.TIMER in {each.kind for each in frames}
    feed = PlainFeed()
    replayed: list[MarketEvent] = [event for events in replay(feed, frames) for event in events]
    assert replayed == [event for event in inbox.events if not isinstance(event, FeedHealth)]
    assert feed.bad_frames == 1
    assert not feed.outbox


def test_crash_in_the_middle_of_a_block_loses_that_block_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path)
    recorder.write(frame(0))
    recorder.write(frame(1000))  # a second later: the first block goes out
    recorder.write(frame(1001))
    recorder.close()
    (path,) = recordings(tmp_path)
    whole = path.read_bytes()
    for cut in range(1, 20):
        path.write_bytes(whole[:-cut])
        assert read_all(tmp_path) == [frame(0), frame(1000)]
    assert "unfinished block" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"something else" + whole,
        lambda whole: whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
        lambda whole: whole + b"\xff" * 100,
        lambda whole: whole + record.BLOCK_HEAD.pack(3) + b"abc",  # not zlib
        lambda whole: whole + record.BLOCK_HEAD.pack(9) + zlib.compress(b"\x90" * 9)[:9],  # half of it
        lambda whole: whole + record.BLOCK_HEAD.pack(8) + zlib.compress(b"\x90")[:8],  # without its checksum's end
        lambda whole: whole + record.BLOCK_HEAD.pack(10) + zlib.compress(b"\x90\x90"),  # not one list
        lambda whole: b"",
    ],
)
def test_damage_is_an_error(tmp_path: Path, damage: object) -> None:
    recorder = Recorder(tmp_path)
    recorder.write(frame(0))
    recorder.close()
    (path,) = recordings(tmp_path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(RecordingError):
        list(read(path))


def test_folder_that_cannot_be_made_stops_the_recording_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    recorder = Recorder(tmp_path / "file" / "recordings")
    for i in range(100):
        recorder.write(frame(i * 1000))
    recorder.close()
    assert recorder.stopped is not None
    assert recorder.stopped.startswith("cannot write to")
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


def test_full_disk_stops_the_recording_alone(tmp_path: Path) -> None:
    """The system lets files grow to 200 bytes: what was written whole stays readable."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        for i in range(0, 20_000, 1000):
            recorder.write(frame(i))
        recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert recorder.stopped == f"cannot write to {tmp_path}: No space left on device"
    kept = read_all(tmp_path)
    assert kept == [frame(i) for i in range(0, 1000 * len(kept), 1000)]
    assert kept


def test_disk_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = threading.Event()
    next_file = record._Writer._next_file

    def late(writer: record._Writer, last: BinaryIO | None, wall_ms: int) -> BinaryIO:
        answers.wait()
        return next_file(writer, last, wall_ms)

    monkeypatch.setattr(record._Writer, "_next_file", late)
    monkeypatch.setattr(record, "CLOSE_TIMEOUT_S", 0.0)
    recorder = Recorder(tmp_path)
    for i in range(0, 200_000, 1000):
        recorder.write(frame(i))
    assert recorder.stopped == "the disk is too slow"
    recorder.close()
    assert "the disk does not answer" in caplog.text
    answers.set()
    recorder._writer._thread.join()
    assert read_all(tmp_path), "what had been handed over before is written after all"

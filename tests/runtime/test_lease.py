"""The lease: one living process per account, the dead in nobody's way, and a fence that sees what was taken away."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from twinleg.runtime import lease as lease_room
from twinleg.runtime.lease import HeldError, Lease, LeaseError, lock_file

SRC = Path(__file__).parents[2] / "src"
HOLDER = (
    "import sys, pathlib\n"
    "from twinleg.runtime.lease import Lease\n"
    "lease = Lease.take(pathlib.Path(sys.argv[1]), 'lighter', '7')\n"
    "print(lease.token, flush=True)\n"
    "sys.stdin.read()\n"
)


def take(folder: Path) -> Lease:
    return Lease.take(folder, "lighter", "7")


@contextmanager
def holder(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds the lease, and its token."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env={"PYTHONPATH": str(SRC)}, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_a_lease_is_taken_given_back_and_numbered_upwards(tmp_path: Path) -> None:
    for token in (1, 2, 3):
        lease = take(tmp_path / "data")
        assert (lease.token, lease.lost()) == (token, None)
        lease.release()
        assert lease.lost() == "lighter-7.lease was given back"
        lease.release()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE(lease.path.stat().st_mode) == 0o600


def test_other_accounts_and_venues_have_leases_of_their_own(tmp_path: Path) -> None:
    leases = [Lease.take(tmp_path, venue, account) for venue in ("lighter", "extended") for account in ("7", "8")]
    assert [lease.lost() for lease in leases] == [None] * 4
    for lease in leases:
        lease.release()


def test_a_living_process_keeps_it_and_is_named_a_dead_one_is_followed(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, token):
        with pytest.raises(LeaseError, match=f"account 7 of lighter is traded by process {process.pid} "):
            take(tmp_path)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(LeaseError, match=f"process {process.pid} "):
            take(tmp_path)
        process.kill()
        process.wait()
        lease = take(tmp_path)
    assert (token, lease.token) == (1, 2)
    lease.release()


def test_the_same_process_does_not_get_it_twice(tmp_path: Path) -> None:
    lease = take(tmp_path)
    with pytest.raises(LeaseError, match=f"process {os.getpid()} "):
        take(tmp_path)
    assert lease.lost() is None
    lease.release()


def test_who_replaces_the_file_takes_the_lease_away(tmp_path: Path) -> None:
    mine = take(tmp_path)
    mine.path.unlink()
    assert "out of reach" in (mine.lost() or "")
    theirs = take(tmp_path)
    assert "another file took the place" in (mine.lost() or "")
    mine.release()
    assert theirs.lost() is None, "giving back what was lost leaves the new one alone"
    theirs.release()


def test_who_restores_the_file_from_a_backup_takes_the_lease_away(tmp_path: Path) -> None:
    take(tmp_path).release()
    backup = tmp_path / "backup"
    shutil.copyfile(tmp_path / "lighter-7.lease", backup)
    lease = take(tmp_path)
    shutil.copyfile(backup, lease.path)
    assert "was written by another" in (lease.lost() or "")
    before = lease.path.read_bytes()
    lease.release()
    assert lease.path.read_bytes() == before


def test_who_moves_the_folder_takes_the_lease_away(tmp_path: Path) -> None:
    lease = take(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "other")
    assert "out of reach" in (lease.lost() or "")
    lease.release()


@pytest.mark.parametrize("content", [b"what?\n", b"12 \n", b"12 7\n", b"\0" * 40])
def test_a_file_that_holds_no_lease_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lighter-7.lease"
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(LeaseError, match="holds no lease"):
            take(tmp_path)
    assert path.read_bytes() == content


def test_a_folder_out_of_reach_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LeaseError, match="Make its folder writable"):
        take(tmp_path / "file")


def test_a_full_disk_gives_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lease_room.os, "fsync", full)
        with pytest.raises(LeaseError, match="No space left"):
            take(tmp_path)
    take(tmp_path).release()


@pytest.mark.parametrize("account", ["../7", "a b", "a/b", "a\n"])
def test_a_name_stays_in_its_folder(tmp_path: Path, account: str) -> None:
    with pytest.raises(AssertionError, match="no name for a file"):
        Lease.take(tmp_path, "lighter", account)


def test_a_lock_says_who_holds_it_if_it_was_written(tmp_path: Path) -> None:
    handle = lock_file(tmp_path / "lock")
    with pytest.raises(HeldError, match="held by process unknown"):
        lock_file(tmp_path / "lock")
    os.close(handle)
    os.close(lock_file(tmp_path / "lock"))

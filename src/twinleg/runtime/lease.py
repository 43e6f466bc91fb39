"""Who may write: a lock on a file that ends with its process, and on top of it the lease of a venue account.

The lock is the kernel's (flock): however its process ends, it is free at once, and no clock decides who is dead. The
journal's file is held by the same lock. The lease stands beside it, since `flatten` needs one without any journal, and
since its folder may be shared by data folders that name the same account. Its fence is asked before every send: who
deletes, replaces or restores a lease's file while its process lives has taken the lease away.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import ExitStack
from pathlib import Path

CONTENT_BYTES_MAX = 64
_CONTENT = re.compile(rb" *(\d+|-) (?P<token>\d{18})\n")


class HeldError(RuntimeError):
    """Another living process holds the file. `owner` is its id, or "unknown"."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(f"{path} is held by process {owner}")
        self.owner = owner


class LeaseError(RuntimeError):
    """This process may not trade the account: the message says why and what to do."""


def lock_file(path: Path) -> int:
    """The file, made if need be (0600), open and locked until it is closed or this process ends.

    Whoever locks writes its process id first into it. Raises HeldError, and OSError as open does.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        words = os.pread(handle, CONTENT_BYTES_MAX, 0).decode(errors="replace").split()
        os.close(handle)
        raise HeldError(path, words[0] if words else "unknown") from None
    except BaseException:
        os.close(handle)
        raise
    return handle


class Lease:
    """The right to trade one venue account. `token` grows with every lease that was ever taken in this file."""

    def __init__(self, path: Path, handle: int, token: int) -> None:
        """Made by `take`."""
        self.path, self.token = path, token
        self._handle: int | None = handle
        self._content = _content(str(os.getpid()), token)

    @classmethod
    def take(cls, folder: Path, venue: str, account: str) -> Lease:
        """The lease of a venue's account, on disk on return. What a dead process left behind is taken over.

        Raises LeaseError: held by a living process (named), unreadable, or out of reach.
        """
        assert re.fullmatch(r"[\w.-]+", f"{venue}.{account}", re.ASCII), f"no name for a file: {venue} {account}"
        path = folder / f"{venue}-{account}.lease"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = lock_file(path)
        except HeldError as error:
            raise LeaseError(
                f"account {account} of {venue} is traded by process {error.owner} ({path}): stop it first"
            ) from None
        except OSError as error:
            raise LeaseError(f"{path} cannot be locked: {error.strerror}. Make its folder writable") from error
        with ExitStack() as undo:
            undo.callback(os.close, handle)
            try:
                lease = cls(path, handle, _last_token(path, handle) + 1)
                lease._write(lease._content)
            except OSError as error:
                raise LeaseError(f"{path} cannot be written: {error.strerror}") from error
            undo.pop_all()
        return lease

    def lost(self) -> str | None:
        """Why this process must not send any more, None while the lease is its own. A few microseconds."""
        if self._handle is None:
            return f"{self.path.name} was given back"
        try:
            named, held = self.path.stat(), os.fstat(self._handle)
            content = os.pread(self._handle, CONTENT_BYTES_MAX, 0)
        except OSError as error:
            return f"{self.path} is out of reach: {error.strerror}"
        if (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino):
            return f"another file took the place of {self.path}"
        return None if content == self._content else f"{self.path} was written by another: {content!r}"

    def release(self) -> None:
        """Give the lease back. One that was lost is left as it is found."""
        if self._handle is None:
            return
        try:
            if self.lost() is None:
                self._write(_content("-", self.token))
        finally:
            os.close(self._handle)
            self._handle = None

    def _write(self, content: bytes) -> None:
        assert self._handle is not None, "given back"
        os.pwrite(self._handle, content, 0)  # one write, as long as any other: never half old, half new
        os.fsync(self._handle)


def _content(owner: str, token: int) -> bytes:
    return f"{owner:>20} {token:018}\n".encode()


def _last_token(path: Path, handle: int) -> int:
    """The token of the lease before, 0 in a new file. Raises LeaseError."""
    content = os.pread(handle, CONTENT_BYTES_MAX, 0)
    if not content:
        return 0
    found = _CONTENT.fullmatch(content)
    if found is None:
        raise LeaseError(
            f"{path} holds no lease: {content!r}. See that no other process trades the account, then delete it"
        )
    return int(found["token"])

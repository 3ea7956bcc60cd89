"""
One writer per session: the lock that Codex takes.

``HOME/thread-writer-locks/<session id>.lock`` is flocked for as long as the session is open, and removed on
release; ``.coordination.lock`` beside it is held while a lock file is made or removed, so that nobody locks a
file that is about to go. Seen with strace on Codex 0.169.0. That a lock file exists says nothing: the kernel
frees the lock of a dead process, the file stays.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rollout.errors import SessionBusyError
from rollout.layout import make_folder

__all__ = ["SessionLock", "has_identity", "identity"]

_FOLDER = "thread-writer-locks"
# Held by others for as long as it takes to open a file.
_COORDINATION_TIMEOUT = 5.0
_COORDINATION_POLL = 0.002


class SessionLock:
    """
    The right to write to a session, held from construction to `release`.

    Two of one session exclude each other also within one process.

    Attributes:
        session_id: Whose it is.
        path: The lock file.

    Raises:
        SessionBusyError: Another writer has it.
        OSError: The lock file could not be made.
    """

    def __init__(self, home: Path, session_id: str) -> None:
        self.session_id = session_id
        self._pid = os.getpid()
        self.path = home / _FOLDER / f"{session_id}.lock"
        make_folder(self.path.parent)
        self._take()

    def _take(self) -> None:
        with _coordinated(self.path.parent):
            fd = _open(self.path)
            if not _try_lock(fd):
                os.close(fd)
                raise SessionBusyError(self.path)
            self._fd, self._identity = fd, identity(fd)

    def renew(self) -> None:
        """
        Take it again if the program has closed its descriptor, which frees it.

        Raises:
            SessionBusyError, OSError: As for a new one; the session is not this writer's any more.
        """
        if not has_identity(self._fd, self._identity):
            self._take()
            self._pid = os.getpid()

    def release(self) -> None:
        """
        Let the next writer in; does nothing the second time.
        """
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        if not has_identity(fd, self._identity):
            return
        # The kernel keeps the lock until the last process that has it from a fork lets go; the file is its maker's.
        # Where the lock file cannot be removed, closing still frees the lock.
        if os.getpid() == self._pid:
            with suppress(OSError, SessionBusyError), _coordinated(self.path.parent):
                self.path.unlink()
        os.close(fd)


def identity(fd: int) -> tuple[int, int]:
    """
    Say which file an open descriptor is of: a number that was closed is soon another file's.
    """
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def has_identity(fd: int, expected: tuple[int, int]) -> bool:
    """
    Say whether a descriptor is open, and of this file.
    """
    try:
        return identity(fd) == expected
    except OSError:
        return False


@contextmanager
def _coordinated(folder: Path) -> Iterator[None]:
    path = folder / ".coordination.lock"
    fd = _open(path)
    try:
        deadline = time.monotonic() + _COORDINATION_TIMEOUT
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise SessionBusyError(path)
            time.sleep(_COORDINATION_POLL)
        yield
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

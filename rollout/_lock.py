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
from types import TracebackType

from rollout._descriptor import Descriptor, is_shortage
from rollout.errors import SessionBusyError
from rollout.layout import make_folder

__all__ = ["LOCKS_FOLDER", "SessionLock", "session_locks", "sessions_held", "take_flock"]

LOCKS_FOLDER = "thread-writer-locks"
_COORDINATION = ".coordination.lock"
_LOCKS_HELD = Path("/proc/locks")
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
        OSError: The lock file could not be created or locked: some network file systems have no locks.
    """

    def __init__(self, home: Path, session_id: str) -> None:
        self.session_id = session_id
        self._pid = os.getpid()
        self.path = home / LOCKS_FOLDER / f"{session_id}.lock"
        self._take()

    def _take(self) -> None:
        make_folder(self.path.parent)
        with _coordinated(self.path.parent):
            is_new = not self.path.exists()
            fd = _open(self.path)
            try:
                is_locked = take_flock(fd, self.path)
            except OSError:
                os.close(fd)
                if is_new:
                    self.path.unlink()
                raise
            if not is_locked:
                os.close(fd)
                raise SessionBusyError(self.path)
            self._descriptor = Descriptor(fd)

    def __enter__(self) -> SessionLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()

    def renew(self) -> None:
        """
        Take the lock again if the program has closed its descriptor, which releases it, or if its file was removed.

        A removed file is still locked, but a new writer would create another file and lock that one. A forked child
        does not check whether the file was removed; the process that took the lock does.

        Raises:
            SessionBusyError, OSError: As for a new one; the session is not this writer's any more.
        """
        is_ours = self._descriptor.is_ours
        if is_ours and (os.getpid() != self._pid or self._descriptor.is_at(self.path, unknown=True)):
            return
        old = self._descriptor
        self._take()
        self._pid = os.getpid()
        old.close()

    def follow(self, home: Path) -> None:
        """
        Note that the home was renamed, if the lock file was, too.
        """
        path = home / LOCKS_FOLDER / self.path.name
        self.path = path if self._descriptor.is_at(path) else self.path

    def release(self) -> None:
        """
        Let the next writer in; does nothing the second time.
        """
        if not self._descriptor.is_ours:
            return
        if os.getpid() == self._pid:
            with suppress(OSError, SessionBusyError), _coordinated(self.path.parent):
                self._descriptor.close()
                self._remove_file()
        # Also where the lock file cannot be removed, and in a forked child.
        self._descriptor.close()

    def _remove_file(self) -> None:
        """
        Remove the lock file, unless a forked child that still records, or a writer that came later, has it locked.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if take_flock(fd, self.path):
                self.path.unlink()
        finally:
            os.close(fd)


def sessions_held(home: Path) -> set[str]:
    """
    Give the ids of the sessions that a writer has open at this moment, without getting into its way.

    A lock file says nothing, so Linux is asked who holds a lock on it; elsewhere a lock file counts as held.
    """
    locks = session_locks(home)
    held = _inodes_locked() if locks else None
    return {session_id for session_id, path in locks.items() if held is None or _inode(path) in held}


def session_locks(home: Path) -> dict[str, Path]:
    """
    Give the lock files that there are, held or left, by the ids of their sessions.
    """
    folder = home / LOCKS_FOLDER
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".lock")]  # noqa: PTH208 -- names
    except OSError as error:
        if is_shortage(error):
            raise
        return {}
    return {name.removesuffix(".lock"): folder / name for name in names if name != _COORDINATION}


def _inodes_locked() -> set[int] | None:
    try:
        # "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF": the last number of the sixth word is the inode.
        lines = _LOCKS_HELD.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return {int(words[-3].rpartition(":")[2]) for line in lines if (words := line.split())[1:2] == ["FLOCK"]}


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return -1


@contextmanager
def _coordinated(folder: Path) -> Iterator[None]:
    path = folder / _COORDINATION
    fd = _open(path)
    try:
        deadline = time.monotonic() + _COORDINATION_TIMEOUT
        while not take_flock(fd, path):
            if time.monotonic() > deadline:
                raise SessionBusyError(path)
            time.sleep(_COORDINATION_POLL)
        yield
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def take_flock(fd: int, path: Path, *, waits: bool = False) -> bool:
    """
    Lock an open file with ``flock``. Return False if another process holds the lock, else True.

    Args:
        fd: Descriptor of the file.
        path: Path of the file, for the error.
        waits: Whether to block until the lock is free.

    Raises:
        OSError: The file cannot be locked at all: ENOLCK, ENOSYS, EOPNOTSUPP or EIO of network file systems.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # The error of the system has no path.
        advice = "the lock is taken with flock(2), which fails on this file system; use a home on another one"
        raise OSError(error.errno, f"{error.strerror}; {advice}", str(path)) from error
    return True

"""
The lock of a session, which excludes a second writer. Codex takes the same lock.

``HOME/thread-writer-locks/<session id>.lock`` is locked with ``flock`` while the session is open, and removed on
release. ``.coordination.lock`` in the same folder is held while a lock file is created or removed, so that no process
locks a file that is being removed. Observed with strace on Codex 0.169.0. The existence of a lock file has no meaning:
the kernel releases the lock of a dead process, but the file stays.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType

from rollout.errors import SessionBusyError
from rollout.home._descriptor import Descriptor, is_shortage
from rollout.home._flock import locked_file, open_locked
from rollout.home._layout import make_folder

__all__ = ["LOCKS_FOLDER", "SessionLock", "lock_files", "locked_sessions"]

LOCKS_FOLDER = "thread-writer-locks"
_COORDINATION = ".coordination.lock"
_LOCKS_HELD = Path("/proc/locks")
# Seconds. Other processes hold this lock only while they open a file.
_COORDINATION_TIMEOUT = 5.0


class SessionLock:
    """
    The exclusive right to write to a session, held from construction to `release`.

    Two locks of one session also exclude each other within one process.

    Attributes:
        session_id: Id of the session.
        path: The lock file.

    Raises:
        SessionBusyError: Another writer holds the lock.
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
            is_new = not os.path.lexists(self.path)
            try:
                self._descriptor = Descriptor(open_locked(self.path))
            except OSError:
                if is_new:
                    self.path.unlink(missing_ok=True)
                raise

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
            SessionBusyError, OSError: As for a new lock; this writer no longer holds the lock.
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
        Update the path after the home was renamed, if the lock file is in the new home.
        """
        path = home / LOCKS_FOLDER / self.path.name
        self.path = path if self._descriptor.is_at(path) else self.path

    def release(self) -> None:
        """
        Release the lock and remove its file. Does nothing the second time.
        """
        if not self._descriptor.is_ours:
            return
        if os.getpid() == self._pid:
            with suppress(OSError, SessionBusyError), _coordinated(self.path.parent):
                self._descriptor.close()
                # Busy if a forked child that still records, or a later writer, has locked the file. Then it stays.
                with locked_file(self.path):
                    self.path.unlink()
        # Also if the lock file cannot be removed, and in a forked child.
        self._descriptor.close()


def locked_sessions(home: Path) -> set[str]:
    """
    Return the ids of the sessions that a writer has open, without taking their locks.

    Reads the kernel's list of locks, as the existence of a lock file has no meaning. On systems other than Linux, every
    lock file counts as held.
    """
    locks = lock_files(home)
    held = _inodes_locked() if locks else None
    return {session_id for session_id, path in locks.items() if held is None or _inode(path) in held}


def lock_files(home: Path) -> dict[str, Path]:
    """
    Return the existing lock files, held or not, by the ids of their sessions.
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


def _coordinated(folder: Path) -> AbstractContextManager[None]:
    return locked_file(folder / _COORDINATION, timeout=_COORDINATION_TIMEOUT)

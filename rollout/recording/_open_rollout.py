"""
A rollout that is open for appending: its descriptor, its path and the lock on its session, checked before each write.

Its path is updated after the file was renamed or archived, or its home was renamed. After a fork several processes may
append to the file. Each of them then has its own open file description, with a shared ``flock`` on the rollout while it
may write. The kernel releases the lock of a process that has ended.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from rollout.home import Descriptor, RolloutName, SessionLock, archive_folder, day_folder, home_of, trash_folder

__all__ = ["OpenRollout", "System"]

# A flush checks that the path names the file. Other writes check it, and the lock, after this number of seconds.
_CHECK_INTERVAL = 1.0
# Seconds to wait for the shared lock, and between two attempts. Another process of ours has the exclusive lock for as
# long as a write takes; another program must not block a recorder for longer.
_LOCK_TIMEOUT = 1.0
_LOCK_POLL = 0.002

_log = logging.getLogger("rollout")


class System(Protocol):
    """
    The functions of the module `os` that a recorder calls for its open file; tests pass objects whose calls fail.
    """

    def open(self, path: Path, flags: int, /) -> int: ...

    def fstat(self, fd: int, /) -> os.stat_result: ...

    def pread(self, fd: int, size: int, offset: int, /) -> bytes: ...

    def write(self, fd: int, data: memoryview, /) -> int: ...

    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int: ...

    def ftruncate(self, fd: int, size: int, /) -> None: ...

    def fsync(self, fd: int, /) -> None: ...

    def getppid(self) -> int: ...


class OpenRollout:
    """
    Open file of a rollout.

    Args:
        path: Path of the file.
        fd: Its descriptor, open for reading and appending; closed by `close`.
        lock: Lock on the session; released by `close`.
        system: The module `os`, or an object with its functions.

    Attributes:
        path: Path of the file; the new path if the file was moved.
    """

    def __init__(self, path: Path, fd: int, lock: SessionLock, system: System = os) -> None:
        self.path = path
        self._system = system
        self._file = Descriptor(fd)
        self._lock = lock
        self._is_inherited = False
        self._next_check = 0.0
        self._lock_shared()

    @property
    def fd(self) -> int:
        """The descriptor; to be used only after a call of `status`."""
        return self._file.fd

    def _lock_shared(self) -> None:
        """
        Take the shared lock. Blocks for a second at most; without that lock `alone` yields False.
        """
        deadline = time.monotonic() + _LOCK_TIMEOUT
        with suppress(OSError):
            while not _try_lock_shared(self._file.fd) and time.monotonic() < deadline:
                time.sleep(_LOCK_POLL)

    def inherit(self) -> None:
        """
        Open the file again before the next write, in the child after a fork.
        """
        self._is_inherited = True

    def close(self) -> None:
        """
        Close the file and release the lock.
        """
        try:
            self._file.close()
        finally:
            self._lock.release()

    def status(self, *, check_path: bool = False) -> os.stat_result:
        """
        Make sure that a write goes to the rollout, and return the status of the file.

        Args:
            check_path: Whether to check that `path` names the file; otherwise this is checked once a second.

        Raises:
            OSError: The file was deleted, another file has its name, or it cannot be opened again.
            SessionBusyError: Another writer has taken the session.
        """
        # Only one system call: while other threads are busy, each may wait 5 ms for the GIL.
        status = None if self._is_inherited else self._file.status()
        if status is None:
            self._open_own()
            status = self._system.fstat(self._file.fd)
        if not status.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the rollout was deleted", str(self.path))
        is_due = time.monotonic() >= self._next_check
        # A process that has dropped its privileges, as servers do, cannot look at the path, but can still write.
        if (check_path or is_due) and not self._file.is_at(self.path, unknown=True):
            self._follow()
        if is_due:
            self._lock.renew()
            self._next_check = time.monotonic() + _CHECK_INTERVAL
        return status

    def _open_own(self) -> None:
        """
        Open the file again, because the program closed all descriptors, as daemons do, or because it forked.
        """
        try:
            file = self.open_again(os.O_APPEND)
        except OSError:
            # A child that has dropped its privileges after the fork still has its parent's descriptor.
            if not self._is_inherited or not self._file.is_ours:
                raise
        else:
            self._file.close()
            self._file = file
            self._lock_shared()
        self._lock.renew()
        self._is_inherited = False

    def open_again(self, flags: int) -> Descriptor:
        """
        Open the file for reading and writing a second time.

        Raises:
            OSError: The file cannot be found or opened.
        """
        if not self._file.is_at(self.path, unknown=True):
            self._follow()
        file = Descriptor(self._system.open(self.path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
        if file.identity != self._file.identity:
            file.close()
            raise self._name_lost_error()
        return file

    def _follow(self) -> None:
        """
        Find the new path of a file that was moved.

        A file that was removed and has another hard link is not followed to it: that may be a backup.
        """
        # All places are tried twice: the file may be moved back meanwhile.
        place = next(filter(self._file.is_at, (*self._places(), *self._places())), None)
        if place is None:
            raise self._name_lost_error()
        home = home_of(place)
        is_listed = home is not None and RolloutName.parse(place) is not None
        _log.log(logging.INFO if is_listed else logging.WARNING, "%s was moved to %s", self.path, place)
        if home is not None:
            self._lock.follow(home)
        self.path = place

    def _places(self) -> Iterator[Path]:
        home, name = home_of(self.path), RolloutName.parse(self.path)
        if home is not None and name is not None:
            for folder in (archive_folder(home), day_folder(home, name.day), trash_folder(home)):
                yield folder / self.path.name
        if self._file.is_ours:
            # On Linux this link has the new name. It ends with "(deleted)" after a removal; no file has that name.
            with suppress(OSError):
                yield Path(f"/proc/self/fd/{self._file.fd}").readlink()

    def _name_lost_error(self) -> OSError:
        what = "another file has taken the place of the rollout" if self.path.exists() else "the rollout was removed"
        where = f"the lines are in the file with inode {self._file.identity[1]}, if it has another name"
        return OSError(errno.ESTALE, f"{what}; {where}", str(self.path))

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """
        Prevent other processes from opening the file to write; yield False if one has it open already.
        """
        try:
            fcntl.flock(self._file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # The kernel has released the shared lock before it refused the exclusive one.
            self._lock_shared()
            yield False
            return
        try:
            yield True
        finally:
            self._lock_shared()


def _try_lock_shared(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""
A rollout that is open for appending: its descriptor, its path and the lock on its session, checked before each write.

It is found again after it was renamed or archived, or its home was. Several processes may append to it after a fork:
each then has an open file description of its own, with a shared ``flock`` on the rollout for as long as it may write.
The kernel frees the lock of a dead process.
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

from rollout._descriptor import Descriptor
from rollout._lock import SessionLock
from rollout.layout import RolloutName, archive_folder, day_folder, home_of, trash_folder

__all__ = ["OpenRollout"]

# A flush checks that the path names the file; without one it is checked so often (seconds), as is the lock.
_CHECK_INTERVAL = 1.0

_log = logging.getLogger("rollout")


class OpenRollout:
    """
    An open rollout.

    Args:
        path: The file.
        fd: Its descriptor, open for reading and appending; closed by `close`.
        lock: Released by `close`.

    Attributes:
        path: The file; where it lies now, if it was moved.
    """

    def __init__(self, path: Path, fd: int, lock: SessionLock) -> None:
        self.path = path
        self._file = Descriptor(fd)
        self._lock = lock
        self._is_inherited = False
        self._next_check = 0.0
        self._share()

    @property
    def fd(self) -> int:
        """Its descriptor; to be used only after `status`."""
        return self._file.fd

    def _share(self) -> None:
        # Where files have no locks, no process is ever alone.
        with suppress(OSError):
            fcntl.flock(self._file.fd, fcntl.LOCK_SH)

    def inherit(self) -> None:
        """
        After a fork, in the child: open the file anew before the next write.
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
        Make sure that a write goes to the rollout, and return its size and the rest of its status.

        Args:
            check_path: Make sure that `path` names the file, too; otherwise this is done once a second.

        Raises:
            OSError: The file was deleted, or lost its name; or it cannot be opened again.
            SessionBusyError: Another writer has taken the session.
        """
        # One call: under a busy caller each may cost a wait of 5 ms for the GIL.
        status = None if self._is_inherited else self._file.status()
        if status is None:
            self._open_own()
            status = os.fstat(self._file.fd)
        if not status.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the rollout was deleted", str(self.path))
        is_due = time.monotonic() >= self._next_check
        # A process that gave up its rights, as servers do, cannot see where the file is, but writes to it.
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
        self._lock.renew()
        try:
            file = self.open_again(os.O_APPEND)
        except OSError:
            # A child that gave up its rights after the fork still has its parent's descriptor.
            if not self._is_inherited or not self._file.is_ours:
                raise
        else:
            self._file.close()
            self._file = file
            self._share()
        self._is_inherited = False

    def open_again(self, flags: int) -> Descriptor:
        """
        Open the file for reading and writing a second time.

        Raises:
            OSError: It cannot be opened, or cannot be found.
        """
        if not self._file.is_at(self.path, unknown=True):
            self._follow()
        file = Descriptor(os.open(self.path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
        if file.identity != self._file.identity:
            file.close()
            raise self._misplaced()
        return file

    def _follow(self) -> None:
        """
        Go on at the place to which the file was moved.

        A file that has lost its name and has another by a hard link only is not followed: that may be a backup.
        """
        place = next(filter(self._file.is_at, self._places()), None)
        if place is None:
            raise self._misplaced()
        home = home_of(place)
        is_listed = home is not None and RolloutName.parse(place) is not None
        _log.log(logging.INFO if is_listed else logging.WARNING, "%s was moved to %s", self.path, place)
        if home is not None:
            self._lock.follow(home)
        self.path = place

    def _places(self) -> Iterator[Path]:
        if self._file.is_ours:
            # Linux follows renames; after "(deleted)" the name leads nowhere.
            with suppress(OSError):
                yield Path(f"/proc/self/fd/{self._file.fd}").readlink()
        home, name = home_of(self.path), RolloutName.parse(self.path)
        if home is not None and name is not None:
            for folder in (archive_folder(home), day_folder(home, name.day), trash_folder(home)):
                yield folder / self.path.name

    def _misplaced(self) -> OSError:
        what = "another file has taken the place of the rollout" if self.path.exists() else "the rollout was removed"
        where = f"what was written is in the file with inode {self._file.identity[1]}, if it has another name"
        return OSError(errno.ESTALE, f"{what}; {where}", str(self.path))

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """
        Hold back every other process that may write to the file; False where one does.
        """
        try:
            fcntl.flock(self._file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._file.fd, fcntl.LOCK_SH)

"""
Detect changes to the files of an index that were not made by this package.

After such a change, by another program or a failing disk, SQLite may return other rows, or words of other lines. So
after each of its own changes, this package stores the *seal*: the size, times and inode number of the database, and,
when the database is closed, a checksum of all its bytes. The seal is in the lock file for updates, next to the
database. The times are compared each time an index is opened, the bytes only if the times differ.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from zlib import crc32

__all__ = ["CHANGED", "DAMAGED", "WHOLE", "Seal", "lock_path"]

WHOLE, CHANGED, DAMAGED = "whole", "changed", "damaged"
# Size of the seal in bytes. It is fixed, so that one write replaces the whole old seal.
_SIZE = 256
# Size of the header of SQLite's log in bytes. It contains random salts that change each time the log is restarted.
_LOG_HEADER_SIZE = 32
_BLOCK_SIZE = 2**20
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Stored instead of the checksum while a process writes.
_OPEN = 0
_NO_LOG = "-"


def lock_path(path: Path) -> Path:
    """
    Return the path of the lock file for updates of an index, which also contains its seal.
    """
    return path.with_name(f"{path.name}.lock")


class Seal:
    """
    The seal of one index.

    Args:
        path: The index.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = lock_path(path)
        self._log = path.with_name(f"{path.name}-wal")

    def judge(self) -> tuple[str, int]:
        """
        Return the state of the files, and the number of transactions that the database should have.

        The state is WHOLE if nothing has changed since the last seal, and DAMAGED if another program or the disk has
        changed the files. It is CHANGED if a process of this package is writing the files, or was killed while it
        wrote: then the contents must be checked. If the log has lost its end, the database has fewer transactions.
        """
        sealed = self._read()
        if sealed is None:
            return DAMAGED, 0
        seen, commits, sum_ = sealed
        files, log = self._state()
        if seen == f"{files} {log}":
            return WHOLE, commits
        if sum_ == _OPEN:
            return CHANGED, commits
        if sum_ != self._checksum():
            return DAMAGED, commits
        if log != _NO_LOG:
            return CHANGED, commits
        # Only the times or the inode number differ: for example, the file was copied.
        self.close(commits)
        return WHOLE, commits

    def is_intact(self) -> bool | None:
        """
        Return whether the bytes of the database are unchanged since it was sealed. Return None if there is no checksum,
        because a process is writing the database. Reads the whole file.
        """
        sealed = self._read()
        if sealed is None or sealed[2] == _OPEN:
            return None
        return sealed[2] == self._checksum()

    def holds(self, *, is_closed: bool = False) -> bool:
        """
        Return whether the size and times of the files are unchanged since the last seal.

        Args:
            is_closed: Whether the last seal must have been written by `close`.
        """
        sealed = self._read()
        if sealed is None or (is_closed and sealed[2] == _OPEN):
            return False
        return sealed[0] == " ".join(self._state())

    def open(self, commits: int) -> None:
        """
        Seal the current files without a checksum of the database, while a process writes it.

        Args:
            commits: Number of transactions of the database.
        """
        with suppress(OSError):
            self._write(" ".join(self._state()), commits, _OPEN)

    def close(self, commits: int | None = None) -> None:
        """
        Seal the database with a checksum, unless there is a log, because then another process has it open. Reads the
        whole file, 1 s per GB.

        Args:
            commits: Number of transactions of the database; None if it is the same as in the last seal.
        """
        if commits is None:
            commits = (self._read() or ("", 0, _OPEN))[1]
        with suppress(OSError):
            if self._state()[1] != _NO_LOG:
                return
            # The clock of the file system advances in steps of 4 ms. A time set here differs from those of writes.
            os.utime(self._path, ns=(self._path.stat().st_atime_ns, time.time_ns()))
            seen = self._state()
            sum_ = self._checksum()
            self._write(" ".join(seen), commits, sum_)
            if seen != self._state():
                # Another process has started to write in the meantime.
                self.open(commits)

    def remove(self) -> None:
        """
        Invalidate the seal, so that the index is not used again.
        """
        with suppress(OSError):
            self._put(b"")

    def _state(self) -> tuple[str, str]:
        """
        Return the values that show a change: inode number, size and times of the database, and the header of the log.
        """
        try:
            status = self._path.stat()
            log = _beginning(self._log, _LOG_HEADER_SIZE)
        except OSError:
            return "", _NO_LOG
        files = f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        return files, log.hex() or _NO_LOG

    def _checksum(self) -> int:
        sum_ = 0
        with suppress(OSError), self._path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK_SIZE):
                sum_ = crc32(block, sum_)
        return sum_ or 1

    def _read(self) -> tuple[str, int, int] | None:
        try:
            line = _beginning(self._lock, _SIZE).partition(b"\n")[0]
        except OSError:
            return None
        sum_, _, text = line.partition(b" ")
        if not text or sum_ != b"%08x" % crc32(text):
            return None
        seen, commits, whole = text.decode().rsplit(" ", 2)
        return seen, int(commits), int(whole)

    def _write(self, seen: str, commits: int, sum_: int) -> None:
        text = f"{seen} {commits} {sum_}".encode()
        self._put(b"%08x %s\n" % (crc32(text), text))

    def _put(self, line: bytes) -> None:
        fd = os.open(self._lock, os.O_WRONLY | _FLAGS)
        try:
            os.pwrite(fd, line.ljust(_SIZE), 0)
        finally:
            os.close(fd)


def _beginning(path: Path, size: int) -> bytes:
    """
    Return the first bytes of a regular file; no bytes for another kind of file, or if there is no file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, size, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)

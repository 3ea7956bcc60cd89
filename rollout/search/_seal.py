"""
Whether the files of an index are as a process of this package left them.

What another program changed in them, or a disk let rot, may be read as other rows, or as words of other lines. So
after each of our own changes the sizes, times and numbers of the files are noted, with a checksum of the whole
database: beside it, in the file that is the lock of updates. The times are looked at each time that an index is opened,
the bytes only if the times are others.
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
# Bytes of the note: of one length, so that a write replaces what was there at once.
_SIZE = 256
# Bytes of the log's header. Its salts are made at random each time that SQLite begins the log again.
_LOG_HEADER_SIZE = 32
_BLOCK_SIZE = 2**20
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# In the place of the checksum while a process writes.
_OPEN = 0
_NO_LOG = "-"


def lock_path(path: Path) -> Path:
    """
    Return the file that is the lock of updates of an index, and holds its seal.
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
        Return what is known of the files: WHOLE if they are as they were left, DAMAGED if not; CHANGED if a process of
        ours writes them, or was killed while it did: what they hold must be checked then. With it, how many
        transactions the database has; one whose log has lost its end has fewer.
        """
        sealed = self._read()
        if sealed is None:
            return DAMAGED, 0
        seen, commits, sum_ = sealed
        files, log = self._look()
        if seen == f"{files} {log}":
            return WHOLE, commits
        if sum_ == _OPEN:
            return CHANGED, commits
        if sum_ != self._checksum():
            return DAMAGED, commits
        if log != _NO_LOG:
            return CHANGED, commits
        # Only its times, its number or its owner are others: it was copied, say.
        self.close(commits)
        return WHOLE, commits

    def is_intact(self) -> bool | None:
        """
        Whether the database has each byte that it had when it was sealed; None if a process writes it. Reads it whole.
        """
        sealed = self._read()
        if sealed is None or sealed[2] == _OPEN:
            return None
        return sealed[2] == self._checksum()

    def holds(self, *, is_closed: bool = False) -> bool:
        """
        Whether the files are, by their times, as they were when they were sealed last; with *is_closed* by `close`.
        """
        sealed = self._read()
        if sealed is None or (is_closed and sealed[2] == _OPEN):
            return False
        return sealed[0] == " ".join(self._look())

    def open(self, commits: int) -> None:
        """
        Seal the files as they are now, while they are written.

        Args:
            commits: How many transactions the database has.
        """
        with suppress(OSError):
            self._write(" ".join(self._look()), commits, _OPEN)

    def close(self, commits: int | None = None) -> None:
        """
        Seal the database as it is now, unless there is a log beside it: then another process has it open. Reads it
        whole, 1 s a GB.

        Args:
            commits: How many transactions it has; None for as many as before.
        """
        if commits is None:
            commits = (self._read() or ("", 0, _OPEN))[1]
        with suppress(OSError):
            if self._look()[1] != _NO_LOG:
                return
            # The file system's clock stands still for 4 ms at a time: no other write gets this time of ours.
            os.utime(self._path, ns=(self._path.stat().st_atime_ns, time.time_ns()))
            seen = self._look()
            sum_ = self._checksum()
            self._write(" ".join(seen), commits, sum_)
            if seen != self._look():
                # Another process has begun to write meanwhile.
                self.open(commits)

    def remove(self) -> None:
        """
        Let the index be used no more.
        """
        with suppress(OSError):
            self._put(b"")

    def _look(self) -> tuple[str, str]:
        """
        Return what tells a change: of the database its number, size and times; of the log the header.
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
    Return the first bytes of a regular file; none of what is something else, or is not there.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, size, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)

"""
One open rollout: whole lines are appended, and what did not get into the file is kept.

Only the writer's thread calls this. What a failed write leaves waits in `lines` for the next.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from rollout._descriptor import Descriptor
from rollout._lock import SessionLock
from rollout._whole import sync_folder

__all__ = ["AppendFile"]

# Lines are joined up to about so many bytes for one write: a batch of usual size is one call (8 x fewer than a call
# a line), and 64 MB that waited for a disk are not copied at once.
_WRITE_SIZE = 2**20


class AppendFile:
    """
    A file open for appending, and the lock on its session.

    Args:
        path: The file.
        fd: It, open for reading and appending; closed by `close`.
        lock: Released by `close`.
        folders: To sync with it the first time: those that name it, or each other.

    Attributes:
        path: The file.
        lines: Those that wait to be written.
        waiting_size: Their bytes.
        written_lines: How many were written.
        written_bytes: Their bytes.
        error: Why the last attempt failed; None if it did not.
        is_unsynced: The last attempt to sync failed.
        is_shared: Another process, from a fork, may append to the file, too.
    """

    def __init__(self, path: Path, fd: int, lock: SessionLock, folders: Sequence[Path] = ()) -> None:
        self.path = path
        self._file = Descriptor(fd)
        self._lock = lock
        self._folders_to_sync = folders
        self._set_seam()
        self._synced_size = os.fstat(fd).st_size
        self.is_shared = False
        self.forget()

    def forget(self) -> None:
        """
        Drop what waits, and count anew.
        """
        self.written_lines = self.written_bytes = 0
        self.error: BaseException | None = None
        self.is_unsynced = False
        self.drop()

    def drop(self) -> None:
        """
        Drop what waits.
        """
        self.lines: list[bytes] = []
        self.waiting_size = 0

    @property
    def is_empty(self) -> bool:
        """Nothing was ever written to it, by anybody."""
        try:
            return not self.path.stat().st_size
        except OSError:
            return False

    def close(self) -> None:
        """
        Close it and release the lock; what waits is not written.
        """
        try:
            self._file.close()
        finally:
            self._lock.release()

    def add(self, lines: Sequence[bytes]) -> None:
        """
        Have lines written next time.
        """
        self.lines += lines
        self.waiting_size += sum(map(len, lines))

    def write(self) -> None:
        """
        Write all lines that wait; keep, with the `error`, those that do not get into the file.
        """
        if not self.lines:
            return
        try:
            self._make_sure_it_is_ours()
            self.error = None
        except Exception as error:  # noqa: BLE001 -- an OSError, or SessionBusyError from the lock
            self.error = error
        while self.lines and self.error is None:
            self._write_some()

    def _make_sure_it_is_ours(self) -> None:
        """
        Open the file again where the program closed all descriptors, as daemons do: the number may be another file's.
        """
        # One call: under a busy caller each may cost a wait of 5 ms for the GIL.
        if status := self._file.status():
            if not status.st_nlink:
                raise FileNotFoundError(errno.ENOENT, "the rollout was deleted", str(self.path))
            return
        self._lock.renew()
        self._file = self._open_again(os.O_APPEND)
        self._set_seam()

    def _open_again(self, flags: int) -> Descriptor:
        file = Descriptor(os.open(self.path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
        if file.identity != self._file.identity:
            file.close()
            raise OSError(errno.ESTALE, "another file has taken the place of the rollout", str(self.path))
        return file

    def _set_seam(self) -> None:
        # A torn tail gets its newline before we append; glued lines lose both (Codex #24425).
        self._seam = b"" if _ends_with_newline(self._file.fd) else b"\n"

    def _write_some(self) -> None:
        lines = self.lines if self.waiting_size <= _WRITE_SIZE else self._first_lines()
        data = self._seam + b"".join(lines)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file.fd, memoryview(data)[written:])
        except OSError as error:
            # Its traceback would keep the data alive.
            self.error = error.with_traceback(None)
        self._settle(data, len(lines), written)

    def _first_lines(self) -> list[bytes]:
        count = size = 0
        while size < _WRITE_SIZE:
            size += len(self.lines[count])
            count += 1
        return self.lines[:count]

    def _settle(self, data: bytes, count: int, written: int) -> None:
        """
        Keep what is not in the file: whole lines where the part-line can be cut back, else the rest of it first.
        """
        if written == len(data):
            end_of_lines, done = written, count
        else:
            end_of_lines = data.rfind(b"\n", 0, written) + 1
            done = data.count(b"\n", 0, end_of_lines) - (1 if end_of_lines and self._seam else 0)
        part_size = written - end_of_lines
        if written:
            self._seam = b""
        if part_size and self.is_shared:
            # Another process may have appended behind it: close it off, and write the line again.
            self._seam, part_size = b"\n", 0
        elif part_size and self._cut_back(data[end_of_lines:written]):
            written, part_size = end_of_lines, 0
        self.written_lines += done
        self.written_bytes += written
        self.waiting_size -= sum(map(len, self.lines[:done])) + part_size
        del self.lines[:done]
        if part_size:
            self.lines[0] = self.lines[0][part_size:]

    def _cut_back(self, part: bytes) -> bool:
        """
        Take a part-line off the end of the file, if it is still there.
        """
        try:
            start = os.fstat(self._file.fd).st_size - len(part)
            if os.pread(self._file.fd, len(part), start) != part:
                return False
            os.ftruncate(self._file.fd, start)
        except OSError:
            return False
        return True

    def sync(self) -> None:
        """
        Let what was written, and the first time the folders, reach the disk; or note the `error`.
        """
        try:
            self._make_sure_it_is_ours()
            size = os.fstat(self._file.fd).st_size
            if self.is_unsynced:
                self._write_unsynced_again(size)
            os.fsync(self._file.fd)
            self._synced_size = size
            # A new file's name is in its folder, which is a file, too.
            for folder in self._folders_to_sync:
                sync_folder(folder)
            self._folders_to_sync = ()
            self.is_unsynced = False
        except Exception as error:  # noqa: BLE001 -- as for write
            self.error = error
            self.is_unsynced = True

    def _write_unsynced_again(self, size: int) -> None:
        """
        Make what a failed sync left behind dirty again, in its place.

        Linux takes what it could not write for written: the next fsync would succeed, and nothing be on the disk
        (PostgreSQL's "fsyncgate", 2018). Where the file system dropped it, it reads as NUL bytes, which no line has.
        """
        # Not the one for appending, on which pwrite appends.
        file = self._open_again(0)
        try:
            for offset in range(self._synced_size, size, _WRITE_SIZE):
                block = os.pread(file.fd, min(_WRITE_SIZE, size - offset), offset)
                if b"\0" in block:
                    raise OSError(
                        errno.EIO, "the file system dropped what was written; repair the session", str(self.path)
                    )
                os.pwrite(file.fd, block, offset)
        finally:
            file.close()


def _ends_with_newline(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"

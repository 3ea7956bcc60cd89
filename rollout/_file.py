"""
One open rollout: whole lines are appended, with one call, and what did not get into the file is kept.

Only the writer's thread calls this. What a failed write leaves waits in `lines` for the next.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["AppendFile"]


class AppendFile:
    """
    A file open for appending.

    Args:
        fd: The file, open for reading and appending; closed by `close`.
        folders: To sync with it the first time: those that name it, or each other.

    Attributes:
        lines: Those that wait to be written.
        written_lines: How many were written.
        written_bytes: Their bytes.
        error: Why the last attempt failed; None if it did not.
        is_unsynced: The last attempt to sync failed.
        is_shared: Another process, from a fork, may append to the file, too.
    """

    def __init__(self, fd: int, folders: Sequence[Path]) -> None:
        self._fd = fd
        self._folders_to_sync = folders
        # A torn tail gets its newline before we append; glued lines lose both (Codex #24425).
        self._seam = b"" if _ends_with_newline(fd) else b"\n"
        self.is_shared = False
        self.forget()

    def forget(self) -> None:
        """
        Drop what waits, and count anew.
        """
        self.lines: list[bytes] = []
        self.written_lines = self.written_bytes = 0
        self.error: BaseException | None = None
        self.is_unsynced = False

    @property
    def is_empty(self) -> bool:
        """Nothing was ever written to it, by anybody."""
        return not os.fstat(self._fd).st_size

    def close(self) -> None:
        """
        Close it; what waits is not written.
        """
        os.close(self._fd)

    def write(self) -> None:
        """
        Write all lines that wait; keep, with the `error`, those that do not get into the file.
        """
        if not self.lines:
            return
        data = b"".join((self._seam, *self.lines))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
            self.error = None
        except OSError as error:
            self.error = error
        self._settle(data, written)

    def _settle(self, data: bytes, written: int) -> None:
        """
        Keep what is not in the file: whole lines where the part-line can be cut back, else the rest of it first.
        """
        end_of_lines = data.rfind(b"\n", 0, written) + 1
        part_size = written - end_of_lines
        done = data.count(b"\n", 0, end_of_lines) - (1 if end_of_lines and self._seam else 0)
        if written:
            self._seam = b""
        if part_size and self.is_shared:
            # Another process may have appended behind it: close it off, and write the line again.
            self._seam, part_size = b"\n", 0
        elif part_size and self._cut_back(data[end_of_lines:written]):
            written, part_size = end_of_lines, 0
        self.written_lines += done
        self.written_bytes += written
        del self.lines[:done]
        if part_size:
            self.lines[0] = self.lines[0][part_size:]

    def _cut_back(self, part: bytes) -> bool:
        """
        Take a part-line off the end of the file, if it is still there.
        """
        try:
            start = os.fstat(self._fd).st_size - len(part)
            if os.pread(self._fd, len(part), start) != part:
                return False
            os.ftruncate(self._fd, start)
        except OSError:
            return False
        return True

    def sync(self) -> None:
        """
        Let what was written, and the first time the folders, reach the disk; or note the `error`.
        """
        try:
            os.fsync(self._fd)
            # A new file's name is in its folder, which is a file, too.
            for folder in self._folders_to_sync:
                _sync_folder(folder)
            self._folders_to_sync = ()
            self.is_unsynced = False
        except OSError as error:
            self.error = error
            self.is_unsynced = True


def _ends_with_newline(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""
Append lines to an open rollout: only whole lines are appended, and lines that could not be written are kept.

Only the writer's thread calls this. What a failed write leaves waits in `lines` for the next.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rollout._lock import SessionLock
from rollout._open_rollout import OpenRollout
from rollout._whole import sync_folder
from rollout.errors import SessionBusyError
from rollout.layout import folders_naming

__all__ = ["AppendFile"]

# Lines are joined up to about so many bytes for one write: a batch of usual size is one call (8 x fewer than a call
# a line), and 64 MB that waited for a disk are not copied at once.
_WRITE_SIZE = 2**20
# Number of bytes at the beginning of a resumed file in which its session_meta is searched for.
_HEAD_SIZE = 2**20
# Seconds that a child waits for its parent to write the first line, and seconds between two checks. The parent may run
# git for 5 seconds before it.
_BEGINNING_TIMEOUT = 6.0
_BEGINNING_POLL = 0.01

_log = logging.getLogger("rollout")


class AppendFile:
    """
    A file open for appending, and the lock on its session.

    Args:
        path: The file.
        fd: Its descriptor, open for reading and appending; closed by `close`.
        lock: Released by `close`.
        folders: To sync with it the first time: those that name it, or each other.

    Attributes:
        lines: Those that wait to be written.
        waiting_size: Their bytes.
        written_lines: How many were written.
        written_bytes: Their bytes.
        error: Why the last attempt failed; None if it did not.
        is_unsynced: The last attempt to sync failed.
        is_misplaced: The last check failed: `path` does not name the file, or another writer holds the session.
        cut_lines: Maximum number of unacknowledged lines that another program has truncated away.
        cut_error: Describes this truncation; None if there was none since the last acknowledgement.
    """

    def __init__(self, path: Path, fd: int, lock: SessionLock, folders: Sequence[Path] = ()) -> None:
        self._rollout = OpenRollout(path, fd, lock)
        self._folders_to_sync, self._synced_path = folders, path
        self._meta, self._meta_offset, self._parent = b"", 0, 0
        self._synced_size = os.fstat(fd).st_size
        self._note_end(self._synced_size)
        self.forget()

    @property
    def path(self) -> Path:
        """Path of the file; the new path if the file was moved."""
        return self._rollout.path

    @property
    def is_empty(self) -> bool:
        """Whether no process has written anything to the file."""
        try:
            return not self._rollout.status().st_size
        except (OSError, SessionBusyError):
            return False

    def await_beginning(self) -> bool:
        """
        In a child, wait until the parent has written the first line, before which it runs git; return whether it did.

        Blocks for at most 6 seconds, and not after the parent has ended.
        """
        deadline = time.monotonic() + _BEGINNING_TIMEOUT
        while not self._meta and self.is_empty:
            if os.getppid() != self._parent or time.monotonic() > deadline:
                return False
            time.sleep(_BEGINNING_POLL)
        return True

    def _note_end(self, size: int) -> None:
        """
        Store the size of the file, whether its last line is complete, and its session_meta line.
        """
        fd = self._rollout.fd
        self._size = size
        # An incomplete last line gets a newline first: two lines without one between them are both lost (Codex #24425).
        self._prefix = b"" if size == 0 or os.pread(fd, 1, size - 1) == b"\n" else b"\n"
        # Number of bytes of the first waiting line, with its prefix, that are already in the file.
        self._part_size = 0
        if size and not self._meta:
            head = os.pread(fd, _HEAD_SIZE, 0)
            self._meta = next(filter(_is_meta, head.splitlines(keepends=True)), b"")
            self._meta_offset = head.find(self._meta)

    def forget(self) -> None:
        """
        Drop what waits, and count anew.
        """
        self.written_lines = self.written_bytes = 0
        self.error: BaseException | None = None
        self.is_unsynced = self.is_misplaced = False
        self.acknowledge()
        self.drop()

    def drop(self) -> None:
        """
        Drop what waits.
        """
        self.lines: list[bytes] = []
        self.waiting_size = 0

    def acknowledge(self) -> None:
        """
        Note that a flush has reported all lines written so far to its caller.
        """
        self._acknowledged_lines = self.written_lines
        self.cut_lines = 0
        self.cut_error: OSError | None = None

    def inherit(self, parent: int) -> None:
        """
        After a fork, in the child: forget the lines that the process with the number *parent* will write.
        """
        self._rollout.inherit()
        self._parent, self._size = parent, -1
        self.forget()

    def discard(self) -> None:
        """Close the file, and remove it if nothing was written to it."""
        if self.is_empty:
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """
        Close it and release the lock; what waits is not written.
        """
        self._rollout.close()

    def add(self, lines: Sequence[bytes]) -> None:
        """
        Have lines written next time.
        """
        self.lines += lines
        self.waiting_size += sum(map(len, lines))

    def write(self, *, check_path: bool = False) -> None:
        """
        Write all lines that wait; keep, with the `error`, those that do not get into the file.

        Args:
            check_path: Whether to check that `path` names the file, also if no line waits.
        """
        if not (self.lines or check_path):
            return
        try:
            self._prepare(check_path=check_path or self.is_misplaced)
            self.error, self.is_misplaced = None, False
        except Exception as error:  # noqa: BLE001 -- an OSError, or SessionBusyError from the lock
            self.error, self.is_misplaced = error, True
        while self.lines and self.error is None:
            self._write_some()

    def _prepare(self, *, check_path: bool = False) -> None:
        """
        Make sure that the next write goes to the rollout, and begins on a new line.
        """
        size = self._rollout.status(check_path=check_path).st_size
        if size < self._size:
            self._account_for_cut(size)
        elif self._size < 0:
            # A child: another program may have cut it since the fork.
            self._restore_meta()
        if size != self._size:
            # Another process has appended something, perhaps half a line, or has truncated the file.
            self._note_end(size)

    def _account_for_cut(self, size: int) -> None:
        what = f"another program cut the rollout from {self._size} to {size} bytes"
        _log.warning("%s: %s", self.path, what)
        self._synced_size = min(self._synced_size, size)
        if self.written_lines > self._acknowledged_lines:
            self.cut_lines += self.written_lines - self._acknowledged_lines
            self.cut_error = OSError(errno.ESTALE, what, str(self.path))
        self._acknowledged_lines = self.written_lines
        self._restore_meta()

    def _restore_meta(self) -> None:
        if os.pread(self._rollout.fd, len(self._meta), self._meta_offset) != self._meta and self.lines[:1] != [
            self._meta
        ]:
            # A file without a session_meta has no session id. The line was counted when it was first written.
            self.lines.insert(0, self._meta)
            self.waiting_size += len(self._meta)
            self.written_lines -= 1

    def _write_some(self) -> None:
        lines = self.lines if self.waiting_size <= _WRITE_SIZE else self._first_lines()
        data, written = b"", self._part_size
        try:
            data = self._joined(lines)
            written += os.write(self._rollout.fd, memoryview(data)[written:])
        except (OSError, MemoryError) as error:
            # Its traceback would keep the data alive.
            self.error = error.with_traceback(None)
        if data:
            if written < len(data) and self.error is None:
                written = self._write_rest(data, written)
            self._account_for(data, len(lines), written)

    def _write_rest(self, data: bytes, written: int) -> int:
        """
        Write what a short write has left, if no other process can append in between; return the bytes written in all.
        """
        with self._rollout.alone() as is_alone:
            try:
                # One that has ended since may have appended, too.
                end = self._size + written - self._part_size
                may_go_on = is_alone and os.fstat(self._rollout.fd).st_size == end
                while may_go_on and written < len(data):
                    written += os.write(self._rollout.fd, memoryview(data)[written:])
            except OSError as error:
                self.error = error.with_traceback(None)
        if written < len(data) and self.error is None:
            why = "only a part of a line was written, and another process may append behind it"
            self.error = OSError(errno.EAGAIN, why, str(self.path))
        return written

    def _joined(self, lines: Sequence[bytes]) -> bytes:
        # A single line is not copied: there may be no memory for a second copy.
        return self._prefix + b"".join(lines) if self._prefix or len(lines) > 1 else lines[0]

    def _first_lines(self) -> list[bytes]:
        count = size = 0
        for line in self.lines:
            size += len(line)
            if count and size > _WRITE_SIZE:
                break
            count += 1
        return self.lines[:count]

    def _account_for(self, data: bytes, count: int, written: int) -> None:
        """
        Keep the lines that are not in the file. A line of which only a part was written is kept as a whole if that part
        was removed from the file or ended with a newline.
        """
        added = written - self._part_size
        self._size += added
        self.written_bytes += added
        if written == len(data):
            end_of_lines, done = written, count
        else:
            end_of_lines = data.rfind(b"\n", 0, written) + 1
            done = data.count(b"\n", 0, end_of_lines) - (1 if end_of_lines and self._prefix else 0)
        if done and not self._meta and _is_meta(self.lines[0]):
            self._meta = self.lines[0]
        if end_of_lines:
            self._prefix = b""
        self.written_lines += done
        self.waiting_size -= sum(map(len, self.lines[:done]))
        del self.lines[:done]
        self._part_size = written - end_of_lines
        if self._part_size:
            self._take_back(data[end_of_lines:written])

    def _take_back(self, part: bytes) -> None:
        """
        Remove an incomplete line from the end of the file. If that fails, the next write appends the rest of the line.
        """
        with self._rollout.alone() as is_alone:
            if is_alone:
                self._cut_back(part)
            else:
                # Another process may have appended after it: end it with a newline, and write the line again.
                self._prefix, self._part_size = b"\n", 0

    def _cut_back(self, part: bytes) -> None:
        fd = self._rollout.fd
        try:
            start = os.fstat(fd).st_size - len(part)
            if os.pread(fd, len(part), start) != part:
                return
            os.ftruncate(fd, start)
        except OSError:
            return
        self._size = start
        self.written_bytes -= len(part)
        self._part_size = 0

    def sync(self) -> None:
        """
        Let what was written, and the first time the folders, reach the disk; or note the `error`.
        """
        try:
            self._prepare()
            if self.is_unsynced:
                self._write_unsynced_again(self._size)
            os.fsync(self._rollout.fd)
            self._synced_size = self._size
            self._sync_folders()
            self.is_unsynced = False
        except Exception as error:  # noqa: BLE001 -- as for write
            self.error = error
            self.is_unsynced = True

    def _sync_folders(self) -> None:
        # The name of a new file is stored in its folder, so the folder must be synced, too.
        if self.path != self._synced_path:
            self._folders_to_sync = folders_naming(self.path)
        for folder in self._folders_to_sync:
            sync_folder(folder)
        self._folders_to_sync, self._synced_path = (), self.path

    def _write_unsynced_again(self, size: int) -> None:
        """
        Make what a failed sync left behind dirty again, in its place.

        Linux takes what it could not write for written: the next fsync would succeed, and nothing be on the disk
        (PostgreSQL's "fsyncgate", 2018). Where the file system dropped it, it reads as NUL bytes, which no line has.
        """
        # Not the one for appending, on which pwrite appends.
        file = self._rollout.open_again(0)
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


def _is_meta(line: bytes) -> bool:
    return b'"session_meta"' in line and line.endswith(b"\n")

"""
Appending of lines to an open rollout: only whole lines are appended, and lines that could not be written are kept.

Only the writer's thread calls this. Lines whose write failed wait in `lines` for the next write.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rollout.errors import SessionBusyError
from rollout.home import SessionLock, folders_up_to_home, sync_folder
from rollout.recording._open_rollout import OpenRollout, System

__all__ = ["AppendFile"]

# Bytes up to which lines are joined for one write: a batch of usual size is one call (8 x fewer than a call a line),
# and 64 MB that waited for a disk are not copied at once.
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
        path: Path of the file.
        fd: Its descriptor, open for reading and appending; closed by `close`.
        lock: Lock on the session; released by `close`.
        folders: Folders to sync with the first sync of the file: those that name it, or name each other.
        system: The module `os`, or an object with its functions.

    Attributes:
        lines: Lines that wait to be written.
        waiting_size: Number of bytes of the waiting lines.
        written_lines: Number of lines written so far.
        written_bytes: Number of bytes written so far.
        error: Error of the last attempt to write or sync; None if it succeeded.
        is_unsynced: Whether the last attempt to sync failed.
        is_misplaced: Whether the last check failed: `path` does not name the file, or another writer holds the session.
        cut_lines: Maximum number of unacknowledged lines that another program has truncated away.
        cut_error: Describes this truncation; None if there was none since the last acknowledgement.
    """

    def __init__(
        self, path: Path, fd: int, lock: SessionLock, folders: Sequence[Path] = (), *, system: System = os
    ) -> None:
        self._system = system
        self._rollout = OpenRollout(path, fd, lock, system)
        self._folders_to_sync, self._synced_path = folders, path
        self._meta, self._meta_offset, self._parent = b"", 0, 0
        self._synced_size = self._system.fstat(fd).st_size
        self._inspect_end(self._synced_size)
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
        Wait, in a child, until the parent, which runs git before, has written the first line; return whether it did.

        Blocks for at most 6 seconds, and not after the parent has ended.
        """
        deadline = time.monotonic() + _BEGINNING_TIMEOUT
        while not self._meta and self.is_empty:
            if self._system.getppid() != self._parent or time.monotonic() > deadline:
                return False
            time.sleep(_BEGINNING_POLL)
        return True

    def _inspect_end(self, size: int) -> None:
        """
        Store the size of the file, whether its last line is complete, and its session_meta line.
        """
        fd = self._rollout.fd
        self._size = size
        # An incomplete last line gets a newline first: two lines without one between them are both lost (Codex #24425).
        self._prefix = b"" if size == 0 or self._system.pread(fd, 1, size - 1) == b"\n" else b"\n"
        # Number of bytes of the first waiting line, with its prefix, that are already in the file.
        self._part_size = 0
        if size and not self._meta:
            head = self._system.pread(fd, _HEAD_SIZE, 0)
            self._meta = next(filter(_is_meta, head.splitlines(keepends=True)), b"")
            self._meta_offset = head.find(self._meta)

    def forget(self) -> None:
        """
        Drop the waiting lines, and set all counters to 0.
        """
        self.written_lines = self.written_bytes = 0
        self.error: BaseException | None = None
        self.is_unsynced = self.is_misplaced = False
        self.acknowledge()
        self.drop()

    def drop(self) -> None:
        """
        Drop the waiting lines.
        """
        self.lines: list[bytes] = []
        self.waiting_size = 0

    def acknowledge(self) -> None:
        """
        Store that a flush has reported all lines written so far to its caller.
        """
        self._acknowledged_lines = self.written_lines
        self.cut_lines = 0
        self.cut_error: OSError | None = None

    def inherit(self, parent: int) -> None:
        """
        Forget, in the child after a fork, the lines that the process with the number *parent* will write.
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
        Close the file and release the lock; waiting lines are not written.
        """
        self._rollout.close()

    def add(self, lines: Sequence[bytes]) -> None:
        """
        Add lines for the next write.
        """
        self.lines += lines
        self.waiting_size += sum(map(len, lines))

    def write(self, *, check_path: bool = False) -> None:
        """
        Write all waiting lines; keep those that could not be written, and store the `error`.

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
            # A child: another program may have cut the file since the fork.
            self._restore_meta()
        if size != self._size:
            # Another process has appended something, perhaps half a line, or has truncated the file.
            self._inspect_end(size)

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
        if self._system.pread(self._rollout.fd, len(self._meta), self._meta_offset) != self._meta and self.lines[
            :1
        ] != [self._meta]:
            # A file without a session_meta has no session id. The line was counted when it was first written.
            self.lines.insert(0, self._meta)
            self.waiting_size += len(self._meta)
            self.written_lines -= 1

    def _write_some(self) -> None:
        lines = self.lines if self.waiting_size <= _WRITE_SIZE else self._first_lines()
        data, written = b"", self._part_size
        try:
            data = self._joined(lines)
            written += self._system.write(self._rollout.fd, memoryview(data)[written:])
        except (OSError, MemoryError) as error:
            # Its traceback would keep the data alive.
            self.error = error.with_traceback(None)
        if data:
            if written < len(data) and self.error is None:
                written = self._write_rest(data, written)
            self._account_for(data, len(lines), written)

    def _write_rest(self, data: bytes, written: int) -> int:
        """
        Write the rest after a short write, if no other process can append in between; return the bytes written in all.
        """
        with self._rollout.alone() as is_alone:
            try:
                # A process that has ended since may have appended, too.
                end = self._size + written - self._part_size
                may_go_on = is_alone and self._system.fstat(self._rollout.fd).st_size == end
                while may_go_on and written < len(data):
                    written += self._system.write(self._rollout.fd, memoryview(data)[written:])
            except OSError as error:
                self.error = error.with_traceback(None)
        if written < len(data) and self.error is None:
            why = "only a part of a line was written, and another process may append after it"
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
            self._remove_part(data[end_of_lines:written])

    def _remove_part(self, part: bytes) -> None:
        """
        Remove an incomplete line from the end of the file. If that fails, the next write appends the rest of the line.
        """
        with self._rollout.alone() as is_alone:
            if is_alone:
                self._truncate_part(part)
            else:
                # Another process may have appended after the part: end it with a newline, and write the line again.
                self._prefix, self._part_size = b"\n", 0

    def _truncate_part(self, part: bytes) -> None:
        fd = self._rollout.fd
        try:
            start = self._system.fstat(fd).st_size - len(part)
            if self._system.pread(fd, len(part), start) != part:
                return
            self._system.ftruncate(fd, start)
        except OSError:
            return
        self._size = start
        self.written_bytes -= len(part)
        self._part_size = 0

    def sync(self) -> None:
        """
        Sync the file, and the first time also its folders, to the disk; or store the `error`.
        """
        try:
            self._prepare()
            if self.is_unsynced:
                self._write_unsynced_again(self._size)
            self._system.fsync(self._rollout.fd)
            self._synced_size = self._size
            self._sync_folders()
            self.is_unsynced = False
        except Exception as error:  # noqa: BLE001 -- as for write
            self.error = error
            self.is_unsynced = True

    def _sync_folders(self) -> None:
        # The name of a new file is stored in its folder, so the folder must be synced, too.
        if self.path != self._synced_path:
            self._folders_to_sync = folders_up_to_home(self.path)
        for folder in self._folders_to_sync:
            sync_folder(folder, self._system.fsync)
        self._folders_to_sync, self._synced_path = (), self.path

    def _write_unsynced_again(self, size: int) -> None:
        """
        Write again, at the same offsets, all bytes since the last successful sync, so that Linux will sync them.

        After a failed fsync Linux marks the bytes as written: the next fsync would succeed without them on the disk
        (PostgreSQL's "fsyncgate", 2018). Bytes that the file system dropped are read as NUL bytes, which no line has.
        """
        # Not the descriptor for appending, on which pwrite appends.
        file = self._rollout.open_again(0)
        try:
            for offset in range(self._synced_size, size, _WRITE_SIZE):
                block = self._system.pread(file.fd, min(_WRITE_SIZE, size - offset), offset)
                if b"\0" in block:
                    raise OSError(
                        errno.EIO, "the file system dropped bytes that were written; repair the session", str(self.path)
                    )
                self._system.pwrite(file.fd, block, offset)
        finally:
            file.close()


def _is_meta(line: bytes) -> bool:
    return b'"session_meta"' in line and line.endswith(b"\n")

"""
The lines that go into one open rollout: whole lines are appended, and what did not get into the file is kept.

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
from rollout.layout import folders_naming

__all__ = ["AppendFile"]

# Lines are joined up to about so many bytes for one write: a batch of usual size is one call (8 x fewer than a call
# a line), and 64 MB that waited for a disk are not copied at once.
_WRITE_SIZE = 2**20
# The session_meta of a resumed file is looked for in so many bytes of it.
_HEAD_SIZE = 2**20
# A child waits so long (seconds) for its parent to write the first line, and looks so often. Git has 5 seconds.
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
        is_misplaced: The last check failed: `path` does not name the file, or the session is another writer's.
        cut_lines: At most so many lines, not yet acknowledged, were cut off by another program.
        cut_error: What it did; None if it did nothing since the last acknowledgement.
    """

    def __init__(self, path: Path, fd: int, lock: SessionLock, folders: Sequence[Path] = ()) -> None:
        self._rollout = OpenRollout(path, fd, lock)
        self._folders_to_sync = folders
        self._synced_path = path
        self._meta = b""
        self._synced_size = os.fstat(fd).st_size
        self._note_end(self._synced_size)
        self.forget()

    @property
    def path(self) -> Path:
        """The file; where it lies now, if it was moved."""
        return self._rollout.path

    @property
    def is_empty(self) -> bool:
        """Nothing was ever written to it, by any process."""
        try:
            return not self.path.stat().st_size
        except OSError:
            return False

    def await_beginning(self) -> None:
        """
        In a child, wait for the first line: its parent asks git before it writes it. Blocks for 6 seconds at most.
        """
        deadline = time.monotonic() + _BEGINNING_TIMEOUT
        while self.is_empty and time.monotonic() < deadline:
            time.sleep(_BEGINNING_POLL)

    def _note_end(self, size: int) -> None:
        """
        Note how the file ends, and how its first line reads.
        """
        fd = self._rollout.fd
        self._size = size
        # A torn tail gets its newline before we append; glued lines lose both (Codex #24425).
        self._prefix = b"" if size == 0 or os.pread(fd, 1, size - 1) == b"\n" else b"\n"
        # Bytes of the first line that waits, with its prefix, that are in the file already.
        self._part_size = 0
        if size and not self._meta:
            self._meta = next(filter(_is_meta, os.pread(fd, _HEAD_SIZE, 0).splitlines(keepends=True)), b"")

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
        Note that a caller was told how far the file is.
        """
        self._acknowledged_lines = self.written_lines
        self.cut_lines = 0
        self.cut_error: OSError | None = None

    def inherit(self) -> None:
        """
        After a fork, in the child: forget what the parent will write.
        """
        self._rollout.inherit()
        self._size = -1
        self.forget()

    def discard(self) -> None:
        """
        Remove a file into which nothing was written, and close it.
        """
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
            check_path: Make sure that `path` names the file, also where nothing waits.
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
        Make sure that the next write goes to the rollout, and begins a line there.
        """
        size = self._rollout.status(check_path=check_path).st_size
        if size < self._size:
            self._account_for_cut(size)
        if size != self._size:
            # Another process has appended, perhaps half a line, or cut it off.
            self._note_end(size)

    def _account_for_cut(self, size: int) -> None:
        what = f"another program cut the rollout from {self._size} to {size} bytes"
        _log.warning("%s: %s", self.path, what)
        self._synced_size = min(self._synced_size, size)
        if self.written_lines > self._acknowledged_lines:
            self.cut_lines += self.written_lines - self._acknowledged_lines
            self.cut_error = OSError(errno.ESTALE, what, str(self.path))
        self._acknowledged_lines = self.written_lines
        if os.pread(self._rollout.fd, len(self._meta), 0) != self._meta:
            # Without its meta the session has no id. It was counted when it was written first.
            self.lines.insert(0, self._meta)
            self.waiting_size += len(self._meta)
            self.written_lines -= 1

    def _write_some(self) -> None:
        lines = self.lines if self.waiting_size <= _WRITE_SIZE else self._first_lines()
        data, written = b"", self._part_size
        try:
            data = self._joined(lines)
            while written < len(data):
                written += os.write(self._rollout.fd, memoryview(data)[written:])
        except (OSError, MemoryError) as error:
            # Its traceback would keep the data alive.
            self.error = error.with_traceback(None)
        if data:
            self._account_for(data, len(lines), written)

    def _joined(self, lines: Sequence[bytes]) -> bytes:
        # A single line is not copied: it may be all that fits into memory.
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
        Keep what is not in the file: whole lines, where half a line is taken back or closed off.
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
        Take half a line off the end of the file; where that cannot be done, the rest of it is written next.
        """
        with self._rollout.alone() as is_alone:
            if is_alone:
                self._cut_back(part)
            else:
                # Another process may have appended behind it: close it off, and write the line again.
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
        # A new file's name is in its folder, which is a file, too.
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
    return b'"session_meta"' in line

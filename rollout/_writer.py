"""
The thread that writes: a bounded queue of commands, one open file, acks that carry the outcome.

Callers hand over plain items and go on; only the writer's thread touches the file. It takes all that waits,
encodes it, and writes it with one call. What a failed write leaves stays in memory and is tried again with the
next command. Does not know what an item means.

Shared between threads, under the queue's own mutex: the queue, and whether it is closed. All else belongs to the
writer's thread; `Writer.stats` reads its counters without a lock.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Full

from attrs import frozen

from rollout._commands import Add, Command, Commands, Flush, Shutdown
from rollout._plain import PlainItem
from rollout.codec import encode_item
from rollout.errors import FlushTimeoutError, RecorderClosedError, RolloutError, WriteError

__all__ = ["EXIT_TIMEOUT", "Stats", "Writer"]

EXIT_TIMEOUT = 10.0
"""Seconds that the end of the program waits for recorders nobody closed, all together."""

# A waiter looks this often (seconds) whether the thread it waits for still lives.
_ALIVE_POLL = 0.1

_log = logging.getLogger("rollout")


@frozen
class Stats:
    """
    How far a recorder is.

    Attributes:
        queued: Commands waiting in the queue.
        pending: Lines in memory that a failed write left there.
        written_lines: Lines this recorder has put into the file.
        written_bytes: Bytes this recorder has put into the file.
        last_error: Why the last write failed; None if it did not.
    """

    queued: int
    pending: int
    written_lines: int
    written_bytes: int
    last_error: BaseException | None


class Writer:
    """
    Appends lines to one file on a thread of its own.

    Args:
        path: The file, for messages.
        fd: The file, open for reading and appending; the writer closes it.
        release: Called when the file is closed.
        first: Gives the items to write before all others; called on the writer's thread.
        first_ms: Their time, in Unix milliseconds.
        ordinal: Number of the next line, in a paginated session.
        folders: To sync with the file the first time: those that name it, or each other.
        queue_size: Commands that may wait; beyond, `add` blocks.
        fsync: Sync the file after every batch.
    """

    def __init__(
        self,
        path: Path,
        fd: int,
        *,
        release: Callable[[], None],
        first: Callable[[], Sequence[PlainItem]] = tuple,
        first_ms: int = 0,
        ordinal: int | None = None,
        folders: Sequence[Path] = (),
        queue_size: int = 256,
        fsync: bool = False,
    ) -> None:
        self.path = path
        self._fd = fd
        self._release = release
        self._first = first
        self._first_ms = first_ms
        self._ordinal = ordinal
        self._fsync = fsync
        self._commands = Commands(queue_size, lambda: RecorderClosedError(path))
        self._lines: list[bytes] = []
        # A torn tail gets its newline before we append; glued lines lose both (Codex #24425).
        self._seam = b"" if _ends_with_newline(fd) else b"\n"
        self._folders_to_sync = folders
        self._taken_lines = self._written_lines = self._written_bytes = self._lost_lines = 0
        self._is_dead = False
        self._batch: Sequence[Command] = ()
        self._is_unsynced = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"rollout-writer {path.name}", daemon=True)
        self._thread.start()
        _live.add(self)

    @property
    def is_closed(self) -> bool:
        return self._commands.is_closed

    @property
    def stats(self) -> Stats:
        return Stats(self._commands.qsize(), len(self._lines), self._written_lines, self._written_bytes, self._error)

    def add(self, items: Sequence[PlainItem]) -> None:
        """
        Queue items; blocks only while the queue is full.

        Raises:
            RecorderClosedError: It is closed; none was taken.
            WriteError: The writer has died; none was taken.
        """
        self._commands.put(Add(items))

    def flush(self, timeout: float | None, *, fsync: bool) -> None:
        """
        Wait until all that was added before is in the file.

        Raises:
            RecorderClosedError: It is closed.
            WriteError: Something is not in the file, or not synced.
            FlushTimeoutError: It took too long.
        """
        command = Flush(fsync)
        deadline = _deadline(timeout)
        try:
            self._commands.put(command, timeout=timeout)
        except Full:
            raise self._late("flush", timeout) from None
        self._await(command, "flush", timeout, deadline)

    def close(self, timeout: float | None) -> None:
        """
        Take no more, write what waits, end the thread. Where a write fails the thread waits for another `close`.

        Raises:
            WriteError: Not all is in the file.
            FlushTimeoutError: It took too long; the thread goes on.
        """
        deadline = _deadline(timeout)
        if self._thread.is_alive():
            command = Shutdown()
            self._commands.put_last(command)
            self._await(command, "close", timeout, deadline)
            self._thread.join(_seconds_to(deadline))
            if self._thread.is_alive():
                raise self._late("close", timeout)
        error = self._outcome()
        if error is not None:
            raise error

    def abandon(self) -> None:
        """
        Take no more and let the thread end by itself: for the garbage collector, which cannot wait.
        """
        self._commands.put_last(Shutdown())

    def _await(self, command: Flush, what: str, timeout: float | None, deadline: float | None) -> None:
        while not command.done.wait(min(_ALIVE_POLL, _seconds_to(deadline))):
            if not _seconds_to(deadline):
                raise self._late(what, timeout)
            if not self._thread.is_alive() and not command.done.is_set():
                # Put behind the back of a thread that was just ending.
                command.answer(self._outcome())
        if command.error is not None:
            raise command.error

    def _late(self, what: str, timeout: float | None) -> FlushTimeoutError:
        return FlushTimeoutError(self.path, what, timeout or 0, self._commands.qsize() + len(self._lines))

    def _outcome(self) -> WriteError | None:
        if not (self._lines or self._lost_lines or self._is_unsynced or self._is_dead):
            return None
        error = WriteError(self.path, len(self._lines), self._lost_lines)
        error.__cause__ = self._error
        return error

    # From here on: the writer's thread.

    def _run(self) -> None:
        try:
            self._obey((Add(self._first(), self._first_ms),))
            while not self._obey(self._commands.take_all()):
                pass
        except BaseException as error:  # noqa: BLE001 -- whatever it is, nobody may wait for ever
            self._die(error)
        finally:
            _live.discard(self)
            try:
                os.close(self._fd)
            finally:
                self._release()

    def _obey(self, commands: Sequence[Command]) -> bool:
        """
        Carry out a batch; True if that was the last.
        """
        self._batch = commands
        self._taken_lines += _count_items(commands)
        flushes = [command for command in commands if isinstance(command, Flush)]
        for command in commands:
            if type(command) is Add:
                self._encode(command)
        self._write()
        if self._fsync or self._is_unsynced or any(command.fsync for command in flushes):
            self._sync()
        outcome = self._outcome()
        for command in flushes:
            command.answer(outcome)
        is_done = not self._lines and not self._is_unsynced
        return is_done and any(type(command) is Shutdown for command in flushes)

    def _encode(self, command: Add) -> None:
        for kind, payload, metadata in command.items:
            try:
                line = encode_item(kind, payload, time_ms=command.time_ms, ordinal=self._ordinal, metadata=metadata)
            except Exception as error:  # noqa: BLE001 -- see below
                # Only memory can be short here, as the snapshot holds nothing but JSON; it costs no other item.
                self._lost_lines += 1
                self._error = error
                _log.exception("%s: an item could not be encoded and is lost", self.path.name)
                continue
            self._lines.append(line)
            if self._ordinal is not None:
                self._ordinal += 1

    def _write(self) -> None:
        if not self._lines:
            return
        data = b"".join((self._seam, *self._lines))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
            self._error = None
        except OSError as error:
            self._error = error
        self._settle(data, written)

    def _settle(self, data: bytes, written: int) -> None:
        """
        Keep what is not in the file: whole lines where the part-line can be cut back, else the rest of it first.
        """
        end_of_lines = data.rfind(b"\n", 0, written) + 1
        part_size = written - end_of_lines
        if part_size and self._cut_back(data[end_of_lines:written]):
            written, part_size = end_of_lines, 0
        done = data.count(b"\n", 0, end_of_lines) - (1 if end_of_lines and self._seam else 0)
        if written:
            self._seam = b""
        self._written_lines += done
        self._written_bytes += written
        del self._lines[:done]
        if part_size:
            self._lines[0] = self._lines[0][part_size:]

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

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
            # A new file's name is in its folder, which is a file, too.
            for folder in self._folders_to_sync:
                _sync_folder(folder)
            self._folders_to_sync = ()
            self._is_unsynced = False
        except OSError as error:
            self._error = error
            self._is_unsynced = True

    def _die(self, error: BaseException) -> None:
        """
        Answer everybody who waits, and refuse who comes later.
        """
        _log.critical("%s: the writer died", self.path.name, exc_info=error)
        self._error = error
        self._is_dead = True
        self._commands.refusal = lambda: self._outcome() or RecorderClosedError(self.path)
        self._commands.put_last(Shutdown())
        waiting = self._commands.take_all()
        self._lost_lines = self._taken_lines + _count_items(waiting) - self._written_lines
        self._lines.clear()
        for command in (*self._batch, *waiting):
            if isinstance(command, Flush) and not command.done.is_set():
                command.answer(self._outcome())


_live: weakref.WeakSet[Writer] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # Daemon threads still run here; threads that are none have ended, with all they recorded.
    deadline = time.monotonic() + EXIT_TIMEOUT
    for writer in list(_live):
        try:
            writer.close(max(deadline - time.monotonic(), 0))
        except RolloutError as error:
            _log.error("at exit: %s", error)


def _count_items(commands: Sequence[Command]) -> int:
    return sum(len(command.items) for command in commands if type(command) is Add)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _seconds_to(deadline: float | None) -> float:
    return threading.TIMEOUT_MAX if deadline is None else max(deadline - time.monotonic(), 0)


def _ends_with_newline(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

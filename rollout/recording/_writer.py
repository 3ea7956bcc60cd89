"""
The writer's thread: it takes commands from a bounded queue, and answers with the outcome.

Callers put plain items into the queue and continue; only the writer's thread touches the file. It takes all waiting
commands, encodes their items, and writes the lines with one call. It does not know what an item means.

Shared between threads, under the queue's own mutex: the queue, and whether it is closed. Everything else belongs to the
writer's thread; `Writer.stats` reads its counters without a lock.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import Full

from rollout.errors import (
    FlushTimeoutError,
    RecorderClosedError,
    RecorderFullError,
    UnsupportedSessionError,
    WriteError,
    WriterStartError,
)
from rollout.recording._append_file import AppendFile
from rollout.recording._commands import Add, Command, Flush, Options, RecorderStats, Shutdown
from rollout.recording._encoder import Encoder
from rollout.recording._lifecycle import live
from rollout.recording._queue import Commands
from rollout.recording._waiting import Deadline

__all__ = ["RETRY_INTERVAL", "Writer"]

RETRY_INTERVAL = 0.5
"""Seconds between attempts to write lines whose write failed; `flush` and `close` try at once."""

# Seconds between two checks of a waiting call that the writer's thread is alive.
_ALIVE_POLL = 0.1

_log = logging.getLogger("rollout")


class Writer:
    """
    Writer that appends lines to one file on its own thread.

    Args:
        file: The open file; the writer closes it.
        first: Returns the item to write before all others, with its time; called on the writer's thread.
        ordinal: Number of the next line, in a paginated session.
        options: Limits on the waiting items, and what happens at the limit.
        started_ms: Unix milliseconds before which no line can be; 0 without this limit.
    """

    def __init__(
        self,
        file: AppendFile,
        options: Options,
        *,
        first: Callable[[], Add] | None = None,
        ordinal: int | None = None,
        started_ms: int = 0,
    ) -> None:
        self._file = file
        self._started_ms = started_ms
        self._options = options
        self._record_timeout = 0 if options.on_full == "raise" else None
        self._first = first
        self._ordinal = ordinal
        self._is_child = False
        self._thread: threading.Thread | None = None
        try:
            self._clear()
            live.add(self)
            self._start()
        except BaseException:
            # No thread could be started; or a KeyboardInterrupt came, after which the thread may be running.
            if self._thread is None:
                live.discard(self)
                self._file.discard()
            else:
                self.abandon()
            raise

    def _clear(self) -> None:
        self._pid = os.getpid()
        self._starting = threading.RLock()
        self._commands = Commands(
            self._options, lambda: RecorderClosedError(self.path), self._check_wait, self._started_ms
        )
        self._batch: Sequence[Command] = ()
        self._encoder = Encoder(self.path.name, self._ordinal)
        self._next_try = 0.0
        self._is_dead = self._is_ending = False
        self._thread = None

    def _start(self) -> threading.Thread:
        with self._starting:
            if self._thread is not None:
                return self._thread
            may_run = threading.Lock()
            run = partial(self._run_once, may_run)
            thread = threading.Thread(target=run, name=f"rollout-writer {self.path.name}", daemon=True)
            try:
                # Set before the start: a signal handler may call this method in between.
                self._thread = thread
                thread.start()
            except BaseException as error:
                # The start failed, or a KeyboardInterrupt came before or after it. If the thread has not yet taken this
                # lock, it never runs `_run`, and the next call starts another thread.
                if may_run.acquire(blocking=False):
                    self._thread = None
                if isinstance(error, RuntimeError):
                    raise WriterStartError(str(error)) from error
                raise
            return thread

    def reset_after_fork(self) -> None:
        """
        Forget, in the child after a fork, the items that the parent will write. The first new item starts a thread.
        """
        self._is_child = True
        self._file.inherit(self._pid)
        self._clear()

    def _check_process(self) -> None:
        """
        Raise an error if a fork other than `os.fork` created this process: the writer's thread does not exist in it.
        """
        if os.getpid() != self._pid:
            raise WriterStartError(
                f"process {os.getpid()} was forked from {self._pid} by other means than os.fork, without the writer's "
                "thread; what was recorded here is not written"
            )

    def _check_wait(self, is_space_short: bool) -> None:
        """
        Raise an error if the wait for space cannot end: the writer needs memory that only the caller can free.
        """
        self._check_process()
        if is_space_short and self._encoder.is_short_of_memory:
            raise Full

    @property
    def path(self) -> Path:
        """Path of the session's file; the new path if the file was moved."""
        return self._file.path

    @property
    def is_closed(self) -> bool:
        return self._commands.is_closed

    @property
    def stats(self) -> RecorderStats:
        # len(), not qsize(): that takes the mutex, which a signal handler may have interrupted.
        commands, file = self._commands, self._file
        return RecorderStats(
            queued=len(commands.queue),
            pending=self._pending,
            waiting_size=commands.waiting_size,
            written_lines=file.written_lines,
            written_bytes=file.written_bytes,
            last_error=self._error,
        )

    @property
    def closed_error(self) -> Exception:
        """The error for further items: the reason why none is accepted."""
        return self._commands.closed_error()

    def add(self, command: Add) -> None:
        """
        Queue the items of a call; block only while there is no space, unless *on_full* is "raise".

        Raises:
            RolloutError: As `Recorder.record`; no item was queued.
        """
        if self._thread is None:
            if self._ordinal is not None:
                raise UnsupportedSessionError(self.path, "it is paginated, and this process is a child of its writer's")
            self._start()
        try:
            self._commands.hand_over(command, self._record_timeout)
        except Full:
            error = RecorderFullError(self.path, len(self._commands.queue), self._commands.waiting_size)
            raise error from self._error

    def flush(self, timeout: float | None, *, fsync: bool) -> None:
        """
        Wait until everything that was added before is in the file.

        Raises:
            RolloutError: As `Recorder.flush`.
        """
        self._check_process()
        if self._thread is None:
            self._start()
        command = Flush(fsync)
        deadline = Deadline(timeout)
        try:
            is_put = self._commands.hand_over(command, timeout=timeout)
        except Full:
            raise self._timeout_error("flush", timeout) from None
        self._wait_for_answer(command, is_put, "flush", timeout, deadline)

    def close(self, timeout: float | None) -> None:
        """
        Refuse new items, write all waiting ones, end the thread; after a failed write it waits for another `close`.

        Raises:
            RolloutError: As `Recorder.close`; after a timeout the thread continues.
        """
        self._check_process()
        deadline = Deadline(timeout)
        if self._thread is None:
            self._close_unstarted()
        elif self._thread.is_alive():
            command = Shutdown()
            is_put = self._commands.end(command)
            self._wait_for_answer(command, is_put, "close", timeout, deadline)
            self._thread.join(max(deadline.left, _ALIVE_POLL))
            if self._thread.is_alive():
                raise self._timeout_error("close", timeout)
        error = self._outcome()
        if error is not None:
            raise error

    def abandon(self) -> None:
        """
        Refuse new items and return without a wait for the thread: the garbage collector must not wait.
        """
        if self._thread is None:
            self._close_unstarted()
        else:
            self._commands.end(Shutdown())

    def _close_unstarted(self) -> None:
        if not self._commands.is_closed:  # A forked child that recorded nothing.
            self._commands.is_closed = True
            self._release()

    def _release(self) -> None:
        live.discard(self)
        self._file.close()

    def _wait_for_answer(
        self, command: Flush, is_put: bool, what: str, timeout: float | None, deadline: Deadline
    ) -> None:
        if not is_put or threading.get_ident() == self._commands.consumer:
            # The answer comes only after the interrupted call has ended, or this thread has gone on.
            raise self._timeout_error(f"a {what} inside of record()", 0)
        while not command.done.wait(min(_ALIVE_POLL, deadline.left)):
            # Check once more: if the process was stopped (SIGSTOP) meanwhile, the writer could not run either.
            if not deadline.left and not command.done.wait(timeout and _ALIVE_POLL):
                raise self._timeout_error(what, timeout)
            # There is no thread if the call of another thread failed to start it.
            thread = self._thread or self._start()
            if not thread.is_alive() and not command.done.is_set():
                # The command was put while the thread was ending.
                command.answer(self._outcome())
        if command.error is not None:
            raise command.error

    def _timeout_error(self, what: str, timeout: float | None) -> FlushTimeoutError:
        return FlushTimeoutError(self.path, what, timeout or 0, len(self._commands.queue) + self._pending)

    @property
    def _pending(self) -> int:
        return len(self._file.lines) + len(self._encoder.waiting)

    @property
    def _error(self) -> BaseException | None:
        return self._file.error or self._encoder.error

    def _outcome(self) -> WriteError | None:
        file, pending, lost = self._file, self._pending, self._encoder.lost_count + self._file.cut_lines
        if not (pending or lost or file.is_unsynced or file.is_misplaced or self._is_dead):
            return None
        error = WriteError(self.path, pending, lost)
        error.__cause__ = self._error or file.cut_error
        return error

    # The methods below run on the writer's thread.

    def _run_once(self, may_run: threading.Lock) -> None:
        if may_run.acquire(blocking=False):
            self._run()

    def _run(self) -> None:
        self._commands.consumer = threading.get_ident()
        try:
            if self._first and not (self._is_child and self._file.await_beginning()):
                self._process((self._first(),))
            is_done = False
            while not is_done:
                waiting_size = self._file.waiting_size + self._encoder.waiting_size
                pause = RETRY_INTERVAL if self._pending or self._file.is_unsynced else None
                is_done = self._process(self._commands.take_all(waiting_size, pause))
        except BaseException as error:  # noqa: BLE001 -- no call may wait without end, whatever the error is
            self._die(error)
        finally:
            self._commands.remove_consumer()
            self._release()

    def _process(self, commands: Sequence[Command]) -> bool:
        """
        Process a batch of commands; return whether it was the last.
        """
        self._batch = commands
        self._encoder.take(commands)
        flushes = [command for command in commands if isinstance(command, Flush)]
        # While a disk refuses, an attempt costs time for all waiting lines; only a flush needs the outcome of one.
        is_due = bool(flushes) or time.monotonic() >= self._next_try
        if is_due or not self._encoder.is_short_of_memory:
            self._encode()
        if is_due or not self._file.error:
            self._file.write(check_path=bool(flushes))
            if self._options.fsync or self._file.is_unsynced or any(command.fsync for command in flushes):
                self._file.sync()
            self._next_try = time.monotonic() + RETRY_INTERVAL
        if flushes:
            outcome = self._outcome()
            self._file.acknowledge()
            for command in flushes:
                command.answer(outcome)
        self._batch = ()
        self._is_ending |= any(type(command) is Shutdown for command in flushes)
        is_done = not self._pending and not self._file.is_unsynced
        return is_done and self._is_ending

    def _encode(self) -> None:
        self._file.add(self._encoder.encode())

    def _die(self, error: BaseException) -> None:
        """
        Answer all waiting calls with the error, and refuse all later ones.
        """
        _log.critical("%s: the writer died", self.path.name, exc_info=error)
        self._file.error = error
        self._is_dead = True
        self._commands.closed_error = lambda: self._outcome() or RecorderClosedError(self.path)
        self._commands.end(Shutdown())
        waiting = self._commands.take_all()
        self._encoder.give_up(waiting, self._file.written_lines)
        self._file.drop()
        for command in (*self._batch, *waiting):
            if isinstance(command, Flush) and not command.done.is_set():
                command.answer(self._outcome())

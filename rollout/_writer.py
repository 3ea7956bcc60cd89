"""
The thread that writes: it takes commands from a bounded queue, and answers with the outcome.

Callers hand over plain items and go on; only the writer's thread touches the file. It takes all that waits, encodes
it, and has it written with one call. Does not know what an item means.

Shared between threads, under the queue's own mutex: the queue, and whether it is closed. All else is the writer's
thread's; `Writer.stats` reads its counters without a lock.
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

from rollout._commands import Add, Command, Deadline, Flush, Options, Shutdown, Stats
from rollout._encoder import Encoder
from rollout._file import AppendFile
from rollout._live import live
from rollout._queue import Commands
from rollout.errors import (
    FlushTimeoutError,
    RecorderClosedError,
    RecorderFullError,
    UnsupportedSessionError,
    WriteError,
    WriterStartError,
)

__all__ = ["RETRY_INTERVAL", "Writer"]

RETRY_INTERVAL = 0.5
"""Seconds between attempts to write what a disk has refused; `flush` and `close` try at once."""

# A waiter looks this often (seconds) whether the thread it waits for still lives.
_ALIVE_POLL = 0.1

_log = logging.getLogger("rollout")


class Writer:
    """
    Appends lines to one file on a thread of its own.

    Args:
        file: Where to write; the writer closes it.
        first: Returns the item to write before all others, with its time; called on the writer's thread.
        ordinal: Number of the next line, in a paginated session.
        options: How much may wait, and what then.
    """

    def __init__(
        self,
        file: AppendFile,
        options: Options,
        *,
        first: Callable[[], Add] | None = None,
        ordinal: int | None = None,
    ) -> None:
        self._file = file
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
            # There are no more threads; or a KeyboardInterrupt, after which the thread may be running.
            if self._thread is None:
                live.discard(self)
                self._file.discard()
            else:
                self.abandon()
            raise

    def _clear(self) -> None:
        self._pid = os.getpid()
        self._starting = threading.RLock()
        self._commands = Commands(self._options, lambda: RecorderClosedError(self.path), self._check_wait)
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
                # Before it starts: a signal handler may come here in between.
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

    def begin_again(self) -> None:
        """
        After a fork, in the child: forget what the parent will write; a thread is started when there is something.
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
    def stats(self) -> Stats:
        # len(), not qsize(): that takes the mutex, which a signal handler may have interrupted.
        commands, file = self._commands, self._file
        return Stats(
            queued=len(commands.queue),
            pending=self._pending,
            waiting_size=commands.waiting_size,
            written_lines=file.written_lines,
            written_bytes=file.written_bytes,
            last_error=self._error,
        )

    @property
    def refusal(self) -> Exception:
        """The error for further items: the reason why none is accepted."""
        return self._commands.refusal()

    def add(self, command: Add) -> None:
        """
        Queue the items of a call; blocks only while there is no space, unless it is to raise then.

        Raises:
            RolloutError: As `Recorder.record`; none was taken.
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
        Wait until all that was added before is in the file.

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
            raise self._late("flush", timeout) from None
        self._await(command, is_put, "flush", timeout, deadline)

    def close(self, timeout: float | None) -> None:
        """
        Take no more, write what waits, end the thread. Where a write fails the thread waits for another `close`.

        Raises:
            RolloutError: As `Recorder.close`; after a timeout the thread goes on.
        """
        self._check_process()
        deadline = Deadline(timeout)
        if self._thread is None:
            self._end_unstarted()
        elif self._thread.is_alive():
            command = Shutdown()
            is_put = self._commands.end(command)
            self._await(command, is_put, "close", timeout, deadline)
            self._thread.join(max(deadline.left, _ALIVE_POLL))
            if self._thread.is_alive():
                raise self._late("close", timeout)
        error = self._outcome()
        if error is not None:
            raise error

    def abandon(self) -> None:
        """
        Take no more and let the thread end by itself: for the garbage collector, which cannot wait.
        """
        if self._thread is None:
            self._end_unstarted()
        else:
            self._commands.end(Shutdown())

    def _end_unstarted(self) -> None:
        if not self._commands.is_closed:  # A child that never recorded.
            self._commands.is_closed = True
            self._let_go()

    def _let_go(self) -> None:
        live.discard(self)
        self._file.close()

    def _await(self, command: Flush, is_put: bool, what: str, timeout: float | None, deadline: Deadline) -> None:
        if not is_put or threading.get_ident() == self._commands.consumer:
            # The answer comes only after the call that this one interrupts, or after what this thread is at.
            raise self._late(f"a {what} inside of record()", 0)
        while not command.done.wait(min(_ALIVE_POLL, deadline.left)):
            # Check once more: if the process was stopped (SIGSTOP) meanwhile, the writer could not run either.
            if not deadline.left and not command.done.wait(timeout and _ALIVE_POLL):
                raise self._late(what, timeout)
            # There is no thread if the call of another thread failed to start it.
            thread = self._thread or self._start()
            if not thread.is_alive() and not command.done.is_set():
                # Put behind the back of a thread that was just ending.
                command.answer(self._outcome())
        if command.error is not None:
            raise command.error

    def _late(self, what: str, timeout: float | None) -> FlushTimeoutError:
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

    # From here on: the writer's thread.

    def _run_once(self, may_run: threading.Lock) -> None:
        if may_run.acquire(blocking=False):
            self._run()

    def _run(self) -> None:
        self._commands.consumer = threading.get_ident()
        try:
            if self._first and not (self._is_child and self._file.await_beginning()):
                self._obey((self._first(),))
            is_done = False
            while not is_done:
                waiting_size = self._file.waiting_size + self._encoder.waiting_size
                pause = RETRY_INTERVAL if self._pending or self._file.is_unsynced else None
                is_done = self._obey(self._commands.take_all(waiting_size, pause))
        except BaseException as error:  # noqa: BLE001 -- whatever it is, nobody may wait for ever
            self._die(error)
        finally:
            self._commands.end_taking()
            self._let_go()

    def _obey(self, commands: Sequence[Command]) -> bool:
        """
        Carry out a batch; True if that was the last.
        """
        self._batch = commands
        self._encoder.take(commands)
        flushes = [command for command in commands if isinstance(command, Flush)]
        # While a disk refuses, an attempt costs time for all waiting lines; only a flush needs its outcome.
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
        Answer everybody who waits, and refuse who comes later.
        """
        _log.critical("%s: the writer died", self.path.name, exc_info=error)
        self._file.error = error
        self._is_dead = True
        self._commands.refusal = lambda: self._outcome() or RecorderClosedError(self.path)
        self._commands.end(Shutdown())
        waiting = self._commands.take_all()
        self._encoder.give_up(waiting, self._file.written_lines)
        self._file.drop()
        for command in (*self._batch, *waiting):
            if isinstance(command, Flush) and not command.done.is_set():
                command.answer(self._outcome())

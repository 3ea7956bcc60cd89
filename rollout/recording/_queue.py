"""
The bounded queue that passes commands from the callers to the writer's thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

from rollout.recording._commands import Add, Command, Options, Shutdown
from rollout.recording._waiting import Deadline, WaitLock, closed_lock, open_lock

__all__ = ["LINGER", "Commands"]

LINGER = 0.001
"""
Seconds that the writer waits for further commands before it takes a batch; it does not wait if one of the commands is a
flush, or if half the queue is full.
"""

# Seconds between two checks that a wait for space can still end.
_CHECK_INTERVAL = 1.0


def _standard_queue() -> Any:
    """
    Return the Queue of the standard library, even if gevent or eventlet has replaced it by one without a mutex.
    """
    spec = PathFinder.find_spec("queue")
    if queue.Queue.__module__ == "queue" or spec is None or spec.loader is None:
        return queue.Queue
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Queue


if TYPE_CHECKING:
    from queue import Queue
else:
    Queue = _standard_queue()


class Commands(Queue[Command]):
    """
    A bounded queue that can be closed: one lock, its mutex, covers the check whether it is closed and the put.

    Without that, 7 of 60 racing runs left an item after the Shutdown and hung.

    A call is re-entrant if a signal handler, a `__del__` or a weakref callback makes it while its thread owns the
    mutex. These rules keep re-entrant calls from a deadlock. Names are those of tests in
    ``tests/faults/test_reentry.py``; ``tests/races/test_schedules.py`` tries the rules in the programs
    `SignalHandler...` and `Interrupted...`.

    1. The mutex is an RLock, which knows its owner. C code sets the owner, so an interrupt cannot leave it stale. A
       call that interrupts a wait for the mutex is not re-entrant.
       (test_a_call_that_interrupts_a_wait_for_the_mutex_is_put)
    2. A re-entrant call does not put its command. It appends the command to the deferred ones, which only the owner of
       the mutex touches. (test_a_signal_handler_that_records_does_not_deadlock)
    3. A re-entrant call does not wait for space: without space it is refused.
       (test_a_reentrant_command_without_space_is_refused)
    4. A re-entrant flush or close does not wait for an answer.
       (test_a_reentrant_flush_or_close_does_not_wait)
    5. The interrupted call puts the deferred commands after its own.
       (test_a_reentrant_command_is_put_after_the_interrupted_one)
    6. The interrupted call puts the deferred commands even if its own command is refused.
       (test_a_deferred_command_is_put_if_the_interrupted_one_is_refused)
    7. Every call puts the deferred commands before its own, which came later: so does the close of another thread, and
       so are put those that an exception has left. (test_a_deferred_command_is_put_before_the_close_of_another_thread,
       test_a_deferred_command_left_by_an_exception_is_put_before_that_of_the_next_call)
    8. A command that is deferred while the writer takes a batch is part of the next one, for which the writer does not
       wait. (test_a_command_that_interrupts_taking_is_in_the_next_batch)
    9. Once `end` was called, a re-entrant command is refused. (test_a_command_that_interrupts_close_is_refused)
    10. The writer is woken before the command is appended: an interrupt between the two leaves no writer asleep.
        (test_the_writer_is_woken_even_if_an_interrupt_follows_the_append)
    11. No thread waits for a `threading.Condition`, whose lock a KeyboardInterrupt can leave held; see
        `InterruptibleEvent`. (test_an_interrupt_in_the_middle_of_a_call_loses_nothing_that_was_accepted in
        ``tests/faults/test_exit.py``)

    Args:
        options: Limits on the number of waiting commands, and on their bytes with those that could not be written; a
            single command may take more.
        closed_error: Returns the error for a call after the queue was closed.
        check: Called every second while a command waits, with whether it waits because of its size; raises an error
            if the wait cannot end.
        started_ms: Unix milliseconds before which no command can be; 0 without this limit.
    """

    mutex: Any

    def __init__(
        self,
        options: Options,
        closed_error: Callable[[], Exception],
        check: Callable[[bool], None] = lambda _: None,
        started_ms: int = 0,
    ) -> None:
        super().__init__(options.queue_size)
        self.mutex = threading.RLock()
        self._check = check
        self._max_size = options.max_waiting_size
        self.is_closed = False
        self.closed_error = closed_error
        self.consumer = 0
        """Number of the writer's thread. It never waits for space: no other thread could make any."""
        # Bytes that may still be put, and bytes that the consumer holds.
        self._space = options.max_waiting_size
        self._consumer_size = 0
        self._deferred: list[Command] = []
        self._idle_lock: WaitLock | None = None
        self._is_lingering = False
        # While callers wait for space, the writer must be at work: this number of commands wakes it.
        self._wake_at = (options.queue_size + 1) // 2
        self._space_locks: list[WaitLock] = []
        # Unix milliseconds: of the last command, and of the last one whose time a caller stated.
        self._last_ms = self._earliest_ms = started_ms

    @property
    def waiting_size(self) -> int:
        """
        Bytes of all commands that are not in the file.
        """
        return self._max_size - self._space

    def hand_over(self, command: Command, timeout: float | None = None) -> bool:
        """
        Put a command; wait while there is no space.

        Returns:
            False if the call that this one interrupts will put the command: this call must not wait for its answer.

        Raises:
            queue.Full: There was no space in time, or this call must not wait for it.
            RecorderClosedError: The queue is closed; or the error that `closed_error` returns.
        """
        if self.mutex._is_owned():
            self._defer(command)
            return False
        try:
            lock = self._try_to_put(command, timeout)
            if lock is not None:
                self._wait_and_put(command, lock, Deadline(timeout))
        finally:
            if self._deferred:
                with self.mutex:
                    self._put_deferred()
        return True

    def end(self, command: Shutdown) -> bool:
        """
        Put the last command and return what `hand_over` returns; never waits.
        """
        # Set first: from here on, calls that interrupt this one are refused, too.
        self.is_closed = True
        return self.hand_over(command)

    def _wait_and_put(self, command: Command, lock: WaitLock | None, deadline: Deadline) -> None:
        while lock is not None:
            self._check(command.size > self._space)
            if lock.acquire(timeout=min(deadline.left, _CHECK_INTERVAL)):
                lock = self._try_to_put(command)
            elif not deadline.left:
                raise queue.Full

    def _defer(self, command: Command) -> None:
        if type(command) is not Shutdown:
            if self.is_closed:
                raise self.closed_error()
            if not self._fits(command.size + sum(other.size for other in self._deferred)):
                raise queue.Full
        self._deferred.append(command)

    def _try_to_put(self, command: Command, timeout: float | None = None) -> WaitLock | None:
        """
        Put a command; return a lock to wait for before the next attempt if there is no space.
        """
        with self.mutex:
            if self._deferred:
                self._put_deferred()
            lock = None
            if self.is_closed or len(self.queue) >= self.maxsize or command.size > self._space:
                lock = self._lock_for_space(command, timeout)
            if lock is None:
                self._put(command)
            return lock

    def _lock_for_space(self, command: Command, timeout: float | None) -> WaitLock | None:
        """
        Return a lock that opens when there may be space; None if the command is put without a wait.
        """
        if type(command) is Shutdown:
            return None
        if self.is_closed:
            raise self.closed_error()
        is_consumer = threading.get_ident() == self.consumer
        if self._fits(command.size) and (is_consumer or len(self.queue) < self.maxsize):
            return None
        if is_consumer or timeout == 0:
            raise queue.Full
        lock = closed_lock()
        self._space_locks.append(lock)
        return lock

    def _fits(self, size: int) -> bool:
        return size <= self._space or not self.waiting_size

    def _put(self, item: Command) -> None:
        if type(item) is Add:
            # Under the mutex, so that time does not run backwards in the file.
            if item.time_ms:
                item.time_ms = self._earliest_ms = max(item.time_ms, self._last_ms)
            else:
                item.time_ms = max(time.time_ns() // 1_000_000, self._earliest_ms)
            self._last_ms = item.time_ms
        elif type(item) is Shutdown:
            # Callers that wait for space are woken: there will be none, and their next attempt raises.
            self._wake_callers()
        # The writer is woken before the append, and waits for the mutex: after the append, a KeyboardInterrupt could
        # leave it asleep with a full queue.
        lock = self._idle_lock
        if lock and (not self._is_lingering or type(item) is not Add or len(self.queue) + 1 >= self._wake_at):
            open_lock(lock)
            self._idle_lock = None
        self._space -= item.size
        self.queue.append(item)

    def _put_deferred(self) -> None:
        while self._deferred:
            self._put(self._deferred.pop(0))

    def _wake_callers(self) -> None:
        for lock in self._space_locks:
            open_lock(lock)
        self._space_locks.clear()

    def take_all(self, unwritten_size: int = 0, timeout: float | None = None) -> list[Command]:
        """
        Wait for a command and take all commands of the queue: the mutex is taken once a batch, not once a command.

        Args:
            unwritten_size: Bytes of earlier commands that could not be written.
            timeout: Seconds to wait; the list may be empty after that.
        """
        lock = self._lock_for_commands(unwritten_size, is_lingering=False)
        if lock is not None and not self._deferred:
            lock.acquire(timeout=Deadline(timeout).left)
        lock = self._lock_for_commands(unwritten_size, is_lingering=True)
        if lock is not None and not self._deferred:
            lock.acquire(timeout=LINGER)
        return self._take()

    def _lock_for_commands(self, unwritten_size: int, *, is_lingering: bool) -> WaitLock | None:
        """
        Return a lock that opens when there is a command; None if there is no reason to wait.

        While lingering it opens only when half the queue is full, or when a caller waits for an answer.
        """
        with self.mutex:
            self._space += self._consumer_size - unwritten_size
            self._consumer_size = unwritten_size
            count = self._qsize()
            if count < self.maxsize:
                self._wake_callers()
            if count >= self._wake_at if is_lingering else count:
                return None
            if is_lingering and (not count or any(type(command) is not Add for command in self.queue)):
                return None
            self._is_lingering = is_lingering
            self._idle_lock = closed_lock()
            return self._idle_lock

    def _take(self) -> list[Command]:
        with self.mutex:
            if self._deferred:
                self._put_deferred()
            commands = list(self.queue)
            self.queue.clear()
            self._consumer_size = self.waiting_size
            self._idle_lock = None
            if self._space_locks:
                # One caller in a tight loop fills the queue alone; if it does not, the others are woken next time.
                # To wake all costs each a wait for the GIL: 8 threads took 1.4 x the time of one.
                open_lock(self._space_locks.pop(0))
            return commands

    def remove_consumer(self) -> None:
        """
        Forget the writer's thread, which has ended: the commands that it holds no longer count as waiting.
        """
        with self.mutex:
            self._space += self._consumer_size
            self._consumer_size = 0
        # The system reuses the number of a thread that has ended.
        self.consumer = 0

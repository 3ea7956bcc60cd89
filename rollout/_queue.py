"""
The bounded queue that hands commands over to the writer.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

from rollout._commands import Add, Command, Deadline, Gate, Options, Shutdown, closed_gate, open_gate

__all__ = ["LINGER", "Commands"]

LINGER = 0.001
"""
Seconds that the writer waits for more before it takes what there is, unless somebody flushes or much is there.
"""

# Seconds between two checks that a wait for space can still end.
_CHECK_INTERVAL = 1.0


def _own_queue() -> Any:
    """
    Give the standard library's Queue, also where gevent or eventlet has put another without a mutex into its place.
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
    Queue = _own_queue()


class Commands(Queue[Command]):
    """
    A bounded queue that can be closed: the check for it and the put happen under one lock, its mutex.

    Without that, 7 of 60 racing runs left an item behind the shutdown and hung.

    A signal handler, a `__del__` or a weakref callback may come while its thread holds the mutex, which it can
    not take a second time. What it hands over is kept in `_late` and put when the mutex is free.

    A KeyboardInterrupt may end any call half-way. So nobody waits for a `threading.Condition` (see `Answered`),
    nobody notes that he is in here but by being it, and what such an end leaves in `_late` is put by the thread's
    next call.

    Args:
        options: How many commands may wait, and how many bytes they and what could not be written may take; a
            single command may take more.
        refusal: Gives the error for who comes when it is closed.
        check: Called every second while a command waits, with whether it waits because of its size; raises an error
            if the wait cannot end.
    """

    def __init__(
        self, options: Options, refusal: Callable[[], Exception], check: Callable[[bool], None] = lambda _: None
    ) -> None:
        super().__init__(options.queue_size)
        self._check = check
        self._max_size = options.max_waiting_size
        self.is_closed = self._is_ended = False
        self.refusal = refusal
        self.consumer = 0
        """The thread that takes; it never waits for space, as nobody else would make any."""
        # Bytes that may yet be put, and those that the consumer has.
        self._space = options.max_waiting_size
        self._taken_size = 0
        self._late: dict[int, list[Command]] = {}
        self._idle: Gate | None = None
        self._is_lingering = False
        # While a caller waits for space, the writer is to be at work.
        self._many = (options.queue_size + 1) // 2
        self._without_space: list[Gate] = []

    @property
    def waiting_size(self) -> int:
        """
        Bytes that what was handed over and is not in the file takes.
        """
        return self._max_size - self._space

    def hand_over(self, command: Command, timeout: float | None = None) -> bool:
        """
        Put a command; waits while there is no space.

        Returns:
            False if the call that this one interrupts will put the command: its answer must not be waited for here.

        Raises:
            queue.Full: There was none in time, or this thread must not wait for it.
            RecorderClosedError: It is closed; or what `refusal` gives.
        """
        # A command of this thread that is still late must precede this one, even if the mutex is free by now.
        if (self.mutex.locked() or self._late) and self._is_in_here():
            self._add_late(command)
            return False
        try:
            gate = self._try_to_put(command, timeout)
            if gate is not None:
                self._wait_and_put(command, gate, Deadline(timeout))
        finally:
            if self._late:
                self._put_late()
        return True

    def end(self, command: Shutdown) -> bool:
        """
        Put the last command, as `hand_over` does; never waits.
        """
        # From here on who interrupts this is refused, too.
        self.is_closed = True
        return self.hand_over(command)

    def _wait_and_put(self, command: Command, gate: Gate | None, deadline: Deadline) -> None:
        while gate is not None:
            self._check(command.size > self._space)
            if gate.acquire(timeout=min(deadline.left, _CHECK_INTERVAL)):
                gate = self._try_to_put(command)
            elif not deadline.left:
                raise queue.Full

    def _is_in_here(self) -> bool:
        """
        Say whether this call comes from inside of one that holds the mutex, by the only sure sign: its callers.
        """
        frame = sys._getframe(2)
        while frame.f_back is not None:
            frame = frame.f_back
            if frame.f_code in _INSIDE and frame.f_locals["self"] is self:
                return True
        return False

    def _add_late(self, command: Command) -> None:
        late = self._late.setdefault(threading.get_ident(), [])
        if type(command) is not Shutdown:
            if self.is_closed:
                raise self.refusal()
            if not self._fits(command.size + sum(other.size for other in late)):
                raise queue.Full
        if type(command) is Add:
            command.time_ms = time.time_ns() // 1_000_000
        late.append(command)

    def _try_to_put(self, command: Command, timeout: float | None = None) -> Gate | None:
        """
        Put it, or give a gate that opens when it is worth trying again.
        """
        with self.mutex:
            gate = None
            if self.is_closed or len(self.queue) >= self.maxsize or command.size > self._space:
                gate = self._gate_for(command, timeout)
            if gate is None:
                self._put(command)
            # A late command of this thread was accepted, so it is put before another thread can close the queue. Python
            # runs no signal handler between this check and the release of the mutex: there is no call or jump.
            if not self._late:
                return gate
            self._put_late_of(threading.get_ident())
            return gate

    def _gate_for(self, command: Command, timeout: float | None) -> Gate | None:
        """
        Give a gate to wait at; none for what is put all the same.
        """
        if type(command) is Shutdown:
            return None
        if self.is_closed:
            raise self.refusal()
        is_consumer = threading.get_ident() == self.consumer
        if self._fits(command.size) and (is_consumer or len(self.queue) < self.maxsize):
            return None
        if is_consumer or timeout == 0:
            raise queue.Full
        gate = closed_gate()
        self._without_space.append(gate)
        return gate

    def _fits(self, size: int) -> bool:
        return size <= self._space or not self.waiting_size

    def _put(self, item: Command) -> None:
        if type(item) is Add:
            # Under the mutex, so that time does not run backwards in the file.
            item.time_ms = time.time_ns() // 1_000_000
        elif type(item) is Shutdown:
            self._is_ended = True
            # Who waits for space is to learn that there will be none.
            self._open_space()
        # The writer is woken before the append, and waits for the mutex: after the append, a KeyboardInterrupt could
        # leave it asleep with a full queue.
        gate = self._idle
        if gate is not None and (not self._is_lingering or type(item) is not Add or len(self.queue) + 1 >= self._many):
            open_gate(gate)
            self._idle = None
        self._space -= item.size
        self.queue.append(item)

    def _put_late(self) -> None:
        me = threading.get_ident()
        while me in self._late:
            with self.mutex:
                self._put_late_of(me)

    def _put_late_of(self, thread: int) -> None:
        late = self._late.pop(thread, [])
        while late:
            command = late.pop(0)
            if self._is_ended and type(command) is Add:
                # The item was accepted, but another thread has closed the queue since.
                raise self.refusal()
            self._put(command)

    def _open_space(self) -> None:
        for gate in self._without_space:
            open_gate(gate)
        self._without_space.clear()

    def take_all(self, unwritten_size: int = 0, timeout: float | None = None) -> list[Command]:
        """
        Wait for a command and take all there are: one lock a batch, not one a command.

        Args:
            unwritten_size: Bytes of what was taken before and could not be written.
            timeout: Seconds to wait; after that there is nothing to take.
        """
        gate = self._close_gate(unwritten_size, is_lingering=False)
        if gate is not None:
            gate.acquire(timeout=Deadline(timeout).left)
        gate = self._close_gate(unwritten_size, is_lingering=True)
        if gate is not None:
            gate.acquire(timeout=LINGER)
        taken = self._take()
        return taken + self._late.pop(threading.get_ident(), []) if self._late else taken

    def _close_gate(self, unwritten_size: int, *, is_lingering: bool) -> Gate | None:
        """
        Give a gate that opens when there is a command or, for who lingers, many of them or one that somebody waits for.
        """
        with self.mutex:
            self._space += self._taken_size - unwritten_size
            self._taken_size = unwritten_size
            count = self._qsize()
            if count < self.maxsize:
                self._open_space()
            if count >= self._many if is_lingering else count:
                return None
            if is_lingering and (not count or any(type(command) is not Add for command in self.queue)):
                return None
            self._is_lingering = is_lingering
            self._idle = closed_gate()
            return self._idle

    def _take(self) -> list[Command]:
        with self.mutex:
            taken = list(self.queue)
            self.queue.clear()
            self._taken_size = self.waiting_size
            self._idle = None
            if self._without_space:
                # One who waits fills the queue by himself in a tight loop; where not, the others come next time. Waking
                # them all costs each a wait for the GIL: 8 threads took 1.4 x the time of one.
                open_gate(self._without_space.pop(0))
            return taken

    def end_taking(self) -> None:
        """
        Forget the consumer, which has ended: the commands that it took no longer count as waiting.
        """
        with self.mutex:
            self._space += self._taken_size
            self._taken_size = 0
        # The system reuses the number of a thread that has ended.
        self.consumer = 0


_INSIDE = tuple(
    method.__code__
    for method in (
        Commands._try_to_put,
        Commands._put_late,
        Commands._close_gate,
        Commands._take,
        Commands.end_taking,
    )
)

"""
What the writer is told to do, and the bounded queue that hands it over.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import define, field, frozen

from rollout._plain import PlainItem

__all__ = ["LINGER", "MAX_WAITING_SIZE", "Add", "Command", "Commands", "Deadline", "Flush", "Options", "Shutdown"]

LINGER = 0.001
"""
Seconds that the writer waits for more before it takes what there is, unless somebody flushes or much is there.
"""

MAX_WAITING_SIZE = 64 * 2**20
"""Bytes of memory that what is not yet in the file may take, unless told otherwise."""


@frozen
class Options:
    """
    How much may wait, and when it is safe; see `Recorder`.
    """

    fsync: bool = False
    queue_size: int = 256
    max_waiting_size: int = MAX_WAITING_SIZE
    on_full: Literal["block", "raise"] = "block"

    def __attrs_post_init__(self) -> None:
        # Before a file is made.
        for name in ("queue_size", "max_waiting_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)}")
        if self.on_full not in ("block", "raise"):
            raise ValueError(f"on_full is 'block' or 'raise', not {self.on_full!r}")


Command: TypeAlias = "Add | Flush"
Gate: TypeAlias = "threading.Lock"
"""A lock that is held until somebody may go on."""


@define
class Add:
    """
    Write these items.

    Attributes:
        items: What to write.
        size: Bytes of memory they take.
        time_ms: When they were handed over, in Unix milliseconds.
    """

    items: Sequence[PlainItem]
    size: int = 0
    time_ms: int = 0


class Deadline:
    """
    The end of a wait; never, without a *timeout* in seconds.
    """

    __slots__ = ("_moment",)

    def __init__(self, timeout: float | None) -> None:
        self._moment = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds to it."""
        if self._moment is None:
            return threading.TIMEOUT_MAX
        return min(max(self._moment - time.monotonic(), 0), threading.TIMEOUT_MAX)


class Answered(threading.Event):
    """
    An event of which waiting may be interrupted.

    A KeyboardInterrupt inside of the one of the standard library can leave its lock held, on which the writer
    would then wait for ever (2 of 3 runs of 600 interrupts); this one waits for a lock that is nobody's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._gate = _closed_gate()

    def set(self) -> None:
        """Let who waits go on."""
        self._flag = True
        _open_gate(self._gate)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, and say whether it is."""
        return self._flag or self._gate.acquire(timeout=Deadline(timeout).left) or self._flag


@define
class Flush:
    """
    Answer when everything before is in the file.
    """

    size: ClassVar[int] = 0
    fsync: bool = False
    done: threading.Event = field(factory=Answered)
    error: Exception | None = None

    def answer(self, error: Exception | None) -> None:
        """
        Let who waits go on, with the outcome.
        """
        self.error = error
        self.done.set()


@define
class Shutdown(Flush):
    """
    Answer like a flush, and end.
    """


class Commands(queue.Queue[Command]):
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
    """

    def __init__(self, options: Options, refusal: Callable[[], Exception]) -> None:
        super().__init__(options.queue_size)
        self._max_size = options.max_waiting_size
        self.is_closed = self._is_ended = False
        self.refusal = refusal
        self.consumer = 0
        """The thread that takes; it never waits for space, as nobody else would make any."""
        self._queued_size = self._taken_size = 0
        self._late: dict[int, list[Command]] = {}
        self._idle: Gate | None = None
        self._is_lingering = False
        # While a caller waits for space, the writer is to be at work.
        self._many = (options.queue_size + 1) // 2
        self._without_space: list[Gate] = []

    @property
    def is_interrupted(self) -> bool:
        """
        Say whether this thread holds the mutex, or takes: it must not wait for an answer.
        """
        return threading.get_ident() == self.consumer or (self.mutex.locked() and self._is_in_here())

    @property
    def waiting_size(self) -> int:
        """
        Bytes that what was handed over and is not in the file takes.
        """
        return self._queued_size + self._taken_size

    def hand_over(self, command: Command, timeout: float | None = None) -> None:
        """
        Put a command; waits while there is no space.

        Raises:
            queue.Full: There was none in time, or this thread must not wait for it.
            RecorderClosedError: It is closed; or what `refusal` gives.
        """
        if type(command) is Shutdown:
            # From here on who interrupts this is refused, too.
            self.is_closed = True
        if self.mutex.locked() and self._is_in_here():
            self._add_late(command)
            return
        try:
            gate = self._try_to_put(command, may_wait=timeout != 0)
            if gate is not None:
                self._wait_and_put(command, gate, Deadline(timeout))
        finally:
            if self._late:
                self._put_late()

    def _wait_and_put(self, command: Command, gate: Gate | None, deadline: Deadline) -> None:
        while gate is not None:
            if not gate.acquire(timeout=deadline.left):
                raise queue.Full
            gate = self._try_to_put(command, may_wait=True)

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
        _stamp(command)
        late.append(command)

    def _try_to_put(self, command: Command, may_wait: bool) -> Gate | None:
        """
        Put it, or give a gate that opens when it is worth trying again.
        """
        with self.mutex:
            if type(command) is not Shutdown:
                if self.is_closed:
                    raise self.refusal()
                if len(self.queue) >= self.maxsize or not self._fits(command.size):
                    is_consumer = threading.get_ident() == self.consumer
                    if not is_consumer and may_wait:
                        gate = _closed_gate()
                        self._without_space.append(gate)
                        return gate
                    if not is_consumer or not self._fits(command.size):
                        raise queue.Full
            self._put(command)
            return None

    def _fits(self, size: int) -> bool:
        waiting = self._queued_size + self._taken_size
        return not waiting or waiting + size <= self._max_size

    def _put(self, item: Command) -> None:
        # Under the mutex, so that time does not run backwards in the file.
        _stamp(item)
        self._queued_size += item.size
        self.queue.append(item)
        gate = self._idle
        if gate is not None and (not self._is_lingering or type(item) is not Add or len(self.queue) >= self._many):
            _open_gate(gate)
            self._idle = None
        if type(item) is Shutdown:
            self._is_ended = True
            # Who waits for space is to learn that there will be none.
            self._open_space()

    def _put_late(self) -> None:
        me = threading.get_ident()
        while me in self._late:
            with self.mutex:
                late = self._late.pop(me)
                while late:
                    command = late.pop(0)
                    if self._is_ended and type(command) is not Shutdown:
                        # Accepted in here, and another thread closed it since.
                        raise self.refusal()
                    self._put(command)

    def _open_space(self) -> None:
        for gate in self._without_space:
            _open_gate(gate)
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
        taken = self._take(unwritten_size)
        return taken + self._late.pop(threading.get_ident(), []) if self._late else taken

    def _close_gate(self, unwritten_size: int, *, is_lingering: bool) -> Gate | None:
        """
        Give a gate that opens when there is a command or, for who lingers, many of them or one that somebody waits for.
        """
        with self.mutex:
            self._taken_size = unwritten_size
            self._open_space()
            count = self._qsize()
            if count >= self._many if is_lingering else count:
                return None
            if is_lingering and (not count or any(type(command) is not Add for command in self.queue)):
                return None
            self._is_lingering = is_lingering
            self._idle = _closed_gate()
            return self._idle

    def _take(self, unwritten_size: int) -> list[Command]:
        with self.mutex:
            taken = list(self.queue)
            self.queue.clear()
            self._taken_size = unwritten_size + self._queued_size
            self._queued_size = 0
            self._idle = None
            self._open_space()
            return taken


_INSIDE = tuple(
    method.__code__ for method in (Commands._try_to_put, Commands._put_late, Commands._close_gate, Commands._take)
)


def _stamp(command: Command) -> None:
    if type(command) is Add:
        command.time_ms = time.time_ns() // 1_000_000


def _closed_gate() -> Gate:
    gate = threading.Lock()
    gate.acquire()
    return gate


def _open_gate(gate: Gate) -> None:
    if gate.locked():
        gate.release()

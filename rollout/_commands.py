"""
What the writer is told to do, and the bounded queue that hands it over.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import define, field, frozen

from rollout._plain import PlainItem

__all__ = ["MAX_WAITING_SIZE", "Add", "Command", "Commands", "Flush", "Options", "Shutdown"]

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


@define
class Flush:
    """
    Answer when everything before is in the file.
    """

    size: ClassVar[int] = 0
    fsync: bool = False
    done: threading.Event = field(factory=threading.Event)
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


Command: TypeAlias = "Add | Flush"


class Commands(queue.Queue[Command]):
    """
    A bounded queue that can be closed: the check for it and the put happen under one lock, its mutex.

    Without that, 7 of 60 racing runs left an item behind the shutdown and hung.

    A signal handler, a `__del__` or a weakref callback may come while its thread holds the mutex, which it can
    not take a second time. What it hands over is kept in `_interrupting` and put when the mutex is free.

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
        self._interrupting: dict[int, list[Command]] = {}

    @property
    def is_interrupted(self) -> bool:
        """
        Say whether this thread is in here already, or takes: it must not wait for an answer.
        """
        me = threading.get_ident()
        return me in self._interrupting or me == self.consumer

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
        me = threading.get_ident()
        interrupting = self._interrupting.get(me)
        if interrupting is not None:
            self._check(command, interrupting)
            _stamp(command)
            interrupting.append(command)
            return
        self._interrupting[me] = []
        try:
            with self.mutex:
                if me == self.consumer:
                    self._check(command, ())
                elif type(command) is not Shutdown:
                    if not self._has_space_for(command):
                        self._wait_for_space(command, timeout)
                    if self.is_closed:
                        raise self.refusal()
                self._put(command)
        finally:
            while late := self._interrupting.pop(me):
                self._interrupting[me] = []
                self._put_late(late)

    def _check(self, command: Command, late: Sequence[Command]) -> None:
        """
        Refuse what cannot wait for space, and is not to be put without.
        """
        if type(command) is not Shutdown:
            if self.is_closed:
                raise self.refusal()
            if not self._fits(command.size, sum(other.size for other in late)):
                raise queue.Full

    def _wait_for_space(self, command: Command, timeout: float | None) -> None:
        if not self.not_full.wait_for(lambda: self.is_closed or self._has_space_for(command), timeout):
            raise queue.Full

    def _has_space_for(self, command: Command) -> bool:
        return self._qsize() < self.maxsize and self._fits(command.size)

    def _fits(self, size: int, late_size: int = 0) -> bool:
        waiting = self._queued_size + self._taken_size + late_size
        return not waiting or waiting + size <= self._max_size

    def _put(self, item: Command) -> None:
        # Under the mutex, so that time does not run backwards in the file.
        _stamp(item)
        self._queued_size += item.size
        super()._put(item)
        self.not_empty.notify()
        if type(item) is Shutdown:
            self._is_ended = True
            # Who waits for space is to learn that there will be none.
            self.not_full.notify_all()

    def _put_late(self, commands: Sequence[Command]) -> None:
        with self.mutex:
            for command in commands:
                if self._is_ended and type(command) is not Shutdown:
                    # Accepted here, and another thread closed it since.
                    raise self.refusal()
                self._put(command)

    def take_all(self, unwritten_size: int = 0, timeout: float | None = None) -> list[Command]:
        """
        Wait for a command and take all there are: one lock a batch, not one a command.

        Args:
            unwritten_size: Bytes of what was taken before and could not be written.
            timeout: Seconds to wait; after that there is nothing to take.
        """
        me = threading.get_ident()
        interrupting: list[Command] = []
        self._interrupting[me] = interrupting
        try:
            with self.mutex:
                self._taken_size = unwritten_size
                self.not_full.notify_all()
                self.not_empty.wait_for(self._qsize, timeout)
                taken = [self._get() for _ in range(self._qsize())]
                self._taken_size += self._queued_size
                self._queued_size = 0
                self.not_full.notify_all()
        finally:
            del self._interrupting[me]
        return taken + interrupting


def _stamp(command: Command) -> None:
    if type(command) is Add:
        command.time_ms = time.time_ns() // 1_000_000

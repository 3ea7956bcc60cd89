"""
What the writer is told to do, and the bounded queue that hands it over.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from attrs import define, field

from rollout._plain import PlainItem

__all__ = ["Add", "Command", "Commands", "Flush", "Shutdown"]


@define
class Add:
    """
    Write these items.
    """

    items: Sequence[PlainItem]
    time_ms: int = 0


@define
class Flush:
    """
    Answer when everything before is in the file.
    """

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
    """

    def __init__(self, size: int, refusal: Callable[[], Exception]) -> None:
        super().__init__(size)
        self.is_closed = False
        self.refusal = refusal
        self.consumer = 0
        """The thread that takes; it never waits for space, as nobody else would make any."""
        self._interrupting: dict[int, list[Command]] = {}

    @property
    def is_interrupted(self) -> bool:
        """
        Say whether this thread is in here already, or takes: it must not wait for an answer.
        """
        me = threading.get_ident()
        return me in self._interrupting or me == self.consumer

    def hand_over(self, command: Command, timeout: float | None = None) -> None:
        """
        Put a command; waits while there is no space.

        Raises:
            queue.Full: There was none in time.
            RecorderClosedError: It is closed; or what `refusal` gives.
        """
        me = threading.get_ident()
        interrupting = self._interrupting.get(me)
        if interrupting is not None:
            interrupting.append(command)
            return
        self._interrupting[me] = interrupting = []
        try:
            if me == self.consumer or type(command) is Shutdown:
                self._put_at_once(command)
            else:
                self.put(command, timeout=timeout)
        finally:
            del self._interrupting[me]
            for late in interrupting:
                self.hand_over(late)

    def _put_at_once(self, command: Command) -> None:
        with self.mutex:
            if type(command) is Shutdown:
                self.is_closed = True
                super()._put(command)
                # Who waits for space is to learn that there will be none.
                self.not_full.notify_all()
            else:
                self._put(command)
            self.not_empty.notify()

    def _put(self, item: Command) -> None:
        # `put` calls this under the mutex, also after it waited for space.
        if self.is_closed:
            raise self.refusal()
        if type(item) is Add:
            item.time_ms = time.time_ns() // 1_000_000
        super()._put(item)

    def take_all(self) -> list[Command]:
        """
        Wait for a command and take all there are: one lock a batch, not one a command.
        """
        me = threading.get_ident()
        interrupting: list[Command] = []
        self._interrupting[me] = interrupting
        try:
            with self.mutex:
                while not self._qsize():
                    self.not_empty.wait()
                taken = [self._get() for _ in range(self._qsize())]
                self.not_full.notify_all()
        finally:
            del self._interrupting[me]
        return taken + interrupting
